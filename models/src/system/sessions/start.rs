//! Sessions that are open before anything happens: as if the system had run for long.

use sim_core::chance::unit;
use sim_core::dist::Dist;
use sim_core::{Calendar, Span, Stream};

use super::{Session, SessionSource, Sessions, System, first_number};
use crate::balancer::{Client, Seen};
use crate::event::Event;
use crate::plan::{EndpointId, TrafficId};
use crate::system::request::Request;

/// Draws that the rest of a length is drawn from.
const DRAWS: usize = 1 << 16;

/// What is left of a length that is met in progress (the excess of renewal theory): longer ones are met more often, in
/// proportion to their length, and at any of their instants. Of many draws one is taken by its length.
struct Excess {
    lengths: Vec<f64>,
    /// The sum of each length and of those before it.
    sums: Vec<f64>,
    draws: Stream,
}

impl Excess {
    fn new(length: &Dist, mut draws: Stream) -> Self {
        let lengths: Vec<f64> = (0..DRAWS).map(|_| length.sample(&mut draws)).collect();
        let mut sum = 0.0;
        let sums = lengths.iter().map(|length| {
            sum += length;
            sum
        });
        Excess { sums: sums.collect(), lengths, draws }
    }

    fn draw(&mut self) -> Span {
        let met = unit(&mut self.draws) * self.sums[DRAWS - 1];
        let which = self.sums.partition_point(|&sum| sum <= met).min(DRAWS - 1);
        Span::from_nanos_f64(self.lengths[which] * unit(&mut self.draws))
    }
}

impl System {
    /// Opens the sessions that are open at the start, where the balancer would put them.
    pub(in crate::system) fn start_sessions(&mut self, calendar: &mut Calendar<Event>) {
        let ids = 0..self.plan.traffic.len() as u16;
        for id in ids.map(TrafficId) {
            let name = &self.plan.traffic[id.index()].name;
            let (stream, number) =
                (format!("traffic/{name}/open"), first_number(&format!("traffic/{name}/open")));
            let Some(sessions) = self.sessions.as_mut() else { return };
            let seed = sessions.seed;
            let Some(SessionSource { plan, .. }) = sessions.source(id) else { continue };
            if plan.open == 0 {
                continue;
            }
            let (open, players) = (plan.open, plan.rooms.map(|rooms| rooms.players));
            let mut excess = Excess::new(&plan.length, seed.stream(&stream));
            let mut numbers = (0..).map(|n| number.wrapping_add(n));
            match players {
                None => {
                    for number in numbers.by_ref().take(open as usize) {
                        let left = excess.draw();
                        self.start_session(id, number, left, calendar);
                    }
                }
                Some(players) => {
                    for (number, room) in numbers.by_ref().zip(0..open.div_ceil(players)) {
                        let in_it = players.min(open - room * players);
                        let left = excess.draw();
                        self.start_room_of(id, number, in_it, left, calendar);
                    }
                }
            }
            if let Some(source) = self.sessions.as_mut().and_then(|sessions| sessions.source(id)) {
                source.counts.begin(calendar.now());
            }
        }
    }

    fn start_session(&mut self, id: TrafficId, number: u64, left: Span, calendar: &mut Calendar<Event>) {
        let Some(target) = self.target_at_start(id, number, 1) else { return };
        let process = self.next_process(target);
        let Some(sessions) = &mut self.sessions else { return };
        let session = Session { ends: true, ..Session::new(id, calendar.now()) };
        let session = sessions.all.insert(session);
        sessions.halls[target as usize].taken += 1;
        calendar.after(left, Event::SessionOver(session));
        self.open_session(session.slot, target, process, calendar);
    }

    /// A room in full swing; the last may not be full, and waits for more players if rooms do.
    fn start_room_of(
        &mut self,
        id: TrafficId,
        number: u64,
        players: u32,
        left: Span,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(rooms) = self.plan.traffic[id.index()].sessions.as_ref().and_then(|s| s.rooms) else {
            return;
        };
        let Some(target) = self.target_at_start(id, number, rooms.players) else { return };
        let room = if players == rooms.players {
            self.room_at_start(id, target, left, calendar)
        } else {
            self.open_room(id, calendar)
        };
        let Some(room) = room else { return };
        for _ in 0..players {
            let Some(sessions) = &mut self.sessions else { return };
            let session = sessions.all.insert(Session::new(id, calendar.now())).slot;
            self.take_seat(id, room, session);
            if self.is_where_its_room_is(session, target) {
                let process = self.next_process(target);
                self.open_session(session, target, process, calendar);
            }
        }
    }

    /// The target that the balancer picks, or one with so many connections left.
    fn target_at_start(&mut self, id: TrafficId, number: u64, seats: u32) -> Option<u32> {
        let traffic = &self.plan.traffic[id.index()];
        let group = self.plan.balancers[traffic.to.index()].first_group();
        let service = self.plan.groups[group.index()].service;
        let most = self.plan.services[service.index()].most_connections.unwrap_or(u32::MAX);
        let request = Request::new(id, EndpointId(0), number, sim_core::Time::ZERO);
        let asks_who = self.rotations[traffic.to.index()].asks_who();
        let client = if asks_who {
            self.who_sends(&request, self.rotations[traffic.to.index()].by_address())
        } else {
            Client::ANY
        };
        let rotation = &mut self.rotations[traffic.to.index()];
        let seen =
            Seen { now: sim_core::Time::ZERO, outstanding: &self.outstanding, latencies: &self.latencies };
        let picked = rotation.pick(request.key(), client, &seen)?;
        let sessions: &Sessions = self.sessions.as_deref()?;
        let has_room = |target: u32| sessions.halls[target as usize].taken.saturating_add(seats) <= most;
        if has_room(picked) {
            return Some(picked);
        }
        self.rotations[traffic.to.index()].healthy().iter().copied().find(|&target| has_room(target))
    }

    /// Connections are spread evenly over the processes of an instance.
    fn next_process(&self, target: u32) -> u16 {
        (self.sessions_at(target) % self.instances[target].server.processes.len().max(1)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::Seed;

    /// The excess of an exponential is the same exponential; of a constant it is uniform; its mean is E[L²] / 2 E[L].
    #[test]
    fn what_is_left_of_a_length_in_progress() {
        let mean = |length: Dist| {
            let mut excess = Excess::new(&length, Seed::new(4).stream("open"));
            (0..200_000).map(|_| excess.draw().as_nanos() as f64).sum::<f64>() / 2e5
        };
        for (length, expected) in [
            (Dist::exponential(1e9).unwrap(), 1e9),
            (Dist::constant(1e9).unwrap(), 0.5e9),
            (Dist::erlang(2, 1e9).unwrap(), 0.75e9),
            (Dist::hyperexponential_balanced(1e9, 4.0).unwrap(), 2.5e9),
        ] {
            let seen = mean(length);
            assert!((seen / expected - 1.0).abs() < 0.02, "{seen} for {expected}");
        }
    }
}
