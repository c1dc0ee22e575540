//! A balancer: who gets the next request.

use sim_core::chance::below;
use sim_core::{Keyed, Seed};

use crate::plan::{Algorithm, Balancer};

/// A balancer's rotation.
#[derive(Clone, Debug)]
pub struct Rotation {
    algorithm: Algorithm,
    /// Instances that are healthy targets, in the order they came in.
    targets: Vec<u32>,
    /// All registered targets, healthy or not.
    registered: Vec<u32>,
    /// Whose turn it is.
    turn: usize,
    picks: Keyed,
}

impl Rotation {
    /// An empty rotation. Random picks are keyed by request, so that they do not depend on one another.
    pub fn new(plan: &Balancer, seed: Seed) -> Self {
        Rotation {
            algorithm: plan.algorithm,
            targets: Vec::new(),
            registered: Vec::new(),
            turn: 0,
            picks: seed.keyed(&format!("balancer/{}/pick", plan.name)),
        }
    }

    /// The healthy targets.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Registers `instance`, whose health is not known yet.
    pub fn register(&mut self, instance: u32) {
        if !self.registered.contains(&instance) {
            self.registered.push(instance);
        }
    }

    /// Forgets `instance`.
    pub fn deregister(&mut self, instance: u32) {
        self.registered.retain(|&target| target != instance);
    }

    /// Takes `instance`, which is healthy, into the rotation.
    pub fn add(&mut self, instance: u32) {
        self.register(instance);
        if !self.targets.contains(&instance) {
            self.targets.push(instance);
        }
    }

    /// Takes `instance` out of the rotation; true where it was in. It stays registered.
    pub fn remove(&mut self, instance: u32) -> bool {
        let Some(position) = self.targets.iter().position(|&target| target == instance) else { return false };
        self.targets.remove(position);
        if position < self.turn {
            self.turn -= 1; // the next in turn stays the next in turn
        }
        true
    }

    /// The target of the request whose draws are keyed by `key`; `None` where none is registered. Without a healthy one
    /// all registered targets get traffic: the balancer *fails open*. `outstanding` holds the requests in progress by
    /// instance.
    #[inline]
    pub fn pick(&mut self, key: u64, outstanding: &[u32]) -> Option<u32> {
        if self.targets.is_empty() {
            return self.fail_open(key, outstanding);
        }
        let count = self.targets.len();
        if count == 1 {
            return self.targets.first().copied();
        }
        match self.algorithm {
            Algorithm::RoundRobin => {
                let turn = if self.turn < count { self.turn } else { 0 };
                self.turn = turn + 1;
                Some(self.targets[turn])
            }
            Algorithm::Random => {
                let pick = below(&mut self.picks.at(key), count as u32);
                Some(self.targets[pick as usize])
            }
            Algorithm::LeastOutstandingRequests => Some(self.least_outstanding(outstanding)),
            Algorithm::PowerOfTwoChoices => {
                let mut draws = self.picks.at(key);
                let first = below(&mut draws, count as u32);
                let other = below(&mut draws, count as u32 - 1);
                let second = if other < first { other } else { other + 1 }; // two different ones
                let (first, second) = (self.targets[first as usize], self.targets[second as usize]);
                Some(if outstanding[second as usize] < outstanding[first as usize] { second } else { first })
            }
        }
    }

    #[cold]
    fn fail_open(&mut self, key: u64, outstanding: &[u32]) -> Option<u32> {
        if self.registered.is_empty() {
            return None;
        }
        std::mem::swap(&mut self.targets, &mut self.registered);
        let picked = self.pick(key, outstanding);
        std::mem::swap(&mut self.targets, &mut self.registered);
        picked
    }

    /// The first with the fewest requests in progress, looking round from whose turn it is.
    #[inline]
    fn least_outstanding(&mut self, outstanding: &[u32]) -> u32 {
        let count = self.targets.len();
        let turn = if self.turn < count { self.turn } else { 0 };
        let (before, after) = self.targets.split_at(turn);
        let (mut best, mut fewest, mut best_at) = (self.targets[turn], u32::MAX, turn);
        for (at, &target) in (turn..).zip(after).chain((0..).zip(before)) {
            let load = outstanding[target as usize];
            if load < fewest {
                (best, fewest, best_at) = (target, load, at);
                if load == 0 {
                    break;
                }
            }
        }
        self.turn = best_at + 1;
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{GroupId, HealthCheck};
    use sim_core::Span;

    fn rotation(algorithm: Algorithm, targets: u32) -> Rotation {
        let second = Span::from_secs(1);
        let plan = Balancer {
            name: "front".into(),
            targets: GroupId(0),
            algorithm,
            health_check: HealthCheck { interval: second, timeout: second, healthy: 2, unhealthy: 2 },
            deregistration_delay: second,
            keep_alive: None,
        };
        let mut rotation = Rotation::new(&plan, Seed::new(1));
        (0..targets).for_each(|target| rotation.add(target));
        rotation
    }

    fn picks(rotation: &mut Rotation, outstanding: &[u32], n: u64) -> Vec<u32> {
        (0..n).filter_map(|key| rotation.pick(key, outstanding)).collect()
    }

    #[test]
    fn round_robin_takes_turns_and_keeps_them_when_a_target_goes() {
        let mut rotation = rotation(Algorithm::RoundRobin, 4);
        assert_eq!(picks(&mut rotation, &[0; 4], 6), [0, 1, 2, 3, 0, 1]);
        assert!(rotation.remove(0));
        assert!(!rotation.remove(0));
        assert_eq!(picks(&mut rotation, &[0; 4], 3), [2, 3, 1]);
    }

    #[test]
    fn least_outstanding_requests_shares_ties_in_turn() {
        let mut rotation = rotation(Algorithm::LeastOutstandingRequests, 4);
        assert_eq!(picks(&mut rotation, &[3, 1, 2, 1], 3), [1, 3, 1]);
        assert_eq!(picks(&mut rotation, &[1, 1, 1, 1], 4), [2, 3, 0, 1]);
    }

    #[test]
    fn power_of_two_choices_never_takes_the_busiest() {
        let mut rotation = rotation(Algorithm::PowerOfTwoChoices, 3);
        let seen = picks(&mut rotation, &[9, 0, 5], 3_000);
        assert!(!seen.contains(&0));
        let idle = seen.iter().filter(|&&target| target == 1).count();
        assert!((1_850..2_150).contains(&idle), "two of three pairs hold the idle one: {idle}");
    }

    #[test]
    fn random_is_even_and_belongs_to_the_request() {
        let mut rotation = rotation(Algorithm::Random, 2);
        let seen = picks(&mut rotation, &[0; 2], 10_000);
        assert_eq!(seen, picks(&mut rotation, &[0; 2], 10_000));
        let first = seen.iter().filter(|&&target| target == 0).count();
        assert!((4_800..5_200).contains(&first), "{first}");
    }

    /// asg-199: of six registered targets none is healthy, and six are used.
    #[test]
    fn without_a_healthy_target_all_registered_ones_are_used() {
        let mut rotation = rotation(Algorithm::RoundRobin, 6);
        (0..6).for_each(|target| assert!(rotation.remove(target)));
        let mut used = picks(&mut rotation, &[0; 6], 12);
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 6);
        (1..6).for_each(|target| rotation.deregister(target));
        assert_eq!(picks(&mut rotation, &[0; 6], 2), [0, 0]);
        rotation.deregister(0);
        assert_eq!(rotation.pick(1, &[0; 6]), None);
    }

    #[test]
    fn without_targets_there_is_none() {
        for algorithm in [Algorithm::RoundRobin, Algorithm::Random, Algorithm::PowerOfTwoChoices] {
            assert_eq!(rotation(algorithm, 0).pick(1, &[]), None);
        }
    }
}
