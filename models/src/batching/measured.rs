//! Engines whose iterations were measured.
//!
//! Llama-2-70B on eight GPUs with the vLLM of 2023, from the measurements that were published with Splitwise (Patel et al., ISCA 2024;
//! `data/perf_model.csv` of its simulator, medians of five). This engine launches its kernels one by one, so that an iteration with one
//! sequence takes 30 to 45 ms where reading the weights takes 5 to 8. Fitted are:
//!
//! * `iteration`, `sequence` and `context_token` to the time a token at a batch of 1 and of 64 after prompts of 512 tokens, and of 1
//!   after a prompt of 8 192;
//! * `prefill_token` to a prompt of 2 048 tokens.
//!
//! What they were not fitted to, batches of 2 to 32 and prompts of 512 and 1 024 tokens, they meet within 10 %. Beyond that they do not
//! hold: a prompt of 128 tokens took 59 ms on the H100s (36 here), 4 096 tokens at once 390 ms (244 here).

use super::Parameters;

/// Bytes that eight GPUs of 80 GB have at 0.9 beside the weights of Llama-2-70B, by those of a token in its KV cache.
const KV_TOKENS: u64 = (8 * 72_000_000_000 - 137_960_000_000) / 327_680;

/// Llama-2-70B on eight H100 80 GB (a DGX H100). Prefill first, as in its time.
pub const LLAMA_2_70B_ON_8_H100: Parameters = Parameters {
    iteration: 29.4e6,
    prefill_token: 52_100.0,
    sequence: 195_000.0,
    context_token: 220.0,
    kv_tokens: KV_TOKENS,
    chunked: false,
    most_batched_tokens: 16_384,
    ..Parameters::VLLM
};

/// Llama-2-70B on eight A100 80 GB (a DGX A100). Prefill first, as in its time.
pub const LLAMA_2_70B_ON_8_A100: Parameters = Parameters {
    iteration: 44.5e6,
    prefill_token: 111_800.0,
    sequence: 298_000.0,
    context_token: 210.0,
    ..LLAMA_2_70B_ON_8_H100
};

#[cfg(test)]
mod tests {
    use sim_core::Time;

    use super::*;
    use crate::batching::{Engine, Happened, Sequence};

    /// Milliseconds to the first token of a prompt, and from token to token of `batch` like it with 128 tokens each.
    fn plays(parameters: Parameters, input: u32, batch: u32) -> (f64, f64) {
        let mut engine = Engine::new(Parameters { most_batched_tokens: 1 << 20, ..parameters }).unwrap();
        for id in 0..batch {
            engine.add(Time::ZERO, Sequence { id, input, output: 128 }).unwrap();
        }
        let (mut now, mut first, mut happened) = (Time::ZERO, Time::ZERO, Vec::new());
        loop {
            let next = engine.advance(now, &mut happened);
            if happened.first() == Some(&Happened::FirstToken(0)) && first == Time::ZERO {
                first = now;
            }
            if next == Time::NEVER {
                let decode = now.since(first).as_secs_f64();
                return (1e3 * first.since(Time::ZERO).as_secs_f64(), 1e3 * decode / 127.0);
            }
            now = next;
        }
    }

    #[test]
    fn the_engines_meet_what_was_measured_within_a_tenth() {
        let near = |played: f64, measured: f64| (played / measured - 1.0).abs() < 0.1;
        let tokens = [
            (
                LLAMA_2_70B_ON_8_H100,
                [(1, 29.8), (2, 30.3), (4, 31.8), (8, 32.5), (16, 34.2), (32, 38.6), (64, 50.2)],
            ),
            (
                LLAMA_2_70B_ON_8_A100,
                [(1, 44.9), (2, 44.6), (4, 45.8), (8, 46.5), (16, 50.4), (32, 53.0), (64, 71.6)],
            ),
        ];
        for (engine, measured) in tokens {
            for (batch, token) in measured {
                let (_, played) = plays(engine, 512, batch);
                assert!(near(played, token), "batch {batch}: {played} ms, measured {token} ms");
            }
        }
        let prompts = [
            (LLAMA_2_70B_ON_8_H100, [(512, 53.4), (1_024, 77.9), (2_048, 136.8)]),
            (LLAMA_2_70B_ON_8_A100, [(512, 94.3), (1_024, 154.5), (2_048, 274.3)]),
        ];
        for (engine, measured) in prompts {
            for (input, first) in measured {
                let (played, _) = plays(engine, input, 1);
                assert!(near(played, first), "prompt of {input}: {played} ms, measured {first} ms");
            }
        }
    }
}
