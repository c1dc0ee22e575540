//! Versions of a group's launch template, and how new ones come to its instances.

use sim_core::{Span, Time};

use super::{BalancerId, EndpointId, Group, GroupId, Plan, ServiceId, Startup};
use crate::scaling::refresh::Preferences;

/// A version of a group's launch template beside its own settings, which are the first.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name in the scenario.
    pub name: String,
    /// What its instances run: a service with the endpoints of the group's.
    pub service: ServiceId,
    /// What its instances are, of [`Group::machines`].
    pub machine: u16,
    /// How long they take to start.
    pub startup: Startup,
}

/// What a launch template says, whichever version it is.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// The version's name.
    pub name: &'a str,
    /// What its instances run.
    pub service: ServiceId,
    /// The index of what its instances are, of [`Group::machines`].
    pub machine: u16,
    /// How long they take to start.
    pub startup: &'a Startup,
}

impl Group {
    /// The name of the version that a group's own settings are.
    pub const FIRST_VERSION: &'static str = "v1";
    /// The most versions that a plan may have beside the first of each group; each has its own histogram.
    pub const MOST_VERSIONS: usize = 100;

    /// The launch template in one of its versions: 0 is the first.
    pub fn template(&self, version: u8) -> Template<'_> {
        match usize::from(version).checked_sub(1).and_then(|index| self.versions.get(index)) {
            Some(Version { name, service, machine, startup }) => {
                Template { name, service: *service, machine: *machine, startup }
            }
            None => Template {
                name: Self::FIRST_VERSION,
                service: self.service,
                machine: 0,
                startup: &self.startup,
            },
        }
    }

    /// The number of a version by its name.
    pub fn version(&self, name: &str) -> Option<u8> {
        (0..=self.versions.len() as u8).find(|&version| self.template(version).name == name)
    }

    /// All services that its instances may run, its own first.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> + '_ {
        std::iter::once(self.service).chain(self.versions.iter().map(|version| version.service))
    }
}

impl Plan {
    /// The endpoint of a service that has the name of another's.
    pub fn counterpart(&self, endpoint: EndpointId, service: ServiceId) -> Option<EndpointId> {
        let name = &self.endpoints.get(endpoint.index())?.name;
        let mut all = (0u16..).map(EndpointId).zip(&self.endpoints);
        all.find(|(_, other)| other.service == service && other.name == *name).map(|(id, _)| id)
    }

    /// The groups that give their requests to another in blue-green deployments, and these others.
    pub fn takes_over(&self) -> Vec<(GroupId, GroupId)> {
        let pairs = self.releases.iter().filter_map(|release| match &release.how {
            How::BlueGreen(way) => Some((release.group, way.to)),
            _ => None,
        });
        let mut pairs: Vec<(GroupId, GroupId)> = pairs.collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// True where some version of a group answers requests for the endpoint `asked` with `endpoint`.
    pub fn stands_in(&self, endpoint: EndpointId, asked: EndpointId) -> bool {
        let [own, asked] = [endpoint, asked].map(|id| &self.endpoints[id.index()]);
        own.name == asked.name
            && self.groups.iter().any(|group| {
                group.service == asked.service
                    && group.versions.iter().any(|version| version.service == own.service)
            })
    }
}

/// A release: somebody brings a version to a group's instances.
#[derive(Clone, Debug)]
pub struct Release {
    /// The group whose instances are replaced.
    pub group: GroupId,
    /// When, ascending.
    pub times: Vec<Time>,
    /// Which version; `None` makes all instances anew from the one that they have.
    pub version: Option<u8>,
    /// How.
    pub how: How,
    /// Objectives whose violated windows are the alarms that let it fail while it is in progress, by their index.
    pub alarms: Vec<u16>,
    /// One that fails is undone.
    pub auto_rollback: bool,
}

/// How a release goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Auto Scaling replaces the instances in batches.
    InstanceRefresh(Preferences),
    /// Somebody sets minimum, desired capacity and maximum to zero, waits, and sets them back.
    Recreate {
        /// How long all are away before new ones are launched.
        wait: Span,
    },
    /// A pipeline takes one instance after another out, and the group launches another.
    Rolling(Rolling),
    /// A second group is launched, and the balancer sends more and more to it.
    BlueGreen(BlueGreen),
}

/// How a pipeline replaces instances one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// From taking an instance out of its target groups until it is terminated.
    pub drain: Span,
    /// Whether it waits until all instances are healthy targets before it takes the next.
    pub wait_for_health: bool,
    /// How long it waits for that before it fails.
    pub timeout: Span,
    /// How long it waits beside that before it takes the next.
    pub pause: Span,
}

/// How traffic goes from one group to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlueGreen {
    /// The group that takes over.
    pub to: GroupId,
    /// The balancers before both.
    pub balancers: Vec<BalancerId>,
    /// Percent of the requests that the new group gets, one step after another.
    pub steps: Vec<u32>,
    /// Time between two steps.
    pub interval: Span,
    /// How long the new group may take to be healthy before the release fails.
    pub timeout: Span,
    /// How long the old group stays once it gets nothing.
    pub terminate_after: Span,
}

impl Release {
    /// The groups that it is about.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + '_ {
        let to = match &self.how {
            How::BlueGreen(way) => Some(way.to),
            _ => None,
        };
        std::iter::once(self.group).chain(to)
    }
}

impl How {
    /// What logs call it.
    pub fn name(&self) -> &'static str {
        match self {
            How::InstanceRefresh(_) => "instance refresh",
            How::Recreate { .. } => "recreate",
            How::Rolling(_) => "rolling replacement",
            How::BlueGreen(_) => "blue-green deployment",
        }
    }
}
