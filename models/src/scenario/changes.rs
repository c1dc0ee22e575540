//! What sets one scenario apart from another: the values that differ once every default is filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Value;

use super::Scenario;

/// A value that two resolved scenarios do not have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it stands, as `--set` takes it: `group.web.max`.
    pub path: String,
    /// Its value in the first as TOML; `None` where only the second has it.
    pub before: Option<String>,
    /// Its value in the second; `None` where only the first has it.
    pub after: Option<String>,
}

/// All that has to change for `before` to become `after`, by path.
pub fn changes(before: &Scenario, after: &Scenario) -> Vec<Change> {
    let (before, mut after) = (leaves(before), leaves(after));
    let mut changes = Vec::new();
    for (path, value) in before {
        let other = after.remove(&path);
        if other.as_ref() != Some(&value) {
            changes.push(Change { path, before: Some(value), after: other });
        }
    }
    changes.extend(after.into_iter().map(|(path, value)| Change { path, before: None, after: Some(value) }));
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

/// Every value of the resolved scenario that has no parts, by its path.
fn leaves(scenario: &Scenario) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let table: toml::Table = scenario.resolved().parse().expect("a resolved scenario is TOML");
    collect(String::new(), &Value::Table(table), &mut leaves);
    leaves
}

fn collect(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let below = |key: &str| match (path.as_str(), key.contains(['.', ' '])) {
        ("", false) => key.to_string(),
        ("", true) => format!("\"{key}\""),
        (path, false) => format!("{path}.{key}"),
        (path, true) => format!("{path}.\"{key}\""),
    };
    match value {
        Value::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| collect(below(key), value, leaves));
        }
        // A list of plain values is one value to people: zones, a level by hour.
        Value::Array(items) if items.iter().any(Value::is_table) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| collect(below(&index.to_string()), item, leaves));
        }
        _ => {
            leaves.insert(path, value.to_string());
        }
    }
}
