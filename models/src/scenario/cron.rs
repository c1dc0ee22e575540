//! Cron expressions with their time zone: when scheduled actions, releases and schedules come.

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};
use sim_core::Time;

use super::{Context, Place};

/// The most times that one expression may come within a run.
pub const MOST_RUNS: usize = 100_000;

/// An expression in its zone.
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    text: String,
}

/// A time zone by its IANA name.
pub fn time_zone(context: &Context<'_>, name: &str, place: &Place) -> Option<TimeZone> {
    context.findings_if_err(TimeZone::get(name), place, |_| {
        format!("`{name}` is not a time zone; write an IANA name such as \"Asia/Kolkata\"")
    })
}

/// Reads an expression of five fields.
pub fn cron(context: &Context<'_>, text: &str, place: &Place) -> Option<Cron> {
    let parsed = context.findings_if_err(text.parse::<Cron>(), place, |error| {
        format!("`{text}` is not a cron expression ({error}); write minute, hour, day of month, month, day of week")
    })?;
    if text.split_whitespace().count() != 5 {
        let message = format!("`{text}` has not five fields");
        let label = "expected minute, hour, day of month, month, day of week";
        context.findings.error(place, message, label, None);
    }
    Some(parsed)
}

impl Schedule {
    /// An expression in a zone.
    pub fn new(cron: Cron, zone: TimeZone, text: &str) -> Schedule {
        Schedule { cron, zone, text: text.to_string() }
    }

    /// As the log writes it: `0 8 * * * Asia/Kolkata`.
    pub fn words(&self) -> String {
        format!("{} {}", self.text, self.zone.iana_name().unwrap_or("UTC"))
    }

    /// When it comes, in simulated time.
    pub fn times(&self, context: &Context<'_>, from: Time, until: Time) -> Vec<Time> {
        let nanos = |time: Time| i128::from(time.as_nanos());
        let instants = self.instants(context, (nanos(from), true), nanos(until));
        instants.into_iter().filter_map(|nanos| Some(Time::from_nanos(u64::try_from(nanos).ok()?))).collect()
    }

    /// When it comes, in nanoseconds from the start of the run; before it below zero. `from` says whether that instant is one of
    /// them. Gaps and folds of a zone are the library's business.
    pub fn instants(&self, context: &Context<'_>, (from, inclusive): (i128, bool), until: i128) -> Vec<i128> {
        let start = context.start.timestamp();
        let from = i64::try_from(from).map(SignedDuration::from_nanos);
        let Ok(Ok(first)) = from.map(|from| start.checked_add(from)) else { return Vec::new() };
        let (mut at, mut inclusive): (Zoned, bool) = (first.to_zoned(self.zone.clone()), inclusive);
        let mut instants = Vec::new();
        while instants.len() < MOST_RUNS {
            let Ok(next) = self.cron.find_next_occurrence(&at, inclusive) else { break };
            let nanos = next.timestamp().duration_since(start).as_nanos();
            if nanos > until {
                break;
            }
            instants.push(nanos);
            (at, inclusive) = (next, false);
        }
        instants
    }
}
