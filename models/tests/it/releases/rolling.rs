//! Cruder ways: everything at once by hand, and a pipeline that goes through the instances one by one.

use scalesim::results::{ActivityKind, Results};

use super::{launched, minutes, of_kind, play, told, version};

fn release(how: &str) -> String {
    format!(
        "[service.bad]\nruntime = \"thread-per-request\"\nendpoint.e = {{ steps = [{{ cpu = \"10ms\" }}], errors = 0.2 }}\n\
         [group.g.version.v2]\nservice = \"s\"\n[group.g.version.bad]\nservice = \"bad\"\n\
         [group.g.version.stuck]\nstartup = {{ user_data = [{{ name = \"npm install\", takes = \"20s\", fails = 1 }}] }}\n\
         [[release]]\ngroup = \"g\"\nat = \"10min\"\n{how}"
    )
}

/// Seconds without anybody who takes requests.
fn outage(results: &Results) -> f64 {
    let rows = results.run.series.iter().filter(|row| row.groups[0].serving == 0);
    rows.count() as f64 * results.run.interval
}

/// 0/0/0, five minutes, and 2/2/5 again: nobody serves until new ones are up, 5 + 10 + 5 s and a check later.
#[test]
fn everything_at_once_by_hand_is_an_outage() {
    let group = "min = 2\nmax = 5\nhealth_check = \"elb\"";
    let crude =
        play("24min", "20/s", group, &release("version = \"v2\"\nhow = { recreate = { wait = \"5min\" } }"));
    assert!((319.0..=326.0).contains(&outage(&crude)), "{}", outage(&crude));
    let sizes: Vec<&str> = of_kind(&crude, ActivityKind::Manual)
        .iter()
        .map(|activity| activity.description.rsplit("hand ").next().unwrap())
        .collect();
    assert_eq!(sizes, ["from 2/2/5 to 0/0/0.", "from 0/0/0 to 2/2/5."]);
    assert_eq!(minutes(&crude, ActivityKind::ReleaseSucceeded), [15]);
    assert_eq!(launched(&crude, "v2"), 2);
    // 20 requests a second for as long: nobody is there to take them.
    let errors =
        (crude.run.requests.refused + crude.run.requests.failed + crude.run.requests.timed_out) as f64;
    assert!((errors - 20.0 * outage(&crude)).abs() < 200.0, "{errors}");
    let with_care = play(
        "24min",
        "20/s",
        group,
        &release(
            "version = \"v2\"\nhow = { instance_refresh = { min_healthy = 50, instance_warmup = \"1min\" } }",
        ),
    );
    assert_eq!((outage(&with_care), with_care.run.requests.failed), (0.0, 0));
}

/// Neither the limits of a profile nor a forecast that may go above the maximum brings instances back before their time.
#[test]
fn no_policy_launches_while_a_release_holds_the_group_at_nothing() {
    let profile = r#"vmss = { rules = [{ direction = "out", threshold = 70, change = { count = 1 } }] }"#;
    let forecast = r#"predictive = { mode = "forecast-and-scale", target = 50, history = { profile = { constant = "80/s" } },
        max_capacity_breach_behavior = "increase-max-capacity", max_capacity_buffer = 10 }"#;
    for policy in [profile, &forecast.replace('\n', " ")] {
        let group = format!("min = 2\nmax = 5\nhealth_check = \"elb\"\nscaling = [{{ {policy} }}]");
        let results = play("24min", "20/s", &group, &release("how = { recreate = { wait = \"5min\" } }"));
        let launches: Vec<f64> =
            of_kind(&results, ActivityKind::Launch).iter().map(|activity| activity.at).collect();
        assert!(launches.iter().all(|&at| at >= 900.0) && launches.len() >= 2, "{policy}: {launches:?}");
        assert!(told(&results, "Not done: a release holds the group at 0.") > 0, "{policy}");
        assert_eq!(minutes(&results, ActivityKind::ReleaseSucceeded), [15], "{policy}");
    }
}

/// One is out of the target group, terminated 30 s later, and the next is taken once its replacement is healthy.
#[test]
fn a_pipeline_replaces_one_after_another() {
    let how = "how = { rolling = { drain = \"30s\", pause = \"1min\" } }";
    let results = play("30min", "20/s", "min = 3\nhealth_check = \"elb\"", &release(how));
    let group = &results.run.groups[0];
    assert_eq!((group.launched, group.terminated, group.serving_min), (3, 3, 2));
    let at: Vec<f64> =
        of_kind(&results, ActivityKind::Terminate).iter().map(|activity| activity.at).collect();
    assert_eq!(at[0], 630.0);
    // 20 s of start, up to 5 s to a check, up to 10 s until somebody looks, a minute's pause, and 30 s of draining.
    assert!(at.windows(2).all(|pair| (110.0..=125.0).contains(&(pair[1] - pair[0]))), "{at:?}");
    assert_eq!(of_kind(&results, ActivityKind::ReleaseSucceeded).len(), 1);
    assert!(results.run.requests.failed == 0 && results.run.requests.conserved());
    assert_eq!(launched(&results, "v1"), 6, "the same version, made anew");
}

/// It is stuck with the first one that does not come up; a script that looks at nothing goes through all of them.
#[test]
fn a_pipeline_that_looks_stops_at_the_first_failure() {
    let play = |options: &str| {
        let how = format!("version = \"stuck\"\nhow = {{ rolling = {{ drain = \"10s\", {options} }} }}");
        play("60min", "20/s", "min = 3\nhealth_check = \"ec2\"", &release(&how))
    };
    let looks = play("timeout = \"10min\"");
    assert_eq!((looks.run.groups[0].serving_min, looks.run.groups[0].launched), (2, 1));
    assert_eq!(minutes(&looks, ActivityKind::ReleaseFailed), [20]);
    let blind = play("wait_for_health = false, pause = \"1min\"");
    assert_eq!((blind.run.groups[0].serving_min, blind.run.groups[0].failed_starts), (0, 3));
    assert_eq!(of_kind(&blind, ActivityKind::ReleaseSucceeded).len(), 1, "as far as it can tell");
}

const SLA: &str = "\n[[sla]]\nname = \"answered\"\nobjective = \"availability >= 99%\"\nwindow = \"1min\"";

/// A bad version passes its health checks and answers every fifth request with an error. An alarm on what clients see stops
/// the release after a minute, and what it has replaced goes back to the version before.
#[test]
fn an_alarm_rolls_a_bad_version_back() {
    for how in [
        "instance_refresh = { min_healthy = 75, instance_warmup = \"4min\",",
        "rolling = { pause = \"4min\",",
    ] {
        let how = format!(
            "version = \"bad\"\nhow = {{ {how} alarms = [\"answered\"], auto_rollback = true }} }}{SLA}"
        );
        let results = play("60min", "20/s", "min = 4\nhealth_check = \"elb\"", &release(&how));
        assert_eq!(of_kind(&results, ActivityKind::ReleaseFailed).len(), 1, "{:#?}", results.run.activities);
        assert_eq!(told(&results, "the alarm on answered (availability >= 99%) went off"), 1);
        assert_eq!(
            told(&results, "Rollback to v1 succeeded: 1 instance replaced"),
            1,
            "{:#?}",
            results.run.activities
        );
        assert_eq!([launched(&results, "v1"), launched(&results, "bad")], [5, 1]);
        let bad = version(&results, "bad");
        assert!(bad.errors > 0 && bad.errors == results.run.requests.failed);
        assert_eq!(results.run.series.last().unwrap().groups[0].serving, 4);
    }
}

/// Without a rollback a failed refresh leaves what it has replaced, and the group launches the old version again.
#[test]
fn a_refresh_that_fails_stops_where_it_is() {
    let how = format!(
        "version = \"bad\"\nhow = {{ instance_refresh = {{ min_healthy = 75, instance_warmup = \"4min\", alarms = [\"answered\"] }} }}{SLA}"
    );
    let group =
        "min = 4\nmax = 6\nhealth_check = \"elb\"\nscaling = [{ manual = { at = \"30min\", desired = 5 } }]";
    let results = play("60min", "20/s", group, &release(&how));
    assert_eq!([launched(&results, "v1"), launched(&results, "bad")], [5, 1]);
    assert_eq!(told(&results, "What it has replaced stays."), 1);
}

/// A version that does not come up at all: replaced again and again, until the refresh gives up after an hour.
#[test]
fn a_refresh_gives_up_after_an_hour_and_rolls_back() {
    let how = "version = \"stuck\"\nhow = { instance_refresh = { min_healthy = 75, auto_rollback = true } }";
    let group = "min = 4\nhealth_check = { elb = { grace_period = \"2min\" } }";
    let results = play("2h", "20/s", group, &release(how));
    assert_eq!(minutes(&results, ActivityKind::ReleaseFailed), [70]);
    assert_eq!(
        told(&results, "1 new instance did not become healthy within 1h"),
        1,
        "{:#?}",
        results.run.activities
    );
    assert_eq!(results.run.groups[0].serving_min, 3, "never less");
    assert_eq!(results.run.series.last().unwrap().groups[0].serving, 4);
    let stuck = version(&results, "stuck");
    // The last of them is taken out while its script still runs, or not.
    let failed = results.run.groups[0].failed_starts;
    assert!(stuck.launched > 10 && (stuck.launched - 1..=stuck.launched).contains(&failed), "{failed}");
}

/// Every night at three.
#[test]
fn a_pipeline_comes_by_cron() {
    let how =
        release("how = { rolling = { drain = \"10s\" } }").replace("at = \"10min\"", "cron = \"0 3 * * *\"");
    let results = play("2d", "1/s", "min = 2\nhealth_check = \"elb\"", &how);
    assert_eq!(minutes(&results, ActivityKind::ReleaseStarted), [180, 1_620]);
    assert_eq!(results.run.groups[0].launched, 4);
}
