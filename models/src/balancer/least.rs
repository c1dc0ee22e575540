//! The target with the fewest requests in progress, among so many that looking at each would take too long.
//!
//! A tournament: each inner node holds the lesser of its two children, so that the root holds the least of all. A change
//! goes up to the root, and the first target with the least from some place on is found on the way down.

/// Up to this many targets it is faster to look at each.
pub const FEW: usize = 64;

/// No target, or one that is not here.
const NONE: u32 = u32::MAX;
/// More than anybody has.
const MOST: u64 = u64::MAX;

/// Requests in progress of each target of a rotation.
#[derive(Clone, Debug)]
pub struct Tournament {
    /// The number of leaves, a power of two. They are the second half of the tree; its root is at 1.
    leaves: usize,
    tree: Vec<u64>,
    /// The place in the rotation, by instance.
    places: Vec<u32>,
}

impl Tournament {
    /// Over these targets, of which there is at least one, of so many instances, with what each has to do.
    pub fn new(targets: &[u32], instances: usize, load: impl Fn(u32) -> u64) -> Self {
        let leaves = targets.len().next_power_of_two();
        let mut tree = vec![MOST; 2 * leaves];
        let mut places = vec![NONE; instances];
        for (place, &target) in (0..).zip(targets) {
            tree[leaves + place as usize] = load(target);
            places[target as usize] = place;
        }
        for node in (1..leaves).rev() {
            tree[node] = tree[2 * node].min(tree[2 * node + 1]);
        }
        Tournament { leaves, tree, places }
    }

    /// A target has so much to do now. One that is not in the rotation does not matter.
    pub fn set(&mut self, target: u32, load: u64) {
        let place = self.places.get(target as usize).copied().filter(|&place| place != NONE);
        let Some(place) = place else { return };
        let mut node = self.leaves + place as usize;
        self.tree[node] = load;
        while node > 1 {
            node /= 2;
            let least = self.tree[2 * node].min(self.tree[2 * node + 1]);
            if std::mem::replace(&mut self.tree[node], least) == least {
                return;
            }
        }
    }

    /// The place of the first with the fewest, looking round from `turn`.
    pub fn least_from(&self, turn: usize) -> usize {
        self.first_from(turn).unwrap_or_else(|| self.first_below(1))
    }

    /// The first leaf that is not before `from` and has the least of all.
    fn first_from(&self, from: usize) -> Option<usize> {
        let least = self.tree[1];
        let mut node = self.leaves + from;
        if from >= self.leaves {
            return None;
        }
        if self.tree[node] == least {
            return Some(from);
        }
        // Up until there is a sibling to the right with the least, and then down.
        while node > 1 {
            if node.is_multiple_of(2) && self.tree[node + 1] == least {
                return Some(self.first_below(node + 1));
            }
            node /= 2;
        }
        None
    }

    /// The first leaf below a node that has what the node has.
    fn first_below(&self, mut node: usize) -> usize {
        let least = self.tree[node];
        while node < self.leaves {
            node = if self.tree[2 * node] == least { 2 * node } else { 2 * node + 1 };
        }
        node - self.leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It finds what looking at each finds, after any changes.
        #[test]
        fn it_agrees_with_looking_at_each(
            loads in prop::collection::vec(0u64..5, 1..200),
            changes in prop::collection::vec((0usize..200, 0u64..5, 0usize..300), 0..300),
        ) {
            let targets: Vec<u32> = (0..loads.len() as u32).rev().collect();
            let mut outstanding = loads;
            let mut tournament = Tournament::new(&targets, outstanding.len(), |target| outstanding[target as usize]);
            for (target, load, turn) in changes {
                if let Some(entry) = outstanding.get_mut(target) {
                    *entry = load;
                }
                tournament.set(target as u32, outstanding.get(target).copied().unwrap_or(0));
                let count = targets.len();
                let turn = if turn < count { turn } else { 0 };
                let load = |place: usize| outstanding[targets[place] as usize];
                let least = (0..count).map(load).min().unwrap();
                let slow = (0..count).map(|step| (turn + step) % count).find(|&place| load(place) == least);
                prop_assert_eq!(Some(tournament.least_from(turn)), slow);
            }
        }
    }
}
