//! What is wrong with a scenario: where, what was expected, and what may have been meant.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Diagnostics that [`Diagnostics::render`] shows with their lines.
const MOST_SHOWN: usize = 100;

/// Everything that is wrong with a scenario, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// At least one.
    pub list: Vec<Diagnostic>,
    sources: Vec<Source>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What was expected there, in a few words.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A range of bytes in one of a scenario's texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 for the scenario file, then the overrides in their order.
    pub source: usize,
    /// The bytes.
    pub span: Bytes,
}

/// A range of bytes that has an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl From<Range<usize>> for Bytes {
    fn from(range: Range<usize>) -> Self {
        Bytes { start: range.start, end: range.end }
    }
}

/// A text that a scenario was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its file name, or the option it came from.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Diagnostics {
    /// Puts what was found in order. `None` where nothing was.
    pub fn new(mut list: Vec<Diagnostic>, sources: Vec<Source>) -> Option<Diagnostics> {
        list.sort_by(|a, b| a.place.cmp(&b.place));
        list.dedup();
        (!list.is_empty()).then_some(Diagnostics { list, sources })
    }

    /// File, line and column of a diagnostic; lines and columns count from 1.
    pub fn position(&self, diagnostic: &Diagnostic) -> (&str, usize, usize) {
        let Some(source) = self.sources.get(diagnostic.place.source) else { return ("", 1, 1) };
        let before = source.text.get(..diagnostic.place.span.start).unwrap_or(&source.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        (&source.name, line, column)
    }

    /// The diagnostics with the lines they are about, as compilers show them.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in self.list.iter().take(MOST_SHOWN) {
            let Some(source) = self.sources.get(diagnostic.place.source) else { continue };
            let Bytes { start, end } = diagnostic.place.span;
            let end = end.clamp(start, source.text.len());
            let annotation =
                AnnotationKind::Primary.span(start.min(end)..end).label(diagnostic.label.as_str());
            let snippet =
                Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(annotation);
            let mut group = Level::ERROR.primary_title(diagnostic.message.as_str()).element(snippet);
            if let Some(help) = &diagnostic.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            text.push_str(&renderer.render(&[group]));
            text.push_str("\n\n");
        }
        let count = self.list.len();
        if count > MOST_SHOWN {
            text.push_str(&format!("the first {MOST_SHOWN} of "));
        }
        text.push_str(&format!("{count} error{} in the scenario\n", if count == 1 { "" } else { "s" }));
        text
    }
}

impl fmt::Display for Diagnostics {
    /// One line for each: `file:line:column: message (help)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            let (file, line, column) = self.position(diagnostic);
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{file}:{line}:{column}: {}", diagnostic.message)?;
            if let Some(help) = &diagnostic.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// "did you mean", where one of `known` is close to what was written.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // One that begins like the other, as `minimum` and `min`, is as close as a slip of the finger.
    let distance = |name: &str| match written.starts_with(name) || name.starts_with(written) {
        true => 1,
        false => strsim::damerau_levenshtein(written, name),
    };
    let (distance, name) = known.into_iter().map(|name| (distance(name), name)).min()?;
    (distance <= (written.chars().count() / 3).max(2)).then(|| format!("did you mean `{name}`?"))
}

/// "did you mean" if something is close, else all names there are.
pub fn nearest_or_all(written: &str, known: &[&str]) -> String {
    nearest(written, known.iter().copied()).unwrap_or_else(|| match known {
        [] => "there are none".to_string(),
        names => format!("there {} {}", if names.len() == 1 { "is" } else { "are" }, list(names)),
    })
}

/// `a`, `b` and `c`.
pub fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
