//! The resolved description of a system: plain data with public fields, no text left to interpret.
//!
//! A scenario file is read into the types of [`crate::scenario`] and lowered to a [`Plan`]; the world of
//! [`crate::system`] builds itself from a plan and a seed. Things refer to each other by dense ids, which are
//! indices into the plan's vectors.

mod balancer;
mod connection;
mod group;
mod incident;
mod objective;
mod service;
mod traffic;

use jiff::Zoned;
use sim_core::Span;
use sim_core::dist::Dist;

use crate::cost::PriceBook;

pub use crate::scaling::{Metric, ScheduledAction, TargetTracking};
pub use balancer::{Algorithm, Balancer, Hashing, HealthCheck, Stickiness, StickyBy};
pub use connection::{Connections, Network, Tls};
pub use group::{Background, Group, HealthCheckKind, Machine, Scaling, Startup};
pub use incident::Incident;
pub use objective::{Indicator, Objective};
pub use service::{Accept, Cold, Collector, Memory, ProcessKind, Runtime, Service, Workers};
pub use traffic::{Retry, Traffic};

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
