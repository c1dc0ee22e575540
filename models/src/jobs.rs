//! What a plan's jobs come to on average: how many there are, how long they take, what workers can do; for checks before a
//! run. Jobs are done once here: what is delivered twice, fails or dies comes on top.

use std::collections::BTreeMap;

use sim_core::{Seed, Span, Time};

use crate::plan::{EndpointId, Group, GroupId, Plan, QueueId, Step, Worker};

/// Jobs that are drawn where their length has no formula.
const DRAWN: u32 = 2_000;
/// Steps of a drawn job, those of its calls included; what calls more is drawn with the means of its calls.
const MOST_STEPS_DRAWN: f64 = 100.0;
/// How often jobs that submit jobs are followed.
const MOST_ROUNDS: usize = 1_000;
/// A share of all jobs that is not followed any further.
const NEGLIGIBLE: f64 = 1e-9;

impl Plan {
    /// Jobs that a request for each endpoint submits, those of its calls included: one for each queue that it sends to.
    pub fn jobs_per_request(&self) -> Vec<f64> {
        self.sends().iter().map(|sends| sends.values().sum()).collect()
    }

    /// By endpoint: the queues that a request for it sends to, through calls as well, and how many messages each gets.
    pub fn sends(&self) -> Vec<BTreeMap<QueueId, f64>> {
        let mut sends: Vec<BTreeMap<QueueId, f64>> = vec![BTreeMap::new(); self.endpoints.len()];
        for id in self.callees_first() {
            let mut own = BTreeMap::new();
            for step in &self.endpoints[id.index()].steps {
                match step {
                    Step::Enqueue(to) => {
                        to.iter().for_each(|send| *own.entry(send.queue).or_insert(0.0) += 1.0);
                    }
                    Step::Call { endpoint, .. } => {
                        let theirs = &sends[endpoint.index()];
                        theirs.iter().for_each(|(&queue, count)| *own.entry(queue).or_insert(0.0) += count);
                    }
                    _ => {}
                }
            }
            sends[id.index()] = own;
        }
        sends
    }

    /// The groups that take jobs from a queue.
    pub fn workers_of(&self, queue: QueueId) -> impl Iterator<Item = (GroupId, &Group, &Worker)> {
        let groups = (0u16..).map(GroupId).zip(&self.groups);
        let workers = groups.filter_map(|(id, group)| Some((id, group, group.worker.as_ref()?)));
        workers.filter(move |(_, _, worker)| worker.queue == queue)
    }

    /// What a job of a queue leads to: for each other queue, the jobs that its own work submits there. Groups that share a queue
    /// take of it by their consumers at the start.
    pub fn follow_ups(&self, queue: QueueId, sends: &[BTreeMap<QueueId, f64>]) -> BTreeMap<QueueId, f64> {
        let mut follow = BTreeMap::new();
        for (_, share, worker) in self.shares_of(queue) {
            for (&to, count) in &sends[worker.job.index()] {
                *follow.entry(to).or_insert(0.0) += share * count;
            }
        }
        follow
    }

    /// The workers of a queue, and which share of its jobs each group takes.
    fn shares_of(&self, queue: QueueId) -> Vec<(GroupId, f64, &Worker)> {
        let consumers = |group: &Group, worker: &Worker| {
            f64::from(group.desired.max(1)) * f64::from(worker.concurrency.max(1))
        };
        let all: f64 = self.workers_of(queue).map(|(_, group, worker)| consumers(group, worker)).sum();
        let share = |(id, group, worker)| (id, consumers(group, worker) / all, worker);
        self.workers_of(queue).map(share).collect()
    }

    /// The share of its queue's jobs that a group takes; 0 where it is no worker.
    pub(crate) fn share_of_queue(&self, group: GroupId) -> f64 {
        let Some(worker) = &self.groups[group.index()].worker else { return 0.0 };
        let mut shares = self.shares_of(worker.queue).into_iter();
        shares.find(|(id, ..)| *id == group).map_or(0.0, |(_, share, _)| share)
    }

    /// Jobs that come to each queue where endpoints are asked for so often: submitted by these requests and what they call, and
    /// by jobs, as if they did so at once. Of no use where jobs submit themselves without end.
    pub(crate) fn jobs_sent(&self, asked: &[f64]) -> Vec<f64> {
        let sends = self.sends();
        let mut fresh = vec![0.0; self.queues.len()];
        for (often, sends) in asked.iter().zip(&sends) {
            sends.iter().for_each(|(queue, count)| fresh[queue.index()] += often * count);
        }
        let least = NEGLIGIBLE * fresh.iter().sum::<f64>();
        let queues = (0..self.queues.len() as u16).map(QueueId);
        let follow: Vec<_> = queues.map(|queue| self.follow_ups(queue, &sends)).collect();
        let mut all = fresh.clone();
        for _ in 0..MOST_ROUNDS {
            let mut next = vec![0.0; fresh.len()];
            for (count, follow) in fresh.iter().zip(&follow).filter(|(count, _)| **count > 0.0) {
                follow.iter().for_each(|(to, each)| next[to.index()] += count * each);
            }
            if next.iter().sum::<f64>() <= least {
                break;
            }
            all.iter_mut().zip(&next).for_each(|(sum, more)| *sum += more);
            fresh = next;
        }
        all
    }

    /// Jobs that each queue is expected to get between two instants, those that jobs submit included.
    pub fn expected_jobs(&self, from: Time, to: Time) -> Vec<f64> {
        let end = Time::ZERO + self.duration;
        let mut asked = vec![0.0; self.endpoints.len()];
        for traffic in &self.traffic {
            let requests = traffic.expected_requests(from, to);
            traffic.shares(end).into_iter().for_each(|(id, share)| asked[id.index()] += requests * share);
        }
        self.jobs_sent(&asked)
    }

    /// Jobs that a worker group is expected to get between two instants; none where it is no worker.
    pub fn expected_jobs_of(&self, group: GroupId, from: Time, to: Time) -> f64 {
        let Some(worker) = &self.groups[group.index()].worker else { return 0.0 };
        self.expected_jobs(from, to)[worker.queue.index()] * self.share_of_queue(group)
    }

    /// The share of jobs whose steps take longer than `limit`, where they wait for nobody: exact where one step at most is not
    /// constant, else of a few thousand that are drawn.
    pub fn longer_than(&self, job: EndpointId, limit: Span) -> f64 {
        let limit = limit.as_nanos() as f64;
        let (mut constant, mut others) = (self.overhead(job).as_nanos() as f64, Vec::new());
        for step in &self.endpoints[job.index()].steps {
            match step {
                Step::Cpu(time) | Step::Pool(time) | Step::Wait(time) | Step::Gpu(time) => {
                    match time.constant_span() {
                        Some(span) => constant += span.as_nanos() as f64,
                        None => others.push(time),
                    }
                }
                Step::Call { .. } | Step::Generate(_) => return self.drawn_longer_than(job, limit),
                Step::Enqueue(_) | Step::AwaitJob(_) => {}
            }
        }
        match others[..] {
            [] => f64::from(u8::from(constant > limit)),
            [time] => 1.0 - time.cdf(limit - constant),
            _ => self.drawn_longer_than(job, limit),
        }
    }

    fn drawn_longer_than(&self, job: EndpointId, limit: f64) -> f64 {
        let mut steps = vec![0.0; self.endpoints.len()];
        for id in self.callees_first() {
            let own = self.endpoints[id.index()].steps.iter();
            let of = |step: &Step| match step {
                Step::Call { endpoint, .. } => steps[endpoint.index()],
                _ => 1.0,
            };
            steps[id.index()] = own.map(of).sum();
        }
        let drawing = Drawing { plan: self, steps, lengths: self.job_lengths() };
        let mut stream = Seed::new(0).stream("jobs/length");
        let longer = (0..DRAWN).filter(|_| drawing.length(job, &mut stream) > limit).count();
        longer as f64 / f64::from(DRAWN)
    }
}

/// What draws lengths of jobs.
struct Drawing<'a> {
    plan: &'a Plan,
    /// Steps of each endpoint, those of its calls included.
    steps: Vec<f64>,
    /// Seconds of each endpoint, on average.
    lengths: Vec<f64>,
}

impl Drawing<'_> {
    /// Nanoseconds of one job.
    fn length(&self, job: EndpointId, stream: &mut sim_core::Stream) -> f64 {
        let mut length = self.plan.overhead(job).as_nanos() as f64;
        for step in &self.plan.endpoints[job.index()].steps {
            length += match step {
                Step::Cpu(time) | Step::Pool(time) | Step::Wait(time) | Step::Gpu(time) => {
                    time.sample(stream)
                }
                Step::Generate(tokens) => {
                    let (endpoint, (input, output)) =
                        (&self.plan.endpoints[job.index()], tokens.draw(stream));
                    let engine = self.plan.engine_of(endpoint);
                    engine.map_or(0.0, |engine| {
                        1e9 * engine.parameters.alone(f64::from(input), f64::from(output))
                    })
                }
                Step::Call { endpoint, .. } if self.steps[endpoint.index()] <= MOST_STEPS_DRAWN => {
                    self.length(*endpoint, stream)
                }
                Step::Call { endpoint, .. } => self.lengths[endpoint.index()] * 1e9,
                Step::Enqueue(_) | Step::AwaitJob(_) => 0.0,
            };
        }
        length
    }
}
