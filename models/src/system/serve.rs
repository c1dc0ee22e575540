//! The servers' side of a request: how a process works through its steps.
//!
//! Who holds a *slot* may compute (see [`crate::runtime`]). Whoever frees one marks the process as dirty, and
//! [`System::settle`] hands free slots to those who wait before the event is over: no function here calls itself through a
//! queue.

use sim_core::chance::unit;
use sim_core::{Calendar, Span, Time};

use super::System;
use super::accept::FIRST_WORKER;
use super::ending::Ending;
use super::instance::Phase;
use super::program::Op;
use super::request::{Request, Stage};
use super::sessions::{MESSAGE, NOBODY};
use super::versions::program_of;
use crate::balancer::{Client, Seen};
use crate::event::{Event, Ref};
use crate::machine::{Burst, Progress};
use crate::plan::{BalancerId, EndpointId};
use crate::runtime::Front;

impl System {
    /// A balancer picks the target of a request that was just sent.
    #[inline]
    pub(super) fn dispatch(&mut self, slot: u32, to: BalancerId, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let size = self.programs[request.endpoint.index()].size;
        self.measure.balanced(to, request.endpoint, size);
        if !self.guards.is_empty()
            && let Some(ending) = self.guarded(slot, to, calendar.now())
        {
            return self.turned_away(slot, ending, calendar);
        }
        let Some(target) = self.pick_target(slot, to, calendar.now()) else {
            if self.cluster.is_some() && self.hold(slot, to) {
                return;
            }
            self.turned_away(slot, Ending::NoTarget, calendar);
            return;
        };
        self.arrive(slot, to, target, calendar);
    }

    /// The target that a balancer picks for a request; `None` where it has none.
    #[inline(always)] // on every request's way; elsewhere it is rare
    pub(super) fn pick_target(&mut self, slot: u32, to: BalancerId, now: Time) -> Option<u32> {
        let request = &self.requests[slot];
        let asks_who = self.rotations[to.index()].asks_who();
        let by_address = asks_who && self.rotations[to.index()].by_address();
        let client = if asks_who { self.who_sends(request, by_address) } else { Client::ANY };
        let seen = Seen { now, outstanding: &self.outstanding, latencies: &self.latencies };
        self.rotations[to.index()].pick(request.key(), client, &seen)
    }

    /// A request reaches an instance.
    #[inline(always)] // on every request's way; elsewhere it is rare
    pub(super) fn arrive(
        &mut self,
        slot: u32,
        from: BalancerId,
        target: u32,
        calendar: &mut Calendar<Event>,
    ) {
        let instance = &self.instances[target];
        self.fleets[instance.group.index()].received += 1;
        // It crashed, or the balancer fails open and the app is not up, or nobody listens where the balancer sends to.
        if instance.phase != Phase::Up || !instance.reachable {
            self.knock(slot, from, target, calendar);
            return;
        }
        self.receive(slot, from, target, calendar);
    }

    /// An instance that is up gets a request.
    #[inline(always)] // on every request's way; elsewhere it is rare
    pub(super) fn receive(
        &mut self,
        slot: u32,
        from: BalancerId,
        target: u32,
        calendar: &mut Calendar<Event>,
    ) {
        if self.requests[slot].session != NOBODY && !self.takes_handshake(slot, target) {
            self.turned_away(slot, Ending::Shed, calendar);
            return;
        }
        let instance = &self.instances[target];
        if instance.server.inside >= instance.most_inside && self.crowded(slot, target, calendar) {
            return;
        }
        if !matches!(self.instances[target].server.front, Front::Single) {
            return self.connect(slot, from, target, calendar);
        }
        self.send_to(0, slot, target, calendar);
    }

    /// The accept queue of an instance is full.
    pub(super) fn refuse(&mut self, slot: u32, target: u32, calendar: &mut Calendar<Event>) {
        let request = self.requests[slot];
        let counts = !self.is_check(&request);
        self.fleets[self.instances[target].group.index()].refused += u64::from(counts);
        self.tell_ending(&request, target, Ending::QueueFull);
        self.turned_away(slot, Ending::QueueFull, calendar);
    }

    /// A request is inside an instance from now on.
    #[inline]
    pub(super) fn enter(&mut self, slot: u32, target: u32, calendar: &mut Calendar<Event>) {
        let instance = self.instances.at_work(target);
        let variant = instance.variant;
        instance.server.inside += 1;
        self.fleets[instance.group.index()].inside.add(calendar.now(), 1.0);
        self.outstanding[target as usize] += 1;
        self.loaded(target);
        let request = &mut self.requests[slot];
        (request.instance, request.variant) = (target, variant);
        if self.requests[slot].session != NOBODY {
            self.handshake_enters(slot, target);
        }
    }

    /// A new request takes a slot of a process, or waits for one.
    #[inline]
    pub(super) fn join_process(&mut self, slot: u32, process: u16, calendar: &mut Calendar<Event>) {
        let program = program_of(&self.variants, &self.requests[slot]);
        let request = &mut self.requests[slot];
        request.process = process;
        let counts = !self.plan.is_check(request.endpoint);
        let instance = self.instances.at_work(request.instance);
        let process = &mut instance.server.processes[usize::from(process)];
        process.served += u64::from(counts);
        if process.idle_slot() {
            request.thread = process.take_slot(instance.numbered);
            request.fresh = false;
            let waited = calendar.now().since(request.sent);
            if waited.is_zero() {
                self.measure.started_at_once(request.endpoint);
            } else {
                if waited > self.programs[program].queue_time {
                    return self.shed_late(slot, calendar);
                }
                self.measure.started_late(request.endpoint, waited);
            }
            self.proceed(slot, true, calendar);
        } else {
            // A message waits in its connection, which was accepted long ago.
            process.queued_new += u32::from(request.session != MESSAGE);
            process.queue.push_back(slot);
        }
    }

    /// Hands free slots to the requests that wait for them.
    #[inline]
    pub(super) fn settle(&mut self, calendar: &mut Calendar<Event>) {
        loop {
            while let Some((instance, process)) = self.dirty.pop() {
                self.fill_slots(instance, process, calendar);
            }
            if self.jobs.is_none() || !self.settle_jobs(calendar) {
                return;
            }
        }
    }

    fn fill_slots(&mut self, target: u32, number: u16, calendar: &mut Calendar<Event>) {
        loop {
            let instance = self.instances.at_work(target);
            let Some(process) = instance.server.processes.get_mut(usize::from(number)) else {
                return self.leave_engines(calendar); // its number is that of an engine
            };
            if process.busy >= process.slots {
                return;
            }
            let queue = &mut process.queue;
            let Some(slot) = (if process.newest_first { queue.pop_back() } else { queue.pop_front() }) else {
                return self.idle(target, number, calendar);
            };
            let request = &mut self.requests[slot];
            request.thread = process.take_slot(instance.numbered);
            let new = request.step == 0 && request.stage == Stage::Steps;
            let late = new
                && calendar.now().since(request.sent)
                    > self.programs[program_of(&self.variants, request)].queue_time;
            if late {
                process.queued_new -= u32::from(std::mem::replace(&mut request.fresh, false));
                self.shed_late(slot, calendar);
                continue;
            }
            if request.fresh {
                request.fresh = false;
                process.queued_new -= u32::from(request.session != MESSAGE);
                self.measure.started_late(request.endpoint, calendar.now().since(request.sent));
            }
            if request.stage == Stage::Handover {
                self.take_over(slot, calendar);
            } else {
                self.proceed(slot, true, calendar);
            }
        }
    }

    /// Takes a request as far as it goes without time passing. `holding` says whether it has a slot.
    #[inline]
    pub(super) fn proceed(&mut self, slot: u32, holding: bool, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let key = request.key();
        let program = &self.programs[program_of(&self.variants, request)];
        match program.steps.get(usize::from(request.step)) {
            Some(Op::Cpu { demand, draws, overhead }) => {
                let mut demand = demand.span(&mut draws.at(key)) + *overhead;
                if program.work_differs {
                    demand = self.slowed(slot, demand, calendar);
                }
                self.compute(slot, demand, calendar);
            }
            Some(Op::Pool { demand, draws }) => {
                let mut demand = demand.span(&mut draws.at(key));
                if program.slow {
                    demand = self.slower(slot, demand);
                }
                self.beside_the_loop(slot, demand, holding, calendar);
            }
            Some(Op::Wait { time, draws }) => {
                let time = time.span(&mut draws.at(key));
                if program.waits_differ {
                    self.wait_differently(slot, time, calendar);
                } else {
                    calendar.after(time, Event::WaitOver(self.requests.reference(slot)));
                }
                self.yield_loop(slot, holding);
            }
            Some(&Op::WaitFixed(lane, time)) => {
                if program.waits_differ {
                    self.wait_differently(slot, time, calendar);
                } else {
                    calendar.after_fixed(lane, Event::WaitOver(self.requests.reference(slot)));
                }
                self.yield_loop(slot, holding);
            }
            Some(&Op::Call { to, endpoint }) => {
                self.yield_loop(slot, holding);
                self.call(slot, to, endpoint, calendar);
            }
            Some(Op::Fails { share, draws }) => {
                // Each try of a job may fail by itself.
                let key = if request.parent == Ref::JOB { key ^ u64::from(request.hedge) << 48 } else { key };
                let fails = unit(&mut draws.at(key)) < *share;
                if fails {
                    let group = self.instances[request.instance].group;
                    self.fleets[group.index()].errors += 1;
                }
                self.leave(slot, holding, if fails { Ending::Error } else { Ending::Completed }, calendar);
            }
            Some(Op::Gpu { demand, draws }) => {
                let demand = demand.span(&mut draws.at(key));
                self.yield_loop(slot, holding);
                self.gpu(slot, demand, calendar);
            }
            Some(Op::Generate { .. }) => self.generate(slot, holding, calendar),
            Some(Op::Enqueue { .. }) => self.enqueue(slot, holding, calendar),
            Some(&Op::AwaitJob(most)) => {
                if self.holds_back(slot, most, calendar) {
                    self.yield_loop(slot, holding);
                } else {
                    self.requests[slot].step += 1;
                    self.proceed(slot, holding, calendar);
                }
            }
            None => self.leave(slot, holding, Ending::Completed, calendar),
        }
    }

    /// What a CPU step takes on a server that is cold or slow, or whose collector is due, or that greets a new connection.
    fn slowed(&mut self, slot: u32, demand: Span, calendar: &mut Calendar<Event>) -> Span {
        let demand = self.left_of_step(slot, demand, calendar.now());
        let request = &self.requests[slot];
        let program = &self.programs[program_of(&self.variants, request)];
        let instance = self.instances.at_work(request.instance);
        let server = &mut instance.server;
        let mut demand = demand;
        if let Some(slower) = program.cold.as_ref().and_then(|cold| cold.slower(server.seen)) {
            demand = demand.mul_f64(slower);
        }
        if request.step > 0 {
            return self.slower(slot, demand);
        }
        server.seen = server.seen.saturating_add(1);
        if request.greets
            && let Some(wire) = &self.sources[request.source.index()].wire
        {
            demand += wire.handshake;
        }
        let process = &mut server.processes[usize::from(request.process)];
        if let Some((collector, pauses)) = &program.collector {
            process.uncollected += 1;
            if process.uncollected >= collector.every {
                process.uncollected = 0;
                let pause = collector.pause.span(&mut pauses.at(request.key()));
                if process.slots == 1 || process.lock.is_some() {
                    demand += pause; // all of the process waits for the one thread that computes
                } else if let Some(next) = instance.machine.stop(calendar.now(), pause) {
                    calendar.set_at(instance.timer, next, Event::Cpu(request.instance));
                }
            }
        }
        self.slower(slot, demand)
    }

    /// A CPU step begins on the thread that the request holds; with an interpreter lock, once it has that.
    #[inline]
    pub(super) fn compute(&mut self, slot: u32, demand: Span, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let process = &self.instances[request.instance].server.processes[usize::from(request.process)];
        if process.lock.is_some() {
            self.lock(slot, demand, calendar);
        } else {
            self.burst(slot, request.thread, demand, calendar);
        }
    }

    /// CPU time for a request.
    #[inline]
    pub(super) fn burst(&mut self, slot: u32, thread: u32, demand: Span, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let instance = self.instances.at_work(request.instance);
        let mut burst = Burst { weight: instance.weight, ..Burst::new(slot, demand) };
        if instance.numbered {
            // Threads of all processes have numbers of their own; the first is the primary's.
            let processes = instance.server.processes.len() as u32;
            burst.thread = thread * processes + u32::from(request.process) + 1;
            burst.process = request.process + FIRST_WORKER as u16;
            burst.pinned = instance.pinned.then_some(request.process);
        }
        if let Some(next) = instance.machine.start(calendar.now(), burst) {
            calendar.set_at(instance.timer, next, Event::Cpu(request.instance));
        }
    }

    /// An event loop that starts a wait turns to the next in its queue.
    #[inline]
    pub(super) fn yield_loop(&mut self, slot: u32, holding: bool) {
        let request = &self.requests[slot];
        let instance = self.instances.at_work(request.instance);
        let process = &mut instance.server.processes[usize::from(request.process)];
        if process.event_loop && holding {
            process.free_slot(request.thread, instance.numbered);
            if instance.server.wanted(request.process) {
                self.dirty.push((request.instance, request.process));
            }
        }
    }

    /// A request asks another service, and waits for the answer.
    fn call(&mut self, slot: u32, to: BalancerId, endpoint: EndpointId, calendar: &mut Calendar<Event>) {
        let parent = self.requests[slot];
        // Keyed by the caller and its step, so that the callee's draws are the same under every policy.
        let number = parent.key().wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(parent.step));
        let child = Request {
            born: parent.born,
            parent: self.requests.reference(slot),
            ..Request::new(parent.source, endpoint, number, calendar.now())
        };
        let child = self.requests.insert(child);
        self.await_answer(to, child, calendar);
        if !self.ways.is_empty() {
            return self.call_over(child, to, calendar);
        }
        self.dispatch(child.slot, to, calendar);
    }

    /// A machine has to be looked at: CPU time for a request is over, or a slice is, or a quota ran out.
    #[inline]
    pub(super) fn cpu(&mut self, instance: u32, calendar: &mut Calendar<Event>) {
        let server = self.instances.at_work(instance);
        let Progress { finished, next } = server.machine.progress(calendar.now());
        if let Some(next) = next {
            calendar.set_at(server.timer, next, Event::Cpu(instance));
        }
        let Some(slot) = finished else { return };
        let request = &mut self.requests[slot];
        match request.stage {
            Stage::Steps => {
                request.step += 1;
                self.proceed(slot, true, calendar);
            }
            Stage::Connecting | Stage::Held | Stage::Generating => {}
            Stage::Locked => self.turn_over(slot, calendar),
            Stage::Pool => self.pool_done(slot, calendar),
            Stage::Accepting => self.accepted(slot, calendar),
            Stage::Handover => self.taken_over(slot),
            Stage::Shedding | Stage::SheddingLate => self.shed_done(slot, calendar),
        }
    }

    /// A wait step is done.
    #[inline]
    pub(super) fn wait_over(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        if let Some(slot) = self.requests.live(reference) {
            self.resume(slot, calendar);
        }
    }

    /// Goes on after a wait or a call. An event loop has to be free for the next CPU step.
    #[inline]
    pub(super) fn resume(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &mut self.requests[slot];
        request.step += 1;
        let next = self.programs[program_of(&self.variants, request)].steps.get(usize::from(request.step));
        let instance = self.instances.at_work(request.instance);
        let process = &mut instance.server.processes[usize::from(request.process)];
        if process.event_loop && matches!(next, Some(Op::Cpu { .. })) {
            if process.idle_slot() {
                request.thread = process.take_slot(instance.numbered);
                self.proceed(slot, true, calendar);
            } else {
                process.queue.push_back(slot);
            }
        } else {
            let holding = !process.event_loop;
            self.proceed(slot, holding, calendar);
        }
    }
}
