//! Who goes when a group has too many instances, and zones that are evened out.

use sim_core::{Calendar, Time};

use super::System;
use crate::event::Event;
use crate::plan::{GroupId, Process, Protection};
use crate::results::ActivityKind;
use crate::scaling::{
    self, Candidate, LaunchedFrom, ZoneCount, is_too_much, launches_to_balance, rebalance_ceiling,
};

impl System {
    /// Takes out what is too many, as the group's termination policies say. Where all that are left are protected, they
    /// stay, and the desired capacity is what it is.
    pub(in crate::system) fn scale_in(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let desired = self.fleets[group.index()].desired + self.fleets[group.index()].surplus;
        if self.pods_of(group).is_some() {
            return self.remove_pods(group, desired as usize, calendar);
        }
        let mut units = self.census(group).units_in_place;
        if units <= desired {
            self.fleets[group.index()].life.held = false;
            return;
        }
        let mut slots: Vec<u32> =
            self.counted(group).filter(|&slot| !self.instances[slot].standing.extra).collect();
        if self.suspended(group, Process::Terminate, now) {
            let words = format!(
                "{units} instances are there, {desired} are desired, and none is terminated: Terminate is suspended."
            );
            return self.keeps_more(group, words, now);
        }
        // Each choice is made anew, as zones have fewer by then, and other instances are out of line.
        while let Some(chosen) = self.choose_to_terminate(group, &slots, (units, desired), now) {
            slots.retain(|&slot| slot != chosen);
            units -= self.instances[chosen].units;
            let pool = self.plan.groups[group.index()].lifecycle.warm_pool.as_ref();
            let reuse = pool.is_some_and(|pool| pool.reuse_on_scale_in);
            let instance = &mut self.instances[chosen];
            instance.standing.returns = reuse && instance.in_service() && instance.crashed.is_none();
            self.terminate(chosen, "", calendar);
        }
        if slots.iter().any(|&slot| self.may_go(slot, (units, desired))) {
            let words =
                format!("{units} instances stay, {desired} are desired: all are protected from scale-in.");
            self.keeps_more(group, words, now);
        }
    }

    /// Who of these goes next; `None` where nobody has to or may.
    fn choose_to_terminate(
        &mut self,
        group: GroupId,
        slots: &[u32],
        size: (u32, u32),
        now: Time,
    ) -> Option<u32> {
        let slots: Vec<u32> = slots.iter().copied().filter(|&slot| self.may_go(slot, size)).collect();
        let out_of_line = self.out_of_line(group, &slots);
        let candidate = |&slot: &u32| self.candidate(slot, out_of_line.contains(&slot), now);
        let candidates: Vec<Candidate> = slots.iter().map(candidate).collect();
        let plan = self.plan.clone();
        let policies = &plan.groups[group.index()].lifecycle.termination_policies;
        let draws = &mut self.fleets[group.index()].life.choices;
        scaling::choose(&candidates, policies, draws).map(|index| slots[index])
    }

    /// Whether a group of so many units, of which so many are desired, has an instance too many in this one.
    fn may_go(&self, slot: u32, (units, desired): (u32, u32)) -> bool {
        let instance = &self.instances[slot];
        !instance.held && units > desired && is_too_much(units, instance.units, desired)
    }

    /// More instances than desired stay. The log says so once.
    fn keeps_more(&mut self, group: GroupId, words: String, now: Time) {
        if !std::mem::replace(&mut self.fleets[group.index()].life.held, true) {
            self.log(group, ActivityKind::NoAction, now, words);
        }
    }

    /// An instance as termination policies see it.
    fn candidate(&self, slot: u32, out_of_line: bool, now: Time) -> Candidate {
        let instance = &self.instances[slot];
        Candidate {
            zone: instance.zone,
            launched_from: LaunchedFrom::Template(u32::from(instance.version)),
            launched: instance.launched,
            number: instance.number,
            to_next_hour: scaling::to_next_hour(instance.running.unwrap_or(instance.launched), now),
            out_of_line,
            protected: self.is_protected(slot),
        }
    }

    /// True where scale-in spares an instance: protection begins with its service.
    fn is_protected(&self, slot: u32) -> bool {
        let instance = &self.instances[slot];
        let lifecycle = &self.plan.groups[instance.group.index()].lifecycle;
        let busy = || instance.server.inside > 0 || self.sessions_at(slot) > 0;
        instance.in_service()
            && (instance.standing.protected || lifecycle.protection == Protection::WhileBusy && busy())
    }

    /// Instances that were launched beyond the desired capacity and are not ready: those they replace are still there. One that
    /// is ready counts as any other from now on.
    pub(in crate::system) fn extras(&mut self, group: GroupId, now: Time) -> usize {
        if !self.fleets[group.index()].life.rebalancing {
            return 0;
        }
        let extras: Vec<u32> =
            self.counted(group).filter(|&slot| self.instances[slot].standing.extra).collect();
        let ready = |&&slot: &&u32| self.is_ready(slot, now);
        let ready: Vec<u32> = extras.iter().filter(ready).copied().collect();
        for &slot in &ready {
            self.instances[slot].standing.extra = false;
        }
        extras.len() - ready.len()
    }

    /// Evens out the zones of a group: launches where there are fewest before it terminates where there are most, so that
    /// for a while the group may be above its maximum (EC2 Auto Scaling, "Rebalancing activities").
    pub(in crate::system) fn rebalance(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let halted = [Process::AzRebalance, Process::Launch];
        if self.plan.groups[group.index()].zones.len() < 2
            || halted.into_iter().any(|process| self.suspended(group, process, now))
        {
            return;
        }
        let waiting = self.extras(group, now);
        if waiting == 0 {
            self.scale_in(group, calendar); // those that the ready ones replace
        }
        let zones = self.by_zone(group);
        let counted = self.counted(group).count() as u32;
        let fleet = &mut self.fleets[group.index()];
        let launches = launches_to_balance(&zones, counted.saturating_sub(fleet.desired));
        let room = rebalance_ceiling(fleet.max).saturating_sub(counted);
        let goes_on = !launches.is_empty() || waiting > 0;
        let began = !std::mem::replace(&mut fleet.life.rebalancing, goes_on);
        if began && goes_on {
            let words = format!(
                "Rebalancing: {} of {counted} instances have to move until zones are even ({}). Each is launched before another is terminated.",
                launches.len(),
                self.zones_in_words(group, &zones)
            );
            self.fleets[group.index()].cause = format!(
                "At {} the zones were found uneven ({}).",
                self.plan.wall_clock(now),
                self.zones_in_words(group, &zones)
            );
            self.log(group, ActivityKind::Rebalance, now, words);
        }
        for zone in launches.into_iter().take(room as usize) {
            let Some(launch) = self.next_launch(group, Some(zone), calendar) else { break };
            let reference = self.launch(group, launch, true, calendar);
            self.instances[reference.slot].standing.extra = true;
        }
    }

    /// Notes a launch beyond the desired capacity.
    pub(in crate::system) fn log_extra(&mut self, group: GroupId, now: Time, description: String) {
        let cause = format!(
            "{} At {} an instance was launched beyond the desired capacity of {}, to even them out.",
            self.fleets[group.index()].cause,
            self.plan.wall_clock(now),
            self.fleets[group.index()].desired
        );
        self.log_because(group, ActivityKind::Launch, now, description, cause);
    }

    /// The zones of a group that take launches, and who counts there.
    fn by_zone(&self, group: GroupId) -> Vec<ZoneCount> {
        let zones = 0..self.plan.groups[group.index()].zones.len() as u16;
        let mut zones: Vec<ZoneCount> =
            zones.map(|zone| ZoneCount { zone, ..ZoneCount::default() }).collect();
        for slot in self.counted(group) {
            let zone = &mut zones[usize::from(self.instances[slot].zone)];
            zone.instances += 1;
            zone.open += u32::from(!self.is_protected(slot));
        }
        zones.retain(|zone| !self.fleets[group.index()].has_lost(zone.zone));
        zones
    }

    /// `a 3, b 0, c 3`
    fn zones_in_words(&self, group: GroupId, zones: &[ZoneCount]) -> String {
        let names = &self.plan.groups[group.index()].zones;
        let words = zones.iter().map(|zone| format!("{} {}", names[usize::from(zone.zone)], zone.instances));
        words.collect::<Vec<_>>().join(", ")
    }
}
