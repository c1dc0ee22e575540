//! A trace in a scenario: what is said about how it fits the run, and which key is blamed.

use sim_core::Span;

/// What is said about a trace in a run of `duration` from `start`.
fn notes(text: &'static str, trace: &str, start: &str, duration: &str) -> String {
    let scenario = in_scenario(text, trace, start, duration).unwrap_or_else(|error| panic!("{error}"));
    scenario.plan().notes.join("; ")
}

fn in_scenario(
    text: &'static str,
    trace: &str,
    start: &str,
    duration: &str,
) -> Result<scalesim::Scenario, scalesim::scenario::Diagnostics> {
    struct One(&'static str);
    impl scalesim::Files for One {
        fn open(&self, _: &str) -> std::io::Result<Box<dyn std::io::Read>> {
            Ok(Box::new(self.0.as_bytes()))
        }
    }
    let scenario = format!(
        r#"
        scenario = {{ start = "{start}", duration = "{duration}" }}
        traffic.t = {{ to = "front", trace = {trace} }}
        service.s = {{ runtime = "event-loop", endpoint.page.steps = [{{ cpu = "1ms" }}] }}
        group.g = {{ service = "s", machine = "c6i.large", min = 1 }}
        balancer.front = {{ targets = "g" }}
        sla = [{{ objective = "p99 <= 1s" }}]
        "#
    );
    scalesim::Scenario::read("s.toml", &scenario, &[], &One(text))
}

const HOUR_OF_COUNTS: &str =
    "t,v\n2014-11-02 00:00:00,60\n2014-11-02 00:30:00,30\n2014-11-02 01:00:00,200\n2014-11-02 01:30:00,30\n";

#[test]
fn a_trace_is_compared_with_the_run_that_plays_it() {
    let trace = r#"{ file = "c.csv", amplitude = 2 }"#;
    let same = notes(HOUR_OF_COUNTS, r#"{ file = "c.csv" }"#, "2014-11-02T00:00:00[UTC]", "2h");
    assert!(!same.contains("scenario.start") && !same.contains("ends"), "{same}");
    let short = notes(HOUR_OF_COUNTS, trace, "2014-11-02T00:00:00[UTC]", "24h");
    assert!(short.contains("ends after 2h: for the last 22h of the run nothing comes"), "{short}");
    assert!(
        short.contains("320 requests in 4 bins") && short.contains("that is 640 requests over 2h"),
        "{short}"
    );
    let long = notes(HOUR_OF_COUNTS, trace, "2026-01-05T00:00:00[UTC]", "105min");
    assert!(long.contains("ends 15min before the trace: about 30 of its 640 requests"), "{long}");
    assert!(long.contains("2014-11-02T00:00:00, is played at `scenario.start`, 2026-01-05"), "{long}");
    let new_york = notes(HOUR_OF_COUNTS, trace, "2014-11-02T00:00:00[America/New_York]", "2h");
    assert!(
        new_york.contains("in America/New_York the hour from 2014-11-02T01:00:00 on came twice"),
        "{new_york}"
    );
    assert!(!new_york.contains("scenario.start"), "{new_york}");
    assert!(!short.contains("came twice"), "{short}");
    let log = "t\n2014-11-02T00:00:00.5Z\n2014-11-02T00:00:09.5Z\n";
    let silent = notes(log, r#"{ file = "l", format = "log" }"#, "2014-11-02T00:00:00.5[UTC]", "1min");
    assert!(silent.contains("ends after 9s: for the last 51s"), "{silent}");
}

#[test]
fn what_cannot_be_played_is_blamed_on_its_key() {
    let huge = "t,v\n2014-11-02 00:00:00,1e308\n2014-11-02 00:01:00,30\n";
    let start = "2014-11-02T00:00:00[UTC]";
    let said = |text, trace: &str| in_scenario(text, trace, start, "2h").unwrap_err().render(false);
    let count = said(huge, r#"{ file = "c.csv", amplitude = 1e308 }"#);
    assert!(count.contains("c.csv:2:2: a count of `1e308` is above 1e15"), "{count}");
    let amplitude = said(HOUR_OF_COUNTS, r#"{ file = "c.csv", amplitude = 1e308 }"#);
    assert!(amplitude.contains("`amplitude` makes more than 1e15 requests"), "{amplitude}");
    assert!(amplitude.contains("at most 3.125e12"), "{amplitude}");
    let log = said("t\n2014-11-02T00:00:00.5Z\n", r#"{ file = "l", format = "log", amplitude = 1e308 }"#);
    assert!(log.contains("`amplitude` makes more than"), "{log}");
    let speed = said(HOUR_OF_COUNTS, r#"{ file = "c.csv", speed = 1e300 }"#);
    assert!(speed.contains("shorter than a nanosecond"), "{speed}");
    let from = said(HOUR_OF_COUNTS, r#"{ file = "c.csv", from = "noon" }"#);
    assert!(
        from.contains("`from`: `noon` is neither a time nor an offset") && from.contains("^^^^^^ here"),
        "{from}"
    );
}

/// A trace of a million bins keeps a rate of a few thousand for capacity checks, with the same total.
#[test]
fn the_expected_rate_is_small_and_right() {
    let text: &'static str = Box::leak("1 2 3 4 5 6 7 8 9 10\n".repeat(100_000).into_boxed_str());
    let scenario =
        in_scenario(text, r#"{ file = "c", per = "1s" }"#, "2014-11-02T00:00:00[UTC]", "278h").unwrap();
    let expected = &scenario.plan().traffic[0].expected;
    assert!(expected.knots().len() <= 4_000, "{}", expected.knots().len());
    let all = expected.integral(sim_core::Time::ZERO, sim_core::Time::ZERO + Span::from_secs(278 * 3_600));
    assert!((all - 5_500_000.0).abs() < 1.0, "{all}");
}
