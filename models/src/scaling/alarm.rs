//! A CloudWatch alarm: M out of N datapoints, and what it makes of missing ones.

/// How a datapoint is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `GreaterThanThreshold`.
    Greater,
    /// `GreaterThanOrEqualToThreshold`.
    GreaterOrEqual,
    /// `LessThanThreshold`.
    Less,
    /// `LessThanOrEqualToThreshold`.
    LessOrEqual,
}

impl Comparison {
    /// True where a value stands to the threshold as stated.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::Greater => value > threshold,
            Comparison::GreaterOrEqual => value >= threshold,
            Comparison::Less => value < threshold,
            Comparison::LessOrEqual => value <= threshold,
        }
    }
}

/// What missing datapoints count as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingData {
    /// Nothing: without any datapoint the alarm has insufficient data.
    Missing,
    /// Nothing: without any datapoint the alarm keeps its state.
    Ignore,
    /// A breach.
    Breaching,
    /// No breach.
    NotBreaching,
}

/// The state of an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlarmState {
    /// It has not seen enough to tell.
    #[default]
    InsufficientData,
    /// Not breached.
    Ok,
    /// Breached.
    Alarm,
}

impl std::fmt::Display for AlarmState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
        })
    }
}

/// An alarm on the datapoints of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// How a datapoint is compared.
    pub comparison: Comparison,
    /// With what.
    pub threshold: f64,
    /// How many datapoints are looked at (N).
    pub evaluation_periods: usize,
    /// How many of them must breach (M).
    pub datapoints_to_alarm: usize,
    /// What missing ones count as.
    pub missing: MissingData,
}

impl Alarm {
    /// How many of the newest datapoints the alarm retrieves: more than it evaluates, so that it can pass over missing
    /// ones (the guide's example: 5 for 3).
    pub fn evaluation_range(&self) -> usize {
        self.evaluation_periods + 2
    }

    /// True where a datapoint breaches the threshold.
    pub fn breaches(&self, value: f64) -> bool {
        self.comparison.holds(value, self.threshold)
    }

    /// The state after looking at `points`, oldest first, `None` where one is missing. Points older than the evaluation
    /// range are not looked at. (CloudWatch User Guide, "Configuring how alarms treat missing data".)
    pub fn evaluate(&self, points: &[Option<f64>], previous: AlarmState) -> AlarmState {
        let range = &points[points.len().saturating_sub(self.evaluation_range())..];
        let real = || range.iter().rev().filter_map(|point| point.filter(|value| !value.is_nan()));
        let alarm_if = |holds| if holds { AlarmState::Alarm } else { AlarmState::Ok };
        let count = real().count();
        if count >= self.evaluation_periods {
            let breaches = real().take(self.evaluation_periods).filter(|&value| self.breaches(value)).count();
            return alarm_if(breaches >= self.datapoints_to_alarm);
        }
        let breaches = real().filter(|&value| self.breaches(value)).count();
        let filled = self.evaluation_periods - count;
        match self.missing {
            MissingData::Breaching => alarm_if(breaches + filled >= self.datapoints_to_alarm),
            MissingData::NotBreaching => alarm_if(breaches >= self.datapoints_to_alarm),
            MissingData::Missing if count == 0 => AlarmState::InsufficientData,
            MissingData::Ignore if count == 0 => previous,
            MissingData::Missing | MissingData::Ignore => {
                let oldest_age =
                    range.iter().position(Option::is_some).map_or(0, |index| range.len() - index);
                if breaches >= self.datapoints_to_alarm {
                    AlarmState::Alarm
                } else if breaches == count && oldest_age >= self.datapoints_to_alarm {
                    if self.missing == MissingData::Missing { AlarmState::Alarm } else { previous }
                } else {
                    AlarmState::Ok
                }
            }
        }
    }

    /// How many of the newest datapoints breach, one after another.
    pub fn breaching_run(&self, points: &[Option<f64>]) -> usize {
        points.iter().rev().take_while(|point| point.is_some_and(|value| self.breaches(value))).count()
    }
}
