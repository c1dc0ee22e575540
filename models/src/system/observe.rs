//! What the control plane measures: each minute's datapoints of a group's metrics, and the facts of that minute that
//! explain later what went wrong in it.

use sim_core::{Span, Time};

use super::meters::{ByInstance, Told, memory_used, shared};
use super::{MINUTE, System};
use crate::machine::{Supply, Tally};
use crate::measure::{MachineTotals, MinuteFacts};
use crate::plan::{GroupId, Metric};

/// Which mark of [`Instance::seen_core_nanos`](super::Instance::seen_core_nanos) a minute uses.
const MINUTE_MARK: usize = 0;

impl System {
    /// Closes the minute's metric periods and gathers its facts. The last minute of a run may have less than 60 s.
    pub(super) fn observe_minute(&mut self, group: GroupId, now: Time, length: Span) -> MinuteFacts {
        let all = self.plan.clone();
        let plan = &all.groups[group.index()];
        let trouble = self.trouble_of_minute(group, now);
        let throttled = self.machine_totals(group).throttled;
        let responses = self.response_times(group);
        let (sent, turned_away) = (self.sent(group), self.turned_away_so_far(group));
        let (mut used, mut had, mut hottest, mut queued) = (0.0, 0.0, 0.0f64, 0);
        let (mut bottlenecks, mut busiest_worker, mut fullest_engine) = (0.0, 0.0f64, 0.0f64);
        let (mut serving, mut unhealthy, mut starting, mut without_credits) = (0, 0, 0, 0);
        // Without a healthy target all get requests.
        let fails_open = self.balancers_of(group).iter().any(|id| self.rotations[id.index()].fails_open());
        let worths = &self.worth_of_machines[group.index()];
        let fleet = &mut self.fleets[group.index()];
        let mut oldest_start = now;
        let period_start = now - length;
        let nanos_had = length.as_nanos().max(1) as f64;
        let mut by_instance = ByInstance::new(fleet);
        let mut in_service = 0;
        // What serves, in units of capacity, and in instances of the first machine.
        let (mut serving_units, mut worth) = (0u32, 0.0);
        for &slot in &fleet.members {
            let instance = &mut self.instances[slot];
            instance.machine.settle(now);
            let total = instance.machine.core_nanos(now);
            let nanos = total - std::mem::replace(&mut instance.seen_core_nanos[MINUTE_MARK], total);
            let utilisation = nanos / (nanos_had * instance.vcpus);
            // A machine whose server is dead goes on, and its CPU idles.
            in_service += u32::from(instance.in_service());
            if instance.in_service() && !instance.impaired {
                let memory = all.services[instance.service.index()].memory;
                let sessions = self.sessions.as_ref().map_or(0, |sessions| sessions.at(slot));
                let told = Told {
                    cpu: 100.0 * utilisation,
                    memory: memory_used(memory, plan, instance, sessions),
                    bytes: self.meters.as_mut().map_or([0; 2], |meters| meters.take_bytes(slot)),
                };
                by_instance.add(plan, &fleet.metrics, instance, period_start, told);
            }
            unhealthy += u32::from(instance.taken_out() && !fails_open);
            if instance.serving() || fails_open && instance.taken_out() {
                serving += 1;
                serving_units += instance.units;
                worth += worths[instance.machine_type()];
                used += utilisation;
                had += 1.0;
                let runtime = all.services[instance.service.index()].runtime;
                let vcpus = plan.machines[instance.machine_type()].processor.vcpus;
                let threads = f64::from(runtime.computing_threads(vcpus)).min(instance.vcpus);
                // Of what its threads could have used: one event loop is full when it has used one vCPU.
                // What has an engine is as full as that, where its vCPUs idle.
                let engine = instance.engine.as_ref().map_or(0.0, |engine| engine.fullness());
                fullest_engine = fullest_engine.max(engine);
                let bottleneck = (nanos / (nanos_had * threads)).min(1.0).max(engine);
                hottest = hottest.max(bottleneck);
                bottlenecks += bottleneck;
                let imbalance = instance.server.imbalance_of_minute().unwrap_or(1.0);
                busiest_worker = busiest_worker.max((bottleneck * imbalance).min(1.0));
                queued += instance.server.queued_new();
                without_credits += u32::from(instance.machine.supply().is_some_and(Supply::is_empty));
            } else if instance.starting() {
                starting += 1;
                oldest_start = oldest_start.min(instance.launched);
            }
        }
        let in_minute = fleet.received - std::mem::replace(&mut fleet.received_at_minute, fleet.received);
        let messages = fleet.messages - std::mem::replace(&mut fleet.messages_at_minute, fleet.messages);
        let integral = fleet.connections.integral(now);
        let connections = (integral - std::mem::replace(&mut fleet.connections_at_minute, integral))
            / length.as_secs_f64().max(1e-9);
        let inside = fleet.request_seconds(now);
        let inside = (inside - std::mem::replace(&mut fleet.inside_at_minute, inside))
            / length.as_secs_f64().max(1e-9);
        let weighted = plan.is_weighted() && serving > 0;
        let mean_weight = f64::from(serving_units) / f64::from(serving.max(1));
        for (policy, metrics) in fleet.metrics.iter_mut().enumerate() {
            for (index, (metric, datapoints)) in metrics.iter_mut().enumerate() {
                if datapoints.period() < MINUTE {
                    continue; // it was told every 10 s
                }
                let samples = match metric {
                    Metric::Cpu | Metric::Memory | Metric::NetworkIn | Metric::NetworkOut => {
                        by_instance.of(policy, index)
                    }
                    // The balancer's metrics know nothing of warm-ups, and there are none without requests.
                    Metric::RequestCountPerTarget if in_minute == 0 => None,
                    Metric::RequestCountPerTarget => shared(in_minute as f64, serving),
                    Metric::TargetResponseTime => responses.clone(),
                    Metric::RequestsInside => shared(inside, in_service),
                    Metric::ConnectionsPerTarget => shared(connections, serving),
                };
                // A group with weights has its size in units, and its metrics by instance.
                let samples = if weighted { samples.map(|own| own.in_units(mean_weight)) } else { samples };
                datapoints.push_samples(now, samples);
            }
        }
        let before = std::mem::replace(&mut fleet.sent_at_minute, sent);
        let before_that = std::mem::replace(&mut fleet.turned_away_at_minute, turned_away);
        let [requests, attempts] = [sent[0] - before[0], sent[1] - before[1]];
        let first = if attempts > requests { requests as f64 / attempts as f64 } else { 1.0 };
        MinuteFacts {
            asked: (first * in_minute as f64 + messages as f64) / length.as_secs_f64().max(1e-9),
            load: (in_minute + messages) as f64 / length.as_secs_f64().max(1e-9),
            capacity: worth * self.capacity_per_instance[group.index()],
            cpu: if had > 0.0 { used / had } else { 0.0 },
            hottest,
            evenly: if had > 0.0 { bottlenecks / had } else { 0.0 },
            busiest_worker,
            engine: fullest_engine,
            serving,
            unhealthy,
            starting,
            starting_for: now.since(oldest_start).as_secs_f64(),
            desired: fleet.desired,
            max: fleet.max_now(),
            queued,
            refused: fleet.refused - std::mem::replace(&mut fleet.refused_at_minute, fleet.refused),
            turned_away: std::array::from_fn(|kind| turned_away[kind] - before_that[kind]),
            lost: std::mem::take(&mut fleet.lost),
            dropped: std::mem::take(&mut fleet.dropped),
            returning: fleet.returns as f64 / in_minute.max(1) as f64,
            returns: std::mem::take(&mut fleet.returns),
            throttled: throttled - std::mem::replace(&mut fleet.throttled_at_minute, throttled),
            without_credits,
            policy: None,
            trouble,
        }
    }

    /// What the machines of a group have counted so far.
    pub(super) fn machine_totals(&self, group: GroupId) -> MachineTotals {
        let mut totals = self.measure.gone_machines[group.index()];
        // Only quotas and credits are counted; most machines have neither.
        if self.plan.groups[group.index()].machines.iter().all(|machine| machine.processor.is_unlimited()) {
            return totals;
        }
        for &slot in &self.fleets[group.index()].members {
            totals.add(&self.instances[slot].machine);
        }
        totals
    }

    /// What the run queues of a group have counted so far; nothing where nobody takes turns one by one.
    pub(super) fn tally(&self, group: GroupId) -> Tally {
        let mut tally = self.measure.gone_tallies[group.index()].clone();
        for own in
            self.fleets[group.index()].members.iter().filter_map(|&slot| self.instances[slot].machine.tally())
        {
            tally.add(&own);
        }
        tally
    }

    /// Requests and attempts that the sources have sent which ask a group, directly or through others.
    pub(super) fn sent(&self, group: GroupId) -> [u64; 2] {
        self.asked_by[group.index()].iter().fold([0, 0], |[requests, attempts], source| {
            let sent = &self.measure.sources[source.index()].requests;
            [requests + sent.offered, attempts + sent.attempts]
        })
    }

    /// Whom a group's limits have turned away: rate limiters, circuit breakers with too many in progress, open ones, servers.
    pub(super) fn turned_away_so_far(&self, group: GroupId) -> [u64; 4] {
        let own = self.measure.limits.iter().zip(&self.plan.balancers).filter(|(_, plan)| plan.has(group));
        own.fold([0, 0, 0, self.fleets[group.index()].shed], |[limited, full, open, shed], (own, _)| {
            [limited + own.rate_limited, full + own.overflowed, open + own.circuit_open, shed]
        })
    }
}
