//! How versions of launch templates fared, beside each other.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// What instances of one version of a group did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionResult {
    /// The group.
    pub group: String,
    /// The version.
    pub version: String,
    /// Instances made from it, those of the start included.
    pub launched: u64,
    /// Attempts that its instances were done with, answered or not.
    pub requests: u64,
    /// Those of them that got no good answer.
    pub errors: u64,
    /// How long the others took, from when they were sent to it.
    pub response_time: Distribution,
}
