//! The census of a group: all that the control plane wants to know of its instances which neither time nor requests change. It is
//! counted in one pass and stands until an instance changes, so that a minute in which nothing happened does not look at them.

use sim_core::{Span, Time};

use super::System;
use super::instance::{Instance, Interruption, Phase};
use super::lifecycle::State;
use crate::plan::{Group, GroupId, HealthCheckKind};

/// What the instances of a group come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Census {
    /// Units of capacity of those that count against the desired capacity.
    pub units: u32,
    /// The same without those that were launched beyond it.
    pub units_in_place: u32,
    /// When the newest of those that count came into service.
    pub newest: Option<Time>,
    /// How many of those that count are not in service yet.
    pub unborn: u32,
    /// When the oldest of those that count and are in service was launched.
    pub oldest: Option<Time>,
    /// Instances in service.
    pub in_service: u32,
    /// Those of them that tell metrics.
    pub telling: u32,
    /// When the newest of these came into service.
    pub newest_telling: Option<Time>,
    /// Healthy targets.
    pub serving: Takers,
    /// These, and those that are up and that balancers have taken out: who gets requests where a balancer fails open.
    pub open: Takers,
    /// Instances that have not taken requests yet.
    pub starting: u32,
    /// When the first of these was launched.
    pub oldest_start: Option<Time>,
    /// Instances that finish what they have.
    pub draining: u32,
    /// Those of them that hold no place in the group any more.
    pub leaving: u32,
    /// Instances whose launch is under way, as activities go.
    pub launching: u32,
    /// Instances whose termination is.
    pub terminating: u32,
    /// Whether the health of one has to be looked at: of all others it is known that nobody calls them unhealthy.
    pub suspect: bool,
    /// Whether the interruption of one has begun, or its replacement was launched ahead.
    pub at_risk: bool,
}

/// Instances that take requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Takers {
    /// How many.
    pub instances: u32,
    /// In units of capacity.
    pub units: u32,
    /// In instances of the group's first machine.
    pub worth: f64,
}

impl Takers {
    fn add(&mut self, instance: &Instance, worths: &[f64]) {
        self.instances += 1;
        self.units += instance.units;
        self.worth += worths[instance.machine_type()];
    }
}

impl Census {
    /// The census of these instances, the oldest first. `worths` is what machines are worth, by type.
    fn of<'a>(instances: impl Iterator<Item = &'a Instance>, plan: &Group, worths: &[f64]) -> Census {
        let mut census = Census::default();
        for instance in instances {
            census.count_life(instance, plan.health_check);
            if instance.counted() {
                census.count_place(instance);
            }
            if instance.serving() {
                census.serving.add(instance, worths);
            }
            if instance.serving() || instance.taken_out() {
                census.open.add(instance, worths);
            }
        }
        census
    }

    fn count_place(&mut self, instance: &Instance) {
        self.units += instance.units;
        self.units_in_place += if instance.standing.extra { 0 } else { instance.units };
        self.newest = self.newest.max(instance.standing.since);
        self.unborn += u32::from(instance.standing.since.is_none());
        if instance.in_service() {
            self.oldest = Some(self.oldest.map_or(instance.launched, |oldest| oldest.min(instance.launched)));
        }
    }

    fn count_life(&mut self, instance: &Instance, health_check: HealthCheckKind) {
        if instance.in_service() {
            self.in_service += 1;
            if !instance.impaired {
                self.telling += 1;
                self.newest_telling = self.newest_telling.max(instance.standing.since);
            }
        }
        if instance.starting() {
            self.starting += 1;
            let oldest = self.oldest_start.map_or(instance.launched, |oldest| oldest.min(instance.launched));
            self.oldest_start = Some(oldest);
        }
        let draining = instance.phase == Phase::Draining;
        self.draining += u32::from(draining);
        self.leaving += u32::from(draining && !instance.held);
        match instance.standing.state {
            State::Pending | State::PendingWait => self.launching += 1,
            State::Terminating | State::Detaching => self.terminating += 1,
            State::InService | State::Standby | State::TerminatingWait => {}
        }
        self.suspect |= instance.may_be_unhealthy(health_check);
        self.at_risk |= instance.interruption != Interruption::None || instance.relieved;
    }

    /// Who gets requests.
    pub fn takers(&self, fails_open: bool) -> Takers {
        if fails_open { self.open } else { self.serving }
    }

    /// Instances that are up and that balancers have taken out.
    pub fn taken_out(&self) -> u32 {
        self.open.instances - self.serving.instances
    }

    /// Whether all that count were warm by then.
    pub fn all_warm(&self, warm_up: Span, by: Time) -> bool {
        self.unborn == 0 && is_warm(self.newest, warm_up, by)
    }

    /// Whether all that tell metrics were warm by then.
    pub fn all_tell_warm(&self, warm_up: Span, by: Time) -> bool {
        is_warm(self.newest_telling, warm_up, by)
    }
}

/// What [`Instance::warm_at`] comes to where the newest came into service then; true where there is none.
fn is_warm(newest: Option<Time>, warm_up: Span, by: Time) -> bool {
    newest.is_none_or(|since| since == Time::ZERO || since + warm_up <= by)
}

impl System {
    /// The census of a group: the one that was kept, or a new one.
    pub(super) fn census(&self, group: GroupId) -> Census {
        let Some(&kept) = self.instances.census(group) else { return self.count(group) };
        debug_assert_eq!(
            kept,
            self.count(group),
            "who changes what a census counts takes hold of the instance"
        );
        kept
    }

    /// The same, and keeps it.
    pub(super) fn take_census(&mut self, group: GroupId) -> Census {
        let census = self.census(group);
        self.instances.keep(group, census);
        census
    }

    fn count(&self, group: GroupId) -> Census {
        let members = self.fleets[group.index()].members.iter().map(|&slot| &self.instances[slot]);
        Census::of(members, &self.plan.groups[group.index()], &self.worth_of_machines[group.index()])
    }

    /// True where the machines of a group have done nothing since then: all that uses CPU time is a request inside, or a program
    /// beside the service, which never stops.
    pub(super) fn idle_since(&self, group: GroupId, since: Time) -> bool {
        let inside = &self.fleets[group.index()].inside;
        let machines = &self.plan.groups[group.index()].machines;
        // What happened at that very instant may have come after what was measured then.
        inside.value() == 0.0
            && inside.changed() < since
            && machines.iter().all(|kind| kind.processor.is_unlimited() && kind.background.is_empty())
    }

    /// The same of machines that were looked at one by one, since one of the marks of
    /// [`Instance::seen_core_nanos`](Instance::seen_core_nanos): what [`idle_since`](System::idle_since) is held against.
    pub(super) fn has_idled(&self, group: GroupId, mark: usize, now: Time) -> bool {
        self.fleets[group.index()].members.iter().map(|&slot| &self.instances[slot]).all(|instance| {
            instance.machine.core_nanos(now) == instance.seen_core_nanos[mark] && instance.server.inside == 0
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sim_core::{Seed, Simulation};

    use super::*;
    use crate::scenario::Scenario;

    const WEB: GroupId = GroupId(0);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    /// Four instances that get a request a second between the first minute and the second.
    fn played(machine: &str, until: Time) -> Simulation<System> {
        let text = format!(
            r#"
            [scenario]
            duration = "1h"
            [traffic.web]
            to = "front"
            profile = {{ points = {{ at = [["0s", "0/s"], ["60s", "0/s"], ["60s", "1/s"], ["120s", "1/s"], ["120s", "0/s"]] }} }}
            [service.api]
            runtime = "thread-per-request"
            [service.api.endpoint.x]
            steps = [{{ cpu = "400ms" }}]
            [machine.small]
            vcpus = 2
            {machine}
            [group.web]
            service = "api"
            machine = "small"
            min = 4
            max = 8
            scaling = [{{ target_tracking = {{ metric = "cpu", target = 50 }} }}]
            [balancer.front]
            targets = "web"
            health_check = "none"
            "#
        );
        let scenario = Scenario::parse(&text).unwrap();
        let mut simulation = System::start(Arc::new(scenario.plan().clone()), Seed::new(3));
        simulation.run(until, u64::MAX, &mut ());
        simulation
    }

    #[test]
    fn a_census_stands_while_instances_work_and_until_one_changes() {
        let mut system = played("", at(119)).model;
        assert!(system.fleets[0].received > 30);
        let kept = system.instances.census(WEB).copied().expect("requests change nothing of it");
        assert_eq!((kept.units, kept.serving.instances, kept.suspect), (4, 4, false));
        system.instances[0].crashed = Some(at(119));
        assert_eq!(system.instances.census(WEB), None);
        assert!(system.take_census(WEB).suspect);
        assert!(system.instances.census(WEB).is_some());
    }

    #[test]
    fn a_group_idles_from_its_last_request_on() {
        let idles = |system: &System, minute: u64| system.idle_since(WEB, at(60 * minute));
        let system = played("", at(300)).model;
        assert!(!idles(&system, 0) && !idles(&system, 1) && idles(&system, 3));
        assert!(system.fleets[0].inside.changed() > at(115));
    }

    #[test]
    fn what_runs_beside_the_service_and_what_earns_credits_never_idles() {
        for machine in [r#"background = [{ threads = 1 }]"#, r#"quota = { cpus = 1 }"#] {
            let system = played(machine, at(600)).model;
            assert!(!system.idle_since(WEB, at(540)), "{machine}");
        }
    }

    /// Half of the group in service since 10 s: a warm-up of 20 s is over 30 s after the start.
    #[test]
    fn the_newest_is_the_last_to_be_warm() {
        let census = Census { newest: Some(at(10)), ..Census::default() };
        let warm = |by| census.all_warm(Span::from_secs(20), at(by));
        assert!(!warm(29) && warm(30));
        assert!(!Census { unborn: 1, ..census }.all_warm(Span::ZERO, at(30)));
        let from_the_start = Census { newest: Some(Time::ZERO), ..Census::default() };
        assert!(from_the_start.all_warm(Span::from_secs(20), at(1)));
    }
}
