//! Nodes that can go. Cluster Autoscaler removes what was not needed for ten minutes, Karpenter what is not needed.

use sim_core::{Calendar, Span, Time};

use super::super::System;
use super::super::instance::Phase;
use super::nodes::NodePhase;
use crate::event::Event;
use crate::kubernetes::scale_down::{Occupied, unneeded};
use crate::kubernetes::{Resources, Room};
use crate::plan::{ClusterAutoscaler, Karpenter, NodePoolId};

/// How often Karpenter looks for nodes to remove.
pub const DISRUPTION_POLL: Span = Span::from_secs(10);
/// How long Karpenter waits before it does it, and looks again.
const VALIDATION: Span = Span::from_secs(15);
/// How many empty nodes Cluster Autoscaler removes at once (`--max-empty-bulk-delete`).
const MOST_EMPTY: usize = 10;

impl System {
    /// The nodes of a pool, as one asks which can go.
    fn occupied(&self, pool: NodePoolId, candidate: impl Fn(Time) -> bool) -> Vec<Occupied> {
        let allocatable = self.plan.nodes[pool.index()].allocatable();
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let lost = self.lost_zones(pool);
        let wanted = |slot: &u32| -> Resources {
            let pods = self.pods_of(self.instances[*slot].group);
            pods.map(|pods| pods.requests.resources()).unwrap_or_default()
        };
        let stays = |slot: &&u32| self.instances[**slot].phase != Phase::Draining;
        let nodes = cluster.pools[pool.index()].nodes.iter();
        nodes
            .map(|node| {
                let ready = node.phase == NodePhase::Ready;
                Occupied {
                    room: Room { allocatable, free: node.free },
                    pods: node.pods.iter().filter(stays).map(wanted).collect(),
                    candidate: ready && candidate(node.changed),
                    takes: ready && !lost.contains(&node.zone),
                }
            })
            .collect()
    }

    /// Marks which nodes are not needed, and since when.
    fn mark(&mut self, pool: NodePoolId, found: &[bool], now: Time) {
        for (node, &unneeded) in self.pool(pool).nodes.iter_mut().zip(found) {
            node.unneeded = if unneeded { node.unneeded.or(Some(now)) } else { None };
        }
    }

    /// Nodes that have not been needed for so long: number, and whether it is empty.
    fn unneeded_for(&mut self, pool: NodePoolId, time: Span, now: Time) -> Vec<(u32, bool)> {
        let nodes = self.pool(pool).nodes.iter();
        let idle = nodes.filter(|node| node.unneeded.is_some_and(|since| now.since(since) >= time));
        idle.map(|node| (node.number, node.pods.is_empty())).collect()
    }

    /// Cluster Autoscaler: all empty ones at once, else one of the others.
    pub(super) fn shrink_by_scan(
        &mut self,
        pool: NodePoolId,
        flags: &ClusterAutoscaler,
        calendar: &mut Calendar<Event>,
    ) {
        let now = calendar.now();
        let nodes = self.occupied(pool, |_| true);
        let found = unneeded(&nodes, flags.scale_down_utilization_threshold);
        self.mark(pool, &found, now);
        let least = self.plan.nodes[pool.index()].min as usize;
        let spare = self.pool(pool).staying().saturating_sub(least);
        let idle = self.unneeded_for(pool, flags.scale_down_unneeded_time, now);
        if idle.is_empty() || spare == 0 {
            return;
        }
        let delay = flags.scale_down_delay_after_add;
        if let Some(added) = self.pool(pool).last_add.filter(|&added| now.since(added) < delay) {
            let words = format!(
                "{} nodes are not needed; a node was added {} ago, and none goes within {delay}.",
                idle.len(),
                now.since(added)
            );
            self.log_no_action_of_pool(pool, "after an add", now, words);
            return;
        }
        let empty: Vec<u32> = idle.iter().filter(|(_, empty)| *empty).map(|&(number, _)| number).collect();
        let chosen =
            if empty.is_empty() { idle.iter().take(1).map(|&(number, _)| number).collect() } else { empty };
        let why = format!("Cluster Autoscaler has not needed it for {}", flags.scale_down_unneeded_time);
        for number in chosen.into_iter().take(spare.min(MOST_EMPTY)) {
            self.remove_node(pool, number, &why, calendar);
        }
    }

    /// Karpenter: empty ones, else the one whose pods are fewest, as far as the budget goes.
    pub(super) fn consolidate(
        &mut self,
        pool: NodePoolId,
        settings: &Karpenter,
        calendar: &mut Calendar<Event>,
    ) {
        let Some(after) = settings.consolidate_after else { return };
        let now = calendar.now();
        // No pod may wait: what looks free is on its way.
        let quiet = self.pool(pool).pending.is_empty();
        let nodes = self.occupied(pool, |changed| quiet && now.since(changed) >= after);
        // A node is not too full to go where its pods have room elsewhere.
        let found = unneeded(&nodes, f64::INFINITY);
        self.mark(pool, &found, now);
        let state = self.pool(pool);
        let leaving = state.nodes.len() - state.staying();
        let budget = (settings.budget * state.nodes.len() as f64).ceil() as usize;
        let spare = state.staying().saturating_sub(self.plan.nodes[pool.index()].min as usize);
        let may = budget.saturating_sub(leaving).min(spare);
        let idle = self.unneeded_for(pool, VALIDATION, now);
        let mut empty: Vec<u32> =
            idle.iter().filter(|(_, empty)| *empty).map(|&(number, _)| number).take(may).collect();
        let why = if empty.is_empty() { "its pods have room elsewhere" } else { "it is empty" };
        if empty.is_empty() && may > 0 {
            let pods = |number: u32| {
                let nodes = &self.cluster.as_ref()?.pools[pool.index()].nodes;
                Some(nodes.iter().find(|node| node.number == number)?.pods.len())
            };
            empty.extend(idle.iter().map(|&(number, _)| number).min_by_key(|&number| pods(number)));
        }
        for number in empty {
            self.remove_node(pool, number, &format!("Karpenter consolidates, {why}"), calendar);
        }
    }
}
