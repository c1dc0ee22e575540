//! Why an SLA was broken: for each violating stretch what led to what, in numbers, and what might have been with one thing
//! changed.
//!
//! A counterfactual is a fork of the same day: the same requests come at the same instants and ask for the same, and all that
//! was drawn before is as it was. What differs at the end, the change has done.
//!
//! * [`fork`](self): a run that can be gone back in;
//! * [`counterfactual`](self), [`edits`](self), [`pace`](self): what can be changed, and how;
//! * [`stretches`](self), [`chain`](self): what is told of the run as it was.

mod chain;
mod counterfactual;
mod edits;
mod explanation;
mod fork;
mod pace;
mod stretches;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rayon::prelude::*;
use sim_core::Time;
use sim_core::stats::{Interval, Tally};

use super::play::{Progress, Replication, Watch};
use super::{LEVEL, MOST_REPLICATIONS};
use crate::plan::Plan;
use crate::results::{Outcome, Run};
use counterfactual::{Change, changes};
use fork::{play, play_changed};

pub use chain::{Link, LinkKind};
pub use counterfactual::Kind;
pub use explanation::{Broken, Counterfactual, Course, Explanation, LeftOut, SCHEMA, Stretch, Verdict};
pub use stretches::MOST_STRETCHES;

/// Whose response times are kept: the best so many.
const COURSES: usize = 2;

/// What to explain and how.
///
/// ```
/// use scalesim::Scenario;
/// use scalesim::experiment::explain::{Explain, Kind};
/// let scenario = Scenario::parse(r#"
///     [scenario]
///     duration = "20min"
///     [traffic.web]
///     to = "front"
///     profile = { constant = "250/s" }
///     [service.api]
///     runtime = "thread-per-request"
///     [service.api.endpoint."GET /"]
///     steps = [{ cpu = { exp = { mean = "10ms" } } }]
///     [group.web]
///     service = "api"
///     machine = "c7g.large"
///     min = 1
///     [balancer.front]
///     targets = "web"
///     [[sla]]
///     objective = "p95 <= 200ms"
/// "#)?;
/// let explanation = Explain::new(&scenario).run();
/// let best = &explanation.counterfactuals[0];
/// assert_eq!((best.kind, best.violation_minutes), (Kind::DoubleMin, 0.0));
/// # Ok::<(), scalesim::Diagnostics>(())
/// ```
pub struct Explain<'a> {
    plan: Arc<Plan>,
    seed: u64,
    replications: u32,
    watch: Watch<'a>,
}

/// A replication: how it went, and how it would have.
struct Told {
    number: u32,
    violated: bool,
    /// Minutes of violation.
    minutes: f64,
    /// By change; none where nothing was violated, or it has come to no end.
    forks: Vec<Fork>,
    /// All that is said of it; `None` where another one is told.
    details: Option<Box<Details>>,
}

struct Details {
    outcome: Outcome,
    objectives: Vec<Verdict>,
    stretches: Vec<Stretch>,
    stretches_dropped: u64,
    fork: Option<Time>,
    course: Course,
}

enum Fork {
    /// It was not played.
    Idle(&'static str),
    /// It was, from an instant or from the start.
    Played(Might),
    /// Its run has come to no end.
    Cut(Outcome),
}

/// What is kept of a counterfactual.
struct Might {
    from: Option<Time>,
    minutes: f64,
    holds: bool,
    /// What it costs more.
    cost: Option<f64>,
    course: Option<Course>,
}

impl<'a> Explain<'a> {
    /// One replication of `scenario`, from its own seed.
    pub fn new(scenario: &crate::Scenario) -> Self {
        Explain::of(scenario.plan().clone())
    }

    /// One replication of a plan.
    pub fn of(plan: Plan) -> Self {
        Explain { seed: plan.seed, plan: Arc::new(plan), replications: 1, watch: Watch::default() }
    }

    /// Another seed than the scenario's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many replications to play, each with its counterfactuals: at least 1, at most [`MOST_REPLICATIONS`].
    pub fn replications(mut self, replications: u32) -> Self {
        self.replications = replications.clamp(1, MOST_REPLICATIONS);
        self
    }

    /// Stops at the next opportunity once `stop` is true.
    pub fn stop_when(mut self, stop: &'a AtomicBool) -> Self {
        self.watch.stop = Some(stop);
        self
    }

    /// Calls `progress` about every million events, from the thread that plays. Replications are numbered below
    /// [`Explain::runs`].
    pub fn on_progress(mut self, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        self.watch.progress = Some(progress);
        self
    }

    /// How many runs it may take, counterfactuals included.
    pub fn runs(&self) -> usize {
        self.replications as usize * (1 + changes(&self.plan).0.len())
    }

    /// Plays all of it, on as many threads as `rayon`'s pool has: over replications, and in each over counterfactuals.
    pub fn run(&self) -> Explanation {
        let (possible, others) = changes(&self.plan);
        let numbers: Vec<u32> = (0..self.replications).collect();
        let first = AtomicU32::new(u32::MAX);
        let numbers = numbers.into_par_iter().with_max_len(1);
        let mut all: Vec<Told> = numbers.map(|number| self.tell(number, &possible, &first)).collect();
        let place = all.iter().position(|told| told.violated).unwrap_or(0);
        let details =
            all[place].details.take().expect("of the first that is violated, or the first, all is kept");
        let told = all[place].number;
        let violated: Vec<&Told> = all.iter().filter(|told| told.violated).collect();
        let mut left_out: Vec<LeftOut> =
            others.into_iter().map(|(kind, why)| LeftOut::new(kind, why)).collect();
        let mut counterfactuals = Vec::new();
        let mut outcome = details.outcome.clone();
        for (index, change) in possible.iter().enumerate() {
            match compared(index, change, &violated) {
                Ok(counterfactual) => counterfactuals.push(counterfactual),
                Err(why) => left_out.push(LeftOut::new(change.kind, why)),
            }
        }
        for fork in violated.iter().flat_map(|told| &told.forks) {
            if let (Outcome::Complete, Fork::Cut(cut @ Outcome::Interrupted { .. })) = (&outcome, fork) {
                outcome = cut.clone();
            }
        }
        // Of those that save the same, the one that is tried first goes first.
        counterfactuals.sort_by(|a, b| b.saved_minutes.total_cmp(&a.saved_minutes));
        counterfactuals.iter_mut().skip(COURSES).for_each(|other| other.course = None);
        left_out.sort_by_key(|one| one.kind);
        if violated.is_empty() {
            left_out.clear();
        }
        Explanation {
            schema: SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            scenario: self.plan.name.clone(),
            start: self.plan.start.to_string(),
            duration: self.plan.duration.as_secs_f64(),
            seed: self.seed,
            replications: self.replications,
            violated: violated.len() as u32,
            told,
            outcome,
            objectives: details.objectives,
            stretches: details.stretches,
            stretches_dropped: details.stretches_dropped,
            fork: details.fork.map_or(0.0, Time::as_secs_f64),
            violation_minutes: violated.iter().map(|told| told.minutes).collect::<Tally>().mean(),
            counterfactuals,
            left_out,
            course: details.course,
        }
    }

    /// Plays a replication, and where it violates the SLA what might have been. `first` is the first that does, as far as is
    /// known: of those behind it nobody tells more than the minutes.
    fn tell(&self, number: u32, possible: &[Change], first: &AtomicU32) -> Told {
        let replication = Replication { plan: self.plan.clone(), seed: self.seed, number };
        let place = number as usize * (1 + possible.len());
        let played = play(&replication, place, self.watch);
        let run = &played.run;
        let violated = run.objectives.iter().any(|objective| !objective.met);
        let told = number == 0 || violated && first.fetch_min(number, Ordering::Relaxed) >= number;
        let begins = played.fork.as_ref().map(|world| world.calendar.now());
        let one = |(index, change): (usize, &Change)| {
            let from = change.fork(&self.plan, begins);
            if let Some(why) = change.is_idle(&self.plan, run, &played.facts, from) {
                return Fork::Idle(why);
            }
            let world = from.and(played.fork.as_ref());
            let other = play_changed(change, &replication, world, place + 1 + index, self.watch);
            if other.outcome != Outcome::Complete {
                return Fork::Cut(other.outcome);
            }
            Fork::Played(Might {
                from,
                minutes: minutes(&other),
                holds: other.objectives.iter().all(|objective| objective.met),
                cost: run.bill.as_ref().zip(other.bill.as_ref()).map(|(was, is)| is.total - was.total),
                course: told.then(|| stretches::course(&other, run)),
            })
        };
        // One that has come to no end has nothing to compare with.
        let wanted: &[Change] = if violated && run.outcome == Outcome::Complete { possible } else { &[] };
        let forks = wanted.par_iter().with_max_len(1).enumerate().map(one).collect();
        let details = told.then(|| {
            let (stretches, stretches_dropped) = stretches::stretches(&self.plan, &played);
            let (objectives, course) = (stretches::verdicts(run), stretches::course(run, run));
            let outcome = run.outcome.clone();
            Box::new(Details { outcome, objectives, stretches, stretches_dropped, fork: begins, course })
        });
        Told { number, violated, minutes: minutes(run), forks, details }
    }
}

impl LeftOut {
    fn new(kind: Kind, why: String) -> LeftOut {
        LeftOut { kind, name: kind.name().to_string(), why }
    }
}

/// Minutes of violation of a run, of all its objectives.
fn minutes(run: &Run) -> f64 {
    run.objectives.iter().map(|objective| objective.violation_minutes).sum()
}

/// A change over the replications that were violated: what it saves in each, against the same replication without it. Where it
/// could change nothing it saves nothing. Why there is no figure, where it was not played in any, or not to its end in one.
fn compared(index: usize, change: &Change, violated: &[&Told]) -> Result<Counterfactual, String> {
    let (mut saved, mut left, mut cost) = (Tally::new(), Tally::new(), Tally::new());
    let (mut holds, mut idle, mut told) = (0, "no run of it came to its end", None);
    for one in violated {
        match one.forks.get(index) {
            Some(Fork::Played(might)) => {
                saved.record(one.minutes - might.minutes);
                left.record(might.minutes);
                might.cost.into_iter().for_each(|more| cost.record(more));
                holds += u32::from(might.holds);
                told = told.or(Some(might));
            }
            Some(Fork::Idle(why)) => {
                saved.record(0.0);
                left.record(one.minutes);
                idle = why;
            }
            Some(Fork::Cut(Outcome::Limit { limit, .. })) => {
                return Err(format!("it reached `limits.{limit}`"));
            }
            Some(Fork::Cut(_)) | None => return Err("it was interrupted".to_string()),
        }
    }
    let Some(might) = told else { return Err(idle.to_string()) };
    Ok(Counterfactual {
        kind: change.kind,
        name: change.kind.name().to_string(),
        changes: change.words.clone(),
        set: change.set.clone(),
        from: might.from.map_or(0.0, Time::as_secs_f64),
        violation_minutes: left.mean(),
        saved_minutes: saved.mean(),
        half_width: Interval::student_t(&saved, LEVEL).map(|interval| interval.half_width),
        holds,
        cost: (cost.count() > 0).then(|| cost.mean()),
        course: might.course.clone(),
    })
}
