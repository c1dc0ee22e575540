//! What results say of jobs and queues adds up, also after a warm-up, in the series, and over replications.

use scalesim::results::{QueueResult, Results, Run};
use scalesim::{Experiment, Scenario};

use crate::jobs::{run, system};

/// Eight workers that get a little more than they can do, of which one crashes; some jobs fail for good.
const GROUP: &str =
    "min = 8\nworker = { queue = \"jobs\", job = \"job\", poison = 0.02, retry = { backoff = \"5s\" } }";
const QUEUE: &str = "sqs = { visibility_timeout = \"2min\", wait_time = \"20s\" }\nmax_receives = 3";
const MORE: &str = r#"
[[incident]]
crash = { group = "workers", at = "01:00" }
[cost]
prices = "aws-us-east-1"
"#;

fn busy() -> String {
    system(QUEUE, GROUP, MORE).replace("0.5/s", "0.85/s")
}

fn after_warm_up() -> String {
    busy().replace("seed = 5", "seed = 5\nwarm_up = \"40min\"")
}

/// What a queue was given and what became of it.
fn conserves(queue: &QueueResult) -> bool {
    let there = queue.visible + queue.in_flight + queue.delayed;
    queue.held_at_start + queue.sent == queue.consumed + queue.dead_lettered + queue.lost + there
}

fn adds_up(run: &Run) {
    let (jobs, queue) = (&run.jobs[0], &run.queues[0]);
    let counts = &jobs.counts;
    let ended = counts.done + counts.dead_lettered + counts.too_late + counts.lost();
    assert!(ended <= counts.submitted, "{counts:?}");
    assert_eq!(counts.in_progress(), queue.visible + queue.in_flight + queue.delayed, "{counts:?} {queue:?}");
    assert!(conserves(queue), "{queue:?}");
    assert_eq!((counts.deliveries, counts.delivered_again), (queue.received, queue.received_again));
    assert_eq!((jobs.served.count, jobs.total.count), (counts.done, counts.done), "nobody asks");
    assert!(counts.failed_tries > 0 && counts.cut_tries == 1 && counts.dead_lettered > 0, "{counts:?}");
}

#[test]
fn jobs_and_messages_add_up() {
    let results = run(&busy());
    adds_up(&results.run);
    assert_eq!(results.run.queues[0].held_at_start, 0);
    assert_eq!(results.run.queues[0].sent, results.run.jobs[0].counts.submitted);
}

#[test]
fn jobs_and_messages_add_up_after_a_warm_up() {
    let (all, measured) = (run(&busy()).run, run(&after_warm_up()).run);
    adds_up(&measured);
    let (counts, queue) = (&measured.jobs[0].counts, &measured.queues[0]);
    // Half of the workers' places were taken at the start: what was in progress counts as submitted.
    assert!(queue.held_at_start > 0);
    assert_eq!(counts.submitted, queue.held_at_start + queue.sent);
    let (all_counts, all_queue) = (&all.jobs[0].counts, &all.queues[0]);
    let share = queue.requests as f64 / all_queue.requests as f64;
    assert!((share - 2.0 / 3.0).abs() < 0.03, "two thirds of the requests: {share}");
    assert!(queue.sent < all_queue.sent && counts.done < all_counts.done);
    // The same day was played.
    assert_eq!((queue.visible, queue.in_flight), (all_queue.visible, all_queue.in_flight));
}

#[test]
fn worker_time_is_what_consumers_were_busy_for() {
    for text in [busy(), after_warm_up()] {
        let run = run(&text).run;
        let (counts, queue) = (&run.jobs[0].counts, &run.queues[0]);
        let measured = if text.contains("warm_up") { 4_800.0 } else { 7_200.0 };
        let worked = counts.useful_seconds + counts.wasted_seconds + counts.duplicated_seconds;
        let busy = queue.consumers_busy_mean * measured;
        // What is in hand at the end is busy and has not been worked yet: eight jobs of some ten seconds.
        assert!(worked <= busy && busy - worked < 8.0 * 60.0, "{worked} of {busy}");
        let percent = run.groups[1].workers_busy.expect("they are workers");
        let share = 100.0 * queue.consumers_busy_mean / queue.consumers_mean;
        assert!((percent - share).abs() < 1e-9 && percent <= 100.0, "{percent} and {share}");
        assert_eq!((run.groups[0].workers_busy, run.groups[1].gpu), (None, None));
        assert!(queue.consumers_mean > 7.8 && queue.consumers_mean <= 8.0, "{}", queue.consumers_mean);
    }
}

#[test]
fn rows_have_the_queue_at_their_end_and_the_jobs_of_their_interval() {
    let results = run(&busy());
    let (run, interval) = (&results.run, results.run.interval);
    let sum = |of: fn(&scalesim::results::JobsRow) -> f64| {
        run.series.iter().filter_map(|row| row.jobs.as_ref()).map(|row| interval * of(row)).sum::<f64>()
    };
    let counts = &run.jobs[0].counts;
    assert!((sum(|row| row.submitted) - counts.submitted as f64).abs() < 1e-6);
    assert!((sum(|row| row.done) - counts.done as f64).abs() < 1e-6);
    let last = run.series.last().expect("there are rows").queues[0];
    let queue = &run.queues[0];
    assert_eq!((last.visible, last.in_flight), (queue.visible, queue.in_flight));
    let most = run.series.iter().map(|row| row.queues[0].visible).max();
    assert!(most.is_some_and(|most| most >= queue.visible_max), "rows are shorter than minutes");
    let idle = run.series.iter().any(|row| row.queues[0].consumers_busy < row.queues[0].consumers);
    assert!(idle && run.series.iter().all(|row| row.queues[0].consumers_busy <= row.queues[0].consumers));
    let crashed = run.series.iter().any(|row| row.queues[0].consumers == 7);
    assert!(crashed, "the one that crashed is missing until it is replaced");
}

/// Workers are paid for whether they work or not, and a job that was done bears all of it.
#[test]
fn a_job_costs_its_part_of_the_workers() {
    for text in [busy(), after_warm_up()] {
        let run = run(&text).run;
        let jobs = &run.jobs[0];
        let line = |bill: &scalesim::results::Bill| {
            bill.lines.iter().filter(|line| line.item.starts_with("workers:")).map(|line| line.amount).sum()
        };
        let all: f64 = run.bill.as_ref().map(line).expect("there are prices");
        let share = if text.contains("warm_up") { 2.0 / 3.0 } else { 1.0 };
        let cost = jobs.cost.expect("there are prices") * jobs.counts.done as f64;
        assert!((cost / (all * share) - 1.0).abs() < 0.01, "{cost} of {all}");
    }
    let free = run(&busy().replace("[cost]\nprices = \"aws-us-east-1\"", ""));
    assert_eq!(free.run.jobs[0].cost, None);
}

#[test]
fn replications_have_figures_of_jobs_where_there_are_jobs() {
    let scenario =
        Scenario::parse(&busy().replace("duration = \"2h\"", "duration = \"1h10min\"")).expect("it is right");
    let results: Results = Experiment::new(&scenario).replications(3).run();
    let figure = |name: &str| results.figures.iter().find(|figure| figure.name == name);
    let done: f64 = results.replications.iter().map(|own| own.jobs[0].done as f64).sum();
    let found = figure("jobs of users: done").expect("there are jobs");
    assert!((found.mean - done / 3.0).abs() < 1e-9 && found.half_width.is_some_and(|half| half > 0.0));
    for (name, unit) in [("lost", ""), ("dead letters", ""), ("time p50", "s"), ("time p99", "s")] {
        let found = figure(&format!("jobs of users: {name}"));
        assert!(found.is_some_and(|found| found.unit == unit), "{name}");
    }
    let first = &results.replications[0].jobs[0];
    assert_eq!((first.done, first.total), (results.run.jobs[0].counts.done, results.run.jobs[0].total));
}
