//! Lifecycle hooks: an instance waits in `Pending:Wait` or `Terminating:Wait` until the work is done, or until nobody has said
//! so for too long.

use sim_core::chance::unit;
use sim_core::{Calendar, Span};

use super::{State, System};
use crate::event::Event;
use crate::plan::{GroupId, LifecycleHook, Transition};
use crate::results::ActivityKind;
use crate::scaling::{HookEnd, HookResult, hook_end, hooks_end};
use crate::system::Ending;

/// Which time it is that an instance waits in its group's hooks: each has draws of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// On its way into the warm pool.
    Pool,
    /// On its way into service.
    Service,
    /// Back from standby.
    Back,
    /// On its way out.
    Out,
}

impl System {
    /// How an instance's wait ends in the hooks of a transition; `None` where there is none. Who does the work on an instance
    /// that is dead does none.
    pub(super) fn wait_in_hooks(
        &self,
        group: GroupId,
        number: u64,
        visit: Visit,
        dead: bool,
    ) -> Option<HookEnd> {
        let on = if visit == Visit::Out { Transition::Terminating } else { Transition::Launching };
        let hooks = self.plan.groups[group.index()].lifecycle.hooks.iter();
        let end = |(hook, draws): (&LifecycleHook, &sim_core::Keyed)| {
            let mut draws = draws.at(number << 2 | visit as u64);
            let takes = hook.takes.as_ref().map(|takes| takes.span(&mut draws)).filter(|_| !dead);
            // When a worker is done nobody knows yet; one that records heartbeats has until the global timeout.
            let takes = if hook.until_idle { Some(Span::MAX) } else { takes };
            let fails = unit(&mut draws) < hook.fails;
            hook_end(hook.heartbeat_timeout, hook.default_result, takes, fails, hook.heartbeats)
        };
        let own = hooks.zip(&self.fleets[group.index()].life.hooks).filter(|(hook, _)| hook.on == on);
        hooks_end(&own.map(end).collect::<Vec<HookEnd>>())
    }

    /// An instance runs: it waits in the launch hooks of its group, or comes into service at once.
    pub(in crate::system) fn runs(&mut self, slot: u32, visit: Visit, calendar: &mut Calendar<Event>) {
        let instance = &self.instances[slot];
        match self.wait_in_hooks(instance.group, instance.number, visit, false) {
            Some(end) => self.wait(slot, State::PendingWait, end, calendar),
            None => self.comes_into_service(slot, calendar),
        }
    }

    /// An instance that was taken out has nothing left to do: it waits in the termination hooks of its group, or is gone. One
    /// that never was in service has nothing that anybody would wait for.
    pub(in crate::system) fn drained(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &self.instances[slot];
        if instance.standing.state == State::TerminatingWait {
            return self.idle_in_hooks(slot, calendar);
        }
        let hooks = instance.standing.since.is_some() && instance.standing.state == State::Terminating;
        let hooks = hooks && !(instance.server.inside == 0 && self.ends_when_idle(instance.group));
        let end = hooks.then(|| {
            self.wait_in_hooks(instance.group, instance.number, Visit::Out, instance.crashed.is_some())
        });
        match end.flatten() {
            Some(end) => {
                self.wait(slot, State::TerminatingWait, end, calendar);
                // A cooldown begins after connection draining, and does not wait for the hook.
                self.activity_goes_on(self.instances[slot].group, calendar.now());
            }
            None => self.departs(slot, calendar),
        }
    }

    fn wait(&mut self, slot: u32, state: State, end: HookEnd, calendar: &mut Calendar<Event>) {
        let (now, reference) = (calendar.now(), self.instances.reference(slot));
        let instance = &mut self.instances[slot];
        let standing = &mut instance.standing;
        (standing.state, standing.ends, standing.until) = (state, Some(end), Some(now + end.after));
        calendar.after(end.after, Event::Lifecycle(reference));
        let (group, number) = (instance.group, instance.number);
        let (on, name) = match state {
            State::PendingWait => (Transition::Launching, "Pending:Wait"),
            _ => (Transition::Terminating, "Terminating:Wait"),
        };
        let hooks: Vec<String> = self.plan.groups[group.index()]
            .lifecycle
            .hooks_on(on)
            .map(|hook| format!("`{}`", hook.name))
            .collect();
        let words = format!("Instance {number} is in {name} until {} is done.", hooks.join(" and "));
        self.log(group, ActivityKind::Lifecycle, now, words);
    }

    /// The wait in hooks is over.
    pub(super) fn hook_over(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[slot];
        let (group, number, state) = (instance.group, instance.number, instance.standing.state);
        instance.standing.until = None;
        let Some(end) = instance.standing.ends.take() else { return };
        let how = how(end);
        match (state, end.result) {
            (State::PendingWait, HookResult::Continue) => {
                let words =
                    format!("The launch hooks of instance {number} ended with {how}: it is in service.");
                self.log(group, ActivityKind::Lifecycle, calendar.now(), words);
                self.comes_into_service(slot, calendar);
            }
            (State::PendingWait, HookResult::Abandon) => {
                let because = format!("its launch hooks ended with {how}");
                self.terminate(slot, &because, calendar);
                self.reconcile(group, calendar);
            }
            _ => {
                let words =
                    format!("The termination hooks of instance {number} ended with {how}: it is gone.");
                self.log(group, ActivityKind::Lifecycle, calendar.now(), words);
                if self.instances[slot].server.inside > 0 {
                    self.lose_requests(slot, Ending::CutOff, calendar);
                }
                self.departs(slot, calendar);
            }
        }
    }

    /// True where an instance on its way out goes on with its job while its termination hooks wait: nobody sends requests to a
    /// worker, so there is no draining before them.
    pub(in crate::system) fn works_in_hooks(&self, slot: u32) -> bool {
        let instance = &self.instances[slot];
        let group = &self.plan.groups[instance.group.index()];
        group.worker.is_some()
            && instance.standing.since.is_some()
            && instance.standing.state == State::Terminating
            && group.lifecycle.hooks_on(Transition::Terminating).next().is_some()
    }

    /// True where the termination hooks of a group wait for its workers' jobs and for nothing else.
    fn ends_when_idle(&self, group: GroupId) -> bool {
        let mut hooks =
            self.plan.groups[group.index()].lifecycle.hooks_on(Transition::Terminating).peekable();
        hooks.peek().is_some() && hooks.all(|hook| hook.until_idle)
    }

    /// A worker that waits in its termination hooks has no job any more: it says so where it is to.
    fn idle_in_hooks(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let ends = self.ends_when_idle(self.instances[slot].group);
        let instance = &mut self.instances[slot];
        if ends && let Some(end) = &mut instance.standing.ends {
            let left = instance.standing.until.map_or(Span::ZERO, |until| until.since(calendar.now()));
            (end.result, end.timed_out) = (HookResult::Continue, false);
            end.after = end.after.saturating_sub(left);
            self.hook_over(slot, calendar);
        }
    }

    /// Nothing keeps an instance any longer.
    fn departs(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        if self.instances[slot].standing.returns {
            self.returns_to_pool(slot, calendar.now());
        }
        self.gone(slot, calendar);
    }
}

/// `CONTINUE after 2min`, `ABANDON by default after 1h without an answer`.
pub(super) fn how(end: HookEnd) -> String {
    let result = match end.result {
        HookResult::Continue => "CONTINUE",
        HookResult::Abandon => "ABANDON",
    };
    match end.timed_out {
        true => format!("{result} by default after {} without an answer", end.after),
        false => format!("{result} after {}", end.after),
    }
}
