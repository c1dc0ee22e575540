//! The panel of what each hour cost, one kind of line upon the other.

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use scalesim::results::{BillKind, Results};

use super::frame::{Area, BLUE, DrawError, Frame, GREEN, INK, ORANGE, PURPLE, SKY, Stroke, VERMILION};
use crate::text::short;

/// The share of an hour that its bar takes.
const BAR: f64 = 0.86;

/// A colour for each kind.
fn colour(kind: BillKind) -> RGBColor {
    match kind {
        BillKind::OnDemand => BLUE,
        BillKind::Spot => SKY,
        BillKind::Committed => GREEN,
        BillKind::Balancer => ORANGE,
        BillKind::Traffic => VERMILION,
        BillKind::Storage => PURPLE,
        BillKind::Monitoring | BillKind::Queue => INK,
    }
}

/// A bar for each hour.
pub fn draw<DB: DrawingBackend>(area: &Area<DB>, results: &Results) -> Result<(), DrawError<DB>> {
    let bill = results.run.bill.as_ref();
    let currency = bill.map_or("no prices in the scenario", |bill| bill.currency.as_str());
    let kinds = BillKind::ALL.iter().map(|&kind| (kind, bill.map_or(Vec::new(), |bill| bill.by_hour(kind))));
    let kinds: Vec<(BillKind, Vec<f64>)> =
        kinds.filter(|(_, hours)| hours.iter().any(|&amount| amount.abs() > 1e-9)).collect();
    let hours = kinds.iter().map(|(_, hours)| hours.len()).max().unwrap_or(0);
    // What an hour earns back of surplus credits is below zero, and nothing to stack upon.
    let amount = |hours: &Vec<f64>, hour: usize| hours.get(hour).copied().unwrap_or(0.0).max(0.0);
    let sums = (0..hours).map(|hour| kinds.iter().map(|(_, own)| amount(own, hour)).sum::<f64>());
    let frame = Frame {
        title: format!("{}: cost of each hour ({currency})", results.scenario),
        legend: kinds
            .iter()
            .map(|(kind, _)| (kind.name().to_string(), colour(*kind), Stroke::Solid))
            .collect(),
        highest: sums.fold(0.0, f64::max),
        lowest: 0.0,
        log: false,
        label: short,
    };
    let mut panel = frame.open(area, results)?;
    let mut below = vec![0.0; hours];
    for (kind, own) in &kinds {
        let boxes = below.iter_mut().enumerate().map(|(hour, from)| {
            let start = 3_600.0 * hour as f64;
            let end = (start + 3_600.0 * BAR).min(results.duration);
            let to = *from + amount(own, hour);
            [(start, std::mem::replace(from, to)), (end, to)]
        });
        panel.boxes(&boxes.collect::<Vec<_>>(), colour(*kind))?;
    }
    Ok(())
}
