use proptest::prelude::*;

use super::naive::Naive;
use super::*;

/// What a driver does.
#[derive(Clone, Debug)]
enum Do {
    Add {
        input: u32,
        output: u32,
    },
    /// One of those that were added, by a share of their number.
    Cancel(f64),
    Ask,
    Lose,
}

/// What comes next: after how many nanoseconds, and whether the engine is asked first in that nanosecond.
#[derive(Clone, Debug)]
struct Next {
    after: u64,
    asked_first: bool,
    what: Do,
}

fn next() -> impl Strategy<Value = Next> {
    let add = (1u32..60, 1u32..40).prop_map(|(input, output)| Do::Add { input, output });
    let what = prop_oneof![
        12 => add,
        3 => (0.0..1.0).prop_map(Do::Cancel),
        4 => Just(Do::Ask),
        1 => prop::bool::weighted(0.1).prop_map(|lose| if lose { Do::Lose } else { Do::Ask }),
    ];
    let after = prop_oneof![3 => 0u64..40, 3 => 0u64..400, 1 => 0u64..6_000];
    (after, any::<bool>(), what).prop_map(|(after, asked_first, what)| Next { after, asked_first, what })
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let times = (prop_oneof![Just(1.0), Just(20.0), 0.0..150.0], 0.0..3.0, 0.0..9.0, 0.0..1.5, any::<bool>());
    let limits = (1u32..7, 0u32..60, 1u32..9, 60u64..400, 0.0..0.3, any::<bool>(), 1u32..12);
    (times, limits).prop_map(|((iteration, prefill_token, sequence, context_token, whole), limits)| {
        let (most_sequences, tokens, block, kv_tokens, watermark, chunked, queue) = limits;
        // With whole numbers many things come in the same nanosecond.
        let time = |nanos: f64| if whole { nanos.ceil() } else { nanos };
        Parameters {
            iteration: time(iteration),
            prefill_token: time(prefill_token),
            sequence: time(sequence),
            context_token: time(context_token),
            most_sequences,
            most_batched_tokens: most_sequences + tokens,
            kv_tokens,
            block,
            watermark,
            chunked,
            queue,
        }
    })
}

/// Both engines, and what came of them.
struct Both {
    fast: Engine,
    naive: Naive,
    due: Time,
    asked: u64,
    seen: [Vec<(Time, Happened)>; 2],
}

impl Both {
    fn advance_fast(&mut self, now: Time) {
        let mut happened = Vec::new();
        self.due = self.fast.advance(now, &mut happened);
        self.seen[0].extend(happened.into_iter().map(|what| (now, what)));
    }

    fn advance_naive(&mut self, now: Time) {
        let mut happened = Vec::new();
        self.naive.advance(now, &mut happened);
        self.seen[1].extend(happened.into_iter().map(|what| (now, what)));
    }

    /// Asks both whenever they want to be asked before `until`.
    fn until(&mut self, until: Time) {
        while self.due < until {
            self.asked += 1;
            self.advance_fast(self.due);
        }
        while self.naive.due() < until {
            self.advance_naive(self.naive.due());
        }
    }

    fn ask(&mut self, now: Time) {
        self.advance_fast(now);
        self.advance_naive(now);
        assert_eq!(self.seen[0], self.seen[1]);
        assert_eq!(self.fast.counts(), self.naive.counts());
    }
}

/// How each of the ids that were added ended, counted.
fn endings(parameters: Parameters, steps: &[Next]) -> Vec<u32> {
    let fast = Engine::new(parameters).unwrap();
    let naive = Naive::new(parameters);
    let mut both = Both { fast, naive, due: Time::NEVER, asked: 0, seen: [Vec::new(), Vec::new()] };
    let (mut now, mut cancels, mut ends) = (0, 0, Vec::new());
    for step in steps {
        now += step.after;
        let now = at(now);
        both.until(now);
        if step.asked_first {
            both.ask(now);
        }
        match step.what {
            Do::Ask => both.ask(now),
            Do::Add { input, output } => {
                let sequence = Sequence { id: ends.len() as u32, input, output };
                let (fast, naive) = (both.fast.add(now, sequence), both.naive.add(now, sequence));
                assert_eq!(fast.map(|_| ()), naive);
                both.due = fast.unwrap_or(both.due);
                ends.push(u32::from(fast.is_err()));
            }
            Do::Cancel(share) => {
                let id = (share * ends.len() as f64) as u32;
                let over = |&(_, what): &(Time, Happened)| what == Happened::Finished(id);
                if ends.get(id as usize) == Some(&0) && !both.seen[1].iter().any(over) {
                    ends[id as usize] = 1;
                    cancels += 1;
                    both.due = both.fast.cancel(now, id);
                    both.naive.cancel(now, id);
                }
            }
            Do::Lose => {
                both.ask(now);
                let (mut fast, mut naive) = (Vec::new(), Vec::new());
                both.fast.lose_all(&mut fast);
                both.naive.lose_all(&mut naive);
                assert_eq!(fast, naive);
                fast.into_iter().for_each(|id| ends[id as usize] += 1);
                both.due = Time::NEVER;
            }
        }
    }
    both.until(Time::NEVER);
    both.ask(at(u64::MAX / 2));
    let counts = both.fast.counts();
    assert_eq!((counts.running, counts.waiting, counts.kv_blocks, counts.kv_tokens), (0, 0, 0, 0));
    // Each sequence: the instant that it comes, the end of its first, its regular and its last chunk, and its own end. A preempted one
    // begins anew, after one step for the preemption and one for whoever else is let in.
    let changes = 5 * (ends.len() as u64 + counts.preemptions) + 2 * cancels;
    assert!(both.asked <= changes, "asked {} times for {changes} changes", both.asked);
    for (_, what) in &both.seen[0] {
        if let Happened::Finished(id) = what {
            ends[*id as usize] += 1;
        }
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn many_iterations_at_once_are_the_same_as_one_by_one(
        parameters in parameters(),
        steps in prop::collection::vec(next(), 1..60),
    ) {
        let ends = endings(parameters, &steps);
        prop_assert!(ends.iter().all(|&end| end == 1), "each finishes, is refused, cancelled or lost once: {ends:?}");
    }
}

#[test]
fn a_million_tokens_are_three_steps() {
    let mut engine = Engine::new(Parameters { kv_tokens: 1 << 21, ..small() }).unwrap();
    let (seen, asked) = play(&mut engine, &[(0, 20, 1_000_000)]);
    assert_eq!((seen.len(), asked), (2, 3));
}
