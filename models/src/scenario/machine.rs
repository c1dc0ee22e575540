//! `[machine.NAME]`: vCPUs, what limits them, and how the operating system shares them out.

use std::collections::BTreeMap;

use sim_core::Span;

use super::Context;
use super::diagnostic::Place;
use super::kernel::scheduler;
use super::node::{Entry, Node, Value};
use super::reader::{Reader, read};
use super::units::{Nice, Positive, Size};
use crate::machine::{Credits, Kernel, Processor, Quota, Refill, SMT_GAIN, Scheduler, weight_of_nice};
use crate::plan::{Background, Machine};

/// The most vCPUs of a machine.
const MOST_VCPUS: f64 = 1_024.0;
/// The most GPUs of a machine.
const MOST_GPUS: u32 = 64;
/// The most background threads of a machine.
const MOST_THREADS: u32 = 1_024;
/// Linux' default period of a CPU quota, and its limits.
const QUOTA_PERIODS: [Span; 3] = [Span::from_millis(1), Span::from_millis(100), Span::from_secs(1)];

/// Reads a machine type. `like` names one of those that are known.
pub fn machine(
    context: &Context<'_>,
    known: &BTreeMap<String, Machine>,
    entry: &Entry,
) -> (Machine, toml::Table) {
    let mut table = Reader::new(context.findings, format!("machine.{}", entry.key), &entry.node);
    let base = like(context, known, &mut table);
    let mut machine = base.clone().unwrap_or_else(|| Machine {
        name: String::new(),
        processor: Processor { scheduler: Scheduler::Shares(Kernel::LINUX), ..Processor::plain(1) },
        memory_gib: 4.0,
        gpus: 0,
        hourly: None,
        refill: Refill::linux(),
        background: Vec::new(),
    });
    machine.name = entry.key.clone();
    let before = machine.processor.vcpus;
    vcpus(context, &mut table, base.is_some(), &mut machine.processor);
    if machine.processor.vcpus != before {
        machine.hourly = None; // the price is that of another size
    }
    let memory = table.or("memory", Size((machine.memory_gib * GIB).round() as u64)).0;
    machine.memory_gib = memory as f64 / GIB;
    machine.gpus = table.or("gpus", machine.gpus);
    if machine.gpus > MOST_GPUS {
        let message = format!("`{}` is {}", table.path_of("gpus"), machine.gpus);
        context.findings.error(&table.place_of("gpus"), message, format!("at most {MOST_GPUS}"), None);
    }
    if let Some(hourly) = table.optional("hourly").or(machine.hourly) {
        table.resolve("hourly", hourly);
        machine.hourly = Some(hourly);
    }
    smt(context, &mut table, &mut machine.processor);
    machine.processor.quota = quota(context, &mut table, &machine.processor).or(machine.processor.quota);
    machine.processor.credits = credits(context, &mut table, machine.processor.credits);
    (machine.processor.scheduler, machine.refill) =
        scheduler(context, &mut table, machine.processor.scheduler, machine.refill);
    machine.background = background(context, &mut table, &machine);
    (machine, table.finish())
}

const GIB: f64 = (1u64 << 30) as f64;

fn like(context: &Context<'_>, known: &BTreeMap<String, Machine>, table: &mut Reader<'_>) -> Option<Machine> {
    let name: String = table.optional("like")?;
    let found = known.get(&name).cloned();
    if found.is_none() {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let help = super::diagnostic::nearest(&name, names);
        let message = format!("there is no machine `{name}` to be like");
        context.findings.error(&table.place_of("like"), message, "unknown machine", help);
    }
    found
}

/// The name of the machine that this one is like, if it is like one.
pub fn base_of(entry: &Entry) -> Option<&str> {
    let Value::Table(keys) = &entry.node.value else { return None };
    match &keys.iter().find(|key| key.key == "like")?.node.value {
        Value::String(name) => Some(name),
        _ => None,
    }
}

/// A number of vCPUs; a fraction is a quota on the next whole number, as containers have it.
fn vcpus(context: &Context<'_>, table: &mut Reader<'_>, has_base: bool, processor: &mut Processor) {
    let given: Option<Positive> = if has_base { table.optional("vcpus") } else { table.required("vcpus") };
    let Some(Positive(vcpus)) = given else {
        return table.resolve("vcpus", i64::from(processor.vcpus));
    };
    if vcpus > MOST_VCPUS {
        let message = format!("`{}` is {vcpus}", table.path_of("vcpus"));
        context.findings.error(&table.place_of("vcpus"), message, format!("at most {MOST_VCPUS}"), None);
        return;
    }
    processor.vcpus = vcpus.ceil() as u32;
    let quota = Quota { cpus: vcpus, period: QUOTA_PERIODS[1] };
    processor.quota = (vcpus.fract() > 0.0).then_some(quota);
}

fn smt(context: &Context<'_>, table: &mut Reader<'_>, processor: &mut Processor) {
    let threads = table.or("threads_per_core", processor.threads_per_core);
    if !(1..=2).contains(&threads) {
        let message = format!("`{}` is {threads}", table.path_of("threads_per_core"));
        context.findings.error(&table.place_of("threads_per_core"), message, "expected 1 or 2", None);
    }
    processor.threads_per_core = threads.clamp(1, 2);
    if threads == 2 {
        let usual = if processor.smt_gain > 1.0 { processor.smt_gain } else { SMT_GAIN };
        processor.smt_gain = table.or("smt_gain", usual);
        range(context, table, "smt_gain", processor.smt_gain, 1.0, 2.0);
    }
    let steal = table.or("steal", processor.steal);
    range(context, table, "steal", steal, 0.0, 0.99);
    processor.steal = steal.min(0.99);
    let path = table.path_of("turbo");
    let given = table.items("turbo");
    if !given.is_empty() {
        let speeds = given.iter().filter_map(|item| read::<Positive>(context.findings, &path, item));
        processor.turbo = speeds.map(|speed| speed.0).collect();
        if processor.turbo.windows(2).any(|pair| pair[1] > pair[0]) {
            let message = format!("`{path}` rises");
            let label = "expected the speed with 1, 2, 3 … busy cores, which falls";
            context.findings.error(&table.place_of("turbo"), message, label, None);
        }
    }
    if !processor.turbo.is_empty() {
        table.resolve("turbo", processor.turbo.clone());
    }
}

fn range(context: &Context<'_>, table: &Reader<'_>, key: &str, value: f64, low: f64, high: f64) {
    if !(low..=high).contains(&value) {
        let message = format!("`{}` is {value}", table.path_of(key));
        context.findings.error(&table.place_of(key), message, format!("expected {low} to {high}"), None);
    }
}

/// `{ cpus = 0.5, period = "100ms" }`
fn quota(context: &Context<'_>, table: &mut Reader<'_>, processor: &Processor) -> Option<Quota> {
    let path = table.path_of("quota");
    let Some(node) = table.node("quota") else {
        if let Some(quota) = processor.quota {
            table.resolve("quota", show_quota(quota));
        }
        return None;
    };
    let mut options = Reader::new(context.findings, path.clone(), node);
    let cpus = options.required::<Positive>("cpus");
    let [least, usual, most] = QUOTA_PERIODS;
    let period = options.or("period", usual);
    if !(least..=most).contains(&period) {
        let label = format!("expected {least} to {most}");
        context.findings.error(&options.place_of("period"), format!("a period of {period}"), label, None);
    }
    if cpus.is_some_and(|cpus| cpus.0 * period.as_secs_f64() < 1e-3) {
        let message = "less than 1 ms of CPU time a period";
        context.findings.error(&options.place_of("cpus"), message, "Linux refuses this", None);
    }
    if let Some(cpus) = cpus.filter(|cpus| cpus.0 > f64::from(processor.vcpus)) {
        let message = format!("a quota of {} vCPUs on a machine that has {}", cpus.0, processor.vcpus);
        context.findings.error(&options.place_of("cpus"), message, "it limits nothing", None);
    }
    let shown = options.finish();
    table.resolve("quota", shown);
    Some(Quota { cpus: cpus?.0, period })
}

fn show_quota(quota: Quota) -> toml::Table {
    let period = toml::Value::String(quota.period.to_string());
    toml::Table::from_iter([
        ("cpus".to_string(), toml::Value::Float(quota.cpus)),
        ("period".to_string(), period),
    ])
}

/// `{ per_hour = 24, most = 576, launch = 0, unlimited = true, surplus_price = 0.05 }`, over all vCPUs; or only what is
/// different from the machine that this one is like.
fn credits(context: &Context<'_>, table: &mut Reader<'_>, base: Option<Credits>) -> Option<Credits> {
    let path = table.path_of("credits");
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let node = table.node("credits");
    let given = node.is_some();
    if !given && base.is_none() {
        return None;
    }
    let node = node.unwrap_or(&empty);
    if node.value == Value::String("none".into()) {
        table.resolve("credits", "none");
        return None;
    }
    let mut options = Reader::new(context.findings, path, node);
    let per_hour = match base {
        Some(base) => Some(options.or("per_hour", Positive(base.baseline * 60.0)).0),
        None => options.required::<Positive>("per_hour").map(|per_hour| per_hour.0),
    };
    let usual = base.unwrap_or(Credits {
        baseline: 0.0,
        launch: 0.0,
        most: 24.0 * per_hour.unwrap_or(0.0), // a day's earning
        unlimited: false,
        surplus_price: 0.05,
    });
    let usual_per_hour = base.map(|base| base.baseline * 60.0);
    let credits = Credits {
        baseline: per_hour.unwrap_or(60.0) / 60.0,
        launch: options.or("launch", usual.launch),
        most: options
            .or("most", if per_hour == usual_per_hour { usual.most } else { 24.0 * per_hour.unwrap_or(0.0) }),
        unlimited: options.or("unlimited", usual.unlimited),
        surplus_price: options.or("surplus_price", usual.surplus_price),
    };
    let shown = options.finish();
    table.resolve("credits", shown);
    Some(credits)
}

/// `[{ name = "browser", threads = 2, nice = 5, pin = 0 }]`: threads that always want a vCPU.
fn background(context: &Context<'_>, table: &mut Reader<'_>, machine: &Machine) -> Vec<Background> {
    let path = table.path_of("background");
    if table.node("background").is_none() {
        for program in &machine.background {
            check_pin(context, table.place(), &machine.processor, program);
        }
        return machine.background.clone();
    }
    let (mut programs, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in table.items("background").iter().enumerate() {
        let mut options = Reader::new(context.findings, format!("{path}.{index}"), item);
        let name = options.or("name", format!("program {}", index + 1));
        let threads = options.or("threads", 1u32);
        if threads == 0 || threads > MOST_THREADS {
            let label = format!("expected 1 to {MOST_THREADS}");
            context.findings.error(&options.place_of("threads"), format!("{threads} threads"), label, None);
        }
        let weight = weight_of_nice(options.or("nice", Nice(0)).0);
        let pin = options.optional::<u32>("pin").map(|pin| u16::try_from(pin).unwrap_or(u16::MAX));
        let program = Background { name, threads: threads.min(MOST_THREADS), weight, pin };
        check_pin(context, &options.place_of("pin"), &machine.processor, &program);
        shown.push(toml::Value::Table(options.finish()));
        programs.push(program);
    }
    if !shown.is_empty() {
        table.resolve("background", shown);
    }
    programs
}

/// A program can be pinned to a vCPU that is there, where vCPUs are told apart.
fn check_pin(context: &Context<'_>, place: &Place, processor: &Processor, program: &Background) {
    let Some(pin) = program.pin else { return };
    let message = format!("`{}` is pinned to vCPU {pin}", program.name);
    if u32::from(pin) >= processor.vcpus {
        let label = format!("expected 0 to {}: they are numbered from 0", processor.vcpus.saturating_sub(1));
        context.findings.error(place, message, label, None);
    } else if matches!(processor.scheduler, Scheduler::Shares(_)) {
        let label = "with `shares` everybody runs on all vCPUs at once";
        context.findings.error(place, message, label, Some(PLAY_SLICES.to_string()));
    }
}

/// What makes pinning mean something.
pub const PLAY_SLICES: &str = "set `scheduler = \"slices\"` of its machine, which tells vCPUs apart";
