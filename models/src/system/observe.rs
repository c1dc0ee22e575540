//! What the control plane measures: each minute's datapoints of a group's metrics, and the facts of that minute that
//! explain later what went wrong in it.

use sim_core::{Span, Time};

use super::jobs::{gpu_percent, sample};
use super::meters::shared;
use super::{MINUTE, System};
use crate::machine::Tally;
use crate::measure::{MachineTotals, MinuteFacts};
use crate::plan::{GroupId, Metric};

impl System {
    /// Closes the minute's metric periods and gathers its facts. The last minute of a run may have less than 60 s.
    pub(super) fn observe_minute(&mut self, group: GroupId, now: Time, length: Span) -> MinuteFacts {
        let all = self.plan.clone();
        let plan = &all.groups[group.index()];
        let trouble = self.trouble_of_minute(group, now);
        let throttled = self.machine_totals(group).throttled;
        let responses = self.response_times(group);
        let mut jobs = self.observe_jobs(group, now);
        let (sent, turned_away) = (self.sent(group), self.turned_away_so_far(group));
        // Without a healthy target all get requests.
        let fails_open = self.balancers_of(group).iter().any(|id| self.rotations[id.index()].fails_open());
        let gpus = self.gpus_in_service(group);
        let census = self.take_census(group);
        let takers = census.takers(fails_open);
        let mut work = match self.idle_minute(group, &census, now - length, now) {
            Some(work) => work,
            None => self.work_of_minute(group, fails_open, now, length),
        };
        let fleet = &mut self.fleets[group.index()];
        let in_minute = fleet.received - std::mem::replace(&mut fleet.received_at_minute, fleet.received);
        let messages = fleet.messages - std::mem::replace(&mut fleet.messages_at_minute, fleet.messages);
        let integral = fleet.connections.integral(now);
        let connections = (integral - std::mem::replace(&mut fleet.connections_at_minute, integral))
            / length.as_secs_f64().max(1e-9);
        let inside = fleet.request_seconds(now);
        let inside = (inside - std::mem::replace(&mut fleet.inside_at_minute, inside))
            / length.as_secs_f64().max(1e-9);
        let serving = takers.instances;
        let in_service = census.in_service;
        if let Some(jobs) = &mut jobs {
            jobs.busy = inside; // each consumer has one job, and each job one consumer
        }
        let gpu = gpu_percent(fleet, gpus, now, length);
        let weighted = plan.is_weighted() && serving > 0;
        let mean_weight = f64::from(takers.units) / f64::from(serving.max(1));
        for (policy, metrics) in fleet.metrics.iter_mut().enumerate() {
            for (index, (metric, datapoints)) in metrics.iter_mut().enumerate() {
                if datapoints.period() < MINUTE {
                    continue; // it was told every 10 s
                }
                let samples = match metric {
                    Metric::Cpu | Metric::Memory | Metric::NetworkIn | Metric::NetworkOut => {
                        work.told.of(policy, index)
                    }
                    // The balancer's metrics know nothing of warm-ups, and there are none without requests.
                    Metric::RequestCountPerTarget if in_minute == 0 => None,
                    Metric::RequestCountPerTarget => shared(in_minute as f64, serving),
                    Metric::TargetResponseTime => responses.clone(),
                    Metric::RequestsInside => shared(inside, census.in_service),
                    Metric::ConnectionsPerTarget => shared(connections, serving),
                    Metric::Gpu => {
                        gpu.and_then(|percent| shared(percent * f64::from(in_service), in_service))
                    }
                    _ => sample(*metric, jobs.as_ref(), in_service),
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
        let mean = |sum: f64| if serving > 0 { sum / f64::from(serving) } else { 0.0 };
        MinuteFacts {
            asked: (first * in_minute as f64 + messages as f64) / length.as_secs_f64().max(1e-9),
            load: (in_minute + messages) as f64 / length.as_secs_f64().max(1e-9),
            capacity: takers.worth * self.capacity_per_instance[group.index()],
            cpu: mean(work.used),
            hottest: work.hottest,
            evenly: mean(work.bottlenecks),
            busiest_worker: work.busiest_worker,
            engine: work.fullest_engine,
            serving,
            unhealthy: if fails_open { 0 } else { census.taken_out() },
            starting: census.starting,
            starting_for: now.since(census.oldest_start.unwrap_or(now)).as_secs_f64(),
            desired: fleet.desired,
            max: fleet.max_now(),
            queued: work.queued,
            refused: fleet.refused - std::mem::replace(&mut fleet.refused_at_minute, fleet.refused),
            turned_away: std::array::from_fn(|kind| turned_away[kind] - before_that[kind]),
            lost: std::mem::take(&mut fleet.lost),
            dropped: std::mem::take(&mut fleet.dropped),
            returning: fleet.returns as f64 / in_minute.max(1) as f64,
            returns: std::mem::take(&mut fleet.returns),
            throttled: throttled - std::mem::replace(&mut fleet.throttled_at_minute, throttled),
            without_credits: work.without_credits,
            jobs: jobs.map(Box::new),
            policy: None,
            trouble,
        }
    }

    /// The GPUs of a group's instances in service.
    fn gpus_in_service(&self, group: GroupId) -> u32 {
        let machines = &self.plan.groups[group.index()].machines;
        if machines.iter().all(|machine| machine.gpus == 0) {
            return 0;
        }
        let members = self.fleets[group.index()].members.iter().map(|&slot| &self.instances[slot]);
        let in_service = members.filter(|instance| instance.in_service());
        in_service.map(|instance| machines[instance.machine_type()].gpus).sum()
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
