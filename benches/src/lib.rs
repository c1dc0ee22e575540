//! The same work on scalesim's kernel, by hand, and on other simulators: same generator, same draws, same customers. Each
//! piece of work returns the mean sojourn it measured, so that nobody can make it faster by doing less.

pub mod by_hand;
pub mod kernel;
#[cfg(feature = "peers")]
pub mod peers;
pub mod sessions;
pub mod system;

use rand_distr::{Distribution, Exp1};
use sim_core::{Seed, Span, Stream};

/// Utilisation of every queue here.
pub const UTILISATION: f64 = 0.8;

/// Gaps and demands of a queue with a number of servers; a demand takes a second on average.
#[derive(Clone, Debug)]
pub struct Draws {
    gaps: Stream,
    demands: Stream,
    mean_gap: f64,
}

impl Draws {
    /// The draws of a queue with `servers` servers.
    pub fn new(servers: u32) -> Self {
        let seed = Seed::new(42);
        let mean_gap = 1.0 / (UTILISATION * f64::from(servers));
        Draws { gaps: seed.stream("gaps"), demands: seed.stream("demands"), mean_gap }
    }

    /// Seconds to the next arrival.
    #[inline]
    pub fn gap(&mut self) -> f64 {
        let unit: f64 = Exp1.sample(&mut self.gaps);
        unit * self.mean_gap
    }

    /// Seconds of service.
    #[inline]
    pub fn demand(&mut self) -> f64 {
        Exp1.sample(&mut self.demands)
    }

    /// The same in whole nanoseconds.
    #[inline]
    pub fn gap_span(&mut self) -> Span {
        Span::from_secs_f64(self.gap())
    }

    /// The same in whole nanoseconds.
    #[inline]
    pub fn demand_span(&mut self) -> Span {
        Span::from_secs_f64(self.demand())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small sizes of everything, so that nothing rots; and all agree.
    #[test]
    fn all_ways_give_the_same_answer() {
        for servers in [1, 8] {
            let expected = by_hand::fifo(servers, 20_000);
            assert_eq!(kernel::fifo(servers, 20_000), expected, "{servers} servers");
            #[cfg(feature = "peers")]
            for (name, run) in peers::ALL {
                let seen = run(servers, 20_000);
                assert!((seen - expected).abs() < 1e-6 * expected, "{name}: {seen} for {expected}");
            }
        }
        let (kernel, hand) = (kernel::sharing(20_000), by_hand::sharing(20_000));
        assert!((kernel - hand).abs() < 1e-6 * hand, "{kernel} for {hand}");
        assert_eq!(kernel::hold(1_000, 5_000), by_hand::hold(1_000, 5_000));
        assert!(kernel::bursts(1_000) > 0 && kernel::quanta(1_000) >= 1_000);
        let sessions = &sessions::play(&sessions::open(1_000, 1.0, 5.0)).sessions[0];
        assert!(sessions.messages + sessions.pushes > 4_500, "{sessions:?}");
        assert!(system::requests(&system::fifty_instances(system::TWO_BURSTS, "slices", 0.1)) > 500);
    }
}
