//! What queues and jobs cost.

use sim_core::Time;

use super::System;
use crate::cost::{QueueUsage, Terms, Usage, total};
use crate::plan::{GroupId, QueueId, QueueKind};
use crate::system::usage::HOUR;

impl System {
    /// An hour ends: what queues were asked until now is that hour's.
    pub(in crate::system) fn mark_hour_of_queues(&mut self) {
        for line in self.jobs.iter_mut().flat_map(|jobs| &mut jobs.lines) {
            line.by_hour.push(line.queue.counts().requests);
        }
    }

    /// Requests to the queues that are billed by requests, which are those of SQS: brokers are paid as machines are.
    pub(in crate::system) fn queue_usage(&self, now: Time) -> Vec<QueueUsage<'_>> {
        let all = (0..self.plan.queues.len() as u16).map(QueueId);
        all.filter_map(|id| self.usage_of_queue(id, now)).collect()
    }

    fn usage_of_queue(&self, id: QueueId, now: Time) -> Option<QueueUsage<'_>> {
        let plan = &self.plan.queues[id.index()];
        let QueueKind::Sqs(_) = plan.kind else { return None };
        let line = &self.jobs.as_ref()?.lines[id.index()];
        let (mut marks, until_now) = (line.by_hour.clone(), line.queue.counts().requests);
        let begun = now.as_nanos().div_ceil(HOUR.as_nanos()).max(1);
        match marks.last_mut().filter(|_| line.by_hour.len() as u64 >= begun) {
            Some(last) => *last = until_now, // the hour ends at this instant
            None => marks.push(until_now),
        }
        let mut before = 0;
        let requests = marks.iter().map(|&until| (until - std::mem::replace(&mut before, until)) as f64);
        Some(QueueUsage { queue: &plan.name, requests: requests.collect() })
    }

    /// What a job that was done cost, by source; `None` without prices, and where none was done.
    ///
    /// It is all that the groups cost which took the source's jobs (On-Demand and Spot instances at the price of the list or of their
    /// pool, volumes, surplus credits, and monitoring where that is billed) with the requests to their queues, from the start of
    /// the run, over the jobs that were done since then. Where a group does jobs of several sources each bears its share of the
    /// seconds that the group's consumers were at work, in vain or not. Idle time is paid by who made the work. A discount for
    /// what was committed to is that of the whole bill, and no job's. Pods pay for the nodes of their pool, unless other groups
    /// are on it: then nobody can say.
    pub(in crate::system) fn costs_of_jobs(&self, now: Time) -> Vec<Option<f64>> {
        let sources = self.measure.jobs.sources.len();
        let mut costs = vec![Some(0.0); sources];
        for queue in (0..self.plan.queues.len() as u16).map(QueueId) {
            let mut of_queue = vec![0.0; sources];
            for (group, ..) in self.plan.workers_of(queue) {
                let seconds = &self.fleets[group.index()].work.seconds;
                seconds.iter().zip(&mut of_queue).for_each(|(own, sum)| *sum += own);
                share(&mut costs, self.cost_of_group(group, now), seconds);
            }
            share(&mut costs, self.cost_of_queue(queue, now), &of_queue);
        }
        let done = self.measure.jobs.sources.iter().map(|own| own.done_before + own.counts.done);
        let each = costs
            .into_iter()
            .zip(done)
            .map(|(cost, done)| cost.filter(|_| done > 0).map(|cost| cost / done as f64));
        each.collect()
    }

    /// What a group cost by itself, without what was committed to.
    fn cost_of_group(&self, group: GroupId, now: Time) -> Option<f64> {
        let prices = self.plan.prices.as_ref()?;
        let mut usage = Usage { seconds: now.as_secs_f64(), ..Usage::default() };
        match &self.plan.groups[group.index()].pods {
            None => self.usage_of_group(group, now, &mut usage),
            Some(pods) => {
                let on_it = self.plan.groups.iter().filter_map(|group| group.pods.as_ref());
                if on_it.filter(|other| other.nodes == pods.nodes).count() > 1 {
                    return None;
                }
                let pool = &self.plan.nodes[pods.nodes.index()].name;
                usage.instances = self.nodes_used(now);
                usage.instances.retain(|own| own.group == pool);
            }
        }
        if usage.instances.iter().any(|own| own.hourly.is_none()) {
            return None;
        }
        Some(total(prices, &self.uncommitted(), &usage))
    }

    fn cost_of_queue(&self, queue: QueueId, now: Time) -> Option<f64> {
        let prices = self.plan.prices.as_ref()?;
        let queues = self.usage_of_queue(queue, now).into_iter().collect();
        let usage = Usage { seconds: now.as_secs_f64(), queues, ..Usage::default() };
        Some(total(prices, &Terms { cloudwatch: false, ..self.uncommitted() }, &usage))
    }

    fn uncommitted(&self) -> Terms {
        Terms { savings_plan: None, reserved: Vec::new(), ..self.plan.terms.clone() }
    }
}

/// Divides a cost among sources by what was done for each. What is not known makes theirs unknown.
fn share(costs: &mut [Option<f64>], cost: Option<f64>, seconds: &[f64]) {
    let all: f64 = seconds.iter().sum();
    for (sum, own) in costs.iter_mut().zip(seconds).filter(|(_, own)| **own > 0.0) {
        *sum = sum.zip(cost).map(|(sum, cost)| sum + cost * own / all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_bear_a_group_by_the_seconds_it_worked_for_them() {
        let mut costs = vec![Some(1.0), Some(0.0), Some(0.0)];
        share(&mut costs, Some(8.0), &[30.0, 10.0]);
        assert_eq!(costs, [Some(7.0), Some(2.0), Some(0.0)]);
        share(&mut costs, None, &[0.0, 5.0]);
        assert_eq!(costs, [Some(7.0), None, Some(0.0)], "what has no price is unknown to those who used it");
    }
}
