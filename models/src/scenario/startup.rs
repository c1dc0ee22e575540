//! `[group.NAME] startup`: how an instance comes up, part by part.

use sim_core::Span;
use sim_core::dist::Dist;

use super::Context;
use super::dist::duration;
use super::node::{Node, Value};
use super::reader::Reader;
use crate::plan::{Startup, UserDataStep};

/// A start, and how the resolved scenario shows it.
pub type Read = (Startup, toml::Table);

/// `{ provision = "20s", boot = "30s", user_data = [{ name = "npm install", takes = "40s", fails = 0.02 }], app = "10s" }`.
/// What is left out is as in `default`, or that of a usual Linux instance with the app in its image.
pub fn startup(context: &Context<'_>, table: &mut Reader<'_>, default: Option<&Read>) -> Option<Read> {
    let path = table.path_of("startup");
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let node = table.node("startup").unwrap_or(&empty);
    let mut parts = Reader::new(context.findings, path.clone(), node);
    // Typical of a Linux instance with the app in its image.
    let mut part = |key: &'static str, usual: u64, of: fn(&Startup) -> &Dist| -> Option<Dist> {
        let (dist, shown) = match (parts.node(key), default) {
            (Some(node), _) => duration(context, &format!("{path}.{key}"), node)?,
            (None, Some((default, shown))) => (of(default).clone(), shown.get(key)?.clone()),
            (None, None) => {
                let span = Span::from_secs(usual);
                (Dist::constant(span.as_nanos() as f64).ok()?, toml::Value::String(span.to_string()))
            }
        };
        parts.resolve(key, shown);
        Some(dist)
    };
    let provision = part("provision", 20, |startup| &startup.provision);
    let boot = part("boot", 30, |startup| &startup.boot);
    let app = part("app", 10, |startup| &startup.app);
    let user_data = match default.filter(|_| parts.node("user_data").is_none()) {
        Some((default, shown)) => {
            if let Some(steps) = shown.get("user_data") {
                parts.resolve("user_data", steps.clone());
            }
            Some(default.user_data.clone())
        }
        None => user_data(context, &mut parts),
    };
    let shown = parts.finish();
    table.resolve("startup", shown.clone());
    Some((Startup { provision: provision?, boot: boot?, user_data: user_data?, app: app? }, shown))
}

/// The steps of a script that runs at the first boot; none where the app is in the image.
fn user_data(context: &Context<'_>, parts: &mut Reader<'_>) -> Option<Vec<UserDataStep>> {
    let path = parts.path_of("user_data");
    let items = parts.items("user_data");
    if items.len() > Startup::MOST_STEPS {
        let message = format!("`{path}` has {} steps", items.len());
        let label = format!("at most {}", Startup::MOST_STEPS);
        context.findings.error(&parts.place_of("user_data"), message, label, None);
    }
    let (mut steps, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.{index}");
        let mut step = Reader::new(context.findings, path.clone(), item);
        let name = step.required::<String>("name");
        let takes = match step.node("takes") {
            Some(node) => duration(context, &format!("{path}.takes"), node),
            None => {
                step.missing("takes", "how long it takes, such as \"40s\"");
                None
            }
        };
        if let Some((_, shown)) = &takes {
            step.resolve("takes", shown.clone());
        }
        let fails = step.or("fails", 0.0);
        if fails > 1.0 {
            let message = format!("`{}` is {fails}", step.path_of("fails"));
            context.findings.error(&step.place_of("fails"), message, "expected a chance from 0 to 1", None);
        }
        shown.push(toml::Value::Table(step.finish()));
        steps.push(name.zip(takes).map(|(name, (takes, _))| UserDataStep { name, takes, fails }));
    }
    if !shown.is_empty() {
        parts.resolve("user_data", shown);
    }
    steps.into_iter().collect()
}
