//! What might have been: one thing changed of a plan, and everything else as it was.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sim_core::Time;

use super::edits;
use crate::measure::MinuteFacts;
use crate::plan::{Incident, Plan, When};
use crate::results::{ActivityKind, Run};

/// What a counterfactual changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Instances, pods and nodes serve as soon as they are launched.
    InstantStart,
    /// Alarms and autoscalers need half the time to act.
    HalfTheTime,
    /// No cooldown, and no warm-up.
    NoCooldown,
    /// Twice the maximum.
    DoubleMax,
    /// Twice the minimum.
    DoubleMin,
    /// Balancers pick by requests in progress.
    LeastOutstanding,
    /// Clients do not try again.
    NoRetries,
    /// Nothing goes wrong from outside.
    NoIncidents,
    /// Health checks need twice as many failures.
    PatientHealthChecks,
    /// Twice the threads, or processes.
    DoubleWorkers,
    /// Each worker of a queue does twice as many jobs at once.
    DoubleConsumers,
    /// Messages stay invisible twice as long.
    LongerVisibility,
}

impl Kind {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Kind; 12] = [
        Kind::InstantStart,
        Kind::HalfTheTime,
        Kind::NoCooldown,
        Kind::DoubleMax,
        Kind::DoubleMin,
        Kind::LeastOutstanding,
        Kind::NoRetries,
        Kind::NoIncidents,
        Kind::PatientHealthChecks,
        Kind::DoubleWorkers,
        Kind::DoubleConsumers,
        Kind::LongerVisibility,
    ];

    /// In few words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::InstantStart => "instant start-up",
            Kind::HalfTheTime => "scaling in half the time",
            Kind::NoCooldown => "no cooldown and no warm-up",
            Kind::DoubleMax => "double maximum",
            Kind::DoubleMin => "twice as many from the start",
            Kind::LeastOutstanding => "least outstanding requests",
            Kind::NoRetries => "no retries",
            Kind::NoIncidents => "without the incidents",
            Kind::PatientHealthChecks => "health checks that tolerate more",
            Kind::DoubleWorkers => "twice the threads or processes",
            Kind::DoubleConsumers => "twice the consumers",
            Kind::LongerVisibility => "longer visibility timeout",
        }
    }

    /// True where the world cannot take the change up in mid-run: processes are forked and queues made when it begins.
    fn needs_the_start(self, plan: &Plan) -> bool {
        match self {
            Kind::DoubleWorkers => edits::changes_processes(plan),
            Kind::DoubleConsumers | Kind::LongerVisibility => true,
            Kind::NoIncidents => plan.incidents.iter().any(|incident| incident.of_network().is_some()),
            _ => false,
        }
    }
}

/// A counterfactual that can be played.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub kind: Kind,
    /// What is changed, each in words: `web: max 8 → 16`.
    pub words: Vec<String>,
    /// The same as `--set` options, where there are some.
    pub set: Vec<String>,
    /// The changed plan.
    pub plan: Arc<Plan>,
    /// It has to be played from the start of the run.
    pub from_the_start: bool,
}

/// Those that a plan allows, and why the others make no sense for it.
pub fn changes(plan: &Plan) -> (Vec<Change>, Vec<(Kind, String)>) {
    let (mut possible, mut others) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let mut changed = plan.clone();
        match edits::edit(kind, &mut changed) {
            Ok(edits::Said { words, set, .. }) => possible.push(Change {
                kind,
                words,
                set,
                plan: Arc::new(changed),
                from_the_start: kind.needs_the_start(plan),
            }),
            Err(why) => others.push((kind, why)),
        }
    }
    (possible, others)
}

impl Change {
    /// Where to fork a run for it whose first violation allows `fork`; `None` is the start. What began before and goes on cannot be
    /// averted later.
    pub fn fork(&self, original: &Plan, fork: Option<Time>) -> Option<Time> {
        let at = fork.filter(|_| !self.from_the_start)?;
        let goes_on = |incident: &Incident| {
            let ends = |begins: Time| {
                incident.lasts.as_ref().map(|lasts| lasts.constant_span().map(|own| begins + own))
            };
            match incident.when {
                When::At(begins) if begins < at => {
                    incident.is_lasting() && ends(begins).flatten().is_none_or(|end| end > at)
                }
                When::At(_) | When::Every(_) => false,
            }
        };
        let late = self.kind == Kind::NoIncidents && original.incidents.iter().any(goes_on);
        (!late).then_some(at)
    }

    /// Where it would change nothing in a run that went as `run` did, with `facts` by group, from `at` on: why not.
    pub fn is_idle(
        &self,
        original: &Plan,
        run: &Run,
        facts: &[Vec<MinuteFacts>],
        at: Option<Time>,
    ) -> Option<&'static str> {
        let at = at.unwrap_or(Time::ZERO);
        let happened = |kinds: &[ActivityKind]| run.activities.iter().any(|own| kinds.contains(&own.kind));
        let after = |group: &Vec<MinuteFacts>| group.len().min((at.as_secs_f64() / 60.0) as usize);
        let bounded = || facts.iter().any(|group| group[after(group)..].iter().any(|m| m.desired >= m.max));
        let prepared = || original.groups.iter().any(|group| group.lifecycle.warm_pool.is_some());
        let over = |incident: &Incident| matches!(incident.when, When::At(begins) if begins < at);
        match self.kind {
            Kind::InstantStart if original.nodes.is_empty() => {
                run.groups.iter().all(|group| group.launched == 0).then_some("nothing was launched")
            }
            Kind::DoubleMax if original.nodes.is_empty() => {
                (!bounded() && !prepared()).then_some("no group came to its maximum")
            }
            Kind::NoRetries => {
                (run.requests.attempts == run.requests.offered).then_some("no request was sent again")
            }
            Kind::NoIncidents => {
                original.incidents.iter().all(over).then_some("the incidents were over before")
            }
            Kind::PatientHealthChecks => {
                let failed = happened(&[ActivityKind::Unhealthy, ActivityKind::Replace]);
                (!failed && run.activities_dropped == 0).then_some("no target failed its health checks")
            }
            Kind::LongerVisibility => {
                let again = run.queues.iter().any(|queue| queue.received_again > 0);
                (!again).then_some("no message was delivered twice")
            }
            _ => None,
        }
    }
}
