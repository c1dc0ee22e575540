//! Metrics of queues, workers and GPUs need a queue, workers and GPUs.

use super::check::place_of;
use super::node::Node;
use super::reader::Findings;
use crate::plan::{Group, GroupId, Metric, Plan, Reading};

/// Says of each group which of its policies goes by what the group does not have.
pub fn check(findings: &Findings, document: &Node, plan: &Plan) {
    for (id, group) in (0u16..).map(GroupId).zip(&plan.groups) {
        let policies = group.scaling.iter().filter_map(|scaling| scaling.policy());
        let metrics: Vec<Metric> = policies.flat_map(|policy| policy.metrics()).collect();
        let place = || place_of(document, &["group", &group.name, "scaling"]);
        if let Some(metric) = metrics.iter().find(|metric| metric.of_workers() && group.worker.is_none()) {
            let message = format!(
                "group `{}` scales on `{}`, and takes no jobs from a queue",
                group.name,
                metric.name()
            );
            let help = format!(
                "add `[group.{}.worker]` with its `queue` and `job`, or scale on requests: `requests_per_target`",
                group.name
            );
            findings.error(&place(), message, "there is nothing to measure", Some(help));
        }
        if metrics.contains(&Metric::Gpu)
            && let Some(machine) = group.machines.iter().find(|machine| machine.gpus == 0)
        {
            let message = format!("group `{}` scales on `gpu`, and `{}` has none", group.name, machine.name);
            let help = format!("a machine with GPUs, or `gpus = 1` in `[machine.{}]`", machine.name);
            findings.error(&place(), message, "there is nothing to measure", Some(help));
        }
        if group.worker.is_some() && reads_requests(group) && !plan.balancers.iter().any(|own| own.has(id)) {
            findings.note(format!(
                "group `{}` is scaled by requests a second, and no request comes to its workers: `backlog` counts the messages of their queue",
                group.name
            ));
        }
    }
}

fn reads_requests(group: &Group) -> bool {
    let autoscalers = group.scaling.iter().filter_map(|scaling| scaling.pod_autoscaler());
    let mut reads = autoscalers.flat_map(|autoscaler| &autoscaler.reads);
    reads.any(|reading| matches!(reading, Reading::Requests))
}
