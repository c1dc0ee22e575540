//! `scalesim explain`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use scalesim::experiment::explain::{Explain, Explanation};
use scalesim::results::Outcome;
use scalesim_report::{EXPLANATION_ARTEFACTS, ExportError, Style, explanation_json, render_explanation};

use crate::args::ScenarioArgs;
use crate::progress::Bar;
use crate::run::stop_on_interrupt;
use crate::{Failure, colour, exit, files, load, tell, unless_gone};

#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,

    /// Print the resolved scenario instead: what a run would be told, every default included.
    #[arg(long, conflicts_with_all = ["out", "json", "seed", "replications", "quiet"])]
    pub resolved: bool,

    /// Where to write explanation.json, explain.txt and the plot [default: out/<name of the file>-explain].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print explanation.json to standard output instead of the text; writes files only with --out.
    #[arg(long)]
    pub json: bool,

    /// Another seed than the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Play the scenario so many times, each with its counterfactuals, and give confidence intervals of what these save.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub replications: u32,

    /// No progress, and no word about where files went.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Says why the SLA was broken, and what would have saved it.
pub fn explain(args: &ExplainArgs) -> Result<u8, Failure> {
    let scenario = load(&args.scenario)?;
    if args.resolved {
        let mut out = io::stdout().lock();
        writeln!(out, "# {} with every default filled in.", args.scenario.file.display())?;
        write!(out, "{}", scenario.resolved())?;
        return Ok(exit::OK);
    }
    let folder = folder(args);
    if let Some(folder) = &folder {
        files::prepare(folder)?;
    }
    let stop = stop_on_interrupt(|| {});
    let seed = args.seed.unwrap_or(scenario.plan().seed);
    let explain = Explain::new(&scenario).replications(args.replications).seed(seed).stop_when(&stop);
    let bar = Bar::new(scenario.plan(), explain.runs(), args.quiet);
    let progress = |progress| bar.update(progress);
    let explanation = explain.on_progress(&progress).run();
    bar.finish();
    // The files first: whoever reads the text may go away, as `head` does.
    if let Some(folder) = &folder {
        write_report(&explanation, folder)?;
    }
    unless_gone(print(args, &explanation))?;
    if let Some(folder) = folder.filter(|_| !args.quiet) {
        tell(&format!("\nreport in {}: explain.png, explain.txt, explanation.json", folder.display()));
    }
    Ok(code(&explanation))
}

fn print(args: &ExplainArgs, explanation: &Explanation) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        out.write_all(&explanation_json(explanation).map_err(io::Error::other)?)?;
    } else {
        let style = if colour(io::stdout().is_terminal()) { Style::Colour } else { Style::Plain };
        out.write_all(render_explanation(explanation, style).as_bytes())?;
    }
    out.flush()
}

/// Where the report goes; `None` where it is not asked for.
fn folder(args: &ExplainArgs) -> Option<PathBuf> {
    if args.json || args.out.is_some() {
        return args.out.clone();
    }
    let stem = args.scenario.file.file_stem().filter(|stem| *stem != "-");
    let stem = stem.map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy());
    Some(Path::new("out").join(format!("{stem}-explain")))
}

fn write_report(explanation: &Explanation, folder: &Path) -> Result<(), Failure> {
    let made: Result<Vec<(&str, Vec<u8>)>, ExportError> =
        EXPLANATION_ARTEFACTS.iter().map(|(name, make)| Ok((*name, make(explanation)?))).collect();
    files::write_all(folder, &made.map_err(|error| Failure::Unfinished(error.to_string()))?)
}

fn code(explanation: &Explanation) -> u8 {
    match explanation.outcome {
        Outcome::Interrupted { .. } => exit::INTERRUPTED,
        Outcome::Limit { .. } => exit::UNFINISHED,
        Outcome::Complete if explanation.met() => exit::OK,
        Outcome::Complete => exit::VIOLATED,
    }
}
