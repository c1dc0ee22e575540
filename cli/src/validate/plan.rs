//! What is run, how often and for how long.

use std::time::Duration;

use super::data::{Facts, Form, Order, Place, Role, Setup};
use super::job::MOST_ITERATIONS;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Its name in the report.
    pub name: &'static str,
    /// Rounds: each runs every setup once, in an order of its own.
    pub rounds: u32,
    /// How long a batch takes at best, and the work of a job at most.
    batch: Duration,
    /// Many short jobs are left out.
    short: bool,
    /// How long the lone jobs between batches take.
    pub calibration: Duration,
    /// No round begins that would end later than this.
    pub budget: Duration,
    /// Repetitions of the ping-pong and of the refill series.
    pub hops: u32,
}

impl Effort {
    /// In some fifteen seconds: enough to see that it works, and whether the machine is quiet.
    pub const QUICK: Effort = Effort {
        name: "quick",
        rounds: 3,
        batch: Duration::from_millis(250),
        short: true,
        calibration: Duration::from_millis(40),
        budget: Duration::from_secs(20),
        hops: 3,
    };
    /// In less than a minute.
    pub const DEFAULT: Effort = Effort {
        name: "default",
        rounds: 5,
        batch: Duration::from_millis(400),
        short: false,
        calibration: Duration::from_millis(60),
        budget: Duration::from_secs(56),
        hops: 5,
    };
    /// In minutes, for figures to publish.
    pub const THOROUGH: Effort = Effort {
        name: "thorough",
        rounds: 9,
        batch: Duration::from_millis(1_200),
        short: false,
        calibration: Duration::from_millis(150),
        budget: Duration::from_secs(480),
        hops: 15,
    };
}

/// How many jobs: those of the course, and twice and four times the vCPUs where that is more.
fn counts(vcpus: u32) -> Vec<u32> {
    /// Beyond this many jobs nothing new is learnt.
    const MOST: u32 = 256;
    let mut counts = vec![1, 2, 3, 4, 8, 16];
    counts.extend([1, 2, 4].map(|times| vcpus.saturating_mul(times)).into_iter().filter(|&k| k <= MOST));
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// The setups of a round, where an iteration takes so many nanoseconds.
pub fn setups(effort: &Effort, facts: &Facts, per_iteration: f64) -> Vec<Setup> {
    let vcpus = facts.vcpus.max(1);
    let new = |jobs: u32, form: Form, place: Place, order: Order| {
        let side_by_side = match (order, place) {
            (Order::InTurn, _) => f64::from(jobs),
            (_, Place::OnOne) => f64::from(jobs),
            _ => (f64::from(jobs) / f64::from(vcpus)).max(1.0),
        };
        // A lone job need not be as long as a batch of many. Where vCPUs cannot be shared evenly without moving jobs about,
        // which a kernel does a few times a second, more of it has to be seen.
        let together = order == Order::Together && place == Place::Anywhere;
        let uneven = together && jobs > vcpus && !jobs.is_multiple_of(vcpus);
        let nanos = effort.batch.as_nanos() as f64 * if uneven { 2.0 } else { 1.0 } / side_by_side.max(1.8);
        let iterations = iterations(nanos, per_iteration);
        let all = order == Order::Together && jobs == vcpus && form == Form::Threads;
        let fit = place == Place::OnOne || (all && place == Place::Anywhere);
        Setup { role: if fit { Role::Fit } else { Role::Judge }, place, order, jobs, form, iterations }
    };
    let mut setups = Vec::new();
    for form in [Form::Threads, Form::Processes] {
        let most = if effort.short { vcpus.saturating_mul(4) } else { u32::MAX };
        for jobs in counts(vcpus).into_iter().filter(|&jobs| jobs <= most.max(4)) {
            setups.push(new(jobs, form, Place::Anywhere, Order::Together));
        }
        setups.push(new(4, form, Place::Anywhere, Order::InTurn));
        if facts.pinning {
            // One job too many for even shares, and twice as many as vCPUs.
            let mut dealt = vec![vcpus.saturating_add(1), vcpus.saturating_mul(2)];
            dealt.dedup();
            setups.extend(dealt.into_iter().map(|jobs| new(jobs, form, Place::Dealt, Order::Together)));
        }
    }
    // The slice: two jobs on one vCPU, or where that cannot be had, two for each.
    setups.push(if facts.pinning {
        new(2, Form::Threads, Place::OnOne, Order::Together)
    } else {
        Setup { role: Role::Fit, ..new(vcpus * 2, Form::Threads, Place::Anywhere, Order::Together) }
    });
    setups
}

/// Iterations that take so long.
pub fn iterations(nanos: f64, per_iteration: f64) -> u64 {
    // A NaN becomes zero, which becomes one.
    ((nanos / per_iteration.max(1e-3)) as u64).clamp(1, MOST_ITERATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_jobs_is_judged_and_what_is_fitted_is_not() {
        for (vcpus, pinning) in [(1, true), (2, true), (2, false), (12, true)] {
            let facts = Facts { vcpus, pinning, ..Facts::default() };
            let setups = setups(&Effort::DEFAULT, &facts, 0.65);
            let judged =
                |jobs: u32| setups.iter().any(|setup| setup.jobs == jobs && setup.role == Role::Judge);
            assert!([1, 2, 3, 4, 8, 16].into_iter().all(judged), "{setups:?}");
            assert!(setups.iter().any(|setup| setup.role == Role::Fit && setup.jobs > vcpus.min(1)));
            let mut distinct = setups.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), setups.len(), "no setup twice");
        }
    }

    #[test]
    fn iterations_stay_within_the_course() {
        assert_eq!(iterations(1e30, 0.6), MOST_ITERATIONS);
        assert_eq!(iterations(f64::NAN, f64::NAN), 1);
    }
}
