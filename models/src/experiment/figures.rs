//! Figures: what is read off every run, under one name everywhere. Intervals over replications, comparisons, sweeps and
//! searches all speak of these.

use serde::{Deserialize, Serialize};
use sim_core::stats::{Interval, Tally};

use super::LEVEL;
use crate::results::{Distribution, Figure, Run, Summary};

/// Which of two values of a figure people would rather have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The lower one, as of times, minutes of violation and money.
    Lower,
    /// The higher one, as of availability.
    Higher,
    /// Neither: it tells what happened, as the number of instances does.
    Neither,
}

/// A figure of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Such as `response time p99`, `web: instance hours`, `cost`. Runs of the same plan give the same names in the same order.
    pub name: String,
    /// Such as `s`, `%`, `min`, a currency; empty for a pure number.
    pub unit: String,
    /// What people would rather have.
    pub better: Better,
    /// Whether it is a quantile of times, which need more replications than means do.
    pub quantile: bool,
    /// Its value; `None` where the run had nothing to measure.
    pub value: Option<f64>,
}

/// All figures of a run.
pub fn readings(run: &Run) -> Vec<Reading> {
    let mut list = Readings(Vec::new());
    list.add("requests offered", "", Better::Neither, Some(run.requests.offered as f64));
    list.add("availability", "%", Better::Higher, Some(100.0 * run.requests.availability()));
    list.times("response time", &run.response_time);
    for objective in &run.objectives {
        let (name, better) = (&objective.name, if objective.upper { Better::Lower } else { Better::Higher });
        list.add(&format!("violation of {name}"), "min", Better::Lower, Some(objective.violation_minutes));
        let measured = (objective.windows > 0).then_some(objective.overall);
        list.add(&format!("{name}: overall"), &objective.unit, better, measured);
        // Of times, all but the mean have a budget.
        list.last_is_quantile(objective.unit == "s" && objective.budget.is_some());
        let worst = objective.worst.map(|worst| worst.value);
        list.add(&format!("{name}: worst window"), &objective.unit, better, worst);
    }
    for part in &run.endpoints {
        list.times(&part.name, &part.response_time);
    }
    for group in &run.groups {
        let name = &group.name;
        list.add(&format!("{name}: instances"), "", Better::Neither, Some(group.serving_mean));
        list.add(&format!("{name}: most instances"), "", Better::Neither, Some(f64::from(group.serving_max)));
        list.add(&format!("{name}: instance hours"), "h", Better::Neither, Some(group.instance_hours));
        list.add(&format!("{name}: CPU"), "%", Better::Neither, Some(group.cpu));
        list.add(&format!("{name}: launched"), "", Better::Neither, Some(group.launched as f64));
        if let Some(busy) = group.workers_busy {
            list.add(&format!("{name}: workers busy"), "%", Better::Neither, Some(busy));
        }
    }
    for jobs in &run.jobs {
        let (name, counts) = (format!("jobs of {}", jobs.name), &jobs.counts);
        list.add(&format!("{name}: done"), "", Better::Higher, Some(counts.done as f64));
        list.add(&format!("{name}: lost"), "", Better::Lower, Some(counts.lost() as f64));
        list.add(&format!("{name}: dead letters"), "", Better::Lower, Some(counts.dead_lettered as f64));
        list.times(&format!("{name}: time"), &jobs.total);
    }
    for queue in &run.queues {
        let name = &queue.name;
        list.add(&format!("{name}: most waiting"), "", Better::Lower, Some(queue.visible_max as f64));
        list.add(&format!("{name}: oldest message"), "s", Better::Lower, Some(queue.oldest_max));
    }
    for sessions in &run.sessions {
        let name = &sessions.name;
        list.add(&format!("{name}: open sessions"), "", Better::Neither, Some(sessions.open_mean));
        list.add(&format!("{name}: sessions dropped"), "", Better::Lower, Some(sessions.dropped as f64));
    }
    if let Some(bill) = &run.bill {
        list.add("cost", &bill.currency, Better::Lower, Some(bill.total));
    }
    list.0
}

struct Readings(Vec<Reading>);

impl Readings {
    fn add(&mut self, name: &str, unit: &str, better: Better, value: Option<f64>) {
        let (name, unit) = (name.to_string(), unit.to_string());
        self.0.push(Reading { name, unit, better, quantile: false, value });
    }

    /// The mean and the quantiles of a distribution of times.
    fn times(&mut self, of: &str, times: &Distribution) {
        let measured = |value: f64| (times.count > 0).then_some(value);
        self.add(&format!("{of} mean"), "s", Better::Lower, measured(times.mean));
        for (quantile, value) in [("p50", times.p50), ("p95", times.p95), ("p99", times.p99)] {
            self.add(&format!("{of} {quantile}"), "s", Better::Lower, measured(value));
            self.last_is_quantile(true);
        }
    }

    fn last_is_quantile(&mut self, quantile: bool) {
        self.0.last_mut().into_iter().for_each(|reading| reading.quantile = quantile);
    }
}

/// The figures over all replications, with their intervals. `of_first` are those of the first one; what no replication
/// could measure is left out, of the summaries too.
pub fn figures(of_first: &[Reading], replications: &mut [Summary]) -> Vec<Figure> {
    let tallies: Vec<Tally> = (0..of_first.len())
        .map(|index| {
            replications.iter().filter_map(|one| one.figures.get(index).copied().flatten()).collect()
        })
        .collect();
    let measured: Vec<bool> = tallies.iter().map(|tally| tally.count() > 0).collect();
    for one in replications {
        let mut index = 0..;
        one.figures.retain(|_| index.next().and_then(|i: usize| measured.get(i)).is_some_and(|&kept| kept));
    }
    let both = of_first.iter().zip(&tallies).filter(|(_, tally)| tally.count() > 0);
    both.map(|(reading, tally)| Figure {
        name: reading.name.clone(),
        unit: reading.unit.clone(),
        mean: tally.mean(),
        half_width: Interval::student_t(tally, LEVEL).map(|interval| interval.half_width),
    })
    .collect()
}

/// One replication in brief.
pub fn summary(number: u32, run: &Run) -> Summary {
    Summary {
        replication: number,
        outcome: run.outcome.clone(),
        events: run.events,
        order_hash: run.order_hash.clone(),
        requests: run.requests,
        violation_minutes: run.objectives.iter().map(|objective| objective.violation_minutes).collect(),
        figures: readings(run).into_iter().map(|reading| reading.value).collect(),
        response_time: run.response_time,
        cost: run.bill.as_ref().map(|bill| bill.total),
        jobs: run.jobs.iter().map(|jobs| jobs.summary()).collect(),
    }
}
