//! Predictive policies: the past that they begin with, and what their forecasts came to.

use sim_core::{Seed, Span};

use super::System;
use crate::plan::{GroupId, Metric, Plan, Predictive, Scaling};
use crate::results::{ForecastHour, ForecastResult};
use crate::scaling::{Forecaster, HourForecast, mape};

impl System {
    /// Predictive policies get to know the days before the run.
    pub(super) fn start_forecasts(&mut self, seed: Seed) {
        let plan = self.plan.clone();
        for (index, (group, fleet)) in plan.groups.iter().zip(&mut self.fleets).enumerate() {
            for (number, scaling) in group.scaling.iter().enumerate() {
                let Scaling::Predictive(policy) = scaling else { continue };
                let mut stream = seed.stream(&format!("group/{}/scaling/{number}/history", group.name));
                let factor = plan.load_per_request(GroupId(index as u16), policy.metric);
                let past =
                    policy.history.draw(&mut stream).into_iter().map(|rate| rate.map(|rate| rate * factor));
                let period =
                    fleet.metrics[number].first().map_or(super::MINUTE, |(_, points)| points.period());
                let forecaster = Forecaster::new(past, plan.since_full_hour(), (period, group.metric_delay));
                fleet.memories[number].forecaster = Some(Box::new(forecaster));
            }
        }
    }

    /// What was forecast, by policy.
    pub(super) fn forecast_results(&self) -> Vec<ForecastResult> {
        let groups = self.plan.groups.iter().zip(&self.fleets);
        let policies = groups.flat_map(|(group, fleet)| {
            let policies = group.scaling.iter().zip(&fleet.memories);
            policies.filter_map(move |(scaling, memory)| match scaling {
                Scaling::Predictive(policy) => {
                    Some(policy.result(&group.name, memory.forecaster.as_deref()?))
                }
                _ => None,
            })
        });
        policies.collect()
    }
}

impl Predictive {
    fn result(&self, group: &str, forecaster: &Forecaster) -> ForecastResult {
        let hours: Vec<HourForecast> = forecaster.hourly();
        let (forecasts, came): (Vec<f64>, Vec<Option<f64>>) =
            hours.iter().filter_map(|hour| Some((hour.forecast?, hour.actual))).unzip();
        let load = match self.metric {
            Metric::Cpu => "CPU in %",
            Metric::RequestCountPerTarget => "requests a minute",
            Metric::ConnectionsPerTarget => "open sessions",
            other => other.name(),
        };
        ForecastResult {
            group: group.to_string(),
            load: load.to_string(),
            target: self.target,
            scales: self.scales(),
            history: self.history.hours.iter().flatten().count() as u32,
            error: mape(&forecasts, &came),
            hours: (0u64..)
                .zip(hours)
                .map(|(number, hour)| ForecastHour {
                    at: forecaster.start_of(number).as_secs_f64(),
                    forecast: hour.forecast,
                    actual: hour.actual,
                    capacity: hour.capacity,
                })
                .collect(),
        }
    }
}

impl Plan {
    /// The time since the wall clock's hour at the start of the run.
    fn since_full_hour(&self) -> Span {
        let time = self.start.time();
        let seconds = i64::from(time.minute()) * 60 + i64::from(time.second());
        let nanos = seconds * 1_000_000_000 + i64::from(time.subsec_nanosecond());
        Span::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// What one request a second adds to a group's load, in the metric's unit summed up over its instances: what a past of
    /// requests was in terms of CPU follows from the mean demand of those of the run. In a group with weights the past was borne
    /// by instances of its first machine, each of which counts as so many units as it does in the run.
    fn load_per_request(&self, group: GroupId, metric: Metric) -> f64 {
        let units = f64::from(self.groups[group.index()].weight(0));
        let load = match metric {
            Metric::Cpu => {
                let demand = self.demands()[group.index()];
                let processor = &self.groups[group.index()].machine().processor;
                if demand.visits > 0.0 {
                    100.0 * demand.cpu / demand.visits / processor.capacity()
                } else {
                    0.0
                }
            }
            Metric::RequestCountPerTarget => 60.0,
            // The past of anything else is stated in its own unit.
            _ => 1.0,
        };
        units * load
    }
}
