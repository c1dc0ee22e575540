//! A group of workers: what one of them can do, against the jobs that are expected.

use std::io::{self, Write};

use scalesim::capacity::WorkerCapacity;
use scalesim::plan::{GroupId, Plan};
use scalesim::theory::Mmc;
use scalesim_report::{short, value};
use sim_core::Time;

use super::table;

/// Utilisation of a group's workers by hour, at its smallest, initial and largest size.
pub fn workers(out: &mut impl Write, plan: &Plan, id: GroupId, capacity: &WorkerCapacity) -> io::Result<()> {
    let group = &plan.groups[id.index()];
    let Some(worker) = &group.worker else { return Ok(()) };
    let end = Time::ZERO + plan.duration;
    let queue = &plan.queues[worker.queue.index()].name;
    if plan.expected_jobs_of(id, Time::ZERO, end) == 0.0 {
        return writeln!(out, "\nGroup {}: no job comes to its queue {queue}", group.name);
    }
    writeln!(
        out,
        "\nGroup {}: one {} does {} jobs a second from {queue}, limited by its {}; {} a job{}",
        group.name,
        group.machine().name,
        short(capacity.rate()),
        capacity.limited_by(),
        value(capacity.job, "s"),
        parts(capacity)
    )?;
    let load = |from: Time, to: Time| plan.expected_jobs_of(id, from, to) / to.since(from).as_secs_f64();
    let theory = |load| theory(load, capacity, worker.concurrency, group.desired);
    table(out, plan, id, "jobs/s", capacity.rate(), load, theory)
}

/// What of a job is CPU and GPU.
fn parts(capacity: &WorkerCapacity) -> String {
    let parts = [(capacity.cpu, "of CPU"), (capacity.gpu, "of a GPU")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(time, _)| *time > 0.0)
        .map(|(time, of)| format!("{} {of}", value(*time, "s")))
        .collect();
    if parts.is_empty() { String::new() } else { format!(", {}", parts.join(" and ")) }
}

/// The mean wait of M/M/c, for all consumers take from one queue; where vCPUs or GPUs are what limits them there is no formula.
fn theory(load: f64, capacity: &WorkerCapacity, concurrency: u32, size: u32) -> String {
    if load >= capacity.rate() * f64::from(size) {
        return "the queue grows".to_string();
    }
    if capacity.limited_by() != "consumers" || capacity.job <= 0.0 {
        return String::new();
    }
    match Mmc::new(load, 1.0 / capacity.job, concurrency.saturating_mul(size)) {
        Ok(model) => format!("wait {}", value(model.mean_wait(), "s")),
        Err(_) => String::new(),
    }
}
