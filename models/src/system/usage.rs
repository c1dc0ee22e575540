//! What was used until an instant, hour by hour, for the bill.

use sim_core::{Span, Time};

use super::System;
use super::instance::Instance;
use crate::cost::{
    BalancerUsage, HourOfUse, InstanceUsage, Layer, RunTime, SurplusUsage, Usage, VolumeUsage,
};
use crate::measure::{Carried, CarriedMark};
use crate::plan::{Algorithm, Balancer, Group, GroupId, Scaling};
use crate::scaling::Purchase;

/// The hour that bills go by.
pub(super) const HOUR: Span = Span::from_secs(3_600);

/// Time that instances of a group ran, by what they cost: each type On-Demand, and each of its pools.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By [`Ledger::index`]; as long as what was there so far.
    kinds: Vec<RunTime>,
    /// vCPU hours that machines which are gone have to pay beyond their credits, by type.
    surplus: Vec<f64>,
    /// What all machines would have had to pay at the end of each hour, by type.
    surplus_by_hour: Vec<Vec<f64>>,
}

impl Ledger {
    fn index(plan: &Group, machine: u16, purchase: Purchase, zone: u16) -> usize {
        let pools = 1 + plan.zones.len();
        let place = match purchase {
            Purchase::OnDemand => 0,
            Purchase::Spot => 1 + usize::from(zone),
        };
        usize::from(machine) * pools + place
    }

    /// Adds an instance that ran `from` and `to`.
    pub fn add(&mut self, plan: &Group, instance: &Instance, from: Time, to: Time, minimum: f64) {
        let index = Self::index(plan, instance.machine_type, instance.purchase, instance.zone);
        if self.kinds.len() <= index {
            self.kinds.resize(index + 1, RunTime::default());
        }
        self.kinds[index].add(from, to, minimum);
    }

    /// Adds an instance of the group's first machine, On-Demand, that ran `from` and `to`.
    pub fn add_on_demand(&mut self, from: Time, to: Time, minimum: f64) {
        if self.kinds.is_empty() {
            self.kinds.push(RunTime::default());
        }
        self.kinds[0].add(from, to, minimum);
    }

    /// A machine is gone that has to pay for so many vCPU hours beyond its credits.
    pub fn add_surplus(&mut self, machine: u16, vcpu_hours: f64) {
        if self.surplus.len() <= usize::from(machine) {
            self.surplus.resize(usize::from(machine) + 1, 0.0);
        }
        self.surplus[usize::from(machine)] += vcpu_hours;
    }

    /// Seconds that instances ran, in all.
    pub fn seconds(&self) -> f64 {
        self.kinds.iter().map(RunTime::seconds).sum()
    }
}

impl System {
    /// An hour ends: what machines have borrowed until now is that hour's, or was earned back in it.
    pub(super) fn mark_hour(&mut self, now: Time) {
        if !ends_an_hour(now) {
            return;
        }
        self.mark_hour_of_queues();
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            let types = self.borrowing(group).count();
            if types > 0 {
                let marks: Vec<f64> = (0..self.plan.groups[group.index()].machines.len())
                    .map(|machine| self.surplus(group, machine as u16))
                    .collect();
                self.fleets[group.index()].ledger.surplus_by_hour.push(marks);
            }
        }
    }

    /// The types of a group that go on without credits, and what they pay for that.
    fn borrowing(&self, group: GroupId) -> impl Iterator<Item = (u16, f64)> + '_ {
        let machines = (0u16..).zip(&self.plan.groups[group.index()].machines);
        machines.filter_map(|(index, machine)| {
            let credits = machine.processor.credits.filter(|credits| credits.unlimited)?;
            Some((index, credits.surplus_price))
        })
    }

    /// vCPU hours that machines of a type have to pay beyond their credits if they end now.
    fn surplus(&self, group: GroupId, machine: u16) -> f64 {
        let fleet = &self.fleets[group.index()];
        let gone = fleet.ledger.surplus.get(usize::from(machine)).copied().unwrap_or(0.0);
        let own = fleet.members.iter().map(|&slot| &self.instances[slot]);
        let own = own.filter(|instance| instance.machine_type == machine);
        own.filter_map(|instance| instance.machine.supply())
            .fold(gone, |sum, supply| sum + supply.surplus_hours())
    }

    /// How long the instances of a group have run until now.
    pub(super) fn ledger(&self, group: GroupId, now: Time) -> Ledger {
        let (plan, fleet) = (&self.plan.groups[group.index()], &self.fleets[group.index()]);
        let minimum = self.measure.billed_minimum();
        let mut ledger = fleet.ledger.clone();
        for instance in fleet.members.iter().map(|&slot| &self.instances[slot]) {
            if let Some(running) = instance.running {
                ledger.add(plan, instance, running, instance.billed_until(now), minimum);
            }
        }
        for running in fleet.pool_runs_since(now) {
            ledger.add_on_demand(running, now, minimum);
        }
        ledger
    }

    /// What has been used until now, for the bill.
    pub fn usage(&self, now: Time) -> Usage<'_> {
        let mut usage = Usage { seconds: now.as_secs_f64(), ..Usage::default() };
        for (id, group) in (0u16..).map(GroupId).zip(&self.plan.groups) {
            // Pods cost nothing, and their nodes do.
            if group.pods.is_some() {
                continue;
            }
            self.usage_of_group(id, now, &mut usage);
        }
        usage.instances.extend(self.nodes_used(now));
        let balancers = self.measure.balancers.iter().zip(&self.plan.balancers).enumerate();
        let balancers = balancers.map(|(index, (carried, plan))| {
            let hours = hours(carried, now, self.balancer_seconds(index, now));
            self.balancer_usage(index, plan, carried.shared > 0, hours)
        });
        usage.balancers = balancers.collect();
        usage.queues = self.queue_usage(now);
        usage
    }

    /// Adds what a group's instances used until now.
    pub(super) fn usage_of_group<'a>(&'a self, id: GroupId, now: Time, usage: &mut Usage<'a>) {
        let group = &self.plan.groups[id.index()];
        let own = self.instance_usage(id, now);
        let mut all = RunTime::default();
        own.iter().for_each(|own| all.merge(&own.time));
        usage.instances.extend(own);
        self.surplus_usage(id, now, &mut usage.surplus);
        if let Some(volume) = group.volume {
            let (group, time) = (group.name.as_str(), all.clone());
            usage.volumes.push(VolumeUsage {
                group,
                gib: volume.gib,
                price: volume.price,
                stopped: false,
                time,
            });
        }
        if let Some(pool) = group.lifecycle.warm_pool.as_ref().filter(|pool| pool.volume_gib > 0.0) {
            let price = self.plan.prices.as_ref().map_or(0.0, |prices| prices.volume_gib_month);
            let time = self.fleets[id.index()].stopped_time(now);
            if !time.is_empty() {
                let gib = pool.volume_gib;
                usage.volumes.push(VolumeUsage { group: &group.name, gib, price, stopped: true, time });
            }
        }
        if group.monitoring < Span::from_secs(300) {
            usage.monitored.merge(&all);
        }
        usage.alarms += group.scaling.iter().map(alarms).sum::<u32>();
    }

    /// The instances of a group, by what they cost.
    pub(super) fn instance_usage(&self, id: GroupId, now: Time) -> Vec<InstanceUsage<'_>> {
        let group = &self.plan.groups[id.index()];
        let mut kinds = self.ledger(id, now).kinds;
        if kinds.is_empty() {
            kinds.push(RunTime::default()); // one that never ran anything has its line all the same
        }
        let only = kinds.len() == 1;
        let ran = kinds.into_iter().enumerate().filter(|(_, time)| only || !time.is_empty());
        let mut all: Vec<InstanceUsage<'_>> = Vec::new();
        for own in ran.map(|(index, time)| instances(group, index, time)) {
            // Versions that differ in what they run only have the same machine, and one line of the bill.
            let same = |other: &&mut InstanceUsage<'_>| {
                (other.machine, other.purchase, other.zone) == (own.machine, own.purchase, own.zone)
            };
            match all.iter_mut().find(same) {
                Some(other) => other.time.merge(&own.time),
                None => all.push(own),
            }
        }
        all
    }

    fn surplus_usage<'a>(&'a self, id: GroupId, now: Time, all: &mut Vec<SurplusUsage<'a>>) {
        let marks = &self.fleets[id.index()].ledger.surplus_by_hour;
        for (machine, price) in self.borrowing(id) {
            let mut vcpu_hours: Vec<f64> = marks.iter().map(|mark| mark[usize::from(machine)]).collect();
            if marks.is_empty() || !ends_an_hour(now) {
                vcpu_hours.push(self.surplus(id, machine));
            }
            all.push(SurplusUsage { group: &self.plan.groups[id.index()].name, vcpu_hours, price });
        }
    }

    fn balancer_usage<'a>(
        &'a self,
        index: usize,
        plan: &'a Balancer,
        kept: bool,
        hours: Vec<HourOfUse>,
    ) -> BalancerUsage<'a> {
        let network = plan.algorithm == Algorithm::FlowHash;
        let mut zones: Vec<&str> = plan
            .targets
            .iter()
            .flat_map(|target| &self.plan.groups[target.group.index()].zones)
            .map(String::as_str)
            .collect();
        zones.sort_unstable();
        zones.dedup();
        let elsewhere = 1.0 - 1.0 / zones.len().max(1) as f64;
        BalancerUsage {
            balancer: &plan.name,
            layer: if network { Layer::Network } else { Layer::Application },
            kept,
            rules: plan.rules,
            hours,
            internet: self.plan.traffic.iter().any(|traffic| traffic.to.index() == index),
            across: if network && plan.cross_zone { elsewhere } else { 0.0 },
        }
    }
}

fn ends_an_hour(now: Time) -> bool {
    now.as_nanos().is_multiple_of(HOUR.as_nanos())
}

/// The instances of a place in the ledger.
fn instances(group: &Group, index: usize, time: RunTime) -> InstanceUsage<'_> {
    let pools = 1 + group.zones.len();
    let machine = &group.machines[index / pools];
    let spot = group.mixed.as_ref().and_then(|mixed| mixed.spot.as_ref());
    let zone = (index % pools).checked_sub(1);
    let share = match (spot, zone) {
        (Some(spot), Some(zone)) => spot.pool((index / pools) as u16, zone as u16, group.zones.len()).price,
        _ => 1.0,
    };
    InstanceUsage {
        group: &group.name,
        machine: &machine.name,
        purchase: if zone.is_some() { Purchase::Spot } else { Purchase::OnDemand },
        zone: zone.map(|zone| group.zones[zone].as_str()),
        hourly: machine.hourly.map(|hourly| hourly * share),
        time,
    }
}

/// Alarms that a policy keeps: a target tracking policy has two.
fn alarms(scaling: &Scaling) -> u32 {
    match scaling {
        Scaling::TargetTracking(_) => 2,
        other => u32::from(other.policy().is_some()),
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
        let requests = mark.requests - before.requests;
        hours.push(HourOfUse {
            seconds,
            requests: requests as f64,
            connections: (requests - (mark.shared - before.shared)) as f64,
            bytes: (mark.bytes - before.bytes) as f64,
            in_progress: (mark.request_seconds - before.request_seconds) / seconds.max(1e-9),
        });
        before = mark;
    }
    hours
}
