//! One job: the course's loop, timed in pieces so that it sees when it stands still.

use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;

use super::counters;
use super::data::Job;
use crate::{Failure, exit};

/// The most iterations of a job, as in the course.
pub const MOST_ITERATIONS: u64 = 5_000_000_000;
/// Iterations between two looks at the clock: some 20 µs, so that looking costs a thousandth.
const PIECE: u64 = 30_000;
/// Longer than this over the usual length of a piece, and the job stood still: interrupts are shorter, ticks longer.
const GAP: Duration = Duration::from_micros(250);
/// Gaps that are kept for the medians; more are only counted.
const MOST_GAPS: usize = 65_536;
/// How long before the start a job stops sleeping and looks at the clock: sleepers wake up late by about as much.
const SPIN: Duration = Duration::from_micros(150);

/// What a process that does one job is told.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// Iterations of the loop.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MOST_ITERATIONS))]
    iterations: u64,
    /// When to give up, in milliseconds after the start.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    limit: u64,
}

/// Does one job as a process of its own: says `ready`, reads when to start, does it, and writes what came of it.
pub fn process(args: &JobArgs) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut line = String::new();
    // Where whoever started this is gone, the line ends.
    io::stdin().lock().read_line(&mut line)?;
    let start = line.trim().parse().ok().and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
    let Some(start) = start else {
        return Err(Failure::Usage(
            "this command is a part of `scalesim validate`, which tells it when to start".to_string(),
        ));
    };
    let job = run(args.iterations, start, Duration::from_millis(args.limit));
    let text = serde_json::to_string(&job).map_err(io::Error::from)?;
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(exit::OK)
}

/// Waits for the start and does the job. Processes have no clock in common but the day's.
pub fn run(iterations: u64, start: Timestamp, limit: Duration) -> Job {
    let before = counters::of_this_thread();
    let since = |moment: Timestamp| u64::try_from(moment.duration_since(start).as_nanos()).unwrap_or(0);
    // A start that is far off is nobody's start.
    let wait = start.duration_since(Timestamp::now()).as_millis_f64().clamp(0.0, 60_000.0) / 1e3;
    std::thread::sleep(Duration::from_secs_f64(wait).saturating_sub(SPIN));
    while Timestamp::now() < start && wait > 0.0 {
        std::hint::spin_loop();
    }
    let began = Instant::now();
    let begun = since(Timestamp::now());
    let mut pieces = Pieces::new(began);
    let mut count = 0u64;
    let mut done = 0;
    while done < iterations && !pieces.over(limit) {
        let until = (done + PIECE).min(iterations);
        count = course_loop(count, done, until);
        done = until;
        pieces.look(Instant::now());
    }
    black_box(count);
    // By this clock and not the day's, which somebody may set meanwhile.
    let finished = begun + began.elapsed().as_nanos() as u64;
    let counters = counters::of_this_thread().since(before);
    let (gap, run) = pieces.medians();
    Job { begun, finished, counters, gaps: pieces.gaps, gap, run, cut: done < iterations }
}

/// `for i in from..to { count += i }`, which must not be optimised away: without the black box the compiler makes a formula
/// of it.
#[inline(never)]
fn course_loop(mut count: u64, from: u64, to: u64) -> u64 {
    for i in from..to {
        count = black_box(count.wrapping_add(i));
    }
    count
}

/// Finds out from the times between pieces when the job stood still.
struct Pieces {
    began: Instant,
    last: Instant,
    resumed: Instant,
    shortest: Duration,
    gaps: u64,
    still: Vec<u64>,
    ran: Vec<u64>,
}

impl Pieces {
    fn new(began: Instant) -> Self {
        let (still, ran) = (Vec::with_capacity(1024), Vec::with_capacity(1024));
        Pieces { began, last: began, resumed: began, shortest: Duration::MAX, gaps: 0, still, ran }
    }

    fn over(&self, limit: Duration) -> bool {
        self.last.duration_since(self.began) > limit
    }

    fn look(&mut self, now: Instant) {
        let took = now.duration_since(self.last);
        self.shortest = self.shortest.min(took);
        let still = took - self.shortest;
        if still > GAP {
            self.gaps += 1;
            if self.still.len() < MOST_GAPS {
                self.still.push(still.as_nanos() as u64);
                self.ran.push((self.last.duration_since(self.resumed) + self.shortest).as_nanos() as u64);
            }
            self.resumed = now;
        }
        self.last = now;
    }

    /// The medians of gaps and of the runs between them; the first run began anywhere within a slice.
    fn medians(&mut self) -> (Option<u64>, Option<u64>) {
        let middle = |values: &mut [u64]| {
            values.sort_unstable();
            values.get(values.len() / 2).copied()
        };
        (middle(&mut self.still), self.ran.get_mut(1..).and_then(middle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_does_all_of_its_work_and_tells_how_long_it_took() {
        let job = run(3_000_000, Timestamp::now() + Duration::from_millis(5), Duration::from_secs(20));
        assert!(!job.cut && job.finished > job.begun);
        assert_eq!(course_loop(0, 0, 5) + course_loop(0, 5, 7), (0..7).sum::<u64>());
    }

    #[test]
    fn a_job_gives_up_at_its_limit() {
        let job = run(MOST_ITERATIONS, Timestamp::now(), Duration::from_millis(20));
        assert!(job.cut && job.finished < 10_000_000_000);
    }
}
