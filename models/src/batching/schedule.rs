//! What is in the next iteration, and how many like it follow.

use sim_core::Time;

use super::engine::{Engine, Prefill, Running, Waiting};
use super::stretch::{Exact, Stretch, exact};
use super::{Happened, Sequence};

impl Engine {
    /// Makes the batch of the iteration that begins at `now`, and counts how many like it follow.
    pub(super) fn schedule(&mut self, now: Exact, happened: &mut Vec<Happened>) {
        let preempted =
            if self.parameters.chunked { self.mix(now, happened) } else { self.prefill_first(now, happened) };
        let decoding = if self.decoding { self.running.len() as u64 } else { 0 };
        let batch = decoding + self.prefill.len() as u64;
        if batch == 0 {
            // With nothing in the batch all blocks are free, so that who waits is not here yet.
            self.stretch = self.waiting.front().map(|head| Stretch::none(exact(head.since)));
            return;
        }
        let chunks = self.prefill.iter().map(|one| one.chunk).sum::<u64>();
        let read = self.prefill.iter().map(|one| one.done + one.chunk).sum::<u64>()
            + if self.decoding { self.context + decoding } else { 0 };
        let regular = self.regular();
        self.stretch = Some(Stretch {
            start: now,
            first: self.times.iteration(chunks, batch, read),
            growth: self.times.context(decoding + chunks),
            // Who was not admitted because of a preemption can be in the next one, and who is gone is not.
            left: if preempted || self.gone > 0 { 1 } else { regular },
        });
        if let Some(head) = self.waiting.front()
            && exact(head.since) >= now
        {
            self.let_in(head.since);
        }
    }

    /// Somebody has become the first of those who wait at `now`. If there is room, the iteration under way is the last one
    /// without them.
    pub(super) fn let_in(&mut self, now: Time) {
        // A prompt in prefill either needs this iteration only, or all tokens that an iteration has.
        if !self.prefill.is_empty() {
            return;
        }
        if let Some(head) = self.waiting.front()
            && self.has_room(head, 0)
            && let Some(stretch) = &mut self.stretch
        {
            stretch.cut(exact(now));
        }
    }

    /// Chunked prefill: who decodes comes first, and what is left of the iteration's tokens goes to prompts. Whether somebody was
    /// preempted; then nobody is admitted, as in vLLM.
    fn mix(&mut self, now: Exact, happened: &mut Vec<Happened>) -> bool {
        let idle = self.running.is_empty() && self.prefill.is_empty();
        let preempted = self.find_blocks(happened);
        self.decoding = !self.running.is_empty();
        let mut budget = u64::from(self.parameters.most_batched_tokens) - self.running.len() as u64;
        if let Some(one) = self.prefill.first_mut() {
            one.chunk = (one.tokens() - one.done).min(budget);
            budget -= one.chunk;
        }
        if !preempted {
            self.admit(now, idle, budget);
        }
        preempted
    }

    /// Without chunks: whole prompts that are admitted have the iteration for themselves. Otherwise who is running decodes. Whether
    /// somebody was preempted.
    fn prefill_first(&mut self, now: Exact, happened: &mut Vec<Happened>) -> bool {
        self.decoding = false;
        self.admit(now, self.running.is_empty(), u64::from(self.parameters.most_batched_tokens));
        if !self.prefill.is_empty() {
            return false;
        }
        let preempted = self.find_blocks(happened);
        self.decoding = !self.running.is_empty();
        preempted
    }

    /// Admits who waits, first come first served, while there is room.
    fn admit(&mut self, now: Exact, idle: bool, mut budget: u64) {
        let needed = if self.decoding { self.kv.needed(self.count) } else { 0 };
        while budget > 0
            && let Some(&head) = self.waiting.front()
        {
            let here = exact(head.since) < now || (idle && exact(head.since) == now);
            let whole = self.parameters.chunked || head.tokens() <= budget;
            if !here || !whole || !self.has_room(&head, needed) {
                return;
            }
            self.waiting.pop_front();
            self.kv.take(head.tokens());
            let Waiting { sequence, generated, .. } = head;
            let chunk = head.tokens().min(budget);
            self.prefill.push(Prefill { sequence, generated, done: 0, chunk, gone: Time::NEVER });
            budget -= chunk;
        }
    }

    /// Whether the batch and the KV cache have room for a sequence, beside the blocks that decoding needs now. All of its prompt must
    /// fit (vLLM's `scheduler_reserve_full_isl`), and the watermark is left to the others, if there are any.
    fn has_room(&self, one: &Waiting, needed: u64) -> bool {
        let batch = self.running.len() + self.prefill.len();
        let watermark = if batch == 0 { 0 } else { self.watermark };
        batch < self.parameters.most_sequences as usize
            && self.kv.blocks(one.tokens()) + needed + watermark <= self.kv.free()
    }

    /// Preempts until those who decode find the blocks that they need: who was admitted last goes first. One that is alone
    /// always finds them, or it would have been refused.
    fn find_blocks(&mut self, happened: &mut Vec<Happened>) -> bool {
        let mut preempted = false;
        while self.kv.needed(self.count) > self.kv.free() {
            preempted = true;
            if let Some(one) = self.prefill.pop() {
                self.kv.give_back(one.tokens());
                self.preempt(one.sequence, one.generated, one.done, one.gone, happened);
            } else if let Some(one) = self.running.pop() {
                let context = one.context(self.count);
                self.kv.leave(one.phase());
                self.kv.give_back(context);
                self.context -= context;
                self.preempt(one.sequence, one.generated(self.count), context, one.gone, happened);
            }
        }
        preempted
    }

    /// A sequence that has lost its blocks waits again, before all others.
    fn preempt(
        &mut self,
        sequence: Sequence,
        generated: u32,
        tokens: u64,
        gone: Time,
        happened: &mut Vec<Happened>,
    ) {
        if gone != Time::NEVER {
            self.gone -= 1;
            return;
        }
        self.counts.preemptions += 1;
        self.counts.recomputed += tokens;
        happened.push(Happened::Preempted(sequence.id));
        self.waiting.push_front(Waiting { sequence, generated, since: Time::ZERO });
    }

    /// How many iterations go on as the first one: until a sequence is finished, a prompt is prefilled or its last chunk is
    /// smaller, or blocks run out. At least one.
    fn regular(&mut self) -> u64 {
        let chunks = self.prefill.iter().map(|one| (one.tokens() - one.done) / one.chunk);
        let most = chunks.min().unwrap_or(u64::MAX);
        if !self.decoding {
            return most;
        }
        self.next_finish = self.running.iter().map(Running::finish).min().unwrap_or(i64::MAX);
        self.kv.enough_for(self.count, most.min((self.next_finish - self.count) as u64))
    }
}
