//! Approximations for many servers and any service times. They are not exact; each says how far off it was.
//!
//! No formula of the first two moments can be exact here: two laws with equal mean and variance give different
//! waits (Gupta, Harchol-Balter, Dai and Zwart 2010). Use them to expect, not to verify.

use super::erlang::Mmc;
use super::error::{TheoryError, not_negative};

/// The mean wait of M/G/c by Lee and Longton (1959): that of M/M/c times (1 + C²)/2.
///
/// `cv` is the coefficient of variation of the service times (standard deviation over mean), at least 0. `queue`
/// is the M/M/c with the same mean service time. Exact for one server and for exponential service times.
///
/// ```
/// use scalesim::theory::{Mmc, approximation};
/// let queue = Mmc::new(7.2, 1.0, 8)?;
/// let two_stages = approximation::lee_longton_mean_wait(&queue, 0.5f64.sqrt())?;
/// assert!((two_stages / 0.66548 - 1.0).abs() < 0.02, "the exact value is 0.66548");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
pub fn lee_longton_mean_wait(queue: &Mmc, cv: f64) -> Result<f64, TheoryError> {
    allen_cunneen_mean_wait(queue, 1.0, cv)
}

/// The mean wait of GI/G/c by Allen and Cunneen: that of M/M/c times (C²a + C²s)/2.
///
/// `cv_arrival` and `cv_service` are the coefficients of variation of the gaps between arrivals and of the service
/// times, at least 0. Source: A. O. Allen, "Probability, Statistics and Queueing Theory", 1978. Exact for Poisson
/// arrivals and one server; otherwise good near saturation and poor at low load.
pub fn allen_cunneen_mean_wait(queue: &Mmc, cv_arrival: f64, cv_service: f64) -> Result<f64, TheoryError> {
    let arrival = not_negative("coefficient of variation of the gaps between arrivals", cv_arrival)?;
    let service = not_negative("coefficient of variation of the service times", cv_service)?;
    Ok(0.5 * (arrival * arrival + service * service) * queue.mean_wait())
}

/// The mean wait of M/D/c by Cosmetatos (1975). [`Mdc`](super::Mdc) has the exact value.
///
/// Needs no iteration. At utilisations from 0.5 to 0.95 within 0.8 % of the exact value for up to 8 servers; with 50
/// servers up to 6 % off at 0.5, where the wait is a millionth of a service time, and 0.8 % at 0.9 and above.
pub fn cosmetatos_mean_wait(queue: &Mmc) -> f64 {
    let c = f64::from(queue.servers());
    let rho = queue.utilisation();
    let correction = (1.0 - rho) * (c - 1.0) * ((4.0 + 5.0 * c).sqrt() - 2.0) / (16.0 * rho * c);
    0.5 * (1.0 + correction) * queue.mean_wait()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{Mdc, Mg1, ServiceLaw};

    #[test]
    fn lee_longton_is_exact_for_one_server() {
        let law = ServiceLaw::Lognormal { mean: 1.0, cv: 2.0 };
        let exact = Mg1::new(0.8, law.moments().unwrap()).unwrap().mean_wait();
        let approximate = lee_longton_mean_wait(&Mmc::new(0.8, 1.0, 1).unwrap(), 2.0).unwrap();
        assert!((approximate / exact - 1.0).abs() < 1e-12);
    }

    #[test]
    fn cosmetatos_is_close_to_the_exact_value() {
        let cases = [(1, 1e-12), (2, 0.006), (8, 0.008), (50, 0.065)];
        for (servers, within) in cases {
            for rho in [0.5, 0.6, 0.7, 0.8, 0.9, 0.95] {
                let arrival_rate = rho * f64::from(servers);
                let exact = Mdc::new(arrival_rate, 1.0, servers).unwrap().mean_wait();
                let close = cosmetatos_mean_wait(&Mmc::new(arrival_rate, 1.0, servers).unwrap());
                assert!((close / exact - 1.0).abs() < within, "{servers} servers at {rho}: {close}, {exact}");
            }
        }
    }
}
