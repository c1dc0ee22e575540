//! Releases: when they begin, who goes on with them, and how they end. What each kind does is told in
//! [`refresh`](super::refresh), [`rolling`](super::rolling) and [`blue_green`](super::blue_green).

use sim_core::{Calendar, Span, Time};

use super::System;
use super::blue_green::Shift;
use super::instance::{Instance, Phase};
use super::refresh::Refreshing;
use super::rolling::Roll;
use crate::event::Event;
use crate::plan::{GroupId, HealthCheckKind, How, Release};
use crate::results::ActivityKind;
use crate::scaling::Size;

/// How often somebody looks at what a release waits for.
pub(super) const LOOKS_EVERY: Span = Span::from_secs(10);
/// How long somebody who launches all instances anew waits for them to be healthy before the release counts as failed.
const RETURN_TIMEOUT: Span = Span::from_secs(3_600);

/// A release of the plan in mid-run.
#[derive(Clone, Debug, Default)]
pub struct Underway {
    /// Which look at it is the one to come; others are stale.
    generation: u32,
    /// What it is doing, while it is in progress.
    pub(super) running: Option<Running>,
    /// An objective of its alarms was violated.
    pub(super) alarm: Option<u16>,
}

/// A release in progress.
#[derive(Clone, Debug)]
pub enum Running {
    /// Auto Scaling replaces instances in batches.
    Refresh(Refreshing),
    /// All instances are gone, or on their way back.
    Recreate(Recreate),
    /// A pipeline replaces one after another.
    Rolling(Roll),
    /// A balancer sends more and more to a second group.
    BlueGreen(Shift),
}

/// All instances are replaced at once, by hand.
#[derive(Clone, Copy, Debug)]
pub struct Recreate {
    /// The size that it had.
    size: Size,
    /// Since when they are on their way back; `None` while all are away.
    back: Option<Time>,
}

/// The releases of a plan before the run.
pub(super) fn underway(releases: &[Release]) -> Vec<Underway> {
    vec![Underway::default(); releases.len()]
}

impl System {
    pub(super) fn start_releases(&mut self, calendar: &mut Calendar<Event>) {
        for (index, release) in (0u16..).zip(&self.plan.releases) {
            for &at in &release.times {
                calendar.at(at, Event::Release(index));
            }
        }
    }

    /// A release begins, unless another is in progress.
    pub(super) fn begin_release(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let release = &plan.releases[usize::from(index)];
        let what = self.title(release);
        if let Some(other) = release.groups().find_map(|group| self.release_of(group)) {
            let other = self.title(&plan.releases[usize::from(other)]);
            let words = match release.how {
                How::InstanceRefresh(_) => {
                    format!("{what} was refused (InstanceRefreshInProgress): {other} is not over.")
                }
                _ => format!("{what} did not begin: {other} is not over."),
            };
            return self.log(release.group, ActivityKind::ReleaseFailed, calendar.now(), words);
        }
        self.releases[usize::from(index)].alarm = None;
        match &release.how {
            How::InstanceRefresh(preferences) => self.begin_refresh(index, preferences, calendar),
            &How::Recreate { wait } => self.all_away(index, wait, calendar),
            How::Rolling(_) => self.begin_rolling(index, calendar),
            How::BlueGreen(way) => self.begin_blue_green(index, way, calendar),
        }
    }

    /// Somebody looks at a release that is in progress.
    pub(super) fn release_goes_on(&mut self, index: u16, generation: u32, calendar: &mut Calendar<Event>) {
        if self.releases[usize::from(index)].generation == generation {
            self.look_at_release(index, calendar);
        }
    }

    fn look_at_release(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        match self.releases[usize::from(index)].running {
            Some(Running::Refresh(_)) => self.refresh_goes_on(index, calendar),
            Some(Running::Recreate(recreate)) => self.recreate_goes_on(index, recreate, calendar),
            Some(Running::Rolling(_)) => self.rolling_goes_on(index, calendar),
            Some(Running::BlueGreen(_)) => self.blue_green_goes_on(index, calendar),
            None => {}
        }
    }

    /// It is looked at again at this instant, and not before.
    pub(super) fn look_again_at(&mut self, index: u16, at: Time, calendar: &mut Calendar<Event>) {
        self.note_trouble(self.plan.releases[usize::from(index)].group, 0, calendar.now());
        let underway = &mut self.releases[usize::from(index)];
        underway.generation = underway.generation.wrapping_add(1);
        calendar.at(at.max(calendar.now()), Event::ReleaseGoesOn(index, underway.generation));
    }

    /// A window of an objective was violated: the releases fail whose alarm that is.
    #[cold]
    pub(super) fn alarm_releases(&mut self, objective: u16, calendar: &mut Calendar<Event>) {
        for index in 0..self.releases.len() as u16 {
            let watches = self.plan.releases[usize::from(index)].alarms.contains(&objective);
            let underway = &mut self.releases[usize::from(index)];
            if watches && underway.running.is_some() && underway.alarm.is_none() {
                underway.alarm = Some(objective);
                self.look_at_release(index, calendar);
            }
        }
    }

    /// The alarm that went off, in words.
    pub(super) fn alarm_of(&self, index: u16) -> Option<String> {
        let objective = &self.plan.objectives[usize::from(self.releases[usize::from(index)].alarm?)];
        Some(format!("the alarm on {} ({}) went off", objective.name, objective.text))
    }

    /// The release that is in progress in a group.
    pub(super) fn release_of(&self, group: GroupId) -> Option<u16> {
        let all = (0u16..).zip(self.releases.iter().zip(&self.plan.releases));
        let mut running = all.filter(|(_, (underway, _))| underway.running.is_some());
        running.find(|(_, (_, release))| release.groups().any(|own| own == group)).map(|(index, _)| index)
    }

    /// True while a release holds a group at nothing: all its instances are away, and nobody launches any until somebody sets its
    /// size again.
    pub(super) fn held_at_zero(&self, group: GroupId) -> bool {
        let all = self.releases.iter().zip(&self.plan.releases);
        let mut own = all.filter(|(_, release)| release.group == group);
        own.any(|(underway, _)| {
            matches!(underway.running, Some(Running::Recreate(Recreate { back: None, .. })))
        })
    }

    /// How many healthy targets a group lacks while a release is in progress.
    pub(super) fn missing_in(&self, index: u16, group: GroupId) -> u32 {
        let desired = match self.releases[usize::from(index)].running {
            Some(Running::Recreate(Recreate { size, .. })) => size.desired,
            _ if self.plan.releases[usize::from(index)].group != group => return 0, // it takes over
            _ => self.fleets[group.index()].desired,
        };
        desired.saturating_sub(self.healthy_targets(group))
    }

    /// `Instance refresh to v2`, `Rolling replacement`.
    pub(super) fn title(&self, release: &Release) -> String {
        let mut name = release.how.name().to_string();
        name[..1].make_ascii_uppercase();
        let group = match &release.how {
            How::BlueGreen(way) => way.to,
            _ => release.group,
        };
        match release.version {
            Some(version) => format!("{name} to {}", self.plan.groups[group.index()].template(version).name),
            None => name,
        }
    }

    /// A release has come to its end.
    pub(super) fn release_over(&mut self, index: u16, kind: ActivityKind, now: Time, words: String) {
        let plan = self.plan.clone();
        let group = plan.releases[usize::from(index)].group;
        for own in plan.releases[usize::from(index)].groups() {
            self.fleets[own.index()].trouble.release = index + 1; // in this minute it was in progress
        }
        self.releases[usize::from(index)].running = None;
        self.log(group, kind, now, words);
    }

    /// Whether an instance is healthy as its group sees it: it runs, and with the target group's checks it is a healthy
    /// target too. With EC2 status checks one without its app is healthy.
    pub(super) fn healthy_for_group(&self, slot: u32) -> bool {
        let instance = &self.instances[slot];
        match self.plan.groups[instance.group.index()].health_check {
            HealthCheckKind::Ec2 => instance.in_service() && !instance.impaired,
            HealthCheckKind::Elb => instance.serving(),
        }
    }

    /// Whether it takes requests; without a balancer, whether its app is up.
    pub(super) fn healthy_target(&self, slot: u32) -> bool {
        let instance = &self.instances[slot];
        match self.balancers_of(instance.group).is_empty() {
            true => instance.phase == Phase::Up,
            false => instance.serving(),
        }
    }

    /// Healthy targets of a group that count against its desired capacity.
    pub(super) fn healthy_targets(&self, group: GroupId) -> u32 {
        self.counted(group).filter(|&slot| self.healthy_target(slot)).count() as u32
    }

    /// Instances that count and are of those, the unhealthy ones first and then the oldest.
    pub(super) fn to_replace(&self, group: GroupId, old: impl Fn(&Instance) -> bool) -> Vec<u32> {
        let mut slots: Vec<u32> = self.counted(group).filter(|&slot| old(&self.instances[slot])).collect();
        slots.sort_by_key(|&slot| (self.healthy_for_group(slot), self.instances[slot].number));
        slots
    }

    /// Somebody sets all of a group's size by hand.
    pub(super) fn set_size(&mut self, group: GroupId, size: Size, calendar: &mut Calendar<Event>) {
        let fleet = &mut self.fleets[group.index()];
        let before = Size { min: fleet.min, desired: fleet.desired, max: fleet.max };
        (fleet.min, fleet.max) = (size.min, size.max);
        self.resize(group, size.desired, "somebody", calendar.now());
        let words =
            format!("Somebody set minimum, desired capacity and maximum by hand from {before} to {size}.");
        self.log(group, ActivityKind::Manual, calendar.now(), words);
        self.reconcile(group, calendar);
    }

    pub(super) fn size(&self, group: GroupId) -> Size {
        let fleet = &self.fleets[group.index()];
        Size { min: fleet.min, desired: fleet.desired, max: fleet.max }
    }

    /// All instances go, and come back as the new version after a while.
    fn all_away(&mut self, index: u16, wait: Span, calendar: &mut Calendar<Event>) {
        let release = &self.plan.releases[usize::from(index)];
        let (group, version) = (release.group, release.version);
        let size = self.size(group);
        let words = format!("{} begins: all {} instances go at once.", self.title(release), size.desired);
        self.log(group, ActivityKind::ReleaseStarted, calendar.now(), words);
        self.releases[usize::from(index)].running = Some(Running::Recreate(Recreate { size, back: None }));
        if let Some(version) = version {
            self.fleets[group.index()].version = version;
        }
        self.set_size(group, Size { min: 0, desired: 0, max: 0 }, calendar);
        self.look_again_at(index, calendar.now() + wait, calendar);
    }

    fn recreate_goes_on(&mut self, index: u16, recreate: Recreate, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let release = &self.plan.releases[usize::from(index)];
        let (group, what) = (release.group, self.title(release));
        let Some(back) = recreate.back else {
            self.releases[usize::from(index)].running =
                Some(Running::Recreate(Recreate { back: Some(now), ..recreate }));
            self.set_size(group, recreate.size, calendar);
            return self.look_again_at(index, now + LOOKS_EVERY, calendar);
        };
        let (healthy, desired) = (self.healthy_targets(group), self.fleets[group.index()].desired);
        if healthy >= desired {
            let words = format!("{what} succeeded: {desired} new instances take requests.");
            return self.release_over(index, ActivityKind::ReleaseSucceeded, now, words);
        }
        if now >= back + RETURN_TIMEOUT {
            let words = format!(
                "{what} failed: {healthy} of {desired} instances are healthy after {RETURN_TIMEOUT}."
            );
            return self.release_over(index, ActivityKind::ReleaseFailed, now, words);
        }
        self.look_again_at(index, now + LOOKS_EVERY, calendar);
    }
}
