//! How many machines: by each of the usual formulas, side by side.

use serde::Serialize;

use crate::oracle::{Moments, quantile};
use crate::theory::{MAX_SERVERS, Mmc, TheoryError, approximation};

/// A formula that machines are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Load over capacity, rounded up: no request ever meets another.
    Naive,
    /// Load over capacity at 70 % utilisation: a rule of thumb.
    SeventyPercent,
    /// The load plus its square root.
    SquareRoot,
    /// M/M/c: all vCPUs serve one queue.
    ErlangC,
    /// M/G/c: the same for service times that are not exponential.
    Mgc,
    /// M/G/c-PS: each machine shares its vCPUs among what it has; the balancer splits at random.
    SharedCores,
    /// M/G/1: each event loop takes requests in turn; the balancer splits at random.
    EventLoops,
    /// M/M/c for each machine by itself, for targets about the wait.
    OwnQueue,
}

impl Form {
    /// As it is written on paper.
    pub fn formula(self) -> &'static str {
        match self {
            Form::Naive => "⌈a / m⌉",
            Form::SeventyPercent => "⌈a / (0.7 m)⌉",
            Form::SquareRoot => "⌈(a + √a) / m⌉",
            Form::ErlangC => "M/M/c",
            Form::Mgc => "M/G/c",
            Form::SharedCores => "M/G/c-PS, a/n each",
            Form::EventLoops => "M/G/1, a/(n·loops) each",
            Form::OwnQueue => "M/M/c, a/n each",
        }
    }

    /// What it takes for granted.
    pub fn takes_for_granted(self) -> &'static str {
        match self {
            Form::Naive => "no request ever waits for another: chance has what rounding up leaves",
            Form::SeventyPercent => "what 70 % does to waits is the same at any size",
            Form::SquareRoot => {
                "many servers, one queue; a random request waits with a chance of 22 % (Halfin and Whitt 1981, β = 1)"
            }
            Form::ErlangC => "one queue for all vCPUs, exponential service times (Erlang 1917)",
            Form::Mgc => {
                "one queue for all vCPUs, any service times: the wait of M/M/c times (1 + cv²)/2 (Lee and Longton 1959)"
            }
            Form::SharedCores => {
                "requests share the vCPUs of the machine they are sent to (Kelly 1979), each machine gets a Poisson stream; quantiles are those of a gamma distribution"
            }
            Form::EventLoops => {
                "each loop takes requests in turn (Pollaczek 1930, Khinchine 1932) and gets a Poisson stream; quantiles are those of a gamma distribution"
            }
            Form::OwnQueue => {
                "each machine has a queue of its own and gets a Poisson stream, exponential service times"
            }
        }
    }
}

/// What machines are sized for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A share of response times is at most `bound` seconds.
    Quantile {
        /// 0.95 for p95.
        share: f64,
        /// Seconds.
        bound: f64,
    },
    /// The mean response time is at most so many seconds.
    Mean(f64),
    /// A share of waits before service is at most `bound` seconds: what call centres call a service level.
    Wait {
        /// 0.8 for 80 %.
        share: f64,
        /// Seconds; 0 for requests that do not wait at all.
        bound: f64,
    },
    /// vCPUs are busy for at most this share of the time.
    Utilisation(f64),
}

/// What the requests of a group ask of it at the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Visits a second.
    pub rate: f64,
    /// Mean seconds of a visit on a server: a vCPU, or a loop, at the speed that lasts with all of a machine busy.
    pub service: f64,
    /// The coefficient of variation of that time: its standard deviation over its mean.
    pub cv: f64,
    /// Mean response time of the target's requests if they met no other, in seconds: their own service, what they wait for,
    /// what they call.
    pub idle: f64,
    /// The variance of that, in seconds squared.
    pub idle_variance: f64,
}

impl Work {
    /// Requests that are service of exponential length and nothing else.
    pub fn exponential(rate: f64, service: f64) -> Work {
        Work { rate, service, cv: 1.0, idle: service, idle_variance: service * service }
    }

    /// Whether a response is one service and nothing else.
    fn is_service_alone(&self) -> bool {
        (self.idle / self.service - 1.0).abs() < 1e-9
    }

    /// Servers that are busy on average: the offered load, in erlangs.
    pub fn offered_load(&self) -> f64 {
        self.rate * self.service
    }
}

/// A fleet by one form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sized {
    /// The form.
    pub form: Form,
    /// As it is written on paper.
    pub formula: String,
    /// Machines; `None` where no number is enough.
    pub machines: Option<u32>,
    /// vCPUs that are busy then, as a share.
    pub utilisation: Option<f64>,
    /// The mean response time that this group gives at that size by the form that was taken, in seconds; `None` where it is
    /// overloaded.
    pub mean: Option<f64>,
    /// The quantile of the target, likewise; of a target without one, p95.
    pub quantile: Option<f64>,
    /// What the form takes for granted.
    pub takes_for_granted: String,
}

/// The load plus its square root, rounded up: servers with which a request waits with a chance of some 22 % (Halfin and
/// Whitt 1981, β = 1). `offered_load` in erlangs.
pub fn square_root_staffing(offered_load: f64) -> f64 {
    (offered_load + offered_load.sqrt()).ceil().max(1.0)
}

/// The fewest servers with which one queue for all of them keeps the target: M/M/c (`exponential`), or M/G/c by Lee and
/// Longton. `None` where no number is enough, or none up to [`MAX_SERVERS`].
///
/// ```
/// use scalesim::estimate::{Target, Work, servers_of_central_queue};
/// // Ten calls a minute of a minute each, 80 % answered within half a minute.
/// let calls = Work::exponential(10.0, 1.0);
/// assert_eq!(servers_of_central_queue(&calls, &Target::Wait { share: 0.8, bound: 0.5 }, true), Some(12));
/// ```
pub fn servers_of_central_queue(work: &Work, target: &Target, exponential: bool) -> Option<u32> {
    let cv = if exponential { 1.0 } else { work.cv };
    let least = work.offered_load().floor();
    if !keeps_without_wait(work, target, cv) || !below(least, f64::from(MAX_SERVERS)) {
        return None;
    }
    let enough = |servers: u32| keeps(work, target, cv, servers).unwrap_or(false);
    let least = least as u32;
    // What is enough is found by doubling, then by halves: more servers never hurt.
    let mut more = 1;
    while !enough(least.saturating_add(more)) {
        more = more.saturating_mul(2);
        if more > MAX_SERVERS {
            return None;
        }
    }
    let (mut low, mut high) = (more / 2, more);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(least.saturating_add(middle)) { high = middle } else { low = middle }
    }
    Some(least.saturating_add(high))
}

/// Machines of so many servers with which each one, a queue by itself, keeps a target about the wait.
pub fn machines_of_own_queues(work: &Work, share: f64, bound: f64, servers: u32) -> Option<u32> {
    let enough = |machines: u32| {
        let queue = Mmc::new(work.rate / f64::from(machines), 1.0 / work.service, servers);
        queue.and_then(|queue| queue.p_wait_longer_than(bound)).is_ok_and(|late| 1.0 - late >= share)
    };
    let least = (work.offered_load() / f64::from(servers.max(1))).floor();
    if !below(least, f64::from(MAX_SERVERS)) || share >= 1.0 {
        return None;
    }
    let least = least as u32;
    let found = (1..=30).map(|power| 1u32 << power).find(|&more| enough(least.saturating_add(more)))?;
    let (mut low, mut high) = (0, found);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(least.saturating_add(middle)) { high = middle } else { low = middle }
    }
    Some(least.saturating_add(high))
}

/// False for what is no number, too.
fn below(x: f64, bound: f64) -> bool {
    x < bound
}

/// Whether one queue for so many servers keeps the target.
fn keeps(work: &Work, target: &Target, cv: f64, servers: u32) -> Result<bool, TheoryError> {
    let idle = Moments { mean: work.idle, variance: work.idle_variance };
    let queue = Mmc::new(work.rate, 1.0 / work.service, servers)?;
    let wait = approximation::lee_longton_mean_wait(&queue, cv)?;
    // Of those that wait, the wait is exponential: exactly for M/M/c, nearly for others in heavy traffic.
    let of_those = wait / queue.p_wait().max(f64::MIN_POSITIVE);
    match *target {
        Target::Utilisation(most) => Ok(queue.utilisation() <= most),
        Target::Mean(bound) => Ok(idle.mean + wait <= bound),
        Target::Wait { share, bound } => {
            let late = if wait > 0.0 { queue.p_wait() * (-bound / of_those).exp() } else { 0.0 };
            Ok(1.0 - late >= share)
        }
        Target::Quantile { share, bound } if cv == 1.0 && work.is_service_alone() => {
            Ok(1.0 - queue.p_sojourn_longer_than(bound)? >= share)
        }
        Target::Quantile { share, bound } => {
            let variance = of_those * of_those * queue.p_wait() * (2.0 - queue.p_wait());
            Ok(quantile(idle.plus(Moments { mean: wait, variance }), share) <= bound)
        }
    }
}

/// Whether a request that meets no other keeps the target; if not, no number of servers does.
fn keeps_without_wait(work: &Work, target: &Target, cv: f64) -> bool {
    let idle = Moments { mean: work.idle, variance: work.idle_variance };
    match *target {
        Target::Utilisation(most) => most > 0.0,
        Target::Wait { share, .. } => share < 1.0,
        Target::Mean(bound) => idle.mean < bound,
        Target::Quantile { share, bound } if cv == 1.0 && work.is_service_alone() => {
            -(-bound / work.service).exp_m1() > share
        }
        Target::Quantile { share, bound } => quantile(idle, share) < bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_service_alone_breaks_no_number_of_servers_mends() {
        let work = Work::exponential(100.0, 0.05);
        let target = Target::Quantile { share: 0.99, bound: 0.1 };
        assert_eq!(servers_of_central_queue(&work, &target, true), None);
        assert_eq!(servers_of_central_queue(&work, &Target::Mean(0.05), true), None);
    }

    #[test]
    fn steady_service_times_need_fewer_servers_and_erratic_ones_more() {
        let target = Target::Mean(0.012);
        let by = |cv: f64| {
            servers_of_central_queue(&Work { cv, ..Work::exponential(950.0, 0.01) }, &target, false)
        };
        let [steady, random, erratic] = [0.0, 1.0, 3.0].map(|cv| by(cv).unwrap());
        assert!(steady < random && random < erratic, "{steady}, {random}, {erratic}");
        assert_eq!(Some(random), servers_of_central_queue(&Work::exponential(950.0, 0.01), &target, true));
    }

    #[test]
    fn separate_queues_need_more_servers_than_a_common_one() {
        let work = Work::exponential(1_000.0, 0.05);
        let together =
            servers_of_central_queue(&work, &Target::Wait { share: 0.99, bound: 0.0 }, true).unwrap();
        let apart = 2 * machines_of_own_queues(&work, 0.99, 0.0, 2).unwrap();
        assert!(together == 68 && apart > 3 * together, "{together} and {apart}");
    }

    #[test]
    fn a_million_erlangs_are_no_work() {
        let work = Work::exponential(1e6, 1.0);
        let servers =
            servers_of_central_queue(&work, &Target::Wait { share: 0.8, bound: 0.0 }, true).unwrap();
        let rule = square_root_staffing(1e6);
        assert!((f64::from(servers) / rule - 1.0).abs() < 1e-3, "{servers} and {rule}");
        assert_eq!(servers_of_central_queue(&Work::exponential(1e12, 1.0), &Target::Mean(2.0), true), None);
    }
}
