//! Blue-green deployments: a second group takes over.

use scalesim::results::{ActivityKind, Results};

use super::{minutes, of_kind, told};

/// Two more instances of the old group while the new one starts.
const GROW: &str = "scaling = [{ manual = { at = \"601s\", desired = 4 } }]";

fn deploy(options: &str, version: &str, rest: &str) -> Results {
    let group = format!("min = 2\nmax = 4\nhealth_check = \"elb\"\n{}", if rest == GROW { GROW } else { "" });
    let rest = if rest == GROW { "" } else { rest };
    let rest = format!(
        "[service.bad]\nruntime = \"thread-per-request\"\nendpoint.e = {{ steps = [{{ cpu = \"10ms\" }}], errors = 0.5 }}\n\
         [group.green]\nservice = \"s\"\nmachine = \"one\"\nmin = 0\nmax = 4\nhealth_check = \"elb\"\n\
         startup = {{ provision = \"5s\", boot = \"10s\", app = \"5s\" }}\n\
         [group.green.version.v2]\n[group.green.version.bad]\nservice = \"bad\"\n\
         [group.green.version.stuck]\nstartup = {{ user_data = [{{ name = \"npm install\", takes = \"20s\", fails = 1 }}] }}\n\
         [balancer.b]\ntargets = {{ g = 1, green = 0 }}\nderegistration_delay = \"20s\"\nhealth_check = {{ interval = \"5s\", timeout = \"2s\" }}\n\
         [[release]]\ngroup = \"g\"\nat = \"10min\"\nversion = \"{version}\"\nhow = {{ blue_green = {{ to = \"green\", {options} }} }}\n{rest}"
    );
    super::play("60min", "50/s", &group, &rest)
}

/// Of the requests of some minutes the share that a group got, by its CPU time.
fn share(results: &Results, from: f64, to: f64) -> f64 {
    let rows = results.run.series.iter().filter(|row| (from..to).contains(&row.at));
    let used = |row: &scalesim::results::Row, group: usize| {
        row.groups[group].cpu * f64::from(row.groups[group].serving)
    };
    let (mut green, mut all) = (0.0, 0.0);
    for row in rows {
        green += used(row, 1);
        all += used(row, 0) + used(row, 1);
    }
    green / all
}

#[test]
fn traffic_shifts_in_steps_and_the_old_group_goes() {
    let results = deploy("steps = [10, 50, 100], interval = \"10min\", terminate_after = \"5min\"", "v2", "");
    // Healthy some 25 s after its launch, and somebody looks every 10 s.
    assert!((share(&results, 700.0, 1_200.0) - 0.10).abs() < 0.01, "{}", share(&results, 700.0, 1_200.0));
    assert!((share(&results, 1_300.0, 1_800.0) - 0.50).abs() < 0.02, "{}", share(&results, 1_300.0, 1_800.0));
    assert!(share(&results, 1_900.0, 3_600.0) > 0.9999, "health checks are all that is left");
    assert_eq!(minutes(&results, ActivityKind::ReleaseSucceeded), [35]);
    let last = results.run.series.last().unwrap();
    assert_eq!((last.groups[0].serving, last.groups[1].serving), (0, 2));
    assert_eq!((results.run.requests.failed, results.run.requests.refused), (0, 0));
    assert_eq!(results.run.groups[0].terminated, 2);
    assert!(last.capacity.unwrap() > 150.0, "the new group's: {:?}", last.capacity);
}

#[test]
fn a_group_that_is_not_healthy_gets_nothing() {
    let results = deploy("timeout = \"10min\"", "stuck", "");
    assert_eq!(minutes(&results, ActivityKind::ReleaseFailed), [20]);
    assert_eq!(results.run.requests.failed, 0);
    let last = results.run.series.last().unwrap();
    assert_eq!((last.groups[0].serving, last.groups[1].desired), (2, 0));
}

#[test]
fn an_alarm_sends_everybody_back() {
    let sla = "[[sla]]\nname = \"answered\"\nobjective = \"availability >= 99%\"\nwindow = \"1min\"";
    let options = "steps = [10, 100], interval = \"10min\", alarms = [\"answered\"], auto_rollback = true";
    let results = deploy(options, "bad", sla);
    assert_eq!(of_kind(&results, ActivityKind::ReleaseFailed).len(), 1);
    assert_eq!(told(&results, "The old group has all requests, and green goes."), 1);
    assert_eq!(results.run.objectives[0].violation_minutes, 1.0);
    let last = results.run.series.last().unwrap();
    assert_eq!((last.groups[0].serving, last.groups[1].serving), (2, 0));
}

/// The old group has been growing while the new one starts: each of its instances gets less, so that the groups have the
/// shares that were asked for.
#[test]
fn shares_are_of_groups_and_not_of_instances() {
    let results = deploy("steps = [25, 100], interval = \"20min\"", "v2", GROW);
    // Two new instances beside four old ones when the step is taken.
    assert!((share(&results, 700.0, 1_200.0) - 0.25).abs() < 0.02, "{}", share(&results, 700.0, 1_200.0));
    let results = deploy("steps = [25, 100], interval = \"20min\"", "v2", "");
    assert!((share(&results, 700.0, 1_200.0) - 0.25).abs() < 0.02, "{}", share(&results, 700.0, 1_200.0));
}
