//! What the closed form expects of a plan whose load stands still, at given sizes: the other way round than
//! [`carries`](super::carries), which looks for the size.

use sim_core::Time;

use super::{Asked, Instance, Moments, quantile, response};
use crate::plan::{EndpointId, Group, GroupId, Objective, Plan, Step};

/// Mean and one quantile of the response time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) mean: f64,
    pub(crate) quantile: f64,
}

/// CPU seconds at a group, and seconds of everything else, of the requests of an objective; `None` where none of them comes
/// to it.
pub(crate) fn asked_of(plan: &Plan, group: GroupId, objective: &Objective) -> Option<[Moments; 2]> {
    Asked::of(plan, group, objective).map(|asked| [asked.cpu, asked.rest])
}

/// The response time of the requests of an objective with so many instances of each group, and its quantile at `share`.
/// What each group adds to an idle system is summed up. `None` where a group is overloaded, or where no request comes.
pub(crate) fn expected(plan: &Plan, objective: &Objective, sizes: &[u32], share: f64) -> Option<Expected> {
    let demands = plan.demands();
    let end = Time::ZERO + plan.duration;
    let requests: f64 = plan.traffic.iter().map(|traffic| traffic.expected_requests(Time::ZERO, end)).sum();
    let offered = requests / plan.duration.as_secs_f64();
    let of_service = |group: usize| {
        let same = |other: &usize| plan.groups[*other].service == plan.groups[group].service;
        (0..plan.groups.len()).filter(same).map(|other| demands[other].visits).sum::<f64>()
    };
    let (mut idle, mut added) = (None, Moments::default());
    for (index, group) in plan.groups.iter().enumerate() {
        let demand = demands[index];
        let asked = Asked::of(plan, GroupId(index as u16), objective);
        let Some(asked) = asked.filter(|_| demand.visits > 0.0) else { continue };
        let instance = Instance::of(plan, group, demand.cpu / demand.visits);
        let each = offered * demand.visits / f64::from(sizes[index].max(1)) / instance.queues;
        let busy = response(&asked, &instance, &instance.at(each)?);
        let alone = asked.cpu.plus(asked.rest);
        // Of several groups that run a service a request meets one.
        let share = demand.visits / of_service(index);
        added.mean += share * (busy.mean - alone.mean);
        added.variance += share * (busy.variance - alone.variance).max(0.0);
        idle = Some(alone);
    }
    let of = idle?.plus(added);
    Some(Expected { mean: of.mean, quantile: quantile(of, share) })
}

/// CPU seconds of a visit at a group's service, over all that come.
pub(crate) fn visit(plan: &Plan, group: &Group) -> Moments {
    let mut visits = vec![0.0; plan.endpoints.len()];
    let end = Time::ZERO + plan.duration;
    for traffic in &plan.traffic {
        let requests = traffic.expected_requests(Time::ZERO, end);
        traffic
            .shares(end)
            .iter()
            .for_each(|&(endpoint, share)| visits[endpoint.index()] += requests * share);
    }
    for endpoint in plan.callees_first().into_iter().rev() {
        let own = visits[endpoint.index()];
        for step in &plan.endpoints[endpoint.index()].steps {
            if let &Step::Call { endpoint, .. } = step {
                visits[endpoint.index()] += own;
            }
        }
    }
    let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
    for (id, endpoint) in (0u16..).map(EndpointId).zip(&plan.endpoints) {
        if endpoint.service != group.service {
            continue;
        }
        let mut cpu = Moments { mean: plan.overhead(id).as_secs_f64(), variance: 0.0 };
        for step in &endpoint.steps {
            if let Step::Cpu(demand) | Step::Pool(demand) = step {
                cpu = cpu.plus(Moments::of(demand));
            }
        }
        let own = visits[id.index()];
        weight += own;
        first += own * cpu.mean;
        second += own * (cpu.variance + cpu.mean * cpu.mean);
    }
    let mean = first / f64::max(weight, f64::MIN_POSITIVE);
    Moments { mean, variance: (second / f64::max(weight, f64::MIN_POSITIVE) - mean * mean).max(0.0) }
}
