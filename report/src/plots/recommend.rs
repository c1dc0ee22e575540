//! Candidates by cost, or by the value of which the largest is wanted, against the share of days that they keep, with
//! intervals: who was accepted and who was not.

use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};
use scalesim::experiment::recommend::answer::{CandidateResult, Recommendation, Setting, Standing};

use super::frame::{Area, BLUE, DrawError, FAINT, GREEN, INK, ORANGE, VERMILION, font, round_step};
use crate::text::{recommendation_name, short, value};

/// Where the scales begin and end.
const X: (i32, i32) = (110, 1220);
const Y: (i32, i32) = (440, 96);
/// With more candidates than this only the recommended and the present one have names.
const MOST_NAMES: usize = 14;
/// Lines of text that are closer than this would touch.
const LINE: i32 = 18;

/// The size of the picture.
pub const SIZE: (u32, u32) = (1280, 520);

/// Draws it. Candidates that were not played are not in it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, answer: &Recommendation) -> Result<(), DrawError<DB>> {
    let played: Vec<&CandidateResult> = answer.candidates.iter().filter(|one| one.days > 0).collect();
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    let across = Across::of(answer, &played);
    let title = format!("{}: days kept against {}", answer.scenario, across.about);
    area.draw(&Text::new(title, (20, 10), bold))?;
    legend(area)?;
    let scale = Scale::of(&across.values);
    axes(area, answer, &across, &scale)?;
    // From, to and height of the names that are there.
    let mut taken: Vec<(i32, i32, i32)> = Vec::new();
    // The recommended one last: on top of the others.
    let mut order: Vec<(f64, &CandidateResult)> = across.values.iter().copied().zip(played).collect();
    order.sort_by_key(|(_, one)| one.standing == Standing::Recommended);
    for &(value, one) in &order {
        mark(area, scale.x(value), one)?;
    }
    let many = order.len() > MOST_NAMES;
    order.reverse();
    order.sort_by_key(|(_, one)| !(one.standing == Standing::Recommended || one.present));
    for (value, one) in order {
        let first = one.standing == Standing::Recommended || one.present;
        let (name, at) = (recommendation_name(one), (scale.x(value), y(share(one))));
        let (width, _) = area.estimate_text_size(&name, &font(13.0, INK))?;
        let (right, below) = (at.0 > X.1 - 220, at.1 < Y.1 + 14);
        let (x, side) = if right { (at.0 - 10, HPos::Right) } else { (at.0 + 10, HPos::Left) };
        let (from, height) = (if right { x - width as i32 } else { x }, at.1 + if below { 16 } else { -12 });
        let to = from + width as i32;
        let touches =
            |&(start, end, own): &(i32, i32, i32)| start < to && from < end && (own - height).abs() < LINE;
        if (many && !first) || taken.iter().any(touches) {
            continue;
        }
        taken.push((from, to, height));
        area.draw(&Text::new(name, (x, height), aligned(13.0, INK, side)))?;
    }
    Ok(())
}

/// What stands from left to right.
struct Across {
    /// What it is.
    about: String,
    /// What follows its numbers; `None` where they are costs.
    unit: Option<String>,
    /// That of each candidate.
    values: Vec<f64>,
}

impl Across {
    /// The value that is to be largest, if that is asked and all have it in one unit; else what it costs.
    fn of(answer: &Recommendation, played: &[&CandidateResult]) -> Across {
        let largest = answer.asked.largest.then(|| {
            let settings: Option<Vec<&Setting>> = played.iter().map(|one| one.settings.first()).collect();
            let parts: Option<Vec<(f64, &str)>> =
                settings.as_ref()?.iter().map(|setting| number_and_unit(&setting.value)).collect();
            let (path, unit) = (&settings?.first()?.path, parts.as_ref()?.first()?.1);
            let alike = parts.as_ref()?.iter().all(|part| part.1 == unit);
            let values = parts?.into_iter().map(|part| part.0).collect();
            alike.then(|| Across { about: path.clone(), unit: Some(unit.to_string()), values })
        });
        largest.flatten().unwrap_or_else(|| Across {
            about: answer.asked.measure.clone(),
            unit: None,
            values: played.iter().map(|one| one.cost.unwrap_or(0.0)).collect(),
        })
    }
}

/// `4/s` as 4 and `/s`.
fn number_and_unit(value: &str) -> Option<(f64, &str)> {
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    Some((value[..end].parse().ok()?, value[end..].trim()))
}

fn share(one: &CandidateResult) -> f64 {
    f64::from(one.kept) / f64::from(one.days.max(1))
}

fn colour(standing: Standing) -> RGBColor {
    match standing {
        Standing::Recommended => GREEN,
        Standing::Holds => BLUE,
        Standing::Breaks => VERMILION,
        Standing::Inconclusive => ORANGE,
        Standing::Dearer | Standing::NotPlayed => FAINT,
    }
}

fn legend<DB: DrawingBackend>(area: &Area<DB>) -> Result<(), DrawError<DB>> {
    let names = [
        ("recommended", Standing::Recommended),
        ("holds", Standing::Holds),
        ("breaks", Standing::Breaks),
        ("inconclusive", Standing::Inconclusive),
        ("dearer, not tested to the end", Standing::Dearer),
    ];
    let mut x = X.0;
    for (name, standing) in names {
        area.draw(&Circle::new((x + 8, 50), 5, colour(standing).filled()))?;
        area.draw(&Text::new(name, (x + 22, 42), font(14.0, INK)))?;
        let (width, _) = area.estimate_text_size(name, &font(14.0, INK))?;
        x += width as i32 + 52;
    }
    Ok(())
}

/// From left to right.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn of(values: &[f64]) -> Scale {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(0.0, f64::max));
        let low = if low.is_finite() { low } else { 0.0 };
        let room = if high > low { 0.08 * (high - low) } else { 0.5 * high.max(1.0) };
        let (low, high) = ((low - room).max(0.0), high + room);
        Scale { low, high, step: round_step((high - low) / 6.0) }
    }

    fn x(&self, value: f64) -> i32 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        X.0 + (f64::from(X.1 - X.0) * share).round() as i32
    }
}

fn y(share: f64) -> i32 {
    Y.0 + (f64::from(Y.1 - Y.0) * share.clamp(0.0, 1.0)).round() as i32
}

fn axes<DB: DrawingBackend>(
    area: &Area<DB>,
    answer: &Recommendation,
    across: &Across,
    scale: &Scale,
) -> Result<(), DrawError<DB>> {
    for percent in [0, 20, 40, 60, 80, 100] {
        let at = y(f64::from(percent) / 100.0);
        area.draw(&PathElement::new(vec![(X.0, at), (X.1, at)], INK.mix(0.13)))?;
        area.draw(&Text::new(format!("{percent} %"), (X.0 - 10, at), aligned(14.0, INK, HPos::Right)))?;
    }
    let unit = answer.asked.unit.as_str();
    let label = |number: f64| match &across.unit {
        Some(unit) => format!("{}{unit}", short(number)),
        None if unit == "h" => format!("{} h", short(number)),
        None => value(number, unit),
    };
    let first = (scale.low / scale.step).ceil() as i64;
    for index in first..=(scale.high / scale.step).floor().min(first as f64 + 50.0) as i64 {
        let number = scale.step * index as f64;
        let x = scale.x(number);
        area.draw(&PathElement::new(vec![(x, Y.1), (x, Y.0)], INK.mix(0.13)))?;
        area.draw(&Text::new(label(number), (x, Y.0 + 14), aligned(14.0, INK, HPos::Center)))?;
    }
    let about = match across.unit {
        Some(_) => across.about.clone(),
        None => format!("{} of a day, the mean", across.about),
    };
    area.draw(&Text::new(about, ((X.0 + X.1) / 2, Y.0 + 40), aligned(14.0, INK, HPos::Center)))?;
    let wanted = y(answer.asked.days_kept);
    for x in (X.0..X.1).step_by(14) {
        area.draw(&PathElement::new(vec![(x, wanted), ((x + 7).min(X.1), wanted)], INK.stroke_width(2)))?;
    }
    let asked = format!("{} % of days are to be kept", short(100.0 * answer.asked.days_kept));
    area.draw(&Text::new(asked, (X.1, wanted + 12), aligned(13.0, INK, HPos::Right)))
}

/// A candidate and the interval of its share of days; a ring around the scenario as it stands.
fn mark<DB: DrawingBackend>(area: &Area<DB>, x: i32, one: &CandidateResult) -> Result<(), DrawError<DB>> {
    let at = y(share(one));
    let colour = colour(one.standing);
    let (low, high) = (y(one.kept_low), y(one.kept_high));
    area.draw(&Rectangle::new([(x - 1, high), (x + 1, low)], colour.mix(0.55).filled()))?;
    for end in [low, high] {
        area.draw(&PathElement::new(vec![(x - 5, end), (x + 5, end)], colour.mix(0.8)))?;
    }
    let size = if one.standing == Standing::Recommended { 8 } else { 5 };
    area.draw(&Circle::new((x, at), size, colour.filled()))?;
    if one.present {
        area.draw(&Circle::new((x, at), size + 4, INK.stroke_width(2)))?;
    }
    Ok(())
}

fn aligned(size: f64, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    TextStyle { pos: Pos::new(at, VPos::Center), ..font(size, colour) }
}
