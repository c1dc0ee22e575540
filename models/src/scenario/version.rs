//! `[group.NAME.version.NAME]`: further versions of a group's launch template.

use super::check::place_of;
use super::node::{Entry, Node};
use super::reader::{Findings, Reader};
use super::startup::{Read, startup};
use super::{Context, Names, Place};
use crate::plan::{EndpointId, Group, Machine, Plan, Service, ServiceId, Step, Version};

/// What versions are like where they say nothing else.
pub struct Own<'a> {
    /// The group's service.
    pub service: Option<ServiceId>,
    /// Its machine.
    pub machine: Option<&'a Machine>,
    /// Its start.
    pub startup: Option<&'a Read>,
}

/// Reads the versions of a group: the machines they need on top of the group's own, and the versions.
pub fn versions(
    context: &Context<'_>,
    names: &Names<'_>,
    services: &[Service],
    group: &mut Reader<'_>,
    own: &Own<'_>,
) -> Option<Vec<(Machine, Version)>> {
    let entries = group.named("version");
    let path = group.path_of("version");
    if let Some(entry) = entries.get(Group::MOST_VERSIONS) {
        let message = format!("`{path}` has {} versions", entries.len());
        let label = format!("at most {}", Group::MOST_VERSIONS);
        context.findings.error(&entry.place, message, label, None);
        return None;
    }
    let (mut versions, mut shown) = (Vec::new(), toml::Table::new());
    for entry in entries {
        let (version, resolved) = version(context, names, services, &path, entry, own);
        versions.push(version);
        shown.insert(entry.key.clone(), toml::Value::Table(resolved));
    }
    if !shown.is_empty() {
        group.resolve("version", shown);
    }
    versions.into_iter().collect()
}

fn version(
    context: &Context<'_>,
    names: &Names<'_>,
    services: &[Service],
    path: &str,
    entry: &Entry,
    own: &Own<'_>,
) -> (Option<(Machine, Version)>, toml::Table) {
    let path = format!("{path}.{}", entry.key);
    if entry.key == Group::FIRST_VERSION {
        let message = format!("`{path}` is there already");
        let help = Some("what the group itself says is its first version; call this one `v2`".to_string());
        context.findings.error(&entry.place, message, "the group's own settings", help);
    }
    let mut table = Reader::new(context.findings, path, &entry.node);
    let service = match table.optional::<String>("service") {
        Some(name) => names.service(context, &name, &table.place_of("service")),
        None => own.service.filter(|_| table.node("service").is_none()),
    };
    if let Some(own) = service.filter(|_| table.node("service").is_none()) {
        table.resolve("service", names.service_name(own));
    }
    let machine = match table.optional::<String>("machine") {
        Some(name) => names.machine(context, &name, &table.place_of("machine")),
        None => own.machine.filter(|_| table.node("machine").is_none()).cloned(),
    };
    if let Some(machine) = &machine {
        table.resolve("machine", machine.name.as_str());
    }
    let startup = startup(context, &mut table, own.startup);
    let version = (|| {
        let (service, (startup, _)) = (service?, startup?);
        let machine = machine?.refilling(services.get(service.index())?.working_set);
        Some((machine, Version { name: entry.key.clone(), service, machine: 0, startup }))
    })();
    (version, table.finish())
}

/// Checks all versions once everything is there: their endpoints, their memory, and that calls lead in no circle.
pub fn check(findings: &Findings, document: &Node, plan: &Plan) {
    let all: usize =
        plan.groups.iter().map(|group| group.versions.len() + 1).filter(|&count| count > 1).sum();
    if all > Group::MOST_VERSIONS {
        let message = format!("{all} versions are more than {}", Group::MOST_VERSIONS);
        findings.error(&place_of(document, &["group"]), message, "each has its own histogram", None);
    }
    for group in &plan.groups {
        for version in &group.versions {
            let place = place_of(document, &["group", &group.name, "version", &version.name]);
            endpoints(findings, plan, group, version, document);
            let machine = &group.machines[usize::from(version.machine)];
            if plan.requests_beside(version.service, machine) == Some(0) {
                let message = format!(
                    "the server of version `{}` of group `{}` does not fit into the {} GiB of its machine",
                    version.name, group.name, machine.memory_gib
                );
                findings.error(&place, message, "it would be killed at its first request", None);
            }
            circles(findings, plan, group, version, &place);
        }
    }
}

/// A version answers everything that the group's own service answers.
fn endpoints(findings: &Findings, plan: &Plan, group: &Group, version: &Version, document: &Node) {
    let place = place_of(document, &["group", &group.name, "version", &version.name, "service"]);
    for (index, endpoint) in plan.endpoints.iter().enumerate() {
        let id = EndpointId(index as u16);
        if endpoint.service != group.service || plan.counterpart(id, version.service).is_some() {
            continue;
        }
        let service = &plan.services[version.service.index()].name;
        let message = format!("service `{service}` has no endpoint `{}`", endpoint.name);
        let label = format!("version `{}` would not know what to answer", version.name);
        let help = format!(
            "add [service.{service}.endpoint.\"{}\"]: a version has all endpoints of `{}`",
            endpoint.name,
            plan.services[group.service.index()].name
        );
        findings.error(&place, message, label, Some(help));
    }
}

/// Calls to a group may be answered by any of its versions: none must lead back.
fn circles(findings: &Findings, plan: &Plan, group: &Group, version: &Version, place: &Place) {
    let own = |id: EndpointId| plan.endpoints[id.index()].service == version.service;
    let answers = |asked: EndpointId| {
        let all = (0..plan.endpoints.len() as u16).map(EndpointId);
        all.filter(move |&id| id == asked || plan.stands_in(id, asked))
    };
    for start in (0..plan.endpoints.len() as u16).map(EndpointId).filter(|&id| own(id)) {
        let (mut seen, mut stack) = (vec![false; plan.endpoints.len()], vec![start]);
        while let Some(here) = stack.pop() {
            for step in &plan.endpoints[here.index()].steps {
                let &Step::Call { endpoint, .. } = step else { continue };
                for next in answers(endpoint) {
                    if next == start {
                        let message = format!(
                            "once version `{}` of group `{}` is released, calls from its `{}` lead back to it",
                            version.name,
                            group.name,
                            plan.endpoints[start.index()].name
                        );
                        let help = Some("a request would never end".to_string());
                        return findings.error(place, message, "part of a circle of calls", help);
                    }
                    if !std::mem::replace(&mut seen[next.index()], true) {
                        stack.push(next);
                    }
                }
            }
        }
    }
}
