//! What goes wrong with instances, who notices, and what replaces them.

use sim_core::{Calendar, Span, Time};

use super::System;
use super::boot::whole_seconds;
use super::ending::Ending;
use super::instance::{Instance, Phase};
use super::lifecycle::State;
use crate::event::Event;
use crate::plan::{GroupId, HealthCheckKind, Process};
use crate::results::ActivityKind;
use crate::scaling;

/// How long a group waits for an instance whose status check says `impaired` to recover before it replaces it. The
/// guide says "a few minutes".
const IMPAIRED_WAIT: Span = Span::from_secs(180);

/// How many instances a group replaces at once while all fail their target groups' checks. The guide says "far fewer".
const REPLACED_OF_ALL: u32 = 1;
/// How long a pod stays where it was when its node does not answer: until the node counts as not ready (40 s), and its
/// toleration of that is over (300 s).
const UNREACHABLE_WAIT: Span = Span::from_secs(340);

/// Who says that an instance is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnhealthyBy {
    /// EC2's state of it is not `running`.
    State,
    StatusCheck,
    TargetGroup,
    /// `SetInstanceHealth`.
    Somebody,
}

impl Instance {
    /// False where, whatever the time, nobody calls it unhealthy; [`System::unhealthy_by`] says who does.
    pub(super) fn may_be_unhealthy(&self, health_check: HealthCheckKind) -> bool {
        // One that a balancer sends to does not fail the checks of all.
        let fails = health_check == HealthCheckKind::Elb && self.rotations == 0;
        let told = self.standing.marked.is_some() || self.standing.stopped;
        self.taken_back.is_some() || self.in_service() && (told || fails || self.crashed.is_some())
    }
}

impl System {
    /// The kernel kills a server whose requests need more memory than there is. The machine goes on, so that only the
    /// balancer notices, and a supervisor where there is one.
    pub(super) fn out_of_memory(&mut self, slot: u32, calendar: &mut Calendar<Event>) {
        let Instance { number, server, group, service, .. } = &self.instances[slot];
        let machine = self.instances[slot].machine_type();
        let plan = &self.plan.groups[group.index()];
        if self.plan.services[service.index()].supervisor.is_some() {
            let all: Vec<u16> = server.living().collect();
            let how = format!("ran out of the {} GiB of memory", plan.machines[machine].memory_gib);
            return self.die(slot, &all, ActivityKind::Crash, &how, calendar);
        }
        let unnoticed = match plan.health_check {
            HealthCheckKind::Elb => "",
            HealthCheckKind::Ec2 => "; EC2 status checks do not notice, and nobody replaces it",
        };
        let description = format!(
            "Instance {number} ran out of its {} GiB of memory, and its server was killed with {}{unnoticed}.",
            plan.machines[machine].memory_gib,
            self.losses(slot, server.inside)
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
    }

    /// Replaces unhealthy instances, as far as the group knows of them: the old one is terminated first. Those that the
    /// target group's checks have failed go a tenth of the desired capacity at a time, at least one, and a batch waits
    /// until the one before it is healthy and warm (EC2 Auto Scaling, "Health checks for instances in an Auto Scaling
    /// group"). Without that, checks that fail under load would take down all of a fleet at once.
    pub(super) fn replace_unhealthy(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let unhealthy = self.unhealthy(group, now);
        let halted = [Process::ReplaceUnhealthy, Process::Terminate];
        if unhealthy.is_empty() || halted.into_iter().any(|process| self.suspended(group, process, now)) {
            self.reconcile(group, calendar);
            return self.relieve(group, calendar);
        }
        let mut by_checks = self.replaced_at_once(group, now);
        for (slot, by) in unhealthy {
            let by = match by {
                UnhealthyBy::State => "EC2, as it is not running",
                UnhealthyBy::StatusCheck if self.pods_of(group).is_some() => {
                    "its node, which does not answer"
                }
                UnhealthyBy::StatusCheck => "the EC2 status check",
                UnhealthyBy::Somebody => "SetInstanceHealth",
                UnhealthyBy::TargetGroup if by_checks == 0 => continue,
                UnhealthyBy::TargetGroup => {
                    by_checks -= 1;
                    "the target group's health check"
                }
            };
            let instance = &self.instances[slot];
            let since = match (instance.crashed, instance.running) {
                (Some(failed), _) if instance.without_app => {
                    format!("{} after its user data failed", whole_seconds(now.since(failed)))
                }
                (Some(crashed), _) => format!("{} after it stopped", now.since(crashed)),
                (None, Some(_)) if instance.phase == Phase::Up && instance.first_healthy.is_some() => {
                    format!("with {} requests inside", instance.server.inside)
                }
                (None, Some(_)) if instance.phase == Phase::Up => {
                    "its app is up, and no check has passed".to_string()
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
        self.relieve(group, calendar);
    }

    /// The unhealthy instances of a group, as far as it knows of them.
    fn unhealthy(&mut self, group: GroupId, now: Time) -> Vec<(u32, UnhealthyBy)> {
        let nobody = !self.take_census(group).suspect;
        let members = self.fleets[group.index()].members.iter();
        let mut unhealthy = members.filter_map(|&slot| Some((slot, self.unhealthy_by(slot, now)?)));
        if nobody {
            debug_assert!(unhealthy.next().is_none(), "nobody is suspect");
            return Vec::new();
        }
        unhealthy.collect()
    }

    /// How many more instances may be replaced because the target group's checks failed.
    fn replaced_at_once(&self, group: GroupId, now: Time) -> u32 {
        let plan = &self.plan.groups[group.index()];
        let fleet = &self.fleets[group.index()];
        let warm_up = plan.instance_warmup.unwrap_or(Span::ZERO);
        let under_way = |instance: &&Instance| match instance.phase {
            Phase::Draining | Phase::Crashed => false,
            _ if instance.standing.state == State::Standby => false,
            // One that was there from the start has nothing before it.
            _ if instance.standing.since == Some(Time::ZERO) => false,
            _ => instance.first_healthy.is_none_or(|healthy| now < healthy + warm_up),
        };
        let members = fleet.members.iter().filter(|&&slot| self.unhealthy_by(slot, now).is_none());
        let under_way = members.map(|&slot| &self.instances[slot]).filter(under_way).count() as u32;
        // Where all fail that could pass, what they are checked with is rather to blame than they are.
        let settled = self.counted(group).filter(|&slot| !self.instances[slot].starting());
        let none_passes =
            settled.fold((true, 0), |(all, count), slot| (all && self.fails_checks(slot), count + 1));
        let most = match none_passes {
            (true, 1..) => REPLACED_OF_ALL,
            _ => scaling::replaced_at_once(fleet.desired),
        };
        most.saturating_sub(under_way)
    }

    fn unhealthy_by(&self, slot: u32, now: Time) -> Option<UnhealthyBy> {
        let instance = &self.instances[slot];
        let plan = &self.plan.groups[instance.group.index()];
        if instance.taken_back.is_some() {
            return Some(UnhealthyBy::StatusCheck); // it is terminated, and no grace period covers that
        }
        if !instance.in_service() {
            return None; // nobody checks it
        }
        let grace_over = now >= instance.standing.since? + plan.grace_period;
        if instance.standing.marked.is_some_and(|respects_grace| grace_over || !respects_grace) {
            return Some(UnhealthyBy::Somebody);
        }
        if self.suspended(instance.group, Process::HealthCheck, now) {
            return None;
        }
        if instance.standing.stopped {
            return Some(UnhealthyBy::State); // grace or no grace
        }
        if plan.health_check == HealthCheckKind::Elb && grace_over && self.fails_checks(slot) {
            return Some(UnhealthyBy::TargetGroup);
        }
        let crashed = instance.crashed.filter(|_| instance.phase == Phase::Crashed && instance.impaired)?;
        let wait = if plan.pods.is_some() { UNREACHABLE_WAIT } else { IMPAIRED_WAIT };
        (now.since(crashed) >= wait).then_some(UnhealthyBy::StatusCheck)
    }
}
