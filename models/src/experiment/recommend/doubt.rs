//! Minutes of which the data, or the runs, do not support a conclusion: as stretches with a reason each.

use serde::{Deserialize, Serialize};
use sim_core::{Span, Time};

use super::field::Candidate;
use crate::plan::{Endpoint, Indicator, Objective, Plan, Step, Subject};
use crate::traffic::RateFunction;

/// The most stretches that are kept; [`Doubts::dropped`] says how many more there are.
pub const MOST_DOUBTS: usize = 500;

/// Why a stretch does not support a conclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtKind {
    /// The trace that is replayed says nothing of it: what was played there was made up.
    Trace,
    /// Its windows have fewer requests than the objective's quantile or share can show.
    FewRequests,
    /// It was violated on some days and not on others.
    DaysDisagree,
}

/// A stretch that does not support a conclusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// Its start, in seconds since the start of the run.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// Why, in kind.
    pub kind: DoubtKind,
    /// Why, in words and numbers.
    pub reason: String,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Doubts {
    /// By kind, then by objective or source, in order of time.
    pub stretches: Vec<Doubt>,
    /// Stretches beyond the most that are kept.
    pub dropped: usize,
}

impl Doubts {
    /// What the plan of a candidate says before it is played, and what its days say.
    pub fn of(candidate: &Candidate) -> Doubts {
        let plan = &candidate.plan;
        let mut stretches = of_traces(plan);
        stretches.extend(plan.objectives.iter().flat_map(|objective| few_requests(plan, objective)));
        let each = plan.objectives.iter().zip(0..);
        stretches.extend(each.flat_map(|(objective, index)| days_disagree(candidate, objective, index)));
        let dropped = stretches.len().saturating_sub(MOST_DOUBTS);
        stretches.truncate(MOST_DOUBTS);
        Doubts { stretches, dropped }
    }
}

fn of_traces(plan: &Plan) -> Vec<Doubt> {
    let stretches = plan.traffic.iter().flat_map(|traffic| &traffic.doubtful);
    let doubt = |stretch: &crate::plan::Doubtful| Doubt {
        from: stretch.from.as_secs_f64(),
        to: stretch.to.as_secs_f64(),
        kind: DoubtKind::Trace,
        reason: stretch.why.clone(),
    };
    stretches.map(doubt).collect()
}

/// With fewer requests than this in a window a single bad one breaks it: of 99 % that are to be good, one in a hundred may be
/// bad, and of 40 requests none. `None` for a mean.
fn fewest(objective: &Objective) -> Option<f64> {
    let bad = match objective.indicator {
        Indicator::Quantile(quantile) => 1.0 - quantile,
        Indicator::Availability => 1.0 - objective.bound,
        Indicator::ErrorRatio => objective.bound,
        Indicator::Mean => return None,
    };
    (bad > 0.0).then(|| 1.0 / bad)
}

/// Stretches of windows in which fewer requests are expected than show what the objective is about.
fn few_requests(plan: &Plan, objective: &Objective) -> Vec<Doubt> {
    let Some(fewest) = fewest(objective) else { return Vec::new() };
    let end = Time::ZERO + plan.duration;
    let sources: Vec<(Expected, f64)> = sources(plan, objective, end);
    let expected = |from: Time, to: Time| -> f64 {
        sources.iter().map(|(expected, share)| share * (expected.until(to) - expected.until(from))).sum()
    };
    if expected(Time::ZERO, end) <= 0.0 {
        return Vec::new(); // what it is about is no request of a client, and is not counted here
    }
    let mut stretches: Vec<(Time, Time, f64, f64)> = Vec::new();
    let mut from = Time::ZERO + plan.warm_up;
    while from < end {
        // Windows end at whole multiples of their length, so that the first one after a warm-up may be shorter.
        let number = from.as_nanos() / objective.window.as_nanos().max(1) + 1;
        let to = (Time::ZERO + objective.window.saturating_mul(number)).min(end);
        let count = expected(from, to);
        // A little more than needed, so that 100 of 100 is enough whatever the rounding.
        if count * (1.0 + 1e-9) < fewest && count > 0.0 {
            match stretches.last_mut() {
                Some(last) if last.1 == from => *last = (last.0, to, last.2.min(count), last.3.max(count)),
                _ => stretches.push((from, to, count, count)),
            }
        }
        from = to;
    }
    let doubt = |(from, to, least, most): (Time, Time, f64, f64)| Doubt {
        from: from.as_secs_f64(),
        to: to.as_secs_f64(),
        kind: DoubtKind::FewRequests,
        reason: format!(
            "{}: {} {} in a window of {}, and of fewer than {:.0} a single bad one breaks it",
            objective.name,
            between(least, most),
            if objective.subject == Subject::Jobs { "jobs" } else { "requests" },
            objective.window,
            fewest.round()
        ),
    };
    stretches.into_iter().map(doubt).collect()
}

fn between(least: f64, most: f64) -> String {
    let (least, most) = (least.round(), most.round());
    if least == most { format!("about {least:.0}") } else { format!("{least:.0} to {most:.0}") }
}

/// The sources that an objective is about, and which share of their requests.
fn sources(plan: &Plan, objective: &Objective, end: Time) -> Vec<(Expected, f64)> {
    let submits = |endpoint: &Endpoint| endpoint.steps.iter().any(|step| matches!(step, Step::Enqueue(_)));
    let own = plan
        .traffic
        .iter()
        .enumerate()
        .filter(|(index, _)| objective.traffic.is_none_or(|wanted| wanted.index() == *index));
    own.map(|(_, traffic)| {
        let shares = traffic.shares(end).into_iter().filter(|&(endpoint, _)| {
            let wanted = objective.endpoint.is_none_or(|wanted| wanted == endpoint);
            let about = objective.subject != Subject::Jobs || submits(&plan.endpoints[endpoint.index()]);
            wanted && about
        });
        let share: f64 = shares.map(|(_, share)| share).sum();
        // Messages of sessions are not in the rate: they come on top, in proportion.
        let requests = traffic.expected_requests(Time::ZERO, end);
        let expected = Expected::new(&traffic.expected);
        let of_rate = expected.until(end);
        let factor = if of_rate > 0.0 { requests / of_rate } else { 0.0 };
        (expected, share * factor)
    })
    .collect()
}

/// Requests that are expected until an instant: the integral of a rate, added up once.
struct Expected {
    /// Knots, and what is expected until each.
    knots: Vec<(Time, f64, f64)>,
}

impl Expected {
    fn new(rate: &RateFunction) -> Expected {
        let (mut sum, mut knots, mut before) = (0.0, Vec::new(), None);
        for &(at, rate) in rate.knots() {
            if let Some((from, left)) = before {
                let length: Span = at.since(from);
                sum += length.as_secs_f64() * (left + rate) / 2.0;
            }
            knots.push((at, rate, sum));
            before = Some((at, rate));
        }
        Expected { knots }
    }

    fn until(&self, at: Time) -> f64 {
        let after = self.knots.partition_point(|knot| knot.0 <= at);
        let Some(&(from, left, sum)) = after.checked_sub(1).and_then(|index| self.knots.get(index)) else {
            return 0.0;
        };
        let Some(&(to, right, _)) = self.knots.get(after) else { return sum };
        let (since, length) = (at.since(from).as_secs_f64(), to.since(from).as_secs_f64());
        sum + since * (left + (right - left) * since / length / 2.0)
    }
}

/// Stretches of windows that were violated on some of the days and not on others.
fn days_disagree(candidate: &Candidate, objective: &Objective, index: usize) -> Vec<Doubt> {
    let days = candidate.days();
    let mut stretches: Vec<(u64, u64, u32, u32)> = Vec::new();
    for (&from, &(to, violated)) in &candidate.objectives[index].windows {
        if violated >= days {
            continue;
        }
        match stretches.last_mut() {
            Some(last) if last.1 == from => *last = (last.0, to, last.2.min(violated), last.3.max(violated)),
            _ => stretches.push((from, to, violated, violated)),
        }
    }
    let doubt = |(from, to, least, most): (u64, u64, u32, u32)| {
        let count = if least == most { most.to_string() } else { format!("{least} to {most}") };
        Doubt {
            from: from as f64 / 1e3,
            to: to as f64 / 1e3,
            kind: DoubtKind::DaysDisagree,
            reason: format!("{}: violated on {count} of {days} days", objective.name),
        }
    };
    stretches.into_iter().map(doubt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_the_integral_of_the_rate() {
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        // A ramp, a jump, a level.
        let rate = RateFunction::from_knots(vec![(at(0), 0.0), (at(10), 10.0), (at(10), 4.0), (at(20), 4.0)]);
        let expected = Expected::new(&rate);
        for seconds in [0, 3, 10, 15, 20, 30] {
            let (found, right) = (expected.until(at(seconds)), rate.integral(Time::ZERO, at(seconds)));
            assert!((found - right).abs() < 1e-9, "{found} {right} at {seconds}");
        }
    }
}
