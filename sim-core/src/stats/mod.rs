//! What is kept of a run, in memory that does not grow with it.

mod batch_means;
mod histogram;
mod interval;
mod mser;
mod paired;
mod proportion;
mod series;
mod tally;
mod time_weighted;

pub use batch_means::BatchMeans;
pub use histogram::{Histogram, Precision};
pub use interval::Interval;
pub use mser::{Truncation, mser5};
pub use paired::Paired;
pub use proportion::Proportion;
pub use series::{Bucket, Series};
pub use tally::Tally;
pub use time_weighted::TimeWeighted;
