//! What a run found: plain data, versioned, with every number that the report shows.
//!
//! Times are seconds since the start of the run, lengths of time are seconds unless a name says otherwise, money is
//! in the price book's currency. Field names are part of the format: [`SCHEMA`] changes when they do.

mod bill;
mod certainty;
mod clock;
mod connections;
mod forecasts;
mod jobs;
mod kinds;
mod nodes;
mod oracle;
mod overload;
mod scheduling;
mod sessions;
mod spot;
mod stretches;
mod tokens;
mod versions;

use serde::{Deserialize, Serialize};
use sim_core::Time;

pub use bill::{Bill, BillKind, BillLine};
pub use certainty::{Held, Precision, Transient, Widest};
pub use clock::Clock;
pub use connections::ConnectionsResult;
pub use forecasts::{ForecastHour, ForecastResult};
pub use jobs::{JobCounts, JobsResult, JobsRow, JobsSummary, QueueResult, QueueRow};
pub use kinds::{ActivityKind, CauseKind};
pub use nodes::NodesResult;
pub use oracle::{Oracle, OracleGroup};
pub use overload::{Limits, Repeats};
pub use scheduling::{Scheduling, SchedulingCounts, SchedulingPart};
pub use sessions::{RoomsResult, SessionsResult};
pub use spot::SpotResult;
pub use stretches::{stretches, stretches_of_time, worst_of};
pub use tokens::{EnginesResult, TokensResult};
pub use versions::VersionResult;

/// The version of the format that `results.json` carries.
pub const SCHEMA: &str = "scalesim.results/1";

/// The results of a scenario: one run in full, a summary of each replication, and figures over all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of scalesim.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario with every default filled in, as TOML: what was run.
    pub resolved: String,
    /// The command line that plays the scenario, without a seed; empty where code made the plan. It is not written to
    /// `results.json`, which is the same wherever a scenario lies.
    #[serde(skip)]
    pub command: String,
    /// The wall clock at the start, with its zone.
    pub start: String,
    /// The length of the run.
    pub duration: f64,
    /// The seed of the first replication.
    pub seed: u64,
    /// What reading the scenario and its traces found worth saying.
    pub notes: Vec<String>,
    /// Figures over all replications, with their confidence intervals.
    pub figures: Vec<Figure>,
    /// How tight intervals were asked to be; `None` where a number of replications was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// In how many replications each objective held, in the scenario's order; empty with a single one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// The initial transient; `None` where none was found, and where the load is meant to move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transient: Option<Transient>,
    /// The first replication in full.
    pub run: Run,
    /// Each replication in brief, in order.
    pub replications: Vec<Summary>,
}

impl Results {
    /// True where every objective was kept in every replication.
    pub fn met(&self) -> bool {
        self.replications.iter().all(|replication| {
            let mut objectives = self.run.objectives.iter().zip(&replication.violation_minutes);
            objectives.all(|(objective, &minutes)| objective.allows(minutes))
        })
    }
}

/// A figure over all replications.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Such as `response time p99`.
    pub name: String,
    /// Such as `s`, `%`, `USD`, `min`; empty for a pure number.
    pub unit: String,
    /// The mean over replications.
    pub mean: f64,
    /// Half the width of its 95 % confidence interval (Student-t); `None` with a single replication.
    pub half_width: Option<f64>,
}

/// One replication in brief.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its number, from 0.
    pub replication: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Events that happened.
    pub events: u64,
    /// A hash of the event sequence, as 16 hexadecimal digits.
    pub order_hash: String,
    /// Its requests.
    pub requests: Requests,
    /// Response times over all requests.
    pub response_time: Distribution,
    /// Violation minutes of each objective, in the scenario's order.
    pub violation_minutes: Vec<f64>,
    /// Its value of each of [`Results::figures`], in their order; `None` where it had nothing to measure.
    pub figures: Vec<Option<f64>>,
    /// The bill's total, where there are prices.
    pub cost: Option<f64>,
    /// Its jobs, by the source that submitted them; empty where nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobsSummary>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was played to the end.
    Complete,
    /// It was interrupted; what follows covers the time up to `at`.
    Interrupted {
        /// Where it stood.
        at: f64,
    },
    /// A limit was reached; what follows covers the time up to `at`.
    Limit {
        /// Where it stood.
        at: f64,
        /// Which limit: `events`, `in_flight` or `sessions`.
        limit: String,
        /// Its value.
        value: u64,
    },
}

/// One run in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// Events that happened.
    pub events: u64,
    /// A hash of the event sequence, as 16 hexadecimal digits.
    pub order_hash: String,
    /// All requests.
    pub requests: Requests,
    /// Response times of all requests.
    pub response_time: Distribution,
    /// By source of traffic, in the scenario's order.
    pub traffic: Vec<Part>,
    /// By endpoint, in the scenario's order; calls between services included.
    pub endpoints: Vec<Part>,
    /// By balancer that has a rate limiter or a circuit breaker, in the scenario's order.
    pub limits: Vec<Limits>,
    /// By group, in the scenario's order.
    pub groups: Vec<GroupResult>,
    /// By predictive scaling policy, in the scenario's order.
    pub forecasts: Vec<ForecastResult>,
    /// By pool of nodes, in the scenario's order; none where there are no pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodesResult>,
    /// By version, of groups that have several; in the scenario's order.
    pub versions: Vec<VersionResult>,
    /// By source of sessions, in the scenario's order.
    pub sessions: Vec<SessionsResult>,
    /// What became of jobs, by the source that submitted them; empty where nothing does.
    pub jobs: Vec<JobsResult>,
    /// What became of queues; empty where there are none.
    pub queues: Vec<QueueResult>,
    /// By objective, in the scenario's order.
    pub objectives: Vec<ObjectiveResult>,
    /// The fleets that would have been enough, where there are objectives.
    pub oracle: Option<Oracle>,
    /// The bill, where there are prices.
    pub bill: Option<Bill>,
    /// The course of the run, one row per interval.
    pub series: Vec<Row>,
    /// The length of a row's interval; the last row may be shorter.
    pub interval: f64,
    /// What the control plane did, and what it decided not to do.
    pub activities: Vec<Activity>,
    /// Activities that were not kept because there were more than the cap.
    pub activities_dropped: u64,
}

/// Requests by how they ended. `offered = completed + refused + timed_out + failed + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Sent by clients.
    pub offered: u64,
    /// Answered in time.
    pub completed: u64,
    /// Refused in the end: no target, a full accept queue.
    pub refused: u64,
    /// Given up on by the client in the end.
    pub timed_out: u64,
    /// Lost in the end: the instance went away, a call failed.
    pub failed: u64,
    /// Not ended when the run was.
    pub in_flight: u64,
    /// Attempts, first ones and retries.
    pub attempts: u64,
}

impl Requests {
    /// The share of ended requests that were answered; 1 where none ended.
    pub fn availability(&self) -> f64 {
        let ended = self.completed + self.refused + self.timed_out + self.failed;
        if ended == 0 { 1.0 } else { self.completed as f64 / ended as f64 }
    }

    /// True where every offered request is accounted for.
    pub fn conserved(&self) -> bool {
        self.offered == self.completed + self.refused + self.timed_out + self.failed + self.in_flight
    }
}

/// A distribution of times, in seconds. All zero where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub std_dev: f64,
    /// Quantiles.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// The requests of one source or endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The source's name, or `service: endpoint`.
    pub name: String,
    /// How they ended. For an endpoint each attempt counts by itself.
    pub requests: Requests,
    /// What the client saw, from the first attempt to the end; for an endpoint, of each attempt.
    pub response_time: Distribution,
    /// Time in the accept queue before the first step; for an endpoint only.
    pub wait: Option<Wait>,
    /// What clients saw in the end where that was not an answer; for an endpoint, of each attempt.
    pub statuses: Vec<StatusCount>,
    /// What clients sent beside one attempt for each request; `None` for an endpoint.
    pub repeats: Option<Repeats>,
    /// What became of its clients' connections, where these are played; for a source only.
    pub connections: Option<ConnectionsResult>,
    /// Tokens that were generated for them, where any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokensResult>,
}

/// What clients saw, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCount {
    /// A status such as `503`, or what became of a connection: `reset`.
    pub status: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// Time spent waiting for a thread or for the event loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// Its distribution; those that did not wait count as zero.
    pub time: Distribution,
    /// The share that waited at all.
    pub waited: f64,
}

/// What a group did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Its name.
    pub name: String,
    /// The machine type.
    pub machine: String,
    /// The smallest number of healthy instances at any time.
    pub serving_min: u32,
    /// The time average of healthy instances.
    pub serving_mean: f64,
    /// The largest number of healthy instances.
    pub serving_max: u32,
    /// Instances launched after the start.
    pub launched: u64,
    /// Instances terminated or lost.
    pub terminated: u64,
    /// What became of its Spot instances; `None` where there are none.
    pub spot: Option<SpotResult>,
    /// Mean CPU utilisation of running instances, in percent.
    pub cpu: f64,
    /// Mean share of its consumers that had a job in hand, in percent: a time average of jobs worked on over one of consumers.
    /// `None` where it takes no jobs from a queue, or never had a consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_busy: Option<f64>,
    /// Mean share of the GPUs of running instances that were in use, in percent; `None` where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<f64>,
    /// Mean number of requests inside the instances, waiting or in progress.
    pub requests_inside: f64,
    /// Instance hours, from running until gone.
    pub instance_hours: f64,
    /// Instances whose user data failed, so that they run without their app.
    pub failed_starts: u64,
    /// Requests refused because an accept queue was full.
    pub refused: u64,
    /// Requests that the service turned away because it had too much to do.
    pub shed: u64,
    /// How often a CPU quota ran out, in all instances and over the whole run.
    pub throttled: u64,
    /// CPU credits left at the end, the mean of running instances; `None` for types without credits. Below zero what
    /// an unlimited type has borrowed.
    pub credits: Option<f64>,
    /// Switches and where vCPU time went, where the machine plays time slices.
    pub scheduling: Option<Scheduling>,
    /// How many times its even share the busiest worker process of an instance got, the mean over instances that run at
    /// the end; `None` with one process.
    pub worker_imbalance: Option<f64>,
    /// How many times an even share of requests the busiest instance got, of those that serve at the end, by requests per
    /// second since it ran; `None` with fewer than two.
    pub target_imbalance: Option<f64>,
    /// What its inference engines did; `None` where it has none, or they had nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<EnginesResult>,
}

/// How an objective fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveResult {
    /// Its name.
    pub name: String,
    /// The objective as stated: `p99 <= 250ms`.
    pub objective: String,
    /// The unit of values and of the bound: `s` for times, `%` for shares.
    pub unit: String,
    /// The bound.
    pub bound: f64,
    /// True where a value above the bound breaks it, false where one below does.
    pub upper: bool,
    /// True where it is about jobs, from submitting until known, and not about requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub jobs: bool,
    /// The length of a window.
    pub window: f64,
    /// Windows in which there was something to measure.
    pub windows: u64,
    /// Minutes of violating windows.
    pub violation_minutes: f64,
    /// Minutes that would have been within the promise.
    pub allowed_minutes: f64,
    /// True where the promise was kept.
    pub met: bool,
    /// The value over the whole run.
    pub overall: f64,
    /// The worst window.
    pub worst: Option<Window>,
    /// The error budget, where the objective implies one (not for a mean).
    pub budget: Option<Budget>,
    /// The violating windows and their causes, in order.
    pub violations: Vec<Violation>,
    /// Violating windows that were not kept because there were more than the cap.
    pub violations_dropped: u64,
}

impl ObjectiveResult {
    /// True where so many violation minutes are within the promise.
    pub fn allows(&self, violation_minutes: f64) -> bool {
        violation_minutes <= self.allowed_minutes + 1e-9
    }
}

/// A window and what was measured in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its start.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// What was measured.
    pub value: f64,
    /// Requests measured.
    pub requests: u64,
}

/// The error budget of an objective: how many requests may be bad, and how many were. For `p99 <= 250ms` one in
/// a hundred may take longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Bad requests that the objective allows over the run.
    pub allowed: f64,
    /// Bad requests.
    pub bad: u64,
}

/// A violating window and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The window.
    pub window: Window,
    /// The main cause.
    pub cause: CauseKind,
    /// The cause in words and numbers.
    pub explanation: String,
}

/// One interval of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its start.
    pub at: f64,
    /// Requests offered per second, first attempts.
    pub offered: f64,
    /// Attempts per second, retries included.
    pub attempts: f64,
    /// Requests completed per second.
    pub completed: f64,
    /// Requests refused, timed out or failed, per second.
    pub errors: f64,
    /// Requests per second that the healthy instances could serve, by the CPU demand of the mix; where there are
    /// several groups, of the one that limits; `None` where requests need no CPU and no thread, so that nothing does.
    pub capacity: Option<f64>,
    /// Median response time; `None` where nothing ended.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Spent so far, where there are prices.
    pub cost: Option<f64>,
    /// By group, in the scenario's order.
    pub groups: Vec<GroupRow>,
    /// By queue, in the scenario's order; none where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueRow>,
    /// The jobs of all sources; `None` where there are no queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobsRow>,
}

/// A group at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Desired capacity.
    pub desired: u32,
    /// The maximum.
    pub max: u32,
    /// Healthy instances that take requests.
    pub serving: u32,
    /// Instances launched and not yet healthy.
    pub starting: u32,
    /// Instances finishing what they have.
    pub draining: u32,
    /// What the serving instances are worth, in instances of the group's first machine.
    pub worth: f64,
    /// The smallest number of instances of the first machine that would have kept the objectives at this interval's load;
    /// `None` where no objective is about the group, or no number is enough.
    pub needed: Option<u32>,
    /// CPU utilisation over the interval, in percent of what runs.
    pub cpu: f64,
    /// Requests waiting in accept queues.
    pub queued: u32,
    /// Open sessions.
    pub sessions: u32,
}

/// Something the control plane did, or decided not to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// When (first).
    pub at: f64,
    /// When last, where the same decision was taken several times in a row.
    pub until: f64,
    /// How many times in a row.
    pub times: u64,
    /// Which group.
    pub group: String,
    /// What kind.
    pub kind: ActivityKind,
    /// In words and numbers.
    pub description: String,
    /// What brought it about, step by step as the provider's log does; empty where the description says it all.
    pub cause: String,
    /// Desired capacity after it.
    pub desired: u32,
}

impl Activity {
    /// One of `group` at an instant, with nothing that brought it about.
    pub(crate) fn new(
        at: Time,
        group: &str,
        kind: ActivityKind,
        description: String,
        desired: u32,
    ) -> Activity {
        let at = at.as_secs_f64();
        let (group, cause) = (group.to_string(), String::new());
        Activity { at, until: at, times: 1, group, kind, description, cause, desired }
    }
}
