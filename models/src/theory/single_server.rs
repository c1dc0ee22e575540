//! One server, any service times: Pollaczek and Khinchine, and the server that is off when idle.

use super::error::{TheoryError, positive, probability, stable};
use super::service::Moments;

/// M/G/1: Poisson arrivals, one server, any service times, first come first served.
///
/// Source: Pollaczek 1930, Khinchine 1932; second moment by Takács 1962. Utilisation below 1.
///
/// ```
/// use scalesim::theory::{Mg1, ServiceLaw};
/// let queue = Mg1::new(0.8, ServiceLaw::Deterministic { value: 1.0 }.moments()?)?;
/// assert!((queue.mean_wait() - 2.0).abs() < 1e-12, "half of what exponential service times would give");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mg1 {
    arrival_rate: f64,
    service: Moments,
}

impl Mg1 {
    /// `arrival_rate` per unit of time; less than one service time of work may arrive per unit.
    pub fn new(arrival_rate: f64, service: Moments) -> Result<Mg1, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        stable(arrival_rate * service.mean(), 1)?;
        Ok(Mg1 { arrival_rate, service })
    }

    /// Arrivals per unit of time.
    pub fn arrival_rate(&self) -> f64 {
        self.arrival_rate
    }

    /// The moments of a request's service time.
    pub fn service(&self) -> Moments {
        self.service
    }

    /// The share of time the server is busy, below 1.
    pub fn utilisation(&self) -> f64 {
        self.arrival_rate * self.service.mean()
    }

    /// The share of requests that do not start at once.
    pub fn p_wait(&self) -> f64 {
        self.utilisation()
    }

    /// The mean wait: `λE[S²] / (2(1 − ρ))`.
    pub fn mean_wait(&self) -> f64 {
        self.arrival_rate * self.service.second() / (2.0 * (1.0 - self.utilisation()))
    }

    /// The standard deviation of the wait; infinite if the third moment of the service time is.
    ///
    /// `E[W²] = 2E[W]² + λE[S³] / (3(1 − ρ))`.
    pub fn std_wait(&self) -> f64 {
        let mean = self.mean_wait();
        (mean * mean + self.arrival_rate * self.service.third() / (3.0 * (1.0 - self.utilisation()))).sqrt()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + self.service.mean()
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.arrival_rate * self.mean_wait()
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        self.arrival_rate * self.mean_sojourn()
    }
}

/// M/G/1 whose server is switched off when idle and needs a setup before it serves again.
///
/// The server stays on for an idle time-out after it empties; the first arrival after that starts the setup, and
/// requests wait until it is done. Source: Welch 1964 (exceptional first service); Levy and Kleinrock 1986.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mg1Setup {
    queue: Mg1,
    setup: Moments,
    p_off: f64,
}

impl Mg1Setup {
    /// A server that switches off the instant it is empty.
    pub fn new(queue: Mg1, setup: Moments) -> Mg1Setup {
        Mg1Setup { queue, setup, p_off: 1.0 }
    }

    /// A server that switches off only after an idle time-out, which an idle period outlasts with probability
    /// `p_off`: e^{−λτ} for a fixed time-out τ, 1/(1 + λm) for an exponential one of mean m.
    pub fn with_idle_timeout(queue: Mg1, setup: Moments, p_off: f64) -> Result<Mg1Setup, TheoryError> {
        Ok(Mg1Setup { queue, setup, p_off: probability("probability of switching off", p_off)? })
    }

    /// The mean wait: that of M/G/1 plus `p(2E[U] + λE[U²]) / (2(1 + λpE[U]))`.
    pub fn mean_wait(&self) -> f64 {
        let rate = self.queue.arrival_rate;
        let extra = self.p_off * (2.0 * self.setup.mean() + rate * self.setup.second());
        self.queue.mean_wait() + extra / (2.0 * (1.0 + rate * self.p_off * self.setup.mean()))
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + self.queue.service.mean()
    }

    /// The share of time the server is in setup.
    pub fn share_of_time_in_setup(&self) -> f64 {
        let setups = self.queue.arrival_rate * self.p_off * self.setup.mean();
        (1.0 - self.queue.utilisation()) * setups / (1.0 + setups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::ServiceLaw;

    #[test]
    fn never_switching_off_is_the_plain_queue() {
        let service = ServiceLaw::Exponential { mean: 1.0 }.moments().unwrap();
        let queue = Mg1::new(0.5, service).unwrap();
        let never = Mg1Setup::with_idle_timeout(queue, service, 0.0).unwrap();
        assert_eq!(never.mean_wait(), queue.mean_wait());
        assert_eq!(never.share_of_time_in_setup(), 0.0);
        assert!(Mg1Setup::with_idle_timeout(queue, service, 1.5).is_err());
    }

    #[test]
    fn an_infinite_third_moment_makes_the_spread_infinite() {
        let queue = Mg1::new(0.5, Moments::new(1.0, 3.0, f64::INFINITY).unwrap()).unwrap();
        assert_eq!(queue.mean_wait(), 1.5);
        assert_eq!(queue.std_wait(), f64::INFINITY);
        assert!(matches!(
            Mg1::new(1.0, Moments::new(1.0, 1.0, 1.0).unwrap()),
            Err(TheoryError::Unstable { .. })
        ));
    }
}
