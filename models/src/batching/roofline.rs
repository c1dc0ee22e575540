//! How long iterations take by the roofline: what must be read over the memory's bandwidth, what must be computed over the
//! processor's speed. All that is known of a machine before anybody measured it.
//!
//! * A decode iteration reads all weights once: `iteration` = weights / (bandwidth · efficiency), and the host's own time.
//! * A prompt's token takes 2 FLOP for each parameter: `prefill_token` = 2 · parameters / (FLOP/s · efficiency).
//! * A token in the KV cache has a key and a value in each layer for each KV head: 2 · layers · KV heads · head size · 2 bytes.
//!   Reading them is `context_token`; the memory that weights leave, divided by them, is `kv_tokens`.
//! * With tensor parallelism each GPU has its part of weights, heads and work, and there are two all-reduces a layer (Megatron-LM):
//!   each iteration pays their latency, each prompt's token its hidden state in 2 bytes, 2 (n − 1) / n times over the link.
//!
//! Llama-3-8B on one H100: 16.06 GB / (3.35 TB/s · 0.8) = 5.99 ms an iteration and 1 ms of the host; 16.06 GFLOP / (989.4 TFLOP/s · 0.6) = 27.1 µs a
//! prompt's token; 131 072 bytes / 2.68 TB/s = 48.9 ns a token of context; (72 − 16.06) GB / 131 072 bytes = 426 788 tokens.
//!
//! **Published** are the dimensions of the models and the GPUs' memory, bandwidth, dense 16-bit FLOP/s and links. **Assumed** are
//! the efficiencies ([`Efficiency::ASSUMED`]) and the latencies of all-reduces. A prompt's attention to itself, which grows with its
//! square, is not in it: for Llama-3-8B it adds a tenth at 6 000 tokens.

use super::Parameters;

/// The dimensions of a dense decoder-only model with weights and KV cache of 2 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: &'static str,
    /// Parameters.
    pub parameters: f64,
    /// Layers.
    pub layers: u32,
    /// The size of the hidden state.
    pub hidden: u32,
    /// KV heads: as many as heads, or fewer with grouped-query attention.
    pub kv_heads: u32,
    /// The size of a head.
    pub head: u32,
}

/// Llama 3 8B (Meta, `config.json`).
pub const LLAMA_3_8B: Model =
    Model { name: "Llama-3-8B", parameters: 8.03e9, layers: 32, hidden: 4_096, kv_heads: 8, head: 128 };

/// Llama 2 13B (Meta, `config.json`): without grouped-query attention its KV cache is six times that of Llama 3 8B.
pub const LLAMA_2_13B: Model =
    Model { name: "Llama-2-13B", parameters: 13.02e9, layers: 40, hidden: 5_120, kv_heads: 40, head: 128 };

/// Llama 2 70B (Meta, `config.json`).
pub const LLAMA_2_70B: Model =
    Model { name: "Llama-2-70B", parameters: 68.98e9, layers: 80, hidden: 8_192, kv_heads: 8, head: 128 };

/// Bytes of a weight, and of a number in the KV cache or in the hidden state: FP16 or BF16.
const BYTES: f64 = 2.0;

impl Model {
    /// Bytes of its weights.
    pub fn weights(&self) -> f64 {
        BYTES * self.parameters
    }

    /// Bytes of a token in the KV cache: keys and values of all layers.
    pub fn kv_token(&self) -> f64 {
        2.0 * f64::from(self.layers) * f64::from(self.kv_heads) * f64::from(self.head) * BYTES
    }
}

/// A GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// Its name.
    pub name: &'static str,
    /// Bytes of memory.
    pub memory: f64,
    /// Bytes a second of its memory.
    pub bandwidth: f64,
    /// FLOP a second of its tensor cores in 16 bits, dense.
    pub flops: f64,
    /// Bytes a second to other GPUs, one way.
    pub link: f64,
    /// Nanoseconds of a small all-reduce among them: assumed.
    pub all_reduce: f64,
}

/// NVIDIA A10G 24 GB (AWS g5): 600 GB/s, 70 TFLOP/s, PCIe 4.0 x16.
pub const A10G: Gpu =
    Gpu { name: "A10G", memory: 24e9, bandwidth: 600e9, flops: 70e12, link: 32e9, all_reduce: 30_000.0 };

/// NVIDIA L4 24 GB (AWS g6, Google Cloud G2): 300 GB/s, 121 TFLOP/s, PCIe 4.0 x16.
pub const L4: Gpu =
    Gpu { name: "L4", memory: 24e9, bandwidth: 300e9, flops: 121e12, link: 32e9, all_reduce: 30_000.0 };

/// NVIDIA A100 80 GB SXM (AWS p4de): 2 039 GB/s, 312 TFLOP/s, NVLink with 300 GB/s each way.
pub const A100_80GB: Gpu = Gpu {
    name: "A100-80GB",
    memory: 80e9,
    bandwidth: 2_039e9,
    flops: 312e12,
    link: 300e9,
    all_reduce: 10_000.0,
};

/// NVIDIA H100 80 GB SXM (AWS p5): 3.35 TB/s, 989.4 TFLOP/s, NVLink with 450 GB/s each way.
pub const H100_80GB: Gpu = Gpu {
    name: "H100-80GB",
    memory: 80e9,
    bandwidth: 3_350e9,
    flops: 989.4e12,
    link: 450e9,
    all_reduce: 10_000.0,
};

/// How far software gets with a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Efficiency {
    /// The share of the memory's bandwidth that decoding reaches, above 0 up to 1.
    pub bandwidth: f64,
    /// The share of FLOP/s that prefill reaches, above 0 up to 1.
    pub flops: f64,
    /// The share of memory that weights and KV cache may have (vLLM's `gpu_memory_utilization`), above 0 up to 1.
    pub memory: f64,
    /// Nanoseconds of the host in each iteration: the scheduler, and what is launched.
    pub iteration: f64,
    /// Nanoseconds of the host for each sequence in it: sampling, text.
    pub sequence: f64,
}

impl Efficiency {
    /// An engine with CUDA graphs: 0.8 of the bandwidth, 0.6 of FLOP/s, 1 ms an iteration and 10 µs a sequence are assumed; 0.9 of the
    /// memory is vLLM's default. Engines that launch their kernels one by one are far from it: see
    /// [`LLAMA_2_70B_ON_8_H100`](super::LLAMA_2_70B_ON_8_H100).
    pub const ASSUMED: Efficiency =
        Efficiency { bandwidth: 0.8, flops: 0.6, memory: 0.9, iteration: 1e6, sequence: 10_000.0 };
}

/// The weights leave no room for a KV cache, or there is no GPU.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{model} does not fit on {gpus} x {gpu}")]
pub struct DoesNotFit {
    model: &'static str,
    gpu: &'static str,
    gpus: u32,
}

impl Parameters {
    /// An engine of `gpus` GPUs that work as one (tensor parallelism), with the limits of [`Parameters::VLLM`].
    pub fn roofline(
        model: &Model,
        gpu: &Gpu,
        gpus: u32,
        efficiency: &Efficiency,
    ) -> Result<Parameters, DoesNotFit> {
        let n = f64::from(gpus);
        let kv_tokens = ((gpu.memory * n * efficiency.memory - model.weights()) / model.kv_token()) as u64;
        if gpus == 0 || kv_tokens < u64::from(Parameters::VLLM.block) {
            return Err(DoesNotFit { model: model.name, gpu: gpu.name, gpus });
        }
        let read = |bytes: f64| 1e9 * bytes / (n * gpu.bandwidth * efficiency.bandwidth);
        let compute = 1e9 * 2.0 * model.parameters / (n * gpu.flops * efficiency.flops);
        let reductions = if gpus > 1 { 2.0 * f64::from(model.layers) } else { 0.0 };
        let hidden = 1e9 * f64::from(model.hidden) * BYTES * 2.0 * (n - 1.0) / n / gpu.link;
        Ok(Parameters {
            iteration: read(model.weights()) + reductions * gpu.all_reduce + efficiency.iteration,
            prefill_token: compute + reductions * hidden,
            sequence: efficiency.sequence,
            context_token: read(model.kv_token()),
            kv_tokens,
            ..Parameters::VLLM
        })
    }

    /// vLLM's limits without a model: 256 sequences and 2 048 tokens an iteration in chunks, blocks of 16, a watermark of 1 % (that of v0),
    /// and no limit to who waits but [`u32::MAX`].
    pub const VLLM: Parameters = Parameters {
        iteration: 0.0,
        prefill_token: 0.0,
        sequence: 0.0,
        context_token: 0.0,
        most_sequences: 256,
        most_batched_tokens: 2_048,
        kv_tokens: 16,
        block: 16,
        watermark: 0.01,
        chunked: true,
        queue: u32::MAX,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_8b_model_on_one_h100_is_what_the_arithmetic_says() {
        let engine = Parameters::roofline(&LLAMA_3_8B, &H100_80GB, 1, &Efficiency::ASSUMED).unwrap();
        assert_eq!(engine.iteration.round(), 6_992_537.0);
        assert_eq!(engine.prefill_token.round(), 27_053.0);
        assert_eq!((10.0 * engine.context_token).round(), 489.0);
        assert_eq!(engine.kv_tokens, 426_788);
        engine.check().unwrap();
    }

    #[test]
    fn bytes_of_a_token_follow_from_layers_and_kv_heads() {
        let bytes = [LLAMA_3_8B, LLAMA_2_13B, LLAMA_2_70B].map(|model| model.kv_token());
        assert_eq!(bytes, [131_072.0, 819_200.0, 327_680.0]);
    }

    #[test]
    fn a_model_fits_where_its_weights_leave_room() {
        let fits = |model, gpu, gpus| Parameters::roofline(model, gpu, gpus, &Efficiency::ASSUMED).is_ok();
        assert!(!fits(&LLAMA_3_8B, &L4, 0));
        assert_eq!([1, 2].map(|gpus| fits(&LLAMA_2_13B, &A10G, gpus)), [false, true]);
        assert_eq!([1, 2].map(|gpus| fits(&LLAMA_2_70B, &A100_80GB, gpus)), [false, true]);
        for model in [LLAMA_3_8B, LLAMA_2_13B, LLAMA_2_70B] {
            for gpu in [A10G, L4, A100_80GB, H100_80GB] {
                let engine = Parameters::roofline(&model, &gpu, 8, &Efficiency::ASSUMED).unwrap();
                engine.check().unwrap();
            }
        }
    }

    #[test]
    fn more_gpus_share_the_weights_and_pay_for_talking() {
        let on = |gpus| Parameters::roofline(&LLAMA_2_70B, &A100_80GB, gpus, &Efficiency::ASSUMED).unwrap();
        let (two, eight) = (on(2), on(8));
        assert_eq!(two.context_token / eight.context_token, 4.0);
        assert!(two.iteration / eight.iteration < 4.0 && two.iteration > 3.0 * eight.iteration);
        assert!(
            two.prefill_token / eight.prefill_token < 4.0 && two.prefill_token > 3.0 * eight.prefill_token
        );
        assert!(eight.kv_tokens > 4 * two.kv_tokens, "weights are there once");
    }
}
