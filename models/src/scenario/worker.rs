//! `[group.NAME.worker]`: what a group's instances take from a queue, and how.

use sim_core::Span;
use sim_core::dist::Dist;

use super::dist::duration;
use super::queue::{share, within};
use super::reader::Reader;
use super::units::{Period, Positive};
use super::{Context, Names};
use crate::plan::{Backoff, Endpoint, EndpointId, Load, ServiceId, Worker};

/// Reads the key, where it is there; the inner `None` is a group that gets requests.
///
/// `{ queue = "jobs", job = "render", concurrency = 1, idempotent = false, poison = 0, retry = { … }, timeout = "10min",
/// deadline = "1h", checkpoint = "1min", stop_grace = "0s" }`
pub fn worker(
    context: &Context<'_>,
    names: &Names<'_>,
    group: &mut Reader<'_>,
    service: Option<ServiceId>,
    endpoints: &[Endpoint],
) -> Option<Option<Worker>> {
    let path = group.path_of("worker");
    let Some(node) = group.node("worker") else { return Some(None) };
    let mut table = Reader::new(context.findings, path, node);
    let queue = table.required::<String>("queue");
    let queue = queue.and_then(|name| names.queue(context, &name, &table.place_of("queue")));
    let job = table.required::<String>("job");
    let job = job.zip(service).and_then(|(name, service)| {
        names.endpoint_of(context, service, &name, &table.place_of("job"), endpoints)
    });
    let concurrency = table.or("concurrency", 1u32);
    within(context, &table, "concurrency", concurrency, [1, Worker::MOST_CONSUMERS]);
    let idempotent = table.or("idempotent", false);
    let poison = share(context, &mut table, "poison");
    let retry = retry(context, &mut table);
    let mut period = |key: &'static str| table.optional::<Period>(key).map(|period| period.0);
    let (timeout, checkpoint) = (period("timeout"), period("checkpoint"));
    let deadline = deadline(context, &mut table);
    let load = load(context, &mut table);
    let stop_grace = table.or("stop_grace", Span::ZERO);
    group.resolve("worker", table.finish());
    Some(Some(Worker {
        queue: queue?,
        job: job?,
        concurrency,
        idempotent,
        poison,
        retry,
        timeout,
        deadline: deadline?,
        checkpoint,
        load: load?,
        stop_grace,
    }))
}

/// `deadline = "1h"`, or a distribution: each job has its own then.
fn deadline(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Option<Dist>> {
    let path = table.path_of("deadline");
    let Some(node) = table.node("deadline") else { return Some(None) };
    let (deadline, shown) = duration(context, &path, node)?;
    table.resolve("deadline", shown);
    Some(Some(deadline))
}

/// `load = { takes = "40s", keep = "5min" }`; without `keep` what is loaded stays.
fn load(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Option<Load>> {
    let path = table.path_of("load");
    let Some(node) = table.node("load") else { return Some(None) };
    let mut options = Reader::new(context.findings, path.clone(), node);
    let takes = options.node("takes");
    if takes.is_none() {
        options.missing("takes", "how long it takes, such as \"40s\"");
    }
    let takes = takes.and_then(|node| duration(context, &format!("{path}.takes"), node));
    if let Some((_, shown)) = &takes {
        options.resolve("takes", shown.clone());
    }
    let keep = options.optional::<Span>("keep");
    table.resolve("load", options.finish());
    Some(Some(Load { takes: takes?.0, keep }))
}

/// `retry = { backoff = "1s", multiplier = 2, max_backoff = "5min", jitter = true }`; left out, a worker tells the queue
/// nothing of a job that failed.
fn retry(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Backoff> {
    let path = table.path_of("retry");
    let mut options = Reader::new(context.findings, path, table.node("retry")?);
    let backoff = backoff(context, &mut options);
    table.resolve("retry", options.finish());
    Some(backoff)
}

/// The four keys of waits between tries.
pub fn backoff(context: &Context<'_>, options: &mut Reader<'_>) -> Backoff {
    let first = options.or("backoff", Span::from_secs(1));
    let multiplier = multiplier(context, options, 2.0);
    let max = options.or("max_backoff", Span::from_secs(300).max(first));
    no_shorter(context, options, ("max_backoff", max), ("backoff", first));
    let jitter = options.or("jitter", true);
    Backoff { first, multiplier, max, jitter }
}

/// How many times as long each further wait is.
pub fn multiplier(context: &Context<'_>, options: &mut Reader<'_>, usual: f64) -> f64 {
    let multiplier = options.or("multiplier", Positive(usual)).0;
    if multiplier < 1.0 {
        let message = format!("`{}` is {multiplier}", options.path_of("multiplier"));
        let label = "expected 1 or more: waits do not get shorter";
        context.findings.error(&options.place_of("multiplier"), message, label, None);
    }
    multiplier.max(1.0)
}

/// The longest wait is at least the first.
pub fn no_shorter(
    context: &Context<'_>,
    options: &Reader<'_>,
    (key, longest): (&str, Span),
    (of, first): (&str, Span),
) {
    if longest < first {
        let message = format!("`{}` is {longest}, and `{of}` is {first}", options.path_of(key));
        context.findings.error(&options.place_of(key), message, "expected at least the first wait", None);
    }
}

impl Names<'_> {
    /// An endpoint of a service.
    pub fn endpoint_of(
        &self,
        context: &Context<'_>,
        service: ServiceId,
        name: &str,
        place: &super::diagnostic::Place,
        endpoints: &[Endpoint],
    ) -> Option<EndpointId> {
        let all = || (0u16..).map(EndpointId).zip(endpoints);
        let own = || all().filter(|(_, endpoint)| endpoint.service == service);
        if let Some((id, _)) = own().find(|(_, endpoint)| endpoint.name == name) {
            return Some(id);
        }
        let known: Vec<&str> = own().map(|(_, endpoint)| endpoint.name.as_str()).collect();
        let elsewhere = all().find(|(_, endpoint)| endpoint.name == name);
        let elsewhere = elsewhere
            .map(|(_, endpoint)| format!("`{name}` is of service `{}`", self.service_name(endpoint.service)));
        let help = elsewhere.unwrap_or_else(|| super::diagnostic::nearest_or_all(name, &known));
        let message = format!("service `{}` has no endpoint `{name}`", self.service_name(service));
        context.findings.error(place, message, "unknown endpoint", Some(help));
        None
    }
}
