//! How many instances does the evening need? Plays the same hour with fleets of several sizes and prints what each costs.
//!
//! ```text
//! cargo run --release -p scalesim-examples --example sweep
//! ```

use std::error::Error;

use scalesim::experiment::sweep::{Design, Shard, Sweep};
use scalesim::{Draft, NoFiles, Watch};

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

fn main() -> Result<(), Box<dyn Error>> {
    let draft = Draft::new("hour.toml", HOUR, &NoFiles);
    let sweep = Sweep::new(&draft, &["group.web.min=2..6".parse()?], Design::Grid, 1)?;
    let results = sweep.run(Shard::ALL, Watch::default())?;
    println!("instances   p99        CPU    violated   an hour costs");
    for cell in &results.cells {
        let figure = |name| cell.result.figure(name).map_or(0.0, |figure| figure.mean);
        println!(
            "{:>9}   {:>6.1} ms   {:>2.0} %   {:>3} min   ${:.2}",
            cell.result.values.concat(),
            1e3 * figure("response time p99"),
            figure("web: CPU"),
            figure("violation"),
            figure("cost")
        );
    }
    Ok(())
}
