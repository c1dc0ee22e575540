//! Shapes of traffic that people describe in words: constant, a day, a week, points, and flash crowds on top.

use std::f64::consts::{PI, TAU};

use sim_core::{Span, Time};

use super::RateFunction;

const DAY: Span = Span::from_secs(86_400);
/// Seven days.
pub const WEEK: Span = Span::from_secs(7 * 86_400);

/// How the rate goes over time. Rates are requests per second, times of day are spans since midnight.
#[derive(Clone, Debug, PartialEq)]
pub enum Profile {
    /// Always the same.
    Constant(f64),
    /// From the lowest rate up to the peak and down again, in half cosines, every day.
    Day {
        /// The lowest rate.
        low: f64,
        /// The highest rate.
        peak: f64,
        /// When it is lowest.
        low_at: Span,
        /// When it is highest.
        peak_at: Span,
    },
    /// A day, times a factor for each day of the week.
    Week {
        /// The lowest rate of a day with factor 1.
        low: f64,
        /// Its highest rate.
        peak: f64,
        /// When it is lowest.
        low_at: Span,
        /// When it is highest.
        peak_at: Span,
        /// Factors, Monday first; they change at midnight.
        factors: [f64; 7],
    },
    /// Linear between points, ascending in time since the start.
    Points {
        /// The points; before the first and after the last the rate stays as there.
        points: Vec<(Span, f64)>,
        /// Start over after this long.
        repeat: Option<Span>,
    },
}

/// A flash crowd on top of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// When it begins, since the start of the run.
    pub start: Span,
    /// How long it rises, linearly.
    pub rise: Span,
    /// How long it stays.
    pub hold: Span,
    /// How long it takes to be gone.
    pub decay: Span,
    /// How it decays.
    pub shape: Decay,
    /// How high it is.
    pub height: Height,
}

/// How a flash crowd goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Exponentially: after the decay time 1 % is left, and is dropped.
    Exponential,
    /// Linearly.
    Linear,
}

/// How high a flash crowd is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Height {
    /// The rate is this many times the rate at the spike's start.
    Times(f64),
    /// So many requests per second more.
    Extra(f64),
}

impl Profile {
    /// The rate over a run of this length that starts at a time of day, `weekday` counted from Monday as 0.
    pub fn rate(&self, duration: Span, time_of_day: Span, weekday: u8) -> RateFunction {
        let end = Time::ZERO + duration;
        match self {
            Profile::Constant(rate) => RateFunction::from_knots(vec![(Time::ZERO, *rate), (end, *rate)]),
            Profile::Day { low, peak, low_at, peak_at } => {
                let shape = |t: Time| day_shape(*low, *peak, *low_at, *peak_at, clock(time_of_day, t));
                RateFunction::from_knots(daily(end, time_of_day, (peak - low).abs(), |_| 1.0, shape))
            }
            Profile::Week { low, peak, low_at, peak_at, factors } => {
                let shape = |t: Time| day_shape(*low, *peak, *low_at, *peak_at, clock(time_of_day, t));
                let factor = |day: u64| factors[((u64::from(weekday) + day) % 7) as usize];
                RateFunction::from_knots(daily(end, time_of_day, (peak - low).abs(), factor, shape))
            }
            Profile::Points { points, repeat } => RateFunction::from_knots(repeated(points, *repeat, end)),
        }
    }
}

impl Spike {
    /// What the spike adds to `base`, over a run of this length.
    pub fn extra(&self, base: &RateFunction, duration: Span) -> RateFunction {
        let start = Time::ZERO + self.start;
        let height = match self.height {
            Height::Times(factor) => base.rate(start) * (factor - 1.0).max(0.0),
            Height::Extra(rate) => rate,
        };
        let top = start + self.rise;
        let falls = top + self.hold;
        let gone = falls + self.decay;
        let mut knots = vec![(start, 0.0), (top, height), (falls, height)];
        match self.shape {
            Decay::Linear => knots.push((gone, 0.0)),
            Decay::Exponential => {
                let speed = 100f64.ln() / self.decay.as_secs_f64().max(1e-9);
                let shape = |t: Time| height * (-speed * t.since(falls).as_secs_f64()).exp();
                knots.extend_from_slice(RateFunction::from_shape(falls, gone, height, shape).knots());
                knots.push((gone, 0.0));
            }
        }
        cut(RateFunction::from_knots(knots), Time::ZERO + duration)
    }
}

/// Drops what lies after `end`.
fn cut(rate: RateFunction, end: Time) -> RateFunction {
    let at_end = rate.rate(end);
    let mut knots: Vec<(Time, f64)> = rate.knots().iter().copied().filter(|&(at, _)| at <= end).collect();
    if knots.len() < rate.knots().len() && !knots.is_empty() {
        knots.push((end, at_end));
    }
    RateFunction::from_knots(knots)
}

/// The time of day at an instant.
fn clock(start: Span, t: Time) -> f64 {
    (start.as_secs_f64() + t.as_secs_f64()) % DAY.as_secs_f64()
}

/// Two half cosines: from the low to the peak, and back.
fn day_shape(low: f64, peak: f64, low_at: Span, peak_at: Span, clock: f64) -> f64 {
    let day = DAY.as_secs_f64();
    let up = (peak_at.as_secs_f64() - low_at.as_secs_f64()).rem_euclid(day);
    let since_low = (clock - low_at.as_secs_f64()).rem_euclid(day);
    let phase =
        if since_low < up { PI * since_low / up } else { PI + (TAU - PI) * (since_low - up) / (day - up) };
    low + (peak - low) * (1.0 - phase.cos()) / 2.0
}

/// Follows a daily shape from midnight to midnight, each day with its factor.
fn daily(
    end: Time,
    time_of_day: Span,
    amplitude: f64,
    factor: impl Fn(u64) -> f64,
    shape: impl Fn(Time) -> f64,
) -> Vec<(Time, f64)> {
    let mut knots = Vec::new();
    let mut from = Time::ZERO;
    for day in 0.. {
        if from >= end {
            break;
        }
        let midnight = Time::ZERO + DAY.saturating_mul(day + 1).saturating_sub(time_of_day);
        let to = midnight.min(end);
        let piece = RateFunction::from_shape(from, to, amplitude.max(1e-9), &shape).scaled(factor(day));
        knots.extend_from_slice(piece.knots());
        from = to;
    }
    knots
}

/// The points, held at both ends or repeated.
fn repeated(points: &[(Span, f64)], repeat: Option<Span>, end: Time) -> Vec<(Time, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let period = repeat.filter(|period| !period.is_zero()).unwrap_or(Span::MAX);
    let mut knots = Vec::new();
    let mut origin = Time::ZERO;
    while origin < end {
        knots.push((origin, first.1));
        knots.extend(points.iter().map(|&(at, rate)| (origin + at, rate)));
        origin += period;
        knots.push((origin.min(end), last.1));
    }
    cut(RateFunction::from_knots(knots), end).knots().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: f64) -> Time {
        Time::ZERO + Span::from_secs_f64(3600.0 * hours)
    }

    fn hours(h: u64) -> Span {
        Span::from_secs(3600 * h)
    }

    #[test]
    fn a_day_is_lowest_and_highest_when_it_says() {
        let day = Profile::Day { low: 80.0, peak: 900.0, low_at: hours(4), peak_at: hours(20) };
        let rate = day.rate(hours(48), Span::ZERO, 0);
        for day in [0.0, 24.0] {
            assert!((rate.rate(at(day + 4.0)) - 80.0).abs() < 0.1);
            assert!((rate.rate(at(day + 20.0)) - 900.0).abs() < 0.1);
            assert!((rate.rate(at(day + 12.0)) - 490.0).abs() < 0.1);
        }
        let later = day.rate(hours(24), hours(18), 0);
        assert!((later.rate(at(2.0)) - 900.0).abs() < 0.1, "the run starts at 18:00");
    }

    #[test]
    fn a_week_changes_its_factor_at_midnight() {
        let factors = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.25];
        let week = Profile::Week { low: 100.0, peak: 100.0, low_at: hours(4), peak_at: hours(16), factors };
        let rate = week.rate(WEEK, Span::ZERO, 4); // starts on a Friday
        assert_eq!([12.0, 36.0, 60.0, 84.0].map(|h| rate.rate(at(h))), [100.0, 50.0, 25.0, 100.0]);
    }

    #[test]
    fn points_hold_their_ends_and_repeat() {
        let points = vec![(hours(1), 10.0), (hours(2), 30.0)];
        let held = Profile::Points { points: points.clone(), repeat: None }.rate(hours(5), Span::ZERO, 0);
        assert_eq!([0.5, 1.5, 4.0].map(|h| held.rate(at(h))), [10.0, 20.0, 30.0]);
        let again = Profile::Points { points, repeat: Some(hours(3)) }.rate(hours(6), Span::ZERO, 0);
        assert_eq!([1.5, 2.5, 3.5, 4.5].map(|h| again.rate(at(h))), [20.0, 30.0, 10.0, 20.0]);
    }

    #[test]
    fn a_flash_crowd_rises_holds_and_decays() {
        let base = Profile::Constant(100.0).rate(hours(10), Span::ZERO, 0);
        let mut spike = Spike {
            start: hours(1),
            rise: hours(1),
            hold: hours(1),
            decay: hours(2),
            shape: Decay::Exponential,
            height: Height::Times(5.0),
        };
        let sum = base.plus(&spike.extra(&base, hours(10)));
        assert_eq!([0.5, 1.5, 2.5].map(|h| sum.rate(at(h))), [100.0, 300.0, 500.0]);
        assert!(
            (sum.rate(at(4.0)) - 140.0).abs() < 0.1,
            "half of the decay leaves a tenth: {}",
            sum.rate(at(4.0))
        );
        assert_eq!(sum.rate(at(5.5)), 100.0);
        (spike.shape, spike.height) = (Decay::Linear, Height::Extra(50.0));
        let short = spike.extra(&base, Span::from_secs(4 * 3600));
        assert_eq!(short.rate(at(4.0)), 25.0);
        assert_eq!(short.knots().last().map(|knot| knot.0), Some(at(4.0)), "cut at the end of the run");
    }
}
