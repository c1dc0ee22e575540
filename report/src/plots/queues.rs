//! The panels of queues and of jobs.

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use scalesim::results::{JobsRow, QueueRow, Results};

use super::frame::{Area, BLUE, DrawError, Frame, GREEN, SERIES, SKY, Stroke, whole};
use super::panels::{Quantile, highest, series, times};
use crate::text::{count, short};

/// Whether there is anything to draw.
pub fn any(results: &Results) -> bool {
    !results.run.queues.is_empty()
}

/// Queues that are drawn; a legend has no room for more.
const MOST_QUEUES: usize = 4;

type Line = (String, RGBColor, u32, Vec<(f64, f64)>);

/// A line for each queue.
fn lines(results: &Results, name: &str, width: u32, of: fn(&QueueRow) -> f64) -> Vec<Line> {
    let queues = results.run.queues.iter().take(MOST_QUEUES).enumerate();
    let line = queues.zip(SERIES.iter().cycle()).map(|((index, queue), colour)| {
        let points = series(results, |row| row.queues.get(index).map_or(f64::NAN, of));
        (format!("{}{name}", queue.name), *colour, width, points)
    });
    line.collect()
}

fn draw_lines<DB: DrawingBackend>(
    area: &Area<DB>,
    results: &Results,
    title: &str,
    label: fn(f64) -> String,
    lines: &[Line],
) -> Result<(), DrawError<DB>> {
    let legend = lines.iter().map(|(name, colour, ..)| (name.clone(), *colour, Stroke::Solid)).collect();
    let highest = highest(lines.iter().map(|(.., points)| points));
    let title = format!("{}: {title}", results.scenario);
    let frame = Frame { title, legend, highest, lowest: 0.0, log: false, label };
    let mut panel = frame.open(area, results)?;
    for (_, colour, width, points) in lines {
        panel.line(&whole(points), *colour, *width)?;
    }
    Ok(())
}

/// Messages that wait and messages that are in flight.
pub fn depth<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let mut all = lines(results, ": waiting", 2, |row| row.visible as f64);
    let mut in_flight = lines(results, ": in flight (thin)", 1, |row| row.in_flight as f64);
    if let [(name, colour, width, _)] = in_flight.as_mut_slice() {
        (*colour, *width) = (SERIES[1], 2);
        name.truncate(name.len() - " (thin)".len());
    }
    all.append(&mut in_flight);
    draw_lines(area, results, "messages in queues", count, &all)
}

/// How old the oldest message is, in the unit that people would say it in.
pub fn age<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let mut lines = lines(results, "", 2, |row| row.oldest);
    let (unit, seconds) = match highest(lines.iter().map(|(.., points)| points)) {
        oldest if oldest >= 7_200.0 => ("hours", 3_600.0),
        oldest if oldest >= 120.0 => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    };
    lines.iter_mut().flat_map(|(.., points)| points).for_each(|point| point.1 /= seconds);
    draw_lines(area, results, &format!("age of the oldest message, {unit}"), short, &lines)
}

/// Jobs submitted and jobs done.
pub fn jobs<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let of = |value: fn(&JobsRow) -> f64| series(results, |row| row.jobs.as_ref().map_or(f64::NAN, value));
    let (submitted, done) = (of(|row| row.submitted), of(|row| row.done));
    let frame = Frame {
        title: format!("{}: jobs per second", results.scenario),
        legend: vec![
            ("submitted".to_string(), BLUE, Stroke::Solid),
            ("done".to_string(), GREEN, Stroke::Solid),
        ],
        highest: highest([&submitted, &done]),
        lowest: 0.0,
        log: false,
        label: |value| format!("{}/s", short(value)),
    };
    let mut panel = frame.open(area, results)?;
    panel.area(&submitted, SKY)?;
    panel.line(&whole(&submitted), BLUE, 2)?;
    panel.line(&whole(&done), GREEN, 2)
}

/// From submitting until known, against the objectives of jobs.
pub fn job_time<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    const QUANTILES: [Quantile; 2] = [("p50", SKY, |row| row.jobs?.p50), ("p95", BLUE, |row| row.jobs?.p95)];
    times(area, results, "jobs from submitting until known", &QUANTILES, true)
}
