//! A figure against the values of each axis, one panel an axis.

use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle, WHITE};

use super::frame::{Area, BLUE, DrawError, INK, VERMILION, font, round_step};
use crate::text::{short, value};

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisPlots {
    /// What stands above it.
    pub title: String,
    /// The unit of the values.
    pub unit: String,
    /// A panel for each axis.
    pub panels: Vec<AxisPanel>,
    /// Whether the SLA can hold: points at which it does are filled.
    pub judged: bool,
}

/// The figure against one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisPanel {
    /// The axis.
    pub name: String,
    /// Places of the axis that have a label; round numbers where there are none.
    pub labels: Vec<(f64, String)>,
    /// What stands before and after those round numbers, such as a unit.
    pub affixes: (String, String),
    /// The cells.
    pub points: Vec<AxisPoint>,
    /// Whether a line goes through the points.
    pub line: bool,
}

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisPoint {
    /// Its place on the axis.
    pub at: f64,
    /// The figure.
    pub value: f64,
    /// Half the width of its confidence interval; 0 for none.
    pub half: f64,
    /// The SLA holds in it.
    pub holds: bool,
}

const WIDTH: i32 = 1280;
const HEAD: i32 = 84;
/// Pixels of a panel with its labels.
const PANEL: i32 = 380;
const BELOW: i32 = 66;
const ACROSS: (i32, i32) = (112, 1250);

/// The size of the picture.
pub fn size(what: &AxisPlots) -> (u32, u32) {
    (WIDTH as u32, (HEAD + PANEL * what.panels.len().max(1) as i32) as u32)
}

/// The places of a panel.
struct Place {
    top: i32,
    bottom: i32,
    from: f64,
    to: f64,
    low: f64,
    high: f64,
}

impl Place {
    fn x(&self, at: f64) -> i32 {
        ACROSS.0 + (f64::from(ACROSS.1 - ACROSS.0) * (at - self.from) / (self.to - self.from)) as i32
    }

    fn y(&self, value: f64) -> i32 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.bottom - (f64::from(self.bottom - self.top) * share) as i32
    }
}

/// Draws all of it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, what: &AxisPlots) -> Result<(), DrawError<DB>> {
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(what.title.clone(), (20, 10), bold))?;
    if what.judged {
        dot(area, (ACROSS.0 + 8, 56), true)?;
        area.draw(&Text::new("the SLA holds", (ACROSS.0 + 22, 56), aligned(15.0, INK, HPos::Left)))?;
        dot(area, (ACROSS.0 + 160, 56), false)?;
        area.draw(&Text::new("it is violated", (ACROSS.0 + 174, 56), aligned(15.0, INK, HPos::Left)))?;
    }
    for (panel, index) in what.panels.iter().zip(0..) {
        draw_panel(area, what, panel, HEAD + PANEL * index)?;
    }
    Ok(())
}

fn draw_panel<DB: DrawingBackend>(
    area: &Area<DB>,
    what: &AxisPlots,
    panel: &AxisPanel,
    top: i32,
) -> Result<(), DrawError<DB>> {
    let (place, steps) = place(panel, top);
    for &level in &steps {
        let y = place.y(level);
        area.draw(&PathElement::new(vec![(ACROSS.0, y), (ACROSS.1, y)], INK.mix(0.13)))?;
        let text = if what.unit.is_empty() { short(level) } else { value(level, &what.unit) };
        area.draw(&Text::new(text, (ACROSS.0 - 10, y), aligned(14.0, INK, HPos::Right)))?;
    }
    labels(area, panel, &place)?;
    if panel.line {
        let mut points = panel.points.clone();
        points.sort_by(|a, b| a.at.total_cmp(&b.at));
        for pair in points.windows(2) {
            let ends = pair.iter().map(|point| (place.x(point.at), place.y(point.value))).collect::<Vec<_>>();
            area.draw(&PathElement::new(ends, BLUE.mix(0.55).stroke_width(2)))?;
        }
    }
    for point in &panel.points {
        let (x, y) = (place.x(point.at), place.y(point.value));
        if point.half > 0.0 {
            let (from, to) = (place.y(point.value - point.half), place.y(point.value + point.half));
            area.draw(&PathElement::new(vec![(x, from), (x, to)], INK.mix(0.6)))?;
            for end in [from, to] {
                area.draw(&PathElement::new(vec![(x - 4, end), (x + 4, end)], INK.mix(0.6)))?;
            }
        }
        dot(area, (x, y), point.holds || !what.judged)?;
    }
    Ok(())
}

/// Where things are in a panel, and the values that have a line. Zero is part of it.
fn place(panel: &AxisPanel, top: i32) -> (Place, Vec<f64>) {
    let points = &panel.points;
    let places = points.iter().map(|point| point.at).chain(panel.labels.iter().map(|label| label.0));
    let (from, to) =
        places.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
    let (from, to) = if from <= to { (from, to) } else { (0.0, 1.0) };
    let margin = if to > from { 0.04 * (to - from) } else { 1.0 };
    let highest = points.iter().map(|point| point.value + point.half).fold(0.0, f64::max);
    let lowest = points.iter().map(|point| point.value - point.half).fold(0.0, f64::min);
    // An interval may reach below zero where no value can.
    let lowest = if points.iter().all(|point| point.value >= 0.0) { 0.0 } else { lowest };
    let span = if highest > lowest { highest - lowest } else { 1.0 };
    let step = round_step(span / 5.0);
    let (low, high) = (step * (lowest / step).floor(), step * ((lowest + 1.04 * span) / step).ceil());
    let count = ((high - low) / step).round() as usize;
    let steps = (0..=count.min(20)).map(|index| low + step * index as f64).collect();
    let (top, bottom) = (top + 10, top + PANEL - BELOW);
    (Place { top, bottom, from: from - margin, to: to + margin, low, high }, steps)
}

fn labels<DB: DrawingBackend>(
    area: &Area<DB>,
    panel: &AxisPanel,
    place: &Place,
) -> Result<(), DrawError<DB>> {
    let round = if panel.labels.is_empty() { round_labels(place, &panel.affixes) } else { Vec::new() };
    let mut free = i32::MIN;
    for (at, label) in panel.labels.iter().chain(&round) {
        let x = place.x(*at);
        let half = area.estimate_text_size(label, &font(14.0, INK))?.0 as i32 / 2;
        area.draw(&PathElement::new(vec![(x, place.bottom), (x, place.bottom + 4)], INK.mix(0.5)))?;
        if x - half > free {
            let below = (x, place.bottom + 16);
            area.draw(&Text::new(label.clone(), below, aligned(14.0, INK, HPos::Center)))?;
            free = x + half + 8;
        }
    }
    let corner = vec![(ACROSS.0, place.top), (ACROSS.0, place.bottom), (ACROSS.1, place.bottom)];
    area.draw(&PathElement::new(corner, INK.mix(0.5)))?;
    let middle = ((ACROSS.0 + ACROSS.1) / 2, place.bottom + 40);
    area.draw(&Text::new(panel.name.clone(), middle, aligned(15.0, INK, HPos::Center)))
}

/// Round numbers along an axis without values of its own.
fn round_labels(place: &Place, (before, after): &(String, String)) -> Vec<(f64, String)> {
    let step = round_step((place.to - place.from) / 8.0);
    let first = (place.from / step).ceil();
    let numbers = (0..20).map(|index| step * (first + f64::from(index)));
    numbers
        .take_while(|number| *number <= place.to)
        .map(|number| (number, format!("{before}{}{after}", short(number))))
        .collect()
}

fn dot<DB: DrawingBackend>(area: &Area<DB>, at: (i32, i32), filled: bool) -> Result<(), DrawError<DB>> {
    let colour = if filled { BLUE } else { VERMILION };
    area.draw(&Circle::new(at, 5, colour.filled()))?;
    if !filled {
        area.draw(&Circle::new(at, 3, WHITE.filled()))?;
    }
    Ok(())
}

fn aligned(size: f64, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    TextStyle { pos: Pos::new(at, VPos::Center), ..font(size, colour) }
}
