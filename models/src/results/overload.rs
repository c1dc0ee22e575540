//! What kept load away, and what added to it.

use serde::{Deserialize, Serialize};

/// What the clients of a source sent beside one attempt for each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// Attempts that were sent while another of the same request had no answer yet.
    pub hedges: u64,
    /// Those of them that were answered first.
    pub hedges_won: u64,
    /// Retries and hedges that were not sent because a budget was used up.
    pub refused_by_budget: u64,
}

/// Whom a balancer's rate limiter and circuit breaker turned away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The balancer's name.
    pub balancer: String,
    /// Requests that found no token in the bucket of its rate limiter.
    pub rate_limited: u64,
    /// Requests that came while as many were in progress as its circuit breaker lets through.
    pub overflowed: u64,
    /// Requests that came while its circuit breaker was open, or that it had no trial left for.
    pub circuit_open: u64,
    /// How often its circuit breaker opened.
    pub opened: u64,
    /// Seconds that it was open.
    pub open_for: f64,
}
