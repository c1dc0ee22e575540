//! Step and simple scaling, cooldowns, alarms and metrics.

mod chains;
mod metrics;
mod random;
mod vectors;

use scalesim::results::{ActivityKind, Results};
use scalesim::{Experiment, Scenario};

/// A group of machines with one vCPU whose requests take 10 ms of it, with detailed monitoring and datapoints that are seen a
/// minute late. So many arrivals a minute make CPU utilisation what the rate says, within a percent.
fn scenario(duration: &str, rate: &str, group: &str, rest: &str) -> Scenario {
    scenario_of("[{ cpu = \"10ms\" }]", duration, rate, group, rest)
}

/// The same with these steps of a request; `size = "…"` and its like may follow them.
fn scenario_of(steps: &str, duration: &str, rate: &str, group: &str, rest: &str) -> Scenario {
    let monitoring = if group.contains("monitoring") { "" } else { "monitoring = \"detailed\"" };
    let startup = if group.contains("startup") {
        ""
    } else {
        "startup = { provision = \"20s\", boot = \"10s\", app = \"10s\" }"
    };
    let draining = if rest.contains("deregistration_delay") { "" } else { "deregistration_delay = \"60s\"" };
    let text = format!(
        r#"
        [scenario]
        duration = "{duration}"
        [traffic.t]
        to = "b"
        profile = {rate}
        [service.s]
        runtime = {{ thread-per-request = {{ most = 400 }} }}
        [service.s.endpoint.e]
        steps = {steps}
        [machine.one]
        vcpus = 1
        memory = "2 GiB"
        [group.g]
        service = "s"
        machine = "one"
        {monitoring}
        {startup}
        {group}
        [balancer.b]
        targets = "g"
        health_check = {{ interval = "10s", timeout = "5s", unhealthy = 10 }}
        {draining}
        {rest}
        "#
    );
    Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn play(duration: &str, rate: &str, group: &str, rest: &str) -> Results {
    Experiment::new(&scenario(duration, rate, group, rest)).run()
}

/// Second and desired capacity of each change.
fn sizes(results: &Results) -> Vec<(u64, u32)> {
    let changes = results.run.activities.iter().filter(|activity| {
        use ActivityKind::{Manual, ScaleIn, ScaleOut, Scheduled};
        matches!(activity.kind, Manual | ScaleIn | ScaleOut | Scheduled)
    });
    changes.map(|activity| (activity.at as u64, activity.desired)).collect()
}

/// What policies said when they did not act: first and last second, how often, and the words.
fn waits<'a>(results: &'a Results, words: &'a str) -> Vec<(u64, u64, u64)> {
    let log = results.run.activities.iter().filter(|activity| activity.kind == ActivityKind::NoAction);
    let those = log.filter(|activity| activity.description.contains(words));
    those.map(|activity| (activity.at as u64, activity.until as u64, activity.times)).collect()
}
