//! Alarms and target tracking against worked examples of the EC2 Auto Scaling and CloudWatch guides.

use scalesim::Scenario;
use scalesim::plan::Scaling;
use scalesim::scaling::{
    ActivityState, Alarm, AlarmState, Comparison, Consent, Datapoint, Decision, Memory, MissingData,
    Observation, Policy, TargetTracking, Verdict, combine, effective_warmup,
};
use serde_json::Value;
use sim_core::{Span, Time};

use crate::asg_vectors::vectors;

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// Rows of the table "how alarms treat missing data".
#[test]
fn missing_data_is_treated_as_the_guide_says() {
    let vectors = vectors("cloudwatch_alarm");
    for vector in &vectors {
        let input = &vector.input;
        let points: Vec<Option<f64>> = (input["datapoints_oldest_first"].as_array().unwrap().iter())
            .map(|point| match point.as_str().unwrap() {
                "ok" => Some(0.0),
                "breaching" => Some(2.0),
                _ => None,
            })
            .collect();
        let alarm = Alarm {
            comparison: Comparison::Greater,
            threshold: 1.0,
            evaluation_periods: number(&input["evaluation_periods"]),
            datapoints_to_alarm: number(&input["datapoints_to_alarm"]),
            missing: match input["treat_missing_data"].as_str().unwrap() {
                "missing" => MissingData::Missing,
                "ignore" => MissingData::Ignore,
                "breaching" => MissingData::Breaching,
                _ => MissingData::NotBreaching,
            },
        };
        assert_eq!(alarm.evaluation_range(), number(&input["evaluation_range"]), "{}", vector.id);
        let seen = |previous| alarm.evaluate(&points, previous).to_string();
        match vector.expected["state"].as_str().unwrap() {
            "RETAIN" | "retain" | "current state" => {
                for previous in [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData] {
                    assert_eq!(seen(previous), previous.to_string(), "{}", vector.id);
                }
            }
            state => assert_eq!(seen(AlarmState::Ok), state, "{} {:?}", vector.id, points),
        }
    }
    assert_eq!(vectors.len(), 27);
}

/// The plan of a group with these entries in its `scaling` list.
fn plan(duration: &str, scaling: &str) -> scalesim::plan::Plan {
    let text = format!(
        r#"
        [scenario]
        duration = "{duration}"
        [traffic.t]
        to = "b"
        profile = {{ constant = "1/s" }}
        [service.s]
        runtime = "thread-per-request"
        [service.s.endpoint.e]
        steps = [{{ cpu = "1ms" }}]
        [group.g]
        service = "s"
        machine = "c6i.large"
        min = 1
        max = 100
        scaling = [{scaling}]
        [balancer.b]
        targets = "g"
        "#
    );
    Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}")).plan().clone()
}

/// A policy with everything else as a scenario that does not mention it.
fn policy_with(options: &str) -> TargetTracking {
    match plan("1h", &format!("{{ target_tracking = {{ {options} }} }}")).groups[0].scaling[0].clone() {
        Scaling::TargetTracking(policy) => policy,
        other => panic!("{other:?}"),
    }
}

fn policy(target: f64) -> TargetTracking {
    policy_with(&format!("metric = \"cpu\", target = {target:?}"))
}

/// A full fleet of `desired` instances that these datapoints are about.
fn observation(datapoints: &[f64], desired: u32) -> Observation {
    observation_of(datapoints, desired, desired)
}

/// The same where the datapoints are about `instances` of them.
fn observation_of(datapoints: &[f64], desired: u32, instances: u32) -> Observation {
    Observation {
        now: Time::ZERO + Span::from_secs(3_600),
        datapoints: vec![datapoints.iter().map(|&value| Some(Datapoint::of(value, instances))).collect()],
        desired,
        min: 1,
        max: 100,
        warming: desired.saturating_sub(instances),
        warm_at: None,
        terminating: 0,
        activity: ActivityState::None,
    }
}

fn decision(policy: &TargetTracking, seen: &Observation) -> Decision {
    policy.decide(&mut Memory::default(), seen)
}

#[test]
fn alarms_have_the_observed_thresholds_and_periods() {
    let vectors = vectors("target_tracking_alarms");
    for vector in &vectors {
        let target = vector.input["target"].as_f64().unwrap();
        // The group's own convention is the default; that of Application Auto Scaling has to be asked for.
        let policy = match vector.input["service"].as_str().unwrap() {
            "EC2 ASG predefined CPU" => policy(target),
            _ => policy_with(&format!(
                "metric = \"requests_per_target\", target = {target:?}, low_factor = 0.9"
            )),
        };
        for (alarm, side) in [(policy.high(), "high"), (policy.low(), "low")] {
            let expected = &vector.expected[side];
            assert!(
                (alarm.threshold - expected["threshold"].as_f64().unwrap()).abs() < 1e-9,
                "{}",
                vector.id
            );
            assert_eq!(alarm.evaluation_periods, number(&expected["evaluation_periods"]), "{}", vector.id);
            let comparison = match expected["comparison"].as_str().unwrap() {
                "GreaterThanThreshold" => Comparison::Greater,
                "LessThanThreshold" => Comparison::Less,
                other => panic!("{other}"),
            };
            assert_eq!(alarm.comparison, comparison, "{}", vector.id);
            assert_eq!(
                expected["period_s"], 60,
                "{}: the period of detailed monitoring and of balancers",
                vector.id
            );
        }
    }
    assert_eq!(vectors.len(), 5);
}

#[test]
fn sizes_are_proportional_and_rounded_up() {
    for vector in vectors("target_tracking_proportional") {
        let (metric, target) =
            (vector.input["metric"].as_f64().unwrap(), vector.input["target"].as_f64().unwrap());
        let seen = observation(&[metric; 3], number(&vector.input["current_capacity"]) as u32);
        let wanted = decision(&policy(target), &seen).wanted;
        assert_eq!(wanted, Some(number(&vector.expected["desired_capacity"]) as u32), "{}", vector.id);
    }
    // An exact change of ±1.5: of ten instances one is removed, or two are added.
    let policy = policy_with("metric = \"requests_per_target\", target = 100, low_factor = 0.9");
    let change = |exact: f64| {
        let seen = observation(&[100.0 + 10.0 * exact; 15], 10);
        i64::from(decision(&policy, &seen).wanted.unwrap()) - 10
    };
    for vector in vectors("target_tracking_rounding") {
        let exact = vector.input["exact_change"].as_f64().unwrap();
        assert_eq!(Some(change(exact)), vector.expected["change"].as_i64(), "{}", vector.id);
    }
    assert_eq!(change(1.5), 2);
}

/// A datapoint from before an action is about the fleet of then: the repeated action asks for the same size again.
#[test]
fn repeated_actions_on_an_old_datapoint_ask_for_the_same_size() {
    let tracking = policy(50.0);
    assert_eq!(decision(&tracking, &observation_of(&[25.0; 15], 10, 10)).wanted, Some(5));
    let mut after = observation_of(&[25.0; 15], 5, 10);
    after.warming = 0;
    let again = decision(&tracking, &after);
    assert_eq!((again.wanted, again.verdict), (None, Verdict::WouldOvershoot), "{}", again.description);
    let mut grown = observation_of(&[100.0; 3], 4, 2);
    grown.warming = 0;
    assert_eq!(decision(&tracking, &grown).wanted, None, "four are what two at 100 % need");
}

#[test]
fn several_policies_are_combined_as_the_guide_says() {
    let with = |verdict: Verdict, wanted| Decision {
        wanted,
        at_least: None,
        consent: Consent::Tracking,
        verdict,
        description: String::new(),
        transitions: vec![],
    };
    let (out, inward) = (with(Verdict::ScaleOut, Some(7)), with(Verdict::ScaleIn, Some(3)));
    let unsure = with(Verdict::InsufficientData, None);
    let disabled = Decision { consent: Consent::Never, ..with(Verdict::WithinTarget, None) };
    assert_eq!(combine([&out, &inward].into_iter()), Some(7), "one that is ready to scale out is enough");
    assert_eq!(combine([&inward, &unsure].into_iter()), None, "all must want to scale in");
    assert_eq!(combine([&inward, &disabled].into_iter()), Some(3), "disabled scale-in is no veto");
    assert_eq!(
        combine([&inward, &with(Verdict::ScaleIn, Some(5))].into_iter()),
        Some(5),
        "the larger capacity wins"
    );
    assert_eq!(combine(std::iter::empty()), None);
    let alone = Decision { consent: Consent::Alone, ..inward.clone() };
    assert_eq!(combine([&alone, &unsure].into_iter()), Some(3), "a step policy needs nobody's consent");
    let floor = Decision { at_least: Some(4), ..with(Verdict::WithinTarget, None) };
    let floor = Decision { consent: Consent::Never, ..floor };
    assert_eq!(combine([&inward, &floor].into_iter()), Some(4), "held at least at a forecast");
    for vector in vectors("target_tracking_gate") {
        let decisions: Vec<Decision> = (vector.input["policies"].as_array().unwrap().iter())
            .map(|policy| match (policy["alarm_state"].as_str(), policy["wants"].as_str().unwrap()) {
                (Some("INSUFFICIENT_DATA"), _) => unsure.clone(),
                (_, "out") => out.clone(),
                _ => inward.clone(),
            })
            .collect();
        let action = match combine(decisions.iter()) {
            Some(7) => "out",
            Some(_) => "in",
            None => "none",
        };
        assert_eq!(action, vector.expected["action"].as_str().unwrap(), "{}", vector.id);
    }
}

/// `30 6 * * 2`: Tuesdays, 06:30.
#[test]
fn cron_expressions_run_when_the_guide_says() {
    for vector in vectors("scheduled_cron") {
        let (cron, zone) =
            (vector.input["cron"].as_str().unwrap(), vector.input["timezone"].as_str().unwrap());
        let plan = plan(
            "15d",
            &format!("{{ scheduled = {{ cron = \"{cron}\", time_zone = \"{zone}\", min = 2 }} }}"),
        );
        let Scaling::Scheduled(action) = &plan.groups[0].scaling[0] else { panic!("{}", vector.id) };
        assert_eq!(action.times.len(), 2, "{}", vector.id);
        for at in &action.times {
            let at = plan.start.checked_add(jiff::SignedDuration::from_nanos(at.as_nanos() as i64)).unwrap();
            assert_eq!(at.strftime("%A").to_string(), vector.expected["weekday"].as_str().unwrap());
            assert_eq!(at.strftime("%H:%M").to_string(), vector.expected["time"].as_str().unwrap());
        }
    }
    let plan = plan("2d", r#"{ scheduled = { cron = "0 8 * * *", start = "6h", min = 2 } }"#);
    let Scaling::Scheduled(action) = &plan.groups[0].scaling[0] else { panic!() };
    let hours: Vec<u64> = action.times.iter().map(|at| at.as_nanos() / 3_600_000_000_000).collect();
    assert_eq!(hours, [6, 8, 32], "at its start as well");
}

#[test]
fn warm_up_falls_back_and_zero_is_set() {
    let vectors = vectors("effective_setting");
    for vector in vectors.iter().filter(|vector| vector.input["setting"] == "policy_warmup") {
        let span = |key: &str| vector.input[key].as_u64().map(Span::from_secs);
        let seen = effective_warmup(
            span("estimated_instance_warmup"),
            span("default_instance_warmup"),
            span("default_cooldown").unwrap(),
        );
        assert_eq!(seen, Span::from_secs(vector.expected["seconds"].as_u64().unwrap()), "{}", vector.id);
    }
    assert!(vectors.len() >= 2);
    let seconds = Span::from_secs;
    assert_eq!(effective_warmup(Some(seconds(0)), Some(seconds(120)), seconds(300)), seconds(0));
    assert_eq!(effective_warmup(None, None, seconds(300)), seconds(300));
}

#[test]
fn every_verdict_is_reached_and_explained() {
    let tracking = policy(50.0);
    let with = |change: &dyn Fn(&mut Observation), datapoints: &[f64]| {
        let mut seen = observation(datapoints, 4);
        change(&mut seen);
        decision(&tracking, &seen)
    };
    let calm: &dyn Fn(&mut Observation) = &|_| {};
    let out = with(calm, &[60.0, 70.0, 80.0]);
    assert_eq!((out.verdict.clone(), out.wanted), (Verdict::ScaleOut, Some(7)), "{}", out.description);
    assert_eq!(out.transitions.len(), 2, "the high alarm to ALARM, the low one to OK: {:?}", out.transitions);
    assert_eq!(with(calm, &[40.0, 70.0, 80.0]).verdict, Verdict::HighAlarmPending { have: 2, need: 3 });
    assert_eq!(with(calm, &[20.0; 9]).verdict, Verdict::LowAlarmPending { have: 9, need: 15 });
    assert_eq!(with(calm, &[45.0; 20]).verdict, Verdict::WithinTarget);
    assert_eq!(with(calm, &[]).verdict, Verdict::InsufficientData);
    assert_eq!(with(&|seen| seen.max = 4, &[90.0; 3]).verdict, Verdict::AtMaximum);
    assert_eq!(with(&|seen| seen.max = 5, &[90.0; 3]).wanted, Some(5), "clamped");
    assert_eq!(with(&|seen| seen.min = 4, &[10.0; 15]).verdict, Verdict::AtMinimum);
    assert_eq!(with(calm, &[10.0; 15]).wanted, Some(1));
    // Two of four instances are warm: the size is taken from these two, and 4 are on their way.
    let warming = |datapoints: &[f64]| decision(&tracking, &observation_of(datapoints, 4, 2));
    assert_eq!(warming(&[90.0; 3]).verdict, Verdict::WarmingUp);
    assert_eq!(warming(&[90.0, 95.0, 130.0]).wanted, Some(6));
    assert_eq!(warming(&[10.0; 15]).verdict, Verdict::WarmingUp, "scale-in waits for them");
    // Two instances at 30 % of a target of 50: one would be at 60 %.
    assert_eq!(decision(&tracking, &observation(&[30.0; 15], 2)).verdict, Verdict::WouldOvershoot);
    let mut one_way = tracking.clone();
    one_way.disable_scale_in = true;
    assert_eq!(decision(&one_way, &observation(&[10.0; 15], 4)).verdict, Verdict::ScaleInDisabled);
}

#[test]
fn missing_datapoints_stop_scaling_and_alarms_repeat() {
    let tracking = policy(50.0);
    let mut memory = Memory::default();
    let mut seen = observation(&[80.0; 3], 4);
    assert_eq!(tracking.decide(&mut memory, &seen).wanted, Some(7));
    assert_eq!(tracking.decide(&mut memory, &seen).wanted, Some(7), "the action is repeated while in ALARM");
    seen.datapoints = vec![vec![None; 20]];
    let blind = tracking.decide(&mut memory, &seen);
    assert_eq!((blind.verdict, blind.wanted), (Verdict::InsufficientData, None));
    assert_eq!(memory.alarm(0), AlarmState::InsufficientData);
}

/// A tenth of the desired capacity.
#[test]
fn unhealthy_instances_are_replaced_in_batches() {
    let vectors = vectors("health_replacement_batch");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let desired = number(&vector.input["desired_capacity"]) as u32;
        let expected = number(&vector.expected["max_replaced_at_once"]) as u32;
        assert_eq!(scalesim::scaling::replaced_at_once(desired), expected, "{}", vector.id);
    }
    assert_eq!(scalesim::scaling::replaced_at_once(4), 1);
}
