//! Nodes for pods that have none: Cluster Autoscaler looks at each scan, Karpenter waits until no more pods come.

use sim_core::{Calendar, Time};

use super::super::System;
use super::nodes::NodePhase;
use super::shrink;
use crate::event::{Due, Event};
use crate::kubernetes::{Resources, packing};
use crate::plan::{Autoscaler, NodePoolId};

impl System {
    /// A round of whoever looks after a pool.
    pub(super) fn scan(&mut self, pool: NodePoolId, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        match &plan.nodes[pool.index()].autoscaler {
            Autoscaler::None => {}
            Autoscaler::ClusterAutoscaler(flags) => {
                if !self.grow(pool, "Cluster Autoscaler", calendar) {
                    self.shrink_by_scan(pool, flags, calendar);
                }
                self.tick(calendar, flags.scan_interval, Event::Cluster(Due::Scan(pool)));
            }
            Autoscaler::Karpenter(settings) => {
                // What was left because of the limit is looked at again.
                if !self.pool(pool).pending.is_empty() && self.pool(pool).batch.is_none() {
                    self.grow(pool, "Karpenter", calendar);
                }
                self.consolidate(pool, settings, calendar);
                self.tick(calendar, shrink::DISRUPTION_POLL, Event::Cluster(Due::Scan(pool)));
            }
        }
    }

    /// A pod has found no node.
    pub(super) fn pod_waits(&mut self, pool: NodePoolId, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Autoscaler::Karpenter(settings) = &plan.nodes[pool.index()].autoscaler else { return };
        let now = calendar.now();
        let state = self.pool(pool);
        match &mut state.batch {
            Some((_, last)) => *last = now,
            None => {
                state.batch = Some((now, now));
                let first = settings.batch_idle_duration.min(settings.batch_max_duration);
                calendar.after(first, Event::Cluster(Due::Batch(pool)));
            }
        }
    }

    /// Karpenter looks whether its batch is complete.
    pub(super) fn batch(&mut self, pool: NodePoolId, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let Autoscaler::Karpenter(settings) = &plan.nodes[pool.index()].autoscaler else { return };
        let Some((first, last)) = self.pool(pool).batch else { return };
        let due: Time = (last + settings.batch_idle_duration).min(first + settings.batch_max_duration);
        if calendar.now() < due {
            calendar.at(due, Event::Cluster(Due::Batch(pool)));
            return;
        }
        self.pool(pool).batch = None;
        self.grow(pool, "Karpenter", calendar);
    }

    /// Adds nodes for pods that wait, beyond those that are on their way. True where some were added.
    fn grow(&mut self, pool: NodePoolId, who: &str, calendar: &mut Calendar<Event>) -> bool {
        let now = calendar.now();
        let plan = self.plan.clone();
        let plan = &plan.nodes[pool.index()];
        let wanted = |slot: &u32| {
            let pods = self.pods_of(self.instances[*slot].group);
            pods.map(|pods| pods.requests.resources()).unwrap_or_default()
        };
        let Some(cluster) = &self.cluster else { return false };
        let state = &cluster.pools[pool.index()];
        let pods: Vec<Resources> = state.pending.iter().map(wanted).collect();
        if pods.is_empty() {
            return false;
        }
        let coming = |phase| matches!(phase, NodePhase::Provisioning | NodePhase::Booting);
        let upcoming: Vec<Resources> =
            state.nodes.iter().filter(|node| coming(node.phase)).map(|node| node.free).collect();
        let zones_left = self.lost_zones(pool).len() < plan.zones.len();
        let most = (plan.max as usize).saturating_sub(state.staying());
        let most = if zones_left { most } else { 0 };
        let (count, unplaced) = packing::missing(&pods, &upcoming, plan.allocatable(), most);
        if count > 0 {
            let why = format!("{who} adds {count} for {} pods that are Pending", pods.len());
            self.add_nodes(pool, count, &why, calendar);
        }
        if unplaced > 0 {
            let words =
                format!("{unplaced} pods stay Pending: the pool has its maximum of {} nodes.", plan.max);
            self.log_no_action_of_pool(pool, "maximum", now, words);
        }
        count > 0
    }
}
