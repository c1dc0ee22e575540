//! Run queues and time slices, as Linux has them: a queue for each vCPU, slices that end at ticks, switches and
//! migrations that cost time, idle vCPUs that take time to wake up and that pull work over.
//!
//! What is followed: picking and wake-up preemption of EEVDF (6.6 and later) and CFS; a thread that runs is protected for
//! its slice; a woken thread goes to the vCPU it ran on last if that is idle, else to an idle one; an idle vCPU takes a
//! waiting thread from the longest queue at the next tick; every 110 to 180 ms one thread moves from the longest queue to the shortest, if
//! only to take its turn at being one too many. What is not: groups, NUMA, deadlines of real time, the cache-hot guard of
//! idle balancing, pulling before a vCPU idles (see [`Slices::pull`]), how deep a vCPU idles (waking it up takes
//! the same however long it has).

mod counts;
mod death;
mod placement;
mod queue;
mod rhythm;
mod speed;
mod vcpu;

use sim_core::{Span, Time};

use super::processor::{Kernel, Policy, Processor};
use super::supply::Supply;
use super::{Burst, Progress};
use counts::sum;
use queue::{RunQueue, Virtual};
use rhythm::{at_tick, next_balance};
use vcpu::{Core, Costs, Task};

pub use counts::{Counts, Tally};

/// The vCPUs of one machine, their queues, and who runs.
#[derive(Clone, Debug)]
pub struct Slices {
    kernel: Kernel,
    costs: Costs,
    /// Nanoseconds that a thread asks for.
    slice: f64,
    cores: Vec<Core>,
    tasks: Vec<Task>,
    free: Vec<u32>,
    /// The vCPU that each thread ran on last.
    homes: Vec<u16>,
    processor: Processor,
    /// Speeds do not depend on who else is busy.
    steady: bool,
    supply: Option<Box<Supply>>,
    balance_at: Time,
    /// When idle vCPUs look for threads that wait.
    pull_at: Time,
    /// Endless threads so far; they are numbered from the other end.
    endless: u32,
    updated: Time,
    core_nanos: f64,
    /// Nanoseconds of these in which vCPUs were on their way out of idling, as far as they are booked.
    idled: f64,
    /// What was counted of endless threads, and then of each process.
    parties: Vec<Counts>,
}

/// Endless threads, as a party.
const BACKGROUND: u32 = 0;
const NOBODY: u32 = u32::MAX;
const NOWHERE: u16 = u16::MAX;

impl Slices {
    /// An idle machine.
    pub fn new(processor: &Processor) -> Self {
        let kernel = *processor.kernel();
        let core = Core {
            queue: RunQueue::new(kernel.policy),
            current: None,
            last_thread: NOBODY,
            party: BACKGROUND,
            counts: Counts::default(),
            ended: None,
            booked: Time::ZERO,
            ran: 0.0,
            cost: 0.0,
            waking: 0.0,
            pace: 1.0,
            speed: processor.speed(1),
            next: Time::NEVER,
        };
        let steady = processor.threads_per_core == 1 && processor.turbo.len() <= 1;
        let supply = Supply::new(processor);
        Slices {
            kernel,
            costs: Costs::of(&kernel),
            slice: kernel.base_slice(processor.vcpus).as_nanos() as f64,
            cores: vec![core; processor.vcpus as usize],
            tasks: Vec::new(),
            free: Vec::new(),
            homes: Vec::new(),
            steady: steady && supply.is_none(),
            supply,
            processor: processor.clone(),
            balance_at: Time::NEVER,
            pull_at: Time::NEVER,
            endless: 0,
            updated: Time::ZERO,
            core_nanos: 0.0,
            idled: 0.0,
            parties: vec![Counts::default()],
        }
    }

    /// Bursts that are not done, endless ones left out.
    pub fn runnable(&self) -> usize {
        let running = self.cores.iter().filter_map(|core| core.current);
        let waiting: usize = self.cores.iter().map(|core| core.queue.len()).sum();
        let endless = self.tasks.iter().filter(|task| task.left.is_infinite()).count();
        running.count() + waiting - endless
    }

    /// vCPU nanoseconds used until `now`. A vCPU that a thread was woken on idles until the thread begins.
    pub fn core_nanos(&self, now: Time) -> f64 {
        let running = self.cores.iter().filter(|core| core.current.is_some());
        let idling = |core: &Core| core.waking.min(now.since(core.booked).as_nanos() as f64 * core.pace);
        let idled = self.idled + running.map(idling).sum::<f64>();
        self.core_nanos + now.since(self.updated).as_nanos() as f64 * self.in_use() - idled
    }

    /// Quota and credits as they stood at the last change.
    pub fn supply(&self) -> Option<&Supply> {
        self.supply.as_deref()
    }

    /// What was counted until the last change.
    pub fn counts(&self) -> Counts {
        sum(self.cores.iter().map(|core| &core.counts))
    }

    /// The same by vCPU and by process.
    pub fn tally(&self) -> Tally {
        let (background, processes) = (self.parties[0], self.parties[1..].to_vec());
        Tally { vcpus: self.cores.iter().map(|core| core.counts).collect(), processes, background }
    }

    /// Starts a burst of work. Returns when the machine has to be looked at next.
    pub fn start(&mut self, now: Time, burst: Burst) -> Option<Time> {
        self.advance(now);
        let demand = burst.demand.as_nanos() as f64;
        self.wake(now, burst, u32::from(burst.process) + 1, demand);
        self.next(now)
    }

    /// `threads` of a weight are runnable from `now` on and never finish.
    pub fn add_endless(&mut self, now: Time, weight: f64, pinned: Option<u16>, threads: u32) -> Option<Time> {
        self.advance(now);
        for _ in 0..threads {
            self.endless += 1;
            let thread = NOBODY - self.endless;
            let burst = Burst { weight, pinned, task: NOBODY, ..Burst::new(thread, Span::MAX) };
            self.wake(now, burst, BACKGROUND, f64::INFINITY);
        }
        self.next(now)
    }

    /// Ends the burst that is due, if one is, lets slices end, and says when to look next.
    pub fn progress(&mut self, now: Time) -> Progress {
        self.advance(now);
        self.retime(now);
        let mut finished = None;
        while let Some(at) = self.cores.iter().position(|core| core.next <= now) {
            self.book(at, now);
            if self.cores[at].ended.take().is_some() {
                let core = &mut self.cores[at];
                core.counts.voluntary += 1;
                self.parties[core.party as usize].voluntary += 1;
                self.put_next(at, now);
            } else if let Some(task) = self.done(at) {
                // One at a time, and nothing else at once: its thread may go on with another burst.
                finished = Some(self.end(at, task, now));
                break;
            } else {
                self.slice_over(at, now);
            }
        }
        if finished.is_none() && now >= self.pull_at {
            self.pull(now);
        }
        if finished.is_none() && now >= self.balance_at {
            self.balance(now);
        }
        Progress { finished, next: self.next(now) }
    }

    /// The machine runs from `now` on.
    pub fn begin(&mut self, now: Time) {
        self.updated = now;
    }

    /// All threads stand still for so long. Returns when to look next.
    pub fn stop(&mut self, now: Time, pause: Span) -> Option<Time> {
        self.advance(now);
        self.supply.get_or_insert_with(Supply::unlimited).stop(now + pause);
        self.steady = false;
        self.next(now)
    }

    /// Ends all bursts at once, as a crash does.
    pub fn clear(&mut self, now: Time) {
        self.advance(now);
        for at in 0..self.cores.len() {
            self.book(at, now);
        }
        for core in &mut self.cores {
            core.queue.clear();
            (core.current, core.ended, core.next, core.last_thread) = (None, None, Time::NEVER, NOBODY);
        }
        self.tasks.clear();
        self.free.clear();
        (self.balance_at, self.pull_at) = (Time::NEVER, Time::NEVER);
    }

    fn in_use(&self) -> f64 {
        self.cores.iter().filter(|core| core.current.is_some()).map(|core| core.pace).sum()
    }

    pub(super) fn advance(&mut self, now: Time) {
        let in_use = self.in_use();
        self.core_nanos += now.since(self.updated).as_nanos() as f64 * in_use;
        if let Some(supply) = &mut self.supply {
            supply.spend(self.updated, now, in_use);
        }
        self.updated = now;
    }

    /// When a burst is done, a slice over, the supply changed, or the queues are evened out.
    fn next(&mut self, now: Time) -> Option<Time> {
        self.retime(now);
        let mut next = self.cores.iter().map(|core| core.next).min().unwrap_or(Time::NEVER);
        let waiting = self.cores.iter().any(|core| !core.queue.is_empty());
        if waiting && self.cores.len() > 1 {
            if self.balance_at == Time::NEVER {
                self.balance_at = next_balance(now);
            }
            if !self.cores.iter().any(Core::is_idle) {
                self.pull_at = Time::NEVER;
            } else if self.pull_at == Time::NEVER {
                self.pull_at = at_tick(now + Span::from_nanos(1), self.kernel.tick, now);
            }
            next = next.min(self.balance_at).min(self.pull_at);
        } else {
            (self.balance_at, self.pull_at) = (Time::NEVER, Time::NEVER);
        }
        if let Some(supply) = &self.supply
            && self.cores.iter().any(|core| core.current.is_some())
        {
            next = next.min(supply.next_change(now, self.in_use()));
        }
        (next < Time::NEVER).then_some(next)
    }

    /// A thread becomes runnable.
    fn wake(&mut self, now: Time, burst: Burst, party: u32, demand: f64) {
        if self.parties.len() <= party as usize {
            self.parties.resize(party as usize + 1, Counts::default());
        }
        let task = Task { burst, party, left: demand, place: Virtual::default(), since: now };
        let task = match self.free.pop() {
            Some(slot) => {
                self.tasks[slot as usize] = task;
                slot
            }
            None => {
                self.tasks.push(task);
                self.tasks.len() as u32 - 1
            }
        };
        let at = self.choose(&burst);
        self.book(at, now);
        let core = &mut self.cores[at];
        let goes_on = core.ended.filter(|_| core.last_thread == burst.thread);
        if let Some(place) = goes_on {
            // The same thread at the same instant: it never stopped.
            core.ended = None;
            core.current = Some(task);
            self.tasks[task as usize].place = Virtual { weight: burst.weight, ..place };
            self.schedule(at, now);
            return;
        }
        let place = self.place_anew(at, task);
        let core = &self.cores[at];
        if core.current.is_none() && core.ended.is_none() && core.queue.is_empty() {
            self.put_on(at, task, now, self.costs.wakeup);
        } else {
            self.enqueue(at, task);
            if self.goes_first(at, &place) {
                self.slice_over(at, now);
            }
            self.schedule(at, now);
        }
    }

    /// A woken thread goes before the running one, once that has had its slice (the protection of RUN_TO_PARITY).
    fn goes_first(&mut self, at: usize, woken: &Virtual) -> bool {
        let Some(current) = self.cores[at].current else { return false };
        let running = &mut self.tasks[current as usize].place;
        match self.kernel.policy {
            Policy::Eevdf => {
                if running.runtime >= running.deadline {
                    running.deadline = running.runtime + self.slice / running.weight;
                }
                self.cores[at].ran >= self.slice && woken.deadline < running.deadline
            }
            // The wakeup granularity is a third more than the slice: 1 ms × the factor of 0.75 ms.
            Policy::Cfs => running.runtime - woken.runtime > self.slice / 0.75 / woken.weight,
        }
    }

    /// CFS: the time in which everybody has run once.
    fn latency(&self) -> f64 {
        self.slice * 8.0
    }

    fn enqueue(&mut self, at: usize, task: u32) {
        let Task { place, burst, .. } = self.tasks[task as usize];
        self.cores[at].queue.push(task, place, burst.pinned.is_some());
    }

    /// Puts a thread on a vCPU, which takes so long to come out of idling.
    fn put_on(&mut self, at: usize, task: u32, now: Time, waking: f64) {
        let Task { burst: Burst { thread, .. }, party, since, .. } = self.tasks[task as usize];
        let waited = now.since(since).as_nanos() as f64 + waking;
        let moved = self.settle_home(thread, at);
        let core = &mut self.cores[at];
        let mut cost = waking;
        let party_counts = &mut self.parties[party as usize];
        core.counts.waited += waited;
        party_counts.waited += waited;
        if core.last_thread != thread {
            cost += self.costs.refill;
            if core.last_thread != NOBODY {
                cost += self.costs.switch;
            }
        } else if moved {
            cost += self.costs.refill; // what it works on is in the caches of the vCPU it comes from
        }
        if moved {
            cost += self.costs.migration;
            core.counts.migrations += 1;
            party_counts.migrations += 1;
        }
        (core.current, core.last_thread, core.party) = (Some(task), thread, party);
        (core.booked, core.ran, core.cost, core.waking) = (now, 0.0, cost, waking);
        self.schedule(at, now);
    }

    /// Notes where a thread runs; true where it ran elsewhere before.
    fn settle_home(&mut self, thread: u32, at: usize) -> bool {
        if thread >= NOBODY / 2 {
            return false; // endless threads have no number of their own
        }
        if self.homes.len() <= thread as usize {
            self.homes.resize(thread as usize + 1, NOWHERE);
        }
        let before = std::mem::replace(&mut self.homes[thread as usize], at as u16);
        before != NOWHERE && before != at as u16
    }

    /// Books the progress of a vCPU's burst.
    fn book(&mut self, at: usize, now: Time) {
        let core = &mut self.cores[at];
        let elapsed = now.since(core.booked).as_nanos() as f64;
        core.booked = now;
        let Some(task) = core.current else { return };
        let ran = elapsed * core.pace;
        let paid = core.cost.min(ran);
        let work = (ran - paid) * core.speed;
        core.cost -= paid;
        let mut switching = paid;
        if core.waking > 0.0 {
            let idle = core.waking.min(paid);
            core.waking -= idle;
            self.idled += idle;
            switching -= idle;
        }
        core.ran += ran - paid;
        let task = &mut self.tasks[task as usize];
        let work = work.min(task.left);
        task.left -= work;
        task.place.runtime += (ran - paid) / task.place.weight;
        for counts in [&mut core.counts, &mut self.parties[task.party as usize]] {
            counts.switching += switching;
            counts.work += work;
        }
        core.queue.raise_floor(task.place.runtime.min(core.queue.first_key()));
    }

    /// The task of a vCPU, if its work is done.
    fn done(&self, at: usize) -> Option<u32> {
        let core = &self.cores[at];
        // Events stand at whole nanoseconds.
        core.current.filter(|&task| core.cost < 1.0 && self.tasks[task as usize].left <= core.speed)
    }

    /// A burst is done. Its vCPU stays open until the end of the instant: the thread may go on with another.
    fn end(&mut self, at: usize, task: u32, now: Time) -> u32 {
        let Task { burst, party, place, left, .. } = self.tasks[task as usize];
        let core = &mut self.cores[at];
        for counts in [&mut core.counts, &mut self.parties[party as usize]] {
            counts.work += left;
        }
        (core.current, core.ended, core.next) = (None, Some(place), now);
        self.free.push(task);
        burst.task
    }

    /// The next thread of a vCPU's queue. Without one it idles until the next tick; with no ticks it pulls work over at once.
    fn put_next(&mut self, at: usize, now: Time) {
        self.cores[at].current = None;
        self.cores[at].next = Time::NEVER;
        if let Some((task, _)) = self.cores[at].queue.pop(None) {
            self.put_on(at, task, now, 0.0);
        } else if self.kernel.tick.is_zero() {
            self.pull_to(at, now);
        }
    }

    /// A thread that wakes up or comes from another queue begins where this one's virtual time stands.
    fn place_anew(&mut self, at: usize, task: u32) -> Virtual {
        let core = &self.cores[at];
        let running = core.current.map(|current| self.tasks[current as usize].place);
        let weight = self.tasks[task as usize].burst.weight;
        let place = core.queue.place(weight, self.slice, self.latency(), running.as_ref());
        self.tasks[task as usize].place = place;
        place
    }

    /// The running thread has had its slice: whoever is first now, itself included, goes on.
    fn slice_over(&mut self, at: usize, now: Time) {
        let Some(current) = self.cores[at].current else { return self.put_next(at, now) };
        let task = &mut self.tasks[current as usize];
        if task.place.runtime >= task.place.deadline {
            task.place.deadline = task.place.runtime + self.slice / task.place.weight;
        }
        task.since = now;
        self.cores[at].current = None;
        self.enqueue(at, current);
        if let Some((next, _)) = self.cores[at].queue.pop(None) {
            if next == current {
                self.cores[at].current = Some(current);
                self.cores[at].ran = 0.0;
                self.schedule(at, now);
            } else {
                self.cores[at].counts.involuntary += 1;
                self.parties[self.tasks[current as usize].party as usize].involuntary += 1;
                self.put_on(at, next, now, 0.0);
            }
        }
    }

    /// Sets when a vCPU, whose progress is booked, has to be looked at: its burst done, or its slice over where somebody
    /// waits.
    fn schedule(&mut self, at: usize, now: Time) {
        let core = &mut self.cores[at];
        if core.ended.is_some() {
            core.next = now;
            return;
        }
        let Some(task) = core.current else {
            core.next = Time::NEVER;
            return;
        };
        let task = &self.tasks[task as usize];
        let ns = |nanos: f64| if nanos.is_finite() { now + Span::from_nanos_f64(nanos) } else { Time::NEVER };
        let mut next = ns((core.cost + task.left / core.speed) / core.pace);
        if !core.queue.is_empty() && core.pace > 0.0 {
            let left = match self.kernel.policy {
                Policy::Eevdf => (task.place.deadline - task.place.runtime) * task.place.weight,
                Policy::Cfs => {
                    let threads = core.queue.len() as f64 + 1.0;
                    (self.slice * 8.0 / threads).max(self.slice) - core.ran
                }
            };
            // A slice begins when switching is over: who switches for longer than a tick gets somewhere all the same.
            next = next.min(at_tick(ns((core.cost + left.max(0.0)) / core.pace), self.kernel.tick, now));
        }
        core.next = next;
    }
}
