//! `[queue.NAME]`: what jobs wait in, as its original keeps them.

use sim_core::Span;

use super::lifecycle::choose;
use super::node::{Entry, Node, Value};
use super::reader::{Read, Reader, read};
use super::units::Period;
use super::{Context, Names};
use crate::plan::{
    Assignor, BullMq, Commit, Kafka, Queue, QueueId, QueueKind, RabbitMq, RedisList, RedisStream, Sqs,
    WhenFull,
};

const KINDS: [&str; 6] = ["sqs", "kafka", "redis_list", "redis_stream", "rabbitmq", "bullmq"];

/// SQS keeps messages for 4 days unless it is told otherwise, and for a minute to a fortnight.
const SQS_RETENTION: [Span; 3] =
    [Span::from_secs(60), Span::from_secs(4 * 86_400), Span::from_secs(14 * 86_400)];
/// Kafka keeps records for a week (`log.retention.hours`, 168).
const KAFKA_RETENTION: Span = Span::from_secs(7 * 86_400);
/// The longest visibility timeout of SQS.
const MOST_VISIBILITY: Span = Span::from_secs(12 * 3_600);
/// The longest wait of a receive by long polling.
const MOST_WAIT: Span = Span::from_secs(20);
/// The longest delay of a message of SQS.
const MOST_DELAY: Span = Span::from_secs(900);
/// The most partitions that a topic is played with.
const MOST_PARTITIONS: u32 = 100_000;
/// The most priorities of a queue of RabbitMQ (`x-max-priority`).
pub const MOST_PRIORITIES: u32 = 255;
/// The most unacknowledged messages of a consumer (`basic.qos`, 16 bits).
const MOST_PREFETCH: u32 = 65_535;

/// Reads a queue.
pub fn queue(context: &Context<'_>, names: &Names<'_>, entry: &Entry) -> (Option<Queue>, toml::Table) {
    let mut table = Reader::new(context.findings, format!("queue.{}", entry.key), &entry.node);
    let kind = kind(context, &mut table);
    let capacity: Option<u64> = table.optional("capacity");
    at_least_one(context, &table, "capacity", capacity);
    let when_full = when_full(context, &mut table, capacity.is_some());
    let max_receives: Option<u32> = table.optional("max_receives");
    at_least_one(context, &table, "max_receives", max_receives.map(u64::from));
    let dead_letter = table.optional::<String>("dead_letter");
    let dead_letter = dead_letter.map(|name| names.queue(context, &name, &table.place_of("dead_letter")));
    let retention = retention(context, &mut table, kind.as_ref());
    let delay = table.or("delay", Span::ZERO);
    if matches!(kind, Some(QueueKind::Sqs(_))) {
        within(context, &table, "delay", delay, [Span::ZERO, MOST_DELAY]);
    }
    let queue = (|| {
        Some(Queue {
            name: entry.key.clone(),
            kind: kind?,
            capacity,
            when_full,
            max_receives,
            dead_letter: dead_letter.map_or(Some(None), |found| found.map(Some))?,
            retention,
            delay,
        })
    })();
    (queue, table.finish())
}

/// The one key that says what the queue is.
fn kind(context: &Context<'_>, table: &mut Reader<'_>) -> Option<QueueKind> {
    let given: Vec<(&str, &Node)> =
        KINDS.into_iter().filter_map(|kind| table.node(kind).map(|node| (kind, node))).collect();
    let [(kind, node)] = given[..] else {
        match given.get(1) {
            Some((second, node)) => {
                let message = format!("a queue is both `{}` and `{second}`", given[0].0);
                context.findings.error(&node.place, message, "one too many", None);
            }
            None => table.missing("sqs", &format!("exactly one of {}", super::diagnostic::list(&KINDS))),
        }
        return None;
    };
    let mut options = Reader::new(context.findings, table.path_of(kind), node);
    let read = match kind {
        "sqs" => Some(QueueKind::Sqs(sqs(context, &mut options))),
        "kafka" => kafka(context, &mut options).map(QueueKind::Kafka),
        "redis_list" => Some(QueueKind::RedisList(redis_list(&mut options))),
        "redis_stream" => Some(QueueKind::RedisStream(redis_stream(&mut options))),
        "rabbitmq" => Some(QueueKind::RabbitMq(rabbitmq(context, &mut options))),
        _ => Some(QueueKind::BullMq(bullmq(&mut options))),
    };
    table.resolve(kind, options.finish());
    read
}

/// `{ visibility_timeout = "30s", wait_time = "0s", poll_interval = "1s", batch = 1, heartbeat = "10s", fifo = false,
/// in_flight = 120000, misses = 0, duplicates = 0 }`.
///
/// Its defaults are AWS's: a queue that says nothing is polled the short way (`ReceiveMessageWaitTimeSeconds` 0), which asks
/// only some of the servers and is paid for by receives that bring nothing; `wait_time = "20s"` is long polling.
fn sqs(context: &Context<'_>, options: &mut Reader<'_>) -> Sqs {
    let fifo = options.or("fifo", false);
    let visibility_timeout = options.or("visibility_timeout", Span::from_secs(30));
    within(context, options, "visibility_timeout", visibility_timeout, [Span::ZERO, MOST_VISIBILITY]);
    let wait_time = options.or("wait_time", Span::ZERO);
    within(context, options, "wait_time", wait_time, [Span::ZERO, MOST_WAIT]);
    let poll_interval = options.or("poll_interval", Period(Span::from_secs(1))).0;
    let batch = options.or("batch", 1u32);
    within(context, options, "batch", batch, [1, 10]);
    let heartbeat = options.optional::<Period>("heartbeat").map(|period| period.0);
    let usual = if fifo { 20_000 } else { 120_000 };
    let in_flight = options.or("in_flight", usual);
    within(context, options, "in_flight", in_flight, [1, usual]);
    let misses = share(context, options, "misses");
    let duplicates = share(context, options, "duplicates");
    Sqs {
        fifo,
        visibility_timeout,
        wait_time,
        poll_interval,
        batch,
        heartbeat,
        in_flight,
        misses,
        duplicates,
    }
}

/// `{ partitions = 12, assignor = "range", commit = "auto", commit_interval = "5s", session_timeout = "45s",
/// max_poll_interval = "5min", max_poll_records = 500, rebalance = "3s", initial_rebalance_delay = "3s",
/// static_membership = false }`. The defaults are those of the Java consumer and its broker.
fn kafka(context: &Context<'_>, options: &mut Reader<'_>) -> Option<Kafka> {
    let partitions: Option<u32> = options.required("partitions");
    if let Some(partitions) = partitions {
        within(context, options, "partitions", partitions, [1, MOST_PARTITIONS]);
    }
    let assignors = [("range", Assignor::Range), ("cooperative-sticky", Assignor::CooperativeSticky)];
    let assignor = choose(context, options, "assignor", &assignors, assignors[0]);
    let commit = commit(context, options);
    let session_timeout = options.or("session_timeout", Period(Span::from_secs(45))).0;
    let max_poll_interval = options.or("max_poll_interval", Period(Span::from_secs(300))).0;
    let max_poll_records = options.or("max_poll_records", 500u32);
    at_least_one(context, options, "max_poll_records", Some(u64::from(max_poll_records)));
    // The last member hears of it at its next heartbeat, `heartbeat.interval.ms`.
    let rebalance = options.or("rebalance", Span::from_secs(3));
    let initial_rebalance_delay = options.or("initial_rebalance_delay", Span::from_secs(3));
    let static_membership = options.or("static_membership", false);
    Some(Kafka {
        partitions: partitions?,
        assignor,
        session_timeout,
        max_poll_interval,
        max_poll_records,
        commit,
        rebalance,
        initial_rebalance_delay,
        static_membership,
    })
}

/// `commit = "auto"` with `commit_interval = "5s"`, `"each-record"` or `"each-poll"`.
fn commit(context: &Context<'_>, options: &mut Reader<'_>) -> Commit {
    const AUTO: Commit = Commit::Auto(Span::from_secs(5));
    let known = [("auto", AUTO), ("each-record", Commit::EachRecord), ("each-poll", Commit::EachPoll)];
    match choose(context, options, "commit", &known, known[0]) {
        Commit::Auto(usual) => Commit::Auto(options.or("commit_interval", Period(usual)).0),
        other => {
            if let Some(node) = options.node("commit_interval") {
                let message =
                    format!("`{}` goes with `commit = \"auto\"`", options.path_of("commit_interval"));
                context.findings.error(&node.place, message, "leave this out", None);
            }
            other
        }
    }
}

/// `{ processing = "5min" }`; without it, what a consumer takes with `BRPOP` dies with it.
fn redis_list(options: &mut Reader<'_>) -> RedisList {
    RedisList { processing: options.optional::<Period>("processing").map(|period| period.0) }
}

/// `{ min_idle = "60s", claim_every = "30s" }`
fn redis_stream(options: &mut Reader<'_>) -> RedisStream {
    let min_idle = options.or("min_idle", Period(Span::from_secs(60))).0;
    let claim_every = options.or("claim_every", Period(Span::from_secs(30))).0;
    RedisStream { min_idle, claim_every }
}

/// `{ priorities = 1, prefetch = 1, consumer_timeout = "30min", notices = "60s" }`
fn rabbitmq(context: &Context<'_>, options: &mut Reader<'_>) -> RabbitMq {
    let priorities = options.or("priorities", 1u32);
    within(context, options, "priorities", priorities, [1, MOST_PRIORITIES]);
    let prefetch = options.or("prefetch", 1u32);
    within(context, options, "prefetch", prefetch, [1, MOST_PREFETCH]);
    let consumer_timeout = options.or("consumer_timeout", Period(Span::from_secs(1_800))).0;
    // The negotiated heartbeat, after which a peer that is silent is taken for dead.
    let notices = options.or("notices", Span::from_secs(60));
    let priorities = u8::try_from(priorities).unwrap_or(u8::MAX).max(1);
    RabbitMq { priorities, prefetch, consumer_timeout, notices }
}

/// `{ lock_duration = "30s", stalled_interval = "30s", max_stalled_count = 1 }`
fn bullmq(options: &mut Reader<'_>) -> BullMq {
    let lock_duration = options.or("lock_duration", Period(Span::from_secs(30))).0;
    let stalled_interval = options.or("stalled_interval", Period(Span::from_secs(30))).0;
    let max_stalled_count = options.or("max_stalled_count", 1u32);
    BullMq { lock_duration, stalled_interval, max_stalled_count }
}

/// `"refuse"`, `"drop-oldest"` or `"block"`, of a queue that can be full.
fn when_full(context: &Context<'_>, table: &mut Reader<'_>, bounded: bool) -> WhenFull {
    let known =
        [("refuse", WhenFull::Refuse), ("drop-oldest", WhenFull::DropOldest), ("block", WhenFull::Block)];
    if !bounded {
        if let Some(node) = table.node("when_full") {
            let message = format!("`{}` without `capacity`", table.path_of("when_full"));
            let help = Some("say how many messages it holds, `capacity = 10000`".to_string());
            context.findings.error(&node.place, message, "this queue is never full", help);
        }
        return known[0].1;
    }
    choose(context, table, "when_full", &known, known[0])
}

/// A time, or `"none"`.
fn retention(context: &Context<'_>, table: &mut Reader<'_>, kind: Option<&QueueKind>) -> Option<Span> {
    let [least, usual, most] = SQS_RETENTION;
    let sqs = matches!(kind, Some(QueueKind::Sqs(_)));
    let usual = match kind {
        Some(QueueKind::Sqs(_)) => Some(usual),
        Some(QueueKind::Kafka(_)) => Some(KAFKA_RETENTION),
        _ => None,
    };
    let never = Value::String("none".into());
    let Some(node) = table.node("retention") else {
        table.resolve("retention", usual.map_or_else(|| toml::Value::from("none"), |span| span.show()));
        return usual;
    };
    if node.value == never && !sqs {
        table.resolve("retention", "none");
        return None;
    }
    let period: Period = read(context.findings, &table.path_of("retention"), node)?;
    table.resolve("retention", period.show());
    if sqs {
        within(context, table, "retention", period.0, [least, most]);
    }
    Some(period.0)
}

/// A share from 0 to 1, 0 where it is left out.
pub fn share(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str) -> f64 {
    let share = table.or(key, 0.0);
    if share > 1.0 {
        let message = format!("`{}` is {share}", table.path_of(key));
        context.findings.error(&table.place_of(key), message, "expected a share from 0 to 1", None);
    }
    share.min(1.0)
}

/// A value has to be within limits.
pub fn within<T: PartialOrd + std::fmt::Display>(
    context: &Context<'_>,
    table: &Reader<'_>,
    key: &str,
    value: T,
    [least, most]: [T; 2],
) {
    if value < least || value > most {
        let message = format!("`{}` is {value}", table.path_of(key));
        context.findings.error(&table.place_of(key), message, format!("expected {least} to {most}"), None);
    }
}

fn at_least_one(context: &Context<'_>, table: &Reader<'_>, key: &str, value: Option<u64>) {
    if value == Some(0) {
        let message = format!("`{}` is zero", table.path_of(key));
        context.findings.error(&table.place_of(key), message, "expected 1 or more", None);
    }
}

/// `"queue"`, or `{ to = "queue", keys = 1000, priorities = [0.1, 0.9] }`, where `to` may be several queues.
pub fn enqueue(
    context: &Context<'_>,
    names: &Names<'_>,
    path: &str,
    node: &Node,
) -> Option<(Vec<crate::plan::Enqueue>, toml::Value)> {
    if let Value::String(_) = node.value {
        let name: String = read(context.findings, path, node)?;
        let queue = names.queue(context, &name, &node.place)?;
        let send = crate::plan::Enqueue { queue, keys: None, priorities: vec![1.0] };
        return Some((vec![send], name.show()));
    }
    let mut options = Reader::new(context.findings, path, node);
    let queues = recipients(context, names, &mut options);
    let keys: Option<u32> = options.optional("keys");
    at_least_one(context, &options, "keys", keys.map(u64::from));
    let priorities = priorities(context, &mut options);
    let shown = toml::Value::Table(options.finish());
    let (queues, priorities) = (queues?, priorities?);
    let send = |queue| crate::plan::Enqueue { queue, keys, priorities: priorities.clone() };
    Some((queues.into_iter().map(send).collect(), shown))
}

/// The queues that each get a message.
fn recipients(context: &Context<'_>, names: &Names<'_>, options: &mut Reader<'_>) -> Option<Vec<QueueId>> {
    let one = match options.node("to").map(|node| &node.value) {
        None => {
            options.missing("to", "the name of a queue, or several: [\"a\", \"b\"]");
            return None;
        }
        Some(Value::String(name)) => Some(vec![name.clone()]),
        Some(_) => None,
    };
    let several = one.is_none();
    let queues = match one {
        Some(one) => one,
        None => super::service::strings(context, options, "to", &[]),
    };
    let place = options.place_of("to");
    if !several {
        options.resolve("to", queues[0].as_str());
    }
    let found: Vec<QueueId> = queues.iter().filter_map(|name| names.queue(context, name, &place)).collect();
    (found.len() == queues.len() && !found.is_empty()).then_some(found)
}

/// Shares of priorities, from the most urgent; they need not sum to 1.
fn priorities(context: &Context<'_>, options: &mut Reader<'_>) -> Option<Vec<f64>> {
    let path = options.path_of("priorities");
    let Some(node) = options.node("priorities") else { return Some(vec![1.0]) };
    let items = options.items("priorities");
    let shares: Vec<f64> = items.iter().filter_map(|item| read(context.findings, &path, item)).collect();
    if shares.len() != items.len() {
        return None; // told already
    }
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 || !sum.is_finite() || shares.len() > MOST_PRIORITIES as usize {
        let message = format!("`{path}` has {} shares that sum to {sum}", shares.len());
        let label = format!("expected 1 to {MOST_PRIORITIES}, from the most urgent, such as [0.1, 0.9]");
        context.findings.error(&node.place, message, label, None);
        return None;
    }
    options.resolve("priorities", shares.clone());
    Some(shares.into_iter().map(|share| share / sum).collect())
}

impl Names<'_> {
    /// The queue with a name.
    pub fn queue(
        &self,
        context: &Context<'_>,
        name: &str,
        place: &super::diagnostic::Place,
    ) -> Option<QueueId> {
        Self::find(context, "queue", self.queues, name, place).map(QueueId)
    }
}
