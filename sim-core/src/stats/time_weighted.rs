//! The time average of something that changes at instants: a queue's length, a fleet's size.

use crate::time::Time;

/// A piecewise constant quantity and its average over time.
///
/// ```
/// use sim_core::stats::TimeWeighted;
/// use sim_core::{Span, Time};
/// let at = |s| Time::ZERO + Span::from_secs(s);
/// let mut busy = TimeWeighted::new(at(0), 0.0);
/// busy.set(at(6), 4.0);
/// assert_eq!(busy.mean(at(8)), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeWeighted {
    value: f64,
    since: Time,
    changed: Time,
    area: f64,
    max: f64,
}

impl TimeWeighted {
    /// Starts with `value` at `now`.
    pub fn new(now: Time, value: f64) -> Self {
        TimeWeighted { value, since: now, changed: now, area: 0.0, max: value }
    }

    /// It is `value` from now on. Time does not run backwards: an earlier instant counts as the latest one.
    #[inline]
    pub fn set(&mut self, now: Time, value: f64) {
        self.area += self.value * now.since(self.changed).as_nanos() as f64;
        self.changed = self.changed.max(now);
        self.value = value;
        self.max = self.max.max(value);
    }

    /// It grows by `change`, which may be negative.
    #[inline]
    pub fn add(&mut self, now: Time, change: f64) {
        self.set(now, self.value + change);
    }

    /// What it is.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// When it was set last.
    pub fn changed(&self) -> Time {
        self.changed
    }

    /// The largest it was.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Its integral over time, in value seconds.
    pub fn integral(&self, now: Time) -> f64 {
        (self.area + self.value * now.since(self.changed).as_nanos() as f64) / 1e9
    }

    /// Its average; what it is where no time has passed.
    pub fn mean(&self, now: Time) -> f64 {
        let seconds = now.since(self.since).as_secs_f64();
        if seconds > 0.0 { self.integral(now) / seconds } else { self.value }
    }

    /// Forgets the past.
    pub fn reset(&mut self, now: Time) {
        *self = TimeWeighted::new(now, self.value);
    }
}
