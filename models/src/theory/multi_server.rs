//! Poisson arrivals, exponential service, several servers: Erlang's models.

use super::{NoAnswer, valid};

/// Erlang's B: the share of arrivals lost by `servers` servers without a queue at an offered load of `load` (1917). Holds
/// for any distribution of service times.
pub fn erlang_b(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, k| load * blocked / (f64::from(k) + load * blocked))
}

/// Erlang's C: the share of arrivals that wait. Needs `load < servers`.
pub fn erlang_c(servers: u32, load: f64) -> f64 {
    let (c, b) = (f64::from(servers), erlang_b(servers, load));
    c * b / (c - load * (1.0 - b))
}

/// M/M/c: one queue, first come, first served. Its mean number of requests, and so its mean sojourn, are also those of
/// processor sharing over `c` cores for any distribution of demands (Cohen 1979).
///
/// ```
/// use scalesim::theory::Mmc;
/// let two_cores = Mmc::new(15.0, 10.0, 2)?;
/// assert!((two_cores.mean_wait() - 0.128_571_4).abs() < 1e-6);
/// # Ok::<(), scalesim::theory::NoAnswer>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mmc {
    arrival_rate: f64,
    service_rate: f64,
    servers: f64,
    waits: f64,
}

impl Mmc {
    /// The model. `service_rate` is that of one server.
    ///
    /// # Errors
    /// Where a rate is not above zero, or the load is not below the number of servers.
    pub fn new(arrival_rate: f64, service_rate: f64, servers: u32) -> Result<Mmc, NoAnswer> {
        valid(&[arrival_rate, service_rate, f64::from(servers)])?;
        let load = arrival_rate / service_rate;
        if load >= f64::from(servers) {
            return Err(NoAnswer::Unstable);
        }
        Ok(Mmc { arrival_rate, service_rate, servers: f64::from(servers), waits: erlang_c(servers, load) })
    }

    /// The rate at which a full system drains faster than it fills.
    fn slack(&self) -> f64 {
        self.servers * self.service_rate - self.arrival_rate
    }

    /// The share of arrivals that wait.
    pub fn p_wait(&self) -> f64 {
        self.waits
    }

    /// The mean wait, of all arrivals.
    pub fn mean_wait(&self) -> f64 {
        self.waits / self.slack()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + 1.0 / self.service_rate
    }

    /// The mean number waiting.
    pub fn mean_queue(&self) -> f64 {
        self.arrival_rate * self.mean_wait()
    }

    /// The mean number in the system.
    pub fn mean_number(&self) -> f64 {
        self.arrival_rate * self.mean_sojourn()
    }

    /// The wait that a share `p` of arrivals does not exceed.
    pub fn wait_quantile(&self, p: f64) -> f64 {
        ((self.waits / (1.0 - p)).ln() / self.slack()).max(0.0)
    }

    /// The share of arrivals whose wait is longer than `t`.
    pub fn p_wait_above(&self, t: f64) -> f64 {
        self.waits * (-self.slack() * t).exp()
    }

    /// The share of arrivals whose sojourn is longer than `t`, first come, first served.
    pub fn p_sojourn_above(&self, t: f64) -> f64 {
        let mu = self.service_rate;
        let k = self.servers - 1.0 - self.arrival_rate / mu;
        let grown = if k.abs() < 1e-9 { mu * t } else { -(-mu * t * k).exp_m1() / k };
        (-mu * t).exp() * (1.0 + self.waits * grown)
    }

    /// The sojourn that a share `p` of arrivals does not exceed, by bisection.
    pub fn sojourn_quantile(&self, p: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0 / self.service_rate);
        while self.p_sojourn_above(high) > 1.0 - p && high < 1e12 {
            high *= 2.0;
        }
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if self.p_sojourn_above(middle) > 1.0 - p { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    }
}

/// M/M/c/K: at most `capacity` requests in the system, those in service included; others are turned away. Its blocking
/// and mean number are also those of processor sharing with as many admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct FiniteQueue {
    arrival_rate: f64,
    servers: u32,
    /// The probability of each number in the system.
    probabilities: Vec<f64>,
}

impl FiniteQueue {
    /// The model; it is stable at any load.
    ///
    /// # Errors
    /// Where a rate is not above zero, or the capacity is smaller than the number of servers.
    pub fn new(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
        capacity: u32,
    ) -> Result<FiniteQueue, NoAnswer> {
        valid(&[arrival_rate, service_rate, f64::from(servers)])?;
        if capacity < servers {
            return Err(NoAnswer::Invalid);
        }
        // Weights relative to the largest, so that neither end overflows.
        let mut logs = vec![0.0f64];
        for n in 1..=capacity {
            let rate = service_rate * f64::from(n.min(servers));
            logs.push(logs[n as usize - 1] + (arrival_rate / rate).ln());
        }
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let probabilities = weights.iter().map(|weight| weight / total).collect();
        Ok(FiniteQueue { arrival_rate, servers, probabilities })
    }

    /// The share of arrivals turned away.
    pub fn p_block(&self) -> f64 {
        self.probabilities[self.probabilities.len() - 1]
    }

    /// Served per unit of time.
    pub fn throughput(&self) -> f64 {
        self.arrival_rate * (1.0 - self.p_block())
    }

    /// The mean number in the system.
    pub fn mean_number(&self) -> f64 {
        self.probabilities.iter().enumerate().map(|(n, p)| n as f64 * p).sum()
    }

    /// The mean sojourn of those admitted.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_number() / self.throughput()
    }

    /// The mean wait of those admitted.
    pub fn mean_wait(&self) -> f64 {
        let waiting = |(n, p): (usize, &f64)| (n as f64 - f64::from(self.servers)).max(0.0) * p;
        self.probabilities.iter().enumerate().map(waiting).sum::<f64>() / self.throughput()
    }

    /// The share of those admitted that wait.
    pub fn p_wait(&self) -> f64 {
        let (last, admitted) = (self.probabilities.len() - 1, 1.0 - self.p_block());
        self.probabilities[self.servers as usize..last].iter().sum::<f64>() / admitted
    }
}
