//! Warm pools: instances that were launched, set up, and wait beside the group until it grows.
//!
//! One in the pool has no machine here: nobody sends it anything. It is a number in a zone, and time on the bill.

use sim_core::{Calendar, Span, Time};

use super::hooks::{Visit, how};
use super::{State, System};
use crate::cost::RunTime;
use crate::event::{Event, Ref};
use crate::plan::{GroupId, PoolState, Process};
use crate::results::ActivityKind;
use crate::scaling::Purchase;
use crate::scaling::{HookResult, warm_pool_size};
use crate::system::fleet::Fleet;
use crate::system::instance::Phase;
use crate::system::mixed::Launch;

/// An instance in a warm pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pooled {
    /// Its number within the group.
    pub number: u64,
    /// Its zone.
    pub zone: u16,
    /// It has been set up, and can be taken.
    pub ready: bool,
    /// From when on it runs and is billed; `None` while it is stopped.
    running: Option<Time>,
    /// When it was stopped.
    stopped: Option<Time>,
}

impl Fleet {
    /// Since when instances in the pool run that do so `now`.
    pub(in crate::system) fn pool_runs_since(&self, now: Time) -> impl Iterator<Item = Time> + '_ {
        self.life.pool.iter().filter_map(|pooled| pooled.running).filter(move |&from| from < now)
    }

    /// How long instances have been stopped in the pool.
    pub(in crate::system) fn stopped_time(&self, now: Time) -> RunTime {
        let mut time = self.life.stopped.clone();
        for stopped in self.life.pool.iter().filter_map(|pooled| pooled.stopped).filter(|&from| from < now) {
            time.add(stopped, now, 0.0);
        }
        time
    }

    /// Takes an instance out of the pool; what it cost there is on the bill.
    fn take_pooled(&mut self, at: usize, now: Time, minimum: f64) -> Pooled {
        let pooled = self.life.pool.remove(at);
        self.close(pooled, now, minimum);
        pooled
    }

    fn close(&mut self, pooled: Pooled, now: Time, minimum: f64) {
        if let Some(running) = pooled.running.filter(|&from| from < now) {
            self.ledger.add_on_demand(running, now, minimum);
        }
        if let Some(stopped) = pooled.stopped {
            self.life.stopped.add(stopped, now, 0.0);
        }
    }
}

impl System {
    /// The pool is full and set up when the run begins.
    pub(super) fn start_pool(&mut self, group: GroupId) {
        let Some(size) = self.pool_size(group) else { return };
        for _ in 0..size {
            let zone = self.next_pool_zone(group).unwrap_or(0);
            let number = self.fleets[group.index()].next_number();
            self.waits_in_pool(
                group,
                Pooled { number, zone, ready: true, running: None, stopped: None },
                Time::ZERO,
            );
        }
    }

    /// Launches into the pool what it lacks, and terminates what it has too many.
    pub(in crate::system) fn fill_pool(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let Some(size) = self.pool_size(group) else { return };
        let now = calendar.now();
        while self.fleets[group.index()].life.pool.len() < size as usize
            && !self.suspended(group, Process::Launch, now)
        {
            let Some(zone) = self.next_pool_zone(group) else { break };
            self.launch_into_pool(group, zone, calendar);
        }
        if self.suspended(group, Process::Terminate, now) {
            return;
        }
        let minimum = self.measure.billed_minimum();
        while self.fleets[group.index()].life.pool.len() > size as usize {
            let fleet = &mut self.fleets[group.index()];
            // Those that are not set up yet first, then the newest.
            let last =
                (0..fleet.life.pool.len()).max_by_key(|&at| (!fleet.life.pool[at].ready, at)).unwrap_or(0);
            let pooled = fleet.take_pooled(last, now, minimum);
            let words = format!("Instance {} leaves the warm pool: it has {size} at most.", pooled.number);
            self.log(group, ActivityKind::Lifecycle, now, words);
        }
    }

    /// How many instances a group's pool is to have; `None` without one.
    fn pool_size(&self, group: GroupId) -> Option<u32> {
        let fleet = &self.fleets[group.index()];
        let pool = self.plan.groups[group.index()].lifecycle.warm_pool.as_ref()?;
        Some(warm_pool_size(fleet.desired, fleet.max, pool.max_group_prepared_capacity, pool.min_size))
    }

    /// The zone with the fewest instances in pool and group.
    fn next_pool_zone(&self, group: GroupId) -> Option<u16> {
        let fleet = &self.fleets[group.index()];
        let mut by_zone = vec![0u32; self.plan.groups[group.index()].zones.len()];
        let group_zones = fleet.members.iter().map(|&slot| self.instances[slot].zone);
        for zone in group_zones.chain(fleet.life.pool.iter().map(|pooled| pooled.zone)) {
            by_zone[usize::from(zone)] += 1;
        }
        fleet.launch_zone(&by_zone)
    }

    fn launch_into_pool(&mut self, group: GroupId, zone: u16, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let startup = &plan.groups[group.index()].startup;
        let fleet = &mut self.fleets[group.index()];
        let number = fleet.next_number();
        let [provision, boot, app] = fleet.start_up(startup, number);
        let steps = startup.user_data.iter().zip(&fleet.user_data);
        let user_data =
            steps.fold(Span::ZERO, |sum, (step, draws)| sum + step.takes.span(&mut draws.at(number << 1)));
        let boot = boot + user_data;
        let hook = self.wait_in_hooks(group, number, Visit::Pool, false);
        // Its app must have started once before it is stopped, and every hook must have ended.
        let set_up = match hook {
            Some(hook) if hook.result == HookResult::Abandon => hook.after,
            Some(hook) => hook.after.max(boot + app),
            None => boot + app,
        };
        let running = Some(now + provision);
        let pooled = Pooled { number, zone, ready: false, running, stopped: None };
        self.fleets[group.index()].life.pool.push(pooled);
        calendar.after(provision + set_up, Event::Pooled(group, number as u32));
        let words = format!(
            "Launching instance {number} into the warm pool (zone {}); it will be set up in {}.",
            plan.groups[group.index()].zones[usize::from(zone)],
            provision + set_up
        );
        self.log(group, ActivityKind::Lifecycle, now, words);
    }

    /// An instance in the pool has been set up.
    pub(in crate::system) fn pooled(&mut self, group: GroupId, number: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let minimum = self.measure.billed_minimum();
        let number = u64::from(number);
        let Some(at) = self.fleets[group.index()].pooled(number) else { return };
        if self.fleets[group.index()].life.pool[at].ready {
            return;
        }
        let end = self.wait_in_hooks(group, number, Visit::Pool, false);
        let pooled = self.fleets[group.index()].take_pooled(at, now, minimum);
        if let Some(end) = end.filter(|end| end.result == HookResult::Abandon) {
            let words =
                format!("Terminating instance {number} in the warm pool: its hooks ended with {}.", how(end));
            self.log(group, ActivityKind::Terminate, now, words);
            return self.fill_pool(group, calendar);
        }
        self.waits_in_pool(group, pooled, now);
        let words = format!("Instance {number} is set up and {} in the warm pool.", self.pool_state(group));
        self.log(group, ActivityKind::Lifecycle, now, words);
    }

    /// An instance begins to wait in the pool.
    fn waits_in_pool(&mut self, group: GroupId, pooled: Pooled, now: Time) {
        let pool = self.plan.groups[group.index()].lifecycle.warm_pool.as_ref();
        let runs = pool.is_some_and(|pool| pool.state == PoolState::Running);
        let (running, stopped) = if runs { (Some(now), None) } else { (None, Some(now)) };
        let fleet = &mut self.fleets[group.index()];
        fleet.life.pool.push(Pooled { ready: true, running, stopped, ..pooled });
        fleet.life.pool.sort_by_key(|pooled| pooled.number);
    }

    fn pool_state(&self, group: GroupId) -> &'static str {
        match self.plan.groups[group.index()].lifecycle.warm_pool.as_ref().map(|pool| pool.state) {
            Some(PoolState::Running) => "running",
            Some(PoolState::Hibernated) => "hibernated",
            Some(PoolState::Stopped) | None => "stopped",
        }
    }

    /// An instance leaves the pool for its group, into `zone` or wherever there is one; `None` where none is set up. It
    /// waits in the launch hooks once more.
    pub(in crate::system) fn launch_warm(
        &mut self,
        group: GroupId,
        zone: Option<u16>,
        calendar: &mut Calendar<Event>,
    ) -> Option<Ref> {
        let now = calendar.now();
        let plan = self.plan.clone();
        let pool = plan.groups[group.index()].lifecycle.warm_pool.as_ref()?;
        let by_zone = |zone| self.counted(group).filter(|&slot| self.instances[slot].zone == zone).count();
        let fleet = &self.fleets[group.index()];
        let usable = fleet.life.pool.iter().enumerate().filter(|(_, pooled)| {
            pooled.ready && !fleet.has_lost(pooled.zone) && zone.is_none_or(|zone| zone == pooled.zone)
        });
        let (at, _) = usable.min_by_key(|(_, pooled)| (by_zone(pooled.zone), pooled.number))?;
        let minimum = self.measure.billed_minimum();
        let fleet = &mut self.fleets[group.index()];
        let pooled = fleet.take_pooled(at, now, minimum);
        fleet.launched += 1;
        let start = pool.start.as_ref().map(|start| start.span(&mut fleet.life.starts.at(pooled.number)));
        let [_, boot, _] = fleet.start_up(&plan.groups[group.index()].startup, pooled.number);
        let (boot, start) = match (start, pool.state) {
            (Some(start), _) => (Span::ZERO, Some(start)),
            (None, PoolState::Stopped) => (boot, None),
            (None, PoolState::Hibernated | PoolState::Running) => (Span::ZERO, Some(Span::ZERO)),
        };
        let words = format!(
            "Instance {} leaves the warm pool, where it was {}, for zone {}.",
            pooled.number,
            self.pool_state(group),
            plan.groups[group.index()].zones[usize::from(pooled.zone)]
        );
        let actual = self.units(group);
        match zone {
            Some(_) => self.log_extra(group, now, words),
            None => self.log_difference(group, ActivityKind::Launch, now, words, actual),
        }
        // A group with a warm pool has one machine for each version, On-Demand.
        let machine = plan.groups[group.index()].template(self.fleets[group.index()].version).machine;
        let launch = Launch { machine, zone: pooled.zone, purchase: Purchase::OnDemand };
        let reference = self.add_instance(group, launch, Some(pooled.number), calendar);
        let instance = &mut self.instances[reference.slot];
        (instance.phase, instance.running, instance.standing.start) = (Phase::Booting, Some(now), start);
        instance.user_data = u8::MAX; // which runs at the first boot only
        self.boot(reference.slot, calendar);
        let at_once =
            boot.is_zero() && start == Some(Span::ZERO) && self.start_fails(reference.slot).is_none();
        if at_once {
            let instance = &mut self.instances[reference.slot];
            (instance.phase, instance.app_started) = (Phase::Up, now); // it answers already
        }
        self.runs(reference.slot, Visit::Service, calendar);
        if !at_once {
            calendar.after(boot, Event::Stage(reference));
        }
        Some(reference)
    }

    /// An instance that scale-in took out goes back to the pool.
    pub(super) fn returns_to_pool(&mut self, slot: u32, now: Time) {
        let instance = &self.instances[slot];
        let (group, number, zone) = (instance.group, instance.number, instance.zone);
        debug_assert!(matches!(instance.standing.state, State::Terminating | State::TerminatingWait));
        self.waits_in_pool(group, Pooled { number, zone, ready: true, running: None, stopped: None }, now);
        let words = format!("Instance {number} goes back to the warm pool, {}.", self.pool_state(group));
        self.log(group, ActivityKind::Lifecycle, now, words);
    }

    /// A zone is lost, and with it what waited there.
    pub(in crate::system) fn pool_loses(&mut self, group: GroupId, zone: u16, now: Time) {
        let minimum = self.measure.billed_minimum();
        let fleet = &mut self.fleets[group.index()];
        while let Some(at) = fleet.life.pool.iter().position(|pooled| pooled.zone == zone) {
            fleet.take_pooled(at, now, minimum);
        }
    }
}
