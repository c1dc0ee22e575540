//! An engine that plays every iteration and looks at every sequence in each: slow, and easy to believe.

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::super::{Counts, Happened, Parameters, Refused, Sequence};

#[derive(Clone, Debug)]
struct Request {
    sequence: Sequence,
    generated: u64,
    computed: u64,
    blocks: u64,
    /// Tokens in the iteration under way.
    tokens: u64,
    prefilling: bool,
    since: Time,
    gone: Time,
}

impl Request {
    fn known(&self) -> u64 {
        u64::from(self.sequence.input) + self.generated
    }
}

pub struct Naive {
    parameters: Parameters,
    running: Vec<Request>,
    waiting: VecDeque<Request>,
    free: u64,
    /// When the iteration under way began and is over, in 2^-20 ns.
    iteration: Option<(u128, u128)>,
    counts: Counts,
    busy: u128,
}

fn fixed(nanos: f64) -> u128 {
    (nanos * 1_048_576.0).round() as u128
}

fn instant(time: Time) -> u128 {
    u128::from(time.as_nanos()) * 1_048_576
}

impl Naive {
    pub fn new(parameters: Parameters) -> Self {
        let free = parameters.kv_tokens / u64::from(parameters.block);
        let (running, waiting) = (Vec::new(), VecDeque::new());
        Naive { parameters, running, waiting, free, iteration: None, counts: Counts::default(), busy: 0 }
    }

    fn total(&self) -> u64 {
        self.parameters.kv_tokens / u64::from(self.parameters.block)
    }

    fn blocks(&self, tokens: u64) -> u64 {
        tokens.div_ceil(u64::from(self.parameters.block))
    }

    pub fn due(&self) -> Time {
        self.iteration.map_or(Time::NEVER, |(_, end)| Time::from_nanos(end.div_ceil(1_048_576) as u64))
    }

    pub fn add(&mut self, now: Time, sequence: Sequence) -> Result<(), Refused> {
        let longest = u64::from(sequence.input) + u64::from(sequence.output) - 1;
        if self.blocks(longest) > self.total() {
            return Err(Refused::KvCache);
        }
        if !self.parameters.chunked && longest > u64::from(self.parameters.most_batched_tokens) {
            return Err(Refused::BatchedTokens);
        }
        if self.waiting.len() >= self.parameters.queue as usize {
            return Err(Refused::QueueFull);
        }
        self.waiting.push_back(Request {
            sequence,
            generated: 0,
            computed: 0,
            blocks: 0,
            tokens: 0,
            prefilling: true,
            since: now,
            gone: Time::NEVER,
        });
        if self.iteration.is_none() {
            self.iteration = Some((instant(now), instant(now)));
        }
        Ok(())
    }

    pub fn cancel(&mut self, now: Time, id: u32) {
        if let Some(place) = self.waiting.iter().position(|one| one.sequence.id == id) {
            self.waiting.remove(place);
            if place == 0
                && let Some(head) = self.waiting.front_mut()
            {
                head.since = head.since.max(now);
            }
        } else if let Some(one) =
            self.running.iter_mut().find(|one| one.sequence.id == id && one.gone == Time::NEVER)
        {
            one.gone = now;
        }
    }

    pub fn lose_all(&mut self, ids: &mut Vec<u32>) {
        let kept = self.running.drain(..).filter(|one| one.gone == Time::NEVER);
        ids.extend(kept.chain(self.waiting.drain(..)).map(|one| one.sequence.id));
        self.free = self.total();
        self.iteration = None;
    }

    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some((start, end)) = self.iteration
            && end <= instant(now)
        {
            self.end(start, end, happened);
            self.begin(end, happened);
        }
    }

    fn end(&mut self, start: u128, end: u128, happened: &mut Vec<Happened>) {
        self.busy += end - start;
        let batch = self.running.iter().filter(|one| one.tokens > 0).count() as u64;
        self.counts.batched += batch;
        self.counts.iterations += u64::from(batch > 0);
        let mut kept = Vec::new();
        for mut one in std::mem::take(&mut self.running) {
            one.computed += one.tokens;
            self.counts.prefilled += if one.prefilling { one.tokens } else { 0 };
            let heard = one.gone == Time::NEVER;
            if one.tokens > 0 && one.computed == one.known() {
                one.generated += 1;
                one.prefilling = false;
                self.counts.generated += 1;
                if one.generated == 1 && heard {
                    happened.push(Happened::FirstToken(one.sequence.id));
                }
            }
            one.tokens = 0;
            let finished = one.generated == u64::from(one.sequence.output);
            if finished && heard {
                happened.push(Happened::Finished(one.sequence.id));
            }
            if finished || instant(one.gone) < end {
                self.free += one.blocks;
            } else {
                kept.push(one);
            }
        }
        self.running = kept;
    }

    fn begin(&mut self, now: u128, happened: &mut Vec<Happened>) {
        let idle = self.running.is_empty();
        if self.parameters.chunked {
            let budget = u64::from(self.parameters.most_batched_tokens);
            if let Some(left) = self.schedule_running(budget, happened) {
                self.admit(now, idle, left);
            }
        } else if !self.admit(now, idle, u64::from(self.parameters.most_batched_tokens)) {
            self.schedule_running(u64::MAX, happened);
        }
        let batch: Vec<&Request> = self.running.iter().filter(|one| one.tokens > 0).collect();
        if batch.is_empty() {
            let next = self.waiting.front().map(|head| instant(head.since));
            self.iteration = next.map(|next| (next, next));
            return;
        }
        let mut length = fixed(self.parameters.iteration);
        for one in batch {
            length += fixed(self.parameters.sequence);
            length += fixed(self.parameters.context_token) * u128::from(one.computed + one.tokens);
            if one.prefilling {
                length += fixed(self.parameters.prefill_token) * u128::from(one.tokens);
            }
        }
        self.iteration = Some((now, now + length));
    }

    /// Gives each its tokens and blocks, in order; what is left of the budget, or nothing where somebody was preempted.
    fn schedule_running(&mut self, mut budget: u64, happened: &mut Vec<Happened>) -> Option<u64> {
        let (mut place, mut preempted) = (0, false);
        while place < self.running.len() {
            let one = &self.running[place];
            let tokens = (one.known() - one.computed).min(budget);
            let missing = self.blocks(one.computed + tokens).saturating_sub(one.blocks);
            if missing > self.free {
                preempted = true;
                let mut last = self.running.pop().unwrap();
                self.free += last.blocks;
                if last.gone == Time::NEVER {
                    happened.push(Happened::Preempted(last.sequence.id));
                    self.counts.preemptions += 1;
                    self.counts.recomputed += last.computed;
                    (last.computed, last.blocks, last.tokens) = (0, 0, 0);
                    (last.prefilling, last.since) = (true, Time::ZERO);
                    self.waiting.push_front(last);
                }
                continue;
            }
            self.free -= missing;
            budget -= tokens;
            let one = &mut self.running[place];
            one.blocks += missing;
            one.tokens = tokens;
            place += 1;
        }
        (!preempted).then_some(budget)
    }

    fn admit(&mut self, now: u128, idle: bool, mut budget: u64) -> bool {
        let before = self.running.len();
        let watermark = (self.parameters.watermark * self.total() as f64) as u64;
        while let Some(head) = self.waiting.front() {
            let since = instant(head.since);
            let late = if idle { since > now } else { since >= now };
            let long = !self.parameters.chunked && head.known() > budget;
            let full = self.running.len() == self.parameters.most_sequences as usize;
            let left_free = if self.running.is_empty() { 0 } else { watermark };
            let blocks = self.blocks(head.known());
            if late || long || full || budget == 0 || blocks + left_free > self.free {
                break;
            }
            let mut one = self.waiting.pop_front().unwrap();
            self.free -= blocks;
            one.blocks = blocks;
            one.tokens = one.known().min(budget);
            budget -= one.tokens;
            self.running.push(one);
        }
        self.running.len() > before
    }

    pub fn counts(&self) -> Counts {
        let held = |one: &Request| if one.prefilling { one.blocks } else { self.blocks(one.computed) };
        Counts {
            running: self.running.len() as u32,
            waiting: self.waiting.len() as u32,
            kv_tokens: self.running.iter().map(|one| one.computed).sum(),
            kv_blocks: self.running.iter().map(held).sum(),
            kv_blocks_total: self.total(),
            busy: Span::from_nanos((self.busy / 1_048_576) as u64),
            ..self.counts
        }
    }
}
