//! `sessions` of a source: connections that stay open, what is sent through them, and rooms.

use sim_core::Span;
use sim_core::dist::Dist;

use super::check::place_of;
use super::dist::duration;
use super::node::{Node, Value};
use super::reader::{Findings, Read, Reader, choice, read};
use super::units::{Period, Rate};
use super::{Context, Names};
use crate::plan::{
    BalancerId, Direction, Endpoint, GroupId, Message, Metric, Plan, Rooms, Scaling, Sessions, Traffic,
};

/// `{ length = "20min", open = 5000, messages = { move = "2/s" }, push = { state = "1/s" }, rooms = { players = 8 } }`;
/// the inner `None` is a source of requests.
pub fn sessions(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
    to: Option<BalancerId>,
    endpoints: &[Endpoint],
) -> Option<Option<Sessions>> {
    let path = table.path_of("sessions");
    let Some(node) = table.node("sessions") else { return Some(None) };
    let mut options = Reader::new(context.findings, path, node);
    let length = length(context, &mut options);
    let open = options.or("open", 0u32);
    let mut messages = Vec::new();
    for (key, direction) in [("messages", Direction::Up), ("push", Direction::Down)] {
        self::messages(context, names, &mut options, to, endpoints, (key, direction), &mut messages);
    }
    if messages.len() > Sessions::MOST_MESSAGES {
        let message = format!("{} kinds of messages", messages.len());
        let label = format!("expected at most {}", Sessions::MOST_MESSAGES);
        context.findings.error(&node.place, message, label, None);
    }
    let reconnect = options.or("reconnect", true);
    let rooms = rooms(context, &mut options);
    table.resolve("sessions", options.finish());
    Some(Some(Sessions { length: length?, open, messages, reconnect, rooms: rooms? }))
}

fn length(context: &Context<'_>, options: &mut Reader<'_>) -> Option<Dist> {
    let path = options.path_of("length");
    let Some(node) = options.node("length") else {
        options.missing("length", "how long a session lasts, such as { exp = { mean = \"20min\" } }");
        return None;
    };
    let (dist, shown) = duration(context, &path, node)?;
    options.resolve("length", shown);
    Some(dist)
}

/// `{ move = "2/s" }`: endpoints, and how often each open session asks for them.
fn messages(
    context: &Context<'_>,
    names: &Names<'_>,
    options: &mut Reader<'_>,
    to: Option<BalancerId>,
    endpoints: &[Endpoint],
    (key, direction): (&'static str, Direction),
    messages: &mut Vec<Message>,
) {
    let path = options.path_of(key);
    let Some(node) = options.node(key) else { return };
    let Value::Table(entries) = &node.value else {
        let message = format!("`{path}` is {}", node.value.kind());
        context.findings.error(&node.place, message, "expected { \"move\" = \"2/s\", … }", None);
        return;
    };
    let mut shown = toml::Table::new();
    for entry in entries {
        let path = format!("{path}.\"{}\"", entry.key);
        let rate: Option<Rate> = read(context.findings, &path, &entry.node);
        if rate == Some(Rate(0.0)) {
            let label = "leave it out, or give it a rate";
            context.findings.error(&entry.node.place, format!("`{path}` is never sent"), label, None);
        }
        let endpoint =
            to.and_then(|to| names.endpoint_behind(context, to, &entry.key, &entry.place, endpoints));
        if let Some((rate, endpoint)) = rate.zip(endpoint) {
            shown.insert(entry.key.clone(), rate.show());
            messages.push(Message { endpoint, rate: rate.0, direction });
        }
    }
    options.resolve(key, shown);
}

/// `{ players = 8, start = "full" }`, or `start = { wait = "30s" }`; the inner `None` has no rooms.
fn rooms(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Option<Rooms>> {
    let path = table.path_of("rooms");
    let Some(node) = table.node("rooms") else { return Some(None) };
    let mut options = Reader::new(context.findings, path.clone(), node);
    let players = options.required::<u32>("players");
    if players.is_some_and(|players| !(1..=Rooms::MOST_PLAYERS).contains(&players)) {
        let message = format!("a room of {} players", players.unwrap_or(0));
        let label = format!("expected 1 to {}", Rooms::MOST_PLAYERS);
        context.findings.error(&options.place_of("players"), message, label, None);
    }
    let wait = start(context, &mut options, &format!("{path}.start"));
    table.resolve("rooms", options.finish());
    Some(Some(Rooms { players: players?, wait: wait? }))
}

fn start(context: &Context<'_>, options: &mut Reader<'_>, path: &str) -> Option<Option<Span>> {
    let full = Node { place: options.place().clone(), value: Value::String("full".into()) };
    let node = options.node("start").unwrap_or(&full);
    let (kind, entry) = choice(context.findings, path, node, &["full", "wait"])?;
    match (kind, entry) {
        ("wait", Some(entry)) => {
            let wait: Period = read(context.findings, &format!("{path}.wait"), &entry.node)?;
            options.resolve("start", toml::Table::from_iter([("wait".to_string(), wait.show())]));
            Some(Some(wait.0))
        }
        ("full", None) => {
            options.resolve("start", "full");
            Some(None)
        }
        _ => {
            let message = format!("`{path}` does not say when");
            let label = "expected \"full\" or { wait = \"30s\" }";
            context.findings.error(&node.place, message, label, None);
            None
        }
    }
}

/// What sessions ask of their instances has to be possible.
pub fn check(findings: &Findings, document: &Node, plan: &Plan) {
    for traffic in &plan.traffic {
        if let Some(sessions) = &traffic.sessions {
            rooms_fit(findings, document, plan, traffic, sessions);
            open_at_start_fit(findings, document, plan, traffic, sessions);
            if sessions.reconnect && traffic.retry.max == 0 {
                findings.note(format!(
                    "clients of `{}` who lose their connection try once to come back; `retry.max` says how often more",
                    traffic.name
                ));
            }
        }
    }
    for (index, group) in (0u16..).zip(&plan.groups) {
        let memory = plan.services[group.service.index()].memory;
        if let Some(most) = plan.most_sessions(group).filter(|_| memory.is_some_and(|m| m.connection > 0)) {
            findings.note(format!(
                "group `{}`: an instance holds {most} open sessions, by `most_connections` or by its memory beside one request",
                group.name
            ));
        }
        let has = |traffic: &Traffic| {
            traffic.sessions.is_some() && plan.balancers[traffic.to.index()].has(GroupId(index))
        };
        let tracks = |scaling: &Scaling| {
            scaling.policy().is_some_and(|policy| policy.metrics().contains(&Metric::ConnectionsPerTarget))
        };
        if group.scaling.iter().any(tracks) && !plan.traffic.iter().any(has) {
            let message = format!("group `{}` scales on open sessions, and nobody opens any", group.name);
            let help = "no source of traffic with `sessions` sends to its balancer".to_string();
            let place = place_of(document, &["group", &group.name, "scaling"]);
            findings.error(&place, message, "it would only ever scale in", Some(help));
        }
    }
}

/// A room has to fit into one instance: its players share it.
fn rooms_fit(findings: &Findings, document: &Node, plan: &Plan, traffic: &Traffic, sessions: &Sessions) {
    let group = &plan.groups[plan.balancers[traffic.to.index()].first_group().index()];
    let Some((rooms, most)) = sessions.rooms.zip(plan.most_sessions(group)) else { return };
    if rooms.players <= most {
        return;
    }
    let place = place_of(document, &["traffic", &traffic.name, "sessions", "rooms", "players"]);
    let service = &plan.services[group.service.index()];
    let why = match service.most_connections {
        Some(own) if own == most => format!("`most_connections` of service `{}`", service.name),
        _ => {
            format!("`memory.connection` of service `{}` in {} GiB", service.name, group.machine().memory_gib)
        }
    };
    let message = format!(
        "a room of {} players does not fit into an instance of group `{}`, which holds {most} sessions",
        rooms.players, group.name
    );
    let help = format!("the limit is {why}; players of a room share an instance");
    findings.error(&place, message, format!("expected at most {most}"), Some(help));
}

/// All groups' initial instances have room for the sessions that are open at the start.
fn open_at_start_fit(
    findings: &Findings,
    document: &Node,
    plan: &Plan,
    traffic: &Traffic,
    sessions: &Sessions,
) {
    let place = place_of(document, &["traffic", &traffic.name, "sessions", "open"]);
    if sessions.open > plan.limits.sessions {
        let message = format!(
            "{} sessions at the start are more than the limit of {}",
            sessions.open, plan.limits.sessions
        );
        let help = Some("raise `limits.sessions`, or open fewer".to_string());
        findings.error(&place, message, "too many", help);
    }
    let to = plan.balancers[traffic.to.index()].first_group();
    let group = &plan.groups[to.index()];
    let of_group = |other: &&Traffic| plan.balancers[other.to.index()].first_group() == to;
    let open = plan.traffic.iter().filter(of_group).filter_map(|other| other.sessions.as_ref());
    let open: u64 = open.map(|sessions| u64::from(sessions.open)).sum();
    if sessions.open > 0 && group.desired == 0 {
        let message =
            format!("group `{}` has no instance at the start, and sessions are open there", group.name);
        let help = Some("let it begin with one or more".to_string());
        return findings.error(&place, message, "where are they?", help);
    }
    let Some(most) = plan.most_sessions(group) else { return };
    // Whole rooms: what is left beside them takes nobody.
    let most = sessions.rooms.map_or(most, |rooms| most - most % rooms.players.max(1));
    let all = u64::from(most) * u64::from(group.desired);
    if sessions.open > 0 && open > all {
        let message = format!(
            "{open} sessions are open at the start, and the {} instances of group `{}` hold {all}",
            group.desired, group.name
        );
        let help = format!("each holds {most}, by `most_connections` or `memory.connection`");
        findings.error(&place, message, "they do not fit", Some(help));
    }
}
