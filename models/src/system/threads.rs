//! Threads that take turns at an interpreter lock, and threads beside an event loop.

use sim_core::{Calendar, Span};

use super::System;
use super::request::Stage;
use crate::event::Event;

impl System {
    /// A thread wants the interpreter lock.
    pub(super) fn lock(&mut self, slot: u32, demand: Span, calendar: &mut Calendar<Event>) {
        let request = &mut self.requests[slot];
        (request.left, request.stage) = (demand.as_nanos(), Stage::Locked);
        let process =
            &mut self.instances.at_work(request.instance).server.processes[usize::from(request.process)];
        let Some(lock) = &mut process.lock else { return };
        if lock.taken {
            lock.waiting.push_back(slot);
        } else {
            lock.taken = true;
            self.locked_turn(slot, calendar);
        }
    }

    /// Computes with the lock, for no longer than its interval.
    fn locked_turn(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &mut self.requests[slot];
        let process = &self.instances[request.instance].server.processes[usize::from(request.process)];
        let interval = process.lock.as_ref().map_or(Span::MAX, |lock| lock.interval);
        let turn = Span::from_nanos(request.left).min(interval);
        request.left -= turn.as_nanos();
        let thread = request.thread;
        self.burst(slot, thread, turn, calendar);
    }

    /// A turn at the lock is over: the next that waits has it, or the same goes on.
    pub(super) fn turn_over(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &mut self.requests[slot];
        let process =
            &mut self.instances.at_work(request.instance).server.processes[usize::from(request.process)];
        let Some(lock) = &mut process.lock else { return };
        let done = request.left == 0;
        if !done {
            lock.waiting.push_back(slot);
        }
        match lock.waiting.pop_front() {
            Some(next) => self.locked_turn(next, calendar),
            None => lock.taken = false,
        }
        if done {
            let request = &mut self.requests[slot];
            request.stage = Stage::Steps;
            request.step += 1;
            self.proceed(slot, true, calendar);
        }
    }

    /// A pool step: on a thread beside the loop. Who has a thread of its own does it there.
    pub(super) fn beside_the_loop(
        &mut self,
        slot: u32,
        demand: Span,
        holding: bool,
        calendar: &mut Calendar<Event>,
    ) {
        let request = &mut self.requests[slot];
        let process =
            &mut self.instances.at_work(request.instance).server.processes[usize::from(request.process)];
        if !process.event_loop {
            return self.compute(slot, demand, calendar);
        }
        (request.stage, request.left) = (Stage::Pool, demand.as_nanos());
        let free = process.pool.busy < process.pool.threads;
        if free {
            process.pool.busy += 1;
        } else {
            process.pool.queue.push_back(slot);
        }
        self.yield_loop(slot, holding);
        if free {
            self.pool_turn(slot, calendar);
        }
    }

    fn pool_turn(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let demand = Span::from_nanos(request.left);
        self.burst(slot, 1 + slot, demand, calendar);
    }

    /// A thread beside the loop is done: the next that waits for one has it.
    pub(super) fn pool_done(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &mut self.requests[slot];
        request.stage = Stage::Steps;
        let process =
            &mut self.instances.at_work(request.instance).server.processes[usize::from(request.process)];
        match process.pool.queue.pop_front() {
            Some(next) => self.pool_turn(next, calendar),
            None => process.pool.busy -= 1,
        }
        self.resume(slot, calendar);
    }
}
