//! How long instances took to serve.

use sim_core::Time;

use crate::plan::GroupId;

/// Starts that are kept; further ones are counted.
pub const MOST_STARTS: usize = 50_000;

/// The instances that were launched in a run and came to serve.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// In the order in which they came to serve.
    pub all: Vec<Start>,
    /// Those that did not fit.
    pub dropped: u64,
}

/// An instance from its launch until it served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whose it is.
    pub group: GroupId,
    /// When it was launched.
    pub launched: Time,
    /// When a balancer first sent to it, or it first asked its queue for jobs.
    pub serving: Time,
}

impl Starts {
    /// An instance serves for the first time.
    pub fn add(&mut self, start: Start) {
        if self.all.len() < MOST_STARTS {
            self.all.push(start);
        } else {
            self.dropped += 1;
        }
    }
}
