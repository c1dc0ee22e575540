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
    /// By source, and behind these what health checks submit; empty where there are no queues.
    pub sources: Vec<JobCollector>,
    row: OpenRow,
    since: Time,
}

/// The jobs of all sources in the open interval of the series.
#[derive(Clone, Debug)]
struct OpenRow {
    submitted: u64,
    done: u64,
    times: Histogram,
}

/// The jobs of all sources in an interval that is closed.
#[derive(Clone, Copy, Debug)]
pub struct JobsRecord {
    /// Jobs submitted.
    pub submitted: u64,
    /// Jobs done.
    pub done: u64,
    /// Median and 95th percentile from submitting until known.
    pub quantiles: [Option<Span>; 2],
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
        let count = if plan.queues.is_empty() { 0 } else { plan.traffic.len() + 1 };
        JobMeasure {
            sources: (0..count).map(|_| collector()).collect(),
            row: OpenRow { submitted: 0, done: 0, times: Histogram::new(Precision::Coarse) },
            since: Time::ZERO,
        }
    }

    /// Forgets what was measured so far. Jobs in progress stay submitted; those that have ended are no longer counted, however
    /// often they are done again.
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
        let checks = self.sources.len() - 1;
        &mut self.sources[source.index().min(checks)]
    }

    /// A job was sent to a queue.
    pub fn submitted(&mut self, source: TrafficId) {
        self.of(source).counts.submitted += 1;
        self.row.submitted += 1;
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

    /// The part of a try that fell into the time that is measured.
    fn measured(&self, began: Time, now: Time) -> Span {
        now.since(began.max(self.since))
    }

    /// A try of a worker of this group is over, which began then and did the work, or did not.
    pub fn tried(&mut self, job: &Job, began: Time, now: Time, done: bool) {
        let seconds = self.measured(began, now).as_secs_f64();
        let counts = &mut self.of(job.source).counts;
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

    /// The try that is over was cut, and checkpoints have kept so much of its beginning.
    pub fn cut(&mut self, job: &Job, began: Time, now: Time, kept: Span) {
        let measured = self.measured(began, now);
        let lost = now.since(began).saturating_sub(kept);
        let kept = measured.saturating_sub(lost).as_secs_f64();
        let counts = &mut self.of(job.source).counts;
        counts.failed_tries -= 1;
        counts.cut_tries += 1;
        counts.wasted_seconds -= kept;
        counts.useful_seconds += kept;
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
        if job.state == JobState::Done {
            self.row.done += 1;
            self.of(job.source).served.record(job.done.since(job.started));
        }
        if job.past {
            return; // it is in no count any more
        }
        let counts = &mut self.of(job.source).counts;
        count(counts, before, |value| *value -= 1);
        count(counts, job.state, |value| *value += 1);
    }

    /// The client of a job knows that it is done.
    pub fn known(&mut self, job: &Job, told: Span, total: Span) {
        let own = self.of(job.source);
        own.told.record(told);
        own.total.record(total);
        self.row.times.record(total);
    }

    /// Closes the open interval of the series; `None` where there are no queues.
    pub fn close_row(&mut self) -> Option<JobsRecord> {
        if self.sources.is_empty() {
            return None;
        }
        let row = &mut self.row;
        let record = JobsRecord {
            submitted: std::mem::take(&mut row.submitted),
            done: std::mem::take(&mut row.done),
            quantiles: [0.5, 0.95].map(|q| row.times.quantile(q)),
        };
        row.times.clear();
        Some(record)
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
