//! The violating stretches of a run: which objectives were broken when, and the group to look at.

use super::chain::Scene;
use super::explanation::{Broken, Course, Stretch, Verdict};
use super::fork::Played;
use crate::measure::MinuteFacts;
use crate::plan::{GroupId, Plan};
use crate::results::{ObjectiveResult, Run, stretches_of_time, worst_of};

/// Stretches that are explained; further ones are counted.
pub const MOST_STRETCHES: usize = 40;

/// Minutes before and after what is shown of response times.
const AROUND: f64 = 15.0 * 60.0;

/// A stretch before it is told.
struct Joined {
    from: f64,
    to: f64,
    group: Option<GroupId>,
    broken: Vec<Broken>,
}

/// The stretches of all objectives that were not kept, and how many were too many. Those that overlap are one where the same
/// group is to be looked at.
pub(super) fn stretches(plan: &Plan, played: &Played) -> (Vec<Stretch>, u64) {
    let mut all: Vec<Joined> = Vec::new();
    for (objective, behind) in played.run.objectives.iter().zip(&played.behind) {
        if !objective.met {
            all.extend(of_objective(objective, behind, &played.facts));
        }
    }
    all.sort_by(|a, b| a.from.total_cmp(&b.from));
    let mut joined: Vec<Joined> = Vec::new();
    for next in all {
        let same = |other: &&mut Joined| other.group == next.group && next.from <= other.to;
        match joined.iter_mut().find(same) {
            Some(other) => {
                other.to = other.to.max(next.to);
                other.broken.extend(next.broken);
            }
            None => joined.push(next),
        }
    }
    let dropped = joined.len().saturating_sub(MOST_STRETCHES) as u64;
    joined.truncate(MOST_STRETCHES);
    let told = joined.into_iter().map(|Joined { from, to, group, broken }| {
        let chain = group.map_or(Vec::new(), |group| Scene::new(plan, played, group, (from, to)).chain());
        Stretch { from, to, broken, group: group.map(|group| plan.groups[group.index()].name.clone()), chain }
    });
    (told.collect(), dropped)
}

fn of_objective(objective: &ObjectiveResult, behind: &[GroupId], facts: &[Vec<MinuteFacts>]) -> Vec<Joined> {
    let of = |stretch: Vec<&crate::results::Violation>| {
        let worst = worst_of(&stretch, objective.upper)?;
        let (from, to) = (stretch.first()?.window.from, stretch.last()?.window.to);
        let minutes = stretch.iter().map(|own| (own.window.to - own.window.from) / 60.0).sum();
        let broken = Broken {
            objective: objective.name.clone(),
            minutes,
            worst: worst.window,
            unit: objective.unit.clone(),
            cause: worst.cause,
            explanation: worst.explanation.clone(),
        };
        let trouble = |group: &GroupId| {
            let minutes = minutes_of(&facts[group.index()], from, to);
            minutes.iter().map(stress).fold(0.0, f64::max)
        };
        // Of those in the same trouble the first on the way.
        let group = behind
            .iter()
            .copied()
            .reduce(|worst, other| if trouble(&other) > trouble(&worst) { other } else { worst });
        Some(Joined { from, to, group, broken: vec![broken] })
    };
    stretches_of_time(&objective.violations).into_iter().filter_map(of).collect()
}

/// The minutes that a stretch of time touches.
pub(super) fn minutes_of(facts: &[MinuteFacts], from: f64, to: f64) -> &[MinuteFacts] {
    let to = ((to / 60.0).ceil().max(0.0) as usize).min(facts.len());
    let from = ((from / 60.0).floor().max(0.0) as usize).min(to);
    &facts[from..to]
}

/// How badly off a group was: how much more it had to do than it could, and how long jobs waited for it, in minutes.
fn stress(minute: &MinuteFacts) -> f64 {
    let over = match minute.capacity {
        capacity if capacity > 0.0 => minute.load / capacity,
        _ if minute.serving == 0 => 100.0,
        _ => 0.0,
    };
    let waits = minute.jobs.as_ref().map_or(0.0, |jobs| jobs.oldest / 60.0);
    let refused = if minute.refused > 0 { 1.0 } else { 0.0 };
    over + minute.hottest + waits + refused
}

/// How the objectives fared.
pub(super) fn verdicts(run: &Run) -> Vec<Verdict> {
    let of = |objective: &ObjectiveResult| Verdict {
        name: objective.name.clone(),
        objective: objective.objective.clone(),
        unit: objective.unit.clone(),
        bound: objective.bound,
        violation_minutes: objective.violation_minutes,
        allowed_minutes: objective.allowed_minutes,
        worst: objective.worst,
        met: objective.met,
    };
    run.objectives.iter().map(of).collect()
}

/// Response times of `run` around the stretches in which `original` was violated; those of jobs where all of that is about jobs.
pub(super) fn course(run: &Run, original: &Run) -> Course {
    let broken = || original.objectives.iter().filter(|objective| !objective.met);
    let windows = || broken().flat_map(|objective| &objective.violations).map(|violation| violation.window);
    let from = windows().map(|window| window.from).fold(f64::INFINITY, f64::min) - AROUND;
    let to = windows().map(|window| window.to).fold(0.0, f64::max) + AROUND;
    let jobs = broken().next().is_some() && broken().all(|objective| objective.jobs);
    let rows = run.series.iter().filter(|row| row.at >= from && row.at < to);
    let points = rows.map(|row| (row.at, if jobs { row.jobs.and_then(|jobs| jobs.p95) } else { row.p99 }));
    let of = if jobs { "p95 of jobs" } else { "p99 of requests" };
    Course { of: of.to_string(), interval: run.interval, points: points.collect() }
}
