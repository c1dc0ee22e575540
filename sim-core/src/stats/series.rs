//! A series of numbers over time in a fixed number of buckets, which get wider as the run gets longer.

use crate::time::{Span, Time};

/// What fell into one bucket of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// How many numbers.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest; infinite without any.
    pub min: f64,
    /// The largest; negatively infinite without any.
    pub max: f64,
}

impl Bucket {
    const EMPTY: Bucket = Bucket { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// The mean, unless the bucket is empty.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    fn merge(self, other: Bucket) -> Bucket {
        Bucket {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// A series in at most so many buckets.
///
/// ```
/// use sim_core::stats::Series;
/// use sim_core::{Span, Time};
/// let mut series = Series::new(Span::from_secs(1), 4);
/// (0..8).for_each(|s| series.record(Time::ZERO + Span::from_secs(s), 1.0));
/// assert_eq!(series.width(), Span::from_secs(2));
/// assert_eq!(series.buckets().len(), 4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    width: Span,
    most: usize,
    buckets: Vec<Bucket>,
}

impl Series {
    /// An empty series with buckets of `width` (at least a nanosecond), of which there are at most `most` (at least 2).
    pub fn new(width: Span, most: usize) -> Self {
        Series { width: width.max(Span::from_nanos(1)), most: most.max(2), buckets: Vec::new() }
    }

    /// Adds a number at an instant. Where the instant lies beyond the last possible bucket, pairs of buckets are
    /// merged until it does not.
    pub fn record(&mut self, at: Time, value: f64) {
        while at.as_nanos() / self.width.as_nanos() >= self.most as u64 {
            self.buckets = self
                .buckets
                .chunks(2)
                .map(|pair| pair.iter().fold(Bucket::EMPTY, |a, b| a.merge(*b)))
                .collect();
            self.width = self.width + self.width;
        }
        let index = (at.as_nanos() / self.width.as_nanos()) as usize;
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, Bucket::EMPTY);
        }
        self.buckets[index] =
            self.buckets[index].merge(Bucket { count: 1, sum: value, min: value, max: value });
    }

    /// The present width of a bucket.
    pub fn width(&self) -> Span {
        self.width
    }

    /// The buckets from time zero on.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }
}
