//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::estimate::EstimateArgs;
use crate::serve::{ServeArgs, WorkerArgs};
use crate::validate::ValidateArgs;
use crate::validate::job::JobArgs;

/// Predict what a web system will do before you pay for it.
///
/// One TOML file says traffic, servers, balancer, scaling policy, prices and SLA; `scalesim run FILE` plays it request by
/// request and says which minutes break the SLA and why, and what it costs.
#[derive(Debug, Parser)]
#[command(name = "scalesim", version, after_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 the SLA holds, 1 it is violated, 2 the scenario or the command line is wrong,
3 a limit was reached or the run could not finish, 130 interrupted (what was simulated so far is written).

Start with `scalesim new my.toml`, then `scalesim check my.toml` and `scalesim run my.toml`.";

const ESTIMATE_CODES: &str = "\
Exit codes: 0 there is an answer, 1 no number of machines keeps the target, 2 the scenario or the command line is wrong,
3 there is nothing to play, 130 interrupted.";

const VALIDATE_CODES: &str = "\
Exit codes: 0 the model is within its bounds, 1 it is not, 2 the command line is wrong, 3 inconclusive: the machine is too
noisy to judge, or could not be measured; 130 interrupted.

End other programs first, and plug a laptop in. `scalesim validate --quick` tells whether the machine is quiet.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a scenario and report: verdict, causes, cost, plots.
    Run(RunArgs),
    /// Say everything that can be known without playing: errors, utilisation by hour, theory, how long it will take.
    Check(ScenarioArgs),
    /// The paper math, step by step: users, requests a second, the peak, machines for the SLA, headroom, money a month.
    ///
    /// From a scenario, or from flags: `scalesim estimate --users 50M --daily-active 20% --actions 4 --requests 3
    /// --service-time 8ms --target "p95 <= 100ms"`. Machines are counted by each of the usual formulas, side by side; the
    /// answer takes the one that fits the runtime, and says why. What nobody said is assumed, and listed.
    #[command(after_help = ESTIMATE_CODES)]
    Estimate(EstimateArgs),
    /// Print the scenario with every default filled in.
    Explain(ExplainArgs),
    /// Write a commented scenario to start from.
    New(NewArgs),
    /// Run loops on this machine and compare what the model of a machine predicts with what happens.
    ///
    /// 1 to 16 jobs and more, as threads and as processes, pinned and not, together and one after another; what a switch
    /// costs; how long a time slice is. The model's parameters are fitted to one part of the measurements, and the other
    /// part is predicted: the time of the last completion has to be within 5 %, switches within 20 %. On a machine that is
    /// busy with other things nothing is judged. Writes validation.json, a plot, and `machine.toml`: this machine as a
    /// table to paste into scenarios. Takes less than a minute unless told otherwise.
    #[command(after_help = VALIDATE_CODES)]
    Validate(ValidateArgs),
    /// A small server in several forms, to try `validate --server` on.
    ///
    /// `GET /` says what it is, as a scenario would; `GET /api/N` runs the course's loop N times; `GET /pid` says which
    /// process answers. It listens on 127.0.0.1 until it is ended. `examples/server.js` is the same in Node.
    Serve(ServeArgs),
    /// One worker of `serve processes`.
    #[command(hide = true)]
    ServeWorker(WorkerArgs),
    /// One job of `validate`, as a process of its own.
    #[command(hide = true)]
    ValidateJob(JobArgs),
}

#[derive(Debug, ClapArgs)]
pub struct ScenarioArgs {
    /// The scenario; `-` reads it from standard input.
    pub file: PathBuf,

    /// Change a value before anything is checked; may be repeated.
    ///
    /// Paths go by key, list items by index, keys with dots in quotes: `--set group.web.max=8`,
    /// `--set traffic.web.profile.day.peak=1200/s`, `--set sla.0.window=1min`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub struct RunArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,

    /// Where to write results.json, CSV and plots [default: out/<name of the file>].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print results.json to standard output instead of the summary; writes files only with --out.
    #[arg(long)]
    pub json: bool,

    /// Another seed than the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Play the scenario so many times, with other random numbers each, and give confidence intervals.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub replications: u32,

    /// No progress, and no word about where files went.
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,

    /// Print the resolved scenario: what a run would be told, every default included.
    #[arg(long, required = true)]
    pub resolved: bool,
}

#[derive(Debug, ClapArgs)]
pub struct NewArgs {
    /// Where to write it; `-` is standard output.
    #[arg(default_value = "scenario.toml")]
    pub file: PathBuf,

    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
}

impl ScenarioArgs {
    /// The `--set` options as paths and values.
    pub fn overrides(&self) -> Result<Vec<(String, String)>, String> {
        let split = |text: &String| match text.split_once('=') {
            Some((path, value)) => Ok((path.trim().to_string(), value.trim().to_string())),
            None => Err(format!("`--set {text}` has no `=`; write `--set group.web.max=8`")),
        };
        self.set.iter().map(split).collect()
    }
}
