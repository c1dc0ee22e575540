//! Reports of real runs, ordinary and odd.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]

mod comparison;
mod jobs;
mod recommend;
mod trade_off;

use scalesim::results::{Precision, Results, Transient, Widest};
use scalesim::{Experiment, Scenario};
use scalesim_report::{ARTEFACTS, Clock, Style, json, render_text};

/// An hour with a flash crowd that a small group cannot take.
const HOUR: &str = r#"
[scenario]
name = "Flash crowd"
start = "2026-11-27T19:30:00+05:30[Asia/Kolkata]"
duration = "1h"
[traffic.web]
to = "front"
profile = { constant = "60/s" }
spikes = [{ at = "20:00", rise = "1min", hold = "6min", decay = "4min", height = "x4" }]
timeout = "2s"
[service.api]
runtime = "thread-per-request"
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "12ms" } } }]
[group.web]
service = "api"
machine = "c7g.large"
min = 1
max = 3
monitoring = "detailed"
instance_warmup = "60s"
[[group.web.scaling]]
target_tracking = { target = 50 }
[balancer.front]
targets = "web"
[[incident]]
crash = { group = "web", at = "20:25" }
[[sla]]
name = "fast"
objective = "p95 <= 100ms"
window = "2min"
[[sla]]
name = "answered"
objective = "availability >= 99.5%"
[cost]
prices = "aws-us-east-1"
"#;

fn results(text: &str, replications: u32) -> Results {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}"));
    Experiment::new(&scenario).replications(replications).run()
}

#[test]
fn the_summary_opens_with_the_verdict_and_says_why() {
    let text = render_text(&results(HOUR, 1), Style::Plain);
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/summary.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(golden).unwrap());
    let third = text.lines().nth(2).unwrap();
    assert!(third.starts_with("SLA VIOLATED"), "{third}");
    assert!(text.lines().all(|line| line.chars().count() <= 150), "{text}");
}

#[test]
fn colour_is_only_added() {
    let results = results(HOUR, 2);
    let (plain, colour) = (render_text(&results, Style::Plain), render_text(&results, Style::Colour));
    let mut stripped = String::new();
    let mut rest = colour.as_str();
    while let Some(escape) = rest.find('\u{1b}') {
        stripped.push_str(&rest[..escape]);
        rest = &rest[escape + rest[escape..].find('m').unwrap() + 1..];
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
    assert!(plain.contains('±'), "two runs have intervals");
}

#[test]
fn several_runs_open_with_how_often_the_sla_held_and_have_all_figures_in_tables() {
    let results = results(HOUR, 3);
    let text = render_text(&results, Style::Plain);
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/replications.txt");
    let opening = text.split("\nWhy").next().unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, opening).unwrap();
    }
    assert_eq!(opening, std::fs::read_to_string(golden).unwrap());
    assert_eq!(
        opening.matches('±').count(),
        results.figures.len() + 1,
        "each figure, and the title\n{opening}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 150), "{text}");
}

#[test]
fn a_precision_is_told_on_top_and_a_transient_at_the_end() {
    let mut results = results(HOUR, 2);
    let widest = Some(Widest { figure: "response time p99".to_string(), relative: Some(0.031) });
    results.precision = Some(Precision { asked: 0.02, most: 2, reached: false, widest, would_do: Some(5) });
    results.transient =
        Some(Transient { of: "open sessions".to_string(), until: Some(215.0), covered: false });
    let text = render_text(&results, Style::Plain);
    let second = text.lines().nth(1).unwrap();
    assert!(
        second.starts_with("NOT TIGHT ENOUGH (asked 2 %): response time p99 ± 3.10 % after 2"),
        "{second}"
    );
    assert!(text.trim_end().ends_with("`warm_up = \"4min\"` leaves them out."), "{text}");
}

#[test]
fn json_reads_back_to_the_same_results() {
    // Where the scenario lay is not in the file.
    let results = Results { command: String::new(), ..results(HOUR, 2) };
    let back: Results = serde_json::from_slice(&json(&results).unwrap()).unwrap();
    assert_eq!(back, results);
}

fn artefact(results: &Results, name: &str) -> Vec<u8> {
    let (_, make) = ARTEFACTS.iter().find(|(known, _)| *known == name).unwrap();
    make(results).unwrap()
}

#[test]
fn pictures_are_whole_and_say_what_they_show() {
    let results = results(HOUR, 1);
    let svg = String::from_utf8(artefact(&results, "overview.svg")).unwrap();
    for part in [
        "Flash crowd: load and capacity",
        "p99",
        "fast: p95 &lt;= 100ms",
        "20:00",
        "violated",
        "scale out",
        "crash",
        "</svg>",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    assert_eq!(
        svg,
        String::from_utf8(artefact(&results, "overview.svg")).unwrap(),
        "the same bytes each time"
    );
    let png = artefact(&results, "overview.png");
    assert_eq!(&png[1..4], b"PNG");
    let pixels = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((pixels(16), pixels(20)), (1280, 1520));
}

#[test]
fn tables_have_a_row_for_each_thing() {
    let results = results(HOUR, 1);
    let lines = |name: &str| String::from_utf8(artefact(&results, name)).unwrap().lines().count();
    assert_eq!(lines("series.csv"), results.run.series.len() + 1);
    assert_eq!(lines("activities.csv"), results.run.activities.len() + 1);
    let violations: usize = results.run.objectives.iter().map(|objective| objective.violations.len()).sum();
    assert!(violations > 2);
    assert_eq!(lines("violations.csv"), violations + 1);
    let series = String::from_utf8(artefact(&results, "series.csv")).unwrap();
    assert!(series.lines().next().unwrap().ends_with(
        "web.desired,web.max,web.serving,web.starting,web.draining,web.cpu_percent,web.queued,web.sessions,web.needed"
    ));
    assert!(series.contains("2026-11-27T20:00:00+05:30"));
}

#[test]
fn open_sessions_have_their_place_in_text_and_plot() {
    let sessions =
        "[traffic.web.sessions]\nlength = \"2min\"\npush = { news = \"0.1/s\" }\nrooms = { players = 4 }\n";
    let text = HOUR
        .replace("[service.api]\n", &format!("mix = {{ \"GET /\" = 1 }}\n{sessions}[service.api]\n"))
        .replace("[group.web]", "[service.api.endpoint.news]\nsteps = [{ cpu = \"1ms\" }]\n[group.web]");
    let results = results(&text, 1);
    let text = render_text(&results, Style::Plain);
    for part in ["Sessions of web", "rooms of 4", "reconnected", "in the busiest second", "matchmaking"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 150), "{text}");
    let svg = String::from_utf8(artefact(&results, "overview.svg")).unwrap();
    assert!(svg.contains("Flash crowd: open sessions"));
    assert!(!String::from_utf8(artefact(&results, "cpu.svg")).unwrap().contains("open sessions"));
}

/// Nothing to show, or very much, must still make a report.
#[test]
fn odd_runs_make_reports_too() {
    let quiet = HOUR.replace("60/s", "0/s").replace("height = \"x4\"", "height = \"0/s\"");
    let short = HOUR
        .replace("duration = \"1h\"", "duration = \"31min\"")
        .replace("at = \"20:25\"", "at = \"20:00\"")
        .replace("60/s", "1/s");
    let bare = HOUR.split("[[incident]]").next().unwrap().to_string();
    let weeks = HOUR
        .replace("duration = \"1h\"", "duration = \"504h\"")
        .replace("60/s", "0.05/s")
        .replace("window = \"2min\"", "window = \"1h\"");
    let mut many = HOUR.to_string();
    for index in 0..9 {
        many.push_str(&format!(
            "[group.extra{index}]\nservice = \"api\"\nmachine = \"c7g.large\"\nmin = 2\n"
        ));
    }
    for text in [quiet, short, bare, weeks, many] {
        let results = results(&text, 1);
        for (name, make) in ARTEFACTS {
            let bytes = make(&results).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!bytes.is_empty(), "{name}");
        }
        assert!(render_text(&results, Style::Plain).contains("Requests"));
    }
}

#[test]
fn ticks_are_at_round_times_of_the_scenarios_zone() {
    let ticks = |start: &str, hours: f64| {
        let clock = Clock::of(start, 3_600.0 * hours);
        clock.ticks(3_600.0 * hours).into_iter().map(|tick| tick.1).collect::<Vec<_>>()
    };
    assert_eq!(ticks("2026-11-27T00:00:00+05:30[Asia/Kolkata]", 24.0).len(), 13);
    assert_eq!(ticks("2026-11-27T00:20:00+00:00[UTC]", 2.0)[..3], ["00:20", "00:30", "00:40"]);
    assert_eq!(ticks("2026-11-27T00:00:00+00:00[UTC]", 24.0 * 14.0).len(), 8, "a label every two days");
    assert!(
        ticks("2026-11-27T00:00:00+00:00[UTC]", 24.0 * 4.0)[1].starts_with("Fri"),
        "the day where the run is longer than one"
    );
}

/// Two workers on four vCPUs get a row each, sixteen the two that waited most and least.
#[test]
fn workers_and_vcpus_have_rows_where_there_are_several() {
    let text = |vcpus: u32, workers: u32| {
        let machine = format!("[machine.m]\nvcpus = {vcpus}\nscheduler = \"slices\"\n");
        let runtime = format!("runtime = {{ processes = {{ workers = {workers} }} }}");
        let scenario = HOUR
            .replace("\"c7g.large\"", "\"m\"")
            .replace("runtime = \"thread-per-request\"", &runtime)
            .replace("[cost]\nprices = \"aws-us-east-1\"", &machine)
            .replace("duration = \"1h\"", "duration = \"31min\"")
            .replace(
                "crash = { group = \"web\", at = \"20:25\" }",
                "crash = { group = \"web\", at = \"20:00\" }",
            );
        render_text(&results(&scenario, 1), Style::Plain)
    };
    let some = text(4, 2);
    for name in ["voluntary", "worker 0", "worker 1", "vCPU 0", "vCPU 3"] {
        assert!(some.contains(name), "{name} is missing:\n{some}");
    }
    let many = text(16, 16);
    assert_eq!(many.matches("and 14 between").count(), 2, "{many}");
    assert!(!text(1, 1).contains("worker 0"), "one of each is all there is");
}

/// Whom limits turned away and what clients sent again is told where it is on, and nowhere else.
#[test]
fn limits_and_repeats_are_told_where_they_are_on() {
    let limits = "rate_limit = { rate = \"70/s\", burst = 10 }\ncircuit_breaker = { max_requests = 40, slow_call = \"200ms\", slow_rate = 0.5 }";
    let limited = HOUR
        .replace("targets = \"web\"", &format!("targets = \"web\"\n{limits}"))
        .replace("timeout = \"2s\"", "timeout = \"2s\"\nretry = { max = 2, budget = { ratio = 0.1, per_second = 1 } }\nhedge = { after = \"80ms\" }")
        .replace("[service.api.endpoint", "shed = { above = 3 }\n[service.api.endpoint");
    let text = render_text(&results(&limited, 1), Style::Plain);
    for line in [
        "hedges, of which",
        "retries or hedges of web were not sent: its budget was used up",
        "the rate limiter of front turned",
        "the circuit breaker of front opened",
        "requests shed",
        "The circuit breaker of front closed",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let plain = render_text(&results(HOUR, 1), Style::Plain);
    for word in ["hedges", "budget was used up", "limiter", "breaker", "requests shed"] {
        assert!(!plain.contains(word), "{word} is in\n{plain}");
    }
}

#[test]
fn the_summary_tells_of_nodes_and_bills_them_in_place_of_pods() {
    let pods = HOUR
        .replace(
            "machine = \"c7g.large\"",
            "kubernetes = { nodes = \"pool\", requests = { cpu = \"900m\" } }",
        )
        .replace("monitoring = \"detailed\"\ninstance_warmup = \"60s\"\n", "")
        .replace("target_tracking = { target = 50 }", "hpa = { metrics = [{ resource = { cpu = 50 } }] }")
        + "[nodes.pool]\nmachine = \"c7g.large\"\n";
    let results = results(&pods, 1);
    let text = render_text(&results, Style::Plain);
    assert!(text.contains("\nNodes pool (c7g.large)\n"), "{text}");
    assert!(text.contains("pods ask for"), "{text}");
    assert!(text.contains("pool: c7g.large") && !text.contains("web: pod"), "{text}");
    let written = String::from_utf8(json(&results).unwrap()).unwrap();
    assert_eq!(written.matches("\"node_hours\"").count(), 1);
}
