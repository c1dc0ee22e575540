//! Logs with one row a request: CSV with a time column, Apache and nginx combined, AWS load balancers, W3C extended.

use sim_core::Span;

use super::counts::Table;
use super::time::{self, Instant};
use super::{Blame, MOST_ROWS, Options, Trace, TraceError};

/// Of rows in random order, half step back. Where more than this share does, the times are not to be trusted.
const MOST_BACKWARD: f64 = 1.0 / 3.0;

const SECOND: Instant = 1_000_000_000;

pub fn read(blame: &Blame<'_>, text: &str, options: &Options) -> Result<Trace, TraceError> {
    let mut notes = Vec::new();
    let rows = match options.format.as_str() {
        "combined" => lines(blame, text, &mut notes, "[day/month/year:time zone] in brackets", bracketed)?,
        "elb" => lines(blame, text, &mut notes, "an ISO time in the first or second field", elb)?,
        "w3c" => w3c(blame, text, &mut notes)?,
        _ => csv(blame, text, options)?,
    };
    if rows.is_empty() {
        return Err(blame.file("there is no request in it"));
    }
    let instants = in_order(blame, rows, options, &mut notes)?;
    let instants = spread_seconds(instants, &mut notes);
    let first = instants[0];
    let (from, to) =
        time::slice(first, options.from.as_deref(), options.to.as_deref()).map_err(|why| blame.file(why))?;
    let slice: Vec<Instant> = instants.into_iter().filter(|at| (from..to).contains(at)).collect();
    if slice.is_empty() {
        return Err(
            blame.file(format!("there is nothing in the slice; the file starts at {}", time::show(first)))
        );
    }
    notes.push(format!("{} requests from {} on", slice.len(), time::show(from)));
    match options.per {
        Some(per) => Ok(binned(&slice, from, per, notes)),
        None => {
            let since = |at: &Instant| Span::from_nanos(u64::try_from(at - from).unwrap_or(u64::MAX));
            Ok(Trace::Log { instants: slice.iter().map(since).collect(), notes })
        }
    }
}

/// A row: its line and its time.
type Row = (usize, Instant);

/// Reads formats in which a line is a request.
fn lines(
    blame: &Blame<'_>,
    text: &str,
    notes: &mut Vec<String>,
    expected: &str,
    find: impl Fn(&str) -> Option<Instant>,
) -> Result<Vec<Row>, TraceError> {
    let mut rows = Vec::new();
    let mut empty = 0;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            empty += 1;
            continue;
        }
        let Some(at) = find(line) else {
            let start: String = line.chars().take(60).collect();
            return Err(blame.line(number, format!("expected {expected}, found `{start}`")));
        };
        rows.push((number, at));
        if rows.len() > MOST_ROWS {
            return Err(blame.line(number, format!("more than {MOST_ROWS} requests")));
        }
    }
    if empty > 0 {
        notes.push(format!("{empty} empty lines were passed over"));
    }
    Ok(rows)
}

fn bracketed(line: &str) -> Option<Instant> {
    let (_, rest) = line.split_once('[')?;
    time::instant(rest.split_once(']')?.0)
}

/// Classic load balancers write the time first, application load balancers their type before it; network load balancers
/// with TLS have a version between.
fn elb(line: &str) -> Option<Instant> {
    line.split(' ').take(3).find_map(|field| field.contains('T').then(|| time::instant(field)).flatten())
}

/// `#Fields:` lines say what follows, and may be repeated.
fn w3c(blame: &Blame<'_>, text: &str, notes: &mut Vec<String>) -> Result<Vec<Row>, TraceError> {
    let (mut date, mut clock): (Option<usize>, Option<usize>) = (None, None);
    let (mut rows, mut directives) = (Vec::new(), 0);
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
        let stamp = fields
            .get(date)
            .zip(fields.get(clock))
            .and_then(|(date, clock)| time::instant(&format!("{date} {clock}")));
        let Some(at) = stamp else {
            return Err(blame.line(
                number,
                format!("expected a date and a time in columns {} and {}", date + 1, clock + 1),
            ));
        };
        rows.push((number, at));
    }
    notes.push(format!("{directives} lines starting with # were passed over"));
    Ok(rows)
}

fn csv(blame: &Blame<'_>, text: &str, options: &Options) -> Result<Vec<Row>, TraceError> {
    let table = Table::new(blame, text)?;
    let mut column = match &options.time {
        Some(name) => Some(table.column(blame, name)?),
        None => None,
    };
    let mut rows = Vec::new();
    for row in table.rows() {
        let (line, fields) = row.map_err(|(line, why)| blame.line(line, why))?;
        // Without a name it is the first column that holds a time.
        let index = *column.get_or_insert_with(|| {
            fields.iter().position(|field| time::instant(field).is_some()).unwrap_or(0)
        });
        let field = fields.get(index).unwrap_or("");
        let Some(at) = time::instant(field) else {
            let help = "name the column with `time`, or the format with `format`";
            return Err(blame.at(line, index + 1, format!("expected a time, found `{field}`; {help}")));
        };
        rows.push((line, at));
        if rows.len() > MOST_ROWS {
            return Err(blame.line(line, format!("more than {MOST_ROWS} requests")));
        }
    }
    Ok(rows)
}

/// Sorts rows that are a little out of order, as several writers leave them; refuses those that are in none.
fn in_order(
    blame: &Blame<'_>,
    rows: Vec<Row>,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Vec<Instant>, TraceError> {
    let backward = || rows.windows(2).filter(|pair| pair[1].1 < pair[0].1);
    let count = backward().count();
    if let Some(&[_, (line, _)]) = backward().next().and_then(|pair| pair.first_chunk::<2>()) {
        let furthest = backward().map(|pair| pair[0].1 - pair[1].1).max().unwrap_or(0);
        let furthest = Span::from_nanos(u64::try_from(furthest).unwrap_or(u64::MAX));
        let share = count as f64 / rows.len() as f64;
        if share > MOST_BACKWARD && options.per.is_none() {
            let times = format!(
                "{count} of {} rows are earlier than the row before, by up to {furthest}",
                rows.len()
            );
            return Err(blame.line(line, format!("{times}: these times are in no order, so requests cannot be replayed one by one; count them in wider bins, `per = \"1h\"`")));
        }
        notes.push(format!("{count} of {} rows are earlier than the row before, by up to {furthest}: sorted (first at line {line})", rows.len()));
    }
    let mut instants: Vec<Instant> = rows.into_iter().map(|(_, at)| at).collect();
    instants.sort_unstable();
    Ok(instants)
}

/// Where all times are whole seconds, the requests of a second are spread over it: at its start they would be a burst
/// that never was.
fn spread_seconds(mut instants: Vec<Instant>, notes: &mut Vec<String>) -> Vec<Instant> {
    if instants.iter().any(|at| at % SECOND != 0) {
        return instants;
    }
    let mut at = 0;
    while at < instants.len() {
        let same = instants[at..].iter().take_while(|&&other| other == instants[at]).count();
        for nth in 0..same {
            instants[at + nth] += SECOND * (2 * nth + 1) as Instant / (2 * same) as Instant;
        }
        at += same;
    }
    notes
        .push("its times are whole seconds: the requests of a second were spread over it evenly".to_string());
    instants
}

fn binned(instants: &[Instant], from: Instant, per: Span, mut notes: Vec<String>) -> Trace {
    let width = Instant::from(per.as_nanos().max(1));
    let last = instants.last().map_or(0, |at| (at - from) / width) as usize;
    let mut counts = vec![0.0; last.min(MOST_ROWS) + 1];
    for at in instants {
        if let Some(count) = counts.get_mut(((at - from) / width) as usize) {
            *count += 1.0;
        }
    }
    notes.push(format!("counted in {} bins of {per}", counts.len()));
    Trace::Counts { bin: per, counts, notes }
}
