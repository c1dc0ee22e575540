//! Nodes: asked for, running, ready, drained, gone. They are billed from running until gone, as other instances are.

use sim_core::dist::Dist;
use sim_core::stats::TimeWeighted;
use sim_core::{Calendar, Keyed, Seed, Span, Time};

use super::super::System;
use super::super::instance::Phase;
use crate::cost::{InstanceUsage, RunTime};
use crate::event::{Due, Event};
use crate::kubernetes::Resources;
use crate::plan::{GroupId, NodePool, NodePoolId};
use crate::results::{Activity, ActivityKind, NodesResult};
use crate::scaling::Purchase;

/// A pool in mid-run.
#[derive(Clone, Debug)]
pub struct PoolState {
    /// Oldest first.
    pub nodes: Vec<Node>,
    /// Slots of pods that wait for a node, in the order they came.
    pub pending: Vec<u32>,
    /// Nodes that are ready, over time.
    pub count: TimeWeighted,
    /// What pods ask for of what ready nodes have, over time: the sum of their larger shares.
    pub asked: TimeWeighted,
    /// Nodes that were added.
    pub launched: u64,
    /// Nodes that were removed.
    pub terminated: u64,
    /// Pods moved because their node was removed.
    pub evicted: u64,
    /// What nodes that are gone ran.
    pub gone: RunTime,
    /// When a node was added last.
    pub last_add: Option<Time>,
    /// When the first and the last pod came that Karpenter has not looked at.
    pub batch: Option<(Time, Time)>,
    /// Where in the log the last decision not to act stands, and its reason.
    pub last_no_action: (Option<usize>, &'static str),
    next_number: u32,
    draws: [Keyed; 2],
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number within the pool.
    pub number: u32,
    /// The index of its zone.
    pub zone: u16,
    /// Where it stands.
    pub phase: NodePhase,
    /// When it was asked for.
    pub launched: Time,
    /// When it began to run.
    pub running: Option<Time>,
    /// What pods can still ask for.
    pub free: Resources,
    /// Slots of its pods.
    pub pods: Vec<u32>,
    /// Images of these groups are there, or will be then.
    pub images: Vec<(GroupId, Time)>,
    /// Since when it has not been needed.
    pub unneeded: Option<Time>,
    /// When its pods changed last.
    pub changed: Time,
}

/// The stages of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePhase {
    /// Asked for.
    Provisioning,
    /// It runs, and its kubelet does not.
    Booting,
    /// It takes pods.
    Ready,
    /// It takes none, and goes with its last.
    Draining,
}

impl PoolState {
    /// Before its first node.
    pub fn new(plan: &NodePool, seed: Seed) -> Self {
        let draws = |part: &str| seed.keyed(&format!("nodes/{}/startup/{part}", plan.name));
        PoolState {
            nodes: Vec::new(),
            pending: Vec::new(),
            count: TimeWeighted::new(Time::ZERO, 0.0),
            asked: TimeWeighted::new(Time::ZERO, 0.0),
            launched: 0,
            terminated: 0,
            evicted: 0,
            gone: RunTime::default(),
            last_add: None,
            batch: None,
            last_no_action: (None, ""),
            next_number: 0,
            draws: [draws("provision"), draws("boot")],
        }
    }

    /// Nodes that take pods.
    pub fn ready(&self) -> usize {
        self.nodes.iter().filter(|node| node.phase == NodePhase::Ready).count()
    }

    /// Nodes that are there or on their way, and stay.
    pub fn staying(&self) -> usize {
        self.nodes.iter().filter(|node| node.phase != NodePhase::Draining).count()
    }

    /// Notes how full it is.
    pub fn note(&mut self, allocatable: Resources, now: Time) {
        let ready = self.nodes.iter().filter(|node| node.phase == NodePhase::Ready);
        let asked = ready.map(|node| (allocatable - node.free).share_of(allocatable)).sum();
        self.count.set(now, self.ready() as f64);
        self.asked.set(now, asked);
    }
}

impl System {
    /// A node that is there from the start.
    pub(super) fn node_of_start(&mut self, pool: NodePoolId) {
        let number = self.new_node(pool, Time::ZERO);
        let state = self.pool(pool);
        if let Some(node) = state.nodes.iter_mut().find(|node| node.number == number) {
            (node.phase, node.running) = (NodePhase::Ready, Some(Time::ZERO));
        }
    }

    /// A new node in the zone with the fewest. Returns its number.
    fn new_node(&mut self, pool: NodePoolId, now: Time) -> u32 {
        let plan = self.plan.clone();
        let plan = &plan.nodes[pool.index()];
        let lost = self.lost_zones(pool);
        let state = self.pool(pool);
        let mut by_zone = vec![0u32; plan.zones.len()];
        for node in &state.nodes {
            by_zone[usize::from(node.zone)] += 1;
        }
        let zones = (0u16..).zip(&by_zone).filter(|(zone, _)| !lost.contains(zone));
        let zone = zones.min_by_key(|&(_, count)| count).map_or(0, |(zone, _)| zone);
        let number = state.next_number;
        state.next_number += 1;
        state.nodes.push(Node {
            number,
            zone,
            phase: NodePhase::Provisioning,
            launched: now,
            running: None,
            free: plan.allocatable(),
            pods: Vec::new(),
            images: Vec::new(),
            unneeded: None,
            changed: now,
        });
        number
    }

    /// Zones that groups on these nodes have lost.
    pub(super) fn lost_zones(&self, pool: NodePoolId) -> Vec<u16> {
        let zones = self.plan.nodes[pool.index()].zones.len() as u16;
        let groups = self.plan.groups.iter().zip(&self.fleets);
        let own = groups.filter(|(group, _)| group.pods.as_ref().is_some_and(|pods| pods.nodes == pool));
        let fleets: Vec<_> = own.map(|(_, fleet)| fleet).collect();
        (0..zones).filter(|&zone| fleets.iter().any(|fleet| fleet.has_lost(zone))).collect()
    }

    /// Asks for nodes.
    pub(super) fn add_nodes(
        &mut self,
        pool: NodePoolId,
        count: usize,
        why: &str,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let from = self.pool(pool).staying();
        let numbers: Vec<u32> = (0..count).map(|_| self.new_node(pool, now)).collect();
        let plan = self.plan.clone();
        let provision = &plan.nodes[pool.index()].provision;
        let state = self.pool(pool);
        state.launched += count as u64;
        state.last_add = Some(now);
        let draws = state.draws[0];
        for &number in &numbers {
            calendar.after(draw(provision, draws, number), Event::Cluster(Due::Node(pool, number)));
        }
        let words = format!("{why}: from {from} to {} nodes.", from + count);
        self.log_of_pool(pool, ActivityKind::ScaleOut, now, words);
    }

    /// A node reaches the next stage.
    pub(super) fn node_goes_on(&mut self, pool: NodePoolId, number: u32, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        let plan = self.plan.clone();
        let plan = &plan.nodes[pool.index()];
        let state = self.pool(pool);
        let draws = state.draws[1];
        let Some(node) = state.nodes.iter_mut().find(|node| node.number == number) else { return };
        match node.phase {
            NodePhase::Provisioning => {
                (node.phase, node.running) = (NodePhase::Booting, Some(now));
                calendar.after(draw(&plan.boot, draws, number), Event::Cluster(Due::Node(pool, number)));
            }
            NodePhase::Booting => {
                (node.phase, node.changed) = (NodePhase::Ready, now);
                let took = now.since(node.launched);
                let words = format!("Node {number} is ready {took} after it was asked for.");
                self.log_of_pool(pool, ActivityKind::Healthy, now, words);
                self.schedule_pods(pool, calendar);
                self.note_nodes(pool, now);
            }
            NodePhase::Ready | NodePhase::Draining => {}
        }
    }

    /// Takes a node out: no more pods, and those that it has go elsewhere.
    pub(super) fn remove_node(
        &mut self,
        pool: NodePoolId,
        number: u32,
        why: &str,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let state = self.pool(pool);
        let Some(node) = state.nodes.iter_mut().find(|node| node.number == number) else { return };
        node.phase = NodePhase::Draining;
        let pods = node.pods.clone();
        let from = state.staying() + 1;
        let staying: Vec<u32> =
            pods.iter().copied().filter(|&slot| self.instances[slot].phase != Phase::Draining).collect();
        let moved = match staying.len() {
            0 => String::new(),
            count => format!("; {count} pods are evicted"),
        };
        let words = format!("Node {number} is removed: {why}{moved}: from {from} to {} nodes.", from - 1);
        self.log_of_pool(pool, ActivityKind::ScaleIn, now, words);
        self.pool(pool).evicted += staying.len() as u64;
        let mut groups: Vec<GroupId> = Vec::new();
        for slot in staying {
            let group = self.instances[slot].group;
            if !groups.contains(&group) {
                groups.push(group);
            }
            self.terminate(slot, "its node is removed", calendar);
        }
        if pods.is_empty() {
            self.node_gone(pool, number, now);
        }
        groups.into_iter().for_each(|group| self.reconcile(group, calendar));
        self.note_nodes(pool, now);
    }

    /// A node is no more; its bill is closed.
    pub(super) fn node_gone(&mut self, pool: NodePoolId, number: u32, now: Time) {
        let minimum = self.measure.billed_minimum();
        let state = self.pool(pool);
        let Some(index) = state.nodes.iter().position(|node| node.number == number) else { return };
        let node = state.nodes.remove(index);
        if let Some(running) = node.running {
            state.gone.add(running, now, minimum);
        }
        state.terminated += 1;
        self.note_nodes(pool, now);
    }

    pub(in crate::system) fn note_nodes(&mut self, pool: NodePoolId, now: Time) {
        let allocatable = self.plan.nodes[pool.index()].allocatable();
        self.pool(pool).note(allocatable, now);
    }

    /// Notes an activity of a pool.
    pub(super) fn log_of_pool(
        &mut self,
        pool: NodePoolId,
        kind: ActivityKind,
        now: Time,
        description: String,
    ) {
        let activity = self.activity_of_pool(pool, kind, now, description);
        self.pool(pool).last_no_action = (None, "");
        self.measure.log(activity);
    }

    /// Notes that nothing was done; for the same reason again and again it is one entry.
    pub(super) fn log_no_action_of_pool(
        &mut self,
        pool: NodePoolId,
        reason: &'static str,
        now: Time,
        description: String,
    ) {
        let activity = self.activity_of_pool(pool, ActivityKind::NoAction, now, description);
        let (mut last, before) = self.pool(pool).last_no_action;
        self.measure.log_no_action(&mut last, activity, before == reason);
        self.pool(pool).last_no_action = (last, reason);
    }

    fn activity_of_pool(
        &mut self,
        pool: NodePoolId,
        kind: ActivityKind,
        now: Time,
        description: String,
    ) -> Activity {
        let staying = self.pool(pool).staying() as u32;
        Activity::new(now, &self.plan.nodes[pool.index()].name, kind, description, staying)
    }

    /// Nodes that were used until now, for the bill.
    pub(in crate::system) fn nodes_used(&self, now: Time) -> Vec<InstanceUsage<'_>> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let minimum = self.measure.billed_minimum();
        let pools = cluster.pools.iter().zip(&self.plan.nodes);
        fn used<'a>(state: &PoolState, plan: &'a NodePool, minimum: f64, now: Time) -> InstanceUsage<'a> {
            let time = state.ran(minimum, now);
            InstanceUsage {
                group: &plan.name,
                machine: &plan.machine.name,
                purchase: Purchase::OnDemand,
                zone: None,
                hourly: plan.machine.hourly,
                time,
            }
        }
        pools.map(|(state, plan)| used(state, plan, minimum, now)).collect()
    }

    /// What became of the pools.
    pub(in crate::system) fn nodes_results(&self, now: Time) -> Vec<NodesResult> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let pools = cluster.pools.iter().zip(&self.plan.nodes);
        let result = |(state, plan): (&PoolState, &NodePool)| {
            let nodes = state.count.mean(now);
            NodesResult {
                name: plan.name.clone(),
                machine: plan.machine.name.clone(),
                ready_mean: nodes,
                ready_max: state.count.max() as u32,
                launched: state.launched,
                terminated: state.terminated,
                evicted: state.evicted,
                asked: if nodes > 0.0 { 100.0 * state.asked.mean(now) / nodes } else { 0.0 },
                node_hours: state.ran(0.0, now).seconds() / 3600.0,
            }
        };
        pools.map(result).collect()
    }
}

impl PoolState {
    fn ran(&self, minimum: f64, now: Time) -> RunTime {
        let mut time = self.gone.clone();
        for running in self.nodes.iter().filter_map(|node| node.running) {
            time.add(running, now, minimum);
        }
        time
    }
}

fn draw(part: &Dist, draws: Keyed, number: u32) -> Span {
    part.span(&mut draws.at(u64::from(number)))
}
