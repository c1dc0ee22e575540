//! How the processes of an instance turn requests into CPU work and waiting, and who accepts a connection.
//!
//! A process has *slots*: the threads of a pool, or the one thread of an event loop. In an event loop, and in a pool of
//! asynchronous workers, a request gives up its slot at each wait and takes one again, first come, first served, for the next
//! CPU step. In a pool of threads it keeps its slot until the response. With an interpreter lock only one of the threads
//! computes at a time. Several processes are workers that were forked before: [`Front`] says who of them gets a connection.

mod death;

use std::collections::VecDeque;

use rand::Rng;
use sim_core::Span;
use sim_core::chance::below;
use smallvec::SmallVec;

use crate::plan::{Accept, BalancerId, ProcessKind, Runtime};

/// Threads for blocking work beside asynchronous workers: Tokio's limit.
const BLOCKING_THREADS: u32 = 512;

/// The processes of one instance.
#[derive(Clone, Debug)]
pub struct Server {
    /// The workers, or the only process, which then stands right here: every step of a request looks at it.
    pub processes: SmallVec<[Process; 1]>,
    /// Who gets a connection.
    pub front: Front,
    /// Requests inside: waiting, in progress, or waiting for something outside.
    pub inside: u32,
    /// Those of them that are only being told that there is too much to do.
    pub shedding: u32,
    /// Requests that have begun since it started: it warms up.
    pub seen: u32,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// The worker behind each connection that a balancer keeps open, by balancer. Nothing moves such a connection.
    pub kept: Vec<(BalancerId, Vec<u16>)>,
    /// Processes that are dead.
    pub dead: u16,
}

/// Who of several workers gets a connection.
#[derive(Clone, Debug)]
pub enum Front {
    /// There is one process.
    Single,
    /// A primary accepts for all and hands over to a worker that has acknowledged the last (Node's `SCHED_RR`).
    Primary(Box<Primary>),
    /// All workers wait for one listener; the one that idles since the shortest time wakes up first.
    Shared(Box<Listener>),
    /// Each worker has a listener, and a hash of the connection chooses.
    ReusePort,
}

/// The process that accepts for its workers: `lib/internal/cluster/round_robin_handle.js` of Node.
#[derive(Clone, Debug)]
pub struct Primary {
    /// CPU time of the primary for a connection.
    pub cost: Span,
    /// CPU time of a worker to take one over.
    pub handover: Span,
    /// Connections that wait for the primary's loop.
    pub arrivals: VecDeque<u32>,
    /// Whether it is at work.
    pub busy: bool,
    /// Accepted connections that wait for a worker.
    pub handles: VecDeque<u32>,
    /// Workers that have acknowledged, the longest ago first.
    pub free: VecDeque<u16>,
}

/// A listener that several workers share.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Connections that nobody has accepted.
    pub backlog: VecDeque<u32>,
    /// Workers that wait for one, the latest last.
    pub idle: Vec<u16>,
}

/// One process: what waits for it, and what it works on.
#[derive(Clone, Debug)]
pub struct Process {
    /// A request gives up its slot at each wait.
    pub event_loop: bool,
    /// Requests that may be worked on at once: threads, or 1 for the loop.
    pub slots: u32,
    /// New requests that may wait.
    pub accept_queue: u32,
    /// Slots taken.
    pub busy: u32,
    /// Requests that wait for a slot. For an event loop also those that come back from a wait step.
    pub queue: VecDeque<u32>,
    /// Whether the last of them goes first.
    pub newest_first: bool,
    /// New requests among them.
    pub queued_new: u32,
    /// Requests that it got.
    pub served: u64,
    /// Requests that it had got at the last minute.
    pub served_at_minute: u64,
    /// Requests since its collector ran.
    pub uncollected: u32,
    /// The lock that only one thread can hold, if there is one.
    pub lock: Option<Box<Lock>>,
    /// The threads beside an event loop.
    pub pool: Pool,
    /// Numbers of threads that idle, and the next new one; an operating system that switches knows them apart.
    idle_threads: Vec<u32>,
    next_thread: u32,
}

/// An interpreter lock.
#[derive(Clone, Debug)]
pub struct Lock {
    /// How long a thread may keep it while others wait.
    pub interval: Span,
    /// Whether a thread has it.
    pub taken: bool,
    /// Requests whose threads wait for it.
    pub waiting: VecDeque<u32>,
}

/// The threads beside an event loop, as libuv's.
#[derive(Clone, Debug)]
pub struct Pool {
    /// How many there are.
    pub threads: u32,
    /// How many are at work.
    pub busy: u32,
    /// Requests that wait for one.
    pub queue: VecDeque<u32>,
}

impl Server {
    /// Idle processes of a runtime on a machine with so many vCPUs.
    pub fn new(runtime: &Runtime, vcpus: u32) -> Self {
        let count = runtime.processes(vcpus);
        let processes = (0..count).map(|_| Process::new(runtime, vcpus)).collect();
        let all = || 0..count as u16;
        let front = match runtime.workers.map(|workers| workers.accept) {
            None => Front::Single,
            Some(Accept::RoundRobin { primary, handover }) => Front::Primary(Box::new(Primary {
                cost: primary,
                handover,
                arrivals: VecDeque::new(),
                busy: false,
                handles: VecDeque::new(),
                free: all().collect(),
            })),
            Some(Accept::Shared) => {
                Front::Shared(Box::new(Listener { backlog: VecDeque::new(), idle: all().rev().collect() }))
            }
            Some(Accept::ReusePort) => Front::ReusePort,
        };
        let backlog = runtime.workers.map_or(0, |workers| workers.backlog);
        Server { processes, front, inside: 0, seen: 0, backlog, kept: Vec::new(), dead: 0, shedding: 0 }
    }

    /// A balancer opens connections that it will keep.
    pub fn keep(&mut self, balancer: BalancerId, count: u32, bits: &mut impl Rng) {
        let workers = self.processes.len() as u32;
        let worker = |index: u32| match &self.front {
            Front::Single => 0,
            Front::Primary(_) => index % workers,
            Front::ReusePort => below(bits, workers),
            // The worker that idled last wakes up first: half of the connections to one, a quarter to the next …
            Front::Shared(_) => bits.next_u64().trailing_zeros() % workers,
        };
        let kept: Vec<u16> = (0..count).map(worker).map(|worker| worker as u16).collect();
        self.kept.retain(|(other, _)| *other != balancer);
        self.kept.push((balancer, kept));
        if self.dead > 0 {
            self.reconnect(bits);
        }
    }

    /// The worker behind one of a balancer's connections; `None` where it opens one for each request.
    #[inline]
    pub fn kept_worker(&self, balancer: BalancerId, bits: &mut impl Rng) -> Option<u16> {
        let (_, kept) = self.kept.iter().find(|(other, _)| *other == balancer)?;
        kept.get(below(bits, kept.len() as u32) as usize).copied()
    }

    /// The same of the requests since the last minute, which ends.
    pub fn imbalance_of_minute(&mut self) -> Option<f64> {
        let imbalance = self.imbalance_since(|process| process.served_at_minute);
        self.processes.iter_mut().for_each(|process| process.served_at_minute = process.served);
        imbalance
    }

    /// How many times its even share the busiest worker got; `None` with one process, or before the first request.
    pub fn imbalance(&self) -> Option<f64> {
        self.imbalance_since(|_| 0)
    }

    fn imbalance_since(&self, before: impl Fn(&Process) -> u64) -> Option<f64> {
        let served = || self.processes.iter().map(|process| process.served - before(process));
        let (most, all) = (served().max()?, served().sum::<u64>());
        (self.processes.len() > 1 && all > 0).then(|| most as f64 * self.processes.len() as f64 / all as f64)
    }

    /// Requests that its processes got.
    pub fn served(&self) -> u64 {
        self.processes.iter().map(|process| process.served).sum()
    }

    /// True where somebody waits for a slot of a process, or where it may wait for a listener.
    #[inline]
    pub fn wanted(&self, process: u16) -> bool {
        !self.processes[usize::from(process)].queue.is_empty() || matches!(self.front, Front::Shared(_))
    }

    /// New requests that wait for a slot or to be accepted.
    pub fn queued_new(&self) -> u32 {
        // Who waits is inside. That spares a look at each process of a server that idles.
        if self.inside == 0 {
            return 0;
        }
        let in_front = match &self.front {
            Front::Single | Front::ReusePort => 0,
            Front::Primary(primary) => primary.arrivals.len() + primary.handles.len(),
            Front::Shared(listener) => listener.backlog.len(),
        };
        self.processes.iter().map(|process| process.queued_new).sum::<u32>() + in_front as u32
    }
}

impl Process {
    fn new(runtime: &Runtime, vcpus: u32) -> Self {
        let mut process = Process {
            event_loop: false,
            slots: u32::MAX,
            accept_queue: 0,
            busy: 0,
            queue: VecDeque::new(),
            newest_first: false,
            queued_new: 0,
            served: 0,
            served_at_minute: 0,
            uncollected: 0,
            lock: None,
            pool: Pool { threads: u32::MAX, busy: 0, queue: VecDeque::new() },
            idle_threads: Vec::new(),
            next_thread: 0,
        };
        match runtime.process {
            ProcessKind::EventLoop { accept_queue, pool } => {
                (process.event_loop, process.slots, process.accept_queue) = (true, 1, accept_queue);
                process.pool.threads = pool;
            }
            ProcessKind::Async { workers, accept_queue } => {
                (process.event_loop, process.accept_queue) = (true, accept_queue);
                process.slots = workers.unwrap_or(vcpus).max(1);
                process.pool.threads = BLOCKING_THREADS;
            }
            ProcessKind::Threads { threads, accept_queue, newest_first } => {
                (process.slots, process.accept_queue) = (threads.unwrap_or(u32::MAX), accept_queue);
                process.newest_first = newest_first;
            }
            ProcessKind::Gil { threads, switch_interval, accept_queue } => {
                (process.slots, process.accept_queue) = (threads, accept_queue);
                let waiting = VecDeque::new();
                process.lock = Some(Box::new(Lock { interval: switch_interval, taken: false, waiting }));
            }
        }
        process
    }

    /// True where a new request can start at once.
    #[inline]
    pub fn idle_slot(&self) -> bool {
        self.busy < self.slots && self.queue.is_empty()
    }

    /// Takes a slot. Returns the number of its thread, which only matters to an operating system that counts switches.
    #[inline]
    pub fn take_slot(&mut self, numbered: bool) -> u32 {
        self.busy += 1;
        if !numbered {
            return 0;
        }
        self.idle_threads.pop().unwrap_or_else(|| {
            self.next_thread += 1;
            self.next_thread - 1
        })
    }

    /// Gives a slot back.
    #[inline]
    pub fn free_slot(&mut self, thread: u32, numbered: bool) {
        self.busy -= 1;
        if numbered {
            self.idle_threads.push(thread);
        }
    }
}
