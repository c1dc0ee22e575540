//! What the machines of a group did in a minute, instance by instance; and the same where they did nothing, which needs no look
//! at them.

use sim_core::{Span, Time};

use super::System;
use super::census::Census;
use super::fleet::Fleet;
use super::meters::{ByInstance, Told, memory_used};
use crate::machine::Supply;
use crate::plan::{GroupId, Metric};

/// Which mark of [`Instance::seen_core_nanos`](super::Instance::seen_core_nanos) a minute uses.
const MINUTE_MARK: usize = 0;

/// What the instances of a group did in a minute. Sums and extremes are over those that take requests.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Work {
    /// The samples of metrics that instances tell.
    pub told: ByInstance,
    /// CPU utilisation, 0 to 1 of each.
    pub used: f64,
    /// The same of what their threads could have used.
    pub bottlenecks: f64,
    /// The largest of these.
    pub hottest: f64,
    /// How full the fullest inference engine is, 0 to 1.
    pub fullest_engine: f64,
    /// The same of one worker, 0 to 1.
    pub busiest_worker: f64,
    /// Requests in accept queues as the minute ends.
    pub queued: u32,
    /// Instances without CPU credits as the minute ends.
    pub without_credits: u32,
}

impl Work {
    fn none(told: ByInstance) -> Work {
        Work {
            told,
            used: 0.0,
            bottlenecks: 0.0,
            hottest: 0.0,
            fullest_engine: 0.0,
            busiest_worker: 0.0,
            queued: 0,
            without_credits: 0,
        }
    }
}

impl Fleet {
    /// Whether one of its policies asks for one of these.
    fn asks_for(&self, metrics: &[Metric]) -> bool {
        self.metrics.iter().flatten().any(|(metric, _)| metrics.contains(metric))
    }
}

impl System {
    /// Looks at each instance of a group at the end of a minute.
    pub(super) fn work_of_minute(
        &mut self,
        group: GroupId,
        fails_open: bool,
        now: Time,
        length: Span,
    ) -> Work {
        let all = self.plan.clone();
        let plan = &all.groups[group.index()];
        let began = now - length;
        let nanos_had = length.as_nanos().max(1) as f64;
        let fleet = &self.fleets[group.index()];
        let asks_for_memory = fleet.asks_for(&[Metric::Memory]);
        let mut work = Work::none(ByInstance::new(fleet));
        for &slot in &fleet.members {
            let instance = self.instances.at_work(slot);
            instance.machine.settle(now);
            let total = instance.machine.core_nanos(now);
            let nanos = total - std::mem::replace(&mut instance.seen_core_nanos[MINUTE_MARK], total);
            let utilisation = nanos / (nanos_had * instance.vcpus);
            // A machine whose server is dead goes on, and its CPU idles.
            if instance.in_service() && !instance.impaired {
                let memory = all.services[instance.service.index()].memory.filter(|_| asks_for_memory);
                let sessions = self.sessions.as_ref().map_or(0, |sessions| sessions.at(slot));
                let told = Told {
                    cpu: 100.0 * utilisation,
                    memory: memory_used(memory, plan, instance, sessions),
                    bytes: self.meters.as_mut().map_or([0; 2], |meters| meters.take_bytes(slot)),
                };
                work.told.add(plan, &fleet.metrics, instance, began, told);
            }
            if instance.serving() || fails_open && instance.taken_out() {
                work.used += utilisation;
                let runtime = all.services[instance.service.index()].runtime;
                let vcpus = plan.machines[instance.machine_type()].processor.vcpus;
                let threads = f64::from(runtime.computing_threads(vcpus)).min(instance.vcpus);
                // Of what its threads could have used: one event loop is full when it has used one vCPU.
                // What has an engine is as full as that, where its vCPUs idle.
                let engine = instance.engine.as_ref().map_or(0.0, |engine| engine.fullness());
                work.fullest_engine = work.fullest_engine.max(engine);
                let bottleneck = (nanos / (nanos_had * threads)).min(1.0).max(engine);
                work.hottest = work.hottest.max(bottleneck);
                work.bottlenecks += bottleneck;
                let imbalance = instance.server.imbalance_of_minute().unwrap_or(1.0);
                work.busiest_worker = work.busiest_worker.max((bottleneck * imbalance).min(1.0));
                work.queued += instance.server.queued_new();
                work.without_credits += u32::from(instance.machine.supply().is_some_and(Supply::is_empty));
            }
        }
        work
    }

    /// The same without a look at them, where nobody can have done anything since the minute `began`; `None` where somebody can,
    /// or a policy asks for what only instances know.
    pub(super) fn idle_minute(
        &self,
        group: GroupId,
        census: &Census,
        began: Time,
        now: Time,
    ) -> Option<Work> {
        let fleet = &self.fleets[group.index()];
        let plan = &self.plan.groups[group.index()];
        let warm = |policy| census.all_tell_warm(plan.warm_up(policy), began);
        let asks = fleet.asks_for(&[Metric::Memory, Metric::NetworkIn, Metric::NetworkOut]);
        if asks || !self.idle_since(group, began) || !plan.scaling.iter().all(warm) {
            return None;
        }
        debug_assert!(self.has_idled(group, MINUTE_MARK, now), "no CPU time without a request inside");
        Some(Work::none(ByInstance::idle(fleet, census.telling)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sim_core::Seed;

    use super::*;
    use crate::scenario::Scenario;

    /// Requests until 150 s, and then none.
    const TEXT: &str = r#"
        [scenario]
        duration = "1h"
        [traffic.web]
        to = "front"
        profile = { points = { at = [["0s", "50/s"], ["150s", "50/s"], ["150s", "0/s"]] } }
        [service.api]
        runtime = "thread-per-request"
        [service.api.endpoint.x]
        steps = [{ cpu = "20ms" }]
        [machine.small]
        vcpus = 2
        [group.web]
        service = "api"
        machine = "small"
        min = 3
        scaling = [{ target_tracking = { metric = "cpu", target = 50 } }]
        [balancer.front]
        targets = "web"
        health_check = "none"
        "#;

    #[test]
    fn an_idle_minute_is_what_a_look_at_each_instance_finds() {
        let plan = Arc::new(Scenario::parse(TEXT).unwrap().plan().clone());
        let mut simulation = System::start(plan, Seed::new(1));
        let minute = Span::from_secs(60);
        for number in 1..=6 {
            let now = Time::ZERO + minute.mul_f64(f64::from(number));
            // Just before the minute's own look.
            simulation.run(now - Span::from_nanos(1), u64::MAX, &mut ());
            let mut system = simulation.model.clone();
            let census = system.census(GroupId(0));
            let idle = system.idle_minute(GroupId(0), &census, now - minute, now);
            let found = system.work_of_minute(GroupId(0), false, now, minute);
            assert_eq!(found.used > 0.0, number <= 3, "minute {number}");
            assert_eq!(idle.is_some(), number > 3, "minute {number}");
            if let Some(idle) = idle {
                assert_eq!(idle, found);
                assert!(idle.told.clone().of(0, 0).is_some_and(|samples| samples.count == 3.0));
            }
        }
    }
}
