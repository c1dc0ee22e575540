//! The candidates and the days that were played of each.
//!
//! Day `n` of every candidate has the same requests: the same seed and number (common random numbers). Days are played
//! in batches whose size no thread count has a say in, so that the same answer comes out on any machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sim_core::stats::Tally;

use super::sprt::{Decision, Sprt};
use crate::experiment::play::{Replication, Watch, play_all};
use crate::plan::Plan;
use crate::results::{CauseKind, ObjectiveResult, Outcome, Run, Violation};

/// Days of a batch, of a candidate of which nothing bad was seen; of others it is less, for two broken days may reject.
const BATCH: u32 = 16;
const SMALL_BATCH: u32 = 4;

/// A configuration that may be recommended, and what was seen of it.
pub struct Candidate {
    /// What is set, by path; nothing where it is the scenario as it stands.
    pub settings: Vec<(String, String)>,
    /// Whether that is the scenario as it stands.
    pub present: bool,
    /// What is played.
    pub plan: Arc<Plan>,
    /// Whether each day was kept: every objective within what it allows, and the run complete.
    pub kept: Vec<bool>,
    /// The cost of each day; see [`Measure`].
    pub costs: Vec<f64>,
    /// By objective, in the scenario's order.
    pub objectives: Vec<Tallied>,
    /// How a day ended early, the first that did.
    pub ended_early: Option<String>,
}

/// What was seen of an objective.
#[derive(Clone, Debug, Default)]
pub struct Tallied {
    /// Days on which it was broken: violated for longer than it allows.
    pub broken: u32,
    /// The unit of its values: `s` or `%`.
    pub unit: String,
    /// Minutes of violation, by day.
    pub minutes: Tally,
    /// How many times its bound it was over the whole day: above 1 where it would be broken.
    pub excess: Tally,
    /// Minutes of violation by cause, all days together.
    pub causes: BTreeMap<CauseKind, f64>,
    /// The worst window of all days, why, and on which day it was.
    pub worst: Option<(u32, Violation)>,
    /// Days on which a window was violated, and its end, by its start; in milliseconds of the run.
    pub windows: BTreeMap<u64, (u64, u32)>,
    /// Violated windows that no run kept, because they were more than its cap.
    pub dropped: u64,
}

/// What is to be least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The bill's total.
    Bill,
    /// Instance hours, where there are no prices.
    InstanceHours,
}

impl Measure {
    fn of(self, run: &Run) -> f64 {
        match self {
            Measure::Bill => run.bill.as_ref().map_or(0.0, |bill| bill.total),
            Measure::InstanceHours => run.groups.iter().map(|group| group.instance_hours).sum(),
        }
    }
}

/// It was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Days played so far.
    pub days: u64,
    /// Candidates of which at least one day was played.
    pub looked_at: usize,
    /// All candidates.
    pub candidates: usize,
}

/// All candidates.
pub struct Field<'a> {
    /// In the order in which they were given.
    pub candidates: Vec<Candidate>,
    /// What is to be least.
    pub measure: Measure,
    /// The most days that are played of one.
    pub most_days: u32,
    /// The seed of day 0.
    pub seed: u64,
    /// Ends the search once it is true.
    pub stop: Option<&'a AtomicBool>,
    /// Is told after each batch.
    pub progress: Option<&'a (dyn Fn(Standing) + Sync)>,
}

impl Field<'_> {
    /// What the days of a candidate say.
    pub fn decide(&self, index: usize, sprt: &Sprt) -> Option<Decision> {
        sprt.decide(self.candidates[index].kept.iter().copied())
    }

    /// Plays a candidate until its days say whether it holds; `None` where the most days do not suffice.
    ///
    /// # Errors
    /// Where the search was interrupted.
    pub fn settle(&mut self, index: usize, sprt: &Sprt) -> Result<Option<Decision>, Interrupted> {
        loop {
            let decision = self.decide(index, sprt);
            if decision.is_some() || self.exhausted(index) {
                return Ok(decision);
            }
            let more = self.candidates[index].days() + self.batch(index, sprt);
            self.play(&[(index, more)])?;
        }
    }

    /// How many days to play next of a candidate that is not decided: as many as may accept it, in small steps while
    /// it may be rejected soon.
    pub fn batch(&self, index: usize, sprt: &Sprt) -> u32 {
        let candidate = &self.candidates[index];
        let broken = candidate.broken_days();
        let doubtful = candidate.days() == 0 || broken > 0;
        let needed = sprt.kept_in_a_row(candidate.days() - broken, broken).max(1);
        needed.min(if doubtful { SMALL_BATCH } else { BATCH })
    }

    /// Whether no more days may be played of it.
    pub fn exhausted(&self, index: usize) -> bool {
        self.candidates[index].days() >= self.most_days
    }

    /// Plays candidates until each has so many days, at most [`most_days`](Field::most_days), all at once.
    ///
    /// # Errors
    /// Where the search was interrupted; nothing is kept of the batch then.
    pub fn play(&mut self, wanted: &[(usize, u32)]) -> Result<(), Interrupted> {
        let mut places = Vec::new();
        let mut all = Vec::new();
        for &(index, until) in wanted {
            let candidate = &self.candidates[index];
            for number in candidate.days()..until.min(self.most_days) {
                places.push(index);
                all.push(Replication { plan: candidate.plan.clone(), seed: self.seed, number });
            }
        }
        let watch = Watch { stop: self.stop, progress: None };
        let measure = self.measure;
        let days = play_all(&all, watch, |_, run| Day::of(run, measure));
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Interrupted);
        }
        for (index, day) in places.into_iter().zip(days) {
            self.candidates[index].add(day);
        }
        if let Some(progress) = self.progress {
            progress(self.standing());
        }
        Ok(())
    }

    /// How far it has come.
    pub fn standing(&self) -> Standing {
        Standing {
            days: self.candidates.iter().map(|candidate| u64::from(candidate.days())).sum(),
            looked_at: self.candidates.iter().filter(|candidate| candidate.days() > 0).count(),
            candidates: self.candidates.len(),
        }
    }
}

/// What is kept of a day.
struct Day {
    kept: bool,
    cost: f64,
    objectives: Vec<ObjectiveResult>,
    ended_early: Option<String>,
}

impl Day {
    fn of(run: Run, measure: Measure) -> Day {
        let ended_early = match &run.outcome {
            Outcome::Complete => None,
            Outcome::Interrupted { .. } => Some("interrupted".to_string()),
            Outcome::Limit { at, limit, value } => {
                Some(format!("a run ended {at:.0} s after its start: it reached `limits.{limit} = {value}`"))
            }
        };
        Day {
            kept: ended_early.is_none() && run.objectives.iter().all(|objective| objective.met),
            cost: measure.of(&run),
            objectives: run.objectives,
            ended_early,
        }
    }
}

impl Candidate {
    /// One of which nothing was played yet.
    pub fn new(settings: Vec<(String, String)>, present: bool, plan: Plan) -> Candidate {
        let objectives = vec![Tallied::default(); plan.objectives.len()];
        let plan = Arc::new(plan);
        let (kept, costs) = (Vec::new(), Vec::new());
        Candidate { settings, present, plan, kept, costs, objectives, ended_early: None }
    }

    /// Days played.
    pub fn days(&self) -> u32 {
        self.kept.len() as u32
    }

    /// Days that were not kept.
    pub fn broken_days(&self) -> u32 {
        self.kept.iter().filter(|kept| !**kept).count() as u32
    }

    /// The mean cost of its days.
    pub fn cost(&self) -> Option<f64> {
        (!self.costs.is_empty()).then(|| self.costs.iter().sum::<f64>() / self.costs.len() as f64)
    }

    /// By what share it is dearer than another, on the days that both have; `None` without such days or where the other is free.
    pub fn dearer_than(&self, other: &Candidate) -> Option<f64> {
        let days = self.costs.len().min(other.costs.len());
        let of = |costs: &[f64]| costs[..days].iter().sum::<f64>();
        let (own, others) = (of(&self.costs), of(&other.costs));
        (days > 0 && others > 0.0).then(|| own / others - 1.0)
    }

    /// Violated minutes of all objectives, the mean of a day.
    pub fn minutes(&self) -> f64 {
        self.objectives.iter().map(|objective| objective.minutes.mean()).sum()
    }

    /// How many times its bound the worst of all objectives is, the mean of whole days.
    pub fn excess(&self) -> f64 {
        self.objectives.iter().map(|objective| objective.excess.mean()).fold(0.0, f64::max)
    }

    fn add(&mut self, day: Day) {
        let number = self.days();
        self.kept.push(day.kept);
        self.costs.push(day.cost);
        for (tallied, objective) in self.objectives.iter_mut().zip(day.objectives) {
            tallied.add(number, objective);
        }
        self.ended_early = self.ended_early.take().or(day.ended_early);
    }
}

impl Tallied {
    fn add(&mut self, day: u32, objective: ObjectiveResult) {
        self.broken += u32::from(!objective.met);
        self.minutes.record(objective.violation_minutes);
        self.dropped += objective.violations_dropped;
        self.unit = objective.unit;
        if objective.windows > 0 {
            let (value, bound) = (objective.overall.max(1e-12), objective.bound.max(1e-12));
            self.excess.record(if objective.upper { value / bound } else { bound / value });
        }
        let upper = objective.upper;
        let worse = |a: f64, b: f64| if upper { a > b } else { a < b };
        for violation in objective.violations {
            let window = violation.window;
            *self.causes.entry(violation.cause).or_default() += (window.to - window.from) / 60.0;
            let millis = |seconds: f64| (1e3 * seconds).round() as u64;
            let days = self.windows.entry(millis(window.from)).or_insert((millis(window.to), 0));
            days.1 += 1;
            if self.worst.as_ref().is_none_or(|(_, worst)| worse(window.value, worst.window.value)) {
                self.worst = Some((day, violation));
            }
        }
    }

    /// The cause of most of its violated minutes.
    pub fn main_cause(&self) -> Option<CauseKind> {
        let most = self.causes.iter().max_by(|a, b| a.1.total_cmp(b.1));
        most.map(|(&cause, _)| cause)
    }
}

/// Candidates whose days are made up; for tests of searches.
#[cfg(test)]
pub mod made_up {
    use super::*;

    /// A field of candidates with so many days each: whether they were kept, and their costs.
    pub fn field(days: Vec<(Vec<bool>, Vec<f64>)>) -> Field<'static> {
        let text = r#"
            [scenario]
            duration = "1min"
            [traffic.t]
            to = "b"
            profile = { constant = "1/s" }
            [service.s]
            runtime = "event-loop"
            [service.s.endpoint.e]
            steps = [{ cpu = "1ms" }]
            [group.g]
            service = "s"
            machine = "c7g.large"
            min = 1
            [balancer.b]
            targets = "g"
        "#;
        let scenario = crate::Scenario::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
        let most_days = days.iter().map(|(kept, _)| kept.len() as u32).min().unwrap_or(0);
        let candidates = days.into_iter().map(|(kept, costs)| {
            let candidate = Candidate::new(Vec::new(), false, scenario.plan().clone());
            Candidate { kept, costs, ..candidate }
        });
        let candidates = candidates.collect();
        let measure = Measure::InstanceHours;
        Field { candidates, measure, most_days, seed: 1, stop: None, progress: None }
    }
}
