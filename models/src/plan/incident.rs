//! What goes wrong.

use sim_core::dist::Dist;
use sim_core::{Span, Time};

use super::{BalancerId, GroupId, Plan, ServiceId};

/// Something that goes wrong, once or again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// What.
    pub kind: IncidentKind,
    /// When it begins.
    pub when: When,
    /// How long it lasts, in nanoseconds. `None` lasts until the run is over; what is over at once has none either.
    pub lasts: Option<Dist>,
}

/// When an incident begins.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once, at this instant.
    At(Time),
    /// Again and again: nanoseconds from the start of the run, and from the end of one to the next. What is over at once
    /// ends when it begins.
    Every(Dist),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum IncidentKind {
    /// Instances stop at once: what they were doing is lost, what they are sent is refused.
    Crash {
        /// Of which group.
        group: GroupId,
        /// How many.
        count: u32,
    },
    /// A process of each of some instances dies. Its machine goes on, and so do other processes.
    ProcessCrash {
        /// Of which group.
        group: GroupId,
        /// How many instances lose one.
        count: u32,
    },
    /// All processes die, and each that is started again dies too: a release that does not start.
    CrashLoop {
        /// Of which group.
        group: GroupId,
        /// How many instances; `None` is all of them, and those that are launched meanwhile.
        count: Option<u32>,
        /// How long a process lives after each start.
        after: Span,
    },
    /// All CPU work that begins takes longer: a grey failure.
    Slow {
        /// Of which group.
        group: GroupId,
        /// How many instances.
        count: u32,
        /// How many times as long, 1 or more.
        factor: f64,
    },
    /// Instances stand still, and go on afterwards where they stood: a machine that is moved to another host.
    Pause {
        /// Of which group.
        group: GroupId,
        /// How many instances.
        count: u32,
    },
    /// An Availability Zone stops, with all instances in it, and takes no launches.
    ZoneLoss {
        /// Its name.
        zone: String,
    },
    /// What a service waits for outside the model takes longer.
    SlowDependency {
        /// Whose wait steps.
        service: ServiceId,
        /// How many times as long, 1 or more.
        factor: f64,
    },
    /// What a service waits for outside the model fails, and with it the request.
    DependencyDown {
        /// Whose wait steps.
        service: ServiceId,
        /// The share of wait steps that fail, above 0 and up to 1.
        share: f64,
        /// How long it takes until one has failed, in nanoseconds; `None` is as long as it would have taken to succeed.
        after: Option<Dist>,
    },
    /// The way to a balancer takes longer.
    NetworkLatency {
        /// To which.
        to: BalancerId,
        /// How much longer, each way.
        add: Span,
    },
    /// Packets on the way to a balancer are lost.
    PacketLoss {
        /// To which.
        to: BalancerId,
        /// The chance of each packet, above 0 and at most 1.
        share: f64,
    },
}

impl Incident {
    /// True where it has an end, be it that of the run.
    pub fn is_lasting(&self) -> bool {
        !matches!(self.kind, IncidentKind::Crash { .. } | IncidentKind::ProcessCrash { .. })
    }

    /// The balancer that an incident of the network is about, and from when until when: these have a time and a length.
    pub fn of_network(&self) -> Option<(BalancerId, Time, Time)> {
        let (IncidentKind::NetworkLatency { to, .. } | IncidentKind::PacketLoss { to, .. }) = self.kind
        else {
            return None;
        };
        let (When::At(at), Some(lasts)) = (&self.when, self.lasts.as_ref()?.constant_span()) else {
            return None;
        };
        Some((to, *at, *at + lasts))
    }

    /// What its draws are named after: its kind and whom it hits. Several may have the same.
    pub fn label(&self, plan: &Plan) -> String {
        let (kind, whom) = match &self.kind {
            IncidentKind::Crash { group, .. } => ("crash", plan.groups[group.index()].name.as_str()),
            IncidentKind::ProcessCrash { group, .. } => {
                ("process_crash", plan.groups[group.index()].name.as_str())
            }
            IncidentKind::CrashLoop { group, .. } => ("crash_loop", plan.groups[group.index()].name.as_str()),
            IncidentKind::Slow { group, .. } => ("slow", plan.groups[group.index()].name.as_str()),
            IncidentKind::Pause { group, .. } => ("pause", plan.groups[group.index()].name.as_str()),
            IncidentKind::ZoneLoss { zone } => ("zone_loss", zone.as_str()),
            IncidentKind::SlowDependency { service, .. } => {
                ("slow_dependency", plan.services[service.index()].name.as_str())
            }
            IncidentKind::DependencyDown { service, .. } => {
                ("dependency_down", plan.services[service.index()].name.as_str())
            }
            IncidentKind::NetworkLatency { to, .. } => {
                ("network_latency", plan.balancers[to.index()].name.as_str())
            }
            IncidentKind::PacketLoss { to, .. } => ("packet_loss", plan.balancers[to.index()].name.as_str()),
        };
        format!("{kind}/{whom}")
    }
}
