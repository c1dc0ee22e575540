//! Incidents: what each does to requests and instances, by its arithmetic; that nothing is lost through them; and that a
//! violated objective is blamed on them.

mod hinder;
mod processes;
mod random;
mod zones;

use scalesim::results::{Activity, ActivityKind, CauseKind, Results};
use scalesim::{Experiment, Scenario};

/// A scenario with a source `t`, a service `s`, a group `g` of one-vCPU machines and a balancer `b`.
struct Case<'a> {
    duration: &'a str,
    rate: &'a str,
    service: &'a str,
    steps: &'a str,
    group: &'a str,
    rest: &'a str,
}

const CASE: Case<'static> = Case {
    duration: "40min",
    rate: "10/s",
    service: "runtime = { event-loop = { overhead = \"0s\", accept_queue = 100000 } }",
    steps: "{ cpu = \"10ms\" }",
    group: "min = 1",
    rest: "",
};

impl Case<'_> {
    fn scenario(&self) -> Scenario {
        let startup = if self.group.contains("startup") {
            ""
        } else {
            "startup = { provision = \"10s\", boot = \"10s\", app = \"10s\" }"
        };
        let text = format!(
            r#"
            scenario.duration = "{}"
            traffic.t = {{ to = "b", profile = {{ constant = "{}" }}, timeout = "none" }}
            [service.s]
            {}
            endpoint.e.steps = [{}]
            [machine.one]
            vcpus = 1
            [machine.four]
            vcpus = 4
            [group.g]
            service = "s"
            {}
            {startup}
            {}
            [balancer.b]
            targets = "g"
            health_check = {{ interval = "5s", timeout = "2s", healthy = 2 }}
            {}
            "#,
            self.duration,
            self.rate,
            self.service,
            self.steps,
            if self.group.contains("machine") { "" } else { "machine = \"one\"" },
            self.group,
            self.rest
        );
        Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn play(&self) -> Results {
        Experiment::new(&self.scenario()).run()
    }
}

fn event_loop(supervisor: &str) -> String {
    format!("{}\nsupervisor = {supervisor}", CASE.service)
}

fn of_kind(results: &Results, kind: ActivityKind) -> Vec<&Activity> {
    results.run.activities.iter().filter(|activity| activity.kind == kind).collect()
}

/// Seconds at which activities of a kind were logged.
fn instants(results: &Results, kind: ActivityKind) -> Vec<f64> {
    of_kind(results, kind).iter().map(|activity| activity.at).collect()
}

/// The mean of the median response times of the rows of two minutes, in milliseconds.
fn median(results: &Results, minute: f64) -> f64 {
    let rows =
        results.run.series.iter().filter(|row| (60.0 * minute..60.0 * minute + 120.0).contains(&row.at));
    let medians: Vec<f64> = rows.filter_map(|row| row.p50).collect();
    1e3 * medians.iter().sum::<f64>() / medians.len() as f64
}

/// Requests that came to no answer, and that were answered, in a stretch of minutes.
fn outcomes(results: &Results, from: f64, to: f64) -> (u64, u64) {
    let rows = results.run.series.iter().filter(|row| (60.0 * from..60.0 * to).contains(&row.at));
    let (bad, good) = rows.fold((0.0, 0.0), |(bad, good), row| (bad + row.errors, good + row.completed));
    let count = |rate: f64| (rate * results.run.interval).round() as u64;
    (count(bad), count(good))
}

fn all_answered(results: &Results, from: f64, to: f64) -> bool {
    let (bad, good) = outcomes(results, from, to);
    bad == 0 && good > 0
}

fn none_answered(results: &Results, from: f64, to: f64) -> bool {
    let (bad, good) = outcomes(results, from, to);
    bad > 0 && good == 0
}

/// Each incident is the cause that the violating windows give.
#[test]
fn incidents_are_causes() {
    let cause = |objective: &str, steps: &str, incident: &str| {
        let rest =
            format!("[[sla]]\nobjective = \"{objective}\"\nwindow = \"2min\"\n[[incident]]\n{incident}");
        let group = "min = 4\nzones = [\"a\", \"b\"]";
        let case = Case { rate: "200/s", service: &event_loop("\"pm2\""), steps, group, rest: &rest, ..CASE };
        let results = case.play();
        let violations = &results.run.objectives[0].violations;
        let first = violations.first().unwrap_or_else(|| panic!("{incident} violates nothing"));
        assert!((600.0..720.0).contains(&first.window.from), "{incident}: {first:?}");
        (first.cause, first.explanation.clone())
    };
    let cpu = "{ cpu = \"10ms\" }";
    let wait = "{ cpu = \"1ms\" }, { wait = \"20ms\" }";
    for (expected, words, objective, steps, incident) in [
        (
            CauseKind::ZoneLost,
            "zone a lost, and 2 instances of g with it",
            "availability >= 99%",
            cpu,
            "zone_loss = { zone = \"a\", at = \"10min\" }",
        ),
        (
            CauseKind::ProcessDied,
            "processes of g died",
            "availability >= 99%",
            cpu,
            "crash_loop = { group = \"g\", at = \"10min\", count = 2 }",
        ),
        (
            CauseKind::ProcessDied,
            "a process of g died",
            "availability >= 99.9%",
            cpu,
            "process_crash = { group = \"g\", at = \"10min\" }",
        ),
        (
            CauseKind::SlowInstance,
            "CPU work took 8 times as long on 1 instance of g",
            "p99 <= 1s",
            cpu,
            "slow = { group = \"g\", at = \"10min\", factor = 8 }",
        ),
        (
            CauseKind::DependencyFailed,
            "what g waits for took 30 times as long",
            "p99 <= 100ms",
            wait,
            "slow_dependency = { service = \"s\", at = \"10min\", factor = 30 }",
        ),
        (
            CauseKind::DependencyFailed,
            "20 % of what g waits for failed",
            "availability >= 99%",
            wait,
            "dependency_down = { service = \"s\", at = \"10min\", share = 0.2 }",
        ),
        (
            CauseKind::InstanceLost,
            "1 instance lost",
            "availability >= 99.9%",
            cpu,
            "crash = { group = \"g\", at = \"10min\" }",
        ),
    ] {
        let (seen, explanation) = cause(objective, steps, incident);
        assert!(seen == expected && explanation.contains(words), "{incident}: {seen:?}: {explanation}");
    }
}

/// A zone that stays lost is no cause of what comes after its instances are replaced: here, more load than the group can do.
#[test]
fn a_replaced_zone_is_not_to_blame() {
    let rest = "[[sla]]\nobjective = \"p99 <= 200ms\"\nwindow = \"2min\"\n[[incident]]\nzone_loss = { zone = \"a\", at = \"5min\" }\n[[incident]]\nslow = { group = \"g\", at = \"20min\", factor = 3, count = 4 }";
    let group = "min = 4\nzones = [\"a\", \"b\"]";
    let results = Case { rate: "150/s", group, rest, ..CASE }.play();
    let later =
        results.run.objectives[0].violations.iter().find(|violation| violation.window.from >= 1_200.0);
    assert_eq!(later.map(|violation| violation.cause), Some(CauseKind::SlowInstance));
}
