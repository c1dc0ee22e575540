//! The table of a sweep: a row for each cell.

use scalesim::experiment::sweep::{SweepCell, SweepResults};
use scalesim::results::Outcome;

use crate::ExportError;
use crate::tables::TableError;

/// A column of the table.
pub struct Column {
    /// Its heading.
    pub name: String,
    /// Its values, in the order of the cells.
    pub values: Values,
}

/// The values of a column.
pub enum Values {
    /// Words.
    Words(Vec<String>),
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// True or false.
    Flags(Vec<Option<bool>>),
}

/// All columns: the cell and its settings, how it went, and for each figure its mean and, with several replications, the half
/// width of its interval. An axis whose values are numbers without a unit is a column of numbers.
pub fn columns(results: &SweepResults) -> Vec<Column> {
    let cells = &results.cells;
    let mut list = Vec::new();
    let mut add = |name: String, values: Values| list.push(Column { name, values });
    add("cell".into(), Values::Integers(cells.iter().map(|cell| Some(cell.result.cell as i64)).collect()));
    for (index, axis) in results.axes().iter().enumerate() {
        add(axis.name(), axis_values(cells, index));
    }
    let replications = results.header.replications;
    add("holds".into(), Values::Flags(cells.iter().map(|cell| cell.result.holds(replications)).collect()));
    add("kept".into(), Values::Integers(cells.iter().map(|cell| cell.result.kept.map(i64::from)).collect()));
    add("pareto".into(), Values::Flags(cells.iter().map(|cell| cell.pareto).collect()));
    for (name, unit) in results.figures() {
        let figures = || cells.iter().map(|cell| cell.result.figure(name));
        let with_unit = |what: String| if unit.is_empty() { what } else { format!("{what} ({unit})") };
        let means = figures().map(|figure| figure.map(|figure| figure.mean)).collect();
        add(with_unit(name.to_string()), Values::Numbers(means));
        if replications > 1 {
            let halves = figures().map(|figure| figure.and_then(|figure| figure.half_width)).collect();
            add(with_unit(format!("{name} ±")), Values::Numbers(halves));
        }
    }
    add("outcome".into(), Values::Words(cells.iter().map(outcome).collect()));
    add(
        "order_hash".into(),
        Values::Words(cells.iter().map(|cell| cell.result.order_hash.clone()).collect()),
    );
    let run = |cell: &SweepCell| arguments(cell, replications);
    add("run".into(), Values::Words(cells.iter().map(run).collect()));
    list
}

fn axis_values(cells: &[SweepCell], axis: usize) -> Values {
    let texts = || cells.iter().map(|cell| cell.result.values.get(axis).map_or("", String::as_str));
    let numbers: Vec<Option<f64>> =
        texts().map(|text| text.parse().ok().filter(|x: &f64| x.is_finite())).collect();
    if numbers.iter().all(Option::is_some) {
        Values::Numbers(numbers)
    } else {
        Values::Words(texts().map(String::from).collect())
    }
}

fn outcome(cell: &SweepCell) -> String {
    match &cell.result.outcome {
        Outcome::Complete => "complete".to_string(),
        Outcome::Interrupted { .. } => "interrupted".to_string(),
        Outcome::Limit { limit, value, .. } => format!("limits.{limit} = {value}"),
    }
}

/// What follows `scalesim run FILE` to play a cell alone, quoted for a shell.
pub fn arguments(cell: &SweepCell, replications: u32) -> String {
    let mut words: Vec<String> = cell.result.set.iter().map(|set| format!("--set {}", shell(set))).collect();
    if replications > 1 {
        words.push(format!("--replications {replications}"));
    }
    words.join(" ")
}

/// A word as a POSIX shell takes it.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `sweep.csv`.
pub fn csv(results: &SweepResults) -> Result<Vec<u8>, ExportError> {
    let columns = columns(results);
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(columns.iter().map(|column| column.name.as_str())).map_err(TableError::from)?;
    for row in 0..results.cells.len() {
        let fields = columns.iter().map(|column| field(&column.values, row));
        table.write_record(fields).map_err(TableError::from)?;
    }
    Ok(table.into_inner().map_err(|error| TableError::End(error.to_string()))?)
}

fn field(values: &Values, row: usize) -> String {
    let shown = match values {
        Values::Words(words) => words.get(row).cloned(),
        Values::Integers(numbers) => numbers.get(row).copied().flatten().map(|number| number.to_string()),
        Values::Numbers(numbers) => numbers.get(row).copied().flatten().map(|number| number.to_string()),
        Values::Flags(flags) => flags.get(row).copied().flatten().map(|flag| flag.to_string()),
    };
    shown.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_word_as_it_is() {
        assert_eq!(shell("group.web.max=4"), "group.web.max=4");
        assert_eq!(shell("sla.0.objective=p99 <= 60ms"), "'sla.0.objective=p99 <= 60ms'");
        assert_eq!(shell("it's"), "'it'\\''s'");
        assert_eq!(shell(""), "''");
    }
}
