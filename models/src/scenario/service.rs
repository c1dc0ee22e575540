//! `[service.NAME]` and its endpoints.

use super::diagnostic::Place;
use super::dist::{duration, pairs};
use super::node::{Entry, Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::units::{Factor, Nice, Period, Port, Size, Status};
use super::{Context, Names, engine, overload, queue, runtime, tokens};
use crate::machine::weight_of_nice;
use crate::plan::{
    BalancerId, Cold, Collector, Endpoint, EndpointId, Memory, ProcessKind, Runtime, Service, ServiceId, Step,
};

/// What a step may be.
const STEPS: [&str; 8] = ["cpu", "pool", "wait", "call", "gpu", "generate", "enqueue", "await_job"];
/// Bytes of a page of text and its headers.
const SIZE: u64 = 10 * 1024;
/// Bytes of a request with its headers and cookies.
const REQUEST_SIZE: u64 = 1024;

/// An endpoint whose calls still go by name.
pub struct Draft {
    /// The endpoint; its calls have no target yet.
    pub endpoint: Endpoint,
    /// For each call step: its index, the balancer's name, the endpoint's name, and where they stand.
    pub calls: Vec<(usize, String, String, Place)>,
    /// Where the endpoint stands.
    pub place: Place,
}

/// Reads a service and its endpoints.
pub fn service(
    context: &Context<'_>,
    names: &Names<'_>,
    entry: &Entry,
    id: ServiceId,
) -> (Service, Vec<Draft>, toml::Table) {
    let path = format!("service.{}", entry.key);
    let mut table = Reader::new(context.findings, path.clone(), &entry.node);
    let node = table.node("runtime");
    if node.is_none() {
        table.missing("runtime", &format!("one of {}", super::diagnostic::list(&runtime::KINDS)));
    }
    let read = node.and_then(|node| runtime::runtime(context, &format!("{path}.runtime"), node));
    let (runtime, shown) = read.unwrap_or_else(|| (runtime::ANY, toml::Value::from("thread-per-request")));
    table.resolve("runtime", shown);
    let memory = memory(context, &mut table);
    let working_set = table.or("working_set", Size(0)).0;
    let weight = weight_of_nice(table.or("nice", Nice(0)).0);
    let cold = cold(context, &mut table);
    let collector = collector(context, &mut table, &runtime);
    let port = table.or("port", Port(Service::USUAL_PORT)).0;
    let supervisor = super::supervisor::supervisor(context, &mut table);
    let most_connections = most_connections(context, &mut table);
    let shed = overload::shed(context, &mut table);
    let engine = engine::engine(context, &mut table);
    let mut resolved = toml::Table::new();
    let mut drafts = Vec::new();
    let endpoints = table.named("endpoint");
    if endpoints.is_empty() {
        table.missing("endpoint", &format!("[{path}.endpoint.\"GET /\"] with its steps"));
    }
    for endpoint in endpoints {
        let (draft, shown) = self::endpoint(context, names, &path, endpoint, id);
        drafts.push(draft);
        resolved.insert(endpoint.key.clone(), toml::Value::Table(shown));
    }
    table.resolve("endpoint", resolved);
    let service = Service {
        name: entry.key.clone(),
        runtime,
        memory,
        working_set,
        weight,
        cold,
        collector,
        port,
        most_connections,
        shed,
        supervisor,
        engine,
    };
    (service, drafts, table.finish())
}

/// `{ process = "150 MiB", request = "2 MiB", connection = "50 KiB" }`
fn memory(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Memory> {
    let path = table.path_of("memory");
    let mut options = Reader::new(context.findings, path, table.node("memory")?);
    let process = options.or("process", Size(0)).0;
    let request = options.required::<Size>("request").map(|size| size.0);
    if request == Some(0) {
        let message = "a request that needs no memory";
        context.findings.error(&options.place_of("request"), message, "leave `memory` out instead", None);
    }
    let connection = options.or("connection", Size(0)).0;
    table.resolve("memory", options.finish());
    Some(Memory { process, request: request?, connection })
}

/// Open sessions that an instance takes.
fn most_connections(context: &Context<'_>, table: &mut Reader<'_>) -> Option<u32> {
    let most: Option<u32> = table.optional("most_connections");
    if most == Some(0) {
        let message = format!("`{}` is zero", table.path_of("most_connections"));
        context.findings.error(&table.place_of("most_connections"), message, "expected 1 or more", None);
    }
    most
}

/// `{ requests = 1200, slower = 3 }`, or more points: `[[0, 17], [200, 2.3], [1200, 1]]`
fn cold(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Cold> {
    let path = table.path_of("cold_start");
    let node = table.node("cold_start")?;
    if matches!(node.value, Value::Array(_)) {
        return cold_curve(context, table, &path, node);
    }
    let mut options = Reader::new(context.findings, path, node);
    let requests: Option<u32> = options.required("requests");
    let slower: Option<Factor> = options.required("slower");
    for (key, wrong) in
        [("requests", requests == Some(0)), ("slower", slower.is_some_and(|slower| slower.0 < 1.0))]
    {
        if wrong {
            let message = format!("`{}` makes nothing slower", options.path_of(key));
            context.findings.error(&options.place_of(key), message, "expected 1 or more", None);
        }
    }
    table.resolve("cold_start", options.finish());
    Some(Cold { curve: vec![(0, slower?.0.max(1.0)), (requests?.max(1), 1.0)] })
}

fn cold_curve(context: &Context<'_>, table: &mut Reader<'_>, path: &str, node: &Node) -> Option<Cold> {
    const EXAMPLE: &str = "[[0, 17], [200, 2.3], [1200, 1]]: requests seen, and times the usual CPU time";
    let points: Vec<(u32, f64)> = pairs::<u32, Factor>(context, path, node, EXAMPLE)?
        .into_iter()
        .map(|(requests, slower)| (requests, slower.0))
        .collect();
    let (message, label) = if points.len() < 2 || points.len() > Cold::MOST_POINTS {
        (format!("`{path}` has {} points", points.len()), format!("expected 2 to {}", Cold::MOST_POINTS))
    } else if points[0].0 != 0 {
        (
            format!("`{path}` begins after {} requests", points[0].0),
            "expected 0, the first request".to_string(),
        )
    } else if points.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
        (format!("`{path}` goes back"), "expected more requests at each point".to_string())
    } else if points.iter().any(|point| point.1 < 1.0) {
        (format!("`{path}` is faster than warm"), "expected 1 or more times the usual CPU time".to_string())
    } else {
        let pair = |&(requests, slower): &(u32, f64)| {
            toml::Value::Array(vec![toml::Value::Integer(i64::from(requests)), toml::Value::Float(slower)])
        };
        table.resolve("cold_start", points.iter().map(pair).collect::<Vec<_>>());
        return Some(Cold { curve: points });
    };
    context.findings.error(&node.place, message, label, None);
    None
}

/// `{ every = 2000, pause = { lognormal = { mean = "8ms", cv = 0.5 } } }`
fn collector(context: &Context<'_>, table: &mut Reader<'_>, runtime: &Runtime) -> Option<Collector> {
    let path = table.path_of("garbage_collection");
    let node = table.node("garbage_collection")?;
    let threads = matches!(runtime.process, ProcessKind::Threads { .. } | ProcessKind::Async { .. });
    if threads && runtime.workers.is_some() {
        let message = "the threads of one process of several cannot be stopped without the others";
        let label = "leave this out, or let one process have all threads";
        context.findings.error(&node.place, message, label, None);
    }
    let mut options = Reader::new(context.findings, path.clone(), node);
    let every: Option<u32> = options.required("every");
    if every == Some(0) {
        let message = format!("`{}` is zero", options.path_of("every"));
        context.findings.error(&options.place_of("every"), message, "expected 1 or more", None);
    }
    if options.node("pause").is_none() {
        options.missing("pause", "how long it takes, such as \"10ms\"");
    }
    let pause = options.node("pause").and_then(|node| duration(context, &format!("{path}.pause"), node));
    if let Some((_, shown)) = &pause {
        options.resolve("pause", shown.clone());
    }
    table.resolve("garbage_collection", options.finish());
    Some(Collector { every: every?.max(1), pause: pause?.0 })
}

fn endpoint(
    context: &Context<'_>,
    names: &Names<'_>,
    path: &str,
    entry: &Entry,
    service: ServiceId,
) -> (Draft, toml::Table) {
    let path = format!("{path}.endpoint.\"{}\"", entry.key);
    let mut table = Reader::new(context.findings, path.clone(), &entry.node);
    let size = table.or("size", Size(SIZE)).0;
    // The request itself: its line and headers, and what is posted.
    let request_size = table.or("request_size", Size(REQUEST_SIZE.min(size / 2))).0;
    if request_size > size {
        let message = format!(
            "`{}` is more than `size`, which has the response as well",
            table.path_of("request_size")
        );
        context.findings.error(&table.place_of("request_size"), message, "expected a part of it", None);
    }
    let status = table.or("status", Status(200)).0;
    let errors = table.or("errors", 0.0);
    if errors > 1.0 {
        let message = format!("`{}` is {errors}", table.path_of("errors"));
        context.findings.error(&table.place_of("errors"), message, "expected a share from 0 to 1", None);
    }
    if table.node("steps").is_none() {
        table.missing("steps", "[{ cpu = \"5ms\" }, { wait = { exp = { mean = \"20ms\" } } }]");
    }
    let items = table.items("steps");
    if items.len() > Endpoint::MOST_STEPS {
        let message = format!("`{path}` has {} steps", items.len());
        context.findings.error(
            &table.place_of("steps"),
            message,
            format!("at most {}", Endpoint::MOST_STEPS),
            None,
        );
    }
    let (mut steps, mut calls, mut shown_steps) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.steps.{index}");
        let Some((kind, entry)) = choice(context.findings, &path, item, &STEPS) else { continue };
        let Some(entry) = entry else {
            let label = format!("expected `{{ {kind} = … }}`");
            context.findings.error(&item.place, format!("`{path}` does not say how much"), label, None);
            continue;
        };
        let shown = if kind == "call" {
            let mut call = Reader::new(context.findings, format!("{path}.call"), &entry.node);
            let (to, asks) = (call.required::<String>("to"), call.required::<String>("endpoint"));
            if let Some((to, asks)) = to.zip(asks) {
                calls.push((steps.len(), to, asks, entry.node.place.clone()));
            }
            steps.push(Step::Call { to: BalancerId(0), endpoint: EndpointId(0) });
            toml::Value::Table(call.finish())
        } else {
            let Some((step, shown)) = step(context, names, &path, kind, &entry.node) else { continue };
            steps.push(step);
            shown
        };
        shown_steps.push(toml::Value::Table(toml::Table::from_iter([(kind.to_string(), shown)])));
    }
    table.resolve("steps", shown_steps);
    let endpoint = Endpoint { name: entry.key.clone(), service, steps, size, request_size, status, errors };
    (Draft { endpoint, calls, place: entry.place.clone() }, table.finish())
}

/// A step that is no call, and how the resolved scenario shows it.
fn step(
    context: &Context<'_>,
    names: &Names<'_>,
    path: &str,
    kind: &str,
    node: &Node,
) -> Option<(Step, toml::Value)> {
    let path = format!("{path}.{kind}");
    match kind {
        "enqueue" => {
            let (sends, shown) = queue::enqueue(context, names, &path, node)?;
            Some((Step::Enqueue(sends), shown))
        }
        "generate" => {
            let (tokens, shown) = tokens::tokens(context, &path, node)?;
            Some((Step::Generate(tokens), shown))
        }
        "await_job" => {
            let most: Period = read(context.findings, &path, node)?;
            Some((Step::AwaitJob(most.0), most.show()))
        }
        _ => {
            let (dist, shown) = duration(context, &path, node)?;
            let step = match kind {
                "cpu" => Step::Cpu(dist),
                "pool" => Step::Pool(dist),
                "gpu" => Step::Gpu(dist),
                _ => Step::Wait(dist),
            };
            Some((step, shown))
        }
    }
}

/// Gives calls their targets, and looks for calls that lead back to where they started.
pub fn link(context: &Context<'_>, names: &Names<'_>, drafts: Vec<Draft>) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = drafts.iter().map(|draft| draft.endpoint.clone()).collect();
    for (index, draft) in drafts.iter().enumerate() {
        for (step, to, asks, place) in &draft.calls {
            let Some(to) = names.balancer(context, to, place) else { continue };
            let Some(endpoint) = names.endpoint_behind(context, to, asks, place, &endpoints) else {
                continue;
            };
            endpoints[index].steps[*step] = Step::Call { to, endpoint };
        }
    }
    if context.findings.clean() {
        for (index, draft) in drafts.iter().enumerate() {
            if let Some(cycle) = cycle_from(&endpoints, EndpointId(index as u16)) {
                let way: Vec<&str> = cycle.iter().map(|id| endpoints[id.index()].name.as_str()).collect();
                let message = format!("these calls lead in a circle: {}", way.join(" → "));
                context.findings.error(
                    &draft.place,
                    message,
                    "part of the circle",
                    Some("a request would never end".into()),
                );
            }
        }
    }
    endpoints
}

/// The way from an endpoint through calls back to itself, if there is one.
fn cycle_from(endpoints: &[Endpoint], start: EndpointId) -> Option<Vec<EndpointId>> {
    let mut seen = vec![false; endpoints.len()];
    let mut stack = vec![vec![start]];
    while let Some(way) = stack.pop() {
        let here = *way.last()?;
        for step in &endpoints[here.index()].steps {
            let &Step::Call { endpoint, .. } = step else { continue };
            let further: Vec<EndpointId> = way.iter().copied().chain([endpoint]).collect();
            if endpoint == start {
                return Some(further);
            }
            if !std::mem::replace(&mut seen[endpoint.index()], true) {
                stack.push(further);
            }
        }
    }
    None
}

/// Reads a list of strings.
pub fn strings(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    default: &[&str],
) -> Vec<String> {
    let given = table.node(key).is_some();
    let path = table.path_of(key);
    let read: Vec<String> =
        table.items(key).iter().filter_map(|item| read(context.findings, &path, item)).collect();
    if given && read.is_empty() {
        context.findings.error(
            &table.place_of(key),
            format!("`{path}` is empty"),
            "expected at least one name",
            None,
        );
    }
    for (index, name) in read.iter().enumerate() {
        if read[..index].contains(name) {
            let message = format!("`{path}` has `{name}` twice");
            context.findings.error(&table.place_of(key), message, "expected different names", None);
        }
    }
    let names = if read.is_empty() { default.iter().map(ToString::to_string).collect() } else { read };
    table.resolve(key, names.clone());
    names
}
