//! What all panels share: a title, a legend that never covers data, axes with round wall-clock times, and lines.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::{AreaSeries, Cartesian2d, DrawingBackend, LineSeries};
use plotters::style::text_anchor::Pos;
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle};
use scalesim::results::Results;

use crate::Clock;

/// Colours that people with any colour vision can tell apart (Okabe and Ito 2008).
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const SKY: RGBColor = RGBColor(86, 180, 233);
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub const INK: RGBColor = RGBColor(51, 51, 51);
pub const FAINT: RGBColor = RGBColor(150, 150, 150);

/// For several groups in one panel.
pub const SERIES: [RGBColor; 6] = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY];

pub type Area<DB> = DrawingArea<DB, Shift>;
pub type DrawError<DB> = DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>;
type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<Axis, Axis>>;

/// An axis with labels at stated places.
struct Axis {
    range: Range<f64>,
    labels: Vec<(f64, String)>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labels.iter().map(|label| label.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        let found = self.labels.iter().find(|label| label.0 == *value);
        found.map_or(String::new(), |label| label.1.clone())
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// A line.
    Solid,
    /// A line with gaps.
    Dashed,
    /// Only the legend shows it: a marker.
    Marker(char),
}

/// A panel about to be drawn.
pub struct Frame {
    /// What it shows.
    pub title: String,
    /// Its legend.
    pub legend: Vec<(String, RGBColor, Stroke)>,
    /// The highest value.
    pub highest: f64,
    /// The lowest value; with `log` it is above zero.
    pub lowest: f64,
    /// A logarithmic axis.
    pub log: bool,
    /// How a value of the axis is written.
    pub label: fn(f64) -> String,
}

/// A panel whose axes stand, ready for its data.
pub struct Panel<'a, DB: DrawingBackend> {
    chart: Chart<'a, DB>,
    log: bool,
    floor: f64,
}

impl Frame {
    /// Draws title, legend and axes.
    pub fn open<'a, DB: DrawingBackend>(
        self,
        area: &'a Area<DB>,
        results: &Results,
    ) -> Result<Panel<'a, DB>, DrawError<DB>> {
        let end = results
            .run
            .series
            .last()
            .map_or(results.duration, |row| (row.at + results.run.interval).min(results.duration));
        self.open_until(area, &Clock::new(results), end)
    }

    /// The same for a clock's first `end` seconds.
    pub fn open_until<'a, DB: DrawingBackend>(
        self,
        area: &'a Area<DB>,
        clock: &Clock,
        end: f64,
    ) -> Result<Panel<'a, DB>, DrawError<DB>> {
        self.head(area)?;
        let end = end.max(1.0);
        let ticks = clock.ticks(end);
        let (bottom, top, values) = self.scale();
        let transform = |value: f64| if self.log { value.max(self.lowest).log10() } else { value };
        let horizontal = Axis { range: 0.0..end, labels: ticks };
        let labels = values.iter().map(|&value| (transform(value), (self.label)(value))).collect();
        let vertical = Axis { range: transform(bottom)..transform(top), labels };
        let mut chart = ChartBuilder::on(area)
            .margin_top(64)
            .margin_right(28)
            .margin_bottom(8)
            .margin_left(14)
            .x_label_area_size(34)
            .y_label_area_size(76)
            .build_cartesian_2d(horizontal, vertical)?;
        chart
            .configure_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(INK.mix(0.13))
            .axis_style(INK.mix(0.5))
            .label_style(font(15.0, INK))
            .draw()?;
        Ok(Panel { chart, log: self.log, floor: self.lowest })
    }

    /// Title and legend, above the axes.
    fn head<DB: DrawingBackend>(&self, area: &Area<DB>) -> Result<(), DrawError<DB>> {
        let bold = TextStyle::from(("sans-serif", 20.0, FontStyle::Bold).into_font()).color(&INK);
        area.draw(&Text::new(self.title.clone(), (20, 10), bold))?;
        let mut x = 92;
        for (name, colour, stroke) in &self.legend {
            match stroke {
                Stroke::Solid => area.draw(&Rectangle::new([(x, 46), (x + 22, 49)], colour.filled()))?,
                Stroke::Dashed => {
                    for dash in 0..3 {
                        area.draw(&Rectangle::new(
                            [(x + 9 * dash, 46), (x + 9 * dash + 5, 49)],
                            colour.filled(),
                        ))?;
                    }
                }
                Stroke::Marker(marker) => {
                    area.draw(&Text::new(marker.to_string(), (x + 6, 38), font(16.0, *colour)))?;
                }
            }
            area.draw(&Text::new(name.clone(), (x + 30, 40), font(15.0, INK)))?;
            let (width, _) = area.estimate_text_size(name, &font(15.0, INK))?;
            x += width as i32 + 58;
        }
        Ok(())
    }

    /// The ends of the vertical axis and the values that get a label.
    fn scale(&self) -> (f64, f64, Vec<f64>) {
        let highest = if self.highest.is_finite() && self.highest > 0.0 { self.highest } else { 1.0 };
        if self.log {
            let (low, high) = (self.lowest.log10().floor() as i32, (1.05 * highest).log10().ceil() as i32);
            let marks =
                (low..=high).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)));
            let values = marks.filter(|&mark| mark >= self.lowest && mark <= 1.2 * highest).collect();
            return (self.lowest, 1.2 * highest, values);
        }
        let step = round_step(highest / 5.0);
        let top = step * (1.04 * highest / step).ceil();
        let count = (top / step).round() as usize;
        (0.0, top, (0..=count).map(|index| step * index as f64).collect())
    }
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
pub fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(10.0 * power)
}

/// Text of the embedded font.
pub fn font(size: f64, colour: RGBColor) -> TextStyle<'static> {
    TextStyle {
        font: ("sans-serif", size).into_font(),
        color: colour.to_backend_color(),
        pos: Pos::default(),
    }
}

impl<DB: DrawingBackend> Panel<'_, DB> {
    fn y(&self, value: f64) -> f64 {
        if self.log { value.max(self.floor).log10() } else { value }
    }

    /// A line through points; it breaks where a value is missing.
    pub fn line(
        &mut self,
        points: &[(f64, Option<f64>)],
        colour: RGBColor,
        width: u32,
    ) -> Result<(), DrawError<DB>> {
        for piece in points.split(|(_, value)| value.is_none_or(|value| !value.is_finite())) {
            let line: Vec<(f64, f64)> =
                piece.iter().filter_map(|&(at, value)| Some((at, self.y(value?)))).collect();
            for stretch in self.smooth(&line) {
                let stretch = stretch.iter().copied();
                self.chart.draw_series(LineSeries::new(stretch, colour.stroke_width(width)))?;
            }
        }
        Ok(())
    }

    /// Cuts a line where it turns back by more than a right angle: a thick line would be drawn with a long spike there.
    fn smooth<'p>(&self, line: &'p [(f64, f64)]) -> Vec<&'p [(f64, f64)]> {
        let Some(last) = line.len().checked_sub(1) else { return Vec::new() };
        let pixels: Vec<(i32, i32)> = line.iter().map(|point| self.chart.backend_coord(point)).collect();
        let turns_back = |w: &[(i32, i32)]| {
            let [a, b, c] = [w[0], w[1], w[2]].map(|(x, y)| (f64::from(x), f64::from(y)));
            (b.0 - a.0) * (c.0 - b.0) + (b.1 - a.1) * (c.1 - b.1) < 0.0
        };
        let turns = pixels.windows(3).enumerate().filter(|(_, w)| turns_back(w)).map(|(at, _)| at + 1);
        let mut stretches = Vec::new();
        let mut from = 0;
        for turn in turns.chain([last]) {
            stretches.push(&line[from..=turn]);
            from = turn;
        }
        stretches
    }

    /// The area under points.
    pub fn area(&mut self, points: &[(f64, f64)], colour: RGBColor) -> Result<(), DrawError<DB>> {
        let bottom = self.chart.as_coord_spec().get_y_range().start;
        let line: Vec<(f64, f64)> = points.iter().map(|&(at, value)| (at, self.y(value))).collect();
        self.chart.draw_series(
            AreaSeries::new(line, bottom, colour.mix(0.22)).border_style(plotters::style::TRANSPARENT),
        )?;
        Ok(())
    }

    /// A horizontal line with a name at its right end.
    pub fn level(&mut self, value: f64, name: &str, colour: RGBColor) -> Result<(), DrawError<DB>> {
        let range = self.chart.as_coord_spec().get_x_range();
        let y = self.y(value);
        let dash = (range.end - range.start) / 160.0;
        let dashes = (0..160).step_by(2).map(|index| {
            let from = range.start + dash * f64::from(index);
            PathElement::new(vec![(from, y), (from + dash, y)], colour.stroke_width(2))
        });
        self.chart.draw_series(dashes)?;
        self.note((range.start + dash, value), name, colour)
    }

    /// A text just above a point.
    fn note(&mut self, (at, value): (f64, f64), text: &str, colour: RGBColor) -> Result<(), DrawError<DB>> {
        let (x, y) = self.chart.backend_coord(&(at, self.y(value)));
        let area = self.chart.plotting_area().strip_coord_spec();
        let (x0, y0) = area.get_base_pixel();
        area.draw(&Text::new(text.to_string(), (x - x0, y - y0 - 18), font(14.0, colour)))
    }

    /// Marks stretches of time.
    pub fn shade(&mut self, stretches: &[(f64, f64)], colour: RGBColor) -> Result<(), DrawError<DB>> {
        let range = self.chart.as_coord_spec().get_y_range();
        let style: ShapeStyle = colour.mix(0.16).filled();
        let boxes =
            stretches.iter().map(|&(from, to)| Rectangle::new([(from, range.start), (to, range.end)], style));
        self.chart.draw_series(boxes)?;
        Ok(())
    }

    /// Boxes from a time to a time and from a value to a value.
    pub fn boxes(&mut self, boxes: &[[(f64, f64); 2]], colour: RGBColor) -> Result<(), DrawError<DB>> {
        let style: ShapeStyle = colour.mix(0.85).filled();
        self.chart.draw_series(boxes.iter().map(|&corners| Rectangle::new(corners, style)))?;
        Ok(())
    }

    /// Puts a letter at a point.
    pub fn marker(
        &mut self,
        (at, value): (f64, f64),
        marker: char,
        colour: RGBColor,
    ) -> Result<(), DrawError<DB>> {
        let (x, y) = self.chart.backend_coord(&(at, self.y(value)));
        let area = self.chart.plotting_area().strip_coord_spec();
        let (x0, y0) = area.get_base_pixel();
        area.draw(&Text::new(marker.to_string(), (x - x0 - 6, y - y0 - 12), font(18.0, colour)))
    }

    /// A thin vertical line.
    pub fn instant(&mut self, at: f64) -> Result<(), DrawError<DB>> {
        let range = self.chart.as_coord_spec().get_y_range();
        self.chart
            .draw_series([PathElement::new(vec![(at, range.start), (at, range.end)], FAINT.mix(0.6))])?;
        Ok(())
    }
}

/// Points of a quantity that stays the same for an interval.
pub fn steps(values: impl Iterator<Item = (f64, f64)>, interval: f64) -> Vec<(f64, f64)> {
    values.flat_map(|(at, value)| [(at, value), (at + interval, value)]).collect()
}

/// Points as a line takes them.
pub fn whole(points: &[(f64, f64)]) -> Vec<(f64, Option<f64>)> {
    points.iter().map(|&(at, value)| (at, Some(value))).collect()
}
