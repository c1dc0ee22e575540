//! `generate` steps: how many tokens prompts have, and how many are generated for them.

use std::sync::Arc;

use sim_core::Seed;
use sim_core::dist::Dist;

use super::Context;
use super::check::place_of;
use super::dist::pairs;
use super::node::{Node, Value};
use super::reader::{Findings, Read, Reader, choice, read};
use super::units::Positive;
use crate::batching::{Engine, Parameters, Sequence};
use crate::plan::{EndpointId, Plan, Step, Subject, Tokens, TrafficId};
use crate::traffic::trace::column_of_numbers;

const KINDS: [&str; 5] = ["constant", "uniform", "exp", "lognormal", "quantiles"];
/// The most tokens of a prompt or an output.
const MOST_TOKENS: f64 = 1e9;
/// Requests that are drawn to see how many fit into an engine.
const DRAWN: u32 = 2_000;

/// `{ input = 1000, output = { exp = { mean = 200 } } }`, or the rows of a table, `{ trace = "azure-llm.csv", input = "ContextTokens", output =
/// "GeneratedTokens" }`.
pub fn tokens(context: &Context<'_>, path: &str, node: &Node) -> Option<(Tokens, toml::Value)> {
    let mut table = Reader::new(context.findings, path, node);
    let tokens = if table.node("trace").is_some() {
        rows(context, &mut table)
    } else {
        let (input, output) = (number(context, &mut table, "input"), number(context, &mut table, "output"));
        input.zip(output).map(|(input, output)| Tokens::Drawn { input, output })
    };
    let shown = toml::Value::Table(table.finish());
    Some((tokens?, shown))
}

/// A distribution of numbers of tokens.
fn number(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str) -> Option<Dist> {
    let path = table.path_of(key);
    let Some(node) = table.node(key) else {
        table.missing(key, "tokens, such as 1000 or { lognormal = { mean = 1000, cv = 1 } }");
        return None;
    };
    let (dist, shown) = distribution(context, &path, node)?;
    table.resolve(key, shown);
    Some(dist)
}

fn distribution(context: &Context<'_>, path: &str, node: &Node) -> Option<(Dist, toml::Value)> {
    if let Value::Integer(_) | Value::Float(_) = node.value {
        let tokens: Count = read(context.findings, path, node)?;
        return Some((Dist::constant(tokens.0).ok()?, tokens.show()));
    }
    let (kind, entry) = choice(context.findings, path, node, &KINDS)?;
    let Some(entry) = entry else {
        let label = format!("expected `{{ {kind} = {{ … }} }}`");
        context.findings.error(&node.place, format!("`{path}` needs parameters"), label, None);
        return None;
    };
    let path = format!("{path}.{kind}");
    let (dist, shown) = match kind {
        "constant" => {
            let tokens: Count = read(context.findings, &path, &entry.node)?;
            (Dist::constant(tokens.0), tokens.show())
        }
        "quantiles" => {
            let points =
                pairs::<f64, Count>(context, &path, &entry.node, "[[0, 20], [0.5, 1020], [1, 14000]]")?;
            let shown = points.iter().map(|(p, tokens)| toml::Value::Array(vec![p.show(), tokens.show()]));
            let shown = toml::Value::Array(shown.collect());
            let points: Vec<(f64, f64)> = points.into_iter().map(|(p, tokens)| (p, tokens.0)).collect();
            (Dist::from_quantiles(&points), shown)
        }
        _ => {
            let mut options = Reader::new(context.findings, path.clone(), &entry.node);
            let dist = parameters(kind, &mut options);
            let shown = toml::Value::Table(options.finish());
            (dist?, shown)
        }
    };
    let dist = context.findings_if_err(dist, &entry.node.place, |why| format!("`{path}`: {why}"))?;
    Some((dist, toml::Value::Table(toml::Table::from_iter([(kind.to_string(), shown)]))))
}

fn parameters(kind: &str, table: &mut Reader<'_>) -> Option<Result<Dist, sim_core::dist::DistError>> {
    let mut tokens = |key: &'static str| table.required::<Count>(key).map(|tokens| tokens.0);
    Some(match kind {
        "uniform" => {
            let (low, high) = (tokens("low"), tokens("high"));
            Dist::uniform(low?, high?)
        }
        "exp" => Dist::exponential(tokens("mean")?),
        _ => {
            let (mean, cv) = (tokens("mean"), table.required::<Positive>("cv"));
            Dist::lognormal(mean?, cv?.0)
        }
    })
}

/// The rows of a table, of which each request has one.
fn rows(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Tokens> {
    let file = table.required::<String>("trace");
    let (input, output) = (table.required::<String>("input"), table.required::<String>("output"));
    let place = table.place_of("trace");
    let file = file?;
    let column = |name: &str| -> Result<Vec<f64>, String> {
        let reader = context.files.open(&file).map_err(|error| error.to_string())?;
        column_of_numbers(&file, reader, Some(name)).map_err(|error| error.to_string())
    };
    let (input, output) = (input?, output?);
    let both = column(&input).and_then(|inputs| Ok((inputs, column(&output)?)));
    let fail = |why: &String| format!("the tokens in `{file}` cannot be used: {why}");
    let (inputs, outputs) = context.findings_if_err(both, &place, fail)?;
    let rows = inputs.len();
    let why = match outputs.len() {
        0 => "it has no rows".to_string(),
        others if others != rows => {
            format!("`{input}` has {rows} numbers, and `{output}` {others}")
        }
        _ if rows > Tokens::MOST_ROWS => format!("it has {rows} rows; at most {}", Tokens::MOST_ROWS),
        _ => {
            let tokens = |value: f64| value.round().max(1.0) as u32;
            let rows: Arc<[_]> = inputs.iter().zip(&outputs).map(|(&a, &b)| (tokens(a), tokens(b))).collect();
            let raised = inputs.iter().chain(&outputs).filter(|&&value| value < 0.5).count();
            if raised > 0 {
                context.findings.note(format!("{file}: {raised} numbers of tokens are zero, and count as 1"));
            }
            return Some(Tokens::Rows(rows));
        }
    };
    context.findings.error(&place, fail(&why), "this file", None);
    None
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Count(f64);

impl Read for Count {
    const EXPECTED: &'static str = "a number of tokens, zero to a billion";
    fn read(value: &Value) -> Result<Self, String> {
        match f64::read(value)? {
            tokens if tokens > MOST_TOKENS => Err(format!("{tokens} is more than {MOST_TOKENS:e}")),
            tokens => Ok(Count(tokens)),
        }
    }
    fn show(&self) -> toml::Value {
        if self.0.fract() == 0.0 { toml::Value::Integer(self.0 as i64) } else { toml::Value::Float(self.0) }
    }
}

/// Checks what is generated, and by whom.
pub fn check(findings: &Findings, document: &Node, plan: &Plan) {
    for endpoint in &plan.endpoints {
        for (index, step) in endpoint.steps.iter().enumerate() {
            let Step::Generate(tokens) = step else { continue };
            let service = &plan.services[endpoint.service.index()];
            let index = index.to_string();
            let place =
                place_of(document, &["service", &service.name, "endpoint", &endpoint.name, "steps", &index]);
            match &service.engine {
                None => {
                    let message = format!(
                        "`{}` generates tokens, and service `{}` has no engine",
                        endpoint.name, service.name
                    );
                    let help =
                        "add `engine = { model = \"llama-3-8b\", gpu = \"h100-80gb\" }` to the service";
                    findings.error(&place, message, "by what?", Some(help.to_string()));
                }
                Some(engine) => {
                    fits(findings, &place, &endpoint.name, tokens, &engine.parameters);
                }
            }
        }
    }
    engines(findings, document, plan);
    workers(findings, document, plan);
    objectives(findings, document, plan);
}

/// How many of its requests an engine would take.
fn fits(
    findings: &Findings,
    place: &super::diagnostic::Place,
    name: &str,
    tokens: &Tokens,
    parameters: &Parameters,
) {
    let Ok(engine) = Engine::new(*parameters) else { return };
    let mut stream = Seed::new(0).stream("tokens/fit");
    let (mut refused, mut shortest) = (0, u64::MAX);
    for id in 0..DRAWN {
        let (input, output) = tokens.draw(&mut stream);
        let sequence = Sequence { id, input, output };
        if engine.takes(sequence).is_err() {
            refused += 1;
            shortest = shortest.min(u64::from(input) + u64::from(output));
        }
    }
    let most = most_tokens(parameters);
    let limit = if parameters.chunked || u64::from(parameters.most_batched_tokens) > most {
        format!("the KV cache holds {} tokens", parameters.kv_tokens)
    } else {
        format!("without chunked prefill an iteration takes {} tokens", parameters.most_batched_tokens)
    };
    if refused == DRAWN {
        let message =
            format!("no request for `{name}` can ever be served: they have {shortest} tokens and more");
        findings.error(place, message, limit, None);
    } else if refused > 0 {
        let share = 100.0 * f64::from(refused) / f64::from(DRAWN);
        findings.note(format!(
            "about {share:.1} % of requests for `{name}` have too many tokens, and are refused: {limit}"
        ));
    }
}

/// The most tokens that a sequence may come to.
fn most_tokens(parameters: &Parameters) -> u64 {
    let block = u64::from(parameters.block);
    parameters.kv_tokens / block * block
}

/// An engine needs its GPUs, and something to do.
fn engines(findings: &Findings, document: &Node, plan: &Plan) {
    for (id, service) in (0u16..).zip(&plan.services) {
        let Some(engine) = &service.engine else { continue };
        let place = place_of(document, &["service", &service.name, "engine"]);
        let generates = |step: &Step| matches!(step, Step::Generate(_));
        let mut own = plan.endpoints.iter().filter(|endpoint| endpoint.service.0 == id);
        if !own.any(|endpoint| endpoint.steps.iter().any(generates)) {
            let message = format!(
                "service `{}` has an engine, and none of its endpoints a `generate` step",
                service.name
            );
            findings.error(&place, message, "it would have nothing to do", None);
        }
        for group in &plan.groups {
            let machines = (0u8..=group.versions.len() as u8).map(|version| group.template(version));
            let own = machines.filter(|template| template.service.0 == id);
            let machines = own.map(|template| &group.machines[usize::from(template.machine)]);
            let all = group.machines.iter().filter(|_| group.service.0 == id && group.versions.is_empty());
            if let Some(machine) = machines.chain(all).find(|machine| machine.gpus < engine.gpus) {
                let message = format!(
                    "the engine of service `{}` works on {} GPUs, and `{}` of group `{}` has {}",
                    service.name, engine.gpus, machine.name, group.name, machine.gpus
                );
                let help =
                    "use a type such as `g6.xlarge` or `p5.48xlarge`, or say `gpus = 1` of the machine";
                let place = place_of(document, &["group", &group.name]);
                findings.error(&place, message, "too few GPUs", Some(help.to_string()));
            }
        }
    }
}

/// What is lost with an engine cannot be saved, and its model is loaded where its instance starts.
fn workers(findings: &Findings, document: &Node, plan: &Plan) {
    for group in &plan.groups {
        let Some(worker) = &group.worker else { continue };
        let job = &plan.endpoints[worker.job.index()];
        if !job.steps.iter().any(|step| matches!(step, Step::Generate(_))) {
            continue;
        }
        for (key, given, help) in [
            (
                "load",
                worker.load.is_some(),
                "say how long the model takes in the group's `startup`, as part of `app`",
            ),
            ("checkpoint", worker.checkpoint.is_some(), "a try begins with an empty KV cache: leave it out"),
        ] {
            if given {
                let place = place_of(document, &["group", &group.name, "worker", key]);
                let message = format!("`{}` generates tokens, for which there is no `{key}`", job.name);
                findings.error(&place, message, "not known to an engine", Some(help.to_string()));
            }
        }
    }
}

/// A promise about first tokens is about somebody's.
fn objectives(findings: &Findings, document: &Node, plan: &Plan) {
    let generates = plan.generates();
    for (index, objective) in plan.objectives.iter().enumerate() {
        if objective.subject != Subject::FirstToken {
            continue;
        }
        let wanted = |id: EndpointId| {
            objective.endpoint.is_none_or(|endpoint| endpoint == id) && generates[id.index()]
        };
        let of_source = |id: TrafficId| objective.traffic.is_none_or(|traffic| traffic == id);
        let mut sources = (0u16..).map(TrafficId).zip(&plan.traffic).filter(|(id, _)| of_source(*id));
        let mut jobs = plan.groups.iter().filter_map(|group| group.worker.as_ref());
        if !sources.any(|(_, traffic)| traffic.asks_for().any(wanted))
            && !jobs.any(|worker| wanted(worker.job))
        {
            let message =
                format!("the objective `{}` is about first tokens, and there are none", objective.name);
            let help = "none of the endpoints that it is about has a `generate` step".to_string();
            let place = place_of(document, &["sla", &index.to_string()]);
            findings.error(&place, message, "nothing to measure", Some(help));
        }
    }
}
