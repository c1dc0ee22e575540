//! `[nodes.NAME]`: the machines that pods run on, and who adds and removes them.

use std::collections::BTreeMap;

use sim_core::Span;
use sim_core::dist::Dist;

use super::Context;
use super::diagnostic::nearest;
use super::dist::duration;
use super::node::{Entry, Node, Value};
use super::quantity::{Bytes, Cpu};
use super::reader::{Read, Reader, choice};
use super::service::strings;
use super::units::Period;
use crate::kubernetes::Resources;
use crate::plan::{Autoscaler, ClusterAutoscaler, Karpenter, Machine, NodePool};

/// The most nodes of a pool.
const MOST_NODES: u32 = 5_000;

/// Reads all pools. One that cannot be read is left out, and what names it says that it is not there.
pub fn pools<'a>(
    context: &Context<'_>,
    machines: &BTreeMap<String, Machine>,
    root: &mut Reader<'a>,
) -> Vec<Option<NodePool>> {
    let mut shown = toml::Table::new();
    let mut pools = Vec::new();
    for entry in root.named("nodes") {
        let (pool, resolved) = pool(context, machines, entry);
        pools.push(pool);
        shown.insert(entry.key.clone(), toml::Value::Table(resolved));
    }
    if !shown.is_empty() {
        root.resolve("nodes", shown);
    }
    pools
}

fn pool(
    context: &Context<'_>,
    machines: &BTreeMap<String, Machine>,
    entry: &Entry,
) -> (Option<NodePool>, toml::Table) {
    let mut table = Reader::new(context.findings, format!("nodes.{}", entry.key), &entry.node);
    let machine = machine(context, machines, &mut table);
    let zones = strings(context, &mut table, "zones", &["a"]);
    let autoscaler = autoscaler(context, &mut table);
    let least = u32::from(matches!(autoscaler, Some(Autoscaler::ClusterAutoscaler(_))));
    let min = table.or("min", least);
    let max = table.or("max", min.max(10));
    check_size(context, &table, min, max);
    let reserved = reserved(context, &mut table, machine.as_ref());
    // Between asking and joining lie a group or a fleet's request, the machine's boot and its kubelet.
    let (provision, boot) =
        if matches!(autoscaler, Some(Autoscaler::Karpenter(_))) { (20, 40) } else { (30, 60) };
    let startup = startup(context, &mut table, provision, boot);
    let resolved = table.finish();
    let pool = machine.zip(autoscaler).zip(startup).map(|((machine, autoscaler), (provision, boot))| {
        NodePool { name: entry.key.clone(), machine, zones, min, max, reserved, provision, boot, autoscaler }
    });
    (pool, resolved)
}

fn machine(
    context: &Context<'_>,
    machines: &BTreeMap<String, Machine>,
    table: &mut Reader<'_>,
) -> Option<Machine> {
    let name: String = table.required("machine")?;
    let place = table.place_of("machine");
    let Some(machine) = machines.get(&name) else {
        let help = nearest(&name, machines.keys().map(String::as_str).collect::<Vec<_>>());
        context.findings.error(&place, format!("there is no machine `{name}`"), "unknown machine", help);
        return None;
    };
    if machine.processor.credits.is_some() {
        let message = format!("`{name}` has CPU credits, which its pods would share");
        let help = "that is not played: take a type of the c, m or r families".to_string();
        context.findings.error(&place, message, "not for nodes", Some(help));
    }
    Some(machine.clone())
}

fn check_size(context: &Context<'_>, table: &Reader<'_>, min: u32, max: u32) {
    let fail = |key: &str, message: String| {
        let label = format!("expected min <= max <= {MOST_NODES}, and a node");
        context.findings.error(&table.place_of(key), message, label, None);
    };
    if min > max {
        fail("min", format!("`{}`: {min} nodes are more than the maximum of {max}", table.path_of("min")));
    } else if max == 0 || max > MOST_NODES {
        fail("max", format!("`{}` is {max}", table.path_of("max")));
    }
}

/// What pods cannot ask for. On a machine of 8 vCPUs and 16 GiB EKS keeps 90 thousandths of a vCPU and some 900 MiB; pods that
/// run on every node come on top.
fn reserved(context: &Context<'_>, table: &mut Reader<'_>, machine: Option<&Machine>) -> Resources {
    let path = table.path_of("reserved");
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let mut parts = Reader::new(context.findings, path, table.node("reserved").unwrap_or(&empty));
    let (cpu, memory) = (parts.or("cpu", Cpu(100)).0, parts.or("memory", Bytes(1 << 30)).0);
    let vcpus = machine.map_or(u32::MAX, |machine| machine.processor.vcpus);
    let gib = machine.map_or(f64::MAX, |machine| machine.memory_gib);
    let nothing_left = cpu >= u64::from(vcpus) * 1000 || memory as f64 >= gib * f64::from(1 << 30);
    if nothing_left {
        let message = "all of a node is reserved".to_string();
        context.findings.error(parts.place(), message, "nothing is left for pods", None);
    }
    table.resolve("reserved", parts.finish());
    Resources { cpu, memory }
}

fn startup(context: &Context<'_>, table: &mut Reader<'_>, provision: u64, boot: u64) -> Option<(Dist, Dist)> {
    let path = table.path_of("startup");
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let node = table.node("startup").unwrap_or(&empty);
    let mut parts = Reader::new(context.findings, path, node);
    let provision = length(context, &mut parts, "provision", Span::from_secs(provision));
    let boot = length(context, &mut parts, "boot", Span::from_secs(boot));
    table.resolve("startup", parts.finish());
    provision.zip(boot)
}

/// A length of time that may be a distribution.
pub fn length(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    default: Span,
) -> Option<Dist> {
    let path = table.path_of(key);
    let (dist, shown) = match table.node(key) {
        Some(node) => duration(context, &path, node)?,
        None => (Dist::constant(default.as_nanos() as f64).ok()?, default.show()),
    };
    table.resolve(key, shown);
    Some(dist)
}

fn autoscaler(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Autoscaler> {
    let path = table.path_of("autoscaler");
    let usual = Node { place: table.place().clone(), value: Value::String("cluster-autoscaler".into()) };
    let node = table.node("autoscaler").unwrap_or(&usual);
    let known = ["cluster-autoscaler", "karpenter", "none"];
    let (kind, entry) = choice(context.findings, &path, node, &known)?;
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let mut options =
        Reader::new(context.findings, format!("{path}.{kind}"), entry.map_or(&empty, |entry| &entry.node));
    let autoscaler = match kind {
        "cluster-autoscaler" => Autoscaler::ClusterAutoscaler(cluster_autoscaler(context, &mut options)),
        "karpenter" => Autoscaler::Karpenter(karpenter(context, &mut options)),
        _ => Autoscaler::None,
    };
    let shown = options.finish();
    if shown.is_empty() {
        table.resolve("autoscaler", kind);
    } else {
        table.resolve("autoscaler", toml::Table::from_iter([(kind.to_string(), toml::Value::Table(shown))]));
    }
    Some(autoscaler)
}

fn cluster_autoscaler(context: &Context<'_>, options: &mut Reader<'_>) -> ClusterAutoscaler {
    let threshold = options.or("scale_down_utilization_threshold", 0.5);
    share(context, options, "scale_down_utilization_threshold", threshold);
    let minutes = |minutes: u64| Span::from_secs(60 * minutes);
    ClusterAutoscaler {
        scan_interval: options.or("scan_interval", Period(Span::from_secs(10))).0,
        scale_down_unneeded_time: options.or("scale_down_unneeded_time", minutes(10)),
        scale_down_delay_after_add: options.or("scale_down_delay_after_add", minutes(10)),
        scale_down_utilization_threshold: threshold,
    }
}

fn karpenter(context: &Context<'_>, options: &mut Reader<'_>) -> Karpenter {
    let budget = options.or("budget", 0.1);
    share(context, options, "budget", budget);
    let consolidates = options.or("consolidation", true);
    let after = consolidates.then(|| options.or("consolidate_after", Span::ZERO));
    Karpenter {
        batch_idle_duration: options.or("batch_idle_duration", Span::from_secs(1)),
        batch_max_duration: options.or("batch_max_duration", Span::from_secs(10)),
        consolidate_after: after,
        budget,
    }
}

fn share(context: &Context<'_>, table: &Reader<'_>, key: &str, value: f64) {
    if !(0.0..=1.0).contains(&value) {
        let message = format!("`{}` is {value}", table.path_of(key));
        context.findings.error(&table.place_of(key), message, "expected 0 to 1", None);
    }
}
