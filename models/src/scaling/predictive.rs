//! Predictive scaling: be there before the load is, by a forecast of each hour (EC2 Auto Scaling guide, "Predictive
//! scaling for Amazon EC2 Auto Scaling").

use std::collections::VecDeque;
use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal};
use sim_core::{Span, Stream, Time};

use super::forecast::{Forecast, HORIZON, LEAST_HISTORY, MOST_HISTORY, forecast};
use super::{Consent, Decision, Memory, Metric, Observation, Policy, Verdict, capacity_for};

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
            let mut normal = || -> f64 { StandardNormal.sample(&mut *stream) };
            if hour.is_multiple_of(24) {
                day = normal();
            }
            let off = share * (day + normal());
            load.map(|load| (load * (1.0 + off)).max(0.0))
        };
        self.hours.iter().enumerate().map(noisy).collect()
    }
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

impl Predictive {
    /// True where the group follows the forecast.
    pub fn scales(&self) -> bool {
        self.mode == PredictiveMode::ForecastAndScale
    }

    /// A load of the group, with its unit.
    fn show(&self, load: f64) -> String {
        match self.metric {
            Metric::Cpu => format!("{load:.0} % of CPU in all"),
            Metric::RequestCountPerTarget => format!("{load:.0} requests a minute"),
            Metric::ConnectionsPerTarget => format!("{load:.0} open sessions"),
            other => format!("{load:.0} of {} in all", other.name()),
        }
    }

    /// What is forecast for the hour that is, or for the one that begins within the buffer, whichever needs more.
    fn planned(&self, forecaster: &mut Forecaster, now: Time) -> Option<(u64, f64, u32)> {
        let hours = forecaster.hour_of(now)..=forecaster.hour_of(now + self.scheduling_buffer);
        let planned = hours.filter_map(|hour| {
            let (load, capacity) = forecaster.plan(hour, self.target)?;
            Some((hour, load, capacity))
        });
        planned.reduce(|most, other| if other.2 > most.2 { other } else { most })
    }

    /// What to do about so many instances that are predicted, which `forecast` says in words.
    fn act(&self, predicted: u32, seen: &Observation, forecast: &str) -> Decision {
        let wanted = desired_for(predicted, 0, seen.min, seen.max, self.breach);
        let limit = if wanted < predicted { format!(", the maximum is {wanted}") } else { String::new() };
        let decision = if wanted > seen.desired {
            let from = seen.desired;
            Decision::scale_out(
                wanted,
                format!("{forecast}{limit}; desired capacity from {from} to {wanted}."),
            )
        } else if wanted < predicted {
            let words = format!("{forecast}, and the group is at its maximum of {wanted}.");
            Decision::wait(Verdict::AtMaximum, words)
        } else {
            Decision::wait(Verdict::AsForecast, format!("{forecast}, and {} are desired.", seen.desired))
        };
        Decision { at_least: Some(wanted), ..decision }
    }

    fn judge(&self, memory: &mut Memory, forecaster: &mut Forecaster, seen: &Observation) -> Decision {
        let Some((hour, load, predicted)) = self.planned(forecaster, seen.now) else {
            let known = forecaster.known();
            let words = if known < LEAST_HISTORY {
                format!("No forecast: {known} hours of history are known, and {LEAST_HISTORY} are needed.")
            } else {
                "No forecast for this hour yet.".to_string()
            };
            return Decision::wait(Verdict::TooLittleHistory, words);
        };
        let error = forecaster.standing().and_then(|forecast| forecast.error);
        let error =
            error.map_or(String::new(), |error| format!(" (it was {error:.1} % off on the last day)"));
        let forecast = format!(
            "The forecast for the hour that begins {} after the start is {}{error}, which needs {predicted} instances at a target of {}",
            forecaster.start_of(hour).since(Time::ZERO),
            self.show(load),
            self.target
        );
        match self.mode {
            PredictiveMode::ForecastOnly => {
                Decision::wait(Verdict::ForecastOnly, format!("{forecast}; it is a forecast only."))
            }
            PredictiveMode::ForecastAndScale => {
                memory.raised_max = effective_max(predicted, 0, self.breach);
                self.act(predicted, seen, &forecast)
            }
        }
    }
}

impl Policy for Predictive {
    fn metrics(&self) -> Vec<Metric> {
        vec![self.metric]
    }

    fn lookback(&self) -> usize {
        1
    }

    /// The load of all instances counts, warm or not.
    fn estimated_instance_warmup(&self) -> Option<Span> {
        Some(Span::ZERO)
    }

    fn caller(&self, _: &str, _: bool) -> String {
        "a predictive scaling policy".to_string()
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        let mut forecaster = memory.forecaster.take().unwrap_or_default();
        let load = seen.newest(0).map(|point| point.total);
        // A balancer publishes nothing about a period without requests.
        let silent = (self.metric == Metric::RequestCountPerTarget).then_some(0.0);
        forecaster.take_in_newest(seen.now, load.or(silent));
        forecaster.refresh(seen.now);
        memory.raised_max = 0;
        let decision = self.judge(memory, &mut forecaster, seen);
        memory.forecaster = Some(forecaster);
        Decision { consent: Consent::Never, ..decision }
    }
}

/// What a policy has seen and forecast so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecaster {
    /// The time since the wall clock's hour at the start of the run.
    into_hour: Span,
    /// The metric's period, and how long after its end a datapoint can be seen.
    period: Span,
    delay: Span,
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
    hourly: Vec<HourForecast>,
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

impl Default for Forecaster {
    /// Nothing is known, and a datapoint of a minute can be seen at once.
    fn default() -> Self {
        Forecaster::new([], Span::ZERO, (Span::from_secs(60), Span::ZERO))
    }
}

impl Forecaster {
    /// Begins with the hours before the run, whose last ends at the wall clock's hour. `into_hour` is how long ago that is at
    /// the start: less than an hour. The metric's datapoints are about `period`, and can be seen `delay` after it.
    pub fn new(
        past: impl IntoIterator<Item = Option<f64>>,
        into_hour: Span,
        (period, delay): (Span, Span),
    ) -> Forecaster {
        let mut hours: VecDeque<Option<f64>> = past.into_iter().collect();
        hours.drain(..hours.len().saturating_sub(MOST_HISTORY));
        let into_hour = Span::from_nanos(into_hour.as_nanos() % HOUR.as_nanos());
        Forecaster {
            into_hour,
            period: period.max(Span::from_nanos(1)),
            delay,
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

    /// Takes in the newest datapoint that can be seen: what the group bore over that period.
    pub fn take_in_newest(&mut self, now: Time, load: Option<f64>) {
        let periods = now.as_nanos().saturating_sub(self.delay.as_nanos()) / self.period.as_nanos();
        self.take_in(Time::from_nanos(periods * self.period.as_nanos()), load);
    }

    /// Takes in what the group bore over a period that ends at `end`; a period that was taken in already is passed over.
    pub fn take_in(&mut self, end: Time, load: Option<f64>) {
        let period = self.period;
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

    /// The mean load of the hour that is being measured; less than half an hour says little of it.
    fn mean(&self) -> Option<f64> {
        (self.measured >= HOUR.mul_f64(0.5)).then(|| self.sum / self.measured.as_secs_f64())
    }

    /// The hours of the run, with what is known of the last.
    pub fn hourly(&self) -> Vec<HourForecast> {
        let mut hours = self.hourly.clone();
        if let Some(open) = usize::try_from(self.open).ok().and_then(|open| hours.get_mut(open)) {
            open.actual = self.mean();
        }
        hours
    }

    fn close_hour(&mut self) {
        let load = self.mean();
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
    pub fn refresh(&mut self, now: Time) {
        if now < self.due {
            return;
        }
        let made = forecast(self.hours.make_contiguous());
        self.due = match made {
            Some(_) => now + REFRESH,
            None => self.start_of(self.hour_of(now) + 1),
        };
        if let Some(made) = made {
            self.issued = Some((self.open, made));
        }
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

const _: () =
    assert!(HORIZON as u64 * HOUR.as_nanos() > 2 * REFRESH.as_nanos(), "no hour falls between two forecasts");
