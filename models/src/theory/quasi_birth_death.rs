//! The stationary law of a chain with a level that moves by one and a few phases: a quasi-birth-death process.
//!
//! From some level on its rates no longer depend on the level, and the law goes on as `π(n+1) = π(n)·R`. Sources: Neuts 1981,
//! "Matrix-geometric solutions in stochastic models"; Latouche and Ramaswami 1993 for the iteration.

use nalgebra::{DMatrix, DVector, RowDVector};

use super::error::TheoryError;

/// Rounds of an iteration that doubles its correct digits each time.
const MOST_ROUNDS: usize = 200;
/// What is left of the iteration's error when it ends.
const NEGLIGIBLE: f64 = 1e-18;

/// A move from a state: to the level below, the same or the one above, to a phase, at a rate.
pub(super) type Move = (i32, usize, f64);

/// The law of such a chain.
pub(super) struct Law {
    /// Probabilities of the phases at each level, up to the first with which the law becomes geometric.
    levels: Vec<RowDVector<f64>>,
    /// The matrix by which it goes on from there.
    ratio: DMatrix<f64>,
}

/// The law of a chain with `phases` phases whose moves from `(level, phase)` are `moves`, and no longer depend on the level
/// from level `regular` on.
pub(super) fn stationary(
    phases: usize,
    regular: usize,
    moves: impl Fn(usize, usize) -> Vec<Move>,
) -> Result<Law, TheoryError> {
    let block = |level: usize, by: i32| {
        let mut rates = DMatrix::<f64>::zeros(phases, phases);
        for phase in 0..phases {
            for (to, other, rate) in moves(level, phase) {
                if to == by {
                    rates[(phase, other)] += rate;
                }
                if by == 0 {
                    rates[(phase, phase)] -= rate;
                }
            }
        }
        rates
    };
    let ratio = ratio(&block(regular, 1), &block(regular, 0), &block(regular + 1, -1))?;
    let mut ratios = vec![ratio.clone()];
    for level in (0..regular).rev() {
        let next = &ratios[ratios.len() - 1];
        let stays = block(level + 1, 0) + next * block(level + 2, -1);
        ratios.push(block(level, 1) * inverse(-stays)?);
    }
    let last = &ratios[ratios.len() - 1];
    let mut closed = block(0, 0) + last * block(1, -1);
    closed.column_mut(phases - 1).fill(1.0);
    let mut unit = RowDVector::zeros(phases);
    unit[phases - 1] = 1.0;
    let mut levels = vec![unit * inverse(closed)?];
    for ratio in ratios[1..].iter().rev() {
        let next = &levels[levels.len() - 1] * ratio;
        levels.push(next);
    }
    let mut law = Law { levels, ratio };
    let total = law.mean(|_, _| 1.0)?;
    law.levels.iter_mut().for_each(|level| *level /= total);
    Ok(law)
}

impl Law {
    /// The mean of a figure of the state that does not depend on the level where the law is geometric.
    pub(super) fn mean(&self, figure: impl Fn(usize, usize) -> f64) -> Result<f64, TheoryError> {
        let last = self.levels.len() - 1;
        let own = |level: usize, law: &RowDVector<f64>| -> f64 {
            law.iter().enumerate().map(|(phase, p)| p * figure(level, phase)).sum()
        };
        let below: f64 = self.levels[..last].iter().enumerate().map(|(level, law)| own(level, law)).sum();
        Ok(below + own(last, &(&self.levels[last] * self.sum_of_powers()?)))
    }

    /// The mean level.
    pub(super) fn mean_level(&self) -> Result<f64, TheoryError> {
        let last = self.levels.len() - 1;
        let below: f64 =
            self.levels[..last].iter().enumerate().map(|(level, law)| level as f64 * law.sum()).sum();
        let sum = self.sum_of_powers()?;
        let from_there = &self.levels[last] * &sum;
        let above = &from_there * &self.ratio * sum;
        Ok(below + last as f64 * from_there.sum() + above.sum())
    }

    /// I + R + R² + …
    fn sum_of_powers(&self) -> Result<DMatrix<f64>, TheoryError> {
        let phases = self.ratio.nrows();
        inverse(DMatrix::identity(phases, phases) - &self.ratio)
    }
}

/// R, by logarithmic reduction: `up`, `local` and `down` are the rates of the regular levels.
fn ratio(up: &DMatrix<f64>, local: &DMatrix<f64>, down: &DMatrix<f64>) -> Result<DMatrix<f64>, TheoryError> {
    let identity = DMatrix::<f64>::identity(up.nrows(), up.nrows());
    let out = inverse(-local.clone())?;
    let (mut higher, mut lower) = (&out * up, &out * down);
    let mut first_passage = lower.clone();
    let mut weight = higher.clone();
    for _ in 0..MOST_ROUNDS {
        let both = inverse(&identity - (&higher * &lower + &lower * &higher))?;
        higher = &both * (&higher * &higher);
        lower = &both * (&lower * &lower);
        first_passage += &weight * &lower;
        weight = &weight * &higher;
        if weight.amax() < NEGLIGIBLE {
            let stays = local + up * first_passage;
            return Ok(up * inverse(-stays)?);
        }
    }
    Err(TheoryError::TooLarge { unit: "rounds", limit: MOST_ROUNDS })
}

/// What a matrix of rates becomes when it is inverted; an error where it cannot be, as at full load.
fn inverse(matrix: DMatrix<f64>) -> Result<DMatrix<f64>, TheoryError> {
    matrix.try_inverse().ok_or(TheoryError::TooLarge { unit: "digits", limit: 16 })
}

/// True where the drift of the regular levels is downwards: the mean rate up, over the phases' own law, is below that down.
pub(super) fn is_stable(phases: usize, regular: usize, moves: impl Fn(usize, usize) -> Vec<Move>) -> bool {
    let mut rates = DMatrix::<f64>::zeros(phases, phases);
    let mut drift = DVector::<f64>::zeros(phases);
    for phase in 0..phases {
        for (by, other, rate) in moves(regular + 1, phase) {
            rates[(phase, other)] += rate;
            rates[(phase, phase)] -= rate;
            drift[phase] += f64::from(by) * rate;
        }
    }
    rates.column_mut(phases - 1).fill(1.0);
    let mut unit = RowDVector::zeros(phases);
    unit[phases - 1] = 1.0;
    rates.try_inverse().is_some_and(|inverse| (unit * inverse * drift)[0] < 0.0)
}
