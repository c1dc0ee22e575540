//! A TOML document in which every key and value knows its place, and which overrides can change.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, Source};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A date or time that is not quoted.
    Datetime(String),
    /// A list.
    Array(Vec<Node>),
    /// A table, by key.
    Table(Vec<Entry>),
}

/// A key of a table, with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub node: Node,
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Reads a document, as far as it can be read, and everything that is wrong with its syntax.
pub fn parse(source: &Source, index: usize, errors: &mut Vec<Diagnostic>) -> Node {
    let (table, syntax) = DeTable::parse_recoverable(&source.text);
    for error in syntax {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim().replace('\n', ", ");
        errors.push(Diagnostic {
            place: Place { source: index, span: span.into() },
            message: format!("this is not TOML: {message}"),
            label: "here".to_string(),
            help: None,
        });
    }
    let place = Place { source: index, span: (0..0).into() };
    Node { place, value: convert_table(table.get_ref(), index) }
}

fn convert_table(table: &DeTable<'_>, source: usize) -> Value {
    let entries = table.iter().map(|(key, value)| Entry {
        key: key.get_ref().to_string(),
        place: Place { source, span: key.span().into() },
        node: convert(value, source),
    });
    Value::Table(entries.collect())
}

fn convert(value: &Spanned<DeValue<'_>>, source: usize) -> Node {
    let place = Place { source, span: value.span().into() };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            match i64::from_str_radix(&digits, integer.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Float(digits.parse().unwrap_or(f64::INFINITY)),
            }
        }
        DeValue::Float(float) => Value::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| convert(item, source)).collect()),
        DeValue::Table(table) => convert_table(table, source),
    };
    Node { place, value }
}

/// Puts the value of an override (`--set path=value`) into the document. Paths go by key and, in lists, by index;
/// a key with a dot in it is quoted.
pub fn set(document: &mut Node, path: &str, value: Node, errors: &mut Vec<Diagnostic>) {
    let place = value.place.clone();
    let mut fail = |message: String| {
        errors.push(Diagnostic {
            place: place.clone(),
            message,
            label: "set here".to_string(),
            help: Some(
                "write `--set group.web.max=8`; list items go by index, `sla.0.objective`".to_string(),
            ),
        });
    };
    let Some(keys) = split_path(path) else { return fail(format!("`{path}` is not a path")) };
    let mut node = document;
    for key in &keys {
        // A shorthand such as `runtime = "event-loop"` gives way to the table that the path asks for.
        if !matches!(node.value, Value::Table(_) | Value::Array(_)) {
            node.value = Value::Table(Vec::new());
        }
        node = match &mut node.value {
            Value::Table(entries) => {
                let index = entries.iter().position(|entry| entry.key == *key).unwrap_or(entries.len());
                if index == entries.len() {
                    let empty = Node { place: place.clone(), value: Value::Table(Vec::new()) };
                    entries.push(Entry { key: key.clone(), place: place.clone(), node: empty });
                }
                &mut entries[index].node
            }
            Value::Array(items) => {
                let count = items.len();
                match key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                    Some(item) => item,
                    None => {
                        return fail(format!("`{key}` in `{path}` is not an index into a list of {count}"));
                    }
                }
            }
            _ => return,
        };
    }
    *node = value;
}

/// The keys of a path, as of `--set`; `None` where it is no path.
pub(crate) fn split_path(path: &str) -> Option<Vec<String>> {
    let (mut keys, mut key, mut quoted) = (Vec::new(), String::new(), false);
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => keys.push(std::mem::take(&mut key)),
            c => key.push(c),
        }
    }
    keys.push(key);
    (!quoted && keys.iter().all(|key| !key.is_empty())).then_some(keys)
}

/// The value of an override: TOML where it is, else a string, so that quotes can be left out on a command line.
pub fn override_value(text: &str, source: usize, offset: usize) -> Node {
    let place = Place { source, span: (offset..offset + text.len()).into() };
    let mut node = match DeValue::parse(text) {
        Ok(value) => convert(&value, source),
        Err(_) => Node { place: place.clone(), value: Value::String(text.to_string()) },
    };
    relocate(&mut node, &place);
    node
}

/// An override is short: all of it points at itself.
fn relocate(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, place)),
        Value::Table(entries) => {
            for entry in entries {
                entry.place = place.clone();
                relocate(&mut entry.node, place);
            }
        }
        _ => {}
    }
}
