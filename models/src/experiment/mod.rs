//! Running a scenario: one replication or many, over all cores, with progress and a way to stop.
//!
//! [`play`] plays replications, [`mod@figures`] reads them; everything that asks more of a simulation than what happens once
//! rests on these two: [`explain`] asks what would have saved an SLA.

pub mod explain;
pub mod figures;
pub mod play;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::plan::Plan;
use crate::results::{Results, Run, SCHEMA, Summary};
use figures::{figures, readings, summary};
use play::{Replication, play_all};

pub use play::{Progress, Watch};

/// The confidence level of every interval.
pub const LEVEL: f64 = 0.95;

/// Replications that may be asked for.
pub const MOST_REPLICATIONS: u32 = 100_000;

/// What to run and how.
///
/// ```
/// use scalesim::{Experiment, Scenario};
/// let scenario = Scenario::parse(r#"
///     [scenario]
///     duration = "10min"
///     [traffic.web]
///     to = "front"
///     profile = { constant = "50/s" }
///     [service.api]
///     runtime = "thread-per-request"
///     [service.api.endpoint."GET /"]
///     steps = [{ cpu = { exp = { mean = "10ms" } } }]
///     [group.web]
///     service = "api"
///     machine = "c6i.large"
///     min = 1
///     [balancer.front]
///     targets = "web"
/// "#)?;
/// let results = Experiment::new(&scenario).replications(3).run();
/// assert_eq!(results.replications.len(), 3);
/// assert!(results.run.requests.conserved());
/// # Ok::<(), scalesim::Diagnostics>(())
/// ```
pub struct Experiment<'a> {
    plan: Arc<Plan>,
    resolved: Cow<'a, str>,
    seed: u64,
    replications: u32,
    watch: Watch<'a>,
}

impl<'a> Experiment<'a> {
    /// One replication of `scenario`, from its own seed.
    pub fn new(scenario: &'a crate::Scenario) -> Self {
        Experiment {
            plan: Arc::new(scenario.plan().clone()),
            resolved: Cow::Borrowed(scenario.resolved()),
            seed: scenario.plan().seed,
            replications: 1,
            watch: Watch::default(),
        }
    }

    /// One replication of a plan that code has made, or has changed: the door for what no scenario can state, such as a
    /// [policy of one's own](crate::plan::Scaling::Custom). What the results say was run is then `resolved`, in words or as
    /// the scenario that the plan came from.
    pub fn of(plan: Plan, resolved: impl Into<String>) -> Self {
        Experiment {
            seed: plan.seed,
            plan: Arc::new(plan),
            resolved: Cow::Owned(resolved.into()),
            replications: 1,
            watch: Watch::default(),
        }
    }

    /// Another seed than the scenario's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many replications to run: at least 1, at most [`MOST_REPLICATIONS`].
    pub fn replications(mut self, replications: u32) -> Self {
        self.replications = replications.clamp(1, MOST_REPLICATIONS);
        self
    }

    /// Stops at the next opportunity once `stop` is true; what was played by then is reported as interrupted.
    pub fn stop_when(mut self, stop: &'a AtomicBool) -> Self {
        self.watch.stop = Some(stop);
        self
    }

    /// Calls `progress` about every million events, from the thread that runs the replication.
    pub fn on_progress(mut self, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        self.watch.progress = Some(progress);
        self
    }

    /// Plays all replications, on as many threads as `rayon`'s pool has.
    pub fn run(&self) -> Results {
        let replication = |number| Replication { plan: self.plan.clone(), seed: self.seed, number };
        let all: Vec<Replication> = (0..self.replications).map(replication).collect();
        let played = play_all(&all, self.watch, |one, run| {
            let summary = summary(one.number, &run);
            (summary, (one.number == 0).then_some(run)) // the first is kept in full
        });
        let (mut replications, first): (Vec<Summary>, Vec<Option<Run>>) = played.into_iter().unzip();
        let run = first.into_iter().flatten().next().expect("the first of at least one is kept");
        Results {
            schema: SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            scenario: self.plan.name.clone(),
            resolved: self.resolved.to_string(),
            start: self.plan.start.to_string(),
            duration: self.plan.duration.as_secs_f64(),
            seed: self.seed,
            notes: self.plan.notes.clone(),
            figures: figures(&readings(&run), &mut replications),
            run,
            replications,
        }
    }
}
