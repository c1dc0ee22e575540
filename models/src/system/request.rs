//! An attempt of a request, from the client's decision to send it until both sides are done with it.

use sim_core::Time;

use super::sessions::NOBODY;
use crate::connections::NO_CONNECTION;
use crate::event::Ref;
use crate::plan::{EndpointId, TrafficId};

/// The slot of no instance.
pub const NOWHERE: u32 = u32::MAX;
/// The number of no balancer.
pub const UNGUARDED: u16 = u16::MAX;
/// Numbers of attempts that are sent beside another lie so far apart; keys are numbers times 16.
const HEDGE_SHIFT: u32 = 56;

/// One attempt. A retry is a new attempt of the same request: same number, same first birth.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The request's number, which its draws are keyed by.
    pub number: u64,
    /// When its client first sent it.
    pub born: Time,
    /// When this attempt was sent; once it is at its balancer, since when it is there.
    pub sent: Time,
    /// The attempt of another service that waits for the answer; [`Ref::NONE`] where a client does.
    pub parent: Ref,
    /// Where it is served; [`NOWHERE`] while its client waits to send it.
    pub instance: u32,
    /// Where it came from.
    pub source: TrafficId,
    /// What it asks for.
    pub endpoint: EndpointId,
    /// The session that it opens, as a handshake does; nobody's, or a mark that it is a message.
    pub session: u32,
    /// The process that serves it.
    pub process: u16,
    /// The number of the thread that it holds.
    pub thread: u32,
    /// The connection of its client that carries it; [`NO_CONNECTION`](crate::connections::NO_CONNECTION) where that does
    /// not matter.
    pub connection: u32,
    /// Nanoseconds of its CPU step that are left, while it takes turns at an interpreter lock.
    pub left: u64,
    /// What its CPU time is for.
    pub stage: Stage,
    /// The step it is at.
    pub step: u8,
    /// 0 for the first attempt.
    pub attempt: u8,
    /// The balancer whose circuit breaker learns of its end; [`UNGUARDED`] where none does.
    pub guard: u16,
    /// 0 for an attempt of its own, 1 for the first that is sent beside it while it has no answer, and so on.
    pub hedge: u8,
    /// It has not taken a step yet.
    pub fresh: bool,
    /// What whoever sent it does.
    pub sender: Sender,
    /// The version of its instance's launch template, among those of all groups, whose program it runs; 0 where its group has
    /// no versions.
    pub variant: u8,
    /// It came with a new connection, whose handshake its server does before its first step.
    pub greets: bool,
}

impl Request {
    /// The first attempt of a client's request.
    pub fn new(source: TrafficId, endpoint: EndpointId, number: u64, now: Time) -> Self {
        Request {
            number,
            born: now,
            sent: now,
            parent: Ref::NONE,
            instance: NOWHERE,
            source,
            endpoint,
            session: NOBODY,
            process: 0,
            thread: 0,
            left: 0,
            stage: Stage::Steps,
            step: 0,
            attempt: 0,
            guard: UNGUARDED,
            hedge: 0,
            connection: NO_CONNECTION,
            variant: 0,
            greets: false,
            fresh: true,
            sender: Sender::Waits,
        }
    }

    /// True where nobody waits for its answer any more.
    #[inline]
    pub fn abandoned(&self) -> bool {
        self.sender == Sender::Gone
    }

    /// The key of this attempt's draws.
    #[inline]
    pub fn key(&self) -> u64 {
        self.number.wrapping_mul(16).wrapping_add(u64::from(self.attempt))
    }

    /// The number of the attempt that is sent beside this one as its `hedge`-th, so that its draws are its own; of the
    /// request itself for 0.
    pub fn number_of_hedge(&self, hedge: u8) -> u64 {
        let of = |hedge: u8| u64::from(hedge) << HEDGE_SHIFT;
        self.number.wrapping_sub(of(self.hedge)).wrapping_add(of(hedge))
    }
}

/// What whoever sent an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Waits for the answer.
    Waits,
    /// Has the first token of the answer, in this attempt or one before it, and reads on.
    Reads,
    /// Has given up; the server does not know and goes on.
    Gone,
}

/// What a request's CPU time is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its steps, on the thread it holds.
    Steps,
    /// Nothing: the balancer waits for a connection that will not come about.
    Connecting,
    /// A turn at an interpreter lock.
    Locked,
    /// A pool step, beside the loop.
    Pool,
    /// The primary accepts its connection.
    Accepting,
    /// A worker takes its connection over.
    Handover,
    /// Nothing: its answer is held back until a job is done.
    Held,
    /// Nothing: an engine generates its tokens.
    Generating,
    /// An answer in front of the service: that it has too much to do.
    Shedding,
    /// The same on the thread it holds, after too long a wait.
    SheddingLate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_fits_into_a_cache_line() {
        assert!(size_of::<Request>() <= 72, "{}", size_of::<Request>());
    }
}
