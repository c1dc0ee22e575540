//! Answers that a client fetches by polling: what it sees of a queue, and the polls that costs.

use super::erlang::Mmc;
use super::error::{TheoryError, not_negative, positive, share};
use super::numeric::quantile_of_tail;

/// A time this close to a poll, as a share of it, is at the poll: 1.1 s are eleven polls of 100 ms, though not in doubles.
const AT_A_POLL: f64 = 4.0 * f64::EPSILON;

/// What a client observes of a job that takes `duration`, if it polls every `interval` after it has submitted it:
/// `T⌈D/T⌉`, at least `T`.
///
/// Both in the same unit; `duration` at least 0, `interval` above 0. A poll at the very end of the job sees it done.
///
/// ```
/// use scalesim::theory::first_poll_after;
/// assert_eq!(first_poll_after(2.0, 0.75)?, 2.25);
/// assert_eq!(first_poll_after(1.5, 0.75)?, 1.5);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
pub fn first_poll_after(duration: f64, interval: f64) -> Result<f64, TheoryError> {
    let duration = not_negative("duration", duration)?;
    let interval = positive("poll interval", interval)?;
    Ok(interval * polls(duration, interval))
}

/// Jobs of M/M/c whose clients poll at `T`, `2T`, … after they submitted them, until a poll finds the job done.
///
/// A job of sojourn `X` is observed after `T⌈X/T⌉`, which is `T Σ P(X > kT)` over k ≥ 0 in the mean: sums of the two
/// geometric series of M/M/c's sojourn. Polls themselves cost the servers nothing. Source: the identity of the mean
/// and the sum of the tail; Gross, Shortle, Thompson and Harris, "Fundamentals of Queueing Theory", for the tail.
///
/// ```
/// use scalesim::theory::{Mmc, SynchronousPolling};
/// // Half a job a second, one second each, polled every second.
/// let polling = SynchronousPolling::new(Mmc::new(0.5, 1.0, 1)?, 1.0)?;
/// assert!((polling.mean_observed() - 2.541_494).abs() < 1e-6, "the jobs take 2 s");
/// assert_eq!(polling.observed_quantile(0.5)?, 2.0);
/// assert!((polling.poll_rate() - 1.270_747).abs() < 1e-6, "more than the jobs themselves");
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SynchronousPolling {
    queue: Mmc,
    interval: f64,
}

impl SynchronousPolling {
    /// Clients that poll jobs of `queue` every `interval`, in the unit of time of the queue, above 0.
    pub fn new(queue: Mmc, interval: f64) -> Result<SynchronousPolling, TheoryError> {
        Ok(SynchronousPolling { queue, interval: positive("poll interval", interval)? })
    }

    /// The mean time from submission to the poll that finds the job done.
    pub fn mean_observed(&self) -> f64 {
        // Σ e^{−μkT} and Σ (e^{−μkT} − e^{−θkT})/k of the tail, over polls.
        let served = -(-self.queue.service_rate() * self.interval).exp_m1();
        let spare = -(-self.queue.spare_rate() * self.interval).exp_m1();
        if served < f64::MIN_POSITIVE || spare < f64::MIN_POSITIVE {
            return self.queue.mean_sojourn();
        }
        let waits = self.queue.p_wait() * self.queue.difference_of_decays(self.interval) / spare;
        self.interval * (1.0 + waits) / served
    }

    /// The mean time from completion to the poll that finds it: about half an interval where intervals are short beside
    /// sojourns, up to a whole one where they are long.
    pub fn mean_extra(&self) -> f64 {
        self.mean_observed() - self.queue.mean_sojourn()
    }

    /// The mean number of polls of a job, the last included.
    pub fn mean_polls(&self) -> f64 {
        self.mean_observed() / self.interval
    }

    /// Polls of all clients per unit of time: arrival rate times [`mean_polls`](Self::mean_polls).
    pub fn poll_rate(&self) -> f64 {
        self.queue.arrival_rate() * self.mean_polls()
    }

    /// The share of jobs observed later than `t`, at least 0: those whose sojourn exceeds the last poll up to `t`.
    pub fn p_observed_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        let last_poll = intervals(not_negative("time", t)?, self.interval).floor();
        self.queue.p_sojourn_longer_than(last_poll * self.interval)
    }

    /// The time within which a share `p` of jobs is observed (0.99 for p99): a multiple of the interval, at least one.
    ///
    /// Where the sojourn's own quantile is at a poll to within rounding, so is the answer: that poll.
    pub fn observed_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        first_poll_after(self.queue.sojourn_quantile(p)?, self.interval)
    }
}

/// Jobs of M/M/c whose clients poll by clocks of their own, which tick every `T` whatever is submitted when.
///
/// The next tick after a completion is uniform over `(0, T)` and independent of the sojourn, so the job is observed
/// after `X + U`: half an interval more in the mean, whatever the queue. Polls themselves cost the servers nothing.
/// Source: the residual of a stationary renewal process of constant gaps; Cox, "Renewal Theory", 1962.
///
/// ```
/// use scalesim::theory::{FreeRunningPolling, Mmc};
/// let polling = FreeRunningPolling::new(Mmc::new(0.5, 1.0, 1)?, 1.0)?;
/// assert_eq!(polling.mean_observed(), 2.5);
/// assert!((polling.observed_quantile(0.95)? - 6.512_255).abs() < 1e-6);
/// assert_eq!(polling.mean_polls(), 3.0);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeRunningPolling {
    queue: Mmc,
    interval: f64,
}

impl FreeRunningPolling {
    /// Clients that poll jobs of `queue` every `interval`, in the unit of time of the queue, above 0.
    pub fn new(queue: Mmc, interval: f64) -> Result<FreeRunningPolling, TheoryError> {
        Ok(FreeRunningPolling { queue, interval: positive("poll interval", interval)? })
    }

    /// The mean time from submission to the poll that finds the job done: `E[X] + T/2`.
    pub fn mean_observed(&self) -> f64 {
        self.queue.mean_sojourn() + self.mean_extra()
    }

    /// The mean time from completion to the poll that finds it: `T/2`.
    pub fn mean_extra(&self) -> f64 {
        0.5 * self.interval
    }

    /// The time from completion to the poll that finds it which a share `p` of jobs does not exceed: `pT`.
    pub fn extra_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        Ok(share(p)? * self.interval)
    }

    /// The mean number of polls of a job, from the first tick after its submission to the one that finds it done:
    /// `1 + E[X]/T`.
    pub fn mean_polls(&self) -> f64 {
        1.0 + self.queue.mean_sojourn() / self.interval
    }

    /// Polls of all clients per unit of time: arrival rate times [`mean_polls`](Self::mean_polls). A clock that ticks
    /// while its client has no job costs `1/T` more.
    pub fn poll_rate(&self) -> f64 {
        self.queue.arrival_rate() * self.mean_polls()
    }

    /// The share of jobs observed later than `t`, at least 0.
    pub fn p_observed_longer_than(&self, t: f64) -> Result<f64, TheoryError> {
        Ok(self.observed_tail(not_negative("time", t)?))
    }

    /// The time within which a share `p` of jobs is observed (0.99 for p99).
    pub fn observed_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        let p = share(p)?;
        Ok(quantile_of_tail(1.0 - p, self.mean_observed(), |t| self.observed_tail(t)))
    }

    /// The mean of P(X > s) over s in (t − T, t), where it is 1 before 0.
    fn observed_tail(&self, t: f64) -> f64 {
        if t >= self.interval {
            return mean_sojourn_tail(&self.queue, t - self.interval, self.interval);
        }
        let ticked = t / self.interval;
        1.0 - ticked + ticked * mean_sojourn_tail(&self.queue, 0.0, t)
    }
}

/// How many intervals a time is; a whole number of them if it is at a poll to within rounding.
fn intervals(time: f64, interval: f64) -> f64 {
    let ratio = time / interval;
    let whole = ratio.round();
    if (ratio - whole).abs() <= AT_A_POLL * whole { whole } else { ratio }
}

/// How many polls it takes to see something that is there after a time.
fn polls(time: f64, interval: f64) -> f64 {
    intervals(time, interval).ceil().max(1.0)
}

/// The mean of e^{−s} over s in (0, x).
fn mean_decay(x: f64) -> f64 {
    if x > 0.0 { -(-x).exp_m1() / x } else { 1.0 }
}

/// The mean of P(X > s) over s in (from, from + width), as its two exponentials have it, with nothing that cancels.
fn mean_sojourn_tail(queue: &Mmc, from: f64, width: f64) -> f64 {
    let (served, spare) = (queue.service_rate() * width, queue.spare_rate() * width);
    if served < f64::MIN_POSITIVE || spare < f64::MIN_POSITIVE {
        return queue.sojourn_tail(from);
    }
    // With φ(x) = (1 − e^{−x})/x: (φ(μT) − φ(θT))/k = (1 − e^{−μT} − (e^{−μT} − e^{−θT})/k) / θT.
    let waits = (-(-served).exp_m1() - queue.difference_of_decays(width)) / spare;
    let all_busy = queue.p_wait() * (-queue.spare_rate() * from).exp();
    mean_decay(served) * queue.sojourn_tail(from) + all_busy * waits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Mmc {
        Mmc::new(3.0, 1.0, 4).unwrap()
    }

    #[test]
    fn a_poll_at_the_end_of_a_job_sees_it_done() {
        for tenths in 1..=200 {
            let (duration, expected) = (f64::from(tenths) / 10.0, f64::from(tenths));
            assert_eq!(polls(duration, 0.1), expected, "{duration}");
        }
        assert_eq!(polls(0.35, 0.1), 4.0);
        assert_eq!(first_poll_after(0.0, 0.1).unwrap(), 0.1);
        assert!(first_poll_after(1.0, 0.0).is_err() && first_poll_after(-1.0, 1.0).is_err());
    }

    #[test]
    fn the_mean_observed_is_the_sum_of_the_tail_over_polls() {
        // Offered loads below, at and above c − 1.
        for arrival_rate in [0.4, 2.0, 3.0, 3.0 - 1e-12, 3.6] {
            let queue = Mmc::new(arrival_rate, 1.0, 4).unwrap();
            let polling = SynchronousPolling::new(queue, 0.7).unwrap();
            let sum: f64 = (0..2_000).rev().map(|k| queue.sojourn_tail(0.7 * f64::from(k))).sum();
            assert!((polling.mean_observed() / (0.7 * sum) - 1.0).abs() < 1e-12, "{arrival_rate}");
        }
    }

    #[test]
    fn short_intervals_add_half_of_one_and_long_ones_all_of_it() {
        let short = SynchronousPolling::new(queue(), 1e-3).unwrap();
        assert!((short.mean_extra() / 0.5e-3 - 1.0).abs() < 1e-3);
        let long = SynchronousPolling::new(queue(), 1e3).unwrap();
        assert_eq!((long.mean_observed(), long.mean_polls()), (1e3, 1.0));
        for interval in [1e-320, f64::MIN_POSITIVE, 1e-12, 1e12, f64::MAX] {
            let polling = SynchronousPolling::new(queue(), interval).unwrap();
            assert!(
                (polling.mean_observed() / (queue().mean_sojourn() + interval) - 1.0).abs() < 1e-11,
                "{interval}"
            );
        }
    }

    #[test]
    fn a_quantile_is_the_first_poll_with_enough_jobs_done() {
        let polling = SynchronousPolling::new(queue(), 2.0).unwrap();
        for p in [0.0, 0.5, 0.9, 0.99, 0.9999] {
            let quantile = polling.observed_quantile(p).unwrap();
            let late = |t: f64| polling.p_observed_longer_than(t).unwrap();
            assert!(late(quantile) <= 1.0 - p && late(quantile - 0.1) >= 1.0 - p, "{p}: {quantile}");
        }
        assert_eq!(polling.p_observed_longer_than(1.9).unwrap(), 1.0);
        assert!(polling.observed_quantile(1.0).is_err());
    }

    #[test]
    fn a_free_running_clock_adds_a_uniform_time() {
        for arrival_rate in [0.4, 2.0, 3.0, 3.0 - 1e-12, 3.6] {
            let queue = Mmc::new(arrival_rate, 1.0, 4).unwrap();
            let polling = FreeRunningPolling::new(queue, 2.0).unwrap();
            for t in [0.3, 1.0, 2.0, 2.5, 9.0] {
                // The mean over the phase of the clock by the midpoint rule.
                let steps = 20_000;
                let phase = |i: i32| 2.0 * (f64::from(i) + 0.5) / f64::from(steps);
                let tail = |s: f64| if s < 0.0 { 1.0 } else { queue.sojourn_tail(s) };
                let mean = (0..steps).map(|i| tail(t - phase(i))).sum::<f64>() / f64::from(steps);
                let late = polling.p_observed_longer_than(t).unwrap();
                assert!((late / mean - 1.0).abs() < 1e-7, "{arrival_rate} at {t}: {late}, {mean}");
            }
        }
    }

    #[test]
    fn a_clock_that_ticks_all_the_time_shows_the_sojourn_itself() {
        for interval in [f64::MIN_POSITIVE, 1e-300, 1e-12] {
            let polling = FreeRunningPolling::new(queue(), interval).unwrap();
            let (seen, real) =
                (polling.observed_quantile(0.99).unwrap(), queue().sojourn_quantile(0.99).unwrap());
            assert!((seen / real - 1.0).abs() < 1e-11, "{interval}: {seen}, {real}");
        }
        assert_eq!(FreeRunningPolling::new(queue(), 1.0).unwrap().p_observed_longer_than(0.0).unwrap(), 1.0);
        assert!(FreeRunningPolling::new(queue(), f64::NAN).is_err());
    }
}
