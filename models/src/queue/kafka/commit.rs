//! When consumers commit how far they are.

use sim_core::{Span, Time};

use super::{Happened, Kafka, Timer};
use crate::plan::Commit;

impl Kafka {
    /// A member commits all that it is done with.
    pub(super) fn commit(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        while let Some(partition) = self.members[member as usize].dirty.pop() {
            self.log[partition as usize].dirty = false;
            while let Some(record) = self.log[partition as usize].commit_one() {
                if !record.gone {
                    self.consumed(record, happened);
                }
            }
            self.watch_retention(partition, now);
        }
    }

    /// Its owner has something to commit in a partition.
    #[inline]
    pub(super) fn mark_dirty(&mut self, partition: u32) {
        let state = &mut self.log[partition as usize];
        if !std::mem::replace(&mut state.dirty, true) {
            self.members[state.owner as usize].dirty.push(partition);
        }
    }

    /// Where that is when to commit: a member may be through with its poll.
    #[inline]
    pub(super) fn commit_poll(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        if self.own.commit == Commit::EachPoll && self.members[member as usize].fetched.is_empty() {
            self.commit(member, now, happened);
        }
    }

    /// A member polls: it commits if that is automatic and it is time to; records that cannot be worked on are always moved over.
    #[inline]
    pub(super) fn commit_at_poll(&mut self, member: u32, now: Time, happened: &mut Vec<Happened>) {
        let Commit::Auto(interval) = self.own.commit else {
            return self.commit(member, now, happened);
        };
        if self.members[member as usize].waiting {
            self.keep_commit_grid(member, now);
        }
        let state = &mut self.members[member as usize];
        if state.next_commit <= now {
            state.next_commit = now + interval;
            self.commit(member, now, happened);
        }
    }

    /// A member that waits polls all the time, and has begun a new interval whenever one was over.
    pub(super) fn keep_commit_grid(&mut self, member: u32, now: Time) {
        let Commit::Auto(interval) = self.own.commit else { return };
        let state = &mut self.members[member as usize];
        let late = now.since(state.next_commit).as_nanos();
        if state.next_commit < now && state.dirty.is_empty() && !interval.is_zero() {
            let over = late.div_ceil(interval.as_nanos());
            state.next_commit += interval.saturating_mul(over);
        }
    }

    /// A member begins to wait: it will commit what it is done with when the interval is over.
    pub(super) fn watch_commit(&mut self, member: u32, now: Time) {
        let state = &mut self.members[member as usize];
        if state.dirty.is_empty() {
            return;
        }
        match self.own.commit {
            Commit::Auto(_) if !state.commit_watched => {
                state.commit_watched = true;
                let (at, stamp) = (state.next_commit.max(now), state.stamp);
                self.set(at, Timer::Commit { member, stamp });
            }
            _ => {}
        }
    }

    pub(super) fn commit_while_waiting(
        &mut self,
        member: u32,
        stamp: u32,
        at: Time,
        happened: &mut Vec<Happened>,
    ) {
        let interval = if let Commit::Auto(interval) = self.own.commit { interval } else { Span::MAX };
        let state = &mut self.members[member as usize];
        if state.stamp != stamp {
            return;
        }
        state.commit_watched = false;
        if state.waiting && state.next_commit <= at {
            state.next_commit = at + interval;
            self.commit(member, at, happened);
        } else if state.waiting {
            self.watch_commit(member, at);
        }
    }
}
