//! Pods and the nodes they run on, and what scales both.

use sim_core::Span;
use sim_core::dist::Dist;

use super::{Machine, NodePoolId};
use crate::kubernetes::{Resources, Scheduling};
use crate::scaling::{hpa, keda};

/// Nodes of one machine type.
#[derive(Clone, Debug)]
pub struct NodePool {
    /// Its name in the scenario.
    pub name: String,
    /// What its nodes are.
    pub machine: Machine,
    /// Availability Zones, at least one; a new node goes to the one with the fewest.
    pub zones: Vec<String>,
    /// The fewest nodes that an autoscaler leaves.
    pub min: u32,
    /// The most nodes that it adds.
    pub max: u32,
    /// What of each node pods cannot ask for: the system's, and that of pods which run on every node.
    pub reserved: Resources,
    /// From asking for a node until it runs, from when it is billed; nanoseconds.
    pub provision: Dist,
    /// From running until it is ready for pods; nanoseconds.
    pub boot: Dist,
    /// Who adds and removes nodes.
    pub autoscaler: Autoscaler,
}

impl NodePool {
    /// What the pods of a node may ask for in all.
    pub fn allocatable(&self) -> Resources {
        let whole = Resources {
            cpu: u64::from(self.machine.processor.vcpus) * 1000,
            memory: (self.machine.memory_gib * f64::from(1 << 30)).round() as u64,
        };
        whole - self.reserved
    }
}

/// Who adds and removes nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Autoscaler {
    /// Nobody: there are as many as at the start.
    None,
    /// Cluster Autoscaler, in a loop.
    ClusterAutoscaler(ClusterAutoscaler),
    /// Karpenter, which waits for pods.
    Karpenter(Karpenter),
}

/// The flags of Cluster Autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterAutoscaler {
    /// `--scan-interval`.
    pub scan_interval: Span,
    /// `--scale-down-unneeded-time`: a node goes that was not needed for so long.
    pub scale_down_unneeded_time: Span,
    /// `--scale-down-delay-after-add`: no node goes for so long after one was added.
    pub scale_down_delay_after_add: Span,
    /// `--scale-down-utilization-threshold`: a node above it is needed; 0 to 1.
    pub scale_down_utilization_threshold: f64,
}

/// The settings of Karpenter and its node pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Karpenter {
    /// Nodes are asked for once no pod has come for so long,
    pub batch_idle_duration: Span,
    /// or so long after the first.
    pub batch_max_duration: Span,
    /// A node may go once its pods have not changed for so long; `None` leaves all nodes.
    pub consolidate_after: Option<Span>,
    /// The share of nodes that may be on their way out at once; 0 to 1, rounded up to a node.
    pub budget: f64,
}

/// A group's instances are pods.
#[derive(Clone, Debug)]
pub struct Pods {
    /// The nodes they run on.
    pub nodes: NodePoolId,
    /// What each asks for; what it does not say is nothing to the scheduler.
    pub requests: Requests,
    /// Its images are on their way for so long where no pod of the group was before; nanoseconds.
    pub image_pull: Dist,
    /// How its node is chosen.
    pub scheduling: Scheduling,
    /// How many requests wait while there is no pod; `None` where they fail.
    pub activator: Option<u32>,
}

/// What a pod asks for, as far as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Thousandths of a vCPU.
    pub cpu: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
}

impl Requests {
    /// What a node has to have left.
    pub fn resources(self) -> Resources {
        Resources { cpu: self.cpu.unwrap_or(0), memory: self.memory.unwrap_or(0) }
    }
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug)]
pub struct PodAutoscaler {
    /// What it does.
    pub hpa: hpa::Hpa,
    /// What its metrics are in this world, one each.
    pub reads: Vec<Reading>,
    /// How often it is looked at.
    pub sync_period: Span,
}

/// A ScaledObject of KEDA, and the HPA that it makes.
#[derive(Clone, Debug)]
pub struct ScaledObject {
    /// Between none and some.
    pub keda: keda::Keda,
    /// Among some.
    pub autoscaler: PodAutoscaler,
}

/// What a metric is in this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// CPU time of each pod.
    Cpu,
    /// Memory of each pod: its processes', its requests', its sessions'.
    Memory,
    /// Requests a second that a pod got.
    RequestsPerPod,
    /// Requests a second at the group's balancers, answered or not.
    Requests,
    /// Requests that wait, and where `in_flight` those in progress; of a group of workers the messages of their queue, or the lag
    /// of their consumer group.
    Backlog {
        /// Requests in progress count, or messages in flight.
        in_flight: bool,
    },
}
