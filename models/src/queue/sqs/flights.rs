//! Messages in flight, and how long heartbeats keep them there.

use sim_core::{Span, Time};

use crate::plan;

/// A message is in flight for 12 hours at most, counted from its receive, however often its visibility timeout is changed.
pub const LONGEST: Span = Span::from_secs(12 * 60 * 60);

/// A message that somebody has received.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// When it was received.
    pub received: Time,
    /// When it can be received again, if everything goes on as it does.
    pub until: Time,
    /// Since when its consumer sends heartbeats for it; [`Time::NEVER`] where it does not.
    pub begun: Time,
}

/// All that are in flight.
#[derive(Clone, Debug, Default)]
pub struct Flights {
    flights: Vec<Flight>,
    free: Vec<u32>,
}

impl Flights {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// One takes off, and has this number until it is closed.
    #[inline]
    pub fn open(&mut self, flight: Flight) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.flights[number as usize] = flight;
                number
            }
            None => {
                self.flights.push(flight);
                self.flights.len() as u32 - 1
            }
        }
    }

    /// One has landed.
    #[inline]
    pub fn close(&mut self, number: u32) -> Flight {
        self.free.push(number);
        self.flights[number as usize]
    }

    #[inline]
    pub fn at(&self, number: u32) -> &Flight {
        &self.flights[number as usize]
    }

    #[inline]
    pub fn at_mut(&mut self, number: u32) -> &mut Flight {
        &mut self.flights[number as usize]
    }
}

/// Heartbeats in closed form. The `k`-th comes `k` times `every` after the work has begun and sets the visibility timeout
/// anew (`ChangeMessageVisibility`), as long as that has not run out and [`LONGEST`] allows it.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeats {
    every: Option<Span>,
    visibility: Span,
}

impl Heartbeats {
    /// Those of a plan.
    pub fn new(plan: &plan::Sqs) -> Heartbeats {
        let every = plan.heartbeat.filter(|every| !every.is_zero());
        Heartbeats { every, visibility: plan.visibility_timeout }
    }

    /// True where consumers send any.
    pub fn any(&self) -> bool {
        self.every.is_some()
    }

    /// How many have come by `now`.
    pub fn by(&self, flight: &Flight, now: Time) -> u64 {
        let Some(every) = self.every.filter(|_| flight.begun != Time::NEVER) else { return 0 };
        let (every, first) = (every.as_nanos(), flight.begun + every);
        if first >= flight.received + self.visibility {
            return 0;
        }
        let last = (flight.received + LONGEST - self.visibility).since(flight.begun).as_nanos() / every;
        // Where they are further apart than the timeout is long, it runs out after the first.
        let last = if self.visibility.as_nanos() > every { last } else { last.min(1) };
        last.min(now.since(flight.begun).as_nanos() / every)
    }

    /// Until when a message is invisible whose consumer sends its last heartbeat by `now`.
    pub fn until(&self, flight: &Flight, now: Time) -> Time {
        match (self.by(flight, now), self.every) {
            (1.., Some(every)) => flight.begun + every.saturating_mul(self.by(flight, now)) + self.visibility,
            _ => flight.received + self.visibility,
        }
    }
}
