//! The Horizontal Pod Autoscaler (`autoscaling/v2`), as pure functions of what its controller can see in one pass.
//!
//! [`pods`] says what a pod is and which of them count, [`calculator`] what one metric proposes, [`behavior`] and [`legacy`]
//! what becomes of a proposal with and without `behavior`, and [`pass`] puts them in the controller's order. Nothing here
//! knows of a simulation: times are given, and quantities are integers in thousandths, as the controller has them.
//!
//! Source: `pkg/controller/podautoscaler` of Kubernetes (about v1.33, and of later where `docs/models.md` says so).

pub mod behavior;
pub mod calculator;
pub mod legacy;
pub mod pass;
pub mod pods;

pub use behavior::{Behavior, PolicyKind, Rate, Rules, SelectPolicy};
pub use calculator::{MetricError, Proposal, Readiness, Tolerance};
pub use pass::{Hpa, Memory, Metric, Pass, ScaleToZero, Seen, Source, Target, Values, Why};
pub use pods::{Condition, Container, Phase, Pod, PodMetrics, Requests, Resource, Sample, Samples};

use sim_core::{Span, Time};

/// How often the controller looks at an HPA (`--horizontal-pod-autoscaler-sync-period`).
pub const SYNC_PERIOD: Span = Span::from_secs(15);
/// A ratio this close to 1 changes nothing (`--horizontal-pod-autoscaler-tolerance`).
pub const TOLERANCE: f64 = 0.1;
/// After its start a pod's CPU is believed only once it is ready and a window has passed
/// (`--horizontal-pod-autoscaler-cpu-initialization-period`).
pub const CPU_INITIALIZATION_PERIOD: Span = Span::from_secs(300);
/// A pod that lost readiness this soon after its start counts as never ready
/// (`--horizontal-pod-autoscaler-initial-readiness-delay`).
pub const INITIAL_READINESS_DELAY: Span = Span::from_secs(30);
/// Scale-down follows the highest recommendation of this long
/// (`--horizontal-pod-autoscaler-downscale-stabilization`).
pub const DOWNSCALE_STABILIZATION: Span = Span::from_secs(300);
/// CPU utilisation that is kept where an HPA names no metric, in percent of the request.
pub const DEFAULT_CPU_UTILIZATION: i32 = 80;

/// A recommendation that was made, before stabilisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// How many replicas.
    pub replicas: i32,
    /// When.
    pub at: Time,
}

/// Why a size is not, or is, what was wanted; the words of the HPA's `ScalingLimited` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing stands in the way.
    DesiredWithinRange,
    /// `minReplicas`.
    TooFewReplicas,
    /// `maxReplicas`.
    TooManyReplicas,
    /// It may not grow faster.
    ScaleUpLimit,
    /// It may not shrink faster.
    ScaleDownLimit,
}

impl Limit {
    /// The reason as the condition gives it.
    pub fn reason(self) -> &'static str {
        match self {
            Limit::DesiredWithinRange => "DesiredWithinRange",
            Limit::TooFewReplicas => "TooFewReplicas",
            Limit::TooManyReplicas => "TooManyReplicas",
            Limit::ScaleUpLimit => "ScaleUpLimit",
            Limit::ScaleDownLimit => "ScaleDownLimit",
        }
    }
}

/// Adds to a log that forgets: over the last entry that is too old to matter, and only where there is none at its end. So the
/// log is as long as what matters, and no longer.
fn remember<T>(log: &mut Vec<T>, entry: T, is_old: impl Fn(&T) -> bool) {
    match log.iter().rposition(is_old) {
        Some(old) => log[old] = entry,
        None => log.push(entry),
    }
}
