//! Spot instances that are taken back: the rebalance recommendation, the interruption notice, the end; and pools that give
//! nothing for a while.
//!
//! Without capacity rebalancing a group does nothing until an instance is gone and its health check fails. With it, it
//! launches a replacement when it learns that an instance is at risk, and ends that one once as many others serve (EC2 Auto
//! Scaling, "Use Capacity Rebalancing to handle Amazon EC2 Spot interruptions").

use sim_core::chance::below;
use sim_core::dist::Dist;
use sim_core::{Calendar, Keyed, Seed, Span, Stream, Time};

use super::System;
use super::ending::Ending;
use super::instance::{Interruption, Phase};
use super::lifecycle::State;
use crate::event::{Event, Ref};
use crate::plan::{Group, GroupId, Spot};
use crate::results::ActivityKind;
use crate::scaling::{Purchase, SpotAllocation};

/// A pool in mid-run: types, and in each the zones.
#[derive(Clone, Debug)]
pub struct PoolState {
    /// What keeps it from giving instances: how many interruptions it has not come back from.
    pub dry: u32,
    draws: Stream,
}

/// What a group has had of Spot instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotCounts {
    /// Launched, those of the start included.
    pub launched: u64,
    /// Interruption notices.
    pub notices: u64,
    /// Instances that were taken back.
    pub interrupted: u64,
    /// Instances at risk whose replacement was launched before they were gone.
    pub rebalanced: u64,
    /// Requests and messages that were lost with them.
    pub lost: u64,
}

/// What a group draws of its Spot instances.
#[derive(Clone, Debug)]
pub struct SpotDraws {
    lives: Keyed,
    warnings: Keyed,
}

impl SpotDraws {
    pub(super) fn new(plan: &Group, seed: Seed) -> SpotDraws {
        let keyed = |part: &str| seed.keyed(&format!("group/{}/spot/{part}", plan.name));
        SpotDraws { lives: keyed("interruptions"), warnings: keyed("recommendations") }
    }
}

/// The pools of a group before the run; none where nothing is Spot.
pub(super) fn pools(plan: &Group, seed: Seed) -> Vec<PoolState> {
    let Some(mixed) = plan.mixed.as_ref().filter(|mixed| mixed.spot.is_some()) else { return Vec::new() };
    let names = (0..mixed.weights.len()).flat_map(|machine| {
        let zones = plan.zones.iter();
        zones.map(move |zone| format!("group/{}/spot/pool/{}/{zone}", plan.name, plan.machines[machine].name))
    });
    names.map(|name| PoolState { dry: 0, draws: seed.stream(&name) }).collect()
}

impl System {
    fn spot_terms(&self, group: GroupId) -> Option<&Spot> {
        self.plan.groups[group.index()].mixed.as_ref()?.spot.as_ref()
    }

    /// Sets when pools take instances back for the first time.
    pub(super) fn start_pools(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        for pool in 0..self.fleets[group.index()].pools.len() as u16 {
            self.next_pool_interruption(group, pool, calendar);
        }
    }

    fn next_pool_interruption(&mut self, group: GroupId, pool: u16, calendar: &mut Calendar<Event>) {
        let terms = self.spot_terms(group).and_then(|spot| spot.pool_interruptions.as_ref());
        let Some(mean) = terms.map(|terms| terms.mean_time_between) else { return };
        let draws = &mut self.fleets[group.index()].pools[usize::from(pool)].draws;
        let wait = exponential(mean).map_or(Span::ZERO, |between| between.span(draws));
        if calendar.now() + wait <= Time::ZERO + self.plan.duration {
            calendar.after(wait, Event::PoolInterrupted(group, pool));
        }
    }

    /// A pool takes a share of its instances back at random, and gives none for a while.
    pub(super) fn pool_interrupted(&mut self, group: GroupId, pool: u16, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Some(terms) = self.spot_terms(group).and_then(|spot| spot.pool_interruptions.clone()) else {
            return;
        };
        let zones = plan.groups[group.index()].zones.len() as u16;
        let draws = &mut self.fleets[group.index()].pools[usize::from(pool)].draws;
        let lasts = terms.returns_after.span(draws);
        self.take_pool_back(group, (pool / zones, pool % zones), terms.share, Some(lasts), calendar);
        calendar.after(lasts, Event::PoolReturns(group, pool));
        self.next_pool_interruption(group, pool, calendar);
    }

    /// The pools of a group that are of a type and in a zone.
    pub(super) fn pools_of(
        &self,
        group: GroupId,
        machine: Option<u16>,
        zone: Option<u16>,
    ) -> Vec<(u16, u16)> {
        let plan = &self.plan.groups[group.index()];
        let (machines, zones) = (0..plan.machines.len() as u16, 0..plan.zones.len() as u16);
        let all = machines.flat_map(|own| zones.clone().map(move |place| (own, place)));
        let of = |&(own, place): &(u16, u16)| {
            machine.is_none_or(|machine| machine == own) && zone.is_none_or(|zone| zone == place)
        };
        all.filter(of).collect()
    }

    /// A share of a pool's instances is taken back; from now on it gives none.
    pub(super) fn take_pool_back(
        &mut self,
        group: GroupId,
        (machine, zone): (u16, u16),
        share: f64,
        lasts: Option<Span>,
        calendar: &mut Calendar<Event>,
    ) {
        let plan = self.plan.clone();
        let plan = &plan.groups[group.index()];
        let pool = usize::from(machine) * plan.zones.len() + usize::from(zone);
        let fleet = &mut self.fleets[group.index()];
        let Some(state) = fleet.pools.get_mut(pool) else { return };
        state.dry += 1;
        let mut slots: Vec<u32> = fleet
            .members
            .iter()
            .copied()
            .filter(|&slot| {
                let instance = &self.instances[slot];
                let running = instance.running.is_some() && instance.interruption == Interruption::None;
                instance.is_in_pool(machine, zone) && running
            })
            .collect();
        let count = (share * slots.len() as f64).ceil() as usize;
        for at in 0..count.min(slots.len()) {
            let other = at + below(&mut state.draws, (slots.len() - at) as u32) as usize;
            slots.swap(at, other);
        }
        slots.truncate(count);
        let until = lasts.map_or(String::new(), |lasts| format!(" for {lasts}"));
        let words = format!(
            "EC2 needs the Spot capacity of {} in zone {} and gives none{until}: it takes {} {} back.",
            plan.machines[usize::from(machine)].name,
            plan.zones[usize::from(zone)],
            slots.len(),
            if slots.len() == 1 { "instance" } else { "instances" }
        );
        self.log(group, ActivityKind::IncidentBegan, calendar.now(), words);
        for slot in slots {
            self.begin_interruption(slot, calendar);
        }
    }

    /// A pool gives instances again.
    pub(super) fn pool_returns(&mut self, group: GroupId, pool: u16, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let plan = &plan.groups[group.index()];
        let state = &mut self.fleets[group.index()].pools[usize::from(pool)];
        state.dry = state.dry.saturating_sub(1);
        if state.dry > 0 {
            return;
        }
        let zones = plan.zones.len();
        let words = format!(
            "There is Spot capacity of {} in zone {} again.",
            plan.machines[usize::from(pool) / zones].name,
            plan.zones[usize::from(pool) % zones]
        );
        self.log(group, ActivityKind::IncidentOver, calendar.now(), words);
    }

    /// A Spot instance runs: some day it is taken back.
    pub(super) fn spot_runs(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &self.instances[slot];
        if instance.purchase == Purchase::OnDemand {
            return;
        }
        let (group, number) = (instance.group, instance.number);
        let Some(mean) = self.spot_terms(group).and_then(|spot| spot.interruptions) else { return };
        let lives = self.fleets[group.index()].spot_draws.lives;
        let Some(life) = exponential(mean.mean_time_between) else { return };
        let due = calendar.now() + life.span(&mut lives.at(number));
        if due <= Time::ZERO + self.plan.duration {
            self.next_interruption(slot, due, calendar);
        }
    }

    /// What comes next of an instance's interruption. What was to come before is not.
    fn next_interruption(&mut self, slot: u32, due: Time, calendar: &mut Calendar<Event>) {
        self.instances[slot].interruption_due = due;
        calendar.at(due, Event::Spot(self.instances.reference(slot)));
    }

    /// The next step of an instance's interruption is due.
    pub(super) fn spot(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let Some(slot) = self.instances.live(reference) else { return };
        if self.instances[slot].interruption_due != calendar.now() {
            return; // it came to that in another way
        }
        match self.instances[slot].interruption {
            Interruption::None => self.begin_interruption(slot, calendar),
            Interruption::Recommended => self.notice(slot, calendar),
            Interruption::Noticed => self.take_back(slot, calendar),
            Interruption::TakenBack => {}
        }
    }

    /// An instance is to be taken back: somebody may learn of it before the notice.
    fn begin_interruption(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let instance = &self.instances[slot];
        let (group, number) = (instance.group, instance.number);
        let Some(before) = self.spot_terms(group).and_then(|spot| spot.rebalance_recommendation.clone())
        else {
            return self.notice(slot, calendar);
        };
        let ahead = before.span(&mut self.fleets[group.index()].spot_draws.warnings.at(number));
        self.instances[slot].interruption = Interruption::Recommended;
        let words =
            format!("Rebalance recommendation for instance {number}: it is likely to be interrupted.");
        self.log(group, ActivityKind::RebalanceRecommendation, now, words);
        self.next_interruption(slot, now + ahead, calendar);
        self.replace_ahead(slot, calendar);
    }

    /// The interruption notice: two minutes are left.
    fn notice(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let instance = &mut self.instances[slot];
        instance.interruption = Interruption::Noticed;
        let (group, number, inside) = (instance.group, instance.number, instance.server.inside);
        let Some(spot) = self.spot_terms(group) else { return };
        let (notice, drains) = (spot.notice, spot.drain_on_notice);
        self.fleets[group.index()].spot.notices += 1;
        let drains = drains && self.instances[slot].phase == Phase::Up;
        let what = if drains {
            format!("it leaves its target groups and finishes {inside} requests")
        } else {
            "nobody listens".to_string()
        };
        let words = format!("Interruption notice for instance {number}: it ends in {notice}, and {what}.");
        self.log(group, ActivityKind::InterruptionNotice, now, words);
        self.next_interruption(slot, now + notice, calendar);
        if drains {
            self.deregister(slot, calendar);
            self.instances[slot].phase = Phase::Draining;
            self.instances[slot].held = true;
            self.rooms_leave(slot, calendar);
        }
        self.replace_ahead(slot, calendar);
    }

    /// The instance ends. Its group learns of that at its next health check.
    fn take_back(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let instance = &mut self.instances[slot];
        instance.interruption = Interruption::TakenBack;
        instance.taken_back = Some(now);
        let (group, number, phase) = (instance.group, instance.number, instance.phase);
        let inside = instance.server.inside;
        let fleet = &mut self.fleets[group.index()];
        fleet.spot.interrupted += 1;
        fleet.spot.lost += u64::from(inside);
        let words = format!("EC2 took Spot instance {number} back: it lost {}.", self.losses(slot, inside));
        self.log(group, ActivityKind::Interruption, now, words);
        match phase {
            Phase::Draining => {
                self.log_cut_sessions(slot, now);
                self.lose_requests(slot, Ending::CutOff, calendar);
                self.gone(slot, calendar);
            }
            Phase::Crashed => self.instances[slot].impaired = true,
            Phase::Pending | Phase::Booting | Phase::AppStarting | Phase::Up => {
                self.instances[slot].impaired = true;
                self.stop(slot, calendar);
            }
        }
    }

    /// With capacity rebalancing, an instance at risk is replaced before it is gone. The group may have a tenth of its maximum,
    /// and at least one instance, too many for that.
    fn replace_ahead(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &self.instances[slot];
        let (group, number) = (instance.group, instance.number);
        let at_risk = matches!(instance.interruption, Interruption::Recommended | Interruption::Noticed)
            && instance.counted();
        if !at_risk || !self.spot_terms(group).is_some_and(|spot| spot.capacity_rebalancing) {
            return;
        }
        let fleet = &self.fleets[group.index()];
        let members = fleet.members.iter().map(|&member| &self.instances[member]);
        let there: u32 =
            members.filter(|other| other.counted() || other.relieved).map(|other| other.units).sum();
        let room = fleet.max.saturating_add((fleet.max / 10).max(1));
        if there + self.instances[slot].units > room {
            return; // it is tried again at the next health check
        }
        self.instances[slot].relieved = true;
        self.fleets[group.index()].spot.rebalanced += 1;
        let words = format!("Capacity rebalancing: a replacement for instance {number} is launched first.");
        self.log(group, ActivityKind::Replace, calendar.now(), words);
        self.reconcile(group, calendar);
    }

    /// Ends instances at risk, as many as there are others that serve in their place.
    #[inline(never)]
    pub(super) fn relieve(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        if self.fleets[group.index()].pools.is_empty() || !self.census(group).at_risk {
            return;
        }
        let members = self.fleets[group.index()].members.clone();
        for &slot in &members {
            if self.instances[slot].interruption != Interruption::None {
                self.replace_ahead(slot, calendar);
            }
        }
        let ends = |slot: u32| {
            let instance = &self.instances[slot];
            instance.relieved && (instance.phase != Phase::Draining || instance.held)
        };
        let mut at_risk: Vec<u32> = members.into_iter().filter(|&slot| ends(slot)).collect();
        let missing = self.units(group) < self.fleets[group.index()].desired;
        let waited_for = self.counted(group).filter(|&slot| !self.instances[slot].serving()).count();
        let keep = waited_for + usize::from(missing);
        at_risk.truncate(at_risk.len().saturating_sub(keep));
        for slot in at_risk {
            self.terminate(slot, "its replacement serves before it is interrupted", calendar);
        }
    }

    /// The group ends an instance that drains after its notice: it goes as soon as it has nothing more to do.
    pub(super) fn let_go(&mut self, slot: u32, because: &str, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[slot];
        instance.held = false;
        instance.standing.state = State::Terminating;
        let (group, number, inside) = (instance.group, instance.number, instance.server.inside);
        let words =
            format!("Terminating instance {number}: {because}. It drains already, with {inside} requests.");
        self.log(group, ActivityKind::Terminate, calendar.now(), words);
        self.gone_if_empty(self.instances.reference(slot), calendar);
    }

    /// Of instances that a scale-in may end, those in the pools that the group's strategy likes least.
    pub(super) fn least_wanted(&self, group: GroupId, candidates: Vec<u32>) -> Vec<u32> {
        let plan = &self.plan.groups[group.index()];
        let Some((mixed, spot)) = plan.mixed.as_ref().and_then(|mixed| Some((mixed, mixed.spot.as_ref()?)))
        else {
            return candidates;
        };
        let price = |slot: &u32| {
            let instance = &self.instances[*slot];
            let (machine, zone) = (instance.machine_type, instance.zone);
            let hourly = plan.machines[instance.machine_type()].hourly.unwrap_or(0.0);
            let share = spot.share_of_price(instance.purchase, machine, zone, plan.zones.len());
            hourly * share / f64::from(instance.units.max(1))
        };
        let spot_only = candidates.iter().all(|&slot| self.instances[slot].purchase == Purchase::Spot);
        if !spot_only || mixed.spot_allocation == SpotAllocation::CapacityOptimized {
            return candidates;
        }
        let dearest = candidates.iter().map(price).fold(0.0, f64::max);
        candidates.into_iter().filter(|slot| price(slot) >= dearest * (1.0 - 1e-9)).collect()
    }
}

fn exponential(mean: f64) -> Option<Dist> {
    Dist::exponential(mean).ok()
}
