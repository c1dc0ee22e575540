//! Turns and chances by weight, and targets that start slowly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sim_core::{Span, Time};

/// Parts of a weight, so that one that grows is still a whole number.
const PARTS: u64 = 1_000;

/// Smooth weighted round robin, as nginx has it: at each pick every target's credit grows by its weight, the one with most is
/// picked, and pays the sum of all weights. Looking at each would take a time that grows with the fleet; but credits of
/// targets of one weight differ only by what they have paid, so it is enough to look at the first of each weight.
#[derive(Clone, Debug)]
pub struct Turns {
    classes: Vec<Class>,
    /// When the first of those that start slowly has its full weight.
    full_at: Time,
}

/// Targets of the same weight.
#[derive(Clone, Debug)]
struct Class {
    weight: u64,
    /// Since when its targets start slowly.
    since: Option<Time>,
    /// What each of them has got so far.
    credit: u64,
    /// What each has paid, its place in the rotation, and the target: the first has paid least.
    members: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Turns {
    /// Over these targets, with their weights, and since when those start slowly that do. Nobody has had a turn.
    pub fn new(targets: &[u32], slow_start: Option<Span>, of: impl Fn(u32) -> (u32, Option<Time>)) -> Self {
        let mut classes: Vec<Class> = Vec::new();
        let mut full_at = Time::NEVER;
        for (place, &target) in (0..).zip(targets) {
            let (weight, since) = of(target);
            if let Some((since, ramp)) = since.zip(slow_start) {
                full_at = full_at.min(since + ramp);
            }
            let member = Reverse((0, place, target));
            let weight = u64::from(weight);
            match classes.iter_mut().find(|class| class.weight == weight && class.since == since) {
                Some(class) => class.members.push(member),
                None => {
                    classes.push(Class { weight, since, credit: 0, members: BinaryHeap::from([member]) });
                }
            }
        }
        Turns { classes, full_at }
    }

    /// Whether a target that started slowly has its full weight by now, and belongs to others.
    pub fn outdated(&self, now: Time) -> bool {
        now >= self.full_at
    }

    /// Whose turn it is; `None` where all weights are zero.
    pub fn next(&mut self, now: Time, slow_start: Option<Span>) -> Option<u32> {
        let mut total = 0;
        let mut best: Option<(i128, Reverse<u32>, usize)> = None;
        for (index, class) in self.classes.iter_mut().enumerate() {
            let weight = class.weight_at(now, slow_start);
            if weight == 0 {
                continue;
            }
            class.credit += weight;
            total += weight * class.members.len() as u64;
            let Some(&Reverse((paid, place, _))) = class.members.peek() else { continue };
            let left = i128::from(class.credit) - i128::from(paid);
            if best.is_none_or(|(most, before, _)| (left, Reverse(place)) > (most, before)) {
                best = Some((left, Reverse(place), index));
            }
        }
        let class = &mut self.classes[best?.2];
        let Reverse((paid, place, target)) = class.members.pop()?;
        class.members.push(Reverse((paid + total, place, target)));
        Some(target)
    }
}

impl Class {
    /// A target that starts slowly gets a share that grows with time (ALB: linearly).
    fn weight_at(&self, now: Time, slow_start: Option<Span>) -> u64 {
        match self.since.zip(slow_start) {
            Some((since, ramp)) => {
                let grown = now.since(since).as_secs_f64() / ramp.as_secs_f64();
                self.weight * ((PARTS as f64 * grown) as u64).clamp(1, PARTS)
            }
            None => self.weight * PARTS,
        }
    }
}

/// Chances by weight: the sums of weights up to and including each target.
#[derive(Clone, Debug)]
pub struct Chances {
    sums: Vec<u64>,
}

impl Chances {
    /// Over these weights.
    pub fn new(weights: impl Iterator<Item = u64>) -> Self {
        let mut total = 0;
        let sums = weights.map(|weight| {
            total += weight;
            total
        });
        Chances { sums: sums.collect() }
    }

    /// The index that a draw from 0 up to but not including 1 comes to; `None` where all weights are zero.
    pub fn pick(&self, draw: f64) -> Option<usize> {
        let total = *self.sums.last().filter(|&&total| total > 0)?;
        let at = ((total as f64 * draw) as u64).min(total - 1);
        Some(self.sums.partition_point(|&sum| sum <= at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u32], n: usize) -> Vec<u32> {
        let targets: Vec<u32> = (0..weights.len() as u32).collect();
        let mut turns = Turns::new(&targets, None, |target| (weights[target as usize], None));
        (0..n).map_while(|_| turns.next(Time::ZERO, None)).collect()
    }

    /// The algorithm as nginx describes it, target by target.
    fn plain(weights: &[u32], n: usize) -> Vec<u32> {
        let mut current = vec![0i64; weights.len()];
        let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
        let pick = |_| {
            current.iter_mut().zip(weights).for_each(|(credit, &weight)| *credit += i64::from(weight));
            let most = *current.iter().max().unwrap();
            let picked = current.iter().position(|&credit| credit == most).unwrap();
            current[picked] -= total;
            picked as u32
        };
        (0..n).map(pick).collect()
    }

    /// The example of the commit that brought it to nginx: { 5, 1, 1 } gives a a b a c a a.
    #[test]
    fn smooth_weighted_round_robin_is_that_of_nginx() {
        assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        for weights in [&[5, 1, 1][..], &[1, 1, 1], &[4, 3, 2, 1], &[7, 7, 1, 3, 3, 3], &[100, 1]] {
            assert_eq!(turns(weights, 500), plain(weights, 500), "{weights:?}");
        }
        assert_eq!(turns(&[0, 0], 1), []);
        assert_eq!(turns(&[0, 2, 0], 3), [1, 1, 1]);
    }

    #[test]
    fn chances_are_as_the_weights() {
        let chances = Chances::new([1, 0, 3].into_iter());
        assert_eq!(
            [0.0, 0.24, 0.26, 0.99].map(|draw| chances.pick(draw)),
            [Some(0), Some(0), Some(2), Some(2)]
        );
        assert_eq!(Chances::new([0, 0].into_iter()).pick(0.5), None);
    }
}
