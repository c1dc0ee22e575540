//! What was measured of servers, as it stands in `servers.json`: enough to predict and judge again without them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sim_core::dist::exp1;
use sim_core::{Seed, Span};

use crate::validate::data::Facts;

/// The version of the form below.
pub const VERSION: u32 = 1;

/// Everything that was measured in one go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// The version of this form.
    pub version: u32,
    /// The day, UTC.
    pub date: String,
    /// How much was measured: quick, default or thorough.
    pub effort: String,
    /// What arrivals and sizes are drawn from.
    pub seed: u64,
    /// The machine.
    pub machine: Facts,
    /// How the work of a request varies.
    pub sizes: Sizes,
    /// The servers, in the order of the command line.
    pub servers: Vec<Server>,
    /// Loads, in the order in which they were put on.
    pub runs: Vec<Run>,
    /// What could not be measured, and what that means.
    pub missing: Vec<String>,
}

/// How the work of a request varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sizes {
    /// Always the same.
    Constant,
    /// Exponentially distributed.
    Exponential,
    /// As the server has it: what is asked is always the same.
    #[value(skip)]
    Own,
}

/// Which connections requests go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// Connections that stay open, each with the worker that accepted it.
    Kept,
    /// One for each request.
    PerRequest,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// What it is called: the URL or the command.
    pub name: String,
    /// How it works through requests, as a scenario's `runtime`.
    pub runtime: String,
    /// Which connections were used.
    pub connections: Connections,
    /// How many connections each worker accepted, before as many of each were taken.
    pub accepted: Vec<u32>,
    /// Iterations of a request on average; nothing for a path of its own.
    pub iterations: Option<u64>,
    /// vCPUs that it may use.
    pub vcpus: u32,
    /// The load has a vCPU that the server does not use.
    pub apart: bool,
}

/// What a request costs, measured without load and with as much as the server takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The median response time without any other request, in nanoseconds.
    pub alone: f64,
    /// The same without sending, receiving and waking up: what the server itself says, in nanoseconds.
    pub handler: Option<f64>,
    /// Ten quantiles of the response time, in nanoseconds: of 5, 15 … 95 %.
    pub quantiles: Vec<f64>,
    /// Requests per second with more of them than the server can work on at once.
    pub throughput: f64,
    /// CPU time of the server's processes for a request, in nanoseconds.
    pub cpu: Option<f64>,
}

/// One load: requests at stated instants, answered or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The server, by its place.
    pub server: usize,
    /// The round.
    pub round: u32,
    /// What share of its throughput was asked for.
    pub utilisation: f64,
    /// Requests per second.
    pub rate: f64,
    /// Seconds.
    pub seconds: f64,
    /// Calibrations directly before and after.
    pub calibrations: [Calibration; 2],
    /// What was measured.
    pub measured: Outcome,
}

/// What came of a load. Response times count from the instant at which a request should have been sent, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Requests.
    pub requests: u64,
    /// Requests that got no answer, or another than 200.
    pub failed: u64,
    /// The mean response time.
    pub mean: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The half-width of the 95 % interval of the mean, from batch means.
    pub mean_half_width: Option<f64>,
    /// The same of the 95th percentile.
    pub p95_half_width: Option<f64>,
    /// The 99th percentile of how late requests were sent: the load's own fault, and part of the response times.
    pub late: f64,
    /// The most connections that were open.
    pub connections: u32,
    /// Requests that another worker got, as all connections of their own were busy.
    pub rerouted: u64,
    /// CPU time of the server's processes for a request.
    pub cpu: Option<f64>,
    /// The share of the machine that programs used which are neither server nor load.
    pub others: Option<f64>,
    /// The share that the load used.
    pub load: Option<f64>,
    /// The share that the hypervisor withheld.
    pub steal: Option<f64>,
}

impl Calibration {
    /// The calibration in the middle between two.
    pub fn between([a, b]: &[Calibration; 2]) -> Calibration {
        let middle = |a: f64, b: f64| (a + b) / 2.0;
        let both = |a: Option<f64>, b: Option<f64>| Some(middle(a?, b?));
        Calibration {
            alone: middle(a.alone, b.alone),
            handler: both(a.handler, b.handler),
            quantiles: a.quantiles.iter().zip(&b.quantiles).map(|(&a, &b)| middle(a, b)).collect(),
            throughput: middle(a.throughput, b.throughput),
            cpu: both(a.cpu, b.cpu),
        }
    }
}

/// The instants at which the requests of a load are due: a Poisson stream, which only the load's own name changes.
pub fn arrivals(
    seed: u64,
    server: usize,
    round: u32,
    utilisation: f64,
    rate: f64,
    seconds: f64,
) -> Vec<Span> {
    /// More than any load has: what is read from a file must not fill the memory.
    const MOST: usize = 1_000_000;
    let name = format!("validate/server/{server}/{round}/{:.0}", 1000.0 * utilisation);
    let mut stream = Seed::new(seed).stream(&name);
    let mut at = 0.0;
    let next = || {
        at += exp1(&mut stream) / rate;
        (at < seconds).then(|| Span::from_nanos_f64(at * 1e9))
    };
    std::iter::from_fn(next).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_poisson_and_always_the_same() {
        let times = arrivals(1, 0, 0, 0.7, 200.0, 50.0);
        assert_eq!(times, arrivals(1, 0, 0, 0.7, 200.0, 50.0));
        assert_ne!(times, arrivals(1, 0, 1, 0.7, 200.0, 50.0));
        // Ten thousand, with a standard deviation of a hundred.
        assert!((times.len() as f64 - 10_000.0).abs() < 400.0, "{}", times.len());
        assert!(times.is_sorted());
        assert!(arrivals(1, 0, 0, 0.7, f64::INFINITY, 50.0).len() <= 1_000_000);
    }
}
