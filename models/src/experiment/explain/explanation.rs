//! What an explanation says: plain data, versioned as results are.

use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::counterfactual::Kind;
use crate::results::{CauseKind, Outcome, Window};

/// The version of the format that `explanation.json` carries.
pub const SCHEMA: &str = "scalesim.explanation/1";

/// Why an SLA was broken, and what would have saved it. Instants are seconds since the start of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of scalesim.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// The wall clock at the start, with its zone.
    pub start: String,
    /// The length of the run.
    pub duration: f64,
    /// The seed of the first replication.
    pub seed: u64,
    /// Replications that were played.
    pub replications: u32,
    /// Those of them in which the SLA was violated; figures are means over these.
    pub violated: u32,
    /// The replication that is told: the first that violates the SLA, or the first.
    pub told: u32,
    /// How the run ended that is told, and the first of its counterfactuals that was interrupted.
    pub outcome: Outcome,
    /// Its objectives, in the scenario's order.
    pub objectives: Vec<Verdict>,
    /// Its violating stretches, in order of time.
    pub stretches: Vec<Stretch>,
    /// Stretches that were not kept because there were more than the cap.
    pub stretches_dropped: u64,
    /// When its counterfactuals begin; 0 is the start of the run.
    pub fork: f64,
    /// Minutes of violation, of all objectives that were not kept: the mean.
    pub violation_minutes: f64,
    /// What would have saved how much; the most first.
    pub counterfactuals: Vec<Counterfactual>,
    /// What was not played, and why.
    pub left_out: Vec<LeftOut>,
    /// The response time of the run that is told around its stretches: what was.
    pub course: Course,
}

impl Explanation {
    /// Whether the SLA was kept in all replications.
    pub fn met(&self) -> bool {
        self.violated == 0
    }
}

/// How an objective fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// The objective as stated: `p99 <= 250ms`.
    pub objective: String,
    /// The unit of its values: `s` or `%`.
    pub unit: String,
    /// The bound.
    pub bound: f64,
    /// Minutes of violating windows.
    pub violation_minutes: f64,
    /// Minutes that would have been within the promise.
    pub allowed_minutes: f64,
    /// The window with the worst value.
    pub worst: Option<Window>,
    /// True where the promise was kept.
    pub met: bool,
}

/// A stretch of violating windows of one or several objectives, for which one group is to be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// When it begins.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// The objectives that were broken in it.
    pub broken: Vec<Broken>,
    /// The group; `None` where none serves these requests.
    pub group: Option<String>,
    /// What led to what, in order of time.
    pub chain: Vec<Link>,
}

/// An objective in a stretch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// Its name.
    pub objective: String,
    /// Minutes of violating windows in the stretch.
    pub minutes: f64,
    /// The worst window.
    pub worst: Window,
    /// The unit of its value.
    pub unit: String,
    /// The main cause of that.
    pub cause: CauseKind,
    /// The cause in words and numbers.
    pub explanation: String,
}

/// What one change would have saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counterfactual {
    /// Which.
    pub kind: Kind,
    /// In few words.
    pub name: String,
    /// What was changed, each in words.
    pub changes: Vec<String>,
    /// The same as `--set` options, where a scenario can say it.
    pub set: Vec<String>,
    /// When it begins in the run that is told; 0 is the start of the run.
    pub from: f64,
    /// Minutes of violation that are left: the mean.
    pub violation_minutes: f64,
    /// Minutes of violation that it saves: the mean of paired differences. Below zero it costs some.
    pub saved_minutes: f64,
    /// Half the width of its 95 % confidence interval (Student-t over paired differences); `None` with one replication.
    pub half_width: Option<f64>,
    /// In how many of the violated replications the SLA would hold.
    pub holds: u32,
    /// What the run costs more with it, in the price book's currency: the mean; `None` without prices.
    pub cost: Option<f64>,
    /// The response time of the run that is told; kept of the best two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Course>,
}

/// A counterfactual that was not played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub kind: Kind,
    /// In few words.
    pub name: String,
    /// Why.
    pub why: String,
}

/// The course of response times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// What it is of: `p99 of requests`, or `p95 of jobs`.
    pub of: String,
    /// The length of an interval.
    pub interval: f64,
    /// The start of each interval, and the time in seconds; `None` where nothing ended in it.
    pub points: Vec<(f64, Option<f64>)>,
}
