//! `[balancer.NAME] health_check`: what a balancer asks its targets, how often, and what it makes of the answers.

use sim_core::Span;

use super::Context;
use super::node::{Node, Value};
use super::reader::{Read, Reader};
use super::units::Period;
use crate::plan::HealthCheck;

/// The statuses that a matcher may name.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

/// Reads `{ path = "/healthz", interval = "30s", … }`, or `"none"`. The defaults are those of an ALB target group.
pub fn health_check(context: &Context<'_>, table: &mut Reader<'_>) -> Option<HealthCheck> {
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let node = table.node("health_check").unwrap_or(&empty);
    if node.value == Value::String("none".into()) {
        table.resolve("health_check", "none");
        return None;
    }
    let mut check = Reader::new(context.findings, table.path_of("health_check"), node);
    let path = check.or("path", "/".to_string());
    if !path.starts_with('/') {
        let message = format!("`{path}` is not a path");
        context.findings.error(&check.place_of("path"), message, "expected one such as \"/healthz\"", None);
    }
    let matcher = check.or("matcher", Matcher(vec![(200, 200)])).0;
    let interval = check.or("interval", Period(Span::from_secs(30))).0;
    // Where checks come faster than every five seconds, half of the interval.
    let usual = Span::from_secs(5);
    let usual = if usual < interval { usual } else { interval.mul_f64(0.5) };
    let timeout = check.or("timeout", Period(usual)).0;
    if timeout >= interval {
        let message = format!("a timeout of {timeout} is not below the interval of {interval}");
        let help = "a check must have ended when the next begins".to_string();
        context.findings.error(
            &check.place_of("timeout"),
            message,
            "expected less than the interval",
            Some(help),
        );
    }
    let mut threshold = |key: &'static str, default: u32| {
        let count = check.or(key, default);
        if count == 0 {
            let message = format!("`{}` is zero", check.path_of(key));
            context.findings.error(&check.place_of(key), message, "expected 1 or more", None);
        }
        count
    };
    let (healthy, unhealthy) = (threshold("healthy", 5), threshold("unhealthy", 2));
    table.resolve("health_check", check.finish());
    Some(HealthCheck { path, matcher, interval, timeout, healthy, unhealthy })
}

/// Statuses and ranges of them: `"200"`, `"200-299"`, `"200,301-302"`.
struct Matcher(Vec<(u16, u16)>);

impl Read for Matcher {
    const EXPECTED: &'static str = "statuses such as \"200\", \"200-299\" or \"200,301\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let status = |text: &str| text.trim().parse().ok().filter(|status| STATUSES.contains(status));
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            status(from).zip(status(to)).filter(|(from, to)| from <= to)
        };
        let ranges: Option<Vec<(u16, u16)>> = text.split(',').map(range).collect();
        ranges.map(Matcher).ok_or_else(|| format!("`{text}` has no statuses from 100 to 599"))
    }
    fn show(&self) -> toml::Value {
        let range =
            |&(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        toml::Value::String(self.0.iter().map(range).collect::<Vec<_>>().join(","))
    }
}
