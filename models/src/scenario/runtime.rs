//! `runtime = …` of a service: what its processes do, and who of them accepts.

use sim_core::Span;

use super::Context;
use super::node::{Node, Value};
use super::reader::{Reader, choice, read};
use crate::plan::{Accept, ProcessKind, Runtime, Workers};

/// All runtimes.
pub const KINDS: [&str; 8] = [
    "event-loop",
    "thread-pool",
    "thread-per-request",
    "process-per-request",
    "async",
    "gil",
    "cluster",
    "processes",
];
/// What a worker process may be.
const WORKERS: [&str; 5] = ["event-loop", "thread-pool", "thread-per-request", "async", "gil"];

/// Stands in where the scenario's runtime could not be read.
pub const ANY: Runtime = Runtime {
    process: ProcessKind::Threads { threads: None, accept_queue: 0, newest_first: false },
    overhead: Span::ZERO,
    workers: None,
};

/// Defaults. CPU times of a request beside its steps were measured on a small cloud machine: Node's parsing and system
/// calls 0.22 to 0.43 ms, those of a small compiled server 0.06 ms; a fork with exit and wait 0.17 to 0.42 ms; a new
/// connection of Node's cluster 0.25 to 0.4 ms in the primary and 0.5 to 0.9 ms in the worker.
pub(crate) mod defaults {
    use sim_core::Span;

    /// Node's listen backlog.
    pub const LOOP_QUEUE: u32 = 511;
    /// Libuv's threads.
    pub const POOL: u32 = 4;
    /// Tomcat's number of threads, and of connections that wait for one.
    pub const THREADS: u32 = 200;
    pub const THREADS_QUEUE: u32 = 100;
    /// The limit of most listen backlogs, `net.core.somaxconn`.
    pub const ASYNC_QUEUE: u32 = 4_096;
    /// A small pool, as WSGI servers have it, and their listen backlog.
    pub const GIL_THREADS: u32 = 8;
    pub const GIL_QUEUE: u32 = 2_048;
    /// CPython's.
    pub const SWITCH_INTERVAL: Span = Span::from_millis(5);

    pub const SCRIPTED: Span = Span::from_micros(300);
    pub const COMPILED: Span = Span::from_micros(60);
    pub const FORKED: Span = Span::from_micros(300);
    pub const PRIMARY: Span = Span::from_micros(300);
    pub const HANDOVER: Span = Span::from_micros(600);
}

/// The most workers of an instance.
const MOST_WORKERS: u32 = 1_024;

/// Reads a runtime.
pub fn runtime(context: &Context<'_>, path: &str, node: &Node) -> Option<(Runtime, toml::Value)> {
    let (kind, entry) = choice(context.findings, path, node, &KINDS)?;
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let options = entry.map_or(&empty, |entry| &entry.node);
    let mut table = Reader::new(context.findings, format!("{path}.{kind}"), options);
    let runtime = match kind {
        "cluster" => cluster(context, &mut table),
        "processes" => processes(context, &mut table),
        kind => process(context, kind, &mut table),
    };
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
    Some((runtime?, toml::Value::Table(shown)))
}

/// One process.
fn process(context: &Context<'_>, kind: &str, table: &mut Reader<'_>) -> Option<Runtime> {
    let count = |table: &mut Reader<'_>, key: &'static str, usual: u32| {
        let count = table.or(key, usual);
        if count == 0 {
            let message = format!("`{}` is zero", table.path_of(key));
            context.findings.error(&table.place_of(key), message, "expected 1 or more", None);
        }
        count.max(1)
    };
    let (process, overhead) = match kind {
        "event-loop" => {
            let accept_queue = table.or("accept_queue", defaults::LOOP_QUEUE);
            let pool = count(table, "pool", defaults::POOL);
            (ProcessKind::EventLoop { accept_queue, pool }, defaults::SCRIPTED)
        }
        "thread-pool" => {
            let threads = Some(count(table, "threads", defaults::THREADS));
            let accept_queue = table.or("accept_queue", defaults::THREADS_QUEUE);
            let newest_first = newest_first(context, table);
            (ProcessKind::Threads { threads, accept_queue, newest_first }, defaults::COMPILED)
        }
        "async" => {
            let workers = per_vcpu(context, table);
            let accept_queue = table.or("accept_queue", defaults::ASYNC_QUEUE);
            (ProcessKind::Async { workers, accept_queue }, defaults::COMPILED)
        }
        "gil" => {
            let threads = count(table, "threads", defaults::GIL_THREADS);
            let switch_interval = table.or("switch_interval", defaults::SWITCH_INTERVAL);
            if switch_interval.is_zero() {
                let message = "a switch interval of nothing";
                context.findings.error(
                    &table.place_of("switch_interval"),
                    message,
                    "expected 5ms or so",
                    None,
                );
            }
            let accept_queue = table.or("accept_queue", defaults::GIL_QUEUE);
            let switch_interval = switch_interval.max(Span::from_micros(1));
            (ProcessKind::Gil { threads, switch_interval, accept_queue }, defaults::SCRIPTED)
        }
        kind => {
            let overhead = if kind == "process-per-request" { defaults::FORKED } else { defaults::COMPILED };
            let threads = table.optional("most");
            if threads == Some(0) {
                let message = format!("`{}` is zero", table.path_of("most"));
                context.findings.error(&table.place_of("most"), message, "nothing would be served", None);
            }
            (ProcessKind::Threads { threads, accept_queue: 0, newest_first: false }, overhead)
        }
    };
    Some(Runtime { process, overhead: table.or("overhead", overhead), workers: None })
}

/// `queue = "fifo"`, or `"lifo"`: who came last has not given up yet.
fn newest_first(context: &Context<'_>, table: &mut Reader<'_>) -> bool {
    let path = table.path_of("queue");
    let usual = Node { place: table.place().clone(), value: Value::String("fifo".into()) };
    let node = table.node("queue").unwrap_or(&usual);
    let order = choice(context.findings, &path, node, &["fifo", "lifo"]).map_or("fifo", |(order, _)| order);
    table.resolve("queue", order);
    order == "lifo"
}

/// `workers = "per-core"`, or a number.
fn per_vcpu(context: &Context<'_>, table: &mut Reader<'_>) -> Option<u32> {
    let path = table.path_of("workers");
    let per_core = Value::String("per-core".into());
    let node = table.node("workers").filter(|node| node.value != per_core);
    let Some(node) = node else {
        table.resolve("workers", "per-core");
        return None;
    };
    let workers: u32 = match &node.value {
        Value::String(_) => {
            let message = format!("`{path}` is not a number of workers");
            context.findings.error(&node.place, message, "expected a number, or \"per-core\"", None);
            return None;
        }
        _ => read(context.findings, &path, node)?,
    };
    if !(1..=MOST_WORKERS).contains(&workers) {
        let label = format!("expected 1 to {MOST_WORKERS}");
        context.findings.error(&node.place, format!("`{path}` is {workers}"), label, None);
    }
    table.resolve("workers", i64::from(workers));
    Some(workers.clamp(1, MOST_WORKERS))
}

/// Node's cluster module: workers that are event loops.
fn cluster(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Runtime> {
    let count = per_vcpu(context, table);
    if !table.or("asks_is_primary", true) {
        let message = "a primary that forks without asking whether it is the primary is a fork bomb";
        let help = "each worker runs the same file and forks workers of its own; write `if (cluster.isPrimary) fork() else listen()`";
        context.findings.error(
            &table.place_of("asks_is_primary"),
            message,
            "refused",
            Some(help.to_string()),
        );
    }
    let accept = accept(context, table, &["round-robin", "shared", "reuse-port"]);
    let pinned = table.or("pin", false);
    let runtime = process(context, "event-loop", table)?;
    let ProcessKind::EventLoop { accept_queue: backlog, .. } = runtime.process else { return None };
    Some(Runtime { workers: Some(Workers { count, accept: accept?, backlog, pinned }), ..runtime })
}

/// Pre-forked workers of any kind.
fn processes(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Runtime> {
    let count = per_vcpu(context, table);
    let accept = accept(context, table, &["shared", "reuse-port", "round-robin", "independent"]);
    let pinned = table.or("pin", false);
    let path = table.path_of("each");
    let plain = Node { place: table.place().clone(), value: Value::String("thread-pool".into()) };
    let node = table.node("each").unwrap_or(&plain);
    let (kind, entry) = choice(context.findings, &path, node, &WORKERS)?;
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let options = entry.map_or(&empty, |entry| &entry.node);
    let mut each = Reader::new(context.findings, format!("{path}.{kind}"), options);
    let runtime = process(context, kind, &mut each)?;
    let newest_first = matches!(runtime.process, ProcessKind::Threads { newest_first: true, .. });
    if newest_first && !matches!(accept, Some(Accept::ReusePort)) {
        let message = "the processes accept from one backlog, which is first come, first served";
        let help = Some("`accept = \"reuse-port\"` gives each a queue of its own".to_string());
        context.findings.error(
            &each.place_of("queue"),
            message,
            "no process has a queue to choose from",
            help,
        );
    }
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(each.finish()))]);
    table.resolve("each", shown);
    let backlog = table.or("backlog", defaults::ASYNC_QUEUE);
    Some(Runtime { workers: Some(Workers { count, accept: accept?, backlog, pinned }), ..runtime })
}

fn accept(context: &Context<'_>, table: &mut Reader<'_>, known: &[&str]) -> Option<Accept> {
    let path = table.path_of("accept");
    let kind = match table.node("accept") {
        Some(node) => choice(context.findings, &path, node, known).map(|(kind, _)| kind)?,
        None => known[0],
    };
    table.resolve("accept", kind);
    match kind {
        "round-robin" => Some(Accept::RoundRobin {
            primary: table.or("primary", defaults::PRIMARY),
            handover: table.or("handover", defaults::HANDOVER),
        }),
        "reuse-port" => Some(Accept::ReusePort),
        "shared" => Some(Accept::Shared),
        _ => {
            let message = "independent processes cannot listen on one port: the second gets EADDRINUSE";
            let help = "let one primary accept for all (`cluster`), share one listener (`accept = \"shared\"`), or give each a listener of its own with SO_REUSEPORT (`accept = \"reuse-port\"`)";
            context.findings.error(&table.place_of("accept"), message, "port clash", Some(help.to_string()));
            None
        }
    }
}
