//! The fleet that would have been enough.

use serde::{Deserialize, Serialize};

/// The smallest fleets that would have kept the objectives at each moment, beside those that were there. How they are
/// found, and where that ends, is said in [`crate::oracle`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Oracle {
    /// By group that an objective is about, in the scenario's order.
    pub groups: Vec<OracleGroup>,
    /// What they would have cost; `None` without prices.
    pub cost: Option<f64>,
    /// What the groups' instances cost at the same prices: those of the list and of the pools, without commitments.
    pub paid: Option<f64>,
}

impl Oracle {
    /// What was paid beyond the oracle's cost. Below zero where too little was there.
    pub fn regret(&self) -> Option<f64> {
        Some(self.paid? - self.cost?)
    }
}

/// The smallest fleet of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OracleGroup {
    /// The group's name.
    pub group: String,
    /// Client requests per second that one instance of its first machine carries within the objectives.
    pub carries: f64,
    /// The objective that limits it.
    pub limited_by: String,
    /// Instance-hours of the oracle, in instances of the first machine.
    pub instance_hours: f64,
    /// Instance-hours that were in service beyond the oracle's, in the same unit.
    pub hours_above: f64,
    /// Instance-hours that were missing.
    pub hours_short: f64,
    /// Minutes with less in service than the oracle has.
    pub minutes_short: f64,
    /// Minutes in which no fleet would have been enough.
    pub minutes_out_of_reach: f64,
    /// What the oracle's fleet would have cost; `None` where the machine has no price.
    pub cost: Option<f64>,
    /// What the group's instances cost at the same prices; `None` without a price.
    pub paid: Option<f64>,
}
