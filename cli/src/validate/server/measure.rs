//! Puts loads on servers, in rounds and in shuffled order, each between two calibrations.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sim_core::Seed;
use sim_core::dist::exp1;
use sim_core::stats::{Interval, Tally};

use super::connections::Kept;
use super::data::{Calibration, Connections, Measurements, Outcome, Run, Server, Sizes, VERSION, arrivals};
use super::load::{self, Answer, Due};
use super::predict;
use super::target::Target;
use crate::validate::counters::{self, MachineTime};
use crate::validate::data::{self, median};
use crate::validate::job::MOST_ITERATIONS;
use crate::validate::measure::{Tell, shuffled};

/// What a request of the small servers takes, in nanoseconds: many times what sending and waking up take, and short
/// enough for some hundred a second.
const WORK: f64 = 2e6;
/// Connections that are kept open.
const KEPT: usize = 64;
/// Requests on the way when throughput is measured: more than a server can work on at once, and fewer than it refuses.
const PARALLEL: usize = 16;
/// The same for each vCPU, where that is more.
const PARALLEL_EACH: usize = 4;
/// Requests without load in a calibration, how far apart they are, of what one takes, and how long that may take.
const ALONE: u32 = 60;
const APART: f64 = 3.0;
const LONGEST_ALONE: Duration = Duration::from_secs(2);
/// How long throughput is measured.
const SATURATED: Duration = Duration::from_millis(600);
/// Warming up: until throughput stays, not less than so many requests, and no longer than so many tries.
const WARM: f64 = 0.03;
const WARM_REQUESTS: f64 = 2_500.0;
const WARM_TRIES: u32 = 20;
const WARM_TIME: Duration = Duration::from_secs(15);
/// Batches of a run, for its interval.
const BATCHES: usize = 20;
/// A size is at most so many times the mean.
const LONGEST: f64 = 12.0;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Its name in the report.
    pub name: &'static str,
    /// Rounds: each puts every load on every server once.
    pub rounds: u32,
    /// How long a load lasts.
    pub time: Duration,
    /// Utilisations, unless others are asked for.
    pub utilisations: &'static [f64],
}

impl Effort {
    /// Some twenty seconds a server.
    pub const QUICK: Effort =
        Effort { name: "quick", rounds: 2, time: Duration::from_secs(3), utilisations: &[0.5, 0.7] };
    /// A minute a server.
    pub const DEFAULT: Effort =
        Effort { name: "default", rounds: 3, time: Duration::from_secs(5), utilisations: &[0.5, 0.7, 0.85] };
    /// Five minutes a server, for figures to publish.
    pub const THOROUGH: Effort = Effort {
        name: "thorough",
        rounds: 5,
        time: Duration::from_secs(14),
        utilisations: &[0.3, 0.5, 0.7, 0.85],
    };
}

/// What is asked for.
pub struct Asked<'a> {
    /// The servers.
    pub targets: &'a mut [Target],
    /// What they are, in the same order.
    pub servers: Vec<Server>,
    /// How much.
    pub effort: Effort,
    /// Shares of each server's throughput.
    pub utilisations: Vec<f64>,
    /// How work varies.
    pub sizes: Sizes,
    /// What is drawn from.
    pub seed: u64,
}

/// A server while it is measured.
struct Subject<'a> {
    target: &'a mut Target,
    server: Server,
    /// Processes that share the work.
    workers: u32,
    /// What a request takes without load, in nanoseconds.
    takes: f64,
}

/// Measures. Ends early, with what there is, when `stop` is set.
pub fn measure(asked: Asked<'_>, stop: &AtomicBool, tell: Tell<'_>) -> Result<Measurements, String> {
    let Asked { targets, servers, effort, utilisations, sizes, seed } = asked;
    let mut subjects = Vec::new();
    for (target, server) in targets.iter_mut().zip(servers) {
        tell(0.0, &format!("warming up: {}", server.name));
        let workers = predict::runtime(&server.runtime)?.processes(server.vcpus.max(1));
        let mut subject = Subject { target, server, workers, takes: WORK };
        subject.warm_up(stop)?;
        subjects.push(subject);
    }
    let loads: Vec<(usize, f64)> = (0..subjects.len())
        .flat_map(|server| utilisations.iter().map(move |&share| (server, share)))
        .collect();
    let mut runs = Vec::new();
    for round in 0..effort.rounds {
        for (index, (server, utilisation)) in
            shuffled(&loads, seed, round, "validate/server/order").into_iter().enumerate()
        {
            let subject = &mut subjects[server];
            let done = (f64::from(round) + index as f64 / loads.len() as f64) / f64::from(effort.rounds);
            tell(done, &format!("{} at {:.0} %", subject.server.name, 100.0 * utilisation));
            let seconds = effort.time.as_secs_f64();
            if let Some(run) = subject.run(Plan { seed, server, round, utilisation, sizes, seconds }, stop)? {
                runs.push(run);
            }
        }
    }
    let mut missing: Vec<String> = Vec::new();
    if MachineTime::now().is_none() {
        missing.push(
            "load of other programs and steal are not told (`/proc/stat`): disturbances are not seen".into(),
        );
    }
    for subject in subjects.iter().filter(|subject| subject.cpu().is_none()) {
        missing.push(format!(
            "{} does not answer `GET /pid`: its CPU time is not known, and disturbances by other programs are not seen",
            subject.server.name
        ));
    }
    Ok(Measurements {
        version: VERSION,
        date: Timestamp::now().to_zoned(TimeZone::UTC).date().to_string(),
        effort: effort.name.to_string(),
        seed,
        machine: counters::facts(),
        sizes,
        servers: subjects.into_iter().map(|subject| subject.server).collect(),
        runs,
        missing,
    })
}

/// One load.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    server: usize,
    round: u32,
    utilisation: f64,
    sizes: Sizes,
    seconds: f64,
}

/// What a server does with as much as it takes.
struct Saturated {
    /// Requests per second.
    throughput: f64,
    /// Requests in all.
    answered: u32,
    /// CPU time of one, in nanoseconds.
    cpu: Option<f64>,
}

impl Subject<'_> {
    fn path(&self, size: f64) -> String {
        match self.server.iterations {
            Some(mean) => format!("/api/{}", ((mean as f64 * size) as u64).min(MOST_ITERATIONS)),
            None => self.target.path.clone(),
        }
    }

    /// Puts load on it until its throughput stays: compilers in servers take their time, and change their minds.
    fn warm_up(&mut self, stop: &AtomicBool) -> Result<(), String> {
        self.find_size()?;
        let (mut before, mut requests) = (0.0, 0.0);
        let began = Instant::now();
        for _ in 0..WARM_TRIES {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if began.elapsed() > WARM_TIME {
                break;
            }
            let Saturated { throughput, answered, .. } = self.saturate()?;
            requests += f64::from(answered);
            let steady = (throughput / before - 1.0).abs() < WARM;
            if steady && requests > WARM_REQUESTS {
                break;
            }
            if !steady {
                self.find_size()?;
            }
            before = throughput;
        }
        self.takes = self.alone(stop)?.0;
        Ok(())
    }

    /// As many iterations as take the time that is wanted, by what the server says of a few.
    fn find_size(&mut self) -> Result<(), String> {
        if self.server.iterations.is_none() {
            return Ok(());
        }
        /// Long enough for a clock, and short for an interpreter.
        const PROBE: u64 = 300_000;
        let mut least = f64::INFINITY;
        for _ in 0..12 {
            let answer = self.target.get(&format!("/api/{PROBE}"));
            let response = answer.map_err(|error| self.unanswered(&error))?;
            let nanos = load::handler_nanos(&response.body).filter(|&nanos| nanos > 0.0);
            least = least.min(nanos.ok_or_else(|| self.trouble("does not say how long `/api/N` took"))?);
        }
        self.server.iterations = Some(((WORK / least * PROBE as f64) as u64).clamp(1, MOST_ITERATIONS));
        Ok(())
    }

    fn trouble(&self, why: &str) -> String {
        format!("{}: {why}", self.server.name)
    }

    fn kept(&mut self) -> Result<Kept, String> {
        if self.server.connections == Connections::PerRequest {
            return Ok(Kept::none());
        }
        if self.workers <= 1 {
            return Kept::to_one(self.target, KEPT).map_err(|error| self.closed(&error));
        }
        let mut pids = std::mem::take(&mut self.target.pids);
        let opened = Kept::to_several(self.target, KEPT, &mut pids);
        self.target.pids = pids;
        let (kept, accepted) = opened.map_err(|error| self.closed(&error))?;
        let taking = accepted.iter().filter(|&&count| count > 0).count();
        if taking < self.workers as usize {
            return Err(self.trouble(&format!(
                "{KEPT} connections went to {taking} of {} processes, and nothing can be said of the others; try \
                 `--connections per-request`",
                self.workers
            )));
        }
        self.server.accepted = accepted;
        Ok(kept)
    }

    /// Why a request had no answer.
    fn unanswered(&mut self, error: &std::io::Error) -> String {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
        match (self.target.ended(), error.kind()) {
            (Some(status), _) => self.trouble(&format!("the server ended: {status}")),
            (None, BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof) => {
                self.trouble(&format!("gave no answer ({error}); did the server die?"))
            }
            (None, _) => self.trouble(&error.to_string()),
        }
    }

    /// Why connections could not be opened.
    fn closed(&mut self, error: &std::io::Error) -> String {
        match (self.target.ended(), error.kind()) {
            (Some(status), _) => self.trouble(&format!("the server ended: {status}")),
            (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => self.trouble(&format!(
                "does not answer on {KEPT} connections at a time; a server with a thread for each may have fewer: try \
                 `--connections per-request`"
            )),
            (None, _) => self.trouble(&format!("cannot open {KEPT} connections ({error}); did the server die?")),
        }
    }

    fn saturate(&mut self) -> Result<Saturated, String> {
        let (kept, path) = (self.kept()?, self.path(1.0));
        let began = self.cpu();
        let parallel = PARALLEL.max(PARALLEL_EACH * self.server.vcpus as usize).min(KEPT);
        let result = load::saturate(self.target, self.server.connections, kept, &path, parallel, SATURATED);
        let (throughput, answered) = result.map_err(|why| self.why(why))?;
        let cpu = self.cpu().zip(began).map(|(now, began)| (now - began) / f64::from(answered));
        Ok(Saturated { throughput, answered, cpu: cpu.filter(|&nanos| nanos > 0.0) })
    }

    /// The response times of requests that are alone in the server, sorted, and the median of what handlers took.
    fn alone(&mut self, stop: &AtomicBool) -> Result<(f64, Vec<f64>, Option<f64>), String> {
        let apart = Duration::from_nanos((self.takes * APART) as u64);
        // A slow server gets fewer, never a longer wait.
        let count = (LONGEST_ALONE.as_nanos() / apart.as_nanos().max(1)).clamp(5, u128::from(ALONE)) as u32;
        let due: Vec<Due> = (0..count).map(|index| Due { at: apart * index, path: self.path(1.0) }).collect();
        let kept = self.kept()?;
        let played = load::play(self.target, self.server.connections, kept, &due, 1, stop);
        let answers = played.map_err(|why| self.why(why))?.answers;
        let mut times: Vec<f64> = answers.iter().filter_map(nanos).collect();
        times.sort_by(f64::total_cmp);
        let handler = median(answers.iter().filter_map(|answer| answer.handler));
        let alone = median(times.iter().copied());
        let stopped = stop.load(Ordering::Relaxed).then_some(self.takes);
        let alone = alone.or(stopped).ok_or_else(|| self.trouble("answers with an error, not with 200"))?;
        Ok((alone, times, handler))
    }

    fn calibrate(&mut self, stop: &AtomicBool) -> Result<Calibration, String> {
        let (alone, times, handler) = self.alone(stop)?;
        let Saturated { throughput, cpu, .. } = self.saturate()?;
        self.takes = alone;
        let quantile = |tenth: usize| times.get((2 * tenth + 1) * times.len() / 20).copied().unwrap_or(alone);
        Ok(Calibration { alone, handler, quantiles: (0..10).map(quantile).collect(), throughput, cpu })
    }

    /// A load between two calibrations; `None` when it was stopped.
    fn run(&mut self, plan: Plan, stop: &AtomicBool) -> Result<Option<Run>, String> {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let before = self.calibrate(stop)?;
        let Plan { seed, server, round, utilisation, sizes, seconds } = plan;
        let rate = before.throughput * utilisation;
        let sizes = self.sizes(sizes, plan);
        let due: Vec<Due> = arrivals(seed, server, round, utilisation, rate, seconds)
            .into_iter()
            .zip(sizes)
            .map(|(at, size)| Due { at: Duration::from_nanos(at.as_nanos()), path: self.path(size) })
            .collect();
        let kept = self.kept()?;
        let usage = Usage::now(self.roots());
        let played = load::play(self.target, self.server.connections, kept, &due, seed, stop);
        let load = played.map_err(|why| self.why(why))?;
        let measured = usage.until_now(outcome(&load));
        let after = self.calibrate(stop)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(Some(Run { server, round, utilisation, rate, seconds, calibrations: [before, after], measured }))
    }

    /// The work of each request, of the mean.
    fn sizes(&self, sizes: Sizes, plan: Plan) -> impl Iterator<Item = f64> + use<> {
        let Plan { seed, server, round, utilisation, .. } = plan;
        let draws = Seed::new(seed).keyed(&format!("validate/server/sizes/{server}/{round}/{utilisation}"));
        (0u64..).map(move |request| match sizes {
            Sizes::Exponential => exp1(&mut draws.at(request)).min(LONGEST),
            Sizes::Constant | Sizes::Own => 1.0,
        })
    }

    /// The processes of the server, as far as they are known.
    fn roots(&self) -> Vec<u32> {
        self.target.pids.iter().copied().chain(self.target.process()).collect()
    }

    /// CPU time of the server so far.
    fn cpu(&self) -> Option<f64> {
        cpu_of(&self.roots())
    }

    /// Why a load failed; when the process ended meanwhile, that is why.
    fn why(&mut self, why: String) -> String {
        match self.target.ended() {
            Some(status) => format!("{}: the server died under load: {status}", self.server.name),
            None => why,
        }
    }
}

fn nanos(answer: &Answer) -> Option<f64> {
    answer.time.map(|time| time.as_nanos() as f64)
}

/// What came of a load.
fn outcome(load: &load::Load) -> Outcome {
    let times: Vec<f64> = load.answers.iter().filter_map(nanos).collect();
    let late = load.answers.iter().map(|answer| answer.late.as_nanos() as f64);
    let half_width = |figure: fn(&[f64]) -> f64| {
        let mut batches = Tally::new();
        let size = times.len() / BATCHES;
        if size > 0 {
            times.chunks_exact(size).for_each(|batch| batches.record(figure(batch)));
        }
        Interval::student_t(&batches, 0.95)
            .map(|interval| interval.half_width)
            .filter(|width| width.is_finite())
    };
    Outcome {
        requests: load.answers.len() as u64,
        failed: load.answers.iter().filter(|answer| answer.time.is_none()).count() as u64,
        mean: mean(&times),
        p95: quantile(&times, 0.95),
        p99: quantile(&times, 0.99),
        mean_half_width: half_width(mean),
        p95_half_width: half_width(|batch| quantile(batch, 0.95)),
        late: quantile(&late.collect::<Vec<f64>>(), 0.99),
        connections: load.connections as u32,
        rerouted: load.rerouted,
        ..Outcome::default()
    }
}

fn mean(values: &[f64]) -> f64 {
    data::mean(values.iter().copied()).unwrap_or(0.0)
}

/// The smallest value that so large a share of all does not exceed.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Who uses the machine, from some instant on.
struct Usage {
    began: Instant,
    machine: Option<MachineTime>,
    roots: Vec<u32>,
    server: Option<f64>,
    own: Option<f64>,
}

impl Usage {
    fn now(roots: Vec<u32>) -> Usage {
        let server = cpu_of(&roots);
        let own = counters::of_this_process();
        Usage { began: Instant::now(), machine: MachineTime::now(), server, own, roots }
    }

    /// What came of a load, with who used the machine meanwhile.
    fn until_now(self, outcome: Outcome) -> Outcome {
        let less = |now: Option<f64>, then: Option<f64>| Some((now? - then?).max(0.0));
        let own = less(counters::of_this_process(), self.own);
        let server = less(cpu_of(&self.roots), self.server);
        let shares = |used: f64| MachineTime::now()?.shares_since(self.machine?, used);
        let vcpus = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let whole = self.began.elapsed().as_nanos() as f64 * vcpus;
        Outcome {
            cpu: server.map(|nanos| nanos / outcome.requests as f64).filter(|&nanos| nanos > 0.0),
            others: own.zip(server).and_then(|(own, server)| Some(shares(own + server)?.0)),
            load: own.map(|own| own / whole),
            steal: shares(0.0).map(|shares| shares.1),
            ..outcome
        }
    }
}

/// CPU time of a server's processes so far; nothing where none is known.
fn cpu_of(roots: &[u32]) -> Option<f64> {
    counters::of_processes(roots).filter(|&nanos| nanos > 0.0)
}
