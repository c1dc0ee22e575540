//! A partition: records in order, how far its consumer is, and how far that is committed.

use std::collections::VecDeque;

use sim_core::Time;

use super::super::Receipt;

/// No member of the group.
pub const NOBODY: u32 = u32::MAX;

/// Bits of an offset in a receipt; the others tell assignments of the partition apart.
const OFFSET_BITS: u32 = 40;

/// A record that is not committed.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub sent: Time,
    pub job: u32,
    /// How often it was handed out.
    pub receives: u16,
    /// Its work was done, though that is not committed.
    pub done: bool,
    /// It is a dead letter: the offset is all that is left.
    pub gone: bool,
}

/// A partition, from the committed offset to its end. What is committed matters to nobody, and is not kept.
#[derive(Clone, Debug)]
pub struct Partition {
    records: VecDeque<Record>,
    /// The committed offset, which is that of the first record kept.
    committed: u64,
    /// The offset of the record to hand out next.
    position: u64,
    /// The offset after those that the last poll returned.
    fetched: u64,
    /// The record before the position is in the hands of the consumer.
    in_hand: bool,
    /// Goes up whenever the position is taken back: receipts of before are stale.
    epoch: u32,
    /// The member that it is assigned to.
    pub owner: u32,
    /// It is among those that its owner polls next.
    pub queued: bool,
    /// Its consumer has paused it, to try a record again later.
    pub paused: bool,
    /// Its owner is to give it up at its next poll.
    pub leaving: bool,
    /// It is among those whose owner has something to commit.
    pub dirty: bool,
    /// There is a timer for the retention of its first record.
    pub watched: bool,
}

impl Partition {
    /// An empty partition of nobody.
    pub fn new() -> Partition {
        Partition {
            records: VecDeque::new(),
            committed: 0,
            position: 0,
            fetched: 0,
            in_hand: false,
            epoch: 0,
            owner: NOBODY,
            queued: false,
            paused: false,
            leaving: false,
            dirty: false,
            watched: false,
        }
    }

    /// Puts a record at the end.
    #[inline]
    pub fn append(&mut self, job: u32, sent: Time) {
        self.records.push_back(Record { sent, job, receives: 0, done: false, gone: false });
    }

    /// True where a poll would return records.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.fetched < self.committed + self.records.len() as u64
    }

    /// A poll: returns at most so many records. How many it returned.
    #[inline]
    pub fn fetch(&mut self, most: u64) -> u64 {
        let end = self.committed + self.records.len() as u64;
        let count = most.min(end - self.fetched);
        self.fetched += count;
        count
    }

    /// True where all that was polled was handed out.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.position == self.fetched
    }

    /// Moves on to the next record that was polled. The caller says with [`Partition::hand`] that it is worked on.
    #[inline]
    pub fn advance(&mut self) -> Option<&mut Record> {
        if self.is_drained() {
            return None;
        }
        let index = (self.position - self.committed) as usize;
        self.position += 1;
        self.records.get_mut(index)
    }

    /// The record moved on to last is in the hands of the consumer.
    #[inline]
    pub fn hand(&mut self, place: u32) -> Receipt {
        self.in_hand = true;
        Receipt { place, number: self.number() }
    }

    fn number(&self) -> u64 {
        let offset = (self.position - 1) & ((1 << OFFSET_BITS) - 1);
        u64::from(self.epoch) << OFFSET_BITS | offset
    }

    /// The record in hand, if this is its receipt.
    #[inline]
    pub fn held(&mut self, receipt: Receipt) -> Option<&mut Record> {
        if !self.in_hand || receipt.number != self.number() {
            return None;
        }
        self.records.get_mut((self.position - 1 - self.committed) as usize)
    }

    /// The record moved on to last.
    pub fn last(&mut self) -> Option<&mut Record> {
        let index = self.position.checked_sub(self.committed + 1)?;
        self.records.get_mut(index as usize)
    }

    /// The record in hand is in nobody's hands any more; the position is after it.
    #[inline]
    pub fn put_down(&mut self) {
        self.in_hand = false;
    }

    /// Seeks to the record in hand. What else was polled has to be polled again.
    pub fn retry(&mut self) {
        if self.in_hand {
            self.in_hand = false;
            self.position -= 1;
        }
        self.fetched = self.position;
    }

    /// Goes back to the committed offset. All receipts are stale.
    pub fn rewind(&mut self) {
        self.in_hand = false;
        self.position = self.committed;
        self.fetched = self.committed;
        self.epoch = (self.epoch + 1) & ((1 << (u64::BITS - OFFSET_BITS)) - 1);
        self.paused = false;
    }

    /// Which assignment this is.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Takes the first record away if it has been done with and is to be committed.
    #[inline]
    pub fn commit_one(&mut self) -> Option<Record> {
        (self.committed < self.position - u64::from(self.in_hand)).then(|| self.take_first()).flatten()
    }

    /// The first record, unless its consumer has polled it and is not done with it: that has a copy of its own.
    pub fn first_in_log_only(&self) -> Option<&Record> {
        let with_consumer = self.in_hand || self.position < self.fetched;
        let done = self.position - u64::from(self.in_hand);
        self.records.front().filter(|_| self.committed < done || !with_consumer)
    }

    /// Takes the first record away.
    pub fn take_first(&mut self) -> Option<Record> {
        let first = self.records.pop_front()?;
        self.committed += 1;
        self.position = self.position.max(self.committed);
        self.fetched = self.fetched.max(self.committed);
        Some(first)
    }

    /// The oldest record that nobody has polled: where it is from here on, and when it was sent.
    pub fn oldest_unpolled(&self) -> Option<(usize, Time)> {
        let from = (self.fetched - self.committed) as usize;
        let mut after = self.records.iter().enumerate().skip(from);
        after.find(|(_, record)| !record.gone).map(|(index, record)| (index, record.sent))
    }

    /// Takes an unpolled record away. Those after it move up: nobody knows their offsets yet.
    pub fn drop_unpolled(&mut self, index: usize) -> Option<Record> {
        self.records.remove(index)
    }

    /// The oldest record that is not committed.
    pub fn oldest(&self) -> Option<&Record> {
        self.records.iter().find(|record| !record.gone)
    }
}
