//! An attempt of a request, from the client's decision to send it until both sides are done with it.

use sim_core::Time;

use crate::event::Ref;
use crate::plan::{EndpointId, TrafficId};

/// The slot of no instance.
pub const NOWHERE: u32 = u32::MAX;

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
    /// It has not taken a step yet.
    pub fresh: bool,
    /// Its client has given up; the server does not know and goes on.
    pub abandoned: bool,
    /// It came with a new connection, whose handshake its server does before its first step.
    pub greets: bool,
}

impl Request {
    /// The key of this attempt's draws.
    #[inline]
    pub fn key(&self) -> u64 {
        self.number.wrapping_mul(16).wrapping_add(u64::from(self.attempt))
    }
}

/// What a request's CPU time is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its steps, on the thread it holds.
    Steps,
    /// A turn at an interpreter lock.
    Locked,
    /// A pool step, beside the loop.
    Pool,
    /// The primary accepts its connection.
    Accepting,
    /// A worker takes its connection over.
    Handover,
}
