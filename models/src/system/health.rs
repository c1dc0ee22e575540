//! What goes wrong with instances, who notices, and what replaces them.

use sim_core::{Calendar, Span, Time};

use super::System;
use super::ending::Ending;
use super::fleet::next_check;
use super::instance::{Instance, Phase};
use crate::event::{Event, Ref};
use crate::plan::{BalancerId, GroupId, HealthCheckKind};
use crate::results::ActivityKind;

/// How long a group waits for an instance whose status check says `impaired` to recover before it replaces it. The
/// guide says "a few minutes".
const IMPAIRED_WAIT: Span = Span::from_secs(180);

impl System {
    /// The kernel kills a server whose requests need more memory than there is. The machine goes on, so that only the
    /// balancer notices, and a supervisor where there is one.
    pub(super) fn out_of_memory(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Instance { number, server, group, .. } = &self.instances[slot];
        let plan = &self.plan.groups[group.index()];
        if self.plan.services[plan.service.index()].supervisor.is_some() {
            let all: Vec<u16> = server.living().collect();
            let how = format!("ran out of the {} GiB of memory", plan.machine.memory_gib);
            return self.die(slot, &all, ActivityKind::Crash, &how, calendar);
        }
        let unnoticed = match plan.health_check {
            HealthCheckKind::Elb => "",
            HealthCheckKind::Ec2 => "; EC2 status checks do not notice, and nobody replaces it",
        };
        let description = format!(
            "Instance {number} ran out of its {} GiB of memory, and its server was killed with {} requests{unnoticed}.",
            plan.machine.memory_gib, server.inside
        );
        self.crash(slot, description, calendar);
    }

    pub(super) fn crash(&mut self, slot: u32, description: String, calendar: &mut Calendar<Event>) {
        self.log(self.instances[slot].group, ActivityKind::Crash, calendar.now(), description);
        self.stop(slot, calendar);
    }

    /// An instance stops: nobody on it does anything any more.
    pub(super) fn stop(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let instance = &mut self.instances[slot];
        instance.phase = Phase::Crashed;
        instance.crashed = Some(calendar.now());
        instance.lives.clear();
        self.fleets[instance.group.index()].lost += 1;
        self.lose_requests(slot, Ending::Lost, calendar);
        self.checks_fail(slot, calendar);
    }

    /// An instance answers nobody from now on: balancers find out by their checks.
    pub(super) fn checks_fail(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let (reference, group) = (self.instances.reference(slot), self.instances[slot].group);
        let registered = self.instances[slot].running.unwrap_or(now);
        for balancer in self.balancers_of(group) {
            let check = self.plan.balancers[balancer.index()].health_check;
            let noticed = next_check(registered, check.interval, now) + check.first_failures();
            calendar.at(noticed, Event::TargetDown(balancer, reference));
        }
    }

    /// A target has failed as many checks as make it unhealthy.
    pub(super) fn target_down(
        &mut self,
        balancer: BalancerId,
        reference: Ref,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(slot) = self.instances.live(reference) else { return };
        let instance = &self.instances[slot];
        let check = self.plan.balancers[balancer.index()].health_check;
        let registered = instance.running.unwrap_or_default();
        // It may have been up again in between, and down once more for less long than that.
        let since = instance.crashed.filter(|_| instance.phase == Phase::Crashed);
        let noticed =
            since.map(|since| next_check(registered, check.interval, since) + check.first_failures());
        if noticed.is_some_and(|noticed| calendar.now() >= noticed) {
            self.part(balancer, slot, calendar.now());
        }
    }

    /// Replaces unhealthy instances, as far as the group knows of them: the old one is terminated first.
    pub(super) fn replace_unhealthy(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let unhealthy: Vec<(u32, &'static str)> = self.fleets[group.index()]
            .members
            .iter()
            .filter_map(|&slot| Some((slot, self.unhealthy_by(slot, now)?)))
            .collect();
        for (slot, by) in unhealthy {
            let instance = &self.instances[slot];
            let since = match (instance.crashed, instance.running) {
                (Some(crashed), _) => format!("{} after it stopped", now.since(crashed)),
                (None, Some(_)) if instance.up_again.is_some() => {
                    "it is up again and has not passed its checks".to_string()
                }
                (None, Some(running)) => {
                    format!("its app is not up {} after it came into service", now.since(running))
                }
                (None, None) => "it does not run".to_string(),
            };
            let description = format!("Replacing instance {}: unhealthy by {by}, {since}.", instance.number);
            self.log(group, ActivityKind::Replace, now, description);
            self.terminate(slot, "it is unhealthy", calendar);
        }
        self.reconcile(group, calendar);
    }

    fn unhealthy_by(&self, slot: u32, now: Time) -> Option<&'static str> {
        let instance = &self.instances[slot];
        let plan = &self.plan.groups[instance.group.index()];
        let running = instance.running?;
        let grace_over = now >= running + plan.grace_period;
        if plan.health_check == HealthCheckKind::Elb && grace_over && self.fails_checks(slot, now) {
            return Some("the target group's health check");
        }
        let crashed = instance.crashed.filter(|_| instance.phase == Phase::Crashed && instance.impaired)?;
        (now.since(crashed) >= IMPAIRED_WAIT).then_some("the EC2 status check")
    }

    /// True where all balancers have found an instance unhealthy: one that crashed, or whose app is not up after as many
    /// checks as make a target unhealthy.
    fn fails_checks(&self, slot: u32, now: Time) -> bool {
        let instance = &self.instances[slot];
        match instance.phase {
            Phase::Crashed => instance.rotations == 0,
            Phase::Booting | Phase::AppStarting => {
                let registered = instance.running.unwrap_or(now);
                self.balancers_of(instance.group).into_iter().all(|balancer| {
                    let check = self.plan.balancers[balancer.index()].health_check;
                    now >= registered + check.first_failures()
                })
            }
            // Up again, and not yet healthy again.
            Phase::Up => instance.up_again.is_some() && instance.rotations == 0,
            Phase::Pending | Phase::Draining => false,
        }
    }
}
