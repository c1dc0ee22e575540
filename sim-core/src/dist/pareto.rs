//! The Pareto distribution with its tail cut off: what file sizes and job lengths look like.

use super::{DistError, check, positive};

/// Density ∝ x^(−alpha−1) between `low` and `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BoundedPareto {
    alpha: f64,
    low: f64,
    high: f64,
    /// The share of the unbounded distribution that lies below `high`.
    kept: f64,
}

impl BoundedPareto {
    pub(super) fn new(alpha: f64, low: f64, high: f64) -> Result<BoundedPareto, DistError> {
        let beyond = (low / high).powf(alpha);
        check(
            positive(alpha) && positive(low) && high > low && high.is_finite() && beyond < 1.0,
            "a bounded Pareto distribution needs an alpha above zero and 0 < low < high",
        )?;
        Ok(BoundedPareto { alpha, low, high, kept: 1.0 - beyond })
    }

    #[inline]
    pub(super) fn quantile(&self, probability: f64) -> f64 {
        self.low * (1.0 - probability * self.kept).powf(-1.0 / self.alpha)
    }

    pub(super) fn cdf(&self, x: f64) -> f64 {
        (1.0 - (self.low / x.clamp(self.low, self.high)).powf(self.alpha)) / self.kept
    }

    /// E\[(X / low)^k\] = alpha · ∫ r^(k − alpha − 1) dr / kept, over r from 1 to high / low.
    pub(super) fn moment(&self, k: f64) -> f64 {
        let log_range = (self.high / self.low).ln();
        let power = k - self.alpha;
        // `exp_m1` is exact where alpha is close to k and the power rule would divide nothing by nothing.
        let integral = if power == 0.0 { log_range } else { (power * log_range).exp_m1() / power };
        self.alpha * integral / self.kept
    }

    pub(super) fn mean(&self) -> f64 {
        self.low * self.moment(1.0)
    }

    pub(super) fn scv(&self) -> f64 {
        (self.moment(2.0) / self.moment(1.0).powi(2) - 1.0).max(0.0)
    }

    pub(super) fn scaled(&self, factor: f64) -> Result<BoundedPareto, DistError> {
        BoundedPareto::new(self.alpha, self.low * factor, self.high * factor)
    }
}
