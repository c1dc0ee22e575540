//! How many instances does the evening need? Plays the same hour with fleets of several sizes and prints what each costs.
//!
//! ```text
//! cargo run --release -p scalesim-examples --example sweep
//! ```

use scalesim::{Diagnostics, Experiment, NoFiles, Scenario};

const HOUR: &str = r#"
[scenario]
duration = "1h"

[traffic.web]
to = "front"
profile = { constant = "700/s" }

[service.api]
runtime = { thread-pool = { threads = 50, accept_queue = 100 } }

[service.api.endpoint."GET /"]
steps = [{ cpu = { lognormal = { mean = "6ms", cv = 1.0 } } }, { wait = { exp = { mean = "10ms" } } }]

[group.web]
service = "api"
machine = "c7g.large"
min = 2

[balancer.front]
targets = "web"
algorithm = "power-of-two-choices"

[[sla]]
objective = "p99 <= 100ms"

[cost]
prices = "aws-us-east-1"
"#;

fn main() -> Result<(), Diagnostics> {
    println!("instances   p99        CPU    violated   an hour costs");
    for size in 2..=6 {
        let overrides = [("group.web.min".to_string(), size.to_string())];
        let scenario = Scenario::read("hour.toml", HOUR, &overrides, &NoFiles)?;
        let run = Experiment::new(&scenario).run().run;
        println!(
            "{size:>9}   {:>6.1} ms   {:>2.0} %   {:>3} min   ${:.2}",
            1e3 * run.response_time.p99,
            run.groups[0].cpu,
            run.objectives[0].violation_minutes,
            run.bill.map_or(0.0, |bill| bill.total)
        );
    }
    Ok(())
}
