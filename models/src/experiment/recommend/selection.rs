//! Which of several configurations is cheapest: the fully sequential procedure of Kim and Nelson.
//!
//! S.-H. Kim and B. L. Nelson, "A fully sequential procedure for indifference-zone selection in simulation", ACM Transactions on
//! Modeling and Computer Simulation 11(3), 2001. Each pair of configurations is played on the same days (common random numbers),
//! so that their difference varies less than either. From the first `n0` days the variance of a difference, `S²`, is estimated;
//! from then on the sum of differences is watched, day by day, until it leaves a triangle
//!
//! ```text
//! |Σ (Xi − Xl)| > W(r) = max(0, δ/2 · (h² S² / δ² − r)),    h² = 2 η (n0 − 1),    η = ½ ((2 ε / (k − 1))^(−2/(n0 − 1)) − 1)
//! ```
//!
//! and the dearer one is out. With `c = 1`, as here, that is the form the authors recommend. Where the costs of days are normal,
//! one of `k` configurations whose cost is at least `δ` below all others is selected with a chance of at least `1 − ε`;
//! what is within `δ` of the cheapest is as good.
//!
//! The constraint is dealt with as by S. Andradóttir and S.-H. Kim, "Fully sequential procedures for comparing constrained systems
//! via simulation", Naval Research Logistics 57(5), 2010: only who was found to hold may put others out, and the error
//! is shared between the two questions. Their own test of feasibility is for means of normal values; days are kept or are not,
//! so [Wald's test](super::sprt) stands in its place.

use std::cmp::Ordering;

/// Days that are played of every configuration before any two are compared.
pub const FIRST_DAYS: u32 = 10;

/// Compares costs of days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// What does not matter, in the unit of the costs.
    delta: f64,
    /// h².
    h2: f64,
}

impl Selection {
    /// Among `candidates`, with a chance of at most `error` to drop one that is cheaper than all others by `delta`, which is above
    /// zero.
    pub fn new(candidates: usize, error: f64, delta: f64) -> Selection {
        let (first, rivals) = (f64::from(FIRST_DAYS), candidates.saturating_sub(1).max(1) as f64);
        let eta = 0.5 * ((2.0 * error / rivals).powf(-2.0 / (first - 1.0)) - 1.0);
        Selection { delta, h2: 2.0 * eta * (first - 1.0) }
    }

    /// How the costs of two compare, each by day, on the days that both have; `None` while the difference is in the triangle. They
    /// are equal where the triangle has ended and the sums are the same to the last digit.
    pub fn compare(&self, one: &[f64], other: &[f64]) -> Option<Ordering> {
        let first = FIRST_DAYS as usize;
        let days = one.len().min(other.len());
        if days < first {
            return None;
        }
        let reach = self.days(one, other);
        let mut sum = 0.0;
        for (r, (a, b)) in (1..).zip(one.iter().zip(other)) {
            sum += a - b;
            if r < first {
                continue;
            }
            let width = (self.delta / 2.0 * (reach - r as f64)).max(0.0);
            if sum.abs() > width {
                return Some(sum.total_cmp(&0.0));
            }
            if width == 0.0 {
                return Some(Ordering::Equal);
            }
        }
        None
    }

    /// The most days that comparing the two takes; needs [`FIRST_DAYS`] of both.
    pub fn days(&self, one: &[f64], other: &[f64]) -> f64 {
        let first = FIRST_DAYS as usize;
        let differences = one.iter().zip(other).take(first).map(|(a, b)| a - b);
        let tally: sim_core::stats::Tally = differences.collect();
        self.h2 * tally.variance().unwrap_or(0.0) / (self.delta * self.delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};
    use sim_core::Seed;

    /// Selects among candidates of these mean costs by comparing all, day by day, as long as it takes.
    fn select(selection: &Selection, means: &[f64], noise: f64, shared: f64, seed: u64) -> usize {
        let mut bits = Seed::new(seed).stream("costs");
        let mut costs: Vec<Vec<f64>> = vec![Vec::new(); means.len()];
        let mut live: Vec<usize> = (0..means.len()).collect();
        loop {
            // Common random numbers: a part of the day is the same for all.
            let day: f64 = StandardNormal.sample(&mut bits);
            for (cost, mean) in costs.iter_mut().zip(means) {
                let own: f64 = StandardNormal.sample(&mut bits);
                cost.push(mean + shared * day + noise * own);
            }
            let out = |&i: &usize| {
                live.iter()
                    .any(|&l| l != i && selection.compare(&costs[i], &costs[l]) == Some(Ordering::Greater))
            };
            let left: Vec<usize> = live.iter().copied().filter(|i| !out(i)).collect();
            live = left;
            assert!(!live.is_empty(), "nobody is dearer than one who is dearer than him");
            if live.len() == 1 {
                return live[0];
            }
        }
    }

    /// In the slippage configuration, all others dearer by exactly the zone, the cheapest is selected at least as often as
    /// stated: 2000 experiments each, with 4 standard errors of slack.
    #[test]
    fn the_cheapest_is_selected_at_least_as_often_as_stated() {
        for (candidates, error, shared) in [(2, 0.05, 0.0), (5, 0.05, 3.0), (10, 0.1, 1.0)] {
            let selection = Selection::new(candidates, error, 1.0);
            let means: Vec<f64> = (0..candidates).map(|i| if i == 0 { 10.0 } else { 11.0 }).collect();
            let right = (0..2000).filter(|&seed| select(&selection, &means, 2.0, shared, seed) == 0).count();
            let share = right as f64 / 2000.0;
            let slack = 4.0 * (error * (1.0 - error) / 2000.0_f64).sqrt();
            assert!(share >= 1.0 - error - slack, "{share} of {candidates}");
            assert!(share < 1.0, "a procedure that never errs plays too many days");
        }
    }

    #[test]
    fn what_common_random_numbers_share_costs_no_days() {
        let selection = Selection::new(2, 0.05, 1.0);
        let mut bits = Seed::new(3).stream("costs");
        let days: Vec<f64> =
            (0..10).map(|_| StandardNormal.sample(&mut bits)).map(|day: f64| 100.0 * day).collect();
        let dearer: Vec<f64> = days.iter().map(|day| day + 1.0).collect();
        assert_eq!(selection.compare(&dearer, &days), Some(Ordering::Greater));
        assert_eq!(selection.compare(&days, &dearer), Some(Ordering::Less));
        assert_eq!(selection.compare(&days, &days), Some(Ordering::Equal));
        assert_eq!(
            selection.compare(&days[..9], &dearer[..9]),
            None,
            "there are too few days to tell the variance"
        );
    }

    /// k = 2, error 0.05, n0 = 10: η = ½ (0.1^(−2/9) − 1) = 0.334 050, h² = 18 η = 6.012 9.
    #[test]
    fn the_triangle_is_that_of_the_paper() {
        let selection = Selection::new(2, 0.05, 0.5);
        assert!((selection.h2 - 6.012_905).abs() < 1e-5, "{}", selection.h2);
        let one: Vec<f64> = (0..10).map(f64::from).collect();
        let days = selection.days(&one, &[0.0; 10]); // S² of 0 to 9 is 55/6
        assert!((days - selection.h2 * 55.0 / 6.0 / 0.25).abs() < 1e-9, "{days}");
    }
}
