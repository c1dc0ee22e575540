//! A worker that sleeps when it finds nothing to do.

use super::service::Moments;
use super::single_server::Mg1;

/// M/G/1 with multiple vacations: a worker that serves until nothing waits, sleeps, looks, and sleeps again if there is still
/// nothing. A worker that polls its queue, that is.
///
/// A request waits as in the queue without vacations, and the rest of a vacation more, the two being independent. Vacations
/// end when they end, whatever arrives. Sources: Levy and Yechiali 1975; Fuhrmann and Cooper 1985 for the decomposition,
/// which holds for the law of the wait, first come first served; Doshi 1986, a survey.
///
/// ```
/// use scalesim::theory::{Mg1, Mg1Vacations, ServiceLaw};
/// let service = ServiceLaw::Exponential { mean: 1.0 }.moments()?;
/// let sleep = ServiceLaw::Deterministic { value: 2.0 }.moments()?;
/// let worker = Mg1Vacations::new(Mg1::new(0.5, service)?, sleep);
/// assert_eq!(worker.mean_wait(), 2.0, "one second of queueing, and half of a sleep");
/// assert_eq!(worker.vacation_rate(), 0.25);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mg1Vacations {
    queue: Mg1,
    vacation: Moments,
}

impl Mg1Vacations {
    /// A worker of `queue` that sleeps for `vacation` whenever it finds nothing.
    pub fn new(queue: Mg1, vacation: Moments) -> Mg1Vacations {
        Mg1Vacations { queue, vacation }
    }

    /// The mean wait: that of M/G/1 plus `E[V²] / (2E[V])`, which is half of a constant vacation and all of an exponential one.
    pub fn mean_wait(&self) -> f64 {
        self.queue.mean_wait() + self.mean_rest()
    }

    /// The standard deviation of the wait; infinite if the third moment of service times or vacations is.
    ///
    /// Variances add, and the rest of a vacation has the second moment `E[V³] / (3E[V])`.
    pub fn std_wait(&self) -> f64 {
        let rest = self.mean_rest();
        let second = self.vacation.third() / (3.0 * self.vacation.mean());
        self.queue.std_wait().hypot((second - rest * rest).max(0.0).sqrt())
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + self.queue.service().mean()
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.queue.arrival_rate() * self.mean_wait()
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        self.queue.arrival_rate() * self.mean_sojourn()
    }

    /// Vacations per unit of time, each after a look that found nothing: `(1 − ρ) / E[V]`.
    pub fn vacation_rate(&self) -> f64 {
        (1.0 - self.queue.utilisation()) / self.vacation.mean()
    }

    /// The mean rest of a vacation at a random moment of one.
    fn mean_rest(&self) -> f64 {
        self.vacation.second() / (2.0 * self.vacation.mean())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::ServiceLaw;

    fn worker(vacation: ServiceLaw) -> Mg1Vacations {
        let service = ServiceLaw::Exponential { mean: 1.0 }.moments().unwrap();
        Mg1Vacations::new(Mg1::new(0.5, service).unwrap(), vacation.moments().unwrap())
    }

    #[test]
    fn half_of_a_constant_vacation_and_all_of_an_exponential_one_is_waited_for() {
        assert_eq!(worker(ServiceLaw::Deterministic { value: 4.0 }).mean_wait(), 1.0 + 2.0);
        assert_eq!(worker(ServiceLaw::Exponential { mean: 4.0 }).mean_wait(), 1.0 + 4.0);
        assert_eq!(worker(ServiceLaw::Exponential { mean: 4.0 }).mean_number(), 0.5 * 6.0);
    }

    #[test]
    fn the_rest_of_a_vacation_spreads_the_wait() {
        // M/M/1 at 0.5: E[W] = 1 and E[W²] = ρ · 2/(μ − λ)² = 4. A constant's rest is uniform, an exponential's exponential.
        let plain = 3.0_f64;
        let uniform = worker(ServiceLaw::Deterministic { value: 6.0 }).std_wait();
        assert!((uniform - (plain + 3.0).sqrt()).abs() < 1e-12, "{uniform}");
        let exponential = worker(ServiceLaw::Exponential { mean: 4.0 }).std_wait();
        assert!((exponential - (plain + 16.0).sqrt()).abs() < 1e-12, "{exponential}");
        let unknown = Moments::new(1.0, 3.0, f64::INFINITY).unwrap();
        assert_eq!(
            Mg1Vacations::new(worker(ServiceLaw::Deterministic { value: 1.0 }).queue, unknown).std_wait(),
            f64::INFINITY
        );
    }

    #[test]
    fn vacations_fill_the_time_that_no_request_does() {
        let worker = worker(ServiceLaw::Uniform { low: 1.0, high: 5.0 });
        assert!((worker.vacation_rate() * 3.0 - 0.5).abs() < 1e-15);
    }
}
