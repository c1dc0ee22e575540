//! Closed forms of queueing theory: tests hold the simulation against them, and `check` prints them where they apply.
//!
//! Rates are per second and times in seconds, or any other unit used throughout. Formulas are those of Gross, Shortle,
//! Thompson and Harris, *Fundamentals of Queueing Theory*, where nothing else is said.

mod balancing;
mod multi_server;
mod single_server;

pub use balancing::{power_of_d_mean, round_robin_sigma};
pub use multi_server::{FiniteQueue, Mmc, erlang_b, erlang_c};
pub use single_server::{Mg1, ps_mean_sojourn};

use std::fmt;

/// Why a formula gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// A rate, time or number is negative, zero or not finite.
    Invalid,
    /// The load is as large as the servers can bear, or larger: the queue grows without end.
    Unstable,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoAnswer::Invalid => "rates, times and numbers must be above zero",
            NoAnswer::Unstable => {
                "the offered load is not below the number of servers: the queue grows without end"
            }
        })
    }
}

impl std::error::Error for NoAnswer {}

/// All are finite and above zero.
fn valid(values: &[f64]) -> Result<(), NoAnswer> {
    if values.iter().all(|value| value.is_finite() && *value > 0.0) { Ok(()) } else { Err(NoAnswer::Invalid) }
}
