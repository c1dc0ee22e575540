//! Designs: which cells a sweep has.

use serde::{Deserialize, Serialize};
use sim_core::Seed;
use sim_core::chance::{below, unit};

use super::axis::{Axis, Values};

/// Axes that a sweep may have.
pub const MOST_AXES: usize = 16;
/// Cells that a sweep may have.
pub const MOST_CELLS: usize = 100_000;

/// Which of all combinations of values are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// All of them; the last axis changes first.
    Grid,
    /// So many, each axis divided evenly among them (McKay, Beckman and Conover 1979): of *N* cells one has its value in
    /// each *N*-th of the axis, and which cells these are is another random order for each axis. Values of a list come up
    /// equally often, or once more.
    LatinHypercube {
        /// How many.
        cells: usize,
    },
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its number, from 0.
    pub index: usize,
    /// Its value of each axis, in their order.
    pub values: Vec<String>,
}

/// The cells of a design over `axes`, in order. Random choices come from `seed`, by the names of axes: another axis
/// changes no other.
///
/// # Errors
/// In words, where there are no such cells, or too many.
pub fn cells(axes: &[Axis], design: Design, seed: u64) -> Result<Vec<Cell>, String> {
    check(axes)?;
    let Design::LatinHypercube { cells } = design else { return grid(axes) };
    if !(1..=MOST_CELLS).contains(&cells) {
        return Err(format!("a Latin hypercube can have 1 to {MOST_CELLS} cells, not {cells}"));
    }
    let columns: Vec<Vec<String>> = axes.iter().map(|axis| stratified(axis, cells, seed)).collect();
    let values = |index: usize| columns.iter().map(|column| column[index].clone()).collect();
    Ok((0..cells).map(|index| Cell { index, values: values(index) }).collect())
}

fn check(axes: &[Axis]) -> Result<(), String> {
    if axes.is_empty() || axes.len() > MOST_AXES {
        return Err(format!("a sweep has 1 to {MOST_AXES} axes, not {}", axes.len()));
    }
    let mut paths: Vec<&String> = axes.iter().flat_map(|axis| &axis.paths).collect();
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(format!("`{}` is varied twice", twice[0])),
        None => Ok(()),
    }
}

fn grid(axes: &[Axis]) -> Result<Vec<Cell>, String> {
    let lists: Result<Vec<Vec<String>>, _> = axes.iter().map(Axis::list).collect();
    let lists = lists.map_err(|error| error.to_string())?;
    let count = lists.iter().try_fold(1_usize, |count, list| count.checked_mul(list.len()));
    let Some(count) = count.filter(|&count| count <= MOST_CELLS) else {
        return Err(format!(
            "the grid has more than {MOST_CELLS} cells; take fewer values, or `--latin-hypercube N`"
        ));
    };
    let cell = |index: usize| {
        let mut rest = index;
        let picked = lists.iter().rev().map(|list| {
            let value = list[rest % list.len()].clone();
            rest /= list.len();
            value
        });
        let mut values: Vec<String> = picked.collect();
        values.reverse();
        Cell { index, values }
    };
    Ok((0..count).map(cell).collect())
}

/// A value of the axis for each cell.
fn stratified(axis: &Axis, cells: usize, seed: u64) -> Vec<String> {
    let mut stream = Seed::new(seed).stream(&format!("sweep/latin-hypercube/{}", axis.name()));
    let mut strata: Vec<usize> = (0..cells).collect();
    for last in (1..cells).rev() {
        let other = below(&mut stream, last as u32 + 1) as usize;
        strata.swap(last, other);
    }
    // The middles of strata fall on few values evenly; where there are more values than strata, chance has to pick.
    let few = values(axis).is_some_and(|count| count <= cells as f64);
    let mut share = |stratum: usize| {
        let within = unit(&mut stream);
        (stratum as f64 + if few { 0.5 } else { within }) / cells as f64
    };
    strata.into_iter().map(|stratum| axis.at(share(stratum))).collect()
}

/// How many values an axis has; `None` where there is no end of them.
fn values(axis: &Axis) -> Option<f64> {
    match &axis.values {
        Values::List(list) => Some(list.len() as f64),
        Values::Range(range) => (range.whole && !range.log).then_some(range.high - range.low + 1.0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use proptest::prelude::*;

    use super::*;

    fn axes(texts: &[&str]) -> Vec<Axis> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn column(cells: &[Cell], axis: usize) -> Vec<&str> {
        cells.iter().map(|cell| cell.values[axis].as_str()).collect()
    }

    #[test]
    fn a_grid_has_every_combination_once_and_its_last_axis_changes_first() {
        let cells = cells(&axes(&["a=1..2", "b=x,y,z"]), Design::Grid, 1).unwrap();
        let seen: Vec<String> = cells.iter().map(|cell| cell.values.concat()).collect();
        assert_eq!(seen, ["1x", "1y", "1z", "2x", "2y", "2z"]);
        assert!(cells.iter().enumerate().all(|(index, cell)| cell.index == index));
    }

    #[test]
    fn another_axis_moves_no_other_of_a_latin_hypercube() {
        let design = Design::LatinHypercube { cells: 20 };
        let one = cells(&axes(&["a=0.0..1.0"]), design, 7).unwrap();
        let two = cells(&axes(&["b=1..5", "a=0.0..1.0"]), design, 7).unwrap();
        assert_eq!(column(&one, 0), column(&two, 1));
        let other = cells(&axes(&["a=0.0..1.0"]), design, 8).unwrap();
        assert_ne!(column(&one, 0), column(&other, 0));
    }

    #[test]
    fn axes_of_a_latin_hypercube_are_in_orders_of_their_own() {
        let design = Design::LatinHypercube { cells: 500 };
        let cells = cells(&axes(&["a=0.0..1.0", "b=0.0..1.0"]), design, 3).unwrap();
        let [a, b] = [0, 1].map(|axis| {
            column(&cells, axis).iter().map(|value| value.parse::<f64>().unwrap() - 0.5).collect::<Vec<_>>()
        });
        let correlation = 12.0 * a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / 500.0;
        assert!(correlation.abs() < 3.0 / 500_f64.sqrt(), "{correlation}");
    }

    #[test]
    fn designs_that_cannot_be_say_why() {
        let why = |texts: &[&str], design| cells(&axes(texts), design, 1).unwrap_err();
        assert!(why(&[], Design::Grid).contains("1 to 16 axes"));
        assert!(why(&["a=1,2", "b,a=1,2"], Design::Grid).contains("`a` is varied twice"));
        assert!(why(&["a=1..1000", "b=1..1000"], Design::Grid).contains("more than 100000 cells"));
        assert!(why(&["a=1s..2s"], Design::Grid).contains("lin5"));
        assert!(why(&["a=1s..2s"], Design::LatinHypercube { cells: 0 }).contains("1 to 100000"));
        let most: Vec<String> = (0..16).map(|axis| format!("a{axis}=1..10000")).collect();
        let most: Vec<&str> = most.iter().map(String::as_str).collect();
        assert!(why(&most, Design::Grid).contains("more than 100000 cells"), "10^64 cells are no overflow");
    }

    proptest! {
        /// One value in each stratum: what a Latin hypercube is.
        #[test]
        fn each_stratum_of_a_latin_hypercube_has_one_cell(count in 1_usize..200, seed: u64, low in -50.0..50.0_f64) {
            let axis: Axis = format!("a={low:.3}s..{:.3}s", low + 10.0).parse().unwrap();
            let cells = cells(&[axis], Design::LatinHypercube { cells: count }, seed).unwrap();
            let mut taken = vec![0; count];
            for value in column(&cells, 0) {
                let at = value.trim_end_matches('s').parse::<f64>().unwrap();
                let share = (at - (low * 1_000.0).round() / 1_000.0) / 10.0;
                // Values are rounded to some millionths of the range.
                let stratum = (share * count as f64).clamp(0.0, count as f64 - 1e-3);
                let near = (stratum - stratum.round()).abs() < 1e-3;
                prop_assume!(!near);
                taken[stratum as usize] += 1;
            }
            prop_assert!(taken.iter().all(|&taken| taken == 1), "{taken:?}");
        }

        /// Values of lists, and whole numbers, come up as often as each other, give or take one.
        #[test]
        fn a_latin_hypercube_takes_values_of_a_list_evenly(count in 1_usize..200, values in 1_usize..30, seed: u64) {
            prop_assume!(values <= count);
            let list: Vec<String> = (0..values).map(|value| format!("v{value}")).collect();
            let axes = axes(&[&format!("a={}", list.join(",")), &format!("b=1..{values}")]);
            let cells = cells(&axes, Design::LatinHypercube { cells: count }, seed).unwrap();
            for axis in 0..2 {
                let mut column = column(&cells, axis);
                column.sort_unstable();
                let often: Vec<usize> = column.chunk_by(|a, b| a == b).map(<[&str]>::len).collect();
                prop_assert_eq!(often.len(), values);
                prop_assert!(often.iter().all(|&often| often == count / values || often == count.div_ceil(values)));
            }
        }
    }
}
