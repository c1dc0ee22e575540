//! A tournament tree: the smallest of many keys, each of which may change at any time.

use std::hint::select_unpredictable;

use crate::time::Time;

/// The order of events: time first, then the sequence in which they were scheduled. One integer, so that a
/// comparison has no branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u128);

impl Key {
    /// After every event.
    pub const NEVER: Key = Key(u128::MAX);

    #[inline]
    pub fn new(time: Time, sequence: u64) -> Key {
        Key((u128::from(time.as_nanos()) << 64) | u128::from(sequence))
    }

    #[inline]
    pub fn time(self) -> Time {
        Time::from_nanos((self.0 >> 64) as u64)
    }

    /// One step of a running hash over keys.
    #[inline]
    pub fn fold_into(self, hash: u64) -> u64 {
        const K: u64 = 0x517C_C1B7_2722_0A95;
        let word = (self.0 >> 64) as u64 ^ (self.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash.rotate_left(5) ^ word).wrapping_mul(K)
    }
}

/// Leaf `i` of `width` sits at node `width + i`; each inner node holds the smaller of its two children.
#[derive(Clone, Debug)]
pub(super) struct Tournament {
    nodes: Vec<(Key, u32)>,
    width: usize,
}

impl Default for Tournament {
    fn default() -> Self {
        Tournament { nodes: vec![(Key::NEVER, 0); 2], width: 1 }
    }
}

impl Tournament {
    /// The smallest key and its leaf.
    #[inline]
    pub fn first(&self) -> (Key, u32) {
        self.nodes[1]
    }

    /// Makes room for `leaves` leaves and returns the last one.
    pub fn grow(&mut self, leaves: usize) -> u32 {
        if leaves > self.width {
            let keys: Vec<Key> = self.nodes[self.width..].iter().map(|&(key, _)| key).collect();
            self.width = leaves.next_power_of_two();
            self.nodes = vec![(Key::NEVER, 0); 2 * self.width];
            for (leaf, key) in keys.into_iter().enumerate() {
                self.set(leaf as u32, key);
            }
        }
        leaves.saturating_sub(1) as u32
    }

    /// Gives `leaf` a new key.
    #[inline]
    pub fn set(&mut self, leaf: u32, key: Key) {
        let nodes = self.nodes.as_mut_slice();
        let mut at = self.width + leaf as usize;
        let mut winner = (key, leaf);
        nodes[at] = winner;
        // All the way to the root and without a branch: who wins is a coin toss, and a wrong guess costs more than the
        // few levels that stopping early would save.
        while at > 1 {
            let sibling = nodes[at ^ 1];
            winner = select_unpredictable(sibling.0 < winner.0, sibling, winner);
            at /= 2;
            nodes[at] = winner;
        }
    }
}
