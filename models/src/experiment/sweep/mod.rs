//! Sweeps: a scenario under many settings.
//!
//! [`axis`] says which values a path takes, [`design`] which of their combinations are cells, [`shard`] which cells are
//! played here. [`Sweep`] plays them, and [`merge`](fn@merge) makes one table of what was played anywhere. Every cell is
//! played from the same seeds, so that cells differ by their settings alone, and each can be played by itself: a
//! [`CellResult`] says what to set.

pub mod axis;
pub mod cell;
pub mod design;
pub mod header;
mod merge;
mod range;
pub mod shard;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::play::{Replication, Watch};
use crate::results::Outcome;
use crate::scenario::{Diagnostics, Draft, Scenario};
use cell::{Played, result};
use header::Hash;

pub use axis::{Axis, AxisError, Values};
pub use cell::{CellResult, VIOLATION};
pub use design::{Cell, Design};
pub use header::{Difference, Header};
pub use merge::{MergeError, Part, SweepCell, SweepResults, merge};
pub use range::Range;
pub use shard::{Shard, ShardError};

/// Cells whose plans are in memory at once.
const CELLS_AT_ONCE: usize = 256;

/// Kinds of bad cells that are told apart.
const MOST_BAD: usize = 8;

/// A scenario and the settings that it is played under.
///
/// ```
/// use scalesim::experiment::sweep::{Design, Shard, Sweep, merge};
/// use scalesim::{Draft, NoFiles, Watch};
/// # let text = r#"
/// #     [scenario]
/// #     duration = "1min"
/// #     [traffic.web]
/// #     to = "front"
/// #     profile = { constant = "50/s" }
/// #     [service.api]
/// #     runtime = "thread-per-request"
/// #     [service.api.endpoint."GET /"]
/// #     steps = [{ cpu = "10ms" }]
/// #     [group.web]
/// #     service = "api"
/// #     machine = "c6i.large"
/// #     min = 1
/// #     [balancer.front]
/// #     targets = "web"
/// # "#;
/// let draft = Draft::new("shop.toml", text, &NoFiles);
/// let sweep = Sweep::new(&draft, &["group.web.min=1..3".parse()?], Design::Grid, 1)?;
/// let results = sweep.run(Shard::ALL, Watch::default())?;
/// assert_eq!(results.cells.len(), 3);
/// assert!(results.cells[2].result.figure("web: CPU").is_some_and(|cpu| cpu.mean < 20.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sweep<'a> {
    draft: Draft<'a>,
    axes: Vec<Axis>,
    cells: Vec<Cell>,
    header: Header,
}

/// Why a sweep cannot be played.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SweepError {
    /// There are no such cells.
    #[error("{0}")]
    Design(String),
    /// The scenario is wrong without any axis.
    #[error("the scenario is wrong: {0}")]
    Scenario(Diagnostics),
    /// Cells are wrong.
    #[error("{} of {cells} cells are wrong", .kinds.iter().map(|kind| kind.cells.len()).sum::<usize>() + .others)]
    Cells {
        /// How many cells there are.
        cells: usize,
        /// What is wrong with them, each once.
        kinds: Vec<BadCells>,
        /// Bad cells beyond those kinds.
        others: usize,
    },
}

/// Cells in which the same is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct BadCells {
    /// Their numbers.
    pub cells: Vec<usize>,
    /// What the first of them sets, as of `--set`.
    pub set: Vec<String>,
    /// What is wrong with it.
    pub diagnostics: Diagnostics,
}

impl BadCells {
    /// Their numbers as a list that is not too long: `0, 4-7, 9`.
    pub fn which(&self) -> String {
        merge::stretches(&self.cells)
    }
}

impl<'a> Sweep<'a> {
    /// The cells of `design` over `axes`, each to be played `replications` times. Reads all of them: what is wrong with any
    /// is known before the first is played.
    ///
    /// # Errors
    /// Where there are no such cells, or some cannot be read.
    pub fn new(
        draft: &Draft<'a>,
        axes: &[Axis],
        design: Design,
        replications: u32,
    ) -> Result<Sweep<'a>, SweepError> {
        let base = draft.read().map_err(SweepError::Scenario)?;
        let seed = base.plan().seed;
        let header = Header {
            schema: header::SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            scenario: base.plan().name.clone(),
            set: set(draft),
            axes: axes.iter().map(Axis::to_string).collect(),
            design,
            seed,
            replications: replications.max(1),
            cells: 0,
            plans: String::new(),
            shard: None,
        };
        let cells = design::cells(axes, design, seed).map_err(SweepError::Design)?;
        let mut sweep = Sweep { draft: draft.clone(), axes: axes.to_vec(), cells, header };
        sweep.header.cells = sweep.cells.len();
        sweep.header.plans = sweep.check()?;
        Ok(sweep)
    }

    /// Which sweep it is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its cells, in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The scenario of a cell, not yet read.
    pub fn draft(&self, cell: &Cell) -> Draft<'a> {
        let settings = self.axes.iter().zip(&cell.values).flat_map(|(axis, value)| axis.settings(value));
        settings.fold(self.draft.clone(), |draft, (path, value)| draft.with(path, value))
    }

    /// Plays the cells of a shard, and makes a table of them.
    ///
    /// # Errors
    /// Where the watch ended it before its time, or the shard is not all of the sweep.
    pub fn run(&self, shard: Shard, watch: Watch<'_>) -> Result<SweepResults, MergeError> {
        let wanted: Vec<usize> = (0..self.cells.len()).filter(|&cell| shard.holds(cell)).collect();
        let played = Mutex::new(Vec::new());
        self.play(&wanted, watch, &|result| {
            played.lock().unwrap_or_else(PoisonError::into_inner).push(result)
        });
        let cells = played.into_inner().unwrap_or_else(PoisonError::into_inner);
        merge(vec![Part { name: shard.to_string(), header: self.header.of_shard(shard), cells }])
    }

    /// Plays these cells, and hands each over as soon as it is done, from the thread that was last at it: in no particular
    /// order. A cell that the watch interrupts is not handed over. Replication *r* of the *i*-th of them reports as number
    /// *i* × replications + *r*.
    pub fn play(&self, wanted: &[usize], watch: Watch<'_>, done: &(dyn Fn(CellResult) + Sync)) {
        let replications = self.header.replications as usize;
        let known: Vec<&Cell> = wanted.iter().filter_map(|&cell| self.cells.get(cell)).collect();
        let stopped = || watch.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        for (chunk, cells) in known.chunks(CELLS_AT_ONCE).enumerate() {
            if stopped() {
                return;
            }
            let running: Vec<Running> = cells.par_iter().filter_map(|cell| self.start(cell)).collect();
            let first = chunk * CELLS_AT_ONCE * replications;
            // Not by `play_all`: a cell is to be kept when it is done, not when all are.
            (0..running.len() * replications).into_par_iter().with_max_len(1).for_each(|index| {
                if stopped() {
                    return;
                }
                let (cell, number) = (&running[index / replications], index % replications);
                if let Some(result) = cell.play(number as u32, first + index, watch) {
                    done(result);
                }
            });
        }
    }

    /// A cell, ready to play. It was read before, so nothing is wrong with it unless a file has changed since; such a cell
    /// stays missing.
    fn start<'c>(&self, cell: &'c Cell) -> Option<Running<'c>> {
        let draft = self.draft(cell);
        let scenario = draft.read().ok()?;
        let replications = self.header.replications as usize;
        let played = Mutex::new((0..replications).map(|_| None).collect());
        Some(Running { cell, set: set(&draft), plan: Arc::new(scenario.plan().clone()), played })
    }

    /// Reads all cells, and gives the hash of what they play.
    fn check(&self) -> Result<String, SweepError> {
        let read = |cell: &Cell| self.draft(cell).read().map(|scenario: Scenario| Hash::of(scenario.plan()));
        let hashes: Vec<Result<u64, Diagnostics>> = self.cells.par_iter().map(read).collect();
        let mut hash = Hash::new();
        let (mut kinds, mut others): (Vec<BadCells>, usize) = (Vec::new(), 0);
        for (cell, read) in self.cells.iter().zip(hashes) {
            let diagnostics = match read {
                Ok(own) => {
                    hash.add(own);
                    continue;
                }
                Err(diagnostics) => diagnostics,
            };
            if let Some(kind) = kinds.iter_mut().find(|kind| alike(&kind.diagnostics, &diagnostics)) {
                kind.cells.push(cell.index);
            } else if kinds.len() < MOST_BAD {
                kinds.push(BadCells { cells: vec![cell.index], set: set(&self.draft(cell)), diagnostics });
            } else {
                others += 1;
            }
        }
        if kinds.is_empty() {
            return Ok(hash.digits());
        }
        Err(SweepError::Cells { cells: self.cells.len(), kinds, others })
    }
}

/// Whether the same is wrong, wherever it was set.
fn alike(one: &Diagnostics, other: &Diagnostics) -> bool {
    let messages = |of: &Diagnostics| of.list.iter().map(|found| found.message.clone()).collect::<Vec<_>>();
    messages(one) == messages(other)
}

/// What is set on top of a scenario, as of `--set`.
fn set(draft: &Draft<'_>) -> Vec<String> {
    draft.overrides().iter().map(|(path, value)| format!("{path}={value}")).collect()
}

/// A cell that is being played.
struct Running<'c> {
    cell: &'c Cell,
    set: Vec<String>,
    plan: Arc<crate::plan::Plan>,
    /// By number of the replication.
    played: Mutex<Vec<Option<Played>>>,
}

impl Running<'_> {
    /// Plays a replication; gives the cell's result where that was the last that was missing.
    fn play(&self, number: u32, place: usize, watch: Watch<'_>) -> Option<CellResult> {
        let replication = Replication { plan: self.plan.clone(), seed: self.plan.seed, number };
        let run = replication.play(place, watch);
        if matches!(run.outcome, Outcome::Interrupted { .. }) {
            return None;
        }
        let own = Played::of(number, &run);
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        *played.get_mut(number as usize)? = Some(own);
        if played.iter().any(Option::is_none) {
            return None;
        }
        let played: Vec<Played> = std::mem::take(&mut *played).into_iter().flatten().collect();
        Some(result(self.cell.index, self.cell.values.clone(), self.set.clone(), played))
    }
}
