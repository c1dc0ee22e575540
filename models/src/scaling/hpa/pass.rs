//! One pass of the controller over one HPA: metrics, the largest proposal, what is made of it, and what is remembered.

use sim_core::{Span, Time};

use super::behavior::{self, Behavior, ScaleEvent};
use super::calculator::{self, Circumstances, MetricError, Proposal, Readiness, Tolerance};
use super::legacy::{self, Growth};
use super::pods::{Pod, PodMetrics, Resource, Samples, samples};
use super::{
    CPU_INITIALIZATION_PERIOD, DOWNSCALE_STABILIZATION, INITIAL_READINESS_DELAY, Limit, Recommendation,
    TOLERANCE,
};

/// An HPA, and the parameters of the controller that looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hpa {
    /// What it goes by; at least one.
    pub metrics: Vec<Metric>,
    /// How it may scale; `None` where its spec says nothing of it.
    pub behavior: Option<Behavior>,
    /// The controller's tolerance.
    pub tolerance: Tolerance,
    /// Tolerances of `behavior` count (`HPAConfigurableTolerance`).
    pub configurable_tolerance: bool,
    /// When a pod's CPU is believed.
    pub readiness: Readiness,
    /// The window of scale-down without one of `behavior`.
    pub downscale_stabilization: Span,
    /// How fast it grows without `behavior`.
    pub growth: Growth,
    /// What happens at no replicas.
    pub scale_to_zero: ScaleToZero,
    /// Requests of pods as a whole count (`PodLevelResources`).
    pub pod_level_requests: bool,
}

impl Default for Hpa {
    /// A controller with the defaults of its flags.
    fn default() -> Self {
        Hpa {
            metrics: vec![Metric::default()],
            behavior: None,
            tolerance: Tolerance::both(TOLERANCE),
            configurable_tolerance: true,
            readiness: Readiness {
                cpu_initialization_period: CPU_INITIALIZATION_PERIOD,
                initial_readiness_delay: INITIAL_READINESS_DELAY,
            },
            downscale_stabilization: DOWNSCALE_STABILIZATION,
            growth: Growth::CONTROLLER,
            scale_to_zero: ScaleToZero::Condition { feature: true },
            pod_level_requests: true,
        }
    }
}

/// What an HPA does at no replicas and a minimum of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleToZero {
    /// It goes on as ever: releases before the condition.
    Legacy,
    /// It goes on where it made them none itself, of which it keeps a condition, and where a metric is there that is not of pods.
    Condition {
        /// `HPAScaleToZero` is enabled.
        feature: bool,
    },
}

/// One metric of an HPA.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Where it comes from.
    pub source: Source,
    /// What it is kept at.
    pub target: Target,
    /// What it is called in words.
    pub name: String,
}

impl Default for Metric {
    /// What the API fills in where no metric is named.
    fn default() -> Self {
        Metric {
            source: Source::Resource { resource: Resource::Cpu, container: None },
            target: Target::Utilization(super::DEFAULT_CPU_UTILIZATION),
            name: "cpu".into(),
        }
    }
}

/// Where a metric comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// metrics-server: of pods (`Resource`), or of one of their containers (`ContainerResource`).
    Resource {
        /// What.
        resource: Resource,
        /// Of which container.
        container: Option<String>,
    },
    /// A value of each pod.
    Pods,
    /// A value of something else in the cluster.
    Object,
    /// A value of something outside.
    External,
    /// A type that this controller does not know.
    Unknown,
}

/// What a metric is kept at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Percent of what the pods ask for.
    Utilization(i32),
    /// Thousandths by pod.
    AverageValue(i64),
    /// Thousandths.
    Value(i64),
}

/// What the metrics APIs answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Of metrics-server.
    Resource(Vec<PodMetrics>),
    /// Of each pod.
    Pods(Samples),
    /// Of something else, in thousandths.
    Global(Vec<i64>),
    /// They do not.
    Unavailable,
}

/// What the controller sees in a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The clock.
    pub now: Time,
    /// `minReplicas`.
    pub min: i32,
    /// `maxReplicas`.
    pub max: i32,
    /// `spec.replicas` of the target.
    pub replicas: i32,
    /// `status.replicas` of the target.
    pub status_replicas: i32,
    /// The target's pods.
    pub pods: Vec<Pod>,
    /// What its metrics say, one each.
    pub values: Vec<Values>,
}

/// What the controller remembers of an HPA from pass to pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// What it recommended; `None` before its first pass.
    pub recommendations: Option<Vec<Recommendation>>,
    /// What it added.
    pub ups: Vec<ScaleEvent>,
    /// What it removed.
    pub downs: Vec<ScaleEvent>,
    /// It made the replicas none: the condition `ScaledToZero`.
    pub scaled_to_zero: bool,
}

/// What a pass came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// Replicas from now on.
    pub replicas: i32,
    /// The target was written to.
    pub rescaled: bool,
    /// A metric failed; others may have scaled the target up all the same.
    pub error: Option<MetricError>,
    /// `AbleToScale`, which is true here always: its reason.
    pub able_to_scale: &'static str,
    /// `ScalingActive` and its reason; `None` where no metric was asked.
    pub scaling_active: Option<(bool, &'static str)>,
    /// `ScalingLimited` and its reason; `None` where no metric was asked.
    pub scaling_limited: Option<(bool, &'static str)>,
    /// What each metric proposed.
    pub proposals: Vec<Result<Proposal, MetricError>>,
    /// What they proposed together, before it was stabilised and limited.
    pub recommendation: Option<i32>,
    /// What that came to after the windows.
    pub stabilized: Option<i32>,
    /// Why the size is what it is.
    pub why: Why,
}

/// Why a pass did what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// More replicas.
    ScaledUp,
    /// Fewer replicas.
    ScaledDown,
    /// The replicas are above or below the HPA's limits, and were put right without a look at metrics.
    OutOfLimits,
    /// The metrics ask for what there is.
    AtTarget,
    /// Recommendations of a window hold it back.
    Stabilized,
    /// Its rates do not allow more now, or `selectPolicy` is `Disabled` for this direction.
    RateLimited,
    /// It is at `maxReplicas`.
    AtMaximum,
    /// It is at `minReplicas`.
    AtMinimum,
    /// Metrics failed.
    MetricsFailed,
    /// There are no replicas, and so no autoscaling.
    Disabled,
}

/// Looks at an HPA once.
pub fn pass(hpa: &Hpa, memory: &mut Memory, seen: &Seen) -> Pass {
    let current = seen.replicas;
    memory.recommendations.get_or_insert_with(|| vec![Recommendation { replicas: current, at: seen.now }]);
    let feature = matches!(hpa.scale_to_zero, ScaleToZero::Condition { feature: true });
    let condition = feature && memory.scaled_to_zero;
    let mut pass = if current == 0 && !evaluates_at_zero(hpa, condition, seen.min) {
        Pass { scaling_active: Some((false, "ScalingDisabled")), ..Pass::unchanged(current, Why::Disabled) }
    } else if current > seen.max {
        Pass::unchanged(seen.max, Why::OutOfLimits)
    } else if current != 0 && current < seen.min {
        Pass::unchanged(seen.min, Why::OutOfLimits)
    } else {
        let from_zero = current == 0 && seen.min != 0 && condition;
        by_metrics(hpa, memory, seen, from_zero)
    };
    pass.rescaled = pass.replicas != current;
    if pass.rescaled {
        pass.able_to_scale = "SucceededRescale";
        remember_change(hpa, memory, current, pass.replicas, seen.now);
        let to_zero = current > 0 && pass.replicas == 0 && seen.min == 0;
        memory.scaled_to_zero = feature && to_zero && hpa.scales_from_outside();
    }
    pass
}

impl Hpa {
    /// A metric is there that is not of pods, and so tells of work where there are none.
    pub fn scales_from_outside(&self) -> bool {
        self.metrics.iter().any(|metric| matches!(metric.source, Source::Object | Source::External))
    }

    /// The tolerance of each direction.
    fn tolerances(&self) -> Tolerance {
        let behavior = self.behavior.as_ref().filter(|_| self.configurable_tolerance);
        Tolerance {
            down: behavior.and_then(|behavior| behavior.scale_down.tolerance).unwrap_or(self.tolerance.down),
            up: behavior.and_then(|behavior| behavior.scale_up.tolerance).unwrap_or(self.tolerance.up),
        }
    }
}

impl Pass {
    /// Before anything was decided.
    fn unchanged(replicas: i32, why: Why) -> Pass {
        Pass {
            replicas,
            rescaled: false,
            error: None,
            able_to_scale: "SucceededGetScale",
            scaling_active: None,
            scaling_limited: None,
            proposals: Vec::new(),
            recommendation: None,
            stabilized: None,
            why,
        }
    }
}

/// Somebody who set a target to no replicas wants it to stay so; the HPA's own none is left again.
fn evaluates_at_zero(hpa: &Hpa, condition: bool, min: i32) -> bool {
    match hpa.scale_to_zero {
        ScaleToZero::Legacy => min == 0,
        ScaleToZero::Condition { .. } => condition && (min != 0 || hpa.scales_from_outside()),
    }
}

/// A pass in which metrics are asked.
fn by_metrics(hpa: &Hpa, memory: &mut Memory, seen: &Seen, from_zero: bool) -> Pass {
    let mut pass = Pass::unchanged(seen.replicas, Why::AtTarget);
    pass.proposals = hpa.metrics.iter().zip(&seen.values).map(|pair| propose(hpa, pair, seen)).collect();
    let failed = pass.proposals.iter().position(Result::is_err);
    pass.error = failed.and_then(|first| pass.proposals[first].clone().err());
    let largest = pass.proposals.iter().flatten().map(|proposal| proposal.replicas).max();
    // With a metric missing it may grow, for the rest asks for that; it must not shrink, for the one that is missing might not.
    let Some(wanted) = largest.filter(|&wanted| failed.is_none() || wanted >= seen.replicas) else {
        let source = failed.map(|first| &hpa.metrics[first].source);
        pass.scaling_active = Some((false, source.map_or("InvalidMetricSourceType", failure)));
        pass.why = Why::MetricsFailed;
        return pass;
    };
    let wanted = wanted.max(0);
    pass.scaling_active = Some((true, "ValidMetricFound"));
    pass.recommendation = Some(wanted);
    let (stabilized, (limited, limit)) = normalize(hpa, memory, seen, wanted);
    pass.able_to_scale = match stabilized == wanted {
        true => "ReadyForNewScale",
        false if hpa.behavior.is_some() && wanted >= seen.replicas => "ScaleUpStabilized",
        false => "ScaleDownStabilized",
    };
    pass.stabilized = Some(stabilized);
    pass.scaling_limited = Some((limited != stabilized, limit.reason()));
    pass.replicas = if from_zero { limited.max(seen.min) } else { limited };
    pass.why = why(seen.replicas, wanted, stabilized, pass.replicas, limit);
    pass
}

/// What one metric proposes.
fn propose(hpa: &Hpa, (metric, values): (&Metric, &Values), seen: &Seen) -> Result<Proposal, MetricError> {
    let of = Circumstances {
        pods: &seen.pods,
        replicas: seen.replicas,
        status_replicas: seen.status_replicas,
        tolerance: hpa.tolerances(),
        readiness: hpa.readiness,
        pod_level_requests: hpa.pod_level_requests,
        now: seen.now,
    };
    match (&metric.source, values) {
        (Source::Unknown, _) => Err(MetricError::UnknownSource),
        (Source::Resource { resource, container }, Values::Resource(metrics)) => {
            let samples = samples(metrics, *resource, container.as_deref())?;
            match metric.target {
                Target::Utilization(percent) => {
                    calculator::utilization(&of, *resource, container.as_deref(), samples, percent)
                }
                Target::AverageValue(average) => calculator::average(&of, Some(*resource), samples, average),
                Target::Value(_) => Err(MetricError::NoTarget),
            }
        }
        (Source::Pods, Values::Pods(samples)) => match metric.target {
            Target::AverageValue(average) => calculator::average(&of, None, samples.clone(), average),
            Target::Utilization(_) | Target::Value(_) => Err(MetricError::NoTarget),
        },
        (Source::Object | Source::External, Values::Global(values)) => match metric.target {
            Target::Value(value) => calculator::value(&of, values, value),
            Target::AverageValue(average) => Ok(calculator::value_by_pod(&of, values, average)),
            Target::Utilization(_) => Err(MetricError::NoTarget),
        },
        _ => Err(MetricError::Unavailable(metric.name.clone())),
    }
}

/// The reason of `ScalingActive` where a metric of this kind fails.
fn failure(source: &Source) -> &'static str {
    match source {
        Source::Resource { container: None, .. } => "FailedGetResourceMetric",
        Source::Resource { container: Some(_), .. } => "FailedGetContainerResourceMetric",
        Source::Pods => "FailedGetPodsMetric",
        Source::Object => "FailedGetObjectMetric",
        Source::External => "FailedGetExternalMetric",
        Source::Unknown => "InvalidMetricSourceType",
    }
}

/// What the windows make of a recommendation, and what the limits make of that.
fn normalize(hpa: &Hpa, memory: &mut Memory, seen: &Seen, wanted: i32) -> (i32, (i32, Limit)) {
    let Memory { recommendations, ups, downs, .. } = memory;
    let log = recommendations.get_or_insert_default();
    let limits = (seen.min, seen.max);
    match &hpa.behavior {
        None => {
            let stabilized = legacy::stabilize(log, wanted, hpa.downscale_stabilization, seen.now);
            (stabilized, legacy::limit(seen.replicas, stabilized, limits, hpa.growth))
        }
        Some(behavior) => {
            let windows = (behavior.scale_up.stabilization_window, behavior.scale_down.stabilization_window);
            let stabilized = behavior::stabilize(log, seen.replicas, wanted, windows, seen.now);
            let change = (seen.replicas, stabilized);
            (stabilized, behavior::limit(change, limits, behavior, (ups, downs), seen.now))
        }
    }
}

/// Rates look at what was changed; without `behavior` there are none, and nothing is written down.
fn remember_change(hpa: &Hpa, memory: &mut Memory, from: i32, to: i32, now: Time) {
    let Some(behavior) = &hpa.behavior else { return };
    if to > from {
        behavior::store(&mut memory.ups, to - from, &behavior.scale_up, now);
    } else {
        behavior::store(&mut memory.downs, from - to, &behavior.scale_down, now);
    }
}

fn why(current: i32, wanted: i32, stabilized: i32, replicas: i32, limit: Limit) -> Why {
    if replicas > current {
        Why::ScaledUp
    } else if replicas < current {
        Why::ScaledDown
    } else if wanted == current {
        Why::AtTarget
    } else if stabilized == current {
        Why::Stabilized
    } else {
        match limit {
            Limit::TooManyReplicas => Why::AtMaximum,
            Limit::TooFewReplicas => Why::AtMinimum,
            Limit::ScaleUpLimit | Limit::ScaleDownLimit => Why::RateLimited,
            Limit::DesiredWithinRange => Why::AtTarget,
        }
    }
}
