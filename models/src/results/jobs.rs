//! What became of jobs and queues.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// How the jobs of a source ended, and what was done for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobCounts {
    /// Jobs sent to queues.
    pub submitted: u64,
    /// Jobs whose work was done.
    pub done: u64,
    /// Jobs that failed too often, and are dead letters.
    pub dead_lettered: u64,
    /// Jobs that workers did not begin, because nobody wanted them any more.
    pub too_late: u64,
    /// Jobs that died with their worker, which had the only copy.
    pub lost_with_worker: u64,
    /// Jobs that nobody took within the retention period.
    pub expired: u64,
    /// Jobs that a full queue dropped.
    pub dropped: u64,
    /// Times that a job was delivered to a worker.
    pub deliveries: u64,
    /// Those after the first of their message.
    pub delivered_again: u64,
    /// Deliveries of jobs that were done already, which idempotent workers leave at that.
    pub skipped: u64,
    /// Times that a job was done which was done already.
    pub done_again: u64,
    /// Tries that failed.
    pub failed_tries: u64,
    /// Tries that were cut, because their worker went away.
    pub cut_tries: u64,
    /// Times that a queue gave a job to somebody else while its consumer was at it.
    pub put_out: u64,
    /// Worker seconds of tries that did the work, and what checkpoints kept of others.
    pub useful_seconds: f64,
    /// Worker seconds of tries that failed or were cut.
    pub wasted_seconds: f64,
    /// Worker seconds of tries that did what had been done.
    pub duplicated_seconds: f64,
    /// Questions of clients, or messages to them.
    pub questions: u64,
    /// Clients that stopped waiting for news of their job, or were never told.
    pub given_up: u64,
}

impl JobCounts {
    /// Jobs that are lost, for any reason.
    pub fn lost(&self) -> u64 {
        self.lost_with_worker + self.expired + self.dropped
    }

    /// Jobs that wait, or are worked on.
    pub fn in_progress(&self) -> u64 {
        let ended = self.done + self.dead_lettered + self.too_late + self.lost();
        self.submitted.saturating_sub(ended)
    }
}

/// What became of a source's jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsResult {
    /// The source.
    pub name: String,
    /// How they ended.
    pub counts: JobCounts,
    /// From sending the request that submits until its answer.
    pub accepted: Distribution,
    /// From the queue having it until a worker begins.
    pub waited: Distribution,
    /// From when a worker first began until the work was done.
    pub served: Distribution,
    /// From done until the client knew.
    pub told: Distribution,
    /// From sending the request until the client knew; until it was done where nobody asks.
    pub total: Distribution,
    /// Their questions and messages per second, which the HTTP layer works on beside all else.
    pub questions_per_second: f64,
    /// What the groups of workers that do them and their queues cost, by job that was done, over the whole run; `None` without
    /// prices.
    pub cost: Option<f64>,
}

/// A source's jobs of one replication in brief.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsSummary {
    /// The source.
    pub name: String,
    /// Jobs sent to queues.
    pub submitted: u64,
    /// Jobs whose work was done.
    pub done: u64,
    /// Jobs that failed too often.
    pub dead_lettered: u64,
    /// Jobs that are lost, for any reason.
    pub lost: u64,
    /// From sending the request until the client knew; until it was done where nobody asks.
    pub total: Distribution,
}

/// The jobs of all sources in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsRow {
    /// Jobs submitted per second.
    pub submitted: f64,
    /// Jobs done per second.
    pub done: f64,
    /// Median time from submitting until known, of those that became known in it; `None` where none did.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
}

/// A queue at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Messages that a consumer could receive.
    pub visible: u64,
    /// Messages that are with a consumer.
    pub in_flight: u64,
    /// The age of the oldest message that is not acknowledged, in seconds; 0 where there is none.
    pub oldest: f64,
    /// Its consumers.
    pub consumers: u32,
    /// Consumers that have a job in hand.
    pub consumers_busy: u32,
}

/// What became of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueResult {
    /// Its name.
    pub name: String,
    /// What it is, such as `SQS`.
    pub kind: String,
    /// Messages that waited at the end.
    pub visible: u64,
    /// Messages that were with a consumer at the end.
    pub in_flight: u64,
    /// Messages that were not yet to be received at the end.
    pub delayed: u64,
    /// Messages that it held when measurement began.
    pub held_at_start: u64,
    /// The most that waited at the end of any minute.
    pub visible_max: u64,
    /// The greatest age of its oldest message at the end of any minute, in seconds.
    pub oldest_max: f64,
    /// Messages sent.
    pub sent: u64,
    /// Messages, or requests that submit, which it refused because it was full.
    pub refused: u64,
    /// Deliveries.
    pub received: u64,
    /// Deliveries after the first of their message.
    pub received_again: u64,
    /// Messages whose work was done.
    pub consumed: u64,
    /// Acknowledgements that came too late.
    pub stale: u64,
    /// Messages that went to its dead letters.
    pub dead_lettered: u64,
    /// Messages lost.
    pub lost: u64,
    /// Requests to it, as they are billed.
    pub requests: u64,
    /// Receives that brought nothing.
    pub empty_receives: u64,
    /// Receives that it refused because too many messages were in flight (`OverLimit`).
    pub over_limit: u64,
    /// Times that a consumer group was reassigned its partitions.
    pub rebalances: u64,
    /// The time average of its consumers.
    pub consumers_mean: f64,
    /// The time average of consumers that had a job in hand.
    pub consumers_busy_mean: f64,
}
