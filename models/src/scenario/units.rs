//! Values with units: rates, sizes, shares, instants.

use jiff::Zoned;
use jiff::civil::{DateTime, Time as CivilTime};
use sim_core::Span;

use super::node::Value;
use super::reader::Read;

/// The highest rate, in requests per second: beyond any system on Earth, and still exact in nanoseconds.
pub const MOST_RATE: f64 = 1e9;

/// The largest factor that a rate may be multiplied with.
pub const MOST_FACTOR: f64 = 1e6;

/// Requests per second, written `"80/s"`, `"1200/min"` or `"30k/h"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

impl Read for Rate {
    const EXPECTED: &'static str = "a rate such as \"80/s\", \"1200/min\" or \"2M/day\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let bad = || format!("`{text}` is not a rate");
        let (amount, per) = text.split_once('/').ok_or_else(bad)?;
        let seconds = match per.trim() {
            "s" | "sec" | "second" => 1.0,
            "min" | "minute" => 60.0,
            "h" | "hour" => 3_600.0,
            "d" | "day" => 86_400.0,
            _ => return Err(bad()),
        };
        let amount = amount.trim();
        let (digits, factor) = match amount.char_indices().last() {
            Some((at, 'k')) => (&amount[..at], 1e3),
            Some((at, 'M')) => (&amount[..at], 1e6),
            _ => (amount, 1.0),
        };
        let number: f64 = digits.trim().replace('_', "").parse().map_err(|_| bad())?;
        let rate = number * factor / seconds;
        if !rate.is_finite() || rate < 0.0 {
            return Err(format!("`{text}` is negative or not finite"));
        }
        if rate > MOST_RATE {
            return Err(format!("`{text}` is more than {MOST_RATE:e} a second"));
        }
        Ok(Rate(rate))
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(format!("{}/s", self.0))
    }
}

/// A TCP port: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Read for Port {
    const EXPECTED: &'static str = "a port from 1 to 65535";
    fn read(value: &Value) -> Result<Self, String> {
        let number = u64::read(value)?;
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Port(port)),
            _ => Err(format!("{number} is not a port")),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::from(self.0))
    }
}

/// A status of HTTP: 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Read for Status {
    const EXPECTED: &'static str = "a status from 100 to 599";
    fn read(value: &Value) -> Result<Self, String> {
        let number = u64::read(value)?;
        match u16::try_from(number) {
            Ok(status @ 100..=599) => Ok(Status(status)),
            _ => Err(format!("{number} is not a status")),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::from(self.0))
    }
}

/// A number of bytes, written `"10 KiB"`, `"4 GiB"` or `"1.5 MB"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size(pub u64);

const SIZES: [(&str, f64); 9] = [
    ("TiB", 1_099_511_627_776.0),
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1_024.0),
    ("TB", 1e12),
    ("GB", 1e9),
    ("MB", 1e6),
    ("kB", 1e3),
    ("B", 1.0),
];

impl Read for Size {
    const EXPECTED: &'static str = "a size such as \"10 KiB\", \"4 GiB\" or \"1.5 MB\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let bad = || format!("`{text}` is not a size");
        let (unit, factor) = SIZES.into_iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(bad)?;
        let digits = text.trim_end_matches(unit).trim().replace('_', "");
        let bytes = digits.parse::<f64>().map_err(|_| bad())? * factor;
        if (0.0..1e18).contains(&bytes) {
            Ok(Size(bytes.round() as u64))
        } else {
            Err(format!("`{text}` is out of range"))
        }
    }
    fn show(&self) -> toml::Value {
        let even =
            SIZES.into_iter().take(4).find(|&(_, factor)| self.0 > 0 && self.0.is_multiple_of(factor as u64));
        toml::Value::String(match even {
            Some((unit, factor)) => format!("{} {unit}", self.0 / factor as u64),
            None => format!("{} B", self.0),
        })
    }
}

/// A number above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Positive(pub f64);

impl Read for Positive {
    const EXPECTED: &'static str = "a number above zero";
    fn read(value: &Value) -> Result<Self, String> {
        match f64::read(value)? {
            0.0 => Err("it is zero".to_string()),
            number => Ok(Positive(number)),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Float(self.0)
    }
}

/// A whole number, which may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole(pub i32);

impl Read for Whole {
    const EXPECTED: &'static str = "a whole number";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => {
                i32::try_from(*number).map(Whole).map_err(|_| "the number is too large".to_string())
            }
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::from(self.0))
    }
}

/// A factor from 0 to a million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor(pub f64);

impl Read for Factor {
    const EXPECTED: &'static str = "a factor from 0 to a million";
    fn read(value: &Value) -> Result<Self, String> {
        match f64::read(value)? {
            factor if factor > MOST_FACTOR => Err(format!("{factor} is more than {MOST_FACTOR:e}")),
            factor => Ok(Factor(factor)),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Float(self.0)
    }
}

/// A duration above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period(pub Span);

impl Read for Period {
    const EXPECTED: &'static str = "a duration above zero such as \"30s\" or \"5min\"";
    fn read(value: &Value) -> Result<Self, String> {
        match Span::read(value)? {
            Span::ZERO => Err("it is zero".to_string()),
            span => Ok(Period(span)),
        }
    }
    fn show(&self) -> toml::Value {
        self.0.show()
    }
}

/// A nice value: the weight of a thread in steps of a quarter, -20 (heaviest) to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nice(pub i32);

impl Read for Nice {
    const EXPECTED: &'static str = "a nice value from -20 to 19";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(nice) if (-20..=19).contains(nice) => Ok(Nice(*nice as i32)),
            Value::Integer(nice) => Err(format!("{nice} is none")),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::from(self.0))
    }
}

/// A time of day, written `"20:00"` or `"20:00:30"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeOfDay(pub Span);

impl Read for TimeOfDay {
    const EXPECTED: &'static str = "a time of day such as \"20:00\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        time_of_day(text).map(TimeOfDay).ok_or_else(|| format!("`{text}` is not a time of day"))
    }
    fn show(&self) -> toml::Value {
        let seconds = self.0.as_nanos() / 1_000_000_000;
        toml::Value::String(format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))
    }
}

fn time_of_day(text: &str) -> Option<Span> {
    let time: CivilTime = text.parse().ok()?;
    let since_midnight = time.duration_since(CivilTime::midnight());
    u64::try_from(since_midnight.as_nanos()).ok().map(Span::from_nanos)
}

/// The wall clock at the start of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Start(pub Zoned);

impl Read for Start {
    const EXPECTED: &'static str =
        "a time such as \"2026-11-27T00:00:00+05:30[Asia/Kolkata]\"; without a zone it is UTC";
    fn read(value: &Value) -> Result<Self, String> {
        let (Value::String(text) | Value::Datetime(text)) = value else { return Err(String::new()) };
        zoned(text, &jiff::tz::TimeZone::UTC).map(Start)
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.0.to_string())
    }
}

/// A full timestamp; one without a zone is in `zone`.
fn zoned(text: &str, zone: &jiff::tz::TimeZone) -> Result<Zoned, String> {
    match text.parse::<Zoned>() {
        Ok(zoned) => return Ok(zoned),
        // A zone in brackets that is not there, or that has another offset then, must not silently become UTC.
        Err(why) if text.contains('[') => return Err(format!("`{text}` is not a time ({why})")),
        Err(_) => {}
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.to_zoned(zone.clone()));
    }
    let bad = |why: jiff::Error| format!("`{text}` is not a time ({why})");
    text.parse::<DateTime>().map_err(bad)?.to_zoned(zone.clone()).map_err(bad)
}

/// An instant of the run: a duration since its start (`"2h"`), a time of day (`"14:00"`, the first one that is not
/// before the start), or a full timestamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment(pub String);

impl Read for Moment {
    const EXPECTED: &'static str =
        "a time of day (\"14:00\"), a time since the start (\"2h\") or a timestamp";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) | Value::Datetime(text) => Ok(Moment(text.clone())),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.0.clone())
    }
}

impl Moment {
    /// How long after `start` it is, or why that cannot be said.
    pub fn since(&self, start: &Zoned) -> Result<Span, String> {
        if let Ok(span) = self.0.parse::<Span>() {
            return Ok(span);
        }
        let zone = start.time_zone();
        let at = match self.0.parse::<CivilTime>() {
            Ok(time) if time_of_day(&self.0).is_some() && !self.0.contains('-') => {
                let failed = |error: jiff::Error| error.to_string();
                let today = start.date().to_datetime(time).to_zoned(zone.clone()).map_err(failed)?;
                if today < *start { today.tomorrow().map_err(failed)? } else { today }
            }
            _ => zoned(&self.0, zone)?,
        };
        let nanos = at.timestamp().duration_since(start.timestamp()).as_nanos();
        u64::try_from(nanos).map(Span::from_nanos).map_err(|_| format!("`{}` is before the start", self.0))
    }
}
