//! The Horizontal Pod Autoscaler against the tables of its own controller's tests, through the code that a simulation uses.

use std::collections::BTreeMap;

use scalesim::scaling::hpa::behavior::{self, Behavior, PolicyKind, Rate, Rules, ScaleEvent, SelectPolicy};
use scalesim::scaling::hpa::calculator::{self, Circumstances, MetricError, Proposal, Readiness, Tolerance};
use scalesim::scaling::hpa::legacy::{self, Growth};
use scalesim::scaling::hpa::pass::{self, Hpa, Memory, Metric, ScaleToZero, Seen, Source, Target, Values};
use scalesim::scaling::hpa::pods::{
    Condition, Container, Phase, Pod, PodMetrics, Requests, Resource, Sample, Samples, group, requests,
    samples,
};
use scalesim::scaling::hpa::{Limit, Recommendation};
use serde::Deserialize;
use serde_json::Value;
use sim_core::{Span, Time};

/// The vectors' clock is at zero, and their past reaches as far back as a thousand million seconds.
const NOW: Time = Time::from_nanos(2_000_000_000 * 1_000_000_000);

#[derive(Deserialize)]
struct Vector {
    id: String,
    kind: String,
    input: Value,
    expected: Value,
}

fn vectors(kind: &str) -> Vec<Vector> {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    let file: File = serde_json::from_str(include_str!("../data/hpa-vectors.json")).unwrap();
    file.vectors.into_iter().filter(|vector| vector.kind == kind).collect()
}

fn int(value: &Value) -> i32 {
    i32::try_from(value.as_i64().unwrap()).unwrap()
}

fn ints(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect()
}

fn span(value: &Value) -> Span {
    Span::from_secs_f64(value.as_f64().unwrap())
}

/// An instant of the past, in seconds before now.
fn at(value: &Value) -> Time {
    Time::from_nanos(NOW.as_nanos() - span_of(-value.as_f64().unwrap()).as_nanos())
}

fn span_of(seconds: f64) -> Span {
    Span::from_secs_f64(seconds)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

fn requests_of(request: &Value) -> Requests {
    Requests { cpu: request.as_i64(), memory: request.as_i64() }
}

fn pod(value: &Value) -> Pod {
    let container =
        |value: &Value| Container { name: text(&value["name"]), requests: requests_of(&value["request_m"]) };
    let restarts = |value: &&Value| value["restart_policy"] == "Always";
    let sidecars = items(&value["init_containers"]).iter().filter(restarts);
    let since =
        value["ready_transition_at_s"].as_f64().map_or(Time::ZERO, |_| at(&value["ready_transition_at_s"]));
    Pod {
        name: text(&value["name"]),
        phase: match value["phase"].as_str() {
            Some("Pending") => Phase::Pending,
            Some("Failed") => Phase::Failed,
            Some("Succeeded") => Phase::Succeeded,
            Some("Running") | None => Phase::Running,
            Some(other) => panic!("{other}"),
        },
        ready: value["ready"].as_bool().map(|ready| Condition { ready, since }),
        started: value["start_at_s"].as_f64().map(|_| at(&value["start_at_s"])),
        deleted: value["deleted"].as_bool().unwrap_or(false),
        containers: items(&value["containers"]).iter().chain(sidecars).map(container).collect(),
        pod_level: value["pod_level_request_m"].as_i64().map(|_| requests_of(&value["pod_level_request_m"])),
    }
}

fn pods(value: &Value) -> Vec<Pod> {
    items(value).iter().map(pod).collect()
}

fn pod_metrics(value: &Value) -> Vec<PodMetrics> {
    let usage = |value: &Value| (text(&value["name"]), value["usage_m"].as_i64());
    let of = |value: &Value| PodMetrics {
        pod: text(&value["pod"]),
        at: at(&value["at_s"]),
        window: span(&value["window_s"]),
        containers: items(&value["containers"]).iter().map(usage).collect(),
    };
    items(value).iter().map(of).collect()
}

fn pod_values(value: &Value) -> Samples {
    let of = |value: &Value| {
        let number = value["value_m"].as_i64().unwrap();
        let sample = Sample { value: number, at: at(&value["at_s"]), window: span(&value["window_s"]) };
        (text(&value["pod"]), sample)
    };
    items(value).iter().map(of).collect()
}

fn resource(value: &Value) -> Option<Resource> {
    match value.as_str()? {
        "cpu" => Some(Resource::Cpu),
        "memory" => Some(Resource::Memory),
        "" => None,
        other => panic!("{other}"),
    }
}

fn tolerance(value: &Value) -> Tolerance {
    Tolerance { down: value["down"].as_f64().unwrap(), up: value["up"].as_f64().unwrap() }
}

fn readiness(value: &Value) -> Readiness {
    let of = |key: &str| value[key].as_f64().map_or(Span::ZERO, span_of);
    Readiness {
        cpu_initialization_period: of("cpu_initialization_period_s"),
        initial_readiness_delay: of("initial_readiness_delay_s"),
    }
}

fn circumstances<'a>(input: &Value, pods: &'a [Pod]) -> Circumstances<'a> {
    let replicas = int(&input["current_replicas"]);
    Circumstances {
        pods,
        replicas,
        status_replicas: replicas,
        tolerance: tolerance(&input["tolerance"]),
        readiness: readiness(input),
        pod_level_requests: false,
        now: NOW,
    }
}

/// Holds a proposal against its vector; `usage` is the expectation's key.
fn check(vector: &Vector, proposal: Result<Proposal, MetricError>, usage: &str) {
    match (proposal, vector.expected["error_contains"].as_str()) {
        (Err(error), Some(part)) => {
            assert!(error.to_string().contains(part), "{}: {error}", vector.id);
        }
        (Ok(proposal), None) => {
            assert_eq!(proposal.replicas, int(&vector.expected["replicas"]), "{} {proposal:?}", vector.id);
            assert_eq!(proposal.usage, vector.expected[usage].as_i64().unwrap(), "{}", vector.id);
            if let Some(raw) = vector.expected["raw_average_m"].as_i64() {
                assert_eq!(proposal.raw, raw, "{}", vector.id);
            }
        }
        (proposal, error) => panic!("{}: {proposal:?} and not {error:?}", vector.id),
    }
}

#[test]
fn utilisation_proposes_what_the_controller_would() {
    let vectors = vectors("calc.resource_utilization");
    for vector in &vectors {
        let input = &vector.input;
        let pods = pods(&input["pods"]);
        let (kind, container) = (resource(&input["resource"]).unwrap(), input["container"].as_str());
        let proposal = samples(&pod_metrics(&input["pod_metrics"]), kind, container).and_then(|samples| {
            let target = int(&input["target_utilization_pct"]);
            calculator::utilization(&circumstances(input, &pods), kind, container, samples, target)
        });
        check(vector, proposal, "utilization_pct");
    }
    assert_eq!(vectors.len(), 34);
}

#[test]
fn a_pods_metric_proposes_what_the_controller_would() {
    let vectors = vectors("calc.pods_average");
    for vector in &vectors {
        let input = &vector.input;
        let pods = pods(&input["pods"]);
        let target = input["target_average_m"].as_i64().unwrap();
        let values = pod_values(&input["pod_values"]);
        check(vector, calculator::average(&circumstances(input, &pods), None, values, target), "usage_m");
    }
    assert_eq!(vectors.len(), 6);
}

#[test]
fn metrics_of_something_else_propose_what_the_controller_would() {
    let mut seen = 0;
    for kind in ["calc.object_value", "calc.external_value"] {
        for vector in vectors(kind) {
            let pods = pods(&vector.input["pods"]);
            let target = vector.input["target_value_m"].as_i64().unwrap();
            let of = circumstances(&vector.input, &pods);
            check(&vector, calculator::value(&of, &ints(&vector.input["values_m"]), target), "usage_m");
            seen += 1;
        }
    }
    for kind in ["calc.object_average", "calc.external_average"] {
        for vector in vectors(kind) {
            let target = vector.input["target_average_m"].as_i64().unwrap();
            let of = circumstances(&vector.input, &[]);
            let proposal = calculator::value_by_pod(&of, &ints(&vector.input["values_m"]), target);
            check(&vector, Ok(proposal), "usage_m");
            seen += 1;
        }
    }
    for vector in vectors("calc.per_pod_usage") {
        let usage = vector.input["usage_m"].as_i64().unwrap();
        let by_pod = calculator::per_pod_usage(usage, int(&vector.input["status_replicas"]));
        assert_eq!(by_pod, vector.expected["usage_m"].as_i64().unwrap(), "{}", vector.id);
        seen += 1;
    }
    assert_eq!(seen, 19);
}

#[test]
fn pods_are_sorted_as_the_controller_sorts_them() {
    let vectors = vectors("group_pods");
    for vector in &vectors {
        let input = &vector.input;
        let (pods, samples) = (pods(&input["pods"]), pod_values(&input["metrics"]));
        let groups = group(&pods, &samples, resource(&input["resource"]), readiness(input), NOW);
        let names = |key: &str| items(&vector.expected[key]).iter().map(text).collect();
        assert_eq!(u64::from(groups.ready), vector.expected["ready_pod_count"], "{}", vector.id);
        assert_eq!(groups.unready, names("unready"), "{}", vector.id);
        assert_eq!(groups.missing, names("missing"), "{}", vector.id);
        assert_eq!(groups.ignored, names("ignored"), "{}", vector.id);
    }
    assert_eq!(vectors.len(), 10);
}

#[test]
fn requests_are_summed_as_the_controller_sums_them() {
    let vectors = vectors("calculate_requests");
    for vector in &vectors {
        let input = &vector.input;
        let pod_level = input["feature_pod_level_resources"].as_bool().unwrap();
        let found = requests(&pods(&input["pods"]), Resource::Cpu, input["container"].as_str(), pod_level);
        match (found, vector.expected["error_contains"].as_str()) {
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{}: {error}", vector.id),
            (Ok(found), None) => {
                let expected: BTreeMap<String, i64> =
                    serde_json::from_value(vector.expected["requests_m"].clone()).unwrap();
                assert_eq!(found, expected, "{}", vector.id);
            }
            (found, error) => panic!("{}: {found:?} and not {error:?}", vector.id),
        }
    }
    assert_eq!(vectors.len(), 6);
}

/// Rules as written, over the defaults of their direction.
fn rules(value: &Value, defaults: Rules) -> Rules {
    let rate = |value: &Value| Rate {
        kind: if value["type"] == "Pods" { PolicyKind::Pods } else { PolicyKind::Percent },
        value: int(&value["value"]),
        period: span(&value["period_s"]),
    };
    let select = |value: &Value| match value.as_str()? {
        "Max" => Some(SelectPolicy::Max),
        "Min" => Some(SelectPolicy::Min),
        "Disabled" => Some(SelectPolicy::Disabled),
        other => panic!("{other}"),
    };
    Rules {
        stabilization_window: value["stabilization_window_s"]
            .as_f64()
            .map_or(defaults.stabilization_window, span_of),
        select_policy: select(&value["select_policy"]).unwrap_or(defaults.select_policy),
        policies: match value["policies"].as_array() {
            Some(given) => given.iter().map(rate).collect(),
            None => defaults.policies,
        },
        tolerance: value["tolerance"].as_f64(),
    }
}

fn rules_up(value: &Value) -> Rules {
    rules(value, Rules::scale_up())
}

fn rules_down(value: &Value) -> Rules {
    rules(value, Rules::scale_down(Span::from_secs(300)))
}

fn aged(value: &Value) -> Time {
    Time::from_nanos(NOW.as_nanos() - span(&value["age_s"]).as_nanos())
}

fn recommendations(value: &Value) -> Vec<Recommendation> {
    let of = |value: &Value| Recommendation { replicas: int(&value["replicas"]), at: aged(value) };
    items(value).iter().map(of).collect()
}

fn events(value: &Value) -> Vec<ScaleEvent> {
    let of = |value: &Value| ScaleEvent { change: int(&value["change"]), at: aged(value), outdated: false };
    items(value).iter().map(of).collect()
}

#[test]
fn passes_come_to_what_the_controller_would() {
    let vectors = vectors("reconcile");
    for vector in &vectors {
        reconcile(vector);
    }
    assert_eq!(vectors.len(), 60);
}

fn reconcile(vector: &Vector) {
    let Vector { id, input, expected, .. } = vector;
    let controller = &input["controller"];
    let hpa = Hpa {
        metrics: items(&input["metrics"]).iter().map(metric).collect(),
        behavior: input["behavior"].as_object().map(|behavior| Behavior {
            scale_up: rules_up(&behavior["scale_up"]),
            scale_down: rules_down(&behavior["scale_down"]),
        }),
        tolerance: tolerance(&controller["tolerance"]),
        configurable_tolerance: input["feature_configurable_tolerance"].as_bool().unwrap_or(false),
        readiness: readiness(controller),
        downscale_stabilization: span(&controller["downscale_stabilization_s"]),
        growth: Growth {
            factor: controller["legacy_scale_up_limit_factor"].as_f64().unwrap(),
            minimum: controller["legacy_scale_up_limit_minimum"].as_f64().unwrap(),
        },
        scale_to_zero: match input["scale_to_zero_semantics"].as_str().unwrap() {
            "legacy" => ScaleToZero::Legacy,
            _ => ScaleToZero::Condition { feature: input["feature_scale_to_zero"].as_bool().unwrap() },
        },
        pod_level_requests: false,
    };
    let mut memory = Memory {
        recommendations: input["recommendations"]
            .as_array()
            .map(|_| recommendations(&input["recommendations"])),
        scaled_to_zero: input["scaled_to_zero_condition"].as_bool().unwrap_or(false),
        ..Memory::default()
    };
    let seen = Seen {
        now: NOW,
        min: int(&input["min_replicas"]),
        max: int(&input["max_replicas"]),
        replicas: int(&input["spec_replicas"]),
        status_replicas: int(&input["status_replicas"]),
        pods: pods(&input["pods"]),
        values: items(&input["metrics"]).iter().map(|metric| values(metric, input)).collect(),
    };
    let pass = pass::pass(&hpa, &mut memory, &seen);
    assert_eq!(pass.replicas, int(&expected["replicas"]), "{id} {pass:#?}");
    assert_eq!(pass.rescaled, expected["rescale"].as_bool().unwrap(), "{id} {pass:#?}");
    assert_eq!(pass.error.is_some(), expected["error"].as_bool().unwrap(), "{id} {pass:#?}");
    let said = |condition: Option<(bool, &str)>| {
        let words = |held| if held { "True" } else { "False" };
        condition.map(|(held, reason)| serde_json::json!([words(held), reason]))
    };
    let scaled =
        (memory.scaled_to_zero, if memory.scaled_to_zero { "ScaledToZero" } else { "NotScaledToZero" });
    for (name, condition) in expected["conditions"].as_object().unwrap() {
        let found = match name.as_str() {
            "AbleToScale" => said(Some((true, pass.able_to_scale))),
            "ScalingActive" => said(pass.scaling_active),
            "ScalingLimited" => said(pass.scaling_limited),
            "ScaledToZero" => said(Some(scaled)),
            other => panic!("{other}"),
        };
        assert_eq!(found.as_ref(), Some(condition), "{id} {name} {pass:#?}");
    }
}

fn metric(value: &Value) -> Metric {
    let kind = text(&value["type"]);
    let of = |container| Source::Resource { resource: resource(&value["resource"]).unwrap(), container };
    let source = match kind.as_str() {
        "resource_utilization" => of(None),
        "container_resource_utilization" => of(Some(text(&value["container"]))),
        "pods_average" => Source::Pods,
        "object_value" | "object_average" => Source::Object,
        "external_value" | "external_average" => Source::External,
        "invalid" => Source::Unknown,
        other => panic!("{other}"),
    };
    let target = if kind.ends_with("utilization") {
        Target::Utilization(int(&value["target_utilization_pct"]))
    } else if kind.ends_with("_average") {
        Target::AverageValue(value["target_average_m"].as_i64().unwrap())
    } else {
        Target::Value(value["target_value_m"].as_i64().unwrap_or(1))
    };
    Metric { source, target, name: kind }
}

fn values(metric: &Value, input: &Value) -> Values {
    if metric["unavailable"].as_bool().unwrap_or(false) {
        return Values::Unavailable;
    }
    match metric["type"].as_str().unwrap() {
        "resource_utilization" | "container_resource_utilization" => {
            Values::Resource(pod_metrics(&input["pod_metrics"]))
        }
        "pods_average" => Values::Pods(pod_values(&input["pod_values"])),
        "invalid" => Values::Unavailable,
        _ => Values::Global(ints(&metric["values_m"])),
    }
}

fn limits(input: &Value) -> (i32, i32) {
    (int(&input["min_replicas"]), int(&input["max_replicas"]))
}

fn check_limit(vector: &Vector, (replicas, limit): (i32, Limit)) {
    assert_eq!(replicas, int(&vector.expected["replicas"]), "{}", vector.id);
    assert_eq!(limit.reason(), vector.expected["condition"], "{}", vector.id);
}

#[test]
fn without_behavior_the_old_limits_hold() {
    let vectors = vectors("limits.legacy");
    for vector in &vectors {
        let input = &vector.input;
        let growth = Growth {
            factor: input["legacy_scale_up_limit_factor"].as_f64().unwrap(),
            minimum: input["legacy_scale_up_limit_minimum"].as_f64().unwrap(),
        };
        let (current, wanted) = (int(&input["current_replicas"]), int(&input["desired_replicas"]));
        check_limit(vector, legacy::limit(current, wanted, limits(input), growth));
    }
    assert_eq!(vectors.len(), 4);
}

#[test]
fn without_behavior_the_highest_recommendation_holds() {
    let vectors = vectors("stabilize.legacy");
    for vector in &vectors {
        let input = &vector.input;
        let mut log = recommendations(&input["recommendations"]);
        let replicas =
            legacy::stabilize(&mut log, int(&input["desired_replicas"]), span(&input["window_s"]), NOW);
        assert_eq!(replicas, int(&vector.expected["replicas"]), "{}", vector.id);
        assert_eq!(log.len() as u64, vector.expected["log_length"], "{}", vector.id);
    }
    assert_eq!(vectors.len(), 3);
}

#[test]
fn rates_hold_in_both_directions() {
    let vectors = vectors("behavior.rate");
    for vector in &vectors {
        let input = &vector.input;
        let behavior =
            Behavior { scale_up: rules_up(&input["scale_up"]), scale_down: rules_down(&input["scale_down"]) };
        let change = (int(&input["current_replicas"]), int(&input["desired_replicas"]));
        let (ups, downs) = (events(&input["scale_up_events"]), events(&input["scale_down_events"]));
        check_limit(vector, behavior::limit(change, limits(input), &behavior, (&ups, &downs), NOW));
    }
    assert_eq!(vectors.len(), 28);
    let limit = &self::vectors("behavior.limit")[0];
    let (current, given) = (int(&limit.input["current_replicas"]), &limit.input["rules"]);
    let found = match limit.input["direction"].as_str().unwrap() {
        "down" => behavior::scale_down_limit(current, &[], &[], &rules_down(given), NOW),
        _ => behavior::scale_up_limit(current, &[], &[], &rules_up(given), NOW),
    };
    assert_eq!(found, int(&limit.expected["limit"]), "{}", limit.id);
}

#[test]
fn changes_are_written_down_for_as_long_as_a_rate_looks_at_them() {
    let vectors = vectors("behavior.store_event");
    for vector in &vectors {
        let mut log = events(&vector.input["events"]);
        let before = behavior::changed(&log, Span::from_secs(60), NOW);
        assert_eq!(before, int(&vector.expected["change_in_last_60s_before"]), "{}", vector.id);
        // Without `behavior` the pass writes nothing down.
        if vector.input["rules"].is_object() {
            let change = int(&vector.input["replica_change"]);
            behavior::store(&mut log, change, &rules_up(&vector.input["rules"]), NOW);
        }
        let after: Vec<Value> = log
            .iter()
            .map(|event| serde_json::json!({ "change": event.change, "outdated": event.outdated }))
            .collect();
        assert_eq!(Value::from(after), vector.expected["events_after"], "{}", vector.id);
    }
    assert_eq!(vectors.len(), 5);
}

#[test]
fn windows_hold_back_both_ways() {
    let vectors = vectors("behavior.stabilize");
    for vector in &vectors {
        let input = &vector.input;
        let mut log = recommendations(&input["recommendations"]);
        let windows = (span(&input["scale_up_window_s"]), span(&input["scale_down_window_s"]));
        let (current, wanted) = (int(&input["current_replicas"]), int(&input["desired_replicas"]));
        let replicas = behavior::stabilize(&mut log, current, wanted, windows, NOW);
        assert_eq!(replicas, int(&vector.expected["replicas"]), "{}", vector.id);
        if let Some(after) = vector.expected["log_after"].as_array() {
            let found: Vec<Value> = log.iter().map(|entry| Value::from(entry.replicas)).collect();
            assert_eq!(&found, after, "{}", vector.id);
        }
    }
    assert_eq!(vectors.len(), 8);
}

/// Every vector of the file is looked at by one of the tests above.
#[test]
fn no_vector_is_left_out() {
    let looked_at = [
        ("calc.resource_utilization", 34),
        ("calc.pods_average", 6),
        ("calc.object_value", 4),
        ("calc.external_value", 4),
        ("calc.object_average", 4),
        ("calc.external_average", 5),
        ("calc.per_pod_usage", 2),
        ("group_pods", 10),
        ("calculate_requests", 6),
        ("reconcile", 60),
        ("limits.legacy", 4),
        ("stabilize.legacy", 3),
        ("behavior.limit", 1),
        ("behavior.rate", 28),
        ("behavior.store_event", 5),
        ("behavior.stabilize", 8),
    ];
    let found: usize = looked_at.iter().map(|(kind, _)| vectors(kind).len()).sum();
    assert_eq!(found, looked_at.iter().map(|(_, count)| count).sum::<usize>());
    assert_eq!(found, 184);
}

/// Numbers that are only so in doubles, and so in the controller.
#[test]
fn percent_rates_have_the_rounding_of_doubles() {
    let of = |kind, value| Rules {
        policies: vec![Rate { kind, value, period: Span::from_secs(60) }],
        ..Rules::scale_up()
    };
    let percent = |value| of(PolicyKind::Percent, value);
    assert_eq!(behavior::scale_up_limit(100, &[], &[], &percent(10), NOW), 111);
    assert_eq!(behavior::scale_down_limit(100, &[], &[], &percent(90), NOW), 9);
    assert_eq!(behavior::scale_up_limit(100, &[], &[], &percent(50), NOW), 150);
    assert_eq!(behavior::scale_down_limit(100, &[], &[], &of(PolicyKind::Pods, 90), NOW), 10);
}
