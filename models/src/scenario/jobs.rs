//! What has to be true of queues, workers and those who ask for jobs, once all of them are read.

use std::collections::BTreeMap;

use super::check::place_of;
use super::diagnostic::Place;
use super::job_notes;
use super::node::Node;
use super::queue::MOST_PRIORITIES;
use super::reader::Findings;
use crate::plan::{
    Channel, Endpoint, EndpointId, Enqueue, GroupId, Machine, Plan, Queue, QueueId, QueueKind, ServiceId,
    Sqs, Step, Subject, TrafficId,
};

/// Rounds in which jobs that a job submits are followed back to its queue.
const MOST_ROUNDS: usize = 1_000;

/// Checks a plan, and notes what people are usually surprised by.
pub fn check(findings: &Findings, document: &Node, plan: &Plan) {
    let checks = Checks { findings, document, plan, sends: plan.sends() };
    checks.workers_and_balancers();
    checks.gpus();
    checks.senders();
    for (id, queue) in (0u16..).map(QueueId).zip(&plan.queues) {
        checks.dead_letters(id, queue);
        checks.heartbeat(queue);
        checks.endless(id, queue);
    }
    checks.sends();
    checks.statuses();
    checks.awaited();
    checks.objectives();
    if findings.clean() {
        job_notes::notes(findings, plan);
    }
}

struct Checks<'a> {
    findings: &'a Findings,
    document: &'a Node,
    plan: &'a Plan,
    /// By endpoint: the messages that a request for it sends to each queue.
    sends: Vec<BTreeMap<QueueId, f64>>,
}

impl Checks<'_> {
    fn place(&self, path: &[&str]) -> Place {
        place_of(self.document, path)
    }

    fn error(&self, path: &[&str], message: String, label: impl Into<String>, help: Option<String>) {
        self.findings.error(&self.place(path), message, label, help);
    }

    fn endpoints(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        (0u16..).map(EndpointId).zip(&self.plan.endpoints)
    }

    fn service_of(&self, endpoint: &Endpoint) -> &str {
        &self.plan.services[endpoint.service.index()].name
    }

    /// Who takes jobs from a queue gets no requests: an instance does one of both.
    fn workers_and_balancers(&self) {
        for (id, group) in (0u16..).map(GroupId).zip(&self.plan.groups).filter(|(_, g)| g.worker.is_some()) {
            let Some(balancer) = self.plan.balancers.iter().find(|balancer| balancer.has(id)) else {
                continue;
            };
            let message =
                format!("group `{}` takes jobs, and is a target of balancer `{}`", group.name, balancer.name);
            let help =
                "run the service in two groups: one with `worker`, one behind the balancer".to_string();
            self.error(&["group", &group.name, "worker"], message, "one of both", Some(help));
        }
    }

    /// What computes on a GPU needs one.
    fn gpus(&self) {
        let asked = self.asked_for();
        for group in &self.plan.groups {
            let own = group.machines.len().saturating_sub(group.versions.len());
            let (own, others) = group.machines.split_at(own);
            let versions = group.versions.iter().map(|version| version.service).zip(others);
            let all = own.iter().map(|machine| (group.service, machine)).chain(versions);
            for (service, machine) in all.filter(|(_, machine)| machine.gpus == 0) {
                let runs = |id: EndpointId| match &group.worker {
                    Some(worker) => id == worker.job || self.plan.stands_in(id, worker.job),
                    None => asked[id.index()],
                };
                self.without_gpu(&group.name, service, machine, runs);
            }
        }
    }

    fn without_gpu(
        &self,
        group: &str,
        service: ServiceId,
        machine: &Machine,
        runs: impl Fn(EndpointId) -> bool,
    ) {
        let computes = |endpoint: &Endpoint| endpoint.steps.iter().any(|step| matches!(step, Step::Gpu(_)));
        let mut own = self.endpoints().filter(|&(id, endpoint)| endpoint.service == service && runs(id));
        let Some((_, endpoint)) = own.find(|(_, endpoint)| computes(endpoint)) else { return };
        let message = format!(
            "`{}` of service `{}` computes on a GPU, and `{}` of group `{group}` has none",
            endpoint.name,
            self.service_of(endpoint),
            machine.name
        );
        let help = "use a type such as `g5.xlarge`, or say `gpus = 1` of the machine".to_string();
        self.error(&["group", group], message, "a `gpu` step without a GPU", Some(help));
    }

    /// The endpoints that sources or other endpoints ask for.
    fn asked_for(&self) -> Vec<bool> {
        let mut asked = vec![false; self.plan.endpoints.len()];
        let sources = self.plan.traffic.iter().flat_map(|traffic| traffic.asks_for());
        let steps = self.plan.endpoints.iter().flat_map(|endpoint| &endpoint.steps);
        let called = steps.filter_map(|step| match step {
            &Step::Call { endpoint, .. } => Some(endpoint),
            _ => None,
        });
        sources.chain(called).for_each(|id| asked[id.index()] = true);
        asked
    }

    /// Each queue gets messages from somewhere.
    fn senders(&self) {
        let mut gets = vec![false; self.plan.queues.len()];
        let steps = self.plan.endpoints.iter().flat_map(|endpoint| &endpoint.steps);
        for step in steps {
            if let Step::Enqueue(sends) = step {
                sends.iter().for_each(|send| gets[send.queue.index()] = true);
            }
        }
        self.plan.queues.iter().filter_map(|queue| queue.dead_letter).for_each(|id| gets[id.index()] = true);
        for (queue, _) in self.plan.queues.iter().zip(gets).filter(|(_, gets)| !gets) {
            let message = format!("nobody sends to queue `{}`", queue.name);
            let help = format!(
                "add a step `{{ enqueue = \"{}\" }}`, or let it be another's `dead_letter`",
                queue.name
            );
            self.error(&["queue", &queue.name], message, "it would stay empty", Some(help));
        }
    }

    /// Dead letters go on to a queue that they are not from, which SQS wants to be of the same type.
    fn dead_letters(&self, id: QueueId, queue: &Queue) {
        let Some(to) = queue.dead_letter else { return };
        let path = ["queue", &queue.name, "dead_letter"];
        if let Some(way) = self.circle_of_dead_letters(id) {
            let message = format!("dead letters of queue `{}` come back to it: {way}", queue.name);
            self.error(&path, message, "part of a circle", Some("they would never rest".into()));
            return;
        }
        let target = &self.plan.queues[to.index()];
        let QueueKind::Sqs(sqs) = &queue.kind else { return };
        if queue.max_receives.is_none() {
            let message = format!("`queue.{}` has a dead-letter queue and no `max_receives`", queue.name);
            let help = "a redrive policy has a `maxReceiveCount`: add `max_receives = 3`".to_string();
            self.error(&path, message, "nothing would ever get there", Some(help));
        }
        let kind = |fifo: bool| if fifo { "FIFO" } else { "standard" };
        let wrong = match &target.kind {
            QueueKind::Sqs(Sqs { fifo, .. }) if *fifo == sqs.fifo => return,
            QueueKind::Sqs(Sqs { fifo, .. }) => kind(*fifo),
            _ => "no SQS queue",
        };
        let message = format!(
            "`{}` is a {} queue of SQS, and its dead-letter queue `{}` is {wrong}",
            queue.name,
            kind(sqs.fifo),
            target.name
        );
        self.error(&path, message, "the provider refuses this: both are of one type", None);
    }

    /// The way of dead letters back to a queue. Told once, at the first queue of the circle.
    fn circle_of_dead_letters(&self, start: QueueId) -> Option<String> {
        let (mut way, mut here) = (vec![start], start);
        while let Some(next) = self.plan.queues[here.index()].dead_letter {
            if next == start {
                let names = way.iter().chain([&start]).map(|id| self.plan.queues[id.index()].name.as_str());
                let first = way.iter().min() == Some(&start);
                return first.then(|| names.collect::<Vec<_>>().join(" → "));
            }
            if way.contains(&next) {
                return None;
            }
            way.push(next);
            here = next;
        }
        None
    }

    /// A heartbeat extends what has not run out yet.
    fn heartbeat(&self, queue: &Queue) {
        let QueueKind::Sqs(Sqs { heartbeat: Some(heartbeat), visibility_timeout, .. }) = queue.kind else {
            return;
        };
        if heartbeat >= visibility_timeout {
            let message =
                format!("a heartbeat every {heartbeat}, and the visibility timeout is {visibility_timeout}");
            let label = "the message is visible again before it is extended";
            self.error(&["queue", &queue.name, "sqs", "heartbeat"], message, label, None);
        }
    }

    /// Jobs that submit jobs must die out: those that one leads to in its own queue, directly or through others, are fewer than
    /// one.
    fn endless(&self, id: QueueId, queue: &Queue) {
        if !self.leads_back(id) {
            return;
        }
        let follow: Vec<_> = (0..self.plan.queues.len() as u16)
            .map(|other| self.plan.follow_ups(QueueId(other), &self.sends))
            .collect();
        let (mut back, mut now) = (0.0, vec![0.0; follow.len()]);
        now[id.index()] = 1.0;
        for _ in 0..MOST_ROUNDS {
            let mut next = vec![0.0; follow.len()];
            for (count, follow) in now.iter().zip(&follow).filter(|(count, _)| **count > 0.0) {
                follow.iter().for_each(|(to, each)| next[to.index()] += count * each);
            }
            back += std::mem::take(&mut next[id.index()]);
            if back >= 1.0 || next.iter().all(|&count| count < 1e-12) {
                break;
            }
            now = next;
        }
        if back >= 1.0 - 1e-9 {
            let message =
                format!("jobs of queue `{}` submit jobs that lead back to it, without end", queue.name);
            let help = "each job leads to one more at least, so that the queue never empties".to_string();
            self.error(&["queue", &queue.name], message, "part of the circle", Some(help));
        }
    }

    /// Whether a job of a queue leads to jobs of that queue at all.
    fn leads_back(&self, start: QueueId) -> bool {
        let (mut seen, mut stack) = (vec![false; self.plan.queues.len()], vec![start]);
        while let Some(here) = stack.pop() {
            let jobs = self.plan.workers_of(here).map(|(_, _, worker)| worker.job);
            for &to in jobs.flat_map(|job| self.sends[job.index()].keys()) {
                if to == start {
                    return true;
                }
                if !std::mem::replace(&mut seen[to.index()], true) {
                    stack.push(to);
                }
            }
        }
        false
    }

    /// What a step says of its messages is something that their queue knows.
    fn sends(&self) {
        for (_, endpoint) in self.endpoints() {
            for (index, step) in endpoint.steps.iter().enumerate() {
                let Step::Enqueue(sends) = step else { continue };
                let step = index.to_string();
                let path = ["service", self.service_of(endpoint), "endpoint", &endpoint.name, "steps", &step];
                sends.iter().for_each(|send| self.priorities(&path, send));
            }
        }
    }

    fn priorities(&self, path: &[&str], send: &Enqueue) {
        let queue = &self.plan.queues[send.queue.index()];
        let known = match &queue.kind {
            QueueKind::RabbitMq(rabbit) => usize::from(rabbit.priorities),
            QueueKind::BullMq(_) => MOST_PRIORITIES as usize,
            _ => 1,
        };
        if send.priorities.len() > known {
            let message =
                format!("messages of {} priorities for queue `{}`", send.priorities.len(), queue.name);
            let (label, help) = match &queue.kind {
                QueueKind::RabbitMq(_) => {
                    (format!("it has {known}"), format!("`priorities = {}`", send.priorities.len()))
                }
                _ => {
                    let help =
                        "`rabbitmq` and `bullmq` have priorities; elsewhere each has a queue of its own";
                    ("it has none".to_string(), help.to_string())
                }
            };
            self.error(path, message, label, Some(help));
        }
    }

    /// Who asks for jobs has submitted some.
    fn statuses(&self) {
        for traffic in self.plan.traffic.iter().filter(|traffic| traffic.status.is_some()) {
            if traffic.asks_for().all(|endpoint| self.sends[endpoint.index()].is_empty()) {
                let message = format!("clients of `{}` ask for their jobs, and submit none", traffic.name);
                let help = "none of its endpoints has an `enqueue` step".to_string();
                self.error(&["traffic", &traffic.name, "status"], message, "nothing to ask for", Some(help));
            }
        }
    }

    /// Answers are held back for those who ask by long polling, and for nobody else.
    fn awaited(&self) {
        let waits: Vec<bool> = self
            .through_calls(|endpoint| endpoint.steps.iter().any(|step| matches!(step, Step::AwaitJob(_))));
        let mut asked = vec![false; self.plan.endpoints.len()];
        for traffic in &self.plan.traffic {
            let Some(status) = &traffic.status else { continue };
            let Channel::LongPoll { endpoint, .. } = status.channel else { continue };
            self.mark_called(endpoint, &mut asked);
            if !waits[endpoint.index()] {
                let name = &self.plan.endpoints[endpoint.index()].name;
                let message =
                    format!("`{name}` answers at once, and `{}` asks it by long polling", traffic.name);
                let help = "add a step `{ await_job = \"20s\" }`, or use `poll`".to_string();
                let path = ["traffic", &traffic.name, "status", "long_poll"];
                self.error(&path, message, "nothing holds its answer back", Some(help));
            }
        }
        for (_, endpoint) in self.endpoints().filter(|(id, _)| !asked[id.index()]) {
            let step = endpoint.steps.iter().position(|step| matches!(step, Step::AwaitJob(_)));
            let Some(step) = step.map(|step| step.to_string()) else { continue };
            let message = format!("`{}` waits for a job, and nobody asks it by long polling", endpoint.name);
            let help = format!("add `long_poll = {{ endpoint = \"{}\" }}` to a `status`", endpoint.name);
            let path = ["service", self.service_of(endpoint), "endpoint", &endpoint.name, "steps", &step];
            self.error(&path, message, "whose job?", Some(help));
        }
    }

    /// Of each endpoint, whether it or one that it calls has a property.
    fn through_calls(&self, has: impl Fn(&Endpoint) -> bool) -> Vec<bool> {
        let mut all = vec![false; self.plan.endpoints.len()];
        for id in self.plan.callees_first() {
            let endpoint = &self.plan.endpoints[id.index()];
            let called = endpoint.steps.iter().any(|step| match step {
                Step::Call { endpoint, .. } => all[endpoint.index()],
                _ => false,
            });
            all[id.index()] = called || has(endpoint);
        }
        all
    }

    fn mark_called(&self, start: EndpointId, marked: &mut [bool]) {
        let mut stack = vec![start];
        while let Some(here) = stack.pop() {
            if std::mem::replace(&mut marked[here.index()], true) {
                continue;
            }
            for step in &self.plan.endpoints[here.index()].steps {
                if let &Step::Call { endpoint, .. } = step {
                    stack.push(endpoint);
                }
            }
        }
    }

    /// A promise about jobs is about somebody's.
    fn objectives(&self) {
        for (index, objective) in self.plan.objectives.iter().enumerate() {
            if objective.subject != Subject::Jobs {
                continue;
            }
            let mut of = (0u16..).map(TrafficId).zip(&self.plan.traffic);
            let submits = of.any(|(id, traffic)| {
                objective.traffic.is_none_or(|wanted| wanted == id)
                    && traffic.asks_for().any(|endpoint| {
                        objective.endpoint.is_none_or(|wanted| wanted == endpoint)
                            && !self.sends[endpoint.index()].is_empty()
                    })
            });
            if !submits {
                let message =
                    format!("the objective `{}` is about jobs, and nobody submits any", objective.name);
                let help = "none of the endpoints that it is about has an `enqueue` step".to_string();
                self.error(&["sla", &index.to_string()], message, "nothing to measure", Some(help));
            }
        }
    }
}
