//! Pods: created, put on a node, started, taken away.

use std::collections::BTreeMap;

use sim_core::{Calendar, Time};

use super::super::System;
use super::super::instance::Phase;
use super::nodes::NodePhase;
use crate::event::{Event, Ref};
use crate::kubernetes::{Resources, Room, Scheduling, nodes_at_start, scheduler};
use crate::plan::{GroupId, NodePoolId, Plan, Pods};
use crate::results::ActivityKind;
use crate::scaling::hpa::Sample;

/// What a cluster knows of a pod beside what there is to know of an instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct PodState {
    /// The number of its node; `None` while it has none.
    pub node: Option<u32>,
    /// When it was put there: what the API calls its start time.
    pub started: Option<Time>,
    /// CPU time that it had used when it was measured last, and requests that it had got; `None` before.
    pub measured: Option<(Time, f64, u64)>,
    /// What metrics-server says of its CPU.
    pub cpu: Option<Sample>,
    /// And of its memory.
    pub memory: Option<Sample>,
    /// Requests a second.
    pub requests: Option<Sample>,
}

impl Plan {
    /// What the pods of the start ask for, in the order in which they are put on nodes.
    pub fn pods_at_start(&self, pool: NodePoolId) -> Vec<(Resources, Scheduling)> {
        let groups = self.groups.iter().filter_map(|group| Some((group.desired, group.pods.as_ref()?)));
        let own = groups.filter(|(_, pods)| pods.nodes == pool);
        own.flat_map(|(desired, pods)| {
            std::iter::repeat_n((pods.requests.resources(), pods.scheduling), desired as usize)
        })
        .collect()
    }
}

impl System {
    /// What a group's pods are; `None` of a group of machines.
    pub(in crate::system) fn pods_of(&self, group: GroupId) -> Option<&Pods> {
        self.plan.groups[group.index()].pods.as_ref()
    }

    /// The pods that are there at the start are on their nodes, as their scheduler would have put them.
    pub(in crate::system) fn settle_pods_of_start(&mut self, calendar: &mut Calendar<Event>) {
        if self.cluster.is_none() {
            return;
        }
        let plan = self.plan.clone();
        for (id, pool) in (0u16..).map(NodePoolId).zip(&plan.nodes) {
            let (places, _) = nodes_at_start(pool.min, &plan.pods_at_start(id), pool.allocatable());
            let own = |group: &GroupId| self.pods_of(*group).is_some_and(|pods| pods.nodes == id);
            let groups = (0..self.fleets.len()).map(|index| GroupId(index as u16)).filter(own);
            let slots: Vec<u32> =
                groups.flat_map(|group| self.fleets[group.index()].members.clone()).collect();
            for (slot, place) in slots.into_iter().zip(places) {
                self.put(slot, id, place, calendar.now());
            }
        }
    }

    /// A new pod of a group waits for a node.
    pub(in crate::system) fn create_pod(&mut self, reference: Ref, calendar: &mut Calendar<Event>) {
        let group = self.instances[reference.slot].group;
        self.fleets[group.index()].launched += 1;
        self.new_pod(reference.slot);
        let Some(pool) = self.pods_of(group).map(|pods| pods.nodes) else { return };
        // Those that wait already have no place, and nothing has changed for them.
        match self.place_for(reference.slot, pool) {
            Some(node) => self.bind(reference.slot, pool, node, calendar),
            None => {
                self.pool(pool).pending.push(reference.slot);
                self.still_pending(reference.slot, pool, calendar);
            }
        }
    }

    /// Room for what the cluster knows of a pod.
    pub(in crate::system) fn new_pod(&mut self, slot: u32) {
        let pods = &mut self.cluster().pods;
        if pods.len() <= slot as usize {
            pods.resize(slot as usize + 1, PodState::default());
        }
        pods[slot as usize] = PodState::default();
    }

    fn still_pending(&mut self, slot: u32, pool: NodePoolId, calendar: &mut Calendar<Event>) {
        let instance = &self.instances[slot];
        let (group, number) = (instance.group, instance.number);
        let wanted = self.pods_of(group).map(|pods| pods.requests.resources()).unwrap_or_default();
        let name = &self.plan.nodes[pool.index()].name;
        let nodes = self.cluster.as_ref().map_or(0, |cluster| cluster.pools[pool.index()].ready());
        let description = format!(
            "Pod {number} is Pending: none of the {nodes} nodes of {name} that are ready has {wanted} left."
        );
        let actual = self.counted(group).count() - 1;
        self.log_difference(group, ActivityKind::Launch, calendar.now(), description, actual);
        self.pod_waits(pool, calendar);
    }

    /// Gives pods that wait a node, as far as there are nodes with room for them; first come, first served.
    pub(in crate::system) fn schedule_pods(&mut self, pool: NodePoolId, calendar: &mut Calendar<Event>) {
        let waiting = std::mem::take(&mut self.pool(pool).pending);
        let mut left = Vec::new();
        for slot in waiting {
            match self.place_for(slot, pool) {
                Some(node) => self.bind(slot, pool, node, calendar),
                None => left.push(slot),
            }
        }
        self.pool(pool).pending = left;
    }

    /// The index of the node that a pod goes to.
    fn place_for(&mut self, slot: u32, pool: NodePoolId) -> Option<usize> {
        let group = self.instances[slot].group;
        let pods = self.pods_of(group)?;
        let (wanted, scheduling) = (pods.requests.resources(), pods.scheduling);
        let allocatable = self.plan.nodes[pool.index()].allocatable();
        let fleet = &self.fleets[group.index()];
        let nodes = &self.cluster.as_ref()?.pools[pool.index()].nodes;
        let rooms = nodes.iter().map(|node| {
            let takes = node.phase == NodePhase::Ready && !fleet.has_lost(node.zone);
            takes.then_some(Room { allocatable, free: node.free })
        });
        scheduler::place(rooms, wanted, scheduling)
    }

    /// A pod is put on a node, and its images are pulled where they are not there yet.
    fn bind(&mut self, slot: u32, pool: NodePoolId, index: usize, calendar: &mut Calendar<Event>) {
        let now = calendar.now();
        self.put(slot, pool, index, now);
        let plan = self.plan.clone();
        let instance = &self.instances[slot];
        let (group, number, launched) = (instance.group, instance.number, instance.launched);
        let Some(pods) = &plan.groups[group.index()].pods else { return };
        let draws = self.cluster().pulls[group.index()];
        let node = &mut self.pool(pool).nodes[index];
        let there = match node.images.iter().find(|(image, _)| *image == group) {
            Some(&(_, there)) => there,
            None => {
                let there = now + pods.image_pull.span(&mut draws.at(number));
                node.images.push((group, there));
                there
            }
        };
        let pull = there.since(now);
        let words = match (now.since(launched), node.number) {
            (waited, node) if waited.is_zero() => format!("Pod {number} is on node {node}"),
            (waited, node) => format!("Pod {number} is on node {node} after {waited} Pending"),
        };
        let image = if pull.is_zero() { "its image is there".into() } else { format!("its image in {pull}") };
        let description = format!("{words}; {image}.");
        if now == launched {
            let actual = self.counted(group).count() - 1;
            self.log_difference(group, ActivityKind::Launch, now, description, actual);
        } else {
            self.log(group, ActivityKind::Launch, now, description);
        }
        calendar.after(pull, Event::Stage(self.instances.reference(slot)));
    }

    fn put(&mut self, slot: u32, pool: NodePoolId, index: usize, now: Time) {
        let group = self.instances[slot].group;
        let wanted = self.pods_of(group).map(|pods| pods.requests.resources()).unwrap_or_default();
        let node = &mut self.pool(pool).nodes[index];
        node.free -= wanted;
        node.pods.push(slot);
        node.changed = now;
        node.unneeded = None;
        if now == Time::ZERO && node.images.iter().all(|(image, _)| *image != group) {
            node.images.push((group, now));
        }
        let (number, zone) = (node.number, node.zone);
        let pod = &mut self.cluster().pods[slot as usize];
        (pod.node, pod.started) = (Some(number), Some(now));
        self.instances[slot].zone = zone;
        self.note_nodes(pool, now);
    }

    /// A pod is no more: its node has room again, and is gone itself where it only waited for that. Returns whose pods may
    /// have a place now.
    pub(in crate::system) fn pod_gone(&mut self, slot: u32, now: Time) -> Option<NodePoolId> {
        let group = self.instances[slot].group;
        let pods = self.pods_of(group)?;
        let (pool, wanted) = (pods.nodes, pods.requests.resources());
        let number = self.cluster().pods[slot as usize].node.take();
        let state = self.pool(pool);
        state.pending.retain(|&waiting| waiting != slot);
        let node = state.nodes.iter_mut().find(|node| Some(node.number) == number)?;
        node.free += wanted;
        node.pods.retain(|&own| own != slot);
        node.changed = now;
        if node.phase == NodePhase::Draining && node.pods.is_empty() {
            let number = node.number;
            self.node_gone(pool, number, now);
        }
        self.note_nodes(pool, now);
        Some(pool)
    }

    /// Removes the pods of a group that are more than its desired number.
    pub(in crate::system) fn remove_pods(
        &mut self,
        group: GroupId,
        desired: usize,
        calendar: &mut Calendar<Event>,
    ) {
        while self.counted(group).count() > desired {
            let Some(chosen) = self.choose_pod(&self.counted(group).collect::<Vec<u32>>()) else { break };
            self.terminate(chosen, "", calendar);
        }
    }

    /// Which pod a ReplicaSet takes away first: without a node before with one, starting before ready, of those the one that
    /// shares its node with most of its kind, then the one that was ready last, then the youngest.
    fn choose_pod(&self, candidates: &[u32]) -> Option<u32> {
        let pods = &self.cluster.as_ref()?.pods;
        let node = |slot: u32| pods[slot as usize].node;
        let mut by_node: BTreeMap<u32, usize> = BTreeMap::new();
        for node in candidates.iter().filter_map(|&slot| node(slot)) {
            *by_node.entry(node).or_default() += 1;
        }
        let beside = |slot: u32| node(slot).and_then(|node| by_node.get(&node)).copied().unwrap_or(0);
        candidates.iter().copied().max_by_key(|&slot| {
            let instance = &self.instances[slot];
            let ready = instance.serving();
            let since = if ready { instance.readiness_since } else { Time::ZERO };
            let pending = instance.phase == Phase::Pending;
            (node(slot).is_none(), pending, !ready, beside(slot), since, instance.number)
        })
    }
}
