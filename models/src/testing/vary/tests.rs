use std::cell::Cell;

use proptest::test_runner::{Config, TestError, TestRunner};
use sim_core::Span;

use super::*;
use crate::NoFiles;

const TEXT: &str = r#"
[scenario]
duration = "1min"
[traffic.web]
to = "front"
profile = { constant = "20/s" }
timeout = "2s"
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = "1ms" }]
[group.web]
service = "api"
machine = "c7g.large"
min = 3
max = 10
[balancer.front]
targets = "web"
algorithm = "random"
"#;

fn draft() -> Draft<'static> {
    Draft::new("shop.toml", TEXT, &NoFiles)
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(Default::default()))
}

/// How a failing case of this property is shown, after it was shrunk.
fn shrunk(variations: &Variations<'_>, holds: impl Fn(&Scenario) -> bool) -> String {
    let result = runner(200).run(variations, |variation| {
        assert!(holds(&variation));
        Ok(())
    });
    match result {
        Err(TestError::Fail(_, variation)) => format!("{variation:?}"),
        other => panic!("{other:?}"),
    }
}

fn all() -> Variations<'static> {
    Variations::of(&draft())
        .between("group.web.min", 1..=10)
        .any_of("balancer.front.algorithm", ["round-robin", "random", "least-outstanding-requests"])
        .span("traffic.web.timeout", "1s"..="9s")
        .rate("traffic.web.profile.constant", 10.0..=90.0)
}

#[test]
fn a_failing_case_is_shown_as_the_command_that_plays_it_with_few_changes() {
    let enough = |scenario: &Scenario| scenario.plan().groups[0].min < 7;
    assert_eq!(shrunk(&all(), enough), "scalesim run shop.toml --set group.web.min=7");
}

#[test]
fn numbers_shrink_towards_the_scenarios_own_value_from_both_sides() {
    let patient = |scenario: &Scenario| scenario.plan().traffic[0].timeout < Some("4.321s".parse().unwrap());
    assert_eq!(shrunk(&all(), patient), "scalesim run shop.toml --set traffic.web.timeout=4.321s");
    let two = |scenario: &Scenario| scenario.plan().groups[0].min != 1 && scenario.plan().groups[0].min != 2;
    assert_eq!(shrunk(&all(), two), "scalesim run shop.toml --set group.web.min=2");
    let calm = |scenario: &Scenario| {
        let minute = (sim_core::Time::ZERO, sim_core::Time::ZERO + Span::from_secs(60));
        scenario.plan().traffic[0].expected_requests(minute.0, minute.1) <= 60.0 * 45.675
    };
    assert_eq!(shrunk(&all(), calm), "scalesim run shop.toml --set traffic.web.profile.constant=45.68/s");
}

#[test]
fn what_is_not_in_the_range_is_always_set_and_shrinks_to_the_lowest() {
    let variations = Variations::of(&draft()).between("group.web.min", 5..=10);
    assert_eq!(shrunk(&variations, |_| false), "scalesim run shop.toml --set group.web.min=5");
    let listed = Variations::of(&draft())
        .any_of("balancer.front.algorithm", ["round-robin", "least-outstanding-requests"]);
    let set = shrunk(&listed, |_| false);
    assert_eq!(set, "scalesim run shop.toml --set balancer.front.algorithm=round-robin");
}

#[test]
fn two_values_that_fail_only_together_are_both_kept() {
    let holds = |scenario: &Scenario| {
        let patient = scenario.plan().traffic[0].timeout >= Some(Span::from_secs(5));
        !(patient && scenario.plan().groups[0].min >= 8)
    };
    let shown = shrunk(&all(), holds);
    assert_eq!(shown, "scalesim run shop.toml --set group.web.min=8 --set traffic.web.timeout=5s");
}

#[test]
fn every_case_is_a_scenario_and_all_values_come_up() {
    let variations = Variations::of(&draft()).between("group.web.min", 1..=6).between("group.web.max", 1..=6);
    let (cases, least, most) = (Cell::new(0), Cell::new(u32::MAX), Cell::new(0));
    let seen = runner(200).run(&variations, |scenario| {
        let group = &scenario.plan().groups[0];
        assert!(group.min <= group.max && group.max <= 6);
        cases.set(cases.get() + 1);
        least.set(least.get().min(group.max - group.min));
        most.set(most.get().max(group.max - group.min));
        Ok(())
    });
    assert!(seen.is_ok(), "{seen:?}");
    assert_eq!((cases.get(), least.get(), most.get()), (200, 0, 5));
}

#[test]
fn a_path_that_no_scenario_has_ends_the_test_and_says_so() {
    let variations = Variations::of(&draft()).between("group.web.mim", 1..=8);
    match runner(10).run(&variations, |_| Ok(())) {
        Err(TestError::Abort(why)) => {
            assert!(why.message().contains("unknown key `group.web.mim`"), "{why}");
            assert!(why.message().contains("did you mean `min`?"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}
