//! A histogram of spans with a bounded relative error: `hdrhistogram` for the counts, own integers for exact moments,
//! so that histograms merge to the same one in any order.

use hdrhistogram::Histogram as Hdr;

use crate::time::Span;

/// Longer spans than a day are counted as a day long, and [`Histogram::clamped`] says how many were.
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
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Hdr<u64>,
    sum: u128,
    /// Holds thirty thousand million spans of a day, and saturates.
    sum_of_squares: u128,
    min: u64,
    max: u64,
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
        Histogram { counts, sum: 0, sum_of_squares: 0, min: u64::MAX, max: 0, clamped: 0 }
    }

    /// Counts a span.
    #[inline]
    pub fn record(&mut self, span: Span) {
        let nanos = span.as_nanos().min(LONGEST);
        self.clamped += u64::from(span.as_nanos() > LONGEST);
        self.counts.saturating_record(nanos);
        let value = u128::from(nanos);
        self.sum += value;
        self.sum_of_squares = self.sum_of_squares.saturating_add(value * value);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
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
        let count = self.count();
        if count == 0 {
            return None;
        }
        // 0.07 of 100 spans are seven, although `0.07 * 100.0` is a little more. Asking for the middle of the seventh
        // keeps `hdrhistogram` from rounding up to the eighth.
        let rank = (q.clamp(0.0, 1.0) * count as f64 * (1.0 - 4.0 * f64::EPSILON)).ceil().max(1.0);
        let highest = self.counts.value_at_quantile((rank - 0.5) / count as f64);
        Some(Span::from_nanos(self.counts.median_equivalent(highest).clamp(self.min, self.max)))
    }

    /// The mean in nanoseconds, exact.
    pub fn mean(&self) -> Option<f64> {
        let count = u128::from(self.count());
        let (whole, rest) = (self.sum.checked_div(count)?, self.sum.checked_rem(count)?);
        Some(whole as f64 + rest as f64 / count as f64)
    }

    /// The standard deviation in nanoseconds, of these spans themselves (not an estimate for others).
    pub fn std_dev(&self) -> Option<f64> {
        let count = u128::from(self.count());
        let (whole, rest) = (self.sum.checked_div(count)?, self.sum.checked_rem(count)?);
        // Squares around the whole part of the mean, in integers: no digits cancel. The difference is not negative,
        // whatever its parts wrap around to.
        let around = self.sum_of_squares.wrapping_sub(whole.wrapping_mul(self.sum + rest));
        let rest = rest as f64 / count as f64;
        Some((around as f64 / count as f64 - rest * rest).max(0.0).sqrt())
    }

    /// The shortest span, exact.
    pub fn min(&self) -> Option<Span> {
        (self.count() > 0).then(|| Span::from_nanos(self.min))
    }

    /// The longest span, exact.
    pub fn max(&self) -> Option<Span> {
        (self.count() > 0).then(|| Span::from_nanos(self.max))
    }

    /// The share of spans longer than `span`, within the histogram's precision; 0 without any.
    pub fn fraction_above(&self, span: Span) -> f64 {
        if self.counts.is_empty() {
            return 0.0;
        }
        let nanos = span.as_nanos();
        let above =
            if nanos >= LONGEST { self.clamped } else { self.count() - self.counts.count_between(0, nanos) };
        above as f64 / self.count() as f64
    }

    /// What the histogram holds, shortest first: the longest span of each bucket that is not empty, and how many spans
    /// are in it. Summed up, these are the points of the empirical distribution function.
    pub fn buckets(&self) -> impl Iterator<Item = (Span, u64)> + '_ {
        self.counts.iter_recorded().map(|bucket| {
            (Span::from_nanos(bucket.value_iterated_to().min(self.max)), bucket.count_at_value())
        })
    }

    /// Adds the counts of a histogram of the same precision: the result is the same in any order.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.add(&other.counts).expect("all histograms have the same bounds");
        self.sum += other.sum;
        self.sum_of_squares = self.sum_of_squares.saturating_add(other.sum_of_squares);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.clamped += other.clamped;
    }

    /// Forgets all spans.
    pub fn clear(&mut self) {
        // The counts are tens or hundreds of kilobytes, and windows in which nothing happened are common.
        if !self.counts.is_empty() {
            self.counts.reset();
        }
        (self.sum, self.sum_of_squares, self.clamped) = (0, 0, 0);
        (self.min, self.max) = (u64::MAX, 0);
    }
}
