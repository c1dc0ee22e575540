//! A stretch of regular iterations: each longer than the one before by the same amount.
//!
//! Iterations end between nanoseconds. They are added up in fractions of 2⁻²⁰ ns and in integers, so that it makes no
//! difference into how many stretches a number of iterations is cut.

use sim_core::Time;

/// Bits behind the point of a nanosecond.
pub(super) const FRACTION: u32 = 20;

/// An instant, or a length, in 2⁻²⁰ ns.
pub(super) type Exact = u128;

/// The instant of a whole nanosecond.
pub(super) fn exact(time: Time) -> Exact {
    Exact::from(time.as_nanos()) << FRACTION
}

/// The first whole nanosecond that is not before `instant`.
pub(super) fn ceil(instant: Exact) -> Time {
    let nanos = instant.saturating_add((1 << FRACTION) - 1) >> FRACTION;
    Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Iterations that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// When the first of them begins.
    pub start: Exact,
    /// How long it takes.
    pub first: Exact,
    /// How much longer each takes than the one before.
    pub growth: Exact,
    /// How many there are.
    pub left: u64,
}

impl Stretch {
    /// No iteration: only an instant at which the next batch is made.
    pub fn none(start: Exact) -> Self {
        Stretch { start, first: 0, growth: 0, left: 0 }
    }

    /// How long the first `n` take: an arithmetic series.
    pub fn length(&self, n: u64) -> Exact {
        let n = Exact::from(n);
        n * self.first + self.growth * (n * n.saturating_sub(1) / 2)
    }

    /// When the last of them is over.
    pub fn end(&self) -> Exact {
        self.start.saturating_add(self.length(self.left))
    }

    /// How many are over at `now`.
    pub fn over_by(&self, now: Exact) -> u64 {
        if self.end() <= now {
            return self.left;
        }
        let Some(passed) = now.checked_sub(self.start) else { return 0 };
        let (mut over, mut not) = (0, self.left);
        while over + 1 < not {
            let middle = over + (not - over) / 2;
            if self.length(middle) <= passed {
                over = middle;
            } else {
                not = middle;
            }
        }
        over
    }

    /// Leaves the first `n` behind.
    pub fn pass(&mut self, n: u64) {
        self.start = self.start.saturating_add(self.length(n));
        self.first += self.growth * Exact::from(n);
        self.left -= n;
    }

    /// Ends it with the first iteration that is over after `now`.
    pub fn cut(&mut self, now: Exact) {
        self.left = self.left.min(self.over_by(now) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_counted_as_if_one_by_one_and_wherever_the_stretch_is_cut() {
        let whole = Stretch { start: 7, first: 10, growth: 3, left: 50 };
        let mut ends = vec![7];
        for n in 0..50 {
            ends.push(ends[n as usize] + 10 + 3 * n);
        }
        assert_eq!(whole.end(), ends[50]);
        for now in 0..ends[50] + 20 {
            let over = ends[1..].iter().filter(|&&end| end <= now).count() as u64;
            assert_eq!(whole.over_by(now), over, "at {now}");
            let (mut rest, mut cut) = (whole, whole);
            rest.pass(over);
            assert_eq!((rest.end(), rest.start), (whole.end(), ends[over as usize]), "at {now}");
            cut.cut(now);
            assert_eq!(cut.left, (over + 1).min(50), "at {now}");
        }
    }

    #[test]
    fn an_iteration_is_seen_to_be_over_at_the_next_whole_nanosecond() {
        assert_eq!(ceil(exact(Time::from_nanos(5))), Time::from_nanos(5));
        assert_eq!(ceil(exact(Time::from_nanos(5)) + 1), Time::from_nanos(6));
        assert_eq!(ceil(Exact::MAX), Time::NEVER);
    }
}
