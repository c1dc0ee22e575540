//! What keeps load away, and what must not add to it.

use sim_core::Span;

/// Load shedding by a service: who is too many is answered 503 and not worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Requests inside an instance; one more is turned away as it comes, 1 or more. `None` does not look at them. A fixed
    /// concurrency limit, as Envoy's and Netflix' `concurrency-limits` begin with.
    pub above: Option<u32>,
    /// A request that has waited longer for its slot is turned away when it gets it. `None` has patience. As in Maurer,
    /// "Fail at Scale" (ACM Queue 2015): who has waited that long has given up or will.
    pub queue_time: Option<Span>,
    /// CPU time of such an answer.
    pub cpu: Span,
}

/// A token bucket in front of a balancer: a request takes a token, or is answered 429.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Tokens per second, above 0.
    pub rate: f64,
    /// Tokens that the bucket holds, 1 or more; it is full at first.
    pub burst: u32,
}

/// A circuit breaker in front of a balancer, shared by all who send through it, as in a mesh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitBreaker {
    /// Requests in progress through the balancer; one more is answered 503, 1 or more. Envoy's `max_requests`.
    pub max_requests: Option<u32>,
    /// Opens where too many calls fail or are slow.
    pub trip: Option<Trip>,
}

/// When a circuit breaker opens and how it tries to close again: resilience4j's, with a sliding window that counts calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trip {
    /// Share of the calls in the window that have failed from which on it opens, above 0 and at most 1.
    pub failure_rate: f64,
    /// A call that takes longer is slow.
    pub slow_call: Span,
    /// Share of the calls in the window that were slow from which on it opens, above 0 and at most 1.
    pub slow_rate: f64,
    /// The last calls that count, 1 to [`Trip::MOST_CALLS`].
    pub window: u32,
    /// Calls that must have ended before it looks at their shares, 1 or more; of less than a full window it asks no more.
    pub minimum: u32,
    /// How long it lets nobody through.
    pub open_for: Span,
    /// Calls that it then lets through, 1 to [`Trip::MOST_CALLS`]; their shares decide whether it opens again or closes.
    pub trial_requests: u32,
}

impl Trip {
    /// The most calls that a window may hold; each takes a byte.
    pub const MOST_CALLS: u32 = 100_000;
}

/// Which share of its requests a source may send again: Finagle's `RetryBudget`, shared by all clients of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Retries for each request, [`RetryBudget::LEAST_RATIO`] to [`RetryBudget::MOST_RATIO`].
    pub ratio: f64,
    /// Retries per second beside these, for sources that have sent little so far; at most
    /// [`RetryBudget::MOST_PER_SECOND`].
    pub per_second: u32,
    /// How long a request is remembered, 1 s to 60 s.
    pub ttl: Span,
}

impl RetryBudget {
    /// The smallest ratio.
    pub const LEAST_RATIO: f64 = 0.001;
    /// The largest ratio.
    pub const MOST_RATIO: f64 = 1_000.0;
    /// The largest reserve.
    pub const MOST_PER_SECOND: u32 = 1_000_000;
    /// The shortest and the longest time to live.
    pub const TTL: [Span; 2] = [Span::from_secs(1), Span::from_secs(60)];
}

/// Hedged requests (Dean and Barroso, "The Tail at Scale", 2013): who has no answer yet sends a second attempt, and takes the
/// answer that comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// How long to wait for an answer before.
    pub after: HedgeAfter,
    /// Attempts beside the first, 1 to [`Hedge::MOST`]; each waits as long after the one before.
    pub most: u8,
}

impl Hedge {
    /// The most attempts beside the first. gRPC has five in all.
    pub const MOST: u8 = 4;
}

/// How long a client waits before it hedges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HedgeAfter {
    /// As long as this.
    Delay(Span),
    /// As long as a share of the source's latest requests took at most: 0.95 for the 95th percentile. Above 0 and below 1.
    Percentile(f64),
}
