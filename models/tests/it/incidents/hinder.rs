//! Slow instances, and dependencies that are slow or down.

use scalesim::results::ActivityKind;
use scalesim::{Experiment, Scenario};

use super::{CASE, Case, instants, median, of_kind};

/// M/D/1 of work that takes twice as long: 20 ms at a load of 80 %, 20 + 0.8 × 20 / (2 × 0.2) = 60 ms.
#[test]
fn work_on_a_slow_instance_is_that_of_a_slower_server() {
    let rest = "[[incident]]\nslow = { group = \"g\", at = \"0s\", factor = 1.6 }\n[[incident]]\nslow = { group = \"g\", at = \"0s\", factor = 1.25 }";
    let results = Case { duration: "20h", rate: "40/s", rest, ..CASE }.play();
    let mean = 1e3 * results.run.response_time.mean;
    assert!((58.5..61.5).contains(&mean), "{mean} ms");
    assert!((79.5..80.5).contains(&results.run.groups[0].cpu), "{}", results.run.groups[0].cpu);
}

/// Two incidents at once multiply, and the last to end restores.
#[test]
fn slow_incidents_overlap_and_end_one_by_one() {
    let rest = "[[incident]]\nslow = { group = \"g\", at = \"5min\", for = \"10min\", factor = 3 }\n[[incident]]\nslow = { group = \"g\", at = \"10min\", for = \"10min\", factor = 2 }";
    let results = Case { rate: "1/s", rest, ..CASE }.play();
    for (minute, expected) in [(2.0, 10.0), (7.0, 30.0), (12.0, 60.0), (17.0, 20.0), (25.0, 10.0)] {
        let seen = median(&results, minute);
        assert!((seen / expected - 1.0).abs() < 0.02, "minute {minute}: {seen} ms, not {expected}");
    }
    assert_eq!(instants(&results, ActivityKind::IncidentBegan), [300.0, 600.0]);
    assert_eq!(instants(&results, ActivityKind::IncidentOver), [900.0, 1_200.0]);
}

/// Pool steps and the primary of a cluster are CPU work as well.
#[test]
fn all_work_of_a_slow_instance_is_slow() {
    let service = "runtime = { cluster = { workers = 2, overhead = \"0s\" } }";
    let rest = "[[incident]]\nslow = { group = \"g\", at = \"5min\", factor = 4 }";
    let results = Case { rate: "6/min", service, steps: "{ pool = \"10ms\" }", rest, ..CASE }.play();
    let (before, after) = (median(&results, 2.0), median(&results, 7.0));
    assert!((after / before - 4.0).abs() < 0.05, "{before} and {after} ms");
}

/// Of two dependencies' outages, independent of each other: 1 − 0.7 × 0.5 of the requests fail, with a 500.
#[test]
fn a_share_of_requests_fails_with_their_dependency() {
    let rest = "[[incident]]\ndependency_down = { service = \"s\", at = \"0s\", share = 0.3 }\n[[incident]]\ndependency_down = { service = \"s\", at = \"0s\", share = 0.5 }";
    let steps = "{ cpu = \"1ms\" }, { wait = { exp = { mean = \"20ms\" } } }";
    let results = Case { rate: "100/s", steps, rest, ..CASE }.play();
    let requests = results.run.requests;
    let (share, ended) = (requests.failed as f64 / requests.offered as f64, requests.offered as f64);
    let error = 4.0 * (0.65 * 0.35 / ended).sqrt();
    assert!((share - 0.65).abs() < error, "{share} ± {error}");
    let statuses = &results.run.traffic[0].statuses;
    assert!(statuses.len() == 1 && statuses[0].status == "500", "{statuses:?}");
}

/// A wait that fails takes as long as it would have taken, or what the scenario says: a client with less patience sees
/// no 500.
#[test]
fn a_failing_wait_fails_at_its_end() {
    let failed = |steps: &str, after: &str, timeout: &str| {
        let rest = format!("[[incident]]\ndependency_down = {{ service = \"s\", at = \"0s\"{after} }}");
        let case = Case { duration: "10min", steps, rest: &rest, ..CASE };
        let text =
            case.scenario().resolved().replace("timeout = \"none\"", &format!("timeout = \"{timeout}\""));
        let requests = Experiment::new(&Scenario::parse(&text).unwrap()).run().run.requests;
        assert_eq!(requests.completed, 0, "{requests:?}");
        (requests.failed > 0, requests.timed_out > 0)
    };
    for steps in ["{ wait = \"200ms\" }", "{ wait = { uniform = { low = \"199ms\", high = \"201ms\" } } }"] {
        assert_eq!(failed(steps, "", "190ms"), (false, true));
        assert_eq!(failed(steps, "", "210ms"), (true, false));
        assert_eq!(failed(steps, ", after = \"1s\"", "990ms"), (false, true));
        assert_eq!(failed(steps, ", after = \"1ms\"", "10ms"), (true, false));
    }
}

/// Little's law for a pool of threads that wait: 50 a second for ten times 100 ms are 50 inside.
#[test]
fn a_slow_dependency_fills_the_threads() {
    let service = "runtime = { thread-pool = { threads = 1000 } }";
    for wait in ["\"100ms\"", "{ exp = { mean = \"100ms\" } }"] {
        let steps = format!("{{ wait = {wait} }}");
        let rest = "[[incident]]\nslow_dependency = { service = \"s\", at = \"0s\", factor = 5 }\n[[incident]]\nslow_dependency = { service = \"s\", at = \"0s\", factor = 2 }";
        let results = Case { rate: "50/s", service, steps: &steps, rest, ..CASE }.play();
        let inside = results.run.groups[0].requests_inside;
        assert!((48.5..51.5).contains(&inside), "{inside}");
    }
}

/// Incidents at random come as often as they should: what lasts, from the end of one to the next.
#[test]
fn random_incidents_come_from_the_end_of_one_to_the_next() {
    let rest = "[[incident]]\nslow = { group = \"g\", every = { exp = { mean = \"30min\" } }, for = { exp = { mean = \"10min\" } }, factor = 2 }";
    let results = Case { duration: "1000h", rate: "1/h", rest, ..CASE }.play();
    let (began, over) =
        (instants(&results, ActivityKind::IncidentBegan), instants(&results, ActivityKind::IncidentOver));
    assert!(began.len() - over.len() <= 1);
    let expected = 1_000.0 * 60.0 / 40.0;
    // A cycle of two exponential parts: its variance over its squared mean is (30² + 10²) / 40².
    let error = 4.0 * f64::sqrt(expected * 1_000.0 / 1_600.0);
    assert!((began.len() as f64 - expected).abs() < error, "{} ± {error}", began.len());
    let slow: f64 = over.iter().zip(&began).map(|(over, began)| over - began).sum();
    let mean = slow / over.len() as f64;
    assert!((mean / 600.0 - 1.0).abs() < 4.0 / f64::sqrt(over.len() as f64), "{mean} s");
}

/// An incident's draws are its own: another one beside it changes none of them.
#[test]
fn an_incident_has_a_stream_of_its_own() {
    let slow = "[[incident]]\nslow = { group = \"g\", every = { exp = { mean = \"1h\" } }, for = \"1min\", factor = 2 }\n";
    let down = "[[incident]]\nslow_dependency = { service = \"s\", every = { exp = { mean = \"1h\" } }, for = \"1min\", factor = 2 }\n";
    let began = |rest: &str| {
        let steps = "{ cpu = \"10ms\" }, { wait = \"1ms\" }";
        let results = Case { duration: "100h", rate: "1/h", steps, rest, ..CASE }.play();
        let of_slow = of_kind(&results, ActivityKind::IncidentBegan);
        let cpu = of_slow.into_iter().filter(|activity| activity.description.contains("CPU work"));
        cpu.map(|activity| activity.at).collect::<Vec<_>>()
    };
    let alone = began(slow);
    assert!(alone.len() > 50);
    assert_eq!(alone, began(&format!("{slow}{down}")));
    assert_eq!(alone, began(&format!("{down}{slow}")));
}

/// What comes in the first instant of a pause waits for all of it, and what it piles up takes its CPU time afterwards.
#[test]
fn a_pause_is_waited_for() {
    let rest = "[[incident]]\npause = { group = \"g\", at = \"5min\", for = \"10s\" }";
    let run = Case { duration: "10min", rest, ..CASE }.play().run;
    let longest = run.response_time.max;
    assert!((9.0..11.0).contains(&longest), "{longest} s");
    assert_eq!(run.requests.completed, run.requests.offered - run.requests.in_flight, "nothing is lost");
}
