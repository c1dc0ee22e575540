//! What workers can do, by the mean demands of their jobs.

use super::Took;
use crate::plan::{GroupId, Plan, Step};

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

    /// Seconds from the first step of each endpoint to its last, calls included, where it waits for nobody.
    pub fn job_lengths(&self) -> Vec<f64> {
        self.times().iter().map(|took| took.held).collect()
    }
}
