//! Worked chains of the guides as whole runs, and timelines: the second of each change against a table made by hand.
//!
//! A datapoint is seen a minute after its end, so what happens in minute 10 (600 s to 660 s) is acted on at 720 s.

use scalesim::Experiment;

use super::{play, scenario_of, sizes, waits};

/// The policies of the guide's example: nothing between 40 and 60, a tenth beyond that, three tenths beyond 30 and 70.
const GUIDE: &str = r#"
    [[group.g.scaling]]
    [group.g.scaling.step]
    alarm = { metric = "cpu", comparison = ">=", threshold = 50 }
    adjustment_type = "percent-change-in-capacity"
    steps = [
        { lower = 0, upper = 10, adjustment = 0 },
        { lower = 10, upper = 20, adjustment = 10 },
        { lower = 20, adjustment = 30 },
    ]
    [[group.g.scaling]]
    [group.g.scaling.step]
    alarm = { metric = "cpu", comparison = "<=", threshold = 50 }
    adjustment_type = "percent-change-in-capacity"
    steps = [
        { lower = -10, upper = 0, adjustment = 0 },
        { lower = -20, upper = -10, adjustment = -10 },
        { upper = -20, adjustment = -30 },
    ]
    "#;

fn guide(warm_up: &str, rest: &str) -> String {
    format!("min = 1\ndesired = 10\nmax = 30\ninstance_warmup = \"{warm_up}\"\n{rest}\n{GUIDE}")
}

/// A rate that changes at these minutes.
fn rates(changes: &[(u32, u32)]) -> String {
    let mut points = Vec::new();
    for (index, (minute, rate)) in changes.iter().enumerate() {
        if index > 0 {
            points.push(format!("[\"{minute}min\", \"{}/s\"]", changes[index - 1].1));
        }
        points.push(format!("[\"{minute}min\", \"{rate}/s\"]"));
    }
    format!("{{ points = {{ at = [{}] }} }}", points.join(", "))
}

/// 10, at 65 % of CPU 11, at 75 % 14, at 35 % 13, at 25 % 10 (EC2 Auto Scaling, "Step adjustments for step scaling").
#[test]
fn the_guides_chain_goes_from_10_to_11_to_14_to_13_to_10() {
    let minutes = [
        (0, 500),
        (10, 650), // 65 % of ten: a tenth of ten is one
        (11, 550),
        (20, 825), // 75 % of eleven: 3.3 is three
        (21, 580),
        (22, 700),
        (30, 490), // 35 % of fourteen: -1.4 is -1
        (31, 650),
        (40, 325), // 25 % of thirteen: -3.9 is -3
        (41, 650),
        (42, 500),
    ];
    let results = play("50min", &rates(&minutes), &guide("2min", ""), "");
    assert_eq!(sizes(&results), [(720, 11), (1320, 14), (1920, 13), (2520, 10)]);
}

/// 10 instances, +10 %: 11. The same step again while the eleventh warms up: nothing. A higher one: 30 % of the ten warm ones
/// are three, of which one is on its way: 13. Then scale-in waits until all are warm.
#[test]
fn while_instances_warm_up_only_the_excess_is_added_and_none_is_removed() {
    let minutes = [(0, 500), (10, 630), (12, 730), (13, 250)];
    // The new ones do not serve before the end, so that the ten carry it all.
    let startup = "startup = { provision = \"20s\", boot = \"10s\", app = \"2h\" }";
    let results = play("40min", &rates(&minutes), &guide("15min", startup), "");
    // Those launched at 840 s run at 860 s and are warm 15 minutes later, at 1760 s: the next evaluation is at 1800 s.
    let seen = sizes(&results);
    assert_eq!(seen[..3], [(720, 11), (840, 13), (1800, 10)], "{seen:?}");
    assert_eq!(
        waits(&results, "are 11, and 11 are desired; 1 are warming up until 00:27:20"),
        [(780, 780, 1)]
    );
    let blocked = waits(&results, "scale-in waits for");
    assert_eq!(blocked.iter().map(|wait| (wait.0, wait.1)).collect::<Vec<_>>(), [(900, 1740)], "{blocked:?}");
}

fn simple(adjustment: &str, comparison: &str, threshold: u32, cooldown: &str) -> String {
    format!(
        r#"
        [[group.g.scaling]]
        simple = {{ alarm = {{ metric = "cpu", comparison = "{comparison}", threshold = {threshold} }}, adjustment_type = "change-in-capacity", adjustment = {adjustment}{cooldown} }}
        "#
    )
}

/// Overloaded from 300 s on: at 420 s one instance is added, which is in service at 440 s; so the cooldown of 180 s is over at
/// 620 s, and the next evaluation acts. With the group's 300 s it is over at 740 s.
#[test]
fn a_cooldown_begins_when_the_instance_is_in_service() {
    let rate = rates(&[(0, 100), (5, 290)]);
    let with = |cooldown: &str| {
        let group = format!("min = 2\nmax = 9\n{}", simple("1", ">=", 60, cooldown));
        play("20min", &rate, &group, "")
    };
    let own = with(", cooldown = \"180s\"");
    assert_eq!(sizes(&own), [(420, 3), (660, 4), (900, 5)]);
    assert_eq!(waits(&own, "cooldown until 00:10:20"), [(480, 600, 3)]);
    assert_eq!(sizes(&with("")), [(420, 3), (780, 4), (1140, 5)]);
    // Without one it acts on each datapoint that is seen, and the one of 660 s is about the four of a minute and more before.
    let none = with(", cooldown = \"0s\"");
    assert_eq!(sizes(&none), [(420, 3), (480, 4), (540, 5), (600, 6), (660, 7)]);
}

/// While an instance takes 150 s to come into service the policy waits for that, and for the cooldown after it.
#[test]
fn simple_scaling_waits_for_the_activity_under_way() {
    let startup = "startup = { provision = \"150s\", boot = \"1s\", app = \"1s\" }";
    let group = format!("min = 2\nmax = 9\n{startup}\n{}", simple("1", ">=", 60, ", cooldown = \"60s\""));
    let results = play("15min", &rates(&[(0, 100), (5, 350)]), &group, "");
    // Launched at 420 s, in service at 570 s, cooled down at 630 s.
    assert_eq!(sizes(&results)[..2], [(420, 3), (660, 4)]);
    assert_eq!(waits(&results, "1 instances are being launched")[0], (480, 540, 2));
    assert_eq!(waits(&results, "cooldown until 00:10:30"), [(600, 600, 1)]);
}

/// On scale-in the cooldown begins after connections were drained; an idle instance is gone at once.
#[test]
fn a_cooldown_after_scale_in_begins_when_draining_is_over() {
    let group = format!("min = 1\ndesired = 4\nmax = 4\n{}", simple("-1", "<=", 20, ", cooldown = \"60s\""));
    let drained = |steps: &str| {
        let scenario = scenario_of(steps, "15min", r#"{ constant = "2/s" }"#, &group, "");
        sizes(&Experiment::new(&scenario).run())
    };
    // Requests take five minutes and are cut after the 60 s of the deregistration delay: 120 s, gone at 180 s, free at 240 s.
    assert_eq!(drained(r#"[{ cpu = "1ms" }, { wait = "5min" }]"#), [(120, 3), (240, 2), (360, 1)]);
    assert_eq!(drained(r#"[{ cpu = "1ms" }]"#), [(120, 3), (180, 2), (240, 1)]);
}

/// A change by hand is not held back by a cooldown, unless it asks to be.
#[test]
fn a_change_by_hand_honours_a_cooldown_only_on_request() {
    let with = |honor: bool| {
        let by_hand = format!(
            "[[group.g.scaling]]\nmanual = {{ at = \"500s\", desired = 7, honor_cooldown = {honor} }}\n[[group.g.scaling]]\nmanual = {{ at = \"631s\", desired = 8, honor_cooldown = {honor} }}"
        );
        let group = format!("min = 2\nmax = 9\n{}{by_hand}", simple("1", ">=", 60, ", cooldown = \"180s\""));
        play("11min", &rates(&[(0, 100), (5, 170)]), &group, "")
    };
    // The cooldown after 420 s is over at 620 s.
    let honoured = with(true);
    assert_eq!(sizes(&honoured), [(420, 3), (631, 8)]);
    assert_eq!(waits(&honoured, "the cooldown runs until 00:10:20"), [(500, 500, 1)]);
    assert_eq!(sizes(&with(false)), [(420, 3), (500, 7), (631, 8)]);
}

/// Of a simple and a step policy that both act the larger capacity wins, and of two that scale in as well.
#[test]
fn the_larger_capacity_wins_in_a_run() {
    let step = |comparison: &str, bound: &str, adjustment: i32| {
        format!(
            "[[group.g.scaling]]\nstep = {{ alarm = {{ metric = \"cpu\", comparison = \"{comparison}\", threshold = 50 }}, adjustment_type = \"percent-change-in-capacity\", steps = [{{ {bound}, adjustment = {adjustment} }}] }}\n"
        )
    };
    let out = format!(
        "min = 1\ndesired = 4\nmax = 20\n{}{}",
        simple("1", ">=", 50, ""),
        step(">=", "lower = 0", 100)
    );
    let results = play("8min", &rates(&[(0, 160), (5, 300), (6, 160)]), &out, "");
    assert_eq!(sizes(&results), [(420, 8)], "five or eight");
    // -3 and -25 % of eight: six are left.
    let inward = format!(
        "min = 1\ndesired = 8\nmax = 20\n{}{}",
        simple("-3", "<=", 20, ", cooldown = \"1h\""),
        step("<=", "upper = 0", -25)
    );
    let results = play("7min", &rates(&[(0, 480), (5, 80), (6, 480)]), &inward, "");
    assert_eq!(sizes(&results), [(420, 6)]);
}

/// Target tracking needs 15 datapoints to scale in; the step policy beside it does not wait for it.
#[test]
fn a_step_policy_scales_in_beside_a_target_tracking_policy_that_is_not_ready() {
    let group = r#"min = 1
        desired = 6
        max = 20
        [[group.g.scaling]]
        target_tracking = { target = 50 }
        [[group.g.scaling]]
        step = { alarm = { metric = "cpu", comparison = "<", threshold = 30 }, adjustment_type = "change-in-capacity", steps = [{ upper = 0, adjustment = -1 }] }"#;
    let results = play("8min", &rates(&[(0, 240), (5, 120), (6, 240)]), group, "");
    assert_eq!(sizes(&results), [(420, 5)]);
}
