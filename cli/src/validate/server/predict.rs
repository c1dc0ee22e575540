//! What the simulator says of a load: the same arrivals, played by a scenario whose service times come from the
//! calibrations around it.

use std::fmt::Write;
use std::io;

use jiff::Timestamp;
use scalesim::plan::{Plan, ProcessKind, Runtime};
use scalesim::{Diagnostics, Experiment, Files, Scenario};
use serde::Serialize;

use super::data::{Calibration, Connections, Measurements, Run, Server, Sizes, arrivals};

/// How often a load is played: what is drawn in it, sizes and workers, must not decide.
const REPLICATIONS: u32 = 16;
/// Seconds of the longest load: what is read from a file must not take for ever.
const LONGEST: f64 = 3_600.0;
/// Connections that are kept to each worker; only that they are as many to each matters.
const KEPT_EACH: u32 = 16;

/// What is predicted of a load; times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The mean response time.
    pub mean: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// CPU time of a request.
    pub demand: f64,
    /// What is beside it: sending, waking up, receiving, and waits of the server's own.
    pub beside: f64,
}

/// The calibrations, as the model takes them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Service {
    demand: f64,
    beside: f64,
    /// How fast a vCPU is with all of them at work, of what it is alone.
    together: f64,
}

/// Plays a load. `Err` where the server's `runtime` cannot be, or where the figures make no sense.
pub fn predict(measured: &Measurements, run: &Run) -> Result<Prediction, String> {
    let server = measured.servers.get(run.server).ok_or("a load on a server that is not there")?;
    let calibration = Calibration::between(&run.calibrations);
    let sane = |value: f64| value.is_finite() && value > 0.0;
    let calibrated = run.calibrations.iter().flat_map(|one| [one.alone, one.throughput]);
    let figures: Vec<f64> = calibrated.chain([run.rate, run.seconds]).collect();
    if !figures.into_iter().all(sane) || run.seconds > LONGEST {
        return Err("a load with figures that cannot be".to_string());
    }
    let runtime = runtime(&server.runtime)?;
    let vcpus = server.vcpus.max(1);
    let at_once = runtime.computing_threads(vcpus);
    let service = service(&calibration, at_once);
    let cpu = (service.demand - extra(&runtime, server)).max(service.demand / 10.0);
    let steps = steps(cpu, &calibration, sizes(measured, server));
    let text = scenario(measured, run, server, &runtime, &service, &steps);
    let files = Inputs { arrivals: trace(measured, run), samples: samples(&service, &calibration, cpu) };
    let scenario = Scenario::read("server.toml", &text, &overrides(&runtime, server), &files)
        .map_err(|error| one_line(&error))?;
    let results = Experiment::new(&scenario).replications(REPLICATIONS).run();
    let of = |figure: fn(&scalesim::results::Distribution) -> f64| {
        let values = results.replications.iter().map(|one| figure(&one.response_time));
        values.sum::<f64>() / f64::from(REPLICATIONS) * 1e9 + service.beside
    };
    Ok(Prediction {
        mean: of(|times| times.mean),
        p95: of(|times| times.p95),
        demand: service.demand,
        beside: service.beside,
    })
}

/// Reads a `runtime` as a scenario has it.
pub fn runtime(text: &str) -> Result<Runtime, String> {
    let scenario = format!(
        "scenario.duration = \"1s\"\ntraffic.t = {{ to = \"front\", profile = {{ constant = \"1/s\" }} }}\n\
         group.g = {{ service = \"s\", machine = \"c6i.large\", min = 1 }}\nbalancer.front.targets = \"g\"\n\
         [service.s]\nendpoint.page.steps = [{{ cpu = \"1ms\" }}]\nruntime = {text}\n"
    );
    let read =
        Scenario::read("runtime", &scenario, &[], &scalesim::NoFiles).map_err(|error| one_line(&error))?;
    let plan: &Plan = read.plan();
    plan.services.first().map(|service| service.runtime).ok_or_else(|| "no runtime".to_string())
}

fn one_line(error: &Diagnostics) -> String {
    let messages: Vec<&str> = error.list.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    messages.join("; ")
}

/// CPU time by the throughput, and what is beside it by the response time without load. Where requests side by side are
/// slower than one alone, the machine is: hyper-threads, and the load itself, which needs a vCPU too.
fn service(calibration: &Calibration, at_once: u32) -> Service {
    let busy = f64::from(at_once) / calibration.throughput * 1e9;
    if busy <= calibration.alone || at_once == 1 {
        Service { demand: busy, beside: (calibration.alone - busy).max(0.0), together: 1.0 }
    } else {
        Service { demand: calibration.alone, beside: 0.0, together: calibration.alone / busy }
    }
}

/// CPU time of a request that the model has beside its steps: a connection at the primary, and at the worker.
fn extra(runtime: &Runtime, server: &Server) -> f64 {
    match server.connections {
        Connections::Kept => 0.0,
        Connections::PerRequest => runtime.connection_costs().map(|cost| cost.as_nanos() as f64).iter().sum(),
    }
}

/// How the work of a server's requests varies.
fn sizes(measured: &Measurements, server: &Server) -> Sizes {
    if server.iterations.is_some() { measured.sizes } else { Sizes::Own }
}

/// The steps of a request that takes so long.
fn steps(cpu: f64, calibration: &Calibration, sizes: Sizes) -> String {
    let ns = |nanos: f64| format!("\"{:.0}ns\"", nanos.max(1.0));
    match sizes {
        Sizes::Constant => format!("{{ cpu = {} }}", ns(cpu)),
        Sizes::Exponential => {
            // Only the work varies, and not what the server needs to read and write.
            let work = calibration.handler.unwrap_or(cpu).min(cpu);
            format!("{{ cpu = {} }}, {{ cpu = {{ exp = {{ mean = {} }} }} }}", ns(cpu - work), ns(work))
        }
        Sizes::Own => "{ cpu = { samples = { file = \"samples.csv\", unit = \"1ns\" } } }".to_string(),
    }
}

fn scenario(
    measured: &Measurements,
    run: &Run,
    server: &Server,
    runtime: &Runtime,
    service: &Service,
    steps: &str,
) -> String {
    let vcpus = server.vcpus.max(1);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "scenario = {{ duration = \"{}s\", seed = {} }}",
        run.seconds.ceil() + 10.0,
        measured.seed
    );
    let _ = writeln!(
        text,
        "traffic.load = {{ to = \"front\", trace = {{ file = \"arrivals.csv\", format = \"log\" }} }}"
    );
    let connections = match (server.connections, runtime.workers) {
        (Connections::Kept, Some(_)) => {
            format!("{{ keep_alive = {} }}", KEPT_EACH * runtime.processes(vcpus))
        }
        _ => "\"per-request\"".to_string(),
    };
    let _ = writeln!(
        text,
        "balancer.front = {{ targets = \"servers\", connections = {connections}, health_check = \"none\", idle_timeout = \"none\" }}"
    );
    let _ = writeln!(text, "group.servers = {{ service = \"server\", machine = \"this\", min = 1 }}");
    let _ = writeln!(text, "[service.server]\nruntime = {}\nendpoint.api.steps = [{steps}]", server.runtime);
    let turbo: Vec<String> = (0..vcpus)
        .map(|others| f64::from(others) / f64::from(vcpus.max(2) - 1))
        .map(|share| format!("{:.6}", 1.0 - (1.0 - service.together) * share))
        .collect();
    let slice = measured.machine.slice.map_or(String::new(), |slice| format!(" slice = \"{slice}ns\" "));
    let _ = writeln!(
        text,
        "[machine.this]\nvcpus = {vcpus}\nturbo = [{}]\nscheduler = {{ slices = {{{slice}}} }}",
        turbo.join(", ")
    );
    text
}

/// What a runtime adds to a request is in the service times already. Connections are as many to each worker, whoever
/// accepted them: that is what handing them round comes to.
fn overrides(runtime: &Runtime, server: &Server) -> Vec<(String, String)> {
    let process = match runtime.process {
        ProcessKind::EventLoop { .. } => "event-loop",
        ProcessKind::Async { .. } => "async",
        ProcessKind::Gil { .. } => "gil",
        ProcessKind::Threads { threads: Some(_), .. } => "thread-pool",
        ProcessKind::Threads { threads: None, .. } => "thread-per-request",
    };
    let path = "service.server.runtime";
    let kinds = ["cluster", "processes", "process-per-request"];
    let kind = kinds.into_iter().find(|kind| server.runtime.contains(kind));
    let overhead = match kind {
        Some("processes") => format!("{path}.processes.each.{process}.overhead"),
        Some(kind) => format!("{path}.{kind}.overhead"),
        None => format!("{path}.{process}.overhead"),
    };
    let mut overrides = vec![(overhead, "0s".to_string())];
    if let (Some(kind), Some(_), Connections::Kept) = (kind, runtime.workers, server.connections) {
        overrides.push((format!("{path}.{kind}.accept"), "round-robin".to_string()));
    }
    overrides
}

/// The arrivals as a log of requests.
fn trace(measured: &Measurements, run: &Run) -> String {
    let mut text = String::from("time\n");
    for at in arrivals(measured.seed, run.server, run.round, run.utilisation, run.rate, run.seconds) {
        if let Ok(time) = Timestamp::from_nanosecond(i128::from(at.as_nanos())) {
            let _ = writeln!(text, "{time}"); // to a string
        }
    }
    text
}

/// Service times with the shape of the response times without load, in nanoseconds.
fn samples(service: &Service, calibration: &Calibration, cpu: f64) -> String {
    let shape: Vec<f64> =
        calibration.quantiles.iter().map(|quantile| (quantile - service.beside).max(1.0)).collect();
    let mean = shape.iter().sum::<f64>() / shape.len().max(1) as f64;
    let lines = shape.iter().map(|value| format!("{:.0}\n", value / mean * cpu));
    std::iter::once("nanos\n".to_string()).chain(lines).collect()
}

/// The files that a scenario here may name.
struct Inputs {
    arrivals: String,
    samples: String,
}

impl Files for Inputs {
    fn open(&self, path: &str) -> io::Result<Box<dyn io::Read>> {
        let text = if path == "samples.csv" { &self.samples } else { &self.arrivals };
        Ok(Box::new(io::Cursor::new(text.clone().into_bytes())))
    }
}
