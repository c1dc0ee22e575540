//! `engine` of a service: what its instances generate tokens with. Its options are called what vLLM calls them.

use super::Context;
use super::node::Value;
use super::queue::within;
use super::reader::{Read, Reader};
use super::units::Positive;
use crate::batching::{
    A10G, A100_80GB, DoesNotFit, Efficiency, Gpu, H100_80GB, L4, LLAMA_2_13B, LLAMA_2_70B,
    LLAMA_2_70B_ON_8_A100, LLAMA_2_70B_ON_8_H100, LLAMA_3_8B, MOST_BLOCK, MOST_KV_TOKENS, MOST_NANOS, Model,
    Parameters,
};
use crate::plan::Engine;

const MODELS: [(&str, Model); 3] =
    [("llama-3-8b", LLAMA_3_8B), ("llama-2-13b", LLAMA_2_13B), ("llama-2-70b", LLAMA_2_70B)];
const GPUS: [(&str, Gpu); 4] =
    [("a10g", A10G), ("l4", L4), ("a100-80gb", A100_80GB), ("h100-80gb", H100_80GB)];
const MEASURED: [(&str, Parameters); 2] =
    [("llama-2-70b-8xh100", LLAMA_2_70B_ON_8_H100), ("llama-2-70b-8xa100", LLAMA_2_70B_ON_8_A100)];
/// GPUs of each that was measured.
const MEASURED_GPUS: u32 = 8;
/// All keys, beside those that say what kind it is.
const KEYS: [&str; 13] = [
    "gpu",
    "gpus",
    "gpu_memory_utilization",
    "prefill_token",
    "sequence",
    "context_token",
    "kv_tokens",
    "max_num_seqs",
    "max_num_batched_tokens",
    "block_size",
    "watermark",
    "enable_chunked_prefill",
    "queue",
];
/// The most GPUs of an engine.
const MOST_GPUS: u32 = 64;
/// The most sequences or tokens in an iteration, and sequences that wait.
const MOST: u32 = 100_000_000;

/// Reads the key, where it is there: by roofline, `{ model = "llama-3-8b", gpu = "h100-80gb", gpus = 1 }`; as measured, `{ measured =
/// "llama-2-70b-8xh100" }`; or by its times, `{ iteration = "7ms", prefill_token = "27us", sequence = "10us", context_token = "48.9ns", kv_tokens
/// = 400_000 }`.
pub fn engine(context: &Context<'_>, service: &mut Reader<'_>) -> Option<Engine> {
    let path = service.path_of("engine");
    let mut table = Reader::new(context.findings, path, service.node("engine")?);
    let base = base(context, &mut table);
    let engine = base.map(|engine| limits(context, &mut table, engine));
    let place = table.place().clone();
    service.resolve("engine", table.finish());
    let engine = engine?;
    if context.findings.clean() {
        let checked = engine.parameters.check();
        context.findings_if_err(checked, &place, |why| format!("this is no engine: {why}"))?;
    }
    Some(engine)
}

/// What it is, before its limits.
fn base(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Engine> {
    let ways = ["measured", "model", "iteration"];
    let given: Vec<&str> = ways.into_iter().filter(|way| table.node(way).is_some()).collect();
    match given[..] {
        ["measured"] => {
            let name = named(context, table, "measured", &MEASURED)?;
            let name_of = format!("{} as measured", name.0);
            Some(Engine { name: name_of, gpus: MEASURED_GPUS, parameters: name.1 })
        }
        ["model"] => by_roofline(context, table),
        ["iteration"] => by_times(context, table),
        [] => {
            let label = "expected `model` and `gpu`, or `measured`, or its times: `iteration`, `prefill_token`, `sequence`, `context_token`";
            context.findings.error(table.place(), "an engine without a model", label, None);
            None
        }
        _ => {
            for key in KEYS {
                table.node(key); // one mistake is enough
            }
            let message = format!("an engine by {}", given.join(" and by "));
            context.findings.error(table.place(), message, "expected one of them", None);
            None
        }
    }
}

/// One of some names.
fn named<T: Copy>(
    context: &Context<'_>,
    table: &mut Reader<'_>,
    key: &'static str,
    known: &[(&'static str, T)],
) -> Option<(&'static str, T)> {
    let name = table.required::<String>(key)?;
    let found = known.iter().find(|(known, _)| *known == name).copied();
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let help = super::diagnostic::nearest_or_all(&name, &names);
        let message = format!("`{}` cannot be `{name}`", table.path_of(key));
        context.findings.error(&table.place_of(key), message, "unknown", Some(help));
    }
    found
}

fn by_roofline(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Engine> {
    let (model, gpu) = (named(context, table, "model", &MODELS), named(context, table, "gpu", &GPUS));
    let gpus = gpus(context, table);
    let memory = table.or("gpu_memory_utilization", Positive(Efficiency::ASSUMED.memory)).0;
    if memory > 1.0 {
        let message = format!("`{}` is {memory}", table.path_of("gpu_memory_utilization"));
        let place = table.place_of("gpu_memory_utilization");
        context.findings.error(&place, message, "expected a share from above 0 to 1", None);
    }
    let ((model, dimensions), (gpu, card)) = model.zip(gpu)?;
    let efficiency = Efficiency { memory: memory.min(1.0), ..Efficiency::ASSUMED };
    let parameters = Parameters::roofline(&dimensions, &card, gpus, &efficiency);
    let parameters = context.findings_if_err(parameters, table.place(), DoesNotFit::to_string)?;
    Some(Engine { name: format!("{model} on {gpus} x {gpu}"), gpus, parameters })
}

fn by_times(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Engine> {
    let nanos = |table: &mut Reader<'_>, key| table.required::<Nanos>(key).map(|nanos| nanos.0);
    let (iteration, prefill_token) = (nanos(table, "iteration"), nanos(table, "prefill_token"));
    let (sequence, context_token) = (nanos(table, "sequence"), nanos(table, "context_token"));
    if table.node("kv_tokens").is_none() {
        table.missing("kv_tokens", "tokens that its KV cache holds, such as 400_000");
    }
    let gpus = gpus(context, table);
    let parameters = Parameters {
        iteration: iteration?,
        prefill_token: prefill_token?,
        sequence: sequence?,
        context_token: context_token?,
        ..Parameters::VLLM
    };
    Some(Engine { name: "an engine by its times".to_string(), gpus, parameters })
}

fn gpus(context: &Context<'_>, table: &mut Reader<'_>) -> u32 {
    let gpus = table.or("gpus", 1u32);
    within(context, table, "gpus", gpus, [1, MOST_GPUS]);
    gpus.clamp(1, MOST_GPUS)
}

/// What limits its batches: what is left out is as it was.
fn limits(context: &Context<'_>, table: &mut Reader<'_>, engine: Engine) -> Engine {
    let own = engine.parameters;
    let mut number = |key: &'static str, default: u32| {
        let value = table.or(key, default);
        within(context, table, key, value, [1, MOST]);
        value.clamp(1, MOST)
    };
    let most_sequences = number("max_num_seqs", own.most_sequences);
    let most_batched_tokens = number("max_num_batched_tokens", own.most_batched_tokens);
    let block = number("block_size", own.block).min(MOST_BLOCK);
    let queue = table.optional::<u32>("queue");
    if let Some(queue) = queue {
        within(context, table, "queue", queue, [1, MOST]);
    }
    let kv_tokens = table.or("kv_tokens", own.kv_tokens);
    within(context, table, "kv_tokens", kv_tokens, [u64::from(block), MOST_KV_TOKENS]);
    let watermark = table.or("watermark", own.watermark);
    if watermark >= 1.0 {
        let message = format!("`{}` is {watermark}", table.path_of("watermark"));
        context.findings.error(&table.place_of("watermark"), message, "expected a share below 1", None);
    }
    let chunked = table.or("enable_chunked_prefill", own.chunked);
    if most_batched_tokens < most_sequences {
        let message = format!(
            "`max_num_batched_tokens` is {most_batched_tokens} and `max_num_seqs` {most_sequences}: each sequence needs a token"
        );
        context.findings.error(table.place(), message, "expected at least as many tokens as sequences", None);
    }
    let parameters = Parameters {
        most_sequences,
        most_batched_tokens,
        kv_tokens,
        block,
        watermark,
        chunked,
        queue: queue.unwrap_or(own.queue),
        ..own
    };
    Engine { parameters, ..engine }
}

/// A duration that may be less than a nanosecond, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Nanos(f64);

impl Read for Nanos {
    const EXPECTED: &'static str = "a duration such as \"7ms\", \"27us\" or \"48.9ns\", at most 10 s";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
        let unit = units.into_iter().find_map(|(unit, nanos)| Some((text.strip_suffix(unit)?, nanos)));
        let nanos = unit.and_then(|(digits, nanos)| Some(digits.trim().parse::<f64>().ok()? * nanos));
        match nanos {
            Some(nanos) if (0.0..=MOST_NANOS).contains(&nanos) => Ok(Nanos(nanos)),
            _ => Err(format!("`{text}` is none")),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(format!("{}ns", self.0))
    }
}
