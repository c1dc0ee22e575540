//! Distributions of times and sizes. `rand_distr` draws, `statrs` has the special functions; what is here is
//! one closed type with the parameters people think in (mean and coefficient of variation), and its moments.
//!
//! Values are plain non-negative numbers; [`Dist::span`] reads them as nanoseconds.

mod empirical;
mod pareto;

use std::fmt;
use std::sync::Arc;

use rand::Rng;
use rand_distr::{Distribution, Exp1, Gamma, LogNormal, Weibull};
use statrs::function::erf::erfc;
use statrs::function::gamma::{gamma, gamma_lr, ln_gamma};

use crate::chance::unit;
use crate::time::Span;
use empirical::Empirical;
pub use empirical::MOST_POINTS;
use pareto::BoundedPareto;

/// The most phases of a hyperexponential distribution.
pub const MOST_PHASES: usize = 100;

/// A distribution of non-negative numbers.
///
/// ```
/// use sim_core::Seed;
/// use sim_core::dist::Dist;
/// let service_time = Dist::lognormal(2e6, 0.8)?; // mean 2 ms, in nanoseconds
/// assert!((service_time.mean() - 2e6).abs() < 1e-6);
/// let drawn = service_time.span(&mut Seed::new(1).keyed("demand").at(7));
/// assert!(drawn.as_secs_f64() > 0.0);
/// # Ok::<(), sim_core::dist::DistError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dist(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Constant(f64),
    Uniform {
        low: f64,
        high: f64,
    },
    Exponential {
        mean: f64,
    },
    /// Erlang and gamma, by shape and scale.
    Gamma {
        shape: f64,
        scale: f64,
        sampler: Gamma<f64>,
    },
    /// Phases as (cumulative probability, mean).
    Hyperexponential(Arc<[(f64, f64)]>),
    Lognormal {
        mu: f64,
        sigma: f64,
        sampler: LogNormal<f64>,
    },
    Weibull {
        shape: f64,
        scale: f64,
        sampler: Weibull<f64>,
    },
    Pareto(BoundedPareto),
    Empirical(Empirical),
}

/// Why parameters do not make a distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct DistError(&'static str);

impl fmt::Display for DistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for DistError {}

fn check(holds: bool, expectation: &'static str) -> Result<(), DistError> {
    if holds { Ok(()) } else { Err(DistError(expectation)) }
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

const EXTREME: &str =
    "a distribution needs a mean and a variance that are neither too large nor too small to compute with";

/// Refuses what was checked part by part and still has no finite mean or variance as an `f64`.
fn finite(kind: Kind) -> Result<Dist, DistError> {
    let dist = Dist(kind);
    check(dist.mean().is_finite() && dist.scv().is_finite(), EXTREME)?;
    Ok(dist)
}

impl Dist {
    /// Always `value`.
    pub fn constant(value: f64) -> Result<Dist, DistError> {
        check(value.is_finite() && value >= 0.0, "a constant must be zero or more")?;
        Ok(Dist(Kind::Constant(value)))
    }

    /// Any value from `low` to `high`, all equally likely.
    pub fn uniform(low: f64, high: f64) -> Result<Dist, DistError> {
        check(
            low >= 0.0 && high >= low && high.is_finite(),
            "a uniform distribution needs 0 <= low <= high",
        )?;
        finite(Kind::Uniform { low, high })
    }

    /// Exponential with this mean.
    pub fn exponential(mean: f64) -> Result<Dist, DistError> {
        check(positive(mean), "an exponential distribution needs a mean above zero")?;
        Ok(Dist(Kind::Exponential { mean }))
    }

    /// The sum of `phases` exponential phases, with this mean in all.
    pub fn erlang(phases: u32, mean: f64) -> Result<Dist, DistError> {
        check(phases >= 1, "an Erlang distribution needs at least one phase")?;
        Dist::gamma_shape(f64::from(phases), mean)
    }

    /// Gamma with this mean and coefficient of variation.
    pub fn gamma(mean: f64, cv: f64) -> Result<Dist, DistError> {
        check(positive(cv), "a gamma distribution needs a coefficient of variation above zero")?;
        Dist::gamma_shape(1.0 / (cv * cv), mean)
    }

    fn gamma_shape(shape: f64, mean: f64) -> Result<Dist, DistError> {
        const EXPECTED: &str = "a gamma or Erlang distribution needs a mean above zero and varies by a coefficient of 0.0001 to 10 000";
        check(positive(mean) && (1e-8..=1e8).contains(&shape), EXPECTED)?;
        Dist::gamma_scale(shape, mean / shape)
    }

    fn gamma_scale(shape: f64, scale: f64) -> Result<Dist, DistError> {
        check(positive(scale), EXTREME)?;
        let sampler = Gamma::new(shape, scale).map_err(|_| DistError(EXTREME))?;
        finite(Kind::Gamma { shape, scale, sampler })
    }

    /// Exponential with mean `m` with probability `p`, for each `(p, m)` of `phases`.
    pub fn hyperexponential(phases: &[(f64, f64)]) -> Result<Dist, DistError> {
        let total: f64 = phases.iter().map(|&(p, _)| p).sum();
        check(
            !phases.is_empty()
                && phases.iter().all(|&(p, mean)| p >= 0.0 && positive(mean))
                && (total - 1.0).abs() < 1e-9,
            "a hyperexponential distribution needs phases with means above zero and probabilities that sum to 1",
        )?;
        check(phases.len() <= MOST_PHASES, "a hyperexponential distribution has at most 100 phases")?;
        let mut sum = 0.0;
        let cumulative = phases.iter().map(|&(p, mean)| {
            sum += p;
            (sum, mean)
        });
        finite(Kind::Hyperexponential(cumulative.collect()))
    }

    /// Two exponential phases with balanced means (each carries half of the mean), for a squared coefficient of
    /// variation of 1 or more (Whitt 1982, section 3).
    pub fn hyperexponential_balanced(mean: f64, scv: f64) -> Result<Dist, DistError> {
        check(
            positive(mean) && scv.is_finite() && scv >= 1.0,
            "a hyperexponential distribution needs a mean above zero and a squared coefficient of variation of 1 or more",
        )?;
        let p = 0.5 * (1.0 + ((scv - 1.0) / (scv + 1.0)).sqrt());
        check(p < 1.0, "a hyperexponential distribution cannot vary that much")?;
        Dist::hyperexponential(&[(p, mean / (2.0 * p)), (1.0 - p, mean / (2.0 * (1.0 - p)))])
    }

    /// Lognormal with this mean and coefficient of variation.
    pub fn lognormal(mean: f64, cv: f64) -> Result<Dist, DistError> {
        const EXPECTED: &str =
            "a lognormal distribution needs a mean and a coefficient of variation above zero";
        check(positive(mean) && positive(cv) && positive(cv * cv), EXPECTED)?;
        let variance = (cv * cv).ln_1p();
        Dist::lognormal_log(mean.ln() - variance / 2.0, variance.sqrt())
    }

    /// From the mean and the standard deviation of the logarithm.
    fn lognormal_log(mu: f64, sigma: f64) -> Result<Dist, DistError> {
        let sampler = LogNormal::new(mu, sigma).map_err(|_| DistError(EXTREME))?;
        finite(Kind::Lognormal { mu, sigma, sampler })
    }

    /// Weibull with this shape and mean. Shapes below 1 have heavy tails.
    pub fn weibull(shape: f64, mean: f64) -> Result<Dist, DistError> {
        const EXPECTED: &str = "a Weibull distribution needs a mean above zero and a shape of 0.05 or more";
        check(positive(mean) && shape.is_finite() && shape >= 0.05, EXPECTED)?;
        Dist::weibull_scale(shape, mean / gamma(1.0 + 1.0 / shape))
    }

    fn weibull_scale(shape: f64, scale: f64) -> Result<Dist, DistError> {
        check(positive(scale), EXTREME)?;
        let sampler = Weibull::new(scale, shape).map_err(|_| DistError(EXTREME))?;
        finite(Kind::Weibull { shape, scale, sampler })
    }

    /// Pareto with tail index `alpha`, cut to the values from `low` to `high`: density ∝ x^(−alpha−1).
    pub fn bounded_pareto(alpha: f64, low: f64, high: f64) -> Result<Dist, DistError> {
        finite(Kind::Pareto(BoundedPareto::new(alpha, low, high)?))
    }

    /// The distribution with these quantiles, linear in between: `(probability, value)` from probability 0 to 1, at most
    /// [`MOST_POINTS`]. The same value twice is drawn with the probability between the two; the same probability twice
    /// leaves out the values in between.
    ///
    /// ```
    /// use sim_core::dist::Dist;
    /// let hit_or_miss = Dist::from_quantiles(&[(0.0, 1.0), (0.9, 1.0), (0.9, 50.0), (1.0, 50.0)])?;
    /// assert!((hit_or_miss.mean() - 5.9).abs() < 1e-12);
    /// # Ok::<(), sim_core::dist::DistError>(())
    /// ```
    pub fn from_quantiles(points: &[(f64, f64)]) -> Result<Dist, DistError> {
        finite(Kind::Empirical(Empirical::from_quantiles(points)?))
    }

    /// The distribution that draws one of these samples, each as likely as the others. More than 4 095 are summed up in
    /// at most that many groups of neighbours, small ones in the upper tail, and values between those of a group are
    /// drawn as well.
    pub fn from_samples(samples: &[f64]) -> Result<Dist, DistError> {
        finite(Kind::Empirical(Empirical::from_samples(samples)?))
    }

    /// The distribution of `factor` times the value, for a factor above zero: the same shape in another unit, or on
    /// another machine.
    ///
    /// ```
    /// use sim_core::dist::Dist;
    /// let milliseconds = Dist::lognormal(2.0, 0.8)?;
    /// assert_eq!(milliseconds.scaled(1e6)?, Dist::lognormal(2e6, 0.8)?);
    /// # Ok::<(), sim_core::dist::DistError>(())
    /// ```
    pub fn scaled(&self, factor: f64) -> Result<Dist, DistError> {
        check(positive(factor), "a distribution can be scaled by a number above zero")?;
        match &self.0 {
            Kind::Constant(value) => Dist::constant(value * factor),
            Kind::Uniform { low, high } => Dist::uniform(low * factor, high * factor),
            Kind::Exponential { mean } => Dist::exponential(mean * factor),
            Kind::Gamma { shape, scale, .. } => Dist::gamma_scale(*shape, scale * factor),
            Kind::Hyperexponential(phases) => {
                let scaled: Arc<[_]> = phases.iter().map(|&(sum, mean)| (sum, mean * factor)).collect();
                check(scaled.iter().all(|&(_, mean)| positive(mean)), EXTREME)?;
                finite(Kind::Hyperexponential(scaled))
            }
            Kind::Lognormal { mu, sigma, .. } => Dist::lognormal_log(mu + factor.ln(), *sigma),
            Kind::Weibull { shape, scale, .. } => Dist::weibull_scale(*shape, scale * factor),
            Kind::Pareto(pareto) => finite(Kind::Pareto(pareto.scaled(factor)?)),
            Kind::Empirical(empirical) => finite(Kind::Empirical(empirical.scaled(factor))),
        }
    }

    /// One draw.
    #[inline]
    pub fn sample(&self, bits: &mut impl Rng) -> f64 {
        match &self.0 {
            Kind::Constant(value) => *value,
            Kind::Uniform { low, high } => low + (high - low) * unit(bits),
            Kind::Exponential { mean } => mean * exp1(bits),
            Kind::Gamma { sampler, .. } => sampler.sample(bits),
            Kind::Hyperexponential(phases) => {
                let draw = unit(bits);
                let last = phases[phases.len() - 1].1;
                let mean = phases.iter().find(|&&(p, _)| draw < p).map_or(last, |&(_, mean)| mean);
                mean * exp1(bits)
            }
            Kind::Lognormal { sampler, .. } => sampler.sample(bits),
            Kind::Weibull { sampler, .. } => sampler.sample(bits),
            Kind::Pareto(pareto) => pareto.quantile(unit(bits)),
            Kind::Empirical(empirical) => empirical.quantile(unit(bits)),
        }
    }

    /// One draw, read as nanoseconds.
    #[inline]
    pub fn span(&self, bits: &mut impl Rng) -> Span {
        Span::from_nanos_f64(self.sample(bits))
    }

    /// The value of a constant, read as nanoseconds; `None` for everything that varies.
    pub fn constant_span(&self) -> Option<Span> {
        match self.0 {
            Kind::Constant(value) => Some(Span::from_nanos_f64(value)),
            _ => None,
        }
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        match &self.0 {
            Kind::Constant(value) => *value,
            Kind::Uniform { low, high } => (low + high) / 2.0,
            Kind::Exponential { mean } => *mean,
            Kind::Gamma { shape, scale, .. } => shape * scale,
            Kind::Hyperexponential(phases) => shares(phases).map(|(p, mean)| p * mean).sum(),
            Kind::Lognormal { mu, sigma, .. } => (mu + sigma * sigma / 2.0).exp(),
            Kind::Weibull { shape, scale, .. } => scale * gamma(1.0 + 1.0 / shape),
            Kind::Pareto(pareto) => pareto.mean(),
            Kind::Empirical(empirical) => empirical.mean(),
        }
    }

    /// The squared coefficient of variation: variance over squared mean. Zero where the mean is.
    pub fn scv(&self) -> f64 {
        let mean = self.mean();
        let of_variance = |variance: f64| if mean == 0.0 { 0.0 } else { variance / mean / mean };
        match &self.0 {
            Kind::Constant(_) => 0.0,
            Kind::Uniform { .. } if mean == 0.0 => 0.0,
            Kind::Uniform { low, high } => ((high - low) / mean).powi(2) / 12.0,
            Kind::Exponential { .. } => 1.0,
            Kind::Gamma { shape, .. } => 1.0 / shape,
            Kind::Hyperexponential(phases) => {
                // By the law of total variance, which loses no digits: each phase varies by its own mean, and its mean
                // differs from the whole.
                let spread = |(p, m): (f64, f64)| p * (m * m + (m - mean) * (m - mean));
                of_variance(shares(phases).map(spread).sum())
            }
            Kind::Lognormal { sigma, .. } => (sigma * sigma).exp_m1(),
            Kind::Weibull { shape, .. } => {
                (ln_gamma(1.0 + 2.0 / shape) - 2.0 * ln_gamma(1.0 + 1.0 / shape)).exp_m1().max(0.0)
            }
            Kind::Pareto(pareto) => pareto.scv(),
            Kind::Empirical(empirical) => of_variance(empirical.variance()),
        }
    }

    /// The probability of a value that is not above `x`.
    pub fn cdf(&self, x: f64) -> f64 {
        let exponential = |mean: f64| -(-x.max(0.0) / mean).exp_m1();
        match &self.0 {
            Kind::Constant(value) => f64::from(x >= *value),
            Kind::Uniform { low, high } if low == high => f64::from(x >= *low),
            Kind::Uniform { low, high } => ((x - low) / (high - low)).clamp(0.0, 1.0),
            Kind::Exponential { mean } => exponential(*mean),
            Kind::Gamma { shape, scale, .. } => {
                // `statrs` takes neither end of the range; both are as good as their neighbours.
                gamma_lr(*shape, (x / scale).clamp(f64::MIN_POSITIVE, f64::MAX))
            }
            Kind::Hyperexponential(phases) => shares(phases).map(|(p, mean)| p * exponential(mean)).sum(),
            Kind::Lognormal { mu, sigma, .. } => {
                erfc((mu - x.max(0.0).ln()) / (sigma * std::f64::consts::SQRT_2)) / 2.0
            }
            Kind::Weibull { shape, scale, .. } => -(-(x.max(0.0) / scale).powf(*shape)).exp_m1(),
            Kind::Pareto(pareto) => pareto.cdf(x),
            Kind::Empirical(empirical) => empirical.cdf(x),
        }
    }
}

/// A draw from the exponential distribution of mean 1, for those who scale it by a mean that changes.
#[inline]
pub fn exp1(bits: &mut impl Rng) -> f64 {
    Exp1.sample(bits)
}

/// Cumulative phases back to shares.
fn shares(phases: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let before = std::iter::once(0.0).chain(phases.iter().map(|&(sum, _)| sum));
    phases.iter().zip(before).map(|(&(sum, mean), before)| (sum - before, mean))
}
