//! Distributions of durations: `"5ms"`, `{ exp = { mean = "5ms" } }`, `{ lognormal = { mean = "2ms", cv = 0.8 } }` …

use sim_core::Span;
use sim_core::dist::{Dist, DistError};

use super::Context;
use super::node::{Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::units::Positive;

const KINDS: [&str; 10] = [
    "constant",
    "uniform",
    "exp",
    "erlang",
    "hyperexp",
    "lognormal",
    "gamma",
    "pareto",
    "weibull",
    "quantiles",
];
const SAMPLES: &str = "samples";

/// Reads a distribution of durations, in nanoseconds, and shows it as the resolved scenario does.
pub fn duration(context: &Context<'_>, path: &str, node: &Node) -> Option<(Dist, toml::Value)> {
    if let Value::String(_) = node.value {
        let span: Span = read(context.findings, path, node)?;
        return Some((Dist::constant(nanos(span)).ok()?, span.show()));
    }
    let known: Vec<&str> = KINDS.into_iter().chain([SAMPLES]).collect();
    let (kind, entry) = choice(context.findings, path, node, &known)?;
    let Some(entry) = entry else {
        let help = format!("write `{{ {kind} = {{ … }} }}`");
        context.findings.error(
            &node.place,
            format!("`{path}` needs parameters"),
            "expected a table",
            Some(help),
        );
        return None;
    };
    let path = format!("{path}.{kind}");
    let (dist, shown) = match kind {
        "constant" => {
            let span: Span = read(context.findings, &path, &entry.node)?;
            (Dist::constant(nanos(span)), span.show())
        }
        "quantiles" => quantiles(context, &path, &entry.node)?,
        _ => parametric(context, kind, &path, &entry.node)?,
    };
    match dist {
        Ok(dist) => {
            let shown = toml::Table::from_iter([(kind.to_string(), shown)]);
            Some((dist, toml::Value::Table(shown)))
        }
        Err(why) => {
            context.findings.error(&entry.node.place, format!("`{path}`: {why}"), "these parameters", None);
            None
        }
    }
}

fn nanos(span: Span) -> f64 {
    span.as_nanos() as f64
}

/// A distribution or why its parameters make none, and how to show it.
type Parameters = Option<(Result<Dist, DistError>, toml::Value)>;

fn parametric(context: &Context<'_>, kind: &str, path: &str, node: &Node) -> Parameters {
    let mut table = Reader::new(context.findings, path, node);
    let dist = parameters(context, kind, &mut table);
    let shown = toml::Value::Table(table.finish());
    Some((dist?, shown))
}

fn parameters(context: &Context<'_>, kind: &str, table: &mut Reader<'_>) -> Option<Result<Dist, DistError>> {
    let mean = |table: &mut Reader<'_>| table.required::<Span>("mean").map(nanos);
    Some(match kind {
        "uniform" => {
            let (low, high) = (table.required::<Span>("low"), table.required::<Span>("high"));
            Dist::uniform(nanos(low?), nanos(high?))
        }
        "exp" => Dist::exponential(mean(table)?),
        "erlang" => {
            let (shape, mean) = (table.required::<u32>("shape"), mean(table));
            Dist::erlang(shape?, mean?)
        }
        "hyperexp" if table.node("phases").is_some() => phases(context, table)?,
        "hyperexp" => {
            let (mean, scv) = (mean(table), table.required::<Positive>("scv"));
            Dist::hyperexponential_balanced(mean?, scv?.0)
        }
        "lognormal" => {
            let (mean, cv) = (mean(table), table.required::<Positive>("cv"));
            Dist::lognormal(mean?, cv?.0)
        }
        "gamma" => {
            let (mean, cv) = (mean(table), table.required::<Positive>("cv"));
            Dist::gamma(mean?, cv?.0)
        }
        "weibull" => {
            let (shape, mean) = (table.required::<Positive>("shape"), mean(table));
            Dist::weibull(shape?.0, mean?)
        }
        "pareto" => {
            let alpha = table.required::<Positive>("alpha");
            let (low, high) = (table.required::<Span>("low"), table.required::<Span>("high"));
            Dist::bounded_pareto(alpha?.0, nanos(low?), nanos(high?))
        }
        _ => samples(context, table)?,
    })
}

/// `phases = [[0.9, "1ms"], [0.1, "20ms"]]`: probabilities and means.
fn phases(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Result<Dist, DistError>> {
    let path = table.path_of("phases");
    let node = table.node("phases")?;
    let phases = pairs::<f64, Span>(context, &path, node, "[[0.9, \"1ms\"], [0.1, \"20ms\"]]")?;
    let shown = phases.iter().map(|(p, mean)| toml::Value::Array(vec![p.show(), mean.show()]));
    table.resolve("phases", shown.collect::<Vec<_>>());
    let phases: Vec<(f64, f64)> = phases.into_iter().map(|(p, mean)| (p, nanos(mean))).collect();
    Some(Dist::hyperexponential(&phases))
}

/// `[[0, "1ms"], [0.5, "3ms"], [1, "40ms"]]`
fn quantiles(context: &Context<'_>, path: &str, node: &Node) -> Parameters {
    let points = pairs::<f64, Span>(context, path, node, "[[0, \"1ms\"], [0.5, \"3ms\"], [1, \"40ms\"]]")?;
    let shown = points.iter().map(|(p, span)| toml::Value::Array(vec![p.show(), span.show()])).collect();
    let points: Vec<(f64, f64)> = points.into_iter().map(|(p, span)| (p, nanos(span))).collect();
    Some((Dist::from_quantiles(&points), toml::Value::Array(shown)))
}

/// A list of pairs.
pub fn pairs<A: Read, B: Read>(
    context: &Context<'_>,
    path: &str,
    node: &Node,
    example: &str,
) -> Option<Vec<(A, B)>> {
    let fail = |node: &Node| {
        let message = format!("`{path}` is not a list of pairs");
        context.findings.error(&node.place, message, format!("expected {example}"), None);
    };
    let Value::Array(items) = &node.value else {
        fail(node);
        return None;
    };
    let mut pairs = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Value::Array(pair) = &item.value else {
            fail(item);
            continue;
        };
        let [first, second] = pair.as_slice() else {
            fail(item);
            continue;
        };
        let path = format!("{path}.{index}");
        let (first, second) = (read(context.findings, &path, first), read(context.findings, &path, second));
        pairs.extend(first.zip(second));
    }
    (pairs.len() == items.len()).then_some(pairs)
}

/// One duration a line of a file, or one column of it.
fn samples(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Result<Dist, DistError>> {
    let file: Option<String> = table.required("file");
    let column: Option<String> = table.optional("column");
    let unit: Span = table.or("unit", Span::from_millis(1));
    let place = table.place_of("file");
    let file = file?;
    let fail = |why: String| {
        context.findings.error(
            &place,
            format!("the samples in `{file}` cannot be used: {why}"),
            "this file",
            None,
        );
    };
    let values = context.files.open(&file).map_err(|error| error.to_string()).and_then(|reader| {
        crate::traffic::trace::column_of_numbers(&file, reader, column.as_deref())
            .map_err(|error| error.to_string())
    });
    match values {
        Ok(values) => {
            let scaled: Vec<f64> = values.into_iter().map(|value| value * nanos(unit)).collect();
            Some(Dist::from_samples(&scaled))
        }
        Err(why) => {
            fail(why);
            None
        }
    }
}
