//! Two systems that were played with the same random numbers, replication by replication.
//!
//! What both have in common, a busy day and a quiet one, cancels in the difference of each pair, and its interval is
//! narrower than one that does not know of pairs (Law, *Simulation Modeling and Analysis*, sections 10.2 and 11.2).

use super::interval::student_quantile;
use super::{Interval, Tally};

/// Replications beyond which nobody is told how many would be needed.
const MOST_NEEDED: u64 = 1_000_000;

/// Pairs of values, one of each system.
///
/// ```
/// use sim_core::stats::Paired;
/// // What two designs cost on the same four days.
/// let pairs: Paired = [(10.0, 11.0), (20.0, 21.2), (30.0, 30.9), (40.0, 41.1)].into_iter().collect();
/// let (paired, unpaired) = (pairs.interval(0.95).unwrap(), pairs.unpaired(0.95).unwrap());
/// assert!(!paired.contains(0.0), "the second costs more");
/// assert!(unpaired.contains(0.0), "which four days of one and four other days of the other could not show");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paired {
    first: Tally,
    second: Tally,
    differences: Tally,
    /// The sum of products of deviations from the two means.
    products: f64,
}

impl Paired {
    /// Adds a pair: a value of the first system and one of the second.
    pub fn record(&mut self, first: f64, second: f64) {
        let deviation = first - self.first.mean();
        self.first.record(first);
        self.second.record(second);
        self.differences.record(second - first);
        self.products += deviation * (second - self.second.mean());
    }

    /// How many pairs there were.
    pub fn count(&self) -> u64 {
        self.differences.count()
    }

    /// The values of the first system.
    pub fn first(&self) -> &Tally {
        &self.first
    }

    /// The values of the second.
    pub fn second(&self) -> &Tally {
        &self.second
    }

    /// The differences: the second's value less the first's.
    pub fn differences(&self) -> &Tally {
        &self.differences
    }

    /// Student's interval for the mean difference, from the differences of pairs. `None` as in [`Interval::student_t`].
    pub fn interval(&self, level: f64) -> Option<Interval> {
        Interval::student_t(&self.differences, level)
    }

    /// Welch's interval for the difference of the means, as if the two systems had been played independently (Welch 1947;
    /// degrees of freedom by Satterthwaite 1946). `None` as in [`Interval::student_t`].
    pub fn unpaired(&self, level: f64) -> Option<Interval> {
        let (first, second, n) = (self.first.variance()?, self.second.variance()?, self.count() as f64);
        if !(level > 0.0 && level < 1.0) {
            return None;
        }
        let (a, b) = (first / n, second / n);
        let half_width = if a + b == 0.0 {
            0.0 // without spread there are no degrees of freedom either
        } else {
            // By shares, so that small variances squared do not vanish.
            let (a, b) = (a / (a + b), b / (a + b));
            let degrees = (n - 1.0) / (a * a + b * b);
            student_quantile(degrees, 0.5 + level / 2.0)? * ((first + second) / n).sqrt()
        };
        let mean = self.differences.mean();
        half_width.is_finite().then_some(Interval { mean, half_width, level, count: self.count() })
    }

    /// Pearson's correlation of the two, from -1 to 1; `None` where one of them has no spread.
    pub fn correlation(&self) -> Option<f64> {
        let spread = self.first.variance()?.sqrt() * self.second.variance()?.sqrt();
        let covariance = self.products / (self.count() - 1) as f64;
        (spread > 0.0 && spread.is_finite()).then(|| (covariance / spread).clamp(-1.0, 1.0))
    }

    /// How many times as many replications of each system would be needed for the same precision if they were independent:
    /// the variance of a difference of independent values over that of pairs. Below 1 where pairs do harm; `None`
    /// where pairs have no spread.
    pub fn times_as_many(&self) -> Option<f64> {
        let pairs = self.differences.variance().filter(|&variance| variance > 0.0)?;
        Some((self.first.variance()? + self.second.variance()?) / pairs)
    }

    /// How many pairs would give an interval that is `size` wide to each side, if their spread is what it has been so far;
    /// `None` beyond a million, and where nothing can be said.
    pub fn needed(&self, size: f64, level: f64) -> Option<u64> {
        let deviation = self.differences.variance()?.sqrt();
        let enough = |n: u64| {
            let t = student_quantile((n - 1) as f64, 0.5 + level / 2.0);
            t.is_some_and(|t| t * deviation / (n as f64).sqrt() <= size)
        };
        if !(size > 0.0 && level > 0.0 && level < 1.0 && enough(MOST_NEEDED)) {
            return None;
        }
        let (mut too_few, mut fine) = (1, MOST_NEEDED);
        while fine - too_few > 1 {
            let middle = too_few + (fine - too_few) / 2;
            if enough(middle) { fine = middle } else { too_few = middle }
        }
        Some(fine)
    }
}

impl FromIterator<(f64, f64)> for Paired {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(pairs: I) -> Self {
        let mut paired = Paired::default();
        pairs.into_iter().for_each(|(first, second)| paired.record(first, second));
        paired
    }
}
