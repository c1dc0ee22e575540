//! Rooms: players who share an instance, and the matchmaker who brings them together.
//!
//! A player gets a seat in the oldest room that has one free, else in a new room, before the handshake. The room stands where
//! the balancer puts its first player, and holds its seats there; the others are sent to it. It starts when all its players
//! are connected, or after its wait with those who are, and everybody leaves at its end. A room that loses its instance, or
//! whose instance takes no more players before the start, is no more: its players move to a new one together.

use std::collections::VecDeque;

use sim_core::{Calendar, Keyed, Seed, Time};

use super::{Hall, NOBODY, Session, State, System, first_number};
use crate::event::{Event, Ref, Slab};
use crate::plan::{self, TrafficId};
use crate::system::ending::Ending;
use crate::system::instance::Phase;

/// Entries of the list of rooms with free seats that may be there whether they are true or not.
const LEAST_LISTED: usize = 64;

/// The rooms of a source.
#[derive(Clone, Debug)]
pub struct Rooms {
    plan: plan::Rooms,
    all: Slab<Room>,
    /// The players of each room, as many for each; free seats have nobody.
    seats: Vec<u32>,
    /// Rooms with free seats, the oldest first, and some that were.
    free: VecDeque<Ref>,
    lengths: Keyed,
    next_number: u64,
}

/// A room.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Where it stands; nowhere before its first player was sent.
    instance: Ref,
    /// Seats taken.
    taken: u32,
    /// Players who are connected.
    seated: u32,
    /// Connections that it holds at its instance.
    held: u32,
    started: bool,
    /// Its wait is over.
    overdue: bool,
    /// It is in the list of those with free seats.
    listed: bool,
}

impl Rooms {
    pub fn new(source: &str, plan: plan::Rooms, seed: Seed) -> Self {
        Rooms {
            plan,
            all: Slab::default(),
            seats: Vec::new(),
            free: VecDeque::new(),
            lengths: seed.keyed(&format!("traffic/{source}/room")),
            next_number: first_number(&format!("traffic/{source}/room")),
        }
    }

    /// Opens an empty room.
    fn open(&mut self) -> u32 {
        let (instance, started, overdue, listed) = (Ref::NONE, false, false, false);
        let room = Room { instance, taken: 0, seated: 0, held: 0, started, overdue, listed };
        let room = self.all.insert(room).slot;
        let end = (room as usize + 1) * self.plan.players as usize;
        if self.seats.len() < end {
            self.seats.resize(end, NOBODY);
        }
        self.seats(room).fill(NOBODY);
        self.list(room);
        room
    }

    /// Seats that memory is kept for: those of as many rooms as there were at once.
    pub fn seats_kept(&self) -> usize {
        self.seats.len()
    }

    fn seats(&mut self, room: u32) -> &mut [u32] {
        let players = self.plan.players as usize;
        &mut self.seats[room as usize * players..][..players]
    }

    fn players(&self, room: u32) -> Vec<u32> {
        let players = self.plan.players as usize;
        let seats = &self.seats[room as usize * players..][..players];
        seats.iter().copied().filter(|&session| session != NOBODY).collect()
    }

    /// A session takes a free seat of a room that has one.
    fn take_seat(&mut self, room: u32, session: u32) {
        if let Some(seat) = self.seats(room).iter_mut().find(|seat| **seat == NOBODY) {
            *seat = session;
            self.all[room].taken += 1;
        }
    }

    fn free_seat(&mut self, room: u32, session: u32) {
        if let Some(seat) = self.seats(room).iter_mut().find(|seat| **seat == session) {
            *seat = NOBODY;
            self.all[room].taken -= 1;
        }
    }

    /// A room that has not started has a free seat.
    fn list(&mut self, room: u32) {
        if !std::mem::replace(&mut self.all[room].listed, true) {
            self.free.push_back(self.all.reference(room));
        }
        if self.free.len() > LEAST_LISTED + 2 * self.all.len() {
            let Rooms { all, free, .. } = self;
            free.retain(|&room| all.live(room).is_some());
        }
    }

    /// The oldest room with a free seat.
    fn with_a_seat(&mut self) -> Option<u32> {
        while let Some(&first) = self.free.front() {
            if let Some(slot) = self.all.live(first) {
                let room = &mut self.all[slot];
                if !room.started && room.taken < self.plan.players {
                    return Some(slot);
                }
                room.listed = false;
            }
            self.free.pop_front();
        }
        None
    }

    /// A room stands at `target`, or now goes there with all its seats, if an instance that takes `most` connections has
    /// so many left.
    pub fn settle_at(&mut self, room: u32, target: Ref, hall: &mut Hall, most: u32) -> bool {
        let (players, room) = (self.plan.players, &mut self.all[room]);
        if room.instance != Ref::NONE {
            return room.instance == target;
        }
        if hall.taken.saturating_add(players) > most {
            return false;
        }
        hall.taken += players;
        (room.instance, room.held) = (target, players);
        true
    }

    /// A room stands nowhere.
    fn unsettle(&mut self, room: u32, halls: &mut [Hall]) {
        let room = &mut self.all[room];
        if let Some(hall) = halls.get_mut(room.instance.slot as usize) {
            hall.taken -= room.held;
        }
        (room.instance, room.held) = (Ref::NONE, 0);
    }

    /// All rooms, for the audit.
    pub fn audit(&self) -> impl Iterator<Item = RoomAudit> + '_ {
        self.all.iter().map(|(slot, &Room { instance, taken, seated, held, started, .. })| {
            let players = self.players(slot);
            RoomAudit { slot, instance, taken, seated, held, started, players }
        })
    }

    /// Rooms at an instance.
    fn at(&self, instance: Ref) -> Vec<u32> {
        let there = self.all.iter().filter(|(_, room)| room.instance == instance);
        there.map(|(slot, _)| slot).collect()
    }
}

/// A room as the audit sees it.
pub struct RoomAudit {
    pub slot: u32,
    pub instance: Ref,
    pub taken: u32,
    pub seated: u32,
    pub held: u32,
    pub started: bool,
    pub players: Vec<u32>,
}

/// Whether an ending says that an instance takes no players, rather than that it is busy.
fn takes_nobody(ending: Ending) -> bool {
    matches!(
        ending,
        Ending::Shed | Ending::NotListening | Ending::NoConnection | Ending::Lost | Ending::CutOff
    )
}

impl System {
    /// Gives a session a seat if it has none. Returns the instance of its room, once that stands somewhere.
    pub(super) fn place_in_a_room(&mut self, session: u32, calendar: &mut Calendar<Event>) -> Option<u32> {
        let sessions = self.sessions.as_mut()?;
        let Session { source: id, room, .. } = sessions.all[session];
        let rooms = sessions.source(id)?.rooms.as_mut()?;
        let room = if room == NOBODY {
            let found = rooms.with_a_seat();
            let room = match found {
                Some(room) => room,
                None => self.open_room(id, calendar)?,
            };
            self.take_seat(id, room, session);
            room
        } else {
            room
        };
        let rooms = self.sessions.as_mut()?.source(id)?.rooms.as_mut()?;
        debug_assert!({
            let instance = rooms.all[room].instance;
            instance == Ref::NONE || self.instances.live(instance).is_some()
        });
        self.instances.live(rooms.all[room].instance)
    }

    pub(super) fn open_room(&mut self, id: TrafficId, calendar: &mut Calendar<Event>) -> Option<u32> {
        let source = self.sessions.as_mut()?.source(id)?;
        let rooms = source.rooms.as_mut()?;
        source.counts.rooms.opened += 1;
        let room = rooms.open();
        if let Some(wait) = rooms.plan.wait {
            calendar.after(wait, Event::RoomStart(id, rooms.all.reference(room)));
        }
        self.see_limit();
        Some(room)
    }

    pub(super) fn take_seat(&mut self, id: TrafficId, room: u32, session: u32) {
        let Some(sessions) = &mut self.sessions else { return };
        sessions.all[session].room = room;
        if let Some(rooms) = sessions.source(id).and_then(|source| source.rooms.as_mut()) {
            rooms.take_seat(room, session);
        }
    }

    /// Whether a session was answered by the instance where its room stands; one that stands nowhere may stay there.
    pub(super) fn is_where_its_room_is(&mut self, session: u32, target: u32) -> bool {
        let reference = self.instances.reference(target);
        let Some(sessions) = &mut self.sessions else { return false };
        let Session { source, room, .. } = sessions.all[session];
        let Some(rooms) = sessions.sources[source.index()].as_deref_mut().and_then(|s| s.rooms.as_mut())
        else {
            return false;
        };
        if room == NOBODY || rooms.all[room].instance != Ref::NONE {
            return room != NOBODY && rooms.all[room].instance == reference;
        }
        let instance = &self.instances[target];
        let service = self.plan.groups[instance.group.index()].service;
        let most = self.plan.services[service.index()].most_connections.unwrap_or(u32::MAX);
        instance.phase == Phase::Up
            && rooms.settle_at(room, reference, &mut sessions.halls[target as usize], most)
    }

    /// A session has opened: its player is in the room.
    pub(super) fn seated(&mut self, session: u32, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let Session { source: id, room, since, .. } = sessions.all[session];
        if room == NOBODY {
            return;
        }
        let Some(source) = sessions.source(id) else { return };
        let Some(rooms) = source.rooms.as_mut() else { return };
        rooms.all[room].seated += 1;
        if rooms.all[room].started {
            source.counts.rooms.waits.record(calendar.now().since(since));
        } else {
            self.start_room(id, room, calendar);
        }
    }

    /// The wait of a room is over.
    pub(in crate::system) fn room_overdue(
        &mut self,
        id: TrafficId,
        reference: Ref,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(sessions) = &mut self.sessions else { return };
        let Some(rooms) = sessions.source(id).and_then(|source| source.rooms.as_mut()) else { return };
        if let Some(room) = rooms.all.live(reference) {
            rooms.all[room].overdue = true;
            self.start_room(id, room, calendar);
        }
    }

    /// A room starts, if it can.
    fn start_room(&mut self, id: TrafficId, slot: u32, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        let Some(rooms) = source.rooms.as_mut() else { return };
        let players = rooms.plan.players;
        let room = &mut rooms.all[slot];
        let ready = room.seated == players || (room.overdue && room.seated > 0);
        if room.started || !ready {
            return;
        }
        room.started = true;
        // Who has no seat by now gets none: what they would have needed is free for others.
        if let Some(hall) = sessions.halls.get_mut(room.instance.slot as usize) {
            hall.taken -= room.held - room.taken;
            room.held = room.taken;
        }
        let counts = &mut source.counts.rooms;
        counts.players += u64::from(room.taken);
        *if room.taken == players { &mut counts.full } else { &mut counts.short } += 1;
        rooms.next_number = rooms.next_number.wrapping_add(1);
        let length = source.plan.length.span(&mut rooms.lengths.at(rooms.next_number));
        calendar.after(length, Event::RoomOver(id, rooms.all.reference(slot)));
        for player in rooms.players(slot) {
            let Session { state, since, .. } = sessions.all[player];
            if state == State::Open {
                counts.waits.record(calendar.now().since(since));
            }
        }
    }

    /// A room comes to its end, and everybody leaves.
    pub(in crate::system) fn room_over(
        &mut self,
        id: TrafficId,
        reference: Ref,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(sessions) = &mut self.sessions else { return };
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        let Some(rooms) = source.rooms.as_mut() else { return };
        let Some(room) = rooms.all.live(reference) else {
            sessions.ghosts -= 1;
            return;
        };
        source.counts.rooms.ended += 1;
        let (players, instance) = (rooms.players(room), rooms.all[room].instance);
        rooms.unsettle(room, &mut sessions.halls);
        rooms.all.free(room);
        for player in players {
            if let Some(sessions) = &mut self.sessions {
                sessions.all[player].room = NOBODY;
            }
            self.end_session(player, calendar.now());
        }
        self.arm_messages(id, calendar);
        self.gone_if_empty(instance, calendar);
    }

    /// A session that is not open gives up its seat. A room without players is no more.
    pub(super) fn leave_room(&mut self, session: u32) {
        let Some(sessions) = &mut self.sessions else { return };
        let Session { source: id, room, .. } = sessions.all[session];
        if room == NOBODY {
            return;
        }
        sessions.all[session].room = NOBODY;
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        let Some(rooms) = source.rooms.as_mut() else { return };
        rooms.free_seat(room, session);
        let Room { taken, started, instance, .. } = rooms.all[room];
        if taken == 0 {
            self.close_room(id, room);
        } else if !started {
            rooms.list(room);
        } else if let Some(hall) = sessions.halls.get_mut(instance.slot as usize) {
            hall.taken -= 1;
            rooms.all[room].held -= 1;
        }
    }

    /// Forgets a room; one that has started leaves its end in the calendar.
    fn close_room(&mut self, id: TrafficId, room: u32) {
        let Some(sessions) = &mut self.sessions else { return };
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        let Some(rooms) = source.rooms.as_mut() else { return };
        sessions.ghosts += u32::from(rooms.all[room].started);
        rooms.unsettle(room, &mut sessions.halls);
        rooms.all.free(room);
    }

    /// An attempt to get into a room has failed, and another will follow.
    pub(super) fn seat_refused(&mut self, session: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let Some(sessions) = &mut self.sessions else { return };
        let Session { source: id, room: slot, .. } = sessions.all[session];
        if slot == NOBODY {
            return;
        }
        let Some(source) = sessions.sources[id.index()].as_deref_mut() else { return };
        let Some(rooms) = source.rooms.as_mut() else { return };
        let room = rooms.all[slot];
        if room.seated == 0 {
            rooms.unsettle(slot, &mut sessions.halls); // the next attempt finds it another place
        } else if !takes_nobody(ending) {
            // The seat is kept.
        } else if room.started {
            self.leave_room(session); // the others play on
        } else {
            self.move_room(id, slot, calendar);
            self.gone_if_empty(room.instance, calendar);
        }
    }

    /// Rooms of a source whose instance is losing everything: those with players move, the others stand nowhere.
    pub(super) fn lose_rooms(&mut self, id: TrafficId, target: u32, calendar: &mut Calendar<Event>) {
        self.move_rooms(id, target, |_| true, calendar);
    }

    /// An instance takes no new sessions: rooms that have not started move before they do.
    pub(in crate::system) fn rooms_leave(&mut self, target: u32, calendar: &mut Calendar<Event>) {
        for id in self.session_sources(self.instances[target].group) {
            self.move_rooms(id, target, |room| !room.started, calendar);
        }
    }

    fn move_rooms(
        &mut self,
        id: TrafficId,
        target: u32,
        which: impl Fn(&Room) -> bool,
        calendar: &mut Calendar<Event>,
    ) {
        let reference = self.instances.reference(target);
        let rooms = |system: &mut Self| -> Vec<(u32, Room)> {
            let source = system.sessions.as_mut().and_then(|sessions| sessions.source(id));
            let rooms = source.and_then(|source| source.rooms.as_mut());
            rooms.map_or(Vec::new(), |rooms| {
                rooms.at(reference).into_iter().map(|slot| (slot, rooms.all[slot])).collect()
            })
        };
        for (slot, room) in rooms(self).into_iter().filter(|(_, room)| which(room)) {
            if room.seated > 0 {
                self.move_room(id, slot, calendar);
            } else if let Some(sessions) = &mut self.sessions
                && let Some(source) = sessions.sources[id.index()].as_deref_mut()
                && let Some(rooms) = source.rooms.as_mut()
            {
                rooms.unsettle(slot, &mut sessions.halls);
            }
        }
    }

    /// The players of a room go back to the matchmaker as one group, who gives them a new room.
    fn move_room(&mut self, id: TrafficId, old: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let Some(source) = self.sessions.as_mut().and_then(|sessions| sessions.source(id)) else { return };
        let reconnect = source.plan.reconnect;
        source.counts.rooms.dropped += 1;
        let Some(players) = source.rooms.as_mut().map(|rooms| rooms.players(old)) else { return };
        for &player in &players {
            if self.state_of(player) == State::Open {
                self.lose_session(player, now);
            }
            if let Some(sessions) = &mut self.sessions {
                sessions.all[player].room = NOBODY;
            }
        }
        self.close_room(id, old);
        self.arm_messages(id, calendar);
        let (gone, group): (Vec<u32>, Vec<u32>) =
            players.into_iter().partition(|&player| !reconnect && self.state_of(player) == State::Lost);
        if !group.is_empty()
            && let Some(new) = self.open_room(id, calendar)
        {
            group.iter().for_each(|&player| self.take_seat(id, new, player));
        }
        for player in group.into_iter().chain(gone) {
            self.come_back(player, calendar);
        }
    }

    fn state_of(&self, session: u32) -> State {
        self.sessions.as_ref().map_or(State::Over, |sessions| sessions.all[session].state)
    }

    /// A room that is in full swing at the start.
    pub(super) fn room_at_start(
        &mut self,
        id: TrafficId,
        target: u32,
        left: sim_core::Span,
        calendar: &mut Calendar<Event>,
    ) -> Option<u32> {
        let reference = self.instances.reference(target);
        let sessions = self.sessions.as_mut()?;
        let rooms = sessions.sources[id.index()].as_deref_mut()?.rooms.as_mut()?;
        let room = rooms.open();
        if !rooms.settle_at(room, reference, &mut sessions.halls[target as usize], u32::MAX) {
            return None;
        }
        rooms.all[room].started = true;
        calendar.at(Time::ZERO + left, Event::RoomOver(id, rooms.all.reference(room)));
        Some(room)
    }
}
