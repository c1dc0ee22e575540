//! Running a scenario: one replication or many, over all cores, with progress and a way to stop.
//!
//! Threads are used over replications only, and results are gathered in the order of replications: the same bytes
//! come out for any number of threads.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use sim_core::stats::{Interval, Tally};
use sim_core::{Seed, Simulation, Stop, Time};

use crate::plan::Plan;
use crate::results::{Distribution, Figure, JobsResult, JobsSummary, Outcome, Results, Run, SCHEMA, Summary};
use crate::system::{System, finish};

/// How often a run looks up: events between two reports of progress.
const EVENTS_A_STRETCH: u64 = 1 << 20;

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
    stop: Option<&'a AtomicBool>,
    progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

/// How far a replication has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Which one.
    pub replication: u32,
    /// Its simulated time.
    pub now: Time,
    /// Requests sent so far.
    pub requests: u64,
    /// Whether that was its last report.
    pub finished: bool,
}

impl<'a> Experiment<'a> {
    /// One replication of `scenario`, from its own seed.
    pub fn new(scenario: &'a crate::Scenario) -> Self {
        Experiment {
            plan: Arc::new(scenario.plan().clone()),
            resolved: Cow::Borrowed(scenario.resolved()),
            seed: scenario.plan().seed,
            replications: 1,
            stop: None,
            progress: None,
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
            stop: None,
            progress: None,
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
        self.stop = Some(stop);
        self
    }

    /// Calls `progress` about every million events, from the thread that runs the replication.
    pub fn on_progress(mut self, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Plays all replications, on as many threads as `rayon`'s pool has.
    pub fn run(&self) -> Results {
        let first = self.replicate(0);
        let mut replications = vec![summary(0, &first)];
        let others: Vec<Summary> =
            (1..self.replications).into_par_iter().map(|n| summary(n, &self.replicate(n))).collect();
        replications.extend(others);
        Results {
            schema: SCHEMA.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            scenario: self.plan.name.clone(),
            resolved: self.resolved.to_string(),
            start: self.plan.start.to_string(),
            duration: self.plan.duration.as_secs_f64(),
            seed: self.seed,
            notes: self.plan.notes.clone(),
            figures: figures(&self.plan, &replications),
            run: first,
            replications,
        }
    }

    fn replicate(&self, replication: u32) -> Run {
        let mut simulation = System::start(self.plan.clone(), Seed::new(self.seed).replication(replication));
        let outcome = self.play(&mut simulation, replication);
        self.report(&simulation, replication, true);
        finish(simulation, outcome)
    }

    fn play(&self, simulation: &mut Simulation<System>, replication: u32) -> Outcome {
        let end = Time::ZERO + self.plan.duration;
        loop {
            let left = self.plan.limits.events - simulation.events();
            let stop = simulation.run(end, left.min(EVENTS_A_STRETCH), &mut ());
            let at = simulation.calendar.now().as_secs_f64();
            if let Some(reached) = simulation.model.reached_limit() {
                return Outcome::Limit { at, limit: reached.limit.to_string(), value: reached.value };
            }
            if stop == Stop::Reached {
                return Outcome::Complete;
            }
            if simulation.events() >= self.plan.limits.events {
                return Outcome::Limit { at, limit: "events".to_string(), value: self.plan.limits.events };
            }
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Outcome::Interrupted { at };
            }
            self.report(simulation, replication, false);
        }
    }

    fn report(&self, simulation: &Simulation<System>, replication: u32, finished: bool) {
        if let Some(progress) = self.progress {
            let sources = &simulation.model.measure().sources;
            let requests = sources.iter().map(|source| source.requests.offered).sum();
            progress(Progress { replication, now: simulation.calendar.now(), requests, finished });
        }
    }
}

fn summary(replication: u32, run: &Run) -> Summary {
    Summary {
        replication,
        outcome: run.outcome.clone(),
        events: run.events,
        order_hash: run.order_hash.clone(),
        requests: run.requests,
        response_time: run.response_time,
        violation_minutes: run.objectives.iter().map(|objective| objective.violation_minutes).collect(),
        cost: run.bill.as_ref().map(|bill| bill.total),
        jobs: run.jobs.iter().map(JobsResult::summary).collect(),
    }
}

/// The figures that people ask for, with intervals over the replications.
fn figures(plan: &Plan, replications: &[Summary]) -> Vec<Figure> {
    let figure = |name: String, unit: &str, value: &dyn Fn(&Summary) -> Option<f64>| {
        let mut tally = Tally::new();
        replications.iter().filter_map(value).for_each(|value| tally.record(value));
        (tally.count() > 0).then(|| Figure {
            name,
            unit: unit.to_string(),
            mean: tally.mean(),
            half_width: Interval::student_t(&tally, LEVEL).map(|interval| interval.half_width),
        })
    };
    let mut figures = vec![
        figure("requests offered".into(), "", &|s| Some(s.requests.offered as f64)),
        figure("availability".into(), "%", &|s| Some(100.0 * s.requests.availability())),
        figure("response time mean".into(), "s", &|s| Some(s.response_time.mean)),
        figure("response time p50".into(), "s", &|s| Some(s.response_time.p50)),
        figure("response time p95".into(), "s", &|s| Some(s.response_time.p95)),
        figure("response time p99".into(), "s", &|s| Some(s.response_time.p99)),
    ];
    for (index, objective) in plan.objectives.iter().enumerate() {
        let minutes = |s: &Summary| s.violation_minutes.get(index).copied();
        figures.push(figure(format!("violation of {}", objective.name), "min", &minutes));
    }
    for traffic in &plan.traffic {
        // A source that submits jobs may submit none in a short run.
        let jobs = |s: &Summary, value: fn(&JobsSummary) -> f64| {
            s.jobs.iter().find(|jobs| jobs.name == traffic.name).map(value)
        };
        let name = |what: &str| format!("jobs of {}: {what}", traffic.name);
        figures.push(figure(name("done"), "", &|s| jobs(s, |jobs| jobs.done as f64)));
        figures.push(figure(name("lost"), "", &|s| jobs(s, |jobs| jobs.lost as f64)));
        figures.push(figure(name("dead letters"), "", &|s| jobs(s, |jobs| jobs.dead_lettered as f64)));
        let known = |s: &Summary, time: fn(&Distribution) -> f64| {
            let of_source = s.jobs.iter().find(|jobs| jobs.name == traffic.name)?;
            (of_source.total.count > 0).then(|| time(&of_source.total))
        };
        figures.push(figure(name("time p50"), "s", &|s| known(s, |total| total.p50)));
        figures.push(figure(name("time p99"), "s", &|s| known(s, |total| total.p99)));
    }
    let currency = plan.prices.as_ref().map_or("", |prices| &prices.currency);
    figures.push(figure("cost".into(), currency, &|s| s.cost));
    figures.into_iter().flatten().collect()
}
