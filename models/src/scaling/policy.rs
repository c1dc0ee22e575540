//! What all scaling policies have in common: what they can see, what they remember, and what they say.

use sim_core::{Span, Time};

use super::{
    Actions, ActivityState, Alarm, AlarmState, Datapoint, Forecaster, MigMemory, Sampling, VmssMemory,
};

/// A scaling policy: a pure function of what the control plane could have seen.
///
/// The group asks it once a minute, and one controller carries out what all its policies say together; see [`combine`].
pub trait Policy: std::fmt::Debug + Send + Sync {
    /// The metrics it looks at, in the order of [`Observation::datapoints`]; none where it goes by the clock.
    fn metrics(&self) -> Vec<Metric>;

    /// How many of the newest datapoints of each metric it asks for.
    fn lookback(&self) -> usize;

    /// What datapoints of one of its metrics it asks for.
    fn sampling(&self, _metric: usize) -> Sampling {
        Sampling::default()
    }

    /// True where it is asked every 10 s, because its alarm has a shorter period than a minute.
    fn high_resolution(&self) -> bool {
        false
    }

    /// Its own cooldown after what it does, which goes before the group's; only simple scaling waits for cooldowns.
    fn cooldown(&self) -> Option<Span> {
        None
    }

    /// Its own warm-up for new instances, which goes before the group's.
    fn estimated_instance_warmup(&self) -> Option<Span> {
        None
    }

    /// Who asks for another size in its name, for the log of `group`: an alarm where it has some.
    fn caller(&self, group: &str, scales_out: bool) -> String {
        let _ = (group, scales_out);
        "a scaling policy".to_string()
    }

    /// What it wants, and why. While an alarm stays in ALARM its action is repeated at each evaluation.
    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision;
}

/// What a policy can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `ASGAverageCPUUtilization`, in percent.
    Cpu,
    /// Memory in use, in percent, as the CloudWatch agent tells it: a metric of one's own, by instance.
    Memory,
    /// `ASGAverageNetworkIn`: bytes that an instance received in a minute.
    NetworkIn,
    /// `ASGAverageNetworkOut`: bytes that an instance sent in a minute.
    NetworkOut,
    /// `ALBRequestCountPerTarget`: requests a minute and target.
    RequestCountPerTarget,
    /// `TargetResponseTime`: seconds from the balancer's sending of a request until the answer.
    TargetResponseTime,
    /// Requests that wait or are in progress at the instances, by instance in service: a metric of one's own.
    RequestsInside,
    /// Open sessions (websockets) by target, a metric of one's own: their mean over the minute by healthy targets.
    ConnectionsPerTarget,
    /// Backlog per instance: `ApproximateNumberOfMessagesVisible` of the group's queue by instance in service, as somebody
    /// publishes it once a minute; without an instance the whole of it.
    BacklogPerInstance,
    /// `ApproximateNumberOfMessagesVisible`: messages of the group's queue that could be received, or the lag of its consumers.
    QueueLength,
    /// `ApproximateNumberOfMessagesNotVisible`: messages of the group's queue that are with a consumer.
    MessagesInFlight,
    /// `ApproximateAgeOfOldestMessage`: seconds since the oldest message of the group's queue was sent.
    AgeOfOldestMessage,
    /// Seconds until the group's queue is empty at the pace of the last 5 minutes, a metric of one's own; the age of the oldest
    /// message where nothing was consumed in them.
    TimeToClear,
    /// Percent of the group's consumers that have a job, a metric of one's own: their mean over the minute.
    WorkersBusy,
    /// Percent of the GPUs of instances in service that are in use, as the CloudWatch agent tells it: their mean over the minute.
    Gpu,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 15] = [
        Metric::Cpu,
        Metric::Memory,
        Metric::NetworkIn,
        Metric::NetworkOut,
        Metric::RequestCountPerTarget,
        Metric::TargetResponseTime,
        Metric::RequestsInside,
        Metric::ConnectionsPerTarget,
        Metric::BacklogPerInstance,
        Metric::QueueLength,
        Metric::MessagesInFlight,
        Metric::AgeOfOldestMessage,
        Metric::TimeToClear,
        Metric::WorkersBusy,
        Metric::Gpu,
    ];

    /// Its name in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cpu => "cpu",
            Metric::Memory => "memory",
            Metric::NetworkIn => "network_in",
            Metric::NetworkOut => "network_out",
            Metric::RequestCountPerTarget => "requests_per_target",
            Metric::TargetResponseTime => "target_response_time",
            Metric::RequestsInside => "requests_inside",
            Metric::ConnectionsPerTarget => "connections_per_target",
            Metric::BacklogPerInstance => "backlog_per_instance",
            Metric::QueueLength => "queue_length",
            Metric::MessagesInFlight => "messages_in_flight",
            Metric::AgeOfOldestMessage => "age_of_oldest_message",
            Metric::TimeToClear => "time_to_clear",
            Metric::WorkersBusy => "workers_busy",
            Metric::Gpu => "gpu",
        }
    }

    /// True for what only a group has that takes jobs from a queue.
    pub fn of_workers(self) -> bool {
        use Metric::{
            AgeOfOldestMessage, BacklogPerInstance, MessagesInFlight, QueueLength, TimeToClear, WorkersBusy,
        };
        matches!(
            self,
            BacklogPerInstance
                | QueueLength
                | MessagesInFlight
                | AgeOfOldestMessage
                | TimeToClear
                | WorkersBusy
        )
    }

    /// True where it falls in proportion as instances are added, so that it can be tracked. A number of messages does not, nor
    /// does a time that requests or messages take (EC2 Auto Scaling, "Target tracking scaling policies", "Considerations").
    pub fn falls_by_instance(self) -> bool {
        use Metric::{AgeOfOldestMessage, MessagesInFlight, QueueLength, TargetResponseTime};
        !matches!(self, TargetResponseTime | QueueLength | MessagesInFlight | AgeOfOldestMessage)
    }

    /// True for what EC2 tells of instances, by their monitoring and without those that warm up.
    pub fn of_ec2(self) -> bool {
        matches!(self, Metric::Cpu | Metric::NetworkIn | Metric::NetworkOut)
    }

    /// True for a metric of one's own, which can have a datapoint every 10 s.
    pub fn custom(self) -> bool {
        matches!(self, Metric::Memory | Metric::RequestsInside | Metric::ConnectionsPerTarget)
    }

    /// A value of the metric, with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Metric::Cpu => format!("CPU {value:.1} %"),
            Metric::Memory => format!("memory {value:.1} %"),
            Metric::NetworkIn => format!("{value:.0} bytes in a minute and instance"),
            Metric::NetworkOut => format!("{value:.0} bytes out a minute and instance"),
            Metric::TargetResponseTime => format!("target response time {:.1} ms", 1e3 * value),
            Metric::RequestsInside => format!("{value:.1} requests inside by instance"),
            Metric::RequestCountPerTarget => format!("{value:.0} requests a minute and target"),
            Metric::ConnectionsPerTarget => format!("{value:.0} open sessions by target"),
            Metric::BacklogPerInstance => format!("a backlog of {value:.1} messages by instance"),
            Metric::QueueLength => format!("{value:.0} messages in the queue"),
            Metric::MessagesInFlight => format!("{value:.0} messages in flight"),
            Metric::AgeOfOldestMessage => format!("an oldest message of {value:.0} s"),
            Metric::TimeToClear => format!("{value:.0} s until the queue is clear"),
            Metric::WorkersBusy => format!("{value:.1} % of workers busy"),
            Metric::Gpu => format!("GPUs {value:.1} % in use"),
        }
    }
}

/// What a policy can see when it is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The clock.
    pub now: Time,
    /// The newest datapoints of each of its metrics, oldest first, as far as they can be seen at this instant.
    pub datapoints: Vec<Vec<Option<Datapoint>>>,
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
    /// Instances that are being terminated and are not gone yet.
    pub terminating: u32,
    /// Whether a scaling activity is under way, or a cooldown runs.
    pub activity: ActivityState,
}

impl Observation {
    /// The datapoints of one of the policy's metrics, oldest first.
    pub fn points(&self, metric: usize) -> &[Option<Datapoint>] {
        self.datapoints.get(metric).map_or(&[], Vec::as_slice)
    }

    /// Their values.
    pub fn values(&self, metric: usize) -> Vec<Option<f64>> {
        self.points(metric).iter().map(|point| point.map(|point| point.value)).collect()
    }

    /// The newest of them.
    pub fn newest(&self, metric: usize) -> Option<Datapoint> {
        self.points(metric).iter().rev().find_map(|&point| point)
    }
}

/// What a policy remembers from one evaluation to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    alarms: Vec<AlarmState>,
    /// When its alarm's action was carried out.
    pub actions: Actions,
    /// What a predictive policy has measured and forecast.
    pub forecaster: Option<Box<Forecaster>>,
    /// The maximum that a predictive policy lifts the group's to while its forecast asks for it; 0 where it does not.
    pub raised_max: u32,
    /// The peaks that the autoscaler of a managed instance group looks back at.
    pub mig: MigMemory,
    /// When the rules of a scale set acted last.
    pub vmss: VmssMemory,
    /// Whatever a [custom](crate::plan::Scaling::Custom) policy wants to keep. It drops what it no longer needs.
    pub numbers: Vec<f64>,
}

impl Memory {
    /// What its policy wanted is done.
    pub fn acted(&mut self, now: Time) {
        self.vmss.last = Some(now);
    }

    /// The state of one of the policy's alarms.
    pub fn alarm(&self, index: usize) -> AlarmState {
        self.alarms.get(index).copied().unwrap_or_default()
    }

    /// Evaluates one of its alarms on these values, oldest first: its state before and now.
    pub fn evaluate(
        &mut self,
        index: usize,
        alarm: &Alarm,
        values: &[Option<f64>],
    ) -> (AlarmState, AlarmState) {
        if self.alarms.len() <= index {
            self.alarms.resize(index + 1, AlarmState::default());
        }
        let before = self.alarms[index];
        self.alarms[index] = alarm.evaluate(values, before);
        (before, self.alarms[index])
    }
}

/// What a policy wants, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The desired capacity it wants, within the group's limits; `None` where it wants no change.
    pub wanted: Option<u32>,
    /// What the policy holds the group at least at, whatever others want.
    pub at_least: Option<u32>,
    /// Who else must agree where it wants to scale in.
    pub consent: Consent,
    /// The reason in short.
    pub verdict: Verdict,
    /// The reason in words and numbers.
    pub description: String,
    /// Alarms that changed their state.
    pub transitions: Vec<Transition>,
}

impl Decision {
    /// More instances, because of what `description` says.
    pub fn scale_out(wanted: u32, description: impl Into<String>) -> Decision {
        Decision { wanted: Some(wanted), ..Decision::wait(Verdict::ScaleOut, description) }
    }

    /// Fewer instances, because of what `description` says. The policy needs nobody's consent.
    pub fn scale_in(wanted: u32, description: impl Into<String>) -> Decision {
        Decision { wanted: Some(wanted), ..Decision::wait(Verdict::ScaleIn, description) }
    }

    /// No change, because of what `description` says.
    pub fn wait(verdict: Verdict, description: impl Into<String>) -> Decision {
        Decision {
            wanted: None,
            at_least: None,
            consent: Consent::Alone,
            verdict,
            description: description.into(),
            transitions: Vec::new(),
        }
    }
}

/// Who must agree before a group scales in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nobody: the policy scales in by itself.
    Alone,
    /// All policies that answer this: target tracking policies scale in together.
    Tracking,
    /// It never scales in, and its consent is not asked for.
    Never,
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
    /// A cooldown runs.
    Cooldown,
    /// Instances are being launched or terminated, and it waits for that.
    ActivityInProgress,
    /// Its alarm's action was carried out less than a minute ago.
    ActionRepeats,
    /// Its alarm is in ALARM, and what it does then changes nothing.
    NoAdjustment,
    /// It would scale out, and the group is at its maximum.
    AtMaximum,
    /// It would scale in, and the group is at its minimum.
    AtMinimum,
    /// With one instance fewer the metric would be above the target again.
    WouldOvershoot,
    /// It would scale in, and must not.
    ScaleInDisabled,
    /// It would scale out, and windows or rates of its own hold it back.
    HeldBack,
    /// There are no datapoints.
    InsufficientData,
    /// The group is as large as the forecast asks for.
    AsForecast,
    /// It forecasts, and must not act.
    ForecastOnly,
    /// There is too little history to forecast from.
    TooLittleHistory,
    /// It would scale in, and a peak is not long enough ago.
    Stabilizing,
    /// It would scale in further, and its scale-in control holds it.
    ScaleInControlled,
    /// It must do nothing.
    SwitchedOff,
    /// Some of its rules would scale in, and others would not.
    NotAllAgree,
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
            Verdict::WarmingUp
            | Verdict::Cooldown
            | Verdict::ActivityInProgress
            | Verdict::ActionRepeats
            | Verdict::AtMaximum => 4,
            Verdict::HighAlarmPending { .. } | Verdict::HeldBack | Verdict::SwitchedOff => 3,
            Verdict::InsufficientData | Verdict::TooLittleHistory => 2,
            Verdict::WithinTarget | Verdict::NoAdjustment | Verdict::AsForecast | Verdict::ForecastOnly => 1,
            Verdict::LowAlarmPending { .. }
            | Verdict::ScaleIn
            | Verdict::AtMinimum
            | Verdict::WouldOvershoot
            | Verdict::Stabilizing
            | Verdict::ScaleInControlled
            | Verdict::NotAllAgree
            | Verdict::ScaleInDisabled => 0,
        }
    }
}

/// The name of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmName {
    /// The alarm that a target tracking policy makes to scale out.
    High,
    /// The one that it makes to scale in.
    Low,
    /// One that somebody made.
    Own(String),
}

impl AlarmName {
    /// As the log of `group` writes it.
    pub fn of(&self, group: &str) -> String {
        match self {
            AlarmName::High => format!("TargetTracking-{group}-AlarmHigh"),
            AlarmName::Low => format!("TargetTracking-{group}-AlarmLow"),
            AlarmName::Own(name) => name.clone(),
        }
    }
}

/// An alarm that changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Which.
    pub alarm: AlarmName,
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
        format!("{} went from {} to {}: {}.", self.alarm.of(group), self.from, self.to, self.seen)
    }
}

/// The warm-up of a policy's instances: its own, else the group's, else the default cooldown. A zero counts as set.
pub fn effective_warmup(policy: Option<Span>, group: Option<Span>, default_cooldown: Span) -> Span {
    policy.or(group).unwrap_or(default_cooldown)
}

/// What several policies want together: any may scale out; target tracking policies scale in only together; the largest
/// capacity wins in both directions (EC2 Auto Scaling, "Multiple dynamic scaling policies").
pub fn combine<'a>(decisions: impl Iterator<Item = &'a Decision> + Clone) -> Option<u32> {
    let wants = |verdict: Verdict| decisions.clone().filter(move |decision| decision.verdict == verdict);
    let at_least = decisions.clone().filter_map(|decision| decision.at_least).max().unwrap_or(0);
    if let Some(out) = wants(Verdict::ScaleOut).filter_map(|decision| decision.wanted).max() {
        return Some(out.max(at_least));
    }
    let mut tracking = decisions.clone().filter(|decision| decision.consent == Consent::Tracking);
    let together = tracking.all(|decision| decision.verdict == Verdict::ScaleIn);
    let may = |decision: &&Decision| decision.consent == Consent::Alone || together;
    let fewer = wants(Verdict::ScaleIn).filter(may).filter_map(|decision| decision.wanted).max();
    fewer.map(|wanted| wanted.max(at_least))
}
