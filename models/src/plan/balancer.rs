//! What stands before a group.

use sim_core::Span;

use super::GroupId;

/// A load balancer with one target group.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// Its name in the scenario.
    pub name: String,
    /// The group whose instances are its targets.
    pub targets: GroupId,
    /// How it picks one.
    pub algorithm: Algorithm,
    /// How it finds out whether a target answers.
    pub health_check: HealthCheck,
    /// How long a target that is taken out may finish what it has.
    pub deregistration_delay: Span,
    /// Connections that it keeps open to each target, each of which stays with the worker that accepted it; `None` opens one
    /// for each request.
    pub keep_alive: Option<u32>,
    /// Whether clients go back to the target they got first.
    pub stickiness: Option<Stickiness>,
}

/// How long a balancer knows a client again, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stickiness {
    /// How long that counts, since it was renewed; 1 s to 7 days, as ALB has it.
    pub duration: Span,
    /// By what.
    pub by: StickyBy,
}

/// By what a balancer knows a client again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StickyBy {
    /// A cookie of the balancer, which every request renews (ALB's `AWSALB`).
    LbCookie,
    /// A cookie of the app: the balancer adds its own (`AWSALBAPP`) to each answer, so that a client has none before its
    /// first answer.
    AppCookie,
    /// Its address, which clients behind a NAT share (NLB's `source_ip`, HAProxy's stick table).
    SourceIp,
}

/// How a balancer picks a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Each in turn.
    RoundRobin,
    /// Any, with equal chances.
    Random,
    /// One with the fewest requests in progress; ties go to each in turn.
    LeastOutstandingRequests,
    /// So many different ones at random, and of these the one with the fewest requests in progress (Mitzenmacher 2001; HAProxy's
    /// `random`, Envoy's `LEAST_REQUEST`).
    PowerOfChoices(u32),
    /// Two different ones at random, and of these the one that is expected to answer sooner: the moving average of its response
    /// times, times requests in progress (Finagle, Linkerd).
    PeakEwma {
        /// How fast old answers are forgotten: to a third in this time.
        decay: Span,
    },
    /// The one that a hash of the connection's addresses and ports says: a connection stays with its target, and a new one
    /// comes from another port (AWS's NLB).
    FlowHash,
    /// The one that a hash of the client says.
    Hash(Hashing),
}

/// How a hash finds its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// The remainder by the number of targets (nginx `ip_hash`, HAProxy `source`): most clients move when that changes.
    Modulo,
    /// The next place on a ring, of which each target has 160 (ketama): only the clients of a target that leaves move.
    Ring,
    /// A table that targets fill in turn (Maglev): even shares, and few others move.
    Maglev,
}

/// A target group's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Time between checks of one target.
    pub interval: Span,
    /// A check that takes longer has failed.
    pub timeout: Span,
    /// Passed checks, one after another, that make an unhealthy target healthy. A new target needs one.
    pub healthy: u32,
    /// Failed checks, one after another, that make a target unhealthy.
    pub unhealthy: u32,
}

impl HealthCheck {
    /// From a check that fails to the end of the one that makes the target unhealthy.
    pub fn first_failures(&self) -> Span {
        self.interval.saturating_mul(u64::from(self.unhealthy.saturating_sub(1))) + self.timeout
    }
}
