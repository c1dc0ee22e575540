//! Step scaling: an alarm, and adjustments by how far the metric is beyond its threshold.
//!
//! The policy takes percentages of the capacity *without* instances that warm up, and only what is beyond the desired capacity
//! is added, so that a repeated action in the same step changes nothing. Scale-in waits for instances that warm up, and those
//! being terminated still count as there. It waits for no cooldown. (EC2 Auto Scaling User Guide, "Step and simple scaling
//! policies"; the arithmetic of warm-ups is spelled out in its version of 2022.)

use std::cmp::Ordering;

use sim_core::Span;

use super::{
    Adjustment, Datapoint, Decision, Memory, Metric, MetricAlarm, Observation, Policy, Sampling, Statistic,
    Verdict, clamped,
};

/// The most steps of a policy.
pub const MOST_STEPS: usize = 20;

/// A step scaling policy.
#[derive(Clone, Debug, PartialEq)]
pub struct StepScaling {
    /// The alarm that calls it.
    pub alarm: MetricAlarm,
    /// Its steps. None overlap, and there are no gaps between them.
    pub steps: Vec<Step>,
    /// `MetricAggregationType`: which statistic of the newest datapoint the step is chosen by.
    pub metric_aggregation: Aggregation,
    /// The policy's own warm-up, which goes before the group's.
    pub estimated_instance_warmup: Option<Span>,
}

/// A step: bounds relative to the alarm's threshold, and an adjustment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its lower bound; `None` is minus infinity.
    pub lower: Option<f64>,
    /// Its upper bound; `None` is infinity.
    pub upper: Option<f64>,
    /// What it does.
    pub adjustment: Adjustment,
}

/// How a step policy aggregates the newest datapoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// `Average`.
    Average,
    /// `Minimum`.
    Minimum,
    /// `Maximum`.
    Maximum,
}

impl Step {
    /// True where a metric belongs to this step. Above the threshold the lower bound is inside and the upper is not; below it
    /// is the other way round. At the threshold it is as on the side that the alarm watches.
    fn holds(&self, metric: f64, threshold: f64, high: bool) -> bool {
        let (lower, upper) =
            (self.lower.map(|bound| threshold + bound), self.upper.map(|bound| threshold + bound));
        if metric > threshold || metric == threshold && high {
            lower.is_none_or(|lower| metric >= lower) && upper.is_none_or(|upper| metric < upper)
        } else {
            lower.is_none_or(|lower| metric > lower) && upper.is_none_or(|upper| metric <= upper)
        }
    }
}

impl std::fmt::Display for Step {
    /// Its bounds, such as `10 to 20` or `below -20`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.lower, self.upper) {
            (Some(lower), Some(upper)) => write!(f, "{lower} to {upper}"),
            (Some(lower), None) => write!(f, "from {lower}"),
            (None, Some(upper)) => write!(f, "up to {upper}"),
            (None, None) => f.write_str("any"),
        }
    }
}

impl StepScaling {
    /// The index of the step that a metric belongs to.
    pub fn step_for(&self, metric: f64) -> Option<usize> {
        let threshold = self.alarm.alarm.threshold;
        self.steps.iter().position(|step| step.holds(metric, threshold, self.alarm.is_high()))
    }

    /// The value that the step is chosen by. An alarm on a sum, a number of samples or a percentile has no other value than
    /// its own.
    fn aggregated(&self, point: Datapoint) -> f64 {
        match (self.alarm.statistic, self.metric_aggregation) {
            (Statistic::Sum | Statistic::SampleCount | Statistic::Percentile(_), _) => point.value,
            (_, Aggregation::Average) => point.average,
            (_, Aggregation::Minimum) => point.minimum,
            (_, Aggregation::Maximum) => point.maximum,
        }
    }

    /// What the alarm's action does.
    fn act(&self, seen: &Observation) -> Judgement {
        let Some(newest) = seen.newest(0) else {
            let words = "The alarm is in ALARM without a datapoint, and no step can be chosen.";
            return (Verdict::InsufficientData, None, words.to_string());
        };
        let metric = self.aggregated(newest);
        let beyond = metric - self.alarm.alarm.threshold;
        let is = format!("{}, {beyond:+.1} from the threshold", self.alarm.show(metric));
        let Some(step) = self.step_for(metric).map(|index| self.steps[index]) else {
            return (Verdict::NoAdjustment, None, format!("{is}: no step of the policy is for that."));
        };
        let words = format!("{is}: step `{step}`, {}", step.adjustment);
        adjust(step.adjustment, seen, words)
    }
}

type Judgement = (Verdict, Option<u32>, String);

/// What an adjustment makes of a group whose instances warm up and take time to terminate.
fn adjust(adjustment: Adjustment, seen: &Observation, is: String) -> Judgement {
    match adjustment.direction(seen.desired) {
        Ordering::Greater => scale_out(adjustment, seen, is),
        Ordering::Less => scale_in(adjustment, seen, is),
        Ordering::Equal => (Verdict::NoAdjustment, None, format!("{is}: {} instances stay.", seen.desired)),
    }
}

/// More instances, as far as those on their way are not enough.
fn scale_out(adjustment: Adjustment, seen: &Observation, is: String) -> Judgement {
    let warm = seen.desired.saturating_sub(seen.warming);
    let needed = adjustment.of(warm);
    let of = if seen.warming > 0 { format!(" of {warm} warm instances") } else { String::new() };
    let wanted = clamped(needed, seen.min, seen.max);
    if wanted > seen.desired {
        let words = format!("{is}{of}; desired capacity from {} to {wanted}.", seen.desired);
        (Verdict::ScaleOut, Some(wanted), words)
    } else if needed > i64::from(seen.desired) {
        (Verdict::AtMaximum, None, format!("{is}{of}, and the group is at its maximum of {}.", seen.max))
    } else if seen.warming > 0 {
        let until = seen.warm_at.map_or(String::new(), |at| format!(" until {at}"));
        let words = format!(
            "{is}{of} are {needed}, and {} are desired; {} are warming up{until}.",
            seen.desired, seen.warming
        );
        (Verdict::WarmingUp, None, words)
    } else {
        (Verdict::NoAdjustment, None, format!("{is}: {} instances stay.", seen.desired))
    }
}

/// Fewer instances, where nothing stands against it. Those being terminated still count, so that none is removed twice.
fn scale_in(adjustment: Adjustment, seen: &Observation, is: String) -> Judgement {
    let there = seen.desired.saturating_add(seen.terminating);
    if seen.desired <= seen.min {
        return (Verdict::AtMinimum, None, format!("{is}, and the group is at its minimum of {}.", seen.min));
    }
    if seen.warming > 0 {
        let until = seen.warm_at.map_or(String::new(), |at| format!(" until {at}"));
        let words = format!("{is}, and scale-in waits for {} instances to warm up{until}.", seen.warming);
        return (Verdict::WarmingUp, None, words);
    }
    let wanted = clamped(adjustment.of(there), seen.min, seen.max);
    if wanted >= seen.desired {
        let words = format!(
            "{is}: {} instances that are being terminated still count, and are as many as it removes.",
            seen.terminating
        );
        return (Verdict::ActivityInProgress, None, words);
    }
    (Verdict::ScaleIn, Some(wanted), format!("{is}; desired capacity from {} to {wanted}.", seen.desired))
}

impl Policy for StepScaling {
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

    fn estimated_instance_warmup(&self) -> Option<Span> {
        self.estimated_instance_warmup
    }

    fn caller(&self, _: &str, _: bool) -> String {
        format!("the alarm `{}` of a step scaling policy", self.alarm.name)
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        self.alarm.decide(memory, seen, || self.act(seen))
    }
}
