//! Target tracking: two alarms around a target, and a size in proportion to the metric.

use sim_core::{Span, Time};

use super::{Alarm, AlarmState, Comparison, Datapoint, Datapoints, MissingData};

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

/// What a target tracking policy can track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `ASGAverageCPUUtilization`, in percent.
    Cpu,
    /// `ALBRequestCountPerTarget`: requests a minute and target.
    RequestCountPerTarget,
    /// Open sessions (websockets) by target, a metric of one's own: their mean over the minute by healthy targets.
    ConnectionsPerTarget,
}

/// What a policy can see when it is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The clock.
    pub now: Time,
    /// The metric's newest datapoints, oldest first; see [`visible`].
    pub datapoints: Vec<Option<Datapoint>>,
    /// Desired capacity.
    pub desired: u32,
    /// The minimum.
    pub min: u32,
    /// The maximum.
    pub max: u32,
    /// Instances launched and not yet warm for this policy.
    pub warming: u32,
    /// When the last of them is warm, as far as can be told.
    pub warm_at: Option<Time>,
}

/// The states of a policy's alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyAlarms {
    /// `AlarmHigh`.
    pub high: AlarmState,
    /// `AlarmLow`.
    pub low: AlarmState,
}

/// What a policy wants, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The desired capacity it wants, within the group's limits; `None` where it wants no change.
    pub wanted: Option<u32>,
    /// False for a policy that never scales in, whose consent is not asked for when others want to.
    pub scales_in: bool,
    /// The reason in short.
    pub verdict: Verdict,
    /// The reason in words and numbers.
    pub description: String,
    /// Alarms that changed their state.
    pub transitions: Vec<Transition>,
}

/// Why a policy acts, or what it waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It wants more instances.
    ScaleOut,
    /// It wants fewer instances.
    ScaleIn,
    /// The high alarm has seen too few datapoints above the target.
    HighAlarmPending {
        /// How many it has seen.
        have: u32,
        /// How many it needs.
        need: u32,
    },
    /// The low alarm has seen too few datapoints below its threshold.
    LowAlarmPending {
        /// How many it has seen.
        have: u32,
        /// How many it needs.
        need: u32,
    },
    /// Between the thresholds.
    WithinTarget,
    /// Instances on their way are enough, or scale-in waits for them to be warm.
    WarmingUp,
    /// It would scale out, and the group is at its maximum.
    AtMaximum,
    /// It would scale in, and the group is at its minimum.
    AtMinimum,
    /// With one instance fewer the metric would be above the target again.
    WouldOvershoot,
    /// It would scale in, and must not.
    ScaleInDisabled,
    /// There are no datapoints.
    InsufficientData,
}

impl Verdict {
    /// True where both give the same reason, whatever their numbers.
    pub fn same_reason(&self, other: &Verdict) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// How much a policy that says so wants the group to grow; of several policies the one with the highest explains
    /// best why an overloaded group did not.
    pub fn urgency(&self) -> u32 {
        match self {
            Verdict::ScaleOut => 5,
            Verdict::WarmingUp | Verdict::AtMaximum => 4,
            Verdict::HighAlarmPending { .. } => 3,
            Verdict::InsufficientData => 2,
            Verdict::WithinTarget => 1,
            Verdict::LowAlarmPending { .. }
            | Verdict::ScaleIn
            | Verdict::AtMinimum
            | Verdict::WouldOvershoot
            | Verdict::ScaleInDisabled => 0,
        }
    }
}

/// An alarm that changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// `High` or `Low`.
    pub alarm: &'static str,
    /// Its state before.
    pub from: AlarmState,
    /// Its state now.
    pub to: AlarmState,
    /// The datapoints it saw, in words.
    pub seen: String,
}

impl Transition {
    /// A line for the log of `group`.
    pub fn describe(&self, group: &str) -> String {
        format!(
            "TargetTracking-{group}-Alarm{} went from {} to {}: {}.",
            self.alarm, self.from, self.to, self.seen
        )
    }
}

impl std::fmt::Display for AlarmState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
        })
    }
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
        match self.metric {
            Metric::Cpu => format!("CPU {value:.1} %"),
            Metric::RequestCountPerTarget => format!("{value:.0} requests a minute and target"),
            Metric::ConnectionsPerTarget => format!("{value:.0} open sessions by target"),
        }
    }
}

/// The datapoints that both of a policy's alarms need.
pub fn visible(metric: &Datapoints, policy: &TargetTracking, now: Time) -> Vec<Option<Datapoint>> {
    metric.visible(now, policy.high().evaluation_range().max(policy.low().evaluation_range()))
}

/// The warm-up of a policy's instances: its own, else the group's, else the default cooldown. A zero counts as set.
pub fn effective_warmup(policy: Option<Span>, group: Option<Span>, default_cooldown: Span) -> Span {
    policy.or(group).unwrap_or(default_cooldown)
}

/// Evaluates a policy, once a minute. While an alarm stays in ALARM its action is repeated at each evaluation.
pub fn decide(policy: &TargetTracking, alarms: &mut PolicyAlarms, seen: &Observation) -> Decision {
    let (high, low) = (policy.high(), policy.low());
    let before = *alarms;
    let values: Vec<Option<f64>> =
        seen.datapoints.iter().map(|point| point.map(|point| point.value)).collect();
    alarms.high = high.evaluate(&values, before.high);
    alarms.low = low.evaluate(&values, before.low);
    let newest = seen.datapoints.iter().rev().find_map(|&point| point);
    let (verdict, wanted, description) = match newest {
        None => {
            (Verdict::InsufficientData, None, "No datapoints: no scaling in either direction.".to_string())
        }
        Some(metric) if alarms.high == AlarmState::Alarm => scale_out(policy, seen, metric),
        Some(metric) if alarms.low == AlarmState::Alarm => scale_in(policy, seen, metric),
        Some(metric) => wait(policy, &values, metric.value),
    };
    let change = |alarm, from: AlarmState, to: AlarmState, evaluated: &Alarm| {
        let run = evaluated.breaching_run(&values);
        let side = if evaluated.comparison == Comparison::Greater { "above" } else { "below" };
        let last = newest.map_or("no datapoint".to_string(), |point| policy.show(point.value));
        (from != to).then(|| Transition {
            alarm,
            from,
            to,
            seen: format!(
                "{} of {} datapoints {side} {}, the newest {last}",
                run.min(evaluated.evaluation_periods),
                evaluated.evaluation_periods,
                policy.show(evaluated.threshold)
            ),
        })
    };
    let transitions =
        [change("High", before.high, alarms.high, &high), change("Low", before.low, alarms.low, &low)];
    Decision {
        wanted,
        scales_in: !policy.disable_scale_in,
        verdict,
        description,
        transitions: transitions.into_iter().flatten().collect(),
    }
}

type Judgement = (Verdict, Option<u32>, String);

/// The size in proportion to the metric, rounded up. Its base are the instances that the datapoint is about: not those
/// that warm up, and not those of now, which an action taken on this very datapoint has changed already.
fn proportional(metric: Datapoint, target: f64) -> u32 {
    // A hair less than the quotient, so that 10 × 5 / 5 is not 11. The cast saturates.
    (metric.total / target - 1e-9).ceil().max(0.0) as u32
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

/// What several policies want together: any may scale out, all that may scale in must want to; the largest capacity
/// wins in both directions.
pub fn combine<'a>(decisions: impl Iterator<Item = &'a Decision> + Clone) -> Option<u32> {
    let wanting = |verdict: Verdict| {
        let those = decisions.clone().filter(move |decision| decision.verdict == verdict);
        those.filter_map(|decision| decision.wanted).max()
    };
    if let Some(out) = wanting(Verdict::ScaleOut) {
        return Some(out);
    }
    let mut voters = decisions.clone().filter(|decision| decision.scales_in);
    if voters.all(|decision| decision.verdict == Verdict::ScaleIn) { wanting(Verdict::ScaleIn) } else { None }
}
