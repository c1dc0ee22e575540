//! The panel of open sessions.

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use scalesim::results::Results;

use super::frame::{Area, DrawError, Frame, SERIES, Stroke, whole};
use super::panels::{highest, series};
use crate::text::count;

/// Whether there is anything to draw.
pub fn any(results: &Results) -> bool {
    !results.run.sessions.is_empty()
}

/// Open sessions by group, of groups that have some.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (index, (group, colour)) in results.run.groups.iter().zip(SERIES.iter().cycle()).enumerate() {
        let open =
            series(results, |row| row.groups.get(index).map_or(f64::NAN, |group| group.sessions.into()));
        if highest([&open]) > 0.0 {
            lines.push((&group.name, *colour, open));
        }
    }
    let frame = Frame {
        title: format!("{}: open sessions", results.scenario),
        legend: lines
            .iter()
            .take(8)
            .map(|(name, colour, _)| (name.to_string(), *colour, Stroke::Solid))
            .collect(),
        highest: highest(lines.iter().map(|(.., open)| open)),
        lowest: 0.0,
        log: false,
        label: count,
    };
    let mut panel = frame.open(area, results)?;
    for (_, colour, open) in &lines {
        panel.line(&whole(open), *colour, 2)?;
    }
    Ok(())
}
