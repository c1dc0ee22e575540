//! What became of a cell.

use serde::{Deserialize, Serialize};
use sim_core::stats::{Interval, Tally};

use crate::experiment::LEVEL;
use crate::experiment::figures::{Reading, figures, readings, summary};
use crate::results::{Figure, Outcome, Run, Summary};

/// The name of the figure of all objectives' violation together, in minutes of the run.
pub const VIOLATION: &str = "violation";

/// A cell that was played: all that is kept of it. One line of a file of cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// Its number, from 0.
    pub cell: usize,
    /// Its value of each axis.
    pub values: Vec<String>,
    /// All that is to be set to play it alone, as of `--set`.
    pub set: Vec<String>,
    /// How it ended: the first of its replications that was not played to its end, where there is one.
    pub outcome: Outcome,
    /// In how many replications every objective was kept; `None` without objectives.
    pub kept: Option<u32>,
    /// The order hash of its first replication, as in the results of a run.
    pub order_hash: String,
    /// Its figures over all replications: [`VIOLATION`], then those of a run.
    pub figures: Vec<Figure>,
}

impl CellResult {
    /// A figure by its name; `None` where the cell has nothing of that name to measure.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Whether its SLA held in each of so many replications; `None` without one.
    pub fn holds(&self, replications: u32) -> Option<bool> {
        self.kept.map(|kept| kept == replications)
    }
}

/// A replication of a cell, in brief.
pub(super) struct Played {
    summary: Summary,
    readings: Vec<Reading>,
    kept: bool,
}

impl Played {
    /// What is kept of a run.
    pub(super) fn of(number: u32, run: &Run) -> Played {
        let kept = run.objectives.iter().all(|objective| objective.met);
        Played { summary: summary(number, run), readings: readings(run), kept }
    }
}

/// The result of a cell from all of its replications, in their order.
pub(super) fn result(cell: usize, values: Vec<String>, set: Vec<String>, played: Vec<Played>) -> CellResult {
    let kept = played.iter().filter(|one| one.kept).count() as u32;
    let of_first = played.first().map(|one| one.readings.clone()).unwrap_or_default();
    let mut summaries: Vec<Summary> = played.into_iter().map(|one| one.summary).collect();
    let unfinished = summaries.iter().map(|one| &one.outcome).find(|outcome| **outcome != Outcome::Complete);
    let outcome = unfinished.cloned().unwrap_or(Outcome::Complete);
    let judged = summaries.first().is_some_and(|first| !first.violation_minutes.is_empty());
    let mut all: Vec<Figure> = judged.then(|| violation(&summaries)).into_iter().collect();
    all.extend(figures(&of_first, &mut summaries));
    all.retain(|figure| figure.mean.is_finite()); // no other number comes back out of JSON
    CellResult {
        cell,
        values,
        set,
        outcome,
        kept: judged.then_some(kept),
        order_hash: summaries.first().map(|first| first.order_hash.clone()).unwrap_or_default(),
        figures: all,
    }
}

/// The violation minutes of all objectives together: two that are broken in the same minute count twice.
fn violation(summaries: &[Summary]) -> Figure {
    let tally: Tally = summaries.iter().map(|one| one.violation_minutes.iter().sum::<f64>()).collect();
    Figure {
        name: VIOLATION.to_string(),
        unit: "min".to_string(),
        mean: tally.mean(),
        half_width: Interval::student_t(&tally, LEVEL).map(|interval| interval.half_width),
    }
}
