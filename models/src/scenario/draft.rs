//! A scenario before it is read, from which variants can be.

use super::{Diagnostics, Files, Scenario};

/// A scenario as it was typed, with what has been set on top of it: the thing of which comparisons, sweeps and searches
/// read variants.
///
/// ```
/// use scalesim::{Draft, NoFiles};
/// # let text = r#"
/// #     [scenario]
/// #     duration = "10min"
/// #     [traffic.web]
/// #     to = "front"
/// #     profile = { constant = "50/s" }
/// #     [service.api]
/// #     runtime = "thread-per-request"
/// #     [service.api.endpoint."GET /"]
/// #     steps = [{ cpu = "10ms" }]
/// #     [group.web]
/// #     service = "api"
/// #     machine = "c6i.large"
/// #     min = 1
/// #     [balancer.front]
/// #     targets = "web"
/// # "#;
/// let draft = Draft::new("shop.toml", text, &NoFiles);
/// let larger = draft.with("group.web.min", "4").read()?;
/// assert_eq!(larger.plan().groups[0].min, 4);
/// # Ok::<(), scalesim::Diagnostics>(())
/// ```
#[derive(Clone)]
pub struct Draft<'a> {
    name: String,
    text: String,
    overrides: Vec<(String, String)>,
    files: &'a (dyn Files + Sync),
}

impl<'a> Draft<'a> {
    /// A scenario of this text. `name` is its file's name, for messages.
    pub fn new(name: impl Into<String>, text: impl Into<String>, files: &'a (dyn Files + Sync)) -> Self {
        Draft { name: name.into(), text: text.into(), overrides: Vec::new(), files }
    }

    /// The same with one value more set: `path` as of `--set`, `value` as TOML, or a string without its quotes.
    pub fn with(&self, path: impl Into<String>, value: impl Into<String>) -> Draft<'a> {
        let mut draft = self.clone();
        draft.overrides.push((path.into(), value.into()));
        draft
    }

    /// Its file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text, without what has been set.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What has been set on top of it, in order.
    pub fn overrides(&self) -> &[(String, String)] {
        &self.overrides
    }

    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self) -> Result<Scenario, Diagnostics> {
        Scenario::read(&self.name, &self.text, &self.overrides, self.files)
    }
}
