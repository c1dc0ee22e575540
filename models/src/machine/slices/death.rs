//! Threads that end before their work is done, because their process dies.

use sim_core::Time;

use super::Slices;

impl Slices {
    /// Ends the bursts of these tasks, which stand in order. Returns when to look next.
    pub fn end_all(&mut self, now: Time, tasks: &[u32]) -> Option<Time> {
        self.advance(now);
        let mut ended = Vec::new();
        for at in 0..self.cores.len() {
            self.book(at, now);
            let bursts = &self.tasks;
            let dies = |task: u32| tasks.binary_search(&bursts[task as usize].burst.task).is_ok();
            let core = &mut self.cores[at];
            core.queue.retain(|task| {
                let dies = dies(task);
                ended.extend(dies.then_some(task));
                !dies
            });
            if let Some(task) = core.current.filter(|&task| dies(task)) {
                ended.push(task);
                core.current = None;
            }
        }
        self.free.append(&mut ended);
        // All queues are swept before a vCPU looks round for work.
        for at in 0..self.cores.len() {
            let core = &self.cores[at];
            if core.current.is_some() || core.ended.is_some() {
                self.schedule(at, now);
            } else {
                self.put_next(at, now);
            }
        }
        self.next(now)
    }
}
