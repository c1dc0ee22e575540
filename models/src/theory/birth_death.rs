//! The stationary law of a birth-death chain.

use super::error::TheoryError;

/// Most states a chain is followed through.
pub(super) const MAX_STATES: usize = 2_000_000;
/// Weights are scaled down when they pass this, so that no sum overflows.
const RESCALE_ABOVE: f64 = 1e200;
/// An endless chain is cut where its weights have fallen to this share of the largest and keep falling.
const NEGLIGIBLE: f64 = 1e-22;

/// Probabilities of 0, 1, ... `last` jobs (endless if `None`), from `step(n)`: birth rate in state n−1 over death
/// rate in state n. An endless chain must have steps that end below 1.
pub(super) fn stationary(last: Option<usize>, step: impl Fn(usize) -> f64) -> Result<Vec<f64>, TheoryError> {
    let mut weights = vec![1.0_f64];
    let mut largest = 1.0_f64;
    for n in 1.. {
        let ratio = step(n);
        let weight = weights[n - 1] * ratio;
        let negligible = last.is_none() && ratio < 1.0 && weight < NEGLIGIBLE * largest;
        if negligible || last.is_some_and(|last| n > last) {
            break;
        }
        if n >= MAX_STATES {
            return Err(TheoryError::TooLarge { unit: "states", limit: MAX_STATES });
        }
        weights.push(weight);
        largest = largest.max(weight);
        if weight > RESCALE_ABOVE {
            weights.iter_mut().for_each(|weight| *weight /= RESCALE_ABOVE);
            largest /= RESCALE_ABOVE;
        }
    }
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    Ok(weights)
}

/// P(at least `n`), smallest terms first. A fold, for `Iterator::sum` of nothing is −0.
pub(super) fn at_least(law: &[f64], n: usize) -> f64 {
    law.iter().skip(n).rev().fold(0.0, |total, p| total + p)
}

/// The mean excess over `n`, which is the mean number waiting with `n` servers, and the mean number with none.
pub(super) fn mean_above(law: &[f64], n: usize) -> f64 {
    law.iter().skip(n).enumerate().rev().fold(0.0, |total, (excess, p)| total + excess as f64 * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_chain_neither_overflows_nor_loses_mass() {
        // M/M/infinity at 5,000: Poisson, whose weights span more than a double can hold.
        let law = stationary(None, |n| 5_000.0 / n as f64).unwrap();
        let mean: f64 = law.iter().enumerate().map(|(n, p)| n as f64 * p).sum();
        assert!((mean - 5_000.0).abs() < 1e-8, "{mean}");
        assert!(stationary(None, |_| 1.0).is_err());
        assert_eq!((at_least(&law, 90_000), mean_above(&law, 90_000)), (0.0, 0.0));
        assert!((mean_above(&law, 4_000) - 1_000.0).abs() < 1e-8);
    }
}
