//! `scalesim validate`: the model of the machine against the machine it runs on.
//!
//! [`measure`] runs the course's loop in many ways, [`fit`] takes the model's parameters from one part of it, [`predict`]
//! plays the other part, and [`judge`] compares, or refuses to. All but the first are functions of the measurements.

mod batch;
mod counters;
mod data;
mod fit;
mod hops;
pub mod job;
mod judge;
mod machine_toml;
mod measure;
mod pin;
mod plan;
mod predict;
mod server;
#[cfg(test)]
mod stored;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use scalesim_report::{Validation, ValidationRow, validation_png, validation_svg};
use serde::Serialize;

use crate::progress::Spinner;
use crate::{Failure, exit, files, run, tell, unless_gone};
use data::{Measurements, Role};
use judge::{Judgement, Verdict};
use plan::Effort;

/// What `scalesim validate` is told.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Some fifteen seconds (for each server): enough to see that it works and whether the machine is quiet.
    #[arg(long, conflicts_with = "thorough")]
    quick: bool,

    /// Some minutes: more repetitions of longer jobs, for figures to publish.
    #[arg(long)]
    thorough: bool,

    /// Put load on a server that runs on this machine instead; may be repeated, to compare servers.
    ///
    /// Requests come at random instants (Poisson), whether or not those before are answered, at stated shares of the
    /// throughput that the server has. The simulator is given the same arrivals, the server's `runtime`, and service times
    /// measured before and after each load, and has to predict the response times. A server that answers `GET /api/N` and
    /// `GET /` as `scalesim serve` does is asked for work of 2 ms; any other for the path of the URL.
    #[arg(long, value_name = "URL", group = "servers")]
    server: Vec<String>,

    /// The same with a server that is started by a command, which listens on the port in the variable PORT.
    ///
    /// `--start "scalesim serve event-loop" --start "node examples/server.js cluster"`
    #[arg(long, value_name = "COMMAND", group = "servers")]
    start: Vec<String>,

    #[command(flatten)]
    load: server::LoadArgs,

    /// Where to write validation.json (servers.json), plots and machine.toml.
    #[arg(long, value_name = "DIR", default_value = "out/validate")]
    out: PathBuf,

    /// What the order of the runs is shuffled with.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// No progress, and no word about where files went.
    #[arg(long, short)]
    quiet: bool,
}

/// All of `validation.json`.
#[derive(Serialize)]
struct Report<'a> {
    measurements: &'a Measurements,
    judgement: &'a Judgement,
}

/// Measures, judges, writes and prints.
pub fn validate(args: &ValidateArgs) -> Result<u8, Failure> {
    files::prepare(&args.out)?;
    if !args.server.is_empty() || !args.start.is_empty() {
        return server::validate(args);
    }
    let effort = match (args.quick, args.thorough) {
        (true, _) => Effort::QUICK,
        (_, true) => Effort::THOROUGH,
        _ => Effort::DEFAULT,
    };
    let stop = run::stop_on_interrupt(|| {});
    let spinner = Spinner::new(args.quiet);
    let measured = measure::measure(&effort, args.seed, &stop, &|share, what| spinner.update(share, what));
    spinner.finish();
    let measured = measured.map_err(Failure::Unfinished)?;
    let interrupted = stop.load(Ordering::Relaxed);
    let Some(judgement) = judge::judge(&measured) else {
        if interrupted {
            return Ok(exit::INTERRUPTED);
        }
        return Err(Failure::Unfinished(
            "no time was measured: this system's clock does not advance".to_string(),
        ));
    };
    // The files first: whoever reads the table may go away, as `head` does.
    write(args, &measured, &judgement)?;
    let mut out = io::stdout().lock();
    let table = table::render(&measured, &judgement);
    unless_gone(out.write_all(table.as_bytes()).and_then(|()| out.flush()))?;
    if !args.quiet {
        let folder = args.out.display();
        tell(&format!("\nin {folder}: validation.png, validation.svg, validation.json, machine.toml"));
    }
    Ok(if interrupted { exit::INTERRUPTED } else { code(judgement.verdict) })
}

/// The exit code of a verdict.
fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => exit::OK,
        Verdict::Fail => exit::VIOLATED,
        Verdict::Inconclusive | Verdict::Fitted => exit::UNFINISHED,
    }
}

fn write(args: &ValidateArgs, measured: &Measurements, judgement: &Judgement) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Unfinished(format!("cannot make the report: {error}"));
    let report = Report { measurements: measured, judgement };
    let json = serde_json::to_vec_pretty(&report).map_err(|error| failed(&error))?;
    let plot = Validation {
        title: format!("scalesim validate, {}, {} vCPUs", measured.date, measured.machine.vcpus),
        left: "when jobs were done".to_string(),
        right: "times a job had to give way".to_string(),
        right_in_seconds: false,
        legend: ["last job, measured: range and median", "mean of the jobs, measured"]
            .map(String::from)
            .to_vec(),
        rows: judgement.rows.iter().map(|row| plotted(row, judgement)).collect(),
    };
    files::write_all(
        &args.out,
        &[
            ("validation.json", json),
            ("validation.svg", validation_svg(&plot).map_err(|error| failed(&error))?),
            ("validation.png", validation_png(&plot).map_err(|error| failed(&error))?),
            ("machine.toml", machine_toml::render(measured, &judgement.fitted).into_bytes()),
        ],
    )
}

/// A row as the plot takes it: seconds.
fn plotted(row: &judge::Row, judgement: &Judgement) -> ValidationRow {
    let switches = row.involuntary.filter(|_| judge::crowded(&row.setup, judgement.fitted.vcpus));
    ValidationRow {
        label: judge::name(&row.setup),
        fitted: row.setup.role == Role::Fit,
        left: vec![row.makespan.plotted(1e9), row.mean.plotted(1e9)],
        right: switches.map(|compared| compared.plotted(1.0)),
    }
}
