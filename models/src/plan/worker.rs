//! Workers: instances that take jobs from a queue, one by one, instead of requests from a balancer.

use sim_core::chance::unit;
use sim_core::dist::Dist;
use sim_core::{Keyed, Span};

use super::{EndpointId, QueueId};

/// What the instances of a group take from a queue, and how.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Where its jobs come from.
    pub queue: QueueId,
    /// What a job is: the steps of this endpoint of the group's service.
    pub job: EndpointId,
    /// Jobs that an instance does at once: its consumers. 1 to [`Worker::MOST_CONSUMERS`].
    pub concurrency: u32,
    /// It looks whether a job is done already before it begins (an idempotency key, a row in the store), and acknowledges it
    /// if so. Without that, what is delivered twice is done twice.
    pub idempotent: bool,
    /// The share of jobs that can never be done: each try fails at its end. 0 to 1.
    pub poison: f64,
    /// What it tells the queue of a job that failed: how long to wait before the next try. `None` tells it nothing, and the
    /// message comes back as if the worker had died.
    pub retry: Option<Backoff>,
    /// A try that takes longer is broken off, and has failed.
    pub timeout: Option<Span>,
    /// Jobs that were submitted longer ago are not begun any more: nobody waits for them. Nanoseconds, of each job its own.
    pub deadline: Option<Dist>,
    /// How often a job saves how far it is, in time of its work; a later try goes on from there. `None` begins anew.
    pub checkpoint: Option<Span>,
    /// What a consumer has to load before a job, where it has not got it: a model into its GPU.
    pub load: Option<Load>,
    /// How long an instance that is told to stop goes on with its job; then that is cut.
    pub stop_grace: Span,
}

impl Worker {
    /// The most consumers of an instance.
    pub const MOST_CONSUMERS: u32 = 1000;
}

/// What is loaded before the first job, and again once it has been dropped for want of jobs: a model, a pipeline, a container
/// that is scaled to zero. The first step of the job takes so much longer.
#[derive(Clone, Debug)]
pub struct Load {
    /// Nanoseconds.
    pub takes: Dist,
    /// How long it is kept without a job; `None` until the consumer is gone.
    pub keep: Option<Span>,
}

/// Waits between tries, exponential: the `k`-th is `min(first * multiplier^(k-1), max)`, and with jitter a uniform draw between zero
/// and that ("full jitter").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub first: Span,
    /// How many times as long each further wait is; 1 or more.
    pub multiplier: f64,
    /// The longest.
    pub max: Span,
    /// Draw the wait between zero and its length.
    pub jitter: bool,
}

impl Backoff {
    /// The longest wait before try number `tries` + 1, after so many tries that failed.
    pub fn wait(&self, tries: u32) -> Span {
        let power = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        self.first.mul_f64(self.multiplier.powi(power).min(1e12)).min(self.max)
    }

    /// The same as it is waited: with jitter, drawn at `key`.
    pub fn drawn(&self, tries: u32, draws: Keyed, key: u64) -> Span {
        let wait = self.wait(tries);
        if self.jitter { wait.mul_f64(unit(&mut draws.at(key))) } else { wait }
    }
}
