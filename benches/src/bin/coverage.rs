//! How often the confidence intervals of a run contain what theory says: many experiments of several replications each, through the
//! whole simulator.
//!
//! `cargo run --release -p scalesim-benches --bin coverage -- [m-m-1|m-m-8|m-g-1|precision|all] [experiments]`
//!
//! `precision` is the M/M/1 queue with as many replications as it takes: some forty for 5 %, the second round or so for 7 %.
//! Ends with 1 where an interval of a mean covers less often than 93 % or more often than 97 %.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot start should stop")]

use std::process::ExitCode;
use std::time::Instant;

use rayon::prelude::*;
use scalesim::results::Results;
use scalesim::theory::{Mg1, Mmc, Moments};
use scalesim::{Experiment, Scenario};

/// Mean time of service, in seconds.
const SERVICE: f64 = 0.01;
/// Replications of an experiment with a fixed number of them.
const REPLICATIONS: u32 = 20;
/// Coverage of a 95 % interval that passes.
const PASSES: std::ops::RangeInclusive<f64> = 0.93..=0.97;

/// A queue whose answers are known.
struct Queue {
    name: &'static str,
    servers: u32,
    /// Requests per second.
    rate: f64,
    /// The service time, as a scenario states it.
    service: &'static str,
    /// Measured seconds of a replication.
    seconds: f64,
    precision: Option<f64>,
    /// Figures and their true values; the first is judged.
    truth: Vec<(&'static str, f64)>,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let which = args.next().unwrap_or_else(|| "all".to_string());
    let experiments: u64 = args.next().map_or(1_000, |n| n.parse().unwrap());
    let queues = queues();
    let wanted: Vec<&Queue> =
        queues.iter().filter(|queue| which == "all" || queue.name.starts_with(&which)).collect();
    if wanted.is_empty() {
        eprintln!("no queue is called {which}");
        return ExitCode::from(2);
    }
    let passed: Vec<bool> = wanted.into_iter().map(|queue| queue.cover(experiments)).collect();
    if passed.iter().all(|&passed| passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn queues() -> Vec<Queue> {
    const MEAN: &str = "response time mean";
    let exponential = "{ exp = { mean = \"10ms\" } }";
    let one = Mmc::new(70.0, 1.0 / SERVICE, 1).unwrap();
    let eight = Mmc::new(640.0, 1.0 / SERVICE, 8).unwrap();
    let cv = 1.5;
    // Of a lognormal time E[S³] = E[S]³ (1 + cv²)³.
    let spread = 1.0 + cv * cv;
    let moments =
        Moments::new(SERVICE, SERVICE.powi(2) * spread, SERVICE.powi(3) * f64::powi(spread, 3)).unwrap();
    let general = Mg1::new(60.0, moments).unwrap();
    let quantile = |queue: &Mmc, p: f64| queue.sojourn_quantile(p).unwrap();
    let of_one = || {
        vec![
            (MEAN, one.mean_sojourn()),
            ("response time p50", quantile(&one, 0.5)),
            ("response time p95", quantile(&one, 0.95)),
            ("response time p99", quantile(&one, 0.99)),
        ]
    };
    vec![
        Queue {
            name: "m-m-1",
            servers: 1,
            rate: 70.0,
            service: exponential,
            seconds: 100.0,
            precision: None,
            truth: of_one(),
        },
        Queue {
            name: "m-m-8",
            servers: 8,
            rate: 640.0,
            service: exponential,
            seconds: 15.0,
            precision: None,
            truth: vec![(MEAN, eight.mean_sojourn()), ("response time p95", quantile(&eight, 0.95))],
        },
        Queue {
            name: "m-g-1",
            servers: 1,
            rate: 60.0,
            service: "{ lognormal = { mean = \"10ms\", cv = 1.5 } }",
            seconds: 150.0,
            precision: None,
            truth: vec![(MEAN, general.mean_sojourn())],
        },
        Queue {
            name: "precision-5%",
            servers: 1,
            rate: 70.0,
            service: exponential,
            seconds: 100.0,
            precision: Some(0.05),
            truth: of_one(),
        },
        Queue {
            name: "precision-7%",
            servers: 1,
            rate: 70.0,
            service: exponential,
            seconds: 100.0,
            precision: Some(0.07),
            truth: of_one(),
        },
    ]
}

impl Queue {
    /// Plays so many experiments, says how often their intervals cover, and whether that of the mean does as it should.
    fn cover(&self, experiments: u64) -> bool {
        let begun = Instant::now();
        let text = self.scenario();
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let seen: Vec<Vec<Seen>> =
            (0..experiments).into_par_iter().map(|seed| self.experiment(&scenario, seed)).collect();
        let runs: Vec<f64> = seen.iter().map(|one| one[0].replications).collect();
        println!(
            "{}: {experiments} experiments of {:.1} replications on average, {:.0} s",
            self.name,
            mean(&runs),
            begun.elapsed().as_secs_f64()
        );
        let shares: Vec<f64> = (0..self.truth.len()).map(|figure| self.tell(figure, &seen)).collect();
        PASSES.contains(&shares[0])
    }

    fn experiment(&self, scenario: &Scenario, seed: u64) -> Vec<Seen> {
        let experiment = Experiment::new(scenario).seed(seed);
        let experiment = match self.precision {
            Some(share) => experiment.precision(share),
            None => experiment.replications(REPLICATIONS),
        };
        let results = experiment.run();
        self.truth.iter().map(|&(name, truth)| Seen::of(&results, name, truth)).collect()
    }

    /// Prints how a figure's intervals did, and returns how often they covered.
    fn tell(&self, figure: usize, seen: &[Vec<Seen>]) -> f64 {
        let (name, truth) = self.truth[figure];
        let of =
            |value: &dyn Fn(&Seen) -> f64| seen.iter().map(|one| value(&one[figure])).collect::<Vec<f64>>();
        let share = mean(&of(&|seen| f64::from(u8::from(seen.covers))));
        println!(
            "  {name:<20} covered {:>5.1} %   half width {:>5.2} %   bias {:>+6.3} %   (theory {:.4} ms)",
            100.0 * share,
            100.0 * mean(&of(&|seen| seen.half_width)) / truth,
            100.0 * (mean(&of(&|seen| seen.mean)) / truth - 1.0),
            1e3 * truth
        );
        if let Some(asked) = self.precision {
            let within =
                mean(&of(&|seen| f64::from(u8::from((seen.mean - truth).abs() <= asked * seen.mean))));
            println!("    within {:.0} % of it in {:.1} % of them", 100.0 * asked, 100.0 * within);
        }
        share
    }

    /// A queue, FIFO, of nothing but itself. The warm-up is more than ten relaxation times.
    fn scenario(&self) -> String {
        let runtime = match self.servers {
            1 => "{ event-loop = { accept_queue = 1000000, overhead = \"0s\" } }".to_string(),
            n => {
                format!("{{ thread-pool = {{ threads = {n}, accept_queue = 1000000, overhead = \"0s\" }} }}")
            }
        };
        let Queue { servers, rate, service, seconds, .. } = self;
        let warm_up = 5.0;
        format!(
            r#"
            [scenario]
            duration = "{}s"
            warm_up = "{warm_up}s"
            [traffic.t]
            to = "b"
            profile = {{ constant = "{rate}/s" }}
            timeout = "none"
            [service.s]
            runtime = {runtime}
            [service.s.endpoint.e]
            steps = [{{ cpu = {service} }}]
            [machine.m]
            vcpus = {servers}
            scheduler = {{ shares = {{ switch = "0s" }} }}
            [group.g]
            service = "s"
            machine = "m"
            min = 1
            [balancer.b]
            targets = "g"
            health_check = "none"
            idle_timeout = "none"
            "#,
            seconds + warm_up
        )
    }
}

/// What an experiment says of a figure.
struct Seen {
    mean: f64,
    half_width: f64,
    covers: bool,
    replications: f64,
}

impl Seen {
    fn of(results: &Results, name: &str, truth: f64) -> Seen {
        let figure = results.figures.iter().find(|figure| figure.name == name).unwrap();
        let half_width = figure.half_width.unwrap();
        let covers = (figure.mean - truth).abs() <= half_width;
        Seen { mean: figure.mean, half_width, covers, replications: results.replications.len() as f64 }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
