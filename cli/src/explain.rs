//! `scalesim explain`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args as ClapArgs;
use scalesim::experiment::explain::{Explain, Explanation};
use scalesim_report::{EXPLANATION_ARTEFACTS, json, render_explanation};

use crate::args::ScenarioArgs;
use crate::progress::Bar;
use crate::run::stop_on_interrupt;
use crate::{Failure, exit, files, load, output, tell};

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
    let folder = output::folder(args.out.as_ref(), args.json, &args.scenario.file, "-explain");
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
    if let Some(folder) = &folder {
        output::write(folder, &EXPLANATION_ARTEFACTS, &explanation)?;
    }
    output::print(args.json, || json(&explanation), |style| render_explanation(&explanation, style))?;
    if let Some(folder) = folder.filter(|_| !args.quiet) {
        tell(&format!("\nreport in {}: explain.png, explain.txt, explanation.json", folder.display()));
    }
    Ok(code(&explanation))
}

fn code(explanation: &Explanation) -> u8 {
    let met = if explanation.met() { exit::OK } else { exit::VIOLATED };
    output::cut_short(std::iter::once(&explanation.outcome)).unwrap_or(met)
}
