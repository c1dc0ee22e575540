//! Cooldowns: how long simple scaling waits after instances were launched or terminated.
//!
//! A cooldown begins when the last instance of a scaling activity is in service or gone, and only simple scaling waits for it;
//! so does somebody who changes the size by hand and asks to. (EC2 Auto Scaling User Guide, "Scaling cooldowns".)

use sim_core::{Span, Time};

/// What wants to change a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A simple scaling policy.
    Simple,
    /// A step scaling policy.
    Step,
    /// A target tracking policy.
    TargetTracking,
    /// A scheduled action.
    Scheduled,
    /// The replacement of an unhealthy instance.
    HealthReplacement,
    /// Somebody, by hand.
    Manual {
        /// `HonorCooldown`: it is refused while a cooldown runs.
        honor_cooldown: bool,
    },
}

impl Trigger {
    /// True where it waits for a cooldown.
    pub fn waits_for_cooldown(self) -> bool {
        matches!(self, Trigger::Simple | Trigger::Manual { honor_cooldown: true })
    }

    /// True where it may change a group now.
    pub fn may_act(self, activity: ActivityState) -> bool {
        !self.waits_for_cooldown() || activity == ActivityState::None
    }
}

/// Where a group stands between two activities of simple scaling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActivityState {
    /// Nothing is under way, and no cooldown runs.
    #[default]
    None,
    /// Instances are being launched or terminated, whoever caused that.
    InProgress {
        /// Those that are not in service yet.
        launching: u32,
        /// Those that are not gone yet.
        terminating: u32,
    },
    /// A cooldown runs.
    CoolingDown {
        /// Until then.
        until: Time,
    },
}

/// The cooldown of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cooldown {
    /// What the scaling activity under way will be followed by.
    pending: Option<Span>,
    until: Option<Time>,
}

impl Cooldown {
    /// A scaling activity begins that is followed by a cooldown of so long. A cooldown that still runs is over with it: the
    /// new one ends later.
    pub fn begin(&mut self, cooldown: Span) {
        self.pending = Some(cooldown);
    }

    /// The last instance that was being launched or terminated is in service or gone. Replacing an unhealthy instance is no
    /// scaling activity, so that nothing follows it.
    pub fn finish(&mut self, now: Time) {
        if let Some(cooldown) = self.pending.take() {
            self.until = Some(now + cooldown);
        }
    }

    /// Where the group stands, with so many instances under way.
    pub fn activity(&self, now: Time, launching: u32, terminating: u32) -> ActivityState {
        if launching > 0 || terminating > 0 {
            return ActivityState::InProgress { launching, terminating };
        }
        match self.until.filter(|&until| until > now) {
            Some(until) => ActivityState::CoolingDown { until },
            None => ActivityState::None,
        }
    }
}

/// The cooldown after what a simple scaling policy did: its own, else the group's.
pub fn effective_cooldown(policy: Option<Span>, default_cooldown: Span) -> Span {
    policy.unwrap_or(default_cooldown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cooldown_begins_when_the_last_instance_is_there() {
        let second = |n| Time::ZERO + Span::from_secs(n);
        let mut cooldown = Cooldown::default();
        cooldown.begin(Span::from_secs(180));
        assert_eq!(
            cooldown.activity(second(5), 2, 0),
            ActivityState::InProgress { launching: 2, terminating: 0 }
        );
        cooldown.finish(second(20));
        assert_eq!(cooldown.activity(second(21), 0, 0), ActivityState::CoolingDown { until: second(200) });
        assert_eq!(cooldown.activity(second(200), 0, 0), ActivityState::None);
        cooldown.finish(second(300));
        assert_eq!(cooldown.activity(second(301), 0, 0), ActivityState::None, "a replacement has none");
    }
}
