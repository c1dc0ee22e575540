//! Instances and their life: launched, running, booting, app starting, up, in rotation, draining, gone.
//!
//! One rule governs a group: the number of instances it counts follows its desired capacity. [`System::reconcile`]
//! launches what is missing and takes out what is too many; everything else only changes the desired capacity
//! or loses an instance.

use sim_core::dist::Dist;
use sim_core::stats::TimeWeighted;
use sim_core::{Calendar, Keyed, Seed, Span, Time};
use smallvec::SmallVec;

use super::System;
use super::ending::Ending;
use super::engines::InferenceEngine;
use super::instance::{Instance, Interruption, Phase};
use super::jobs::{Gpus, WorkMarks};
use super::lifecycle::{GroupLife, Standing, State, Visit};
use super::mixed::Launch;
use super::spot::{self, PoolState, SpotCounts, SpotDraws};
use super::usage::Ledger;
use crate::balancer::Latency;
use crate::event::{Event, Ref};
use crate::machine::{Machine, Scheduler};
use crate::measure::{MinuteFacts, Trouble};
use crate::plan::{BalancerId, Group, GroupId, Metric, Process, Protection, Reach, Scaling, Startup};
use crate::results::ActivityKind;
use crate::runtime::Server;
use crate::scaling::{Cooldown, Datapoints, Memory, Purchase, Verdict, is_short};

/// A group in mid-run.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The smallest desired capacity, as it stands.
    pub min: u32,
    /// The desired capacity.
    pub desired: u32,
    /// The largest desired capacity, as it stands.
    pub max: u32,
    /// What last changed the desired capacity, for the log; empty while it is as at the start.
    pub cause: String,
    /// Slots of its instances, oldest first.
    pub members: Vec<u32>,
    /// Instances launched after the start.
    pub launched: u64,
    /// Instances terminated or lost.
    pub terminated: u64,
    /// Requests refused because an accept queue was full.
    pub refused: u64,
    /// Requests that its service turned away because it had too much to do.
    pub shed: u64,
    /// Requests inside its instances.
    pub inside: TimeWeighted,
    /// GPUs of its instances that are in use.
    pub gpus: TimeWeighted,
    /// What was counted of its workers.
    pub work: WorkMarks,
    /// Open sessions at its instances, since the start of the run.
    pub connections: TimeWeighted,
    /// Their integral at the last minute.
    pub connections_at_minute: f64,
    /// Instances that take requests.
    pub serving: TimeWeighted,
    /// The fewest that did.
    pub serving_min: u32,
    /// How long instances which are gone ran, by what they cost.
    pub ledger: Ledger,
    /// Its pools of Spot capacity: types, and in each the zones; empty where nothing is Spot.
    pub pools: Vec<PoolState>,
    /// What became of its Spot instances.
    pub spot: SpotCounts,
    /// What it draws of them.
    pub spot_draws: SpotDraws,
    /// The log has said that no pool has capacity.
    pub no_spot: bool,
    /// The metrics of each of its policies, in the plan's order, as the control plane sees them.
    pub metrics: Vec<Vec<(Metric, Datapoints)>>,
    /// What each of its policies remembers, in the plan's order.
    pub memories: Vec<Memory>,
    /// What each policy said last.
    pub verdicts: Vec<Verdict>,
    /// What happened in each minute, for finding causes.
    pub facts: Vec<MinuteFacts>,
    /// Instances lost since the last minute.
    pub lost: u32,
    /// Connections of sessions lost since the last minute.
    pub dropped: u64,
    /// Attempts of handshakes by clients whose connection had been lost, since the last minute.
    pub returns: u64,
    /// Requests that its balancers have sent to its instances.
    pub received: u64,
    /// How many that were at the last minute.
    pub received_at_minute: u64,
    /// Messages through its sessions.
    pub messages: u64,
    /// How many that were at the last minute.
    pub messages_at_minute: u64,
    /// Requests refused until the last minute.
    pub refused_at_minute: u64,
    /// Requests that sources which ask it had sent at the last minute, and attempts.
    pub sent_at_minute: [u64; 2],
    /// Requests that limits had turned away at the last minute.
    pub turned_away_at_minute: [u64; 4],
    /// How often CPU quotas had run out at the last minute.
    pub throttled_at_minute: u64,
    /// Requests refused before measurement began.
    pub refused_before: u64,
    /// Requests turned away before measurement began.
    pub shed_before: u64,
    /// The integral of what was inside before measurement began.
    pub request_seconds_before: f64,
    /// Where in the log each policy's last decision not to act stands.
    pub last_no_action: Vec<Option<usize>>,
    /// How many incidents hold each of its zones lost, by zone; empty while none does.
    pub zones_lost: Vec<u32>,
    /// The log has said that there is no zone to launch in.
    pub stranded: bool,
    /// What incidents did to it since the last minute.
    pub trouble: Trouble,
    /// What they did at an instant that may yet be that of a minute's end.
    pub trouble_now: (Time, Trouble),
    /// The cooldown that simple scaling waits for; `None` where nothing does.
    pub cooldown: Option<Cooldown>,
    /// The integral of requests inside at the last minute.
    pub inside_at_minute: f64,
    /// The integrals of requests inside and of open sessions 10 s ago, where somebody asks so often.
    pub ten_seconds: [f64; 2],
    /// Its warm pool, and what else it keeps of its instances' life.
    pub life: GroupLife,
    /// Draws of how long processes take that are started again.
    pub restarts: Keyed,
    /// The version of the launch template that new instances are made from.
    pub version: u8,
    /// Instances above the desired capacity, while new ones come before old ones go.
    pub surplus: u32,
    /// Instances whose user data has failed.
    pub failed_starts: u64,
    /// Requests that were answered with an error, since the last minute.
    pub errors: u64,
    /// Draws of how long steps of user data take, and whether they fail.
    pub user_data: Vec<Keyed>,
    next_number: u64,
    draws: [Keyed; 3],
}

impl Fleet {
    /// The group before its first instance.
    pub fn new(plan: &Group, seed: Seed) -> Self {
        let draws = |part: &str| seed.keyed(&format!("group/{}/startup/{part}", plan.name));
        Fleet {
            min: plan.min,
            desired: plan.desired,
            max: plan.max,
            cause: String::new(),
            members: Vec::new(),
            launched: 0,
            terminated: 0,
            refused: 0,
            shed: 0,
            inside: TimeWeighted::new(Time::ZERO, 0.0),
            gpus: TimeWeighted::new(Time::ZERO, 0.0),
            work: WorkMarks::default(),
            connections: TimeWeighted::new(Time::ZERO, 0.0),
            connections_at_minute: 0.0,
            serving: TimeWeighted::new(Time::ZERO, 0.0),
            serving_min: plan.desired,
            ledger: Ledger::default(),
            pools: spot::pools(plan, seed),
            spot: SpotCounts::default(),
            spot_draws: SpotDraws::new(plan, seed),
            no_spot: false,
            metrics: plan.scaling.iter().map(|policy| datapoints(plan, policy)).collect(),
            memories: plan.scaling.iter().map(|_| Memory::default()).collect(),
            verdicts: plan.scaling.iter().map(|_| Verdict::InsufficientData).collect(),
            facts: Vec::new(),
            lost: 0,
            dropped: 0,
            returns: 0,
            received: 0,
            received_at_minute: 0,
            messages: 0,
            messages_at_minute: 0,
            refused_at_minute: 0,
            sent_at_minute: [0; 2],
            turned_away_at_minute: [0; 4],
            throttled_at_minute: 0,
            refused_before: 0,
            shed_before: 0,
            request_seconds_before: 0.0,
            last_no_action: vec![None; plan.scaling.len()],
            zones_lost: Vec::new(),
            stranded: false,
            trouble: Trouble::default(),
            trouble_now: (Time::ZERO, Trouble::default()),
            cooldown: super::cooldown::cooldown(plan),
            inside_at_minute: 0.0,
            ten_seconds: [0.0; 2],
            life: GroupLife::new(plan, seed),
            restarts: draws("restarts"),
            version: 0,
            surplus: 0,
            failed_starts: 0,
            errors: 0,
            user_data: super::boot::draws(plan, seed),
            next_number: 0,
            draws: [draws("provision"), draws("boot"), draws("app")],
        }
    }

    /// The largest desired capacity that a policy may ask for now: a forecast may be allowed to go above the group's maximum.
    pub fn max_now(&self) -> u32 {
        self.memories.iter().map(|memory| memory.raised_max).fold(self.max, u32::max)
    }

    /// The number of the next instance.
    pub(super) fn next_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// The number that its next instance gets.
    pub fn number_to_come(&self) -> u64 {
        self.next_number
    }

    /// How long each part of an instance's start takes.
    pub(super) fn start_up(&self, startup: &Startup, number: u64) -> [Span; 3] {
        let parts = [&startup.provision, &startup.boot, &startup.app];
        std::array::from_fn(|part| draw(parts[part], self.draws[part], number))
    }

    /// Draws of how long apps take to start.
    pub(super) fn app_draws(&self) -> Keyed {
        self.draws[2]
    }

    /// The integral of requests inside its instances, since the start of the run.
    pub fn request_seconds(&self, now: Time) -> f64 {
        self.request_seconds_before + self.inside.integral(now)
    }
}

/// EC2's metrics have the period of the instances' monitoring, others have one of a minute, or of 10 s where somebody asks.
fn datapoints(plan: &Group, scaling: &Scaling) -> Vec<(Metric, Datapoints)> {
    let Some(policy) = scaling.policy() else { return Vec::new() };
    let of = |(index, metric): (usize, Metric)| {
        let sampling = policy.sampling(index);
        let own = match metric {
            _ if policy.high_resolution() => super::meters::TEN_SECONDS,
            _ if metric.of_ec2() => plan.monitoring,
            _ => super::MINUTE,
        };
        (metric, Datapoints::new(own, plan.metric_delay).sampled(sampling, policy.lookback()))
    };
    policy.metrics().into_iter().enumerate().map(of).collect()
}

impl System {
    /// The initial instances are up, warm and in rotation; schedules are set.
    pub(super) fn start_fleets(&mut self, calendar: &mut Calendar<Event>) {
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            let plan = self.plan.clone();
            let protected = plan.groups[group.index()].lifecycle.protection == Protection::NewInstances;
            let mut units = 0;
            while is_short(units, self.fleets[group.index()].desired) {
                let Some(launch) = self.next_launch(group, None, calendar) else { break };
                let instance = self.add_instance(group, launch, None, calendar);
                units += self.instances[instance.slot].units;
                if self.plan.groups[group.index()].pods.is_some() {
                    self.new_pod(instance.slot);
                }
                let member = &mut self.instances[instance.slot];
                member.phase = Phase::Up;
                member.standing.starts_in_service(protected);
                member.running = Some(Time::ZERO);
                member.server.seen = u32::MAX; // warm
                self.boot(instance.slot, calendar);
                self.spot_runs(instance.slot, calendar);
                for balancer in self.balancers_of(group) {
                    self.register(balancer, instance, true, calendar);
                }
                self.serves_alone(instance.slot, calendar);
            }
            self.start_lifecycle(group, calendar);
            self.start_pools(group, calendar);
            for (policy, scaling) in (0u16..).zip(&plan.groups[group.index()].scaling) {
                let times = match scaling {
                    Scaling::Manual { at, .. } => std::slice::from_ref(at),
                    Scaling::Scheduled(action) => &action.times,
                    _ => &[],
                };
                for (index, &time) in (0u32..).zip(times) {
                    calendar.at(time, Event::Schedule(group, policy, index));
                }
            }
        }
        self.settle_pods_of_start(calendar);
    }

    pub(super) fn balancers_of(&self, group: GroupId) -> Vec<BalancerId> {
        let ids = (0u16..).map(BalancerId);
        ids.zip(&self.plan.balancers).filter(|(_, balancer)| balancer.has(group)).map(|(id, _)| id).collect()
    }

    /// Launches what is missing, takes out what is too many.
    pub(super) fn reconcile(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let wanted = self.fleets[group.index()].desired
            + self.fleets[group.index()].surplus
            + self.extras(group, now) as u32;
        if !self.suspended(group, Process::Launch, now) {
            while is_short(self.units(group), wanted) {
                let Some(launch) = self.next_launch(group, None, calendar) else { break };
                self.launch(group, launch, false, calendar);
            }
        }
        self.scale_in(group, calendar);
        self.fill_pool(group, calendar);
    }

    /// The instances that count against the desired capacity.
    pub(super) fn counted(&self, group: GroupId) -> impl Iterator<Item = u32> + '_ {
        let members = self.fleets[group.index()].members.iter().copied();
        members.filter(|&slot| self.instances[slot].counted())
    }

    /// A new instance, with a number that it had in the warm pool or the next.
    pub(super) fn add_instance(
        &mut self,
        group: GroupId,
        launch: Launch,
        number: Option<u64>,
        calendar: &mut Calendar<Event>,
    ) -> Ref {
        let now = calendar.now();
        let plan = &self.plan.groups[group.index()];
        let version = self.fleets[group.index()].version;
        let variant = self.variant(group, version);
        if let Some(variant) = self.variants.get_mut(usize::from(variant).wrapping_sub(1)) {
            variant.launched += 1;
        }
        let template = plan.template(version);
        let fleet = &mut self.fleets[group.index()];
        fleet.spot.launched += u64::from(launch.purchase == Purchase::Spot);
        let number = number.unwrap_or_else(|| fleet.next_number());
        let machine = &plan.machines[usize::from(launch.machine)];
        let service = &self.plan.services[template.service.index()];
        let fits = self.plan.requests_beside(template.service, machine).unwrap_or(u32::MAX);
        let runtime = service.runtime;
        let reachable = self
            .plan
            .balancers
            .iter()
            .filter(|balancer| balancer.has(group))
            .all(|balancer| self.plan.reach_of(balancer, group, template.service) == Reach::Open);
        let alone = !self.plan.balancers.iter().any(|balancer| balancer.has(group));
        let next_slot_timer = calendar.timer();
        let reference = self.instances.insert(Instance {
            group,
            number,
            zone: launch.zone,
            version,
            variant,
            service: template.service,
            phase: Phase::Pending,
            standing: Standing::new(alone),
            machine_type: launch.machine,
            units: plan.weight(launch.machine),
            purchase: launch.purchase,
            interruption: Interruption::None,
            interruption_due: Time::ZERO,
            taken_back: None,
            held: false,
            relieved: false,
            machine: Machine::new(&machine.processor),
            vcpus: machine.processor.allotted(),
            timer: next_slot_timer,
            numbered: matches!(machine.processor.scheduler, Scheduler::Slices(_)),
            weight: service.weight,
            pinned: runtime.workers.is_some_and(|workers| workers.pinned),
            server: Server::new(&runtime, machine.processor.vcpus),
            gpus: Gpus::new(machine.gpus),
            engine: InferenceEngine::new(service.engine.as_ref(), calendar),
            rotations: 0,
            targets: SmallVec::new(),
            first_healthy: None,
            reachable,
            flows: 0,
            launched: now,
            running: None,
            crashed: None,
            impaired: false,
            user_data: 0,
            without_app: false,
            app_started: now,
            doomed: false,
            lives: Vec::new(),
            slow: 1.0,
            fits,
            most_inside: fits.min(service.shed.and_then(|shed| shed.above).unwrap_or(u32::MAX)),
            seen_core_nanos: [0.0; 2],
            readiness_since: now,
        });
        fleet.members.push(reference.slot);
        if self.outstanding.len() <= reference.slot as usize {
            self.outstanding.push(0);
            self.latencies.push(Latency::default());
        }
        self.latencies[reference.slot as usize] = Latency::default();
        if let Some(sessions) = &mut self.sessions {
            sessions.new_instance(reference.slot);
        }
        reference
    }

    /// Launches an instance: out of the warm pool where one waits in its zone, or anywhere unless it is `extra`, beyond the
    /// desired capacity and for that zone.
    pub(super) fn launch(
        &mut self,
        group: GroupId,
        launch: Launch,
        extra: bool,
        calendar: &mut Calendar<Event>,
    ) -> Ref {
        if let Some(warm) = self.launch_warm(group, extra.then_some(launch.zone), calendar) {
            return warm;
        }
        let reference = self.add_instance(group, launch, None, calendar);
        if self.plan.groups[group.index()].pods.is_some() {
            self.create_pod(reference, calendar);
            return reference;
        }
        let instance = &self.instances[reference.slot];
        let plan = &self.plan.groups[group.index()];
        let fleet = &mut self.fleets[group.index()];
        fleet.launched += 1;
        let takes = draw(&plan.template(instance.version).startup.provision, fleet.draws[0], instance.number);
        let version = match plan.versions.is_empty() {
            true => String::new(),
            false => format!("{}, ", plan.template(instance.version).name),
        };
        let description = format!(
            "Launching instance {} ({version}{}{}, zone {}); it will run in {takes}.",
            instance.number,
            plan.machines[instance.machine_type()].name,
            if launch.purchase == Purchase::Spot { ", Spot" } else { "" },
            plan.zones[usize::from(instance.zone)]
        );
        calendar.after(takes, Event::Stage(reference));
        let actual = self.units(group) - self.instances[reference.slot].units;
        match extra {
            true => self.log_extra(group, calendar.now(), description),
            false => self.log_difference(group, ActivityKind::Launch, calendar.now(), description, actual),
        }
        reference
    }

    /// The stage an instance was in is over.
    pub(super) fn next_stage(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        let now = calendar.now();
        let instance = &mut self.instances[slot];
        let (group, number) = (instance.group, instance.number);
        let draws = self.fleets[group.index()].draws;
        match instance.phase {
            // Its images are there, and its container starts at once: a pod has nothing to boot.
            Phase::Pending if self.plan.groups[group.index()].pods.is_some() => {
                (instance.phase, instance.running) = (Phase::Booting, Some(now));
                (instance.standing.state, instance.standing.since) = (State::InService, Some(now));
                self.boot(slot, calendar);
                self.next_stage(reference, calendar);
            }
            Phase::Pending => {
                instance.phase = Phase::Booting;
                instance.running = Some(now);
                self.boot(slot, calendar);
                self.spot_runs(slot, calendar);
                self.runs(slot, Visit::Service, calendar);
                let plan = &self.plan.groups[group.index()];
                let boot = &plan.template(self.instances[slot].version).startup.boot;
                calendar.after(draw(boot, draws[1], number), Event::Stage(reference));
            }
            Phase::Booting => self.boot_goes_on(slot, calendar),
            Phase::AppStarting => self.start_goes_on(slot, calendar),
            // The deregistration delay is over: what still runs is cut.
            Phase::Draining if instance.standing.state == State::TerminatingWait => {}
            Phase::Draining => {
                self.log_cut_sessions(slot, now);
                self.lose_requests(slot, Ending::CutOff, calendar);
                self.drained(slot, calendar);
            }
            Phase::Up | Phase::Crashed => {}
        }
    }

    /// The machine runs, and with it the programs beside the service.
    pub(super) fn boot(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        self.instances[slot].machine.begin(calendar.now());
        self.start_background(slot, calendar);
    }

    /// The programs beside the service are started.
    pub(super) fn start_background(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[slot];
        let now = calendar.now();
        for program in &self.plan.groups[instance.group.index()].machines[instance.machine_type()].background
        {
            if let Some(next) =
                instance.machine.add_endless(now, program.weight, program.pin, program.threads)
            {
                calendar.set_at(instance.timer, next, Event::Cpu(slot));
            }
        }
    }

    /// Takes an instance out of service: no new requests, and the time to finish what it has. `because` is empty where the
    /// desired capacity is lower than the number of instances.
    pub(super) fn terminate(&mut self, slot: u32, because: &str, calendar: &mut Calendar<Event>) {
        self.take_out(slot, State::Terminating, because, calendar);
    }

    /// The same for one that is terminated or leaves its group, which is what its state becomes.
    pub(super) fn take_out(
        &mut self,
        slot: u32,
        state: State,
        because: &str,
        calendar: &mut Calendar<Event>,
    ) {
        let verb = if state == State::Detaching { "Detaching" } else { "Terminating" };
        let now = calendar.now();
        let group = self.instances[slot].group;
        if self.instances[slot].held {
            return self.let_go(slot, because, calendar);
        }
        let actual = self.units(group);
        let delay = self.deregister(slot, calendar).max(self.stop_grace(slot));
        if self.instances[slot].phase == Phase::Crashed {
            self.reset_flows(slot, calendar);
        }
        let instance = &mut self.instances[slot];
        instance.phase = Phase::Draining;
        instance.standing.state = state;
        let (number, inside, flows) = (instance.number, instance.server.inside, instance.flows);
        self.rooms_leave(slot, calendar);
        let sessions = self.sessions_at(slot);
        let idle = inside == 0 && flows == 0 && sessions == 0;
        let fewer = because.is_empty();
        let because =
            if fewer { "the desired capacity is lower than the number of instances" } else { because };
        let description = match (inside, sessions) {
            _ if flows > 0 => format!(
                "{verb} instance {number}: {because}. Its {flows} connections have up to {delay} to be closed."
            ),
            (0, 0) => format!("{verb} instance {number}: {because}. It was idle."),
            (inside, 0) => format!(
                "{verb} instance {number}: {because}. It has up to {delay} to finish {inside} requests."
            ),
            (inside, sessions) => format!(
                "{verb} instance {number}: {because}. It has up to {delay} to finish {inside} requests and {sessions} open sessions."
            ),
        };
        if fewer {
            self.log_difference(group, ActivityKind::Terminate, now, description, actual);
        } else {
            let cause = format!(
                "At {} instance {number} was taken out, because {because}.",
                self.plan.wall_clock(now)
            );
            self.fleets[group.index()].cause = cause.clone();
            self.log_because(group, ActivityKind::Terminate, now, description, cause);
        }
        if idle || self.works_in_hooks(slot) {
            self.drained(slot, calendar);
        } else {
            calendar.after(delay, Event::Stage(self.instances.reference(slot)));
        }
    }

    /// An instance is no more; its bill is closed.
    pub(super) fn gone(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        self.reset_flows(slot, calendar);
        self.workers_lost(slot, calendar);
        self.engine_gone(slot, calendar);
        self.instances[slot].machine.settle(calendar.now());
        self.detach_unanswered(slot);
        let pool = if self.cluster.is_some() { self.pod_gone(slot, calendar.now()) } else { None };
        let instance = &self.instances[slot];
        calendar.release(instance.timer);
        let fleet = &mut self.fleets[instance.group.index()];
        if let Some(running) = instance.running {
            let until = instance.billed_until(calendar.now());
            let plan = &self.plan.groups[instance.group.index()];
            fleet.ledger.add(plan, instance, running, until, self.measure.billed_minimum());
            if let Some(supply) = instance.machine.supply() {
                fleet.ledger.add_surplus(instance.machine_type, supply.surplus_hours());
            }
        }
        self.measure.instance_gone(instance, calendar.now());
        fleet.terminated += 1;
        fleet.members.retain(|&member| member != slot);
        let group = instance.group;
        self.instances.free(slot);
        self.activity_goes_on(group, calendar.now());
        if let Some(pool) = pool {
            self.schedule_pods(pool, calendar);
        }
    }
}

fn draw(part: &Dist, draws: Keyed, instance: u64) -> Span {
    part.span(&mut draws.at(instance))
}
