//! What must be true of pods and nodes between any two events.

use super::super::System;
use super::super::instance::Phase;
use super::nodes::NodePhase;
use crate::plan::{GroupId, NodePoolId};

impl System {
    /// Looks whether every pod is where it should be, and whether nodes have what is left of them. For tests.
    ///
    /// # Errors
    /// What is not so.
    pub fn audit_pods(&self) -> Result<(), String> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        for (id, (plan, state)) in (0u16..).map(NodePoolId).zip(self.plan.nodes.iter().zip(&cluster.pools)) {
            let name = &plan.name;
            if state.nodes.len() > plan.max as usize {
                let leaving = state.nodes.len() - state.staying();
                if state.staying() > plan.max as usize {
                    return Err(format!("{name} has {} nodes, {leaving} of them leaving", state.nodes.len()));
                }
            }
            for node in &state.nodes {
                let mut free = node.free;
                for &slot in &node.pods {
                    free += self.asked(slot);
                    if cluster.pods[slot as usize].node != Some(node.number) {
                        return Err(format!("{name}: node {} has a pod that is elsewhere", node.number));
                    }
                }
                if free != plan.allocatable() {
                    return Err(format!("{name}: node {} has {} left", node.number, node.free));
                }
                let takes_none = matches!(node.phase, NodePhase::Provisioning | NodePhase::Booting);
                if takes_none && !node.pods.is_empty() {
                    return Err(format!("{name}: node {} has pods before it is ready", node.number));
                }
                if node.phase == NodePhase::Draining && node.pods.is_empty() {
                    return Err(format!("{name}: node {} should be gone", node.number));
                }
            }
            self.audit_pods_of(id)?;
        }
        Ok(())
    }

    fn asked(&self, slot: u32) -> crate::kubernetes::Resources {
        self.pods_of(self.instances[slot].group).map(|pods| pods.requests.resources()).unwrap_or_default()
    }

    /// Each pod of a pool is on one node or waits for one.
    fn audit_pods_of(&self, pool: NodePoolId) -> Result<(), String> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let state = &cluster.pools[pool.index()];
        let groups = (0..self.fleets.len()).map(|index| GroupId(index as u16));
        let own = groups.filter(|&group| self.pods_of(group).is_some_and(|pods| pods.nodes == pool));
        for slot in own.flat_map(|group| self.fleets[group.index()].members.iter().copied()) {
            let (instance, node) = (&self.instances[slot], cluster.pods[slot as usize].node);
            let on = state.nodes.iter().filter(|node| node.pods.contains(&slot)).count();
            let waits = state.pending.iter().filter(|&&waiting| waiting == slot).count();
            let right = match node {
                Some(_) => (1, 0),
                None => (0, 1),
            };
            if (on, waits) != right {
                return Err(format!("pod {} is on {on} nodes and waits {waits} times", instance.number));
            }
            if node.is_none() && instance.phase != Phase::Pending {
                return Err(format!("pod {} is {:?} without a node", instance.number, instance.phase));
            }
        }
        let pods = state.nodes.iter().map(|node| node.pods.len()).sum::<usize>() + state.pending.len();
        let members = (0..self.fleets.len())
            .map(|index| GroupId(index as u16))
            .filter(|&group| self.pods_of(group).is_some_and(|pods| pods.nodes == pool))
            .map(|group| self.fleets[group.index()].members.len())
            .sum::<usize>();
        if pods == members { Ok(()) } else { Err(format!("{pods} pods of {members} are somewhere")) }
    }
}
