//! `scalesim check`: everything that can be known without playing.

mod workers;

use std::io::{self, Write};

use scalesim::machine::Scheduler;
use scalesim::plan::{GroupId, Plan};
use scalesim::theory::Mmc;
use scalesim_report::{Clock, count, duration, short, value};
use sim_core::{Span, Time};

use crate::args::ScenarioArgs;
use crate::{Failure, exit, load};

/// Events that one core plays in a second, for the estimate; measured in `benches/RESULTS.md`.
const EVENTS_A_SECOND: f64 = 12e6;
/// Rows of the table.
const MOST_ROWS: u64 = 24;

/// Prints it.
pub fn check(args: &ScenarioArgs) -> Result<u8, Failure> {
    let scenario = load(args)?;
    let plan = scenario.plan();
    let mut out = io::stdout().lock();
    let end = Time::ZERO + plan.duration;
    let requests: f64 = plan.traffic.iter().map(|traffic| traffic.expected_requests(Time::ZERO, end)).sum();
    let events = plan.expected_events();
    writeln!(out, "{}: no errors", args.file.display())?;
    writeln!(
        out,
        "{} requests over {}, about {} events: some {} on one core",
        count(requests),
        duration(plan.duration.as_secs_f64()),
        count(events),
        duration((events / EVENTS_A_SECOND).ceil().max(1.0))
    )?;
    for index in 0..plan.groups.len() {
        group(&mut out, plan, GroupId(index as u16))?;
    }
    if !plan.notes.is_empty() {
        writeln!(out, "\nNotes")?;
        for note in &plan.notes {
            writeln!(out, "  · {note}")?;
        }
    }
    Ok(exit::OK)
}

/// Utilisation of a group by hour, at its smallest, initial and largest size.
fn group(out: &mut impl Write, plan: &Plan, id: GroupId) -> io::Result<()> {
    if let Some(capacity) = plan.worker_capacity(id) {
        return workers::workers(out, plan, id, &capacity);
    }
    let group = &plan.groups[id.index()];
    let each = plan.capacity_per_instance(id);
    let demand = plan.demands()[id.index()];
    if demand.visits == 0.0 {
        return writeln!(out, "\nGroup {}: no traffic reaches it", group.name);
    }
    writeln!(
        out,
        "\nGroup {}: one {} serves {}/s; {} of CPU a request",
        group.name,
        group.machine().name,
        short(each),
        value(demand.cpu / demand.visits, "s")
    )?;
    if let Some(line) = scheduling(plan, id, demand.cpu / demand.visits) {
        writeln!(out, "  {line}")?;
    }
    let load = |from: Time, to: Time| {
        let seconds = to.since(from).as_secs_f64();
        let clients = plan.traffic.iter().map(|traffic| traffic.expected_requests(from, to) / seconds);
        clients.sum::<f64>() * demand.visits
    };
    table(out, plan, id, "load/s", each, load, |load| theory(plan, id, load, group.desired))
}

/// Rows of the utilisation of a group whose instances can serve `each` a second.
fn table(
    out: &mut impl Write,
    plan: &Plan,
    id: GroupId,
    of: &str,
    each: f64,
    load: impl Fn(Time, Time) -> f64,
    theory: impl Fn(f64) -> String,
) -> io::Result<()> {
    let group = &plan.groups[id.index()];
    let clock = Clock::of(&plan.start.to_string(), plan.duration.as_secs_f64());
    let sizes = [group.min, group.desired, group.max];
    writeln!(
        out,
        "  {:<10} {:>10} {:>12} {:>12} {:>12}   {:>14}   theory at {}",
        "from",
        of,
        format!("at min {}", sizes[0]),
        format!("at start {}", sizes[1]),
        format!("at max {}", sizes[2]),
        "needed at 70 %",
        group.desired
    )?;
    let step = row_length(plan.duration);
    let rows = plan.duration.as_nanos().div_ceil(step.as_nanos());
    for row in 0..rows {
        let from = Time::ZERO + step.saturating_mul(row);
        let to = (from + step).min(Time::ZERO + plan.duration);
        let load = load(from, to);
        let utilisation = sizes.map(|size| load / (each * f64::from(size)));
        let row = format!(
            "  {:<10} {:>10} {:>12} {:>12} {:>12}   {:>14}   {}",
            clock.time(from.as_secs_f64()),
            short(load),
            percent(utilisation[0]),
            percent(utilisation[1]),
            percent(utilisation[2]),
            (load / each / 0.7).ceil(),
            theory(load)
        );
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

/// Whether sharing without slices is a fair picture of a machine: it is where a request's CPU time is many slices, or where
/// threads cannot outnumber vCPUs.
fn scheduling(plan: &Plan, id: GroupId, cpu: f64) -> Option<String> {
    let group = &plan.groups[id.index()];
    let processor = &group.machine().processor;
    let runtime = plan.services[group.service.index()].runtime;
    let Scheduler::Shares(kernel) = processor.scheduler else { return None };
    let crowded = runtime.held_threads(processor.vcpus).is_none_or(|threads| threads > processor.vcpus)
        && !runtime.has_pool();
    let slice = kernel.quantum(processor.vcpus).as_secs_f64();
    (crowded && cpu < SLICES_A_REQUEST * slice).then(|| {
        format!(
            "threads may outnumber vCPUs, and a request is {} of CPU for slices of {}: means hold, turns do not show; \
             `scheduler = \"slices\"` plays them",
            value(cpu, "s"),
            value(slice, "s")
        )
    })
}

/// CPU time of so many slices is shared as if slices had no length.
const SLICES_A_REQUEST: f64 = 5.0;

/// Rows of whole hours, or of a 24th of a shorter run.
fn row_length(duration: Span) -> Span {
    let least = duration.as_nanos().div_ceil(MOST_ROWS);
    let hour = Span::from_secs(3_600).as_nanos();
    Span::from_nanos(if least > hour / 2 { least.div_ceil(hour) * hour } else { least.max(1) })
}

fn percent(share: f64) -> String {
    if share > 1.0 { format!("{:.0} % !", 100.0 * share) } else { format!("{:.0} %", 100.0 * share) }
}

/// The mean response time of one instance that gets an even share of the load, where a formula applies: processor
/// sharing over the cores, whose mean holds for any distribution of CPU times. Waits are added to it.
fn theory(plan: &Plan, id: GroupId, load: f64, size: u32) -> String {
    let group = &plan.groups[id.index()];
    let demand = plan.demands()[id.index()];
    let (cpu, waits) = (demand.cpu / demand.visits, (demand.held - demand.cpu) / demand.visits);
    let servers =
        plan.services[group.service.index()].runtime.computing_threads(group.machine().processor.vcpus);
    if cpu == 0.0 || load == 0.0 {
        return format!("mean {}", value(cpu + waits, "s"));
    }
    match Mmc::new(load / f64::from(size.max(1)), 1.0 / cpu, servers) {
        Ok(model) if size > 0 => format!("mean {}", value(model.mean_sojourn() + waits, "s")),
        _ => "overloaded".to_string(),
    }
}
