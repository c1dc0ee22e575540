//! Logs with one row a request: CSV with a time column, Apache and nginx combined, AWS load balancers, W3C extended.

use std::ops::Range;

use jiff::tz::Offset;
use sim_core::Span;

use super::slice::{Slice, nanos, span};
use super::table::Table;
use super::time::{self, Clock, Instant, NoTime};
use super::{Blame, Dates, Faults, MOST_BINS, Options, Trace, TraceError};

/// Of rows in random order, half step back. Where more than this share does, the times are not to be trusted.
const MOST_BACKWARD: f64 = 1.0 / 3.0;

/// Rows that all have the same minute of their hour, though they go over so many hours, have lost their minutes.
const FEWEST_HOURS: i64 = 3;
const FEWEST_ROWS: usize = 100;

const SECOND: Instant = 1_000_000_000;
const MINUTE: Instant = 60 * SECOND;
const HOUR: Instant = 60 * MINUTE;

pub fn read(blame: &Blame<'_>, text: &str, options: &Options, slice: &Slice) -> Result<Trace, TraceError> {
    let mut notes = Vec::new();
    let (rows, clock) = match options.format.as_str() {
        "combined" => lines(blame, text, &mut notes, "[day/month/year:time zone] in brackets", bracketed)?,
        "elb" => lines(blame, text, &mut notes, "an ISO time in the first or second field", elb)?,
        "w3c" => w3c(blame, text, &mut notes)?,
        _ => csv(blame, text, options)?,
    };
    let Some(first) = rows.iter().map(|row| row.1).min() else {
        return Err(blame.file("there is no request in it"));
    };
    let bounds = slice.of(blame, first, clock, &mut notes)?;
    let rows: Vec<Row> = rows.into_iter().filter(|row| bounds.contains(&row.1)).collect();
    if rows.is_empty() {
        let start = clock.show(first);
        return Err(blame.file(format!("there is nothing in the slice; the file starts at {start}")));
    }
    let instants = in_order(blame, rows, options.per, &mut notes)?;
    let instants = spread_seconds(instants, &mut notes);
    let from = bounds.start;
    notes.push(format!("{} requests from {} on", instants.len(), clock.show(from)));
    match options.per {
        Some(per) => binned(blame, &instants, bounds, clock, per, notes),
        None => {
            let last = instants.last().copied().unwrap_or(from);
            let end = if slice.has_end() { bounds.end } else { last };
            let instants = instants.into_iter().map(|at| span(at - from)).collect();
            Ok(Trace::Log { instants, dates: Dates::new(from, end, clock), notes })
        }
    }
}

/// A row: its line and its time.
type Row = (u32, Instant);

/// Rows, and the clock of the first of them.
type Rows = (Vec<Row>, Clock);

/// Collects rows and what is wrong with them.
struct Collector<'a> {
    blame: &'a Blame<'a>,
    rows: Vec<Row>,
    clock: Option<Clock>,
    faults: Faults,
}

impl<'a> Collector<'a> {
    fn new(blame: &'a Blame<'a>) -> Self {
        Collector { blame, rows: Vec::new(), clock: None, faults: Faults::default() }
    }

    /// One more row, at the time that `text` says on a `clock` that the text itself shows if none is given.
    fn add(
        &mut self,
        line: usize,
        text: &str,
        clock: Option<Clock>,
        why: impl FnOnce(NoTime) -> TraceError,
    ) -> Result<(), TraceError> {
        if let Some(at) = self.faults.take(time::instant(text).map_err(why)) {
            self.clock = self.clock.or(clock).or_else(|| Some(Clock::of(text)));
            self.blame.room(self.rows.len(), line)?;
            self.rows.push((u32::try_from(line).unwrap_or(u32::MAX), at));
        }
        Ok(())
    }

    fn finish(self) -> Result<Rows, TraceError> {
        self.faults.told()?;
        Ok((self.rows, self.clock.unwrap_or(Clock::Naive)))
    }
}

/// Reads formats in which a line is a request. `find` says where in a line the time is.
fn lines(
    blame: &Blame<'_>,
    text: &str,
    notes: &mut Vec<String>,
    expected: &str,
    find: impl Fn(&str) -> Option<&str>,
) -> Result<Rows, TraceError> {
    let mut rows = Collector::new(blame);
    let mut empty = 0;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            empty += 1;
            continue;
        }
        let time = find(line).unwrap_or("");
        rows.add(number, time, None, |no| match no {
            NoTime::OutOfRange => blame.line(number, no.why(time)),
            NoTime::Unreadable | NoTime::Index => {
                let start: String = line.chars().take(60).collect();
                blame.line(number, format!("expected {expected}, found `{start}`"))
            }
        })?;
    }
    if empty > 0 {
        notes.push(format!("{empty} empty lines were passed over"));
    }
    rows.finish()
}

fn bracketed(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

/// Classic load balancers write the time first, application load balancers their type before it; network load balancers
/// with TLS have a version between.
fn elb(line: &str) -> Option<&str> {
    let is_time =
        |field: &&str| field.contains('T') && field.starts_with(|first: char| first.is_ascii_digit());
    line.split(' ').take(3).find(is_time)
}

/// `#Fields:` lines say what follows, and may be repeated. Times are in UTC, says the format.
fn w3c(blame: &Blame<'_>, text: &str, notes: &mut Vec<String>) -> Result<Rows, TraceError> {
    let (mut date, mut clock): (Option<usize>, Option<usize>) = (None, None);
    let (mut rows, mut directives) = (Collector::new(blame), 0);
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(directive) = line.strip_prefix('#') {
            directives += 1;
            if let Some(fields) = directive.strip_prefix("Fields:") {
                let at = |name| fields.split_ascii_whitespace().position(|field| field == name);
                (date, clock) = (at("date"), at("time"));
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(date), Some(clock)) = (date, clock) else {
            return Err(
                blame.line(number, "expected a `#Fields:` line with date and time before the first request")
            );
        };
        let both = fields.get(date).zip(fields.get(clock));
        let time = both.map(|(date, clock)| format!("{date} {clock}")).unwrap_or_default();
        rows.add(number, &time, Some(Clock::Offset(Offset::UTC)), |no| match no {
            NoTime::OutOfRange => blame.line(number, no.why(&time)),
            NoTime::Unreadable | NoTime::Index => {
                let columns = format!("columns {} and {}", date + 1, clock + 1);
                blame.line(number, format!("expected a date and a time in {columns}"))
            }
        })?;
    }
    notes.push(format!("{directives} lines starting with # were passed over"));
    rows.finish()
}

fn csv(blame: &Blame<'_>, text: &str, options: &Options) -> Result<Rows, TraceError> {
    let table = Table::new(blame, text)?;
    let mut column = match &options.time {
        Some(name) => Some(table.column(blame, "time", name)?),
        None => None,
    };
    let help = match column {
        Some(_) => "",
        None => "; name the column with `time`, or the format with `format`",
    };
    let mut rows = Collector::new(blame);
    for row in table.rows() {
        let Some((line, fields)) = rows.faults.take(row.map_err(|(line, why)| blame.line(line, why))) else {
            continue;
        };
        // Without a name it is the first column that holds a time, possible or not.
        let index = *column.get_or_insert_with(|| {
            let is_time = |field: &str| matches!(time::instant(field), Ok(_) | Err(NoTime::OutOfRange));
            fields.iter().position(is_time).unwrap_or(0)
        });
        let field = fields.get(index).unwrap_or("");
        rows.add(line, field, None, |no| {
            let help = if no == NoTime::Unreadable { help } else { "" };
            blame.at(line, index + 1, format!("{}{help}", no.why(field)))
        })?;
    }
    rows.finish()
}

/// Sorts rows that are a little out of order, as several writers leave them; refuses those that are in none.
fn in_order(
    blame: &Blame<'_>,
    rows: Vec<Row>,
    per: Option<Span>,
    notes: &mut Vec<String>,
) -> Result<Vec<Instant>, TraceError> {
    let backward = || rows.windows(2).filter(|pair| pair[1].1 < pair[0].1);
    let count = backward().count();
    let minute = common_minute(&rows);
    if let Some(&[_, (line, _)]) = backward().next().and_then(|pair| pair.first_chunk::<2>()) {
        let furthest = backward().map(|pair| pair[0].1 - pair[1].1).max().unwrap_or(0);
        let (line, all) = (line as usize, rows.len());
        let said =
            format!("{count} of {all} rows are earlier than the row before, by up to {}", span(furthest));
        let disorder = count as f64 / all as f64 > MOST_BACKWARD;
        // Only bins wider than the disorder count what they say.
        let trusted = if minute.is_some() { furthest.max(HOUR) } else { furthest };
        if disorder && per.is_none_or(|per| nanos(per) < trusted) {
            let same = minute.as_ref().map(|said| format!(", and {said}")).unwrap_or_default();
            let wider = if trusted <= HOUR { Span::from_secs(3_600) } else { span(trusted) };
            return Err(match per {
                None => blame.line(line, format!("{said}{same}: these times are in no order, so requests cannot be replayed one by one; count them in wider bins, `per = \"{wider}\"`")),
                Some(per) => blame.of_option("per", blame.line(line, format!("{said}{same}: bins of {per} are finer than these times can be trusted; use wider ones, `per = \"{wider}\"`"))),
            });
        }
        let done = if per.is_some() { "counted where they belong" } else { "sorted" };
        notes.push(format!("{said}: {done} (first at line {line})"));
    }
    if let Some(said) = minute
        && per.is_none_or(|per| nanos(per) < HOUR)
    {
        notes.push(format!("{said}: if nothing sends requests at that minute only, the minutes are not real, and bins of an hour are the finest to trust"));
    }
    let mut instants: Vec<Instant> = rows.into_iter().map(|(_, at)| at).collect();
    instants.sort_unstable();
    Ok(instants)
}

/// What there is to say where many rows over several hours all have the same minute of their hour.
fn common_minute(rows: &[Row]) -> Option<String> {
    let minute = |row: &Row| row.1.rem_euclid(HOUR) / MINUTE;
    let first = minute(rows.first()?);
    let times = || rows.iter().map(|row| row.1);
    let hours = (times().max()? - times().min()?) / HOUR;
    if rows.len() < FEWEST_ROWS || hours < FEWEST_HOURS || rows.iter().any(|row| minute(row) != first) {
        return None;
    }
    Some(format!(
        "all {} rows, over {hours} hours, have the same minute of their hour, {first:02}",
        rows.len()
    ))
}

/// Where all times are whole seconds, the requests of a second are spread over it: at its start they would be a burst
/// that never was.
fn spread_seconds(mut instants: Vec<Instant>, notes: &mut Vec<String>) -> Vec<Instant> {
    if instants.iter().any(|at| at % SECOND != 0) {
        return instants;
    }
    for second in instants.chunk_by_mut(|a, b| a == b) {
        let same = second.len();
        for (nth, at) in second.iter_mut().enumerate() {
            *at += SECOND * (2 * nth + 1) as Instant / (2 * same) as Instant;
        }
    }
    notes
        .push("its times are whole seconds: the requests of a second were spread over it evenly".to_string());
    instants
}

/// Counts instants in order, the first of which is not before `bounds`.
fn binned(
    blame: &Blame<'_>,
    instants: &[Instant],
    bounds: Range<Instant>,
    clock: Clock,
    per: Span,
    mut notes: Vec<String>,
) -> Result<Trace, TraceError> {
    let (from, width) = (bounds.start, nanos(per).max(1));
    let bin = |at: Instant| usize::try_from((at - from) / width).unwrap_or(usize::MAX);
    let last = instants.last().map_or(0, |&at| bin(at));
    if last >= MOST_BINS {
        return Err(blame.option("per", format!("that would be {} bins of {per}, and {MOST_BINS} are the most: take a slice with `from` and `to`, or wider bins with `per`", last.saturating_add(1))));
    }
    let mut counts = vec![0.0; last + 1];
    for &at in instants {
        if let Some(count) = counts.get_mut(bin(at)) {
            *count += 1.0;
        }
    }
    notes.push(format!("counted in {} bins of {per}", counts.len()));
    let length = width.saturating_mul(i64::try_from(counts.len()).unwrap_or(i64::MAX));
    let dates = Dates::new(from, from.saturating_add(length), clock);
    Ok(Trace::Counts { bin: per, counts, dates: Some(dates), doubtful: Vec::new(), notes })
}
