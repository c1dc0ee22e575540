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
    /// Each target as often as its weight says.
    slots: Vec<u32>,
    /// By place on the ring.
    ring: Vec<(u64, u32)>,
    maglev: Vec<u32>,
}

impl Table {
    /// For nobody yet. Hashes are named after the balancer.
    pub fn new(hashing: Hashing, balancer: &str, seed: Seed) -> Self {
        let hashes = seed.keyed(&format!("balancer/{balancer}/hash"));
        let places = seed.keyed(&format!("balancer/{balancer}/places"));
        Table {
            hashing,
            hashes,
            places,
            stale: true,
            slots: Vec::new(),
            ring: Vec::new(),
            maglev: Vec::new(),
        }
    }

    /// The targets have changed.
    pub fn invalidate(&mut self) {
        self.stale = true;
    }

    /// The target of a client, among these with their weights, of which there is at least one, and none weighs nothing.
    pub fn pick(&mut self, client: u64, targets: &[u32], weight: impl Fn(u32) -> u32) -> u32 {
        let hash = self.hashes.at(client).next_u64();
        if std::mem::take(&mut self.stale) {
            self.build(targets, weight);
        }
        match self.hashing {
            Hashing::Modulo => self.slots[(hash % self.slots.len() as u64) as usize],
            Hashing::Ring => {
                let next = self.ring.partition_point(|&(place, _)| place < hash);
                self.ring[next % self.ring.len()].1
            }
            Hashing::Maglev => self.maglev[(hash % ENTRIES as u64) as usize],
        }
    }

    fn build(&mut self, targets: &[u32], weight: impl Fn(u32) -> u32) {
        match self.hashing {
            Hashing::Modulo => {
                let times = |&target: &u32| std::iter::repeat_n(target, weight(target) as usize);
                self.slots = targets.iter().flat_map(times).collect();
            }
            Hashing::Ring => {
                self.ring.clear();
                for &target in targets {
                    let mut places = self.places.at(u64::from(target));
                    self.ring
                        .extend((0..POINTS * u64::from(weight(target))).map(|_| (places.next_u64(), target)));
                }
                self.ring.sort_unstable();
            }
            Hashing::Maglev => self.fill(targets, weight),
        }
    }

    /// Targets take turns at the entry that they want most of those that are free (Eisenbud and others, NSDI 2016, 3.4).
    /// One that weighs half as much as the heaviest has every second turn.
    fn fill(&mut self, targets: &[u32], weight: impl Fn(u32) -> u32) {
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
        let heaviest = targets.iter().map(|&target| weight(target)).max().unwrap_or(1).max(1);
        let mut due = vec![0; targets.len()];
        let mut filled = 0;
        while filled < ENTRIES {
            for (index, &target) in targets.iter().enumerate() {
                due[index] += weight(target);
                if due[index] < heaviest || filled == ENTRIES {
                    continue;
                }
                due[index] -= heaviest;
                let (at, step) = &mut wanted[index];
                while self.maglev[*at as usize] != FREE {
                    *at = (*at + *step) % entries;
                }
                self.maglev[*at as usize] = target;
                filled += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: u64 = 20_000;

    /// Envoy's documentation: of two targets with weights 1 and 2 in a table of 65,537 (asg-203).
    #[test]
    fn a_table_of_maglev_is_shared_by_weight() {
        let mut table = Table::new(Hashing::Maglev, "front", Seed::new(7));
        table.pick(0, &[0, 1], |target| target + 1);
        let entries = |target: u32| table.maglev.iter().filter(|&&entry| entry == target).count();
        assert_eq!([entries(0), entries(1)], [21_846, 43_691]);
    }

    fn spread(hashing: Hashing, targets: &[u32]) -> Vec<u32> {
        let mut table = Table::new(hashing, "front", Seed::new(7));
        (0..CLIENTS).map(|client| table.pick(client, targets, |_| 1)).collect()
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

    /// Envoy's example: weights of 1 and 2 in a table of 65,537 are 21,846 and 43,691 entries. On the ring shares vary.
    #[test]
    fn weights_are_shares() {
        let mut table = Table::new(Hashing::Maglev, "front", Seed::new(7));
        table.pick(0, &[0, 1], |target| target + 1);
        let light = table.maglev.iter().filter(|&&target| target == 0).count();
        assert_eq!([light, ENTRIES - light], [21_846, 43_691]);
        for (hashing, error) in [(Hashing::Modulo, 0.02), (Hashing::Ring, 0.08)] {
            let mut table = Table::new(hashing, "front", Seed::new(7));
            let light =
                (0..CLIENTS).filter(|&client| table.pick(client, &[0, 1], |target| target + 1) == 0).count();
            let share = light as f64 / CLIENTS as f64;
            assert!((share - 1.0 / 3.0).abs() < error, "{hashing:?}: {share}");
        }
    }
}
