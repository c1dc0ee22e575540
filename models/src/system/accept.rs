//! Which worker of an instance gets a request. Connections that a balancer keeps open stay with the worker that accepted
//! them; otherwise each request is a connection.
//!
//! `RoundRobin` is what Node's cluster module does, which is not turns: the primary, a process on the same cores, accepts
//! and hands over to a worker that has acknowledged the connection before; a worker whose loop is stuck in a computation
//! acknowledges nothing and gets nothing. What is accepted and not handed over waits at the primary.

use sim_core::chance::below;
use sim_core::{Calendar, Span};

use super::System;
use super::request::Stage;
use crate::event::Event;
use crate::machine::Burst;
use crate::plan::BalancerId;
use crate::runtime::Front;

/// The number of the primary among the processes of an instance, and of the first worker.
pub const PRIMARY: usize = 0;
pub const FIRST_WORKER: usize = 1;

impl System {
    /// A request reaches an instance with several workers: through a connection that was kept, or a new one.
    pub(super) fn connect(
        &mut self,
        slot: u32,
        from: BalancerId,
        target: u32,
        calendar: &mut Calendar<Event>,
    ) {
        let mut draws = self.connections.at(self.requests[slot].key());
        if let Some(worker) = self.instances.at_work(target).server.kept_worker(from, &mut draws) {
            return self.send_to(worker, slot, target, calendar);
        }
        let server = &mut self.instances.at_work(target).server;
        let queue = server.backlog as usize;
        match &mut server.front {
            Front::Single => {}
            Front::ReusePort => {
                // A hash of the connection chooses a listener, whatever its load.
                let worker = match server.dead {
                    0 => below(&mut draws, server.processes.len() as u32) as u16,
                    _ => server.open_listener(&mut draws),
                };
                self.send_to(worker, slot, target, calendar);
            }
            Front::Shared(listener) => {
                // One that has found other work since it idled does not wait for the listener. Of those that do, one that
                // can compute at once goes before one whose threads wait for their lock.
                let process = |worker: &u16| &server.processes[usize::from(*worker)];
                listener.idle.retain(|worker| process(worker).idle_slot());
                let unlocked = |worker: &u16| process(worker).lock.as_ref().is_none_or(|lock| !lock.taken);
                let at = listener.idle.iter().rposition(unlocked).or(listener.idle.len().checked_sub(1));
                if let Some(worker) = at.map(|at| listener.idle.remove(at)) {
                    self.enter(slot, target, calendar);
                    self.join_process(slot, worker, calendar);
                    self.dirty.push((target, worker)); // it may have another thread that idles
                } else if listener.backlog.len() >= queue {
                    self.refuse(slot, target, calendar);
                } else {
                    listener.backlog.push_back(slot);
                    self.enter(slot, target, calendar);
                }
            }
            Front::Primary(primary) => {
                let waiting = primary.arrivals.len() + primary.handles.len();
                if primary.busy && waiting >= queue {
                    return self.refuse(slot, target, calendar);
                }
                primary.arrivals.push_back(slot);
                self.enter(slot, target, calendar);
                self.accept_next(target, calendar);
            }
        }
    }

    /// A request goes to one worker and no other.
    #[inline]
    pub(super) fn send_to(&mut self, worker: u16, slot: u32, target: u32, calendar: &mut Calendar<Event>) {
        let process = &self.instances[target].server.processes[usize::from(worker)];
        if !process.idle_slot() && process.queued_new >= process.accept_queue {
            return self.refuse(slot, target, calendar);
        }
        self.enter(slot, target, calendar);
        self.join_process(slot, worker, calendar);
    }

    /// A worker has nothing left to do: it waits for the listener, or takes what stands in its backlog.
    pub(super) fn idle(&mut self, target: u32, worker: u16, calendar: &mut Calendar<Event>) {
        while self.instances[target].server.processes[usize::from(worker)].idle_slot() {
            let Front::Shared(listener) = &mut self.instances.at_work(target).server.front else { return };
            match listener.backlog.pop_front() {
                Some(slot) => self.join_process(slot, worker, calendar),
                None => {
                    if !listener.idle.contains(&worker) {
                        listener.idle.push(worker);
                    }
                    return;
                }
            }
        }
    }

    /// The primary accepts the next connection.
    fn accept_next(&mut self, target: u32, calendar: &mut Calendar<Event>) {
        let Front::Primary(primary) = &mut self.instances.at_work(target).server.front else { return };
        if primary.busy {
            return;
        }
        let Some(slot) = primary.arrivals.pop_front() else { return };
        primary.busy = true;
        let cost = primary.cost;
        self.requests[slot].stage = Stage::Accepting;
        let instance = self.instances.at_work(target);
        let burst = Burst {
            thread: PRIMARY as u32,
            process: PRIMARY as u16,
            weight: instance.weight,
            ..Burst::new(slot, cost)
        };
        if let Some(next) = instance.machine.start(calendar.now(), burst) {
            calendar.set_at(instance.timer, next, Event::Cpu(target));
        }
    }

    /// The primary has accepted a connection: it waits there for a worker that is free.
    pub(super) fn accepted(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let target = self.requests[slot].instance;
        let Front::Primary(primary) = &mut self.instances.at_work(target).server.front else { return };
        primary.busy = false;
        primary.handles.push_back(slot);
        self.hand_over(target);
        self.accept_next(target, calendar);
    }

    /// Sends accepted connections to free workers. Each gets one, and no other until it has acknowledged.
    pub(super) fn hand_over(&mut self, target: u32) {
        let server = &mut self.instances.at_work(target).server;
        let Front::Primary(primary) = &mut server.front else { return };
        while !primary.handles.is_empty() {
            let Some(worker) = primary.free.pop_front() else { return };
            let Some(slot) = primary.handles.pop_front() else { return };
            let request = &mut self.requests[slot];
            let counts = !self.plan.is_check(request.endpoint);
            (request.stage, request.process) = (Stage::Handover, worker);
            let process = &mut server.processes[usize::from(worker)];
            process.queue.push_back(slot);
            process.queued_new += 1;
            process.served += u64::from(counts);
            self.dirty.push((target, worker));
        }
    }

    /// A worker's loop has come to the message with a connection.
    pub(super) fn take_over(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let Front::Primary(primary) = &self.instances[request.instance].server.front else { return };
        let cost: Span = primary.handover;
        let thread = request.thread;
        self.burst(slot, thread, cost, calendar);
    }

    /// The worker has acknowledged; the request itself is the last in its loop's queue.
    pub(super) fn taken_over(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        request.stage = Stage::Steps;
        let (target, worker, thread) = (request.instance, request.process, request.thread);
        let instance = self.instances.at_work(target);
        if let Front::Primary(primary) = &mut instance.server.front {
            primary.free.push_back(worker);
        }
        let process = &mut instance.server.processes[usize::from(worker)];
        process.free_slot(thread, instance.numbered);
        process.queue.push_back(slot);
        self.dirty.push((target, worker));
        self.hand_over(target);
    }
}
