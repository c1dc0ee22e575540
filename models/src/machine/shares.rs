//! The fluid limit of time slices: everybody who is runnable runs, at a share of the vCPUs.
//!
//! Weighted processor sharing in virtual time. With `n` runnable threads of one weight on `c` vCPUs each runs at rate
//! `min(1, c/n)`; virtual time advances at that rate, so a thread that needs `d` finishes at virtual time `now + d` however
//! the rate changes, and only the earliest needs an event: O(log n) for a start and for a completion. Up to `c` threads
//! this is a vCPU for each; beyond, it is the limit of slices going to zero (Kleinrock 1967), whose number of threads is
//! that of M/M/c for any distribution of demands (Cohen 1979). Threads of another weight are a class with a virtual time of
//! its own; what a class cannot use, because a thread runs on one vCPU at a time, goes to the others.
//!
//! What a machine of vCPUs, frequencies and switches loses is in the rate: [`Processor::speed`] for so many busy vCPUs,
//! and the share of switching where threads outnumber them.

use sim_core::{MinHeap, Span, Time};

use super::supply::Supply;
use super::{Burst, Processor, Progress};

/// The runnable threads of one machine.
#[derive(Clone, Debug)]
pub struct Shares {
    /// The speed of each busy vCPU, by how many are busy.
    speeds: Vec<f64>,
    /// The speed of all of them while threads take turns.
    crowded: f64,
    /// Threads of the usual weight: nearly always all there are.
    usual: Class,
    /// Threads of other weights.
    others: Vec<Class>,
    supply: Option<Box<Supply>>,
    starts: u64,
    updated: Time,
    /// vCPUs in use.
    in_use: f64,
    core_nanos: f64,
}

/// The threads of one weight.
#[derive(Clone, Debug)]
struct Class {
    weight: f64,
    /// Threads by the virtual time they finish at; the order of starting breaks ties.
    runnable: MinHeap<u128, u32>,
    /// Threads that are always runnable and never finish.
    endless: u32,
    /// Virtual nanoseconds. Set back to zero when the class is idle, so that its precision never runs out.
    virtual_now: f64,
    /// Virtual nanoseconds a nanosecond.
    rate: f64,
}

impl Shares {
    /// An idle machine.
    pub fn new(processor: &Processor) -> Self {
        let efficiency = 1.0 - processor.kernel().overhead(processor.vcpus);
        Shares {
            speeds: (0..=processor.vcpus)
                .map(|busy| processor.speed(busy) / f64::from(busy.max(1)))
                .collect(),
            crowded: processor.speed(processor.vcpus) * efficiency,
            usual: Class::new(1.0),
            others: Vec::new(),
            supply: Supply::new(processor),
            starts: 0,
            updated: Time::ZERO,
            in_use: 0.0,
            core_nanos: 0.0,
        }
    }

    /// Runnable threads that finish at some time.
    pub fn runnable(&self) -> usize {
        self.classes().map(|class| class.runnable.len()).sum()
    }

    /// vCPU nanoseconds used until `now`.
    pub fn core_nanos(&self, now: Time) -> f64 {
        self.core_nanos + now.since(self.updated).as_nanos() as f64 * self.in_use
    }

    /// What the stopwatches say, as they stood at the last change.
    pub fn supply(&self) -> Option<&Supply> {
        self.supply.as_deref()
    }

    /// `threads` of a weight are runnable from `now` on and never finish. Returns when to look next.
    pub fn add_endless(&mut self, now: Time, weight: f64, threads: u32) -> Option<Time> {
        self.advance(now);
        self.class(weight).endless += threads;
        self.share(now);
        self.next(now)
    }

    /// Starts a burst of work. Returns when the machine has to be looked at next, where that has changed.
    #[inline]
    pub fn start(&mut self, now: Time, burst: Burst) -> Option<Time> {
        self.advance(now);
        let start = self.starts;
        self.starts += 1;
        let class = self.class(burst.weight);
        let finish = class.virtual_now + burst.demand.as_nanos() as f64;
        // Finish times are not negative, so their bits are in the same order as they are.
        let key = (u128::from(finish.to_bits()) << 64) | u128::from(start);
        let first = class.runnable.peek().is_none_or(|(earliest, _)| key < earliest);
        class.runnable.push(key, burst.task);
        let rate = self.usual.rate;
        self.share(now);
        if self.plain() && !first && rate == self.usual.rate { None } else { self.next(now) }
    }

    /// Ends the burst that is due, if one is, and says when to look next.
    #[inline]
    pub fn progress(&mut self, now: Time) -> Progress {
        self.advance(now);
        let finished = if self.plain() { self.usual.finish() } else { self.finish_due() };
        self.share(now);
        Progress { finished, next: self.next(now) }
    }

    /// The machine runs from `now` on.
    pub fn begin(&mut self, now: Time) {
        self.updated = now;
    }

    /// All threads stand still for so long. Returns when to ask next.
    pub fn stop(&mut self, now: Time, pause: Span) -> Option<Time> {
        self.advance(now);
        self.supply.get_or_insert_with(Supply::unlimited).stop(now + pause);
        self.share(now);
        self.next(now)
    }

    /// Ends all bursts at once, as a crash does.
    pub fn clear(&mut self, now: Time) {
        self.advance(now);
        self.usual = Class::new(1.0);
        self.others.clear();
        self.share(now);
    }

    /// Ends the bursts of these tasks, which stand in order. Returns when to ask next.
    pub fn end(&mut self, now: Time, tasks: &[u32]) -> Option<Time> {
        self.advance(now);
        for class in self.classes_mut() {
            class.runnable.retain(|_, task| tasks.binary_search(&task).is_err());
            if class.runnable.is_empty() {
                class.virtual_now = 0.0;
            }
        }
        self.share(now);
        self.next(now)
    }

    /// Threads of one weight, and nothing that runs out: the hot path.
    #[inline]
    fn plain(&self) -> bool {
        self.others.is_empty() && self.supply.is_none()
    }

    fn classes(&self) -> impl Iterator<Item = &Class> {
        std::iter::once(&self.usual).chain(&self.others)
    }

    fn classes_mut(&mut self) -> impl Iterator<Item = &mut Class> {
        std::iter::once(&mut self.usual).chain(&mut self.others)
    }

    /// The class of a weight.
    #[inline]
    fn class(&mut self, weight: f64) -> &mut Class {
        if weight == self.usual.weight {
            return &mut self.usual;
        }
        let at = self.others.iter().position(|class| class.weight == weight).unwrap_or_else(|| {
            self.others.push(Class::new(weight));
            self.others.len() - 1
        });
        &mut self.others[at]
    }

    #[cold]
    fn finish_due(&mut self) -> Option<u32> {
        let mut soonest: Option<(f64, &mut Class)> = None;
        for class in self.classes_mut() {
            let remaining = class.remaining();
            if soonest.as_ref().is_none_or(|(least, _)| remaining < *least) {
                soonest = Some((remaining, class));
            }
        }
        // The event stood at the nearest nanosecond. Where nothing is due it was about the supply.
        soonest.filter(|(remaining, _)| *remaining <= 1.0).and_then(|(_, class)| class.finish())
    }

    /// When the first burst is done or the supply changes.
    #[inline]
    fn next(&mut self, now: Time) -> Option<Time> {
        if self.plain() {
            let (key, _) = self.usual.runnable.peek()?;
            let remaining = (finish_time(key) - self.usual.virtual_now) / self.usual.rate;
            return Some(now + Span::from_nanos_f64(remaining));
        }
        self.next_of_all(now)
    }

    #[cold]
    fn next_of_all(&mut self, now: Time) -> Option<Time> {
        let remaining = self.classes_mut().map(Class::remaining).fold(f64::INFINITY, f64::min);
        let mut next =
            if remaining.is_finite() { now + Span::from_nanos_f64(remaining) } else { Time::NEVER };
        let busy = self.classes().any(|class| class.threads() > 0.0);
        if let Some(supply) = self.supply.as_ref().filter(|_| busy) {
            next = next.min(supply.next_change(now, self.in_use));
        }
        (next < Time::NEVER).then_some(next)
    }

    #[inline]
    pub(super) fn advance(&mut self, now: Time) {
        let elapsed = now.since(self.updated).as_nanos() as f64;
        if let Some(supply) = &mut self.supply {
            supply.spend(self.updated, now, self.in_use);
        }
        self.updated = now;
        self.core_nanos += elapsed * self.in_use;
        self.usual.advance(elapsed);
        self.others.iter_mut().for_each(|class| class.advance(elapsed));
    }

    /// Gives each class its rate.
    #[inline]
    fn share(&mut self, now: Time) {
        if !self.plain() {
            self.share_by_weight(now);
            return;
        }
        let (threads, vcpus) =
            (self.usual.runnable.len() + self.usual.endless as usize, self.speeds.len() - 1);
        if threads > vcpus {
            self.in_use = vcpus as f64;
            self.usual.rate = self.crowded / threads as f64;
        } else {
            self.in_use = threads as f64;
            self.usual.rate = self.speeds[threads];
        }
    }

    #[cold]
    fn share_by_weight(&mut self, now: Time) {
        let vcpus = self.speeds.len() - 1;
        let threads: f64 = self.classes().map(Class::threads).sum();
        let busy = (threads as usize).min(vcpus);
        let wanted = busy as f64;
        self.in_use = self.supply.as_ref().map_or(wanted, |supply| supply.allowed(now, wanted));
        let crowded = threads > wanted;
        // The speed of one vCPU that is in use all the time.
        let (each, level) = if crowded {
            (self.crowded / wanted, self.level(wanted))
        } else {
            (self.speeds[busy], f64::INFINITY)
        };
        let speed = if busy == 0 { 0.0 } else { each * (self.in_use / wanted) };
        for class in self.classes_mut() {
            class.rate = (class.weight * level).min(1.0) * speed;
        }
    }

    /// The share of a vCPU that a thread of weight 1 gets where nobody can use more than one: classes that would get more
    /// are given one, and the rest is shared among the others.
    fn level(&self, vcpus: f64) -> f64 {
        let mut open: Vec<&Class> = self.classes().filter(|class| class.threads() > 0.0).collect();
        let mut left = vcpus;
        loop {
            let weights: f64 = open.iter().map(|class| class.weight * class.threads()).sum();
            let level = left / weights;
            let Some(at) = open.iter().position(|class| class.weight * level >= 1.0) else { return level };
            left -= open.swap_remove(at).threads();
        }
    }
}

impl Class {
    fn new(weight: f64) -> Self {
        Class { weight, runnable: MinHeap::new(), endless: 0, virtual_now: 0.0, rate: 0.0 }
    }

    fn threads(&self) -> f64 {
        self.runnable.len() as f64 + f64::from(self.endless)
    }

    #[inline]
    fn advance(&mut self, elapsed: f64) {
        if !self.runnable.is_empty() {
            self.virtual_now += elapsed * self.rate;
        }
    }

    /// Nanoseconds until its first thread is done.
    fn remaining(&mut self) -> f64 {
        let Some((key, _)) = self.runnable.peek() else { return f64::INFINITY };
        let left = finish_time(key) - self.virtual_now;
        if left <= 0.5 { 0.0 } else { left / self.rate } // done is done, even where nothing runs any more
    }

    /// Ends its first thread.
    #[inline]
    fn finish(&mut self) -> Option<u32> {
        let (key, task) = self.runnable.pop()?;
        // The event stood at the nearest nanosecond: what rounding took or gave is put right here.
        self.virtual_now =
            if self.runnable.is_empty() { 0.0 } else { self.virtual_now.max(finish_time(key)) };
        Some(task)
    }
}

#[inline]
fn finish_time(key: u128) -> f64 {
    f64::from_bits((key >> 64) as u64)
}
