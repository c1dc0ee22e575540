//! What balancers are told: of clients before a run, of requests in progress and response times in it.

use sim_core::{Calendar, Seed, Span, Time};
use smallvec::SmallVec;

use super::System;
use super::deadlines::Deadlines;
use super::ending::Ending;
use super::guard::Verdict;
use super::request::{NOWHERE, Request, Sender, Stage};
use crate::balancer::{Member, Rotation};
use crate::event::{Event, Ref};
use crate::plan::{Algorithm, Balancer, BalancerId, Plan, StickyBy, Traffic};

/// Empty rotations. Clients matter to the balancer that their requests reach first.
pub(super) fn rotations(plan: &Plan, seed: Seed) -> Vec<Rotation> {
    let zones = plan.zones().len();
    let of = |(id, balancer): (u16, &Balancer)| {
        let by_address = balancer.stickiness.is_some_and(|stickiness| stickiness.by == StickyBy::SourceIp);
        let own = |traffic: &Traffic| {
            let clients = traffic.clients.filter(|_| traffic.to == BalancerId(id)).unwrap_or(0);
            if by_address { clients.div_ceil(traffic.clients_per_address.max(1)) } else { clients }
        };
        Rotation::new(balancer, zones, &plan.traffic.iter().map(own).collect::<Vec<u32>>(), seed)
    };
    (0..).zip(&plan.balancers).map(of).collect()
}

/// Until when balancers wait for answers.
pub(super) fn unanswered(plan: &Plan, calendar: &mut Calendar<Event>) -> Vec<Option<Deadlines>> {
    let of = |(id, balancer): (u16, &Balancer)| {
        let ahead = balancer.idle_timeout?;
        Some(Deadlines::new(ahead, Event::Idle(BalancerId(id)), calendar))
    };
    (0..).zip(&plan.balancers).map(of).collect()
}

/// The balancers of each group that pick by requests in progress, and so are told of them.
pub(super) fn least(plan: &Plan) -> Vec<SmallVec<[BalancerId; 1]>> {
    let mut least = vec![SmallVec::new(); plan.groups.len()];
    for (balancer, id) in plan.balancers.iter().zip(0..) {
        if balancer.algorithm == Algorithm::LeastOutstandingRequests {
            for target in &balancer.targets {
                least[target.group.index()].push(BalancerId(id));
            }
        }
    }
    if least.iter().all(SmallVec::is_empty) { Vec::new() } else { least }
}

/// How fast answers of each group are forgotten by a balancer that goes by them.
pub(super) fn decays(plan: &Plan) -> Vec<Option<Span>> {
    let mut decays = vec![None; plan.groups.len()];
    for balancer in &plan.balancers {
        if let Algorithm::PeakEwma { decay } = balancer.algorithm {
            for target in &balancer.targets {
                decays[target.group.index()].get_or_insert(decay);
            }
        }
    }
    if decays.iter().all(Option::is_none) { Vec::new() } else { decays }
}

/// Whether a balancer is told of answers: to go by their times, or before a client sticks to its target.
pub(super) fn hears_answers(plan: &Plan) -> bool {
    let sets_cookies = |balancer: &Balancer| {
        balancer.stickiness.is_some_and(|stickiness| stickiness.by == StickyBy::AppCookie)
    };
    let goes_by_times = |balancer: &Balancer| matches!(balancer.algorithm, Algorithm::PeakEwma { .. });
    plan.balancers.iter().any(|balancer| sets_cookies(balancer) || goes_by_times(balancer))
}

impl System {
    /// An instance as a balancer registers it.
    pub(super) fn member(&self, balancer: BalancerId, slot: u32) -> Member {
        let instance = &self.instances[slot];
        let zone = &self.plan.groups[instance.group.index()].zones[usize::from(instance.zone)];
        let zone = self.plan.zones().binary_search(&zone.as_str()).unwrap_or(0) as u16;
        let weight = self.weight_now(balancer, instance.group);
        Member { instance: slot, weight, zone }
    }

    /// How a request ended, for balancers that go by it.
    #[inline(always)]
    pub(super) fn tell_ending(&mut self, request: &Request, target: u32, ending: Ending) {
        if self.asks_how_it_ends {
            self.tell_how_it_ended(request, target, ending);
        }
    }

    #[inline(never)]
    fn tell_how_it_ended(&mut self, request: &Request, target: u32, ending: Ending) {
        let error = !matches!(ending, Ending::Completed | Ending::TimedOut | Ending::RateLimited);
        if target == NOWHERE || self.is_check(request) {
            return;
        }
        for rotation in self.rotations.iter_mut().filter(|rotation| rotation.asks_how_it_ends()) {
            rotation.ended(target, error);
        }
    }

    /// A balancer begins to wait for an answer.
    pub(super) fn await_answer(
        &mut self,
        balancer: BalancerId,
        request: Ref,
        calendar: &mut Calendar<Event>,
    ) {
        if let Some(deadlines) = &mut self.unanswered[balancer.index()] {
            deadlines.add(request, &self.requests, calendar);
        }
    }

    /// The idle timeout is over for the first attempt that is still unanswered.
    pub(super) fn idle_timeout(&mut self, balancer: BalancerId, calendar: &mut Calendar<Event>) {
        while let Some(slot) = self.unanswered[balancer.index()]
            .as_mut()
            .and_then(|deadlines| deadlines.due(&self.requests, calendar))
        {
            // Tokens that come keep a connection from being idle.
            let request = &self.requests[slot];
            if request.instance != NOWHERE && request.sender != Sender::Reads {
                self.answer_instead(slot, Ending::NoAnswer, calendar);
            }
        }
    }

    /// Whoever sent an attempt sees how it ends; its server does not learn of that, and goes on.
    pub(super) fn answer_instead(&mut self, slot: u32, ending: Ending, calendar: &mut Calendar<Event>) {
        let attempt = self.requests[slot];
        self.abandon(slot);
        self.guard_sees(&attempt, Verdict::Failed, calendar.now());
        self.tell(slot, &attempt, ending, calendar);
    }

    /// Nobody waits for an attempt any more, whose server goes on.
    pub(super) fn abandon(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        request.sender = Sender::Gone;
        let (target, generating) = (request.instance, request.stage == Stage::Generating);
        if generating {
            self.generates_in_vain(slot);
        }
        if target != NOWHERE {
            self.outstanding[target as usize] -= 1;
            self.loaded(target);
        }
    }

    /// An attempt was answered, which balancers may be told.
    #[inline(always)]
    pub(super) fn answered(&mut self, attempt: &Request, now: Time) {
        if self.hears_answers {
            self.tell_answer(attempt, now);
        }
    }

    #[inline(never)]
    fn tell_answer(&mut self, attempt: &Request, now: Time) {
        self.took(attempt, now);
        if attempt.parent == Ref::NONE {
            let to = self.plan.traffic[attempt.source.index()].to;
            let client = self.who_sends(attempt, false);
            self.rotations[to.index()].answered(client, now, attempt.instance);
        }
    }

    /// Requests in progress at an instance have changed, which balancers may go by.
    #[inline(always)]
    pub(super) fn loaded(&mut self, target: u32) {
        if !self.least.is_empty() {
            self.tell_load(target);
        }
    }

    // Not inlined: most systems have no such balancer, and this is on everybody's way.
    #[inline(never)]
    fn tell_load(&mut self, target: u32) {
        let group = self.instances[target].group;
        for balancer in &self.least[group.index()] {
            self.rotations[balancer.index()].loaded(target, self.outstanding[target as usize]);
        }
    }

    /// An attempt took until now, which a balancer may go by.
    pub(super) fn took(&mut self, attempt: &Request, now: Time) {
        if !self.decays.is_empty() {
            self.remember_latency(attempt, now);
        }
    }

    #[inline(never)]
    fn remember_latency(&mut self, attempt: &Request, now: Time) {
        let (target, took) = (attempt.instance, now.since(attempt.sent));
        if target == NOWHERE {
            return;
        }
        let decay = self.decays[self.instances[target].group.index()];
        // A health check says little about how long requests take.
        if let Some(decay) = decay.filter(|_| !self.is_check(attempt)) {
            self.latencies[target as usize].answered(now, took, decay);
        }
    }
}
