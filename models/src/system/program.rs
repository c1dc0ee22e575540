//! Endpoints, ready to run.

use std::sync::Arc;

use sim_core::dist::Dist;
use sim_core::{Calendar, FixedDelay, Keyed, Seed, Span};

use super::versions;
use crate::event::Event;
use crate::plan::{
    BalancerId, Cold, Collector, Endpoint, EndpointId, Enqueue, Plan, ServiceId, Step, Tokens,
};

/// An endpoint, ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) steps: Vec<Op>,
    /// Bytes of a request and its response.
    pub(super) size: u64,
    /// How slow its server is at first.
    pub(super) cold: Option<Cold>,
    /// What stops its process, and how long.
    pub(super) collector: Option<(Collector, Keyed)>,
    /// CPU work may take longer than drawn: something is cold, collected, greeted or slow.
    pub(super) work_differs: bool,
    /// Some instance is slow.
    pub(super) slow: bool,
    /// A new connection of clients costs its server something.
    greeted: bool,
    /// What it waits for is slow or down, or it goes on from checkpoints.
    pub(super) waits_differ: bool,
    /// It is a job that goes on from checkpoints, loads something first, or is broken off when it takes too long.
    pub(super) resumes: bool,
    /// How long its server lets a new request wait; the longest span where that does not matter.
    pub(super) queue_time: Span,
}

/// A step, with where its draws come from.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Cpu {
        demand: Dist,
        draws: Keyed,
        /// What the runtime adds.
        overhead: Span,
    },
    /// CPU work beside an event loop.
    Pool {
        demand: Dist,
        draws: Keyed,
    },
    Wait {
        time: Dist,
        draws: Keyed,
    },
    /// A wait that is always the same needs no heap.
    WaitFixed(FixedDelay, Span),
    /// The answer, which is an error in a share of all.
    Fails {
        share: f64,
        draws: Keyed,
    },
    Call {
        to: BalancerId,
        endpoint: EndpointId,
    },
    Gpu {
        demand: Dist,
        draws: Keyed,
    },
    /// Tokens from the engine of the instance.
    Generate {
        tokens: Tokens,
        draws: Keyed,
    },
    /// Jobs are submitted.
    Enqueue {
        sends: Arc<[Enqueue]>,
        draws: Keyed,
    },
    /// The answer is held back until a job is done.
    AwaitJob(Span),
}

impl Program {
    /// The program of an endpoint. Its draws are named after the service, the endpoint and the step. The runtime's overhead
    /// `added` is part of the first step, or a step of its own before one that needs no core.
    fn new(
        plan: &Plan,
        endpoint: &Endpoint,
        added: Span,
        seed: Seed,
        calendar: &mut Calendar<Event>,
    ) -> Self {
        let service = &plan.services[endpoint.service.index()];
        let op = |(index, step): (usize, &Step)| {
            let draws = seed.keyed(&format!("service/{}/{}/{index}", service.name, endpoint.name));
            match step {
                Step::Cpu(demand) => Op::Cpu { demand: demand.clone(), draws, overhead: Span::ZERO },
                Step::Pool(demand) => Op::Pool { demand: demand.clone(), draws },
                Step::Wait(time) => match time.constant_span() {
                    Some(delay) => Op::WaitFixed(calendar.fixed_delay(delay), delay),
                    None => Op::Wait { time: time.clone(), draws },
                },
                &Step::Call { to, endpoint } => Op::Call { to, endpoint },
                Step::Gpu(demand) => Op::Gpu { demand: demand.clone(), draws },
                Step::Generate(tokens) => Op::Generate { tokens: tokens.clone(), draws },
                Step::Enqueue(sends) => Op::Enqueue { sends: sends.as_slice().into(), draws },
                &Step::AwaitJob(most) => Op::AwaitJob(most),
            }
        };
        let mut steps: Vec<Op> = endpoint.steps.iter().enumerate().map(op).collect();
        let greeted = plan.traffic.iter().any(|traffic| {
            let group = &plan.groups[plan.balancers[traffic.to.index()].first_group().index()];
            group.services().any(|service| service == endpoint.service) && !plan.handshake(traffic).is_zero()
        });
        match steps.first_mut() {
            Some(Op::Cpu { overhead, .. }) => *overhead = added,
            _ if added.is_zero() && !greeted => {}
            _ => {
                let (demand, draws) =
                    (Dist::constant(0.0).expect("zero is a constant"), seed.keyed("overhead"));
                steps.insert(0, Op::Cpu { demand, draws, overhead: added });
            }
        }
        if endpoint.errors > 0.0 {
            let draws = seed.keyed(&format!("service/{}/{}/errors", service.name, endpoint.name));
            steps.push(Op::Fails { share: endpoint.errors, draws });
        }
        let pauses = || seed.keyed(&format!("service/{}/collector", service.name));
        let collector = service.collector.clone().map(|collector| (collector, pauses()));
        let mut program = Program {
            steps,
            size: endpoint.size,
            cold: service.cold.clone(),
            collector,
            work_differs: false,
            slow: false,
            greeted,
            waits_differ: false,
            resumes: false,
            queue_time: service.shed.and_then(|shed| shed.queue_time).unwrap_or(Span::MAX),
        };
        program.set_slow(false);
        program
    }

    /// Whom a step calls.
    pub(super) fn callee(&self, step: u8) -> Option<BalancerId> {
        match self.steps.get(usize::from(step)) {
            Some(&Op::Call { to, .. }) => Some(to),
            _ => None,
        }
    }

    /// Some instance that runs it is slow, or none is any more.
    pub(super) fn set_slow(&mut self, slow: bool) {
        self.slow = slow;
        self.work_differs =
            slow || self.resumes || self.greeted || self.cold.is_some() || self.collector.is_some();
    }
}

/// The programs of all endpoints, and behind them those of the balancers' health checks.
pub(super) fn programs(plan: &Plan, seed: Seed, calendar: &mut Calendar<Event>) -> Vec<Program> {
    let mut program = |endpoint: &Endpoint, added| Program::new(plan, endpoint, added, seed, calendar);
    let ids = (0u16..).map(EndpointId);
    let mut programs: Vec<Program> =
        ids.zip(&plan.endpoints).map(|(id, endpoint)| program(endpoint, plan.overhead(id))).collect();
    for worker in plan.groups.iter().filter_map(|group| group.worker.as_ref()) {
        if worker.checkpoint.is_some() || worker.timeout.is_some() || worker.load.is_some() {
            let program = &mut programs[worker.job.index()];
            (program.resumes, program.waits_differ) = (true, true);
            program.set_slow(false);
        }
    }
    for balancer in &plan.balancers {
        let service = plan.groups[balancer.first_group().index()].service;
        let asked = plan.checked_endpoint(balancer).cloned().unwrap_or_else(|| bare(service));
        programs.push(program(&asked, plan.services[service.index()].runtime.overhead));
    }
    programs.extend(versions::checks(plan).into_iter().map(|(asked, service)| {
        let asked = asked.cloned().unwrap_or_else(|| bare(service));
        program(&asked, plan.services[service.index()].runtime.overhead)
    }));
    programs
}

/// A health check that asks for nothing that the service has.
fn bare(service: ServiceId) -> Endpoint {
    let name = "health check".to_string();
    Endpoint { name, service, steps: Vec::new(), size: 0, request_size: 0, status: 200, errors: 0.0 }
}
