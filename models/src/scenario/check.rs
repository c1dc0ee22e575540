//! What can only be checked once everything is read.

use super::diagnostic::Place;
use super::machine::PLAY_SLICES;
use super::node::{Node, Value};
use super::overload;
use super::reader::Findings;
use crate::kubernetes::nodes_at_start;
use crate::machine::Scheduler;
use crate::plan::{
    Algorithm, Balancer, BalancerId, Group, GroupId, Hashing, HealthCheckKind, Machine, Metric, NodePoolId,
    Objective, Plan, QueueId, Step, StickyBy, TrafficId,
};

/// Endpoints of all services together: each measures its response times and waits in half a megabyte.
const MOST_ENDPOINTS: usize = 1_000;

/// Events that a request makes on average beside its steps: arrival, timeout, and what the machine adds.
const EVENTS_BESIDE_STEPS: f64 = 2.0;

/// The pods of the start need nodes of the start.
pub fn nodes_of_start(findings: &Findings, document: &Node, plan: &Plan) {
    for (id, pool) in (0u16..).map(NodePoolId).zip(&plan.nodes) {
        let (_, nodes) = nodes_at_start(pool.min, &plan.pods_at_start(id), pool.allocatable());
        if nodes > pool.max as usize {
            let place = place_of(document, &["nodes", &pool.name, "max"]);
            let message = format!(
                "the pods of the start need {nodes} nodes of `{}`, which has {} at most",
                pool.name, pool.max
            );
            let help = format!("`max = {nodes}`, or fewer or smaller pods");
            findings.error(&place, message, "too few nodes", Some(help));
        }
    }
}

/// Two objectives must not have the same name: results are told apart by it.
pub fn distinct(
    findings: &Findings,
    node: &Node,
    before: &[Option<Objective>],
    objective: Option<&Objective>,
) {
    let taken =
        before.iter().flatten().any(|other| objective.is_some_and(|objective| objective.name == other.name));
    if let Some(objective) = objective.filter(|_| taken) {
        findings.error(
            &node.place,
            format!("there are two objectives `{}`", objective.name),
            "give this one a `name` of its own",
            None,
        );
    }
}

/// Balancers that remember or hash clients need clients that come back.
fn clients(findings: &Findings, document: &Node, plan: &Plan) {
    for (index, balancer) in (0u16..).zip(&plan.balancers) {
        let place = || place_of(document, &["balancer", &balancer.name]);
        let name = &balancer.name;
        let hashes = matches!(balancer.algorithm, Algorithm::Hash(_));
        if balancer.stickiness.is_some() && hashes {
            let message = format!("balancer `{name}` has a cookie, and picks by a hash of the client");
            findings.error(
                &place(),
                message,
                "one of both: a hash keeps clients at their target already",
                None,
            );
            continue;
        }
        if balancer.stickiness.is_none() && !hashes {
            continue;
        }
        let sources = || plan.traffic.iter().filter(|traffic| traffic.to == BalancerId(index));
        if sources().next().is_some() && sources().all(|traffic| traffic.clients.is_none()) {
            let message = format!("balancer `{name}` tells clients apart, and no client comes twice");
            let help =
                "say how many different clients there are, `clients = 5000` in the traffic that goes to it";
            findings.error(&place(), message, "it has nobody to recognise", Some(help.to_string()));
        }
    }
}

/// A balancer that passes connections on reads nothing in them, and has none of its own.
fn passed_on(findings: &Findings, document: &Node, plan: &Plan) {
    for balancer in plan.balancers.iter().filter(|balancer| balancer.algorithm == Algorithm::FlowHash) {
        let name = &balancer.name;
        if balancer.stickiness.is_some_and(|stickiness| stickiness.by != StickyBy::SourceIp) {
            let place = place_of(document, &["balancer", name, "stickiness"]);
            let message =
                format!("balancer `{name}` passes connections on, and cannot read a cookie in them");
            let help = "its clients are known by their address, `stickiness = { source_ip = \"1h\" }`; a connection stays with its target anyway";
            findings.error(&place, message, "cookies need a balancer of HTTP", Some(help.to_string()));
        }
        if balancer.keep_alive.is_some() {
            let place = place_of(document, &["balancer", name, "connections"]);
            let message = format!("balancer `{name}` passes connections on, and opens none itself");
            let help = "say it of its clients: `connections = { keep_alive = { … } }` in their traffic";
            findings.error(&place, message, "it has none to keep", Some(help.to_string()));
        }
    }
}

/// Clients that share addresses matter to balancers that look at these.
fn addresses(findings: &Findings, document: &Node, plan: &Plan) {
    let stated = (0u16..).map(TrafficId).zip(&plan.traffic).filter(|&(id, _)| !plan.is_status(id));
    for (_, traffic) in stated.filter(|(_, traffic)| traffic.clients_per_address > 1) {
        let balancer = &plan.balancers[traffic.to.index()];
        let by_address = balancer.stickiness.is_some_and(|stickiness| stickiness.by == StickyBy::SourceIp);
        if !by_address && balancer.algorithm != Algorithm::Hash(Hashing::Modulo) {
            let place = place_of(document, &["traffic", &traffic.name, "clients_per_address"]);
            let message = format!("balancer `{}` does not look at addresses", balancer.name);
            let help = "that does `algorithm = \"ip-hash\"` or `stickiness = { source_ip = \"1h\" }`";
            findings.error(&place, message, "it would change nothing", Some(help.to_string()));
        }
    }
}

/// Checks a plan as a whole, and notes what people are usually surprised by.
pub fn plan(findings: &Findings, document: &Node, plan: &Plan) {
    super::jobs::check(findings, document, plan);
    super::tokens::check(findings, document, plan);
    clients(findings, document, plan);
    plan.balancers.iter().for_each(|balancer| reachability(findings, plan, balancer));
    super::session::check(findings, document, plan);
    super::scaling::measured(findings, document, plan);
    super::signals::check(findings, document, plan);
    overload::surprises(findings, plan);
    super::version::check(findings, document, plan);
    passed_on(findings, document, plan);
    addresses(findings, document, plan);
    for (index, group) in (0u16..).zip(&plan.groups) {
        let place = place_of(document, &["group", &group.name]);
        let targets_it = plan.balancers.iter().any(|balancer| balancer.has(GroupId(index)));
        if group.health_check == HealthCheckKind::Elb && !targets_it {
            let label = "no balancer has this group as its targets";
            findings.error(
                &place,
                format!("group `{}` relies on a balancer's health check", group.name),
                label,
                None,
            );
        }
        if !targets_it && group.worker.is_none() {
            findings
                .note(format!("group `{}` gets no requests: no balancer has it as its targets", group.name));
        }
        let fits = |machine: &Machine| plan.requests_beside(group.service, machine);
        let smallest = group.machines.iter().min_by_key(|machine| fits(machine)).unwrap_or(group.machine());
        match fits(smallest) {
            Some(0) => {
                let message = format!(
                    "the server of group `{}` does not fit into the {} GiB of its machine",
                    group.name, smallest.memory_gib
                );
                findings.error(&place, message, "it would be killed at its first request", None);
            }
            Some(most) => findings.note(format!(
                "group `{}`: an instance has memory for {most} requests at once; one more, and its server is killed",
                group.name
            )),
            None => {}
        }
        group.machines.iter().for_each(|machine| pinned_workers(findings, document, plan, group, machine));
        surprises(findings, plan, index);
    }
    if plan.endpoints.len() > MOST_ENDPOINTS {
        let message = format!("{} endpoints are more than {MOST_ENDPOINTS}", plan.endpoints.len());
        findings.error(&place_of(document, &["service"]), message, "each has its own histograms", None);
    }
    let events = plan.expected_events();
    if events.is_nan() || events > plan.limits.events as f64 {
        let message = format!(
            "this run would take about {events:.1e} events, more than the limit of {:.1e}",
            plan.limits.events as f64
        );
        let help =
            Some("shorten `scenario.duration`, lower the traffic, or raise `limits.events`".to_string());
        findings.error(&place_of(document, &["scenario"]), message, "too long to play", help);
    }
}

/// What everybody gets wrong once: the run shows it, and this says so before.
fn reachability(findings: &Findings, plan: &Plan, balancer: &Balancer) {
    for target in &balancer.targets {
        let group = &plan.groups[target.group.index()];
        if let Some(why) = plan.unreachable(balancer, target.group) {
            let replaced = match (group.health_check, &balancer.health_check) {
                (HealthCheckKind::Elb, Some(_)) => ", and the group replaces its instances for ever",
                _ => "",
            };
            findings.note(format!("{why}. Until then no target is healthy{replaced}"));
        }
        if group.health_check == HealthCheckKind::Elb && balancer.health_check.is_none() {
            findings.note(format!(
                "group `{}` relies on the health checks of balancer `{}`, which has none: only EC2 status checks are left",
                group.name, balancer.name
            ));
        }
    }
    if let (Some(check), Some(endpoint)) = (&balancer.health_check, plan.checked_endpoint(balancer))
        && !check.matches(endpoint.status)
    {
        findings.note(format!(
            "balancer `{}` checks `{}`, which answers {}, and its `health_check.matcher` does not have that status: no target is healthy",
            balancer.name, check.path, endpoint.status
        ));
    }
}

/// Workers are pinned one to a vCPU, where vCPUs are told apart.
fn pinned_workers(findings: &Findings, document: &Node, plan: &Plan, group: &Group, machine: &Machine) {
    let service = &plan.services[group.service.index()];
    if !service.runtime.workers.is_some_and(|workers| workers.pinned) {
        return;
    }
    let runtime = ["service", &service.name, "runtime"];
    let mut place = place_of(document, &runtime);
    for kind in ["cluster", "processes"] {
        let pin = place_of(document, &[&runtime[..], &[kind, "pin"]].concat());
        if pin != place_of(document, &runtime) {
            place = pin;
        }
    }
    let vcpus = machine.processor.vcpus;
    let workers = service.runtime.processes(vcpus);
    if workers > vcpus {
        let message = format!(
            "more pinned processes than vCPUs: {workers} of `{}` on the {vcpus} of `{}`",
            service.name, machine.name
        );
        let help = Some(format!("`workers = \"per-core\"`, or at most {vcpus}"));
        findings.error(&place, message, format!("in group `{}`", group.name), help);
    } else if matches!(machine.processor.scheduler, Scheduler::Shares(_)) {
        let message = format!(
            "the processes of `{}` are pinned, and `{}` shares its vCPUs",
            service.name, machine.name
        );
        let label = "with `shares` everybody runs on all vCPUs at once";
        findings.error(&place, message, label, Some(PLAY_SLICES.to_string()));
    }
}

fn surprises(findings: &Findings, plan: &Plan, index: u16) {
    let group = &plan.groups[usize::from(index)];
    let service = &plan.services[group.service.index()];
    for scaling in &group.scaling {
        let Some(watched) = super::scaling::watched(scaling) else { continue };
        let cpu = watched.metric == Metric::Cpu;
        let cores = group.machine().processor.vcpus;
        let beside = plan.endpoints.iter().any(|endpoint| {
            endpoint.service == group.service
                && endpoint.steps.iter().any(|step| matches!(step, Step::Pool(_)))
        });
        let primary = u32::from(!service.runtime.connection_costs()[0].is_zero());
        let threads = if beside { cores } else { service.runtime.computing_threads(cores) + primary };
        if cpu && threads < cores {
            let most = 100.0 * f64::from(threads) / f64::from(cores);
            let never = if most <= watched.above { ", so this policy never scales out" } else { "" };
            findings.note(format!(
                "group `{}`: `{}` computes on {threads} of {cores} vCPUs at most, so its CPU metric cannot exceed {most:.0} %{never}",
                group.name, service.name
            ));
        }
        if cpu && group.monitoring.as_secs_f64() > 60.0 {
            findings.note(format!(
                "group `{}` has basic monitoring: its CPU alarm sees a datapoint every 5 minutes and needs {}; `monitoring = \"detailed\"` has one a minute",
                group.name, watched.datapoints
            ));
        }
        let startup = &group.startup;
        let start = startup.mean() * 1e-9;
        let warmup = group.warm_up(scaling);
        if watched.metric.of_ec2() && warmup.as_secs_f64() + startup.provision.mean() * 1e-9 < start {
            findings.note(format!(
                "group `{}`: instances count as warm after {warmup}, before they serve ({start:.0} s after their launch): their idle CPU will hold the policy back",
                group.name
            ));
        }
    }
}

impl Plan {
    /// How many events the run is expected to take.
    pub fn expected_events(&self) -> f64 {
        let end = sim_core::Time::ZERO + self.duration;
        // Steps of each endpoint and of all it calls: callees come first.
        let mut steps = vec![0.0; self.endpoints.len()];
        for endpoint in self.callees_first() {
            steps[endpoint.index()] = self.endpoints[endpoint.index()].steps.iter().fold(0.0, |sum, step| {
                sum + match step {
                    Step::Call { endpoint, .. } => 1.0 + steps[endpoint.index()],
                    _ => 1.0,
                }
            });
        }
        let of_traffic = |traffic: &crate::plan::Traffic| {
            let shares = traffic.shares(end);
            let steps: f64 = shares.iter().map(|&(endpoint, share)| share * steps[endpoint.index()]).sum();
            let on_its_way = f64::from(u8::from(traffic.connections.is_some() || traffic.network.is_some()));
            let each = EVENTS_BESIDE_STEPS + on_its_way + steps;
            traffic.expected_requests(sim_core::Time::ZERO, end) * each
        };
        let of_jobs = |(queue, jobs): (u16, f64)| {
            let longest = self.workers_of(QueueId(queue)).map(|(_, _, worker)| steps[worker.job.index()]);
            jobs * (EVENTS_BESIDE_STEPS + longest.fold(0.0, f64::max))
        };
        let requests: f64 = self.traffic.iter().map(of_traffic).sum();
        requests + (0u16..).zip(self.expected_jobs(sim_core::Time::ZERO, end)).map(of_jobs).sum::<f64>()
    }
}

/// Where a table stands, or an item of a list by its number.
pub fn place_of(document: &Node, path: &[&str]) -> Place {
    let mut node = document;
    let mut place = document.place.clone();
    for key in path {
        let next = match &node.value {
            Value::Table(entries) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| (&entry.node, &entry.place))
            }
            Value::Array(items) => {
                key.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item, &item.place))
            }
            _ => None,
        };
        let Some((found, at)) = next else { break };
        (node, place) = (found, at.clone());
    }
    place
}
