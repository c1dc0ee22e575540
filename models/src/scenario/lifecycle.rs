//! What a group says of its instances' life: who goes first, who is spared, who is waited for, what is prepared.

use sim_core::{Span, Time};

use super::Context;
use super::dist::duration;
use super::node::{Node, Value};
use super::reader::{Read, Reader, choice};
use super::units::{Moment, Positive};
use crate::plan::{
    InstanceAction, InstanceActionKind, Lifecycle, LifecycleHook, PoolState, Process, Protection, Suspension,
    Transition, WarmPool,
};
use crate::scaling::{
    HookResult, LEAST_HEARTBEAT, LEAST_LIFETIME, MOST_HEARTBEAT, TerminationPolicy, is_lifetime,
};

const POLICIES: [(&str, TerminationPolicy); 7] = [
    ("default", TerminationPolicy::Default),
    ("allocation-strategy", TerminationPolicy::AllocationStrategy),
    ("oldest-launch-template", TerminationPolicy::OldestLaunchTemplate),
    ("oldest-launch-configuration", TerminationPolicy::OldestLaunchConfiguration),
    ("closest-to-next-instance-hour", TerminationPolicy::ClosestToNextInstanceHour),
    ("newest-instance", TerminationPolicy::NewestInstance),
    ("oldest-instance", TerminationPolicy::OldestInstance),
];

/// The size of an Amazon Linux root volume, in GiB.
const USUAL_VOLUME: f64 = 8.0;

/// Reads what a group says of its instances' life. `size` is its minimum, desired capacity and maximum.
pub fn lifecycle(context: &Context<'_>, table: &mut Reader<'_>, size: [u32; 3]) -> Option<Lifecycle> {
    let termination_policies = termination_policies(context, table)?;
    let protection = protection(context, table);
    let worker = table.node("worker").is_some();
    let hooks =
        list(context, table, "lifecycle_hooks", |context, path, node| hook(context, path, node, worker));
    if hooks.len() > Lifecycle::MOST_HOOKS {
        let message = format!("`{}` has {} hooks", table.path_of("lifecycle_hooks"), hooks.len());
        let label = format!("a group may have {}", Lifecycle::MOST_HOOKS);
        context.findings.error(&table.place_of("lifecycle_hooks"), message, label, None);
    }
    same_names(context, table, &hooks);
    let warm_pool = warm_pool(context, table, size);
    let suspensions = list(context, table, "suspend", suspension);
    let actions = list(context, table, "instance_actions", action);
    let max_lifetime = max_lifetime(context, table);
    Some(Lifecycle { termination_policies, protection, hooks, warm_pool, suspensions, actions, max_lifetime })
}

/// Reads each item of a list, and writes the list down.
fn list<T>(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    read: impl Fn(&Context<'_>, &str, &Node) -> Option<(T, toml::Table)>,
) -> Vec<T> {
    let path = table.path_of(key);
    let items = table.items(key).iter().enumerate();
    let read = items.filter_map(|(index, item)| read(context, &format!("{path}.{index}"), item));
    let (values, shown): (Vec<T>, Vec<toml::Value>) =
        read.map(|(value, shown)| (value, toml::Value::Table(shown))).unzip();
    if !shown.is_empty() {
        table.resolve(key, shown);
    }
    values
}

/// The value of one of several strings, and its name.
fn one_of<T: Copy>(
    context: &Context<'_>,
    path: &str,
    node: &Node,
    known: &[(&'static str, T)],
) -> Option<(&'static str, T)> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let (name, _) = choice(context.findings, path, node, &names)?;
    known.iter().find(|(known, _)| *known == name).copied()
}

/// A key that is one of several strings.
pub fn choose<T: Copy>(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    known: &[(&'static str, T)],
    default: (&'static str, T),
) -> T {
    let path = table.path_of(key);
    let chosen = table.node(key).and_then(|node| one_of(context, &path, node, known)).unwrap_or(default);
    table.resolve(key, chosen.0);
    chosen.1
}

fn termination_policies(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Vec<TerminationPolicy>> {
    const KEY: &str = "termination_policies";
    let path = table.path_of(KEY);
    let given = table.node(KEY).is_some();
    let items = table.items(KEY);
    let read: Vec<_> = items.iter().filter_map(|item| one_of(context, &path, item, &POLICIES)).collect();
    let fail = |at: usize, message: String, label: &str| {
        context.findings.error(&items[at].place, message, label, None);
    };
    if given && items.is_empty() {
        let message = format!("`{path}` is empty");
        context.findings.error(&table.place_of(KEY), message, "leave it out for the default", None);
    }
    if read.len() != items.len() {
        return None; // told already
    }
    for (at, (name, policy)) in read.iter().enumerate() {
        if read[..at].iter().any(|(_, other)| other == policy) {
            fail(at, format!("`{path}` has `{name}` twice"), "the first has decided already");
        }
        if *policy == TerminationPolicy::Default && at + 1 < read.len() {
            fail(at, format!("`{path}` goes on after `default`"), "`default` must be the last");
        }
    }
    let (names, policies): (Vec<&str>, Vec<TerminationPolicy>) = if read.is_empty() {
        ([POLICIES[0].0].into(), [POLICIES[0].1].into())
    } else {
        read.into_iter().unzip()
    };
    table.resolve(KEY, names.into_iter().map(toml::Value::from).collect::<Vec<_>>());
    Some(policies)
}

/// `scale_in_protection = true`, or `"while-busy"`.
fn protection(context: &Context<'_>, table: &mut Reader<'_>) -> Protection {
    const KEY: &str = "scale_in_protection";
    let protection = match table.node(KEY).map(|node| (&node.value, &node.place)) {
        None | Some((Value::Boolean(false), _)) => Protection::None,
        Some((Value::Boolean(true), _)) => Protection::NewInstances,
        Some((Value::String(text), _)) if text == "while-busy" => Protection::WhileBusy,
        Some((value, place)) => {
            let message = match value {
                Value::String(text) => format!("`{}` cannot be `{text}`", table.path_of(KEY)),
                other => format!("`{}` is {}", table.path_of(KEY), other.kind()),
            };
            context.findings.error(place, message, "expected true, false or \"while-busy\"", None);
            Protection::None
        }
    };
    match protection {
        Protection::WhileBusy => table.resolve(KEY, "while-busy"),
        other => table.resolve(KEY, other == Protection::NewInstances),
    }
    protection
}

const TRANSITIONS: [(&str, Transition); 2] =
    [("launching", Transition::Launching), ("terminating", Transition::Terminating)];

fn hook(
    context: &Context<'_>,
    path: &str,
    node: &Node,
    worker: bool,
) -> Option<(LifecycleHook, toml::Table)> {
    let mut table = Reader::new(context.findings, path, node);
    let on_path = table.path_of("on");
    let on = match table.node("on") {
        Some(node) => one_of(context, &on_path, node, &TRANSITIONS),
        None => {
            table.missing("on", "\"launching\" or \"terminating\"");
            None
        }
    };
    if let Some((name, _)) = on {
        table.resolve("on", name);
    }
    let name = table.or("name", on.map_or("", |(name, _)| name).to_string());
    let heartbeat_timeout = table.or("heartbeat_timeout", Span::from_secs(3_600));
    if !(LEAST_HEARTBEAT..=MOST_HEARTBEAT).contains(&heartbeat_timeout) {
        let message = format!("`{}` is {heartbeat_timeout}", table.path_of("heartbeat_timeout"));
        let label = format!("expected {LEAST_HEARTBEAT} to {MOST_HEARTBEAT}");
        let help = "work that takes longer records heartbeats: `heartbeats = true`".to_string();
        context.findings.error(&table.place_of("heartbeat_timeout"), message, label, Some(help));
    }
    let results = [("abandon", HookResult::Abandon), ("continue", HookResult::Continue)];
    let default_result = choose(context, &mut table, "default_result", &results, results[0]);
    let takes_path = table.path_of("takes");
    let takes = match table.node("takes") {
        Some(node) => {
            let (dist, shown) = duration(context, &takes_path, node)?;
            table.resolve("takes", shown);
            Some(dist)
        }
        None => None,
    };
    let fails = table.or("fails", 0.0);
    if fails > 1.0 {
        let message = format!("`{}` is {fails}", table.path_of("fails"));
        context.findings.error(&table.place_of("fails"), message, "expected a share of 0 to 1", None);
    }
    let heartbeats = table.or("heartbeats", false);
    let terminating = on.is_none_or(|(_, on)| on == Transition::Terminating);
    let until_idle = until_idle(context, &mut table, terminating, worker, takes.is_some());
    let shown = table.finish();
    if takes.is_none() && !until_idle {
        context.findings.note(format!(
            "nobody completes the action of the lifecycle hook `{name}`, which has no `takes`: every instance waits {heartbeat_timeout}"
        ));
    }
    let (_, on) = on?;
    Some((
        LifecycleHook { name, on, heartbeat_timeout, default_result, takes, fails, heartbeats, until_idle },
        shown,
    ))
}

/// `until_idle = true`: a worker on its way out completes the action once it has no job any more.
fn until_idle(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    terminating: bool,
    worker: bool,
    takes: bool,
) -> bool {
    let until_idle = table.or("until_idle", false);
    let (why, label) = if !terminating {
        ("is of instances that are terminated", "this hook is for launches")
    } else if !worker {
        ("is of workers", "the group has no `worker`")
    } else if takes {
        ("beside `takes`", "one of both says when the action is completed")
    } else {
        return until_idle;
    };
    if until_idle {
        let message = format!("`{}` {why}", table.path_of("until_idle"));
        context.findings.error(&table.place_of("until_idle"), message, label, None);
    }
    until_idle
}

/// Hooks are told apart by their names.
fn same_names(context: &Context<'_>, table: &mut Reader<'_>, hooks: &[LifecycleHook]) {
    for (index, hook) in hooks.iter().enumerate() {
        if hooks[..index].iter().any(|other| other.name == hook.name) {
            let message = format!("there are two lifecycle hooks `{}`", hook.name);
            let label = "give one a `name` of its own";
            context.findings.error(&table.place_of("lifecycle_hooks"), message, label, None);
        }
    }
}

fn warm_pool(context: &Context<'_>, group: &mut Reader<'_>, size: [u32; 3]) -> Option<WarmPool> {
    let [_, desired, max] = size;
    let path = group.path_of("warm_pool");
    let mut table = Reader::new(context.findings, path.clone(), group.node("warm_pool")?);
    let min_size = table.or("min_size", 0);
    let prepared: Option<u32> = table.optional("max_group_prepared_capacity");
    let states = [
        ("stopped", PoolState::Stopped),
        ("hibernated", PoolState::Hibernated),
        ("running", PoolState::Running),
    ];
    let state = choose(context, &mut table, "state", &states, states[0]);
    let reuse_on_scale_in = table.or("reuse_on_scale_in", false);
    let start_path = table.path_of("start");
    let start = table.node("start").and_then(|node| duration(context, &start_path, node));
    let start = start.map(|(dist, shown)| {
        table.resolve("start", shown);
        dist
    });
    let volume_gib = table.or("volume_gib", Positive(USUAL_VOLUME)).0;
    if min_size > super::group::MOST_INSTANCES || prepared > Some(super::group::MOST_INSTANCES) {
        let message = format!(
            "`{path}` has more instances than the {} that a group may have",
            super::group::MOST_INSTANCES
        );
        context.findings.error(table.place(), message, "too many", None);
    }
    group.resolve("warm_pool", table.finish());
    if prepared.is_some_and(|prepared| prepared < desired) {
        context.findings.note(format!(
            "`{path}` prepares {} instances, and the desired capacity is {desired}: only `min_size` keeps any in it",
            prepared.unwrap_or(0)
        ));
    }
    if prepared.is_none() && max == desired && min_size == 0 {
        context.findings.note(format!("`{path}` is empty while the group is at its maximum of {max}"));
    }
    Some(WarmPool {
        min_size,
        max_group_prepared_capacity: prepared,
        state,
        reuse_on_scale_in,
        start,
        volume_gib,
    })
}

fn max_lifetime(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Span> {
    let lifetime = table.or("max_instance_lifetime", Span::ZERO);
    if !is_lifetime(lifetime) {
        let message = format!("`{}` is {lifetime}", table.path_of("max_instance_lifetime"));
        let label = format!("expected {LEAST_LIFETIME} or more, or \"0s\" for none");
        context.findings.error(&table.place_of("max_instance_lifetime"), message, label, None);
    }
    (!lifetime.is_zero()).then_some(lifetime)
}

fn suspension(context: &Context<'_>, path: &str, node: &Node) -> Option<(Suspension, toml::Table)> {
    let mut table = Reader::new(context.findings, path, node);
    let known = Process::ALL.map(|process| (process.name(), process));
    let items_path = table.path_of("processes");
    if table.node("processes").is_none() {
        table.missing("processes", "a list such as [\"launch\"]");
    }
    let items = table.items("processes");
    let read = items.iter().filter_map(|item| one_of(context, &items_path, item, &known));
    let (names, processes): (Vec<&str>, Vec<Process>) = read.unzip();
    if table.node("processes").is_some() && items.is_empty() {
        let message = format!("`{items_path}` is empty");
        context.findings.error(&table.place_of("processes"), message, "expected at least one process", None);
    }
    table.resolve("processes", names.into_iter().map(toml::Value::from).collect::<Vec<_>>());
    let from = match table.optional::<Moment>("from") {
        Some(from) => context.moment(&from, &table.place_of("from"))?,
        None => Time::ZERO,
    };
    let until = match table.optional::<Moment>("until") {
        Some(until) => Some(context.moment(&until, &table.place_of("until"))?),
        None => None,
    };
    if until.is_some_and(|until| until <= from) {
        let message = format!("`{path}` ends before it begins");
        context.findings.error(&table.place_of("until"), message, "expected a time after `from`", None);
    }
    let shown = table.finish();
    (processes.len() == items.len()).then_some((Suspension { processes, from, until }, shown))
}

const ACTIONS: [&str; 8] =
    ["protect", "unprotect", "enter_standby", "exit_standby", "detach", "terminate", "stop", "set_unhealthy"];

fn action(context: &Context<'_>, path: &str, node: &Node) -> Option<(InstanceAction, toml::Table)> {
    let (name, entry) = choice(context.findings, path, node, &ACTIONS)?;
    let Some(entry) = entry else {
        let label = format!("expected `{name} = {{ at = … }}`");
        context.findings.error(&node.place, format!("`{path}` needs parameters"), label, None);
        return None;
    };
    let mut table = Reader::new(context.findings, format!("{path}.{name}"), &entry.node);
    let at: Option<Moment> = table.required("at");
    let at = at.and_then(|at| context.moment(&at, &table.place_of("at")));
    let count = table.or("count", 1);
    if count == 0 {
        let message = format!("`{}` is zero", table.path_of("count"));
        context.findings.error(&table.place_of("count"), message, "expected 1 or more", None);
    }
    // As the command line does, which asks for one of both.
    let mut decrement = || table.required::<Decrement>("decrement").unwrap_or(Decrement(false)).0;
    let kind = match name {
        "protect" => InstanceActionKind::Protect,
        "unprotect" => InstanceActionKind::Unprotect,
        "enter_standby" => InstanceActionKind::EnterStandby { decrement: decrement() },
        "exit_standby" => InstanceActionKind::ExitStandby,
        "detach" => InstanceActionKind::Detach { decrement: decrement() },
        "terminate" => InstanceActionKind::Terminate { decrement: decrement() },
        "stop" => InstanceActionKind::Stop,
        _ => {
            InstanceActionKind::SetUnhealthy { respect_grace_period: table.or("respect_grace_period", true) }
        }
    };
    let shown = toml::Table::from_iter([(name.to_string(), toml::Value::Table(table.finish()))]);
    Some((InstanceAction { at: at?, count, kind }, shown))
}

/// Whether the desired capacity goes down with an instance.
struct Decrement(bool);

impl Read for Decrement {
    const EXPECTED: &'static str =
        "true where the desired capacity goes down with it, false where it is replaced";
    fn read(value: &Value) -> Result<Self, String> {
        bool::read(value).map(Decrement)
    }
    fn show(&self) -> toml::Value {
        self.0.show()
    }
}
