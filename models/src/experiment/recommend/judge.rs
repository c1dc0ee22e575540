//! From what was found to the answer: what became of each candidate, and why.

use sim_core::stats::{Interval, Proportion, Tally};

use super::answer::{
    Asked, Broken, CandidateResult, Recommendation, Refused, SCHEMA, Setting, Standing, Theory, Verdict,
    Worst,
};
use super::closed_form::{Prediction, predict};
use super::doubt::Doubts;
use super::field::{Candidate, Field, Measure};
use super::space::Space;
use super::sprt::{Decision, far_end};
use super::{Found, Question, answer};
use crate::scenario::Scenario;

/// Makes the answer.
pub fn judge(
    base: &Scenario,
    question: &Question,
    space: Space,
    field: Field<'_>,
    found: Found,
) -> Recommendation {
    let judge = Judge { question, space: &space, field: &field, found: &found };
    let mut candidates: Vec<CandidateResult> =
        (0..field.candidates.len()).map(|index| judge.candidate(index)).collect();
    for index in 0..candidates.len() {
        candidates[index].reason = judge.reason(index, &candidates);
    }
    let nearest = if found.best.is_none() { judge.nearest() } else { None };
    let plan = base.plan();
    let subject = found.best.or(nearest).unwrap_or(space.present);
    let theory = judge.theory(&mut candidates);
    Recommendation {
        schema: SCHEMA.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        scenario: plan.name.clone(),
        start: plan.start.to_string(),
        duration: plan.duration.as_secs_f64(),
        seed: field.seed,
        asked: judge.asked(base),
        method: found.method,
        verdict: judge.verdict(&candidates),
        recommended: found.best,
        present: space.present,
        nearest,
        doubts: Doubts::of(&field.candidates[subject]),
        theory,
        candidates,
        refused: space
            .refused
            .iter()
            .map(|(settings, why)| Refused { settings: shown(settings), why: why.clone() })
            .collect(),
        notes: judge.notes(subject),
        days_played: field.standing().days,
        finished: found.finished,
    }
}

fn shown(settings: &[(String, String)]) -> Vec<Setting> {
    settings.iter().map(|(path, value)| Setting { path: path.clone(), value: value.clone() }).collect()
}

struct Judge<'a> {
    question: &'a Question,
    space: &'a Space,
    field: &'a Field<'a>,
    found: &'a Found,
}

impl Judge<'_> {
    fn asked(&self, base: &Scenario) -> Asked {
        let currency = base.plan().prices.as_ref().map(|book| book.currency.clone());
        let (measure, unit) = match self.field.measure {
            Measure::Bill => ("cost", currency.unwrap_or_default()),
            Measure::InstanceHours => ("instance hours", "h".to_string()),
        };
        Asked {
            axes: self.space.axes.clone(),
            largest: self.question.largest.is_some(),
            days_kept: self.question.days_kept,
            days_kept_for_certain: far_end(self.question.days_kept),
            confidence: self.question.confidence,
            indifference: self.question.indifference,
            most_days: self.question.most_days,
            measure: measure.to_string(),
            unit,
        }
    }

    fn standing(&self, index: usize) -> Standing {
        let Found { best, dearer, sprt, .. } = self.found;
        match self.field.decide(index, sprt) {
            _ if *best == Some(index) => Standing::Recommended,
            Some(Decision::Holds) => Standing::Holds,
            Some(Decision::Breaks) => Standing::Breaks,
            None if dearer[index] => Standing::Dearer,
            None if self.field.candidates[index].days() == 0 => Standing::NotPlayed,
            None => Standing::Inconclusive,
        }
    }

    fn candidate(&self, index: usize) -> CandidateResult {
        let candidate = &self.field.candidates[index];
        let level = self.question.confidence;
        let (days, broken_days) = (candidate.days(), candidate.broken_days());
        let kept = days - broken_days;
        let share_kept = Proportion::clopper_pearson(u64::from(kept), u64::from(days), level);
        let (kept_low, kept_high) = share_kept.map_or((0.0, 1.0), |share| (share.low, share.high));
        let standing = self.standing(index);
        let settings =
            if candidate.settings.is_empty() { &self.space.present_settings } else { &candidate.settings };
        let best = self.found.best.filter(|&best| best != index).map(|best| &self.field.candidates[best]);
        let costs: Tally = candidate.costs.iter().copied().collect();
        CandidateResult {
            settings: shown(settings),
            present: candidate.present,
            standing,
            reason: String::new(),
            days,
            kept,
            kept_low,
            kept_high,
            cost: candidate.cost(),
            cost_half_width: Interval::student_t(&costs, level).map(|interval| interval.half_width),
            dearer: best.and_then(|best| candidate.dearer_than(best)),
            days_needed: (standing == Standing::Inconclusive)
                .then(|| self.found.sprt.days_needed(kept, broken_days)),
            broken: broken(candidate),
            ended_early: candidate.ended_early.clone(),
            theory: None,
        }
    }

    /// Why a candidate stands as it does.
    fn reason(&self, index: usize, all: &[CandidateResult]) -> String {
        let own = &all[index];
        let kept = format!("kept on {} of {} days", own.kept, own.days);
        match own.standing {
            Standing::Recommended | Standing::Holds => match own.dearer {
                Some(dearer) if own.standing == Standing::Holds => {
                    format!("{kept}; {}", by(dearer, self.verb()))
                }
                _ => kept,
            },
            Standing::Dearer => own.dearer.map_or(kept, |dearer| by(dearer, self.verb())),
            Standing::Breaks => match (&own.ended_early, own.broken.first()) {
                (_, Some(broken)) => {
                    format!("broke {} on {} of {} days", broken.objective, broken.days, own.days)
                }
                (Some(why), None) => why.clone(),
                (None, None) => kept,
            },
            Standing::Inconclusive if !self.found.finished => format!("{kept}, when it was interrupted"),
            Standing::Inconclusive => {
                format!("{kept}; it takes about {} to say", own.days_needed.unwrap_or_default())
            }
            Standing::NotPlayed => self.neighbour(index, all),
        }
    }

    /// What one that is dearer does.
    fn verb(&self) -> &'static str {
        match self.field.measure {
            Measure::Bill => "costs",
            Measure::InstanceHours => "takes",
        }
    }

    /// Whose days speak for a candidate that was not played: those of its neighbours in the order, which agree.
    fn neighbour(&self, index: usize, all: &[CandidateResult]) -> String {
        let order = self.space.order.as_deref().unwrap_or_default();
        let Some(at) = order.iter().position(|&own| own == index) else { return "not played".to_string() };
        let decided = |&&other: &&usize| self.field.decide(other, &self.found.sprt).is_some();
        let neighbour = order[at..].iter().find(decided).or(order[..at].iter().rev().find(decided));
        let Some(&other) = neighbour else { return "not played".to_string() };
        let does = match self.field.decide(other, &self.found.sprt) {
            Some(Decision::Holds) => "holds",
            _ => "breaks",
        };
        format!("not played: {} {does}", answer::words(&all[other].settings))
    }

    fn verdict(&self, candidates: &[CandidateResult]) -> Verdict {
        let breaks = |one: &CandidateResult| matches!(one.standing, Standing::Breaks | Standing::NotPlayed);
        match self.found.best {
            Some(best) if best == self.space.present => Verdict::Keep,
            Some(_) => Verdict::Change,
            None if self.found.finished && candidates.iter().all(breaks) => Verdict::NothingHolds,
            None => Verdict::Inconclusive,
        }
    }

    /// The one that comes nearest to holding: the most days kept, then the fewest minutes violated, then the closest to its bounds.
    fn nearest(&self) -> Option<usize> {
        let share = |index: usize| {
            let one = &self.field.candidates[index];
            f64::from(one.broken_days()) / f64::from(one.days().max(1))
        };
        let played =
            (0..self.field.candidates.len()).filter(|&index| self.field.candidates[index].days() > 0);
        played.min_by(|&a, &b| {
            let minutes = |index: usize| self.field.candidates[index].minutes();
            let excess = |index: usize| self.field.candidates[index].excess();
            let by_minutes = minutes(a).total_cmp(&minutes(b));
            share(a).total_cmp(&share(b)).then(by_minutes).then(excess(a).total_cmp(&excess(b)))
        })
    }

    /// What theory says of each candidate, and which it would pick.
    fn theory(&self, candidates: &mut [CandidateResult]) -> Theory {
        let predictions: Vec<Result<Prediction, Vec<String>>> =
            self.field.candidates.iter().map(|candidate| predict(&candidate.plan)).collect();
        if let Some(Err(unmet)) = predictions.iter().find(|prediction| prediction.is_err()) {
            return Theory::None(unmet.clone());
        }
        let holds = |index: usize| predictions[index].as_ref().is_ok_and(|prediction| prediction.holds);
        let everyone: Vec<usize> = (0..candidates.len()).collect();
        let order = self.space.order.as_deref().unwrap_or(&everyone);
        let mut holding = order.iter().copied().filter(|&index| holds(index));
        let pick = if self.question.largest.is_some() {
            holding.next_back()
        } else if self.space.order.is_some() {
            // The one next to the failing side, as bisection has it; where none fails, either end may be the cheaper one.
            let ends = (order.first().copied(), order.last().copied());
            match ends {
                (Some(first), Some(last)) if holds(first) && holds(last) => {
                    Some(if self.found.best == Some(last) { last } else { first })
                }
                (Some(first), _) if holds(first) => holding.next_back(),
                _ => holding.next(),
            }
        } else {
            let cost = |index: usize| self.field.candidates[index].cost().unwrap_or(f64::INFINITY);
            holding.min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
        };
        for (candidate, prediction) in candidates.iter_mut().zip(&predictions) {
            candidate.theory = prediction.as_ref().ok().cloned();
        }
        let shown = &candidates[pick.unwrap_or(self.space.present)];
        let model = shown.theory.as_ref().map(|prediction| prediction.model.clone()).unwrap_or_default();
        Theory::Applies { model, pick, agrees: pick == self.found.best }
    }

    fn notes(&self, subject: usize) -> Vec<String> {
        let mut notes = self.found.notes.clone();
        let undecided = |index: &usize| self.standing(*index) == Standing::Inconclusive;
        let count = (0..self.field.candidates.len()).filter(undecided).count();
        if count > 0 && self.found.finished {
            notes.push(format!(
                "of {count} candidates {} days do not say whether they hold: `--most-days` allows more",
                self.field.most_days
            ));
        }
        let dropped: u64 =
            self.field.candidates[subject].objectives.iter().map(|objective| objective.dropped).sum();
        if dropped > 0 {
            notes.push(format!(
                "{dropped} violated windows were beyond what a run keeps, and are in no stretch"
            ));
        }
        notes
    }
}

/// `costs 3.2 % more`
fn by(dearer: f64, verb: &str) -> String {
    let percent = 100.0 * dearer.abs();
    match percent {
        percent if percent < 0.05 => format!("{verb} as much"),
        percent if dearer > 0.0 => format!("{verb} {percent:.1} % more"),
        percent => format!("{verb} {percent:.1} % less"),
    }
}

/// The objectives that a candidate broke, the worst first.
fn broken(candidate: &Candidate) -> Vec<Broken> {
    let each = candidate.plan.objectives.iter().zip(&candidate.objectives);
    let mut broken: Vec<Broken> = each
        .filter(|(_, tallied)| tallied.broken > 0)
        .map(|(objective, tallied)| Broken {
            name: objective.name.clone(),
            objective: objective.text.clone(),
            days: tallied.broken,
            minutes: tallied.minutes.mean(),
            allowed: objective.allow.as_secs_f64() / 60.0,
            cause: tallied.main_cause(),
            worst: tallied.worst.as_ref().map(|(day, violation)| Worst {
                day: *day,
                from: violation.window.from,
                to: violation.window.to,
                value: violation.window.value,
                unit: tallied.unit.clone(),
                explanation: violation.explanation.clone(),
            }),
        })
        .collect();
    broken.sort_by(|a, b| b.days.cmp(&a.days).then(b.minutes.total_cmp(&a.minutes)));
    broken
}
