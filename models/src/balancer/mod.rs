//! A balancer: who gets the next request.
//!
//! [`hashing`](self) is for algorithms that look at the client, [`cookies`](self) for those that remember it, and
//! [`latency`](self) for the one that looks at how long targets take.

mod cookies;
mod hashing;
mod latency;
mod least;

use sim_core::chance::below;
use sim_core::{Keyed, Seed, Time};
use smallvec::{SmallVec, smallvec};

use crate::plan::{Algorithm, Balancer, Hashing, StickyBy};
use cookies::Cookies;
use hashing::Table;
use least::{FEW, Tournament};

pub use latency::Latency;

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
    /// Who has the fewest requests in progress, where that is asked for and there are many; `None` until it is built.
    tournament: Option<Box<Tournament>>,
    /// Who serves which client, for algorithms that hash it.
    table: Option<Box<Table>>,
    /// What clients hold, where they stick to their target.
    sticky: Option<Box<Sticky>>,
}

/// Cookies, and what makes them void.
#[derive(Clone, Debug)]
struct Sticky {
    by: StickyBy,
    cookies: Cookies,
    /// By instance: how often its place was given up, and whether it is a healthy target.
    places: Vec<(u32, bool)>,
}

/// Who sends a request, as a balancer sees it: a client of a source, or an instance that calls another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The source of traffic; the last number for instances.
    pub source: u16,
    /// The client or the instance.
    pub number: u32,
}

impl Client {
    /// Stands in where nobody asks.
    pub const ANY: Client = Client::instance(0);

    /// An instance that calls another service.
    pub const fn instance(number: u32) -> Client {
        Client { source: u16::MAX, number }
    }

    fn key(self) -> u64 {
        u64::from(self.source) << 32 | u64::from(self.number)
    }
}

/// What a balancer knows of its targets when it picks one.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The time.
    pub now: Time,
    /// Requests in progress, by instance.
    pub outstanding: &'a [u32],
    /// How long they take to answer, by instance; empty where nobody asks.
    pub latencies: &'a [Latency],
}

impl Rotation {
    /// An empty rotation. Random picks are keyed by request, so that they do not depend on one another. `clients` are those
    /// of each source that sends to it.
    pub fn new(plan: &Balancer, clients: &[u32], seed: Seed) -> Self {
        let table = match plan.algorithm {
            Algorithm::Hash(hashing) => Some(Box::new(Table::new(hashing, &plan.name, seed))),
            _ => None,
        };
        let sticky = plan.stickiness.map(|stickiness| {
            let cookies = Cookies::new(stickiness.duration, clients);
            Box::new(Sticky { by: stickiness.by, cookies, places: Vec::new() })
        });
        Rotation {
            algorithm: plan.algorithm,
            targets: Vec::new(),
            registered: Vec::new(),
            turn: 0,
            picks: seed.keyed(&format!("balancer/{}/pick", plan.name)),
            tournament: None,
            table,
            sticky,
        }
    }

    /// The healthy targets.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// True where it matters who sends a request.
    #[inline]
    pub fn asks_who(&self) -> bool {
        self.table.is_some() || self.sticky.is_some()
    }

    /// True where it sees addresses, and not clients.
    pub fn by_address(&self) -> bool {
        let sticky = self.sticky.as_ref().is_some_and(|sticky| sticky.by == StickyBy::SourceIp);
        sticky || self.algorithm == Algorithm::Hash(Hashing::Modulo)
    }

    /// Registers `instance`, whose health is not known yet.
    pub fn register(&mut self, instance: u32) {
        if !self.registered.contains(&instance) {
            self.registered.push(instance);
            self.changed(instance, false);
        }
    }

    /// Forgets `instance`.
    pub fn deregister(&mut self, instance: u32) {
        self.registered.retain(|&target| target != instance);
        self.changed(instance, false);
        if let Some(place) = self.sticky.as_mut().and_then(|sticky| sticky.places.get_mut(instance as usize))
        {
            place.0 += 1; // whoever gets its place is another
        }
    }

    /// Takes `instance`, which is healthy, into the rotation.
    pub fn add(&mut self, instance: u32) {
        self.register(instance);
        if !self.targets.contains(&instance) {
            self.targets.push(instance);
            self.changed(instance, true);
        }
    }

    /// Takes `instance` out of the rotation; true where it was in. It stays registered.
    pub fn remove(&mut self, instance: u32) -> bool {
        let Some(position) = self.targets.iter().position(|&target| target == instance) else { return false };
        self.targets.remove(position);
        self.changed(instance, false);
        if position < self.turn {
            self.turn -= 1; // the next in turn stays the next in turn
        }
        true
    }

    fn changed(&mut self, instance: u32, healthy: bool) {
        self.tournament = None;
        if let Some(table) = &mut self.table {
            table.invalidate();
        }
        if let Some(sticky) = &mut self.sticky {
            if sticky.places.len() <= instance as usize {
                sticky.places.resize(instance as usize + 1, (0, false));
            }
            sticky.places[instance as usize].1 = healthy;
        }
    }

    /// An instance has so many requests in progress now.
    #[inline]
    pub fn loaded(&mut self, instance: u32, outstanding: u32) {
        if let Some(tournament) = &mut self.tournament {
            tournament.set(instance, outstanding);
        }
    }

    /// The target of the request whose draws are keyed by `key`; `None` where none is registered. Without a healthy one
    /// all registered targets get traffic: the balancer *fails open*. `client` only matters where it
    /// [asks who](Rotation::asks_who) sends.
    #[inline]
    pub fn pick(&mut self, key: u64, client: Client, seen: &Seen<'_>) -> Option<u32> {
        if self.sticky.is_none() {
            self.choose(key, client, seen)
        } else {
            self.pick_again(key, client, seen)
        }
    }

    /// The target that a client has a cookie for, or a new one and a new cookie.
    #[cold]
    fn pick_again(&mut self, key: u64, client: Client, seen: &Seen<'_>) -> Option<u32> {
        let held = self.sticky.as_ref().and_then(|sticky| {
            let (target, epoch) = sticky.cookies.of(client, seen.now)?;
            (sticky.places.get(target as usize) == Some(&(epoch, true))).then_some(target)
        });
        let target = held.or_else(|| self.choose(key, client, seen))?;
        if let Some(sticky) = &mut self.sticky
            && sticky.by != StickyBy::AppCookie
        {
            let epoch = sticky.places.get(target as usize).map_or(0, |place| place.0);
            sticky.cookies.set(client, seen.now, target, epoch);
        }
        Some(target)
    }

    /// A client was answered by `target`, in whose answer the app has set its cookie.
    pub fn answered(&mut self, client: Client, now: Time, target: u32) {
        if let Some(sticky) = &mut self.sticky
            && sticky.by == StickyBy::AppCookie
            && let Some(&(epoch, true)) = sticky.places.get(target as usize)
        {
            sticky.cookies.set(client, now, target, epoch);
        }
    }

    #[inline]
    fn choose(&mut self, key: u64, client: Client, seen: &Seen<'_>) -> Option<u32> {
        if self.targets.is_empty() {
            return self.fail_open(key, client, seen);
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
            // A connection's addresses and ports are as good as random, and its first request has its key.
            Algorithm::Random | Algorithm::FlowHash => {
                let pick = below(&mut self.picks.at(key), count as u32);
                Some(self.targets[pick as usize])
            }
            Algorithm::LeastOutstandingRequests => Some(self.least_outstanding(seen.outstanding)),
            Algorithm::PowerOfChoices(choices) => {
                let outstanding = |target: u32| f64::from(seen.outstanding[target as usize]);
                Some(self.best_of(choices, key, outstanding))
            }
            Algorithm::PeakEwma { decay } => Some(self.best_of(2, key, |target| {
                let at = target as usize;
                seen.latencies[at].cost(seen.now, seen.outstanding[at], decay)
            })),
            Algorithm::Hash(_) => {
                let Rotation { table, targets, .. } = self;
                table.as_mut().map(|table| table.pick(client.key(), targets))
            }
        }
    }

    #[cold]
    fn fail_open(&mut self, key: u64, client: Client, seen: &Seen<'_>) -> Option<u32> {
        if self.registered.is_empty() {
            return None;
        }
        self.tournament = None;
        std::mem::swap(&mut self.targets, &mut self.registered);
        let picked = self.choose(key, client, seen);
        std::mem::swap(&mut self.targets, &mut self.registered);
        self.tournament = None;
        picked
    }

    /// So many different ones at random, and of these the first with the least cost.
    #[inline]
    fn best_of(&self, choices: u32, key: u64, cost: impl Fn(u32) -> f64) -> u32 {
        let count = self.targets.len() as u32;
        let mut draws = self.picks.at(key);
        let first = below(&mut draws, count);
        if choices == 2 {
            let other = below(&mut draws, count - 1);
            let second = if other < first { other } else { other + 1 };
            let (first, second) = (self.targets[first as usize], self.targets[second as usize]);
            return if cost(second) < cost(first) { second } else { first };
        }
        let mut drawn: SmallVec<[u32; 8]> = smallvec![first];
        let mut best = self.targets[first as usize];
        let mut least = cost(best);
        while drawn.len() < choices.min(count) as usize {
            // The n-th of those that were not drawn yet.
            let mut next = below(&mut draws, count - drawn.len() as u32);
            for &before in &drawn {
                next += u32::from(next >= before);
            }
            drawn.insert(drawn.partition_point(|&before| before < next), next);
            let target = self.targets[next as usize];
            let cost = cost(target);
            if cost < least {
                (best, least) = (target, cost);
            }
        }
        best
    }

    /// The first with the fewest requests in progress, looking round from whose turn it is.
    #[inline]
    fn least_outstanding(&mut self, outstanding: &[u32]) -> u32 {
        let count = self.targets.len();
        let turn = if self.turn < count { self.turn } else { 0 };
        if count > FEW {
            let Rotation { tournament, targets, .. } = self;
            let tournament =
                tournament.get_or_insert_with(|| Box::new(Tournament::new(targets, outstanding)));
            let place = tournament.least_from(turn);
            self.turn = place + 1;
            return self.targets[place];
        }
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
    use crate::plan::{GroupId, Hashing, HealthCheck, Stickiness};
    use sim_core::Span;

    const CLIENTS: u32 = 1_000;

    fn rotation(algorithm: Algorithm, targets: u32) -> Rotation {
        sticking(algorithm, targets, None)
    }

    fn sticking(algorithm: Algorithm, targets: u32, stickiness: Option<Stickiness>) -> Rotation {
        let second = Span::from_secs(1);
        let plan = Balancer {
            name: "front".into(),
            targets: GroupId(0),
            algorithm,
            health_check: HealthCheck { interval: second, timeout: second, healthy: 2, unhealthy: 2 },
            deregistration_delay: second,
            keep_alive: None,
            stickiness,
        };
        let mut rotation = Rotation::new(&plan, &[CLIENTS], Seed::new(1));
        (0..targets).for_each(|target| rotation.add(target));
        rotation
    }

    fn picks(rotation: &mut Rotation, outstanding: &[u32], n: u64) -> Vec<u32> {
        (0..n).filter_map(|key| pick(rotation, key, 0, outstanding)).collect()
    }

    fn pick(rotation: &mut Rotation, key: u64, client: u32, outstanding: &[u32]) -> Option<u32> {
        at(rotation, Time::ZERO, key, client, outstanding)
    }

    fn at(rotation: &mut Rotation, now: Time, key: u64, client: u32, outstanding: &[u32]) -> Option<u32> {
        let latencies = vec![Latency::default(); outstanding.len()];
        rotation.pick(
            key,
            Client { source: 0, number: client },
            &Seen { now, outstanding, latencies: &latencies },
        )
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
        let mut rotation = rotation(Algorithm::PowerOfChoices(2), 3);
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
        assert_eq!(pick(&mut rotation, 1, 0, &[0; 6]), None);
    }

    #[test]
    fn without_targets_there_is_none() {
        for algorithm in [Algorithm::RoundRobin, Algorithm::Random, Algorithm::PowerOfChoices(2)] {
            assert_eq!(pick(&mut rotation(algorithm, 0), 1, 0, &[]), None);
        }
    }

    #[test]
    fn of_more_choices_the_least_busy_is_taken_more_often() {
        let idle = |choices: u32| {
            let mut rotation = rotation(Algorithm::PowerOfChoices(choices), 5);
            let seen = picks(&mut rotation, &[9, 4, 5, 0, 7], 10_000);
            seen.iter().filter(|&&target| target == 3).count() as f64 / 1e4
        };
        for choices in 1..=5 {
            let share = f64::from(choices) / 5.0;
            assert!((idle(choices) - share).abs() < 0.02, "{choices}: {}", idle(choices));
        }
        assert_eq!(idle(9), 1.0, "more than there are");
    }

    /// Clients stay while their target is healthy and the cookie counts; a new instance in an old place is another.
    #[test]
    fn clients_stick_to_their_target() {
        let hour = Span::from_secs(3_600);
        let mut rotation =
            sticking(Algorithm::RoundRobin, 3, Some(Stickiness { duration: hour, by: StickyBy::LbCookie }));
        let go = |rotation: &mut Rotation, minutes: u64, client: u32| {
            at(rotation, Time::ZERO + Span::from_secs(60 * minutes), 1, client, &[0; 4])
        };
        assert_eq!([0, 1, 2, 3].map(|client| go(&mut rotation, 0, client)), [0, 1, 2, 0].map(Some));
        assert_eq!([3, 2, 1, 0].map(|client| go(&mut rotation, 50, client)), [0, 2, 1, 0].map(Some));
        assert_eq!(go(&mut rotation, 100, 1), Some(1), "every request renews the cookie");
        assert_eq!(go(&mut rotation, 170, 2), Some(1), "after an hour it is in turn again");
        assert!(rotation.remove(0));
        assert_eq!(go(&mut rotation, 51, 0), Some(2), "its target is not healthy");
        rotation.deregister(0);
        rotation.add(0);
        // The place that client 3 knows is another instance's now: who is in turn gets it, and somebody unknown the next.
        assert_eq!([3, CLIENTS + 5].map(|client| go(&mut rotation, 52, client)), [Some(0), Some(1)]);
    }

    #[test]
    fn a_hash_keeps_clients_and_fails_open() {
        for hashing in [Hashing::Modulo, Hashing::Ring, Hashing::Maglev] {
            let mut rotation = rotation(Algorithm::Hash(hashing), 4);
            let of = |rotation: &mut Rotation, key: u64| -> Vec<u32> {
                (0..100).filter_map(|client| pick(rotation, key, client, &[0; 4])).collect()
            };
            let first = of(&mut rotation, 1);
            assert_eq!(first, of(&mut rotation, 2), "whatever the request");
            (0..4).for_each(|target| assert!(rotation.remove(target)));
            assert_eq!(of(&mut rotation, 3).len(), 100, "all registered ones are used");
            (1..4).for_each(|target| rotation.deregister(target));
            assert!(of(&mut rotation, 4).iter().all(|&target| target == 0));
        }
    }
}
