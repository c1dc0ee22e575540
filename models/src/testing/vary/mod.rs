//! Property tests over scenarios: a [`proptest`] strategy that varies a scenario by paths (feature `proptest`).
//!
//! ```
//! use proptest::test_runner::{Config, TestRunner};
//! use scalesim::testing::vary::Variations;
//! use scalesim::{Draft, NoFiles};
//! # let text = r#"
//! #     [scenario]
//! #     duration = "1min"
//! #     [traffic.web]
//! #     to = "front"
//! #     profile = { constant = "50/s" }
//! #     timeout = "1s"
//! #     [service.api]
//! #     runtime = "thread-per-request"
//! #     [service.api.endpoint."GET /"]
//! #     steps = [{ cpu = "10ms" }]
//! #     [group.web]
//! #     service = "api"
//! #     machine = "c6i.large"
//! #     min = 1
//! #     max = 8
//! #     [balancer.front]
//! #     targets = "web"
//! # "#;
//! let draft = Draft::new("shop.toml", text, &NoFiles);
//! let variations = Variations::of(&draft)
//!     .between("group.web.min", 1..=8)
//!     .any_of("balancer.front.algorithm", ["round-robin", "random", "least-outstanding-requests"])
//!     .span("traffic.web.timeout", "100ms"..="10s");
//! let mut runner = TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() });
//! runner.run(&variations, |scenario| {
//!     assert!(scenario.run().run.requests.conserved());
//!     Ok(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A failing case is shown as the command line that plays it, with a `--set` for each value that is not the scenario's own. It
//! shrinks to few of these first; what has to be set is then brought as close to the scenario's own value as still fails
//! (to the lowest of the range, or the first of the list, where the scenario's own is not among them). Combinations that
//! are no scenario, such as a minimum above the maximum, are drawn again.
//!
//! Each case is played from the scenario's own seed, so that two of them get the same requests. To vary these too:
//! `.between("scenario.seed", 0..=999)`.

mod choice;
mod shrink;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{Deref, RangeInclusive};
use std::sync::Arc;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::{Reason, TestRunner};

use crate::{Diagnostics, Draft, Scenario};
use choice::Choice;
use shrink::Shrinking;

/// Variants in a row that may be no scenario before a test gives up.
pub const MOST_REJECTED: u32 = 1_000;

/// What a scenario is varied by: a strategy of [`Variation`]s.
#[derive(Clone)]
pub struct Variations<'a> {
    draft: Draft<'a>,
    /// The scenario with its defaults, which says what a value is when it is not varied.
    resolved: toml::Table,
    choices: Vec<Choice>,
}

impl<'a> Variations<'a> {
    /// Nothing is varied yet.
    pub fn of(draft: &Draft<'a>) -> Self {
        let resolved = draft.read().ok().and_then(|scenario| scenario.resolved().parse().ok());
        Variations { draft: draft.clone(), resolved: resolved.unwrap_or_default(), choices: Vec::new() }
    }

    /// A whole number.
    ///
    /// # Panics
    /// Where the range is empty.
    #[track_caller]
    pub fn between(self, path: &str, range: RangeInclusive<i64>) -> Self {
        assert!(range.start() <= range.end(), "`{path}` varies over an empty range");
        self.choosing(|own| Choice::whole(path, &range, own), path)
    }

    /// A number, on a grid of powers of ten with at most ten thousand steps.
    ///
    /// # Panics
    /// Where the range is empty, or a bound is not finite.
    #[track_caller]
    pub fn number(self, path: &str, range: RangeInclusive<f64>) -> Self {
        self.decimal(path, range, "")
    }

    /// Requests per second, as a number of them: `80.0..=900.0`.
    ///
    /// # Panics
    /// Where the range is empty, or a bound is not finite.
    #[track_caller]
    pub fn rate(self, path: &str, range: RangeInclusive<f64>) -> Self {
        self.decimal(path, range, "/s")
    }

    /// A length of time: `"10s"..="90s"`.
    ///
    /// # Panics
    /// Where the range is empty, or a bound is no length of time.
    #[track_caller]
    pub fn span(self, path: &str, range: RangeInclusive<&str>) -> Self {
        let (low, high) = match (range.start().parse(), range.end().parse()) {
            (Ok(low), Ok(high)) if low <= high => (low, high),
            (Err(why), _) | (_, Err(why)) => panic!("`{path}`: {why}"),
            _ => panic!("`{path}` varies over an empty range"),
        };
        self.choosing(|own| Choice::span(path, low, high, own), path)
    }

    /// One of these values, as `--set` takes them. Those that come first count as simpler.
    ///
    /// # Panics
    /// Where there are none.
    #[track_caller]
    pub fn any_of(self, path: &str, values: impl IntoIterator<Item = impl ToString>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        assert!(!values.is_empty(), "`{path}` has no values to choose from");
        self.choosing(|own| Choice::any_of(path, values, own), path)
    }

    #[track_caller]
    fn decimal(self, path: &str, range: RangeInclusive<f64>, unit: &'static str) -> Self {
        let (low, high) = (*range.start(), *range.end());
        assert!(low.is_finite() && high.is_finite() && low <= high, "`{path}` varies over an empty range");
        self.choosing(|own| Choice::decimal(path, low, high, unit, own), path)
    }

    fn choosing(mut self, choice: impl FnOnce(Option<&toml::Value>) -> Choice, path: &str) -> Self {
        let choice = choice(choice::value_at(&self.resolved, path));
        self.choices.push(choice);
        self
    }

    /// The scenario with these values; where there is `None`, with its own.
    fn read(&self, values: &[Option<u64>]) -> Result<Variation, Diagnostics> {
        let mut draft = self.draft.clone();
        for (choice, value) in self.choices.iter().zip(values) {
            if let Some(value) = *value {
                draft = draft.with(choice.path(), choice.text(value));
            }
        }
        Ok(Variation(Arc::new(draft.read()?)))
    }
}

impl fmt::Debug for Variations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.choices.iter().map(Choice::path);
        f.debug_struct("Variations")
            .field("of", &self.draft.name())
            .field("by", &paths.collect::<Vec<_>>())
            .finish()
    }
}

impl<'a> Strategy for Variations<'a> {
    type Tree = Shrinking<'a>;
    type Value = Variation;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut last = String::new();
        for _ in 0..MOST_REJECTED {
            let mut values = Vec::with_capacity(self.choices.len());
            for choice in &self.choices {
                let drawn = (0..=choice.last()).new_tree(runner)?.current();
                values.push((!choice.is_own(drawn)).then_some(drawn));
            }
            match self.read(&values) {
                Ok(variation) => return Ok(Shrinking::new(self.clone(), values, variation)),
                Err(why) => last = why.to_string(),
            }
            runner.reject_local("variants that are no scenario")?;
        }
        Err(Reason::from(format!("{MOST_REJECTED} variants in a row are no scenario; the last: {last}")))
    }
}

/// A scenario that was varied. Its `Debug` is the command line that plays it.
#[derive(Clone)]
pub struct Variation(Arc<Scenario>);

impl Deref for Variation {
    type Target = Scenario;

    fn deref(&self) -> &Scenario {
        &self.0
    }
}

impl fmt::Debug for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command())
    }
}
