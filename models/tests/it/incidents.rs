//! Incidents: what each does to requests and instances, by its arithmetic; that nothing is lost through them; and that a
//! violated objective is blamed on them.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::results::{Activity, ActivityKind, CauseKind, Results};
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

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

/// M/D/1 of work that takes twice as long: 20 ms at a load of 80 %, 20 + 0.8 × 20 / (2 × 0.2) = 60 ms.
#[test]
fn work_on_a_slow_instance_is_that_of_a_slower_server() {
    let rest = "[[incident]]\nslow = { group = \"g\", at = \"0s\", factor = 1.6 }\n[[incident]]\nslow = { group = \"g\", at = \"0s\", factor = 1.25 }";
    let results = Case { duration: "20h", rate: "40/s", rest, ..CASE }.play();
    let mean = 1e3 * results.run.response_time.mean;
    assert!((58.5..61.5).contains(&mean), "{mean} ms");
    assert!((79.5..80.5).contains(&results.run.groups[0].cpu), "{}", results.run.groups[0].cpu);
}

/// Two incidents at once multiply, and the last to end restores.
#[test]
fn slow_incidents_overlap_and_end_one_by_one() {
    let rest = "[[incident]]\nslow = { group = \"g\", at = \"5min\", for = \"10min\", factor = 3 }\n[[incident]]\nslow = { group = \"g\", at = \"10min\", for = \"10min\", factor = 2 }";
    let results = Case { rate: "1/s", rest, ..CASE }.play();
    for (minute, expected) in [(2.0, 10.0), (7.0, 30.0), (12.0, 60.0), (17.0, 20.0), (25.0, 10.0)] {
        let seen = median(&results, minute);
        assert!((seen / expected - 1.0).abs() < 0.02, "minute {minute}: {seen} ms, not {expected}");
    }
    assert_eq!(instants(&results, ActivityKind::IncidentBegan), [300.0, 600.0]);
    assert_eq!(instants(&results, ActivityKind::IncidentOver), [900.0, 1_200.0]);
}

/// Pool steps and the primary of a cluster are CPU work as well.
#[test]
fn all_work_of_a_slow_instance_is_slow() {
    let service = "runtime = { cluster = { workers = 2, overhead = \"0s\" } }";
    let rest = "[[incident]]\nslow = { group = \"g\", at = \"5min\", factor = 4 }";
    let results = Case { rate: "6/min", service, steps: "{ pool = \"10ms\" }", rest, ..CASE }.play();
    let (before, after) = (median(&results, 2.0), median(&results, 7.0));
    assert!((after / before - 4.0).abs() < 0.05, "{before} and {after} ms");
}

/// Of two dependencies' outages, independent of each other: 1 − 0.7 × 0.5 of the requests fail, with a 500.
#[test]
fn a_share_of_requests_fails_with_their_dependency() {
    let rest = "[[incident]]\ndependency_down = { service = \"s\", at = \"0s\", share = 0.3 }\n[[incident]]\ndependency_down = { service = \"s\", at = \"0s\", share = 0.5 }";
    let steps = "{ cpu = \"1ms\" }, { wait = { exp = { mean = \"20ms\" } } }";
    let results = Case { rate: "100/s", steps, rest, ..CASE }.play();
    let requests = results.run.requests;
    let (share, ended) = (requests.failed as f64 / requests.offered as f64, requests.offered as f64);
    let error = 4.0 * (0.65 * 0.35 / ended).sqrt();
    assert!((share - 0.65).abs() < error, "{share} ± {error}");
    let statuses = &results.run.traffic[0].statuses;
    assert!(statuses.len() == 1 && statuses[0].status == "500", "{statuses:?}");
}

/// A wait that fails takes as long as it would have taken, or what the scenario says: a client with less patience sees
/// no 500.
#[test]
fn a_failing_wait_fails_at_its_end() {
    let failed = |steps: &str, after: &str, timeout: &str| {
        let rest = format!("[[incident]]\ndependency_down = {{ service = \"s\", at = \"0s\"{after} }}");
        let case = Case { duration: "10min", steps, rest: &rest, ..CASE };
        let text =
            case.scenario().resolved().replace("timeout = \"none\"", &format!("timeout = \"{timeout}\""));
        let requests = Experiment::new(&Scenario::parse(&text).unwrap()).run().run.requests;
        assert_eq!(requests.completed, 0, "{requests:?}");
        (requests.failed > 0, requests.timed_out > 0)
    };
    for steps in ["{ wait = \"200ms\" }", "{ wait = { uniform = { low = \"199ms\", high = \"201ms\" } } }"] {
        assert_eq!(failed(steps, "", "190ms"), (false, true));
        assert_eq!(failed(steps, "", "210ms"), (true, false));
        assert_eq!(failed(steps, ", after = \"1s\"", "990ms"), (false, true));
        assert_eq!(failed(steps, ", after = \"1ms\"", "10ms"), (true, false));
    }
}

/// Little's law for a pool of threads that wait: 50 a second for ten times 100 ms are 50 inside.
#[test]
fn a_slow_dependency_fills_the_threads() {
    let service = "runtime = { thread-pool = { threads = 1000 } }";
    for wait in ["\"100ms\"", "{ exp = { mean = \"100ms\" } }"] {
        let steps = format!("{{ wait = {wait} }}");
        let rest = "[[incident]]\nslow_dependency = { service = \"s\", at = \"0s\", factor = 5 }\n[[incident]]\nslow_dependency = { service = \"s\", at = \"0s\", factor = 2 }";
        let results = Case { rate: "50/s", service, steps: &steps, rest, ..CASE }.play();
        let inside = results.run.groups[0].requests_inside;
        assert!((48.5..51.5).contains(&inside), "{inside}");
    }
}

/// One server that crashes every ten minutes on average and takes a minute to start: MTBF / (MTBF + MTTR) of the requests
/// are answered, as arrivals at random see time averages.
#[test]
fn availability_is_uptime_over_uptime_and_repair() {
    let rest = "[[incident]]\nprocess_crash = { group = \"g\", every = { exp = { mean = \"10min\" } } }";
    let case = Case {
        duration: "1500h",
        rate: "1/s",
        service: &event_loop("{ restart = {} }"),
        steps: "{ cpu = \"1ms\" }",
        group: "min = 1\nstartup = { app = \"60s\" }",
        rest,
    };
    let requests = case.play().run.requests;
    let share = requests.completed as f64 / requests.offered as f64;
    // Alternating renewal: the deviation of the share after n cycles is A (1 − A) / √n, as repairs take the same.
    let expected = 10.0 / 11.0;
    let cycles = 1_500.0 * 60.0 / 11.0;
    let error = 4.0 * expected * (1.0 - expected) / f64::sqrt(cycles);
    assert!((share - expected).abs() < error, "{share}, not {expected} ± {error}");
}

/// The waits that pm2 shows, to the nanosecond: half as long again each time, in whole milliseconds.
#[test]
fn pm2_starts_a_crash_loop_with_growing_waits() {
    let rest = "[[incident]]\ncrash_loop = { group = \"g\", at = \"10min\", after = \"0s\" }";
    let service = event_loop("{ pm2 = { exp_backoff_restart_delay = \"100ms\" } }");
    let results = Case { service: &service, rest, ..CASE }.play();
    let mut at = 600.0;
    let mut expected = vec![at];
    for wait in [
        100.0, 150.0, 225.0, 337.0, 505.0, 757.0, 1_135.0, 1_702.0, 2_553.0, 3_829.0, 5_743.0, 8_614.0,
        12_921.0, 15_000.0, 15_000.0,
    ] {
        at += wait / 1e3;
        expected.push(at);
    }
    let died = instants(&results, ActivityKind::FailedStart);
    for (seen, expected) in died.iter().zip(&expected) {
        assert!((seen - expected).abs() < 1e-9, "{seen}, not {expected}");
    }
    assert_eq!(died.len(), 20, "the first are told one by one, the others in the last line");
    let last = of_kind(&results, ActivityKind::FailedStart)[19];
    assert!(last.times > 50 && last.until > 2_300.0, "pm2 never gives up here: {last:?}");
    assert!(of_kind(&results, ActivityKind::GaveUp).is_empty());
}

/// Sixteen deaths within a second of their start; the cause is gone after a minute, and nobody starts the server again.
#[test]
fn pm2_gives_up_and_the_server_stays_dead() {
    let rest = "[[incident]]\ncrash_loop = { group = \"g\", at = \"10min\", for = \"1min\" }";
    let results = Case { service: &event_loop("\"pm2\""), rest, ..CASE }.play();
    assert_eq!(instants(&results, ActivityKind::FailedStart).len(), 15);
    let given_up = of_kind(&results, ActivityKind::GaveUp);
    assert!(given_up.len() == 1 && (given_up[0].at - 608.0).abs() < 1e-9, "{given_up:?}");
    assert!(given_up[0].description.contains("pm2 gives up on it"), "{}", given_up[0].description);
    assert!(
        given_up[0].description.contains("EC2 status checks do not notice"),
        "{}",
        given_up[0].description
    );
    assert!(all_answered(&results, 0.0, 10.0) && none_answered(&results, 11.0, 40.0));
    assert_eq!(
        results.run.traffic[0].statuses[0].reason,
        "the target refused the connection: nothing listens"
    );
}

/// Five starts in ten seconds, the one of the release among them.
#[test]
fn systemd_gives_up_after_five_starts() {
    let rest = "[[incident]]\ncrash_loop = { group = \"g\", at = \"10min\", after = \"500ms\" }";
    let results = Case { service: &event_loop("\"systemd\""), rest, ..CASE }.play();
    assert_eq!(instants(&results, ActivityKind::GaveUp), [600.0 + 5.0 * 0.5 + 4.0 * 0.1]);
}

/// When the cause is gone, the next start succeeds: here the one after the death at 660 s, a second and ten later.
#[test]
fn a_crash_loop_ends_with_its_cause() {
    let rest = "[[incident]]\ncrash_loop = { group = \"g\", at = \"10min\", for = \"1min\", after = \"1s\" }";
    let service = event_loop("{ restart = { delay = \"1s\" } }");
    let results = Case { service: &service, rest, ..CASE }.play();
    let up = instants(&results, ActivityKind::Restarted);
    assert!(up.len() == 1 && (670.0..673.1).contains(&up[0]), "{up:?}");
    assert!(none_answered(&results, 10.0, 11.0) && all_answered(&results, 12.0, 40.0));
    // Two passed checks, five seconds apart, and it is a healthy target again.
    let healthy = instants(&results, ActivityKind::Healthy);
    assert!(healthy.len() == 1 && (5.0..10.0).contains(&(healthy[0] - up[0])), "{healthy:?} after {up:?}");
}

/// Instances that are launched into a crash loop of the whole group do not come up either; of one instance, only that fails.
#[test]
fn a_release_that_does_not_start_fails_on_new_instances_too() {
    let play = |count: &str| {
        let rest = format!("[[incident]]\ncrash_loop = {{ group = \"g\", at = \"5min\"{count} }}");
        let group = "min = 2\nmax = 4\nhealth_check = { elb = { grace_period = \"60s\" } }";
        Case { service: &event_loop("\"pm2\""), group, rest: &rest, ..CASE }.play()
    };
    let (all, one) = (play(""), play(", count = 1"));
    assert!(none_answered(&all, 6.0, 40.0) && all.run.groups[0].launched > 10, "{:?}", all.run.groups[0]);
    assert!(all_answered(&one, 7.0, 40.0) && one.run.groups[0].launched == 1, "{:?}", one.run.groups[0]);
}

/// A server of one process that dies, and nobody to start it: the machine goes on. The target group's check notices, EC2's
/// does not.
#[test]
fn only_the_target_groups_check_notices_a_dead_process() {
    let play = |health_check: &str| {
        let group = format!("min = 1\nmax = 2\nhealth_check = {health_check}");
        let rest = "[[incident]]\nprocess_crash = { group = \"g\", at = \"5min\" }";
        Case { group: &group, rest, ..CASE }.play()
    };
    let (ec2, elb) = (play("\"ec2\""), play("{ elb = {} }"));
    assert!(ec2.run.groups[0].launched == 0 && none_answered(&ec2, 5.1, 40.0));
    assert!(elb.run.groups[0].launched == 1 && all_answered(&elb, 8.0, 40.0));
}

/// One worker of four dies with a quarter of what is in progress, and whoever comes later goes to the others.
#[test]
fn a_worker_takes_only_its_own_requests_with_it() {
    for (accept, connections) in [
        ("reuse-port", ""),
        ("shared", ""),
        ("round-robin", ""),
        ("round-robin", "connections = { keep_alive = 64 }"),
        ("reuse-port", "connections = { keep_alive = 64 }"),
    ] {
        let service = format!(
            "runtime = {{ processes = {{ workers = 4, accept = \"{accept}\", each = {{ event-loop = {{ overhead = \"0s\", accept_queue = 10000 }} }} }} }}\nsupervisor = {{ restart = {{ delay = \"30s\" }} }}"
        );
        let rest = format!("{connections}\n[[incident]]\nprocess_crash = {{ group = \"g\", at = \"5min\" }}");
        let case = Case {
            duration: "10min",
            rate: "200/s",
            service: &service,
            steps: "{ cpu = \"15ms\" }, { wait = \"2s\" }",
            group: "min = 1\nmachine = \"four\"",
            rest: &rest,
        };
        let results = case.play();
        let failed = results.run.requests.failed;
        // Some 400 are in progress. Shared listeners and hashes are uneven.
        assert!(
            (20..=250).contains(&failed),
            "{accept} {connections}: {failed} {:#?}",
            results.run.activities
        );
        let crash = of_kind(&results, ActivityKind::Crash);
        assert!(
            crash[0].description.contains(&format!("lost {failed} requests")),
            "{}",
            crash[0].description
        );
        assert!(all_answered(&results, 6.0, 9.0));
        assert_eq!(instants(&results, ActivityKind::Restarted), [340.0], "30 s, and 10 s for the app");
        assert_eq!(results.run.groups[0].serving_min, 1, "no check sees it");
    }
}

/// Three workers of four do three quarters of the work, until somebody starts the fourth again.
#[test]
fn a_dead_worker_takes_its_capacity_with_it() {
    let cpu = |supervisor: &str, accept: &str| {
        let service = format!(
            "runtime = {{ processes = {{ workers = 4, accept = \"{accept}\", each = {{ event-loop = {{ overhead = \"0s\" }} }} }} }}\nsupervisor = {supervisor}"
        );
        let rest = "[[incident]]\nprocess_crash = { group = \"g\", at = \"1min\" }";
        let group = "min = 1\nmachine = \"four\"";
        let results =
            Case { duration: "20min", rate: "800/s", service: &service, group, rest, ..CASE }.play();
        results.run.series.last().unwrap().groups[0].cpu
    };
    for accept in ["reuse-port", "shared"] {
        let (dead, alive) = (cpu("\"none\"", accept), cpu("\"pm2\"", accept));
        assert!((74.0..75.5).contains(&dead) && alive > 99.0, "{accept}: {dead} and {alive} %");
    }
}

/// A group of nine in three zones: three stop, and their replacements come up in the other two.
#[test]
fn a_lost_zone_is_replaced_by_the_others() {
    for check in ["\"ec2\"", "{ elb = {} }"] {
        let group = format!(
            "min = 9\nmax = 12\nzones = [\"a\", \"b\", \"c\"]\nhealth_check = {check}\nscaling = [{{ manual = {{ at = \"30min\", desired = 12 }} }}]"
        );
        let rest = "[[incident]]\nzone_loss = { zone = \"b\", at = \"10min\", for = \"15min\" }";
        let results = Case { rate: "90/s", group: &group, rest, ..CASE }.play();
        let began = of_kind(&results, ActivityKind::IncidentBegan);
        assert!(began[0].description.contains("3 of 9 instances stop"), "{}", began[0].description);
        let launches = of_kind(&results, ActivityKind::Launch);
        let zones = |from: f64, to: f64| -> Vec<&str> {
            let launches = launches.iter().filter(|launch| (from..to).contains(&launch.at));
            launches
                .map(|launch| launch.description.split("zone ").nth(1).unwrap().split(')').next().unwrap())
                .collect()
        };
        // Three in a and in c each are left: they take turns.
        assert_eq!(zones(600.0, 1_500.0), ["a", "c", "a"], "{check}");
        // The zone is back and has nobody: it gets all three.
        assert_eq!(zones(1_800.0, 2_400.0), ["b", "b", "b"], "{check}");
        let group = &results.run.groups[0];
        assert_eq!((group.terminated, group.serving_min, group.serving_max), (3, 6, 12), "{check}");
        let serving = results.run.series.iter().find(|row| row.at >= 1_400.0).unwrap().groups[0].serving;
        assert_eq!(serving, 9, "{check}");
        assert!(all_answered(&results, 15.0, 40.0), "{check}");
    }
}

/// Instances that are on their way up or down stop with their zone as well: none is left behind.
#[test]
fn whoever_starts_or_drains_in_a_lost_zone_is_gone() {
    let group = "min = 2\ndesired = 2\nmax = 9\nzones = [\"a\", \"b\"]\nscaling = [{ manual = { at = \"9min\", desired = 8 } }, { manual = { at = \"19min\", desired = 2 } }]";
    let rest = "[[incident]]\nzone_loss = { zone = \"a\", at = \"545s\", for = \"5min\" }\n[[incident]]\nzone_loss = { zone = \"b\", at = \"1141s\" }";
    let results = Case { rate: "50/s", steps: "{ wait = \"30s\" }", group, rest, ..CASE }.play();
    let began = of_kind(&results, ActivityKind::IncidentBegan);
    // Of eight, four in a: one runs, three are not there yet.
    assert!(began[0].description.contains("4 of 8 instances stop"), "{}", began[0].description);
    // Those that drain in b are cut at once; whoever stood there as the desired one is replaced in a.
    assert!(results.run.requests.conserved() && results.run.requests.failed > 0);
    let last = results.run.series.last().unwrap().groups[0];
    assert_eq!((last.serving, last.draining, last.starting), (2, 0, 0), "{last:?}");
}

/// A group with no other zone waits for it, and says so once.
#[test]
fn a_group_of_one_zone_waits_until_it_is_back() {
    let group = "min = 2\nhealth_check = { elb = {} }";
    let rest = "[[incident]]\nzone_loss = { zone = \"a\", at = \"10min\", for = \"10min\" }\n[[incident]]\nzone_loss = { zone = \"a\", at = \"15min\", for = \"10min\" }";
    let results = Case { group, rest, ..CASE }.play();
    let told = of_kind(&results, ActivityKind::NoAction);
    assert!(
        told.len() == 1 && told[0].description.contains("all zones of the group (a) are lost"),
        "{told:?}"
    );
    // The second loss holds the zone until 25 minutes.
    assert_eq!(instants(&results, ActivityKind::Launch), [1_500.0, 1_500.0]);
    assert_eq!(instants(&results, ActivityKind::IncidentBegan).len(), 1);
    assert!(none_answered(&results, 10.1, 25.0) && all_answered(&results, 27.0, 40.0));
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
            "zone a lost with 2 instances of g",
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

/// Incidents at random come as often as they should: what lasts, from the end of one to the next.
#[test]
fn random_incidents_come_from_the_end_of_one_to_the_next() {
    let rest = "[[incident]]\nslow = { group = \"g\", every = { exp = { mean = \"30min\" } }, for = { exp = { mean = \"10min\" } }, factor = 2 }";
    let results = Case { duration: "1000h", rate: "1/h", rest, ..CASE }.play();
    let (began, over) =
        (instants(&results, ActivityKind::IncidentBegan), instants(&results, ActivityKind::IncidentOver));
    assert!(began.len() - over.len() <= 1);
    let expected = 1_000.0 * 60.0 / 40.0;
    // A cycle of two exponential parts: its variance over its squared mean is (30² + 10²) / 40².
    let error = 4.0 * f64::sqrt(expected * 1_000.0 / 1_600.0);
    assert!((began.len() as f64 - expected).abs() < error, "{} ± {error}", began.len());
    let slow: f64 = over.iter().zip(&began).map(|(over, began)| over - began).sum();
    let mean = slow / over.len() as f64;
    assert!((mean / 600.0 - 1.0).abs() < 4.0 / f64::sqrt(over.len() as f64), "{mean} s");
}

/// An incident's draws are its own: another one beside it changes none of them.
#[test]
fn an_incident_has_a_stream_of_its_own() {
    let slow = "[[incident]]\nslow = { group = \"g\", every = { exp = { mean = \"1h\" } }, for = \"1min\", factor = 2 }\n";
    let down = "[[incident]]\nslow_dependency = { service = \"s\", every = { exp = { mean = \"1h\" } }, for = \"1min\", factor = 2 }\n";
    let began = |rest: &str| {
        let steps = "{ cpu = \"10ms\" }, { wait = \"1ms\" }";
        let results = Case { duration: "100h", rate: "1/h", steps, rest, ..CASE }.play();
        let of_slow = of_kind(&results, ActivityKind::IncidentBegan);
        let cpu = of_slow.into_iter().filter(|activity| activity.description.contains("CPU work"));
        cpu.map(|activity| activity.at).collect::<Vec<_>>()
    };
    let alone = began(slow);
    assert!(alone.len() > 50);
    assert_eq!(alone, began(&format!("{slow}{down}")));
    assert_eq!(alone, began(&format!("{down}{slow}")));
}

/// A random system through all incidents at random instants.
fn scenarios() -> impl Strategy<Value = String> {
    let runtime = prop_oneof![
        Just("{ event-loop = { accept_queue = 30 } }".to_string()),
        Just("{ thread-pool = { threads = 5, accept_queue = 30 } }".to_string()),
        Just("{ gil = { threads = 5, accept_queue = 30 } }".to_string()),
        (1u32..5, prop::sample::select(vec!["round-robin", "shared", "reuse-port"])).prop_map(
            |(workers, accept)| format!("{{ cluster = {{ workers = {workers}, accept = \"{accept}\" }} }}")
        ),
        (1u32..4, prop::sample::select(vec!["shared", "reuse-port"])).prop_map(|(workers, accept)| format!(
            "{{ processes = {{ workers = {workers}, accept = \"{accept}\", each = {{ thread-pool = {{ threads = 3, accept_queue = 9 }} }} }} }}"
        )),
    ];
    let machine = prop::sample::select(vec![
        "",
        "scheduler = \"slices\"",
        "scheduler = { slices = { policy = \"cfs\" } }\nquota = { cpus = 0.9, period = \"20ms\" }",
        "background = [{ threads = 1, nice = 5 }]",
    ]);
    let supervisor = prop::sample::select(vec![
        "\"none\"",
        "\"pm2\"",
        "\"systemd\"",
        "{ pm2 = { exp_backoff_restart_delay = \"100ms\" } }",
        "{ restart = { delay = \"1s\", backoff = 2, give_up_after = 5, min_uptime = \"30s\" } }",
    ]);
    let balancer = prop::sample::select(vec![
        "algorithm = \"random\"",
        "algorithm = \"least-outstanding-requests\"\nconnections = { keep_alive = 8 }",
    ]);
    let check = prop::sample::select(vec!["\"ec2\"", "{ elb = { grace_period = \"20s\" } }"]);
    (runtime, machine, supervisor, balancer, check, 1u32..5, 1u64..1_000).prop_map(
        |(runtime, machine, supervisor, balancer, check, min, seed)| {
            format!(
                r#"
                [scenario]
                duration = "10min"
                seed = {seed}
                [traffic.a]
                to = "front"
                profile = {{ constant = "60/s" }}
                mix = {{ "GET /" = 0.7, "POST /" = 0.3 }}
                timeout = "500ms"
                retry = {{ max = 2, backoff = "50ms" }}
                [service.s]
                runtime = {runtime}
                supervisor = {supervisor}
                [service.s.endpoint."GET /"]
                steps = [{{ cpu = {{ exp = {{ mean = "8ms" }} }} }}, {{ wait = {{ exp = {{ mean = "50ms" }} }} }}, {{ call = {{ to = "front", endpoint = "inside" }} }}]
                [service.s.endpoint."POST /"]
                steps = [{{ wait = "5ms" }}, {{ pool = "2ms" }}, {{ call = {{ to = "inner", endpoint = "x" }} }}, {{ cpu = "10ms" }}]
                [service.s.endpoint.inside]
                steps = [{{ cpu = "1ms" }}, {{ wait = "20ms" }}]
                [service.t]
                runtime = {{ cluster = {{ workers = 2 }} }}
                supervisor = "pm2"
                [service.t.endpoint.x]
                steps = [{{ cpu = {{ exp = {{ mean = "5ms" }} }} }}, {{ wait = "10ms" }}]
                [machine.m]
                vcpus = 2
                {machine}
                [group.g]
                service = "s"
                machine = "m"
                zones = ["a", "b"]
                min = {min}
                max = 6
                startup = {{ provision = "5s", boot = "5s", app = {{ uniform = {{ low = "1s", high = "5s" }} }} }}
                health_check = {check}
                monitoring = "detailed"
                [[group.g.scaling]]
                target_tracking = {{ metric = "cpu", target = 40, low_datapoints = 3 }}
                [[group.g.scaling]]
                scheduled = {{ at = "3min", desired = 5 }}
                [group.h]
                service = "t"
                machine = "m"
                zones = ["b", "c"]
                min = 2
                startup = {{ provision = "5s", boot = "5s", app = "2s" }}
                [balancer.front]
                targets = "g"
                {balancer}
                deregistration_delay = "5s"
                health_check = {{ interval = "5s", timeout = "2s", healthy = 2 }}
                [balancer.inner]
                targets = "h"
                [[incident]]
                process_crash = {{ group = "g", every = {{ exp = {{ mean = "10s" }} }}, count = 2 }}
                [[incident]]
                process_crash = {{ group = "h", every = {{ exp = {{ mean = "20s" }} }} }}
                [[incident]]
                crash = {{ group = "g", every = {{ exp = {{ mean = "2min" }} }} }}
                [[incident]]
                crash_loop = {{ group = "g", every = {{ exp = {{ mean = "2min" }} }}, for = {{ exp = {{ mean = "20s" }} }} }}
                [[incident]]
                crash_loop = {{ group = "h", every = {{ exp = {{ mean = "1min" }} }}, for = "10s", count = 1, after = "0s" }}
                [[incident]]
                slow = {{ group = "g", every = {{ exp = {{ mean = "30s" }} }}, for = {{ exp = {{ mean = "20s" }} }}, factor = 3, count = 2 }}
                [[incident]]
                zone_loss = {{ zone = "a", every = {{ exp = {{ mean = "3min" }} }}, for = {{ exp = {{ mean = "1min" }} }} }}
                [[incident]]
                zone_loss = {{ zone = "b", every = {{ exp = {{ mean = "3min" }} }}, for = {{ exp = {{ mean = "1min" }} }} }}
                [[incident]]
                slow_dependency = {{ service = "s", every = {{ exp = {{ mean = "1min" }} }}, for = "20s", factor = 5 }}
                [[incident]]
                dependency_down = {{ service = "s", every = {{ exp = {{ mean = "1min" }} }}, for = "20s", share = 0.5, after = {{ exp = {{ mean = "1s" }} }} }}
                [[sla]]
                objective = "availability >= 99%"
                window = "1min"
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_ledger_balances_through_all_incidents(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = Arc::new(scenario.plan().clone());
        let mut simulation = System::start(plan.clone(), Seed::new(3));
        for second in (3..=300).step_by(3) {
            simulation.run(Time::ZERO + Span::from_secs(second), u64::MAX, &mut ());
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= simulation.model.in_flight() as u64);
            }
            for fleet in simulation.model.fleets() {
                prop_assert!(fleet.inside.value() >= 0.0 && fleet.serving.value() >= 0.0);
                prop_assert!(fleet.serving.value() <= fleet.members.len() as f64);
            }
        }
        // A fork in mid-run has the same future.
        let mut fork = simulation.clone();
        let end = Time::ZERO + plan.duration;
        simulation.run(end, u64::MAX, &mut ());
        fork.run(end, u64::MAX, &mut ());
        prop_assert_eq!(simulation.calendar.order_hash(), fork.calendar.order_hash());
        prop_assert_eq!(simulation.events(), fork.events());
        for source in &simulation.model.measure().sources {
            prop_assert!(source.ledger().conserved());
        }
    }

    #[test]
    fn incidents_are_the_same_with_the_same_seed(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let json = || serde_json::to_string(&Experiment::new(&scenario).run()).unwrap();
        prop_assert_eq!(json(), json());
    }
}
