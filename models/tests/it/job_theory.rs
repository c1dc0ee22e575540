//! Jobs against queueing theory: workers are M/M/c, clients that poll learn later, and deadlines are impatience.

use scalesim::results::{Distribution, Results};
use scalesim::theory::{ErlangA, Mg1, Mg1Setup, Mmc, Moments, SynchronousPolling};
use serde_json::Value;

use crate::jobs::run;
use crate::polling_vectors::playable;
use crate::theory_vectors::VECTORS;

/// Jobs come at `rate` a second to `workers` that take them one by one; `more` is said of the worker, `status` of the clients.
fn workers(jobs: u64, rate: f64, workers: u64, takes: &str, more: &str, status: &str) -> String {
    let duration = (jobs as f64 / rate).ceil();
    format!(
        r#"
[scenario]
duration = "{duration}s"
warm_up = "{}s"
[traffic.users]
to = "front"
profile = {{ constant = "{rate}/s" }}
mix = {{ "POST /jobs" = 1 }}
{status}
[service.api]
runtime = {{ event-loop = {{ accept_queue = 100000 }} }}
[service.api.endpoint."POST /jobs"]
steps = [{{ enqueue = "jobs" }}]
[service.api.endpoint."GET /job"]
steps = []
[service.worker]
runtime = "thread-per-request"
[service.worker.endpoint.job]
steps = [{{ wait = {takes} }}]
[group.api]
service = "api"
machine = "c7g.large"
min = 1
[group.workers]
service = "worker"
machine = "c7g.large"
min = {workers}
worker = {{ queue = "jobs", job = "job"{more} }}
[balancer.front]
targets = "api"
health_check = "none"
[queue.jobs]
redis_list = {{}}
"#,
        (duration / 10.0).floor()
    )
}

fn quantile(of: &Distribution, metric: &str) -> f64 {
    match metric.rsplit_once("_p").map(|(_, percent)| percent) {
        Some("50") => of.p50,
        Some("90") => of.p90,
        Some("95") => of.p95,
        Some("99") => of.p99,
        _ => panic!("no such quantile: {metric}"),
    }
}

/// What a run says of a vector's metric.
fn simulated(results: &Results, metric: &str) -> f64 {
    let jobs = &results.run.jobs[0];
    match metric {
        "mean_observed" | "observed" => jobs.total.mean,
        "mean_extra" => jobs.told.mean,
        _ if metric.starts_with("extra_p") => quantile(&jobs.told, metric),
        _ => quantile(&jobs.total, metric),
    }
}

/// Each vector of clients that poll, within four standard errors as its budget has them, for a part of its jobs.
#[test]
fn clients_that_poll_learn_of_their_jobs_as_theory_says() {
    const MOST_JOBS: u64 = 250_000;
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let (mut groups, mut checked) = (0, 0);
    for (name, cases) in playable(&file) {
        let params = &cases[0].0.0["params"];
        let number = |key: &str| params[key].as_f64();
        let interval = number("poll_interval").unwrap();
        let free = cases[0].0.text("model").contains("free-running");
        let clock = if free { "free-running" } else { "submission" };
        let status = format!(
            "[traffic.users.status]\npoll = {{ endpoint = \"GET /job\", every = \"{interval}s\", clock = \"{clock}\" }}"
        );
        let jobs = cases.iter().filter_map(|(_, jobs)| *jobs).max().unwrap_or(2_000).min(MOST_JOBS);
        let text = match number("duration") {
            Some(takes) => workers(jobs, 0.01, 4, &format!("\"{takes}s\""), "", &status),
            None => {
                let mean = 1.0 / number("mu").unwrap();
                let takes = format!("{{ exp = {{ mean = \"{mean}s\" }} }}");
                let count = params["c"].as_u64().unwrap();
                workers(jobs, number("lambda").unwrap(), count, &takes, "", &status)
            }
        };
        let results = run(&text);
        groups += 1;
        for (case, _) in &cases {
            let (metric, expected) = (case.text("metric"), case.0["expected"].as_f64().unwrap());
            let found = simulated(&results, metric);
            let measured = results.run.jobs[0].total.count as f64;
            let spread = case.0["sim_budget"]["rel_sd_per_sqrt_unit"].as_f64().unwrap_or(0.0);
            let allowed = 4.0 * spread / measured.sqrt() + 2e-3;
            let off = (found - expected).abs() / expected;
            assert!(off <= allowed, "{name}/{metric}: {found} for {expected}, {off:.4} > {allowed:.4}");
            checked += 1;
        }
    }
    assert_eq!((groups, checked), (12, 49));
}

/// The questions that clients ask are as many as the closed form says, and each is a request to the HTTP layer.
#[test]
fn polls_load_the_http_layer_as_theory_says() {
    let status =
        "[traffic.users.status]\npoll = { endpoint = \"GET /job\", every = \"2s\", clock = \"submission\" }";
    let results = run(&workers(60_000, 4.0, 6, "{ exp = { mean = \"1s\" } }", "", status));
    let theory = SynchronousPolling::new(Mmc::new(4.0, 1.0, 6).unwrap(), 2.0).unwrap();
    let jobs = &results.run.jobs[0];
    let each = jobs.counts.questions as f64 / jobs.total.count as f64;
    assert!((each / theory.mean_polls() - 1.0).abs() < 0.03, "{each} for {}", theory.mean_polls());
    let status = results.run.traffic.iter().find(|part| part.name == "users status").unwrap();
    assert_eq!(status.requests.offered, jobs.counts.questions);
}

/// Jobs that nobody wants any more once their client's patience is over: the wait of those that are done, and how many are not,
/// are those of Erlang A, for who has given up takes no worker's time.
#[test]
fn deadlines_are_erlang_a() {
    for (rate, count, patience) in [(9.0, 10, 2.0), (12.0, 10, 1.0), (2.0, 1, 0.5)] {
        let deadline = format!(", deadline = {{ exp = {{ mean = \"{patience}s\" }} }}");
        let results = run(&workers(150_000, rate, count, "{ exp = { mean = \"1s\" } }", &deadline, ""));
        let theory = ErlangA::new(rate, 1.0, count as u32, 1.0 / patience).unwrap();
        let counts = &results.run.jobs[0].counts;
        let ended = (counts.done + counts.too_late) as f64;
        let share = counts.too_late as f64 / ended;
        let expected = theory.p_abandon();
        // Losses come in bursts: allow five standard errors of independent ones.
        let allowed = 5.0 * (expected * (1.0 - expected) / ended).sqrt();
        assert!((share - expected).abs() < allowed, "{rate}: {share} for {expected}, {allowed}");
    }
}

/// A worker that drops its model as soon as it has nothing to do, and loads it for the first job of the next busy period, is
/// M/G/1 with set-up; one that keeps it for a while switches off less often.
#[test]
fn loading_a_model_after_each_idle_period_is_a_set_up_time() {
    for keep in [0.0f64, 2.0] {
        let load = format!(", load = {{ takes = {{ exp = {{ mean = \"3s\" }} }}, keep = \"{keep}s\" }}");
        let results = run(&workers(300_000, 0.5, 1, "{ exp = { mean = \"1s\" } }", &load, ""));
        let queue = Mg1::new(0.5, exponential(1.0)).unwrap();
        let theory = Mg1Setup::with_idle_timeout(queue, exponential(3.0), (-0.5 * keep).exp());
        let expected = theory.unwrap().mean_wait() + 1.0;
        let found = results.run.jobs[0].total.mean;
        assert!((found / expected - 1.0).abs() < 0.03, "kept for {keep} s: {found} for {expected}");
    }
}

/// The moments of an exponential time.
fn exponential(mean: f64) -> Moments {
    Moments::new(mean, 2.0 * mean.powi(2), 6.0 * mean.powi(3)).unwrap()
}
