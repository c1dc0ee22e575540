//! `scalesim new`: a commented scenario to start from.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::args::NewArgs;
use crate::{Failure, exit, tell};

/// The scenario that `new` writes.
const STARTER: &str = include_str!("starter.toml");

/// Writes it.
pub fn new(args: &NewArgs) -> Result<u8, Failure> {
    if args.file == Path::new("-") {
        io::stdout().lock().write_all(STARTER.as_bytes())?;
        return Ok(exit::OK);
    }
    let name = args.file.display();
    let mut options = OpenOptions::new();
    options.write(true).truncate(true).create(true).create_new(!args.force);
    let mut file = options.open(&args.file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::Usage(format!("{name} exists (hint: --force overwrites it)"))
        }
        _ => Failure::Usage(format!("cannot write {name}: {error}")),
    })?;
    file.write_all(STARTER.as_bytes())?;
    tell(&format!("wrote {name}; next: `scalesim check {name}`, then `scalesim run {name}`"));
    Ok(exit::OK)
}
