//! Stickiness by a cookie of the balancer: a client goes back to the target it got first, for as long as that is healthy and
//! the client comes often enough.

use sim_core::{Span, Time};

use super::Client;

/// The cookies that clients hold, by source and client.
#[derive(Clone, Debug)]
pub struct Cookies {
    duration: Span,
    by_source: Vec<Vec<Cookie>>,
}

/// A cookie: a target, and until when it counts. Every request renews it.
#[derive(Clone, Copy, Debug)]
struct Cookie {
    target: u32,
    /// Whose place this is changes as instances come and go.
    epoch: u32,
    until: Time,
}

impl Cookies {
    /// None yet, for so many clients of each source.
    pub fn new(duration: Span, clients: &[u32]) -> Self {
        let none = Cookie { target: 0, epoch: 0, until: Time::ZERO };
        Cookies { duration, by_source: clients.iter().map(|&count| vec![none; count as usize]).collect() }
    }

    /// The target that a client goes back to, and the epoch it was chosen in; `None` where it has no cookie that counts.
    pub fn of(&self, client: Client, now: Time) -> Option<(u32, u32)> {
        let cookie = self.by_source.get(usize::from(client.source))?.get(client.number as usize)?;
        (now < cookie.until).then_some((cookie.target, cookie.epoch))
    }

    /// A client was answered by a target: the cookie counts from now on.
    pub fn set(&mut self, client: Client, now: Time, target: u32, epoch: u32) {
        let source = self.by_source.get_mut(usize::from(client.source));
        if let Some(cookie) = source.and_then(|clients| clients.get_mut(client.number as usize)) {
            *cookie = Cookie { target, epoch, until: now + self.duration };
        }
    }
}
