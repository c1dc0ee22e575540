//! From what was counted of jobs and queues to results.

use sim_core::stats::TimeWeighted;
use sim_core::{Calendar, Time};

use super::{JobState, Line, Staff, System};
use crate::event::Event;
use crate::measure::distribution;
use crate::plan::{GroupId, QueueId};
use crate::results::{JobsResult, JobsSummary, QueueResult, QueueRow};

impl System {
    /// The minute ends.
    pub(in crate::system) fn close_minute_of_queues(&mut self, now: Time) {
        for line in self.jobs.iter_mut().flat_map(|jobs| &mut jobs.lines) {
            let depth = line.queue.depth(now);
            line.visible_max = line.visible_max.max(depth.visible);
            line.oldest_max = line.oldest_max.max(depth.age(now));
        }
    }

    /// Receives that brought nothing are counted in arrears: what came of time until now is counted now.
    pub(in crate::system) fn catch_up_with_queues(&mut self, calendar: &mut Calendar<Event>) {
        let Some(jobs) = &mut self.jobs else { return };
        for id in (0..jobs.lines.len() as u16).map(QueueId) {
            jobs.with(id, calendar, |queue, now, happened| queue.advance(now, happened));
        }
    }

    /// The same at the end of the run, after which nothing is delivered any more.
    pub(in crate::system) fn close_queues(&mut self, now: Time) {
        for line in self.jobs.iter_mut().flat_map(|jobs| &mut jobs.lines) {
            line.queue.advance(now, &mut Vec::new());
        }
    }

    /// Measurement begins: what queues counted before is left out from now on, and what they hold is where they start.
    pub(in crate::system) fn count_queues_from(&mut self, now: Time) {
        let Some(jobs) = &mut self.jobs else { return };
        for line in &mut jobs.lines {
            let depth = line.queue.depth(now);
            line.before = (*line.queue.counts(), depth.held());
            (line.refused, line.visible_max) = (0, depth.visible);
            line.oldest_max = depth.age(now);
        }
        let over = jobs.all.iter().filter(|(_, job)| job.state != JobState::InProcess);
        let over: Vec<u32> = over.map(|(slot, _)| slot).collect();
        over.into_iter().for_each(|slot| jobs.all[slot].past = true);
        jobs.staff.iter_mut().for_each(|staff| staff.begin(now));
    }

    /// How queues stand at the end of an interval of the series.
    pub(in crate::system) fn queue_rows(&self, now: Time) -> Vec<QueueRow> {
        let Some(jobs) = &self.jobs else { return Vec::new() };
        let rows = (0u16..).map(QueueId).zip(&jobs.lines).map(|(id, line)| {
            let depth = line.queue.depth(now);
            let sum = |of: fn(&Staff) -> &TimeWeighted| {
                jobs.staff_of(&self.plan, id).map(|staff| of(staff).value()).sum::<f64>() as u32
            };
            QueueRow {
                visible: depth.visible,
                in_flight: depth.in_flight,
                oldest: depth.age(now).as_secs_f64(),
                consumers: sum(|staff| &staff.consumers),
                consumers_busy: sum(|staff| &staff.busy),
            }
        });
        rows.collect()
    }

    /// What became of jobs, by source; of sources that submit none nothing is said.
    pub(in crate::system) fn job_results(&self, now: Time) -> Vec<JobsResult> {
        let seconds = now.since(self.measure.since).as_secs_f64();
        let sources = self.plan.traffic.iter().zip(&self.measure.jobs.sources).zip(self.costs_of_jobs(now));
        let submits = sources.filter(|((_, own), _)| own.counts.submitted > 0);
        let result = submits.map(|((traffic, own), cost)| JobsResult {
            name: traffic.name.clone(),
            counts: own.counts,
            accepted: distribution(&own.accepted),
            waited: distribution(&own.waited),
            served: distribution(&own.served),
            told: distribution(&own.told),
            total: distribution(&own.total),
            questions_per_second: if seconds > 0.0 { own.counts.questions as f64 / seconds } else { 0.0 },
            cost,
        });
        result.collect()
    }

    /// What became of queues.
    pub(in crate::system) fn queue_results(&self, now: Time) -> Vec<QueueResult> {
        let Some(jobs) = &self.jobs else { return Vec::new() };
        let lines = (0u16..).map(QueueId).zip(&jobs.lines);
        let result = self.plan.queues.iter().zip(lines).map(|(plan, (id, line))| {
            let Line { refused, visible_max, oldest_max, before, .. } = line;
            let (depth, counts) = (line.queue.depth(now), line.queue.counts().since(&before.0));
            let mean = |of: fn(&Staff) -> &TimeWeighted| {
                jobs.staff_of(&self.plan, id).map(|staff| of(staff).mean(now)).sum::<f64>()
            };
            QueueResult {
                name: plan.name.clone(),
                kind: plan.kind.name().to_string(),
                visible: depth.visible,
                in_flight: depth.in_flight,
                delayed: depth.delayed,
                held_at_start: before.1,
                visible_max: (*visible_max).max(depth.visible),
                oldest_max: (*oldest_max).max(depth.age(now)).as_secs_f64(),
                sent: counts.sent,
                refused: counts.refused + refused,
                received: counts.received,
                received_again: counts.received_again,
                consumed: counts.consumed,
                stale: counts.stale,
                dead_lettered: counts.dead_lettered,
                lost: counts.lost,
                requests: counts.requests,
                empty_receives: counts.empty_receives,
                over_limit: counts.over_limit,
                rebalances: counts.rebalances,
                consumers_mean: mean(|staff| &staff.consumers),
                consumers_busy_mean: mean(|staff| &staff.busy),
            }
        });
        result.collect()
    }

    /// The share of a group's consumers that had a job in hand, in percent.
    pub(in crate::system) fn workers_busy(&self, group: GroupId, now: Time) -> Option<f64> {
        self.plan.groups[group.index()].worker.as_ref()?;
        let staff = &self.jobs.as_ref()?.staff[group.index()];
        let there = staff.consumers.integral(now);
        (there > 0.0).then(|| 100.0 * staff.busy.integral(now) / there)
    }

    /// The share of a group's GPUs that were in use, in percent of those that running instances have.
    pub(in crate::system) fn gpus_in_use(&self, group: GroupId, now: Time) -> Option<f64> {
        let (fleet, measure) = (&self.fleets[group.index()], &self.measure);
        let gone = measure.gone_gpus[group.index()] - measure.gpus_before[group.index()];
        let had = fleet.members.iter().fold(gone, |had, &slot| had + self.instances[slot].gpus_had(now));
        (had > 0.0).then(|| 100.0 * fleet.gpus.integral(now) * 1e9 / had)
    }
}

impl JobsResult {
    /// Its place among the replications.
    pub(crate) fn summary(&self) -> JobsSummary {
        JobsSummary {
            name: self.name.clone(),
            submitted: self.counts.submitted,
            done: self.counts.done,
            dead_lettered: self.counts.dead_lettered,
            lost: self.counts.lost(),
            total: self.total,
        }
    }
}
