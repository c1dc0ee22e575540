//! A forecast of an hourly load, from its past alone: exponential smoothing with two seasons, the hour of the day and the
//! hour of the week.
//!
//! The method is the multiplicative one of Taylor, "Short-term electricity demand forecasting using double seasonal
//! exponential smoothing" (Journal of the Operational Research Society 54, 2003), without its trend, which he found to
//! matter little, and without the term for the error of the last hour, which is forgotten long before a forecast of days
//! ends. AWS does not say how it forecasts. How fast the level is forgotten is chosen among [`LEVELS`] by what each would have
//! forecast in the days that are known; what is slow goes before what is fast, unless that is clearly better: noise looks like
//! a change of level, and following it costs more than the other mistake.

/// Hours of a day.
const DAY: usize = 24;
/// Hours of a week.
const WEEK: usize = 7 * DAY;

/// The fewest hours of history that a forecast is made from (EC2 Auto Scaling guide, "How predictive scaling works").
pub const LEAST_HISTORY: usize = DAY;
/// The most hours of history that a forecast looks at: 14 days (ibid.).
pub const MOST_HISTORY: usize = 14 * DAY;
/// The hours that a forecast covers (ibid.).
pub const HORIZON: usize = 48;

/// Days of which a forecast is judged before it is made: the last one is held out.
const HELD_OUT: usize = DAY;
/// Hours between two forecasts that judge a weight; each looks as far ahead as a forecast does.
const ORIGINS: usize = 6;

/// How fast the past is forgotten: the weight of the newest value, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    /// Of the level.
    pub level: f64,
    /// Of an hour of the day.
    pub day: f64,
    /// Of an hour of the week.
    pub week: f64,
}

/// The weights of the level that are tried, the slowest first.
pub const LEVELS: [f64; 4] = [0.005, 0.02, 0.05, 0.1];
/// The weight of an hour of the day, and that of an hour of the week.
pub const SEASONS: [f64; 2] = [0.05, 0.3];

/// A faster weight is taken where the squared error is less than this share of that of a slower one.
const CLEARLY_BETTER: f64 = 0.8;

/// What is taken where there is too little to choose by.
const UNTRIED: f64 = 0.05;

/// A forecast of the hours that follow its history.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The load of each hour, in the unit of the history, the first that follows it first; [`HORIZON`] of them.
    pub hours: Vec<f64>,
    /// How fast the past was forgotten.
    pub smoothing: Smoothing,
    /// Hours of history that it is made from; those without a value do not count.
    pub history: usize,
    /// The mean absolute error in percent (MAPE) of a forecast of the last day from all before it; `None` where less than two
    /// days are known, or where nothing came on the last.
    pub error: Option<f64>,
}

/// Forecasts the hours after `history`, whose hours are oldest first and `None` where nothing was measured. `None` with fewer
/// than [`LEAST_HISTORY`] measured hours.
///
/// ```
/// use scalesim::scaling::forecast;
/// // Two weeks, each day of which has an hour of 500 at noon.
/// let history: Vec<Option<f64>> = (0..336).map(|h| Some(if h % 24 == 12 { 500.0 } else { 100.0 })).collect();
/// let next = forecast(&history).expect("there is enough history");
/// assert!((next.hours[12] - 500.0).abs() < 1.0);
/// assert!((next.hours[13] - 100.0).abs() < 1.0);
/// assert!(forecast(&history[..23]).is_none());
/// ```
pub fn forecast(history: &[Option<f64>]) -> Option<Forecast> {
    let history = &history[history.len().saturating_sub(MOST_HISTORY)..];
    let known = history.iter().flatten().count();
    if known < LEAST_HISTORY {
        return None;
    }
    let (before, last) = history.split_at(history.len().saturating_sub(HELD_OUT));
    let error = (before.iter().flatten().count() >= LEAST_HISTORY)
        .then(|| mape(&Seasons::fitted(before).1.ahead(before.len(), HELD_OUT), last))
        .flatten();
    let (smoothing, seasons) = Seasons::fitted(history);
    Some(Forecast { hours: seasons.ahead(history.len(), HORIZON), smoothing, history: known, error })
}

/// The mean absolute error of a forecast, in percent of what came; hours in which nothing came or nothing was measured
/// are left out.
pub fn mape(forecast: &[f64], actual: &[Option<f64>]) -> Option<f64> {
    let errors: Vec<f64> = (forecast.iter().zip(actual))
        .filter_map(|(forecast, actual)| {
            actual.filter(|&actual| actual > 0.0).map(|actual| (forecast, actual))
        })
        .map(|(forecast, actual)| 100.0 * ((forecast - actual) / actual).abs())
        .collect();
    (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}

/// The level, and what each hour of the day and of the week is times it.
#[derive(Clone, Debug)]
struct Seasons {
    level: f64,
    day: [f64; DAY],
    week: [f64; WEEK],
}

impl Seasons {
    /// The seasons after all of `history`, forgetting as fast as would have forecast it best.
    fn fitted(history: &[Option<f64>]) -> (Smoothing, Seasons) {
        let first = first_look(history.len());
        let begin = Seasons::of(&levelled(history, first));
        // A week that has been seen once says what each day is worth, and nothing yet about each of its hours.
        let [day, week] = SEASONS;
        let week = if first == WEEK { week } else { 0.0 };
        let with = |level| Smoothing { level, day, week };
        let slowest = |best: Option<(f64, Smoothing)>, level| {
            let error = begin.clone().judge(history, first, with(level));
            let better = best.is_none_or(|(least, _)| error < CLEARLY_BETTER * least);
            if better { Some((error, with(level))) } else { best }
        };
        let tried = (history.len() >= first + DAY).then(|| LEVELS.into_iter().fold(None, slowest)).flatten();
        let chosen = tried.map_or(with(UNTRIED), |(_, smoothing)| smoothing);
        let mut seasons = begin;
        for (hour, load) in history.iter().enumerate().skip(first) {
            seasons.learn(hour, *load, chosen);
        }
        (chosen, seasons)
    }

    /// What the first days look like: the mean, the mean of each hour of the day, and of a whole week the mean of each day.
    fn of(first: &[Option<f64>]) -> Seasons {
        let level = mean(first.iter().copied()).unwrap_or(0.0);
        let mut seasons = Seasons { level, day: [1.0; DAY], week: [1.0; WEEK] };
        if level <= 0.0 {
            return seasons;
        }
        for hour in 0..DAY {
            let same = first.iter().copied().skip(hour).step_by(DAY);
            seasons.day[hour] = mean(same).map_or(1.0, |load| load / level);
        }
        if first.len() == WEEK {
            for (day, hours) in first.chunks(DAY).enumerate() {
                let usual = (hours.iter().zip(&seasons.day)).filter(|(load, _)| load.is_some());
                let usual: f64 = usual.map(|(_, share)| level * share).sum();
                let sum: f64 = hours.iter().flatten().sum();
                let factor = if usual > 0.0 { sum / usual } else { 1.0 };
                seasons.week[day * DAY..(day + 1) * DAY].fill(factor);
            }
        }
        seasons
    }

    /// The squared error of forecasts, one every six hours, while learning from `first` on.
    fn judge(mut self, history: &[Option<f64>], first: usize, smoothing: Smoothing) -> f64 {
        let mut error = 0.0;
        for (hour, load) in history.iter().enumerate().skip(first) {
            if (hour - first).is_multiple_of(ORIGINS) {
                let next = history[hour..].iter().take(HORIZON).enumerate();
                let known = next.filter_map(|(ahead, load)| load.map(|load| (hour + ahead, load)));
                error += known.map(|(at, load)| (self.at(at) - load).powi(2)).sum::<f64>();
            }
            self.learn(hour, *load, smoothing);
        }
        error
    }

    /// What an hour is expected to have.
    fn at(&self, hour: usize) -> f64 {
        self.level * self.day[hour % DAY] * self.week[hour % WEEK]
    }

    /// What the hours after the first `from` are expected to have.
    fn ahead(&self, from: usize, hours: usize) -> Vec<f64> {
        (from..from + hours).map(|hour| self.at(hour)).collect()
    }

    /// An hour is over. A season that is zero says nothing about the others.
    fn learn(&mut self, hour: usize, load: Option<f64>, smoothing: Smoothing) {
        let Some(load) = load else { return };
        let (day, week) = (self.day[hour % DAY], self.week[hour % WEEK]);
        let towards = |old: f64, seen: f64, divisor: f64, weight: f64| {
            if divisor > 1e-9 { old + weight * (seen / divisor - old) } else { old }
        };
        let level = towards(self.level, load, day * week, smoothing.level);
        self.day[hour % DAY] = towards(day, load, self.level * week, smoothing.day);
        self.week[hour % WEEK] = towards(week, load, self.level * day, smoothing.week);
        self.level = level;
    }
}

/// The first hours of a history; of a week, with what it grows from one to the next taken out, which would look as if its
/// last days were worth more.
fn levelled(history: &[Option<f64>], first: usize) -> Vec<Option<f64>> {
    let pairs = || history.iter().zip(history.iter().skip(WEEK)).filter_map(|(a, b)| a.zip(*b));
    let (before, after) = pairs().fold((0.0, 0.0), |(before, after), (a, b)| (before + a, after + b));
    // Of fewer pairs the noise would be taken for growth.
    let weekly = first == WEEK && pairs().count() >= WEEK - DAY && before > 0.0 && after > 0.0;
    let growth = if weekly { (after / before).powf(1.0 / WEEK as f64) } else { 1.0 };
    let to_the_end =
        |(hour, load): (usize, &Option<f64>)| load.map(|load| load * growth.powi((first - hour) as i32));
    history[..first].iter().enumerate().map(to_the_end).collect()
}

/// How many hours the seasons begin with: a week, or as many whole days as leave one to learn from.
fn first_look(hours: usize) -> usize {
    let days = hours.saturating_sub(DAY) / DAY;
    (days * DAY).clamp(DAY, WEEK).min(hours)
}

/// The mean of what is known.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(hours: usize, load: impl Fn(usize) -> f64) -> Vec<Option<f64>> {
        (0..hours).map(|hour| Some(load(hour))).collect()
    }

    #[test]
    fn one_day_repeats_itself() {
        let next = forecast(&all(24, |hour| 10.0 + hour as f64)).unwrap();
        let expected: Vec<f64> = (0..48).map(|hour| 10.0 + f64::from(hour % 24)).collect();
        assert!(next.hours.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{next:?}");
        assert_eq!((next.history, next.error), (24, None));
    }

    #[test]
    fn weekends_are_told_from_one_week_and_a_day() {
        let load = |hour: usize| if hour / 24 % 7 >= 5 { 30.0 } else { 100.0 };
        let next = forecast(&all(12 * 24, load)).unwrap();
        assert!((next.hours[12] - 30.0).abs() < 3.0, "the thirteenth day is a Saturday: {}", next.hours[12]);
        let week = forecast(&all(14 * 24, load)).unwrap();
        assert!((week.hours[12] - 100.0).abs() < 5.0 && week.error.unwrap() < 5.0, "{week:?}");
    }

    #[test]
    fn nothing_but_zeros_is_forecast_as_zero() {
        let next = forecast(&all(100, |_| 0.0)).unwrap();
        assert_eq!(next.hours, vec![0.0; 48]);
        assert_eq!(next.error, None, "no share of nothing");
    }

    #[test]
    fn hours_that_were_always_silent_stay_so_and_wake_up() {
        let quiet = |hour: usize| if hour % 24 < 6 { 0.0 } else { 50.0 };
        assert_eq!(forecast(&all(336, quiet)).unwrap().hours[3], 0.0);
        let woken = forecast(&all(336, |hour| if hour >= 240 { 50.0 } else { quiet(hour) })).unwrap();
        assert!(woken.hours[3] > 10.0, "four nights with traffic: {}", woken.hours[3]);
    }

    #[test]
    fn holes_are_passed_over() {
        let mut history = all(336, |hour| if hour % 24 == 12 { 500.0 } else { 100.0 });
        history.iter_mut().skip(5).step_by(7).for_each(|hour| *hour = None);
        let next = forecast(&history).unwrap();
        assert!((next.hours[12] - 500.0).abs() < 20.0, "{}", next.hours[12]);
        assert_eq!(next.history, 336 - 48);
        assert!(forecast(&[None; 336]).is_none());
    }

    #[test]
    fn only_the_last_fortnight_is_looked_at() {
        let mut long = all(500, |_| 1e6);
        long.extend(all(336, |_| 10.0));
        assert!(forecast(&long).unwrap().hours.iter().all(|&load| (load - 10.0).abs() < 1e-6));
    }

    #[test]
    fn a_traffic_that_grows_is_followed() {
        let growing = all(336, |hour| 100.0 * 1.02f64.powf(hour as f64 / 24.0));
        let next = forecast(&growing).unwrap();
        let actual = 100.0 * 1.02f64.powf(14.5);
        assert!((next.hours[12] / actual - 1.0).abs() < 0.05, "{} for {actual}", next.hours[12]);
    }
}
