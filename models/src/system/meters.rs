//! What is counted only where a policy's metric asks for it: bytes by instance, response times by group, and the samples of
//! metrics that instances tell.

use sim_core::stats::{Histogram, Precision};
use sim_core::{Span, Time};

use super::ending::Ending;
use super::fleet::Fleet;
use super::instance::Instance;
use super::request::{NOWHERE, Request};
use super::sessions::NOBODY;
use super::{MINUTE, System};
use crate::plan::{Direction, EndpointId, Group, GroupId, Memory, Metric, Plan};
use crate::scaling::{Datapoints, Samples};

/// The period of high-resolution metrics, and how often their alarms are evaluated.
pub(super) const TEN_SECONDS: Span = Span::from_secs(10);

/// Counters of the running minute.
#[derive(Clone, Debug)]
pub(super) struct Meters {
    /// Bytes that came in and went out, by instance slot.
    bytes: Vec<[u64; 2]>,
    /// Response times of targets, by group; `None` where nobody asks.
    responses: Vec<Option<Histogram>>,
    /// Bytes of a request and of its response, by endpoint.
    sizes: Vec<[u64; 2]>,
}

/// What an instance tells of a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// CPU utilisation in percent.
    pub cpu: f64,
    /// Memory in use in percent.
    pub memory: f64,
    /// Bytes in and out.
    pub bytes: [u64; 2],
}

/// The meters of a plan; `None` where no policy asks for any.
pub(super) fn meters(plan: &Plan) -> Option<Box<Meters>> {
    let asks = |group: &Group, metric: Metric| {
        let policies = group.scaling.iter().filter_map(|scaling| scaling.policy());
        policies.flat_map(|policy| policy.metrics()).any(|asked| asked == metric)
    };
    let response = |group: &Group| asks(group, Metric::TargetResponseTime);
    let bytes = |group: &Group| asks(group, Metric::NetworkIn) || asks(group, Metric::NetworkOut);
    let any = plan.groups.iter().any(|group| response(group) || bytes(group));
    any.then(|| {
        Box::new(Meters {
            bytes: Vec::new(),
            responses: (plan.groups.iter())
                .map(|group| response(group).then(|| Histogram::new(Precision::Fine)))
                .collect(),
            sizes: (0..plan.endpoints.len() as u16).map(|id| sizes(plan, EndpointId(id))).collect(),
        })
    })
}

/// Bytes that come in and go out with a request to an endpoint. A message through a session goes one way.
fn sizes(plan: &Plan, id: EndpointId) -> [u64; 2] {
    let endpoint = &plan.endpoints[id.index()];
    let messages = plan.traffic.iter().filter_map(|traffic| traffic.sessions.as_ref());
    match messages.flat_map(|sessions| &sessions.messages).find(|message| message.endpoint == id) {
        Some(message) if message.direction == Direction::Up => [endpoint.size, 0],
        Some(_) => [0, endpoint.size],
        None => [endpoint.request_size, endpoint.size.saturating_sub(endpoint.request_size)],
    }
}

impl Meters {
    fn carry(&mut self, slot: u32, [received, sent]: [u64; 2]) {
        let slot = slot as usize;
        if self.bytes.len() <= slot {
            self.bytes.resize(slot + 1, [0; 2]);
        }
        let [inward, outward] = &mut self.bytes[slot];
        (*inward, *outward) = (*inward + received, *outward + sent);
    }

    /// What an instance carried since this was asked last.
    pub(super) fn take_bytes(&mut self, slot: u32) -> [u64; 2] {
        self.bytes.get_mut(slot as usize).map_or([0; 2], std::mem::take)
    }

    /// A group's response times since this was asked last; `None` where there were none.
    fn take_responses(&mut self, group: GroupId) -> Option<Samples> {
        let times = self.responses[group.index()].as_mut().filter(|times| times.count() > 0)?;
        let seconds = |span: Option<Span>| span.map_or(0.0, Span::as_secs_f64);
        let count = times.count() as f64;
        let samples = Samples {
            count,
            sum: count * times.mean().unwrap_or(0.0) / 1e9,
            minimum: seconds(times.min()),
            maximum: seconds(times.max()),
            values: times.buckets().map(|(span, count)| (span.as_secs_f64(), count as f64)).collect(),
            ..Samples::default()
        };
        times.clear();
        Some(samples)
    }
}

impl System {
    /// An attempt ends, which somebody measures.
    #[inline(always)] // most systems have no meters, and this is on everybody's way
    pub(super) fn meter(&mut self, request: &Request, ending: Ending, now: Time) {
        if self.meters.is_some() {
            self.count_attempt(request, ending, now);
        }
    }

    #[inline(never)]
    fn count_attempt(&mut self, request: &Request, ending: Ending, now: Time) {
        if request.instance == NOWHERE || self.is_check(request) {
            return;
        }
        let caller = self.requests.live(request.parent).map(|parent| self.requests[parent].instance);
        let group = self.instances[request.instance].group;
        let Some(meters) = &mut self.meters else { return };
        let [asked, answered] = meters.sizes[request.endpoint.index()];
        let answered = if ending == Ending::Completed { answered } else { 0 };
        meters.carry(request.instance, [asked, answered]);
        if let Some(caller) = caller.filter(|&caller| caller != NOWHERE) {
            meters.carry(caller, [answered, asked]);
        }
        // What its balancer did not wait for, it did not measure.
        let measured = ending == Ending::Completed && !request.abandoned() && request.session == NOBODY;
        if let Some(times) = meters.responses[group.index()].as_mut().filter(|_| measured) {
            times.record(now.since(request.sent));
        }
    }

    /// The samples of high-resolution metrics over the last 10 s.
    pub(super) fn measure_ten_seconds(&mut self, group: GroupId, now: Time) {
        let plan = self.plan.clone();
        let plan = &plan.groups[group.index()];
        let services = &self.plan.services;
        let fails_open = self.balancers_of(group).iter().any(|id| self.rotations[id.index()].fails_open());
        let fleet = &self.fleets[group.index()];
        let (mut serving, mut in_service) = (0, 0);
        let mut memories = Vec::new();
        for &slot in &fleet.members {
            let instance = &self.instances[slot];
            serving += u32::from(instance.serving() || fails_open && instance.taken_out());
            in_service += u32::from(instance.in_service());
            if instance.in_service() && !instance.impaired {
                let sessions = self.sessions.as_ref().map_or(0, |sessions| sessions.at(slot));
                let memory = services[instance.service.index()].memory;
                memories.push(memory_used(memory, plan, instance, sessions));
            }
        }
        let totals = [fleet.request_seconds(now), fleet.connections.integral(now)];
        let fleet = &mut self.fleets[group.index()];
        let before = std::mem::replace(&mut fleet.ten_seconds, totals);
        let mean = |index: usize| (totals[index] - before[index]) / TEN_SECONDS.as_secs_f64();
        for (metric, datapoints) in fleet.metrics.iter_mut().flatten() {
            if datapoints.period() >= MINUTE {
                continue;
            }
            let samples = match metric {
                Metric::Memory => {
                    let mut samples = Samples::default();
                    memories.iter().for_each(|&value| samples.take(value, datapoints.needs_values()));
                    Some(samples).filter(|samples| samples.count > 0.0)
                }
                Metric::RequestsInside => shared(mean(0), in_service),
                Metric::ConnectionsPerTarget => shared(mean(1), serving),
                _ => None, // one datapoint a minute
            };
            datapoints.push_samples(now, samples);
        }
    }

    /// The response times of a group's targets in the minute that ends.
    pub(super) fn response_times(&mut self, group: GroupId) -> Option<Samples> {
        self.meters.as_mut()?.take_responses(group)
    }
}

/// A sum divided among instances; nothing where there are none.
pub(super) fn shared(sum: f64, instances: u32) -> Option<Samples> {
    (instances > 0).then(|| Samples::shared(sum / f64::from(instances), instances))
}

/// Memory in use at an instance, in percent of what its machine has: of its processes once they were started, of what is inside
/// and of open sessions. 0 for a service that says nothing of its memory.
pub(super) fn memory_used(memory: Option<Memory>, plan: &Group, instance: &Instance, sessions: usize) -> f64 {
    let Some(Memory { process, request, connection }) = memory else { return 0.0 };
    let started = instance.has_processes();
    let processes = if started { instance.server.living().count() as u64 } else { 0 };
    let parts =
        [(process, processes), (request, u64::from(instance.server.inside)), (connection, sessions as u64)];
    let used: f64 = parts.iter().map(|&(each, count)| each as f64 * count as f64).sum();
    let has = plan.machines[instance.machine_type()].memory_gib * f64::from(1 << 30);
    (100.0 * used / has.max(1.0)).min(100.0)
}

/// Samples of instances, for each metric of each policy of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ByInstance(Vec<Vec<Samples>>);

impl ByInstance {
    /// None yet.
    pub(super) fn new(fleet: &Fleet) -> ByInstance {
        ByInstance(fleet.metrics.iter().map(|metrics| vec![Samples::default(); metrics.len()]).collect())
    }

    /// Of so many instances whose CPU idled, and of which nobody asks anything else.
    pub(super) fn idle(fleet: &Fleet, instances: u32) -> ByInstance {
        let mut told = ByInstance::new(fleet);
        for ((metric, datapoints), samples) in fleet.metrics.iter().flatten().zip(told.0.iter_mut().flatten())
        {
            if *metric == Metric::Cpu {
                samples.take_of_each(0.0, instances, datapoints.needs_values());
            }
        }
        told
    }

    /// What an instance in service tells of the period since `period_start`. EC2's metrics leave those out that were not warm
    /// all the time; metrics of one's own do not.
    pub(super) fn add(
        &mut self,
        plan: &Group,
        metrics: &[Vec<(Metric, Datapoints)>],
        instance: &Instance,
        period_start: Time,
        told: Told,
    ) {
        for ((policy, metrics), own) in plan.scaling.iter().zip(metrics).zip(&mut self.0) {
            if metrics.is_empty() {
                continue;
            }
            let warm = instance.warm_at(plan.warm_up(policy)).is_some_and(|warm| warm <= period_start);
            for ((metric, datapoints), samples) in metrics.iter().zip(own) {
                let value = match metric {
                    Metric::Memory => told.memory,
                    Metric::Cpu if warm => told.cpu,
                    Metric::NetworkIn if warm => told.bytes[0] as f64,
                    Metric::NetworkOut if warm => told.bytes[1] as f64,
                    _ => continue,
                };
                samples.take(value, datapoints.needs_values());
            }
        }
    }

    /// The samples of a policy's metric; `None` where no instance told any.
    pub(super) fn of(&mut self, policy: usize, metric: usize) -> Option<Samples> {
        Some(std::mem::take(&mut self.0[policy][metric])).filter(|samples| samples.count > 0.0)
    }
}
