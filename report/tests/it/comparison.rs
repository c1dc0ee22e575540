//! Reports of comparisons.

use scalesim::experiment::compare::{Compared, Comparison, Variant};
use scalesim::{Draft, NoFiles, Watch};
use scalesim_report::{COMPARISON_ARTEFACTS, Style, changes_text, comparison_csv, comparison_text, json};

/// Half an hour of a server that has too much to do.
const BUSY: &str = r#"
[scenario]
duration = "30min"
[traffic.web]
to = "front"
profile = { constant = "19/s" }
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "100ms" } } }]
[group.web]
service = "api"
machine = "c7g.large"
min = 1
max = 2
[balancer.front]
targets = "web"
[[sla]]
name = "fast"
objective = "p95 <= 600ms"
window = "1min"
[cost]
prices = "aws-us-east-1"
"#;

fn compared(variants: &[(&str, &str, &str)], replications: u32) -> Compared {
    let draft = Draft::new("busy.toml", BUSY, &NoFiles);
    let variant = |&(name, path, value): &(&str, &str, &str)| Variant {
        name: name.to_string(),
        scenario: draft.with(path, value).read().unwrap(),
    };
    let comparison = Comparison::new(variants.iter().map(variant).collect()).unwrap();
    comparison.replications(replications).run(Watch::default())
}

fn three() -> Compared {
    let variants = [
        ("busy", "group.web.min", "1"),
        ("two", "group.web.min", "2"),
        ("least", "balancer.front.algorithm", "least-outstanding-requests"),
    ];
    compared(&variants, 4)
}

#[test]
fn the_verdict_says_what_is_better_and_what_it_costs() {
    let compared = three();
    let text = comparison_text(&compared, Style::Plain);
    for part in [
        "two: better and dearer",
        "min less; costs $",
        "least: identical",
        "the same bytes as busy in 4 replications: every difference is exactly 0",
        "SLA held in 4 of 4",
        "95 %, for all variants at once",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 150), "{text}");
    assert!(!text.contains('\u{1b}') && comparison_text(&compared, Style::Colour).contains('\u{1b}'));
    let changes = changes_text("busy", "two", &compared.variants[1].against.as_ref().unwrap().changes);
    assert!(changes.contains("~ group.web.min  1 → 2\n"), "{changes}");
}

#[test]
fn tables_and_json_have_every_figure() {
    let compared = three();
    let csv = String::from_utf8(comparison_csv(&compared).unwrap()).unwrap();
    let differences: usize =
        compared.variants.iter().filter_map(|of| of.against.as_ref()).map(|of| of.differences.len()).sum();
    assert_eq!(csv.lines().count(), 1 + differences);
    assert!(csv.starts_with("name,figure,unit,pairs,baseline,variant,difference,half_width,"), "{csv}");
    assert!(
        csv.lines().any(|line| line.starts_with("two,SLA violation,min,4,") && line.contains(",lower,")),
        "{csv}"
    );
    let back: Compared = serde_json::from_slice(&json(&compared).unwrap()).unwrap();
    assert_eq!(back.variants.len(), 3);
    assert_eq!(back.variants[1].against, compared.variants[1].against);
}

#[test]
fn pictures_of_a_comparison_name_its_variants() {
    let compared = three();
    for (name, make) in COMPARISON_ARTEFACTS {
        let bytes = make(&compared).unwrap();
        if name.ends_with(".svg") {
            let svg = String::from_utf8(bytes).unwrap();
            assert!(
                svg.contains("busy and 2 variants") && svg.contains("two") && svg.contains("least"),
                "{name}"
            );
            assert!(svg.contains("USD") || svg.contains("response time p99"), "{name}");
        }
    }
}

#[test]
fn a_comparison_without_a_whole_replication_says_so() {
    let compared = compared(&[("busy", "limits.in_flight", "3"), ("two", "group.web.min", "2")], 2);
    let text = comparison_text(&compared, Style::Plain);
    assert!(
        text.contains("PARTIAL: reached `limits.in_flight = 3`; only 0 of 2 replications count"),
        "{text}"
    );
    for (name, make) in COMPARISON_ARTEFACTS {
        assert!(!make(&compared).unwrap().is_empty(), "{name}");
    }
}
