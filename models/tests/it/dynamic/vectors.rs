//! Worked examples of the EC2 Auto Scaling and CloudWatch guides, through the code that decides in a run.

use scalesim::Scenario;
use scalesim::plan::{Metric, Scaling};
use scalesim::scaling::{
    Actions, ActivityState, Adjustment, AdjustmentType, Aggregation, Alarm, AlarmState, Comparison, Consent,
    Datapoint, Decision, Memory, MetricAlarm, MissingData, Observation, Policy, Samples, SimpleScaling,
    Statistic, Step, StepScaling, Trigger, Verdict, combine, effective_cooldown, rounded,
};
use serde_json::Value;
use sim_core::{Span, Time};

use crate::asg_vectors::{Vector, vectors};

fn whole(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn minute(n: u64) -> Time {
    Time::ZERO + Span::from_secs(60 * n)
}

fn alarm(comparison: Comparison, threshold: f64) -> MetricAlarm {
    MetricAlarm {
        name: "alarm".into(),
        metric: Metric::Cpu,
        statistic: Statistic::Average,
        period: Span::from_secs(60),
        alarm: Alarm {
            comparison,
            threshold,
            evaluation_periods: 1,
            datapoints_to_alarm: 1,
            missing: MissingData::Missing,
        },
        ignores_low_samples: false,
    }
}

/// A group with these sizes that sees this metric.
fn seen(metric: f64, desired: u32, warm: u32, (min, max): (u32, u32)) -> Observation {
    Observation {
        now: minute(60),
        datapoints: vec![vec![Some(Datapoint::of(metric, warm))]],
        desired,
        min,
        max,
        warming: desired - warm,
        warm_at: None,
        terminating: 0,
        activity: ActivityState::None,
    }
}

fn kind(name: &str) -> AdjustmentType {
    match name {
        "ChangeInCapacity" => AdjustmentType::ChangeInCapacity,
        "ExactCapacity" => AdjustmentType::ExactCapacity,
        "PercentChangeInCapacity" => AdjustmentType::PercentChangeInCapacity,
        other => panic!("{other}"),
    }
}

fn step_policy(comparison: Comparison, threshold: f64, steps: Vec<Step>) -> StepScaling {
    StepScaling {
        alarm: alarm(comparison, threshold),
        steps,
        metric_aggregation: Aggregation::Average,
        estimated_instance_warmup: None,
    }
}

#[test]
fn steps_are_chosen_and_applied_as_the_guide_says() {
    let all = vectors("step_scaling");
    for Vector { id, input, expected, .. } in &all {
        let adjustment = |by: i32| Adjustment {
            kind: kind(input["adjustment_type"].as_str().unwrap()),
            by,
            min_magnitude: input["min_adjustment_magnitude"].as_u64().map(|magnitude| magnitude as u32),
        };
        let steps = input["steps"].as_array().unwrap().iter().map(|step| Step {
            lower: step["lower"].as_f64(),
            upper: step["upper"].as_f64(),
            adjustment: adjustment(step["adjustment"].as_i64().unwrap() as i32),
        });
        let out = input["direction"] == "out";
        let comparison = if out { Comparison::GreaterOrEqual } else { Comparison::LessOrEqual };
        let policy = step_policy(comparison, input["alarm_threshold"].as_f64().unwrap(), steps.collect());
        let metric = input["metric"].as_f64().unwrap();
        assert_eq!(
            policy.step_for(metric).map(|index| index as u64),
            expected["step_index"].as_u64(),
            "{id}"
        );
        let (current, desired) = (whole(&input["current_capacity"]), whole(&input["desired_capacity"]));
        let limits = (whole(&input["min_size"]), whole(&input["max_size"]));
        let decision = policy.decide(&mut Memory::default(), &seen(metric, desired, current, limits));
        let now = decision.wanted.unwrap_or(desired);
        assert_eq!(now, whole(&expected["desired_capacity"]), "{id}: {}", decision.description);
    }
    assert_eq!(all.len(), 14);
}

#[test]
fn percentages_are_rounded_as_the_guide_says() {
    for Vector { id, input, expected, .. } in vectors("percent_rounding") {
        assert_eq!(Some(rounded(input["raw_change"].as_f64().unwrap())), expected["change"].as_i64(), "{id}");
    }
}

fn simple_policy(adjustment: Adjustment) -> SimpleScaling {
    SimpleScaling { alarm: alarm(Comparison::Greater, 50.0), adjustment, cooldown: None }
}

#[test]
fn adjustments_are_clamped_and_have_magnitudes() {
    for Vector { id, input, expected, .. } in vectors("adjustment") {
        let adjustment = Adjustment {
            kind: kind(input["adjustment_type"].as_str().unwrap()),
            by: input["adjustment"].as_i64().unwrap() as i32,
            min_magnitude: input["min_adjustment_magnitude"].as_u64().map(|magnitude| magnitude as u32),
        };
        let current = whole(&input["current_capacity"]);
        let limits = (whole(&input["min_size"]), whole(&input["max_size"]));
        let step = Step { lower: Some(0.0), upper: None, adjustment };
        let by_step = step_policy(Comparison::Greater, 50.0, vec![step]);
        let by_simple = simple_policy(adjustment);
        for policy in [&by_step as &dyn Policy, &by_simple] {
            let decision = policy.decide(&mut Memory::default(), &seen(60.0, current, current, limits));
            let now = decision.wanted.unwrap_or(current);
            assert_eq!(now, whole(&expected["desired_capacity"]), "{id}: {}", decision.description);
        }
    }
}

/// The largest capacity wins, out and in, whoever of the policies asks for it.
#[test]
fn the_largest_capacity_of_several_policies_wins() {
    let decide = |proposal: &Value, current: u32| {
        let (kind, by) = [
            ("change", AdjustmentType::ChangeInCapacity),
            ("percent", AdjustmentType::PercentChangeInCapacity),
            ("exact", AdjustmentType::ExactCapacity),
        ]
        .into_iter()
        .find_map(|(key, kind)| Some((kind, proposal[key].as_i64()? as i32)))
        .unwrap();
        let policy = simple_policy(Adjustment { kind, by, min_magnitude: None });
        policy.decide(&mut Memory::default(), &seen(60.0, current, current, (0, 1_000)))
    };
    let combined = |proposals: &[Value], current: u32| {
        let decisions: Vec<Decision> = proposals.iter().map(|proposal| decide(proposal, current)).collect();
        combine(decisions.iter()).unwrap_or(current)
    };
    for Vector { id, input, expected, .. } in vectors("multiple_policies") {
        let current = input["current_capacity"].as_u64().unwrap_or(1) as u32;
        let proposals = input["proposals"].as_array().unwrap();
        assert_eq!(combined(proposals, current), whole(&expected["desired_capacity"]), "{id}");
    }
    let in_both = [serde_json::json!({"change": -3}), serde_json::json!({"percent": -25})];
    assert_eq!(combined(&in_both, 8), 6, "-3 and -25 % of 8: six are left");
}

/// A step policy's scale-in needs no consent of a target tracking policy that is not ready.
#[test]
fn step_scaling_scales_in_alone() {
    let step = Step {
        lower: None,
        upper: Some(0.0),
        adjustment: Adjustment { kind: AdjustmentType::ChangeInCapacity, by: -2, min_magnitude: None },
    };
    let policy = step_policy(Comparison::LessOrEqual, 40.0, vec![step]);
    let inward = policy.decide(&mut Memory::default(), &seen(35.0, 10, 10, (1, 20)));
    assert_eq!((inward.wanted, inward.consent), (Some(8), Consent::Alone));
    let not_ready = Decision {
        wanted: None,
        consent: Consent::Tracking,
        verdict: Verdict::LowAlarmPending { have: 3, need: 15 },
        ..inward.clone()
    };
    assert_eq!(combine([&inward, &not_ready].into_iter()), Some(8));
}

#[test]
fn only_simple_scaling_waits_for_a_cooldown() {
    for Vector { id, input, expected, .. } in vectors("cooldown_gate") {
        let trigger = match input["trigger"].as_str().unwrap() {
            "simple" => Trigger::Simple,
            "step" => Trigger::Step,
            "target_tracking" => Trigger::TargetTracking,
            "scheduled" | "scheduled_action" => Trigger::Scheduled,
            "health_replacement" => Trigger::HealthReplacement,
            "manual" => Trigger::Manual { honor_cooldown: false },
            "manual_honor_cooldown" => Trigger::Manual { honor_cooldown: true },
            other => panic!("{other}"),
        };
        let state = match input["cooldown_active"].as_bool().unwrap() {
            true => ActivityState::CoolingDown { until: minute(9) },
            false => ActivityState::None,
        };
        assert_eq!(Some(trigger.may_act(state)), expected["allowed"].as_bool(), "{id}");
    }
    let mut waits = seen(60.0, 4, 4, (1, 9));
    waits.activity = ActivityState::CoolingDown { until: minute(61) };
    let by = Adjustment { kind: AdjustmentType::ChangeInCapacity, by: 1, min_magnitude: None };
    let decision = simple_policy(by).decide(&mut Memory::default(), &waits);
    assert_eq!((decision.wanted, decision.verdict), (None, Verdict::Cooldown));
    assert!(decision.description.ends_with("until 01:01:00."), "{}", decision.description);
    waits.activity = ActivityState::InProgress { launching: 2, terminating: 0 };
    let decision = simple_policy(by).decide(&mut Memory::default(), &waits);
    assert_eq!((decision.wanted, decision.verdict), (None, Verdict::ActivityInProgress));
}

#[test]
fn a_simple_policys_cooldown_goes_before_the_groups() {
    let all = vectors("effective_setting");
    let own = all.iter().filter(|vector| vector.input["setting"] == "simple_cooldown");
    for Vector { id, input, expected, .. } in own {
        let span = |key: &str| input[key].as_u64().map(Span::from_secs);
        let cooldown = effective_cooldown(span("policy_cooldown"), span("default_cooldown").unwrap());
        assert_eq!(cooldown, Span::from_secs(expected["seconds"].as_u64().unwrap()), "{id}");
    }
    assert_eq!(effective_cooldown(Some(Span::ZERO), Span::from_secs(300)), Span::ZERO, "zero is set");
}

#[test]
fn an_evaluation_is_about_n_periods() {
    for Vector { id, input, expected, .. } in vectors("cloudwatch_window") {
        let mut alarm = alarm(Comparison::Greater, 1.0);
        alarm.period = Span::from_secs(input["period_s"].as_u64().unwrap());
        alarm.alarm.evaluation_periods = whole(&input["evaluation_periods"]) as usize;
        alarm.alarm.datapoints_to_alarm = whole(&input["datapoints_to_alarm"]) as usize;
        assert_eq!(alarm.interval(), Span::from_secs(expected["interval_s"].as_u64().unwrap()), "{id}");
    }
}

/// On entering ALARM, and once a minute while that lasts; a high-resolution alarm is asked every 10 s and acts no more often.
#[test]
fn auto_scaling_actions_repeat_each_minute() {
    for Vector { id, input, expected, .. } in vectors("cloudwatch_repeat") {
        let from = input["alarm_enters_state_at_min"].as_u64().unwrap();
        let to = from + input["stays_for_min"].as_u64().unwrap();
        let minutes: Vec<u64> =
            expected["actions_at_min"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect();
        for step in [60, 10] {
            let mut actions = Actions::default();
            let at = (0..=60 * (to + 3)).step_by(step).filter(|second| {
                let state =
                    if (60 * from..=60 * to).contains(second) { AlarmState::Alarm } else { AlarmState::Ok };
                actions.due(state, Time::ZERO + Span::from_secs(*second))
            });
            assert_eq!(at.map(|second| second / 60).collect::<Vec<_>>(), minutes, "{id}");
        }
    }
    let mut policy =
        simple_policy(Adjustment { kind: AdjustmentType::ChangeInCapacity, by: 1, min_magnitude: None });
    policy.alarm.period = Span::from_secs(10);
    let mut memory = Memory::default();
    let mut acts = |second| {
        let now = Time::ZERO + Span::from_secs(second);
        let decision = policy.decide(&mut memory, &Observation { now, ..seen(60.0, 4, 4, (1, 9)) });
        (decision.wanted.is_some(), decision.verdict == Verdict::ActionRepeats)
    };
    assert_eq!([acts(10), acts(20), acts(70)], [(true, false), (false, true), (true, false)]);
}

#[test]
fn a_groups_metric_is_the_plain_average_of_its_instances() {
    for Vector { id, input, expected, .. } in vectors("group_metric") {
        let mut samples = Samples::default();
        let values = input["instance_values"].as_array().unwrap();
        values.iter().for_each(|value| samples.take(value.as_f64().unwrap(), false));
        assert_eq!(samples.statistic(Statistic::Average), expected["group_value"].as_f64(), "{id}");
    }
}

/// Below 10 / (1 - p) samples a percentile is not evaluated, where the alarm says so: 1000 for p99.
#[test]
fn percentiles_of_few_samples_keep_the_alarms_state() {
    let with = |ignores: bool, samples: f64| {
        let mut policy =
            simple_policy(Adjustment { kind: AdjustmentType::ChangeInCapacity, by: 1, min_magnitude: None });
        (policy.alarm.statistic, policy.alarm.ignores_low_samples) = (Statistic::Percentile(99.0), ignores);
        let mut seen = seen(60.0, 4, 4, (1, 9));
        seen.datapoints[0][0] = Some(Datapoint { samples, ..Datapoint::of(60.0, 4) });
        policy.decide(&mut Memory::default(), &seen).wanted
    };
    assert_eq!(with(true, 999.0), None);
    assert_eq!(with(true, 1_000.0), Some(5));
    assert_eq!(with(false, 3.0), Some(5));
}

/// One policy may have steps on both sides; at the threshold itself it is on the side that its alarm watches.
#[test]
fn bounds_are_inside_above_the_threshold_and_outside_below() {
    let step = |lower, upper, by| Step {
        lower,
        upper,
        adjustment: Adjustment { kind: AdjustmentType::ChangeInCapacity, by, min_magnitude: None },
    };
    let steps = vec![
        step(None, Some(-20.0), -2),
        step(Some(-20.0), Some(0.0), -1),
        step(Some(0.0), Some(20.0), 1),
        step(Some(20.0), None, 2),
    ];
    let high = step_policy(Comparison::GreaterOrEqual, 50.0, steps.clone());
    let low = step_policy(Comparison::LessOrEqual, 50.0, steps);
    let chosen = |policy: &StepScaling, metric| policy.step_for(metric).unwrap();
    for policy in [&high, &low] {
        let seen = [30.0, 30.01, 49.9, 50.1, 69.99, 70.0].map(|metric| chosen(policy, metric));
        assert_eq!(seen, [0, 1, 1, 2, 2, 3]);
    }
    assert_eq!((chosen(&high, 50.0), chosen(&low, 50.0)), (2, 1));
    // A tenth that no binary number is: the bound is added to the threshold.
    let tenths = step_policy(
        Comparison::Greater,
        60.1,
        vec![step(Some(0.0), Some(10.0), 1), step(Some(10.0), None, 2)],
    );
    assert_eq!(chosen(&tenths, 70.1), 1);
}

/// Scale-in waits for instances that warm up; those being terminated are not removed twice; nothing goes beyond the limits.
#[test]
fn a_step_policy_says_what_it_waits_for() {
    let by = |by| Adjustment { kind: AdjustmentType::ChangeInCapacity, by, min_magnitude: None };
    let inward =
        step_policy(Comparison::Less, 40.0, vec![Step { lower: None, upper: Some(0.0), adjustment: by(-2) }]);
    let out = step_policy(
        Comparison::Greater,
        60.0,
        vec![Step { lower: Some(5.0), upper: None, adjustment: by(1) }],
    );
    let decide = |policy: &StepScaling, seen: &Observation| policy.decide(&mut Memory::default(), seen);
    let mut warming = seen(20.0, 10, 9, (1, 20));
    warming.warm_at = Some(minute(63));
    let decision = decide(&inward, &warming);
    assert_eq!((decision.wanted, decision.verdict), (None, Verdict::WarmingUp));
    assert!(decision.description.contains("until 01:03:00"), "{}", decision.description);
    let terminating = |count| Observation { terminating: count, ..seen(20.0, 8, 8, (1, 20)) };
    assert_eq!(decide(&inward, &terminating(2)).verdict, Verdict::ActivityInProgress);
    assert_eq!(decide(&inward, &terminating(1)).wanted, Some(7));
    assert_eq!(decide(&inward, &terminating(0)).wanted, Some(6));
    assert_eq!(decide(&inward, &seen(20.0, 3, 3, (3, 20))).verdict, Verdict::AtMinimum);
    assert_eq!(decide(&out, &seen(99.0, 9, 9, (3, 9))).verdict, Verdict::AtMaximum);
    assert_eq!(decide(&out, &seen(62.0, 5, 5, (3, 9))).verdict, Verdict::NoAdjustment, "no step for that");
    assert_eq!(decide(&out, &seen(50.0, 5, 5, (3, 9))).verdict, Verdict::WithinTarget);
    let blind = Observation { datapoints: vec![vec![None; 3]], ..seen(0.0, 5, 5, (3, 9)) };
    assert_eq!(decide(&out, &blind).verdict, Verdict::InsufficientData);
    let mut pending = out.clone();
    (pending.alarm.alarm.evaluation_periods, pending.alarm.alarm.datapoints_to_alarm) = (3, 2);
    let points = [70.0, 50.0, 50.0].map(|value| Some(Datapoint::of(value, 5))).to_vec();
    let once = Observation { datapoints: vec![points], ..seen(0.0, 5, 5, (3, 9)) };
    assert_eq!(decide(&pending, &once).verdict, Verdict::HighAlarmPending { have: 1, need: 2 });
}

/// The step goes by the policy's aggregation of the newest datapoint, whatever statistic the alarm has.
#[test]
fn a_step_is_chosen_by_the_policys_aggregation() {
    let by = |by| Adjustment { kind: AdjustmentType::ChangeInCapacity, by, min_magnitude: None };
    let steps = vec![
        Step { lower: Some(0.0), upper: Some(20.0), adjustment: by(1) },
        Step { lower: Some(20.0), upper: None, adjustment: by(5) },
    ];
    let mut policy = step_policy(Comparison::Greater, 50.0, steps);
    policy.alarm.statistic = Statistic::Maximum;
    let mut seen = seen(95.0, 4, 4, (1, 20));
    seen.datapoints[0][0] =
        Some(Datapoint { average: 55.0, minimum: 30.0, maximum: 95.0, ..Datapoint::of(95.0, 4) });
    let mut wanted = |aggregation| {
        policy.metric_aggregation = aggregation;
        policy.decide(&mut Memory::default(), &seen).wanted
    };
    assert_eq!(wanted(Aggregation::Average), Some(5));
    assert_eq!(wanted(Aggregation::Maximum), Some(9));
    assert_eq!(wanted(Aggregation::Minimum), None, "no step is for a value below the threshold");
}

/// What a scenario says becomes what is tested here, and its defaults are those that are documented.
#[test]
fn a_scenario_says_what_the_guides_say() {
    let group = r#"min = 2
        max = 9
        [[group.g.scaling]]
        step = { alarm = { metric = "cpu", comparison = ">=", threshold = 60, evaluation_periods = 2 }, adjustment_type = "percent-change-in-capacity", steps = [{ lower = 0, upper = 15, adjustment = 10 }, { lower = 15, adjustment = 20 }], min_adjustment_magnitude = 2 }
        [[group.g.scaling]]
        simple = { alarm = { metric = "target_response_time", statistic = "p99.9", comparison = "<", threshold = 0.05, period = "5min", missing = "not-breaching", low_samples = "ignore" }, adjustment_type = "change-in-capacity", adjustment = -1, cooldown = "180s" }"#;
    let scenario = super::scenario("1h", r#"{ constant = "10/s" }"#, group, "");
    let scaling = &scenario.plan().groups[0].scaling;
    let (Scaling::Step(step), Scaling::Simple(simple)) = (&scaling[0], &scaling[1]) else { panic!() };
    assert_eq!((step.alarm.period, step.alarm.alarm.datapoints_to_alarm), (Span::from_secs(60), 2));
    assert_eq!(
        (step.metric_aggregation, step.steps[1].adjustment.min_magnitude),
        (Aggregation::Average, Some(2))
    );
    assert_eq!(simple.alarm.statistic, Statistic::Percentile(99.9));
    assert_eq!((simple.cooldown, simple.adjustment.by), (Some(Span::from_secs(180)), -1));
    assert_eq!(
        (simple.alarm.alarm.missing, simple.alarm.ignores_low_samples),
        (MissingData::NotBreaching, true)
    );
    let again = Scenario::parse(scenario.resolved()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.resolved(), scenario.resolved());
}
