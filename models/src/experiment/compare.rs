//! Comparing scenarios: the same requests under each, and differences of what is read off them.
//!
//! All variants are played with common random numbers, replication by replication, so that a difference is taken between
//! two runs of the same day. [`Paired`](sim_core::stats::Paired) says how sure it is; nothing here says more than that.

mod difference;
mod verdict;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sim_core::stats::{Interval, Tally};

use super::figures::{Better, Reading, readings};
use super::play::{Replication, Watch, play_all};
use super::{LEVEL, MOST_REPLICATIONS};
use crate::plan::Plan;
use crate::results::{Figure, Outcome, Run};
use crate::scenario::{Change, Scenario, changes};

pub use difference::{Difference, Finding};
pub use verdict::Verdict;

/// The version of the format that `comparison.json` carries.
pub const COMPARISON_SCHEMA: &str = "scalesim.comparison/1";

/// Replications of each variant where nobody asks for another number: with ten, Student's quantile is 2.26 and not 12.7 as
/// with two, and days of a web shop that differ by a scaling policy are usually told apart.
pub const REPLICATIONS: u32 = 10;

/// Variants that may be compared.
pub const MOST_VARIANTS: usize = 64;

/// The figure that says how long the SLA was violated: the minutes of all objectives that variants have in common, added up.
pub const VIOLATION: &str = "SLA violation";

/// A scenario under the name that it goes by in a comparison.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What is played.
    pub scenario: Scenario,
}

/// Scenarios that can be compared; the first is the baseline.
#[derive(Clone, Debug)]
pub struct Comparison {
    variants: Vec<Variant>,
    plans: Vec<Arc<Plan>>,
    seed: u64,
    replications: u32,
}

/// Why scenarios cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// There are too few, or too many.
    #[error("{0} scenarios cannot be compared: it takes 2 to {MOST_VARIANTS}")]
    Count(usize),
    /// They are about different times.
    #[error("`{variant}` {what} {own}, and `{baseline}` {other}: differences of such runs would say nothing")]
    Times {
        /// The baseline.
        baseline: String,
        /// The other one.
        variant: String,
        /// `starts at` or `lasts`.
        what: &'static str,
        /// When or how long.
        own: String,
        /// The same of the baseline.
        other: String,
    },
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// [`COMPARISON_SCHEMA`].
    pub schema: String,
    /// The version of scalesim.
    pub version: String,
    /// The wall clock at the start of each run, with its zone.
    pub start: String,
    /// The length of each run, in seconds.
    pub duration: f64,
    /// The seed that all variants were played with.
    pub seed: u64,
    /// Replications of each variant that were asked for.
    pub asked: u32,
    /// Those that all variants played to their end, which is what all figures rest on.
    pub replications: Vec<u32>,
    /// The confidence that for a figure the intervals of all variants against the baseline hold at once.
    pub level: f64,
    /// The confidence of each interval for that (Bonferroni): 1 - (1 - level) / variants against the baseline.
    pub level_of_each: f64,
    /// The objectives that all variants state alike, which is what their violation is measured by.
    pub objectives: Vec<String>,
    /// The variants, the baseline first.
    pub variants: Vec<VariantResult>,
    /// What is worth knowing of the comparison.
    pub notes: Vec<String>,
}

/// What became of a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantResult {
    /// Its name.
    pub name: String,
    /// What was run: the scenario with every default filled in.
    pub resolved: String,
    /// How each replication that was asked for ended.
    pub outcomes: Vec<Outcome>,
    /// Of the replications that count, those in which every objective of its own was met; `None` without an SLA.
    pub held: Option<u32>,
    /// Its figures, with intervals at the level of the comparison.
    pub figures: Vec<Figure>,
    /// It against the baseline; `None` for the baseline itself.
    pub against: Option<Against>,
}

/// A variant against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// What its scenario changes.
    pub changes: Vec<Change>,
    /// Every replication came out as the baseline's did, event by event.
    pub identical: bool,
    /// Cost against violation, in a word.
    pub verdict: Verdict,
    /// The differences of all figures that both have by name and unit.
    pub differences: Vec<Difference>,
    /// Figures that only one of the two has.
    pub not_shared: Vec<String>,
}

impl Comparison {
    /// Of these variants, with the baseline's seed and [`REPLICATIONS`] replications.
    ///
    /// # Errors
    /// Where they cannot be compared: fewer than two, or runs that start at different times or last differently.
    pub fn new(variants: Vec<Variant>) -> Result<Comparison, CompareError> {
        let (baseline, others) = match variants.split_first() {
            Some((baseline, others)) if (1..MOST_VARIANTS).contains(&others.len()) => (baseline, others),
            _ => return Err(CompareError::Count(variants.len())),
        };
        let plan = baseline.scenario.plan();
        for variant in others {
            let own = variant.scenario.plan();
            let differ = |what, own: String, other: String| CompareError::Times {
                baseline: baseline.name.clone(),
                variant: variant.name.clone(),
                what,
                own,
                other,
            };
            if own.start != plan.start {
                return Err(differ("starts at", own.start.to_string(), plan.start.to_string()));
            }
            if own.duration != plan.duration {
                let seconds = |plan: &Plan| format!("{} s", plan.duration.as_secs_f64());
                return Err(differ("lasts", seconds(own), seconds(plan)));
            }
        }
        let plans = variants.iter().map(|variant| Arc::new(variant.scenario.plan().clone())).collect();
        Ok(Comparison { seed: plan.seed, plans, replications: REPLICATIONS, variants })
    }

    /// Another seed than the baseline's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many replications of each variant to play: at least 2, without which there are no intervals.
    pub fn replications(mut self, replications: u32) -> Self {
        self.replications = replications.clamp(2, MOST_REPLICATIONS);
        self
    }

    /// The variants, the baseline first.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// How many runs it takes.
    pub fn runs(&self) -> usize {
        self.variants.len() * self.replications as usize
    }

    /// What each variant changes of the baseline's scenario; nothing for the baseline.
    pub fn changes(&self) -> Vec<Vec<Change>> {
        let baseline = &self.variants[0].scenario;
        self.variants.iter().map(|variant| changes(baseline, &variant.scenario)).collect()
    }

    /// Plays all replications of all variants over all cores, and compares them.
    pub fn run(&self, watch: Watch<'_>) -> Compared {
        // By replication first: where somebody stops it, whole replications are there to compare.
        let numbers = 0..self.replications;
        let all: Vec<Replication> = numbers
            .flat_map(|number| {
                self.plans.iter().map(move |plan| Replication { plan: plan.clone(), seed: self.seed, number })
            })
            .collect();
        let played = play_all(&all, watch, |_, run| Played::of(&run));
        let mut columns: Vec<Vec<Played>> = self.plans.iter().map(|_| Vec::new()).collect();
        for (index, played) in played.into_iter().enumerate() {
            columns[index % self.plans.len()].push(played);
        }
        self.compare(&columns)
    }

    fn compare(&self, columns: &[Vec<Played>]) -> Compared {
        let whole =
            |number: &u32| columns.iter().all(|runs| runs[*number as usize].outcome == Outcome::Complete);
        let replications: Vec<u32> = (0..self.replications).filter(whole).collect();
        let objectives = shared_objectives(columns);
        let level_of_each = 1.0 - (1.0 - LEVEL) / (columns.len() - 1) as f64;
        let tables: Vec<Table> =
            columns.iter().map(|runs| Table::of(runs, &replications, &objectives)).collect();
        let changes = self.changes();
        let variants = self.variants.iter().zip(columns).zip(changes).enumerate();
        let variants = variants.map(|(index, ((variant, runs), changes))| VariantResult {
            name: variant.name.clone(),
            resolved: variant.scenario.resolved().to_string(),
            outcomes: runs.iter().map(|run| run.outcome.clone()).collect(),
            held: held(runs, &replications),
            figures: tables[index].figures(),
            against: (index > 0).then(|| {
                let identical = !replications.is_empty()
                    && replications.iter().all(|&number| {
                        let (own, other) = (&runs[number as usize], &columns[0][number as usize]);
                        own.order_hash == other.order_hash && own.readings == other.readings
                    });
                against(&tables[0], &tables[index], changes, identical, level_of_each)
            }),
        });
        let plan = &self.plans[0];
        Compared {
            schema: COMPARISON_SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            start: plan.start.to_string(),
            duration: plan.duration.as_secs_f64(),
            seed: self.seed,
            asked: self.replications,
            level: LEVEL,
            level_of_each,
            variants: variants.collect(),
            notes: self.notes(columns, &objectives),
            objectives: objectives.into_iter().map(|objective| objective.name).collect(),
            replications,
        }
    }

    fn notes(&self, columns: &[Vec<Played>], shared: &[Objective]) -> Vec<String> {
        let mut notes = Vec::new();
        for (variant, runs) in self.variants.iter().zip(columns) {
            let own = runs.first().map_or(&[][..], |run| &run.objectives);
            let alone: Vec<&str> =
                own.iter().filter(|own| !shared.contains(own)).map(|own| own.name.as_str()).collect();
            if !alone.is_empty() {
                let (name, alone) = (&variant.name, alone.join(", "));
                notes.push(format!(
                    "not every variant states this objective of {name} alike, so its violation is not compared: {alone}"
                ));
            }
            let seed = variant.scenario.plan().seed;
            if seed != self.plans[0].seed {
                let name = &variant.name;
                notes.push(format!("{name} states seed {seed}; all variants were played with {}", self.seed));
            }
        }
        notes
    }
}

/// An objective, as variants must agree on it for its minutes to mean the same.
#[derive(Clone, Debug, PartialEq)]
struct Objective {
    name: String,
    stated: String,
    window: f64,
}

/// What is kept of a run.
struct Played {
    outcome: Outcome,
    order_hash: String,
    objectives: Vec<Objective>,
    met: bool,
    readings: Vec<Reading>,
}

impl Played {
    fn of(run: &Run) -> Played {
        let objective = |of: &crate::results::ObjectiveResult| Objective {
            name: of.name.clone(),
            stated: of.objective.clone(),
            window: of.window,
        };
        Played {
            outcome: run.outcome.clone(),
            order_hash: run.order_hash.clone(),
            objectives: run.objectives.iter().map(objective).collect(),
            met: run.objectives.iter().all(|objective| objective.met),
            readings: readings(run),
        }
    }
}

/// The objectives that all variants state alike, in the baseline's order.
fn shared_objectives(columns: &[Vec<Played>]) -> Vec<Objective> {
    let mut own = columns.iter().map(|runs| runs.first().map_or(&[][..], |run| &run.objectives));
    let mut shared = own.next().unwrap_or_default().to_vec();
    own.for_each(|own| shared.retain(|objective| own.contains(objective)));
    shared
}

/// In how many replications a variant's own SLA was kept.
fn held(runs: &[Played], replications: &[u32]) -> Option<u32> {
    let kept = replications.iter().map(|&number| &runs[number as usize]).filter(|run| run.met).count();
    runs.first().is_some_and(|run| !run.objectives.is_empty()).then_some(kept as u32)
}

/// The figures of a variant: what each is, and its value in each replication that counts.
struct Table {
    rows: Vec<(Reading, Vec<Option<f64>>)>,
    /// Figures that would be of the same name, and of something else: violations of objectives that are not stated alike.
    alone: Vec<String>,
}

impl Table {
    fn of(runs: &[Played], replications: &[u32], shared: &[Objective]) -> Table {
        let Some(first) = runs.first() else { return Table { rows: Vec::new(), alone: Vec::new() } };
        let counting = || replications.iter().map(|&number| &runs[number as usize]);
        let mut rows = Vec::new();
        let violations: Vec<usize> = shared
            .iter()
            .filter_map(|objective| {
                let name = format!("violation of {}", objective.name);
                first.readings.iter().position(|reading| reading.name == name)
            })
            .collect();
        if !violations.is_empty() {
            let sum = |run: &Played| violations.iter().map(|&index| run.readings[index].value).sum();
            let (name, unit) = (VIOLATION.to_string(), "min".to_string());
            let reading = Reading { name, unit, better: Better::Lower, quantile: false, value: None };
            rows.push((reading, counting().map(sum).collect()));
        }
        for (index, reading) in first.readings.iter().enumerate() {
            let value = |run: &Played| run.readings.get(index).and_then(|reading| reading.value);
            rows.push((reading.clone(), counting().map(value).collect()));
        }
        let alone = first.objectives.iter().filter(|objective| !shared.contains(objective));
        Table { rows, alone: alone.map(|objective| format!("violation of {}", objective.name)).collect() }
    }

    fn find(&self, reading: &Reading) -> Option<&[Option<f64>]> {
        let alike = |own: &Reading| own.name == reading.name && own.unit == reading.unit;
        let found = self.rows.iter().find(|(own, _)| alike(own) && !self.alone.contains(&own.name));
        found.map(|(_, values)| values.as_slice())
    }

    fn figures(&self) -> Vec<Figure> {
        let tallies = self.rows.iter().map(|(reading, values)| {
            let tally: Tally = values.iter().copied().flatten().collect();
            (reading, tally)
        });
        tallies
            .filter(|(_, tally)| tally.count() > 0)
            .map(|(reading, tally)| Figure {
                name: reading.name.clone(),
                unit: reading.unit.clone(),
                mean: tally.mean(),
                half_width: Interval::student_t(&tally, LEVEL).map(|interval| interval.half_width),
            })
            .collect()
    }
}

fn against(baseline: &Table, own: &Table, changes: Vec<Change>, identical: bool, level: f64) -> Against {
    let mut not_shared = Vec::new();
    let mut differences = Vec::new();
    for (reading, values) in &own.rows {
        match baseline.find(reading) {
            Some(other) => differences.extend(Difference::of(reading, other, values, level)),
            None => not_shared.push(reading.name.clone()),
        }
    }
    let missing = baseline.rows.iter().filter(|(reading, _)| own.find(reading).is_none());
    not_shared.extend(missing.map(|(reading, _)| reading.name.clone()));
    Against { changes, identical, verdict: Verdict::of(&differences, identical), differences, not_shared }
}
