//! Confidence intervals from one long run: the means of long batches are almost independent.

use super::{Interval, Tally};

/// Batches are merged in pairs when there are this many.
const MOST_BATCHES: usize = 64;

/// The means of consecutive batches of a correlated sequence.
///
/// The interval is honest only while a batch is much longer than the sequence's correlation time;
/// [`lag_one`](BatchMeans::lag_one) well above zero says that it is not. With 32 to 64 batches, which grow with the
/// run (Law and Carson 1979).
///
/// ```
/// use sim_core::stats::BatchMeans;
/// let mut waits = BatchMeans::new(10);
/// (0..1_000).for_each(|i| waits.record(f64::from(i % 7)));
/// let interval = waits.interval(0.95).unwrap();
/// assert!(interval.contains(3.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchMeans {
    size: u64,
    means: Vec<f64>,
    open: Tally,
}

impl BatchMeans {
    /// Batches of `size` values to begin with, at least one.
    pub fn new(size: u64) -> Self {
        BatchMeans { size: size.max(1), means: Vec::with_capacity(MOST_BATCHES), open: Tally::new() }
    }

    /// Adds the next value of the sequence.
    #[inline]
    pub fn record(&mut self, value: f64) {
        self.open.record(value);
        if self.open.count() == self.size {
            self.means.push(self.open.mean());
            self.open = Tally::new();
            if self.means.len() == MOST_BATCHES {
                self.means = self.means.chunks(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
                self.size *= 2;
            }
        }
    }

    /// How many batches are complete.
    pub fn batches(&self) -> usize {
        self.means.len()
    }

    /// The interval for the mean over all complete batches; `None` with fewer than ten.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        if self.means.len() < 10 {
            return None;
        }
        Interval::student_t(&self.means.iter().copied().collect(), level)
    }

    /// The correlation of neighbouring batch means; `None` with fewer than ten batches or without variation.
    pub fn lag_one(&self) -> Option<f64> {
        let tally: Tally = self.means.iter().copied().collect();
        let variance = tally.variance().filter(|&v| v > 0.0 && self.means.len() >= 10)?;
        let products: f64 =
            self.means.windows(2).map(|w| (w[0] - tally.mean()) * (w[1] - tally.mean())).sum();
        Some(products / (variance * (self.means.len() - 1) as f64))
    }
}
