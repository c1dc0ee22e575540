//! Metrics and the alarms on them in whole runs: what they are about, whom they hide, and when they are seen.

use scalesim::Experiment;
use scalesim::results::{ActivityKind, Results};

use super::{play, scenario_of, sizes};

fn step(alarm: &str, adjustment: i32) -> String {
    let bound = if adjustment > 0 { "lower" } else { "upper" };
    format!(
        "[[group.g.scaling]]\nstep = {{ alarm = {{ {alarm} }}, adjustment_type = \"change-in-capacity\", steps = [{{ {bound} = 0, adjustment = {adjustment} }}] }}\n"
    )
}

fn run(steps: &str, duration: &str, rate: &str, group: &str) -> Results {
    Experiment::new(&scenario_of(steps, duration, rate, group, "")).run()
}

/// What the alarms said: when, and the words.
fn alarms(results: &Results) -> Vec<(u64, String)> {
    let log = results.run.activities.iter().filter(|activity| activity.kind == ActivityKind::Alarm);
    log.map(|activity| (activity.at as u64, activity.description.clone())).collect()
}

/// The guide's example for queues: 1500 of them at ten instances, 100 each are acceptable: 15 instances. By Little's law 148
/// requests a second that take 10 s each are 1480 inside.
#[test]
fn a_backlog_by_instance_is_tracked_like_the_guides_queue() {
    let group = "min = 10\nmax = 30\nscaling = [{ target_tracking = { metric = \"requests_inside\", target = 100 } }]";
    let results = run(r#"[{ wait = "10s" }]"#, "8min", r#"{ constant = "148/s" }"#, group);
    let sizes: Vec<u32> = sizes(&results).into_iter().map(|(_, size)| size).collect();
    assert_eq!(sizes, [15]);
}

/// 100 requests a second of 6 KiB that ask and 34 KiB that answer. In: 36.9 MB a minute, five at 7.5 MB each; out: 208.9 MB,
/// seven at 30 MB each.
#[test]
fn bytes_by_instance_are_those_of_requests_and_of_answers() {
    let sized = |metric: &str, target: u64| {
        let group = format!(
            "min = 3\nmax = 30\nscaling = [{{ target_tracking = {{ metric = \"{metric}\", target = {target} }} }}]"
        );
        let steps = "[{ cpu = \"1ms\" }]\nsize = \"40 KiB\"\nrequest_size = \"6 KiB\"";
        let results = run(steps, "8min", r#"{ constant = "100/s" }"#, &group);
        sizes(&results).into_iter().map(|(_, size)| size).collect::<Vec<_>>()
    };
    assert_eq!(sized("network_in", 7_500_000), [5]);
    assert_eq!(sized("network_out", 30_000_000), [7]);
}

/// EC2's metrics leave out instances that warm up; those of the balancer and one's own do not.
#[test]
fn only_ec2_metrics_hide_instances_that_warm_up() {
    // Two instances, then six, of which four warm up for an hour.
    let seen = |metric: &str, unit: f64| {
        let alarm = format!(
            "metric = \"{metric}\", statistic = \"sample-count\", comparison = \">=\", threshold = {unit}"
        );
        let group = format!(
            "min = 2\nmax = 9\ninstance_warmup = \"1h\"\n[[group.g.scaling]]\nmanual = {{ at = \"5min\", desired = 6 }}\n{}",
            step(&alarm, 1)
        );
        let text = "[{ cpu = \"1ms\" }]\n[service.s.memory]\nprocess = \"100 MiB\"\nrequest = \"1 MiB\"";
        alarms(&run(text, "10min", r#"{ constant = "60/s" }"#, &group))
            .iter()
            .any(|(_, words)| words.contains("to ALARM"))
    };
    assert!(!seen("cpu", 3.0) && seen("cpu", 2.0), "two samples a minute");
    assert!(!seen("network_in", 3.0) && seen("network_in", 2.0));
    assert!(seen("memory", 6.0), "six, warm or not");
}

/// 1 GiB of 2 for the process, and 16 MiB for each of 100 requests inside: 89 % at two instances, 69.5 % at four.
#[test]
fn memory_is_of_processes_and_requests() {
    let group = format!(
        "min = 2\nmax = 9\ninstance_warmup = \"1h\"\n{}",
        step("metric = \"memory\", comparison = \">\", threshold = 80, evaluation_periods = 2", 2)
    );
    let steps = "[{ wait = \"10s\" }]\n[service.s.memory]\nprocess = \"1 GiB\"\nrequest = \"16 MiB\"";
    let results = run(steps, "10min", r#"{ constant = "10/s" }"#, &group);
    assert_eq!(sizes(&results).len(), 1, "{:?}", sizes(&results));
    let words = alarms(&results);
    let value = |words: &str| words.rsplit("memory ").next()?.trim_end_matches(" %.").parse::<f64>().ok();
    let to =
        |state: &str| words.iter().rev().find(|(_, words)| words.contains(&format!("to {state}"))).unwrap();
    assert!((value(&to("ALARM").1).unwrap() - 89.0).abs() < 12.0, "{words:?}");
    assert!((value(&to("OK").1).unwrap() - 69.5).abs() < 6.0, "{words:?}");
}

/// A percentile of response times: nearly full machines make requests wait.
#[test]
fn step_scaling_may_look_at_response_times() {
    let alarm = "metric = \"target_response_time\", statistic = \"p90\", comparison = \">\", threshold = 0.04, evaluation_periods = 3, datapoints_to_alarm = 2";
    let group = format!("min = 2\nmax = 9\n{}", step(alarm, 2));
    let results = play(
        "10min",
        r#"{ points = { at = [["0s", "60/s"], ["5min", "60/s"], ["5min", "180/s"]] } }"#,
        &group,
        "",
    );
    // 90 % of a vCPU: a tenth takes more than 40 ms. Two datapoints end at 420 s and are seen a minute later.
    assert_eq!(sizes(&results).first(), Some(&(480, 4)), "{:?}", alarms(&results));
}

/// A period of 5 minutes is evaluated every minute, on minutes 1 to 5, then 2 to 6: with 50 % and from minute 10 on 90 %, four
/// of five minutes make 82 %, which is seen at 900 s. A window that stood still would end at 900 s and be seen at 960 s.
#[test]
fn alarms_with_long_periods_slide() {
    let group = format!(
        "min = 2\nmax = 9\n{}",
        step("metric = \"cpu\", comparison = \">=\", threshold = 75, period = \"5min\"", 1)
    );
    let rate = r#"{ points = { at = [["0s", "100/s"], ["10min", "100/s"], ["10min", "180/s"]] } }"#;
    let results = play("16min", rate, &group, "");
    assert_eq!(sizes(&results).first(), Some(&(900, 3)), "{:?}", alarms(&results));
}

/// Three datapoints of 10 s: what begins at 605 s is acted on at 640 s, without a delay of the metric; and again a minute later.
#[test]
fn high_resolution_alarms_are_evaluated_every_ten_seconds() {
    let alarm = "metric = \"requests_inside\", comparison = \">\", threshold = 100, period = \"10s\", evaluation_periods = 3";
    let group = format!("min = 4\nmax = 9\nmetric_delay = \"0s\"\n{}", step(alarm, 1));
    let rate =
        r#"{ points = { at = [["0s", "10/s"], ["605s", "10/s"], ["605s", "300/s"], ["800s", "300/s"]] } }"#;
    let results = run("[{ wait = \"2s\" }]\n", "800s", rate, &group.replace("instance_warmup", ""));
    let seen = sizes(&results);
    assert_eq!(seen.first(), Some(&(640, 5)), "{:?}", alarms(&results));
    let policy = results.run.activities.iter().filter(|a| a.description.contains("repeated once a minute"));
    assert!(policy.map(|a| a.times).sum::<u64>() >= 5, "between the repetitions it says so");
}

/// Basic monitoring: EC2 tells a datapoint every 5 minutes, and alarms have periods of 5 minutes.
#[test]
fn basic_monitoring_makes_alarms_slow() {
    let group = |monitoring: &str| {
        format!(
            "min = 2\nmax = 9\nmonitoring = \"{monitoring}\"\n{}",
            step("metric = \"cpu\", comparison = \">=\", threshold = 75", 1)
        )
    };
    let rate = r#"{ points = { at = [["0s", "100/s"], ["10min", "100/s"], ["10min", "180/s"]] } }"#;
    let first = |monitoring: &str| sizes(&play("20min", rate, &group(monitoring), "")).first().copied();
    assert_eq!(first("detailed"), Some((720, 3)));
    assert_eq!(first("basic"), Some((960, 3)), "the five minutes that end at 900 s");
}
