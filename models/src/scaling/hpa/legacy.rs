//! What becomes of a proposal without `behavior`: the rules from before there was one, which nobody's defaults replace.

use sim_core::{Span, Time};

use super::{Limit, Recommendation, remember};

/// How fast an HPA without `behavior` may grow in one pass: to the larger of a multiple of what there is, and a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Times what there is (2).
    pub factor: f64,
    /// At least to this (4).
    pub minimum: f64,
}

impl Growth {
    /// Both are constants of the controller.
    pub const CONTROLLER: Growth = Growth { factor: 2.0, minimum: 4.0 };
}

/// The highest recommendation of the window, this one included, which is written down. The scale-up is not held back.
pub fn stabilize(log: &mut Vec<Recommendation>, replicas: i32, window: Span, now: Time) -> i32 {
    let is_old = |recommendation: &Recommendation| now.since(recommendation.at) >= window;
    let recent = log.iter().filter(|recommendation| !is_old(recommendation));
    let highest = recent.map(|recommendation| recommendation.replicas).fold(replicas, i32::max);
    remember(log, Recommendation { replicas, at: now }, is_old);
    highest
}

/// Brings a wanted size within the limits of one pass.
pub fn limit(current: i32, wanted: i32, (min, max): (i32, i32), growth: Growth) -> (i32, Limit) {
    let most = (growth.factor * f64::from(current)).max(growth.minimum) as i32;
    let (most, reason) = if max > most { (most, Limit::ScaleUpLimit) } else { (max, Limit::TooManyReplicas) };
    if wanted < min {
        (min, Limit::TooFewReplicas)
    } else if wanted > most {
        (most, reason)
    } else {
        (wanted, Limit::DesiredWithinRange)
    }
}
