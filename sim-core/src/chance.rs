//! Randomness as a contract: a named, portable generator, and streams that do not move under you.
//!
//! Every stream is derived from the run's [`Seed`] and a *name* (`"traffic/web/arrivals"`), never from the
//! order in which things were built: adding a service changes no other draw. What belongs to one request (its
//! demand, its place in the mix) comes from a [`Keyed`] stream at the request's number, so two policies play
//! the same requests: common random numbers.
//!
//! Sequential streams are xoshiro256++ (Blackman and Vigna, 2019) from `rand`; keyed ones are SplitMix64
//! (Steele, Lea and Flood, 2014), which costs a few nanoseconds to start where xoshiro needs fifty.

use std::convert::Infallible;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng, TryRng};

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The one number a run is reproduced from.
///
/// ```
/// use rand::Rng;
/// use sim_core::Seed;
/// let mut a = Seed::new(42).stream("traffic/web/arrivals");
/// let mut b = Seed::new(42).stream("traffic/web/arrivals");
/// assert_eq!(a.next_u64(), b.next_u64());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed a scenario states.
    pub const fn new(seed: u64) -> Seed {
        Seed(seed)
    }

    /// The seed of replication `n`. Replication 0 is the seed itself, so one run and the first of many agree.
    pub fn replication(self, n: u32) -> Seed {
        if n == 0 { self } else { Seed(mix(self.0 ^ mix(u64::from(n).wrapping_mul(GOLDEN_GAMMA)))) }
    }

    /// The number that gives this seed to [`Seed::new`].
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A sequential stream of this name.
    pub fn stream(self, name: &str) -> Stream {
        Stream(Xoshiro256PlusPlus::seed_from_u64(self.derive(name)))
    }

    /// A keyed stream of this name.
    pub fn keyed(self, name: &str) -> Keyed {
        Keyed(self.derive(name))
    }

    /// FNV-1a over the name's bytes, then mixed with the seed.
    fn derive(self, name: &str) -> u64 {
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        mix(mix(self.0.wrapping_add(GOLDEN_GAMMA)) ^ hash)
    }
}

/// A sequential stream: what follows depends on how much was drawn before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream(Xoshiro256PlusPlus);

impl TryRng for Stream {
    type Error = Infallible;
    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }
    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

/// A family of short streams, one per number.
///
/// ```
/// use rand::Rng;
/// use sim_core::Seed;
/// let demands = Seed::new(42).keyed("service/api/GET /");
/// let first = demands.at(7).next_u64();
/// demands.at(8).next_u64();
/// assert_eq!(demands.at(7).next_u64(), first, "the draw belongs to the number, not to the order");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed(u64);

impl Keyed {
    /// The draws that belong to `number`.
    #[inline]
    pub fn at(self, number: u64) -> Draws {
        Draws(mix(self.0 ^ mix(number.wrapping_add(GOLDEN_GAMMA))))
    }
}

/// The draws of one number in a [`Keyed`] family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws(u64);

impl TryRng for Draws {
    type Error = Infallible;
    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }
    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        Ok(mix(self.0))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

/// A uniform draw from `[0, 1)` with 53 random bits.
#[inline]
pub fn unit(bits: &mut impl Rng) -> f64 {
    (bits.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// A uniform draw from `0..n`; 0 where `n` is 0. Lemire's multiply-shift, whose bias of `n / 2^64` no run can see.
#[inline]
pub fn below(bits: &mut impl Rng, n: u32) -> u32 {
    ((u128::from(bits.next_u64()) * u128::from(n)) >> 64) as u32
}

/// SplitMix64's finaliser (variant 13 of Stafford's).
#[inline]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here changes every result of every scenario: it needs a "Results change" note in the changelog.
    #[test]
    fn values_are_pinned() {
        let mut stream = Seed::new(42).stream("traffic/web/arrivals");
        let mut draws = Seed::new(42).keyed("service/api/demand").at(7);
        let seen = [stream.next_u64(), stream.next_u64(), draws.next_u64(), draws.next_u64()];
        assert_eq!(
            seen,
            [15751977787206101479, 15127819468401928325, 14191496953586440597, 15421037580303076878]
        );
    }

    #[test]
    fn names_seeds_and_replications_give_different_streams() {
        let base = Seed::new(1).stream("a").next_u64();
        assert_ne!(base, Seed::new(1).stream("b").next_u64());
        assert_ne!(base, Seed::new(2).stream("a").next_u64());
        assert_ne!(base, Seed::new(1).replication(1).stream("a").next_u64());
        assert_eq!(base, Seed::new(1).replication(0).stream("a").next_u64());
    }

    /// Neighbouring keys must not look alike: mean and lag-one correlation of their first draws.
    #[test]
    fn neighbouring_keys_are_independent() {
        let keyed = Seed::new(3).keyed("k");
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|i| unit(&mut keyed.at(i)) - 0.5).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let lag_one = draws.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n as f64 * 12.0;
        let limit = 4.0 / (n as f64).sqrt();
        assert!(mean.abs() < limit * 0.29, "{mean}");
        assert!(lag_one.abs() < limit, "{lag_one}");
    }

    #[test]
    fn below_stays_below() {
        let mut stream = Seed::new(5).stream("below");
        assert!((0..10_000).all(|_| below(&mut stream, 7) < 7));
        assert_eq!(below(&mut stream, 0), 0);
    }
}
