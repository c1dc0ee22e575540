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
#[cfg(test)]
mod stored;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use scalesim_report::{ValidationRow, validation_png, validation_svg};
use serde::Serialize;

use crate::progress::Spinner;
use crate::{Failure, exit, files, run, tell, unless_gone};
use data::{Measurements, Role};
use judge::{Judgement, Verdict};
use plan::Effort;

/// What `scalesim validate` is told.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Some fifteen seconds: enough to see that it works and whether the machine is quiet.
    #[arg(long, conflicts_with = "thorough")]
    quick: bool,

    /// Some minutes: more repetitions of longer jobs, for figures to publish.
    #[arg(long)]
    thorough: bool,

    /// Where to write validation.json, validation.svg, validation.png and machine.toml.
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
    let effort = match (args.quick, args.thorough) {
        (true, _) => Effort::QUICK,
        (_, true) => Effort::THOROUGH,
        _ => Effort::DEFAULT,
    };
    let stop = run::stop_on_interrupt();
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
    Ok(match judgement.verdict {
        _ if interrupted => exit::INTERRUPTED,
        Verdict::Pass => exit::OK,
        Verdict::Fail => exit::VIOLATED,
        Verdict::Inconclusive | Verdict::Fitted => exit::UNFINISHED,
    })
}

fn write(args: &ValidateArgs, measured: &Measurements, judgement: &Judgement) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Unfinished(format!("cannot make the report: {error}"));
    let report = Report { measurements: measured, judgement };
    let json = serde_json::to_vec_pretty(&report).map_err(|error| failed(&error))?;
    let title = format!("scalesim validate, {}, {} vCPUs", measured.date, measured.machine.vcpus);
    let rows: Vec<ValidationRow> = judgement.rows.iter().map(|row| plotted(row, judgement)).collect();
    files::write_all(
        &args.out,
        &[
            ("validation.json", json),
            ("validation.svg", validation_svg(&title, &rows).map_err(|error| failed(&error))?),
            ("validation.png", validation_png(&title, &rows).map_err(|error| failed(&error))?),
            ("machine.toml", machine_toml::render(measured, &judgement.fitted).into_bytes()),
        ],
    )
}

/// A row as the plot takes it: seconds.
fn plotted(row: &judge::Row, judgement: &Judgement) -> ValidationRow {
    let seconds = |compared: &judge::Compared| scalesim_report::Measured {
        measured: compared.measured / 1e9,
        low: compared.low / 1e9,
        high: compared.high / 1e9,
        predicted: compared.predicted / 1e9,
    };
    let switches = row.involuntary.filter(|_| judge::crowded(&row.setup, judgement.fitted.vcpus));
    ValidationRow {
        label: judge::name(&row.setup),
        fitted: row.setup.role == Role::Fit,
        last: seconds(&row.makespan),
        mean: seconds(&row.mean),
        switches: switches.map(|compared| scalesim_report::Measured {
            measured: compared.measured,
            low: compared.low,
            high: compared.high,
            predicted: compared.predicted,
        }),
    }
}
