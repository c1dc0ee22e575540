//! The world: builds itself from a [`Plan`] and a [`Seed`], and lets each [`Event`] happen to it. The `match` in
//! [`System::handle`] is the index of the code:
//!
//! * [`client`](self): sources, timeouts and retries;
//! * [`hedge`](self): attempts beside an attempt, and retry budgets;
//! * [`guard`](self): rate limiters, circuit breakers, servers that shed load;
//! * [`connections`](self): requests on their way to a balancer, where that is played;
//! * [`accept`](self): which worker of an instance gets a request;
//! * [`serve`](self): how an instance works through the steps of a request;
//! * [`leave`](self): how attempts leave it, and who learns of that;
//! * [`threads`](self): interpreter locks, and threads beside a loop;
//! * [`engines`](self): tokens from inference engines of instances;
//! * [`jobs`](self): work that outlives its request: queues, workers, how clients find out;
//! * [`sessions`](self): connections that stay open, messages and rooms;
//! * [`fleet`](self): instances and their life;
//! * [`forecasts`](self): the past that predictive policies know;
//! * [`lifecycle`](self): where they stand in their group, and what it prepares, spares and waits for;
//! * [`boot`](self), [`versions`](self): user data, and versions of launch templates;
//! * [`release`](self), [`refresh`](self), [`rolling`](self), [`blue_green`](self): how versions come to instances;
//! * [`mixed`](self), [`spot`](self): what they are bought as, and which are taken back;
//! * [`targets`](self): what balancers believe of them;
//! * [`health`](self): what goes wrong with them;
//! * [`incidents`](self), [`zones`](self), [`supervise`](self), [`hinder`](self): incidents, and what they do;
//! * [`control`](self): the control plane, once a minute;
//! * [`change`](self): another plan in mid-run;
//! * [`kubernetes`](self): pods, their nodes, and what scales both.
//!
//! A request costs a handful of events and no allocation; the control plane acts every few seconds, so there
//! clarity goes first. The world is plain data: a clone of it in mid-run has the same future.

mod accept;
mod balancing;
mod blue_green;
mod boot;
mod census;
mod change;
mod client;
mod connections;
mod control;
mod cooldown;
mod deadlines;
mod ending;
mod engines;
mod finish;
mod fleet;
mod forecasts;
mod guard;
mod health;
mod hedge;
mod hinder;
mod incidents;
mod instance;
mod instances;
mod jobs;
mod kubernetes;
mod leave;
mod lifecycle;
mod log;
mod meters;
mod mixed;
mod network;
mod observe;
mod oracle;
mod program;
mod refresh;
mod release;
mod request;
mod rolling;
mod series;
mod serve;
mod sessions;
mod spot;
mod supervise;
mod targets;
mod threads;
mod usage;
mod versions;
mod work;
mod zones;

use std::sync::Arc;

use sim_core::{Calendar, Keyed, Model, Seed, Simulation, Span, Time};
use smallvec::SmallVec;

use crate::balancer::{Latency, Rotation};
use crate::connections::Way;
use crate::event::{Event, Slab};
use crate::measure::Measure;
use crate::plan::{BalancerId, Group, GroupId, Plan, TrafficId};
use deadlines::Deadlines;
use sessions::Sessions;

pub use client::Source;
pub use connections::Wire;
pub use ending::{Ending, EndingKind};
pub use engines::{Generations, InferenceEngine};
pub use finish::finish;
pub use fleet::Fleet;
pub use instance::{Instance, Interruption, Phase};
pub use instances::Instances;
pub use jobs::{Consumer, Gpus, Job, JobState, Jobs};
pub use kubernetes::Cluster;
pub use lifecycle::{GroupLife, Pooled, Standing, State};
pub use program::Program;
pub use request::{NOWHERE, Request, Sender, Stage, UNGUARDED};
pub use targets::{Target, TargetHealth};

/// The control plane's clock: CloudWatch evaluates alarms, and groups check health, once a minute.
pub const MINUTE: Span = Span::from_secs(60);

/// A system in mid-run.
#[derive(Clone, Debug)]
pub struct System {
    plan: Arc<Plan>,
    requests: Slab<Request>,
    instances: Instances,
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
    /// A process has died, or an instance was slow.
    harmed: bool,
    /// An instance that is losing everything at this instant.
    losing: Option<supervise::Losing>,
    /// The last failed start of processes in the log.
    told: Option<supervise::Told>,
    /// Processes with a free slot and a queue, by instance, to be seen to before the event ends.
    dirty: Vec<(u32, u16)>,
    rotations: Vec<Rotation>,
    /// Whether one of them goes by how requests end.
    asks_how_it_ends: bool,
    targets: Slab<Target>,
    /// Until when balancers wait for answers; `None` where one waits for ever.
    unanswered: Vec<Option<Deadlines>>,
    /// What stands in front of balancers, by balancer; empty where nothing does.
    guards: Vec<Option<Box<guard::Guard>>>,
    /// The next attempt in the race that a request is in, by slot; empty where nobody hedges.
    races: Vec<u32>,
    sources: Vec<Source>,
    /// Connections that stay open; `None` where no source has any.
    sessions: Option<Box<Sessions>>,
    /// Jobs and the queues that they wait in; `None` where there are none.
    jobs: Option<Box<Jobs>>,
    /// What requests have engines generate; `None` where no service has one.
    generations: Option<Box<Generations>>,
    /// What hashes of connections are drawn from.
    connections: Keyed,
    programs: Vec<Program>,
    /// The versions of groups that have several; empty where none has.
    variants: Vec<versions::Variant>,
    /// Releases, by the plan's order.
    releases: Vec<release::Underway>,
    /// What instances of groups weigh by now, where a release has changed that.
    weights: Vec<(BalancerId, GroupId, u32)>,
    /// By the plan's order.
    incidents: Vec<incidents::Ongoing>,
    /// What services wait for outside the model, by service; empty where no incident is about that.
    dependencies: Vec<hinder::Dependency>,
    fleets: Vec<Fleet>,
    /// The sources whose requests come to a group, by group.
    asked_by: Vec<Vec<TrafficId>>,
    measure: Measure,
    /// Pods and nodes; `None` where there are none.
    cluster: Option<Box<kubernetes::Cluster>>,
    /// Requests per second that one instance of each group can serve.
    capacity_per_instance: Vec<f64>,
    /// What an instance of each type is worth in instances of its group's first machine, by group.
    worth_of_machines: Vec<Vec<f64>>,
    reached: Option<ReachedLimit>,
    /// What is counted for metrics that few policies ask for; `None` where none does.
    meters: Option<Box<meters::Meters>>,
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
        let rotations = balancing::rotations(&plan, seed);
        let mut system = System {
            requests: Slab::default(),
            instances: Instances::new(plan.groups.len()),
            outstanding: Vec::new(),
            latencies: Vec::new(),
            decays: balancing::decays(&plan),
            hears_answers: balancing::hears_answers(&plan),
            ways: connections::ways(&plan, seed),
            least: balancing::least(&plan),
            harmed: false,
            losing: None,
            told: None,
            dirty: Vec::new(),
            asks_how_it_ends: rotations.iter().any(Rotation::asks_how_it_ends),
            rotations,
            guards: guard::guards(&plan),
            races: hedge::races(&plan),
            targets: Slab::default(),
            unanswered: balancing::unanswered(&plan, &mut calendar),
            sources: client::sources(&plan, seed, &mut calendar),
            programs: program::programs(&plan, seed, &mut calendar),
            sessions: Sessions::new(&plan, seed, &mut calendar),
            jobs: Jobs::new(&plan, seed, &mut calendar),
            generations: Generations::new(&plan),
            connections: seed.keyed("connections"),
            variants: versions::variants(&plan),
            releases: release::underway(&plan.releases),
            weights: Vec::new(),
            incidents: incidents::ongoing(&plan, seed),
            dependencies: hinder::dependencies(&plan),
            fleets: plan.groups.iter().map(|group| Fleet::new(group, seed)).collect(),
            asked_by: plan.asked_by(),
            measure: Measure::new(&plan),
            cluster: kubernetes::Cluster::new(&plan, seed),
            capacity_per_instance: (0..plan.groups.len())
                .map(|g| plan.capacity_per_instance(GroupId(g as u16)))
                .collect(),
            worth_of_machines: plan.worth_of_machines(),
            reached: None,
            meters: meters::meters(&plan),
            plan,
        };
        system.start_cluster(&mut calendar);
        system.start_fleets(&mut calendar);
        system.start_forecasts(seed);
        system.start_sessions(&mut calendar);
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

    fn start_clocks(&mut self, calendar: &mut Calendar<Event>) {
        calendar.after(MINUTE, Event::Minute);
        if self.plan.groups.iter().any(Group::high_resolution) {
            calendar.after(meters::TEN_SECONDS, Event::TenSeconds);
        }
        calendar.after(self.measure.interval(), Event::Row);
        for (index, objective) in (0u16..).zip(&self.plan.objectives) {
            calendar.after(objective.window, Event::Window(index));
        }
        self.start_incidents(calendar);
        self.start_releases(calendar);
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
            Event::WaitFailed(request) => self.wait_failed(request, calendar),
            Event::Timeout(source) => self.timeout(source, calendar),
            Event::Retry(request) => self.retry(request, calendar),
            Event::NoConnection(request) => self.no_connection(request, calendar),
            Event::Idle(balancer) => self.idle_timeout(balancer, calendar),
            Event::Message(source) => self.message(source, calendar),
            Event::SessionOver(session) => self.session_over(session, calendar),
            Event::Reconnect(session) => self.reconnect(session, calendar),
            Event::RoomStart(source, room) => self.room_overdue(source, room, calendar),
            Event::RoomOver(source, room) => self.room_over(source, room, calendar),
            Event::Hedge(request) => self.hedge(request, calendar),
            Event::Reaches(request) => self.reaches(request, calendar),
            Event::Unreached(request) => self.unreached(request, calendar),
            Event::ConnectionIdle(source) => self.idle_over(source, calendar),
            Event::Queue(queue) => self.queue_due(queue, calendar),
            Event::GpuOver(request) => self.gpu_over(request, calendar),
            Event::Engine(instance) => self.engine_due(instance, calendar),
            Event::GenerationTimeout(request) => self.generation_timeout(request, calendar),
            Event::Ask(job) => self.ask(job, calendar),
            Event::News(job) => self.news(job, calendar),
            Event::HeldLongEnough(request) => self.held_long_enough(request, calendar),
            Event::Spot(instance) => self.spot(instance, calendar),
            Event::PoolInterrupted(group, pool) => self.pool_interrupted(group, pool, calendar),
            Event::PoolReturns(group, pool) => self.pool_returns(group, pool, calendar),
            Event::Stage(instance) => self.next_stage(instance, calendar),
            Event::Lifecycle(instance) => self.lifecycle_over(instance, calendar),
            Event::Pooled(group, number) => self.pooled(group, number, calendar),
            Event::InstanceAction(group, index) => self.instance_action(group, index, calendar),
            Event::Suspension(group, index) => self.suspension(group, index, calendar),
            Event::Check(target) => self.check(target, calendar),
            Event::CheckTimeout(target) => self.check_timeout(target, calendar),
            Event::Schedule(group, policy, time) => self.run_schedule(group, policy, time, calendar),
            Event::Incident(index) => self.incident(index, calendar),
            Event::IncidentOver(index) => self.incident_over(index, calendar),
            Event::Cluster(due) => self.cluster_due(due, calendar),
            Event::Release(index) => self.begin_release(index, calendar),
            Event::ReleaseGoesOn(index, generation) => self.release_goes_on(index, generation, calendar),
            Event::Process(instance, number) => self.process_goes_on(instance, number, calendar),
            Event::Minute => {
                self.minute(calendar);
                self.tick(calendar, MINUTE, Event::Minute);
            }
            Event::TenSeconds => {
                self.ten_seconds(calendar);
                self.tick(calendar, meters::TEN_SECONDS, Event::TenSeconds);
            }
            Event::Row => {
                self.close_row(calendar.now());
                self.tick(calendar, self.measure.interval(), Event::Row);
            }
            Event::Window(index) => {
                if self.measure.close_window(usize::from(index), calendar.now()) && !self.releases.is_empty()
                {
                    self.alarm_releases(index, calendar);
                }
                let window = self.plan.objectives[usize::from(index)].window;
                self.tick(calendar, window, Event::Window(index));
            }
            Event::WarmUpOver => {
                self.catch_up_with_queues(calendar);
                self.begin_measuring(calendar.now());
            }
        }
        self.settle(calendar);
    }

    #[inline]
    fn done(&self) -> bool {
        self.reached.is_some()
    }
}
