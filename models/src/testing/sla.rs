//! An objective in a test.

use super::{Bound, Measured, tell};
use crate::results::{ObjectiveResult, Results};

/// An objective of a run's results, to assert something about.
#[derive(Clone, Copy, Debug)]
pub struct Sla<'a> {
    results: &'a Results,
    index: usize,
}

impl<'a> Sla<'a> {
    /// The objective at this place.
    pub(super) fn new(results: &'a Results, index: usize) -> Self {
        Sla { results, index }
    }

    /// What the first replication found.
    pub fn result(self) -> &'a ObjectiveResult {
        &self.results.run.objectives[self.index]
    }

    /// Minutes of violating windows, by replication.
    pub fn violation_minutes(self) -> Vec<f64> {
        let minutes = |one: &crate::results::Summary| one.violation_minutes.get(self.index).copied();
        self.results.replications.iter().filter_map(minutes).collect()
    }

    /// True where the promise was kept in every replication.
    pub fn is_met(self) -> bool {
        self.broken(self.result().allowed_minutes).is_empty()
    }

    /// The value over the whole run.
    ///
    /// # Panics
    /// Where nothing of it was measured.
    #[track_caller]
    pub fn overall(self) -> Measured<'a> {
        self.results.figure(&format!("{}: overall", self.result().name))
    }

    /// The value of the worst window.
    ///
    /// # Panics
    /// Where nothing of it was measured.
    #[track_caller]
    pub fn worst_window(self) -> Measured<'a> {
        self.results.figure(&format!("{}: worst window", self.result().name))
    }

    /// The promise was kept in every replication.
    ///
    /// # Panics
    /// Where it was not: with the worst window, the violating stretches and why, and how to see it.
    #[track_caller]
    pub fn assert_met(self) {
        if let Some(failure) = self.failure() {
            panic!("{failure}");
        }
    }

    /// The promise was broken in every replication: for tests that a scenario is as bad as it should be.
    ///
    /// # Panics
    /// Where it was kept in one.
    #[track_caller]
    pub fn assert_violated(self) {
        let (objective, minutes) = (self.result(), self.violation_minutes());
        let kept: Vec<usize> = (0..minutes.len()).filter(|&one| objective.allows(minutes[one])).collect();
        if let Some(&first) = kept.first() {
            let head =
                format!("the SLA `{}` is met and should not be: {}", objective.name, objective.objective);
            panic!("{}", self.describe(head, kept.len(), first));
        }
    }

    /// Its violating windows are at most so long together, in every replication: `"5min"`.
    ///
    /// # Panics
    /// Where they are longer, or `bound` is no length of time.
    #[track_caller]
    pub fn assert_violation_at_most(self, bound: impl Into<Bound>) {
        let bound = bound.into();
        let most = match bound.read("min") {
            Ok(most) => most,
            Err(why) => panic!("{why}"),
        };
        if let Some(why) = self.proves_nothing() {
            panic!("{why}");
        }
        let broken = self.broken(most);
        if !broken.is_empty() {
            let objective = self.result();
            let head = format!(
                "the SLA `{}` is violated for longer than {}: {}",
                objective.name,
                bound.show("min"),
                objective.objective
            );
            panic!("{}", self.describe(head, broken.len(), self.worst_of(&broken)));
        }
    }

    /// What [`Sla::assert_met`] would say; `None` where the promise was kept.
    pub fn failure(self) -> Option<String> {
        if let Some(why) = self.proves_nothing() {
            return Some(why);
        }
        let objective = self.result();
        let broken = self.broken(objective.allowed_minutes);
        let head = format!("the SLA `{}` is violated: {}", objective.name, objective.objective);
        (!broken.is_empty()).then(|| self.describe(head, broken.len(), self.worst_of(&broken)))
    }

    /// Replications in which it was violated for longer than `most` minutes.
    fn broken(self, most: f64) -> Vec<usize> {
        let minutes = self.violation_minutes();
        (0..minutes.len()).filter(|&one| minutes[one] > most + SLACK).collect()
    }

    /// Which of these replications it was violated in for longest; the first of equals.
    fn worst_of(self, replications: &[usize]) -> usize {
        let minutes = self.violation_minutes();
        let longest = replications.iter().rev().copied().max_by(|&a, &b| minutes[a].total_cmp(&minutes[b]));
        longest.unwrap_or(0)
    }

    /// Why it cannot be said that the promise was kept, although no window broke it.
    fn proves_nothing(self) -> Option<String> {
        let objective = self.result();
        let nothing = || {
            let unmeasured = objective.windows == 0;
            unmeasured
                .then(|| format!("the SLA `{}` had nothing to measure in the whole run", objective.name))
        };
        tell::cut_short(self.results).or_else(nothing)
    }

    /// A failure that begins with `head`; `number` is the replication that shows it best.
    fn describe(self, head: String, failed: usize, number: usize) -> String {
        let (results, objective) = (self.results, self.result());
        let mut text = format!("{head}\n  overall {}", tell::value(objective.overall, &objective.unit));
        if let Some(worst) = objective.worst {
            text.push_str(&format!(
                "; worst window {} at {}",
                tell::value(worst.value, &objective.unit),
                tell::between(results, worst.from, worst.to)
            ));
        }
        text.push_str(&format!(
            "\n  violated for {}, allowed {}",
            tell::value(objective.violation_minutes, "min"),
            tell::value(objective.allowed_minutes, "min")
        ));
        if let Some(budget) = objective.budget.filter(|budget| budget.allowed > 0.0) {
            let used = 100.0 * budget.bad as f64 / budget.allowed;
            text.push_str(&format!("; error budget {used:.0} % used"));
        }
        let minutes: Vec<Option<f64>> = self.violation_minutes().into_iter().map(Some).collect();
        let figure = format!("violation of {}", objective.name);
        text.push_str(&tell::replications(results, failed, &figure, &minutes));
        text.push_str(&tell::violations(results, objective));
        text.push_str(&tell::to_see_it(results, number as u32));
        text
    }
}

/// Minutes that are no difference: sums of windows are not exact.
const SLACK: f64 = 1e-9;
