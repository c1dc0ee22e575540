//! Sessions: connections that stay open, and rooms of them.

use sim_core::dist::Dist;
use sim_core::{Span, Time};

use super::{EndpointId, Traffic};

/// What makes a source one of sessions (websockets): each of its arrivals is a handshake, an ordinary request for an
/// endpoint of its mix. Once that is answered the session is open at the instance and the process that answered.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// How long a session lasts from its first handshake, in nanoseconds; in rooms, how long a room does from its start.
    pub length: Dist,
    /// Sessions that are open at the start, spread by the balancer over the initial instances.
    pub open: u32,
    /// What is sent through open sessions; at most [`Sessions::MOST_MESSAGES`] kinds.
    pub messages: Vec<Message>,
    /// Whether a client whose connection is lost comes back, after the `backoff` of the source's `retry`.
    pub reconnect: bool,
    /// Rooms whose players share an instance.
    pub rooms: Option<Rooms>,
}

/// A kind of message. Each open session sends its messages as a Poisson process of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message {
    /// What it costs the server: an endpoint of the service behind the balancer. The runtime's overhead, which is that of a
    /// request of HTTP, is not added to it.
    pub endpoint: EndpointId,
    /// Messages a second of one open session.
    pub rate: f64,
    /// Which way it goes.
    pub direction: Direction,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Rooms: the players of one share an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Seats of a room; 1 to [`Rooms::MOST_PLAYERS`].
    pub players: u32,
    /// When a room that is not full starts all the same, counted from when it was opened; `None` waits until it is full.
    pub wait: Option<Span>,
}

impl Sessions {
    /// The most kinds of messages of a source.
    pub const MOST_MESSAGES: usize = 64;

    /// Messages a second of one open session, of all kinds.
    pub fn message_rate(&self) -> f64 {
        self.messages.iter().map(|message| message.rate).sum()
    }
}

impl Rooms {
    /// The most players of a room.
    pub const MOST_PLAYERS: u32 = 10_000;
}

/// Steps in which the expected number of open sessions is followed over a run.
const STEPS: u64 = 2_000;

impl Traffic {
    /// Requests that are expected between two instants: arrivals, and the messages of sessions.
    pub fn expected_requests(&self, from: Time, to: Time) -> f64 {
        self.expected.integral(from, to) + self.expected_messages(from, to)
    }

    /// Messages that are expected between two instants.
    fn expected_messages(&self, from: Time, to: Time) -> f64 {
        match &self.sessions {
            Some(sessions) => sessions.message_rate() * self.expected_session_seconds(from, to),
            None => 0.0,
        }
    }

    /// The integral of the sessions that are expected to be open: the fluid of M/M/∞, `open' = λ − open / mean`, whose
    /// stationary value is Little's. Nobody is refused, and nobody waits for a room to start.
    pub fn expected_session_seconds(&self, from: Time, to: Time) -> f64 {
        let Some(sessions) = &self.sessions else { return 0.0 };
        let mean = (sessions.length.mean() / 1e9).max(1e-9);
        let longest = Span::from_nanos((to.as_nanos() / STEPS).max(1));
        let (mut open, mut at, mut sum) = (f64::from(sessions.open), Time::ZERO, 0.0);
        // Between two knots the rate is a line; before the first and after the last nobody comes.
        let knots = self.expected.knots();
        let nobody = (to, 0.0);
        let first = knots.first().map_or(nobody, |knot| (knot.0, 0.0));
        let pieces = knots.iter().copied().chain([(knots.last().map_or(to, |knot| knot.0), 0.0), nobody]);
        let mut left = (Time::ZERO, 0.0);
        for right in std::iter::once(first).chain(pieces) {
            let length = right.0.since(left.0).as_secs_f64();
            while at < right.0.min(to) {
                let next = (at + longest).min(right.0).min(to);
                let seconds = next.since(at).as_secs_f64();
                let middle = at.since(left.0).as_secs_f64() + seconds / 2.0;
                let rate = left.1 + (right.1 - left.1) * middle / length;
                let then = (open + rate * seconds) / (1.0 + seconds / mean);
                sum += next.since(at.max(from)).as_secs_f64().min(seconds) * (open + then) / 2.0;
                (open, at) = (then, next);
            }
            left = right;
        }
        sum
    }

    /// What is asked for over a run, messages among it: endpoints, and their shares of all that is
    /// [expected](Traffic::expected_requests).
    pub fn shares(&self, end: Time) -> Vec<(EndpointId, f64)> {
        let messages = self.expected_messages(Time::ZERO, end);
        let Some(sessions) = self.sessions.as_ref().filter(|_| messages > 0.0) else {
            return self.mix.clone();
        };
        let all = self.expected_requests(Time::ZERO, end);
        let of_messages = messages / (all * sessions.message_rate());
        let handshakes = self.mix.iter().map(|&(endpoint, share)| (endpoint, share * (1.0 - messages / all)));
        handshakes
            .chain(sessions.messages.iter().map(|message| (message.endpoint, message.rate * of_messages)))
            .collect()
    }

    /// The endpoints of its mix and of its messages.
    pub fn asks_for(&self) -> impl Iterator<Item = EndpointId> + '_ {
        let messages = self.sessions.iter().flat_map(|sessions| &sessions.messages);
        self.mix.iter().map(|&(endpoint, _)| endpoint).chain(messages.map(|message| message.endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BalancerId, Retry};
    use crate::traffic::{Arrivals, RateArrivals, RateFunction};
    use std::sync::Arc;

    fn source(rate: f64, open: u32) -> Traffic {
        let end = Time::ZERO + Span::from_secs(10_000);
        let expected = RateFunction::from_knots(vec![(Time::ZERO, rate), (end, rate)]);
        Traffic {
            name: "s".into(),
            to: BalancerId(0),
            arrivals: Arrivals::Rate(RateArrivals::new(Arc::new(expected.clone()), 1.0).unwrap()),
            expected,
            doubtful: Vec::new(),
            mix: vec![(EndpointId(0), 1.0)],
            timeout: None,
            retry: Retry::NONE,
            retry_budget: None,
            clients_per_address: 1,
            connections: None,
            network: None,
            status: None,
            hedge: None,
            clients: None,
            sessions: Some(Sessions {
                length: Dist::exponential(100e9).unwrap(),
                open,
                messages: vec![Message { endpoint: EndpointId(1), rate: 0.5, direction: Direction::Up }],
                reconnect: true,
                rooms: None,
            }),
        }
    }

    #[test]
    fn in_equilibrium_littles_law_says_how_many_are_open() {
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        let still = source(10.0, 1_000).expected_session_seconds(at(100), at(200));
        assert!((still / 100.0 - 1_000.0).abs() < 1e-6, "{still}");
        // From nothing, 10/s × 100 s × (t − 100 (1 − e^(−t/100))).
        let filling = source(10.0, 0).expected_session_seconds(Time::ZERO, at(100));
        let exact = 1_000.0 * 100.0 * (-1.0f64).exp();
        assert!((filling / exact - 1.0).abs() < 0.001, "{filling} and {exact}");
        let shares = source(10.0, 1_000).shares(at(1_000));
        assert!((shares[1].1 - 500.0 / 510.0).abs() < 1e-9, "{shares:?}");
        assert!((shares.iter().map(|share| share.1).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
