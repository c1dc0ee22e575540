//! Predictive scaling: be there before the load is, by a forecast of each hour (EC2 Auto Scaling guide, "Predictive
//! scaling for Amazon EC2 Auto Scaling").

use std::collections::VecDeque;
use std::sync::Arc;

use sim_core::chance::unit;
use sim_core::{Span, Stream, Time};

use super::Metric;
use super::forecast::{Forecast, HORIZON, MOST_HISTORY, forecast};

/// An hour.
pub const HOUR: Span = Span::from_secs(3_600);
/// How long a forecast stands (guide: "the forecast is updated every six hours").
pub const REFRESH: Span = Span::from_secs(6 * 3_600);

/// A predictive scaling policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictive {
    /// The pair of metrics: what is forecast is its sum over the group, what is held at the target its mean by instance.
    pub metric: Metric,
    /// The value by instance to plan for.
    pub target: f64,
    /// What is done with the forecast.
    pub mode: PredictiveMode,
    /// How long before its hour a capacity is asked for; 0 to 3600 s.
    pub scheduling_buffer: Span,
    /// What is done about a forecast above the group's maximum.
    pub breach: MaxCapacityBreach,
    /// What was before the run.
    pub history: PastLoad,
}

/// `Mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictiveMode {
    /// It forecasts and does nothing, so that one can see whether it is any good.
    ForecastOnly,
    /// It scales out.
    ForecastAndScale,
}

/// `MaxCapacityBreachBehavior`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxCapacityBreach {
    /// The group's maximum holds.
    HonorMaxCapacity,
    /// A forecast near the maximum or above it raises it.
    IncreaseMaxCapacity {
        /// How far above the forecast, in percent of it: 0 to 100.
        buffer: u32,
    },
}

/// The hours before the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastLoad {
    /// Mean requests per second of each, oldest first. The last ends with the hour of the wall clock in which the run begins, or
    /// where it begins. `None` where nothing is known.
    pub hours: Arc<[Option<f64>]>,
    /// How far hours were off what is stated, as a coefficient of variation. Half of the variance is that of the day, half that
    /// of the hour.
    pub noise: f64,
}

impl PastLoad {
    /// The hours as they were: what is stated, with noise drawn from `stream`.
    pub fn draw(&self, stream: &mut Stream) -> Vec<Option<f64>> {
        let share = self.noise / std::f64::consts::SQRT_2;
        let mut day = 0.0;
        let noisy = |(hour, load): (usize, &Option<f64>)| {
            if hour.is_multiple_of(24) {
                day = normal(stream);
            }
            let off = share * (day + normal(stream));
            load.map(|load| (load * (1.0 + off)).max(0.0))
        };
        self.hours.iter().enumerate().map(noisy).collect()
    }
}

/// A standard normal draw, by Box and Muller; 24 a day need no faster one.
fn normal(stream: &mut Stream) -> f64 {
    let (radius, angle) = (1.0 - unit(stream), unit(stream));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Instances that hold a load at the target; what both are in, cancels.
pub fn capacity_for(load: f64, target: f64) -> u32 {
    // A hair less than the quotient, so that 10 × 5 / 5 is not 11. The cast saturates.
    (load / target - 1e-9).ceil().max(0.0) as u32
}

/// The maximum that holds while so many instances are predicted. A predicted 50 at a maximum of 40 with a buffer of 10 %
/// may go to 55, and with one of 0 to 50.
pub fn effective_max(predicted: u32, max: u32, breach: MaxCapacityBreach) -> u32 {
    match breach {
        MaxCapacityBreach::HonorMaxCapacity => max,
        MaxCapacityBreach::IncreaseMaxCapacity { buffer } => {
            // In whole numbers: 50 × 1.1 is a little more than 55.
            let with_buffer = (u64::from(predicted) * (100 + u64::from(buffer))).div_ceil(100);
            max.max(u32::try_from(with_buffer).unwrap_or(u32::MAX))
        }
    }
}

/// The desired capacity that a prediction asks for: never less than there is.
pub fn desired_for(predicted: u32, actual: u32, min: u32, max: u32, breach: MaxCapacityBreach) -> u32 {
    actual.max(predicted.clamp(min.min(max), max.max(effective_max(predicted, max, breach))))
}

/// What a policy has seen and forecast so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecaster {
    /// The time since the wall clock's hour at the start of the run.
    into_hour: Span,
    /// The loads of whole hours, oldest first, in the metric's unit by group; at most [`MOST_HISTORY`].
    hours: VecDeque<Option<f64>>,
    /// The hour that is being measured, from the one of the start as 0.
    open: u64,
    /// What was measured in it: the sum of the load over its periods, and how long these are.
    sum: f64,
    measured: Span,
    /// The end of the newest period that was taken in.
    seen_until: Time,
    /// The forecast that stands, and its first hour.
    issued: Option<(u64, Forecast)>,
    /// When the next is due.
    due: Time,
    /// The loads that were forecast for each hour of the run when it was planned for, and those that came.
    pub hourly: Vec<HourForecast>,
}

/// An hour of the run: what was forecast for it, and what came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HourForecast {
    /// The load that was forecast when its capacity was asked for; `None` without a forecast then.
    pub forecast: Option<f64>,
    /// The capacity for it, before the group's limits.
    pub capacity: Option<u32>,
    /// The mean load that was measured; `None` while the hour is not over.
    pub actual: Option<f64>,
}

impl Forecaster {
    /// Begins with the hours before the run, whose last ends at the wall clock's hour. `into_hour` is how long ago that is at
    /// the start: less than an hour.
    pub fn new(past: impl IntoIterator<Item = Option<f64>>, into_hour: Span) -> Forecaster {
        let mut hours: VecDeque<Option<f64>> = past.into_iter().collect();
        hours.drain(..hours.len().saturating_sub(MOST_HISTORY));
        Forecaster {
            into_hour,
            hours,
            open: 0,
            sum: 0.0,
            measured: Span::ZERO,
            seen_until: Time::ZERO,
            issued: None,
            due: Time::ZERO,
            hourly: Vec::new(),
        }
    }

    /// The hour of an instant, from the one of the start as 0.
    pub fn hour_of(&self, at: Time) -> u64 {
        at.as_nanos().saturating_add(self.into_hour.as_nanos()) / HOUR.as_nanos()
    }

    /// When an hour begins; the first began before the run.
    pub fn start_of(&self, hour: u64) -> Time {
        Time::from_nanos(hour.saturating_mul(HOUR.as_nanos()).saturating_sub(self.into_hour.as_nanos()))
    }

    /// Takes in what the group bore over a period that ends at `end`; a period that was taken in already is passed over.
    pub fn take_in(&mut self, end: Time, period: Span, load: Option<f64>) {
        if end <= self.seen_until {
            return;
        }
        self.seen_until = end;
        let hour = self.hour_of(Time::from_nanos(end.as_nanos() - 1));
        while self.open < hour {
            self.close_hour();
        }
        if let Some(load) = load {
            self.sum += load * period.as_secs_f64();
            self.measured += period;
        }
        // The period that ends an hour closes it.
        if self.hour_of(end) > hour {
            self.close_hour();
        }
    }

    fn close_hour(&mut self) {
        // Less than half an hour says little of an hour.
        let enough = self.measured >= HOUR.mul_f64(0.5);
        let load = enough.then(|| self.sum / self.measured.as_secs_f64());
        self.hour_mut(self.open).actual = load;
        self.hours.push_back(load);
        if self.hours.len() > MOST_HISTORY {
            self.hours.pop_front();
        }
        (self.sum, self.measured) = (0.0, Span::ZERO);
        self.open += 1;
    }

    fn hour_mut(&mut self, hour: u64) -> &mut HourForecast {
        let index = hour as usize;
        if self.hourly.len() <= index {
            self.hourly.resize(index + 1, HourForecast::default());
        }
        &mut self.hourly[index]
    }

    /// Makes a new forecast where one is due. Without enough history it is tried again with each hour that is over.
    pub fn refresh(&mut self, now: Time) -> Option<&Forecast> {
        if now < self.due {
            return None;
        }
        let made = forecast(self.hours.make_contiguous());
        self.due = match made {
            Some(_) => now + REFRESH,
            None => self.start_of(self.hour_of(now) + 1),
        };
        let issued = made.map(|made| (self.open, made));
        let new = issued.is_some();
        self.issued = issued.or(self.issued.take());
        self.issued.as_ref().filter(|_| new).map(|(_, made)| made)
    }

    /// The load that is forecast for an hour.
    pub fn load_of(&self, hour: u64) -> Option<f64> {
        let (first, made) = self.issued.as_ref()?;
        made.hours.get(usize::try_from(hour.checked_sub(*first)?).ok()?).copied()
    }

    /// The forecast that stands.
    pub fn standing(&self) -> Option<&Forecast> {
        self.issued.as_ref().map(|(_, made)| made)
    }

    /// Measured hours that are known.
    pub fn known(&self) -> usize {
        self.hours.iter().flatten().count()
    }

    /// Plans for an hour: what is forecast for it now is what it will be compared with.
    pub fn plan(&mut self, hour: u64, target: f64) -> Option<(f64, u32)> {
        let entry = *self.hour_mut(hour);
        if let (Some(load), Some(capacity)) = (entry.forecast, entry.capacity) {
            return Some((load, capacity));
        }
        let load = self.load_of(hour)?;
        let capacity = capacity_for(load, target);
        let entry = self.hour_mut(hour);
        (entry.forecast, entry.capacity) = (Some(load), Some(capacity));
        Some((load, capacity))
    }
}

const _: () = assert!(HORIZON as u64 * HOUR.as_nanos() > 2 * REFRESH.as_nanos(), "no hour falls between two forecasts");
