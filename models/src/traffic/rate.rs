//! A rate over time: linear between knots, with jumps where two knots share an instant.
//!
//! Every profile and every trace of counts ends up in this one form, so that arrivals can be drawn by exact inversion
//! of its integral. Smooth shapes are knotted so densely that the line is within 10⁻⁵ of their amplitude.

use sim_core::Time;

/// How far the line may be from a smooth shape, as a share of the shape's amplitude.
pub const SMOOTHNESS: f64 = 1e-5;

/// A rate in requests per second, from time zero on. Before the first knot and after the last it is zero.
///
/// ```
/// use scalesim::traffic::RateFunction;
/// use sim_core::{Span, Time};
/// let at = |s| Time::ZERO + Span::from_secs(s);
/// let ramp = RateFunction::from_knots(vec![(at(0), 0.0), (at(10), 100.0)]);
/// assert_eq!(ramp.rate(at(5)), 50.0);
/// assert_eq!(ramp.integral(at(0), at(10)), 500.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateFunction {
    knots: Vec<(Time, f64)>,
}

impl RateFunction {
    /// The line through `knots`, whose instants do not fall. Negative and non-finite rates are read as zero.
    pub fn from_knots(mut knots: Vec<(Time, f64)>) -> Self {
        knots.sort_by_key(|&(at, _)| at); // stable: jumps stay in their order
        for (_, rate) in &mut knots {
            *rate = if rate.is_finite() { rate.max(0.0) } else { 0.0 };
        }
        RateFunction { knots }
    }

    /// The line that follows `shape` from `from` to `to` within 10⁻⁵ of `amplitude`.
    pub fn from_shape(from: Time, to: Time, amplitude: f64, shape: impl Fn(Time) -> f64) -> Self {
        let mut knots = vec![(from, shape(from))];
        refine(&mut knots, (from, shape(from)), (to, shape(to)), amplitude * SMOOTHNESS, &shape, 0);
        RateFunction::from_knots(knots)
    }

    /// The knots.
    pub fn knots(&self) -> &[(Time, f64)] {
        &self.knots
    }

    /// The rate at an instant; at a jump, the rate after it.
    pub fn rate(&self, at: Time) -> f64 {
        let after = self.knots.partition_point(|&(knot, _)| knot <= at);
        let Some(&(left, rate)) = after.checked_sub(1).and_then(|i| self.knots.get(i)) else { return 0.0 };
        match self.knots.get(after) {
            Some(&(right, next)) => {
                let share = at.since(left).as_nanos() as f64 / right.since(left).as_nanos() as f64;
                rate + (next - rate) * share
            }
            None if left == at => rate,
            None => 0.0,
        }
    }

    /// The expected number of requests between two instants.
    pub fn integral(&self, from: Time, to: Time) -> f64 {
        let piece = |w: &[(Time, f64)]| {
            let (left, right) = (w[0].0.max(from), w[1].0.min(to));
            if left >= right {
                return 0.0;
            }
            // Not through `rate`, which at a jump gives the other side.
            let length = w[1].0.since(w[0].0).as_nanos() as f64;
            let on = |at: Time| w[0].1 + (w[1].1 - w[0].1) * (at.since(w[0].0).as_nanos() as f64 / length);
            right.since(left).as_secs_f64() * (on(left) + on(right)) / 2.0
        };
        // Only the pieces that lie between the two: callers ask minute by minute.
        let first = self.knots.partition_point(|&(at, _)| at <= from).saturating_sub(1);
        let pieces = self.knots[first..].windows(2).take_while(|piece| piece[0].0 < to);
        pieces.map(piece).fold(0.0, |sum, piece| sum + piece)
    }

    /// The rate between two instants, with the first of them as time zero.
    pub fn window(&self, from: Time, to: Time) -> Self {
        let inner = self.knots.iter().filter(|&&(at, _)| from < at && at < to);
        let mut knots = vec![(Time::ZERO, self.after(from))];
        knots.extend(inner.map(|&(at, rate)| (Time::ZERO + at.since(from), rate)));
        knots.push((Time::ZERO + to.since(from), self.before(to)));
        RateFunction::from_knots(knots)
    }

    /// The highest rate and when it is first reached.
    pub fn peak(&self) -> (Time, f64) {
        let highest = |best: (Time, f64), &knot: &(Time, f64)| if knot.1 > best.1 { knot } else { best };
        self.knots.iter().fold((Time::ZERO, 0.0), highest)
    }

    /// The rate times `factor`.
    pub fn scaled(mut self, factor: f64) -> Self {
        self.knots.iter_mut().for_each(|(_, rate)| *rate *= factor);
        self
    }

    /// This rate plus another, which may begin or end elsewhere.
    pub fn plus(&self, other: &RateFunction) -> Self {
        self.combine(other, |a, b| a + b)
    }

    /// Combines two rates at the knots of both. Exact where `f` is linear in each of them.
    fn combine(&self, other: &RateFunction, f: impl Fn(f64, f64) -> f64) -> Self {
        let mut instants: Vec<Time> = self.knots.iter().chain(&other.knots).map(|&(at, _)| at).collect();
        instants.sort_unstable();
        instants.dedup();
        let mut knots = Vec::with_capacity(instants.len());
        for at in instants {
            let (before, after) = (f(self.before(at), other.before(at)), f(self.after(at), other.after(at)));
            if before != after {
                knots.push((at, before));
            }
            knots.push((at, after));
        }
        if knots.len() >= 2 && knots[knots.len() - 1].0 == knots[knots.len() - 2].0 {
            knots.pop(); // the fall to nothing after the last knot
        }
        RateFunction::from_knots(knots)
    }

    /// The rate just after an instant.
    fn after(&self, at: Time) -> f64 {
        if self.knots.last().is_none_or(|&(last, _)| at >= last) { 0.0 } else { self.rate(at) }
    }

    /// The rate just before an instant.
    fn before(&self, at: Time) -> f64 {
        let index = self.knots.partition_point(|&(knot, _)| knot < at);
        match (index.checked_sub(1).and_then(|i| self.knots.get(i)), self.knots.get(index)) {
            (None, _) => 0.0,
            (Some(_), Some(&(right, rate))) if right == at => rate,
            (Some(&(left, rate)), Some(&(right, next))) => {
                rate + (next - rate)
                    * (at.since(left).as_nanos() as f64 / right.since(left).as_nanos() as f64)
            }
            (Some(_), None) => 0.0,
        }
    }
}

/// Halves a piece until its line is close to the shape at the quarters, and appends its knots but the first.
fn refine(
    knots: &mut Vec<(Time, f64)>,
    left: (Time, f64),
    right: (Time, f64),
    tolerance: f64,
    shape: &impl Fn(Time) -> f64,
    depth: u32,
) {
    let length = right.0.since(left.0);
    let at = |share: f64| left.0 + length.mul_f64(share);
    let off = |share: f64| (shape(at(share)) - (left.1 + (right.1 - left.1) * share)).abs() > tolerance;
    // Three points, because a wave can cross its chord in the middle; and some depth first, for the same reason.
    if depth < 16 && length.as_nanos() > 4 && (depth < 3 || [0.25, 0.5, 0.75].into_iter().any(off)) {
        let middle = (at(0.5), shape(at(0.5)));
        refine(knots, left, middle, tolerance, shape, depth + 1);
        refine(knots, middle, right, tolerance, shape, depth + 1);
    } else {
        knots.push(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::Span;

    fn at(s: u64) -> Time {
        Time::ZERO + Span::from_secs(s)
    }

    #[test]
    fn jumps_have_two_sides() {
        let step = RateFunction::from_knots(vec![(at(0), 1.0), (at(10), 1.0), (at(10), 5.0), (at(20), 5.0)]);
        assert_eq!((step.rate(at(9)), step.rate(at(10)), step.rate(at(30))), (1.0, 5.0, 0.0));
        assert_eq!(step.integral(at(5), at(15)), 30.0);
        assert_eq!(step.peak(), (at(10), 5.0));
    }

    #[test]
    fn sums_keep_the_jumps_of_both() {
        let base = RateFunction::from_knots(vec![(at(0), 2.0), (at(100), 2.0)]);
        let burst = RateFunction::from_knots(vec![(at(10), 3.0), (at(20), 3.0)]);
        let sum = base.plus(&burst);
        assert_eq!((sum.rate(at(9)), sum.rate(at(10)), sum.rate(at(20))), (2.0, 5.0, 2.0));
        assert!((sum.integral(at(0), at(100)) - 230.0).abs() < 1e-9);
    }

    #[test]
    fn smooth_shapes_are_followed_closely_with_few_knots() {
        let day = 86_400.0;
        let wave = |t: Time| 500.0 + 400.0 * (std::f64::consts::TAU * t.as_secs_f64() / day).cos();
        let line = RateFunction::from_shape(at(0), at(86_400), 400.0, wave);
        for s in (0..86_400).step_by(7) {
            assert!((line.rate(at(s)) - wave(at(s))).abs() <= 400.0 * SMOOTHNESS * 1.5, "{s}");
        }
        assert!(line.knots().len() < 2_100, "{}", line.knots().len());
    }
}
