//! Connections of clients, and the network that they go through.

mod flows;
mod network;
mod random;

use std::fmt::Write;
use std::io::{self, Cursor};

use scalesim::results::{CauseKind, ConnectionsResult, Results, Run};
use scalesim::{Experiment, Files, Scenario};

/// A log of requests at exactly these milliseconds of the run; not all of them whole seconds, which would be spread.
struct At(Vec<u64>);

impl Files for At {
    fn open(&self, _: &str) -> io::Result<Box<dyn io::Read>> {
        let mut log = "t\n".to_string();
        for ms in &self.0 {
            let (minutes, seconds) = (ms / 60_000, ms % 60_000);
            let (hour, minute) = (minutes / 60, minutes % 60);
            let (second, ms) = (seconds / 1_000, seconds % 1_000);
            let _ = writeln!(log, "2026-01-05T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
        }
        Ok(Box::new(Cursor::new(log.into_bytes())))
    }
}

/// Plays requests that come at stated instants from one client, and take 10 ms of waiting.
fn exactly(at: &[u64], traffic: &str, balancer: &str, more: &str) -> Run {
    exactly_on("min = 1", at, traffic, balancer, more)
}

fn exactly_on(size: &str, at: &[u64], traffic: &str, balancer: &str, more: &str) -> Run {
    let text = format!(
        r#"
        scenario.duration = "20min"
        traffic.t = {{ to = "b", trace = {{ file = "l", format = "log", from = "2026-01-05T00:00:00Z" }}, clients = 1, timeout = "none", {traffic} }}
        service.s = {{ runtime = {{ thread-per-request = {{ overhead = "0s" }} }}, endpoint.e.steps = [{{ wait = "10ms" }}] }}
        machine.m = {{ vcpus = 4 }}
        group.g = {{ service = "s", machine = "m", {size} }}
        balancer.b = {{ targets = "g", {balancer} }}
        {more}
        "#
    );
    let scenario = Scenario::read("s.toml", &text, &[], &At(at.to_vec()))
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Experiment::new(&scenario).run().run
}

fn each_second(count: u64) -> Vec<u64> {
    (1..=count).map(|second| 1_000 * second + 250).collect()
}

fn of(run: &Run) -> ConnectionsResult {
    run.traffic[0].connections.unwrap()
}

fn mean_ms(run: &Run) -> f64 {
    1e3 * run.response_time.mean
}

fn near(seen: f64, expected: f64) -> bool {
    (seen - expected).abs() < 1e-6
}

/// A round trip of TCP, none, one or two of TLS, and one of the request: 40 ms each, and 10 ms of service.
#[test]
fn a_connection_costs_round_trips() {
    for (tls, trips) in [("none", 1.0), ("1.3", 2.0), ("1.2", 3.0)] {
        let network = format!(r#"network = {{ round_trip = "40ms", tls = "{tls}" }}"#);
        let single = exactly(&each_second(100), &network, "", "");
        assert!(near(mean_ms(&single), 40.0 * (trips + 1.0) + 10.0), "{tls}: {}", mean_ms(&single));
        let kept = format!(r#"{network}, connections = {{ keep_alive = {{ requests = 10 }} }}"#);
        let kept = exactly(&each_second(100), &kept, "", "");
        assert!(near(mean_ms(&kept), 40.0 * (trips / 10.0 + 1.0) + 10.0), "{tls}: {}", mean_ms(&kept));
        assert_eq!((of(&single).opened, of(&single).requests_each), (100, 1.0));
        assert_eq!((of(&kept).opened, of(&kept).requests_each), (10, 10.0));
        let http2 = exactly(&each_second(100), &format!("{network}, connections = \"http2\""), "", "");
        assert!(near(mean_ms(&http2), 40.0 * (trips / 100.0 + 1.0) + 10.0), "{tls}: {}", mean_ms(&http2));
        assert_eq!((of(&http2).opened, of(&http2).requests_each), (1, 100.0));
    }
}

/// Without a word of connections nothing is played of them, and without a network they cost nothing.
#[test]
fn nothing_is_played_that_nobody_asked_for() {
    let plain = exactly(&each_second(50), "", "", "");
    assert_eq!(plain.traffic[0].connections, None);
    let kept = exactly(&each_second(50), "connections = \"keep_alive\"", "", "");
    assert!(near(mean_ms(&plain), 10.0) && near(mean_ms(&kept), 10.0));
    // A timer for the idle connection at the end, and no event for a request that takes no time on its way.
    assert!(kept.events <= plain.events + 20, "{} and {}", kept.events, plain.events);
}

/// A request a second: a connection that may idle for half of one is closed before the next.
#[test]
fn an_idle_connection_is_closed_in_time() {
    let play = |idle: &str| {
        let traffic = format!("connections = {{ keep_alive = {{ requests = 5000, idle = \"{idle}\" }} }}");
        exactly(&each_second(1_000), &traffic, "", "")
    };
    let (short, long) = (play("500ms"), play("999ms"));
    assert_eq!((of(&short).opened, of(&long).opened), (1_000, 1));
    // 10 ms busy and 500 ms idle, in 1 000 of 1 200 s.
    assert!(near(of(&short).open_mean, 0.51 * 1_000.0 / 1_200.0), "{}", of(&short).open_mean);
    assert!(near(of(&long).open_mean, (999.0 + 0.01 + 0.999) / 1_200.0), "{}", of(&long).open_mean);
}

/// Seven at once: a browser has six connections, and the seventh request goes over the first that is free. Streams of HTTP/2
/// wait for their connection, and then for nobody, until there are as many as it may have.
#[test]
fn six_connections_and_the_seventh_waits() {
    let seven: Vec<u64> = (0..7).map(|_| 5_250).collect();
    let play = |connections: &str| {
        let traffic = format!("network = {{ round_trip = \"40ms\" }}, connections = {{ {connections} }}");
        exactly(&seven, &traffic, "", "")
    };
    let browser = play("keep_alive = {}");
    let (first, seventh) = (90.0, 90.0 + 50.0);
    assert!(near(mean_ms(&browser), (6.0 * first + seventh) / 7.0), "{}", mean_ms(&browser));
    assert_eq!((of(&browser).opened, of(&browser).waited), (6, 1));
    let one_by_one = play("keep_alive = { most = 1 }");
    let all = (0..7).map(|before| first + 50.0 * f64::from(before)).sum::<f64>();
    assert!(near(mean_ms(&one_by_one), all / 7.0), "{}", mean_ms(&one_by_one));
    let http2 = play("http2 = {}");
    assert!(near(mean_ms(&http2), first), "{}", mean_ms(&http2));
    assert_eq!((of(&http2).opened, of(&http2).waited), (1, 6));
    let few = play("http2 = { streams = 4 }");
    assert!(near(mean_ms(&few), (4.0 * first + 3.0 * seventh) / 7.0), "{}", mean_ms(&few));
}

/// Two kinds of a late request: the one that waited 60 ms while its connection came about has its own way still to go.
#[test]
fn a_stream_that_comes_late_to_a_new_connection_has_its_way_to_go() {
    let traffic = "network = { round_trip = \"40ms\" }, connections = \"http2\"";
    let run = exactly(&[5_250, 5_310], traffic, "", "");
    assert!(near(mean_ms(&run), (90.0 + 50.0) / 2.0), "{}", mean_ms(&run));
}

/// A client that gave up cannot use its connection again: the late answer would be taken for the next one.
#[test]
fn a_client_that_gives_up_closes_its_connection() {
    let play = |connections: &str| {
        let text = format!(
            r#"
            scenario.duration = "10min"
            traffic.t = {{ to = "b", profile = {{ constant = "1/s" }}, clients = 1, timeout = "5ms", connections = {connections} }}
            service.s = {{ runtime = "thread-per-request", endpoint.e.steps = [{{ wait = "10ms" }}] }}
            group.g = {{ service = "s", machine = "c6i.large", min = 1 }}
            balancer.b = {{ targets = "g" }}
            "#
        );
        Experiment::new(&Scenario::parse(&text).unwrap()).run().run
    };
    let (kept, http2) = (play("\"keep_alive\""), play("\"http2\""));
    assert_eq!(kept.requests.timed_out, kept.requests.offered);
    assert_eq!(of(&kept).opened, kept.requests.offered);
    assert_eq!(of(&http2).opened, 1, "a stream is given up, and its connection stays");
}

/// Behind a balancer that passes connections on the server does the handshake, before the first request of each.
#[test]
fn handshakes_cost_the_target_that_does_them() {
    let network = r#"network = { round_trip = "0s", tls = "1.3", tls_cpu = "5ms" }"#;
    let single = exactly(&each_second(100), network, "algorithm = \"flow-hash\"", "");
    assert!(near(mean_ms(&single), 15.0), "{}", mean_ms(&single));
    let kept = format!("{network}, connections = {{ keep_alive = {{ requests = 10 }} }}");
    let kept = exactly(&each_second(100), &kept, "algorithm = \"flow-hash\"", "");
    assert!(near(mean_ms(&kept), 10.5), "{}", mean_ms(&kept));
    // 5 ms a second on four vCPUs, for 100 of 1 200 s.
    let cpu = 100.0 * 0.005 / 4.0 * 100.0 / 1_200.0;
    assert!((single.groups[0].cpu - cpu).abs() < 1e-6 && (kept.groups[0].cpu - cpu / 10.0).abs() < 1e-6);
    let ended = exactly(&each_second(100), r#"network = { round_trip = "0s", tls = "1.3" }"#, "", "");
    assert!(near(mean_ms(&ended), 10.0) && ended.groups[0].cpu == 0.0);
}

/// Plays pre-forked servers of four workers with a service of 10 ms on as many vCPUs.
fn forked(duration: &str, rate: &str, traffic: &str, balancer: &str, more: &str, seed: u64) -> Results {
    let text = format!(
        r#"
        scenario = {{ duration = "{duration}", seed = {seed} }}
        traffic.t = {{ to = "b", profile = {{ constant = "{rate}" }}, timeout = "none", {traffic} }}
        [service.s]
        runtime = {{ processes = {{ workers = 4, accept = "reuse-port", each = {{ event-loop = {{ overhead = "0s", accept_queue = 1000000 }} }} }} }}
        endpoint.e = {{ size = "100 B", steps = [{{ cpu = "10ms" }}] }}
        [machine.m]
        vcpus = 4
        [group.g]
        service = "s"
        machine = "m"
        {more}
        [balancer.b]
        targets = "g"
        {balancer}
        "#
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Experiment::new(&scenario).run()
}

const FOR_EVER: &str = "connections = { keep_alive = { requests = 1000000, idle = \"1day\", most = 1 } }";

/// Clients with one connection each wait for it: that is the cause, and not their idle servers.
#[test]
fn clients_without_a_free_connection_are_the_cause() {
    let play = |most: u32, clients: u32| {
        let traffic = format!(
            "clients = {clients}, connections = {{ keep_alive = {{ most = {most} }} }}, network = {{ round_trip = \"100ms\" }}"
        );
        let sla = "min = 2\n[[sla]]\nobjective = \"p99 <= 200ms\"\nwindow = \"1min\"";
        forked("10min", "40/s", &traffic, "", sla, 1).run
    };
    let few = play(1, 6);
    let violations = &few.objectives[0].violations;
    assert_eq!(violations.len(), 10);
    assert!(
        violations.iter().all(|violation| violation.cause == CauseKind::ConnectionsExhausted),
        "{violations:?}"
    );
    let said = &violations[0].explanation;
    assert!(said.contains("waited at their clients, each of whom had one connection"), "{said}");
    // With six the first requests pay for their connections, and that is all.
    assert!(play(6, 6).objectives[0].violations.len() <= 1);
}

/// Connections that are kept open make no new ones, and are active: 1 800 requests a second are 72 units of new connections (25/s
/// each), of which keeping 6 000 connections open leaves two of active ones (3 000 each).
#[test]
fn kept_connections_are_billed_as_active_ones() {
    let play = |connections: &str| {
        let traffic = format!("clients = 6000, {connections}");
        let cost = "min = 8\n[cost]\nprices = \"aws-us-east-1\"";
        forked("1h", "1800/s", &traffic, "", cost, 1).run
    };
    let units = |run: &Run| {
        let line =
            run.bill.as_ref().unwrap().lines.iter().find(|line| line.unit == "LCU-hours").unwrap().clone();
        (line.quantity, line.assumption)
    };
    let (single, said) = units(&play("network = { round_trip = \"1ms\" }"));
    assert!((single - 72.0).abs() < 0.5, "{single}: {said}");
    let (kept, said) = units(&play(FOR_EVER));
    assert!((kept - 2.0).abs() < 0.02 && said.contains("mostly active connections"), "{kept}: {said}");
}

/// What happened before measurement began is not counted; connections that are open stay open.
#[test]
fn a_warm_up_is_not_counted() {
    let traffic = format!("clients = 40, {FOR_EVER}");
    let text = forked("20min", "40/s", &traffic, "", "min = 1", 1).resolved;
    let text = text.replace("warm_up = \"0s\"", "warm_up = \"10min\"");
    let run = Experiment::new(&Scenario::parse(&text).unwrap()).run().run;
    assert_eq!((of(&run).opened, of(&run).open_mean), (0, 40.0));
}

/// All keys of connections and networks are shown with their defaults, and read back to the same plan.
#[test]
fn connections_are_resolved() {
    let traffic = "clients = 40, clients_per_address = 4, connections = \"http2\", network = { round_trip = \"1ms\", tls = \"1.2\" }";
    let more = r#"min = 1
        [[incident]]
        packet_loss = { to = "b", at = "1min", for = "1min", share = 0.5 }
        [[incident]]
        network_latency = { to = "b", at = "1min", for = "1min", add = "5ms" }"#;
    let balancer = "algorithm = \"flow-hash\"\nstickiness = \"source_ip\"";
    let results = forked("10min", "4/s", traffic, balancer, more, 1);
    let keys =
        ["streams = 100", "idle = \"1min\"", "tls_cpu = \"400us\"", "source_ip = \"1d\"", "share = 0.5"];
    for key in keys {
        assert!(results.resolved.contains(key), "{key} is not in\n{}", results.resolved);
    }
    let again = Scenario::parse(&results.resolved).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.resolved(), results.resolved);
    let plain =
        forked("10min", "4/s", "clients = 4, connections = \"keep_alive\"", "", "min = 1", 1).resolved;
    for key in ["requests = 1000", "most = 6", "network = \"none\"", "clients_per_address = 1"] {
        assert!(plain.contains(key), "{key} is not in\n{plain}");
    }
}
