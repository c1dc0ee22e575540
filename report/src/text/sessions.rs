//! What became of sessions and rooms.

use scalesim::results::{RoomsResult, SessionsResult};

use super::{Summary, count, percent, short, value};

impl Summary<'_> {
    pub(super) fn sessions(&mut self) {
        let run = self.run;
        for sessions in &run.sessions {
            self.page.section(&format!("Sessions of {}", sessions.name));
            self.open(sessions);
            self.lost(sessions);
            if let Some(rooms) = &sessions.rooms {
                self.rooms(rooms);
            }
        }
    }

    fn open(&mut self, sessions: &SessionsResult) {
        self.page.line(format!(
            "  open      mean {}  peak {}  at the end {}   opened {}  ended {}",
            count(sessions.open_mean),
            count(sessions.open_peak as f64),
            count(sessions.open_at_end as f64),
            count((sessions.open_at_start + sessions.opened) as f64),
            count(sessions.ended as f64)
        ));
        if let Some(mean) = sessions.imbalance_mean {
            self.page.line(format!(
                "  spread    the fullest instance had {} times its share on average, {} at {}; {} at most",
                short(mean),
                short(sessions.imbalance_worst),
                self.clock.time(sessions.imbalance_worst_at),
                count(sessions.most_at_an_instance as f64)
            ));
        }
        if sessions.messages + sessions.pushes > 0 {
            self.page.line(format!(
                "  messages  {} from clients, {} to them",
                count(sessions.messages as f64),
                count(sessions.pushes as f64)
            ));
        }
        self.page.line(format!(
            "  handshakes  {} in the busiest second, at {}",
            count(sessions.handshakes_peak as f64),
            self.clock.time(sessions.handshakes_peak_at)
        ));
        if sessions.refused + sessions.never_opened > 0 {
            self.page.line(format!(
                "  refused   {} handshakes by instances that had all the connections they take; {} clients never got in",
                count(sessions.refused as f64),
                count(sessions.never_opened as f64)
            ));
        }
    }

    fn lost(&mut self, sessions: &SessionsResult) {
        if sessions.dropped == 0 {
            return;
        }
        self.page.line(format!(
            "  dropped   {}   reconnected {}  left meanwhile {}  gave up {}",
            count(sessions.dropped as f64),
            count(sessions.reconnected as f64),
            count(sessions.left_meanwhile as f64),
            count(sessions.gave_up as f64)
        ));
        let time = &sessions.reconnect_time;
        if time.count > 0 {
            self.page.line(format!(
                "  back after  mean {}  p50 {}  p99 {}  max {}",
                value(time.mean, "s"),
                value(time.p50, "s"),
                value(time.p99, "s"),
                value(time.max, "s")
            ));
        }
    }

    fn rooms(&mut self, rooms: &RoomsResult) {
        self.page.line(format!(
            "  rooms of {}  opened {}  started full {}  short {}  dropped {}   {} of the seats taken at the start",
            rooms.players,
            count(rooms.opened as f64),
            count(rooms.started_full as f64),
            count(rooms.started_short as f64),
            count(rooms.dropped as f64),
            percent(rooms.fill_mean, 1.0)
        ));
        if rooms.wait.count > 0 {
            self.page.line(format!(
                "  matchmaking  mean {}  p50 {}  p99 {}  max {}",
                value(rooms.wait.mean, "s"),
                value(rooms.wait.p50, "s"),
                value(rooms.wait.p99, "s"),
                value(rooms.wait.max, "s")
            ));
        }
    }
}
