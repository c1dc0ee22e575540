//! The resolved description of a system: plain data with public fields, no text left to interpret.
//!
//! A scenario file is read into the types of [`crate::scenario`] and lowered to a [`Plan`]; the world of
//! [`crate::system`] builds itself from a plan and a seed. Things refer to each other by dense ids, which are
//! indices into the plan's vectors.

mod service;

use jiff::Zoned;
use sim_core::dist::Dist;
use sim_core::{Span, Time};

use crate::cost::PriceBook;
use crate::machine::{Processor, Refill, Scheduler};
use crate::traffic::{Arrivals, RateFunction};

pub use crate::scaling::{Metric, ScheduledAction, TargetTracking};
pub use service::{Accept, Cold, Collector, Memory, ProcessKind, Runtime, Service, Workers};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            /// The index into the plan's vector.
            #[inline]
            pub fn index(self) -> usize {
                usize::from(self.0)
            }
        }
    };
}

id!(/// One entry of [`Plan::traffic`].
    TrafficId);
id!(/// One entry of [`Plan::services`].
    ServiceId);
id!(/// One entry of [`Plan::endpoints`].
    EndpointId);
id!(/// One entry of [`Plan::groups`].
    GroupId);
id!(/// One entry of [`Plan::balancers`].
    BalancerId);

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name, for headings.
    pub name: String,
    /// The seed that all randomness comes from.
    pub seed: u64,
    /// The wall clock at simulated time zero.
    pub start: Zoned,
    /// How long to play.
    pub duration: Span,
    /// Requests that end before this are played but not measured.
    pub warm_up: Span,
    /// What the run may not exceed.
    pub limits: Limits,
    /// Who sends requests.
    pub traffic: Vec<Traffic>,
    /// What answers them.
    pub services: Vec<Service>,
    /// All endpoints of all services.
    pub endpoints: Vec<Endpoint>,
    /// The fleets that services run on.
    pub groups: Vec<Group>,
    /// What stands before the groups.
    pub balancers: Vec<Balancer>,
    /// What goes wrong, and when.
    pub incidents: Vec<Incident>,
    /// What was promised.
    pub objectives: Vec<Objective>,
    /// What things cost; without it no bill is made.
    pub prices: Option<PriceBook>,
    /// What reading the scenario and its traces found worth saying.
    pub notes: Vec<String>,
}

/// Caps of a run. Reaching one ends the run early and is reported as its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events that may happen.
    pub events: u64,
    /// Requests that may be in the system at once.
    pub in_flight: u32,
}

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
    /// What they ask for: endpoints and their shares, which sum to 1.
    pub mix: Vec<(EndpointId, f64)>,
    /// How long a client waits for each attempt; `None` waits for ever.
    pub timeout: Option<Span>,
    /// What a client does after a failed attempt.
    pub retry: Retry,
    /// Different clients, each as likely as any other to send the next request; `None` where each request is another's.
    pub clients: Option<u32>,
}

impl Traffic {
    /// The most clients of a source. Each that sticks to a target takes 16 bytes.
    pub const MOST_CLIENTS: u32 = 10_000_000;
}

/// Retries with exponential backoff: the `k`-th retry waits `min(backoff * multiplier^(k-1), backoff_max)`, and with
/// jitter a uniform draw between zero and that ("full jitter").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Retries after the first attempt; at most [`Retry::MOST`].
    pub max: u8,
    /// The wait before the first retry.
    pub backoff: Span,
    /// How much longer each further wait is; at least 1.
    pub multiplier: f64,
    /// The longest wait.
    pub backoff_max: Span,
    /// Draw the wait uniformly between zero and its length.
    pub jitter: bool,
}

impl Retry {
    /// The most retries that can be asked for: a request's draws are keyed by its number and attempt.
    pub const MOST: u8 = 15;
    /// A client that gives up at once.
    pub const NONE: Retry =
        Retry { max: 0, backoff: Span::ZERO, multiplier: 1.0, backoff_max: Span::ZERO, jitter: false };
}

/// A request's way through a service: steps, one after another, then the response.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Such as `GET /`.
    pub name: String,
    /// Whose endpoint it is.
    pub service: ServiceId,
    /// What it does; at most [`Endpoint::MOST_STEPS`].
    pub steps: Vec<Step>,
    /// Bytes the balancer carries for one request and its response.
    pub size: u64,
}

impl Endpoint {
    /// The most steps an endpoint may have.
    pub const MOST_STEPS: usize = 64;
}

/// One step of an endpoint.
#[derive(Clone, Debug)]
pub enum Step {
    /// Work on a core: nanoseconds it takes on an otherwise idle core.
    Cpu(Dist),
    /// The same on a thread beside an event loop (libuv's pool: files, names, compression, hashing) or beside asynchronous
    /// workers. Other runtimes do it on the thread they have.
    Pool(Dist),
    /// Waiting for something outside the model: nanoseconds.
    Wait(Dist),
    /// A request to another service, whose answer is waited for.
    Call {
        /// The balancer it goes to.
        to: BalancerId,
        /// The endpoint it asks for.
        endpoint: EndpointId,
    },
}

/// A fleet of equal machines that runs one service: an EC2 Auto Scaling group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in the scenario.
    pub name: String,
    /// What its instances run.
    pub service: ServiceId,
    /// What its instances are.
    pub machine: Machine,
    /// Availability Zones, at least one; launches go to the one with the fewest instances.
    pub zones: Vec<String>,
    /// The smallest desired capacity.
    pub min: u32,
    /// The desired capacity at the start.
    pub desired: u32,
    /// The largest desired capacity.
    pub max: u32,
    /// How long a launch takes.
    pub startup: Startup,
    /// Who tells the group that an instance is unhealthy.
    pub health_check: HealthCheckKind,
    /// Failed balancer checks count only this long after an instance came into service.
    pub grace_period: Span,
    /// Default instance warm-up; `None` where the scenario sets none, which is not the same as zero.
    pub instance_warmup: Option<Span>,
    /// Default cooldown, which stands in for a warm-up that is not set.
    pub default_cooldown: Span,
    /// Period of the instances' CPU metric: 1 minute (detailed monitoring) or 5 (basic).
    pub monitoring: Span,
    /// How long after its period a datapoint can be seen.
    pub metric_delay: Span,
    /// What changes the desired capacity.
    pub scaling: Vec<Scaling>,
}

impl Group {
    /// How long its new instances warm up for one of its policies: the policy's own warm-up, else the group's, else the
    /// default cooldown.
    pub fn warm_up(&self, policy: &Scaling) -> Span {
        let own = match policy {
            Scaling::TargetTracking(policy) => policy.estimated_instance_warmup,
            Scaling::Manual { .. } | Scaling::Scheduled(_) => None,
        };
        crate::scaling::effective_warmup(own, self.instance_warmup, self.default_cooldown)
    }
}

/// An instance type.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Such as `c6i.large`.
    pub name: String,
    /// Its virtual CPUs and who shares them out.
    pub processor: Processor,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// Price of an hour in the price book's currency, where it is known.
    pub hourly: Option<f64>,
    /// What refilling its caches costs.
    pub refill: Refill,
    /// Programs beside the service.
    pub background: Vec<Background>,
}

impl Machine {
    /// The machine where every switch finds the caches without a working set of so many bytes. What that costs is settled
    /// here, once, so that playing it looks nothing up.
    pub fn refilling(mut self, working_set: u64) -> Machine {
        let (Scheduler::Shares(kernel) | Scheduler::Slices(kernel)) = &mut self.processor.scheduler;
        kernel.refill = self.refill.of(working_set);
        self
    }
}

/// A program beside the service, with threads that always want a vCPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Background {
    /// Such as `browser`.
    pub name: String,
    /// How many.
    pub threads: u32,
    /// Their weight; that of a nice value of 0 is 1.
    pub weight: f64,
    /// The only vCPU they run on, where they are pinned to one; numbered from 0.
    pub pin: Option<u16>,
}

/// The three parts of a start, each a number of nanoseconds.
#[derive(Clone, Debug)]
pub struct Startup {
    /// From the launch until the instance runs, which is also when it is billed from and comes into service.
    pub provision: Dist,
    /// From running until the app can be started.
    pub boot: Dist,
    /// From starting the app until it answers.
    pub app: Dist,
}

/// Who tells an Auto Scaling group that an instance is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// EC2 status checks alone: an instance that does not run is unhealthy.
    Ec2,
    /// The target group's health as well, after the grace period.
    Elb,
}

/// Something that changes a group's desired capacity.
#[derive(Clone, Debug)]
pub enum Scaling {
    /// Somebody sets the desired capacity by hand.
    Manual {
        /// When.
        at: Time,
        /// The desired capacity from then on, between the group's minimum and maximum.
        desired: u32,
    },
    /// A scheduled action.
    Scheduled(ScheduledAction),
    /// A target tracking policy.
    TargetTracking(TargetTracking),
}

impl Plan {
    /// How many requests fit into the memory of an instance; `None` where that does not matter.
    pub fn requests_in_memory(&self, group: &Group) -> Option<u32> {
        let service = &self.services[group.service.index()];
        let Memory { process, request } = service.memory?;
        let processes = u64::from(service.runtime.processes(group.machine.processor.vcpus));
        let memory = (group.machine.memory_gib * f64::from(1 << 30)) as u64;
        let left = memory.saturating_sub(process.saturating_mul(processes));
        Some(u32::try_from(left / request.max(1)).unwrap_or(u32::MAX))
    }
}

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

/// Stickiness by a cookie of the balancer, which every request renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stickiness {
    /// How long a cookie counts; 1 s to 7 days, as ALB has it.
    pub duration: Span,
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

/// Something that goes wrong at a stated time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// Instances stop at once: what they were doing is lost, what they are sent is refused.
    Crash {
        /// Of which group.
        group: GroupId,
        /// When.
        at: Time,
        /// How many; the oldest in service go first.
        count: u32,
    },
}

impl Incident {
    /// When it happens.
    pub fn at(&self) -> Time {
        match self {
            Incident::Crash { at, .. } => *at,
        }
    }
}

/// A promise about requests, kept or broken in each window.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Its name in the scenario.
    pub name: String,
    /// The requests it is about; `None` means of any source.
    pub traffic: Option<TrafficId>,
    /// The endpoint it is about; `None` means any.
    pub endpoint: Option<EndpointId>,
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
