//! The world: builds itself from a [`Plan`] and a [`Seed`], and lets each [`Event`] happen to it. The `match` in
//! [`System::handle`] is the index of the code:
//!
//! * [`client`](self): sources, timeouts and retries;
//! * [`connections`](self): requests on their way to a balancer, where that is played;
//! * [`accept`](self): which worker of an instance gets a request;
//! * [`serve`](self): how an instance works through the steps of a request;
//! * [`threads`](self): interpreter locks, and threads beside a loop;
//! * [`fleet`](self): instances and their life;
//! * [`health`](self): what goes wrong with them;
//! * [`control`](self): the control plane, once a minute.
//!
//! A request costs a handful of events and no allocation; the control plane acts every few seconds, so there
//! clarity goes first. The world is plain data: a clone of it in mid-run has the same future.

mod accept;
mod balancing;
mod client;
mod connections;
mod control;
mod ending;
mod finish;
mod fleet;
mod health;
mod instance;
mod network;
mod request;
mod serve;
mod threads;

use std::sync::Arc;

use sim_core::{Calendar, Keyed, Model, Seed, Simulation, Span, Time};
use smallvec::SmallVec;

use crate::balancer::{Latency, Rotation};
use crate::connections::Way;
use crate::event::{Event, Slab};
use crate::measure::Measure;
use crate::plan::{BalancerId, GroupId, Plan};

pub use client::Source;
pub use connections::Wire;
pub use ending::{Ending, EndingKind};
pub use finish::finish;
pub use fleet::Fleet;
pub use instance::{Instance, Phase};
pub use request::{NOWHERE, Request, Stage};
pub use serve::Program;

/// The control plane's clock: CloudWatch evaluates alarms, and groups check health, once a minute.
pub const MINUTE: Span = Span::from_secs(60);

/// A system in mid-run.
#[derive(Clone, Debug)]
pub struct System {
    plan: Arc<Plan>,
    requests: Slab<Request>,
    instances: Slab<Instance>,
    /// Requests in progress at each instance, as balancers count them.
    outstanding: Vec<u32>,
    /// How long instances take to answer, where a balancer asks.
    latencies: Vec<Latency>,
    /// Balancers that pick by requests in progress, by group; empty where none does.
    least: Vec<SmallVec<[BalancerId; 1]>>,
    /// How fast that is forgotten, by group; empty where no balancer asks.
    decays: Vec<Option<Span>>,
    /// Whether a balancer is told of answers.
    hears_answers: bool,
    /// The way of calls to each balancer; empty where none is in trouble.
    ways: Vec<Option<Way>>,
    /// An instance that is losing everything at this instant.
    losing: Option<u32>,
    /// Processes with a free slot and a queue, by instance, to be seen to before the event ends.
    dirty: Vec<(u32, u16)>,
    rotations: Vec<Rotation>,
    sources: Vec<Source>,
    /// What hashes of connections are drawn from.
    connections: Keyed,
    programs: Vec<Program>,
    fleets: Vec<Fleet>,
    measure: Measure,
    /// Requests per second that one instance of each group can serve.
    capacity_per_instance: Vec<f64>,
    reached: Option<ReachedLimit>,
}

/// A limit of the plan that the world has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachedLimit {
    /// Its name in the scenario's `[limits]`.
    pub limit: &'static str,
    /// Its value.
    pub value: u64,
}

impl System {
    /// A world at time zero: the initial instances are up and in rotation, and every source is about to send.
    pub fn start(plan: Arc<Plan>, seed: Seed) -> Simulation<System> {
        let mut calendar = Calendar::new();
        let mut system = System {
            requests: Slab::default(),
            instances: Slab::default(),
            outstanding: Vec::new(),
            latencies: Vec::new(),
            decays: balancing::decays(&plan),
            hears_answers: balancing::hears_answers(&plan),
            ways: connections::ways(&plan, seed),
            least: balancing::least(&plan),
            losing: None,
            dirty: Vec::new(),
            rotations: balancing::rotations(&plan, seed),
            sources: plan
                .traffic
                .iter()
                .map(|traffic| Source::new(&plan, traffic, seed, &mut calendar))
                .collect(),
            programs: plan
                .endpoints
                .iter()
                .map(|endpoint| Program::new(&plan, endpoint, seed, &mut calendar))
                .collect(),
            connections: seed.keyed("connections"),
            fleets: plan.groups.iter().map(|group| Fleet::new(group, seed)).collect(),
            measure: Measure::new(&plan),
            capacity_per_instance: (0..plan.groups.len())
                .map(|g| plan.capacity_per_instance(GroupId(g as u16)))
                .collect(),
            reached: None,
            plan,
        };
        system.start_fleets(&mut calendar);
        system.start_sources(&mut calendar);
        system.start_clocks(&mut calendar);
        Simulation::new(system, calendar)
    }

    /// The plan it was built from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was measured so far.
    pub fn measure(&self) -> &Measure {
        &self.measure
    }

    /// The groups as they stand.
    pub fn fleets(&self) -> &[Fleet] {
        &self.fleets
    }

    /// Requests in the system: in progress, waiting, or about to be tried again. Attempts that their client
    /// has given up on count while a server works on them.
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// The limit that ended the run, if one did.
    pub fn reached_limit(&self) -> Option<ReachedLimit> {
        self.reached
    }

    fn start_clocks(&self, calendar: &mut Calendar<Event>) {
        calendar.after(MINUTE, Event::Minute);
        calendar.after(self.measure.interval(), Event::Row);
        for (index, objective) in (0u16..).zip(&self.plan.objectives) {
            calendar.after(objective.window, Event::Window(index));
        }
        for (index, incident) in (0u16..).zip(&self.plan.incidents) {
            calendar.at(incident.at(), Event::Incident(index));
        }
        if !self.plan.warm_up.is_zero() {
            calendar.after(self.plan.warm_up, Event::WarmUpOver);
        }
    }

    /// The next tick of a clock, unless the run is over by then.
    fn tick(&self, calendar: &mut Calendar<Event>, period: Span, event: Event) {
        if calendar.now() + period <= Time::ZERO + self.plan.duration {
            calendar.after(period, event);
        }
    }
}

impl Model for System {
    type Event = Event;

    fn handle(&mut self, event: Event, calendar: &mut Calendar<Event>) {
        match event {
            Event::Arrival(source) => self.arrival(source, calendar),
            Event::Cpu(instance) => self.cpu(instance, calendar),
            Event::WaitOver(request) => self.wait_over(request, calendar),
            Event::Timeout(source) => self.timeout(source, calendar),
            Event::Retry(request) => self.retry(request, calendar),
            Event::Reaches(request) => self.reaches(request, calendar),
            Event::Unreached(request) => self.unreached(request, calendar),
            Event::Idle(source) => self.idle_over(source, calendar),
            Event::Stage(instance) => self.next_stage(instance, calendar),
            Event::TargetUp(balancer, instance) => self.target_up(balancer, instance, calendar),
            Event::TargetDown(balancer, instance) => self.target_down(balancer, instance, calendar),
            Event::Schedule(group, policy, time) => self.run_schedule(group, policy, time, calendar),
            Event::Incident(index) => self.incident(index, calendar),
            Event::Minute => {
                self.minute(calendar);
                self.tick(calendar, MINUTE, Event::Minute);
            }
            Event::Row => {
                self.close_row(calendar.now());
                self.tick(calendar, self.measure.interval(), Event::Row);
            }
            Event::Window(index) => {
                self.measure.close_window(usize::from(index), calendar.now());
                let window = self.plan.objectives[usize::from(index)].window;
                self.tick(calendar, window, Event::Window(index));
            }
            Event::WarmUpOver => self.begin_measuring(calendar.now()),
        }
        self.settle(calendar);
    }

    #[inline]
    fn done(&self) -> bool {
        self.reached.is_some()
    }
}
