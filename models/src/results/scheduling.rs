//! What run queues counted.

use serde::{Deserialize, Serialize};

/// What the operating system's scheduler did, over the whole run and all instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduling {
    /// All of it.
    #[serde(flatten)]
    pub all: SchedulingCounts,
    /// By vCPU, from `vCPU 0` on; over all instances, as everything here. Waiting and migrations count for the vCPU that a
    /// thread came to. Their sum is all of it.
    pub vcpus: Vec<SchedulingPart>,
    /// By process: the `primary` where one accepts for the others, `worker 0` and so on, and all programs beside the service
    /// as one, `background`. Their sum is all of it, too.
    pub processes: Vec<SchedulingPart>,
}

/// What was counted of one vCPU or one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulingPart {
    /// Such as `vCPU 0`, `worker 3` or `background`.
    pub name: String,
    /// What was counted.
    #[serde(flatten)]
    pub counts: SchedulingCounts,
}

/// What a scheduler counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulingCounts {
    /// Context switches because a thread had nothing left to do.
    pub voluntary_switches: u64,
    /// Context switches because a slice was over or another thread went first.
    pub involuntary_switches: u64,
    /// Threads that went on at another vCPU.
    pub migrations: u64,
    /// Seconds that runnable threads waited for a vCPU.
    pub run_queue_wait: f64,
    /// vCPU seconds that went into switching and moving.
    pub switching: f64,
    /// Work done, in seconds of an otherwise idle vCPU.
    pub work: f64,
}
