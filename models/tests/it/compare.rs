//! Comparisons: what common random numbers are worth, and what may be said.

use scalesim::experiment::compare::{
    CompareError, Compared, Comparison, Difference, Finding, VIOLATION, Variant, Verdict,
};
use scalesim::scenario::changes;
use scalesim::{Draft, NoFiles, Scenario, Watch};

/// A quarter of a day of a shop with few, long requests of very different lengths.
const SHOP: &str = r#"
[scenario]
name = "Shop"
duration = "6h"
seed = 3
[traffic.web]
to = "front"
profile = { day = { low = "1/s", peak = "8/s", peak_at = "04:00" } }
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = { lognormal = { mean = "250ms", cv = 1.5 } } }]
[group.web]
service = "api"
machine = "c7g.large"
min = 2
max = 2
[balancer.front]
targets = "web"
algorithm = "round-robin"
[[sla]]
name = "fast"
objective = "p95 <= 2s"
window = "5min"
[cost]
prices = "aws-us-east-1"
"#;

/// Minutes of a server that is half busy, played in no time.
const SMALL: &str = r#"
[scenario]
duration = "10min"
[traffic.web]
to = "front"
profile = { constant = "10/s" }
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "100ms" } } }]
[group.web]
service = "api"
machine = "c7g.large"
min = 1
[balancer.front]
targets = "web"
[[sla]]
name = "fast"
objective = "p95 <= 400ms"
window = "1min"
"#;

fn read(text: &str, settings: &[(&str, &str)]) -> Scenario {
    let draft = Draft::new("shop.toml", text, &NoFiles);
    let draft = settings.iter().fold(draft, |draft, (path, value)| draft.with(*path, *value));
    draft.read().unwrap_or_else(|error| panic!("{error}"))
}

fn variant(name: &str, scenario: Scenario) -> Variant {
    Variant { name: name.to_string(), scenario }
}

/// A scenario against itself with one value set to another.
fn against(text: &str, path: &str, value: &str, replications: u32) -> Compared {
    let variants =
        vec![variant("as it is", read(text, &[])), variant("changed", read(text, &[(path, value)]))];
    Comparison::new(variants).unwrap().replications(replications).run(Watch::default())
}

fn difference<'a>(compared: &'a Compared, name: &str) -> &'a Difference {
    let differences = &compared.variants[1].against.as_ref().unwrap().differences;
    differences.iter().find(|of| of.name == name).unwrap()
}

fn verdict(compared: &Compared) -> Verdict {
    compared.variants[1].against.as_ref().unwrap().verdict
}

#[test]
fn the_same_requests_make_intervals_narrow() {
    let compared = against(SHOP, "balancer.front.algorithm", "least-outstanding-requests", 8);
    for name in ["response time mean", "response time p95", "response time p99"] {
        let of = difference(&compared, name);
        let (paired, unpaired) = (of.half_width.unwrap(), of.unpaired_half_width.unwrap());
        println!(
            "{name}: {:.4} ± {paired:.5}, unpaired ± {unpaired:.5}, {:.1} times; correlation {:.3}, {:.1} times as many",
            of.difference,
            unpaired / paired,
            of.correlation.unwrap(),
            of.times_as_many.unwrap()
        );
        assert!(2.0 * paired < unpaired, "{name}: ± {paired} against ± {unpaired}");
        assert!(of.times_as_many.unwrap() > 4.0 && of.correlation.unwrap() > 0.8, "{of:?}");
    }
    let mean = difference(&compared, "response time mean");
    assert_eq!((mean.finding, mean.improves()), (Finding::Lower, Some(true)));
    assert_eq!(difference(&compared, "requests offered").finding, Finding::Same, "as many under each");
}

#[test]
fn a_hundredth_more_work_is_shown_by_pairs_and_not_without_them() {
    let compared = against(SMALL, "service.api.endpoint.\"GET /\".steps.0.cpu.exp.mean", "101ms", 4);
    for name in ["response time mean", "response time p95"] {
        let of = difference(&compared, name);
        let (paired, unpaired) = (of.half_width.unwrap(), of.unpaired_half_width.unwrap());
        assert_eq!(of.finding, Finding::Higher, "{name}");
        assert!(of.difference < unpaired && 10.0 * paired < unpaired, "{name}: {of:?}");
    }
}

#[test]
fn what_is_identical_differs_by_exactly_nothing() {
    let compared = against(SMALL, "scenario.name", "another name", 3);
    assert_eq!(verdict(&compared), Verdict::Identical);
    let against = compared.variants[1].against.as_ref().unwrap();
    assert!(against.identical && against.not_shared.is_empty() && against.differences.len() > 8);
    for of in &against.differences {
        assert_eq!(
            (of.finding, of.difference, of.half_width),
            (Finding::Same, 0.0, Some(0.0)),
            "{}",
            of.name
        );
    }
    let paths: Vec<&str> = against.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["scenario.name"]);
}

#[test]
fn a_larger_fleet_is_better_and_dearer() {
    let short = SHOP.replace("\"6h\"", "\"1h\"").replace("low = \"1/s\"", "low = \"7/s\"");
    let fleet = |size: &str| variant(size, read(&short, &[("group.web.min", size), ("group.web.max", size)]));
    let verdicts = |sizes: [&str; 3]| {
        let variants = sizes.iter().map(|size| fleet(size)).collect();
        let compared = Comparison::new(variants).unwrap().replications(4).run(Watch::default());
        let held: Vec<Option<u32>> = compared.variants.iter().map(|of| of.held).collect();
        let others = compared.variants.iter().filter_map(|of| Some(of.against.as_ref()?.verdict));
        (held, others.collect::<Vec<Verdict>>())
    };
    let (held, verdicts_on) = verdicts(["2", "4", "1"]);
    assert_eq!(held, [Some(4), Some(4), Some(0)]);
    assert_eq!(verdicts_on, [Verdict::Worse, Verdict::WorseAndCheaper], "four are only dearer");
    let (_, verdicts_on) = verdicts(["1", "2", "1"]);
    assert_eq!(verdicts_on, [Verdict::BetterAndDearer, Verdict::Identical]);
}

#[test]
fn where_nothing_differs_but_chance_nothing_is_shown_as_often_as_promised() {
    // A source under another name has requests of its own, of the same kind: every difference is noise.
    let renamed = SMALL.replace("[traffic.web]", "[traffic.other]");
    let (mut shown, mut rounds) = (0, 0);
    for seed in 0..60 {
        let variants = vec![variant("a", read(SMALL, &[])), variant("b", read(&renamed, &[]))];
        let comparison = Comparison::new(variants).unwrap().replications(4).seed(seed);
        let compared = comparison.run(Watch::default());
        let mean = difference(&compared, "response time mean");
        assert_ne!(mean.finding, Finding::Same, "the bytes differ");
        shown += u32::from(mean.finding != Finding::NotShown);
        rounds += 1;
    }
    // 5 % of 60 are 3; more than 8 come once in two hundred times.
    assert!((1..=8).contains(&shown), "{shown} of {rounds} comparisons of equals found a difference");
}

#[test]
fn what_is_not_shown_says_how_many_replications_would_show_it() {
    let renamed = SMALL.replace("[traffic.web]", "[traffic.other]");
    let variants = vec![variant("a", read(SMALL, &[])), variant("b", read(&renamed, &[]))];
    let compared = Comparison::new(variants).unwrap().replications(4).seed(1).run(Watch::default());
    assert_eq!(verdict(&compared), Verdict::NotShown);
    let mean = difference(&compared, "response time mean");
    assert!(mean.needed.unwrap() > 4, "{mean:?}");
}

#[test]
fn more_variants_make_each_interval_wider() {
    let variants = |count: usize| {
        let sizes = (0..count).map(|index| {
            let size = (index + 1).to_string();
            variant(&size, read(SMALL, &[("group.web.min", &size), ("group.web.max", &size)]))
        });
        Comparison::new(sizes.collect()).unwrap().replications(4).run(Watch::default())
    };
    let (two, four) = (variants(2), variants(4));
    assert_eq!((two.level_of_each, two.level), (0.95, 0.95));
    assert!((four.level_of_each - (1.0 - 0.05 / 3.0)).abs() < 1e-12);
    let half = |of: &Compared| difference(of, "response time mean").half_width.unwrap();
    // t(3) at 0.95 is 3.1824, and 4.8567 at 1 - 0.05 / 3.
    assert!((half(&four) / half(&two) - 4.8567 / 3.1824).abs() < 1e-3, "{} and {}", half(&two), half(&four));
}

#[test]
fn runs_of_different_times_are_not_compared() {
    let variants = |settings: &[(&str, &str)]| {
        Comparison::new(vec![variant("a", read(SMALL, &[])), variant("b", read(SMALL, settings))])
    };
    let longer = variants(&[("scenario.duration", "20min")]).unwrap_err().to_string();
    assert_eq!(longer, "`b` lasts 1200 s, and `a` 600 s: differences of such runs would say nothing");
    let later = variants(&[("scenario.start", "2026-05-05T00:00:00[UTC]")]).unwrap_err();
    assert!(matches!(later, CompareError::Times { what: "starts at", .. }), "{later}");
    let alone = Comparison::new(vec![variant("a", read(SMALL, &[]))]).unwrap_err();
    assert_eq!(alone, CompareError::Count(1));
}

#[test]
fn objectives_that_are_not_the_same_are_told_and_not_compared() {
    let compared = against(SMALL, "sla.0.objective", "p95 <= 300ms", 2);
    let against = compared.variants[1].against.as_ref().unwrap();
    assert!(compared.objectives.is_empty());
    assert!(against.differences.iter().all(|of| of.name != VIOLATION));
    assert_eq!(against.not_shared, ["violation of fast"; 2], "one of each, and of something else");
    assert_eq!(against.verdict, Verdict::Unjudged, "there are no prices either");
    assert_eq!(compared.notes.len(), 2, "{:?}", compared.notes);
    assert!(compared.notes[0].contains("fast"), "{:?}", compared.notes);
}

#[test]
fn only_replications_that_all_variants_finish_count() {
    let compared = against(SMALL, "limits.in_flight", "3", 3);
    assert!(compared.replications.is_empty() && compared.asked == 3);
    let result = &compared.variants[1];
    assert_eq!(result.held, Some(0));
    assert!(result.figures.is_empty() && result.against.as_ref().unwrap().differences.is_empty());
    assert_ne!(verdict(&compared), Verdict::Identical, "nothing was compared");
}

#[test]
fn changes_are_named_as_they_are_set() {
    let more = SMALL.replace("[[sla]]", "[[sla]]\nobjective = \"mean <= 1s\"\n[[sla]]");
    let found = changes(&read(SMALL, &[]), &read(&more, &[("service.api.endpoint.\"GET /\".size", "1 KiB")]));
    let size = found.iter().find(|change| change.path.ends_with(".size")).unwrap();
    assert_eq!(size.path, "service.api.endpoint.\"GET /\".size");
    assert!(found.iter().any(|change| change.path == "sla.1.objective" && change.before.is_none()));
    assert!(found.iter().any(|change| change.path == "sla.0.objective" && change.before != change.after));
    assert!(changes(&read(SMALL, &[]), &read(SMALL, &[])).is_empty());
    let set = read(SMALL, &[(&size.path, "1 KiB")]);
    assert!(changes(&read(SMALL, &[]), &set).contains(size), "the path can be set");
}
