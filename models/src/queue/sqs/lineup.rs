//! In which order messages can be received: one line, or one for each message group.

use std::collections::{BTreeMap, VecDeque};

use crate::queue::entries::{Entries, Line};

/// The messages of an SQS queue that wait.
#[derive(Clone, Debug)]
pub enum Lineup {
    /// A standard queue. AWS promises no order; here it is the one in which messages became visible.
    Standard(Line),
    /// A FIFO queue.
    Fifo(Groups),
}

impl Lineup {
    /// Nobody waits.
    pub fn new(fifo: bool) -> Lineup {
        if fifo { Lineup::Fifo(Groups::default()) } else { Lineup::Standard(Line::EMPTY) }
    }

    /// The number of a message's group, which has one more member from now on.
    #[inline]
    pub fn enter(&mut self, key: u64) -> u32 {
        match self {
            Lineup::Standard(_) => 0,
            Lineup::Fifo(groups) => groups.enter(key),
        }
    }

    /// How many wait, for a consumer or for those of their group before them.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Lineup::Standard(line) => line.len(),
            Lineup::Fifo(groups) => groups.waiting,
        }
    }

    /// True where there is one that can be received.
    #[inline]
    pub fn any(&self) -> bool {
        match self {
            Lineup::Standard(line) => line.len() > 0,
            Lineup::Fifo(groups) => !groups.ready.is_empty(),
        }
    }

    /// One that would be received next.
    pub fn first(&self) -> Option<u32> {
        match self {
            Lineup::Standard(line) => line.first(),
            Lineup::Fifo(groups) => {
                groups.ready.front().and_then(|&group| groups.groups[group as usize].line.first())
            }
        }
    }

    /// A message waits from now on, behind all others (of its group).
    #[inline]
    pub fn push_back(&mut self, entries: &mut Entries<u32>, place: u32) {
        match self {
            Lineup::Standard(line) => line.push_back(entries, place),
            Lineup::Fifo(groups) => groups.change(entries, place, |line, entries| {
                line.push_back(entries, place);
            }),
        }
    }

    /// A message waits from now on, before all others (of its group).
    pub fn push_front(&mut self, entries: &mut Entries<u32>, place: u32) {
        match self {
            Lineup::Standard(line) => line.push_front(entries, place),
            Lineup::Fifo(groups) => groups.change(entries, place, |line, entries| {
                line.push_front(entries, place);
            }),
        }
    }

    /// A message that was in flight waits again: where it was in its group, or behind all others where there is no order.
    pub fn come_back(&mut self, entries: &mut Entries<u32>, place: u32) {
        match self {
            Lineup::Standard(line) => line.push_back(entries, place),
            Lineup::Fifo(_) => self.push_front(entries, place),
        }
        self.landed(entries.at(place).extra);
    }

    /// Takes the next message. Its group waits until it has [`landed`](Lineup::landed).
    #[inline]
    pub fn pop(&mut self, entries: &mut Entries<u32>) -> Option<u32> {
        match self {
            Lineup::Standard(line) => line.pop(entries),
            Lineup::Fifo(groups) => groups.pop(entries),
        }
    }

    /// A message waits no more.
    pub fn remove(&mut self, entries: &mut Entries<u32>, place: u32) {
        match self {
            Lineup::Standard(line) => line.remove(entries, place),
            Lineup::Fifo(groups) => groups.change(entries, place, |line, entries| {
                line.remove(entries, place);
            }),
        }
    }

    /// The message of a group that was taken is in flight no more.
    #[inline]
    pub fn landed(&mut self, group: u32) {
        if let Lineup::Fifo(groups) = self {
            groups.groups[group as usize].blocked = false;
            groups.look_at(group);
        }
    }

    /// A member of a group is gone, and neither waits nor is in flight.
    #[inline]
    pub fn leave(&mut self, group: u32) {
        if let Lineup::Fifo(groups) = self {
            groups.leave(group);
        }
    }
}

/// Message groups.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Which of them a key is.
    ids: BTreeMap<u64, u32>,
    groups: Vec<Group>,
    free: Vec<u32>,
    /// Those that have a message which can be received, the longest so first.
    ready: VecDeque<u32>,
    waiting: usize,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    key: u64,
    line: Line,
    /// Its messages, wherever they are.
    members: u32,
    /// One of them is in flight: the others wait for that.
    blocked: bool,
    /// It is among those that are ready.
    ready: bool,
}

impl Groups {
    fn enter(&mut self, key: u64) -> u32 {
        let id = match self.ids.get(&key) {
            Some(&id) => id,
            None => {
                let group = Group { key, line: Line::EMPTY, members: 0, blocked: false, ready: false };
                let id = match self.free.pop() {
                    Some(id) => {
                        self.groups[id as usize] = group;
                        id
                    }
                    None => {
                        self.groups.push(group);
                        self.groups.len() as u32 - 1
                    }
                };
                self.ids.insert(key, id);
                id
            }
        };
        self.groups[id as usize].members += 1;
        id
    }

    fn leave(&mut self, id: u32) {
        let group = &mut self.groups[id as usize];
        group.members -= 1;
        if group.members == 0 {
            self.ids.remove(&group.key);
            self.free.push(id);
        }
    }

    fn change(
        &mut self,
        entries: &mut Entries<u32>,
        place: u32,
        change: impl FnOnce(&mut Line, &mut Entries<u32>),
    ) {
        let id = entries.at(place).extra;
        let line = &mut self.groups[id as usize].line;
        let before = line.len();
        change(line, entries);
        self.waiting = self.waiting + line.len() - before;
        self.look_at(id);
    }

    fn pop(&mut self, entries: &mut Entries<u32>) -> Option<u32> {
        let id = self.ready.pop_front()?;
        let group = &mut self.groups[id as usize];
        group.ready = false;
        group.blocked = true;
        self.waiting -= 1;
        group.line.pop(entries)
    }

    /// Puts a group among those that are ready, or takes it out.
    fn look_at(&mut self, id: u32) {
        let group = &mut self.groups[id as usize];
        let ready = !group.blocked && group.line.len() > 0;
        if ready && !group.ready {
            self.ready.push_back(id);
        } else if group.ready
            && !ready
            && let Some(index) = self.ready.iter().position(|&other| other == id)
        {
            self.ready.remove(index);
        }
        group.ready = ready;
    }
}
