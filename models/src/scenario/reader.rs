//! Reading tables: each key is asked for by name, type and default, and everything that is wrong is collected.
//!
//! What is asked for is also written down, with the value it has in the end: that is the *resolved* scenario, so that
//! each default stands in the code once, next to the key it belongs to.

use std::cell::RefCell;
use std::collections::BTreeSet;

use sim_core::Span;

use super::diagnostic::{Diagnostic, Place, list, nearest};
use super::node::{Entry, Node, Value};

/// What is found while reading.
#[derive(Debug, Default)]
pub struct Findings {
    errors: RefCell<Vec<Diagnostic>>,
    notes: RefCell<Vec<String>>,
}

impl Findings {
    /// Something is wrong.
    pub fn error(
        &self,
        place: &Place,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        let diagnostic =
            Diagnostic { place: place.clone(), message: message.into(), label: label.into(), help };
        self.errors.borrow_mut().push(diagnostic);
    }

    /// Something is worth saying, once.
    pub fn note(&self, note: impl Into<String>) {
        let (note, mut notes) = (note.into(), self.notes.borrow_mut());
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// True while nothing is wrong.
    pub fn clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// All of it.
    pub fn into_parts(self) -> (Vec<Diagnostic>, Vec<String>) {
        (self.errors.into_inner(), self.notes.into_inner())
    }
}

/// A type of value.
pub trait Read: Sized {
    /// What is expected, for messages: `a duration such as "250ms"`.
    const EXPECTED: &'static str;

    /// The value, or why it is not one (a message that goes before "expected …", or nothing).
    fn read(value: &Value) -> Result<Self, String>;

    /// How the resolved scenario shows it.
    fn show(&self) -> toml::Value;
}

/// A table that is being read.
pub struct Reader<'a> {
    findings: &'a Findings,
    /// Its path in the document, for messages.
    path: String,
    place: Place,
    entries: &'a [Entry],
    asked: BTreeSet<&'static str>,
    resolved: toml::Table,
}

impl<'a> Reader<'a> {
    /// Begins to read a table; anything else is an error, and reads as an empty table.
    pub fn new(findings: &'a Findings, path: impl Into<String>, node: &'a Node) -> Self {
        let path = path.into();
        let entries: &[Entry] = match &node.value {
            Value::Table(entries) => entries,
            other => {
                findings.error(
                    &node.place,
                    format!("`{path}` is {}", other.kind()),
                    "expected a table",
                    None,
                );
                &[]
            }
        };
        let (asked, resolved) = (BTreeSet::new(), toml::Table::new());
        Reader { findings, path, place: node.place.clone(), entries, asked, resolved }
    }

    /// Where the table stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The path of one of its keys.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }

    /// The node of a key, where there is one.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.insert(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Where a key's value stands, or the table if it is not there.
    pub fn place_of(&self, key: &str) -> Place {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map_or_else(|| self.place.clone(), |e| e.node.place.clone())
    }

    /// Writes a key of the resolved scenario that was not read by [`optional`](Reader::optional) and its kin.
    pub fn resolve(&mut self, key: &str, value: impl Into<toml::Value>) {
        self.resolved.insert(key.to_string(), value.into());
    }

    /// A key that may be left out and has no default.
    pub fn optional<T: Read>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        let value: T = read(self.findings, &self.path_of(key), node)?;
        self.resolve(key, value.show());
        Some(value)
    }

    /// A key with a default.
    pub fn or<T: Read>(&mut self, key: &'static str, default: T) -> T {
        let value = self.optional(key).unwrap_or(default);
        self.resolve(key, value.show());
        value
    }

    /// A key that must be there.
    pub fn required<T: Read>(&mut self, key: &'static str) -> Option<T> {
        if self.node(key).is_none() {
            self.missing(key, T::EXPECTED);
        }
        self.optional(key)
    }

    /// Says that a key must be there.
    pub fn missing(&self, key: &str, expected: &str) {
        let table =
            if self.path.is_empty() { "the scenario".to_string() } else { format!("`{}`", self.path) };
        self.findings.error(
            &self.place,
            format!("{table} has no `{key}`"),
            format!("add `{key}`: {expected}"),
            None,
        );
    }

    /// The entries of a table of tables, such as `[group.NAME]`.
    pub fn named(&mut self, key: &'static str) -> &'a [Entry] {
        match self.node(key).map(|node| (&node.value, &node.place)) {
            None => &[],
            Some((Value::Table(entries), _)) => entries,
            Some((other, place)) => {
                let label = format!("expected tables `[{}.NAME]`", self.path_of(key));
                self.findings.error(
                    place,
                    format!("`{}` is {}", self.path_of(key), other.kind()),
                    label,
                    None,
                );
                &[]
            }
        }
    }

    /// The items of a list, such as `[[sla]]`; none where it is left out.
    pub fn items(&mut self, key: &'static str) -> &'a [Node] {
        match self.node(key).map(|node| (&node.value, &node.place)) {
            None => &[],
            Some((Value::Array(items), _)) => items,
            Some((other, place)) => {
                let path = self.path_of(key);
                self.findings.error(
                    place,
                    format!("`{path}` is {}", other.kind()),
                    format!("expected a list, `[[{path}]]`"),
                    None,
                );
                &[]
            }
        }
    }

    /// Ends the reading: what was not asked for is unknown. Returns the resolved table.
    pub fn finish(self) -> toml::Table {
        let known: Vec<&str> = self.asked.iter().copied().collect();
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(entry.key.as_str())) {
            let help = nearest(&entry.key, known.iter().copied())
                .unwrap_or_else(|| format!("known here: {}", list(&known)));
            self.findings.error(
                &entry.place,
                format!("unknown key `{}`", self.path_of(&entry.key)),
                "not known here",
                Some(help),
            );
        }
        self.resolved
    }
}

/// Reads one value.
pub fn read<T: Read>(findings: &Findings, path: &str, node: &Node) -> Option<T> {
    match T::read(&node.value) {
        Ok(value) => Some(value),
        Err(why) => {
            let message = if why.is_empty() {
                format!("`{path}` is {}", node.value.kind())
            } else {
                format!("`{path}`: {why}")
            };
            findings.error(&node.place, message, format!("expected {}", T::EXPECTED), None);
            None
        }
    }
}

/// The single key of an externally tagged choice, `{ constant = "100/s" }`, or a plain string that stands for a choice
/// without options. Returns its name and its node.
pub fn choice<'a>(
    findings: &Findings,
    path: &str,
    node: &'a Node,
    known: &[&str],
) -> Option<(&'a str, Option<&'a Entry>)> {
    let unknown = |place: &Place, name: &str| {
        let help = super::diagnostic::nearest_or_all(name, known);
        findings.error(place, format!("`{path}` cannot be `{name}`"), "unknown", Some(help));
        None
    };
    match &node.value {
        Value::String(name) if known.contains(&name.as_str()) => Some((name, None)),
        Value::String(name) => unknown(&node.place, name),
        Value::Table(entries) => match entries.as_slice() {
            [entry] if known.contains(&entry.key.as_str()) => Some((&entry.key, Some(entry))),
            [entry] => unknown(&entry.place, &entry.key),
            _ => {
                let label = format!("expected exactly one of {}", list(known));
                findings.error(&node.place, format!("`{path}` has {} keys", entries.len()), label, None);
                None
            }
        },
        other => {
            findings.error(
                &node.place,
                format!("`{path}` is {}", other.kind()),
                format!("expected one of {}", list(known)),
                None,
            );
            None
        }
    }
}

impl Read for String {
    const EXPECTED: &'static str = "a string";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text.is_empty() => Err("it is empty".to_string()),
            Value::String(text) => Ok(text.clone()),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.clone())
    }
}

impl Read for bool {
    const EXPECTED: &'static str = "true or false";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(boolean) => Ok(*boolean),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Boolean(*self)
    }
}

impl Read for u64 {
    const EXPECTED: &'static str = "a whole number, zero or more";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| format!("{number} is negative")),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Read for u32 {
    const EXPECTED: &'static str = "a whole number, zero or more";
    fn read(value: &Value) -> Result<Self, String> {
        u32::try_from(u64::read(value)?).map_err(|_| "the number is too large".to_string())
    }
    fn show(&self) -> toml::Value {
        toml::Value::Integer(i64::from(*self))
    }
}

impl Read for f64 {
    const EXPECTED: &'static str = "a number, zero or more";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) if *number >= 0 => Ok(*number as f64),
            Value::Float(number) if number.is_finite() && *number >= 0.0 => Ok(*number),
            Value::Integer(_) | Value::Float(_) => Err("the number is negative or not finite".to_string()),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::Float(*self)
    }
}

impl Read for Span {
    const EXPECTED: &'static str = "a duration such as \"250ms\", \"1.5s\" or \"5min\"";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => text.parse().map_err(|_| format!("`{text}` is not a duration")),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.to_string())
    }
}
