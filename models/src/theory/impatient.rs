//! Queues whose requests give up waiting.

use super::birth_death::{at_least, mean_above, stationary};
use super::erlang::erlang_b;
use super::error::{TheoryError, at_least_one, positive};

/// Erlang A, M/M/c+M: a waiting request gives up after an exponential patience; none gives up in service.
///
/// Stable at every load. Source: Palm 1957; Garnett, Mandelbaum and Reiman 2002.
///
/// ```
/// use scalesim::theory::ErlangA;
/// // Patience as long as service: as if every request were served at once by endlessly many servers.
/// let queue = ErlangA::new(5.0, 1.0, 5, 1.0)?;
/// assert!((queue.mean_number() - 5.0).abs() < 1e-12);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ErlangA {
    arrival_rate: f64,
    service_rate: f64,
    servers: u32,
    patience_rate: f64,
    law: Vec<f64>,
}

impl ErlangA {
    /// Rates per unit of time, above 0; `patience_rate` is 1 over the mean patience.
    pub fn new(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
        patience_rate: f64,
    ) -> Result<ErlangA, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        positive("patience rate", patience_rate)?;
        let c = at_least_one("number of servers", servers)? as usize;
        let departure_rate =
            |n: usize| n.min(c) as f64 * service_rate + n.saturating_sub(c) as f64 * patience_rate;
        let law = stationary(None, |n| arrival_rate / departure_rate(n))?;
        Ok(ErlangA { arrival_rate, service_rate, servers, patience_rate, law })
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        mean_above(&self.law, self.servers as usize)
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        mean_above(&self.law, 0)
    }

    /// The share of arrivals that give up.
    pub fn p_abandon(&self) -> f64 {
        self.patience_rate * self.mean_wait_of_all()
    }

    /// The share of arrivals that find every server busy.
    pub fn p_wait(&self) -> f64 {
        at_least(&self.law, self.servers as usize)
    }

    /// The mean time in the queue of all arrivals, whether served in the end or not.
    pub fn mean_wait_of_all(&self) -> f64 {
        self.mean_queue() / self.arrival_rate
    }

    /// The mean wait of the requests that are served.
    ///
    /// Who finds `k` waiting is next in a queue that shortens at rate cμ + iθ with i requests left in it, itself
    /// included, and is served with probability cμ / (cμ + (k+1)θ), whatever those times are.
    pub fn mean_wait(&self) -> f64 {
        let full_rate = f64::from(self.servers) * self.service_rate;
        let mut mean_if_served = 0.0;
        let mut total = 0.0;
        for (waiting, p) in self.law.iter().skip(self.servers as usize).enumerate() {
            let rate = full_rate + (waiting as f64 + 1.0) * self.patience_rate;
            mean_if_served += 1.0 / rate;
            total += p * full_rate / rate * mean_if_served;
        }
        total / self.p_served()
    }

    /// Served requests per arrival, from the busy servers: 1 − P(abandon) would cancel in overload.
    fn p_served(&self) -> f64 {
        let c = self.servers as usize;
        let busy: f64 = self.law.iter().enumerate().map(|(n, p)| n.min(c) as f64 * p).sum();
        busy * self.service_rate / self.arrival_rate
    }
}

/// M/M/c+D: a waiting request leaves when a fixed time-out in the queue is over; no time-out in service.
///
/// A caller that times out while the server keeps working is another model: there the share of failures is
/// [`Mmc::p_sojourn_longer_than`](super::Mmc::p_sojourn_longer_than). Stable at every load. Source: Baccelli and
/// Hébuterne 1981; Zeltyn and Mandelbaum 2005, M/M/n+G.
///
/// With δ = λ − cμ the sources' integrals reduce to ∫₀ᴰ e^{δx} dx and ∫₀ᴰ x e^{δx} dx. All are kept multiplied by
/// the loss of c − 1 servers and, in overload, by e^{−δD}, so that nothing overflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueTimeout {
    timeout: f64,
    /// Weight of finding a server idle.
    idle: f64,
    /// Weight of having to wait, and being served within the time-out.
    in_time: f64,
    /// Weight of having to wait, and timing out.
    late: f64,
    /// `in_time` times the wait.
    waited: f64,
}

impl QueueTimeout {
    /// Rates per unit of time and `timeout` in that unit, all above 0.
    pub fn new(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
        timeout: f64,
    ) -> Result<QueueTimeout, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        at_least_one("number of servers", servers)?;
        positive("time-out", timeout)?;
        let blocked = erlang_b(arrival_rate / service_rate, servers - 1)?;
        let full_rate = f64::from(servers) * service_rate;
        let growth = (arrival_rate - full_rate) * timeout;
        let (flat, ramp) = decaying_integrals(growth.abs());
        let wait_weight = blocked * arrival_rate * timeout;
        Ok(QueueTimeout {
            timeout,
            idle: (-growth.max(0.0)).exp(),
            in_time: wait_weight * flat,
            late: blocked * arrival_rate / full_rate * growth.min(0.0).exp(),
            waited: wait_weight * timeout * if growth > 0.0 { flat - ramp } else { ramp },
        })
    }

    /// The share of arrivals that time out.
    pub fn p_abandon(&self) -> f64 {
        self.late / self.total()
    }

    /// The share of arrivals that find every server busy.
    pub fn p_wait(&self) -> f64 {
        (self.in_time + self.late) / self.total()
    }

    /// The mean wait of the requests that are served.
    pub fn mean_wait(&self) -> f64 {
        self.waited / (self.idle + self.in_time)
    }

    /// The mean time in the queue of all arrivals, whether served in the end or not.
    pub fn mean_wait_of_all(&self) -> f64 {
        (self.waited + self.timeout * self.late) / self.total()
    }

    fn total(&self) -> f64 {
        self.idle + self.in_time + self.late
    }
}

/// ∫₀¹ e^{−au} du and ∫₀¹ u e^{−au} du, for a of at least 0.
fn decaying_integrals(a: f64) -> (f64, f64) {
    if a > 0.5 {
        return (-(-a).exp_m1() / a, (-(-a).exp_m1() - a * (-a).exp()) / (a * a));
    }
    let mut power = 1.0;
    let (mut flat, mut ramp) = (0.0, 0.0);
    for k in 0..20 {
        let k = f64::from(k);
        flat += power / (k + 1.0);
        ramp += power / (k + 2.0);
        power *= -a / (k + 1.0);
    }
    (flat, ramp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::Mmc;

    #[test]
    fn endless_patience_is_the_plain_queue() {
        let plain = Mmc::new(3.6, 1.0, 4).unwrap();
        let patient = QueueTimeout::new(3.6, 1.0, 4, 1e4).unwrap();
        assert!((patient.mean_wait() / plain.mean_wait() - 1.0).abs() < 1e-12);
        assert!((patient.p_wait() / plain.p_wait() - 1.0).abs() < 1e-12);
        assert!(patient.p_abandon() < 1e-300);
        let slow = ErlangA::new(3.6, 1.0, 4, 1e-9).unwrap();
        assert!((slow.mean_wait() / plain.mean_wait() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_long_overload_abandons_what_cannot_be_served() {
        let queue = QueueTimeout::new(3_000.0, 1.0, 1_000, 60.0).unwrap();
        assert!((queue.p_abandon() - 2.0 / 3.0).abs() < 1e-12);
        assert!((queue.mean_wait() - 60.0).abs() < 1e-2);
        let queue = ErlangA::new(3_000.0, 1.0, 1_000, 1.0).unwrap();
        assert!((queue.p_abandon() - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_integrals_meet_where_their_two_forms_do() {
        let (flat, ramp) = decaying_integrals(0.5);
        let (flat_above, ramp_above) = decaying_integrals(0.5 + 1e-15);
        assert!((flat - flat_above).abs() < 1e-14 && (ramp - ramp_above).abs() < 1e-14);
    }
}
