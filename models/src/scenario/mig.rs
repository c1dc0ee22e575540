//! `mig = { … }` of a group: the autoscaler of a managed instance group, in the words of its API.

use sim_core::{Span, Time};

use super::Context;
use super::cron::{Schedule, time_zone};
use super::group::MOST_INSTANCES;
use super::node::{Node, Value};
use super::predictive::one_of;
use super::reader::Reader;
use super::units::{Period, Positive, Rate};
use crate::plan::{Metric, Mig};
use crate::scaling::{LONGEST_WINDOW, MigMode, MigSchedule, MigSignal, MostRemoved, ScaleInControl};

/// The shortest time that a scaling schedule may last.
const SHORTEST_SCHEDULE: Span = Span::from_secs(300);

/// Reads the autoscaler of a managed instance group.
pub fn mig(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Mig> {
    let mut signals = Vec::new();
    // Without any signal the autoscaler holds CPU, as it does where one is made with all defaults.
    let others = ["load_balancing_utilization", "custom_metrics", "scaling_schedules"];
    let alone = others.into_iter().all(|key| table.node(key).is_none());
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    if let Some(node) = table.node("cpu_utilization").or(alone.then_some(&empty)) {
        signals.push(cpu(context, table, node));
    }
    if let Some(node) = table.node("load_balancing_utilization") {
        signals.push(load_balancing(context, table, node));
    }
    custom_metrics(context, table, &mut signals);
    let schedules = schedules(context, table);
    let initialization_period = table.or("initialization_period", Span::from_secs(60));
    if initialization_period > LONGEST_WINDOW {
        let message = format!("an initialization period of {initialization_period}");
        let label = format!("expected at most {LONGEST_WINDOW}");
        context.findings.error(&table.place_of("initialization_period"), message, label, None);
    }
    let scale_in_control = match table.node("scale_in_control") {
        Some(node) => scale_in_control(context, table, node).map(Some),
        None => Some(None),
    };
    let mode = one_of(context, table, "mode", &["on", "only-scale-out", "off"]);
    let mode = match mode? {
        "on" => MigMode::On,
        "off" => MigMode::Off,
        _ => MigMode::OnlyScaleOut,
    };
    let signals = signals.into_iter().collect::<Option<_>>()?;
    Some(Mig {
        signals,
        schedules: schedules?,
        initialization_period,
        scale_in_control: scale_in_control?,
        mode,
    })
}

/// `target` of a table, a share of 1.
fn share(context: &Context<'_>, options: &mut Reader<'_>, default: f64) -> f64 {
    let target = options.or("target", Positive(default)).0;
    if target > 1.0 {
        let message = format!("a target utilization of {target}");
        let help = Some(format!("it is a share: for {target} % write {}", target / 100.0));
        context.findings.error(&options.place_of("target"), message, "expected more than 0, at most 1", help);
    }
    target
}

fn cpu(context: &Context<'_>, table: &mut Reader<'_>, node: &Node) -> Option<MigSignal> {
    let mut options = Reader::new(context.findings, table.path_of("cpu_utilization"), node);
    let target = share(context, &mut options, 0.6);
    table.resolve("cpu_utilization", options.finish());
    Some(MigSignal { name: "CPU in %", metric: Metric::Cpu, target: 100.0 * target, full: 100.0 })
}

fn load_balancing(context: &Context<'_>, table: &mut Reader<'_>, node: &Node) -> Option<MigSignal> {
    let mut options = Reader::new(context.findings, table.path_of("load_balancing_utilization"), node);
    let target = share(context, &mut options, 0.8);
    let most = options.required::<Rate>("max_rate_per_instance");
    if most.is_some_and(|most| most.0 <= 0.0) {
        let place = options.place_of("max_rate_per_instance");
        context.findings.error(&place, "an instance that serves nothing", "expected more than 0", None);
    }
    table.resolve("load_balancing_utilization", options.finish());
    let full = 60.0 * most?.0;
    Some(MigSignal {
        name: "requests a minute",
        metric: Metric::RequestCountPerTarget,
        target: target * full,
        full,
    })
}

fn custom_metrics(context: &Context<'_>, table: &mut Reader<'_>, signals: &mut Vec<Option<MigSignal>>) {
    let path = table.path_of("custom_metrics");
    let mut shown = Vec::new();
    for (index, item) in table.items("custom_metrics").iter().enumerate() {
        let mut options = Reader::new(context.findings, format!("{path}.{index}"), item);
        let known =
            ["requests_per_target", "connections_per_target", "backlog_per_instance", "workers_busy", "gpu"];
        let metric = one_of(context, &mut options, "metric", &known);
        let target = options.required::<Positive>("target");
        shown.push(toml::Value::Table(options.finish()));
        signals.push(metric.zip(target).map(|(metric, target)| {
            let (name, metric) = match metric {
                "requests_per_target" => ("requests a minute", Metric::RequestCountPerTarget),
                // One value of the whole group (`single_instance_assignment`): its messages.
                "backlog_per_instance" => ("messages in the queue", Metric::BacklogPerInstance),
                "workers_busy" => ("workers busy in %", Metric::WorkersBusy),
                "gpu" => ("GPUs in use in %", Metric::Gpu),
                _ => ("open sessions", Metric::ConnectionsPerTarget),
            };
            MigSignal { name, metric, target: target.0, full: target.0 }
        }));
    }
    if !shown.is_empty() {
        table.resolve("custom_metrics", shown);
    }
}

/// `{ max_scaled_in_replicas = 3, time_window = "10min" }`, or a share such as `"20%"`.
fn scale_in_control(context: &Context<'_>, table: &mut Reader<'_>, node: &Node) -> Option<ScaleInControl> {
    let mut options = Reader::new(context.findings, table.path_of("scale_in_control"), node);
    let window = options.required::<Period>("time_window");
    if let Some(window) = window.filter(|window| window.0 > LONGEST_WINDOW) {
        let message = format!("a trailing window of {}", window.0);
        let label = format!("expected at most {LONGEST_WINDOW}");
        context.findings.error(&options.place_of("time_window"), message, label, None);
    }
    let key = "max_scaled_in_replicas";
    let most = match options.node(key) {
        None => {
            options.missing(key, "how many instances may be removed: 3, or \"20%\"");
            None
        }
        Some(Node { value: Value::String(text), place }) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
            let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
            if percent.is_none() {
                let message = format!("`{text}` is not a share of the peak size");
                context.findings.error(place, message, "expected \"0%\" to \"100%\", or a number", None);
            }
            options.resolve(key, text.as_str());
            percent.map(MostRemoved::Percent)
        }
        Some(_) => options.required::<u32>(key).map(MostRemoved::Instances),
    };
    table.resolve("scale_in_control", options.finish());
    Some(ScaleInControl { most: most?, window: window?.0 })
}

fn schedules(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Vec<MigSchedule>> {
    let path = table.path_of("scaling_schedules");
    let (mut schedules, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in table.items("scaling_schedules").iter().enumerate() {
        let mut options = Reader::new(context.findings, format!("{path}.{index}"), item);
        schedules.push(schedule(context, &mut options));
        shown.push(toml::Value::Table(options.finish()));
    }
    if !shown.is_empty() {
        table.resolve("scaling_schedules", shown);
    }
    schedules.into_iter().collect()
}

fn schedule(context: &Context<'_>, options: &mut Reader<'_>) -> Option<MigSchedule> {
    let cron = options.required::<String>("schedule");
    let zone = options.or("time_zone", "UTC".to_string());
    let duration = options.required::<Period>("duration");
    let min_required = options.required::<u32>("min_required_replicas");
    if let Some(count) = min_required.filter(|&count| count > MOST_INSTANCES) {
        let message = format!("{count} instances are more than the {MOST_INSTANCES} that a group may have");
        context.findings.error(&options.place_of("min_required_replicas"), message, "fewer", None);
    }
    if let Some(duration) = duration.filter(|duration| duration.0 < SHORTEST_SCHEDULE) {
        let message = format!("a schedule that lasts {}", duration.0);
        let label = format!("expected {SHORTEST_SCHEDULE} or more");
        context.findings.error(&options.place_of("duration"), message, label, None);
    }
    let (cron, duration) = (cron?, duration?.0);
    let zone = time_zone(context, &zone, &options.place_of("time_zone"))?;
    let parsed = super::cron::cron(context, &cron, &options.place_of("schedule"))?;
    let comes = Schedule::new(parsed, zone, &cron);
    let (schedule, active) = (comes.words(), stretches(&comes, context, duration));
    Some(MigSchedule { schedule, active, min_required: min_required? })
}

/// When a schedule is in force during the run. One that began before it may still be so.
fn stretches(comes: &Schedule, context: &Context<'_>, duration: Span) -> Vec<(Time, Time)> {
    let nanos = |span: Span| i128::from(span.as_nanos());
    let time = |nanos: i128| Time::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX));
    let begins = comes.instants(context, (-nanos(duration), false), nanos(context.duration));
    begins.into_iter().map(|from| (time(from), time(from + nanos(duration)))).collect()
}
