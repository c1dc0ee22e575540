//! What goes wrong with instances, who notices, and what replaces them.

use sim_core::{Calendar, Span, Time};

use super::System;
use super::ending::Ending;
use super::fleet::next_check;
use super::instance::{Instance, Phase};
use crate::event::{Event, Ref};
use crate::plan::{Algorithm, BalancerId, GroupId, HealthCheckKind, Incident};
use crate::results::ActivityKind;

/// How long a group waits for an instance whose status check says `impaired` to recover before it replaces it. The
/// guide says "a few minutes".
const IMPAIRED_WAIT: Span = Span::from_secs(180);

impl System {
    /// Something goes wrong.
    pub(super) fn incident(&mut self, index: u16, calendar: &mut Calendar<Event>) {
        let (group, count) = match self.plan.incidents[usize::from(index)] {
            Incident::Crash { group, count, .. } => (group, count),
            ref network => return self.log_network(&network.clone(), calendar.now()),
        };
        let victims: Vec<u32> = self.fleets[group.index()]
            .members
            .iter()
            .copied()
            .filter(|&slot| self.instances[slot].in_service() && self.instances[slot].crashed.is_none())
            .take(count as usize)
            .collect();
        for slot in victims {
            let Instance { number, server, .. } = &self.instances[slot];
            let description = format!("Instance {number} crashed and lost {} requests.", server.inside);
            self.instances[slot].impaired = true;
            self.crash(slot, description, calendar);
        }
    }

    /// The kernel kills a server whose requests need more memory than there is. The machine goes on, so that only the
    /// balancer notices.
    pub(super) fn out_of_memory(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Instance { number, server, group, .. } = &self.instances[slot];
        let plan = &self.plan.groups[group.index()];
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

    /// An instance has no memory for one request more, which is lost, and so is its server.
    #[cold]
    pub(super) fn has_no_memory(&mut self, slot: u32, target: u32, calendar: &mut Calendar<Event>) {
        self.out_of_memory(target, calendar);
        self.turned_away(slot, Ending::Lost, calendar);
    }

    fn crash(&mut self, slot: u32, description: String, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let reference = self.instances.reference(slot);
        let instance = &mut self.instances[slot];
        let group = instance.group;
        let registered = instance.running.unwrap_or(now);
        instance.phase = Phase::Crashed;
        instance.crashed = Some(now);
        self.fleets[group.index()].lost += 1;
        self.log(group, ActivityKind::Crash, now, description);
        self.lose_requests(slot, Ending::Lost, calendar);
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
        if self.instances[slot].phase == Phase::Crashed {
            self.part(balancer, slot, calendar.now());
            // Without a healthy target the balancer fails open and lets connections be.
            let passes_on = self.plan.balancers[balancer.index()].algorithm == Algorithm::FlowHash;
            if passes_on && !self.rotations[balancer.index()].targets().is_empty() {
                self.reset_flows(slot, calendar);
            }
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
            Phase::Pending | Phase::Up | Phase::Draining => false,
        }
    }
}
