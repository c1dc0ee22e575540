//! What one metric proposes: the controller's replica calculator, with its truncations and its guards.

use std::collections::BTreeMap;

use sim_core::{Span, Time};
use thiserror::Error;

use super::pods::{Groups, Pod, Resource, Sample, Samples, group, requests};

/// How far a ratio may be from 1 without anything being done; below and above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Below 1.
    pub down: f64,
    /// Above 1.
    pub up: f64,
}

impl Tolerance {
    /// The same on both sides.
    pub fn both(tolerance: f64) -> Self {
        Tolerance { down: tolerance, up: tolerance }
    }

    /// True within it, its ends included; false for a ratio that is no number.
    pub fn holds(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// When a pod's CPU is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Since its start: only with a whole window in readiness.
    pub cpu_initialization_period: Span,
    /// A pod that became unready within this has never been ready.
    pub initial_readiness_delay: Span,
}

/// What every metric is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The pods of the target.
    pub pods: &'a [Pod],
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.replicas`.
    pub status_replicas: i32,
    /// See [`Tolerance`].
    pub tolerance: Tolerance,
    /// See [`Readiness`].
    pub readiness: Readiness,
    /// Requests of pods as a whole count (`PodLevelResources`).
    pub pod_level_requests: bool,
    /// The clock.
    pub now: Time,
}

/// A number of replicas, and from what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// How many.
    pub replicas: i32,
    /// The metric against its target, before pods without a sample were thought of; no number where nobody is there to divide by.
    pub ratio: f64,
    /// Percent of the request, or thousandths of the metric's unit.
    pub usage: i64,
    /// The mean usage by pod, in thousandths.
    pub raw: i64,
}

/// Why a metric proposes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetricError {
    /// metrics-server has nothing of any pod.
    #[error(
        "unable to get metrics for resource {}: no metrics returned from resource metrics API",
        .0.name()
    )]
    NoResourceMetrics(Resource),
    /// Nobody answers for the metric.
    #[error("unable to get metric {0}")]
    Unavailable(String),
    /// No pod at all.
    #[error("no pods returned by selector while calculating replica count")]
    NoPods,
    /// All samples are of pods that do not count.
    #[error("did not receive metrics for targeted pods (pods might be unready)")]
    NoSamples,
    /// All samples are of other pods.
    #[error("no metrics returned matched known pods")]
    NoneMatched,
    /// A share of nothing cannot be taken.
    #[error("missing request for {} in container {container} of Pod {pod}", .resource.name())]
    NoRequest {
        /// For what.
        resource: Resource,
        /// The container.
        container: String,
        /// Its pod.
        pod: String,
    },
    /// The pod has requests of its own, and none of this resource.
    #[error("missing pod-level request for {} in Pod {pod}", .resource.name())]
    NoPodLevelRequest {
        /// For what.
        resource: Resource,
        /// The pod.
        pod: String,
    },
    /// No container is called so.
    #[error("container {container} not found in Pod {pod}")]
    NoContainer {
        /// The name.
        container: String,
        /// The pod.
        pod: String,
    },
    /// The controller does not know this type of metric; the API server would have refused it.
    #[error("unknown metric source type")]
    UnknownSource,
    /// This type of metric has no such target; the API server would have refused it.
    #[error("the metric has a target that its type does not have")]
    NoTarget,
}

/// Utilisation in percent of what the pods asked for.
pub fn utilization(
    of: &Circumstances<'_>,
    resource: Resource,
    container: Option<&str>,
    samples: Samples,
    target: i32,
) -> Result<Proposal, MetricError> {
    let (groups, mut samples) = sorted(of, samples, Some(resource))?;
    let requests = requests(of.pods, resource, container, of.pod_level_requests)?;
    let (ratio, percent, raw) = utilization_ratio(&samples, &requests, target)?;
    let propose = |replicas| Proposal { replicas, ratio, usage: percent, raw };
    if !groups.needs_filling(ratio) {
        return Ok(propose(of.by_ready(ratio, groups.ready)));
    }
    // On the way down a pod nobody measured may be at its request, or where more than that is aimed at, at the target.
    let assumed = i64::from(target.max(100));
    let full = |pod: &str| {
        let request = requests.get(pod).copied().unwrap_or(0);
        i64::try_from(i128::from(request) * i128::from(assumed) / 100).unwrap_or(i64::MAX)
    };
    groups.fill(&mut samples, ratio, full, of.now);
    let (refilled, ..) = utilization_ratio(&samples, &requests, target)?;
    Ok(propose(of.by_samples(ratio, refilled, samples.len())))
}

/// A mean by pod, in thousandths. `resource` is `None` for a metric of one's own, for which readiness does not matter.
pub fn average(
    of: &Circumstances<'_>,
    resource: Option<Resource>,
    samples: Samples,
    target: i64,
) -> Result<Proposal, MetricError> {
    let (groups, mut samples) = sorted(of, samples, resource)?;
    let (ratio, usage) = average_ratio(&samples, target);
    let propose = |replicas| Proposal { replicas, ratio, usage, raw: usage };
    if !groups.needs_filling(ratio) {
        return Ok(propose(of.by_ready(ratio, groups.ready)));
    }
    groups.fill(&mut samples, ratio, |_| target, of.now);
    let (refilled, _) = average_ratio(&samples, target);
    Ok(propose(of.by_samples(ratio, refilled, samples.len())))
}

/// A value of something else than the pods, against a value; in thousandths, several are added.
pub fn value(of: &Circumstances<'_>, values: &[i64], target: i64) -> Result<Proposal, MetricError> {
    let usage = sum(values);
    let ratio = usage as f64 / target as f64;
    let replicas = if of.replicas == 0 {
        // Nobody is there to be multiplied, and from nothing every change is large enough.
        ceil(ratio)
    } else if of.tolerance.holds(ratio) {
        of.replicas
    } else if of.pods.is_empty() {
        return Err(MetricError::NoPods);
    } else {
        ceil(ratio * of.pods.iter().filter(|pod| pod.serves()).count() as f64)
    };
    Ok(Proposal { replicas, ratio, usage, raw: usage })
}

/// A value of something else than the pods, divided among them; in thousandths, several are added.
pub fn value_by_pod(of: &Circumstances<'_>, values: &[i64], target: i64) -> Proposal {
    let total = sum(values);
    let ratio = total as f64 / (target as f64 * f64::from(of.status_replicas));
    let replicas =
        if of.tolerance.holds(ratio) { of.status_replicas } else { ceil(total as f64 / target as f64) };
    let usage = per_pod_usage(total, of.status_replicas);
    Proposal { replicas, ratio, usage, raw: usage }
}

/// What of a total falls to each pod, in thousandths; nothing where there is none.
pub fn per_pod_usage(total: i64, replicas: i32) -> i64 {
    if total as f64 >= i64::MAX as f64 {
        return i64::MAX;
    }
    if replicas == 0 { 0 } else { (total as f64 / f64::from(replicas)).ceil() as i64 }
}

/// Sorts the pods, and leaves the samples of those that count.
fn sorted(
    of: &Circumstances<'_>,
    mut samples: Samples,
    resource: Option<Resource>,
) -> Result<(Groups, Samples), MetricError> {
    if of.pods.is_empty() {
        return Err(MetricError::NoPods);
    }
    let groups = group(of.pods, &samples, resource, of.readiness, of.now);
    samples.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
    if samples.is_empty() { Err(MetricError::NoSamples) } else { Ok((groups, samples)) }
}

impl Groups {
    /// Unready pods matter on the way up, missing ones always.
    fn needs_filling(&self, ratio: f64) -> bool {
        !self.missing.is_empty() || self.grows_with_unready(ratio)
    }

    fn grows_with_unready(&self, ratio: f64) -> bool {
        !self.unready.is_empty() && ratio > 1.0
    }

    /// Gives pods that have no sample one that speaks against the change: `full` on the way down, nothing on the way up.
    fn fill(&self, samples: &mut Samples, ratio: f64, full: impl Fn(&str) -> i64, now: Time) {
        let sample = |value| Sample { value, at: now, window: Span::ZERO };
        if ratio < 1.0 {
            samples.extend(self.missing.iter().map(|pod| (pod.clone(), sample(full(pod)))));
        } else if ratio > 1.0 {
            samples.extend(self.missing.iter().map(|pod| (pod.clone(), sample(0))));
        }
        if self.grows_with_unready(ratio) {
            samples.extend(self.unready.iter().map(|pod| (pod.clone(), sample(0))));
        }
    }
}

impl Circumstances<'_> {
    /// All pods have a sample: the ratio times those that count, which need not be as many as there are replicas.
    fn by_ready(&self, ratio: f64, ready: u32) -> i32 {
        if self.tolerance.holds(ratio) { self.replicas } else { ceil(ratio * f64::from(ready)) }
    }

    /// Samples were filled in. What they turn round, or what their number turns round, is not done.
    fn by_samples(&self, before: f64, ratio: f64, samples: usize) -> i32 {
        let turned = (before < 1.0 && ratio > 1.0) || (before > 1.0 && ratio < 1.0);
        if self.tolerance.holds(ratio) || turned {
            return self.replicas;
        }
        let replicas = ceil(ratio * samples as f64);
        let turned = (ratio < 1.0 && replicas > self.replicas) || (ratio > 1.0 && replicas < self.replicas);
        if turned { self.replicas } else { replicas }
    }
}

/// The ratio to the target, the utilisation in whole percent (cut off, not rounded), and the mean usage. Samples without a
/// request are of pods that are not ours.
fn utilization_ratio(
    samples: &Samples,
    requests: &BTreeMap<String, i64>,
    target: i32,
) -> Result<(f64, i64, i64), MetricError> {
    let (mut usage, mut requested, mut entries) = (0i128, 0i128, 0i128);
    for (pod, sample) in samples {
        if let Some(&request) = requests.get(pod) {
            usage += i128::from(sample.value);
            requested += i128::from(request);
            entries += 1;
        }
    }
    if requested == 0 {
        return Err(MetricError::NoneMatched);
    }
    let percent = (usage * 100 / requested).clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32;
    let ratio = f64::from(percent) / f64::from(target);
    Ok((ratio, i64::from(percent), (usage / entries) as i64))
}

/// The ratio to the target, and the mean in whole thousandths (cut off, not rounded).
fn average_ratio(samples: &Samples, target: i64) -> (f64, i64) {
    let total: i128 = samples.values().map(|sample| i128::from(sample.value)).sum();
    let usage = (total / samples.len().max(1) as i128) as i64;
    (usage as f64 / target as f64, usage)
}

/// A sum that stops at the largest number.
fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0i64, |sum, &value| sum.saturating_add(value))
}

/// Up to a whole number of replicas. The cast saturates, and nothing comes of what is no number.
fn ceil(replicas: f64) -> i32 {
    replicas.ceil() as i32
}
