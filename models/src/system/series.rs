//! What is recorded over the run: the rows of the series, and what was used for the bill.

use sim_core::Time;

use super::System;
use super::instance::Phase;
use crate::cost::{BalancerUsage, HourOfUse, InstanceUsage, Surplus, Usage};
use crate::measure::{Carried, CarriedMark};
use crate::plan::{GroupId, Machine, TargetGroup};
use crate::results::GroupRow;

/// Which mark of [`Instance::seen_core_nanos`](super::Instance::seen_core_nanos) a row uses.
const ROW_MARK: usize = 1;

impl System {
    /// Closes a row of the recorded series.
    pub(super) fn close_row(&mut self, now: Time) {
        let mut groups = Vec::with_capacity(self.fleets.len());
        let opened = self.measure.rows.closed.last().map_or(Time::ZERO, |row| row.end);
        for fleet in &self.fleets {
            let mut row = GroupRow {
                desired: fleet.desired,
                max: fleet.max_now(),
                serving: 0,
                starting: 0,
                draining: 0,
                cpu: 0.0,
                queued: 0,
                sessions: fleet.connections.value() as u32,
            };
            let (mut used, mut had) = (0.0, 0.0);
            for &slot in &fleet.members {
                let instance = &mut self.instances[slot];
                let total = instance.machine.core_nanos(now);
                used += total - std::mem::replace(&mut instance.seen_core_nanos[ROW_MARK], total);
                if let Some(running) = instance.running {
                    had += now.since(running.max(opened)).as_nanos() as f64 * instance.vcpus;
                }
                row.queued += instance.server.queued_new();
                row.serving += u32::from(instance.serving());
                row.starting += u32::from(instance.starting());
                row.draining += u32::from(instance.phase == Phase::Draining);
            }
            row.cpu = if had > 0.0 { (100.0 * used / had).min(100.0) } else { 0.0 };
            groups.push(row);
        }
        let cost = self.plan.prices.as_ref().map(|prices| crate::cost::total(prices, &self.usage(now)));
        self.measure.rows.close(now, cost, groups);
    }

    /// Measurement begins.
    pub(super) fn begin_measuring(&mut self, now: Time) {
        self.measure.begin(now);
        self.count_sessions_from(now);
        self.begin_versions();
        self.sources
            .iter_mut()
            .filter_map(|source| source.wire.as_mut())
            .for_each(|wire| wire.pool.counts.begin(now));
        let totals = |index: usize| self.machine_totals(GroupId(index as u16));
        self.measure.machines_before = (0..self.fleets.len()).map(totals).collect();
        let tally = |index: usize| self.tally(GroupId(index as u16));
        self.measure.tallies_before = (0..self.fleets.len()).map(tally).collect();
        let ids = || (0..self.fleets.len()).map(|index| GroupId(index as u16));
        let sent: Vec<[u64; 2]> = ids().map(|id| self.sent(id)).collect();
        let turned_away: Vec<[u64; 4]> = ids().map(|id| self.turned_away_so_far(id)).collect();
        for (group, fleet) in self.fleets.iter_mut().enumerate() {
            fleet.request_seconds_before += fleet.inside.integral(now);
            fleet.refused_before = fleet.refused;
            fleet.shed_before = fleet.shed;
            (fleet.sent_at_minute, fleet.turned_away_at_minute) = (sent[group], turned_away[group]);
            let [used, had] = &mut self.measure.cores_before[group];
            [*used, *had] = self.measure.gone_cores[group];
            for &slot in &fleet.members {
                *used += self.instances[slot].machine.core_nanos(now);
                *had += self.instances[slot].cores_had(now);
            }
            fleet.inside.reset(now);
            fleet.serving.reset(now);
            fleet.serving_min = fleet.serving.value() as u32;
        }
    }

    /// The integrals of requests in progress behind a balancer, and of connections that clients keep open to it.
    pub(super) fn balancer_seconds(&self, index: usize, now: Time) -> f64 {
        let of = |target: &TargetGroup| self.fleets[target.group.index()].in_progress_seconds(now);
        let inside = self.plan.balancers[index].targets.iter().map(of).sum();
        let sources = self.sources.iter().zip(&self.plan.traffic);
        let own = sources.filter(|(_, traffic)| traffic.to.index() == index && traffic.connections.is_some());
        own.filter_map(|(source, _)| source.wire.as_ref())
            .map(|wire| wire.pool.counts.open_seconds(now))
            .fold(inside, |sum, open| sum + open)
    }

    /// What has been used until now, for the bill.
    pub fn usage(&self, now: Time) -> Usage {
        let minimum = self.measure.billed_minimum();
        let mut instances: Vec<InstanceUsage> = Vec::new();
        for ((id, fleet), plan) in (0u16..).map(GroupId).zip(&self.fleets).zip(&self.plan.groups) {
            // Pods cost nothing, and their nodes do.
            if plan.pods.is_some() {
                continue;
            }
            let unlimited = |machine: &Machine| machine.processor.credits.filter(|credits| credits.unlimited);
            let borrows = plan.machines.iter().position(|machine| unlimited(machine).is_some());
            let first = instances.len();
            for (index, machine) in plan.machines.iter().enumerate() {
                let mut time = fleet.gone[index];
                let members = fleet.members.iter().map(|&slot| &self.instances[slot]);
                let own = members.filter(|instance| instance.machine_type() == index);
                own.filter_map(|instance| instance.running)
                    .for_each(|running| time.add(now.since(running), minimum));
                let mut stopped_gib_hours = 0.0;
                if let (0, Some(pool)) = (index, &plan.lifecycle.warm_pool) {
                    fleet.add_pool_time(&mut time, now, minimum);
                    stopped_gib_hours = fleet.stopped_seconds(now) / 3600.0 * pool.volume_gib;
                }
                // Versions that differ in what they run only have the same machine, and one line of the bill.
                let same = instances[first..].iter_mut().find(|usage| usage.machine == machine.name);
                if let Some(usage) = same {
                    usage.seconds += time.seconds;
                    usage.billed_seconds += time.billed;
                } else if index == 0 || time.seconds > 0.0 {
                    instances.push(InstanceUsage {
                        group: plan.name.clone(),
                        machine: machine.name.clone(),
                        hourly: machine.hourly,
                        seconds: time.seconds,
                        billed_seconds: time.billed,
                        stopped_gib_hours,
                        surplus: unlimited(machine).filter(|_| borrows == Some(index)).map(|credits| {
                            Surplus {
                                vcpu_hours: self.machine_totals(id).surplus_hours,
                                price: credits.surplus_price,
                            }
                        }),
                    });
                }
            }
        }
        let balancers = self.measure.balancers.iter().zip(&self.plan.balancers).enumerate();
        let balancers = balancers.map(|(index, (carried, plan))| {
            let in_progress = self.balancer_seconds(index, now);
            BalancerUsage {
                balancer: plan.name.clone(),
                seconds: now.as_secs_f64(),
                kept: carried.shared > 0,
                hours: hours(carried, now, in_progress),
            }
        });
        instances.extend(self.nodes_used(now));
        Usage { instances, balancers: balancers.collect() }
    }
}

/// Cuts what a balancer carried into hours. `request_seconds` is what has been in progress until `now`.
fn hours(carried: &Carried, now: Time, request_seconds: f64) -> Vec<HourOfUse> {
    let mut marks: Vec<CarriedMark> = carried.by_minute.iter().copied().skip(59).step_by(60).collect();
    let played = now.as_secs_f64();
    if played > 3600.0 * marks.len() as f64 {
        marks.push(carried.mark(request_seconds));
    }
    let mut before = CarriedMark::default();
    let mut hours = Vec::with_capacity(marks.len());
    for (index, mark) in marks.into_iter().enumerate() {
        let seconds = (played - 3600.0 * index as f64).min(3600.0);
        hours.push(HourOfUse {
            seconds,
            connections: ((mark.requests - before.requests) - (mark.shared - before.shared)) as f64,
            bytes: (mark.bytes - before.bytes) as f64,
            in_progress: (mark.request_seconds - before.request_seconds) / seconds.max(1e-9),
        });
        before = mark;
    }
    hours
}
