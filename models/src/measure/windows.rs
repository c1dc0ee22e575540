//! An objective's windows: whether each kept the promise.
//!
//! Whether a quantile is above its bound is decided by counting the requests that were slower, which is exact; the
//! histogram is only asked for the value to show.

use sim_core::stats::{Histogram, Precision};
use sim_core::{Span, Time};

use super::LateJobs;
use crate::plan::{Indicator, Objective};
use crate::system::{Ending, Job};

/// Violating windows kept for each objective; further ones are counted.
pub const MOST_VIOLATIONS: usize = 20_000;

/// The open window of an objective, and what is kept of the closed ones.
#[derive(Clone, Debug)]
pub struct WindowCollector {
    indicator: Indicator,
    bound: f64,
    /// When the open window began.
    pub opened: Time,
    open: Counts,
    late: LateJobs,
    /// Of the whole run.
    pub overall: Counts,
    /// Closed windows with at least one request.
    pub windows: u64,
    /// Their total time in violation.
    pub violation: Span,
    /// The violating windows.
    pub violations: Vec<ViolationRecord>,
    /// Those that did not fit.
    pub violations_dropped: u64,
    /// The window with the worst value.
    pub worst: Option<ViolationRecord>,
}

/// What an objective counts.
#[derive(Clone, Debug)]
pub struct Counts {
    times: Histogram,
    /// Answered.
    pub good: u64,
    /// Refused, timed out or failed.
    pub bad: u64,
    /// Answered or timed out later than the bound.
    pub slow: u64,
}

/// A closed window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViolationRecord {
    /// Its start.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// The value: nanoseconds or a share.
    pub value: f64,
    /// Requests measured.
    pub requests: u64,
    /// Why jobs broke it, where it is about jobs.
    pub jobs: LateJobs,
}

impl Counts {
    fn new() -> Self {
        Counts { times: Histogram::new(Precision::Fine), good: 0, bad: 0, slow: 0 }
    }

    fn clear(&mut self) {
        self.times.clear();
        (self.good, self.bad, self.slow) = (0, 0, 0);
    }

    fn merge(&mut self, other: &Counts) {
        self.times.merge(&other.times);
        self.good += other.good;
        self.bad += other.bad;
        self.slow += other.slow;
    }

    /// Requests the indicator is about.
    pub fn measured(&self, indicator: Indicator) -> u64 {
        match indicator {
            Indicator::Quantile(_) | Indicator::Mean => self.times.count(),
            Indicator::Availability | Indicator::ErrorRatio => self.good + self.bad,
        }
    }

    /// The value of the indicator: nanoseconds or a share. `None` where there was nothing to measure.
    pub fn value(&self, indicator: Indicator) -> Option<f64> {
        let ended = (self.good + self.bad) as f64;
        match indicator {
            Indicator::Quantile(q) => self.times.quantile(q).map(|span| span.as_nanos() as f64),
            Indicator::Mean => self.times.mean(),
            Indicator::Availability => (ended > 0.0).then(|| self.good as f64 / ended),
            Indicator::ErrorRatio => (ended > 0.0).then(|| self.bad as f64 / ended),
        }
    }

    fn breaks(&self, indicator: Indicator, bound: f64) -> bool {
        match indicator {
            // A hair more than is allowed: 1 − 0.9 is a little less than a tenth.
            Indicator::Quantile(q) => self.slow as f64 > (1.0 - q) * self.times.count() as f64 * (1.0 + 1e-9),
            Indicator::Availability => self.value(indicator).is_some_and(|value| value < bound),
            Indicator::Mean | Indicator::ErrorRatio => {
                self.value(indicator).is_some_and(|value| value > bound)
            }
        }
    }
}

impl WindowCollector {
    /// No window closed yet.
    pub fn new(objective: &Objective) -> Self {
        WindowCollector {
            indicator: objective.indicator,
            bound: objective.bound,
            opened: Time::ZERO,
            open: Counts::new(),
            late: LateJobs::default(),
            overall: Counts::new(),
            windows: 0,
            violation: Span::ZERO,
            violations: Vec::new(),
            violations_dropped: 0,
            worst: None,
        }
    }

    /// Forgets what was measured so far.
    pub fn begin(&mut self, now: Time) {
        self.opened = now;
        self.open.clear();
        self.late = LateJobs::default();
        self.overall.clear();
        self.windows = 0;
        self.violation = Span::ZERO;
        self.violations.clear();
        self.violations_dropped = 0;
        self.worst = None;
    }

    /// A request that the objective is about came to its end.
    #[inline]
    pub fn end(&mut self, ending: Ending, time: Span) {
        match ending {
            Ending::Completed => self.open.good += 1,
            _ => self.open.bad += 1,
        }
        if matches!(ending, Ending::Completed | Ending::TimedOut) {
            self.open.times.record(time);
            self.open.slow += u64::from(time.as_nanos() as f64 > self.bound);
        }
    }

    /// A job that the objective is about is done, or has come to another end.
    pub fn job(&mut self, job: &Job, ending: Ending, now: Time) {
        let time = now.since(job.born);
        self.end(ending, time);
        if ending != Ending::Completed {
            self.late.add_failed(job.state);
        } else if self.indicator == Indicator::Mean || time.as_nanos() as f64 > self.bound {
            self.late.add(job, now);
        }
    }

    /// Closes the open window at `now` and opens the next.
    pub fn close(&mut self, now: Time) {
        let from = std::mem::replace(&mut self.opened, now);
        let jobs = std::mem::take(&mut self.late);
        if let Some(value) = self.open.value(self.indicator) {
            let requests = self.open.measured(self.indicator);
            let window = ViolationRecord { from, to: now, value, requests, jobs };
            self.windows += 1;
            let worse = |than: &ViolationRecord| match self.indicator {
                Indicator::Availability => value < than.value,
                _ => value > than.value,
            };
            if self.worst.as_ref().is_none_or(worse) {
                self.worst = Some(window);
            }
            if self.open.breaks(self.indicator, self.bound) {
                self.violation += now.since(from);
                if self.violations.len() < MOST_VIOLATIONS {
                    self.violations.push(window);
                } else {
                    self.violations_dropped += 1;
                }
            }
        }
        self.overall.merge(&self.open);
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One in ten may be slow: one is kept, two are not. The same for p99.9 and one in a thousand.
    #[test]
    fn a_share_that_is_just_allowed_is_kept() {
        let breaks = |q: f64, slow: u64, all: u64| {
            let mut counts = Counts::new();
            (0..all).for_each(|_| counts.times.record(Span::from_millis(1)));
            counts.slow = slow;
            counts.breaks(Indicator::Quantile(q), 0.0)
        };
        assert_eq!([breaks(0.9, 1, 10), breaks(0.9, 2, 10)], [false, true]);
        assert_eq!([breaks(0.999, 1, 1_000), breaks(0.999, 2, 1_000)], [false, true]);
        assert_eq!([breaks(0.99, 100, 10_000), breaks(0.99, 101, 10_000)], [false, true]);
    }
}
