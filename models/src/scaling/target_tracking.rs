//! Target tracking: two alarms around a target, and a size in proportion to the metric.

use sim_core::Span;

use super::{
    Alarm, AlarmName, AlarmState, Comparison, Consent, Datapoint, Decision, Memory, Metric, MissingData,
    Observation, Policy, Transition, Verdict, capacity_for,
};

/// A target tracking policy with the two alarms it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetTracking {
    /// What is tracked.
    pub metric: Metric,
    /// The value to keep it at.
    pub target: f64,
    /// Datapoints above the target, one after another, that bring the high alarm to ALARM (3 observed).
    pub high_datapoints: u32,
    /// Datapoints below the low threshold that bring the low alarm to ALARM (15 observed).
    pub low_datapoints: u32,
    /// The low threshold as a share of the target (0.7 observed for EC2 groups, 0.9 for Application Auto Scaling).
    pub low_factor: f64,
    /// The policy's own warm-up, which goes before the group's.
    pub estimated_instance_warmup: Option<Span>,
    /// The policy never scales in.
    pub disable_scale_in: bool,
}

impl TargetTracking {
    /// The alarm that scales out.
    pub fn high(&self) -> Alarm {
        self.alarm(Comparison::Greater, self.target, self.high_datapoints)
    }

    /// The alarm that scales in.
    pub fn low(&self) -> Alarm {
        self.alarm(Comparison::Less, self.target * self.low_factor, self.low_datapoints)
    }

    fn alarm(&self, comparison: Comparison, threshold: f64, datapoints: u32) -> Alarm {
        let datapoints = datapoints.max(1) as usize;
        Alarm {
            comparison,
            threshold,
            evaluation_periods: datapoints,
            datapoints_to_alarm: datapoints,
            missing: MissingData::Missing,
        }
    }

    /// A value of the metric, with its unit.
    fn show(&self, value: f64) -> String {
        self.metric.show(value)
    }

    /// An alarm's change of state, as the log tells it.
    fn transition(
        &self,
        name: AlarmName,
        alarm: &Alarm,
        (from, to): (AlarmState, AlarmState),
        values: &[Option<f64>],
    ) -> Option<Transition> {
        let run = alarm.breaching_run(values).min(alarm.evaluation_periods);
        let side = if alarm.comparison == Comparison::Greater { "above" } else { "below" };
        let newest = values.iter().rev().find_map(|&value| value);
        let last = newest.map_or("no datapoint".to_string(), |value| self.show(value));
        (from != to).then(|| Transition {
            alarm: name,
            from,
            to,
            seen: format!(
                "{run} of {} datapoints {side} {}, the newest {last}",
                alarm.evaluation_periods,
                self.show(alarm.threshold)
            ),
        })
    }
}

impl Policy for TargetTracking {
    fn metrics(&self) -> Vec<Metric> {
        vec![self.metric]
    }

    /// What both of its alarms need.
    fn lookback(&self) -> usize {
        self.high().evaluation_range().max(self.low().evaluation_range())
    }

    fn estimated_instance_warmup(&self) -> Option<Span> {
        self.estimated_instance_warmup
    }

    fn caller(&self, group: &str, scales_out: bool) -> String {
        let alarm = if scales_out { AlarmName::High } else { AlarmName::Low };
        format!("the alarm {} of a target tracking policy", alarm.of(group))
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        let (high, low) = (self.high(), self.low());
        let values = seen.values(0);
        let states = [memory.evaluate(0, &high, &values), memory.evaluate(1, &low, &values)];
        let (verdict, wanted, description) = match seen.newest(0) {
            None => {
                let words = "No datapoints: no scaling in either direction.".to_string();
                (Verdict::InsufficientData, None, words)
            }
            Some(metric) if memory.alarm(0) == AlarmState::Alarm => scale_out(self, seen, metric),
            Some(metric) if memory.alarm(1) == AlarmState::Alarm => scale_in(self, seen, metric),
            Some(metric) => wait(self, &values, metric.value),
        };
        let transitions = [
            self.transition(AlarmName::High, &high, states[0], &values),
            self.transition(AlarmName::Low, &low, states[1], &values),
        ];
        Decision {
            wanted,
            at_least: None,
            consent: if self.disable_scale_in { Consent::Never } else { Consent::Tracking },
            verdict,
            description,
            transitions: transitions.into_iter().flatten().collect(),
        }
    }
}

type Judgement = (Verdict, Option<u32>, String);

/// The size in proportion to the metric, rounded up. Its base are the instances that the datapoint is about: not those
/// that warm up, and not those of now, which an action taken on this very datapoint has changed already.
fn proportional(metric: Datapoint, target: f64) -> u32 {
    capacity_for(metric.total, target)
}

fn scale_out(policy: &TargetTracking, seen: &Observation, metric: Datapoint) -> Judgement {
    let needed = proportional(metric, policy.target);
    let wanted = needed.min(seen.max);
    let sum = format!(
        "{} with {:.0} instances is above the target of {}: {needed} are needed",
        policy.show(metric.value),
        metric.instances,
        policy.target
    );
    if wanted > seen.desired {
        let capped = if wanted < needed { format!(", the maximum is {}", seen.max) } else { String::new() };
        let words = format!("{sum}{capped}; desired capacity from {} to {wanted}.", seen.desired);
        (Verdict::ScaleOut, Some(wanted), words)
    } else if needed > seen.desired {
        (Verdict::AtMaximum, None, format!("{sum}, and the group is at its maximum of {}.", seen.max))
    } else {
        let until = seen.warm_at.map_or(String::new(), |at| format!(" until {at}"));
        let words =
            format!("{sum}, and {} are desired; {} are warming up{until}.", seen.desired, seen.warming);
        (Verdict::WarmingUp, None, words)
    }
}

fn scale_in(policy: &TargetTracking, seen: &Observation, metric: Datapoint) -> Judgement {
    let low = policy.target * policy.low_factor;
    let sum =
        format!("{} with {:.0} instances is below {low:.1}", policy.show(metric.value), metric.instances);
    if policy.disable_scale_in {
        return (Verdict::ScaleInDisabled, None, format!("{sum}, and scale-in is disabled."));
    }
    if seen.desired <= seen.min {
        return (
            Verdict::AtMinimum,
            None,
            format!("{sum}, and the group is at its minimum of {}.", seen.min),
        );
    }
    if seen.warming > 0 {
        let until = seen.warm_at.map_or(String::new(), |at| format!(" until {at}"));
        let words = format!("{sum}, and scale-in waits for {} instances to warm up{until}.", seen.warming);
        return (Verdict::WarmingUp, None, words);
    }
    let wanted = proportional(metric, policy.target).max(seen.min);
    if wanted >= seen.desired {
        let fewer = metric.total / f64::from((seen.desired - 1).max(1));
        let words = format!(
            "{sum}, but with {} instances it would be {}, above the target of {}.",
            seen.desired - 1,
            policy.show(fewer),
            policy.target
        );
        return (Verdict::WouldOvershoot, None, words);
    }
    (Verdict::ScaleIn, Some(wanted), format!("{sum}; desired capacity from {} to {wanted}.", seen.desired))
}

fn wait(policy: &TargetTracking, values: &[Option<f64>], metric: f64) -> Judgement {
    let (high, low) = (policy.high(), policy.low());
    let pending = |alarm: &Alarm, side: &str| {
        let (have, need) = (alarm.breaching_run(values) as u32, alarm.evaluation_periods as u32);
        let words = format!(
            "{} is {side} {:.1}, and the alarm has {have} of the {need} datapoints it needs.",
            policy.show(metric),
            alarm.threshold
        );
        (have, need, words)
    };
    if high.breaches(metric) {
        let (have, need, words) = pending(&high, "above");
        (Verdict::HighAlarmPending { have, need }, None, words)
    } else if low.breaches(metric) {
        let (have, need, words) = pending(&low, "below");
        (Verdict::LowAlarmPending { have, need }, None, words)
    } else {
        let words = format!(
            "{} is between {:.1} and the target of {}.",
            policy.show(metric),
            low.threshold,
            policy.target
        );
        (Verdict::WithinTarget, None, words)
    }
}
