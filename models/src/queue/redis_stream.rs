//! A stream of Redis that one consumer group reads.

use sim_core::{Span, Time};

use super::redis_store::Store;
use super::timers::{Timer, Timers};
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan;

/// A stream, read with `XREADGROUP` by one consumer group: at-least-once.
///
/// What was delivered is in the pending entries list until `XACK`, which anybody may send who knows the entry: a slow consumer's
/// counts though another has claimed it since. Consumers look for entries that have been idle for `min_idle` with `XAUTOCLAIM`
/// every `claim_every` while they are free, from when they joined. Idle time counts from the last delivery, and nothing
/// renews it: what a live consumer is slow with is claimed too, and done twice. Claiming raises the delivery counter; that an
/// entry delivered too often is a dead letter is the application's rule, applied by whoever claims it. Trimming takes pending
/// entries too, which shows when they are claimed.
///
/// Sources: redis.io, commands `XREADGROUP`, `XACK`, `XAUTOCLAIM` and `XTRIM`.
#[derive(Clone, Debug)]
pub struct RedisStream {
    store: Store,
    min_idle: Span,
    claim_every: Span,
    /// When pending entries have been idle for so long.
    idle: Timers,
    /// When each consumer looked for idle entries last, by its number.
    looked: Vec<Time>,
    /// When a consumer that waits may find one; not later than that.
    look: Time,
}

impl RedisStream {
    /// An empty stream.
    pub fn new(plan: &plan::Queue, own: plan::RedisStream) -> RedisStream {
        RedisStream {
            store: Store::new(plan),
            min_idle: own.min_idle,
            claim_every: own.claim_every.max(Span::from_nanos(1)),
            idle: Timers::default(),
            looked: Vec::new(),
            look: Time::NEVER,
        }
    }

    /// `XADD`.
    ///
    /// # Errors
    /// When it is full and drops nothing.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        self.store.send(message, now, happened)?;
        self.serve(now, happened);
        Ok(())
    }

    /// A consumer has come, and looks for idle entries first after `claim_every`.
    pub fn join(&mut self, consumer: u32, now: Time, _happened: &mut Vec<Happened>) {
        self.store.join(consumer);
        let count = consumer as usize + 1;
        if self.looked.len() < count {
            self.looked.resize(count, now);
        }
        self.looked[consumer as usize] = now;
    }

    /// Claims an idle entry where it is time to look for one; else reads the next, or blocks for it. Nothing happens for a
    /// consumer that has one in hand.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        if !self.store.wait(consumer) {
            return;
        }
        if self.looked[consumer as usize] + self.claim_every <= now {
            self.looked[consumer as usize] = now;
            if self.claim(consumer, now, happened) {
                self.store.stop_receiving(consumer);
                return;
            }
        }
        self.serve(now, happened);
    }

    /// A consumer blocks no longer.
    pub fn stop_receiving(&mut self, consumer: u32, now: Time, _happened: &mut Vec<Happened>) {
        self.store.stop_receiving(consumer);
        self.plan_look(now);
    }

    /// `XACK`. False where the entry is no longer pending.
    pub fn acknowledge(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) -> bool {
        if !self.is_pending(receipt) {
            self.store.counts.stale += 1;
            return false;
        }
        self.store.consume(receipt.place, happened);
        self.plan_look(now);
        true
    }

    /// The consumer acknowledges the entry and adds it again, after `delay`; with `None` it says nothing, and the entry stays
    /// pending until it is idle for long enough.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        let Some(entry) = self.store.held(receipt) else { return };
        let spent = self.store.rules.is_spent(entry.receives());
        match delay {
            Some(_) if spent => self.store.dead_letter(receipt.place, happened),
            Some(delay) => {
                self.store.release(receipt.place);
                self.store.push(receipt.place, delay, now);
            }
            None => self.store.let_go(receipt),
        }
        self.serve(now, happened);
    }

    /// The consumer adds the entry to the stream of dead letters, and acknowledges it.
    pub fn reject(&mut self, receipt: Receipt, now: Time, happened: &mut Vec<Happened>) {
        if self.store.held(receipt).is_some() {
            self.store.dead_letter(receipt.place, happened);
            self.plan_look(now);
        }
    }

    /// A consumer goes. What it has pending stays pending.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.crash(consumer, now, happened);
    }

    /// A consumer is gone. What it has pending stays pending.
    pub fn crash(&mut self, consumer: u32, now: Time, _happened: &mut Vec<Happened>) {
        self.store.part(consumer);
        self.plan_look(now);
    }

    /// When something is added, trimmed or looked for next.
    pub fn due(&self) -> Time {
        self.store.due().min(self.look)
    }

    /// Adds what was delayed, trims, and lets consumers that wait look for idle entries.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        self.store.advance(now, happened);
        while self.look <= now {
            let at = self.look;
            if self.idle.next() <= at
                && let Some((look, consumer)) = self.first_to_look(at)
                && look <= at
            {
                self.store.stop_receiving(consumer);
                self.looked[consumer as usize] = at;
                if !self.claim(consumer, at, happened) {
                    self.store.wait(consumer);
                }
            }
            self.replan_look(at);
        }
        self.serve(now, happened);
    }

    /// How it stands: entries not yet delivered, those pending, and those that are added again later.
    pub fn depth(&self, _now: Time) -> Depth {
        self.store.depth()
    }

    /// What it has counted. Requests are the commands that do something, not reads that time out and looks that find nothing.
    pub fn counts(&self) -> &Counts {
        &self.store.counts
    }

    fn is_pending(&self, receipt: Receipt) -> bool {
        use super::entries::State;
        self.store.entries.still(receipt).is_some_and(|entry| entry.state == State::InFlight)
    }

    /// Delivers entries to those that block for one.
    fn serve(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while !self.store.waiting.is_empty()
            && let Some(place) = self.store.next(now, happened)
            && let Some(consumer) = self.store.first_waiting()
        {
            // While it blocked it has looked all the time, and found nothing.
            let looked = &mut self.looked[consumer as usize];
            let (since, every) = (now.since(*looked).as_nanos(), self.claim_every.as_nanos());
            *looked += Span::from_nanos(since - since % every);
            self.deliver(place, consumer, now, happened);
        }
        self.plan_look(now);
    }

    /// Claims the entry that has been idle for longest, if one has been for long enough.
    fn claim(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) -> bool {
        while let Some(timer) = self.idle.pop(now) {
            let place = timer.place;
            if !lives(&self.store, &timer) {
                continue;
            }
            let entry = self.store.entries.at(place);
            if self.store.rules.expires(entry.sent) <= now {
                self.store.lose(place, Loss::Expired, happened);
            } else if self.store.rules.is_spent(entry.receives()) {
                self.store.dead_letter(place, happened);
            } else {
                self.deliver(place, consumer, now, happened);
                return true;
            }
        }
        false
    }

    fn deliver(&mut self, place: u32, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.store.deliver(place, consumer, happened);
        let stamp = self.store.entries.at(place).stamp();
        self.idle.push(Timer { at: now + self.min_idle, place, stamp });
    }

    /// Sees to it that somebody looks in time. The entries that become idle next only get later while nobody looks, so a plan
    /// stands until a consumer comes that looks earlier.
    fn plan_look(&mut self, now: Time) {
        let store = &self.store;
        self.idle.tidy(store.in_flight(), |timer| lives(store, timer));
        let nothing = self.store.waiting.is_empty() || self.idle.next() == Time::NEVER;
        if nothing || self.look == Time::NEVER || self.idle.next() <= now {
            self.replan_look(now);
        }
    }

    fn replan_look(&mut self, now: Time) {
        let idle = self.idle.next();
        self.look = if self.store.waiting.is_empty() {
            Time::NEVER
        } else if idle > now {
            idle
        } else {
            self.first_to_look(now).map_or(Time::NEVER, |(look, _)| look)
        };
    }

    /// Which of the consumers that wait looks for idle entries next, from `now` on, and when.
    fn first_to_look(&self, now: Time) -> Option<(Time, u32)> {
        let every = self.claim_every.as_nanos();
        let next = |consumer: u32| {
            let looked = self.looked[consumer as usize];
            let times = now.since(looked).as_nanos().div_ceil(every).max(1);
            looked + self.claim_every.saturating_mul(times)
        };
        self.store.waiting.iter().map(|&consumer| (next(consumer), consumer)).min_by_key(|&(look, _)| look)
    }
}

/// True where an entry has been pending since its timer was set, and nobody has claimed it.
fn lives(store: &Store, timer: &Timer) -> bool {
    store.held(Receipt { place: timer.place, number: u64::from(timer.stamp) }).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::QueueKind;

    /// Entries are idle after 60 s, and looked for every 10 s.
    fn stream(edit: impl Fn(&mut plan::Queue)) -> RedisStream {
        let own = plan::RedisStream { min_idle: Span::from_secs(60), claim_every: Span::from_secs(10) };
        let mut plan = crate::queue::plain(QueueKind::RedisStream(own));
        edit(&mut plan);
        RedisStream::new(&plan, own)
    }

    fn secs(secs: u64) -> Time {
        Time::ZERO + Span::from_secs(secs)
    }

    fn send(stream: &mut RedisStream, job: u32, at: u64) {
        let message = Message { job, key: 0, priority: 0, sent: secs(at) };
        stream.send(message, secs(at), &mut Vec::new()).unwrap();
    }

    /// Consumer, job, receives and receipt of what is delivered.
    fn delivery(happened: &[Happened]) -> Option<(u32, u32, u32, Receipt)> {
        happened.iter().find_map(|happened| match *happened {
            Happened::Delivered { consumer, job, receipt, receives } => {
                Some((consumer, job, receives, receipt))
            }
            _ => None,
        })
    }

    fn read(stream: &mut RedisStream, consumer: u32, at: u64) -> Option<(u32, u32, u32, Receipt)> {
        let mut happened = Vec::new();
        stream.receive(consumer, secs(at), &mut happened);
        delivery(&happened)
    }

    fn until(stream: &mut RedisStream, at: u64) -> Vec<Happened> {
        let mut happened = Vec::new();
        while stream.due() <= secs(at) {
            let due = stream.due();
            stream.advance(due, &mut happened);
        }
        happened
    }

    #[test]
    fn what_a_consumer_died_with_is_claimed_by_another_that_is_free() {
        let mut stream = stream(|_| {});
        stream.join(0, secs(0), &mut Vec::new());
        stream.join(1, secs(3), &mut Vec::new());
        send(&mut stream, 1, 0);
        assert!(read(&mut stream, 0, 0).is_some() && read(&mut stream, 1, 3).is_none());
        stream.crash(0, secs(5), &mut Vec::new());
        assert!(until(&mut stream, 62).is_empty());
        let (consumer, job, receives, _) = delivery(&until(&mut stream, 63)).unwrap();
        assert_eq!((consumer, job, receives), (1, 1, 2), "idle at 60 s; consumer 1 looks at 13, 23, … 63 s");
    }

    #[test]
    fn nothing_is_claimed_while_there_is_no_consumer() {
        let mut stream = stream(|_| {});
        stream.join(0, secs(0), &mut Vec::new());
        send(&mut stream, 1, 0);
        read(&mut stream, 0, 0);
        stream.crash(0, secs(5), &mut Vec::new());
        assert_eq!(stream.due(), Time::NEVER);
        stream.join(1, secs(1000), &mut Vec::new());
        assert!(read(&mut stream, 1, 1000).is_none());
        assert!(until(&mut stream, 1009).is_empty());
        assert_eq!(delivery(&until(&mut stream, 1010)).map(|(_, job, ..)| job), Some(1));
    }

    #[test]
    fn what_a_live_consumer_is_slow_with_is_claimed_and_whoever_is_first_acknowledges_it() {
        let mut stream = stream(|_| {});
        stream.join(0, secs(0), &mut Vec::new());
        stream.join(1, secs(0), &mut Vec::new());
        send(&mut stream, 1, 0);
        let (.., slow) = read(&mut stream, 0, 0).unwrap();
        read(&mut stream, 1, 0);
        let (.., claimed) = delivery(&until(&mut stream, 60)).unwrap();
        assert!(stream.acknowledge(slow, secs(70), &mut Vec::new()), "XACK asks nobody who has it");
        assert!(!stream.acknowledge(claimed, secs(80), &mut Vec::new()));
        assert_eq!((stream.counts().consumed, stream.counts().stale), (1, 1));
    }

    #[test]
    fn a_busy_consumer_looks_for_idle_entries_when_it_is_free_and_before_it_reads_new_ones() {
        let mut stream = stream(|_| {});
        stream.join(0, secs(0), &mut Vec::new());
        stream.join(1, secs(0), &mut Vec::new());
        for job in 1..=3 {
            send(&mut stream, job, 0);
        }
        read(&mut stream, 0, 0);
        stream.crash(0, secs(1), &mut Vec::new());
        let (.., receipt) = read(&mut stream, 1, 50).unwrap();
        assert!(stream.acknowledge(receipt, secs(95), &mut Vec::new()));
        assert_eq!(read(&mut stream, 1, 95).map(|(_, job, receives, _)| (job, receives)), Some((1, 2)));
    }

    #[test]
    fn a_consumer_that_blocked_has_looked_in_the_meantime() {
        let mut stream = stream(|_| {});
        stream.join(0, secs(0), &mut Vec::new());
        stream.join(1, secs(0), &mut Vec::new());
        assert!(read(&mut stream, 1, 0).is_none() && read(&mut stream, 0, 1).is_none());
        stream.stop_receiving(1, secs(1), &mut Vec::new());
        send(&mut stream, 1, 2);
        read(&mut stream, 1, 3);
        stream.crash(0, secs(4), &mut Vec::new());
        until(&mut stream, 61);
        let mut happened = Vec::new();
        let message = Message { job: 2, key: 0, priority: 0, sent: secs(61) };
        stream.send(message, secs(61), &mut happened).unwrap();
        let (consumer, job, _, receipt) = delivery(&happened).unwrap();
        assert_eq!((consumer, job), (1, 2));
        until(&mut stream, 65);
        assert!(stream.acknowledge(receipt, secs(65), &mut Vec::new()));
        assert!(read(&mut stream, 1, 65).is_none(), "it looked at 60 s, before the entry was idle");
        assert!(until(&mut stream, 69).is_empty());
        assert!(delivery(&until(&mut stream, 70)).is_some());
    }

    #[test]
    fn claiming_begins_the_idle_time_anew() {
        let mut stream = stream(|_| {});
        for consumer in 0..3 {
            stream.join(consumer, secs(0), &mut Vec::new());
        }
        send(&mut stream, 1, 0);
        for consumer in 0..3 {
            read(&mut stream, consumer, 0);
        }
        let claims = until(&mut stream, 150);
        let delivered: Vec<u32> =
            claims.iter().filter_map(|&happened| delivery(&[happened])).map(|d| d.0).collect();
        assert_eq!(delivered, [1, 2], "at 60 s and at 120 s");
    }

    #[test]
    fn an_entry_delivered_too_often_is_a_dead_letter_for_who_claims_it() {
        let mut stream = stream(|plan| plan.max_receives = Some(1));
        stream.join(0, secs(0), &mut Vec::new());
        stream.join(1, secs(0), &mut Vec::new());
        send(&mut stream, 1, 0);
        read(&mut stream, 0, 0);
        read(&mut stream, 1, 0);
        assert_eq!(until(&mut stream, 60), [Happened::DeadLettered { job: 1, sent: secs(0) }]);
        send(&mut stream, 2, 61);
        assert_eq!(stream.counts().received, 2, "consumer 1 still reads");
    }

    #[test]
    fn pending_entries_that_were_trimmed_are_lost_when_they_are_claimed() {
        let mut stream = stream(|plan| plan.retention = Some(Span::from_secs(30)));
        stream.join(0, secs(0), &mut Vec::new());
        stream.join(1, secs(0), &mut Vec::new());
        send(&mut stream, 1, 0);
        read(&mut stream, 0, 0);
        read(&mut stream, 1, 0);
        assert!(until(&mut stream, 59).is_empty());
        assert_eq!(until(&mut stream, 60), [Happened::Lost { job: 1, how: Loss::Expired }]);
    }

    #[test]
    fn a_failed_entry_is_added_again_after_its_delay_or_stays_pending() {
        let mut stream = stream(|_| {});
        stream.join(0, secs(0), &mut Vec::new());
        send(&mut stream, 1, 0);
        let (.., receipt) = read(&mut stream, 0, 0).unwrap();
        stream.fail(receipt, Some(Span::from_secs(5)), secs(1), &mut Vec::new());
        assert!(read(&mut stream, 0, 1).is_none());
        let (.., receives, receipt) = delivery(&until(&mut stream, 6)).unwrap();
        assert_eq!(receives, 2);
        stream.fail(receipt, None, secs(7), &mut Vec::new());
        assert!(read(&mut stream, 0, 7).is_none());
        assert_eq!(stream.depth(secs(7)).in_flight, 1);
        assert!(until(&mut stream, 69).is_empty());
        assert!(delivery(&until(&mut stream, 70)).is_some(), "idle at 66 s, looked for at 70 s");
    }
}
