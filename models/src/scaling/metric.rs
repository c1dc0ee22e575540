//! A metric as the control plane has it: samples by the metric's own period, each visible some time after that period's end,
//! and the datapoints that are made of them.
//!
//! A datapoint is stamped with the start of its period. Where an alarm's period is longer than the metric's own, its datapoints
//! slide: they are made anew at each evaluation, back from the newest sample that can be seen (CloudWatch User Guide, "Using
//! Amazon CloudWatch alarms", "Alarm evaluation").

use std::collections::VecDeque;

use sim_core::{Span, Time};

use super::{Samples, Statistic};

/// Datapoints that are kept: a day of minutes, the longest an alarm may look back.
pub const MOST_DATAPOINTS: usize = 1_440;

/// The most datapoints that an alarm may evaluate; it looks at a few more, to pass over missing ones.
pub const MOST_EVALUATED: usize = MOST_DATAPOINTS - 2;

/// The datapoints of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Datapoints {
    /// The metric's own period.
    resolution: Span,
    delay: Span,
    /// The period of the datapoints that are asked for, and what is made of its samples.
    sampling: Sampling,
    /// How many samples are kept.
    most: usize,
    /// The end of each period, and its samples.
    points: VecDeque<(Time, Option<Samples>)>,
    open: Samples,
    parts: u32,
}

/// What datapoints a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// How much time each covers; `None` for the metric's own period.
    pub period: Option<Span>,
    /// What is made of the samples of that time.
    pub statistic: Statistic,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { period: None, statistic: Statistic::Average }
    }
}

/// A statistic of a metric over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Datapoint {
    /// The statistic that was asked for: the mean, where nothing else was.
    pub value: f64,
    /// The sum over the instances it is about, on average over the period: what a fleet of another size would share.
    pub total: f64,
    /// How many instances it is about, on average over the period.
    pub instances: f64,
    /// The mean of its samples.
    pub average: f64,
    /// The smallest of them.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// How many there are.
    pub samples: f64,
}

impl Datapoint {
    /// The mean of `instances` instances over a minute.
    pub fn of(value: f64, instances: u32) -> Datapoint {
        let instances = f64::from(instances);
        Datapoint {
            value,
            total: value * instances,
            instances,
            average: value,
            minimum: value,
            maximum: value,
            samples: 1.0,
        }
    }

    /// A statistic of samples over so many of the metric's own periods; `None` where there are no samples.
    fn made_of(samples: &Samples, periods: f64, statistic: Statistic) -> Option<Datapoint> {
        Some(Datapoint {
            value: samples.statistic(statistic)?,
            total: samples.total / periods,
            instances: samples.instances / periods,
            average: samples.average(),
            minimum: samples.minimum,
            maximum: samples.maximum,
            samples: samples.count,
        })
    }
}

impl From<Datapoint> for Samples {
    /// One sample that is about so many instances.
    fn from(point: Datapoint) -> Samples {
        let Datapoint { value, total, instances, .. } = point;
        Samples { total, instances, ..Samples::shared(value, 0) }
    }
}

impl Datapoints {
    /// No datapoints yet. Each covers `period`, and can be seen `delay` after its end.
    pub fn new(period: Span, delay: Span) -> Self {
        Datapoints {
            resolution: period,
            delay,
            sampling: Sampling::default(),
            most: MOST_DATAPOINTS,
            points: VecDeque::new(),
            open: Samples::default(),
            parts: 0,
        }
    }

    /// The same for whoever asks for such datapoints, and for so many of them at a time.
    pub fn sampled(mut self, sampling: Sampling, lookback: usize) -> Self {
        let own = self.resolution.as_nanos().max(1);
        let each = sampling.period.map_or(1, |period| period.as_nanos().div_ceil(own));
        let unseen = self.delay.as_nanos().div_ceil(own) + 1;
        let most = (lookback as u64).saturating_mul(each).saturating_add(unseen);
        self.most = usize::try_from(most).unwrap_or(usize::MAX);
        self.sampling = sampling;
        self
    }

    /// The metric's own period.
    pub fn period(&self) -> Span {
        self.resolution
    }

    /// Whether somebody asks for a percentile, so that each value has to be told.
    pub fn needs_values(&self) -> bool {
        self.sampling.statistic.needs_values()
    }

    /// Adds the mean over the minute that ends at `now`; `None` where there was nothing to measure.
    pub fn push(&mut self, now: Time, minute: Option<Datapoint>) {
        self.push_samples(now, minute.map(Samples::from));
    }

    /// Adds the samples of the time that ends at `now`, a minute as a rule; `None` where there are none. Over a longer period
    /// of the metric's own each instance still gives one sample: the mean of its minutes.
    pub fn push_samples(&mut self, now: Time, samples: Option<Samples>) {
        if let Some(mut samples) = samples {
            if self.needs_values() && samples.values.is_empty() {
                samples.values.push((samples.average(), samples.count)); // a single sample
            }
            self.open.add(&samples);
            self.parts += 1;
        }
        if now.as_nanos().is_multiple_of(self.resolution.as_nanos().max(1)) {
            let parts = f64::from(std::mem::take(&mut self.parts));
            let mut closed = std::mem::take(&mut self.open);
            if parts > 1.0 {
                closed.divide(parts);
            }
            self.points.push_back((now, (parts > 0.0).then(|| closed.sorted())));
            if self.points.len() > self.most {
                self.points.pop_front();
            }
        }
    }

    /// The newest `count` datapoints that can be seen at `now`, oldest first.
    pub fn visible(&self, now: Time, count: usize) -> Vec<Option<Datapoint>> {
        let seen = self.points.partition_point(|&(end, _)| end + self.delay <= now);
        let statistic = self.sampling.statistic;
        match self.sampling.period.filter(|&period| period != self.resolution) {
            None => (self.points.range(seen.saturating_sub(count)..seen))
                .map(|(_, samples)| Datapoint::made_of(samples.as_ref()?, 1.0, statistic))
                .collect(),
            Some(period) => self.sliding(seen, period, count),
        }
    }

    /// Windows of a longer period, back from the end of the newest of the first `seen` samples.
    fn sliding(&self, seen: usize, period: Span, count: usize) -> Vec<Option<Datapoint>> {
        let mut windows = Vec::with_capacity(count.min(self.most));
        let Some(mut end) = seen.checked_sub(1).map(|newest| self.points[newest].0) else { return windows };
        let mut left = seen;
        while windows.len() < count && left > 0 {
            // Samples are stamped with the start of their period, so that one which ends with the window is inside.
            let begins = end.since(Time::ZERO).saturating_sub(period);
            let first = self.points.partition_point(|&(at, _)| at.since(Time::ZERO) <= begins).min(left);
            let mut all = Samples::default();
            let (mut periods, inside) = (0.0, self.points.range(first..left));
            for samples in inside.filter_map(|(_, samples)| samples.as_ref()) {
                all.add(samples);
                periods += 1.0;
            }
            windows.push(Datapoint::made_of(&all.sorted(), periods, self.sampling.statistic));
            (left, end) = (first, Time::ZERO + begins);
        }
        windows.reverse();
        windows
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

    /// Period 300 s on a metric of 60 s: minutes 1 to 5, then 2 to 6.
    #[test]
    fn longer_periods_slide_by_the_minute() {
        let sampling = |statistic| Sampling { period: Some(Span::from_secs(300)), statistic };
        let seen = |statistic, at: u64| {
            let mut cpu = Datapoints::new(Span::from_secs(60), Span::ZERO).sampled(sampling(statistic), 2);
            (1..=at).for_each(|n| cpu.push(minute(n), Some(Datapoint::of(n as f64, 1))));
            values(&cpu, minute(at), 2)
        };
        assert_eq!(seen(Statistic::Average, 5), [Some(3.0)], "minutes 1 to 5");
        assert_eq!(seen(Statistic::Average, 6), [Some(1.0), Some(4.0)], "minutes 2 to 6");
        assert_eq!(seen(Statistic::Average, 12), [Some(5.0), Some(10.0)]);
        assert_eq!(seen(Statistic::Sum, 10), [Some(15.0), Some(40.0)]);
        assert_eq!(seen(Statistic::Maximum, 10), [Some(5.0), Some(10.0)]);
        assert_eq!(seen(Statistic::Percentile(50.0), 10), [Some(3.0), Some(8.0)]);
    }

    /// What nobody will ask for again is not kept, and what somebody may ask for is.
    #[test]
    fn samples_are_kept_as_long_as_somebody_may_ask() {
        let sampling = Sampling { period: Some(Span::from_secs(120)), statistic: Statistic::Average };
        let mut cpu = Datapoints::new(Span::from_secs(60), Span::from_secs(90)).sampled(sampling, 3);
        (1..=1_000).for_each(|n| cpu.push(minute(n), Some(Datapoint::of(n as f64, 1))));
        assert_eq!(cpu.points.len(), 9);
        assert_eq!(values(&cpu, minute(1_000), 3), [Some(993.5), Some(995.5), Some(997.5)]);
    }
}
