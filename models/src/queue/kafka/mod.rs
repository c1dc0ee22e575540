//! A topic of Kafka that one consumer group consumes.

mod assign;
mod commit;
mod group;
mod hash;
mod partition;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sim_core::{Span, Time};

use self::group::{Group, Member};
use self::partition::{NOBODY, Partition, Record};
use super::rules::Rules;
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan::{self, Commit, WhenFull};

/// A topic with its consumer group, by the classic protocol.
///
/// Records with one key are in one partition, and a partition belongs to one member at a time, so there are never more busy
/// consumers than partitions. A consumer polls records of its partitions in turn and works on them one by one; it polls again
/// once it is through. Only at polls does it commit (where that is automatic), take part in a rebalance, and prove that it is
/// not stuck. Whatever is not committed when a partition changes hands is delivered again, also where its work was done.
/// A record is [`Happened::Consumed`] when its offset is committed.
///
/// What is the application's, as the clients leave it to it:
/// * A failed record is tried again in its place: its consumer pauses the partition for the delay, seeks back, and goes on with
///   its other partitions (blocking retry, as Spring Kafka's `DefaultErrorHandler` does). A consumer that fails without a word
///   begins anew from what is committed.
/// * A record that was received too often without being done, or is rejected, goes to a topic of dead letters, and its offset is
///   moved over.
/// * A consumer that leaves in good order closes in the middle of a poll if it must: it commits what it is done with.
/// * Delayed messages are sent once their delay is over.
///
/// Heartbeats and fetches take no time: a rebalance is known to members that wait at once, a member that died is missed a
/// session timeout later to the nanosecond. A consumer that was put out drops the rest of its poll and joins again when it asks
/// for a job. The retention is per record, not per segment. There is no capacity in Kafka but by bytes; here a full topic does
/// as any other queue. Kafka is not billed by requests, and none are counted.
///
/// A static member is known by its consumer's number: one that comes with the number of one that is away is that one.
///
/// Sources: Kafka documentation, consumer configs and broker configs; KIP-62 (`max.poll.interval.ms`), KIP-134 (initial
/// rebalance delay), KIP-345 (static membership), KIP-429 (incremental cooperative rebalancing).
#[derive(Clone, Debug)]
pub struct Kafka {
    own: plan::Kafka,
    rules: Rules,
    log: Vec<Partition>,
    members: Vec<Member>,
    group: Group,
    /// When they are sent.
    delayed: VecDeque<(Time, Message)>,
    timers: BinaryHeap<Reverse<(Time, u64, Timer)>>,
    timers_set: u64,
    /// Records in the log that are not committed, and no dead letters.
    lag: u64,
    counts: Counts,
}

/// What is looked at again at some time. Those of what has changed by then say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A member is away for the session timeout.
    Session { member: u32, stamp: u32 },
    /// A member may not have polled for the poll interval.
    Poll { member: u32, stamp: u32 },
    /// A member that waits commits.
    Commit { member: u32, stamp: u32 },
    /// A phase of the group is over.
    Group { phase: u64 },
    /// A paused partition is resumed.
    Resume { partition: u32, epoch: u32 },
    /// The first record of a partition may be too old.
    Retention { partition: u32 },
}

impl Kafka {
    /// An empty topic, and a group without members.
    pub fn new(plan: &plan::Queue, own: plan::Kafka) -> Kafka {
        let partitions = own.partitions.max(1);
        Kafka {
            own,
            rules: Rules::new(plan),
            log: (0..partitions).map(|_| Partition::new()).collect(),
            members: Vec::new(),
            group: Group::new(),
            delayed: VecDeque::new(),
            timers: BinaryHeap::new(),
            timers_set: 0,
            lag: 0,
            counts: Counts::default(),
        }
    }

    /// A producer sends a record.
    ///
    /// # Errors
    /// When the topic is full and drops nothing.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        let held = self.lag as usize + self.delayed.len();
        if self.rules.is_full(held) && !self.drop_oldest(happened) {
            self.counts.refused += 1;
            return Err(Full);
        }
        self.counts.sent += 1;
        if self.rules.delay.is_zero() {
            self.append(message, now, happened);
        } else {
            self.delayed.push_back((now + self.rules.delay, message));
        }
        Ok(())
    }

    /// A consumer subscribes.
    pub fn join(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.join_group(consumer, now, happened);
    }

    /// A consumer takes the next record of its poll, or polls. Nothing happens for one that has a record in hand. One that was
    /// put out of the group joins again.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        let Some(member) = self.member_that_polls(consumer, now, happened) else { return };
        let state = &self.members[member as usize];
        if state.waiting || state.hand != NOBODY || self.hand_out(member, now, happened) {
            return;
        }
        self.poll(member, now, happened);
    }

    /// A consumer stops polling, and stays in the group while its poll interval lasts.
    pub fn stop_receiving(&mut self, consumer: u32, now: Time, _happened: &mut Vec<Happened>) {
        if let Some(member) = self.group.member_of(consumer)
            && std::mem::take(&mut self.members[member as usize].waiting)
        {
            self.keep_commit_grid(member, now);
            self.members[member as usize].last_poll = now;
            self.watch_polls(member);
        }
    }

    /// A record is done with. False where its partition was taken from the consumer.
    pub fn acknowledge(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) -> bool {
        let Some(record) = self.held(receipt) else {
            self.counts.stale += 1;
            return false;
        };
        record.done = true;
        self.move_on(receipt.place, now, happened);
        true
    }

    /// The consumer tries the record again in `delay`, and keeps its partition waiting. With `None` it begins all its partitions
    /// anew from where it has committed.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        let Some(record) = self.held(receipt) else { return };
        let receives = u32::from(record.receives);
        let member = self.log[receipt.place as usize].owner;
        match delay {
            Some(_) if self.rules.is_spent(receives) => {
                self.dead_letter(receipt.place, happened);
                self.move_on(receipt.place, now, happened);
            }
            Some(delay) => {
                self.retry(member, receipt.place, delay, now);
                self.commit_poll(member, now, happened);
            }
            None => self.rewind_all(member, now, happened),
        }
    }

    /// The consumer sends the record to the topic of dead letters, and moves on.
    pub fn reject(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) {
        if self.held(receipt).is_some() {
            self.dead_letter(receipt.place, happened);
            self.move_on(receipt.place, now, happened);
        }
    }

    /// A consumer commits what it is done with and closes. A static member's partitions wait for it for the session timeout.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        if let Some(member) = self.group.member_of(consumer) {
            self.commit(member, now, happened);
        }
        self.leave_group(consumer, now, happened);
    }

    /// A consumer is gone. The group misses it a session timeout later.
    pub fn crash(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.lose_member(consumer, now, happened);
    }

    /// When something happens by itself next.
    pub fn due(&self) -> Time {
        let timer = self.timers.peek().map_or(Time::NEVER, |Reverse((at, ..))| *at);
        self.delayed.front().map_or(timer, |&(at, _)| timer.min(at))
    }

    /// What happens by itself until `now`.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while self.due() <= now {
            let at = self.due();
            if let Some(&(due, message)) = self.delayed.front()
                && due == at
            {
                self.delayed.pop_front();
                self.append(message, at, happened);
            } else if let Some(Reverse((_, _, timer))) = self.timers.pop() {
                self.ring(timer, at, happened);
            } else {
                return;
            }
        }
    }

    /// How it stands. All that is not committed is lag, and visible: the broker does not know what consumers have in hand.
    /// Takes a step for each partition.
    pub fn depth(&self, _now: Time) -> Depth {
        let firsts = self.log.iter().filter_map(|partition| partition.oldest().map(|record| record.sent));
        Depth {
            visible: self.lag,
            in_flight: 0,
            delayed: self.delayed.len() as u64,
            oldest: firsts.chain(self.delayed.front().map(|(_, message)| message.sent)).min(),
        }
    }

    /// What it has counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Consumers in the group that have no partition: those beyond the partitions, and all while an eager rebalance lasts.
    pub fn idle_consumers(&self) -> u64 {
        self.members.iter().filter(|member| member.is_here() && member.partitions.is_empty()).count() as u64
    }

    fn ring(&mut self, timer: Timer, at: Time, happened: &mut Vec<Happened>) {
        match timer {
            Timer::Session { member, stamp } => self.session_over(member, stamp, at, happened),
            Timer::Poll { member, stamp } => self.poll_overdue(member, stamp, at, happened),
            Timer::Commit { member, stamp } => self.commit_while_waiting(member, stamp, at, happened),
            Timer::Group { phase } => self.phase_over(phase, at, happened),
            Timer::Resume { partition, epoch } => {
                let paused = &mut self.log[partition as usize];
                if paused.epoch() == epoch && std::mem::take(&mut paused.paused) {
                    self.make_ready(partition, at, happened);
                }
            }
            Timer::Retention { partition } => {
                self.log[partition as usize].watched = false;
                self.expire(partition, at, happened);
            }
        }
    }

    fn set(&mut self, at: Time, timer: Timer) {
        if at < Time::NEVER {
            self.timers_set += 1;
            self.timers.push(Reverse((at, self.timers_set, timer)));
        }
    }

    fn append(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) {
        let partition = hash::partition_of(message.key, self.log.len() as u32);
        self.log[partition as usize].append(message.job, message.sent);
        self.lag += 1;
        self.watch_retention(partition, now);
        self.make_ready(partition, now, happened);
    }

    /// A partition has records to poll: its owner gets them now if it waits.
    #[inline]
    fn make_ready(&mut self, partition: u32, now: Time, happened: &mut Vec<Happened>) {
        let state = &mut self.log[partition as usize];
        if state.queued || state.paused || state.owner == NOBODY || !state.has_more() {
            return;
        }
        state.queued = true;
        let member = state.owner;
        self.members[member as usize].ready.push_back(partition);
        if self.members[member as usize].waiting {
            self.poll(member, now, happened);
        }
    }

    /// A member polls, and works on the first record that it gets; else it waits.
    fn poll(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        self.commit_at_poll(member, now, happened);
        let state = &mut self.members[member as usize];
        state.last_poll = now;
        // It is not among those that wait while it takes part in what the group does.
        state.waiting = false;
        self.take_part(member, now, happened);
        while self.fetch(member) {
            if self.hand_out(member, now, happened) {
                self.watch_polls(member);
                return;
            }
        }
        self.members[member as usize].waiting = true;
        self.watch_commit(member, now);
    }

    /// Takes records from the member's partitions in turn, at most `max.poll.records`. False where there are none.
    fn fetch(&mut self, member: u32) -> bool {
        let state = &mut self.members[member as usize];
        let mut room = u64::from(self.own.max_poll_records.max(1));
        while room > 0
            && let Some(partition) = state.ready.pop_front()
        {
            let polled = &mut self.log[partition as usize];
            polled.queued = false;
            if polled.paused {
                continue;
            }
            room -= polled.fetch(room);
            state.fetched.push_back(partition);
            if polled.has_more() {
                polled.queued = true;
                state.ready.push_back(partition);
            }
        }
        !state.fetched.is_empty()
    }

    /// Works on the next record of the last poll. False where it is through with that.
    fn hand_out(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) -> bool {
        while let Some(&partition) = self.members[member as usize].fetched.front() {
            let polled = &mut self.log[partition as usize];
            let Some(record) = polled.advance() else {
                self.members[member as usize].fetched.pop_front();
                continue;
            };
            let spent = !record.done && self.rules.is_spent(u32::from(record.receives));
            if record.gone || spent {
                if !record.gone {
                    self.dead_letter(partition, happened);
                }
                self.mark_dirty(partition);
                self.watch_retention(partition, now);
                continue;
            }
            record.receives = record.receives.saturating_add(1);
            let (job, receives) = (record.job, u32::from(record.receives));
            let receipt = polled.hand(partition);
            let drained = polled.is_drained();
            let state = &mut self.members[member as usize];
            if drained {
                state.fetched.pop_front();
            }
            state.hand = partition;
            self.counts.received += 1;
            self.counts.received_again += u64::from(receives > 1);
            happened.push(Happened::Delivered { consumer: state.consumer, job, receipt, receives });
            return true;
        }
        false
    }

    fn held(&mut self, receipt: Receipt) -> Option<&mut Record> {
        self.log.get_mut(receipt.place as usize)?.held(receipt)
    }

    /// The record that its consumer moved on to last is a dead letter.
    fn dead_letter(&mut self, partition: u32, happened: &mut Vec<Happened>) {
        if let Some(record) = self.log[partition as usize].last() {
            record.gone = true;
            self.lag -= 1;
            self.counts.dead_lettered += 1;
            happened.push(Happened::DeadLettered { job: record.job, sent: record.sent });
        }
    }

    /// The record in hand is done with.
    #[inline]
    fn move_on(&mut self, partition: u32, now: Time, happened: &mut Vec<Happened>) {
        let state = &mut self.log[partition as usize];
        state.put_down();
        let member = state.owner;
        self.members[member as usize].hand = NOBODY;
        self.mark_dirty(partition);
        if self.own.commit == Commit::EachRecord {
            self.commit(member, now, happened);
        } else {
            self.commit_poll(member, now, happened);
        }
        self.watch_retention(partition, now);
    }

    /// Tries the record in hand again, once the delay is over.
    fn retry(&mut self, member: u32, partition: u32, delay: Span, now: Time) {
        let state = &mut self.log[partition as usize];
        state.retry();
        state.paused = !delay.is_zero();
        let (epoch, queued) = (state.epoch(), state.queued);
        state.queued |= delay.is_zero();
        let consumer = &mut self.members[member as usize];
        consumer.hand = NOBODY;
        consumer.fetched.retain(|&fetched| fetched != partition);
        if !delay.is_zero() {
            self.set(now + delay, Timer::Resume { partition, epoch });
        } else if !queued {
            consumer.ready.push_back(partition);
        }
        self.watch_retention(partition, now);
    }

    fn drop_oldest(&mut self, happened: &mut Vec<Happened>) -> bool {
        if self.rules.when_full != WhenFull::DropOldest {
            return false;
        }
        let unpolled = self.log.iter().enumerate().filter_map(|(partition, state)| {
            state.oldest_unpolled().map(|(index, sent)| (sent, partition, index))
        });
        if let Some((_, partition, index)) = unpolled.min() {
            if let Some(record) = self.log[partition].drop_unpolled(index) {
                self.take_away(record, Loss::Dropped, happened);
            }
            return true;
        }
        let Some((_, message)) = self.delayed.pop_front() else { return false };
        self.counts.lost += 1;
        happened.push(Happened::Lost { job: message.job, how: Loss::Dropped });
        true
    }

    /// Deletes what is too old from the front of a partition.
    fn expire(&mut self, partition: u32, now: Time, happened: &mut Vec<Happened>) {
        while let Some(record) = self.log[partition as usize].first_in_log_only()
            && self.rules.expires(record.sent) <= now
        {
            if let Some(record) = self.log[partition as usize].take_first() {
                self.take_away(record, Loss::Expired, happened);
            }
        }
        self.watch_retention(partition, now);
    }

    /// A record is no longer in the log though nobody has committed it.
    fn take_away(&mut self, record: Record, how: Loss, happened: &mut Vec<Happened>) {
        if record.gone {
            return;
        }
        if record.done {
            return self.consumed(record, happened);
        }
        self.lag -= 1;
        self.counts.lost += 1;
        happened.push(Happened::Lost { job: record.job, how });
    }

    /// Sees to it that the first record of a partition is deleted in time.
    #[inline]
    fn watch_retention(&mut self, partition: u32, now: Time) {
        let state = &mut self.log[partition as usize];
        if !state.watched
            && let Some(record) = state.first_in_log_only()
        {
            let expires = self.rules.expires(record.sent);
            if expires < Time::NEVER {
                state.watched = true;
                self.set(expires.max(now), Timer::Retention { partition });
            }
        }
    }

    #[inline]
    fn consumed(&mut self, record: Record, happened: &mut Vec<Happened>) {
        self.lag -= 1;
        self.counts.consumed += 1;
        happened.push(Happened::Consumed { job: record.job });
    }
}
