//! A machine: vCPUs that an operating system shares out among runnable threads.
//!
//! * [`processor`]: what the vCPUs are: SMT, frequency, steal, quotas, credits, and the scheduler's parameters.
//! * [`shares`](self): the fluid limit. Everybody runs, at a share. The default.
//! * [`slices`](self): run queues, time slices, switches and migrations, one by one.
//! * [`supply`](self): quotas and credits, for both.
//! * [`refill`](self): what it costs to come back to cold caches.
//!
//! Both schedulers have one interface: a burst of work is started, and at the instants that the machine names it is asked
//! what has come of it. Where slices and their costs go to zero, both do the same.

pub mod processor;
mod refill;
mod shares;
mod slices;
mod supply;

use sim_core::{Span, Time};

pub use processor::{Credits, Kernel, Policy, Processor, Quota, SMT_GAIN, Scheduler};
pub use refill::Refill;
pub use shares::Shares;
pub use slices::{Counts, Slices, Tally};
pub use supply::Supply;

/// Work for a vCPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// What is told when it is done.
    pub task: u32,
    /// The thread that does it. A thread that goes on with another burst at once keeps its vCPU.
    pub thread: u32,
    /// Its weight: 1 for a nice value of 0, a quarter more for each step below.
    pub weight: f64,
    /// The process that it is counted for, by a number of the caller's. A few: what is counted has an entry for each.
    pub process: u16,
    /// The only vCPU it may run on, where vCPUs are told apart.
    pub pinned: Option<u16>,
    /// How long it takes on an otherwise idle vCPU.
    pub demand: Span,
}

impl Burst {
    /// Work of a thread of its own, with the usual weight.
    pub fn new(task: u32, demand: Span) -> Burst {
        Burst { task, thread: task, process: 0, weight: 1.0, pinned: None, demand }
    }
}

/// The weight of a nice value: a step is a quarter of the CPU time (Linux, `sched_prio_to_weight`).
pub fn weight_of_nice(nice: i32) -> f64 {
    1.25f64.powi(-nice)
}

/// What has come of a machine by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The burst that is done, if one is. There may be another at the same instant.
    pub finished: Option<u32>,
    /// When to ask next; `None` while nothing is runnable.
    pub next: Option<Time>,
}

/// The vCPUs of one machine and who runs on them.
#[derive(Clone, Debug)]
pub enum Machine {
    /// Everybody who is runnable runs, at a share.
    Shares(Shares),
    /// Run queues and time slices.
    Slices(Box<Slices>),
}

impl Machine {
    /// An idle machine.
    pub fn new(processor: &Processor) -> Self {
        match processor.scheduler {
            Scheduler::Shares(_) => Machine::Shares(Shares::new(processor)),
            Scheduler::Slices(_) => Machine::Slices(Box::new(Slices::new(processor))),
        }
    }

    /// The machine runs from `now` on, and not from time zero: credits count from here.
    pub fn begin(&mut self, now: Time) {
        match self {
            Machine::Shares(shares) => shares.begin(now),
            Machine::Slices(slices) => slices.begin(now),
        }
    }

    /// Brings quota and credits up to `now`. Changes nothing of what is to come, and nothing at all without either.
    pub fn settle(&mut self, now: Time) {
        if self.supply().is_none() {
            return;
        }
        match self {
            Machine::Shares(shares) => shares.advance(now),
            Machine::Slices(slices) => slices.advance(now),
        }
    }

    /// Starts a burst of work. Returns when to ask for [`progress`](Machine::progress), where that has changed.
    #[inline]
    pub fn start(&mut self, now: Time, burst: Burst) -> Option<Time> {
        match self {
            Machine::Shares(shares) => shares.start(now, burst),
            Machine::Slices(slices) => slices.start(now, burst),
        }
    }

    /// What has come of it at an instant that it named.
    #[inline]
    pub fn progress(&mut self, now: Time) -> Progress {
        match self {
            Machine::Shares(shares) => shares.progress(now),
            Machine::Slices(slices) => slices.progress(now),
        }
    }

    /// `threads` of a weight are always runnable from `now` on, on one vCPU or on all: other programs of the machine. Returns
    /// when to ask next.
    pub fn add_endless(&mut self, now: Time, weight: f64, pinned: Option<u16>, threads: u32) -> Option<Time> {
        match self {
            Machine::Shares(shares) => shares.add_endless(now, weight, threads),
            Machine::Slices(slices) => slices.add_endless(now, weight, pinned, threads),
        }
    }

    /// All threads of the machine stand still for so long, as when a collector stops the world. That is no CPU time.
    /// Returns when to ask next.
    pub fn stop(&mut self, now: Time, pause: Span) -> Option<Time> {
        match self {
            Machine::Shares(shares) => shares.stop(now, pause),
            Machine::Slices(slices) => slices.stop(now, pause),
        }
    }

    /// Ends all bursts at once, as a crash does.
    pub fn clear(&mut self, now: Time) {
        match self {
            Machine::Shares(shares) => shares.clear(now),
            Machine::Slices(slices) => slices.clear(now),
        }
    }

    /// Ends the bursts of these tasks, which stand in order, as when the process dies that they belong to. Returns when
    /// to ask next.
    pub fn end(&mut self, now: Time, tasks: &[u32]) -> Option<Time> {
        match self {
            Machine::Shares(shares) => shares.end(now, tasks),
            Machine::Slices(slices) => slices.end_all(now, tasks),
        }
    }

    /// Bursts that are not done.
    pub fn runnable(&self) -> usize {
        match self {
            Machine::Shares(shares) => shares.runnable(),
            Machine::Slices(slices) => slices.runnable(),
        }
    }

    /// vCPU nanoseconds used until `now`, since the machine was made: the integral of busy vCPUs.
    pub fn core_nanos(&self, now: Time) -> f64 {
        match self {
            Machine::Shares(shares) => shares.core_nanos(now),
            Machine::Slices(slices) => slices.core_nanos(now),
        }
    }

    /// Quota and credits as they stood at the last change; `None` for a machine without either.
    pub fn supply(&self) -> Option<&Supply> {
        match self {
            Machine::Shares(shares) => shares.supply(),
            Machine::Slices(slices) => slices.supply(),
        }
    }

    /// What was counted until the last change; nothing is where nobody takes turns one by one.
    pub fn counts(&self) -> Option<Counts> {
        match self {
            Machine::Shares(_) => None,
            Machine::Slices(slices) => Some(slices.counts()),
        }
    }

    /// The same by vCPU and by process.
    pub fn tally(&self) -> Option<Tally> {
        match self {
            Machine::Shares(_) => None,
            Machine::Slices(slices) => Some(slices.tally()),
        }
    }
}
