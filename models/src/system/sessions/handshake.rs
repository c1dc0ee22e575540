//! Handshakes: ordinary requests that open a session when they are answered.

use sim_core::Calendar;

use super::rooms::Rooms;
use super::{Away, NOBODY, Session, Sessions, State, System};
use crate::event::{Event, Ref};
use crate::plan::{BalancerId, EndpointId};
use crate::system::ReachedLimit;
use crate::system::ending::Ending;
use crate::system::request::{NOWHERE, Request, Stage};

impl System {
    /// A new request: where its source is one of sessions, it is a handshake.
    #[inline(never)]
    pub(in crate::system) fn newcomer(&mut self, request: u32) {
        let Request { source, born, .. } = self.requests[request];
        let Some(sessions) = &mut self.sessions else { return };
        if sessions.source(source).is_none() {
            return;
        }
        self.requests[request].session = sessions.all.insert(Session::new(source, born)).slot;
        self.see_limit();
    }

    /// As many sessions as there may be end the run.
    pub(super) fn see_limit(&mut self) {
        if let Some(sessions) = self.sessions.as_deref().filter(|sessions| sessions.full()) {
            self.reached = Some(ReachedLimit { limit: "sessions", value: u64::from(sessions.most) });
        }
    }

    /// Sends a handshake: through the balancer, or to where its room is.
    #[inline(never)]
    pub(in crate::system) fn send_handshake(
        &mut self,
        request: u32,
        to: BalancerId,
        calendar: &mut Calendar<Event>,
    ) {
        let Request { session, source, endpoint, .. } = self.requests[request];
        let now = calendar.now();
        let Some(sessions) = &mut self.sessions else { return };
        let returns = sessions.all[session].known;
        if let Some(source) = sessions.source(source) {
            source.counts.handshakes.add(now);
            self.fleets[source.group.index()].returns += u64::from(returns);
        }
        match self.place_in_a_room(session, calendar) {
            Some(target) => {
                self.measure.balanced(to, endpoint, self.programs[endpoint.index()].size);
                self.arrive(request, to, target, calendar);
            }
            None => self.dispatch(request, to, calendar),
        }
    }

    /// Whether an instance takes a handshake: it has connections left. A room takes its seats at once.
    #[inline(never)]
    pub(in crate::system) fn takes_handshake(&mut self, request: u32, target: u32) -> bool {
        let session = self.requests[request].session;
        let service = self.instances[target].service;
        let most = self.plan.services[service.index()].most_connections.unwrap_or(u32::MAX);
        let reference = self.instances.reference(target);
        let Some(sessions) = &mut self.sessions else { return true };
        let takes = sessions.takes(session, reference, most);
        if !takes && let Some(source) = sessions.source(self.requests[request].source) {
            source.counts.turned_away += 1;
        }
        takes
    }

    /// A handshake is inside an instance: it counts as a connection, unless its room has a seat for it there.
    #[inline(never)]
    pub(in crate::system) fn handshake_enters(&mut self, request: u32, target: u32) {
        let id = self.requests[request].source;
        if let Some(sessions) = &mut self.sessions
            && sessions.source(id).is_some_and(|source| source.rooms.is_none())
        {
            sessions.halls[target as usize].taken += 1;
        }
    }

    /// The server, or the balancer, is done with a handshake or a message.
    #[inline(never)]
    pub(in crate::system) fn session_attempt_ends(
        &mut self,
        request: &Request,
        ending: Ending,
        calendar: &mut Calendar<Event>,
    ) {
        if request.session == super::MESSAGE {
            return self.measure.ended(&self.plan, request, ending, calendar.now());
        }
        let inside = request.instance != NOWHERE;
        let entered = inside && request.stage != Stage::Connecting;
        let done = ending == Ending::Completed;
        if entered {
            let Some(sessions) = &mut self.sessions else { return };
            let counts = sessions.source(request.source).is_some_and(|source| source.rooms.is_none());
            let opens =
                done && !request.abandoned() && sessions.all[request.session].state == State::Connecting;
            if counts && !opens {
                sessions.halls[request.instance as usize].taken -= 1;
            }
        }
        if request.abandoned() {
            return;
        }
        if inside {
            self.outstanding[request.instance as usize] -= 1;
            self.loaded(request.instance);
        }
        if done {
            self.answered(request, calendar.now());
            self.measure.ended(&self.plan, request, ending, calendar.now());
            self.handshake_answered(request, calendar);
        } else {
            self.attempt_failed(*request, ending, calendar);
        }
    }

    fn handshake_answered(&mut self, request: &Request, calendar: &mut Calendar<Event>) {
        let slot = request.session;
        let Some(sessions) = &mut self.sessions else { return };
        let Session { state, known, source, .. } = sessions.all[slot];
        if state == State::Over {
            return self.stays_away(slot, Away::Left); // it closes what it gets
        }
        if sessions.source(source).is_some_and(|source| source.rooms.is_some()) {
            if !self.is_where_its_room_is(slot, request.instance) {
                return self.connect_later(slot, calendar);
            }
        } else if !known {
            self.set_end(slot, request.number, calendar);
        }
        self.open_session(slot, request.instance, request.process, calendar);
    }

    /// Draws how long a session lasts.
    fn set_end(&mut self, slot: u32, number: u64, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        sessions.all[slot].ends = true;
        let reference = sessions.all.reference(slot);
        if let Some(source) = sessions.sources[sessions.all[slot].source.index()].as_deref() {
            let length = source.plan.length.span(&mut source.lengths.at(number));
            calendar.after(length, Event::SessionOver(reference));
        }
    }

    /// An attempt of a handshake failed. True where no other will follow.
    #[inline(never)]
    pub(in crate::system) fn handshake_failed(
        &mut self,
        attempt: &Request,
        ending: Ending,
        calendar: &mut Calendar<Event>,
    ) -> bool {
        let Some(sessions) = &self.sessions else { return false };
        let over = sessions.all[attempt.session].state == State::Over;
        let last = attempt.attempt >= self.plan.traffic[attempt.source.index()].retry.max;
        if over || last {
            self.measure.ended(&self.plan, attempt, ending, calendar.now());
            self.stays_away(attempt.session, if over { Away::Left } else { Away::GaveUp });
            return true;
        }
        self.seat_refused(attempt.session, ending, calendar);
        false
    }

    /// A client's backoff is over. True where the client is gone, so that it does not try again.
    #[inline(never)]
    pub(in crate::system) fn client_left(&mut self, request: u32, calendar: &mut Calendar<Event>) -> bool {
        let attempt = self.requests[request];
        let over = |sessions: &Sessions| sessions.all[attempt.session].state == State::Over;
        if !self.sessions.as_deref().is_some_and(over) {
            return false;
        }
        self.requests.free(request);
        self.measure.ended(&self.plan, &attempt, Ending::TimedOut, calendar.now());
        self.stays_away(attempt.session, Away::Left);
        true
    }

    /// A session that is not open is given up.
    pub(super) fn stays_away(&mut self, slot: u32, why: Away) {
        self.leave_room(slot);
        if let Some(sessions) = &mut self.sessions {
            sessions.stays_away(slot, why);
            sessions.forget(slot);
        }
    }

    /// A client whose connection was lost comes back, if it does that.
    pub(super) fn come_back(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let Session { source, state, .. } = sessions.all[slot];
        if state != State::Lost {
            return; // with its room
        }
        if sessions.source(source).is_some_and(|source| source.plan.reconnect) {
            self.connect_later(slot, calendar);
        } else {
            self.stays_away(slot, Away::GaveUp);
        }
    }

    /// A client connects again after the first backoff.
    pub(super) fn connect_later(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let id = sessions.all[slot].source;
        sessions.all[slot].state = State::Waiting;
        let reference = sessions.all.reference(slot);
        let Some(number) = sessions.source(id).map(|source| source.return_number()) else { return };
        let first = Request::new(id, EndpointId(0), number, calendar.now());
        let wait = self.sources[id.index()].wait_before_retry(&first);
        calendar.after(wait, Event::Reconnect(reference));
    }

    /// A client whose connection was lost sends a handshake: a new request.
    pub(in crate::system) fn reconnect(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let Some(slot) = sessions.all.live(reference) else { return };
        sessions.all[slot].state = State::Connecting;
        let id = sessions.all[slot].source;
        let Some(number) = sessions.source(id).map(|source| source.return_number()) else { return };
        let endpoint = self.sources[id.index()].endpoint(number);
        self.measure.offered(id);
        let request = Request { session: slot, ..Request::new(id, endpoint, number, calendar.now()) };
        let request = self.admit(request);
        self.send(request, calendar);
    }
}

impl super::SessionSource {
    fn return_number(&mut self) -> u64 {
        self.next_return = self.next_return.wrapping_add(1);
        self.next_return
    }
}

impl Sessions {
    /// More sessions than there may be, or more seats: rooms that start short keep theirs.
    fn full(&self) -> bool {
        let rooms = self.sources.iter().flatten().filter_map(|source| source.rooms.as_ref());
        let seats: usize = rooms.map(Rooms::seats_kept).sum();
        seats.max(self.all.len() + self.ghosts as usize) > self.most as usize
    }

    /// Whether an instance that takes `most` connections has one left for a session, or the seats of its room.
    fn takes(&mut self, session: u32, target: Ref, most: u32) -> bool {
        let Session { source, room, .. } = self.all[session];
        let hall = &mut self.halls[target.slot as usize];
        let Some(source) = self.sources[source.index()].as_deref_mut() else { return true };
        match &mut source.rooms {
            Some(rooms) if room != NOBODY => rooms.settle_at(room, target, hall, most),
            _ => hall.taken < most,
        }
    }
}
