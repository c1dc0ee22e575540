//! `scalesim validate --server`: the simulator against real servers on this machine.
//!
//! [`target`] is the server, [`load`] puts load on it, [`measure`] says which and between which calibrations, [`predict`]
//! lets the simulator play the same, and [`judge`] compares. The last two are functions of the measurements.

mod connections;
mod data;
mod judge;
mod load;
mod measure;
mod predict;
#[cfg(test)]
mod stored;
mod table;
mod target;

use std::io::{self, Write};
use std::sync::atomic::Ordering;

use clap::Args;
use scalesim_report::{Validation, ValidationRow, validation_png, validation_svg};
use serde::Serialize;

use super::{ValidateArgs, code, pin};
use crate::progress::Spinner;
use crate::{Failure, exit, files, run, tell, unless_gone};
use data::{Connections, Measurements, Server, Sizes};
use judge::Judgement;
use measure::{Asked, Effort};
use target::Target;

/// What is told about the load on servers.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// How the server works through requests, as a scenario says it: `event-loop`, `{ thread-pool = { threads = 8 } }`
    /// [default: what `GET /` says].
    #[arg(long, value_name = "TOML", requires = "servers")]
    runtime: Option<String>,

    /// Shares of the server's throughput to put on it [default: 0.5,0.7,0.85].
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "servers")]
    utilisation: Vec<f64>,

    /// How the work of requests varies, where the server does as much as it is asked to.
    #[arg(long, value_enum, default_value_t = Sizes::Constant, requires = "servers")]
    sizes: Sizes,

    /// Which connections requests go through [default: kept, or one per request where processes share a listener].
    #[arg(long, value_enum, requires = "servers")]
    connections: Option<Connections>,

    /// Let servers that are started use all vCPUs, and the load too, which disturbs them; else the last vCPU is kept for
    /// the load, where there are several.
    #[arg(long, requires = "servers")]
    beside: bool,
}

/// All of `servers.json`.
#[derive(Serialize)]
struct Report<'a> {
    measurements: &'a Measurements,
    judgement: &'a Judgement,
}

/// Measures, judges, writes and prints.
pub fn validate(args: &ValidateArgs) -> Result<u8, Failure> {
    let effort = match (args.quick, args.thorough) {
        (true, _) => Effort::QUICK,
        (_, true) => Effort::THOROUGH,
        _ => Effort::DEFAULT,
    };
    let utilisations = utilisations(&args.load, &effort)?;
    let stop = run::stop_on_interrupt(target::end_all);
    let running = args.server.iter().map(|url| Target::at(url));
    let (own, kept) = vcpus(args.load.beside);
    let started = args.start.iter().map(|command| {
        let vcpus = kept.map(|_| own.as_slice());
        Target::start(command, vcpus, &stop)
    });
    let targets: Result<Vec<Target>, String> = running.chain(started).collect();
    if stop.load(Ordering::Relaxed) {
        return Ok(exit::INTERRUPTED);
    }
    let mut targets = targets.map_err(Failure::Usage)?;
    let servers: Result<Vec<Server>, String> =
        targets.iter_mut().map(|target| about(target, &args.load)).collect();
    let servers = servers.map_err(Failure::Usage)?;
    let spinner = Spinner::new(args.quiet);
    let asked = Asked {
        targets: &mut targets,
        servers,
        effort,
        utilisations,
        sizes: args.load.sizes,
        seed: args.seed,
    };
    let measured = measure::measure(asked, &stop, &|share, what| spinner.update(share, what));
    spinner.finish();
    drop(targets);
    let interrupted = stop.load(Ordering::Relaxed);
    // Whatever fails once it was interrupted does so because of that.
    let measured = match measured {
        Err(_) if interrupted => return Ok(exit::INTERRUPTED),
        measured => measured.map_err(Failure::Unfinished)?,
    };
    if interrupted && measured.runs.is_empty() {
        return Ok(exit::INTERRUPTED);
    }
    let judgement = judge::judge(&measured).map_err(Failure::Unfinished)?;
    // The files first: whoever reads the table may go away, as `head` does.
    write(args, &measured, &judgement)?;
    let mut out = io::stdout().lock();
    let table = table::render(&measured, &judgement);
    unless_gone(out.write_all(table.as_bytes()).and_then(|()| out.flush()))?;
    if !args.quiet {
        tell(&format!("\nin {}: servers.png, servers.svg, servers.json", args.out.display()));
    }
    Ok(if interrupted { exit::INTERRUPTED } else { code(judgement.verdict) })
}

fn utilisations(args: &LoadArgs, effort: &Effort) -> Result<Vec<f64>, Failure> {
    let mut utilisations =
        if args.utilisation.is_empty() { effort.utilisations.to_vec() } else { args.utilisation.clone() };
    if let Some(bad) = utilisations.iter().find(|share| !(0.05..=judge::HIGHEST).contains(*share)) {
        return Err(Failure::Usage(format!(
            "a utilisation of {bad}: expected 0.05 to {}; beyond, a run of some seconds is all chance",
            judge::HIGHEST
        )));
    }
    utilisations.sort_by(f64::total_cmp);
    utilisations.dedup();
    Ok(utilisations)
}

/// The vCPUs for servers, and the one that is kept for the load: the last, where there is one to spare and threads can be
/// kept to it.
fn vcpus(beside: bool) -> (Vec<u32>, Option<u32>) {
    let mut own = pin::vcpus();
    let kept = if beside || own.len() < 2 || !pin::possible() { None } else { own.pop() };
    (own, kept)
}

/// What a server is: what it was said to be, or says itself.
fn about(target: &mut Target, args: &LoadArgs) -> Result<Server, String> {
    let root =
        target.get("/").map_err(|error| format!("{} does not answer `GET /`: {error}", target.name))?;
    let body = String::from_utf8_lossy(&root.body).into_owned();
    let told =
        body.lines().find_map(|line| line.trim().strip_prefix("runtime = ")).filter(|_| root.status == 200);
    let runtime = match (&args.runtime, told) {
        (Some(runtime), _) => quoted(runtime),
        (None, Some(told)) => told.to_string(),
        (None, None) => {
            return Err(format!(
                "{} does not say how it works through requests: add `--runtime event-loop`, or another of {}",
                target.name,
                ["thread-pool", "thread-per-request", "async", "gil", "cluster", "processes"].join(", ")
            ));
        }
    };
    let parsed = predict::runtime(&runtime).map_err(|why| format!("`--runtime {runtime}`: {why}"))?;
    let shared = parsed.workers.is_some_and(|workers| workers.accept == scalesim::plan::Accept::Shared);
    let usual = if shared { Connections::PerRequest } else { Connections::Kept };
    // A server that runs may have been kept to some vCPUs by whoever started it, so that the load finds one for itself.
    let all = pin::vcpus();
    target.find_processes();
    let pid = target.process().or(target.pids.first().copied());
    let own = pid.and_then(|pid| pin::vcpus_of(&pid.to_string())).unwrap_or_else(|| all.clone());
    target.load_vcpu = all.iter().rev().find(|vcpu| !own.contains(vcpu)).copied().filter(|_| pin::possible());
    // Whoever asks for a path wants that path, and a server with a loop of its own is asked for work.
    let loops = told.is_some() && target.path == "/";
    let path = if loops { "/api/1" } else { target.path.as_str() };
    let status =
        target.get(path).map_err(|error| format!("{} does not answer `GET {path}`: {error}", target.name))?;
    if status.status != 200 {
        return Err(format!("{} answers `GET {path}` with {}, not with 200", target.name, status.status));
    }
    Ok(Server {
        name: target.name.clone(),
        runtime,
        connections: args.connections.unwrap_or(usual),
        accepted: Vec::new(),
        iterations: loops.then_some(1),
        vcpus: own.len() as u32,
        apart: target.load_vcpu.is_some(),
    })
}

/// A bare word becomes a string, as on the command line quotes can be left out.
fn quoted(runtime: &str) -> String {
    let bare = runtime.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if bare { format!("\"{runtime}\"") } else { runtime.to_string() }
}

fn write(args: &ValidateArgs, measured: &Measurements, judgement: &Judgement) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Unfinished(format!("cannot make the report: {error}"));
    let report = Report { measurements: measured, judgement };
    let json = serde_json::to_vec_pretty(&report).map_err(|error| failed(&error))?;
    let row = |row: &judge::Row| {
        let server = measured.servers.get(row.server).map_or("", table::name);
        ValidationRow {
            label: format!("{server} {:.0} %", 100.0 * row.utilisation),
            fitted: false,
            left: vec![row.mean.plotted(1e9)],
            right: Some(row.p95.plotted(1e9)),
        }
    };
    let plot = Validation {
        title: format!("scalesim validate --server, {}, {} vCPUs", measured.date, measured.machine.vcpus),
        left: "mean response time".to_string(),
        right: "95th percentile".to_string(),
        right_in_seconds: true,
        legend: vec!["measured: range and median".to_string()],
        rows: judgement.rows.iter().map(row).collect(),
    };
    files::write_all(
        &args.out,
        &[
            ("servers.json", json),
            ("servers.svg", validation_svg(&plot).map_err(|error| failed(&error))?),
            ("servers.png", validation_png(&plot).map_err(|error| failed(&error))?),
        ],
    )
}
