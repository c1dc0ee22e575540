//! Target groups as ALB documents them, each rule by its name.

use scalesim::results::{Activity, ActivityKind, CauseKind, Part, Results};
use scalesim::{Experiment, Scenario};

/// Plays instances of one thread each, whose requests take 100 ms. `service` has lines of its table, the endpoint included.
fn play(duration: &str, rate: &str, service: &str, group: &str, balancer: &str, rest: &str) -> Results {
    let text = format!(
        r#"
        scenario.duration = "{duration}"
        [traffic.t]
        to = "b"
        profile = {rate}
        timeout = "none"
        [service.s]
        {service}
        [machine.one]
        vcpus = 1
        [group.g]
        service = "s"
        machine = "one"
        startup = {{ provision = "10s", boot = "10s", app = "10s" }}
        {group}
        [balancer.b]
        targets = "g"
        {balancer}
        {rest}
        "#
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let results = Experiment::new(&scenario).run();
    assert!(results.run.requests.conserved(), "{:?}", results.run.requests);
    results
}

const ONE_THREAD: &str = r#"
runtime = { thread-pool = { threads = 1, accept_queue = 100000, overhead = "0s" } }
endpoint.e.steps = [{ cpu = "100ms" }]"#;
const CHECK: &str = r#"health_check = { interval = "10s", timeout = "5s", healthy = 3, unhealthy = 2 }"#;

fn of(results: &Results, kind: ActivityKind) -> Vec<&Activity> {
    results.run.activities.iter().filter(|activity| activity.kind == kind).collect()
}

fn seconds(activities: &[&Activity]) -> Vec<u64> {
    activities.iter().map(|activity| activity.at.round() as u64).collect()
}

fn status(part: &Part, status: &str) -> u64 {
    part.statuses.iter().filter(|seen| seen.status == status).map(|seen| seen.count).sum()
}

fn constant(rate: &str) -> String {
    format!("{{ constant = \"{rate}\" }}")
}

/// It runs 10 s after its launch, and from then on is checked every 10 s; its app is up after 30 s.
#[test]
fn a_new_target_needs_one_passed_check() {
    let group = r#"min = 1
        max = 2
        scaling = [{ manual = { at = "61s", desired = 2 } }]"#;
    let results = play("5min", &constant("1/s"), ONE_THREAD, group, CHECK, "");
    let healthy = of(&results, ActivityKind::Healthy);
    assert_eq!(seconds(&healthy), [91], "{healthy:?}");
    assert!(healthy[0].description.contains("first health check 30s after its launch"), "{healthy:?}");
}

/// 20 requests a second for a minute are twice what one thread can do: after 10 s a check waits longer than 5 s. 600 requests
/// more than it could serve take another 30 s or so, and then it has to pass three checks. Nobody else is there, so it
/// works on all the time.
#[test]
fn checks_queue_behind_the_traffic_and_coming_back_takes_the_healthy_threshold() {
    let rate = r#"{ points = { at = [["0s", "20/s"], ["60s", "20/s"], ["60s", "0/s"]] } }"#;
    let results = play("5min", rate, ONE_THREAD, "min = 1\nmax = 1", CHECK, "");
    // Sent at 10 s and at 20 s; the first waits for about 5 s, so it is a matter of chance whether it is in time.
    let out = seconds(&of(&results, ActivityKind::Unhealthy));
    assert!(out == [25] || out == [35], "{out:?}");
    let back = seconds(&of(&results, ActivityKind::Healthy));
    assert_eq!(back.len(), 1, "{back:?}");
    // All is done about 120 s after the start. A check that is sent 5 s before that passes at the earliest.
    assert!((130..=160).contains(&back[0]), "three checks in a row after the queue is gone: {back:?}");
    let requests = results.run.requests;
    assert_eq!(requests.completed, requests.offered, "it fails open: {requests:?}");
}

/// A server with room in its queue for 20 requests: whoever comes has waited 2 s at most, or is refused at once; so are checks.
#[test]
fn a_short_queue_refuses_checks_too() {
    let short = ONE_THREAD.replace("100000", "20");
    let results = play("5min", &constant("40/s"), &short, "min = 2\nmax = 2", CHECK, "");
    let out = of(&results, ActivityKind::Unhealthy);
    assert!(!out.is_empty());
    assert!(status(&results.run.traffic[0], "502") > 1_000);
}

/// Checks take too long at a load that all can carry together, and too few are left: the health check takes the fleet down.
#[test]
fn checks_that_fail_under_load_leave_it_to_fewer() {
    // Two can serve 20/s: 18/s pile up nothing that takes 5 s, but after one crash they do.
    let incident = "[[incident]]\ncrash = { group = \"g\", at = \"3min\" }";
    let sla = "[[sla]]\nobjective = \"p50 <= 1s\"\nwindow = \"1min\"";
    let results = play(
        "15min",
        &constant("26/s"),
        ONE_THREAD,
        "min = 3\nmax = 3\nhealth_check = { elb = { grace_period = \"60s\" } }",
        CHECK,
        &format!("{incident}\n{sla}"),
    );
    assert!(!of(&results, ActivityKind::Unhealthy).is_empty());
    let causes: Vec<CauseKind> = results.run.objectives[0].violations.iter().map(|v| v.cause).collect();
    assert!(causes.contains(&CauseKind::TargetsUnhealthy), "{causes:?}");
}

/// An app that redirects its front page fails a check that wants 200, and passes one that takes redirects.
#[test]
fn an_answer_has_to_match() {
    let redirects =
        ONE_THREAD.replace("endpoint.e.steps", "endpoint.\"GET /\".status = 302\nendpoint.\"GET /\".steps");
    let check = |matcher: &str| CHECK.replace("interval", &format!("matcher = \"{matcher}\", interval"));
    let out = |matcher: &str| {
        let results = play("2min", &constant("1/s"), &redirects, "min = 2\nmax = 2", &check(matcher), "");
        of(&results, ActivityKind::Unhealthy).len()
    };
    assert_eq!([out("200"), out("200-399"), out("200,302")], [2, 0, 0]);
}

/// The steps of the endpoint at the path are done for each check.
#[test]
fn a_check_does_what_its_endpoint_does() {
    let slow = format!("{ONE_THREAD}\nendpoint.\"GET /deep\".steps = [{{ wait = \"6s\" }}]");
    let mix = |path: &str| {
        let check = CHECK.replace("interval", &format!("path = \"{path}\", interval"));
        let rate = format!("{}\nmix = {{ e = 1 }}", constant("1/s"));
        of(&play("2min", &rate, &slow, "min = 1\nmax = 1", &check, ""), ActivityKind::Unhealthy).len()
    };
    assert_eq!([mix("/"), mix("/deep")], [0, 1]);
}

/// The app listens at 3000 and the target group sends to 80: refused, and the group replaces instances for ever.
#[test]
fn the_wrong_port_makes_every_target_unhealthy() {
    let service = format!("port = 3000\n{ONE_THREAD}");
    let group = "min = 2\nmax = 2\nhealth_check = { elb = { grace_period = \"60s\" } }";
    let sla = "[[sla]]\nobjective = \"availability >= 99%\"\nwindow = \"5min\"";
    let results = play("30min", &constant("5/s"), &service, group, &format!("{CHECK}\nport = 80"), sla);
    let requests = results.run.requests;
    assert_eq!(requests.completed, 0);
    assert_eq!(
        status(&results.run.traffic[0], "502") + status(&results.run.traffic[0], "504"),
        requests.failed
    );
    assert!(of(&results, ActivityKind::Replace).len() > 10);
    let violation = &results.run.objectives[0].violations[0];
    assert_eq!(violation.cause, CauseKind::NoHealthyInstance);
    assert!(violation.explanation.contains("balancer.b.port = 3000"), "{}", violation.explanation);
    assert!(
        results.notes.iter().any(|note| note.contains("replaces its instances for ever")),
        "{:?}",
        results.notes
    );
}

/// Packets to a closed port are dropped: the balancer waits 10 s for a connection and answers 504.
#[test]
fn a_closed_security_group_is_a_504_after_ten_seconds() {
    let group = "min = 2\nmax = 2\nsecurity_group = { inbound = [443] }";
    let results = play("5min", &constant("5/s"), ONE_THREAD, group, CHECK, "");
    let traffic = &results.run.traffic[0];
    assert_eq!(traffic.requests.completed, 0);
    assert_eq!(status(traffic, "504"), traffic.requests.failed);
    let waiting = traffic.requests.in_flight as f64;
    assert!((30.0..75.0).contains(&waiting), "5/s for 10 s: {waiting}");
    assert_eq!(of(&results, ActivityKind::Unhealthy).len(), 2);
}

/// The idle timeout: no answer within 60 s is a 504, and the server goes on.
#[test]
fn no_answer_within_the_idle_timeout_is_a_504() {
    let slow = r#"
        runtime = "thread-per-request"
        endpoint.e.steps = [{ wait = { uniform = { low = "0s", high = "90s" } } }]"#;
    let play = |idle: &str| {
        play("2h", &constant("1/s"), slow, "min = 1\nmax = 1", &format!("{CHECK}\n{idle}"), "").run
    };
    let usual = play("");
    let late = status(&usual.traffic[0], "504") as f64 / usual.requests.offered as f64;
    let error = (1.0 / 3.0 * 2.0 / 3.0 / usual.requests.offered as f64).sqrt();
    assert!((late - 1.0 / 3.0).abs() < 4.0 * error, "{late}");
    assert!(usual.response_time.max <= 60.0);
    assert_eq!(play("idle_timeout = \"none\"").requests.failed, 0);
}

/// Draining: an idle target is gone at once, and what outlives the deregistration delay is cut with a 502.
#[test]
fn what_outlives_the_deregistration_delay_is_cut() {
    let slow = r#"
        runtime = "thread-per-request"
        endpoint.e.steps = [{ wait = "50s" }]"#;
    let group = r#"min = 1
        desired = 2
        max = 2
        scaling = [{ manual = { at = "10min", desired = 1 } }]"#;
    let cut = |delay: &str| {
        let balancer = format!("{CHECK}\nderegistration_delay = \"{delay}\"");
        let results = play("20min", &constant("2/s"), slow, group, &balancer, "");
        status(&results.run.traffic[0], "502")
    };
    // Half of 2/s came to it in the 40 s that are too late for a delay of 10 s.
    let lost = cut("10s");
    assert!((15..70).contains(&lost), "{lost}");
    assert_eq!(cut("60s"), 0);
}

/// Without health checks an instance gets requests since it runs, whether its app is up or not.
#[test]
fn without_health_checks_an_instance_gets_requests_before_its_app_is_up() {
    let group = r#"min = 1
        max = 2
        scaling = [{ manual = { at = "1min", desired = 2 } }]"#;
    let failed =
        |balancer: &str| play("3min", &constant("8/s"), ONE_THREAD, group, balancer, "").run.requests.failed;
    // It boots for 10 s, in which packets to it are lost, and its app starts for another 10.
    let without = failed("health_check = \"none\"");
    assert!((50..110).contains(&without), "half of 8/s for 20 s: {without}");
    assert_eq!(failed(CHECK), 0);
}
