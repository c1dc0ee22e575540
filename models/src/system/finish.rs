//! The end of a run: from collectors to [`Run`].

use sim_core::{Simulation, Span, Time};

use super::accept::{FIRST_WORKER, PRIMARY};
use super::ending::Ending;
use super::{System, oracle};
use crate::capacity::weakest;
use crate::cost::bill;
use crate::machine::{Counts, Scheduler, Supply};
use crate::measure::{Collector, ViolationRecord, WindowCollector, distribution};
use crate::plan::{Balancer, GroupId, Indicator, Objective, Subject, TrafficId};
use crate::results::{
    Budget, Distribution, GroupResult, JobsRow, Limits, ObjectiveResult, Outcome, Part, Requests, Row, Run,
    Scheduling, SchedulingCounts, SchedulingPart, Violation, Window,
};
use crate::sla::Suspect;

/// The results of a run as it stands. `outcome` says whether that is its end.
pub fn finish(simulation: Simulation<System>, outcome: Outcome) -> Run {
    let (events, order_hash) = (simulation.events(), simulation.calendar.order_hash());
    let mut system = simulation.model;
    let now = simulation.calendar.now();
    system.close_what_is_open(now);
    let plan = &system.plan;
    let measure = &system.measure;
    let mut all = Collector::total(&measure.sources);
    all.1.in_flight = measure.sources.iter().map(|source| source.ledger().in_flight).sum();
    let wires = system.sources.iter().map(|source| &source.wire);
    let measured = now.since(measure.since).as_secs_f64();
    let sources = plan.traffic.iter().zip(&measure.sources).zip(&measure.tokens.sources).zip(wires);
    let traffic = sources.map(|(((traffic, source), tokens), wire)| Part {
        name: traffic.name.clone(),
        requests: source.ledger(),
        response_time: distribution(&source.times),
        wait: None,
        statuses: source.statuses(|ending| {
            let unreached = ending == Ending::NoConnection && wire.is_some();
            unreached || plan.passes_connections(traffic)
        }),
        repeats: None,
        connections: wire.as_ref().map(|wire| wire.result(now)),
        tokens: tokens.as_ref().map(|own| own.result(measured)),
    });
    let traffic =
        traffic.zip(&measure.repeats).map(|(part, &repeats)| Part { repeats: Some(repeats), ..part });
    let limited = |plan: &&Balancer| plan.rate_limit.is_some() || plan.circuit_breaker.is_some();
    let limits = plan.balancers.iter().zip(&measure.limits).filter(|(plan, _)| limited(plan));
    let limits = limits.map(|(plan, limits)| Limits { balancer: plan.name.clone(), ..limits.clone() });
    let endpoints = plan.endpoints.iter().zip(&measure.endpoints).zip(&measure.tokens.endpoints);
    let endpoints = endpoints.map(|((endpoint, collector), tokens)| Part {
        name: format!("{}: {}", plan.services[endpoint.service.index()].name, endpoint.name),
        requests: collector.served.ledger(),
        response_time: distribution(&collector.served.times),
        wait: Some(collector.wait()),
        statuses: collector.served.statuses(|_| false),
        repeats: None,
        connections: None,
        tokens: tokens.as_ref().map(|own| own.result(measured)),
    });
    let mut series = system.series();
    oracle::mark(plan, &mut series);
    Run {
        outcome,
        events,
        order_hash: format!("{order_hash:016x}"),
        requests: all.1,
        response_time: all.0,
        traffic: traffic.collect(),
        endpoints: endpoints.collect(),
        limits: limits.collect(),
        groups: (0..plan.groups.len()).map(|index| system.group_result(GroupId(index as u16), now)).collect(),
        forecasts: system.forecast_results(),
        nodes: system.nodes_results(now),
        versions: system.version_results(),
        sessions: system.session_results(now),
        jobs: system.job_results(now),
        queues: system.queue_results(now),
        objectives: (0..plan.objectives.len()).map(|index| system.objective_result(index)).collect(),
        oracle: oracle::compare(&system, &series, now),
        bill: plan.prices.as_ref().map(|prices| bill(prices, &plan.terms, &system.usage(now))),
        series,
        interval: measure.interval().as_secs_f64(),
        activities: measure.log.clone(),
        activities_dropped: measure.log_dropped,
    }
}

impl Collector {
    fn total(sources: &[Collector]) -> (Distribution, Requests) {
        let mut requests = Requests::default();
        let mut times = sim_core::stats::Histogram::new(sim_core::stats::Precision::Fine);
        for source in sources {
            let r = source.ledger();
            requests.offered += r.offered;
            requests.completed += r.completed;
            requests.refused += r.refused;
            requests.timed_out += r.timed_out;
            requests.failed += r.failed;
            requests.attempts += r.attempts;
            times.merge(&source.times);
        }
        (distribution(&times), requests)
    }
}

impl System {
    /// The last row, minute and windows may be shorter than the others.
    fn close_what_is_open(&mut self, now: Time) {
        self.close_guards(now);
        self.close_queues(now);
        if self.measure.rows.closed.last().map_or(Time::ZERO, |row| row.end) < now {
            self.close_row(now);
        }
        for index in 0..self.measure.windows.len() {
            if self.measure.windows[index].opened < now {
                self.measure.close_window(index, now);
            }
        }
        let whole_minutes = (now.as_nanos() / super::MINUTE.as_nanos()) as usize;
        let running: Vec<u32> = self.instances.iter().map(|(slot, _)| slot).collect();
        for slot in running {
            self.instances[slot].machine.settle(now);
        }
        for group in (0..self.fleets.len()).map(|index| GroupId(index as u16)) {
            let rest = now.since(Time::ZERO + super::MINUTE.saturating_mul(whole_minutes as u64));
            if !rest.is_zero() {
                let facts = self.observe_minute(group, now, rest);
                self.fleets[group.index()].facts.push(facts);
            }
        }
    }

    fn group_result(&self, group: GroupId, now: Time) -> GroupResult {
        let (plan, fleet) = (&self.plan.groups[group.index()], &self.fleets[group.index()]);
        let [gone, before] =
            [self.measure.gone_cores[group.index()], self.measure.cores_before[group.index()]];
        let [mut used, mut had] = [gone[0] - before[0], gone[1] - before[1]];
        for &slot in &fleet.members {
            used += self.instances[slot].machine.core_nanos(now);
            had += self.instances[slot].cores_had(now);
        }
        let seconds = self.ledger(group, now).seconds();
        let totals = self.machine_totals(group).since(&self.measure.machines_before[group.index()]);
        let supplies = fleet.members.iter().filter_map(|&slot| self.instances[slot].machine.supply());
        GroupResult {
            name: plan.name.clone(),
            machine: plan.machine_names(),
            serving_min: fleet.serving_min,
            serving_mean: fleet.serving.mean(now),
            serving_max: fleet.serving.max() as u32,
            launched: fleet.launched,
            terminated: fleet.terminated,
            spot: self.spot_result(group, now),
            cpu: if had > 0.0 { 100.0 * used / had } else { 0.0 },
            workers_busy: self.workers_busy(group, now),
            gpu: self.gpus_in_use(group, now),
            requests_inside: fleet.inside.mean(now),
            instance_hours: seconds / 3600.0,
            failed_starts: fleet.failed_starts,
            refused: fleet.refused - fleet.refused_before,
            shed: fleet.shed - fleet.shed_before,
            throttled: totals.throttled,
            credits: mean_of(supplies.filter_map(Supply::credits)),
            target_imbalance: self.target_imbalance(group, now),
            worker_imbalance: mean_of(
                fleet.members.iter().filter_map(|&slot| self.instances[slot].server.imbalance()),
            ),
            scheduling: self.scheduling(group),
            engines: self.engines_result(group, now),
        }
    }

    /// How many times an even share the busiest instance got.
    fn target_imbalance(&self, group: GroupId, now: Time) -> Option<f64> {
        let members = self.fleets[group.index()].members.iter().map(|&slot| &self.instances[slot]);
        let rates = members.filter(|instance| instance.serving()).map(|instance| {
            let ran = instance.running.map_or(0.0, |running| now.since(running).as_secs_f64());
            if ran > 0.0 { instance.server.served() as f64 / ran } else { 0.0 }
        });
        let rates: Vec<f64> = rates.collect();
        let (most, all) = rates.iter().fold((0.0f64, 0.0), |(most, all), rate| (most.max(*rate), all + rate));
        (rates.len() > 1 && all > 0.0).then(|| most * rates.len() as f64 / all)
    }

    /// What the run queues of a group's instances counted; `None` where they have none.
    fn scheduling(&self, group: GroupId) -> Option<Scheduling> {
        let plan = &self.plan.groups[group.index()];
        let Scheduler::Slices(_) = plan.machine().processor.scheduler else { return None };
        let tally = self.tally(group).since(&self.measure.tallies_before[group.index()]);
        let part = |name: String, counts: &Counts| SchedulingPart { name, counts: turns(counts) };
        let vcpus = tally.vcpus.iter().enumerate().map(|(at, counts)| part(format!("vCPU {at}"), counts));
        let runtime = self.plan.services[plan.service.index()].runtime;
        let of = |process: usize| tally.processes.get(process).copied().unwrap_or_default();
        let mut processes: Vec<SchedulingPart> = Vec::new();
        if runtime.has_primary() {
            processes.push(part("primary".to_string(), &of(PRIMARY)));
        }
        let most = plan.machines.iter().map(|machine| machine.processor.vcpus).max().unwrap_or(1);
        let workers = 0..runtime.processes(most) as usize;
        processes.extend(workers.map(|worker| part(format!("worker {worker}"), &of(FIRST_WORKER + worker))));
        if plan.machines.iter().any(|machine| !machine.background.is_empty()) {
            processes.push(part("background".to_string(), &tally.background));
        }
        Some(Scheduling { all: turns(&tally.total()), vcpus: vcpus.collect(), processes })
    }

    fn objective_result(&self, index: usize) -> ObjectiveResult {
        let (plan, windows) = (&self.plan.objectives[index], &self.measure.windows[index]);
        let scale = Scale::of(plan.indicator);
        let releases: Vec<String> = self.plan.releases.iter().map(|release| self.title(release)).collect();
        let suspects = self.suspects(plan, &releases);
        let workers = self.workers_on(plan, &releases);
        let violations = windows.violations.iter().map(|record| {
            let of_jobs = self.cause_of_jobs(plan, record, &workers, &releases);
            let (cause, explanation) = of_jobs.unwrap_or_else(|| self.cause(plan, record, &suspects));
            Violation { window: scale.window(record), cause, explanation }
        });
        ObjectiveResult {
            name: plan.name.clone(),
            objective: plan.text.clone(),
            unit: scale.unit.to_string(),
            bound: plan.bound * scale.factor,
            upper: plan.indicator != Indicator::Availability,
            jobs: plan.subject == Subject::Jobs,
            window: plan.window.as_secs_f64(),
            windows: windows.windows,
            violation_minutes: windows.violation.as_secs_f64() / 60.0,
            allowed_minutes: plan.allow.as_secs_f64() / 60.0,
            met: windows.violation <= plan.allow,
            overall: windows.overall.value(plan.indicator).unwrap_or(0.0) * scale.factor,
            worst: windows.worst.as_ref().map(|record| scale.window(record)),
            budget: budget(plan, windows),
            violations: violations.collect(),
            violations_dropped: windows.violations_dropped,
        }
    }

    /// The groups that requests of an objective go through.
    pub(super) fn suspects<'a>(&'a self, objective: &Objective, releases: &'a [String]) -> Vec<Suspect<'a>> {
        let groups = self.groups_on(objective).into_iter();
        groups.map(|id| self.suspect(id, releases)).collect()
    }

    /// The same by their ids.
    fn groups_on(&self, objective: &Objective) -> Vec<GroupId> {
        let plan = &self.plan;
        let mut touched = vec![false; plan.groups.len()];
        let sources = (0u16..).map(TrafficId).zip(&plan.traffic);
        for (_, traffic) in sources.filter(|(id, _)| objective.traffic.is_none_or(|wanted| wanted == *id)) {
            for endpoint in traffic.asks_for() {
                if objective.endpoint.is_none_or(|wanted| wanted == endpoint) {
                    plan.mark_groups(traffic.to, endpoint, &mut touched);
                }
            }
        }
        (0u16..).map(GroupId).zip(touched).filter(|(_, touched)| *touched).map(|(id, _)| id).collect()
    }

    /// The groups that can be why an objective is broken: those on the way of its requests, and the workers of its jobs.
    pub fn groups_behind(&self, objective: &Objective) -> Vec<GroupId> {
        let mut groups = match objective.subject {
            Subject::Jobs => self.worker_groups(objective),
            Subject::Requests | Subject::FirstToken => Vec::new(),
        };
        let others = self.groups_on(objective);
        groups.extend(others.into_iter().filter(|other| self.plan.groups[other.index()].worker.is_none()));
        groups
    }

    /// What is known of a group.
    pub(super) fn suspect<'a>(&'a self, id: GroupId, releases: &'a [String]) -> Suspect<'a> {
        let group = &self.plan.groups[id.index()];
        let service = &self.plan.services[group.service.index()];
        Suspect {
            group,
            runtime: service.runtime,
            supervisor: service.supervisor,
            releases,
            facts: &self.fleets[id.index()].facts,
            unreachable: self.unreachable(id),
        }
    }

    fn unreachable(&self, group: GroupId) -> Option<String> {
        let mut own = self.plan.balancers.iter().filter(|balancer| balancer.has(group));
        own.find_map(|balancer| self.plan.unreachable(balancer, group))
    }

    fn series(&self) -> Vec<Row> {
        let mut from = Time::ZERO;
        let capacities = self.plan.capacities();
        let mut takes_over = self.plan.takes_over();
        takes_over.retain(|(_, to)| capacities[to.index()].is_none());
        let rows = self.measure.rows.closed.iter().map(|row| {
            let at = std::mem::replace(&mut from, row.end);
            let seconds = row.end.since(at).as_secs_f64();
            let rate = |count: u64| count as f64 / seconds;
            let serving = (0..row.groups.len()).map(|index| {
                // A group that takes over from one serves what that one is planned for.
                let others = takes_over.iter().filter(|(from, _)| from.index() == index);
                let others: f64 = others.map(|(_, to)| row.groups[to.index()].worth).sum();
                row.groups[index].worth + others
            });
            Row {
                at: at.as_secs_f64(),
                offered: rate(row.offered),
                attempts: rate(row.attempts),
                completed: rate(row.completed),
                errors: rate(row.errors),
                capacity: Some(weakest(&capacities, serving)).filter(|capacity| capacity.is_finite()),
                p50: row.quantiles[0].map(Span::as_secs_f64),
                p95: row.quantiles[1].map(Span::as_secs_f64),
                p99: row.quantiles[2].map(Span::as_secs_f64),
                cost: row.cost,
                groups: row.groups.clone(),
                queues: row.queues.clone(),
                jobs: row.jobs.map(|jobs| JobsRow {
                    submitted: rate(jobs.submitted),
                    done: rate(jobs.done),
                    p50: jobs.quantiles[0].map(Span::as_secs_f64),
                    p95: jobs.quantiles[1].map(Span::as_secs_f64),
                }),
            }
        });
        rows.collect()
    }
}

fn turns(counts: &Counts) -> SchedulingCounts {
    SchedulingCounts {
        voluntary_switches: counts.voluntary,
        involuntary_switches: counts.involuntary,
        migrations: counts.migrations,
        run_queue_wait: counts.waited / 1e9,
        switching: counts.switching / 1e9,
        work: counts.work / 1e9,
    }
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// How an indicator's values are shown.
struct Scale {
    unit: &'static str,
    factor: f64,
}

impl Scale {
    fn of(indicator: Indicator) -> Scale {
        match indicator {
            Indicator::Quantile(_) | Indicator::Mean => Scale { unit: "s", factor: 1e-9 },
            Indicator::Availability | Indicator::ErrorRatio => Scale { unit: "%", factor: 100.0 },
        }
    }

    fn window(&self, record: &ViolationRecord) -> Window {
        Window {
            from: record.from.as_secs_f64(),
            to: record.to.as_secs_f64(),
            value: record.value * self.factor,
            requests: record.requests,
        }
    }
}

/// How many bad requests the objective allows over the run, and how many there were.
fn budget(plan: &Objective, windows: &WindowCollector) -> Option<Budget> {
    let counts = &windows.overall;
    let measured = counts.measured(plan.indicator) as f64;
    match plan.indicator {
        Indicator::Quantile(q) => Some(Budget { allowed: (1.0 - q) * measured, bad: counts.slow }),
        Indicator::Availability => Some(Budget { allowed: (1.0 - plan.bound) * measured, bad: counts.bad }),
        Indicator::ErrorRatio => Some(Budget { allowed: plan.bound * measured, bad: counts.bad }),
        Indicator::Mean => None,
    }
}
