//! A list of Redis: producers push at one end, consumers pop at the other.

use sim_core::{Span, Time};

use super::redis_store::Store;
use super::timers::{Timer, Timers};
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan;

/// A list, taken from with `BRPOP` or, where there is a processing list, with `BLMOVE`.
///
/// `BRPOP` is at-most-once: what was popped is nowhere but with its consumer, and lost if that dies or fails without a word.
/// With a processing list, an acknowledgement is an `LREM` from it, and a sweeper puts what has been there for `processing` back
/// to the end that is popped next, whether its consumer is dead or only slow: at-least-once. A slow consumer's `LREM` then
/// finds nothing. Clients that block are served in the order in which they began to. Redis counts no deliveries: the count is
/// the application's, kept with the message, and so is the rule that one received too often is a dead letter.
///
/// Sources: redis.io, commands `BRPOP`, `LMOVE` (pattern "reliable queue") and `LREM`.
#[derive(Clone, Debug)]
pub struct RedisList {
    store: Store,
    processing: Option<Span>,
    /// When what is in a processing list is swept from it.
    sweeps: Timers,
}

impl RedisList {
    /// An empty list.
    pub fn new(plan: &plan::Queue, own: plan::RedisList) -> RedisList {
        RedisList { store: Store::new(plan), processing: own.processing, sweeps: Timers::default() }
    }

    /// `LPUSH`.
    ///
    /// # Errors
    /// When it is full and drops nothing.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        self.store.send(message, now, happened)?;
        self.serve(now, happened);
        Ok(())
    }

    /// A consumer has connected.
    pub fn join(&mut self, consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {
        self.store.join(consumer);
    }

    /// `BRPOP` or `BLMOVE`: takes the next message, or blocks for one. Nothing happens for a consumer that has one in hand.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        if self.store.wait(consumer) {
            self.serve(now, happened);
        }
    }

    /// A consumer blocks no longer.
    pub fn stop_receiving(&mut self, consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {
        self.store.stop_receiving(consumer);
    }

    /// `LREM` from the processing list; after `BRPOP` there is nothing to say to Redis.
    pub fn acknowledge(&mut self, receipt: Receipt, _now: Time, happened: &mut Vec<Happened>) -> bool {
        if self.store.held(receipt).is_none() {
            self.store.counts.stale += 1;
            return false;
        }
        self.store.consume(receipt.place, happened);
        self.tidy();
        true
    }

    /// The consumer pushes the message again, after `delay`. With `None` it says nothing: it is lost, or stays in the processing
    /// list until it is swept.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        let Some(entry) = self.store.held(receipt) else { return };
        let spent = self.store.rules.is_spent(entry.receives());
        match (delay, self.processing) {
            (Some(_), _) if spent => self.store.dead_letter(receipt.place, happened),
            (Some(delay), _) => {
                self.store.release(receipt.place);
                self.store.push(receipt.place, delay, now);
            }
            (None, None) => self.store.lose(receipt.place, Loss::DiedWithConsumer, happened),
            (None, Some(_)) => self.store.let_go(receipt),
        }
        self.tidy();
        self.serve(now, happened);
    }

    /// The consumer pushes the message to the list of dead letters.
    pub fn reject(&mut self, receipt: Receipt, _now: Time, happened: &mut Vec<Happened>) {
        if self.store.held(receipt).is_some() {
            self.store.dead_letter(receipt.place, happened);
            self.tidy();
        }
    }

    /// A consumer closes its connection. What it has in hand all the same fares as at a crash.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.crash(consumer, now, happened);
    }

    /// A consumer is gone. After `BRPOP` what it had is gone with it; in a processing list it stays.
    pub fn crash(&mut self, consumer: u32, _now: Time, happened: &mut Vec<Happened>) {
        if let Some(receipt) = self.store.part(consumer)
            && self.processing.is_none()
            && self.store.held(receipt).is_some()
        {
            self.store.lose(receipt.place, Loss::DiedWithConsumer, happened);
        }
    }

    /// When something is swept, pushed or trimmed next.
    pub fn due(&self) -> Time {
        self.store.due().min(self.sweeps.next())
    }

    /// Sweeps, pushes what was delayed, trims.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some(timer) = self.sweeps.pop(now) {
            if lives(&self.store, &timer) {
                if self.store.rules.is_spent(self.store.entries.at(timer.place).receives()) {
                    self.store.dead_letter(timer.place, happened);
                } else {
                    self.store.put_back(timer.place);
                }
            }
        }
        self.tidy();
        self.store.advance(now, happened);
        self.serve(now, happened);
    }

    /// How it stands: `LLEN`, what consumers have taken, and what is delayed.
    pub fn depth(&self, _now: Time) -> Depth {
        self.store.depth()
    }

    /// What it has counted. Requests are the commands that do something, not pops that time out.
    pub fn counts(&self) -> &Counts {
        &self.store.counts
    }

    /// Gives out messages to those that block for one.
    fn serve(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while !self.store.waiting.is_empty()
            && let Some(place) = self.store.next(now, happened)
            && let Some(consumer) = self.store.first_waiting()
        {
            self.store.deliver(place, consumer, happened);
            if let Some(processing) = self.processing {
                let stamp = self.store.entries.at(place).stamp();
                self.sweeps.push(Timer { at: now + processing, place, stamp });
            }
        }
    }

    fn tidy(&mut self) {
        let store = &self.store;
        self.sweeps.tidy(store.in_flight(), |timer| lives(store, timer));
    }
}

/// True where a message has been in a processing list since its timer was set.
fn lives(store: &Store, timer: &Timer) -> bool {
    store.held(Receipt { place: timer.place, number: u64::from(timer.stamp) }).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{QueueKind, WhenFull};

    fn list(processing: Option<u64>, edit: impl Fn(&mut plan::Queue)) -> RedisList {
        let own = plan::RedisList { processing: processing.map(Span::from_secs) };
        let mut plan = crate::queue::plain(QueueKind::RedisList(own));
        edit(&mut plan);
        RedisList::new(&plan, own)
    }

    fn secs(secs: u64) -> Time {
        Time::ZERO + Span::from_secs(secs)
    }

    fn send(list: &mut RedisList, job: u32, at: u64) -> Vec<Happened> {
        let mut happened = Vec::new();
        let message = Message { job, key: 0, priority: 0, sent: secs(at) };
        list.send(message, secs(at), &mut happened).unwrap();
        happened
    }

    fn take(list: &mut RedisList, consumer: u32, at: u64) -> Option<(u32, Receipt)> {
        let mut happened = Vec::new();
        list.join(consumer, secs(at), &mut happened);
        list.receive(consumer, secs(at), &mut happened);
        happened.iter().find_map(|happened| match *happened {
            Happened::Delivered { job, receipt, .. } => Some((job, receipt)),
            _ => None,
        })
    }

    fn advance(list: &mut RedisList, at: u64) -> Vec<Happened> {
        let mut happened = Vec::new();
        list.advance(secs(at), &mut happened);
        happened
    }

    #[test]
    fn what_was_popped_is_lost_with_its_consumer() {
        let mut list = list(None, |_| {});
        send(&mut list, 1, 0);
        assert_eq!(take(&mut list, 0, 0).map(|(job, _)| job), Some(1));
        let mut happened = Vec::new();
        list.crash(0, secs(5), &mut happened);
        assert_eq!(happened, [Happened::Lost { job: 1, how: Loss::DiedWithConsumer }]);
        assert_eq!((list.depth(secs(5)), list.due()), (Depth::default(), Time::NEVER));
    }

    #[test]
    fn what_is_in_a_processing_list_comes_back_after_its_time_though_its_consumer_died() {
        let mut list = list(Some(60), |_| {});
        send(&mut list, 1, 0);
        send(&mut list, 2, 0);
        take(&mut list, 0, 10);
        list.crash(0, secs(11), &mut Vec::new());
        assert!(advance(&mut list, 69).is_empty() && list.due() == secs(70));
        advance(&mut list, 70);
        let (job, receipt) = take(&mut list, 1, 70).unwrap();
        assert_eq!(job, 1, "it is the next one");
        assert_eq!(list.counts().received_again, 1);
        assert!(list.acknowledge(receipt, secs(71), &mut Vec::new()));
    }

    #[test]
    fn a_slow_consumer_removes_nothing_once_its_message_was_swept() {
        let mut list = list(Some(60), |_| {});
        send(&mut list, 1, 0);
        let (_, slow) = take(&mut list, 0, 0).unwrap();
        advance(&mut list, 60);
        assert!(!list.acknowledge(slow, secs(61), &mut Vec::new()), "it is back in the list");
        let (_, second) = take(&mut list, 1, 62).unwrap();
        assert!(!list.acknowledge(slow, secs(63), &mut Vec::new()), "it is with another");
        assert!(list.acknowledge(second, secs(64), &mut Vec::new()));
        assert_eq!((list.counts().stale, list.counts().consumed), (2, 1));
    }

    #[test]
    fn the_consumer_that_has_blocked_for_longest_is_served_first() {
        let mut list = list(None, |_| {});
        for consumer in [3, 1, 2] {
            assert!(take(&mut list, consumer, u64::from(consumer)).is_none());
        }
        list.stop_receiving(1, secs(4), &mut Vec::new());
        let served: Vec<bool> = [3, 2]
            .into_iter()
            .map(|next| {
                matches!(send(&mut list, 0, 5)[..], [Happened::Delivered { consumer, .. }] if consumer == next)
            })
            .collect();
        assert_eq!(served, [true, true]);
        assert!(send(&mut list, 0, 6).is_empty(), "one blocks no longer");
    }

    #[test]
    fn a_failed_message_is_pushed_again_after_its_delay_behind_the_others() {
        let mut list = list(None, |plan| plan.max_receives = Some(2));
        send(&mut list, 1, 0);
        let (_, receipt) = take(&mut list, 0, 0).unwrap();
        list.fail(receipt, Some(Span::from_secs(10)), secs(1), &mut Vec::new());
        send(&mut list, 2, 2);
        assert_eq!(list.depth(secs(2)).delayed, 1);
        advance(&mut list, 11);
        assert_eq!(take(&mut list, 0, 11).unwrap().0, 2);
        let (job, receipt) = take(&mut list, 1, 11).unwrap();
        assert_eq!(job, 1);
        let mut happened = Vec::new();
        list.fail(receipt, Some(Span::ZERO), secs(12), &mut happened);
        assert_eq!(happened, [Happened::DeadLettered { job: 1, sent: secs(0) }], "after two receives");
    }

    #[test]
    fn a_consumer_that_fails_without_a_word_loses_the_message_or_leaves_it_to_the_sweeper() {
        for (processing, then) in [(None, None), (Some(60), Some(1))] {
            let mut list = list(processing, |_| {});
            send(&mut list, 1, 0);
            let (_, receipt) = take(&mut list, 0, 0).unwrap();
            let mut happened = Vec::new();
            list.fail(receipt, None, secs(1), &mut happened);
            assert_eq!(happened.len(), usize::from(processing.is_none()));
            assert!(take(&mut list, 0, 2).is_none());
            assert_eq!(
                advance(&mut list, 60).len() as u32,
                then.unwrap_or(0),
                "it blocks, and gets it again"
            );
        }
    }

    #[test]
    fn a_message_swept_too_often_is_a_dead_letter() {
        let mut list = list(Some(60), |plan| plan.max_receives = Some(1));
        send(&mut list, 1, 5);
        take(&mut list, 0, 5);
        assert_eq!(advance(&mut list, 65), [Happened::DeadLettered { job: 1, sent: secs(5) }]);
    }

    #[test]
    fn what_waits_for_longer_than_the_retention_is_trimmed() {
        let mut list = list(None, |plan| plan.retention = Some(Span::from_secs(100)));
        send(&mut list, 1, 0);
        send(&mut list, 2, 10);
        assert_eq!(list.due(), secs(100));
        assert_eq!(advance(&mut list, 100), [Happened::Lost { job: 1, how: Loss::Expired }]);
        assert_eq!(take(&mut list, 0, 105).unwrap().0, 2);
        assert_eq!(list.due(), Time::NEVER, "what was popped is not Redis' any more");
    }

    #[test]
    fn what_came_back_too_late_for_the_trimming_is_found_too_old_when_it_is_taken() {
        let mut list = list(None, |plan| plan.retention = Some(Span::from_secs(100)));
        send(&mut list, 1, 0);
        let (_, receipt) = take(&mut list, 0, 0).unwrap();
        send(&mut list, 2, 20);
        list.fail(receipt, Some(Span::ZERO), secs(50), &mut Vec::new());
        assert_eq!(take(&mut list, 1, 105).unwrap().0, 2);
        assert!(take(&mut list, 2, 105).is_none());
        assert_eq!(list.counts().lost, 1);
    }

    #[test]
    fn a_full_list_refuses_or_drops_the_oldest() {
        for (when_full, lost) in [(WhenFull::Block, 0), (WhenFull::Refuse, 0), (WhenFull::DropOldest, 1)] {
            let mut list = list(None, |plan| (plan.capacity, plan.when_full) = (Some(1), when_full));
            send(&mut list, 1, 0);
            let message = Message { job: 2, key: 0, priority: 0, sent: secs(1) };
            assert_eq!(list.send(message, secs(1), &mut Vec::new()).is_ok(), lost == 1);
            assert_eq!((list.counts().lost, list.counts().refused), (lost, 1 - lost));
        }
    }
}
