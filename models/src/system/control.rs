//! The control plane: once a minute, metric periods close, alarms are evaluated, policies decide, and each group's
//! desired capacity follows. What the log says of a decision carries its numbers.

use sim_core::{Calendar, Time};

use super::instance::Phase;
use super::{MINUTE, System};
use crate::cost::{BalancerUsage, HourOfUse, InstanceUsage, Usage};
use crate::event::Event;
use crate::measure::MinuteFacts;
use crate::plan::{GroupId, Metric, Scaling};
use crate::results::{Activity, ActivityKind, GroupRow};
use crate::scaling::{self, Decision, Observation};

/// Which mark of [`Instance::seen_core_nanos`](super::Instance::seen_core_nanos) a measurement uses.
const MINUTE_MARK: usize = 0;
const ROW_MARK: usize = 1;

impl System {
    /// The minute ends.
    pub(super) fn minute(&mut self, calendar: &mut Calendar<Event>) {
        for balancer in &mut self.measure.balancers {
            balancer.by_minute.push((balancer.requests, balancer.bytes));
        }
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            let mut facts = self.observe_minute(group, calendar.now());
            self.decide(group, &mut facts, calendar);
            self.fleets[group.index()].facts.push(facts);
            self.replace_unhealthy(group, calendar);
        }
    }

    /// Closes the minute's metric period and gathers its facts.
    pub(super) fn observe_minute(&mut self, group: GroupId, now: Time) -> MinuteFacts {
        let plan = self.plan.groups[group.index()].clone();
        let carried: u64 = self.carried(group);
        let fleet = &mut self.fleets[group.index()];
        let (mut used, mut had, mut hottest, mut queued) = (0.0, 0.0, 0.0f64, 0);
        let (mut metric_sum, mut metric_count, mut serving, mut starting) = (0.0, 0u32, 0, 0);
        let mut oldest_start = now;
        let period_start = now - MINUTE;
        for &slot in &fleet.members {
            let instance = &mut self.instances[slot];
            let total = instance.machine.core_nanos(now);
            let nanos = total - std::mem::replace(&mut instance.seen_core_nanos[MINUTE_MARK], total);
            let utilisation = nanos / (MINUTE.as_nanos() as f64 * f64::from(plan.machine.vcpus));
            if instance.in_service() && instance.warm <= period_start && instance.phase != Phase::Crashed {
                metric_sum += utilisation;
                metric_count += 1;
            }
            if instance.serving() {
                serving += 1;
                used += utilisation;
                had += 1.0;
                let bottleneck =
                    if instance.process.event_loop { nanos / MINUTE.as_nanos() as f64 } else { utilisation };
                hottest = hottest.max(bottleneck);
                queued += instance.process.queued_new;
            } else if instance.starting() {
                starting += 1;
                oldest_start = oldest_start.min(instance.launched);
            }
        }
        let cpu = (metric_count > 0).then(|| 100.0 * metric_sum / f64::from(metric_count));
        let in_minute = carried - std::mem::replace(&mut fleet.carried_at_minute, carried);
        let per_target = (serving > 0 && in_minute > 0).then(|| in_minute as f64 / f64::from(serving));
        fleet.metrics[metric_index(Metric::Cpu)].push(now, cpu);
        fleet.metrics[metric_index(Metric::RequestCountPerTarget)].push(now, per_target);
        MinuteFacts {
            load: in_minute as f64 / MINUTE.as_secs_f64(),
            capacity: f64::from(serving) * self.capacity_per_instance[group.index()],
            cpu: if had > 0.0 { used / had } else { 0.0 },
            hottest,
            serving,
            starting,
            starting_for: now.since(oldest_start).as_secs_f64(),
            desired: fleet.desired,
            max: fleet.max,
            queued,
            refused: fleet.refused - std::mem::replace(&mut fleet.refused_at_minute, fleet.refused),
            lost: std::mem::take(&mut fleet.lost),
            policy: None,
        }
    }

    fn carried(&self, group: GroupId) -> u64 {
        let balancers = self.measure.balancers.iter().zip(&self.plan.balancers);
        balancers.filter(|(_, plan)| plan.targets == group).map(|(carried, _)| carried.requests).sum()
    }

    /// Asks the group's target tracking policies, and does what they say.
    fn decide(&mut self, group: GroupId, facts: &mut MinuteFacts, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let policies = &plan.groups[group.index()].scaling;
        let mut decisions: Vec<(usize, Decision)> = Vec::new();
        for (index, scaling) in policies.iter().enumerate() {
            if let Scaling::TargetTracking(policy) = scaling {
                let observation = self.observation(group, policy, now);
                let fleet = &mut self.fleets[group.index()];
                let decision = scaling::decide(policy, &mut fleet.alarms[index], &observation);
                decisions.push((index, decision));
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
                let by = decisions.iter().find(|(_, decision)| decision.wanted == Some(wanted));
                let description = by.map_or_else(String::new, |(_, decision)| decision.description.clone());
                self.fleets[group.index()].desired = wanted;
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
            .max_by_key(|(_, decision)| decision.wanted.unwrap_or(0))
            .map(|(_, decision)| (decision.verdict, decision.description));
    }

    fn observation(&self, group: GroupId, policy: &scaling::TargetTracking, now: Time) -> Observation {
        let fleet = &self.fleets[group.index()];
        let members = || fleet.members.iter().map(|&slot| &self.instances[slot]);
        let counted = || members().filter(|instance| instance.phase != Phase::Draining);
        let warming = || counted().filter(|instance| instance.running.is_none() || instance.warm > now);
        Observation {
            now,
            datapoints: scaling::visible(&fleet.metrics[metric_index(policy.metric)], policy, now),
            desired: fleet.desired,
            min: fleet.min,
            max: fleet.max,
            in_service: counted().count() as u32 - warming().count() as u32,
            warming: warming().count() as u32,
            warm_at: warming().map(|instance| instance.warm).max(),
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
        let (kind, outcome) = match &plan.groups[group.index()].scaling[usize::from(policy)] {
            Scaling::Manual { desired, .. } => (ActivityKind::Manual, scaling::set_desired(size, *desired)),
            Scaling::Scheduled(action) => (ActivityKind::Scheduled, scaling::apply(action, size)),
            Scaling::TargetTracking(_) => return,
        };
        match outcome {
            Ok((size, description)) => {
                (fleet.min, fleet.desired, fleet.max) = (size.min, size.desired, size.max);
                self.log(group, kind, now, description);
                self.reconcile(group, calendar);
            }
            Err(why) => self.log(group, ActivityKind::NoAction, now, why),
        }
    }

    /// Notes an activity of a group.
    pub(super) fn log(&mut self, group: GroupId, kind: ActivityKind, now: Time, description: String) {
        let activity = self.activity(group, kind, now, description);
        self.measure.log(activity);
    }

    fn log_no_action(&mut self, group: GroupId, policy: usize, decision: &Decision, now: Time) {
        let activity = self.activity(group, ActivityKind::NoAction, now, decision.description.clone());
        let fleet = &mut self.fleets[group.index()];
        let same = fleet.verdicts[policy].same_reason(&decision.verdict);
        fleet.verdicts[policy] = decision.verdict.clone();
        self.measure.log_no_action(&mut fleet.last_no_action[policy], activity, same);
    }

    fn activity(&self, group: GroupId, kind: ActivityKind, now: Time, description: String) -> Activity {
        Activity {
            at: now.as_secs_f64(),
            until: now.as_secs_f64(),
            times: 1,
            group: self.plan.groups[group.index()].name.clone(),
            kind,
            description,
            desired: self.fleets[group.index()].desired,
        }
    }

    /// Closes a row of the recorded series.
    pub(super) fn close_row(&mut self, now: Time) {
        let mut groups = Vec::with_capacity(self.fleets.len());
        let interval = self.measure.interval();
        for (fleet, plan) in self.fleets.iter().zip(&self.plan.groups) {
            let mut row = GroupRow {
                desired: fleet.desired,
                max: fleet.max,
                serving: 0,
                starting: 0,
                draining: 0,
                cpu: 0.0,
                queued: 0,
            };
            let (mut used, mut had) = (0.0, 0.0);
            for &slot in &fleet.members {
                let instance = &mut self.instances[slot];
                let total = instance.machine.core_nanos(now);
                used += total - std::mem::replace(&mut instance.seen_core_nanos[ROW_MARK], total);
                if let Some(running) = instance.running {
                    had += now.since(running.max(now - interval)).as_nanos() as f64
                        * f64::from(plan.machine.vcpus);
                }
                row.queued += instance.process.queued_new;
                row.serving += u32::from(instance.serving());
                row.starting += u32::from(instance.starting());
                row.draining += u32::from(instance.phase == Phase::Draining);
            }
            row.cpu = if had > 0.0 { (100.0 * used / had).min(100.0) } else { 0.0 };
            groups.push(row);
        }
        let cost = self.plan.prices.as_ref().map(|prices| crate::cost::total(prices, &self.usage(now)));
        self.measure.rows.close(now, cost, groups);
    }

    /// Measurement begins.
    pub(super) fn begin_measuring(&mut self, now: Time) {
        self.measure.begin(now);
        for fleet in &mut self.fleets {
            fleet.inside.reset(now);
            fleet.serving.reset(now);
            fleet.serving_min = fleet.serving.value() as u32;
        }
    }

    /// What has been used until now, for the bill.
    pub fn usage(&self, now: Time) -> Usage {
        let minimum = self.measure.billed_minimum();
        let instances = self.fleets.iter().zip(&self.plan.groups).map(|(fleet, plan)| {
            let mut time = fleet.gone;
            for running in fleet.members.iter().filter_map(|&slot| self.instances[slot].running) {
                time.add(now.since(running), minimum);
            }
            InstanceUsage {
                group: plan.name.clone(),
                machine: plan.machine.name.clone(),
                hourly: plan.machine.hourly,
                seconds: time.seconds,
                billed_seconds: time.billed,
            }
        });
        let balancers = self.measure.balancers.iter().zip(&self.plan.balancers).map(|(carried, plan)| {
            let in_progress = self.fleets[plan.targets.index()].inside.mean(now);
            BalancerUsage {
                balancer: plan.name.clone(),
                seconds: now.as_secs_f64(),
                hours: hours(carried, now, in_progress),
            }
        });
        Usage { instances: instances.collect(), balancers: balancers.collect() }
    }
}

fn metric_index(metric: Metric) -> usize {
    match metric {
        Metric::Cpu => 0,
        Metric::RequestCountPerTarget => 1,
    }
}

/// Cuts what a balancer carried into hours.
fn hours(carried: &crate::measure::Carried, now: Time, in_progress: f64) -> Vec<HourOfUse> {
    let mut marks: Vec<(u64, u64)> = carried.by_minute.iter().copied().skip(59).step_by(60).collect();
    let played = now.as_secs_f64();
    if played > 3600.0 * marks.len() as f64 {
        marks.push((carried.requests, carried.bytes));
    }
    let mut before = (0, 0);
    let mut hours = Vec::with_capacity(marks.len());
    for (index, mark) in marks.into_iter().enumerate() {
        hours.push(HourOfUse {
            seconds: (played - 3600.0 * index as f64).min(3600.0),
            requests: (mark.0 - before.0) as f64,
            bytes: (mark.1 - before.1) as f64,
            in_progress,
        });
        before = mark;
    }
    hours
}
