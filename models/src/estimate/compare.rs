//! Formula and simulation side by side: the peak is played at the size that the formula found, and where the two disagree,
//! the assumptions that the plan breaks are made true one by one, to see which of them closes the gap.

use std::sync::Arc;

use serde::Serialize;
use sim_core::stats::{Interval, Tally};
use sim_core::{Span, Time};

use super::course::{Course, follow};
use super::group::{everything, requests_a_second};
use super::{Assumption, Estimate};
use crate::Watch;
use crate::experiment::LEVEL;
use crate::experiment::figures::readings;
use crate::experiment::play::{Replication, play_all};
use crate::oracle::{self, Expected};
use crate::plan::{Indicator, Objective, Plan, Subject};
use crate::results::{Outcome, Run};
use crate::scenario::MOST_INSTANCES;

/// Requests that are measured in each of the worlds that are played, all replications together; about.
const REQUESTS: f64 = 600_000.0;
/// Replications of each world.
const FEWEST: u32 = 5;
/// See [`FEWEST`].
const MOST: u32 = 40;
/// The longest stretch of the peak that is measured.
const MEASURED: f64 = 60.0;
/// The longest time that the system is given to settle before.
const SETTLING: f64 = 60.0;
/// How near the formula's quantiles are to those that are known exactly (tested where the oracle is).
const QUANTILES_WITHIN: f64 = 0.06;
/// An assumption that closes less of the gap than this is not named.
const CLOSES: f64 = 0.2;

/// Formula and simulation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Instances of each group, in order: what the formula found for the peak, without headroom.
    pub instances: Vec<(String, u32)>,
    /// Requests a second of all clients.
    pub rate: f64,
    /// Seconds that were measured in each replication, and how many there were.
    pub measured: f64,
    /// See `measured`.
    pub replications: u32,
    /// What requests the times are of: an objective's, or all.
    pub of: String,
    /// The mean response time.
    pub mean: Side,
    /// A quantile of it.
    pub quantile: Side,
    /// The share that `quantile` is of, 0 to 1.
    pub share: f64,
    /// Requests without a good answer, of all, in percent; the formula has none.
    pub failed: f64,
    /// True where both times agree within the interval (and quantiles within what their formula promises).
    pub agree: bool,
    /// The assumptions that the plan breaks, and what became of the gap when each was made true; those that close most of it
    /// first.
    pub broken: Vec<Broken>,
    /// The times with all that can be made true made true, where they were played; `None` where there was no gap.
    pub all_granted: Option<[Side; 2]>,
    /// True where there was a gap and there is none with all of these made true: together they explain it.
    pub explained: bool,
    /// True where the run was interrupted: nothing here is then complete.
    pub interrupted: bool,
}

/// A time by formula and by simulation, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Side {
    /// By the formula; `None` where it says that the queue has no bound.
    pub formula: Option<f64>,
    /// By simulation.
    pub simulated: f64,
    /// Half the width of its 95 % interval.
    pub half_width: f64,
}

impl Side {
    /// How far the simulation is from the formula beyond what its interval and the formula's own accuracy (a share) allow; 0
    /// where they agree.
    fn gap(&self, accuracy: f64) -> f64 {
        let Some(formula) = self.formula else { return f64::INFINITY };
        ((self.simulated - formula).abs() - self.half_width - accuracy * formula).max(0.0)
    }
}

/// An assumption that the plan breaks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// Which.
    pub assumption: Assumption,
    /// What was assumed, in words.
    pub assumed: String,
    /// What the plan does instead.
    pub otherwise: String,
    /// The mean and the quantile with the assumption made true; `None` where there was no gap to explain, or where nothing
    /// makes it true.
    pub granted: Option<[Side; 2]>,
    /// The share of the gap that it closes, 1 for all of it, negative where it widens it; `None` as for `granted`.
    pub closes: Option<f64>,
    /// Whether it is what the gap comes of: it closes a good part of it.
    pub explains: bool,
}

/// Why a plan is not played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPlayable(String);

/// Plays the peak of a plan at the size that its estimate found.
///
/// # Errors
/// Where there is no such size, or where a group's instances are not machines that the formula speaks of.
pub fn compare(
    plan: &Plan,
    estimate: &Estimate,
    seed: u64,
    watch: Watch<'_>,
) -> Result<Comparison, NotPlayable> {
    let study = Study::of(plan, estimate, seed)?;
    let natural = study.natural();
    let (sides, failed, interrupted) = study.play(&natural, watch);
    let sides = sides.ok_or_else(|| {
        NotPlayable(format!("no request of `{}` had an answer at the peak", study.objective.name))
    })?;
    let mut comparison = Comparison {
        instances: plan
            .groups
            .iter()
            .map(|group| group.name.clone())
            .zip(study.sizes.iter().copied())
            .collect(),
        rate: requests_a_second(&study.still),
        measured: study.measured.as_secs_f64(),
        replications: study.replications,
        of: study.objective.name.clone(),
        mean: sides[0],
        quantile: sides[1],
        share: study.share,
        failed,
        agree: study.gap(&sides) == 0.0,
        broken: Vec::new(),
        all_granted: None,
        explained: false,
        interrupted,
    };
    let found = Assumption::ALL.into_iter().filter_map(|one| Some((one, one.otherwise(&natural)?)));
    for (assumption, otherwise) in found {
        let (assumed, granted) = (assumption.stated().to_string(), None);
        comparison.broken.push(Broken {
            assumption,
            assumed,
            otherwise,
            granted,
            closes: None,
            explains: false,
        });
    }
    if !comparison.agree && !interrupted && study.formula.is_some() {
        study.explain(&natural, &mut comparison, watch);
    }
    Ok(comparison)
}

/// What is played.
struct Study<'a> {
    plan: &'a Plan,
    /// The plan as it is in its busiest minute.
    still: Plan,
    /// When that begins.
    peak: Time,
    cell: Span,
    course: Course,
    cell_number: usize,
    sizes: Vec<u32>,
    objective: Objective,
    share: f64,
    formula: Option<Expected>,
    settling: Span,
    measured: Span,
    replications: u32,
    seed: u64,
}

impl<'a> Study<'a> {
    fn of(plan: &'a Plan, estimate: &Estimate, seed: u64) -> Result<Study<'a>, NotPlayable> {
        if let Some(group) = plan.groups.iter().find(|group| group.pods.is_some() || group.worker.is_some()) {
            let what = if group.pods.is_some() { "pods" } else { "workers of a queue" };
            return Err(NotPlayable(format!("{} has {what}, which the formulas do not size", group.name)));
        }
        let course = Course::of(plan);
        let cell_number = course.peak(plan);
        let still = course.standing_still(plan, cell_number);
        let mut sizes: Vec<u32> = plan.groups.iter().map(|group| group.desired.max(1)).collect();
        for (size, group) in sizes.iter_mut().zip(&plan.groups) {
            let Some(of) = estimate.groups.iter().find(|of| of.name == group.name) else { continue };
            let found = of
                .instances
                .ok_or_else(|| NotPlayable(format!("no number of instances is enough for {}", of.name)))?;
            if found > MOST_INSTANCES {
                return Err(NotPlayable(format!(
                    "{found} instances of {} are more than {MOST_INSTANCES}",
                    of.name
                )));
            }
            *size = found;
        }
        let rate = requests_a_second(&still);
        if rate <= 0.0 {
            return Err(NotPlayable("there is no request at the peak".to_string()));
        }
        let about = |of: &&Objective| {
            of.subject == Subject::Requests
                && matches!(of.indicator, Indicator::Quantile(_) | Indicator::Mean)
        };
        let objective = plan.objectives.iter().find(about).cloned().unwrap_or_else(|| everything(0.95));
        let share = if let Indicator::Quantile(share) = objective.indicator { share } else { 0.95 };
        let formula = oracle::expected(&still, &objective, &sizes, share);
        // A longer stretch where little happens, a shorter one where much does.
        let seconds = (REQUESTS / f64::from(FEWEST) / rate).clamp(1.0, MEASURED);
        let replications =
            (REQUESTS / (rate * seconds)).ceil().clamp(f64::from(FEWEST), f64::from(MOST)) as u32;
        let measured = Span::from_secs_f64(seconds);
        let settling = Span::from_secs_f64((2.0 * seconds).clamp(10.0, SETTLING));
        let (peak, cell) = (course.from(cell_number), course.cell);
        Ok(Study {
            plan,
            still,
            peak,
            cell,
            course,
            cell_number,
            sizes,
            objective,
            share,
            formula,
            settling,
            measured,
            replications,
            seed,
        })
    }

    /// The plan as it is around its peak, at the sizes of the formula, with nothing that goes wrong.
    fn natural(&self) -> Plan {
        let mut plan = self.plan.clone();
        (plan.duration, plan.warm_up) = (self.settling + self.measured, self.settling);
        plan.incidents.clear();
        plan.releases.clear();
        for (group, &size) in plan.groups.iter_mut().zip(&self.sizes) {
            (group.min, group.desired, group.max) = (size, size, size);
            group.scaling.clear();
        }
        let mut mean = self.objective.clone();
        (mean.indicator, mean.bound, mean.window, mean.name) =
            (Indicator::Mean, f64::MAX, plan.duration, MEAN.to_string());
        let mut quantile = mean.clone();
        (quantile.indicator, quantile.name) = (Indicator::Quantile(self.share), QUANTILE.to_string());
        plan.objectives = vec![mean, quantile];
        let from = self.begin();
        let end = Time::ZERO + plan.duration;
        for (index, traffic) in plan.traffic.iter_mut().enumerate() {
            traffic.expected = match from {
                Some(from) => traffic.expected.window(from, from + plan.duration),
                // The peak is where the run begins: before it, it is taken to have been so.
                None => {
                    let rate = self.course.arrivals(index, self.cell_number);
                    crate::traffic::RateFunction::from_knots(vec![(Time::ZERO, rate), (end, rate)])
                }
            };
            traffic.arrivals = follow(&traffic.arrivals, &traffic.expected);
            if let Some(sessions) = &mut traffic.sessions {
                let open = match from {
                    Some(from) => self.course.open_then(index, from),
                    None => self.course.open(index, self.cell_number),
                };
                sessions.open = open.round().min(f64::from(u32::MAX)) as u32;
            }
        }
        plan
    }

    /// When the stretch begins that is played: the measured part lies in the middle of the busiest minute, or begins with it.
    fn begin(&self) -> Option<Time> {
        let spare = self.cell.saturating_sub(self.measured);
        let measured_from = self.peak + spare.mul_f64(0.5);
        let from = measured_from.as_nanos().checked_sub(self.settling.as_nanos())?;
        Some(Time::ZERO + Span::from_nanos(from))
    }

    /// Mean and quantile of a world (`None` where nothing was measured), what share of requests failed, and whether it was
    /// interrupted.
    fn play(&self, plan: &Plan, watch: Watch<'_>) -> (Option<[Side; 2]>, f64, bool) {
        let plan = Arc::new(plan.clone());
        let one = |number| Replication { plan: plan.clone(), seed: self.seed, number };
        let all: Vec<Replication> = (0..self.replications).map(one).collect();
        let runs = play_all(&all, watch, |_, run| figures(&run));
        let tally = |index: usize| -> Tally { runs.iter().filter_map(|run| run.times[index]).collect() };
        let formula =
            [self.formula.map(|formula| formula.mean), self.formula.map(|formula| formula.quantile)];
        let sides = [0, 1].map(|index| {
            let tally = tally(index);
            let half_width = Interval::student_t(&tally, LEVEL).map_or(0.0, |interval| interval.half_width);
            Side { formula: formula[index], simulated: tally.mean(), half_width }
        });
        let failed: Tally = runs.iter().map(|run| run.failed).collect();
        let measured = (0..2).all(|index| tally(index).count() > 0).then_some(sides);
        (measured, failed.mean(), runs.iter().any(|run| run.interrupted))
    }

    /// How far apart they are, as a share of the formula: the wider of mean and quantile; 0 where they agree.
    fn gap(&self, sides: &[Side; 2]) -> f64 {
        let relative = |side: &Side, accuracy| side.gap(accuracy) / side.formula.unwrap_or(1.0).max(1e-12);
        relative(&sides[0], 0.0).max(relative(&sides[1], QUANTILES_WITHIN))
    }

    /// Makes each broken assumption true by itself, and all of them together.
    fn explain(&self, natural: &Plan, comparison: &mut Comparison, watch: Watch<'_>) {
        let before = [comparison.mean, comparison.quantile];
        let mut all = natural.clone();
        for broken in &mut comparison.broken {
            let mut world = natural.clone();
            if !broken.assumption.grant(&mut world, &self.still) {
                continue;
            }
            broken.assumption.grant(&mut all, &self.still);
            let (sides, _, interrupted) = self.play(&world, watch);
            if interrupted {
                comparison.interrupted = true;
                return;
            }
            let Some(sides) = sides else { continue };
            let closes = self.closes(&before, &sides);
            (broken.granted, broken.closes, broken.explains) = (Some(sides), Some(closes), closes >= CLOSES);
        }
        let order = |broken: &Broken| broken.closes.unwrap_or(f64::NEG_INFINITY);
        comparison.broken.sort_by(|a, b| order(b).total_cmp(&order(a)));
        let Some(granted) = self.play(&all, watch).0 else { return };
        comparison.all_granted = Some(granted);
        comparison.explained = self.gap(&granted) == 0.0;
        // What remains with everything granted, in the quantile alone, is the formula's own.
        let mean_agrees = granted[0].gap(0.0) == 0.0;
        if mean_agrees && granted[1].gap(QUANTILES_WITHIN) > 0.0 {
            let assumption = Assumption::GammaQuantiles;
            comparison.broken.push(Broken {
                assumption,
                assumed: assumption.stated().to_string(),
                otherwise:
                    "the mean agrees and the quantile does not: the law of service times has another tail"
                        .to_string(),
                granted: None,
                closes: None,
                explains: true,
            });
        }
    }

    /// The share of the gap that is closed, by the time that is further off.
    fn closes(&self, before: &[Side; 2], after: &[Side; 2]) -> f64 {
        let off = |side: &Side| {
            side.formula.map_or(f64::INFINITY, |formula| (side.simulated - formula).abs() / formula)
        };
        let by_mean = before[0].gap(0.0) > 0.0;
        let index = if by_mean { 0 } else { 1 };
        1.0 - off(&after[index]) / off(&before[index]).max(1e-12)
    }
}

/// Objectives by which the times of a run are measured.
const MEAN: &str = "mean";
const QUANTILE: &str = "quantile";

/// What is kept of a run.
struct Figures {
    times: [Option<f64>; 2],
    failed: f64,
    interrupted: bool,
}

fn figures(run: &Run) -> Figures {
    let all = readings(run);
    let of = |name: &str| all.iter().find(|reading| reading.name == name).and_then(|reading| reading.value);
    let times = [MEAN, QUANTILE].map(|name| of(&format!("{name}: overall")));
    let failed = of("availability").map_or(0.0, |available| 100.0 - available);
    Figures { times, failed, interrupted: run.outcome != Outcome::Complete }
}
