//! The run loop: takes events from the calendar and gives them to the world, one at a time.

use crate::calendar::Calendar;
use crate::time::Time;

/// A world: plain data that changes when an event happens to it.
///
/// Events are one closed enum, and `handle` is one `match` over it. A world that is `Clone` can be forked in
/// mid-run: the copy has the same future.
pub trait Model {
    /// What can happen.
    type Event: Copy;

    /// Lets `event` happen at `calendar.now()`.
    fn handle(&mut self, event: Self::Event, calendar: &mut Calendar<Self::Event>);

    /// True once nothing of interest can follow; asked after every event.
    #[inline]
    fn done(&self) -> bool {
        false
    }
}

/// Sees every event before it happens, for tracing and debugging. `()` sees nothing and costs nothing.
pub trait Probe<E> {
    /// Called with the instant and the event.
    fn on_event(&mut self, now: Time, event: &E);
}

impl<E> Probe<E> for () {
    #[inline]
    fn on_event(&mut self, _: Time, _: &E) {}
}

/// Why a stretch of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All events up to the stated instant have happened.
    Reached,
    /// The world said it is done.
    Done,
    /// The stated number of events has happened.
    Events,
}

/// A world and its calendar.
///
/// ```
/// use sim_core::{Calendar, Model, Simulation, Span, Stop, Time};
///
/// /// Counts the seconds.
/// #[derive(Clone)]
/// struct Clock { ticks: u32 }
///
/// impl Model for Clock {
///     type Event = ();
///     fn handle(&mut self, (): (), calendar: &mut Calendar<()>) {
///         self.ticks += 1;
///         calendar.after(Span::from_secs(1), ());
///     }
/// }
///
/// let mut calendar = Calendar::new();
/// calendar.after(Span::from_secs(1), ());
/// let mut run = Simulation::new(Clock { ticks: 0 }, calendar);
/// assert_eq!(run.run(Time::ZERO + Span::from_secs(60), u64::MAX, &mut ()), Stop::Reached);
/// assert_eq!(run.model.ticks, 60);
/// ```
#[derive(Clone, Debug)]
pub struct Simulation<M: Model> {
    /// The world.
    pub model: M,
    /// Its clock and pending events.
    pub calendar: Calendar<M::Event>,
    events: u64,
}

impl<M: Model> Simulation<M> {
    /// A world about to run, with its first events already in the calendar.
    pub fn new(model: M, calendar: Calendar<M::Event>) -> Self {
        Simulation { model, calendar, events: 0 }
    }

    /// How many events have happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Plays all events up to and including `until`, but no more than `events` of them. Where the stretch ends
    /// with [`Stop::Reached`], the clock stands at `until`.
    pub fn run(&mut self, until: Time, events: u64, probe: &mut impl Probe<M::Event>) -> Stop {
        for _ in 0..events {
            let Some(event) = self.calendar.next(until) else {
                self.calendar.advance(until);
                return Stop::Reached;
            };
            self.events += 1;
            probe.on_event(self.calendar.now(), &event);
            self.model.handle(event, &mut self.calendar);
            if self.model.done() {
                return Stop::Done;
            }
        }
        Stop::Events
    }
}
