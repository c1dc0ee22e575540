//! What a list and a stream of Redis have in common: messages in a line, consumers that block for them, and those delayed.

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::entries::{Entries, Entry, Line, State};
use super::rules::Rules;
use super::timers::{Timer, Timers};
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan::{self, WhenFull};

/// Messages and the consumers that wait for them.
///
/// Redis itself delays nothing: the application keeps what is delayed in a sorted set, and pushes it when its time has come.
/// What is older than the retention is trimmed from the old end (`LTRIM`, `XTRIM MINID`); what came back to the young end is
/// found too old when somebody takes it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub rules: Rules,
    /// With the number of the consumer that received each last.
    pub entries: Entries<u32>,
    /// Those that can be taken, the next one first.
    pub line: Line,
    delayed: Timers,
    in_flight: usize,
    /// Consumers that block for a message, the one that does so for longest first: Redis serves them in this order.
    pub waiting: VecDeque<u32>,
    /// By their numbers.
    consumers: Vec<Consumer>,
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Consumer {
    here: bool,
    waits: bool,
    /// What it received last, unless it has let go of that.
    hand: Option<Receipt>,
}

impl Store {
    pub fn new(plan: &plan::Queue) -> Store {
        Store {
            rules: Rules::new(plan),
            entries: Entries::new(),
            line: Line::EMPTY,
            delayed: Timers::default(),
            in_flight: 0,
            waiting: VecDeque::new(),
            consumers: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a new message in, if there is room.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        if self.rules.is_full(self.entries.len()) && !self.drop_oldest(happened) {
            self.counts.refused += 1;
            return Err(Full);
        }
        self.counts.sent += 1;
        self.counts.requests += 1;
        let place = self.entries.insert(message, State::Delayed, 0);
        self.push(place, self.rules.delay, now);
        Ok(())
    }

    /// Puts a message that is in no line at the young end of the line, once `delay` is over.
    pub fn push(&mut self, place: u32, delay: Span, now: Time) {
        if delay.is_zero() {
            self.entries.at_mut(place).state = State::Waiting;
            self.line.push_back(&mut self.entries, place);
        } else {
            let entry = self.entries.at_mut(place);
            entry.state = State::Delayed;
            self.delayed.push(Timer { at: now + delay, place, stamp: entry.stamp() });
        }
    }

    /// A message in flight is in nobody's hands any more.
    pub fn release(&mut self, place: u32) {
        self.in_flight -= 1;
        self.entries.at_mut(place).state = State::Delayed;
    }

    /// Puts a message that was in flight back to the old end of the line: it is the next one.
    pub fn put_back(&mut self, place: u32) {
        self.release(place);
        self.entries.at_mut(place).state = State::Waiting;
        self.line.push_front(&mut self.entries, place);
    }

    /// The next message of the line that is not too old.
    pub fn next(&mut self, now: Time, happened: &mut Vec<Happened>) -> Option<u32> {
        loop {
            let place = self.line.pop(&mut self.entries)?;
            if self.rules.expires(self.entries.at(place).sent) > now {
                return Some(place);
            }
            self.lose(place, Loss::Expired, happened);
        }
    }

    /// Gives a message that is in no line, or in flight, to a consumer.
    pub fn deliver(&mut self, place: u32, consumer: u32, happened: &mut Vec<Happened>) {
        if self.entries.at(place).state != State::InFlight {
            self.in_flight += 1;
            self.entries.at_mut(place).state = State::InFlight;
        }
        let receipt = self.entries.receive(place);
        let entry = self.entries.at_mut(place);
        entry.extra = consumer;
        let (job, receives) = (entry.job, entry.receives());
        if let Some(consumer) = self.consumers.get_mut(consumer as usize) {
            consumer.hand = Some(receipt);
        }
        self.counts.received += 1;
        self.counts.received_again += u64::from(receives > 1);
        self.counts.requests += 1;
        happened.push(Happened::Delivered { consumer, job, receipt, receives });
    }

    /// The message of a receipt, if it is in flight and nobody has received it since.
    pub fn held(&self, receipt: Receipt) -> Option<&Entry<u32>> {
        self.entries.of(receipt).filter(|entry| entry.state == State::InFlight)
    }

    /// A message is gone, because its work is done.
    pub fn consume(&mut self, place: u32, happened: &mut Vec<Happened>) {
        let job = self.remove(place).job;
        self.counts.consumed += 1;
        self.counts.requests += 1;
        happened.push(Happened::Consumed { job });
    }

    /// A message is gone, because it was received too often or rejected.
    pub fn dead_letter(&mut self, place: u32, happened: &mut Vec<Happened>) {
        let Entry { job, sent, .. } = self.remove(place);
        self.counts.dead_lettered += 1;
        happened.push(Happened::DeadLettered { job, sent });
    }

    /// A message that is in no line is gone for good.
    pub fn lose(&mut self, place: u32, how: Loss, happened: &mut Vec<Happened>) {
        let job = self.remove(place).job;
        self.counts.lost += 1;
        happened.push(Happened::Lost { job, how });
    }

    /// A consumer has come.
    pub fn join(&mut self, consumer: u32) {
        let count = consumer as usize + 1;
        if self.consumers.len() < count {
            self.consumers.resize(count, Consumer::default());
        }
        self.consumers[consumer as usize].here = true;
    }

    /// A consumer is gone. Returns what it had in hand.
    pub fn part(&mut self, consumer: u32) -> Option<Receipt> {
        self.stop_receiving(consumer);
        std::mem::take(self.consumers.get_mut(consumer as usize)?).hand
    }

    /// A consumer blocks for a message from now on. False where it does already, has one in hand or is not here.
    pub fn wait(&mut self, consumer: u32) -> bool {
        let Some(&Consumer { here: true, waits: false, hand }) = self.consumers.get(consumer as usize) else {
            return false;
        };
        if hand.is_some_and(|receipt| self.held(receipt).is_some()) {
            return false;
        }
        self.consumers[consumer as usize] = Consumer { here: true, waits: true, hand: None };
        self.waiting.push_back(consumer);
        true
    }

    /// The consumer that blocks for longest has what it wants.
    pub fn first_waiting(&mut self) -> Option<u32> {
        let consumer = self.waiting.pop_front()?;
        self.consumers[consumer as usize].waits = false;
        Some(consumer)
    }

    /// A consumer blocks no longer.
    pub fn stop_receiving(&mut self, consumer: u32) {
        if let Some(entry) = self.consumers.get_mut(consumer as usize)
            && std::mem::take(&mut entry.waits)
        {
            self.waiting.retain(|&waiting| waiting != consumer);
        }
    }

    /// A consumer turns from a message without a word: it can receive others.
    pub fn let_go(&mut self, receipt: Receipt) {
        let Some(entry) = self.held(receipt) else { return };
        let consumer = entry.extra as usize;
        if let Some(consumer) = self.consumers.get_mut(consumer)
            && consumer.hand == Some(receipt)
        {
            consumer.hand = None;
        }
    }

    /// Pushes what is no longer delayed, and trims what is too old.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some(timer) = self.delayed.pop(now) {
            self.push(timer.place, Span::ZERO, now);
        }
        while let Some(first) = self.line.first()
            && self.rules.expires(self.entries.at(first).sent) <= now
        {
            self.line.remove(&mut self.entries, first);
            self.lose(first, Loss::Expired, happened);
        }
    }

    /// When that is next.
    pub fn due(&self) -> Time {
        let expires =
            self.line.first().map_or(Time::NEVER, |first| self.rules.expires(self.entries.at(first).sent));
        self.delayed.next().min(expires)
    }

    /// How many messages are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn depth(&self) -> Depth {
        let (visible, in_flight) = (self.line.len(), self.in_flight);
        Depth {
            visible: visible as u64,
            in_flight: in_flight as u64,
            delayed: (self.entries.len() - visible - in_flight) as u64,
            oldest: self.entries.oldest_sent(),
        }
    }

    /// Makes room for one message. False where that is not wanted, or where nobody waits in the line.
    fn drop_oldest(&mut self, happened: &mut Vec<Happened>) -> bool {
        if self.rules.when_full != WhenFull::DropOldest {
            return false;
        }
        let Some(first) = self.line.pop(&mut self.entries) else { return false };
        self.lose(first, Loss::Dropped, happened);
        true
    }

    fn remove(&mut self, place: u32) -> Entry<u32> {
        let gone = self.entries.remove(place);
        self.in_flight -= usize::from(gone.state == State::InFlight);
        gone
    }
}
