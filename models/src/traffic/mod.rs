//! When requests come: profiles and traces become a [`RateFunction`] or exact instants, and [`Arrivals`] plays them.

mod arrivals;
mod profile;
mod rate;
pub mod trace;

pub use arrivals::{Arrivals, Counts, Log, RateArrivals};
pub use profile::{Decay, Height, Profile, Spike, WEEK};
pub use rate::RateFunction;
