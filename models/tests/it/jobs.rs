//! Jobs as whole systems: conserved whatever happens, done again or lost as their queue says, and known about as their clients ask.

use scalesim::results::{JobsResult, QueueResult, Results};
use scalesim::{Experiment, Scenario};

/// A system that submits one job every `interval` on average to `queue`, and workers that take `takes` for each.
pub fn system(queue: &str, group: &str, more: &str) -> String {
    format!(
        r#"
[scenario]
duration = "2h"
seed = 5

[traffic.users]
to = "front"
profile = {{ constant = "0.5/s" }}
mix = {{ "POST /jobs" = 1 }}

[service.api]
runtime = "event-loop"
[service.api.endpoint."POST /jobs"]
steps = [{{ cpu = "2ms" }}, {{ enqueue = "jobs" }}]
[service.api.endpoint."GET /job"]
steps = [{{ cpu = "1ms" }}]

[service.worker]
runtime = "thread-per-request"
[service.worker.endpoint.job]
steps = [{{ wait = {{ exp = {{ mean = "10s" }} }} }}]

[group.api]
service = "api"
machine = "c7g.large"
min = 1

[group.workers]
service = "worker"
machine = "c7g.large"
{group}

[balancer.front]
targets = "api"

[queue.jobs]
{queue}
{more}
"#
    )
}

pub fn run(text: &str) -> Results {
    let scenario = Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    Experiment::new(&scenario).run()
}

fn of(results: &Results) -> (&JobsResult, &QueueResult) {
    (&results.run.jobs[0], &results.run.queues[0])
}

const WORKERS: &str = "min = 8\nworker = { queue = \"jobs\", job = \"job\" }";

#[test]
fn jobs_are_done_and_none_is_lost() {
    let results = run(&system("sqs = { visibility_timeout = \"10min\", wait_time = \"20s\" }", WORKERS, ""));
    let (jobs, queue) = of(&results);
    assert!(jobs.counts.submitted > 3_000);
    assert_eq!(jobs.counts.lost() + jobs.counts.dead_lettered, 0);
    assert_eq!(jobs.counts.done, queue.consumed);
    assert_eq!(jobs.counts.submitted - jobs.counts.done, queue.visible + queue.in_flight);
    assert_eq!(queue.received_again, 0);
    assert!((jobs.served.mean - 10.0).abs() < 0.6, "{}", jobs.served.mean);
}
