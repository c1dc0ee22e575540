//! What a plan's instances can serve, by the mean demands of its mix: for plots, for causes, for `check`.

mod jobs;

use std::collections::BTreeMap;

use crate::plan::{
    Balancer, BalancerId, EndpointId, Group, GroupId, Machine, Plan, Step, TargetGroup, TrafficId,
};

pub use jobs::WorkerCapacity;

/// Seconds that an endpoint takes.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    /// On the CPU, by the threads that take turns at requests.
    cpu: f64,
    /// On the CPU, by threads beside them.
    pool: f64,
    /// From its first step to its response, without waiting for anybody.
    held: f64,
}

/// How far a walk over calls has come with an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// What one request asks of one group, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Requests that the group sees for one that a client sends.
    pub visits: f64,
    /// Core seconds for one that a client sends.
    pub cpu: f64,
    /// Those of them that threads compute which take turns at requests: not the pool's beside a loop, nor the primary's.
    pub on_threads: f64,
    /// Those of them that the primary of a cluster needs.
    pub primary: f64,
    /// Seconds that an inference engine with full batches needs for one that a client sends.
    pub engine: f64,
    /// Seconds that a thread is held for one that a client sends, waits and calls included.
    pub held: f64,
}

impl Plan {
    /// The demand on each group of one average request of all traffic, weighed by the expected number of requests, and of the jobs
    /// that come of it. What jobs ask of their own workers is not in it: see [`worker_capacity`](Plan::worker_capacity).
    pub fn demands(&self) -> Vec<Demand> {
        let end = sim_core::Time::ZERO + self.duration;
        let expected: Vec<f64> =
            self.traffic.iter().map(|t| t.expected_requests(sim_core::Time::ZERO, end)).collect();
        let total: f64 = expected.iter().sum();
        // Visits by endpoint and the balancer they come through.
        let mut visits: BTreeMap<(EndpointId, BalancerId), f64> = BTreeMap::new();
        for (traffic, requests) in self.traffic.iter().zip(&expected) {
            let weight = if total > 0.0 { requests / total } else { 1.0 / self.traffic.len() as f64 };
            for (endpoint, share) in traffic.shares(end) {
                *visits.entry((endpoint, traffic.to)).or_insert(0.0) += weight * share;
            }
        }
        self.demands_by(visits)
    }

    /// The same of one request for an endpoint that comes through a balancer.
    pub fn demands_of(&self, to: BalancerId, endpoint: EndpointId) -> Vec<Demand> {
        self.demands_by(BTreeMap::from([((endpoint, to), 1.0)]))
    }

    /// What so many visits, and those that come of them, ask of each group.
    fn demands_by(&self, mut visits: BTreeMap<(EndpointId, BalancerId), f64>) -> Vec<Demand> {
        let mut demands = vec![Demand::default(); self.groups.len()];
        if !self.queues.is_empty() {
            self.add_calls_of_jobs(&mut visits);
        }
        let order = self.callees_first();
        let took = self.times();
        // How often each is visited: callers before callees.
        for &endpoint in order.iter().rev() {
            let of_this: Vec<(BalancerId, f64)> = (visits.range((endpoint, BalancerId(0))..))
                .take_while(|((other, _), _)| *other == endpoint)
                .map(|(&(_, to), &weight)| (to, weight))
                .collect();
            for (to, weight) in of_this {
                let own = took[endpoint.index()];
                let runtime = self.services[self.endpoints[endpoint.index()].service.index()].runtime;
                let [primary, handover] = match self.balancers[to.index()].keep_alive {
                    Some(_) => [0.0; 2],
                    None => runtime.connection_costs().map(sim_core::Span::as_secs_f64),
                };
                for (group, share) in self.shares(&self.balancers[to.index()]) {
                    let (demand, weight) = (&mut demands[group.index()], weight * share);
                    demand.visits += weight;
                    demand.cpu += weight * (own.cpu + own.pool + primary + handover);
                    demand.on_threads += weight * (own.cpu + handover);
                    demand.primary += weight * primary;
                    demand.held += weight * own.held;
                    demand.engine += weight * self.engine_seconds(&self.endpoints[endpoint.index()]);
                }
                for step in &self.endpoints[endpoint.index()].steps {
                    if let &Step::Call { to, endpoint } = step {
                        *visits.entry((endpoint, to)).or_insert(0.0) += weight;
                    }
                }
            }
        }
        demands
    }

    /// What workers call for the jobs that come of so many visits.
    fn add_calls_of_jobs(&self, visits: &mut BTreeMap<(EndpointId, BalancerId), f64>) {
        let mut asked = vec![0.0; self.endpoints.len()];
        visits.iter().for_each(|((endpoint, _), weight)| asked[endpoint.index()] += weight);
        let sent = self.jobs_sent(&asked);
        for (id, group) in (0u16..).map(GroupId).zip(&self.groups) {
            let Some(worker) = &group.worker else { continue };
            let jobs = sent[worker.queue.index()] * self.share_of_queue(id);
            for step in &self.endpoints[worker.job.index()].steps {
                if let &Step::Call { to, endpoint } = step {
                    *visits.entry((endpoint, to)).or_insert(0.0) += jobs;
                }
            }
        }
    }

    /// What each endpoint takes without waiting, calls included: callees before callers.
    fn times(&self) -> Vec<Took> {
        let mut took = vec![Took::default(); self.endpoints.len()];
        for endpoint in self.callees_first() {
            took[endpoint.index()] = self.own_times(endpoint, &took);
        }
        took
    }

    /// The times of an endpoint, given those of its callees.
    fn own_times(&self, endpoint: EndpointId, took: &[Took]) -> Took {
        let runtime = self.services[self.endpoints[endpoint.index()].service.index()].runtime;
        let overhead = self.overhead(endpoint).as_secs_f64();
        let mut own = Took { cpu: overhead, pool: 0.0, held: overhead };
        for step in &self.endpoints[endpoint.index()].steps {
            match step {
                Step::Pool(demand) if runtime.has_pool() => {
                    own.pool += demand.mean() * 1e-9;
                    own.held += demand.mean() * 1e-9;
                }
                Step::Cpu(demand) | Step::Pool(demand) => {
                    own.cpu += demand.mean() * 1e-9;
                    own.held += demand.mean() * 1e-9;
                }
                Step::Enqueue(_) | Step::AwaitJob(_) => {}
                Step::Wait(time) | Step::Gpu(time) => own.held += time.mean() * 1e-9,
                Step::Generate(tokens) => {
                    own.held += self.alone(&self.endpoints[endpoint.index()], tokens);
                }
                Step::Call { endpoint, .. } => own.held += took[endpoint.index()].held,
            }
        }
        own
    }

    /// All endpoints, each after those it calls. Calls have no circle.
    pub fn callees_first(&self) -> Vec<EndpointId> {
        let mut order = Vec::with_capacity(self.endpoints.len());
        let mut state = vec![State::New; self.endpoints.len()];
        let mut stack: Vec<EndpointId> =
            (0..self.endpoints.len()).rev().map(|i| EndpointId(i as u16)).collect();
        while let Some(&here) = stack.last() {
            match state[here.index()] {
                State::New => {
                    state[here.index()] = State::Open;
                    let calls = self.endpoints[here.index()].steps.iter().filter_map(|step| match step {
                        &Step::Call { endpoint, .. } => Some(endpoint),
                        _ => None,
                    });
                    stack.extend(calls.filter(|callee| state[callee.index()] == State::New));
                }
                State::Open => {
                    state[here.index()] = State::Done;
                    order.push(here);
                    stack.pop();
                }
                State::Done => {
                    stack.pop();
                }
            }
        }
        order
    }

    /// Visits per second that one instance of a group can serve: what its cores (or its one loop) can do, or its
    /// threads. Infinite where its requests need neither. Of workers it is jobs a second.
    pub fn capacity_per_instance(&self, group: GroupId) -> f64 {
        if let Some(capacity) = self.worker_capacity(group) {
            return capacity.rate();
        }
        let demand = self.demands()[group.index()];
        if demand.visits == 0.0
            && let Some(weighing) = self.with_weight(group)
        {
            return weighing.capacity_per_instance(group);
        }
        demand.visits * self.clients_per_instance(group, demand)
    }

    /// The plan where balancers that give a group a weight of zero give it one: what it could do if it got requests.
    fn with_weight(&self, group: GroupId) -> Option<Plan> {
        let mut plan = self.clone();
        let all = plan.balancers.iter_mut().flat_map(|balancer| &mut balancer.targets);
        let mut own = all.filter(|target| target.group == group && target.weight == 0).peekable();
        own.peek()?;
        own.for_each(|target| target.weight = 1);
        Some(plan)
    }

    /// Client requests per second that healthy instances can serve, `serving` of each group in order.
    pub fn capacity(&self, serving: impl Iterator<Item = u32>) -> f64 {
        weakest(&self.capacities(), serving.map(f64::from))
    }

    /// Client requests per second that one instance of each group can serve; `None` where no request comes.
    pub(crate) fn capacities(&self) -> Vec<Option<f64>> {
        let groups = (0u16..).map(GroupId).zip(self.demands());
        groups
            .map(|(id, demand)| (demand.visits > 0.0).then(|| self.clients_per_instance(id, demand)))
            .collect()
    }

    /// What an instance of each machine is worth in instances of its group's first one, by group: what it can serve of what that
    /// one can. A version of a launch template has a machine of its own, and with it stands for what it runs.
    pub fn worth_of_machines(&self) -> Vec<Vec<f64>> {
        if self.groups.iter().all(|group| group.machines.len() == 1) {
            return vec![vec![1.0]; self.groups.len()];
        }
        let groups = (0u16..).map(GroupId).zip(&self.groups).zip(self.demands());
        let of = |((id, group), demand): ((GroupId, &Group), Demand)| {
            let first = self.clients_per_machine(id, group.machine(), demand);
            let of_machine = |machine| self.clients_per_machine(id, machine, demand) / first;
            let mut worths: Vec<f64> = group.machines.iter().map(of_machine).collect();
            for (version, template) in (1u8..).zip(&group.versions) {
                worths[usize::from(template.machine)] =
                    self.capacity_of_version(id, version) / self.capacity_per_instance(id);
            }
            worths.iter_mut().filter(|worth| !worth.is_finite()).for_each(|worth| *worth = 1.0);
            worths
        };
        groups.map(of).collect()
    }

    fn clients_per_instance(&self, group: GroupId, demand: Demand) -> f64 {
        self.clients_per_machine(group, self.groups[group.index()].machine(), demand)
    }

    fn clients_per_machine(&self, group: GroupId, machine: &Machine, demand: Demand) -> f64 {
        let plan = &self.groups[group.index()];
        let (runtime, processor) = (self.services[plan.service.index()].runtime, &machine.processor);
        let threads = runtime.computing_threads(processor.vcpus);
        let by_cores = (processor.capacity() / demand.cpu)
            .min(processor.capacity_of(threads) / demand.on_threads)
            .min(processor.capacity_of(1) / demand.primary)
            .min(1.0 / demand.engine);
        match runtime.held_threads(processor.vcpus) {
            Some(threads) => by_cores.min(f64::from(threads) / demand.held),
            None => by_cores,
        }
    }

    /// What share of a balancer's requests each of its groups gets, at their desired capacities.
    fn shares(&self, balancer: &Balancer) -> Vec<(GroupId, f64)> {
        let weighs = |target: &TargetGroup| {
            let instances = self.groups[target.group.index()].desired.max(1);
            f64::from(target.weight) * f64::from(instances)
        };
        let total: f64 = balancer.targets.iter().map(weighs).sum();
        balancer.targets.iter().map(|target| (target.group, weighs(target) / total.max(1e-9))).collect()
    }

    /// The sources whose requests come to a group, directly or through others; by group.
    pub fn asked_by(&self) -> Vec<Vec<TrafficId>> {
        let mut asked_by = vec![Vec::new(); self.groups.len()];
        for (id, traffic) in (0u16..).map(TrafficId).zip(&self.traffic) {
            let mut touched = vec![false; self.groups.len()];
            traffic
                .mix
                .iter()
                .for_each(|&(endpoint, _)| self.mark_groups(traffic.to, endpoint, &mut touched));
            let theirs = asked_by.iter_mut().zip(touched).filter(|(_, touched)| *touched);
            theirs.for_each(|(sources, _)| sources.push(id));
        }
        asked_by
    }

    /// Marks the groups that a request for `endpoint` goes through.
    pub fn mark_groups(&self, to: BalancerId, endpoint: EndpointId, touched: &mut [bool]) {
        let mut seen = vec![false; self.endpoints.len()];
        let mut stack = vec![(to, endpoint)];
        while let Some((to, endpoint)) = stack.pop() {
            for target in &self.balancers[to.index()].targets {
                touched[target.group.index()] = true;
            }
            if std::mem::replace(&mut seen[endpoint.index()], true) {
                continue;
            }
            for step in &self.endpoints[endpoint.index()].steps {
                if let &Step::Call { to, endpoint } = step {
                    stack.push((to, endpoint));
                }
            }
        }
    }
}

/// What healthy instances can serve, `serving` of each group in order, by what one of each can: the bottleneck's part.
pub(crate) fn weakest(capacities: &[Option<f64>], serving: impl Iterator<Item = f64>) -> f64 {
    let visited = serving.zip(capacities).filter_map(|(count, each)| Some(count * (*each)?));
    visited.fold(f64::INFINITY, f64::min)
}
