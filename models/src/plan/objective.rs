//! What was promised.

use sim_core::Span;

use super::{EndpointId, TrafficId};

/// A promise about requests, kept or broken in each window.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Its name in the scenario.
    pub name: String,
    /// The requests it is about; `None` means of any source.
    pub traffic: Option<TrafficId>,
    /// The endpoint it is about; `None` means any.
    pub endpoint: Option<EndpointId>,
    /// Whether it is about requests or jobs.
    pub subject: Subject,
    /// What is measured.
    pub indicator: Indicator,
    /// The bound: nanoseconds for response times, a share of requests for the others.
    pub bound: f64,
    /// The objective as the scenario states it: `p99 <= 250ms`.
    pub text: String,
    /// The length of a window.
    pub window: Span,
    /// Violation time that is still within the promise.
    pub allow: Span,
}

/// What an [`Objective`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Requests: their response times and endings.
    Requests,
    /// Jobs that requests of its traffic submit, from when their request was first sent until who submitted them knows that they
    /// are done, or, where nobody asks, until they are done. A job that is lost, is a dead letter or is too late has failed.
    Jobs,
    /// Requests and jobs that a model generates tokens for: the time to first token.
    FirstToken,
}

/// What an [`Objective`] measures over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Indicator {
    /// A quantile of the response time must be at most the bound. A request that timed out counts with the time its
    /// client spent; refused and failed ones have no response, they are errors.
    Quantile(f64),
    /// The mean response time must be at most the bound.
    Mean,
    /// The share of requests answered must be at least the bound.
    Availability,
    /// The share of requests that got no good answer must be at most the bound.
    ErrorRatio,
}
