//! Runs everything, in shuffled order, with a lone job before and after each batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sim_core::Seed;
use sim_core::chance::below;

use super::data::{Batch, Measurements, VERSION};
use super::plan::{self, Effort};
use super::{batch, counters, hops};

/// Iterations of the first look at how fast the machine is.
const FIRST_LOOK: u64 = 50_000_000;
/// A job gives up when it takes this many times what it takes on a quiet machine, and a while.
const PATIENCE: f64 = 10.0;
const WHILE: Duration = Duration::from_secs(5);
/// How long a byte is passed to and fro for one figure.
const HOP: Duration = Duration::from_millis(25);

/// Told of what is about to be measured: the share that is done, and a word.
pub type Tell<'a> = &'a dyn Fn(f64, &str);

/// Measures this machine. Ends early, with what there is, when `stop` is set.
pub fn measure(effort: &Effort, seed: u64, stop: &AtomicBool, tell: Tell) -> Result<Measurements, String> {
    let began = Instant::now();
    let machine = counters::facts();
    tell(0.0, "what switching costs");
    let hops = hops::hops(effort.hops, HOP, machine.pinning);
    let refills = hops::refills(effort.hops.div_ceil(2), HOP, machine.pinning);
    let per_iteration = first_look()?;
    let setups = plan::setups(effort, &machine, per_iteration);
    let mut batches = Vec::new();
    let calibration = plan::iterations(effort.calibration.as_nanos() as f64, per_iteration);
    let mut longest = Duration::ZERO;
    for round in 0..effort.rounds {
        // A slow machine gets fewer rounds, never a longer wait.
        if stop.load(Ordering::Relaxed) || (round > 0 && began.elapsed() + longest > effort.budget) {
            break;
        }
        let round_began = Instant::now();
        let mut before = batch::calibrate(calibration, limit(calibration, per_iteration, 1.0))?;
        for (index, setup) in shuffled(&setups, seed, round, "validate/order").into_iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let share = (f64::from(round) + index as f64 / setups.len() as f64) / f64::from(effort.rounds);
            tell(share, &super::judge::name(&setup));
            let patience = limit(setup.iterations, per_iteration, f64::from(setup.jobs));
            let outcome = batch::run(&setup, patience)?;
            let after = batch::calibrate(calibration, limit(calibration, per_iteration, 1.0))?;
            batches.push(Batch {
                setup,
                calibrations: [before, after],
                jobs: outcome.jobs,
                others: outcome.shares.map(|shares| shares.0),
                steal: outcome.shares.map(|shares| shares.1),
            });
            before = after;
        }
        longest = longest.max(round_began.elapsed());
    }
    let date = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    let effort = effort.name.to_string();
    Ok(Measurements { version: VERSION, date, effort, seed, machine, batches, hops, refills })
}

/// Nanoseconds of an iteration: the least of some, as the first find the machine asleep.
fn first_look() -> Result<f64, String> {
    let mut least = f64::INFINITY;
    for _ in 0..4 {
        least = least.min(batch::calibrate(FIRST_LOOK, WHILE)?.per_iteration());
    }
    Ok(least)
}

/// When a job gives up that shares one vCPU with so many others.
fn limit(iterations: u64, per_iteration: f64, jobs: f64) -> Duration {
    let alone = iterations as f64 * per_iteration * 1e-9;
    WHILE + Duration::from_secs_f64((alone * jobs * PATIENCE).clamp(0.0, 120.0))
}

/// Items in an order of their own for each round (Fisher and Yates). What is shuffled has a stream by its name.
pub fn shuffled<T: Clone>(items: &[T], seed: u64, round: u32, name: &str) -> Vec<T> {
    let mut stream = Seed::new(seed).replication(round).stream(name);
    let mut order = items.to_vec();
    for last in (1..order.len()).rev() {
        order.swap(last, below(&mut stream, last as u32 + 1) as usize);
    }
    order
}
