//! `scalesim sweep`

mod store;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use clap::Args as ClapArgs;
use scalesim::experiment::sweep::{
    Axis, CellResult, Design, MergeError, Part, Shard, Sweep, SweepError, SweepResults, merge,
};
use scalesim::{Draft, Watch};
use scalesim_report::{CELLS, MOST_PLOTTED, PLOTTED, json, render_sweep, sweep_files};

use crate::args::ScenarioArgs;
use crate::progress::Bar;
use crate::run::stop_on_interrupt;
use crate::{Failure, colour, draft, exit, files, output, tell};
use store::Store;

#[derive(Debug, ClapArgs)]
pub struct SweepArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,

    /// A path of the scenario, or several with commas between, and the values it takes; repeat it for a grid.
    ///
    /// Lists: `group.web.max=4,8,16`, `balancer.front.algorithm=random,round-robin`. Ranges: `group.web.max=4..16`,
    /// `group.web.startup.boot=10s..90s:20s` with a step, `traffic.web.profile.constant=80/s..900/s:lin5` with so many
    /// values, `:log5` with as many by even factors. The first axis goes across heat maps, the second up.
    #[arg(long = "vary", value_name = "PATH=VALUES", required = true)]
    pub vary: Vec<String>,

    /// Not the whole grid, but so many cells, with the values of each axis spread evenly among them. Ranges then need no
    /// step: `group.web.startup.boot=10s..90s`.
    #[arg(long, value_name = "N")]
    pub latin_hypercube: Option<usize>,

    /// Play each cell so many times, with other random numbers each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub replications: u32,

    /// Play a part of the cells, such as 2/8: shard 2 of 8, which count from 1. `auto` asks Slurm, AWS Batch or Kubernetes.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,

    /// How many shards there are, for `--shard auto` where the cluster does not say.
    #[arg(long, value_name = "N", requires = "shard")]
    pub shards: Option<u32>,

    #[command(flatten)]
    pub output: SweepOutput,

    /// Another seed than the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,
}

// What a table of cells is written as. No doc comment: clap would take it for what the commands are about.
#[derive(Debug, ClapArgs)]
pub struct SweepOutput {
    /// Plot this figure by its name in sweep.json, such as `web: CPU`; may be repeated [default: violation, cost and
    /// response time p99].
    #[arg(long = "figure", value_name = "NAME")]
    pub figures: Vec<String>,

    /// Where to write the table and the plots [default: out/<name of the file>-sweep; the first folder of `merge`].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print sweep.json to standard output instead of the table; writes files only with --out.
    #[arg(long)]
    pub json: bool,

    /// No progress, and no word about where files went.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Plays the cells that are not yet played, and writes the table once all are.
pub fn sweep(args: &SweepArgs) -> Result<u8, Failure> {
    let beside = files::Beside::new(&args.scenario.file);
    let mut draft = draft(&args.scenario, &beside)?;
    if let Some(seed) = args.seed {
        draft = draft.with("scenario.seed", seed.to_string());
    }
    let axes: Result<Vec<Axis>, _> = args.vary.iter().map(|text| text.parse()).collect();
    let axes = axes.map_err(|error| Failure::Usage(format!("--vary {error}")))?;
    let design = args.latin_hypercube.map_or(Design::Grid, |cells| Design::LatinHypercube { cells });
    let shard = shard(args)?;
    let folder = output::folder(args.output.out.as_ref(), args.output.json, &args.scenario.file, "-sweep");
    if folder.is_none() && shard.of() > 1 {
        return Err(Failure::Usage("a shard has to be written: add --out DIR".to_string()));
    }
    let sweep = Sweep::new(&draft, &axes, design, args.replications).map_err(wrong)?;
    let store = match &folder {
        Some(folder) => {
            files::prepare(folder)?;
            Store::open(folder.join(file_name(shard)), sweep.header().of_shard(shard))?
        }
        None => Store::in_memory(),
    };
    let cells = play(args, &sweep, shard, &draft, store)?;
    let part = Part { name: shard.to_string(), header: sweep.header().of_shard(shard), cells };
    match (folder, shard.of()) {
        (Some(folder), 2..) => shard_done(args, &part, &folder, shard),
        (folder, _) => report(&merge(vec![part]).map_err(unfit)?, &args.output, folder.as_deref()),
    }
}

fn shard(args: &SweepArgs) -> Result<Shard, Failure> {
    let shard = match args.shard.as_deref() {
        None => return Ok(Shard::ALL),
        Some("auto") => Shard::from_environment(|name| std::env::var(name).ok(), args.shards),
        Some(_) if args.shards.is_some() => {
            return Err(Failure::Usage("--shards is for `--shard auto`; write `--shard 2/8`".to_string()));
        }
        Some(text) => text.parse(),
    };
    shard.map_err(|error| Failure::Usage(error.to_string()))
}

/// What is wrong with the sweep as a message.
fn wrong(error: SweepError) -> Failure {
    match error {
        SweepError::Design(why) => Failure::Usage(why),
        SweepError::Scenario(diagnostics) => Failure::Scenario(Box::new(diagnostics)),
        SweepError::Cells { ref kinds, others, .. } => {
            let colour = colour(io::stderr().is_terminal());
            let mut text = format!("{error}; nothing was played");
            for kind in kinds {
                let rendered = kind.diagnostics.render(colour);
                text +=
                    &format!("\n\ncells {}: {}\n{}", kind.which(), kind.set.join(" "), rendered.trim_end());
            }
            if others > 0 {
                text += &format!("\n\nand {others} more cells in other ways");
            }
            Failure::Usage(text)
        }
    }
}

/// Shards may have a folder in common.
fn file_name(shard: Shard) -> String {
    match shard.of() {
        1 => CELLS.to_string(),
        of => format!("cells-{}-of-{of}.jsonl", shard.number()),
    }
}

/// Plays the shard's cells that are not in the store; gives all of them.
fn play(
    args: &SweepArgs,
    sweep: &Sweep<'_>,
    shard: Shard,
    draft: &Draft<'_>,
    store: Store,
) -> Result<Vec<CellResult>, Failure> {
    let own = || (0..sweep.cells().len()).filter(|&cell| shard.holds(cell));
    let wanted: Vec<usize> = own().filter(|&cell| !store.has(cell)).collect();
    let already = own().count() - wanted.len();
    if already > 0 && !args.output.quiet {
        tell(&format!("{already} of {} cells are there already", own().count()));
    }
    let base = draft.read().map_err(|diagnostics| Failure::Scenario(Box::new(diagnostics)))?;
    let stop = stop_on_interrupt(|| {});
    let bar = Bar::new(base.plan(), wanted.len() * args.replications as usize, args.output.quiet);
    let progress = |progress| bar.update(progress);
    let store = Mutex::new(store);
    let done = |cell: CellResult| {
        let kept = store.lock().unwrap_or_else(PoisonError::into_inner).keep(cell);
        if !kept {
            stop.store(true, Ordering::Relaxed); // what cannot be kept need not be played
        }
    };
    sweep.play(&wanted, Watch { stop: Some(&stop), progress: Some(&progress) }, &done);
    bar.finish();
    let store = store.into_inner().unwrap_or_else(PoisonError::into_inner);
    let path = store.path().map(|path| path.display().to_string());
    let cells = store.into_cells()?;
    if stop.load(Ordering::Relaxed) && cells.len() < own().count() {
        let how = match path {
            Some(path) => format!("they are kept in {path}: run the same command again to go on"),
            None => "with --out DIR they would have been kept".to_string(),
        };
        return Err(Failure::Interrupted(format!(
            "{} of {} cells were played; {how}",
            cells.len(),
            own().count()
        )));
    }
    Ok(cells)
}

/// A shard has no table; its file of cells is what `merge` takes.
fn shard_done(args: &SweepArgs, part: &Part, folder: &Path, shard: Shard) -> Result<u8, Failure> {
    let limited = part.cells.iter().any(|cell| cell.outcome != scalesim::results::Outcome::Complete);
    let all = (0..part.header.cells).filter(|&cell| shard.holds(cell)).count();
    if part.cells.len() < all {
        return Err(Failure::Unfinished(format!(
            "{} of {all} cells could not be read again",
            all - part.cells.len()
        )));
    }
    if !args.output.quiet {
        let (file, folder) = (folder.join(file_name(shard)), folder.display());
        tell(&format!(
            "shard {shard}: {all} cells in {}; once all shards are there: scalesim merge {folder}",
            file.display()
        ));
    }
    Ok(if limited { exit::UNFINISHED } else { exit::OK })
}

/// Why cells make no table, as a message.
pub fn unfit(error: MergeError) -> Failure {
    match error {
        MergeError::Missing { .. } => Failure::Unfinished(error.to_string()),
        _ => Failure::Usage(error.to_string()),
    }
}

/// Writes the files of a table, and prints it.
pub fn report(results: &SweepResults, asked: &SweepOutput, folder: Option<&Path>) -> Result<u8, Failure> {
    let plotted = figures(results, asked)?;
    if let Some(folder) = folder {
        files::write_all(folder, &sweep_files(results, &plotted).map_err(output::unfinished)?)?;
    }
    output::print(asked.json, || json(results), |style| render_sweep(results, style))?;
    if let Some(folder) = folder.filter(|_| !asked.quiet) {
        tell(&format!("\ntable and plots in {}: sweep.csv, sweep.parquet, sweep.json", folder.display()));
    }
    Ok(if results.complete() { exit::OK } else { exit::UNFINISHED })
}

/// The figures that are to be plotted.
fn figures(results: &SweepResults, output: &SweepOutput) -> Result<Vec<String>, Failure> {
    if output.figures.is_empty() {
        return Ok(PLOTTED.map(String::from).to_vec());
    }
    if output.figures.len() > MOST_PLOTTED {
        return Err(Failure::Usage(format!("at most {MOST_PLOTTED} figures can be plotted at once")));
    }
    let known: Vec<&str> = results.figures().into_iter().map(|figure| figure.0).collect();
    match output.figures.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(output.figures.clone()),
        Some(name) => {
            let known = known.join("`, `");
            Err(Failure::Usage(format!("there is no figure `{name}`; there are `{known}`")))
        }
    }
}
