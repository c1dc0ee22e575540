//! scalesim predicts what a web system will do before anyone pays for it.
//!
//! A [`Scenario`] says traffic, servers, balancer, scaling policy, prices and SLA; an [`Experiment`] plays it request by
//! request and gives [`results::Results`]: which minutes break the SLA and why, what it costs, and what happened.
//!
//! The library opens no file, prints nothing and reads no clock: it takes text and readers in, and gives data out. The same
//! scenario and seed give the same results, on one thread or many.
//!
//! Where to read: [`plan`] and [`results`] are the two ends; [`event`] is all that can happen in between, and
//! [`system`] lets it happen.

pub mod balancer;
pub mod batching;
pub mod capacity;
pub mod connections;
pub mod cost;
pub mod estimate;
pub mod event;
pub mod experiment;
mod jobs;
pub mod kubernetes;
pub mod machine;
pub mod measure;
pub mod oracle;
pub mod overload;
pub mod plan;
pub mod queue;
pub mod results;
pub mod runtime;
pub mod scaling;
pub mod scenario;
pub mod sla;
pub mod supervisor;
pub mod system;
pub mod testing;
pub mod theory;
pub mod traffic;
mod words;

pub use experiment::{Experiment, Progress, Watch};
pub use scenario::{Diagnostics, Draft, Files, NoFiles, Scenario};
