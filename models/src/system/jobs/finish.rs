//! From what was counted of jobs and queues to results.

use sim_core::{Span, Time};

use super::{Line, System};
use crate::measure::distribution;
use crate::results::{JobsResult, QueueResult};

impl System {
    /// The minute ends.
    pub(in crate::system) fn close_minute_of_queues(&mut self, now: Time) {
        for line in self.jobs.iter_mut().flat_map(|jobs| &mut jobs.lines) {
            let depth = line.queue.depth(now);
            line.visible_max = line.visible_max.max(depth.visible);
            let age = depth.oldest.map_or(Span::ZERO, |oldest| now.since(oldest));
            line.oldest_max = line.oldest_max.max(age);
        }
    }

    /// What became of jobs, by source; of sources that submit none nothing is said.
    pub(in crate::system) fn job_results(&self, now: Time) -> Vec<JobsResult> {
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
            cost,
        });
        result.collect()
    }

    /// What became of queues.
    pub(in crate::system) fn queue_results(&self, now: Time) -> Vec<QueueResult> {
        let lines = self.jobs.iter().flat_map(|jobs| &jobs.lines);
        let result = self.plan.queues.iter().zip(lines).map(|(plan, line)| {
            let (depth, counts) = (line.queue.depth(now), line.queue.counts());
            let Line { refused, visible_max, oldest_max, .. } = line;
            QueueResult {
                name: plan.name.clone(),
                kind: plan.kind.name().to_string(),
                visible: depth.visible,
                in_flight: depth.in_flight,
                delayed: depth.delayed,
                visible_max: (*visible_max).max(depth.visible),
                oldest_max: oldest_max.as_secs_f64(),
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
                rebalances: counts.rebalances,
            }
        });
        result.collect()
    }
}
