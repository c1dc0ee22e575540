//! What is wrong before the servers: what the log says of the network, and when that or the clients' connections are why an
//! objective was broken.

use sim_core::{Span, Time};

use super::{MINUTE, System};
use crate::measure::ViolationRecord;
use crate::plan::{Incident, IncidentKind, Objective, TrafficId};
use crate::results::{ActivityKind, CauseKind};
use crate::sla::{Suspect, explain};

/// A packet that is lost at the end of an incident comes through later: so long after it, it can still be why.
const AFTERMATH: Span = Span::from_secs(60);
/// Where a larger share of requests waits at clients for a connection, that is why.
const MANY: f64 = 0.2;
/// Servers that are busier make their clients wait; so many minutes later they still do.
const STRAINED: f64 = 0.9;
const MINUTES_BEFORE: usize = 5;

impl System {
    /// The log says what begins. What it does to requests is settled when they are sent.
    pub(super) fn log_network(&mut self, incident: &Incident, lasts: Option<Span>, now: Time) {
        if let (Some((balancer, words)), Some(lasts)) = (self.network_trouble(incident), lasts) {
            let group = self.plan.balancers[balancer].first_group();
            self.log(group, ActivityKind::Network, now, format!("For {lasts}, {words}."));
        }
    }

    /// The main cause of a violating window. Where servers were not overloaded it may lie before them.
    pub(super) fn cause(
        &self,
        objective: &Objective,
        window: &ViolationRecord,
        suspects: &[Suspect<'_>],
    ) -> (CauseKind, String) {
        let found = explain(window, suspects);
        let may_be_network = matches!(found.0, CauseKind::ServiceTime | CauseKind::HighUtilisation);
        let network = may_be_network.then(|| self.network_at_fault(window, suspects)).flatten();
        let may_be_clients =
            may_be_network || matches!(found.0, CauseKind::ThreadsExhausted | CauseKind::Backlog);
        let clients = || may_be_clients.then(|| self.clients_at_fault(objective, window, suspects)).flatten();
        network.or_else(clients).unwrap_or(found)
    }

    /// An incident of the network on the way of an objective's requests.
    fn network_at_fault(
        &self,
        window: &ViolationRecord,
        suspects: &[Suspect<'_>],
    ) -> Option<(CauseKind, String)> {
        let during = |incident: &&Incident| {
            let of_network = incident.of_network();
            of_network.is_some_and(|(_, from, until)| from < window.to && until + AFTERMATH > window.from)
        };
        let concerns = |balancer: usize| {
            let group = &self.plan.groups[self.plan.balancers[balancer].first_group().index()];
            suspects.iter().any(|suspect| suspect.group.name == group.name)
        };
        let troubles = self.plan.incidents.iter().filter(during);
        let found: Vec<String> = troubles
            .filter_map(|incident| self.network_trouble(incident))
            .filter(|(balancer, _)| concerns(*balancer))
            .map(|(_, words)| words)
            .collect();
        (!found.is_empty()).then(|| (CauseKind::Network, found.join(", and ")))
    }

    /// A source whose clients had too few connections, while no server was at its limit.
    fn clients_at_fault(
        &self,
        objective: &Objective,
        window: &ViolationRecord,
        suspects: &[Suspect<'_>],
    ) -> Option<(CauseKind, String)> {
        let minute = |at: Time| (at.as_nanos() / MINUTE.as_nanos()) as usize;
        let (from, to) = (minute(window.from), minute(window.to - Span::from_nanos(1)) + 1);
        let strained = |suspect: &Suspect<'_>| {
            let since = from.saturating_sub(MINUTES_BEFORE);
            suspect.facts.iter().take(to).skip(since).any(|facts| facts.hottest >= STRAINED)
        };
        if suspects.iter().any(strained) {
            return None;
        }
        let sources = (0u16..).map(TrafficId).zip(&self.sources);
        let own = sources.filter(|(id, _)| objective.traffic.is_none_or(|traffic| traffic == *id));
        let shares = own.filter_map(|(id, source)| {
            let pool = &source.wire.as_ref()?.pool;
            Some((pool.counts.waited_share(from, to), id, pool.rules()))
        });
        let (share, id, rules) = shares.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|found| found.0 > MANY)?;
        let (percent, name) = (100.0 * share, &self.plan.traffic[id.index()].name);
        let limit = match (rules.streams, rules.most) {
            (1, 1) => "each of whom had one connection, which was taken".to_string(),
            (1, most) => format!("each of whom had {most} connections, which were taken"),
            (streams, _) => format!("each of whom had {streams} streams, which were taken"),
        };
        let words = format!("{percent:.0} % of the requests of {name} waited at their clients, {limit}");
        Some((CauseKind::ConnectionsExhausted, words))
    }

    /// What is wrong with the network, and to which balancer.
    fn network_trouble(&self, incident: &Incident) -> Option<(usize, String)> {
        match incident.kind {
            IncidentKind::NetworkLatency { to, add } => {
                let name = &self.plan.balancers[to.index()].name;
                Some((to.index(), format!("the way to {name} took {add} longer in each direction")))
            }
            IncidentKind::PacketLoss { to, share } => {
                let name = &self.plan.balancers[to.index()].name;
                let percent = 100.0 * share;
                Some((to.index(), format!("{percent} % of the packets to {name} were lost")))
            }
            _ => None,
        }
    }
}
