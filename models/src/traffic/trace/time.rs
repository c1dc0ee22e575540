//! Times as traces write them, as nanoseconds since 1970. Times without a zone are taken as they stand: only
//! differences count.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// Nanoseconds since 1970, in UTC or in the unknown zone of the file.
pub type Instant = i64;

const SECOND: i128 = 1_000_000_000;

/// The first second of 1950, and of 2200. Times outside are no times of requests, and differences of times inside fit.
const EARLIEST: i128 = -631_152_000 * SECOND;
const LATEST: i128 = 7_258_118_400 * SECOND;

/// Numbers below this are no times since 1970 but indices of bins.
const INDEX_BELOW: f64 = 1e8;
/// Larger numbers are milliseconds.
const MILLISECONDS_ABOVE: f64 = 1e11;

/// A time, or the index of a bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stamp {
    /// A time.
    Time(Instant),
    /// A number that counts bins.
    Index(f64),
}

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTime {
    /// It is written like none.
    Unreadable,
    /// It is one that no request can have.
    OutOfRange,
    /// It is a number too small for a time since 1970.
    Index,
}

impl NoTime {
    /// The reason, for a message.
    pub fn why(self, text: &str) -> String {
        match self {
            NoTime::Unreadable => format!("expected a time, found `{text}`"),
            NoTime::OutOfRange => format!(
                "`{text}` is no time from 1950 to 2199; numbers are seconds or milliseconds since 1970"
            ),
            NoTime::Index => format!(
                "`{text}` is too small for seconds since 1970: the times of a log are dates, so add the second at which it starts to each"
            ),
        }
    }
}

/// Reads a time: seconds or milliseconds since 1970, ISO 8601 with or without a zone, or the Apache form
/// `22/Jan/2019:03:56:14 +0330`.
pub fn parse(text: &str) -> Result<Stamp, NoTime> {
    let text = bare(text);
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            n if !n.is_finite() || n < 0.0 => Err(NoTime::Unreadable),
            n if n < INDEX_BELOW => Ok(Stamp::Index(n)),
            n if n > MILLISECONDS_ABOVE => in_range(decimal(text, n, 6)),
            n => in_range(decimal(text, n, 9)),
        };
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return in_range(timestamp.as_nanosecond());
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return in_range(since_epoch(civil).ok_or(NoTime::OutOfRange)?);
    }
    let apache = apache(text).ok_or(NoTime::Unreadable)?;
    in_range(apache.timestamp().as_nanosecond())
}

/// A time, not an index.
pub fn instant(text: &str) -> Result<Instant, NoTime> {
    match parse(text)? {
        Stamp::Time(instant) => Ok(instant),
        Stamp::Index(_) => Err(NoTime::Index),
    }
}

fn bare(text: &str) -> &str {
    text.trim().trim_matches(['[', ']', '"'])
}

fn apache(text: &str) -> Option<Zoned> {
    Zoned::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()
}

fn in_range(nanos: i128) -> Result<Stamp, NoTime> {
    if !(EARLIEST..LATEST).contains(&nanos) {
        return Err(NoTime::OutOfRange);
    }
    i64::try_from(nanos).map(Stamp::Time).map_err(|_| NoTime::OutOfRange)
}

/// A number times 10 to the `digits`, without the detour over a float where it has no exponent.
fn decimal(text: &str, number: f64, digits: usize) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain("000000000".chars()).take(digits).collect();
    match format!("{whole}{fraction}").parse::<i128>() {
        Ok(exact) => exact,
        Err(_) => (number * 10f64.powi(digits as i32)).round() as i128, // such as 1.4e9; saturates, and is refused
    }
}

fn since_epoch(civil: DateTime) -> Option<i128> {
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}

/// What the times of a file say about their zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// They have an offset from UTC: this one in the first row.
    Offset(Offset),
    /// They count seconds or milliseconds since 1970.
    Epoch,
    /// They are dates in a zone that the file does not name.
    Naive,
    /// They are numbers of bins, or there are none.
    Index,
}

impl Clock {
    /// The clock of a file by the time in its first row.
    pub fn of(text: &str) -> Clock {
        let text = bare(text);
        match parse(text) {
            Ok(Stamp::Index(_)) => Clock::Index,
            _ if text.parse::<f64>().is_ok() => Clock::Epoch,
            _ => {
                let iso = || Pieces::parse(text).ok()?.to_numeric_offset();
                iso().or_else(|| Some(apache(text)?.offset())).map_or(Clock::Naive, Clock::Offset)
            }
        }
    }

    /// The offset at which dates of this file are written.
    pub fn offset(self) -> Offset {
        match self {
            Clock::Offset(offset) => offset,
            Clock::Epoch | Clock::Naive | Clock::Index => Offset::UTC,
        }
    }

    /// An instant as the file writes it, as far as we know.
    pub fn show(self, instant: Instant) -> String {
        let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(instant)) else {
            return format!("{instant} ns");
        };
        match self {
            Clock::Naive => self.offset().to_datetime(timestamp).to_string(),
            _ => timestamp.display_with_offset(self.offset()).to_string(),
        }
    }
}
