//! Seconds of a run as the wall clock of the scenario's zone.

use super::Results;
use jiff::{SignedDuration, Zoned};

const DAY: f64 = 86_400.0;

/// Tells the wall-clock time of an instant of a run.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Option<Zoned>,
    duration: f64,
}

impl Clock {
    /// The clock of a run.
    pub fn new(results: &Results) -> Self {
        Clock::of(&results.start, results.duration)
    }

    /// The clock of a run that starts at `start`, an ISO time with its zone, and takes `duration` seconds.
    pub fn of(start: &str, duration: f64) -> Self {
        Clock { start: start.parse().ok(), duration }
    }

    /// The clock of what is left of the run `seconds` after its start.
    pub fn after(&self, seconds: f64) -> Clock {
        Clock { start: self.zoned(seconds), duration: self.duration }
    }

    fn zoned(&self, at: f64) -> Option<Zoned> {
        let offset = SignedDuration::try_from_secs_f64(at).ok()?;
        self.start.as_ref()?.checked_add(offset).ok()
    }

    /// `20:05`, with seconds where there are any, with the day where the run is longer than one.
    pub fn time(&self, at: f64) -> String {
        let Some(zoned) = self.zoned(at) else { return format!("{at:.0} s") };
        let time = if zoned.second() == 0 { zoned.strftime("%H:%M") } else { zoned.strftime("%H:%M:%S") };
        if self.duration > DAY { format!("{} {time}", zoned.strftime("%a %d")) } else { time.to_string() }
    }

    /// ISO 8601 with the zone's offset.
    pub fn iso(&self, at: f64) -> String {
        self.zoned(at)
            .map_or_else(|| format!("{at}"), |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    /// Places for labels on an axis from 0 to the end, at round wall-clock times, and their texts. At most about twelve.
    pub fn ticks(&self, end: f64) -> Vec<(f64, String)> {
        const STEPS: [f64; 16] = [
            1.0,
            5.0,
            10.0,
            30.0,
            60.0,
            300.0,
            600.0,
            1_800.0,
            3_600.0,
            7_200.0,
            10_800.0,
            21_600.0,
            43_200.0,
            DAY,
            2.0 * DAY,
            7.0 * DAY,
        ];
        let step =
            STEPS.into_iter().find(|step| end / step <= 12.0).unwrap_or((end / 12.0 / DAY).ceil() * DAY);
        let offset = self.start.as_ref().map_or(0.0, |start| {
            let since_midnight = start.time().duration_since(jiff::civil::Time::midnight());
            since_midnight.as_secs_f64() % step
        });
        let first = if offset == 0.0 { 0.0 } else { step - offset };
        let count = ((end - first) / step).floor().max(0.0) as usize;
        (0..=count).map(|index| first + step * index as f64).map(|at| (at, self.label(at, step))).collect()
    }

    fn label(&self, at: f64, step: f64) -> String {
        let Some(zoned) = self.zoned(at) else { return format!("{at:.0} s") };
        if step >= DAY {
            zoned.strftime("%d %b").to_string()
        } else if step < 60.0 {
            zoned.strftime("%H:%M:%S").to_string()
        } else if self.duration > DAY {
            zoned.strftime("%a %H:%M").to_string()
        } else {
            zoned.strftime("%H:%M").to_string()
        }
    }
}
