//! How fast each vCPU is: hyper-threads share a core, frequency falls as cores wake up, quotas and credits run out.

use sim_core::Time;

use super::Slices;

impl Slices {
    /// Speeds change with who else is busy and with the supply.
    pub(super) fn retime(&mut self, now: Time) {
        if self.steady {
            return;
        }
        let busy = self.cores.iter().filter(|core| core.current.is_some()).count();
        let pace = match &self.supply {
            Some(supply) if busy > 0 => supply.allowed(now, busy as f64) / busy as f64,
            _ => 1.0,
        };
        let threads = self.processor.threads_per_core as usize;
        let whole = self
            .cores
            .chunks(threads)
            .filter(|core| core.iter().any(|thread| thread.current.is_some()))
            .count();
        // What one core does alone while so many are busy.
        let clock = self.processor.speed(whole as u32) / whole.max(1) as f64;
        for at in 0..self.cores.len() {
            let shared = if self.sibling_busy(at) { self.processor.smt_gain / 2.0 } else { 1.0 };
            let speed = clock * shared;
            if whole > 0 && (self.cores[at].speed, self.cores[at].pace) != (speed, pace) {
                self.book(at, now);
                (self.cores[at].speed, self.cores[at].pace) = (speed, pace);
                self.schedule(at, now);
            }
        }
    }

    /// True where another thread of its core is busy.
    pub(super) fn sibling_busy(&self, at: usize) -> bool {
        let threads = self.processor.threads_per_core as usize;
        let first = at / threads * threads;
        let siblings = self.cores[first..(first + threads).min(self.cores.len())].iter();
        siblings.zip(first..).any(|(core, index)| index != at && core.current.is_some())
    }
}
