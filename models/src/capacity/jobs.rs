//! What workers can do, by the mean demands of their jobs, and the jobs that are expected.

use super::Took;
use crate::plan::{EndpointId, GroupId, Plan, QueueId, Step};

/// Rounds in which jobs submit further jobs before the rest is left out: each round is one more job in a chain.
const MOST_ROUNDS: usize = 1_000;
/// A share of all visits that is not followed any further.
const NEGLIGIBLE: f64 = 1e-9;

/// What one instance of a group of workers can do, on average: the least of three rates in jobs a second. Waits for what jobs
/// call are left out, as are tries that fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkerCapacity {
    /// Seconds from a job's first step to its last, without waiting for anybody.
    pub job: f64,
    /// Seconds of CPU that a job needs.
    pub cpu: f64,
    /// Seconds that it has a GPU.
    pub gpu: f64,
    /// Jobs a second by its consumers, each of which has one at a time, and by the threads that they hold.
    pub by_consumers: f64,
    /// By its vCPUs; infinite where jobs compute nothing.
    pub by_cpu: f64,
    /// By its GPUs, or its inference engine with full batches; infinite where jobs need neither.
    pub by_gpus: f64,
}

impl WorkerCapacity {
    /// Jobs a second.
    pub fn rate(&self) -> f64 {
        self.by_consumers.min(self.by_cpu).min(self.by_gpus)
    }

    /// What it is limited by.
    pub fn limited_by(&self) -> &'static str {
        match self.rate() {
            rate if rate == self.by_gpus => "GPUs",
            rate if rate == self.by_cpu && self.by_cpu < self.by_consumers => "vCPUs",
            _ => "consumers",
        }
    }
}

impl Plan {
    /// What one instance of a group's first machine can do; `None` for a group that takes nothing from a queue.
    pub fn worker_capacity(&self, group: GroupId) -> Option<WorkerCapacity> {
        let plan = &self.groups[group.index()];
        let worker = plan.worker.as_ref()?;
        let took = self.times();
        let Took { cpu, pool, held } = took[worker.job.index()];
        let (runtime, machine) = (self.services[plan.service.index()].runtime, plan.machine());
        let processor = &machine.processor;
        let threads = runtime.computing_threads(processor.vcpus);
        let at_once = runtime.held_threads(processor.vcpus).unwrap_or(u32::MAX).min(worker.concurrency);
        let gpu = self.endpoints[worker.job.index()].steps.iter().map(|step| match step {
            Step::Gpu(time) => time.mean() * 1e-9,
            _ => 0.0,
        });
        let gpu = gpu.sum::<f64>();
        Some(WorkerCapacity {
            job: held,
            cpu: cpu + pool,
            gpu,
            by_consumers: f64::from(at_once) / held,
            by_cpu: (processor.capacity() / (cpu + pool)).min(processor.capacity_of(threads) / cpu),
            by_gpus: if gpu > 0.0 { f64::from(machine.gpus) / gpu } else { f64::INFINITY }
                .min(1.0 / self.engine_seconds(&self.endpoints[worker.job.index()])),
        })
    }

    /// Jobs that come to each queue where endpoints are asked for so often by clients: submitted by their requests, by what these
    /// call, and by jobs.
    pub(crate) fn jobs_sent(&self, asked: Vec<f64>) -> Vec<f64> {
        let mut sent = vec![0.0; self.queues.len()];
        let least = NEGLIGIBLE * asked.iter().sum::<f64>();
        let shares: Vec<f64> =
            (0u16..).take(self.groups.len()).map(|id| self.share_of_queue(GroupId(id))).collect();
        let mut visits = asked;
        for _ in 0..MOST_ROUNDS {
            let mut next = vec![0.0; self.endpoints.len()];
            for (endpoint, &often) in self.endpoints.iter().zip(&visits).filter(|(_, often)| **often > 0.0) {
                for step in &endpoint.steps {
                    match step {
                        Step::Call { endpoint, .. } => next[endpoint.index()] += often,
                        Step::Enqueue(sends) => {
                            for send in sends {
                                sent[send.queue.index()] += often;
                                self.jobs_of(send.queue, &shares)
                                    .for_each(|(job, share)| next[job.index()] += often * share);
                            }
                        }
                        _ => {}
                    }
                }
            }
            if next.iter().sum::<f64>() <= least {
                break;
            }
            visits = next;
        }
        sent
    }

    /// What a queue's messages are to those who take them, and the share that each group takes.
    fn jobs_of<'a>(
        &'a self,
        queue: QueueId,
        shares: &'a [f64],
    ) -> impl Iterator<Item = (EndpointId, f64)> + 'a {
        let workers = self
            .groups
            .iter()
            .zip(shares)
            .filter_map(|(group, &share)| group.worker.as_ref().map(|worker| (worker, share)));
        workers.filter(move |(worker, _)| worker.queue == queue).map(|(worker, share)| (worker.job, share))
    }

    /// The share of its queue's messages that a group takes: by its consumers at its desired capacity.
    pub(super) fn share_of_queue(&self, group: GroupId) -> f64 {
        let consumers = |index: usize| {
            let group = &self.groups[index];
            let worker = group.worker.as_ref()?;
            Some((worker.queue, f64::from(group.desired.max(1)) * f64::from(worker.concurrency)))
        };
        let Some((queue, own)) = consumers(group.index()) else { return 0.0 };
        let all = (0..self.groups.len()).filter_map(consumers).filter(|(other, _)| *other == queue);
        own / all.map(|(_, consumers)| consumers).sum::<f64>()
    }
}
