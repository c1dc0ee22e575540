//! `scalesim compare`: scenarios under the same requests.

mod variants;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args as ClapArgs;
use scalesim::Watch;
use scalesim::experiment::compare::{Compared, Comparison, REPLICATIONS};
use scalesim_report::{COMPARISON_ARTEFACTS, changes_text, comparison_text, json};

use crate::progress::Bar;
use crate::run::stop_on_interrupt;
use crate::{Failure, exit, files, output, tell, unless_gone};

/// What follows the options in the help.
pub const AFTER_HELP: &str = "\
Examples:
  scalesim compare shop.toml shop-larger.toml
  scalesim compare shop.toml --set group.web.max=12
  scalesim compare shop.toml --variant group.web.max=12 --variant \"larger: group.web.max=16; group.web.min=4\"
  scalesim compare shop.toml --set scenario.duration=2h --variant group.web.max=12

Exit codes: 0 the comparison was made, whichever variants hold the SLA; 2 a scenario or the command line is wrong, or runs
differ in when they start or how long they last; 3 a limit was reached or the comparison could not finish or be written;
130 interrupted (the replications that all variants had finished are compared).";

/// The arguments of `compare`.
#[derive(Debug, ClapArgs)]
pub struct CompareArgs {
    /// The scenarios; the first is the baseline, with which all others are compared.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,

    /// Compare the first scenario with these changes too: `PATH=VALUE`, several with `;` between them, and before them a
    /// name and a colon if it is to have one; may be repeated.
    ///
    /// `--variant "larger: group.web.max=16; group.web.min=4"`
    #[arg(long, value_name = "[NAME:] PATH=VALUE; …")]
    pub variant: Vec<String>,

    /// Change a value in all that is compared; may be repeated. With a single scenario and no --variant, what is changed
    /// so is the variant.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,

    /// Play each variant so many times.
    #[arg(long, value_name = "N", default_value_t = REPLICATIONS, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub replications: u32,

    /// Another seed than the baseline's; all variants are played with the same.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Where to write comparison.json, comparison.csv and plots [default: out/<name of the first file>-compare].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print comparison.json to standard output instead of the summary; writes files only with --out.
    #[arg(long)]
    pub json: bool,

    /// No progress, and no word about where files went.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Plays all variants, writes the comparison, and tells of it.
pub fn compare(args: &CompareArgs) -> Result<u8, Failure> {
    let variants = variants::read(args)?;
    let mut comparison = Comparison::new(variants).map_err(|error| Failure::Usage(error.to_string()))?;
    comparison = comparison.replications(args.replications);
    if let Some(seed) = args.seed {
        comparison = comparison.seed(seed);
    }
    let folder = output::folder(args.out.as_ref(), args.json, &args.files[0], "-compare");
    if let Some(folder) = &folder {
        files::prepare(folder)?;
    }
    if !args.json {
        unless_gone(print_changes(&comparison))?;
    }
    let compared = play(&comparison, args.quiet);
    if let Some(folder) = &folder {
        output::write(folder, &COMPARISON_ARTEFACTS, &compared)?;
    }
    output::print(args.json, || json(&compared), |style| comparison_text(&compared, style))?;
    if let Some(folder) = folder.filter(|_| !args.quiet) {
        let names: Vec<&str> = COMPARISON_ARTEFACTS.iter().map(|(name, _)| *name).collect();
        tell(&format!("\ncomparison in {}: {}", folder.display(), names.join(", ")));
    }
    let outcomes = compared.variants.iter().flat_map(|variant| &variant.outcomes);
    Ok(output::cut_short(outcomes).unwrap_or(exit::OK))
}

fn play(comparison: &Comparison, quiet: bool) -> Compared {
    let stop = stop_on_interrupt(|| {});
    let bar = Bar::new(comparison.variants()[0].scenario.plan(), comparison.runs(), quiet);
    let progress = |progress| bar.update(progress);
    let compared = comparison.run(Watch { stop: Some(&stop), progress: Some(&progress) });
    bar.finish();
    compared
}

/// What each variant changes, before it is played: a slip of the pen shows at once.
fn print_changes(comparison: &Comparison) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let variants = comparison.variants();
    for (variant, changes) in variants.iter().zip(comparison.changes()).skip(1) {
        writeln!(out, "{}", changes_text(&variants[0].name, &variant.name, &changes))?;
    }
    out.flush()
}
