//! Drawing the instants of arrivals.
//!
//! * [`RateArrivals`] follows a rate exactly, by inversion: gaps are drawn in *operational time*, in which one request
//!   is expected per unit, and mapped back through the integral of the rate (Çinlar 1975). Exponential gaps give the
//!   Poisson process. Other gaps with mean 1 and squared coefficient of variation `I` give a process whose counts over
//!   long bins have the index of dispersion `I` (Gerhardt and Nelson 2009).
//! * [`Counts`] replays a number of requests per bin: exactly that many, at independent uniform instants in the bin.
//! * [`Log`] replays requests at their own instants.

use std::sync::Arc;

use rand::Rng;
use rand_distr::{Distribution, Exp1};
use sim_core::chance::unit;
use sim_core::dist::{Dist, DistError};
use sim_core::{Span, Stream, Time};

use super::RateFunction;

/// A generator of arrival instants, in order.
#[derive(Clone, Debug)]
pub enum Arrivals {
    /// Following a rate.
    Rate(RateArrivals),
    /// Replaying counts per bin.
    Counts(Counts),
    /// Replaying instants.
    Log(Log),
}

impl Arrivals {
    /// The next arrival; [`Time::NEVER`] after the last.
    #[inline]
    pub fn next(&mut self, bits: &mut Stream) -> Time {
        match self {
            Arrivals::Rate(arrivals) => arrivals.next(bits),
            Arrivals::Counts(counts) => counts.next(bits),
            Arrivals::Log(log) => log.next(bits),
        }
    }
}

/// Arrivals that follow a rate.
#[derive(Clone, Debug)]
pub struct RateArrivals {
    rate: Arc<RateFunction>,
    gaps: Gaps,
    /// The piece we are on starts at this knot.
    piece: usize,
    /// Seconds since the start of the piece, not rounded: rounding the sum of gaps would bias the rate.
    into: f64,
}

#[derive(Clone, Debug)]
enum Gaps {
    Exponential,
    Renewal(Dist),
}

impl RateArrivals {
    /// Poisson arrivals, or burstier (`dispersion` above 1) or more regular ones (below 1; zero is an even spacing).
    pub fn new(rate: Arc<RateFunction>, dispersion: f64) -> Result<Self, DistError> {
        let gaps = if dispersion == 1.0 {
            Gaps::Exponential
        } else if dispersion > 1.0 {
            Gaps::Renewal(Dist::hyperexponential_balanced(1.0, dispersion)?)
        } else if dispersion == 0.0 {
            Gaps::Renewal(Dist::constant(1.0)?)
        } else {
            Gaps::Renewal(Dist::gamma(1.0, dispersion.sqrt())?)
        };
        Ok(RateArrivals { rate, gaps, piece: 0, into: 0.0 })
    }

    /// Whether they are a Poisson process.
    pub fn is_poisson(&self) -> bool {
        matches!(self.gaps, Gaps::Exponential)
    }

    #[inline]
    fn next(&mut self, bits: &mut Stream) -> Time {
        let mut owed: f64 = match &self.gaps {
            Gaps::Exponential => Exp1.sample(bits),
            Gaps::Renewal(gap) => gap.sample(bits),
        };
        let knots = self.rate.knots();
        loop {
            let (Some(&(start, left)), Some(&(end, right))) =
                (knots.get(self.piece), knots.get(self.piece + 1))
            else {
                return Time::NEVER;
            };
            let length = end.since(start).as_secs_f64();
            let slope = if length > 0.0 { (right - left) / length } else { 0.0 };
            let rest = length - self.into;
            let here = left + slope * self.into;
            let expected = rest * (here + slope * rest / 2.0);
            if owed < expected {
                // Solve here·x + slope·x²/2 = owed, in the form that does not cancel.
                let root = (here * here + 2.0 * slope * owed).max(0.0).sqrt();
                self.into += 2.0 * owed / (here + root);
                return start + Span::from_secs_f64(self.into);
            }
            owed -= expected.max(0.0);
            self.piece += 1;
            self.into = 0.0;
        }
    }
}

/// Arrivals that replay counts per bin.
#[derive(Clone, Debug)]
pub struct Counts {
    counts: Arc<[f64]>,
    bin: Span,
    /// The bin we are in, how many are left in it, and where in it we are, as a share.
    index: usize,
    left: u64,
    share: f64,
    /// The part of a request that the bins so far have left over.
    carry: f64,
    opened: bool,
}

impl Counts {
    /// Replays `counts`, one per `bin`. Where counts are not whole, their fractions are carried to the next bin, so that
    /// the total is right to within one.
    pub fn new(counts: Arc<[f64]>, bin: Span) -> Self {
        Counts { counts, bin, index: 0, left: 0, share: 0.0, carry: 0.0, opened: false }
    }

    /// The same as a rate: constant in each bin.
    pub fn rate(&self) -> RateFunction {
        let seconds = self.bin.as_secs_f64();
        let mut knots = Vec::with_capacity(2 * self.counts.len());
        for (index, count) in (0u64..).zip(self.counts.iter()) {
            let from = Time::ZERO + self.bin.saturating_mul(index);
            knots.push((from, count / seconds));
            knots.push((from + self.bin, count / seconds));
        }
        RateFunction::from_knots(knots)
    }

    fn next(&mut self, bits: &mut Stream) -> Time {
        while self.left == 0 {
            if self.opened {
                self.index += 1;
            }
            self.opened = true;
            let Some(count) = self.counts.get(self.index) else { return Time::NEVER };
            let due = count + self.carry;
            // A hair more than the sum, so that ten times a tenth is one.
            self.left = (due + 1e-9).floor().max(0.0) as u64;
            self.carry = due - self.left as f64;
            self.share = 0.0;
        }
        // The smallest of n uniform instants in what is left of the bin.
        let gap = -(-unit(bits)).ln_1p() / self.left as f64;
        self.share += (1.0 - self.share) * -(-gap).exp_m1();
        self.left -= 1;
        let within = self.bin.mul_f64(self.share).min(self.bin.saturating_sub(Span::from_nanos(1)));
        Time::ZERO + self.bin.saturating_mul(self.index as u64) + within
    }
}

/// Arrivals that replay instants.
#[derive(Clone, Debug)]
pub struct Log {
    instants: Arc<[Time]>,
    /// Requests for each row of the log.
    amplitude: f64,
    index: usize,
    copies: u64,
    carry: f64,
    /// Where the last copy of the present row was put.
    last: Time,
}

impl Log {
    /// Replays `instants`, which are in order. With an `amplitude` other than 1 rows are repeated or left out, evenly; the
    /// copies of a row are spread at random up to the next row.
    pub fn new(instants: Arc<[Time]>, amplitude: f64) -> Self {
        Log { instants, amplitude, index: 0, copies: 0, carry: 0.0, last: Time::ZERO }
    }

    fn next(&mut self, bits: &mut impl Rng) -> Time {
        while self.copies == 0 {
            let Some(&at) = self.instants.get(self.index) else { return Time::NEVER };
            let due = self.amplitude + self.carry;
            self.copies = (due + 1e-9).floor().max(0.0) as u64;
            self.carry = due - self.copies as f64;
            self.index += 1;
            if self.copies > 0 {
                self.copies -= 1;
                self.last = at;
                return at;
            }
        }
        // The next of the copies that are left lies between the one before and the next row.
        let until = self.instants.get(self.index).copied().unwrap_or(self.last);
        let share = 1.0 - (1.0 - unit(bits)).powf(1.0 / self.copies as f64);
        self.copies -= 1;
        self.last += until.since(self.last).mul_f64(share);
        self.last
    }
}
