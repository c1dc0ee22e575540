//! What goes wrong.

use sim_core::{Span, Time};

use super::{BalancerId, GroupId};

/// Something that goes wrong at a stated time.
#[derive(Clone, Debug, PartialEq)]
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
    /// The way to a balancer takes longer.
    NetworkLatency {
        /// To which.
        to: BalancerId,
        /// From when.
        at: Time,
        /// For how long.
        lasts: Span,
        /// How much longer, each way.
        add: Span,
    },
    /// Packets on the way to a balancer are lost.
    PacketLoss {
        /// To which.
        to: BalancerId,
        /// From when.
        at: Time,
        /// For how long.
        lasts: Span,
        /// The chance of each packet, above 0 and at most 1.
        share: f64,
    },
}

impl Incident {
    /// When it happens.
    pub fn at(&self) -> Time {
        match self {
            Incident::Crash { at, .. }
            | Incident::NetworkLatency { at, .. }
            | Incident::PacketLoss { at, .. } => *at,
        }
    }
}
