//! `scheduler = …` of a machine: the parameters of its operating system.

use sim_core::Span;

use super::Context;
use super::dist::pairs;
use super::node::{Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::units::{Period, Size};
use crate::machine::{Kernel, Policy, Refill, Scheduler};

/// The slices that Linux lets a thread ask for.
const SLICES: [Span; 2] = [Span::from_micros(100), Span::from_millis(100)];

/// `"shares"`, `"slices"`, or with the kernel's parameters: `{ slices = { tick = "1ms", switch = "3us" } }`. What refilling
/// caches costs stands beside it until it is known what runs there.
pub fn scheduler(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    base: Scheduler,
    refill: Refill,
) -> (Scheduler, Refill) {
    let path = table.path_of("scheduler");
    let usual = match base {
        Scheduler::Shares(_) => "shares",
        Scheduler::Slices(_) => "slices",
    };
    let plain = Node { place: table.place().clone(), value: Value::String(usual.into()) };
    let node = table.node("scheduler").unwrap_or(&plain);
    let Some((kind, entry)) = choice(context.findings, &path, node, &["shares", "slices"]) else {
        return (base, refill);
    };
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let options = entry.map_or(&empty, |entry| &entry.node);
    let mut options = Reader::new(context.findings, format!("{path}.{kind}"), options);
    let (Scheduler::Shares(usual) | Scheduler::Slices(usual)) = base;
    let kernel = kernel(context, &mut options, usual, kind == "slices");
    let refill = self::refill(context, &mut options, refill);
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(options.finish()))]);
    table.resolve("scheduler", shown);
    (if kind == "slices" { Scheduler::Slices(kernel) } else { Scheduler::Shares(kernel) }, refill)
}

fn kernel(context: &Context<'_>, options: &mut Reader<'_>, usual: Kernel, slices: bool) -> Kernel {
    let path = options.path_of("policy");
    let known = if usual.policy == Policy::Cfs { "cfs" } else { "eevdf" };
    let policy = match options.node("policy") {
        Some(node) => {
            choice(context.findings, &path, node, &["eevdf", "cfs"]).map_or(known, |(name, _)| name)
        }
        None => known,
    };
    options.resolve("policy", policy);
    let slice = options.optional::<Span>("slice").or(usual.slice);
    if let Some(slice) = slice {
        options.resolve("slice", slice.to_string());
    }
    let [least, most] = SLICES;
    if let Some(slice) = slice.filter(|slice| !(least..=most).contains(slice)) {
        let message = format!("a slice of {slice}");
        context.findings.error(
            &options.place_of("slice"),
            message,
            format!("expected {least} to {most}"),
            None,
        );
    }
    Kernel {
        policy: if policy == "cfs" { Policy::Cfs } else { Policy::Eevdf },
        tick: options.or("tick", Period(usual.tick)).0,
        slice: slice.map(|slice| slice.clamp(least, most)),
        switch: options.or("switch", usual.switch),
        refill: usual.refill,
        // Nobody moves in the fluid limit, and no vCPU idles by itself.
        migration: if slices { options.or("migration", usual.migration) } else { usual.migration },
        wakeup: if slices { options.or("wakeup", usual.wakeup) } else { usual.wakeup },
    }
}

/// `"20us"` for every switch, or times by working set: `[["512 KiB", "2.2us"], ["8 MiB", "310us"]]`.
fn refill(context: &Context<'_>, options: &mut Reader<'_>, usual: Refill) -> Refill {
    let path = options.path_of("refill");
    let read = match options.node("refill") {
        None => None,
        Some(node) if matches!(node.value, Value::Array(_)) => curve(context, &path, node),
        Some(node) => match &node.value {
            Value::String(_) => read::<Span>(context.findings, &path, node).map(Refill::Same),
            other => {
                let message = format!("`{path}` is {}", other.kind());
                let label = format!("expected a duration for every switch, or {EXAMPLE}");
                context.findings.error(&node.place, message, label, None);
                None
            }
        },
    };
    let refill = read.unwrap_or(usual);
    let shown = match &refill {
        Refill::Same(time) => time.show(),
        Refill::Curve(points) => {
            let pair =
                |&(bytes, time): &(u64, Span)| toml::Value::Array(vec![Size(bytes).show(), time.show()]);
            toml::Value::Array(points.iter().map(pair).collect())
        }
    };
    options.resolve("refill", shown);
    refill
}

/// What a curve looks like, for messages.
const EXAMPLE: &str = "[[\"512 KiB\", \"2.2us\"], [\"8 MiB\", \"310us\"]]";

fn curve(context: &Context<'_>, path: &str, node: &Node) -> Option<Refill> {
    let points: Vec<(u64, Span)> = pairs::<Size, Span>(context, path, node, EXAMPLE)?
        .into_iter()
        .map(|(size, time)| (size.0, time))
        .collect();
    let (message, label) = if points.is_empty() {
        (format!("`{path}` is empty"), format!("expected {EXAMPLE}"))
    } else if points.len() > Refill::MOST_POINTS {
        let label = format!("at most {}", Refill::MOST_POINTS);
        (format!("`{path}` has {} points", points.len()), label)
    } else if points[0].0 == 0 {
        let label = "leave this point out: nothing takes no time to refill".to_string();
        (format!("`{path}` has a working set of nothing"), label)
    } else if points.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
        (format!("`{path}` has working sets that do not grow"), "expected larger ones later".to_string())
    } else if points.windows(2).any(|pair| pair[1].1 < pair[0].1) {
        let label = "expected times that do not fall".to_string();
        (format!("`{path}` has a larger working set that is refilled sooner"), label)
    } else {
        return Some(Refill::Curve(points));
    };
    context.findings.error(&node.place, message, label, None);
    None
}
