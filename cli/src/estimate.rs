//! `scalesim estimate`: the paper math, from flags or from a scenario, and the simulation beside it.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args as ClapArgs;
use scalesim::estimate::{
    Audience, AudienceError, Comparison, Estimate, Options, Players, Target, compare, estimate,
};
use scalesim::{Scenario, Watch, estimate as paper};
use scalesim_report::{Style, render_estimate};
use serde::Serialize;
use sim_core::Span;

use crate::args::ScenarioArgs;
use crate::run::stop_on_interrupt;
use crate::{Failure, colour, exit, load, tell, unless_gone};

/// What may be said on the command line.
#[derive(Debug, ClapArgs)]
pub struct EstimateArgs {
    /// A scenario to estimate: traffic, mix, demands, machines, SLA and prices are its own. Without one, say --users or
    /// --concurrent.
    pub file: Option<PathBuf>,

    /// Change a value of the scenario before anything is checked; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE", requires = "file")]
    pub set: Vec<String>,

    #[command(flatten)]
    pub audience: AudienceArgs,

    /// Be ready for a spike: the peak times this within a minute, before new instances serve. 1 or more.
    #[arg(long, value_name = "FACTOR", help_heading = HEADROOM, value_parser = factor)]
    pub spike: Option<f64>,

    /// How fast load grows, as a share in a minute [default: the steepest stretch of the profile].
    #[arg(long, value_name = "SHARE", help_heading = HEADROOM, value_parser = paper::share)]
    pub growth: Option<f64>,

    /// Play the peak at the size that was found, and put formula and simulation side by side. Where they differ by more than
    /// the run's interval, each assumption that the scenario breaks is made true, to see which one closes the gap.
    #[arg(long)]
    pub simulate: bool,

    /// Another seed than the scenario's.
    #[arg(long, requires = "simulate")]
    pub seed: Option<u64>,

    /// Print everything as JSON instead.
    #[arg(long)]
    pub json: bool,

    /// No word about what is played.
    #[arg(long, short)]
    pub quiet: bool,
}

const HEADROOM: &str = "Headroom";
const USERS: &str = "Users (instead of a scenario)";
const SERVERS: &str = "Servers (instead of a scenario)";
const SOCKETS: &str = "Websockets (instead of a scenario)";

/// An audience and its servers. What is not said is assumed, and printed as an assumption.
#[derive(Debug, ClapArgs)]
#[group(id = "audience", multiple = true, conflicts_with = "file")]
pub struct AudienceArgs {
    /// Everybody with an account: 50M, 300k.
    #[arg(long, value_name = "N", help_heading = USERS, value_parser = paper::number)]
    pub users: Option<f64>,
    /// How many of them come on a day: 20% [default: 20%].
    #[arg(long, value_name = "SHARE", help_heading = USERS, value_parser = paper::share)]
    pub daily_active: Option<f64>,
    /// What each of these does on a day [default: 10].
    #[arg(long, value_name = "N", help_heading = USERS, value_parser = paper::number)]
    pub actions: Option<f64>,
    /// Requests of an action [default: 1].
    #[arg(long, value_name = "N", help_heading = USERS, value_parser = paper::number)]
    pub requests: Option<f64>,
    /// The busiest hour over the mean: 1 to 24 [default: 3].
    #[arg(long, value_name = "FACTOR", help_heading = USERS, value_parser = factor)]
    pub peak_factor: Option<f64>,

    /// CPU time of a request, measured on an idle machine [default: 10ms].
    #[arg(long, value_name = "TIME", help_heading = SERVERS)]
    pub service_time: Option<Span>,
    /// Its standard deviation over its mean; 0 is always the same, 1 exponential [default: 1].
    #[arg(long, value_name = "CV", help_heading = SERVERS, value_parser = paper::number)]
    pub cv: Option<f64>,
    /// What a request waits for beside that, such as its database; exponential [default: nothing].
    #[arg(long, value_name = "TIME", help_heading = SERVERS)]
    pub wait: Option<Span>,
    /// How the server works: thread-per-request, thread-pool, event-loop, async, … [default: thread-per-request].
    #[arg(long, value_name = "KIND", help_heading = SERVERS)]
    pub runtime: Option<String>,
    /// The instance type [default: c7g.large].
    #[arg(long, value_name = "TYPE", help_heading = SERVERS)]
    pub machine: Option<String>,
    /// What the balancer does: round-robin, random, least-outstanding-requests, … [default: round-robin].
    #[arg(long, value_name = "ALGORITHM", help_heading = SERVERS)]
    pub balancer: Option<String>,
    /// What has to hold at the peak: "p95 <= 100ms", "mean <= 50ms", or of the wait alone "p80 wait <= 20s"
    /// [default: p95 <= 200ms].
    #[arg(long, value_name = "OBJECTIVE", help_heading = SERVERS)]
    pub target: Option<String>,
    /// Availability Zones: with one of them lost the others carry the peak [default: 3].
    #[arg(long, value_name = "N", help_heading = SERVERS)]
    pub zones: Option<u32>,
    /// From the launch of an instance until it serves [default: 60s].
    #[arg(long, value_name = "TIME", help_heading = SERVERS)]
    pub startup: Option<Span>,
    /// What an hour of the machine costs [default: the price book's].
    #[arg(long, value_name = "PRICE", help_heading = SERVERS, value_parser = paper::number)]
    pub hourly: Option<f64>,

    /// Clients with an open connection at the same time, at the peak: 200k.
    #[arg(long, value_name = "N", help_heading = SOCKETS, value_parser = paper::number)]
    pub concurrent: Option<f64>,
    /// How long a connection stays open on average [default: 30min].
    #[arg(long, value_name = "TIME", help_heading = SOCKETS)]
    pub session: Option<Span>,
    /// Messages of each in a second, both ways [default: 0.2].
    #[arg(long, value_name = "N", help_heading = SOCKETS, value_parser = paper::number)]
    pub messages: Option<f64>,
    /// CPU time of a message [default: 0.5ms].
    #[arg(long, value_name = "TIME", help_heading = SOCKETS)]
    pub message_time: Option<Span>,
    /// Memory of a connection [default: 60 KiB].
    #[arg(long, value_name = "SIZE", help_heading = SOCKETS)]
    pub connection_memory: Option<String>,
}

/// A factor of 1 or more.
fn factor(text: &str) -> Result<f64, String> {
    let factor = paper::number(text.trim_start_matches('x')).map_err(|error| error.to_string())?;
    if factor >= 1.0 { Ok(factor) } else { Err(format!("`{text}` is less than 1")) }
}

/// All of it, as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    estimate: &'a Estimate,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulation: Option<&'a Comparison>,
}

/// Estimates, plays where it was asked to, and prints.
pub fn run(args: &EstimateArgs) -> Result<u8, Failure> {
    let mut options = Options { spike: args.spike, growth: args.growth, wait: None };
    let (scenario, estimate) = match &args.file {
        Some(file) => {
            let scenario = load(&ScenarioArgs { file: file.clone(), set: args.set.clone() })?;
            let of = estimate(scenario.plan(), &options);
            (scenario, of)
        }
        None => from_flags(&args.audience, &mut options)?,
    };
    let comparison = if args.simulate { Some(play(args, &scenario, &estimate)?) } else { None };
    unless_gone(print(args, &estimate, comparison.as_ref()))?;
    let unreachable = estimate.groups.iter().any(|group| group.instances.is_none());
    Ok(match &comparison {
        Some(comparison) if comparison.interrupted => exit::INTERRUPTED,
        _ if unreachable => exit::VIOLATED,
        _ => exit::OK,
    })
}

fn play(args: &EstimateArgs, scenario: &Scenario, estimate: &Estimate) -> Result<Comparison, Failure> {
    let stop = stop_on_interrupt(|| {});
    if !args.quiet {
        tell(
            "playing the peak, and again with each assumption made true where formula and simulation disagree",
        );
    }
    let watch = Watch { stop: Some(&stop), progress: None };
    let seed = args.seed.unwrap_or(scenario.plan().seed);
    let played = compare(scenario.plan(), estimate, seed, watch);
    played.map_err(|why| Failure::Unfinished(format!("there is nothing to play: {why}")))
}

fn print(args: &EstimateArgs, estimate: &Estimate, comparison: Option<&Comparison>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &Answer { estimate, simulation: comparison })?;
        writeln!(out)?;
    } else {
        let style = if colour(io::stdout().is_terminal()) { Style::Colour } else { Style::Plain };
        out.write_all(render_estimate(estimate, comparison, style).as_bytes())?;
    }
    out.flush()
}

/// What flags say, with what they do not say assumed.
fn from_flags(flags: &AudienceArgs, options: &mut Options) -> Result<(Scenario, Estimate), Failure> {
    if flags.users.is_none() && flags.concurrent.is_none() {
        let hint = "name a scenario, or say how many: `scalesim estimate --users 50M --service-time 8ms`";
        return Err(Failure::Usage(format!("nothing to estimate (hint: {hint})")));
    }
    let mut assumed = Vec::new();
    let audience = audience(flags, options, &mut assumed).map_err(Failure::Usage)?;
    let (scenario, mut of) = audience.estimate(options).map_err(|error| match error {
        AudienceError::Range(why) => Failure::Usage(why),
        AudienceError::Scenario(diagnostics) => Failure::Scenario(diagnostics),
    })?;
    assumed.append(&mut of.assumed);
    of.assumed = assumed;
    Ok((scenario, of))
}

fn audience(
    flags: &AudienceArgs,
    options: &mut Options,
    assumed: &mut Vec<String>,
) -> Result<Audience, String> {
    let target = flags.target.clone().unwrap_or_else(|| {
        assumed.push("--target \"p95 <= 200ms\"".to_string());
        "p95 <= 200ms".to_string()
    });
    options.wait = wait_target(&target)?;
    let target = if options.wait.is_some() { None } else { Some(target) };
    let mut or = Assumed(assumed);
    let players = flags.concurrent.map(|concurrent| Players {
        concurrent,
        session: or.span("session", flags.session, "30min"),
        messages: or.number("messages", flags.messages, 0.2),
        message_time: or.span("message-time", flags.message_time, "0.5ms"),
        memory: or.text("connection-memory", flags.connection_memory.as_ref(), "60 KiB"),
    });
    let with_users = flags.users.is_some();
    let mut of_users =
        |name, value, usual| if with_users { or.number(name, value, usual) } else { value.unwrap_or(usual) };
    let [actions, requests, peak_factor] = [
        of_users("actions", flags.actions, 10.0),
        of_users("requests", flags.requests, 1.0),
        of_users("peak-factor", flags.peak_factor, 3.0),
    ];
    let daily_active = flags.daily_active.unwrap_or_else(|| {
        if with_users {
            or.0.push("--daily-active 20%".to_string());
        }
        0.2
    });
    Ok(Audience {
        users: flags.users.unwrap_or(0.0),
        daily_active,
        actions,
        requests,
        peak_factor,
        service_time: or.span("service-time", flags.service_time, "10ms"),
        cv: or.number("cv", flags.cv, 1.0),
        wait: flags.wait.filter(|wait| !wait.is_zero()),
        runtime: or.text("runtime", flags.runtime.as_ref(), "thread-per-request"),
        machine: or.text("machine", flags.machine.as_ref(), "c7g.large"),
        balancer: or.text("balancer", flags.balancer.as_ref(), "round-robin"),
        target,
        zones: or.number("zones", flags.zones.map(f64::from), 3.0) as u32,
        startup: or.span("startup", flags.startup, "60s"),
        hourly: flags.hourly,
        players,
    })
}

/// Defaults that are written down as they are used.
struct Assumed<'a>(&'a mut Vec<String>);

impl Assumed<'_> {
    fn number(&mut self, name: &str, said: Option<f64>, usual: f64) -> f64 {
        said.unwrap_or_else(|| {
            self.0.push(format!("--{name} {usual}"));
            usual
        })
    }

    fn span(&mut self, name: &str, said: Option<Span>, usual: &str) -> Span {
        said.unwrap_or_else(|| {
            self.0.push(format!("--{name} {usual}"));
            usual.parse().unwrap_or_default()
        })
    }

    fn text(&mut self, name: &str, said: Option<&String>, usual: &str) -> String {
        said.cloned().unwrap_or_else(|| {
            self.0.push(if usual.contains(' ') {
                format!("--{name} \"{usual}\"")
            } else {
                format!("--{name} {usual}")
            });
            usual.to_string()
        })
    }
}

/// `p80 wait <= 20s`; `None` where it is not about the wait alone.
fn wait_target(text: &str) -> Result<Option<Target>, String> {
    let Some((share, bound)) = text.split_once("wait") else { return Ok(None) };
    let bad = || format!("`{text}` is not a target: write \"p80 wait <= 20s\"");
    let percent = share.trim().strip_prefix('p').ok_or_else(bad)?;
    let share = paper::share(&format!("{percent}%")).map_err(|_| bad())?;
    let bound = bound.trim().strip_prefix("<=").ok_or_else(bad)?.trim();
    let bound: Span = if bound.starts_with('0') && bound.trim_end_matches('s') == "0" {
        Span::ZERO
    } else {
        bound.parse().map_err(|_| bad())?
    };
    if share <= 0.0 || share >= 1.0 {
        return Err(format!("`{text}`: a share between 0 and 100 %, both left out"));
    }
    Ok(Some(Target::Wait { share, bound: bound.as_secs_f64() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_of_the_wait_says_a_share_and_a_bound() {
        let wait = |share, bound| Ok(Some(Target::Wait { share, bound }));
        assert_eq!(wait_target("p80 wait <= 20s"), wait(0.8, 20.0));
        assert_eq!(wait_target("p95 wait <= 0s"), wait(0.95, 0.0));
        assert_eq!(wait_target("p95 <= 100ms"), Ok(None), "that is about the response time");
        for bad in ["wait <= 1s", "p80 wait < 1s", "p80 wait <= soon", "p100 wait <= 1s", "p0 wait <= 1s"] {
            assert!(wait_target(bad).is_err(), "{bad}");
        }
    }
}
