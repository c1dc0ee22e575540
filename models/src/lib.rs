//! scalesim predicts what a web system will do before anyone pays for it.

pub mod plan;
pub mod results;
