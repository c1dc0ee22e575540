//! What a vCPU and a burst are to run queues.

use sim_core::Time;

use super::counts::Counts;
use super::queue::{RunQueue, Virtual};
use crate::machine::{Burst, Kernel};

/// The kernel's costs in nanoseconds, as they are added up at every switch.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// To another thread.
    pub switch: f64,
    /// With cold caches.
    pub refill: f64,
    /// From another vCPU.
    pub migration: f64,
    /// From idling.
    pub wakeup: f64,
}

impl Costs {
    /// Those of a kernel.
    pub fn of(kernel: &Kernel) -> Costs {
        let [switch, refill, migration, wakeup] =
            [kernel.switch, kernel.refill, kernel.migration, kernel.wakeup]
                .map(|cost| cost.as_nanos() as f64);
        Costs { switch, refill, migration, wakeup }
    }
}

/// A vCPU.
#[derive(Clone, Debug)]
pub struct Core {
    /// Who waits for it.
    pub queue: RunQueue,
    /// The burst that runs.
    pub current: Option<u32>,
    /// The thread that ran last, whose caches are warm.
    pub last_thread: u32,
    /// For whom the thread that ran last is counted.
    pub party: u32,
    /// What was counted of it.
    pub counts: Counts,
    /// The place in virtual time of who ended at this instant: its thread may go on.
    pub ended: Option<Virtual>,
    /// Until when the current burst's progress is booked.
    pub booked: Time,
    /// Nanoseconds that it has run since it was put on.
    pub ran: f64,
    /// Nanoseconds that come before its work.
    pub cost: f64,
    /// The first of these, in which the vCPU comes out of idling; the rest is switching.
    pub waking: f64,
    /// The share of time that the vCPU may run.
    pub pace: f64,
    /// What it does then, of what it does alone.
    pub speed: f64,
    /// When its burst is done or its slice is over.
    pub next: Time,
}

impl Core {
    /// True while nobody runs on it, and nobody who ended may go on.
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.ended.is_none()
    }
}

/// A burst that is not done.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// What was asked for.
    pub burst: Burst,
    /// For whom it is counted.
    pub party: u32,
    /// Nanoseconds of work left.
    pub left: f64,
    /// Its thread's place in virtual time.
    pub place: Virtual,
    /// Since when it waits.
    pub since: Time,
}
