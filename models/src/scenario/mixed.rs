//! `[group.NAME.mixed_instances]`: several machine types, On-Demand and Spot.

use sim_core::Span;
use sim_core::dist::Dist;

use super::diagnostic::{Place, nearest_or_all};
use super::dist::duration;
use super::incident::Known;
use super::node::{Entry, Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::units::{Period, Positive};
use super::{Context, Names};
use crate::plan::{IncidentKind, Interruptions, Machine, MixedInstances, PoolInterruptions, Spot, SpotPool};
use crate::scaling::{MOST_WEIGHT, OnDemandAllocation, SpotAllocation};

/// The most machine types of a group (EC2 Auto Scaling quotas).
const MOST_MACHINES: usize = 40;
/// The most pools that are taken from evenly.
const MOST_POOLS: u32 = 20;
/// Time between the interruption notice and the end of an instance.
const NOTICE: Span = Span::from_secs(120);
/// How long a pool gives nothing after it took instances back. AWS says nothing about that.
const RETURNS_AFTER: Span = Span::from_secs(30 * 60);
/// An instance or a pool that is interrupted more often than this serves nobody: nanoseconds between two.
const LEAST_MEAN: f64 = 60e9;

/// What the instances of a group may be: one machine, or a mixed instances policy.
pub fn machines(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
    zones: &[String],
) -> Option<(Vec<Machine>, Option<MixedInstances>)> {
    let Some(node) = table.node("mixed_instances") else {
        let name = table.required::<String>("machine")?;
        let machine = names.machine(context, &name, &table.place_of("machine"))?;
        return Some((vec![machine], None));
    };
    let path = table.path_of("mixed_instances");
    if let Some(own) = table.node("machine") {
        let message = format!("`{path}` has machines, and the group has a `machine` as well");
        context.findings.error(&own.place, message, "leave this out", None);
    }
    let mut mixed = Reader::new(context.findings, path, node);
    let read = mixed_instances(context, names, &mut mixed, zones);
    let shown = mixed.finish();
    table.resolve("mixed_instances", shown);
    let (machines, mixed) = read?;
    Some((machines, Some(mixed)))
}

fn mixed_instances(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
    zones: &[String],
) -> Option<(Vec<Machine>, MixedInstances)> {
    let listed = listed(context, names, table);
    let on_demand_base = table.or("on_demand_base", 0u32);
    let on_demand_percentage = table.or("on_demand_percentage", 100u32);
    if on_demand_percentage > 100 {
        let message = format!("`{}` is {on_demand_percentage}", table.path_of("on_demand_percentage"));
        let place = table.place_of("on_demand_percentage");
        context.findings.error(&place, message, "expected a percentage from 0 to 100", None);
    }
    let path = table.path_of("on_demand_allocation");
    let known = ["prioritized", "lowest-price"];
    let on_demand = match table.node("on_demand_allocation") {
        Some(node) => choice(context.findings, &path, node, &known).map_or(known[0], |(name, _)| name),
        None => known[0],
    };
    table.resolve("on_demand_allocation", on_demand);
    let spot_allocation = spot_allocation(context, table);
    let (machines, weights) = listed?;
    let spot = match table.node("spot") {
        Some(node) => {
            let mut terms = Reader::new(context.findings, table.path_of("spot"), node);
            let spot = spot(context, &mut terms, &machines, zones);
            table.resolve("spot", terms.finish());
            Some(spot?)
        }
        None if on_demand_percentage < 100 => {
            let label = "add `spot = { price = 0.35 }`: its price as a share of the On-Demand price";
            let message = format!(
                "{} % of the capacity above the base is Spot, and `{}` is not there",
                100 - on_demand_percentage,
                table.path_of("spot")
            );
            context.findings.error(table.place(), message, label, None);
            return None;
        }
        None => None,
    };
    if spot.is_some() && on_demand_percentage == 100 {
        context.findings.note(format!(
            "`{}` is 100: all is On-Demand, and the terms of Spot do not matter",
            table.path_of("on_demand_percentage")
        ));
    }
    let on_demand_allocation =
        if on_demand == known[0] { OnDemandAllocation::Prioritized } else { OnDemandAllocation::LowestPrice };
    let mixed = MixedInstances {
        weights,
        on_demand_base,
        on_demand_percentage: on_demand_percentage.min(100),
        on_demand_allocation,
        spot_allocation,
        spot,
    };
    Some((machines, mixed))
}

/// `machines = [{ machine = "c6i.large", weight = 1 }, …]`
fn listed(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
) -> Option<(Vec<Machine>, Vec<u32>)> {
    let path = table.path_of("machines");
    let items = table.items("machines");
    if items.is_empty() {
        table.missing("machines", "such as [{ machine = \"c6i.large\" }, { machine = \"c5.large\" }]");
        return None;
    }
    if items.len() > MOST_MACHINES {
        let message = format!("`{path}` has {} machines", items.len());
        context.findings.error(
            &table.place_of("machines"),
            message,
            format!("at most {MOST_MACHINES}"),
            None,
        );
    }
    let (mut machines, mut weights, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let mut entry = Reader::new(context.findings, format!("{path}.{index}"), item);
        let machine = entry.required::<String>("machine");
        let place = entry.place_of("machine");
        let machine = machine.and_then(|name| names.machine(context, &name, &place));
        let weight = entry.or("weight", 1u32);
        if !(1..=MOST_WEIGHT).contains(&weight) {
            let label = format!("expected 1 to {MOST_WEIGHT}");
            context.findings.error(&entry.place_of("weight"), format!("a weight of {weight}"), label, None);
        }
        if let Some(twice) = machine
            .as_ref()
            .filter(|one: &&Machine| machines.iter().flatten().any(|other: &Machine| other.name == one.name))
        {
            let message = format!("`{path}` has `{}` twice", twice.name);
            context.findings.error(&place, message, "each type once", None);
        }
        shown.push(toml::Value::Table(entry.finish()));
        machines.push(machine);
        weights.push(weight.clamp(1, MOST_WEIGHT));
    }
    table.resolve("machines", shown);
    Some((machines.into_iter().collect::<Option<Vec<Machine>>>()?, weights))
}

fn spot_allocation(context: &Context<'_>, table: &mut Reader<'_>) -> SpotAllocation {
    const KNOWN: [&str; 3] = ["price-capacity-optimized", "capacity-optimized", "lowest-price"];
    let path = table.path_of("spot_allocation");
    let usual = Node { place: table.place().clone(), value: Value::String(KNOWN[0].into()) };
    let node = table.node("spot_allocation").unwrap_or(&usual);
    let (name, entry) = choice(context.findings, &path, node, &KNOWN).unwrap_or((KNOWN[0], None));
    if name != "lowest-price" {
        if let Some(entry) = entry {
            let message = format!("`{path}.{name}` has no options");
            context.findings.error(&entry.place, message, format!("write \"{name}\""), None);
        }
        table.resolve("spot_allocation", name);
        return if name == KNOWN[1] {
            SpotAllocation::CapacityOptimized
        } else {
            SpotAllocation::PriceCapacityOptimized
        };
    }
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let node = entry.map_or(&empty, |entry| &entry.node);
    let mut options = Reader::new(context.findings, format!("{path}.{name}"), node);
    let pools = options.or("pools", 2u32);
    if !(1..=MOST_POOLS).contains(&pools) {
        let label = format!("expected 1 to {MOST_POOLS}");
        context.findings.error(&options.place_of("pools"), format!("{pools} pools"), label, None);
    }
    let shown = toml::Table::from_iter([(name.to_string(), toml::Value::Table(options.finish()))]);
    table.resolve("spot_allocation", shown);
    SpotAllocation::LowestPrice { pools: pools.clamp(1, MOST_POOLS) }
}

fn spot(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    machines: &[Machine],
    zones: &[String],
) -> Option<Spot> {
    let pools = Pools { machines, zones };
    let path = table.path_of("price");
    if table.node("price").is_none() {
        table.missing("price", "a share of the On-Demand price, such as 0.35, or one for each pool");
    }
    let prices = table.node("price").and_then(|node| {
        let (prices, shown) = by_pool::<Positive>(context, &path, node, &pools)?;
        table.resolve("price", shown);
        Some(prices)
    });
    if let Some(high) = prices.iter().flatten().flatten().find(|price| price.0 > 1.0) {
        let message = format!("`{path}` has a price of {} times the On-Demand price", high.0);
        let label = "expected a share above 0 and up to 1";
        context.findings.error(&table.place_of("price"), message, label, None);
    }
    let path = table.path_of("capacity");
    let capacities = table.node("capacity").and_then(|node| {
        let (capacities, shown) = by_pool::<u32>(context, &path, node, &pools)?;
        table.resolve("capacity", shown);
        Some(capacities)
    });
    let interruptions = interruptions(context, table);
    let pool_interruptions = pool_interruptions(context, table);
    let notice = table.or("notice", NOTICE);
    let path = table.path_of("rebalance_recommendation");
    let rebalance_recommendation = table.node("rebalance_recommendation").and_then(|node| {
        let (dist, shown) = duration(context, &path, node)?;
        table.resolve("rebalance_recommendation", shown);
        Some(dist)
    });
    let drain_on_notice = table.or("drain_on_notice", false);
    let capacity_rebalancing = table.or("capacity_rebalancing", false);
    let prices = prices?;
    let mut all = Vec::with_capacity(pools.count());
    for (index, price) in prices.into_iter().enumerate() {
        let Some(Positive(price)) = price else {
            let message =
                format!("`{}` has no price for the pool `{}`", table.path_of("price"), pools.name(index));
            let help =
                format!("`\"{}\" = 0.35` sets it for all its zones", machines[index / zones.len()].name);
            context.findings.error(&table.place_of("price"), message, "a pool without a price", Some(help));
            return None;
        };
        let capacity = capacities.as_ref().and_then(|capacities| capacities[index]);
        all.push(SpotPool { price: price.min(1.0), capacity });
    }
    Some(Spot {
        pools: all,
        interruptions,
        pool_interruptions,
        notice,
        rebalance_recommendation,
        drain_on_notice,
        capacity_rebalancing,
    })
}

/// `{ rate = 0.05 }` per instance-hour, or `{ mean_time_between = "20h" }`.
fn interruptions(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Interruptions> {
    let path = table.path_of("interruptions");
    let mut options = Reader::new(context.findings, path.clone(), table.node("interruptions")?);
    let rate = options.optional::<Positive>("rate");
    let between = options.optional::<Period>("mean_time_between");
    let mean = match (rate, between) {
        (Some(Positive(rate)), None) => Some(3_600e9 / rate),
        (None, Some(Period(between))) => Some(between.as_nanos() as f64),
        (None, None) => {
            options
                .missing("rate", "interruptions per instance-hour, or `mean_time_between`, such as \"20h\"");
            None
        }
        (Some(_), Some(_)) => {
            let message = format!("`{path}` has a rate and a mean time between interruptions");
            context.findings.error(&options.place_of("mean_time_between"), message, "one of both", None);
            None
        }
    };
    too_often(context, &options, mean, "an instance is interrupted");
    let shown = options.finish();
    table.resolve("interruptions", shown);
    mean.map(|mean_time_between| Interruptions { mean_time_between })
}

fn too_often(context: &Context<'_>, table: &Reader<'_>, mean: Option<f64>, what: &str) {
    if let Some(mean) = mean.filter(|&mean| mean < LEAST_MEAN) {
        let message = format!("{what} every {:.1} s on average", mean * 1e-9);
        context.findings.error(table.place(), message, "expected a minute or more", None);
    }
}

fn pool_interruptions(context: &Context<'_>, table: &mut Reader<'_>) -> Option<PoolInterruptions> {
    let path = table.path_of("pool_interruptions");
    let mut options = Reader::new(context.findings, path.clone(), table.node("pool_interruptions")?);
    let mean = options.required::<Period>("mean_time_between").map(|between| between.0.as_nanos() as f64);
    too_often(context, &options, mean, "a pool is interrupted");
    let share = share(context, &mut options);
    let path = options.path_of("returns_after");
    let returns_after: Option<Dist> = match options.node("returns_after") {
        Some(node) => duration(context, &path, node).map(|(dist, shown)| {
            options.resolve("returns_after", shown);
            dist
        }),
        None => {
            options.resolve("returns_after", RETURNS_AFTER.show());
            Dist::constant(RETURNS_AFTER.as_nanos() as f64).ok()
        }
    };
    let shown = options.finish();
    table.resolve("pool_interruptions", shown);
    Some(PoolInterruptions { mean_time_between: mean?, share, returns_after: returns_after? })
}

/// The share of a pool's instances that are taken back.
pub fn share(context: &Context<'_>, table: &mut Reader<'_>) -> f64 {
    let share = table.or("share", 1.0);
    if !(share > 0.0 && share <= 1.0) {
        let message = format!("`{}` is {share}", table.path_of("share"));
        let label = "expected a share above 0 and up to 1";
        context.findings.error(&table.place_of("share"), message, label, None);
    }
    share.clamp(0.0, 1.0)
}

/// `[[incident]] spot_interruption = { group = "web", machine = "c6i.large", zone = "a", share = 1.0, at = "14:00" }`
pub fn spot_interruption(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    table: &mut Reader<'_>,
) -> Option<IncidentKind> {
    let name = table.required::<String>("group");
    let place = table.place_of("group");
    let group = name.as_ref().and_then(|name| names.group(context, name, &place));
    let machine = table.optional::<String>("machine");
    let zone = table.optional::<String>("zone");
    let share = share(context, table);
    let (id, name) = (group?, name?);
    // A group that could not be read has told what is wrong with it.
    let group = known.groups.get(id.index())?.as_ref()?;
    if group.mixed.as_ref().is_none_or(|mixed| mixed.spot.is_none()) {
        let message = format!("group `{name}` has no Spot instances");
        let help = "give it `mixed_instances` with `spot`".to_string();
        context.findings.error(&place, message, "nothing would be taken back", Some(help));
        return None;
    }
    let machines: Vec<&str> = group.machines.iter().map(|machine| machine.name.as_str()).collect();
    let zones: Vec<&str> = group.zones.iter().map(String::as_str).collect();
    let find = |what: &str, name: Option<String>, all: &[&str], place: &Place| match name {
        None => Some(None),
        Some(name) => {
            let found = all.iter().position(|other| *other == name);
            if found.is_none() {
                let message = format!("the group has no {what} `{name}`");
                let help = Some(nearest_or_all(&name, all));
                context.findings.error(place, message, format!("unknown {what}"), help);
            }
            found.map(|index| Some(index as u16))
        }
    };
    let machine = find("machine", machine, &machines, &table.place_of("machine"));
    let zone = find("zone", zone, &zones, &table.place_of("zone"));
    Some(IncidentKind::SpotInterruption { group: id, machine: machine?, zone: zone?, share })
}

/// The pools of a group: types, and in each the zones.
struct Pools<'a> {
    machines: &'a [Machine],
    zones: &'a [String],
}

impl Pools<'_> {
    fn count(&self) -> usize {
        self.machines.len() * self.zones.len()
    }

    /// `c6i.large/a`
    fn name(&self, index: usize) -> String {
        let (machine, zone) = (index / self.zones.len(), index % self.zones.len());
        format!("{}/{}", self.machines[machine].name, self.zones[zone])
    }

    /// The pools that a key is about: those of a type, or a single one.
    fn named(&self, key: &str) -> Vec<usize> {
        let all = 0..self.count();
        let of_type = |&index: &usize| self.machines[index / self.zones.len()].name == key;
        all.filter(|index| of_type(index) || self.name(*index) == key).collect()
    }
}

/// A value for all pools, or a table of them by type or by type and zone, of which the longer name goes first.
fn by_pool<T: Read + Copy>(
    context: &Context<'_>,
    path: &str,
    node: &Node,
    pools: &Pools<'_>,
) -> Option<(Vec<Option<T>>, toml::Value)> {
    let Value::Table(entries) = &node.value else {
        let value: T = read(context.findings, path, node)?;
        return Some((vec![Some(value); pools.count()], value.show()));
    };
    let mut values: Vec<Option<T>> = vec![None; pools.count()];
    let mut shown = toml::Table::new();
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| std::cmp::Reverse(pools.named(&entry.key).len()));
    for entry in sorted {
        let own = pools.named(&entry.key);
        if own.is_empty() {
            let names: Vec<&str> = pools.machines.iter().map(|machine| machine.name.as_str()).collect();
            let help = nearest_or_all(&entry.key, &names) + ", or one with a zone such as `TYPE/ZONE`";
            let message = format!("`{path}`: the group has no pool `{}`", entry.key);
            context.findings.error(&entry.place, message, "unknown pool", Some(help));
            continue;
        }
        let value: T = read(context.findings, &format!("{path}.{}", entry.key), &entry.node)?;
        shown.insert(entry.key.clone(), value.show());
        for index in own {
            values[index] = Some(value);
        }
    }
    Some((values, toml::Value::Table(shown)))
}
