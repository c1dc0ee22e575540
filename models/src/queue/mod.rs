//! Queues as their originals behave: SQS, Kafka, Redis, RabbitMQ, BullMQ. Pure state machines that are asked with the time.
//!
//! A queue knows jobs by their numbers only. Whoever drives it tells it what senders and consumers do, hears what came of it as
//! [`Happened`], and asks it again at [`Queue::due`], for visibility timeouts end, members of consumer groups are missed, and
//! messages expire without anybody doing something. Consumers take one job at a time; what they fetch ahead of that (a batch, a
//! poll's records) is kept here for them.

mod bullmq;
mod counts;
mod entries;
mod kafka;
mod priorities;
mod rabbitmq;
mod redis_list;
mod redis_store;
mod redis_stream;
mod rules;
mod sqs;
#[cfg(test)]
mod tests;
mod timers;
#[cfg(test)]
mod walks;

use sim_core::{Seed, Span, Time};

use crate::plan::{self, QueueKind};

pub use bullmq::BullMq;
pub use counts::{Counts, Depth};
pub use kafka::Kafka;
pub use rabbitmq::RabbitMq;
pub use redis_list::RedisList;
pub use redis_stream::RedisStream;
pub use sqs::Sqs;

/// A job to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number that its sender knows it by, dense and used again after it is gone.
    pub job: u32,
    /// What keeps it in order with others: the message group of a FIFO queue, the key that says its partition.
    pub key: u64,
    /// Where priorities count: 0 is the most urgent.
    pub priority: u8,
    /// When it was first sent to a queue: a dead letter keeps the time of its source.
    pub sent: Time,
}

/// What a consumer holds in its hands for a message that it received: an SQS receipt handle, a partition's offset, the
/// entry of a pending list. Stale ones are told from live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where the queue keeps it.
    pub place: u32,
    /// Which of those that were kept there.
    pub number: u64,
}

/// A bounded queue has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What came of an operation, or of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A consumer that asked for a job has one.
    Delivered {
        /// Who.
        consumer: u32,
        /// Which job.
        job: u32,
        /// What to acknowledge it with.
        receipt: Receipt,
        /// How often it was received by now, from 1.
        receives: u32,
    },
    /// A message is gone because its work is done: deleted, acknowledged, committed.
    Consumed {
        /// Which job.
        job: u32,
    },
    /// A message was received too often, or was rejected, and is no longer here.
    DeadLettered {
        /// Which job.
        job: u32,
        /// When it was first sent.
        sent: Time,
    },
    /// A message is gone, and nobody will ever do its work.
    Lost {
        /// Which job.
        job: u32,
        /// How.
        how: Loss,
    },
    /// A consumer was put out of its group (or its lock was taken): it goes on with its job, which somebody else will get too.
    PutOut {
        /// Who.
        consumer: u32,
    },
}

/// How a message is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its consumer died with the only copy.
    DiedWithConsumer,
    /// Its retention period was over.
    Expired,
    /// It made room for newer ones.
    Dropped,
}

/// A queue in mid-run.
///
/// Operations append to `happened`. Deliveries in it are to be begun, and all else to be noted, before the queue is told
/// anything more.
#[derive(Clone, Debug)]
pub struct Queue {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Sqs(Box<Sqs>),
    Kafka(Box<Kafka>),
    RedisList(Box<RedisList>),
    RedisStream(Box<RedisStream>),
    RabbitMq(Box<RabbitMq>),
    BullMq(Box<BullMq>),
}

/// Asks a queue of whatever kind.
macro_rules! ask {
    ($kind:expr, $queue:ident => $answer:expr) => {
        match $kind {
            Kind::Sqs($queue) => $answer,
            Kind::Kafka($queue) => $answer,
            Kind::RedisList($queue) => $answer,
            Kind::RedisStream($queue) => $answer,
            Kind::RabbitMq($queue) => $answer,
            Kind::BullMq($queue) => $answer,
        }
    };
}

impl Queue {
    /// An empty queue.
    pub fn new(plan: &plan::Queue, seed: Seed) -> Queue {
        let kind = match plan.kind {
            QueueKind::Sqs(own) => Kind::Sqs(Box::new(Sqs::new(plan, own, seed))),
            QueueKind::Kafka(own) => Kind::Kafka(Box::new(Kafka::new(plan, own))),
            QueueKind::RedisList(own) => Kind::RedisList(Box::new(RedisList::new(plan, own))),
            QueueKind::RedisStream(own) => Kind::RedisStream(Box::new(RedisStream::new(plan, own))),
            QueueKind::RabbitMq(own) => Kind::RabbitMq(Box::new(RabbitMq::new(plan, own))),
            QueueKind::BullMq(own) => Kind::BullMq(Box::new(BullMq::new(plan, own))),
        };
        Queue { kind }
    }

    /// A sender sends a message.
    ///
    /// # Errors
    /// When a queue that refuses or blocks is full. Nothing was sent then.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        ask!(&mut self.kind, queue => queue.send(message, now, happened))
    }

    /// A consumer is there from now on. Consumers have small numbers, which are used again.
    pub fn join(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.join(consumer, now, happened));
    }

    /// A consumer asks for a job. It gets one at once or as soon as there is one; it asks again when it is done with that.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.receive(consumer, now, happened));
    }

    /// A consumer does not want a job any more that it has asked for, and keeps what it is at. It may ask again.
    pub fn stop_receiving(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.stop_receiving(consumer, now, happened));
    }

    /// The work of a message is done. False where the receipt is stale: somebody else has the message by now, or will.
    pub fn acknowledge(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) -> bool {
        ask!(&mut self.kind, queue => queue.acknowledge(receipt, now, happened))
    }

    /// The work of a message failed, and its consumer says so: it can be received again after `delay`, or is a dead letter if it
    /// was received too often. With `None` the consumer says nothing, and the message comes back as if it had died.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.fail(receipt, delay, now, happened));
    }

    /// A consumer rejects a message for good: it is a dead letter.
    pub fn reject(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.reject(receipt, now, happened));
    }

    /// A consumer leaves in good order: it has no job in its hands.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.leave(consumer, now, happened));
    }

    /// A consumer is gone without a word, with all it held.
    pub fn crash(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.crash(consumer, now, happened));
    }

    /// When something happens by itself next; [`Time::NEVER`] where nothing will.
    pub fn due(&self) -> Time {
        ask!(&self.kind, queue => queue.due())
    }

    /// What happens by itself until `now`.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        ask!(&mut self.kind, queue => queue.advance(now, happened));
    }

    /// How it stands.
    pub fn depth(&self, now: Time) -> Depth {
        ask!(&self.kind, queue => queue.depth(now))
    }

    /// What it has counted. Polls that brought nothing are counted when it is told to [`advance`](Queue::advance).
    pub fn counts(&self) -> &Counts {
        ask!(&self.kind, queue => queue.counts())
    }

    /// [`depth`](Queue::depth), counted slowly, with all that must be true besides; of kinds that keep entries.
    #[cfg(test)]
    fn recount(&self, now: Time) -> Depth {
        match &self.kind {
            Kind::Sqs(queue) => queue.recount(),
            Kind::RabbitMq(queue) => queue.recount(),
            Kind::BullMq(queue) => queue.recount(),
            _ => self.depth(now),
        }
    }
}

/// A plan that says nothing but the kind, for tests.
#[cfg(test)]
fn plain(kind: QueueKind) -> plan::Queue {
    plan::Queue {
        name: "jobs".to_owned(),
        kind,
        capacity: None,
        when_full: plan::WhenFull::Refuse,
        max_receives: None,
        dead_letter: None,
        retention: None,
        delay: Span::ZERO,
    }
}
