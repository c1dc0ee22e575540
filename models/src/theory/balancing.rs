//! Many single servers behind a balancer.

use super::{NoAnswer, valid};

/// Round robin over `servers` single servers with exponential service: each is an E_N/M/1 queue. Returns σ, the share of
/// arrivals that wait; the sojourn is exponential with rate `service_rate · (1 − σ)`.
///
/// # Errors
/// Where a rate is not above zero, or the load is not below the number of servers.
pub fn round_robin_sigma(arrival_rate: f64, service_rate: f64, servers: u32) -> Result<f64, NoAnswer> {
    valid(&[arrival_rate, service_rate, f64::from(servers)])?;
    if arrival_rate >= service_rate * f64::from(servers) {
        return Err(NoAnswer::Unstable);
    }
    let n = f64::from(servers);
    // The root below 1 of σ = (λ/(λ + μ(1 − σ)))^N: the right side is convex, so bisection between 0 and the fixed point at
    // 1 finds it.
    let excess = |sigma: f64| (arrival_rate / (arrival_rate + service_rate * (1.0 - sigma))).powf(n) - sigma;
    let (mut low, mut high) = (0.0, 1.0 - 1e-12);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if excess(middle) > 0.0 { low = middle } else { high = middle }
    }
    Ok((low + high) / 2.0)
}

/// The mean sojourn with the best of `choices` random servers, as the number of servers goes to infinity (Vvedenskaya,
/// Dobrushin and Karpelevich 1996; Mitzenmacher 1996). Service has mean 1, `utilisation` is below 1.
///
/// # Errors
/// Where the utilisation is not between 0 and 1, or there is no choice.
pub fn power_of_d_mean(utilisation: f64, choices: u32) -> Result<f64, NoAnswer> {
    valid(&[utilisation, f64::from(choices)])?;
    if utilisation >= 1.0 {
        return Err(NoAnswer::Unstable);
    }
    if choices == 1 {
        return Ok(1.0 / (1.0 - utilisation));
    }
    let d = f64::from(choices);
    let mut sum = 0.0;
    for i in 1..1_000 {
        let term = utilisation.powf((d.powi(i) - d) / (d - 1.0));
        if term < 1e-16 {
            break;
        }
        sum += term;
    }
    Ok(sum)
}
