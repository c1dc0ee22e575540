//! Differences from a baseline as shares of it, a row for each figure: the interval of pairs, and the wider one that knows
//! of no pairs beside it.

use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};

use super::frame::{Area, BLUE, DrawError, FAINT, INK, ORANGE, font, round_step};
use crate::text::short;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    /// What stands above it.
    pub title: String,
    /// The confidence of the intervals, such as 0.95.
    pub level: f64,
    /// The rows, from the top.
    pub rows: Vec<ForestRow>,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestRow {
    /// The figure, or what the rows below it are about.
    pub label: String,
    /// The difference; `None` for a heading.
    pub value: Option<ForestValue>,
}

/// A difference and its intervals, all in percent of the baseline's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForestValue {
    /// The difference.
    pub difference: f64,
    /// Half the width of the interval from differences of pairs.
    pub half: f64,
    /// Half the width of the one without pairs.
    pub unpaired: f64,
}

/// Pixels above the rows, of a row, and below them.
const HEAD: i32 = 96;
const ROW: i32 = 28;
const FOOT: i32 = 62;
/// Where the scale begins and ends, and where numbers do.
const SCALE: (i32, i32) = (370, 980);
const NUMBERS: i32 = 1250;
/// The scale never reaches further, in percent: what does ends at its edge, and its number stands beside it.
const FURTHEST: f64 = 100.0;

/// The height of the picture.
pub fn height(rows: &[ForestRow]) -> u32 {
    (HEAD + FOOT) as u32 + ROW as u32 * rows.len().max(1) as u32
}

/// Draws all of it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, what: &Forest) -> Result<(), DrawError<DB>> {
    let bold = |size: f64| TextStyle::from(("sans-serif", size, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(what.title.clone(), (20, 10), bold(20.0)))?;
    let values = || what.rows.iter().filter_map(|row| row.value);
    let reach = values().map(|value| value.difference.abs() + value.half.max(0.4 * value.unpaired));
    let reach = reach.filter(|reach| reach.is_finite()).fold(0.0, f64::max);
    let reach = if reach > 0.0 { (1.05 * reach).min(FURTHEST) } else { 1.0 };
    legend(area, what)?;
    axis(area, reach, HEAD + ROW * what.rows.len().max(1) as i32)?;
    for (row, index) in what.rows.iter().zip(0..) {
        let y = HEAD + ROW * index + ROW / 2;
        let Some(value) = row.value else {
            let style = TextStyle { pos: Pos::new(HPos::Left, VPos::Center), ..bold(15.0) };
            area.draw(&Text::new(row.label.clone(), (20, y), style))?;
            continue;
        };
        area.draw(&Text::new(row.label.clone(), (SCALE.0 - 14, y), aligned(14.0, HPos::Right)))?;
        mark(area, value, reach, y)?;
        let signed = if value.difference > 0.0 { "+" } else { "" };
        let (difference, half, unpaired) =
            (short(value.difference), short(value.half), short(value.unpaired));
        let numbers = format!("{signed}{difference} % ± {half}   (± {unpaired})");
        area.draw(&Text::new(numbers, (NUMBERS, y), aligned(14.0, HPos::Right)))?;
    }
    Ok(())
}

fn legend<DB: DrawingBackend>(area: &Area<DB>, what: &Forest) -> Result<(), DrawError<DB>> {
    let level = short(100.0 * what.level);
    let paired = format!("{level} % interval, with the same requests under each");
    area.draw(&Rectangle::new([(130, 52), (160, 57)], BLUE.filled()))?;
    area.draw(&Circle::new((145, 54), 5, BLUE.filled()))?;
    area.draw(&Text::new(paired.clone(), (172, 54), aligned(15.0, HPos::Left)))?;
    let (width, _) = area.estimate_text_size(&paired, &font(15.0, INK))?;
    let x = 172 + width as i32 + 40;
    area.draw(&Rectangle::new([(x, 54), (x + 30, 55)], ORANGE.filled()))?;
    let unpaired = "as if each had requests of its own".to_string();
    area.draw(&Text::new(unpaired, (x + 42, 54), aligned(15.0, HPos::Left)))
}

fn at(value: f64, reach: f64) -> i32 {
    let share = (value / reach).clamp(-1.0, 1.0); // a NaN ends at the left
    let middle = f64::from(SCALE.0 + SCALE.1) / 2.0;
    (middle + share * f64::from(SCALE.1 - SCALE.0) / 2.0).round() as i32
}

fn axis<DB: DrawingBackend>(area: &Area<DB>, reach: f64, bottom: i32) -> Result<(), DrawError<DB>> {
    let step = round_step(reach / 4.0);
    let marks = (reach / step).floor().clamp(0.0, 10.0) as i32;
    for index in -marks..=marks {
        let value = step * f64::from(index);
        let x = at(value, reach);
        let style = if index == 0 { INK.mix(0.7) } else { INK.mix(0.13) };
        area.draw(&PathElement::new(vec![(x, HEAD - 4), (x, bottom)], style))?;
        let label = format!("{} %", short(value));
        area.draw(&Text::new(label, (x, bottom + 14), aligned(14.0, HPos::Center)))?;
    }
    let middle = (SCALE.0 + SCALE.1) / 2;
    let about = "difference from the baseline".to_string();
    area.draw(&Text::new(about, (middle, bottom + 40), aligned(15.0, HPos::Center)))
}

fn mark<DB: DrawingBackend>(
    area: &Area<DB>,
    value: ForestValue,
    reach: f64,
    y: i32,
) -> Result<(), DrawError<DB>> {
    let bar = |half: f64, colour: RGBColor, y: i32, thick: i32| {
        let ends = [(at(value.difference - half, reach), y), (at(value.difference + half, reach), y + thick)];
        area.draw(&Rectangle::new(ends, colour.filled()))
    };
    bar(value.unpaired, ORANGE, y + 6, 1)?;
    bar(value.half, BLUE, y - 2, 4)?;
    let outside = value.difference.abs() > reach;
    let colour = if outside { FAINT } else { BLUE };
    area.draw(&Circle::new((at(value.difference, reach), y), 5, colour.filled()))
}

fn aligned(size: f64, at: HPos) -> TextStyle<'static> {
    TextStyle { pos: Pos::new(at, VPos::Center), ..font(size, INK) }
}
