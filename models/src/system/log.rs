//! The activity log, which reads like the provider's: each launch and each termination says what brought it about, back to
//! the alarm, the schedule or the check that it began with.

use sim_core::Time;

use super::System;
use crate::plan::GroupId;
use crate::results::{Activity, ActivityKind};
use crate::scaling::Decision;

impl System {
    /// Sets a group's desired capacity because `caller` wants it. What policies say from now on is news again.
    pub(super) fn resize(&mut self, group: GroupId, desired: u32, caller: &str, now: Time) {
        let before = self.fleets[group.index()].desired;
        if desired != before {
            let at = self.plan.wall_clock(now);
            self.fleets[group.index()].cause =
                format!("At {at} {caller} changed the desired capacity from {before} to {desired}.");
        }
        let fleet = &mut self.fleets[group.index()];
        fleet.desired = desired;
        fleet.last_no_action.fill(None);
        self.autoscalers_start_anew(group);
    }

    /// Notes a launch or a termination that follows from a difference between the desired capacity and the `actual` one.
    pub(super) fn log_difference(
        &mut self,
        group: GroupId,
        kind: ActivityKind,
        now: Time,
        description: String,
        actual: u32,
    ) {
        let fleet = &self.fleets[group.index()];
        let done = if kind == ActivityKind::Launch { "launched" } else { "taken out" };
        let cause = format!(
            "{}{}At {} an instance was {done}, because {actual} were there and {} are desired.",
            fleet.cause,
            if fleet.cause.is_empty() { "" } else { " " },
            self.plan.wall_clock(now),
            fleet.desired + fleet.surplus
        );
        self.log_because(group, kind, now, description, cause);
    }

    /// Notes an activity of a group and what brought it about.
    pub(super) fn log_because(
        &mut self,
        group: GroupId,
        kind: ActivityKind,
        now: Time,
        description: String,
        cause: String,
    ) {
        let activity = Activity { cause, ..self.activity(group, kind, now, description) };
        self.measure.log(activity);
    }

    /// Notes an activity of a group.
    pub(super) fn log(&mut self, group: GroupId, kind: ActivityKind, now: Time, description: String) {
        let activity = self.activity(group, kind, now, description);
        self.measure.log(activity);
    }

    /// Notes that a policy does nothing, or that `why` keeps it from what it wants.
    pub(super) fn log_no_action(
        &mut self,
        group: GroupId,
        policy: usize,
        decision: &Decision,
        why: &str,
        now: Time,
    ) {
        let mut description = decision.description.clone();
        if decision.wanted.is_some() {
            description.push_str(&format!(" Not done: {why}."));
        }
        let activity = self.activity(group, ActivityKind::NoAction, now, description);
        let fleet = &mut self.fleets[group.index()];
        let same = fleet.verdicts[policy].same_reason(&decision.verdict);
        fleet.verdicts[policy] = decision.verdict.clone();
        self.measure.log_no_action(&mut fleet.last_no_action[policy], activity, same);
    }

    pub(super) fn activity(
        &self,
        group: GroupId,
        kind: ActivityKind,
        now: Time,
        description: String,
    ) -> Activity {
        let desired = self.fleets[group.index()].desired;
        Activity::new(now, &self.plan.groups[group.index()].name, kind, description, desired)
    }
}
