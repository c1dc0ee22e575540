//! Whether a configuration holds: Wald's sequential test of the share of days that are kept.
//!
//! A day is kept or broken, and days of one configuration are independent. Wald's sequential probability ratio test (Wald,
//! "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 16, 1945) decides between a share of at
//! most `p0`, which is too few, and one of at least `p1`, which is enough, with the fewest days on average of all tests that
//! err as rarely. Between the two lies the indifference zone: there either answer is right.
//!
//! The boundaries are `1/α` and `β`, not Wald's `(1 − β)/α` and `β/(1 − α)`: those are approximations, and by Ville's inequality
//! a likelihood ratio reaches `1/α` with a chance of at most `α`, exactly, however long one looks.

/// Broken days are so many times rarer at the far end of the indifference zone: of 90 % that are to be kept, 99 %.
pub const RARER: f64 = 10.0;

/// What a test says of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Enough days are kept.
    Holds,
    /// Too few are.
    Breaks,
}

/// A test of the share of days that are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sprt {
    /// What a kept day adds to the logarithm of the likelihood ratio; above zero.
    kept: f64,
    /// What a broken one does; below zero.
    broken: f64,
    /// Where it holds, and where it breaks.
    bounds: (f64, f64),
}

impl Sprt {
    /// Whether at least a share `enough` of days is kept, 0 to 1 exclusive. It is wrong with a chance of at most `error`, above
    /// 0 and below ½, whichever way.
    pub fn new(enough: f64, error: f64) -> Sprt {
        let (few, many) = (enough, far_end(enough));
        let (kept, broken) = ((many / few).ln(), ((1.0 - many) / (1.0 - few)).ln());
        Sprt { kept, broken, bounds: (-error.ln(), error.ln()) }
    }

    /// What the days say, in their order; `None` where they do not suffice. What comes after the decision changes nothing.
    pub fn decide(&self, days: impl IntoIterator<Item = bool>) -> Option<Decision> {
        let mut ratio = 0.0;
        days.into_iter().find_map(|kept| {
            ratio += if kept { self.kept } else { self.broken };
            match ratio {
                ratio if ratio >= self.bounds.0 => Some(Decision::Holds),
                ratio if ratio <= self.bounds.1 => Some(Decision::Breaks),
                _ => None,
            }
        })
    }

    /// Kept days in a row that it takes from here until it holds: after `kept` days that were, and `broken` that were not.
    pub fn kept_in_a_row(&self, kept: u32, broken: u32) -> u32 {
        let left = self.bounds.0 - f64::from(kept) * self.kept - f64::from(broken) * self.broken;
        (left / self.kept - 1e-9).ceil().max(0.0) as u32
    }

    /// About how many days it takes in all, where days go on as they went so far: Wald's approximation of the mean, from here.
    pub fn days_needed(&self, kept: u32, broken: u32) -> u32 {
        let days = f64::from(kept + broken).max(1.0);
        let share = f64::from(kept) / days;
        let ratio = f64::from(kept) * self.kept + f64::from(broken) * self.broken;
        let drift = share * self.kept + (1.0 - share) * self.broken;
        let variance = share * (1.0 - share) * (self.kept - self.broken).powi(2);
        let (up, down) = (self.bounds.0 - ratio, ratio - self.bounds.1);
        let straight = if drift > 0.0 { up / drift } else { down / -drift };
        // Without drift it is a random walk between two walls.
        let walk = if variance > 0.0 { up * down / variance } else { f64::INFINITY };
        (days + straight.min(walk)).ceil().min(1e9) as u32
    }
}

/// The far end of the indifference zone above a share that is to be kept: what is broken there is [`RARER`].
pub fn far_end(enough: f64) -> f64 {
    1.0 - (1.0 - enough) / RARER
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::Seed;
    use sim_core::chance::unit;

    /// The share of `runs` sequences of days that end in each decision, and the mean number of days.
    fn play(sprt: &Sprt, kept: f64, runs: u32) -> (f64, f64, f64) {
        let (mut holds, mut breaks, mut days) = (0u32, 0u32, 0u64);
        for run in 0..runs {
            let mut bits = Seed::new(u64::from(run)).stream("days");
            let mut seen = Vec::new();
            let decision = loop {
                seen.push(unit(&mut bits) < kept);
                if let Some(decision) = sprt.decide(seen.iter().copied()) {
                    break decision;
                }
            };
            days += seen.len() as u64;
            match decision {
                Decision::Holds => holds += 1,
                Decision::Breaks => breaks += 1,
            }
        }
        let of = |count: u32| f64::from(count) / f64::from(runs);
        (of(holds), of(breaks), days as f64 / f64::from(runs))
    }

    /// At both ends of the zone the test errs at most as often as it says, over 4000 sequences of days: with 4 standard errors
    /// of slack, which a right test exceeds once in thirty thousand.
    #[test]
    fn a_decision_is_wrong_at_most_as_often_as_stated() {
        for (enough, error) in [(0.9, 0.05), (0.9, 0.025), (0.8, 0.1), (0.95, 0.05)] {
            let sprt = Sprt::new(enough, error);
            let slack = 4.0 * (error * (1.0 - error) / 4000.0_f64).sqrt();
            let (holds, _, _) = play(&sprt, enough, 4000);
            assert!(holds <= error + slack, "{holds} at {enough}");
            let (_, breaks, _) = play(&sprt, far_end(enough), 4000);
            assert!(breaks <= error + slack, "{breaks} at {}", far_end(enough));
            assert!(
                holds > error / 20.0 || breaks > error / 20.0,
                "a test that never errs plays too many days"
            );
        }
    }

    #[test]
    fn days_kept_in_a_row_suffice_and_two_broken_ones_reject() {
        let sprt = Sprt::new(0.9, 0.05);
        assert_eq!(sprt.kept_in_a_row(0, 0), 32); // ln 20 / ln (0.99 / 0.9) = 31.4
        assert_eq!(sprt.decide([true; 31]), None);
        assert_eq!(sprt.decide([true; 32]), Some(Decision::Holds));
        assert_eq!(sprt.decide([false]), None);
        assert_eq!(sprt.decide([false, false]), Some(Decision::Breaks));
        let more = sprt.kept_in_a_row(10, 1);
        let days =
            std::iter::repeat_n(true, 10).chain([false]).chain(std::iter::repeat_n(true, more as usize));
        assert_eq!(sprt.decide(days.clone()), Some(Decision::Holds));
        assert_eq!(sprt.decide(days.take(10 + more as usize)), None);
    }

    #[test]
    fn what_comes_after_a_decision_does_not_change_it() {
        let sprt = Sprt::new(0.9, 0.05);
        let days = [false, false].into_iter().chain(std::iter::repeat_n(true, 500));
        assert_eq!(sprt.decide(days), Some(Decision::Breaks));
    }

    #[test]
    fn a_share_in_the_zone_takes_about_as_many_days_as_foretold() {
        let sprt = Sprt::new(0.9, 0.05);
        let (_, _, mean) = play(&sprt, 0.96, 2000);
        let foretold = f64::from(sprt.days_needed(96, 4)) - 100.0;
        assert!(mean < 120.0 && foretold < 120.0, "{mean} {foretold}");
    }
}
