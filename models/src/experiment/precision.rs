//! Replications until the intervals are as tight as asked.
//!
//! Replications are added in rounds. After each the widest interval of all quantiles decides whether there is another, and
//! how large it is: a half width falls with the root of the number of replications, so that `n · (half width / asked)²` of them
//! should do. Rounds depend on results alone, and so on no number of threads.
//!
//! Looking at the interval to decide when to stop makes it cover a little less than it says: rounds tend to end where the
//! spread happens to look small. That goes away as more replications are needed (Chow and Robbins 1965), and is kept small
//! by a first round of ten and by few looks (Law and Kelton, Simulation Modeling and Analysis, section 9.4.1).
//! `docs/validation.md` has what was measured.

use sim_core::stats::{Interval, Tally};

use super::LEVEL;
use super::figures::Reading;
use crate::results::{Precision, Summary, Widest};

/// Replications of the first round: with fewer the spread is little more than a guess.
pub const FIRST_ROUND: u32 = 10;

/// Replications at most, where nobody says how many.
pub const MOST_FOR_PRECISION: u32 = 1_000;

/// The tightest half width that can be asked for, as a share: histograms are no finer.
pub const FINEST: f64 = 0.001;

/// A round adds at least one in so many: each look at the interval costs some of its coverage, and a round of one
/// leaves cores idle.
const LEAST_GROWTH: u32 = 4;

/// How tight intervals have to be, and how many replications that may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The largest half width of a quantile's interval, as a share of the quantile: at least [`FINEST`].
    pub asked: f64,
    /// Replications at most, at least 1.
    pub most: u32,
}

impl Target {
    /// How many replications to begin with.
    pub fn first_round(&self) -> u32 {
        FIRST_ROUND.min(self.most)
    }

    /// How many replications there should be after `played` of them; `None` where that will do, or there may be no more. At
    /// most twice as many: a spread from few is a rough guess.
    pub fn next(&self, played: u32, widest: Option<&Widest>) -> Option<u32> {
        if self.reached(widest) || played >= self.most {
            return None;
        }
        let (least, most) = (played + (played / LEAST_GROWTH).max(1), played.saturating_mul(2));
        let wanted = self.would_do(played, widest).map_or(most, |n| u32::try_from(n).unwrap_or(most));
        Some(wanted.min(most).max(least).min(self.most))
    }

    /// What came of it.
    pub fn outcome(&self, played: u32, widest: Option<Widest>) -> Precision {
        let reached = self.reached(widest.as_ref());
        let would_do = if reached { None } else { self.would_do(played, widest.as_ref()) };
        Precision { asked: self.asked, most: self.most, reached, widest, would_do }
    }

    fn reached(&self, widest: Option<&Widest>) -> bool {
        widest.is_none_or(|widest| widest.relative.is_some_and(|relative| relative <= self.asked))
    }

    fn would_do(&self, played: u32, widest: Option<&Widest>) -> Option<u64> {
        let relative = widest?.relative?;
        Some((f64::from(played) * (relative / self.asked).powi(2)).ceil() as u64)
    }
}

/// The widest interval of all quantiles, as a share of the quantile; `None` where there is no quantile. Of one that fewer
/// than two replications could measure nobody knows how wide it is: it counts as the widest.
pub fn widest(readings: &[Reading], replications: &[Summary]) -> Option<Widest> {
    let mut widest: Option<(f64, Widest)> = None;
    for (index, reading) in readings.iter().enumerate().filter(|(_, reading)| reading.quantile) {
        let values = replications.iter().filter_map(|one| one.figures.get(index).copied().flatten());
        let tally: Tally = values.collect();
        if tally.count() == 0 {
            continue;
        }
        let relative = Interval::student_t(&tally, LEVEL).map(|interval| share(&interval));
        let order = relative.unwrap_or(f64::INFINITY);
        if widest.as_ref().is_none_or(|(widest, _)| order > *widest) {
            widest = Some((order, Widest { figure: reading.name.clone(), relative }));
        }
    }
    widest.map(|(_, widest)| widest)
}

/// Half the width as a share of the mean. An interval without width is tight around anything, around zero too.
fn share(interval: &Interval) -> f64 {
    if interval.half_width == 0.0 { 0.0 } else { interval.relative() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_PERCENT: Target = Target { asked: 0.02, most: 1_000 };

    fn wide(relative: f64) -> Option<Widest> {
        Some(Widest { figure: "response time p99".to_string(), relative: Some(relative) })
    }

    fn next(played: u32, relative: f64) -> Option<u32> {
        TWO_PERCENT.next(played, wide(relative).as_ref())
    }

    #[test]
    fn a_round_goes_where_the_half_width_should_be_what_was_asked() {
        assert_eq!(next(10, 0.02), None, "it is");
        assert_eq!(next(10, 0.025), Some(16), "10 · 1.25² = 15.6");
        assert_eq!(next(10, 0.0201), Some(12), "a round adds a quarter");
        assert_eq!(next(10, 0.5), Some(20), "a round doubles at most");
        assert_eq!(next(800, 0.5), Some(1_000), "and ends at the cap");
        assert_eq!(next(1_000, 0.5), None);
        assert_eq!(next(1, 0.5), Some(2), "one is always more");
    }

    #[test]
    fn what_nobody_knows_doubles_and_what_has_no_quantile_is_done() {
        let unknown = Widest { figure: "x".to_string(), relative: None };
        assert_eq!(TWO_PERCENT.next(10, Some(&unknown)), Some(20));
        assert_eq!(TWO_PERCENT.outcome(1_000, Some(unknown)).would_do, None);
        assert_eq!(TWO_PERCENT.next(10, None), None);
        assert!(TWO_PERCENT.outcome(10, None).reached);
    }

    #[test]
    fn what_was_not_reached_says_how_many_would_do() {
        let outcome = TWO_PERCENT.outcome(1_000, wide(0.031));
        assert!(!outcome.reached);
        assert_eq!(outcome.would_do, Some(2_403), "1000 · 1.55²");
        assert_eq!(TWO_PERCENT.outcome(24, wide(0.019)).would_do, None);
    }

    #[test]
    fn an_interval_around_zero_is_tight_only_without_width() {
        let interval = |values: &[f64]| {
            share(&Interval::student_t(&values.iter().copied().collect(), LEVEL).expect("two values"))
        };
        assert_eq!(interval(&[0.0, 0.0]), 0.0);
        assert_eq!(interval(&[-1.0, 1.0]), f64::INFINITY);
    }
}
