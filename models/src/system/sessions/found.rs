//! What is seen of sessions by the minute, and what a run found.

use sim_core::Time;

use super::counts::uneven;
use super::{SessionSource, System};
use crate::measure::distribution;
use crate::plan::GroupId;
use crate::results::{ActivityKind, RoomsResult, SessionsResult};

impl System {
    /// A minute ends: how evenly connections are spread over healthy instances.
    #[inline(never)]
    pub(in crate::system) fn see_spread(&mut self, now: Time) {
        let Some(sessions) = &self.sessions else { return };
        let spreads: Vec<_> =
            sessions.sources.iter().map(|source| Some(self.spread(source.as_ref()?.group))).collect();
        let Some(sessions) = &mut self.sessions else { return };
        for (source, spread) in sessions.sources.iter_mut().zip(spreads) {
            if let Some((source, [most, all, instances])) = source.as_mut().zip(spread) {
                source.counts.spread.add(now, most, all, instances);
            }
        }
    }

    /// Connections of the fullest healthy instance of a group, of all of them, and how many instances these are.
    fn spread(&self, group: GroupId) -> [u64; 3] {
        let members = self.fleets[group.index()].members.iter();
        let serving = members.filter(|&&slot| self.instances[slot].serving());
        serving.fold([0; 3], |[most, all, instances], &slot| {
            let open = self.sessions_at(slot) as u64;
            [most.max(open), all + open, instances + 1]
        })
    }

    /// Measurement begins.
    pub(in crate::system) fn count_sessions_from(&mut self, now: Time) {
        if let Some(sessions) = &mut self.sessions {
            sessions.sources.iter_mut().flatten().for_each(|source| source.counts.begin(now));
        }
    }

    /// What the sources of sessions found.
    pub(in crate::system) fn session_results(&self, now: Time) -> Vec<SessionsResult> {
        let sources = self.sessions.iter().flat_map(|sessions| &sessions.sources);
        let named = sources.zip(&self.plan.traffic);
        named
            .filter_map(|(source, traffic)| Some(self.session_result(&traffic.name, source.as_ref()?, now)))
            .collect()
    }

    fn session_result(&self, name: &str, source: &SessionSource, now: Time) -> SessionsResult {
        let counts = &source.counts;
        let [most, all, instances] = self.spread(source.group);
        let rooms = source.plan.rooms.map(|plan| {
            let rooms = &counts.rooms;
            let seats = (rooms.full + rooms.short) * u64::from(plan.players);
            RoomsResult {
                players: plan.players,
                opened: rooms.opened,
                started_full: rooms.full,
                started_short: rooms.short,
                dropped: rooms.dropped,
                ended: rooms.ended,
                fill_mean: rooms.players as f64 / seats.max(1) as f64,
                wait: distribution(&rooms.waits),
            }
        });
        SessionsResult {
            name: name.to_string(),
            open_at_start: counts.before,
            opened: counts.opened,
            reconnected: counts.reconnected,
            ended: counts.ended,
            dropped: counts.dropped,
            left_meanwhile: counts.left,
            gave_up: counts.gave_up,
            never_opened: counts.never_opened,
            refused: counts.turned_away,
            open_at_end: source.open.len() as u64,
            open_peak: counts.open.max() as u64,
            open_mean: counts.open.mean(now),
            most_at_an_instance: counts.spread.most.max(most),
            imbalance_mean: counts.spread.mean(),
            imbalance_worst: counts.spread.worst,
            imbalance_worst_at: counts.spread.worst_at.as_secs_f64(),
            imbalance_at_end: uneven(most, all, instances),
            messages: counts.messages[0],
            pushes: counts.messages[1],
            handshakes_peak: counts.handshakes.peak,
            handshakes_peak_at: counts.handshakes.peak_at as f64,
            reconnect_time: distribution(&counts.reconnect),
            rooms,
        }
    }

    /// `12 requests`, and open sessions where there are any.
    pub(in crate::system) fn losses(&self, instance: u32, requests: u32) -> String {
        match self.sessions_at(instance) {
            0 => format!("{requests} requests"),
            sessions => format!("{requests} requests and {sessions} open sessions"),
        }
    }

    /// Sessions outlived the deregistration delay of their instance.
    pub(in crate::system) fn log_cut_sessions(&mut self, slot: u32, now: Time) {
        let sessions = self.sessions_at(slot);
        if sessions > 0 {
            let instance = &self.instances[slot];
            let description = format!(
                "The deregistration delay of instance {} is over: {sessions} open sessions were cut.",
                instance.number
            );
            self.log(instance.group, ActivityKind::Terminate, now, description);
        }
    }
}
