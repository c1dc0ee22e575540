//! A circuit breaker: CLOSED while calls go well, OPEN where too many do not, HALF_OPEN to try again.
//!
//! The rules are resilience4j's, with its sliding window that counts calls. Calls that end are judged in the state in which
//! they end, whichever let them through. From OPEN to HALF_OPEN it goes with the first call that asks after its time.

use sim_core::{Span, Time};

use crate::plan::Trip;

/// A circuit breaker in use.
#[derive(Clone, Debug)]
pub struct Breaker {
    plan: Trip,
    state: State,
    /// The last calls, the oldest at `next` once it is full.
    calls: Vec<Call>,
    next: usize,
    failed: u32,
    slow: u32,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everybody may call.
    Closed,
    /// Nobody may, until then.
    Open {
        /// When the next may try.
        until: Time,
    },
    /// So many more may try.
    HalfOpen {
        /// Calls that are left.
        permits: u32,
    },
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Not answered, or answered with an error.
    pub failed: bool,
    /// Longer than a call may take, answered or not.
    pub slow: bool,
}

/// A change of state, and the calls that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Calls that were looked at.
    pub calls: u32,
    /// Those that had failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
}

impl Breaker {
    /// A closed breaker that has seen no call.
    pub fn new(plan: Trip) -> Self {
        Breaker { plan, state: State::Closed, calls: Vec::new(), next: 0, failed: 0, slow: 0 }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// How long a call may take before it is slow.
    pub fn slow_call(&self) -> Span {
        self.plan.slow_call
    }

    /// Whether a call may be made now, and what asking has changed.
    pub fn admit(&mut self, now: Time) -> (bool, Option<Change>) {
        let mut change = None;
        if let State::Open { until } = self.state {
            if now < until {
                return (false, None);
            }
            change = Some(self.enter(State::HalfOpen { permits: self.plan.trial_requests }));
        }
        match &mut self.state {
            State::HalfOpen { permits: 0 } => (false, change),
            State::HalfOpen { permits } => {
                *permits -= 1;
                (true, change)
            }
            _ => (true, change),
        }
    }

    /// A call has ended.
    pub fn ended(&mut self, now: Time, call: Call) -> Option<Change> {
        let (window, least) = match self.state {
            State::Closed => (self.plan.window, self.plan.minimum),
            State::HalfOpen { .. } => (self.plan.trial_requests, self.plan.minimum),
            State::Open { .. } => return None, // it was let through before
        };
        let calls = self.remember(call, window.max(1));
        if calls < least.min(window).max(1) {
            return None;
        }
        let share = |count: u32| f64::from(count) / f64::from(calls);
        if share(self.failed) >= self.plan.failure_rate || share(self.slow) >= self.plan.slow_rate {
            Some(self.enter(State::Open { until: now + self.plan.open_for }))
        } else if self.state == State::Closed {
            None
        } else {
            Some(self.enter(State::Closed))
        }
    }

    /// A call was taken back before it ended, and says nothing.
    pub fn released(&mut self) {
        if let State::HalfOpen { permits } = &mut self.state {
            *permits = (*permits + 1).min(self.plan.trial_requests);
        }
    }

    /// Puts a call into the window; how many are in it.
    fn remember(&mut self, call: Call, window: u32) -> u32 {
        if self.calls.len() < window as usize {
            self.calls.push(call);
        } else {
            let oldest = std::mem::replace(&mut self.calls[self.next], call);
            self.next = (self.next + 1) % window as usize;
            self.failed -= u32::from(oldest.failed);
            self.slow -= u32::from(oldest.slow);
        }
        self.failed += u32::from(call.failed);
        self.slow += u32::from(call.slow);
        self.calls.len() as u32
    }

    /// Changes the state; each begins with an empty window.
    fn enter(&mut self, to: State) -> Change {
        let from = std::mem::replace(&mut self.state, to);
        let calls = self.calls.len() as u32;
        let change = Change { from, to, calls, failed: self.failed, slow: self.slow };
        self.calls.clear();
        (self.next, self.failed, self.slow) = (0, 0, 0);
        change
    }
}

impl Change {
    /// In words and numbers. `name` is the balancer's.
    pub fn describe(&self, name: &str, plan: &Trip) -> String {
        let Change { calls, failed, slow, .. } = self;
        let seen = format!("of {calls} calls {failed} failed and {slow} took longer than {}", plan.slow_call);
        match (self.from, self.to) {
            (State::HalfOpen { .. }, State::Open { .. }) => {
                format!("The circuit breaker of {name} opened again for {}: {seen}.", plan.open_for)
            }
            (_, State::Open { .. }) => {
                format!("The circuit breaker of {name} opened for {}: {seen}.", plan.open_for)
            }
            (_, State::HalfOpen { permits }) => {
                format!("The circuit breaker of {name} is half open: it lets {permits} calls through.")
            }
            (_, State::Closed) => format!("The circuit breaker of {name} closed: {seen}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Trip = Trip {
        failure_rate: 0.5,
        slow_call: Span::from_secs(2),
        slow_rate: 1.0,
        window: 10,
        minimum: 4,
        open_for: Span::from_secs(60),
        trial_requests: 3,
    };
    const GOOD: Call = Call { failed: false, slow: false };
    const BAD: Call = Call { failed: true, slow: false };
    const SLOW: Call = Call { failed: false, slow: true };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    fn states(breaker: &mut Breaker, now: Time, calls: &[Call]) -> Vec<State> {
        calls.iter().filter_map(|&call| Some(breaker.ended(now, call)?.to)).collect()
    }

    #[test]
    fn it_opens_at_the_share_and_not_before_the_minimum() {
        let mut breaker = Breaker::new(PLAN);
        assert!(states(&mut breaker, at(1), &[BAD, BAD, BAD]).is_empty(), "three of a minimum of four");
        assert_eq!(states(&mut breaker, at(1), &[GOOD]), [State::Open { until: at(61) }], "three of four");
        let mut breaker = Breaker::new(PLAN);
        assert!(states(&mut breaker, at(1), &[GOOD, GOOD, GOOD, BAD, BAD]).is_empty(), "two of five");
        assert_eq!(
            states(&mut breaker, at(1), &[BAD]),
            [State::Open { until: at(61) }],
            "three of six are half"
        );
    }

    /// Ten calls are in the window: what was before them does not count.
    #[test]
    fn the_window_slides() {
        let mut breaker = Breaker::new(PLAN);
        assert!(states(&mut breaker, at(1), &[GOOD; 10]).is_empty());
        assert!(states(&mut breaker, at(1), &[BAD; 4]).is_empty(), "four of ten");
        assert!(states(&mut breaker, at(1), &[GOOD; 6]).is_empty());
        assert!(states(&mut breaker, at(1), &[BAD; 4]).is_empty(), "the first four have slid out one by one");
        assert_eq!(states(&mut breaker, at(1), &[BAD]).len(), 1, "five of ten");
    }

    #[test]
    fn the_whole_circle() {
        let mut breaker = Breaker::new(PLAN);
        states(&mut breaker, at(0), &[BAD; 4]);
        assert_eq!(breaker.admit(at(59)), (false, None));
        assert_eq!(breaker.ended(at(59), GOOD), None, "one that was let through before says nothing now");
        let (admitted, change) = breaker.admit(at(60));
        assert!(admitted && change.is_some_and(|change| change.to == State::HalfOpen { permits: 3 }));
        assert_eq!(
            [breaker.admit(at(60)).0, breaker.admit(at(61)).0, breaker.admit(at(61)).0],
            [true, true, false]
        );
        // A trial of three is smaller than the minimum of four: it is decided once all three are back.
        assert_eq!(states(&mut breaker, at(62), &[GOOD, BAD]), []);
        assert_eq!(states(&mut breaker, at(62), &[BAD]), [State::Open { until: at(122) }]);
        assert!(breaker.admit(at(122)).0);
        breaker.released();
        assert_eq!(
            breaker.state(),
            State::HalfOpen { permits: 3 },
            "one that was taken back may be tried again"
        );
        assert_eq!(
            states(&mut breaker, at(123), &[GOOD, GOOD, BAD]),
            [State::Closed],
            "one of three is below half"
        );
        assert_eq!(states(&mut breaker, at(124), &[BAD, BAD, BAD]), [], "it begins anew");
    }

    #[test]
    fn slow_calls_have_their_own_share() {
        let mut breaker = Breaker::new(Trip { slow_rate: 0.75, ..PLAN });
        let change = [GOOD, SLOW, SLOW, SLOW].iter().find_map(|&call| breaker.ended(at(5), call));
        let change = change.unwrap();
        assert_eq!((change.calls, change.failed, change.slow), (4, 0, 3));
        assert_eq!(
            change.describe("front", &PLAN),
            "The circuit breaker of front opened for 1min: of 4 calls 0 failed and 3 took longer than 2s."
        );
    }
}
