//! RabbitMQ: a queue that pushes messages to the channels of its consumers.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sim_core::{Span, Time};

use super::entries::{Entries, Entry, NOWHERE, State};
use super::priorities::Priorities;
use super::rules::Rules;
use super::timers::{Timer, Timers};
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan;

/// A queue of RabbitMQ (AMQP 0-9-1), after its guides "Consumer Prefetch", "Consumer Acknowledgements", "Priority Queues",
/// "Dead Letter Exchanges" and "Time-To-Live".
///
/// * A consumer has a channel of its own from when it joins. Messages are pushed to channels in turn, up to `prefetch` that are
///   not acknowledged (0 is no limit), whether or not the consumer asks for them; it works on one at a time.
/// * What a channel has when it closes goes back to its place in the queue, marked as redelivered: before all of its priority
///   that were never delivered, in their old order.
/// * The broker takes `notices` to see that a consumer died. Until then it goes on to push messages to it.
/// * A delivery that is not acknowledged within `consumer_timeout` of being pushed closes the channel: all that is on it goes
///   back, also what is being worked on. (RabbitMQ looks once a minute; here it is at once.) The consumer opens a new channel
///   when it asks for its next job.
/// * `basic.nack` without requeue, rejected messages and the delivery limit (`max_receives`, looked at when one goes back) lead
///   to the dead-letter exchange. So do messages whose time to live is over and those that make room, where there is one.
/// * A message expires only while it waits. A failed one that is to wait is published anew, at the end of the queue.
///
/// A push is a receive, whether or not the consumer comes to it. There are no requests to bill.
#[derive(Clone, Debug)]
pub struct RabbitMq {
    rules: Rules,
    own: plan::RabbitMq,
    entries: Entries<Waits>,
    /// Those that were never delivered, or were published anew.
    fresh: Priorities,
    /// Those that went back: priority, their old order, place and stamp. May hold some that are gone, but never on top.
    returned: BinaryHeap<Reverse<(u8, u64, u32, u32)>>,
    living_returned: usize,
    deliveries: u64,
    unacknowledged: usize,
    delayed: usize,
    backoffs: Timers,
    expiries: Timers,
    /// When unacknowledged deliveries close their channel.
    timeouts: Timers,
    channels: Vec<Channel>,
    free: Vec<u32>,
    /// The channel of each consumer.
    consumers: Vec<u32>,
    /// Channels that can take a message, the next to get one first.
    ready: VecDeque<u32>,
    /// When the broker notices that the consumers of channels have died, in order of time.
    dead: VecDeque<(Time, u32)>,
    counts: Counts,
}

/// What is to know of a message.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// Its place among those that went back; 0 before its first delivery.
    order: u64,
    priority: u8,
}

#[derive(Clone, Debug)]
struct Channel {
    /// Whose it is; [`NOWHERE`] once that has died.
    consumer: u32,
    /// Messages are pushed to it.
    subscribed: bool,
    /// Its consumer waits for a job.
    asked: bool,
    /// It stands among those that are ready.
    ready: bool,
    /// What its consumer works on.
    hand: Option<Receipt>,
    /// What was pushed to it beyond that.
    held: VecDeque<Receipt>,
}

/// A returned heap is tidied up once so many more than twice the living are in it.
const STALE_RETURNED: usize = 64;

impl RabbitMq {
    /// An empty queue.
    pub fn new(plan: &plan::Queue, own: plan::RabbitMq) -> RabbitMq {
        RabbitMq {
            rules: Rules::new(plan),
            own,
            entries: Entries::new(),
            fresh: Priorities::default(),
            returned: BinaryHeap::new(),
            living_returned: 0,
            deliveries: 0,
            unacknowledged: 0,
            delayed: 0,
            backoffs: Timers::default(),
            expiries: Timers::default(),
            timeouts: Timers::default(),
            channels: Vec::new(),
            free: Vec::new(),
            consumers: Vec::new(),
            ready: VecDeque::new(),
            dead: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// `basic.publish`.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        if self.rules.is_full(self.entries.len()) {
            self.make_room(happened)?;
        }
        self.counts.sent += 1;
        let priority = message.priority.min(self.own.priorities.saturating_sub(1));
        let place = self.entries.insert(message, State::Gone, Waits { order: 0, priority });
        self.publish(place, self.rules.delay, now, happened);
        self.serve(now, happened);
        Ok(())
    }

    fn make_room(&mut self, happened: &mut Vec<Happened>) -> Result<(), Full> {
        let place = self.rules.make_room(self.first(), &mut self.counts)?;
        self.lose(place, Loss::Dropped, happened);
        Ok(())
    }

    /// A consumer opens a channel and subscribes (`basic.consume`).
    pub fn join(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.channel_of(consumer);
        self.serve(now, happened);
    }

    /// A consumer takes the next of what was pushed to it, or waits for it.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        let number = self.channel_of(consumer);
        let channel = &mut self.channels[number as usize];
        channel.asked = true;
        if !channel.subscribed {
            channel.subscribed = true;
            self.look_at(number);
        }
        self.hand_out(number, happened);
        self.serve(now, happened);
    }

    /// `basic.cancel`: nothing more is pushed. What was pushed stays with the consumer.
    pub fn stop_receiving(&mut self, consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {
        if let Some(number) = self.open_channel(consumer) {
            let channel = &mut self.channels[number as usize];
            channel.subscribed = false;
            channel.asked = false;
            self.look_at(number);
        }
    }

    /// `basic.ack`. False where the channel of the delivery is closed.
    pub fn acknowledge(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) -> bool {
        let Some(number) = self.settle(receipt) else {
            self.counts.stale += 1;
            return false;
        };
        let entry = self.remove(receipt.place);
        self.counts.consumed += 1;
        happened.push(Happened::Consumed { job: entry.job });
        self.look_at(number);
        self.serve(now, happened);
        true
    }

    /// `basic.nack`: with requeue to its place, or to be published anew after a delay. Without either the consumer's connection
    /// breaks, which the broker notices later.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        let Some(number) = self.settle(receipt) else {
            self.counts.stale += u64::from(delay.is_some());
            return;
        };
        match delay {
            None => {
                let lost = self.open(NOWHERE);
                self.channels[lost as usize].hand = Some(receipt);
                self.entries.at_mut(receipt.place).line.after = lost;
                self.dead.push_back((now + self.own.notices, lost));
            }
            Some(delay) if delay.is_zero() => self.give_back(receipt.place, now, happened),
            Some(delay) => {
                if self.rules.is_spent(self.entries.at(receipt.place).receives()) {
                    self.bury(receipt.place, happened);
                } else {
                    self.unacknowledged -= 1;
                    self.publish(receipt.place, delay, now, happened);
                }
            }
        }
        self.look_at(number);
        self.serve(now, happened);
    }

    /// `basic.reject` without requeue.
    pub fn reject(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) {
        match self.settle(receipt) {
            Some(number) => {
                self.bury(receipt.place, happened);
                self.look_at(number);
                self.serve(now, happened);
            }
            None => self.counts.stale += 1,
        }
    }

    /// A consumer closes its channel, and the broker knows at once.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        if let Some(number) = self.open_channel(consumer) {
            self.consumers[consumer as usize] = NOWHERE;
            self.close(number, now, happened);
            self.serve(now, happened);
        }
    }

    /// A consumer has died. Its channel is open until the broker notices.
    pub fn crash(&mut self, consumer: u32, now: Time, _happened: &mut Vec<Happened>) {
        if let Some(number) = self.open_channel(consumer) {
            self.consumers[consumer as usize] = NOWHERE;
            let channel = &mut self.channels[number as usize];
            channel.consumer = NOWHERE;
            channel.asked = false;
            self.dead.push_back((now + self.own.notices, number));
        }
    }

    /// When a delay ends, a message expires, the broker notices a death or closes a channel.
    #[inline]
    pub fn due(&self) -> Time {
        let noticed = self.dead.front().map_or(Time::NEVER, |&(at, _)| at);
        self.backoffs.next().min(self.expiries.next()).min(self.timeouts.next()).min(noticed)
    }

    /// What happens by itself until `now`.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some(&(at, number)) = self.dead.front()
            && at <= now
        {
            self.dead.pop_front();
            self.close(number, now, happened);
        }
        while let Some(timer) = self.timeouts.pop(now) {
            if self.entries.is(&timer, State::InFlight) {
                self.time_out(self.entries.at(timer.place).line.after, now, happened);
            }
        }
        while let Some(timer) = self.backoffs.pop(now) {
            if self.entries.is(&timer, State::Delayed) {
                self.delayed -= 1;
                self.publish(timer.place, Span::ZERO, now, happened);
            }
        }
        while let Some(timer) = self.expiries.pop(now) {
            if self.entries.is(&timer, State::Waiting) {
                self.lose(timer.place, Loss::Expired, happened);
            }
        }
        self.serve(now, happened);
    }

    /// How it stands.
    pub fn depth(&self, _now: Time) -> Depth {
        Depth {
            visible: (self.fresh.len() + self.living_returned) as u64,
            in_flight: self.unacknowledged as u64,
            delayed: self.delayed as u64,
            oldest: self.entries.oldest_sent(),
        }
    }

    /// What it has counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How it stands, counted message by message.
    #[cfg(test)]
    pub(super) fn recount(&self) -> Depth {
        self.entries.recount()
    }
}

// Channels.
impl RabbitMq {
    fn open_channel(&self, consumer: u32) -> Option<u32> {
        self.consumers.get(consumer as usize).copied().filter(|&number| number != NOWHERE)
    }

    /// The channel of a consumer, which is opened where it has none.
    fn channel_of(&mut self, consumer: u32) -> u32 {
        if let Some(number) = self.open_channel(consumer) {
            return number;
        }
        let index = consumer as usize;
        if self.consumers.len() <= index {
            self.consumers.resize(index + 1, NOWHERE);
        }
        let number = self.open(consumer);
        self.consumers[index] = number;
        self.channels[number as usize].subscribed = true;
        self.look_at(number);
        number
    }

    fn open(&mut self, consumer: u32) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.channels[number as usize].consumer = consumer;
                number
            }
            None => {
                self.channels.push(Channel {
                    consumer,
                    subscribed: false,
                    asked: false,
                    ready: false,
                    hand: None,
                    held: VecDeque::new(),
                });
                self.channels.len() as u32 - 1
            }
        }
    }

    /// Closes a channel; what was on it goes back.
    fn close(&mut self, number: u32, now: Time, happened: &mut Vec<Happened>) {
        let channel = &mut self.channels[number as usize];
        channel.subscribed = false;
        channel.asked = false;
        let hand = channel.hand.take();
        let mut held = std::mem::take(&mut channel.held);
        for receipt in hand.into_iter().chain(held.drain(..)) {
            self.give_back(receipt.place, now, happened);
        }
        self.channels[number as usize].held = held;
        self.look_at(number);
        self.free.push(number);
    }

    /// The broker closes a channel because of a delivery that was not acknowledged in time.
    fn time_out(&mut self, number: u32, now: Time, happened: &mut Vec<Happened>) {
        let consumer = self.channels[number as usize].consumer;
        if consumer == NOWHERE {
            // Its death will be noticed as well, and finds nothing then; until then nothing is pushed to it.
            self.channels[number as usize].subscribed = false;
            let hand = self.channels[number as usize].hand.take();
            let mut held = std::mem::take(&mut self.channels[number as usize].held);
            for receipt in hand.into_iter().chain(held.drain(..)) {
                self.give_back(receipt.place, now, happened);
            }
            self.look_at(number);
            return;
        }
        self.consumers[consumer as usize] = NOWHERE;
        self.close(number, now, happened);
        happened.push(Happened::PutOut { consumer });
    }

    /// Puts a channel among those that can take a message, or takes it out.
    fn look_at(&mut self, number: u32) {
        let channel = &mut self.channels[number as usize];
        let open = channel.held.len() + usize::from(channel.hand.is_some());
        let room = self.own.prefetch == 0 || open < self.own.prefetch as usize;
        let ready = channel.subscribed && room;
        if ready && !channel.ready {
            self.ready.push_back(number);
        } else if !ready && channel.ready {
            self.ready.retain(|&other| other != number);
        }
        channel.ready = ready;
    }

    /// Takes a delivery off its channel, if that is open, and says which it is.
    fn settle(&mut self, receipt: Receipt) -> Option<u32> {
        let entry = self.entries.of(receipt).filter(|entry| entry.state == State::InFlight)?;
        let number = entry.line.after;
        let channel = &mut self.channels[number as usize];
        if channel.hand == Some(receipt) && channel.consumer != NOWHERE {
            channel.hand = None;
            return Some(number);
        }
        None
    }

    /// Gives a consumer the next of what was pushed to it, if it waits for that.
    fn hand_out(&mut self, number: u32, happened: &mut Vec<Happened>) {
        let channel = &mut self.channels[number as usize];
        if !channel.asked || channel.hand.is_some() {
            return;
        }
        let Some(receipt) = channel.held.pop_front() else { return };
        channel.asked = false;
        channel.hand = Some(receipt);
        let consumer = channel.consumer;
        let entry = self.entries.at(receipt.place);
        let (job, receives) = (entry.job, entry.receives());
        happened.push(Happened::Delivered { consumer, job, receipt, receives });
    }
}

// Messages.
impl RabbitMq {
    /// A message that is in no line waits behind all others of its priority, after a while.
    fn publish(&mut self, place: u32, delay: Span, now: Time, happened: &mut Vec<Happened>) {
        let entry = self.entries.at_mut(place);
        let stamp = entry.stamp();
        if !delay.is_zero() {
            entry.state = State::Delayed;
            self.delayed += 1;
            self.backoffs.push(Timer { at: now + delay, place, stamp });
            return;
        }
        entry.state = State::Waiting;
        entry.extra.order = 0;
        let priority = entry.extra.priority;
        self.fresh.push_back(&mut self.entries, priority, place);
        self.keep(place, now, happened);
    }

    /// An unacknowledged message goes back to its place, or was delivered too often.
    fn give_back(&mut self, place: u32, now: Time, happened: &mut Vec<Happened>) {
        let entry = self.entries.at_mut(place);
        if self.rules.is_spent(entry.receives()) {
            self.bury(place, happened);
            return;
        }
        self.unacknowledged -= 1;
        entry.state = State::Waiting;
        let Waits { order, priority } = entry.extra;
        self.returned.push(Reverse((priority, order, place, entry.stamp())));
        self.living_returned += 1;
        self.keep(place, now, happened);
    }

    /// A message that waits is kept until it expires.
    fn keep(&mut self, place: u32, now: Time, happened: &mut Vec<Happened>) {
        let entry = self.entries.at(place);
        let (at, stamp) = (self.rules.expires(entry.sent), entry.stamp());
        if at <= now {
            self.lose(place, Loss::Expired, happened);
        } else {
            self.expiries.push(Timer { at, place, stamp });
        }
    }

    /// Which message is next.
    fn first(&self) -> Option<u32> {
        let returned = self.returned.peek().map(|&Reverse((priority, _, place, _))| (priority, place));
        match (self.fresh.first(), returned) {
            (Some(fresh), Some(returned)) => Some(if returned.0 <= fresh.0 { returned.1 } else { fresh.1 }),
            (fresh, returned) => fresh.or(returned).map(|(_, place)| place),
        }
    }

    /// Pushes messages to channels, each in turn.
    fn serve(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some(&number) = self.ready.front()
            && let Some(place) = self.first()
        {
            self.leave_line(place);
            let receipt = self.entries.receive(place);
            let entry = self.entries.at_mut(place);
            entry.state = State::InFlight;
            entry.line.after = number;
            if entry.extra.order == 0 {
                self.deliveries += 1;
                entry.extra.order = self.deliveries;
            }
            self.unacknowledged += 1;
            self.counts.received += 1;
            self.counts.received_again += u64::from(entry.receives() > 1);
            let timer = Timer { at: now + self.own.consumer_timeout, place, stamp: entry.stamp() };
            self.timeouts.push(timer);
            self.tidy_returned();
            self.ready.pop_front();
            let channel = &mut self.channels[number as usize];
            channel.ready = false;
            channel.held.push_back(receipt);
            self.look_at(number);
            self.hand_out(number, happened);
        }
        self.tidy();
    }

    /// Takes a message that waits out of its line. It may still be in the heap of those that went back, until that is tidied.
    fn leave_line(&mut self, place: u32) {
        let Waits { order, priority } = self.entries.at(place).extra;
        if order == 0 {
            self.fresh.remove(&mut self.entries, priority, place);
        } else {
            self.living_returned -= 1;
        }
    }

    /// Takes a message out, wherever it is.
    fn remove(&mut self, place: u32) -> Entry<Waits> {
        match self.entries.at(place).state {
            State::Waiting => self.leave_line(place),
            State::Delayed => self.delayed -= 1,
            State::InFlight => self.unacknowledged -= 1,
            State::Gone => {}
        }
        let entry = self.entries.remove(place);
        self.tidy_returned();
        entry
    }

    /// A message expires or makes room, and goes to the dead-letter exchange where there is one.
    fn lose(&mut self, place: u32, how: Loss, happened: &mut Vec<Happened>) {
        if self.rules.dead_letter {
            self.bury(place, happened);
            return;
        }
        let entry = self.remove(place);
        self.counts.lost += 1;
        happened.push(Happened::Lost { job: entry.job, how });
    }

    fn bury(&mut self, place: u32, happened: &mut Vec<Happened>) {
        let entry = self.remove(place);
        self.counts.dead_lettered += 1;
        happened.push(Happened::DeadLettered { job: entry.job, sent: entry.sent });
    }

    fn tidy_returned(&mut self) {
        let entries = &self.entries;
        let lives = |&Reverse((_, _, place, stamp)): &Reverse<(u8, u64, u32, u32)>| {
            let entry = entries.at(place);
            entry.stamp() == stamp && entry.state == State::Waiting
        };
        while self.returned.peek().is_some_and(|top| !lives(top)) {
            self.returned.pop();
        }
        if self.returned.len() > 2 * self.living_returned + STALE_RETURNED {
            self.returned.retain(lives);
        }
    }

    fn tidy(&mut self) {
        let entries = &self.entries;
        let waiting = self.fresh.len() + self.living_returned;
        self.backoffs.tidy(self.delayed, |timer| entries.is(timer, State::Delayed));
        self.expiries.tidy(waiting, |timer| entries.is(timer, State::Waiting));
        self.timeouts.tidy(self.unacknowledged, |timer| entries.is(timer, State::InFlight));
    }
}
