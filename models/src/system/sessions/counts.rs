//! What is counted of a source's sessions.

use sim_core::stats::{Histogram, Precision, TimeWeighted};
use sim_core::{Span, Time};

/// The counts of one source, since measurement began.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Open when measurement began.
    pub before: u64,
    /// Opened for the first time.
    pub opened: u64,
    /// Opened again after a loss.
    pub reconnected: u64,
    /// Closed by their clients.
    pub ended: u64,
    /// Connections that were lost.
    pub dropped: u64,
    /// Of those, clients that would have been gone before they were back.
    pub left: u64,
    /// Of those, clients that did not come back.
    pub gave_up: u64,
    /// Newcomers whose session never opened.
    pub never_opened: u64,
    /// Handshakes that an instance refused because it had as many connections as it takes.
    pub turned_away: u64,
    /// Messages up and down.
    pub messages: [u64; 2],
    /// Open sessions.
    pub open: TimeWeighted,
    /// From a loss until the session was open again.
    pub reconnect: Histogram,
    /// Attempts of handshakes in each second.
    pub handshakes: PerSecond,
    /// How evenly they were spread, by the minute.
    pub spread: Spread,
    /// Of rooms.
    pub rooms: RoomCounts,
}

/// What is counted of rooms.
#[derive(Clone, Debug)]
pub struct RoomCounts {
    /// Opened by the matchmaker.
    pub opened: u64,
    /// Started with all seats taken.
    pub full: u64,
    /// Started with seats free, because the wait was over.
    pub short: u64,
    /// Lost with their instance, or moved because it took no more players.
    pub dropped: u64,
    /// Played to their end.
    pub ended: u64,
    /// Players in all rooms when they started.
    pub players: u64,
    /// From a player's arrival, or the loss of the room before, until the room started.
    pub waits: Histogram,
}

/// The busiest second.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerSecond {
    second: u64,
    count: u64,
    /// How many there were in the busiest second.
    pub peak: u64,
    /// When that began, in seconds since the start.
    pub peak_at: u64,
}

/// How many connections the instances of a group have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    minutes: u64,
    sum: f64,
    /// The largest share of an instance, as times an even share.
    pub worst: f64,
    /// When that was.
    pub worst_at: Time,
    /// The most connections of an instance.
    pub most: u64,
}

impl Counts {
    pub fn new() -> Self {
        Counts {
            before: 0,
            opened: 0,
            reconnected: 0,
            ended: 0,
            dropped: 0,
            left: 0,
            gave_up: 0,
            never_opened: 0,
            turned_away: 0,
            messages: [0; 2],
            open: TimeWeighted::new(Time::ZERO, 0.0),
            reconnect: Histogram::new(Precision::Fine),
            handshakes: PerSecond::default(),
            spread: Spread::default(),
            rooms: RoomCounts {
                opened: 0,
                full: 0,
                short: 0,
                dropped: 0,
                ended: 0,
                players: 0,
                waits: Histogram::new(Precision::Fine),
            },
        }
    }

    /// Measurement begins.
    pub fn begin(&mut self, now: Time) {
        let mut open = self.open;
        open.reset(now);
        *self = Counts { before: open.value() as u64, open, ..Counts::new() };
    }

    /// A session opened, for the first time or again.
    pub fn opened(&mut self, first: bool, since: Time, now: Time) {
        self.open.add(now, 1.0);
        if first {
            self.opened += 1;
        } else {
            self.reconnected += 1;
            self.reconnect.record(now.since(since));
        }
    }
}

impl PerSecond {
    /// One more, now.
    pub fn add(&mut self, now: Time) {
        let second = now.as_nanos() / Span::from_secs(1).as_nanos();
        if second != self.second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        if self.count > self.peak {
            (self.peak, self.peak_at) = (self.count, second);
        }
    }
}

impl Spread {
    /// A minute ends with so many connections at the fullest of so many instances, and so many at all.
    pub fn add(&mut self, now: Time, most: u64, all: u64, instances: u64) {
        let Some(uneven) = uneven(most, all, instances) else { return };
        self.minutes += 1;
        self.sum += uneven;
        self.most = self.most.max(most);
        if uneven > self.worst {
            (self.worst, self.worst_at) = (uneven, now);
        }
    }

    /// The mean over the minutes; `None` before the first.
    pub fn mean(&self) -> Option<f64> {
        (self.minutes > 0).then(|| self.sum / self.minutes as f64)
    }
}

/// How many times an even share the fullest of `instances` has; `None` where there is nothing to share.
pub fn uneven(most: u64, all: u64, instances: u64) -> Option<f64> {
    (all > 0).then(|| most as f64 * instances as f64 / all as f64)
}
