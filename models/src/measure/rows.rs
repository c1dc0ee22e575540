//! The recorded series: one row per interval, at most [`MOST_ROWS`] of them.

use sim_core::stats::{Histogram, Precision};
use sim_core::{Span, Time};

use super::JobsRecord;
use crate::results::{GroupRow, QueueRow};
use crate::system::Ending;

/// Rows of a run; its length divided by this is the interval, rounded up to a length people use.
pub const MOST_ROWS: u64 = 1_440;

/// Interval lengths in seconds; longer ones are whole days.
const INTERVALS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 21_600];

/// The rows of a run.
#[derive(Clone, Debug)]
pub struct Rows {
    interval: Span,
    /// Requests offered in the open interval.
    pub offered: u64,
    /// Attempts in the open interval.
    pub attempts: u64,
    completed: u64,
    errors: u64,
    times: Histogram,
    /// Closed rows.
    pub closed: Vec<RowRecord>,
}

/// One closed row.
#[derive(Clone, Debug)]
pub struct RowRecord {
    /// Its end.
    pub end: Time,
    /// Requests offered.
    pub offered: u64,
    /// Attempts.
    pub attempts: u64,
    /// Requests completed.
    pub completed: u64,
    /// Requests refused, timed out or failed.
    pub errors: u64,
    /// Median, 95th and 99th percentile of response times.
    pub quantiles: [Option<Span>; 3],
    /// Spent so far.
    pub cost: Option<f64>,
    /// By group.
    pub groups: Vec<GroupRow>,
    /// By queue.
    pub queues: Vec<QueueRow>,
    /// The jobs of all sources; `None` where there are no queues.
    pub jobs: Option<JobsRecord>,
}

impl Rows {
    /// No rows yet, for a run of this length.
    pub fn new(duration: Span) -> Self {
        let least = duration.as_nanos().div_ceil(MOST_ROWS * 1_000_000_000);
        let day = 86_400;
        let seconds = INTERVALS.into_iter().find(|&s| s >= least).unwrap_or(least.div_ceil(day) * day);
        Rows {
            interval: Span::from_secs(seconds),
            offered: 0,
            attempts: 0,
            completed: 0,
            errors: 0,
            times: Histogram::new(Precision::Coarse),
            closed: Vec::new(),
        }
    }

    /// The length of a row.
    pub fn interval(&self) -> Span {
        self.interval
    }

    /// A request came to its end.
    #[inline]
    pub fn end(&mut self, ending: Ending, time: Span) {
        match ending {
            Ending::Completed => self.completed += 1,
            _ => self.errors += 1,
        }
        if matches!(ending, Ending::Completed | Ending::TimedOut) {
            self.times.record(time);
        }
    }

    /// Closes the open row. What is said of queues and jobs is empty where there are none.
    pub fn close(
        &mut self,
        end: Time,
        cost: Option<f64>,
        groups: Vec<GroupRow>,
        queues: Vec<QueueRow>,
        jobs: Option<JobsRecord>,
    ) {
        let quantiles = [0.5, 0.95, 0.99].map(|q| self.times.quantile(q));
        self.closed.push(RowRecord {
            end,
            offered: std::mem::take(&mut self.offered),
            attempts: std::mem::take(&mut self.attempts),
            completed: std::mem::take(&mut self.completed),
            errors: std::mem::take(&mut self.errors),
            quantiles,
            cost,
            groups,
            queues,
            jobs,
        });
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_round_and_rows_are_few() {
        for (hours, seconds) in [(1, 5), (24, 60), (24 * 14, 900), (24 * 365, 86_400)] {
            let rows = Rows::new(Span::from_secs(3600 * hours));
            assert_eq!(rows.interval(), Span::from_secs(seconds), "{hours} h");
        }
        assert_eq!(Rows::new(Span::from_millis(10)).interval(), Span::from_secs(1));
    }
}
