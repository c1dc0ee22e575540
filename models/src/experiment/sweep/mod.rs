//! Sweeps: a scenario under many settings.
//!
//! [`axis`] says which values a path takes.

pub mod axis;
mod range;

pub use axis::{Axis, AxisError, Values};
pub use range::Range;
