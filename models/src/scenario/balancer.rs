//! `[balancer.NAME]`: whom it picks, whom it believes to be healthy, and what it keeps open.

use sim_core::Span;

use super::node::{Entry, Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::units::{Period, Port};
use super::{Context, Names, health_check, overload, targets};
use crate::plan::{Algorithm, Balancer, Hashing, Minimum, Service, Stickiness, StickyBy};

/// The most connections that a balancer may keep open to a target.
const MOST_CONNECTIONS: u32 = 65_535;
/// The most targets that an algorithm looks at for a request.
const MOST_CHOICES: u32 = 64;

/// Reads a balancer.
pub fn balancer(
    context: &Context<'_>,
    names: &Names<'_>,
    services: &[Service],
    entry: &Entry,
) -> (Option<Balancer>, toml::Table) {
    let path = format!("balancer.{}", entry.key);
    let mut table = Reader::new(context.findings, path.clone(), &entry.node);
    let targets = targets::targets(context, names, &mut table);
    let algorithm = algorithm(context, &mut table);
    let stickiness = stickiness(context, &mut table);
    let (cross_zone, minimum_in_dns) = targets::zones(context, &mut table, stickiness.is_some());
    let minimum_healthy = table.or("minimum_healthy", Minimum::Count(1));
    let slow_start = targets::slow_start(context, &mut table, algorithm);
    let port = table.or("port", Port(listens(names, services, &entry.key))).0;
    let health_check = health_check::health_check(context, &mut table);
    let idle_timeout = or_none(context, &mut table, "idle_timeout", Span::from_secs(60));
    let deregistration_delay = table.or("deregistration_delay", Span::from_secs(300));
    let keep_alive = connections(context, &mut table);
    let rules = table.or("rules", 1u32);
    let rate_limit = overload::rate_limit(context, &mut table);
    let circuit_breaker = overload::circuit_breaker(context, &mut table);
    let balancer = targets.map(|targets| Balancer {
        name: entry.key.clone(),
        targets,
        algorithm,
        cross_zone,
        minimum_healthy,
        minimum_in_dns,
        slow_start,
        port,
        health_check,
        idle_timeout,
        deregistration_delay,
        keep_alive,
        stickiness,
        rules,
        rate_limit,
        circuit_breaker,
    });
    (balancer, table.finish())
}

/// Where the service behind a balancer listens: the port of a target group that says nothing else.
fn listens(names: &Names<'_>, services: &[Service], balancer: &str) -> u16 {
    let index = names.balancers.iter().position(|entry| entry.key == balancer);
    let service = index.and_then(|index| names.behind[index]);
    service.and_then(|id| services.get(id.index())).map_or(Service::USUAL_PORT, |service| service.port)
}

/// A time, or `"none"`.
fn or_none(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str, default: Span) -> Option<Span> {
    let Some(node) = table.node(key) else {
        table.resolve(key, default.show());
        return Some(default);
    };
    if node.value == Value::String("none".into()) {
        table.resolve(key, "none");
        return None;
    }
    let period: Period = read(context.findings, &table.path_of(key), node)?;
    table.resolve(key, period.show());
    Some(period.0)
}

/// A name, or with its parameter: `{ power-of-choices = 3 }`, `{ peak-ewma = { decay = "10s" } }`.
fn algorithm(context: &Context<'_>, table: &mut Reader<'_>) -> Algorithm {
    /// Finagle's.
    const DECAY: Span = Span::from_secs(10);
    const RANDOM: Algorithm = Algorithm::Random { anomaly_mitigation: false };
    const KNOWN: [(&str, Algorithm); 11] = [
        ("round-robin", Algorithm::RoundRobin),
        ("random", RANDOM),
        ("weighted-random", RANDOM),
        ("least-outstanding-requests", Algorithm::LeastOutstandingRequests),
        ("power-of-two-choices", Algorithm::PowerOfChoices(2)),
        ("power-of-choices", Algorithm::PowerOfChoices(2)),
        ("peak-ewma", Algorithm::PeakEwma { decay: DECAY }),
        ("flow-hash", Algorithm::FlowHash),
        ("ip-hash", Algorithm::Hash(Hashing::Modulo)),
        ("ring-hash", Algorithm::Hash(Hashing::Ring)),
        ("maglev", Algorithm::Hash(Hashing::Maglev)),
    ];
    let path = table.path_of("algorithm");
    let usual = Node { place: table.place().clone(), value: Value::String(KNOWN[0].0.into()) };
    let node = table.node("algorithm").unwrap_or(&usual);
    let found = choice(context.findings, &path, node, &KNOWN.map(|(name, _)| name));
    let (name, entry) = found.unwrap_or((KNOWN[0].0, None));
    let algorithm = KNOWN.iter().find(|known| known.0 == name).map_or(Algorithm::RoundRobin, |known| known.1);
    let Some(entry) = entry else {
        table.resolve("algorithm", name);
        return algorithm;
    };
    let inner = format!("{path}.{name}");
    let (algorithm, shown) = match algorithm {
        Algorithm::PowerOfChoices(_) if name == "power-of-choices" => {
            let choices: u32 = read(context.findings, &inner, &entry.node).unwrap_or(2);
            if !(1..=MOST_CHOICES).contains(&choices) {
                let label = format!("expected 1 to {MOST_CHOICES}");
                context.findings.error(&entry.node.place, format!("{choices} choices"), label, None);
            }
            (
                Algorithm::PowerOfChoices(choices.clamp(1, MOST_CHOICES)),
                toml::Value::Integer(i64::from(choices)),
            )
        }
        Algorithm::PeakEwma { decay } => {
            let mut options = Reader::new(context.findings, inner, &entry.node);
            let decay = options.or("decay", Period(decay)).0;
            (Algorithm::PeakEwma { decay }, toml::Value::Table(options.finish()))
        }
        Algorithm::Random { .. } if name == "weighted-random" => {
            let mut options = Reader::new(context.findings, inner, &entry.node);
            let anomaly_mitigation = options.or("anomaly_mitigation", false);
            (Algorithm::Random { anomaly_mitigation }, toml::Value::Table(options.finish()))
        }
        _ => {
            let label = format!("expected `\"{name}\"`");
            context.findings.error(&entry.node.place, format!("`{inner}` has no parameters"), label, None);
            return algorithm;
        }
    };
    table.resolve("algorithm", toml::Table::from_iter([(name.to_string(), shown)]));
    algorithm
}

/// `stickiness = { lb_cookie = "1day" }`, `{ app_cookie = "1day" }` or `{ source_ip = "1h" }`: clients go back to the target they
/// got first.
fn stickiness(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Stickiness> {
    let path = table.path_of("stickiness");
    let node = table.node("stickiness")?;
    let (kind, entry) =
        choice(context.findings, &path, node, &["none", "lb_cookie", "app_cookie", "source_ip"])?;
    let by = match kind {
        "app_cookie" => StickyBy::AppCookie,
        "source_ip" => StickyBy::SourceIp,
        _ => StickyBy::LbCookie,
    };
    if kind == "none" {
        table.resolve("stickiness", "none");
        return None;
    }
    let duration = match entry {
        Some(entry) => read::<Span>(context.findings, &format!("{path}.{kind}"), &entry.node)?,
        None => Span::from_secs(86_400),
    };
    let [least, most] = [Span::from_secs(1), Span::from_secs(7 * 86_400)];
    if !(least..=most).contains(&duration) {
        let label = format!("expected {least} to {most}");
        let what = if by == StickyBy::SourceIp { "an address" } else { "a cookie" };
        context.findings.error(&node.place, format!("{what} for {duration}"), label, None);
    }
    let shown = toml::Table::from_iter([(kind.to_string(), duration.show())]);
    table.resolve("stickiness", shown);
    Some(Stickiness { duration: duration.clamp(least, most), by })
}

/// `connections = "per-request"` (the default), or `{ keep_alive = 64 }` to each target.
fn connections(context: &Context<'_>, table: &mut Reader<'_>) -> Option<u32> {
    let path = table.path_of("connections");
    let plain = Node { place: table.place().clone(), value: Value::String("per-request".into()) };
    let node = table.node("connections").unwrap_or(&plain);
    let (kind, entry) = choice(context.findings, &path, node, &["per-request", "keep_alive"])?;
    let Some(entry) = entry.filter(|_| kind == "keep_alive") else {
        if kind == "keep_alive" {
            let label = "expected `{ keep_alive = 64 }`";
            context.findings.error(&node.place, format!("`{path}` does not say how many"), label, None);
        }
        table.resolve("connections", "per-request");
        return None;
    };
    let count: u32 = read(context.findings, &format!("{path}.keep_alive"), &entry.node)?;
    if !(1..=MOST_CONNECTIONS).contains(&count) {
        let label = format!("expected 1 to {MOST_CONNECTIONS}");
        context.findings.error(&entry.node.place, format!("{count} connections"), label, None);
    }
    let shown = toml::Table::from_iter([("keep_alive".to_string(), toml::Value::Integer(i64::from(count)))]);
    table.resolve("connections", shown);
    Some(count.clamp(1, MOST_CONNECTIONS))
}
