//! The initial transient: the start of a run that is not yet what the rest of it is, because queues fill up and sessions open.
//!
//! It is looked for only where a run would be the same all the time but for its start: constant rates, and nothing that
//! is scheduled, fails, is released or scales. A day whose load moves has no steady state to come to, and its
//! quiet hours would pass for a transient; nothing is said of it.
//!
//! What is looked at is how many requests, messages and sessions there are at the end of each row, averaged over the first
//! replications (Welch 1983). MSER-5 says where to cut. Of a sequence that is the same all along it cuts off a little, too,
//! where the first values happen to be odd; a cut counts only where what it leaves out is clearly something else.

use sim_core::Time;
use sim_core::stats::{Tally, mser5};

use crate::plan::Plan;
use crate::results::{Outcome, Row, Run, Transient};
use crate::traffic::Arrivals;

/// Replications whose courses are averaged: enough to see through the noise, and so many rows in memory at most.
pub const MOST_AVERAGED: u32 = 32;

/// Values of a batch of MSER-5.
const BATCH: usize = 5;

/// Standard errors by which the start has to differ from the rest.
const CLEARLY: f64 = 3.0;

/// What may take its time to come to where it stays.
const SUBJECTS: [&str; 3] = ["requests in progress", "messages in queues", "open sessions"];

/// How many requests were in progress, messages in queues, and sessions open, at the end of each row.
pub type Courses = [Vec<f64>; SUBJECTS.len()];

/// True where nothing but its start makes one hour of a plan's run differ from another.
pub fn is_stationary(plan: &Plan) -> bool {
    let steady = plan.traffic.iter().all(|traffic| {
        let knots = traffic.expected.knots();
        let (Some(first), Some(last)) = (knots.first(), knots.last()) else { return false };
        matches!(traffic.arrivals, Arrivals::Rate(_))
            && knots.iter().all(|knot| knot.1 == first.1)
            && first.0 == Time::ZERO
            && last.0 >= Time::ZERO + plan.duration
    });
    let fixed = |group: &crate::plan::Group| {
        group.scaling.is_empty() && group.mixed.is_none() && group.pods.is_none()
    };
    steady
        && !plan.traffic.is_empty()
        && plan.incidents.is_empty()
        && plan.releases.is_empty()
        && plan.groups.iter().all(fixed)
}

/// The courses of a run of a plan; `None` of one that did not come to its end.
pub fn courses(plan: &Plan, run: &Run) -> Option<Courses> {
    let queued = |row: &Row| row.queues.iter().map(|queue| (queue.visible + queue.in_flight) as f64).sum();
    let open = |row: &Row| row.groups.iter().map(|group| f64::from(group.sessions)).sum();
    let of = |count: &dyn Fn(&Row) -> f64| run.series.iter().map(count).collect::<Vec<f64>>();
    (run.outcome == Outcome::Complete).then(|| [in_progress(plan, run), of(&queued), of(&open)])
}

/// Where the transient ends, by courses of runs of a plan. `None` where there is none.
pub fn transient(plan: &Plan, courses: &[Courses]) -> Option<Transient> {
    courses.first()?;
    let mut latest: Option<(usize, &str)> = None;
    for (subject, name) in SUBJECTS.iter().enumerate() {
        match ends_of(&average(courses, subject)) {
            Ends::Never => {
                return Some(Transient { of: (*name).to_string(), until: None, covered: false });
            }
            Ends::After(row) if latest.is_none_or(|(last, _)| row > last) => latest = Some((row, name)),
            Ends::After(_) | Ends::AtOnce => {}
        }
    }
    let (row, name) = latest?;
    let interval = crate::measure::Rows::new(plan.duration).interval().as_secs_f64();
    let until = row as f64 * interval;
    let covered = until <= plan.warm_up.as_secs_f64();
    Some(Transient { of: name.to_string(), until: Some(until), covered })
}

/// Requests that were sent and had not ended at the end of each row: what came less what went, from the start on.
fn in_progress(plan: &Plan, run: &Run) -> Vec<f64> {
    let end = plan.duration.as_secs_f64();
    let mut inside = 0.0;
    let rows = run.series.iter().map(|row| {
        let seconds = run.interval.min(end - row.at);
        inside += (row.offered - row.completed - row.errors) * seconds;
        inside
    });
    rows.collect()
}

fn average(courses: &[Courses], subject: usize) -> Vec<f64> {
    let mut sum = vec![0.0; courses.first().map_or(0, |course| course[subject].len())];
    for course in courses {
        sum.iter_mut().zip(&course[subject]).for_each(|(sum, value)| *sum += value);
    }
    sum.iter().map(|sum| sum / courses.len() as f64).collect()
}

/// When a sequence comes to where it stays.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    /// It begins there.
    AtOnce,
    /// After so many values.
    After(usize),
    /// Not in its first half, or there are too few values to tell.
    Never,
}

fn ends_of(course: &[f64]) -> Ends {
    let batches: Vec<f64> =
        course.chunks_exact(BATCH).map(|b| b.iter().sum::<f64>() / BATCH as f64).collect();
    if batches.iter().all(|&batch| batch == 0.0) {
        return Ends::AtOnce;
    }
    let cut = mser5(course).map(|cut| cut.values / BATCH);
    let (start, rest) = batches.split_at(cut.unwrap_or(batches.len() / 2));
    match cut {
        None if batches.len() < 2 * BATCH => Ends::Never,
        _ if !differ(start, rest) => Ends::AtOnce,
        Some(_) => Ends::After(start.len() * BATCH),
        None => Ends::Never,
    }
}

/// Whether the mean of `start` is clearly another than that of `rest`, whose neighbours may resemble each other: their
/// correlation makes the standard error as much larger as it does of a first-order autoregression.
fn differ(start: &[f64], rest: &[f64]) -> bool {
    let (before, after) = (tally(start), tally(rest));
    let Some(variance) = after.variance().filter(|_| before.count() > 0) else { return false };
    let products: f64 = rest.windows(2).map(|two| (two[0] - after.mean()) * (two[1] - after.mean())).sum();
    let correlation = if variance > 0.0 { products / (variance * (rest.len() - 1) as f64) } else { 0.0 };
    let correlation = correlation.clamp(0.0, 0.99);
    let independent = |count: u64| count as f64 * (1.0 - correlation) / (1.0 + correlation);
    let error = (variance / independent(before.count()) + variance / independent(after.count())).sqrt();
    // Rounding is no difference.
    let least = 1e-9 * after.mean().abs();
    (before.mean() - after.mean()).abs() > (CLEARLY * error).max(least)
}

fn tally(values: &[f64]) -> Tally {
    values.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};
    use sim_core::Seed;

    use super::*;

    /// Noise around a level, in so many values.
    fn noise(number: u32, count: usize) -> Vec<f64> {
        let mut stream = Seed::new(5).replication(number).stream("noise");
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        (0..count).map(|_| 20.0 + normal()).collect()
    }

    #[test]
    fn noise_has_no_transient() {
        let odd = (0..400).filter(|&number| ends_of(&noise(number, 720)) != Ends::AtOnce).count();
        assert!(odd <= 8, "{odd} of 400");
    }

    #[test]
    fn what_fills_up_slowly_has_one_and_it_is_found() {
        for number in 0..50 {
            let mut course = noise(number, 720);
            course.iter_mut().enumerate().for_each(|(i, x)| *x -= 15.0 * (-(i as f64) / 30.0).exp());
            let Ends::After(values) = ends_of(&course) else { panic!("{:?}", ends_of(&course)) };
            assert!((40..200).contains(&values), "{values}");
        }
    }

    #[test]
    fn what_only_grows_and_what_is_short_cannot_be_told() {
        let growing: Vec<f64> = noise(0, 720).iter().enumerate().map(|(i, x)| x + i as f64).collect();
        assert_eq!(ends_of(&growing), Ends::Never);
        assert_eq!(ends_of(&noise(0, 40)), Ends::Never);
    }

    #[test]
    fn nothing_and_always_the_same_are_there_at_once() {
        for value in [0.0, 0.1, 7.0] {
            assert_eq!(ends_of(&[value; 720]), Ends::AtOnce);
        }
        let mut rare = vec![0.0; 720];
        (0..600).step_by(37).for_each(|i| rare[i] = 1.0);
        assert_eq!(
            ends_of(&rare),
            Ends::AtOnce,
            "a quiet end is no steady state that the rest is a transient to"
        );
    }
}
