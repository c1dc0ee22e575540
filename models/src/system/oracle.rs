//! The oracle beside a run: which fleets would have been enough for the load that was recorded, and what they would have cost.

use sim_core::Time;

use super::System;
use crate::oracle::{Carries, carries, instances_for};
use crate::plan::{Group, GroupId, Plan};
use crate::results::{Oracle, OracleGroup, Row, SpotResult};
use crate::scaling::{Purchase, price_per_unit};

/// Notes in each row how many instances would have been enough.
pub(super) fn mark(plan: &Plan, rows: &mut [Row]) {
    for (index, carries) in carries(plan).iter().enumerate() {
        let Some(carries) = carries else { continue };
        for row in &mut *rows {
            row.groups[index].needed = instances_for(carries, row.offered);
        }
    }
}

/// Compares the fleets of a run with the smallest ones; `None` where no objective is about any group.
pub(super) fn compare(system: &System, rows: &[Row], now: Time) -> Option<Oracle> {
    let plan = system.plan();
    let all = carries(plan);
    let own = plan.groups.iter().enumerate().zip(&all);
    let priced = plan.prices.is_some();
    let groups: Vec<OracleGroup> = own
        .filter_map(|((index, group), carries)| {
            let paid = priced.then(|| paid(system, index, now)).flatten();
            Some(compare_group(group, index, carries.as_ref()?, rows, now, paid))
        })
        .collect();
    if groups.is_empty() {
        return None;
    }
    let sum = |of: fn(&OracleGroup) -> Option<f64>| groups.iter().map(of).sum::<Option<f64>>();
    Some(Oracle { cost: sum(|group| group.cost), paid: sum(|group| group.paid), groups })
}

fn compare_group(
    group: &Group,
    index: usize,
    carries: &Carries,
    rows: &[Row],
    now: Time,
    paid: Option<f64>,
) -> OracleGroup {
    let mut result = OracleGroup {
        group: group.name.clone(),
        carries: carries.rate,
        limited_by: carries.limited_by.clone(),
        instance_hours: 0.0,
        hours_above: 0.0,
        hours_short: 0.0,
        minutes_short: 0.0,
        minutes_out_of_reach: 0.0,
        cost: paid.map(|_| 0.0),
        paid,
    };
    let ends = rows.iter().skip(1).map(|row| row.at).chain([now.as_secs_f64()]);
    for (row, end) in rows.iter().zip(ends) {
        let minutes = (end - row.at) / 60.0;
        let there = &row.groups[index];
        let Some(needed) = there.needed else {
            result.minutes_out_of_reach += minutes;
            continue;
        };
        let (needed, hours) = (f64::from(needed), minutes / 60.0);
        result.instance_hours += needed * hours;
        result.hours_above += (there.worth - needed).max(0.0) * hours;
        let short = (needed - there.worth).max(0.0);
        result.hours_short += short * hours;
        // A hair less is rounding.
        result.minutes_short += if short > 1e-6 { minutes } else { 0.0 };
        let price = hourly(group, needed as u32);
        result.cost = result.cost.zip(price).map(|(cost, price)| cost + price * hours);
    }
    result
}

/// What so many instances of a group's first machine cost for an hour: On-Demand, and Spot as its policy has it, at the
/// lowest price of a pool.
fn hourly(group: &Group, instances: u32) -> Option<f64> {
    let list = group.machine().hourly?;
    let Some((mixed, spot)) = group.mixed.as_ref().and_then(|mixed| Some((mixed, mixed.spot.as_ref()?)))
    else {
        return Some(f64::from(instances) * list);
    };
    let weight = mixed.weight(0);
    let units = instances.saturating_mul(weight);
    let on_demand = mixed.on_demand_units(units);
    let lowest = spot.pools.iter().take(group.zones.len()).map(|pool| pool.price).fold(1.0, f64::min);
    let unit = price_per_unit(list, weight);
    Some(unit * (f64::from(on_demand) + lowest * f64::from(units - on_demand)))
}

/// What a group's instances cost at the prices of the list and of their pools.
fn paid(system: &System, index: usize, now: Time) -> Option<f64> {
    if system.plan().groups[index].pods.is_some() {
        return None; // pods cost nothing, and their nodes do
    }
    let own = system.instance_usage(GroupId(index as u16), now);
    own.iter().map(|own| own.hourly.map(|hourly| hourly * own.time.billed() / 3_600.0)).sum()
}

impl System {
    /// What became of a group's Spot instances.
    pub(super) fn spot_result(&self, id: GroupId, now: Time) -> Option<SpotResult> {
        let (group, fleet) = (&self.plan.groups[id.index()], &self.fleets[id.index()]);
        group.mixed.as_ref()?.spot.as_ref()?;
        let (mut all, mut spot, mut saved) = (0.0, 0.0, Some(0.0));
        for own in self.instance_usage(id, now) {
            let hours = own.time.billed() / 3_600.0;
            all += hours;
            if own.purchase == Purchase::Spot {
                spot += hours;
                let machine = group.machines.iter().find(|machine| machine.name == own.machine);
                let less = machine.and_then(|machine| Some(machine.hourly? - own.hourly?));
                saved = saved.zip(less).map(|(sum, less)| sum + hours * less);
            }
        }
        let counts = fleet.spot;
        Some(SpotResult {
            launched: counts.launched,
            notices: counts.notices,
            interrupted: counts.interrupted,
            rebalanced: counts.rebalanced,
            requests_lost: counts.lost,
            share: if all > 0.0 { spot / all } else { 0.0 },
            saved: saved.filter(|_| self.plan.prices.is_some()),
        })
    }
}
