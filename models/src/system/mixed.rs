//! What a group's next instance is, and which of its instances may go: mixed instances and weights.

use sim_core::{Calendar, Time};

use super::System;
use super::instance::Instance;
use super::lifecycle::State;
use crate::event::Event;
use crate::plan::{Group, GroupId, MixedInstances, Spot};
use crate::results::ActivityKind;
use crate::scaling::{OnDemandAllocation, Pool, Purchase, choose_pool, price_per_unit};

/// What an instance is launched as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    /// The type, by its place among the group's.
    pub machine: u16,
    /// The zone, by its place among the group's.
    pub zone: u16,
    /// What it is bought as.
    pub purchase: Purchase,
}

impl System {
    /// Units of capacity that count against what is desired.
    pub(super) fn units(&self, group: GroupId) -> u32 {
        match self.instances.census(group) {
            Some(census) => census.units,
            // In the middle of launches nobody wants to know more.
            None => self.counted(group).map(|slot| self.instances[slot].units).sum(),
        }
    }

    /// What a group launches next; `None` where nobody has room for it, which the log says once.
    pub(super) fn next_launch(
        &mut self,
        group: GroupId,
        zone: Option<u16>,
        calendar: &Calendar<Event>,
    ) -> Option<Launch> {
        if !self.can_launch(group, calendar) {
            return None;
        }
        let found = self.choose_launch(group, zone);
        let told = std::mem::replace(&mut self.fleets[group.index()].no_spot, found.is_none());
        if found.is_none() && !told {
            let units = self.units(group);
            let desired = self.fleets[group.index()].desired;
            let words = format!(
                "No Spot instance can be launched: no pool of the group has capacity, with {units} of {desired} there."
            );
            self.log(group, ActivityKind::NoAction, calendar.now(), words);
        }
        found
    }

    fn choose_launch(&self, group: GroupId, zone: Option<u16>) -> Option<Launch> {
        let (plan, fleet) = (&self.plan.groups[group.index()], &self.fleets[group.index()]);
        let mut by_zone = vec![0u32; plan.zones.len()];
        for &member in &fleet.members {
            let instance = &self.instances[member];
            by_zone[usize::from(instance.zone)] += u32::from(instance.standing.state != State::Standby);
        }
        let emptiest = zone.or_else(|| fleet.launch_zone(&by_zone)).unwrap_or(0);
        let on_demand = |machine| Launch { machine, zone: emptiest, purchase: Purchase::OnDemand };
        let Some(mixed) = &plan.mixed else { return Some(on_demand(plan.template(fleet.version).machine)) };
        let own = self.counted(group).map(|slot| &self.instances[slot]);
        let own = own.filter(|instance| instance.purchase == Purchase::OnDemand);
        let bought: u32 = own.map(|instance| instance.units).sum();
        let Some(spot) = mixed.spot.as_ref().filter(|_| bought >= mixed.on_demand_units(fleet.desired))
        else {
            return Some(on_demand(on_demand_machine(plan, mixed)));
        };
        // The emptiest zone that has capacity.
        let every = (0..by_zone.len() as u16).filter(|&other| zone.is_none_or(|zone| zone == other));
        let mut zones: Vec<u16> = every.filter(|&zone| !fleet.has_lost(zone)).collect();
        zones.sort_by_key(|&zone| by_zone[usize::from(zone)]);
        zones.into_iter().find_map(|zone| {
            let pools = self.pools(group, mixed, spot, zone);
            let chosen = choose_pool(mixed.spot_allocation, &pools)?;
            Some(Launch { machine: pools[chosen].machine, zone, purchase: Purchase::Spot })
        })
    }

    /// The pools of a zone as they stand.
    fn pools(&self, group: GroupId, mixed: &MixedInstances, spot: &Spot, zone: u16) -> Vec<Pool> {
        let (plan, fleet) = (&self.plan.groups[group.index()], &self.fleets[group.index()]);
        let pool = |(machine, kind): (u16, &crate::plan::Machine)| {
            let terms = spot.pool(machine, zone, plan.zones.len());
            let members = fleet.members.iter().map(|&slot| &self.instances[slot]);
            let inside = |instance: &&Instance| instance.is_in_pool(machine, zone);
            let own = members.filter(inside).count() as u32;
            let capacity = terms.capacity.map_or(f64::INFINITY, |most| f64::from(most.saturating_sub(own)));
            let dry = fleet.pools.get(usize::from(machine) * plan.zones.len() + usize::from(zone));
            Pool {
                machine,
                zone,
                price: price_per_unit(kind.hourly.unwrap_or(0.0) * terms.price, mixed.weight(machine)),
                spare: if dry.is_some_and(|pool| pool.dry > 0) { 0.0 } else { capacity },
                interruptions: spot.interruptions_an_hour(),
                own,
            }
        };
        (0u16..).zip(&plan.machines).map(pool).collect()
    }

    /// Of the instances that a scale-in could end, those that are more than their purchase option's share, in the pools that the
    /// group's strategy likes least (EC2 Auto Scaling, "Control which Auto Scaling instances terminate"). None are in a group of one
    /// kind.
    pub(super) fn out_of_line(&self, group: GroupId, candidates: &[u32]) -> Vec<u32> {
        let plan = &self.plan.groups[group.index()];
        let Some(mixed) = &plan.mixed else { return Vec::new() };
        let desired = self.fleets[group.index()].desired;
        let on_demand: u32 = self
            .counted(group)
            .map(|slot| &self.instances[slot])
            .filter(|instance| instance.purchase == Purchase::OnDemand)
            .map(|instance| instance.units)
            .sum();
        let above =
            if on_demand > mixed.on_demand_units(desired) { Purchase::OnDemand } else { Purchase::Spot };
        let bought = candidates.iter().copied().filter(|&slot| self.instances[slot].purchase == above);
        let mut may: Vec<u32> = bought.collect();
        if may.is_empty() {
            may = candidates.to_vec();
        }
        self.least_wanted(group, may)
    }
}

/// The type of the next On-Demand instance.
fn on_demand_machine(plan: &Group, mixed: &MixedInstances) -> u16 {
    let price = |&machine: &u16| {
        let hourly = plan.machines[usize::from(machine)].hourly.unwrap_or(f64::INFINITY);
        price_per_unit(hourly, mixed.weight(machine))
    };
    match mixed.on_demand_allocation {
        OnDemandAllocation::Prioritized => 0,
        OnDemandAllocation::LowestPrice => {
            (0..plan.machines.len() as u16).min_by(|a, b| price(a).total_cmp(&price(b))).unwrap_or(0)
        }
    }
}

impl Instance {
    /// Whether it takes from a pool of Spot capacity.
    pub(super) fn is_in_pool(&self, machine: u16, zone: u16) -> bool {
        self.purchase == Purchase::Spot && self.machine_type == machine && self.zone == zone
    }

    /// Until when it is billed.
    pub(super) fn billed_until(&self, now: Time) -> Time {
        self.taken_back.map_or(now, |taken| taken.min(now))
    }
}
