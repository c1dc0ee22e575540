//! What each counterfactual changes of a plan, in words and, where a scenario can say it, as `--set` options.

use std::fmt::Display;

use sim_core::dist::Dist;
use sim_core::{Span, Time};

use super::counterfactual::Kind;
use super::pace;
use crate::plan::{
    Accept, Algorithm, Autoscaler, Plan, ProcessKind, QueueKind, Retry, Runtime, Scaling, Startup, Vmss,
    When, Worker, Workers,
};
use crate::scaling::VmssProfile;
use crate::scenario::runtime::defaults;

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// In words.
    pub words: Vec<String>,
    /// As `--set` options.
    pub set: Vec<String>,
    /// A part of it no option can say: then there are none, for half of a change is another.
    unsaid: bool,
}

impl Said {
    /// `what` went from `old` to `new`, which is `path` in a scenario.
    pub fn changed(&mut self, path: &str, what: &str, old: impl Display, new: impl Display) {
        self.words.push(format!("{what} {old} → {new}"));
        self.set.push(format!("{path}={new}"));
    }
}

/// Changes a plan; or why there is nothing to change.
pub(super) fn edit(kind: Kind, plan: &mut Plan) -> Result<Said, String> {
    type Edit = fn(&mut Plan, &mut Said);
    let (change, nothing): (Edit, &str) = match kind {
        Kind::InstantStart => (instant_start, "instances are there at once as it is"),
        Kind::HalfTheTime => (half_the_time, "no policy that needs more than one datapoint"),
        Kind::NoCooldown => (no_cooldown, "no policy that waits for cooldowns or warm-ups"),
        Kind::DoubleMax => (double_max, "no group that anybody scales"),
        Kind::DoubleMin => (double_min, "no group with a minimum"),
        Kind::LeastOutstanding => (least_outstanding, "no balancer that picks by anything else and could"),
        Kind::NoRetries => (no_retries, "no client tries again"),
        Kind::NoIncidents => (no_incidents, "no incident is stated"),
        Kind::PatientHealthChecks => (patient_health_checks, "no balancer checks its targets"),
        Kind::DoubleWorkers => (double_workers, "no runtime is bound by threads or processes"),
        Kind::DoubleConsumers => (double_consumers, "no group takes jobs from a queue"),
        Kind::LongerVisibility => (longer_visibility, "no SQS queue"),
    };
    let mut said = Said::default();
    change(plan, &mut said);
    if said.unsaid {
        said.set.clear();
    }
    if said.words.is_empty() { Err(nothing.to_string()) } else { Ok(said) }
}

fn half_the_time(plan: &mut Plan, said: &mut Said) {
    plan.groups.iter_mut().for_each(|group| pace::half_the_time(group, said));
}

fn no_cooldown(plan: &mut Plan, said: &mut Said) {
    plan.groups.iter_mut().for_each(|group| pace::no_cooldown(group, said));
}

fn no_retries(plan: &mut Plan, said: &mut Said) {
    for traffic in plan.traffic.iter_mut().filter(|traffic| traffic.retry.max > 0) {
        let path = format!("traffic.{}.retry.max", key(&traffic.name));
        said.unsaid |= traffic.retry_budget.is_some(); // a scenario takes no budget for none
        said.changed(&path, &format!("{}: retries", traffic.name), traffic.retry.max, 0);
        traffic.retry = Retry { max: 0, ..traffic.retry };
    }
}

/// They stay in the plan, as the world refers to them by their place, and never begin.
fn no_incidents(plan: &mut Plan, said: &mut Said) {
    plan.incidents.iter_mut().for_each(|incident| incident.when = When::At(Time::NEVER));
    match plan.incidents.len() {
        0 => {}
        1 => said.words.push("1 incident left out".to_string()),
        count => said.words.push(format!("{count} incidents left out")),
    }
}

fn patient_health_checks(plan: &mut Plan, said: &mut Said) {
    for balancer in &mut plan.balancers {
        let path = format!("balancer.{}.health_check.unhealthy", key(&balancer.name));
        if let Some(check) = &mut balancer.health_check {
            let new = check.unhealthy.saturating_mul(2);
            said.changed(&path, &format!("{}: unhealthy after", balancer.name), check.unhealthy, new);
            check.unhealthy = new;
        }
    }
}

fn double_consumers(plan: &mut Plan, said: &mut Said) {
    for group in &mut plan.groups {
        let path = format!("group.{}.worker.concurrency", key(&group.name));
        if let Some(worker) = &mut group.worker {
            let new = worker.concurrency.saturating_mul(2).min(Worker::MOST_CONSUMERS);
            let what = format!("{}: consumers of an instance", group.name);
            said.changed(&path, &what, worker.concurrency, new);
            worker.concurrency = new;
        }
    }
}

fn longer_visibility(plan: &mut Plan, said: &mut Said) {
    for queue in &mut plan.queues {
        let path = format!("queue.{}.sqs.visibility_timeout", key(&queue.name));
        if let QueueKind::Sqs(sqs) = &mut queue.kind {
            let new = sqs.visibility_timeout.saturating_mul(2).min(Span::from_secs(LONGEST_VISIBILITY));
            let what = format!("{}: visibility timeout", queue.name);
            said.changed(&path, &what, sqs.visibility_timeout, new);
            sqs.visibility_timeout = new;
        }
    }
}

/// The longest visibility timeout of SQS, in seconds: 12 hours.
const LONGEST_VISIBILITY: u64 = 43_200;

/// A name as a part of a path.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_string() } else { format!("\"{name}\"") }
}

fn none() -> Dist {
    Dist::constant(0.0).expect("zero is a constant")
}

/// Makes a time of a start nothing; true where it was something.
fn is_nothing_now(time: &mut Dist) -> bool {
    let was = time.mean() > 0.0;
    if was {
        *time = none();
    }
    was
}

/// Steps of user data stay, so that their order and failures do; they take no time.
fn instant_start(plan: &mut Plan, said: &mut Said) {
    for group in plan.groups.iter_mut() {
        let path = format!("group.{}", key(&group.name));
        let seconds = Span::from_secs((group.startup.mean() / 1e9).round() as u64);
        let pods = group.pods.is_some();
        let before = said.set.len();
        let Startup { provision, boot, user_data, app } = &mut group.startup;
        for (part, time) in [("provision", provision), ("boot", boot), ("app", app)] {
            // A pod has nothing but its app to start.
            if (!pods || part == "app") && is_nothing_now(time) {
                said.set.push(format!("{path}.startup.{part}=0s"));
            }
        }
        for (index, step) in user_data.iter_mut().enumerate() {
            if is_nothing_now(&mut step.takes) {
                said.set.push(format!("{path}.startup.user_data.{index}.takes=0s"));
            }
        }
        if let Some(pods) = &mut group.pods
            && is_nothing_now(&mut pods.image_pull)
        {
            said.set.push(format!("{path}.kubernetes.image_pull=0s"));
        }
        for version in &mut group.versions {
            let Startup { provision, boot, user_data, app } = &mut version.startup;
            let steps = user_data.iter_mut().map(|step| &mut step.takes);
            [provision, boot, app].into_iter().chain(steps).for_each(|time| *time = none());
            said.unsaid = true;
        }
        if said.set.len() > before {
            said.words.push(format!("{}: start-up {seconds} → 0s", group.name));
        }
    }
    for pool in &mut plan.nodes {
        let path = format!("nodes.{}.startup", key(&pool.name));
        let seconds = Span::from_secs(((pool.provision.mean() + pool.boot.mean()) / 1e9).round() as u64);
        let before = said.set.len();
        for (part, time) in [("provision", &mut pool.provision), ("boot", &mut pool.boot)] {
            if is_nothing_now(time) {
                said.set.push(format!("{path}.{part}=0s"));
            }
        }
        if said.set.len() > before {
            said.words.push(format!("nodes {}: start-up {seconds} → 0s", pool.name));
        }
    }
}

/// Whether the size of a group ever changes but by hand.
fn is_scaled(scaling: &[Scaling]) -> bool {
    scaling.iter().any(|one| !matches!(one, Scaling::Manual { .. }))
}

fn double_max(plan: &mut Plan, said: &mut Said) {
    for group in plan.groups.iter_mut().filter(|group| is_scaled(&group.scaling)) {
        let path = format!("group.{}", key(&group.name));
        let new = group.max.saturating_mul(2);
        said.changed(&format!("{path}.max"), &format!("{}: max", group.name), group.max, new);
        group.max = new;
        for (index, scaling) in group.scaling.iter_mut().enumerate() {
            match scaling {
                Scaling::Scheduled(action) => {
                    if let Some(max) = &mut action.max {
                        *max = max.saturating_mul(2);
                        said.set.push(format!("{path}.scaling.{index}.scheduled.max={max}"));
                    }
                }
                Scaling::Vmss(vmss) => {
                    for (profile, own) in profiles(vmss) {
                        own.max = own.max.saturating_mul(2);
                        said.set.push(format!("{path}.scaling.{index}.vmss{profile}.max={}", own.max));
                    }
                }
                _ => {}
            }
        }
    }
    for pool in plan.nodes.iter_mut().filter(|pool| pool.autoscaler != Autoscaler::None) {
        let new = pool.max.saturating_mul(2);
        let path = format!("nodes.{}.max", key(&pool.name));
        said.changed(&path, &format!("nodes {}: max", pool.name), pool.max, new);
        pool.max = new;
    }
}

/// Where nobody scales a group, its size is what it begins with.
fn double_min(plan: &mut Plan, said: &mut Said) {
    for group in &mut plan.groups {
        let path = format!("group.{}", key(&group.name));
        let old = if is_scaled(&group.scaling) { group.min } else { group.desired };
        if old == 0 {
            continue;
        }
        let new = old.saturating_mul(2);
        said.changed(&format!("{path}.min"), &format!("{}: min", group.name), old, new);
        group.min = new;
        for (name, limit) in [("desired", &mut group.desired), ("max", &mut group.max)] {
            if *limit < new {
                *limit = new;
                said.set.push(format!("{path}.{name}={new}"));
            }
        }
        let most = group.max;
        let mut least = new; // as actions leave it
        for (index, scaling) in group.scaling.iter_mut().enumerate() {
            let path = format!("{path}.scaling.{index}");
            match scaling {
                Scaling::Scheduled(action) => {
                    if let Some(min) = &mut action.min {
                        *min = min.saturating_mul(2).min(action.max.unwrap_or(most));
                        said.set.push(format!("{path}.scheduled.min={min}"));
                        least = least.max(*min);
                    }
                    if let Some(desired) = action.desired.as_mut().filter(|desired| **desired < least) {
                        *desired = least.min(action.max.unwrap_or(most));
                        said.set.push(format!("{path}.scheduled.desired={desired}"));
                    }
                }
                Scaling::Manual { desired, .. } if *desired < least => {
                    *desired = least.min(most);
                    said.set.push(format!("{path}.manual.desired={desired}"));
                }
                Scaling::Vmss(vmss) => {
                    for (profile, own) in profiles(vmss) {
                        own.min = own.min.saturating_mul(2).min(own.max);
                        own.default = own.default.max(own.min);
                        said.set.push(format!("{path}.vmss{profile}.min={}", own.min));
                        said.set.push(format!("{path}.vmss{profile}.default={}", own.default));
                    }
                }
                _ => {}
            }
        }
    }
}

/// The profiles of an autoscale setting, with where they stand in it.
pub(super) fn profiles(vmss: &mut Vmss) -> impl Iterator<Item = (String, &mut VmssProfile)> {
    let named = vmss.profiles.iter_mut().enumerate();
    let named = named.map(|(index, profile)| (format!(".profiles.{index}"), profile));
    std::iter::once((String::new(), &mut vmss.default)).chain(named)
}

/// A balancer that passes connections on does not know what is in progress.
fn least_outstanding(plan: &mut Plan, said: &mut Said) {
    for balancer in &mut plan.balancers {
        let old = match balancer.algorithm {
            Algorithm::LeastOutstandingRequests | Algorithm::FlowHash => continue,
            Algorithm::RoundRobin => "round robin",
            Algorithm::Random { .. } => "random",
            Algorithm::PowerOfChoices(_) => "power of choices",
            Algorithm::PeakEwma { .. } => "peak EWMA",
            Algorithm::Hash(_) => "a hash of the client",
        };
        said.words.push(format!("{}: {old} → least outstanding requests", balancer.name));
        said.set.push(format!("balancer.{}.algorithm=least-outstanding-requests", key(&balancer.name)));
        balancer.algorithm = Algorithm::LeastOutstandingRequests;
    }
}

/// Whether twice the workers means other processes, which are forked when an instance starts.
pub(super) fn changes_processes(plan: &Plan) -> bool {
    let vcpus = most_vcpus(plan);
    plan.services.iter().zip(vcpus).any(|(service, vcpus)| more_processes(&service.runtime, vcpus).is_some())
}

fn double_workers(plan: &mut Plan, said: &mut Said) {
    let vcpus = most_vcpus(plan);
    for (service, vcpus) in plan.services.iter_mut().zip(vcpus) {
        let path = format!("service.{}.runtime", key(&service.name));
        let name = &service.name;
        let processes = service.runtime.processes(vcpus);
        if let Some(runtime) = more_processes(&service.runtime, vcpus) {
            let now = runtime.processes(vcpus);
            match service.runtime.workers {
                None => {
                    said.words
                        .push(format!("{name}: one event loop → a cluster with a worker for each vCPU"));
                    said.set.extend(single(&service.runtime, "cluster").map(|toml| format!("{path}={toml}")));
                }
                Some(_) => {
                    let cluster = matches!(runtime.process, ProcessKind::EventLoop { .. });
                    said.words.push(format!("{name}: worker processes {processes} → {now}"));
                    let primary = cluster && runtime.has_primary();
                    let kind = if primary { "cluster" } else { "processes" };
                    said.set.push(format!("{path}.{kind}.workers={now}"));
                }
            }
            service.runtime = runtime;
        } else if let Some((old, new, runtime)) = more_threads(&service.runtime, vcpus) {
            said.words.push(format!("{name}: threads {old} → {new}"));
            let kind = match runtime.process {
                ProcessKind::Gil { .. } => "gil",
                ProcessKind::Async { .. } => "async",
                _ => "thread-pool",
            };
            let whole = runtime.workers.is_none().then(|| single(&runtime, kind)).flatten();
            said.unsaid |= whole.is_none();
            said.set.extend(whole.map(|toml| format!("{path}={toml}")));
            service.runtime = runtime;
        }
    }
}

/// The most vCPUs of an instance that each service runs on; 0 where it runs nowhere.
fn most_vcpus(plan: &Plan) -> Vec<u32> {
    let mut most = vec![0; plan.services.len()];
    for group in &plan.groups {
        let vcpus = group.machines.iter().map(|machine| machine.processor.vcpus).max().unwrap_or(1);
        for service in group.services() {
            most[service.index()] = most[service.index()].max(vcpus);
        }
    }
    most
}

/// Twice the processes of a runtime, as far as there are vCPUs for them; a single event loop becomes a cluster. `None` where that
/// would be no more.
fn more_processes(runtime: &Runtime, vcpus: u32) -> Option<Runtime> {
    let processes = runtime.processes(vcpus);
    if processes >= vcpus {
        return None;
    }
    let workers = match (runtime.workers, runtime.process) {
        (Some(workers), _) => Workers { count: Some(processes.saturating_mul(2).min(vcpus)), ..workers },
        (None, ProcessKind::EventLoop { accept_queue, .. }) => Workers {
            count: None,
            accept: Accept::RoundRobin { primary: defaults::PRIMARY, handover: defaults::HANDOVER },
            backlog: accept_queue,
            pinned: false,
        },
        (None, _) => return None,
    };
    Some(Runtime { workers: Some(workers), ..*runtime })
}

/// Twice the threads of a runtime that has a number of them; before, now, and the runtime. Threads of an asynchronous runtime
/// beyond its vCPUs compute no more.
fn more_threads(runtime: &Runtime, vcpus: u32) -> Option<(u32, u32, Runtime)> {
    let mut new = *runtime;
    let doubled = |count: u32| (count, count.saturating_mul(2));
    let (old, now) = match &mut new.process {
        ProcessKind::Threads { threads: Some(threads), .. } | ProcessKind::Gil { threads, .. } => {
            let (old, now) = doubled(*threads);
            *threads = now;
            (old, now)
        }
        ProcessKind::Async { workers: Some(workers), .. } if *workers < vcpus => {
            let (old, now) = doubled(*workers);
            *workers = now;
            (old, now)
        }
        _ => return None,
    };
    Some((old, now, new))
}

/// A runtime of one kind of process as a scenario says it, every key stated; `kind` may be the cluster of event loops.
fn single(runtime: &Runtime, kind: &str) -> Option<String> {
    let own = match runtime.process {
        ProcessKind::EventLoop { accept_queue, pool } => {
            format!("accept_queue = {accept_queue}, pool = {pool}")
        }
        ProcessKind::Threads { threads, accept_queue, newest_first } => {
            let queue = if newest_first { "lifo" } else { "fifo" };
            format!("threads = {}, accept_queue = {accept_queue}, queue = \"{queue}\"", threads?)
        }
        ProcessKind::Async { workers, accept_queue } => {
            format!("workers = {}, accept_queue = {accept_queue}", workers?)
        }
        ProcessKind::Gil { threads, switch_interval, accept_queue } => format!(
            "threads = {threads}, switch_interval = \"{switch_interval}\", accept_queue = {accept_queue}"
        ),
    };
    Some(format!("{{ {kind} = {{ {own}, overhead = \"{}\" }} }}", runtime.overhead))
}
