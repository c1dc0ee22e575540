//! What stands before a group.

use sim_core::Span;

use super::{CircuitBreaker, GroupId, RateLimit, Service};

/// A load balancer and its target groups.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// Its name in the scenario.
    pub name: String,
    /// The groups whose instances are its targets; at least one, all of the same service.
    pub targets: Vec<TargetGroup>,
    /// How it picks one.
    pub algorithm: Algorithm,
    /// The port that it sends to.
    pub port: u16,
    /// Whether each of its nodes sends to the targets of all zones, or to those of its own only.
    pub cross_zone: bool,
    /// With fewer healthy targets than this it sends to all that are registered; in each zone by itself without cross-zone.
    pub minimum_healthy: Minimum,
    /// With fewer healthy targets than this a zone leaves DNS, where nodes keep to their zone.
    pub minimum_in_dns: Minimum,
    /// How long the share of a new target grows until it is a full one.
    pub slow_start: Option<Span>,
    /// How it finds out whether a target answers; `None` takes all that are registered to be healthy.
    pub health_check: Option<HealthCheck>,
    /// How long it waits for an answer (then 504); `None` waits for ever.
    pub idle_timeout: Option<Span>,
    /// How long a target that is taken out may finish what it has.
    pub deregistration_delay: Span,
    /// Connections that it keeps open to each target, each of which stays with the worker that accepted it; `None` opens one
    /// for each request.
    pub keep_alive: Option<u32>,
    /// Whether clients go back to the target they got first.
    pub stickiness: Option<Stickiness>,
    /// Rules that it holds each request against, for its bill; a listener has one.
    pub rules: u32,
    /// How many requests it lets through in a second.
    pub rate_limit: Option<RateLimit>,
    /// When it lets none through.
    pub circuit_breaker: Option<CircuitBreaker>,
}

impl Balancer {
    /// One that takes turns among the instances of a group, has no health checks, and waits for ever.
    pub fn new(name: &str, targets: GroupId) -> Balancer {
        Balancer {
            name: name.to_string(),
            targets: vec![TargetGroup { group: targets, weight: 1 }],
            cross_zone: true,
            minimum_healthy: Minimum::Count(1),
            minimum_in_dns: Minimum::Count(1),
            slow_start: None,
            algorithm: Algorithm::RoundRobin,
            port: Service::USUAL_PORT,
            health_check: None,
            idle_timeout: None,
            deregistration_delay: Span::ZERO,
            keep_alive: None,
            stickiness: None,
            rules: 1,
            rate_limit: None,
            circuit_breaker: None,
        }
    }

    /// Whether it sends to the instances of a group.
    pub fn has(&self, group: GroupId) -> bool {
        self.targets.iter().any(|target| target.group == group)
    }

    /// The weight of a group's instances; 0 where it does not send to them.
    pub fn weight_of(&self, group: GroupId) -> u32 {
        self.targets.iter().find(|target| target.group == group).map_or(0, |target| target.weight)
    }

    /// The first of its groups: its service is that of all.
    pub fn first_group(&self) -> GroupId {
        self.targets[0].group
    }

    /// Whether all its targets have the same weight.
    pub fn weighs_equally(&self) -> bool {
        self.targets.windows(2).all(|pair| pair[0].weight == pair[1].weight)
    }
}

/// A group behind a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// The group.
    pub group: GroupId,
    /// The weight of each of its instances, 0 to [`TargetGroup::MOST_WEIGHT`]: how much it gets beside those of others.
    pub weight: u32,
}

impl TargetGroup {
    /// The largest weight, as for the target groups of an ALB.
    pub const MOST_WEIGHT: u32 = 999;
}

/// A least number of targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Minimum {
    /// So many.
    Count(u32),
    /// A share of those that are registered, 0 to 1.
    Share(f64),
}

impl Minimum {
    /// Whether so many healthy targets of those that are registered are enough.
    pub fn kept(self, healthy: usize, registered: usize) -> bool {
        match self {
            Minimum::Count(count) => healthy >= count as usize,
            Minimum::Share(share) => healthy > 0 && healthy as f64 >= share * registered as f64,
        }
    }
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
    /// Each in turn; those with more weight more often, and spread (nginx's smooth weighted round robin).
    RoundRobin,
    /// Any, with chances by weight.
    Random {
        /// Whether targets that fail more than others get less (ALB's anomaly mitigation).
        anomaly_mitigation: bool,
    },
    /// One with the fewest requests in progress by weight; ties go to each in turn.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What it asks for. Where this is an endpoint of the service, a check does that endpoint's steps.
    pub path: String,
    /// The statuses that pass: ranges, both ends included.
    pub matcher: Vec<(u16, u16)>,
    /// Time between checks of one target.
    pub interval: Span,
    /// A check that takes longer has failed; less than the interval.
    pub timeout: Span,
    /// Passed checks, one after another, that make an unhealthy target healthy. A new target needs one.
    pub healthy: u32,
    /// Failed checks, one after another, that make a target unhealthy.
    pub unhealthy: u32,
}

impl HealthCheck {
    /// Whether an answer with this status passes.
    pub fn matches(&self, status: u16) -> bool {
        self.matcher.iter().any(|&(from, to)| (from..=to).contains(&status))
    }
}
