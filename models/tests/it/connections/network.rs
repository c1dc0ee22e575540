//! Incidents of the network.

use scalesim::results::CauseKind;
use scalesim::{Experiment, Scenario};

use super::{each_second, exactly, mean_ms, near, of};

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
        assert!(run.traffic[0].statuses.iter().all(|seen| seen.status == "no connection"));
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
