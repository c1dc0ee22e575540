//! Incidents: when they begin and end, and whom they hit. What a process does that died is told in
//! [`supervise`](super::supervise), what a slow or failing dependency does to a request in [`hinder`](super::hinder).
//!
//! An incident with a stated time hits the instances that are in service longest, so that it is easy to follow. One that
//! comes at random hits any, drawn from a stream of its own.

use sim_core::chance::below;
use sim_core::{Calendar, Keyed, Seed, Span, Stream, Time};

use super::System;
use super::instance::{Instance, Phase};
use crate::event::{Event, Ref};
use crate::plan::{GroupId, Incident, IncidentKind, Plan, ServiceId, When};
use crate::results::ActivityKind;
use crate::words::capitalised;

/// Two of an incident that comes at random are at least so far apart, whatever is drawn.
const LEAST_BETWEEN: Span = Span::from_millis(1);

/// An incident in mid-run.
#[derive(Clone, Debug)]
pub struct Ongoing {
    draws: Stream,
    /// Which waits fail.
    pub(super) failures: Keyed,
    /// It has begun and is not over.
    pub(super) active: bool,
    /// The instances it hits, some of which may be gone.
    pub(super) victims: Vec<Ref>,
}

/// The incidents of a plan before the run. Their streams are named after what they do, and numbered where several do the
/// same to the same: the order of others does not matter.
pub(super) fn ongoing(plan: &Plan, seed: Seed) -> Vec<Ongoing> {
    let labels: Vec<String> = plan.incidents.iter().map(|incident| incident.label(plan)).collect();
    let name = |index: usize| {
        let nth = labels[..index].iter().filter(|label| **label == labels[index]).count();
        format!("incident/{}/{nth}", labels[index])
    };
    let of = |index: usize| Ongoing {
        draws: seed.stream(&name(index)),
        failures: seed.keyed(&format!("{}/failures", name(index))),
        active: false,
        victims: Vec::new(),
    };
    (0..labels.len()).map(of).collect()
}

impl System {
    pub(super) fn start_incidents(&mut self, calendar: &mut Calendar<Event>) {
        for index in 0..self.incidents.len() as u16 {
            match self.plan.incidents[usize::from(index)].when {
                When::At(at) => calendar.at(at, Event::Incident(index)),
                When::Every(_) => self.next_incident(index, calendar),
            }
        }
    }

    /// Draws when an incident comes next, if it comes again.
    fn next_incident(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let When::Every(between) = &self.plan.incidents[usize::from(index)].when else { return };
        let wait = between.span(&mut self.incidents[usize::from(index)].draws).max(LEAST_BETWEEN);
        if calendar.now() + wait <= Time::ZERO + self.plan.duration {
            calendar.after(wait, Event::Incident(index));
        }
    }

    /// Something goes wrong.
    pub(super) fn incident(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let incident = &plan.incidents[usize::from(index)];
        if matches!(incident.when, When::At(at) if at != calendar.now()) {
            return; // a change of the plan has put it off
        }
        let ongoing = &mut self.incidents[usize::from(index)];
        ongoing.active = incident.is_lasting();
        let lasts = incident.lasts.as_ref().map(|lasts| lasts.span(&mut ongoing.draws));
        match &incident.kind {
            IncidentKind::Crash { group, count } => {
                let hit = |instance: &Instance| instance.in_service() && instance.crashed.is_none();
                for slot in self.hit(index, *group, *count, hit) {
                    self.crash_instance(slot, calendar);
                }
            }
            IncidentKind::ProcessCrash { group, count } => {
                for slot in self.hit(index, *group, *count, |instance| instance.phase == Phase::Up) {
                    self.crash_process(index, slot, calendar);
                }
            }
            IncidentKind::CrashLoop { group, count, after } => {
                self.crash_loop(index, *group, *count, *after, lasts, calendar);
            }
            IncidentKind::Slow { group, count, factor } => {
                self.slow_begins(index, *group, (*count, *factor), lasts, calendar.now());
            }
            IncidentKind::Pause { group, count } => {
                self.pause_begins(index, *group, *count, lasts.unwrap_or_default(), calendar);
            }
            IncidentKind::ZoneLoss { zone } => self.zone_lost(zone, lasts, calendar),
            IncidentKind::SlowDependency { service, .. } | IncidentKind::DependencyDown { service, .. } => {
                self.dependency_changes(*service, &words(incident, lasts), calendar.now());
            }
            IncidentKind::SpotInterruption { group, machine, zone, share } => {
                for pool in self.pools_of(*group, *machine, *zone) {
                    self.take_pool_back(*group, pool, *share, lasts, calendar);
                }
            }
            // What it does to requests is settled when they are sent.
            IncidentKind::NetworkLatency { .. } | IncidentKind::PacketLoss { .. } => {
                self.log_network(incident, lasts, calendar.now());
            }
        }
        match lasts {
            Some(lasts) => calendar.after(lasts, Event::IncidentOver(index)),
            None if !incident.is_lasting() => self.next_incident(index, calendar),
            None => {}
        }
    }

    /// An incident is over.
    pub(super) fn incident_over(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let now = calendar.now();
        let ongoing = &mut self.incidents[usize::from(index)];
        ongoing.active = false;
        let victims = std::mem::take(&mut ongoing.victims);
        match &plan.incidents[usize::from(index)].kind {
            IncidentKind::Slow { group, .. } => self.slow_ends(*group, &victims, now),
            IncidentKind::Pause { group, .. } => {
                let words = "What stood still goes on.".to_string();
                self.log(*group, ActivityKind::IncidentOver, now, words);
            }
            IncidentKind::ZoneLoss { zone } => self.zone_back(zone, calendar),
            IncidentKind::CrashLoop { group, .. } => {
                let words = "What kept processes from starting is over; the next start succeeds.";
                self.log(*group, ActivityKind::IncidentOver, now, words.to_string());
            }
            &IncidentKind::SlowDependency { service, .. } => {
                let words = "What it waits for answers as before.";
                self.dependency_changes(service, &(ActivityKind::IncidentOver, words.to_string()), now);
            }
            &IncidentKind::DependencyDown { service, .. } => {
                let words = "What it waits for is back.";
                self.dependency_changes(service, &(ActivityKind::IncidentOver, words.to_string()), now);
            }
            &IncidentKind::SpotInterruption { group, machine, zone, .. } => {
                let zones = self.plan.groups[group.index()].zones.len() as u16;
                for (machine, zone) in self.pools_of(group, machine, zone) {
                    self.pool_returns(group, machine * zones + zone, calendar);
                }
            }
            IncidentKind::Crash { .. }
            | IncidentKind::ProcessCrash { .. }
            | IncidentKind::NetworkLatency { .. }
            | IncidentKind::PacketLoss { .. } => {}
        }
        self.next_incident(index, calendar);
    }

    /// So many of the instances of a group that an incident can hit.
    pub(super) fn hit(
        &mut self,
        index: u16,
        group: GroupId,
        count: u32,
        can: impl Fn(&Instance) -> bool,
    ) -> Vec<u32> {
        let members = self.fleets[group.index()].members.iter().copied();
        let mut slots: Vec<u32> = members.filter(|&slot| can(&self.instances[slot])).collect();
        let count = (count as usize).min(slots.len());
        if matches!(self.plan.incidents[usize::from(index)].when, When::Every(_)) {
            let draws = &mut self.incidents[usize::from(index)].draws;
            for at in 0..count {
                let other = at + below(draws, (slots.len() - at) as u32) as usize;
                slots.swap(at, other);
            }
        }
        slots.truncate(count);
        slots
    }

    fn crash_instance(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Instance { number, server, .. } = &self.instances[slot];
        let description = format!("Instance {number} crashed and lost {}.", self.losses(slot, server.inside));
        self.instances[slot].impaired = true;
        self.crash(slot, description, calendar);
    }

    /// One of an instance's processes dies: the first, or any where it comes at random.
    fn crash_process(&mut self, index: u16, slot: u32, calendar: &mut Calendar<Event>) {
        let living: Vec<u16> = self.instances[slot].server.living().collect();
        let nth = match self.plan.incidents[usize::from(index)].when {
            When::At(_) => 0,
            When::Every(_) => below(&mut self.incidents[usize::from(index)].draws, living.len() as u32),
        };
        if let Some(&process) = living.get(nth as usize) {
            self.die(slot, &[process], ActivityKind::Crash, "crashed", calendar);
        }
    }

    fn slow_begins(
        &mut self,
        index: u16,
        group: GroupId,
        (count, factor): (u32, f64),
        lasts: Option<Span>,
        now: Time,
    ) {
        let slots = self
            .hit(index, group, count, |instance| instance.in_service() && instance.phase != Phase::Crashed);
        let numbers: Vec<u64> = slots.iter().map(|&slot| self.instances[slot].number).collect();
        let victims: Vec<Ref> = slots.iter().map(|&slot| self.instances.reference(slot)).collect();
        self.incidents[usize::from(index)].victims.clone_from(&victims);
        self.set_pace(group, &victims);
        let words = if numbers.is_empty() {
            "No instance is there to become slow.".to_string()
        } else {
            format!("CPU work on {} takes {factor} times as long{}.", instances(&numbers), how_long(lasts))
        };
        self.log(group, ActivityKind::IncidentBegan, now, words);
        self.note_trouble(group, 0, now);
    }

    /// What the instances are doing waits, and what they are sent.
    fn pause_begins(
        &mut self,
        index: u16,
        group: GroupId,
        count: u32,
        lasts: Span,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let slots = self
            .hit(index, group, count, |instance| instance.in_service() && instance.phase != Phase::Crashed);
        self.incidents[usize::from(index)].victims =
            slots.iter().map(|&slot| self.instances.reference(slot)).collect();
        for &slot in &slots {
            let instance = &mut self.instances[slot];
            if let Some(next) = instance.machine.stop(now, lasts) {
                calendar.set_at(instance.timer, next, Event::Cpu(slot));
            }
        }
        let numbers: Vec<u64> = slots.iter().map(|&slot| self.instances[slot].number).collect();
        let words = match numbers.as_slice() {
            [] => "No instance is there to stand still.".to_string(),
            [_] => format!("{} stands still for {lasts}.", capitalised(&instances(&numbers))),
            _ => format!("{} stand still for {lasts}.", capitalised(&instances(&numbers))),
        };
        self.log(group, ActivityKind::IncidentBegan, now, words);
        self.note_trouble(group, 0, now);
    }

    fn slow_ends(&mut self, group: GroupId, victims: &[Ref], now: Time) {
        self.set_pace(group, victims);
        let left: Vec<u64> = victims
            .iter()
            .filter_map(|&victim| self.instances.live(victim))
            .map(|slot| self.instances[slot].number)
            .collect();
        let words = match left.as_slice() {
            [] => "The instances that were slow are gone.".to_string(),
            left => format!("CPU work on {} takes no longer than it should.", instances(left)),
        };
        self.log(group, ActivityKind::IncidentOver, now, words);
    }

    /// What a service waits for changes: its groups log it, and its programs are told.
    fn dependency_changes(&mut self, service: ServiceId, words: &(ActivityKind, String), now: Time) {
        self.hinder_waits(service);
        let groups: Vec<GroupId> = (0..self.plan.groups.len() as u16).map(GroupId).collect();
        for group in groups {
            if self.plan.groups[group.index()].services().any(|own| own == service) {
                self.log(group, words.0, now, words.1.clone());
                self.note_trouble(group, 0, now);
            }
        }
    }
}

/// What the log says of a dependency's incident.
fn words(incident: &Incident, lasts: Option<Span>) -> (ActivityKind, String) {
    let lasts = how_long(lasts);
    let words = match &incident.kind {
        IncidentKind::SlowDependency { factor, .. } => {
            format!("What it waits for takes {factor} times as long{lasts}.")
        }
        IncidentKind::DependencyDown { share, .. } if *share < 1.0 => {
            format!("{} % of what it waits for fails{lasts}.", 100.0 * share)
        }
        _ => format!("All that it waits for fails{lasts}."),
    };
    (ActivityKind::IncidentBegan, words)
}

/// `, for 10min`, and nothing where no end is known.
pub(super) fn how_long(lasts: Option<Span>) -> String {
    lasts.map_or(String::new(), |lasts| format!(", for {lasts}"))
}

/// `instance 3`, `instances 3 and 5`, `instances 0, 1 and 2`.
pub(super) fn instances(numbers: &[u64]) -> String {
    let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("instances {} and {last}", rest.join(", ")),
        Some((only, _)) => format!("instance {only}"),
        None => "no instance".to_string(),
    }
}
