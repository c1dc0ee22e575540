//! Running a scenario: one replication or many, over all cores, with progress and a way to stop.
//!
//! [`play`] plays replications, [`mod@figures`] reads them; everything that asks more of a simulation than what happens once
//! rests on these two. [`precision`] says how many replications it takes, [`mod@transient`] where a run's start ends.

pub mod compare;
pub mod explain;
pub mod figures;
pub mod play;
pub mod precision;
pub mod recommend;
pub mod sweep;
pub mod transient;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sim_core::stats::Proportion;

use crate::plan::Plan;
use crate::results::{Held, Outcome, Results, Run, SCHEMA, Summary, Widest};
use figures::{figures, readings, summary};
use play::{Replication, play_all};
use precision::{FINEST, MOST_FOR_PRECISION, Target, widest};
use transient::{Courses, MOST_AVERAGED, courses, is_stationary, transient};

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
    command: &'a str,
    seed: u64,
    /// `None` where nobody said how many.
    replications: Option<u32>,
    precision: Option<f64>,
    watch: Watch<'a>,
    rounds: Option<&'a (dyn Fn(Round) + Sync)>,
}

/// Replications that are about to be played.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// How many there will be when they are.
    pub replications: u32,
    /// How tight the intervals are by now; `None` before the first round, and where there is no quantile.
    pub widest: Option<Widest>,
}

impl<'a> Experiment<'a> {
    /// One replication of `scenario`, from its own seed.
    pub fn new(scenario: &'a crate::Scenario) -> Self {
        Experiment {
            plan: Arc::new(scenario.plan().clone()),
            resolved: Cow::Borrowed(scenario.resolved()),
            command: scenario.command(),
            seed: scenario.plan().seed,
            replications: None,
            precision: None,
            watch: Watch::default(),
            rounds: None,
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
            command: "",
            replications: None,
            precision: None,
            watch: Watch::default(),
            rounds: None,
        }
    }

    /// Another seed than the scenario's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many replications to run: at least 1, at most [`MOST_REPLICATIONS`]. With a [`precision`](Experiment::precision),
    /// how many there may be.
    pub fn replications(mut self, replications: u32) -> Self {
        self.replications = Some(replications.clamp(1, MOST_REPLICATIONS));
        self
    }

    /// Runs replications until the half width of every quantile's interval is at most this share of the quantile, 0.02 for
    /// 2 %; at least [`FINEST`]. There are at most [`MOST_FOR_PRECISION`], or as many as
    /// [`replications`](Experiment::replications) says; [`Results::precision`] tells whether that was enough.
    pub fn precision(mut self, share: f64) -> Self {
        self.precision = Some(share.max(FINEST));
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

    /// Calls `round` before each round of replications: once, or again and again with a [`precision`](Experiment::precision).
    pub fn on_round(mut self, round: &'a (dyn Fn(Round) + Sync)) -> Self {
        self.rounds = Some(round);
        self
    }

    /// Plays all replications, on as many threads as `rayon`'s pool has.
    pub fn run(&self) -> Results {
        let target = self
            .precision
            .map(|asked| Target { asked, most: self.replications.unwrap_or(MOST_FOR_PRECISION) });
        let mut played = Played::default();
        let mut total = target.map_or(self.replications.unwrap_or(1), |target| target.first_round());
        let mut tight = None;
        loop {
            if let Some(round) = self.rounds {
                round(Round { replications: total, widest: tight.take() });
            }
            self.play(total, &mut played);
            let Some(target) = target else { break };
            tight = played.widest();
            match target.next(total, tight.as_ref()) {
                Some(more) if played.all_complete() => total = more,
                _ => break,
            }
        }
        let precision = target.map(|target| target.outcome(total, tight));
        let Played { mut replications, first, courses } = played;
        let run = first.expect("the first of at least one is kept");
        Results {
            schema: SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            scenario: self.plan.name.clone(),
            resolved: self.resolved.to_string(),
            command: self.command.to_string(),
            start: self.plan.start.to_string(),
            duration: self.plan.duration.as_secs_f64(),
            seed: self.seed,
            notes: self.plan.notes.clone(),
            figures: figures(&readings(&run), &mut replications),
            precision,
            held: held(&run, &replications),
            transient: transient(&self.plan, &courses),
            run,
            replications,
        }
    }

    /// Plays the replications that are missing up to `total`.
    fn play(&self, total: u32, played: &mut Played) {
        let already = played.replications.len();
        let replication = |number| Replication { plan: self.plan.clone(), seed: self.seed, number };
        let round: Vec<Replication> = (already as u32..total).map(replication).collect();
        // Replications report by their number, whichever round they are of.
        let progress = self.watch.progress.map(|progress| {
            move |of: Progress| progress(Progress { replication: already + of.replication, ..of })
        });
        let progress = progress.as_ref().map(|progress| progress as &(dyn Fn(Progress) + Sync));
        let stationary = is_stationary(&self.plan);
        let new = play_all(&round, Watch { progress, ..self.watch }, |one, run| {
            let averaged = stationary && one.number < MOST_AVERAGED;
            let courses = if averaged { courses(&self.plan, &run) } else { None };
            (summary(one.number, &run), courses, (one.number == 0).then_some(run))
        });
        for (summary, courses, run) in new {
            played.replications.push(summary);
            played.courses.extend(courses);
            played.first = played.first.take().or(run);
        }
    }
}

/// What is kept of the replications so far.
#[derive(Default)]
struct Played {
    replications: Vec<Summary>,
    /// The first one in full.
    first: Option<Run>,
    /// Of the first few, where a transient is looked for.
    courses: Vec<Courses>,
}

impl Played {
    fn widest(&self) -> Option<Widest> {
        widest(&readings(self.first.as_ref()?), &self.replications)
    }

    /// More of them make nothing tighter where some end before their time.
    fn all_complete(&self) -> bool {
        self.replications.iter().all(|one| one.outcome == Outcome::Complete)
    }
}

/// In how many of several replications each objective held.
fn held(run: &Run, replications: &[Summary]) -> Vec<Held> {
    if replications.len() < 2 {
        return Vec::new();
    }
    let objectives = run.objectives.iter().enumerate().map(|(index, objective)| {
        let kept = |one: &&Summary| one.violation_minutes.get(index).is_some_and(|&m| objective.allows(m));
        let kept = replications.iter().filter(kept).count();
        let share = Proportion::clopper_pearson(kept as u64, replications.len() as u64, LEVEL);
        let (low, high) = share.map_or((0.0, 1.0), |share| (share.low, share.high));
        Held { objective: objective.name.clone(), replications: kept as u32, low, high }
    });
    objectives.collect()
}
