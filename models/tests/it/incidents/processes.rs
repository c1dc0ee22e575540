//! Processes that die, and who starts them again.

use scalesim::machine::{Burst, Machine};
use scalesim::results::ActivityKind;
use sim_core::{Span, Time};

use super::{CASE, Case, all_answered, event_loop, instants, none_answered, of_kind};

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
            rate: "140/s",
            service: &service,
            steps: "{ cpu = \"15ms\" }, { wait = \"2s\" }",
            group: "min = 1\nmachine = \"four\"",
            rest: &rest,
        };
        let results = case.play();
        let failed = results.run.requests.failed;
        // Some 280 are in progress. Shared listeners and hashes are uneven.
        assert!(
            (15..=180).contains(&failed),
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

/// A dependency that takes ten times as long fills the memory: the kernel kills the server, and the supervisor starts it again
/// as often as that happens.
#[test]
fn a_supervisor_starts_again_what_ran_out_of_memory() {
    let service = format!(
        "{}\nmemory = {{ process = \"100 MiB\", request = \"50 MiB\" }}",
        event_loop("{ restart = {} }")
    );
    let rest =
        "[[incident]]\nslow_dependency = { service = \"s\", at = \"10min\", for = \"10min\", factor = 10 }";
    let case = Case {
        rate: "20/s",
        service: &service,
        steps: "{ wait = \"100ms\" }",
        group: "min = 1\nmachine = \"small\"",
        rest: &format!("[machine.small]\nvcpus = 1\nmemory = \"1 GiB\"\n{rest}"),
        ..CASE
    };
    let results = case.play();
    let crashes = of_kind(&results, ActivityKind::Crash);
    // Eighteen requests fit, which come in about a second; the app takes ten to start.
    assert!((48..=57).contains(&crashes.len()), "{}", crashes.len());
    assert!(crashes[0].description.contains("ran out of the 1 GiB of memory"), "{}", crashes[0].description);
    assert!(all_answered(&results, 0.0, 10.0) && all_answered(&results, 21.0, 40.0));
}

/// Two bursts share a vCPU; one ends with its process after 10 ms, and the other has it alone: 5 ms of 10 are done, so that it is
/// done at 15 ms. A third that waited is not forgotten.
#[test]
fn a_burst_that_ends_leaves_its_vcpu_to_others() {
    let scheduler = |scheduler: &str| {
        let group = "min = 1\nmachine = \"m\"";
        let rest = format!("[machine.m]\nvcpus = 1\nscheduler = {scheduler}");
        let plan = Case { group, rest: &rest, ..CASE }.scenario().plan().clone();
        Machine::new(&plan.groups[0].machine().processor)
    };
    let free = "{ slices = { slice = \"100us\", tick = \"100us\", switch = \"0s\", migration = \"0s\", wakeup = \"0s\", refill = \"0s\" } }";
    for kind in ["{ shares = { switch = \"0s\" } }", free] {
        let mut machine = scheduler(kind);
        let at = |micros: u64| Time::ZERO + Span::from_micros(micros);
        let mut next = None;
        for task in 0..2 {
            next = machine.start(Time::ZERO, Burst::new(task, Span::from_millis(10))).or(next);
        }
        let mut finished = Vec::new();
        let mut ended = false;
        while let Some(time) = next {
            if time > at(10_000) && !ended {
                ended = true;
                next = machine.end(at(10_000), &[0]);
                continue;
            }
            let progress = machine.progress(time);
            finished.extend(progress.finished.map(|task| (task, time)));
            next = progress.next;
        }
        let [(1, done)] = finished[..] else { panic!("{kind}: {finished:?}") };
        assert!((done.as_secs_f64() - 0.015).abs() < 0.000_2, "{kind}: {done:?}");
        assert_eq!(machine.runnable(), 0);
        assert!((machine.core_nanos(done) - 15e6).abs() < 2e5, "{kind}: {}", machine.core_nanos(done));
    }
}
