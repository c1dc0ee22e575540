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
        let mut bytes = Vec::new();
        io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Usage(format!("cannot read standard input: {error}")))?;
        return Ok(("<stdin>".to_string(), as_text("<stdin>", bytes)?));
    }
    match fs::read(path) {
        Ok(bytes) => Ok((name.clone(), as_text(&name, bytes)?)),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => format!(" (hint: `scalesim new {name}` writes one to start from)"),
                _ => String::new(),
            };
            Err(Failure::Usage(format!("cannot read {name}: {error}{hint}")))
        }
    }
}

fn as_text(name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        Failure::Usage(format!("{name}:{line}:{column}: this is not UTF-8 text, as a scenario has to be"))
    })
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

/// Writes the files of a report, all or none: first under other names, then in place of what was there.
pub fn write_all(folder: &Path, files: &[(impl AsRef<str>, Vec<u8>)]) -> Result<(), Failure> {
    let files = || files.iter().map(|(name, bytes)| (name.as_ref(), bytes));
    let path = |name: &str| folder.join(name);
    let unfinished = |name: &str| folder.join(format!(".{name}.unfinished"));
    let written = files().try_for_each(|(name, bytes)| {
        let in_the_way =
            if path(name).is_dir() { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { Ok(()) };
        in_the_way.and_then(|()| fs::write(unfinished(name), bytes)).map_err(|error| (path(name), error))
    });
    let placed = written.and_then(|()| {
        files().try_for_each(|(name, _)| {
            fs::rename(unfinished(name), path(name)).map_err(|error| (path(name), error))
        })
    });
    placed.map_err(|(path, error)| {
        for (name, _) in files() {
            let _ = fs::remove_file(unfinished(name)); // what was not written is not there
        }
        Failure::Unfinished(format!("cannot write {}: {error}", path.display()))
    })
}
