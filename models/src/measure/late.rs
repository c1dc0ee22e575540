//! Where the time of jobs went that were late, and how those ended that were not done.

use sim_core::Time;

use crate::queue::Loss;
use crate::system::{Job, JobState};

/// The jobs that broke an objective in a window. Times are sums in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LateJobs {
    /// Jobs that took longer than the bound; all of them where the mean is what counts.
    pub late: u64,
    /// From sending the request until the job was in its queue.
    pub submitting: f64,
    /// From then until a worker first began.
    pub waiting: f64,
    /// From then until it was done, with all tries.
    pub working: f64,
    /// From then until its client knew. A client that submitted several waits here for the others.
    pub telling: f64,
    /// Late ones that a worker had in its hands when it went away.
    pub cut: u64,
    /// Late ones of which a try had failed.
    pub retried: u64,
    /// Jobs that became dead letters.
    pub dead_lettered: u64,
    /// Jobs that were taken too late to be begun.
    pub too_late: u64,
    /// Jobs that died with their worker.
    pub lost_with_worker: u64,
    /// Jobs that nobody took within the retention period.
    pub expired: u64,
    /// Jobs that a full queue dropped.
    pub dropped: u64,
}

/// A part of a job's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPart {
    /// Until it is in its queue.
    Submitting,
    /// Until a worker begins.
    Waiting,
    /// Until it is done.
    Working,
    /// Until its client knows.
    Telling,
}

impl LateJobs {
    /// A job that was done, too late, and of which is known so now.
    pub fn add(&mut self, job: &Job, now: Time) {
        self.late += 1;
        let started = job.started.min(job.done);
        self.submitting += job.queued.since(job.born).as_secs_f64();
        self.waiting += started.since(job.queued).as_secs_f64();
        self.working += job.done.since(started).as_secs_f64();
        self.telling += now.since(job.done).as_secs_f64();
        self.cut += u64::from(job.cuts > 0);
        self.retried += u64::from(job.failures > 0);
    }

    /// A job that has ended and is not done.
    pub fn add_failed(&mut self, state: JobState) {
        match state {
            JobState::InProcess | JobState::Done => {}
            JobState::DeadLettered => self.dead_lettered += 1,
            JobState::TooLate => self.too_late += 1,
            JobState::Lost(Loss::DiedWithConsumer) => self.lost_with_worker += 1,
            JobState::Lost(Loss::Expired) => self.expired += 1,
            JobState::Lost(Loss::Dropped) => self.dropped += 1,
        }
    }

    /// The part that took most; `None` where no job was late.
    pub fn longest(&self) -> Option<JobPart> {
        use JobPart::{Submitting, Telling, Waiting, Working};
        let parts = [
            (Submitting, self.submitting),
            (Waiting, self.waiting),
            (Working, self.working),
            (Telling, self.telling),
        ];
        // Of equal ones the first: what comes later had less time because of it.
        let most = parts.into_iter().reduce(|most, other| if other.1 > most.1 { other } else { most });
        most.filter(|_| self.late > 0).map(|(part, _)| part)
    }

    /// How long a late job took on average, in seconds.
    pub fn mean(&self) -> f64 {
        (self.submitting + self.waiting + self.working + self.telling) / self.late.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_part_is_where_the_time_of_late_jobs_went() {
        let late = LateJobs {
            late: 2,
            submitting: 0.1,
            waiting: 50.0,
            working: 10.0,
            telling: 4.0,
            ..LateJobs::default()
        };
        assert_eq!((late.longest(), late.mean()), (Some(JobPart::Waiting), 32.05));
        assert_eq!(LateJobs { telling: 60.0, ..late }.longest(), Some(JobPart::Telling));
        assert_eq!(LateJobs { late: 0, ..late }.longest(), None);
    }
}
