//! What the simulator can see of a group of workers in a minute, for metrics and for finding causes.

/// The minute of a group's workers and of the queue that they take jobs from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JobFacts {
    /// Messages that could be received at its end; the lag of a consumer group.
    pub visible: u64,
    /// Messages that were with a consumer.
    pub in_flight: u64,
    /// Messages that were not yet to be received.
    pub delayed: u64,
    /// The age of the oldest message that is not acknowledged, in seconds; 0 without one.
    pub oldest: f64,
    /// Messages that came in the minute.
    pub sent: u64,
    /// Messages whose work was done in it, by whomever.
    pub consumed: u64,
    /// Messages that were consumed a second, over the last 5 minutes.
    pub pace: f64,
    /// Messages that were delivered in the minute, and had been before.
    pub again: u64,
    /// Messages that became dead letters.
    pub dead_lettered: u64,
    /// Messages that are lost.
    pub lost: u64,
    /// Tries that ended because the worker went away.
    pub cut: u64,
    /// Tries of the group that failed.
    pub failed: u64,
    /// The group's instances that have consumers at the end.
    pub workers: u32,
    /// The group's consumers at the end.
    pub consumers: u32,
    /// How many of them had a job, on average over the minute.
    pub busy: f64,
    /// Consumers of all groups that take from the queue.
    pub all_consumers: u32,
}

impl JobFacts {
    /// Seconds until what waits is consumed at the pace of the last 5 minutes; the age of the oldest message where nothing was
    /// consumed, for until then nobody can say. 0 where nothing waits.
    pub fn time_to_clear(&self) -> f64 {
        match self.visible {
            0 => 0.0,
            _ if self.pace <= 0.0 => self.oldest,
            visible => visible as f64 / self.pace,
        }
    }

    /// Percent of the group's consumers that had a job; `None` where it has none.
    pub fn busy_percent(&self) -> Option<f64> {
        (self.consumers > 0).then(|| (100.0 * self.busy / f64::from(self.consumers)).min(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_cleared_at_the_pace_of_five_minutes() {
        let facts = JobFacts { visible: 600, pace: 2.0, oldest: 90.0, ..JobFacts::default() };
        assert_eq!(facts.time_to_clear(), 300.0);
        assert_eq!(JobFacts { visible: 0, ..facts }.time_to_clear(), 0.0);
        assert_eq!(JobFacts { pace: 0.0, ..facts }.time_to_clear(), 90.0, "as long as the oldest has waited");
    }

    #[test]
    fn consumers_that_leave_in_the_minute_do_not_make_more_than_all_busy() {
        let facts = JobFacts { consumers: 4, busy: 3.0, ..JobFacts::default() };
        assert_eq!(facts.busy_percent(), Some(75.0));
        assert_eq!(JobFacts { busy: 6.0, ..facts }.busy_percent(), Some(100.0));
        assert_eq!(JobFacts { consumers: 0, ..facts }.busy_percent(), None);
    }
}
