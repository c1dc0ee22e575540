//! The cheapest configuration that holds the SLA, with stated confidence.
//!
//! A *day* is one run of the scenario, a replication; it is kept when every objective is within what it allows. A configuration
//! *holds* where at least a stated share of days is kept, which [Wald's sequential test](sprt) decides with as few days as
//! it takes. All configurations are played on the same days (common random numbers).
//!
//! * One variable over a range is bracketed and bisected: the smallest fleet, or the largest load, that holds.
//! * Several are ranked and selected from, by the procedure of Kim and Nelson (2001) with the constraint dealt
//!   with as by Andradóttir and Kim (2010): see [`selection`].
//!
//! # What the stated confidence covers
//! With at least that chance the answer is right: a recommended candidate does hold, and no candidate that certainly holds
//! is cheaper by more than the zone of indifference. "Certainly" means that [`RARER`](sprt::RARER) times fewer days are broken
//! than may be. It is about the model and its random numbers, not about whether tomorrow is like the scenario.

pub mod answer;
mod bisect;
mod closed_form;
mod doubt;
mod field;
mod judge;
mod race;
mod rewrite;
pub mod selection;
mod space;
pub mod sprt;

use std::sync::atomic::AtomicBool;

use super::sweep::{Axis, AxisError};
use crate::scenario::{Diagnostics, Draft};
use answer::{Method, Recommendation};
use bisect::{Bisected, Monotone, bisect};
use field::{Field, Interrupted, Measure};
use race::{Raced, cheaper, race};
use space::Space;
use sprt::{Decision, Sprt};

pub use answer::{Standing, Verdict};
pub use closed_form::Prediction;
pub use doubt::{Doubt, DoubtKind, Doubts};
pub use field::Standing as Progress;
pub use rewrite::{RewriteError, rewrite};

/// The most days that are played of a candidate unless told otherwise. A share of days in the middle of the zone of
/// indifference takes some 60 with one variable, and 250 with 40 candidates.
pub const MOST_DAYS: u32 = 400;

/// What to vary, and how sure to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What to vary; where nothing is said, the sizes of groups.
    pub vary: Vec<Axis>,
    /// Of which value the largest that holds is wanted, in place of the cheapest configuration.
    pub largest: Option<Axis>,
    /// The share of days to be kept: 0.5 to 0.999.
    pub days_kept: f64,
    /// The chance that the answer is right: 0.5 to 0.9999.
    pub confidence: f64,
    /// The share of the cost that does not matter: above 0, to 0.5.
    pub indifference: f64,
    /// How far apart the values of a range are that has no list of its own, as a share: above 0, to 1.
    pub tolerance: f64,
    /// The most days of a candidate, at least [`FIRST_DAYS`](selection::FIRST_DAYS).
    pub most_days: u32,
    /// Another seed than the scenario's.
    pub seed: Option<u64>,
}

impl Default for Question {
    /// Nine days of ten kept, with 95 % confidence, to a percent of the cost.
    fn default() -> Self {
        Question {
            vary: Vec::new(),
            largest: None,
            days_kept: 0.9,
            confidence: 0.95,
            indifference: 0.01,
            tolerance: 0.02,
            most_days: MOST_DAYS,
            seed: None,
        }
    }
}

/// Who looks on, and may end the search.
#[derive(Clone, Copy, Default)]
pub struct Watching<'a> {
    /// Ends it at the next opportunity; what was found by then is the answer, as unfinished.
    pub stop: Option<&'a AtomicBool>,
    /// Is told after each batch of days.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RecommendError {
    /// The scenario, or each of its variants.
    #[error("{0}")]
    Scenario(Box<Diagnostics>),
    /// An axis.
    #[error("{0}")]
    Axis(#[from] AxisError),
    /// Nothing to hold.
    #[error("the scenario has no SLA to hold: add an [[sla]] table")]
    NoSla,
    /// Nothing to choose from.
    #[error("no setting of the axes makes another scenario than the one there is")]
    NoCandidates,
    /// Too much to choose from.
    #[error("that makes more than {} candidates: take larger steps, or fewer axes", space::MOST_CANDIDATES)]
    TooMany,
    /// Two questions.
    #[error("the largest value is a question by itself: leave out what else is varied, or set it")]
    LargestAlone,
    /// No order.
    #[error("the largest value is found in a range, such as `traffic.web.profile.constant=100/s..5000/s`")]
    LargestNeedsRange,
    /// A share that is none.
    #[error("{0}")]
    Question(&'static str),
}

/// Finds the cheapest configuration that holds, or the largest load.
///
/// ```
/// use scalesim::experiment::recommend::{Question, Verdict, Watching, recommend};
/// use scalesim::{Draft, NoFiles};
/// # let text = r#"
/// #     [scenario]
/// #     duration = "1min"
/// #     [traffic.web]
/// #     to = "front"
/// #     profile = { constant = "50/s" }
/// #     [service.api]
/// #     runtime = "thread-per-request"
/// #     [service.api.endpoint."GET /"]
/// #     steps = [{ cpu = "10ms" }]
/// #     [group.web]
/// #     service = "api"
/// #     machine = "c7g.large"
/// #     min = 4
/// #     [balancer.front]
/// #     targets = "web"
/// #     [[sla]]
/// #     objective = "p95 <= 50ms"
/// # "#;
/// let draft = Draft::new("shop.toml", text, &NoFiles);
/// let question = Question { vary: vec!["group.web.min=1..6".parse()?], ..Question::default() };
/// let answer = recommend(&draft, &question, Watching::default())?;
/// let found = &answer.candidates[answer.recommended.expect("one of them holds")];
/// assert_eq!(answer.verdict, Verdict::Change);
/// assert_eq!(found.settings[0].value, "1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Where the question or the scenario is wrong.
pub fn recommend(
    draft: &Draft<'_>,
    question: &Question,
    watching: Watching<'_>,
) -> Result<Recommendation, RecommendError> {
    question.check()?;
    let base = draft.read().map_err(|diagnostics| RecommendError::Scenario(Box::new(diagnostics)))?;
    if base.plan().objectives.is_empty() {
        return Err(RecommendError::NoSla);
    }
    let grids = question.grids(draft, base.plan())?;
    let mut space = space::space(draft, &base, &grids)?;
    if question.largest.is_some() && space.order.is_none() {
        return Err(RecommendError::LargestNeedsRange);
    }
    let priced = base.plan().prices.is_some();
    let mut field = Field {
        candidates: std::mem::take(&mut space.candidates),
        measure: if priced { Measure::Bill } else { Measure::InstanceHours },
        most_days: question.most_days,
        seed: question.seed.unwrap_or(base.plan().seed),
        stop: watching.stop,
        progress: watching.progress,
    };
    let found = search(&mut field, &space, question);
    Ok(judge::judge(&base, question, space, field, found))
}

impl Question {
    fn check(&self) -> Result<(), RecommendError> {
        let checks = [
            ((0.5..=0.999).contains(&self.days_kept), "the share of days to be kept is 50 % to 99.9 %"),
            ((0.5..=0.9999).contains(&self.confidence), "the confidence is 50 % to 99.99 %"),
            (self.indifference > 0.0 && self.indifference <= 0.5, "the indifference is above 0 %, to 50 %"),
            (self.tolerance > 0.0 && self.tolerance <= 1.0, "the tolerance is above 0 %, to 100 %"),
            (self.most_days >= selection::FIRST_DAYS, "at least 10 days have to be allowed of a candidate"),
        ];
        checks
            .into_iter()
            .try_for_each(|(met, why)| if met { Ok(()) } else { Err(RecommendError::Question(why)) })
    }

    /// What is varied, as grids.
    fn grids(&self, draft: &Draft<'_>, plan: &crate::plan::Plan) -> Result<Vec<Vec<Axis>>, RecommendError> {
        match (&self.largest, self.vary.as_slice()) {
            (Some(axis), []) => Ok(vec![vec![space::spaced(axis, self.tolerance)?]]),
            (Some(_), _) => Err(RecommendError::LargestAlone),
            (None, []) => space::usual_grids(draft, plan),
            (None, [axis]) => Ok(vec![vec![space::spaced(axis, self.tolerance)?]]),
            (None, axes) => Ok(vec![axes.to_vec()]),
        }
    }

    /// The error that the answer may be wrong with.
    fn error(&self) -> f64 {
        1.0 - self.confidence
    }
}

/// What a search found.
struct Found {
    method: Method,
    best: Option<usize>,
    /// The test that decided.
    sprt: Sprt,
    /// Who was put out as dearer, without being tested to the end.
    dearer: Vec<bool>,
    notes: Vec<String>,
    finished: bool,
}

fn search(field: &mut Field<'_>, space: &Space, question: &Question) -> Found {
    let asked = (question.days_kept, question.error());
    let found = match &space.order {
        Some(order) => bisection(field, space, order, question),
        None => race(field, asked, question.indifference).map(|raced| of_race(field, raced, question)),
    };
    found.unwrap_or_else(|Interrupted| Found {
        method: if space.order.is_some() { Method::Bisection } else { Method::RankingAndSelection },
        best: None,
        sprt: Sprt::new(asked.0, asked.1 / field.candidates.len() as f64),
        dearer: vec![false; field.candidates.len()],
        notes: Vec::new(),
        finished: false,
    })
}

fn of_race(field: &Field<'_>, raced: Raced, question: &Question) -> Found {
    let mut notes = Vec::new();
    if !raced.tied.is_empty() {
        notes.push(format!(
            "{} more that hold could not be told from the recommended one by cost within {} days each",
            raced.tied.len(),
            question.most_days
        ));
    }
    if !raced.open.is_empty() {
        notes.push(format!(
            "{} cheaper candidates may hold: {} days of each did not say",
            raced.open.len(),
            field.most_days
        ));
    }
    let Raced { best, sprt, dearer, .. } = raced;
    Found { method: Method::RankingAndSelection, best, sprt, dearer, notes, finished: true }
}

fn bisection(
    field: &mut Field<'_>,
    space: &Space,
    order: &[usize],
    question: &Question,
) -> Result<Found, Interrupted> {
    let asked = (question.days_kept, question.error());
    let Bisected { holds, sprt, monotone } = bisect(field, order, Some(space.present), asked)?;
    field.settle(space.present, &sprt)?; // where it has no place in the order
    let mut notes = match monotone {
        Monotone::Consistent => Vec::new(),
        Monotone::DaysCross(days) => vec![format!(
            "on some days (of all pairs {days}) a candidate kept what another with more did not: the error was shared \
             among all candidates"
        )],
        Monotone::Contradicted => vec![
            "more did not always do better: the assumption of bisection fails, and all candidates of the range were tested"
                .to_string(),
        ],
    };
    let best = if question.largest.is_some() {
        holds.last().copied()
    } else {
        let boundary = boundary(field, order, &holds, &sprt);
        let cheapest = holds.iter().copied().min_by(|&a, &b| cheaper(field, a, b));
        let zone = |other: usize| {
            boundary.and_then(|boundary| field.candidates[boundary].dearer_than(&field.candidates[other]))
        };
        let clearly = cheapest.filter(|&other| zone(other).is_some_and(|by| by > question.indifference));
        if clearly.is_some() && boundary.is_some() && monotone != Monotone::Contradicted {
            notes.push(
                "cost does not grow with what the value can do: one that was not played may be cheaper still; \
                 give the values as a list to have all of them compared"
                    .to_string(),
            );
        }
        clearly.or(boundary)
    };
    let outside = !order.contains(&space.present)
        && question.largest.is_none()
        && field.decide(space.present, &sprt) == Some(Decision::Holds)
        && best.is_none_or(|best| cheaper(field, space.present, best).is_lt());
    let best = if outside { Some(space.present) } else { best };
    let dearer = vec![false; field.candidates.len()];
    Ok(Found { method: Method::Bisection, best, sprt, dearer, notes, finished: true })
}

/// Of those that hold, the one next to the failing side; the cheaper end where none fails.
fn boundary(field: &Field<'_>, order: &[usize], holds: &[usize], sprt: &Sprt) -> Option<usize> {
    let (first, last) = (*order.first()?, *order.last()?);
    let held = |index: usize| field.decide(index, sprt) == Some(Decision::Holds);
    match (held(first), held(last)) {
        (false, _) => holds.first().copied(),
        (true, false) => holds.last().copied(),
        (true, true) => {
            // Of ends that cost the same, the one with the smaller value.
            let by = field.candidates[last].dearer_than(&field.candidates[first]);
            Some(if by.is_some_and(|by| by < 0.0) { last } else { first })
        }
    }
}
