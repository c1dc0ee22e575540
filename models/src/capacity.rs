//! What a plan's instances can serve, by the mean demands of its mix: for plots, for causes, for `check`.

use crate::plan::{BalancerId, Endpoint, EndpointId, GroupId, Plan, Runtime, Step};

/// What one request asks of one group, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Requests that the group sees for one that a client sends.
    pub visits: f64,
    /// Core seconds for one that a client sends.
    pub cpu: f64,
    /// Seconds that a thread is held for one that a client sends, waits and calls included.
    pub held: f64,
}

impl Plan {
    /// The demand on each group of one average request of all traffic, weighed by the expected number of requests.
    pub fn demands(&self) -> Vec<Demand> {
        let mut demands = vec![Demand::default(); self.groups.len()];
        let end = sim_core::Time::ZERO + self.duration;
        let expected: Vec<f64> =
            self.traffic.iter().map(|t| t.expected.integral(sim_core::Time::ZERO, end)).collect();
        let total: f64 = expected.iter().sum();
        for (traffic, requests) in self.traffic.iter().zip(&expected) {
            let weight = if total > 0.0 { requests / total } else { 1.0 / self.traffic.len() as f64 };
            for &(endpoint, share) in &traffic.mix {
                self.add_demand(traffic.to, endpoint, weight * share, &mut demands);
            }
        }
        demands
    }

    /// Adds the demand of `weight` requests for `endpoint`, and returns the seconds that each takes without waiting.
    fn add_demand(&self, to: BalancerId, endpoint: EndpointId, weight: f64, demands: &mut [Demand]) -> f64 {
        let Endpoint { steps, .. } = &self.endpoints[endpoint.index()];
        let group = self.balancers[to.index()].targets.index();
        let (mut cpu, mut held) = (0.0, 0.0);
        for step in steps {
            held += match step {
                Step::Cpu(demand) => {
                    cpu += demand.mean() * 1e-9;
                    demand.mean() * 1e-9
                }
                Step::Wait(time) => time.mean() * 1e-9,
                &Step::Call { to, endpoint } => self.add_demand(to, endpoint, weight, demands),
            };
        }
        demands[group].visits += weight;
        demands[group].cpu += weight * cpu;
        demands[group].held += weight * held;
        held
    }

    /// Visits per second that one instance of a group can serve: what its cores (or its one loop) can do, or its
    /// threads. Infinite where its requests need neither.
    pub fn capacity_per_instance(&self, group: GroupId) -> f64 {
        let demand = self.demands()[group.index()];
        demand.visits * self.clients_per_instance(group, demand)
    }

    /// Client requests per second that healthy instances can serve, `serving` of each group in order.
    pub fn capacity(&self, serving: impl Iterator<Item = u32>) -> f64 {
        let demands = self.demands();
        let groups = serving.zip(demands).zip(0u16..);
        groups
            .filter(|((_, demand), _)| demand.visits > 0.0)
            .map(|((count, demand), group)| {
                f64::from(count) * self.clients_per_instance(GroupId(group), demand)
            })
            .fold(f64::INFINITY, f64::min)
    }

    fn clients_per_instance(&self, group: GroupId, demand: Demand) -> f64 {
        let plan = &self.groups[group.index()];
        let (cores, threads) = match self.services[plan.service.index()].runtime {
            Runtime::EventLoop { .. } => (1.0, None),
            Runtime::Threads { threads, .. } => (f64::from(plan.machine.vcpus), threads),
        };
        let by_cores = cores / demand.cpu;
        match threads {
            Some(threads) => by_cores.min(f64::from(threads) / demand.held),
            None => by_cores,
        }
    }

    /// Marks the groups that a request for `endpoint` goes through.
    pub fn mark_groups(&self, to: BalancerId, endpoint: EndpointId, touched: &mut [bool]) {
        touched[self.balancers[to.index()].targets.index()] = true;
        for step in &self.endpoints[endpoint.index()].steps {
            if let &Step::Call { to, endpoint } = step {
                self.mark_groups(to, endpoint, touched);
            }
        }
    }
}
