//! An activator holds requests while a group has no pod that takes them. Without one they fail, as with a Service that has no
//! endpoints.

use sim_core::Calendar;

use super::super::System;
use crate::event::{Event, Ref};
use crate::plan::BalancerId;

impl System {
    /// How many requests a balancer's activators hold in all; `None` where it has none.
    fn holds(&self, balancer: BalancerId) -> Option<usize> {
        let targets = &self.plan.balancers[balancer.index()].targets;
        let most = targets.iter().filter_map(|target| self.pods_of(target.group)?.activator);
        most.max().map(|most| most as usize)
    }

    /// Holds a request that has no target. False where nobody does, or where there are too many.
    #[cold]
    pub(in crate::system) fn hold(&mut self, slot: u32, balancer: BalancerId) -> bool {
        let Some(most) = self.holds(balancer) else { return false };
        let request = self.requests.reference(slot);
        let requests = &self.requests;
        let Some(cluster) = &mut self.cluster else { return false };
        let held = &mut cluster.held[balancer.index()];
        if held.len() >= most {
            // Some of them may have been given up on.
            held.retain(|&request| requests.live(request).is_some());
        }
        let room = held.len() < most;
        if room {
            held.push_back(request);
        }
        room
    }

    /// Requests that a balancer holds and somebody still waits for.
    pub(super) fn waiting_at(&self, balancer: BalancerId) -> usize {
        let Some(cluster) = &self.cluster else { return 0 };
        cluster.held[balancer.index()]
            .iter()
            .filter(|&&request| self.requests.live(request).is_some())
            .count()
    }

    /// A target takes requests: those that waited for one go on, in the order they came.
    #[cold]
    pub(in crate::system) fn release_held(&mut self, balancer: BalancerId, calendar: &mut Calendar<Event>) {
        let Some(cluster) = &mut self.cluster else { return };
        let held: Vec<Ref> = cluster.held[balancer.index()].drain(..).collect();
        for request in held {
            let Some(slot) = self.requests.live(request) else { continue };
            match self.pick_target(slot, balancer, calendar.now()) {
                Some(target) => self.arrive(slot, balancer, target, calendar),
                None => self.cluster().held[balancer.index()].push_back(request),
            }
        }
    }
}
