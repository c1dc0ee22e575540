//! Who is in the group, and how its partitions are given out anew when that changes.

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::assign;
use super::partition::NOBODY;
use super::{Happened, Kafka, Timer};
use crate::plan::{Assignor, Commit};

/// A consumer group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    phase: Phase,
    /// Goes up with each phase, so that timers of earlier ones are known.
    number: u64,
    /// By the numbers of consumers.
    places: Vec<Place>,
    free: Vec<u32>,
    joined: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody is in it.
    Empty,
    /// It waits for more members before its first rebalance.
    Initial { began: Time, grown: bool },
    /// A rebalance waits until all members have joined again (`PreparingRebalance`).
    Preparing,
    /// All have joined, and partitions are being assigned (`CompletingRebalance`).
    Completing,
    /// All know what they have.
    Stable,
}

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is no member.
    Outside,
    /// It is this member.
    Here(u32),
    /// It is this member when it comes back in time.
    Away(u32),
    /// It did not poll for too long, and will join again when it does.
    PutOut,
}

/// A member of the group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub consumer: u32,
    /// Goes up when it comes, goes away or is removed, so that its earlier timers are known.
    pub stamp: u32,
    used: bool,
    here: bool,
    /// In which order they joined.
    order: u64,
    /// What it is assigned.
    pub partitions: Vec<u32>,
    /// Those of which a poll would return records, in the order of their turns.
    pub ready: VecDeque<u32>,
    /// Those of which the last poll returned records that were not handed out yet.
    pub fetched: VecDeque<u32>,
    /// Those with something to commit.
    pub dirty: Vec<u32>,
    /// The partition of the record that it works on.
    pub hand: u32,
    /// It polls, and gets nothing.
    pub waiting: bool,
    pub last_poll: Time,
    pub next_commit: Time,
    pub commit_watched: bool,
    poll_watched: bool,
    /// It takes part in the rebalance that is being prepared.
    rejoined: bool,
    /// It has to give up partitions at its next poll.
    gives: bool,
}

impl Group {
    pub fn new() -> Group {
        Group { phase: Phase::Empty, number: 0, places: Vec::new(), free: Vec::new(), joined: 0 }
    }

    /// The member that a consumer is, if it is there.
    #[inline]
    pub fn member_of(&self, consumer: u32) -> Option<u32> {
        match self.place(consumer) {
            Place::Here(member) => Some(member),
            _ => None,
        }
    }

    #[inline]
    fn place(&self, consumer: u32) -> Place {
        self.places.get(consumer as usize).copied().unwrap_or(Place::Outside)
    }

    fn put(&mut self, consumer: u32, place: Place) {
        let count = consumer as usize + 1;
        if self.places.len() < count {
            self.places.resize(count, Place::Outside);
        }
        self.places[consumer as usize] = place;
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.number += 1;
    }
}

impl Member {
    /// True while its consumer lives and is in the group.
    pub fn is_here(&self) -> bool {
        self.used && self.here
    }

    fn vacant() -> Member {
        Member {
            consumer: 0,
            stamp: 0,
            used: false,
            here: false,
            order: 0,
            partitions: Vec::new(),
            ready: VecDeque::new(),
            fetched: VecDeque::new(),
            dirty: Vec::new(),
            hand: NOBODY,
            waiting: false,
            last_poll: Time::ZERO,
            next_commit: Time::ZERO,
            commit_watched: false,
            poll_watched: false,
            rejoined: false,
            gives: false,
        }
    }

    /// Its earlier timers say nothing any more.
    fn renew(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        self.waiting = false;
        self.commit_watched = false;
        self.poll_watched = false;
    }
}

impl Kafka {
    /// A consumer joins, or a static member comes back.
    pub(super) fn join_group(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        match self.group.place(consumer) {
            Place::Here(_) => {}
            Place::Away(member) => self.come(member, consumer, now),
            Place::Outside | Place::PutOut => {
                let member = self.group.free.pop().unwrap_or_else(|| {
                    self.members.push(Member::vacant());
                    self.members.len() as u32 - 1
                });
                self.come(member, consumer, now);
                self.group.joined += 1;
                self.begin_rebalance();
                let state = &mut self.members[member as usize];
                (state.used, state.rejoined, state.order) = (true, true, self.group.joined);
                self.grow(now, happened);
            }
        }
    }

    /// The member that a consumer polls as. It joins again if it was put out.
    #[inline]
    pub(super) fn member_that_polls(
        &mut self,
        consumer: u32,
        now: Time,
        happened: &mut Vec<Happened>,
    ) -> Option<u32> {
        if self.group.place(consumer) == Place::PutOut {
            self.join_group(consumer, now, happened);
        }
        self.group.member_of(consumer)
    }

    /// A consumer closes: a member leaves at once, a static one says nothing.
    pub(super) fn leave_group(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        match self.group.place(consumer) {
            Place::Here(_) if self.own.static_membership => self.lose_member(consumer, now, happened),
            Place::Here(member) => {
                self.group.put(consumer, Place::Outside);
                self.remove(member, now, happened);
            }
            Place::PutOut => self.group.put(consumer, Place::Outside),
            Place::Outside | Place::Away(_) => {}
        }
    }

    /// A consumer is not heard of any more. Its partitions stay with it until the session timeout.
    pub(super) fn lose_member(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        match self.group.place(consumer) {
            Place::Here(member) => {
                let comes_back = self.own.static_membership;
                self.group.put(consumer, if comes_back { Place::Away(member) } else { Place::Outside });
                let state = &mut self.members[member as usize];
                state.renew();
                state.here = false;
                let stamp = state.stamp;
                self.rewind_all(member, now, happened);
                self.set(now + self.own.session_timeout, Timer::Session { member, stamp });
            }
            Place::PutOut => self.group.put(consumer, Place::Outside),
            Place::Outside | Place::Away(_) => {}
        }
    }

    /// A member that polls takes part in what the group does.
    #[inline]
    pub(super) fn take_part(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        if std::mem::take(&mut self.members[member as usize].gives) {
            self.give_up(member, now, happened);
            self.begin_rebalance();
        }
        if self.group.phase == Phase::Preparing && !self.members[member as usize].rejoined {
            self.rejoin(member, now, happened);
            self.gather(now, happened);
        }
    }

    pub(super) fn session_over(&mut self, member: u32, stamp: u32, at: Time, happened: &mut Vec<Happened>) {
        let state = &self.members[member as usize];
        if state.stamp != stamp {
            return;
        }
        let consumer = state.consumer;
        if self.group.place(consumer) == Place::Away(member) {
            self.group.put(consumer, Place::Outside);
        }
        self.remove(member, at, happened);
    }

    /// Sees to it that a member is put out if it does not poll in time.
    #[inline]
    pub(super) fn watch_polls(&mut self, member: u32) {
        let at = self.poll_before(member);
        let state = &mut self.members[member as usize];
        if !std::mem::replace(&mut state.poll_watched, true) {
            let stamp = state.stamp;
            self.set(at, Timer::Poll { member, stamp });
        }
    }

    pub(super) fn poll_overdue(&mut self, member: u32, stamp: u32, at: Time, happened: &mut Vec<Happened>) {
        let state = &mut self.members[member as usize];
        if state.stamp != stamp {
            return;
        }
        state.poll_watched = false;
        let (consumer, waiting) = (state.consumer, state.waiting);
        if waiting {
            return;
        }
        if self.poll_before(member) > at {
            return self.watch_polls(member);
        }
        self.group.put(consumer, Place::PutOut);
        happened.push(Happened::PutOut { consumer });
        self.remove(member, at, happened);
    }

    /// A phase of the group has lasted its time.
    pub(super) fn phase_over(&mut self, number: u64, at: Time, happened: &mut Vec<Happened>) {
        if self.group.number != number {
            return;
        }
        match self.group.phase {
            Phase::Initial { began, grown } => {
                let left = (began + self.own.max_poll_interval).since(at);
                if grown && !left.is_zero() {
                    self.group.enter(Phase::Initial { began, grown: false });
                    let delay = self.own.initial_rebalance_delay.min(left);
                    self.set(at + delay, Timer::Group { phase: self.group.number });
                } else {
                    self.assign_soon(at);
                }
            }
            Phase::Completing => self.assign_partitions(at, happened),
            Phase::Empty | Phase::Preparing | Phase::Stable => {}
        }
    }

    /// Goes back to what is committed in all partitions of a member.
    pub(super) fn rewind_all(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        let partitions = self.put_down_all(member);
        for &partition in &partitions {
            self.make_ready(partition, now, happened);
            self.watch_retention(partition, now);
        }
        self.members[member as usize].partitions = partitions;
    }

    fn come(&mut self, member: u32, consumer: u32, now: Time) {
        let interval = if let Commit::Auto(interval) = self.own.commit { interval } else { Span::ZERO };
        let state = &mut self.members[member as usize];
        state.renew();
        state.here = true;
        state.consumer = consumer;
        state.last_poll = now;
        state.next_commit = now + interval;
        self.group.put(consumer, Place::Here(member));
        self.watch_polls(member);
    }

    /// Until when a member has to poll again. Static ones do not leave then: they stop sending heartbeats.
    fn poll_before(&self, member: u32) -> Time {
        let silent = if self.own.static_membership { self.own.session_timeout } else { Span::ZERO };
        self.members[member as usize].last_poll + self.own.max_poll_interval + silent
    }

    /// There is one more member.
    fn grow(&mut self, now: Time, happened: &mut Vec<Happened>) {
        match &mut self.group.phase {
            Phase::Empty => {
                self.group.enter(Phase::Initial { began: now, grown: false });
                let phase = self.group.number;
                self.set(now + self.own.initial_rebalance_delay, Timer::Group { phase });
            }
            Phase::Initial { grown, .. } => *grown = true,
            _ => self.gather(now, happened),
        }
    }

    /// There is one member less.
    fn remove(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        self.revoke_all(member, now);
        let state = &mut self.members[member as usize];
        state.renew();
        (state.used, state.here, state.gives) = (false, false, false);
        self.group.free.push(member);
        if self.members.iter().any(|member| member.used) {
            self.begin_rebalance();
            self.gather(now, happened);
        } else {
            self.group.enter(Phase::Empty);
        }
    }

    /// From now on all members have to join again.
    fn begin_rebalance(&mut self) {
        if matches!(self.group.phase, Phase::Completing | Phase::Stable) {
            self.group.enter(Phase::Preparing);
            for member in &mut self.members {
                member.rejoined = false;
            }
        }
    }

    /// Members that wait join at once, for they poll all the time; once all have joined partitions are assigned.
    fn gather(&mut self, now: Time, happened: &mut Vec<Happened>) {
        if self.group.phase != Phase::Preparing {
            return;
        }
        for member in 0..self.members.len() as u32 {
            let state = &self.members[member as usize];
            if state.is_here() && state.waiting && !state.rejoined {
                self.rejoin(member, now, happened);
            }
        }
        if self.members.iter().all(|member| member.rejoined || !member.used) {
            self.assign_soon(now);
        }
    }

    /// A member joins again. Where the protocol is eager it gives up all it has before that.
    fn rejoin(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        self.members[member as usize].rejoined = true;
        if self.own.assignor == Assignor::Range {
            self.commit(member, now, happened);
            self.revoke_all(member, now);
        }
    }

    fn assign_soon(&mut self, now: Time) {
        self.group.enter(Phase::Completing);
        self.set(now + self.own.rebalance, Timer::Group { phase: self.group.number });
    }

    /// The end of a rebalance. What changes hands between members that go on is given up first, and assigned by another one.
    fn assign_partitions(&mut self, now: Time, happened: &mut Vec<Happened>) {
        self.counts.rebalances += 1;
        self.group.enter(Phase::Stable);
        let target = self.target();
        let mut given_up = false;
        for member in &mut self.members {
            member.gives = false;
        }
        for (partition, &to) in (0..).zip(&target) {
            let state = &mut self.log[partition as usize];
            state.leaving = state.owner != to && state.owner != NOBODY;
            if state.leaving {
                self.members[state.owner as usize].gives = true;
            } else if state.owner == NOBODY {
                state.owner = to;
                self.members[to as usize].partitions.push(partition);
                if state.has_more() {
                    state.queued = true;
                    self.members[to as usize].ready.push_back(partition);
                }
            }
        }
        for member in 0..self.members.len() as u32 {
            let state = &mut self.members[member as usize];
            if state.waiting && std::mem::take(&mut state.gives) {
                self.give_up(member, now, happened);
                given_up = true;
            }
        }
        if given_up {
            self.begin_rebalance();
        }
        for member in 0..self.members.len() as u32 {
            let state = &self.members[member as usize];
            if state.waiting && !state.ready.is_empty() {
                self.poll(member, now, happened);
            }
        }
        self.gather(now, happened);
    }

    /// Who is to have which partition.
    fn target(&self) -> Vec<u32> {
        let mut members: Vec<u32> =
            (0..self.members.len() as u32).filter(|&member| self.members[member as usize].used).collect();
        // The original sorts by member ids, the random part of which says nothing.
        members.sort_by_key(|&member| {
            let state = &self.members[member as usize];
            (state.consumer, state.order)
        });
        match self.own.assignor {
            Assignor::Range => assign::range(self.log.len(), &members),
            Assignor::CooperativeSticky => {
                let owners: Vec<u32> = self.log.iter().map(|partition| partition.owner).collect();
                assign::sticky(&owners, &members)
            }
        }
    }

    /// A member commits, and gives up the partitions that are to be another's.
    fn give_up(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        self.commit(member, now, happened);
        let state = &mut self.members[member as usize];
        let log = &mut self.log;
        let mut given = Vec::new();
        state.partitions.retain(|&partition| {
            let leaving = log[partition as usize].leaving;
            given.extend(leaving.then_some(partition));
            !leaving
        });
        state.ready.retain(|&partition| !log[partition as usize].leaving);
        state.fetched.retain(|&partition| !log[partition as usize].leaving);
        for partition in given {
            self.set_free(partition, now);
        }
    }

    fn revoke_all(&mut self, member: u32, now: Time) {
        for partition in self.put_down_all(member) {
            self.set_free(partition, now);
        }
    }

    fn set_free(&mut self, partition: u32, now: Time) {
        let state = &mut self.log[partition as usize];
        state.rewind();
        (state.owner, state.leaving, state.queued, state.dirty) = (NOBODY, false, false, false);
        self.watch_retention(partition, now);
    }

    /// A member forgets what it has polled. Returns its partitions, which go back to what is committed.
    fn put_down_all(&mut self, member: u32) -> Vec<u32> {
        let state = &mut self.members[member as usize];
        state.hand = NOBODY;
        state.ready.clear();
        state.fetched.clear();
        state.dirty.clear();
        let partitions = std::mem::take(&mut state.partitions);
        for &partition in &partitions {
            let state = &mut self.log[partition as usize];
            state.rewind();
            (state.queued, state.dirty) = (false, false);
        }
        partitions
    }
}
