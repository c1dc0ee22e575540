//! Until when somebody waits for requests. Most end long before, so there is one timer for the first that has not, and not
//! an event for each.

use std::collections::VecDeque;

use sim_core::{Calendar, Span, Time, Timer};

use super::request::Request;
use crate::event::{Event, Ref, Slab};

/// Deadlines that may be kept whether somebody waits for them or not.
const LEAST_KEPT: usize = 1_024;

/// Deadlines that all lie equally far ahead.
#[derive(Clone, Debug)]
pub struct Deadlines {
    ahead: Span,
    waiting: VecDeque<(Time, Ref)>,
    timer: Timer,
    event: Event,
}

impl Deadlines {
    /// Nobody waits yet. `event` happens where somebody has waited for `ahead`.
    pub fn new(ahead: Span, event: Event, calendar: &mut Calendar<Event>) -> Self {
        Deadlines { ahead, waiting: VecDeque::new(), timer: calendar.timer(), event }
    }

    /// Somebody begins to wait for `request`.
    #[inline(always)] // on every request's way
    pub fn add(&mut self, request: Ref, requests: &Slab<Request>, calendar: &mut Calendar<Event>) {
        let deadline = calendar.now() + self.ahead;
        if self.waiting.is_empty() {
            calendar.set_at(self.timer, deadline, self.event);
        }
        self.waiting.push_back((deadline, request));
        // Most that wait here have been answered long ago: with a long timeout they would pile up.
        if self.waiting.len() > LEAST_KEPT + 2 * requests.len() {
            self.waiting.retain(|&(_, request)| requests.live(request).is_some());
        }
    }

    /// The next request that was waited for long enough and is still there. Where there is none the timer is set for the
    /// first that will be.
    pub fn due(&mut self, requests: &Slab<Request>, calendar: &mut Calendar<Event>) -> Option<u32> {
        while let Some(&(deadline, request)) = self.waiting.front() {
            // One that somebody has answered instead of its server is still worked on, and nobody waits for it.
            let waited_for = requests.live(request).filter(|&slot| !requests[slot].abandoned());
            if let Some(slot) = waited_for {
                if deadline > calendar.now() {
                    calendar.set_at(self.timer, deadline, self.event);
                    return None;
                }
                self.waiting.pop_front();
                return Some(slot);
            }
            self.waiting.pop_front();
        }
        None
    }
}
