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
use super::instance::{Instance, Interruption, Phase};
use super::mixed::Launch;
use super::spot::{self, PoolState, SpotCounts, SpotDraws};
use super::usage::Ledger;
use crate::balancer::Latency;
use crate::event::{Event, Ref};
use crate::machine::{Machine, Scheduler};
use crate::measure::{MinuteFacts, Trouble};
use crate::plan::{BalancerId, Group, GroupId, Metric, Reach, Scaling};
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
    /// Draws of how long processes take that are started again.
    pub restarts: Keyed,
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
            restarts: draws("restarts"),
            next_number: 0,
            draws: [draws("provision"), draws("boot"), draws("app")],
        }
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
            while is_short(self.units(group), self.fleets[group.index()].desired) {
                let Some(launch) = self.next_launch(group, calendar) else { break };
                let instance = self.add_instance(group, launch, calendar);
                let member = &mut self.instances[instance.slot];
                member.phase = Phase::Up;
                member.running = Some(Time::ZERO);
                member.server.seen = u32::MAX; // warm
                self.boot(instance.slot, calendar);
                self.spot_runs(instance.slot, calendar);
                for balancer in self.balancers_of(group) {
                    self.register(balancer, instance, true, calendar);
                }
            }
            self.start_pools(group, calendar);
            let plan = self.plan.clone();
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
    }

    pub(super) fn balancers_of(&self, group: GroupId) -> Vec<BalancerId> {
        let ids = (0u16..).map(BalancerId);
        ids.zip(&self.plan.balancers).filter(|(_, balancer)| balancer.has(group)).map(|(id, _)| id).collect()
    }

    /// Launches what is missing, takes out what is too many.
    pub(super) fn reconcile(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let desired = self.fleets[group.index()].desired;
        while is_short(self.units(group), desired) {
            let Some(launch) = self.next_launch(group, calendar) else { break };
            self.launch(group, launch, calendar);
        }
        while self.units(group) > desired {
            let Some(chosen) = self.choose_to_terminate(group, calendar.now()) else { break };
            self.terminate(chosen, "", calendar);
        }
    }

    /// The instances that count against the desired capacity.
    pub(super) fn counted(&self, group: GroupId) -> impl Iterator<Item = u32> + '_ {
        let members = self.fleets[group.index()].members.iter().copied();
        members.filter(|&slot| self.instances[slot].counts())
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
        let in_fullest = |slot: &u32| by_zone[usize::from(self.instances[*slot].zone)] == fullest;
        let candidates: Vec<u32> = self.counted(group).filter(in_fullest).collect();
        let mut may = self.aligned(group, candidates);
        if may.is_empty() && self.plan.groups[group.index()].is_weighted() {
            may = self.aligned(group, self.counted(group).collect()); // all of that zone are too heavy
        }
        may.into_iter().max_by_key(|&slot| {
            let instance = &self.instances[slot];
            let billed_from = instance.running.unwrap_or(instance.launched);
            (now.since(billed_from).as_nanos() % hour, std::cmp::Reverse(instance.number))
        })
    }

    fn add_instance(&mut self, group: GroupId, launch: Launch, calendar: &mut Calendar<Event>) -> Ref {
        let now = calendar.now();
        let plan = &self.plan.groups[group.index()];
        let fleet = &mut self.fleets[group.index()];
        fleet.spot.launched += u64::from(launch.purchase == Purchase::Spot);
        let machine = &plan.machines[usize::from(launch.machine)];
        let fits = self.plan.requests_in_memory_of(plan, machine).unwrap_or(u32::MAX);
        let service = &self.plan.services[plan.service.index()];
        let runtime = service.runtime;
        let reachable = self
            .plan
            .balancers
            .iter()
            .filter(|balancer| balancer.has(group))
            .all(|balancer| self.plan.reach(balancer, group) == Reach::Open);
        let next_slot_timer = calendar.timer();
        let reference = self.instances.insert(Instance {
            group,
            number: fleet.next_number,
            zone: launch.zone,
            phase: Phase::Pending,
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
            rotations: 0,
            targets: SmallVec::new(),
            first_healthy: None,
            reachable,
            flows: 0,
            launched: now,
            running: None,
            crashed: None,
            impaired: false,
            app_started: now,
            doomed: false,
            lives: Vec::new(),
            slow: 1.0,
            fits,
            most_inside: fits.min(service.shed.and_then(|shed| shed.above).unwrap_or(u32::MAX)),
            seen_core_nanos: [0.0; 2],
        });
        fleet.next_number += 1;
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

    fn launch(&mut self, group: GroupId, launch: Launch, calendar: &mut Calendar<Event>) {
        let reference = self.add_instance(group, launch, calendar);
        let instance = &self.instances[reference.slot];
        let plan = &self.plan.groups[group.index()];
        let fleet = &mut self.fleets[group.index()];
        fleet.launched += 1;
        let takes = draw(&plan.startup.provision, fleet.draws[0], instance.number);
        let description = format!(
            "Launching instance {} ({}{}, zone {}); it will run in {takes}.",
            instance.number,
            plan.machines[instance.machine_type()].name,
            if launch.purchase == Purchase::Spot { ", Spot" } else { "" },
            plan.zones[usize::from(instance.zone)]
        );
        calendar.after(takes, Event::Stage(reference));
        let actual = self.units(group) - self.instances[reference.slot].units;
        self.log_difference(group, ActivityKind::Launch, calendar.now(), description, actual);
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
                self.spot_runs(slot, calendar);
                for balancer in self.balancers_of(group) {
                    self.register(balancer, reference, false, calendar);
                }
                self.activity_goes_on(group, now);
                let plan = &self.plan.groups[group.index()];
                calendar.after(draw(&plan.startup.boot, draws[1], number), Event::Stage(reference));
            }
            Phase::Booting => {
                (instance.phase, instance.app_started) = (Phase::AppStarting, now);
                let fails = self.start_fails(slot);
                self.instances[slot].doomed |= fails.is_some();
                let takes = fails.unwrap_or_else(|| draw(&plan.startup.app, draws[2], number));
                calendar.after(takes, Event::Stage(reference));
            }
            Phase::AppStarting if instance.doomed => self.first_start_failed(slot, calendar),
            Phase::AppStarting => {
                instance.phase = Phase::Up;
                if instance.rotations > 0 {
                    // Without health checks it gets requests since it runs.
                    let description = format!("The app of instance {number} is up.");
                    self.log(group, ActivityKind::Healthy, now, description);
                }
            }
            // The deregistration delay is over: what still runs is cut.
            Phase::Draining => {
                self.log_cut_sessions(slot, now);
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
        let now = calendar.now();
        let group = self.instances[slot].group;
        if self.instances[slot].held {
            return self.let_go(slot, because, calendar);
        }
        let actual = self.units(group);
        let delay = self.deregister(slot, now);
        if self.instances[slot].phase == Phase::Crashed {
            self.reset_flows(slot, calendar);
        }
        let instance = &mut self.instances[slot];
        instance.phase = Phase::Draining;
        let (number, inside, flows) = (instance.number, instance.server.inside, instance.flows);
        self.rooms_leave(slot, calendar);
        let sessions = self.sessions_at(slot);
        let idle = inside == 0 && flows == 0 && sessions == 0;
        let fewer = because.is_empty();
        let because =
            if fewer { "the desired capacity is lower than the number of instances" } else { because };
        let description = match (inside, sessions) {
            _ if flows > 0 => format!(
                "Terminating instance {number}: {because}. Its {flows} connections have up to {delay} to be closed."
            ),
            (0, 0) => format!("Terminating instance {number}: {because}. It was idle."),
            (inside, 0) => format!(
                "Terminating instance {number}: {because}. It has up to {delay} to finish {inside} requests."
            ),
            (inside, sessions) => format!(
                "Terminating instance {number}: {because}. It has up to {delay} to finish {inside} requests and {sessions} open sessions."
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
        self.detach_unanswered(slot);
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
    }
}

fn draw(part: &Dist, draws: Keyed, instance: u64) -> Span {
    part.span(&mut draws.at(instance))
}
