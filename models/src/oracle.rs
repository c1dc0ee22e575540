//! The oracle: the smallest fleet that would have kept the objectives at each moment, and what it would have cost. It knows
//! the load before it comes and has its instances in no time, so no policy can be better on the same machines.
//!
//! # Method
//! A balancer that picks at random gives each of `n` instances a Poisson stream of `1/n` of the load, so all that matters is
//! the load of *one* instance: [`carries`] finds the highest at which it keeps every objective, and the fleet of an interval
//! is the load over that, rounded up. An instance is its vCPUs under processor sharing, with the speed that so many busy
//! vCPUs have together (SMT, turbo, quota): a birth-death chain, whose means depend on demands only through their means
//! (Kelly 1979). The response time has the mean and the variance of waits and demands, the latter stretched by the
//! slowdown, and the noise of sharing of M/M/1-PS at the same slowdown (Coffman, Muntz and Trotter 1970); its quantiles are
//! those of a gamma distribution with these two moments. A single event loop is first come, first served (Pollaczek and
//! Khinchine).
//!
//! # Limits
//! Each interval is taken as long enough to be in equilibrium, so a burst within one is not seen. Balancers that look at load
//! do better than random ones, so that the oracle may be an instance too large. Where a request goes through several
//! groups, each is looked at with the others idle. Workers and objectives about jobs are left out: a queue may wait for an hour
//! and be cleared in the next, so that no interval can be judged by itself. Garbage collection, cold starts, retries, sessions and
//! what goes wrong are not in it, nor are inference engines: of groups that have them nothing is said.

mod expected;

use statrs::distribution::{ContinuousCDF, Gamma};

use crate::machine::Processor;
use crate::plan::{
    EndpointId, Group, GroupId, Indicator, Objective, Plan, ProcessKind, ServiceId, Step, Subject,
};

pub(crate) use expected::{Expected, asked_of, expected, visit};

/// Steps of bisection: the load is found to one part in a million.
const STEPS: u32 = 40;
/// The largest fleet it asks for.
const MOST_INSTANCES: f64 = 1e6;

/// What one instance of a group's first machine carries within all objectives that are about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Carries {
    /// Client requests per second. Zero where an idle instance breaks an objective, infinite where requests need nothing.
    pub rate: f64,
    /// The objective that limits it.
    pub limited_by: String,
}

/// What one instance of each group carries; `None` where no request comes or no objective is about it.
pub fn carries(plan: &Plan) -> Vec<Option<Carries>> {
    let demands = plan.demands();
    let of = |(id, group): (u16, &Group)| {
        let demand = demands[usize::from(id)];
        let engine = &plan.services[group.service.index()].engine;
        if demand.visits <= 0.0 || engine.is_some() {
            return None;
        }
        let instance = Instance::of(plan, group, demand.cpu / demand.visits);
        let limits = plan.objectives.iter().filter_map(|objective| {
            let asked = Asked::of(plan, GroupId(id), objective)?;
            let rate = instance.highest_rate(|queue| keeps(objective, &asked, &instance, queue));
            Some(Carries { rate: rate / demand.visits, limited_by: objective.name.clone() })
        });
        limits.min_by(|a, b| a.rate.total_cmp(&b.rate))
    };
    (0u16..).zip(&plan.groups).map(of).collect()
}

/// Instances for so many client requests per second; `None` where no number is enough.
pub fn instances_for(carries: &Carries, offered: f64) -> Option<u32> {
    if offered <= 0.0 || carries.rate.is_infinite() {
        return Some(1);
    }
    let needed = (offered / carries.rate * (1.0 - 1e-9)).ceil();
    (needed <= MOST_INSTANCES).then(|| (needed as u32).max(1))
}

/// A mean and a variance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Moments {
    pub(crate) fn of(dist: &sim_core::dist::Dist) -> Moments {
        let mean = dist.mean() * 1e-9;
        Moments { mean, variance: dist.scv() * mean * mean }
    }

    /// The sum of two that do not depend on each other.
    pub(crate) fn plus(self, other: Moments) -> Moments {
        Moments { mean: self.mean + other.mean, variance: self.variance + other.variance }
    }
}

/// What the requests of an objective ask of one group: seconds of its CPU, and seconds of everything else.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    cpu: Moments,
    rest: Moments,
    /// The shortest time that their clients wait.
    patience: f64,
}

impl Asked {
    /// `None` where the objective is not about the group.
    fn of(plan: &Plan, group: GroupId, objective: &Objective) -> Option<Asked> {
        if objective.subject != Subject::Requests {
            return None;
        }
        let service = plan.groups[group.index()].service;
        let parts = parts(plan, service);
        let end = sim_core::Time::ZERO + plan.duration;
        let (mut weight, mut touched, mut patience) = (0.0, false, f64::INFINITY);
        // First and second moments of the mixture.
        let mut sums = [[0.0; 2]; 2];
        for (index, traffic) in plan.traffic.iter().enumerate() {
            if objective.traffic.is_some_and(|wanted| wanted.index() != index) {
                continue;
            }
            let requests = traffic.expected_requests(sim_core::Time::ZERO, end);
            for (endpoint, share) in traffic.shares(end) {
                if objective.endpoint.is_some_and(|wanted| wanted != endpoint) {
                    continue;
                }
                let mut groups = vec![false; plan.groups.len()];
                plan.mark_groups(traffic.to, endpoint, &mut groups);
                touched |= groups[group.index()];
                let own = requests * share;
                weight += own;
                for (sum, part) in sums.iter_mut().zip(parts[endpoint.index()]) {
                    sum[0] += own * part.mean;
                    sum[1] += own * (part.variance + part.mean * part.mean);
                }
                patience = traffic.timeout.map_or(patience, |timeout| patience.min(timeout.as_secs_f64()));
            }
        }
        if !touched || weight <= 0.0 {
            return None;
        }
        let [cpu, rest] = sums.map(|[first, second]| {
            let mean = first / weight;
            Moments { mean, variance: (second / weight - mean * mean).max(0.0) }
        });
        Some(Asked { cpu, rest, patience })
    }
}

/// Of each endpoint, calls included: the CPU time at a service, and everything else.
fn parts(plan: &Plan, service: ServiceId) -> Vec<[Moments; 2]> {
    let mut parts = vec![[Moments::default(); 2]; plan.endpoints.len()];
    for id in plan.callees_first() {
        parts[id.index()] = own_parts(plan, id, service, &parts);
    }
    parts
}

fn own_parts(plan: &Plan, id: EndpointId, service: ServiceId, parts: &[[Moments; 2]]) -> [Moments; 2] {
    let endpoint = &plan.endpoints[id.index()];
    let mut cpu = Moments { mean: plan.overhead(id).as_secs_f64(), variance: 0.0 };
    let (mut there, mut rest) = (Moments::default(), Moments::default());
    for step in &endpoint.steps {
        match step {
            Step::Cpu(demand) | Step::Pool(demand) => cpu = cpu.plus(Moments::of(demand)),
            Step::Enqueue(_) | Step::AwaitJob(_) => {}
            Step::Wait(time) | Step::Gpu(time) => rest = rest.plus(Moments::of(time)),
            Step::Generate(tokens) => {
                rest = rest.plus(Moments { mean: plan.alone(endpoint, tokens), variance: 0.0 });
            }
            Step::Call { endpoint, .. } => {
                there = there.plus(parts[endpoint.index()][0]);
                rest = rest.plus(parts[endpoint.index()][1]);
            }
        }
    }
    if endpoint.service == service { [there.plus(cpu), rest] } else { [there, rest.plus(cpu)] }
}

/// One instance: what serves requests on it.
#[derive(Clone, Debug)]
struct Instance {
    /// Mean CPU seconds of a request, of all that come.
    demand: f64,
    /// The squared coefficient of variation of that, over all that come: short requests wait behind long ones.
    scv: f64,
    /// What `1..` busy vCPUs of a queue do together, of what one does alone.
    speeds: Vec<f64>,
    /// Queues that share the requests: the processes of a cluster of loops, else 1.
    queues: f64,
    /// Whether a queue has a single thread that takes its requests one after another.
    in_turn: bool,
    /// Requests that a queue holds, waiting or in progress.
    room: f64,
    /// Threads of all queues that requests hold while they wait for others.
    threads: f64,
}

/// A queue at a load.
#[derive(Clone, Copy, Debug)]
struct Queue {
    /// Requests per second.
    rate: f64,
    /// The mean of a request's time on the CPU over its demand.
    slowdown: f64,
    /// The share of requests that find no room.
    blocked: f64,
}

impl Instance {
    fn of(plan: &Plan, group: &Group, demand: f64) -> Instance {
        let runtime = plan.services[group.service.index()].runtime;
        let processor = &group.machine().processor;
        let processes = runtime.processes(processor.vcpus);
        let room = match runtime.process {
            ProcessKind::EventLoop { accept_queue, .. } | ProcessKind::Async { accept_queue, .. } => {
                f64::from(accept_queue)
            }
            ProcessKind::Threads { threads: None, .. } => f64::INFINITY,
            ProcessKind::Threads { threads: Some(threads), accept_queue, .. }
            | ProcessKind::Gil { threads, accept_queue, .. } => f64::from(threads) + f64::from(accept_queue),
        };
        let threads = runtime.held_threads(processor.vcpus).map_or(f64::INFINITY, f64::from);
        let computing = runtime.computing_threads(processor.vcpus);
        let in_turn = matches!(runtime.process, ProcessKind::EventLoop { .. });
        // Loops are queues of their own; what else there are several processes of shares the machine.
        let queues = if in_turn { processes.min(computing).max(1) } else { 1 };
        let speeds = speeds(processor, computing, queues);
        let visit = visit(plan, group);
        let scv = visit.variance / (visit.mean * visit.mean).max(1e-30);
        Instance { demand, scv, speeds, queues: f64::from(queues), in_turn, room, threads }
    }

    /// The highest rate of requests at which `kept` holds. What holds at a load holds at each lower one.
    fn highest_rate(&self, kept: impl Fn(&Queue) -> bool) -> f64 {
        let holds = |rate: f64| self.at(rate / self.queues).is_some_and(|queue| kept(&queue));
        let most = if self.demand > 0.0 {
            self.queues * self.speeds.last().copied().unwrap_or(1.0) / self.demand
        } else if self.threads.is_finite() {
            1e9
        } else {
            return f64::INFINITY;
        };
        let (mut low, mut high) = (0.0, most);
        for _ in 0..STEPS {
            let middle = 0.5 * (low + high);
            if holds(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// A queue at a load; `None` where it would grow for ever.
    fn at(&self, rate: f64) -> Option<Queue> {
        let load = rate * self.demand;
        if load <= 0.0 {
            return Some(Queue { rate, slowdown: 1.0, blocked: 0.0 });
        }
        let (mut weight, mut sum, mut number) = (1.0, 1.0, 0.0);
        for (present, speed) in (1u32..).zip(&self.speeds) {
            weight *= load / speed;
            sum += weight;
            number += f64::from(present) * weight;
        }
        // Beyond the last vCPU it is a geometric series.
        let vcpus = self.speeds.len() as f64;
        let ratio = load / self.speeds.last()?;
        if ratio >= 1.0 {
            return None;
        }
        let tail = weight * ratio / (1.0 - ratio);
        number += tail * (vcpus + 1.0 / (1.0 - ratio));
        let blocked = weight * ratio.powf((self.room - vcpus).max(0.0)) / (sum + tail);
        Some(Queue { rate, slowdown: number / (sum + tail) / load, blocked })
    }
}

/// What `1..` busy vCPUs of one of so many queues do together, limited by what lasts: quotas and baselines.
fn speeds(processor: &Processor, computing: u32, queues: u32) -> Vec<f64> {
    let computing = computing.clamp(1, processor.vcpus.max(1));
    let lasting = processor.capacity_of(computing) / f64::from(queues);
    if queues > 1 {
        return vec![lasting];
    }
    (1..=computing).map(|busy| processor.speed(busy).min(lasting)).collect()
}

/// Whether an objective is kept by an instance at a load.
fn keeps(objective: &Objective, asked: &Asked, instance: &Instance, queue: &Queue) -> bool {
    let response = response(asked, instance, queue);
    // Each holds a thread from its first step to its response (Little).
    let held = queue.rate * instance.queues * response.mean;
    if held >= instance.threads {
        return false;
    }
    let within = |share: f64, bound: f64| quantile(response, share) <= bound;
    match objective.indicator {
        Indicator::Quantile(share) => within(share, objective.bound * 1e-9),
        Indicator::Mean => response.mean <= objective.bound * 1e-9,
        Indicator::Availability => answered(asked, queue, objective.bound, &within),
        Indicator::ErrorRatio => answered(asked, queue, 1.0 - objective.bound, &within),
    }
}

/// Whether a share of requests finds room, and an answer before its client has waited long enough.
fn answered(asked: &Asked, queue: &Queue, share: f64, within: &dyn Fn(f64, f64) -> bool) -> bool {
    let patient = asked.patience.is_infinite() || within(share.clamp(0.0, 1.0 - 1e-9), asked.patience);
    queue.blocked <= 1.0 - share + 1e-12 && patient
}

/// The response time of an objective's requests.
fn response(asked: &Asked, instance: &Instance, queue: &Queue) -> Moments {
    let Asked { cpu, rest, .. } = *asked;
    let load = 1.0 - 1.0 / queue.slowdown; // of the single server with this slowdown
    if instance.in_turn && instance.demand > 0.0 {
        // Pollaczek and Khinchine for the mean, and the spread of M/M/1.
        let wait = (queue.slowdown - 1.0) * instance.demand * 0.5 * (1.0 + instance.scv);
        let spread = if load > 0.0 { wait * wait * (2.0 - load) / load } else { 0.0 };
        return cpu.plus(rest).plus(Moments { mean: wait, variance: spread });
    }
    let noise = cpu.mean * cpu.mean * 2.0 * load / (2.0 - load);
    let shared = Moments {
        mean: cpu.mean * queue.slowdown,
        variance: queue.slowdown * queue.slowdown * (cpu.variance + noise),
    };
    shared.plus(rest)
}

/// A quantile of the gamma distribution with these moments.
pub(crate) fn quantile(of: Moments, share: f64) -> f64 {
    if of.variance <= 1e-9 * of.mean * of.mean || of.mean <= 0.0 {
        return of.mean;
    }
    let shape = of.mean * of.mean / of.variance;
    Gamma::new(shape, of.mean / of.variance).map_or(of.mean, |gamma| gamma.inverse_cdf(share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{Mg1, MgcPs, Mmc, MmcPs};

    fn instance(vcpus: usize) -> Instance {
        let speeds = (1..=vcpus).map(|busy| busy as f64).collect();
        let infinite = f64::INFINITY;
        let scv = 1.0;
        Instance { demand: 0.01, scv, speeds, queues: 1.0, in_turn: false, room: infinite, threads: infinite }
    }

    fn exponential(mean: f64) -> Moments {
        Moments { mean, variance: mean * mean }
    }

    #[test]
    fn the_slowdown_is_that_of_processor_sharing() {
        for (vcpus, rate) in [(1, 70.0), (2, 150.0), (8, 700.0)] {
            let seen = instance(vcpus).at(rate).unwrap().slowdown;
            let exact = MgcPs::new(rate, 0.01, vcpus as u32).unwrap().mean_slowdown();
            assert!((seen / exact - 1.0).abs() < 1e-9, "{vcpus} vCPUs: {seen} against {exact}");
        }
        assert!(instance(2).at(200.0).is_none(), "a full machine has no mean");
    }

    /// The gamma distribution stands for the law that nobody has in closed form; where it is known, p95 and p99 are near.
    #[test]
    fn quantiles_are_near_those_that_are_known() {
        for (vcpus, rate) in [(1, 30.0), (1, 60.0), (2, 120.0), (4, 320.0)] {
            let machine = instance(vcpus);
            let asked = Asked { cpu: exponential(0.01), patience: f64::INFINITY, ..Asked::default() };
            let of = response(&asked, &machine, &machine.at(rate).unwrap());
            let exact = MmcPs::new(rate, 100.0, vcpus as u32).unwrap();
            for share in [0.95, 0.99] {
                let (seen, exact) = (quantile(of, share), exact.sojourn_quantile(share).unwrap());
                assert!((seen / exact - 1.0).abs() < 0.06, "{vcpus} at {rate}: {seen} against {exact}");
            }
        }
    }

    #[test]
    fn a_loop_waits_as_pollaczek_and_khinchine_say() {
        let machine = Instance { in_turn: true, scv: 0.0, ..instance(1) };
        let asked = Asked { cpu: Moments { mean: 0.01, variance: 0.0 }, ..Asked::default() };
        let seen = response(&asked, &machine, &machine.at(60.0).unwrap()).mean;
        let law = crate::theory::ServiceLaw::Deterministic { value: 0.01 }.moments().unwrap();
        let exact = Mg1::new(60.0, law).unwrap().mean_sojourn();
        assert!((seen / exact - 1.0).abs() < 1e-9, "{seen} against {exact}");
    }

    #[test]
    fn the_highest_rate_is_where_the_mean_reaches_its_bound() {
        // M/M/1: 1 / (100 − λ) = 0.04 s at 75 a second.
        let machine = instance(1);
        let asked = Asked { cpu: exponential(0.01), ..Asked::default() };
        let rate = machine.highest_rate(|queue| response(&asked, &machine, queue).mean <= 0.04);
        assert!((rate - 75.0).abs() < 1e-3, "{rate}");
        assert!((Mmc::new(rate, 100.0, 1).unwrap().mean_sojourn() - 0.04).abs() < 1e-6);
    }

    #[test]
    fn fleets_are_rounded_up_and_never_empty() {
        let carries = Carries { rate: 50.0, limited_by: String::new() };
        assert_eq!(
            [0.0, 50.0, 50.1, 199.0].map(|offered| instances_for(&carries, offered)),
            [1, 1, 2, 4].map(Some)
        );
        let nothing = Carries { rate: 0.0, ..carries };
        assert_eq!(instances_for(&nothing, 1.0), None);
    }
}
