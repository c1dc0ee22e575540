//! Confidence intervals for a share: in how many of so many independent trials something held.

use statrs::distribution::{Beta, ContinuousCDF};

/// The confidence interval of Clopper and Pearson (1934) for the probability behind a share of trials.
///
/// It covers at least as often as it says, for any probability and any number of trials; with few trials more often.
///
/// ```
/// use sim_core::stats::Proportion;
/// let held = Proportion::clopper_pearson(10, 10, 0.95).unwrap();
/// assert!((held.low - 0.6915).abs() < 1e-4 && held.high == 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proportion {
    /// Trials in which it held.
    pub successes: u64,
    /// All trials, at least 1.
    pub trials: u64,
    /// The lower end, 0 to 1.
    pub low: f64,
    /// The upper end, 0 to 1.
    pub high: f64,
    /// The confidence level, such as 0.95.
    pub level: f64,
}

impl Proportion {
    /// The interval after `successes` of `trials`. `None` without trials, with more successes than trials, and with a level
    /// outside (0, 1).
    pub fn clopper_pearson(successes: u64, trials: u64, level: f64) -> Option<Proportion> {
        if trials == 0 || successes > trials || !(level > 0.0 && level < 1.0) {
            return None;
        }
        let (tail, failures) = ((1.0 - level) / 2.0, trials - successes);
        let low = if successes == 0 { 0.0 } else { beta(successes, failures + 1, tail)? };
        // The other end is that of the failures, from the other side.
        let high = if failures == 0 { 1.0 } else { 1.0 - beta(failures, successes + 1, tail)? };
        Some(Proportion { successes, trials, low, high, level })
    }

    /// The share of trials in which it held.
    pub fn share(&self) -> f64 {
        self.successes as f64 / self.trials as f64
    }

    /// True where `probability` lies inside.
    pub fn contains(&self, probability: f64) -> bool {
        (self.low..=self.high).contains(&probability)
    }
}

fn beta(a: u64, b: u64, probability: f64) -> Option<f64> {
    let quantile = Beta::new(a as f64, b as f64).ok()?.inverse_cdf(probability);
    quantile.is_finite().then_some(quantile)
}
