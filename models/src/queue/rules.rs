//! What a plan says of a queue whatever its kind.

use sim_core::{Span, Time};

use super::entries::RECEIVES_COUNTED;
use super::{Counts, Full};
use crate::plan::{self, WhenFull};

/// The rules that all kinds have in common.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The most messages that it holds.
    capacity: Option<u64>,
    /// What it does then.
    pub when_full: WhenFull,
    max_receives: Option<u32>,
    retention: Option<Span>,
    /// How long a new message cannot be received.
    pub delay: Span,
    /// Dead letters have a queue of their own.
    pub dead_letter: bool,
}

impl Rules {
    /// Those of a plan.
    pub fn new(plan: &plan::Queue) -> Rules {
        Rules {
            capacity: plan.capacity,
            when_full: plan.when_full,
            max_receives: plan.max_receives,
            retention: plan.retention,
            delay: plan.delay,
            dead_letter: plan.dead_letter.is_some(),
        }
    }

    /// True where `held` messages are all that it holds.
    #[inline]
    pub fn is_full(&self, held: usize) -> bool {
        self.capacity.is_some_and(|capacity| held as u64 >= capacity)
    }

    /// Which message a full queue drops for a new one: the `oldest` that nobody has received, where it drops any. Who refuses
    /// counts that; senders that wait do not try.
    pub fn make_room(&self, oldest: Option<u32>, counts: &mut Counts) -> Result<u32, Full> {
        match (self.when_full, oldest) {
            (WhenFull::Block, _) => Err(Full),
            (WhenFull::DropOldest, Some(place)) => Ok(place),
            _ => {
                counts.refused += 1;
                Err(Full)
            }
        }
    }

    /// True for a message that was received, or tried, too often to be once more.
    #[inline]
    pub fn is_spent(&self, receives: u32) -> bool {
        self.max_receives.is_some_and(|max| receives >= max.min(u32::from(RECEIVES_COUNTED)))
    }

    /// When a message expires that was first sent then.
    #[inline]
    pub fn expires(&self, sent: Time) -> Time {
        self.retention.map_or(Time::NEVER, |retention| sent + retention)
    }
}
