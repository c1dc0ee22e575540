//! By hand: an event loop with nothing but std, the limit of what a kernel can reach.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sim_core::{MinHeap, Seed};

use crate::Draws;
use crate::kernel::increment;

/// An event: 0 is an arrival, anything else is the completion of who came at that nanosecond.
type Entry = Reverse<(u64, u64, u64)>;

/// M/M/c, first come, first served.
pub fn fifo(servers: u32, customers: u64) -> f64 {
    let mut draws = Draws::new(servers);
    let mut events: BinaryHeap<Entry> = BinaryHeap::new();
    let mut waiting: VecDeque<u64> = VecDeque::new();
    let (mut sequence, mut free, mut left, mut done, mut sojourns) = (0u64, servers, customers, 0u64, 0.0);
    events.push(Reverse((draws.gap_span().as_nanos(), 0, 0)));
    while done < customers {
        let Some(Reverse((now, _, came))) = events.pop() else { break };
        match came {
            0 => {
                left -= 1;
                if left > 0 {
                    sequence += 1;
                    events.push(Reverse((now + draws.gap_span().as_nanos(), sequence, 0)));
                }
                if free > 0 {
                    free -= 1;
                    sequence += 1;
                    events.push(Reverse((now + draws.demand_span().as_nanos(), sequence, now)));
                } else {
                    waiting.push_back(now);
                }
            }
            came => {
                sojourns += (now - came) as f64 / 1e9;
                done += 1;
                match waiting.pop_front() {
                    Some(next) => {
                        sequence += 1;
                        events.push(Reverse((now + draws.demand_span().as_nanos(), sequence, next)));
                    }
                    None => free += 1,
                }
            }
        }
    }
    sojourns / customers as f64
}

/// M/M/1 under processor sharing: two instants and a heap of virtual finishes.
pub fn sharing(customers: u64) -> f64 {
    let mut draws = Draws::new(1);
    let mut finishes: MinHeap<(u64, u64), u64> = MinHeap::new();
    let (mut now, mut virtual_now, mut sequence) = (0.0f64, 0.0f64, 0u64);
    let (mut left, mut done, mut sojourns) = (customers, 0u64, 0.0);
    let mut arrival = draws.gap_span().as_nanos() as f64;
    while done < customers {
        let tasks = finishes.len() as f64;
        let completion = finishes
            .peek()
            .map_or(f64::INFINITY, |((bits, _), _)| now + (f64::from_bits(bits) - virtual_now) * tasks);
        if arrival <= completion {
            if tasks > 0.0 {
                virtual_now += (arrival - now) / tasks;
            }
            now = arrival;
            left -= 1;
            arrival = if left > 0 { now + draws.gap_span().as_nanos() as f64 } else { f64::INFINITY };
            sequence += 1;
            let finish = virtual_now + draws.demand_span().as_nanos() as f64;
            finishes.push((finish.to_bits(), sequence), now as u64);
        } else if let Some(((bits, _), came)) = finishes.pop() {
            (virtual_now, now) = (f64::from_bits(bits), completion);
            sojourns += (now - came as f64) / 1e9;
            done += 1;
            if finishes.is_empty() {
                virtual_now = 0.0;
            }
        }
    }
    sojourns / customers as f64
}

/// The hold model on a bare 4-ary heap of (time, sequence, event).
pub fn hold(pending: u64, steps: u64) -> u64 {
    let mut stream = Seed::new(1).stream("hold");
    let mut heap = FourAry::default();
    for event in 0..pending {
        heap.push((increment(&mut stream).as_nanos(), event, event));
    }
    let mut last = 0;
    for step in 0..steps {
        if let Some((at, _, event)) = heap.pop() {
            last = at;
            heap.push((at + increment(&mut stream).as_nanos(), pending + step, event));
        }
    }
    last
}

/// The same on std's binary heap.
pub fn hold_std(pending: u64, steps: u64) -> u64 {
    let mut stream = Seed::new(1).stream("hold");
    let mut heap = BinaryHeap::new();
    for event in 0..pending {
        heap.push(Reverse((increment(&mut stream).as_nanos(), event, event)));
    }
    let mut last = 0;
    for step in 0..steps {
        if let Some(Reverse((at, _, event))) = heap.pop() {
            last = at;
            heap.push(Reverse((at + increment(&mut stream).as_nanos(), pending + step, event)));
        }
    }
    last
}

/// A textbook 4-ary heap.
#[derive(Default)]
struct FourAry(Vec<(u64, u64, u64)>);

impl FourAry {
    fn push(&mut self, entry: (u64, u64, u64)) {
        self.0.push(entry);
        let mut at = self.0.len() - 1;
        while at > 0 && self.0[at] < self.0[(at - 1) / 4] {
            self.0.swap(at, (at - 1) / 4);
            at = (at - 1) / 4;
        }
    }

    fn pop(&mut self) -> Option<(u64, u64, u64)> {
        let last = self.0.pop()?;
        let Some(first) = self.0.first().copied() else { return Some(last) };
        self.0[0] = last;
        let mut at = 0;
        loop {
            let children = 4 * at + 1..(4 * at + 5).min(self.0.len());
            let Some(smallest) = children.min_by_key(|&child| self.0[child]) else { break };
            if self.0[at] <= self.0[smallest] {
                break;
            }
            self.0.swap(at, smallest);
            at = smallest;
        }
        Some(first)
    }
}
