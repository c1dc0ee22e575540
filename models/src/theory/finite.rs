//! A bounded queue that rejects, and rejected requests that try again.

use super::birth_death::{at_least, mean_above, stationary};
use super::error::{TheoryError, at_least_one, not_negative, positive, share, stable};
use super::numeric::{poisson_pmf, quantile_of_tail};

/// M/M/c/K: at most K requests present, in service included; a request that finds K is rejected.
///
/// Waits and sojourns are those of *admitted* requests. Every load is allowed, above capacity too.
/// Source: Gross, Shortle, Thompson and Harris, "Fundamentals of Queueing Theory", birth-death queues.
///
/// ```
/// use scalesim::theory::Mmck;
/// let queue = Mmck::new(0.5, 1.0, 1, 3)?;
/// assert!((queue.p_block() - 1.0 / 15.0).abs() < 1e-15);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mmck {
    arrival_rate: f64,
    service_rate: f64,
    servers: u32,
    law: Vec<f64>,
}

impl Mmck {
    /// Rates per unit of time, above 0; `capacity` (K) is at least `servers`.
    pub fn new(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
        capacity: u32,
    ) -> Result<Mmck, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        at_least_one("number of servers", servers)?;
        if capacity < servers {
            let (what, must_be) = ("capacity of the system", "at least the number of servers");
            return Err(TheoryError::Invalid { what, must_be, value: f64::from(capacity) });
        }
        let busy = |n: usize| n.min(servers as usize) as f64;
        let law = stationary(Some(capacity as usize), |n| arrival_rate / (busy(n) * service_rate))?;
        Ok(Mmck { arrival_rate, service_rate, servers, law })
    }

    /// The share of arrivals that are rejected.
    pub fn p_block(&self) -> f64 {
        self.law[self.law.len() - 1]
    }

    /// Admitted, hence served, requests per unit of time.
    pub fn throughput(&self) -> f64 {
        self.arrival_rate * self.p_admit()
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        mean_above(&self.law, 0)
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        mean_above(&self.law, self.servers as usize)
    }

    /// The mean sojourn of admitted requests.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_number() / self.throughput()
    }

    /// The mean wait of admitted requests.
    pub fn mean_wait(&self) -> f64 {
        self.mean_queue() / self.throughput()
    }

    /// The share of admitted requests that do not start at once.
    pub fn p_wait(&self) -> f64 {
        at_least(self.finding_all_busy(), 0) / self.p_admit()
    }

    /// The share of admitted requests that wait longer than `t`, first come first served.
    pub fn p_wait_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        Ok(self.wait_tail(not_negative("time", t)?))
    }

    /// The wait that a share `p` of admitted requests does not exceed (0.99 for p99).
    pub fn wait_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        let p = share(p)?;
        Ok(quantile_of_tail(1.0 - p, 1.0 / self.service_rate, |t| self.wait_tail(t)))
    }

    /// Summed from the states, for 1 − P(block) cancels when nearly everything is rejected.
    fn p_admit(&self) -> f64 {
        at_least(&self.law[..self.law.len() - 1], 0)
    }

    /// The law, from the first state in which an admitted request has to wait to the last.
    fn finding_all_busy(&self) -> &[f64] {
        &self.law[self.servers as usize..self.law.len() - 1]
    }

    /// Who finds `ahead` waiting starts after `ahead + 1` departures, which come at rate cμ.
    fn wait_tail(&self, t: f64) -> f64 {
        let departures = f64::from(self.servers) * self.service_rate * t;
        let mut fewer = 0.0;
        let mut total = 0.0;
        for (ahead, p) in self.finding_all_busy().iter().enumerate() {
            fewer += poisson_pmf(ahead as f64, departures);
            total += p * fewer;
        }
        total / self.p_admit()
    }
}

/// M/M/1/1 with retrials: no queue; a rejected request tries again after exponential delays until it is admitted.
///
/// Source: Falin and Templeton, "Retrial Queues", 1997. One server only: with more, no closed form is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retrial {
    arrival_rate: f64,
    utilisation: f64,
    retry_rate: f64,
}

impl Retrial {
    /// Rates per unit of time, above 0; `retry_rate` is that of one rejected request. Fewer arrivals than services.
    pub fn new(arrival_rate: f64, service_rate: f64, retry_rate: f64) -> Result<Retrial, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        positive("retry rate", retry_rate)?;
        let utilisation = arrival_rate / service_rate;
        stable(utilisation, 1)?;
        Ok(Retrial { arrival_rate, utilisation, retry_rate })
    }

    /// The share of first attempts that are rejected.
    pub fn p_block_first(&self) -> f64 {
        self.utilisation
    }

    /// The mean number of rejected requests that will try again.
    pub fn mean_orbit(&self) -> f64 {
        let rho = self.utilisation;
        rho * (self.arrival_rate + rho * self.retry_rate) / (self.retry_rate * (1.0 - rho))
    }

    /// The mean time from the first attempt to the start of service.
    pub fn mean_wait(&self) -> f64 {
        self.mean_orbit() / self.arrival_rate
    }

    /// The mean number of further attempts of a request.
    pub fn mean_retries(&self) -> f64 {
        self.retry_rate * self.mean_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::erlang_b;

    #[test]
    fn without_room_to_wait_it_is_erlang_b() {
        let loss = Mmck::new(12.0, 1.0, 10, 10).unwrap();
        assert!((loss.p_block() - erlang_b(12.0, 10).unwrap()).abs() < 1e-15);
        assert_eq!((loss.p_wait(), loss.mean_queue()), (0.0, 0.0));
        assert_eq!(loss.wait_quantile(0.99).unwrap(), 0.0);
    }

    #[test]
    fn a_hopeless_overload_still_serves_at_full_rate() {
        let queue = Mmck::new(1e6, 1.0, 4, 100).unwrap();
        assert!((queue.throughput() - 4.0).abs() < 1e-5);
        assert!(Mmck::new(1.0, 1.0, 4, 3).is_err());
        assert!(Retrial::new(1.0, 1.0, 1.0).is_err());
    }
}
