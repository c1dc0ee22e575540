//! Plots with plotters, as SVG text or PNG bytes. The font is embedded: a machine without fonts draws the same.

mod axis_plots;
mod cost;
mod explain;
mod forest;
mod frame;
mod heat_map;
mod panels;
mod queues;
mod recommend;
mod sessions;
mod trade_off;
mod validation;

use std::sync::OnceLock;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::prelude::DrawingBackend;
use plotters::style::{FontStyle, WHITE, register_font};
use scalesim::experiment::explain::Explanation;
use scalesim::experiment::recommend::answer::Recommendation;
use scalesim::results::Results;

pub use axis_plots::{AxisPanel, AxisPlots, AxisPoint};
pub use forest::{Forest, ForestRow, ForestValue};
pub use heat_map::{Facet, HeatCell, HeatMap};
pub use trade_off::{TradeOff, TradePoint};
pub use validation::{Measured, Validation, ValidationRow};

/// A picture of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The important panels above one another, with one time axis.
    Overview,
    /// Offered load against capacity.
    Load,
    /// Response-time quantiles against the SLA.
    ResponseTime,
    /// Instances and what was done about them.
    Instances,
    /// CPU utilisation by group.
    Cpu,
    /// Money spent so far.
    Cost,
    /// Money by hour, by what it was for.
    CostByHour,
    /// Open sessions; part of the overview where there are any.
    Sessions,
    /// Messages in queues; part of the overview where there are queues, as are those that follow.
    Queues,
    /// How old the oldest message of each queue is.
    OldestMessage,
    /// Jobs submitted and done.
    Jobs,
    /// How long jobs took until their clients knew.
    JobTime,
}

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a plot could not be drawn: {0}")]
pub struct PlotError(String);

const PANEL: (u32, u32) = (1280, 520);
const OVERVIEW_PANEL_HEIGHT: u32 = 380;

impl Picture {
    fn panels(self, results: &Results) -> Vec<Picture> {
        if self != Picture::Overview {
            return vec![self];
        }
        let mut panels = vec![Picture::Load, Picture::ResponseTime, Picture::Instances, Picture::Cpu];
        if sessions::any(results) {
            panels.push(Picture::Sessions);
        }
        if queues::any(results) {
            panels.extend([Picture::Queues, Picture::OldestMessage, Picture::Jobs, Picture::JobTime]);
        }
        panels
    }

    fn size(self, results: &Results) -> (u32, u32) {
        match self {
            Picture::Overview => (PANEL.0, OVERVIEW_PANEL_HEIGHT * self.panels(results).len() as u32),
            _ => PANEL,
        }
    }
}

/// What is drawn.
enum Sheet<'a> {
    Panels(&'a Results, Picture),
    Validation(&'a Validation),
    TradeOff(&'a TradeOff),
    Forest(&'a Forest),
    HeatMap(&'a HeatMap),
    AxisPlots(&'a AxisPlots),
    Recommendation(&'a Recommendation),
    Explanation(&'a Explanation),
}

impl Sheet<'_> {
    fn size(&self) -> (u32, u32) {
        match self {
            Sheet::Panels(results, picture) => picture.size(results),
            Sheet::Validation(what) => (PANEL.0, validation::height(&what.rows)),
            Sheet::TradeOff(_) => trade_off::SIZE,
            Sheet::Forest(what) => (PANEL.0, forest::height(&what.rows)),
            Sheet::HeatMap(what) => heat_map::size(what),
            Sheet::AxisPlots(what) => axis_plots::size(what),
            Sheet::Recommendation(_) => recommend::SIZE,
            Sheet::Explanation(what) => (PANEL.0, explain::height(what)),
        }
    }
}

/// A picture as SVG.
pub fn svg(results: &Results, picture: Picture) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::Panels(results, picture))
}

/// A picture as PNG.
pub fn png(results: &Results, picture: Picture) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::Panels(results, picture))
}

/// Measured beside predicted, as SVG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn validation_svg(what: &Validation) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::Validation(what))
}

/// Measured beside predicted, as PNG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn validation_png(what: &Validation) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::Validation(what))
}

/// Cost against violation, as SVG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn trade_off_svg(what: &TradeOff) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::TradeOff(what))
}

/// Cost against violation, as PNG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn trade_off_png(what: &TradeOff) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::TradeOff(what))
}

/// Differences from a baseline, as SVG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn forest_svg(what: &Forest) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::Forest(what))
}

/// Differences from a baseline, as PNG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn forest_png(what: &Forest) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::Forest(what))
}

/// A figure over two axes, as SVG.
pub fn heat_map_svg(what: &HeatMap) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::HeatMap(what))
}

/// A figure over two axes, as PNG.
pub fn heat_map_png(what: &HeatMap) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::HeatMap(what))
}

/// A figure against each axis, as SVG.
pub fn axis_plots_svg(what: &AxisPlots) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::AxisPlots(what))
}

/// A figure against each axis, as PNG.
pub fn axis_plots_png(what: &AxisPlots) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::AxisPlots(what))
}

/// The candidates of a recommendation as SVG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn recommendation_svg(answer: &Recommendation) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::Recommendation(answer))
}

/// The candidates of a recommendation as PNG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn recommendation_png(answer: &Recommendation) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::Recommendation(answer))
}

/// What would have saved how much, as SVG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn explanation_svg(what: &Explanation) -> Result<Vec<u8>, PlotError> {
    as_svg(&Sheet::Explanation(what))
}

/// What would have saved how much, as PNG.
///
/// # Errors
/// Where the embedded font cannot be read.
pub fn explanation_png(what: &Explanation) -> Result<Vec<u8>, PlotError> {
    as_png(&Sheet::Explanation(what))
}

fn as_svg(sheet: &Sheet) -> Result<Vec<u8>, PlotError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, sheet.size()).into_drawing_area();
        draw(&area, sheet)?;
    }
    Ok(text.into_bytes())
}

fn as_png(sheet: &Sheet) -> Result<Vec<u8>, PlotError> {
    let (width, height) = sheet.size();
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(&area, sheet)?;
    }
    let failed = |error: png::EncodingError| PlotError(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, sheet: &Sheet) -> Result<(), PlotError> {
    fonts()?;
    let failed = |error: &dyn std::fmt::Display| PlotError(error.to_string());
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    match sheet {
        Sheet::Panels(results, picture) => {
            let panels = picture.panels(results);
            for (part, panel) in area.split_evenly((panels.len(), 1)).iter().zip(panels) {
                panels::draw(part, results, panel).map_err(|error| failed(&error))?;
            }
        }
        Sheet::Validation(what) => {
            validation::draw(area, what).map_err(|error| failed(&error))?;
        }
        Sheet::TradeOff(what) => {
            trade_off::draw(area, what).map_err(|error| failed(&error))?;
        }
        Sheet::Forest(what) => {
            forest::draw(area, what).map_err(|error| failed(&error))?;
        }
        Sheet::HeatMap(what) => {
            heat_map::draw(area, what).map_err(|error| failed(&error))?;
        }
        Sheet::AxisPlots(what) => {
            axis_plots::draw(area, what).map_err(|error| failed(&error))?;
        }
        Sheet::Recommendation(answer) => {
            recommend::draw(area, answer).map_err(|error| failed(&error))?;
        }
        Sheet::Explanation(what) => {
            explain::draw(area, what).map_err(|error| failed(&error))?;
        }
    }
    area.present().map_err(|error| failed(&error))
}

/// Registers the embedded font, once.
fn fonts() -> Result<(), PlotError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        let normal =
            register_font("sans-serif", FontStyle::Normal, include_bytes!("../../fonts/DejaVuSans.ttf"));
        let bold =
            register_font("sans-serif", FontStyle::Bold, include_bytes!("../../fonts/DejaVuSans-Bold.ttf"));
        normal.is_ok() && bold.is_ok()
    });
    if *registered { Ok(()) } else { Err(PlotError("the embedded font could not be read".to_string())) }
}
