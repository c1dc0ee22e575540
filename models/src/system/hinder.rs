//! Work that takes longer than it should, and waits that fail: slow instances, dependencies that are slow or down. A
//! program asks only while there is something to ask.

use sim_core::chance::unit;
use sim_core::{Calendar, Span, Time};

use super::System;
use super::ending::Ending;
use super::fleet::Fleet;
use super::instance::Phase;
use super::program::Program;
use crate::event::{Event, Ref};
use crate::measure::Trouble;
use crate::plan::{Endpoint, Group, GroupId, IncidentKind, Plan, ServiceId};
use crate::runtime::{Front, Server};

/// How what a service waits for does, as incidents have it.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// How many times as long it takes.
    factor: f64,
    /// The incidents that let waits fail.
    down: Vec<u16>,
}

/// By service; none where no incident is about what services wait for.
pub(super) fn dependencies(plan: &Plan) -> Vec<Dependency> {
    let about = |kind: &IncidentKind| {
        matches!(kind, IncidentKind::SlowDependency { .. } | IncidentKind::DependencyDown { .. })
    };
    if !plan.incidents.iter().any(|incident| about(&incident.kind)) {
        return Vec::new();
    }
    vec![Dependency { factor: 1.0, down: Vec::new() }; plan.services.len()]
}

impl System {
    /// What incidents are doing to a service's waits has changed.
    pub(super) fn hinder_waits(&mut self, service: ServiceId) {
        let mut now = Dependency { factor: 1.0, down: Vec::new() };
        for (index, incident) in (0u16..).zip(&self.plan.incidents) {
            match incident.kind {
                _ if !self.incidents[usize::from(index)].active => {}
                IncidentKind::SlowDependency { service: other, factor } if other == service => {
                    now.factor *= factor;
                }
                IncidentKind::DependencyDown { service: other, .. } if other == service => {
                    now.down.push(index);
                }
                _ => {}
            }
        }
        let hindered = now.factor != 1.0 || !now.down.is_empty();
        self.dependencies[service.index()] = now;
        self.tell_programs(service, |program| program.waits_differ = hindered || program.resumes);
    }

    fn tell_programs(&mut self, service: ServiceId, tell: impl Fn(&mut Program)) {
        let plan = self.plan.clone();
        let own = |endpoint: &Endpoint| endpoint.service == service;
        for (program, _) in
            self.programs.iter_mut().zip(&plan.endpoints).filter(|(_, endpoint)| own(endpoint))
        {
            tell(program);
        }
    }

    /// The share of a service's waits that fail, one with another.
    fn failing(&self, service: ServiceId) -> f64 {
        let shares = self.dependencies[service.index()].down.iter().map(|&index| {
            match self.plan.incidents[usize::from(index)].kind {
                IncidentKind::DependencyDown { share, .. } => share,
                _ => 0.0,
            }
        });
        1.0 - shares.map(|share| 1.0 - share).product::<f64>()
    }

    /// A wait for something that is slow or down, and that would take so long.
    #[inline(never)]
    pub(super) fn wait_differently(&mut self, slot: u32, usual: Span, calendar: &mut Calendar<Event>) {
        let usual = self.left_of_step(slot, usual, calendar.now());
        let request = &self.requests[slot];
        let (reference, service) = (self.requests.reference(slot), self.instances[request.instance].service);
        let mut event = Event::WaitOver(reference);
        let Some(dependency) = self.dependencies.get(service.index()) else {
            return calendar.after(usual, event);
        };
        let mut takes = if dependency.factor == 1.0 { usual } else { usual.mul_f64(dependency.factor) };
        let key =
            request.key().wrapping_mul(Endpoint::MOST_STEPS as u64 + 1).wrapping_add(u64::from(request.step));
        for &index in &dependency.down {
            let incident = &self.plan.incidents[usize::from(index)];
            let IncidentKind::DependencyDown { share, after, .. } = &incident.kind else { continue };
            let mut draws = self.incidents[usize::from(index)].failures.at(key);
            if unit(&mut draws) < *share {
                event = Event::WaitFailed(reference);
                if let Some(after) = after {
                    takes = after.span(&mut draws);
                }
                break;
            }
        }
        calendar.after(takes, event);
    }

    /// What a request waited for has failed, and the request with it.
    pub(super) fn wait_failed(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.requests.live(reference) else { return };
        let request = &self.requests[slot];
        let process = &self.instances[request.instance].server.processes[usize::from(request.process)];
        let holding = !process.event_loop;
        self.leave(slot, holding, Ending::CallFailed, calendar);
    }

    /// How much slower instances are has changed: the factors of all incidents that hit one multiply.
    pub(super) fn set_pace(&mut self, group: GroupId, changed: &[Ref]) {
        self.harmed = true;
        for &victim in changed {
            let Some(slot) = self.instances.live(victim) else { continue };
            let factors =
                self.plan.incidents.iter().zip(&self.incidents).filter_map(|(incident, ongoing)| {
                    match incident.kind {
                        IncidentKind::Slow { factor, .. }
                            if ongoing.active && ongoing.victims.contains(&victim) =>
                        {
                            Some(factor)
                        }
                        _ => None,
                    }
                });
            self.instances[slot].slow = factors.product();
            self.pace_front(slot);
        }
        let plan = self.plan.clone();
        for service in plan.groups[group.index()].services() {
            let runs = |group: &Group| group.services().any(|other| other == service);
            let groups = plan.groups.iter().zip(&self.fleets).filter(|(group, _)| runs(group));
            let any =
                groups.flat_map(|(_, fleet)| &fleet.members).any(|&slot| self.instances[slot].slow != 1.0);
            self.tell_programs(service, |program| program.set_slow(any));
        }
    }

    /// The primary of a slow instance is slow too.
    pub(super) fn pace_front(&mut self, slot: u32) {
        let instance = &mut self.instances[slot];
        let [accept, handover] = self.plan.services[instance.service.index()].runtime.connection_costs();
        let slow = instance.slow;
        if let Server { front: Front::Primary(primary), .. } = &mut instance.server {
            (primary.cost, primary.handover) = (accept.mul_f64(slow), handover.mul_f64(slow));
        }
    }

    /// CPU work of a request on an instance that may be slow.
    pub(super) fn slower(&self, slot: u32, demand: Span) -> Span {
        match self.instances[self.requests[slot].instance].slow {
            1.0 => demand,
            slow => demand.mul_f64(slow),
        }
    }

    /// What incidents are doing to a group now.
    fn trouble(&self, group: GroupId) -> Trouble {
        let fleet = &self.fleets[group.index()];
        let mut trouble = Trouble {
            zones_lost: (0..fleet.zones_lost.len() as u16).filter(|&zone| fleet.has_lost(zone)).collect(),
            ..Trouble::default()
        };
        if let Some(index) = self.release_of(group) {
            (trouble.release, trouble.out) = (index + 1, self.missing_in(index, group));
        }
        // Until the first process has died and the first instance was slow there is nobody to look at.
        let members = if self.harmed { fleet.members.as_slice() } else { &[] };
        for &slot in members {
            let instance = &self.instances[slot];
            trouble.dead += u32::from(instance.server.dead);
            trouble.given_up += instance.given_up();
            trouble.without_app += u32::from(instance.without_app && instance.phase == Phase::Crashed);
            if instance.slow != 1.0 {
                trouble.slow += 1;
                trouble.slowest = trouble.slowest.max(instance.slow);
            }
        }
        let paused = self.plan.incidents.iter().zip(&self.incidents).filter(|(incident, ongoing)| {
            ongoing.active
                && matches!(incident.kind, IncidentKind::Pause { group: other, .. } if other == group)
        });
        trouble.paused = paused.map(|(_, ongoing)| ongoing.victims.len() as u32).sum();
        let service = self.plan.groups[group.index()].service;
        if let Some(dependency) = self.dependencies.get(service.index()) {
            trouble.waits = if dependency.factor == 1.0 { 0.0 } else { dependency.factor };
            trouble.failing = self.failing(service);
        }
        trouble
    }

    /// Remembers it for the minute, which it may not last for, and that processes died. What happens as a minute ends belongs to
    /// the next.
    pub(super) fn note_trouble(&mut self, group: GroupId, deaths: u32, now: Time) {
        let trouble = Trouble { deaths, ..self.trouble(group) };
        let fleet = &mut self.fleets[group.index()];
        fleet.settle_trouble(now);
        fleet.trouble_now.1.add(&trouble);
    }

    /// The incidents of the minute that ends; what goes on is there in the next one too.
    pub(super) fn trouble_of_minute(&mut self, group: GroupId, now: Time) -> Option<Box<Trouble>> {
        let goes_on = self.trouble(group);
        let fleet = &mut self.fleets[group.index()];
        if fleet.trouble_now.0 < now {
            fleet.settle_trouble(now);
        }
        let mut trouble = std::mem::replace(&mut fleet.trouble, goes_on);
        trouble.errors = std::mem::take(&mut fleet.errors);
        (trouble != Trouble::default()).then(|| Box::new(trouble))
    }
}

impl Fleet {
    /// What happened at an instant that is over belongs to its minute.
    fn settle_trouble(&mut self, now: Time) {
        if self.trouble_now.0 < now {
            let (_, before) = std::mem::replace(&mut self.trouble_now, (now, Trouble::default()));
            self.trouble.add(&before);
        }
    }
}
