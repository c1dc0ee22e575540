//! Step and simple scaling, cooldowns, alarms and metrics.

mod chains;
mod metrics;
mod random;
mod vectors;

use scalesim::results::{ActivityKind, Results};
use scalesim::{Experiment, Scenario};

/// A group of machines with one vCPU whose requests take 10 ms of it, with detailed monitoring and datapoints that are seen a
/// minute late. Arrivals are regular, so that CPU utilisation is what the rate makes it.
fn scenario(duration: &str, rate: &str, group: &str, rest: &str) -> Scenario {
    let monitoring = if group.contains("monitoring") { "" } else { "monitoring = \"detailed\"" };
    let startup = if group.contains("startup") {
        ""
    } else {
        "startup = { provision = \"20s\", boot = \"10s\", app = \"10s\" }"
    };
    let text = format!(
        r#"
        [scenario]
        duration = "{duration}"
        [traffic.t]
        to = "b"
        profile = {rate}
        [service.s]
        runtime = {{ thread-per-request = {{ most = 200 }} }}
        [service.s.endpoint.e]
        steps = [{{ cpu = "10ms" }}]
        [machine.one]
        vcpus = 1
        [group.g]
        service = "s"
        machine = "one"
        {monitoring}
        {startup}
        {group}
        [balancer.b]
        targets = "g"
        health_check = {{ interval = "10s", timeout = "5s" }}
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
