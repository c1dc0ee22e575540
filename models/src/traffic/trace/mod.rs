//! Reading traces of real traffic: counts per bin, or logs with one row a request; plain, gzip, bzip2, and a tar with
//! one member.
//!
//! Real files have holes, clocks that jump and rows out of order. What is done about each is stated as a note, or the
//! file is refused with its line and the reason; nothing is passed over in silence.

mod counts;
mod log;
mod open;
mod time;

use std::fmt;
use std::io::Read;

use sim_core::Span;

/// The formats a scenario can name.
pub const FORMATS: &[&str] = &["counts", "log", "combined", "elb", "w3c"];

/// The most bins or rows that a trace may have.
pub const MOST_ROWS: usize = 40_000_000;

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
        /// What was found and done.
        notes: Vec<String>,
    },
    /// One instant a request, ascending, since the first or since the start of the slice.
    Log {
        /// The instants.
        instants: Vec<Span>,
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
}

/// Why a trace is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    file: String,
    line: usize,
    column: usize,
    message: String,
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
        TraceError { file: self.0.to_string(), line, column, message: message.into() }
    }
}

/// Reads a trace. `file` is its name, for messages.
///
/// # Errors
/// What is wrong with it: the first malformed row with its line and column, times in no order, holes where the policy
/// refuses them, or nothing in the slice.
pub fn read(file: &str, reader: impl Read, options: &Options) -> Result<Trace, TraceError> {
    let blame = Blame(file);
    let text = open::text(reader).map_err(|why| blame.file(why))?;
    if text.trim_start().starts_with('{') {
        return Err(blame.line(1, format!("this looks like JSON; supported are {}", FORMATS.join(", "))));
    }
    match options.format.as_str() {
        "counts" => counts::read(&blame, &text, options),
        _ => log::read(&blame, &text, options),
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
    let table = counts::Table::new(&blame, &text)?;
    let index = match column {
        Some(name) => table.column(&blame, name)?,
        None => 0,
    };
    let mut values = Vec::new();
    for row in table.rows() {
        let (line, fields) = row.map_err(|(line, why)| blame.line(line, why))?;
        let field = fields.get(index).unwrap_or("");
        match field.trim().parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => values.push(value),
            _ => {
                return Err(blame.at(
                    line,
                    index + 1,
                    format!("expected a number, zero or more, found `{field}`"),
                ));
            }
        }
    }
    Ok(values)
}
