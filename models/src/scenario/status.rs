//! `[traffic.NAME.status]`: how those who submitted a job find out that it is done.

use std::sync::Arc;

use sim_core::Span;
use sim_core::dist::Dist;

use super::dist::duration;
use super::lifecycle::choose;
use super::node::{Entry, Node, Value};
use super::queue::{share, within};
use super::reader::Reader;
use super::units::Period;
use super::worker::{backoff, multiplier, no_shorter};
use super::{Context, Names};
use crate::plan::{
    Backoff, BalancerId, Channel, Endpoint, EndpointId, JobStatus, Plan, PollClock, Retry, Traffic, TrafficId,
};
use crate::traffic::{Arrivals, RateArrivals, RateFunction};

const CHANNELS: [&str; 4] = ["poll", "long_poll", "push", "webhook"];
/// The most calls of a webhook for one job.
const MOST_CALLS: u32 = 1_000;

/// Reads the key, where it is there; the inner `None` is a source that does not ask.
pub fn status(
    context: &Context<'_>,
    names: &Names<'_>,
    traffic: &mut Reader<'_>,
    name: &str,
    to: Option<BalancerId>,
    endpoints: &[Endpoint],
) -> Option<Option<JobStatus>> {
    let path = traffic.path_of("status");
    let Some(node) = traffic.node("status") else { return Some(None) };
    let mut table = Reader::new(context.findings, path, node);
    let channel = channel(context, names, &mut table, to, endpoints);
    let patience = table.optional::<Period>("patience").map(|period| period.0);
    traffic.resolve("status", table.finish());
    let source = names.status_of(name)?;
    Some(Some(JobStatus { channel: channel?, source, patience }))
}

/// The one key that says the way.
fn channel(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
    to: Option<BalancerId>,
    endpoints: &[Endpoint],
) -> Option<Channel> {
    let given: Vec<(&str, &Node)> =
        CHANNELS.into_iter().filter_map(|key| table.node(key).map(|node| (key, node))).collect();
    let [(key, node)] = given[..] else {
        match given.get(1) {
            Some((second, node)) => {
                let message = format!("clients learn of their jobs by both `{}` and `{second}`", given[0].0);
                context.findings.error(&node.place, message, "one too many", None);
            }
            None => {
                table.missing("poll", &format!("exactly one of {}", super::diagnostic::list(&CHANNELS)));
            }
        }
        return None;
    };
    let mut options = Reader::new(context.findings, table.path_of(key), node);
    let asked = |options: &mut Reader<'_>, name: Option<String>| {
        let (to, name) = (to?, name?);
        names.endpoint_behind(context, to, &name, &options.place_of("endpoint"), endpoints)
    };
    let channel = match key {
        "poll" => {
            let name = options.required("endpoint");
            let endpoint = asked(&mut options, name);
            let every = every(context, &mut options);
            let clock = clock(context, &mut options);
            endpoint.zip(every).map(|(endpoint, every)| Channel::Poll { endpoint, every, clock })
        }
        "long_poll" => {
            let name = options.required("endpoint");
            let endpoint = asked(&mut options, name);
            let pause = options.or("pause", Span::ZERO);
            endpoint.map(|endpoint| Channel::LongPoll { endpoint, pause })
        }
        "push" => {
            let name: Option<String> = options.optional("endpoint");
            let endpoint = match name {
                None => Some(None),
                name => asked(&mut options, name).map(Some),
            };
            let takes = takes(context, &mut options, Some("50ms"));
            endpoint.zip(takes).map(|(endpoint, takes)| Channel::Push { endpoint, takes })
        }
        _ => {
            let takes = takes(context, &mut options, None);
            let fails = share(context, &mut options, "fails");
            let retries = options.or("retries", 3u32);
            within(context, &options, "retries", retries, [0, MOST_CALLS]);
            let retry = backoff(context, &mut options);
            takes.map(|takes| Channel::Webhook { takes, fails, retry, retries })
        }
    };
    table.resolve(key, options.finish());
    channel
}

/// `every = "2s", multiplier = 1, every_max = "2s", jitter = false`
fn every(context: &Context<'_>, options: &mut Reader<'_>) -> Option<Backoff> {
    let first = options.required::<Period>("every").map(|period| period.0);
    let multiplier = multiplier(context, options, 1.0);
    let max = options.or("every_max", first.unwrap_or(Span::from_secs(1)));
    if let Some(first) = first {
        no_shorter(context, options, ("every_max", max), ("every", first));
        if multiplier > 1.0 && max == first {
            let message = format!("`{}` has no effect", options.path_of("multiplier"));
            let help = Some("say how long waits may become, `every_max = \"30s\"`".to_string());
            context.findings.error(&options.place_of("multiplier"), message, "waits stay as they are", help);
        }
    }
    let jitter = options.or("jitter", false);
    Some(Backoff { first: first?, multiplier, max, jitter })
}

fn clock(context: &Context<'_>, options: &mut Reader<'_>) -> PollClock {
    let known = [
        ("answer", PollClock::Answer),
        ("submission", PollClock::Submission),
        ("free-running", PollClock::FreeRunning),
    ];
    choose(context, options, "clock", &known, known[0])
}

/// How long the way to a client takes.
fn takes(context: &Context<'_>, options: &mut Reader<'_>, usual: Option<&str>) -> Option<Dist> {
    let usual =
        usual.map(|usual| Node { place: options.place().clone(), value: Value::String(usual.into()) });
    let Some(node) = options.node("takes").or(usual.as_ref()) else {
        options.missing("takes", "how long a call takes, such as \"200ms\"");
        return None;
    };
    let (dist, shown) = duration(context, &options.path_of("takes"), node)?;
    options.resolve("takes", shown);
    Some(dist)
}

/// The source that the questions of a source's clients count as: `X status`. Nobody arrives at it: what it sends is due to
/// jobs. What goes to clients without a request leaves it idle.
pub fn source(of: &Traffic) -> Option<Traffic> {
    let status = of.status.as_ref()?;
    let asked = asks(&status.channel);
    let nobody = RateFunction::default();
    Some(Traffic {
        name: source_name(&of.name),
        to: of.to,
        arrivals: Arrivals::Rate(RateArrivals::new(Arc::new(nobody.clone()), 1.0).ok()?),
        expected: nobody,
        doubtful: Vec::new(),
        mix: asked.map_or_else(|| of.mix.clone(), |endpoint| vec![(endpoint, 1.0)]),
        timeout: of.timeout,
        retry: Retry::NONE,
        retry_budget: None,
        hedge: None,
        clients: of.clients,
        sessions: None,
        clients_per_address: of.clients_per_address,
        connections: of.connections,
        network: of.network,
        status: None,
    })
}

/// What such a source is called.
fn source_name(of: &str) -> String {
    format!("{of} status")
}

/// The names of such sources, in their order, and of which source each is. They come after all that the scenario states.
pub fn sources(context: &Context<'_>, traffic: &[Entry]) -> Vec<String> {
    let has = |entry: &&Entry| match &entry.node.value {
        Value::Table(keys) => keys.iter().any(|key| key.key == "status"),
        _ => false,
    };
    let names: Vec<String> = traffic.iter().filter(has).map(|entry| source_name(&entry.key)).collect();
    for entry in traffic.iter().filter(|entry| names.contains(&entry.key)) {
        let message =
            format!("`{}` is what the questions of another source for its jobs are called", entry.key);
        context.findings.error(&entry.place, message, "give it another name", None);
    }
    names
}

impl Names<'_> {
    /// The source that questions of a source count as, where it has a `status`.
    fn status_of(&self, traffic: &str) -> Option<TrafficId> {
        self.status_source(&source_name(traffic))
    }

    /// The source of questions with a name.
    pub fn status_source(&self, name: &str) -> Option<TrafficId> {
        let at = self.statuses.iter().position(|other| other == name)?;
        u16::try_from(self.traffic.len() + at).ok().map(TrafficId)
    }
}

/// Each job is asked for once at least: that is the rate that sources of questions are expected at, before a run.
pub fn expect(plan: &mut Plan) {
    let jobs = plan.jobs_per_request();
    for index in 0..plan.traffic.len() {
        let traffic = &plan.traffic[index];
        let Some(status) = &traffic.status else { continue };
        if asks(&status.channel).is_none() {
            continue;
        }
        let each: f64 = traffic.mix.iter().map(|&(endpoint, share)| share * jobs[endpoint.index()]).sum();
        let (source, rate) = (status.source, traffic.expected.clone().scaled(each));
        plan.traffic[source.index()].expected = rate;
    }
}

/// The endpoint that clients ask for, where they ask.
fn asks(channel: &Channel) -> Option<EndpointId> {
    match *channel {
        Channel::Poll { endpoint, .. } | Channel::LongPoll { endpoint, .. } => Some(endpoint),
        Channel::Push { endpoint, .. } => endpoint,
        Channel::Webhook { .. } => None,
    }
}
