//! What an instance does between its operating system and its app: the steps of its user data. Where one fails the script
//! ends, and nobody starts the app. The machine goes on, so that EC2 status checks notice nothing; the target group's checks
//! never pass.

use sim_core::chance::unit;
use sim_core::{Calendar, Keyed, Seed, Span, Time};

use super::System;
use super::instance::Phase;
use crate::event::Event;
use crate::plan::{Group, HealthCheckKind, UserDataStep};
use crate::results::ActivityKind;

/// Where the steps of a group's user data draw from: how long each takes, and whether it fails.
pub(super) fn draws(plan: &Group, seed: Seed) -> Vec<Keyed> {
    let most = (0..=plan.versions.len() as u8)
        .map(|version| plan.template(version).startup.user_data.len())
        .max()
        .unwrap_or(0);
    (0..most).map(|step| seed.keyed(&format!("group/{}/startup/user_data/{step}", plan.name))).collect()
}

impl System {
    /// The step of its user data that an instance is at.
    fn step(&self, slot: u32) -> Option<&UserDataStep> {
        let instance = &self.instances[slot];
        let template = self.plan.groups[instance.group.index()].template(instance.version);
        template.startup.user_data.get(usize::from(instance.user_data))
    }

    /// The operating system is up, or a step of the user data is done: what comes next.
    pub(super) fn boot_goes_on(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &self.instances[slot];
        let (number, group) = (instance.number, instance.group);
        let reference = self.instances.reference(slot);
        let draws = &self.fleets[group.index()].user_data;
        let Some(step) = self.step(slot) else { return self.start_app(slot, calendar) };
        let takes = step.takes.span(&mut draws[usize::from(instance.user_data)].at(number << 1));
        self.instances[slot].phase = Phase::AppStarting;
        calendar.after(takes, Event::Stage(reference));
    }

    /// A step of the user data is over, or the app is up.
    pub(super) fn start_goes_on(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        if self.in_user_data(slot, calendar) {
            return;
        }
        let instance = &mut self.instances[slot];
        if instance.doomed {
            return self.first_start_failed(slot, calendar);
        }
        instance.phase = Phase::Up;
        let group = instance.group;
        if self.pods_of(group).is_some() {
            // A pod is an endpoint once it is ready, and nobody sends to it before.
            let reference = self.instances.reference(slot);
            for balancer in self.balancers_of(group) {
                self.register(balancer, reference, false, calendar);
            }
        }
        self.serves_alone(slot, calendar);
        let instance = &self.instances[slot];
        if instance.rotations > 0 {
            // Without health checks it gets requests since it runs.
            let description = format!("The app of instance {} is up.", instance.number);
            self.log(group, ActivityKind::Healthy, calendar.now(), description);
        }
    }

    /// The app of an instance is started.
    fn start_app(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let fails = self.start_fails(slot);
        let instance = &mut self.instances[slot];
        (instance.phase, instance.app_started) = (Phase::AppStarting, calendar.now());
        instance.doomed |= fails.is_some();
        let warm = instance.standing.start.take();
        let template = self.plan.groups[instance.group.index()].template(instance.version);
        let takes = fails.or(warm).unwrap_or_else(|| {
            let draws = self.fleets[instance.group.index()].app_draws();
            template.startup.app.span(&mut draws.at(instance.number))
        });
        calendar.after(takes, Event::Stage(self.instances.reference(slot)));
    }

    /// A stage of a start is over, and it was a step of the user data: the next one begins, unless it has failed.
    fn in_user_data(&mut self, slot: u32, calendar: &mut Calendar<Event>) -> bool {
        let Some(step) = self.step(slot) else { return false };
        let instance = &self.instances[slot];
        let draws = &self.fleets[instance.group.index()].user_data[usize::from(instance.user_data)];
        if unit(&mut draws.at(instance.number << 1 | 1)) < step.fails {
            self.user_data_failed(slot, calendar.now());
        } else {
            self.instances[slot].user_data += 1;
            self.boot_goes_on(slot, calendar);
        }
        true
    }

    fn user_data_failed(&mut self, slot: u32, now: Time) {
        let Some(step) = self.step(slot) else { return };
        let name = step.name.clone();
        let instance = &mut self.instances[slot];
        let (number, group) = (instance.number, instance.group);
        (instance.phase, instance.crashed, instance.without_app) = (Phase::Crashed, Some(now), true);
        let ran = whole_seconds(now.since(instance.running.unwrap_or(instance.launched)));
        let plan = &self.plan.groups[group.index()];
        let of = plan.template(instance.version).startup.user_data.len();
        let noticed = match plan.health_check {
            HealthCheckKind::Ec2 => "EC2 status checks pass, and nobody replaces it".to_string(),
            HealthCheckKind::Elb => format!(
                "its target group finds it unhealthy, and the group replaces it once its grace period of {} is over",
                plan.grace_period
            ),
        };
        let words = format!(
            "User data of instance {number} failed {ran} after it began to run, at step {} of {of} (`{name}`): the server is up without its app; {noticed}.",
            instance.user_data + 1
        );
        self.fleets[group.index()].failed_starts += 1;
        self.harmed = true;
        self.log(group, ActivityKind::FailedStart, now, words);
        self.note_trouble(group, 0, now);
    }
}

/// For the log, in which nobody wants to read nanoseconds.
pub(super) fn whole_seconds(span: Span) -> Span {
    Span::from_secs(span.as_secs_f64().round() as u64)
}
