//! `scalesim run`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scalesim::Experiment;
use scalesim::experiment::Round;
use scalesim::results::Results;
use scalesim_report::{ARTEFACTS, json, render_text};

use crate::args::RunArgs;
use crate::progress::Bar;
use crate::{Failure, exit, files, load, output, tell};

/// Plays a scenario, writes the report, and says whether the SLA holds.
pub fn run(args: &RunArgs) -> Result<u8, Failure> {
    if args.precision.is_some() && args.replications == Some(1) {
        let why =
            "one replication has no interval; give `--precision` 2 or more `--replications`, or no number";
        return Err(Failure::Usage(why.to_string()));
    }
    let scenario = load(&args.scenario)?;
    let folder = output::folder(args.out.as_ref(), args.json, &args.scenario.file, "");
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
    if let Some(folder) = &folder {
        output::write(folder, &ARTEFACTS, &results)?;
    }
    output::print(args.json, || json(&results), |style| render_text(&results, style))?;
    if let Some(folder) = folder.filter(|_| !args.quiet) {
        tell(&format!(
            "\nreport in {}: overview.png, results.json, series.csv and {} more",
            folder.display(),
            ARTEFACTS.len() - 3
        ));
    }
    Ok(code(&results))
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
    let too_wide = results.precision.as_ref().is_some_and(|precision| !precision.reached);
    match output::cut_short(results.replications.iter().map(|replication| &replication.outcome)) {
        Some(code) => code,
        None if too_wide => exit::UNFINISHED,
        None if results.met() => exit::OK,
        None => exit::VIOLATED,
    }
}
