use super::super::{Counts, Refused};
use super::Happened::{Finished, FirstToken, Preempted};
use super::*;
use sim_core::Span;

fn engine(parameters: Parameters) -> Engine {
    Engine::new(parameters).unwrap()
}

#[test]
fn one_sequence_is_prefilled_and_then_decodes_a_little_slower_with_each_token() {
    let mut engine = engine(small());
    let (seen, asked) = play(&mut engine, &[(0, 20, 4)]);
    // 100 + 20 + 10 + 20; then 131, 132, 133 with 21, 22, 23 tokens of context.
    assert_eq!(seen, [(150, FirstToken(0)), (546, Finished(0))]);
    assert_eq!(asked, 3, "three iterations of decoding are one");
    let counts = Counts {
        kv_blocks_total: 256,
        generated: 4,
        prefilled: 20,
        iterations: 4,
        batched: 4,
        busy: Span::from_nanos(546),
        ..Counts::default()
    };
    assert_eq!(engine.counts(), counts);
}

#[test]
fn who_comes_during_an_iteration_is_in_the_next_one() {
    // 150, 281; with ten tokens of prefill and two contexts 162; two decode 154; one is left 122.
    let (seen, _) = play(&mut engine(small()), &[(0, 20, 4), (200, 10, 3)]);
    assert_eq!(seen, [(150, FirstToken(0)), (443, FirstToken(1)), (597, Finished(0)), (719, Finished(1))]);
}

#[test]
fn who_comes_as_an_iteration_ends_is_too_late_for_the_next_one() {
    // 150, 281, 413; then 163 with both, 121, 122.
    let (seen, _) = play(&mut engine(small()), &[(0, 20, 4), (281, 10, 3)]);
    assert_eq!(seen, [(150, FirstToken(0)), (576, Finished(0)), (576, FirstToken(1)), (819, Finished(1))]);
}

#[test]
fn a_full_batch_lets_nobody_in() {
    let mut engine = engine(Parameters { most_sequences: 1, ..small() });
    let (seen, _) = play(&mut engine, &[(0, 20, 2), (10, 10, 1)]);
    assert_eq!(seen, [(150, FirstToken(0)), (281, Finished(0)), (411, FirstToken(1)), (411, Finished(1))]);
}

#[test]
fn the_latest_is_preempted_where_blocks_run_out_and_computes_all_it_had_again() {
    let mut engine = engine(Parameters { kv_tokens: 16, ..small() });
    let (seen, _) = play(&mut engine, &[(0, 7, 4), (0, 7, 4)]);
    // Both: 148, 136. With 8 tokens each all four blocks are full. The first goes on alone, 119 and 120; then the second
    // prefills its prompt and two tokens, 128, and has one to go, 120.
    let expected = [
        (148, FirstToken(0)),
        (148, FirstToken(1)),
        (284, Preempted(1)),
        (523, Finished(0)),
        (771, Finished(1)),
    ];
    assert_eq!(seen, expected);
    let counts = engine.counts();
    assert_eq!((counts.preemptions, counts.recomputed), (1, 8));
    assert_eq!((counts.prefilled, counts.generated, counts.kv_blocks), (14 + 9, 8, 0));
    assert_eq!((counts.iterations, counts.mean_batch()), (6, 8.0 / 6.0));
}

#[test]
fn with_chunks_decodes_go_on_beside_a_long_prompt_and_without_they_wait() {
    let prompts = [(0, 4, 6), (110, 100, 1)];
    // A chunk is what decodes leave of 41 tokens: 118; 205, 246 and 247 with 40, 40 and 20 of the prompt; 118, 119.
    let (seen, asked) = play(&mut engine(Parameters { most_batched_tokens: 41, ..small() }), &prompts);
    assert_eq!(seen, [(118, FirstToken(0)), (816, FirstToken(1)), (816, Finished(1)), (1_053, Finished(0))]);
    assert_eq!(asked, 5, "two chunks of the same size are one");
    // Prefill first: 118; 310 for the prompt alone, in which nobody else gets a token; 115 to 119.
    let whole = Parameters { most_batched_tokens: 128, chunked: false, ..small() };
    let (seen, _) = play(&mut engine(whole), &prompts);
    assert_eq!(seen, [(118, FirstToken(0)), (428, FirstToken(1)), (428, Finished(1)), (1_013, Finished(0))]);
}

#[test]
fn what_a_last_chunk_leaves_goes_to_the_next_prompt() {
    // 64 of 70 tokens, 100 + 64 + 10 + 64; then 6 and all 10 of the next, 100 + 16 + 20 + 80.
    let (seen, _) = play(&mut engine(small()), &[(0, 70, 1), (0, 10, 1)]);
    let both = 238 + 216;
    let expected = [(both, FirstToken(0)), (both, Finished(0)), (both, FirstToken(1)), (both, Finished(1))];
    assert_eq!(seen, expected);
}

#[test]
fn the_watermark_keeps_blocks_for_those_who_decode_but_not_from_one_alone() {
    let shape = Parameters { kv_tokens: 40, ..small() };
    let (seen, _) = play(&mut engine(shape), &[(0, 20, 1), (0, 16, 1)]);
    assert!(seen.iter().all(|&(when, _)| when == 100 + 36 + 20 + 36), "both at once: {seen:?}");
    let kept = Parameters { watermark: 0.2, ..shape };
    let (seen, _) = play(&mut engine(kept), &[(0, 20, 1), (0, 16, 1), (0, 40, 1)]);
    let (first, second) = (150, 150 + 142);
    let third = second + 100 + 40 + 10 + 40;
    let finished = [(first, Finished(0)), (second, Finished(1)), (third, Finished(2))];
    assert_eq!(
        seen.into_iter().filter(|(_, what)| matches!(what, Finished(_))).collect::<Vec<_>>(),
        finished
    );
}

#[test]
fn an_iteration_may_end_between_nanoseconds_and_nothing_is_lost() {
    // 100.25 ns an iteration and an eighth of a nanosecond a token of context: only what is told is rounded, up.
    let parts =
        Parameters { iteration: 100.25, sequence: 0.0, prefill_token: 0.0, context_token: 0.125, ..small() };
    let (seen, _) = play(&mut engine(parts), &[(0, 1, 38)]);
    let end: f64 = (1..=38).map(|context| 100.25 + 0.125 * f64::from(context)).sum();
    assert_eq!(seen, [(101, FirstToken(0)), (end.ceil() as u64, Finished(0))]);
}

#[test]
fn who_is_cancelled_leaves_at_the_end_of_the_iteration_and_is_not_heard_of_again() {
    let mut engine = engine(Parameters { most_sequences: 1, ..small() });
    let mut happened = Vec::new();
    for id in 0..3 {
        engine.add(at(0), Sequence { id, input: 20, output: 100 }).unwrap();
    }
    engine.advance(at(0), &mut happened);
    assert_eq!(engine.cancel(at(100), 1), at(150), "one that waits is forgotten");
    engine.advance(at(150), &mut happened);
    assert_eq!(happened, [FirstToken(0)]);
    assert_eq!(engine.cancel(at(200), 0), at(281), "the second iteration is under way");
    assert_eq!((engine.counts().running, engine.counts().waiting), (1, 1));
    assert_eq!(engine.advance(at(281), &mut happened), at(281 + 150), "its place is free");
    engine.advance(at(281 + 150), &mut happened);
    assert_eq!(happened, [FirstToken(0), FirstToken(2)]);
    let before = engine.counts();
    engine.cancel(at(500), 7);
    assert_eq!(engine.counts(), before, "nobody has this number");
}

#[test]
fn an_engine_that_dies_loses_all_and_can_begin_anew() {
    let mut engine = engine(Parameters { most_sequences: 2, ..small() });
    let mut happened = Vec::new();
    for id in 0..4 {
        engine.add(at(0), Sequence { id, input: 20, output: 100 }).unwrap();
    }
    engine.advance(at(0), &mut happened);
    engine.advance(at(400), &mut happened);
    engine.cancel(at(410), 1);
    let mut lost = Vec::new();
    engine.lose_all(&mut lost);
    assert_eq!(lost, [0, 2, 3]);
    let counts = engine.counts();
    assert_eq!((counts.running, counts.waiting, counts.kv_blocks, counts.kv_tokens), (0, 0, 0, 0));
    assert_eq!(engine.advance(at(1_000), &mut happened), Time::NEVER);
    happened.clear();
    let (seen, _) = play(&mut engine, &[(2_000, 20, 4)]);
    assert_eq!(seen, [(2_150, FirstToken(0)), (2_546, Finished(0))]);
}

#[test]
fn what_can_never_be_served_is_refused_with_its_reason() {
    let add = |engine: &mut Engine, input, output| engine.add(at(0), Sequence { id: 0, input, output });
    let mut chunked = engine(Parameters { kv_tokens: 100, queue: 1, ..small() });
    assert_eq!(add(&mut chunked, 0, 5), Err(Refused::Empty));
    assert_eq!(add(&mut chunked, 5, 0), Err(Refused::Empty));
    assert_eq!(add(&mut chunked, 90, 12), Err(Refused::KvCache));
    assert_eq!(add(&mut chunked, u32::MAX, u32::MAX), Err(Refused::KvCache));
    assert_eq!(add(&mut chunked, 90, 11), Ok(at(0)), "the last token is never in the cache");
    assert_eq!(add(&mut chunked, 1, 1), Err(Refused::QueueFull));
    let mut whole = engine(Parameters { chunked: false, ..small() });
    assert_eq!(add(&mut whole, 60, 6), Err(Refused::BatchedTokens));
    assert_eq!(add(&mut whole, 60, 5), Ok(at(0)));
}

#[test]
fn parameters_that_are_none_are_told_so() {
    let wrong = |change: fn(&mut Parameters)| {
        let mut parameters = small();
        change(&mut parameters);
        Engine::new(parameters).unwrap_err().to_string()
    };
    assert_eq!(wrong(|p| p.sequence = f64::NAN), "sequence must be from 0 to 1e10 nanoseconds");
    assert_eq!(wrong(|p| p.iteration = -1.0), "iteration must be from 0 to 1e10 nanoseconds");
    assert_eq!(wrong(|p| p.queue = 0), "queue must be at least 1");
    assert_eq!(wrong(|p| p.most_batched_tokens = 7), "most_batched_tokens must be at least most_sequences");
    assert_eq!(wrong(|p| p.block = 5_000), "block must be at most 4096 tokens");
    assert_eq!(wrong(|p| p.kv_tokens = 3), "kv_tokens must be from one block to 2^40");
    assert_eq!(wrong(|p| p.watermark = 1.0), "watermark must be from 0 up to 1");
}

#[test]
fn the_longest_times_and_lengths_do_not_overflow() {
    let most = super::super::MOST_NANOS;
    let mut engine = engine(Parameters {
        iteration: most,
        prefill_token: most,
        sequence: most,
        context_token: most,
        most_batched_tokens: u32::MAX,
        kv_tokens: super::super::MOST_KV_TOKENS,
        ..small()
    });
    let (seen, asked) = play(&mut engine, &[(0, u32::MAX, u32::MAX), (5, 1, 1)]);
    assert_eq!((seen, asked), (vec![], 1), "584 years are too short for the first token");
}
