//! Pods as the controller sees them: which of them count for a metric, and what they asked for.

use std::collections::{BTreeMap, BTreeSet};

use sim_core::{Span, Time};

use super::calculator::{MetricError, Readiness};

/// What a pod asks for, and metrics-server measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// CPU, in thousandths of a core.
    Cpu,
    /// Memory, in thousandths of a byte.
    Memory,
}

impl Resource {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
        }
    }
}

/// A pod's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not on a node, or its images are not there.
    Pending,
    /// On a node, and started.
    Running,
    /// Its containers ended well.
    Succeeded,
    /// One of its containers ended badly.
    Failed,
}

/// A pod's `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it is ready.
    pub ready: bool,
    /// Since when.
    pub since: Time,
}

/// What a container, or a whole pod, asks for, in thousandths; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Thousandths of a core.
    pub cpu: Option<i64>,
    /// Thousandths of a byte.
    pub memory: Option<i64>,
}

impl Requests {
    /// The request for one resource.
    pub fn of(self, resource: Resource) -> Option<i64> {
        match resource {
            Resource::Cpu => self.cpu,
            Resource::Memory => self.memory,
        }
    }
}

/// A container of a pod. Init containers that are restarted (sidecars) stand beside the others; those that run and end do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, which no other of its pod has.
    pub name: String,
    /// What it asks for.
    pub requests: Requests,
}

/// A pod that the controller found by its selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// Its `Ready` condition, once it has one.
    pub ready: Option<Condition>,
    /// When it was started.
    pub started: Option<Time>,
    /// It is being deleted.
    pub deleted: bool,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Requests of the pod as a whole, which stand for the sum of its containers' where a cluster has them enabled.
    pub pod_level: Option<Requests>,
}

impl Pod {
    fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Running, and ready.
    pub fn serves(&self) -> bool {
        self.phase == Phase::Running && self.ready.is_some_and(|condition| condition.ready)
    }
}

/// What metrics-server says of a pod, by container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMetrics {
    /// Whose.
    pub pod: String,
    /// When its window ended.
    pub at: Time,
    /// Over how long.
    pub window: Span,
    /// Containers and their usage in thousandths; `None` where the resource was not measured.
    pub containers: Vec<(String, Option<i64>)>,
}

/// A value of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In thousandths.
    pub value: i64,
    /// When its window ended.
    pub at: Time,
    /// Over how long.
    pub window: Span,
}

/// Values by pod. Names that belong to no pod may be among them.
pub type Samples = BTreeMap<String, Sample>;

/// The samples of one resource: a pod's containers together, or one of them. A pod of which a part was not measured has no
/// sample.
pub fn samples(
    metrics: &[PodMetrics],
    resource: Resource,
    container: Option<&str>,
) -> Result<Samples, MetricError> {
    if metrics.is_empty() {
        return Err(MetricError::NoResourceMetrics(resource));
    }
    let value = |pod: &PodMetrics| match container {
        Some(name) => pod.containers.iter().find(|(container, _)| container == name)?.1,
        None => pod.containers.iter().try_fold(0i64, |sum, (_, usage)| Some(sum.saturating_add((*usage)?))),
    };
    let of = |pod: &PodMetrics| {
        let value = value(pod)?;
        Some((pod.pod.clone(), Sample { value, at: pod.at, window: pod.window }))
    };
    Ok(metrics.iter().filter_map(of).collect())
}

/// Which pods count for a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// How many count.
    pub ready: u32,
    /// Too young to be believed, or not on a node.
    pub unready: BTreeSet<String>,
    /// Running, and not measured.
    pub missing: BTreeSet<String>,
    /// Ended, or being deleted.
    pub ignored: BTreeSet<String>,
}

/// Sorts pods, in the controller's order: what has ended is ignored, what has no node is unready, what has no sample is missing;
/// and of CPU, which start-up inflates, the sample of a pod that only starts is not believed. `resource` is `None` for a
/// metric of one's own.
pub fn group(
    pods: &[Pod],
    samples: &Samples,
    resource: Option<Resource>,
    readiness: Readiness,
    now: Time,
) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        let name = || pod.name.clone();
        if pod.deleted || pod.is_terminal() {
            groups.ignored.insert(name());
        } else if pod.phase == Phase::Pending {
            groups.unready.insert(name());
        } else {
            match samples.get(&pod.name) {
                None => {
                    groups.missing.insert(name());
                }
                Some(sample) if resource == Some(Resource::Cpu) && starts(pod, sample, readiness, now) => {
                    groups.unready.insert(name());
                }
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

/// True where the CPU of a pod says more of its start than of its work.
fn starts(pod: &Pod, sample: &Sample, readiness: Readiness, now: Time) -> bool {
    let (Some(condition), Some(started)) = (pod.ready, pod.started) else { return true };
    if started + readiness.cpu_initialization_period > now {
        // A whole window has to lie behind its last change of readiness.
        !condition.ready || sample.at < condition.since + sample.window
    } else {
        // One that was ready and is not any more counts; one that never was does not.
        !condition.ready && started + readiness.initial_readiness_delay > condition.since
    }
}

/// What pods ask for, in thousandths: one of their containers, or all; and the pod's own where `pod_level` requests are
/// enabled and it has them. One container without a request is an error for all pods.
pub fn requests(
    pods: &[Pod],
    resource: Resource,
    container: Option<&str>,
    pod_level: bool,
) -> Result<BTreeMap<String, i64>, MetricError> {
    let of = |pod: &Pod| {
        let own = pod.pod_level.filter(|_| pod_level && container.is_none());
        let request = match own {
            Some(own) => own
                .of(resource)
                .ok_or_else(|| MetricError::NoPodLevelRequest { resource, pod: pod.name.clone() })?,
            None => of_containers(pod, resource, container)?,
        };
        Ok((pod.name.clone(), request))
    };
    pods.iter().map(of).collect()
}

fn of_containers(pod: &Pod, resource: Resource, container: Option<&str>) -> Result<i64, MetricError> {
    let mut chosen =
        pod.containers.iter().filter(|own| container.is_none_or(|name| own.name == name)).peekable();
    if let Some(container) = container.filter(|_| chosen.peek().is_none()) {
        let container = container.to_string();
        return Err(MetricError::NoContainer { container, pod: pod.name.clone() });
    }
    let mut sum = 0i64;
    for own in chosen {
        let request = own.requests.of(resource).ok_or_else(|| MetricError::NoRequest {
            resource,
            container: own.name.clone(),
            pod: pod.name.clone(),
        })?;
        sum = sum.saturating_add(request);
    }
    Ok(sum)
}
