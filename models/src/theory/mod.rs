//! Closed forms of queueing theory: what a simulation must agree with where both apply.
//!
//! Nothing here simulates. Every function is pure arithmetic on `f64`, so the answers serve as the truth of
//! tests, as the `estimate` command's first answer, and as a line printed beside a simulated result.
//!
//! | question | type |
//! |---|---|
//! | requests rejected when every server is busy | [`erlang_b`] |
//! | one first-come-first-served queue, exponential service times | [`Mmc`] |
//! | the same with a bounded queue | [`Mmck`] |
//! | the same with requests that give up waiting | [`ErlangA`], [`QueueTimeout`] |
//! | rejected requests that try again | [`Retrial`] |
//! | one server, any service times | [`Mg1`], and [`Mg1Setup`] if it is switched off when idle |
//! | servers that break down, or are off while there is nothing to do | [`Mg1Breakdown`], [`MmcBreakdown`], [`MmcSetup`] |
//! | constant service times | [`Mdc`] |
//! | cores shared equally by all requests present | [`MgcPs`], [`MgckPs`], [`MmcPs`] |
//! | a balancer in front of many servers | [`RoundRobin`], [`PowerOfChoices`] |
//! | traffic that varies over the day | [`InfiniteServers`], [`TransientMmc`] |
//! | more traffic than capacity for a while | [`FlashCrowd`], [`StepLoad`] |
//! | many servers, any service times | [`approximation`] |
//! | requests that arrive many at once | [`Mg1BatchArrivals`], [`MmcBatchArrivals`], of a [`BatchSize`] |
//! | items served many at a time | [`BatchService`], and [`BulkPickUp`] if they are picked up at intervals |
//! | a worker that sleeps when it finds nothing | [`Mg1Vacations`] |
//! | an answer that clients poll for | [`SynchronousPolling`], [`FreeRunningPolling`], [`first_poll_after`] |
//! | an alarm that looks once a period | [`PeriodicAlarm`] |
//!
//! A balancer that picks at random splits a Poisson stream into independent Poisson streams, so each of `n`
//! servers is the single-server model at `1/n` of the arrival rate; no type is needed for it. Round robin over
//! `n` servers with equal constant service times makes every request wait as long as in [`Mdc`] with `n` servers.
//!
//! # Conventions
//! Any unit of time will do, as long as it is one: rates are per unit, times are in that unit. *Wait* runs from
//! arrival to the first start of service, *sojourn* from arrival to completion (the response time as the server
//! sees it). The *offered load* is the arrival rate times the mean service time, in servers; the *utilisation* is
//! the offered load per server. Arrivals are Poisson unless the type says otherwise.
//!
//! ```
//! use scalesim::theory::Mmc;
//! // 90 requests a second on 4 workers that need 40 ms each.
//! let queue = Mmc::new(90.0, 25.0, 4)?;
//! assert!((queue.utilisation() - 0.9).abs() < 1e-12);
//! assert!((queue.mean_sojourn() - 0.1188).abs() < 1e-4);
//! assert!(Mmc::new(100.0, 25.0, 4).is_err(), "a queue at full load has no mean");
//! # Ok::<(), scalesim::theory::TheoryError>(())
//! ```

mod alarm;
pub mod approximation;
mod balancing;
mod batch_arrivals;
mod batch_service;
mod birth_death;
mod constant_service;
mod erlang;
mod error;
mod finite;
mod impatient;
mod interrupted;
mod numeric;
mod polling;
mod quasi_birth_death;
mod service;
mod sharing;
mod single_server;
mod time_varying;
mod transient;
mod vacations;

pub use alarm::PeriodicAlarm;
pub use balancing::{PowerOfChoices, RoundRobin};
pub use batch_arrivals::{BatchSize, Mg1BatchArrivals, MmcBatchArrivals};
pub use batch_service::{BatchService, BulkPickUp};
pub use constant_service::Mdc;
pub use erlang::{MAX_SERVERS, Mmc, erlang_b, erlang_c, min_servers_for_sojourn, min_servers_for_wait};
pub use error::TheoryError;
pub use finite::{Mmck, Retrial};
pub use impatient::{ErlangA, QueueTimeout};
pub use interrupted::{Mg1Breakdown, MmcBreakdown, MmcSetup, Setups};
pub use polling::{FreeRunningPolling, SynchronousPolling, first_poll_after};
pub use service::{Moments, ServiceLaw};
pub use sharing::{MgcPs, MgckPs, MmcPs, mm1_ps_std_sojourn};
pub use single_server::{Mg1, Mg1Setup};
pub use time_varying::{FlashCrowd, InfiniteServers, StepLoad};
pub use transient::TransientMmc;
pub use vacations::Mg1Vacations;
