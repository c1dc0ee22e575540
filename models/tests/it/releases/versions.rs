//! Versions of a launch template: what their instances are and run, and how they fare beside each other.

use scalesim::results::{CauseKind, Results};

use super::{play, scenario, told};

/// A second version with this service and this machine, released to all of four instances at once after ten minutes.
fn released(service: &str, version: &str, rate: &str, more: &str) -> Results {
    let group = "min = 4\nhealth_check = \"elb\"";
    let rest = format!(
        "[service.s2]\nruntime = {{ thread-per-request = {{ most = 100 }} }}\n{service}\n[group.g.version.v2]\n{version}\n\
         [[release]]\ngroup = \"g\"\nat = \"10min\"\nversion = \"v2\"\nhow = {{ instance_refresh = {{ {more} }} }}"
    );
    play("60min", rate, group, &rest)
}

/// Old and new instances serve beside each other; each request costs what its instance's version costs.
#[test]
fn requests_are_served_by_the_version_of_their_instance() {
    let results = released(
        "endpoint.e.steps = [{ cpu = \"20ms\" }]",
        "service = \"s2\"",
        "1/s",
        "checkpoints = [50], min_healthy = 50",
    );
    let [first, second] = results.run.versions.as_slice() else { panic!("{:?}", results.run.versions) };
    assert_eq!((first.version.as_str(), second.version.as_str()), ("v1", "v2"));
    assert_eq!((first.launched, second.launched), (4, 2));
    // At one request a second hardly two meet at an instance: 10 and 20 ms.
    assert!((first.response_time.p50 - 0.010).abs() < 2e-4, "{:?}", first.response_time);
    assert!((second.response_time.p50 - 0.020).abs() < 4e-4, "{:?}", second.response_time);
    assert_eq!(first.requests + second.requests, results.run.requests.completed);
    // After the refresh half of all, which is 50 of 60 minutes.
    let share = second.requests as f64 / results.run.requests.completed as f64;
    assert!((share - 0.5 * 50.0 / 60.0).abs() < 0.03, "{share}");
    assert!(results.run.requests.conserved());
}

/// Conservation holds for each endpoint too: what a version worked on counts as what was asked for.
#[test]
fn endpoints_count_what_was_asked_for() {
    let results = released("endpoint.e.steps = [{ cpu = \"20ms\" }]", "service = \"s2\"", "50/s", "");
    let asked = results.run.endpoints.iter().find(|part| part.name == "s: e").unwrap();
    let other = results.run.endpoints.iter().find(|part| part.name == "s2: e").unwrap();
    assert_eq!(asked.requests.offered, results.run.requests.offered);
    assert!(asked.requests.conserved() && other.requests.offered == 0);
}

/// A share of errors is a binomial: 0.3 of some 100 000.
#[test]
fn a_bad_version_answers_with_errors() {
    let results = released(
        "endpoint.e = { steps = [{ cpu = \"10ms\" }], errors = 0.3 }",
        "service = \"s2\"",
        "50/s",
        "",
    );
    let [first, second] = results.run.versions.as_slice() else { panic!() };
    assert_eq!(first.errors, 0);
    let (share, count) = (second.errors as f64 / second.requests as f64, second.requests as f64);
    assert!((share - 0.3).abs() < 4.0 * (0.21 / count).sqrt(), "{share}");
    assert_eq!(second.errors, results.run.requests.failed);
    let status = &results.run.traffic[0].statuses[0];
    assert_eq!((status.status.as_str(), status.count), ("500", second.errors));
    assert_eq!(status.reason, "the server answered with an error");
}

#[test]
fn errors_of_the_service_are_a_cause() {
    let rest = "[[sla]]\nobjective = \"availability >= 99%\"\nwindow = \"5min\"";
    let text = |errors: &str| {
        let group = "min = 2";
        let scenario = scenario("20min", "20/s", group, rest).unwrap();
        let text = scenario.resolved().replace("errors = 0.0", errors);
        let again = scalesim::Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        scalesim::Experiment::new(&again).run()
    };
    assert!(text("errors = 0.0").run.objectives[0].met);
    let bad = text("errors = 0.05");
    let violation = &bad.run.objectives[0].violations[0];
    assert_eq!(violation.cause, CauseKind::ServerErrors, "{}", violation.explanation);
}

/// A version on a larger machine has its price, and what its memory and vCPUs can do.
#[test]
fn a_version_may_have_another_machine() {
    let group = "min = 2\nhealth_check = \"elb\"";
    let rest = "[cost]\nprices = \"aws-us-east-1\"\n[group.g.version.v2]\nmachine = \"two\"\n[[release]]\ngroup = \"g\"\nat = \"1h\"\nversion = \"v2\"\nhow = { instance_refresh = { min_healthy = 0, instance_warmup = \"0s\" } }";
    let results = play("2h", "100/s", group, rest);
    let bill = results.run.bill.unwrap();
    let hours = |machine: &str| bill.lines.iter().find(|line| line.item.contains(machine)).unwrap().quantity;
    assert!((hours("one") - 2.0).abs() < 0.02, "{}", hours("one"));
    assert!((hours("two") - 2.0).abs() < 0.02, "{}", hours("two"));
    // 100 requests a second are one vCPU: half of two, and a quarter of four.
    let cpu = |from: f64| {
        let rows = results.run.series.iter().filter(|row| (from..from + 2_400.0).contains(&row.at));
        let cpu: Vec<f64> = rows.map(|row| row.groups[0].cpu).collect();
        cpu.iter().sum::<f64>() / cpu.len() as f64
    };
    assert!(
        (cpu(600.0) - 50.0).abs() < 1.0 && (cpu(4_200.0) - 25.0).abs() < 1.0,
        "{} {}",
        cpu(600.0),
        cpu(4_200.0)
    );
}

/// New instances come from the group's version, whoever asks for them, and scale-in takes outdated ones first.
#[test]
fn a_group_launches_the_version_that_it_has_now() {
    let group = "min = 2\nmax = 8\ndesired = 4\nhealth_check = \"elb\"\nscaling = [{ manual = { at = \"30min\", desired = 6 } }, { manual = { at = \"40min\", desired = 4 } }]";
    let rest = "[group.g.version.v2]\nstartup = { app = \"10s\" }\n[[release]]\ngroup = \"g\"\nat = \"10min\"\nversion = \"v2\"\nhow = { instance_refresh = { min_healthy = 50, checkpoints = [50] } }";
    let results = play("60min", "20/s", group, rest);
    let launched: Vec<u64> = results.run.versions.iter().map(|version| version.launched).collect();
    assert_eq!(launched, [4, 4], "two replaced, and two on top");
    assert_eq!(told(&results, "Launching instance 7 (v2, one, zone a)"), 1);
    // The two that go are of the first version.
    let mut gone: Vec<&str> = results
        .run
        .activities
        .iter()
        .filter(|activity| activity.description.contains("the desired capacity is lower"))
        .map(|activity| activity.description.split(':').next().unwrap())
        .collect();
    gone.sort_unstable();
    assert_eq!(gone, ["Terminating instance 2", "Terminating instance 3"]);
}

/// A version that listens elsewhere is up, and no check reaches it.
#[test]
fn a_version_at_another_port_is_never_healthy() {
    let results = released(
        "port = 8080\nendpoint.e.steps = [{ cpu = \"10ms\" }]",
        "service = \"s2\"",
        "20/s",
        "min_healthy = 75",
    );
    assert_eq!(results.run.versions[1].requests, 0);
    assert_eq!(results.run.series.last().unwrap().groups[0].serving, 3);
}

/// Whatever is not released costs nothing: the same events in the same order.
#[test]
fn versions_that_nobody_releases_change_nothing() {
    let group = "min = 2";
    let rest = "[service.s2]\nruntime = \"thread-per-request\"\nendpoint.e.steps = [{ cpu = \"20ms\" }]";
    let without = play("20min", "50/s", group, rest);
    let with = play("20min", "50/s", group, &format!("{rest}\n[group.g.version.v2]\nservice = \"s2\""));
    assert_eq!(without.run.order_hash, with.run.order_hash);
    assert_eq!(without.run.response_time, with.run.response_time);
    assert!(without.run.versions.is_empty() && with.run.versions.len() == 2);
}
