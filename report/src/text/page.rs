//! Lines on their way to a terminal.

use anstyle::{AnsiColor, Style as Ansi};

use super::{WIDTH, wrap};

/// Whether to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Letters only.
    Plain,
    /// With terminal colours.
    Colour,
}

impl Style {
    /// In bold, and in this colour if any.
    pub(super) fn paint(self, colour: impl Into<Option<AnsiColor>>, text: &str) -> String {
        match self {
            Style::Plain => text.to_string(),
            Style::Colour => {
                let style = Ansi::new().fg_color(colour.into().map(Into::into)).bold();
                format!("{style}{text}{style:#}")
            }
        }
    }

    pub(super) fn title(self, text: &str) -> String {
        self.paint(None, text)
    }
}

/// What is to be printed, as far as it is written.
pub(super) struct Page {
    /// Whether to use colour.
    pub style: Style,
    /// Its lines.
    pub text: String,
}

impl Page {
    /// An empty one.
    pub fn new(style: Style) -> Self {
        Page { style, text: String::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref().trim_end());
        self.text.push('\n');
    }

    /// Begins a section: an empty line and its title.
    pub fn section(&mut self, title: &str) {
        let title = self.style.title(title);
        self.line("");
        self.line(title);
    }

    /// Adds a text in as many lines as it takes, each behind `indent`.
    pub fn wrapped(&mut self, indent: &str, text: &str) {
        for line in wrap(text, WIDTH - indent.len()) {
            self.line(format!("{indent}{line}"));
        }
    }
}
