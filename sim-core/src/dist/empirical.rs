//! A distribution given by its quantiles: a piecewise linear inverse of the distribution function.

use std::sync::Arc;

use super::{DistError, check};

/// The most quantiles that an empirical distribution holds.
pub const MOST_POINTS: usize = 10_000;

/// This many of the largest samples always stand alone; from there down, groups grow in proportion to what is above.
const TAIL: usize = 128;

/// Groups of samples, were they all of one size. With the tail's they are never more than 4 095.
const GROUPS: usize = 2_048;

/// Stretches of the inverse distribution function from probability 0 to 1, each linear: an atom where its values are
/// equal. Stretches without probability are left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Empirical {
    stretches: Arc<[Stretch]>,
    /// For each of equally wide intervals of probability the first stretch that reaches into it: a draw then finds its
    /// own in a step or two (Chen and Asau 1974). A power of two of them, so that the index is exact.
    guide: Arc<[u16]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    start: f64,
    end: f64,
    low: f64,
    high: f64,
}

impl Empirical {
    pub(super) fn from_quantiles(points: &[(f64, f64)]) -> Result<Empirical, DistError> {
        let ascending = points.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1);
        let ends = points.len() >= 2 && points[0].0 == 0.0 && points[points.len() - 1].0 == 1.0;
        let values = points.iter().all(|&(_, value)| value.is_finite() && value >= 0.0);
        check(
            ascending && ends && values,
            "quantiles need probabilities from 0 to 1 and values that are zero or more, and neither may fall",
        )?;
        check(points.len() <= MOST_POINTS, "a distribution has at most 10 000 quantiles")?;
        let stretches = points.windows(2).filter(|w| w[0].0 < w[1].0);
        let stretch = |w: &[(f64, f64)]| Stretch { start: w[0].0, end: w[1].0, low: w[0].1, high: w[1].1 };
        Ok(Empirical::new(stretches.map(stretch).collect()))
    }

    fn new(stretches: Arc<[Stretch]>) -> Empirical {
        let intervals = (2 * stretches.len()).next_power_of_two();
        let first = |interval: usize| {
            let probability = interval as f64 / intervals as f64;
            stretches.partition_point(|stretch| stretch.end <= probability) as u16
        };
        let guide = (0..intervals).map(first).collect();
        Empirical { stretches, guide }
    }

    /// Every sample with equal probability. Of many samples, neighbours form groups that are drawn uniformly from their
    /// range: small groups in the upper tail, where a few samples carry much of the mean and most of the variance.
    pub(super) fn from_samples(samples: &[f64]) -> Result<Empirical, DistError> {
        check(
            !samples.is_empty() && samples.iter().all(|&value| value.is_finite() && value >= 0.0),
            "samples must be at least one number, each zero or more",
        )?;
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let mut stretches = Vec::new();
        let mut end = n;
        while end > 0 {
            let above = n - end;
            let start = end - (2 * above / TAIL).min(n / GROUPS).clamp(1, end);
            stretches.push(Stretch {
                start: start as f64 / n as f64,
                end: end as f64 / n as f64,
                low: sorted[start],
                high: sorted[end - 1],
            });
            end = start;
        }
        stretches.reverse();
        Ok(Empirical::new(stretches.into()))
    }

    /// The value that a share `probability`, below 1, of all values does not exceed.
    #[inline]
    pub(super) fn quantile(&self, probability: f64) -> f64 {
        let interval = (probability * self.guide.len() as f64) as usize;
        let mut index = usize::from(self.guide[interval]);
        while self.stretches[index].end <= probability {
            index += 1; // the last one ends at 1
        }
        let Stretch { start, end, low, high } = self.stretches[index];
        low + (high - low) * ((probability - start) / (end - start))
    }

    pub(super) fn cdf(&self, value: f64) -> f64 {
        let below = self.stretches.partition_point(|stretch| stretch.high <= value);
        match self.stretches.get(below) {
            None => 1.0,
            Some(stretch) if value <= stretch.low => stretch.start,
            Some(&Stretch { start, end, low, high }) => start + (end - start) * (value - low) / (high - low),
        }
    }

    pub(super) fn mean(&self) -> f64 {
        self.integrate(|low, high| (low + high) / 2.0)
    }

    pub(super) fn variance(&self) -> f64 {
        let mean = self.mean();
        self.integrate(|low, high| {
            let (a, b) = (low - mean, high - mean);
            (a * a + a * b + b * b) / 3.0
        })
    }

    pub(super) fn scaled(&self, factor: f64) -> Empirical {
        let stretch = |s: &Stretch| Stretch { low: s.low * factor, high: s.high * factor, ..*s };
        Empirical::new(self.stretches.iter().map(stretch).collect())
    }

    /// The integral over probability of what `of` says of the values from one to the next.
    fn integrate(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        self.stretches.iter().map(|s| (s.end - s.start) * of(s.low, s.high)).sum()
    }
}
