//! Rate limiters and circuit breakers of balancers, and servers that shed load: who is turned away before anybody works on it.

use sim_core::{Calendar, Span, Time};

use super::System;
use super::accept::PRIMARY;
use super::ending::Ending;
use super::request::{Request, Stage, UNGUARDED};
use crate::event::Event;
use crate::machine::Burst;
use crate::overload::{Breaker, Call, Change, State, TokenBucket};
use crate::plan::{Balancer, BalancerId, Plan};
use crate::results::ActivityKind;

/// Threads that answer beside those of the service have numbers with this bit, which no vCPU remembers.
const ANSWERING: u32 = 1 << 31;

/// What stands in front of a balancer.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    limiter: Option<TokenBucket>,
    /// Requests that may be in progress through it.
    most: u32,
    in_progress: u32,
    breaker: Option<Breaker>,
    /// Since when its breaker has been open, while it is.
    open_since: Option<Time>,
}

/// What the guard of an attempt learns at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was answered.
    Answered,
    /// It was not, or with an error.
    Failed,
    /// Nobody waits for it any more, and that is not its fault.
    TakenBack,
}

/// The guards of a plan's balancers; empty where none has one.
pub(super) fn guards(plan: &Plan) -> Vec<Option<Box<Guard>>> {
    let guards: Vec<_> = plan.balancers.iter().map(Guard::of).collect();
    if guards.iter().all(Option::is_none) { Vec::new() } else { guards }
}

impl Guard {
    fn of(plan: &Balancer) -> Option<Box<Guard>> {
        let (limiter, breaker) = (plan.rate_limit, plan.circuit_breaker);
        (limiter.is_some() || breaker.is_some()).then(|| {
            Box::new(Guard {
                limiter: limiter.map(TokenBucket::new),
                most: breaker.and_then(|breaker| breaker.max_requests).unwrap_or(u32::MAX),
                in_progress: 0,
                breaker: breaker.and_then(|breaker| breaker.trip).map(Breaker::new),
                open_since: None,
            })
        })
    }
}

impl System {
    /// Asks what stands in front of a balancer; the ending of a request that it turns away. The limiter is asked first, as a
    /// filter of a proxy is before its cluster.
    // Not inlined: most balancers have no guard, and this is on everybody's way.
    #[inline(never)]
    pub(super) fn guarded(&mut self, slot: u32, to: BalancerId, now: Time) -> Option<Ending> {
        let guard = self.guards[to.index()].as_mut()?;
        let limits = &mut self.measure.limits[to.index()];
        let mut change = None;
        let ending = if guard.limiter.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            limits.rate_limited += 1;
            Some(Ending::RateLimited)
        } else if guard.in_progress >= guard.most {
            limits.overflowed += 1;
            Some(Ending::CircuitOpen)
        } else {
            let (admitted, changed) =
                guard.breaker.as_mut().map_or((true, None), |breaker| breaker.admit(now));
            change = changed;
            limits.circuit_open += u64::from(!admitted);
            (!admitted).then_some(Ending::CircuitOpen)
        };
        if ending.is_some() {
            self.measure.balancers[to.index()].turned_away += 1;
        } else if guard.breaker.is_some() || guard.most < u32::MAX {
            guard.in_progress += 1;
            self.requests[slot].guard = to.0;
        }
        if let Some(change) = change {
            self.breaker_changed(to, change, now);
        }
        ending
    }

    /// An attempt is over, as far as whoever sent it is concerned.
    #[inline(always)]
    pub(super) fn guard_sees(&mut self, attempt: &Request, verdict: Verdict, now: Time) {
        if attempt.guard != UNGUARDED {
            self.guard_learns(attempt, verdict, now);
        }
    }

    #[inline(never)]
    fn guard_learns(&mut self, attempt: &Request, verdict: Verdict, now: Time) {
        let balancer = BalancerId(attempt.guard);
        let Some(guard) = &mut self.guards[balancer.index()] else { return };
        guard.in_progress -= 1;
        let Some(breaker) = &mut guard.breaker else { return };
        if verdict == Verdict::TakenBack {
            return breaker.released();
        }
        let slow = now.since(attempt.sent) > breaker.slow_call();
        let call = Call { failed: verdict == Verdict::Failed, slow };
        if let Some(change) = breaker.ended(now, call) {
            self.breaker_changed(balancer, change, now);
        }
    }

    fn breaker_changed(&mut self, balancer: BalancerId, change: Change, now: Time) {
        self.close_guard(balancer, now);
        let plan = self.plan.clone();
        let plan = &plan.balancers[balancer.index()];
        let kind = match change.to {
            State::Open { .. } => {
                if let Some(guard) = &mut self.guards[balancer.index()] {
                    guard.open_since = Some(now);
                }
                self.measure.limits[balancer.index()].opened += 1;
                ActivityKind::CircuitOpened
            }
            State::HalfOpen { .. } => ActivityKind::CircuitHalfOpen,
            State::Closed => ActivityKind::CircuitClosed,
        };
        if let Some(trip) = plan.circuit_breaker.and_then(|breaker| breaker.trip) {
            self.log(plan.first_group(), kind, now, change.describe(&plan.name, &trip));
        }
    }

    /// Counts the time that a breaker has been open.
    fn close_guard(&mut self, balancer: BalancerId, now: Time) {
        let guard = self.guards[balancer.index()].as_mut();
        if let Some(since) = guard.and_then(|guard| guard.open_since.take()) {
            let measured = now.since(since.max(self.measure.since));
            self.measure.limits[balancer.index()].open_for += measured.as_secs_f64();
        }
    }

    /// Counts the time that breakers which are still open have been so.
    pub(super) fn close_guards(&mut self, now: Time) {
        for index in 0..self.guards.len() {
            self.close_guard(BalancerId(index as u16), now);
        }
    }

    /// An instance has as many requests inside as it sheds load above, or has memory for; true where one more is turned away.
    #[cold]
    pub(super) fn crowded(&mut self, slot: u32, target: u32, calendar: &mut Calendar<Event>) -> bool {
        let instance = &self.instances[target];
        let server = &instance.server;
        let shed = self.plan.services[instance.service.index()].shed;
        let working = server.inside - server.shedding;
        if let Some(shed) = shed.filter(|shed| shed.above.is_some_and(|above| working >= above)) {
            self.shed(slot, target, shed.cpu, calendar);
            return true;
        }
        let full = server.inside >= instance.fits;
        if full {
            self.out_of_memory(target, calendar);
            self.turned_away(slot, Ending::Lost, calendar);
        }
        full
    }

    /// An instance answers at once that it has too much to do. Where that takes CPU time, somebody in front of the service
    /// does it: a proxy, a thread that accepts.
    fn shed(&mut self, slot: u32, target: u32, cpu: Span, calendar: &mut Calendar<Event>) {
        let counts = !self.is_check(&self.requests[slot]);
        self.fleets[self.instances[target].group.index()].shed += u64::from(counts);
        if cpu.is_zero() {
            return self.turned_away(slot, Ending::Shed, calendar);
        }
        self.enter(slot, target, calendar);
        self.requests[slot].stage = Stage::Shedding;
        let instance = self.instances.at_work(target);
        instance.server.shedding += 1;
        let thread = ANSWERING | (slot & (ANSWERING / 2 - 1));
        let burst =
            Burst { thread, process: PRIMARY as u16, weight: instance.weight, ..Burst::new(slot, cpu) };
        if let Some(next) = instance.machine.start(calendar.now(), burst) {
            calendar.set_at(instance.timer, next, Event::Cpu(target));
        }
    }

    /// A request that has waited too long for its slot has it now, and is turned away.
    #[cold]
    pub(super) fn shed_late(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let counts = !self.is_check(&self.requests[slot]);
        let request = &mut self.requests[slot];
        let group = self.instances[request.instance].group;
        self.fleets[group.index()].shed += u64::from(counts);
        let service = self.instances[request.instance].service;
        match self.plan.services[service.index()].shed.map(|shed| shed.cpu).filter(|cpu| !cpu.is_zero()) {
            Some(cpu) => {
                request.stage = Stage::SheddingLate;
                let thread = request.thread;
                self.burst(slot, thread, cpu, calendar);
            }
            None => self.leave(slot, true, Ending::Shed, calendar),
        }
    }

    /// The answer to a request that is turned away has been computed.
    pub(super) fn shed_done(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let request = &self.requests[slot];
        let held_a_slot = request.stage == Stage::SheddingLate;
        if !held_a_slot {
            self.instances.at_work(request.instance).server.shedding -= 1;
        }
        self.leave(slot, held_a_slot, Ending::Shed, calendar);
    }
}
