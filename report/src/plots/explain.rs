//! What would have saved how many minutes of violation, a bar for each change; and the response times with the best two.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};
use scalesim::experiment::explain::{Course, Explanation};

use super::frame::{
    Area, BLUE, DrawError, FAINT, Frame, GREEN, INK, ORANGE, Stroke, VERMILION, font, round_step,
};
use crate::Clock;
use crate::text::{short, value};

/// Pixels above the bars, of a bar with its room, and below them.
const HEAD: i32 = 76;
const ROW: i32 = 34;
const FOOT: i32 = 52;
/// Where the scale begins and ends.
const SCALE: (i32, i32) = (330, 1080);
/// The height of the panel of response times.
const COURSE: i32 = 400;
/// Of the run as it was, and of the best two.
const COLOURS: [RGBColor; 3] = [VERMILION, BLUE, GREEN];

fn bars(what: &Explanation) -> i32 {
    HEAD + FOOT + ROW * what.counterfactuals.len().max(1) as i32
}

/// The height of the picture.
pub fn height(what: &Explanation) -> u32 {
    (bars(what) + COURSE) as u32
}

/// Draws it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, what: &Explanation) -> Result<(), DrawError<DB>> {
    let (top, bottom) = area.split_vertically(bars(what));
    draw_bars(&top, what)?;
    draw_courses(&bottom, what)
}

fn draw_bars<DB: DrawingBackend>(area: &Area<DB>, what: &Explanation) -> Result<(), DrawError<DB>> {
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(format!("{}: minutes of violation saved", what.scenario), (20, 10), bold))?;
    let under = match (what.met(), what.counterfactuals.is_empty()) {
        (true, _) => "the SLA holds: there is nothing to save".to_string(),
        (false, true) => "nothing could be compared".to_string(),
        (false, false) => format!(
            "each the same run with one thing changed; {} min are violated as it was (dashed){}",
            short(what.violation_minutes),
            if what.violated > 1 { ", 95 % intervals over paired runs" } else { "" }
        ),
    };
    area.draw(&Text::new(under, (20, 40), font(15.0, FAINT)))?;
    let scale = Scale::of(what);
    let bottom = HEAD + ROW * what.counterfactuals.len() as i32;
    for &mark in &scale.marks {
        let x = scale.x(mark);
        area.draw(&PathElement::new(vec![(x, HEAD - 6), (x, bottom)], INK.mix(0.13)))?;
        let style = font(14.0, INK).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(short(mark), (x, bottom + 8), style))?;
    }
    let zero = scale.x(0.0);
    area.draw(&PathElement::new(vec![(zero, HEAD - 6), (zero, bottom)], INK.mix(0.6)))?;
    let all = scale.x(what.violation_minutes);
    for y in (HEAD - 6..bottom).step_by(10) {
        area.draw(&PathElement::new(vec![(all, y), (all, (y + 5).min(bottom))], INK.mix(0.6)))?;
    }
    for (index, one) in (0i32..).zip(&what.counterfactuals) {
        let y = HEAD + ROW * index + ROW / 2;
        let name = font(15.0, INK).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(one.name.clone(), (SCALE.0 - 14, y), name))?;
        let colour = match one.saved_minutes {
            saved if saved < 0.0 => VERMILION,
            _ if one.holds == what.violated => GREEN,
            _ => BLUE,
        };
        let ends = (scale.x(one.saved_minutes.min(0.0)), scale.x(one.saved_minutes.max(0.0)));
        area.draw(&Rectangle::new(
            [(ends.0, y - 9), (ends.1.max(ends.0 + 1), y + 9)],
            colour.mix(0.85).filled(),
        ))?;
        let mut right = ends.1;
        if let Some(half) = one.half_width {
            let (low, high) = (scale.x(one.saved_minutes - half), scale.x(one.saved_minutes + half));
            area.draw(&PathElement::new(vec![(low, y), (high, y)], INK.stroke_width(2)))?;
            for x in [low, high] {
                area.draw(&PathElement::new(vec![(x, y - 5), (x, y + 5)], INK.stroke_width(2)))?;
            }
            right = right.max(high);
        }
        let holds = if one.holds == what.violated { ", the SLA holds" } else { "" };
        let label = format!("{} min{holds}", short((10.0 * one.saved_minutes).round() / 10.0));
        let style = font(14.0, INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(label, (right + 10, y), style))?;
    }
    Ok(())
}

/// A horizontal scale of minutes.
struct Scale {
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

impl Scale {
    fn of(what: &Explanation) -> Scale {
        let ends = what.counterfactuals.iter().flat_map(|one| {
            let half = one.half_width.unwrap_or(0.0);
            [one.saved_minutes - half, one.saved_minutes + half]
        });
        let (low, high) = ends.fold((0.0, what.violation_minutes), |(low, high): (f64, f64), end| {
            (low.min(end), high.max(end))
        });
        let step = round_step(((high - low) / 8.0).max(0.1));
        let (first, last) = ((low / step).floor() as i64, (high / step).ceil().max(1.0) as i64);
        let marks: Vec<f64> = (first..=last).map(|mark| step * mark as f64).collect();
        Scale { low: step * first as f64, high: step * last as f64, marks }
    }

    fn x(&self, minutes: f64) -> i32 {
        let share = (minutes - self.low) / (self.high - self.low);
        SCALE.0 + (f64::from(SCALE.1 - SCALE.0) * share).round() as i32
    }
}

/// Response times around the stretches: what was, and what would have been.
fn draw_courses<DB: DrawingBackend>(area: &Area<DB>, what: &Explanation) -> Result<(), DrawError<DB>> {
    let best = what.counterfactuals.iter().filter_map(|one| Some((one.name.as_str(), one.course.as_ref()?)));
    let lines: Vec<(&str, &Course)> = std::iter::once(("as it was", &what.course)).chain(best).collect();
    let from = what.course.points.first().map_or(0.0, |point| point.0);
    let to = what.course.points.last().map_or(what.duration, |point| point.0 + what.course.interval);
    let values = || lines.iter().flat_map(|(_, course)| &course.points).filter_map(|point| point.1);
    let lowest = values().filter(|&time| time > 0.0).fold(f64::INFINITY, f64::min);
    let lowest = if lowest.is_finite() { 10f64.powf(lowest.log10().floor()) } else { 1e-3 };
    let named = lines.iter().zip(COLOURS);
    let mut legend: Vec<(String, RGBColor, Stroke)> =
        named.map(|((name, _), colour)| (name.to_string(), colour, Stroke::Solid)).collect();
    legend.push(("violated".to_string(), ORANGE, Stroke::Solid));
    let frame = Frame {
        title: format!("response time, {}", what.course.of),
        legend,
        highest: values().fold(lowest, f64::max),
        lowest,
        log: true,
        label: |time| value(time, "s"),
    };
    let clock = Clock::of(&what.start, what.duration).after(from);
    let mut panel = frame.open_until(area, &clock, to - from)?;
    panel.shade(&violated(what, from), ORANGE)?;
    let bounds = what.objectives.iter().filter(|own| !own.met && own.unit == "s");
    for bound in bounds {
        panel.level(bound.bound, &bound.objective, INK)?;
    }
    // What was is drawn last, upon what might have been.
    for ((_, course), colour) in lines.iter().zip(COLOURS).rev() {
        let half = course.interval / 2.0;
        let points: Vec<(f64, Option<f64>)> =
            course.points.iter().map(|&(at, time)| (at + half - from, time)).collect();
        panel.line(&points, colour, 2)?;
    }
    Ok(())
}

/// When something was violated, whatever it was, in seconds since `from`.
fn violated(what: &Explanation, from: f64) -> Vec<(f64, f64)> {
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for stretch in &what.stretches {
        match joined.last_mut() {
            Some(last) if stretch.from - from <= last.1 => last.1 = last.1.max(stretch.to - from),
            _ => joined.push((stretch.from - from, stretch.to - from)),
        }
    }
    joined
}
