//! What there was to do, what could be done, and what became of the rest.

use super::{Link, LinkKind, Scene, count, rate, span};
use crate::measure::MinuteFacts;

/// A load that grows by less than this counts as steady.
const GROWS: f64 = 1.15;
/// A load of this share of the highest is about as high.
const AS_HIGH: f64 = 0.95;
/// Attempts for each request above which repeats are told.
const REPEATS: f64 = 1.1;
/// A load below this share of the highest has fallen; a capacity that many times as large has grown.
const FALLEN: f64 = 0.8;
const GROWN: f64 = 1.2;

impl Scene<'_> {
    /// How the load rose: from the last minute of the run-up in which it was about as low as it had been, to the first of the stretch
    /// in which it was about as high as it came.
    pub(super) fn load(&self) -> Option<Link> {
        let name = &self.group.name;
        let (_, most) = self.peak()?;
        let (at, peak) = self.all().find(|(_, minute)| minute.load >= AS_HIGH * most.load)?;
        let before = || self.all().take_while(|(begins, _)| *begins <= at);
        let lowest = before().map(|(_, minute)| minute.load).fold(f64::INFINITY, f64::min);
        let (low_at, low) = before().filter(|(_, minute)| minute.load <= GROWS * lowest).last()?;
        let asked = if peak.load > REPEATS * peak.asked {
            format!(" ({} of it asked for, the rest repeats)", rate(peak.asked))
        } else {
            String::new()
        };
        if low_at >= at || peak.load < GROWS * low.load {
            let words = format!("load on {name} was steady, at most {}{asked}", rate(most.load));
            return Some(self.link(self.from, LinkKind::Load, words));
        }
        let words = format!(
            "load on {name} rose from {} at {} to {} at {}{asked}: {:.1} times in {}",
            rate(low.load),
            self.clock(low_at),
            rate(peak.load),
            self.clock(at),
            peak.load / low.load.max(1e-9),
            span(at - low_at)
        );
        Some(self.link(low_at, LinkKind::Load, words))
    }

    /// When the load passed what the fleet could serve: in the minute in which it rose above that, or at the end of the one in which
    /// that fell below it.
    pub(super) fn passed(&self) -> Option<(f64, &MinuteFacts)> {
        let over = |minute: &MinuteFacts, capacity: f64| minute.load > capacity && minute.load > 0.0;
        let mut before = f64::NAN;
        for (at, minute) in self.all() {
            if over(minute, minute.capacity) {
                let fell = minute.capacity < before && !over(minute, before);
                return Some((if fell { at + 60.0 } else { at }, minute));
            }
            before = minute.capacity;
        }
        None
    }

    /// What the fleet could serve then.
    pub(super) fn capacity(&self) -> Option<Link> {
        let name = &self.group.name;
        let fleet = |minute: &MinuteFacts| {
            let unhealthy = match minute.unhealthy {
                0 => String::new(),
                n => format!(", {n} up and unhealthy"),
            };
            format!(
                "{} of {} desired serving{unhealthy}, maximum {}",
                minute.serving, minute.desired, minute.max
            )
        };
        if let Some((at, minute)) = self.passed() {
            let words = format!(
                "load passed the capacity of {name}: {} against {}, with {}",
                rate(minute.load),
                rate(minute.capacity),
                fleet(minute)
            );
            return Some(self.link(at, LinkKind::Capacity, words));
        }
        let (at, peak) = self.peak().filter(|(_, peak)| peak.capacity.is_finite())?;
        let words = format!(
            "load stayed within the capacity of {name}: {} against {} at the worst, with {}; the busiest instance was {:.0} % busy",
            rate(peak.load),
            rate(peak.capacity),
            fleet(peak),
            100.0 * peak.hottest
        );
        Some(self.link(at, LinkKind::Capacity, words))
    }

    /// Who was turned away, from when on.
    pub(super) fn refused(&self) -> Vec<Link> {
        let mut links = Vec::new();
        let of = |what: fn(&MinuteFacts) -> u64| {
            let some = self.all().filter(move |(_, minute)| what(minute) > 0);
            let (first, last) = (some.clone().next()?.0, some.clone().next_back()?.0 + 60.0);
            Some((first, last, some.map(|(_, minute)| what(minute)).sum::<u64>()))
        };
        if let Some((first, last, refused)) = of(|minute| minute.refused) {
            let words = format!(
                "accept queues of {} were full: {} refused until {}",
                self.group.name,
                count(refused, "attempt"),
                self.clock(last)
            );
            links.push(self.link(first, LinkKind::Refused, words));
        }
        if let Some((first, last, away)) = of(|minute| minute.turned_away.iter().sum()) {
            let words = format!(
                "rate limits, circuit breakers or load shedding turned {} away until {}",
                count(away, "attempt"),
                self.clock(last)
            );
            links.push(self.link(first, LinkKind::Refused, words));
        }
        links
    }

    /// How much of the load was repeats, in the minute with the most of them.
    pub(super) fn retries(&self) -> Option<Link> {
        let repeats = |minute: &MinuteFacts| minute.load - minute.asked;
        let (at, most) =
            self.all().reduce(|most, next| if repeats(next.1) > repeats(most.1) { next } else { most })?;
        if most.asked <= 0.0 || most.load < REPEATS * most.asked {
            return None;
        }
        let words = format!(
            "clients sent {:.1} attempts for each request: {} came where {} were asked for, {:.0} % of it repeats",
            most.load / most.asked,
            rate(most.load),
            rate(most.asked),
            100.0 * repeats(most) / most.load
        );
        Some(self.link(at, LinkKind::Retries, words))
    }

    /// Why it was over, or that it was not.
    pub(super) fn recovery(&self) -> Link {
        let end = self.plan.duration.as_secs_f64();
        if self.to >= end - 1.0 {
            return self.link(self.to, LinkKind::Recovery, "not over when the run ended".to_string());
        }
        if let Some(jobs) = self.worked_off() {
            return jobs;
        }
        let after = self.facts.get((self.to / 60.0).ceil() as usize).or(self.facts.last());
        let least = self.minutes().iter().reduce(|a, b| if b.capacity < a.capacity { b } else { a });
        let words = match (after, self.peak(), least) {
            (Some(after), Some((_, peak)), Some(least)) => {
                let mut why = Vec::new();
                if after.load < FALLEN * peak.load {
                    why.push(format!("load had fallen to {} from {}", rate(after.load), rate(peak.load)));
                }
                if after.capacity.is_finite() && after.capacity > GROWN * least.capacity {
                    why.push(format!(
                        "the fleet had caught up: {} from {}, {} serving",
                        rate(after.capacity),
                        rate(least.capacity),
                        after.serving
                    ));
                }
                if why.is_empty() {
                    why.push(format!(
                        "load {} against a capacity of {}",
                        rate(after.load),
                        rate(after.capacity)
                    ));
                }
                format!("kept again: {}", why.join(", and "))
            }
            _ => "kept again".to_string(),
        };
        self.link(self.to, LinkKind::Recovery, words)
    }
}
