//! metrics-server, and what an HPA sees of a group.
//!
//! metrics-server reads counters of CPU time and takes the difference of two readings. So a pod has no sample before it has
//! been read twice, unless its start was long enough before the first.

use sim_core::{Span, Time};

use super::super::System;
use super::super::instance::Phase;
use crate::plan::{BalancerId, GroupId, PodAutoscaler, Reading};
use crate::scaling::hpa::{
    self, Condition, Container, Pod, PodMetrics, Requests, Sample, Samples, Seen, Values,
};

/// A container that has run for so long at its first reading is measured from its start.
const FRESH: Span = Span::from_secs(10);
/// What the only container of a pod is called.
const CONTAINER: &str = "app";

impl System {
    /// A round of metrics-server, and of what counts requests.
    pub(super) fn measure_pods(&mut self, now: Time) {
        let slots: Vec<u32> = (0u16..)
            .map(GroupId)
            .zip(&self.plan.groups)
            .filter(|(_, group)| group.pods.is_some())
            .flat_map(|(id, _)| self.fleets[id.index()].members.clone())
            .collect();
        for slot in slots {
            self.measure_pod(slot, now);
        }
        let since = now.since(self.cluster().measured).as_secs_f64().max(1e-9);
        for index in 0..self.measure.balancers.len() {
            let total = self.measure.balancers[index].requests;
            let (rate, before) = &mut self.cluster().rates[index];
            *rate = (total - *before) as f64 / since;
            *before = total;
        }
        self.cluster().measured = now;
    }

    fn measure_pod(&mut self, slot: u32, now: Time) {
        let memory = self.memory_used(slot);
        let instance = self.instances.at_work(slot);
        let Some(running) = instance.running else { return };
        instance.machine.settle(now);
        let (cores, served) = (instance.machine.core_nanos(now), instance.server.served());
        let pod = &mut self.cluster().pods[slot as usize];
        let fresh = now.since(running) >= FRESH;
        let base = pod.measured.or(fresh.then_some((running, 0.0, 0)));
        pod.measured = Some((now, cores, served));
        let Some((since, cores_then, served_then)) = base else { return };
        let window = now.since(since);
        let seconds = window.as_secs_f64().max(1e-9);
        let sample = |value: f64| Some(Sample { value: value as i64, at: now, window });
        pod.cpu = sample((cores - cores_then) / (seconds * 1e6));
        pod.memory = memory.and_then(|bytes| sample(bytes as f64 * 1000.0));
        // A server that was started again counts anew, as counters do.
        let requests = served.checked_sub(served_then).unwrap_or(served);
        pod.requests = sample(1000.0 * requests as f64 / seconds);
    }

    /// Bytes that a pod uses; `None` where its service does not say what it needs.
    fn memory_used(&self, slot: u32) -> Option<u64> {
        let instance = &self.instances[slot];
        let plan = &self.plan.groups[instance.group.index()];
        let memory = self.plan.services[plan.service.index()].memory?;
        let processes = instance.server.living().count() as u64;
        let requests = u64::from(instance.server.inside);
        let sessions = self.sessions_at(slot) as u64;
        Some(memory.process * processes + memory.request * requests + memory.connection * sessions)
    }

    /// What an HPA sees of its group.
    pub(super) fn seen(&self, group: GroupId, autoscaler: &PodAutoscaler, min: u32, now: Time) -> Seen {
        let fleet = &self.fleets[group.index()];
        let members = || fleet.members.iter().copied();
        let counted = members().filter(|&slot| self.instances[slot].phase != Phase::Draining).count();
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        Seen {
            now,
            min: count(min as usize),
            max: count(fleet.max as usize),
            replicas: count(fleet.desired as usize),
            status_replicas: count(counted),
            pods: members().map(|slot| self.pod_seen(slot)).collect(),
            values: autoscaler.reads.iter().map(|&reading| self.values(group, reading, now)).collect(),
        }
    }

    fn pod_seen(&self, slot: u32) -> Pod {
        let instance = &self.instances[slot];
        let state = self.cluster.as_ref().map(|cluster| cluster.pods[slot as usize]).unwrap_or_default();
        let asked = self.pods_of(instance.group).map(|pods| pods.requests).unwrap_or_default();
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let requests = Requests {
            cpu: asked.cpu.map(whole),
            memory: asked.memory.map(|bytes| whole(bytes).saturating_mul(1000)),
        };
        let ready = instance.serving();
        // Until it has been ready it is unready since its start.
        let since = if instance.first_healthy.is_some() {
            instance.readiness_since
        } else {
            state.started.unwrap_or(Time::ZERO)
        };
        Pod {
            name: pod_name(instance.number),
            phase: if instance.phase == Phase::Pending { hpa::Phase::Pending } else { hpa::Phase::Running },
            ready: state.started.map(|_| Condition { ready, since }),
            started: state.started,
            deleted: instance.phase == Phase::Draining,
            containers: vec![Container { name: CONTAINER.into(), requests }],
            pod_level: None,
        }
    }

    fn values(&self, group: GroupId, reading: Reading, now: Time) -> Values {
        let Some(cluster) = &self.cluster else { return Values::Unavailable };
        let pods = || {
            let members = self.fleets[group.index()].members.iter();
            members.map(|&slot| (pod_name(self.instances[slot].number), &cluster.pods[slot as usize]))
        };
        let resource = |samples: Vec<(String, Option<Sample>)>| {
            let of = |(pod, sample): (String, Option<Sample>)| {
                let Sample { value, at, window } = sample?;
                Some(PodMetrics { pod, at, window, containers: vec![(CONTAINER.into(), Some(value))] })
            };
            Values::Resource(samples.into_iter().filter_map(of).collect())
        };
        let thousandths = |value: f64| Values::Global(vec![(value * 1000.0) as i64]);
        match reading {
            Reading::Cpu => resource(pods().map(|(name, pod)| (name, pod.cpu)).collect()),
            Reading::Memory => resource(pods().map(|(name, pod)| (name, pod.memory)).collect()),
            Reading::RequestsPerPod => {
                let samples = pods().filter_map(|(name, pod)| Some((name, pod.requests?)));
                Values::Pods(samples.collect::<Samples>())
            }
            Reading::Requests | Reading::Backlog { .. } => thousandths(self.reading(group, reading, now)),
        }
    }

    /// A value that is not of pods. The backlog of workers is that of their queue.
    pub(super) fn reading(&self, group: GroupId, reading: Reading, now: Time) -> f64 {
        let Some(cluster) = &self.cluster else { return 0.0 };
        if let Reading::Backlog { in_flight } = reading
            && let Some(messages) = self.messages_for(group, in_flight, now)
        {
            return messages;
        }
        let balancers: Vec<BalancerId> = self.balancers_of(group);
        let held = || balancers.iter().map(|balancer| self.waiting_at(*balancer)).sum::<usize>() as f64;
        let fleet = &self.fleets[group.index()];
        match reading {
            Reading::Requests => balancers.iter().map(|balancer| cluster.rates[balancer.index()].0).sum(),
            Reading::Backlog { in_flight: true } => held() + fleet.inside.value(),
            Reading::Backlog { in_flight: false } => {
                let members = fleet.members.iter();
                held() + members.map(|&slot| f64::from(self.instances[slot].server.queued_new())).sum::<f64>()
            }
            Reading::Cpu | Reading::Memory | Reading::RequestsPerPod => 0.0,
        }
    }
}

fn pod_name(number: u64) -> String {
    format!("pod-{number}")
}
