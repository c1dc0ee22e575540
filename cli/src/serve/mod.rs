//! `scalesim serve`: a small server in several forms, to try `scalesim validate --server` on.
//!
//! `GET /` says what it is, as a scenario would; `GET /api/N` runs the course's loop N times; `GET /pid` says which process
//! answers. [`answer`] is all of that; the rest is who calls it, which is what the forms differ in.

mod event_loop;
mod processes;
mod thread_pool;
mod threads;

use std::hint::black_box;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::validate::job::MOST_ITERATIONS;
use crate::{Failure, exit};

pub use processes::{WorkerArgs, worker};

/// Connections that may wait to be accepted: what Rust's standard library asks for.
const BACKLOG: u32 = 128;
/// Connections that a process holds at most; more are closed.
const MOST_CONNECTIONS: usize = 10_000;

/// What `scalesim serve` is told.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// How it works through its requests.
    form: Form,

    /// The port on 127.0.0.1 [default: the variable PORT, else 8080].
    #[arg(long)]
    port: Option<u16>,

    /// Threads of the pool, or processes [default: one for each vCPU].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: Option<u32>,
}

/// How a server works through its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One thread for everything, one request after another.
    EventLoop,
    /// A few threads that take requests from one queue.
    ThreadPool,
    /// A thread for each connection.
    ThreadPerRequest,
    /// Processes that were forked before, event loops on one shared listener.
    Processes,
}

/// Serves until it is ended.
pub fn serve(args: &ServeArgs) -> Result<u8, Failure> {
    let port = match (args.port, std::env::var("PORT")) {
        (Some(port), _) => port,
        (None, Ok(text)) => text
            .parse()
            .map_err(|_| Failure::Usage(format!("PORT is `{text}`, which is no port: 1 to 65535")))?,
        (None, Err(_)) => 8080,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| refused(port, &error))?;
    let workers = args.workers.unwrap_or_else(vcpus);
    let about = about(args.form, workers);
    let mut out = io::stdout();
    writeln!(out, "listening on http://{}, process {}\n{about}", listener.local_addr()?, std::process::id())?;
    out.flush()?;
    match args.form {
        Form::EventLoop => event_loop::run(listener, &about)?,
        Form::ThreadPool => thread_pool::run(listener, &about, workers)?,
        Form::ThreadPerRequest => threads::run(&listener, &about)?,
        Form::Processes => processes::run(listener, &about, workers)?,
    }
    Ok(exit::OK)
}

fn vcpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// The line that a scenario would have for this server. What the runtime adds to a request is measured, not assumed.
fn about(form: Form, workers: u32) -> String {
    let runtime = match form {
        Form::EventLoop => format!("{{ event-loop = {{ accept_queue = {BACKLOG} }} }}"),
        Form::ThreadPool => {
            format!("{{ thread-pool = {{ threads = {workers}, accept_queue = {BACKLOG} }} }}")
        }
        Form::ThreadPerRequest => "{ thread-per-request = {} }".to_string(),
        Form::Processes => format!(
            "{{ processes = {{ workers = {workers}, accept = \"shared\", each = {{ event-loop = {{ accept_queue = {BACKLOG} }} }} }} }}"
        ),
    };
    format!("runtime = {runtime}")
}

/// Two processes that want one port: the lesson of the cluster module.
fn refused(port: u16, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AddrInUse {
        return Failure::Usage(format!(
            "port {port} is taken (EADDRINUSE): independent processes cannot listen on one port; choose another with \
             `--port`, or let `scalesim serve processes` share one listener among processes"
        ));
    }
    Failure::Usage(format!("cannot listen on 127.0.0.1:{port}: {error}"))
}

/// Status and body for a path. `about` is what `GET /` answers.
fn answer(path: &str, about: &str) -> (u16, String) {
    match path {
        "/" => (200, format!("scalesim's small server\n{about}\n")),
        "/pid" => (200, std::process::id().to_string()),
        _ => match path.strip_prefix("/api/").and_then(|n| n.parse().ok()) {
            Some(n) if n <= MOST_ITERATIONS => (200, compute(n)),
            Some(_) => (400, format!("at most {MOST_ITERATIONS} iterations\n")),
            None => (404, "try /, /api/1000000 and /pid\n".to_string()),
        },
    }
}

/// The course's loop, and how long it took. Numbers are floating point, as they are in JavaScript: each addition waits for
/// the one before, so that a hyper-thread next door, which nobody sees from inside a virtual machine, costs it little.
fn compute(n: u64) -> String {
    let began = Instant::now();
    let mut count = 0.0;
    for i in 0..=n {
        count = black_box(count + i as f64);
    }
    let nanos = began.elapsed().as_nanos();
    format!("{{\"n\":{n},\"count\":{count},\"nanos\":{nanos},\"pid\":{}}}\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_three_paths() {
        assert_eq!(answer("/pid", "").1, std::process::id().to_string());
        assert!(answer("/", "runtime = x").1.contains("runtime = x"));
        let (status, body) = answer("/api/4", "");
        assert!(status == 200 && body.contains("\"count\":10,"), "0 + 1 + 2 + 3 + 4: {body}");
        assert_eq!(answer("/api/5000000001", "").0, 400);
        assert_eq!(answer("/api/x", "").0, 404);
    }

    /// What it says of itself is a line of a scenario.
    #[test]
    fn it_says_what_it_is_as_a_scenario_does() {
        for &form in Form::value_variants() {
            let scenario = format!(
                "scenario.duration = \"1s\"\ntraffic.t = {{ to = \"front\", profile = {{ constant = \"1/s\" }} }}\n\
                 group.g = {{ service = \"s\", machine = \"c6i.large\", min = 1 }}\nbalancer.front.targets = \"g\"\n\
                 [service.s]\n{}\nendpoint.page.steps = [{{ cpu = \"1ms\" }}]\n",
                about(form, 2)
            );
            scalesim::Scenario::parse(&scenario).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
