//! How new versions come to instances: start-up scripts, launch template versions, instance refreshes, and cruder ways.

mod at_random;
mod blue_green;
mod refresh;
mod rolling;
mod startup;
mod versions;

use scalesim::results::{Activity, ActivityKind, Results, VersionResult};
use scalesim::{Experiment, Scenario};

/// Plays a group whose requests take 10 ms of CPU on machines with one vCPU. Instances start within 20 s unless `group`
/// says otherwise.
fn play(duration: &str, rate: &str, group: &str, rest: &str) -> Results {
    let scenario = scenario(duration, rate, group, rest).unwrap_or_else(|errors| panic!("{errors}"));
    Experiment::new(&scenario).run()
}

fn scenario(
    duration: &str,
    rate: &str,
    group: &str,
    rest: &str,
) -> Result<Scenario, scalesim::scenario::Diagnostics> {
    let startup = match group.contains("startup") {
        true => "",
        false => "startup = { provision = \"5s\", boot = \"10s\", app = \"5s\" }",
    };
    let balancer = match rest.contains("[balancer.b]") {
        true => "",
        false => {
            "[balancer.b]\ntargets = \"g\"\nderegistration_delay = \"20s\"\nhealth_check = { interval = \"5s\", timeout = \"2s\" }"
        }
    };
    Scenario::parse(&format!(
        r#"
        [scenario]
        duration = "{duration}"
        [traffic.t]
        to = "b"
        profile = {{ constant = "{rate}" }}
        timeout = "5s"
        [service.s]
        runtime = {{ thread-per-request = {{ most = 100 }} }}
        endpoint.e.steps = [{{ cpu = "10ms" }}]
        [machine.one]
        vcpus = 1
        hourly = 1.0
        [machine.two]
        vcpus = 2
        hourly = 2.0
        [group.g]
        service = "s"
        machine = "one"
        {startup}
        {group}
        {balancer}
        {rest}
        "#
    ))
}

fn of_kind(results: &Results, kind: ActivityKind) -> Vec<&Activity> {
    results.run.activities.iter().filter(|activity| activity.kind == kind).collect()
}

/// Minute of each activity of a kind.
fn minutes(results: &Results, kind: ActivityKind) -> Vec<u64> {
    of_kind(results, kind).iter().map(|activity| (activity.at / 60.0) as u64).collect()
}

fn told(results: &Results, words: &str) -> usize {
    results.run.activities.iter().filter(|activity| activity.description.contains(words)).count()
}

fn version<'a>(results: &'a Results, name: &str) -> &'a VersionResult {
    results.run.versions.iter().find(|version| version.version == name).unwrap()
}

fn launched(results: &Results, version: &str) -> u64 {
    self::version(results, version).launched
}
