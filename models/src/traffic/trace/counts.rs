//! Counts per bin: CSV of any delimiter, index and value, or a bare list of numbers.

use super::bins::{self, INDEX, Row};
use super::slice::Slice;
use super::table::Table;
use super::time::{self, Clock, Stamp};
use super::{Blame, Faults, MOST_BINS, MOST_REQUESTS, Options, Trace, TraceError};

pub fn read(blame: &Blame<'_>, text: &str, options: &Options, slice: &Slice) -> Result<Trace, TraceError> {
    let (rows, clock) = match list_from(text) {
        Some(header) => (list(blame, text, header)?, Clock::Index),
        None => table(blame, text, options)?,
    };
    if rows.is_empty() {
        return Err(blame.file("there is no row in it"));
    }
    bins::binned(blame, rows, clock, options, slice)
}

/// A file of nothing but numbers, several on a line or one on each; its first line may be their name. The number of lines
/// before the first number.
fn list_from(text: &str) -> Option<usize> {
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, first) = lines.next()?;
    let mut words = first.split_ascii_whitespace();
    if words.by_ref().take(2).all(is_number) && !first.contains('\t') {
        // Numbers as large as times, one a line, are no counts but a log.
        let counts = is_number(first.trim()) && !matches!(time::parse(first), Ok(Stamp::Time(_)));
        return (counts || first.trim().contains(' ')).then_some(0);
    }
    // One column with a name.
    let one_name = !first.contains(['\t', ',', ';']) && time::parse(first) == Err(time::NoTime::Unreadable);
    let (second, line) = lines.next()?;
    let count = matches!(time::parse(line), Ok(Stamp::Index(_)));
    (one_name && count && !line.contains(['\t', ',', ';'])).then_some(second)
}

fn list(blame: &Blame<'_>, text: &str, header: usize) -> Result<Vec<Row>, TraceError> {
    let (mut rows, mut faults) = (Vec::new(), Faults::default());
    for (number, line) in (1..).zip(text.lines()).skip(header) {
        for word in line.split_ascii_whitespace() {
            let column = word.as_ptr() as usize - line.as_ptr() as usize + 1;
            let at = INDEX.saturating_mul(i64::try_from(rows.len()).unwrap_or(i64::MAX));
            let count = faults.take(count(blame, word, number, column)).unwrap_or(0.0);
            rows.push(Row::new(at, number, count));
        }
        if rows.len() > MOST_BINS {
            return Err(blame.line(number, format!("more than {MOST_BINS} bins: add them up to wider ones")));
        }
    }
    faults.told()?;
    Ok(rows)
}

fn count(blame: &Blame<'_>, text: &str, line: usize, column: usize) -> Result<f64, TraceError> {
    match text.trim().parse::<f64>() {
        Ok(count) if (0.0..=MOST_REQUESTS).contains(&count) => Ok(count),
        Ok(count) if count > MOST_REQUESTS => Err(blame.at(
            line,
            column,
            format!("a count of `{text}` is above {MOST_REQUESTS:e}, the most there may be"),
        )),
        Ok(_) => Err(blame.at(line, column, format!("a count of `{text}` is not possible"))),
        Err(_) => Err(blame.at(line, column, format!("expected a count, found `{text}`"))),
    }
}

fn table(blame: &Blame<'_>, text: &str, options: &Options) -> Result<(Vec<Row>, Clock), TraceError> {
    let table = Table::new(blame, text)?;
    if table.columns() == 1 {
        let why = "it has one column and counts need two, of times and of counts; where each row is a request, `format = \"log\"`";
        return Err(blame.line(1, why));
    }
    let columns = table.time_and_value(blame, options.time.as_deref(), options.value.as_deref())?;
    let (mut rows, mut faults, mut clock) = (Vec::new(), Faults::default(), None);
    for line in table.rows() {
        let read = line
            .map_err(|(line, why)| blame.line(line, why))
            .and_then(|(line, fields)| row(blame, line, &fields, columns, &mut clock));
        rows.extend(faults.take(read));
        blame.room(rows.len(), rows.last().map_or(0, Row::line))?;
    }
    faults.told()?;
    Ok((rows, clock.unwrap_or(Clock::Index)))
}

/// One row. The first one says on which clock all of them are.
fn row(
    blame: &Blame<'_>,
    line: usize,
    fields: &csv::StringRecord,
    (time_at, value_at): (usize, usize),
    clock: &mut Option<Clock>,
) -> Result<Row, TraceError> {
    let field = |index: usize, what: &str| {
        let found = fields.get(index).map(|field| field.trim_end_matches(';'));
        let why =
            || format!("expected a {what} in column {}, the row has {} columns", index + 1, fields.len());
        found.ok_or_else(|| blame.line(line, why()))
    };
    let time = field(time_at, "time")?;
    let stamp = time::parse(time).map_err(|no| blame.at(line, time_at + 1, no.why(time)))?;
    let first = *clock.get_or_insert_with(|| Clock::of(time));
    let at = match (stamp, first) {
        (Stamp::Time(at), Clock::Offset(_) | Clock::Epoch | Clock::Naive) => at,
        (Stamp::Index(index), Clock::Index) => (index * INDEX as f64).round() as i64, // below 1e8 times 1e6
        (_, Clock::Index) => {
            let why = format!("expected the number of a bin as in the rows above, found `{time}`");
            return Err(blame.at(line, time_at + 1, why));
        }
        (Stamp::Index(_), _) => {
            let why = format!("expected a time as in the rows above, found `{time}`");
            return Err(blame.at(line, time_at + 1, why));
        }
    };
    let value = field(value_at, "count")?;
    Ok(Row::new(at, line, count(blame, value, line, value_at + 1)?))
}
