//! Sessions: connections that stay open (websockets), and what becomes of them.
//!
//! * [`handshake`](self): the requests that open them, their limits, and coming back after a loss;
//! * [`messages`](self): what is sent through them;
//! * [`rooms`](self): players who share an instance, and the matchmaker;
//! * [`found`](self): what is seen of them;
//! * [`start`](self): those that are open before anything happens.
//!
//! A session is one entry of a slab and one event, its end, however often it is lost and opened again. Messages need no
//! event each: those of all open sessions of a source are one Poisson process. Systems without sessions have none of this.

mod audit;
mod counts;
mod found;
mod handshake;
mod messages;
mod rooms;
mod start;

use sim_core::{Calendar, Keyed, Seed, Time};

use super::System;
use super::fleet::Fleet;
use super::instance::Phase;
use super::request::NOWHERE;
use super::supervise::Losing;
use crate::event::{Event, Ref, Slab};
use crate::plan::{self, BalancerId, GroupId, Plan, TrafficId};
use counts::Counts;
use messages::Messages;
use rooms::Rooms;

/// The session of a request that has nothing to do with one.
pub const NOBODY: u32 = u32::MAX;
/// The session of a request that is a message: it needs to know its instance and its process, and no more.
pub const MESSAGE: u32 = u32::MAX - 1;

/// All sessions of a system.
#[derive(Clone, Debug)]
pub struct Sessions {
    all: Slab<Session>,
    /// By source; `None` for sources of requests.
    sources: Vec<Option<Box<SessionSource>>>,
    /// By instance.
    halls: Vec<Hall>,
    /// Ends in the calendar whose sessions or rooms are gone already: they count against the limit.
    ghosts: u32,
    most: u32,
    seed: Seed,
}

/// One session. There may be millions: with its places in two lists and its end in the calendar each takes some 80 bytes.
#[derive(Clone, Copy, Debug)]
struct Session {
    /// When its client arrived, or lost its connection the last time.
    since: Time,
    /// Where it is open.
    instance: u32,
    /// Its room among those of its source.
    room: u32,
    /// Its place among the open ones of its source, and of its instance.
    places: [u32; 2],
    source: TrafficId,
    /// The process that holds its connection.
    process: u16,
    state: State,
    /// It was open once.
    known: bool,
    /// Its end is in the calendar.
    ends: bool,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A handshake is on its way, or waits for its next attempt.
    Connecting,
    /// Open at an instance.
    Open,
    /// Its connection was lost just now.
    Lost,
    /// Its client waits before it connects again.
    Waiting,
    /// Its end came while a handshake was on its way, which has to be seen to its end.
    Over,
}

/// Why a client without a connection does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// Its session would have been over by now.
    Left,
    /// It has no attempt left, or does not reconnect.
    GaveUp,
}

/// A source of sessions.
#[derive(Clone, Debug)]
struct SessionSource {
    plan: plan::Sessions,
    to: BalancerId,
    group: GroupId,
    /// Its open sessions, in no order.
    open: Vec<u32>,
    messages: Messages,
    rooms: Option<Rooms>,
    lengths: Keyed,
    /// The number of the next handshake after a loss; those of newcomers are as if there were none.
    next_return: u64,
    counts: Counts,
}

/// What an instance holds.
#[derive(Clone, Debug, Default)]
struct Hall {
    /// Its open sessions, in no order.
    open: Vec<u32>,
    /// Connections that count against `most_connections`: open, about to be, and the seats of its rooms.
    taken: u32,
}

impl Session {
    fn new(source: TrafficId, now: Time) -> Self {
        let (instance, room, places) = (NOWHERE, NOBODY, [0; 2]);
        let state = State::Connecting;
        Session { since: now, instance, room, places, source, process: 0, state, known: false, ends: false }
    }
}

impl Sessions {
    /// No sessions yet; `None` where no source has any.
    pub fn new(plan: &Plan, seed: Seed, calendar: &mut Calendar<Event>) -> Option<Box<Self>> {
        plan.traffic.iter().any(|traffic| traffic.sessions.is_some()).then(|| {
            let source = |traffic: &plan::Traffic| {
                let sessions = traffic.sessions.clone()?;
                let name = &traffic.name;
                Some(Box::new(SessionSource {
                    to: traffic.to,
                    group: plan.balancers[traffic.to.index()].first_group(),
                    open: Vec::new(),
                    messages: Messages::new(name, &sessions.messages, seed, calendar),
                    rooms: sessions.rooms.map(|rooms| Rooms::new(name, rooms, seed)),
                    lengths: seed.keyed(&format!("traffic/{name}/length")),
                    next_return: first_number(&format!("traffic/{name}/return")),
                    counts: Counts::new(),
                    plan: sessions,
                }))
            };
            let sources = plan.traffic.iter().map(source).collect();
            let most = plan.limits.sessions;
            Box::new(Sessions { all: Slab::default(), sources, halls: Vec::new(), ghosts: 0, most, seed })
        })
    }

    /// An instance was launched.
    pub fn new_instance(&mut self, slot: u32) {
        if self.halls.len() <= slot as usize {
            self.halls.resize_with(slot as usize + 1, Hall::default);
        }
        self.halls[slot as usize] = Hall::default();
    }

    /// Open sessions at an instance.
    pub fn at(&self, instance: u32) -> usize {
        self.halls[instance as usize].open.len()
    }

    fn source(&mut self, id: TrafficId) -> Option<&mut SessionSource> {
        self.sources[id.index()].as_deref_mut()
    }

    /// Takes a session out of the lists of open ones.
    fn unlist(&mut self, slot: u32, now: Time) {
        let Session { source, instance, places, .. } = self.all[slot];
        let Some(source) = self.sources[source.index()].as_deref_mut() else { return };
        source.messages.settle(source.open.len(), now);
        source.counts.open.add(now, -1.0);
        let hall = &mut self.halls[instance as usize];
        for (which, list) in [&mut source.open, &mut hall.open].into_iter().enumerate() {
            let place = places[which];
            list.swap_remove(place as usize);
            if let Some(&moved) = list.get(place as usize) {
                self.all[moved].places[which] = place;
            }
        }
        if source.rooms.is_none() {
            hall.taken -= 1;
        }
    }

    /// A client does not come back, or never came to be.
    fn stays_away(&mut self, slot: u32, why: Away) {
        let Session { source, known, .. } = self.all[slot];
        let Some(source) = self.source(source) else { return };
        let count = match (known, why) {
            (false, _) => &mut source.counts.never_opened,
            (true, Away::Left) => &mut source.counts.left,
            (true, Away::GaveUp) => &mut source.counts.gave_up,
        };
        *count += 1;
    }

    /// Forgets a session; one whose end is set leaves that in the calendar.
    fn forget(&mut self, slot: u32) {
        self.ghosts += u32::from(self.all[slot].ends);
        self.all[slot].state = State::Over;
        self.all.free(slot);
    }
}

/// The first number of requests of a kind; numbers of different kinds lie far apart.
fn first_number(name: &str) -> u64 {
    use rand::Rng;
    Seed::new(0).keyed(name).at(0).next_u64()
}

impl System {
    /// Open sessions at an instance.
    pub(super) fn sessions_at(&self, instance: u32) -> usize {
        self.sessions.as_ref().map_or(0, |sessions| sessions.at(instance))
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> usize {
        let sources = self.sessions.iter().flat_map(|sessions| sessions.sources.iter().flatten());
        sources.map(|source| source.open.len()).sum()
    }

    /// A session opens at an instance, in one of its processes.
    fn open_session(&mut self, slot: u32, target: u32, process: u16, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let Some(sessions) = &mut self.sessions else { return };
        let session = &mut sessions.all[slot];
        (session.state, session.instance, session.process) = (State::Open, target, process);
        let first = !std::mem::replace(&mut session.known, true);
        let (id, since) = (session.source, session.since);
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        source.messages.settle(source.open.len(), now);
        let hall = &mut sessions.halls[target as usize];
        session.places = [source.open.len() as u32, hall.open.len() as u32];
        source.open.push(slot);
        hall.open.push(slot);
        source.counts.opened(first, since, now);
        source.messages.arm(id, source.open.len(), calendar);
        // To a balancer an open websocket is a request in progress.
        self.outstanding[target as usize] += 1;
        self.fleets[self.instances[target].group.index()].connections.add(now, 1.0);
        self.loaded(target);
        self.seated(slot, calendar);
        if !self.sessions_fit(target) {
            self.out_of_memory(target, calendar);
        }
    }

    /// A session is open no more; its slot is kept, and its source's messages wait to be armed again.
    fn detach(&mut self, slot: u32, now: Time) {
        let Some(sessions) = &mut self.sessions else { return };
        let target = sessions.all[slot].instance;
        sessions.unlist(slot, now);
        sessions.all[slot].instance = NOWHERE;
        self.outstanding[target as usize] -= 1;
        self.fleets[self.instances[target].group.index()].connections.add(now, -1.0);
        self.loaded(target);
        self.sessions_fit(target);
    }

    /// Lets messages come at the rate of what is open now.
    fn arm_messages(&mut self, id: TrafficId, calendar: &mut Calendar<Event>) {
        if let Some(source) = self.sessions.as_mut().and_then(|sessions| sessions.source(id)) {
            source.messages.arm(id, source.open.len(), calendar);
        }
    }

    /// What sessions need of an instance's memory is lost to requests. False where they need more than there is.
    fn sessions_fit(&mut self, target: u32) -> bool {
        let instance = self.instances.at_work(target);
        let group = &self.plan.groups[instance.group.index()];
        let service = instance.service;
        let memory = self.plan.services[service.index()].memory;
        let Some(memory) = memory.filter(|memory| memory.connection > 0) else { return true };
        let machine = &group.machines[instance.machine_type()];
        let all = self.plan.memory_beside(service, machine).unwrap_or(u64::MAX);
        let open = self.sessions.as_ref().map_or(0, |sessions| sessions.at(target)) as u64;
        let left = all.checked_sub(open.saturating_mul(memory.connection));
        instance.fits = u32::try_from(left.unwrap_or(0) / memory.request.max(1)).unwrap_or(u32::MAX);
        let shed = self.plan.services[service.index()].shed;
        instance.most_inside = instance.fits.min(shed.and_then(|shed| shed.above).unwrap_or(u32::MAX));
        left.is_some_and(|left| u64::from(instance.server.inside).saturating_mul(memory.request) <= left)
    }

    /// A session comes to its end.
    pub(super) fn session_over(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let Some(slot) = sessions.all.live(reference) else {
            sessions.ghosts -= 1;
            return;
        };
        let Session { source, instance, .. } = sessions.all[slot];
        self.end_session(slot, calendar.now());
        if instance != NOWHERE {
            self.arm_messages(source, calendar);
            self.gone_if_empty(self.instances.reference(instance), calendar);
        }
    }

    /// What is left of a session whose end has come.
    fn end_session(&mut self, slot: u32, now: Time) {
        let Some(sessions) = &mut self.sessions else { return };
        sessions.all[slot].ends = false;
        let Session { source, state, .. } = sessions.all[slot];
        match state {
            State::Open => {
                if let Some(source) = sessions.source(source) {
                    source.counts.ended += 1;
                }
                self.detach(slot, now);
            }
            State::Lost | State::Waiting => sessions.stays_away(slot, Away::Left),
            State::Connecting | State::Over => {
                sessions.all[slot].state = State::Over;
                return;
            }
        }
        if let Some(sessions) = &mut self.sessions {
            sessions.forget(slot);
        }
    }

    /// Everything that is open at an instance is lost, and what was about to be has to go elsewhere.
    pub(super) fn lose_sessions(&mut self, target: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let Some(sessions) = &mut self.sessions else { return };
        let lost = sessions.halls[target as usize].open.clone();
        for &slot in &lost {
            self.lose_session(slot, now);
        }
        for id in self.session_sources(self.instances[target].group) {
            self.lose_rooms(id, target, calendar);
            self.arm_messages(id, calendar);
        }
        for slot in lost {
            self.come_back(slot, calendar);
        }
        if let Some(sessions) = &mut self.sessions {
            sessions.halls[target as usize].taken = 0;
        }
    }

    /// Processes of an instance died, and with them what is open there. Rooms go on with those who come back.
    #[inline(never)]
    pub(super) fn lose_sessions_of(&mut self, target: u32, dead: &[u16], calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let Some(sessions) = &self.sessions else { return };
        let open = sessions.halls[target as usize].open.iter().copied();
        let lost: Vec<u32> = open.filter(|&slot| dead.contains(&sessions.all[slot].process)).collect();
        for &slot in &lost {
            self.lose_session(slot, now);
        }
        for id in self.session_sources(self.instances[target].group) {
            self.arm_messages(id, calendar);
        }
        for slot in lost {
            self.come_back(slot, calendar);
        }
    }

    /// The sources whose sessions are open at instances of a group.
    fn session_sources(&self, group: GroupId) -> Vec<TrafficId> {
        let sources = self.sessions.iter().flat_map(|sessions| &sessions.sources);
        let has = |source: &SessionSource| self.plan.balancers[source.to.index()].has(group);
        let of_group =
            (0u16..).map(TrafficId).zip(sources).filter(|(_, source)| source.as_deref().is_some_and(has));
        of_group.map(|(id, _)| id).collect()
    }

    /// The connection of an open session is lost.
    fn lose_session(&mut self, slot: u32, now: Time) {
        self.detach(slot, now);
        let Some(sessions) = &mut self.sessions else { return };
        let session = &mut sessions.all[slot];
        (session.state, session.since) = (State::Lost, now);
        let id = session.source;
        if let Some(source) = sessions.source(id) {
            source.counts.dropped += 1;
            self.fleets[source.group.index()].dropped += 1;
        }
    }

    /// A draining instance is gone once nothing is left in it.
    pub(super) fn gone_if_empty(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        let instance = &self.instances[slot];
        let empty = instance.server.inside == 0 && instance.flows == 0 && self.sessions_at(slot) == 0;
        if instance.phase == Phase::Draining
            && !instance.held
            && empty
            && self.losing != Some(Losing::Everything(slot))
        {
            self.drained(slot, calendar);
        }
    }
}

impl Fleet {
    /// Connections in progress, as a balancer's bill counts them: requests inside and open sessions, integrated since the start.
    pub fn in_progress_seconds(&self, now: Time) -> f64 {
        self.request_seconds(now) + self.connections.integral(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 32, "{}", size_of::<Session>());
    }
}
