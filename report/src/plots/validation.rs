//! Measured beside predicted, a row for each setup: when jobs were done, and how often they had to give way.

use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};

use super::frame::{Area, BLUE, DrawError, FAINT, INK, SKY, VERMILION, font, round_step};
use crate::text::{short, value};

/// Something that was measured several times and predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The median of what was measured.
    pub measured: f64,
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// The prediction.
    pub predicted: f64,
}

/// All that was measured, beside what was predicted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// What stands above it.
    pub title: String,
    /// What the scale on the left is about, in seconds.
    pub left: String,
    /// What the one on the right is about.
    pub right: String,
    /// Whether that is in seconds, and not a number.
    pub right_in_seconds: bool,
    /// What is measured on the left: the first and, where rows have two, the second.
    pub legend: Vec<String>,
    /// By what ran.
    pub rows: Vec<ValidationRow>,
}

/// What ran, and what was measured of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationRow {
    /// What ran.
    pub label: String,
    /// The model was fitted to it, so that it proves nothing.
    pub fitted: bool,
    /// One figure or two on the left.
    pub left: Vec<Measured>,
    /// The figure on the right, where there is one.
    pub right: Option<Measured>,
}

/// Pixels above the rows, of a row, and below them.
const HEAD: i32 = 96;
const ROW: i32 = 30;
const FOOT: i32 = 44;
/// Where the two scales begin and end.
const LEFT: (i32, i32) = (260, 830);
const RIGHT: (i32, i32) = (890, 1240);

/// The height of the picture.
pub fn height(rows: &[ValidationRow]) -> u32 {
    (HEAD + FOOT) as u32 + ROW as u32 * rows.len().max(1) as u32
}

/// A horizontal scale from zero.
struct Scale {
    from: i32,
    to: i32,
    highest: f64,
    step: f64,
}

impl Scale {
    fn new((from, to): (i32, i32), values: impl Iterator<Item = f64>) -> Self {
        let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let highest = if highest > 0.0 { highest * 1.04 } else { 1.0 };
        Scale { from, to, highest, step: round_step(highest / 5.0) }
    }

    fn x(&self, value: f64) -> i32 {
        let share = (value / self.highest).clamp(0.0, 1.0); // a NaN ends at zero
        self.from + (f64::from(self.to - self.from) * share) as i32
    }
}

/// Draws all of it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, what: &Validation) -> Result<(), DrawError<DB>> {
    let Validation { title, rows, .. } = what;
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(title.clone(), (20, 10), bold))?;
    legend(area, &what.legend)?;
    let reach = |measured: &Measured| measured.high.max(measured.predicted);
    let left = Scale::new(LEFT, rows.iter().flat_map(|row| &row.left).map(reach));
    let right = Scale::new(RIGHT, rows.iter().filter_map(|row| row.right.as_ref().map(reach)));
    let bottom = HEAD + ROW * rows.len().max(1) as i32;
    let seconds = |seconds: f64| value(seconds, "s");
    let right_label = if what.right_in_seconds { seconds } else { short };
    axis(area, &left, bottom, &what.left, seconds)?;
    axis(area, &right, bottom, &what.right, right_label)?;
    for (row, index) in rows.iter().zip(0..) {
        let y = HEAD + ROW * index + ROW / 2;
        let colour = if row.fitted { FAINT } else { INK };
        let label = if row.fitted { format!("{} (fitted)", row.label) } else { row.label.clone() };
        area.draw(&Text::new(label, (LEFT.0 - 12, y), aligned(14.0, colour, HPos::Right)))?;
        let places = if row.left.len() > 1 { [4, -5] } else { [0, 0] };
        for ((figure, place), colour) in row.left.iter().zip(places).zip([BLUE, SKY]) {
            mark(area, &left, figure, y + place, colour)?;
        }
        if let Some(figure) = &row.right {
            mark(area, &right, figure, y, BLUE)?;
        }
    }
    Ok(())
}

fn legend<DB: DrawingBackend>(area: &Area<DB>, names: &[String]) -> Result<(), DrawError<DB>> {
    let mut x = LEFT.0;
    let predicted = "predicted".to_string();
    for (name, colour) in names.iter().zip([BLUE, SKY]).chain([(&predicted, VERMILION)]) {
        if colour == VERMILION {
            cross(area, x + 10, 48)?;
        } else {
            area.draw(&Rectangle::new([(x, 47), (x + 22, 50)], colour.filled()))?;
            area.draw(&Circle::new((x + 11, 48), 4, colour.filled()))?;
        }
        area.draw(&Text::new(name.clone(), (x + 30, 41), font(14.0, INK)))?;
        let (width, _) = area.estimate_text_size(name, &font(14.0, INK))?;
        x += width as i32 + 62;
    }
    Ok(())
}

/// The lines of a scale, its labels, and what it is about.
fn axis<DB: DrawingBackend>(
    area: &Area<DB>,
    scale: &Scale,
    bottom: i32,
    about: &str,
    label: fn(f64) -> String,
) -> Result<(), DrawError<DB>> {
    let title = aligned(14.0, INK, HPos::Left);
    area.draw(&Text::new(about.to_string(), (scale.from, HEAD - 16), title))?;
    let marks = (scale.highest / scale.step).min(100.0) as i32;
    for index in 0..=marks {
        let at = scale.step * f64::from(index);
        let x = scale.x(at);
        area.draw(&PathElement::new(vec![(x, HEAD), (x, bottom)], INK.mix(0.13)))?;
        area.draw(&Text::new(label(at), (x, bottom + 14), aligned(14.0, INK, HPos::Center)))?;
    }
    area.draw(&PathElement::new(vec![(scale.from, bottom), (scale.to, bottom)], INK.mix(0.5)))
}

/// The range and the median of what was measured, and the prediction.
fn mark<DB: DrawingBackend>(
    area: &Area<DB>,
    scale: &Scale,
    what: &Measured,
    y: i32,
    colour: RGBColor,
) -> Result<(), DrawError<DB>> {
    let ends = [(scale.x(what.low), y - 1), (scale.x(what.high), y + 2)];
    area.draw(&Rectangle::new(ends, colour.filled()))?;
    area.draw(&Circle::new((scale.x(what.measured), y), 4, colour.filled()))?;
    cross(area, scale.x(what.predicted), y)
}

fn cross<DB: DrawingBackend>(area: &Area<DB>, x: i32, y: i32) -> Result<(), DrawError<DB>> {
    for ends in [[(x - 4, y - 4), (x + 4, y + 4)], [(x - 4, y + 4), (x + 4, y - 4)]] {
        area.draw(&PathElement::new(ends.to_vec(), VERMILION.stroke_width(2)))?;
    }
    Ok(())
}

fn aligned(size: f64, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    TextStyle { pos: Pos::new(at, VPos::Center), ..font(size, colour) }
}
