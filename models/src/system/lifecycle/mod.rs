//! An instance as its group sees it: pending, waiting in a hook, in service, in standby, terminating. What its machine does
//! meanwhile is told in [`fleet`](super::fleet).
//!
//! * `hooks`: who is waited for at launches and terminations;
//! * `pool`: instances that are prepared beside the group;
//! * `balance`: who goes when there are too many, and zones that are evened out;
//! * `by_hand`: what somebody does with single instances, and suspended processes;
//! * `renew`: instances that are too old.

mod balance;
mod by_hand;
mod hooks;
mod pool;
mod renew;

use sim_core::{Calendar, Keyed, Seed, Stream, Time};

use super::System;
use super::fleet::Fleet;
use super::instance::{Instance, Phase};
use crate::cost::RunTime;
use crate::event::{Event, Ref};
use crate::plan::{Group, GroupId, HealthCheckKind, Process, Protection};
use crate::scaling::HookEnd;

pub(super) use hooks::Visit;
pub use pool::Pooled;

/// Where an instance stands in its group.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its lifecycle state.
    pub state: State,
    /// When it came into service last.
    pub since: Option<Time>,
    /// Somebody protects it from scale-in.
    pub protected: bool,
    /// It was launched beyond the desired capacity: another goes once it is ready.
    pub extra: bool,
    /// No balancer has its group as a target.
    pub alone: bool,
    /// `SetInstanceHealth` said that it is unhealthy, and whether the grace period is respected.
    pub marked: Option<bool>,
    /// EC2's state of it is not `running`.
    pub stopped: bool,
    /// It goes to the warm pool and not to its end.
    pub returns: bool,
    /// How long its app takes to start, where it comes from a warm pool.
    pub start: Option<sim_core::Span>,
    /// How its wait in a hook ends.
    ends: Option<HookEnd>,
    /// Until when it waits in its state.
    until: Option<Time>,
}

/// The lifecycle states of an instance in its group (EC2 Auto Scaling, "Instance lifecycle").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Launched, and not in service.
    Pending,
    /// It waits in a launch hook.
    PendingWait,
    /// It counts, is checked, and is registered with balancers.
    InService,
    /// It is there, and neither counts nor is checked.
    Standby,
    /// It finishes what it has.
    Terminating,
    /// It finishes what it has from this group, and goes on without it.
    Detaching,
    /// It waits in a termination hook.
    TerminatingWait,
}

/// What a group keeps of its instances' life.
#[derive(Clone, Debug)]
pub struct GroupLife {
    /// Its warm pool, in the order of numbers.
    pub pool: Vec<Pooled>,
    /// How long instances were stopped in the pool, of those that no longer are.
    pub stopped: RunTime,
    /// Zones are being evened out.
    rebalancing: bool,
    /// The log has said that more instances than desired stay.
    held: bool,
    /// Who goes of those that every termination policy likes alike.
    choices: Stream,
    /// How long the work of each hook takes.
    hooks: Vec<Keyed>,
    /// How long starts out of the warm pool take.
    starts: Keyed,
}

impl GroupLife {
    /// A group before its first instance.
    pub fn new(plan: &Group, seed: Seed) -> Self {
        let name = |part: &str| format!("group/{}/{part}", plan.name);
        let hook = |hook: &crate::plan::LifecycleHook| seed.keyed(&name(&format!("hook/{}", hook.name)));
        GroupLife {
            pool: Vec::new(),
            stopped: RunTime::default(),
            rebalancing: false,
            held: false,
            choices: seed.stream(&name("termination")),
            hooks: plan.lifecycle.hooks.iter().map(hook).collect(),
            starts: seed.keyed(&name("warm_pool/start")),
        }
    }
}

impl Standing {
    /// A new instance, in no state yet.
    pub fn new(alone: bool) -> Self {
        Standing {
            state: State::Pending,
            since: None,
            protected: false,
            extra: false,
            alone,
            marked: None,
            stopped: false,
            returns: false,
            start: None,
            ends: None,
            until: None,
        }
    }

    /// It is there from the start of the run, in service and warm.
    pub fn starts_in_service(&mut self, protected: bool) {
        (self.state, self.since, self.protected) = (State::InService, Some(Time::ZERO), protected);
    }
}

impl Instance {
    /// True where it counts against the desired capacity of its group.
    pub fn counted(&self) -> bool {
        (self.phase != Phase::Draining || self.held)
            && !self.relieved
            && self.standing.state != State::Standby
    }
}

impl System {
    /// True while a process of a group is suspended.
    pub(super) fn suspended(&self, group: GroupId, process: Process, now: Time) -> bool {
        let lifecycle = &self.plan.groups[group.index()].lifecycle;
        !lifecycle.suspensions.is_empty() && lifecycle.suspended(process, now)
    }

    /// Sets what is to happen to a group's instances by the clock, and fills its warm pool.
    pub(super) fn start_lifecycle(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        self.start_pool(group);
        let plan = self.plan.clone();
        let lifecycle = &plan.groups[group.index()].lifecycle;
        for (index, action) in (0u16..).zip(&lifecycle.actions) {
            calendar.at(action.at, Event::InstanceAction(group, index));
        }
        for (index, suspension) in (0u16..).zip(&lifecycle.suspensions) {
            for at in [Some(suspension.from), suspension.until].into_iter().flatten() {
                calendar.at(at, Event::Suspension(group, index));
            }
        }
    }

    /// An instance comes into service: it is checked from now on, and balancers are told of it.
    pub(super) fn comes_into_service(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let group = self.instances[slot].group;
        let protect = self.plan.groups[group.index()].lifecycle.protection == Protection::NewInstances;
        let standing = &mut self.instances[slot].standing;
        (standing.state, standing.since) = (State::InService, Some(now));
        standing.protected |= protect;
        if !self.suspended(group, Process::AddToLoadBalancer, now) {
            let reference = self.instances.reference(slot);
            for balancer in self.balancers_of(group) {
                self.register(balancer, reference, false, calendar);
            }
        }
        self.serves_alone(slot, calendar);
        self.activity_goes_on(group, now);
    }

    /// An instance that no balancer sends to serves once it is in service and its app is up.
    pub(super) fn serves_alone(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let instance = &mut self.instances[slot];
        let in_service = instance.standing.alone && instance.standing.state == State::InService;
        if in_service && instance.phase == Phase::Up && instance.rotations == 0 {
            instance.rotations = 1;
            instance.readiness_since = now;
            self.fleets[instance.group.index()].serving.add(now, 1.0);
            self.first_serves(slot, now);
            self.workers_begin(slot, calendar);
        }
    }

    /// An instance that no balancer sends to is taken out.
    pub(super) fn stands_down(&mut self, slot: u32, now: Time) {
        let instance = &mut self.instances[slot];
        if instance.standing.alone && std::mem::take(&mut instance.rotations) > 0 {
            instance.readiness_since = now;
            let fleet = &mut self.fleets[instance.group.index()];
            fleet.serving.add(now, -1.0);
            fleet.serving_min = fleet.serving_min.min(fleet.serving.value() as u32);
        }
    }

    /// What an instance waits for in its lifecycle state is over, or it waits for something else by now.
    pub(super) fn lifecycle_over(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        let standing = &self.instances[slot].standing;
        if standing.until != Some(calendar.now()) {
            return;
        }
        match standing.state {
            State::PendingWait | State::TerminatingWait => self.hook_over(slot, calendar),
            State::Standby => self.cut_off(slot, calendar),
            State::Pending | State::InService | State::Terminating | State::Detaching => {}
        }
    }

    /// True where an instance can take the place of another: it is in service, passes its checks, and is warm.
    fn is_ready(&self, slot: u32, now: Time) -> bool {
        let instance = &self.instances[slot];
        let plan = &self.plan.groups[instance.group.index()];
        let warm_up = plan.instance_warmup.unwrap_or_default();
        let passes = plan.health_check == HealthCheckKind::Ec2 || instance.first_healthy.is_some();
        instance.in_service()
            && instance.crashed.is_none()
            && passes
            && instance.warm_at(warm_up).is_some_and(|warm| warm <= now)
    }

    /// What is to be seen to once a minute.
    pub(super) fn lifecycle_minute(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        self.renew(group, calendar);
        if self.fleets[group.index()].life.rebalancing {
            self.rebalance(group, calendar);
        }
    }
}

impl Fleet {
    /// The instance of its pool with a number.
    fn pooled(&mut self, number: u64) -> Option<usize> {
        self.life.pool.iter().position(|pooled| pooled.number == number)
    }
}
