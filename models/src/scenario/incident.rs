//! `[[incident]]`: what goes wrong.

use super::node::Node;
use super::reader::{Reader, choice};
use super::units::Moment;
use super::{Context, Names, network};
use crate::plan::Incident;

/// Reads an incident.
pub fn incident(
    context: &Context<'_>,
    names: &Names<'_>,
    index: usize,
    node: &Node,
) -> Option<(Incident, toml::Table)> {
    let path = format!("incident.{index}");
    let (kind, entry) = choice(context.findings, &path, node, &["crash", "network_latency", "packet_loss"])?;
    let Some(entry) = entry else {
        context.findings.error(
            &node.place,
            format!("`{path}` needs parameters"),
            format!("expected `{{ {kind} = {{ … }} }}`"),
            None,
        );
        return None;
    };
    let mut table = Reader::new(context.findings, format!("{path}.{kind}"), &entry.node);
    if kind != "crash" {
        let incident = network::incident(context, names, kind, &mut table);
        let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
        return Some((incident?, shown));
    }
    let group = table.required::<String>("group");
    let group = group.and_then(|name| names.group(context, &name, &table.place_of("group")));
    let at = table.required::<Moment>("at");
    let at = at.and_then(|at| context.moment(&at, &table.place_of("at")));
    let count = table.or("count", 1);
    if count == 0 {
        let message = "an incident that nothing happens to";
        context.findings.error(&table.place_of("count"), message, "expected 1 or more", None);
    }
    let shown = toml::Table::from_iter([(kind.to_string(), toml::Value::Table(table.finish()))]);
    Some((Incident::Crash { group: group?, at: at?, count }, shown))
}
