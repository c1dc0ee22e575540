//! Whether balancers reach their targets: the port that the app listens at, that of the target group, the security group.

use super::{Balancer, BalancerId, Endpoint, EndpointId, GroupId, Plan, ServiceId};

/// What becomes of a connection to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It comes about.
    Open,
    /// Nothing listens at the port: it is refused at once.
    Refused,
    /// Nobody answers: the machine does not run, or a security group drops the packets.
    Dropped,
}

impl Plan {
    /// The number of a balancer's checks among programs and collectors: behind the endpoints of the plan.
    pub fn check_endpoint(&self, balancer: BalancerId) -> EndpointId {
        EndpointId((self.endpoints.len() + balancer.index()) as u16)
    }

    /// Whether that is the number of a balancer's checks.
    #[inline]
    pub fn is_check(&self, endpoint: EndpointId) -> bool {
        endpoint.index() >= self.endpoints.len()
    }

    /// The endpoint that a balancer's checks ask for; `None` where its path is none of the service, and is answered without
    /// any work.
    pub fn checked_endpoint(&self, balancer: &Balancer) -> Option<&Endpoint> {
        self.checked_endpoint_of(balancer, self.groups[balancer.first_group().index()].service)
    }

    /// The same of a service that instances behind it may run.
    pub fn checked_endpoint_of(&self, balancer: &Balancer, service: ServiceId) -> Option<&Endpoint> {
        let path = &balancer.health_check.as_ref()?.path;
        let asks = |endpoint: &&Endpoint| {
            let name = endpoint.name.strip_prefix("GET ").unwrap_or(&endpoint.name);
            endpoint.service == service && name == path
        };
        self.endpoints.iter().find(asks)
    }

    /// What becomes of connections that a balancer opens to instances of a group that are up.
    pub fn reach(&self, balancer: &Balancer, group: GroupId) -> Reach {
        self.reach_of(balancer, group, self.groups[group.index()].service)
    }

    /// The same of instances that run this service.
    pub fn reach_of(&self, balancer: &Balancer, group: GroupId, service: ServiceId) -> Reach {
        let group = &self.groups[group.index()];
        if group.inbound.as_ref().is_some_and(|ports| !ports.contains(&balancer.port)) {
            Reach::Dropped
        } else if self.services[service.index()].port == balancer.port {
            Reach::Open
        } else {
            Reach::Refused
        }
    }

    /// Why a balancer reaches none of a group's instances, and what to change; `None` where it does reach them.
    pub fn unreachable(&self, balancer: &Balancer, group: GroupId) -> Option<String> {
        let reach = self.reach(balancer, group);
        let group = &self.groups[group.index()];
        let service = &self.services[group.service.index()];
        let (name, port) = (&balancer.name, balancer.port);
        match reach {
            Reach::Open => None,
            Reach::Refused => Some(format!(
                "balancer `{name}` sends to port {port}, and `{}` listens at {}: connections are refused; \
                 set `balancer.{name}.port = {}`",
                service.name, service.port, service.port
            )),
            Reach::Dropped => {
                let ports: Vec<String> = group.inbound.iter().flatten().map(u16::to_string).collect();
                let open = if ports.is_empty() { "none".to_string() } else { ports.join(", ") };
                Some(format!(
                    "balancer `{name}` sends to port {port}, and the security group of `{}` lets in at {open}: packets are \
                     dropped; add {port} to `group.{}.security_group.inbound`",
                    group.name, group.name
                ))
            }
        }
    }
}
