//! A service: its processes and what they need.

use sim_core::Span;
use sim_core::dist::Dist;

use super::{Engine, Shed, Supervisor};

/// A program that answers requests.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in the scenario.
    pub name: String,
    /// How its process turns requests into CPU work and waiting.
    pub runtime: Runtime,
    /// The memory that it needs; `None` where that does not matter.
    pub memory: Option<Memory>,
    /// Bytes that a thread works on between two switches, which other threads push out of the caches: its data, its stack,
    /// its code. 0 where there is nothing to refill.
    pub working_set: u64,
    /// The weight of its threads: 1 for a nice value of 0, a quarter more for each step below.
    pub weight: f64,
    /// How slow it is at first: compilers and caches that have seen nothing yet.
    pub cold: Option<Cold>,
    /// Pauses in which all of a process stands still.
    pub collector: Option<Collector>,
    /// The TCP port that it listens at.
    pub port: u16,
    /// Open sessions (websockets) that an instance takes; further handshakes are refused. `None` takes all.
    pub most_connections: Option<u32>,
    /// Whom it turns away when it has too much to do.
    pub shed: Option<Shed>,
    /// Who starts its processes again when they die; `None` leaves them dead.
    pub supervisor: Option<Supervisor>,
    /// What its instances generate tokens with; `None` where they do not.
    pub engine: Option<Engine>,
}

impl Service {
    /// Where a service listens that says nothing else.
    pub const USUAL_PORT: u16 = 80;
}

/// A server that is slow at first: interpreters before their compilers have seen enough, caches before they are filled.
/// Instances that are there from the start are warm.
#[derive(Clone, Debug, PartialEq)]
pub struct Cold {
    /// Requests that an instance has seen, increasing from 0, and how many times the usual CPU time the next takes, 1 or
    /// more. Between two points it is linear; after the last an instance is warm.
    pub curve: Vec<(u32, f64)>,
}

impl Cold {
    /// The most points of a curve.
    pub const MOST_POINTS: usize = 64;

    /// How many times the usual CPU time a request takes after so many others; `None` once the instance is warm.
    pub fn slower(&self, seen: u32) -> Option<f64> {
        let to = self.curve.partition_point(|point| point.0 <= seen);
        let (&from, &to) = (self.curve.get(to.checked_sub(1)?)?, self.curve.get(to)?);
        let way = f64::from(seen - from.0) / f64::from(to.0 - from.0);
        Some(from.1 + (to.1 - from.1) * way)
    }
}

/// A garbage collector that stops all of a process.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Requests of one process between two pauses.
    pub every: u32,
    /// How long a pause is, in nanoseconds: CPU time where a process computes on one thread, else time in which all its
    /// threads stand still.
    pub pause: Dist,
}

/// Memory in bytes. Who needs more than the machine has is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Each process, before its first request.
    pub process: u64,
    /// Each request inside, waiting or in progress: its thread, its buffers, its session.
    pub request: u64,
    /// Each open session (websocket): its buffers, its state.
    pub connection: u64,
}

/// How an instance turns requests into CPU work and waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// What one process does.
    pub process: ProcessKind,
    /// CPU time of each request beside its steps: parsing, system calls.
    pub overhead: Span,
    /// Workers that were forked before; `None` is one process.
    pub workers: Option<Workers>,
}

/// What one server process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessKind {
    /// One thread runs one CPU step at a time, first come, first served; waits overlap (Node).
    EventLoop {
        /// New requests that may wait for the loop; further ones are refused.
        accept_queue: u32,
        /// Threads beside the loop, for pool steps (libuv has 4).
        pool: u32,
    },
    /// Each request holds a thread from its first step to its response; runnable threads share the cores.
    Threads {
        /// Requests in progress at once; `None` starts a thread per request.
        threads: Option<u32>,
        /// Requests that may wait for a thread; further ones are refused.
        accept_queue: u32,
        /// A free thread takes the one that came last, not the one that came first.
        newest_first: bool,
    },
    /// Worker threads that take CPU steps from one queue; waits overlap (Tokio, Go).
    Async {
        /// Worker threads; `None` is one for each vCPU.
        workers: Option<u32>,
        /// New requests that may wait; further ones are refused.
        accept_queue: u32,
    },
    /// Threads of which one computes at a time (CPython, Ruby).
    Gil {
        /// Requests in progress at once.
        threads: u32,
        /// How long a thread keeps the lock while others wait for it.
        switch_interval: Span,
        /// Requests that may wait for a thread; further ones are refused.
        accept_queue: u32,
    },
}

/// Processes that were forked before the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How many; `None` is one for each vCPU.
    pub count: Option<u32>,
    /// Who of them gets a connection.
    pub accept: Accept,
    /// Connections that may wait to be accepted; further ones are refused.
    pub backlog: u32,
    /// Each runs on the vCPU of its own number only; of no more workers than vCPUs.
    pub pinned: bool,
}

/// Who of several workers gets a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// A primary accepts and hands over to workers that have acknowledged the last one, in turn.
    RoundRobin {
        /// CPU time of the primary for a connection.
        primary: Span,
        /// CPU time of a worker to take a connection over.
        handover: Span,
    },
    /// All wait for one listener, and the one that idles since the shortest time wakes up.
    Shared,
    /// Each has a listener, and a hash of the connection chooses.
    ReusePort,
}

impl Runtime {
    /// Threads that can compute at once on so many vCPUs.
    pub fn computing_threads(&self, vcpus: u32) -> u32 {
        let each = match self.process {
            ProcessKind::EventLoop { .. } | ProcessKind::Gil { .. } => 1,
            ProcessKind::Async { workers, .. } => workers.unwrap_or(vcpus),
            ProcessKind::Threads { threads, .. } => threads.unwrap_or(vcpus),
        };
        self.processes(vcpus).saturating_mul(each).clamp(1, vcpus)
    }

    /// Requests that can hold a thread at once; `None` where waits hold none, or threads have no limit.
    pub fn held_threads(&self, vcpus: u32) -> Option<u32> {
        let each = match self.process {
            ProcessKind::Threads { threads, .. } => threads?,
            ProcessKind::Gil { threads, .. } => threads,
            ProcessKind::EventLoop { .. } | ProcessKind::Async { .. } => return None,
        };
        Some(each.saturating_mul(self.processes(vcpus)))
    }

    /// Worker processes.
    pub fn processes(&self, vcpus: u32) -> u32 {
        self.workers.map_or(1, |workers| workers.count.unwrap_or(vcpus).max(1))
    }

    /// CPU time of a connection beside that of the request: what the primary and the worker do to hand it over.
    pub fn connection_costs(&self) -> [Span; 2] {
        match self.workers.map(|workers| workers.accept) {
            Some(Accept::RoundRobin { primary, handover }) => [primary, handover],
            _ => [Span::ZERO; 2],
        }
    }

    /// True where a process of its own accepts for the workers.
    pub fn has_primary(&self) -> bool {
        self.workers.is_some_and(|workers| matches!(workers.accept, Accept::RoundRobin { .. }))
    }

    /// True where pool steps are done beside the threads that compute.
    pub fn has_pool(&self) -> bool {
        matches!(self.process, ProcessKind::EventLoop { .. } | ProcessKind::Async { .. })
    }
}
