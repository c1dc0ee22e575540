//! The answer: plain data, versioned, with every number that the report shows.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::closed_form::Prediction;
use super::doubt::Doubts;
use super::rewrite::{RewriteError, rewrite};
use crate::results::CauseKind;
use crate::scenario::Draft;

/// The version of the format that `recommendation.json` carries.
pub const SCHEMA: &str = "scalesim.recommendation/1";

/// What to run, why, and what speaks against the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of scalesim.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// The wall clock at the start, with its zone.
    pub start: String,
    /// The length of a day: of the scenario's run, in seconds.
    pub duration: f64,
    /// The seed of the first day.
    pub seed: u64,
    /// What was asked.
    pub asked: Asked,
    /// How it was answered.
    pub method: Method,
    /// The answer.
    pub verdict: Verdict,
    /// The recommended candidate, by its place in `candidates`.
    pub recommended: Option<usize>,
    /// The scenario as it stands, likewise.
    pub present: usize,
    /// Where nothing holds, the one that comes nearest: the most days kept, then the fewest minutes violated, then the closest to
    /// its bounds.
    pub nearest: Option<usize>,
    /// All candidates that could be read.
    pub candidates: Vec<CandidateResult>,
    /// Settings that could not be, and why.
    pub refused: Vec<Refused>,
    /// Minutes of the recommended candidate, or of the nearest, of which nothing can be concluded.
    pub doubts: Doubts,
    /// What queueing theory says.
    pub theory: Theory,
    /// What else is to be known: assumptions that did not hold, caps that were reached.
    pub notes: Vec<String>,
    /// Days played, of all candidates together.
    pub days_played: u64,
    /// False where it was interrupted.
    pub finished: bool,
}

impl Recommendation {
    /// The recommended scenario as a file: the text of the draft that was asked about, with what was set on top of it and what is
    /// recommended, its comments kept; `None` where nothing is recommended. See [`rewrite`] for `back`.
    ///
    /// # Errors
    /// Where the text cannot be changed so.
    pub fn file(&self, draft: &Draft<'_>, back: &Path) -> Result<Option<String>, RewriteError> {
        let Some(index) = self.recommended else { return Ok(None) };
        let own = self.candidates[index].settings.iter().filter(|_| index != self.present);
        let own = own.map(|setting| (setting.path.clone(), setting.value.clone()));
        let settings: Vec<(String, String)> = draft.overrides().iter().cloned().chain(own).collect();
        rewrite(draft.text(), &settings, &self.head(draft.name(), index), back).map(Some)
    }

    /// What stands at the head of that file.
    fn head(&self, file: &str, index: usize) -> String {
        let (asked, found) = (&self.asked, &self.candidates[index]);
        let what = if asked.largest { "The largest value" } else { "The cheapest of what was varied" };
        let mut lines = vec![format!(
            "{what} that keeps the SLA on at least {} % of days, with {} % confidence (scalesim {}).",
            100.0 * asked.days_kept,
            100.0 * asked.confidence,
            self.version
        )];
        if index == self.present {
            lines.push(format!("Nothing was changed from {file}."));
        } else {
            let present = &self.candidates[self.present].settings;
            let was = |path: &str| present.iter().find(|setting| setting.path == path);
            let changed = found.settings.iter().map(|setting| match was(&setting.path) {
                Some(was) => format!("{} = {} (was {})", setting.path, setting.value, was.value),
                None => format!("{} = {}", setting.path, setting.value),
            });
            lines.push(format!("Changed from {file}: {}.", changed.collect::<Vec<_>>().join(", ")));
        }
        let stood = &self.candidates[self.present];
        let beside =
            if index == self.present { String::new() } else { format!("; as it stood: {}", stood.reason) };
        lines.push(format!("Why: {}{beside}.", found.reason));
        lines.join("\n")
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What is varied, as of `--vary` or `--largest`.
    pub axes: Vec<String>,
    /// Whether the largest value that holds is wanted, and not the cheapest configuration.
    pub largest: bool,
    /// The share of days on which all objectives have to be kept.
    pub days_kept: f64,
    /// The share at which a candidate is taken for certain to be one that holds; between the two either answer is right.
    pub days_kept_for_certain: f64,
    /// The chance that the answer is right, at least.
    pub confidence: f64,
    /// The share of the cost that does not matter.
    pub indifference: f64,
    /// The most days that are played of a candidate.
    pub most_days: u32,
    /// What is to be least: `cost` or `instance hours`.
    pub measure: String,
    /// Its unit.
    pub unit: String,
}

/// How it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Bracket and bisect.
    Bisection,
    /// Constrained ranking and selection.
    RankingAndSelection,
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Change to the recommended candidate.
    Change,
    /// Keep what you have.
    Keep,
    /// No candidate holds.
    NothingHolds,
    /// No candidate was found to hold, and not all were found to break.
    Inconclusive,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is recommended.
    Recommended,
    /// It holds, and another is better.
    Holds,
    /// It is dearer than the recommended one; whether it holds was not looked into to the end.
    Dearer,
    /// Too few of its days are kept.
    Breaks,
    /// The most days do not say.
    Inconclusive,
    /// It was not played: a neighbour's days speak for it.
    NotPlayed,
}

/// A value that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its path, as of `--set`.
    pub path: String,
    /// The value.
    pub value: String,
}

/// A candidate, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateResult {
    /// What is set.
    pub settings: Vec<Setting>,
    /// Whether it is the scenario as it stands.
    pub present: bool,
    /// What became of it.
    pub standing: Standing,
    /// Why, in words and numbers.
    pub reason: String,
    /// Days played.
    pub days: u32,
    /// Days on which all objectives were kept.
    pub kept: u32,
    /// The interval of the share of days kept (Clopper and Pearson), at the stated confidence.
    pub kept_low: f64,
    /// Its upper end.
    pub kept_high: f64,
    /// The mean cost of a day, or its instance hours; `None` where no day was played.
    pub cost: Option<f64>,
    /// Half the width of its interval (Student-t), at the stated confidence; `None` with fewer than two days.
    pub cost_half_width: Option<f64>,
    /// By what share it is dearer than the recommended one, on days that both have.
    pub dearer: Option<f64>,
    /// About how many days it takes to say whether it holds; where it is inconclusive.
    pub days_needed: Option<u32>,
    /// The objectives that it broke, the one with the most broken days first.
    pub broken: Vec<Broken>,
    /// How a run ended early, where one did; such a day is not kept.
    pub ended_early: Option<String>,
    /// What queueing theory says of it, where a closed form applies.
    pub theory: Option<Prediction>,
}

/// An objective that a candidate broke.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// Its name.
    pub name: String,
    /// The objective as stated: `p99 <= 250ms`.
    pub objective: String,
    /// Days on which it was violated for longer than it allows.
    pub days: u32,
    /// Minutes of violation, the mean of all days.
    pub minutes: f64,
    /// Minutes that it allows.
    pub allowed: f64,
    /// The cause of most of them.
    pub cause: Option<CauseKind>,
    /// The worst window of all days.
    pub worst: Option<Worst>,
}

/// The worst window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// On which day, from 0.
    pub day: u32,
    /// Its start, in seconds since the start of the run.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// What was measured.
    pub value: f64,
    /// The unit: `s` or `%`.
    pub unit: String,
    /// Why, in words and numbers.
    pub explanation: String,
}

/// Settings that could not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// What would be set.
    pub settings: Vec<Setting>,
    /// Why that cannot be.
    pub why: String,
}

/// What queueing theory says of the candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theory {
    /// No closed form applies: the assumptions that are not met.
    None(Vec<String>),
    /// A closed form applies to the candidates.
    Applies {
        /// The model of the candidate that theory picks, or else of the present one.
        model: String,
        /// Its pick, by its place in `candidates`: the least that holds in the long run, or the largest.
        pick: Option<usize>,
        /// Whether that is the recommended one.
        agrees: bool,
    },
}

/// Settings in one line: `group.web.max = 5, group.web.min = 2`.
pub fn words(settings: &[Setting]) -> String {
    let each: Vec<String> = settings.iter().map(|one| format!("{} = {}", one.path, one.value)).collect();
    if each.is_empty() { "the scenario as it stands".to_string() } else { each.join(", ") }
}
