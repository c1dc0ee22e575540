//! Erlang's formulas and the queue M/M/c.

use super::error::{TheoryError, at_least_one, not_negative, positive, share, stable};
use super::numeric::quantile_of_tail;

/// Most servers a search for the smallest sufficient number looks at.
pub const MAX_SERVERS: u32 = 10_000_000;

/// Erlang's loss formula: the probability that a request finds every server busy and is rejected (M/G/c/c).
///
/// `offered_load` is arrival rate times mean service time, above 0 (it may exceed `servers`). The answer depends
/// on the service times only through their mean (Sevastyanov 1957). `servers` of 0 gives 1.
/// Source: A. K. Erlang 1917, by the recursion B(k) = aB(k−1) / (k + aB(k−1)), which is stable for any size.
///
/// ```
/// use scalesim::theory::erlang_b;
/// assert_eq!(erlang_b(1.0, 2)?, 0.2);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
pub fn erlang_b(offered_load: f64, servers: u32) -> Result<f64, TheoryError> {
    let a = positive("offered load", offered_load)?;
    Ok((1..=servers).fold(1.0, |blocked, k| next_erlang_b(blocked, a, k)))
}

/// B(k) from B(k−1).
fn next_erlang_b(blocked: f64, offered_load: f64, k: u32) -> f64 {
    let offered = offered_load * blocked;
    offered / (f64::from(k) + offered)
}

/// Erlang's delay formula: the probability that a request has to wait (M/M/c).
///
/// `offered_load` lies above 0 and below `servers`. Source: A. K. Erlang 1917; C = cB / (c − a(1 − B)).
pub fn erlang_c(offered_load: f64, servers: u32) -> Result<f64, TheoryError> {
    let servers = at_least_one("number of servers", servers)?;
    let blocked = erlang_b(offered_load, servers)?;
    stable(offered_load, servers)?;
    Ok(wait_from_loss(blocked, offered_load, servers))
}

/// Erlang C from Erlang B.
fn wait_from_loss(blocked: f64, offered_load: f64, servers: u32) -> f64 {
    let c = f64::from(servers);
    c * blocked / (c - offered_load * (1.0 - blocked))
}

/// M/M/c: Poisson arrivals, exponential service times, `c` equal servers, one first-come-first-served queue.
///
/// The means of wait, sojourn and number hold for any order of service that ignores service times; the
/// distributions hold for first come first served only. Source: Gross, Shortle, Thompson and Harris,
/// "Fundamentals of Queueing Theory", chapter on Markovian queues; Cooper, "Introduction to Queueing Theory".
///
/// ```
/// use scalesim::theory::Mmc;
/// let queue = Mmc::new(0.5, 1.0, 1)?;
/// assert_eq!(queue.mean_sojourn(), 2.0);
/// assert!((queue.sojourn_quantile(0.95)? - 2.0 * 20f64.ln()).abs() < 1e-12);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mmc {
    arrival_rate: f64,
    service_rate: f64,
    servers: u32,
    p_wait: f64,
}

impl Mmc {
    /// `arrival_rate` of all requests, `service_rate` of one server, both per unit of time and above 0;
    /// arrivals must be fewer than `servers` can serve.
    pub fn new(arrival_rate: f64, service_rate: f64, servers: u32) -> Result<Mmc, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        let p_wait = erlang_c(arrival_rate / service_rate, servers)?;
        Ok(Mmc { arrival_rate, service_rate, servers, p_wait })
    }

    /// Arrivals per unit of time.
    pub fn arrival_rate(&self) -> f64 {
        self.arrival_rate
    }

    /// Completions of one busy server per unit of time.
    pub fn service_rate(&self) -> f64 {
        self.service_rate
    }

    /// The number of servers.
    pub fn servers(&self) -> u32 {
        self.servers
    }

    /// Arrival rate times mean service time: the mean number of busy servers.
    pub fn offered_load(&self) -> f64 {
        self.arrival_rate / self.service_rate
    }

    /// The share of time a server is busy, below 1.
    pub fn utilisation(&self) -> f64 {
        self.offered_load() / f64::from(self.servers)
    }

    /// The share of requests that do not start at once (Erlang C). Also the share of time all servers are busy.
    pub fn p_wait(&self) -> f64 {
        self.p_wait
    }

    /// The mean wait of all requests, those that start at once included.
    pub fn mean_wait(&self) -> f64 {
        self.p_wait / self.spare_rate()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + 1.0 / self.service_rate
    }

    /// The mean number of requests that wait.
    pub fn mean_queue(&self) -> f64 {
        self.arrival_rate * self.mean_wait()
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        self.mean_queue() + self.offered_load()
    }

    /// The share of requests that wait longer than `t`.
    pub fn p_wait_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        Ok(self.wait_tail(not_negative("time", t)?))
    }

    /// The share of requests whose sojourn exceeds `t`.
    pub fn p_sojourn_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        Ok(self.sojourn_tail(not_negative("time", t)?))
    }

    /// The wait that a share `p` of requests does not exceed (0.99 for p99); 0 if that many start at once.
    pub fn wait_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        let p = share(p)?;
        Ok(f64::max(0.0, (self.p_wait / (1.0 - p)).ln() / self.spare_rate()))
    }

    /// The sojourn that a share `p` of requests does not exceed (0.99 for p99).
    pub fn sojourn_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        let p = share(p)?;
        Ok(quantile_of_tail(1.0 - p, self.mean_sojourn(), |t| self.sojourn_tail(t)))
    }

    /// Service capacity left over: completions per unit of time when all are busy, less arrivals.
    pub(super) fn spare_rate(&self) -> f64 {
        f64::from(self.servers) * self.service_rate - self.arrival_rate
    }

    fn wait_tail(&self, t: f64) -> f64 {
        self.p_wait * (-self.spare_rate() * t).exp()
    }

    /// e^{−μt} + C (e^{−μt} − e^{−θt}) / k with θ = cμ − λ = μ(1 + k).
    pub(super) fn sojourn_tail(&self, t: f64) -> f64 {
        (-self.service_rate * t).exp() + self.p_wait * self.difference_of_decays(t)
    }

    /// (e^{−μt} − e^{−θt}) / k of the tail of sojourns, written so that nothing overflows or cancels.
    pub(super) fn difference_of_decays(&self, t: f64) -> f64 {
        let mu = self.service_rate;
        let k = f64::from(self.servers) - 1.0 - self.offered_load();
        if k > 0.0 {
            -(-mu * t).exp() * (-mu * t * k).exp_m1() / k
        } else if k < 0.0 {
            (-self.spare_rate() * t).exp() * (mu * t * k).exp_m1() / k
        } else {
            (-mu * t).exp() * mu * t
        }
    }
}

/// The fewest servers with which at least a share `p` of requests waits no longer than `t` (M/M/c, first come
/// first served).
///
/// `t` is at least 0, `p` at least 0 and below 1. Always reachable; a search beyond [`MAX_SERVERS`] is refused.
///
/// ```
/// use scalesim::theory::min_servers_for_wait;
/// // 10 calls a minute of one minute each, 80 % answered within half a minute.
/// assert_eq!(min_servers_for_wait(10.0, 1.0, 0.5, 0.8)?, 12);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
pub fn min_servers_for_wait(
    arrival_rate: f64,
    service_rate: f64,
    t: f64,
    p: f64,
) -> Result<u32, TheoryError> {
    let t = not_negative("time", t)?;
    let p = share(p)?;
    min_servers(arrival_rate, service_rate, |queue| 1.0 - queue.wait_tail(t) >= p)
}

/// The fewest servers with which at least a share `p` of sojourns lasts no longer than `t` (M/M/c, first come
/// first served).
///
/// [`TheoryError::Unreachable`] if the service times alone exceed `t` too often, which no server cures.
pub fn min_servers_for_sojourn(
    arrival_rate: f64,
    service_rate: f64,
    t: f64,
    p: f64,
) -> Result<u32, TheoryError> {
    let t = not_negative("time", t)?;
    let p = share(p)?;
    let best = -(-positive("service rate", service_rate)? * t).exp_m1();
    if best <= p {
        return Err(TheoryError::Unreachable { target: p, best });
    }
    min_servers(arrival_rate, service_rate, |queue| 1.0 - queue.sojourn_tail(t) >= p)
}

/// The first stable number of servers that is `enough`, carrying Erlang's recursion along.
fn min_servers(
    arrival_rate: f64,
    service_rate: f64,
    enough: impl Fn(&Mmc) -> bool,
) -> Result<u32, TheoryError> {
    let offered_load = positive("arrival rate", arrival_rate)? / positive("service rate", service_rate)?;
    let mut blocked = 1.0;
    for servers in 1..=MAX_SERVERS {
        blocked = next_erlang_b(blocked, offered_load, servers);
        if f64::from(servers) > offered_load {
            let p_wait = wait_from_loss(blocked, offered_load, servers);
            if enough(&Mmc { arrival_rate, service_rate, servers, p_wait }) {
                return Ok(servers);
            }
        }
    }
    Err(TheoryError::TooLarge { unit: "servers", limit: MAX_SERVERS as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_servers() {
        // Square-root staffing: with a + sqrt(a) servers the share that waits tends to the Halfin-Whitt value
        // 1 / (1 + x Phi(x) / phi(x)) at x = 1: 0.223361; the gap is of order 1/sqrt(a).
        let queue = Mmc::new(9_900.0, 1.0, 10_000).unwrap();
        assert!((queue.p_wait() - 0.2234).abs() < 0.005, "{}", queue.p_wait());
        let p99 = queue.sojourn_quantile(0.99).unwrap();
        assert!((queue.p_sojourn_longer_than(p99).unwrap() - 0.01).abs() < 1e-12);
    }

    #[test]
    fn the_sojourn_tail_is_smooth_where_its_two_rates_meet() {
        // Offered load of exactly c - 1 is the double root.
        let at = Mmc::new(1.0, 1.0, 2).unwrap().p_sojourn_longer_than(3.0).unwrap();
        let below = Mmc::new(1.0 - 1e-9, 1.0, 2).unwrap().p_sojourn_longer_than(3.0).unwrap();
        let above = Mmc::new(1.0 + 1e-9, 1.0, 2).unwrap().p_sojourn_longer_than(3.0).unwrap();
        assert!((at - below).abs() < 1e-8 && (at - above).abs() < 1e-8);
        assert_eq!(Mmc::new(0.9, 1.0, 1).unwrap().p_sojourn_longer_than(1e6).unwrap(), 0.0);
    }

    #[test]
    fn bad_arguments_are_errors() {
        assert!(matches!(Mmc::new(4.0, 1.0, 4), Err(TheoryError::Unstable { servers: 4, .. })));
        assert!(matches!(Mmc::new(f64::NAN, 1.0, 4), Err(TheoryError::Invalid { .. })));
        assert!(matches!(Mmc::new(1.0, -1.0, 4), Err(TheoryError::Invalid { .. })));
        assert!(matches!(Mmc::new(1.0, 1.0, 0), Err(TheoryError::Invalid { .. })));
        let queue = Mmc::new(1.0, 1.0, 2).unwrap();
        assert!(queue.wait_quantile(1.0).is_err());
        assert!(queue.p_wait_longer_than(f64::NAN).is_err());
        assert_eq!(
            Mmc::new(4.0, 1.0, 4).unwrap_err().to_string(),
            "the offered load of 4 is not below the capacity of 4 servers: the queue grows for ever"
        );
    }

    #[test]
    fn a_sojourn_target_below_the_service_time_is_unreachable() {
        let error = min_servers_for_sojourn(10.0, 1.0, 1.0, 0.9).unwrap_err();
        assert!(matches!(error, TheoryError::Unreachable { .. }));
    }
}
