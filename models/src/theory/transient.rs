//! M/M/c on its way: the law of the number present at a given time, under rates that change in steps.

use super::birth_death::{MAX_STATES, at_least, mean_above, stationary};
use super::erlang::Mmc;
use super::error::{TheoryError, at_least_one, not_negative, positive};
use super::numeric::poisson_pmf;

/// Most multiplications spent on one stretch of time.
const MAX_WORK: f64 = 2e9;
/// States at the upper end with less mass than this in all are dropped.
const NEGLIGIBLE: f64 = 1e-20;

/// M/M/c whose arrival rate and number of servers may change at given moments; any load, above capacity too.
///
/// When servers are taken away, the requests they were serving go back to the queue (their remaining time is
/// exponential either way). Computed by uniformisation (Jensen 1953), to ten digits and more; the work grows with
/// the number of events in the time covered, and too much of it is [`TheoryError::TooLarge`].
///
/// ```
/// use scalesim::theory::TransientMmc;
/// // Ten workers at half load; the load rises to 120 % for 30 s.
/// let mut crowd = TransientMmc::stationary(5.0, 1.0, 10)?;
/// crowd.advance(12.0, 10, 30.0)?;
/// assert!(crowd.mean_number() > 60.0, "the fluid backlog is 60");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TransientMmc {
    service_rate: f64,
    law: Vec<f64>,
}

impl TransientMmc {
    /// Starts with exactly `jobs` requests present; `service_rate` of one server per unit of time.
    pub fn with_jobs(service_rate: f64, jobs: u32) -> Result<TransientMmc, TheoryError> {
        positive("service rate", service_rate)?;
        if jobs as usize >= MAX_STATES {
            return Err(TheoryError::TooLarge { unit: "states", limit: MAX_STATES });
        }
        let mut law = vec![0.0; jobs as usize + 1];
        law[jobs as usize] = 1.0;
        Ok(TransientMmc { service_rate, law })
    }

    /// Starts in the steady state of M/M/c; utilisation below 1.
    pub fn stationary(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
    ) -> Result<TransientMmc, TheoryError> {
        let queue = Mmc::new(arrival_rate, service_rate, servers)?;
        let busy = |n: usize| f64::min(n as f64, f64::from(queue.servers()));
        let law = stationary(None, |n| arrival_rate / (busy(n) * service_rate))?;
        Ok(TransientMmc { service_rate, law })
    }

    /// Lets `duration` pass at this arrival rate (0 allowed) and number of servers.
    pub fn advance(&mut self, arrival_rate: f64, servers: u32, duration: f64) -> Result<(), TheoryError> {
        not_negative("arrival rate", arrival_rate)?;
        not_negative("duration", duration)?;
        let c = at_least_one("number of servers", servers)? as usize;
        let step_rate = arrival_rate + c as f64 * self.service_rate;
        let steps = step_rate * duration;
        let last = (steps + 10.0 * steps.sqrt() + 25.0).ceil();
        let growth = (arrival_rate - c as f64 * self.service_rate).max(0.0) * duration;
        if last * (self.law.len() as f64 + growth + last.sqrt()) > MAX_WORK {
            return Err(TheoryError::TooLarge { unit: "multiplications", limit: MAX_WORK as usize });
        }
        let up = arrival_rate / step_rate;
        let mut here = self.law.clone();
        let mut next = Vec::new();
        let mut law = Vec::new();
        for k in 0..=last as usize {
            let weight = poisson_pmf(k as f64, steps);
            if k as f64 > steps && weight < NEGLIGIBLE {
                break;
            }
            law.resize(here.len().max(law.len()), 0.0);
            law.iter_mut().zip(&here).for_each(|(total, p)| *total += weight * p);
            step(&here, &mut next, up, c, self.service_rate / step_rate)?;
            std::mem::swap(&mut here, &mut next);
        }
        drop_negligible_end(&mut law);
        self.law = law;
        Ok(())
    }

    /// Lets `duration` pass while the arrival rate varies smoothly: `rate(t)` at `t` after the start of the stretch.
    ///
    /// The stretch is cut into `pieces` equal ones, each crossed in two halves at constant rates chosen so that the
    /// error falls with the fourth power of their number (the commutator-free Magnus method of Blanes and Moan 2006).
    /// A hundred pieces for each turn of a sinusoid give six digits or more. A rate below 0 counts as 0.
    ///
    /// ```
    /// use scalesim::theory::TransientMmc;
    /// // A day on 11 workers, from an empty system at midnight: 12 requests an hour at night, 48 at noon.
    /// let rate = |hour: f64| 30.0 - 18.0 * (hour * std::f64::consts::TAU / 24.0).cos();
    /// let mut day = TransientMmc::with_jobs(4.0, 0)?;
    /// day.advance_varying(rate, 11, 14.0, 200)?;
    /// assert!(day.mean_queue(11) > 20.0, "the noon peak is above capacity, and its queue outlasts it");
    /// # Ok::<(), scalesim::theory::TheoryError>(())
    /// ```
    pub fn advance_varying(
        &mut self,
        rate: impl Fn(f64) -> f64,
        servers: u32,
        duration: f64,
        pieces: u32,
    ) -> Result<(), TheoryError> {
        let piece =
            not_negative("duration", duration)? / f64::from(at_least_one("number of pieces", pieces)?);
        // Gauss points, and the weights with which their rates enter the first and the second half.
        let (offset, tilt) = (3.0_f64.sqrt() / 6.0, 1.0 / 3.0_f64.sqrt());
        for i in 0..pieces {
            let middle = (f64::from(i) + 0.5) * piece;
            let (early, late) = (rate(middle - offset * piece), rate(middle + offset * piece));
            let (mean, lean) = (0.5 * (early + late), tilt * (early - late));
            for half in [mean + lean, mean - lean] {
                // `max` would turn a NaN into 0; `advance` must see it.
                self.advance(if half < 0.0 { 0.0 } else { half }, servers, 0.5 * piece)?;
            }
        }
        Ok(())
    }

    /// The mean number of requests present, waiting or in service.
    pub fn mean_number(&self) -> f64 {
        mean_above(&self.law, 0)
    }

    /// The mean number of requests that wait, with this many servers.
    pub fn mean_queue(&self, servers: u32) -> f64 {
        mean_above(&self.law, servers as usize)
    }

    /// The probability that at least `jobs` requests are present: all of that many servers are busy.
    pub fn p_at_least(&self, jobs: u32) -> f64 {
        at_least(&self.law, jobs as usize)
    }

    /// The probability that nothing is present.
    pub fn p_empty(&self) -> f64 {
        self.law[0]
    }
}

/// One step of the uniformised chain, which may reach one state further: up with probability `up`, down with
/// probability `completes` for each busy server.
fn step(
    here: &[f64],
    next: &mut Vec<f64>,
    up: f64,
    servers: usize,
    completes: f64,
) -> Result<(), TheoryError> {
    if here.len() >= MAX_STATES {
        return Err(TheoryError::TooLarge { unit: "states", limit: MAX_STATES });
    }
    next.clear();
    next.resize(here.len() + 1, 0.0);
    for (n, p) in here.iter().enumerate() {
        let down = n.min(servers) as f64 * completes;
        next[n] += (1.0 - up - down) * p;
        next[n + 1] += up * p;
        if n > 0 {
            next[n - 1] += down * p;
        }
    }
    drop_negligible_end(next);
    Ok(())
}

fn drop_negligible_end(law: &mut Vec<f64>) {
    while law.len() > 1 && law[law.len() - 1] < NEGLIGIBLE {
        law.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_state_stays() {
        let steady = Mmc::new(3.2, 1.0, 4).unwrap();
        let mut queue = TransientMmc::stationary(3.2, 1.0, 4).unwrap();
        queue.advance(3.2, 4, 50.0).unwrap();
        assert!((queue.mean_number() / steady.mean_number() - 1.0).abs() < 1e-11);
        assert!((queue.mean_queue(4) / steady.mean_queue() - 1.0).abs() < 1e-11);
        assert!((queue.p_at_least(4) / steady.p_wait() - 1.0).abs() < 1e-11);
    }

    #[test]
    fn without_arrivals_the_last_job_leaves_exponentially() {
        let mut queue = TransientMmc::with_jobs(2.0, 1).unwrap();
        queue.advance(0.0, 3, 0.5).unwrap();
        assert!((queue.mean_number() - (-1.0_f64).exp()).abs() < 1e-14);
        assert_eq!(TransientMmc::with_jobs(1.0, 0).unwrap().p_empty(), 1.0);
    }

    #[test]
    fn a_steady_rate_cut_into_pieces_is_the_same() {
        let mut whole = TransientMmc::with_jobs(1.0, 3).unwrap();
        let mut cut = whole.clone();
        whole.advance(1.7, 2, 9.0).unwrap();
        cut.advance_varying(|_| 1.7, 2, 9.0, 7).unwrap();
        assert!((whole.mean_number() - cut.mean_number()).abs() < 1e-12);
        assert!(cut.advance_varying(|_| f64::NAN, 2, 9.0, 7).is_err());
        assert!(cut.advance_varying(|_| 1.0, 2, 9.0, 0).is_err());
    }

    #[test]
    fn endless_work_is_refused() {
        let mut queue = TransientMmc::with_jobs(1.0, 0).unwrap();
        assert!(matches!(queue.advance(0.9, 1, 1e9), Err(TheoryError::TooLarge { .. })));
        assert!(queue.advance(0.9, 0, 1.0).is_err());
        assert!(queue.advance(f64::NAN, 1, 1.0).is_err());
    }
}
