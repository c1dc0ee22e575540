//! Files of cells: JSON Lines, the header first, then a line for each cell as it was done. Such a file can be cut anywhere:
//! what was written before the cut is good.

use scalesim::experiment::sweep::{CellResult, Header, SweepResults, header};
use serde::Serialize;

use crate::ExportError;

/// What a file of cells holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// The sweep that they belong to.
    pub header: Header,
    /// The cells, in the order in which they were written.
    pub cells: Vec<CellResult>,
    /// How many bytes of the file are whole lines: what follows was cut off while it was written.
    pub whole: usize,
}

/// Why a file of cells cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CellsError {
    /// It is another format, or an earlier or later one.
    #[error("its format is `{0}`, and this version of scalesim reads `{schema}`", schema = header::SCHEMA)]
    Schema(String),
    /// A line is not what it should be.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: serde_json::Error,
    },
}

/// A line of a file of cells: a [`Header`] or a [`CellResult`].
///
/// # Errors
/// Where a value has no JSON form.
pub fn line(of: &impl Serialize) -> Result<Vec<u8>, ExportError> {
    let mut bytes = serde_json::to_vec(of)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a file of cells. `None` where it ends before its header does: nothing was written yet.
///
/// # Errors
/// Where it is no such file, or was changed.
pub fn cells_of(bytes: &[u8]) -> Result<Option<Cells>, CellsError> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate();
    let Some((_, first)) = lines.next() else { return Ok(None) };
    let bad = |index: usize| move |why| CellsError::Line { line: index + 1, why };
    let any: serde_json::Value = serde_json::from_slice(first).map_err(bad(0))?;
    let schema = any.get("schema").and_then(serde_json::Value::as_str).unwrap_or("none");
    if schema != header::SCHEMA {
        return Err(CellsError::Schema(schema.to_string()));
    }
    let header = serde_json::from_value(any).map_err(bad(0))?;
    let cells: Result<Vec<CellResult>, CellsError> =
        lines.map(|(index, line)| serde_json::from_slice(line).map_err(bad(index))).collect();
    Ok(Some(Cells { header, cells: cells?, whole }))
}

/// The file of a whole sweep, its cells in order.
pub fn all(results: &SweepResults) -> Result<Vec<u8>, ExportError> {
    let mut bytes = line(&results.header)?;
    for cell in &results.cells {
        bytes.extend(line(&cell.result)?);
    }
    Ok(bytes)
}
