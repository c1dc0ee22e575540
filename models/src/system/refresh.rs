//! Instance refreshes: what [`crate::scaling::refresh`] decides is carried out here, and told.

use sim_core::{Calendar, Span, Time};

use super::System;
use super::instance::Instance;
use super::release::{LOOKS_EVERY, Running};
use crate::event::Event;
use crate::plan::{GroupId, Process, Release};
use crate::results::ActivityKind;
use crate::scaling::refresh::{Preferences, Refresh, Seen, Step, Wait, refresh_warmup};

/// An instance refresh in progress, or its rollback.
#[derive(Clone, Debug)]
pub struct Refreshing {
    refresh: Refresh,
    preferences: Preferences,
    /// The version that instances get, and the one that the group had.
    to: u8,
    from: u8,
    /// Instances with this number and above were launched since it began.
    first_new: u64,
    /// It undoes one that has failed.
    rollback: bool,
    /// Instances that were terminated for it.
    replaced: u32,
    /// What the log has said that it waits for.
    told: Option<Wait>,
}

impl Refreshing {
    fn is_old(&self, instance: &Instance) -> bool {
        instance.number < self.first_new && !(self.preferences.skip_matching && instance.version == self.to)
    }
}

impl System {
    pub(super) fn begin_refresh(
        &mut self,
        index: u16,
        preferences: &Preferences,
        calendar: &mut Calendar<Event>,
    ) {
        let release = &self.plan.releases[usize::from(index)];
        let (group, title) = (release.group, self.title(release));
        let fleet = &mut self.fleets[group.index()];
        let from = fleet.version;
        fleet.version = release.version.unwrap_or(from);
        let refreshing = Refreshing {
            refresh: Refresh::new(calendar.now()),
            preferences: preferences.clone(),
            to: fleet.version,
            from,
            first_new: fleet.number_to_come(),
            rollback: false,
            replaced: 0,
            told: None,
        };
        let old = self.counted(group).filter(|&slot| refreshing.is_old(&self.instances[slot])).count();
        let all = self.counted(group).count();
        let words = format!(
            "{title} begins: {old} of {all} instances are to be replaced, {} % stay healthy, at most {} % are there at once.",
            preferences.min_healthy, preferences.max_healthy
        );
        self.log(group, ActivityKind::ReleaseStarted, calendar.now(), words);
        self.releases[usize::from(index)].running = Some(Running::Refresh(refreshing));
        self.refresh_goes_on(index, calendar);
    }

    pub(super) fn refresh_goes_on(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let Some(Running::Refresh(mut refreshing)) = self.releases[usize::from(index)].running.take() else {
            return;
        };
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let (group, now) = (release.group, calendar.now());
        if let Some(alarm) = self.alarm_of(index).filter(|_| !refreshing.rollback) {
            return self.refresh_failed(index, refreshing, &alarm, calendar);
        }
        if self.suspended(group, Process::InstanceRefresh, now) {
            self.releases[usize::from(index)].running = Some(Running::Refresh(refreshing));
            return self.look_again_at(index, now + LOOKS_EVERY, calendar);
        }
        loop {
            let seen = self.seen_by_refresh(group, &refreshing, now);
            match refreshing.refresh.decide(&refreshing.preferences, &seen) {
                Step::Replace { terminate, launch } => {
                    self.log_batch(release, &refreshing, &seen, terminate, launch, now);
                    self.fleets[group.index()].surplus = launch;
                    if launch > 0 {
                        let at = plan.wall_clock(now);
                        let words = format!(
                            "At {at} an instance refresh began to launch {launch} before as many go."
                        );
                        self.fleets[group.index()].cause = words;
                    }
                    self.take_out_old(group, &mut refreshing, terminate, calendar);
                }
                Step::Terminate(count) => {
                    self.fleets[group.index()].surplus = 0;
                    self.take_out_old(group, &mut refreshing, count, calendar);
                }
                Step::Wait(wait) => {
                    self.log_wait(release, &mut refreshing, wait, now);
                    let until = match wait {
                        Wait::Checkpoint { until, .. } | Wait::Bake { until } => until,
                        _ => wait.until().min(now + LOOKS_EVERY),
                    };
                    self.releases[usize::from(index)].running = Some(Running::Refresh(refreshing));
                    return self.look_again_at(index, until, calendar);
                }
                Step::Succeeded { percent } => {
                    let words = format!(
                        "{} succeeded: {} replaced, {percent} % of those that were to be.",
                        self.name_of(release, &refreshing),
                        instances(refreshing.replaced)
                    );
                    return self.release_over(index, ActivityKind::ReleaseSucceeded, now, words);
                }
                Step::Failed(failure) => {
                    return self.refresh_failed(index, refreshing, &failure.to_string(), calendar);
                }
            }
        }
    }

    /// `Instance refresh to v2`, `Rollback to v1`.
    fn name_of(&self, release: &Release, refreshing: &Refreshing) -> String {
        match refreshing.rollback {
            true => {
                let group = &self.plan.groups[release.group.index()];
                format!("Rollback to {}", group.template(refreshing.to).name)
            }
            false => self.title(release),
        }
    }

    fn seen_by_refresh(&self, group: GroupId, refreshing: &Refreshing, now: Time) -> Seen {
        let plan = &self.plan.groups[group.index()];
        let own = refreshing.preferences.instance_warmup;
        let warm_up: Span = refresh_warmup(own, plan.instance_warmup, plan.grace_period);
        let mut seen = Seen { now, desired: self.fleets[group.index()].desired, ..Seen::default() };
        for slot in self.counted(group) {
            let instance = &self.instances[slot];
            let healthy = self.healthy_for_group(slot);
            match (refreshing.is_old(instance), instance.warm_at(warm_up)) {
                (true, _) if healthy => seen.old += 1,
                (true, _) => seen.old_unhealthy += 1,
                (false, Some(warm_at)) if healthy && warm_at <= now => seen.ready += 1,
                (false, Some(warm_at)) if healthy => {
                    seen.warming += 1;
                    seen.warm_at = seen.warm_at.max(Some(warm_at));
                }
                (false, _) => seen.starting += 1,
            }
        }
        seen
    }

    /// Terminates so many of those that are to be replaced; the group launches what is missing.
    fn take_out_old(
        &mut self,
        group: GroupId,
        refreshing: &mut Refreshing,
        count: u32,
        calendar: &mut Calendar<Event>,
    ) {
        let old = self.to_replace(group, |instance| refreshing.is_old(instance));
        for &slot in old.iter().take(count as usize) {
            self.terminate(slot, "an instance refresh replaces it", calendar);
            refreshing.replaced += 1;
        }
        self.reconcile(group, calendar);
    }

    /// A refresh that fails leaves its instances where they are, unless it is rolled back. New ones get the old version.
    fn refresh_failed(
        &mut self,
        index: u16,
        refreshing: Refreshing,
        why: &str,
        calendar: &mut Calendar<Event>,
    ) {
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let (group, now) = (release.group, calendar.now());
        let name = self.name_of(release, &refreshing);
        let fleet = &mut self.fleets[group.index()];
        (fleet.version, fleet.surplus) = (refreshing.from, 0);
        let undone = release.auto_rollback && !refreshing.rollback && refreshing.to != refreshing.from;
        let next = match undone {
            true => " Everything that it replaced is rolled back.",
            false if refreshing.rollback => " The group is left with what it has.",
            false => " What it has replaced stays.",
        };
        let words = format!("{name} failed with {} replaced: {why}.{next}", instances(refreshing.replaced));
        if !undone {
            self.release_over(index, ActivityKind::ReleaseFailed, now, words);
            return self.reconcile(group, calendar);
        }
        self.log(group, ActivityKind::ReleaseFailed, now, words);
        let rollback = Refreshing {
            refresh: Refresh::new(now),
            preferences: refreshing.preferences.of_rollback(),
            to: refreshing.from,
            from: refreshing.from,
            first_new: self.fleets[group.index()].number_to_come(),
            rollback: true,
            replaced: 0,
            told: None,
        };
        self.releases[usize::from(index)].running = Some(Running::Refresh(rollback));
        self.reconcile(group, calendar);
        self.refresh_goes_on(index, calendar);
    }

    fn log_batch(
        &mut self,
        release: &Release,
        refreshing: &Refreshing,
        seen: &Seen,
        terminate: u32,
        launch: u32,
        now: Time,
    ) {
        let what = match (terminate, launch) {
            (terminate, 0) => format!("replaces {}", instances(terminate)),
            (0, launch) => format!("launches {} before as many go", instances(launch)),
            (terminate, launch) => {
                format!("replaces {}, and launches {launch} more before as many go", instances(terminate))
            }
        };
        let words = format!(
            "{} {what}; {} are left to be replaced, {} of {} healthy.",
            self.name_of(release, refreshing),
            seen.old + seen.old_unhealthy - terminate,
            seen.old + seen.warming + seen.ready,
            seen.desired
        );
        self.log(release.group, ActivityKind::ReleaseProgress, now, words);
    }

    /// What it waits for is told once.
    fn log_wait(&mut self, release: &Release, refreshing: &mut Refreshing, wait: Wait, now: Time) {
        if refreshing.told.is_some_and(|told| told.same(&wait)) {
            return;
        }
        refreshing.told = Some(wait);
        let words = format!("{} waits for {wait}.", self.name_of(release, refreshing));
        self.log(release.group, ActivityKind::ReleaseProgress, now, words);
    }
}

/// `1 instance`, `4 instances`.
pub(super) fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_string() } else { format!("{count} instances") }
}
