//! What the control plane measures of workers and of their queue: once a minute, as SQS and whoever publishes a metric of their
//! own do.

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::System;
use super::work::Try;
use crate::measure::JobFacts;
use crate::plan::{Group, GroupId, Metric, QueueId, QueueKind, Reading, Scaling, TrafficId};
use crate::queue::Counts;
use crate::scaling::Samples;
use crate::system::fleet::Fleet;
use crate::system::meters::shared;

/// Minutes over which the pace of a queue's consumers is measured.
const MINUTES_OF_PACE: usize = 5;

/// What was counted of a group's workers, and how its queue stood at the last minutes.
#[derive(Clone, Debug, Default)]
pub struct WorkMarks {
    /// Tries that were cut because their worker went away, since the last minute.
    pub cut: u64,
    /// Tries that failed, since the last minute.
    pub failed: u64,
    /// Seconds of its consumers, since the start of the run, by source; as long as what came so far.
    pub seconds: Vec<f64>,
    /// What its queue had counted at the last minute.
    counts: Counts,
    /// When the last minutes ended, and how many messages had been consumed by then; oldest first.
    consumed: VecDeque<(Time, u64)>,
    /// The integral of GPUs in use at the last minute.
    gpus: f64,
}

impl WorkMarks {
    /// A consumer was at a job of a source for so long. Tries that are cut are counted by themselves.
    pub(super) fn tried(&mut self, source: TrafficId, took: Span, end: Try) {
        self.failed += u64::from(end == Try::Failed);
        if self.seconds.len() <= source.index() {
            self.seconds.resize(source.index() + 1, 0.0);
        }
        self.seconds[source.index()] += took.as_secs_f64();
    }

    /// Messages consumed a second until `now`, since as many minutes ago as the pace is measured over.
    fn pace(&mut self, now: Time, consumed: u64) -> f64 {
        if self.consumed.is_empty() {
            self.consumed.push_back((Time::ZERO, 0));
        }
        while self.consumed.len() > MINUTES_OF_PACE {
            self.consumed.pop_front();
        }
        let (since, before) = self.consumed[0];
        self.consumed.push_back((now, consumed));
        (consumed - before) as f64 / now.since(since).as_secs_f64().max(1e-9)
    }
}

impl System {
    /// Closes the minute of a group's workers, without how many of them were busy; `None` for a group that takes nothing from a
    /// queue.
    pub(in crate::system) fn observe_jobs(&mut self, group: GroupId, now: Time) -> Option<JobFacts> {
        let queue = self.plan.groups[group.index()].worker.as_ref()?.queue;
        let ([workers, consumers], all_consumers) = (self.consumers_of(group), self.consumers_at(queue));
        let line = &self.jobs.as_ref()?.lines[queue.index()];
        let (depth, counts) = (line.queue.depth(now), *line.queue.counts());
        let marks = &mut self.fleets[group.index()].work;
        let minute = counts.since(&std::mem::replace(&mut marks.counts, counts));
        Some(JobFacts {
            visible: depth.visible,
            in_flight: depth.in_flight,
            delayed: depth.delayed,
            oldest: depth.age(now).as_secs_f64(),
            sent: minute.sent,
            consumed: minute.consumed,
            pace: marks.pace(now, counts.consumed),
            again: minute.received_again,
            dead_lettered: minute.dead_lettered,
            lost: minute.lost,
            cut: std::mem::take(&mut marks.cut),
            failed: std::mem::take(&mut marks.failed),
            workers,
            consumers,
            busy: 0.0,
            all_consumers,
        })
    }

    /// A group's instances that have consumers, and these.
    fn consumers_of(&self, group: GroupId) -> [u32; 2] {
        let Some(jobs) = &self.jobs else { return [0; 2] };
        let members = self.fleets[group.index()].members.iter();
        let each = members.map(|&slot| jobs.at_instance(slot).len() as u32);
        each.fold([0; 2], |[workers, all], own| [workers + own.min(1), all + own])
    }

    /// Consumers of all groups that take from a queue.
    fn consumers_at(&self, queue: QueueId) -> u32 {
        self.plan.workers_of(queue).map(|(id, ..)| self.consumers_of(id)[1]).sum()
    }

    /// How a group's queue stands, as a scaler that asks for it sees it: messages that wait, and where `in_flight` those with a
    /// consumer; `None` for a group that takes nothing from a queue.
    pub(in crate::system) fn messages_for(&self, group: GroupId, in_flight: bool, now: Time) -> Option<f64> {
        let plan = &self.plan.groups[group.index()];
        let queue = plan.worker.as_ref()?.queue;
        let depth = self.jobs.as_ref()?.lines[queue.index()].queue.depth(now);
        let messages = (depth.visible + if in_flight { depth.in_flight } else { 0 }) as f64;
        let most = match self.plan.queues[queue.index()].kind {
            QueueKind::Kafka(kafka) => most_lag(plan, kafka.partitions),
            _ => f64::INFINITY,
        };
        Some(messages.min(most))
    }
}

/// The largest lag that KEDA asks pods for: without `allowIdleConsumers` that of a pod for each partition (KEDA 2.19, scaler of
/// Apache Kafka).
fn most_lag(group: &Group, partitions: u32) -> f64 {
    let objects = group.scaling.iter().filter_map(|scaling| match scaling {
        Scaling::Keda(object) => Some(object),
        _ => None,
    });
    let triggers = objects.flat_map(|object| object.keda.triggers.iter().zip(&object.autoscaler.reads));
    let own = triggers.filter(|(_, reading)| matches!(reading, Reading::Backlog { .. }));
    own.map(|(trigger, _)| trigger.target * f64::from(partitions)).fold(f64::INFINITY, f64::min)
}

/// Percent of a group's GPUs that were in use in the time that ends, of so many in service; `None` where there is none.
pub(in crate::system) fn gpu_percent(
    fleet: &mut Fleet,
    in_service: u32,
    now: Time,
    length: Span,
) -> Option<f64> {
    let integral = fleet.gpus.integral(now);
    let before = std::mem::replace(&mut fleet.work.gpus, integral);
    // It begins anew when measurement does.
    let used = if integral < before { integral } else { integral - before };
    let had = f64::from(in_service) * length.as_secs_f64();
    (had > 0.0).then(|| (100.0 * used / had).min(100.0))
}

/// The sample of a metric about a group's queue or its workers, of which so many are in service; `None` where there is nothing
/// to measure.
pub(in crate::system) fn sample(
    metric: Metric,
    facts: Option<&JobFacts>,
    in_service: u32,
) -> Option<Samples> {
    let facts = facts?;
    // Whoever publishes it has to divide by something.
    let instances = in_service.max(1);
    // What does not become less by instance is of the group as a whole.
    let whole = |value: f64| Some(Samples::shared(value, 1));
    match metric {
        Metric::BacklogPerInstance => shared(facts.visible as f64, instances),
        Metric::QueueLength => whole(facts.visible as f64),
        Metric::MessagesInFlight => whole(facts.in_flight as f64),
        Metric::AgeOfOldestMessage => whole(facts.oldest),
        // Twice as many workers clear it in half the time, and are half as busy; those that boot do neither.
        Metric::TimeToClear => Some(Samples::shared(facts.time_to_clear(), facts.workers.max(1))),
        Metric::WorkersBusy => facts.busy_percent().map(|busy| Samples::shared(busy, facts.workers)),
        _ => None,
    }
}
