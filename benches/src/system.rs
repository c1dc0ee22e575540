//! The whole product.

use scalesim::{Experiment, Scenario};

/// A request that needs a core once, and then waits.
pub const ONE_BURST: &str = r#"{ cpu = { exp = { mean = "4ms" } } }, { wait = { exp = { mean = "5ms" } } }"#;
/// A request that needs a core before and after its wait.
pub const TWO_BURSTS: &str = r#"{ cpu = { exp = { mean = "2ms" } } }, { wait = { exp = { mean = "5ms" } } }, { cpu = { exp = { mean = "2ms" } } }"#;

/// Fifty instances of eight cores at 60 % utilisation, for so many seconds. Each request has a timeout, is balanced, does
/// its `steps`, and is measured.
pub fn fifty_instances(steps: &str, seconds: f64) -> Scenario {
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

/// Plays it, and says how many requests were answered.
pub fn requests(scenario: &Scenario) -> u64 {
    Experiment::new(scenario).run().run.requests.completed
}
