//! What clients sent again, and whom limits turned away.

use super::{Summary, count, duration, percent};

impl Summary<'_> {
    /// Attempts beside the first, where there are any.
    pub(super) fn attempts(&mut self) {
        let run = self.run;
        let all = &run.requests;
        let repeats = run.traffic.iter().filter_map(|part| part.repeats);
        let (hedges, won) = repeats.fold((0, 0), |sum, own| (sum.0 + own.hedges, sum.1 + own.hedges_won));
        if all.attempts > all.offered {
            let retries = (all.attempts - all.offered).saturating_sub(hedges);
            let mut line = format!(
                "  attempts {}, {} of them retries",
                count(all.attempts as f64),
                count(retries as f64)
            );
            if hedges > 0 {
                line.push_str(&format!(
                    ", {} ({}) hedges, of which {} were answered first",
                    count(hedges as f64),
                    percent(hedges as f64, all.attempts as f64),
                    count(won as f64)
                ));
            }
            self.page.line(line);
        }
        for part in &run.traffic {
            if let Some(repeats) = part.repeats.filter(|repeats| repeats.refused_by_budget > 0) {
                self.page.line(format!(
                    "  {} retries or hedges of {} were not sent: its budget was used up",
                    count(repeats.refused_by_budget as f64),
                    part.name
                ));
            }
        }
    }

    /// Whom rate limiters and circuit breakers turned away.
    pub(super) fn limits(&mut self) {
        let run = self.run;
        for limits in &run.limits {
            let name = &limits.balancer;
            if limits.rate_limited > 0 {
                let turned = count(limits.rate_limited as f64);
                self.page.line(format!("  the rate limiter of {name} turned {turned} attempts away"));
            }
            if limits.overflowed > 0 {
                let turned = count(limits.overflowed as f64);
                self.page.line(format!(
                    "  the circuit breaker of {name} turned {turned} attempts away: too many in progress"
                ));
            }
            if limits.opened > 0 {
                self.page.line(format!(
                    "  the circuit breaker of {name} opened {} times, was open for {} and turned {} attempts away then",
                    count(limits.opened as f64),
                    duration(limits.open_for.round()),
                    count(limits.circuit_open as f64)
                ));
            }
        }
    }
}
