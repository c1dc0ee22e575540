//! Step and simple scaling, and the alarms that somebody makes for them: what the provider takes, and what it refuses.

use sim_core::Span;

use super::Context;
use super::node::{Node, Value};
use super::reader::{Read, Reader, choice};
use super::units::{Period, Whole};
use crate::plan::{Metric, Scaling, SimpleScaling, StepScaling};
use crate::scaling::{
    Adjustment, AdjustmentType, Aggregation, Alarm, Comparison, MOST_STEPS, MetricAlarm, MissingData,
    Statistic, Step,
};

/// The longest time that an evaluation of an alarm may be about.
const MOST_INTERVAL: Span = Span::from_secs(86_400);

/// A bound of a step: any number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound(f64);

impl Read for Bound {
    const EXPECTED: &'static str = "a number";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Ok(Bound(*number as f64)),
            Value::Float(number) if number.is_finite() => Ok(Bound(*number)),
            Value::Float(_) => Err("the number is not finite; leave the bound out".to_string()),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Float(self.0)
    }
}

/// A metric by its name, `default` where none is given.
pub fn metric(context: &Context<'_>, table: &mut Reader<'_>, default: Option<Metric>) -> Option<Metric> {
    let known = Metric::ALL.map(Metric::name);
    let metric = match table.node("metric") {
        Some(node) => {
            let (name, _) = choice(context.findings, &table.path_of("metric"), node, &known)?;
            Metric::ALL.into_iter().find(|metric| metric.name() == name)
        }
        None if default.is_none() => {
            table.missing("metric", "what it watches, such as \"cpu\"");
            None
        }
        None => default,
    }?;
    table.resolve("metric", metric.name());
    Some(metric)
}

/// `step = { alarm = { … }, adjustment_type = "…", steps = [{ lower = 0, adjustment = 10 }] }`
pub fn step(context: &Context<'_>, table: &mut Reader<'_>, monitoring: Span) -> Option<StepScaling> {
    no_cooldown(context, table);
    let alarm = alarm(context, table, monitoring);
    let kind = adjustment_type(context, table);
    let min_magnitude = min_magnitude(context, table, kind);
    let steps = steps(context, table, kind, min_magnitude);
    let aggregations = [
        ("average", Aggregation::Average),
        ("minimum", Aggregation::Minimum),
        ("maximum", Aggregation::Maximum),
    ];
    let metric_aggregation = one_of(context, table, "metric_aggregation", &aggregations, Some("average"));
    let estimated_instance_warmup = table.optional("estimated_instance_warmup");
    Some(StepScaling {
        alarm: alarm?,
        steps: steps?,
        metric_aggregation: metric_aggregation?,
        estimated_instance_warmup,
    })
}

/// `simple = { alarm = { … }, adjustment_type = "…", adjustment = 1, cooldown = "180s" }`
pub fn simple(context: &Context<'_>, table: &mut Reader<'_>, monitoring: Span) -> Option<SimpleScaling> {
    if table.node("estimated_instance_warmup").is_some() {
        let message = format!(
            "`{}`: simple scaling has a cooldown and no warm-up",
            table.path_of("estimated_instance_warmup")
        );
        let help = Some("write `cooldown`, or make it a step scaling policy".to_string());
        context.findings.error(
            &table.place_of("estimated_instance_warmup"),
            message,
            "of step scaling",
            help,
        );
    }
    let alarm = alarm(context, table, monitoring);
    let kind = adjustment_type(context, table);
    let min_magnitude = min_magnitude(context, table, kind);
    let by = table.required::<Whole>("adjustment").map(|by| by.0);
    if let Some(by) = by {
        capacity_above_zero(context, table, kind, by);
    }
    let cooldown = table.optional("cooldown");
    let adjustment = Adjustment { kind: kind?, by: by?, min_magnitude };
    Some(SimpleScaling { alarm: alarm?, adjustment, cooldown })
}

/// Policies that wait for no cooldown have none.
pub fn no_cooldown(context: &Context<'_>, table: &mut Reader<'_>) {
    if table.node("cooldown").is_some() {
        let message = format!("`{}`: only simple scaling waits for a cooldown", table.path_of("cooldown"));
        let help = Some("say with `estimated_instance_warmup` how long new instances warm up".to_string());
        context.findings.error(&table.place_of("cooldown"), message, "leave this out", help);
    }
}

/// A key whose value is one of some names.
fn one_of<T: Copy>(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    known: &[(&'static str, T)],
    default: Option<&'static str>,
) -> Option<T> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let name = match table.node(key) {
        Some(node) => choice(context.findings, &table.path_of(key), node, &names)?.0,
        None if default.is_none() => {
            table.missing(key, &format!("one of {}", super::diagnostic::list(&names)));
            return None;
        }
        None => default?,
    };
    table.resolve(key, name);
    known.iter().find(|(other, _)| *other == name).map(|&(_, value)| value)
}

fn adjustment_type(context: &Context<'_>, table: &mut Reader<'_>) -> Option<AdjustmentType> {
    let known = [
        ("change-in-capacity", AdjustmentType::ChangeInCapacity),
        ("exact-capacity", AdjustmentType::ExactCapacity),
        ("percent-change-in-capacity", AdjustmentType::PercentChangeInCapacity),
    ];
    one_of(context, table, "adjustment_type", &known, None)
}

fn min_magnitude(context: &Context<'_>, table: &mut Reader<'_>, kind: Option<AdjustmentType>) -> Option<u32> {
    let magnitude = table.optional::<u32>("min_adjustment_magnitude")?;
    if kind.is_some_and(|kind| kind != AdjustmentType::PercentChangeInCapacity) {
        let message = format!("`{}` is for percentages", table.path_of("min_adjustment_magnitude"));
        let help =
            Some("leave it out, or write `adjustment_type = \"percent-change-in-capacity\"`".to_string());
        let place = table.place_of("min_adjustment_magnitude");
        context.findings.error(&place, message, "the provider refuses this", help);
    }
    Some(magnitude)
}

/// An exact capacity is a size.
fn capacity_above_zero(context: &Context<'_>, table: &Reader<'_>, kind: Option<AdjustmentType>, by: i32) {
    if kind == Some(AdjustmentType::ExactCapacity) && by < 0 {
        let message = format!("`{}`: a capacity of {by} instances", table.path_of("adjustment"));
        let label = "expected 0 or more with `exact-capacity`";
        context.findings.error(&table.place_of("adjustment"), message, label, None);
    }
}

/// The steps of a policy, as they are written.
fn steps(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    kind: Option<AdjustmentType>,
    min_magnitude: Option<u32>,
) -> Option<Vec<Step>> {
    if table.node("steps").is_none() {
        table.missing("steps", "such as [{ lower = 0, adjustment = 10 }]");
    }
    let (mut steps, mut shown) = (Vec::new(), Vec::new());
    let items = table.items("steps");
    for (index, item) in items.iter().enumerate() {
        let mut step = Reader::new(context.findings, format!("{}.{index}", table.path_of("steps")), item);
        let (lower, upper) = (step.optional::<Bound>("lower"), step.optional::<Bound>("upper"));
        let by = step.required::<Whole>("adjustment").map(|by| by.0);
        if let Some(by) = by {
            capacity_above_zero(context, &step, kind, by);
        }
        if let Some((by, kind)) = by.zip(kind) {
            let adjustment = Adjustment { kind, by, min_magnitude };
            let bound = |bound: Option<Bound>| bound.map(|bound| bound.0);
            steps.push(Step { lower: bound(lower), upper: bound(upper), adjustment });
        }
        shown.push(toml::Value::Table(step.finish()));
    }
    table.resolve("steps", shown);
    if steps.len() < items.len() {
        return None; // what is left of them would only confuse
    }
    if let Some((index, message, label)) = wrong_steps(&steps) {
        let place = items.get(index).map_or(table.place_of("steps"), |item| item.place.clone());
        context.findings.error(&place, format!("`{}`: {message}", table.path_of("steps")), label, None);
        return None;
    }
    Some(steps)
}

/// What the provider refuses of steps: which of them, what is wrong, and its rule.
fn wrong_steps(steps: &[Step]) -> Option<(usize, String, String)> {
    let wrong = |index, message: String, rule: &str| Some((index, message, rule.to_string()));
    if steps.is_empty() {
        return wrong(0, "there is none".into(), "expected at least one step");
    }
    if steps.len() > MOST_STEPS {
        return wrong(MOST_STEPS, format!("{} steps", steps.len()), "a policy has at most 20");
    }
    for (index, step) in steps.iter().enumerate() {
        match (step.lower, step.upper) {
            (None, None) => {
                return wrong(index, "a step without bounds".into(), "give it a `lower` or an `upper` bound");
            }
            (Some(lower), Some(upper)) if lower >= upper => {
                return wrong(index, format!("a step from {lower} to {upper}"), "expected lower < upper");
            }
            _ => {}
        }
    }
    for (key, open) in
        [("lower", |step: &Step| step.lower.is_none()), ("upper", |step: &Step| step.upper.is_none())]
            as [(&str, fn(&Step) -> bool); 2]
    {
        let mut all = steps.iter().enumerate().filter(|(_, step)| open(step)).skip(1);
        if let Some((index, _)) = all.next() {
            return wrong(index, format!("two steps without `{key}`"), "at most one step may leave it out");
        }
    }
    let mut order: Vec<usize> = (0..steps.len()).collect();
    let start = |index: &usize| steps[*index].lower.unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| start(a).total_cmp(&start(b)));
    for pair in order.windows(2) {
        let (before, after) = (steps[pair[0]].upper.unwrap_or(f64::INFINITY), start(&pair[1]));
        if before > after {
            return wrong(
                pair[1],
                format!("steps `{}` and `{}` overlap", steps[pair[0]], steps[pair[1]]),
                "steps must not overlap",
            );
        }
        if before < after {
            return wrong(pair[1], format!("nothing from {before} to {after}"), "steps must not leave a gap");
        }
    }
    let negative = steps.iter().position(|step| step.lower.is_some_and(|lower| lower < 0.0));
    if let Some(index) = negative.filter(|_| steps.iter().all(|step| step.lower.is_some())) {
        return wrong(
            index,
            format!("a step begins at {}, and none goes below all bounds", start(&index)),
            "with a negative `lower` bound, the lowest step has to leave it out",
        );
    }
    let positive = steps.iter().position(|step| step.upper.is_some_and(|upper| upper > 0.0));
    if let Some(index) = positive.filter(|_| steps.iter().all(|step| step.upper.is_some())) {
        return wrong(
            index,
            format!("a step ends at {}, and none goes above all bounds", steps[index].upper.unwrap_or(0.0)),
            "with a positive `upper` bound, the highest step has to leave it out",
        );
    }
    None
}

/// `alarm = { metric = "cpu", comparison = ">=", threshold = 60, period = "1min", evaluation_periods = 2 }`
fn alarm(context: &Context<'_>, table: &mut Reader<'_>, monitoring: Span) -> Option<MetricAlarm> {
    let path = table.path_of("alarm");
    let Some(node) = table.node("alarm") else {
        table.missing(
            "alarm",
            "when it acts, such as { metric = \"cpu\", comparison = \">=\", threshold = 60 }",
        );
        return None;
    };
    let mut options = Reader::new(context.findings, path, node);
    let alarm = alarm_of(context, &mut options, monitoring);
    table.resolve("alarm", options.finish());
    alarm
}

fn alarm_of(context: &Context<'_>, table: &mut Reader<'_>, monitoring: Span) -> Option<MetricAlarm> {
    let metric = metric(context, table, None);
    let own = if metric.is_some_and(Metric::of_ec2) { monitoring } else { Span::from_secs(60) };
    let statistic = statistic(context, table, metric);
    let comparisons = [
        (">=", Comparison::GreaterOrEqual),
        (">", Comparison::Greater),
        ("<=", Comparison::LessOrEqual),
        ("<", Comparison::Less),
    ];
    let comparison = one_of(context, table, "comparison", &comparisons, None);
    let threshold = table.required::<Bound>("threshold").map(|threshold| threshold.0);
    let period = table.or("period", Period(own)).0;
    let periods = table.or("evaluation_periods", 1u32);
    let datapoints = table.or("datapoints_to_alarm", periods);
    let treatments = [
        ("missing", MissingData::Missing),
        ("ignore", MissingData::Ignore),
        ("breaching", MissingData::Breaching),
        ("not-breaching", MissingData::NotBreaching),
    ];
    let missing = one_of(context, table, "missing", &treatments, Some("missing"));
    let ignores_low_samples =
        one_of(context, table, "low_samples", &[("evaluate", false), ("ignore", true)], Some("evaluate"));
    let fits = periods_fit(context, table, period, periods, datapoints)
        & metric.is_none_or(|metric| period_fits(context, table, metric, period, own));
    let (metric, comparison, threshold) = (metric?, comparison?, threshold?);
    let name = table.or("name", format!("{} {comparison} {threshold}", metric.name()));
    let alarm = Alarm {
        comparison,
        threshold,
        evaluation_periods: periods as usize,
        datapoints_to_alarm: datapoints as usize,
        missing: missing?,
    };
    let ignores_low_samples = ignores_low_samples?;
    let alarm = MetricAlarm { name, metric, statistic: statistic?, period, alarm, ignores_low_samples };
    fits.then_some(alarm)
}

/// `"average"` and its like, or a percentile such as `"p99.9"`. Requests per target have nothing but a sum.
fn statistic(context: &Context<'_>, table: &mut Reader<'_>, metric: Option<Metric>) -> Option<Statistic> {
    let default = if metric == Some(Metric::RequestCountPerTarget) { "sum" } else { "average" };
    let name = table.or("statistic", default.to_string());
    let percentile = || {
        let p = name.strip_prefix('p')?.parse::<f64>().ok()?;
        (p > 0.0 && p <= 100.0).then_some(Statistic::Percentile(p))
    };
    let known = ["average", "minimum", "maximum", "sum", "sample-count", "p50", "p90", "p99"];
    let statistic = match name.as_str() {
        "average" => Some(Statistic::Average),
        "minimum" => Some(Statistic::Minimum),
        "maximum" => Some(Statistic::Maximum),
        "sum" => Some(Statistic::Sum),
        "sample-count" => Some(Statistic::SampleCount),
        _ => percentile(),
    };
    if statistic.is_none() {
        let message = format!("`{}` cannot be `{name}`", table.path_of("statistic"));
        let help = match name.strip_prefix('p').is_some_and(|p| p.parse::<f64>().is_ok()) {
            true => "a percentile is above p0 and at most p100".to_string(),
            false => super::diagnostic::nearest_or_all(&name, &known),
        };
        context.findings.error(&table.place_of("statistic"), message, "unknown statistic", Some(help));
    }
    statistic
}

/// M of N, and not more than a day of them.
fn periods_fit(
    context: &Context<'_>,
    table: &Reader<'_>,
    period: Span,
    periods: u32,
    datapoints: u32,
) -> bool {
    let wrong = |key: &str, message: String, label: &str| {
        context.findings.error(
            &table.place_of(key),
            format!("`{}`: {message}", table.path_of(key)),
            label,
            None,
        );
        false
    };
    if periods == 0 {
        return wrong("evaluation_periods", "no datapoint at all".into(), "expected 1 or more");
    }
    if datapoints == 0 || datapoints > periods {
        let message = format!("{datapoints} of {periods} datapoints");
        return wrong("datapoints_to_alarm", message, "expected 1 to `evaluation_periods`");
    }
    if period.saturating_mul(u64::from(periods)) > MOST_INTERVAL {
        let message = format!("{periods} periods of {period} are more than a day");
        return wrong("evaluation_periods", message, "an alarm evaluates a day at most");
    }
    true
}

/// A period that alarms can have, and that the metric has datapoints for.
fn period_fits(context: &Context<'_>, table: &Reader<'_>, metric: Metric, period: Span, own: Span) -> bool {
    let (path, place) = (table.path_of("period"), table.place_of("period"));
    let minute = Span::from_secs(60);
    let short = [Span::from_secs(10), Span::from_secs(30)].contains(&period);
    if !short && (period.is_zero() || !period.as_nanos().is_multiple_of(minute.as_nanos())) {
        let message = format!("`{path}`: an alarm cannot have a period of {period}");
        context.findings.error(&place, message, "expected 10s, 30s or whole minutes", None);
        return false;
    }
    if short && !metric.custom() {
        let message = format!("`{path}`: `{}` has no datapoint more often than once a minute", metric.name());
        let custom = Metric::ALL.into_iter().filter(|metric| metric.custom()).map(Metric::name);
        let help = format!(
            "high-resolution metrics are one's own: {}",
            super::diagnostic::list(&custom.collect::<Vec<_>>())
        );
        context.findings.error(&place, message, "a high-resolution alarm would see nothing", Some(help));
        return false;
    }
    if !short && period < own {
        let message = format!("`{path}`: `{}` has a datapoint every {own}", metric.name());
        let help = Some("write `monitoring = \"detailed\"`, or a period of 5min".to_string());
        context.findings.error(&place, message, format!("most periods of {period} would see nothing"), help);
        return false;
    }
    true
}

/// Whether a metric can be tracked: it has to fall in proportion as instances are added.
pub fn trackable(context: &Context<'_>, table: &Reader<'_>, metric: Metric) -> bool {
    if metric.falls_by_instance() {
        return true;
    }
    let path = table.path_of("metric");
    let (message, instead) = match metric {
        Metric::TargetResponseTime => {
            (format!("`{path}`: response times cannot be tracked"), "requests_per_target")
        }
        _ => (format!("`{path}`: `{}` cannot be tracked", metric.name()), "backlog_per_instance"),
    };
    let label = "a tracked metric has to fall in proportion as instances are added";
    let help = format!("let a step scaling policy look at them, or track `{instead}`");
    context.findings.error(&table.place_of("metric"), message, label, Some(help));
    false
}

/// What a policy watches, as far as a newcomer is surprised by it.
pub struct Watched {
    /// The metric.
    pub metric: Metric,
    /// It scales out above this value; 0 where it does not by a high one.
    pub above: f64,
    /// Datapoints that its alarm needs.
    pub datapoints: usize,
}

/// What a policy's alarm watches; `None` for what has none.
pub fn watched(scaling: &Scaling) -> Option<Watched> {
    let by_alarm = |alarm: &MetricAlarm| Watched {
        metric: alarm.metric,
        above: if alarm.is_high() { alarm.alarm.threshold } else { 0.0 },
        datapoints: alarm.alarm.datapoints_to_alarm,
    };
    match scaling {
        Scaling::TargetTracking(policy) => Some(Watched {
            metric: policy.metric,
            above: policy.target,
            datapoints: policy.high_datapoints as usize,
        }),
        Scaling::Step(policy) => Some(by_alarm(&policy.alarm)),
        Scaling::Simple(policy) => Some(by_alarm(&policy.alarm)),
        _ => None,
    }
}

/// Metrics need something that they measure.
pub fn measured(findings: &super::reader::Findings, document: &Node, plan: &crate::plan::Plan) {
    for group in &plan.groups {
        let policies = || group.scaling.iter().filter_map(|scaling| scaling.policy());
        let memory = plan.services[group.service.index()].memory;
        if memory.is_none() && policies().any(|policy| policy.metrics().contains(&Metric::Memory)) {
            let service = &plan.services[group.service.index()].name;
            let message = format!(
                "group `{}` scales on memory, and service `{service}` says nothing of its own",
                group.name
            );
            let help = format!(
                "add `memory` to `[service.{service}]`: what a process, a request and a session take"
            );
            let place = super::check::place_of(document, &["group", &group.name, "scaling"]);
            findings.error(&place, message, "it would always be 0 %", Some(help));
        }
    }
}
