//! Distributions of times and sizes. `rand_distr` draws, `statrs` knows the distribution functions; what is here is
//! one closed type with the parameters people think in (mean and coefficient of variation), and its moments.
//!
//! Values are plain non-negative numbers; [`Dist::span`] reads them as nanoseconds.

use std::fmt;
use std::sync::Arc;

use rand::Rng;
use rand_distr::{Distribution, Exp1, Gamma, LogNormal, Weibull};
use statrs::distribution::ContinuousCDF;
use statrs::function::gamma::gamma;

use crate::chance::unit;
use crate::time::Span;

/// The most points that an empirical distribution keeps; more samples are thinned to evenly spaced quantiles.
pub const MOST_POINTS: usize = 10_000;

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
    Pareto {
        alpha: f64,
        low: f64,
        high: f64,
    },
    /// (probability, value), linear in between.
    Empirical(Arc<[(f64, f64)]>),
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
        Ok(Dist(Kind::Uniform { low, high }))
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
        const EXPECTED: &str =
            "a gamma or Erlang distribution needs a mean above zero and a shape that is not extreme";
        check(positive(mean) && positive(shape) && positive(mean / shape), EXPECTED)?;
        let scale = mean / shape;
        let sampler = Gamma::new(shape, scale).map_err(|_| DistError(EXPECTED))?;
        Ok(Dist(Kind::Gamma { shape, scale, sampler }))
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
        let mut sum = 0.0;
        let cumulative = phases.iter().map(|&(p, mean)| {
            sum += p;
            (sum, mean)
        });
        Ok(Dist(Kind::Hyperexponential(cumulative.collect())))
    }

    /// Two exponential phases with balanced means (each carries half of the mean), for an SCV of 1 or more.
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
        check(positive(mean) && positive(cv), EXPECTED)?;
        let variance = (cv * cv).ln_1p();
        let (mu, sigma) = (mean.ln() - variance / 2.0, variance.sqrt());
        let sampler = LogNormal::new(mu, sigma).map_err(|_| DistError(EXPECTED))?;
        Ok(Dist(Kind::Lognormal { mu, sigma, sampler }))
    }

    /// Weibull with this shape and mean. Shapes below 1 have heavy tails.
    pub fn weibull(shape: f64, mean: f64) -> Result<Dist, DistError> {
        const EXPECTED: &str = "a Weibull distribution needs a mean above zero and a shape of 0.05 or more";
        check(positive(mean) && shape.is_finite() && shape >= 0.05, EXPECTED)?;
        let scale = mean / gamma(1.0 + 1.0 / shape);
        let sampler = Weibull::new(scale, shape).map_err(|_| DistError(EXPECTED))?;
        Ok(Dist(Kind::Weibull { shape, scale, sampler }))
    }

    /// Pareto with tail index `alpha`, cut to the values from `low` to `high`: density ∝ x^(−alpha−1).
    pub fn bounded_pareto(alpha: f64, low: f64, high: f64) -> Result<Dist, DistError> {
        check(
            positive(alpha)
                && positive(low)
                && high > low
                && high.is_finite()
                && positive((low / high).powf(alpha)),
            "a bounded Pareto distribution needs an alpha above zero and 0 < low < high",
        )?;
        Ok(Dist(Kind::Pareto { alpha, low, high }))
    }

    /// The distribution with these quantiles, linear in between: `(probability, value)` from probability 0 to 1.
    pub fn from_quantiles(points: &[(f64, f64)]) -> Result<Dist, DistError> {
        let ascending = points.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
        let ends = points.len() >= 2 && points[0].0 == 0.0 && points[points.len() - 1].0 == 1.0;
        let values = points.iter().all(|&(_, value)| value.is_finite() && value >= 0.0);
        check(
            ascending && ends && values,
            "quantiles need ascending probabilities from 0 to 1 and values that are zero or more and never fall",
        )?;
        check(points.len() <= MOST_POINTS, "a distribution has at most 10 000 quantiles")?;
        Ok(Dist(Kind::Empirical(points.into())))
    }

    /// The distribution of these samples, linear between neighbours; at most [`MOST_POINTS`] quantiles of them are kept.
    pub fn from_samples(samples: &[f64]) -> Result<Dist, DistError> {
        check(
            !samples.is_empty() && samples.iter().all(|&value| value.is_finite() && value >= 0.0),
            "samples must be at least one number, each zero or more",
        )?;
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        if sorted.len() == 1 {
            return Dist::constant(sorted[0]);
        }
        let points = sorted.len().min(MOST_POINTS);
        let point = |i: usize| {
            let probability = i as f64 / (points - 1) as f64;
            let at = probability * (sorted.len() - 1) as f64;
            let (below, rest) = (at.floor() as usize, at.fract());
            let above = (below + 1).min(sorted.len() - 1);
            (probability, sorted[below] + rest * (sorted[above] - sorted[below]))
        };
        Dist::from_quantiles(&(0..points).map(point).collect::<Vec<_>>())
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
            Kind::Pareto { alpha, low, high } => {
                let kept = 1.0 - (low / high).powf(*alpha);
                low * (1.0 - unit(bits) * kept).powf(-1.0 / alpha)
            }
            Kind::Empirical(points) => interpolate(points, unit(bits)),
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
            Kind::Pareto { alpha, low, high } => pareto_moment(*alpha, *low, *high, 1.0),
            Kind::Empirical(points) => {
                points.windows(2).map(|w| (w[1].0 - w[0].0) * (w[0].1 + w[1].1) / 2.0).sum()
            }
        }
    }

    /// The squared coefficient of variation: variance over squared mean. Zero where the mean is.
    pub fn scv(&self) -> f64 {
        let mean = self.mean();
        let second = match &self.0 {
            Kind::Constant(_) => return 0.0,
            Kind::Exponential { .. } => return 1.0,
            Kind::Gamma { shape, .. } => return 1.0 / shape,
            Kind::Lognormal { sigma, .. } => return (sigma * sigma).exp_m1(),
            Kind::Uniform { low, high } => (low * low + low * high + high * high) / 3.0,
            Kind::Hyperexponential(phases) => shares(phases).map(|(p, mean)| 2.0 * p * mean * mean).sum(),
            Kind::Weibull { shape, scale, .. } => scale * scale * gamma(1.0 + 2.0 / shape),
            Kind::Pareto { alpha, low, high } => pareto_moment(*alpha, *low, *high, 2.0),
            Kind::Empirical(points) => {
                let square = |a: f64, b: f64| (a * a + a * b + b * b) / 3.0;
                points.windows(2).map(|w| (w[1].0 - w[0].0) * square(w[0].1, w[1].1)).sum()
            }
        };
        if mean == 0.0 { 0.0 } else { (second / (mean * mean) - 1.0).max(0.0) }
    }

    /// The probability of a value that is not above `x`.
    pub fn cdf(&self, x: f64) -> f64 {
        use statrs::distribution as known;
        // The parameters were checked when the distribution was made, so `statrs` takes them.
        let of = |cdf: Option<f64>| cdf.unwrap_or(f64::NAN);
        match &self.0 {
            Kind::Constant(value) => f64::from(x >= *value),
            Kind::Uniform { low, high } if low == high => f64::from(x >= *low),
            Kind::Uniform { low, high } => ((x - low) / (high - low)).clamp(0.0, 1.0),
            Kind::Exponential { mean } => of(known::Exp::new(1.0 / mean).ok().map(|d| d.cdf(x))),
            Kind::Gamma { shape, scale, .. } => {
                of(known::Gamma::new(*shape, 1.0 / scale).ok().map(|d| d.cdf(x)))
            }
            Kind::Hyperexponential(phases) => shares(phases)
                .map(|(p, mean)| p * of(known::Exp::new(1.0 / mean).ok().map(|d| d.cdf(x))))
                .sum(),
            Kind::Lognormal { mu, sigma, .. } => {
                of(known::LogNormal::new(*mu, *sigma).ok().map(|d| d.cdf(x)))
            }
            Kind::Weibull { shape, scale, .. } => {
                of(known::Weibull::new(*shape, *scale).ok().map(|d| d.cdf(x)))
            }
            Kind::Pareto { alpha, low, high } => {
                let x = x.clamp(*low, *high);
                (1.0 - (low / x).powf(*alpha)) / (1.0 - (low / high).powf(*alpha))
            }
            Kind::Empirical(points) => inverse_interpolate(points, x),
        }
    }
}

#[inline]
fn exp1(bits: &mut impl Rng) -> f64 {
    Exp1.sample(bits)
}

/// Cumulative phases back to shares.
fn shares(phases: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let before = std::iter::once(0.0).chain(phases.iter().map(|&(sum, _)| sum));
    phases.iter().zip(before).map(|(&(sum, mean), before)| (sum - before, mean))
}

/// E[X^k] of the bounded Pareto distribution.
fn pareto_moment(alpha: f64, low: f64, high: f64, k: f64) -> f64 {
    let norm = alpha * low.powf(alpha) / (1.0 - (low / high).powf(alpha));
    if (k - alpha).abs() < 1e-9 {
        return norm * (high / low).ln();
    }
    norm * (high.powf(k - alpha) - low.powf(k - alpha)) / (k - alpha)
}

#[inline]
fn interpolate(points: &[(f64, f64)], probability: f64) -> f64 {
    let above = points.partition_point(|&(p, _)| p <= probability).clamp(1, points.len() - 1);
    let ((p0, v0), (p1, v1)) = (points[above - 1], points[above]);
    v0 + (v1 - v0) * ((probability - p0) / (p1 - p0)).clamp(0.0, 1.0)
}

fn inverse_interpolate(points: &[(f64, f64)], value: f64) -> f64 {
    let above = points.partition_point(|&(_, v)| v <= value);
    if above == 0 {
        return 0.0;
    }
    if above == points.len() {
        return 1.0;
    }
    let ((p0, v0), (p1, v1)) = (points[above - 1], points[above]);
    p0 + (p1 - p0) * (value - v0) / (v1 - v0)
}
