//! Predictive scaling, managed instance groups, scale sets, and policies of one's own: their decisions by the numbers that
//! are published, and groups that follow them over time.

use std::sync::Arc;

use scalesim::plan::{Metric, Plan, Scaling};
use scalesim::results::{ActivityKind, ForecastResult, Results};
use scalesim::scaling::{
    ActivityState, Datapoint, Decision, Forecaster, HORIZON, MaxCapacityBreach, Memory, Observation, Policy,
    Predictive, PredictiveMode, Verdict, combine, desired_for, effective_max, forecast, mape,
};
use scalesim::traffic::Profile;
use scalesim::{Experiment, NoFiles, Scenario};
use serde_json::Value;
use sim_core::{Seed, Span, Time};

use crate::asg_vectors::vectors;
use crate::timelines::text;

fn number(value: &Value, key: &str) -> Option<u32> {
    value.get(key)?.as_u64().map(|number| number as u32)
}

fn plan(head: &str, rate: &str, group: &str) -> Plan {
    let scenario = Scenario::parse(&text(head, rate, group, "")).unwrap_or_else(|errors| panic!("{errors}"));
    scenario.plan().clone()
}

fn play(head: &str, rate: &str, group: &str) -> Results {
    let scenario = Scenario::parse(&text(head, rate, group, "")).unwrap_or_else(|errors| panic!("{errors}"));
    // The resolved scenario is the same one.
    let again = Scenario::parse(scenario.resolved()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(scenario.resolved(), again.resolved());
    assert_eq!(format!("{:?}", scenario.plan().groups), format!("{:?}", again.plan().groups));
    Experiment::new(&scenario).run()
}

/// Second and desired capacity of each change.
fn sizes(results: &Results) -> Vec<(u64, u32)> {
    use ActivityKind::{Manual, ScaleIn, ScaleOut, Scheduled};
    let changes = results.run.activities.iter();
    let changes = changes.filter(|activity| matches!(activity.kind, Manual | ScaleIn | ScaleOut | Scheduled));
    changes.map(|activity| (activity.at as u64, activity.desired)).collect()
}

fn told(results: &Results, words: &str) -> bool {
    results.run.activities.iter().any(|activity| activity.description.contains(words))
}

// ---- predictive scaling, by the guide's numbers

#[test]
fn predictions_scale_out_only_and_within_their_maximum() {
    let vectors = vectors("predictive");
    for vector in &vectors {
        let input = &vector.input;
        let buffer = number(input, "buffer_pct").unwrap_or(0);
        let breach = match input.get("mode").and_then(Value::as_str) {
            Some("IncreaseMaxCapacity") => MaxCapacityBreach::IncreaseMaxCapacity { buffer },
            _ => MaxCapacityBreach::HonorMaxCapacity,
        };
        let (predicted, max) = (number(input, "predicted").unwrap(), number(input, "max_size").unwrap());
        if let Some(expected) = number(&vector.expected, "effective_max") {
            assert_eq!(effective_max(predicted, max, breach), expected, "{}", vector.id);
        }
        if let Some(expected) = number(&vector.expected, "desired_capacity") {
            let (actual, min) = (number(input, "actual").unwrap(), number(input, "min_size").unwrap());
            assert_eq!(desired_for(predicted, actual, min, max, breach), expected, "{}", vector.id);
            // And by the policy itself.
            let policy = Predictive { breach, ..policy_of(PredictiveMode::ForecastAndScale) };
            let decision = policy.decide(&mut flat(f64::from(predicted)), &observation(actual, min, max));
            let decided = combine(std::iter::once(&decision)).unwrap_or(actual);
            assert_eq!(decided, expected, "{}: {}", vector.id, decision.description);
        }
    }
    assert_eq!(vectors.len(), 3);
    // Near the maximum, and far below it.
    let with = |buffer| MaxCapacityBreach::IncreaseMaxCapacity { buffer };
    assert_eq!(effective_max(38, 40, with(10)), 42);
    assert_eq!(effective_max(20, 40, with(10)), 40);
    assert_eq!(effective_max(u32::MAX, 40, with(100)), u32::MAX);
    assert_eq!(desired_for(50, 30, 1, 40, MaxCapacityBreach::HonorMaxCapacity), 40);
    assert_eq!(desired_for(50, 45, 1, 40, MaxCapacityBreach::HonorMaxCapacity), 45, "never in");
    assert_eq!(
        desired_for(2, 1, 4, 40, MaxCapacityBreach::HonorMaxCapacity),
        4,
        "a higher minimum goes before"
    );
}

/// Plans 100 % of CPU for an instance, so that a load of 800 % needs 8.
fn policy_of(mode: PredictiveMode) -> Predictive {
    let group = "min = 1\nmax = 9\nscaling = [{ predictive = { target = 100, history = { profile = { constant = \"1/s\" } } } }]";
    match &plan("duration = \"1h\"", "{ constant = \"1/s\" }", group).groups[0].scaling[0] {
        Scaling::Predictive(policy) => Predictive { mode, ..policy.clone() },
        other => panic!("{other:?}"),
    }
}

/// What a policy remembers after a day at a load of so many instances.
fn flat(instances: f64) -> Memory {
    let minute = Span::from_secs(60);
    let forecaster = Forecaster::new(vec![Some(100.0 * instances); 24], Span::ZERO, (minute, minute));
    remembering(forecaster)
}

fn remembering(forecaster: Forecaster) -> Memory {
    let mut memory = Memory::default();
    memory.forecaster = Some(Box::new(forecaster));
    memory
}

fn observation(desired: u32, min: u32, max: u32) -> Observation {
    Observation {
        now: Time::ZERO + Span::from_secs(600),
        datapoints: vec![vec![Some(Datapoint::of(50.0, desired))]],
        desired,
        min,
        max,
        warming: 0,
        warm_at: None,
        terminating: 0,
        activity: ActivityState::None,
    }
}

/// Dynamic scaling needs 10, the forecast 8: there are 10. And what scales in stops at the forecast.
#[test]
fn of_dynamic_and_predictive_scaling_the_larger_capacity_wins() {
    let vector = vectors("multiple_policies").into_iter().find(|vector| vector.id == "asg-055").unwrap();
    let proposals = vector.input["proposals"].as_array().unwrap();
    let [dynamic, predicted] = [0, 1].map(|index| number(&proposals[index], "exact").unwrap());
    let policy = policy_of(PredictiveMode::ForecastAndScale);
    let predictive = |desired| policy.decide(&mut flat(f64::from(predicted)), &observation(desired, 1, 20));
    let out = Decision::scale_out(dynamic, "dynamic");
    assert_eq!(combine([&out, &predictive(4)].into_iter()), number(&vector.expected, "desired_capacity"));
    assert_eq!(combine([&predictive(4), &Decision::scale_out(5, "dynamic")].into_iter()), Some(8));
    let fewer = Decision::scale_in(3, "dynamic");
    assert_eq!(
        combine([&fewer, &predictive(12)].into_iter()),
        Some(8),
        "what scales in stops at the forecast"
    );
    let only = policy_of(PredictiveMode::ForecastOnly).decide(&mut flat(8.0), &observation(4, 1, 20));
    assert_eq!((only.wanted, only.at_least, only.verdict), (None, None, Verdict::ForecastOnly));
}

#[test]
fn a_forecast_needs_a_day_of_history() {
    let minute = Span::from_secs(60);
    let forecaster = Forecaster::new(vec![Some(800.0); 23], Span::ZERO, (minute, minute));
    let mut memory = remembering(forecaster);
    let decision = policy_of(PredictiveMode::ForecastAndScale).decide(&mut memory, &observation(4, 1, 20));
    assert_eq!(
        (decision.wanted, decision.verdict),
        (None, Verdict::TooLittleHistory),
        "{}",
        decision.description
    );
}

// ---- the forecaster

/// Sixteen days of a week's profile with noise: those before the last two are the history.
fn noisy_weeks(noise: f64, seed: u64) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let hour = Span::from_secs(3_600);
    let factors = [1.0, 1.0, 1.0, 1.05, 1.1, 0.7, 0.6];
    let (low_at, peak_at) = (hour.saturating_mul(4), hour.saturating_mul(20));
    let profile = Profile::Week { low: 80.0, peak: 900.0, low_at, peak_at, factors };
    let rate = profile.rate(hour.saturating_mul(16 * 24), Span::ZERO, 0);
    let mean = |index: u64| {
        let from = Time::ZERO + hour.saturating_mul(index);
        Some(rate.integral(from, from + hour) / 3_600.0)
    };
    let past = scalesim::scaling::PastLoad { hours: (0..16 * 24).map(mean).collect(), noise };
    let mut all = past.draw(&mut Seed::new(seed).stream("history"));
    let held_out = all.split_off(14 * 24);
    (all, held_out)
}

/// Its error on held-out days, against the noise that nobody can forecast and against last week's value for the same hour.
#[test]
fn forecasts_of_held_out_days_are_about_as_far_off_as_the_noise() {
    let (history, actual) = noisy_weeks(0.0, 1);
    let error = mape(&forecast(&history).unwrap().hours, &actual).unwrap();
    assert!(error < 3.0, "without noise: {error:.2} %");
    let (mut ours, mut naive, mut told) = (0.0, 0.0, 0.0);
    let runs = 40;
    for seed in 0..runs {
        let (history, actual) = noisy_weeks(0.1, seed);
        let made = forecast(&history).unwrap();
        assert_eq!((made.hours.len(), made.history), (HORIZON, 336));
        let last_week: Vec<f64> = history[7 * 24..9 * 24].iter().map(|hour| hour.unwrap()).collect();
        ours += mape(&made.hours, &actual).unwrap() / f64::from(runs as u32);
        naive += mape(&last_week, &actual).unwrap() / f64::from(runs as u32);
        told += made.error.unwrap() / f64::from(runs as u32);
    }
    println!("MAPE of 48 h: {ours:.2} %; last week's value: {naive:.2} %; of the held-out day: {told:.2} %");
    // A coefficient of variation of 10 % is off by 8 % on average, and last week's value by the square root of two more.
    assert!((7.0..11.0).contains(&ours), "{ours:.2} %");
    assert!(ours < 0.9 * naive, "{ours:.2} % against {naive:.2} % of last week's value");
    assert!((told - ours).abs() < 4.0, "what it says of itself: {told:.2} %, what came: {ours:.2} %");
}

/// Nothing that comes after the history can change a forecast: it is not given to it. What can change it is the history.
#[test]
fn a_forecast_is_made_of_the_past_alone() {
    let quiet = |spike: &str| {
        let rate = format!(
            r#"{{ points = {{ at = [["0s", "40/s"], ["90min", "40/s"], ["90min", "{spike}"], ["4h", "{spike}"]] }} }}"#
        );
        let group = r#"min = 2
            max = 20
            scaling = [{ predictive = { target = 50, history = { noise = 0.1, profile = { constant = "40/s" } } } }]"#;
        play("duration = \"4h\"", &rate, group).run.forecasts[0].clone()
    };
    let forecasts =
        |result: &ForecastResult| result.hours.iter().map(|hour| hour.forecast).collect::<Vec<_>>();
    let (calm, busy) = (quiet("40/s"), quiet("90/s"));
    assert_eq!(forecasts(&calm), forecasts(&busy), "it did not see the spike come");
    assert_ne!(calm.hours[2].actual, busy.hours[2].actual);
}

/// After six hours the forecast is made anew, from what the run has measured as well.
#[test]
fn what_the_run_has_measured_becomes_history() {
    let group = r#"min = 2
        max = 20
        scaling = [{ predictive = { target = 50, history = { days = 2, profile = { constant = "20/s" } } } }]"#;
    let results = play("duration = \"18h\"", r#"{ constant = "60/s" }"#, group);
    let hours = &results.run.forecasts[0].hours;
    assert_eq!(hours.len(), 19, "the last is planned for before it begins");
    // 20 requests a second of 10 ms take a fifth of a vCPU.
    assert!((hours[5].forecast.unwrap() - 20.0).abs() < 0.2, "{hours:?}");
    assert!(hours[5].actual.is_some_and(|came| (came - 60.0).abs() < 2.0), "{hours:?}");
    assert_eq!(hours[6].forecast, hours[0].forecast, "planned for before");
    let [first, second] = [7, 13].map(|hour| hours[hour].forecast.unwrap());
    assert!(first > 20.5 && second > first + 1.0, "{hours:?}");
}

#[test]
fn replications_have_other_pasts_and_the_same_seed_has_the_same() {
    let group = r#"min = 2
        max = 20
        scaling = [{ predictive = { target = 50, history = { noise = 0.2, profile = { constant = "40/s" } } } }]"#;
    let scenario =
        Scenario::parse(&text("duration = \"10min\"", r#"{ constant = "40/s" }"#, group, "")).unwrap();
    let first =
        |seed: u64| Experiment::new(&scenario).seed(seed).run().run.forecasts[0].hours[0].forecast.unwrap();
    assert_eq!(first(7), first(7));
    assert_ne!(first(7), first(8));
}

// ---- predictive scaling over time

const STEP: &str =
    r#"{ points = { at = [["0s", "40/s"], ["1h", "40/s"], ["1h", "240/s"], ["2h", "240/s"]] } }"#;

/// Past days with the same step at one o'clock.
fn step(options: &str) -> String {
    let history = r#"history = { days = 3, profile = { points = { at = [["0s", "40/s"], ["1h", "40/s"], ["1h", "240/s"], ["24h", "240/s"]], repeat = "24h" } } }"#;
    format!("min = 1\nmax = 8\nscaling = [{{ predictive = {{ target = 50, {history}, {options} }} }}]")
}

/// 240 requests a second of 10 ms take 2.4 vCPUs: five instances at 50 %, from five minutes before one o'clock on.
#[test]
fn capacity_is_asked_for_before_its_hour() {
    let sizes_with = |options: &str| sizes(&play("duration = \"2h\"", STEP, &step(options)));
    let scale = "mode = \"forecast-and-scale\"";
    assert_eq!(sizes_with(scale), [(55 * 60, 5)]);
    assert_eq!(sizes_with(&format!("{scale}, scheduling_buffer_time = \"20min\"")), [(40 * 60, 5)]);
    assert_eq!(sizes_with(&format!("{scale}, scheduling_buffer_time = \"0s\"")), [(60 * 60, 5)]);
    assert_eq!(sizes_with("mode = \"forecast-only\""), []);
}

/// The same five instances, each of which counts as two units: the past is in units as what the run measures is.
#[test]
fn the_past_of_a_group_with_weights_is_in_units() {
    let mixed = "mixed_instances = { machines = [{ machine = \"one\", weight = 2 }] }";
    let group = step("mode = \"forecast-and-scale\"")
        .replace("min = 1\nmax = 8", &format!("min = 2\nmax = 16\n{mixed}"));
    let text = text("duration = \"2h\"", STEP, &group, "").replace("machine = \"one\"\n", "");
    let results = Experiment::new(&Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"))).run();
    assert_eq!(sizes(&results), [(55 * 60, 10)]);
    let forecast = &results.run.forecasts[0];
    assert!(forecast.error.is_some_and(|error| error < 3.0), "{forecast:?}");
}

/// Where the run begins at half past, the hour is still that of the clock.
#[test]
fn hours_are_those_of_the_wall_clock() {
    let head = "duration = \"90min\"\nstart = \"2026-11-27T12:30:00\"";
    let past = r#"history = { days = 2, profile = { points = { at = [["0s", "40/s"], ["1h", "40/s"], ["1h", "240/s"], ["24h", "240/s"]], repeat = "24h" } } }"#;
    let group = format!(
        "min = 1\nmax = 8\nscaling = [{{ predictive = {{ mode = \"forecast-and-scale\", target = 50, {past} }} }}]"
    );
    let results = play(head, r#"{ constant = "40/s" }"#, &group);
    assert_eq!(sizes(&results), [(25 * 60, 5)]);
    assert_eq!(results.run.forecasts[0].hours[1].at, 1_800.0);
}

/// The same by the balancer's metric, whose load is in requests a minute.
#[test]
fn request_counts_are_forecast_as_well() {
    let group = step("metric = \"requests_per_target\", mode = \"forecast-and-scale\"")
        .replace("target = 50", "target = 3000");
    let results = play("duration = \"2h\"", STEP, &group);
    assert_eq!(sizes(&results), [(55 * 60, 5)]);
    let forecast = &results.run.forecasts[0];
    assert!((forecast.hours[1].forecast.unwrap() - 14_400.0).abs() < 1.0, "{forecast:?}");
    assert!(forecast.error.is_some_and(|error| error < 3.0), "{forecast:?}");
}

/// 240 requests a second at 20 % need 12, and one more for the connections that they open.
#[test]
fn a_forecast_above_the_maximum_is_honoured_or_not() {
    let with = |options: &str| {
        let group =
            step(&format!("mode = \"forecast-and-scale\"{options}")).replace("target = 50", "target = 20");
        play("duration = \"2h\"", STEP, &group)
    };
    let honoured = with("");
    assert_eq!(sizes(&honoured), [(60, 3), (55 * 60, 8)]);
    assert!(told(&honoured, "the group is at its maximum of 8"));
    let raised = with(", max_capacity_breach_behavior = \"increase-max-capacity\", max_capacity_buffer = 10");
    assert_eq!(sizes(&raised), [(60, 3), (55 * 60, 13)]);
    let largest = raised.run.series.iter().map(|row| row.groups[0].max).max();
    assert_eq!(largest, Some(15), "13 and a tenth of it");
}

/// Target tracking scales in after the peak, and stops at what is forecast for the hour.
#[test]
fn dynamic_scaling_stops_at_the_forecast() {
    let history = r#"history = { days = 3, profile = { constant = "120/s" } }"#;
    let group = |mode: &str| {
        format!(
            r#"min = 1
            desired = 8
            max = 8
            scaling = [
                {{ predictive = {{ target = 50, mode = "{mode}", {history} }} }},
                {{ target_tracking = {{ target = 50, low_datapoints = 3 }} }},
            ]"#
        )
    };
    let last = |mode: &str| {
        sizes(&play("duration = \"50min\"", r#"{ constant = "20/s" }"#, &group(mode))).last().copied()
    };
    assert_eq!(last("forecast-and-scale").map(|(_, size)| size), Some(3), "120/s at 50 %");
    assert_eq!(last("forecast-only").map(|(_, size)| size), Some(1));
}

// ---- managed instance groups

/// 240 requests a second until 20:00 min, then 60. The size follows up at once, and down ten minutes after the last minute of
/// the peak was seen.
#[test]
fn a_managed_instance_group_shrinks_ten_minutes_after_the_peak() {
    let rate = r#"{ points = { at = [["0s", "60/s"], ["10min", "60/s"], ["10min", "240/s"], ["20min", "240/s"], ["20min", "60/s"]] } }"#;
    let group =
        |options: &str| format!("min = 1\ndesired = 1\nmax = 20\nscaling = [{{ mig = {{ {options} }} }}]");
    let results = play("duration = \"60min\"", rate, &group(""));
    let sizes_of = sizes(&results);
    let (_, peak) = *sizes_of.iter().max_by_key(|(_, size)| size).unwrap();
    let grown = sizes_of.iter().find(|(_, size)| *size > 1).unwrap().0;
    assert!(grown <= 13 * 60, "at once: a datapoint of a minute, seen a minute later: {sizes_of:?}");
    assert!(peak >= 4, "{sizes_of:?}");
    let shrunk = sizes_of.windows(2).find(|pair| pair[1].1 < pair[0].1).unwrap()[1];
    // The last minute of the peak ends at 20 and is seen at 21.
    let to_the_end = sizes_of.iter().find(|(at, size)| *at > 20 * 60 && *size < 4).unwrap();
    assert_eq!(to_the_end.0, 31 * 60, "{sizes_of:?}");
    assert!(shrunk.0 >= 26 * 60, "the largest minute was seen at 16: {sizes_of:?}");
    assert!(told(&results, "within the stabilization period of 10min"), "{:#?}", results.run.activities);
    let slower = sizes(&play("duration = \"60min\"", rate, &group("initialization_period = \"25min\"")));
    assert!(slower.windows(2).all(|pair| pair[1].1 >= pair[0].1 || pair[1].0 >= 45 * 60), "{slower:?}");
    let one_way = sizes(&play("duration = \"60min\"", rate, &group("mode = \"only-scale-out\"")));
    assert!(one_way.windows(2).all(|pair| pair[1].1 > pair[0].1), "{one_way:?}");
    assert_eq!(sizes(&play("duration = \"60min\"", rate, &group("mode = \"off\""))), []);
}

#[test]
fn a_scale_in_control_spreads_the_way_down() {
    let group = r#"min = 1
        desired = 12
        max = 20
        scaling = [{ mig = { scale_in_control = { max_scaled_in_replicas = 3, time_window = "15min" } } }]"#;
    let sizes = sizes(&play("duration = \"70min\"", r#"{ constant = "60/s" }"#, group));
    assert_eq!(sizes.iter().map(|&(_, size)| size).collect::<Vec<_>>(), [9, 6, 3, 2], "{sizes:?}");
    assert!(sizes.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 15 * 60), "{sizes:?}");
    let share = group.replace("= 3,", "= \"50%\",");
    assert_eq!(self::sizes(&play("duration = \"20min\"", r#"{ constant = "60/s" }"#, &share)), [(660, 6)]);
}

/// The serving capacity of a balancer: 100 requests a second by instance, to be used by 80 %.
#[test]
fn a_managed_instance_group_scales_on_serving_capacity_and_schedules() {
    let group = r#"min = 1
        max = 20
        scaling = [{ mig = {
            load_balancing_utilization = { max_rate_per_instance = "50/s" },
            scaling_schedules = [{ schedule = "30 0 * * *", duration = "10min", min_required_replicas = 9 }],
        } }]"#;
    let sizes = sizes(&play("duration = \"60min\"", r#"{ constant = "75/s" }"#, group));
    assert_eq!(sizes[0], (120, 2), "75 by 40");
    assert_eq!(sizes[1], (30 * 60, 9));
    assert_eq!(sizes[2], (50 * 60 - 60, 2), "ten minutes after the schedule was last in force: {sizes:?}");
}

// ---- scale sets

const RULES: &str = r#"rules = [
    { direction = "out", threshold = 70, change = { count = 1 }, time_window = "5min", cooldown = "10min" },
    { direction = "in", threshold = 30, change = { count = 1 }, time_window = "5min" },
]"#;

/// 350 requests a second: one instance more every ten minutes, until they are less than 70 % busy.
#[test]
fn rules_of_a_scale_set_wait_for_their_cooldown() {
    let group = format!("min = 2\nmax = 10\nscaling = [{{ vmss = {{ {RULES} }} }}]")
        .replace('\n', " ")
        .replace("min = 2 max = 10 ", "min = 2\nmax = 10\n");
    let results = play("duration = \"80min\"", r#"{ constant = "350/s" }"#, &group);
    let sizes = sizes(&results);
    assert_eq!(sizes.iter().map(|&(_, size)| size).collect::<Vec<_>>(), [3, 4, 5, 6], "{sizes:?}");
    assert!(sizes.windows(2).all(|pair| pair[1].0 - pair[0].0 == 600), "{sizes:?}");
    assert!(told(&results, "the rule cools down until"), "{:#?}", results.run.activities);
}

/// What is not done is no scale action: once the alarms are heard again, the rule acts at once.
#[test]
fn no_cooldown_follows_what_was_not_done() {
    let group = format!(
        "min = 2\nmax = 10\nsuspend = [{{ processes = [\"alarm-notification\"], until = \"20min\" }}]\nscaling = [{{ vmss = {{ {} }} }}]",
        RULES.replace('\n', " ")
    );
    let results = play("duration = \"35min\"", r#"{ constant = "350/s" }"#, &group);
    assert!(told(&results, "Not done: alarm-notification is suspended."));
    let grown: Vec<(u64, u32)> = sizes(&results).into_iter().filter(|&(_, size)| size > 2).collect();
    assert_eq!(grown, [(20 * 60, 3), (30 * 60, 4)]);
}

/// 52 requests a second on two instances: 26 %, and 52 % on one. With a rule at 50 % that would come back.
#[test]
fn a_scale_set_does_not_flap() {
    let group = |out: u32| {
        let rules = RULES.replace("70", &out.to_string()).replace('\n', " ");
        format!("min = 1\ndesired = 2\nmax = 10\nscaling = [{{ vmss = {{ {rules} }} }}]")
    };
    let flapping = play("duration = \"30min\"", r#"{ constant = "52/s" }"#, &group(50));
    assert_eq!(sizes(&flapping), []);
    assert!(told(&flapping, "which would scale out again"));
    let calm = sizes(&play("duration = \"30min\"", r#"{ constant = "52/s" }"#, &group(70)));
    assert_eq!(calm.iter().map(|&(_, size)| size).collect::<Vec<_>>(), [1]);
}

#[test]
fn profiles_of_a_scale_set_move_its_limits() {
    let group = format!(
        r#"min = 1
        max = 10
        scaling = [{{ vmss = {{ {}, profiles = [
            {{ name = "morning", min = 3, recurrence = {{ start = "00:20", end = "00:40" }}, {} }},
            {{ name = "sale", min = 5, fixed_date = {{ from = "30min", to = "35min" }}, {} }},
        ] }} }}]"#,
        RULES.replace('\n', " "),
        RULES.replace('\n', " "),
        RULES.replace('\n', " ")
    );
    let sizes = sizes(&play("duration = \"60min\"", r#"{ constant = "20/s" }"#, &group));
    assert_eq!(sizes[..2], [(20 * 60, 3), (30 * 60, 5)], "{sizes:?}");
    assert_eq!(sizes[2], (35 * 60, 4), "in by rule, down to the limit of the morning: {sizes:?}");
    assert_eq!(sizes.last().map(|&(_, size)| size), Some(1), "{sizes:?}");
}

// ---- policies of one's own

/// As many instances as minutes have passed, and a note of how often it was asked.
#[derive(Debug)]
struct ByTheMinute;

impl Policy for ByTheMinute {
    fn metrics(&self) -> Vec<Metric> {
        vec![]
    }

    fn lookback(&self) -> usize {
        0
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        memory.numbers.resize(1, 0.0);
        memory.numbers[0] += 1.0;
        let wanted = (memory.numbers[0] as u32).clamp(seen.min, seen.max);
        if wanted > seen.desired {
            Decision::scale_out(wanted, format!("Minute {}.", memory.numbers[0]))
        } else {
            Decision::wait(Verdict::WithinTarget, "Nothing to do.")
        }
    }
}

#[test]
fn a_policy_of_ones_own_is_played() {
    let mut plan = plan("duration = \"8min\"", r#"{ constant = "20/s" }"#, "min = 2\nmax = 4");
    plan.groups[0].scaling.push(Scaling::Custom(Arc::new(ByTheMinute)));
    let results = Experiment::of(plan, "two to four by the minute").replications(2).run();
    assert_eq!(sizes(&results), [(180, 3), (240, 4)]);
    assert_eq!(results.resolved, "two to four by the minute");
    assert_eq!(results.replications.len(), 2);
    assert!(told(&results, "Minute 3."));
}

// ---- history from a trace

struct OneFile(&'static str);

impl scalesim::Files for OneFile {
    fn open(&self, _: &str) -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(self.0.as_bytes()))
    }
}

/// Counts of a quarter of an hour: 25 hours, the last of which has 36 000 requests.
#[test]
fn a_trace_of_the_past_is_cut_into_hours() {
    let rows: String = (0..100).map(|bin| format!("{}\n", if bin < 96 { 1_800 } else { 9_000 })).collect();
    let rows: &'static str = Box::leak(format!("count\n{rows}").into_boxed_str());
    let group = r#"min = 1
        max = 9
        scaling = [{ predictive = { target = 50, history = { trace = { file = "past.csv", per = "15min", value = "count" } } } }]"#;
    let text = text("duration = \"1h\"", r#"{ constant = "2/s" }"#, group, "");
    let scenario =
        Scenario::read("s.toml", &text, &[], &OneFile(rows)).unwrap_or_else(|errors| panic!("{errors}"));
    let Scaling::Predictive(policy) = &scenario.plan().groups[0].scaling[0] else { panic!() };
    assert_eq!(policy.history.hours.len(), 25);
    assert_eq!(policy.history.hours[24], Some(10.0));
    assert!(policy.history.hours[..24].iter().all(|rate| (rate.unwrap() - 2.0).abs() < 1e-9));
    // Faster, the same requests are 12.5 hours, which are too few.
    let faster = text.replace("per = ", "speed = 2, per = ");
    let said = Scenario::read("s.toml", &faster, &[], &OneFile(rows)).unwrap_err().to_string();
    assert!(said.contains("the trace has 12 whole hours"), "{said}");
    assert!(Scenario::read("s.toml", &text, &[], &NoFiles).is_err());
}
