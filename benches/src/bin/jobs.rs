//! Jobs through whole systems: many that wait, many that flow through queue and workers, a day of them with clients that poll.
//!
//! `cargo run --release -p scalesim-benches --bin jobs -- waiting|flow|day [jobs]`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot start should stop")]

use std::time::Instant;

use scalesim::{Experiment, Scenario};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "flow".to_string());
    let jobs = arguments.next().map(|jobs| jobs.parse::<u32>().unwrap());
    let text = match what.as_str() {
        "waiting" => waiting(jobs.unwrap_or(1_000_000)),
        "day" => day(jobs.unwrap_or(10_000_000)),
        _ => flow(jobs.unwrap_or(3_000_000)),
    };
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let begun = Instant::now();
    let run = Experiment::new(&scenario).run().run;
    let seconds = begun.elapsed().as_secs_f64();
    let (own, queue) = (&run.jobs[0], &run.queues[0]);
    let submitted = own.counts.submitted as f64;
    println!(
        "{what}: {submitted:.0} jobs, {} done, {} waiting, {} questions, {} events in {seconds:.2} s: {:.2} M jobs/s",
        own.counts.done,
        queue.visible,
        own.counts.questions,
        run.events,
        submitted / seconds / 1e6
    );
    if let Some(peak) = peak_resident() {
        println!(
            "peak resident {:.1} MB, {:.0} bytes a job that waits",
            peak / 1e6,
            peak / queue.visible.max(1) as f64
        );
    }
}

/// Nearly all of so many jobs wait for a worker that takes a day for each.
fn waiting(jobs: u32) -> String {
    system(
        "duration = \"1000s\"\n[limits]\njobs = 100000000",
        f64::from(jobs) / 1e3,
        "",
        "{ wait = \"24h\" }",
        1,
        1,
    )
}

/// Jobs of a millisecond through a queue of SQS and a hundred workers.
fn flow(jobs: u32) -> String {
    system(
        "duration = \"300s\"",
        f64::from(jobs) / 300.0,
        "",
        "{ wait = { exp = { mean = \"1ms\" } } }",
        10,
        10,
    )
}

/// A day of jobs of ten seconds, whose clients ask after five seconds, and again.
fn day(jobs: u32) -> String {
    let status = "[traffic.users.status]\npoll = { endpoint = \"GET /job\", every = \"5s\" }";
    let rate = f64::from(jobs) / 86_400.0;
    let workers = (rate * 10.0 / 0.8 / 10.0).ceil() as u32;
    system("duration = \"24h\"", rate, status, "{ wait = { exp = { mean = \"10s\" } } }", workers, 10)
}

fn system(head: &str, rate: f64, status: &str, step: &str, workers: u32, concurrency: u32) -> String {
    format!(
        r#"
        [scenario]
        {head}
        [traffic.users]
        to = "front"
        profile = {{ constant = "{rate}/s" }}
        mix = {{ "POST /jobs" = 1 }}
        {status}
        [service.api]
        runtime = {{ event-loop = {{ accept_queue = 100000 }} }}
        [service.api.endpoint."POST /jobs"]
        steps = [{{ cpu = "20us" }}, {{ enqueue = "jobs" }}]
        [service.api.endpoint."GET /job"]
        steps = [{{ cpu = "10us" }}]
        [service.worker]
        runtime = "thread-per-request"
        [service.worker.endpoint.job]
        steps = [{step}]
        [group.api]
        service = "api"
        machine = "c6i.large"
        min = 2
        [group.workers]
        service = "worker"
        machine = "c6i.large"
        min = {workers}
        worker = {{ queue = "jobs", job = "job", concurrency = {concurrency} }}
        [balancer.front]
        targets = "api"
        health_check = "none"
        [queue.jobs]
        sqs = {{ visibility_timeout = "12h", wait_time = "20s" }}
        "#
    )
}

/// The most memory that the process had, as Linux counts it.
fn peak_resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
}
