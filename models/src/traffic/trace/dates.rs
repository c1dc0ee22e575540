//! When the requests of a trace were, against the clock of the run.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use sim_core::Span;

use super::slice::span;
use super::time::{Clock, Instant};

/// When the requests of a trace were: from the start of its slice to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    start: Instant,
    end: Instant,
    clock: Clock,
}

impl Dates {
    pub(super) fn new(start: Instant, end: Instant, clock: Clock) -> Dates {
        Dates { start, end, clock }
    }

    /// How long that is.
    pub fn length(&self) -> Span {
        span(self.end.saturating_sub(self.start))
    }

    /// The start, as the file would write it.
    pub fn start(&self) -> String {
        self.clock.show(self.start)
    }

    /// The end, likewise.
    pub fn end(&self) -> String {
        self.clock.show(self.end)
    }

    /// Whether the trace begins at this instant; without a zone in the file, at this time of the wall clock.
    pub fn begins_at(&self, instant: &Zoned) -> bool {
        self.is_at(self.start, instant)
    }

    /// Whether it ends at this instant, likewise.
    pub fn ends_at(&self, instant: &Zoned) -> bool {
        self.is_at(self.end, instant)
    }

    fn is_at(&self, own: Instant, instant: &Zoned) -> bool {
        let same = match self.clock {
            Clock::Naive => TimeZone::UTC.to_timestamp(instant.datetime()).ok(),
            _ => Some(instant.timestamp()),
        };
        same.is_some_and(|same| same.as_nanosecond() == i128::from(own))
    }

    /// When the clocks of `zone` were set back while the trace went on, if its times do not say which of the two hours
    /// they mean: the time at which the repeated hour begins.
    pub fn repeated_hour(&self, zone: &TimeZone) -> Option<DateTime> {
        if self.clock != Clock::Naive {
            return None;
        }
        let wall = |nanos: Instant| {
            let timestamp = Timestamp::from_nanosecond(i128::from(nanos)).ok()?;
            zone.to_timestamp(TimeZone::UTC.to_datetime(timestamp)).ok()
        };
        let (start, end) = (wall(self.start)?, wall(self.end)?);
        let mut before = zone.to_offset(start);
        for change in zone.following(start).take_while(|change| change.timestamp() < end) {
            if change.offset() < before {
                return Some(change.offset().to_datetime(change.timestamp()));
            }
            before = change.offset();
        }
        None
    }
}
