//! How long a request is on its way to a balancer: round trips, and packets that are lost.
//!
//! The way back is counted before the request arrives, so that one event does for both: everybody sees the same response
//! times, and a server sees requests half a round trip late.

use sim_core::chance::unit;
use sim_core::{Keyed, Seed, Span, Time};

use crate::plan::{BalancerId, Incident, IncidentKind, Plan, Traffic};

/// Linux' first timeout of a SYN, which doubles (RFC 6298, 2.1; `TCP_TIMEOUT_INIT`).
const FIRST_SYN: Span = Span::from_secs(1);
/// How often Linux repeats a SYN (`net.ipv4.tcp_syn_retries`): it gives up after 127 s.
const SYN_RETRIES: u32 = 6;
/// The shortest retransmission timeout of an established connection (`TCP_RTO_MIN`).
const LEAST_TIMEOUT: Span = Span::from_millis(200);
/// The longest (`TCP_RTO_MAX`).
const MOST_TIMEOUT: Span = Span::from_secs(120);
/// How often Linux repeats a segment (`net.ipv4.tcp_retries2`).
const SEGMENT_RETRIES: u32 = 15;

/// The way from clients to a balancer.
#[derive(Clone, Debug)]
pub struct Way {
    round_trip: Span,
    /// Round trips of TLS on a new connection.
    handshakes: u32,
    troubles: Box<[Trouble]>,
    losses: Keyed,
}

/// What an incident does to it.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    from: Time,
    until: Time,
    /// Added each way.
    add: Span,
    /// The chance of a packet to be lost.
    lost: f64,
}

impl Way {
    /// The way of a source's requests; `None` where it takes no time and loses nothing.
    pub fn of_traffic(plan: &Plan, traffic: &Traffic, seed: Seed) -> Option<Way> {
        let troubles = troubles(plan, traffic.to);
        if traffic.network.is_none() && troubles.is_empty() {
            return None;
        }
        Some(Way {
            round_trip: traffic.network.map_or(Span::ZERO, |network| network.round_trip),
            handshakes: traffic.network.map_or(0, |network| network.tls.round_trips()),
            troubles,
            losses: seed.keyed(&format!("traffic/{}/loss", traffic.name)),
        })
    }

    /// The way of calls to a balancer, over connections that are there already; `None` where no incident is about it.
    pub fn of_calls(plan: &Plan, to: BalancerId, seed: Seed) -> Option<Way> {
        let troubles = troubles(plan, to);
        let name = &plan.balancers[to.index()].name;
        (!troubles.is_empty()).then(|| Way {
            round_trip: Span::ZERO,
            handshakes: 0,
            troubles,
            losses: seed.keyed(&format!("balancer/{name}/loss")),
        })
    }

    /// When the answer to a request would be there, were it answered at once: on a new connection, or on one that is there.
    ///
    /// # Errors
    /// When its sender gives up, because no packet came through.
    pub fn arrival(&self, sent: Time, new: bool, key: u64) -> Result<Time, Time> {
        if self.troubles.is_empty() {
            let trips = if new { 2 + self.handshakes } else { 1 };
            return Ok(sent + self.round_trip.saturating_mul(u64::from(trips)));
        }
        self.troubled(sent, new, key)
    }

    #[cold]
    fn troubled(&self, sent: Time, new: bool, key: u64) -> Result<Time, Time> {
        let mut draws = self.losses.at(key);
        let mut lost = |at: Time| {
            let share = self.lost(at);
            share > 0.0 && unit(&mut draws) < share
        };
        let mut at = sent;
        if new {
            at = self.exchange(at, FIRST_SYN, SYN_RETRIES, &mut lost)?;
            for _ in 0..self.handshakes {
                at = self.exchange(at, self.timeout(at), SEGMENT_RETRIES, &mut lost)?;
            }
        }
        self.exchange(at, self.timeout(at), SEGMENT_RETRIES, &mut lost)
    }

    /// A packet and what comes back, the packet again and again until it is not lost.
    fn exchange(
        &self,
        sent: Time,
        timeout: Span,
        retries: u32,
        lost: &mut impl FnMut(Time) -> bool,
    ) -> Result<Time, Time> {
        let (mut at, mut timeout) = (sent, timeout);
        for _ in 0..=retries {
            if !lost(at) {
                return Ok(at + self.round_trip(at));
            }
            at += timeout;
            timeout = timeout.saturating_mul(2).min(MOST_TIMEOUT);
        }
        Err(at)
    }

    fn timeout(&self, at: Time) -> Span {
        LEAST_TIMEOUT.max(self.round_trip(at).saturating_mul(2))
    }

    fn round_trip(&self, at: Time) -> Span {
        let added = |way: Span, trouble: &Trouble| way + trouble.add.saturating_mul(2);
        self.active(at).fold(self.round_trip, added)
    }

    fn lost(&self, at: Time) -> f64 {
        1.0 - self.active(at).map(|trouble| 1.0 - trouble.lost).product::<f64>()
    }

    fn active(&self, at: Time) -> impl Iterator<Item = &Trouble> {
        self.troubles.iter().filter(move |trouble| (trouble.from..trouble.until).contains(&at))
    }
}

fn troubles(plan: &Plan, balancer: BalancerId) -> Box<[Trouble]> {
    let trouble = |incident: &Incident| {
        let (_, from, until) = incident.of_network().filter(|(to, ..)| *to == balancer)?;
        match incident.kind {
            IncidentKind::NetworkLatency { add, .. } => Some(Trouble { from, until, add, lost: 0.0 }),
            IncidentKind::PacketLoss { share, .. } => {
                Some(Trouble { from, until, add: Span::ZERO, lost: share })
            }
            _ => None,
        }
    };
    plan.incidents.iter().filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(round_trip: u64, handshakes: u32, trouble: Option<Trouble>) -> Way {
        Way {
            round_trip: Span::from_millis(round_trip),
            handshakes,
            troubles: trouble.into_iter().collect(),
            losses: Seed::new(1).keyed("loss"),
        }
    }

    fn millis(taken: Result<Time, Time>) -> Result<f64, f64> {
        let millis = |at: Time| at.as_secs_f64() * 1e3;
        taken.map(millis).map_err(millis)
    }

    #[test]
    fn a_new_connection_costs_round_trips() {
        for (handshakes, expected) in [(0, 80.0), (1, 120.0), (2, 160.0)] {
            let way = way(40, handshakes, None);
            assert_eq!(millis(way.arrival(Time::ZERO, true, 1)), Ok(expected));
            assert_eq!(millis(way.arrival(Time::ZERO, false, 1)), Ok(40.0));
        }
    }

    #[test]
    fn nothing_comes_through_a_dead_network() {
        let until = Time::ZERO + Span::from_secs(3_600);
        let dead = way(40, 1, Some(Trouble { from: Time::ZERO, until, add: Span::ZERO, lost: 1.0 }));
        assert_eq!(millis(dead.arrival(Time::ZERO, true, 1)), Err(127_000.0));
        // 0.2 · (2^10 − 1) s up to the timeout that would be longer than two minutes, and six of those: RFC 1122's 924.6 s.
        assert_eq!(millis(dead.arrival(Time::ZERO, false, 1)), Err(924_600.0));
        // A SYN is sent at 0, 1, 3, 7 … s: one that is sent after the trouble comes through.
        let short = way(40, 0, Some(Trouble { until: Time::ZERO + Span::from_secs(2), ..dead.troubles[0] }));
        assert_eq!(millis(short.arrival(Time::ZERO, true, 1)), Ok(3_080.0));
        assert_eq!(millis(short.arrival(short.troubles[0].until, true, 1)), Ok(2_080.0));
    }

    #[test]
    fn latency_is_added_each_way() {
        let until = Time::ZERO + Span::from_secs(60);
        let slow =
            way(40, 1, Some(Trouble { from: Time::ZERO, until, add: Span::from_millis(30), lost: 0.0 }));
        assert_eq!(millis(slow.arrival(Time::ZERO, true, 1)), Ok(300.0));
        assert_eq!(millis(slow.arrival(Time::ZERO, false, 1)), Ok(100.0));
    }
}
