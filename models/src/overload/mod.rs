//! What keeps load away: pure state machines that are asked with the time and tested without a simulation.
//!
//! None of them needs an event: a bucket is filled up, a window moves on and a breaker goes half open as somebody asks.
//! `system/guard.rs` and `system/hedge.rs` ask.

mod breaker;
mod retry_budget;
mod token_bucket;

pub use breaker::{Breaker, Call, Change, State};
pub use retry_budget::Budget;
pub use token_bucket::TokenBucket;
