//! On sim-core.

use std::collections::VecDeque;

use rand_distr::{Distribution, Exp1};
use scalesim::machine::{Burst, Kernel, Machine, Processor, Progress, Scheduler};
use sim_core::{Calendar, MinHeap, Model, Seed, Simulation, Span, Stream, Time, Timer};

use crate::Draws;

/// M/M/c, first come, first served. Arrivals and, for one server, completions are timers; of several servers each
/// completion goes to the heap.
struct Fifo {
    draws: Draws,
    arrivals: Timer,
    free: u32,
    waiting: VecDeque<Time>,
    left: u64,
    done: u64,
    customers: u64,
    sojourns: f64,
}

#[derive(Clone, Copy)]
enum Customer {
    Arrives,
    Leaves { came: Time },
}

impl Fifo {
    fn serve(&mut self, came: Time, calendar: &mut Calendar<Customer>) {
        let demand = self.draws.demand_span();
        calendar.after(demand, Customer::Leaves { came });
    }
}

impl Model for Fifo {
    type Event = Customer;

    #[inline]
    fn handle(&mut self, event: Customer, calendar: &mut Calendar<Customer>) {
        let now = calendar.now();
        match event {
            Customer::Arrives => {
                self.left -= 1;
                if self.left > 0 {
                    calendar.set(self.arrivals, self.draws.gap_span(), Customer::Arrives);
                }
                if self.free > 0 {
                    self.free -= 1;
                    self.serve(now, calendar);
                } else {
                    self.waiting.push_back(now);
                }
            }
            Customer::Leaves { came } => {
                self.sojourns += now.since(came).as_secs_f64();
                self.done += 1;
                match self.waiting.pop_front() {
                    Some(next) => self.serve(next, calendar),
                    None => self.free += 1,
                }
            }
        }
    }

    #[inline]
    fn done(&self) -> bool {
        self.done == self.customers
    }
}

/// The mean sojourn of `customers` customers.
pub fn fifo(servers: u32, customers: u64) -> f64 {
    let mut calendar = Calendar::new();
    let arrivals = calendar.timer();
    let mut draws = Draws::new(servers);
    calendar.set(arrivals, draws.gap_span(), Customer::Arrives);
    let model = Fifo {
        draws,
        arrivals,
        free: servers,
        waiting: VecDeque::new(),
        left: customers,
        done: 0,
        customers,
        sojourns: 0.0,
    };
    let mut run = Simulation::new(model, calendar);
    run.run(Time::NEVER, u64::MAX, &mut ());
    run.model.sojourns / customers as f64
}

/// M/M/1 under processor sharing, in virtual time, on the product's own machine.
struct Sharing {
    draws: Draws,
    arrivals: Timer,
    completion: Timer,
    machine: Machine,
    came: Vec<Time>,
    spare: Vec<u32>,
    left: u64,
    done: u64,
    customers: u64,
    sojourns: f64,
}

#[derive(Clone, Copy)]
enum Shared {
    Arrives,
    Completes,
}

impl Model for Sharing {
    type Event = Shared;

    #[inline]
    fn handle(&mut self, event: Shared, calendar: &mut Calendar<Shared>) {
        let now = calendar.now();
        match event {
            Shared::Arrives => {
                self.left -= 1;
                if self.left > 0 {
                    calendar.set(self.arrivals, self.draws.gap_span(), Shared::Arrives);
                }
                let slot = self.spare.pop().unwrap_or_else(|| {
                    self.came.push(now);
                    self.came.len() as u32 - 1
                });
                self.came[slot as usize] = now;
                if let Some(next) = self.machine.start(now, Burst::new(slot, self.draws.demand_span())) {
                    calendar.set_at(self.completion, next, Shared::Completes);
                }
            }
            Shared::Completes => {
                let Progress { finished, next } = self.machine.progress(now);
                if let Some(slot) = finished {
                    self.sojourns += now.since(self.came[slot as usize]).as_secs_f64();
                    self.spare.push(slot);
                    self.done += 1;
                }
                if let Some(next) = next {
                    calendar.set_at(self.completion, next, Shared::Completes);
                }
            }
        }
    }

    #[inline]
    fn done(&self) -> bool {
        self.done == self.customers
    }
}

/// The mean sojourn of `customers` customers who share one core.
pub fn sharing(customers: u64) -> f64 {
    let mut calendar = Calendar::new();
    let (arrivals, completion) = (calendar.timer(), calendar.timer());
    let mut draws = Draws::new(1);
    calendar.set(arrivals, draws.gap_span(), Shared::Arrives);
    let model = Sharing {
        draws,
        arrivals,
        completion,
        machine: Machine::new(&Processor::plain(1)),
        came: Vec::new(),
        spare: Vec::new(),
        left: customers,
        done: 0,
        customers,
        sojourns: 0.0,
    };
    let mut run = Simulation::new(model, calendar);
    run.run(Time::NEVER, u64::MAX, &mut ());
    run.model.sojourns / customers as f64
}

/// The hold model: each event taken schedules another. Returns the instant of the last one.
pub fn hold(pending: u64, steps: u64) -> u64 {
    let mut stream = Seed::new(1).stream("hold");
    let mut calendar = Calendar::new();
    for event in 0..pending {
        calendar.after(increment(&mut stream), event);
    }
    for _ in 0..steps {
        if let Some(event) = calendar.next(Time::NEVER) {
            calendar.after(increment(&mut stream), event);
        }
    }
    calendar.now().as_nanos()
}

/// An exponential increment with a mean of a second.
#[inline]
pub fn increment(stream: &mut Stream) -> Span {
    let unit: f64 = Exp1.sample(stream);
    Span::from_secs_f64(unit)
}

/// Pushes and pops of the product's heap alone.
pub fn heap(pending: u64, steps: u64) -> u64 {
    let mut stream = Seed::new(1).stream("hold");
    let mut heap = MinHeap::new();
    for key in 0..pending {
        heap.push((increment(&mut stream), key), key);
    }
    let mut last = 0;
    for step in 0..steps {
        if let Some(((at, _), event)) = heap.pop() {
            last = at.as_nanos();
            heap.push((at + increment(&mut stream), pending + step), event);
        }
    }
    last
}

/// Time slices: 64 threads that compute for ever on 8 vCPUs, for so many quanta. Returns how many there were.
pub fn quanta(quanta: u64) -> u64 {
    let scheduler = Scheduler::Slices(Kernel::LINUX);
    let mut machine = Machine::new(&Processor { scheduler, ..Processor::plain(8) });
    let mut next = machine.add_endless(Time::ZERO, 1.0, None, 64);
    let switches = |machine: &Machine| machine.counts().map_or(0, |counts| counts.involuntary);
    while switches(&machine) < quanta {
        for _ in 0..1024 {
            let Some(at) = next else { break };
            next = machine.progress(at).next;
        }
    }
    switches(&machine)
}

/// CPU bursts that share 8 vCPUs, 64 runnable at any time. Returns the instant of the last completion.
pub fn bursts(count: u64) -> u64 {
    let mut machine = Machine::new(&Processor::plain(8));
    let mut draws = Draws::new(1);
    let mut next = None;
    for task in 0..64 {
        next = machine.start(Time::ZERO, Burst::new(task, draws.demand_span())).or(next);
    }
    let mut last = Time::ZERO;
    for _ in 0..count {
        let Some(now) = next else { break };
        let progress = machine.progress(now);
        last = now;
        next = match progress.finished {
            Some(task) => machine.start(now, Burst::new(task, draws.demand_span())).or(progress.next),
            None => progress.next,
        };
    }
    last.as_nanos()
}
