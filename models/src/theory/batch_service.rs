//! Items served many at a time: picked up at fixed intervals, or taken in batches by a server that is free.

use super::constant_service::Mdc;
use super::error::{TheoryError, at_least_one, positive, stable};
use super::numeric::falls_to_zero;

/// A consumer that looks every `T` and takes up to `b` of the items that wait, the oldest first.
///
/// Items arrive at random; an item's wait ends when it is taken. What waits just before a pick-up follows
/// `N ← (N − b)⁺ + Poisson(λT)`, as the number present every service time of M/D/c with `c` = b does; so an item waits as
/// long as there, and half an interval more. Fails where [`Mdc`] does. Sources: Bailey 1954, "On queueing processes with bulk
/// service"; Janssen and van Leeuwaarden 2005.
///
/// ```
/// use scalesim::theory::BulkPickUp;
/// // 9 messages a second, at most 10 taken every second.
/// let consumer = BulkPickUp::new(9.0, 1.0, 10)?;
/// assert!((consumer.mean_queue_at_pick_up() - 12.101_238).abs() < 1e-6);
/// assert!((consumer.mean_wait() - 0.844_582).abs() < 1e-6);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BulkPickUp {
    places: Mdc,
    interval: f64,
}

impl BulkPickUp {
    /// `arrival_rate` of items per unit of time and `interval` in that unit, both above 0; a `batch_limit` of at least 1,
    /// which is more than arrive in an interval. (Errors count a place of the batch as a server.)
    pub fn new(arrival_rate: f64, interval: f64, batch_limit: u32) -> Result<BulkPickUp, TheoryError> {
        positive("poll interval", interval)?;
        at_least_one("limit of a batch", batch_limit)?;
        Ok(BulkPickUp { places: Mdc::new(arrival_rate, interval, batch_limit)?, interval })
    }

    /// The mean number of items that wait just before a pick-up.
    pub fn mean_queue_at_pick_up(&self) -> f64 {
        self.places.mean_number()
    }

    /// The mean time from an item's arrival until it is taken.
    pub fn mean_wait(&self) -> f64 {
        self.places.mean_wait() + 0.5 * self.interval
    }
}

/// M/M\[1,b\]/1: a server that, when it is free, takes what waits, at most `b` requests, and serves them together.
///
/// An idle server starts at once with a single request; those that come meanwhile wait for the next batch. A batch takes an
/// exponential time whatever its size. With r the root below 1 of `λ = μ(r + … + r^b)`, the number that waits while the
/// server is busy is geometric. Sources: Bailey 1954; Gross, Shortle, Thompson and Harris, "Fundamentals of Queueing
/// Theory", on bulk service.
///
/// ```
/// use scalesim::theory::BatchService;
/// // Four writes a second, a commit of up to five takes a second.
/// let log = BatchService::new(4.0, 1.0, 5)?;
/// assert!((log.mean_sojourn() - 4.095_394).abs() < 1e-6);
/// assert!(log.mean_batch() > 4.0 && log.mean_batch() < 5.0);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchService {
    arrival_rate: f64,
    batch_rate: f64,
    /// −ln r, which keeps its digits where r is nearly 1.
    decay: f64,
}

impl BatchService {
    /// `arrival_rate` of requests and `batch_rate` of a server that is always busy, both per unit of time and above 0; batches
    /// of 1 to `max_batch` requests, which must be able to carry more than arrives. (Errors count a place of the batch as a server.)
    pub fn new(arrival_rate: f64, batch_rate: f64, max_batch: u32) -> Result<BatchService, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("rate of batches", batch_rate)?;
        let load = arrival_rate / batch_rate;
        stable(load, at_least_one("largest batch", max_batch)?)?;
        // r + … + r^b for r = e^{−s} falls from b to 0.
        let surplus = |s: f64| (-s).exp() * (-f64::from(max_batch) * s).exp_m1() / (-s).exp_m1() - load;
        let mut high = 1.0;
        while surplus(high) > 0.0 {
            high *= 2.0;
        }
        Ok(BatchService { arrival_rate, batch_rate, decay: falls_to_zero(0.0, high, surplus) })
    }

    /// The share of requests that do not start at once. Also the share of time the server is busy.
    pub fn p_wait(&self) -> f64 {
        let busy = self.arrival_rate / (self.batch_rate * self.stop());
        busy / (1.0 + busy)
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.p_wait() * (-self.decay).exp() / self.stop()
    }

    /// The mean wait until a request's batch starts.
    pub fn mean_wait(&self) -> f64 {
        self.mean_queue() / self.arrival_rate
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + 1.0 / self.batch_rate
    }

    /// The mean number of requests in a batch, which grows with the load: `λ / (μ P(busy))`, or `λ/μ + 1 − r`.
    pub fn mean_batch(&self) -> f64 {
        self.arrival_rate / self.batch_rate + self.stop()
    }

    /// 1 − r.
    fn stop(&self) -> f64 {
        -(-self.decay).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::Mmc;

    #[test]
    fn a_consumer_that_takes_all_waits_half_an_interval() {
        let consumer = BulkPickUp::new(3.0, 2.0, 200).unwrap();
        assert!((consumer.mean_wait() - 1.0).abs() < 1e-12);
        assert!((consumer.mean_queue_at_pick_up() - 6.0).abs() < 1e-12);
        assert!(matches!(BulkPickUp::new(5.0, 2.0, 10), Err(TheoryError::Unstable { .. })));
        assert!(BulkPickUp::new(5.0, 2.0, 0).is_err() && BulkPickUp::new(5.0, 0.0, 10).is_err());
    }

    #[test]
    fn batches_of_one_are_the_plain_queue() {
        for rho in [1e-9, 0.3, 0.9, 1.0 - 1e-9] {
            let (one, plain) = (BatchService::new(rho, 1.0, 1).unwrap(), Mmc::new(rho, 1.0, 1).unwrap());
            assert!((one.mean_wait() / plain.mean_wait() - 1.0).abs() < 1e-7, "{rho}");
            assert!((one.mean_batch() - 1.0).abs() < 1e-12, "{rho}");
        }
    }

    #[test]
    fn batches_without_a_limit_fill_as_the_load_grows() {
        // r/(1 − r) = λ/μ: the root of an endless geometric series.
        let load = 40.0;
        let endless = BatchService::new(load, 1.0, u32::MAX).unwrap();
        assert!((endless.mean_queue() / endless.p_wait() / load - 1.0).abs() < 1e-12);
        assert!((endless.mean_batch() / (load + 1.0 / (1.0 + load)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_law_solves_the_balance_of_the_chain() {
        // Idle, or busy with n waiting: a chain of 400 states, followed until it stands.
        let (lambda, mu, most) = (1.5, 1.0, 2);
        let queue = BatchService::new(lambda, mu, most as u32).unwrap();
        let (states, step) = (400, 0.3);
        let mut law = vec![0.0; states + 1];
        law[0] = 1.0;
        for _ in 0..40_000 {
            // State 0 is idle, state n + 1 has n waiting.
            let mut next = law.clone();
            for (state, &p) in law.iter().enumerate() {
                if state < states {
                    next[state] -= step * lambda * p;
                    next[state + 1] += step * lambda * p;
                }
                if state > 0 {
                    let waiting = state - 1;
                    let to = if waiting == 0 { 0 } else { waiting - waiting.min(most) + 1 };
                    next[state] -= step * mu * p;
                    next[to] += step * mu * p;
                }
            }
            law = next;
        }
        let waiting: f64 = law.iter().enumerate().skip(1).map(|(state, p)| (state - 1) as f64 * p).sum();
        assert!((queue.mean_queue() / waiting - 1.0).abs() < 1e-9, "{} {waiting}", queue.mean_queue());
        assert!((queue.p_wait() - (1.0 - law[0])).abs() < 1e-9);
        // All that arrives is served, in batches that end at μ while the server is busy.
        assert!((queue.mean_batch() * mu * (1.0 - law[0]) / lambda - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_full_batch_that_carries_no_more_than_arrives_is_refused() {
        assert!(matches!(BatchService::new(2.0, 1.0, 2), Err(TheoryError::Unstable { servers: 2, .. })));
        assert!(BatchService::new(2.0, 1.0, 0).is_err() && BatchService::new(2.0, f64::NAN, 3).is_err());
    }
}
