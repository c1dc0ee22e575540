//! How long a target takes to answer: a moving average that believes bad news at once (peak EWMA, of Finagle and Linkerd).

use sim_core::{Span, Time};

/// The average of one target, as of its last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    nanos: f64,
    seen: Time,
}

impl Latency {
    /// A target answered after so long. A longer time than the average becomes the average; a shorter one moves it, by more
    /// the longer ago the last answer is.
    pub fn answered(&mut self, now: Time, took: Span, decay: Span) {
        let took = took.as_nanos() as f64;
        let kept = self.kept(now, decay);
        self.nanos = if took > self.nanos { took } else { self.nanos * kept + took * (1.0 - kept) };
        self.seen = now;
    }

    /// What one more request may take: the average, for each in progress and the new one. A target that has not answered yet
    /// costs nothing while it is idle, and more than any other once it has something to do.
    pub fn cost(&self, now: Time, outstanding: u32, decay: Span) -> f64 {
        /// Longer than any answer, in nanoseconds.
        const PENALTY: f64 = 1e15;
        if self.nanos == 0.0 && outstanding > 0 {
            return PENALTY + f64::from(outstanding);
        }
        self.nanos * self.kept(now, decay) * (f64::from(outstanding) + 1.0)
    }

    fn kept(&self, now: Time, decay: Span) -> f64 {
        let age = now.since(self.seen).as_nanos() as f64;
        (-age / decay.as_nanos().max(1) as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Span = Span::from_secs(10);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Span::from_secs(seconds)
    }

    #[test]
    fn bad_news_is_believed_at_once_and_good_news_by_and_by() {
        let mut latency = Latency::default();
        let answer = |latency: &mut Latency, second: u64, millis: u64| {
            latency.answered(at(second), Span::from_millis(millis), DECAY);
            latency.cost(at(second), 0, DECAY) / 1e6
        };
        assert_eq!(answer(&mut latency, 0, 10), 10.0);
        assert_eq!(answer(&mut latency, 1, 200), 200.0, "a peak is taken over");
        let later = answer(&mut latency, 11, 10);
        let expected = 200.0 * (-1.0f64).exp() + 10.0 * (1.0 - (-1.0f64).exp());
        assert!((later - expected).abs() < 1e-9, "{later}");
        assert!((latency.cost(at(11), 3, DECAY) / 1e6 - 4.0 * expected).abs() < 1e-9);
    }

    #[test]
    fn who_has_not_answered_gets_one_request() {
        let unknown = Latency::default();
        assert_eq!(unknown.cost(at(5), 0, DECAY), 0.0);
        assert!(unknown.cost(at(5), 1, DECAY) > 1e15);
    }
}
