//! Assertions as tests use them: what they let pass, and what they say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scalesim::results::Results;
use scalesim::{Draft, Experiment, NoFiles, Scenario};
use sim_core::Seed;

use crate::jobs::{run, system};

/// One instance of two vCPUs, six times the load from the third to the sixth minute.
const SALE: &str = r#"
[scenario]
start = "2026-11-27T20:00:00[UTC]"
duration = "10min"
seed = 3
[traffic.web]
to = "front"
profile = { constant = "80/s" }
spikes = [{ at = "3min", rise = "10s", hold = "2min", decay = "30s", height = "x6" }]
timeout = "2s"
mix = { "GET /" = 1 }
[service.api]
runtime = { thread-pool = { threads = 20, accept_queue = 100 } }
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "8ms" } } }]
[service.api.endpoint."GET /never"]
steps = [{ cpu = "1ms" }]
[group.web]
service = "api"
machine = "c7g.large"
min = 1
[balancer.front]
targets = "web"
[[sla]]
name = "fast"
objective = "p99 <= 200ms"
window = "1min"
[[sla]]
name = "answered"
objective = "availability >= 40%"
window = "1min"
[cost]
prices = "aws-us-east-1"
"#;

fn sale(overrides: &[(&str, &str)]) -> Scenario {
    let draft = Draft::new("sale.toml", SALE, &NoFiles);
    let draft = overrides.iter().fold(draft, |draft, (path, value)| draft.with(*path, *value));
    draft.read().unwrap_or_else(|errors| panic!("{errors}"))
}

/// What an assertion says when it fails.
fn failure(assertion: impl FnOnce()) -> String {
    let failed = catch_unwind(AssertUnwindSafe(assertion)).expect_err("it should have failed");
    failed
        .downcast_ref::<String>()
        .cloned()
        .or(failed.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap()
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
}

/// Why the worst window of the first objective broke it.
fn worst_explanation(results: &Results) -> &str {
    let violations = results.run.objectives[0].violations.iter();
    &violations.max_by(|a, b| a.window.value.total_cmp(&b.window.value)).unwrap().explanation
}

#[test]
fn promises_that_are_kept_pass() {
    let results = sale(&[("group.web.min", "4"), ("group.web.max", "4")]).run();
    results.assert_all_met();
    results.sla("fast").assert_met();
    results.sla("fast").assert_violation_at_most(0);
    results.sla("fast").overall().assert_at_most("200ms");
    results.sla("answered").worst_window().assert_at_least("99%");
    results.response_time("GET /").mean().assert_above("8ms");
    results.response_time("api: GET /").p99().assert_below(0.2);
    results.client_response_time().p50().assert_below("20ms");
    results.availability().assert_at_least("99.9%");
    results.cost().assert_at_most(0.2);
    results.figure("web: instances").assert_at_least(4);
    results.figure("web: instance hours").assert_at_most("41min");
    assert!(results.sla("fast").is_met() && results.sla("fast").failure().is_none());
    let kept = failure(|| results.sla("fast").assert_violated());
    assert_says(&kept, &["the SLA `fast` is met and should not be: p99 <= 200ms", "worst window"]);
}

#[test]
fn a_broken_promise_tells_the_worst_window_the_causes_and_how_to_see_it() {
    let results = sale(&[("sla.0.name", "home page")]).run();
    let text = failure(|| results.sla("home page").assert_met());
    assert_says(
        &text,
        &[
            "the SLA `home page` is violated: p99 <= 200ms\n  overall ",
            "; worst window ",
            "\n  violated for ",
            ", allowed 0 min; error budget ",
            " at 20:0",
            "\n  20:03–20:0",
            worst_explanation(&results),
            "\nto see it: scalesim run sale.toml --set 'sla.0.name=home page' --seed 3",
        ],
    );
    assert!(!text.contains("replications"), "{text}");
    assert_eq!(Some(&text), results.sla("home page").failure().as_ref());
    assert_eq!(text, failure(|| results.assert_all_met()), "the other one holds");
    results.sla("home page").assert_violated();
    results.sla("home page").assert_violation_at_most("7min");
    let longer = failure(|| results.sla("home page").assert_violation_at_most("30s"));
    assert_says(&longer, &["the SLA `home page` is violated for longer than 30s: p99 <= 200ms"]);
}

#[test]
fn a_figure_out_of_bounds_tells_its_value_and_what_went_wrong_meanwhile() {
    let results = sale(&[]).run();
    let text = failure(|| results.response_time("GET /").p99().assert_below("100ms"));
    assert_says(
        &text,
        &[
            "api: GET / p99 is ",
            ", expected below 100ms",
            "\n  meanwhile `fast` was violated:\n  20:03–",
            worst_explanation(&results),
            "\nto see it: scalesim run sale.toml --seed 3",
        ],
    );
    assert_says(
        &failure(|| results.cost().assert_at_most(0.001)),
        &["cost is $0.", "expected at most $0.00"],
    );
    let bound = failure(|| results.availability().assert_at_least("0.99"));
    assert_eq!(bound, "availability: `0.99` is no bound: expected a share such as \"99.9%\"");
}

#[test]
fn each_replication_has_to_keep_its_promise_and_the_worst_can_be_played_alone() {
    // With not quite three times the load most replications have a bad minute, and one has none.
    let scenario = sale(&[("traffic.web.spikes.0.height", "x2.7")]);
    let results = Experiment::new(&scenario).replications(8).run();
    let sla = results.sla("fast");
    let minutes = sla.violation_minutes();
    let broken = minutes.iter().filter(|minutes| **minutes > 0.0).count();
    assert!(broken > 0 && broken < 8, "{minutes:?}");
    assert!(!sla.is_met() && !results.met());
    let text = failure(|| sla.assert_met());
    let worst = (0..8).rev().max_by(|&a, &b| minutes[a].total_cmp(&minutes[b])).unwrap();
    let seed = Seed::new(3).replication(worst as u32).get();
    assert_says(
        &text,
        &[
            &format!("\n  in {broken} of 8 replications: "),
            " (95 %)",
            &format!(
                "\nto see replication {worst}: scalesim run sale.toml --set traffic.web.spikes.0.height=x2.7 --seed {seed}"
            ),
        ],
    );
    let alone = Experiment::new(&scenario).seed(seed).run();
    assert_eq!(alone.sla("fast").violation_minutes(), [minutes[worst]]);
    assert_says(&failure(|| sla.assert_violated()), &[&format!("\n  in {} of 8 replications: ", 8 - broken)]);
    let p99 = failure(|| results.client_response_time().p99().assert_below("1ms"));
    assert_says(&p99, &["\n  in 8 of 8 replications: ", "; mean "]);
}

#[test]
fn a_name_that_is_not_there_fails_with_the_one_that_may_be_meant() {
    let results = sale(&[]).run();
    assert_eq!(failure(|| _ = results.sla("fsat")), "there is no objective `fsat`: did you mean `fast`?");
    assert_eq!(results.find_sla("fsat").unwrap_err().to_string(), failure(|| _ = results.sla("fsat")));
    assert!(results.find_sla("fast").is_ok());
    assert_eq!(
        results.find_figure("web: instance hour").unwrap_err().to_string(),
        "there is no figure `web: instance hour`: did you mean `web: instance hours`?"
    );
    assert_says(
        &failure(|| _ = results.response_time("GET /nevre")),
        &["there is no endpoint `GET /nevre`: did you mean `GET /"],
    );
    assert_says(&failure(|| _ = results.jobs("web")), &["there is no source of jobs `web`: there are none"]);
}

#[test]
fn what_was_not_played_or_not_measured_proves_nothing() {
    let cut = sale(&[("limits.in_flight", "3"), ("group.web.min", "4"), ("group.web.max", "4")]).run();
    let parts = ["the run was not played to its end: it reached `limits.in_flight`, 3, at 20:00"];
    assert_says(&failure(|| cut.assert_all_met()), &parts);
    assert_says(&failure(|| cut.cost().assert_at_most(1)), &parts);
    let never = sale(&[("sla.0.endpoint", "GET /never")]).run();
    let nothing = "the SLA `fast` had nothing to measure in the whole run";
    assert_eq!(failure(|| never.sla("fast").assert_met()), nothing);
    let unmeasured = failure(|| never.response_time("GET /never").p99().assert_below("1s"));
    assert_says(&unmeasured, &["api: GET /never p99: there was nothing to measure, expected below 1s"]);
    let without: String = SALE.split("[[sla]]").next().unwrap().to_string();
    let results = Scenario::parse(&without).unwrap().run();
    assert_says(&failure(|| results.assert_all_met()), &["nothing was promised"]);
    assert_says(&failure(|| _ = results.cost()), &["there is no bill"]);
}

#[test]
fn jobs_are_asserted_by_the_source_that_submits_them() {
    let workers = "min = 8\nworker = { queue = \"jobs\", job = \"job\" }";
    let results: Results = run(&system("sqs = { visibility_timeout = \"10min\" }", workers, ""));
    let jobs = results.jobs("users");
    jobs.lost().assert_at_most(0);
    jobs.dead_letters().assert_at_most(0);
    jobs.done().assert_at_least(3_000);
    jobs.time().mean().assert_below("15s");
    assert_says(
        &failure(|| jobs.time().p95().assert_below("1s")),
        &["jobs of users: time p95 is ", " s, expected below 1s"],
    );
}
