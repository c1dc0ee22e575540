//! The run queue of one vCPU: who waits, and who is next.
//!
//! EEVDF (Stoica and Abdel-Wahab 1995; Linux commit 147f3efaa241): of those whose virtual runtime is not ahead of the
//! weighted average, the one with the earliest virtual deadline. CFS: the one with the smallest virtual runtime.

use std::collections::VecDeque;

use crate::machine::Policy;

/// A thread's place in virtual time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Virtual {
    /// Virtual runtime: nanoseconds on the vCPU over the thread's weight.
    pub runtime: f64,
    /// The virtual runtime at which its slice is over.
    pub deadline: f64,
    /// Its weight.
    pub weight: f64,
}

/// A thread that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    key: f64,
    place: Virtual,
    task: u32,
    pinned: bool,
}

/// Threads that wait for one vCPU, in the order of their keys; equal keys are first come, first served.
#[derive(Clone, Debug)]
pub struct RunQueue {
    policy: Policy,
    /// Who is next stands near the front, who comes belongs near the back: both ends are cheap.
    waiting: VecDeque<Waiting>,
    /// Sums over those that wait: weights, and weights times virtual runtimes.
    weights: f64,
    runtimes: f64,
    /// Where virtual time stood last: for those who come to an empty queue.
    floor: f64,
}

impl RunQueue {
    /// An empty queue.
    pub fn new(policy: Policy) -> Self {
        RunQueue { policy, waiting: VecDeque::new(), weights: 0.0, runtimes: 0.0, floor: 0.0 }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True where nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The weighted average of virtual runtimes, of those that wait and of the one that runs.
    pub fn average(&self, running: Option<&Virtual>) -> f64 {
        let (weights, runtimes) =
            running.map_or((0.0, 0.0), |place| (place.weight, place.weight * place.runtime));
        let weights = weights + self.weights;
        if weights > 0.0 { (self.runtimes + runtimes) / weights } else { self.floor }
    }

    /// Where a thread that wakes up begins. EEVDF: on the average, which is neither owed nor owing. CFS: half a latency
    /// before the smallest, which is the credit of sleepers.
    pub fn place(&self, weight: f64, slice: f64, latency: f64, running: Option<&Virtual>) -> Virtual {
        let runtime = match self.policy {
            Policy::Eevdf => self.average(running),
            Policy::Cfs => self.smallest(running) - latency / 2.0,
        };
        Virtual { runtime, deadline: runtime + slice / weight, weight }
    }

    fn smallest(&self, running: Option<&Virtual>) -> f64 {
        let first = self.waiting.front().map(|waiting| waiting.place.runtime);
        let smallest = match (first, running.map(|place| place.runtime)) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(self.floor),
        };
        smallest.max(self.floor)
    }

    /// Adds a thread.
    pub fn push(&mut self, task: u32, place: Virtual, pinned: bool) {
        let key = match self.policy {
            Policy::Eevdf => place.deadline,
            Policy::Cfs => place.runtime,
        };
        let at = self.waiting.partition_point(|other| other.key <= key);
        self.waiting.insert(at, Waiting { key, place, task, pinned });
        self.weights += place.weight;
        self.runtimes += place.weight * place.runtime;
    }

    /// Takes the next one. `running` is a thread that does not wait but counts in the average.
    pub fn pop(&mut self, running: Option<&Virtual>) -> Option<(u32, Virtual)> {
        let at = match self.policy {
            Policy::Cfs => 0,
            Policy::Eevdf => {
                let average = self.average(running) + 1e-6;
                self.waiting.iter().position(|waiting| waiting.place.runtime <= average).unwrap_or(0)
            }
        };
        self.take(at)
    }

    /// Takes one that may run on another vCPU, the last in line.
    pub fn steal(&mut self) -> Option<(u32, Virtual)> {
        let at = self.waiting.iter().rposition(|waiting| !waiting.pinned)?;
        self.take(at)
    }

    /// True where someone waits who may run on another vCPU.
    pub fn can_be_stolen_from(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.pinned)
    }

    /// The key of the first: its deadline, or its virtual runtime.
    pub fn first_key(&self) -> f64 {
        self.waiting.front().map_or(f64::INFINITY, |waiting| waiting.key)
    }

    fn take(&mut self, at: usize) -> Option<(u32, Virtual)> {
        let Waiting { place, task, .. } = self.waiting.remove(at)?;
        if self.waiting.is_empty() {
            (self.weights, self.runtimes) = (0.0, 0.0); // rounding does not pile up
            self.floor = self.floor.max(place.runtime);
        } else {
            self.weights -= place.weight;
            self.runtimes -= place.weight * place.runtime;
        }
        Some((task, place))
    }

    /// Takes out those that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        self.waiting.retain(|waiting| keep(waiting.task));
        self.weights = self.waiting.iter().map(|waiting| waiting.place.weight).sum();
        self.runtimes = self.waiting.iter().map(|waiting| waiting.place.weight * waiting.place.runtime).sum();
    }

    /// Virtual time has come this far.
    pub fn raise_floor(&mut self, runtime: f64) {
        self.floor = self.floor.max(runtime);
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        *self = RunQueue::new(self.policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(runtime: f64, deadline: f64) -> Virtual {
        Virtual { runtime, deadline, weight: 1.0 }
    }

    /// The example of the EEVDF paper's idea: an earlier deadline does not help who is ahead of the others.
    #[test]
    fn the_earliest_deadline_of_those_who_are_not_ahead_goes_first() {
        let mut queue = RunQueue::new(Policy::Eevdf);
        queue.push(1, place(5.0, 6.0), false);
        queue.push(2, place(1.0, 9.0), false);
        queue.push(3, place(2.0, 8.0), false);
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop(None)).map(|(task, _)| task).collect();
        assert_eq!(order, [3, 2, 1]);
    }

    #[test]
    fn the_smallest_runtime_goes_first_under_cfs() {
        let mut queue = RunQueue::new(Policy::Cfs);
        for (task, runtime) in [(1, 5.0), (2, 1.0), (3, 2.0), (4, 1.0)] {
            queue.push(task, place(runtime, 0.0), false);
        }
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop(None)).map(|(task, _)| task).collect();
        assert_eq!(order, [2, 4, 3, 1]);
    }

    #[test]
    fn pinned_threads_are_not_stolen() {
        let mut queue = RunQueue::new(Policy::Eevdf);
        queue.push(1, place(0.0, 1.0), false);
        queue.push(2, place(0.0, 2.0), true);
        assert!(queue.can_be_stolen_from());
        assert_eq!(queue.steal().map(|(task, _)| task), Some(1));
        assert_eq!(queue.steal(), None);
    }
}
