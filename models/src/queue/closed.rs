//! A queue of a kind that is not played: it takes nothing.

use sim_core::{Span, Time};

use super::{Counts, Depth, Full, Happened, Message, Receipt};

/// It refuses whatever is sent, and so never has anything for anybody.
#[derive(Clone, Debug, Default)]
pub struct Closed {
    counts: Counts,
}

impl Closed {
    pub fn send(&mut self, _message: Message, _now: Time, _happened: &mut Vec<Happened>) -> Result<(), Full> {
        self.counts.refused += 1;
        Err(Full)
    }

    pub fn join(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn receive(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn stop_receiving(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn acknowledge(&mut self, _receipt: Receipt, _now: Time, _happened: &mut Vec<Happened>) -> bool {
        false
    }

    pub fn fail(&mut self, _: Receipt, _: Option<Span>, _: Time, _: &mut Vec<Happened>) {}

    pub fn reject(&mut self, _receipt: Receipt, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn leave(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn crash(&mut self, _consumer: u32, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn due(&self) -> Time {
        Time::NEVER
    }

    pub fn advance(&mut self, _now: Time, _happened: &mut Vec<Happened>) {}

    pub fn depth(&self, _now: Time) -> Depth {
        Depth::default()
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    #[cfg(test)]
    pub fn recount(&self) -> Depth {
        Depth::default()
    }
}
