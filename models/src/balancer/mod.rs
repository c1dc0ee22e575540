//! A balancer: who gets the next request.
//!
//! [`hashing`](self) is for algorithms that look at the client, [`cookies`](self) for those that remember it,
//! [`latency`](self) for the one that looks at how long targets take, [`least`](self) for the one that looks at all of them,
//! [`weighted`](self) and [`anomalies`](self) for targets that are not equal, [`zones`](self) for nodes that keep to theirs.

mod anomalies;
mod cookies;
mod hashing;
mod latency;
mod least;
mod weighted;
mod weights;
mod zones;

use sim_core::chance::{below, unit};
use sim_core::{Keyed, Seed, Time};
use smallvec::{SmallVec, smallvec};

use crate::plan::{Algorithm, Balancer, Hashing, Minimum, StickyBy};
use anomalies::Anomalies;
use cookies::Cookies;
use hashing::Table;
use least::{FEW, Tournament};
use weighted::{Chances, Turns};
use weights::{Weights, load};
use zones::Zones;

pub use latency::Latency;

/// A balancer's rotation.
#[derive(Clone, Debug)]
pub struct Rotation {
    algorithm: Algorithm,
    /// Those that get requests: the healthy ones, or all that are registered where too few are healthy.
    used: Vec<u32>,
    /// Instances that are healthy targets, in the order they came in.
    targets: Vec<u32>,
    /// All registered targets, healthy or not.
    registered: Vec<u32>,
    minimum_healthy: Minimum,
    minimum_in_dns: Minimum,
    /// Whose turn it is.
    turn: usize,
    picks: Keyed,
    /// What targets weigh, where that is not the same for all, or changes.
    weights: Option<Box<Weights>>,
    /// Who has the fewest requests in progress, where that is asked for and there are many; `None` until it is built.
    tournament: Option<Box<Tournament>>,
    /// Who serves which client, for algorithms that hash it.
    table: Option<Box<Table>>,
    /// What clients hold, where they stick to their target.
    sticky: Option<Box<Sticky>>,
    /// The nodes, where each keeps to its zone; then this one has no targets of its own.
    zones: Option<Box<Zones>>,
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

/// An instance as it is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The instance.
    pub instance: u32,
    /// Its weight.
    pub weight: u32,
    /// The number of its zone, of all zones of the plan.
    pub zone: u16,
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
    /// of each source that sends to it, `zones` is how many zones there are.
    pub fn new(plan: &Balancer, zones: usize, clients: &[u32], seed: Seed) -> Self {
        let mut rotation = Rotation::of_one_zone(plan, clients, seed);
        if !plan.cross_zone {
            rotation.zones = Some(Box::new(Zones::new(plan, zones, clients, seed)));
        }
        rotation
    }

    fn of_one_zone(plan: &Balancer, clients: &[u32], seed: Seed) -> Self {
        let table = match plan.algorithm {
            Algorithm::Hash(hashing) => Some(Box::new(Table::new(hashing, &plan.name, seed))),
            _ => None,
        };
        let sticky = plan.stickiness.map(|stickiness| {
            let cookies = Cookies::new(stickiness.duration, clients);
            Box::new(Sticky { by: stickiness.by, cookies, places: Vec::new() })
        });
        let mitigates = matches!(plan.algorithm, Algorithm::Random { anomaly_mitigation: true });
        let weighs = !plan.weighs_equally() || plan.slow_start.is_some() || mitigates;
        let weights = Weights {
            slow_start: plan.slow_start,
            anomalies: mitigates.then(Anomalies::default),
            ..Weights::default()
        };
        Rotation {
            algorithm: plan.algorithm,
            used: Vec::new(),
            targets: Vec::new(),
            registered: Vec::new(),
            minimum_healthy: plan.minimum_healthy,
            minimum_in_dns: plan.minimum_in_dns,
            turn: 0,
            picks: seed.keyed(&format!("balancer/{}/pick", plan.name)),
            weights: weighs.then(|| Box::new(weights)),
            tournament: None,
            table,
            sticky,
            zones: None,
        }
    }

    /// The healthy targets, of all zones.
    pub fn healthy(&self) -> Vec<u32> {
        let nodes = self.zones.iter().flat_map(|zones| zones.all());
        nodes.flat_map(|node| &node.targets).chain(&self.targets).copied().collect()
    }

    /// Whether too few targets are healthy, so that all registered ones get requests.
    pub fn fails_open(&self) -> bool {
        match &self.zones {
            Some(zones) => zones.all().all(Rotation::fails_open),
            None => !self.minimum_healthy.kept(self.targets.len(), self.registered.len()),
        }
    }

    /// All registered targets, where nodes do not keep to their zone.
    pub fn registered(&self) -> &[u32] {
        &self.registered
    }

    fn has_enough_for_dns(&self) -> bool {
        self.minimum_in_dns.kept(self.targets.len(), self.registered.len())
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

    /// True where it matters how requests end.
    #[inline]
    pub fn asks_how_it_ends(&self) -> bool {
        self.weights.as_ref().is_some_and(|weights| weights.anomalies.is_some())
    }

    /// A request to a target ended.
    #[cold]
    pub fn ended(&mut self, target: u32, error: bool) {
        let nodes = self.zones.iter_mut().flat_map(|zones| zones.all_mut());
        for node in nodes.filter(|node| node.registered.contains(&target)) {
            node.ended(target, error);
        }
        let known = self.registered.contains(&target);
        if let Some(anomalies) =
            self.weights.as_mut().filter(|_| known).and_then(|weights| weights.anomalies.as_mut())
        {
            anomalies.ended(target, error);
        }
    }

    /// Registers an instance, whose health is not known yet.
    pub fn register(&mut self, target: Member, now: Time) {
        if let Some(zones) = &mut self.zones {
            zones.of(target.zone).register(target, now);
            return zones.changed(now);
        }
        if !self.registered.contains(&target.instance) {
            if let Some(weights) = &mut self.weights {
                weights.register(target.instance, target.weight, &self.registered, now);
            }
            self.registered.push(target.instance);
            self.changed(target.instance, false);
        }
    }

    /// Forgets an instance.
    pub fn deregister(&mut self, target: Member, now: Time) {
        if let Some(zones) = &mut self.zones {
            zones.of(target.zone).deregister(target, now);
            return zones.changed(now);
        }
        self.registered.retain(|&other| other != target.instance);
        self.changed(target.instance, false);
        if let Some(place) =
            self.sticky.as_mut().and_then(|sticky| sticky.places.get_mut(target.instance as usize))
        {
            place.0 += 1; // whoever gets its place is another
        }
    }

    /// A target that is registered weighs so much from now on.
    pub fn reweigh(&mut self, target: Member, now: Time) {
        if let Some(zones) = &mut self.zones {
            zones.of(target.zone).reweigh(target, now);
            return zones.changed(now);
        }
        if !self.registered.contains(&target.instance) {
            return;
        }
        if let Some(weights) = &mut self.weights {
            weights.of[target.instance as usize] = target.weight;
        }
        self.changed(target.instance, self.targets.contains(&target.instance));
    }

    /// It picks by requests in progress from now on, whatever it went by before. Who its targets are, and which of them clients
    /// stick to, stays as it is.
    pub fn goes_by_outstanding(&mut self) {
        if let Some(zones) = &mut self.zones {
            zones.all_mut().for_each(Rotation::goes_by_outstanding);
        }
        self.algorithm = Algorithm::LeastOutstandingRequests;
        (self.table, self.tournament) = (None, None);
        if let Some(weights) = &mut self.weights {
            weights.anomalies = None;
        }
    }

    /// Takes an instance, which is healthy, into the rotation.
    pub fn add(&mut self, target: Member, now: Time) {
        if let Some(zones) = &mut self.zones {
            zones.of(target.zone).add(target, now);
            return zones.changed(now);
        }
        self.register(target, now);
        if !self.targets.contains(&target.instance) {
            if let Some(weights) = &mut self.weights {
                weights.start(target.instance, &self.targets, now);
            }
            self.targets.push(target.instance);
            self.changed(target.instance, true);
        }
    }

    /// Takes an instance out of the rotation; true where it was in. It stays registered.
    pub fn remove(&mut self, target: Member, now: Time) -> bool {
        if let Some(zones) = &mut self.zones {
            let was_in = zones.of(target.zone).remove(target, now);
            zones.changed(now);
            return was_in;
        }
        let Some(position) = self.targets.iter().position(|&other| other == target.instance) else {
            return false;
        };
        self.targets.remove(position);
        self.changed(target.instance, false);
        true
    }

    /// Who gets requests is settled anew. The next in turn stays the next in turn.
    fn changed(&mut self, instance: u32, healthy: bool) {
        let next = self.used.iter().skip(self.turn).find(|&&target| target != instance).copied();
        let used = if self.fails_open() { &self.registered } else { &self.targets };
        let weights = self.weights.as_deref();
        let weighs = |target: &&u32| weights.is_none_or(|weights| weights.of(**target) > 0);
        self.used = used.iter().filter(weighs).copied().collect();
        let place = next.and_then(|next| self.used.iter().position(|&target| target == next));
        self.turn = place.unwrap_or(self.turn.min(self.used.len()));
        self.tournament = None;
        if let Some(weights) = &mut self.weights {
            (weights.turns, weights.chances) = (None, None);
        }
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
        if let Some(zones) = &mut self.zones {
            zones.all_mut().for_each(|node| node.loaded(instance, outstanding));
        }
        let Rotation { tournament, weights, .. } = self;
        if let Some(tournament) = tournament {
            tournament.set(instance, load(outstanding, instance, weights.as_deref()));
        }
    }

    /// The target of the request whose draws are keyed by `key`; `None` where none is registered. With too few healthy ones
    /// all registered targets get traffic: the balancer *fails open*. `client` only matters where it
    /// [asks who](Rotation::asks_who) sends.
    #[inline]
    pub fn pick(&mut self, key: u64, client: Client, seen: &Seen<'_>) -> Option<u32> {
        if self.sticky.is_none() && self.zones.is_none() {
            self.choose(key, client, seen)
        } else {
            self.pick_elsewhere(key, client, seen)
        }
    }

    /// In the client's zone, or the target that it has a cookie for, or a new one and a new cookie.
    #[cold]
    fn pick_elsewhere(&mut self, key: u64, client: Client, seen: &Seen<'_>) -> Option<u32> {
        let asks_who = self.asks_who();
        if let Some(zones) = &mut self.zones {
            return zones.pick(key, client, asks_who, seen);
        }
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
        let count = self.used.len();
        if count <= 1 {
            return self.used.first().copied();
        }
        match self.algorithm {
            Algorithm::RoundRobin if self.weights.is_some() => self.weighted_turn(seen.now),
            Algorithm::RoundRobin => {
                let turn = if self.turn < count { self.turn } else { 0 };
                self.turn = turn + 1;
                Some(self.used[turn])
            }
            Algorithm::Random { .. } | Algorithm::FlowHash if self.weights.is_some() => {
                self.weighted_chance(key, seen.now)
            }
            // A connection's addresses and ports are as good as random, and its first request has its key.
            Algorithm::Random { .. } | Algorithm::FlowHash => {
                let pick = below(&mut self.picks.at(key), count as u32);
                Some(self.used[pick as usize])
            }
            Algorithm::LeastOutstandingRequests => Some(self.least_outstanding(seen.outstanding)),
            Algorithm::PowerOfChoices(choices) => {
                let weights = self.weights.as_deref();
                let outstanding = |target: u32| {
                    let outstanding = f64::from(seen.outstanding[target as usize]);
                    weights.map_or(outstanding, |weights| (outstanding + 1.0) / f64::from(weights.of(target)))
                };
                Some(self.best_of(choices, key, outstanding))
            }
            Algorithm::PeakEwma { decay } => Some(self.best_of(2, key, |target| {
                let at = target as usize;
                seen.latencies[at].cost(seen.now, seen.outstanding[at], decay)
            })),
            Algorithm::Hash(_) => {
                let Rotation { table, used, weights, .. } = self;
                let weight = |target| weights.as_ref().map_or(1, |weights| weights.of(target));
                table.as_mut().map(|table| table.pick(client.key(), used, weight))
            }
        }
    }

    fn weighted_turn(&mut self, now: Time) -> Option<u32> {
        let Rotation { weights, used, .. } = self;
        let weights = weights.as_mut()?;
        if weights.turns.as_ref().is_some_and(|turns| turns.outdated(now)) {
            weights.turns = None;
        }
        let Weights { of, slow_start, since, turns, .. } = &mut **weights;
        let turns = turns.get_or_insert_with(|| {
            Turns::new(used, *slow_start, |target| {
                let begun =
                    since[target as usize].zip(*slow_start).filter(|&(since, ramp)| now < since + ramp);
                (of[target as usize], begun.map(|(since, _)| since))
            })
        });
        turns.next(now, *slow_start)
    }

    fn weighted_chance(&mut self, key: u64, now: Time) -> Option<u32> {
        let Rotation { weights, used, picks, .. } = self;
        let Weights { of, chances, anomalies, .. } = &mut **weights.as_mut()?;
        if anomalies.as_mut().is_some_and(|anomalies| anomalies.compare(now, used)) {
            *chances = None;
        }
        let chances = chances.get_or_insert_with(|| {
            let own = |target: u32| anomalies.as_ref().map_or(1, |anomalies| anomalies.weight(target));
            Chances::new(used.iter().map(|&target| u64::from(of[target as usize]) * own(target)))
        });
        chances.pick(unit(&mut picks.at(key))).map(|place| used[place])
    }

    /// So many different ones at random, and of these the first with the least cost.
    #[inline]
    fn best_of(&self, choices: u32, key: u64, cost: impl Fn(u32) -> f64) -> u32 {
        let count = self.used.len() as u32;
        let mut draws = self.picks.at(key);
        let first = below(&mut draws, count);
        if choices == 2 {
            let other = below(&mut draws, count - 1);
            let second = if other < first { other } else { other + 1 };
            let (first, second) = (self.used[first as usize], self.used[second as usize]);
            return if cost(second) < cost(first) { second } else { first };
        }
        let mut drawn: SmallVec<[u32; 8]> = smallvec![first];
        let mut best = self.used[first as usize];
        let mut least = cost(best);
        while drawn.len() < choices.min(count) as usize {
            // The n-th of those that were not drawn yet.
            let mut next = below(&mut draws, count - drawn.len() as u32);
            for &before in &drawn {
                next += u32::from(next >= before);
            }
            drawn.insert(drawn.partition_point(|&before| before < next), next);
            let target = self.used[next as usize];
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
        let count = self.used.len();
        let turn = if self.turn < count { self.turn } else { 0 };
        if count > FEW {
            let Rotation { tournament, used, weights, .. } = self;
            let of = |target: u32| load(outstanding[target as usize], target, weights.as_deref());
            let tournament =
                tournament.get_or_insert_with(|| Box::new(Tournament::new(used, outstanding.len(), of)));
            let place = tournament.least_from(turn);
            self.turn = place + 1;
            return self.used[place];
        }
        let (before, after) = self.used.split_at(turn);
        let weights = self.weights.as_deref();
        let (mut best, mut fewest, mut best_at) = (self.used[turn], u64::MAX, turn);
        for (at, &target) in (turn..).zip(after).chain((0..).zip(before)) {
            let load = load(outstanding[target as usize], target, weights);
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
mod tests;
