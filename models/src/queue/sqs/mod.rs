//! Amazon SQS: standard and FIFO queues.

mod flights;
mod lineup;
mod polls;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use sim_core::chance::unit;
use sim_core::{Seed, Span, Stream, Time};
use smallvec::SmallVec;

use self::flights::{Flight, Flights, Heartbeats, LONGEST};
use self::lineup::Lineup;
use self::polls::Polls;
use super::entries::{Entries, Entry, State};
use super::rules::Rules;
use super::timers::{Timer, Timers};
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan;

/// An SQS queue, after the SQS Developer Guide ("Visibility timeout", "Short and long polling", "Dead-letter queues",
/// "Message quotas") and the reference of `DeleteMessage` and `ReceiveMessage`.
///
/// * A message is invisible for the visibility timeout from its receive, all of a batch from the same receive. Each receive
///   counts, also of what a consumer keeps and never begins. Heartbeats extend what a consumer works on, up to 12 hours in all.
/// * One that was received `maxReceiveCount` times moves to the dead-letter queue when somebody would receive it again.
/// * A receipt is good until the message is received again; in a standard queue also after its timeout, for AWS says that
///   an old handle "might" delete and the newest does. In a FIFO queue it expires with the timeout.
/// * A consumer works through its batch without knowing of timeouts: what has become visible meanwhile it begins as well, as
///   a duplicate, unless it is gone.
/// * At-least-once delivery: for some messages the first receive leaves a copy visible (`duplicates`).
/// * At most so many are in flight. Beyond that, short polling of a standard queue gets `OverLimit`, all others nothing.
/// * FIFO: a message group has one message in flight; what comes back is first in its group. A batch takes one message of each
///   group (AWS may put several of one group into a batch). Nothing is missed or delivered twice.
/// * SQS knows no rejecting: a consumer sends the message to the dead-letter queue itself and deletes it, two requests.
/// * Where it is bounded, which SQS is not, the oldest is dropped if nobody has it in hand, and else the next one in line.
/// * A consumer that leaves or dies says nothing of what it has: that comes back when its visibility timeout is over.
///
/// `visible` in its [`Depth`] counts messages of blocked groups too, as `ApproximateNumberOfMessagesVisible` does. Each send,
/// receive, delete and extension is one request. Receives that bring nothing are counted in arrears: all that ended up to the
/// last [`advance`](Sqs::advance), but for one cycle of waiting at most.
#[derive(Clone, Debug)]
pub struct Sqs {
    rules: Rules,
    own: plan::Sqs,
    heartbeats: Heartbeats,
    /// What is more to know of each is its message group.
    entries: Entries<u32>,
    lineup: Lineup,
    flights: Flights,
    delayed: usize,
    /// When new messages can be received: all after one delay, so that they keep their order.
    delays: Timers,
    timeouts: Timers,
    consumers: Vec<Consumer>,
    polls: Polls,
    /// When a consumer polls next while there is something for it.
    next_poll: Time,
    misses: Stream,
    duplicates: Stream,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
struct Consumer {
    /// The rest of its batch.
    held: VecDeque<Receipt>,
    /// What it began last.
    hand: Option<Receipt>,
}

impl Sqs {
    /// An empty queue.
    pub fn new(plan: &plan::Queue, own: plan::Sqs, seed: Seed) -> Sqs {
        Sqs {
            rules: Rules::new(plan),
            own,
            heartbeats: Heartbeats::new(&own),
            entries: Entries::new(),
            lineup: Lineup::new(own.fifo),
            flights: Flights::default(),
            delayed: 0,
            delays: Timers::default(),
            timeouts: Timers::default(),
            consumers: Vec::new(),
            polls: Polls::new(&own),
            next_poll: Time::NEVER,
            misses: seed.stream(&format!("queue/{}/misses", plan.name)),
            duplicates: seed.stream(&format!("queue/{}/duplicates", plan.name)),
            counts: Counts::default(),
        }
    }

    /// `SendMessage`.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        if self.rules.is_full(self.entries.len()) {
            self.make_room(now, happened)?;
        }
        self.counts.sent += 1;
        self.counts.requests += 1;
        if self.rules.expires(message.sent) <= now {
            self.counts.lost += 1;
            happened.push(Happened::Lost { job: message.job, how: Loss::Expired });
            return Ok(());
        }
        let group = self.lineup.enter(message.key);
        if self.rules.delay.is_zero() {
            let place = self.entries.insert(message, State::Waiting, group);
            self.lineup.push_back(&mut self.entries, place);
            self.serve(now, happened);
        } else {
            let place = self.entries.insert(message, State::Delayed, group);
            self.delayed += 1;
            let stamp = self.entries.at(place).stamp();
            self.delays.push(Timer { at: now + self.rules.delay, place, stamp });
        }
        Ok(())
    }

    fn make_room(&mut self, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        let place =
            self.rules.make_room(self.entries.unreceived().or(self.lineup.first()), &mut self.counts)?;
        self.lose(place, Loss::Dropped, now, happened);
        Ok(())
    }

    /// A consumer is there.
    pub fn join(&mut self, consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {
        let index = consumer as usize;
        if self.consumers.len() <= index {
            self.consumers.resize_with(index + 1, Consumer::default);
        }
    }

    /// The next of its batch, or `ReceiveMessage`, again and again until there is something.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.join(consumer, now, happened);
        while let Some(receipt) = self.consumers[consumer as usize].held.pop_front() {
            if self.entries.still(receipt).is_some() {
                self.deliver(consumer, receipt, now, happened);
                self.tidy();
                return;
            }
        }
        if self.lineup.any() {
            if !self.poll(consumer, now, happened) {
                // What it has found out only holds for short polling; who waits is listening.
                let start = if self.is_short() { now + self.polls.cycle() } else { now };
                self.polls.ask(consumer, start);
                self.serve(now, happened);
            }
        } else {
            self.polls.ask(consumer, now);
        }
        self.tidy();
    }

    /// A consumer polls no more. What is left of its batch it may still ask for.
    pub fn stop_receiving(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.polls.stop(consumer, now, &mut self.counts);
        self.serve(now, happened);
    }

    /// `DeleteMessage`.
    pub fn acknowledge(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) -> bool {
        self.counts.requests += 1;
        if !self.is_good(receipt) {
            self.counts.stale += 1;
            return false;
        }
        let entry = self.remove(receipt.place, now);
        self.counts.consumed += 1;
        happened.push(Happened::Consumed { job: entry.job });
        self.serve(now, happened);
        self.tidy();
        true
    }

    /// `ChangeMessageVisibility` to the delay, but no longer than 12 hours from the receive. Without a delay the consumer only
    /// stops to extend it.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        let flies = self.entries.of(receipt).is_some_and(|entry| entry.state == State::InFlight);
        match delay {
            None if flies => self.cease(receipt.place, now),
            None => {}
            Some(delay) => {
                self.counts.requests += 1;
                if flies {
                    self.change_visibility(receipt.place, delay, now);
                    self.serve(now, happened);
                }
            }
        }
        self.tidy();
    }

    fn change_visibility(&mut self, place: u32, delay: Span, now: Time) {
        self.cease(place, now);
        if delay.is_zero() {
            self.expire(place);
            return;
        }
        let flight = self.flights.at_mut(self.entries.at(place).line.after);
        flight.until = (now + delay).min(flight.received + LONGEST);
        let at = flight.until;
        self.timeouts.push(Timer { at, place, stamp: self.entries.at(place).stamp() });
    }

    /// The consumer sends the message to the dead-letter queue and deletes it here.
    pub fn reject(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) {
        self.counts.requests += 2;
        if self.is_good(receipt) {
            let entry = self.remove(receipt.place, now);
            self.note_buried(&entry, happened);
            self.serve(now, happened);
        } else {
            self.counts.stale += 1;
        }
        self.tidy();
    }

    /// A consumer leaves; the rest of its batch comes back when its time is over.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.crash(consumer, now, happened);
    }

    /// A consumer is gone, and with it its heartbeats.
    pub fn crash(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.polls.stop(consumer, now, &mut self.counts);
        let Some(gone) = self.consumers.get_mut(consumer as usize) else { return };
        gone.held.clear();
        if let Some(receipt) = gone.hand.take()
            && self.entries.of(receipt).is_some_and(|entry| entry.state == State::InFlight)
        {
            self.cease(receipt.place, now);
        }
        self.serve(now, happened);
        self.tidy();
    }

    /// When a timeout or a delay ends, a message expires, or a consumer polls for one that is there.
    #[inline]
    pub fn due(&self) -> Time {
        let expires = self.entries.oldest_sent().map_or(Time::NEVER, |sent| self.rules.expires(sent));
        self.delays.next().min(self.timeouts.next()).min(self.next_poll).min(expires)
    }

    /// What happens by itself until `now`.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some(timer) = self.delays.pop(now) {
            if self.entries.is(&timer, State::Delayed) {
                self.delayed -= 1;
                self.entries.at_mut(timer.place).state = State::Waiting;
                self.lineup.push_back(&mut self.entries, timer.place);
            }
        }
        while let Some(timer) = self.timeouts.pop(now) {
            if flies(&self.entries, &self.flights, &timer) {
                self.expire(timer.place);
            }
        }
        while let Some(place) = self.entries.oldest()
            && self.rules.expires(self.entries.at(place).sent) <= now
        {
            self.lose(place, Loss::Expired, now, happened);
        }
        self.serve(now, happened);
        self.polls.count(now, &mut self.counts);
        self.tidy();
    }

    /// How it stands.
    pub fn depth(&self, _now: Time) -> Depth {
        Depth {
            visible: self.lineup.len() as u64,
            in_flight: self.flights.len() as u64,
            delayed: self.delayed as u64,
            oldest: self.entries.oldest_sent(),
        }
    }

    /// What it has counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How it stands, counted message by message. No group has two messages in flight.
    #[cfg(test)]
    pub(super) fn recount(&self) -> Depth {
        let flying = self.entries.iter().filter(|entry| entry.state == State::InFlight);
        let mut groups: Vec<u32> = flying.map(|entry| entry.extra).collect();
        let flying = groups.len();
        groups.sort_unstable();
        groups.dedup();
        assert!(!self.own.fifo || groups.len() == flying);
        self.entries.recount()
    }
}

// What goes on inside.
impl Sqs {
    fn is_short(&self) -> bool {
        self.own.wait_time.is_zero()
    }

    fn is_limited(&self) -> bool {
        self.flights.len() as u64 >= self.own.in_flight
    }

    /// True for a receipt that deletes its message.
    #[inline]
    fn is_good(&self, receipt: Receipt) -> bool {
        self.entries.of(receipt).is_some_and(|entry| entry.state == State::InFlight || !self.own.fifo)
    }

    /// Lets consumers that listen receive what there is, and notes when the next one will.
    #[inline]
    fn serve(&mut self, now: Time, happened: &mut Vec<Happened>) {
        self.next_poll = Time::NEVER;
        while !self.polls.is_empty() && self.lineup.any() {
            let answers_limit = self.is_short() && !self.own.fifo;
            if self.is_limited() && !answers_limit {
                return;
            }
            let Some((start, consumer)) = self.polls.next(now, &mut self.counts) else { return };
            if start > now {
                self.next_poll = start;
                return;
            }
            if self.poll(consumer, now, happened) {
                self.polls.answered(consumer);
            } else if self.is_short() {
                self.polls.again(consumer);
            }
        }
    }

    /// One `ReceiveMessage` while there are messages: false if it brings nothing after all. The consumer begins the first.
    #[inline]
    fn poll(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) -> bool {
        let short = self.is_short();
        if self.is_limited() {
            if short && !self.own.fifo {
                self.counts.requests += 1;
                self.counts.over_limit += 1;
            } else if short {
                self.count_empty();
            }
            return false;
        }
        let misses = short && !self.own.fifo && self.own.misses > 0.0;
        if misses && unit(&mut self.misses) < self.own.misses {
            self.count_empty();
            return false;
        }
        match self.take(consumer, now, happened) {
            Some(first) => {
                self.counts.requests += 1;
                self.deliver(consumer, first, now, happened);
                true
            }
            None => {
                if short {
                    self.count_empty();
                }
                false
            }
        }
    }

    fn count_empty(&mut self) {
        self.counts.requests += 1;
        self.counts.empty_receives += 1;
    }

    /// Receives a batch: says its first message, and keeps the others for the consumer.
    #[inline]
    fn take(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) -> Option<Receipt> {
        let room = self.own.in_flight.saturating_sub(self.flights.len() as u64);
        let most = u64::from(self.own.batch.max(1)).min(room);
        let mut first = None;
        let mut copies: SmallVec<[u32; 10]> = SmallVec::new();
        let mut taken = 0;
        while taken < most
            && let Some(place) = self.lineup.pop(&mut self.entries)
        {
            if self.rules.is_spent(self.entries.at(place).receives()) {
                // It has left its line, and its group is as blocked as if it were in flight.
                let entry = self.entries.remove(place);
                self.lineup.landed(entry.extra);
                self.lineup.leave(entry.extra);
                self.note_buried(&entry, happened);
                continue;
            }
            taken += 1;
            let receipt = self.entries.receive(place);
            if self.leaves_copy(place) {
                copies.push(place);
            } else {
                self.fly(place, now);
            }
            match first {
                None => first = Some(receipt),
                Some(_) => self.consumers[consumer as usize].held.push_back(receipt),
            }
        }
        for &place in &copies {
            self.lineup.push_front(&mut self.entries, place);
        }
        first
    }

    /// Draws whether the first receive of a message leaves it visible, and counts the receive.
    #[inline]
    fn leaves_copy(&mut self, place: u32) -> bool {
        let again = self.entries.at(place).receives() > 1;
        self.counts.received += 1;
        self.counts.received_again += u64::from(again);
        let may = self.own.duplicates > 0.0 && !again && !self.own.fifo;
        may && unit(&mut self.duplicates) < self.own.duplicates
    }

    /// A message is in flight from now on.
    #[inline]
    fn fly(&mut self, place: u32, now: Time) {
        let until = now + self.own.visibility_timeout;
        let flight = self.flights.open(Flight { received: now, until, begun: Time::NEVER });
        let entry = self.entries.at_mut(place);
        entry.state = State::InFlight;
        entry.line.after = flight;
        let stamp = entry.stamp();
        self.timeouts.push(Timer { at: until, place, stamp });
    }

    /// A consumer begins a message. It does not know whether it is still invisible, and extends it only if it is.
    #[inline]
    fn deliver(&mut self, consumer: u32, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) {
        let entry = self.entries.at(receipt.place);
        let (job, receives) = (entry.job, entry.receives());
        self.consumers[consumer as usize].hand = Some(receipt);
        happened.push(Happened::Delivered { consumer, job, receipt, receives });
        if self.heartbeats.any()
            && let Some(entry) = self.entries.of(receipt)
            && entry.state == State::InFlight
        {
            let flight = self.flights.at_mut(entry.line.after);
            flight.begun = now;
            flight.until = self.heartbeats.until(flight, Time::NEVER);
            self.timeouts.push(Timer { at: flight.until, place: receipt.place, stamp: entry.stamp() });
        }
    }

    /// A message in flight can be received again.
    fn expire(&mut self, place: u32) {
        self.land(place, Time::NEVER);
        self.entries.at_mut(place).state = State::Waiting;
        self.lineup.come_back(&mut self.entries, place);
    }

    /// Closes a flight, and counts the heartbeats that it had by `now`.
    #[inline]
    fn land(&mut self, place: u32, now: Time) {
        let flight = self.flights.close(self.entries.at(place).line.after);
        self.counts.requests += self.heartbeats.by(&flight, now.min(flight.until));
    }

    /// No heartbeats come any more for a message in flight.
    fn cease(&mut self, place: u32, now: Time) {
        let flight = self.flights.at_mut(self.entries.at(place).line.after);
        if flight.begun == Time::NEVER {
            return;
        }
        self.counts.requests += self.heartbeats.by(flight, now);
        flight.until = self.heartbeats.until(flight, now);
        flight.begun = Time::NEVER;
        let at = flight.until;
        self.timeouts.push(Timer { at, place, stamp: self.entries.at(place).stamp() });
    }

    /// Takes a message out, wherever it is.
    #[inline]
    fn remove(&mut self, place: u32, now: Time) -> Entry<u32> {
        match self.entries.at(place).state {
            State::InFlight => {
                self.land(place, now);
                let entry = self.entries.remove(place);
                self.lineup.landed(entry.extra);
                self.lineup.leave(entry.extra);
                return entry;
            }
            State::Waiting => self.lineup.remove(&mut self.entries, place),
            State::Delayed => self.delayed -= 1,
            State::Gone => {}
        }
        let entry = self.entries.remove(place);
        self.lineup.leave(entry.extra);
        entry
    }

    fn lose(&mut self, place: u32, how: Loss, now: Time, happened: &mut Vec<Happened>) {
        let entry = self.remove(place, now);
        self.counts.lost += 1;
        happened.push(Happened::Lost { job: entry.job, how });
    }

    fn note_buried(&mut self, entry: &Entry<u32>, happened: &mut Vec<Happened>) {
        self.counts.dead_lettered += 1;
        happened.push(Happened::DeadLettered { job: entry.job, sent: entry.sent });
    }

    #[inline]
    fn tidy(&mut self) {
        let (entries, flights) = (&self.entries, &self.flights);
        self.delays.tidy(self.delayed, |timer| entries.is(timer, State::Delayed));
        self.timeouts.tidy(flights.len(), |timer| flies(entries, flights, timer));
    }
}

/// True for the timer that ends a flight, unless that is over or has been extended.
#[inline]
fn flies(entries: &Entries<u32>, flights: &Flights, timer: &Timer) -> bool {
    entries.is(timer, State::InFlight) && flights.at(entries.at(timer.place).line.after).until == timer.at
}
