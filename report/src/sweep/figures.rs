//! A sweep's figures as plots take them.

use scalesim::experiment::sweep::{Axis, Design, SweepCell, SweepResults, VIOLATION};

use crate::plots::{AxisPanel, AxisPlots, AxisPoint, Facet, HeatCell, HeatMap, TradeOff, TradePoint};

/// Small multiples that are drawn.
const MOST_FACETS: usize = 12;

/// A heat map of a grid over two axes or more: the first goes across, the second up, and for each combination of the others
/// there is a map of its own. `None` where the sweep is no such grid.
pub fn heat_map(results: &SweepResults, name: &str, unit: &str) -> Option<HeatMap> {
    let lists = grid(results)?;
    let ((x, columns), (y, rows)) = (lists.first()?, lists.get(1)?);
    let others = &lists[2..];
    let combinations: usize = others.iter().map(|(_, list)| list.len()).product();
    // The last axis changes first: the cells of a combination are as far apart as there are combinations.
    let facet = |combination: usize| {
        let cell = |column: usize, row: usize| {
            let index = (column * rows.len() + row) * combinations + combination;
            heat_cell(results, results.cells.get(index), name)
        };
        let cells = (0..rows.len()).flat_map(|row| (0..columns.len()).map(move |column| (column, row)));
        Facet {
            label: label(others, combination),
            cells: cells.map(|(column, row)| cell(column, row)).collect(),
        }
    };
    Some(HeatMap {
        title: format!("{}: {name}", results.header.scenario),
        unit: unit.to_string(),
        across: (x.name(), columns.clone()),
        up: (y.name(), rows.clone()),
        facets: (0..combinations.min(MOST_FACETS)).map(facet).collect(),
        left_out: combinations.saturating_sub(MOST_FACETS),
        judged: results.cells.iter().any(|cell| cell.result.kept.is_some()),
    })
}

/// The axes of a grid with their values; `None` for another design, and where a value list cannot be made again.
fn grid(results: &SweepResults) -> Option<Vec<(Axis, Vec<String>)>> {
    if results.header.design != Design::Grid {
        return None;
    }
    let with_list = |axis: Axis| axis.list().ok().map(|list| (axis, list));
    let lists: Option<Vec<_>> = results.axes().into_iter().map(with_list).collect();
    lists.filter(|lists| lists.iter().map(|(_, list)| list.len()).product::<usize>() == results.cells.len())
}

/// The values of the other axes in a combination.
fn label(others: &[(Axis, Vec<String>)], combination: usize) -> String {
    let mut rest = combination;
    let mut words: Vec<String> = Vec::new();
    for (axis, list) in others.iter().rev() {
        words.push(format!("{} = {}", axis.name(), list[rest % list.len()]));
        rest /= list.len();
    }
    words.reverse();
    words.join(", ")
}

fn heat_cell(results: &SweepResults, cell: Option<&SweepCell>, name: &str) -> HeatCell {
    let result = cell.map(|cell| &cell.result);
    HeatCell {
        value: result.and_then(|result| result.figure(name)).map(|figure| figure.mean),
        holds: result.and_then(|result| result.holds(results.header.replications)) == Some(true),
    }
}

/// The figure against each axis: all cells, with a line through them where there is one axis.
pub fn axis_plots(results: &SweepResults, name: &str, unit: &str) -> AxisPlots {
    let axes = results.axes();
    let panel = |(index, axis): (usize, &Axis)| {
        let values: Vec<&str> = results
            .cells
            .iter()
            .map(|cell| cell.result.values.get(index).map_or("", String::as_str))
            .collect();
        let (positions, labels) = positions(&values, axis);
        let points = results.cells.iter().zip(positions).filter_map(|(cell, at)| {
            let figure = cell.result.figure(name)?;
            let holds = cell.result.holds(results.header.replications) == Some(true);
            Some(AxisPoint { at, value: figure.mean, half: figure.half_width.unwrap_or(0.0), holds })
        });
        let first = values.first().and_then(|value| number(value));
        let affixes = first.map_or_else(Default::default, |(before, _, after)| (before.into(), after.into()));
        AxisPanel {
            name: axis.name(),
            labels,
            affixes,
            points: points.collect(),
            line: axes.len() == 1 && numeric(&values),
        }
    };
    AxisPlots {
        title: format!("{}: {name}", results.header.scenario),
        unit: unit.to_string(),
        panels: axes.iter().enumerate().map(panel).collect(),
        judged: results.cells.iter().any(|cell| cell.result.kept.is_some()),
    }
}

/// Where values stand on an axis, and the labels of places: by number where all are numbers of one unit, else one after
/// another.
fn positions(values: &[&str], axis: &Axis) -> (Vec<f64>, Vec<(f64, String)>) {
    let distinct = axis.list().unwrap_or_default();
    if numeric(values) {
        let numbers = values.iter().filter_map(|value| number(value)).map(|(_, number, _)| number).collect();
        let labels = distinct.iter().filter_map(|text| Some((number(text)?.1, text.clone())));
        return (numbers, labels.collect());
    }
    let place = |value: &&str| distinct.iter().position(|own| own == value).unwrap_or(0) as f64;
    let labels = distinct.iter().enumerate().map(|(place, text)| (place as f64, text.clone())).collect();
    (values.iter().map(place).collect(), labels)
}

fn numeric(values: &[&str]) -> bool {
    let parsed: Option<Vec<_>> = values.iter().map(|value| number(value)).collect();
    parsed.is_some_and(|all| all.windows(2).all(|pair| (pair[0].0, pair[0].2) == (pair[1].0, pair[1].2)))
}

/// What stands before a number, the number, and what stands after it.
fn number(text: &str) -> Option<(&str, f64, &str)> {
    let first = text.find(|c: char| c.is_ascii_digit() || c == '-')?;
    let rest = &text[first..];
    let end = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| end + 1);
    let after = &rest[end..];
    let one = !after.contains(|c: char| c.is_ascii_digit());
    Some((&text[..first], rest[..end].parse().ok().filter(|_| one)?, after))
}

/// Cost against violation; `None` where no cell has both.
pub fn trade_off(results: &SweepResults) -> Option<TradeOff> {
    let point = |cell: &SweepCell| {
        let (cost, violation) = (cell.result.figure("cost")?, cell.result.figure(VIOLATION)?);
        Some(TradePoint {
            label: cell.result.values.join(", "),
            cost: cost.mean,
            cost_half: cost.half_width.unwrap_or(0.0),
            minutes: violation.mean,
            minutes_half: violation.half_width.unwrap_or(0.0),
            frontier: cell.pareto == Some(true),
        })
    };
    let points: Vec<TradePoint> = results.cells.iter().filter_map(point).collect();
    let currency = results.figures().into_iter().find(|figure| figure.0 == "cost")?.1.to_string();
    let title = format!("{}: cost against violation", results.header.scenario);
    (!points.is_empty()).then_some(TradeOff { title, currency, points })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use scalesim::experiment::sweep::{CellResult, Header, Part, design, header, merge};
    use scalesim::results::{Figure, Outcome};

    use super::*;

    /// A sweep whose figure `speed` spells the values of a cell: 132 is the first of one axis, the third of the next.
    fn results(axes: &[&str], design: Design) -> SweepResults {
        let parsed: Vec<Axis> = axes.iter().map(|axis| axis.parse().unwrap()).collect();
        let cells = design::cells(&parsed, design, 1).unwrap();
        let header = Header {
            schema: header::SCHEMA.to_string(),
            version: "1".to_string(),
            scenario: "Shop".to_string(),
            set: Vec::new(),
            axes: axes.iter().map(ToString::to_string).collect(),
            design,
            seed: 1,
            replications: 1,
            cells: cells.len(),
            plans: String::new(),
            shard: None,
        };
        let cell = |cell: &design::Cell| CellResult {
            cell: cell.index,
            values: cell.values.clone(),
            set: Vec::new(),
            outcome: Outcome::Complete,
            kept: Some(u32::from(cell.values[0] == "1s")),
            order_hash: String::new(),
            figures: vec![Figure {
                name: "speed".to_string(),
                unit: "s".to_string(),
                mean: cell.values.concat().replace('s', "").parse().unwrap(),
                half_width: None,
            }],
        };
        merge(vec![Part { name: "all".to_string(), header, cells: cells.iter().map(cell).collect() }])
            .unwrap()
    }

    #[test]
    fn the_first_axis_goes_across_the_second_up_and_others_have_maps_of_their_own() {
        let map =
            heat_map(&results(&["a=1s..2s:1s", "b=1..3", "c=1..2"], Design::Grid), "speed", "s").unwrap();
        assert_eq!((map.across.0.as_str(), map.across.1.len(), map.up.1.len()), ("a", 2, 3));
        let values =
            |facet: usize| map.facets[facet].cells.iter().map(|cell| cell.value.unwrap()).collect::<Vec<_>>();
        assert_eq!(values(0), [111.0, 211.0, 121.0, 221.0, 131.0, 231.0]);
        assert_eq!(values(1), [112.0, 212.0, 122.0, 222.0, 132.0, 232.0]);
        assert_eq!(map.facets[1].label, "c = 2");
        assert!(map.facets[0].cells[0].holds && !map.facets[0].cells[1].holds);
    }

    #[test]
    fn more_maps_than_fit_are_counted() {
        let map = heat_map(&results(&["a=1,2", "b=1,2", "c=1..15"], Design::Grid), "speed", "s").unwrap();
        assert_eq!((map.facets.len(), map.left_out), (MOST_FACETS, 3));
    }

    #[test]
    fn a_line_goes_through_the_values_of_one_axis_of_numbers() {
        let plots = axis_plots(&results(&["a=1s,4s,2s"], Design::Grid), "speed", "s");
        let places: Vec<f64> = plots.panels[0].points.iter().map(|point| point.at).collect();
        assert_eq!((places, plots.panels[0].line), (vec![1.0, 4.0, 2.0], true));
        let design = Design::LatinHypercube { cells: 4 };
        let plots = axis_plots(&results(&["a=1s..9s", "b=1..4"], design), "speed", "s");
        assert_eq!(plots.panels.len(), 2);
        assert!(!plots.panels[0].line && plots.panels[0].labels.is_empty());
        assert_eq!(plots.panels[0].affixes.1, "s");
        assert_eq!(number("p99 <= 60ms"), None, "two numbers are words");
    }
}
