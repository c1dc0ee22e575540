//! What keeps load away: `shed` of a service, `rate_limit` and `circuit_breaker` of a balancer, `retry.budget` and `hedge` of a
//! source.

use sim_core::Span;

use super::Context;
use super::node::Node;
use super::reader::{Findings, Reader, choice, read};
use super::units::{Factor, Period, Positive, Rate};
use crate::plan::{
    Algorithm, CircuitBreaker, Hedge, HedgeAfter, Plan, ProcessKind, RateLimit, RetryBudget, Shed, Trip,
};

/// `shed = { above = 64 }`, `{ queue_time = "100ms" }` or both.
pub fn shed(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Shed> {
    let path = table.path_of("shed");
    let mut options = Reader::new(context.findings, path, table.node("shed")?);
    let above = options.optional::<u32>("above");
    at_least_one(context, &options, "above", above);
    let queue_time = options.optional::<Period>("queue_time").map(|time| time.0);
    if options.node("above").is_none() && options.node("queue_time").is_none() {
        options.missing("above", "so many requests inside an instance, or `queue_time`: so long a wait");
    }
    let cpu = options.or("cpu", Span::ZERO);
    table.resolve("shed", options.finish());
    Some(Shed { above, queue_time, cpu })
}

/// `rate_limit = { rate = "500/s", burst = 1000 }`
pub fn rate_limit(context: &Context<'_>, table: &mut Reader<'_>) -> Option<RateLimit> {
    let path = table.path_of("rate_limit");
    let mut options = Reader::new(context.findings, path, table.node("rate_limit")?);
    let rate = options.required::<Rate>("rate");
    if rate.is_some_and(|rate| rate.0 == 0.0) {
        let message = "a rate limit of no requests";
        context.findings.error(&options.place_of("rate"), message, "expected more than 0/s", None);
    }
    // What comes in a second, where the scenario says nothing.
    let burst = options.or("burst", rate.map_or(1, |rate| rate.0.ceil().clamp(1.0, 1e9) as u32));
    at_least_one(context, &options, "burst", Some(burst));
    table.resolve("rate_limit", options.finish());
    Some(RateLimit { rate: rate?.0, burst: burst.max(1) })
}

/// `circuit_breaker = { max_requests = 1024 }`, `{ failure_rate = 0.5 }` or both.
pub fn circuit_breaker(context: &Context<'_>, table: &mut Reader<'_>) -> Option<CircuitBreaker> {
    const TRIP: [&str; 7] =
        ["failure_rate", "slow_call", "slow_rate", "window", "minimum", "open_for", "trial_requests"];
    let path = table.path_of("circuit_breaker");
    let mut options = Reader::new(context.findings, path, table.node("circuit_breaker")?);
    let max_requests = options.optional::<u32>("max_requests");
    at_least_one(context, &options, "max_requests", max_requests);
    let trips = TRIP.map(|key| options.node(key).is_some()).contains(&true);
    if !trips && options.node("max_requests").is_none() {
        options
            .missing("failure_rate", "the share of calls that may fail, or `max_requests`: so many at once");
    }
    let trip = trips.then(|| trip(context, &mut options));
    table.resolve("circuit_breaker", options.finish());
    Some(CircuitBreaker { max_requests, trip })
}

/// Defaults are resilience4j's.
fn trip(context: &Context<'_>, options: &mut Reader<'_>) -> Trip {
    let mut share = |key: &'static str, usual: f64| {
        let share = options.or(key, Positive(usual)).0;
        if share > 1.0 {
            let message = format!("`{}` is {share}", options.path_of(key));
            let help = Some("it is a share of all calls: 0.5 is half of them".to_string());
            context.findings.error(&options.place_of(key), message, "expected more than 0, at most 1", help);
        }
        share
    };
    let (failure_rate, slow_rate) = (share("failure_rate", 0.5), share("slow_rate", 1.0));
    let slow_call = options.or("slow_call", Period(Span::from_secs(60))).0;
    let mut calls = |key: &'static str, usual: u32| {
        let calls = options.or(key, usual);
        if !(1..=Trip::MOST_CALLS).contains(&calls) {
            let message = format!("`{}` is {calls}", options.path_of(key));
            let label = format!("expected 1 to {}", Trip::MOST_CALLS);
            context.findings.error(&options.place_of(key), message, label, None);
        }
        calls.clamp(1, Trip::MOST_CALLS)
    };
    let window = calls("window", 100);
    let (minimum, trial_requests) = (calls("minimum", window.min(100)), calls("trial_requests", 10));
    if minimum > window {
        let message = format!("a minimum of {minimum} calls never comes together in a window of {window}");
        context.findings.error(&options.place_of("minimum"), message, "expected at most the window", None);
    }
    let open_for = options.or("open_for", Period(Span::from_secs(60))).0;
    Trip { failure_rate, slow_call, slow_rate, window, minimum, open_for, trial_requests }
}

/// `retry = { max = 3, budget = { ratio = 0.2, per_second = 10, ttl = "10s" } }`; defaults are Finagle's.
pub fn budget(context: &Context<'_>, retry: &mut Reader<'_>, max: u32) -> Option<RetryBudget> {
    let path = retry.path_of("budget");
    let node = retry.node("budget")?;
    if max == 0 {
        let help = Some("`max` is 0 unless the scenario says how often to retry".to_string());
        context.findings.error(
            &node.place,
            format!("`{path}` is for retries, and there are none"),
            "add `max`",
            help,
        );
    }
    let mut options = Reader::new(context.findings, path, node);
    let within = |options: &Reader<'_>, key: &str, good: bool, label: String| {
        if !good {
            let message = format!("`{}` is out of range", options.path_of(key));
            context.findings.error(&options.place_of(key), message, label, None);
        }
    };
    let [least, most] = [RetryBudget::LEAST_RATIO, RetryBudget::MOST_RATIO];
    let ratio = options.or("ratio", Positive(0.2)).0;
    within(&options, "ratio", (least..=most).contains(&ratio), format!("expected {least} to {most}"));
    let per_second = options.or("per_second", 10u32);
    let most = RetryBudget::MOST_PER_SECOND;
    within(&options, "per_second", per_second <= most, format!("expected 0 to {most}"));
    let [least, most] = RetryBudget::TTL;
    let ttl = options.or("ttl", Span::from_secs(10));
    within(&options, "ttl", (least..=most).contains(&ttl), format!("expected {least} to {most}"));
    retry.resolve("budget", options.finish());
    Some(RetryBudget { ratio, per_second, ttl })
}

/// `hedge = { after = "200ms" }`, or `{ after = { percentile = 95 } }`.
pub fn hedge(context: &Context<'_>, table: &mut Reader<'_>, timeout: Option<Span>) -> Option<Hedge> {
    let path = table.path_of("hedge");
    let mut options = Reader::new(context.findings, path.clone(), table.node("hedge")?);
    let after = options.node("after").and_then(|node| hedge_after(context, &mut options, node, timeout));
    if options.node("after").is_none() {
        options.missing(
            "after",
            "how long to wait for the first answer, such as \"200ms\" or { percentile = 95 }",
        );
    }
    let most = options.or("most", 1u32);
    if !(1..=u32::from(Hedge::MOST)).contains(&most) {
        let label = format!("expected 1 to {}", Hedge::MOST);
        context.findings.error(&options.place_of("most"), format!("`{path}.most` is {most}"), label, None);
    }
    table.resolve("hedge", options.finish());
    Some(Hedge { after: after?, most: most.clamp(1, u32::from(Hedge::MOST)) as u8 })
}

fn hedge_after(
    context: &Context<'_>,
    options: &mut Reader<'_>,
    node: &Node,
    timeout: Option<Span>,
) -> Option<HedgeAfter> {
    let path = options.path_of("after");
    if let super::node::Value::String(_) = node.value {
        let delay = options.optional::<Period>("after")?.0;
        if timeout.is_some_and(|timeout| delay >= timeout) {
            let message = format!("a hedge after {delay}, when the client has given up after {}", timeout?);
            context.findings.error(&node.place, message, "expected less than the `timeout`", None);
        }
        return Some(HedgeAfter::Delay(delay));
    }
    let (_, entry) = choice(context.findings, &path, node, &["percentile"])?;
    let percentile: Factor = read(context.findings, &format!("{path}.percentile"), &entry?.node)?;
    if !(percentile.0 > 0.0 && percentile.0 < 100.0) {
        let message = format!("there is no percentile {}", percentile.0);
        context.findings.error(&entry?.node.place, message, "expected more than 0, less than 100", None);
    }
    let shown = toml::Table::from_iter([("percentile".to_string(), toml::Value::Float(percentile.0))]);
    options.resolve("after", shown);
    Some(HedgeAfter::Percentile((percentile.0 / 100.0).clamp(1e-6, 1.0 - 1e-6)))
}

/// Notes limits that are never reached and hedges that help nobody.
pub fn surprises(findings: &Findings, plan: &Plan) {
    for service in &plan.services {
        let above = service.shed.and_then(|shed| shed.above);
        let ProcessKind::Threads { threads: Some(threads), accept_queue, .. } = service.runtime.process
        else {
            continue;
        };
        let most = threads.saturating_add(accept_queue);
        if let Some(above) = above.filter(|&above| above >= most && service.runtime.workers.is_none()) {
            findings.note(format!(
                "service `{}` never sheds load above {above} requests: its {threads} threads and its queue hold {most}",
                service.name
            ));
        }
    }
    for traffic in plan.traffic.iter().filter(|traffic| traffic.hedge.is_some()) {
        let balancer = &plan.balancers[traffic.to.index()];
        if matches!(balancer.algorithm, Algorithm::Hash(_)) || balancer.stickiness.is_some() {
            findings.note(format!(
                "traffic `{}` hedges, and balancer `{}` sends all attempts of a client to the same target",
                traffic.name, balancer.name
            ));
        }
    }
}

/// A count that must not be zero, where it is given.
fn at_least_one(context: &Context<'_>, options: &Reader<'_>, key: &str, count: Option<u32>) {
    if count == Some(0) {
        let message = format!("`{}` is zero", options.path_of(key));
        context.findings.error(&options.place_of(key), message, "expected 1 or more", None);
    }
}
