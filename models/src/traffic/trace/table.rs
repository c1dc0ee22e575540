//! Tables in text: the delimiter, the header and the columns are found out.

use super::time::{self, NoTime};
use super::{Blame, TraceError};

/// Names that a column of times or of counts usually has.
const TIME_NAMES: [&str; 6] = ["timestamp", "time", "date", "datetime", "ds", "minute"];
const TIME_BEGINNINGS: [&str; 2] = ["timestamp", "time"];
const VALUE_NAMES: [&str; 6] = ["value", "count", "requests", "invocations", "qps", "y"];

/// So many columns in a row with names 1, 2, 3 … are columns of minutes, not a coincidence.
const NUMBERED_COLUMNS: usize = 10;

/// A table in text.
pub struct Table<'a> {
    text: &'a str,
    delimiter: u8,
    header: Option<Vec<String>>,
    columns: usize,
}

/// The number of a line and its fields, or why it has none.
type Line = Result<(usize, csv::StringRecord), (usize, String)>;

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
        if let Some(numbered) = numbered(&fields) {
            return Err(blame.line(1, format!("its last {numbered} columns are numbered 1 to {numbered}: it has a column a bin, and is read with a row a bin. Turn it: number and sum of each such column, one pair a line")));
        }
        let is_name =
            |field: &String| field.parse::<f64>().is_err() && time::parse(field) == Err(NoTime::Unreadable);
        let columns = fields.len();
        let header = fields.iter().all(is_name).then_some(fields);
        Ok(Table { text, delimiter, header, columns })
    }

    /// How many columns its first line has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A column as its file calls it.
    pub fn name(&self, index: usize) -> String {
        let name = self.header.as_ref().and_then(|header| header.get(index));
        name.map_or_else(|| format!("column {}", index + 1), |name| format!("column `{name}`"))
    }

    /// The index of the column of this name, that `option` states.
    pub fn column(&self, blame: &Blame<'_>, option: &'static str, name: &str) -> Result<usize, TraceError> {
        let blame_it = |why: String| blame.of_option(option, blame.line(1, why));
        let Some(header) = &self.header else {
            return Err(blame_it(format!("there is no line with names of columns, so no column `{name}`")));
        };
        let found = header.iter().position(|column| column == name);
        found.ok_or_else(|| blame_it(format!("there is no column `{name}`; there are {}", header.join(", "))))
    }

    /// The columns of times and of counts: those that are named, else those with usual names, else the first two.
    pub fn time_and_value(
        &self,
        blame: &Blame<'_>,
        time: Option<&str>,
        value: Option<&str>,
    ) -> Result<(usize, usize), TraceError> {
        let value_at = value.map(|name| self.column(blame, "value", name)).transpose()?;
        let free = |index: usize, taken: Option<usize>| usize::from(taken == Some(index));
        let time_at = match time {
            Some(name) => self.column(blame, "time", name)?,
            None => self
                .usual(&TIME_NAMES, str::eq, value_at)
                .or_else(|| {
                    self.usual(&TIME_BEGINNINGS, |name, beginning| name.starts_with(beginning), value_at)
                })
                .unwrap_or_else(|| free(0, value_at)),
        };
        let value_at = value_at
            .or_else(|| self.usual(&VALUE_NAMES, str::eq, Some(time_at)))
            .unwrap_or_else(|| free(0, Some(time_at)));
        if time_at == value_at {
            let both = format!("{} cannot hold both the times and the counts", self.name(time_at));
            return Err(blame.of_option("value", blame.line(1, both)));
        }
        Ok((time_at, value_at))
    }

    /// The first column other than `taken` whose name is one of the usual ones, in their order.
    fn usual(&self, names: &[&str], is: fn(&str, &str) -> bool, taken: Option<usize>) -> Option<usize> {
        let header = self.header.as_ref()?;
        let known = |name: &&str| {
            let mut columns = header.iter().map(|column| column.to_lowercase()).enumerate();
            columns.position(|(index, column)| Some(index) != taken && is(&column, name))
        };
        names.iter().find_map(known)
    }

    /// The rows below the header: line number and fields.
    pub fn rows(&self) -> impl Iterator<Item = Line> + '_ {
        let reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(self.header.is_some())
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(self.text.as_bytes());
        let line = |position: Option<&csv::Position>| {
            position.and_then(|position| usize::try_from(position.line()).ok()).unwrap_or(0)
        };
        reader.into_records().map(move |record| match record {
            Ok(record) => Ok((line(record.position()), record)),
            Err(error) => Err((line(error.position()), error.to_string())),
        })
    }
}

/// How many columns at the end are named 1, 2, 3 …, where there are many of them and others before.
fn numbered(fields: &[String]) -> Option<usize> {
    let start = fields.iter().position(|field| field == "1").filter(|&start| start > 0)?;
    let count = fields.len() - start;
    let in_order = (1..).zip(&fields[start..]).all(|(number, field)| field.parse() == Ok(number));
    (in_order && count >= NUMBERED_COLUMNS).then_some(count)
}
