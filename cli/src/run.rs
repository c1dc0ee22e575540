//! `scalesim run`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scalesim::Experiment;
use scalesim::experiment::Round;
use scalesim::results::{Outcome, Results};
use scalesim_report::{ARTEFACTS, Style, json, render_text};

use crate::args::RunArgs;
use crate::progress::Bar;
use crate::{Failure, colour, exit, files, load, tell, unless_gone};

/// Plays a scenario, writes the report, and says whether the SLA holds.
pub fn run(args: &RunArgs) -> Result<u8, Failure> {
    if args.precision.is_some() && args.replications == Some(1) {
        let why =
            "one replication has no interval; give `--precision` 2 or more `--replications`, or no number";
        return Err(Failure::Usage(why.to_string()));
    }
    let scenario = load(&args.scenario)?;
    let folder = folder(args);
    if let Some(folder) = &folder {
        files::prepare(folder)?;
    }
    let stop = stop_on_interrupt(|| {});
    let bar = Bar::new(scenario.plan(), 1, args.quiet);
    let progress = |progress| bar.update(progress);
    let round = |round: Round| bar.grow(round.replications as usize, round.widest.as_ref());
    let mut experiment = Experiment::new(&scenario).stop_when(&stop).on_progress(&progress).on_round(&round);
    if let Some(replications) = args.replications {
        experiment = experiment.replications(replications);
    }
    if let Some(precision) = args.precision {
        experiment = experiment.precision(precision);
    }
    if let Some(seed) = args.seed {
        experiment = experiment.seed(seed);
    }
    let results = experiment.run();
    bar.finish();
    // The files first: whoever reads the summary may go away, as `head` does.
    if let Some(folder) = &folder {
        write_report(&results, folder)?;
    }
    unless_gone(print(args, &results))?;
    if let Some(folder) = folder.filter(|_| !args.quiet) {
        tell(&format!(
            "\nreport in {}: overview.png, results.json, series.csv and {} more",
            folder.display(),
            ARTEFACTS.len() - 3
        ));
    }
    Ok(code(&results))
}

/// The summary, or all of it as JSON.
fn print(args: &RunArgs, results: &Results) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        out.write_all(&json(results).map_err(io::Error::other)?)?;
    } else {
        let style = if colour(io::stdout().is_terminal()) { Style::Colour } else { Style::Plain };
        out.write_all(render_text(results, style).as_bytes())?;
    }
    out.flush()
}

/// Where the report goes; `None` where it is not asked for.
fn folder(args: &RunArgs) -> Option<PathBuf> {
    if args.json || args.out.is_some() {
        return args.out.clone();
    }
    let stem = args.scenario.file.file_stem().filter(|stem| *stem != "-");
    Some(Path::new("out").join(stem.unwrap_or("scenario".as_ref())))
}

fn write_report(results: &Results, folder: &Path) -> Result<(), Failure> {
    let made: Result<Vec<(&str, Vec<u8>)>, _> =
        ARTEFACTS.iter().map(|(name, make)| Ok((*name, make(results)?))).collect();
    let made = made.map_err(|error: scalesim_report::ExportError| Failure::Unfinished(error.to_string()))?;
    files::write_all(folder, &made)
}

/// The first interrupt ends the run and writes what there is; the second ends the program, and before that what it started.
pub fn stop_on_interrupt(before_exit: fn()) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let handler = move || {
        if seen.swap(true, Ordering::Relaxed) {
            before_exit();
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tell(&format!("warning: an interrupt will lose the run: {error}"));
    }
    stop
}

fn code(results: &Results) -> u8 {
    let outcomes = || results.replications.iter().map(|replication| &replication.outcome);
    let too_wide = results.precision.as_ref().is_some_and(|precision| !precision.reached);
    if outcomes().any(|outcome| matches!(outcome, Outcome::Interrupted { .. })) {
        exit::INTERRUPTED
    } else if too_wide || outcomes().any(|outcome| matches!(outcome, Outcome::Limit { .. })) {
        exit::UNFINISHED
    } else if results.met() {
        exit::OK
    } else {
        exit::VIOLATED
    }
}
