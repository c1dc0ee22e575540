//! Connections of clients, and the network that they go through.

use std::fmt::Write;
use std::io::{self, Cursor};
use std::sync::Arc;

use proptest::prelude::*;
use scalesim::results::{CauseKind, ConnectionsResult, Results, Run};
use scalesim::system::System;
use scalesim::{Experiment, Files, Scenario};
use sim_core::{Seed, Span, Time};

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
        endpoint.e.steps = [{{ cpu = "10ms" }}]
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

/// One client, four instances of four workers: with a flow hash all goes to one worker of one instance, and behind a
/// balancer of HTTP to all of them.
#[test]
fn a_connection_stays_with_its_target_and_its_worker() {
    let play = |balancer: &str, traffic: &str| {
        forked("10min", "20/s", &format!("clients = 1, {traffic}"), balancer, "min = 4", 1).run
    };
    for accept in ["flow-hash", "round-robin"] {
        let run = play(&format!("algorithm = \"{accept}\""), FOR_EVER);
        let (target, worker) =
            (run.groups[0].target_imbalance.unwrap(), run.groups[0].worker_imbalance.unwrap());
        assert_eq!(of(&run).opened, 1);
        if accept == "flow-hash" {
            assert!(near(target, 4.0) && near(worker, 4.0), "{target} {worker}");
        } else {
            assert!(target < 1.01 && worker < 1.1, "{target} {worker}");
        }
    }
    // A connection for each request is a new hash each time.
    let single = play("algorithm = \"flow-hash\"", "network = { round_trip = \"1ms\" }");
    let (target, worker) =
        (single.groups[0].target_imbalance.unwrap(), single.groups[0].worker_imbalance.unwrap());
    assert!(target < 1.05 && worker < 1.1, "{target} {worker}");
    // With HTTP/2 the streams of the one connection go there too.
    let http2 = play("algorithm = \"flow-hash\"", "connections = { http2 = { idle = \"1day\" } }");
    assert!(near(http2.groups[0].target_imbalance.unwrap(), 4.0));
    assert!(near(http2.groups[0].worker_imbalance.unwrap(), 4.0));
}

/// The probability that no cell of a multinomial of `n` over `cells` has more than `most`: n!/cells^n [x^n] (Σ x^k/k!)^cells.
fn none_above(n: usize, cells: usize, most: usize) -> f64 {
    let mut weights = vec![1.0];
    for _ in 0..cells {
        let mut next = vec![0.0; n + 1];
        for (before, weight) in weights.iter().enumerate() {
            let mut part = *weight;
            for more in 0..=most.min(n - before) {
                next[before + more] += part;
                part /= (more + 1) as f64 * cells as f64;
            }
        }
        weights = next;
    }
    // The weights carry cells^-k already.
    (1..=n).map(|k| k as f64).product::<f64>() * weights[n]
}

/// Each of 24 clients is on one of four workers for good: how many the busiest has is the maximum of a multinomial, and its
/// share of the requests follows.
#[test]
fn clients_that_stay_are_as_uneven_as_a_multinomial() {
    const CLIENTS: usize = 24;
    let expected: f64 =
        (0..CLIENTS).map(|most| 1.0 - none_above(CLIENTS, 4, most)).sum::<f64>() / (CLIENTS as f64 / 4.0);
    assert!((1.3..1.6).contains(&expected), "{expected}");
    let traffic = format!("clients = {CLIENTS}, {FOR_EVER}");
    let seen = |seed: u64| {
        let run = forked("2min", "200/s", &traffic, "algorithm = \"flow-hash\"", "min = 1", seed).run;
        assert_eq!(of(&run).opened, CLIENTS as u64);
        run.groups[0].worker_imbalance.unwrap()
    };
    const RUNS: u64 = 60;
    let all: Vec<f64> = (1..=RUNS).map(seen).collect();
    let mean = all.iter().sum::<f64>() / RUNS as f64;
    let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (RUNS - 1) as f64;
    let error = (variance / RUNS as f64).sqrt();
    // A client's own share of 24 000 requests is uncertain by 3 %, which the busiest gains from.
    assert!((mean - expected).abs() < 3.0 * error + 0.02, "{mean} ± {error}, expected {expected}");
}

/// Pinned clients make the busiest worker's queue the one that counts.
#[test]
fn pinning_costs_response_time() {
    let play = |traffic: &str| {
        let traffic = format!("clients = 24, {traffic}");
        forked("20min", "200/s", &traffic, "algorithm = \"flow-hash\"", "min = 1", 3).run
    };
    let (pinned, free) = (play(FOR_EVER), play("network = { round_trip = \"0s\" }"));
    let [pinned, free] = [pinned, free].map(|run| run.response_time.p99);
    assert!(pinned > 1.3 * free, "{pinned} and {free}");
}

/// Linux sends a lost SYN again after 1, 3, 7 … 63 s and gives up at 127 s; a lost request after 0.2, 0.6, 1.4 … s.
#[test]
fn lost_packets_delay_as_the_closed_form_says() {
    let play = |connections: &str, share: f64| {
        let text = format!(
            r#"
            scenario.duration = "100min"
            traffic.t = {{ to = "b", profile = {{ constant = "40/s" }}, clients = 40, timeout = "none", {connections} }}
            service.s = {{ runtime = {{ thread-per-request = {{ overhead = "0s" }} }}, endpoint.e.steps = [{{ wait = "10ms" }}] }}
            group.g = {{ service = "s", machine = "c6i.large", min = 1 }}
            balancer.b = {{ targets = "g" }}
            incident = [{{ packet_loss = {{ to = "b", at = "0s", for = "100min", share = {share} }} }}]
            "#
        );
        Experiment::new(&Scenario::parse(&text).unwrap()).run().run
    };
    for share in [0.02, 0.3] {
        let run = play("", share);
        let lost = |k: i32, first: f64| (1.0 - share) * share.powi(k) * first * (2f64.powi(k) - 1.0);
        let syn: f64 = (0..7).map(|k| lost(k, 1.0)).sum::<f64>() / (1.0 - share.powi(7));
        let request: f64 = (0..=9).map(|k| lost(k, 0.2)).sum();
        let error = run.response_time.std_dev / (run.response_time.count as f64).sqrt();
        let mean = run.response_time.mean;
        assert!(
            (mean - (0.01 + syn + request)).abs() < 4.0 * error,
            "{mean} ± {error}: 0.01 + {syn} + {request}"
        );
        let failed = run.requests.failed as f64 / run.requests.offered as f64;
        let expected = share.powi(7);
        let error = (expected / run.requests.offered as f64).sqrt();
        assert!((failed - expected).abs() < 4.0 * error + 1e-9, "{failed}, expected {expected}");
        assert_eq!(of(&run).failed, run.requests.failed);
        assert!(run.traffic[0].statuses.iter().all(|seen| seen.reason == "no connection came about"));
    }
    // With connections that are there already there is hardly a SYN to lose.
    let (single, kept) = (
        play("", 0.02),
        play("connections = { keep_alive = { requests = 1000, idle = \"1h\", most = 6 } }", 0.02),
    );
    assert!(single.response_time.p99 > 1.0, "{}", single.response_time.p99);
    assert!((0.2..0.5).contains(&kept.response_time.p99), "{}", kept.response_time.p99);
    assert!(of(&kept).opened * 100 < of(&single).opened);
}

/// 30 ms more each way for five minutes: a new connection with TLS 1.3 has three round trips, one that is there has one; and calls
/// between services have theirs.
#[test]
fn latency_is_added_to_each_round_trip_while_it_lasts() {
    let incident = r#"incident = [{ network_latency = { to = "b", at = "5min", for = "5min", add = "30ms" } }]
        sla = [{ objective = "p99 <= 200ms", window = "1min" }]"#;
    let network = r#"network = { round_trip = "40ms", tls = "1.3" }"#;
    let run = exactly(&each_second(1_000), network, "", incident);
    let expected = 130.0 + 180.0 * 300.0 / 1_000.0;
    assert!(near(mean_ms(&run), expected), "{}", mean_ms(&run));
    let violations = &run.objectives[0].violations;
    assert_eq!(violations.len(), 5);
    assert!(violations.iter().all(|violation| violation.cause == CauseKind::Network));
    assert!(violations[0].explanation.contains("took 30ms longer in each direction"));
    let kept = format!("{network}, connections = {{ keep_alive = {{ idle = \"10s\" }} }}");
    let kept = exactly(&each_second(1_000), &kept, "", incident);
    assert!(near(mean_ms(&kept), 50.0 + 0.08 + 60.0 * 300.0 / 1_000.0), "{}", mean_ms(&kept));
    // The same on the way of calls.
    let inner = r#"
        service.i = { runtime = { thread-per-request = { overhead = "0s" } }, endpoint.x.steps = [{ call = { to = "b", endpoint = "e" } }] }
        group.i = { service = "i", machine = "m", min = 1 }
        balancer.outer = { targets = "i" }
        traffic.u = { to = "outer", trace = { file = "l", format = "log", from = "2026-01-05T00:00:00Z" } }"#;
    let called = exactly(&each_second(1_000), "", "", &format!("{inner}\n{incident}"));
    let calls = &called.traffic[1];
    assert!(near(1e3 * calls.response_time.mean, 10.0 + 60.0 * 300.0 / 1_000.0));
    assert!(calls.requests.conserved() && calls.requests.completed == 1_000);
}

/// A target that is taken out goes on with the connections it has until the delay is over; nobody notices.
#[test]
fn a_target_that_is_taken_out_keeps_its_connections() {
    let play = |connections: &str| {
        let traffic = format!("clients = 40, {connections}");
        let more = "min = 1\ndesired = 2\nmax = 2\nscaling = [{ manual = { at = \"5min\", desired = 1 } }]";
        let balancer = "algorithm = \"flow-hash\"\nderegistration_delay = \"120s\"";
        forked("20min", "40/s", &traffic, balancer, more, 1).run
    };
    let kept = play(FOR_EVER);
    // What runs at that instant is cut; a client whose connection idles opens another.
    assert!(kept.requests.failed <= 2, "{:?}", kept.requests);
    let hours = kept.groups[0].instance_hours;
    assert!(near(hours * 60.0, 20.0 + 7.0), "{hours}");
    assert!(of(&kept).opened > 45 && of(&kept).opened <= 80, "{}", of(&kept).opened);
    // Connections that are closed after a second of idling let it go early.
    let short = play("connections = { keep_alive = { requests = 20, idle = \"1s\", most = 1 } }");
    let minutes = short.groups[0].instance_hours * 60.0;
    assert!(minutes > 25.0 && minutes < 25.8, "{minutes}");
    assert_eq!(short.requests.failed, 0);
}

/// A balancer of HTTP answers for its targets: clients get a 502 for one that crashed, over the connections that they have.
#[test]
fn a_balancer_of_http_keeps_its_clients_connections() {
    let traffic = format!("clients = 40, {FOR_EVER}");
    let crash = "min = 2\n[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
    let run = forked("20min", "40/s", &traffic, "", crash, 1).run;
    assert!(run.requests.failed > 100, "{:?}", run.requests);
    assert_eq!(of(&run).opened, 40);
}

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

/// Of two targets one crashes: the next request on each of its connections is reset, new connections avoid it as soon as the
/// balancer has noticed.
#[test]
fn connections_to_a_target_that_crashed_are_reset() {
    let traffic = format!("clients = 40, {FOR_EVER}");
    let balancer = "algorithm = \"flow-hash\"\nhealth_check = { interval = \"10s\", timeout = \"5s\" }";
    let crash = "min = 2\n[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
    let run = forked("20min", "40/s", &traffic, balancer, crash, 1).run;
    let statuses = &run.traffic[0].statuses;
    let count = |status: &str| {
        statuses.iter().filter(|seen| seen.status == status).map(|seen| seen.count).sum::<u64>()
    };
    // Half of the clients, each once; then half of their new connections are refused until the check has failed twice.
    assert!((15..=25).contains(&count("reset")), "{statuses:?}");
    assert!(count("refused") > 5, "{statuses:?}");
    assert!(run.requests.conserved());
    let late: Vec<f64> = run.series.iter().filter(|row| row.at > 330.0).map(|row| row.errors).collect();
    assert!(late.iter().all(|errors| *errors == 0.0), "{late:?}");
}

/// With a cookie of the balancer its first answer decides; with one of the app two first requests can go to two targets.
#[test]
fn an_app_cookie_comes_with_the_first_answer() {
    let targets = |stickiness: &str, step: usize| {
        let balancer = format!("stickiness = {{ {stickiness} }}");
        let mut at = vec![1_250, 1_252];
        at.extend(each_second(1_000).into_iter().step_by(step).skip(1));
        exactly_on("min = 2", &at, "", &balancer, "").groups[0].target_imbalance.unwrap()
    };
    assert!(near(targets("lb_cookie = \"1day\"", 1), 2.0));
    let app = targets("app_cookie = \"1day\"", 1);
    assert!(near(app, 2.0 * 1_000.0 / 1_001.0), "one request went to the other: {app}");
    // Each answer renews it; one that is over by the next request leaves the turns as they are.
    assert!(near(targets("app_cookie = \"1s\"", 1), app));
    assert!(targets("app_cookie = \"1s\"", 2) < 1.01);
    assert!(near(targets("source_ip = \"1h\"", 1), 2.0));
}

/// A hundred clients behind one address are one to a balancer that looks at addresses, and a hundred to one that reads cookies.
#[test]
fn clients_behind_a_nat_share_an_address() {
    let play = |stickiness: &str, each: u32, algorithm: &str| {
        let traffic = format!("clients = 400, clients_per_address = {each}");
        let balancer = format!("algorithm = \"{algorithm}\"\n{stickiness}");
        let run = forked("5min", "100/s", &traffic, &balancer, "min = 4", 1).run;
        run.groups[0].target_imbalance.unwrap()
    };
    for algorithm in ["flow-hash", "round-robin", "least-outstanding-requests"] {
        let sticky = "stickiness = { source_ip = \"1h\" }";
        assert!(near(play(sticky, 400, algorithm), 4.0), "{algorithm}");
        assert!(play(sticky, 1, algorithm) < 1.4, "{algorithm}");
    }
    assert!(near(play("", 400, "ip-hash"), 4.0));
    assert!(play("", 1, "ip-hash") < 1.4);
}

/// A random system with connections: crashes, scale-in, loss, latency, retries, calls.
fn systems() -> impl Strategy<Value = String> {
    let connections = prop_oneof![
        Just("\"per-request\"".to_string()),
        (1u32..30, 1u32..4, 1u32..3_000).prop_map(|(requests, most, idle)| format!(
            "{{ keep_alive = {{ requests = {requests}, most = {most}, idle = \"{idle}ms\" }} }}"
        )),
        (1u32..5).prop_map(|streams| format!("{{ http2 = {{ streams = {streams}, idle = \"2s\" }} }}")),
    ];
    let network = prop::sample::select(vec![
        "",
        "network = { round_trip = \"0s\" }",
        "network = { round_trip = \"30ms\", tls = \"1.3\" }",
        "network = { round_trip = \"150ms\", tls = \"1.2\" }",
    ]);
    let algorithm = prop::sample::select(vec!["flow-hash", "round-robin", "least-outstanding-requests"]);
    let sticky = prop::sample::select(vec!["", "stickiness = { source_ip = \"10s\" }"]);
    let runtime = prop::sample::select(vec![
        "\"thread-per-request\"",
        "{ cluster = { workers = 3, accept_queue = 9 } }",
        "{ processes = { workers = 3, accept = \"shared\", backlog = 5, each = { thread-pool = { threads = 2, accept_queue = 9 } } } }",
        "{ processes = { workers = 2, accept = \"reuse-port\", each = { gil = { threads = 3, accept_queue = 9 } } } }",
    ]);
    let when = (60u32..400, 60u32..400, 60u32..400, 1u32..60, 0.01f64..1.0);
    ((connections, network, algorithm, sticky, runtime), when, 2u32..60, 1u64..1_000).prop_map(
        |((connections, network, algorithm, sticky, runtime), (crash, shrink, loss, lasts, share), rate, seed)| {
            format!(
                r#"
                scenario = {{ duration = "15min", seed = {seed} }}
                [traffic.a]
                to = "front"
                profile = {{ points = {{ at = [["0s", "{rate}/s"], ["9min", "{rate}/s"], ["9min", "0/s"]] }} }}
                clients = 20
                timeout = "400ms"
                retry = {{ max = 2, backoff = "30ms" }}
                connections = {connections}
                {network}
                [service.s]
                runtime = {runtime}
                endpoint.e.steps = [{{ cpu = {{ exp = {{ mean = "15ms" }} }} }}, {{ wait = {{ exp = {{ mean = "60ms" }} }} }}, {{ call = {{ to = "inner", endpoint = "x" }} }}]
                [service.i]
                runtime = "async"
                endpoint.x.steps = [{{ cpu = {{ exp = {{ mean = "2ms" }} }} }}]
                [machine.m]
                vcpus = 2
                [group.g]
                service = "s"
                machine = "m"
                min = 1
                desired = 3
                max = 3
                startup = {{ provision = "10s", boot = "10s", app = "5s" }}
                health_check = {{ elb = {{ grace_period = "10s" }} }}
                scaling = [{{ manual = {{ at = "{shrink}s", desired = 1 }} }}]
                [group.i]
                service = "i"
                machine = "m"
                min = 1
                [balancer.front]
                targets = "g"
                algorithm = "{algorithm}"
                {sticky}
                deregistration_delay = "3s"
                health_check = {{ interval = "5s", timeout = "2s" }}
                [balancer.inner]
                targets = "i"
                [[incident]]
                crash = {{ group = "g", at = "{crash}s", count = 2 }}
                [[incident]]
                packet_loss = {{ to = "front", at = "{loss}s", for = "{lasts}s", share = {share} }}
                [[incident]]
                network_latency = {{ to = "inner", at = "{loss}s", for = "{lasts}s", add = "20ms" }}
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Every request is accounted for at every instant; when traffic has stopped and connections have idled, nothing is left.
    #[test]
    fn nothing_is_lost_on_the_way(text in systems()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let plan = Arc::new(scenario.plan().clone());
        let mut simulation = System::start(plan.clone(), Seed::new(3));
        for second in (2..=870).step_by(4) {
            simulation.run(Time::from_nanos(second * 1_000_000_000), u64::MAX, &mut ());
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= simulation.model.in_flight() as u64);
            }
        }
        prop_assert_eq!(simulation.model.in_flight(), 0);
        prop_assert_eq!(simulation.model.open_connections(), 0);
        // A fork has the same future.
        let mut original = System::start(plan, Seed::new(3));
        original.run(Time::ZERO + Span::from_secs(200), u64::MAX, &mut ());
        let mut fork = original.clone();
        original.run(Time::ZERO + Span::from_secs(870), u64::MAX, &mut ());
        fork.run(Time::ZERO + Span::from_secs(870), u64::MAX, &mut ());
        prop_assert_eq!(original.calendar.order_hash(), fork.calendar.order_hash());
        prop_assert_eq!(original.calendar.order_hash(), simulation.calendar.order_hash());
        let results = Experiment::new(&scenario).run();
        prop_assert!(results.run.traffic.iter().chain(&results.run.endpoints).all(|part| part.requests.conserved()));
    }
}
