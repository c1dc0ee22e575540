//! Cost against violation, in a word.

use serde::{Deserialize, Serialize};

use super::VIOLATION;
use super::difference::{Difference, Finding};

/// What a variant is against the baseline, by how long it violates the SLA and by what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every replication came out the same, event by event.
    Identical,
    /// One of the two is better, and the other not shown to be worse.
    Better,
    /// One of the two is worse, and the other not shown to be better.
    Worse,
    /// Less violation for more money.
    BetterAndDearer,
    /// More violation for less money.
    WorseAndCheaper,
    /// No difference that these runs can show, in neither.
    NotShown,
    /// They have neither an SLA nor prices in common.
    Unjudged,
}

impl Verdict {
    pub(super) fn of(differences: &[Difference], identical: bool) -> Verdict {
        if identical {
            return Verdict::Identical;
        }
        let of = |name: &str| differences.iter().find(|of| of.name == name).map(|of| of.finding);
        let (violation, cost) = (of(VIOLATION), of("cost"));
        if violation.is_none() && cost.is_none() {
            return Verdict::Unjudged;
        }
        use Finding::{Higher, Lower};
        match (violation, cost) {
            (Some(Lower), Some(Higher)) => Verdict::BetterAndDearer,
            (Some(Higher), Some(Lower)) => Verdict::WorseAndCheaper,
            (Some(Lower), _) | (_, Some(Lower)) => Verdict::Better,
            (Some(Higher), _) | (_, Some(Higher)) => Verdict::Worse,
            _ => Verdict::NotShown,
        }
    }
}
