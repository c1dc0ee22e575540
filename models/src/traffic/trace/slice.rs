//! The slice of a trace that is played: `from` and `to`, as times of the file or as offsets from its start.

use std::ops::Range;

use sim_core::Span;

use super::time::{self, Clock, Instant};
use super::{Blame, Options, TraceError};

/// Where to start and where to stop, as written.
pub struct Slice {
    from: Option<Bound>,
    to: Option<Bound>,
}

/// One of them.
#[derive(Clone, Copy)]
enum Bound {
    /// So long after the start of the file.
    After(Span),
    /// At this instant, on a clock like that.
    At(Instant, Clock),
}

impl Slice {
    /// Reads the bounds.
    pub fn new(blame: &Blame<'_>, options: &Options) -> Result<Slice, TraceError> {
        let bound = |option: &'static str, text: &Option<String>| {
            text.as_deref()
                .map(|text| {
                    Bound::parse(text).map_err(|why| blame.option(option, format!("`{option}`: {why}")))
                })
                .transpose()
        };
        Ok(Slice { from: bound("from", &options.from)?, to: bound("to", &options.to)? })
    }

    /// True where it says when to stop.
    pub fn has_end(&self) -> bool {
        self.to.is_some()
    }

    /// The instants of the slice, in a file that begins at `first`.
    pub fn of(
        &self,
        blame: &Blame<'_>,
        first: Instant,
        clock: Clock,
        notes: &mut Vec<String>,
    ) -> Result<Range<Instant>, TraceError> {
        let bounds = [("from", self.from), ("to", self.to)];
        for (option, bound) in bounds {
            if let Some(Bound::At(..)) = bound
                && clock == Clock::Index
            {
                let why = "the rows of this file are numbered, not dated";
                return Err(
                    blame.option(option, format!("`{option}`: {why}; write an offset such as \"2h\""))
                );
            }
        }
        let on = |wanted: fn(Clock) -> bool| -> Vec<&str> {
            let is = |bound: Option<Bound>| matches!(bound, Some(Bound::At(_, own)) if wanted(own));
            bounds.into_iter().filter(|&(_, bound)| is(bound)).map(|(option, _)| option).collect()
        };
        let (naive, zoned) = (on(|own| own == Clock::Naive), on(|own| own != Clock::Naive));
        if clock == Clock::Naive && !zoned.is_empty() {
            let names = zoned.join(" and ");
            notes.push(format!("`{names}` has a zone and the file has none: its times are taken for UTC"));
        } else if clock != Clock::Naive && !naive.is_empty() {
            let names = naive.join("` and `");
            let of = if clock == Clock::Epoch { "" } else { ", the offset of its first row" };
            notes.push(format!("`{names}` without a zone: read at {}{of}", offset_name(clock)));
        }
        let place = |bound: Option<Bound>, otherwise: Instant| match bound {
            None => otherwise,
            Some(Bound::After(span)) => first.saturating_add(nanos(span)),
            Some(Bound::At(at, Clock::Naive)) => {
                at.saturating_sub(i64::from(clock.offset().seconds()) * 1_000_000_000)
            }
            Some(Bound::At(at, _)) => at,
        };
        Ok(place(self.from, first)..place(self.to, Instant::MAX))
    }
}

impl Bound {
    fn parse(text: &str) -> Result<Bound, String> {
        if let Ok(offset) = text.parse::<Span>() {
            return Ok(Bound::After(offset));
        }
        match time::instant(text) {
            Ok(at) => Ok(Bound::At(at, Clock::of(text))),
            Err(time::NoTime::OutOfRange) => Err(time::NoTime::OutOfRange.why(text)),
            Err(_) => Err(format!("`{text}` is neither a time nor an offset such as \"2h\"")),
        }
    }
}

fn offset_name(clock: Clock) -> String {
    if clock.offset().is_zero() { "UTC".to_string() } else { clock.offset().to_string() }
}

/// The nanoseconds of a span; the longest of them are longer than any trace.
pub fn nanos(span: Span) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// The span of a number of nanoseconds; a negative one is none.
pub fn span(nanos: i64) -> Span {
    Span::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
