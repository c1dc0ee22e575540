//! A metric as the control plane has it: a datapoint per period, visible some time after the period's end.

use std::collections::VecDeque;

use sim_core::{Span, Time};

/// Datapoints that are kept: a day of minutes, the longest an alarm may look back.
pub const MOST_DATAPOINTS: usize = 1_440;

/// The most datapoints that an alarm may evaluate; it looks at a few more, to pass over missing ones.
pub const MOST_EVALUATED: usize = MOST_DATAPOINTS - 2;

/// The datapoints of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Datapoints {
    period: Span,
    delay: Span,
    points: VecDeque<(Time, Option<Datapoint>)>,
    sum: Datapoint,
    count: u32,
}

/// A mean over instances and over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Datapoint {
    /// The mean.
    pub value: f64,
    /// The sum over the instances it is about, on average over the period: what a fleet of another size would share.
    pub total: f64,
    /// How many instances it is about, on average over the period.
    pub instances: f64,
    /// The smallest value of an instance; the mean, where the metric is one of the group's.
    pub lowest: f64,
    /// The largest value of an instance, likewise.
    pub highest: f64,
}

impl Datapoint {
    /// The mean of `instances` instances over a minute.
    pub fn of(value: f64, instances: u32) -> Datapoint {
        let (total, instances) = (value * f64::from(instances), f64::from(instances));
        Datapoint { value, total, instances, lowest: value, highest: value }
    }
}

impl Datapoints {
    /// No datapoints yet. Each covers `period`, and can be seen `delay` after its end.
    pub fn new(period: Span, delay: Span) -> Self {
        Datapoints { period, delay, points: VecDeque::new(), sum: Datapoint::default(), count: 0 }
    }

    /// The length of a period.
    pub fn period(&self) -> Span {
        self.period
    }

    /// Adds the average over the minute that ends at `now`; `None` where there was nothing to measure. Minutes are
    /// averaged to the metric's period.
    pub fn push(&mut self, now: Time, minute: Option<Datapoint>) {
        if let Some(minute) = minute {
            let (lowest, highest) = (self.sum.lowest, self.sum.highest);
            self.sum.lowest = if self.count > 0 { lowest.min(minute.lowest) } else { minute.lowest };
            self.sum.highest = if self.count > 0 { highest.max(minute.highest) } else { minute.highest };
            self.sum.value += minute.value;
            self.sum.total += minute.total;
            self.sum.instances += minute.instances;
            self.count += 1;
        }
        if now.as_nanos().is_multiple_of(self.period.as_nanos().max(1)) {
            let minutes = f64::from(self.count);
            let Datapoint { value, total, instances, lowest, highest } = self.sum;
            let point = (self.count > 0).then(|| Datapoint {
                value: value / minutes,
                total: total / minutes,
                instances: instances / minutes,
                lowest,
                highest,
            });
            (self.sum, self.count) = (Datapoint::default(), 0);
            self.points.push_back((now, point));
            if self.points.len() > MOST_DATAPOINTS {
                self.points.pop_front();
            }
        }
    }

    /// The newest `count` datapoints that can be seen at `now`, oldest first.
    pub fn visible(&self, now: Time, count: usize) -> Vec<Option<Datapoint>> {
        let seen = self.points.partition_point(|&(end, _)| end + self.delay <= now);
        self.points.range(seen.saturating_sub(count)..seen).map(|&(_, point)| point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: u64) -> Time {
        Time::ZERO + Span::from_secs(60 * n)
    }

    fn values(metric: &Datapoints, now: Time, count: usize) -> Vec<Option<f64>> {
        metric.visible(now, count).into_iter().map(|point| point.map(|point| point.value)).collect()
    }

    #[test]
    fn datapoints_are_seen_late() {
        let mut cpu = Datapoints::new(Span::from_secs(60), Span::from_secs(90));
        (1..=5).for_each(|n| cpu.push(minute(n), Some(Datapoint::of(n as f64, 1))));
        assert_eq!(values(&cpu, minute(5), 3), [Some(1.0), Some(2.0), Some(3.0)]);
        assert_eq!(values(&cpu, minute(2), 3), []);
    }

    #[test]
    fn basic_monitoring_averages_five_minutes() {
        let mut cpu = Datapoints::new(Span::from_secs(300), Span::ZERO);
        (1..=12).for_each(|n| cpu.push(minute(n), (n != 3).then_some(Datapoint::of(n as f64, 2))));
        assert_eq!(values(&cpu, minute(12), 9), [Some(3.0), Some(8.0)]);
        assert_eq!(cpu.visible(minute(12), 1)[0].map(|point| point.instances), Some(2.0));
    }

    /// What counts is the load that was there, not the product of two averages.
    #[test]
    fn a_fleet_that_changes_within_a_period_keeps_its_total() {
        let mut cpu = Datapoints::new(Span::from_secs(300), Span::ZERO);
        (1..=5).for_each(|n| {
            cpu.push(minute(n), Some(if n <= 2 { Datapoint::of(80.0, 2) } else { Datapoint::of(40.0, 4) }))
        });
        assert_eq!(cpu.visible(minute(5), 1)[0].map(|point| point.total), Some(160.0));
    }
}
