//! The scalesim command: simulate a web system from one TOML file.
//!
//! This crate is glue: arguments, files, progress and exit codes. What is simulated is the `scalesim` library's business,
//! how it is shown that of `scalesim-report`.

mod args;
mod check;
mod compare;
mod estimate;
mod explain;
mod files;
mod http;
mod merge;
mod new;
mod output;
mod progress;
mod recommend;
mod run;
mod serve;
mod sweep;
mod validate;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use scalesim::{Diagnostics, Draft, Scenario};

use args::{Args, Command, ScenarioArgs};

/// Exit codes. They are part of the interface.
mod exit {
    /// Everything is well; where there is an SLA, it holds.
    pub const OK: u8 = 0;
    /// The SLA is violated.
    pub const VIOLATED: u8 = 1;
    /// The scenario or the command line is wrong.
    pub const USAGE: u8 = 2;
    /// A limit was reached, a precision was not, or the run could not finish or be written.
    pub const UNFINISHED: u8 = 3;
    /// Interrupted; what was simulated so far was written.
    pub const INTERRUPTED: u8 = 130;
}

/// What ends the program early.
enum Failure {
    /// The scenario is wrong.
    Scenario(Box<Diagnostics>),
    /// The command line or a file it names is wrong.
    Usage(String),
    /// Something that was asked for could not be done.
    Unfinished(String),
    /// Interrupted; what is said tells what was kept.
    Interrupted(String),
    /// The reader of our output went away, as `head` does.
    BrokenPipe,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::BrokenPipe
        } else {
            Failure::Unfinished(error.to_string())
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Estimate(args) => estimate::run(args),
        Command::Sweep(args) => sweep::sweep(args),
        Command::Merge(args) => merge::merge(args),
        Command::Recommend(args) => recommend::run(args),
        Command::Explain(args) => explain::explain(args),
        Command::New(args) => new::new(args),
        Command::Compare(args) => compare::compare(args),
        Command::Validate(args) => validate::validate(args),
        Command::Serve(args) => serve::serve(args),
        Command::ServeWorker(args) => serve::worker(args),
        Command::ValidateJob(args) => validate::job::process(args),
    };
    let code = match done {
        Ok(code) => code,
        Err(Failure::BrokenPipe) => exit::OK,
        Err(Failure::Scenario(diagnostics)) => {
            tell(diagnostics.render(colour(io::IsTerminal::is_terminal(&io::stderr()))).trim_end());
            exit::USAGE
        }
        Err(Failure::Usage(why)) => {
            tell(&format!("error: {why}"));
            exit::USAGE
        }
        Err(Failure::Unfinished(why)) => {
            tell(&format!("error: {why}"));
            exit::UNFINISHED
        }
        Err(Failure::Interrupted(what)) => {
            tell(&format!("interrupted: {what}"));
            exit::INTERRUPTED
        }
    };
    ExitCode::from(code)
}

/// A line on standard error. Where nobody reads it, the exit code has to do.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The result of printing what the work came to: that the reader went away, as `head` does, is no failure by then.
fn unless_gone(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Colour only on a terminal that knows it, and not where `NO_COLOR` asks for none.
fn colour(terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// The scenario that the command line names, with what is set on it.
fn draft<'a>(args: &ScenarioArgs, files: &'a files::Beside) -> Result<Draft<'a>, Failure> {
    let (name, text) = files::scenario_text(&args.file)?;
    let overrides = args.overrides().map_err(Failure::Usage)?;
    let draft = Draft::new(name, text, files);
    Ok(overrides.into_iter().fold(draft, |draft, (path, value)| draft.with(path, value)))
}

/// Reads it.
fn load(args: &ScenarioArgs) -> Result<Scenario, Failure> {
    let files = files::Beside::new(&args.file);
    draft(args, &files)?.read().map_err(|diagnostics| Failure::Scenario(Box::new(diagnostics)))
}
