//! Reading traces of real traffic: counts per bin, or logs with one row a request; plain, gzip, bzip2, and a tar with
//! one member.
//!
//! Real files have holes, clocks that jump and rows out of order. What is done about each is stated as a note, or the
//! file is refused with its line and the reason; nothing is passed over in silence.

mod bins;
mod counts;
mod dates;
mod log;
mod open;
mod slice;
mod table;
mod time;

use std::fmt;
use std::io::Read;
use std::ops::Range;

use sim_core::Span;

pub use dates::Dates;
use slice::Slice;
use table::Table;

/// The formats a scenario can name.
pub const FORMATS: &[&str] = &["counts", "log", "combined", "elb", "w3c"];

/// The most rows that a trace may have. Each takes 24 bytes while it is read, and 8 later.
pub const MOST_ROWS: usize = 40_000_000;

/// The most bins that a trace may have: 115 days of seconds, or 19 years of minutes. Each takes 8 bytes, and as many
/// again for a moment.
pub const MOST_BINS: usize = 10_000_000;

/// The most requests that a row or a whole trace may stand for. Beyond some more, counts would not be exact.
pub const MOST_REQUESTS: f64 = 1e15;

/// The most stretches of doubtful bins that are told apart.
pub const MOST_DOUBTFUL: usize = 10_000;

/// How to read a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// One of [`FORMATS`].
    pub format: String,
    /// The width of a bin. For counts the most frequent step of the times if left out; for a log, bins it.
    pub per: Option<Span>,
    /// The name of the column with times.
    pub time: Option<String>,
    /// The name of the column with counts.
    pub value: Option<String>,
    /// Where to start: a time as in the file, or an offset such as `2h`.
    pub from: Option<String>,
    /// Where to stop, likewise; that instant is not included.
    pub to: Option<String>,
    /// What to do about bins that are not in the file.
    pub gaps: Gaps,
}

/// What to do about missing bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// They had no requests: monitoring systems publish no point for those.
    Zero,
    /// They had what lies between their neighbours.
    Interpolate,
    /// The trace is refused.
    Refuse,
}

/// A trace that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Trace {
    /// Counts per bin.
    Counts {
        /// The width of a bin.
        bin: Span,
        /// The counts, without holes.
        counts: Vec<f64>,
        /// When they were counted; nothing where the file has no dates.
        dates: Option<Dates>,
        /// Bins of which the file says nothing, in order, and what they were filled with; at most [`MOST_DOUBTFUL`], the last of
        /// which then goes to the end of the last such bin.
        doubtful: Vec<(Range<usize>, &'static str)>,
        /// What was found and done.
        notes: Vec<String>,
    },
    /// One instant a request, ascending, since the first or since the start of the slice.
    Log {
        /// The instants.
        instants: Vec<Span>,
        /// When they were.
        dates: Dates,
        /// What was found and done.
        notes: Vec<String>,
    },
}

impl Trace {
    /// What was found and done.
    pub fn notes(&self) -> &[String] {
        match self {
            Trace::Counts { notes, .. } | Trace::Log { notes, .. } => notes,
        }
    }

    /// When its requests were; nothing where the file has no dates.
    pub fn dates(&self) -> Option<&Dates> {
        match self {
            Trace::Counts { dates, .. } => dates.as_ref(),
            Trace::Log { dates, .. } => Some(dates),
        }
    }
}

/// Why a trace is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    file: String,
    line: usize,
    column: usize,
    message: String,
    option: Option<&'static str>,
}

impl TraceError {
    /// The one of the [`Options`] that is wrong, where it is not the file.
    pub fn option(&self) -> Option<&'static str> {
        self.option
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.file, self.message),
            (line, 0) => write!(f, "{}:{line}: {}", self.file, self.message),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for TraceError {}

/// Makes errors about one file.
struct Blame<'a>(&'a str);

impl Blame<'_> {
    fn file(&self, message: impl Into<String>) -> TraceError {
        self.at(0, 0, message)
    }

    fn line(&self, line: usize, message: impl Into<String>) -> TraceError {
        self.at(line, 0, message)
    }

    fn at(&self, line: usize, column: usize, message: impl Into<String>) -> TraceError {
        TraceError { file: self.0.to_string(), line, column, message: message.into(), option: None }
    }

    fn option(&self, option: &'static str, message: impl Into<String>) -> TraceError {
        self.of_option(option, self.file(message))
    }

    fn of_option(&self, option: &'static str, error: TraceError) -> TraceError {
        TraceError { option: Some(option), ..error }
    }

    /// Whether there may be one more row.
    fn room(&self, rows: usize, line: usize) -> Result<(), TraceError> {
        if rows < MOST_ROWS {
            return Ok(());
        }
        Err(self.line(line, format!("more than {MOST_ROWS} rows: cut the file, or bin it into counts")))
    }
}

/// What is wrong with the rows of a file: the first is told, the others are counted.
#[derive(Default)]
struct Faults {
    first: Option<TraceError>,
    more: usize,
}

impl Faults {
    /// What was read, or nothing and one more fault.
    fn take<T>(&mut self, read: Result<T, TraceError>) -> Option<T> {
        match read {
            Ok(value) => return Some(value),
            Err(_) if self.first.is_some() => self.more += 1,
            Err(error) => self.first = Some(error),
        }
        None
    }

    fn told(self) -> Result<(), TraceError> {
        match (self.first, self.more) {
            (None, _) => Ok(()),
            (Some(first), 0) => Err(first),
            (Some(first), more) => {
                let message = format!("{}; {more} more like it below", first.message);
                Err(TraceError { message, ..first })
            }
        }
    }
}

/// Reads a trace. `file` is its name, for messages.
///
/// # Errors
/// What is wrong with it: the first malformed row with its line and column, times in no order, holes where the policy
/// refuses them, or nothing in the slice.
pub fn read(file: &str, reader: impl Read, options: &Options) -> Result<Trace, TraceError> {
    let blame = Blame(file);
    let slice = Slice::new(&blame, options)?;
    if options.per.is_some_and(Span::is_zero) {
        return Err(blame.option("per", "`per`: a bin of no length"));
    }
    let text = open::text(reader).map_err(|why| blame.file(why))?;
    if text.trim_start().starts_with('{') {
        return Err(blame.line(1, format!("this looks like JSON; supported are {}", FORMATS.join(", "))));
    }
    match options.format.as_str() {
        "counts" => counts::read(&blame, &text, options, &slice),
        _ => log::read(&blame, &text, options, &slice),
    }
}

/// One number a line, or one column of a CSV file.
///
/// # Errors
/// The first value that is not a number, or a column that is not there.
pub fn column_of_numbers(
    file: &str,
    reader: impl Read,
    column: Option<&str>,
) -> Result<Vec<f64>, TraceError> {
    let blame = Blame(file);
    let text = open::text(reader).map_err(|why| blame.file(why))?;
    let table = Table::new(&blame, &text)?;
    let index = match column {
        Some(name) => table.column(&blame, "column", name)?,
        None => 0,
    };
    let (mut values, mut faults) = (Vec::new(), Faults::default());
    for row in table.rows() {
        let value = row.map_err(|(line, why)| blame.line(line, why)).and_then(|(line, fields)| {
            let field = fields.get(index).unwrap_or("");
            match field.trim().parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
                _ => {
                    let why = format!("expected a number, zero or more, found `{field}`");
                    Err(blame.at(line, index + 1, why))
                }
            }
        });
        values.extend(faults.take(value));
    }
    faults.told()?;
    Ok(values)
}
