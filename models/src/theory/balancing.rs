//! A balancer in front of many servers.

use super::error::{TheoryError, at_least_one, positive, share, stable};
use super::numeric::{falls_to_zero, solve};

/// Round robin over `n` single-server queues with exponential service times.
///
/// Each server sees every n-th arrival, so the gaps between its requests are sums of `n` exponential ones: the
/// queue E_n/M/1, whose sojourn is exponential. Means hold for processor sharing as well. Source: Kleinrock,
/// "Queueing Systems" I, section 6.4 (GI/M/1).
///
/// ```
/// use scalesim::theory::{Mmc, RoundRobin};
/// let cyclic = RoundRobin::new(3.2, 1.0, 4)?;
/// let random = Mmc::new(3.2 / 4.0, 1.0, 1)?;
/// assert!(cyclic.mean_sojourn() < random.mean_sojourn());
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundRobin {
    service_rate: f64,
    /// 1 − σ, with σ the share of arrivals that find their server busy.
    idle: f64,
}

impl RoundRobin {
    /// `arrival_rate` of all requests, `service_rate` of one server, per unit of time; utilisation below 1.
    pub fn new(arrival_rate: f64, service_rate: f64, servers: u32) -> Result<RoundRobin, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        at_least_one("number of servers", servers)?;
        stable(arrival_rate / service_rate, servers)?;
        let n = f64::from(servers);
        // σ = (λ / (λ + μ(1 − σ)))ⁿ, in terms of x = 1 − σ so that a small x keeps its digits. The difference is
        // concave, 0 at 0 and rises there; the root sought is where it falls again.
        let difference = |x: f64| -(-n * (service_rate * x / arrival_rate).ln_1p()).exp_m1() - x;
        let idle = falls_to_zero(f64::MIN_POSITIVE, 1.0, |x| if x < 1e-15 { 1.0 } else { difference(x) });
        Ok(RoundRobin { service_rate, idle })
    }

    /// The share of requests that do not start at once.
    pub fn p_wait(&self) -> f64 {
        1.0 - self.idle
    }

    /// The mean wait.
    pub fn mean_wait(&self) -> f64 {
        self.p_wait() * self.mean_sojourn()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> f64 {
        1.0 / (self.service_rate * self.idle)
    }

    /// The sojourn that a share `p` of requests does not exceed (0.99 for p99), first come first served.
    pub fn sojourn_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        Ok(-(-share(p)?).ln_1p() * self.mean_sojourn())
    }

    /// The wait that a share `p` of requests does not exceed (0.99 for p99), first come first served.
    pub fn wait_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        Ok(f64::max(0.0, (self.p_wait() / (1.0 - share(p)?)).ln() * self.mean_sojourn()))
    }
}

/// Where the share of servers with at least i requests is negligible in the refined mean.
const NEGLIGIBLE: f64 = 1e-18;
/// Longest queue followed by the refined mean: the covariances between lengths make a system of its square.
const MAX_QUEUE: usize = 40;

/// Power of d choices: each request looks at `d` servers picked at random, with replacement, and joins the
/// shortest of their queues. Exponential service times.
///
/// Exact as the number of servers grows without bound; [`PowerOfChoices::refined_mean_sojourn`] adds the first
/// correction for a finite number. Source: Vvedenskaya, Dobrushin and Karpelevich 1996; Mitzenmacher 2001; Gast
/// and Van Houdt 2018 ("A refined mean field approximation").
///
/// ```
/// use scalesim::theory::PowerOfChoices;
/// let one = PowerOfChoices::new(0.9, 1.0, 1)?;
/// let two = PowerOfChoices::new(0.9, 1.0, 2)?;
/// assert!((one.mean_sojourn() - 10.0).abs() < 1e-9);
/// assert!(two.mean_sojourn() < 2.7);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerOfChoices {
    utilisation: f64,
    service_rate: f64,
    choices: u32,
}

impl PowerOfChoices {
    /// `arrival_rate_per_server` and `service_rate` per unit of time; utilisation below 1; `choices` (d) at least 1.
    pub fn new(
        arrival_rate_per_server: f64,
        service_rate: f64,
        choices: u32,
    ) -> Result<PowerOfChoices, TheoryError> {
        positive("arrival rate", arrival_rate_per_server)?;
        positive("service rate", service_rate)?;
        at_least_one("number of choices", choices)?;
        let utilisation = arrival_rate_per_server / service_rate;
        stable(utilisation, 1)?;
        Ok(PowerOfChoices { utilisation, service_rate, choices })
    }

    /// The mean sojourn with endlessly many servers: Σ ρ^((dⁱ − d)/(d − 1)) / μ over i ≥ 1.
    pub fn mean_sojourn(&self) -> f64 {
        if self.choices == 1 {
            return 1.0 / ((1.0 - self.utilisation) * self.service_rate);
        }
        let d = f64::from(self.choices);
        let mut total = 0.0;
        let mut exponent = 0.0;
        loop {
            let term = self.utilisation.powf(exponent);
            total += term;
            if term < NEGLIGIBLE {
                return total / self.service_rate;
            }
            exponent = d * (exponent + 1.0);
        }
    }

    /// The mean sojourn with `servers` servers, up to an error of order 1/servers².
    ///
    /// The mean-field value plus V/N, with V from the Lyapunov equation of the fluctuations around the fixed point.
    /// Useful from some tens of servers on. With one choice there is nothing to correct.
    pub fn refined_mean_sojourn(&self, servers: u32) -> Result<f64, TheoryError> {
        let n = f64::from(at_least_one("number of servers", servers)?);
        if self.choices == 1 {
            return Ok(self.mean_sojourn());
        }
        let correction: f64 = self.correction()?.iter().sum();
        Ok(self.mean_sojourn() + correction / (n * self.utilisation * self.service_rate))
    }

    /// N times the first-order change of the share of servers with at least 1, 2, ... requests.
    fn correction(&self) -> Result<Vec<f64>, TheoryError> {
        let too_large = TheoryError::TooLarge { unit: "requests in one queue", limit: MAX_QUEUE };
        let rho = self.utilisation;
        let d = f64::from(self.choices);
        // The fixed point: sᵢ = ρ^((dⁱ − 1)/(d − 1)), s₀ = 1.
        let mut shares = vec![1.0];
        while shares[shares.len() - 1] > NEGLIGIBLE {
            if shares.len() > MAX_QUEUE {
                return Err(too_large);
            }
            let last = shares[shares.len() - 1];
            shares.push(rho * last.powf(d));
        }
        let size = shares.len() - 1;
        let share_at_least = |i: usize| shares.get(i).copied().unwrap_or(0.0);
        // Drift of sᵢ, for i = 1..=size: ρ(sᵢ₋₁ᵈ − sᵢᵈ) − (sᵢ − sᵢ₊₁). Its derivatives at the fixed point:
        let slope = |i: usize| rho * d * share_at_least(i).powf(d - 1.0);
        let curvature = |i: usize| rho * d * (d - 1.0) * share_at_least(i).powf(d - 2.0);
        let jacobian: Vec<Vec<f64>> = (1..=size)
            .map(|i| {
                (1..=size)
                    .map(|j| match j {
                        j if j + 1 == i => slope(j),
                        j if j == i => -slope(i) - 1.0,
                        j if j == i + 1 => 1.0,
                        _ => 0.0,
                    })
                    .collect()
            })
            .collect();
        // At the fixed point arrivals to and departures from level i are equally frequent.
        let noise: Vec<f64> = (1..=size).map(|i| 2.0 * (share_at_least(i) - share_at_least(i + 1))).collect();
        let variance = lyapunov_diagonal(&jacobian, &noise).ok_or(too_large)?;
        let bend = |i: usize| if i == 0 { 0.0 } else { curvature(i) * variance[i - 1] };
        let push = (1..=size).map(|i| -0.5 * (bend(i - 1) - bend(i))).collect();
        solve(jacobian, push).ok_or(too_large)
    }
}

/// The diagonal of W, where A W + W Aᵀ + diag(`noise`) = 0.
fn lyapunov_diagonal(a: &[Vec<f64>], noise: &[f64]) -> Option<Vec<f64>> {
    let n = noise.len();
    // W is symmetric: one unknown for each pair i ≤ j.
    let index = |i: usize, j: usize| {
        let (i, j) = (i.min(j), i.max(j));
        j * (j + 1) / 2 + i
    };
    let unknowns = n * (n + 1) / 2;
    let mut system = vec![vec![0.0; unknowns]; unknowns];
    let mut right = vec![0.0; unknowns];
    for j in 0..n {
        for i in 0..=j {
            let row = &mut system[index(i, j)];
            for k in 0..n {
                row[index(k, j)] += a[i][k];
                row[index(i, k)] += a[j][k];
            }
        }
        right[index(j, j)] = -noise[j];
    }
    let w = solve(system, right)?;
    Some((0..n).map(|i| w[index(i, i)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_over_one_server_is_the_plain_queue() {
        let queue = RoundRobin::new(0.9, 1.0, 1).unwrap();
        assert!((queue.p_wait() - 0.9).abs() < 1e-14);
        assert!((queue.mean_sojourn() - 10.0).abs() < 1e-12);
        // Near saturation the root lies next to the trivial one at σ = 1.
        let busy = RoundRobin::new(9_999_999.0, 1.0, 10_000_000).unwrap();
        assert!(busy.mean_sojourn() > 1e6 && busy.mean_sojourn().is_finite());
    }

    #[test]
    fn the_correction_for_two_choices_is_gasts() {
        // Gast 2017: the mean queue length exceeds its limit by about ρ² / (2(1 − ρ)N), the nearer saturation the better.
        for (rho, within) in [(0.9, 0.02), (0.99, 0.008), (0.9999, 0.0003)] {
            let excess: f64 = PowerOfChoices::new(rho, 1.0, 2).unwrap().correction().unwrap().iter().sum();
            let gast = rho * rho / (2.0 * (1.0 - rho));
            assert!((excess / gast - 1.0).abs() < within, "{rho}: {excess} against {gast}");
        }
    }
}
