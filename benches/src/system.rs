//! The whole product.

use scalesim::{Experiment, NoFiles, Scenario};

/// A request that needs a core once, and then waits.
pub const ONE_BURST: &str = r#"{ cpu = { exp = { mean = "4ms" } } }, { wait = { exp = { mean = "5ms" } } }"#;
/// A request that needs a core before and after its wait.
pub const TWO_BURSTS: &str = r#"{ cpu = { exp = { mean = "2ms" } } }, { wait = { exp = { mean = "5ms" } } }, { cpu = { exp = { mean = "2ms" } } }"#;

/// Fifty instances of eight cores at 60 % utilisation, for so many seconds. Each request has a timeout, is balanced, does
/// its `steps`, and is measured.
pub fn fifty_instances(steps: &str, scheduler: &str, seconds: f64) -> Scenario {
    let text = format!(
        r#"
        [scenario]
        duration = "{seconds}s"
        [traffic.web]
        to = "front"
        profile = {{ constant = "60k/s" }}
        timeout = "1s"
        [service.api]
        runtime = "thread-per-request"
        [service.api.endpoint.x]
        steps = [{steps}]
        [machine.eight]
        vcpus = 8
        scheduler = "{scheduler}"
        [group.web]
        service = "api"
        machine = "eight"
        min = 50
        [balancer.front]
        targets = "web"
        "#
    );
    Scenario::parse(&text).expect("the scenario is sound")
}

/// A quarter of an hour of the day cycle's evening, the flash crowd included, with a scheduler.
pub fn evening(scheduler: &str) -> Scenario {
    let overrides = [
        ("scenario.start", "2026-11-27T20:25:00+05:30[Asia/Kolkata]".to_string()),
        ("scenario.duration", "15min".to_string()),
        ("incident", "[]".to_string()),
        ("group.web.desired", "4".to_string()),
        ("group.web.machine", "m".to_string()),
        ("machine.m", format!("{{ like = \"c7g.large\", scheduler = \"{scheduler}\" }}")),
    ];
    let overrides = overrides.map(|(path, value)| (path.to_string(), value));
    let day = include_str!("../../examples/day-cycle.toml");
    Scenario::read("day-cycle.toml", day, &overrides, &NoFiles).expect("the example is sound")
}

/// Plays it, and says how many requests were answered.
pub fn requests(scenario: &Scenario) -> u64 {
    Experiment::new(scenario).run().run.requests.completed
}
