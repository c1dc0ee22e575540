//! Amounts by hour of the run: what a bill is itemised by.

use sim_core::{Span, Time};

/// Seconds of an hour.
pub const HOUR: f64 = 3_600.0;
/// Nanoseconds of an hour.
const HOUR_NANOS: u64 = 3_600_000_000_000;

/// Time that instances ran, by hour of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunTime {
    /// In each hour the seconds that they ran, and those that are billed: each start costs a minimum.
    pub hours: Vec<[f64; 2]>,
}

impl RunTime {
    /// Adds one instance, which ran `from` and `to`. What is missing to the minimum is billed where it ended.
    pub fn add(&mut self, from: Time, to: Time, minimum: f64) {
        let first = (from.as_nanos() / HOUR_NANOS) as usize;
        // An instance that ends with an hour has nothing in the next.
        let last = (to.as_nanos().saturating_sub(1) / HOUR_NANOS) as usize;
        let last = last.max(first);
        if self.hours.len() <= last {
            self.hours.resize(last + 1, [0.0; 2]);
        }
        let end_of =
            |hour: usize| Time::ZERO + Span::from_nanos((hour as u64 + 1).saturating_mul(HOUR_NANOS));
        let mut at = from;
        for hour in first..=last {
            let until = if hour == last { to } else { end_of(hour) };
            let seconds = until.since(at).as_secs_f64();
            self.hours[hour][0] += seconds;
            self.hours[hour][1] += seconds;
            at = until;
        }
        self.hours[last][1] += (minimum - to.since(from).as_secs_f64()).max(0.0);
    }

    /// Adds what others ran.
    pub fn merge(&mut self, other: &RunTime) {
        if self.hours.len() < other.hours.len() {
            self.hours.resize(other.hours.len(), [0.0; 2]);
        }
        for (own, more) in self.hours.iter_mut().zip(&other.hours) {
            own[0] += more[0];
            own[1] += more[1];
        }
    }

    /// Seconds that they ran, in all.
    pub fn seconds(&self) -> f64 {
        self.hours.iter().map(|hour| hour[0]).sum()
    }

    /// Seconds that are billed, in all.
    pub fn billed(&self) -> f64 {
        self.hours.iter().map(|hour| hour[1]).sum()
    }

    /// Instance-hours that are billed in an hour of the run.
    pub fn billed_hours(&self, hour: usize) -> f64 {
        self.hours.get(hour).map_or(0.0, |hour| hour[1] / HOUR)
    }

    /// True where nothing ran.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }
}

/// How many hours have begun in so many seconds.
pub fn begun(seconds: f64) -> usize {
    (seconds / HOUR).ceil() as usize
}

/// The part of an hour of the run that was played, 0 to 1.
pub fn part_of(hour: usize, seconds: f64) -> f64 {
    (seconds / HOUR - hour as f64).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    #[test]
    fn time_is_cut_at_hours_and_the_minimum_stands_at_the_end() {
        let mut time = RunTime::default();
        time.add(at(1_800), at(9_000), 60.0);
        assert_eq!(time.hours, [[1_800.0; 2], [3_600.0; 2], [1_800.0; 2]]);
        time.add(at(3_590), at(3_600), 60.0);
        assert_eq!(time.hours[0], [1_810.0, 1_860.0]);
        assert_eq!([time.seconds(), time.billed()], [7_210.0, 7_260.0]);
        time.add(at(7_200), at(7_200), 60.0);
        assert_eq!(time.hours[2], [1_800.0, 1_860.0], "one that was gone at once");
    }

    #[test]
    fn a_part_of_an_hour_has_begun() {
        assert_eq!([begun(0.0), begun(1.0), begun(3_600.0), begun(3_601.0)], [0, 1, 1, 2]);
        assert_eq!([part_of(0, 1_800.0), part_of(1, 1_800.0), part_of(0, 7_200.0)], [0.5, 0.0, 1.0]);
    }
}
