//! Several jobs at once or one after another, as threads or as processes, begun together.
//!
//! Every wait has a bound: who does not answer in time is given up, and processes are killed with the value that holds them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::counters::MachineTime;
use super::data::{Calibration, Form, Job, Order, Place, Setup};
use super::job;
use super::pin;

/// How long a thread or process may take to get ready.
const READY: Duration = Duration::from_secs(20);
/// Between the word and the start: all jobs are asleep by then.
const AHEAD: Duration = Duration::from_millis(12);
/// The same for each job.
const AHEAD_EACH: Duration = Duration::from_micros(300);
/// How much later than its limit a job may tell that it gave up.
const SLACK: Duration = Duration::from_secs(20);

/// What came of a batch.
pub struct Outcome {
    /// The jobs, by their numbers.
    pub jobs: Vec<Job>,
    /// The shares of the machine that went to other programs and to the hypervisor.
    pub shares: Option<(f64, f64)>,
}

/// Runs a setup. Jobs that are not done after `limit` give up.
pub fn run(setup: &Setup, limit: Duration) -> Result<Outcome, String> {
    match setup.order {
        Order::Together => together(setup, limit),
        Order::InTurn => in_turn(setup, limit),
    }
}

/// One job that has the machine for itself.
pub fn calibrate(iterations: u64, limit: Duration) -> Result<Calibration, String> {
    let start = Timestamp::now() + Duration::from_millis(2);
    let job = job::run(iterations, start, limit);
    if job.cut {
        return Err(too_slow(limit));
    }
    Ok(Calibration { iterations, nanos: job.ran() })
}

fn too_slow(limit: Duration) -> String {
    format!(
        "a job was not done after {} s, many times what it takes alone: the machine is far too busy to measure \
         (hint: end other programs and try again)",
        limit.as_secs()
    )
}

/// Each job begins when the one before is done.
fn in_turn(setup: &Setup, limit: Duration) -> Result<Outcome, String> {
    let lone = Setup { jobs: 1, order: Order::Together, ..*setup };
    let (mut jobs, mut shares, mut at) = (Vec::new(), Vec::new(), 0);
    for _ in 0..setup.jobs {
        let outcome = together(&lone, limit)?;
        shares.push(outcome.shares);
        for mut job in outcome.jobs {
            let finished = job.finished;
            (job.begun, job.finished) = (at + job.begun, at + finished);
            at += finished;
            jobs.push(job);
        }
    }
    // The means: the jobs are equally long.
    let count = shares.len().max(1) as f64;
    let sum = shares.into_iter().try_fold((0.0, 0.0), |sum, share| {
        let share = share?;
        Some((sum.0 + share.0, sum.1 + share.1))
    });
    Ok(Outcome { jobs, shares: sum.map(|sum| (sum.0 / count, sum.1 / count)) })
}

fn together(setup: &Setup, limit: Duration) -> Result<Outcome, String> {
    let vcpus = pin::vcpus();
    let place = |job: u32| match setup.place {
        Place::Anywhere => None,
        Place::Dealt => vcpus.get(job as usize % vcpus.len().max(1)).copied(),
        Place::OnOne => vcpus.first().copied(),
    };
    let (tell, told) = channel();
    let mut workers = Vec::new();
    for number in 0..setup.jobs {
        let worker = match setup.form {
            Form::Threads => Worker::thread(number, setup.iterations, limit, place(number), tell.clone())?,
            Form::Processes => Worker::process(number, setup.iterations, limit, place(number), tell.clone())?,
        };
        workers.push(worker);
    }
    drop(tell);
    let ready = Instant::now() + READY;
    for _ in 0..setup.jobs {
        match receive(&told, ready)? {
            Told::Ready => {}
            Told::Done(..) | Told::Failed => return Err("a job ended before it began".to_string()),
        }
    }
    let ahead = AHEAD + AHEAD_EACH * setup.jobs;
    let start = Timestamp::now() + ahead;
    for worker in &mut workers {
        worker.start(start)?;
    }
    thread::sleep(ahead.saturating_sub(Duration::from_millis(1)));
    let before = MachineTime::now();
    let jobs = collect(&told, setup.jobs, Instant::now() + limit + SLACK)?;
    let after = MachineTime::now();
    if jobs.iter().any(|job| job.cut) {
        return Err(too_slow(limit));
    }
    let own: Option<u64> = jobs.iter().map(|job| job.counters.on_cpu).sum();
    let shares = (|| after?.shares_since(before?, own? as f64))();
    Ok(Outcome { jobs, shares })
}

/// The results of all jobs, by their numbers.
fn collect(told: &Receiver<Told>, count: u32, until: Instant) -> Result<Vec<Job>, String> {
    let mut jobs = vec![None; count as usize];
    for _ in 0..count {
        match receive(told, until)? {
            Told::Done(number, job) => {
                if let Some(slot) = jobs.get_mut(number as usize) {
                    *slot = Some(job);
                }
            }
            Told::Ready | Told::Failed => return Err("a job ended without a result".to_string()),
        }
    }
    let all: Option<Vec<Job>> = jobs.into_iter().collect();
    all.ok_or_else(|| "a job ended without a result".to_string())
}

fn receive(told: &Receiver<Told>, until: Instant) -> Result<Told, String> {
    let left = until.saturating_duration_since(Instant::now());
    told.recv_timeout(left).map_err(|_| "a job does not answer: it was given up".to_string())
}

/// What a worker tells.
enum Told {
    Ready,
    Done(u32, Job),
    Failed,
}

/// A thread or a process that does one job.
enum Worker {
    Thread(Sender<Timestamp>),
    Process(Box<Process>),
}

/// A process that ends with this value, whatever happens.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None; // who waits for the start ends by itself
        let _ = self.child.kill(); // who has ended cannot be killed, which is well
        let _ = self.child.wait();
    }
}

impl Worker {
    fn thread(
        number: u32,
        iterations: u64,
        limit: Duration,
        vcpu: Option<u32>,
        tell: Sender<Told>,
    ) -> Result<Worker, String> {
        let (start, started) = channel();
        let body = move || {
            if vcpu.is_some_and(|vcpu| !pin::this_thread(vcpu)) {
                let _ = tell.send(Told::Failed); // nobody listens any more: nothing to do
                return;
            }
            let _ = tell.send(Told::Ready);
            // Where nobody gives the start, the sender is gone and this ends.
            if let Ok(start) = started.recv() {
                let _ = tell.send(Told::Done(number, job::run(iterations, start, limit)));
            }
        };
        let spawned = thread::Builder::new().name(format!("job {number}")).spawn(body);
        spawned.map_err(|error| format!("no thread could be started: {error}"))?;
        Ok(Worker::Thread(start))
    }

    fn process(
        number: u32,
        iterations: u64,
        limit: Duration,
        vcpu: Option<u32>,
        tell: Sender<Told>,
    ) -> Result<Worker, String> {
        let failed = |error: std::io::Error| format!("no process could be started: {error}");
        let own = std::env::current_exe().map_err(failed)?;
        let mut command = vcpu.map_or_else(|| Command::new(&own), |vcpu| pin::on(&[vcpu], &own));
        command.args(["validate-job", "--iterations", &iterations.to_string()]);
        command.args(["--limit", &limit.as_millis().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().map_err(failed)?;
        let mut process = Box::new(Process { child, input: None });
        process.input = process.child.stdin.take();
        let Some(output) = process.child.stdout.take() else {
            return Err("no process could be started: it has no output".to_string());
        };
        // Ends with the process, which is killed at the latest when its worker is dropped.
        let listen = move || {
            for line in BufReader::new(output).lines() {
                let told = match line.as_deref() {
                    Ok("ready") => Told::Ready,
                    Ok(text) => {
                        serde_json::from_str(text).map_or(Told::Failed, |job| Told::Done(number, job))
                    }
                    Err(_) => Told::Failed,
                };
                if tell.send(told).is_err() {
                    return;
                }
            }
        };
        let spawned = thread::Builder::new().name(format!("listener {number}")).spawn(listen);
        spawned.map_err(failed)?;
        Ok(Worker::Process(process))
    }

    fn start(&mut self, at: Timestamp) -> Result<(), String> {
        let gone = || "a job ended before it began".to_string();
        match self {
            Worker::Thread(start) => start.send(at).map_err(|_| gone()),
            Worker::Process(process) => {
                let input = process.input.as_mut().ok_or_else(gone)?;
                writeln!(input, "{}", at.as_nanosecond()).map_err(|_| gone())
            }
        }
    }
}
