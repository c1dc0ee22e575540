//! Messages through open sessions.
//!
//! Each session sends as a Poisson process. All sessions of a source together are one (superposition): a message comes
//! after a unit exponential of operational time, which runs at `open × rate`, and it is any session's with equal chances. So
//! one timer a source is enough; it is set anew when the number of open sessions changes, with what was left of the
//! exponential, which is exact.

use sim_core::chance::{below, unit};
use sim_core::dist::exp1;
use sim_core::{Calendar, Seed, Span, Stream, Time, Timer};

use super::{MESSAGE, Session, System, first_number};
use crate::event::Event;
use crate::plan::{Direction, EndpointId, Message, TrafficId};
use crate::system::ending::Ending;
use crate::system::request::Request;

/// The messages of a source.
#[derive(Clone, Debug)]
pub struct Messages {
    /// The share of each kind and of those before it.
    kinds: Vec<(f64, EndpointId, Direction)>,
    /// Messages a second of one session.
    rate: f64,
    /// What is left of the exponential, and as of when.
    left: f64,
    since: Time,
    timer: Timer,
    draws: Stream,
    next_number: u64,
}

impl Messages {
    pub fn new(source: &str, messages: &[Message], seed: Seed, calendar: &mut Calendar<Event>) -> Self {
        let mut draws = seed.stream(&format!("traffic/{source}/messages"));
        let mut rate = 0.0;
        let kinds = messages.iter().map(|message| {
            rate += message.rate;
            (rate, message.endpoint, message.direction)
        });
        Messages {
            kinds: kinds.collect(),
            rate,
            left: exp1(&mut draws),
            since: Time::ZERO,
            timer: calendar.timer(),
            draws,
            next_number: first_number(&format!("traffic/{source}/messages")),
        }
    }

    /// Before the number of open sessions changes: so many were open until now.
    pub fn settle(&mut self, open: usize, now: Time) {
        let passed = now.since(self.since).as_secs_f64() * open as f64 * self.rate;
        (self.left, self.since) = ((self.left - passed).max(0.0), now);
    }

    /// So many are open from now on.
    pub fn arm(&self, source: TrafficId, open: usize, calendar: &mut Calendar<Event>) {
        let rate = open as f64 * self.rate;
        if rate > 0.0 {
            calendar.set(self.timer, Span::from_secs_f64(self.left / rate), Event::Message(source));
        } else {
            calendar.clear(self.timer);
        }
    }

    /// The next message, of one of so many sessions: which of them, of which kind, and its number.
    fn next(&mut self, open: usize, now: Time) -> Option<(usize, EndpointId, Direction, u64)> {
        (self.left, self.since) = (exp1(&mut self.draws), now);
        let &(_, last, way) = self.kinds.last()?;
        let (endpoint, way) = if self.kinds.len() == 1 {
            (last, way)
        } else {
            let draw = unit(&mut self.draws) * self.rate;
            let kind = self.kinds.iter().find(|kind| draw < kind.0);
            kind.map_or((last, way), |&(_, endpoint, way)| (endpoint, way))
        };
        let session = below(&mut self.draws, open as u32) as usize;
        self.next_number = self.next_number.wrapping_add(1);
        Some((session, endpoint, way, self.next_number))
    }
}

impl System {
    /// One of a source's open sessions sends a message.
    pub(in crate::system) fn message(&mut self, id: TrafficId, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let Some(sessions) = &mut self.sessions else { return };
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        debug_assert!(!source.open.is_empty(), "nobody open sends nothing");
        let Some((which, endpoint, way, number)) = source.messages.next(source.open.len(), now) else {
            return;
        };
        source.messages.arm(id, source.open.len(), calendar);
        let Session { instance, process, .. } = sessions.all[source.open[which]];
        source.counts.messages[usize::from(way == Direction::Down)] += 1;
        let to = source.to;
        self.measure.offered(id);
        self.measure.attempt(id);
        self.measure.message(to, endpoint, self.programs[endpoint.index()].size);
        let slot = self.admit(Request { session: MESSAGE, ..Request::new(id, endpoint, number, now) }).slot;
        let server = self.instances.at_work(instance);
        self.fleets[server.group.index()].messages += 1;
        if server.server.inside >= server.most_inside {
            self.out_of_memory(instance, calendar);
            return self.turned_away(slot, Ending::Lost, calendar);
        }
        server.server.inside += 1;
        self.fleets[server.group.index()].inside.add(now, 1.0);
        let variant = server.variant;
        let request = &mut self.requests[slot];
        (request.instance, request.variant) = (instance, variant);
        self.join_process(slot, process, calendar);
    }
}
