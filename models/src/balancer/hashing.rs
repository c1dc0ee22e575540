//! Targets by a hash of the client, so that a client keeps its target; and what a target that comes or goes changes of that.

use rand::Rng;
use sim_core::{Keyed, Seed};

use crate::plan::Hashing;

/// Places of a target on the ring, as ketama and nginx have it.
const POINTS: u64 = 160;
/// Entries of a Maglev table, a prime: Envoy's default, a hundred times as many as six hundred targets.
const ENTRIES: usize = 65_537;

/// Who serves which hash, among the targets that it was built for.
#[derive(Clone, Debug)]
pub struct Table {
    hashing: Hashing,
    hashes: Keyed,
    places: Keyed,
    stale: bool,
    /// By place on the ring.
    ring: Vec<(u64, u32)>,
    maglev: Vec<u32>,
}

impl Table {
    /// For nobody yet. Hashes are named after the balancer.
    pub fn new(hashing: Hashing, balancer: &str, seed: Seed) -> Self {
        let hashes = seed.keyed(&format!("balancer/{balancer}/hash"));
        let places = seed.keyed(&format!("balancer/{balancer}/places"));
        Table { hashing, hashes, places, stale: true, ring: Vec::new(), maglev: Vec::new() }
    }

    /// The targets have changed.
    pub fn invalidate(&mut self) {
        self.stale = true;
    }

    /// The target of a client, among these, of which there is at least one.
    pub fn pick(&mut self, client: u64, targets: &[u32]) -> u32 {
        let hash = self.hashes.at(client).next_u64();
        if std::mem::take(&mut self.stale) {
            self.build(targets);
        }
        match self.hashing {
            Hashing::Modulo => targets[(hash % targets.len() as u64) as usize],
            Hashing::Ring => {
                let next = self.ring.partition_point(|&(place, _)| place < hash);
                self.ring[next % self.ring.len()].1
            }
            Hashing::Maglev => self.maglev[(hash % ENTRIES as u64) as usize],
        }
    }

    fn build(&mut self, targets: &[u32]) {
        match self.hashing {
            Hashing::Modulo => {}
            Hashing::Ring => {
                self.ring.clear();
                for &target in targets {
                    let mut places = self.places.at(u64::from(target));
                    self.ring.extend((0..POINTS).map(|_| (places.next_u64(), target)));
                }
                self.ring.sort_unstable();
            }
            Hashing::Maglev => self.fill(targets),
        }
    }

    /// Targets take turns at the entry that they want most of those that are free (Eisenbud and others, NSDI 2016, 3.4).
    fn fill(&mut self, targets: &[u32]) {
        const FREE: u32 = u32::MAX;
        let entries = ENTRIES as u64;
        // Where each target looks next, and how far it goes on from there.
        let mut wanted: Vec<(u64, u64)> = targets
            .iter()
            .map(|&target| {
                let mut draws = self.places.at(u64::from(target));
                (draws.next_u64() % entries, draws.next_u64() % (entries - 1) + 1)
            })
            .collect();
        self.maglev.clear();
        self.maglev.resize(ENTRIES, FREE);
        for turn in 0..ENTRIES {
            let index = turn % targets.len();
            let (at, step) = &mut wanted[index];
            while self.maglev[*at as usize] != FREE {
                *at = (*at + *step) % entries;
            }
            self.maglev[*at as usize] = targets[index];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: u64 = 20_000;

    fn spread(hashing: Hashing, targets: &[u32]) -> Vec<u32> {
        let mut table = Table::new(hashing, "front", Seed::new(7));
        (0..CLIENTS).map(|client| table.pick(client, targets)).collect()
    }

    /// The busiest of ten targets, of an even share.
    fn busiest(hashing: Hashing) -> f64 {
        let targets: Vec<u32> = (0..10).collect();
        let picks = spread(hashing, &targets);
        let counts = targets.iter().map(|target| picks.iter().filter(|pick| *pick == target).count());
        counts.max().unwrap() as f64 / (CLIENTS as f64 / 10.0)
    }

    /// A hundred and sixty places give shares that vary by an eighth of a tenth or so; Maglev's differ by an entry.
    #[test]
    fn shares_are_even() {
        assert!(busiest(Hashing::Modulo) < 1.08, "{}", busiest(Hashing::Modulo));
        assert!(busiest(Hashing::Ring) < 1.30, "{}", busiest(Hashing::Ring));
        assert!(busiest(Hashing::Maglev) < 1.08, "{}", busiest(Hashing::Maglev));
    }

    /// Of ten targets one leaves: on the ring its clients move and no others, with Maglev few others, and by modulo most.
    #[test]
    fn few_move_when_a_target_leaves() {
        let (before, after): (Vec<u32>, Vec<u32>) =
            ((0..10).collect(), (0..10).filter(|&t| t != 4).collect());
        for (hashing, least, most) in
            [(Hashing::Ring, 0.0, 0.0), (Hashing::Maglev, 0.0, 0.05), (Hashing::Modulo, 0.85, 0.95)]
        {
            let (was, is) = (spread(hashing, &before), spread(hashing, &after));
            let stayed = was.iter().zip(&is).filter(|(was, _)| **was != 4);
            let moved = stayed.clone().filter(|(was, is)| was != is).count() as f64 / stayed.count() as f64;
            assert!((least..=most).contains(&moved), "{hashing:?}: {moved} of the others moved");
            assert!(is.iter().all(|&target| target != 4));
        }
    }
}
