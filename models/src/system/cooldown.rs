//! When a group's scaling activities are over, and its cooldowns begin. Played only where somebody waits for that.

use sim_core::{Span, Time};

use super::System;
use crate::plan::{Group, GroupId, Scaling};
use crate::scaling::{ActivityState, Cooldown, Trigger, effective_cooldown};

/// The cooldown of a group; `None` where nothing waits for one.
pub(super) fn cooldown(plan: &Group) -> Option<Cooldown> {
    let waits = |scaling: &Scaling| match scaling {
        Scaling::Simple(_) => Trigger::Simple.waits_for_cooldown(),
        Scaling::Manual { honor_cooldown, .. } => {
            Trigger::Manual { honor_cooldown: *honor_cooldown }.waits_for_cooldown()
        }
        _ => false,
    };
    plan.scaling.iter().any(waits).then(Cooldown::default)
}

impl System {
    /// The desired capacity was changed, and what follows from that has begun. `cooldown` is that of the policy that did it,
    /// where it has its own.
    pub(super) fn activity_begins(&mut self, group: GroupId, cooldown: Option<Span>, now: Time) {
        let own = effective_cooldown(cooldown, self.plan.groups[group.index()].default_cooldown);
        if let Some(cooldown) = &mut self.fleets[group.index()].cooldown {
            cooldown.begin(own);
            self.activity_goes_on(group, now);
        }
    }

    /// An instance is in service, or gone: the last one ends the activity, and its cooldown begins.
    pub(super) fn activity_goes_on(&mut self, group: GroupId, now: Time) {
        if self.fleets[group.index()].cooldown.is_none() || self.under_way(group) != (0, 0) {
            return;
        }
        if let Some(cooldown) = &mut self.fleets[group.index()].cooldown {
            cooldown.finish(now);
        }
    }

    /// Where the group stands between two activities.
    pub(super) fn activity_of(&self, group: GroupId, now: Time) -> ActivityState {
        let Some(cooldown) = &self.fleets[group.index()].cooldown else { return ActivityState::None };
        let (launching, terminating) = self.under_way(group);
        cooldown.activity(now, launching, terminating)
    }

    /// Instances that are launched and not in service yet, and instances that are being terminated and not gone yet.
    fn under_way(&self, group: GroupId) -> (u32, u32) {
        let census = self.census(group);
        (census.launching, census.terminating)
    }
}
