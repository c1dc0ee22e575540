//! What holds for any policies and any traffic: sizes within their limits, requests accounted for, and no decision from data that
//! nobody could have seen yet.

use proptest::prelude::*;
use scalesim::results::{ActivityKind, Results};

use super::play;

const LENGTH: u64 = 24;

fn alarm() -> impl Strategy<Value = String> {
    let metric = prop_oneof![
        Just(("cpu", 60.0, 60)),
        Just(("requests_inside", 3.0, 10)),
        Just(("requests_per_target", 3_000.0, 60)),
        Just(("target_response_time", 0.03, 60)),
        Just(("network_in", 1e6, 60)),
    ];
    let statistic = prop_oneof![Just("average"), Just("maximum"), Just("p90"), Just("sum")];
    let missing = prop_oneof![Just("missing"), Just("ignore"), Just("breaching"), Just("not-breaching")];
    let comparison = prop_oneof![Just(">="), Just("<")];
    (metric, statistic, missing, comparison, 1u32..4, 1u32..4, 1u64..4).prop_map(
        |((metric, threshold, shortest), statistic, missing, comparison, n, m, periods)| {
            let period = if periods == 1 { shortest } else { 60 * periods };
            format!(
                "alarm = {{ metric = \"{metric}\", statistic = \"{statistic}\", missing = \"{missing}\", comparison = \"{comparison}\", threshold = {threshold}, period = \"{period}s\", evaluation_periods = {n}, datapoints_to_alarm = {} }}",
                m.min(n)
            )
        },
    )
}

fn policy() -> impl Strategy<Value = String> {
    let kind =
        prop_oneof![Just("change-in-capacity"), Just("exact-capacity"), Just("percent-change-in-capacity")];
    let step = (alarm(), kind.clone(), -60i32..60, -60i32..60).prop_map(|(alarm, kind, a, b)| {
        let (a, b) = if kind == "exact-capacity" { (a.abs() / 4, b.abs() / 4) } else { (a, b) };
        format!(
            "step = {{ {alarm}, adjustment_type = \"{kind}\", steps = [{{ upper = -1, adjustment = {a} }}, {{ lower = -1, upper = 10, adjustment = {b} }}, {{ lower = 10, adjustment = {a} }}], estimated_instance_warmup = \"90s\" }}"
        )
    });
    let simple = (alarm(), kind, -60i32..60, 0u32..200).prop_map(|(alarm, kind, by, cooldown)| {
        let by = if kind == "exact-capacity" { by.abs() / 4 } else { by };
        format!("simple = {{ {alarm}, adjustment_type = \"{kind}\", adjustment = {by}, cooldown = \"{cooldown}s\" }}")
    });
    let tracking = (0usize..3, 1u32..4).prop_map(|(metric, high)| {
        let (metric, target) = [("cpu", 50.0), ("requests_inside", 2.0), ("network_out", 2e6)][metric];
        format!("target_tracking = {{ metric = \"{metric}\", target = {target}, high_datapoints = {high}, low_datapoints = 3 }}")
    });
    prop_oneof![step, simple, tracking]
}

fn group() -> impl Strategy<Value = String> {
    (0u32..4, 0u32..4, 0u32..6, proptest::collection::vec(policy(), 1..4), any::<bool>()).prop_map(
        |(min, more, most, policies, basic)| {
            let desired = min + more;
            let own: String = policies.iter().map(|policy| format!("[[group.g.scaling]]\n{policy}\n")).collect();
            // With basic monitoring EC2's alarms would need longer periods.
            let basic = basic && !own.contains("cpu\"") && !own.contains("network");
            let monitoring = if basic { "basic" } else { "detailed" };
            format!(
                "min = {min}\ndesired = {desired}\nmax = {}\nmonitoring = \"{monitoring}\"\nmetric_delay = \"90s\"\n{own}",
                (desired + most).max(1)
            )
        },
    )
}

/// A rate that changes every two minutes.
fn profile(rates: &[u32]) -> String {
    let points = rates.iter().enumerate().flat_map(|(index, rate)| {
        let (from, to) = (120 * index, 120 * (index + 1));
        [format!("[\"{from}s\", \"{rate}/s\"]"), format!("[\"{to}s\", \"{rate}/s\"]")]
    });
    format!("{{ points = {{ at = [{}] }} }}", points.collect::<Vec<_>>().join(", "))
}

fn limits(group: &str) -> (u32, u32) {
    let value = |key: &str| {
        let line = group.lines().find(|line| line.starts_with(key)).unwrap();
        line.split(" = ").nth(1).unwrap().parse::<u32>().unwrap()
    };
    (value("min = "), value("max = "))
}

/// What the control plane said and did until an instant.
fn decided(results: &Results, until: f64) -> Vec<(String, u32)> {
    let log = results.run.activities.iter().filter(|activity| {
        let kinds = [ActivityKind::ScaleOut, ActivityKind::ScaleIn, ActivityKind::Alarm];
        activity.at <= until && kinds.contains(&activity.kind)
    });
    log.map(|activity| (format!("{} {}", activity.at, activity.description), activity.desired)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_size_is_never_outside_its_limits(
        group in group(),
        rates in proptest::collection::vec(1u32..400, LENGTH as usize / 2),
    ) {
        let results = play(&format!("{LENGTH}min"), &profile(&rates), &group, "");
        let (min, max) = limits(&group);
        for activity in &results.run.activities {
            prop_assert!((min..=max).contains(&activity.desired), "{activity:?}");
        }
        for row in &results.run.series {
            prop_assert!((min..=max).contains(&row.groups[0].desired), "{row:?}");
        }
        prop_assert!(results.run.requests.conserved());
    }

    /// Two runs whose traffic is the same until an instant decide the same until the first datapoint of what came after it can
    /// be seen.
    #[test]
    fn nothing_is_decided_from_what_cannot_be_seen_yet(
        group in group(),
        rates in proptest::collection::vec(1u32..400, LENGTH as usize / 2),
        others in proptest::collection::vec(1u32..400, LENGTH as usize / 2),
        parts in 2usize..10,
    ) {
        // What is taken out is gone at once, so that only metrics tell of traffic.
        let rest = "deregistration_delay = \"0s\"";
        let run = |rates: &[u32]| play(&format!("{LENGTH}min"), &profile(rates), &group, rest);
        let mut other = rates.clone();
        other[parts..].copy_from_slice(&others[parts..]);
        let until = 120.0 * parts as f64 + 90.0;
        let (one, two) = (run(&rates), run(&other));
        prop_assert_eq!(decided(&one, until), decided(&two, until));
    }
}

/// The same comparison where the datapoint can be seen: a minute's end and its delay later decisions do differ.
#[test]
fn what_can_be_seen_is_decided_on() {
    let policy = "step = { alarm = { metric = \"cpu\", comparison = \">=\", threshold = 60 }, adjustment_type = \"change-in-capacity\", steps = [{ lower = 0, adjustment = 1 }] }";
    let group = format!("min = 2\nmax = 9\nmetric_delay = \"90s\"\n[[group.g.scaling]]\n{policy}");
    let run = |then: u32| play("16min", &profile(&[100, 100, 100, 100, then, then, then, then]), &group, "");
    let (calm, rising) = (run(100), run(180));
    // The rise begins at 480 s; its first datapoint ends at 540 s, can be seen at 630 s, and is evaluated at 660 s.
    assert_eq!(decided(&calm, 659.0), decided(&rising, 659.0));
    assert_ne!(decided(&calm, 660.0), decided(&rising, 660.0));
}
