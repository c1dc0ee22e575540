//! What can be said of a group's policies and scheduled actions together, before anything is played.

use sim_core::Time;

use super::Context;
use super::diagnostic::Place;
use crate::plan::{Scaling, ScheduledAction};
use crate::scaling::{Size, apply};

/// The most scaling policies that a group may have (EC2 Auto Scaling, "Quotas").
const MOST_POLICIES: usize = 50;
/// The most scheduled actions that a group may have (the same).
const MOST_SCHEDULED: usize = 125;

/// Checks a group's policies together. `places` says where each stands.
pub fn check(context: &Context<'_>, group: &str, scaling: &[Scaling], places: &[Place], size: Size) {
    let policies = |scaling: &Scaling| scaling.policy().is_some();
    let scheduled = |scaling: &Scaling| matches!(scaling, Scaling::Scheduled(_));
    too_many(context, scaling, places, policies, MOST_POLICIES, "scaling policies");
    too_many(context, scaling, places, scheduled, MOST_SCHEDULED, "scheduled actions");
    play(context, scaling, places, size);
    let has = |kind: fn(&Scaling) -> bool| scaling.iter().any(kind);
    if has(|scaling| matches!(scaling, Scaling::Simple(_)))
        && has(|scaling| matches!(scaling, Scaling::Step(_)))
    {
        context.findings.note(format!(
            "group `{group}` has simple and step scaling: a simple policy waits for what the step policies start, and for the cooldown after it"
        ));
    }
}

fn too_many(
    context: &Context<'_>,
    scaling: &[Scaling],
    places: &[Place],
    which: fn(&Scaling) -> bool,
    most: usize,
    what: &str,
) {
    let mut those = scaling.iter().zip(places).filter(|(scaling, _)| which(scaling));
    if let Some((_, place)) = those.nth(most) {
        let message = format!("a group has at most {most} {what}");
        context.findings.error(place, message, "one too many", None);
    }
}

/// Plays all scheduled actions over the run: nothing else moves the limits, so that one which will fail can be told now.
fn play(context: &Context<'_>, scaling: &[Scaling], places: &[Place], mut size: Size) {
    let actions = scaling.iter().zip(places).filter_map(|(scaling, place)| match scaling {
        Scaling::Scheduled(action) => Some((action, place)),
        _ => None,
    });
    let mut runs: Vec<(Time, usize, &ScheduledAction, &Place)> = Vec::new();
    for (index, (action, place)) in actions.enumerate() {
        runs.extend(action.times.iter().map(|&at| (at, index, action, place)));
    }
    runs.sort_by_key(|&(at, index, _, _)| (at, index));
    let mut told: Vec<usize> = Vec::new();
    for (at, index, action, place) in runs {
        match apply(action, size) {
            Ok((new, _)) => size = new,
            Err(_) if wrong_by_itself(action) || told.contains(&index) => {}
            Err(_) => {
                told.push(index);
                let message = would_fail(action, size, at);
                context.findings.error(place, message, "the action would fail", None);
            }
        }
    }
}

/// True where an action contradicts itself, which is told where it is read.
fn wrong_by_itself(action: &ScheduledAction) -> bool {
    let (lowest, highest) = (action.min.unwrap_or(0), action.max.unwrap_or(u32::MAX));
    lowest > highest || action.desired.is_some_and(|desired| !(lowest..=highest).contains(&desired))
}

fn would_fail(action: &ScheduledAction, size: Size, at: Time) -> String {
    let (min, max) = (action.min.unwrap_or(size.min), action.max.unwrap_or(size.max));
    match action.desired.filter(|_| min <= max) {
        Some(desired) => {
            format!(
                "at {at} a desired capacity of {desired} would be outside the limits of then, {min} to {max}"
            )
        }
        None => format!("at {at} the minimum would be {min} and the maximum {max}"),
    }
}
