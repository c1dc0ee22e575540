//! The KV cache in blocks (PagedAttention), with those that decoding will need counted ahead.
//!
//! A sequence that decodes needs a new block each time that its last one is full, every `size` decode iterations. All sequences decode in
//! step, so it is enough to know how many of them need one at each remainder of the engine's count of decode iterations.

/// Blocks that are taken, and when more will be.
#[derive(Clone, Debug)]
pub(super) struct KvCache {
    size: u32,
    total: u64,
    used: u64,
    /// Decoding sequences by the remainder of decode iterations at which they need a block.
    due: Vec<u32>,
    decoding: u64,
}

impl KvCache {
    pub fn new(tokens: u64, size: u32) -> Self {
        KvCache { size, total: tokens / u64::from(size), used: 0, due: vec![0; size as usize], decoding: 0 }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn free(&self) -> u64 {
        self.total - self.used
    }

    /// Blocks that hold so many tokens.
    pub fn blocks(&self, tokens: u64) -> u64 {
        tokens.div_ceil(u64::from(self.size))
    }

    /// Takes the blocks of a prompt.
    pub fn take(&mut self, tokens: u64) {
        self.used += self.blocks(tokens);
        debug_assert!(self.used <= self.total);
    }

    /// Gives the blocks of a sequence back.
    pub fn give_back(&mut self, tokens: u64) {
        self.used -= self.blocks(tokens);
    }

    /// A sequence decodes from now on. `phase`: a count of decode iterations, before or after now, at which its last block is full.
    pub fn join(&mut self, phase: i64) {
        self.due[phase.rem_euclid(i64::from(self.size)) as usize] += 1;
        self.decoding += 1;
    }

    /// It does not any more.
    pub fn leave(&mut self, phase: i64) {
        self.due[phase.rem_euclid(i64::from(self.size)) as usize] -= 1;
        self.decoding -= 1;
    }

    /// Blocks that the decode iteration after `count` ones needs.
    pub fn needed(&self, count: i64) -> u64 {
        u64::from(self.due[count.rem_euclid(i64::from(self.size)) as usize])
    }

    /// `iterations` decode iterations take their blocks, after `count` ones.
    pub fn decode(&mut self, count: i64, iterations: u64) {
        let (rounds, rest) = (iterations / u64::from(self.size), iterations % u64::from(self.size));
        self.used += rounds * self.decoding + (0..rest as i64).map(|n| self.needed(count + n)).sum::<u64>();
        debug_assert!(self.used <= self.total);
    }

    /// How many decode iterations, `most` at most, find the blocks that they need, after `count` ones.
    pub fn enough_for(&self, count: i64, most: u64) -> u64 {
        let size = u64::from(self.size);
        if most.div_ceil(size).saturating_mul(self.decoding) <= self.free() {
            return most;
        }
        // Here somebody decodes, or nothing would be needed.
        let rounds = self.free() / self.decoding;
        let (mut free, mut iterations) = (self.free() % self.decoding, rounds.saturating_mul(size));
        while iterations < most {
            let needed = self.needed(count + (iterations % size) as i64);
            if needed > free {
                break;
            }
            free -= needed;
            iterations += 1;
        }
        iterations.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_needs_a_block_each_time_that_its_last_one_is_full() {
        let mut cache = KvCache::new(64, 4);
        cache.take(6); // two blocks, the second half full
        cache.join(2);
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|count| cache.needed(count)), [0, 0, 1, 0, 0, 0, 1]);
        cache.decode(0, 7);
        assert_eq!(cache.used(), 4);
        assert_eq!(cache.blocks(6 + 7), 4);
    }

    #[test]
    fn iterations_that_find_their_blocks_are_counted_as_if_one_by_one() {
        for free in 0..40 {
            for count in 0..9 {
                let mut cache = KvCache::new(4 * free, 4);
                for phase in [0, 0, 1, 3, -5] {
                    cache.join(phase);
                }
                let mut by_hand = (0, 0);
                while by_hand.0 < 50 && by_hand.1 + cache.needed(count + by_hand.0) <= free {
                    by_hand.1 += cache.needed(count + by_hand.0);
                    by_hand.0 += 1;
                }
                assert_eq!(cache.enough_for(count, 50), by_hand.0 as u64, "{free} free, after {count}");
                let mut taken = cache.clone();
                taken.decode(count, by_hand.0 as u64);
                assert_eq!(taken.used(), by_hand.1);
            }
        }
    }
}
