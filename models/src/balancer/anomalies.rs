//! Anomaly mitigation of weighted random: a target that fails more requests than the others gets fewer.
//!
//! ALB says what it does and not how: it compares targets by their 5xx and connection errors, needs three healthy ones, and
//! lowers the weight of those that stand out until they recover ("Automatic Target Weights"). Here a target stands out
//! where in ten seconds it failed at least [`SHARE`] of its requests more than the median target; its weight is halved
//! for each such period, down to [`LEAST`], and doubled for each other.

use sim_core::{Span, Time};

/// How often targets are compared.
const PERIOD: Span = Span::from_secs(10);
/// Fewer requests in a period say nothing.
const REQUESTS: u32 = 10;
/// How much more of its requests than the median target one must fail.
const SHARE: f64 = 0.1;
/// Targets below which nobody is compared.
const TARGETS: usize = 3;
/// The full weight.
const FULL: u64 = 64;
/// The least weight: enough requests to see that a target has recovered.
const LEAST: u64 = 1;

/// What targets did since they were last compared, by instance.
#[derive(Clone, Debug)]
pub struct Anomalies {
    targets: Vec<Seen>,
    next: Time,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    requests: u32,
    errors: u32,
    weight: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { requests: 0, errors: 0, weight: FULL }
    }
}

impl Default for Anomalies {
    fn default() -> Self {
        Anomalies { targets: Vec::new(), next: Time::ZERO + PERIOD }
    }
}

impl Anomalies {
    /// A request to a target ended.
    pub fn ended(&mut self, target: u32, error: bool) {
        let at = target as usize;
        if self.targets.len() <= at {
            self.targets.resize_with(at + 1, Seen::default);
        }
        self.targets[at].requests += 1;
        self.targets[at].errors += u32::from(error);
    }

    /// Another instance has got the place of one that is gone.
    pub fn forget(&mut self, target: u32) {
        if let Some(seen) = self.targets.get_mut(target as usize) {
            *seen = Seen::default();
        }
    }

    /// The weight of a target among others.
    pub fn weight(&self, target: u32) -> u64 {
        self.targets.get(target as usize).map_or(FULL, |seen| seen.weight)
    }

    /// Compares targets where a period is over. True where a weight has changed.
    pub fn compare(&mut self, now: Time, targets: &[u32]) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + PERIOD;
        let share = |seen: &Seen| f64::from(seen.errors) / f64::from(seen.requests.max(1));
        let known = targets.iter().filter_map(|&target| self.targets.get(target as usize));
        let mut shares: Vec<f64> = known.filter(|seen| seen.requests >= REQUESTS).map(share).collect();
        shares.sort_unstable_by(f64::total_cmp);
        let usual =
            shares.get(shares.len().saturating_sub(1) / 2).copied().filter(|_| targets.len() >= TARGETS);
        let mut changed = false;
        for &target in targets {
            let Some(seen) = self.targets.get_mut(target as usize) else { continue };
            let stands_out = usual.is_some_and(|usual| seen.errors > 0 && share(seen) >= usual + SHARE);
            let weight = if stands_out { (seen.weight / 2).max(LEAST) } else { (seen.weight * 2).min(FULL) };
            changed |= weight != seen.weight;
            *seen = Seen { requests: 0, errors: 0, weight };
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_more_than_the_others_gets_less_until_it_recovers() {
        let mut anomalies = Anomalies::default();
        let mut period = |number: u64, errors: [u32; 4]| {
            for (target, errors) in (0..).zip(errors) {
                (0..20).for_each(|n| anomalies.ended(target, n < errors));
            }
            anomalies.compare(Time::ZERO + Span::from_secs(10 * number), &[0, 1, 2, 3]);
            [0, 1, 2, 3].map(|target| anomalies.weight(target))
        };
        assert_eq!(period(1, [0, 0, 1, 0]), [64, 64, 64, 64], "one in twenty is no anomaly");
        assert_eq!(period(2, [0, 20, 1, 0]), [64, 32, 64, 64]);
        assert_eq!(period(3, [0, 20, 1, 0]), [64, 16, 64, 64]);
        assert_eq!(period(4, [9, 10, 9, 10]), [64, 32, 64, 64], "when all fail, nobody stands out");
        assert_eq!(period(5, [0; 4]), [64, 64, 64, 64]);
    }

    #[test]
    fn two_targets_are_not_compared() {
        let mut anomalies = Anomalies::default();
        (0..20).for_each(|_| anomalies.ended(0, true));
        (0..20).for_each(|_| anomalies.ended(1, false));
        assert!(!anomalies.compare(Time::ZERO + Span::from_secs(10), &[0, 1]));
    }
}
