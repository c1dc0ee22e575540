//! Incidents of the network: what the log says of them, and when they are why an objective was broken.

use sim_core::{Span, Time};

use super::System;
use crate::measure::ViolationRecord;
use crate::plan::Incident;
use crate::results::{ActivityKind, CauseKind};
use crate::sla::{Suspect, explain};

/// A packet that is lost at the end of an incident comes through later: so long after it, it can still be why.
const AFTERMATH: Span = Span::from_secs(60);

impl System {
    /// The log says what begins. What it does to requests is settled when they are sent.
    pub(super) fn log_network(&mut self, incident: &Incident, now: Time) {
        if let Some((balancer, words)) = self.network_trouble(incident) {
            let (Incident::NetworkLatency { lasts, .. } | Incident::PacketLoss { lasts, .. }) = incident
            else {
                return;
            };
            let group = self.plan.balancers[balancer].targets;
            self.log(group, ActivityKind::Network, now, format!("For {lasts}, {words}."));
        }
    }

    /// The main cause of a violating window. Where servers were not overloaded it may be the network.
    pub(super) fn cause(&self, window: &ViolationRecord, suspects: &[Suspect<'_>]) -> (CauseKind, String) {
        let (kind, words) = explain(window, suspects);
        if !matches!(kind, CauseKind::ServiceTime | CauseKind::HighUtilisation) {
            return (kind, words);
        }
        let during = |incident: &&Incident| match incident {
            Incident::NetworkLatency { at, lasts, .. } | Incident::PacketLoss { at, lasts, .. } => {
                *at < window.to && *at + *lasts + AFTERMATH > window.from
            }
            Incident::Crash { .. } => false,
        };
        let concerns = |balancer: usize| {
            let group = &self.plan.groups[self.plan.balancers[balancer].targets.index()];
            suspects.iter().any(|suspect| suspect.group.name == group.name)
        };
        let troubles = self.plan.incidents.iter().filter(during);
        let found: Vec<String> = troubles
            .filter_map(|incident| self.network_trouble(incident))
            .filter(|(balancer, _)| concerns(*balancer))
            .map(|(_, words)| words)
            .collect();
        if found.is_empty() { (kind, words) } else { (CauseKind::Network, found.join(", and ")) }
    }

    /// What is wrong with the network, and to which balancer.
    fn network_trouble(&self, incident: &Incident) -> Option<(usize, String)> {
        match *incident {
            Incident::NetworkLatency { to, add, .. } => {
                let name = &self.plan.balancers[to.index()].name;
                Some((to.index(), format!("the way to {name} took {add} longer in each direction")))
            }
            Incident::PacketLoss { to, share, .. } => {
                let name = &self.plan.balancers[to.index()].name;
                let percent = 100.0 * share;
                Some((to.index(), format!("{percent} % of the packets to {name} were lost")))
            }
            Incident::Crash { .. } => None,
        }
    }
}
