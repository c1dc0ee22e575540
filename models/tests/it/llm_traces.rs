//! Azure's traces of LLM inference (2023), through one engine, where `SCALESIM_TRACES` names their folder.

use std::path::PathBuf;

use scalesim::batching::{
    Counts, Efficiency, Engine, H100_80GB, Happened, LLAMA_2_70B_ON_8_H100, LLAMA_3_8B, Parameters, Sequence,
};
use sim_core::Time;

/// Requests of a trace: when, and how many tokens in and out. Nothing where the folder is not there.
fn requests(name: &str) -> Option<Vec<(Time, Sequence)>> {
    let Some(folder) = std::env::var_os("SCALESIM_TRACES") else {
        println!("SCALESIM_TRACES is not set: {name} is not replayed");
        return None;
    };
    let file = format!("request-rate/azure-llm-2023/AzureLLMInferenceTrace_{name}.csv");
    let rows = csv::Reader::from_path(PathBuf::from(folder).join(file)).unwrap().into_deserialize();
    let rows: Vec<(String, u32, u32)> = rows.map(Result::unwrap).collect();
    let instant = |text: &str| text.parse::<jiff::civil::DateTime>().unwrap();
    let first = instant(&rows[0].0);
    let request = |(id, (when, input, output)): (usize, &(String, u32, u32))| {
        let since = instant(when).duration_since(first).as_nanos() as u64;
        (Time::from_nanos(since), Sequence { id: id as u32, input: *input, output: *output })
    };
    Some(rows.iter().enumerate().map(request).collect())
}

/// The value that a share of others does not exceed.
fn quantile<T: Copy + PartialOrd>(values: &mut [T], share: f64) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[((share * values.len() as f64).ceil() as usize).max(1) - 1]
}

/// What clients saw, in milliseconds.
struct Seen {
    /// Time to first token.
    ttft: Vec<f64>,
    /// Time per output token after the first, of those with more than one.
    tpot: Vec<f64>,
    counts: Counts,
    seconds: f64,
}

fn replay(parameters: Parameters, requests: &[(Time, Sequence)]) -> Seen {
    let mut engine = Engine::new(parameters).unwrap();
    let mut seen = Seen { ttft: Vec::new(), tpot: Vec::new(), counts: Counts::default(), seconds: 0.0 };
    let (mut first, mut happened, mut due) = (vec![Time::ZERO; requests.len()], Vec::new(), Time::NEVER);
    let mut arrivals = requests.iter();
    let mut next = arrivals.next();
    loop {
        let arrival = next.map_or(Time::NEVER, |&(when, _)| when);
        if arrival.min(due) == Time::NEVER {
            break;
        }
        if arrival <= due {
            due = engine.add(arrival, next.unwrap().1).unwrap();
            next = arrivals.next();
            continue;
        }
        let now = due;
        due = engine.advance(now, &mut happened);
        for what in happened.drain(..) {
            let millis = |from: Time| 1e3 * now.since(from).as_secs_f64();
            match what {
                Happened::FirstToken(id) => {
                    first[id as usize] = now;
                    seen.ttft.push(millis(requests[id as usize].0));
                }
                Happened::Finished(id) if requests[id as usize].1.output > 1 => {
                    let tokens = requests[id as usize].1.output - 1;
                    seen.tpot.push(millis(first[id as usize]) / f64::from(tokens));
                }
                Happened::Finished(_) | Happened::Preempted(_) => {}
            }
        }
        seen.seconds = now.as_nanos() as f64 / 1e9;
    }
    seen.counts = engine.counts();
    seen
}

/// Replays and prints; TTFT p50 and p99, TPOT p50 and p99.
fn told(name: &str, parameters: Parameters, requests: &[(Time, Sequence)]) -> ([f64; 4], Counts) {
    let Seen { mut ttft, mut tpot, counts, seconds } = replay(parameters, requests);
    assert_eq!(ttft.len(), requests.len());
    assert_eq!(counts.generated, requests.iter().map(|(_, one)| u64::from(one.output)).sum::<u64>());
    let [a, b] = [0.5, 0.99].map(|share| quantile(&mut ttft, share));
    let [c, d] = [0.5, 0.99].map(|share| quantile(&mut tpot, share));
    println!(
        "{name}: TTFT p50 {a:.0} p99 {b:.0} ms, TPOT p50 {c:.1} p99 {d:.1} ms, {:.2} requests/s, {:.0} tokens/s out, mean batch {:.1}, \
         {} preemptions, busy {:.3}",
        requests.len() as f64 / seconds,
        counts.generated as f64 / seconds,
        counts.mean_batch(),
        counts.preemptions,
        counts.busy.as_secs_f64() / seconds,
    );
    ([a, b, c, d], counts)
}

#[test]
fn prompts_and_outputs_of_azure_are_as_published() {
    for (name, rows, input, output) in [
        ("conv", 19_366, [1_020, 2_735, 4_142], [129, 424, 601]),
        ("code", 8_819, [1_469, 5_194, 7_436], [13, 55, 252]),
    ] {
        let Some(requests) = requests(name) else { return };
        let quantiles = |tokens: fn(&Sequence) -> u32| {
            let mut tokens: Vec<u32> = requests.iter().map(|(_, one)| tokens(one)).collect();
            [0.5, 0.9, 0.99].map(|share| quantile(&mut tokens, share))
        };
        assert_eq!(requests.len(), rows);
        // Splitwise gives medians of 1 020 and 1 500 for prompts, of 129 and 13 for outputs.
        assert_eq!((quantiles(|one| one.input), quantiles(|one| one.output)), (input, output), "{name}");
    }
}

/// Each `n`th of them, at `slower` times its instant.
fn thinned(requests: &[(Time, Sequence)], n: usize, slower: u64) -> Vec<(Time, Sequence)> {
    let some = requests.iter().step_by(n).enumerate();
    let slowed = |when: Time| Time::from_nanos(slower * when.as_nanos());
    some.map(|(id, &(when, one))| (slowed(when), Sequence { id: id as u32, ..one })).collect()
}

#[test]
fn a_conversation_alone_takes_what_it_took_on_the_machine_of_its_time() {
    let Some(conv) = requests("conv") else { return };
    // A prompt of 1 024 tokens took 78 ms on it, and a token 30 ms.
    let alone = thinned(&conv, 50, 50);
    let ([ttft, _, tpot, _], _) = told("alone, Llama-2-70B on 8 H100", LLAMA_2_70B_ON_8_H100, &alone);
    assert!((ttft / 78.0 - 1.0).abs() < 0.1 && (tpot / 30.0 - 1.0).abs() < 0.05, "{ttft} and {tpot} ms");
}

#[test]
fn an_hour_of_conversations_is_too_much_for_a_machine_of_its_time_and_little_for_a_small_model() {
    let Some(conv) = requests("conv") else { return };
    let chunks = |tokens| Parameters { chunked: true, most_batched_tokens: tokens, ..LLAMA_2_70B_ON_8_H100 };
    let third = thinned(&conv, 3, 1);
    let (first, _) = told("a third, prefill first", LLAMA_2_70B_ON_8_H100, &third);
    let (large, _) = told("a third, chunks of 2048", chunks(2_048), &third);
    let (small, _) = told("a third, chunks of 512", chunks(512), &third);
    assert!(first[3] > 1.1 * large[3] && first[3] > 1.1 * small[3], "chunks hold decodes up less");
    assert!(
        first[1] < large[1] && large[1] < small[1],
        "and prompts take longer, the more the smaller they are"
    );

    let (_, counts) = told("all, prefill first", LLAMA_2_70B_ON_8_H100, &conv);
    assert!(counts.busy.as_secs_f64() > 1.05 * 3_502.0, "5.5 a second are more than it can serve");
    let roofline = Parameters::roofline(&LLAMA_3_8B, &H100_80GB, 1, &Efficiency::ASSUMED).unwrap();
    let (_, counts) = told("all, Llama-3-8B on one H100", roofline, &conv);
    assert!(counts.mean_batch() < 32.0);
    let Some(code) = requests("code") else { return };
    told("code, Llama-3-8B on one H100", roofline, &code);
}
