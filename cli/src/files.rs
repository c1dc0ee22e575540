//! Files: the scenario, what it names, and the report.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use scalesim::Files;

use crate::Failure;

/// The name and text of a scenario.
pub fn scenario_text(path: &Path) -> Result<(String, String), Failure> {
    let name = path.display().to_string();
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("cannot read standard input: {error}")))?;
        return Ok(("<stdin>".to_string(), text));
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => format!(" (hint: `scalesim new {name}` writes one to start from)"),
                _ => String::new(),
            };
            Err(Failure::Usage(format!("cannot read {name}: {error}{hint}")))
        }
    }
}

/// Opens what a scenario names: paths go from the scenario's own folder.
pub struct Beside {
    folder: PathBuf,
}

impl Beside {
    /// Beside this scenario.
    pub fn new(scenario: &Path) -> Self {
        Beside { folder: scenario.parent().unwrap_or(Path::new("")).to_path_buf() }
    }
}

impl Files for Beside {
    fn open(&self, path: &str) -> io::Result<Box<dyn Read>> {
        let path = self.folder.join(path);
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        Ok(Box::new(File::open(path)?))
    }
}

/// Makes the folder of a report, before the run: it would be a pity to find out afterwards.
pub fn prepare(folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Usage(format!("cannot write to {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let probe = folder.join(".scalesim");
    fs::write(&probe, b"").map_err(failed)?;
    fs::remove_file(&probe).map_err(failed)
}

/// Writes a file of a report whole or not at all.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (path, unfinished) = (folder.join(name), folder.join(format!(".{name}.unfinished")));
    let failed = |error: io::Error| Failure::Unfinished(format!("cannot write {}: {error}", path.display()));
    fs::write(&unfinished, bytes).map_err(failed)?;
    fs::rename(&unfinished, &path).map_err(failed)
}
