//! What the model says of a batch: a function of the fitted parameters, the setup, and the lone jobs around it.

use scalesim::machine::{Burst, Machine};
use serde::Serialize;
use sim_core::{Span, Time};

use super::data::{Batch, Order, Place, median};
use super::fit::Fitted;

/// What is predicted of a batch; times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// When the last job is done.
    pub makespan: f64,
    /// When the first is.
    pub first: f64,
    /// When they are on average.
    pub mean: f64,
    /// Switches of a job because it has to give way.
    pub involuntary: f64,
}

/// Jobs begin anywhere between two ticks, and anywhere in the rhythm in which queues are evened out: so many places are
/// played, and the median is predicted.
const PHASES: u64 = 32;
/// More steps than any batch takes.
const MOST_STEPS: u64 = 20_000_000;
/// More jobs, and longer ones, than are ever measured: what is read from a file must not take for ever.
const MOST_JOBS: u32 = 4_096;
const LONGEST: Span = Span::from_secs(600);

/// Plays a batch. `None` where it makes no sense, as one without jobs.
pub fn predict(fitted: &Fitted, batch: &Batch) -> Option<Prediction> {
    let demand = Span::from_nanos_f64(batch.setup.iterations as f64 * batch.per_iteration());
    if batch.setup.jobs == 0 || batch.setup.jobs > MOST_JOBS || demand.is_zero() || demand > LONGEST {
        return None;
    }
    let played: Option<Vec<Prediction>> = (0..PHASES)
        .map(|phase| play(fitted, batch, demand, Span::from_nanos(fitted.tick * phase / PHASES)))
        .collect();
    let played = played?;
    let of = |value: fn(&Prediction) -> f64| median(played.iter().map(value));
    Some(Prediction {
        makespan: of(|play| play.makespan)?,
        first: of(|play| play.first)?,
        mean: of(|play| play.mean)?,
        involuntary: of(|play| play.involuntary)?,
    })
}

fn play(fitted: &Fitted, batch: &Batch, demand: Span, phase: Span) -> Option<Prediction> {
    let setup = &batch.setup;
    let mut machine = Machine::new(&fitted.processor());
    let start = Time::ZERO + phase;
    let burst = |job: u32| {
        let pinned = match setup.place {
            Place::Anywhere => None,
            Place::Dealt => Some((job % fitted.vcpus) as u16),
            Place::OnOne => Some(0),
        };
        Burst { pinned, ..Burst::new(job, demand) }
    };
    let mut next = None;
    let mut begun = match setup.order {
        Order::Together => setup.jobs,
        Order::InTurn => 1,
    };
    for job in 0..begun {
        next = machine.start(start, burst(job)).or(next);
    }
    let mut done = Vec::new();
    for _ in 0..MOST_STEPS {
        let Some(now) = next else { break };
        let progress = machine.progress(now);
        next = progress.next;
        if progress.finished.is_some() {
            done.push(now.since(start).as_nanos() as f64);
            if begun < setup.jobs {
                next = machine.start(now, burst(begun)).or(next);
                begun += 1;
            }
        }
    }
    let (&first, &makespan) = (done.first()?, done.last()?);
    if done.len() != setup.jobs as usize {
        return None;
    }
    let jobs = f64::from(setup.jobs);
    let involuntary = machine.counts().map_or(0.0, |counts| counts.involuntary as f64 / jobs);
    Some(Prediction { makespan, first, mean: done.iter().sum::<f64>() / jobs, involuntary })
}
