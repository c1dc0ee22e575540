//! How long an alarm that looks once a period takes to notice.

use super::error::{TheoryError, at_least_one, positive, share};

/// An alarm over the last `k` periods, all of which must breach: a metric alarm of CloudWatch with as many datapoints
/// to alarm as evaluation periods.
///
/// The condition begins at a random moment of a period and lasts; the sample at the end of each period sees it. The
/// first comes after a time uniform over `(0, T)`, the alarm `k − 1` periods later: uniform over `((k−1)T, kT)`. That a
/// metric is published late, or an average over a period dilutes the first one, comes on top. Source: the residual of a
/// stationary renewal process of constant gaps; Cox, "Renewal Theory", 1962.
///
/// ```
/// use scalesim::theory::PeriodicAlarm;
/// // Target tracking's high alarm: three minutes in a row.
/// let alarm = PeriodicAlarm::new(60.0, 3)?;
/// assert_eq!(alarm.mean_detection_delay(), 150.0);
/// assert_eq!(alarm.detection_delay_quantile(0.95)?, 177.0);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeriodicAlarm {
    period: f64,
    datapoints: f64,
}

impl PeriodicAlarm {
    /// A sample every `period`, above 0, and `datapoints` breaching ones in a row to alarm, at least 1.
    pub fn new(period: f64, datapoints: u32) -> Result<PeriodicAlarm, TheoryError> {
        let period = positive("period", period)?;
        let datapoints = at_least_one("number of datapoints to alarm", datapoints)?;
        Ok(PeriodicAlarm { period, datapoints: f64::from(datapoints) })
    }

    /// The mean time from the beginning of the condition to the alarm: `(k − ½)T`.
    pub fn mean_detection_delay(&self) -> f64 {
        (self.datapoints - 0.5) * self.period
    }

    /// The time within which a share `p` of conditions raises the alarm (0.99 for p99): `(k − 1 + p)T`.
    pub fn detection_delay_quantile(&self, p: f64) -> Result<f64, TheoryError> {
        Ok((self.datapoints - 1.0 + share(p)?) * self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_datapoint_takes_between_nothing_and_a_period() {
        let alarm = PeriodicAlarm::new(10.0, 1).unwrap();
        assert_eq!(alarm.detection_delay_quantile(0.0).unwrap(), 0.0);
        assert_eq!(alarm.mean_detection_delay(), alarm.detection_delay_quantile(0.5).unwrap());
        assert!(alarm.detection_delay_quantile(1.0).is_err());
        assert!(PeriodicAlarm::new(10.0, 0).is_err() && PeriodicAlarm::new(0.0, 1).is_err());
    }
}
