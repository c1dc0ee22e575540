//! What became of tokens, and of the engines that generated them.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// The tokens of a source's requests and jobs, or of an endpoint's attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokensResult {
    /// From when the request was first sent until its first token (TTFT), of a job from when the request that submitted it was first
    /// sent; for an endpoint, of each attempt. Each request or job counts once.
    pub time_to_first_token: Distribution,
    /// The mean time from token to token of a generation (TPOT), of those with more than one token.
    pub time_per_output_token: Distribution,
    /// Generations that were finished: `generate` steps that brought their last token.
    pub generations: u64,
    /// Tokens of their prompts.
    pub input_tokens: u64,
    /// Tokens that were generated for them.
    pub output_tokens: u64,
    /// The same by second of what was measured.
    pub output_tokens_per_second: f64,
    /// Times that one of them was preempted, because a KV cache was full.
    pub preemptions: u64,
    /// Those that an engine did not take: too many waited, or it could never have finished them.
    pub refused: u64,
}

/// What the engines of a group did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnginesResult {
    /// What they are, such as `llama-3-8b on 1 x h100-80gb`.
    pub name: String,
    /// Sequences in an iteration, on average.
    pub mean_batch: f64,
    /// Sequences in all engines together, the mean over time.
    pub running: f64,
    /// Sequences that waited for an engine, the mean over time.
    pub waiting: f64,
    /// The share of KV blocks that were taken, in percent of those of healthy instances, the mean over time.
    pub kv_usage_mean: f64,
    /// The largest share that one engine had taken, in percent.
    pub kv_usage_max: f64,
    /// Tokens generated, also for requests that nobody waited for any more or that were lost.
    pub generated: u64,
    /// Tokens prefilled.
    pub prefilled: u64,
    /// Those of them that had been in a KV cache before and were preempted.
    pub recomputed: u64,
    /// Preemptions.
    pub preemptions: u64,
    /// Iterations.
    pub iterations: u64,
}
