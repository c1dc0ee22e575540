//! What is recorded over the run: the rows of the series.

use sim_core::Time;

use super::System;
use crate::plan::{GroupId, TargetGroup};
use crate::results::GroupRow;

/// Which mark of [`Instance::seen_core_nanos`](super::Instance::seen_core_nanos) a row uses.
const ROW_MARK: usize = 1;

impl System {
    /// Closes a row of the recorded series.
    pub(super) fn close_row(&mut self, now: Time) {
        let mut groups = Vec::with_capacity(self.fleets.len());
        let opened = self.measure.rows.closed.last().map_or(Time::ZERO, |row| row.end);
        for (index, fleet) in self.fleets.iter().enumerate() {
            let group = GroupId(index as u16);
            let census = self.census(group);
            let mut row = GroupRow {
                desired: fleet.desired,
                max: fleet.max_now(),
                serving: census.serving.instances,
                starting: census.starting,
                draining: census.draining,
                cpu: 0.0,
                queued: 0,
                sessions: fleet.connections.value() as u32,
                worth: census.serving.worth,
                needed: None,
            };
            if self.idle_since(group, opened) {
                debug_assert!(self.has_idled(group, ROW_MARK, now), "no CPU time without a request inside");
                groups.push(row);
                continue;
            }
            let (mut used, mut had) = (0.0, 0.0);
            for &slot in &fleet.members {
                let instance = self.instances.at_work(slot);
                let total = instance.machine.core_nanos(now);
                used += total - std::mem::replace(&mut instance.seen_core_nanos[ROW_MARK], total);
                if let Some(running) = instance.running {
                    let (from, until) = (running.max(opened), instance.billed_until(now));
                    had += until.max(from).since(from).as_nanos() as f64 * instance.vcpus;
                }
                row.queued += instance.server.queued_new();
            }
            row.cpu = if had > 0.0 { (100.0 * used / had).min(100.0) } else { 0.0 };
            groups.push(row);
        }
        let cost = self
            .plan
            .prices
            .as_ref()
            .map(|prices| crate::cost::total(prices, &self.plan.terms, &self.usage(now)));
        let (queues, jobs) = (self.queue_rows(now), self.measure.jobs.close_row());
        self.measure.rows.close(now, cost, groups, queues, jobs);
    }

    /// Measurement begins.
    pub(super) fn begin_measuring(&mut self, now: Time) {
        self.measure.begin(now);
        self.count_queues_from(now);
        let counts: Vec<_> =
            (0..self.fleets.len()).map(|index| self.engine_counts(GroupId(index as u16))).collect();
        self.measure.tokens.begin(now, counts.into_iter());
        self.count_sessions_from(now);
        self.begin_versions();
        self.sources
            .iter_mut()
            .filter_map(|source| source.wire.as_mut())
            .for_each(|wire| wire.pool.counts.begin(now));
        let totals = |index: usize| self.machine_totals(GroupId(index as u16));
        self.measure.machines_before = (0..self.fleets.len()).map(totals).collect();
        let tally = |index: usize| self.tally(GroupId(index as u16));
        self.measure.tallies_before = (0..self.fleets.len()).map(tally).collect();
        let ids = || (0..self.fleets.len()).map(|index| GroupId(index as u16));
        let sent: Vec<[u64; 2]> = ids().map(|id| self.sent(id)).collect();
        let turned_away: Vec<[u64; 4]> = ids().map(|id| self.turned_away_so_far(id)).collect();
        for (group, fleet) in self.fleets.iter_mut().enumerate() {
            fleet.request_seconds_before += fleet.inside.integral(now);
            fleet.refused_before = fleet.refused;
            fleet.shed_before = fleet.shed;
            (fleet.sent_at_minute, fleet.turned_away_at_minute) = (sent[group], turned_away[group]);
            let [used, had] = &mut self.measure.cores_before[group];
            [*used, *had] = self.measure.gone_cores[group];
            let gpus = &mut self.measure.gpus_before[group];
            *gpus = self.measure.gone_gpus[group];
            for &slot in &fleet.members {
                *used += self.instances[slot].machine.core_nanos(now);
                *had += self.instances[slot].cores_had(now);
                *gpus += self.instances[slot].gpus_had(now);
            }
            fleet.inside.reset(now);
            fleet.gpus.reset(now);
            fleet.serving.reset(now);
            fleet.serving_min = fleet.serving.value() as u32;
        }
    }

    /// The integrals of requests in progress behind a balancer, and of connections that clients keep open to it.
    pub(super) fn balancer_seconds(&self, index: usize, now: Time) -> f64 {
        let of = |target: &TargetGroup| self.fleets[target.group.index()].in_progress_seconds(now);
        let inside = self.plan.balancers[index].targets.iter().map(of).sum();
        let sources = self.sources.iter().zip(&self.plan.traffic);
        let own = sources.filter(|(_, traffic)| traffic.to.index() == index && traffic.connections.is_some());
        own.filter_map(|(source, _)| source.wire.as_ref())
            .map(|wire| wire.pool.counts.open_seconds(now))
            .fold(inside, |sum, open| sum + open)
    }
}
