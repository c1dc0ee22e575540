//! The control plane: once a minute, metric periods close, alarms are evaluated, policies decide, and each group's
//! desired capacity follows. What the log says of a decision carries its numbers.

use sim_core::{Calendar, Span, Time};

use super::{MINUTE, System};
use crate::event::Event;
use crate::plan::{GroupId, Process, Scaling};
use crate::results::ActivityKind;
use crate::scaling::{self, ActivityState, Decision, Observation, Policy, Trigger, Verdict};

/// Why a group that a release holds at nothing does not grow.
pub(super) const HELD_AT_ZERO: &str = "a release holds the group at 0";

impl System {
    /// The minute ends.
    #[inline(never)] // inside the match over events its variables would be on every request's way
    pub(super) fn minute(&mut self, calendar: &mut Calendar<Event>) {
        for index in 0..self.measure.balancers.len() {
            let in_progress = self.balancer_seconds(index, calendar.now());
            self.measure.balancers[index].close_minute(in_progress);
        }
        for wire in self.sources.iter_mut().filter_map(|source| source.wire.as_mut()) {
            wire.pool.counts.close_minute();
        }
        self.catch_up_with_queues(calendar);
        self.close_minute_of_queues(calendar.now());
        self.see_spread(calendar.now());
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            let mut facts = self.observe_minute(group, calendar.now(), MINUTE);
            if self.plan.groups[group.index()].high_resolution() {
                self.measure_ten_seconds(group, calendar.now());
            }
            facts.policy = self.decide(group, |_| true, calendar);
            self.fleets[group.index()].facts.push(facts);
            self.replace_unhealthy(group, calendar);
            self.lifecycle_minute(group, calendar);
        }
        self.mark_hour(calendar.now());
    }

    /// High-resolution alarms are evaluated. At the end of a minute that is done with all others.
    pub(super) fn ten_seconds(&mut self, calendar: &mut Calendar<Event>) {
        if calendar.now().as_nanos().is_multiple_of(MINUTE.as_nanos()) {
            return;
        }
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            if self.plan.groups[group.index()].high_resolution() {
                self.measure_ten_seconds(group, calendar.now());
                self.decide(group, |policy| policy.high_resolution(), calendar);
            }
        }
    }

    /// Asks those of the group's policies that are due, and does what they say. Returns what the one that most wants the
    /// group to grow said.
    fn decide(
        &mut self,
        group: GroupId,
        due: impl Fn(&dyn Policy) -> bool,
        calendar: &mut Calendar<Event>,
    ) -> Option<(Verdict, String)> {
        let now = calendar.now();
        let plan = self.plan.clone();
        let policies = &plan.groups[group.index()].scaling;
        let mut decisions: Vec<(usize, Decision)> = Vec::new();
        for (index, scaling) in policies.iter().enumerate() {
            if let Some(policy) = scaling.policy().filter(|policy| due(*policy)) {
                let observation = self.observation(group, index, policy, now);
                let fleet = &mut self.fleets[group.index()];
                decisions.push((index, policy.decide(&mut fleet.memories[index], &observation)));
            }
        }
        let name = &plan.groups[group.index()].name;
        for (_, decision) in &decisions {
            for transition in &decision.transitions {
                self.log(group, ActivityKind::Alarm, now, transition.describe(name));
            }
        }
        let combined = scaling::combine(decisions.iter().map(|(_, decision)| decision));
        let desired = self.fleets[group.index()].desired;
        let halted = self.halted(group, now);
        let why = halted.unwrap_or("another policy of the group does not want to scale in");
        match combined {
            Some(wanted) if wanted != desired && halted.is_none() => {
                let kind = if wanted > desired { ActivityKind::ScaleOut } else { ActivityKind::ScaleIn };
                let wants = decisions.iter().find(|(_, decision)| decision.wanted == Some(wanted));
                // A wish for fewer may be cut short by what another policy holds.
                let holds = || decisions.iter().find(|(_, decision)| decision.at_least == Some(wanted));
                let by = wants.or_else(holds);
                let description = by.map_or_else(String::new, |(_, decision)| decision.description.clone());
                let acts = by.and_then(|&(index, _)| policies[index].policy());
                let caller = acts.map_or_else(
                    || "a scaling policy".to_string(),
                    |policy| policy.caller(name, wanted > desired),
                );
                if let Some(&(index, _)) = by {
                    self.fleets[group.index()].memories[index].acted(now);
                }
                self.resize(group, wanted, &caller, now);
                self.log(group, kind, now, description);
                self.reconcile(group, calendar);
                self.activity_begins(group, acts.and_then(Policy::cooldown), now);
            }
            _ => {
                for (index, decision) in &decisions {
                    self.log_no_action(group, *index, decision, why, now);
                }
            }
        }
        let most = decisions.into_iter().max_by_key(|(_, decision)| decision.verdict.urgency());
        most.map(|(_, decision)| (decision.verdict, decision.description))
            .or_else(|| self.autoscaler_said(group))
    }

    /// Why nothing is done of what policies want; `None` where it is.
    fn halted(&self, group: GroupId, now: Time) -> Option<&'static str> {
        if self.suspended(group, Process::AlarmNotification, now) {
            Some("alarm-notification is suspended")
        } else {
            self.held_at_zero(group).then_some(HELD_AT_ZERO)
        }
    }

    fn observation(&self, group: GroupId, index: usize, policy: &dyn Policy, now: Time) -> Observation {
        let (plan, fleet) = (&self.plan.groups[group.index()], &self.fleets[group.index()]);
        let warm_up = plan.warm_up(&plan.scaling[index]);
        let census = self.census(group);
        let warming =
            if census.all_warm(warm_up, now) { Vec::new() } else { self.warming(group, warm_up, now) };
        Observation {
            now,
            datapoints: (fleet.metrics[index].iter())
                .map(|(_, datapoints)| datapoints.visible(now, policy.lookback()))
                .collect(),
            desired: fleet.desired,
            min: fleet.min,
            max: fleet.max_now(),
            warming: warming.len() as u32,
            warm_at: warming.into_iter().collect::<Option<Vec<Time>>>().and_then(|all| all.into_iter().max()),
            // Those in standby neither count nor go.
            terminating: census.leaving,
            activity: self.activity_of(group, now),
        }
    }

    /// When each instance that counts and is not warm will be; `None` for one that does not run yet, of which nobody can tell.
    fn warming(&self, group: GroupId, warm_up: Span, now: Time) -> Vec<Option<Time>> {
        let warm = self.counted(group).map(|slot| self.instances[slot].warm_at(warm_up));
        warm.filter(|warm| warm.is_none_or(|warm| warm > now)).collect()
    }

    /// A scheduled action or a manual change is due.
    pub(super) fn run_schedule(
        &mut self,
        group: GroupId,
        policy: u16,
        _: u32,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let activity = self.activity_of(group, now);
        let scheduled_off = self.suspended(group, Process::ScheduledActions, now);
        let fleet = &mut self.fleets[group.index()];
        let size = scaling::Size { min: fleet.min, desired: fleet.desired, max: fleet.max };
        let (kind, caller, outcome) = match &plan.groups[group.index()].scaling[usize::from(policy)] {
            Scaling::Manual { desired, honor_cooldown, .. } => {
                let trigger = Trigger::Manual { honor_cooldown: *honor_cooldown };
                let outcome = match trigger.may_act(activity) {
                    true => scaling::set_desired(size, *desired),
                    false => Err(refused(*desired, activity)),
                };
                (ActivityKind::Manual, "somebody".to_string(), outcome)
            }
            Scaling::Scheduled(action) => {
                let caller = format!("the scheduled action ({})", action.schedule);
                let outcome = match scheduled_off {
                    true => Err(format!(
                        "Scheduled action ({}) skipped: scheduled-actions are suspended.",
                        action.schedule
                    )),
                    false => scaling::apply(action, size),
                };
                (ActivityKind::Scheduled, caller, outcome)
            }
            _ => return,
        };
        match outcome {
            Ok((size, description)) => {
                let changes = size.desired != fleet.desired;
                (fleet.min, fleet.max) = (size.min, size.max);
                self.resize(group, size.desired, &caller, now);
                self.log(group, kind, now, description);
                self.reconcile(group, calendar);
                if changes {
                    self.activity_begins(group, None, now);
                }
            }
            Err(why) => self.log(group, ActivityKind::NoAction, now, why),
        }
    }
}

/// A change by hand that honours cooldowns, and came too early.
fn refused(desired: u32, activity: ActivityState) -> String {
    let why = match activity {
        ActivityState::InProgress { launching, terminating } => {
            format!("{launching} instances are being launched and {terminating} terminated")
        }
        ActivityState::CoolingDown { until } => format!("the cooldown runs until {until}"),
        ActivityState::None => "nothing is under way".to_string(),
    };
    format!("Setting the desired capacity to {desired} by hand was refused, as it honours cooldowns: {why}.")
}
