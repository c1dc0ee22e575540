//! Targets: what a balancer believes of its instances, and the health checks that it goes by.
//!
//! A check is a request like others: it goes to the port of the target group, waits in the accept queue and for a thread
//! behind what clients have sent, and does what the endpoint at its path does. So an overloaded server fails it. Results
//! count for a whole interval, and intervals do not stretch with response times (ELB, "Health checks for your target
//! groups").

use sim_core::{Calendar, Span, Time};

use super::System;
use super::ending::Ending;
use super::instance::Phase;
use super::request::{NOWHERE, Request, Stage};
use crate::event::{Event, Ref};
use crate::measure::Start;
use crate::plan::{Algorithm, BalancerId, Reach, TrafficId};
use crate::results::ActivityKind;

/// How long a balancer waits for a connection to a target (ALB: 10 s, then it answers 504).
const CONNECT_TIMEOUT: Span = Span::from_secs(10);
/// A check opens a connection of its own, and none that any balancer keeps.
pub(super) const NO_BALANCER: BalancerId = BalancerId(u16::MAX);

/// An instance as a balancer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The balancer.
    pub balancer: BalancerId,
    /// The instance.
    pub instance: Ref,
    /// What the balancer believes.
    pub health: TargetHealth,
    /// Whether it has been healthy before: one that has not needs a single passed check.
    known: bool,
    /// Checks, one after another, that said something else than what is believed.
    contrary: u32,
    /// Checks so far.
    checks: u64,
    /// The check in progress.
    checking: Checking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checking {
    Nothing,
    /// Nobody answers.
    Dropped,
    /// The server has this request.
    Asked(Ref),
}

/// What a balancer believes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetHealth {
    /// Registered, and not judged yet.
    Initial,
    /// Gets requests.
    Healthy,
    /// Gets none, unless too few are healthy.
    Unhealthy,
}

impl System {
    /// Registers an instance with a balancer, which begins to check it.
    pub(super) fn register(
        &mut self,
        balancer: BalancerId,
        instance: Ref,
        healthy: bool,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let member = self.member(balancer, instance.slot);
        self.rotations[balancer.index()].register(member, now);
        let health = if healthy { TargetHealth::Healthy } else { TargetHealth::Initial };
        let target = self.targets.insert(Target {
            balancer,
            instance,
            health,
            known: healthy,
            contrary: 0,
            checks: 0,
            checking: Checking::Nothing,
        });
        self.instances[instance.slot].targets.push(target.slot);
        let check = &self.plan.balancers[balancer.index()].health_check;
        if let Some(check) = check {
            let first = if healthy { now + check.interval } else { now };
            calendar.at(first, Event::Check(target));
        }
        if healthy || check.is_none() {
            self.targets[target.slot].health = TargetHealth::Healthy; // nobody says otherwise
            self.join(balancer, instance.slot, now);
            if self.cluster.is_some() {
                self.release_held(balancer, calendar);
            }
        }
    }

    /// Takes an instance out of all target groups. Returns how long it may take to finish what it has.
    pub(super) fn deregister(&mut self, slot: u32, calendar: &mut Calendar<Event>) -> Span {
        let now = calendar.now();
        let mut delay = Span::ZERO;
        for target in std::mem::take(&mut self.instances[slot].targets) {
            let balancer = self.targets[target].balancer;
            self.part(balancer, slot, now);
            let member = self.member(balancer, slot);
            self.rotations[balancer.index()].deregister(member, now);
            self.targets.free(target);
            delay = delay.max(self.plan.balancers[balancer.index()].deregistration_delay);
        }
        self.stands_down(slot, now);
        self.workers_stop(slot, calendar);
        delay
    }

    /// Whether a request is a balancer's own.
    #[inline]
    pub(super) fn is_check(&self, request: &Request) -> bool {
        self.plan.is_check(request.endpoint)
    }

    /// A target is due for a check.
    pub(super) fn check(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.targets.live(reference) else { return };
        let plan = self.plan.clone();
        let target = self.targets[slot];
        let Some(check) = &plan.balancers[target.balancer.index()].health_check else { return };
        self.tick(calendar, check.interval, Event::Check(reference));
        self.targets[slot].checks += 1;
        let instance = target.instance.slot;
        match self.reach(target.balancer, instance) {
            Reach::Refused => self.checked(slot, false, calendar),
            Reach::Dropped => {
                self.targets[slot].checking = Checking::Dropped;
                calendar.after(check.timeout, Event::CheckTimeout(reference));
            }
            Reach::Open => {
                let request = self.requests.insert(self.check_request(slot, calendar.now()));
                self.targets[slot].checking = Checking::Asked(request);
                self.measure.checked(self.requests[request.slot].endpoint);
                self.receive(request.slot, NO_BALANCER, instance, calendar);
                // One that was answered at once needs no clock.
                if self.targets[slot].checking == Checking::Asked(request) {
                    calendar.after(check.timeout, Event::CheckTimeout(reference));
                }
            }
        }
    }

    fn check_request(&self, slot: u32, now: Time) -> Request {
        let target = &self.targets[slot];
        let instance = &self.instances[target.instance.slot];
        let number = (instance.number << 20 ^ u64::from(target.balancer.0) << 52).wrapping_add(target.checks);
        let endpoint = self.plan.check_endpoint(target.balancer);
        Request {
            parent: self.targets.reference(slot),
            ..Request::new(TrafficId::CHECKS, endpoint, number, now)
        }
    }

    /// A check has taken as long as it may.
    pub(super) fn check_timeout(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.targets.live(reference) else { return };
        match self.targets[slot].checking {
            Checking::Nothing => return, // it was answered
            Checking::Dropped => {}
            // The server does not learn of it, and finishes it in vain.
            Checking::Asked(request) => {
                if let Some(request) = self.requests.live(request) {
                    self.abandon(request);
                }
            }
        }
        self.checked(slot, false, calendar);
    }

    /// A server is done with a check, or went away under it.
    pub(super) fn check_ends(&mut self, check: &Request, ending: Ending, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.targets.live(check.parent) else { return };
        let balancer = &self.plan.balancers[self.targets[slot].balancer.index()];
        let usual = self.plan.checked_endpoint(balancer).map_or(200, |endpoint| endpoint.status);
        let answer = ending.answer(usual);
        let matches = |status: u16| balancer.health_check.as_ref().is_some_and(|check| check.matches(status));
        self.checked(slot, answer.is_some_and(matches), calendar);
    }

    /// A check of a target has passed or failed.
    fn checked(&mut self, slot: u32, passed: bool, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let target = &mut self.targets[slot];
        target.checking = Checking::Nothing;
        let Some(check) = &plan.balancers[target.balancer.index()].health_check else { return };
        let as_believed = passed == (target.health == TargetHealth::Healthy);
        if as_believed && target.health != TargetHealth::Initial {
            target.contrary = 0;
            return;
        }
        target.contrary += 1;
        let needed = match (passed, target.known) {
            (true, false) => 1,
            (true, true) => check.healthy,
            (false, _) => check.unhealthy,
        };
        if target.contrary >= needed {
            target.contrary = 0;
            if passed { self.found_healthy(slot, calendar) } else { self.found_unhealthy(slot, calendar) }
        }
    }

    fn found_healthy(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let target = &mut self.targets[slot];
        let again = std::mem::replace(&mut target.known, true);
        target.health = TargetHealth::Healthy;
        let (balancer, instance) = (target.balancer, target.instance.slot);
        let first = self.instances[instance].rotations == 0;
        self.join(balancer, instance, now);
        if self.cluster.is_some() {
            self.release_held(balancer, calendar);
        }
        self.relieve(self.instances[instance].group, calendar);
        if !first {
            return; // another balancer sends it requests already
        }
        let instance = &self.instances[instance];
        let description = if again {
            format!("Instance {} passes its health checks and takes requests again.", instance.number)
        } else {
            format!(
                "Instance {} passed its first health check {} after its launch and takes requests.",
                instance.number,
                now.since(instance.launched)
            )
        };
        self.log(instance.group, ActivityKind::Healthy, now, description);
    }

    fn found_unhealthy(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let target = &mut self.targets[slot];
        target.health = TargetHealth::Unhealthy;
        let (balancer, known, instance) = (target.balancer, target.known, target.instance.slot);
        self.part(balancer, instance, now);
        // NLB resets the connections of a target that is unhealthy, unless it fails open and lets them be.
        let passes_on = plan.balancers[balancer.index()].algorithm == Algorithm::FlowHash;
        if passes_on && !self.rotations[balancer.index()].fails_open() {
            self.reset_flows(instance, calendar);
        }
        let instance = &self.instances[instance];
        // Of one that starts or has crashed the log says enough.
        let told = known && instance.phase == Phase::Up;
        if let Some(check) = plan.balancers[balancer.index()].health_check.as_ref().filter(|_| told) {
            let description = format!(
                "Instance {} failed {} health checks of {} in a row with {} requests inside, and gets no more.",
                instance.number,
                check.unhealthy,
                plan.balancers[balancer.index()].name,
                instance.server.inside
            );
            self.log(instance.group, ActivityKind::Unhealthy, now, description);
        }
    }

    /// True where all balancers have found an instance unhealthy.
    pub(super) fn fails_checks(&self, slot: u32) -> bool {
        let targets = &self.instances[slot].targets;
        !targets.is_empty()
            && targets.iter().all(|&target| self.targets[target].health == TargetHealth::Unhealthy)
    }

    /// A healthy target gets requests.
    fn join(&mut self, balancer: BalancerId, slot: u32, now: Time) {
        let member = self.member(balancer, slot);
        self.rotations[balancer.index()].add(member, now);
        self.first_serves(slot, now);
        let instance = &mut self.instances[slot];
        instance.rotations += 1;
        if let Some(count) = self.plan.balancers[balancer.index()].keep_alive {
            let number = instance.number << 16 | u64::from(balancer.0);
            instance.server.keep(balancer, count, &mut self.connections.at(number));
        }
        if instance.rotations == 1 {
            instance.readiness_since = now;
            self.fleets[instance.group.index()].serving.add(now, 1.0);
        }
    }

    /// An instance serves from now on, if it has not before. One that comes back from standby was launched long ago, and is no
    /// start.
    pub(super) fn first_serves(&mut self, slot: u32, now: Time) {
        let instance = &mut self.instances[slot];
        if instance.first_healthy.is_some() {
            return;
        }
        instance.first_healthy = Some(now);
        if now > Time::ZERO && instance.server.served() == 0 {
            let (group, launched) = (instance.group, instance.launched);
            self.measure.starts.add(Start { group, launched, serving: now });
        }
    }

    /// An instance gets no more requests from a balancer.
    fn part(&mut self, balancer: BalancerId, slot: u32, now: Time) {
        let member = self.member(balancer, slot);
        if !self.rotations[balancer.index()].remove(member, now) {
            return;
        }
        let instance = &mut self.instances[slot];
        instance.rotations -= 1;
        if instance.rotations == 0 {
            instance.readiness_since = now;
            let fleet = &mut self.fleets[instance.group.index()];
            fleet.serving.add(now, -1.0);
            fleet.serving_min = fleet.serving_min.min(fleet.serving.value() as u32);
        }
    }

    /// What becomes of a connection from a balancer to an instance.
    fn reach(&self, balancer: BalancerId, slot: u32) -> Reach {
        let instance = &self.instances[slot];
        match instance.phase {
            Phase::Pending | Phase::Booting => return Reach::Dropped,
            Phase::Crashed if instance.impaired => return Reach::Dropped,
            Phase::AppStarting | Phase::Crashed => return Reach::Refused,
            Phase::Up | Phase::Draining => {}
        }
        let balancer = self.plan.balancers.get(balancer.index());
        balancer
            .map_or(Reach::Open, |balancer| self.plan.reach_of(balancer, instance.group, instance.service))
    }

    /// A request comes to an instance that does not take connections from everybody, or from nobody.
    #[cold]
    pub(super) fn knock(&mut self, slot: u32, from: BalancerId, target: u32, calendar: &mut Calendar<Event>) {
        match self.reach(from, target) {
            Reach::Open => self.receive(slot, from, target, calendar),
            Reach::Refused => {
                let request = self.requests[slot];
                self.tell_ending(&request, target, Ending::NotListening);
                self.turned_away(slot, Ending::NotListening, calendar);
            }
            Reach::Dropped => {
                // The balancer waits for it, and counts it as in progress.
                let request = &mut self.requests[slot];
                (request.instance, request.stage) = (target, Stage::Connecting);
                self.outstanding[target as usize] += 1;
                self.loaded(target);
                calendar.after(CONNECT_TIMEOUT, Event::NoConnection(self.requests.reference(slot)));
            }
        }
    }

    /// A balancer stops waiting for a connection.
    pub(super) fn no_connection(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        if let Some(slot) = self.requests.live(reference) {
            self.turned_away(slot, Ending::NoConnection, calendar);
        }
    }

    /// Connections that nobody has answered outlive the instance they were to.
    pub(super) fn detach_unanswered(&mut self, slot: u32) {
        if self.outstanding[slot as usize] == 0 {
            return;
        }
        let waiting: Vec<u32> =
            self.requests.iter().filter(|(_, request)| request.instance == slot).map(|(at, _)| at).collect();
        for request in waiting {
            self.requests[request].instance = NOWHERE;
        }
        self.outstanding[slot as usize] = 0;
        self.loaded(slot);
    }
}
