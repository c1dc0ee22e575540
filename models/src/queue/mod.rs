//! Queues as their originals behave: SQS, Kafka, Redis, RabbitMQ, BullMQ. Pure state machines that are asked with the time.
//!
//! A queue knows jobs by their numbers only. Whoever drives it tells it what senders and consumers do, hears what came of it as
//! [`Happened`], and asks it again at [`Queue::due`], for visibility timeouts end, members of consumer groups are missed, and
//! messages expire without anybody doing something. Consumers take one job at a time; what they fetch ahead of that (a batch, a
//! poll's records) is kept here for them.

mod counts;
mod entries;
mod kafka;
mod redis_list;
mod redis_store;
mod redis_stream;
mod rules;
mod timers;
#[cfg(test)]
mod walks;

use sim_core::{Span, Time};

pub use counts::{Counts, Depth};
pub use kafka::Kafka;
pub use redis_list::RedisList;
pub use redis_stream::RedisStream;

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
    counts: Counts,
}

impl Queue {
    /// An empty queue.
    pub fn new(_plan: &crate::plan::Queue, _seed: sim_core::Seed) -> Queue {
        Queue { counts: Counts::default() }
    }

    /// A sender sends a message.
    ///
    /// # Errors
    /// When a queue that refuses or blocks is full. Nothing was sent then.
    pub fn send(&mut self, _message: Message, _now: Time, _happened: &mut Vec<Happened>) -> Result<(), Full> {
        Ok(())
    }

    /// A consumer is there from now on. Consumers have small numbers, which are used again.
    pub fn join(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    /// A consumer asks for a job. It gets one at once or as soon as there is one; it asks again when it is done with that.
    pub fn receive(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    /// A consumer does not want a job any more that it has asked for, and keeps what it is at. It may ask again.
    pub fn stop_receiving(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    /// The work of a message is done. False where the receipt is stale: somebody else has the message by now, or will.
    pub fn acknowledge(&mut self, _receipt: Receipt, _now: Time, _happened: &mut Vec<Happened>) -> bool {
        true
    }

    /// The work of a message failed, and its consumer says so: it can be received again after `delay`, or is a dead letter if it
    /// was received too often. With `None` the consumer says nothing, and the message comes back as if it had died.
    pub fn fail(
        &mut self,
        _receipt: Receipt,
        _delay: Option<Span>,
        _now: Time,
        _happened: &mut Vec<Happened>,
    ) {
    }

    /// A consumer rejects a message for good: it is a dead letter.
    pub fn reject(&mut self, _receipt: Receipt, _now: Time, _happened: &mut Vec<Happened>) {}

    /// A consumer leaves in good order: it has no job in its hands.
    pub fn leave(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    /// A consumer is gone without a word, with all it held.
    pub fn crash(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    /// When something happens by itself next; [`Time::NEVER`] where nothing will.
    pub fn due(&self) -> Time {
        Time::NEVER
    }

    /// What happens by itself until `now`.
    pub fn advance(&mut self, _now: Time, _happened: &mut Vec<Happened>) {}

    /// How it stands.
    pub fn depth(&self, _now: Time) -> Depth {
        Depth::default()
    }

    /// What it has counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}
