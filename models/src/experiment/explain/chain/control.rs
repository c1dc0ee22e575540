//! What went wrong, who noticed, what he did, and how long that took.

use super::{Link, LinkKind, Scene, count, span};
use crate::results::{Activity, ActivityKind};
use crate::scaling::Verdict;

/// Kinds of incidents that are told.
const TOLD: [ActivityKind; 13] = [
    ActivityKind::Crash,
    ActivityKind::FailedStart,
    ActivityKind::GaveUp,
    ActivityKind::InterruptionNotice,
    ActivityKind::Interruption,
    ActivityKind::IncidentBegan,
    ActivityKind::Unhealthy,
    ActivityKind::Replace,
    ActivityKind::CircuitOpened,
    ActivityKind::Network,
    ActivityKind::ReleaseStarted,
    ActivityKind::ReleaseFailed,
    ActivityKind::ScaleIn,
];
/// Reasons of a policy that are told.
const MOST_REASONS: usize = 3;

impl Scene<'_> {
    fn activities(&self, kind: ActivityKind) -> impl DoubleEndedIterator<Item = &Activity> + Clone {
        let own = self.run.activities.iter().filter(move |own| own.kind == kind);
        own.filter(|own| own.group == self.group.name && own.at >= self.run_up && own.at < self.to)
    }

    /// What went wrong: of each kind the first, and how many more there were.
    pub(super) fn incidents(&self) -> Vec<Link> {
        let of = |kind: &ActivityKind| {
            let first = self.activities(*kind).next()?;
            let last = self.activities(*kind).next_back()?;
            let more = match self.activities(*kind).count() - 1 {
                0 => String::new(),
                n => format!(" … and {n} more such until {}", self.clock(last.at)),
            };
            let words = first.description.trim_end_matches('.').to_string();
            Some(self.link(first.at, LinkKind::Incident, format!("{words}{more}")))
        };
        TOLD.iter().filter_map(of).collect()
    }

    /// When the overload began that somebody should notice; without one the stretch.
    fn overload(&self) -> f64 {
        self.passed().map_or(self.from, |(at, _)| at)
    }

    /// The first alarm that asks for more.
    pub(super) fn alarm(&self) -> Option<Link> {
        let since = self.overload();
        let need = self.all().find_map(|(at, minute)| match minute.policy {
            Some((Verdict::HighAlarmPending { need, .. }, _)) if at >= since => Some(need),
            _ => None,
        });
        let raised = |own: &&Activity| {
            own.at >= since && own.description.contains("to ALARM") && !is_low(&own.description)
        };
        let needs =
            need.map_or(String::new(), |need| format!("; it needs {}", count(u64::from(need), "datapoint")));
        if let Some(alarm) = self.activities(ActivityKind::Alarm).find(raised) {
            let words = alarm.description.trim_end_matches('.');
            let late = span(alarm.at - since);
            return Some(self.link(
                alarm.at,
                LinkKind::Alarm,
                format!("{words}: {late} after the overload began{needs}"),
            ));
        }
        let words = format!("no alarm asked for more instances of {}{needs}", self.group.name);
        need.map(|_| self.link(since, LinkKind::Alarm, words))
    }

    /// The first time that somebody made the group larger.
    pub(super) fn decision(&self) -> Option<Link> {
        let since = self.overload();
        let grows = [ActivityKind::ScaleOut, ActivityKind::Scheduled, ActivityKind::Manual];
        let acts = grows.iter().flat_map(|&kind| self.activities(kind)).filter(|own| own.at >= since);
        let first = acts.reduce(|first, own| if own.at < first.at { own } else { first });
        match first {
            Some(first) => {
                let words = first.description.trim_end_matches('.');
                let more = self.activities(ActivityKind::ScaleOut).filter(|own| own.at > first.at).count();
                let more = if more > 0 { format!("; {more} more until it was over") } else { String::new() };
                let late = span(first.at - since);
                let text = format!("first change of size {late} after the overload began: {words}{more}");
                Some(self.link(first.at, LinkKind::Decision, text))
            }
            None if self.group.scaling.is_empty() => {
                let words = format!("nobody scales {}", self.group.name);
                Some(self.link(since, LinkKind::Decision, words))
            }
            None => {
                let words = format!("nobody made {} larger in the stretch", self.group.name);
                Some(self.link(since, LinkKind::Decision, words))
            }
        }
    }

    /// What held its policies back while it was overloaded: the most frequent reasons, each with its first words.
    pub(super) fn held_back(&self) -> Option<Link> {
        let since = self.overload();
        let mut reasons: Vec<(&Verdict, &str, f64, u32)> = Vec::new();
        for (at, minute) in self.all().filter(|(at, _)| *at >= since) {
            let Some((verdict, words)) = &minute.policy else { continue };
            if *verdict == Verdict::ScaleOut {
                continue;
            }
            match reasons.iter_mut().find(|reason| reason.0.same_reason(verdict)) {
                Some(reason) => reason.3 += 1,
                None => reasons.push((verdict, words, at + 60.0, 1)), // it is asked at the end of the minute
            }
        }
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.3)); // of the same number the earliest
        let at = reasons.iter().map(|reason| reason.2).reduce(f64::min)?;
        let all: u32 = reasons.iter().map(|reason| reason.3).sum();
        let told = reasons.iter().take(MOST_REASONS).map(|(_, words, first, minutes)| {
            format!("{minutes} min \u{201c}{}\u{201d} ({})", words.trim_end_matches('.'), self.clock(*first))
        });
        let text = format!(
            "no change of size in {all} min of the overload: {}",
            told.collect::<Vec<_>>().join("; ")
        );
        Some(self.link(at, LinkKind::HeldBack, text))
    }

    /// How long instances took that were launched, from their launch until they served.
    pub(super) fn launches(&self) -> Option<Link> {
        let launched = self.starts.iter().map(|start| start.launched.as_secs_f64());
        let first = launched.reduce(f64::min)?;
        let took = || self.starts.iter().map(|start| start.serving.since(start.launched).as_secs_f64());
        let (least, most) = (took().fold(f64::INFINITY, f64::min), took().fold(0.0, f64::max));
        let mean = took().sum::<f64>() / self.starts.len() as f64;
        let serving = || self.starts.iter().map(|start| start.serving.as_secs_f64());
        let serves = serving().fold(f64::INFINITY, f64::min).round();
        let last = serving().fold(0.0, f64::max).round();
        let length = if self.starts.len() == 1 {
            format!("took {mean:.0} s to serve, at {}", self.clock(serves))
        } else if most - least < 1.0 {
            format!(
                "took {mean:.0} s each to serve; the first served at {}, the last at {}",
                self.clock(serves),
                self.clock(last)
            )
        } else {
            format!(
                "took {least:.0} s to {most:.0} s to serve, {mean:.0} s on average; the first served at {}, the last at {}",
                self.clock(serves),
                self.clock(last)
            )
        };
        let text = format!(
            "{} of {}, launched from then on, {length}",
            count(self.starts.len() as u64, "instance"),
            self.group.name
        );
        Some(self.link(first, LinkKind::Launch, text))
    }
}

/// An alarm that asks for fewer.
fn is_low(description: &str) -> bool {
    description.contains("AlarmLow") || description.contains(" < ") || description.contains(" <= ")
}
