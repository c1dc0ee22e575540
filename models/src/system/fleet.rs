//! Instances and their life: launched, running, booting, app starting, up, in rotation, draining, gone.
//!
//! One rule governs a group: the number of instances it counts follows its desired capacity. [`System::reconcile`]
//! launches what is missing and takes out what is too many; everything else only changes the desired capacity
//! or loses an instance.

use sim_core::dist::Dist;
use sim_core::stats::TimeWeighted;
use sim_core::{Calendar, Keyed, Seed, Span, Time};

use super::System;
use super::ending::Ending;
use super::instance::{Instance, Phase};
use crate::balancer::Latency;
use crate::event::{Event, Ref};
use crate::machine::{Machine, Scheduler};
use crate::measure::MinuteFacts;
use crate::plan::{BalancerId, Group, GroupId, Metric, Scaling};
use crate::results::ActivityKind;
use crate::runtime::Server;
use crate::scaling::{Datapoints, PolicyAlarms, Verdict};

/// A group in mid-run.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The smallest desired capacity, as it stands.
    pub min: u32,
    /// The desired capacity.
    pub desired: u32,
    /// The largest desired capacity, as it stands.
    pub max: u32,
    /// Slots of its instances, oldest first.
    pub members: Vec<u32>,
    /// Instances launched after the start.
    pub launched: u64,
    /// Instances terminated or lost.
    pub terminated: u64,
    /// Requests refused because an accept queue was full.
    pub refused: u64,
    /// Requests inside its instances.
    pub inside: TimeWeighted,
    /// Instances that take requests.
    pub serving: TimeWeighted,
    /// The fewest that did.
    pub serving_min: u32,
    /// Seconds that instances which are gone ran, and what these are billed as.
    pub gone: RunTime,
    /// The metric of each of its policies, in the plan's order, as the control plane sees it.
    pub metrics: Vec<Datapoints>,
    /// The alarms of each of its policies, in the plan's order.
    pub alarms: Vec<PolicyAlarms>,
    /// What each policy said last.
    pub verdicts: Vec<Verdict>,
    /// What happened in each minute, for finding causes.
    pub facts: Vec<MinuteFacts>,
    /// Instances lost since the last minute.
    pub lost: u32,
    /// Requests its balancers had carried at the last minute.
    pub carried_at_minute: u64,
    /// Requests refused until the last minute.
    pub refused_at_minute: u64,
    /// How often CPU quotas had run out at the last minute.
    pub throttled_at_minute: u64,
    /// Requests refused before measurement began.
    pub refused_before: u64,
    /// The integral of what was inside before measurement began.
    pub request_seconds_before: f64,
    /// Where in the log each policy's last decision not to act stands.
    pub last_no_action: Vec<Option<usize>>,
    next_number: u64,
    draws: [Keyed; 3],
}

/// Time that instances ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunTime {
    /// Seconds.
    pub seconds: f64,
    /// Seconds as billed: each start costs a minimum.
    pub billed: f64,
}

impl RunTime {
    /// Adds one instance's time.
    pub fn add(&mut self, ran: Span, minimum: f64) {
        self.seconds += ran.as_secs_f64();
        self.billed += ran.as_secs_f64().max(minimum);
    }
}

impl Fleet {
    /// The group before its first instance.
    pub fn new(plan: &Group, seed: Seed) -> Self {
        let draws = |part: &str| seed.keyed(&format!("group/{}/startup/{part}", plan.name));
        Fleet {
            min: plan.min,
            desired: plan.desired,
            max: plan.max,
            members: Vec::new(),
            launched: 0,
            terminated: 0,
            refused: 0,
            inside: TimeWeighted::new(Time::ZERO, 0.0),
            serving: TimeWeighted::new(Time::ZERO, 0.0),
            serving_min: plan.desired,
            gone: RunTime::default(),
            metrics: plan.scaling.iter().map(|policy| datapoints(plan, policy)).collect(),
            alarms: plan.scaling.iter().map(|_| PolicyAlarms::default()).collect(),
            verdicts: plan.scaling.iter().map(|_| Verdict::InsufficientData).collect(),
            facts: Vec::new(),
            lost: 0,
            carried_at_minute: 0,
            refused_at_minute: 0,
            throttled_at_minute: 0,
            refused_before: 0,
            request_seconds_before: 0.0,
            last_no_action: vec![None; plan.scaling.len()],
            next_number: 0,
            draws: [draws("provision"), draws("boot"), draws("app")],
        }
    }

    /// Sets the desired capacity. What policies say from now on is news again.
    pub fn resize(&mut self, desired: u32) {
        self.desired = desired;
        self.last_no_action.fill(None);
    }

    /// The integral of requests inside its instances, since the start of the run.
    pub fn request_seconds(&self, now: Time) -> f64 {
        self.request_seconds_before + self.inside.integral(now)
    }
}

/// The instances' CPU metric has the period of their monitoring, the balancer's metrics have one of a minute.
fn datapoints(plan: &Group, policy: &Scaling) -> Datapoints {
    let of_balancer =
        matches!(policy, Scaling::TargetTracking(policy) if policy.metric == Metric::RequestCountPerTarget);
    Datapoints::new(if of_balancer { super::MINUTE } else { plan.monitoring }, plan.metric_delay)
}

impl System {
    /// The initial instances are up, warm and in rotation; schedules are set.
    pub(super) fn start_fleets(&mut self, calendar: &mut Calendar<Event>) {
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            for _ in 0..self.fleets[group.index()].desired {
                let instance = self.add_instance(group, calendar);
                let member = &mut self.instances[instance.slot];
                member.phase = Phase::Up;
                member.running = Some(Time::ZERO);
                member.server.seen = u32::MAX; // warm
                self.boot(instance.slot, calendar);
                for balancer in self.balancers_of(group) {
                    self.join(balancer, instance.slot, Time::ZERO);
                }
            }
            let plan = self.plan.clone();
            for (policy, scaling) in (0u16..).zip(&plan.groups[group.index()].scaling) {
                let times = match scaling {
                    Scaling::Manual { at, .. } => std::slice::from_ref(at),
                    Scaling::Scheduled(action) => &action.times,
                    Scaling::TargetTracking(_) => &[],
                };
                for (index, &time) in (0u32..).zip(times) {
                    calendar.at(time, Event::Schedule(group, policy, index));
                }
            }
        }
    }

    pub(super) fn balancers_of(&self, group: GroupId) -> Vec<BalancerId> {
        let ids = (0u16..).map(BalancerId);
        ids.zip(&self.plan.balancers)
            .filter(|(_, balancer)| balancer.targets == group)
            .map(|(id, _)| id)
            .collect()
    }

    /// Launches what is missing, takes out what is too many.
    pub(super) fn reconcile(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let desired = self.fleets[group.index()].desired as usize;
        while self.counted(group).count() < desired {
            self.launch(group, calendar);
        }
        while self.counted(group).count() > desired {
            let Some(chosen) = self.choose_to_terminate(group, calendar.now()) else { break };
            self.terminate(chosen, "the desired capacity is lower than the number of instances", calendar);
        }
    }

    /// The instances that count against the desired capacity.
    fn counted(&self, group: GroupId) -> impl Iterator<Item = u32> + '_ {
        let members = self.fleets[group.index()].members.iter().copied();
        members.filter(|&slot| self.instances[slot].phase != Phase::Draining)
    }

    /// The default termination policy: in the zone with most instances, the one closest to its next billing hour.
    /// All instances have the same launch template, so its older versions need no look.
    fn choose_to_terminate(&self, group: GroupId, now: Time) -> Option<u32> {
        let mut by_zone = vec![0u32; self.plan.groups[group.index()].zones.len()];
        for slot in self.counted(group) {
            by_zone[usize::from(self.instances[slot].zone)] += 1;
        }
        let fullest = by_zone.iter().copied().max()?;
        let hour = Span::from_secs(3600).as_nanos();
        self.counted(group)
            .filter(|&slot| by_zone[usize::from(self.instances[slot].zone)] == fullest)
            .max_by_key(|&slot| {
                let instance = &self.instances[slot];
                let billed_from = instance.running.unwrap_or(instance.launched);
                (now.since(billed_from).as_nanos() % hour, std::cmp::Reverse(instance.number))
            })
    }

    fn add_instance(&mut self, group: GroupId, calendar: &mut Calendar<Event>) -> Ref {
        let now = calendar.now();
        let plan = &self.plan.groups[group.index()];
        let fleet = &mut self.fleets[group.index()];
        let mut by_zone = vec![0u32; plan.zones.len()];
        for &member in &fleet.members {
            by_zone[usize::from(self.instances[member].zone)] += 1;
        }
        let zone = (0u16..).zip(&by_zone).min_by_key(|&(_, count)| count).map_or(0, |(zone, _)| zone);
        let service = &self.plan.services[plan.service.index()];
        let runtime = service.runtime;
        let next_slot_timer = calendar.timer();
        let reference = self.instances.insert(Instance {
            group,
            number: fleet.next_number,
            zone,
            phase: Phase::Pending,
            machine: Machine::new(&plan.machine.processor),
            vcpus: plan.machine.processor.allotted(),
            timer: next_slot_timer,
            numbered: matches!(plan.machine.processor.scheduler, Scheduler::Slices(_)),
            weight: service.weight,
            pinned: runtime.workers.is_some_and(|workers| workers.pinned),
            server: Server::new(&runtime, plan.machine.processor.vcpus),
            rotations: 0,
            flows: 0,
            launched: now,
            running: None,
            crashed: None,
            impaired: false,
            most_inside: self.plan.requests_in_memory(plan).unwrap_or(u32::MAX),
            seen_core_nanos: [0.0; 2],
        });
        fleet.next_number += 1;
        fleet.members.push(reference.slot);
        if self.outstanding.len() <= reference.slot as usize {
            self.outstanding.push(0);
            self.latencies.push(Latency::default());
        }
        self.latencies[reference.slot as usize] = Latency::default();
        reference
    }

    fn launch(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let reference = self.add_instance(group, calendar);
        let instance = &self.instances[reference.slot];
        let plan = &self.plan.groups[group.index()];
        let fleet = &mut self.fleets[group.index()];
        fleet.launched += 1;
        let takes = draw(&plan.startup.provision, fleet.draws[0], instance.number);
        let description = format!(
            "Launching instance {} ({}, zone {}); it will run in {takes}.",
            instance.number,
            plan.machine.name,
            plan.zones[usize::from(instance.zone)]
        );
        calendar.after(takes, Event::Stage(reference));
        self.log(group, ActivityKind::Launch, calendar.now(), description);
    }

    /// The stage an instance was in is over.
    pub(super) fn next_stage(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        let now = calendar.now();
        let instance = &mut self.instances[slot];
        let (group, number) = (instance.group, instance.number);
        let plan = &self.plan.groups[group.index()];
        let draws = self.fleets[group.index()].draws;
        match instance.phase {
            Phase::Pending => {
                instance.phase = Phase::Booting;
                instance.running = Some(now);
                self.boot(slot, calendar);
                for balancer in self.balancers_of(group) {
                    self.rotations[balancer.index()].register(slot);
                }
                let plan = &self.plan.groups[group.index()];
                calendar.after(draw(&plan.startup.boot, draws[1], number), Event::Stage(reference));
            }
            Phase::Booting => {
                instance.phase = Phase::AppStarting;
                calendar.after(draw(&plan.startup.app, draws[2], number), Event::Stage(reference));
            }
            Phase::AppStarting => {
                instance.phase = Phase::Up;
                let registered = instance.running.unwrap_or(now);
                for balancer in self.balancers_of(group) {
                    let interval = self.plan.balancers[balancer.index()].health_check.interval;
                    let check = next_check(registered, interval, now);
                    calendar.at(check, Event::TargetUp(balancer, reference));
                }
            }
            // The deregistration delay is over: what still runs is cut.
            Phase::Draining => {
                self.lose_requests(slot, Ending::CutOff, calendar);
                self.gone(slot, calendar);
            }
            Phase::Up | Phase::Crashed => {}
        }
    }

    /// The machine runs, and with it the programs beside the service.
    fn boot(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[slot];
        let now = calendar.now();
        instance.machine.begin(now);
        for program in &self.plan.groups[instance.group.index()].machine.background {
            if let Some(next) =
                instance.machine.add_endless(now, program.weight, program.pin, program.threads)
            {
                calendar.set_at(instance.timer, next, Event::Cpu(slot));
            }
        }
    }

    /// A new target has passed its first check: one is enough.
    pub(super) fn target_up(&mut self, balancer: BalancerId, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        if self.instances[slot].phase != Phase::Up {
            return;
        }
        let now = calendar.now();
        let first = !self.instances[slot].serving();
        self.join(balancer, slot, now);
        if first {
            let instance = &self.instances[slot];
            let description = format!(
                "Instance {} passed its first health check {} after its launch and takes requests.",
                instance.number,
                now.since(instance.launched)
            );
            self.log(instance.group, ActivityKind::Healthy, now, description);
        }
    }

    fn join(&mut self, balancer: BalancerId, slot: u32, now: Time) {
        let instance = &mut self.instances[slot];
        instance.rotations += 1;
        if let Some(count) = self.plan.balancers[balancer.index()].keep_alive {
            let number = instance.number << 16 | u64::from(balancer.0);
            instance.server.keep(balancer, count, &mut self.connections.at(number));
        }
        self.rotations[balancer.index()].add(slot);
        if instance.rotations == 1 {
            self.fleets[instance.group.index()].serving.add(now, 1.0);
        }
    }

    /// Takes an instance out of a rotation.
    pub(super) fn part(&mut self, balancer: BalancerId, slot: u32, now: Time) {
        if !self.rotations[balancer.index()].remove(slot) {
            return;
        }
        let instance = &mut self.instances[slot];
        instance.rotations -= 1;
        if instance.rotations == 0 {
            let fleet = &mut self.fleets[instance.group.index()];
            fleet.serving.add(now, -1.0);
            fleet.serving_min = fleet.serving_min.min(fleet.serving.value() as u32);
        }
    }

    /// Takes an instance out of service: no new requests, and the time to finish what it has.
    pub(super) fn terminate(&mut self, slot: u32, because: &str, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let group = self.instances[slot].group;
        let mut delay = Span::ZERO;
        for balancer in self.balancers_of(group) {
            self.part(balancer, slot, now);
            self.rotations[balancer.index()].deregister(slot);
            delay = delay.max(self.plan.balancers[balancer.index()].deregistration_delay);
        }
        if self.instances[slot].phase == Phase::Crashed {
            self.reset_flows(slot, calendar);
        }
        let instance = &mut self.instances[slot];
        instance.phase = Phase::Draining;
        let (number, inside, flows) = (instance.number, instance.server.inside, instance.flows);
        let idle = inside == 0 && flows == 0;
        let description = if flows > 0 {
            format!(
                "Terminating instance {number}: {because}. Its {flows} connections have up to {delay} to be closed."
            )
        } else if idle {
            format!("Terminating instance {number}: {because}. It was idle.")
        } else {
            format!(
                "Terminating instance {number}: {because}. It has up to {delay} to finish {inside} requests."
            )
        };
        self.log(group, ActivityKind::Terminate, now, description);
        if idle {
            self.gone(slot, calendar);
        } else {
            calendar.after(delay, Event::Stage(self.instances.reference(slot)));
        }
    }

    /// An instance is no more; its bill is closed.
    pub(super) fn gone(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        self.reset_flows(slot, calendar);
        self.instances[slot].machine.settle(calendar.now());
        let instance = &self.instances[slot];
        calendar.release(instance.timer);
        let fleet = &mut self.fleets[instance.group.index()];
        if let Some(running) = instance.running {
            fleet.gone.add(calendar.now().since(running), self.measure.billed_minimum());
        }
        self.measure.instance_gone(instance, calendar.now());
        fleet.terminated += 1;
        fleet.members.retain(|&member| member != slot);
        self.instances.free(slot);
    }
}

/// The first of the checks, one every `interval` since `registered`, that is not before `now`.
pub(super) fn next_check(registered: Time, interval: Span, now: Time) -> Time {
    let interval = interval.as_nanos().max(1);
    let checks = now.since(registered).as_nanos().div_ceil(interval);
    registered + Span::from_nanos(interval.saturating_mul(checks))
}

fn draw(part: &Dist, draws: Keyed, instance: u64) -> Span {
    part.span(&mut draws.at(instance))
}
