//! Processes that die and come back. A dead one has no slot and no accept queue, so that nobody else has to look.

use std::collections::VecDeque;

use rand::Rng;
use sim_core::chance::below;

use super::{Front, Process, Server};
use crate::plan::Runtime;

impl Process {
    /// True while it lives.
    #[inline]
    pub fn lives(&self) -> bool {
        self.slots > 0
    }

    /// It is no more; what it has served stays counted.
    fn die(&mut self) {
        (self.slots, self.accept_queue, self.busy, self.queued_new) = (0, 0, 0, 0);
        (self.queue, self.lock, self.uncollected) = (VecDeque::new(), None, 0);
        (self.pool.busy, self.pool.queue) = (0, VecDeque::new());
        (self.idle_threads, self.next_thread) = (Vec::new(), 0);
    }
}

impl Server {
    /// Numbers of the processes that live.
    pub fn living(&self) -> impl Iterator<Item = u16> + '_ {
        (0..).zip(&self.processes).filter(|(_, process)| process.lives()).map(|(number, _)| number)
    }

    /// Connections that no worker has yet: at the primary, or in the backlog of a listener.
    pub fn in_front(&self) -> Vec<u32> {
        match &self.front {
            Front::Single | Front::ReusePort => Vec::new(),
            Front::Primary(primary) => primary.arrivals.iter().chain(&primary.handles).copied().collect(),
            Front::Shared(listener) => listener.backlog.iter().copied().collect(),
        }
    }

    /// A process dies. What was in it is the caller's to lose.
    pub fn kill(&mut self, number: u16) {
        let process = &mut self.processes[usize::from(number)];
        if !process.lives() {
            return;
        }
        process.die();
        self.dead += 1;
        match &mut self.front {
            Front::Single | Front::ReusePort => {}
            Front::Primary(primary) => primary.free.retain(|&worker| worker != number),
            Front::Shared(listener) => listener.idle.retain(|&worker| worker != number),
        }
    }

    /// The last process has died, and with it the listener: Node's primary closes it without a worker. Whoever comes next
    /// is cold.
    pub fn close(&mut self) {
        self.seen = 0;
        match &mut self.front {
            Front::Single | Front::ReusePort => {}
            Front::Primary(primary) => {
                (primary.arrivals, primary.handles) = (VecDeque::new(), VecDeque::new());
                primary.busy = false;
            }
            Front::Shared(listener) => listener.backlog = VecDeque::new(),
        }
    }

    /// A process has come up again.
    pub fn revive(&mut self, number: u16, runtime: &Runtime, vcpus: u32) {
        let process = &mut self.processes[usize::from(number)];
        if process.lives() {
            return;
        }
        *process = Process { served: process.served, ..Process::new(runtime, vcpus) };
        self.dead -= 1;
        if let Front::Primary(primary) = &mut self.front {
            primary.free.push_back(number);
        }
    }

    /// Balancers open the connections anew that dead processes had: others accept them. Without one that lives they wait
    /// for the first.
    pub fn reconnect(&mut self, bits: &mut impl Rng) {
        let living: Vec<u16> = self.living().collect();
        let Some(last) = living.len().checked_sub(1) else { return };
        let mut turn = 0;
        for (_, kept) in &mut self.kept {
            for worker in kept.iter_mut().filter(|worker| !self.processes[usize::from(**worker)].lives()) {
                let at = match &self.front {
                    Front::Single | Front::Primary(_) => turn % living.len(),
                    Front::ReusePort => below(bits, living.len() as u32) as usize,
                    Front::Shared(_) => (bits.next_u64().trailing_zeros() as usize).min(last),
                };
                (*worker, turn) = (living[at], turn + 1);
            }
        }
    }

    /// The listener that a hash of the connection chooses, of those that are open.
    #[cold]
    pub fn open_listener(&self, bits: &mut impl Rng) -> u16 {
        let nth = below(bits, self.processes.len() as u32 - u32::from(self.dead));
        self.living().nth(nth as usize).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Accept, BalancerId, ProcessKind, Workers};
    use sim_core::{Seed, Span};

    fn server(accept: Accept) -> (Server, Runtime) {
        let workers = Workers { count: Some(4), accept, backlog: 9, pinned: false };
        let process = ProcessKind::EventLoop { accept_queue: 9, pool: 4 };
        let runtime = Runtime { process, overhead: Span::ZERO, workers: Some(workers) };
        (Server::new(&runtime, 4), runtime)
    }

    #[test]
    fn connections_of_a_dead_worker_go_to_others_and_stay_there() {
        let zero = Span::ZERO;
        for accept in
            [Accept::RoundRobin { primary: zero, handover: zero }, Accept::Shared, Accept::ReusePort]
        {
            let (mut server, runtime) = server(accept);
            let mut bits = Seed::new(1).stream("connections");
            server.keep(BalancerId(0), 64, &mut bits);
            server.kill(1);
            server.reconnect(&mut bits);
            let of = |server: &Server, worker: u16| {
                server.kept[0].1.iter().filter(|&&kept| kept == worker).count()
            };
            assert_eq!((of(&server, 1), server.dead), (0, 1), "{accept:?}");
            server.revive(1, &runtime, 4);
            server.reconnect(&mut bits);
            assert_eq!((of(&server, 1), server.dead), (0, 0), "nothing moves what is open: {accept:?}");
        }
    }

    #[test]
    fn a_hash_chooses_among_open_listeners() {
        let (mut server, _) = server(Accept::ReusePort);
        server.kill(0);
        server.kill(2);
        let mut bits = Seed::new(1).stream("connections");
        let mut seen: Vec<u16> = (0..100).map(|_| server.open_listener(&mut bits)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [1, 3]);
    }

    #[test]
    fn a_dead_process_takes_nothing() {
        let (mut server, runtime) = server(Accept::Shared);
        server.kill(3);
        server.kill(3);
        let process = &server.processes[3];
        assert!(!process.lives() && !process.idle_slot() && process.queued_new >= process.accept_queue);
        assert_eq!((server.dead, server.living().count()), (1, 3));
        server.revive(3, &runtime, 4);
        assert!(server.processes[3].idle_slot());
    }
}
