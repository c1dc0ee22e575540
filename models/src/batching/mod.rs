//! Continuous batching: one inference engine that serves a large language model, as a pure state machine that is asked with
//! the time.
//!
//! An engine works in iterations, each one forward pass of the model over its batch: every sequence that decodes gets one token,
//! and prompts are prefilled beside them or before them. The batch is made anew for each iteration (iteration-level
//! scheduling, Orca, OSDI 2022), the KV cache is handed out in blocks (PagedAttention, SOSP 2023), and a prompt may be
//! prefilled in chunks that leave decodes in peace (Sarathi-Serve, OSDI 2024). The rules are those of vLLM's scheduler.
//!
//! Between two changes of the batch iterations are regular: each takes a little longer than the one before, because contexts grow by
//! one token. So any number of them is one step of [`Engine::advance`], to the nanosecond as if they were played one by one.
//!
//! It does not do: prefix caching, speculative decoding, beam search, swapping to the host's memory, pipeline parallelism, and
//! prefill and decode on different machines. `engine.rs` is the state machine, `schedule.rs` what is in the next iteration,
//! `stretch.rs` the arithmetic, `kv_cache.rs` the blocks; `roofline.rs` and `measured.rs` say how long iterations take on real machines,
//! `capacity.rs` what that comes to.

mod capacity;
mod engine;
mod kv_cache;
mod measured;
mod parameters;
mod roofline;
mod schedule;
mod stretch;
#[cfg(test)]
mod tests;

use sim_core::Span;

pub use engine::Engine;
pub use measured::{LLAMA_2_70B_ON_8_A100, LLAMA_2_70B_ON_8_H100};
pub use parameters::{Invalid, MOST_BLOCK, MOST_KV_TOKENS, MOST_NANOS, Parameters};
pub use roofline::{
    A10G, A100_80GB, DoesNotFit, Efficiency, Gpu, H100_80GB, L4, LLAMA_2_13B, LLAMA_2_70B, LLAMA_3_8B, Model,
};

/// A request to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The number that its sender knows it by. It may be used again once the sequence is finished, cancelled or lost.
    pub id: u32,
    /// Tokens of the prompt, at least 1.
    pub input: u32,
    /// Tokens that will be generated, at least 1: where the model ends by itself, or at the request's limit.
    pub output: u32,
}

/// What came of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its prompt is prefilled and its first token is out (the end of TTFT). Once a sequence.
    FirstToken(u32),
    /// Its last token is out.
    Finished(u32),
    /// The KV cache was full and its blocks were taken. It waits again, ahead of all who wait, and what it had is computed again.
    Preempted(u32),
}

/// Why an engine does not take a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An empty prompt, or nothing to generate.
    #[error("the prompt or the output is empty")]
    Empty,
    /// Its prompt and output are more than the KV cache holds: it could never be finished.
    #[error("the sequence is longer than the KV cache")]
    KvCache,
    /// Without chunked prefill its prompt, and what it may have to compute again, is more than an iteration takes.
    #[error("the sequence is longer than max_num_batched_tokens, and prefill is not chunked")]
    BatchedTokens,
    /// As many are waiting as may.
    #[error("too many sequences are waiting")]
    QueueFull,
}

/// How an engine stands, and what it has counted since the start, up to the last iteration that was over when
/// [`Engine::advance`] was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sequences that are in the batch (`vllm:num_requests_running`).
    pub running: u32,
    /// Sequences that wait to be in it, those that were preempted among them (`vllm:num_requests_waiting`).
    pub waiting: u32,
    /// Tokens in the KV cache.
    pub kv_tokens: u64,
    /// Blocks of the KV cache that are taken; some are not yet full.
    pub kv_blocks: u64,
    /// Blocks of the KV cache altogether.
    pub kv_blocks_total: u64,
    /// Tokens generated.
    pub generated: u64,
    /// Tokens prefilled, again after a preemption too.
    pub prefilled: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Tokens that preemptions took out of the KV cache, to be prefilled again.
    pub recomputed: u64,
    /// Iterations.
    pub iterations: u64,
    /// Sequences in all iterations, added up.
    pub batched: u64,
    /// Time in iterations, rounded down.
    pub busy: Span,
}

impl Counts {
    /// The mean batch size: sequences in an iteration; zero before the first.
    pub fn mean_batch(&self) -> f64 {
        if self.iterations == 0 { 0.0 } else { self.batched as f64 / self.iterations as f64 }
    }

    /// The share of KV blocks that are taken (`vllm:kv_cache_usage_perc`), 0 to 1.
    pub fn kv_usage(&self) -> f64 {
        self.kv_blocks as f64 / self.kv_blocks_total as f64
    }
}
