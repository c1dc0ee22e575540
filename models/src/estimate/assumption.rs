//! What the formulas take for granted, and where a plan is otherwise.

use std::sync::Arc;

use serde::Serialize;
use sim_core::Span;
use sim_core::dist::Dist;

use crate::machine::{Kernel, Processor, Scheduler};
use crate::plan::{Accept, Algorithm, Balancer, Group, Minimum, Plan, ProcessKind, Retry, Traffic};
use crate::traffic::{Arrivals, RateArrivals};

/// Something that the formulas take for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assumption {
    /// The load has been what it is for long.
    SteadyLoad,
    /// Arrivals are a Poisson process.
    PoissonArrivals,
    /// Each request goes to any instance, whatever they have to do and who sent it.
    RandomInstance,
    /// A connection goes to any worker of its instance.
    RandomWorker,
    /// Clients wait for ever, and ask once.
    PatientClients,
    /// Nobody is turned away, and nobody waits for a thread.
    RoomForAll,
    /// Instances do nothing but requests.
    NothingElse,
    /// Instances are as fast as ever: warm, without pauses.
    WarmInstances,
    /// vCPUs are shared evenly, and switching costs nothing.
    FreeSharing,
    /// vCPUs always run at the speed that lasts.
    LastingSpeed,
    /// Requests are at their balancer at once.
    NoNetwork,
    /// Sessions start one by one.
    NoRooms,
    /// Threads of an instance compute at the same time.
    NoLock,
    /// All instances of a group are the same.
    EqualInstances,
    /// The response time has a gamma distribution, of which mean and variance say all.
    GammaQuantiles,
}

impl Assumption {
    /// All that can be read off a plan.
    pub const ALL: [Assumption; 14] = [
        Assumption::RandomInstance,
        Assumption::PoissonArrivals,
        Assumption::SteadyLoad,
        Assumption::PatientClients,
        Assumption::RoomForAll,
        Assumption::RandomWorker,
        Assumption::NothingElse,
        Assumption::WarmInstances,
        Assumption::FreeSharing,
        Assumption::LastingSpeed,
        Assumption::NoNetwork,
        Assumption::NoRooms,
        Assumption::NoLock,
        Assumption::EqualInstances,
    ];

    /// What is taken for granted.
    pub fn stated(self) -> &'static str {
        match self {
            Assumption::SteadyLoad => "the load has stood at its peak for long",
            Assumption::PoissonArrivals => "arrivals are Poisson",
            Assumption::RandomInstance => "each request goes to a random instance",
            Assumption::RandomWorker => "each connection goes to a random worker",
            Assumption::PatientClients => "clients wait for ever and ask once",
            Assumption::RoomForAll => "nobody is turned away or waits for a thread",
            Assumption::NothingElse => "instances do nothing but requests",
            Assumption::WarmInstances => "instances are warm and never pause",
            Assumption::FreeSharing => "sharing a vCPU costs nothing and has no slices",
            Assumption::LastingSpeed => "vCPUs run at the speed that lasts",
            Assumption::NoNetwork => "requests are at their balancer at once",
            Assumption::NoRooms => "sessions start one by one",
            Assumption::NoLock => "all threads of an instance may compute at once",
            Assumption::EqualInstances => "all instances of a group are the same",
            Assumption::GammaQuantiles => "the response time has a gamma distribution",
        }
    }

    /// What the plan does instead; `None` where it is as assumed. `plan` is at its peak, with its own profile.
    pub fn otherwise(self, plan: &Plan) -> Option<String> {
        match self {
            Assumption::SteadyLoad => unsteady(plan),
            Assumption::PoissonArrivals => {
                let bursty =
                    |arrivals: &Arrivals| matches!(arrivals, Arrivals::Rate(rate) if !rate.is_poisson());
                let names = plan
                    .traffic
                    .iter()
                    .filter(|traffic| bursty(&traffic.arrivals))
                    .map(|of| of.name.as_str());
                listed(names).map(|names| format!("{names}: the dispersion is not 1"))
            }
            Assumption::RandomInstance => not_at_random(plan),
            Assumption::RandomWorker => plan
                .services
                .iter()
                .find(|service| {
                    service.runtime.workers.is_some_and(|workers| workers.accept != Accept::ReusePort)
                })
                .map(|service| {
                    format!("{}: workers take connections in turn, or when they idle", service.name)
                }),
            Assumption::PatientClients => {
                let hasty = |traffic: &&Traffic| {
                    traffic.timeout.is_some() || traffic.retry.max > 0 || traffic.hedge.is_some()
                };
                listed(plan.traffic.iter().filter(hasty).map(|traffic| traffic.name.as_str()))
                    .map(|names| format!("{names}: timeouts, retries or hedged requests"))
            }
            Assumption::RoomForAll => tight(plan),
            Assumption::NothingElse => beside(plan),
            Assumption::WarmInstances => plan
                .services
                .iter()
                .find(|service| service.cold.is_some() || service.collector.is_some())
                .map(|service| format!("{}: slow at first, or pauses for its collector", service.name)),
            Assumption::FreeSharing => costly_sharing(plan),
            Assumption::LastingSpeed => {
                let limited = |processor: &Processor| {
                    processor.quota.is_some() || processor.credits.is_some_and(|credits| !credits.unlimited)
                };
                let of = |group: &&Group| group.machines.iter().any(|machine| limited(&machine.processor));
                plan.groups.iter().find(of).map(|group| format!("{}: a quota or CPU credits", group.name))
            }
            Assumption::NoNetwork => {
                let far = |of: &&Traffic| of.network.is_some() || of.connections.is_some();
                listed(plan.traffic.iter().filter(far).map(|traffic| traffic.name.as_str()))
                    .map(|names| format!("{names}: round trips and connections"))
            }
            Assumption::NoRooms => {
                let rooms = |of: &&Traffic| of.sessions.as_ref().is_some_and(|of| of.rooms.is_some());
                listed(plan.traffic.iter().filter(rooms).map(|traffic| traffic.name.as_str()))
                    .map(|names| format!("{names}: the players of a room share an instance"))
            }
            Assumption::NoLock => {
                let locked = |process: ProcessKind| matches!(process, ProcessKind::Gil { .. });
                let service = plan.services.iter().find(|service| locked(service.runtime.process))?;
                Some(format!("{}: one thread at a time, in turns of its own", service.name))
            }
            Assumption::EqualInstances => plan
                .groups
                .iter()
                .find(|group| group.machines.len() > 1)
                .map(|group| format!("{}: {}", group.name, group.machine_names())),
            Assumption::GammaQuantiles => None,
        }
    }

    /// Makes it true in a plan whose load at the peak is `still`. False where no change of the plan does.
    pub fn grant(self, plan: &mut Plan, still: &Plan) -> bool {
        match self {
            Assumption::SteadyLoad => stand_still(plan, still),
            Assumption::PoissonArrivals => {
                for traffic in &mut plan.traffic {
                    traffic.arrivals =
                        Arrivals::Rate(RateArrivals::poisson(Arc::new(traffic.expected.clone())));
                }
            }
            Assumption::RandomInstance => {
                for balancer in &mut plan.balancers {
                    balancer.algorithm = Algorithm::Random { anomaly_mitigation: false };
                    (balancer.stickiness, balancer.keep_alive, balancer.cross_zone) = (None, None, true);
                }
            }
            Assumption::RandomWorker => {
                for workers in plan.services.iter_mut().filter_map(|service| service.runtime.workers.as_mut())
                {
                    workers.accept = Accept::ReusePort;
                }
            }
            Assumption::PatientClients => {
                for traffic in &mut plan.traffic {
                    (traffic.timeout, traffic.retry, traffic.hedge) = (None, Retry::NONE, None);
                }
            }
            Assumption::RoomForAll => make_room(plan),
            Assumption::NothingElse => {
                plan.balancers.iter_mut().for_each(|balancer| balancer.health_check = None);
                let machines = plan.groups.iter_mut().flat_map(|group| &mut group.machines);
                machines.for_each(|machine| machine.background.clear());
            }
            Assumption::WarmInstances => {
                plan.services.iter_mut().for_each(|service| (service.cold, service.collector) = (None, None));
            }
            Assumption::FreeSharing => {
                for machine in plan.groups.iter_mut().flat_map(|group| &mut group.machines) {
                    machine.processor.scheduler = Scheduler::Shares(Kernel::IDEAL);
                }
            }
            Assumption::LastingSpeed => {
                for machine in plan.groups.iter_mut().flat_map(|group| &mut group.machines) {
                    let processor = &mut machine.processor;
                    let lasting = processor.capacity() / processor.speed(processor.vcpus);
                    processor.steal = 1.0 - lasting * (1.0 - processor.steal);
                    (processor.quota, processor.credits) = (None, None);
                }
            }
            Assumption::NoNetwork => {
                plan.traffic
                    .iter_mut()
                    .for_each(|traffic| (traffic.network, traffic.connections) = (None, None));
            }
            Assumption::NoRooms => {
                plan.traffic.iter_mut().filter_map(|of| of.sessions.as_mut()).for_each(|of| of.rooms = None);
            }
            Assumption::NoLock | Assumption::EqualInstances | Assumption::GammaQuantiles => return false,
        }
        true
    }
}

/// Names, or `None` without any.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Balancers that do not pick at random, and how they do.
fn not_at_random(plan: &Plan) -> Option<String> {
    let others = || plan.balancers.iter().filter(|balancer| !picks_at_random(balancer));
    let names = listed(others().map(|balancer| balancer.name.as_str()))?;
    Some(format!("{names}: {}", others().next().map(how_it_picks)?))
}

/// What instances do beside requests.
fn beside(plan: &Plan) -> Option<String> {
    let mut machines = plan.groups.iter().flat_map(|group| &group.machines);
    if machines.any(|machine| !machine.background.is_empty()) {
        return Some("programs run beside the service".to_string());
    }
    let checks = plan.balancers.iter().any(|balancer| balancer.health_check.is_some());
    checks.then(|| "health checks are requests, too".to_string())
}

/// Whether each request goes to any instance, whoever sent it.
fn picks_at_random(balancer: &Balancer) -> bool {
    let random = matches!(balancer.algorithm, Algorithm::Random { .. } | Algorithm::FlowHash);
    random && balancer.stickiness.is_none() && balancer.keep_alive.is_none() && balancer.cross_zone
}

/// In a balancer's own words.
fn how_it_picks(balancer: &Balancer) -> String {
    if balancer.stickiness.is_some() {
        return "clients go back to the instance they had".to_string();
    }
    match balancer.algorithm {
        Algorithm::RoundRobin => "round robin splits arrivals more evenly than chance",
        Algorithm::LeastOutstandingRequests => {
            "least outstanding requests looks where there is room, nearly as one queue would"
        }
        Algorithm::PowerOfChoices(_) | Algorithm::PeakEwma { .. } => "it looks where there is room",
        Algorithm::Hash(_) => "a client always goes to the same instance",
        Algorithm::Random { .. } | Algorithm::FlowHash => "connections or zones keep requests together",
    }
    .to_string()
}

/// How much the load moves in the plan, where it does.
fn unsteady(plan: &Plan) -> Option<String> {
    /// Less than this share of the highest rate does not show.
    const STEADY: f64 = 0.02;
    let mut worst: Option<(f64, &str)> = None;
    for traffic in &plan.traffic {
        let rates = || traffic.expected.knots().iter().map(|knot| knot.1);
        let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        if high > 0.0 && (high - low) / high > STEADY && worst.is_none_or(|(least, _)| low / high < least) {
            worst = Some((low / high, &traffic.name));
        }
    }
    let (share, name) = worst?;
    Some(format!(
        "{name}: within {:.0} s the rate is between {:.0} % and all of its highest",
        plan.duration.as_secs_f64(),
        100.0 * share
    ))
}

/// The sources at the rates of `still`, over the length of the plan.
fn stand_still(plan: &mut Plan, still: &Plan) {
    let end = sim_core::Time::ZERO + plan.duration;
    for (traffic, at) in plan.traffic.iter_mut().zip(&still.traffic) {
        let rate = at.expected.rate(sim_core::Time::ZERO);
        traffic.expected =
            crate::traffic::RateFunction::from_knots(vec![(sim_core::Time::ZERO, rate), (end, rate)]);
        traffic.arrivals = super::course::follow(&traffic.arrivals, &traffic.expected);
        if let (Some(sessions), Some(at)) = (&mut traffic.sessions, &at.sessions) {
            sessions.open = at.open;
            // So many stay open with as many handshakes where each lasts for open / rate (Little).
            let lasting = Dist::exponential(f64::from(at.open) / rate * 1e9);
            sessions.length = lasting.unwrap_or_else(|_| sessions.length.clone());
        }
    }
}

/// Who may be turned away, or made to wait for a thread.
fn tight(plan: &Plan) -> Option<String> {
    for balancer in &plan.balancers {
        if balancer.rate_limit.is_some() || balancer.circuit_breaker.is_some() {
            return Some(format!("{}: a rate limit or a circuit breaker", balancer.name));
        }
    }
    plan.services.iter().find_map(|service| {
        if service.shed.is_some() {
            return Some(format!("{}: sheds load", service.name));
        }
        match service.runtime.process {
            ProcessKind::Threads { threads: Some(threads), .. } | ProcessKind::Gil { threads, .. } => {
                Some(format!("{}: {threads} threads", service.name))
            }
            ProcessKind::EventLoop { accept_queue, .. } | ProcessKind::Async { accept_queue, .. } => {
                Some(format!("{}: {accept_queue} may wait to be accepted", service.name))
            }
            ProcessKind::Threads { threads: None, .. } => None,
        }
    })
}

/// Lets everybody in.
fn make_room(plan: &mut Plan) {
    /// More than ever come.
    const ALL: u32 = 1 << 24;
    for balancer in &mut plan.balancers {
        (balancer.rate_limit, balancer.circuit_breaker) = (None, None);
        balancer.minimum_healthy = Minimum::Count(1);
    }
    for service in &mut plan.services {
        service.shed = None;
        match &mut service.runtime.process {
            ProcessKind::Threads { threads, .. } => *threads = None,
            ProcessKind::EventLoop { accept_queue, .. } | ProcessKind::Async { accept_queue, .. } => {
                *accept_queue = ALL
            }
            ProcessKind::Gil { .. } => {} // threads without end would fight for the lock
        }
    }
}

/// Whether turns at a vCPU may be seen.
fn costly_sharing(plan: &Plan) -> Option<String> {
    /// Costs below this share of the time do not show.
    const FREE: f64 = 0.005;
    plan.groups.iter().find_map(|group| {
        let processor = &group.machine().processor;
        match &processor.scheduler {
            Scheduler::Slices(_) => Some(format!("{}: time slices one by one", group.name)),
            Scheduler::Shares(kernel) => {
                let share = kernel.overhead(processor.vcpus);
                (share > FREE || kernel.wakeup > Span::from_micros(50))
                    .then(|| format!("{}: switching takes {:.1} % of a busy vCPU", group.name, 100.0 * share))
            }
        }
    })
}
