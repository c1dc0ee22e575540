//! The difference of a figure between two variants, and what can be said of it.

use serde::{Deserialize, Serialize};
use sim_core::stats::{Paired, Tally};

use crate::experiment::figures::{Better, Reading};

/// Values that differ by less than this share are the same: sums of the same amounts in another order.
const ROUNDING: f64 = 1e-12;

/// What replications show of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is the same number in every pair of replications, but for how sums are rounded.
    Same,
    /// It is lower than the baseline's: the whole interval is below zero.
    Lower,
    /// It is higher.
    Higher,
    /// There may be a difference, but not one that these replications can show: zero is in the interval, or there is none.
    NotShown,
}

/// A figure of a variant less that of the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The figure, such as `response time p99`.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// What people would rather have of it.
    pub better: Better,
    /// Pairs of replications in which both had something to measure.
    pub pairs: u64,
    /// The baseline's mean over these.
    pub baseline: f64,
    /// The variant's mean.
    pub variant: f64,
    /// The mean difference: the variant's less the baseline's.
    pub difference: f64,
    /// Half the width of its interval, from the differences of pairs (Student); `None` with a single pair.
    pub half_width: Option<f64>,
    /// What half the width would be if the two had been played with random numbers of their own (Welch).
    pub unpaired_half_width: Option<f64>,
    /// How the two go together from replication to replication (Pearson), -1 to 1; `None` where one of them never changes.
    pub correlation: Option<f64>,
    /// How many times as many replications would be needed without common random numbers; `None` where all pairs differ
    /// by the same.
    pub times_as_many: Option<f64>,
    /// What can be said.
    pub finding: Finding,
    /// Where nothing can be said: about how many replications would show a difference as large as this one seems to be.
    /// `None` beyond a million, and where it has been said.
    pub needed: Option<u64>,
}

impl Difference {
    /// Of values by replication; `None` where no pair was measured.
    pub(super) fn of(
        reading: &Reading,
        baseline: &[Option<f64>],
        variant: &[Option<f64>],
        level: f64,
    ) -> Option<Difference> {
        let measured = baseline.iter().zip(variant).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
        let pairs: Paired = measured.collect();
        if pairs.count() == 0 {
            return None;
        }
        let finding = finding(&pairs, level);
        let difference = pairs.differences().mean();
        Some(Difference {
            name: reading.name.clone(),
            unit: reading.unit.clone(),
            better: reading.better,
            pairs: pairs.count(),
            baseline: pairs.first().mean(),
            variant: pairs.second().mean(),
            difference,
            half_width: pairs.interval(level).map(|interval| interval.half_width),
            unpaired_half_width: pairs.unpaired(level).map(|interval| interval.half_width),
            correlation: pairs.correlation(),
            times_as_many: pairs.times_as_many(),
            finding,
            needed: (finding == Finding::NotShown).then(|| pairs.needed(difference.abs(), level)).flatten(),
        })
    }

    /// Whether the variant is better by it, or worse; `None` where nothing is shown, or nobody minds.
    pub fn improves(&self) -> Option<bool> {
        match (self.finding, self.better) {
            (Finding::Lower, Better::Lower) | (Finding::Higher, Better::Higher) => Some(true),
            (Finding::Lower, Better::Higher) | (Finding::Higher, Better::Lower) => Some(false),
            _ => None,
        }
    }
}

fn finding(pairs: &Paired, level: f64) -> Finding {
    let range = |tally: &Tally| {
        let ends = [tally.min(), tally.max()];
        ends.into_iter().flatten().map(f64::abs).fold(0.0, f64::max)
    };
    if range(pairs.differences()) <= ROUNDING * range(pairs.first()) {
        return Finding::Same;
    }
    match pairs.interval(level) {
        Some(interval) if interval.mean + interval.half_width < 0.0 => Finding::Lower,
        Some(interval) if interval.mean - interval.half_width > 0.0 => Finding::Higher,
        _ => Finding::NotShown,
    }
}
