//! Results as people and programs want them: text for a terminal, JSON, CSV, and plots as SVG and PNG.
//!
//! Every exporter is a function from [`Results`] to bytes, listed in [`ARTEFACTS`]; nothing here opens a file or prints.

mod answers;
mod comparison;
mod plots;
mod sweep;
mod tables;
mod text;

use scalesim::results::Results;
use serde::Serialize;

pub use answers::{EXPLANATION_ARTEFACTS, RECOMMENDATION_ARTEFACTS};
pub use comparison::{COMPARISON_ARTEFACTS, comparison_csv};
pub use plots::{
    Measured, PlotError, TradeOff, TradePoint, Validation, ValidationRow, recommendation_png,
    recommendation_svg, trade_off_png, trade_off_svg, validation_png, validation_svg,
};
pub use scalesim::results::Clock;
pub use sweep::{
    CELLS, Cells, CellsError, MOST_PLOTTED, PLOTTED, arguments, cells_of, line, shell, sweep_files,
};
pub use text::{
    Style, changes_text, comparison_text, count, duration, render_estimate, render_explanation,
    render_recommendation, render_sweep, render_text, short, value,
};

/// Makes the contents of a file of what was found.
pub type Export<T> = fn(&T) -> Result<Vec<u8>, ExportError>;

/// All files of a report, and what makes each.
pub const ARTEFACTS: [(&str, Export<Results>); 18] = [
    ("results.json", json),
    ("series.csv", |results| Ok(tables::series(results)?)),
    ("activities.csv", |results| Ok(tables::activities(results)?)),
    ("violations.csv", |results| Ok(tables::violations(results)?)),
    ("overview.svg", |results| Ok(plots::svg(results, plots::Picture::Overview)?)),
    ("overview.png", |results| Ok(plots::png(results, plots::Picture::Overview)?)),
    ("load.svg", |results| Ok(plots::svg(results, plots::Picture::Load)?)),
    ("load.png", |results| Ok(plots::png(results, plots::Picture::Load)?)),
    ("response-time.svg", |results| Ok(plots::svg(results, plots::Picture::ResponseTime)?)),
    ("response-time.png", |results| Ok(plots::png(results, plots::Picture::ResponseTime)?)),
    ("instances.svg", |results| Ok(plots::svg(results, plots::Picture::Instances)?)),
    ("instances.png", |results| Ok(plots::png(results, plots::Picture::Instances)?)),
    ("cpu.svg", |results| Ok(plots::svg(results, plots::Picture::Cpu)?)),
    ("cpu.png", |results| Ok(plots::png(results, plots::Picture::Cpu)?)),
    ("cost-by-hour.svg", |results| Ok(plots::svg(results, plots::Picture::CostByHour)?)),
    ("cost-by-hour.png", |results| Ok(plots::png(results, plots::Picture::CostByHour)?)),
    ("cost.svg", |results| Ok(plots::svg(results, plots::Picture::Cost)?)),
    ("cost.png", |results| Ok(plots::png(results, plots::Picture::Cost)?)),
];

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// JSON.
    #[error("JSON could not be written: {0}")]
    Json(#[from] serde_json::Error),
    /// CSV.
    #[error("a table could not be written: {0}")]
    Csv(#[from] tables::TableError),
    /// Parquet.
    #[error("a Parquet file could not be written: {0}")]
    Parquet(String),
    /// A plot.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// All that was found, as JSON: indented, the same bytes for the same results.
///
/// # Errors
/// Where a value has no JSON form.
pub fn json<T: Serialize>(found: &T) -> Result<Vec<u8>, ExportError> {
    let mut bytes = serde_json::to_vec_pretty(found)?;
    bytes.push(b'\n');
    Ok(bytes)
}
