//! Timelines by hand, and the engine against one that plays every iteration.

mod against_naive;
mod naive;
mod timelines;

use sim_core::Time;

use super::{Engine, Happened, Parameters, Sequence};

/// An engine whose iterations take 100 ns, 1 ns a prompt's token, 10 ns a sequence and 1 ns a token of context.
fn small() -> Parameters {
    Parameters {
        iteration: 100.0,
        prefill_token: 1.0,
        sequence: 10.0,
        context_token: 1.0,
        most_sequences: 8,
        most_batched_tokens: 64,
        kv_tokens: 1_024,
        block: 4,
        watermark: 0.0,
        chunked: true,
        queue: 8,
    }
}

fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

/// Adds sequences of (instant, input, output), numbered from 0, and plays until all is done: what happened when, and how often
/// the engine was asked.
fn play(engine: &mut Engine, added: &[(u64, u32, u32)]) -> (Vec<(u64, Happened)>, u64) {
    let (mut seen, mut asked, mut happened) = (Vec::new(), 0, Vec::new());
    let mut due = Time::NEVER;
    let mut advance = |engine: &mut Engine, now: Time| {
        asked += 1;
        let next = engine.advance(now, &mut happened);
        seen.extend(happened.drain(..).map(|what| (now.as_nanos(), what)));
        next
    };
    for (id, &(when, input, output)) in added.iter().enumerate() {
        while due < at(when) {
            due = advance(engine, due);
        }
        due = engine.add(at(when), Sequence { id: id as u32, input, output }).unwrap();
    }
    while due < Time::NEVER {
        due = advance(engine, due);
    }
    (seen, asked)
}
