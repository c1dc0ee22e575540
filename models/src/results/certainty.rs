//! How certain results are: how tight intervals came to be, in how many replications an objective held, where a run's
//! transient ends.

use serde::{Deserialize, Serialize};

/// How tight intervals were asked to be, and how tight they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// The largest half width of a quantile's interval that was asked for, as a share of the quantile: 0.02 for 2 %.
    pub asked: f64,
    /// The replications that there might be at most.
    pub most: u32,
    /// True where every quantile is as tight as asked; also where there is no quantile.
    pub reached: bool,
    /// The quantile with the widest interval; `None` where nothing was timed.
    pub widest: Option<Widest>,
    /// About as many replications as would do, by (half width / asked)²; `None` where they are reached or nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_do: Option<u64>,
}

/// The widest interval of all quantiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Widest {
    /// The figure's name, such as `response time p99`.
    pub figure: String,
    /// Half the width of its interval as a share of it; `None` where fewer than two replications could measure it.
    pub relative: Option<f64>,
}

/// In how many replications an objective held. The ends are those of the 95 % interval (Clopper and Pearson 1934) for the
/// probability that it holds in such a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The objective's name.
    pub objective: String,
    /// Replications in which its violation minutes were within what it allows.
    pub replications: u32,
    /// The lower end, 0 to 1.
    pub low: f64,
    /// The upper end, 0 to 1.
    pub high: f64,
}

impl Held {
    /// Whether such a run keeps the objective more often than not; `None` where the interval has both.
    pub fn mostly(&self) -> Option<bool> {
        match (self.low >= 0.5, self.high <= 0.5) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

/// The start of a run that is not yet what the rest of it is: queues that fill up, sessions that open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transient {
    /// What takes longest: `requests in progress`, `messages in queues`, `open sessions`.
    pub of: String,
    /// Where it ends, in seconds since the start of the run; `None` where the run is too short to tell.
    pub until: Option<f64>,
    /// Whether the scenario's `warm_up` leaves it out.
    pub covered: bool,
}
