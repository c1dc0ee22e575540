//! The messages of a queue: a slab of 40 bytes each, in order of age, with receipts that go stale.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sim_core::Time;

#[cfg(test)]
use super::Depth;
use super::timers::Timer;
use super::{Message, Receipt};

/// No place: the end of a list.
pub const NOWHERE: u32 = u32::MAX;

/// The most receives of a message that are counted. SQS allows a `maxReceiveCount` of 1000.
pub const RECEIVES_COUNTED: u16 = u16::MAX;

/// Stragglers are tidied up once so many more than the living ones are in their heap.
const STALE_STRAGGLERS: usize = 64;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nowhere: its place is free.
    Gone,
    /// It can be received.
    Waiting,
    /// It cannot be received yet.
    Delayed,
    /// Somebody has received it.
    InFlight,
}

/// Neighbours in a list.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    pub before: u32,
    pub after: u32,
}

impl Links {
    const NONE: Links = Links { before: NOWHERE, after: NOWHERE };
}

/// A message. `T` is what its kind of queue has to know of it besides; four bytes of that keep it at 40.
#[derive(Clone, Copy, Debug)]
pub struct Entry<T> {
    /// When it was first sent to a queue.
    pub sent: Time,
    /// The number that its sender knows it by.
    pub job: u32,
    /// Goes up with each receive, and never back while its place is used: tells receipts apart.
    stamp: u32,
    age: Links,
    /// Its neighbours in the line it waits in. In flight it is in none, and `after` is its flight.
    pub(super) line: Links,
    pub extra: T,
    receives: u16,
    pub state: State,
}

impl<T> Entry<T> {
    /// How often it was received.
    pub fn receives(&self) -> u32 {
        u32::from(self.receives)
    }

    /// Changes with each receive and when it is gone.
    pub fn stamp(&self) -> u32 {
        self.stamp
    }
}

/// All messages that a queue holds.
///
/// They are also a list by age, for retention and for the oldest. Messages nearly always come in the order in which they
/// were sent; those that do not (dead letters keep their time) are in a heap beside it.
#[derive(Clone, Debug)]
pub struct Entries<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
    oldest: u32,
    youngest: u32,
    /// When they were sent, and their places. May hold some that are gone, but never on top.
    stragglers: BinaryHeap<Reverse<(Time, u32)>>,
    living_stragglers: usize,
}

impl<T: Copy> Entries<T> {
    /// None.
    pub fn new() -> Self {
        Entries {
            entries: Vec::new(),
            free: NOWHERE,
            len: 0,
            oldest: NOWHERE,
            youngest: NOWHERE,
            stragglers: BinaryHeap::new(),
            living_stragglers: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The one at a place that is used.
    #[inline]
    pub fn at(&self, place: u32) -> &Entry<T> {
        &self.entries[place as usize]
    }

    /// The one at a place that is used.
    #[inline]
    pub fn at_mut(&mut self, place: u32) -> &mut Entry<T> {
        &mut self.entries[place as usize]
    }

    /// Takes a message in, and says where it is.
    pub fn insert(&mut self, message: Message, state: State, extra: T) -> u32 {
        let place = self.free;
        let fresh = Entry {
            sent: message.sent,
            job: message.job,
            stamp: 0,
            age: Links::NONE,
            line: Links::NONE,
            extra,
            receives: 0,
            state,
        };
        self.len += 1;
        if place == NOWHERE {
            let place = self.entries.len() as u32;
            self.entries.push(fresh);
            self.link_age(place);
            return place;
        }
        let entry = self.at_mut(place);
        let (free, stamp) = (entry.line.after, entry.stamp);
        *entry = Entry { stamp, ..fresh };
        self.free = free;
        self.link_age(place);
        place
    }

    fn link_age(&mut self, place: u32) {
        let youngest = self.youngest;
        let sent = self.at(place).sent;
        if youngest != NOWHERE && self.at(youngest).sent > sent {
            let entry = self.at_mut(place);
            // In the list nobody is its own neighbour: this is how a straggler is known.
            entry.age = Links { before: place, after: place };
            self.stragglers.push(Reverse((sent, place)));
            self.living_stragglers += 1;
            return;
        }
        self.at_mut(place).age = Links { before: youngest, after: NOWHERE };
        match youngest {
            NOWHERE => self.oldest = place,
            _ => self.at_mut(youngest).age.after = place,
        }
        self.youngest = place;
    }

    /// Lets a message go. Its receipts are stale from now on.
    pub fn remove(&mut self, place: u32) -> Entry<T> {
        let gone = *self.at(place);
        let free = self.free;
        let entry = self.at_mut(place);
        entry.state = State::Gone;
        entry.stamp = entry.stamp.wrapping_add(1);
        entry.line.after = free;
        self.free = place;
        self.len -= 1;
        if gone.age.before == place {
            self.living_stragglers -= 1;
            self.tidy();
        } else {
            match gone.age.before {
                NOWHERE => self.oldest = gone.age.after,
                before => self.at_mut(before).age.after = gone.age.after,
            }
            match gone.age.after {
                NOWHERE => self.youngest = gone.age.before,
                after => self.at_mut(after).age.before = gone.age.before,
            }
        }
        gone
    }

    fn tidy(&mut self) {
        let entries = &self.entries;
        let lives = |&Reverse((sent, place)): &Reverse<(Time, u32)>| {
            let entry: &Entry<T> = &entries[place as usize];
            entry.state != State::Gone && entry.sent == sent && entry.age.before == place
        };
        while self.stragglers.peek().is_some_and(|top| !lives(top)) {
            self.stragglers.pop();
        }
        if self.stragglers.len() > 2 * self.living_stragglers + STALE_STRAGGLERS {
            self.stragglers.retain(lives);
        }
    }

    /// Notes that a message is received, and makes a receipt. All earlier ones are stale from now on.
    #[inline]
    pub fn receive(&mut self, place: u32) -> Receipt {
        let entry = self.at_mut(place);
        entry.stamp = entry.stamp.wrapping_add(1);
        entry.receives = entry.receives.saturating_add(1);
        Receipt { place, number: u64::from(entry.stamp) }
    }

    /// True where the message of a timer has not changed since, and is in this state.
    #[inline]
    pub fn is(&self, timer: &Timer, state: State) -> bool {
        let entry = self.at(timer.place);
        entry.stamp == timer.stamp && entry.state == state
    }

    /// The message of a receipt, if it is here and was not received again.
    #[inline]
    pub fn of(&self, receipt: Receipt) -> Option<&Entry<T>> {
        self.entries
            .get(receipt.place as usize)
            .filter(|entry| entry.state != State::Gone && u64::from(entry.stamp) == receipt.number)
    }

    /// The message of a receipt, if it is here, even if others have received it since.
    pub fn still(&self, receipt: Receipt) -> Option<&Entry<T>> {
        self.entries.get(receipt.place as usize).filter(|entry| {
            let since = entry.stamp.wrapping_sub(receipt.number as u32);
            entry.state != State::Gone && since < u32::from(entry.receives)
        })
    }

    /// Where the message is that was sent first.
    #[inline]
    pub fn oldest(&self) -> Option<u32> {
        let straggler = self.stragglers.peek().map(|&Reverse(straggler)| straggler);
        let listed = (self.oldest != NOWHERE).then(|| (self.at(self.oldest).sent, self.oldest));
        match (listed, straggler) {
            (Some(listed), Some(straggler)) => Some(listed.min(straggler).1),
            (listed, straggler) => listed.or(straggler).map(|(_, place)| place),
        }
    }

    /// When the oldest was sent.
    pub fn oldest_sent(&self) -> Option<Time> {
        self.oldest().map(|place| self.at(place).sent)
    }

    /// How the messages stand, counted one by one.
    #[cfg(test)]
    pub fn recount(&self) -> Depth {
        let count = |state| self.iter().filter(|entry| entry.state == state).count() as u64;
        Depth {
            visible: count(State::Waiting),
            in_flight: count(State::InFlight),
            delayed: count(State::Delayed),
            oldest: self.iter().map(|entry| entry.sent).min(),
        }
    }

    /// All that are here.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().filter(|entry| entry.state != State::Gone)
    }
}

/// A line of messages that wait, first in, first out.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    first: u32,
    last: u32,
    len: usize,
}

impl Line {
    /// Nobody.
    pub const EMPTY: Line = Line { first: NOWHERE, last: NOWHERE, len: 0 };

    /// How many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Who is first.
    pub fn first(&self) -> Option<u32> {
        (self.first != NOWHERE).then_some(self.first)
    }

    /// Puts a message at the end.
    #[inline]
    pub fn push_back<T: Copy>(&mut self, entries: &mut Entries<T>, place: u32) {
        entries.at_mut(place).line = Links { before: self.last, after: NOWHERE };
        match self.last {
            NOWHERE => self.first = place,
            last => entries.at_mut(last).line.after = place,
        }
        self.last = place;
        self.len += 1;
    }

    /// Puts a message before all others.
    pub fn push_front<T: Copy>(&mut self, entries: &mut Entries<T>, place: u32) {
        entries.at_mut(place).line = Links { before: NOWHERE, after: self.first };
        match self.first {
            NOWHERE => self.last = place,
            first => entries.at_mut(first).line.before = place,
        }
        self.first = place;
        self.len += 1;
    }

    /// Takes the first.
    #[inline]
    pub fn pop<T: Copy>(&mut self, entries: &mut Entries<T>) -> Option<u32> {
        let first = self.first()?;
        self.remove(entries, first);
        Some(first)
    }

    /// Takes one that waits here out of the middle.
    #[inline]
    pub fn remove<T: Copy>(&mut self, entries: &mut Entries<T>, place: u32) {
        let Links { before, after } = entries.at(place).line;
        match before {
            NOWHERE => self.first = after,
            _ => entries.at_mut(before).line.after = after,
        }
        match after {
            NOWHERE => self.last = before,
            _ => entries.at_mut(after).line.before = before,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(job: u32, sent: u64) -> Message {
        Message { job, key: 0, priority: 0, sent: Time::from_nanos(sent) }
    }

    #[test]
    fn a_message_takes_forty_bytes() {
        assert_eq!(size_of::<Entry<u32>>(), 40);
    }

    #[test]
    fn receipts_are_stale_once_a_message_is_received_again_or_gone() {
        let mut entries = Entries::new();
        let place = entries.insert(message(7, 1), State::Waiting, ());
        let first = entries.receive(place);
        assert_eq!(entries.of(first).map(|entry| entry.job), Some(7));
        let second = entries.receive(place);
        assert!(entries.of(first).is_none() && entries.still(first).is_some());
        assert_eq!(entries.of(second).map(Entry::receives), Some(2));
        entries.remove(place);
        let place_again = entries.insert(message(8, 2), State::Waiting, ());
        assert_eq!(place, place_again);
        entries.receive(place_again);
        assert!(entries.still(first).is_none() && entries.still(second).is_none());
        assert!(entries.of(Receipt { place: 99, number: 0 }).is_none());
    }

    /// Against a sorted list, with stragglers, over places that are used again.
    #[test]
    fn the_oldest_is_the_one_sent_first() {
        use rand::Rng;
        let mut stream = sim_core::Seed::new(4).stream("ages");
        let mut entries = Entries::new();
        let mut model: Vec<(Time, u32)> = Vec::new();
        for step in 0..20_000_u64 {
            let draw = stream.next_u64();
            if draw % 2 == 0 || model.is_empty() {
                let late = if draw & 4 == 0 { (draw >> 8) % 500 } else { 0 };
                let sent = (1000 + step).saturating_sub(late);
                let place = entries.insert(message(0, sent), State::Waiting, ());
                model.push((Time::from_nanos(sent), place));
            } else {
                let (_, place) = model.swap_remove((draw >> 8) as usize % model.len());
                entries.remove(place);
            }
            assert_eq!(entries.oldest_sent(), model.iter().min().map(|&(sent, _)| sent));
            assert_eq!(entries.len(), model.len());
        }
        assert!(entries.stragglers.len() <= 2 * entries.living_stragglers + STALE_STRAGGLERS);
    }

    #[test]
    fn a_line_keeps_its_order_when_one_leaves_its_middle() {
        let mut entries = Entries::new();
        let places: Vec<u32> =
            (0..4).map(|job| entries.insert(message(job, 0), State::Waiting, ())).collect();
        let mut line = Line::EMPTY;
        for &place in &places[..3] {
            line.push_back(&mut entries, place);
        }
        line.push_front(&mut entries, places[3]);
        line.remove(&mut entries, places[1]);
        let order: Vec<u32> = std::iter::from_fn(|| line.pop(&mut entries)).collect();
        assert_eq!(order, [places[3], places[0], places[2]]);
        assert_eq!(line.len(), 0);
    }
}
