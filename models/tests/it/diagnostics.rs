//! Bad scenarios: what is said about each, word for word. `UPDATE_GOLDEN=1` writes what is said now.

use std::path::Path;

use proptest::prelude::*;
use scalesim::plan::Plan;
use scalesim::{NoFiles, Scenario};

/// A small scenario that is sound.
const GOOD: &str = r#"
[scenario]
duration = "1h"
[traffic.web]
to = "front"
profile = { constant = "10/s" }
mix = { "GET /" = 1 }
[service.api]
runtime = "event-loop"
[service.api.endpoint."GET /"]
steps = [{ cpu = "5ms" }, { wait = { exp = { mean = "5ms" } } }]
[group.web]
service = "api"
machine = "c6i.large"
min = 1
[balancer.front]
targets = "web"
[[sla]]
objective = "p99 <= 50ms"
"#;

#[test]
fn each_mistake_is_told_with_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let said = match Scenario::read(&name, &text, &[], &NoFiles) {
            Ok(_) => "no errors\n".to_string(),
            Err(diagnostics) => diagnostics.render(false),
        };
        let golden = path.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != said || said == "no errors\n" {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = GOOD
        .replace("min = 1", "mim = 1\nmax = \"five\"")
        .replace("c6i.large", "c6i.lage")
        .replace("10/s", "10 per second");
    let diagnostics = Scenario::parse(&text).unwrap_err();
    let said = diagnostics.to_string();
    for part in ["mim", "did you mean `min`", "`group.web.max`", "did you mean `c6i.large`", "10 per second"]
    {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(said.lines().all(|line| line.starts_with("scenario.toml:")), "{said}");
}

#[test]
fn overrides_are_checked_and_blamed() {
    let read =
        |path: &str, value: &str| Scenario::read("s.toml", GOOD, &[(path.into(), value.into())], &NoFiles);
    assert_eq!(read("group.web.max", "9").unwrap().plan().groups[0].max, 9);
    assert_eq!(
        read("traffic.web.profile.constant", "20/s").unwrap().plan().traffic[0].expected.peak().1,
        20.0
    );
    assert_eq!(read("sla.0.objective", "mean <= 1s").unwrap().plan().objectives[0].text, "mean <= 1s");
    let resized = read("service.api.endpoint.\"GET /\".steps.0.cpu", "7ms").unwrap();
    assert_ne!(resized.plan().capacity_per_instance(scalesim::plan::GroupId(0)), 200.0);
    assert!(read("group.web.mx", "9").unwrap_err().to_string().starts_with("--set:1:"));
    assert!(read("sla.7.objective", "mean <= 1s").unwrap_err().to_string().contains("not an index"));
    assert!(read("group..x", "1").is_err());
    let pool = read("service.api.runtime", "{ thread-pool = { threads = 3 } }").unwrap();
    assert!(pool.resolved().contains("threads = 3"));
}

/// The resolved scenario reads back to the same plan, and resolving it again changes nothing.
#[test]
fn the_resolved_scenario_is_the_same_scenario() {
    let day = include_str!("../../../examples/day-cycle.toml");
    for text in [GOOD, day, crate::job_tables::JOBS] {
        let scenario = Scenario::parse(text).unwrap();
        let again = Scenario::parse(scenario.resolved())
            .unwrap_or_else(|error| panic!("{error}\n{}", scenario.resolved()));
        assert_eq!(scenario.resolved(), again.resolved());
        let show = |plan: &Plan| format!("{plan:?}");
        assert_eq!(show(scenario.plan()), show(again.plan()));
        for key in ["in_flight", "accept_queue", "deregistration_delay", "metric_delay", "timeout", "size"] {
            assert!(scenario.resolved().contains(key), "{key} is not resolved");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Scenario::parse(&text);
    }

    #[test]
    fn no_mutation_makes_it_panic(at in 0usize..GOOD.len(), len in 0usize..12, with in "[ -~\\n]{0,12}") {
        let end = (at + len).min(GOOD.len());
        let text = format!("{}{with}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(diagnostics) = Scenario::parse(&text) {
            prop_assert!(diagnostics.render(false).contains("error"));
            prop_assert!(!diagnostics.to_string().contains("please report"), "{diagnostics}\n{text}");
        }
    }
}

/// A service whose endpoints call two others each, which call the same two: 2^40 ways, and 80 endpoints.
#[test]
fn many_ways_through_calls_are_counted_without_walking_them() {
    let layer = |n: u32| {
        let call = |to: char| format!("{{ call = {{ to = \"front\", endpoint = \"{to}{}\" }} }}", n + 1);
        let steps = if n < 40 { [call('a'), call('b')].join(", ") } else { String::new() };
        format!("a{n} = {{ steps = [{steps}] }}\nb{n} = {{ steps = [{steps}] }}\n")
    };
    let endpoints: String = (0..=40).map(layer).collect();
    let text = GOOD
        .replace("mix = { \"GET /\" = 1 }", "mix = { a0 = 1 }")
        .replace("[service.api.endpoint.\"GET /\"]\nsteps = [{ cpu = \"5ms\" }, { wait = { exp = { mean = \"5ms\" } } }]", &format!("[service.api.endpoint]\n{endpoints}"));
    let said = Scenario::parse(&text).unwrap_err().to_string();
    assert!(said.contains("would take about"), "{said}");
}
