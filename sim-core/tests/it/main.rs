//! Integration tests of sim-core, one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]

mod calendar;
mod dist;
mod paired;
mod stats;
