//! What queueing theory says of a candidate, where a closed form applies to it; where none does, which assumptions fail.
//!
//! The forms are for the long run of a stationary system: what a finite window shows varies around them.

use serde::{Deserialize, Serialize};
use sim_core::dist::Dist;

use crate::machine::Scheduler;
use crate::plan::{
    Algorithm, EndpointId, Group, Indicator, Objective, Plan, ProcessKind, QueueKind, Step, Subject, Traffic,
};
use crate::theory::{Mg1, MgcPs, Mmc, MmcPs, Moments, TheoryError};
use crate::traffic::Arrivals;

/// What is left out must be below this share of the time of a request.
const NEGLIGIBLE: f64 = 0.01;
/// A client's timeout, and room to wait, are out of reach where they are so many times the bound, and so rarely needed.
const FAR: f64 = 10.0;
const RARELY: f64 = 1e-6;
/// A rate is constant where it varies by no more than this share.
const CONSTANT: f64 = 1e-9;

/// What theory says of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The model, such as `M/M/12: arrivals of 10/s, mean service time 1 s`.
    pub model: String,
    /// Whether it is stable and keeps all objectives, in the long run.
    pub holds: bool,
    /// What each objective is about, in the long run: seconds; `None` where the queue grows for ever.
    pub values: Vec<(String, Option<f64>)>,
}

/// What theory says of a plan.
///
/// # Errors
/// The assumptions of the closed forms that the plan does not meet.
pub fn predict(plan: &Plan) -> Result<Prediction, Vec<String>> {
    let mut unmet = Vec::new();
    let station = station(plan, &mut unmet);
    let (Some(station), true) = (station, unmet.is_empty()) else { return Err(unmet) };
    let mut values = Vec::new();
    let mut holds = true;
    for objective in &plan.objectives {
        let Some(value) = station.value(objective, &mut unmet) else { continue };
        holds &= value.is_some_and(|value| value * 1e9 <= objective.bound);
        values.push((objective.name.clone(), value));
    }
    if unmet.is_empty() { Ok(Prediction { model: station.words(), holds, values }) } else { Err(unmet) }
}

/// Servers with one queue, or a machine that is shared.
struct Station {
    /// Arrivals per second at each of the alike stations there are.
    rate: f64,
    /// Seconds.
    service: Moments,
    exponential: bool,
    servers: u32,
    shared: bool,
    /// About jobs, and not about requests.
    jobs: bool,
    /// Room to wait.
    room: u32,
}

/// Notes what is not as it should be.
fn require(unmet: &mut Vec<String>, met: bool, what: &str) {
    if !met {
        unmet.push(what.to_string());
    }
}

fn station(plan: &Plan, unmet: &mut Vec<String>) -> Option<Station> {
    let sources: Vec<&Traffic> =
        plan.traffic.iter().filter(|traffic| traffic.expected.peak().1 > 0.0).collect();
    let &[traffic] = sources.as_slice() else {
        unmet.push(format!("{} sources of traffic, and not one", sources.len()));
        return None;
    };
    require(unmet, plan.incidents.is_empty() && plan.releases.is_empty(), "incidents or releases");
    let rate = source(traffic, unmet);
    let &[(endpoint, _)] = traffic.mix.as_slice() else {
        unmet.push("requests of several kinds".to_string());
        return None;
    };
    let patience = plan.objectives.iter().map(|objective| objective.bound).fold(0.0, f64::max);
    let patient = |timeout: sim_core::Span| timeout.as_nanos() as f64 >= FAR * patience;
    require(unmet, traffic.timeout.is_none_or(patient), "clients that give up");
    match plan.endpoints[endpoint.index()].steps.as_slice() {
        [Step::Cpu(work)] => server(plan, traffic, endpoint, work, rate, unmet),
        [Step::Enqueue(_)] => workers(plan, endpoint, rate, unmet),
        _ => {
            unmet.push("requests that are more than one step of CPU, or one job".to_string());
            None
        }
    }
}

/// The rate of a source, which has to be Poisson and stationary, of clients that do nothing else.
fn source(traffic: &Traffic, unmet: &mut Vec<String>) -> f64 {
    let poisson = matches!(&traffic.arrivals, Arrivals::Rate(arrivals) if arrivals.is_poisson());
    require(unmet, poisson, "arrivals that are not Poisson");
    let rate = traffic.expected.peak().1;
    let constant =
        traffic.expected.knots().iter().all(|&(_, own)| (own - rate).abs() <= CONSTANT * rate.max(1.0));
    require(unmet, constant, "a rate that varies over time");
    require(unmet, traffic.retry.max == 0 && traffic.hedge.is_none(), "retries or hedges");
    let plain = traffic.sessions.is_none() && traffic.connections.is_none() && traffic.network.is_none();
    require(unmet, plain, "sessions, connections or a network");
    rate
}

/// A group whose size stays, of machines on which nothing else happens.
fn steady(group: &Group, unmet: &mut Vec<String>) {
    let still = group.scaling.is_empty() && group.pods.is_none() && group.mixed.is_none();
    require(unmet, still && group.versions.is_empty(), "a group that changes");
    let lifecycle = &group.lifecycle;
    let kept = lifecycle.actions.is_empty() && lifecycle.max_lifetime.is_none();
    require(unmet, kept, "instances that are replaced");
    let machine = group.machine();
    let processor = &machine.processor;
    let whole = processor.quota.is_none() && processor.credits.is_none() && processor.steal == 0.0;
    require(unmet, whole && machine.background.is_empty(), "vCPUs that are not there all the time");
    let even = processor.vcpus == 1 || (processor.threads_per_core == 1 && processor.turbo.is_empty());
    require(unmet, even, "vCPUs that slow each other down (SMT, turbo)");
}

fn server(
    plan: &Plan,
    traffic: &Traffic,
    endpoint: EndpointId,
    work: &Dist,
    rate: f64,
    unmet: &mut Vec<String>,
) -> Option<Station> {
    let balancer = &plan.balancers[traffic.to.index()];
    let &[target] = balancer.targets.as_slice() else {
        unmet.push("several groups behind the balancer".to_string());
        return None;
    };
    let limits = balancer.rate_limit.is_none() && balancer.circuit_breaker.is_none();
    require(unmet, limits, "a rate limiter or a circuit breaker");
    require(unmet, balancer.health_check.is_none(), "health checks, which take their share of the CPU");
    let group = &plan.groups[target.group.index()];
    steady(group, unmet);
    let at_random = matches!(balancer.algorithm, Algorithm::Random { anomaly_mitigation: false });
    require(
        unmet,
        group.desired == 1 || at_random,
        "several instances behind a balancer that is not `random`",
    );
    let service = &plan.services[group.service.index()];
    let plain = service.cold.is_none() && service.collector.is_none() && service.shed.is_none();
    require(unmet, plain && service.memory.is_none(), "cold starts, garbage collection, shedding or memory");
    require(unmet, plan.endpoints[endpoint.index()].errors == 0.0, "requests that fail");
    require(unmet, service.runtime.workers.is_none(), "several worker processes");
    let vcpus = group.machine().processor.vcpus;
    let (servers, shared, room) = match service.runtime.process {
        ProcessKind::EventLoop { accept_queue, .. } => (1, false, accept_queue),
        ProcessKind::Async { workers, accept_queue } if workers.unwrap_or(vcpus) <= vcpus => {
            (workers.unwrap_or(vcpus), false, accept_queue)
        }
        ProcessKind::Threads { threads: Some(threads), accept_queue, newest_first: false }
            if threads <= vcpus =>
        {
            (threads, false, accept_queue)
        }
        ProcessKind::Threads { threads: None, .. } => (vcpus, true, u32::MAX),
        _ => {
            unmet.push(
                "a runtime that is neither one queue for its vCPUs nor a thread for each request".into(),
            );
            return None;
        }
    };
    let mean = work.mean();
    let overhead = service.runtime.overhead.as_nanos() as f64;
    require(unmet, overhead <= NEGLIGIBLE * mean, "CPU time beside the step (`overhead`)");
    if shared {
        let processor = &group.machine().processor;
        let switch = match processor.scheduler {
            Scheduler::Shares(kernel) => kernel.switch.as_nanos() as f64,
            Scheduler::Slices(_) => f64::INFINITY,
        };
        require(unmet, switch <= NEGLIGIBLE * mean, "switches that take CPU time, or slices");
    }
    let rate = rate / f64::from(group.desired.max(1));
    let exponential = is_exponential(work);
    Some(Station { rate, service: moments(work, overhead)?, exponential, servers, shared, jobs: false, room })
}

fn workers(plan: &Plan, endpoint: EndpointId, rate: f64, unmet: &mut Vec<String>) -> Option<Station> {
    let [Step::Enqueue(jobs)] = plan.endpoints[endpoint.index()].steps.as_slice() else { return None };
    let [job] = jobs.as_slice() else {
        unmet.push("several jobs of one request".to_string());
        return None;
    };
    let queue = &plan.queues[job.queue.index()];
    let simple = matches!(&queue.kind, QueueKind::RedisList(list) if list.processing.is_none())
        && queue.capacity.is_none()
        && queue.retention.is_none();
    require(unmet, simple && queue.delay.is_zero(), "a queue that is more than a list (`redis_list = {}`)");
    let of_queue = |group: &&Group| group.worker.as_ref().is_some_and(|worker| worker.queue == job.queue);
    let groups: Vec<&Group> = plan.groups.iter().filter(of_queue).collect();
    let &[group] = groups.as_slice() else {
        unmet.push(format!("{} groups of workers, and not one", groups.len()));
        return None;
    };
    let worker = group.worker.as_ref()?;
    steady(group, unmet);
    let plain = worker.deadline.is_none() && worker.timeout.is_none() && worker.load.is_none();
    require(unmet, plain && worker.poison == 0.0, "jobs that fail, expire or wait for a model");
    let vcpus = group.machine().processor.vcpus;
    let takes = match plan.endpoints[worker.job.index()].steps.as_slice() {
        [Step::Wait(takes)] => takes,
        [Step::Cpu(takes)] if worker.concurrency <= vcpus => takes,
        _ => {
            unmet.push("jobs that are more than one step, or share vCPUs".to_string());
            return None;
        }
    };
    let service = &plan.services[group.service.index()];
    let overhead = service.runtime.overhead.as_nanos() as f64;
    require(unmet, overhead <= NEGLIGIBLE * takes.mean(), "CPU time beside the step (`overhead`)");
    let servers = group.desired.saturating_mul(worker.concurrency);
    let (service, exponential) = (moments(takes, overhead)?, is_exponential(takes));
    Some(Station { rate, service, exponential, servers, shared: false, jobs: true, room: u32::MAX })
}

fn is_exponential(dist: &Dist) -> bool {
    Dist::exponential(dist.mean()).is_ok_and(|exponential| exponential == *dist)
}

/// Of nanoseconds, with so many more of each; in seconds. Third moments are not needed for means.
fn moments(work: &Dist, overhead: f64) -> Option<Moments> {
    let (mean, own) = ((work.mean() + overhead) * 1e-9, work.mean() * 1e-9);
    Moments::new(mean, mean * mean + work.scv() * own * own, f64::INFINITY).ok()
}

impl Station {
    fn words(&self) -> String {
        let Station { rate, servers, .. } = self;
        let law = if self.exponential { "M" } else { "G" };
        let shared = if self.shared { "-PS" } else { "" };
        // Twelve digits: of nanoseconds, what is beyond is rounding.
        let mean = (self.service.mean() * 1e12).round() / 1e12;
        format!("M/{law}/{servers}{shared}, {rate} arrivals a second of {mean} s each")
    }

    /// What an objective is about; `Some(None)` where the queue grows for ever, `None` where no form says it.
    fn value(&self, objective: &Objective, unmet: &mut Vec<String>) -> Option<Option<f64>> {
        if (objective.subject == Subject::Jobs) != self.jobs {
            unmet.push(format!("{}: it is about something else than what waits", objective.name));
            return None;
        }
        let mean = self.service.mean();
        let value = match (objective.indicator, self.shared, self.exponential) {
            (Indicator::Mean, true, _) => {
                MgcPs::new(self.rate, mean, self.servers).map(|ps| ps.mean_sojourn())
            }
            (Indicator::Quantile(p), true, true) => {
                MmcPs::new(self.rate, 1.0 / mean, self.servers).and_then(|ps| ps.sojourn_quantile(p))
            }
            (Indicator::Mean, false, false) if self.servers == 1 => {
                Mg1::new(self.rate, self.service).map(|queue| queue.mean_sojourn())
            }
            (Indicator::Mean | Indicator::Quantile(_), false, true) => {
                self.first_come(mean, objective.indicator, unmet)
            }
            (Indicator::Availability | Indicator::ErrorRatio, ..) => {
                unmet.push(format!("{}: theory says nothing of answers that fail", objective.name));
                return None;
            }
            _ => {
                unmet.push(format!("{}: service times that are not exponential", objective.name));
                return None;
            }
        };
        match value {
            Ok(value) => Some(Some(value)),
            Err(TheoryError::Unstable { .. }) => Some(None),
            Err(error) => {
                unmet.push(format!("{}: {error}", objective.name));
                None
            }
        }
    }

    /// M/M/c, with room for all that wait.
    fn first_come(&self, mean: f64, asked: Indicator, unmet: &mut Vec<String>) -> Result<f64, TheoryError> {
        let queue = Mmc::new(self.rate, 1.0 / mean, self.servers)?;
        let overflow = queue.p_wait() * queue.utilisation().powf(f64::from(self.room));
        require(unmet, overflow <= RARELY, "an accept queue that fills up");
        match asked {
            Indicator::Quantile(p) => queue.sojourn_quantile(p),
            _ => Ok(queue.mean_sojourn()),
        }
    }
}
