//! Vertical scaling: the same overload on 1, 2, 4, 8 and 16 cores for each runtime, and the table of speed-ups.
//!
//! `cargo run --release -p scalesim-examples --example vertical`

use scalesim::{Diagnostics, Experiment, Scenario};

const CORES: [u32; 5] = [1, 2, 4, 8, 16];

/// What a runtime is called, and how a scenario states it.
const RUNTIMES: [(&str, &str); 6] = [
    ("one event loop", "\"event-loop\""),
    ("threads, one lock", "{ gil = { threads = 64 } }"),
    ("cluster of event loops", "\"cluster\""),
    ("threads", "{ thread-pool = { threads = 64 } }"),
    ("async workers", "\"async\""),
    ("cluster, hyper-threads", "\"cluster\""),
];

/// Ten milliseconds of CPU a request, and twice as many requests as sixteen cores can take.
const SCENARIO: &str = r#"
[scenario]
name = "Vertical scaling"
duration = "1min"
[traffic.web]
to = "front"
profile = { constant = "3200/s" }
[service.api]
runtime = RUNTIME
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "10ms" } } }]
[machine.m]
vcpus = CORES
threads_per_core = THREADS
[group.web]
service = "api"
machine = "m"
min = 1
[balancer.front]
targets = "web"
"#;

/// Requests answered per second.
fn throughput(runtime: &str, cores: u32, threads: u32) -> Result<f64, Diagnostics> {
    let text = SCENARIO
        .replace("RUNTIME", runtime)
        .replace("CORES", &cores.to_string())
        .replace("THREADS", &threads.to_string());
    let results = Experiment::new(&Scenario::parse(&text)?).run();
    Ok(results.run.endpoints[0].requests.completed as f64 / results.duration)
}

fn main() -> Result<(), Diagnostics> {
    println!("{:<24} {}", "requests/s (speed-up)", CORES.map(|cores| format!("{cores:>8} vCPU")).join(" "));
    for (name, runtime) in RUNTIMES {
        let threads = if name.ends_with("hyper-threads") { 2 } else { 1 };
        let mut row = Vec::new();
        for cores in CORES {
            row.push(throughput(runtime, cores, threads)?);
        }
        let cells = row.iter().map(|rate| format!("{rate:>6.0} {:>5.1}×", rate / row[0]));
        println!("{name:<24} {}", cells.collect::<Vec<_>>().join(" "));
    }
    Ok(())
}
