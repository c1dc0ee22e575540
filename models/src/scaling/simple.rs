//! Simple scaling: an alarm, one adjustment, and a cooldown.
//!
//! The policy waits until no instance is being launched or terminated, for whatever reason, and until the cooldown after that is
//! over. (EC2 Auto Scaling User Guide, "Step and simple scaling policies" and "Scaling cooldowns".)

use sim_core::Span;

use super::{
    ActivityState, Adjustment, Decision, Memory, Metric, MetricAlarm, Observation, Policy, Sampling, Verdict,
};

/// A simple scaling policy.
#[derive(Clone, Debug, PartialEq)]
pub struct SimpleScaling {
    /// The alarm that calls it.
    pub alarm: MetricAlarm,
    /// What it does.
    pub adjustment: Adjustment,
    /// Its own cooldown, which goes before the group's.
    pub cooldown: Option<Span>,
}

impl SimpleScaling {
    /// What the alarm's action does.
    fn act(&self, seen: &Observation) -> (Verdict, Option<u32>, String) {
        let metric = seen.newest(0).map_or("no datapoint".to_string(), |point| self.alarm.show(point.value));
        let is = format!("{metric}: {}", self.adjustment);
        match seen.activity {
            ActivityState::None => {}
            ActivityState::InProgress { launching, terminating } => {
                let words = format!(
                    "{is} waits for a scaling activity: {launching} instances are being launched and {terminating} terminated."
                );
                return (Verdict::ActivityInProgress, None, words);
            }
            ActivityState::CoolingDown { until } => {
                return (Verdict::Cooldown, None, format!("{is} waits for the cooldown until {until}."));
            }
        }
        let wanted = self.adjustment.within(seen.desired, seen.min, seen.max);
        let unclamped = self.adjustment.of(seen.desired);
        if wanted > seen.desired {
            let words = format!("{is}; desired capacity from {} to {wanted}.", seen.desired);
            (Verdict::ScaleOut, Some(wanted), words)
        } else if wanted < seen.desired {
            let words = format!("{is}; desired capacity from {} to {wanted}.", seen.desired);
            (Verdict::ScaleIn, Some(wanted), words)
        } else if unclamped > i64::from(seen.desired) {
            (Verdict::AtMaximum, None, format!("{is}, and the group is at its maximum of {}.", seen.max))
        } else if unclamped < i64::from(seen.desired) {
            (Verdict::AtMinimum, None, format!("{is}, and the group is at its minimum of {}.", seen.min))
        } else {
            (Verdict::NoAdjustment, None, format!("{is}: nothing to change at {}.", seen.desired))
        }
    }
}

impl Policy for SimpleScaling {
    fn metrics(&self) -> Vec<Metric> {
        vec![self.alarm.metric]
    }

    fn lookback(&self) -> usize {
        self.alarm.alarm.evaluation_range()
    }

    fn sampling(&self, _: usize) -> Sampling {
        self.alarm.sampling()
    }

    fn high_resolution(&self) -> bool {
        self.alarm.high_resolution()
    }

    fn cooldown(&self) -> Option<Span> {
        self.cooldown
    }

    fn caller(&self, _: &str, _: bool) -> String {
        format!("the alarm `{}` of a simple scaling policy", self.alarm.name)
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        self.alarm.decide(memory, seen, || self.act(seen))
    }
}
