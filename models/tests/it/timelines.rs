//! Whole groups over time: what the control plane does minute by minute, and how it is told.

use scalesim::results::{ActivityKind, CauseKind, Results};
use scalesim::{Experiment, Scenario};

/// A group of threads whose requests take 10 ms of CPU. It has detailed monitoring unless `group` says otherwise; what stands
/// behind `rest` begins with keys of the balancer.
pub fn text(head: &str, rate: &str, group: &str, rest: &str) -> String {
    let monitoring = if group.contains("monitoring") { "" } else { "monitoring = \"detailed\"" };
    format!(
        r#"
        [scenario]
        {head}
        [traffic.t]
        to = "b"
        profile = {rate}
        timeout = "5s"
        [service.s]
        runtime = {{ thread-per-request = {{ most = 100 }} }}
        [service.s.endpoint.e]
        steps = [{{ cpu = "10ms" }}]
        [machine.one]
        vcpus = 1
        [group.g]
        service = "s"
        machine = "one"
        {monitoring}
        {group}
        [balancer.b]
        targets = "g"
        {rest}
        "#
    )
}

/// Plays such a group.
fn play(duration: &str, rate: &str, group: &str, rest: &str) -> Results {
    let head = format!("duration = \"{duration}\"");
    let rest = format!("health_check = {{ interval = \"10s\", timeout = \"5s\" }}\n{rest}");
    let text = text(&head, rate, group, &rest);
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    Experiment::new(&scenario).run()
}

/// Minute and desired capacity of each change.
fn sizes(results: &Results) -> Vec<(u64, u32)> {
    let changes = results.run.activities.iter().filter(|activity| {
        use ActivityKind::{Manual, ScaleIn, ScaleOut, Scheduled};
        matches!(activity.kind, Manual | ScaleIn | ScaleOut | Scheduled)
    });
    changes.map(|activity| ((activity.at / 60.0) as u64, activity.desired)).collect()
}

/// 230 requests a second take 2.3 vCPUs: five instances hold a target of 50 %, and no repeated action goes below them.
#[test]
fn scale_in_stops_at_the_size_that_the_load_needs() {
    for monitoring in ["detailed", "basic"] {
        let group = format!(
            "min = 1\ndesired = 10\nmax = 20\nmonitoring = \"{monitoring}\"\nscaling = [{{ target_tracking = {{ target = 50, low_datapoints = 3 }} }}]"
        );
        let results = play("90min", r#"{ constant = "230/s" }"#, &group, "");
        let sizes = sizes(&results);
        assert!(matches!(sizes.as_slice(), [(_, 5)]), "{monitoring}: {sizes:?}");
    }
}

/// From 90 to 350 requests a second with two instances: the metric saturates at 100 %, so the group doubles, and once
/// more when the new instances are warm.
#[test]
fn scale_out_grows_with_what_the_datapoints_are_about() {
    let rate = r#"{ points = { at = [["0s", "90/s"], ["10min", "90/s"], ["10min", "350/s"]] } }"#;
    let group = "min = 2\nmax = 20\ninstance_warmup = \"60s\"\nstartup = { provision = \"10s\", boot = \"10s\", app = \"10s\" }\nscaling = [{ target_tracking = { target = 50 } }]";
    let results = play("40min", rate, group, "");
    let sizes = sizes(&results);
    // Three datapoints that are a minute late: 14. Warm at 14 + 10 s + 60 s, so the first full minute ends at 17.
    assert_eq!(sizes, [(14, 4), (18, 8)]);
}

/// The balancer's metric is about all that serve, warm or not.
#[test]
fn requests_per_target_reach_their_target_at_once() {
    let group = "min = 4\nmax = 20\ninstance_warmup = \"10min\"\nscaling = [{ target_tracking = { metric = \"requests_per_target\", target = 1600 } }]";
    let results = play("20min", r#"{ constant = "200/s" }"#, group, "");
    assert_eq!(sizes(&results).iter().map(|&(_, size)| size).collect::<Vec<_>>(), [8]);
}

/// A policy that must not scale in has no say in whether others do.
#[test]
fn a_policy_without_scale_in_has_no_veto() {
    let group = "min = 1\ndesired = 8\nmax = 20\nscaling = [{ target_tracking = { target = 50, low_datapoints = 3 } }, { target_tracking = { metric = \"requests_per_target\", target = 9000, disable_scale_in = true } }]";
    let results = play("30min", r#"{ constant = "80/s" }"#, group, "");
    assert_eq!(sizes(&results).last().map(|&(_, size)| size), Some(2), "{:?}", sizes(&results));
}

/// A wish that another policy forbids is in the log with the reason.
#[test]
fn a_veto_is_told() {
    let group = "min = 1\ndesired = 4\nmax = 20\nscaling = [{ target_tracking = { target = 50, low_datapoints = 3 } }, { target_tracking = { metric = \"requests_per_target\", target = 1600 } }]";
    let results = play("30min", r#"{ constant = "100/s" }"#, group, "");
    assert_eq!(sizes(&results), []);
    let told = results.run.activities.iter().any(|activity| activity.description.contains("another policy"));
    assert!(told, "{:#?}", results.run.activities);
}

/// An app that takes longer to start than the grace period is replaced, again and again.
#[test]
fn an_instance_that_does_not_start_in_time_is_replaced_for_ever() {
    let group = |grace: &str| {
        format!(
            "min = 1\nmax = 5\nscaling = [{{ manual = {{ at = \"2min\", desired = 2 }} }}]\nhealth_check = {{ elb = {{ grace_period = \"{grace}\" }} }}\nstartup = {{ provision = \"10s\", boot = \"1min\", app = \"5min\" }}"
        )
    };
    let replaced = |grace: &str| {
        let results = play("30min", r#"{ constant = "10/s" }"#, &group(grace), "");
        results.run.activities.iter().filter(|activity| activity.kind == ActivityKind::Replace).count()
    };
    assert!(replaced("60s") > 10, "{}", replaced("60s"));
    assert_eq!(replaced("10min"), 0);
}

/// Without a healthy target the balancer sends to all: the one whose app is up answers before its first check.
#[test]
fn a_balancer_without_healthy_targets_fails_open() {
    let group = "min = 1\nmax = 2\nhealth_check = { elb = { grace_period = \"0s\" } }\nstartup = { provision = \"10s\", boot = \"5s\", app = \"5s\" }";
    let incident = "[[incident]]\ncrash = { group = \"g\", at = \"5min\" }";
    let results = play("10min", r#"{ constant = "100/s" }"#, group, incident);
    let requests = results.run.requests;
    assert!(requests.failed > 0, "those sent to the crashed instance and to the booting one: {requests:?}");
    assert!(results.run.groups[0].launched == 1 && requests.conserved());
}

/// Each policy counts its own warm-up.
#[test]
fn a_policys_warm_up_is_its_own() {
    let policies = |first: &str, second: &str| {
        format!(
            "min = 2\nmax = 10\nscaling = [{{ target_tracking = {{ target = 50, estimated_instance_warmup = \"{first}\" }} }}, {{ target_tracking = {{ target = 45, estimated_instance_warmup = \"{second}\" }} }}, {{ manual = {{ at = \"5min\", desired = 5 }} }}]"
        )
    };
    let waits = |group: &str| {
        let results = play("20min", r#"{ constant = "40/s" }"#, group, "");
        let log = results.run.activities.iter().filter(|a| a.description.contains("waits for"));
        log.map(|a| a.times).sum::<u64>()
    };
    assert_eq!(waits(&policies("9min", "1min")), waits(&policies("1min", "9min")));
}

/// A last minute that is shorter than others has the load it had.
#[test]
fn a_shorter_last_minute_is_judged_by_its_length() {
    let sla = "[[sla]]\nobjective = \"p50 <= 100ms\"\nwindow = \"15s\"";
    let results = play("135s", r#"{ constant = "150/s" }"#, "min = 1\nmax = 1", sla);
    let last = results.run.objectives[0].violations.last().unwrap();
    assert_eq!(last.cause, CauseKind::AtMaximumSize, "{}", last.explanation);
    assert!(last.explanation.contains("load 1"), "{}", last.explanation);
    let cpu = results.run.series.last().unwrap().groups[0].cpu;
    assert!(cpu > 99.0, "{cpu}");
}

/// What happened before the warm-up was over is not in any figure.
#[test]
fn the_warm_up_leaks_into_nothing() {
    let group = "min = 1\nmax = 1";
    let text = |warm_up: &str| {
        format!(
            r#"
            [scenario]
            duration = "20min"
            warm_up = "{warm_up}"
            [traffic.t]
            to = "b"
            profile = {{ points = {{ at = [["0s", "500/s"], ["9min", "500/s"], ["9min", "10/s"]] }} }}
            [service.s]
            runtime = {{ thread-pool = {{ threads = 1, accept_queue = 5 }} }}
            [service.s.endpoint.e]
            steps = [{{ cpu = "10ms" }}]
            [machine.one]
            vcpus = 1
            [group.g]
            service = "s"
            machine = "one"
            {group}
            [balancer.b]
            targets = "g"
            "#
        )
    };
    let run = |warm_up: &str| Experiment::new(&Scenario::parse(&text(warm_up)).unwrap()).run().run;
    let (all, measured) = (run("0s"), run("10min"));
    assert!(all.groups[0].refused > 100_000 && all.groups[0].cpu > 45.0);
    assert_eq!(measured.groups[0].refused, measured.requests.refused);
    assert!((9.0..11.0).contains(&measured.groups[0].cpu), "{}", measured.groups[0].cpu);
}

/// Each launch and each termination tells what brought it about, back to what it began with.
#[test]
fn the_log_tells_each_chain_of_causes() {
    let scenario = scalesim::Scenario::parse(
        r#"
        [scenario]
        start = "2026-11-27T08:00:00+05:30[Asia/Kolkata]"
        duration = "30min"
        [traffic.web]
        to = "front"
        profile = { constant = "1/s" }
        [service.api]
        runtime = "thread-per-request"
        [service.api.endpoint.page]
        steps = [{ cpu = "1ms" }]
        [group.web]
        service = "api"
        machine = "c6i.large"
        min = 1
        max = 4
        [[group.web.scaling]]
        manual = { at = "10min", desired = 2 }
        [[group.web.scaling]]
        scheduled = { at = "20min", min = 1, desired = 1, max = 2 }
        [balancer.front]
        targets = "web"
        "#,
    )
    .unwrap();
    let run = scalesim::Experiment::new(&scenario).run().run;
    let causes = |kind: ActivityKind| -> Vec<&str> {
        let those = run.activities.iter().filter(|activity| activity.kind == kind);
        those.map(|activity| activity.cause.as_str()).collect()
    };
    assert_eq!(
        causes(ActivityKind::Launch),
        ["At 2026-11-27T08:10:00+05:30 somebody changed the desired capacity from 1 to 2. \
          At 2026-11-27T08:10:00+05:30 an instance was launched, because 1 were there and 2 are desired."]
    );
    let [because] = causes(ActivityKind::Terminate)[..] else { panic!("one termination") };
    assert!(
        because.starts_with("At 2026-11-27T08:20:00+05:30 the scheduled action (20min) changed"),
        "{because}"
    );
    assert!(
        because.ends_with("an instance was taken out, because 2 were there and 1 are desired."),
        "{because}"
    );
}
