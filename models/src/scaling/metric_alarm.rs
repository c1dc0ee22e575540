//! An alarm that somebody made on a metric, for step and simple scaling to act on.
//!
//! Alarms with a period of a minute or more are evaluated each minute, high-resolution alarms (10 s, 30 s) every 10 s. Their
//! Auto Scaling actions are carried out on entering ALARM and once a minute while that lasts (CloudWatch User Guide, "Using Amazon
//! CloudWatch alarms", "Alarm actions").

use sim_core::{Span, Time};

use super::{
    Alarm, AlarmName, AlarmState, Comparison, Consent, Datapoint, Decision, Memory, Metric, MissingData,
    Observation, Sampling, Statistic, Transition, Verdict,
};

/// How often Auto Scaling actions are repeated, and alarms evaluated whose period is not shorter.
const MINUTE: Span = Span::from_secs(60);

/// An alarm on a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricAlarm {
    /// Its name, for the log.
    pub name: String,
    /// What it watches.
    pub metric: Metric,
    /// What is made of the metric's samples.
    pub statistic: Statistic,
    /// The length of a period: 10 s, 30 s or whole minutes.
    pub period: Span,
    /// The condition.
    pub alarm: Alarm,
    /// A percentile of too few samples is not evaluated, and the alarm keeps its state (`EvaluateLowSampleCountPercentile` is
    /// `ignore`).
    pub ignores_low_samples: bool,
}

impl MetricAlarm {
    /// What it asks of the metric.
    pub fn sampling(&self) -> Sampling {
        Sampling { period: Some(self.period), statistic: self.statistic }
    }

    /// The time that an evaluation is about: at most a day.
    pub fn interval(&self) -> Span {
        self.period.saturating_mul(self.alarm.evaluation_periods as u64)
    }

    /// True where it is evaluated every 10 s.
    pub fn high_resolution(&self) -> bool {
        self.period < MINUTE
    }

    /// True where a high value breaches, so that an adjustment is meant to follow a rise.
    pub fn is_high(&self) -> bool {
        matches!(self.alarm.comparison, Comparison::Greater | Comparison::GreaterOrEqual)
    }

    /// What a policy decides that acts when this alarm says so: `act` is asked when the action is due.
    pub fn decide(
        &self,
        memory: &mut Memory,
        seen: &Observation,
        act: impl FnOnce() -> (Verdict, Option<u32>, String),
    ) -> Decision {
        let (state, transition) = self.evaluate(memory, seen);
        let (verdict, wanted, description) = if memory.actions.due(state, seen.now) {
            act()
        } else if state == AlarmState::Alarm {
            let words = format!("Alarm `{}` is in ALARM; its action is repeated once a minute.", self.name);
            (Verdict::ActionRepeats, None, words)
        } else {
            let (verdict, words) = self.waits(state, seen);
            (verdict, None, words)
        };
        Decision {
            wanted,
            at_least: None,
            consent: Consent::Alone,
            verdict,
            description,
            transitions: transition.into_iter().collect(),
        }
    }

    /// Evaluates it: its state, and the change of state where there is one.
    fn evaluate(&self, memory: &mut Memory, seen: &Observation) -> (AlarmState, Option<Transition>) {
        if self.ignores_low_samples && self.too_few_samples(seen.points(0)) {
            return (memory.alarm(0), None);
        }
        let (from, to) = memory.evaluate(0, &self.alarm, &seen.values(0));
        let transition = (from != to).then(|| Transition {
            alarm: AlarmName::Own(self.name.clone()),
            from,
            to,
            seen: self.describe(seen),
        });
        (to, transition)
    }

    /// Whether a datapoint that it evaluates is a percentile of too few samples.
    fn too_few_samples(&self, points: &[Option<Datapoint>]) -> bool {
        let mut evaluated = points.iter().rev().flatten().take(self.alarm.evaluation_periods);
        // A hair, as 10 / (1 - p) is not always whole.
        evaluated.any(|point| point.samples + 1e-6 < self.statistic.low_samples())
    }

    /// Datapoints that breach, of those that it evaluates.
    fn breaching(&self, seen: &Observation) -> usize {
        let newest = seen.points(0).iter().rev().flatten().take(self.alarm.evaluation_periods);
        newest.filter(|point| self.alarm.breaches(point.value)).count()
    }

    /// What it saw, in words.
    fn describe(&self, seen: &Observation) -> String {
        let newest = seen.newest(0).map_or("no datapoint".to_string(), |point| self.show(point.value));
        format!(
            "{} of {} datapoints {} {}, the newest {newest}",
            self.breaching(seen),
            self.alarm.evaluation_periods,
            self.alarm.comparison,
            self.show(self.alarm.threshold)
        )
    }

    /// A value of its metric, with its unit and what statistic it is.
    pub fn show(&self, value: f64) -> String {
        match self.statistic {
            Statistic::Average => self.metric.show(value),
            Statistic::SampleCount => format!("{value:.0} samples"),
            Statistic::Sum if self.metric == Metric::RequestCountPerTarget && self.period == MINUTE => {
                self.metric.show(value)
            }
            statistic => format!("{statistic} of {} {}", self.period, self.metric.show(value)),
        }
    }

    /// Why nothing is done while it is not in ALARM.
    fn waits(&self, state: AlarmState, seen: &Observation) -> (Verdict, String) {
        let Some(newest) = seen.newest(0) else {
            return (Verdict::InsufficientData, "No datapoints: the alarm cannot tell.".to_string());
        };
        let (have, need) = (self.breaching(seen) as u32, self.alarm.datapoints_to_alarm as u32);
        let (is, name) = (self.show(newest.value), &self.name);
        if self.alarm.breaches(newest.value) || have > 0 {
            let periods = self.alarm.evaluation_periods;
            let of = if need as usize == periods { String::new() } else { format!(" out of {periods}") };
            let words = format!(
                "{is}: alarm `{name}` is {state} and has {have} of the {need} datapoints it needs{of}."
            );
            let verdict = if self.is_high() {
                Verdict::HighAlarmPending { have, need }
            } else {
                Verdict::LowAlarmPending { have, need }
            };
            return (verdict, words);
        }
        let threshold = self.show(self.alarm.threshold);
        (Verdict::WithinTarget, format!("{is} is not {} {threshold}.", self.alarm.comparison))
    }
}

/// When an alarm's action is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    last: Option<Time>,
}

impl Actions {
    /// Whether the action of an alarm in this state is carried out now: on entering ALARM, and once a minute while that lasts.
    pub fn due(&mut self, state: AlarmState, now: Time) -> bool {
        if state != AlarmState::Alarm {
            self.last = None;
            return false;
        }
        let due = self.last.is_none_or(|last| now.since(last) >= MINUTE);
        if due {
            self.last = Some(now);
        }
        due
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
        })
    }
}

impl std::fmt::Display for MissingData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MissingData::Missing => "missing",
            MissingData::Ignore => "ignore",
            MissingData::Breaching => "breaching",
            MissingData::NotBreaching => "not-breaching",
        })
    }
}
