//! The simulation against queueing theory: whole systems, from scenario to results, held against published closed forms.
//!
//! Budgets and tolerances are those that come with the vectors: 4.4 standard errors at the stated number of jobs, so a
//! correct model fails a case once in ten thousand. Jobs of a test unit take 10 ms.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use scalesim::Scenario;
use scalesim::machine::{Kernel, Scheduler};
use scalesim::plan::{GroupId, Incident, IncidentKind, Plan, When};
use scalesim::system::System;
use scalesim::traffic::{Arrivals, RateArrivals, RateFunction};
use serde::Deserialize;
use serde_json::Value;
use sim_core::dist::Dist;
use sim_core::stats::Tally;
use sim_core::{Seed, Span, Time};

/// What one unit of time of the vectors is here.
const UNIT: f64 = 0.01;

#[derive(Clone, Deserialize)]
struct Case {
    name: String,
    group: String,
    model: String,
    params: Value,
    metric: String,
    expected: f64,
    rel_tol: f64,
    abs_tol: Option<f64>,
    sim_budget: Option<Budget>,
}

#[derive(Clone, Deserialize)]
struct Budget {
    n: f64,
}

impl Case {
    fn f(&self, key: &str) -> Option<f64> {
        self.params[key].as_f64()
    }

    /// What is wrong with an estimate, if anything.
    fn judge(&self, seen: f64) -> Option<String> {
        let allowed = (self.rel_tol * self.expected.abs()).max(self.abs_tol.unwrap_or(0.0));
        let off = (seen - self.expected).abs();
        (off.is_nan() || off > allowed)
            .then(|| format!("{}: {seen} for {} ± {allowed}", self.name, self.expected))
    }
}

/// Cases by group; metrics of a group come from one run.
fn groups(models: &[&str]) -> Vec<Vec<Case>> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    let file: File = serde_json::from_str(include_str!("../data/queueing-vectors.json")).unwrap();
    let mut groups: BTreeMap<(String, String), Vec<Case>> = BTreeMap::new();
    for case in file.cases.into_iter().filter(|case| models.contains(&case.model.as_str())) {
        groups.entry((case.model.clone(), case.group.clone())).or_default().push(case);
    }
    groups.into_values().collect()
}

/// The service distribution of a case, as a scenario states it.
fn service(case: &Case) -> String {
    let span = |units: f64| format!("\"{:.12}s\"", units * UNIT);
    let dist = &case.params["service"];
    let of = |key: &str| dist[key].as_f64().unwrap();
    match dist["dist"].as_str() {
        None => format!("{{ exp = {{ mean = {} }} }}", span(1.0 / case.f("mu").unwrap())),
        Some("exponential") => format!("{{ exp = {{ mean = {} }} }}", span(of("mean"))),
        Some("deterministic") => span(of("value")),
        Some("uniform") => {
            format!("{{ uniform = {{ low = {}, high = {} }} }}", span(of("low")), span(of("high")))
        }
        Some("erlang") => format!("{{ erlang = {{ shape = {}, mean = {} }} }}", of("k"), span(of("mean"))),
        Some("lognormal") => {
            format!("{{ lognormal = {{ mean = {}, cv = {:?} }} }}", span(of("mean")), of("cv"))
        }
        Some("bounded_pareto") => {
            format!(
                "{{ pareto = {{ alpha = {:?}, low = {}, high = {} }} }}",
                of("alpha"),
                span(of("low")),
                span(of("high"))
            )
        }
        Some("hyperexponential2") => {
            let (p, first, second) = (of("p"), span(1.0 / of("rate1")), span(1.0 / of("rate2")));
            format!("{{ hyperexp = {{ phases = [[{p:?}, {first}], [{:?}, {second}]] }} }}", 1.0 - p)
        }
        other => unimplemented!("{other:?}"),
    }
}

/// A system as the vectors describe it.
struct Setup {
    instances: u64,
    cores: u64,
    runtime: String,
    algorithm: String,
    jobs: f64,
    rate: f64,
}

fn setup(case: &Case, jobs: f64) -> Setup {
    const ENDLESS: u32 = 1_000_000_000;
    let whole = |key: &str| case.params[key].as_u64();
    let cores = whole("c").or(whole("cores")).or(whole("c_per_server")).unwrap_or(1);
    let instances = whole("N").or(whole("suggested_N")).unwrap_or(1);
    let pool = |threads: u64, queue: u64| {
        format!("{{ thread-pool = {{ threads = {threads}, accept_queue = {queue}, overhead = \"0s\" }} }}")
    };
    let runtime = match case.model.as_str() {
        "M/M/c/c" | "M/G/c/c" => pool(cores, 0),
        "M/M/1/K" | "M/M/c/K" => pool(cores, whole("K").unwrap() - cores),
        "M/M/c-LPS" => pool(whole("max_in_service").unwrap(), u64::from(ENDLESS)),
        "M/G/c/K-PS" => pool(whole("max_concurrency").unwrap(), 0),
        model if model.contains("PS") || model.contains("RR") => {
            "{ thread-per-request = { overhead = \"0s\" } }".to_string()
        }
        // One server is one event loop, several are threads that take from one queue.
        _ if cores == 1 => format!("{{ event-loop = {{ accept_queue = {ENDLESS}, overhead = \"0s\" }} }}"),
        _ => pool(cores, u64::from(ENDLESS)),
    };
    let policy = case.params["policy"].as_str().unwrap_or("");
    let algorithm = match policy {
        p if p.contains("random") || case.params["d"].as_u64() == Some(1) => "\"random\"".to_string(),
        p if p.contains("power of") || p.contains("sample") => {
            format!("{{ power-of-choices = {} }}", whole("d").unwrap_or(2))
        }
        p if p.contains("shortest") || p.contains("least") => "\"least-outstanding-requests\"".to_string(),
        _ => "\"round-robin\"".to_string(),
    };
    let rate = case.f("lambda").unwrap_or_else(|| case.f("lambda_per_server").unwrap() * instances as f64);
    Setup { instances, cores, runtime, algorithm, jobs, rate }
}

impl Setup {
    fn scenario(&self, service: &str, step: &str) -> String {
        let rate = self.rate / UNIT;
        let measured = self.jobs / rate;
        // A tenth of the run, and some relaxation times, go to the warm-up.
        let warm_up = (0.1 * measured).max(2_000.0 * UNIT);
        format!(
            r#"
            [scenario]
            duration = "{:.9}s"
            warm_up = "{warm_up:.9}s"
            [limits]
            events = 100_000_000_000
            in_flight = 100_000_000
            [traffic.t]
            to = "b"
            profile = {{ constant = "{rate:?}/s" }}
            timeout = "none"
            [service.s]
            runtime = {}
            [service.s.endpoint.e]
            steps = [{{ {step} = {service} }}]
            [machine.m]
            vcpus = {}
            scheduler = {{ shares = {{ switch = "0s" }} }}
            [group.g]
            service = "s"
            machine = "m"
            min = {}
            [balancer.b]
            targets = "g"
            health_check = "none"
            idle_timeout = "none"
            algorithm = {}
            "#,
            measured + warm_up,
            self.runtime,
            self.cores,
            self.instances,
            self.algorithm,
        )
    }
}

fn plan(text: &str) -> Plan {
    Scenario::parse(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).plan().clone()
}

/// The server stands still again and again, and goes on where it stood.
fn breakdowns(case: &Case, fail_rate: f64) -> Incident {
    let repair = &case.params["repair"];
    let repair = match repair["dist"].as_str() {
        Some("exponential") => Dist::exponential(repair["mean"].as_f64().unwrap() * UNIT * 1e9),
        _ => Dist::constant(repair["value"].as_f64().unwrap() * UNIT * 1e9),
    };
    Incident {
        kind: IncidentKind::Pause { group: GroupId(0), count: 1 },
        when: When::Every(Dist::exponential(UNIT * 1e9 / fail_rate).unwrap()),
        lasts: Some(repair.unwrap()),
    }
}

/// Runs a system and gives the value of each of its metrics that is measured.
fn simulate(case: &Case, jobs: f64) -> impl Fn(&Case) -> Option<f64> + use<> {
    let setup = setup(case, jobs);
    let mut plan = plan(&setup.scenario(&service(case), "cpu"));
    if let Some(quantum) = case.f("quantum") {
        let slice = Some(Span::from_secs_f64(quantum * UNIT));
        let kernel = Kernel { slice, tick: Span::ZERO, ..Kernel::IDEAL };
        plan.groups[0].machines[0].processor.scheduler = Scheduler::Slices(kernel);
    }
    if let Some(fail_rate) = case.f("fail_rate") {
        plan.incidents.push(breakdowns(case, fail_rate));
    }
    let seed = Seed::new(1).stream(&case.group);
    let mut simulation =
        System::start(Arc::new(plan.clone()), Seed::new(rand::Rng::next_u64(&mut seed.clone())));
    simulation.run(Time::ZERO + plan.duration, u64::MAX, &mut ());
    let seconds = (plan.duration.saturating_sub(plan.warm_up)).as_secs_f64();
    let units = seconds / UNIT;
    let (now, world) = (simulation.calendar.now(), simulation.model);
    let endpoint = world.measure().endpoints[0].clone();
    let number = world.fleets()[0].inside.mean(now);
    move |case| {
        let (times, waits, ledger) = (&endpoint.served.times, endpoint.wait(), endpoint.served.ledger());
        let quantile = |q: f64| times.quantile(q).unwrap().as_secs_f64() / UNIT;
        let arrivals = ledger.offered as f64 / units;
        let started = (ledger.offered - ledger.refused) as f64 / units;
        let queue = started * waits.time.mean / UNIT;
        Some(match case.metric.as_str() {
            "mean_sojourn" => times.mean().unwrap() / 1e9 / UNIT,
            "std_sojourn" => times.std_dev().unwrap() / 1e9 / UNIT,
            "sojourn_p50" => quantile(0.50),
            "sojourn_p95" => quantile(0.95),
            "sojourn_p99" => quantile(0.99),
            "p_sojourn_gt_t" => times.fraction_above(Span::from_secs_f64(case.f("t")? * UNIT)),
            "mean_wait" => waits.time.mean / UNIT,
            "std_wait" => waits.time.std_dev / UNIT,
            "wait_p50" => waits.time.p50 / UNIT,
            "wait_p95" => waits.time.p95 / UNIT,
            "wait_p99" => waits.time.p99 / UNIT,
            "p_wait" => waits.waited,
            "mean_number" => number,
            "mean_queue" => queue,
            "mean_busy" => number - queue,
            "p_block" => ledger.refused as f64 / (arrivals * units),
            "throughput" => ledger.completed as f64 / units,
            _ => return None,
        })
    }
}

/// Runs all groups of some models and holds them against their cases. At least `least` cases must be covered.
fn check(models: &[&str], least: usize) {
    let groups = groups(models);
    let judged: Vec<(usize, Vec<String>)> = groups
        .par_iter()
        .map(|cases| {
            let budget = |case: &Case| case.sim_budget.as_ref().map_or(0.0, |budget| budget.n);
            let usable: Vec<&Case> = cases.iter().filter(|case| budget(case) > 0.0 && usable(case)).collect();
            let Some(first) = usable.first() else { return (0, Vec::new()) };
            let jobs = usable.iter().map(|case| budget(case)).fold(0.0, f64::max);
            let value = simulate(first, 1.02 * jobs);
            let seen: Vec<(&Case, f64)> =
                usable.iter().filter_map(|case| Some((*case, value(case)?))).collect();
            (seen.len(), seen.iter().filter_map(|(case, value)| case.judge(*value)).collect())
        })
        .collect();
    let covered: usize = judged.iter().map(|group| group.0).sum();
    let wrong: Vec<&String> = judged.iter().flat_map(|group| &group.1).collect();
    println!("{covered} cases of {} groups: {models:?}", groups.len());
    assert!(wrong.is_empty(), "{} of {covered} cases are off:\n{wrong:#?}", wrong.len());
    assert!(covered >= least, "only {covered} cases are covered, {least} were before");
}

/// The balancer's choices are different ones: the model of the literature may draw the same server twice,
/// which with ten servers costs 4 % of the mean. With a thousand it does not matter.
fn usable(case: &Case) -> bool {
    let few = case.params["N"].as_u64().is_some_and(|n| n < 1_000);
    let repeats = case.params["policy"]
        .as_str()
        .is_some_and(|policy| policy.to_lowercase().contains("with replacement"));
    // Slices have a queue for each vCPU. Where sizes are not exponential that is not one queue for all, as these cases
    // have it; and a switch costs where the thread changes, not at each dispatch.
    let one_queue = case.model != "M/G/c-RR, PS limit"
        || (case.params["cores"] == 1 && case.f("switch_overhead") == Some(0.0));
    // An incident asks nobody whether the server is busy.
    let any_time =
        !case.params["semantics"].as_str().is_some_and(|words| words.contains("only while serving"));
    !(few && repeats) && one_queue && any_time
}

#[test]
fn erlang_loss_systems() {
    check(&["M/M/c/c", "M/G/c/c"], 19);
}

/// An incident that pauses the only instance, again and again.
#[test]
fn servers_that_break_down() {
    check(&["M/M/1-breakdown", "M/G/1-breakdown"], 9);
}

#[test]
fn multi_server_queues() {
    check(&["M/M/c"], 130);
}

#[test]
fn single_server_queues_of_any_service_time() {
    check(&["M/G/1-FIFO", "M/D/1-FIFO"], 77);
}

#[test]
fn multi_server_queues_of_any_service_time() {
    check(&["M/D/c-FIFO", "M/G/c-FIFO"], 58);
}

#[test]
fn processor_sharing() {
    check(&["M/G/1-PS", "M/G/c-PS", "M/M/c-PS", "M/M/1-PS", "M/M/c-LPS", "M/G/c/K-PS"], 67);
}

/// Turns of a quantum, one by one, on run queues: of exponential sizes the mean is that of M/M/c whatever the quantum; with
/// short quanta it is that of processor sharing, whatever the sizes.
#[test]
fn time_slices() {
    check(&["M/M/c-RR", "M/G/c-RR, PS limit"], 10);
}

#[test]
fn finite_queues() {
    check(&["M/M/1/K", "M/M/c/K"], 64);
}

#[test]
fn random_and_round_robin_balancers() {
    check(
        &[
            "random-split N x M/M/1",
            "random-split N x M/M/c",
            "random-split N x M/G/c-PS",
            "round-robin E_N/M/1",
            "round-robin E_N/M/c",
            "round-robin E_N/D/1",
            "round robin to PS servers",
        ],
        77,
    );
}

#[test]
fn balancers_that_look_at_the_load() {
    check(
        &[
            "JSQ N=2",
            "JSQ",
            "least-connections 2 x M/c cores",
            "JSQ to PS servers",
            "power-of-d finite N",
            "power-of-d mean field (N->infinity)",
            "power-of-d refined mean field",
        ],
        32,
    );
}

/// A test that cannot fail proves nothing: constant service times played as exponential ones, and first come, first
/// served played as processor sharing, must both be noticed.
#[test]
fn a_wrong_model_is_noticed() {
    let constant = groups(&["M/G/1-FIFO"])
        .into_iter()
        .flatten()
        .find(|case| case.group == "mg1-det-rho0.7" || case.name.contains("det"))
        .unwrap();
    let mut wrong = constant.clone();
    wrong.params["service"] = serde_json::json!({ "dist": "exponential", "mean": 1.0 });
    assert!(constant.judge(simulate(&wrong, 200_000.0)(&constant).unwrap()).is_some());
    let fifo =
        groups(&["M/D/c-FIFO"]).into_iter().flatten().find(|case| case.metric == "mean_sojourn").unwrap();
    let mut wrong = fifo.clone();
    wrong.model = "M/G/c-PS".into();
    assert!(fifo.judge(simulate(&wrong, 200_000.0)(&fifo).unwrap()).is_some());
}

/// Ensemble means at clock times: replications of a system whose load follows a wave or jumps.
fn check_at_times(
    models: &[&str],
    rate: impl Fn(&Case) -> Option<(RateFunction, f64)> + Sync,
    step: &str,
    least: usize,
) {
    let groups = groups(models);
    let judged: Vec<(usize, Vec<String>)> = groups
        .par_iter()
        .map(|cases| {
            let wanted = |case: &&Case| {
                case.sim_budget.is_some()
                    && ["mean_busy_at_t", "mean_number_at_t", "p_empty_at_t", "p_all_busy_at_t"]
                        .contains(&case.metric.as_str())
            };
            let mut cases: Vec<&Case> = cases.iter().filter(wanted).collect();
            cases.sort_by(|a, b| a.f("t").unwrap().total_cmp(&b.f("t").unwrap()));
            let Some((rate, origin)) = cases.first().and_then(|case| rate(case)) else {
                return (0, Vec::new());
            };
            let replications =
                cases.iter().map(|case| case.sim_budget.as_ref().unwrap().n as u32).max().unwrap();
            let seen = ensemble(&cases, &rate, origin, step, replications);
            let wrong =
                cases.iter().zip(&seen).filter_map(|(case, tally)| case.judge(tally.mean())).collect();
            (cases.len(), wrong)
        })
        .collect();
    let covered: usize = judged.iter().map(|group| group.0).sum();
    let wrong: Vec<&String> = judged.iter().flat_map(|group| &group.1).collect();
    println!("{covered} cases of {} groups: {models:?}", groups.len());
    assert!(wrong.is_empty(), "{} of {covered} cases are off:\n{wrong:#?}", wrong.len());
    assert!(covered >= least, "only {covered} cases are covered, {least} were before");
}

/// The value of each case, over all replications. Time 0 of the vectors is `origin` units after the start.
fn ensemble(cases: &[&Case], rate: &RateFunction, origin: f64, step: &str, replications: u32) -> Vec<Tally> {
    let first = cases[0];
    let mut with_rate = first.clone();
    with_rate.params["lambda"] = serde_json::json!(1.0);
    if let Some(counts) = first.params["server_schedule_counts"].as_array() {
        with_rate.params["c"] = counts[0].clone();
    }
    let mut setup = setup(&with_rate, 1.0);
    if step == "wait" {
        setup.runtime = "{ thread-per-request = { overhead = \"0s\" } }".to_string();
    }
    let mut plan = plan(&setup.scenario(&service(first), step));
    plan.warm_up = Span::ZERO;
    plan.duration = Span::MAX;
    plan.traffic[0].arrivals = Arrivals::Rate(RateArrivals::new(Arc::new(rate.clone()), 1.0).unwrap());
    plan.traffic[0].expected = rate.clone();
    let plan = Arc::new(plan);
    let cores = setup.cores as usize;
    let mut tallies = vec![Tally::new(); cases.len()];
    for replication in 0..replications {
        let mut simulation = System::start(plan.clone(), Seed::new(7).replication(replication));
        for (case, tally) in cases.iter().zip(&mut tallies) {
            let at = Time::ZERO + Span::from_secs_f64((origin + case.f("t").unwrap()) * UNIT);
            simulation.run(at, u64::MAX, &mut ());
            let number = simulation.model.in_flight();
            tally.record(match case.metric.as_str() {
                "p_empty_at_t" => f64::from(u8::from(number == 0)),
                "p_all_busy_at_t" => f64::from(u8::from(number >= cores)),
                _ => number as f64,
            });
        }
    }
    tallies
}

/// A sine wave over a few periods.
fn wave(mean: f64, amplitude: f64, omega: f64, phase: f64, until: f64) -> RateFunction {
    let end = Time::ZERO + Span::from_secs_f64(until * UNIT);
    let shape = move |t: Time| (mean + amplitude * (omega * t.as_secs_f64() / UNIT + phase).sin()) / UNIT;
    // Period by period, so that each has knots enough.
    let period = std::f64::consts::TAU / omega;
    let mut knots = Vec::new();
    let mut from = Time::ZERO;
    while from < end {
        let to = (from + Span::from_secs_f64(period * UNIT)).min(end);
        knots.extend_from_slice(RateFunction::from_shape(from, to, amplitude / UNIT, shape).knots());
        from = to;
    }
    RateFunction::from_knots(knots)
}

#[test]
fn time_varying_load_without_queueing() {
    let rate = |case: &Case| {
        let period = case.f("period")?;
        let origin = 3.0 * period; // far enough in the past for services that are short against it
        Some((
            wave(
                case.f("lambda_bar")?,
                case.f("amplitude")?,
                std::f64::consts::TAU / period,
                0.0,
                origin + 2.0 * period,
            ),
            origin,
        ))
    };
    check_at_times(&["M(t)/G/inf"], rate, "wait", 19);
}

#[test]
fn time_varying_load_with_queueing() {
    let rate = |case: &Case| {
        let fixed = case.params["server_schedule_counts"].as_array()?.len() == 1;
        let (mean, amplitude) = (case.f("lambda_bar")?, case.f("amplitude")?);
        let (omega, phase) = (case.f("omega")?, case.f("phase")?);
        fixed.then(|| (wave(mean, amplitude, omega, phase, 5.0 * std::f64::consts::TAU / omega), 0.0))
    };
    check_at_times(&["M(t)/M/c(t)"], rate, "cpu", 25);
}

#[test]
fn transients_from_an_empty_system() {
    let rate = |case: &Case| {
        let end = Time::ZERO + Span::from_secs_f64(100_000.0 * UNIT);
        let rate = case.f("lambda")? / UNIT;
        (case.f("initial_jobs")? == 0.0)
            .then(|| (RateFunction::from_knots(vec![(Time::ZERO, rate), (end, rate)]), 0.0))
    };
    check_at_times(&["M/M/1 transient"], rate, "cpu", 1);
}

#[test]
fn flash_crowds() {
    let rate = |case: &Case| {
        let origin = 200.0; // to be stationary at half load
        let at = |units: f64| Time::ZERO + Span::from_secs_f64(units * UNIT);
        let [before, during, after] =
            ["lambda_before", "lambda_during", "lambda_after"].map(|key| case.f(key).unwrap() / UNIT);
        let over = origin + case.f("duration")?;
        let knots = vec![
            (at(0.0), before),
            (at(origin), before),
            (at(origin), during),
            (at(over), during),
            (at(over), after),
            (at(1e6), after),
        ];
        Some((RateFunction::from_knots(knots), origin))
    };
    check_at_times(&["flash crowd M(t)/M/c"], rate, "cpu", 32);
}
