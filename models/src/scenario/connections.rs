//! `connections`, `network` and `clients_per_address` of `[traffic.NAME]`: what clients keep open, and how far away they are.

use sim_core::Span;

use super::diagnostic::Place;
use super::node::{Entry, Node, Value};
use super::reader::{Reader, choice};
use super::units::Period;
use super::{Context, Names};
use crate::plan::{BalancerId, Connections, Network, Tls};

/// The longest that a connection may idle.
const MOST_IDLE: Span = Span::from_secs(7 * 86_400);
/// The longest round trip: to the Moon and back takes 2.6 s.
const MOST_ROUND_TRIP: Span = Span::from_secs(60);
/// Requests on a connection: nginx' `keepalive_requests`.
const REQUESTS: u32 = 1_000;
/// ALB's idle timeout.
const IDLE: Span = Span::from_secs(60);
/// Connections of a browser to one host.
const BROWSER: u32 = 6;
/// Streams on a connection: what RFC 9113 says should be the least (6.5.2).
const STREAMS: u32 = 100;
/// An RSA-2048 signature (0.25 ms) and an X25519 exchange (0.06 ms), by `openssl speed` on a cloud vCPU, and the messages.
const TLS_CPU: Span = Span::from_micros(400);

/// `connections = "per-request"`, `{ keep_alive = { requests = 1000, idle = "60s", most = 6 } }` or
/// `{ http2 = { streams = 100, idle = "60s" } }`, which may have a limit of `requests`, too.
pub fn connections(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    clients: Option<u32>,
) -> Option<Connections> {
    let path = table.path_of("connections");
    let plain = Node { place: table.place().clone(), value: Value::String("per-request".into()) };
    let node = table.node("connections").unwrap_or(&plain);
    let (kind, entry) = choice(context.findings, &path, node, &["per-request", "keep_alive", "http2"])?;
    if kind == "per-request" {
        if let Some(entry) = entry {
            let label = "expected `\"per-request\"`";
            context.findings.error(&entry.place, format!("`{path}.{kind}` has no parameters"), label, None);
        }
        table.resolve("connections", kind);
        return None;
    }
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let inner = entry.map_or(&empty, |entry| &entry.node);
    let mut options = Reader::new(context.findings, format!("{path}.{kind}"), inner);
    let connections = if kind == "http2" { http2(&mut options) } else { keep_alive(&mut options) };
    let limits = [
        ("requests", connections.requests.unwrap_or(1), u32::MAX),
        ("most", connections.most, Connections::MOST_OF_A_CLIENT),
        ("streams", connections.streams, Connections::MOST_STREAMS),
    ];
    for (key, value, most) in limits {
        within(context, &options.place_of(key), &options.path_of(key), value, most);
    }
    if connections.idle > MOST_IDLE {
        let message = format!("connections that idle for {}", connections.idle);
        let label = format!("expected at most {MOST_IDLE}");
        context.findings.error(&options.place_of("idle"), message, label, None);
    }
    table.resolve("connections", toml::Table::from_iter([(kind.into(), options.finish().into())]));
    of_whom(context, &node.place, clients, connections.most);
    Some(connections)
}

fn keep_alive(options: &mut Reader<'_>) -> Connections {
    Connections {
        requests: Some(options.or("requests", REQUESTS)),
        idle: options.or("idle", Period(IDLE)).0,
        most: options.or("most", BROWSER),
        streams: 1,
    }
}

fn http2(options: &mut Reader<'_>) -> Connections {
    let (idle, streams) = (options.or("idle", Period(IDLE)).0, options.or("streams", STREAMS));
    Connections { requests: options.optional("requests"), idle, most: 1, streams }
}

/// Connections are kept by clients, of which there are so many.
fn of_whom(context: &Context<'_>, place: &Place, clients: Option<u32>, most: u32) {
    let Some(clients) = clients else {
        let help = "say how many different clients there are, `clients = 5000`".to_string();
        let message = "connections are kept open, and no client comes twice";
        context.findings.error(place, message, "nobody would use them again", Some(help));
        return;
    };
    let all = u64::from(clients) * u64::from(most);
    if all > Connections::MOST {
        let message = format!("{clients} clients with {most} connections each have {all}");
        context.findings.error(place, message, format!("expected at most {}", Connections::MOST), None);
    }
}

/// `network = { round_trip = "40ms", tls = "1.3", tls_cpu = "0.4ms" }`
pub fn network(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    names: &Names<'_>,
    to: Option<BalancerId>,
) -> Option<Network> {
    let Some(node) = table.node("network").filter(|node| node.value != Value::String("none".into())) else {
        table.resolve("network", "none");
        return None;
    };
    let path = table.path_of("network");
    let mut options = Reader::new(context.findings, path.clone(), node);
    let round_trip = options.required::<Span>("round_trip").unwrap_or(Span::ZERO);
    if round_trip > MOST_ROUND_TRIP {
        let label = format!("expected at most {MOST_ROUND_TRIP}");
        let message = format!("a round trip of {round_trip}");
        context.findings.error(&options.place_of("round_trip"), message, label, None);
    }
    let plain = Node { place: node.place.clone(), value: Value::String("none".into()) };
    let chosen = options.node("tls").unwrap_or(&plain);
    let version = choice(context.findings, &format!("{path}.tls"), chosen, &["none", "1.2", "1.3"]);
    let tls = match version {
        Some(("1.2", None)) => Tls::V12,
        Some(("1.3", None)) => Tls::V13,
        Some((name, Some(entry))) => {
            let message = format!("`{path}.tls.\"{name}\"` has no parameters");
            context.findings.error(&entry.place, message, format!("expected `\"{name}\"`"), None);
            Tls::None
        }
        _ => Tls::None,
    };
    options.resolve("tls", version.map_or("none", |(name, _)| name));
    let tls_cpu = handshake(context, &mut options, names, tls, to);
    table.resolve("network", options.finish());
    Some(Network { round_trip, tls, tls_cpu })
}

/// CPU time of a handshake, where targets do them.
fn handshake(
    context: &Context<'_>,
    options: &mut Reader<'_>,
    names: &Names<'_>,
    tls: Tls,
    to: Option<BalancerId>,
) -> Span {
    let passed_on = to.is_none_or(|to| names.passes_connections(to));
    if tls != Tls::None && passed_on {
        return options.or("tls_cpu", TLS_CPU);
    }
    if options.optional::<Span>("tls_cpu").is_some() {
        let (message, help) = if tls == Tls::None {
            ("handshakes take CPU time, and there is no TLS", "add `tls = \"1.3\"`")
        } else {
            (
                "the balancer ends TLS, so that handshakes cost the targets nothing",
                "leave `tls_cpu` out, or let the balancer pass connections on: `algorithm = \"flow-hash\"`",
            )
        };
        let place = options.place_of("tls_cpu");
        context.findings.error(&place, message, "nobody would spend it", Some(help.to_string()));
    }
    Span::ZERO
}

/// Clients behind a NAT.
pub fn clients_per_address(context: &Context<'_>, table: &mut Reader<'_>, clients: Option<u32>) -> u32 {
    if clients.is_none() && table.node("clients_per_address").is_none() {
        return 1;
    }
    let count = table.or("clients_per_address", 1u32);
    let place = table.place_of("clients_per_address");
    within(context, &place, &table.path_of("clients_per_address"), count, u32::MAX);
    if clients.is_none() {
        let help = "say how many different clients there are, `clients = 5000`".to_string();
        let message = "clients share addresses, and no client comes twice";
        context.findings.error(&place, message, "there is nobody to share with", Some(help));
    }
    count.max(1)
}

fn within(context: &Context<'_>, place: &Place, path: &str, value: u32, most: u32) {
    if !(1..=most).contains(&value) {
        let label =
            if most == u32::MAX { "expected 1 or more".to_string() } else { format!("expected 1 to {most}") };
        context.findings.error(place, format!("`{path}` is {value}"), label, None);
    }
}

impl Names<'_> {
    /// True where a balancer says that it passes connections on.
    fn passes_connections(&self, balancer: BalancerId) -> bool {
        let Some(Entry { node: Node { value: Value::Table(entries), .. }, .. }) =
            self.balancers.get(balancer.index())
        else {
            return false;
        };
        let flow_hash = Value::String("flow-hash".into());
        entries.iter().any(|entry| entry.key == "algorithm" && entry.node.value == flow_hash)
    }
}
