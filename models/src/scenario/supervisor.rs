//! `supervisor = …` of a service: who starts a process again that has died.

use sim_core::Span;

use super::Context;
use super::node::{Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::units::Period;
use crate::plan::{GiveUp, Supervisor};

const KINDS: [&str; 4] = ["none", "pm2", "systemd", "restart"];
const NEVER: &str = "never";

/// pm2's `EXP_BACKOFF_RESET_TIMER`, and the longest of its growing waits.
const STABLE_AFTER: Span = Span::from_secs(30);
const MOST_DELAY: Span = Span::from_secs(15);

/// Reads who looks after a service's processes; nobody unless the scenario says so.
pub fn supervisor(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Supervisor> {
    let path = table.path_of("supervisor");
    let nobody = Node { place: table.place().clone(), value: Value::String(KINDS[0].into()) };
    let node = table.node("supervisor").unwrap_or(&nobody);
    let (kind, entry) = choice(context.findings, &path, node, &KINDS)?;
    if kind == "none" {
        table.resolve("supervisor", kind);
        return None;
    }
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let options = entry.map_or(&empty, |entry| &entry.node);
    let mut options = Reader::new(context.findings, format!("{path}.{kind}"), options);
    let supervisor = match kind {
        "pm2" => pm2(context, &mut options),
        "systemd" => systemd(context, &mut options),
        _ => restart(context, &mut options),
    };
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(options.finish()))]);
    table.resolve("supervisor", shown);
    Some(supervisor)
}

/// pm2, with the names of its ecosystem file.
fn pm2(context: &Context<'_>, options: &mut Reader<'_>) -> Supervisor {
    let fixed = options.or("restart_delay", Span::ZERO);
    let growing: Option<Period> = options.optional("exp_backoff_restart_delay");
    let exits = at_least_one(context, options, "max_restarts", 16);
    let min_uptime = options.or("min_uptime", Span::from_secs(1));
    let within = Some(min_uptime.saturating_mul(u64::from(exits)));
    Supervisor {
        name: "pm2",
        delay: growing.map_or(fixed, |growing| growing.0),
        backoff: if growing.is_some() { 1.5 } else { 1.0 },
        most_delay: MOST_DELAY,
        stable_after: STABLE_AFTER,
        give_up: GiveUp::Unstable { exits, min_uptime, within },
    }
}

/// systemd, with the names of its unit files in our spelling.
fn systemd(context: &Context<'_>, options: &mut Reader<'_>) -> Supervisor {
    let delay = options.or("restart_sec", Span::from_millis(100));
    let burst = at_least_one(context, options, "start_limit_burst", 5);
    let within = options.or("start_limit_interval", Span::from_secs(10));
    Supervisor {
        name: "systemd",
        delay,
        backoff: 1.0,
        most_delay: delay,
        stable_after: within,
        // An interval of zero switches the limit off, as in a unit file.
        give_up: if within.is_zero() { GiveUp::Never } else { GiveUp::Starts { burst, within } },
    }
}

/// Anybody else: a primary that forks anew, Docker, Kubernetes.
fn restart(context: &Context<'_>, options: &mut Reader<'_>) -> Supervisor {
    let delay = options.or("delay", Span::ZERO);
    let backoff = options.or("backoff", 1.0);
    if backoff < 1.0 {
        let message = format!("`{}` makes waits shorter", options.path_of("backoff"));
        context.findings.error(&options.place_of("backoff"), message, "expected 1 or more", None);
    } else if backoff > 1.0 && delay.is_zero() {
        let message = format!("`{}` lets a wait of zero grow", options.path_of("backoff"));
        let help = Some("add the first wait, `delay = \"100ms\"`".to_string());
        context.findings.error(&options.place_of("backoff"), message, "zero stays zero", help);
    }
    let most_delay = options.or("most_delay", MOST_DELAY.max(delay));
    if most_delay < delay {
        let message =
            format!("`{}` is shorter than the first wait of {delay}", options.path_of("most_delay"));
        context.findings.error(&options.place_of("most_delay"), message, "expected as long or longer", None);
    }
    let stable_after = options.or("stable_after", STABLE_AFTER);
    let exits = give_up_after(context, options);
    let min_uptime = options.or("min_uptime", Span::from_secs(1));
    let give_up = exits.map_or(GiveUp::Never, |exits| GiveUp::Unstable { exits, min_uptime, within: None });
    Supervisor { name: "its supervisor", delay, backoff, most_delay, stable_after, give_up }
}

/// `"never"`, or how many deaths in a row that come too soon.
fn give_up_after(context: &Context<'_>, options: &mut Reader<'_>) -> Option<u32> {
    let node = options.node("give_up_after").filter(|node| node.value != Value::String(NEVER.into()));
    let Some(node) = node else {
        options.resolve("give_up_after", NEVER);
        return None;
    };
    let path = options.path_of("give_up_after");
    let exits: u32 = read(context.findings, &path, node)?;
    if exits == 0 {
        context.findings.error(
            &node.place,
            format!("`{path}` is zero"),
            "expected 1 or more, or \"never\"",
            None,
        );
    }
    options.resolve("give_up_after", exits.show());
    Some(exits)
}

fn at_least_one(context: &Context<'_>, options: &mut Reader<'_>, key: &'static str, default: u32) -> u32 {
    let count = options.or(key, default);
    if count == 0 {
        let message = format!("`{}` is zero", options.path_of(key));
        context.findings.error(&options.place_of(key), message, "expected 1 or more", None);
    }
    count.max(1)
}
