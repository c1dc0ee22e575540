//! The engine: who waits, who is in the batch, and what iterations do to them.

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::kv_cache::KvCache;
use super::parameters::Times;
use super::stretch::{Exact, FRACTION, Stretch, ceil, exact};
use super::{Counts, Happened, Invalid, Parameters, Refused, Sequence};

/// One inference engine.
///
/// Whoever drives it calls [`add`](Engine::add), [`cancel`](Engine::cancel) and [`advance`](Engine::advance) in the order of time, and
/// `advance` at the instant that the last call returned, if nothing else came before.
///
/// A batch is made where an iteration ends. Who came before that instant can be in it; who comes at that very instant is in the
/// next, unless nothing was running.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) parameters: Parameters,
    pub(super) times: Times,
    pub(super) watermark: u64,
    pub(super) kv: KvCache,
    /// The iterations under way; nothing while there is nothing to do.
    pub(super) stretch: Option<Stretch>,
    /// Whether those in `running` decode in it. Without chunked prefill they wait while prompts are prefilled.
    pub(super) decoding: bool,
    /// Prefilled, in the order of admission.
    pub(super) running: Vec<Running>,
    /// In prefill in this iteration, in the order of admission, all after those in `running`. Only the last may need another one.
    pub(super) prefill: Vec<Prefill>,
    /// Those who were preempted come first, then first come, first served.
    pub(super) waiting: VecDeque<Waiting>,
    /// Decode iterations since the start.
    pub(super) count: i64,
    /// The count at which the first of `running` is finished.
    pub(super) next_finish: i64,
    /// Tokens of `running` in the KV cache.
    pub(super) context: u64,
    /// Sequences in the batch that were cancelled.
    pub(super) gone: u32,
    pub(super) counts: Counts,
    pub(super) busy: Exact,
}

/// A sequence that decodes. All that changes with each token follows from the engine's count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub sequence: Sequence,
    /// The count at which it would have had no token yet, had it never been preempted.
    pub origin: i64,
    /// When it was cancelled; [`Time::NEVER`] where it was not.
    pub gone: Time,
}

impl Running {
    /// Tokens that are out at `count`.
    pub fn generated(&self, count: i64) -> u32 {
        (count - self.origin) as u32
    }

    /// Tokens in the KV cache at `count`: all but the last, which is computed in the next iteration.
    pub fn context(&self, count: i64) -> u64 {
        u64::from(self.sequence.input) + (count - self.origin - 1) as u64
    }

    /// The count at which its last token is out.
    pub fn finish(&self) -> i64 {
        self.origin + i64::from(self.sequence.output)
    }

    /// A count at which its last block is full.
    pub fn phase(&self) -> i64 {
        self.origin + 1 - i64::from(self.sequence.input)
    }
}

/// A sequence whose prompt, and whatever it had before it was preempted, is being computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefill {
    pub sequence: Sequence,
    /// Tokens that are out.
    pub generated: u32,
    /// Tokens that are in the KV cache.
    pub done: u64,
    /// Tokens that each iteration of the stretch computes.
    pub chunk: u64,
    /// When it was cancelled; [`Time::NEVER`] where it was not.
    pub gone: Time,
}

impl Prefill {
    /// Tokens to compute in all. Their blocks were taken when it was admitted.
    pub fn tokens(&self) -> u64 {
        u64::from(self.sequence.input) + u64::from(self.generated)
    }
}

/// A sequence that is not in the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub sequence: Sequence,
    /// Tokens that are out, where it was preempted.
    pub generated: u32,
    /// Since when it can be the next.
    pub since: Time,
}

impl Waiting {
    /// Tokens to prefill.
    pub fn tokens(&self) -> u64 {
        u64::from(self.sequence.input) + u64::from(self.generated)
    }
}

impl Engine {
    /// An engine with nothing to do.
    pub fn new(parameters: Parameters) -> Result<Self, Invalid> {
        parameters.check()?;
        Ok(Engine {
            parameters,
            times: Times::of(&parameters),
            watermark: parameters.watermark_blocks(),
            kv: KvCache::new(parameters.kv_tokens, parameters.block),
            stretch: None,
            decoding: false,
            running: Vec::new(),
            prefill: Vec::new(),
            waiting: VecDeque::new(),
            count: 0,
            next_finish: i64::MAX,
            context: 0,
            gone: 0,
            counts: Counts::default(),
            busy: 0,
        })
    }

    /// A request comes. Returns when to call [`advance`](Engine::advance) next, or why it is not taken.
    pub fn add(&mut self, now: Time, sequence: Sequence) -> Result<Time, Refused> {
        self.takes(sequence)?;
        if self.waiting.len() >= self.parameters.queue as usize {
            return Err(Refused::QueueFull);
        }
        self.waiting.push_back(Waiting { sequence, generated: 0, since: now });
        if self.stretch.is_none() {
            self.stretch = Some(Stretch::none(exact(now)));
        } else if self.waiting.len() == 1 {
            self.let_in(now);
        }
        Ok(self.due())
    }

    /// Lets what is over by `now` happen, in the order of time. Returns when to call this again; [`Time::NEVER`] while there is nothing to do.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) -> Time {
        while let Some(stretch) = &self.stretch {
            let (end, over) = (stretch.end(), stretch.over_by(exact(now)));
            self.pass(over);
            if end > exact(now) {
                return ceil(end);
            }
            self.close(end, happened);
            self.schedule(end, happened);
        }
        Time::NEVER
    }

    /// The client of a sequence is gone; nothing more will be said of it. One that waits is forgotten; one in the batch is in it until the
    /// iteration under way is over, and then its blocks are free. Returns when to call [`advance`](Engine::advance) next.
    ///
    /// It looks through all who wait and run.
    pub fn cancel(&mut self, now: Time, id: u32) -> Time {
        if let Some(place) = self.waiting.iter().position(|waiting| waiting.sequence.id == id) {
            self.waiting.remove(place);
            if let Some(head) = self.waiting.front_mut()
                && place == 0
            {
                head.since = head.since.max(now);
                self.let_in(now);
            }
            return self.due();
        }
        let running = self.running.iter_mut().map(|running| (running.sequence.id, &mut running.gone));
        let prefill = self.prefill.iter_mut().map(|prefill| (prefill.sequence.id, &mut prefill.gone));
        if let Some((_, gone)) = running.chain(prefill).find(|(of, gone)| *of == id && **gone == Time::NEVER)
        {
            *gone = now;
            self.gone += 1;
            if let Some(stretch) = &mut self.stretch {
                stretch.cut(exact(now));
            }
        }
        self.due()
    }

    /// The engine dies, with all that it has: their ids are added to `ids`. What it has counted stays.
    pub fn lose_all(&mut self, ids: &mut Vec<u32>) {
        let running = self.running.drain(..).map(|running| (running.sequence.id, running.gone));
        let prefill = self.prefill.drain(..).map(|prefill| (prefill.sequence.id, prefill.gone));
        ids.extend(running.chain(prefill).filter(|&(_, gone)| gone == Time::NEVER).map(|(id, _)| id));
        ids.extend(self.waiting.drain(..).map(|waiting| waiting.sequence.id));
        self.kv = KvCache::new(self.parameters.kv_tokens, self.parameters.block);
        (self.stretch, self.context, self.gone) = (None, 0, 0);
    }

    /// How it stands.
    pub fn counts(&self) -> Counts {
        let nanos = u64::try_from(self.busy >> FRACTION).unwrap_or(u64::MAX);
        Counts {
            running: (self.running.len() + self.prefill.len()) as u32,
            waiting: self.waiting.len() as u32,
            kv_tokens: self.context + self.prefill.iter().map(|prefill| prefill.done).sum::<u64>(),
            kv_blocks: self.kv.used(),
            kv_blocks_total: self.kv.total(),
            busy: Span::from_nanos(nanos),
            ..self.counts
        }
    }

    /// What it is.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether a sequence could be finished if it were alone, however often it was preempted.
    ///
    /// # Errors
    /// Why it could never be.
    pub fn takes(&self, sequence: Sequence) -> Result<(), Refused> {
        if sequence.input == 0 || sequence.output == 0 {
            return Err(Refused::Empty);
        }
        let longest = u64::from(sequence.input) + u64::from(sequence.output) - 1;
        if self.kv.blocks(longest) > self.kv.total() {
            return Err(Refused::KvCache);
        }
        if !self.parameters.chunked && longest > u64::from(self.parameters.most_batched_tokens) {
            return Err(Refused::BatchedTokens);
        }
        Ok(())
    }

    /// When the iterations under way are over.
    fn due(&self) -> Time {
        self.stretch.as_ref().map_or(Time::NEVER, |stretch| ceil(stretch.end()))
    }

    /// Lets `n` iterations pass.
    fn pass(&mut self, n: u64) {
        let Some(stretch) = &mut self.stretch else { return };
        if n == 0 {
            return;
        }
        self.busy = self.busy.saturating_add(stretch.length(n));
        stretch.pass(n);
        let mut batch = self.prefill.len() as u64;
        if self.decoding {
            let decoding = self.running.len() as u64;
            self.kv.decode(self.count, n);
            self.count += n as i64;
            self.context += n * decoding;
            self.counts.generated += n * decoding;
            batch += decoding;
        }
        for prefill in &mut self.prefill {
            prefill.done += n * prefill.chunk;
            self.counts.prefilled += n * prefill.chunk;
        }
        self.counts.iterations += n;
        self.counts.batched += n * batch;
    }

    /// The iterations under way are over: tokens are out, and who is finished or gone leaves.
    fn close(&mut self, end: Exact, happened: &mut Vec<Happened>) {
        if self.gone > 0 || (self.decoding && self.count == self.next_finish) {
            self.leave(end, happened);
        }
        let mut prefill = std::mem::take(&mut self.prefill);
        prefill.retain(|one| !self.prefilled(one, end, happened));
        self.prefill = prefill;
    }

    /// Takes those out of `running` who are finished or gone.
    fn leave(&mut self, end: Exact, happened: &mut Vec<Happened>) {
        let (count, decoding) = (self.count, self.decoding);
        let (kv, context, gone) = (&mut self.kv, &mut self.context, &mut self.gone);
        self.running.retain(|one| {
            let finished = decoding && one.finish() == count;
            if !finished && exact(one.gone) >= end {
                return true;
            }
            if one.gone == Time::NEVER {
                happened.push(Happened::Finished(one.sequence.id));
            } else {
                *gone -= 1;
            }
            kv.leave(one.phase());
            kv.give_back(one.context(count));
            *context -= one.context(count);
            false
        });
    }

    /// Whether a sequence leaves prefill: because it has its next token, or because it is gone.
    fn prefilled(&mut self, one: &Prefill, end: Exact, happened: &mut Vec<Happened>) -> bool {
        let gone = one.gone != Time::NEVER;
        let complete = one.done == one.tokens();
        if !complete && exact(one.gone) >= end {
            return false;
        }
        let Sequence { id, output, .. } = one.sequence;
        let generated = one.generated + u32::from(complete);
        self.counts.generated += u64::from(complete);
        if !gone && complete && one.generated == 0 {
            happened.push(Happened::FirstToken(id));
        }
        if generated < output && exact(one.gone) >= end {
            let origin = self.count - i64::from(generated);
            let running = Running { sequence: one.sequence, origin, gone: one.gone };
            self.kv.join(running.phase());
            self.context += one.done;
            self.running.push(running);
            return true;
        }
        if gone {
            self.gone -= 1;
        } else {
            happened.push(Happened::Finished(id));
        }
        self.kv.give_back(one.tokens());
        true
    }
}
