//! A figure over two axes, as colours; over more, in small multiples.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, WHITE};

use super::frame::{Area, DrawError, FAINT, INK, font};
use crate::text::{short, value};

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// What stands above it.
    pub title: String,
    /// The unit of the values.
    pub unit: String,
    /// The name of the axis that goes across, and its values.
    pub across: (String, Vec<String>),
    /// The name of the axis that goes up, and its values.
    pub up: (String, Vec<String>),
    /// The maps: one, or one for each combination of further axes.
    pub facets: Vec<Facet>,
    /// Combinations that have no map because there were too many.
    pub left_out: usize,
    /// Whether the SLA can hold: cells in which it does have a frame.
    pub judged: bool,
}

/// One map.
#[derive(Clone, Debug, PartialEq)]
pub struct Facet {
    /// The combination that it is for; empty where there is one map.
    pub label: String,
    /// Its cells, row by row from the lowest, each from left to right.
    pub cells: Vec<HeatCell>,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatCell {
    /// Its value; `None` where there is none.
    pub value: Option<f64>,
    /// The SLA holds in it.
    pub holds: bool,
}

/// The colours of the least and the greatest value, and of some between: light to dark, so that it reads in grey too.
const COLOURS: [RGBColor; 5] = [
    RGBColor(247, 251, 255),
    RGBColor(198, 219, 239),
    RGBColor(107, 174, 214),
    RGBColor(33, 113, 181),
    RGBColor(8, 48, 107),
];
const WIDTH: i32 = 1280;
/// Pixels above all maps, and of the scale of colours at their right.
const HEAD: i32 = 76;
const SCALE: i32 = 130;
/// Pixels of labels at the left of a map and below it.
const LEFT: i32 = 104;
const BELOW: i32 = 62;
/// Pixels above a map, for its label.
const ABOVE: i32 = 26;
/// A value is written into cells of at least this size.
const ROOM: (i32, i32) = (58, 18);

/// A rectangle in pixels.
#[derive(Clone, Copy)]
struct Box {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

/// The size of the picture.
pub fn size(what: &HeatMap) -> (u32, u32) {
    let columns = columns(what);
    let rows = what.facets.len().div_ceil(columns).max(1) as i32;
    (WIDTH as u32, (HEAD + rows * height(columns)) as u32)
}

fn columns(what: &HeatMap) -> usize {
    match what.facets.len() {
        0 | 1 => 1,
        2..=4 => 2,
        _ => 3,
    }
}

/// Pixels of a map with its labels, where so many are beside each other.
fn height(columns: usize) -> i32 {
    if columns == 1 { 620 } else { 400 }
}

/// Draws all of it.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, what: &HeatMap) -> Result<(), DrawError<DB>> {
    let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
    area.draw(&Text::new(what.title.clone(), (20, 10), bold))?;
    let values = what.facets.iter().flat_map(|facet| &facet.cells).filter_map(|cell| cell.value);
    let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    let (low, high) = ends.unwrap_or((0.0, 0.0));
    notes(area, what)?;
    let columns = columns(what);
    let (width, height) = ((WIDTH - SCALE) / columns as i32, height(columns));
    for (index, facet) in what.facets.iter().enumerate() {
        let (column, row) = ((index % columns) as i32, (index / columns) as i32);
        let map = Box {
            left: column * width + LEFT,
            top: HEAD + row * height + ABOVE,
            right: (column + 1) * width - 12,
            bottom: HEAD + (row + 1) * height - BELOW,
        };
        draw_facet(area, what, facet, map, (low, high))?;
    }
    scale(area, what, (low, high))
}

/// What frames mean, and what is not there.
fn notes<DB: DrawingBackend>(area: &Area<DB>, what: &HeatMap) -> Result<(), DrawError<DB>> {
    let mut words = Vec::new();
    if what.judged {
        words.push("framed: the SLA holds".to_string());
    }
    if what.left_out > 0 {
        words.push(format!("{} more combinations are in sweep.csv", what.left_out));
    }
    area.draw(&Text::new(words.join(" · "), (LEFT, 54), aligned(15.0, INK, HPos::Left)))
}

fn draw_facet<DB: DrawingBackend>(
    area: &Area<DB>,
    what: &HeatMap,
    facet: &Facet,
    map: Box,
    ends: (f64, f64),
) -> Result<(), DrawError<DB>> {
    let (columns, rows) = (what.across.1.len().max(1), what.up.1.len().max(1));
    area.draw(&Text::new(facet.label.clone(), (map.left, map.top - 14), aligned(15.0, INK, HPos::Left)))?;
    let x = |column: usize| map.left + ((map.right - map.left) as usize * column / columns) as i32;
    let y = |row: usize| map.bottom - ((map.bottom - map.top) as usize * row / rows) as i32;
    for (index, cell) in facet.cells.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let place = Box { left: x(column), right: x(column + 1), top: y(row + 1), bottom: y(row) };
        draw_cell(area, *cell, place, (ends, &what.unit))?;
    }
    labels(area, what, map)
}

fn draw_cell<DB: DrawingBackend>(
    area: &Area<DB>,
    cell: HeatCell,
    place: Box,
    ((low, high), unit): ((f64, f64), &str),
) -> Result<(), DrawError<DB>> {
    let Box { left, top, right, bottom } = place;
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.0 };
    let fill = cell.value.map_or(WHITE, |value| colour(share(value)));
    area.draw(&Rectangle::new([(left, top), (right - 1, bottom - 1)], fill.filled()))?;
    if cell.holds && right - left > 8 && bottom - top > 8 {
        for inset in 2..4 {
            let corners = [(left + inset, top + inset), (right - 1 - inset, bottom - 1 - inset)];
            area.draw(&Rectangle::new(corners, ink_on(fill).stroke_width(1)))?;
        }
    }
    if right - left >= ROOM.0 && bottom - top >= ROOM.1 {
        let text = cell.value.map_or("–".to_string(), |number| value(number, unit));
        let middle = ((left + right) / 2, (top + bottom) / 2);
        area.draw(&Text::new(text, middle, aligned(13.0, ink_on(fill), HPos::Center)))?;
    }
    Ok(())
}

/// The values of both axes at the edges of a map, and their names.
fn labels<DB: DrawingBackend>(area: &Area<DB>, what: &HeatMap, map: Box) -> Result<(), DrawError<DB>> {
    let (width, height) = (map.right - map.left, map.bottom - map.top);
    let style = font(13.0, INK);
    let mut widest = 0;
    for label in &what.across.1 {
        widest = widest.max(area.estimate_text_size(label, &style)?.0 as i32);
    }
    for (at, label) in spread(&what.across.1, width, widest + 8) {
        let at = (map.left + at, map.bottom + 14);
        area.draw(&Text::new(label.clone(), at, aligned(13.0, INK, HPos::Center)))?;
    }
    for (at, label) in spread(&what.up.1, height, 18) {
        let at = (map.left - 8, map.bottom - at);
        area.draw(&Text::new(cut(label), at, aligned(13.0, INK, HPos::Right)))?;
    }
    let below = ((map.left + map.right) / 2, map.bottom + 36);
    area.draw(&Text::new(what.across.0.clone(), below, aligned(14.0, INK, HPos::Center)))?;
    let turned = TextStyle {
        pos: Pos::new(HPos::Center, VPos::Center),
        ..font(14.0, INK).transform(FontTransform::Rotate270)
    };
    area.draw(&Text::new(what.up.0.clone(), (map.left - LEFT + 14, (map.top + map.bottom) / 2), turned))
}

/// Every label, or every so many-th where there is no room for all, with its place from the edge.
fn spread(labels: &[String], length: i32, each: i32) -> impl Iterator<Item = (i32, &String)> {
    let count = labels.len().max(1);
    let every = (each as usize * count).div_ceil(length.max(1) as usize).max(1);
    let place = move |index: usize| (length as usize * (2 * index + 1) / (2 * count)) as i32;
    labels.iter().enumerate().step_by(every).map(move |(index, label)| (place(index), label))
}

/// A label that fits beside a map.
fn cut(label: &str) -> String {
    const MOST: usize = 11;
    if label.chars().count() <= MOST {
        label.to_string()
    } else {
        label.chars().take(MOST - 1).chain(['…']).collect()
    }
}

/// Which colour is which value.
fn scale<DB: DrawingBackend>(
    area: &Area<DB>,
    what: &HeatMap,
    (low, high): (f64, f64),
) -> Result<(), DrawError<DB>> {
    const STEPS: i32 = 64;
    let (left, top, bottom) = (WIDTH - SCALE + 18, HEAD + ABOVE, HEAD + height(columns(what)) - BELOW);
    for step in 0..STEPS {
        let y = |step: i32| bottom - (bottom - top) * step / STEPS;
        let fill = colour(f64::from(step) / f64::from(STEPS - 1));
        area.draw(&Rectangle::new([(left, y(step + 1)), (left + 18, y(step))], fill.filled()))?;
    }
    area.draw(&Rectangle::new([(left, top), (left + 18, bottom)], FAINT.stroke_width(1)))?;
    let marks = if high > low { 4 } else { 0 };
    for mark in 0..=marks {
        let share = if marks > 0 { f64::from(mark) / f64::from(marks) } else { 0.0 };
        let y = bottom - (f64::from(bottom - top) * share) as i32;
        let number = low + share * (high - low);
        let text = if what.unit.is_empty() { short(number) } else { value(number, &what.unit) };
        area.draw(&PathElement::new(vec![(left + 18, y), (left + 22, y)], INK))?;
        area.draw(&Text::new(text, (left + 27, y), aligned(13.0, INK, HPos::Left)))?;
    }
    Ok(())
}

/// The colour of a share of the scale.
fn colour(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let below = (at as usize).min(COLOURS.len() - 2);
    let (from, to, part) = (COLOURS[below], COLOURS[below + 1], at - below as f64);
    let mixed = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mixed(from.0, to.0), mixed(from.1, to.1), mixed(from.2, to.2))
}

/// A colour that can be read on another one.
fn ink_on(fill: RGBColor) -> RGBColor {
    let light = 0.299 * f64::from(fill.0) + 0.587 * f64::from(fill.1) + 0.114 * f64::from(fill.2);
    if light > 140.0 { INK } else { WHITE }
}

fn aligned(size: f64, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    TextStyle { pos: Pos::new(at, VPos::Center), ..font(size, colour) }
}
