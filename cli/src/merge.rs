//! `scalesim merge`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use scalesim::experiment::sweep::{Part, merge as join};
use scalesim_report::cells_of;

use crate::sweep::{SweepOutput, report, unfit};
use crate::{Failure, files};

#[derive(Debug, ClapArgs)]
pub struct MergeArgs {
    /// Folders with the files of cells that shards have written, or such files.
    #[arg(value_name = "DIR", required = true)]
    pub parts: Vec<PathBuf>,

    #[command(flatten)]
    pub output: SweepOutput,
}

/// Reads all parts, and writes what one machine would have written.
pub fn merge(args: &MergeArgs) -> Result<u8, Failure> {
    let mut parts = Vec::new();
    for path in &args.parts {
        for file in cell_files(path)? {
            parts.extend(part(&file)?);
        }
    }
    let results = join(parts).map_err(unfit)?;
    let folder = match &args.output.out {
        None if args.output.json => None,
        None => args.parts.first().map(|first| if first.is_dir() { first.clone() } else { beside(first) }),
        Some(out) => Some(out.clone()),
    };
    if let Some(folder) = &folder {
        files::prepare(folder)?;
    }
    report(&results, &args.output, folder.as_deref())
}

/// The files of cells of a folder, or the file itself.
fn cell_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let failed = |error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("cells") && name.ends_with(".jsonl") {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        return Err(Failure::Usage(format!("{} has no files of cells (cells*.jsonl)", path.display())));
    }
    found.sort();
    Ok(found)
}

/// The part in a file; none where a shard has begun it and written nothing yet.
fn part(file: &Path) -> Result<Option<Part>, Failure> {
    let name = file.display().to_string();
    let bytes = fs::read(file).map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
    let cells = cells_of(&bytes).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    Ok(cells.map(|found| Part { name, header: found.header, cells: found.cells }))
}

fn beside(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_path_buf()
}
