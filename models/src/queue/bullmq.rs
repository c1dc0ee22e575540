//! BullMQ: jobs that are locked by workers, in Redis.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::entries::{Entries, Entry, State};
use super::priorities::Priorities;
use super::rules::Rules;
use super::timers::{Timer, Timers};
use super::{Counts, Depth, Full, Happened, Loss, Message, Receipt};
use crate::plan;

/// A queue of BullMQ, after its documentation ("Stalled jobs", "Retrying failing jobs", "Prioritized") and its commands
/// `checkStalledJobs`, `extendLock`, `moveToFinished` and `retryJob`.
///
/// * A worker that takes a job locks it for `lockDuration` and renews the lock at half of that. Renewing takes the job off the
///   list of those that might have stalled.
/// * Every `stalledInterval`, as long as there are workers, a check puts all active jobs on that list; those that were on it
///   and have no lock have stalled. They go to the front of the line whatever their priority, or fail for good once they have
///   stalled more than `maxStalledCount` times. So a job of a worker that died waits for one to two intervals.
/// * `max_receives` is `attempts`: a job that failed so often is in the failed set, which is what dead letters are here. To
///   stall is no attempt.
/// * A job that failed waits behind all others of its priority, at once or after its backoff. Jobs without a priority (0) come
///   before those with one.
/// * A job is finished only by the worker whose lock it has.
///
/// A job number that is active here is `in_flight`, one that waits for its backoff `delayed`. There are no requests to bill.
#[derive(Clone, Debug)]
pub struct BullMq {
    rules: Rules,
    own: plan::BullMq,
    entries: Entries<Job>,
    waiting: Priorities,
    active: usize,
    delayed: usize,
    /// Until when jobs wait for their backoff.
    backoffs: Timers,
    /// When jobs that wait in line expire.
    expiries: Timers,
    consumers: Vec<Consumer>,
    workers: usize,
    /// Who waits for a job, the longest first.
    blocked: VecDeque<u32>,
    /// Active jobs whose lock nobody renews any more.
    orphans: Vec<Orphan>,
    /// When a check for stalled jobs is, past or to come; others are every interval after it while there are workers. The one
    /// an interval before is past and was made.
    checks: Time,
    counts: Counts,
}

/// What is to know of a job.
#[derive(Clone, Copy, Debug)]
struct Job {
    /// Its attempts that failed.
    attempts: u16,
    stalls: u16,
    priority: u8,
    /// The priority of the line that it waits in: the most urgent after it has stalled.
    line: u8,
}

#[derive(Clone, Debug, Default)]
struct Consumer {
    here: bool,
    blocked: bool,
    hand: Option<(Receipt, Time)>,
}

#[derive(Clone, Copy, Debug)]
struct Orphan {
    receipt: Receipt,
    /// Until when it is still locked.
    locked: Time,
    /// It is on the list of those that might have stalled.
    marked: bool,
}

impl BullMq {
    /// An empty queue.
    pub fn new(plan: &plan::Queue, own: plan::BullMq) -> BullMq {
        BullMq {
            rules: Rules::new(plan),
            own,
            entries: Entries::new(),
            waiting: Priorities::default(),
            active: 0,
            delayed: 0,
            backoffs: Timers::default(),
            expiries: Timers::default(),
            consumers: Vec::new(),
            workers: 0,
            blocked: VecDeque::new(),
            orphans: Vec::new(),
            checks: Time::ZERO,
            counts: Counts::default(),
        }
    }

    /// A job is added.
    pub fn send(&mut self, message: Message, now: Time, happened: &mut Vec<Happened>) -> Result<(), Full> {
        if self.rules.is_full(self.entries.len()) {
            self.make_room(happened)?;
        }
        self.counts.sent += 1;
        let job = Job { attempts: 0, stalls: 0, priority: message.priority, line: message.priority };
        let place = self.entries.insert(message, State::Gone, job);
        self.wait(place, self.rules.delay, now, happened);
        self.serve(now, happened);
        Ok(())
    }

    fn make_room(&mut self, happened: &mut Vec<Happened>) -> Result<(), Full> {
        let first = self.waiting.first().map(|(_, place)| place);
        let place = self.rules.make_room(self.entries.unreceived().or(first), &mut self.counts)?;
        self.lose(place, Loss::Dropped, happened);
        Ok(())
    }

    /// A worker (or one more of its slots) is there. The first one begins with a check, unless there was one just now.
    pub fn join(&mut self, consumer: u32, now: Time, _happened: &mut Vec<Happened>) {
        let index = consumer as usize;
        if self.consumers.len() <= index {
            self.consumers.resize_with(index + 1, Consumer::default);
        }
        if !self.consumers[index].here {
            self.consumers[index] = Consumer { here: true, ..Consumer::default() };
            self.workers += 1;
            if self.workers == 1 && self.checks <= now {
                self.checks = now;
            }
        }
    }

    /// A worker takes a job or waits for one.
    pub fn receive(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.join(consumer, now, happened);
        let asking = &mut self.consumers[consumer as usize];
        if !asking.blocked {
            asking.blocked = true;
            self.blocked.push_back(consumer);
        }
        self.serve(now, happened);
    }

    /// A worker does not take any more.
    pub fn stop_receiving(&mut self, consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {
        if let Some(stops) = self.consumers.get_mut(consumer as usize)
            && std::mem::take(&mut stops.blocked)
        {
            self.blocked.retain(|&other| other != consumer);
        }
    }

    /// `moveToFinished` as completed. False without the lock.
    pub fn acknowledge(&mut self, receipt: Receipt, _now: Time, happened: &mut Vec<Happened>) -> bool {
        if !self.is_locked(receipt) {
            self.counts.stale += 1;
            return false;
        }
        let entry = self.remove(receipt.place);
        self.counts.consumed += 1;
        happened.push(Happened::Consumed { job: entry.job });
        self.tidy();
        true
    }

    /// The attempt failed: the job is tried again after the backoff, or failed too often. Without a backoff the worker says
    /// nothing and does not renew the lock any more.
    pub fn fail(&mut self, receipt: Receipt, delay: Option<Span>, now: Time, happened: &mut Vec<Happened>) {
        let Some(delay) = delay else {
            self.abandon(receipt, now);
            return;
        };
        if !self.is_locked(receipt) {
            self.counts.stale += 1;
            return;
        }
        let job = &mut self.entries.at_mut(receipt.place).extra;
        job.attempts = job.attempts.saturating_add(1);
        if self.rules.is_spent(u32::from(job.attempts)) {
            self.bury(receipt.place, happened);
        } else {
            self.active -= 1;
            self.wait(receipt.place, delay, now, happened);
            self.serve(now, happened);
        }
    }

    /// An `UnrecoverableError`: the job is failed, however many attempts are left.
    pub fn reject(&mut self, receipt: Receipt, _now: Time, happened: &mut Vec<Happened>) {
        if self.is_locked(receipt) {
            self.bury(receipt.place, happened);
        } else {
            self.counts.stale += 1;
        }
    }

    /// A worker closes, after its job.
    pub fn leave(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.crash(consumer, now, happened);
    }

    /// A worker is gone. Its job keeps its lock until that runs out.
    pub fn crash(&mut self, consumer: u32, now: Time, happened: &mut Vec<Happened>) {
        self.stop_receiving(consumer, now, happened);
        let Some(gone) = self.consumers.get_mut(consumer as usize).map(std::mem::take) else { return };
        if !gone.here {
            return;
        }
        if let Some((receipt, taken)) = gone.hand {
            self.orphan(receipt, taken, now);
        }
        // Nobody checks after the last of them is gone, and none who comes checks before it is time.
        self.checks = self.next_check(now);
        self.workers -= 1;
    }

    /// When a delay ends, a job expires, or a check finds jobs whose lock nobody renews.
    #[inline]
    pub fn due(&self) -> Time {
        let check = if self.orphans.is_empty() || self.workers == 0 { Time::NEVER } else { self.checks };
        self.backoffs.next().min(self.expiries.next()).min(check)
    }

    /// What happens by itself until `now`.
    pub fn advance(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some(timer) = self.backoffs.pop(now) {
            if self.entries.is(&timer, State::Delayed) {
                self.delayed -= 1;
                self.wait(timer.place, Span::ZERO, now, happened);
            }
        }
        while let Some(timer) = self.expiries.pop(now) {
            if self.entries.is(&timer, State::Waiting) {
                self.lose(timer.place, Loss::Expired, happened);
            }
        }
        if self.workers > 0 && !self.orphans.is_empty() && self.checks <= now {
            self.check(now, happened);
        }
        self.serve(now, happened);
        self.tidy();
    }

    /// How it stands.
    pub fn depth(&self, _now: Time) -> Depth {
        Depth {
            visible: self.waiting.len() as u64,
            in_flight: self.active as u64,
            delayed: self.delayed as u64,
            oldest: self.entries.oldest_sent(),
        }
    }

    /// What it has counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How it stands, counted message by message.
    #[cfg(test)]
    pub(super) fn recount(&self) -> Depth {
        self.entries.recount()
    }
}

// What goes on inside.
impl BullMq {
    /// True while the worker that took a job has it.
    fn is_locked(&self, receipt: Receipt) -> bool {
        self.entries.of(receipt).is_some_and(|entry| entry.state == State::InFlight)
    }

    /// A job that is in no line waits behind all others of its priority, after a while.
    fn wait(&mut self, place: u32, delay: Span, now: Time, happened: &mut Vec<Happened>) {
        let entry = self.entries.at_mut(place);
        let stamp = entry.stamp();
        if !delay.is_zero() {
            entry.state = State::Delayed;
            self.delayed += 1;
            self.backoffs.push(Timer { at: now + delay, place, stamp });
            return;
        }
        entry.state = State::Waiting;
        entry.extra.line = entry.extra.priority;
        let (priority, expires) = (entry.extra.priority, self.rules.expires(entry.sent));
        self.waiting.push_back(&mut self.entries, priority, place);
        self.keep_until(place, expires, now, happened);
    }

    fn keep_until(&mut self, place: u32, expires: Time, now: Time, happened: &mut Vec<Happened>) {
        if expires <= now {
            self.lose(place, Loss::Expired, happened);
        } else {
            let stamp = self.entries.at(place).stamp();
            self.expiries.push(Timer { at: expires, place, stamp });
        }
    }

    /// Gives jobs to workers that wait for one.
    fn serve(&mut self, now: Time, happened: &mut Vec<Happened>) {
        while let Some((line, place)) = self.waiting.first()
            && let Some(consumer) = self.blocked.pop_front()
        {
            self.waiting.remove(&mut self.entries, line, place);
            let receipt = self.entries.receive(place);
            let entry = self.entries.at_mut(place);
            entry.state = State::InFlight;
            entry.line.after = consumer;
            let (job, receives) = (entry.job, entry.receives());
            self.active += 1;
            self.counts.received += 1;
            self.counts.received_again += u64::from(receives > 1);
            let taker = &mut self.consumers[consumer as usize];
            taker.blocked = false;
            taker.hand = Some((receipt, now));
            happened.push(Happened::Delivered { consumer, job, receipt, receives });
        }
        self.tidy();
    }

    /// The worker of a job goes on, and does not renew its lock any more.
    fn abandon(&mut self, receipt: Receipt, now: Time) {
        if !self.is_locked(receipt) {
            return;
        }
        let consumer = self.entries.at(receipt.place).line.after;
        if let Some(worker) = self.consumers.get_mut(consumer as usize)
            && let Some((held, taken)) = worker.hand
            && held == receipt
        {
            worker.hand = None;
            self.orphan(receipt, taken, now);
        }
    }

    /// Nobody renews the lock of a job from now on.
    fn orphan(&mut self, receipt: Receipt, taken: Time, now: Time) {
        if !self.is_locked(receipt) {
            return;
        }
        let half = (self.own.lock_duration.as_nanos() / 2).max(1);
        let renewed = taken + Span::from_nanos(now.since(taken).as_nanos() / half * half);
        self.checks = self.next_check(now);
        let marked = self.checks - self.interval() > renewed;
        self.orphans.push(Orphan { receipt, locked: renewed + self.own.lock_duration, marked });
    }

    fn interval(&self) -> Span {
        self.own.stalled_interval.max(Span::from_nanos(1))
    }

    /// The first check after `now`, if there are workers then.
    fn next_check(&self, now: Time) -> Time {
        if self.checks > now {
            return self.checks;
        }
        let made = now.since(self.checks).as_nanos() / self.interval().as_nanos();
        self.checks + self.interval().saturating_mul(made.saturating_add(1))
    }

    /// Looks for stalled jobs, and marks those that might have stalled by the next time.
    fn check(&mut self, now: Time, happened: &mut Vec<Happened>) {
        self.checks = self.next_check(now);
        let mut orphans = std::mem::take(&mut self.orphans);
        orphans.retain_mut(|orphan| {
            if !self.is_locked(orphan.receipt) {
                return false;
            }
            let stalled = orphan.marked && orphan.locked <= now;
            orphan.marked = true;
            if stalled {
                self.stall(orphan.receipt.place, now, happened);
            }
            !stalled
        });
        self.orphans = orphans;
    }

    fn stall(&mut self, place: u32, now: Time, happened: &mut Vec<Happened>) {
        let job = &mut self.entries.at_mut(place).extra;
        job.stalls = job.stalls.saturating_add(1);
        if u32::from(job.stalls) > self.own.max_stalled_count {
            self.bury(place, happened);
            return;
        }
        job.line = 0;
        self.active -= 1;
        let entry = self.entries.at_mut(place);
        entry.state = State::Waiting;
        let expires = self.rules.expires(entry.sent);
        self.waiting.push_front(&mut self.entries, 0, place);
        self.keep_until(place, expires, now, happened);
    }

    /// Takes a job out, wherever it is.
    fn remove(&mut self, place: u32) -> Entry<Job> {
        let entry = self.entries.at(place);
        let line = entry.extra.line;
        match entry.state {
            State::Waiting => self.waiting.remove(&mut self.entries, line, place),
            State::Delayed => self.delayed -= 1,
            State::InFlight => self.active -= 1,
            State::Gone => {}
        }
        self.entries.remove(place)
    }

    fn lose(&mut self, place: u32, how: Loss, happened: &mut Vec<Happened>) {
        let entry = self.remove(place);
        self.counts.lost += 1;
        happened.push(Happened::Lost { job: entry.job, how });
    }

    fn bury(&mut self, place: u32, happened: &mut Vec<Happened>) {
        let entry = self.remove(place);
        self.counts.dead_lettered += 1;
        happened.push(Happened::DeadLettered { job: entry.job, sent: entry.sent });
    }

    fn tidy(&mut self) {
        let entries = &self.entries;
        self.backoffs.tidy(self.delayed, |timer| entries.is(timer, State::Delayed));
        self.expiries.tidy(self.waiting.len(), |timer| entries.is(timer, State::Waiting));
    }
}
