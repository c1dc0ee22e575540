//! What the connections of a source have counted.

use sim_core::Time;
use sim_core::stats::TimeWeighted;

/// What a pool has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolTotals {
    /// Connections that clients began to open.
    pub opened: u64,
    /// Of these, connections that did not come about.
    pub failed: u64,
    /// Requests that arrived over them.
    pub carried: u64,
    /// Requests that waited at their client, because all its connections were taken.
    pub waited: u64,
}

/// What the connections of a source have counted, all along and since measurement began.
#[derive(Clone, Debug)]
pub struct Counts {
    totals: PoolTotals,
    /// What was counted before measurement began.
    before: PoolTotals,
    open: TimeWeighted,
    /// The integral of that before measurement began.
    open_before: f64,
    /// Requests that arrived, and that waited, until the end of each minute.
    minutes: Vec<[u64; 2]>,
}

impl Default for Counts {
    fn default() -> Self {
        Counts {
            totals: PoolTotals::default(),
            before: PoolTotals::default(),
            open: TimeWeighted::new(Time::ZERO, 0.0),
            open_before: 0.0,
            minutes: Vec::new(),
        }
    }
}

impl Counts {
    /// A client begins to open a connection.
    pub fn opened(&mut self, now: Time) {
        self.totals.opened += 1;
        self.open.add(now, 1.0);
    }

    /// A connection is closed, or did not come about.
    pub fn closed(&mut self, now: Time) {
        self.open.add(now, -1.0);
    }

    /// No packet came through.
    pub fn failed(&mut self) {
        self.totals.failed += 1;
    }

    /// A request has arrived.
    pub fn carried(&mut self) {
        self.totals.carried += 1;
    }

    /// A request waits at its client.
    pub fn waited(&mut self) {
        self.totals.waited += 1;
    }

    /// What was counted since measurement began, and how many connections were open on average.
    pub fn since_measured(&self, now: Time) -> (PoolTotals, f64) {
        let (totals, before) = (self.totals, self.before);
        let since = PoolTotals {
            opened: totals.opened - before.opened,
            failed: totals.failed - before.failed,
            carried: totals.carried - before.carried,
            waited: totals.waited - before.waited,
        };
        (since, self.open.mean(now))
    }

    /// Measurement begins.
    pub fn begin(&mut self, now: Time) {
        self.before = self.totals;
        self.open_before += self.open.integral(now);
        self.open.reset(now);
    }

    /// The integral of open connections, since the start of the run.
    pub fn open_seconds(&self, now: Time) -> f64 {
        self.open_before + self.open.integral(now)
    }

    /// The minute ends.
    pub fn close_minute(&mut self) {
        self.minutes.push([self.totals.carried, self.totals.waited]);
    }

    /// The share of requests that waited at their clients in some minutes of the run, from the first to before the last.
    pub fn waited_share(&self, from: usize, to: usize) -> f64 {
        let mark = |minute: usize| match minute.checked_sub(1) {
            None => [0; 2],
            Some(last) => *self.minutes.get(last).unwrap_or(&[self.totals.carried, self.totals.waited]),
        };
        let ([carried, waited], [carried_before, waited_before]) = (mark(to), mark(from));
        if carried == carried_before {
            return 0.0;
        }
        (waited - waited_before) as f64 / (carried - carried_before) as f64
    }
}
