//! Candidates by cost against the share of days that they keep, with intervals: who was accepted and who was not.

use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};
use scalesim::experiment::recommend::answer::{CandidateResult, Recommendation, Standing};

use super::frame::{Area, BLUE, DrawError, FAINT, GREEN, INK, ORANGE, VERMILION, font, round_step};
use crate::text::{recommendation_name, short, value};

/// Where the scales begin and end.
const X: (i32, i32) = (110, 1220);
const Y: (i32, i32) = (440, 96);
/// With more candidates than this only the recommended and the present one have names.
const MOST_NAMES: usize = 14;
/// Pixels that a name keeps clear of others.
const NAME: (i32, i32) = (110, 18);

/// The size of the picture.
pub const SIZE: (u32, u32) = (1280, 520);

/// Draws it. Candidates that were not played are not in it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, answer: &Recommendation) -> Result<(), DrawError<DB>> {
    let played: Vec<&CandidateResult> = answer.candidates.iter().filter(|one| one.days > 0).collect();
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    let title = format!("{}: days kept against {}", answer.scenario, answer.asked.measure);
    area.draw(&Text::new(title, (20, 10), bold))?;
    legend(area)?;
    let scale = Scale::of(&played);
    axes(area, answer, &scale)?;
    let mut taken: Vec<(i32, i32)> = Vec::new();
    // The recommended one last: on top of the others.
    let mut order = played.clone();
    order.sort_by_key(|one| one.standing == Standing::Recommended);
    for one in &order {
        mark(area, &scale, one)?;
    }
    order.reverse();
    order.sort_by_key(|one| !(one.standing == Standing::Recommended || one.present));
    for one in &order {
        let named = played.len() <= MOST_NAMES || one.present || one.standing == Standing::Recommended;
        let at = (scale.x(one.cost.unwrap_or(0.0)), y(share(one)));
        let clear = taken.iter().all(|own| (own.0 - at.0).abs() > NAME.0 || (own.1 - at.1).abs() > NAME.1);
        if named && clear {
            taken.push(at);
            let right = at.0 > X.1 - 220;
            let (x, side) = if right { (at.0 - 10, HPos::Right) } else { (at.0 + 10, HPos::Left) };
            let below = at.1 < Y.1 + 14;
            let text = Text::new(
                recommendation_name(one),
                (x, at.1 + if below { 16 } else { -12 }),
                aligned(13.0, INK, side),
            );
            area.draw(&text)?;
        }
    }
    Ok(())
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

/// Costs from left to right.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn of(played: &[&CandidateResult]) -> Scale {
        let costs = || played.iter().filter_map(|one| one.cost).filter(|cost| cost.is_finite());
        let (low, high) = (costs().fold(f64::INFINITY, f64::min), costs().fold(0.0, f64::max));
        let low = if low.is_finite() { low } else { 0.0 };
        let room = if high > low { 0.08 * (high - low) } else { 0.5 * high.max(1.0) };
        let (low, high) = ((low - room).max(0.0), high + room);
        Scale { low, high, step: round_step((high - low) / 6.0) }
    }

    fn x(&self, cost: f64) -> i32 {
        let share = ((cost - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        X.0 + (f64::from(X.1 - X.0) * share).round() as i32
    }
}

fn y(share: f64) -> i32 {
    Y.0 + (f64::from(Y.1 - Y.0) * share.clamp(0.0, 1.0)).round() as i32
}

fn axes<DB: DrawingBackend>(
    area: &Area<DB>,
    answer: &Recommendation,
    scale: &Scale,
) -> Result<(), DrawError<DB>> {
    for percent in [0, 20, 40, 60, 80, 100] {
        let at = y(f64::from(percent) / 100.0);
        area.draw(&PathElement::new(vec![(X.0, at), (X.1, at)], INK.mix(0.13)))?;
        area.draw(&Text::new(format!("{percent} %"), (X.0 - 10, at), aligned(14.0, INK, HPos::Right)))?;
    }
    let unit = answer.asked.unit.as_str();
    let label = |cost: f64| if unit == "h" { format!("{} h", short(cost)) } else { value(cost, unit) };
    let first = (scale.low / scale.step).ceil() as i64;
    for index in first..=(scale.high / scale.step).floor().min(first as f64 + 50.0) as i64 {
        let cost = scale.step * index as f64;
        let x = scale.x(cost);
        area.draw(&PathElement::new(vec![(x, Y.1), (x, Y.0)], INK.mix(0.13)))?;
        area.draw(&Text::new(label(cost), (x, Y.0 + 14), aligned(14.0, INK, HPos::Center)))?;
    }
    let about = format!("{} of a day, the mean", answer.asked.measure);
    area.draw(&Text::new(about, ((X.0 + X.1) / 2, Y.0 + 40), aligned(14.0, INK, HPos::Center)))?;
    let wanted = y(answer.asked.days_kept);
    for x in (X.0..X.1).step_by(14) {
        area.draw(&PathElement::new(vec![(x, wanted), ((x + 7).min(X.1), wanted)], INK.stroke_width(2)))?;
    }
    let asked = format!("{} % of days are to be kept", short(100.0 * answer.asked.days_kept));
    area.draw(&Text::new(asked, (X.1, wanted + 12), aligned(13.0, INK, HPos::Right)))
}

/// A candidate and the interval of its share of days; a ring around the scenario as it stands.
fn mark<DB: DrawingBackend>(
    area: &Area<DB>,
    scale: &Scale,
    one: &CandidateResult,
) -> Result<(), DrawError<DB>> {
    let (x, at) = (scale.x(one.cost.unwrap_or(0.0)), y(share(one)));
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
