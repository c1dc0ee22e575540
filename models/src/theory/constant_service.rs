//! Constant service times: M/D/1 and M/D/c, with nothing that cancels.

use super::error::{TheoryError, at_least_one, not_negative, positive, share, stable};
use super::numeric::{falls_to_zero, poisson_pmf, quantile_of_tail};

/// Most terms held of the random walk, and most states of the queue before its tail is geometric.
const MAX_TERMS: usize = 5_000_000;
/// Most states of the queue worked out one by one: the recursion costs their square.
const MAX_STATES: usize = 20_000;
/// Terms below e^−40 of the whole are left out.
const LOG_NEGLIGIBLE: f64 = 40.0;
/// A sequence is settled once this many successive terms are geometric, to this precision, or negligible.
const SETTLED_RUN: usize = 8;
const GEOMETRIC_WITHIN: f64 = 1e-13;
const NEGLIGIBLE: f64 = 1e-25;

/// M/D/c: Poisson arrivals, `c` servers, one first-come-first-served queue, every service of the same length.
///
/// `c` of 1 is M/D/1. Also what a balancer with equal constant service times does: round robin over `n`
/// single-server queues gives every request the wait of M/D/n.
///
/// The queue length seen every service time D is the maximum of a random walk with steps Poisson(λD) − c
/// (Crommelin 1932); Spitzer's identity gives its law in positive terms only, and Franx (2001, "A simple solution
/// for the M/D/c waiting time distribution") the distribution of the wait from it. No root finding in the complex
/// plane, no alternating series. Its cost grows with 1/(1 − ρ)², up to seconds just before it is
/// refused as [`TheoryError::TooLarge`]: with one server from ρ = 0.997 on, with a hundred from about 0.9996.
///
/// ```
/// use scalesim::theory::Mdc;
/// let queue = Mdc::new(1.0, 1.0, 2)?;
/// assert!((queue.mean_wait() - 0.176741).abs() < 1e-6);
/// assert_eq!(queue.wait_quantile(0.5)?, 0.0);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mdc {
    arrival_rate: f64,
    service_time: f64,
    servers: u32,
    mean_queue: f64,
    /// `tail[m]` = P(more than m requests wait), then geometric with `decay`.
    tail: Vec<f64>,
    decay: f64,
}

impl Mdc {
    /// `arrival_rate` per unit of time and `service_time` in that unit, both above 0; utilisation below 1.
    pub fn new(arrival_rate: f64, service_time: f64, servers: u32) -> Result<Mdc, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service time", service_time)?;
        at_least_one("number of servers", servers)?;
        let offered_load = arrival_rate * service_time;
        stable(offered_load, servers)?;
        let walk = Walk::new(offered_load, servers);
        let ladder = walk.ladder()?;
        let (tail, decay) = (queue_tail(&ladder, walk.decay)?, walk.decay);
        let mean_queue = ladder.mean(walk.decay);
        Ok(Mdc { arrival_rate, service_time, servers, mean_queue, tail, decay })
    }

    /// The mean wait.
    pub fn mean_wait(&self) -> f64 {
        self.mean_queue / self.arrival_rate
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + self.service_time
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.mean_queue
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        self.mean_queue + self.arrival_rate * self.service_time
    }

    /// The share of requests that do not start at once.
    pub fn p_wait(&self) -> f64 {
        self.wait_tail(0.0)
    }

    /// The share of requests that wait longer than `t`.
    pub fn p_wait_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        Ok(self.wait_tail(not_negative("time", t)?))
    }

    /// The wait that a share `p` of requests does not exceed (0.99 for p99); 0 if that many start at once.
    pub fn wait_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        let p = share(p)?;
        Ok(quantile_of_tail(1.0 - p, self.service_time, |t| self.wait_tail(t)))
    }

    /// P(W > t) = P(queue + arrivals in kD − t ≥ kc) with k the least integer such that kD > t (Franx).
    fn wait_tail(&self, t: f64) -> f64 {
        let periods = (t / self.service_time).floor() + 1.0;
        let all_served = periods * f64::from(self.servers);
        let arrivals = (self.arrival_rate * (periods * self.service_time - t)).max(0.0);
        let mut total = 0.0;
        let mut seen = 0.0;
        let mut j = 0.0;
        while j < all_served {
            let p = poisson_pmf(j, arrivals);
            total += p * self.queue_tail(all_served - j - 1.0);
            seen += p;
            // Past the bulk of the arrivals each term is at most 1/2 · decay⁻¹ of the one before.
            if j > 2.0 * arrivals / self.decay && p * self.tail[0] < 1e-18 * total {
                break;
            }
            j += 1.0;
        }
        if j >= all_served {
            total += poisson_tail(all_served, arrivals, seen);
        }
        total
    }

    /// P(more than `m` wait).
    fn queue_tail(&self, m: f64) -> f64 {
        let last = self.tail.len() - 1;
        if m <= last as f64 {
            self.tail[m as usize]
        } else {
            self.tail[last] * self.decay.powf(m - last as f64)
        }
    }
}

/// P(Poisson(`mean`) ≥ `k`), given P(< `k`).
fn poisson_tail(k: f64, mean: f64, below: f64) -> f64 {
    if below < 0.5 {
        return 1.0 - below;
    }
    let mut term = poisson_pmf(k, mean);
    let mut total = 0.0;
    let mut next = k;
    while term > 1e-17 * total {
        total += term;
        next += 1.0;
        term *= mean / next;
    }
    total
}

/// The random walk with steps Poisson(`offered_load`) − `servers`.
struct Walk {
    offered_load: f64,
    servers: f64,
    /// Ratio of the geometric tail of its maximum: 1/τ with τ > 1 the root of ln τ = ρ(τ − 1).
    decay: f64,
}

impl Walk {
    fn new(offered_load: f64, servers: u32) -> Walk {
        let servers = f64::from(servers);
        let rho = offered_load / servers;
        // With τ = e^x: x = ρ(e^x − 1) has its positive root between the minimum, −ln ρ, and twice that and more.
        let surplus = |x: f64| x - rho * x.exp_m1();
        let lowest = -rho.ln();
        let mut highest = 2.0 * lowest;
        while surplus(highest) > 0.0 {
            highest *= 2.0;
        }
        let x = falls_to_zero(lowest, highest, surplus);
        Walk { offered_load, servers, decay: (-x).exp() }
    }

    /// m · Σₙ P(Sₙ = m)/n for m = 1, 2, ... until the terms are geometric, and ln P(maximum = 0) = −Σₙ P(Sₙ > 0)/n.
    fn ladder(&self) -> Result<Ladder, TheoryError> {
        let rho = self.offered_load / self.servers;
        // P(Sₙ = m) decays in n as e^{−n·cost}, and starts to once n has passed m/(drift under the tilted law).
        let cost = self.servers * (-(1.0 - rho) - (-(1.0 - rho)).ln_1p());
        let per_state = -(self.decay / rho).ln();
        let mut terms: Vec<f64> = Vec::new();
        let mut rates: Vec<f64> = Vec::new();
        let mut total = 0.0;
        let mut follows = false;
        let mut settled = 0;
        let mut m = 0.0;
        while settled < SETTLED_RUN {
            m += 1.0;
            for (i, term) in terms.iter_mut().enumerate() {
                let n = (i + 1) as f64;
                *term *= n * self.offered_load / (n * self.servers + m);
            }
            let wanted = ((LOG_NEGLIGIBLE + m * per_state.abs()) / cost).ceil() as usize + 1;
            if wanted > MAX_TERMS {
                return Err(TheoryError::TooLarge { unit: "terms", limit: MAX_TERMS });
            }
            for i in terms.len()..wanted {
                let n = (i + 1) as f64;
                terms.push(poisson_pmf(n * self.servers + m, n * self.offered_load));
            }
            let rate = m * terms.iter().enumerate().rev().map(|(i, p)| p / (i + 1) as f64).sum::<f64>();
            rates.push(rate);
            total += rate;
            follows = (rate / (m * self.decay.ln()).exp() - 1.0).abs() < GEOMETRIC_WITHIN;
            settled = if follows || rate <= NEGLIGIBLE * total { settled + 1 } else { 0 };
            if rates.len() > MAX_STATES {
                return Err(TheoryError::TooLarge { unit: "states", limit: MAX_STATES });
            }
        }
        Ok(Ladder { rates, geometric: follows })
    }
}

/// m·bₘ for m = 1, 2, ..., where Σ bₘ zᵐ is the logarithm of the generating function of the maximum.
struct Ladder {
    rates: Vec<f64>,
    /// Beyond what is stored the rates are powers of the decay; otherwise they are negligible.
    geometric: bool,
}

impl Ladder {
    fn rate(&self, m: usize, decay: f64) -> f64 {
        match self.rates.get(m - 1) {
            Some(&rate) => rate,
            None if self.geometric => (m as f64 * decay.ln()).exp(),
            None => 0.0,
        }
    }

    /// The mean of the maximum, Σ m·bₘ.
    fn mean(&self, decay: f64) -> f64 {
        let stored: f64 = self.rates.iter().rev().sum();
        if self.geometric { stored + self.rate(self.rates.len() + 1, decay) / (1.0 - decay) } else { stored }
    }

    /// Σ bₘ = −ln P(maximum = 0). A geometric part has its own sum, −ln(1 − decay), from which the stored differ.
    fn log_empty(&self, decay: f64) -> f64 {
        let geometric = if self.geometric { 1.0 } else { 0.0 };
        let mut power = geometric;
        let difference: f64 = (self.rates.iter().enumerate())
            .map(|(i, rate)| {
                power *= decay;
                (rate - power) / (i + 1) as f64
            })
            .sum();
        difference - geometric * (-decay).ln_1p()
    }
}

/// P(more than m wait), from the recursion m·qₘ = Σⱼ j·bⱼ qₘ₋ⱼ, until it is geometric.
fn queue_tail(ladder: &Ladder, decay: f64) -> Result<Vec<f64>, TheoryError> {
    let mut law = vec![(-ladder.log_empty(decay)).exp()];
    let mut rates = Vec::new();
    let mut follows = false;
    let mut settled = 0;
    while settled < SETTLED_RUN {
        let m = law.len();
        if m > MAX_STATES {
            return Err(TheoryError::TooLarge { unit: "states", limit: MAX_STATES });
        }
        rates.push(ladder.rate(m, decay));
        let total: f64 = rates.iter().zip(law.iter().rev()).map(|(rate, q)| rate * q).sum();
        let q = total / m as f64;
        follows = (q / (law[m - 1] * decay) - 1.0).abs() < GEOMETRIC_WITHIN;
        settled = if follows || q <= NEGLIGIBLE * law[0] { settled + 1 } else { 0 };
        law.push(q);
    }
    let last = law[law.len() - 1];
    let mut more = if follows { last * decay / (1.0 - decay) } else { 0.0 };
    let mut tail: Vec<f64> = law
        .iter()
        .rev()
        .map(|q| {
            let here = more;
            more += q;
            here
        })
        .collect();
    tail.reverse();
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{Mg1, ServiceLaw};

    #[test]
    fn one_server_agrees_with_pollaczek_and_khinchine_up_to_heavy_traffic() {
        for rho in [0.01, 0.3, 0.7, 0.9, 0.95, 0.99] {
            let exact = Mg1::new(rho, ServiceLaw::Deterministic { value: 1.0 }.moments().unwrap()).unwrap();
            let queue = Mdc::new(rho, 1.0, 1).unwrap();
            assert!((queue.mean_wait() / exact.mean_wait() - 1.0).abs() < 1e-10, "{rho}");
            assert!((queue.p_wait() / rho - 1.0).abs() < 1e-10, "{rho}: {}", queue.p_wait());
        }
    }

    #[test]
    fn the_far_tail_keeps_its_relative_precision() {
        // Exponential decay at rate λ(τ − 1) between points far out.
        let queue = Mdc::new(3.2, 1.0, 4).unwrap();
        let rate = 3.2 * (1.0 / queue.decay - 1.0);
        let (near, far) = (queue.p_wait_longer_than(12.5).unwrap(), queue.p_wait_longer_than(62.5).unwrap());
        assert!(far < 1e-30 && ((far / near).ln() / (-50.0 * rate) - 1.0).abs() < 1e-10, "{near} {far}");
    }

    #[test]
    fn many_servers_and_hopeless_loads() {
        let idle = Mdc::new(5_000.0, 1.0, 10_000).unwrap();
        assert_eq!((idle.p_wait(), idle.mean_wait()), (0.0, 0.0));
        let queue = Mdc::new(950.0, 1.0, 1_000).unwrap();
        assert!(queue.p_wait() > 0.0 && queue.p_wait() < 0.1);
        assert!(queue.wait_quantile(0.999).unwrap() < 0.1);
        assert!(matches!(Mdc::new(0.99999, 1.0, 1), Err(TheoryError::TooLarge { .. })));
        assert!(matches!(Mdc::new(2.0, 1.0, 2), Err(TheoryError::Unstable { .. })));
        assert!(Mdc::new(1.0, 1.0, 2).unwrap().p_wait_longer_than(-1.0).is_err());
    }
}
