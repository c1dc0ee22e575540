//! Availability Zones that are lost: everything in them stops, and launches go to those that are left.
//!
//! When a zone is back, its groups even out: see [`lifecycle`](super::lifecycle).

use sim_core::{Calendar, Span};

use super::System;
use super::ending::Ending;
use super::fleet::Fleet;
use super::incidents::how_long;
use super::instance::Phase;
use crate::event::Event;
use crate::plan::GroupId;
use crate::results::ActivityKind;

impl Fleet {
    /// The zone of the next launch, by how many instances each has: the one with the fewest, of those that are not lost.
    pub(super) fn launch_zone(&self, by_zone: &[u32]) -> Option<u16> {
        (0u16..)
            .zip(by_zone)
            .filter(|&(zone, _)| !self.has_lost(zone))
            .min_by_key(|&(_, count)| count)
            .map(|(zone, _)| zone)
    }

    /// True while a zone is lost.
    pub(super) fn has_lost(&self, zone: u16) -> bool {
        self.zones_lost.get(usize::from(zone)).is_some_and(|&times| times > 0)
    }
}

impl System {
    /// Whether a group can launch anywhere. The first time that it cannot, the log says so.
    pub(super) fn can_launch(&mut self, group: GroupId, calendar: &Calendar<Event>) -> bool {
        let zones = &self.plan.groups[group.index()].zones;
        let fleet = &mut self.fleets[group.index()];
        if fleet.zones_lost.is_empty() || fleet.launch_zone(&vec![0; zones.len()]).is_some() {
            return true;
        }
        if !std::mem::replace(&mut fleet.stranded, true) {
            let words = format!(
                "No instance can be launched: all zones of the group ({}) are lost.",
                zones.join(", ")
            );
            self.log(group, ActivityKind::NoAction, calendar.now(), words);
        }
        false
    }

    /// The groups that have a zone, and its index in each.
    fn groups_in(&self, zone: &str) -> Vec<(GroupId, u16)> {
        let groups = (0u16..).map(GroupId).zip(&self.plan.groups);
        groups
            .filter_map(|(id, group)| {
                let index = group.zones.iter().position(|name| name == zone)?;
                Some((id, index as u16))
            })
            .collect()
    }

    /// A zone stops.
    pub(super) fn zone_lost(&mut self, zone: &str, lasts: Option<Span>, calendar: &mut Calendar<Event>) {
        for (group, index) in self.groups_in(zone) {
            let zones = self.plan.groups[group.index()].zones.len();
            let fleet = &mut self.fleets[group.index()];
            fleet.zones_lost.resize(zones, 0);
            fleet.zones_lost[usize::from(index)] += 1;
            if fleet.zones_lost[usize::from(index)] > 1 {
                continue; // it is lost already, and stays so for longer
            }
            let members = fleet.members.iter().copied();
            let inside: Vec<u32> = members
                .filter(|&slot| self.instances[slot].zone == index && !self.instances[slot].impaired)
                .collect();
            let requests: u32 = inside.iter().map(|&slot| self.instances[slot].server.inside).sum();
            let words = format!(
                "Zone {zone} is lost{}: {} of {} instances stop with {requests} requests in progress.",
                how_long(lasts),
                inside.len(),
                self.fleets[group.index()].members.len()
            );
            self.log(group, ActivityKind::IncidentBegan, calendar.now(), words);
            for slot in inside {
                self.stop_with_zone(slot, calendar);
            }
            self.pool_loses(group, index, calendar.now());
            self.note_trouble(group, 0, calendar.now());
        }
    }

    fn stop_with_zone(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        match self.instances[slot].phase {
            Phase::Pending => self.gone(slot, calendar), // it never ran
            Phase::Draining => {
                self.lose_requests(slot, Ending::Lost, calendar);
                self.gone(slot, calendar);
            }
            Phase::Booting | Phase::AppStarting | Phase::Up | Phase::Crashed => {
                self.instances[slot].impaired = true;
                self.stop(slot, calendar);
            }
        }
    }

    /// A zone is back, for launches: what was in it is lost.
    pub(super) fn zone_back(&mut self, zone: &str, calendar: &mut Calendar<Event>) {
        for (group, index) in self.groups_in(zone) {
            let fleet = &mut self.fleets[group.index()];
            let times = &mut fleet.zones_lost[usize::from(index)];
            *times = times.saturating_sub(1);
            if *times > 0 {
                continue;
            }
            fleet.stranded = false;
            if fleet.zones_lost.iter().all(|&times| times == 0) {
                fleet.zones_lost.clear();
            }
            let words = format!("Zone {zone} is back: launches go there again.");
            self.log(group, ActivityKind::IncidentOver, calendar.now(), words);
            self.reconcile(group, calendar);
            self.rebalance(group, calendar);
        }
    }
}
