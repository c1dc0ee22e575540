//! What people are usually surprised by about their jobs, with the numbers.

use sim_core::{Span, Time};

use super::reader::Findings;
use crate::plan::{
    Backoff, Channel, EndpointId, Group, Kafka, Plan, Queue, QueueId, QueueKind, Sqs, Step, Traffic, Worker,
};

/// Shares of jobs below this are not worth a word.
const WORTH_SAYING: f64 = 0.001;
/// Questions of one job that are counted one by one.
const MOST_COUNTED: u32 = 10_000;

/// Notes them, where a plan is sound.
pub fn notes(findings: &Findings, plan: &Plan) {
    let lengths = plan.job_lengths();
    let jobs = plan.expected_jobs(Time::ZERO, Time::ZERO + plan.duration);
    for (id, queue) in (0u16..).map(QueueId).zip(&plan.queues) {
        nobody_consumes(findings, plan, id, queue);
        idle_consumers(findings, plan, id, queue);
        keys_without_order(findings, plan, id, queue);
        falls_behind(findings, plan, id, queue, jobs[id.index()]);
        for (_, group, worker) in plan.workers_of(id) {
            let mean = lengths[worker.job.index()];
            outlasts(findings, plan, queue, group, worker);
            batches(findings, queue, worker, mean);
        }
    }
    for traffic in &plan.traffic {
        polls(findings, plan, traffic);
    }
}

/// Jobs that nobody takes are never done; dead letters are meant to be looked at.
fn nobody_consumes(findings: &Findings, plan: &Plan, id: QueueId, queue: &Queue) {
    let dead_letters = plan.queues.iter().any(|other| other.dead_letter == Some(id));
    if !dead_letters && plan.workers_of(id).next().is_none() {
        findings.note(format!(
            "nobody consumes queue `{}`: its jobs are never done; `worker = {{ queue = \"{}\", … }}` of a group takes them",
            queue.name, queue.name
        ));
    }
}

/// A partition has one consumer at most.
fn idle_consumers(findings: &Findings, plan: &Plan, id: QueueId, queue: &Queue) {
    let QueueKind::Kafka(Kafka { partitions, .. }) = queue.kind else { return };
    let mut told = 0;
    for (when, largest) in [("at the start", false), ("at the largest size", true)] {
        let size = |group: &Group| if largest { group.max } else { group.desired };
        let of = plan.workers_of(id).map(|(_, group, worker)| {
            (u64::from(size(group)) * u64::from(worker.concurrency), size(group), worker.concurrency)
        });
        let parts: Vec<(u64, u32, u32)> = of.collect();
        let consumers: u64 = parts.iter().map(|part| part.0).sum();
        if consumers <= u64::from(partitions) || consumers == told {
            continue;
        }
        told = consumers;
        let each =
            |&(_, instances, each): &(u64, u32, u32)| format!("{instances} instances × {each} consumers");
        let sum = parts.iter().map(each).collect::<Vec<_>>().join(" + ");
        findings.note(format!(
            "queue `{}`: {} of {consumers} consumers are idle {when}: partitions {partitions} < {sum}",
            queue.name,
            consumers - u64::from(partitions)
        ));
    }
}

/// Only some queues keep messages of a key in order.
fn keys_without_order(findings: &Findings, plan: &Plan, id: QueueId, queue: &Queue) {
    if matches!(queue.kind, QueueKind::Kafka(_) | QueueKind::Sqs(Sqs { fifo: true, .. })) {
        return;
    }
    let ordered = |id: QueueId| {
        matches!(plan.queues[id.index()].kind, QueueKind::Kafka(_) | QueueKind::Sqs(Sqs { fifo: true, .. }))
    };
    for endpoint in &plan.endpoints {
        for step in &endpoint.steps {
            let Step::Enqueue(sends) = step else { continue };
            // One of several that get the message may be the one that the keys are for.
            let keyed = sends.iter().any(|send| send.queue == id && send.keys.is_some());
            if keyed && !sends.iter().any(|send| ordered(send.queue)) {
                findings.note(format!(
                    "`{}` sends to queue `{}` by keys, and that queue keeps no order by key: `keys` changes nothing",
                    endpoint.name, queue.name
                ));
            }
        }
    }
}

/// How long a queue waits for a job that it has given out, while nobody tells it that the work goes on; and what that is
/// called.
fn patience(kind: &QueueKind) -> Option<(Span, &'static str)> {
    match *kind {
        QueueKind::Sqs(Sqs { heartbeat: None, visibility_timeout, .. }) => {
            Some((visibility_timeout, "visibility timeout"))
        }
        QueueKind::RedisList(list) => Some((list.processing?, "`processing` time")),
        QueueKind::RedisStream(stream) => Some((stream.min_idle, "`min_idle` time")),
        QueueKind::RabbitMq(rabbit) => Some((rabbit.consumer_timeout, "`consumer_timeout`")),
        QueueKind::Sqs(_) | QueueKind::Kafka(_) | QueueKind::BullMq(_) => None,
    }
}

/// Jobs that take longer than their queue waits are delivered again.
fn outlasts(findings: &Findings, plan: &Plan, queue: &Queue, group: &Group, worker: &Worker) {
    let Some((patience, name)) = patience(&queue.kind) else { return };
    if worker.timeout.is_some_and(|timeout| timeout <= patience) {
        return; // they are broken off before
    }
    let longer = plan.longer_than(worker.job, patience);
    if longer >= WORTH_SAYING {
        findings.note(format!(
            "queue `{}`: about {} of jobs take longer in group `{}` than the {name} of {patience}: each of them is delivered again while it is still worked on",
            queue.name,
            percent(longer),
            group.name
        ));
    }
}

/// What a consumer fetches at once waits in its hands.
fn batches(findings: &Findings, queue: &Queue, worker: &Worker, mean: f64) {
    match queue.kind {
        QueueKind::Sqs(Sqs { batch, visibility_timeout, heartbeat, .. }) if batch > 1 => {
            // A heartbeat keeps the job that is worked on, and not those that wait behind it.
            let counted = if heartbeat.is_some() { batch - 1 } else { batch };
            let takes = f64::from(counted) * mean;
            if takes > visibility_timeout.as_secs_f64() {
                findings.note(format!(
                    "queue `{}`: {counted} jobs of a batch of {batch} take {} together, longer than the visibility timeout of {visibility_timeout}: the last of them are delivered again before they are begun",
                    queue.name,
                    seconds(takes)
                ));
            }
        }
        QueueKind::Kafka(Kafka { max_poll_records, max_poll_interval, .. }) => {
            let takes = f64::from(max_poll_records) * mean;
            if takes > max_poll_interval.as_secs_f64() {
                let fit = (max_poll_interval.as_secs_f64() / mean).floor().max(1.0);
                findings.note(format!(
                    "queue `{}`: {max_poll_records} records of a poll take {}, longer than `max_poll_interval` of {max_poll_interval}: a consumer with so many is put out of its group, and they are done again; `max_poll_records = {fit}` would fit{}",
                    queue.name,
                    seconds(takes),
                    if worker.concurrency > 1 { " each" } else { "" }
                ));
            }
        }
        _ => {}
    }
}

/// Jobs come faster than workers can ever do them.
fn falls_behind(findings: &Findings, plan: &Plan, id: QueueId, queue: &Queue, jobs: f64) {
    let rate = jobs / plan.duration.as_secs_f64();
    let groups = plan.workers_of(id);
    let each = groups
        .map(|(id, group, _)| plan.worker_capacity(id).map_or(0.0, |own| own.rate()) * f64::from(group.max));
    let all: Vec<f64> = each.collect();
    let mut most: f64 = all.iter().sum();
    let mut why = "workers at their largest size".to_string();
    if let QueueKind::Kafka(Kafka { partitions, .. }) = queue.kind
        && let Some((_, _, worker)) = plan.workers_of(id).next()
    {
        let by_partition = f64::from(partitions) / plan.job_lengths()[worker.job.index()];
        if by_partition < most {
            (most, why) = (by_partition, format!("the consumers of {partitions} partitions"));
        }
    }
    if !all.is_empty() && rate > most {
        findings.note(format!(
            "queue `{}` gets {} jobs a second on average, and {why} do {}: it grows without end",
            queue.name,
            number(rate),
            number(most)
        ));
    }
}

/// Clients that poll ask all the time, for as long as their jobs take.
fn polls(findings: &Findings, plan: &Plan, traffic: &Traffic) {
    let Some(status) = &traffic.status else { return };
    let Channel::Poll { endpoint, every, .. } = &status.channel else { return };
    let Some((submitted, length)) = jobs_of(plan, traffic) else { return };
    let asked = submitted * questions(every, length);
    // What the groups behind the endpoint could answer if they had nothing else to do.
    let mut only = plan.clone();
    only.traffic = vec![plan.traffic[status.source.index()].clone()];
    let most = only.capacity(plan.groups.iter().map(|group| group.max));
    if asked > most {
        findings.note(format!(
            "clients of `{}` ask {} times a second for the {} jobs that are in progress ({} a second for {} each), and what is behind `{}` answers {} at its largest size",
            traffic.name,
            number(asked),
            number(submitted * length),
            number(submitted),
            seconds(length),
            plan.endpoints[endpoint.index()].name,
            number(most)
        ));
    }
}

/// Jobs a second that a source submits at its peak, and how long one takes on average once it is begun.
fn jobs_of(plan: &Plan, traffic: &Traffic) -> Option<(f64, f64)> {
    let (sends, lengths) = (plan.sends(), plan.job_lengths());
    let (mut jobs, mut length) = (0.0, 0.0);
    for &(EndpointId(endpoint), share) in &traffic.mix {
        for (&queue, count) in &sends[usize::from(endpoint)] {
            let Some((_, _, worker)) = plan.workers_of(queue).next() else { continue };
            jobs += share * count;
            length += share * count * lengths[worker.job.index()];
        }
    }
    (jobs > 0.0).then(|| (traffic.expected.peak().1 * jobs, length / jobs))
}

/// How often a client asks until a job of so many seconds is done.
fn questions(every: &Backoff, length: f64) -> f64 {
    let share = if every.jitter { 0.5 } else { 1.0 };
    let wait = |asked: u32| every.wait(asked).as_secs_f64() * share;
    let (mut at, mut asked) = (0.0, 0);
    while at < length && asked < MOST_COUNTED {
        asked += 1;
        at += wait(asked);
    }
    let left = (length - at).max(0.0) / wait(MOST_COUNTED).max(1e-9);
    f64::from(asked) + left.ceil()
}

fn percent(share: f64) -> String {
    if share < 0.01 { format!("{:.1} %", 100.0 * share) } else { format!("{:.0} %", 100.0 * share) }
}

fn seconds(seconds: f64) -> String {
    format!("{} s", number(seconds))
}

/// Three or so digits.
fn number(x: f64) -> String {
    match x.abs() {
        a if a >= 100.0 || a.fract() == 0.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 0.01 => format!("{x:.2}"),
        _ => format!("{x:.1e}"),
    }
}
