//! What became of a group's Spot instances.

use serde::{Deserialize, Serialize};

/// The Spot instances of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpotResult {
    /// Launched, those of the start included.
    pub launched: u64,
    /// Interruption notices.
    pub notices: u64,
    /// Taken back. The others that had a notice were gone before.
    pub interrupted: u64,
    /// At risk, with a replacement launched before they were gone.
    pub rebalanced: u64,
    /// Requests that were lost with them.
    pub requests_lost: u64,
    /// Their share of all instance-hours.
    pub share: f64,
    /// How much less they cost than On-Demand; `None` without prices.
    pub saved: Option<f64>,
}
