//! Counts per bin: CSV of any delimiter, index and value, or a bare list of numbers.

use std::collections::BTreeMap;

use sim_core::Span;

use super::time::{self, Instant, Stamp};
use super::{Blame, Gaps, MOST_ROWS, Options, Trace, TraceError};

/// Names that a column of times or of counts usually has.
const TIME_NAMES: [&str; 6] = ["timestamp", "time", "date", "datetime", "ds", "minute"];
const VALUE_NAMES: [&str; 6] = ["value", "count", "requests", "invocations", "qps", "y"];

pub fn read(blame: &Blame<'_>, text: &str, options: &Options) -> Result<Trace, TraceError> {
    let mut notes = Vec::new();
    let rows = if is_list(text) { list(blame, text)? } else { table(blame, text, options)? };
    if rows.is_empty() {
        return Err(blame.file("there is no row in it"));
    }
    let bin = width(blame, &rows, options, &mut notes)?;
    let placed = place(blame, &rows, bin, &mut notes)?;
    let (counts, first) = fill(blame, placed, options.gaps, bin, &mut notes)?;
    let counts = cut(blame, counts, first, bin, options)?;
    let total: f64 = counts.iter().sum();
    notes.push(format!("{total:.0} requests in {} bins of {}", counts.len(), Span::from_nanos(bin as u64)));
    Ok(Trace::Counts { bin: Span::from_nanos(bin as u64), counts, notes })
}

/// One row: where it stands in the file, when it is, how many.
struct Row {
    line: usize,
    stamp: Stamp,
    count: f64,
}

/// A file of nothing but numbers, with more than one on a line or none but one on each.
fn is_list(text: &str) -> bool {
    let Some(line) = text.lines().find(|line| !line.trim().is_empty()) else { return false };
    let mut words = line.split_ascii_whitespace();
    let numbers = words.by_ref().take(2).all(|word| word.parse::<f64>().is_ok());
    numbers && !line.contains('\t') && (line.contains(' ') || line.trim().parse::<f64>().is_ok())
}

fn list(blame: &Blame<'_>, text: &str) -> Result<Vec<Row>, TraceError> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for word in line.split_ascii_whitespace() {
            let stamp = Stamp::Index(rows.len() as f64);
            let offset = word.as_ptr() as usize - line.as_ptr() as usize;
            rows.push(Row { line: number, stamp, count: count(blame, word, number, offset + 1)? });
        }
        if rows.len() > MOST_ROWS {
            return Err(blame.line(number, format!("more than {MOST_ROWS} bins")));
        }
    }
    Ok(rows)
}

fn count(blame: &Blame<'_>, text: &str, line: usize, column: usize) -> Result<f64, TraceError> {
    match text.trim().parse::<f64>() {
        Ok(count) if count.is_finite() && count >= 0.0 => Ok(count),
        Ok(_) => Err(blame.at(line, column, format!("a count of `{text}` is not possible"))),
        Err(_) => Err(blame.at(line, column, format!("expected a count, found `{text}`"))),
    }
}

/// A table in text: delimiter and header are found out.
pub struct Table<'a> {
    text: &'a str,
    delimiter: u8,
    header: Option<Vec<String>>,
}

impl<'a> Table<'a> {
    /// Looks at the first line.
    pub fn new(blame: &Blame<'_>, text: &'a str) -> Result<Self, TraceError> {
        let first =
            text.lines().find(|line| !line.trim().is_empty()).ok_or_else(|| blame.file("it is empty"))?;
        let first = first.trim_end_matches(';'); // some files end each line in one
        let delimiter =
            [b'\t', b',', b';'].into_iter().find(|&d| first.contains(char::from(d))).unwrap_or(b',');
        let fields: Vec<String> = first
            .split(char::from(delimiter))
            .map(|field| field.trim().trim_matches('"').to_string())
            .collect();
        let names = fields.iter().all(|field| field.parse::<f64>().is_err() && time::parse(field).is_none());
        Ok(Table { text, delimiter, header: names.then_some(fields) })
    }

    /// The index of the column of this name.
    pub fn column(&self, blame: &Blame<'_>, name: &str) -> Result<usize, TraceError> {
        let Some(header) = &self.header else {
            return Err(
                blame.line(1, format!("there is no line with names of columns, so no column `{name}`"))
            );
        };
        let found = header.iter().position(|column| column == name);
        found.ok_or_else(|| {
            blame.line(1, format!("there is no column `{name}`; there are {}", header.join(", ")))
        })
    }

    /// The column of this name, else one of the usual names, else by position.
    fn pick(
        &self,
        blame: &Blame<'_>,
        name: Option<&str>,
        usual: &[&str],
        position: usize,
    ) -> Result<usize, TraceError> {
        if let Some(name) = name {
            return self.column(blame, name);
        }
        let header = self.header.iter().flatten();
        let known = header.enumerate().find(|(_, column)| usual.contains(&column.to_lowercase().as_str()));
        Ok(known.map_or(position, |(index, _)| index))
    }

    /// The rows below the header: line number and fields.
    pub fn rows(&self) -> impl Iterator<Item = Result<(usize, csv::StringRecord), (usize, String)>> + '_ {
        let reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(self.header.is_some())
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(self.text.as_bytes());
        reader.into_records().map(|record| match record {
            Ok(record) => Ok((record.position().map_or(0, |position| position.line() as usize), record)),
            Err(error) => {
                Err((error.position().map_or(0, |position| position.line() as usize), error.to_string()))
            }
        })
    }
}

fn table(blame: &Blame<'_>, text: &str, options: &Options) -> Result<Vec<Row>, TraceError> {
    let table = Table::new(blame, text)?;
    let time_at = table.pick(blame, options.time.as_deref(), &TIME_NAMES, 0)?;
    let value_at = table.pick(blame, options.value.as_deref(), &VALUE_NAMES, usize::from(time_at == 0))?;
    let mut rows = Vec::new();
    for row in table.rows() {
        let (line, fields) = row.map_err(|(line, why)| blame.line(line, why))?;
        let field = |index: usize| fields.get(index).map(|field| field.trim_end_matches(';'));
        let Some(time) = field(time_at) else {
            return Err(blame.line(
                line,
                format!("expected a time in column {}, the row has {} columns", time_at + 1, fields.len()),
            ));
        };
        let Some(stamp) = time::parse(time) else {
            return Err(blame.at(line, time_at + 1, format!("expected a time, found `{time}`")));
        };
        let Some(value) = field(value_at) else {
            return Err(blame.line(
                line,
                format!("expected a count in column {}, the row has {} columns", value_at + 1, fields.len()),
            ));
        };
        rows.push(Row { line, stamp, count: count(blame, value, line, value_at + 1)? });
        if rows.len() > MOST_ROWS {
            return Err(blame.line(line, format!("more than {MOST_ROWS} rows")));
        }
    }
    Ok(rows)
}

/// The width of a bin in nanoseconds.
fn width(
    blame: &Blame<'_>,
    rows: &[Row],
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Instant, TraceError> {
    if let Some(per) = options.per {
        return Ok(Instant::from(per.as_nanos()));
    }
    let mut steps: BTreeMap<Instant, usize> = BTreeMap::new();
    for pair in rows.windows(2) {
        match (pair[0].stamp, pair[1].stamp) {
            (Stamp::Time(a), Stamp::Time(b)) if b > a => *steps.entry(b - a).or_default() += 1,
            (Stamp::Index(_), _) | (_, Stamp::Index(_)) => {
                return Err(blame.line(
                    pair[0].line,
                    "its rows are numbered, not dated: state the width of a bin, `per = \"1min\"`",
                ));
            }
            _ => {}
        }
        if steps.len() > 100_000 {
            break; // no regular step: the most frequent of so many is as good as any
        }
    }
    let most = steps.into_iter().max_by_key(|&(step, times)| (times, std::cmp::Reverse(step)));
    let (step, _) =
        most.ok_or_else(|| blame.file("the width of a bin cannot be told: state it, `per = \"1min\"`"))?;
    notes.push(format!("bins of {}, the most frequent step of its times", Span::from_nanos(step as u64)));
    Ok(step)
}

/// Rows in bins.
struct Placed {
    first: Instant,
    bins: BTreeMap<Instant, (f64, usize)>,
}

fn place(
    blame: &Blame<'_>,
    rows: &[Row],
    bin: Instant,
    notes: &mut Vec<String>,
) -> Result<Placed, TraceError> {
    let when = |row: &Row| match row.stamp {
        Stamp::Time(instant) => instant,
        Stamp::Index(index) => (index * bin as f64) as Instant,
    };
    let first = rows.iter().map(when).min().unwrap_or(0);
    let mut bins: BTreeMap<Instant, (f64, usize)> = BTreeMap::new();
    let (mut summed, mut put_back, mut off_grid) = ((0, 0), (0, 0), (0, 0));
    let mut last_index = -1;
    let mut at = 0;
    while at < rows.len() {
        let same = rows[at..].iter().take_while(|row| when(row) == when(&rows[at])).count();
        let offset = when(&rows[at]) - first;
        let index = offset / bin;
        if offset % bin != 0 && matches!(rows[at].stamp, Stamp::Time(_)) {
            note_first(&mut off_grid, 1, rows[at].line);
        }
        // A clock that jumped leaves a hole, and then as many rows with one time: they belong into the hole.
        let jumped = same > 1 && index - last_index >= same as Instant;
        for (nth, row) in rows[at..at + same].iter().enumerate() {
            let index = if jumped { index - (same - 1 - nth) as Instant } else { index };
            match bins.get_mut(&index) {
                Some((count, _)) => {
                    *count += row.count;
                    note_first(&mut summed, 1, row.line);
                }
                None => drop(bins.insert(index, (row.count, row.line))),
            }
        }
        if jumped {
            note_first(&mut put_back, same - 1, rows[at].line);
        }
        last_index = last_index.max(index);
        at += same;
    }
    if last_index >= MOST_ROWS as Instant {
        return Err(blame.file(format!("with its holes it has more than {MOST_ROWS} bins")));
    }
    said(
        notes,
        put_back,
        "rows repeat a time after a hole of as many bins: the clock jumped, and they were put into the hole",
    );
    said(notes, summed, "rows fall into a bin that is taken: their counts were added to it");
    said(notes, off_grid, "rows are not on the grid of bins: they were counted in the bin they fall into");
    Ok(Placed { first, bins })
}

fn note_first(tally: &mut (usize, usize), more: usize, line: usize) {
    if tally.0 == 0 {
        tally.1 = line;
    }
    tally.0 += more;
}

fn said(notes: &mut Vec<String>, (count, line): (usize, usize), what: &str) {
    if count > 0 {
        notes.push(format!("{count} {what} (first at line {line})"));
    }
}

fn fill(
    blame: &Blame<'_>,
    placed: Placed,
    gaps: Gaps,
    bin: Instant,
    notes: &mut Vec<String>,
) -> Result<(Vec<f64>, Instant), TraceError> {
    let Some((&last, _)) = placed.bins.last_key_value() else {
        return Err(blame.file("there is no row in it"));
    };
    let mut counts = Vec::with_capacity(last as usize + 1);
    let (mut absent, mut holes, mut first_hole) = (0usize, 0usize, 0);
    let mut before: Option<(Instant, f64)> = None;
    for (&index, &(count, line)) in &placed.bins {
        let (previous, value) = before.unwrap_or((index - 1, count));
        let missing = (index - previous - 1) as usize;
        if missing > 0 {
            if gaps == Gaps::Refuse {
                return Err(blame.line(
                    line,
                    format!("{missing} bins before this row are missing, and `gaps = \"refuse\"`"),
                ));
            }
            if holes == 0 {
                first_hole = line;
            }
            (absent, holes) = (absent + missing, holes + 1);
            for nth in 1..=missing {
                let share = nth as f64 / (missing + 1) as f64;
                counts.push(if gaps == Gaps::Interpolate { value + (count - value) * share } else { 0.0 });
            }
        }
        counts.push(count);
        before = Some((index, count));
    }
    if absent > 0 {
        let how = if gaps == Gaps::Interpolate { "from their neighbours" } else { "with 0" };
        let span = Span::from_nanos(bin as u64);
        notes.push(format!("{absent} bins of {span} in {holes} holes are not in the file: filled {how} (first before line {first_hole})"));
    }
    Ok((counts, placed.first))
}

fn cut(
    blame: &Blame<'_>,
    counts: Vec<f64>,
    first: Instant,
    bin: Instant,
    options: &Options,
) -> Result<Vec<f64>, TraceError> {
    let (from, to) =
        time::slice(first, options.from.as_deref(), options.to.as_deref()).map_err(|why| blame.file(why))?;
    let index = |instant: Instant| {
        ((instant - first).max(0) as f64 / bin as f64).round().min(counts.len() as f64) as usize
    };
    let (from_index, to_index) = (index(from), if to == Instant::MAX { counts.len() } else { index(to) });
    if from_index >= to_index {
        let end = first + bin * counts.len() as Instant;
        return Err(blame.file(format!(
            "there is nothing in the slice; the file goes from {} to {}",
            time::show(first),
            time::show(end)
        )));
    }
    Ok(counts[from_index..to_index].to_vec())
}
