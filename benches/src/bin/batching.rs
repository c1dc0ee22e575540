//! Sequences through one inference engine, as fast as it goes. `batching [SEQUENCES]`.

use std::time::Instant;

use rand_distr::{Distribution, Exp1};
use scalesim::batching::{
    A10G, Efficiency, Engine, Gpu, H100_80GB, Happened, LLAMA_3_8B, Parameters, Sequence,
};
use sim_core::{Seed, Span, Time};

/// Mean tokens of prompts and outputs, those of Azure's conversations, and where their exponential tails are cut.
const INPUT: (f64, u32) = (1_155.0, 8_000);
const OUTPUT: (f64, u32) = (211.0, 2_000);

fn main() {
    let sequences = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    run("H100, 1/s", &H100_80GB, 1.0, sequences);
    run("H100, 15/s", &H100_80GB, 15.0, sequences);
    run("A10G, 1.5/s", &A10G, 1.5, sequences);
}

/// Llama-3-8B on a GPU under Poisson arrivals.
fn run(name: &str, gpu: &Gpu, rate: f64, sequences: u32) {
    let parameters = Parameters::roofline(&LLAMA_3_8B, gpu, 1, &Efficiency::ASSUMED).expect("it fits");
    let mut engine = Engine::new(parameters).expect("a roofline gives parameters of an engine");
    let mut stream = Seed::new(42).stream("batching");
    let tokens = |(mean, most): (f64, u32), stream: &mut _| {
        let drawn: f64 = Exp1.sample(stream);
        (1.0 + mean * drawn).min(f64::from(most)) as u32
    };
    let (mut arrival, mut due, mut asked, mut finished) = (Time::ZERO, Time::NEVER, 0u64, 0u64);
    let mut happened = Vec::new();
    let start = Instant::now();
    let mut advance = |engine: &mut Engine, now: Time| {
        asked += 1;
        let next = engine.advance(now, &mut happened);
        finished += happened.drain(..).filter(|what| matches!(what, Happened::Finished(_))).count() as u64;
        next
    };
    for id in 0..sequences {
        let gap: f64 = Exp1.sample(&mut stream);
        arrival += Span::from_secs_f64(gap / rate);
        while due < arrival {
            due = advance(&mut engine, due);
        }
        let (input, output) = (tokens(INPUT, &mut stream), tokens(OUTPUT, &mut stream));
        due = engine.add(arrival, Sequence { id, input, output }).expect("all fit, and all may wait");
    }
    while due < Time::NEVER {
        due = advance(&mut engine, due);
    }
    let took = start.elapsed().as_secs_f64();
    let counts = engine.counts();
    let each = |count: u64| count as f64 / finished as f64;
    println!(
        "{name}: {finished} sequences in {took:.2} s, {:.2} M/s; of each {:.1} iterations in {:.2} steps, {:.3} preemptions; \
         mean batch {:.1}",
        finished as f64 / took / 1e6,
        each(counts.iterations),
        each(asked),
        each(counts.preemptions),
        counts.mean_batch(),
    );
}
