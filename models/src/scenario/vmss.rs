//! `vmss = { … }` of a group: the autoscale setting of a virtual machine scale set, in the words of Azure Monitor.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use sim_core::{Span, Time};

use super::Context;
use super::cron::time_zone;
use super::node::Node;
use super::predictive::one_of;
use super::reader::{Reader, choice, read};
use super::units::{Moment, TimeOfDay};
use crate::plan::{Metric, Vmss};
use crate::scaling::{
    Comparison, Direction, MOST_EVALUATED, TimeAggregation, VmssChange, VmssProfile, VmssRule, VmssStatistic,
};

/// The limits of a group, which are those of its default profile, and the period of its instances' metrics.
#[derive(Clone, Copy)]
pub struct OfGroup {
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// The period of a CPU datapoint.
    pub monitoring: Span,
}

/// The bounds of a cooldown: a minute to a week.
const COOLDOWN: [Span; 2] = [Span::from_secs(60), Span::from_secs(7 * 86_400)];
/// The bounds of a time window: 5 minutes to 12 hours.
const WINDOW: [Span; 2] = [Span::from_secs(300), Span::from_secs(43_200)];
/// What rules can go by; Azure Monitor has numbers of messages of queues as well, and metrics of one's own.
const METRICS: [Metric; 10] = [
    Metric::Cpu,
    Metric::RequestCountPerTarget,
    Metric::ConnectionsPerTarget,
    Metric::BacklogPerInstance,
    Metric::QueueLength,
    Metric::MessagesInFlight,
    Metric::AgeOfOldestMessage,
    Metric::TimeToClear,
    Metric::WorkersBusy,
    Metric::Gpu,
];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads an autoscale setting.
pub fn vmss(context: &Context<'_>, table: &mut Reader<'_>, of: OfGroup) -> Option<Vmss> {
    let default = profile(context, table, "default", Vec::new(), of);
    let path = table.path_of("profiles");
    let (mut fixed, mut recurring, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let mut sound = true;
    for (index, item) in table.items("profiles").iter().enumerate() {
        let mut options = Reader::new(context.findings, format!("{path}.{index}"), item);
        let name = options.required::<String>("name");
        let times = times(context, &mut options);
        let dated = options.node("fixed_date").is_some();
        let called = name.clone().unwrap_or_default();
        let read = profile(context, &mut options, &called, times.clone().unwrap_or_default(), of);
        let read = read.filter(|_| name.is_some() && times.is_some());
        sound &= read.is_some();
        if dated {
            fixed.extend(read)
        } else {
            recurring.extend(read)
        }
        shown.push(toml::Value::Table(options.finish()));
    }
    if !shown.is_empty() {
        table.resolve("profiles", shown);
    }
    // Fixed dates go before recurring profiles; of equals the first.
    fixed.append(&mut recurring);
    sound.then_some(Vmss { profiles: fixed, default: default? })
}

/// The limits and rules of a profile.
fn profile(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    name: &str,
    active: Vec<(Time, Time)>,
    of: OfGroup,
) -> Option<VmssProfile> {
    let (min, max) = (table.or("min", of.min), table.or("max", of.max));
    let default = table.or("default", min);
    if min > max || min < of.min || max > of.max {
        let message =
            format!("profile `{name}` has {min} to {max} instances, and the group {} to {}", of.min, of.max);
        context.findings.error(
            &table.place_of("min"),
            message,
            "expected limits within those of the group",
            None,
        );
    } else if !(min..=max).contains(&default) {
        let message = format!("the default of {default} is outside {min} to {max}");
        context.findings.error(&table.place_of("default"), message, "expected min <= default <= max", None);
    }
    let path = table.path_of("rules");
    let (mut rules, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in table.items("rules").iter().enumerate() {
        let mut options = Reader::new(context.findings, format!("{path}.{index}"), item);
        rules.push(rule(context, &mut options, of.monitoring));
        shown.push(toml::Value::Table(options.finish()));
    }
    if table.node("rules").is_none() && name == "default" {
        table.missing("rules", "at least one rule, such as { metric = \"cpu\", direction = \"out\", threshold = 70, change = { count = 1 } }");
    }
    table.resolve("rules", shown);
    let rules = rules.into_iter().collect::<Option<_>>()?;
    Some(VmssProfile { name: name.to_string(), active, min, max, default, rules })
}

fn rule(context: &Context<'_>, table: &mut Reader<'_>, monitoring: Span) -> Option<VmssRule> {
    let metric = one_of(context, table, "metric", &METRICS.map(Metric::name));
    let direction = direction(context, table);
    let statistic = one_of(context, table, "statistic", &["average", "sum", "min", "max"]);
    let known = ["average", "minimum", "maximum", "total", "last", "count"];
    let aggregation = one_of(context, table, "time_aggregation", &known);
    // As Azure, but above a threshold for growing and below one for shrinking.
    let known: [&str; 4] = match direction {
        Some(Direction::In) => ["<", "<=", ">", ">="],
        _ => [">", ">=", "<", "<="],
    };
    let operator = one_of(context, table, "operator", &known);
    let threshold = table.required::<f64>("threshold");
    let of_instances = !matches!(aggregation, Some("total" | "count")) && statistic != Some("sum");
    if let Some(threshold) = threshold.filter(|&threshold| threshold > 100.0)
        && metric == Some("cpu")
        && of_instances
    {
        let message = format!("a CPU of {threshold} % is never reached");
        context.findings.error(&table.place_of("threshold"), message, "expected 0 to 100", None);
    }
    let change = change(context, table);
    let cooldown = within(context, table, "cooldown", Span::from_secs(300), COOLDOWN);
    let period = if metric == Some("cpu") { monitoring } else { Span::from_secs(60) };
    let grains = grains(context, table, period);
    let metric = METRICS.into_iter().find(|known| Some(known.name()) == metric)?;
    let (time_grain, time_window) = grains?;
    Some(VmssRule {
        metric,
        statistic: match statistic? {
            "average" => VmssStatistic::Average,
            "sum" => VmssStatistic::Sum,
            "min" => VmssStatistic::Min,
            _ => VmssStatistic::Max,
        },
        time_grain,
        time_aggregation: match aggregation? {
            "average" => TimeAggregation::Average,
            "minimum" => TimeAggregation::Minimum,
            "maximum" => TimeAggregation::Maximum,
            "total" => TimeAggregation::Total,
            "last" => TimeAggregation::Last,
            _ => TimeAggregation::Count,
        },
        time_window,
        operator: match operator? {
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "<" => Comparison::Less,
            _ => Comparison::LessOrEqual,
        },
        threshold: threshold?,
        direction: direction?,
        change: change?,
        cooldown,
    })
}

fn direction(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Direction> {
    if table.node("direction").is_none() {
        table.missing("direction", "\"out\" or \"in\"");
        return None;
    }
    let name = one_of(context, table, "direction", &["out", "in"])?;
    Some(if name == "out" { Direction::Out } else { Direction::In })
}

/// A duration between two others.
fn within(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    default: Span,
    [least, most]: [Span; 2],
) -> Span {
    let span = table.or(key, default);
    if span < least || span > most {
        let message = format!("`{}` is {span}", table.path_of(key));
        context.findings.error(&table.place_of(key), message, format!("expected {least} to {most}"), None);
    }
    span
}

/// The time grain in datapoints of `period`, and the time window in grains.
fn grains(context: &Context<'_>, table: &mut Reader<'_>, period: Span) -> Option<(usize, usize)> {
    let grain = table.or("time_grain", period);
    let window = within(context, table, "time_window", Span::from_secs(600), WINDOW);
    let fits =
        |span: Span, into: Span| span >= into && span.as_nanos().is_multiple_of(into.as_nanos().max(1));
    if !fits(grain, period) {
        let message = format!("a time grain of {grain}, and the metric has a value every {period}");
        let help = (period > Span::from_secs(60))
            .then(|| "`monitoring = \"detailed\"` has one a minute".to_string());
        context.findings.error(
            &table.place_of("time_grain"),
            message,
            format!("expected a multiple of {period}"),
            help,
        );
        return None;
    }
    if !fits(window, grain) {
        let message = format!("a time window of {window} is no multiple of the time grain of {grain}");
        context.findings.error(
            &table.place_of("time_window"),
            message,
            format!("expected a multiple of {grain}"),
            None,
        );
        return None;
    }
    let (points, grains) =
        (grain.as_nanos() / period.as_nanos().max(1), window.as_nanos() / grain.as_nanos());
    let (points, grains) = (usize::try_from(points).ok()?, usize::try_from(grains).ok()?);
    (points.saturating_mul(grains) <= MOST_EVALUATED).then_some((points, grains))
}

/// `{ count = 1 }`, `{ percent = 20 }` or `{ exact = 5 }`.
fn change(context: &Context<'_>, table: &mut Reader<'_>) -> Option<VmssChange> {
    let path = table.path_of("change");
    let Some(node) = table.node("change") else {
        table.missing("change", "{ count = 1 }, { percent = 20 } or { exact = 5 }");
        return None;
    };
    let (name, entry) = choice(context.findings, &path, node, &["count", "percent", "exact"])?;
    let Some(entry) = entry else {
        let label = format!("expected {{ {name} = … }}");
        context.findings.error(&node.place, format!("`{path}` needs a number"), label, None);
        return None;
    };
    let path = format!("{path}.{name}");
    let shown = |value: toml::Value| toml::Table::from_iter([(name.to_string(), value)]);
    let change = if name == "percent" {
        let percent: f64 = read(context.findings, &path, &entry.node)?;
        table.resolve("change", shown(toml::Value::Float(percent)));
        if percent <= 0.0 || percent > 1_000.0 {
            let message = format!("a change of {percent} %");
            context.findings.error(&entry.node.place, message, "expected more than 0, at most 1000", None);
        }
        VmssChange::Percent(percent)
    } else {
        let count: u32 = read(context.findings, &path, &entry.node)?;
        table.resolve("change", shown(toml::Value::Integer(i64::from(count))));
        if name == "count" && count == 0 {
            context.findings.error(&entry.node.place, "a change of nothing", "expected 1 or more", None);
        }
        if name == "count" { VmssChange::Count(count) } else { VmssChange::Exact(count) }
    };
    Some(change)
}

/// When a profile is in force: `fixed_date = { from, to }` or `recurrence = { days, start, end, time_zone }`.
fn times(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Vec<(Time, Time)>> {
    match (table.node("fixed_date"), table.node("recurrence")) {
        (Some(node), None) => {
            let mut options = Reader::new(context.findings, table.path_of("fixed_date"), node);
            let (from, to) = (options.required::<Moment>("from"), options.required::<Moment>("to"));
            let from = from.and_then(|at| context.moment(&at, &options.place_of("from")));
            let to = to.and_then(|at| context.moment(&at, &options.place_of("to")));
            if from.zip(to).is_some_and(|(from, to)| to <= from) {
                let message = "the profile ends before it begins";
                context.findings.error(&options.place_of("to"), message, "expected a later time", None);
            }
            table.resolve("fixed_date", options.finish());
            Some(vec![(from?, to?)])
        }
        (None, Some(node)) => {
            let mut options = Reader::new(context.findings, table.path_of("recurrence"), node);
            let times = recurrence(context, &mut options);
            table.resolve("recurrence", options.finish());
            times
        }
        _ => {
            table.missing("recurrence", "either `recurrence` or `fixed_date`: when the profile is in force");
            None
        }
    }
}

fn recurrence(context: &Context<'_>, options: &mut Reader<'_>) -> Option<Vec<(Time, Time)>> {
    let path = options.path_of("days");
    let given: &[Node] = options.items("days");
    let chosen = given.iter().map(|item| choice(context.findings, &path, item, &DAYS).map(|(day, _)| day));
    let days: Option<Vec<&str>> = chosen.collect();
    let days = days.map(|days| if given.is_empty() { DAYS.to_vec() } else { days });
    options.resolve("days", days.iter().flatten().map(|&day| toml::Value::from(day)).collect::<Vec<_>>());
    let (start, end) = (options.required::<TimeOfDay>("start"), options.required::<TimeOfDay>("end"));
    if start.zip(end).is_some_and(|(start, end)| start == end) {
        let label = "expected another time; for whole days use a profile a day, or the default one";
        context.findings.error(&options.place_of("end"), "it ends when it begins", label, None);
    }
    let zone = options.or("time_zone", "UTC".to_string());
    let zone = time_zone(context, &zone, &options.place_of("time_zone"));
    let (days, start, end) = (days?, start?.0, end?.0);
    Some(stretches(context, &zone?, &days, start, end))
}

/// The stretches of the run from one time of day to another, on these days; one that ends earlier in the day than it begins
/// ends on the next.
fn stretches(
    context: &Context<'_>,
    zone: &TimeZone,
    days: &[&str],
    start: Span,
    end: Span,
) -> Vec<(Time, Time)> {
    let run_end = Time::ZERO + context.duration;
    let mut stretches = Vec::new();
    // One that began the day before may still be in force.
    let mut date = context.start.with_time_zone(zone.clone()).date().yesterday().ok();
    while let Some(day) = date {
        let name = DAYS.get(day.weekday().to_monday_zero_offset().unsigned_abs() as usize);
        let last = if end > start { Some(day) } else { day.tomorrow().ok() };
        let from = instant(context, zone, day, start);
        let to = last.and_then(|last| instant(context, zone, last, end));
        let Some((from, to)) = from.zip(to) else { break };
        if from > i128::from(run_end.as_nanos()) {
            break;
        }
        if to > 0 && name.is_some_and(|name| days.contains(name)) {
            let time = |nanos: i128| Time::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX));
            stretches.push((time(from), time(to)));
        }
        date = day.tomorrow().ok();
    }
    stretches
}

/// Nanoseconds since the start of the run at a time of day.
fn instant(context: &Context<'_>, zone: &TimeZone, date: Date, time_of_day: Span) -> Option<i128> {
    let seconds = i64::try_from(time_of_day.as_nanos() / 1_000_000_000).ok()?;
    let civil = date.to_datetime(jiff::civil::Time::midnight()).checked_add(seconds.seconds()).ok()?;
    let at: Zoned = civil.to_zoned(zone.clone()).ok()?;
    Some(at.timestamp().duration_since(context.start.timestamp()).as_nanos())
}
