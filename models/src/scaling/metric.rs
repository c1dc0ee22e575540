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
    points: VecDeque<(Time, Option<f64>)>,
    sum: f64,
    count: u32,
}

impl Datapoints {
    /// No datapoints yet. Each covers `period`, and can be seen `delay` after its end.
    pub fn new(period: Span, delay: Span) -> Self {
        Datapoints { period, delay, points: VecDeque::new(), sum: 0.0, count: 0 }
    }

    /// The length of a period.
    pub fn period(&self) -> Span {
        self.period
    }

    /// Adds the average over the minute that ends at `now`; `None` where there was nothing to measure. Minutes are
    /// averaged to the metric's period.
    pub fn push(&mut self, now: Time, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
        if now.as_nanos().is_multiple_of(self.period.as_nanos().max(1)) {
            let point = (self.count > 0).then(|| self.sum / f64::from(self.count));
            (self.sum, self.count) = (0.0, 0);
            self.points.push_back((now, point));
            if self.points.len() > MOST_DATAPOINTS {
                self.points.pop_front();
            }
        }
    }

    /// The newest `count` datapoints that can be seen at `now`, oldest first.
    pub fn visible(&self, now: Time, count: usize) -> Vec<Option<f64>> {
        let seen = self.points.partition_point(|&(end, _)| end + self.delay <= now);
        self.points.range(seen.saturating_sub(count)..seen).map(|&(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: u64) -> Time {
        Time::ZERO + Span::from_secs(60 * n)
    }

    #[test]
    fn datapoints_are_seen_late() {
        let mut cpu = Datapoints::new(Span::from_secs(60), Span::from_secs(90));
        (1..=5).for_each(|n| cpu.push(minute(n), Some(n as f64)));
        assert_eq!(cpu.visible(minute(5), 3), [Some(1.0), Some(2.0), Some(3.0)]);
        assert_eq!(cpu.visible(minute(2), 3), []);
    }

    #[test]
    fn basic_monitoring_averages_five_minutes() {
        let mut cpu = Datapoints::new(Span::from_secs(300), Span::ZERO);
        (1..=12).for_each(|n| cpu.push(minute(n), (n != 3).then_some(n as f64)));
        assert_eq!(cpu.visible(minute(12), 9), [Some(3.0), Some(8.0)]);
    }
}
