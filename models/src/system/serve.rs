//! The servers' side of a request: how an instance works through its steps.
//!
//! A process has *slots*: the threads of a pool, or the one thread of an event loop. A request that holds a
//! thread keeps it until the response, through waits and calls; an event loop gives up its thread at each wait
//! or call and takes it again, first come, first served, for the next CPU step. Whoever frees a slot marks the
//! instance as dirty, and [`System::settle`] hands free slots to those who wait before the event is over: no
//! function here calls itself through a queue.

use sim_core::dist::Dist;
use sim_core::{Calendar, FixedDelay, Keyed, Seed, Time};

use super::System;
use super::instance::Phase;
use super::request::{Ending, NOWHERE, Request};
use crate::event::{Event, Ref};
use crate::machine::{Burst, Progress};
use crate::plan::{BalancerId, Endpoint, EndpointId, Plan, Step};

/// An endpoint, ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    steps: Vec<Op>,
    /// Bytes of a request and its response.
    size: u64,
}

#[derive(Clone, Debug)]
enum Op {
    Cpu {
        demand: Dist,
        draws: Keyed,
    },
    Wait {
        time: Dist,
        draws: Keyed,
    },
    /// A wait that is always the same needs no heap.
    WaitFixed(FixedDelay),
    Call {
        to: BalancerId,
        endpoint: EndpointId,
    },
}

impl Program {
    /// The program of `endpoint`. Its draws are named after the service, the endpoint and the step.
    pub fn new(plan: &Plan, endpoint: &Endpoint, seed: Seed, calendar: &mut Calendar<Event>) -> Self {
        let service = &plan.services[endpoint.service.index()].name;
        let op = |(index, step): (usize, &Step)| {
            let draws = seed.keyed(&format!("service/{service}/{}/{index}", endpoint.name));
            match step {
                Step::Cpu(demand) => Op::Cpu { demand: demand.clone(), draws },
                Step::Wait(time) => match time.constant_span() {
                    Some(delay) => Op::WaitFixed(calendar.fixed_delay(delay)),
                    None => Op::Wait { time: time.clone(), draws },
                },
                &Step::Call { to, endpoint } => Op::Call { to, endpoint },
            }
        };
        Program { steps: endpoint.steps.iter().enumerate().map(op).collect(), size: endpoint.size }
    }
}

impl System {
    /// A balancer picks the target of a request that was just sent.
    #[inline]
    pub(super) fn dispatch(&mut self, slot: u32, to: BalancerId, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let size = self.programs[request.endpoint.index()].size;
        self.measure.balanced(to, request.endpoint, size);
        let Some(target) = self.rotations[to.index()].pick(request.key(), &self.outstanding) else {
            self.turned_away(slot, Ending::Refused, calendar);
            return;
        };
        self.arrive(slot, target, calendar);
    }

    /// A request reaches an instance.
    #[inline]
    fn arrive(&mut self, slot: u32, target: u32, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[target];
        // A target that does not listen: it crashed, or the balancer fails open and the app is not up.
        if instance.phase != Phase::Up {
            self.turned_away(slot, Ending::Failed, calendar);
            return;
        }
        let fleet = &mut self.fleets[instance.group.index()];
        let process = &mut instance.process;
        let at_once = process.idle_slot();
        if !at_once && process.queued_new >= process.accept_queue {
            fleet.refused += 1;
            self.turned_away(slot, Ending::Refused, calendar);
            return;
        }
        process.inside += 1;
        fleet.inside.add(calendar.now(), 1.0);
        self.outstanding[target as usize] += 1;
        let request = &mut self.requests[slot];
        request.instance = target;
        if at_once {
            process.busy += 1;
            request.fresh = false;
            self.measure.started_at_once(request.endpoint);
            self.proceed(slot, true, calendar);
        } else {
            process.queued_new += 1;
            process.queue.push_back(slot);
        }
    }

    /// Hands free slots to the requests that wait for them.
    #[inline]
    pub(super) fn settle(&mut self, calendar: &mut Calendar<Event>) {
        while let Some(instance) = self.dirty.pop() {
            self.fill_slots(instance, calendar);
        }
    }

    fn fill_slots(&mut self, instance: u32, calendar: &mut Calendar<Event>) {
        loop {
            let process = &mut self.instances[instance].process;
            if process.busy >= process.slots {
                return;
            }
            let Some(slot) = process.queue.pop_front() else { return };
            process.busy += 1;
            let request = &mut self.requests[slot];
            if request.fresh {
                request.fresh = false;
                process.queued_new -= 1;
                self.measure.started_late(request.endpoint, calendar.now().since(request.sent));
            }
            self.proceed(slot, true, calendar);
        }
    }

    /// Takes a request as far as it goes without time passing. `holding` says whether it has a slot.
    #[inline]
    fn proceed(&mut self, slot: u32, holding: bool, calendar: &mut Calendar<Event>) {
        let request = self.requests[slot];
        match self.programs[request.endpoint.index()].steps.get(usize::from(request.step)) {
            Some(Op::Cpu { demand, draws }) => {
                let demand = demand.span(&mut draws.at(request.key()));
                let instance = &mut self.instances[request.instance];
                if let Some(next) = instance.machine.start(calendar.now(), Burst::new(slot, demand)) {
                    calendar.set_at(instance.timer, next, Event::Cpu(request.instance));
                }
            }
            Some(Op::Wait { time, draws }) => {
                let time = time.span(&mut draws.at(request.key()));
                calendar.after(time, Event::WaitOver(self.requests.reference(slot)));
                self.yield_loop(request.instance, holding);
            }
            Some(&Op::WaitFixed(lane)) => {
                calendar.after_fixed(lane, Event::WaitOver(self.requests.reference(slot)));
                self.yield_loop(request.instance, holding);
            }
            Some(&Op::Call { to, endpoint }) => {
                self.yield_loop(request.instance, holding);
                self.call(slot, to, endpoint, calendar);
            }
            None => self.leave(slot, holding, Ending::Completed, calendar),
        }
    }

    /// An event loop that starts a wait turns to the next in its queue.
    #[inline]
    fn yield_loop(&mut self, instance: u32, holding: bool) {
        let process = &mut self.instances[instance].process;
        if process.event_loop && holding {
            process.busy -= 1;
            if !process.queue.is_empty() {
                self.dirty.push(instance);
            }
        }
    }

    /// A request asks another service, and waits for the answer.
    fn call(&mut self, slot: u32, to: BalancerId, endpoint: EndpointId, calendar: &mut Calendar<Event>) {
        let parent = self.requests[slot];
        let child = Request {
            // Keyed by the caller and its step, so that the callee's draws are the same under every policy.
            number: parent.key().wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(parent.step)),
            sent: calendar.now(),
            parent: self.requests.reference(slot),
            instance: NOWHERE,
            endpoint,
            step: 0,
            attempt: 0,
            fresh: true,
            abandoned: false,
            ..parent
        };
        let child = self.requests.insert(child);
        self.dispatch(child.slot, to, calendar);
    }

    /// A machine has to be looked at: a CPU step is done, or a slice is over, or a quota ran out.
    #[inline]
    pub(super) fn cpu(&mut self, instance: u32, calendar: &mut Calendar<Event>) {
        let server = &mut self.instances[instance];
        let Progress { finished, next } = server.machine.progress(calendar.now());
        if let Some(next) = next {
            calendar.set_at(server.timer, next, Event::Cpu(instance));
        }
        if let Some(slot) = finished {
            self.requests[slot].step += 1;
            self.proceed(slot, true, calendar);
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
    fn resume(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &mut self.requests[slot];
        request.step += 1;
        let request = *request;
        let process = &mut self.instances[request.instance].process;
        let next = self.programs[request.endpoint.index()].steps.get(usize::from(request.step));
        if process.event_loop && matches!(next, Some(Op::Cpu { .. })) {
            if process.idle_slot() {
                process.busy += 1;
                self.proceed(slot, true, calendar);
            } else {
                process.queue.push_back(slot);
            }
        } else {
            let holding = !process.event_loop;
            self.proceed(slot, holding, calendar);
        }
    }

    /// A request leaves its instance, answered or not.
    #[inline]
    fn leave(&mut self, slot: u32, holding: bool, ending: Ending, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let request = self.requests[slot];
        let target = request.instance;
        let instance = &mut self.instances[target];
        let process = &mut instance.process;
        process.inside -= 1;
        if holding {
            process.busy -= 1;
            if !process.queue.is_empty() {
                self.dirty.push(target);
            }
        }
        let last_of_draining = process.inside == 0 && instance.phase == Phase::Draining;
        self.fleets[instance.group.index()].inside.add(now, -1.0);
        self.measure.served(request.endpoint, ending, now.since(request.sent));
        self.attempt_ends(slot, ending, calendar);
        if last_of_draining {
            self.gone(target, calendar);
        }
    }

    /// An attempt that no instance took.
    fn turned_away(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        self.measure.served(request.endpoint, ending, calendar.now().since(request.sent));
        self.attempt_ends(slot, ending, calendar);
    }

    /// The server, or the balancer, is done with an attempt: whoever waits for it learns so.
    #[inline]
    fn attempt_ends(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let request = self.requests[slot];
        self.requests.free(slot);
        if request.abandoned {
            return;
        }
        if request.instance != NOWHERE {
            self.outstanding[request.instance as usize] -= 1;
        }
        if request.parent == Ref::NONE {
            self.client_sees(request, ending, calendar);
        } else if let Some(parent) = self.requests.live(request.parent) {
            if ending == Ending::Completed {
                self.resume(parent, calendar);
            } else {
                let target = self.requests[parent].instance;
                let holding = !self.instances[target].process.event_loop;
                self.leave(parent, holding, Ending::Failed, calendar);
            }
        }
    }

    /// Everything inside an instance is lost at once.
    pub(super) fn lose_requests(&mut self, target: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let inside: Vec<Ref> = self
            .requests
            .iter()
            .filter(|(_, request)| request.instance == target)
            .map(|(slot, _)| self.requests.reference(slot))
            .collect();
        self.empty_instance(target, now);
        for reference in inside {
            let Some(slot) = self.requests.live(reference) else { continue };
            let request = self.requests[slot];
            self.measure.served(request.endpoint, Ending::Failed, now.since(request.sent));
            self.attempt_ends(slot, Ending::Failed, calendar);
        }
        self.outstanding[target as usize] = 0;
        calendar.clear(self.instances[target].timer);
    }

    fn empty_instance(&mut self, target: u32, now: Time) {
        let instance = &mut self.instances[target];
        let lost = f64::from(instance.process.inside);
        self.fleets[instance.group.index()].inside.add(now, -lost);
        instance.process.clear();
        instance.machine.clear(now);
    }
}
