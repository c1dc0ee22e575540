//! Jobs as whole systems: conserved whatever happens, done again or lost as their queue says, and known about as their clients ask.

use scalesim::queue::{Happened, Loss, Message, Queue};
use scalesim::results::{JobsResult, QueueResult, Results};
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

use crate::asg_vectors::vectors;

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
    let jobs = results.run.queues.iter().find(|queue| queue.name == "jobs").unwrap();
    (&results.run.jobs[0], jobs)
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

/// What has become of every job is counted once, whatever happened to workers, messages and clients.
fn assert_conserved(results: &Results) {
    for jobs in &results.run.jobs {
        let counts = &jobs.counts;
        let ended = counts.done + counts.dead_lettered + counts.too_late + counts.lost();
        assert_eq!(counts.submitted, ended + counts.in_progress(), "{counts:?}");
    }
    for queue in &results.run.queues {
        let left = queue.visible + queue.in_flight + queue.delayed;
        assert_eq!(queue.sent, queue.consumed + queue.dead_lettered + queue.lost + left, "{queue:?}");
    }
    let requests = &results.run.requests;
    assert!(requests.conserved(), "{requests:?}");
}

/// 6 of 20 workers are busy when 12 of the 20 are taken out.
const SCALE_IN: &str =
    "min = 1\ndesired = 20\nmax = 20\nscaling = [{ manual = { at = \"30min\", desired = 8 } }]";

fn scaled_in(more: &str) -> Results {
    let group = format!("{SCALE_IN}\n{more}");
    let queue = "sqs = { visibility_timeout = \"10min\", wait_time = \"20s\" }";
    run(&system(queue, &group, "").replace("0.5/s", "0.1/s").replace("\"10s\"", "\"60s\""))
}

#[test]
fn without_protection_a_job_is_cut_and_seen_again_after_the_visibility_timeout() {
    let results = scaled_in("worker = { queue = \"jobs\", job = \"job\" }");
    let (jobs, queue) = of(&results);
    let cut = jobs.counts.cut_tries;
    assert!((1..=12).contains(&cut), "{cut}");
    assert_eq!((queue.received_again, jobs.counts.delivered_again), (cut, cut));
    assert!(jobs.counts.wasted_seconds > 0.0 && jobs.served.max > 600.0);
    assert_eq!(jobs.counts.lost(), 0);
    assert_conserved(&results);
}

#[test]
fn protected_while_busy_no_job_is_cut() {
    let results =
        scaled_in("worker = { queue = \"jobs\", job = \"job\" }\nscale_in_protection = \"while-busy\"");
    assert_eq!(of(&results).0.counts.cut_tries, 0);
    assert_conserved(&results);
}

#[test]
fn a_termination_hook_lets_a_worker_finish_its_job() {
    let hook = "lifecycle_hooks = [{ name = \"finish\", on = \"terminating\", heartbeat_timeout = \"30min\", until_idle = true }]";
    let results = scaled_in(&format!("worker = {{ queue = \"jobs\", job = \"job\" }}\n{hook}"));
    assert_eq!(of(&results).0.counts.cut_tries, 0);
    assert_eq!(results.run.groups[1].terminated, 12);
    assert_conserved(&results);
    // One that waits for less than the job takes does not help it.
    let short = hook.replace("30min", "30s");
    let results = scaled_in(&format!("worker = {{ queue = \"jobs\", job = \"job\" }}\n{short}"));
    assert!((1..12).contains(&of(&results).0.counts.cut_tries));
    assert_conserved(&results);
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_within_its_grace() {
    let results = scaled_in("worker = { queue = \"jobs\", job = \"job\", stop_grace = \"1h\" }");
    assert_eq!(of(&results).0.counts.cut_tries, 0);
    let results = scaled_in("worker = { queue = \"jobs\", job = \"job\", stop_grace = \"10s\" }");
    assert!((1..=12).contains(&of(&results).0.counts.cut_tries));
    assert_conserved(&results);
}

#[test]
fn checkpoints_keep_what_was_done_before_a_cut() {
    let plain = scaled_in("worker = { queue = \"jobs\", job = \"job\" }");
    let kept = scaled_in("worker = { queue = \"jobs\", job = \"job\", checkpoint = \"5s\" }");
    let (plain, kept) = (of(&plain).0.counts, of(&kept).0.counts);
    assert_eq!(plain.cut_tries, kept.cut_tries);
    assert!(kept.wasted_seconds < 5.0 * kept.cut_tries as f64);
    assert!(plain.wasted_seconds > 2.0 * kept.wasted_seconds);
}

#[test]
fn a_heartbeat_brings_a_cut_job_back_sooner() {
    let long = scaled_in("worker = { queue = \"jobs\", job = \"job\" }");
    let queue = "sqs = { visibility_timeout = \"1min\", wait_time = \"20s\", heartbeat = \"20s\" }";
    let group = format!("{SCALE_IN}\nworker = {{ queue = \"jobs\", job = \"job\" }}");
    let beats = run(&system(queue, &group, "").replace("0.5/s", "0.1/s").replace("\"10s\"", "\"60s\""));
    let (counts, served) = (of(&beats).0.counts, of(&beats).0.served);
    assert_eq!((counts.delivered_again, counts.done_again), (counts.cut_tries, 0));
    assert!(served.max < of(&long).0.served.max);
}

/// Jobs take 10 s on average, exponentially: `exp(-1)` of them longer than the timeout. By the time that these are done, their
/// message was received again, and a delete with the old receipt does not delete it: they come back until they are dead letters.
#[test]
fn a_job_that_outlasts_its_visibility_timeout_is_never_acknowledged() {
    let queue = "sqs = { visibility_timeout = \"10s\", wait_time = \"20s\" }\nmax_receives = 3\ndead_letter = \"failed\"";
    let group = "min = 60\nworker = { queue = \"jobs\", job = \"job\" }";
    let results = run(&system(queue, group, "[queue.failed]\nsqs = {}").replace("\"2h\"", "\"10h\""));
    let (jobs, queue) = of(&results);
    let (sent, dead) = (jobs.counts.submitted as f64, queue.dead_lettered as f64);
    let expected = (-1.0f64).exp();
    let half_width = 3.0 * (expected * (1.0 - expected) / sent).sqrt();
    assert!((dead / sent - expected).abs() < half_width, "{} for {expected}", dead / sent);
    // Their work was done all the same, and more than once.
    assert!(jobs.counts.done_again as f64 > dead && queue.stale as f64 > dead);
    assert!(jobs.counts.duplicated_seconds > 0.0);
    assert_conserved(&results);
}

#[test]
fn an_idempotent_worker_leaves_what_is_done() {
    let queue = "sqs = { visibility_timeout = \"10s\", wait_time = \"20s\" }";
    let group = "min = 60\nworker = { queue = \"jobs\", job = \"job\", idempotent = true }";
    let results = run(&system(queue, group, ""));
    let (jobs, queue) = of(&results);
    assert!(jobs.counts.skipped > 0);
    assert!(queue.visible + queue.in_flight < 40, "what was done is acknowledged in the end");
    assert_conserved(&results);
}

#[test]
fn poison_jobs_are_dead_letters_after_their_receives() {
    let queue = "sqs = { visibility_timeout = \"10min\", wait_time = \"20s\" }\nmax_receives = 3\ndead_letter = \"failed\"";
    let group =
        "min = 20\nworker = { queue = \"jobs\", job = \"job\", poison = 0.1, retry = { backoff = \"1s\" } }";
    let results = run(&system(queue, group, "[queue.failed]\nsqs = {}"));
    let (jobs, _) = of(&results);
    let counts = jobs.counts;
    let share = counts.dead_lettered as f64 / counts.submitted as f64;
    assert!((share - 0.1).abs() < 3.0 * (0.09 / counts.submitted as f64).sqrt(), "{share}");
    let (failed, open) = (counts.failed_tries as f64, 3.0 * counts.dead_lettered as f64);
    assert!(failed >= open && failed < open + 30.0, "three tries each: {failed} for {open}");
    let failed = results.run.queues.iter().find(|queue| queue.name == "failed").unwrap();
    assert_eq!(failed.visible, counts.dead_lettered);
    assert_conserved(&results);
}

#[test]
fn a_bounded_queue_refuses_drops_or_lets_senders_wait() {
    let group = "min = 1\nworker = { queue = \"jobs\", job = \"job\" }";
    let queue = |when: &str| {
        format!(
            "sqs = {{ visibility_timeout = \"10min\", wait_time = \"20s\" }}\ncapacity = 20\nwhen_full = \"{when}\""
        )
    };
    let refused = run(&system(&queue("refuse"), group, ""));
    assert!(refused.run.requests.refused > 1_000);
    assert_eq!(of(&refused).1.visible_max, 19);
    assert_conserved(&refused);
    let dropped = run(&system(&queue("drop-oldest"), group, ""));
    assert!(of(&dropped).0.counts.dropped > 1_000);
    assert_eq!(dropped.run.requests.refused, 0);
    assert_conserved(&dropped);
    let blocked = run(&system(&queue("block"), group, ""));
    assert!(blocked.run.requests.timed_out > 1_000, "{:?}", blocked.run.requests);
    assert_eq!(of(&blocked).0.counts.lost(), 0);
    assert_conserved(&blocked);
}

const KINDS: [&str; 9] = [
    "sqs = { visibility_timeout = \"20s\", wait_time = \"20s\", batch = 10 }\nmax_receives = 4\ndead_letter = \"failed\"",
    "sqs = { visibility_timeout = \"40s\", heartbeat = \"15s\", poll_interval = \"2s\", duplicates = 0.05, misses = 0.3 }",
    "sqs = { fifo = true, visibility_timeout = \"1min\", wait_time = \"10s\" }\nmax_receives = 5\ndead_letter = \"failed\"",
    "kafka = { partitions = 12, max_poll_interval = \"40s\", max_poll_records = 5 }",
    "kafka = { partitions = 8, assignor = \"cooperative-sticky\", commit = \"each-record\" }\nmax_receives = 3\ndead_letter = \"failed\"",
    "redis_list = {}",
    "redis_list = { processing = \"1min\" }",
    "redis_stream = { min_idle = \"30s\" }\nmax_receives = 3\ndead_letter = \"failed\"",
    "bullmq = {}\nmax_receives = 3\ndead_letter = \"failed\"",
];

/// Workers crash, scale in, lose their zone and come back, jobs fail and are poison, and some queues are full.
#[test]
fn jobs_are_conserved_whatever_happens_to_their_workers() {
    let kinds =
        KINDS.into_iter().chain(["rabbitmq = { prefetch = 3 }\nmax_receives = 3\ndead_letter = \"failed\""]);
    for (number, kind) in kinds.enumerate() {
        let bound = ["", "\ncapacity = 40", "\ncapacity = 30\nwhen_full = \"drop-oldest\""][number % 3];
        let group = r#"min = 2
desired = 10
max = 12
zones = ["a", "b"]
startup = { provision = "10s", boot = "10s", app = "20s" }
worker = { queue = "jobs", job = "job", concurrency = 2, poison = 0.05, timeout = "45s", checkpoint = "4s", deadline = { exp = { mean = "10min" } }, retry = { backoff = "2s" }, load = { takes = "3s", keep = "30s" } }
scaling = [
  { manual = { at = "10min", desired = 3 } }, { manual = { at = "20min", desired = 12 } },
  { manual = { at = "40min", desired = 2 } }, { manual = { at = "70min", desired = 9 } },
]"#;
        let more = r#"[queue.failed]
sqs = {}
[[incident]]
crash = { group = "workers", every = { constant = "7min" } }
[[incident]]
zone_loss = { zone = "b", at = "30min", for = "8min" }
"#;
        let more = &more
            .replace("sqs = {}", if kind.contains("fifo") { "sqs = { fifo = true }" } else { "sqs = {}" });
        let more = if kind.contains("dead_letter") { more } else { &more[more.find("[[").unwrap()..] };
        let status = "[traffic.users.status]\npoll = { endpoint = \"GET /job\", every = \"3s\" }\npatience = \"20min\"";
        let text = system(&format!("{kind}{bound}"), group, &format!("{more}\n{status}"));
        let results = run(&text);
        let jobs = of(&results).0;
        assert_conserved(&results);
        assert!(jobs.counts.done > 300, "{kind}: {:?}", jobs.counts);
        assert!(jobs.counts.cut_tries > 0, "{kind}: {:?}", jobs.counts);
        if kind == "redis_list = {}" {
            assert!(jobs.counts.lost_with_worker > 0, "{:?}", jobs.counts);
        } else {
            assert_eq!(jobs.counts.lost_with_worker, 0, "{kind}: {:?}", jobs.counts);
        }
    }
}

/// A dead letter keeps the time at which it was first sent, and its retention counts from there.
#[test]
fn the_retention_of_a_dead_letter_counts_from_the_original_enqueue_time() {
    let days = |days: u64| Time::ZERO + Span::from_secs(86_400 * days);
    for vector in vectors("sqs_dlq_age") {
        let [in_source, retention] =
            ["days_in_source", "dlq_retention_days"].map(|key| vector.input[key].as_u64().unwrap());
        let text = system(&format!("sqs = {{}}\nretention = \"{}h\"", 24 * retention), WORKERS, "");
        let plan = Scenario::parse(&text).unwrap().plan().queues[0].clone();
        let (mut queue, mut happened) = (Queue::new(&plan, Seed::new(1)), Vec::new());
        let letter = Message { job: 7, key: 0, priority: 0, sent: Time::ZERO };
        queue.send(letter, days(in_source), &mut happened).unwrap();
        let due = queue.due();
        queue.advance(due, &mut happened);
        assert_eq!(happened, [Happened::Lost { job: 7, how: Loss::Expired }], "{}", vector.id);
        let expected = vector.expected["deleted_after_days_in_dlq"].as_u64().unwrap();
        assert_eq!(due, days(in_source + expected), "{}", vector.id);
    }
}

/// Spot instances are taken back with two minutes' notice: a job that takes less is finished by whoever listens, and cut where
/// nobody does; one that takes more is cut all the same.
#[test]
fn two_minutes_notice_are_enough_for_short_jobs_of_spot_workers() {
    let cut = |takes: &str, listens: bool| {
        let group = format!(
            "min = 10\nmax = 20\nzones = [\"a\", \"b\"]\nmixed_instances = {{ on_demand_percentage = 0, machines = [{{ machine = \"c7g.large\" }}], spot = {{ price = 0.4, drain_on_notice = {listens} }} }}\nworker = {{ queue = \"jobs\", job = \"job\" }}"
        );
        let incident = "[[incident]]\nspot_interruption = { group = \"workers\", zone = \"a\", at = \"60min\", for = \"10min\" }";
        let text = system("sqs = { visibility_timeout = \"10min\", wait_time = \"20s\" }", &group, incident);
        let text = text.replace("machine = \"c7g.large\"\nmin = 10", "min = 10");
        let text =
            text.replace("{ exp = { mean = \"10s\" } }", &format!("\"{takes}\"")).replace("0.5/s", "0.05/s");
        let results = run(&text);
        assert_conserved(&results);
        let spot = results.run.groups[1].spot.as_ref().unwrap();
        assert!(spot.interrupted > 3, "{spot:?}");
        of(&results).0.counts.cut_tries
    };
    assert_eq!(cut("90s", true), 0);
    assert!(cut("90s", false) > 0);
    assert!(cut("150s", true) > 0);
}

/// A zone that was lost and is back gets its instances back: who is too many elsewhere is terminated, encoding or not.
#[test]
fn rebalancing_zones_cuts_jobs_as_scale_in_does() {
    let play = |more: &str| {
        let group = format!(
            "min = 8\nmax = 8\nzones = [\"a\", \"b\"]\nstartup = {{ provision = \"10s\", boot = \"10s\", app = \"10s\" }}\nworker = {{ queue = \"jobs\", job = \"job\" }}\n{more}"
        );
        let incident = "[[incident]]\nzone_loss = { zone = \"b\", at = \"30min\", for = \"10min\" }";
        let text = system("sqs = { visibility_timeout = \"10min\", wait_time = \"20s\" }", &group, incident);
        let text = text.replace("{ exp = { mean = \"10s\" } }", "\"5min\"").replace("0.5/s", "0.02/s");
        let results = run(&text);
        assert_conserved(&results);
        of(&results).0.counts.cut_tries
    };
    let (rebalanced, suspended) = (play(""), play("suspend = [{ processes = [\"az-rebalance\"] }]"));
    assert!(rebalanced > suspended && suspended > 0, "{rebalanced} and {suspended}");
}
