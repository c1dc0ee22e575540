//! `[[sla]]`: what was promised.

use sim_core::Span;

use super::node::{Node, Value};
use super::reader::{Read, Reader};
use super::units::Period;
use super::{Context, Names};
use crate::plan::{Endpoint, EndpointId, Indicator, Objective, Subject};

/// The most windows that one objective may have.
const MOST_WINDOWS: u64 = 200_000;

/// Reads an objective.
pub fn objective(
    context: &Context<'_>,
    names: &Names<'_>,
    index: usize,
    node: &Node,
    endpoints: &[Endpoint],
) -> (Option<Objective>, toml::Table) {
    let mut table = Reader::new(context.findings, format!("sla.{index}"), node);
    let stated = table.required::<Stated>("objective");
    let name = table.optional::<String>("name").or_else(|| stated.as_ref().map(|stated| stated.text.clone()));
    table.resolve("name", name.clone().unwrap_or_default());
    let traffic = table.optional::<String>("traffic");
    let traffic = traffic.map(|name| names.traffic(context, &name, &table.place_of("traffic")));
    let endpoint = table.optional::<String>("endpoint");
    let endpoint = endpoint.map(|name| find_endpoint(context, &table, &name, endpoints));
    // Five minutes, or the whole of a shorter run.
    let usual = Span::from_secs(300).min(context.duration);
    let jobs = table.or("jobs", false);
    let first_token = table.or("first_token", false);
    let subject = match (jobs, first_token) {
        (false, false) => Subject::Requests,
        (true, false) => Subject::Jobs,
        (_, true) => Subject::FirstToken,
    };
    if jobs && first_token {
        let label = "`first_token` is about requests and jobs: leave `jobs` out";
        context.findings.error(&table.place_of("jobs"), "an objective about two things", label, None);
    }
    let window = table.or("window", Period(usual)).0;
    let allow = table.or("allow", Span::ZERO);
    if context.duration.is_zero() {
        // The duration is wrong, which has been said.
    } else if window > context.duration {
        let message = format!("a window of {window} is longer than the run of {}", context.duration);
        context.findings.error(&table.place_of("window"), message, "expected at most the duration", None);
    } else if context.duration.as_nanos() / window.as_nanos() > MOST_WINDOWS {
        let message = format!("windows of {window} are more than {MOST_WINDOWS} in the run");
        context.findings.error(&table.place_of("window"), message, "expected longer windows", None);
    }
    let objective = (|| {
        let stated = stated?;
        let traffic = traffic.map_or(Some(None), |found| found.map(Some))?;
        let endpoint = endpoint.map_or(Some(None), |found| found.map(Some))?;
        let Stated { indicator, bound, text } = stated;
        Some(Objective { name: name?, traffic, endpoint, subject, indicator, bound, text, window, allow })
    })();
    (objective, table.finish())
}

fn find_endpoint(
    context: &Context<'_>,
    table: &Reader<'_>,
    name: &str,
    endpoints: &[Endpoint],
) -> Option<EndpointId> {
    let mut found = (0u16..).map(EndpointId).zip(endpoints).filter(|(_, endpoint)| endpoint.name == name);
    if let Some((id, _)) = found.next() {
        if found.next().is_some() {
            let help = Some("state its `traffic` as well, or give the endpoints different names".to_string());
            context.findings.error(
                &table.place_of("endpoint"),
                format!("several services have `{name}`"),
                "which one?",
                help,
            );
        }
        return Some(id);
    }
    let known: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let help = Some(super::diagnostic::nearest_or_all(name, &known));
    context.findings.error(
        &table.place_of("endpoint"),
        format!("no service has an endpoint `{name}`"),
        "unknown endpoint",
        help,
    );
    None
}

/// `p99 <= 250ms`, `mean <= 100ms`, `availability >= 99.9%`, `error_ratio <= 0.1%`
struct Stated {
    indicator: Indicator,
    bound: f64,
    text: String,
}

impl Read for Stated {
    const EXPECTED: &'static str = "an objective such as \"p99 <= 250ms\", \"mean <= 100ms\", \"availability >= 99.9%\" or \"error_ratio <= 0.1%\"";

    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let bad = || format!("`{text}` is not an objective");
        let operator =
            ["<=", ">=", "<", ">"].into_iter().find(|operator| text.contains(operator)).ok_or_else(bad)?;
        let (name, bound) = text.split_once(operator).ok_or_else(bad)?;
        let (name, bound) = (name.trim(), bound.trim());
        let upper = operator.starts_with('<');
        let indicator = match name {
            "mean" => Indicator::Mean,
            "availability" => Indicator::Availability,
            "error_ratio" | "error" | "errors" => Indicator::ErrorRatio,
            quantile => Indicator::Quantile(percentile(quantile).ok_or_else(|| {
                format!("`{quantile}` is not something to measure; there are p50 to p99.99, mean, availability and error_ratio")
            })?),
        };
        let bound = match indicator {
            Indicator::Quantile(_) | Indicator::Mean => match bound.parse::<Span>() {
                Ok(span) if !span.is_zero() => span.as_nanos() as f64,
                _ => return Err(format!("`{bound}` is not a response time above zero")),
            },
            Indicator::Availability | Indicator::ErrorRatio => {
                share(bound).ok_or_else(|| format!("`{bound}` is not a share"))?
            }
        };
        if upper == (indicator == Indicator::Availability) {
            let right = if upper { ">=" } else { "<=" };
            return Err(format!("`{name}` is promised with `{right}`"));
        }
        Ok(Stated { indicator, bound, text: text.clone() })
    }

    fn show(&self) -> toml::Value {
        toml::Value::String(self.text.clone())
    }
}

/// `p99.9` as 0.999.
fn percentile(text: &str) -> Option<f64> {
    let share = hundredth(text.strip_prefix('p')?)?;
    (share > 0.0 && share < 1.0).then_some(share)
}

/// A percentage as the number nearest to its share: 99.9 divided by 100 is not 0.999.
fn hundredth(percent: &str) -> Option<f64> {
    let plain = !percent.is_empty() && percent.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| format!("{percent}e-2").parse().ok())?
}

/// `99.9%` or `0.999`, from 0 to 1.
fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => hundredth(percent.trim())?,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 99.9 divided by 100 is a little more than 0.999, and one bad request in a thousand would break the promise.
    #[test]
    fn percentages_are_the_nearest_shares() {
        assert_eq!([share("99.9%"), share("0.999"), share("0.1 %")], [Some(0.999), Some(0.999), Some(0.001)]);
        assert_eq!([percentile("p99.9"), percentile("p50")], [Some(0.999), Some(0.5)]);
        assert_eq!([percentile("p0"), percentile("p100"), percentile("p-1"), percentile("p1e1")], [None; 4]);
        assert_eq!([share("101%"), share("%"), share("NaN")], [None; 3]);
    }
}
