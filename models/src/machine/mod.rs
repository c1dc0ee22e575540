//! A machine: cores that share their time fairly among runnable tasks.
//!
//! Egalitarian processor sharing in virtual time. With `n` runnable tasks on `c` cores each task runs at rate
//! `min(1, c/n)`; virtual time advances at that rate, so a task that needs `d` finishes at virtual time
//! `now + d` however the rate changes, and only the earliest of them needs an event. O(log n) for a start and
//! for a completion. Up to `c` tasks this is `c` cores with a task each; beyond, it is the limit of time
//! slices going to zero (Kleinrock 1967), whose number of tasks is that of M/M/c for any distribution of
//! demands (Cohen 1979).

use sim_core::{MinHeap, Span, Time};

/// The run queue of one machine.
#[derive(Clone, Debug)]
pub struct Machine {
    cores: f64,
    /// Tasks by the virtual time they finish at; the order of starting breaks ties.
    runnable: MinHeap<u128, u32>,
    starts: u64,
    /// Virtual nanoseconds. Set back to zero when the machine idles, so that its precision never runs out.
    virtual_now: f64,
    updated: Time,
    core_nanos: f64,
}

impl Machine {
    /// An idle machine with `cores` cores.
    pub fn new(cores: u32) -> Self {
        Machine {
            cores: f64::from(cores),
            runnable: MinHeap::new(),
            starts: 0,
            virtual_now: 0.0,
            updated: Time::ZERO,
            core_nanos: 0.0,
        }
    }

    /// How many cores it has.
    pub fn cores(&self) -> f64 {
        self.cores
    }

    /// Runnable tasks.
    pub fn runnable(&self) -> usize {
        self.runnable.len()
    }

    /// Core nanoseconds used until `now`, since the machine was made.
    pub fn core_nanos(&self, now: Time) -> f64 {
        self.core_nanos + now.since(self.updated).as_nanos() as f64 * self.busy_cores()
    }

    /// Starts a task that needs `demand` on an otherwise idle core. Returns the instant of the next completion
    /// where it has changed.
    #[inline]
    pub fn start(&mut self, now: Time, demand: Span, task: u32) -> Option<Time> {
        self.advance(now);
        let finish = self.virtual_now + demand.as_nanos() as f64;
        // Finish times are not negative, so their bits are in the same order as they are.
        let key = (u128::from(finish.to_bits()) << 64) | u128::from(self.starts);
        self.starts += 1;
        let shared = self.runnable.len() as f64 >= self.cores;
        let first = self.runnable.peek().is_none_or(|(earliest, _)| key < earliest);
        self.runnable.push(key, task);
        if shared || first { self.next_completion() } else { None }
    }

    /// Ends the task whose completion is due, and says when the next one is.
    #[inline]
    pub fn complete(&mut self, now: Time) -> Option<(u32, Option<Time>)> {
        self.advance(now);
        let (key, task) = self.runnable.pop()?;
        if self.runnable.is_empty() {
            self.virtual_now = 0.0;
            return Some((task, None));
        }
        // The event stood at the nearest nanosecond: what rounding took or gave is put right here.
        self.virtual_now = self.virtual_now.max(finish_time(key));
        Some((task, self.next_completion()))
    }

    /// Ends all tasks at once, as a crash does.
    pub fn clear(&mut self, now: Time) {
        self.advance(now);
        self.runnable.clear();
        self.virtual_now = 0.0;
    }

    #[inline]
    fn next_completion(&mut self) -> Option<Time> {
        let (key, _) = self.runnable.peek()?;
        let remaining = (finish_time(key) - self.virtual_now) / self.rate();
        Some(self.updated + Span::from_nanos_f64(remaining))
    }

    #[inline]
    fn advance(&mut self, now: Time) {
        let elapsed = now.since(self.updated).as_nanos() as f64;
        self.updated = now;
        if !self.runnable.is_empty() {
            self.core_nanos += elapsed * self.busy_cores();
            self.virtual_now += elapsed * self.rate();
        }
    }

    #[inline]
    fn busy_cores(&self) -> f64 {
        self.cores.min(self.runnable.len() as f64)
    }

    /// Virtual nanoseconds a nanosecond, for a machine that is not idle.
    #[inline]
    fn rate(&self) -> f64 {
        let tasks = self.runnable.len() as f64;
        if tasks <= self.cores { 1.0 } else { self.cores / tasks }
    }
}

#[inline]
fn finish_time(key: u128) -> f64 {
    f64::from_bits((key >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    #[test]
    fn tasks_up_to_the_cores_run_at_full_speed() {
        let mut machine = Machine::new(2);
        assert_eq!(machine.start(at(0), Span::from_millis(10), 1), Some(at(10)));
        assert_eq!(machine.start(at(0), Span::from_millis(4), 2), Some(at(4)));
        assert_eq!(machine.complete(at(4)), Some((2, Some(at(10)))));
        assert_eq!(machine.complete(at(10)), Some((1, None)));
        assert_eq!(machine.core_nanos(at(20)), 14e6);
    }

    #[test]
    fn more_tasks_than_cores_share_them() {
        let mut machine = Machine::new(1);
        machine.start(at(0), Span::from_millis(10), 1);
        // From 4 ms on two tasks run at half speed: the second is done at 4 + 2·2, the first 4 ms later.
        assert_eq!(machine.start(at(4), Span::from_millis(2), 2), Some(at(8)));
        assert_eq!(machine.complete(at(8)), Some((2, Some(at(12)))));
        assert_eq!(machine.complete(at(12)), Some((1, None)));
        assert_eq!(machine.core_nanos(at(12)), 12e6);
    }

    #[test]
    fn equal_finishes_keep_the_order_of_starting() {
        let mut machine = Machine::new(4);
        for task in [7, 3, 5] {
            machine.start(at(1), Span::from_millis(1), task);
        }
        let order: Vec<u32> = (0..3).filter_map(|_| machine.complete(at(2))).map(|(task, _)| task).collect();
        assert_eq!(order, [7, 3, 5]);
        assert_eq!(machine.complete(at(3)), None);
    }
}
