//! What balancers are told: of clients before a run, of requests in progress and response times in it.

use sim_core::{Seed, Span, Time};
use smallvec::SmallVec;

use super::System;
use super::request::Request;
use crate::balancer::Rotation;
use crate::event::Ref;
use crate::plan::{Algorithm, Balancer, BalancerId, Plan, StickyBy, Traffic};

/// Empty rotations. Clients matter to the balancer that their requests reach first.
pub(super) fn rotations(plan: &Plan, seed: Seed) -> Vec<Rotation> {
    let of = |(id, balancer): (u16, &Balancer)| {
        let by_address = balancer.stickiness.is_some_and(|stickiness| stickiness.by == StickyBy::SourceIp);
        let own = |traffic: &Traffic| {
            let clients = traffic.clients.filter(|_| traffic.to == BalancerId(id)).unwrap_or(0);
            if by_address { clients.div_ceil(traffic.clients_per_address.max(1)) } else { clients }
        };
        Rotation::new(balancer, &plan.traffic.iter().map(own).collect::<Vec<u32>>(), seed)
    };
    (0..).zip(&plan.balancers).map(of).collect()
}

/// The balancers of each group that pick by requests in progress, and so are told of them.
pub(super) fn least(plan: &Plan) -> Vec<SmallVec<[BalancerId; 1]>> {
    let mut least = vec![SmallVec::new(); plan.groups.len()];
    for (balancer, id) in plan.balancers.iter().zip(0..) {
        if balancer.algorithm == Algorithm::LeastOutstandingRequests {
            least[balancer.targets.index()].push(BalancerId(id));
        }
    }
    if least.iter().all(SmallVec::is_empty) { Vec::new() } else { least }
}

/// How fast answers of each group are forgotten by a balancer that goes by them.
pub(super) fn decays(plan: &Plan) -> Vec<Option<Span>> {
    let mut decays = vec![None; plan.groups.len()];
    for balancer in &plan.balancers {
        if let Algorithm::PeakEwma { decay } = balancer.algorithm {
            decays[balancer.targets.index()].get_or_insert(decay);
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
            let client = self.sources[attempt.source.index()].client(attempt, &self.requests, false);
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
            self.remember_latency(attempt.instance, now, now.since(attempt.sent));
        }
    }

    #[inline(never)]
    fn remember_latency(&mut self, target: u32, now: Time, took: Span) {
        if let Some(decay) = self.decays[self.instances[target].group.index()] {
            self.latencies[target as usize].answered(now, took, decay);
        }
    }
}
