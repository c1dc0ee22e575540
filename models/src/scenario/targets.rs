//! `[balancer.NAME] targets` and what goes with them: weights, zones, minima, slow start.

use sim_core::Span;

use super::node::{Entry, Value};
use super::reader::{Read, Reader, read};
use super::units::Period;
use super::{Context, Names};
use crate::plan::{Algorithm, GroupId, Minimum, TargetGroup};

/// `targets = "web"`, or groups with the weight of each of their instances: `{ web = 9, canary = 1 }`.
pub fn targets(context: &Context<'_>, names: &Names<'_>, table: &mut Reader<'_>) -> Option<Vec<TargetGroup>> {
    let path = table.path_of("targets");
    let Some(node) = table.node("targets") else {
        table.missing("targets", "the name of a group, or `{ web = 9, canary = 1 }`");
        return None;
    };
    let Value::Table(entries) = &node.value else {
        let name: String = read(context.findings, &path, node)?;
        table.resolve("targets", name.as_str());
        let group = names.group(context, &name, &node.place)?;
        return Some(vec![TargetGroup { group, weight: 1 }]);
    };
    let (mut targets, mut shown) = (Vec::new(), toml::Table::new());
    for Entry { key, node, place } in entries {
        let weight: Option<u32> = read(context.findings, &format!("{path}.{key}"), node);
        if let Some(weight) = weight.filter(|&weight| weight > TargetGroup::MOST_WEIGHT) {
            let label = format!("expected 0 to {}", TargetGroup::MOST_WEIGHT);
            context.findings.error(&node.place, format!("a weight of {weight}"), label, None);
        }
        shown.insert(key.clone(), toml::Value::Integer(i64::from(weight.unwrap_or(0))));
        let group = names.group(context, key, place);
        targets.extend(group.zip(weight).map(|(group, weight)| TargetGroup { group, weight }));
    }
    table.resolve("targets", shown);
    if targets.len() < entries.len() {
        return None; // which was said
    }
    if targets.iter().all(|target| target.weight == 0) {
        let message = format!("`{path}`: the weights of all groups are zero");
        context.findings.error(&node.place, message, "nobody would get a request", None);
        return None;
    }
    one_service(context, names, &path, entries, &targets);
    Some(targets)
}

/// A balancer's groups run the same service: otherwise an endpoint would be there or not by chance.
fn one_service(
    context: &Context<'_>,
    names: &Names<'_>,
    path: &str,
    entries: &[Entry],
    targets: &[TargetGroup],
) {
    let service = |group: GroupId| names.service_of(group);
    let first = targets.first().and_then(|target| service(target.group));
    for (entry, target) in entries.iter().zip(targets) {
        let own = service(target.group);
        if own.is_some() && first.is_some() && own != first {
            let message = format!("`{path}`: the groups run different services");
            let label = format!("`{}` runs another service than `{}`", entry.key, entries[0].key);
            context.findings.error(&entry.place, message, label, None);
        }
    }
}

/// `slow_start = "60s"`, which goes with turns and nothing else.
pub fn slow_start(context: &Context<'_>, table: &mut Reader<'_>, algorithm: Algorithm) -> Option<Span> {
    let ramp = table.optional::<Period>("slow_start")?.0;
    if algorithm != Algorithm::RoundRobin {
        let message = match algorithm {
            Algorithm::LeastOutstandingRequests => {
                "slow start and least outstanding requests exclude each other, as with an Application Load Balancer"
            }
            _ => "slow start goes with round-robin only",
        };
        let help = "leave one of them out".to_string();
        context.findings.error(&table.place_of("slow_start"), message, "not with this algorithm", Some(help));
    }
    Some(ramp)
}

/// Zones: whether nodes send to the targets of all, and which minimum they need for DNS.
pub fn zones(context: &Context<'_>, table: &mut Reader<'_>, sticky: bool) -> (bool, Minimum) {
    let cross_zone = table.or("cross_zone", true);
    if cross_zone {
        if table.node("minimum_in_dns").is_some() {
            let message =
                format!("`{}` is about nodes that keep to their zone", table.path_of("minimum_in_dns"));
            let help = Some("set `cross_zone = false`, or leave this out".to_string());
            context.findings.error(&table.place_of("minimum_in_dns"), message, "has no effect", help);
        }
        return (true, Minimum::Count(1));
    }
    if sticky {
        let message =
            "a cookie needs cross-zone load balancing: the next request may come to another zone's node";
        let help = Some("leave `stickiness` out, or set `cross_zone = true`".to_string());
        context.findings.error(&table.place_of("cross_zone"), message, "not with stickiness", help);
    }
    (false, table.or("minimum_in_dns", Minimum::Count(1)))
}

impl Read for Minimum {
    const EXPECTED: &'static str = "a number of targets such as 2, or a share such as \"50%\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else {
            let count = u32::read(value)?;
            return if count > 0 {
                Ok(Minimum::Count(count))
            } else {
                Err("none at all is no minimum".into())
            };
        };
        let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match share {
            Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Minimum::Share(percent / 100.0)),
            _ => Err(format!("`{text}` is not a share of more than 0 % and up to 100 %")),
        }
    }
    fn show(&self) -> toml::Value {
        match self {
            Minimum::Count(count) => toml::Value::Integer(i64::from(*count)),
            Minimum::Share(share) => toml::Value::String(format!("{}%", share * 100.0)),
        }
    }
}
