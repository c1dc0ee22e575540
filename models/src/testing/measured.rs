//! Figures in a test.

use super::{Bound, NotFound, tell};
use crate::experiment::figures::readings;
use crate::results::Results;

/// A figure of a run's results in each replication, to hold against a bound.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    results: &'a Results,
    name: String,
    unit: String,
    values: Vec<Option<f64>>,
}

impl<'a> Measured<'a> {
    /// The figure of that name.
    pub(super) fn find(results: &'a Results, name: &str) -> Result<Self, NotFound> {
        let measured = |unit: &str, values| {
            let (name, unit) = (name.to_string(), unit.to_string());
            Ok(Measured { results, name, unit, values })
        };
        if let Some(index) = results.figures.iter().position(|figure| figure.name == name) {
            let value = |one: &crate::results::Summary| one.figures.get(index).copied().flatten();
            return measured(&results.figures[index].unit, results.replications.iter().map(value).collect());
        }
        // What no replication could measure is not among the figures.
        let all = readings(&results.run);
        match all.iter().find(|reading| reading.name == name) {
            Some(reading) => measured(&reading.unit, vec![None; results.replications.len()]),
            None => {
                let known: Vec<&str> = all.iter().map(|reading| reading.name.as_str()).collect();
                Err(NotFound::new("figure", name, &known))
            }
        }
    }

    /// Its name in the catalogue.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its unit: `s`, `%`, `min`, `h`, a currency; empty for a pure number.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Its value in each replication; `None` where there was nothing to measure.
    pub fn values(&self) -> &[Option<f64>] {
        &self.values
    }

    /// It is below `bound` in every replication.
    ///
    /// # Panics
    /// Where it is not, was not measured, or `bound` is none.
    #[track_caller]
    pub fn assert_below(&self, bound: impl Into<Bound>) {
        self.demand("below", |value, bound| value < bound, bound.into());
    }

    /// It is at most `bound` in every replication.
    ///
    /// # Panics
    /// Where it is not, was not measured, or `bound` is none.
    #[track_caller]
    pub fn assert_at_most(&self, bound: impl Into<Bound>) {
        self.demand("at most", |value, bound| value <= bound, bound.into());
    }

    /// It is above `bound` in every replication.
    ///
    /// # Panics
    /// Where it is not, was not measured, or `bound` is none.
    #[track_caller]
    pub fn assert_above(&self, bound: impl Into<Bound>) {
        self.demand("above", |value, bound| value > bound, bound.into());
    }

    /// It is at least `bound` in every replication.
    ///
    /// # Panics
    /// Where it is not, was not measured, or `bound` is none.
    #[track_caller]
    pub fn assert_at_least(&self, bound: impl Into<Bound>) {
        self.demand("at least", |value, bound| value >= bound, bound.into());
    }

    #[track_caller]
    fn demand(&self, relation: &str, holds: fn(f64, f64) -> bool, bound: Bound) {
        let limit = match bound.read(&self.unit) {
            Ok(limit) => limit,
            Err(why) => panic!("{}: {why}", self.name),
        };
        if let Some(why) = tell::cut_short(self.results) {
            panic!("{why}");
        }
        let failed: Vec<usize> = (0..self.values.len())
            .filter(|&one| !self.values[one].is_some_and(|value| holds(value, limit)))
            .collect();
        // The one that is farthest away shows it best; one that measured nothing is farther than any.
        let distance = |&one: &usize| self.values[one].map_or(f64::INFINITY, |value| (value - limit).abs());
        let worst = failed.iter().rev().copied().max_by(|a, b| distance(a).total_cmp(&distance(b)));
        if let Some(worst) = worst {
            panic!(
                "{}",
                self.failure(&format!("{relation} {}", bound.show(&self.unit)), failed.len(), worst)
            );
        }
    }

    fn failure(&self, expected: &str, failed: usize, worst: usize) -> String {
        let results = self.results;
        let mut text = match self.values[worst] {
            Some(value) => {
                format!("{} is {}, expected {expected}", self.name, tell::value(value, &self.unit))
            }
            None => format!("{}: there was nothing to measure, expected {expected}", self.name),
        };
        text.push_str(&tell::replications(results, failed, &self.name, &self.values));
        for objective in results.run.objectives.iter().filter(|objective| !objective.violations.is_empty()) {
            text.push_str(&format!("\n  meanwhile `{}` was violated:", objective.name));
            text.push_str(&tell::violations(results, objective));
        }
        text.push_str(&tell::to_see_it(results, worst as u32));
        text
    }
}

/// A distribution of times, to choose from what to hold against a bound.
#[derive(Clone, Debug)]
pub struct Times<'a> {
    results: &'a Results,
    of: String,
}

impl<'a> Times<'a> {
    /// Times whose figures begin with `of`.
    pub(super) fn new(results: &'a Results, of: String) -> Self {
        Times { results, of }
    }

    /// Their mean.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn mean(&self) -> Measured<'a> {
        self.results.figure(&format!("{} mean", self.of))
    }

    /// Their median.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn p50(&self) -> Measured<'a> {
        self.results.figure(&format!("{} p50", self.of))
    }

    /// Their 95th percentile.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn p95(&self) -> Measured<'a> {
        self.results.figure(&format!("{} p95", self.of))
    }

    /// Their 99th percentile.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn p99(&self) -> Measured<'a> {
        self.results.figure(&format!("{} p99", self.of))
    }
}

/// The jobs of a source, to choose from what to hold against a bound.
#[derive(Clone, Debug)]
pub struct Jobs<'a> {
    results: &'a Results,
    of: String,
}

impl<'a> Jobs<'a> {
    /// The jobs of a source that submits some.
    pub(super) fn new(results: &'a Results, source: &str) -> Self {
        Jobs { results, of: format!("jobs of {source}") }
    }

    /// Jobs whose work was done.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn done(&self) -> Measured<'a> {
        self.results.figure(&format!("{}: done", self.of))
    }

    /// Jobs that were lost, for any reason.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn lost(&self) -> Measured<'a> {
        self.results.figure(&format!("{}: lost", self.of))
    }

    /// Jobs that failed too often.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn dead_letters(&self) -> Measured<'a> {
        self.results.figure(&format!("{}: dead letters", self.of))
    }

    /// From sending the request that submits until the client knew; until the work was done where nobody asks.
    pub fn time(&self) -> Times<'a> {
        Times::new(self.results, format!("{}: time", self.of))
    }
}
