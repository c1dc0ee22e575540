//! The scales: linear, or logarithmic with room for zero where values are far apart.

use super::super::frame::round_step;

/// Values that are further apart than this are shown by their logarithms.
const FAR_APART: f64 = 40.0;
/// Marks on an axis that are aimed at.
const MARKS: f64 = 6.0;

/// From values to pixels.
pub struct Scale {
    pixels: (i32, i32),
    low: f64,
    high: f64,
    /// Below about this a logarithmic scale turns linear, so that it has a zero.
    unit: Option<f64>,
    marks: Vec<f64>,
    digits: usize,
}

impl Scale {
    /// For values and the halves of their intervals. None of what is shown is below zero.
    pub fn new(
        pixels: (i32, i32),
        values: impl Iterator<Item = (f64, f64)> + Clone,
        from_zero: bool,
    ) -> Scale {
        let ends = values.clone().map(|(value, half)| (value - half, value + half));
        let highest = ends.clone().map(|end| end.1).fold(0.0, f64::max);
        let lowest = ends.map(|end| end.0).fold(f64::INFINITY, f64::min).clamp(0.0, highest);
        let least = values.map(|(value, _)| value).filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
        if highest > 0.0 && least.is_finite() && highest / least > FAR_APART {
            return Scale::logarithmic(pixels, least, highest);
        }
        let lowest = if from_zero || highest == 0.0 { 0.0 } else { lowest };
        Scale::linear(pixels, lowest, if highest > 0.0 { highest } else { 1.0 })
    }

    fn linear(pixels: (i32, i32), lowest: f64, highest: f64) -> Scale {
        // Values that are all the same have some room around them.
        let range = (highest - lowest).max(0.01 * highest);
        let step = round_step(range / MARKS);
        let low = (((lowest - 0.15 * range) / step).floor() * step).max(0.0);
        let high = ((highest + 0.1 * range) / step).ceil() * step;
        let low = if lowest == 0.0 { -0.03 * high } else { low };
        let first = (low / step).ceil().max(0.0);
        let count = ((high / step - first).round().max(0.0)) as usize;
        let marks = (0..=count).map(|index| (first + index as f64) * step).collect();
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        Scale { pixels, low, high, unit: None, marks, digits }
    }

    fn logarithmic(pixels: (i32, i32), least: f64, highest: f64) -> Scale {
        let unit = 10f64.powf(least.log10().floor());
        let decades = (highest / unit).log10().ceil().clamp(1.0, 300.0) as i32;
        let parts: &[f64] = if decades <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (decades / 10 + 1) as usize;
        let decades = (0..=decades).step_by(every);
        let marks = decades.flat_map(|decade| parts.iter().map(move |part| part * unit * 10f64.powi(decade)));
        let high = 1.4 * highest;
        let marks = [0.0].into_iter().chain(marks.filter(|&mark| mark <= high)).collect();
        let digits = (-unit.log10().floor()).clamp(0.0, 9.0) as usize;
        Scale { pixels, low: -0.25 * unit, high, unit: Some(unit), marks, digits }
    }

    /// The pixel of a value; what lies outside is put at the end.
    pub fn at(&self, value: f64) -> i32 {
        let place = |value: f64| match self.unit {
            Some(unit) => (1.0 + value.max(-0.9 * unit) / unit).ln(),
            None => value,
        };
        let share = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        let (from, to) = self.pixels;
        from + (f64::from(to - from) * share.clamp(0.0, 1.0)).round() as i32
    }

    /// Marks: pixels and what is written beside them.
    pub fn ticks(&self) -> impl Iterator<Item = (i32, String)> {
        self.marks.iter().map(|&mark| {
            let digits = if mark >= 1.0 && self.unit.is_some() { 0 } else { self.digits };
            (self.at(mark), format!("{mark:.digits$}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(values: &[(f64, f64)], from_zero: bool) -> Vec<String> {
        Scale::new((0, 1000), values.iter().copied(), from_zero).ticks().map(|tick| tick.1).collect()
    }

    #[test]
    fn marks_are_round_and_told_apart() {
        assert_eq!(
            marks(&[(23.41, 0.01), (23.62, 0.01)], false),
            ["23.35", "23.40", "23.45", "23.50", "23.55", "23.60", "23.65", "23.70"]
        );
        assert_eq!(marks(&[(3.0, 0.0), (11.0, 1.0)], true), ["0", "2", "4", "6", "8", "10", "12", "14"]);
    }

    #[test]
    fn far_apart_goes_by_logarithms_and_has_a_zero() {
        let scale = Scale::new((0, 1000), [(0.0, 0.0), (2.0, 1.0), (900.0, 5.0)].into_iter(), true);
        let written: Vec<String> = scale.ticks().map(|tick| tick.1).collect();
        assert_eq!(written, ["0", "1", "2", "5", "10", "20", "50", "100", "200", "500", "1000"]);
        let pixels: Vec<i32> = scale.ticks().map(|tick| tick.0).collect();
        assert!(pixels.is_sorted() && pixels[0] > 0 && pixels[10] < 1000, "{pixels:?}");
        assert!(scale.at(100.0) - scale.at(10.0) > 200);
    }

    #[test]
    fn odd_values_have_a_scale_all_the_same() {
        for values in [vec![], vec![(0.0, 0.0)], vec![(5.0, 0.0)], vec![(1e-9, 1.0), (1e300, 1e299)]] {
            for from_zero in [false, true] {
                let scale = Scale::new((600, 90), values.iter().copied(), from_zero);
                let count = scale.ticks().count();
                assert!((2..=32).contains(&count), "{values:?}: {count} marks");
                assert!(scale.ticks().all(|(at, _)| (90..=600).contains(&at)), "{values:?}");
            }
        }
    }
}
