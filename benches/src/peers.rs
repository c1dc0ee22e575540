//! Other simulators, each in the way its examples do it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::Draws;

/// A peer: the mean sojourn of customers of an M/M/c queue.
pub type Peer = fn(u32, u64) -> f64;

/// All of them, by crate.
pub const ALL: [(&str, Peer); 4] =
    [("desru", desru), ("simcore", simcore), ("odem-rs", odem), ("nexosim", nexosim)];

struct Queue {
    draws: Draws,
    free: u32,
    waiting: VecDeque<f64>,
    left: u64,
    done: u64,
    sojourns: f64,
}

impl Queue {
    fn new(servers: u32, customers: u64) -> Self {
        Queue {
            draws: Draws::new(servers),
            free: servers,
            waiting: VecDeque::new(),
            left: customers,
            done: 0,
            sojourns: 0.0,
        }
    }

    /// The customer may be served at once.
    fn admit(&mut self, now: f64) -> bool {
        if self.free > 0 {
            self.free -= 1;
            return true;
        }
        self.waiting.push_back(now);
        false
    }

    /// A customer leaves; the next to be served.
    fn leave(&mut self, came: f64, now: f64) -> Option<f64> {
        self.sojourns += now - came;
        self.done += 1;
        let next = self.waiting.pop_front();
        self.free += u32::from(next.is_none());
        next
    }
}

/// desru: boxed closures.
fn desru(servers: u32, customers: u64) -> f64 {
    use desru::{Event, EventScheduler};
    type Shared = Rc<RefCell<Queue>>;
    fn arrive(queue: Shared, scheduler: &mut EventScheduler) {
        let now = scheduler.current_time;
        let (gap, serve) = {
            let mut q = queue.borrow_mut();
            q.left -= 1;
            ((q.left > 0).then(|| q.draws.gap()), q.admit(now))
        };
        if let Some(gap) = gap {
            let queue = queue.clone();
            let action = Box::new(move |s: &mut EventScheduler| {
                arrive(queue.clone(), s);
                None
            });
            scheduler.schedule(Event::new(now + gap, Some(action), None));
        }
        if serve {
            start(queue, now, scheduler);
        }
    }
    fn start(queue: Shared, came: f64, scheduler: &mut EventScheduler) {
        let demand = queue.borrow_mut().draws.demand();
        let at = scheduler.current_time + demand;
        let action = Box::new(move |s: &mut EventScheduler| {
            let next = queue.borrow_mut().leave(came, s.current_time);
            if let Some(next) = next {
                start(queue.clone(), next, s);
            }
            None
        });
        scheduler.schedule(Event::new(at, Some(action), None));
    }
    let queue: Shared = Rc::new(RefCell::new(Queue::new(servers, customers)));
    let mut scheduler = EventScheduler::new();
    let (gap, first) = (queue.borrow_mut().draws.gap(), queue.clone());
    let action = Box::new(move |s: &mut EventScheduler| {
        arrive(first.clone(), s);
        None
    });
    scheduler.schedule(Event::new(gap, Some(action), None));
    scheduler.run(Box::new(|s| s.event_queue.is_empty()), Some(Box::new(|_, _| false)));
    let sojourns = queue.borrow().sojourns;
    sojourns / customers as f64
}

/// simcore: components and boxed payloads.
fn simcore(servers: u32, customers: u64) -> f64 {
    use serde::Serialize;
    use simcore::{Event, EventHandler, Simulation, SimulationContext, cast};
    #[derive(Clone, Serialize)]
    struct Arrives {}
    #[derive(Clone, Serialize)]
    struct Leaves {
        came: f64,
    }
    struct Server {
        queue: Queue,
        context: SimulationContext,
    }
    impl Server {
        fn serve(&mut self, came: f64) {
            let demand = self.queue.draws.demand();
            self.context.emit_self(Leaves { came }, demand);
        }
    }
    impl EventHandler for Server {
        fn on(&mut self, event: Event) {
            cast!(match event.data {
                Arrives {} => {
                    self.queue.left -= 1;
                    if self.queue.left > 0 {
                        let gap = self.queue.draws.gap();
                        self.context.emit_self(Arrives {}, gap);
                    }
                    if self.queue.admit(event.time) {
                        self.serve(event.time);
                    }
                }
                Leaves { came } => {
                    if let Some(next) = self.queue.leave(came, event.time) {
                        self.serve(next);
                    }
                }
            })
        }
    }
    let mut simulation = Simulation::new(1);
    let context = simulation.create_context("server");
    let mut queue = Queue::new(servers, customers);
    context.emit_self(Arrives {}, queue.draws.gap());
    let server = Rc::new(RefCell::new(Server { queue, context }));
    simulation.add_handler("server", server.clone());
    simulation.step_until_no_events();
    let sojourns = server.borrow().queue.sojourns;
    sojourns / customers as f64
}

/// odem-rs: a process for each server, which sleeps while there is nothing to do.
fn odem(servers: u32, customers: u64) -> f64 {
    use std::task::Waker;

    use odem_rs::core::ops::waker;
    use odem_rs::prelude::*;

    #[derive(Config)]
    #[time(Time<f64>)]
    struct Station {
        queue: RefCell<Queue>,
        idle: RefCell<Vec<Waker>>,
    }
    struct Server;
    impl Behavior<Station> for Server {
        type Output = ();

        async fn actions(&self, sim: &Sim<Station>) {
            let Station { queue, idle } = sim.global();
            loop {
                let next = queue.borrow_mut().waiting.pop_front();
                let Some(came) = next else {
                    let waker = waker().await;
                    idle.borrow_mut().push(waker);
                    sleep().await;
                    continue;
                };
                let demand = queue.borrow_mut().draws.demand();
                sim.advance(second::new(demand)).await;
                let mut queue = queue.borrow_mut();
                queue.sojourns += sim.now().value - came;
                queue.done += 1;
            }
        }
    }
    let station =
        Station { queue: RefCell::new(Queue::new(servers, customers)), idle: RefCell::new(Vec::new()) };
    let simulator = Simulator::new(station);
    let run = simulator.run(async |sim: &Sim<Station>| {
        let Station { queue, idle } = sim.global();
        for _ in 0..servers {
            sim.spawn(Server);
        }
        for _ in 0..customers {
            let gap = queue.borrow_mut().draws.gap();
            sim.advance(second::new(gap)).await;
            queue.borrow_mut().waiting.push_back(sim.now().value);
            if let Some(waker) = idle.borrow_mut().pop() {
                waker.wake();
            }
        }
        while queue.borrow().done < customers {
            sim.advance(second::new(1.0)).await;
        }
        idle.borrow_mut().clear(); // a waker refers to its process, and must not outlive it
    });
    run.expect("the arrivals always have a next instant");
    simulator.inner().queue.borrow().sojourns / customers as f64
}

/// nexosim: actors with mailboxes, on one thread.
fn nexosim(servers: u32, customers: u64) -> f64 {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use nexosim::model::{BuildContext, Context, Model, ProtoModel, schedulable};
    use nexosim::simulation::{Mailbox, SimInit};
    use nexosim::time::MonotonicTime;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Server {}
    struct State {
        queue: Queue,
        sojourns: Arc<Mutex<f64>>,
        start: MonotonicTime,
    }
    impl State {
        fn now(&self, context: &Context<Server>) -> f64 {
            context.time().duration_since(self.start).as_secs_f64()
        }
    }
    #[Model(type Env=State)]
    impl Server {
        #[nexosim(init)]
        async fn init(&mut self, context: &Context<Self>, env: &mut State) {
            let gap = Duration::from_secs_f64(env.queue.draws.gap());
            context.schedule_event(gap, schedulable!(Self::arrive), ()).expect("a delay above zero");
        }
        #[nexosim(schedulable)]
        async fn arrive(&mut self, _: (), context: &Context<Self>, env: &mut State) {
            let now = env.now(context);
            env.queue.left -= 1;
            if env.queue.left > 0 {
                let gap = Duration::from_secs_f64(env.queue.draws.gap().max(1e-9));
                context.schedule_event(gap, schedulable!(Self::arrive), ()).expect("a delay above zero");
            }
            if env.queue.admit(now) {
                let demand = Duration::from_secs_f64(env.queue.draws.demand().max(1e-9));
                context.schedule_event(demand, schedulable!(Self::leave), now).expect("a delay above zero");
            }
        }
        #[nexosim(schedulable)]
        async fn leave(&mut self, came: f64, context: &Context<Self>, env: &mut State) {
            let now = env.now(context);
            if let Some(next) = env.queue.leave(came, now) {
                let demand = Duration::from_secs_f64(env.queue.draws.demand().max(1e-9));
                context.schedule_event(demand, schedulable!(Self::leave), next).expect("a delay above zero");
            }
            if env.queue.left == 0
                && env.queue.waiting.is_empty()
                && let Ok(mut sojourns) = env.sojourns.lock()
            {
                *sojourns = env.queue.sojourns;
            }
        }
    }
    struct Proto(Queue, Arc<Mutex<f64>>);
    impl ProtoModel for Proto {
        type Model = Server;
        fn build(self, _: &mut BuildContext<Self>) -> (Server, State) {
            (Server {}, State { queue: self.0, sojourns: self.1, start: MonotonicTime::EPOCH })
        }
    }
    let sojourns = Arc::new(Mutex::new(0.0));
    let proto = Proto(Queue::new(servers, customers), sojourns.clone());
    let bench = SimInit::with_num_threads(1).add_model(proto, Mailbox::new(), "server");
    let mut simulation = bench.init(MonotonicTime::EPOCH).expect("the model is sound");
    simulation.run().expect("the run ends when no event is left");
    let total = sojourns.lock().map_or(f64::NAN, |sojourns| *sojourns);
    total / customers as f64
}
