//! Integration tests of sim-core, one binary.

mod calendar;
