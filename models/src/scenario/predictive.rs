//! `predictive = { … }` of a group: predictive scaling, and the days before the run that it knows.

use std::sync::Arc;

use sim_core::{Span, Time};

use super::node::Node;
use super::reader::{Reader, choice};
use super::units::{Factor, Positive};
use super::{Context, replay, traffic};
use crate::plan::{Metric, Predictive};
use crate::scaling::{LEAST_HISTORY, MOST_HISTORY, MaxCapacityBreach, PastLoad, PredictiveMode};

/// The longest scheduling buffer.
const MOST_BUFFER: Span = Span::from_secs(3_600);
/// Days of history that are generated where nothing is said.
const DAYS: u32 = 14;
/// The largest coefficient of variation of generated days: beyond it hours would often be below zero.
const MOST_NOISE: f64 = 1.0;
const HOUR: f64 = 3_600.0;

/// Reads a predictive scaling policy.
pub fn predictive(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Predictive> {
    let metric = metric(context, table);
    let target = table.required::<Positive>("target");
    if metric == Some(Metric::Cpu) && target.is_some_and(|target| target.0 > 100.0) {
        let help = Some("the metric is CPU utilisation in percent".to_string());
        let message = "a CPU target above 100 % cannot be held";
        context.findings.error(&table.place_of("target"), message, "expected 1 to 100", help);
    }
    let mode = one_of(context, table, "mode", &["forecast-only", "forecast-and-scale"]);
    let scheduling_buffer = table.or("scheduling_buffer_time", Span::from_secs(300));
    if scheduling_buffer > MOST_BUFFER {
        let message = format!("a scheduling buffer of {scheduling_buffer}");
        let label = format!("expected 0 to {MOST_BUFFER}");
        context.findings.error(&table.place_of("scheduling_buffer_time"), message, label, None);
    }
    let breach = breach(context, table);
    let history = history(context, table);
    Some(Predictive {
        metric: metric?,
        target: target?.0,
        mode: match mode? {
            "forecast-only" => PredictiveMode::ForecastOnly,
            _ => PredictiveMode::ForecastAndScale,
        },
        scheduling_buffer,
        breach: breach?,
        history: history?,
    })
}

/// The pair of metrics. The load of sessions follows no requests of the past, so there is none for them.
fn metric(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Metric> {
    one_of(context, table, "metric", &["cpu", "requests_per_target"]).map(|name| match name {
        "cpu" => Metric::Cpu,
        _ => Metric::RequestCountPerTarget,
    })
}

/// A choice without parameters; the first is the default.
pub fn one_of(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    known: &[&'static str],
) -> Option<&'static str> {
    let path = table.path_of(key);
    let chosen = match table.node(key) {
        Some(node) => {
            let (name, entry) = choice(context.findings, &path, node, known)?;
            if let Some(entry) = entry {
                let message = format!("`{path}.{name}` has no parameters");
                context.findings.error(&entry.place, message, format!("expected \"{name}\""), None);
            }
            known.iter().copied().find(|other| *other == name)?
        }
        None => known.first().copied()?,
    };
    table.resolve(key, chosen);
    Some(chosen)
}

fn breach(context: &Context<'_>, table: &mut Reader<'_>) -> Option<MaxCapacityBreach> {
    let known = ["honor-max-capacity", "increase-max-capacity"];
    let behavior = one_of(context, table, "max_capacity_breach_behavior", &known)?;
    if behavior == known[0] {
        if table.node("max_capacity_buffer").is_some() {
            let message = "a buffer above a maximum that holds";
            let help = Some(format!("add `max_capacity_breach_behavior = \"{}\"`", known[1]));
            context.findings.error(&table.place_of("max_capacity_buffer"), message, "leave this out", help);
        }
        return Some(MaxCapacityBreach::HonorMaxCapacity);
    }
    let buffer = table.or("max_capacity_buffer", 0u32);
    if buffer > 100 {
        let message = format!("a buffer of {buffer} %");
        context.findings.error(&table.place_of("max_capacity_buffer"), message, "expected 0 to 100", None);
    }
    Some(MaxCapacityBreach::IncreaseMaxCapacity { buffer })
}

/// The hours before the run: of a trace, of a profile, or none.
fn history(context: &Context<'_>, table: &mut Reader<'_>) -> Option<PastLoad> {
    let path = table.path_of("history");
    let Some(node) = table.node("history") else {
        if context.duration.as_secs_f64() <= HOUR * LEAST_HISTORY as f64 {
            let help = Some(
                "add `history = { days = 14, noise = 0.1, profile = … }` or `{ trace = … }`".to_string(),
            );
            let message =
                format!("`{}` has less than {LEAST_HISTORY} h of history", table.path_of("history"));
            let label = "without a history it would have to come from a run that is longer than a day";
            context.findings.error(table.place(), message, label, help);
        } else {
            context.findings.note(format!(
                "`{path}`: none, so that the first forecast is made after {LEAST_HISTORY} h of the run"
            ));
        }
        return Some(PastLoad::default());
    };
    let mut options = Reader::new(context.findings, path.clone(), node);
    let (profile, trace) = (options.node("profile"), options.node("trace"));
    let hours = match (profile, trace) {
        (Some(profile), None) => generated(context, &mut options, &path, profile),
        (None, Some(trace)) => recorded(context, &mut options, &path, trace),
        _ => {
            let _ = (options.node("days"), options.node("noise"));
            options.missing("profile", "either `profile`, past days of the same shape, or `trace`");
            None
        }
    };
    table.resolve("history", options.finish());
    hours
}

/// Past days with the shape of a profile, and noise.
fn generated(context: &Context<'_>, options: &mut Reader<'_>, path: &str, node: &Node) -> Option<PastLoad> {
    let days = options.or("days", DAYS);
    if !(1..=DAYS).contains(&days) {
        let label = format!("expected 1 to {DAYS}: a forecast needs 24 h and looks at two weeks");
        context.findings.error(&options.place_of("days"), format!("a history of {days} days"), label, None);
    }
    let noise = options.or("noise", Factor(0.0)).0;
    if noise > MOST_NOISE {
        let message = format!("noise with a coefficient of variation of {noise}");
        context.findings.error(&options.place_of("noise"), message, "expected 0 to 1", None);
    }
    let profile = traffic::profile(context, options, &format!("{path}.profile"), node);
    let days = days.clamp(1, DAYS);
    let hour = Span::from_secs(3_600);
    let length = hour.saturating_mul(24 * u64::from(days));
    let midnight = Span::from_nanos(context.time_of_day().as_nanos() / hour.as_nanos() * hour.as_nanos());
    let weekday = (u32::from(context.weekday()) + 7 * DAYS - days) % 7;
    let rate = profile?.rate(length, midnight, weekday as u8);
    let mean = |index: u64| {
        let from = Time::ZERO + hour.saturating_mul(index);
        Some(rate.integral(from, from + hour) / HOUR)
    };
    let hours: Arc<[Option<f64>]> = (0..24 * u64::from(days)).map(mean).collect();
    Some(PastLoad { hours, noise })
}

/// Past days as they were recorded.
fn recorded(context: &Context<'_>, options: &mut Reader<'_>, path: &str, node: &Node) -> Option<PastLoad> {
    for key in ["days", "noise"] {
        if options.node(key).is_some() {
            let message = format!("`{path}.{key}` does not go with a trace, which says what was");
            context.findings.error(&options.place_of(key), message, "leave this out", None);
        }
    }
    let mut hours = replay::past(context, options, &format!("{path}.trace"), node)?;
    if hours.len() < LEAST_HISTORY {
        let message = format!("the trace has {} whole hours", hours.len());
        let label = format!("a forecast needs {LEAST_HISTORY}");
        context.findings.error(&node.place, message, label, None);
    }
    hours.drain(..hours.len().saturating_sub(MOST_HISTORY));
    Some(PastLoad { hours: hours.into_iter().map(Some).collect(), noise: 0.0 })
}
