//! A balancer whose nodes keep to their own Availability Zone: cross-zone load balancing is off.
//!
//! DNS gives clients the addresses of all zones that have enough healthy targets, each to as many clients. Where zones have
//! different numbers of targets, their targets get different loads. A zone that falls below its minimum leaves DNS, and
//! clients go on to it until they ask again, a minute later at most. Where all would leave, all stay.

use sim_core::chance::{below, unit};
use sim_core::{Keyed, Seed, Span, Time};
use smallvec::SmallVec;

use super::{Client, Rotation, Seen};
use crate::plan::Balancer;

/// How long clients go by an answer of DNS: the time to live of a load balancer's records.
pub const TIME_TO_LIVE: Span = Span::from_secs(60);

/// A node in each zone.
#[derive(Clone, Debug)]
pub struct Zones {
    nodes: Vec<Node>,
    clients: Keyed,
}

#[derive(Clone, Debug)]
struct Node {
    rotation: Rotation,
    /// Whether it is in DNS, and since when.
    in_dns: bool,
    since: Time,
}

impl Zones {
    /// Nodes in so many zones, without targets.
    pub fn new(plan: &Balancer, zones: usize, clients: &[u32], seed: Seed) -> Self {
        let node = |_| Node {
            rotation: Rotation::of_one_zone(plan, clients, seed),
            in_dns: true,
            since: Time::ZERO,
        };
        Zones {
            nodes: (0..zones).map(node).collect(),
            clients: seed.keyed(&format!("balancer/{}/dns", plan.name)),
        }
    }

    /// The node of a zone.
    pub fn of(&mut self, zone: u16) -> &mut Rotation {
        &mut self.nodes[usize::from(zone)].rotation
    }

    /// All nodes.
    pub fn all(&self) -> impl Iterator<Item = &Rotation> {
        self.nodes.iter().map(|node| &node.rotation)
    }

    /// All nodes.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Rotation> {
        self.nodes.iter_mut().map(|node| &mut node.rotation)
    }

    /// Targets came or went, or their health changed. At time zero nobody has an older answer of DNS.
    pub fn changed(&mut self, now: Time) {
        let enough = |node: &Node| node.rotation.has_enough_for_dns();
        let any = self.nodes.iter().any(enough);
        for node in &mut self.nodes {
            let in_dns = if any { enough(node) } else { !node.rotation.registered().is_empty() };
            if in_dns != node.in_dns {
                (node.in_dns, node.since) = (in_dns, now);
            }
        }
    }

    /// The target of a request: first its client's zone, then one of its targets.
    pub fn pick(&mut self, key: u64, client: Client, asks_who: bool, seen: &Seen<'_>) -> Option<u32> {
        let mut draws = self.clients.at(if asks_who { client.key() } else { key });
        // How long ago this client has asked DNS, as a share of the time to live.
        let asked = TIME_TO_LIVE.mul_f64(unit(&mut draws));
        let knows = |node: &Node| {
            let heard = node.since == Time::ZERO || seen.now.since(node.since) >= asked;
            node.in_dns == heard
        };
        let known: SmallVec<[usize; 8]> =
            (0..self.nodes.len()).filter(|&zone| knows(&self.nodes[zone])).collect();
        let zone = known.get(below(&mut draws, known.len().max(1) as u32) as usize)?;
        self.nodes[*zone].rotation.pick(key, client, seen)
    }
}
