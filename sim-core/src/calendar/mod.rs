//! What happens next: one order, `(time, sequence)`, behind three doors.
//!
//! * [`after`](Calendar::after): a **heap**, for delays that are irregular.
//! * [`after_fixed`](Calendar::after_fixed): a **lane** per constant delay (timeouts, links). What is scheduled
//!   at `now + constant` arrives sorted, so a queue is enough.
//! * [`set`](Calendar::set): a **timer** holds at most one event (a machine's next completion, a source's next
//!   arrival) and can be set anew or cleared.
//!
//! Lanes and timers meet in a tournament tree, so each costs the logarithm of how many there are, not of how
//! many events are pending. Ties are first come, first served whichever door they came through.
//!
//! Nothing else is cancelled. An event that may have become stale carries a generation, and its handler drops it.

mod tournament;

use std::collections::VecDeque;

use crate::heap::MinHeap;
use crate::time::{Span, Time};
use tournament::{Key, Tournament};

/// The pending events of a world, and its clock.
///
/// ```
/// use sim_core::{Calendar, Span, Time};
/// let mut calendar = Calendar::new();
/// let timer = calendar.timer();
/// calendar.after(Span::from_millis(5), "irregular");
/// calendar.set(timer, Span::from_millis(3), "timer");
/// assert_eq!(calendar.next(Time::NEVER), Some("timer"));
/// assert_eq!(calendar.now(), Time::ZERO + Span::from_millis(3));
/// assert_eq!(calendar.next(Time::NEVER), Some("irregular"));
/// assert_eq!(calendar.next(Time::NEVER), None);
/// ```
#[derive(Clone, Debug)]
pub struct Calendar<E> {
    now: Time,
    sequence: u64,
    heap: MinHeap<Key, E>,
    /// The first event of each lane and timer.
    fronts: Tournament,
    /// What stands behind each front.
    doors: Vec<Door<E>>,
    /// Timers that were released, for the next who asks for one.
    spare: Vec<Timer>,
    /// A timer whose event was just taken and whose front still has to go, unless its handler sets it again.
    fired: Option<u32>,
    order_hash: u64,
}

#[derive(Clone, Debug)]
enum Door<E> {
    Lane { delay: Span, queue: VecDeque<(Key, E)> },
    Timer { event: Option<E> },
}

/// A timer of one [`Calendar`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer(u32);

/// A constant delay of one [`Calendar`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedDelay(u32);

impl<E: Copy> Default for Calendar<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy> Calendar<E> {
    /// An empty calendar at time zero. Events are at most 16 bytes: every move of a larger one costs.
    pub fn new() -> Self {
        const { assert!(size_of::<E>() <= 16, "an event must fit in 16 bytes") };
        Calendar {
            now: Time::ZERO,
            sequence: 0,
            heap: MinHeap::new(),
            fronts: Tournament::default(),
            doors: Vec::new(),
            spare: Vec::new(),
            fired: None,
            order_hash: 0,
        }
    }

    /// The present.
    #[inline]
    pub fn now(&self) -> Time {
        self.now
    }

    /// A hash over the times and sequence numbers of all events taken so far: two runs that agree in it did
    /// the same things in the same order.
    pub fn order_hash(&self) -> u64 {
        self.order_hash
    }

    /// How many events are pending.
    pub fn len(&self) -> usize {
        let behind_doors: usize = self
            .doors
            .iter()
            .enumerate()
            .map(|(i, door)| match door {
                Door::Lane { queue, .. } => queue.len(),
                Door::Timer { event } => usize::from(event.is_some() && self.fired != Some(i as u32)),
            })
            .sum();
        self.heap.len() + behind_doors
    }

    /// True where nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Schedules `event` after an irregular delay.
    #[inline]
    pub fn after(&mut self, delay: Span, event: E) {
        self.at(self.now + delay, event);
    }

    /// Schedules `event` at an instant; one in the past happens now.
    #[inline]
    pub fn at(&mut self, time: Time, event: E) {
        let key = self.key(time);
        self.heap.push(key, event);
    }

    /// A lane for events that all wait for `delay`. Equal delays share a lane.
    pub fn fixed_delay(&mut self, delay: Span) -> FixedDelay {
        let same = |door: &Door<E>| matches!(door, Door::Lane { delay: d, .. } if *d == delay);
        match self.doors.iter().position(same) {
            Some(lane) => FixedDelay(lane as u32),
            None => FixedDelay(self.add_door(Door::Lane { delay, queue: VecDeque::new() })),
        }
    }

    /// Schedules `event` after the lane's delay.
    #[inline]
    pub fn after_fixed(&mut self, lane: FixedDelay, event: E) {
        let now = self.now;
        let sequence = self.next_sequence();
        // A lane of another calendar has no door here; scheduling on it would be a defect of the caller.
        if let Some(Door::Lane { delay, queue }) = self.doors.get_mut(lane.0 as usize) {
            let key = Key::new(now + *delay, sequence);
            queue.push_back((key, event));
            if queue.len() == 1 {
                self.fronts.set(lane.0, key);
            }
        }
    }

    /// A timer, not set.
    pub fn timer(&mut self) -> Timer {
        self.spare.pop().unwrap_or_else(|| Timer(self.add_door(Door::Timer { event: None })))
    }

    /// Gives back a timer that is no longer needed. What it was set to will not happen.
    pub fn release(&mut self, timer: Timer) {
        self.clear(timer);
        self.spare.push(timer);
    }

    /// Lets `timer` fire with `event` after `delay`, instead of what it was set to.
    #[inline]
    pub fn set(&mut self, timer: Timer, delay: Span, event: E) {
        self.set_at(timer, self.now + delay, event);
    }

    /// Lets `timer` fire with `event` at `time` (now, if that has passed), instead of what it was set to.
    #[inline]
    pub fn set_at(&mut self, timer: Timer, time: Time, event: E) {
        let key = self.key(time);
        if let Some(Door::Timer { event: slot }) = self.doors.get_mut(timer.0 as usize) {
            *slot = Some(event);
            if self.fired == Some(timer.0) {
                self.fired = None;
            }
            self.fronts.set(timer.0, key);
        }
    }

    /// Takes back what `timer` was set to, if anything.
    #[inline]
    pub fn clear(&mut self, timer: Timer) {
        if self.is_set(timer) {
            self.fronts.set(timer.0, Key::NEVER);
            if let Some(Door::Timer { event }) = self.doors.get_mut(timer.0 as usize) {
                *event = None;
            }
        }
    }

    /// True while `timer` has an event pending.
    pub fn is_set(&self, timer: Timer) -> bool {
        self.fired != Some(timer.0)
            && matches!(self.doors.get(timer.0 as usize), Some(Door::Timer { event: Some(_) }))
    }

    /// Takes the next event that is not later than `until` and moves the clock to it.
    #[inline]
    pub fn next(&mut self, until: Time) -> Option<E> {
        if let Some(timer) = self.fired.take() {
            self.fronts.set(timer, Key::NEVER);
            if let Some(Door::Timer { event }) = self.doors.get_mut(timer as usize) {
                *event = None;
            }
        }
        let (front_key, door) = self.fronts.first();
        let (key, event) = match self.heap.peek() {
            Some((key, event)) if key < front_key => {
                if key.time() > until {
                    return None;
                }
                self.heap.pop();
                (key, event)
            }
            _ => {
                if front_key == Key::NEVER || front_key.time() > until {
                    return None;
                }
                (front_key, self.take_front(door)?)
            }
        };
        self.now = key.time();
        self.order_hash = key.fold_into(self.order_hash);
        Some(event)
    }

    /// Moves the clock forward to `time` where no event is due before it.
    pub(crate) fn advance(&mut self, time: Time) {
        self.now = self.now.max(time);
    }

    #[inline]
    fn take_front(&mut self, door: u32) -> Option<E> {
        match self.doors.get_mut(door as usize)? {
            Door::Timer { event } => {
                self.fired = Some(door);
                *event
            }
            Door::Lane { queue, .. } => {
                let (_, event) = queue.pop_front()?;
                let front = queue.front().map_or(Key::NEVER, |&(key, _)| key);
                self.fronts.set(door, front);
                Some(event)
            }
        }
    }

    fn add_door(&mut self, door: Door<E>) -> u32 {
        self.doors.push(door);
        self.fronts.grow(self.doors.len())
    }

    #[inline]
    fn key(&mut self, time: Time) -> Key {
        let sequence = self.next_sequence();
        Key::new(time.max(self.now), sequence)
    }

    #[inline]
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}
