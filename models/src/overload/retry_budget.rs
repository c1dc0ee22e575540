//! A retry budget: requests pay in, retries draw out, and both are forgotten after a while.
//!
//! Finagle's `RetryBudget`: a request deposits 1000, a retry costs 1000 over the ratio, and a reserve of so many retries a
//! second is always there. Ten slices of the time to live hold what was paid in and drawn out in each.

use sim_core::Time;

use crate::plan::RetryBudget;

/// Slices of the time to live, as Finagle has them.
const SLICES: usize = 10;
/// What a request deposits. Finagle's scale: no fractions below a thousandth.
const DEPOSIT: i64 = 1_000;

/// A retry budget in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    cost: i64,
    reserve: i64,
    slice: u64,
    slices: [i64; SLICES],
    sum: i64,
    /// The number of the slice that is open.
    open: u64,
}

impl Budget {
    /// A budget that nobody has paid into.
    pub fn new(plan: RetryBudget) -> Self {
        let ratio = plan.ratio.clamp(RetryBudget::LEAST_RATIO, RetryBudget::MOST_RATIO);
        let cost = (DEPOSIT as f64 / ratio) as i64;
        let retries = f64::from(plan.per_second.min(RetryBudget::MOST_PER_SECOND)) * plan.ttl.as_secs_f64();
        Budget {
            cost,
            reserve: (retries * cost as f64) as i64,
            slice: (plan.ttl.as_nanos() / SLICES as u64).max(1),
            slices: [0; SLICES],
            sum: 0,
            open: 0,
        }
    }

    /// Somebody sends a request for the first time.
    pub fn deposit(&mut self, now: Time) {
        self.add(now, DEPOSIT);
    }

    /// Whether there is enough for a retry.
    pub fn affords(&mut self, now: Time) -> bool {
        self.roll(now);
        self.sum + self.reserve >= self.cost
    }

    /// Pays for a retry; false where there is not enough.
    pub fn withdraw(&mut self, now: Time) -> bool {
        let enough = self.affords(now);
        if enough {
            self.add(now, -self.cost);
        }
        enough
    }

    fn add(&mut self, now: Time, amount: i64) {
        self.roll(now);
        self.sum += amount;
        self.slices[(self.open % SLICES as u64) as usize] += amount;
    }

    /// Forgets the slices that are over.
    fn roll(&mut self, now: Time) {
        let number = now.as_nanos() / self.slice;
        for _ in 0..(number - self.open).min(SLICES as u64) {
            self.open += 1;
            let slice = &mut self.slices[(self.open % SLICES as u64) as usize];
            self.sum -= std::mem::take(slice);
        }
        self.open = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sim_core::Span;

    const PLAN: RetryBudget = RetryBudget { ratio: 0.2, per_second: 10, ttl: Span::from_secs(10) };

    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    fn withdrawn(budget: &mut Budget, now: Time) -> u32 {
        (0..10_000).map_while(|_| budget.withdraw(now).then_some(())).count() as u32
    }

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second() {
        let mut budget = Budget::new(PLAN);
        assert_eq!(withdrawn(&mut budget, at(0)), 100, "the reserve of ten seconds");
        (0..500).for_each(|_| budget.deposit(at(500)));
        assert_eq!(withdrawn(&mut budget, at(700)), 100, "a fifth of 500");
        assert_eq!(withdrawn(&mut budget, at(9_999)), 0);
        assert_eq!(withdrawn(&mut budget, at(10_000)), 100, "what was drawn ten seconds ago is forgotten");
    }

    #[test]
    fn requests_are_forgotten_too() {
        let mut budget = Budget::new(RetryBudget { per_second: 0, ..PLAN });
        (0..50).for_each(|_| budget.deposit(at(100)));
        assert_eq!(withdrawn(&mut budget.clone(), at(9_900)), 10);
        assert_eq!(withdrawn(&mut budget.clone(), at(10_100)), 0);
        assert_eq!(withdrawn(&mut budget, at(3_600_000)), 0);
    }

    proptest! {
        /// In the time to live before any retry: no more of them than the ratio of the requests and the reserve.
        #[test]
        fn no_window_has_more_than_its_share(steps in prop::collection::vec((0u64..400, 0u32..30, 0u32..30), 1..300)) {
            let mut budget = Budget::new(PLAN);
            let (mut now, mut slices): (u64, Vec<(u64, u64)>) = (0, vec![(0, 0)]);
            for (gap, requests, retries) in steps {
                now += gap;
                slices.resize(now as usize / 1_000 + 1, (0, 0));
                (0..requests).for_each(|_| budget.deposit(at(now)));
                let made = (0..retries).filter(|_| budget.withdraw(at(now))).count() as u64;
                let slice = slices.last_mut().unwrap();
                (slice.0, slice.1) = (slice.0 + u64::from(requests), slice.1 + made);
                let lately = &slices[slices.len().saturating_sub(10)..];
                let (requests, retries) = lately.iter().fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
                prop_assert!(made == 0 || retries <= requests / 5 + 100, "{retries} of {requests}");
            }
        }
    }
}
