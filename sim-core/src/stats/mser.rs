//! Where a run's initial transient ends: the marginal standard error rule on batches of five (MSER-5, White 1997).

/// The initial transient of a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truncation {
    /// How many values at the start to leave out.
    pub values: usize,
    /// The mean of the rest.
    pub mean: f64,
}

/// Finds how many values at the start of a run to leave out: the number that makes the standard error of the rest
/// smallest, in steps of five. `None` where that is in the second half, or where there are fewer than 50 values: then
/// the run is too short to tell (White and Robinson 2010).
pub fn mser5(values: &[f64]) -> Option<Truncation> {
    let batches: Vec<f64> = values.chunks_exact(5).map(|batch| batch.iter().sum::<f64>() / 5.0).collect();
    if batches.len() < 10 {
        return None;
    }
    // From the middle of the batches: sums of squares far from zero would lose the digits that matter.
    let middle = batches.iter().sum::<f64>() / batches.len() as f64;
    // Walk backwards, so that sums over "the rest" come for free. At least five batches must remain.
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut best: Option<(f64, usize, f64)> = None;
    for start in (0..batches.len()).rev() {
        let batch = batches[start] - middle;
        sum += batch;
        squares += batch * batch;
        let rest = (batches.len() - start) as f64;
        let error = (squares - sum * sum / rest).max(0.0) / (rest * rest);
        if rest >= 5.0 && best.is_none_or(|(least, ..)| error <= least) {
            best = Some((error, start, middle + sum / rest));
        }
    }
    let (_, start, mean) = best?;
    (start <= batches.len() / 2).then_some(Truncation { values: 5 * start, mean })
}
