//! Polling, batches and vacations: the closed forms against their reference vectors, all of them, to the precision each
//! vector claims.

use std::collections::BTreeMap;

use scalesim::theory::*;
use serde_json::Value;

use crate::theory_vectors::Case;

/// The family of the vectors that this file is about.
const FAMILY: &str = "f10_polling_batch";
/// Its cases by model. There is no other, and none is left out.
const CASES: &[(&str, usize)] = &[
    ("M/G/1 multiple vacations", 8),
    ("M/M/c + free-running polling", 30),
    ("M/M/c + synchronous polling", 16),
    ("M/M[1,b]/1 batch service", 6),
    ("M[X]/G/1", 8),
    ("M[X]/M/c", 4),
    ("deterministic job + synchronous polling", 3),
    ("fixed-interval bulk pick-up", 8),
    ("k-of-k periodic alarm", 3),
];
/// Models that are jobs, workers and polling clients, which a simulation can play.
const PLAYABLE: [&str; 3] = [
    "M/M/c + synchronous polling",
    "M/M/c + free-running polling",
    "deterministic job + synchronous polling",
];

fn family(file: &Value) -> impl Iterator<Item = Case<'_>> {
    file["cases"].as_array().unwrap().iter().filter(|case| case["family"] == FAMILY).map(Case)
}

/// Cases that a simulation can play, by group: metrics of a group come from one run. With each, the jobs after warm-up
/// that its tolerance is for; `None` where one job shows it, as everything is constant.
pub(super) fn playable(file: &Value) -> BTreeMap<&str, Vec<(Case<'_>, Option<u64>)>> {
    let mut groups: BTreeMap<&str, Vec<(Case<'_>, Option<u64>)>> = BTreeMap::new();
    for case in family(file).filter(|case| PLAYABLE.contains(&case.text("model"))) {
        let jobs = case.0["sim_budget"]["n"].as_u64();
        groups.entry(case.0["group"].as_str().unwrap()).or_default().push((case, jobs));
    }
    groups
}

fn answer(case: &Case) -> Result<f64, TheoryError> {
    match case.text("model") {
        "M/M/c + synchronous polling" => synchronous(case),
        "M/M/c + free-running polling" => free_running(case),
        "deterministic job + synchronous polling" => {
            first_poll_after(case.number("duration"), case.number("poll_interval"))
        }
        "k-of-k periodic alarm" => {
            let alarm = PeriodicAlarm::new(case.number("period"), case.count("consecutive_breaches"))?;
            Ok(alarm.mean_detection_delay())
        }
        "M/G/1 multiple vacations" => vacations(case),
        "fixed-interval bulk pick-up" => pick_up(case),
        "M/M[1,b]/1 batch service" => batch_service(case),
        "M[X]/G/1" => batches_to_one(case),
        "M[X]/M/c" => batches_to_many(case),
        other => panic!("no formula for {other}"),
    }
}

fn queue(case: &Case) -> Result<Mmc, TheoryError> {
    Mmc::new(case.number("lambda"), case.number("mu"), case.count("c"))
}

fn synchronous(case: &Case) -> Result<f64, TheoryError> {
    let polling = SynchronousPolling::new(queue(case)?, case.number("poll_interval"))?;
    match case.text("metric") {
        "mean_observed" => Ok(polling.mean_observed()),
        "mean_extra" => Ok(polling.mean_extra()),
        _ => polling.observed_quantile(case.percentile()),
    }
}

fn free_running(case: &Case) -> Result<f64, TheoryError> {
    let polling = FreeRunningPolling::new(queue(case)?, case.number("poll_interval"))?;
    match case.text("metric") {
        "mean_observed" => Ok(polling.mean_observed()),
        "mean_extra" => Ok(polling.mean_extra()),
        metric if metric.starts_with("extra_p") => polling.extra_quantile(case.percentile()),
        _ => polling.observed_quantile(case.percentile()),
    }
}

fn wait_or_sojourn(case: &Case, wait: f64, sojourn: f64) -> f64 {
    match case.text("metric") {
        "mean_wait" => wait,
        "mean_sojourn" => sojourn,
        other => panic!("no such metric: {other}"),
    }
}

fn vacations(case: &Case) -> Result<f64, TheoryError> {
    let queue = Mg1::new(case.number("lambda"), case.law("service").moments()?)?;
    let worker = Mg1Vacations::new(queue, case.law("vacation").moments()?);
    Ok(wait_or_sojourn(case, worker.mean_wait(), worker.mean_sojourn()))
}

fn pick_up(case: &Case) -> Result<f64, TheoryError> {
    let consumer =
        BulkPickUp::new(case.number("lambda"), case.number("poll_interval"), case.count("batch_limit"))?;
    Ok(match case.text("metric") {
        "mean_queue_at_poll" => consumer.mean_queue_at_pick_up(),
        "mean_wait" => consumer.mean_wait(),
        other => panic!("no such metric: {other}"),
    })
}

fn batch_service(case: &Case) -> Result<f64, TheoryError> {
    let server = BatchService::new(case.number("lambda"), case.number("mu"), case.count("max_batch"))?;
    Ok(wait_or_sojourn(case, server.mean_wait(), server.mean_sojourn()))
}

fn batch_size(case: &Case) -> BatchSize {
    let law = &case.0["params"]["batch_size"];
    assert_eq!(law["dist"], "fixed", "the vectors have no other");
    BatchSize::Fixed { size: law["value"].as_u64().unwrap() as u32 }
}

fn batches_to_one(case: &Case) -> Result<f64, TheoryError> {
    let service = case.law("service").moments()?;
    let queue = Mg1BatchArrivals::new(case.number("batch_rate"), batch_size(case), service)?;
    Ok(wait_or_sojourn(case, queue.mean_wait(), queue.mean_sojourn()))
}

fn batches_to_many(case: &Case) -> Result<f64, TheoryError> {
    let service_rate = 1.0 / case.mean_of("service");
    let queue =
        MmcBatchArrivals::new(case.number("batch_rate"), batch_size(case), service_rate, case.count("c"))?;
    Ok(wait_or_sojourn(case, queue.mean_wait(), queue.mean_sojourn()))
}

#[test]
fn every_case_of_polling_batches_and_vacations_is_met_to_its_own_precision() {
    let file: Value = serde_json::from_str(crate::theory_vectors::VECTORS).unwrap();
    let mut seen: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    let mut failures = Vec::new();
    let cases: Vec<Case> = family(&file).collect();
    for case in &cases {
        let expected = case.0["expected"].as_f64().unwrap();
        let precision = case.0["expected_rel_precision"].as_f64().unwrap();
        let got = answer(case).unwrap_or_else(|error| panic!("{}: {error}", case.text("name")));
        let difference = (got / expected - 1.0).abs();
        if difference.is_nan() || difference > precision {
            failures.push(format!("{}: {got}, not {expected}: {difference:.1e}", case.text("name")));
        }
        let (compared, worst) = seen.entry(case.text("model")).or_default();
        (*compared, *worst) = (*compared + 1, worst.max(difference));
    }
    for (model, (compared, worst)) in &seen {
        println!("{model:40} {compared:3} compared, worst relative difference {worst:.1e}");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    let counts: Vec<(&str, usize)> = seen.iter().map(|(model, (compared, _))| (*model, *compared)).collect();
    assert_eq!((counts.as_slice(), cases.len()), (CASES, 86));
}

#[test]
fn whatever_a_simulation_can_play_has_a_budget_of_jobs() {
    let file: Value = serde_json::from_str(crate::theory_vectors::VECTORS).unwrap();
    let groups = playable(&file);
    assert_eq!((groups.len(), groups.values().map(Vec::len).sum::<usize>()), (12, 49));
    for (case, jobs) in groups.values().flatten() {
        let constant = case.text("model").starts_with("deterministic");
        assert_eq!(jobs.is_none(), constant, "{}", case.text("name"));
        assert!(jobs.is_none_or(|jobs| jobs >= 10_000), "{}: {jobs:?}", case.text("name"));
    }
}
