//! What an engine is: how long its iterations take, and what limits its batches.

use super::stretch::{Exact, FRACTION};

/// The longest that an iteration's base, a token or a sequence may take, in nanoseconds: ten seconds.
pub const MOST_NANOS: f64 = 1e10;

/// The largest KV cache, in tokens.
pub const MOST_KV_TOKENS: u64 = 1 << 40;

/// The largest block, in tokens.
pub const MOST_BLOCK: u32 = 1 << 12;

/// An engine: one copy of a model on one GPU, or on several as one (tensor parallelism).
///
/// An iteration takes `iteration` + `prefill_token` · tokens prefilled in it + `sequence` · sequences in it + `context_token` · tokens in
/// the KV cache of these sequences at its end. Decoding is bound by memory: reading the weights is the base, and reading
/// keys and values grows with the context. A chunk of a prompt reads those of the chunks before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Nanoseconds of each iteration, whatever is in it, 0 to [`MOST_NANOS`].
    pub iteration: f64,
    /// Nanoseconds of a prompt's token, 0 to [`MOST_NANOS`].
    pub prefill_token: f64,
    /// Nanoseconds of a sequence, 0 to [`MOST_NANOS`].
    pub sequence: f64,
    /// Nanoseconds of a token in the KV cache, 0 to [`MOST_NANOS`].
    pub context_token: f64,
    /// Sequences in an iteration at most (vLLM's `max_num_seqs`), at least 1.
    pub most_sequences: u32,
    /// Tokens computed in an iteration at most (vLLM's `max_num_batched_tokens`), at least `most_sequences`.
    pub most_batched_tokens: u32,
    /// Tokens that the KV cache holds, at least a block and at most [`MOST_KV_TOKENS`]. What does not fill a block is not used.
    pub kv_tokens: u64,
    /// Tokens of a block (vLLM's `block_size`, 16), 1 to [`MOST_BLOCK`].
    pub block: u32,
    /// The share of blocks that must be left free by who is admitted beside others (vLLM's `watermark`), 0 up to 1.
    pub watermark: f64,
    /// Whether prompts are prefilled in chunks, in the tokens that decodes leave of `most_batched_tokens` (Sarathi-Serve, and vLLM
    /// since v1). Otherwise whole prompts come first, in iterations of their own, and decodes wait (Orca, and vLLM v0).
    pub chunked: bool,
    /// Sequences that may wait, at least 1; more are refused. vLLM itself has no such limit, those in front of it do.
    pub queue: u32,
}

/// Why parameters are none.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// A time is negative, not a number, or longer than [`MOST_NANOS`].
    #[error("{0} must be from 0 to 1e10 nanoseconds")]
    Nanos(&'static str),
    /// A limit is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// More sequences than tokens in an iteration: each sequence that decodes needs one.
    #[error("most_batched_tokens must be at least most_sequences")]
    BatchedTokens,
    /// A block is larger than [`MOST_BLOCK`].
    #[error("block must be at most 4096 tokens")]
    Block,
    /// The KV cache is smaller than a block or larger than [`MOST_KV_TOKENS`].
    #[error("kv_tokens must be from one block to 2^40")]
    KvTokens,
    /// The watermark is not a share.
    #[error("watermark must be from 0 up to 1")]
    Watermark,
}

impl Parameters {
    /// Whether they are parameters of an engine.
    pub fn check(&self) -> Result<(), Invalid> {
        let times = [
            ("iteration", self.iteration),
            ("prefill_token", self.prefill_token),
            ("sequence", self.sequence),
            ("context_token", self.context_token),
        ];
        if let Some((name, _)) = times.into_iter().find(|(_, nanos)| !(0.0..=MOST_NANOS).contains(nanos)) {
            return Err(Invalid::Nanos(name));
        }
        let limits = [("most_sequences", self.most_sequences), ("queue", self.queue), ("block", self.block)];
        if let Some((name, _)) = limits.into_iter().find(|&(_, limit)| limit == 0) {
            return Err(Invalid::Zero(name));
        }
        if self.most_batched_tokens < self.most_sequences {
            return Err(Invalid::BatchedTokens);
        }
        if self.block > MOST_BLOCK {
            return Err(Invalid::Block);
        }
        if !(u64::from(self.block)..=MOST_KV_TOKENS).contains(&self.kv_tokens) {
            return Err(Invalid::KvTokens);
        }
        if !(0.0..1.0).contains(&self.watermark) {
            return Err(Invalid::Watermark);
        }
        Ok(())
    }

    /// Blocks that must be left free, rounded down as vLLM does.
    pub(super) fn watermark_blocks(&self) -> u64 {
        (self.watermark * (self.kv_tokens / u64::from(self.block)) as f64) as u64
    }
}

/// The four times in integers, rounded to 2⁻²⁰ ns. With the limits above no stretch overflows: a time is below 2⁵⁴, the tokens
/// that it is multiplied with in an iteration are below 2⁴¹, for they are in the KV cache, and a stretch has fewer than 2³².
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    iteration: Exact,
    prefill_token: Exact,
    sequence: Exact,
    context_token: Exact,
}

impl Times {
    pub fn of(parameters: &Parameters) -> Self {
        let fixed = |nanos: f64| (nanos * f64::from(1u32 << FRACTION) + 0.5) as Exact;
        Times {
            iteration: fixed(parameters.iteration),
            prefill_token: fixed(parameters.prefill_token),
            sequence: fixed(parameters.sequence),
            context_token: fixed(parameters.context_token),
        }
    }

    /// How long an iteration takes.
    pub fn iteration(&self, prefill: u64, sequences: u64, context: u64) -> Exact {
        self.iteration
            + self.prefill_token * Exact::from(prefill)
            + self.sequence * Exact::from(sequences)
            + self.context(context)
    }

    /// What so many tokens in the KV cache take.
    pub fn context(&self, tokens: u64) -> Exact {
        self.context_token * Exact::from(tokens)
    }
}
