//! The files of a comparison.

use scalesim::experiment::compare::{Compared, Finding, VIOLATION, VariantResult};

use crate::plots::{self, Forest, ForestRow, ForestValue};
use crate::tables::{end, headed};
use crate::text::by_weight;
use crate::{Export, ExportError, TradeOff, TradePoint, json};

/// Figures of a variant, and rows in all, that the picture of differences shows.
const MOST_FIGURES: usize = 12;
const MOST_ROWS: usize = 60;

/// All files of a comparison, and what makes each.
pub const COMPARISON_ARTEFACTS: [(&str, Export<Compared>); 6] = [
    ("comparison.json", json),
    ("comparison.csv", comparison_csv),
    ("trade-off.svg", |compared| Ok(plots::trade_off_svg(&trade_off(compared))?)),
    ("trade-off.png", |compared| Ok(plots::trade_off_png(&trade_off(compared))?)),
    ("differences.svg", |compared| Ok(plots::forest_svg(&forest(compared))?)),
    ("differences.png", |compared| Ok(plots::forest_png(&forest(compared))?)),
];

/// A row for each variant and figure.
///
/// # Errors
/// Where a row cannot be written.
pub fn comparison_csv(compared: &Compared) -> Result<Vec<u8>, ExportError> {
    Ok(table(compared)?)
}

fn table(compared: &Compared) -> Result<Vec<u8>, crate::tables::TableError> {
    let mut table = headed(&[
        "name",
        "figure",
        "unit",
        "pairs",
        "baseline",
        "variant",
        "difference",
        "half_width",
        "unpaired_half_width",
        "correlation",
        "times_as_many",
        "finding",
        "needed",
    ])?;
    for variant in &compared.variants {
        let differences = variant.against.iter().flat_map(|against| &against.differences);
        for of in differences {
            let line = (
                (&variant.name, &of.name, &of.unit, of.pairs),
                (of.baseline, of.variant, of.difference),
                (of.half_width, of.unpaired_half_width, of.correlation, of.times_as_many),
                (of.finding, of.needed),
            );
            table.serialize(line)?;
        }
    }
    end(table)
}

/// The variants by cost and violation, with the interval of each by itself.
pub fn trade_off(compared: &Compared) -> TradeOff {
    let figure = |variant: &VariantResult, name: &str| {
        let found = variant.figures.iter().find(|figure| figure.name == name)?;
        Some((found.mean, found.half_width.unwrap_or(0.0), found.unit.clone()))
    };
    let mut points = Vec::new();
    let mut currency = String::new();
    for variant in &compared.variants {
        let (Some(cost), Some(minutes)) = (figure(variant, "cost"), figure(variant, VIOLATION)) else {
            continue;
        };
        currency = cost.2;
        points.push(TradePoint {
            label: variant.name.clone(),
            cost: cost.0,
            cost_half: cost.1,
            minutes: minutes.0,
            minutes_half: minutes.1,
            frontier: false,
        });
    }
    let beaten = |own: &TradePoint, other: &TradePoint| {
        other.cost <= own.cost
            && other.minutes <= own.minutes
            && (other.cost < own.cost || other.minutes < own.minutes)
    };
    let frontier: Vec<bool> =
        points.iter().map(|own| !points.iter().any(|other| beaten(own, other))).collect();
    points.iter_mut().zip(frontier).for_each(|(point, frontier)| point.frontier = frontier);
    let title = format!("{}: cost against violation", names(compared));
    TradeOff { title, currency, points }
}

/// The differences that matter most, as shares of the baseline's values.
fn forest(compared: &Compared) -> Forest {
    let mut rows = Vec::new();
    for variant in &compared.variants {
        let Some(against) = &variant.against else { continue };
        let lone = compared.objectives.len() == 1;
        let differences =
            by_weight(&against.differences).into_iter().filter(|of| of.finding != Finding::Same);
        let values =
            differences.filter(|of| !(lone && of.name.starts_with("violation of "))).filter_map(|of| {
                let percent = |x: f64| (of.baseline != 0.0).then(|| 100.0 * x / of.baseline.abs());
                let value = ForestValue {
                    difference: percent(of.difference)?,
                    half: percent(of.half_width?)?,
                    unpaired: percent(of.unpaired_half_width?)?,
                };
                Some(ForestRow { label: of.name.clone(), value: Some(value) })
            });
        rows.push(ForestRow { label: variant.name.clone(), value: None });
        rows.extend(values.take(MOST_FIGURES));
    }
    rows.truncate(MOST_ROWS);
    Forest { title: format!("{}: differences", names(compared)), level: compared.level, rows }
}

/// What is compared, for a title.
fn names(compared: &Compared) -> String {
    let baseline = compared.variants.first().map_or("", |variant| variant.name.as_str());
    match compared.variants.as_slice() {
        [_, other] => format!("{baseline} and {}", other.name),
        variants => format!("{baseline} and {} variants", variants.len().saturating_sub(1)),
    }
}
