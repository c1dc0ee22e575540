//! What a sweep gives: files of cells, tables, plots.

mod figures;
mod lines;
mod parquet;
mod table;

use scalesim::experiment::sweep::{SweepResults, VIOLATION};

use crate::{ExportError, json, plots};

pub use lines::{Cells, CellsError, cells_of, line};
pub use table::{arguments, shell};

/// Figures that have plots unless others are asked for.
pub const PLOTTED: [&str; 3] = [VIOLATION, "cost", "response time p99"];

/// Figures that may have plots; further ones are not drawn.
pub const MOST_PLOTTED: usize = 32;

/// All files of a sweep: their names and contents, the same bytes for the same cells. `plotted` names the figures that
/// have plots; one that no cell has is left out.
///
/// # Errors
/// Where a file cannot be made.
pub fn sweep_files(
    results: &SweepResults,
    plotted: &[String],
) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let mut files = vec![
        (CELLS.to_string(), lines::all(results)?),
        ("sweep.json".to_string(), json(results)?),
        ("sweep.csv".to_string(), table::csv(results)?),
        ("sweep.parquet".to_string(), parquet::parquet(results)?),
    ];
    for name in plotted.iter().take(MOST_PLOTTED) {
        let Some(&(name, unit)) = results.figures().iter().find(|figure| figure.0 == name) else { continue };
        let slug = slug(name);
        if let Some(map) = figures::heat_map(results, name, unit) {
            files.push((format!("heatmap-{slug}.svg"), plots::heat_map_svg(&map)?));
            files.push((format!("heatmap-{slug}.png"), plots::heat_map_png(&map)?));
        } else {
            let panels = figures::axis_plots(results, name, unit);
            files.push((format!("axes-{slug}.svg"), plots::axis_plots_svg(&panels)?));
            files.push((format!("axes-{slug}.png"), plots::axis_plots_png(&panels)?));
        }
    }
    if let Some(trade_off) = figures::trade_off(results) {
        files.push(("pareto.svg".to_string(), plots::trade_off_svg(&trade_off)?));
        files.push(("pareto.png".to_string(), plots::trade_off_png(&trade_off)?));
    }
    Ok(files)
}

/// The file of cells of a whole sweep.
pub const CELLS: &str = "cells.jsonl";

/// A figure's name as part of a file's name.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}
