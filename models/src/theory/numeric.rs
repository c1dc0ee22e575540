//! The little numerical analysis the formulas need.

use statrs::function::gamma::ln_gamma;

/// Halvings after which two doubles have met, whatever they were.
const MAX_HALVINGS: u32 = 2_200;

/// Where a decreasing function crosses 0, between `low` (where it is positive) and `high` (where it isn't).
pub(super) fn falls_to_zero(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..MAX_HALVINGS {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if f(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The smallest time at which a falling tail is at most `tail_probability`; 0 if it starts there.
///
/// `scale` is any time of the right order of magnitude. The tail must fall to 0.
pub(super) fn quantile_of_tail(tail_probability: f64, scale: f64, tail: impl Fn(f64) -> f64) -> f64 {
    let excess = |t: f64| tail(t) - tail_probability;
    if excess(0.0) <= 0.0 {
        return 0.0;
    }
    let mut high = scale;
    while excess(high) > 0.0 && high.is_finite() {
        high *= 2.0;
    }
    falls_to_zero(0.0, high, excess)
}

/// P(Poisson(`mean`) = `k`), to nearly full relative precision also for large means.
///
/// The saddle-point form of C. Loader, "Fast and accurate computation of binomial probabilities" (2000):
/// Stirling's formula for k! and the deviance, neither of which subtracts large numbers.
pub(super) fn poisson_pmf(k: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if k == 0.0 { 1.0 } else { 0.0 };
    }
    if k < 0.5 {
        return (-mean).exp();
    }
    let x = (mean - k) / k;
    let deviance = k * (x - x.ln_1p());
    (-deviance - stirling_error(k)).exp() / (std::f64::consts::TAU * k).sqrt()
}

/// ln k! less Stirling's approximation of it, k ≥ 1.
fn stirling_error(k: f64) -> f64 {
    if k < 16.0 {
        return ln_gamma(k + 1.0) - (0.5 * (std::f64::consts::TAU * k).ln() + k * k.ln() - k);
    }
    let square = k * k;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1_260.0 - 1.0 / (1_680.0 * square)) / square) / square) / k
}

/// Solves `a x = b` by elimination with partial pivoting; `None` if `a` is singular.
pub(super) fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        if a[pivot][column] == 0.0 {
            return None;
        }
        a.swap(column, pivot);
        b.swap(column, pivot);
        let (above, below) = a.split_at_mut(column + 1);
        let pivot_row = &above[column];
        for (offset, row) in below.iter_mut().enumerate() {
            let factor = row[column] / pivot_row[column];
            if factor != 0.0 {
                for (entry, pivot_entry) in row[column..].iter_mut().zip(&pivot_row[column..]) {
                    *entry -= factor * pivot_entry;
                }
                b[column + 1 + offset] -= factor * b[column];
            }
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poisson_law_adds_up_to_one() {
        for mean in [1e-3, 0.7, 5.0, 40.0, 900.0, 20_000.0] {
            let spread = 12.0 * f64::sqrt(mean) + 40.0;
            let first = f64::max(0.0, (mean - spread).floor());
            let total: f64 =
                (0..(2.0 * spread) as u32 + 2).map(|i| poisson_pmf(first + f64::from(i), mean)).sum();
            assert!((total - 1.0).abs() < 1e-12, "mean {mean}: {total}");
        }
    }

    #[test]
    fn the_poisson_law_far_out_has_relative_precision() {
        let mut expected = (-60.0_f64).exp();
        for k in 1..=200 {
            expected *= 60.0 / f64::from(k);
        }
        assert!((poisson_pmf(200.0, 60.0) / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn elimination_solves_and_reports_singular() {
        let x = solve(vec![vec![0.0, 2.0], vec![3.0, 1.0]], vec![4.0, 5.0]).unwrap();
        assert_eq!(x, vec![1.0, 2.0]);
        assert_eq!(solve(vec![vec![1.0, 1.0], vec![1.0, 1.0]], vec![1.0, 2.0]), None);
    }

    #[test]
    fn the_median_of_an_exponential() {
        let median = quantile_of_tail(0.5, 1e-9, |t| (-t).exp());
        assert!((median - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(quantile_of_tail(0.5, 1.0, |t| 0.4 * (-t).exp()), 0.0);
    }
}
