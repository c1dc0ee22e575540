//! The control plane: once a minute, metric periods close, alarms are evaluated, policies decide, and each group's
//! desired capacity follows. What the log says of a decision carries its numbers.

use sim_core::{Calendar, Span, Time};

use super::instance::Phase;
use super::{MINUTE, System};
use crate::cost::{BalancerUsage, HourOfUse, InstanceUsage, Surplus, Usage};
use crate::event::Event;
use crate::machine::{Supply, Tally};
use crate::measure::{Carried, CarriedMark, MachineTotals, MinuteFacts};
use crate::plan::{GroupId, Metric, Scaling, TargetGroup};
use crate::results::{Activity, ActivityKind, GroupRow};
use crate::scaling::{self, Datapoint, Decision, Observation};

/// Which mark of [`Instance::seen_core_nanos`](super::Instance::seen_core_nanos) a measurement uses.
const MINUTE_MARK: usize = 0;
const ROW_MARK: usize = 1;

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

    /// Closes the minute's metric periods and gathers its facts. The last minute of a run may have less than 60 s.
    pub(super) fn observe_minute(&mut self, group: GroupId, now: Time, length: Span) -> MinuteFacts {
        let plan = self.plan.clone();
        let plan = &plan.groups[group.index()];
        let trouble = self.trouble_of_minute(group, now);
        let runtime = self.plan.services[plan.service.index()].runtime;
        let allotted = plan.machine.processor.allotted();
        let threads = f64::from(runtime.computing_threads(plan.machine.processor.vcpus)).min(allotted);
        let throttled = self.machine_totals(group).throttled;
        let (sent, turned_away) = (self.sent(group), self.turned_away_so_far(group));
        let (mut used, mut had, mut hottest, mut queued) = (0.0, 0.0, 0.0f64, 0);
        let (mut bottlenecks, mut busiest_worker) = (0.0, 0.0f64);
        let (mut serving, mut unhealthy, mut starting, mut without_credits) = (0, 0, 0, 0);
        // Without a healthy target all get requests.
        let fails_open = self.balancers_of(group).iter().any(|id| self.rotations[id.index()].fails_open());
        let fleet = &mut self.fleets[group.index()];
        let mut oldest_start = now;
        let period_start = now - length;
        let nanos_had = length.as_nanos().max(1) as f64;
        // What each policy's group metric sums up: instances that were warm for it all the period.
        let mut warm: Vec<(f64, u32)> = vec![(0.0, 0); plan.scaling.len()];
        for &slot in &fleet.members {
            let instance = &mut self.instances[slot];
            instance.machine.settle(now);
            let total = instance.machine.core_nanos(now);
            let nanos = total - std::mem::replace(&mut instance.seen_core_nanos[MINUTE_MARK], total);
            let utilisation = nanos / (nanos_had * allotted);
            // A machine whose server is dead goes on, and its CPU idles.
            if instance.in_service() && !instance.impaired {
                for (policy, (sum, count)) in plan.scaling.iter().zip(&mut warm) {
                    if instance.warm_at(plan.warm_up(policy)).is_some_and(|warm| warm <= period_start) {
                        *sum += 100.0 * utilisation;
                        *count += 1;
                    }
                }
            }
            unhealthy += u32::from(instance.taken_out() && !fails_open);
            if instance.serving() || fails_open && instance.taken_out() {
                serving += 1;
                used += utilisation;
                had += 1.0;
                // Of what its threads could have used: one event loop is full when it has used one vCPU.
                let bottleneck = (nanos / (nanos_had * threads)).min(1.0);
                hottest = hottest.max(bottleneck);
                bottlenecks += bottleneck;
                let imbalance = instance.server.imbalance_of_minute().unwrap_or(1.0);
                busiest_worker = busiest_worker.max((bottleneck * imbalance).min(1.0));
                queued += instance.server.queued_new();
                without_credits += u32::from(instance.machine.supply().is_some_and(Supply::is_empty));
            } else if instance.starting() {
                starting += 1;
                oldest_start = oldest_start.min(instance.launched);
            }
        }
        let in_minute = fleet.received - std::mem::replace(&mut fleet.received_at_minute, fleet.received);
        let messages = fleet.messages - std::mem::replace(&mut fleet.messages_at_minute, fleet.messages);
        let integral = fleet.connections.integral(now);
        let connections = (integral - std::mem::replace(&mut fleet.connections_at_minute, integral))
            / length.as_secs_f64().max(1e-9);
        for ((policy, metric), (sum, count)) in plan.scaling.iter().zip(&mut fleet.metrics).zip(warm) {
            let Scaling::TargetTracking(policy) = policy else { continue };
            let point = match policy.metric {
                Metric::Cpu => (count > 0).then(|| Datapoint::of(sum / f64::from(count), count)),
                // The balancer's metric knows nothing of warm-ups.
                Metric::RequestCountPerTarget => (serving > 0 && in_minute > 0)
                    .then(|| Datapoint::of(in_minute as f64 / f64::from(serving), serving)),
                Metric::ConnectionsPerTarget => {
                    (serving > 0).then(|| Datapoint::of(connections / f64::from(serving), serving))
                }
            };
            metric.push(now, point);
        }
        let before = std::mem::replace(&mut fleet.sent_at_minute, sent);
        let before_that = std::mem::replace(&mut fleet.turned_away_at_minute, turned_away);
        let [requests, attempts] = [sent[0] - before[0], sent[1] - before[1]];
        let first = if attempts > requests { requests as f64 / attempts as f64 } else { 1.0 };
        MinuteFacts {
            asked: (first * in_minute as f64 + messages as f64) / length.as_secs_f64().max(1e-9),
            load: (in_minute + messages) as f64 / length.as_secs_f64().max(1e-9),
            capacity: f64::from(serving) * self.capacity_per_instance[group.index()],
            cpu: if had > 0.0 { used / had } else { 0.0 },
            hottest,
            evenly: if had > 0.0 { bottlenecks / had } else { 0.0 },
            busiest_worker,
            serving,
            unhealthy,
            starting,
            starting_for: now.since(oldest_start).as_secs_f64(),
            desired: fleet.desired,
            max: fleet.max,
            queued,
            refused: fleet.refused - std::mem::replace(&mut fleet.refused_at_minute, fleet.refused),
            turned_away: std::array::from_fn(|kind| turned_away[kind] - before_that[kind]),
            lost: std::mem::take(&mut fleet.lost),
            dropped: std::mem::take(&mut fleet.dropped),
            returning: fleet.returns as f64 / in_minute.max(1) as f64,
            returns: std::mem::take(&mut fleet.returns),
            throttled: throttled - std::mem::replace(&mut fleet.throttled_at_minute, throttled),
            without_credits,
            policy: None,
            trouble,
        }
    }

    /// What the machines of a group have counted so far.
    pub(super) fn machine_totals(&self, group: GroupId) -> MachineTotals {
        let mut totals = self.measure.gone_machines[group.index()];
        for &slot in &self.fleets[group.index()].members {
            totals.add(&self.instances[slot].machine);
        }
        totals
    }

    /// What the run queues of a group have counted so far; nothing where nobody takes turns one by one.
    pub(super) fn tally(&self, group: GroupId) -> Tally {
        let mut tally = self.measure.gone_tallies[group.index()].clone();
        for own in
            self.fleets[group.index()].members.iter().filter_map(|&slot| self.instances[slot].machine.tally())
        {
            tally.add(&own);
        }
        tally
    }

    /// Requests and attempts that the sources have sent which ask a group, directly or through others.
    fn sent(&self, group: GroupId) -> [u64; 2] {
        self.asked_by[group.index()].iter().fold([0, 0], |[requests, attempts], source| {
            let sent = &self.measure.sources[source.index()].requests;
            [requests + sent.offered, attempts + sent.attempts]
        })
    }

    /// Whom a group's limits have turned away: rate limiters, circuit breakers with too many in progress, open ones, servers.
    fn turned_away_so_far(&self, group: GroupId) -> [u64; 4] {
        let own = self.measure.limits.iter().zip(&self.plan.balancers).filter(|(_, plan)| plan.has(group));
        own.fold([0, 0, 0, self.fleets[group.index()].shed], |[limited, full, open, shed], (own, _)| {
            [limited + own.rate_limited, full + own.overflowed, open + own.circuit_open, shed]
        })
    }

    /// Asks the group's target tracking policies, and does what they say.
    fn decide(&mut self, group: GroupId, facts: &mut MinuteFacts, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let policies = &plan.groups[group.index()].scaling;
        let mut decisions: Vec<(usize, Decision)> = Vec::new();
        for (index, scaling) in policies.iter().enumerate() {
            if let Scaling::TargetTracking(policy) = scaling {
                let observation = self.observation(group, index, policy, now);
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
                self.fleets[group.index()].resize(wanted);
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

    fn observation(
        &self,
        group: GroupId,
        index: usize,
        policy: &scaling::TargetTracking,
        now: Time,
    ) -> Observation {
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
            datapoints: scaling::visible(&fleet.metrics[index], policy, now),
            desired: fleet.desired,
            min: fleet.min,
            max: fleet.max,
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
        let (kind, outcome) = match &plan.groups[group.index()].scaling[usize::from(policy)] {
            Scaling::Manual { desired, .. } => (ActivityKind::Manual, scaling::set_desired(size, *desired)),
            Scaling::Scheduled(action) => (ActivityKind::Scheduled, scaling::apply(action, size)),
            Scaling::TargetTracking(_) => return,
        };
        match outcome {
            Ok((size, description)) => {
                (fleet.min, fleet.max) = (size.min, size.max);
                fleet.resize(size.desired);
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
        let mut description = decision.description.clone();
        if decision.wanted.is_some() {
            description.push_str(" Not done: another policy of the group does not want to scale in.");
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
        let opened = self.measure.rows.closed.last().map_or(Time::ZERO, |row| row.end);
        for (fleet, plan) in self.fleets.iter().zip(&self.plan.groups) {
            let mut row = GroupRow {
                desired: fleet.desired,
                max: fleet.max,
                serving: 0,
                starting: 0,
                draining: 0,
                cpu: 0.0,
                queued: 0,
                sessions: fleet.connections.value() as u32,
            };
            let (mut used, mut had) = (0.0, 0.0);
            for &slot in &fleet.members {
                let instance = &mut self.instances[slot];
                let total = instance.machine.core_nanos(now);
                used += total - std::mem::replace(&mut instance.seen_core_nanos[ROW_MARK], total);
                if let Some(running) = instance.running {
                    had +=
                        now.since(running.max(opened)).as_nanos() as f64 * plan.machine.processor.allotted();
                }
                row.queued += instance.server.queued_new();
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
        self.count_sessions_from(now);
        self.sources
            .iter_mut()
            .filter_map(|source| source.wire.as_mut())
            .for_each(|wire| wire.pool.counts.begin(now));
        let totals = |index: usize| self.machine_totals(GroupId(index as u16));
        self.measure.machines_before = (0..self.fleets.len()).map(totals).collect();
        let tally = |index: usize| self.tally(GroupId(index as u16));
        self.measure.tallies_before = (0..self.fleets.len()).map(tally).collect();
        let ids = || (0..self.fleets.len()).map(|index| GroupId(index as u16));
        let sent: Vec<[u64; 2]> = ids().map(|id| self.sent(id)).collect();
        let turned_away: Vec<[u64; 4]> = ids().map(|id| self.turned_away_so_far(id)).collect();
        for (group, fleet) in self.fleets.iter_mut().enumerate() {
            fleet.request_seconds_before += fleet.inside.integral(now);
            fleet.refused_before = fleet.refused;
            fleet.shed_before = fleet.shed;
            (fleet.sent_at_minute, fleet.turned_away_at_minute) = (sent[group], turned_away[group]);
            let [used, had] = &mut self.measure.cores_before[group];
            [*used, *had] = self.measure.gone_cores[group];
            for &slot in &fleet.members {
                *used += self.instances[slot].machine.core_nanos(now);
                *had += self.instances[slot].cores_had(now);
            }
            fleet.inside.reset(now);
            fleet.serving.reset(now);
            fleet.serving_min = fleet.serving.value() as u32;
        }
    }

    /// The integrals of requests in progress behind a balancer, and of connections that clients keep open to it.
    fn balancer_seconds(&self, index: usize, now: Time) -> f64 {
        let of = |target: &TargetGroup| self.fleets[target.group.index()].in_progress_seconds(now);
        let inside = self.plan.balancers[index].targets.iter().map(of).sum();
        let sources = self.sources.iter().zip(&self.plan.traffic);
        let own = sources.filter(|(_, traffic)| traffic.to.index() == index && traffic.connections.is_some());
        own.filter_map(|(source, _)| source.wire.as_ref())
            .map(|wire| wire.pool.counts.open_seconds(now))
            .fold(inside, |sum, open| sum + open)
    }

    /// What has been used until now, for the bill.
    pub fn usage(&self, now: Time) -> Usage {
        let minimum = self.measure.billed_minimum();
        let instances =
            (0u16..).map(GroupId).zip(&self.fleets).zip(&self.plan.groups).map(|((id, fleet), plan)| {
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
                    surplus: plan.machine.processor.credits.filter(|credits| credits.unlimited).map(
                        |credits| Surplus {
                            vcpu_hours: self.machine_totals(id).surplus_hours,
                            price: credits.surplus_price,
                        },
                    ),
                }
            });
        let balancers = self.measure.balancers.iter().zip(&self.plan.balancers).enumerate();
        let balancers = balancers.map(|(index, (carried, plan))| {
            let in_progress = self.balancer_seconds(index, now);
            BalancerUsage {
                balancer: plan.name.clone(),
                seconds: now.as_secs_f64(),
                kept: carried.shared > 0,
                hours: hours(carried, now, in_progress),
            }
        });
        Usage { instances: instances.collect(), balancers: balancers.collect() }
    }
}

/// Cuts what a balancer carried into hours. `request_seconds` is what has been in progress until `now`.
fn hours(carried: &Carried, now: Time, request_seconds: f64) -> Vec<HourOfUse> {
    let mut marks: Vec<CarriedMark> = carried.by_minute.iter().copied().skip(59).step_by(60).collect();
    let played = now.as_secs_f64();
    if played > 3600.0 * marks.len() as f64 {
        marks.push(carried.mark(request_seconds));
    }
    let mut before = CarriedMark::default();
    let mut hours = Vec::with_capacity(marks.len());
    for (index, mark) in marks.into_iter().enumerate() {
        let seconds = (played - 3600.0 * index as f64).min(3600.0);
        hours.push(HourOfUse {
            seconds,
            connections: ((mark.requests - before.requests) - (mark.shared - before.shared)) as f64,
            bytes: (mark.bytes - before.bytes) as f64,
            in_progress: (mark.request_seconds - before.request_seconds) / seconds.max(1e-9),
        });
        before = mark;
    }
    hours
}
