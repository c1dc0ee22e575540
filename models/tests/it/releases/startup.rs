//! Start-up scripts that fail, and who notices.

use scalesim::results::{ActivityKind, CauseKind};

use super::{of_kind, play, scenario, told};

fn group(health: &str, fails: f64) -> String {
    format!(
        "min = 2\nmax = 4\nhealth_check = {health}\nstartup = {{ provision = \"5s\", boot = \"10s\", user_data = [\
         {{ name = \"git pull\", takes = \"5s\" }}, {{ name = \"npm install\", takes = \"40s\", fails = {fails} }}], app = \"5s\" }}\n\
         scaling = [{{ manual = {{ at = \"5min\", desired = 3 }} }}]"
    )
}

/// Steps come between the operating system and the app, one after another: 5 + 10 + 5 + 40 + 5 s, and the next check.
#[test]
fn steps_of_user_data_add_up() {
    let results = play("10min", "20/s", &group("\"ec2\"", 0.0), "");
    let healthy = of_kind(&results, ActivityKind::Healthy);
    assert_eq!(healthy.len(), 1);
    assert!((300.0 + 65.0..=300.0 + 71.0).contains(&healthy[0].at), "{}", healthy[0].at);
}

/// The machine runs, so EC2 status checks pass for ever, and the group believes that it has three instances.
#[test]
fn with_ec2_checks_nobody_replaces_an_instance_without_its_app() {
    let results = play("3h", "20/s", &group("\"ec2\"", 1.0), "");
    let group = &results.run.groups[0];
    assert_eq!((group.launched, group.failed_starts, group.serving_max), (1, 1, 2));
    assert_eq!(
        told(
            &results,
            "at step 2 of 2 (`npm install`): the server is up without its app; EC2 status checks pass"
        ),
        1
    );
    assert!(of_kind(&results, ActivityKind::Replace).is_empty());
    assert_eq!(results.run.requests.failed, 0, "no check passes, so it gets no requests");
    // It is billed all the same: three hours of two, and of the third from 305 s on.
    assert!((group.instance_hours - (9.0 - 305.0 / 3_600.0)).abs() < 1e-6, "{}", group.instance_hours);
}

/// After the grace period the target group's word counts: launch, fail, replace, and again.
#[test]
fn with_the_target_groups_checks_it_is_replaced_after_the_grace_period() {
    let elb = "{ elb = { grace_period = \"2min\" } }";
    let results = play("2h", "20/s", &group(elb, 1.0), "");
    let replaced: Vec<f64> =
        of_kind(&results, ActivityKind::Replace).iter().map(|activity| activity.at).collect();
    // It runs 5 s after its launch; two minutes later the group may look, which it does once a minute.
    assert_eq!(replaced[..3], [480.0, 660.0, 840.0], "{replaced:?}");
    assert_eq!(results.run.groups[0].failed_starts, results.run.groups[0].launched);
    assert!(told(&results, "after its user data failed") >= 30);
    let once = play("2h", "20/s", &group(elb, 0.0), "");
    assert_eq!(once.run.groups[0].launched, 1);
}

/// The number of launches until one succeeds is geometric: with half of them failing two on average.
#[test]
fn a_step_fails_as_often_as_it_says() {
    let elb = "{ elb = { grace_period = \"1min\" } }";
    let fleet = group(elb, 0.5)
        .replace("min = 2\nmax = 4", "min = 2\nmax = 402")
        .replace("desired = 3", "desired = 402");
    let results = play("8min", "1/s", &fleet, "");
    let (launched, failed) =
        (results.run.groups[0].launched as f64, results.run.groups[0].failed_starts as f64);
    assert!(launched >= 400.0);
    let tolerance = 4.0 * (0.25 / launched).sqrt();
    assert!((failed / launched - 0.5).abs() < tolerance, "{failed} of {launched}");
}

#[test]
fn a_script_that_fails_is_told_as_the_cause() {
    let rate = "150/s";
    let sla = "[[sla]]\nobjective = \"p99 <= 200ms\"\nwindow = \"5min\"\n[[incident]]\ncrash = { group = \"g\", at = \"20min\" }";
    let results = play("60min", rate, &group("\"ec2\"", 1.0).replace("desired = 3", "desired = 2"), sla);
    let causes: Vec<CauseKind> =
        results.run.objectives[0].violations.iter().map(|violation| violation.cause).collect();
    assert!(causes.contains(&CauseKind::StartFailed), "{causes:?}");
}

#[test]
fn a_baked_image_is_the_absence_of_steps() {
    let resolved = |user_data: &str| {
        let group =
            format!("min = 1\nstartup = {{ provision = \"5s\", boot = \"10s\", {user_data} app = \"5s\" }}");
        scenario("1h", "1/s", &group, "").unwrap().resolved().to_string()
    };
    assert_eq!(resolved(""), resolved("user_data = [],"));
    assert!(resolved("user_data = [{ name = \"x\", takes = \"1s\" }],").contains("fails = 0"));
}
