//! A token bucket: so many a second, and what was saved up.

use sim_core::Time;

use crate::plan::RateLimit;

/// Parts of a token in nanoseconds times billionths of a token per second.
const TOKEN: u128 = 1_000_000_000_000_000_000;

/// A bucket of tokens. Integers keep it exact: in any stretch of time it gives out what it held and what came in, and no
/// token more or less, however often it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Billionths of a token per second.
    rate: u64,
    full: u128,
    held: u128,
    filled: Time,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(plan: RateLimit) -> Self {
        let full = u128::from(plan.burst.max(1)) * TOKEN;
        let rate = (plan.rate * 1e9).round().max(1.0) as u64;
        TokenBucket { rate, full, held: full, filled: Time::ZERO }
    }

    /// Takes a token, where there is one.
    pub fn take(&mut self, now: Time) -> bool {
        let came = u128::from(now.since(self.filled).as_nanos()) * u128::from(self.rate);
        self.filled = now;
        self.held = (self.held + came).min(self.full);
        let there_is = self.held >= TOKEN;
        if there_is {
            self.held -= TOKEN;
        }
        there_is
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    /// Three a second, asked around the instants at which a third of a second is over.
    #[test]
    fn a_token_comes_at_its_nanosecond() {
        let mut bucket = TokenBucket::new(RateLimit { rate: 3.0, burst: 2 });
        assert_eq!([bucket.take(at(0)), bucket.take(at(0)), bucket.take(at(0))], [true, true, false]);
        let around = (1..=2).flat_map(|n| [333_333_333 * n, 333_333_333 * n + 1]);
        let given: Vec<u64> = around.filter(|&nanos| bucket.take(at(nanos))).collect();
        assert_eq!(
            given,
            [333_333_334, 666_666_667],
            "a third of a second is a little more than 333,333,333 ns"
        );
    }

    proptest! {
        /// Asked for all it has again and again, it gives `burst + rate t` from the start, and in no stretch more.
        #[test]
        fn any_stretch_gets_what_was_saved_and_what_came(
            rate in 1u64..5_000, burst in 1u64..50, gaps in prop::collection::vec(0u64..8_000_000, 1..400),
        ) {
            let mut bucket = TokenBucket::new(RateLimit { rate: rate as f64, burst: burst as u32 });
            let (mut now, mut given, mut overflows) = (0u64, Vec::new(), false);
            for gap in std::iter::once(0).chain(gaps) {
                now += gap;
                while bucket.take(at(now)) {
                    given.push(now);
                }
                // Less than a token is left, so that only a long gap could fill it up.
                overflows |= gap * rate > (burst - 1) * 1_000_000_000;
            }
            let most = burst + now * rate / 1_000_000_000;
            prop_assert!(given.len() as u64 <= most, "{} of {most}", given.len());
            prop_assert!(overflows || given.len() as u64 == most, "{} of {most}", given.len());
            for (from, &first) in given.iter().enumerate() {
                for (count, &last) in (1..).zip(&given[from..]) {
                    let came = ((last - first) * rate).div_ceil(1_000_000_000);
                    prop_assert!(count <= burst + came, "{count} between {first} and {last}");
                }
            }
        }
    }
}
