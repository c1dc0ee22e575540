//! Traffic that varies in time: a sinusoid on endlessly many servers, and the fluid view of an overload.

use std::f64::consts::TAU;

use super::error::{TheoryError, at_least_one, not_negative, positive, stable};
use super::service::ServiceLaw;

/// M(t)/G/∞ under λ(t) = mean + amplitude · sin(2πt / period): how many servers would be busy if none ever ran short.
///
/// The number busy at any moment is Poisson, so its mean is its variance too. Valid from a few service times after
/// an empty start. Source: Eick, Massey and Whitt 1993, "Mt/G/∞ queues with sinusoidal arrival rates".
///
/// ```
/// use scalesim::theory::{InfiniteServers, ServiceLaw};
/// // A day between 60 and 140 an hour, of jobs that take half an hour.
/// let day = InfiniteServers::new(100.0, 40.0, 24.0, ServiceLaw::Exponential { mean: 0.5 })?;
/// assert!(day.peak_mean_busy() < 70.0);
/// assert!((day.lag_of_peak() - 0.4972).abs() < 1e-4, "the busiest moment comes half an hour after the peak");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfiniteServers {
    offered_load: f64,
    frequency: f64,
    /// Amplitude of the mean number busy.
    swing: f64,
    /// Phase, in radians, by which it follows the arrival rate.
    delay: f64,
}

impl InfiniteServers {
    /// `amplitude` is at least 0 and at most `mean_rate`; `period` is above 0.
    pub fn new(
        mean_rate: f64,
        amplitude: f64,
        period: f64,
        service: ServiceLaw,
    ) -> Result<InfiniteServers, TheoryError> {
        positive("mean arrival rate", mean_rate)?;
        positive("period", period)?;
        if not_negative("amplitude", amplitude)? > mean_rate {
            let must_be = "at most the mean arrival rate";
            return Err(TheoryError::Invalid { what: "amplitude", must_be, value: amplitude });
        }
        let mean_service = service.moments()?.mean();
        let frequency = TAU / period;
        // A = (1 − E e^{−iγS}) / (iγ) = (E[sin γS] − i E[1 − cos γS]) / γ
        let (sine, versine) = service.sinusoid(frequency);
        Ok(InfiniteServers {
            offered_load: mean_rate * mean_service,
            frequency,
            swing: amplitude * sine.hypot(versine) / frequency,
            delay: versine.atan2(sine),
        })
    }

    /// The mean number of busy servers at time `t`, where the arrival rate passes its mean upwards at 0.
    pub fn mean_busy_at(&self, t: f64) -> f64 {
        self.offered_load + self.swing * (self.frequency * t - self.delay).sin()
    }

    /// The highest mean number of busy servers.
    pub fn peak_mean_busy(&self) -> f64 {
        self.offered_load + self.swing
    }

    /// How long after the peak of the arrival rate the mean number busy peaks.
    pub fn lag_of_peak(&self) -> f64 {
        self.delay / self.frequency
    }
}

/// A flash crowd as a fluid: more arrives than can be served for a while, then the backlog drains.
///
/// Deterministic: the random backlog is larger on average. Rates per unit of time.
///
/// ```
/// use scalesim::theory::FlashCrowd;
/// // 12 requests a second on 10 workers of 1 a second each, for 30 s; 5 a second afterwards.
/// let crowd = FlashCrowd::new(12.0, 5.0, 1.0, 10, 30.0)?;
/// assert_eq!((crowd.peak_backlog(), crowd.drain_time()), (60.0, 12.0));
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlashCrowd {
    peak_backlog: f64,
    drain_time: f64,
}

impl FlashCrowd {
    /// Arrivals come at `rate_during` for `duration`, then at `rate_after`, which must be below capacity.
    pub fn new(
        rate_during: f64,
        rate_after: f64,
        service_rate: f64,
        servers: u32,
        duration: f64,
    ) -> Result<FlashCrowd, TheoryError> {
        not_negative("arrival rate during the crowd", rate_during)?;
        not_negative("arrival rate after the crowd", rate_after)?;
        positive("service rate", service_rate)?;
        at_least_one("number of servers", servers)?;
        not_negative("duration", duration)?;
        stable(rate_after / service_rate, servers)?;
        let capacity = f64::from(servers) * service_rate;
        let peak_backlog = (rate_during - capacity).max(0.0) * duration;
        Ok(FlashCrowd { peak_backlog, drain_time: peak_backlog / (capacity - rate_after) })
    }

    /// The backlog when the crowd leaves, in requests; 0 if capacity suffices.
    pub fn peak_backlog(&self) -> f64 {
        self.peak_backlog
    }

    /// How long after that the backlog is gone.
    pub fn drain_time(&self) -> f64 {
        self.drain_time
    }
}

/// A lasting step in load answered by a scale-out that comes late, as a fluid.
///
/// ```
/// use scalesim::theory::StepLoad;
/// let step = StepLoad::new(6.0, 1.0, 4, 8, 20.0)?;
/// assert_eq!((step.peak_backlog(), step.drain_time()), (40.0, 20.0));
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoad {
    peak_backlog: f64,
    drain_time: f64,
}

impl StepLoad {
    /// From time 0 arrivals come at `rate`; `servers_before` serve until `delay`, `servers_after` from then on,
    /// which must suffice.
    pub fn new(
        rate: f64,
        service_rate: f64,
        servers_before: u32,
        servers_after: u32,
        delay: f64,
    ) -> Result<StepLoad, TheoryError> {
        not_negative("arrival rate", rate)?;
        positive("service rate", service_rate)?;
        at_least_one("number of servers before", servers_before)?;
        not_negative("delay", delay)?;
        stable(rate / service_rate, servers_after)?;
        let peak_backlog = (rate - f64::from(servers_before) * service_rate).max(0.0) * delay;
        let spare = f64::from(servers_after) * service_rate - rate;
        Ok(StepLoad { peak_backlog, drain_time: peak_backlog / spare })
    }

    /// The backlog when the scale-out takes effect, in requests; 0 if the old servers suffice.
    pub fn peak_backlog(&self) -> f64 {
        self.peak_backlog
    }

    /// How long after the scale-out the backlog is gone.
    pub fn drain_time(&self) -> f64 {
        self.drain_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_within_capacity_leaves_no_backlog() {
        let crowd = FlashCrowd::new(9.0, 5.0, 1.0, 10, 30.0).unwrap();
        assert_eq!((crowd.peak_backlog(), crowd.drain_time()), (0.0, 0.0));
        assert!(FlashCrowd::new(12.0, 10.0, 1.0, 10, 30.0).is_err(), "it would never drain");
        assert!(StepLoad::new(6.0, 1.0, 4, 6, 20.0).is_err());
        assert_eq!(StepLoad::new(3.0, 1.0, 4, 6, 20.0).unwrap().peak_backlog(), 0.0);
    }

    #[test]
    fn a_very_fast_cycle_is_not_felt() {
        let law = ServiceLaw::Exponential { mean: 1_000.0 };
        let cycle = InfiniteServers::new(2.0, 2.0, 1.0, law).unwrap();
        assert!((cycle.peak_mean_busy() / 2_000.0 - 1.0).abs() < 1e-3);
        assert!(InfiniteServers::new(1.0, 2.0, 1.0, law).is_err(), "the rate would be negative");
    }
}
