//! The control plane: once a minute, metric periods close, alarms are evaluated, policies decide, and each group's
//! desired capacity follows. What the log says of a decision carries its numbers.

use sim_core::{Calendar, Time};

use super::instance::Phase;
use super::{MINUTE, System};
use crate::event::Event;
use crate::measure::MinuteFacts;
use crate::plan::{GroupId, Scaling};
use crate::results::ActivityKind;
use crate::scaling::{self, Decision, Observation, Policy};

impl System {
    /// The minute ends.
    pub(super) fn minute(&mut self, calendar: &mut Calendar<Event>) {
        for index in 0..self.measure.balancers.len() {
            let in_progress = self.balancer_seconds(index, calendar.now());
            self.measure.balancers[index].close_minute(in_progress);
        }
        for wire in self.sources.iter_mut().filter_map(|source| source.wire.as_mut()) {
            wire.pool.counts.close_minute();
        }
        self.see_spread(calendar.now());
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            let mut facts = self.observe_minute(group, calendar.now(), MINUTE);
            self.decide(group, &mut facts, calendar);
            self.fleets[group.index()].facts.push(facts);
            self.replace_unhealthy(group, calendar);
        }
    }

    /// Asks the group's policies, and does what they say.
    fn decide(&mut self, group: GroupId, facts: &mut MinuteFacts, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let policies = &plan.groups[group.index()].scaling;
        let mut decisions: Vec<(usize, Decision)> = Vec::new();
        for (index, scaling) in policies.iter().enumerate() {
            if let Some(policy) = scaling.policy() {
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
        match combined {
            Some(wanted) if wanted != desired => {
                let kind = if wanted > desired { ActivityKind::ScaleOut } else { ActivityKind::ScaleIn };
                let wants = decisions.iter().find(|(_, decision)| decision.wanted == Some(wanted));
                // A wish for fewer may be cut short by what another policy holds.
                let holds = || decisions.iter().find(|(_, decision)| decision.at_least == Some(wanted));
                let by = wants.or_else(holds);
                let description = by.map_or_else(String::new, |(_, decision)| decision.description.clone());
                let caller = by.and_then(|&(index, _)| policies[index].policy()).map_or_else(
                    || "a scaling policy".to_string(),
                    |policy| policy.caller(name, wanted > desired),
                );
                self.resize(group, wanted, &caller, now);
                self.log(group, kind, now, description);
                self.reconcile(group, calendar);
            }
            _ => {
                for (index, decision) in &decisions {
                    self.log_no_action(group, *index, decision, now);
                }
            }
        }
        facts.policy = decisions
            .into_iter()
            .max_by_key(|(_, decision)| decision.verdict.urgency())
            .map(|(_, decision)| (decision.verdict, decision.description));
    }

    fn observation(&self, group: GroupId, index: usize, policy: &dyn Policy, now: Time) -> Observation {
        let (plan, fleet) = (&self.plan.groups[group.index()], &self.fleets[group.index()]);
        let warm_up = plan.warm_up(&plan.scaling[index]);
        let counted = fleet.members.iter().map(|&slot| &self.instances[slot]);
        // `None` for an instance that does not run yet: nobody can tell when it will be warm.
        let warming: Vec<Option<Time>> = counted
            .filter(|instance| instance.phase != Phase::Draining)
            .map(|instance| instance.warm_at(warm_up))
            .filter(|warm| warm.is_none_or(|warm| warm > now))
            .collect();
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
        }
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
        let fleet = &mut self.fleets[group.index()];
        let size = scaling::Size { min: fleet.min, desired: fleet.desired, max: fleet.max };
        let (kind, caller, outcome) = match &plan.groups[group.index()].scaling[usize::from(policy)] {
            Scaling::Manual { desired, .. } => {
                (ActivityKind::Manual, "somebody".to_string(), scaling::set_desired(size, *desired))
            }
            Scaling::Scheduled(action) => {
                let caller = format!("the scheduled action ({})", action.schedule);
                (ActivityKind::Scheduled, caller, scaling::apply(action, size))
            }
            _ => return,
        };
        match outcome {
            Ok((size, description)) => {
                (fleet.min, fleet.max) = (size.min, size.max);
                self.resize(group, size.desired, &caller, now);
                self.log(group, kind, now, description);
                self.reconcile(group, calendar);
            }
            Err(why) => self.log(group, ActivityKind::NoAction, now, why),
        }
    }
}
