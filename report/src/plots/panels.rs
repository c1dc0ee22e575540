//! The panels: load, response time, instances, CPU, cost.

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use scalesim::results::{ActivityKind, ObjectiveResult, Results, Row};

use super::frame::{
    Area, BLUE, DrawError, Frame, GREEN, INK, ORANGE, PURPLE, SERIES, SKY, Stroke, VERMILION, steps, whole,
};
use super::{Picture, queues, sessions};
use crate::text::{count, short, value};

/// Draws one panel.
pub fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    results: &Results,
    panel: Picture,
) -> Result<(), DrawError<DB>> {
    match panel {
        Picture::ResponseTime => response_time(area, results),
        Picture::Instances => instances(area, results),
        Picture::Cpu => cpu(area, results),
        Picture::Cost => cost(area, results),
        Picture::CostByHour => super::cost::draw(area, results),
        Picture::Sessions => sessions::draw(area, results),
        Picture::Queues => queues::depth(area, results),
        Picture::OldestMessage => queues::age(area, results),
        Picture::Jobs => queues::jobs(area, results),
        Picture::JobTime => queues::job_time(area, results),
        Picture::Load | Picture::Overview => load(area, results),
    }
}

/// A value of each row, in the middle of its interval.
pub(super) fn series(results: &Results, of: impl Fn(&Row) -> f64) -> Vec<(f64, f64)> {
    let half = results.run.interval / 2.0;
    results
        .run
        .series
        .iter()
        .map(|row| (row.at + half, of(row)))
        .filter(|point| point.1.is_finite())
        .collect()
}

pub(super) fn highest<'a>(lines: impl IntoIterator<Item = &'a Vec<(f64, f64)>>) -> f64 {
    lines.into_iter().flatten().map(|point| point.1).fold(0.0, f64::max)
}

fn load<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let offered = series(results, |row| row.offered);
    let errors = series(results, |row| row.errors);
    let at = results.run.series.iter().filter_map(|row| Some((row.at, row.capacity?)));
    let capacity = steps(at, results.run.interval);
    let mut legend = vec![
        ("offered load".to_string(), BLUE, Stroke::Solid),
        ("capacity of serving instances".to_string(), ORANGE, Stroke::Solid),
    ];
    let failing = errors.iter().any(|point| point.1 > 0.0);
    if failing {
        legend.push(("errors".to_string(), VERMILION, Stroke::Solid));
    }
    let frame = Frame {
        title: format!("{}: load and capacity, requests per second", results.scenario),
        legend,
        highest: highest([&offered, &capacity]),
        lowest: 0.0,
        log: false,
        label: |value| format!("{}/s", count(value)),
    };
    let mut panel = frame.open(area, results)?;
    panel.area(&offered, SKY)?;
    panel.line(&whole(&capacity), ORANGE, 2)?;
    panel.line(&whole(&offered), BLUE, 2)?;
    if failing {
        panel.line(&whole(&errors), VERMILION, 2)?;
    }
    Ok(())
}

/// The objectives about times of requests, or of `jobs`.
fn of_times(results: &Results, jobs: bool) -> impl Iterator<Item = &ObjectiveResult> {
    results.run.objectives.iter().filter(move |objective| objective.unit == "s" && objective.jobs == jobs)
}

/// The windows of such objectives that broke them, where such windows follow one another as one stretch.
fn broken(results: &Results, jobs: bool) -> Vec<(f64, f64)> {
    let windows =
        of_times(results, jobs).flat_map(|objective| &objective.violations).map(|violation| violation.window);
    let mut stretches: Vec<(f64, f64)> = windows.map(|window| (window.from, window.to)).collect();
    stretches.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (from, to) in stretches {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Bounds of times, with what stands at their line; objectives with the same bound share a label.
fn bounds(results: &Results, jobs: bool) -> Vec<(f64, String)> {
    let mut labels: Vec<(f64, String)> = Vec::new();
    for objective in of_times(results, jobs) {
        let (bound, name, text) = (objective.bound, &objective.name, &objective.objective);
        match labels.iter_mut().find(|(other, _)| *other == bound) {
            // `a, b: p99 <= 1s` where they say the same.
            Some((_, label)) if label.ends_with(&format!(": {text}")) => {
                label.truncate(label.len() - text.len() - 2);
                label.push_str(&format!(", {name}: {text}"));
            }
            Some((_, label)) => label.push_str(&format!("; {name}: {text}")),
            None => labels.push((bound, format!("{name}: {text}"))),
        }
    }
    labels
}

/// A quantile of each row: its name, its colour, and where it stands.
pub(super) type Quantile = (&'static str, RGBColor, fn(&Row) -> Option<f64>);

fn response_time<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    const QUANTILES: [Quantile; 3] =
        [("p50", SKY, |row| row.p50), ("p95", BLUE, |row| row.p95), ("p99", PURPLE, |row| row.p99)];
    times(area, results, "response time", &QUANTILES, false)
}

/// Quantiles of times against the objectives of requests, or of `jobs`.
pub(super) fn times<DB: DrawingBackend>(
    area: &Area<DB>,
    results: &Results,
    title: &str,
    quantiles: &[Quantile],
    jobs: bool,
) -> Result<(), DrawError<DB>> {
    let bounds = bounds(results, jobs);
    let half = results.run.interval / 2.0;
    let line = |of: fn(&Row) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
        results.run.series.iter().map(|row| (row.at + half, of(row))).collect()
    };
    let seen = || quantiles.iter().flat_map(|(.., of)| results.run.series.iter().filter_map(*of));
    let bound = || bounds.iter().map(|bound| bound.0);
    let highest = seen().chain(bound()).fold(0.0, f64::max);
    let lowest = seen().filter(|&time| time > 0.0).chain(bound()).fold(f64::INFINITY, f64::min);
    let log = lowest.is_finite() && highest > 12.0 * lowest;
    let mut legend: Vec<(String, RGBColor, Stroke)> =
        quantiles.iter().map(|(name, colour, _)| (name.to_string(), *colour, Stroke::Solid)).collect();
    if !bounds.is_empty() {
        legend.push(("objective".to_string(), VERMILION, Stroke::Dashed));
    }
    let broken = broken(results, jobs);
    if !broken.is_empty() {
        legend.push(("violated".to_string(), RGBColor(245, 205, 180), Stroke::Solid));
    }
    let scale = if log { " (logarithmic)" } else { "" };
    let frame = Frame {
        title: format!("{}: {title}{scale}", results.scenario),
        legend,
        highest,
        lowest: if log { lowest * 0.8 } else { 0.0 },
        log,
        label: |seconds| if seconds >= 10.0 { format!("{} s", short(seconds)) } else { value(seconds, "s") },
    };
    let mut panel = frame.open(area, results)?;
    panel.shade(&broken, VERMILION)?;
    for (_, colour, of) in quantiles {
        panel.line(&line(*of), *colour, 2)?;
    }
    for (bound, name) in bounds {
        panel.level(bound, &name, VERMILION)?;
    }
    Ok(())
}

/// Which activities the plot marks, how, and what the legend calls them.
const MARKED: [(ActivityKind, char, RGBColor, &str); 12] = [
    (ActivityKind::ScaleOut, '↑', GREEN, "scale out"),
    (ActivityKind::ScaleIn, '↓', BLUE, "scale in"),
    (ActivityKind::Scheduled, '•', PURPLE, "scheduled"),
    (ActivityKind::Manual, '•', INK, "by hand"),
    (ActivityKind::ReleaseStarted, '+', PURPLE, "release"),
    (ActivityKind::ReleaseFailed, '!', PURPLE, "release failed"),
    (ActivityKind::Crash, '✗', VERMILION, "crash"),
    (ActivityKind::Interruption, 'S', VERMILION, "taken back"),
    (ActivityKind::GaveUp, '×', VERMILION, "given up"),
    (ActivityKind::IncidentBegan, '!', VERMILION, "incident"),
    (ActivityKind::IncidentOver, '✓', GREEN, "over"),
    (ActivityKind::Network, '•', ORANGE, "network"),
];

fn instances<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let run = &results.run;
    let sum = |of: fn(&scalesim::results::GroupRow) -> u32| {
        let rows = run.series.iter().map(|row| (row.at, row.groups.iter().map(of).sum::<u32>().into()));
        steps(rows, run.interval)
    };
    let (desired, serving, starting) =
        (sum(|group| group.desired), sum(|group| group.serving), sum(|group| group.starting));
    let mut legend = vec![
        ("desired".to_string(), INK, Stroke::Solid),
        ("in service".to_string(), BLUE, Stroke::Solid),
        ("starting".to_string(), ORANGE, Stroke::Solid),
    ];
    let needed = needed(results);
    if !needed.is_empty() {
        legend.push(("would be enough".to_string(), PURPLE, Stroke::Solid));
    }
    let marks =
        MARKED.iter().filter(|(kind, ..)| run.activities.iter().any(|activity| activity.kind == *kind));
    legend.extend(marks.map(|&(_, marker, colour, name)| (name.to_string(), colour, Stroke::Marker(marker))));
    let top = highest([&desired, &serving, &starting, &needed]);
    let frame = Frame {
        title: format!("{}: instances", results.scenario),
        legend,
        highest: top * 1.15,
        lowest: 0.0,
        log: false,
        label: |value| if value.fract() == 0.0 { format!("{value:.0}") } else { String::new() },
    };
    let mut panel = frame.open(area, results)?;
    for activity in
        run.activities.iter().filter(|activity| MARKED.iter().any(|(kind, ..)| *kind == activity.kind))
    {
        panel.instant(activity.at)?;
    }
    panel.area(&serving, SKY)?;
    panel.line(&whole(&desired), INK, 1)?;
    panel.line(&whole(&serving), BLUE, 2)?;
    panel.line(&whole(&starting), ORANGE, 2)?;
    panel.line(&whole(&needed), PURPLE, 1)?;
    for (kind, marker, colour, _) in MARKED {
        for activity in run.activities.iter().filter(|activity| activity.kind == kind) {
            panel.marker((activity.at, top * 1.12), marker, colour)?;
        }
    }
    Ok(())
}

/// How many instances would have been enough, of all groups that an objective is about; nothing where there is none, or where
/// an interval is out of reach.
fn needed(results: &Results) -> Vec<(f64, f64)> {
    let of = |row: &Row| {
        let own = row.groups.iter().filter_map(|group| group.needed);
        own.map(f64::from).reduce(|sum, own| sum + own)
    };
    let rows: Option<Vec<(f64, f64)>> =
        results.run.series.iter().map(|row| Some((row.at, of(row)?))).collect();
    rows.map_or(Vec::new(), |rows| steps(rows.into_iter(), results.run.interval))
}

fn cpu<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let groups: Vec<(String, RGBColor, Stroke)> = (results.run.groups.iter())
        .zip(SERIES.iter().cycle())
        .map(|(group, colour)| (group.name.clone(), *colour, Stroke::Solid))
        .collect();
    let frame = Frame {
        title: format!("{}: CPU utilisation", results.scenario),
        legend: groups.iter().take(8).cloned().collect(),
        highest: 96.0,
        lowest: 0.0,
        log: false,
        label: |value| format!("{} %", short(value)),
    };
    let mut panel = frame.open(area, results)?;
    for (index, (_, colour, _)) in groups.iter().enumerate() {
        let line = series(results, |row| row.groups.get(index).map_or(f64::NAN, |group| group.cpu));
        panel.line(&whole(&line), *colour, 2)?;
    }
    Ok(())
}

fn cost<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let spent = series(results, |row| row.cost.unwrap_or(f64::NAN));
    let currency =
        results.run.bill.as_ref().map_or("no prices in the scenario", |bill| bill.currency.as_str());
    let frame = Frame {
        title: format!("{}: cost so far ({currency})", results.scenario),
        legend: vec![("spent".to_string(), GREEN, Stroke::Solid)],
        highest: highest([&spent]),
        lowest: 0.0,
        log: false,
        label: short,
    };
    let mut panel = frame.open(area, results)?;
    panel.area(&spent, GREEN)?;
    panel.line(&whole(&spent), GREEN, 2)
}
