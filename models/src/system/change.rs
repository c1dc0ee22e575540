//! Another plan in mid-run: what a counterfactual changes takes effect from here on, and nothing else does.
//!
//! Most of a plan is read where it is needed, and is new at once: start-up, warm-ups, cooldowns, alarms, limits of nodes, health
//! checks, when incidents come. What the world has copied from its plan is brought up to date here. What is under way stays as
//! it began: an instance that boots, a retry that waits, a cooldown that runs.

use std::sync::Arc;

use sim_core::Calendar;

use super::{System, balancing};
use crate::balancer::Rotation;
use crate::event::Event;
use crate::plan::{Algorithm, GroupId, Plan, ProcessKind, Runtime};
use crate::results::ActivityKind;

impl System {
    /// Plays `plan` from now on, which is the plan until now but for the values of
    ///
    /// * its groups' limits, start-up, warm-ups and cooldowns, and the numbers of their policies (not which they have, nor what
    ///   metrics these ask for), and the same of pools of nodes;
    /// * algorithms of balancers, where the new one is least outstanding requests, and their health checks;
    /// * retries of sources;
    /// * threads of runtimes;
    /// * when incidents come, unless they are the network's.
    ///
    /// With the plan as it was nothing changes, to the byte. Of a group whose limits change, one that a scheduled action has set
    /// meanwhile changes in proportion; a minimum above the desired capacity lifts that, as it does when somebody sets it.
    pub(crate) fn change(&mut self, plan: Arc<Plan>, calendar: &mut Calendar<Event>) {
        let before = std::mem::replace(&mut self.plan, plan.clone());
        for (source, traffic) in self.sources.iter_mut().zip(&plan.traffic) {
            source.set_retry(traffic.retry);
        }
        self.change_algorithms(&before);
        self.change_runtimes(&before);
        for group in (0..plan.groups.len()).map(|index| GroupId(index as u16)) {
            self.change_limits(group, &before, calendar);
        }
        self.settle(calendar);
    }

    fn change_algorithms(&mut self, before: &Plan) {
        let plan = self.plan.clone();
        for ((rotation, old), new) in self.rotations.iter_mut().zip(&before.balancers).zip(&plan.balancers) {
            if old.algorithm != new.algorithm && new.algorithm == Algorithm::LeastOutstandingRequests {
                rotation.goes_by_outstanding();
            }
        }
        self.least = balancing::least(&plan);
        self.decays = balancing::decays(&plan);
        self.hears_answers = balancing::hears_answers(&plan);
        self.asks_how_it_ends = self.rotations.iter().any(Rotation::asks_how_it_ends);
    }

    /// Processes of instances that are up get as many threads as their runtime has now. Whoever waits for one is let in before
    /// the event ends.
    fn change_runtimes(&mut self, before: &Plan) {
        let plan = self.plan.clone();
        let slots: Vec<u32> = self.instances.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let service = self.instances[slot].service.index();
            let (old, new) = (before.services[service].runtime, plan.services[service].runtime);
            let Some(threads) = threads(&new).filter(|_| old != new) else { continue };
            let processes = &mut self.instances[slot].server.processes;
            let living = processes.iter_mut().zip(0u16..).filter(|(process, _)| process.lives());
            for (process, number) in living {
                process.slots = threads;
                self.dirty.push((slot, number));
            }
        }
        for (index, group) in plan.groups.iter().enumerate() {
            let service = group.service.index();
            if before.services[service].runtime != plan.services[service].runtime {
                self.capacity_per_instance[index] = plan.capacity_per_instance(GroupId(index as u16));
            }
        }
    }

    fn change_limits(&mut self, group: GroupId, before: &Plan, calendar: &mut Calendar<Event>) {
        let (old, new) = (&before.groups[group.index()], &self.plan.groups[group.index()]);
        let (old, new) = ((old.min, old.max), (new.min, new.max));
        if old == new {
            return;
        }
        let fleet = &mut self.fleets[group.index()];
        fleet.max = in_proportion(fleet.max, old.1, new.1);
        fleet.min = in_proportion(fleet.min, old.0, new.0).min(fleet.max);
        let (min, desired, now) = (fleet.min, fleet.desired, calendar.now());
        if min > desired && !self.held_at_zero(group) {
            self.resize(group, min, "a new minimum", now);
            let words =
                format!("The minimum is {min} from now on; desired capacity from {desired} to {min}.");
            self.log(group, ActivityKind::Manual, now, words);
        }
        self.reconcile(group, calendar);
    }
}

/// Requests that a process works on at once; `None` where that is no number of a scenario.
fn threads(runtime: &Runtime) -> Option<u32> {
    match runtime.process {
        ProcessKind::Threads { threads, .. } => threads,
        ProcessKind::Gil { threads, .. } => Some(threads),
        ProcessKind::Async { workers, .. } => workers,
        ProcessKind::EventLoop { .. } => None,
    }
}

/// What a limit that stands at `now` comes to, where the plan's goes from `old` to `new`.
fn in_proportion(now: u32, old: u32, new: u32) -> u32 {
    match (old == new, old) {
        (true, _) => now,
        (false, 0) => now.max(new),
        (false, old) => u32::try_from(u64::from(now) * u64::from(new) / u64::from(old)).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::in_proportion;

    #[test]
    fn a_limit_that_was_set_meanwhile_changes_in_proportion() {
        assert_eq!(in_proportion(4, 2, 4), 8);
        assert_eq!(in_proportion(7, 3, 3), 7);
        assert_eq!(in_proportion(0, 0, 2), 2);
        assert_eq!(in_proportion(5, 0, 2), 5);
        assert_eq!(in_proportion(u32::MAX, 1, 2), u32::MAX);
    }
}
