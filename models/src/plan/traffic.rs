//! Who sends requests.

use sim_core::{Span, Time};

use super::{Backoff, BalancerId, Connections, EndpointId, Hedge, JobStatus, Network, RetryBudget, Sessions};
use crate::traffic::{Arrivals, RateFunction};

/// A source of requests.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Its name in the scenario.
    pub name: String,
    /// Where its requests go.
    pub to: BalancerId,
    /// When they come.
    pub arrivals: Arrivals,
    /// The expected rate, for capacity checks before a run.
    pub expected: RateFunction,
    /// Where a trace does not say what came, in order; none where the requests come from no trace.
    pub doubtful: Vec<Doubtful>,
    /// What they ask for: endpoints and their shares, which sum to 1.
    pub mix: Vec<(EndpointId, f64)>,
    /// How long a client waits for each attempt; `None` waits for ever.
    pub timeout: Option<Span>,
    /// What a client does after a failed attempt.
    pub retry: Retry,
    /// Which share of them it may send again; `None` lets all.
    pub retry_budget: Option<RetryBudget>,
    /// What a client does while it has no answer yet.
    pub hedge: Option<Hedge>,
    /// Different clients, each as likely as any other to send the next request; `None` where each request is another's.
    pub clients: Option<u32>,
    /// What its requests open, where they are handshakes.
    pub sessions: Option<Sessions>,
    /// Clients that share an address, behind a NAT; 1 or more.
    pub clients_per_address: u32,
    /// What they keep open; `None` opens a connection for each request.
    pub connections: Option<Connections>,
    /// What is between them and the balancer; `None` takes no time.
    pub network: Option<Network>,
    /// How they learn of the jobs that they submit; `None` where they do not ask.
    pub status: Option<JobStatus>,
}

impl Traffic {
    /// The most clients of a source. Each that sticks to a target takes 16 bytes.
    pub const MOST_CLIENTS: u32 = 10_000_000;
}

/// A stretch of a run of which the trace that is replayed knows nothing: what is played there was made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// Its start.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Why, such as `not in the file: filled with 0`.
    pub why: String,
}

/// What a client does after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Retries after the first attempt; at most [`Retry::MOST`].
    pub max: u8,
    /// The waits before them.
    pub backoff: Backoff,
}

impl Retry {
    /// The most retries that can be asked for: a request's draws are keyed by its number and attempt.
    pub const MOST: u8 = 15;
    /// A client that gives up at once.
    pub const NONE: Retry = Retry {
        max: 0,
        backoff: Backoff { first: Span::ZERO, multiplier: 1.0, max: Span::ZERO, jitter: false },
    };
}
