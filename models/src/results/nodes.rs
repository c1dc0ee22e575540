//! What became of the nodes that pods ran on.

use serde::{Deserialize, Serialize};

/// A pool of nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodesResult {
    /// Its name.
    pub name: String,
    /// The machine type.
    pub machine: String,
    /// The time average of nodes that take pods.
    pub ready_mean: f64,
    /// The largest number of them.
    pub ready_max: u32,
    /// Nodes added after the start.
    pub launched: u64,
    /// Nodes removed.
    pub terminated: u64,
    /// Pods that had to move because their node was removed.
    pub evicted: u64,
    /// What pods asked for of what those nodes have, in percent: the larger of CPU and memory, over time and nodes.
    pub asked: f64,
    /// Node hours, from running until gone: what is billed.
    pub node_hours: f64,
}
