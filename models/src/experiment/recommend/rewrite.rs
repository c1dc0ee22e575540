//! The winning scenario as a file: the user's own text with some values changed, and every comment where it was.

use std::path::Path;

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::cost::PriceBook;
use crate::scenario::split_path;

/// Why a text could not be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The text is no TOML.
    #[error("the scenario's text cannot be read again: {0}")]
    NotToml(String),
    /// A path leads nowhere.
    #[error("`{0}` cannot be set in the scenario's text")]
    Path(String),
}

/// The text with these values set, in order, as of `--set`; new keys go to the end of their table. `head` goes before it, as a
/// comment. Files that it names by a relative path are named as they are seen from a folder from where `back` leads to
/// that of the text, such as `../..`.
///
/// # Errors
/// Where the text is no TOML, or a path leads nowhere in it.
pub fn rewrite(
    text: &str,
    settings: &[(String, String)],
    head: &str,
    back: &Path,
) -> Result<String, RewriteError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| RewriteError::NotToml(error.message().to_string()))?;
    for (path, value) in settings {
        set(document.as_item_mut(), path, value)?;
    }
    relocate(document.as_item_mut(), back);
    let head: String = head.lines().map(|line| format!("# {line}").trim_end().to_string() + "\n").collect();
    Ok(format!("{head}\n{document}"))
}

fn set(document: &mut Item, path: &str, value: &str) -> Result<(), RewriteError> {
    let fail = || RewriteError::Path(path.to_string());
    let keys = split_path(path).ok_or_else(fail)?;
    let (last, tables) = keys.split_last().ok_or_else(fail)?;
    let mut item = document;
    for key in tables {
        item = step(item, key).ok_or_else(fail)?;
    }
    let new = read(value);
    // As an override does: a shorthand such as `runtime = "event-loop"` gives way to the table that is asked for.
    if !item.is_table_like() && !item.is_array() && !item.is_array_of_tables() {
        *item = Item::Value(Value::InlineTable(InlineTable::new()));
    }
    match item {
        Item::Value(Value::Array(items)) => {
            let old = last.parse().ok().and_then(|index: usize| items.get_mut(index)).ok_or_else(fail)?;
            replace(old, new);
        }
        Item::Table(table) => match table.get_mut(last) {
            Some(Item::Value(old)) => replace(old, new),
            Some(other) => *other = Item::Value(new),
            None => {
                table.insert(last, Item::Value(new));
            }
        },
        Item::Value(Value::InlineTable(table)) => match table.get_mut(last) {
            Some(old) => replace(old, new),
            None => {
                table.insert(last, new);
                // In order, unless there is a comment that would be lost.
                if !table.to_string().contains(['#', '\n']) {
                    table.fmt();
                }
            }
        },
        _ => return Err(fail()),
    }
    Ok(())
}

/// What a key leads to; a table where there is nothing.
fn step<'a>(item: &'a mut Item, key: &str) -> Option<&'a mut Item> {
    if item.is_none() || item.is_str() {
        *item = Item::Value(Value::InlineTable(InlineTable::new()));
    }
    match item {
        Item::Table(table) => {
            let inner = || {
                let mut inner = Table::new();
                inner.set_implicit(true);
                Item::Table(inner)
            };
            Some(table.entry(key).or_insert_with(inner))
        }
        Item::Value(Value::InlineTable(_)) => item
            .as_table_like_mut()
            .map(|table| table.entry(key).or_insert(Item::Value(Value::InlineTable(InlineTable::new())))),
        Item::Value(Value::Array(_)) | Item::ArrayOfTables(_) => item.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Keeps what stands around the old value: its comment.
fn replace(old: &mut Value, mut new: Value) {
    *new.decor_mut() = old.decor().clone();
    *old = new;
}

/// The value of an override: TOML where it is, else a string.
fn read(text: &str) -> Value {
    text.trim().parse().unwrap_or_else(|_| Value::from(text.trim()))
}

/// Names files as they are seen from elsewhere.
fn relocate(item: &mut Item, back: &Path) {
    match item {
        Item::Table(table) => table.iter_mut().for_each(|(key, item)| match item {
            Item::Value(value) => relocate_value(Some(key.get()), value, back),
            item => relocate(item, back),
        }),
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| {
            table.iter_mut().for_each(|(key, item)| match item {
                Item::Value(value) => relocate_value(Some(key.get()), value, back),
                item => relocate(item, back),
            });
        }),
        Item::Value(value) => relocate_value(None, value, back),
        Item::None => {}
    }
}

fn relocate_value(key: Option<&str>, value: &mut Value, back: &Path) {
    match value {
        Value::InlineTable(table) => {
            table.iter_mut().for_each(|(key, value)| relocate_value(Some(key.get()), value, back));
        }
        Value::Array(array) => each(array, back),
        Value::String(text) => {
            let path = Path::new(text.value());
            if key.is_some_and(|key| names_a_file(key, text.value())) && path.is_relative() {
                let moved = back.join(path).to_string_lossy().into_owned();
                replace(value, Value::from(moved));
            }
        }
        _ => {}
    }
}

/// Keys of a scenario whose text is the path of a file: traces and samples, and price books that are not built in.
fn names_a_file(key: &str, text: &str) -> bool {
    match key {
        "file" | "trace" => true,
        "prices" => PriceBook::built_in(text).is_none() && text.contains(['/', '.']),
        _ => false,
    }
}

fn each(array: &mut Array, back: &Path) {
    array.iter_mut().for_each(|value| relocate_value(None, value, back));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use super::*;

    const TEXT: &str = r#"# A shop.
[scenario]
seed = 42 # the answer

[traffic.web]
trace = { file = "days/monday.csv" } # measured

[service.api]
runtime = "event-loop" # Node
[service.api.endpoint."GET /a.b"]
steps = [{ cpu = "2ms" }, { wait = { samples = { file = "/data/waits.csv" } } }]

[group.web]
# two zones
min = 2 # one each
startup = { boot = "30s", app = "5s" }

[[sla]]
objective = "p99 <= 60ms"

[cost]
prices = "aws-us-east-1"
"#;

    fn set(settings: &[(&str, &str)]) -> String {
        let settings: Vec<(String, String)> =
            settings.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect();
        rewrite(TEXT, &settings, "Because.", Path::new("../..")).unwrap()
    }

    #[test]
    fn values_change_and_comments_stay() {
        let text = set(&[("group.web.min", "5"), ("sla.0.objective", "p99 <= 90ms"), ("scenario.seed", "7")]);
        for line in [
            "# Because.",
            "# A shop.",
            "seed = 7 # the answer",
            "# two zones",
            "min = 5 # one each",
            "objective = \"p99 <= 90ms\"",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn new_keys_go_to_their_table() {
        let text =
            set(&[("group.web.max", "9"), ("group.web.startup.provision", "20s"), ("limits.events", "1000")]);
        assert!(
            text.contains("startup = { boot = \"30s\", app = \"5s\", provision = \"20s\" }\nmax = 9\n"),
            "{text}"
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["limits"]["events"].as_integer(), Some(1000));
    }

    #[test]
    fn a_shorthand_gives_way_to_the_table_that_is_asked_for() {
        let text = set(&[
            ("service.api.runtime.thread-pool.threads", "8"),
            ("service.api.endpoint.\"GET /a.b\".steps.0.cpu", "3ms"),
        ]);
        let table: toml::Table = text.parse().unwrap();
        let api = &table["service"]["api"];
        assert_eq!(api["runtime"]["thread-pool"]["threads"].as_integer(), Some(8), "{text}");
        assert_eq!(api["endpoint"]["GET /a.b"]["steps"][0]["cpu"].as_str(), Some("3ms"));
    }

    #[test]
    fn files_are_named_as_they_are_seen_from_the_new_place() {
        let text = set(&[]);
        assert!(text.contains("file = \"../../days/monday.csv\" } # measured"), "{text}");
        assert!(
            text.contains("\"/data/waits.csv\"") && text.contains("prices = \"aws-us-east-1\""),
            "{text}"
        );
    }

    #[test]
    fn a_path_that_leads_nowhere_is_an_error() {
        let settings = [("sla.3.objective".to_string(), "p99 <= 1s".to_string())];
        let error = rewrite(TEXT, &settings, "", Path::new("")).unwrap_err();
        assert_eq!(error, RewriteError::Path("sla.3.objective".to_string()));
    }
}
