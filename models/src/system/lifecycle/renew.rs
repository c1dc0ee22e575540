//! The maximum lifetime of instances: one that is older is replaced, the old one first.

use sim_core::{Calendar, Time};

use super::{State, System};
use crate::event::Event;
use crate::plan::{GroupId, Process};
use crate::results::ActivityKind;
use crate::scaling::expired_at_once;

impl System {
    /// Replaces instances that are past their maximum lifetime, the oldest first.
    pub(super) fn renew(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let Some(lifetime) = self.plan.groups[group.index()].lifecycle.max_lifetime else { return };
        let now = calendar.now();
        if self.census(group).oldest.is_none_or(|launched| now.since(launched) < lifetime) {
            return;
        }
        let halted = [Process::Launch, Process::Terminate];
        if halted.into_iter().any(|process| self.suspended(group, process, now)) {
            return;
        }
        let in_service = |&slot: &u32| self.instances[slot].in_service();
        let expired: Vec<u32> = self
            .counted(group)
            .filter(in_service)
            .filter(|&slot| now.since(self.instances[slot].launched) >= lifetime)
            .collect();
        let under_way = self.counted(group).filter(|&slot| self.is_new(slot, now)).count() as u32;
        let desired = self.fleets[group.index()].desired;
        let at_once = expired_at_once(expired.len() as u32, desired, under_way) as usize;
        for slot in expired.into_iter().take(at_once) {
            let instance = &self.instances[slot];
            let words = format!(
                "Replacing instance {}: it is {} old, and instances of this group live for {lifetime}.",
                instance.number,
                now.since(instance.launched)
            );
            self.log(group, ActivityKind::Replace, now, words);
            self.terminate(slot, "it is past its maximum lifetime", calendar);
        }
        if at_once > 0 {
            self.reconcile(group, calendar);
        }
    }

    /// True where an instance was launched in the run and cannot take the place of another yet.
    fn is_new(&self, slot: u32, now: Time) -> bool {
        let standing = &self.instances[slot].standing;
        matches!(standing.state, State::Pending | State::PendingWait)
            || standing.since != Some(Time::ZERO) && !self.is_ready(slot, now)
    }
}
