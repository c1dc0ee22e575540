//! Measured beside predicted, and whether the difference may be judged at all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{Batch, Form, Measurements, Order, Place, Role, Setup, median};
use super::fit::{Fitted, fit};
use super::predict::{Prediction, predict};

/// How far off the last completion may be.
pub const MAKESPAN: f64 = 0.05;
/// How far off the switches of a job may be.
pub const SWITCHES: f64 = 0.20;
/// Other programs may use this much of the machine.
const OTHERS: f64 = 0.05;
/// Jobs that have a vCPU each may wait for it this much of their time.
const DELAY: f64 = 0.03;
/// What is calibrated before and after may differ by this.
const DRIFT: f64 = 0.10;
/// The hypervisor may withhold this much.
const STEAL: f64 = 0.03;
/// Fewer repetitions than this say nothing.
pub const FEWEST: usize = 2;

/// What came of comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Used for the fit: there is nothing to judge.
    Fitted,
    /// Within the bounds.
    Pass,
    /// Outside.
    Fail,
    /// The machine was too noisy, or too little was measured.
    Inconclusive,
}

impl Verdict {
    /// As tables say it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Fitted => "fitted",
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// A quantity, measured several times and predicted as often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The median of what was measured.
    pub measured: f64,
    /// The least that was measured.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// The median of the predictions, each with the speed around its own repetition.
    pub predicted: f64,
    /// The median of the errors of the repetitions: predicted over measured, less one.
    pub error: f64,
}

impl Compared {
    /// The benchmark's own repeat spread: half the range, of the median.
    pub fn spread(&self) -> f64 {
        if self.measured > 0.0 { (self.high - self.low) / 2.0 / self.measured } else { 0.0 }
    }

    /// As plots take it, divided by a unit.
    pub fn plotted(&self, unit: f64) -> scalesim_report::Measured {
        scalesim_report::Measured {
            measured: self.measured / unit,
            low: self.low / unit,
            high: self.high / unit,
            predicted: self.predicted / unit,
        }
    }
}

/// One setup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was run.
    pub setup: Setup,
    /// Repetitions that count.
    pub used: usize,
    /// Repetitions that do not, and why.
    pub refused: Vec<String>,
    /// When the last job was done, in nanoseconds. The one completion that is judged.
    pub makespan: Compared,
    /// When the jobs were done on average.
    pub mean: Compared,
    /// When the first was.
    pub first: Compared,
    /// Switches of a job because it had to give way; `None` where the kernel does not count them.
    pub involuntary: Option<Compared>,
    /// How much faster the jobs were than one after another on an idle vCPU.
    pub speed_up: Compared,
    /// What came of it.
    pub verdict: Verdict,
}

/// All setups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The parameters.
    pub fitted: Fitted,
    /// By setup.
    pub rows: Vec<Row>,
    /// Repetitions of judged setups that count.
    pub used: usize,
    /// Repetitions of judged setups that do not.
    pub refused: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in words.
    pub why: Vec<String>,
}

/// Fits, predicts and compares. `None` where nothing was measured that can be fitted.
pub fn judge(measured: &Measurements) -> Option<Judgement> {
    let fitted = fit(measured)?;
    let mut setups: BTreeMap<Setup, Vec<&Batch>> = BTreeMap::new();
    for batch in &measured.batches {
        setups.entry(batch.setup).or_default().push(batch);
    }
    let rows: Vec<Row> = setups.iter().filter_map(|(setup, batches)| row(&fitted, *setup, batches)).collect();
    let judged = || rows.iter().filter(|row| row.setup.role == Role::Judge);
    let used = judged().map(|row| row.used).sum();
    let refused = judged().map(|row| row.refused.len()).sum();
    let (verdict, why) = overall(&rows, used, refused);
    Some(Judgement { fitted, used, refused, verdict, why, rows })
}

fn row(fitted: &Fitted, setup: Setup, batches: &[&Batch]) -> Option<Row> {
    let mut refused = Vec::new();
    let mut quiet = Vec::new();
    for &batch in batches {
        match refuse(batch, fitted.vcpus) {
            Some(why) => refused.push(why),
            None => quiet.push(batch),
        }
    }
    let used = quiet.len();
    // Where none counts all are shown, and none judged.
    let shown = if quiet.is_empty() { batches } else { &quiet };
    let pairs: Option<Vec<(&Batch, Prediction)>> =
        shown.iter().map(|&batch| Some((batch, predict(fitted, batch)?))).collect();
    let pairs = pairs?;
    let times = |measured: fn(&Batch) -> f64, predicted: fn(&Prediction) -> f64| {
        compare(pairs.iter().map(|(batch, prediction)| (measured(batch), predicted(prediction))))
    };
    let makespan = times(Batch::makespan, |prediction| prediction.makespan)?;
    let switches: Option<Vec<(f64, f64)>> = pairs
        .iter()
        .map(|(batch, prediction)| Some((batch.involuntary()?, prediction.involuntary)))
        .collect();
    let speed_up = compare(pairs.iter().map(|(batch, prediction)| {
        let work = batch.per_iteration() * setup.iterations as f64 * f64::from(setup.jobs);
        (work / batch.makespan().max(1.0), work / prediction.makespan.max(1.0))
    }))?;
    let involuntary = switches.and_then(|pairs| compare(pairs.into_iter()));
    let crowded = crowded(&setup, fitted.vcpus);
    let switches_hold = involuntary.is_none_or(|switches| !crowded || switches.error.abs() <= SWITCHES);
    let verdict = if setup.role == Role::Fit {
        Verdict::Fitted
    } else if used < FEWEST || used < refused.len() {
        Verdict::Inconclusive
    } else if makespan.error.abs() <= MAKESPAN && switches_hold {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let mean = times(Batch::mean, |prediction| prediction.mean)?;
    let first = times(Batch::first, |prediction| prediction.first)?;
    Some(Row { setup, used, refused, makespan, mean, first, involuntary, speed_up, verdict })
}

/// True where jobs have to take turns, so that switches can be told from chance.
pub fn crowded(setup: &Setup, vcpus: u32) -> bool {
    setup.order == Order::Together && (setup.jobs > vcpus || (setup.place == Place::OnOne && setup.jobs > 1))
}

pub fn compare(pairs: impl Iterator<Item = (f64, f64)>) -> Option<Compared> {
    let pairs: Vec<(f64, f64)> = pairs.collect();
    let measured = || pairs.iter().map(|pair| pair.0);
    Some(Compared {
        measured: median(measured())?,
        low: measured().fold(f64::INFINITY, f64::min),
        high: measured().fold(f64::NEG_INFINITY, f64::max),
        predicted: median(pairs.iter().map(|pair| pair.1))?,
        // Nothing against nothing is no error.
        error: median(pairs.iter().map(|&(measured, predicted)| match (measured, predicted) {
            (0.0, 0.0) => 0.0,
            _ => predicted / measured.max(1e-9) - 1.0,
        }))?,
    })
}

/// Why a repetition must not be judged, if that is so.
pub fn refuse(batch: &Batch, vcpus: u32) -> Option<String> {
    if let Some(why) = disturbed(batch.others, batch.steal) {
        return Some(why);
    }
    let [before, after] = batch.calibrations.map(|lone| lone.per_iteration());
    if let Some(drift) = drifted(before, after) {
        return Some(format!("a lone job was {} slower or faster afterwards", percent(drift)));
    }
    // Pinned to one vCPU or more than there are, they wait by design.
    if !crowded(&batch.setup, vcpus) {
        let delay: Option<u64> = batch.jobs.iter().map(|job| job.counters.delay).sum();
        let time: u64 = batch.jobs.iter().map(|job| job.finished.saturating_sub(job.begun)).sum();
        let share = delay.map_or(0.0, |delay| delay as f64 / time.max(1) as f64);
        if share > DELAY {
            return Some(format!("jobs with a vCPU each waited for it {} of their time", percent(share)));
        }
    }
    None
}

/// Who else used the machine meanwhile, if that was too much: shares of other programs, and of the hypervisor.
pub fn disturbed(others: Option<f64>, steal: Option<f64>) -> Option<String> {
    if let Some(others) = others.filter(|&share| share > OTHERS) {
        return Some(format!("other programs used {} of the machine", percent(others)));
    }
    let steal = steal.filter(|&share| share > STEAL)?;
    Some(format!("the hypervisor withheld {} (steal)", percent(steal)))
}

/// By which share a calibration differs from the one before, where that is too much.
pub fn drifted(before: f64, after: f64) -> Option<f64> {
    let drift = (after - before).abs() / before.min(after).max(1e-9);
    (drift > DRIFT).then_some(drift)
}

/// A share, in words.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The verdict over all rows, and why.
fn overall(rows: &[Row], used: usize, refused: usize) -> (Verdict, Vec<String>) {
    let of = |verdict: Verdict| rows.iter().filter(move |row| row.verdict == verdict);
    let (passed, failed, open) =
        (of(Verdict::Pass).count(), of(Verdict::Fail).count(), of(Verdict::Inconclusive).count());
    let mut why = Vec::new();
    if refused > 0 {
        why.push(format!("{refused} of {} repetitions do not count:", used + refused));
        why.extend(disturbances(rows));
    }
    if refused > used {
        why.insert(0, "the machine is too noisy to judge the model".to_string());
        return (Verdict::Inconclusive, why);
    }
    if failed > 0 {
        why.insert(0, format!("{failed} of {} setups are outside the bounds", passed + failed));
        return (Verdict::Fail, why);
    }
    if open > 0 || passed == 0 {
        why.insert(0, format!("{open} setups were disturbed or repeated too seldom to be judged"));
        return (Verdict::Inconclusive, why);
    }
    why.insert(0, format!("all {passed} setups are within the bounds"));
    (Verdict::Pass, why)
}

/// What disturbed, a line for each kind, with an instance of it.
fn disturbances(rows: &[Row]) -> Vec<String> {
    let mut kinds: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for why in rows.iter().filter(|row| row.setup.role == Role::Judge).flat_map(|row| &row.refused) {
        let kind: String = why.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        kinds.entry(kind).or_insert((0, why)).0 += 1;
    }
    let mut sorted: Vec<(usize, &str)> = kinds.into_values().collect();
    sorted.sort_by_key(|entry| std::cmp::Reverse(entry.0));
    sorted.into_iter().map(|(times, why)| format!("{times} \u{d7} as in: {why}")).collect()
}

/// What a setup is called: `8 processes, pinned`.
pub fn name(setup: &Setup) -> String {
    let form = match (setup.form, setup.jobs) {
        (Form::Threads, 1) => "thread",
        (Form::Threads, _) => "threads",
        (Form::Processes, 1) => "process",
        (Form::Processes, _) => "processes",
    };
    let place = match setup.place {
        Place::Anywhere => "",
        Place::Dealt => ", pinned",
        Place::OnOne => ", on one vCPU",
    };
    let order = match setup.order {
        Order::Together => "",
        Order::InTurn => ", in turn",
    };
    format!("{} {form}{place}{order}", setup.jobs)
}
