//! The file of cells while it grows: a line for each cell as soon as it is done.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use scalesim::experiment::sweep::{CellResult, Header};
use scalesim_report::{cells_of, line};

use crate::Failure;

/// The cells that were played, here or earlier.
pub struct Store {
    file: Option<(PathBuf, File)>,
    cells: Vec<CellResult>,
    known: BTreeSet<usize>,
    failed: Option<String>,
}

impl Store {
    /// For cells that no file is to keep.
    pub fn in_memory() -> Store {
        Store { file: None, cells: Vec::new(), known: BTreeSet::new(), failed: None }
    }

    /// Opens a file of cells, or begins one. What an earlier process left in mid-line is cut off. A file of another sweep is
    /// refused, and so is one that another process writes.
    pub fn open(path: PathBuf, header: Header) -> Result<Store, Failure> {
        let name = path.display().to_string();
        let failed = |error: io::Error| Failure::Usage(format!("cannot write {name}: {error}"));
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        // File systems that know no locks are taken at their user's word.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Failure::Usage(format!("another process is at {name}")));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let hint = "remove it, or choose another --out";
        let found = cells_of(&bytes).map_err(|error| Failure::Usage(format!("{name}: {error} ({hint})")))?;
        let Some(found) = found else {
            file.set_len(0).map_err(failed)?;
            file.write_all(&line(&header).map_err(|error| Failure::Unfinished(error.to_string()))?)
                .map_err(failed)?;
            return Ok(Store { file: Some((path, file)), ..Store::in_memory() });
        };
        let mut differences: Vec<String> =
            found.header.differences(&header).iter().map(|difference| format!("\n  {difference}")).collect();
        if found.header.shard != header.shard {
            differences.push("\n  shard: another one".to_string());
        }
        if !differences.is_empty() {
            let differences = differences.concat();
            return Err(Failure::Usage(format!("{name} is of another sweep ({hint}):{differences}")));
        }
        file.set_len(found.whole as u64).map_err(failed)?;
        let known = found.cells.iter().map(|cell| cell.cell).collect();
        Ok(Store { file: Some((path, file)), cells: found.cells, known, failed: None })
    }

    /// Where the file is.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Whether a cell was played.
    pub fn has(&self, cell: usize) -> bool {
        self.known.contains(&cell)
    }

    /// Keeps a cell; false where it cannot be written.
    pub fn keep(&mut self, cell: CellResult) -> bool {
        if let Some((path, file)) = &mut self.file {
            let written = line(&cell).map_err(io::Error::other).and_then(|line| file.write_all(&line));
            if let Err(error) = written {
                self.failed.get_or_insert(format!("cannot write {}: {error}", path.display()));
                return false;
            }
        }
        self.known.insert(cell.cell);
        self.cells.push(cell);
        true
    }

    /// All cells, or why one could not be kept.
    pub fn into_cells(self) -> Result<Vec<CellResult>, Failure> {
        match self.failed {
            None => Ok(self.cells),
            Some(why) => Err(Failure::Unfinished(why)),
        }
    }
}
