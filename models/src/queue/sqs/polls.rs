//! Consumers that ask and ask again while there is nothing for them, without an event for each time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sim_core::{Span, Time};

use crate::plan;
use crate::queue::Counts;

/// A receive takes its time even where a plan lets a consumer neither wait nor pause.
const SHORTEST_CYCLE: Span = Span::from_millis(1);

/// The order is tidied up once so many more than twice the waiting consumers are in it.
const STALE: usize = 64;

/// Where a consumer is in its rhythm.
#[derive(Clone, Copy, Debug)]
struct Poll {
    /// When its present receive began, or its next one will.
    start: Time,
    /// Which of all polls: tells a live entry of the order from a stale one.
    turn: u64,
}

/// The consumers that have nothing to do. Each listens for `wait` from the start of its poll, and starts the next one `cycle`
/// after that: a grid of its own from when it began to wait. Short polling listens for an instant.
#[derive(Clone, Debug)]
pub struct Polls {
    wait: Span,
    cycle: Span,
    polls: Vec<Option<Poll>>,
    waiting: usize,
    turns: u64,
    /// By the start of their poll, as it was known when they were put here: it can only have become later.
    order: BinaryHeap<Reverse<(Time, u64, u32)>>,
    /// When polls that brought nothing were last counted.
    counted: Time,
}

impl Polls {
    /// Nobody waits.
    pub fn new(plan: &plan::Sqs) -> Polls {
        Polls {
            wait: plan.wait_time,
            cycle: plan
                .wait_time
                .checked_add(plan.poll_interval)
                .map_or(Span::MAX, |cycle| cycle.max(SHORTEST_CYCLE)),
            polls: Vec::new(),
            waiting: 0,
            turns: 0,
            order: BinaryHeap::new(),
            counted: Time::ZERO,
        }
    }

    /// How far the polls of a consumer are apart that bring nothing.
    pub fn cycle(&self) -> Span {
        self.cycle
    }

    /// True where nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// A consumer waits, and polls at `start`.
    pub fn ask(&mut self, consumer: u32, start: Time) {
        let index = consumer as usize;
        if self.polls.len() <= index {
            self.polls.resize(index + 1, None);
        }
        if self.polls[index].is_some() {
            return;
        }
        self.waiting += 1;
        self.turns += 1;
        self.polls[index] = Some(Poll { start, turn: self.turns });
        self.order.push(Reverse((start, self.turns, consumer)));
        if self.order.len() > 2 * self.waiting + STALE {
            let polls = &self.polls;
            self.order.retain(|&Reverse((_, turn, consumer))| is_live(polls, turn, consumer));
        }
    }

    /// A consumer waits no more. The receive that it is at, if it is at one, brings nothing.
    pub fn stop(&mut self, consumer: u32, now: Time, counts: &mut Counts) {
        let Some(slot) = self.polls.get_mut(consumer as usize) else { return };
        let Some(mut poll) = slot.take() else { return };
        self.waiting -= 1;
        let ended = poll.pass(self.wait, self.cycle, now) + u64::from(poll.start <= now);
        counts.empty_receives += ended;
        counts.requests += ended;
    }

    /// A consumer waits no more, because its receive brought something.
    pub fn answered(&mut self, consumer: u32) {
        if let Some(slot) = self.polls.get_mut(consumer as usize)
            && slot.take().is_some()
        {
            self.waiting -= 1;
        }
    }

    /// The receive of a consumer brought nothing though it was at the right time.
    pub fn again(&mut self, consumer: u32) {
        if let Some(Some(poll)) = self.polls.get_mut(consumer as usize) {
            poll.start += self.cycle;
        }
    }

    /// Who polls first at `now` or later, and since when it does or when it will.
    pub fn next(&mut self, now: Time, counts: &mut Counts) -> Option<(Time, u32)> {
        loop {
            let &Reverse((start, turn, consumer)) = self.order.peek()?;
            if !is_live(&self.polls, turn, consumer) {
                self.order.pop();
                continue;
            }
            let poll = self.polls[consumer as usize].as_mut()?;
            let ended = poll.pass(self.wait, self.cycle, now);
            counts.empty_receives += ended;
            counts.requests += ended;
            if poll.start == start {
                return Some((start, consumer));
            }
            let known = Reverse((poll.start, turn, consumer));
            self.order.pop();
            self.order.push(known);
        }
    }

    /// Counts polls that have ended by `now` without bringing anything, at most once a cycle: then each look finds some.
    pub fn count(&mut self, now: Time, counts: &mut Counts) {
        if now < self.counted + self.cycle {
            return;
        }
        self.counted = now;
        for poll in self.polls.iter_mut().flatten() {
            let ended = poll.pass(self.wait, self.cycle, now);
            counts.empty_receives += ended;
            counts.requests += ended;
        }
    }
}

impl Poll {
    /// Passes over the polls that ended before `now`, and says how many these are.
    fn pass(&mut self, wait: Span, cycle: Span, now: Time) -> u64 {
        let ended = now.since(self.start + wait).as_nanos().div_ceil(cycle.as_nanos());
        self.start += cycle.saturating_mul(ended);
        ended
    }
}

fn is_live(polls: &[Option<Poll>], turn: u64, consumer: u32) -> bool {
    polls.get(consumer as usize).is_some_and(|poll| poll.is_some_and(|poll| poll.turn == turn))
}
