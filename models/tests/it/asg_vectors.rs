//! Where each kind of worked example of EC2 Auto Scaling and its neighbours is held against the code, and which is not.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// A worked example.
#[derive(Deserialize)]
pub struct Vector {
    /// Such as `asg-001`.
    pub id: String,
    kind: String,
    /// What is given.
    pub input: Value,
    /// What comes of it.
    pub expected: Value,
}

/// All worked examples of a kind, of which there is one at least.
pub fn vectors(kind: &str) -> Vec<Vector> {
    let those: Vec<Vector> = all().into_iter().filter(|vector| vector.kind == kind).collect();
    assert!(!those.is_empty(), "{kind}");
    those
}

fn all() -> Vec<Vector> {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    let file: File = serde_json::from_str(include_str!("../data/asg-vectors.json")).unwrap();
    file.vectors
}

/// Kinds, and the tests that read all of their vectors through the code that decides in a run.
const TESTED: &[(&str, &str)] = &[
    ("adjustment", "dynamic"),
    ("az_rebalance_limit", "lifecycle"),
    ("cloudwatch_alarm", "scaling_vectors"),
    ("cloudwatch_repeat", "dynamic"),
    ("cloudwatch_window", "dynamic"),
    ("cooldown_gate", "dynamic"),
    ("default_termination", "lifecycle"),
    ("effective_setting", "scaling_vectors, dynamic, releases"),
    ("group_metric", "dynamic"),
    ("health_replacement_batch", "lifecycle"),
    ("instance_refresh_batch", "releases"),
    ("instance_refresh_timeline", "releases"),
    ("keda_queue", "kubernetes"),
    ("lb_envoy_maglev", "a unit test of balancer/hashing.rs, where the table can be seen"),
    ("lb_fail_open", "weights_and_zones"),
    ("lb_target_group_health", "weights_and_zones"),
    ("lifecycle_hook_timeout", "lifecycle"),
    ("max_instance_lifetime", "lifecycle"),
    ("mixed_instances_split", "money"),
    ("multiple_policies", "dynamic, forecast"),
    ("percent_rounding", "dynamic"),
    ("predictive", "forecast"),
    ("price_per_unit", "money"),
    ("scale_in_protection", "lifecycle"),
    ("scheduled_cron", "scaling_vectors"),
    ("sqs_dlq_age", "jobs"),
    ("step_scaling", "dynamic"),
    ("target_tracking_alarms", "scaling_vectors"),
    ("target_tracking_gate", "scaling_vectors"),
    ("target_tracking_proportional", "scaling_vectors"),
    ("target_tracking_rounding", "scaling_vectors"),
    ("warm_pool_size", "lifecycle"),
    ("weighted", "money"),
];

#[test]
fn no_kind_of_vector_is_forgotten() {
    let vectors = all();
    let there: BTreeSet<&str> = vectors.iter().map(|vector| vector.kind.as_str()).collect();
    let tested: BTreeSet<&str> = TESTED.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(there, tested);
    assert_eq!(vectors.len(), 135);
}
