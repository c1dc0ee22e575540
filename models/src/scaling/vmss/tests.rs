//! The rules of a scale set, one by one.

use super::*;

fn minute(n: u64) -> Time {
    Time::ZERO + Span::from_secs(60 * n)
}

fn rule(direction: Direction, threshold: f64, change: VmssChange) -> VmssRule {
    VmssRule {
        metric: Metric::Cpu,
        statistic: VmssStatistic::Average,
        time_grain: 1,
        time_aggregation: TimeAggregation::Average,
        time_window: 5,
        operator: if direction == Direction::Out { Comparison::Greater } else { Comparison::Less },
        threshold,
        direction,
        change,
        cooldown: Span::from_secs(300),
    }
}

fn profile(rules: Vec<VmssRule>) -> VmssProfile {
    VmssProfile { name: "default".into(), active: vec![], min: 1, max: 10, default: 1, rules }
}

fn out_and_in(out: f64, inward: f64) -> VmssProfile {
    let by_one = VmssChange::Count(1);
    profile(vec![rule(Direction::Out, out, by_one), rule(Direction::In, inward, by_one)])
}

fn judged(profile: &VmssProfile, size: u32, values: &[f64]) -> (u32, VmssReason) {
    let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    profile.evaluate(VmssMemory::default(), &VmssView { now: minute(9), values: &values, size })
}

/// The example of "Best practices for autoscale": out above 80 %, in below 60 %, two instances at 50 %: one would be at 100 %.
#[test]
fn a_scale_in_that_would_scale_out_again_is_skipped() {
    let rules = out_and_in(80.0, 60.0);
    assert_eq!(judged(&rules, 2, &[50.0; 2]), (2, VmssReason::Flapping { rule: 0, projected: 100.0 }));
    assert_eq!(judged(&rules, 3, &[50.0; 2]), (2, VmssReason::In { rule: 1 }), "75 % on two");
    let mut sums = out_and_in(500.0, 60.0);
    sums.rules[0].statistic = VmssStatistic::Sum;
    assert_eq!(judged(&sums, 2, &[100.0, 50.0]).0, 1, "a sum stays what it is");
}

#[test]
fn any_rule_scales_out_and_all_must_scale_in() {
    let by = |direction, threshold, count| rule(direction, threshold, VmssChange::Count(count));
    let rules = profile(vec![
        by(Direction::Out, 70.0, 1),
        by(Direction::Out, 50.0, 3),
        by(Direction::In, 20.0, 2),
        by(Direction::In, 10.0, 1),
    ]);
    assert_eq!(judged(&rules, 4, &[80.0, 0.0, 30.0, 30.0]), (5, VmssReason::Out { rule: 0 }));
    assert_eq!(judged(&rules, 4, &[80.0, 60.0, 30.0, 30.0]), (7, VmssReason::Out { rule: 1 }), "the most");
    assert_eq!(judged(&rules, 9, &[80.0, 60.0, 30.0, 30.0]).0, 10, "the maximum");
    assert_eq!(judged(&rules, 4, &[15.0, 15.0, 15.0, 15.0]), (4, VmssReason::NotAll));
    assert_eq!(judged(&rules, 4, &[5.0; 4]), (3, VmssReason::In { rule: 3 }), "the one that keeps most");
    assert_eq!(judged(&rules, 4, &[30.0; 4]), (4, VmssReason::Calm));
    assert_eq!(judged(&rules, 10, &[90.0; 4]), (10, VmssReason::AtLimit { rule: 0 }));
    assert_eq!(judged(&rules, 1, &[1.0; 4]), (1, VmssReason::AtLimit { rule: 3 }));
}

#[test]
fn rules_wait_for_their_cooldown_after_any_action() {
    let rules = out_and_in(80.0, 20.0);
    let mut memory = VmssMemory::default();
    let mut at = |n: u64, size: u32, value: f64| {
        let judged = rules.evaluate(memory, &VmssView { now: minute(n), values: &[Some(value); 2], size });
        if judged.0 != size {
            memory.last = Some(minute(n));
        }
        judged
    };
    assert_eq!(at(0, 4, 90.0).0, 5);
    assert_eq!(at(4, 5, 90.0), (5, VmssReason::Cooldown { rule: 0, until: minute(5) }));
    assert_eq!(at(4, 5, 10.0), (5, VmssReason::Cooldown { rule: 1, until: minute(5) }));
    assert_eq!(at(5, 5, 10.0).0, 4);
    assert_eq!(at(9, 4, 90.0).0, 4);
    assert_eq!(at(10, 4, 90.0).0, 5);
}

#[test]
fn changes_are_counts_percents_and_exact_sizes() {
    let applied = |direction, change, size| rule(direction, 0.0, change).applied(size);
    assert_eq!(applied(Direction::Out, VmssChange::Percent(50.0), 5), 7);
    assert_eq!(applied(Direction::Out, VmssChange::Percent(10.0), 5), 6, "at least one");
    assert_eq!(applied(Direction::In, VmssChange::Percent(30.0), 10), 7);
    assert_eq!(applied(Direction::In, VmssChange::Count(9), 5), 0);
    assert_eq!(applied(Direction::Out, VmssChange::Exact(8), 5), 8);
    assert_eq!(applied(Direction::Out, VmssChange::Exact(3), 5), 5, "out never removes");
    assert_eq!(applied(Direction::In, VmssChange::Exact(3), 5), 3);
}

#[test]
fn windows_are_put_together_as_stated() {
    let window = [
        GrainValue { average: 10.0, sum: 20.0, min: 5.0, max: 15.0 },
        GrainValue { average: 30.0, sum: 90.0, min: 20.0, max: 40.0 },
    ];
    let value = |statistic, time_aggregation| {
        VmssRule { statistic, time_aggregation, ..rule(Direction::Out, 0.0, VmssChange::Count(1)) }
            .value(&window)
    };
    use TimeAggregation::{Average, Count, Last, Maximum, Minimum, Total};
    assert_eq!(value(VmssStatistic::Average, Average), Some(20.0));
    assert_eq!(value(VmssStatistic::Sum, Average), Some(55.0));
    assert_eq!(value(VmssStatistic::Min, Minimum), Some(5.0));
    assert_eq!(value(VmssStatistic::Max, Maximum), Some(40.0));
    assert_eq!(value(VmssStatistic::Average, Total), Some(40.0));
    assert_eq!(value(VmssStatistic::Average, Last), Some(30.0));
    assert_eq!(value(VmssStatistic::Average, Count), Some(2.0));
    assert_eq!(rule(Direction::Out, 0.0, VmssChange::Count(1)).value(&[]), None);
}

#[test]
fn without_metrics_there_are_at_least_the_default() {
    let mut rules = out_and_in(80.0, 20.0);
    rules.default = 4;
    let blind = |size| {
        let seen = VmssView { now: minute(0), values: &[None, None], size };
        rules.evaluate(VmssMemory::default(), &seen)
    };
    assert_eq!(blind(2), (4, VmssReason::Default));
    assert_eq!(blind(6), (6, VmssReason::NoData));
}

#[test]
fn fixed_dates_go_before_recurring_profiles_and_those_before_the_default() {
    let named = |name: &str, active| VmssProfile { name: name.into(), active, ..out_and_in(80.0, 20.0) };
    let setting = Vmss {
        profiles: vec![
            named("sale", vec![(minute(60), minute(120))]),
            named("evenings", vec![(minute(30), minute(90)), (minute(1470), minute(1530))]),
        ],
        default: named("default", vec![]),
    };
    let in_force = |n: u64| setting.profile(minute(n)).name.as_str();
    assert_eq!(
        [0, 30, 60, 100, 120, 1470, 1530].map(in_force),
        ["default", "evenings", "sale", "sale", "default", "evenings", "default"]
    );
    let narrow = VmssProfile { min: 3, max: 4, ..setting.default.clone() };
    assert_eq!(judged(&narrow, 2, &[50.0; 2]), (3, VmssReason::Limits));
    assert_eq!(judged(&narrow, 6, &[50.0; 2]), (4, VmssReason::Limits));
}
