//! What is counted of tokens: how long the first took and the others, and what engines did.

use sim_core::stats::{Histogram, Precision, TimeWeighted};
use sim_core::{Span, Time};

use super::{Measure, distribution};
use crate::batching::Counts;
use crate::plan::{EndpointId, Objective, Plan, Subject, TrafficId};
use crate::results::TokensResult;
use crate::system::{Ending, Job, JobState, Request};

/// The tokens of all sources and endpoints, and the engines of all groups.
#[derive(Clone, Debug)]
pub struct TokenMeasure {
    /// By source; `None` before its first token.
    pub sources: Vec<Option<Box<TokenCollector>>>,
    /// By endpoint that generates, each attempt by itself; `None` before its first token.
    pub endpoints: Vec<Option<Box<TokenCollector>>>,
    /// By group; `None` before its engines have anything to do.
    pub engines: Vec<Option<Box<EngineUse>>>,
    /// By endpoint, whether tokens are generated for it; empty where no objective is about that.
    generates: Vec<bool>,
    /// By queue, the job that tokens are generated for.
    jobs: Vec<Option<EndpointId>>,
}

/// The tokens of a source or an endpoint.
#[derive(Clone, Debug)]
pub struct TokenCollector {
    /// Time to first token.
    first: Histogram,
    /// Time per output token after the first, of those with more than one.
    further: Histogram,
    requests: u64,
    input: u64,
    output: u64,
    preemptions: u64,
    refused: u64,
}

/// What the engines of a group have done, and how full they were.
#[derive(Clone, Debug)]
pub struct EngineUse {
    /// Blocks of their KV caches that are taken.
    pub blocks: TimeWeighted,
    /// Sequences in their batches.
    pub running: TimeWeighted,
    /// Sequences that wait.
    pub waiting: TimeWeighted,
    /// The largest share of its KV cache that one of them had taken.
    pub fullest: f64,
    /// What those had counted that are gone.
    pub gone: Counts,
    /// What all had counted when measurement began.
    pub before: Counts,
}

impl EngineUse {
    /// Nothing yet.
    pub fn new(now: Time) -> Self {
        let none = TimeWeighted::new(now, 0.0);
        let counts = Counts::default();
        EngineUse { blocks: none, running: none, waiting: none, fullest: 0.0, gone: counts, before: counts }
    }

    /// An engine is no more.
    pub fn gone(&mut self, counts: &Counts) {
        self.gone = added(self.gone, counts);
    }

    /// Forgets the past: measurement begins.
    fn begin(&mut self, now: Time, before: Counts) {
        for value in [&mut self.blocks, &mut self.running, &mut self.waiting] {
            value.reset(now);
        }
        (self.fullest, self.before) = (0.0, before);
    }
}

/// What two engines have counted.
pub fn added(a: Counts, b: &Counts) -> Counts {
    Counts {
        running: a.running + b.running,
        waiting: a.waiting + b.waiting,
        kv_tokens: a.kv_tokens + b.kv_tokens,
        kv_blocks: a.kv_blocks + b.kv_blocks,
        kv_blocks_total: a.kv_blocks_total + b.kv_blocks_total,
        generated: a.generated + b.generated,
        prefilled: a.prefilled + b.prefilled,
        preemptions: a.preemptions + b.preemptions,
        recomputed: a.recomputed + b.recomputed,
        iterations: a.iterations + b.iterations,
        batched: a.batched + b.batched,
        busy: a.busy + b.busy,
    }
}

impl TokenCollector {
    fn new() -> Box<Self> {
        let histogram = || Histogram::new(Precision::Fine);
        let (first, further) = (histogram(), histogram());
        Box::new(TokenCollector {
            first,
            further,
            requests: 0,
            input: 0,
            output: 0,
            preemptions: 0,
            refused: 0,
        })
    }

    /// As the results show it, over so many seconds.
    pub fn result(&self, seconds: f64) -> TokensResult {
        TokensResult {
            time_to_first_token: distribution(&self.first),
            time_per_output_token: distribution(&self.further),
            generations: self.requests,
            input_tokens: self.input,
            output_tokens: self.output,
            output_tokens_per_second: if seconds > 0.0 { self.output as f64 / seconds } else { 0.0 },
            preemptions: self.preemptions,
            refused: self.refused,
        }
    }
}

impl TokenMeasure {
    /// Collectors for a plan.
    pub fn new(plan: &Plan) -> Self {
        let promised = plan.objectives.iter().any(|objective| objective.subject == Subject::FirstToken);
        let generates = if promised { plan.generates() } else { Vec::new() };
        let queues = (0..plan.queues.len() as u16).map(crate::plan::QueueId);
        let jobs = queues.map(|queue| promised.then(|| plan.generating_job(queue, &generates)).flatten());
        TokenMeasure {
            sources: plan.traffic.iter().map(|_| None).collect(),
            endpoints: plan.endpoints.iter().map(|_| None).collect(),
            engines: plan.groups.iter().map(|_| None).collect(),
            jobs: jobs.collect(),
            generates,
        }
    }

    /// Forgets what was measured so far; `counts` is what the engines of each group had counted.
    pub fn begin(&mut self, now: Time, counts: impl Iterator<Item = Counts>) {
        self.sources.fill(None);
        self.endpoints.fill(None);
        let used = self.engines.iter_mut().zip(counts);
        used.for_each(|(own, before)| own.iter_mut().for_each(|own| own.begin(now, before)));
    }

    /// Does something with the collectors of a request: its source's and its endpoint's. Health checks have neither.
    fn each(&mut self, request: &Request, act: impl Fn(&mut TokenCollector)) {
        let own = self.sources.get_mut(request.source.index());
        let own = own.into_iter().chain(self.endpoints.get_mut(request.endpoint.index()));
        own.for_each(|own| act(own.get_or_insert_with(TokenCollector::new)));
    }

    /// The first token of an attempt is out, so long after it was sent.
    pub fn first_of_attempt(&mut self, request: &Request, time: Span) {
        if let Some(own) = self.endpoints.get_mut(request.endpoint.index()) {
            own.get_or_insert_with(TokenCollector::new).first.record(time);
        }
    }

    fn first_of_source(&mut self, source: TrafficId, time: Span) {
        if let Some(own) = self.sources.get_mut(source.index()) {
            own.get_or_insert_with(TokenCollector::new).first.record(time);
        }
    }

    /// All tokens of a request are out, and all after the first took so long.
    pub fn generated(&mut self, request: &Request, [input, output]: [u32; 2], took: Span) {
        self.each(request, |own| {
            own.requests += 1;
            own.input += u64::from(input);
            own.output += u64::from(output);
            if output > 1 {
                own.further.record(took.mul_f64(1.0 / f64::from(output - 1)));
            }
        });
    }

    /// A request has lost its place in an engine, and waits for another.
    pub fn preempted(&mut self, request: &Request) {
        self.each(request, |own| own.preemptions += 1);
    }

    /// An engine did not take a request.
    pub fn refused(&mut self, request: &Request) {
        self.each(request, |own| own.refused += 1);
    }

    /// True where a request that ends without a token has failed to get one.
    pub(super) fn is_generated_for(&self, endpoint: EndpointId) -> bool {
        self.generates.get(endpoint.index()).copied().unwrap_or(false)
    }
}

/// True where an objective about first tokens is about these.
fn is_about(objective: &Objective, source: TrafficId, endpoint: EndpointId) -> bool {
    objective.subject == Subject::FirstToken
        && objective.traffic.is_none_or(|traffic| traffic == source)
        && objective.endpoint.is_none_or(|wanted| wanted == endpoint)
}

impl Measure {
    /// The first token of a client's request is out, so long after it was first sent.
    pub fn first_token(&mut self, plan: &Plan, request: &Request, time: Span) {
        self.tokens.first_of_source(request.source, time);
        self.first_tokens(plan, request.source, request.endpoint, Ending::Completed, time);
    }

    /// The first token of a job is out. Its endpoint is that of the worker.
    pub fn first_token_of_job(&mut self, plan: &Plan, job: &Job, endpoint: EndpointId, now: Time) {
        let time = now.since(job.born);
        self.tokens.first_of_source(job.source, time);
        self.first_tokens(plan, job.source, endpoint, Ending::Completed, time);
    }

    /// A job is lost before its first token.
    pub(super) fn job_without_token(&mut self, plan: &Plan, job: &Job, now: Time) {
        let before = job.first_token == Time::NEVER && job.state != JobState::Done;
        if let Some(Some(endpoint)) = self.tokens.jobs.get(job.queue.index()).copied().filter(|_| before) {
            self.first_tokens(plan, job.source, endpoint, Ending::Lost, now.since(job.born));
        }
    }

    fn first_tokens(
        &mut self,
        plan: &Plan,
        source: TrafficId,
        endpoint: EndpointId,
        ending: Ending,
        time: Span,
    ) {
        let windows = self.windows.iter_mut().zip(&plan.objectives);
        windows
            .filter(|(_, objective)| is_about(objective, source, endpoint))
            .for_each(|(window, _)| window.end(ending, time));
    }
}
