//! The verdict: of one run, or of several.

use std::fmt::Write;

use anstyle::AnsiColor;
use scalesim::results::{Held, ObjectiveResult};

use super::{Summary, short, value};

/// Columns of an objective's name at most.
const WIDEST_NAME: usize = 40;

impl Summary<'_> {
    /// Whether the SLA holds, and how each objective fared.
    pub(super) fn verdict(&mut self) {
        let objectives = &self.run.objectives;
        if objectives.is_empty() {
            self.page.line("");
            self.page.line("No SLA: add an [[sla]] table to get a verdict.");
            return;
        }
        if !self.results.held.is_empty() {
            return self.replicated_verdict();
        }
        let broken = objectives.iter().filter(|objective| !objective.met).count();
        self.page.line("");
        let verdict = if broken == 0 {
            self.page.style.paint(AnsiColor::Green, "SLA HOLDS")
        } else {
            self.page
                .style
                .paint(AnsiColor::Red, &format!("SLA VIOLATED: {broken} of {} objectives", objectives.len()))
        };
        self.page.line(verdict);
        let width = objectives
            .iter()
            .map(|objective| objective.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(WIDEST_NAME);
        for objective in objectives {
            let line = self.objective(objective, width);
            self.page.line(line);
        }
    }

    fn objective(&self, objective: &ObjectiveResult, width: usize) -> String {
        let mark = if objective.met {
            self.page.style.paint(AnsiColor::Green, "✓")
        } else {
            self.page.style.paint(AnsiColor::Red, "✗")
        };
        let mut line = format!(
            "  {mark} {:<width$}  {:<24} overall {:>9}",
            objective.name,
            objective.objective,
            value(objective.overall, &objective.unit)
        );
        if let Some(worst) = objective.worst {
            let _ = write!(
                line,
                "   worst {} at {}",
                value(worst.value, &objective.unit),
                self.clock.time(worst.from)
            );
        }
        if objective.violation_minutes > 0.0 {
            let _ = write!(line, "   {} min violated", short(objective.violation_minutes));
            if objective.allowed_minutes > 0.0 {
                let _ = write!(line, " of {} allowed", short(objective.allowed_minutes));
            }
        }
        if let Some(budget) = objective.budget.filter(|budget| budget.allowed > 0.0) {
            let _ = write!(line, "   budget {:.0} % used", 100.0 * budget.bad as f64 / budget.allowed);
        }
        line
    }

    /// In how many replications objectives held, and what that says of other such runs.
    fn replicated_verdict(&mut self) {
        let (results, runs) = (self.results, self.results.replications.len());
        let whole = |one: &scalesim::results::Summary| {
            let objectives = results.run.objectives.iter().zip(&one.violation_minutes);
            objectives.into_iter().all(|(objective, &minutes)| objective.allows(minutes))
        };
        let kept = results.replications.iter().filter(|one| whole(one)).count();
        self.page.line("");
        let verdict = if results.met() {
            self.page.style.paint(AnsiColor::Green, &format!("SLA HOLDS in all {runs} replications"))
        } else {
            self.page
                .style
                .paint(AnsiColor::Red, &format!("SLA VIOLATED in {} of {runs} replications", runs - kept))
        };
        self.page.line(verdict);
        let names = results.held.iter().map(|held| held.objective.chars().count());
        let width = names.max().unwrap_or(0).min(WIDEST_NAME);
        for (held, objective) in results.held.iter().zip(&results.run.objectives) {
            let mark = match held.mostly() {
                Some(true) => self.page.style.paint(AnsiColor::Green, "✓"),
                Some(false) => self.page.style.paint(AnsiColor::Red, "✗"),
                None => self.page.style.paint(AnsiColor::Yellow, "?"),
            };
            let (name, promise) = (&held.objective, &objective.objective);
            self.page.line(format!("  {mark} {name:<width$}  {promise:<24} {}", frequency(held, runs)));
        }
        if results.held.iter().any(|held| held.mostly().is_none()) {
            self.page.line("  ? so few replications do not tell whether it holds more often than not");
        }
    }
}

/// `held in 19 of 24: 58–93 % of such runs`
fn frequency(held: &Held, runs: usize) -> String {
    let (low, high) = (100.0 * held.low, 100.0 * held.high);
    format!("held in {} of {runs}: {low:.0}–{high:.0} % of such runs keep it", held.replications)
}
