//! What somebody does with single instances by hand, and processes that somebody suspends.

use sim_core::{Calendar, Time};

use super::hooks::Visit;
use super::{State, System};
use crate::event::Event;
use crate::plan::{GroupId, InstanceAction, InstanceActionKind};
use crate::results::ActivityKind;
use crate::system::ending::Ending;
use crate::system::incidents::instances;
use crate::system::instance::Instance;

impl System {
    /// Somebody does something with instances of a group.
    pub(in crate::system) fn instance_action(
        &mut self,
        group: GroupId,
        index: u16,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let action = self.plan.groups[group.index()].lifecycle.actions[usize::from(index)].clone();
        let slots = self.those(group, &action);
        let numbers: Vec<u64> = slots.iter().map(|&slot| self.instances[slot].number).collect();
        let words = words(action.kind);
        if slots.is_empty() {
            let description = format!("By hand: {words} no instance, as none can be.");
            return self.log(group, ActivityKind::NoAction, now, description);
        }
        if let Err(why) = self.resize_with(group, action.kind, slots.len() as u32, now) {
            let description = format!("By hand: {words} {} was refused: {why}.", instances(&numbers));
            return self.log(group, ActivityKind::NoAction, now, description);
        }
        self.log(group, ActivityKind::Manual, now, format!("By hand: {words} {}.", instances(&numbers)));
        for slot in slots {
            self.act(slot, action.kind, calendar);
        }
        self.reconcile(group, calendar);
        if decrements(action.kind) {
            self.rebalance(group, calendar);
        }
    }

    /// The instances that an action is about: those that have been in service longest, or in standby, of those it can be about.
    fn those(&self, group: GroupId, action: &InstanceAction) -> Vec<u32> {
        let can = |instance: &Instance| match action.kind {
            InstanceActionKind::Protect => instance.in_service() && !instance.standing.protected,
            InstanceActionKind::Unprotect => instance.in_service() && instance.standing.protected,
            InstanceActionKind::ExitStandby => instance.standing.state == State::Standby,
            InstanceActionKind::EnterStandby { .. } | InstanceActionKind::Stop => {
                instance.in_service() && instance.crashed.is_none()
            }
            InstanceActionKind::Detach { .. }
            | InstanceActionKind::Terminate { .. }
            | InstanceActionKind::SetUnhealthy { .. } => instance.in_service(),
        };
        let members = self.fleets[group.index()].members.iter().copied();
        let mut slots: Vec<u32> = members.filter(|&slot| can(&self.instances[slot])).collect();
        slots.sort_by_key(|&slot| (self.instances[slot].standing.since, self.instances[slot].number));
        slots.truncate(action.count as usize);
        slots
    }

    /// The desired capacity goes down or up with instances, or the action is refused.
    fn resize_with(
        &mut self,
        group: GroupId,
        kind: InstanceActionKind,
        count: u32,
        now: Time,
    ) -> Result<(), String> {
        let fleet = &self.fleets[group.index()];
        let wanted = match kind {
            InstanceActionKind::ExitStandby => fleet.desired + count,
            _ if decrements(kind) => match fleet.desired.checked_sub(count) {
                Some(wanted) => wanted,
                None => return Err("the desired capacity would be below zero".to_string()),
            },
            _ => return Ok(()),
        };
        if wanted < fleet.min {
            return Err(format!("the desired capacity would be below the minimum of {}", fleet.min));
        }
        if wanted > fleet.max {
            return Err(format!("the desired capacity would be above the maximum of {}", fleet.max));
        }
        self.resize(group, wanted, "somebody", now);
        Ok(())
    }

    fn act(&mut self, slot: u32, kind: InstanceActionKind, calendar: &mut Calendar<Event>) {
        match kind {
            InstanceActionKind::Protect => self.instances[slot].standing.protected = true,
            InstanceActionKind::Unprotect => self.instances[slot].standing.protected = false,
            InstanceActionKind::EnterStandby { .. } => self.enter_standby(slot, calendar),
            InstanceActionKind::ExitStandby => {
                self.instances[slot].standing.state = State::Pending;
                self.runs(slot, Visit::Back, calendar);
            }
            InstanceActionKind::Detach { .. } => self.take_out(slot, State::Detaching, "by hand", calendar),
            InstanceActionKind::Terminate { .. } => self.terminate(slot, "by hand", calendar),
            InstanceActionKind::Stop => {
                let instance = &mut self.instances[slot];
                (instance.impaired, instance.standing.stopped) = (true, true);
                self.stop(slot, calendar);
            }
            InstanceActionKind::SetUnhealthy { respect_grace_period } => {
                self.instances[slot].standing.marked = Some(respect_grace_period);
            }
        }
    }

    /// An instance leaves service for a while: it gets no new requests, and what it has may go on until the deregistration
    /// delay is over.
    fn enter_standby(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let delay = self.deregister(slot, calendar);
        self.rooms_leave(slot, calendar);
        let reference = self.instances.reference(slot);
        let instance = &mut self.instances[slot];
        instance.standing.state = State::Standby;
        instance.standing.until = Some(calendar.now() + delay);
        instance.first_healthy = None; // it is checked anew when it comes back
        calendar.after(delay, Event::Lifecycle(reference));
    }

    /// The deregistration delay of an instance in standby is over: what still runs is cut, and the server goes on.
    pub(super) fn cut_off(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        self.instances[slot].standing.until = None;
        self.reset_flows(slot, calendar);
        if self.instances[slot].server.inside == 0 && self.sessions_at(slot) == 0 {
            return;
        }
        self.log_cut_sessions(slot, calendar.now());
        self.instances[slot].lives.clear();
        self.lose_requests(slot, Ending::CutOff, calendar);
        self.start_background(slot, calendar);
    }

    /// Somebody suspends processes of a group, or resumes them.
    pub(in crate::system) fn suspension(
        &mut self,
        group: GroupId,
        index: u16,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let suspension = &self.plan.groups[group.index()].lifecycle.suspensions[usize::from(index)];
        let resumed = suspension.until == Some(now);
        let names: Vec<&str> = suspension.processes.iter().map(|process| process.name()).collect();
        let verb = if resumed { "resumed" } else { "suspended" };
        let words = format!("By hand: {verb} {}.", names.join(", "));
        self.log(group, ActivityKind::Manual, now, words);
        if resumed && now > Time::ZERO {
            self.reconcile(group, calendar);
            self.rebalance(group, calendar);
        }
    }
}

fn decrements(kind: InstanceActionKind) -> bool {
    matches!(
        kind,
        InstanceActionKind::EnterStandby { decrement: true }
            | InstanceActionKind::Detach { decrement: true }
            | InstanceActionKind::Terminate { decrement: true }
    )
}

/// What the log says that somebody does.
fn words(kind: InstanceActionKind) -> &'static str {
    match kind {
        InstanceActionKind::Protect => "protecting",
        InstanceActionKind::Unprotect => "no longer protecting",
        InstanceActionKind::EnterStandby { .. } => "standby for",
        InstanceActionKind::ExitStandby => "back into service with",
        InstanceActionKind::Detach { .. } => "detaching",
        InstanceActionKind::Terminate { .. } => "terminating",
        InstanceActionKind::Stop => "stopping",
        InstanceActionKind::SetUnhealthy { .. } => "SetInstanceHealth Unhealthy of",
    }
}
