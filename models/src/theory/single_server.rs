//! One server and any distribution of service times.

use super::{NoAnswer, valid};

/// M/G/1, first come, first served (Pollaczek and Khinchine).
///
/// ```
/// use scalesim::theory::Mg1;
/// let constant = Mg1::new(0.8, 1.0, 0.0)?;
/// assert!((constant.mean_wait() - 2.0).abs() < 1e-12);
/// # Ok::<(), scalesim::theory::NoAnswer>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mg1 {
    arrival_rate: f64,
    mean_service: f64,
    scv: f64,
}

impl Mg1 {
    /// The model: `scv` is the squared coefficient of variation of service times.
    ///
    /// # Errors
    /// Where a rate or a mean is not above zero, or the load is not below 1.
    pub fn new(arrival_rate: f64, mean_service: f64, scv: f64) -> Result<Mg1, NoAnswer> {
        valid(&[arrival_rate, mean_service])?;
        if !(scv.is_finite() && scv >= 0.0) {
            return Err(NoAnswer::Invalid);
        }
        if arrival_rate * mean_service >= 1.0 {
            return Err(NoAnswer::Unstable);
        }
        Ok(Mg1 { arrival_rate, mean_service, scv })
    }

    /// The mean wait.
    pub fn mean_wait(&self) -> f64 {
        let utilisation = self.arrival_rate * self.mean_service;
        utilisation * self.mean_service * (1.0 + self.scv) / (2.0 * (1.0 - utilisation))
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        self.mean_wait() + self.mean_service
    }

    /// The mean number in the system.
    pub fn mean_number(&self) -> f64 {
        self.arrival_rate * self.mean_sojourn()
    }
}

/// The mean sojourn of a demand of `size` under processor sharing on one core (Kleinrock 1967): only the mean of the
/// demands matters.
///
/// # Errors
/// Where a rate or a mean is not above zero, or the load is not below 1.
pub fn ps_mean_sojourn(arrival_rate: f64, mean_demand: f64, size: f64) -> Result<f64, NoAnswer> {
    valid(&[arrival_rate, mean_demand, size])?;
    let utilisation = arrival_rate * mean_demand;
    if utilisation < 1.0 { Ok(size / (1.0 - utilisation)) } else { Err(NoAnswer::Unstable) }
}
