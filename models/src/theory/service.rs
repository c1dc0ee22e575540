//! Laws of service times: their moments, and their answer to a sinusoid.

use std::f64::consts::TAU;

use super::error::{TheoryError, at_least_one, positive, probability};

/// Points of the numerical integrals; enough for nine digits of everything asked of them.
const INTEGRATION_POINTS: u32 = 40_000;
/// Standard deviations of a normal law beyond which nothing counts: the mass outside is 2e-23.
const NORMAL_REACH: f64 = 10.0;

/// The first three moments of a service time (or of a setup time).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    first: f64,
    second: f64,
    third: f64,
}

impl Moments {
    /// `E[S]`, `E[S²]` and `E[S³]`, in units of time, of time squared and of time cubed.
    ///
    /// Each is above 0 and at least what the one before implies. The third may be infinite (or unknown, given as
    /// infinite): only the spread of the wait needs it, and then that is infinite too.
    pub fn new(first: f64, second: f64, third: f64) -> Result<Moments, TheoryError> {
        positive("mean", first)?;
        positive("second moment", second)?;
        // A constant has E[S²] = E[S]² exactly; rounding must not make it invalid.
        if second < first * first * (1.0 - 1e-12) {
            let must_be = "at least the square of the mean";
            return Err(TheoryError::Invalid { what: "second moment", must_be, value: second });
        }
        // Cauchy-Schwarz: E[S²]² ≤ E[S] E[S³]. `<` also lets an infinite third moment pass, and not a NaN.
        if third.is_nan() || first * third < second * second * (1.0 - 1e-12) {
            let must_be = "at least the square of the second moment over the mean";
            return Err(TheoryError::Invalid { what: "third moment", must_be, value: third });
        }
        Ok(Moments { first, second, third })
    }

    /// The mean, `E[S]`.
    pub fn mean(&self) -> f64 {
        self.first
    }

    /// The second moment, `E[S²]`.
    pub fn second(&self) -> f64 {
        self.second
    }

    /// The third moment, `E[S³]`, perhaps infinite.
    pub fn third(&self) -> f64 {
        self.third
    }

    /// The coefficient of variation: standard deviation over mean.
    pub fn cv(&self) -> f64 {
        f64::max(0.0, self.second / (self.first * self.first) - 1.0).sqrt()
    }
}

/// A law of service times whose moments are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceLaw {
    /// Exponential.
    Exponential {
        /// Mean time.
        mean: f64,
    },
    /// Always the same.
    Deterministic {
        /// The time.
        value: f64,
    },
    /// Uniform between two times.
    Uniform {
        /// Shortest time, at least 0.
        low: f64,
        /// Longest time, above `low`.
        high: f64,
    },
    /// The sum of `stages` exponential times of equal mean.
    Erlang {
        /// Number of stages, at least 1.
        stages: u32,
        /// Mean of the whole time.
        mean: f64,
    },
    /// Lognormal.
    Lognormal {
        /// Mean time.
        mean: f64,
        /// Coefficient of variation, above 0.
        cv: f64,
    },
    /// Exponential of rate `rate1` with probability `p`, else of rate `rate2`.
    Hyperexponential {
        /// Probability of the first rate.
        p: f64,
        /// First rate.
        rate1: f64,
        /// Second rate.
        rate2: f64,
    },
    /// Density proportional to x^(−α−1) between two times.
    BoundedPareto {
        /// Tail exponent, above 0.
        alpha: f64,
        /// Shortest time, above 0.
        low: f64,
        /// Longest time, above `low`.
        high: f64,
    },
    /// `value1` with probability `p`, else `value2`.
    TwoPoint {
        /// Probability of the first time.
        p: f64,
        /// First time.
        value1: f64,
        /// Second time.
        value2: f64,
    },
}

impl ServiceLaw {
    /// The first three moments; an error names the parameter that is out of range.
    ///
    /// ```
    /// use scalesim::theory::ServiceLaw;
    /// let moments = ServiceLaw::Lognormal { mean: 0.006, cv: 1.5 }.moments()?;
    /// assert!((moments.cv() - 1.5).abs() < 1e-12);
    /// # Ok::<(), scalesim::theory::TheoryError>(())
    /// ```
    pub fn moments(&self) -> Result<Moments, TheoryError> {
        self.check()?;
        Moments::new(self.moment(1), self.moment(2), self.moment(3))
    }

    fn check(&self) -> Result<(), TheoryError> {
        let above = |low: f64, high: f64| {
            if high > low {
                return positive("longest time", high).map(|_| ());
            }
            Err(TheoryError::Invalid { what: "longest time", must_be: "above the shortest", value: high })
        };
        match *self {
            ServiceLaw::Exponential { mean } => positive("mean", mean).map(|_| ()),
            ServiceLaw::Deterministic { value } => positive("time", value).map(|_| ()),
            ServiceLaw::Uniform { low, high } => {
                super::error::not_negative("shortest time", low)?;
                above(low, high)
            }
            ServiceLaw::Erlang { stages, mean } => {
                at_least_one("number of stages", stages)?;
                positive("mean", mean).map(|_| ())
            }
            ServiceLaw::Lognormal { mean, cv } => {
                positive("mean", mean)?;
                positive("coefficient of variation", cv).map(|_| ())
            }
            ServiceLaw::Hyperexponential { p, rate1, rate2 } => {
                probability("probability of the first rate", p)?;
                positive("first rate", rate1)?;
                positive("second rate", rate2).map(|_| ())
            }
            ServiceLaw::BoundedPareto { alpha, low, high } => {
                positive("tail exponent", alpha)?;
                positive("shortest time", low)?;
                above(low, high)
            }
            ServiceLaw::TwoPoint { p, value1, value2 } => {
                probability("probability of the first time", p)?;
                positive("first time", value1)?;
                positive("second time", value2).map(|_| ())
            }
        }
    }

    /// `E[S^k]` for k of 1, 2 or 3.
    fn moment(&self, k: i32) -> f64 {
        let factorial = [1.0, 1.0, 2.0, 6.0][k as usize];
        match *self {
            ServiceLaw::Exponential { mean } => factorial * mean.powi(k),
            ServiceLaw::Deterministic { value } => value.powi(k),
            ServiceLaw::Uniform { low, high } => {
                // (high^(k+1) − low^(k+1)) / ((k+1)(high − low)), divided out so that nothing cancels.
                (0..=k).map(|i| high.powi(i) * low.powi(k - i)).sum::<f64>() / f64::from(k + 1)
            }
            ServiceLaw::Erlang { stages, mean } => {
                (0..k).map(|i| mean * (1.0 + f64::from(i) / f64::from(stages))).product()
            }
            ServiceLaw::Lognormal { mean, cv } => mean.powi(k) * (1.0 + cv * cv).powi(k * (k - 1) / 2),
            ServiceLaw::Hyperexponential { p, rate1, rate2 } => {
                factorial * (p * rate1.powi(-k) + (1.0 - p) * rate2.powi(-k))
            }
            ServiceLaw::BoundedPareto { alpha, low, high } => {
                let log_ratio = (high / low).ln();
                let excess = f64::from(k) - alpha;
                let growth = if excess == 0.0 { log_ratio } else { (excess * log_ratio).exp_m1() / excess };
                alpha * low.powi(k) * growth / -(-alpha * log_ratio).exp_m1()
            }
            ServiceLaw::TwoPoint { p, value1, value2 } => p * value1.powi(k) + (1.0 - p) * value2.powi(k),
        }
    }

    /// `E[sin ωS]` and `E[1 − cos ωS]`, for ω above 0.
    ///
    /// Lognormal and bounded Pareto laws have no closed form: the trapezoid rule in the logarithm of the time gives
    /// nine digits unless ω times the mean exceeds a hundred.
    pub(super) fn sinusoid(&self, omega: f64) -> (f64, f64) {
        let at = |time: f64| ((omega * time).sin(), 2.0 * (0.5 * omega * time).sin().powi(2));
        // An exponential time of mean m: 1 / (1 + iωm) = E[cos] − i E[sin].
        let exponential = |mean: f64| {
            let x = omega * mean;
            (x / (1.0 + x * x), x * x / (1.0 + x * x))
        };
        let mixture = |p: f64, one: (f64, f64), other: (f64, f64)| {
            (p * one.0 + (1.0 - p) * other.0, p * one.1 + (1.0 - p) * other.1)
        };
        match *self {
            ServiceLaw::Exponential { mean } => exponential(mean),
            ServiceLaw::Deterministic { value } => at(value),
            ServiceLaw::Uniform { low, high } => {
                let width = omega * (high - low);
                let (sin_low, cos_low) = (omega * low).sin_cos();
                let (sin_high, cos_high) = (omega * high).sin_cos();
                ((cos_low - cos_high) / width, 1.0 - (sin_high - sin_low) / width)
            }
            ServiceLaw::Erlang { stages, mean } => {
                let k = f64::from(stages);
                let x = omega * mean / k;
                // (1 + ix)^(−k) in polar form.
                let log_modulus = -0.5 * k * (x * x).ln_1p();
                let angle = k * x.atan();
                let modulus = log_modulus.exp();
                (modulus * angle.sin(), -log_modulus.exp_m1() + modulus * 2.0 * (0.5 * angle).sin().powi(2))
            }
            ServiceLaw::Lognormal { mean, cv } => {
                let variance = (cv * cv).ln_1p();
                let (mu, sigma) = (mean.ln() - 0.5 * variance, variance.sqrt());
                average(-NORMAL_REACH, NORMAL_REACH, |z| {
                    ((-0.5 * z * z).exp() / TAU.sqrt(), at((mu + sigma * z).exp()))
                })
            }
            ServiceLaw::Hyperexponential { p, rate1, rate2 } => {
                mixture(p, exponential(1.0 / rate1), exponential(1.0 / rate2))
            }
            ServiceLaw::BoundedPareto { alpha, low, high } => {
                let span = (high / low).ln();
                let scale = alpha / -(-alpha * span).exp_m1();
                average(0.0, span, |y| (scale * (-alpha * y).exp(), at(low * y.exp())))
            }
            ServiceLaw::TwoPoint { p, value1, value2 } => mixture(p, at(value1), at(value2)),
        }
    }
}

/// ∫ density · value by Simpson's rule; `f` gives the density and the pair of values at a point.
fn average(from: f64, to: f64, f: impl Fn(f64) -> (f64, (f64, f64))) -> (f64, f64) {
    let step = (to - from) / f64::from(INTEGRATION_POINTS);
    let mut total = (0.0, 0.0);
    for i in 0..=INTEGRATION_POINTS {
        let weight = match i {
            0 | INTEGRATION_POINTS => 1.0,
            _ if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let (density, (sine, versine)) = f(from + f64::from(i) * step);
        total.0 += weight * density * sine;
        total.1 += weight * density * versine;
    }
    (total.0 * step / 3.0, total.1 * step / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_sinusoid_sees_only_the_moments() {
        // E[sin ωS] → ωE[S] and E[1 − cos ωS] → ω²E[S²]/2 as ω → 0, for every law.
        let laws = [
            ServiceLaw::Exponential { mean: 2.0 },
            ServiceLaw::Deterministic { value: 2.0 },
            ServiceLaw::Uniform { low: 1.0, high: 3.0 },
            ServiceLaw::Erlang { stages: 3, mean: 2.0 },
            ServiceLaw::Lognormal { mean: 2.0, cv: 1.5 },
            ServiceLaw::Hyperexponential { p: 0.9, rate1: 2.0, rate2: 0.2 },
            ServiceLaw::BoundedPareto { alpha: 1.5, low: 0.5, high: 50.0 },
            ServiceLaw::BoundedPareto { alpha: 1.0, low: 0.5, high: 50.0 },
            ServiceLaw::TwoPoint { p: 0.25, value1: 1.0, value2: 5.0 },
        ];
        for law in laws {
            let moments = law.moments().unwrap();
            let omega = 1e-4;
            let (sine, versine) = law.sinusoid(omega);
            assert!((sine / (omega * moments.mean()) - 1.0).abs() < 1e-4, "{law:?}");
            assert!((versine / (0.5 * omega * omega * moments.second()) - 1.0).abs() < 1e-4, "{law:?}");
        }
    }

    #[test]
    fn bad_parameters_are_named() {
        let error = ServiceLaw::Uniform { low: 3.0, high: 1.0 }.moments().unwrap_err();
        assert_eq!(error.to_string(), "the longest time must be above the shortest, but it is 1");
        assert!(ServiceLaw::Lognormal { mean: 1.0, cv: -1.0 }.moments().is_err());
        assert!(ServiceLaw::Erlang { stages: 0, mean: 1.0 }.moments().is_err());
        assert!(Moments::new(1.0, 0.5, 1.0).is_err());
        assert!(Moments::new(1.0, 2.0, 3.0).is_err());
        assert!(Moments::new(1.0, 2.0, f64::NAN).is_err());
        assert_eq!(Moments::new(1.0, 2.0, f64::INFINITY).unwrap().cv(), 1.0);
    }
}
