//! Times as traces write them, as nanoseconds. Times without a zone are taken as they stand: only differences count.

use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};
use sim_core::Span;

/// Nanoseconds since an epoch that is the same for all times of a file.
pub type Instant = i128;

const SECOND: Instant = 1_000_000_000;

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

/// Reads a time: seconds or milliseconds since 1970, ISO 8601 with or without a zone, or the Apache form
/// `22/Jan/2019:03:56:14 +0330`.
pub fn parse(text: &str) -> Option<Stamp> {
    let text = text.trim().trim_matches(['[', ']', '"']);
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            n if !n.is_finite() || n < 0.0 => None,
            n if n < INDEX_BELOW => Some(Stamp::Index(n)),
            n if n > MILLISECONDS_ABOVE => Some(Stamp::Time((n * 1e6).round() as Instant)),
            _ => decimal_seconds(text).map(Stamp::Time),
        };
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(Stamp::Time(timestamp.as_nanosecond()));
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return since_epoch(civil).map(Stamp::Time);
    }
    let apache = Zoned::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok()?;
    Some(Stamp::Time(apache.timestamp().as_nanosecond()))
}

/// A time, not an index.
pub fn instant(text: &str) -> Option<Instant> {
    match parse(text)? {
        Stamp::Time(instant) => Some(instant),
        Stamp::Index(_) => None,
    }
}

/// Seconds with decimals, without the detour over a float.
fn decimal_seconds(text: &str) -> Option<Instant> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    match (whole.parse::<Instant>(), digits.parse::<Instant>()) {
        (Ok(whole), Ok(fraction)) => Some(whole * SECOND + fraction),
        _ => text.parse::<f64>().ok().map(|seconds| (seconds * 1e9).round() as Instant), // such as 1.4e9
    }
}

fn since_epoch(civil: DateTime) -> Option<Instant> {
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}

/// The bounds of a slice, from texts that are times or offsets from `first`.
pub fn slice(first: Instant, from: Option<&str>, to: Option<&str>) -> Result<(Instant, Instant), String> {
    let bound = |text: Option<&str>, otherwise: Instant| match text {
        None => Ok(otherwise),
        Some(text) => {
            if let Ok(offset) = text.parse::<Span>() {
                return Ok(first + Instant::from(offset.as_nanos()));
            }
            instant(text).ok_or_else(|| format!("`{text}` is neither a time nor an offset such as \"2h\""))
        }
    };
    Ok((bound(from, first)?, bound(to, Instant::MAX)?))
}

/// An instant as the notes show it.
pub fn show(instant: Instant) -> String {
    Timestamp::from_nanosecond(instant)
        .map_or_else(|_| instant.to_string(), |timestamp| timestamp.to_string())
}
