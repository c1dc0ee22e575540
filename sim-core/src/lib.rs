//! The kernel of scalesim: time, order, chance and statistics. It never hears of requests, files or TOML.
//!
//! Read [`time`] first, then [`calendar`] (what happens next) and [`simulation`] (the run loop), then
//! [`chance`] and
//! [`dist`] (where randomness comes from), and [`stats`] (what is kept of a run).

pub mod calendar;
pub mod chance;
pub mod dist;
pub mod heap;
pub mod simulation;
pub mod stats;
pub mod time;

pub use calendar::{Calendar, FixedDelay, Timer};
pub use chance::{Draws, Keyed, Seed, Stream};
pub use heap::MinHeap;
pub use simulation::{Model, Probe, Simulation, Stop};
pub use time::{ParseSpanError, Span, Time};
