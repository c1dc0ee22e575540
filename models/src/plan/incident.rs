//! What goes wrong.

use sim_core::Time;

use super::GroupId;

/// Something that goes wrong at a stated time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// Instances stop at once: what they were doing is lost, what they are sent is refused.
    Crash {
        /// Of which group.
        group: GroupId,
        /// When.
        at: Time,
        /// How many; the oldest in service go first.
        count: u32,
    },
}

impl Incident {
    /// When it happens.
    pub fn at(&self) -> Time {
        match self {
            Incident::Crash { at, .. } => *at,
        }
    }
}
