//! An instance: a machine, the process on it, and where it stands in its life.

use std::collections::VecDeque;

use sim_core::{Span, Time, Timer};

use crate::machine::Machine;
use crate::plan::{GroupId, Runtime};

/// One instance of a group.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Whose it is.
    pub group: GroupId,
    /// Its number within the group, for the log.
    pub number: u64,
    /// The index of its zone.
    pub zone: u16,
    /// Where it stands.
    pub phase: Phase,
    /// Its vCPUs and who runs on them.
    pub machine: Machine,
    /// How many vCPUs these are.
    pub vcpus: f64,
    /// Fires at the machine's next completion.
    pub timer: Timer,
    /// The server process.
    pub process: Process,
    /// Balancers in whose rotation it is.
    pub rotations: u32,
    /// When it was launched.
    pub launched: Time,
    /// When it began to run: from then on it is billed, and in service for its group.
    pub running: Option<Time>,
    /// When it crashed.
    pub crashed: Option<Time>,
    /// Core nanoseconds at the last minute, and at the last row of the series.
    pub seen_core_nanos: [f64; 2],
}

/// The stages of an instance's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Launched, not yet running.
    Pending,
    /// Running; the operating system boots.
    Booting,
    /// The app is starting.
    AppStarting,
    /// The app answers. It gets requests once a balancer has checked it.
    Up,
    /// It stopped, and its group has not noticed.
    Crashed,
    /// Out of rotation, finishing what it has.
    Draining,
}

/// What a server process has to do: requests that wait, and how many it works on.
#[derive(Clone, Debug)]
pub struct Process {
    /// One thread that runs CPU steps one by one, or many that hold a request each.
    pub event_loop: bool,
    /// Requests that may be worked on at once: threads, or 1 for the loop.
    pub slots: u32,
    /// New requests that may wait.
    pub accept_queue: u32,
    /// Threads taken, or whether the loop is.
    pub busy: u32,
    /// Requests that wait for a slot. For an event loop also those that come back from a wait step.
    pub queue: VecDeque<u32>,
    /// New requests among them.
    pub queued_new: u32,
    /// Requests inside: waiting, in progress, or waiting for something outside.
    pub inside: u32,
}

impl Process {
    /// An idle process.
    pub fn new(runtime: Runtime) -> Self {
        let (event_loop, slots, accept_queue) = match runtime {
            Runtime::EventLoop { accept_queue } => (true, 1, accept_queue),
            Runtime::Threads { threads, accept_queue } => (false, threads.unwrap_or(u32::MAX), accept_queue),
        };
        Process { event_loop, slots, accept_queue, busy: 0, queue: VecDeque::new(), queued_new: 0, inside: 0 }
    }

    /// True where a new request can start at once.
    #[inline]
    pub fn idle_slot(&self) -> bool {
        self.busy < self.slots && self.queue.is_empty()
    }

    /// Forgets everything, as a crash does.
    pub fn clear(&mut self) {
        self.busy = 0;
        self.queue.clear();
        self.queued_new = 0;
        self.inside = 0;
    }
}

impl Instance {
    /// True from the moment it runs until it is taken out: what the provider calls InService.
    pub fn in_service(&self) -> bool {
        matches!(self.phase, Phase::Booting | Phase::AppStarting | Phase::Up | Phase::Crashed)
    }

    /// When a warm-up, which counts from its coming into service, is over; `None` while it does not run. Instances that were
    /// there from the start are warm.
    pub fn warm_at(&self, warm_up: Span) -> Option<Time> {
        self.running.map(|running| if running == Time::ZERO { running } else { running + warm_up })
    }

    /// True where it takes requests.
    pub fn serving(&self) -> bool {
        self.phase == Phase::Up && self.rotations > 0
    }

    /// Core nanoseconds that it has had until `now`, used or not.
    pub fn cores_had(&self, now: Time) -> f64 {
        let ran = self.running.map_or(0, |running| now.since(running).as_nanos());
        ran as f64 * self.vcpus
    }

    /// True from its launch until it takes requests for the first time.
    pub fn starting(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Booting | Phase::AppStarting)
            || (self.phase == Phase::Up && self.rotations == 0)
    }
}
