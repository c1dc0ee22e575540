//! One table from parts of a sweep, whichever came first.

use serde::Serialize;

use super::axis::Axis;
use super::cell::{CellResult, VIOLATION};
use super::header::{Difference, Header, SCHEMA};
use crate::results::Outcome;

/// Stretches of missing cells that are named.
const MOST_NAMED: usize = 10;

/// Cells that were played in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is called in messages, such as its file.
    pub name: String,
    /// The sweep that they belong to.
    pub header: Header,
    /// The cells, in any order.
    pub cells: Vec<CellResult>,
}

/// All cells of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepResults {
    /// Which sweep it is.
    #[serde(flatten)]
    pub header: Header,
    /// Its cells, in order.
    pub cells: Vec<SweepCell>,
}

/// A cell beside the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepCell {
    /// What became of it.
    #[serde(flatten)]
    pub result: CellResult,
    /// No other cell costs less without a longer violation, or is violated for shorter without a higher cost; `None` where
    /// it has no cost or no objective.
    pub pareto: Option<bool>,
}

/// Why parts make no sweep.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("there are no cells to merge")]
    Nothing,
    /// Two are of different sweeps.
    #[error("{one} and {other} are not of the same sweep:\n{}", .differences.iter().map(|found| format!("  {found}")).collect::<Vec<_>>().join("\n"))]
    Different {
        /// A part.
        one: String,
        /// Another.
        other: String,
        /// In what they differ.
        differences: Vec<Difference>,
    },
    /// A part says something that no version of this format says.
    #[error("{part}: {why}")]
    Malformed {
        /// The part.
        part: String,
        /// What is wrong.
        why: String,
    },
    /// The same cell was played twice with different results.
    #[error(
        "cell {cell} of {one} is not what it is in {other}: one of them was changed, or comes from another build"
    )]
    Conflict {
        /// The cell.
        cell: usize,
        /// A part that has it.
        one: String,
        /// Another one.
        other: String,
    },
    /// Cells are missing.
    #[error("{missing} of {cells} cells are missing: {which}")]
    Missing {
        /// How many.
        missing: usize,
        /// How many there should be.
        cells: usize,
        /// Which: numbers and stretches of numbers.
        which: String,
    },
}

/// Makes one table of parts, in any order and with any overlap. It is the same as if one machine had played it all.
///
/// # Errors
/// Where the parts are not of one sweep, contradict each other, or are not all.
pub fn merge(mut parts: Vec<Part>) -> Result<SweepResults, MergeError> {
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let first = parts.first().ok_or(MergeError::Nothing)?;
    let header = Header { shard: None, ..first.header.clone() };
    let first = first.name.clone();
    check(&header, &first)?;
    let mut cells: Vec<Option<(usize, CellResult)>> = (0..header.cells).map(|_| None).collect();
    let names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    for (index, part) in parts.into_iter().enumerate() {
        let differences = header.differences(&part.header);
        if !differences.is_empty() {
            return Err(MergeError::Different { one: first, other: part.name, differences });
        }
        for cell in part.cells {
            let number = cell.cell;
            let malformed = |why: String| MergeError::Malformed { part: part.name.clone(), why };
            let place =
                cells.get_mut(number).ok_or_else(|| malformed(format!("there is no cell {number}")))?;
            if cell.values.len() != header.axes.len() {
                return Err(malformed(format!("cell {number} has not one value for each axis")));
            }
            match place {
                None => *place = Some((index, cell)),
                Some((_, own)) if *own == cell => {}
                Some((other, _)) => {
                    let (one, other) = (part.name.clone(), names[*other].clone());
                    return Err(MergeError::Conflict { cell: number, one, other });
                }
            }
        }
    }
    let missing: Vec<usize> = (0..cells.len()).filter(|&cell| cells[cell].is_none()).collect();
    if !missing.is_empty() {
        let which = stretches(&missing);
        return Err(MergeError::Missing { missing: missing.len(), cells: cells.len(), which });
    }
    Ok(table(header, cells.into_iter().flatten().map(|(_, cell)| cell).collect()))
}

/// What a header read from a file has to be.
fn check(header: &Header, part: &str) -> Result<(), MergeError> {
    let malformed = |why: String| Err(MergeError::Malformed { part: part.to_string(), why });
    if header.schema != SCHEMA {
        return malformed(format!("its format is {}, and this version reads {SCHEMA}", header.schema));
    }
    if header.cells == 0 || header.cells > super::design::MOST_CELLS {
        return malformed(format!("a sweep does not have {} cells", header.cells));
    }
    match header.axes.iter().find_map(|axis| axis.parse::<Axis>().err()) {
        Some(error) => malformed(error.to_string()),
        None => Ok(()),
    }
}

fn table(header: Header, cells: Vec<CellResult>) -> SweepResults {
    let point = |cell: &CellResult| Some((cell.figure("cost")?.mean, cell.figure(VIOLATION)?.mean));
    let points: Vec<Option<(f64, f64)>> = cells.iter().map(point).collect();
    let pareto = frontier(&points);
    let cells = cells.into_iter().zip(pareto).map(|(result, pareto)| SweepCell { result, pareto }).collect();
    SweepResults { header, cells }
}

/// Which points no other is at least as low as in both, and lower in one. By ascending cost, what is on the frontier has
/// less violation than all that cost less.
fn frontier(points: &[Option<(f64, f64)>]) -> Vec<Option<bool>> {
    let mut order: Vec<(f64, f64, usize)> = points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| point.map(|(cost, violation)| (cost, violation, index)))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut found: Vec<Option<bool>> = points.iter().map(|point| point.map(|_| false)).collect();
    let mut best: Option<(f64, f64)> = None;
    for (cost, violation, index) in order {
        let equal = best == Some((cost, violation));
        if equal || best.is_none_or(|best| violation < best.1) {
            found[index] = Some(true);
            best = Some((cost, violation));
        }
    }
    found
}

/// `0, 4-7, 9`
pub(super) fn stretches(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let mut words: Vec<String> = runs
        .clone()
        .take(MOST_NAMED)
        .map(|run| match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect();
    let more: usize = runs.skip(MOST_NAMED).map(<[usize]>::len).sum();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

impl SweepResults {
    /// The axes.
    ///
    /// Those of a header that was checked when the table was made: none is left out.
    pub fn axes(&self) -> Vec<Axis> {
        self.header.axes.iter().filter_map(|axis| axis.parse().ok()).collect()
    }

    /// Names and units of all figures that any cell has, in the order in which they come up.
    pub fn figures(&self) -> Vec<(&str, &str)> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.cells.iter().flat_map(|cell| &cell.result.figures);
        let new = all.filter(|figure| seen.insert(figure.name.as_str()));
        new.map(|figure| (figure.name.as_str(), figure.unit.as_str())).collect()
    }

    /// Whether every cell was played to its end, no limit reached.
    pub fn complete(&self) -> bool {
        self.cells.iter().all(|cell| cell.result.outcome == Outcome::Complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frontier_is_what_nothing_beats() {
        let points = [(1.0, 9.0), (2.0, 9.0), (2.0, 5.0), (3.0, 5.0), (4.0, 0.0), (2.0, 5.0), (9.0, 0.0)];
        let points: Vec<_> = points.into_iter().map(Some).chain([None]).collect();
        let expected = [true, false, true, false, true, true, false].map(Some);
        assert_eq!(frontier(&points), expected.into_iter().chain([None]).collect::<Vec<_>>());
    }

    #[test]
    fn missing_cells_are_named_by_stretches() {
        assert_eq!(stretches(&[0, 4, 5, 6, 9]), "0, 4-6, 9");
        let many: Vec<usize> = (0..20).map(|index| 2 * index).collect();
        assert!(stretches(&many).ends_with("18, and 10 more"), "{}", stretches(&many));
    }
}
