//! Playing replications: one, or many over all cores.
//!
//! Threads are used over replications only, and what they give is gathered in the order in which it was asked for: the
//! same bytes come out for any number of threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use sim_core::{Seed, Simulation, Stop, Time};

use crate::plan::Plan;
use crate::results::{Outcome, Run};
use crate::system::{System, finish};

/// How often a run looks up: events between two reports of progress.
const EVENTS_A_STRETCH: u64 = 1 << 20;

/// How far a replication has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Which one: its number, or its place in a study of several scenarios.
    pub replication: usize,
    /// Its simulated time.
    pub now: Time,
    /// Requests sent so far.
    pub requests: u64,
    /// Whether that was its last report.
    pub finished: bool,
}

/// Who looks on while replications are played, and may end them.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Ends everything at the next opportunity once it is true; what was played by then is reported as interrupted.
    pub stop: Option<&'a AtomicBool>,
    /// Is called about every million events, from the thread that plays.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

/// A replication to play.
#[derive(Clone, Debug)]
pub struct Replication {
    /// What to play.
    pub plan: Arc<Plan>,
    /// The seed of replication 0.
    pub seed: u64,
    /// Its number. The same number and seed give the same requests under any plan: common random numbers.
    pub number: u32,
}

impl Replication {
    /// Plays it to its end, or until a limit or somebody who looks on ends it. It reports as number `place`.
    pub fn play(&self, place: usize, watch: Watch<'_>) -> Run {
        let mut simulation = self.start();
        let outcome = play_on(&mut simulation, place, watch);
        finish(simulation, outcome)
    }

    /// Its world at time zero.
    pub fn start(&self) -> Simulation<System> {
        System::start(self.plan.clone(), Seed::new(self.seed).replication(self.number))
    }
}

/// Plays `all` on as many threads as `rayon`'s pool has, and keeps of each run what `keep` makes of it, in their order.
pub fn play_all<T: Send>(
    all: &[Replication],
    watch: Watch<'_>,
    keep: impl Fn(&Replication, Run) -> T + Sync,
) -> Vec<T> {
    let played = all.par_iter().with_max_len(1).enumerate();
    played.map(|(place, one)| keep(one, one.play(place, watch))).collect()
}

/// Plays a world on from where it stands until its plan's end, and says how that went.
pub fn play_on(simulation: &mut Simulation<System>, place: usize, watch: Watch<'_>) -> Outcome {
    let end = Time::ZERO + simulation.model.plan().duration;
    let outcome = play_until(simulation, end, place, watch);
    report(simulation, place, watch, true);
    outcome
}

/// The same until `end`, from where it can go on: [`Outcome::Complete`] where it came so far.
pub fn play_until(simulation: &mut Simulation<System>, end: Time, place: usize, watch: Watch<'_>) -> Outcome {
    let limit = simulation.model.plan().limits.events;
    loop {
        let left = limit.saturating_sub(simulation.events());
        let stop = simulation.run(end, left.min(EVENTS_A_STRETCH), &mut ());
        let at = simulation.calendar.now().as_secs_f64();
        if let Some(reached) = simulation.model.reached_limit() {
            return Outcome::Limit { at, limit: reached.limit.to_string(), value: reached.value };
        }
        if stop == Stop::Reached {
            return Outcome::Complete;
        }
        if simulation.events() >= limit {
            return Outcome::Limit { at, limit: "events".to_string(), value: limit };
        }
        if watch.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Outcome::Interrupted { at };
        }
        report(simulation, place, watch, false);
    }
}

fn report(simulation: &Simulation<System>, place: usize, watch: Watch<'_>, finished: bool) {
    if let Some(progress) = watch.progress {
        let sources = &simulation.model.measure().sources;
        let requests = sources.iter().map(|source| source.requests.offered).sum();
        progress(Progress { replication: place, now: simulation.calendar.now(), requests, finished });
    }
}
