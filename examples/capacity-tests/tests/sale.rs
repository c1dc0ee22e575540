//! The sale holds its promises at its price, and what would break them is known.

use capacity_tests::sale;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use scalesim::testing::vary::Variations;
use scalesim::{Diagnostics, Draft, Experiment};

/// A fleet of so many instances that nothing scales.
fn fixed<'a>(draft: &Draft<'a>, size: u32) -> Draft<'a> {
    draft.with("group.web.min", size.to_string()).with("group.web.max", size.to_string())
}

#[test]
fn the_sale_holds_its_sla() -> Result<(), Diagnostics> {
    let results = Experiment::new(&sale().read()?).replications(5).run();
    results.assert_all_met();
    results.response_time("POST /cart").p95().assert_below("150ms");
    results.availability().assert_at_least("99.95%");
    Ok(())
}

#[test]
fn the_sale_costs_at_most_what_was_budgeted() -> Result<(), Diagnostics> {
    let results = Experiment::new(&sale().read()?).replications(5).run();
    results.cost().assert_at_most(0.22);
    results.figure("web: instance hours").assert_at_most("2h");
    Ok(())
}

/// What is known to be too small stays known: this test fails, and says why, as soon as one instance would do.
#[test]
fn one_instance_is_too_small() -> Result<(), Diagnostics> {
    let results = fixed(&sale(), 1).read()?.run();
    results.sla("home page is fast").assert_violated();
    results.sla("home page is fast").assert_violation_at_most("20min");
    Ok(())
}

/// What a failing assertion looks like.
#[test]
#[should_panic(expected = "the SLA `home page is fast` is violated: p99 <= 250ms")]
fn a_failure_says_which_promise_was_broken() {
    let scenario = fixed(&sale(), 1).read().expect("it is a scenario");
    scenario.run().sla("home page is fast").assert_met();
}

/// `README.md` shows it in full.
#[test]
fn the_readme_shows_what_a_failure_says() -> Result<(), Diagnostics> {
    let failure = fixed(&sale(), 1).read()?.run().sla("home page is fast").failure();
    let failure = failure.expect("one instance is too small");
    assert!(include_str!("../README.md").contains(&failure), "{failure}");
    Ok(())
}

/// A property that does not hold: of all that was varied, the case that is shown keeps what breaks it. From one instance
/// the policy cannot grow fast enough, whatever else is set.
#[test]
fn a_failing_case_is_shown_by_what_breaks_it() {
    let variations = Variations::of(&sale())
        .between("group.web.min", 1..=6)
        .any_of("balancer.front.algorithm", ["round-robin", "least-outstanding-requests"])
        .span("traffic.web.timeout", "1s"..="5s");
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&variations, |scenario| {
        scenario.run().sla("home page is fast").assert_met();
        Ok(())
    });
    match result {
        Err(TestError::Fail(_, scenario)) => {
            assert_eq!(format!("{scenario:?}"), "scalesim run sale.toml --set group.web.min=1");
        }
        other => panic!("{other:?}"),
    }
}

/// The same seed gives the same requests to any fleet, so that two can be compared one to one. What is left are
/// the coincidences of who meets whom, for which there is some room.
#[test]
fn one_instance_more_makes_nothing_worse() -> Result<(), Diagnostics> {
    let play = |size| Ok::<_, Diagnostics>(fixed(&sale(), size).read()?.run().run);
    let fleets = (1..=5).map(play).collect::<Result<Vec<_>, _>>()?;
    for pair in fleets.windows(2) {
        let (smaller, larger) = (&pair[0], &pair[1]);
        assert_eq!(smaller.requests.offered, larger.requests.offered, "the same requests");
        assert!(larger.requests.availability() >= smaller.requests.availability() - 1e-4);
        assert!(larger.response_time.p99 <= 1.05 * smaller.response_time.p99);
    }
    Ok(())
}

/// A golden result: any change of behaviour shows here, wanted or not. `UPDATE_GOLDEN=1` writes what is seen now.
#[test]
fn the_sale_is_what_it_was_last_time() -> Result<(), Diagnostics> {
    let results = sale().read()?.run();
    let figures = results.figures.iter().map(|one| format!("{}: {:.6} {}", one.name, one.mean, one.unit));
    let seen = figures.fold(String::new(), |text, line| text + line.trim_end() + "\n");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sale.golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &seen).expect("the folder of the tests can be written to");
    }
    assert_eq!(seen, std::fs::read_to_string(golden).unwrap_or_default());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is set: no request is lost from the books, and with three instances or more nobody goes without an answer.
    #[test]
    fn three_instances_are_enough_however_they_are_used(scenario in Variations::of(&sale())
        .between("group.web.min", 3..=6)
        .any_of("balancer.front.algorithm", ["round-robin", "least-outstanding-requests", "power-of-two-choices"])
        .span("traffic.web.timeout", "1s"..="5s")
        .rate("traffic.web.profile.constant", 20.0..=80.0)
        .between("scenario.seed", 1..=1_000))
    {
        let results = scenario.run();
        prop_assert!(results.run.requests.conserved());
        results.sla("requests are answered").assert_met();
    }
}
