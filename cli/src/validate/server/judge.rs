//! Measured beside predicted for each load, which of two servers is the faster, and whether that may be judged.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{Calibration, Measurements, Outcome, Run};
use super::predict::{self, Prediction, predict};
use crate::validate::judge::{Compared, FEWEST, Verdict, compare, disturbed, drifted, percent};

/// How far off the mean may be, up to [`USUAL`].
const MEAN: f64 = 0.10;
/// How far off the 95th percentile may be.
const P95: f64 = 0.12;
/// Up to this utilisation chance decides little.
const USUAL: f64 = 0.7;
/// How far off both may be beyond it, or the run's own interval where that is wider.
const BUSY: f64 = 0.15;
/// The highest utilisation that is judged at all.
pub const HIGHEST: f64 = 0.9;
/// CPU time of a request may differ by this between a load and the calibrations: the machine changes its speed.
const SPEED: f64 = 0.06;
/// The load may be late by this much of the response time, at its 99th percentile.
const LATE: f64 = 0.25;
/// What a vCPU is kept busy by a request, by the throughput, may exceed its CPU time by this: else the server waits for
/// something, and could do more than it was asked to.
const UNSATURATED: f64 = 1.25;
/// Requests that may go to another process than was drawn for them, as all connections of theirs were busy or closed.
const REROUTED: f64 = 0.01;

/// A server at a utilisation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The server, by its place.
    pub server: usize,
    /// What share of its throughput was asked for.
    pub utilisation: f64,
    /// Requests per second, on average over the repetitions that count.
    pub rate: f64,
    /// Repetitions that count.
    pub used: usize,
    /// Repetitions that do not, and why.
    pub refused: Vec<String>,
    /// The mean response time, in nanoseconds.
    pub mean: Compared,
    /// The 95th percentile.
    pub p95: Compared,
    /// How far off mean and percentile may be.
    pub bounds: [f64; 2],
    /// CPU time of a request, and what is beside it, in nanoseconds.
    pub service: [f64; 2],
    /// What came of it.
    pub verdict: Verdict,
}

/// Which of two servers answers sooner on average, at the same utilisation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// The utilisation.
    pub utilisation: f64,
    /// The one that was measured to be faster, by its place.
    pub faster: usize,
    /// The other.
    pub slower: usize,
    /// How much longer that one took, of what the faster took.
    pub measured: f64,
    /// The same as predicted: below zero where the order is the other.
    pub predicted: f64,
    /// What came of it; inconclusive where both overlap.
    pub verdict: Verdict,
}

/// All loads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// By server and utilisation.
    pub rows: Vec<Row>,
    /// By utilisation and pair.
    pub rankings: Vec<Ranking>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in words.
    pub why: Vec<String>,
}

/// Predicts and compares. `Err` where the model cannot play what was measured.
pub fn judge(measured: &Measurements) -> Result<Judgement, String> {
    let mut loads: BTreeMap<(usize, u64), Vec<&Run>> = BTreeMap::new();
    for run in &measured.runs {
        loads.entry((run.server, (run.utilisation * 1e6) as u64)).or_default().push(run);
    }
    let rows: Result<Vec<Option<Row>>, String> = loads.values().map(|runs| row(measured, runs)).collect();
    let rows: Vec<Row> = rows?.into_iter().flatten().collect();
    let rankings = rankings(&rows);
    let (verdict, why) = overall(&rows, &rankings);
    Ok(Judgement { rows, rankings, verdict, why })
}

fn row(measured: &Measurements, runs: &[&Run]) -> Result<Option<Row>, String> {
    let (mut refused, mut quiet) = (Vec::new(), Vec::new());
    let server = runs.first().and_then(|run| measured.servers.get(run.server));
    let server = server.ok_or("a load on a server that is not there")?;
    let at_once = f64::from(predict::runtime(&server.runtime)?.computing_threads(server.vcpus.max(1)));
    for &run in runs {
        match refuse(run, at_once) {
            Some(why) => refused.push(why),
            None => quiet.push(run),
        }
    }
    let used = quiet.len();
    // Where none counts all are shown, and none judged.
    let shown: &[&Run] = if quiet.is_empty() { runs } else { &quiet };
    let predictions: Result<Vec<Prediction>, String> =
        shown.iter().map(|run| predict(measured, run)).collect();
    let pairs: Vec<(&Run, Prediction)> = shown.iter().copied().zip(predictions?).collect();
    let count = pairs.len() as f64;
    let average = |figure: &dyn Fn(&(&Run, Prediction)) -> f64| pairs.iter().map(figure).sum::<f64>() / count;
    let of = |measured: fn(&Run) -> f64, predicted: fn(&Prediction) -> f64| {
        compare(pairs.iter().map(|(run, prediction)| (measured(run), predicted(prediction))))
    };
    let (Some(&first), Some(mean), Some(p95)) = (
        runs.first(),
        of(|run| run.measured.mean, |prediction| prediction.mean),
        of(|run| run.measured.p95, |prediction| prediction.p95),
    ) else {
        return Ok(None);
    };
    let own = |width: fn(&Run) -> Option<f64>, figure: fn(&Run) -> f64| {
        average(&|(run, _)| width(run).map_or(0.0, |width| width / figure(run).max(1.0)))
    };
    let bounds = if first.utilisation <= USUAL + 1e-9 {
        [MEAN, P95]
    } else {
        [
            BUSY.max(own(|run| run.measured.mean_half_width, |run| run.measured.mean)),
            BUSY.max(own(|run| run.measured.p95_half_width, |run| run.measured.p95)),
        ]
    };
    let verdict = if used < FEWEST || used < refused.len() || first.utilisation > HIGHEST {
        Verdict::Inconclusive
    } else if mean.error.abs() <= bounds[0] && p95.error.abs() <= bounds[1] {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    Ok(Some(Row {
        server: first.server,
        utilisation: first.utilisation,
        rate: average(&|(run, _)| run.rate),
        used,
        refused,
        mean,
        p95,
        bounds,
        service: [average(&|pair| pair.1.demand), average(&|pair| pair.1.beside)],
        verdict,
    }))
}

/// Why a load must not be judged, if that is so. The server can work on so many requests at once.
pub fn refuse(run: &Run, at_once: f64) -> Option<String> {
    let measured = &run.measured;
    if measured.failed > 0 {
        return Some(format!("{} of {} requests failed", measured.failed, measured.requests));
    }
    if let Some(why) = disturbed(measured.others, measured.steal) {
        return Some(why);
    }
    let [before, after] = &run.calibrations;
    for (what, drift) in [
        ("throughput", drifted(before.throughput, after.throughput)),
        ("the response time without load", drifted(before.alone, after.alone)),
    ] {
        if let Some(drift) = drift {
            return Some(format!("{what} changed by {} meanwhile", percent(drift)));
        }
    }
    let calibration = Calibration::between(&run.calibrations);
    if let Some(cpu) =
        calibration.cpu.filter(|&cpu| at_once / calibration.throughput * 1e9 > UNSATURATED * cpu)
    {
        return Some(format!(
            "the server could not be kept busy: it takes {:.2} ms of CPU time for a request, and does {:.0} a second",
            cpu / 1e6,
            calibration.throughput
        ));
    }
    let calibrated = calibration.cpu;
    if let Some(changed) = measured.cpu.zip(calibrated).map(|(cpu, calibrated)| cpu / calibrated - 1.0)
        && changed.abs() > SPEED
    {
        return Some(format!(
            "a request took {:+.0} % CPU time of what it took before and after",
            100.0 * changed
        ));
    }
    if measured.rerouted as f64 > REROUTED * measured.requests as f64 {
        let Outcome { rerouted, requests, .. } = measured;
        return Some(format!(
            "{rerouted} of {requests} requests went to another process than was drawn for them"
        ));
    }
    let late = measured.late / measured.mean.max(1.0);
    (late > LATE).then(|| {
        format!("requests were sent too late: 1 % of them by {} of the response time", percent(late))
    })
}

/// Compares all servers at each utilisation.
fn rankings(rows: &[Row]) -> Vec<Ranking> {
    let mut rankings = Vec::new();
    for (index, one) in rows.iter().enumerate() {
        for other in rows[index + 1..].iter().filter(|other| other.utilisation == one.utilisation) {
            let (faster, slower) =
                if one.mean.measured <= other.mean.measured { (one, other) } else { (other, one) };
            let judged =
                [faster, slower].iter().all(|row| row.used >= FEWEST && row.used >= row.refused.len());
            let apart = faster.mean.high < slower.mean.low;
            let predicted = slower.mean.predicted / faster.mean.predicted - 1.0;
            rankings.push(Ranking {
                utilisation: one.utilisation,
                faster: faster.server,
                slower: slower.server,
                measured: slower.mean.measured / faster.mean.measured.max(1.0) - 1.0,
                predicted,
                verdict: match (judged && apart, predicted > 0.0) {
                    (false, _) => Verdict::Inconclusive,
                    (true, true) => Verdict::Pass,
                    (true, false) => Verdict::Fail,
                },
            });
        }
    }
    rankings.sort_by(|a, b| a.utilisation.total_cmp(&b.utilisation));
    rankings
}

/// The verdict over all, and why.
fn overall(rows: &[Row], rankings: &[Ranking]) -> (Verdict, Vec<String>) {
    let of = |verdict: Verdict| rows.iter().filter(move |row| row.verdict == verdict).count();
    let (passed, failed, open) = (of(Verdict::Pass), of(Verdict::Fail), of(Verdict::Inconclusive));
    let wrong = rankings.iter().filter(|ranking| ranking.verdict == Verdict::Fail).count();
    let refused: Vec<&String> = rows.iter().flat_map(|row| &row.refused).collect();
    let mut why = Vec::new();
    if wrong > 0 {
        why.push(format!(
            "{wrong} of {} times another server was predicted to be the faster",
            rankings.len()
        ));
    }
    if failed > 0 {
        why.push(format!("{failed} of {} loads are outside the bounds", passed + failed));
    }
    let verdict = match (failed + wrong, passed) {
        (1.., _) => Verdict::Fail,
        (0, 1..) if open == 0 => {
            why.push(format!("all {passed} loads are within the bounds"));
            Verdict::Pass
        }
        _ => {
            why.push(format!(
                "{open} of {} loads were disturbed, too high, or repeated too seldom to be judged",
                open + passed
            ));
            Verdict::Inconclusive
        }
    };
    if let Some(first) = refused.first() {
        let all = refused.len() + rows.iter().map(|row| row.used).sum::<usize>();
        why.push(format!("{} of {all} repetitions do not count, as in: {first}", refused.len()));
    }
    (verdict, why)
}
