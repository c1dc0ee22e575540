//! `[group.NAME]` and its scaling.

use sim_core::{Span, Time};

use super::cron::{MOST_RUNS, Schedule, time_zone};
use super::lifecycle::lifecycle;
use super::mig::mig;
use super::node::{Entry, Node, Value};
use super::predictive::predictive;
use super::reader::{Reader, choice, read};
use super::service::strings;
use super::units::{Moment, Port, Positive};
use super::version::{Own, versions};
use super::vmss::{OfGroup, vmss};
use super::{Context, Names, cost, hpa, kubernetes, mixed, scaling, schedule, worker};
use crate::plan::{
    Endpoint, Group, HealthCheckKind, Lifecycle, Metric, Scaling, ScheduledAction, Service, TargetTracking,
};
use crate::scaling::Size;

/// The largest group.
pub const MOST_INSTANCES: u32 = 10_000;

/// Reads a group.
pub fn group(
    context: &Context<'_>,
    names: &Names<'_>,
    services: &[Service],
    endpoints: &[Endpoint],
    entry: &Entry,
) -> Option<(Group, toml::Table)> {
    let path = format!("group.{}", entry.key);
    let mut table = Reader::new(context.findings, path.clone(), &entry.node);
    let service = table.required::<String>("service");
    let service = service.and_then(|name| names.service(context, &name, &table.place_of("service")));
    let under_kubernetes = table.node("kubernetes").is_some();
    let draft = kubernetes::pods(context, names, &mut table);
    let (machines, zones, volume) = if under_kubernetes {
        kubernetes::refuse_keys_of_instances(context, &mut table);
        let draft = draft.as_ref();
        let machines = draft.map(|draft| (vec![draft.machine.clone()], None));
        (machines, draft.map(|draft| draft.zones.clone()), None)
    } else {
        let zones = strings(context, &mut table, "zones", &["a"]);
        let machines = mixed::machines(context, names, &mut table, &zones);
        let volume = cost::volume(context, &mut table, names.volume_gib_month);
        (machines, Some(zones), volume)
    };
    let usual = kubernetes::usual_size(&mut table);
    let min = match usual {
        Some((min, _)) => Some(table.or("min", min)),
        None => table.required::<u32>("min"),
    };
    let desired = table.or("desired", min.unwrap_or(0));
    let usual_max = usual.and_then(|(_, max)| max).unwrap_or(0);
    let max = table.or("max", desired.max(min.unwrap_or(0)).max(usual_max));
    check_size(context, &table, &path, min.unwrap_or(0), desired, max);
    let instances = if under_kubernetes {
        kubernetes::as_instances(context, &mut table)
    } else {
        as_instances(context, &mut table)
    };
    let inbound = security_group(context, &mut table);
    let lifecycle = if under_kubernetes {
        Some(Lifecycle::default())
    } else {
        lifecycle(context, &mut table, [min.unwrap_or(0), desired, max])
    };
    let monitoring = instances.as_ref().map_or(Span::from_secs(60), |instances| instances.monitoring);
    let mut policies = Vec::new();
    let (mut shown, mut places) = (Vec::new(), Vec::new());
    for (index, item) in table.items("scaling").iter().enumerate() {
        let of = OfGroup { min: min.unwrap_or(0), max, monitoring };
        let place = format!("{path}.scaling.{index}");
        let min = min.unwrap_or(0);
        if let Some((policy, resolved)) = policy(context, &place, item, of) {
            check_policy(context, item, &policies, &policy, (min, max));
            places.push(item.place.clone());
            policies.push(policy);
            shown.push(toml::Value::Table(resolved));
        }
    }
    if !shown.is_empty() {
        table.resolve("scaling", shown);
    }
    let place = table.place_of("scaling");
    let size = Size { min: min.unwrap_or(0), desired, max };
    schedule::check(context, &entry.key, &policies, &places, size);
    let startup = instances.as_ref().map(|instances| &instances.startup);
    let machine = machines.as_ref().and_then(|(machines, _)| machines.first());
    let own = Own { service, machine, startup };
    let versions = versions(context, names, services, &mut table, &own);
    let worker = worker::worker(context, names, &mut table, service, endpoints);
    let table_place = table.place().clone();
    let resolved = table.finish();
    let service = service?;
    let AsInstances {
        startup,
        health_check,
        grace_period,
        instance_warmup,
        default_cooldown,
        monitoring,
        metric_delay,
    } = instances?;
    let working_set = services.get(service.index())?.working_set;
    let (machines, mixed) = machines?;
    let mut group = Group {
        name: entry.key.clone(),
        service,
        machines: machines.into_iter().map(|machine| machine.refilling(working_set)).collect(),
        mixed,
        volume,
        zones: zones?,
        min: min?,
        desired,
        max,
        startup: startup.0,
        health_check,
        grace_period,
        instance_warmup,
        default_cooldown,
        monitoring,
        metric_delay,
        inbound,
        lifecycle: lifecycle?,
        scaling: policies,
        pods: draft.map(|draft| draft.pods),
        versions: Vec::new(),
        worker: worker?,
    };
    let versions = versions?;
    if group.mixed.is_some() {
        let place = table_place;
        if group.lifecycle.warm_pool.is_some() {
            let message = format!("`{path}` has a warm pool beside mixed instances or Spot");
            let label = "the provider refuses this (EC2 Auto Scaling, \"Warm pools\", Limitations)";
            context.findings.error(&place, message, label, Some("leave `warm_pool` out".into()));
        }
        if !versions.is_empty() {
            let message = format!("`{path}` has versions beside mixed instances or Spot");
            let help = Some("leave `version` out, or use one machine, On-Demand".into());
            context.findings.error(&place, message, "these are not played together", help);
        }
    }
    for (machine, mut version) in versions {
        version.machine = group.machines.len() as u16;
        group.machines.push(machine);
        group.versions.push(version);
    }
    kubernetes::check(context, &place, &group, &services[service.index()]);
    Some((group, resolved))
}

/// What a group says of its instances as machines.
pub struct AsInstances {
    pub startup: super::startup::Read,
    pub health_check: HealthCheckKind,
    pub grace_period: Span,
    pub instance_warmup: Option<Span>,
    pub default_cooldown: Span,
    pub monitoring: Span,
    pub metric_delay: Span,
}

fn as_instances(context: &Context<'_>, table: &mut Reader<'_>) -> Option<AsInstances> {
    let startup = super::startup::startup(context, table, None);
    let (health_check, grace_period) = health_check(context, table);
    let instance_warmup = table.optional::<Span>("instance_warmup");
    let default_cooldown = table.or("default_cooldown", Span::from_secs(300));
    let monitoring = monitoring(context, table);
    let metric_delay = table.or("metric_delay", Span::from_secs(60));
    let startup = startup?;
    Some(AsInstances {
        startup,
        health_check,
        grace_period,
        instance_warmup,
        default_cooldown,
        monitoring,
        metric_delay,
    })
}

fn check_size(context: &Context<'_>, table: &Reader<'_>, path: &str, min: u32, desired: u32, max: u32) {
    let fail = |key: &str, message: String| {
        context.findings.error(&table.place_of(key), message, "expected min <= desired <= max", None);
    };
    if min > max {
        fail("min", format!("`{path}`: the minimum of {min} is above the maximum of {max}"));
    } else if !(min..=max).contains(&desired) {
        fail("desired", format!("`{path}`: the desired capacity of {desired} is outside {min} to {max}"));
    }
    if max > MOST_INSTANCES {
        fail(
            "max",
            format!("`{path}`: {max} instances are more than the {MOST_INSTANCES} that a group may have"),
        );
    }
}

fn health_check(context: &Context<'_>, table: &mut Reader<'_>) -> (HealthCheckKind, Span) {
    let path = table.path_of("health_check");
    let plain = Node { place: table.place().clone(), value: Value::String("ec2".into()) };
    let node = table.node("health_check").unwrap_or(&plain);
    let Some((kind, entry)) = choice(context.findings, &path, node, &["ec2", "elb"]) else {
        return (HealthCheckKind::Ec2, Span::ZERO);
    };
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let mut options =
        Reader::new(context.findings, format!("{path}.{kind}"), entry.map_or(&empty, |entry| &entry.node));
    // 300 s where a group is made in the console; 0 by API and templates, which catches everybody once.
    let grace = if kind == "elb" { options.or("grace_period", Span::from_secs(300)) } else { Span::ZERO };
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(options.finish()))]);
    table.resolve("health_check", shown);
    (if kind == "elb" { HealthCheckKind::Elb } else { HealthCheckKind::Ec2 }, grace)
}

/// `security_group = { inbound = [3000] }`: where balancers get in.
fn security_group(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Vec<u16>> {
    let path = table.path_of("security_group");
    let mut rules = Reader::new(context.findings, path, table.node("security_group")?);
    let path = rules.path_of("inbound");
    if rules.node("inbound").is_none() {
        rules.missing("inbound", "the ports that are open, such as [80]");
    }
    let ports = rules.items("inbound").iter().filter_map(|item| read::<Port>(context.findings, &path, item));
    let ports: Vec<u16> = ports.map(|port| port.0).collect();
    rules
        .resolve("inbound", ports.iter().map(|&port| toml::Value::from(i64::from(port))).collect::<Vec<_>>());
    table.resolve("security_group", rules.finish());
    Some(ports)
}

fn monitoring(context: &Context<'_>, table: &mut Reader<'_>) -> Span {
    let path = table.path_of("monitoring");
    // As AWS: a launch template has basic monitoring unless it asks for more.
    let basic = Node { place: table.place().clone(), value: Value::String("basic".into()) };
    let node = table.node("monitoring").unwrap_or(&basic);
    let kind =
        choice(context.findings, &path, node, &["basic", "detailed"]).map_or("basic", |(kind, _)| kind);
    table.resolve("monitoring", kind);
    Span::from_secs(if kind == "detailed" { 60 } else { 300 })
}

/// What a policy must not be, given those before it.
fn check_policy(
    context: &Context<'_>,
    node: &Node,
    before: &[Scaling],
    policy: &Scaling,
    (min, max): (u32, u32),
) {
    let actions = || {
        before.iter().filter_map(|other| match other {
            Scaling::Scheduled(action) => Some(action),
            _ => None,
        })
    };
    match policy {
        Scaling::Scheduled(action) => {
            let (lowest, highest) = (action.min.unwrap_or(0), action.max.unwrap_or(MOST_INSTANCES));
            let sizes = [action.min, action.desired, action.max].into_iter().flatten();
            let wrong = if let Some(size) = sizes.clone().find(|&size| size > MOST_INSTANCES) {
                Some(format!("{size} instances are more than the {MOST_INSTANCES} that a group may have"))
            } else if lowest > highest {
                Some(format!("the minimum of {lowest} is above the maximum of {highest}"))
            } else {
                let outside = action.desired.filter(|size| !(lowest..=highest).contains(size));
                outside.map(|desired| {
                    format!("the desired capacity of {desired} is outside {lowest} to {highest}")
                })
            };
            if let Some(message) = wrong {
                context.findings.error(&node.place, message, "expected min <= desired <= max", None);
            }
            let clash =
                actions().find(|other| action.times.iter().any(|at| other.times.binary_search(at).is_ok()));
            if let Some(other) = clash {
                let message = format!(
                    "scheduled actions ({}) and ({}) run at the same time",
                    other.schedule, action.schedule
                );
                context.findings.error(
                    &node.place,
                    message,
                    "the provider refuses this",
                    Some("move one of them by a minute".into()),
                );
            }
        }
        // Where scheduled actions move the limits, whether it is within them is seen when it is due.
        Scaling::Manual { desired, .. } if actions().next().is_none() && !(min..=max).contains(desired) => {
            let message = format!("a desired capacity of {desired} is outside {min} to {max}");
            context.findings.error(&node.place, message, "outside the group's limits", None);
        }
        _ => {}
    }
    one_provider(context, node, before, policy);
}

/// A managed instance group has one autoscaler and a scale set one autoscale setting, with signals, schedules and profiles of
/// their own; nothing of another provider goes beside them.
fn one_provider(context: &Context<'_>, node: &Node, before: &[Scaling], policy: &Scaling) {
    let alone = |policy: &Scaling| match policy {
        Scaling::Mig(_) => {
            Some(("mig", "a managed instance group has one autoscaler, with several signals and schedules"))
        }
        Scaling::Vmss(_) => {
            Some(("vmss", "a scale set has one autoscale setting, with several rules and profiles"))
        }
        _ => None,
    };
    let by_hand = |policy: &Scaling| matches!(policy, Scaling::Manual { .. });
    let others = before.iter().filter(|other| !by_hand(other) && !by_hand(policy));
    if let Some((name, why)) = others.filter_map(|other| alone(other).or(alone(policy))).next() {
        let message = format!("`{name}` beside another policy");
        context.findings.error(&node.place, message, "one too many", Some(why.to_string()));
    }
}

fn policy(context: &Context<'_>, path: &str, node: &Node, of: OfGroup) -> Option<(Scaling, toml::Table)> {
    let known = [
        "target_tracking",
        "step",
        "simple",
        "scheduled",
        "predictive",
        "mig",
        "vmss",
        "manual",
        "hpa",
        "keda",
    ];
    let (kind, entry) = choice(context.findings, path, node, &known)?;
    let Some(entry) = entry else {
        let label = format!("expected `{kind} = {{ … }}`");
        context.findings.error(&node.place, format!("`{path}` needs parameters"), label, None);
        return None;
    };
    let mut table = Reader::new(context.findings, format!("{path}.{kind}"), &entry.node);
    let policy = match kind {
        "target_tracking" => target_tracking(context, &mut table).map(Scaling::TargetTracking),
        "step" => scaling::step(context, &mut table, of.monitoring).map(Scaling::Step),
        "simple" => scaling::simple(context, &mut table, of.monitoring).map(Scaling::Simple),
        "scheduled" => scheduled(context, &mut table).map(Scaling::Scheduled),
        "predictive" => predictive(context, &mut table).map(Scaling::Predictive),
        "mig" => mig(context, &mut table).map(Scaling::Mig),
        "vmss" => vmss(context, &mut table, of).map(Scaling::Vmss),
        "hpa" => hpa::hpa(context, &mut table).map(|hpa| Scaling::Hpa(Box::new(hpa))),
        "keda" => hpa::scaled_object(context, &mut table, of.min).map(|keda| Scaling::Keda(Box::new(keda))),
        _ => {
            let (at, desired) = (table.required::<Moment>("at"), table.required::<u32>("desired"));
            let at = at.and_then(|at| context.moment(&at, &table.place_of("at")));
            let honor_cooldown = table.or("honor_cooldown", false);
            at.zip(desired).map(|(at, desired)| Scaling::Manual { at, desired, honor_cooldown })
        }
    };
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
    Some((policy?, shown))
}

fn target_tracking(context: &Context<'_>, table: &mut Reader<'_>) -> Option<TargetTracking> {
    scaling::no_cooldown(context, table);
    let metric = scaling::metric(context, table, Some(Metric::Cpu));
    let metric = metric.filter(|&metric| scaling::trackable(context, table, metric));
    let target = table.required::<Positive>("target");
    let percent = match metric {
        Some(Metric::Cpu) => Some(("a CPU", "CPU utilisation")),
        Some(Metric::Memory) => Some(("a memory", "memory in use")),
        _ => None,
    };
    if let Some((a, what)) = percent.filter(|_| target.is_some_and(|target| target.0 > 100.0)) {
        let help = Some(format!("the metric is {what} in percent"));
        context.findings.error(
            &table.place_of("target"),
            format!("{a} target above 100 % is never reached"),
            "expected 1 to 100",
            help,
        );
    }
    let most = crate::scaling::MOST_EVALUATED as u32;
    let mut datapoints = |key: &'static str, default: u32| {
        let count = table.or(key, default);
        if count == 0 || count > most {
            let message = format!("`{}` is {count}", table.path_of(key));
            context.findings.error(&table.place_of(key), message, format!("expected 1 to {most}"), None);
        }
        count
    };
    let (high_datapoints, low_datapoints) =
        (datapoints("high_datapoints", 3), datapoints("low_datapoints", 15));
    let low_factor = table.or("low_factor", Positive(0.7)).0;
    if low_factor > 1.0 {
        context.findings.error(
            &table.place_of("low_factor"),
            "the low threshold is above the target",
            "expected 0 to 1",
            None,
        );
    }
    let estimated_instance_warmup = table.optional::<Span>("estimated_instance_warmup");
    let disable_scale_in = table.or("disable_scale_in", false);
    Some(TargetTracking {
        metric: metric?,
        target: target?.0,
        high_datapoints,
        low_datapoints,
        low_factor,
        estimated_instance_warmup,
        disable_scale_in,
    })
}

fn scheduled(context: &Context<'_>, table: &mut Reader<'_>) -> Option<ScheduledAction> {
    let cron = table.optional::<String>("cron");
    let at = table.optional::<Moment>("at");
    // A single time has its own zone, and nothing to start or to end.
    let once = at.is_some() && cron.is_none();
    let (zone, from, until) = if once {
        for key in ["time_zone", "start", "end"] {
            if table.node(key).is_some() {
                let message = format!("`{}` goes with `cron`, not with `at`", table.path_of(key));
                context.findings.error(&table.place_of(key), message, "leave this out", None);
            }
        }
        ("UTC".to_string(), None, None)
    } else {
        let zone = table.or("time_zone", "UTC".to_string());
        (zone, table.optional::<Moment>("start"), table.optional::<Moment>("end"))
    };
    let (min, desired, max) = (table.optional("min"), table.optional("desired"), table.optional("max"));
    if min.is_none() && desired.is_none() && max.is_none() {
        table.missing("desired", "or `min` or `max`: what the action sets");
    }
    let zone = time_zone(context, &zone, &table.place_of("time_zone"));
    let moment = |moment: Option<Moment>, key: &str, default: Time| match moment {
        Some(moment) => context.moment(&moment, &table.place_of(key)),
        None => Some(default),
    };
    let begins = from.is_some();
    let from = moment(from, "start", Time::ZERO)?;
    let until = moment(until, "end", Time::ZERO + context.duration)?;
    if until < from {
        context.findings.error(
            &table.place_of("end"),
            "it ends before it starts",
            "expected a later time",
            None,
        );
    }
    let (schedule, times) = match (cron, at) {
        (Some(cron), None) => {
            let place = table.place_of("cron");
            let parsed = super::cron::cron(context, &cron, &place)?;
            let comes = Schedule::new(parsed, zone?, &cron);
            let mut times = comes.times(context, from, until);
            if begins && times.first() != Some(&from) {
                times.insert(0, from); // an action with a start runs then as well
            }
            if times.len() >= MOST_RUNS {
                let message = format!("`{cron}` runs more than {MOST_RUNS} times within the scenario");
                context.findings.error(&place, message, "expected a rarer action or a shorter run", None);
            }
            (comes.words(), times)
        }
        (None, Some(at)) => {
            let time = context.moment(&at, &table.place_of("at"))?;
            (at.0, vec![time])
        }
        _ => {
            table.missing("cron", "either `cron` or `at`");
            return None;
        }
    };
    if times.is_empty() {
        context.findings.note(format!("scheduled action ({schedule}) never runs within the scenario"));
    }
    Some(ScheduledAction { schedule, times, min, desired, max })
}
