//! Which vCPU a thread goes to: when it wakes up, and where queues have become uneven.

use sim_core::Time;

use super::rhythm::next_balance;
use super::vcpu::Core;
use super::{NOWHERE, Slices};
use crate::machine::Burst;

impl Slices {
    /// The vCPU that a woken thread goes to.
    pub(super) fn choose(&self, burst: &Burst) -> usize {
        if let Some(pinned) = burst.pinned {
            return usize::from(pinned).min(self.cores.len() - 1);
        }
        let home =
            self.homes.get(burst.thread as usize).copied().filter(|&home| home != NOWHERE).map(usize::from);
        let free = |core: &Core| core.current.is_none() && core.ended.is_none() && core.queue.is_empty();
        let own = |at: usize| self.cores[at].ended.is_some() && self.cores[at].last_thread == burst.thread;
        if let Some(home) = home.filter(|&home| own(home) || free(&self.cores[home])) {
            return home;
        }
        // A whole idle core before the second thread of a busy one.
        let whole = (0..self.cores.len()).find(|&at| free(&self.cores[at]) && !self.sibling_busy(at));
        let idle = whole.or_else(|| self.cores.iter().position(free));
        idle.or(home).unwrap_or_else(|| self.shortest())
    }

    fn shortest(&self) -> usize {
        (0..self.cores.len()).min_by_key(|&at| self.load(at)).unwrap_or(0)
    }

    /// Threads that run on a vCPU or wait for it.
    fn load(&self, at: usize) -> usize {
        let core = &self.cores[at];
        core.queue.len() + usize::from(core.current.is_some() || core.ended.is_some())
    }

    /// At a tick, idle vCPUs take threads that wait for others.
    ///
    /// Linux also looks before a vCPU begins to idle (`newidle`), unless it is used to idling for less time than looking
    /// takes, or looking seldom helped. On a two-vCPU guest with Linux 6.18 and requests of 2 ms it pulled in 9 % of 1,334
    /// cases; the others idled until a tick, a fifth of the time that the server was busy.
    pub(super) fn pull(&mut self, now: Time) {
        self.pull_at = Time::NEVER;
        for at in 0..self.cores.len() {
            if self.cores[at].is_idle() {
                self.pull_to(at, now);
            }
        }
    }

    /// A thread from the longest queue that has one to give.
    pub(super) fn pull_to(&mut self, at: usize, now: Time) {
        let longest = (0..self.cores.len())
            .filter(|&other| other != at && self.cores[other].queue.can_be_stolen_from())
            .max_by_key(|&other| (self.cores[other].queue.len(), std::cmp::Reverse(other)));
        if let Some((task, _)) = longest.and_then(|other| self.cores[other].queue.steal()) {
            self.place_anew(at, task);
            self.put_on(at, task, now, 0.0);
        }
    }

    /// One thread from the longest queue to the shortest.
    pub(super) fn balance(&mut self, now: Time) {
        self.balance_at = next_balance(now);
        let to = self.shortest();
        let from = (0..self.cores.len())
            .filter(|&at| self.cores[at].queue.can_be_stolen_from())
            .max_by_key(|&at| (self.load(at), std::cmp::Reverse(at)));
        let Some(from) = from.filter(|&from| self.load(from) > self.load(to)) else { return };
        for at in [from, to] {
            self.book(at, now);
        }
        if let Some((task, _)) = self.cores[from].queue.steal() {
            self.place_anew(to, task);
            self.enqueue(to, task);
            if self.cores[to].is_idle() {
                self.put_next(to, now);
            }
            self.schedule(from, now);
            self.schedule(to, now);
        }
    }
}
