//! What commands that play scenarios have in common: where their files go, what they print, and how they end.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use scalesim::results::Outcome;
use scalesim_report::{Export, ExportError, Style};

use crate::{Failure, colour, exit, files, unless_gone};

/// The name of a scenario's file without its ending.
pub fn stem(file: &Path) -> &OsStr {
    file.file_stem().filter(|stem| *stem != "-").unwrap_or("scenario".as_ref())
}

/// Where files go: `out`, or `out/<name of the scenario's file><ending>`; nowhere where JSON is printed and no folder named.
pub fn folder(out: Option<&PathBuf>, json: bool, file: &Path, ending: &str) -> Option<PathBuf> {
    if json || out.is_some() {
        return out.cloned();
    }
    let mut name = stem(file).to_os_string();
    name.push(ending);
    Some(Path::new("out").join(name))
}

/// Makes all files of what was found.
pub fn make<T>(
    artefacts: &[(&'static str, Export<T>)],
    found: &T,
) -> Result<Vec<(&'static str, Vec<u8>)>, Failure> {
    let made: Result<_, ExportError> =
        artefacts.iter().map(|(name, make)| Ok((*name, make(found)?))).collect();
    made.map_err(unfinished)
}

/// Makes and writes all files of what was found. Whoever reads what is printed may go away, as `head` does: the files first.
pub fn write<T>(folder: &Path, artefacts: &[(&'static str, Export<T>)], found: &T) -> Result<(), Failure> {
    files::write_all(folder, &make(artefacts, found)?)
}

/// Prints what was found, as JSON or as text.
pub fn print(
    json: bool,
    as_json: impl FnOnce() -> Result<Vec<u8>, ExportError>,
    as_text: impl FnOnce(Style) -> String,
) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let bytes = if json {
        as_json().map_err(unfinished)?
    } else {
        as_text(if colour(out.is_terminal()) { Style::Colour } else { Style::Plain }).into_bytes()
    };
    Ok(unless_gone(out.write_all(&bytes).and_then(|()| out.flush()))?)
}

/// What could not be made.
pub fn unfinished(error: ExportError) -> Failure {
    Failure::Unfinished(error.to_string())
}

/// The exit code of runs that did not all come to their end; `None` where they did.
pub fn cut_short<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Option<u8> {
    if outcomes.clone().any(|outcome| matches!(outcome, Outcome::Interrupted { .. })) {
        Some(exit::INTERRUPTED)
    } else if outcomes.clone().any(|outcome| matches!(outcome, Outcome::Limit { .. })) {
        Some(exit::UNFINISHED)
    } else {
        None
    }
}
