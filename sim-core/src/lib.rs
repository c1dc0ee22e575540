//! The kernel of scalesim: time, order, chance and statistics. It never hears of requests, files or TOML.
//!
//! Read [`time`] first, then [`calendar`] (what happens next) and [`simulation`] (the run loop), [`chance`]
//! and [`dist`] (where randomness comes from), and [`stats`] (what is kept of a run, in bounded memory).

pub mod chance;
pub mod time;

pub use chance::{Draws, Keyed, Seed, Stream};
pub use time::{ParseSpanError, Span, Time};
