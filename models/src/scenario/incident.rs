//! `[[incident]]`: what goes wrong.

use sim_core::dist::Dist;

use super::diagnostic::nearest_or_all;
use super::dist::duration;
use super::node::Node;
use super::reader::{Reader, choice};
use super::units::{Factor, Moment};
use super::{Context, Names, network};
use crate::plan::{Endpoint, Group, GroupId, Incident, IncidentKind, Service, ServiceId, Step, When};

const KINDS: [&str; 10] = [
    "crash",
    "process_crash",
    "crash_loop",
    "slow",
    "pause",
    "zone_loss",
    "slow_dependency",
    "dependency_down",
    "network_latency",
    "packet_loss",
];

/// An incident that comes more often than this is no incident, in nanoseconds between two.
const LEAST_MEAN: f64 = 1e9;

/// What incidents refer to.
pub struct Known<'a> {
    /// Groups, as far as they could be read.
    pub groups: &'a [Option<Group>],
    /// Services.
    pub services: &'a [Service],
    /// Endpoints of all services.
    pub endpoints: &'a [Endpoint],
}

/// Reads an incident.
pub fn incident(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    index: usize,
    node: &Node,
) -> Option<(Incident, toml::Table)> {
    let path = format!("incident.{index}");
    let (kind, entry) = choice(context.findings, &path, node, &KINDS)?;
    let Some(entry) = entry else {
        context.findings.error(
            &node.place,
            format!("`{path}` needs parameters"),
            format!("expected {{ {kind} = {{ … }} }}"),
            None,
        );
        return None;
    };
    let mut table = Reader::new(context.findings, format!("{path}.{kind}"), &entry.node);
    if matches!(kind, "network_latency" | "packet_loss") {
        let incident = network::incident(context, names, kind, &mut table);
        let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
        return Some((incident?, shown));
    }
    let what = match kind {
        "zone_loss" => zone_loss(context, known, &mut table),
        "slow_dependency" | "dependency_down" => dependency(context, names, known, kind, &mut table),
        _ => of_group(context, names, known, kind, &mut table),
    };
    let when = when(context, &mut table);
    let lasting = !matches!(kind, "crash" | "process_crash");
    let lasts = if lasting { span(context, &mut table, "for") } else { None };
    if lasting
        && kind != "pause"
        && lasts.is_none()
        && table.node("for").is_none()
        && matches!(when, Some(When::Every(_)))
    {
        let message = format!("`{path}.{kind}` comes again and never ends");
        let label = "add `for`: how long it lasts, such as \"10min\"";
        context.findings.error(table.place(), message, label, None);
    }
    if kind == "pause" && table.node("for").is_none() {
        table.missing("for", "how long it stands still, such as \"5s\"");
    }
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
    Some((Incident { kind: what?, when: when?, lasts }, shown))
}

/// `at = "14:00"`, or `every = { exp = { mean = "6h" } }`.
fn when(context: &Context<'_>, table: &mut Reader<'_>) -> Option<When> {
    let (at, every) = (table.node("at"), table.node("every"));
    match (at, every) {
        (Some(_), None) => {
            let at = table.required::<Moment>("at")?;
            context.moment(&at, &table.place_of("at")).map(When::At)
        }
        (None, Some(node)) => {
            let between = span(context, table, "every")?;
            if between.mean() < LEAST_MEAN {
                let message = format!("`{}` is less than a second on average", table.path_of("every"));
                context.findings.error(&node.place, message, "expected 1s or more", None);
            }
            Some(When::Every(between))
        }
        (None, None) => {
            table.missing(
                "at",
                "when it happens, such as \"14:00\"; or `every`, such as { exp = { mean = \"6h\" } }",
            );
            None
        }
        (Some(_), Some(node)) => {
            let message = "an incident with a time that comes at random as well";
            context.findings.error(&node.place, message, "either `at` or `every`", None);
            None
        }
    }
}

/// A length of time that may be drawn.
fn span(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str) -> Option<Dist> {
    let path = table.path_of(key);
    let node = table.node(key)?;
    let (dist, shown) = duration(context, &path, node)?;
    table.resolve(key, shown);
    if dist.mean() <= 0.0 && key != "after" {
        context.findings.error(&node.place, format!("`{path}` is zero"), "expected more than 0s", None);
    }
    Some(dist)
}

/// Incidents that hit instances of a group.
fn of_group(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    kind: &str,
    table: &mut Reader<'_>,
) -> Option<IncidentKind> {
    let group = table.required::<String>("group");
    let group = group.and_then(|name| names.group(context, &name, &table.place_of("group")));
    let count: Option<u32> =
        if kind == "crash_loop" { table.optional("count") } else { Some(table.or("count", 1)) };
    if count == Some(0) {
        let message = "an incident that nothing happens to";
        context.findings.error(&table.place_of("count"), message, "expected 1 or more", None);
    }
    let count_or_one = count.unwrap_or(1);
    match kind {
        "crash" => Some(IncidentKind::Crash { group: group?, count: count_or_one }),
        "process_crash" => {
            let group = group?;
            unsupervised(context, known, group);
            Some(IncidentKind::ProcessCrash { group, count: count_or_one })
        }
        "pause" => Some(IncidentKind::Pause { group: group?, count: count_or_one }),
        "crash_loop" => {
            // About what an interpreter takes to load an app, and to find that something is missing.
            let after = table.or("after", sim_core::Span::from_millis(500));
            Some(IncidentKind::CrashLoop { group: group?, count, after })
        }
        _ => {
            let factor = factor(context, table);
            Some(IncidentKind::Slow { group: group?, count: count_or_one, factor: factor? })
        }
    }
}

/// Notes that nobody starts a process again.
fn unsupervised(context: &Context<'_>, known: &Known<'_>, group: GroupId) {
    let Some(Some(group)) = known.groups.get(group.index()) else { return };
    let service = &known.services[group.service.index()];
    if service.supervisor.is_none() {
        context.findings.note(format!(
            "nobody starts a process of `{}` again that crashed: its service has no `supervisor`",
            service.name
        ));
    }
}

fn factor(context: &Context<'_>, table: &mut Reader<'_>) -> Option<f64> {
    let Factor(factor) = table.required("factor")?;
    if factor < 1.0 {
        let message = format!("`{}` makes nothing slower", table.path_of("factor"));
        context.findings.error(&table.place_of("factor"), message, "expected 1 or more", None);
    }
    Some(factor.max(1.0))
}

fn zone_loss(context: &Context<'_>, known: &Known<'_>, table: &mut Reader<'_>) -> Option<IncidentKind> {
    let zone: String = table.required("zone")?;
    let mut zones: Vec<&str> =
        known.groups.iter().flatten().flat_map(|group| &group.zones).map(String::as_str).collect();
    zones.sort_unstable();
    zones.dedup();
    // Groups that could not be read have told what is wrong with them.
    if !zones.contains(&zone.as_str()) && known.groups.iter().all(Option::is_some) {
        let message = format!("no group has a zone `{zone}`");
        let help = Some(nearest_or_all(&zone, &zones));
        context.findings.error(&table.place_of("zone"), message, "nothing would be lost", help);
    }
    Some(IncidentKind::ZoneLoss { zone })
}

/// Incidents that hit what a service waits for.
fn dependency(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    kind: &str,
    table: &mut Reader<'_>,
) -> Option<IncidentKind> {
    let service = table.required::<String>("service");
    let place = table.place_of("service");
    let service = service.and_then(|name| names.service(context, &name, &place));
    if let Some(service) = service {
        waits(context, names, known, service, &place);
    }
    if kind == "slow_dependency" {
        let factor = factor(context, table);
        return Some(IncidentKind::SlowDependency { service: service?, factor: factor? });
    }
    let share = table.or("share", 1.0);
    if !(share > 0.0 && share <= 1.0) {
        let message = format!("`{}` is {share}", table.path_of("share"));
        context.findings.error(
            &table.place_of("share"),
            message,
            "expected a share above 0 and up to 1",
            None,
        );
    }
    let after = span(context, table, "after");
    Some(IncidentKind::DependencyDown { service: service?, share, after })
}

/// A service whose dependency has an incident must wait for something.
fn waits(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    service: ServiceId,
    place: &super::Place,
) {
    let mut own = known.endpoints.iter().filter(|endpoint| endpoint.service == service);
    if own.any(|endpoint| endpoint.steps.iter().any(|step| matches!(step, Step::Wait(_)))) {
        return;
    }
    let message = format!("`{}` waits for nothing outside", names.services[service.index()].key);
    let help = "add a `{ wait = … }` step to one of its endpoints: that is what is slow or fails";
    context.findings.error(place, message, "no endpoint has a `wait` step", Some(help.to_string()));
}
