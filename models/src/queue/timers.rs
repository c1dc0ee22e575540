//! Until when messages are invisible, delayed or locked.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sim_core::Time;

/// Timers are tidied up once so many more than twice the living ones are kept.
const STALE: usize = 64;

/// An instant at which something happens to a message, unless it has changed by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When.
    pub at: Time,
    /// Where the message is.
    pub place: u32,
    /// The stamp that it had.
    pub stamp: u32,
}

/// Timers in order of time. Those of one instant are in the order they were set in, if all come with one delay.
///
/// Nearly all come with one constant delay, and so in order: a lane takes these, a heap the others. Nobody takes one back: a
/// message that has changed leaves a stale one behind, and [`Timers::tidy`] sees that few of these are kept and none is next.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    lane: VecDeque<Timer>,
    heap: BinaryHeap<Reverse<Timer>>,
}

impl Timers {
    /// Sets one.
    #[inline]
    pub fn push(&mut self, timer: Timer) {
        if timer.at == Time::NEVER {
            return;
        }
        if self.lane.back().is_none_or(|last| last.at <= timer.at) {
            self.lane.push_back(timer);
        } else {
            self.heap.push(Reverse(timer));
        }
    }

    /// When the next one is.
    #[inline]
    pub fn next(&self) -> Time {
        let lane = self.lane.front().map_or(Time::NEVER, |timer| timer.at);
        let heap = self.heap.peek().map_or(Time::NEVER, |timer| timer.0.at);
        lane.min(heap)
    }

    /// Takes the next one, if it is not after `now`.
    pub fn pop(&mut self, now: Time) -> Option<Timer> {
        let next = self.next();
        if next > now {
            return None;
        }
        match self.lane.front() {
            Some(timer) if timer.at == next => self.lane.pop_front(),
            _ => self.heap.pop().map(|timer| timer.0),
        }
    }

    /// Drops stale ones: those that would be next, and all once they are more than the `living`.
    #[inline]
    pub fn tidy(&mut self, living: usize, lives: impl Fn(&Timer) -> bool) {
        while self.lane.front().is_some_and(|timer| !lives(timer)) {
            self.lane.pop_front();
        }
        while self.heap.peek().is_some_and(|timer| !lives(&timer.0)) {
            self.heap.pop();
        }
        if self.lane.len() + self.heap.len() > 2 * living + STALE {
            self.lane.retain(&lives);
            self.heap.retain(|timer| lives(&timer.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(at: u64, stamp: u32) -> Timer {
        Timer { at: Time::from_nanos(at), place: 0, stamp }
    }

    #[test]
    fn they_come_in_order_of_time_however_they_were_set() {
        let mut timers = Timers::default();
        for at in [5, 7, 3, 7, 9, 1] {
            timers.push(timer(at, 0));
        }
        timers.push(Timer { at: Time::NEVER, place: 0, stamp: 0 });
        let order: Vec<u64> =
            std::iter::from_fn(|| timers.pop(Time::from_nanos(8))).map(|timer| timer.at.as_nanos()).collect();
        assert_eq!(order, [1, 3, 5, 7, 7]);
        assert_eq!(timers.next(), Time::from_nanos(9));
    }

    #[test]
    fn stale_ones_are_never_next_and_never_many() {
        let mut timers = Timers::default();
        for at in 0..10_000 {
            timers.push(timer(20_000 - at % 7, at as u32));
        }
        timers.tidy(10, |timer| timer.stamp % 1000 == 999);
        assert_eq!(timers.lane.len() + timers.heap.len(), 10);
        assert!(timers.pop(Time::from_nanos(20_000)).is_some_and(|timer| timer.stamp % 1000 == 999));
    }
}
