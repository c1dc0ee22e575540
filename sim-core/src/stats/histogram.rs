//! A histogram of spans with a bounded relative error: `hdrhistogram` for the counts, own sums for exact moments.

use hdrhistogram::Histogram as Hdr;

use crate::time::Span;

/// Longer spans are counted as this long, and [`Histogram::clamped`] says how many were.
const LONGEST: u64 = 24 * 3_600 * 1_000_000_000;

/// How close a quantile is to the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Within 1 %, 40 KB.
    Coarse,
    /// Within 0.1 %, 300 KB.
    Fine,
}

/// Counts of spans by length.
///
/// ```
/// use sim_core::Span;
/// use sim_core::stats::{Histogram, Precision};
/// let mut times = Histogram::new(Precision::Fine);
/// (1..=1000).for_each(|ms| times.record(Span::from_millis(ms)));
/// let p99 = times.quantile(0.99).unwrap().as_secs_f64();
/// assert!((p99 - 0.99).abs() < 0.001);
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Hdr<u64>,
    sum: f64,
    sum_of_squares: f64,
    clamped: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(precision: Precision) -> Self {
        let digits = match precision {
            Precision::Coarse => 2,
            Precision::Fine => 3,
        };
        let counts = Hdr::new_with_bounds(1, LONGEST, digits)
            .expect("the bounds are constants that hdrhistogram takes");
        Histogram { counts, sum: 0.0, sum_of_squares: 0.0, clamped: 0 }
    }

    /// Counts a span.
    #[inline]
    pub fn record(&mut self, span: Span) {
        let nanos = span.as_nanos();
        if nanos > LONGEST {
            self.clamped += 1;
        }
        self.counts.saturating_record(nanos.min(LONGEST));
        let value = nanos as f64;
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    /// How many spans there are.
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// How many were longer than the histogram holds.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The smallest span that a share `q` of all spans does not exceed, within the histogram's precision.
    pub fn quantile(&self, q: f64) -> Option<Span> {
        if self.counts.is_empty() {
            return None;
        }
        let highest = self.counts.value_at_quantile(q.clamp(0.0, 1.0));
        let middle = self.counts.median_equivalent(highest);
        Some(Span::from_nanos(middle.clamp(self.counts.min(), self.counts.max())))
    }

    /// The mean in nanoseconds, exact.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// The standard deviation in nanoseconds.
    pub fn std_dev(&self) -> Option<f64> {
        let mean = self.mean()?;
        Some((self.sum_of_squares / self.count() as f64 - mean * mean).max(0.0).sqrt())
    }

    /// The shortest span, within the histogram's precision.
    pub fn min(&self) -> Option<Span> {
        (self.count() > 0).then(|| Span::from_nanos(self.counts.min()))
    }

    /// The longest span, within the histogram's precision.
    pub fn max(&self) -> Option<Span> {
        (self.count() > 0).then(|| Span::from_nanos(self.counts.max()))
    }

    /// The share of spans longer than `span`, within the histogram's precision.
    pub fn fraction_above(&self, span: Span) -> f64 {
        if self.counts.is_empty() {
            return 0.0;
        }
        let up_to = self.counts.count_between(0, span.as_nanos().min(LONGEST));
        (self.count() - up_to) as f64 / self.count() as f64
    }

    /// Adds the counts of a histogram of the same precision.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.add(&other.counts).expect("both histograms have the same bounds");
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
        self.clamped += other.clamped;
    }

    /// Forgets all spans.
    pub fn clear(&mut self) {
        if !self.counts.is_empty() {
            self.counts.reset();
        }
        self.sum = 0.0;
        self.sum_of_squares = 0.0;
        self.clamped = 0;
    }
}
