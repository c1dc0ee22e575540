//! `hpa = { … }` and `keda = { … }` in a group's `scaling`.

use sim_core::Span;

use super::Context;
use super::node::{Node, Value};
use super::quantity::{Bytes, Cpu};
use super::reader::{Read, Reader, choice, read};
use super::units::{Period, Positive};
use crate::plan::{PodAutoscaler, Reading, ScaledObject};
use crate::scaling::hpa::behavior::{LONGEST_PERIOD, LONGEST_WINDOW};
use crate::scaling::hpa::{
    self, Behavior, Hpa, Metric, PolicyKind, Rate, Readiness, Resource, Rules, ScaleToZero, SelectPolicy,
    Source, Target, Tolerance,
};
use crate::scaling::keda::{self, Keda, Trigger};

/// Reads a HorizontalPodAutoscaler.
pub fn hpa(context: &Context<'_>, table: &mut Reader<'_>) -> Option<PodAutoscaler> {
    let metrics = metrics(context, table);
    let controller = controller(context, table); // whatever is wrong with its metrics, it is read
    Some(controller?.with(metrics?))
}

impl PodAutoscaler {
    fn with(mut self, (metrics, reads): (Vec<Metric>, Vec<Reading>)) -> Self {
        (self.hpa.metrics, self.reads) = (metrics, reads);
        self
    }
}

/// Behaviour, and the controller's flags.
fn controller(context: &Context<'_>, table: &mut Reader<'_>) -> Option<PodAutoscaler> {
    let usual = Hpa::default();
    let tolerance = table.or("tolerance", hpa::TOLERANCE);
    let readiness = Readiness {
        cpu_initialization_period: table
            .or("cpu_initialization_period", usual.readiness.cpu_initialization_period),
        initial_readiness_delay: table.or("initial_readiness_delay", usual.readiness.initial_readiness_delay),
    };
    let downscale_stabilization = table.or("downscale_stabilization", usual.downscale_stabilization);
    let behavior = behavior(context, table, downscale_stabilization);
    let sync_period = table.or("sync_period", Period(hpa::SYNC_PERIOD)).0;
    let path = table.path_of("scale_to_zero");
    let plain = Node { place: table.place().clone(), value: Value::String("condition".into()) };
    let node = table.node("scale_to_zero").unwrap_or(&plain);
    let (kind, _) = choice(context.findings, &path, node, &["condition", "legacy"])?;
    table.resolve("scale_to_zero", kind);
    let scale_to_zero =
        if kind == "legacy" { ScaleToZero::Legacy } else { ScaleToZero::Condition { feature: true } };
    let hpa = Hpa {
        behavior,
        tolerance: Tolerance::both(tolerance),
        readiness,
        downscale_stabilization,
        scale_to_zero,
        ..usual
    };
    Some(PodAutoscaler { hpa, reads: Vec::new(), sync_period })
}

/// `[{ resource = { cpu = 80 } }, { pods = { requests_per_second = 50 } }, …]`
fn metrics(context: &Context<'_>, table: &mut Reader<'_>) -> Option<(Vec<Metric>, Vec<Reading>)> {
    let path = table.path_of("metrics");
    let items = table.items("metrics");
    let (mut metrics, mut reads, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    // All of them are looked at, so that all mistakes are told.
    let read = items.iter().enumerate();
    let read: Vec<_> = read.map(|(index, item)| metric(context, &format!("{path}.{index}"), item)).collect();
    for (metric, reading, own) in read.into_iter().collect::<Option<Vec<_>>>()? {
        metrics.push(metric);
        reads.push(reading);
        shown.push(own);
    }
    if metrics.is_empty() {
        metrics.push(Metric::default());
        reads.push(Reading::Cpu);
        let percent = toml::Value::from(i64::from(hpa::DEFAULT_CPU_UTILIZATION));
        shown.push(nested("resource", "cpu", percent));
    }
    table.resolve("metrics", shown);
    Some((metrics, reads))
}

fn nested(outer: &str, inner: &str, value: toml::Value) -> toml::Value {
    let inner = toml::Table::from_iter([(inner.to_string(), value)]);
    toml::Value::Table(toml::Table::from_iter([(outer.to_string(), toml::Value::Table(inner))]))
}

fn metric(context: &Context<'_>, path: &str, node: &Node) -> Option<(Metric, Reading, toml::Value)> {
    let known = ["resource", "pods", "object", "external"];
    let (kind, entry) = choice(context.findings, path, node, &known)?;
    let path = format!("{path}.{kind}");
    let Some(entry) = entry else {
        let label = format!("expected `{kind} = {{ … }}`");
        context.findings.error(&node.place, format!("`{path}` needs parameters"), label, None);
        return None;
    };
    let known: &[&str] = match kind {
        "resource" => &["cpu", "memory"],
        "pods" => &["requests_per_second"],
        "object" => &["requests_per_second"],
        _ => &["backlog"],
    };
    let (what, value) = choice(context.findings, &path, &entry.node, known)?;
    let path = format!("{path}.{what}");
    let Some(value) = value else {
        let label = "expected a target";
        context.findings.error(&entry.node.place, format!("`{path}` needs a target"), label, None);
        return None;
    };
    let (source, target, reading, shown) = match (kind, what) {
        ("resource", _) => {
            let (target, shown) = resource(context, &path, what, &value.node)?;
            let (resource, reading) = match what {
                "cpu" => (Resource::Cpu, Reading::Cpu),
                _ => (Resource::Memory, Reading::Memory),
            };
            (Source::Resource { resource, container: None }, target, reading, shown)
        }
        ("pods", _) => {
            let average: Positive = read(context.findings, &path, &value.node)?;
            (
                Source::Pods,
                Target::AverageValue(thousandths(average)),
                Reading::RequestsPerPod,
                average.0.into(),
            )
        }
        ("object", _) => {
            let (target, _, shown) = global(context, &path, &value.node, false)?;
            (Source::Object, target, Reading::Requests, shown)
        }
        _ => {
            let (target, in_flight, shown) = global(context, &path, &value.node, true)?;
            (Source::External, target, Reading::Backlog { in_flight }, shown)
        }
    };
    let name = match reading {
        Reading::Cpu => "CPU",
        Reading::Memory => "memory",
        Reading::RequestsPerPod => "requests a second and pod",
        Reading::Requests => "requests a second",
        Reading::Backlog { .. } => "backlog",
    };
    Some((Metric { source, target, name: name.to_string() }, reading, nested(kind, what, shown)))
}

/// A target in the controller's unit; a thousandth at least.
fn thousandths(value: Positive) -> i64 {
    ((value.0 * 1000.0).round() as i64).max(1)
}

/// A number is percent of the request, a quantity an average value.
fn resource(context: &Context<'_>, path: &str, what: &str, node: &Node) -> Option<(Target, toml::Value)> {
    if let Value::Integer(percent) = node.value {
        let Some(target) = i32::try_from(percent).ok().filter(|&percent| percent > 0) else {
            let label = "expected percent of the request, 1 or more";
            context.findings.error(&node.place, format!("`{path}` is {percent}"), label, None);
            return None;
        };
        return Some((Target::Utilization(target), toml::Value::from(i64::from(target))));
    }
    if what == "cpu" {
        let cpu: Cpu = read(context.findings, path, node)?;
        Some((Target::AverageValue(i64::try_from(cpu.0).unwrap_or(i64::MAX)), cpu.show()))
    } else {
        let bytes: Bytes = read(context.findings, path, node)?;
        let target = i64::try_from(bytes.0).unwrap_or(i64::MAX).saturating_mul(1000);
        Some((Target::AverageValue(target), bytes.show()))
    }
}

/// `{ value = 1000 }` or `{ average_value = 50 }`.
fn global(
    context: &Context<'_>,
    path: &str,
    node: &Node,
    backlog: bool,
) -> Option<(Target, bool, toml::Value)> {
    let mut table = Reader::new(context.findings, path, node);
    let value = table.optional::<Positive>("value");
    let average = table.optional::<Positive>("average_value");
    let in_flight = if backlog { table.or("in_flight", true) } else { true };
    let target = match (value, average) {
        (Some(value), None) => Some(Target::Value(thousandths(value))),
        (None, Some(average)) => Some(Target::AverageValue(thousandths(average))),
        _ => {
            let label = "expected either `value` or `average_value`, above zero";
            context.findings.error(&node.place, format!("`{path}` needs one target"), label, None);
            None
        }
    };
    let shown = table.finish();
    Some((target?, in_flight, toml::Value::Table(shown)))
}

/// `behavior = { scale_up = { … }, scale_down = { … } }`. Where one is given the other has its defaults; where none is, there is
/// no behaviour, which is something else.
fn behavior(context: &Context<'_>, table: &mut Reader<'_>, window: Span) -> Option<Behavior> {
    let path = table.path_of("behavior");
    let mut both = Reader::new(context.findings, path, table.node("behavior")?);
    let scale_up = rules(context, &mut both, "scale_up", Rules::scale_up());
    let scale_down = rules(context, &mut both, "scale_down", Rules::scale_down(window));
    table.resolve("behavior", both.finish());
    Some(Behavior { scale_up, scale_down })
}

fn rules(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str, usual: Rules) -> Rules {
    let path = table.path_of(key);
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let mut own = Reader::new(context.findings, path, table.node(key).unwrap_or(&empty));
    let stabilization_window = own.or("stabilization_window", usual.stabilization_window);
    if stabilization_window > LONGEST_WINDOW {
        let message = format!("`{}` is {stabilization_window}", own.path_of("stabilization_window"));
        let label = "stabilizationWindowSeconds is 0 to 3600";
        context.findings.error(&own.place_of("stabilization_window"), message, label, None);
    }
    let select_policy = select_policy(context, &mut own);
    let policies = policies(context, &mut own, usual.policies);
    let tolerance = own.optional::<f64>("tolerance");
    table.resolve(key, own.finish());
    Rules { stabilization_window, select_policy, policies, tolerance }
}

fn select_policy(context: &Context<'_>, table: &mut Reader<'_>) -> SelectPolicy {
    let path = table.path_of("select_policy");
    let usual = Node { place: table.place().clone(), value: Value::String("Max".into()) };
    let node = table.node("select_policy").unwrap_or(&usual);
    let kind =
        choice(context.findings, &path, node, &["Max", "Min", "Disabled"]).map_or("Max", |(kind, _)| kind);
    table.resolve("select_policy", kind);
    match kind {
        "Min" => SelectPolicy::Min,
        "Disabled" => SelectPolicy::Disabled,
        _ => SelectPolicy::Max,
    }
}

/// `[{ pods = 4, period = "15s" }, { percent = 100, period = "15s" }]`
fn policies(context: &Context<'_>, table: &mut Reader<'_>, usual: Vec<Rate>) -> Vec<Rate> {
    let path = table.path_of("policies");
    let given = table.node("policies").is_some();
    let (mut rates, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in table.items("policies").iter().enumerate() {
        let mut own = Reader::new(context.findings, format!("{path}.{index}"), item);
        let pods = own.optional::<u32>("pods");
        let percent = own.optional::<u32>("percent");
        let period = own.or("period", Span::from_secs(15));
        let kind = if pods.is_some() { PolicyKind::Pods } else { PolicyKind::Percent };
        let value = pods.or(percent).filter(|_| pods.is_none() || percent.is_none());
        match value.and_then(|value| i32::try_from(value).ok()).filter(|&value| value > 0) {
            Some(value) => rates.push(Rate { kind, value, period }),
            None => {
                let message = format!("`{path}.{index}` does not say how fast");
                let label = "expected `pods` or `percent`, above zero";
                context.findings.error(&item.place, message, label, None);
            }
        }
        if !(Span::from_secs(1)..=LONGEST_PERIOD).contains(&period) {
            let message = format!("`{}` is {period}", own.path_of("period"));
            context.findings.error(&own.place_of("period"), message, "periodSeconds is 1 to 1800", None);
        }
        shown.push(toml::Value::Table(own.finish()));
    }
    if given && shown.is_empty() {
        let label = "expected at least one, or `select_policy = \"Disabled\"`";
        context.findings.error(&table.place_of("policies"), format!("`{path}` is empty"), label, None);
    }
    if !given {
        let show = |rate: &Rate| {
            let key = if rate.kind == PolicyKind::Pods { "pods" } else { "percent" };
            let period = toml::Value::String(rate.period.to_string());
            let value = toml::Value::from(i64::from(rate.value));
            toml::Value::Table(toml::Table::from_iter([
                (key.to_string(), value),
                ("period".to_string(), period),
            ]))
        };
        shown = usual.iter().map(show).collect();
        rates = usual;
    }
    table.resolve("policies", shown);
    rates
}

/// Reads a ScaledObject.
pub fn scaled_object(context: &Context<'_>, table: &mut Reader<'_>, min: u32) -> Option<ScaledObject> {
    let path = table.path_of("triggers");
    let (mut triggers, mut metrics, mut reads, mut shown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let items = table.items("triggers");
    for (index, item) in items.iter().enumerate() {
        if let Some((trigger, metric, reading, own)) = trigger(context, &format!("{path}.{index}"), item) {
            triggers.push(trigger);
            metrics.push(metric);
            reads.push(reading);
            shown.push(own);
        }
    }
    if items.is_empty() {
        table.missing("triggers", "such as [{ backlog = { target = 5 } }]");
    }
    let complete = !triggers.is_empty() && triggers.len() == items.len();
    table.resolve("triggers", shown);
    let polling_interval = table.or("polling_interval", Period(keda::POLLING_INTERVAL)).0;
    let cooldown_period = table.or("cooldown_period", keda::COOLDOWN_PERIOD);
    let initial_cooldown_period = table.or("initial_cooldown_period", Span::ZERO);
    let idle = table.optional::<u32>("idle_replica_count");
    if let Some(idle) = idle.filter(|&idle| idle != 0 || min == 0) {
        let message = format!("`{}` is {idle}, with a minimum of {min}", table.path_of("idle_replica_count"));
        let label = "KEDA takes 0 only, and it has to be below the minimum";
        context.findings.error(&table.place_of("idle_replica_count"), message, label, None);
    }
    let keda = Keda {
        triggers,
        polling_interval,
        cooldown_period,
        initial_cooldown_period,
        idles_at_zero: idle.is_some(),
    };
    let autoscaler = controller(context, table)?.with((metrics, reads));
    complete.then_some(ScaledObject { keda, autoscaler })
}

type OneTrigger = (Trigger, Metric, Reading, toml::Value);

/// `{ backlog = { target = 5, activation = 0, in_flight = true } }`
fn trigger(context: &Context<'_>, path: &str, node: &Node) -> Option<OneTrigger> {
    let (kind, entry) = choice(context.findings, path, node, &["backlog", "requests_per_second"])?;
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let path = format!("{path}.{kind}");
    let mut table = Reader::new(context.findings, path, entry.map_or(&empty, |entry| &entry.node));
    // As of the scaler of SQS; how many requests a second are for one pod, nobody else can say.
    let (target, reading) = if kind == "backlog" {
        let target = Some(table.or("target", Positive(5.0)));
        (target, Reading::Backlog { in_flight: table.or("in_flight", true) })
    } else {
        (table.required::<Positive>("target"), Reading::Requests)
    };
    let activation = table.or("activation", 0.0);
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
    let name = if kind == "backlog" { "backlog" } else { "requests a second" }.to_string();
    let target = target?;
    let metric = Metric {
        source: Source::External,
        target: Target::AverageValue(thousandths(target)),
        name: name.clone(),
    };
    Some((Trigger { name, target: target.0, activation }, metric, reading, toml::Value::Table(shown)))
}
