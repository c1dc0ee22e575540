//! Why a formula has no answer, and the checks of arguments every model shares.

use thiserror::Error;

/// Why a closed form cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum TheoryError {
    /// A quantity is outside the range in which the formula means anything.
    #[error("the {what} must be {must_be}, but it is {value}")]
    Invalid {
        /// The quantity, in words.
        what: &'static str,
        /// What is allowed.
        must_be: &'static str,
        /// What was given.
        value: f64,
    },
    /// At least as much work arrives as the servers can do: the queue grows for ever and has no mean.
    #[error(
        "the offered load of {offered_load} is not below the capacity of {servers} servers: the queue grows for ever"
    )]
    Unstable {
        /// Arrival rate times mean service time, in servers.
        offered_load: f64,
        /// How many servers there are.
        servers: u32,
    },
    /// No number of servers can reach the target: the service times alone exceed it too often.
    #[error("no number of servers reaches a share of {target}: the service times alone allow {best} at most")]
    Unreachable {
        /// The share of requests that should be in time.
        target: f64,
        /// The share reached with endlessly many servers.
        best: f64,
    },
    /// The computation would need more work or memory than a formula should; simulate instead.
    #[error(
        "computing this needs more than {limit} {unit}: the load is too close to capacity, or the system too large"
    )]
    TooLarge {
        /// What there would be too many of.
        unit: &'static str,
        /// The limit that was hit.
        limit: usize,
    },
}

/// A number that is above 0 and finite.
pub(super) fn positive(what: &'static str, value: f64) -> Result<f64, TheoryError> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(TheoryError::Invalid { what, must_be: "above 0 and finite", value })
    }
}

/// A number that is at least 0 and finite.
pub(super) fn not_negative(what: &'static str, value: f64) -> Result<f64, TheoryError> {
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(TheoryError::Invalid { what, must_be: "at least 0 and finite", value })
    }
}

/// A probability, both ends included.
pub(super) fn probability(what: &'static str, value: f64) -> Result<f64, TheoryError> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(TheoryError::Invalid { what, must_be: "between 0 and 1", value })
    }
}

/// The order of a percentile as a share: 0.99 for p99. 1 is excluded, for the answer would be infinite.
pub(super) fn share(value: f64) -> Result<f64, TheoryError> {
    if (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        Err(TheoryError::Invalid { what: "share of requests", must_be: "at least 0 and below 1", value })
    }
}

/// A count that is at least 1.
pub(super) fn at_least_one(what: &'static str, value: u32) -> Result<u32, TheoryError> {
    if value >= 1 { Ok(value) } else { Err(TheoryError::Invalid { what, must_be: "at least 1", value: 0.0 }) }
}

/// Less work offered than the servers can do.
pub(super) fn stable(offered_load: f64, servers: u32) -> Result<(), TheoryError> {
    if offered_load < f64::from(servers) {
        Ok(())
    } else {
        Err(TheoryError::Unstable { offered_load, servers })
    }
}
