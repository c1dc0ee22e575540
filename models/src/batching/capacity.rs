//! What an engine comes to on average, in closed form: for checks before a run, for plots, for causes.

use super::Parameters;

impl Parameters {
    /// Seconds from when a sequence comes until its last token, where it is alone: its prompt in chunks of `most_batched_tokens`, then
    /// an iteration for each further token.
    pub fn alone(&self, input: f64, output: f64) -> f64 {
        let most = if self.chunked { f64::from(self.most_batched_tokens) } else { input };
        let chunks = (input / most).ceil().max(1.0);
        // What each chunk reads: those before it and itself; the last reads all.
        let read = most * chunks * (chunks - 1.0) / 2.0 + input;
        let further = (output - 1.0).max(0.0);
        let context = read + further * (input + (further + 1.0) / 2.0);
        let nanos = (chunks + further) * (self.iteration + self.sequence)
            + self.prefill_token * input
            + self.context_token * context;
        nanos * 1e-9
    }

    /// Sequences a second that it can serve at most, of this mean prompt and output: with a batch that is as large as `most_sequences`,
    /// the KV cache and `most_batched_tokens` let it be. A batch of `b` brings `b` tokens an iteration and ends `b / output` sequences, whose
    /// prompts come in their place; on average each has half of its output in the KV cache.
    pub fn most_per_second(&self, input: f64, output: f64) -> f64 {
        let context = input + output / 2.0;
        let batch = f64::from(self.most_sequences)
            .min(self.kv_tokens as f64 / context)
            .min(if self.chunked {
                f64::from(self.most_batched_tokens) / (1.0 + input / output)
            } else {
                f64::MAX
            })
            .max(1.0);
        let ended = batch / output;
        let nanos = self.iteration
            + self.prefill_token * input * ended
            + batch * (self.sequence + self.context_token * context);
        ended / (nanos * 1e-9)
    }
}

#[cfg(test)]
mod tests {
    use sim_core::Time;

    use super::*;
    use crate::batching::{Efficiency, Engine, H100_80GB, Happened, LLAMA_3_8B, Sequence};

    /// When so many like it are finished that come at once, in seconds.
    fn plays(parameters: Parameters, input: u32, output: u32, count: u32) -> f64 {
        let mut engine = Engine::new(parameters).unwrap();
        for id in 0..count {
            engine.add(Time::ZERO, Sequence { id, input, output }).unwrap();
        }
        let (mut now, mut happened, mut finished) = (Time::ZERO, Vec::new(), 0);
        while finished < count {
            let next = engine.advance(now, &mut happened);
            finished +=
                happened.drain(..).filter(|what| matches!(what, Happened::Finished(_))).count() as u32;
            if finished < count {
                now = next;
            }
        }
        now.as_nanos() as f64 * 1e-9
    }

    #[test]
    fn one_that_is_alone_takes_what_its_iterations_take() {
        let engine = Parameters::roofline(&LLAMA_3_8B, &H100_80GB, 1, &Efficiency::ASSUMED).unwrap();
        for chunked in [true, false] {
            let engine =
                Parameters { chunked, most_batched_tokens: if chunked { 2_048 } else { 16_384 }, ..engine };
            for (input, output) in [(1, 1), (700, 1), (2_048, 100), (5_000, 700)] {
                let (played, alone) =
                    (plays(engine, input, output, 1), engine.alone(f64::from(input), f64::from(output)));
                assert!((played - alone).abs() < 1e-8, "{input} and {output}: {played} s, {alone} s");
            }
        }
    }

    #[test]
    fn many_are_served_at_the_rate_of_full_batches() {
        let engine = Parameters::roofline(&LLAMA_3_8B, &H100_80GB, 1, &Efficiency::ASSUMED).unwrap();
        for (input, output) in [(1_000, 200), (200, 1_000)] {
            let played = 20_000.0 / plays(engine, input, output, 20_000);
            let most = engine.most_per_second(f64::from(input), f64::from(output));
            assert!((played / most - 1.0).abs() < 0.1, "{input} and {output}: {played}/s, {most}/s");
        }
    }
}
