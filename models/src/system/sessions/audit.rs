//! What must be true of sessions between any two events.

use super::{MESSAGE, NOBODY, SessionSource, Sessions, State, System};
use crate::plan::TrafficId;
use crate::system::instance::Phase;
use crate::system::request::{Request, Stage};

/// `Err` with words where something is not so.
macro_rules! holds {
    ($truth:expr, $($words:tt)+) => {
        if !$truth {
            return Err(format!($($words)+));
        }
    };
}

impl System {
    /// Looks at every session, room, instance and request, for tests: lists agree with each other, counts with what they
    /// count, limits are kept, and the players of a room are at one instance.
    ///
    /// # Errors
    /// What is not so, in words.
    pub fn audit_sessions(&self) -> Result<(), String> {
        let Some(sessions) = &self.sessions else { return Ok(()) };
        self.audit_states(sessions)?;
        for (id, source) in (0u16..).map(TrafficId).zip(&sessions.sources) {
            if let Some(source) = source {
                self.audit_rooms(sessions, id, source)?;
            }
        }
        for (slot, _) in self.instances.iter() {
            self.audit_instance(sessions, slot)?;
        }
        for (index, fleet) in self.fleets.iter().enumerate() {
            let open: usize = fleet.members.iter().map(|&slot| sessions.at(slot)).sum();
            holds!(fleet.connections.value() == open as f64, "group {index} counts wrongly: {open}");
        }
        Ok(())
    }

    /// Each session is in the lists of open ones or has one attempt of a handshake, or waits.
    fn audit_states(&self, sessions: &Sessions) -> Result<(), String> {
        let mut attempts = std::collections::BTreeMap::<u32, u32>::new();
        for (_, request) in self.requests.iter().filter(|(_, request)| !request.abandoned()) {
            *attempts.entry(request.session).or_default() += 1;
        }
        for (slot, session) in sessions.all.iter() {
            let state = session.state;
            let attempts = attempts.get(&slot).copied().unwrap_or(0);
            let source = sessions.sources[session.source.index()].as_ref().ok_or("no such source")?;
            let hall = sessions.halls.get(session.instance as usize);
            let listed = source.open.get(session.places[0] as usize) == Some(&slot)
                && hall.is_some_and(|hall| hall.open.get(session.places[1] as usize) == Some(&slot));
            match state {
                State::Open => {
                    holds!(listed && attempts == 0, "session {slot} is open, with {attempts} attempts");
                    let phase = self.instances[session.instance].phase;
                    holds!(
                        matches!(phase, Phase::Up | Phase::Draining),
                        "session {slot} is at a {phase:?} instance"
                    );
                }
                State::Connecting | State::Over => {
                    holds!(attempts == 1, "session {slot} is {state:?}, with {attempts} attempts");
                }
                State::Waiting => holds!(attempts == 0, "session {slot} waits, with {attempts} attempts"),
                State::Lost => return Err(format!("session {slot} was left lost")),
            }
        }
        let open = sessions.all.iter().filter(|(_, session)| session.state == State::Open).count();
        holds!(open == self.open_sessions(), "{open} are open, and {} listed", self.open_sessions());
        Ok(())
    }

    fn audit_rooms(&self, sessions: &Sessions, id: TrafficId, source: &SessionSource) -> Result<(), String> {
        let own = || sessions.all.iter().filter(|(_, session)| session.source == id);
        let Some(rooms) = &source.rooms else {
            holds!(own().all(|(_, session)| session.room == NOBODY), "a room without rooms");
            return Ok(());
        };
        let mut players = 0;
        for room in rooms.audit() {
            let (slot, instance) = (room.slot, room.instance);
            players += room.players.len();
            holds!(room.taken as usize == room.players.len(), "room {slot} has {} taken", room.taken);
            holds!(room.taken > 0, "room {slot} is empty");
            let mut seated = 0;
            for &player in &room.players {
                let session = &sessions.all[player];
                holds!(session.room == slot, "session {player} sits in room {slot} and not in it");
                if session.state == State::Open {
                    seated += 1;
                    holds!(
                        Some(session.instance) == self.instances.live(instance),
                        "session {player} is not where its room {slot} is"
                    );
                }
            }
            holds!(room.seated == seated, "room {slot} has {seated} seated, and counts {}", room.seated);
            let settled = self.instances.live(instance).is_some();
            let held =
                if room.started { room.taken } else { source.plan.rooms.map_or(0, |plan| plan.players) };
            holds!(room.held == if settled { held } else { 0 }, "room {slot} holds {} of {held}", room.held);
        }
        let sitting = own().filter(|(_, session)| session.room != NOBODY).count();
        holds!(sitting == players, "{sitting} sessions are in rooms, and {players} seats are taken");
        Ok(())
    }

    fn audit_instance(&self, sessions: &Sessions, slot: u32) -> Result<(), String> {
        let inside = || {
            let all = self.requests.iter().map(|(_, request)| request);
            all.filter(|r| r.instance == slot && r.stage != Stage::Connecting)
        };
        let has_rooms =
            |id: TrafficId| sessions.sources[id.index()].as_ref().is_some_and(|s| s.rooms.is_some());
        let hall = &sessions.halls[slot as usize];
        let handshakes = inside().filter(|r| r.session < MESSAGE && !has_rooms(r.source)).count();
        let alone = hall.open.iter().filter(|&&s| !has_rooms(sessions.all[s].source)).count();
        let reference = self.instances.reference(slot);
        let rooms = sessions.sources.iter().flatten().filter_map(|source| source.rooms.as_ref());
        let held: u32 = rooms
            .flat_map(|rooms| rooms.audit())
            .filter(|room| room.instance == reference)
            .map(|r| r.held)
            .sum();
        let taken = (handshakes + alone) as u32 + held;
        holds!(hall.taken == taken, "instance {slot} has {taken} connections, and counts {}", hall.taken);
        let service = self.plan.groups[self.instances[slot].group.index()].service;
        let most = self.plan.services[service.index()].most_connections.unwrap_or(u32::MAX);
        holds!(taken <= most, "instance {slot} has {taken} connections of {most}");
        let asked = |r: &&Request| !r.abandoned() && r.session != MESSAGE;
        let at = self.requests.iter().map(|(_, request)| request).filter(|r| r.instance == slot);
        let outstanding = at.filter(asked).count() + hall.open.len();
        let seen = self.outstanding[slot as usize];
        holds!(
            seen as usize == outstanding,
            "instance {slot} has {outstanding} in progress, and counts {seen}"
        );
        Ok(())
    }
}
