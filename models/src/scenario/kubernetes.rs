//! `kubernetes = { … }` of a group: its instances are pods.

use sim_core::Span;
use sim_core::dist::Dist;

use super::diagnostic::Place;
use super::group::AsInstances;
use super::node::{Node, Value};
use super::nodes::length;
use super::quantity::{Bytes, Cpu};
use super::reader::{Reader, choice};
use super::{Context, Names};
use crate::kubernetes::Scheduling;
use crate::machine::Quota;
use crate::plan::{
    Group, HealthCheckKind, Machine, NodePool, NodePoolId, Pods, Reading, Requests, Scaling, Service, Startup,
};
use crate::scaling::{hpa, keda};

/// The most requests that an activator holds.
const MOST_HELD: u32 = 100_000;

/// A group's pods, and what follows from their being pods.
pub struct Draft {
    /// The pods.
    pub pods: Pods,
    /// What each sees of its node.
    pub machine: Machine,
    /// The zones of the nodes.
    pub zones: Vec<String>,
}

/// Reads the key, where it is there.
pub fn pods(context: &Context<'_>, names: &Names<'_>, table: &mut Reader<'_>) -> Option<Draft> {
    let path = table.path_of("kubernetes");
    let mut own = Reader::new(context.findings, path, table.node("kubernetes")?);
    let name = own.required::<String>("nodes");
    let id = name.and_then(|name| names.nodes(context, &name, &own.place_of("nodes")));
    let limits = amounts(context, &mut own, "limits", Requests::default());
    // What the API server fills in.
    let requests = amounts(context, &mut own, "requests", limits);
    check_limits(context, &own, requests, limits);
    let image_pull = length(context, &mut own, "image_pull", Span::from_secs(5));
    let scheduling = scheduling(context, &mut own);
    let activator = own.optional::<u32>("activator");
    if let Some(most) = activator.filter(|most| !(1..=MOST_HELD).contains(most)) {
        let label = format!("expected 1 to {MOST_HELD}");
        context.findings.error(&own.place_of("activator"), format!("it holds {most} requests"), label, None);
    }
    let place = own.place_of("requests");
    table.resolve("kubernetes", own.finish());
    let nodes = id?;
    let pool = names.pools.get(nodes.index())?.as_ref()?;
    check_fits(context, &place, requests, pool);
    Some(Draft {
        pods: Pods { nodes, requests, image_pull: image_pull?, scheduling, activator },
        machine: container(pool, limits),
        zones: pool.zones.clone(),
    })
}

/// `{ cpu = "500m", memory = "512Mi" }`, each of which may be left out.
fn amounts(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str, default: Requests) -> Requests {
    let path = table.path_of(key);
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let given = table.node(key);
    let mut parts = Reader::new(context.findings, path, given.unwrap_or(&empty));
    let cpu = match default.cpu {
        Some(usual) => Some(parts.or("cpu", Cpu(usual))),
        None => parts.optional::<Cpu>("cpu"),
    };
    let memory = match default.memory {
        Some(usual) => Some(parts.or("memory", Bytes(usual))),
        None => parts.optional::<Bytes>("memory"),
    };
    let shown = parts.finish();
    if !shown.is_empty() {
        table.resolve(key, shown);
    }
    Requests { cpu: cpu.map(|cpu| cpu.0), memory: memory.map(|memory| memory.0) }
}

fn check_limits(context: &Context<'_>, table: &Reader<'_>, requests: Requests, limits: Requests) {
    let pairs = [("cpu", requests.cpu, limits.cpu), ("memory", requests.memory, limits.memory)];
    for (what, request, limit) in pairs {
        if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
            let message =
                format!("`{}`: the {what} limit is below the {what} request", table.path_of("limits"));
            let label = "the API server refuses this: a limit is at least the request";
            context.findings.error(&table.place_of("limits"), message, label, None);
        }
    }
}

fn check_fits(context: &Context<'_>, place: &Place, requests: Requests, pool: &NodePool) {
    let (wanted, room) = (requests.resources(), pool.allocatable());
    if !room.hold(wanted) {
        let message = format!("a pod asks for {wanted}, and an empty node of `{}` has {room}", pool.name);
        let help = "FailedScheduling: such a pod stays Pending however many nodes there are".to_string();
        context.findings.error(place, message, "larger than a node", Some(help));
    }
}

fn scheduling(context: &Context<'_>, table: &mut Reader<'_>) -> Scheduling {
    let path = table.path_of("scheduling");
    let usual = Node { place: table.place().clone(), value: Value::String("least-allocated".into()) };
    let node = table.node("scheduling").unwrap_or(&usual);
    let found = choice(context.findings, &path, node, &["least-allocated", "most-allocated"]);
    let kind = found.map_or("least-allocated", |(kind, _)| kind);
    table.resolve("scheduling", kind);
    if kind == "most-allocated" { Scheduling::MostAllocated } else { Scheduling::LeastAllocated }
}

/// A node as a container sees it: all its vCPUs, of which a limit is a quota, and memory up to the limit.
fn container(pool: &NodePool, limits: Requests) -> Machine {
    let mut machine = pool.machine.clone();
    machine.name = format!("pod on {}", machine.name);
    machine.hourly = None;
    machine.background = Vec::new(); // they run beside pods, not in them
    let vcpus = f64::from(machine.processor.vcpus);
    let cpus = limits.cpu.map(|cpu| cpu as f64 / 1000.0).filter(|&cpus| cpus < vcpus);
    machine.processor.quota = cpus.map(|cpus| Quota { cpus, period: Span::from_millis(100) });
    let memory = limits.memory.unwrap_or(pool.allocatable().memory);
    machine.memory_gib = memory as f64 / f64::from(1 << 30);
    machine
}

/// Keys of machines that mean nothing to pods.
pub fn refuse_keys_of_instances(context: &Context<'_>, table: &mut Reader<'_>) {
    for (key, why) in [
        ("machine", "a pod runs on the machines of its `nodes`"),
        ("zones", "a pod is in the zone of its node"),
        ("health_check", "nobody replaces a pod that is not ready; its kubelet starts it again when it dies"),
        ("instance_warmup", "an HPA has `cpu_initialization_period` and `initial_readiness_delay`"),
        ("default_cooldown", "an HPA has `behavior`"),
        ("termination_policies", "a ReplicaSet chooses by readiness, node and age"),
        ("scale_in_protection", "a ReplicaSet spares no pod"),
        ("lifecycle_hooks", "pods have none of Auto Scaling's"),
        ("warm_pool", "pods have none"),
        ("version", "versions are of launch templates"),
        ("suspend", "these are processes of EC2 Auto Scaling"),
        ("instance_actions", "these are actions of EC2 Auto Scaling"),
        ("max_instance_lifetime", "pods have none"),
        ("monitoring", "metrics-server measures pods every 15 s"),
        ("metric_delay", "metrics-server measures pods every 15 s"),
    ] {
        if table.node(key).is_some() {
            let message = format!("`{}` is of instances, and these are pods", table.path_of(key));
            context.findings.error(&table.place_of(key), message, "leave this out", Some(why.to_string()));
        }
    }
}

/// The sizes that a group of pods has where it does not say: an HPA has at least one, KEDA none to a hundred.
pub fn usual_size(table: &mut Reader<'_>) -> Option<(u32, Option<u32>)> {
    table.node("kubernetes")?;
    let is = |node: &Node, kind: &str| matches!(&node.value, Value::Table(entries) if entries.iter().any(|entry| entry.key == kind));
    let scaling = table.items("scaling");
    if scaling.iter().any(|node| is(node, "keda")) {
        return Some((0, Some(keda::MAX_REPLICA_COUNT)));
    }
    scaling.iter().any(|node| is(node, "hpa")).then_some((1, None))
}

/// Of the parts of a start only the app's is the pod's: its node's are before it, and its images' are between.
pub fn as_instances(context: &Context<'_>, table: &mut Reader<'_>) -> Option<AsInstances> {
    let path = table.path_of("startup");
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let mut parts = Reader::new(context.findings, path, table.node("startup").unwrap_or(&empty));
    let app = length(context, &mut parts, "app", Span::from_secs(10));
    table.resolve("startup", parts.finish());
    let nothing = Dist::constant(0.0).ok()?;
    Some(AsInstances {
        startup: (
            Startup { provision: nothing.clone(), boot: nothing, user_data: Vec::new(), app: app? },
            toml::Table::new(),
        ),
        health_check: HealthCheckKind::Ec2,
        grace_period: Span::ZERO,
        instance_warmup: Some(Span::ZERO),
        default_cooldown: Span::ZERO,
        monitoring: Span::from_secs(60),
        metric_delay: Span::ZERO,
    })
}

/// What has to be true of a group's autoscalers, once all of it is known.
pub fn check(context: &Context<'_>, place: &Place, group: &Group, service: &Service) {
    let path = format!("group.{}.scaling", group.name);
    let fail = |message: String, label: &str, help: Option<String>| {
        context.findings.error(place, message, label, help);
    };
    let mut autoscalers = 0;
    for (index, scaling) in group.scaling.iter().enumerate() {
        let path = format!("{path}.{index}");
        let Some(autoscaler) = scaling.pod_autoscaler() else {
            if group.pods.is_some() && !matches!(scaling, Scaling::Manual { .. }) {
                let help = "pods are scaled by `hpa`, `keda` or `manual`".to_string();
                fail(
                    format!("`{path}` scales instances, and `{}` has pods", group.name),
                    "not for pods",
                    Some(help),
                );
            }
            continue;
        };
        autoscalers += 1;
        let Some(pods) = &group.pods else {
            let help = Some("add `kubernetes = { nodes = … }`, or use `target_tracking`".to_string());
            fail(
                format!("`{path}` scales pods, and `{}` has machines", group.name),
                "without Kubernetes",
                help,
            );
            continue;
        };
        let reads = |reading| autoscaler.reads.contains(&reading);
        for (metric, reading) in autoscaler.hpa.metrics.iter().zip(&autoscaler.reads) {
            let missing = match reading {
                Reading::Cpu => pods.requests.cpu.is_none(),
                Reading::Memory => pods.requests.memory.is_none(),
                _ => false,
            };
            if missing && matches!(metric.target, hpa::Target::Utilization(_)) {
                let name = if *reading == Reading::Cpu { "cpu" } else { "memory" };
                let help = format!("add `requests = {{ {name} = … }}` to `group.{}.kubernetes`", group.name);
                let label = "FailedGetResourceMetric: it would never scale";
                fail(format!("`{path}`: missing request for {name}"), label, Some(help));
            }
        }
        if reads(Reading::Memory) && service.memory.is_none() {
            let help = "say in the service's `memory` what a process and a request need".to_string();
            let message = format!("`{path}` goes by memory, and its service does not say what it needs");
            fail(message, "nothing to measure", Some(help));
        }
        if group.min == 0 && matches!(scaling, Scaling::Hpa(_)) && !autoscaler.hpa.scales_from_outside() {
            let help =
                "pods that are not there have no CPU: add an `object` or `external` metric".to_string();
            let label = "the API server refuses minReplicas of 0 without one";
            fail(format!("`{path}` has no metric that tells of work at 0 pods"), label, Some(help));
        }
        if group.max == 0 {
            fail(format!("`{path}`: at most 0 pods"), "expected a `max` of 1 or more", None);
        }
    }
    if autoscalers > 1 {
        let label = "AmbiguousSelector: neither would scale";
        let help = "one `hpa` can have several metrics, of which the largest proposal counts".to_string();
        fail(format!("`{path}` has {autoscalers} autoscalers of the same pods"), label, Some(help));
    }
}

impl Names<'_> {
    /// The pool of nodes with a name.
    pub fn nodes(&self, context: &Context<'_>, name: &str, place: &Place) -> Option<NodePoolId> {
        Self::find(context, "node pool", self.nodes, name, place).map(NodePoolId)
    }
}
