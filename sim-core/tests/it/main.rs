//! Integration tests of sim-core, one binary.

mod calendar;
mod dist;
mod stats;
