//! The resolved description of a system: plain data with public fields, no text left to interpret.
//!
//! A scenario file is read into the types of [`crate::scenario`] and lowered to a [`Plan`]; the world of
//! [`crate::system`] builds itself from a plan and a seed. Things refer to each other by dense ids, which are
//! indices into the plan's vectors.

mod balancer;
mod connection;
mod engine;
mod group;
mod incident;
mod kubernetes;
mod lifecycle;
mod mixed;
mod objective;
mod overload;
mod queue;
mod reach;
mod release;
mod service;
mod session;
mod status;
mod supervisor;
mod traffic;
mod worker;

use jiff::{SignedDuration, Zoned};
use sim_core::dist::Dist;
use sim_core::{Span, Time};

use crate::cost::{PriceBook, Terms};

pub use crate::scaling::{
    Metric, Mig, Predictive, ScheduledAction, SimpleScaling, StepScaling, TargetTracking, Vmss,
};
pub use balancer::{Algorithm, Balancer, Hashing, HealthCheck, Minimum, Stickiness, StickyBy, TargetGroup};
pub use connection::{Connections, Network, Tls};
pub use engine::{Engine, Tokens};
pub use group::{Background, Group, HealthCheckKind, Machine, Scaling, Startup, UserDataStep, Volume};
pub use incident::{Incident, IncidentKind, When};
pub use kubernetes::{
    Autoscaler, ClusterAutoscaler, Karpenter, NodePool, PodAutoscaler, Pods, Reading, Requests, ScaledObject,
};
pub use lifecycle::{
    InstanceAction, InstanceActionKind, Lifecycle, LifecycleHook, PoolState, Process, Protection, Suspension,
    Transition, WarmPool,
};
pub use mixed::{Interruptions, MixedInstances, PoolInterruptions, Spot, SpotPool};
pub use objective::{Indicator, Objective, Subject};
pub use overload::{CircuitBreaker, Hedge, HedgeAfter, RateLimit, RetryBudget, Shed, Trip};
pub use queue::{
    Assignor, BullMq, Commit, Kafka, Queue, QueueKind, RabbitMq, RedisList, RedisStream, Sqs, WhenFull,
};
pub use reach::Reach;
pub use release::{BlueGreen, How, Release, Rolling, Template, Version};
pub use service::{Accept, Cold, Collector, Memory, ProcessKind, Runtime, Service, Workers};
pub use session::{Direction, Message, Rooms, Sessions};
pub use status::{Channel, JobStatus, PollClock};
pub use supervisor::{GiveUp, Supervisor};
pub use traffic::{Doubtful, Retry, Traffic};
pub use worker::{Backoff, Load, Worker};

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
impl TrafficId {
    /// Stands for balancers that check their targets.
    pub const CHECKS: TrafficId = TrafficId(u16::MAX);
}

id!(/// One entry of [`Plan::services`].
    ServiceId);
id!(/// One entry of [`Plan::endpoints`].
    EndpointId);
id!(/// One entry of [`Plan::groups`].
    GroupId);
id!(/// One entry of [`Plan::balancers`].
    BalancerId);
id!(/// One entry of [`Plan::nodes`].
    NodePoolId);
id!(/// One entry of [`Plan::queues`].
    QueueId);

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
    /// The nodes that pods run on.
    pub nodes: Vec<NodePool>,
    /// What jobs wait in for workers.
    pub queues: Vec<Queue>,
    /// What stands before the groups.
    pub balancers: Vec<Balancer>,
    /// What goes wrong, and when.
    pub incidents: Vec<Incident>,
    /// What is released, and when.
    pub releases: Vec<Release>,
    /// What was promised.
    pub objectives: Vec<Objective>,
    /// What things cost; without it no bill is made.
    pub prices: Option<PriceBook>,
    /// What was committed to, and what else is on the bill.
    pub terms: Terms,
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
    /// Sessions that may be open or about to be at once, and seats of rooms.
    pub sessions: u32,
    /// Jobs that may be in queues or in work at once, or whose client waits for news.
    pub jobs: u32,
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
    /// Those of them that go to the server.
    pub request_size: u64,
    /// The status that it answers with, which matters to health checks: 100 to 599.
    pub status: u16,
    /// The share of requests that it answers with an error (500) once it has done all its steps: 0 to 1.
    pub errors: f64,
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
    /// Work on a GPU of the instance, which one request has at a time: nanoseconds.
    Gpu(Dist),
    /// Tokens from the inference engine of the instance, which has many requests in its batch at a time. The request goes on with the
    /// last one; whoever sent it reads them from the first one on.
    Generate(Tokens),
    /// A job is sent to each of these queues (one, or several as a topic fans out); the request goes on without waiting for
    /// the work.
    Enqueue(Vec<Enqueue>),
    /// Waits until the job that the request asks for is done, at most so long (long polling).
    AwaitJob(Span),
}

/// How a job is sent to a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Enqueue {
    /// Where.
    pub queue: QueueId,
    /// Jobs of the same key stay in order: keys are drawn from so many; `None` gives each job its own.
    pub keys: Option<u32>,
    /// Shares of priorities, from the most urgent; one of all where priorities do not matter.
    pub priorities: Vec<f64>,
}

impl Plan {
    /// An instant of the run as the wall clock of its zone shows it, such as `2026-11-27T20:30:00+05:30`.
    pub fn wall_clock(&self, at: Time) -> String {
        let since = i64::try_from(at.as_nanos()).map(SignedDuration::from_nanos).unwrap_or_default();
        let clock = self.start.checked_add(since).unwrap_or_else(|_| self.start.clone());
        clock.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The same in short, for people: `20:30`, with seconds where there are any and with its day where that is `long`.
    pub fn clock(&self, at: Time, long: bool) -> String {
        let since = i64::try_from(at.as_nanos()).map(SignedDuration::from_nanos).unwrap_or_default();
        let clock = self.start.checked_add(since).unwrap_or_else(|_| self.start.clone());
        let time = if clock.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
        clock.strftime(if long { format!("%a %d {time}") } else { time.to_string() }.as_str()).to_string()
    }

    /// All Availability Zones of its groups, in the order of their names.
    pub fn zones(&self) -> Vec<&str> {
        let mut zones: Vec<&str> =
            self.groups.iter().flat_map(|group| &group.zones).map(String::as_str).collect();
        zones.sort_unstable();
        zones.dedup();
        zones
    }

    /// How many requests fit into the memory of an instance of the group's first machine; `None` where that does not matter.
    pub fn requests_in_memory(&self, group: &Group) -> Option<u32> {
        self.requests_beside(group.service, group.machine())
    }

    /// The same of any service on any machine.
    pub fn requests_beside(&self, service: ServiceId, machine: &Machine) -> Option<u32> {
        let request = self.services[service.index()].memory?.request;
        Some(u32::try_from(self.memory_beside(service, machine)? / request.max(1)).unwrap_or(u32::MAX))
    }

    /// Bytes of an instance that its processes leave to requests and sessions; `None` where memory does not matter.
    pub fn memory_left(&self, group: &Group) -> Option<u64> {
        self.memory_beside(group.service, group.machine())
    }

    /// The same of any service on any machine.
    pub fn memory_beside(&self, service: ServiceId, machine: &Machine) -> Option<u64> {
        let service = &self.services[service.index()];
        let Memory { process, .. } = service.memory?;
        let processes = u64::from(service.runtime.processes(machine.processor.vcpus));
        let memory = (machine.memory_gib * f64::from(1 << 30)) as u64;
        Some(memory.saturating_sub(process.saturating_mul(processes)))
    }

    /// Open sessions that an instance can have: what it takes, and what fits into its memory beside a request; `None` without
    /// a limit.
    pub fn most_sessions(&self, group: &Group) -> Option<u32> {
        let service = &self.services[group.service.index()];
        let memory = service.memory.filter(|memory| memory.connection > 0);
        let fit = memory.zip(self.memory_left(group)).map(|(memory, left)| {
            // Beside one request: without room for that the server would be killed by the next message.
            let sessions = left.saturating_sub(memory.request) / memory.connection;
            u32::try_from(sessions).unwrap_or(u32::MAX)
        });
        service.most_connections.into_iter().chain(fit).min()
    }

    /// CPU time of a request beside the steps of its endpoint: the runtime's, which messages of sessions do without.
    pub fn overhead(&self, endpoint: EndpointId) -> Span {
        let service = self.endpoints[endpoint.index()].service;
        if self.is_message(endpoint) { Span::ZERO } else { self.services[service.index()].runtime.overhead }
    }

    /// True where an endpoint is a message of sessions, and so no request of HTTP.
    fn is_message(&self, endpoint: EndpointId) -> bool {
        let messages = self.traffic.iter().filter_map(|traffic| traffic.sessions.as_ref());
        let mut messages = messages.flat_map(|sessions| &sessions.messages);
        messages.any(|message| message.endpoint == endpoint || self.stands_in(endpoint, message.endpoint))
    }
}
