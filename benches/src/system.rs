//! The whole product.

use scalesim::{Experiment, Scenario};

/// Fifty instances of eight cores, each request with a timeout, two CPU steps that share the cores, and one wait; at
/// about 60 % utilisation, for so many seconds.
pub fn fifty_instances(seconds: f64) -> Scenario {
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
        steps = [{{ cpu = {{ exp = {{ mean = "2ms" }} }} }}, {{ wait = {{ exp = {{ mean = "5ms" }} }} }}, {{ cpu = {{ exp = {{ mean = "2ms" }} }} }}]
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
