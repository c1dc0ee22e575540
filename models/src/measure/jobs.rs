//! What is counted of jobs: how they ended, how long each part took, and what was done in vain.

use sim_core::stats::{Histogram, Precision};
use sim_core::{Span, Time};

use crate::plan::{Plan, TrafficId};
use crate::queue::Loss;
use crate::results::JobCounts;
use crate::system::{Job, JobState};

/// The jobs of all sources.
#[derive(Clone, Debug)]
pub struct JobMeasure {
    /// By source; empty where nothing submits jobs.
    pub sources: Vec<JobCollector>,
    since: Time,
}

/// The jobs of one source.
#[derive(Clone, Debug)]
pub struct JobCollector {
    /// How they ended, and what was done for them.
    pub counts: JobCounts,
    /// Jobs that were done before measurement began.
    pub done_before: u64,
    /// From sending the request that submits until its answer.
    pub accepted: Histogram,
    /// From there being a message until a worker begins.
    pub waited: Histogram,
    /// From when a worker first began until it was done, with all tries.
    pub served: Histogram,
    /// From when it was done until its client knew.
    pub told: Histogram,
    /// From sending the request until the client knew; until it was done where nobody asks.
    pub total: Histogram,
}

impl JobMeasure {
    /// Collectors for a plan that has queues.
    pub fn new(plan: &Plan) -> Self {
        let histogram = || Histogram::new(Precision::Fine);
        let collector = || JobCollector {
            counts: JobCounts::default(),
            done_before: 0,
            accepted: histogram(),
            waited: histogram(),
            served: histogram(),
            told: histogram(),
            total: histogram(),
        };
        let count = if plan.queues.is_empty() { 0 } else { plan.traffic.len() };
        JobMeasure { sources: (0..count).map(|_| collector()).collect(), since: Time::ZERO }
    }

    /// Forgets what was measured so far; what is in progress stays.
    pub fn begin(&mut self, now: Time) {
        self.since = now;
        for source in &mut self.sources {
            source.done_before += source.counts.done;
            let in_progress = source.counts.in_progress();
            source.counts = JobCounts { submitted: in_progress, ..JobCounts::default() };
            for times in [
                &mut source.accepted,
                &mut source.waited,
                &mut source.served,
                &mut source.told,
                &mut source.total,
            ] {
                times.clear();
            }
        }
    }

    fn of(&mut self, source: TrafficId) -> &mut JobCollector {
        &mut self.sources[source.index()]
    }

    /// A job was sent to a queue.
    pub fn submitted(&mut self, source: TrafficId) {
        self.of(source).counts.submitted += 1;
    }

    /// The request that submitted it was answered.
    pub fn accepted(&mut self, source: TrafficId, time: Span) {
        self.of(source).accepted.record(time);
    }

    /// A job was delivered to a worker, perhaps not for the first time.
    pub fn delivered(&mut self, source: TrafficId, again: bool) {
        let counts = &mut self.of(source).counts;
        counts.deliveries += 1;
        counts.delivered_again += u64::from(again);
    }

    /// A worker saw that a job needs no work: it is `done` already, or too late.
    pub fn skipped(&mut self, source: TrafficId, done: bool) {
        self.of(source).counts.skipped += u64::from(done);
    }

    /// A job was begun for the first time, after so long in its queue.
    pub fn waited(&mut self, source: TrafficId, time: Span) {
        self.of(source).waited.record(time);
    }

    /// A try is over, which took so long and did the work, or did not.
    pub fn tried(&mut self, job: &Job, took: Span, done: bool) {
        let counts = &mut self.of(job.source).counts;
        let seconds = took.as_secs_f64();
        match (done, job.state == JobState::Done) {
            (true, false) => counts.useful_seconds += seconds,
            (true, true) => {
                counts.done_again += 1;
                counts.duplicated_seconds += seconds;
            }
            (false, _) => {
                counts.failed_tries += 1;
                counts.wasted_seconds += seconds;
            }
        }
    }

    /// A try was cut, of which so much was kept by checkpoints.
    pub fn cut(&mut self, job: &Job, kept: Span) {
        let counts = &mut self.of(job.source).counts;
        counts.failed_tries -= 1;
        counts.cut_tries += 1;
        counts.wasted_seconds -= kept.as_secs_f64();
        counts.useful_seconds += kept.as_secs_f64();
    }

    /// A consumer was put out while it worked on a job of this source.
    pub fn put_out(&mut self, source: TrafficId) {
        self.of(source).counts.put_out += 1;
    }

    /// A question, or an attempt to tell, for a job of this source.
    pub fn asked(&mut self, source: TrafficId) {
        self.of(source).counts.questions += 1;
    }

    /// A client stopped waiting for news.
    pub fn given_up(&mut self, source: TrafficId) {
        self.of(source).counts.given_up += 1;
    }

    /// A job has ended, which stood as `before` until now.
    pub fn ended(&mut self, job: &Job, before: JobState) {
        let (state, since) = (job.state, self.since);
        let own = self.of(job.source);
        count(&mut own.counts, before, |value| *value = value.saturating_sub(1));
        count(&mut own.counts, state, |value| *value += 1);
        if state == JobState::Done && job.started >= since {
            own.served.record(job.done.since(job.started));
        }
    }

    /// The client of a job knows that it is done.
    pub fn known(&mut self, job: &Job, told: Span, total: Span) {
        let own = self.of(job.source);
        own.told.record(told);
        own.total.record(total);
    }
}

/// Changes the count of how a job stands; one in process is in none.
fn count(counts: &mut JobCounts, state: JobState, change: impl FnOnce(&mut u64)) {
    match state {
        JobState::InProcess => {}
        JobState::Done => change(&mut counts.done),
        JobState::DeadLettered => change(&mut counts.dead_lettered),
        JobState::TooLate => change(&mut counts.too_late),
        JobState::Lost(Loss::DiedWithConsumer) => change(&mut counts.lost_with_worker),
        JobState::Lost(Loss::Expired) => change(&mut counts.expired),
        JobState::Lost(Loss::Dropped) => change(&mut counts.dropped),
    }
}
