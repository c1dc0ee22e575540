//! Bounded collectors: what is kept of a run. Memory grows with its length in minutes and with the number of
//! names in its plan, never with the number of requests.

mod facts;
mod job_facts;
mod jobs;
mod late;
mod rows;
mod starts;
mod tokens;
mod trouble;
mod windows;

use sim_core::stats::{Histogram, Precision};
use sim_core::{Span, Time};

use crate::machine::{Machine, Tally};
use crate::plan::{BalancerId, EndpointId, Plan, Subject, TrafficId};
use crate::results::{Activity, ActivityKind, Distribution, Limits, Repeats, Requests, StatusCount, Wait};
use crate::system::{Ending, EndingKind, Instance, Job, JobState, Request, Sender};

pub use facts::MinuteFacts;
pub use job_facts::JobFacts;
pub use jobs::{JobCollector, JobMeasure, JobsRecord};
pub use late::{JobPart, LateJobs};
pub use rows::{RowRecord, Rows};
pub use starts::{Start, Starts};
pub use tokens::{EngineUse, TokenCollector, TokenMeasure, added};
pub use trouble::Trouble;
pub use windows::{ViolationRecord, WindowCollector};

/// Activities that are kept; further ones are counted.
pub const MOST_ACTIVITIES: usize = 50_000;

/// The collectors of a run.
#[derive(Clone, Debug)]
pub struct Measure {
    /// By source.
    pub sources: Vec<Collector>,
    /// By endpoint, each attempt by itself; behind those of the plan the health checks of each balancer.
    pub endpoints: Vec<EndpointCollector>,
    /// The recorded series.
    pub rows: Rows,
    /// By objective.
    pub windows: Vec<WindowCollector>,
    /// By balancer.
    pub balancers: Vec<Carried>,
    /// Whom its guard turned away, by balancer.
    pub limits: Vec<Limits>,
    /// What clients sent beside one attempt for each request, by source.
    pub repeats: Vec<Repeats>,
    /// What is counted of jobs.
    pub jobs: JobMeasure,
    /// What is counted of tokens.
    pub tokens: TokenMeasure,
    /// The activity log.
    pub log: Vec<Activity>,
    /// Activities that did not fit into the log.
    pub log_dropped: u64,
    /// How long instances took from their launch until they served.
    pub starts: Starts,
    /// When measurement began.
    pub since: Time,
    /// Core nanoseconds that instances which are gone have used, and core nanoseconds that they had, by group.
    pub gone_cores: Vec<[f64; 2]>,
    /// The same of all instances when measurement began.
    pub cores_before: Vec<[f64; 2]>,
    /// What the machines of instances that are gone had counted, by group.
    pub gone_machines: Vec<MachineTotals>,
    /// What all machines had counted when measurement began, by group.
    pub machines_before: Vec<MachineTotals>,
    /// What the run queues of instances that are gone had counted, by group.
    pub gone_tallies: Vec<Tally>,
    /// What all run queues had counted when measurement began, by group.
    pub tallies_before: Vec<Tally>,
    /// GPU nanoseconds that instances which are gone had, by group.
    pub gone_gpus: Vec<f64>,
    /// The same of all instances when measurement began.
    pub gpus_before: Vec<f64>,
    billed_minimum: f64,
}

/// What machines have counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineTotals {
    /// How often a quota ran out.
    pub throttled: u64,
    /// vCPU hours to be paid beyond what credits covered.
    pub surplus_hours: f64,
}

impl MachineTotals {
    /// What was counted since `before`.
    pub fn since(&self, before: &MachineTotals) -> MachineTotals {
        MachineTotals {
            throttled: self.throttled - before.throttled,
            surplus_hours: self.surplus_hours - before.surplus_hours,
        }
    }

    /// Adds one machine's.
    pub fn add(&mut self, machine: &Machine) {
        if let Some(supply) = machine.supply() {
            self.throttled += supply.throttled();
            self.surplus_hours += supply.surplus_hours();
        }
    }
}

/// Requests and their response times.
#[derive(Clone, Debug)]
pub struct Collector {
    /// How they ended.
    pub requests: Requests,
    /// Of those that were answered or timed out.
    pub times: Histogram,
    /// How many came to each of the other endings, by its number.
    pub endings: [u64; Ending::ALL.len()],
}

/// An endpoint's attempts.
#[derive(Clone, Debug)]
pub struct EndpointCollector {
    /// How they ended, and how long the answered ones took.
    pub served: Collector,
    /// Waits of those that had to wait for a slot.
    pub waits: Histogram,
    /// How many started at once.
    pub started_at_once: u64,
}

/// What a balancer carried, for its bill.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Requests.
    pub requests: u64,
    /// Those of them that went no further than its rate limiter or circuit breaker.
    pub turned_away: u64,
    /// Of these, requests that came over a connection which was there already.
    pub shared: u64,
    /// Bytes of requests and responses.
    pub bytes: u64,
    /// Messages through open sessions, which are no requests.
    pub messages: u64,
    /// How it stood at the end of each minute: the hourly dimensions of its bill.
    pub by_minute: Vec<CarriedMark>,
}

/// What a balancer had carried at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CarriedMark {
    /// Requests.
    pub requests: u64,
    /// Of these, requests that came over a connection which was there already.
    pub shared: u64,
    /// Bytes of requests and responses.
    pub bytes: u64,
    /// The integral of the requests in progress, and of connections that clients keep open.
    pub request_seconds: f64,
}

impl Carried {
    /// How it stands.
    pub fn mark(&self, request_seconds: f64) -> CarriedMark {
        CarriedMark { requests: self.requests, shared: self.shared, bytes: self.bytes, request_seconds }
    }

    /// The minute ends.
    pub fn close_minute(&mut self, request_seconds: f64) {
        self.by_minute.push(self.mark(request_seconds));
    }
}

impl Collector {
    /// One that has seen nothing.
    pub(crate) fn new() -> Self {
        Collector {
            requests: Requests::default(),
            times: Histogram::new(Precision::Fine),
            endings: [0; Ending::ALL.len()],
        }
    }

    /// Counts a request that was offered and has ended at once.
    pub fn work_ended(&mut self, ending: Ending, time: Span) {
        self.requests.offered += 1;
        self.end(ending, time);
    }

    #[inline]
    fn end(&mut self, ending: Ending, time: Span) {
        match ending.kind() {
            EndingKind::Completed => {
                self.requests.completed += 1;
                self.times.record(time);
                return;
            }
            EndingKind::TimedOut => {
                self.requests.timed_out += 1;
                self.times.record(time);
            }
            EndingKind::Refused => self.requests.refused += 1,
            EndingKind::Failed => self.requests.failed += 1,
        }
        self.endings[ending as usize] += 1;
    }

    /// What clients saw, as the balancer that they send to shows it, where that was not an answer: one of HTTP, or, for
    /// endings that are `bare`, what became of the connection.
    pub fn statuses(&self, bare: impl Fn(Ending) -> bool) -> Vec<StatusCount> {
        let all = Ending::ALL.into_iter().zip(self.endings).filter(|(_, count)| *count > 0);
        let status = |(ending, count): (Ending, u64)| {
            let (status, reason) = if bare(ending) { ending.connection() } else { ending.status() };
            StatusCount { status: status.to_string(), reason: reason.to_string(), count }
        };
        all.map(status).collect()
    }

    /// Forgets what ended; what is in flight stays offered.
    fn clear(&mut self) {
        let in_flight = in_flight(&self.requests);
        self.requests = Requests { offered: in_flight, ..Requests::default() };
        self.times.clear();
        self.endings = [0; Ending::ALL.len()];
    }

    /// The ledger, with what has not ended.
    pub fn ledger(&self) -> Requests {
        Requests { in_flight: in_flight(&self.requests), ..self.requests }
    }
}

fn in_flight(requests: &Requests) -> u64 {
    requests.offered - requests.completed - requests.refused - requests.timed_out - requests.failed
}

impl EndpointCollector {
    /// Waiting for a slot, zero where there was none.
    pub fn wait(&self) -> Wait {
        let waited = self.waits.count();
        let all = waited + self.started_at_once;
        let mut time = distribution(&self.waits);
        if all > 0 {
            // The histogram holds the waits that were not zero: mix in the zeros.
            let share = waited as f64 / all as f64;
            let second_moment = share * (time.std_dev.powi(2) + time.mean.powi(2));
            time.mean *= share;
            time.std_dev = (second_moment - time.mean.powi(2)).max(0.0).sqrt();
            let quantile = |p: f64| match (p - (1.0 - share)) / share {
                rest if rest > 0.0 => self.waits.quantile(rest).map_or(0.0, Span::as_secs_f64),
                _ => 0.0,
            };
            (time.p50, time.p90, time.p95) = (quantile(0.5), quantile(0.9), quantile(0.95));
            (time.p99, time.p999) = (quantile(0.99), quantile(0.999));
        }
        time.count = all;
        Wait { time, waited: if all == 0 { 0.0 } else { waited as f64 / all as f64 } }
    }
}

impl Measure {
    /// Empty collectors for `plan`.
    pub fn new(plan: &Plan) -> Self {
        let endpoint = |_| EndpointCollector {
            served: Collector::new(),
            waits: Histogram::new(Precision::Fine),
            started_at_once: 0,
        };
        Measure {
            sources: plan.traffic.iter().map(|_| Collector::new()).collect(),
            endpoints: (0..plan.endpoints.len() + plan.balancers.len()).map(endpoint).collect(),
            rows: Rows::new(plan.duration),
            windows: plan.objectives.iter().map(WindowCollector::new).collect(),
            balancers: plan.balancers.iter().map(|_| Carried::default()).collect(),
            limits: plan.balancers.iter().map(|_| Limits::default()).collect(),
            repeats: plan.traffic.iter().map(|_| Repeats::default()).collect(),
            jobs: JobMeasure::new(plan),
            tokens: TokenMeasure::new(plan),
            log: Vec::new(),
            log_dropped: 0,
            starts: Starts::default(),
            since: Time::ZERO,
            gone_cores: plan.groups.iter().map(|_| [0.0; 2]).collect(),
            cores_before: plan.groups.iter().map(|_| [0.0; 2]).collect(),
            gone_machines: plan.groups.iter().map(|_| MachineTotals::default()).collect(),
            machines_before: plan.groups.iter().map(|_| MachineTotals::default()).collect(),
            gone_tallies: plan.groups.iter().map(|_| Tally::default()).collect(),
            tallies_before: plan.groups.iter().map(|_| Tally::default()).collect(),
            gone_gpus: vec![0.0; plan.groups.len()],
            gpus_before: vec![0.0; plan.groups.len()],
            billed_minimum: plan.prices.as_ref().map_or(0.0, |prices| prices.minimum_seconds),
        }
    }

    /// Forgets what was measured so far: the run's warm-up is over.
    pub fn begin(&mut self, now: Time) {
        self.since = now;
        self.sources.iter_mut().for_each(Collector::clear);
        for endpoint in &mut self.endpoints {
            endpoint.served.clear();
            endpoint.waits.clear();
            endpoint.started_at_once = 0;
        }
        self.jobs.begin(now);
        self.limits.fill(Limits::default());
        self.repeats.fill(Repeats::default());
        self.windows.iter_mut().for_each(|window| window.begin(now));
    }

    /// The length of a row of the recorded series.
    pub fn interval(&self) -> Span {
        self.rows.interval()
    }

    /// The seconds that each start of an instance is billed at least.
    pub fn billed_minimum(&self) -> f64 {
        self.billed_minimum
    }

    /// A client has a new request.
    #[inline]
    pub fn offered(&mut self, source: TrafficId) {
        self.sources[source.index()].requests.offered += 1;
        self.rows.offered += 1;
    }

    /// A client sends an attempt.
    #[inline]
    pub fn attempt(&mut self, source: TrafficId) {
        self.sources[source.index()].requests.attempts += 1;
        self.rows.attempts += 1;
    }

    /// A balancer gets a request for an endpoint.
    #[inline]
    pub fn balanced(&mut self, balancer: BalancerId, endpoint: EndpointId, size: u64) {
        let carried = &mut self.balancers[balancer.index()];
        carried.requests += 1;
        carried.bytes += size;
        let requests = &mut self.endpoints[endpoint.index()].served.requests;
        requests.offered += 1;
        requests.attempts += 1;
    }

    /// A message through a session that a balancer has let through before: no request to it, but bytes.
    #[inline]
    pub fn message(&mut self, balancer: BalancerId, endpoint: EndpointId, size: u64) {
        let carried = &mut self.balancers[balancer.index()];
        carried.messages += 1;
        carried.bytes += size;
        let requests = &mut self.endpoints[endpoint.index()].served.requests;
        requests.offered += 1;
        requests.attempts += 1;
    }

    /// A balancer checks a target.
    pub fn checked(&mut self, endpoint: EndpointId) {
        let requests = &mut self.endpoints[endpoint.index()].served.requests;
        requests.offered += 1;
        requests.attempts += 1;
    }

    /// An attempt found a free slot.
    #[inline]
    pub fn started_at_once(&mut self, endpoint: EndpointId) {
        self.endpoints[endpoint.index()].started_at_once += 1;
    }

    /// An attempt got a slot after a wait.
    #[inline]
    pub fn started_late(&mut self, endpoint: EndpointId, wait: Span) {
        self.endpoints[endpoint.index()].waits.record(wait);
    }

    /// A server, or a balancer in its place, is done with an attempt.
    #[inline]
    pub fn served(&mut self, endpoint: EndpointId, ending: Ending, time: Span) {
        self.endpoints[endpoint.index()].served.end(ending, time);
    }

    /// A client's request came to its end.
    #[inline]
    pub fn ended(&mut self, plan: &Plan, request: &Request, ending: Ending, now: Time) {
        let time = now.since(request.born);
        self.sources[request.source.index()].end(ending, time);
        self.rows.end(ending, time);
        for (window, objective) in self.windows.iter_mut().zip(&plan.objectives) {
            let of_source = objective.traffic.is_none_or(|traffic| traffic == request.source);
            if of_source && objective.endpoint.is_none_or(|endpoint| endpoint == request.endpoint) {
                let counts = match objective.subject {
                    Subject::Requests => true,
                    Subject::Jobs => false,
                    // One that has its first token has counted where that came.
                    Subject::FirstToken => {
                        ending != Ending::Completed
                            && request.sender != Sender::Reads
                            && self.tokens.is_generated_for(request.endpoint)
                    }
                };
                if counts {
                    window.end(ending, time);
                }
            }
        }
    }

    /// A job has ended: what was promised of jobs is broken where it is not done, and kept or broken where it is done and nobody
    /// asks for it.
    pub fn job_ended(&mut self, plan: &Plan, job: &Job, now: Time) {
        if job.state != JobState::Done {
            self.job_without_token(plan, job, now);
            return self.job_seen(plan, job, Ending::Lost, now);
        }
        if plan.traffic.get(job.source.index()).is_some_and(|traffic| traffic.status.is_none()) {
            self.job_known(plan, job, now);
        }
    }

    /// A client knows that its job is done.
    pub fn job_known(&mut self, plan: &Plan, job: &Job, now: Time) {
        self.jobs.known(job, now.since(job.done), now.since(job.born));
        self.job_seen(plan, job, Ending::Completed, now);
    }

    fn job_seen(&mut self, plan: &Plan, job: &Job, ending: Ending, now: Time) {
        for (window, objective) in self.windows.iter_mut().zip(&plan.objectives) {
            let of_source = objective.traffic.is_none_or(|traffic| traffic == job.source);
            if objective.subject == Subject::Jobs && of_source {
                window.job(job, ending, now);
            }
        }
    }

    /// Closes a window of an objective; true where it was violated.
    pub fn close_window(&mut self, index: usize, now: Time) -> bool {
        let before = self.windows[index].violation;
        self.windows[index].close(now);
        self.windows[index].violation > before
    }

    /// An instance is gone: what it used and what it had goes into its group's utilisation.
    pub fn instance_gone(&mut self, instance: &Instance, now: Time) {
        let [used, had] = &mut self.gone_cores[instance.group.index()];
        *used += instance.machine.core_nanos(now);
        *had += instance.cores_had(now);
        self.gone_gpus[instance.group.index()] += instance.gpus_had(now);
        self.gone_machines[instance.group.index()].add(&instance.machine);
        if let Some(tally) = instance.machine.tally() {
            self.gone_tallies[instance.group.index()].add(&tally);
        }
    }

    /// Notes an activity.
    pub fn log(&mut self, activity: Activity) {
        if self.log.len() < MOST_ACTIVITIES {
            self.log.push(activity);
        } else {
            self.log_dropped += 1;
        }
    }

    /// Notes an activity that may come many times in a row, of which the first are entries of their own and the others one.
    pub fn log_repeated(&mut self, last: &mut Option<usize>, activity: Activity, again: bool) {
        if let Some(entry) = last.filter(|_| again).and_then(|index| self.log.get_mut(index)) {
            (entry.until, entry.description) = (activity.at, activity.description);
            entry.times += 1;
            return;
        }
        *last = (self.log.len() < MOST_ACTIVITIES).then_some(self.log.len());
        self.log(activity);
    }

    /// Notes a decision not to act. The same decision again and again is one entry.
    pub fn log_no_action(&mut self, last: &mut Option<usize>, activity: Activity, same: bool) {
        debug_assert_eq!(activity.kind, ActivityKind::NoAction);
        self.log_repeated(last, activity, same);
    }
}

/// A histogram as the results show it.
pub fn distribution(times: &Histogram) -> Distribution {
    let quantile = |q: f64| times.quantile(q).map_or(0.0, Span::as_secs_f64);
    Distribution {
        count: times.count(),
        mean: times.mean().unwrap_or(0.0) / 1e9,
        std_dev: times.std_dev().unwrap_or(0.0) / 1e9,
        p50: quantile(0.50),
        p90: quantile(0.90),
        p95: quantile(0.95),
        p99: quantile(0.99),
        p999: quantile(0.999),
        max: times.max().map_or(0.0, Span::as_secs_f64),
    }
}
