//! Processor sharing: every request present runs at once, at an equal share of the cores.
//!
//! The model of time slicing with short slices and no cost of switching.

use super::birth_death::MAX_STATES;
use super::erlang::Mmc;
use super::error::{TheoryError, not_negative, positive, share, stable};
use super::finite::Mmck;
use super::numeric::{poisson_pmf, quantile_of_tail};

/// Most multiplications spent on the law of the sojourn.
const MAX_WORK: usize = 2_000_000_000;
/// Where the tail of the sojourn, and of the number present, is cut.
const NEGLIGIBLE: f64 = 1e-17;

/// M/G/c-PS: each of `n` requests present runs at speed min(1, c/n); any service times.
///
/// The number present, and so every mean, depends on the service times only through their mean: it is that of
/// M/M/c. Percentiles are *not* insensitive; for exponential service times see [`MmcPs`]. Source: Kleinrock 1967
/// and Sakata, Noguchi and Oizumi 1971 (one core); Cohen 1979, Kelly 1979 (several).
///
/// ```
/// use scalesim::theory::MgcPs;
/// let cores = MgcPs::new(1.6, 1.0, 2)?;
/// assert!((cores.mean_slowdown() - 2.777_777_777_777_778).abs() < 1e-12);
/// assert_eq!(cores.mean_sojourn_of(3.0)?, 3.0 * cores.mean_slowdown());
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MgcPs {
    number: Mmc,
}

impl MgcPs {
    /// `arrival_rate` per unit of time, `mean_service` on an otherwise idle core; utilisation below 1.
    pub fn new(arrival_rate: f64, mean_service: f64, cores: u32) -> Result<MgcPs, TheoryError> {
        let service_rate = 1.0 / positive("mean service time", mean_service)?;
        Ok(MgcPs { number: Mmc::new(arrival_rate, service_rate, cores)? })
    }

    /// The mean number of requests present.
    pub fn mean_number(&self) -> f64 {
        self.number.mean_number()
    }

    /// The share of time, and of arrivals, with at least as many requests present as cores.
    pub fn p_all_busy(&self) -> f64 {
        self.number.p_wait()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.number.mean_sojourn()
    }

    /// The mean sojourn of requests with this service time: proportional to it.
    pub fn mean_sojourn_of(&self, service_time: f64) -> Result<f64, TheoryError> {
        Ok(not_negative("service time", service_time)? * self.mean_slowdown())
    }

    /// The mean of sojourn over service time, the same for short and long requests.
    pub fn mean_slowdown(&self) -> f64 {
        self.mean_sojourn() * self.number.service_rate()
    }
}

/// M/G/c/K-PS: as [`MgcPs`], with requests rejected while K are present. Any load; insensitive as well.
///
/// Source: Cohen 1979; Bonald and Proutière 2002.
#[derive(Clone, Debug, PartialEq)]
pub struct MgckPs {
    number: Mmck,
}

impl MgckPs {
    /// `arrival_rate` per unit of time, `mean_service` on an otherwise idle core; `capacity` (K) at least `cores`.
    pub fn new(
        arrival_rate: f64,
        mean_service: f64,
        cores: u32,
        capacity: u32,
    ) -> Result<MgckPs, TheoryError> {
        let service_rate = 1.0 / positive("mean service time", mean_service)?;
        Ok(MgckPs { number: Mmck::new(arrival_rate, service_rate, cores, capacity)? })
    }

    /// The share of arrivals that are rejected.
    pub fn p_block(&self) -> f64 {
        self.number.p_block()
    }

    /// The mean number of requests present.
    pub fn mean_number(&self) -> f64 {
        self.number.mean_number()
    }

    /// The mean sojourn of admitted requests.
    pub fn mean_sojourn(&self) -> f64 {
        self.number.mean_sojourn()
    }
}

/// The standard deviation of the sojourn in M/M/1-PS.
///
/// Var T = (2 + ρ) / ((2 − ρ)(1 − ρ)²μ²); Coffman, Muntz and Trotter 1970. Utilisation below 1.
pub fn mm1_ps_std_sojourn(arrival_rate: f64, service_rate: f64) -> Result<f64, TheoryError> {
    let rho = positive("arrival rate", arrival_rate)? / positive("service rate", service_rate)?;
    stable(rho, 1)?;
    Ok(((2.0 + rho) / (2.0 - rho)).sqrt() / ((1.0 - rho) * service_rate))
}

/// M/M/c-PS: the whole distribution of the sojourn, for exponential service times.
///
/// A tagged request and the number of others make a birth-death chain that ends when the tagged one is done; its
/// time is computed by uniformisation (Coffman, Muntz and Trotter 1970; Jensen 1953), to nine digits and more. The
/// work grows with 1/(1 − ρ)³; near saturation the answer is [`TheoryError::TooLarge`].
#[derive(Clone, Debug, PartialEq)]
pub struct MmcPs {
    /// Steps per unit of time.
    step_rate: f64,
    /// P(not done after k steps).
    unfinished: Vec<f64>,
}

impl MmcPs {
    /// Rates per unit of time, `service_rate` that of a request alone on a core; utilisation below 1.
    pub fn new(arrival_rate: f64, service_rate: f64, cores: u32) -> Result<MmcPs, TheoryError> {
        let queue = Mmc::new(arrival_rate, service_rate, cores)?;
        let c = f64::from(cores);
        let beyond = (NEGLIGIBLE.ln() / queue.utilisation().ln()).ceil();
        let states = (c + beyond.max(1.0)) as usize;
        if states > MAX_STATES {
            return Err(TheoryError::TooLarge { unit: "states", limit: MAX_STATES });
        }
        let found = super::birth_death::stationary(Some(states - 1), |n| {
            arrival_rate / (f64::min(n as f64, c) * service_rate)
        })?;
        let step_rate = arrival_rate + c * service_rate;
        // Speed of one request when `others` run beside it, in steps.
        let speed = |others: usize| service_rate * f64::min(1.0, c / (others + 1) as f64) / step_rate;
        let up = arrival_rate / step_rate;
        let down: Vec<f64> = (0..states).map(|others| others as f64 * speed(others)).collect();
        let done: Vec<f64> = (0..states).map(speed).collect();
        let mut here = found;
        let mut unfinished = Vec::new();
        loop {
            let left: f64 = here.iter().sum();
            unfinished.push(left);
            if left < NEGLIGIBLE {
                return Ok(MmcPs { step_rate, unfinished });
            }
            if unfinished.len() * states > MAX_WORK {
                return Err(TheoryError::TooLarge { unit: "multiplications", limit: MAX_WORK });
            }
            here = (0..states)
                .map(|n| {
                    let arrive = if n + 1 < states { up } else { 0.0 };
                    let stay = 1.0 - arrive - down[n] - done[n];
                    let from_below = if n > 0 { here[n - 1] * up } else { 0.0 };
                    let from_above = if n + 1 < states { here[n + 1] * down[n + 1] } else { 0.0 };
                    here[n] * stay + from_below + from_above
                })
                .collect();
        }
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.unfinished.iter().rev().sum::<f64>() / self.step_rate
    }

    /// The standard deviation of the time from arrival to completion.
    pub fn std_sojourn(&self) -> f64 {
        let weighted: f64 =
            self.unfinished.iter().enumerate().rev().map(|(k, left)| (k + 1) as f64 * left).sum();
        let mean = self.mean_sojourn();
        (2.0 * weighted / (self.step_rate * self.step_rate) - mean * mean).sqrt()
    }

    /// The share of requests whose sojourn exceeds `t`.
    pub fn p_sojourn_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        Ok(self.tail(not_negative("time", t)?))
    }

    /// The sojourn that a share `p` of requests does not exceed (0.99 for p99).
    pub fn sojourn_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        let p = share(p)?;
        Ok(quantile_of_tail(1.0 - p, self.mean_sojourn(), |t| self.tail(t)))
    }

    fn tail(&self, t: f64) -> f64 {
        let steps = self.step_rate * t;
        let reach = 10.0 * steps.sqrt() + 40.0;
        let first = (steps - reach).max(0.0) as usize;
        let last = ((steps + reach) as usize).min(self.unfinished.len() - 1);
        (first..=last).map(|k| poisson_pmf(k as f64, steps) * self.unfinished[k]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_agrees_with_the_closed_form() {
        let cores = MmcPs::new(0.8, 1.0, 1).unwrap();
        assert!((cores.mean_sojourn() - 5.0).abs() < 1e-10);
        assert!((cores.std_sojourn() / mm1_ps_std_sojourn(0.8, 1.0).unwrap() - 1.0).abs() < 1e-10);
        assert!((cores.p_sojourn_longer_than(0.0).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(cores.p_sojourn_longer_than(1e9).unwrap(), 0.0);
    }

    #[test]
    fn too_near_saturation_is_refused_not_endless() {
        assert!(matches!(MmcPs::new(0.99999, 1.0, 1), Err(TheoryError::TooLarge { .. })));
    }
}
