//! Pods and nodes in mid-run: where pods are, which nodes there are, and what autoscalers remember.
//!
//! * [`pods`](self): pods are created, find a node, start and go.
//! * [`nodes`](self): nodes come and go.
//! * [`grow`](self), [`shrink`](self): what Cluster Autoscaler and Karpenter do.
//! * [`metrics`](self): metrics-server, and what an HPA can see.
//! * [`autoscale`](self): HPAs and KEDA at their times.
//! * [`activator`](self): requests that wait for the first pod.
//! * [`audit`](self): what must be true of all of that.
//!
//! Systems without pods have none of this: no event is scheduled and nothing is drawn.

mod activator;
mod audit;
mod autoscale;
mod grow;
mod metrics;
mod nodes;
mod pods;
mod shrink;

use std::collections::VecDeque;

use sim_core::{Calendar, Keyed, Seed, Span, Time};

use super::System;
use crate::event::{Due, Event, Ref};
use crate::kubernetes::nodes_at_start;
use crate::plan::{Autoscaler, GroupId, NodePoolId, Plan, Scaling};

use autoscale::AutoscalerState;
use nodes::PoolState;
use pods::PodState;

/// How often metrics-server measures.
const METRICS_RESOLUTION: Span = Span::from_secs(15);

/// What a system with pods has beside the others.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// In the plan's order.
    pools: Vec<PoolState>,
    /// By slot of their instance.
    pods: Vec<PodState>,
    /// By group; `None` where nobody scales it.
    autoscalers: Vec<Option<Box<AutoscalerState>>>,
    /// Requests that wait for a pod, by balancer.
    held: Vec<VecDeque<Ref>>,
    /// Requests a second at each balancer in the last interval, and how many there had been.
    rates: Vec<(f64, u64)>,
    /// How long images are on their way, by group.
    pulls: Vec<Keyed>,
    /// When metrics-server measured last.
    measured: Time,
}

impl Cluster {
    /// Of a plan with pods; `None` of others.
    pub fn new(plan: &Plan, seed: Seed) -> Option<Box<Cluster>> {
        if plan.groups.iter().all(|group| group.pods.is_none()) {
            return None;
        }
        let autoscaler = |scaling: &[Scaling]| {
            scaling.iter().find_map(|scaling| AutoscalerState::new(scaling).map(Box::new))
        };
        Some(Box::new(Cluster {
            pools: plan.nodes.iter().map(|pool| PoolState::new(pool, seed)).collect(),
            pods: Vec::new(),
            autoscalers: plan.groups.iter().map(|group| autoscaler(&group.scaling)).collect(),
            held: vec![VecDeque::new(); plan.balancers.len()],
            rates: vec![(0.0, 0); plan.balancers.len()],
            pulls: plan
                .groups
                .iter()
                .map(|group| seed.keyed(&format!("group/{}/image-pull", group.name)))
                .collect(),
            measured: Time::ZERO,
        }))
    }
}

impl System {
    /// The cluster, in a system that has one.
    fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("only systems with pods come here")
    }

    /// A pool as it stands.
    fn pool(&mut self, pool: NodePoolId) -> &mut PoolState {
        &mut self.cluster().pools[pool.index()]
    }

    /// Nodes are up before the pods of the start are put on them, and the clocks of those who look after them begin.
    pub(super) fn start_cluster(&mut self, calendar: &mut Calendar<Event>) {
        if self.cluster.is_none() {
            return;
        }
        let plan = self.plan.clone();
        for (id, pool) in (0u16..).map(NodePoolId).zip(&plan.nodes) {
            let (_, nodes) = nodes_at_start(pool.min, &plan.pods_at_start(id), pool.allocatable());
            for _ in 0..nodes {
                self.node_of_start(id);
            }
            self.note_nodes(id, calendar.now());
            let clock = match &pool.autoscaler {
                Autoscaler::None => None,
                Autoscaler::ClusterAutoscaler(flags) => Some(flags.scan_interval),
                Autoscaler::Karpenter(_) => Some(shrink::DISRUPTION_POLL),
            };
            if let Some(first) = clock {
                calendar.after(first, Event::Cluster(Due::Scan(id)));
            }
        }
        calendar.after(METRICS_RESOLUTION, Event::Cluster(Due::Measure));
        for (id, group) in (0u16..).map(GroupId).zip(&plan.groups) {
            for scaling in &group.scaling {
                if let Some(autoscaler) = scaling.pod_autoscaler() {
                    calendar.after(autoscaler.sync_period, Event::Cluster(Due::Sync(id)));
                }
                if let Scaling::Keda(object) = scaling {
                    calendar.after(object.keda.polling_interval, Event::Cluster(Due::Poll(id)));
                }
            }
        }
    }

    /// Something in the cluster is due.
    #[cold]
    pub(super) fn cluster_due(&mut self, due: Due, calendar: &mut Calendar<Event>) {
        match due {
            Due::Measure => {
                self.measure_pods(calendar.now());
                self.tick(calendar, METRICS_RESOLUTION, Event::Cluster(Due::Measure));
            }
            Due::Sync(group) => self.sync(group, calendar),
            Due::Poll(group) => self.poll(group, calendar),
            Due::Scan(pool) => self.scan(pool, calendar),
            Due::Batch(pool) => self.batch(pool, calendar),
            Due::Node(pool, number) => self.node_goes_on(pool, number, calendar),
        }
    }
}
