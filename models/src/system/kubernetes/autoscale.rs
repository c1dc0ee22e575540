//! HPAs at their sync periods, and KEDA at its polls. What they decide is carried out as any other change of size is.

use sim_core::Calendar;

use super::super::System;
use super::super::control::HELD_AT_ZERO;
use crate::event::{Due, Event};
use crate::plan::{GroupId, PodAutoscaler, Scaling};
use crate::results::ActivityKind;
use crate::scaling::hpa::{self, Pass, Proposal, Target, Why};
use crate::scaling::{Verdict, keda};

/// What autoscalers remember of a group, and what they said last.
#[derive(Clone, Debug, Default)]
pub struct AutoscalerState {
    /// The HPA.
    pub hpa: hpa::Memory,
    /// KEDA, where it is there.
    pub keda: keda::Memory,
    /// What the HPA said last, for whoever asks why nothing is done.
    pub said: Option<(Verdict, String)>,
    hpa_log: LastNoAction<Why>,
    keda_log: LastNoAction<keda::Why>,
}

/// Where in the log the last decision not to act stands, and its reason.
#[derive(Clone, Debug)]
struct LastNoAction<W> {
    entry: Option<usize>,
    why: Option<W>,
}

impl<W> Default for LastNoAction<W> {
    fn default() -> Self {
        LastNoAction { entry: None, why: None }
    }
}

impl AutoscalerState {
    /// Before the first pass; `None` where nothing of Kubernetes scales.
    pub fn new(scaling: &Scaling) -> Option<AutoscalerState> {
        scaling.pod_autoscaler().map(|_| AutoscalerState::default())
    }
}

impl System {
    /// What a group's HPA said last.
    pub(in crate::system) fn autoscaler_said(&self, group: GroupId) -> Option<(Verdict, String)> {
        self.cluster.as_ref()?.autoscalers[group.index()].as_ref()?.said.clone()
    }

    /// A group has another size: what its autoscalers say from now on is news again.
    pub(in crate::system) fn autoscalers_start_anew(&mut self, group: GroupId) {
        let cluster = self.cluster.as_mut();
        if let Some(state) = cluster.and_then(|cluster| cluster.autoscalers[group.index()].as_mut()) {
            (state.hpa_log, state.keda_log) = (LastNoAction::default(), LastNoAction::default());
        }
    }

    /// A pass of a group's HPA.
    pub(super) fn sync(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let scaling = &plan.groups[group.index()].scaling;
        let Some((keda, autoscaler)) = scaling
            .iter()
            .find_map(|scaling| Some((matches!(scaling, Scaling::Keda(_)), scaling.pod_autoscaler()?)))
        else {
            return;
        };
        let now = calendar.now();
        self.tick(calendar, autoscaler.sync_period, Event::Cluster(Due::Sync(group)));
        // KEDA's HPA has at least one, and leaves a target that has none alone.
        let least = self.fleets[group.index()].min.max(u32::from(keda));
        let seen = self.seen(group, autoscaler, least, now);
        let Some(state) = &mut self.cluster().autoscalers[group.index()] else { return };
        let pass = hpa::pass::pass(&autoscaler.hpa, &mut state.hpa, &seen);
        let description = describe(autoscaler, &pass, seen.replicas, (seen.min, seen.max));
        state.said = Some((verdict(&pass, seen.replicas), description.clone()));
        let again = state.hpa_log.why == Some(pass.why);
        state.hpa_log.why = Some(pass.why);
        if pass.rescaled {
            let kind =
                if pass.replicas > seen.replicas { ActivityKind::ScaleOut } else { ActivityKind::ScaleIn };
            self.scale_pods(group, (pass.replicas.unsigned_abs(), "its HPA"), kind, description, calendar);
        } else {
            let mut entry = std::mem::take(&mut state.hpa_log.entry);
            let activity = self.activity(group, ActivityKind::NoAction, now, description);
            self.measure.log_no_action(&mut entry, activity, again);
            if let Some(state) = &mut self.cluster().autoscalers[group.index()] {
                state.hpa_log.entry = entry;
            }
        }
    }

    /// A poll of KEDA.
    pub(super) fn poll(&mut self, group: GroupId, calendar: &mut Calendar<Event>) {
        let plan = self.plan.clone();
        let keda = plan.groups[group.index()].scaling.iter().find_map(|scaling| match scaling {
            Scaling::Keda(object) => Some(object),
            _ => None,
        });
        let Some(object) = keda else { return };
        let now = calendar.now();
        self.tick(calendar, object.keda.polling_interval, Event::Cluster(Due::Poll(group)));
        let reads = object.autoscaler.reads.iter();
        let values: Vec<f64> = reads.map(|&reading| self.reading(group, reading, now)).collect();
        let fleet = &self.fleets[group.index()];
        let size = (fleet.desired, fleet.min);
        let held = self.held_at_zero(group);
        let Some(state) = &mut self.cluster().autoscalers[group.index()] else { return };
        let poll = object.keda.poll(&mut state.keda, &values, size, now);
        let again = state.keda_log.why == Some(poll.why);
        state.keda_log.why = Some(poll.why);
        let held = held && poll.replicas.is_some();
        let not_done = if held { format!(" Not done: {HELD_AT_ZERO}.") } else { String::new() };
        let words = format!("KEDA: {}{not_done}", poll.description);
        match poll.replicas.filter(|_| !held) {
            Some(replicas) => {
                let out = replicas > size.0;
                let kind = if out { ActivityKind::ScaleOut } else { ActivityKind::ScaleIn };
                self.scale_pods(group, (replicas, "KEDA"), kind, words, calendar);
            }
            None => {
                let mut entry = std::mem::take(&mut state.keda_log.entry);
                let activity = self.activity(group, ActivityKind::NoAction, now, words);
                self.measure.log_no_action(&mut entry, activity, again);
                if let Some(state) = &mut self.cluster().autoscalers[group.index()] {
                    state.keda_log.entry = entry;
                }
            }
        }
    }

    fn scale_pods(
        &mut self,
        group: GroupId,
        (replicas, caller): (u32, &str),
        kind: ActivityKind,
        description: String,
        calendar: &mut Calendar<Event>,
    ) {
        self.resize(group, replicas, caller, calendar.now());
        self.log(group, kind, calendar.now(), description);
        self.reconcile(group, calendar);
    }
}

/// The reason of a pass in the words of policies.
fn verdict(pass: &Pass, current: i32) -> Verdict {
    match pass.why {
        Why::ScaledUp | Why::OutOfLimits => Verdict::ScaleOut,
        Why::ScaledDown => Verdict::ScaleIn,
        Why::AtTarget => Verdict::WithinTarget,
        Why::Stabilized | Why::RateLimited if pass.recommendation.is_some_and(|wanted| wanted > current) => {
            Verdict::HeldBack
        }
        Why::Stabilized | Why::RateLimited => Verdict::WithinTarget,
        Why::AtMaximum => Verdict::AtMaximum,
        Why::AtMinimum => Verdict::AtMinimum,
        Why::MetricsFailed | Why::Disabled => Verdict::InsufficientData,
    }
}

/// A pass in words and numbers: what each metric says, and what became of it.
fn describe(autoscaler: &PodAutoscaler, pass: &Pass, current: i32, (min, max): (i32, i32)) -> String {
    let metrics = autoscaler.hpa.metrics.iter().zip(&pass.proposals);
    let said: Vec<String> = metrics
        .map(|(metric, proposal)| match proposal {
            Ok(proposal) => show(metric, proposal),
            Err(error) => format!("{}: {error}", metric.name),
        })
        .collect();
    let said = if said.is_empty() { String::new() } else { format!("{}. ", said.join("; ")) };
    let wanted = pass.recommendation.unwrap_or(current);
    let stabilized = pass.stabilized.unwrap_or(wanted);
    let to = pass.replicas;
    let limited = if to == wanted {
        String::new()
    } else if to != stabilized {
        match pass.scaling_limited {
            Some((true, "TooManyReplicas")) => format!("; {wanted} would be more than the maximum"),
            Some((true, "TooFewReplicas")) => format!("; {wanted} would be fewer than the minimum"),
            _ => format!("; {wanted} at once would be faster than it may"),
        }
    } else {
        format!("; {wanted} are recommended now, and what was recommended in the window holds")
    };
    let outcome = match pass.why {
        Why::ScaledUp | Why::ScaledDown => format!("From {current} to {to} pods{limited}."),
        Why::OutOfLimits => format!("From {current} to {to} pods: outside {min} to {max}."),
        Why::AtTarget => format!("{current} pods are right."),
        Why::Stabilized if wanted < current => {
            format!("{wanted} pods would do, and a recommendation of {stabilized} in the window holds.")
        }
        Why::Stabilized => {
            format!(
                "{wanted} pods are wanted, and a recommendation of {stabilized} in the window holds it back."
            )
        }
        Why::RateLimited => {
            format!("{wanted} pods are wanted, and no further change is allowed in this period.")
        }
        Why::AtMaximum => format!("{wanted} pods are wanted, and {max} are the maximum."),
        Why::AtMinimum => format!("{wanted} pods would do, and {min} are the minimum."),
        Why::MetricsFailed => "No scaling without metrics.".to_string(),
        Why::Disabled => "There are no pods, and the HPA leaves it at that.".to_string(),
    };
    format!("{said}{outcome}")
}

fn show(metric: &hpa::Metric, proposal: &Proposal) -> String {
    let name = &metric.name;
    let thousandths = |value: i64| value as f64 / 1000.0;
    let bytes = name == "memory";
    let amount = |value: i64| {
        if bytes {
            format!("{:.0} MiB", thousandths(value) / f64::from(1 << 20))
        } else {
            format!("{:.2}", thousandths(value))
        }
    };
    match metric.target {
        Target::Utilization(target) => {
            format!("{name} at {} % of the request, target {target} %", proposal.usage)
        }
        Target::AverageValue(target) => {
            format!("{name} {} by pod, target {}", amount(proposal.usage), amount(target))
        }
        Target::Value(target) => format!("{name} {}, target {}", amount(proposal.usage), amount(target)),
    }
}
