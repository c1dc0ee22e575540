//! Requests that arrive many at once.

use super::error::{TheoryError, at_least_one, positive, stable};
use super::service::Moments;

/// Most servers [`MmcBatchArrivals`] takes: its work grows with their square.
const MOST_SERVERS: u32 = 10_000;
/// Weights are scaled down when they pass this, so that no sum overflows.
const RESCALE_ABOVE: f64 = 1e200;

/// The law of the number of requests in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchSize {
    /// Always the same.
    Fixed {
        /// Requests in a batch, at least 1.
        size: u32,
    },
    /// `P(k) = (1 − q) q^(k−1)` for k from 1 on.
    Geometric {
        /// Mean number of requests in a batch, at least 1: `1 / (1 − q)`.
        mean: f64,
    },
}

impl BatchSize {
    fn check(self) -> Result<BatchSize, TheoryError> {
        match self {
            BatchSize::Fixed { size } => at_least_one("batch size", size).map(|_| self),
            BatchSize::Geometric { mean } if mean >= 1.0 && mean.is_finite() => Ok(self),
            BatchSize::Geometric { mean } => Err(TheoryError::Invalid {
                what: "mean batch size",
                must_be: "at least 1 and finite",
                value: mean,
            }),
        }
    }

    fn mean(self) -> f64 {
        self.excess(0)
    }

    /// P(X > n).
    fn above(self, n: u32) -> f64 {
        match self {
            BatchSize::Fixed { size } => f64::from(u8::from(size > n)),
            BatchSize::Geometric { mean } => (1.0 - 1.0 / mean).powf(f64::from(n)),
        }
    }

    /// E[(X − n)⁺].
    fn excess(self, n: u32) -> f64 {
        match self {
            BatchSize::Fixed { size } => f64::from(size.saturating_sub(n)),
            BatchSize::Geometric { mean } => mean * self.above(n),
        }
    }

    /// E[Y(Y + 1)/2] for Y = (X − n)⁺: what is ahead of the members of a batch beyond the `n`-th, themselves included.
    fn ranks(self, n: u32) -> f64 {
        let excess = self.excess(n);
        match self {
            BatchSize::Fixed { .. } => 0.5 * excess * (excess + 1.0),
            BatchSize::Geometric { mean } => mean * excess,
        }
    }
}

/// M\[X\]/G/1: batches of requests arrive at random, one server, any service times, first come first served.
///
/// A request waits for the work its batch finds, as if the batch were one request, and for the members ahead of it.
/// Sources: Burke 1975, "Delays in single-server queues with batch input"; Gross, Shortle, Thompson and Harris,
/// "Fundamentals of Queueing Theory", on bulk input.
///
/// ```
/// use scalesim::theory::{BatchSize, Mg1BatchArrivals, ServiceLaw};
/// let service = ServiceLaw::Exponential { mean: 1.0 }.moments()?;
/// let queue = Mg1BatchArrivals::new(0.2, BatchSize::Fixed { size: 3 }, service)?;
/// assert!((queue.mean_wait() - 4.0).abs() < 1e-12, "1.5 if the same requests came one by one");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mg1BatchArrivals {
    batch_rate: f64,
    batch: BatchSize,
    service: Moments,
}

impl Mg1BatchArrivals {
    /// `batch_rate` batches per unit of time, above 0; less than one unit of work may arrive per unit of time.
    pub fn new(batch_rate: f64, batch: BatchSize, service: Moments) -> Result<Mg1BatchArrivals, TheoryError> {
        positive("rate of batches", batch_rate)?;
        let batch = batch.check()?;
        stable(batch_rate * batch.mean() * service.mean(), 1)?;
        Ok(Mg1BatchArrivals { batch_rate, batch, service })
    }

    /// Requests per unit of time: the rate of batches times their mean size.
    pub fn arrival_rate(&self) -> f64 {
        self.batch_rate * self.batch.mean()
    }

    /// The share of time the server is busy, below 1.
    pub fn utilisation(&self) -> f64 {
        self.arrival_rate() * self.service.mean()
    }

    /// The mean wait of a request: that of M/G/1 plus `(E[X²] − E[X])E[S] / (2E[X](1 − ρ))`.
    pub fn mean_wait(&self) -> f64 {
        let pairs = self.batch.ranks(1) / self.batch.mean();
        let twice = self.arrival_rate() * self.service.second() + 2.0 * pairs * self.service.mean();
        twice / (2.0 * (1.0 - self.utilisation()))
    }

    /// The mean time from arrival to completion of a request.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + self.service.mean()
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.arrival_rate() * self.mean_wait()
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        self.arrival_rate() * self.mean_sojourn()
    }
}

/// M\[X\]/M/c: batches of requests arrive at random, exponential service times, `c` equal servers, one queue.
///
/// Exact, and finite: between n − 1 and n requests as many go up as down, `min(n, c)μ pₙ = λ Σⱼ pⱼ P(X ≥ n − j)`, which
/// gives the probabilities of up to c − 1 from that of none, in positive terms. The same balance summed over n ≥ c, and
/// with weights n − c, gives the probability that all servers are busy and the mean queue. Source: Gross, Shortle,
/// Thompson and Harris, "Fundamentals of Queueing Theory", on bulk input; balance of cuts. The means of wait and sojourn
/// hold for any order of service that ignores service times.
///
/// ```
/// use scalesim::theory::{BatchSize, Mmc, MmcBatchArrivals};
/// let queue = MmcBatchArrivals::new(0.6, BatchSize::Fixed { size: 5 }, 1.0, 4)?;
/// assert!((queue.mean_wait() - 29.0 / 13.0).abs() < 1e-12);
/// assert!((Mmc::new(3.0, 1.0, 4)?.mean_wait() - 0.509).abs() < 1e-3, "the same requests, one by one");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MmcBatchArrivals {
    arrival_rate: f64,
    service_rate: f64,
    p_all_busy: f64,
    p_wait: f64,
    mean_queue: f64,
}

impl MmcBatchArrivals {
    /// `batch_rate` batches per unit of time and `service_rate` of one server, both above 0; 1 to 10,000 `servers`, which
    /// can serve more than arrives.
    pub fn new(
        batch_rate: f64,
        batch: BatchSize,
        service_rate: f64,
        servers: u32,
    ) -> Result<MmcBatchArrivals, TheoryError> {
        positive("rate of batches", batch_rate)?;
        positive("service rate", service_rate)?;
        let batch = batch.check()?;
        let arrival_rate = batch_rate * batch.mean();
        stable(arrival_rate / service_rate, at_least_one("number of servers", servers)?)?;
        if servers > MOST_SERVERS {
            return Err(TheoryError::TooLarge { unit: "servers", limit: MOST_SERVERS as usize });
        }
        let weights = weights_below(batch_rate / service_rate, batch, servers);
        // The sum of a figure of the servers left free, over all states in which some are.
        let over_free = |figure: &dyn Fn(u32) -> f64| -> f64 {
            (1..=servers).rev().zip(&weights).map(|(free, weight)| weight * figure(free)).sum()
        };
        let spare = (f64::from(servers) * service_rate - arrival_rate) / batch_rate;
        let all_busy = over_free(&|free| batch.excess(free - 1)) / spare;
        let total = weights.iter().sum::<f64>() + all_busy;
        let queue = (all_busy * batch.ranks(0) + over_free(&|free| batch.ranks(free))) / spare;
        let waiting = all_busy + over_free(&|free| batch.excess(free)) / batch.mean();
        Ok(MmcBatchArrivals {
            arrival_rate,
            service_rate,
            p_all_busy: all_busy / total,
            p_wait: waiting / total,
            mean_queue: queue / total,
        })
    }

    /// Requests per unit of time: the rate of batches times their mean size.
    pub fn arrival_rate(&self) -> f64 {
        self.arrival_rate
    }

    /// The share of time all servers are busy. Also the share of batches of which not one request starts at once.
    pub fn p_all_busy(&self) -> f64 {
        self.p_all_busy
    }

    /// The share of requests that do not start at once.
    pub fn p_wait(&self) -> f64 {
        self.p_wait
    }

    /// The mean wait of all requests, those that start at once included.
    pub fn mean_wait(&self) -> f64 {
        self.mean_queue / self.arrival_rate
    }

    /// The mean time from arrival to completion of a request.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + 1.0 / self.service_rate
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.mean_queue
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        self.mean_queue + self.arrival_rate / self.service_rate
    }
}

/// The probabilities of 0, 1, … `servers` − 1 requests, up to a common factor; `load` is batches per service time.
fn weights_below(load: f64, batch: BatchSize, servers: u32) -> Vec<f64> {
    let above: Vec<f64> = (0..servers).map(|n| batch.above(n)).collect();
    let mut weights = vec![1.0_f64];
    for n in 1..servers {
        let up: f64 = weights.iter().rev().zip(&above).map(|(weight, above)| weight * above).sum();
        let weight = load * up / f64::from(n);
        weights.push(weight);
        if weight > RESCALE_ABOVE {
            weights.iter_mut().for_each(|weight| *weight /= RESCALE_ABOVE);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{Mmc, ServiceLaw};

    const LAWS: [BatchSize; 4] = [
        BatchSize::Fixed { size: 3 },
        BatchSize::Fixed { size: 12 },
        BatchSize::Geometric { mean: 1.0 },
        BatchSize::Geometric { mean: 4.5 },
    ];

    fn close(a: f64, b: f64) -> bool {
        (a / b - 1.0).abs() < 1e-11
    }

    #[test]
    fn batches_of_one_are_the_plain_queue() {
        for servers in [1, 4, 60, 2_000] {
            let rate = 0.9 * f64::from(servers);
            let plain = Mmc::new(rate, 1.0, servers).unwrap();
            for one in [BatchSize::Fixed { size: 1 }, BatchSize::Geometric { mean: 1.0 }] {
                let queue = MmcBatchArrivals::new(rate, one, 1.0, servers).unwrap();
                assert!(close(queue.mean_wait(), plain.mean_wait()), "{servers}");
                assert!(
                    close(queue.p_wait(), plain.p_wait()) && queue.p_all_busy() <= queue.p_wait() + 1e-15
                );
            }
        }
    }

    #[test]
    fn one_exponential_server_is_burkes_formula() {
        let service = ServiceLaw::Exponential { mean: 0.5 }.moments().unwrap();
        for law in LAWS {
            let rate = 1.7 / law.mean();
            let one = Mg1BatchArrivals::new(rate, law, service).unwrap();
            let many = MmcBatchArrivals::new(rate, law, 2.0, 1).unwrap();
            assert!(close(many.mean_wait(), one.mean_wait()), "{law:?}");
            assert!(close(many.mean_number(), one.mean_number()), "{law:?}");
            assert!(close(many.p_all_busy(), one.utilisation()), "{law:?}");
        }
    }

    #[test]
    fn the_closed_form_is_the_chain_followed_state_by_state() {
        let servers = 5;
        for law in LAWS {
            let rate = 3.5 / law.mean();
            let queue = MmcBatchArrivals::new(rate, law, 1.0, servers).unwrap();
            // Balance of cuts through a thousand states, and sums over them.
            let mut chain = vec![1.0_f64];
            for n in 1..1_000_u32 {
                let up: f64 = (0..n).map(|j| chain[j as usize] * law.above(n - 1 - j)).sum();
                chain.push(rate * up / f64::from(n.min(servers)));
            }
            let total: f64 = chain.iter().sum();
            let mean = |figure: &dyn Fn(f64) -> f64| -> f64 {
                chain.iter().enumerate().map(|(n, p)| p * figure(n as f64)).sum::<f64>() / total
            };
            let c = f64::from(servers);
            assert!(close(queue.p_all_busy(), mean(&|n| f64::from(u8::from(n >= c)))), "{law:?}");
            assert!(close(queue.mean_queue(), mean(&|n| (n - c).max(0.0))), "{law:?}");
            let late = mean(&|n| {
                (0..400_u32).filter(|i| n + f64::from(*i) >= c).map(|i| law.above(i)).sum::<f64>()
                    / law.mean()
            });
            assert!(close(queue.p_wait(), late), "{law:?}: {} {late}", queue.p_wait());
        }
    }

    #[test]
    fn a_tiny_wait_keeps_its_digits() {
        let lone = BatchSize::Fixed { size: 1 };
        let (queue, plain) = (MmcBatchArrivals::new(1.0, lone, 1.0, 30), Mmc::new(1.0, 1.0, 30));
        let (wait, expected) = (queue.unwrap().mean_wait(), plain.unwrap().mean_wait());
        assert!(expected < 1e-30 && close(wait, expected), "{wait} {expected}");
    }

    #[test]
    fn bad_batches_are_errors() {
        let service = ServiceLaw::Exponential { mean: 1.0 }.moments().unwrap();
        let lone = BatchSize::Fixed { size: 1 };
        assert!(Mg1BatchArrivals::new(0.5, BatchSize::Fixed { size: 0 }, service).is_err());
        assert!(Mg1BatchArrivals::new(0.5, BatchSize::Geometric { mean: 0.5 }, service).is_err());
        assert!(Mg1BatchArrivals::new(0.5, BatchSize::Geometric { mean: f64::NAN }, service).is_err());
        let full = Mg1BatchArrivals::new(0.5, BatchSize::Fixed { size: 2 }, service);
        assert!(matches!(full, Err(TheoryError::Unstable { .. })));
        assert!(MmcBatchArrivals::new(1.0, lone, 1.0, 0).is_err());
        let many = MmcBatchArrivals::new(1.0, lone, 1.0, MOST_SERVERS + 1);
        assert!(matches!(many, Err(TheoryError::TooLarge { unit: "servers", .. })));
        let huge = MmcBatchArrivals::new(9_900.0, lone, 1.0, MOST_SERVERS).unwrap();
        assert!(close(huge.p_wait(), Mmc::new(9_900.0, 1.0, MOST_SERVERS).unwrap().p_wait()));
    }
}
