//! A pipeline that replaces instances one by one: it takes one out of its target groups, waits, terminates it, and the group
//! launches another.

use sim_core::{Calendar, Time};

use super::System;
use super::instance::Instance;
use super::refresh::instances;
use super::release::{LOOKS_EVERY, Running};
use crate::event::{Event, Ref};
use crate::plan::{How, Release, Rolling};
use crate::results::ActivityKind;

/// A rolling replacement in progress, or its rollback.
#[derive(Clone, Debug)]
pub struct Roll {
    /// The version that instances get, and the one that the group had.
    to: u8,
    from: u8,
    /// Instances with this number and above were launched since it began.
    first_new: u64,
    rollback: bool,
    replaced: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The next one is to be taken out.
    Next,
    /// One is out of its target groups and finishes what it has.
    Draining(Ref),
    /// Another is on its way, since this instant.
    Launching(Time),
}

impl Roll {
    fn is_old(&self, instance: &Instance) -> bool {
        instance.number < self.first_new && !(self.rollback && instance.version == self.to)
    }
}

impl System {
    pub(super) fn begin_rolling(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let release = &self.plan.releases[usize::from(index)];
        let (group, title) = (release.group, self.title(release));
        let fleet = &mut self.fleets[group.index()];
        let from = fleet.version;
        fleet.version = release.version.unwrap_or(from);
        let roll = Roll {
            to: fleet.version,
            from,
            first_new: fleet.number_to_come(),
            rollback: false,
            replaced: 0,
            stage: Stage::Next,
        };
        let words = format!("{title} begins: {} instances, one after another.", fleet.desired);
        self.log(group, ActivityKind::ReleaseStarted, calendar.now(), words);
        self.releases[usize::from(index)].running = Some(Running::Rolling(roll));
        self.rolling_goes_on(index, calendar);
    }

    pub(super) fn rolling_goes_on(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let Some(Running::Rolling(mut roll)) = self.releases[usize::from(index)].running.take() else {
            return;
        };
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let How::Rolling(way) = release.how else { return };
        if let Some(alarm) = self.alarm_of(index).filter(|_| !roll.rollback) {
            return self.rolling_failed(index, roll, &alarm, calendar);
        }
        let now = calendar.now();
        let at = match roll.stage {
            Stage::Next => match self.take_next_out(release, &roll, calendar) {
                Some(taken) => {
                    roll.stage = Stage::Draining(taken);
                    now + way.drain
                }
                None => {
                    let words = format!(
                        "{} succeeded: {} replaced.",
                        self.roll_name(release, &roll),
                        instances(roll.replaced)
                    );
                    return self.release_over(index, ActivityKind::ReleaseSucceeded, now, words);
                }
            },
            Stage::Draining(taken) => {
                // It may have been replaced for another reason meanwhile.
                let counts = |&slot: &u32| self.instances.live(taken) == Some(slot);
                let still = self.counted(release.group).find(counts);
                if let Some(slot) = still {
                    self.terminate(slot, "the pipeline replaces it", calendar);
                }
                roll.replaced += 1;
                roll.stage = Stage::Launching(now);
                self.reconcile(release.group, calendar);
                now + if way.wait_for_health { LOOKS_EVERY } else { way.pause }
            }
            Stage::Launching(since) => {
                let healthy = self.healthy_targets(release.group);
                let desired = self.fleets[release.group.index()].desired;
                match way.wait_for_health && healthy < desired {
                    true if now >= since + way.timeout => {
                        let why =
                            format!("{healthy} of {desired} instances are healthy after {}", way.timeout);
                        return self.rolling_failed(index, roll, &why, calendar);
                    }
                    true => (now + LOOKS_EVERY).min(since + way.timeout),
                    false => {
                        roll.stage = Stage::Next;
                        now + if way.wait_for_health { way.pause } else { sim_core::Span::ZERO }
                    }
                }
            }
        };
        self.releases[usize::from(index)].running = Some(Running::Rolling(roll));
        self.look_again_at(index, at, calendar);
    }

    /// Takes the next instance out of its target groups; none where all are replaced.
    fn take_next_out(
        &mut self,
        release: &Release,
        roll: &Roll,
        calendar: &mut Calendar<Event>,
    ) -> Option<Ref> {
        let now = calendar.now();
        let slot = *self.to_replace(release.group, |instance| roll.is_old(instance)).first()?;
        self.deregister(slot, calendar);
        let How::Rolling(Rolling { drain, .. }) = release.how else { return None };
        let instance = &self.instances[slot];
        let words = format!(
            "{} takes instance {} out of its target groups; {drain} later it is terminated, {} requests are inside.",
            self.roll_name(release, roll),
            instance.number,
            instance.server.inside
        );
        self.log(release.group, ActivityKind::ReleaseProgress, now, words);
        Some(self.instances.reference(slot))
    }

    fn roll_name(&self, release: &Release, roll: &Roll) -> String {
        match roll.rollback {
            true => format!("Rollback to {}", self.plan.groups[release.group.index()].template(roll.to).name),
            false => self.title(release),
        }
    }

    /// The pipeline stops. What it has replaced stays, and so does the new version, unless it is rolled back.
    fn rolling_failed(&mut self, index: u16, roll: Roll, why: &str, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let (group, now) = (release.group, calendar.now());
        let undone = release.auto_rollback && !roll.rollback && roll.to != roll.from;
        let next = match undone {
            true => "Everything that it replaced is rolled back.",
            false => "The group is left with what it has.",
        };
        let words = format!(
            "{} failed with {} replaced: {why}. {next}",
            self.roll_name(release, &roll),
            instances(roll.replaced)
        );
        if !undone {
            return self.release_over(index, ActivityKind::ReleaseFailed, now, words);
        }
        self.log(group, ActivityKind::ReleaseFailed, now, words);
        let fleet = &mut self.fleets[group.index()];
        fleet.version = roll.from;
        let rollback = Roll {
            to: roll.from,
            from: roll.from,
            first_new: fleet.number_to_come(),
            rollback: true,
            replaced: 0,
            stage: Stage::Next,
        };
        self.releases[usize::from(index)].running = Some(Running::Rolling(rollback));
        self.rolling_goes_on(index, calendar);
    }
}
