//! Versions of launch templates: what instances of each run, and how their requests fare. Groups without versions cost a
//! comparison with zero.

use sim_core::Time;

use super::System;
use super::ending::Ending;
use super::request::Request;
use crate::measure::Collector;
use crate::plan::{Balancer, Endpoint, EndpointId, Group, GroupId, Plan, ServiceId};
use crate::results::VersionResult;

/// A version of a group that has several.
#[derive(Clone, Debug)]
pub struct Variant {
    group: GroupId,
    version: u8,
    /// The program that answers for each endpoint and each balancer's checks.
    programs: Vec<u16>,
    /// What its instances have worked on.
    served: Collector,
    /// Instances made from it.
    pub(super) launched: u64,
}

/// The program that works through a request.
#[inline(always)]
pub(super) fn program_of(variants: &[Variant], request: &Request) -> usize {
    if request.variant == 0 { request.endpoint.index() } else { other_program(variants, request) }
}

#[inline(never)]
fn other_program(variants: &[Variant], request: &Request) -> usize {
    usize::from(variants[usize::from(request.variant) - 1].programs[request.endpoint.index()])
}

/// Versions beside the first, of groups behind each balancer, whose checks ask for something else: in the order of groups,
/// versions and balancers.
fn checked(plan: &Plan) -> impl Iterator<Item = (&Balancer, GroupId, u8, ServiceId)> {
    let groups = (0u16..).map(GroupId).zip(&plan.groups);
    groups.flat_map(move |(id, group)| {
        let versions = (1u8..).zip(&group.versions);
        versions.flat_map(move |(version, template)| {
            let balancers = plan.balancers.iter().filter(move |balancer| balancer.has(id));
            balancers.map(move |balancer| (balancer, id, version, template.service))
        })
    })
}

/// What balancers' checks ask of these versions, whose programs stand behind all others in this order.
pub(super) fn checks(plan: &Plan) -> Vec<(Option<&Endpoint>, ServiceId)> {
    let of = |(balancer, _, _, service)| (plan.checked_endpoint_of(balancer, service), service);
    checked(plan).map(of).collect()
}

/// The versions of all groups that have several.
pub(super) fn variants(plan: &Plan) -> Vec<Variant> {
    let mut variants = Vec::new();
    for (id, group) in (0u16..).map(GroupId).zip(&plan.groups).filter(|(_, group)| !group.versions.is_empty())
    {
        for version in 0..=group.versions.len() as u8 {
            variants.push(Variant {
                group: id,
                version,
                programs: programs(plan, id, version),
                served: Collector::new(),
                launched: 0,
            });
        }
    }
    variants
}

fn programs(plan: &Plan, id: GroupId, version: u8) -> Vec<u16> {
    let group = &plan.groups[id.index()];
    let service = group.template(version).service;
    let all = plan.endpoints.len() + plan.balancers.len();
    let mut programs: Vec<u16> = (0..all as u16).collect();
    for (index, endpoint) in plan.endpoints.iter().enumerate() {
        let counterpart = plan.counterpart(EndpointId(index as u16), service);
        if let Some(own) = counterpart.filter(|_| endpoint.service == group.service) {
            programs[index] = own.0;
        }
    }
    for (nth, (balancer, group, other, _)) in checked(plan).enumerate() {
        let index = plan.balancers.iter().position(|other| other.name == balancer.name);
        if let Some(index) = index.filter(|_| (group, other) == (id, version)) {
            programs[plan.endpoints.len() + index] = (all + nth) as u16;
        }
    }
    programs
}

impl Plan {
    /// Visits per second that one instance of a version can serve.
    pub fn capacity_of_version(&self, group: GroupId, version: u8) -> f64 {
        let mut plan = self.clone();
        let Group { service, .. } = self.groups[group.index()];
        let template = self.groups[group.index()].template(version);
        for index in 0..self.endpoints.len() {
            let counterpart = self.counterpart(EndpointId(index as u16), template.service);
            if let Some(own) = counterpart.filter(|_| self.endpoints[index].service == service) {
                plan.endpoints[index].steps = self.endpoints[own.index()].steps.clone();
            }
        }
        plan.services[service.index()].runtime = self.services[template.service.index()].runtime;
        plan.groups[group.index()].machines.swap(0, usize::from(template.machine));
        plan.capacity_per_instance(group)
    }
}

impl System {
    /// The number of a version of a group among all; 0 where the group has no others.
    pub(super) fn variant(&self, group: GroupId, version: u8) -> u8 {
        let own = |variant: &Variant| (variant.group, variant.version) == (group, version);
        self.variants.iter().position(own).map_or(0, |index| index as u8 + 1)
    }

    /// An instance of a version is done with a request.
    #[inline(never)]
    pub(super) fn served_by_version(&mut self, request: &Request, ending: Ending, now: Time) {
        if self.is_check(request) {
            return;
        }
        self.variants[usize::from(request.variant) - 1].served.work_ended(ending, now.since(request.sent));
    }

    /// Measurement begins.
    pub(super) fn begin_versions(&mut self) {
        for variant in &mut self.variants {
            variant.served = Collector::new();
        }
    }

    /// How each version fared.
    pub(super) fn version_results(&self) -> Vec<VersionResult> {
        let result = |variant: &Variant| {
            let group = &self.plan.groups[variant.group.index()];
            let requests = variant.served.ledger();
            VersionResult {
                group: group.name.clone(),
                version: group.template(variant.version).name.to_string(),
                launched: variant.launched,
                requests: requests.completed + requests.refused + requests.timed_out + requests.failed,
                errors: requests.refused + requests.timed_out + requests.failed,
                response_time: crate::measure::distribution(&variant.served.times),
            }
        };
        self.variants.iter().map(result).collect()
    }
}
