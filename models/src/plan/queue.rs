//! Queues, and how long each kind keeps what.

use sim_core::Span;

use super::QueueId;

/// A queue between those who submit jobs and the workers that do them.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Its name in the scenario.
    pub name: String,
    /// What it is.
    pub kind: QueueKind,
    /// The most messages that it holds, whether waiting or received; `None` for a queue without bound.
    pub capacity: Option<u64>,
    /// What a full queue does.
    pub when_full: WhenFull,
    /// The most times that a message is received; then it is a dead letter. `None` for any number of times.
    pub max_receives: Option<u32>,
    /// Where its dead letters go; `None` where they are kept beside it for good (the failed set of BullMQ), or thrown away.
    pub dead_letter: Option<QueueId>,
    /// How long a message is kept that nobody consumes, from when it was first sent; `None` keeps it for ever.
    pub retention: Option<Span>,
    /// How long a new message cannot be received.
    pub delay: Span,
}

/// What a bounded queue does when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It refuses the new message.
    Refuse,
    /// It drops the oldest that nobody has received.
    DropOldest,
    /// Senders wait for room (back-pressure).
    Block,
}

/// What a queue is.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueKind {
    /// Amazon SQS.
    Sqs(Sqs),
    /// A topic of Kafka with one consumer group.
    Kafka(Kafka),
    /// A list of Redis, popped from its end.
    RedisList(RedisList),
    /// A stream of Redis with one consumer group.
    RedisStream(RedisStream),
    /// A queue of RabbitMQ (AMQP 0-9-1), with priorities.
    RabbitMq(RabbitMq),
    /// A queue of BullMQ.
    BullMq(BullMq),
}

/// An SQS queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sqs {
    /// First in, first out within each message group, of which one message is in flight at a time.
    pub fifo: bool,
    /// How long a received message is invisible to others: 0 to 12 h.
    pub visibility_timeout: Span,
    /// How long a receive waits for a message: up to 20 s; zero is short polling.
    pub wait_time: Span,
    /// How long a consumer waits between two receives that brought nothing.
    pub poll_interval: Span,
    /// Messages that a receive takes at most: 1 to 10.
    pub batch: u32,
    /// How often a consumer extends the visibility timeout of what it works on; `None` never does.
    pub heartbeat: Option<Span>,
    /// The most messages in flight: 120 000, or 20 000 where it is FIFO.
    pub in_flight: u64,
    /// The chance that a receive by short polling finds nothing though there are messages, because it asks few servers.
    pub misses: f64,
    /// The chance that a message is delivered a second time, as at-least-once delivery allows.
    pub duplicates: f64,
}

/// A topic with one consumer group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kafka {
    /// Its partitions: more consumers than that are idle.
    pub partitions: u32,
    /// How partitions are given to consumers when these come and go.
    pub assignor: Assignor,
    /// A consumer that was not heard of for so long has failed (`session.timeout.ms`, 45 s).
    pub session_timeout: Span,
    /// A consumer that does not poll for so long leaves its group (`max.poll.interval.ms`, 5 min).
    pub max_poll_interval: Span,
    /// Records that a poll returns at most (`max.poll.records`, 500).
    pub max_poll_records: u32,
    /// When offsets are committed.
    pub commit: Commit,
    /// How long a rebalance takes from when its members know of it.
    pub rebalance: Span,
    /// How long the first rebalance of a group waits for members (`group.initial.rebalance.delay.ms`, 3 s).
    pub initial_rebalance_delay: Span,
    /// Members keep their partitions while they are away for less than the session timeout (`group.instance.id`).
    pub static_membership: bool,
}

/// How partitions are given to consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Eager: all consumers stop until all have joined again (`range`).
    Range,
    /// Only partitions that change hands stop (`cooperative-sticky`).
    CooperativeSticky,
}

/// When a consumer commits how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// At a poll, once the interval is over (`enable.auto.commit`, `auto.commit.interval.ms` 5 s).
    Auto(Span),
    /// After each record.
    EachRecord,
    /// After all records of a poll.
    EachPoll,
}

/// A list of Redis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RedisList {
    /// Consumers move what they take to a list of their own (`LMOVE`), from where a sweeper puts back what stays there for so
    /// long; `None` takes with `BRPOP`, and what a consumer that dies has taken is lost.
    pub processing: Option<Span>,
}

/// A stream of Redis with one consumer group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RedisStream {
    /// What stays unacknowledged for so long is claimed by another consumer (`XAUTOCLAIM`, `min-idle-time`).
    pub min_idle: Span,
    /// How often a consumer looks for such entries.
    pub claim_every: Span,
}

/// A queue of RabbitMQ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RabbitMq {
    /// Priorities: messages of priority 0 are delivered before all others, and so on; 1 has none. At most 255.
    pub priorities: u8,
    /// Messages that a consumer has unacknowledged at most (`basic.qos`).
    pub prefetch: u32,
    /// A delivery that is not acknowledged for so long closes the consumer's channel (`consumer_timeout`, 30 min).
    pub consumer_timeout: Span,
    /// How long the broker takes to notice that a consumer has died (heartbeats, TCP).
    pub notices: Span,
}

/// A queue of BullMQ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BullMq {
    /// How long a job is locked by the worker that took it; renewed at half of that while the worker's loop runs (30 s).
    pub lock_duration: Span,
    /// How often jobs are looked for whose lock has run out (30 s).
    pub stalled_interval: Span,
    /// How often a job may stall before it fails (1).
    pub max_stalled_count: u32,
}

impl QueueKind {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            QueueKind::Sqs(Sqs { fifo: false, .. }) => "SQS",
            QueueKind::Sqs(_) => "SQS FIFO",
            QueueKind::Kafka(_) => "Kafka",
            QueueKind::RedisList(_) => "Redis list",
            QueueKind::RedisStream(_) => "Redis stream",
            QueueKind::RabbitMq(_) => "RabbitMQ",
            QueueKind::BullMq(_) => "BullMQ",
        }
    }
}
