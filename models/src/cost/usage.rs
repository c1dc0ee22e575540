//! What a run used, hour by hour: what [`bill`](super::bill) multiplies with prices.

use super::hourly::RunTime;
use crate::scaling::Purchase;

/// What a run used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage<'a> {
    /// Seconds that were played.
    pub seconds: f64,
    /// By group, type, and pool.
    pub instances: Vec<InstanceUsage<'a>>,
    /// CPU time that machines without credits used beyond them, by group and type.
    pub surplus: Vec<SurplusUsage<'a>>,
    /// Volumes, by group.
    pub volumes: Vec<VolumeUsage<'a>>,
    /// By balancer.
    pub balancers: Vec<BalancerUsage<'a>>,
    /// Alarms of all policies; none where these are left out of the bill.
    pub alarms: u32,
    /// Instances with detailed monitoring.
    pub monitored: RunTime,
    /// Requests to queues that are billed by requests.
    pub queues: Vec<QueueUsage<'a>>,
}

/// Instances of one group, type and price.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceUsage<'a> {
    /// The group's name.
    pub group: &'a str,
    /// The machine's name.
    pub machine: &'a str,
    /// What they were bought as.
    pub purchase: Purchase,
    /// The zone, where the price is that of a pool.
    pub zone: Option<&'a str>,
    /// The price of an hour; `None` where it is not known.
    pub hourly: Option<f64>,
    /// How long they ran.
    pub time: RunTime,
}

/// CPU time beyond what credits covered.
#[derive(Clone, Debug, PartialEq)]
pub struct SurplusUsage<'a> {
    /// The group's name.
    pub group: &'a str,
    /// vCPU-hours at the end of each hour, since the start. They may become fewer: what is earned back is not charged.
    pub vcpu_hours: Vec<f64>,
    /// The price of one.
    pub price: f64,
}

/// Volumes of the instances of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeUsage<'a> {
    /// The group's name.
    pub group: &'a str,
    /// The size of each.
    pub gib: f64,
    /// What a GiB costs for a month.
    pub price: f64,
    /// Whether these are of instances that are stopped in a warm pool.
    pub stopped: bool,
    /// How long they were there.
    pub time: RunTime,
}

/// One balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerUsage<'a> {
    /// Its name.
    pub balancer: &'a str,
    /// Whether it reads requests or passes connections on, which have prices of their own.
    pub layer: Layer,
    /// Whether clients keep connections to it open.
    pub kept: bool,
    /// Rules that each request is held against.
    pub rules: u32,
    /// Each hour's use, the last one perhaps of a part of an hour.
    pub hours: Vec<HourOfUse>,
    /// Whether clients outside send to it, so that what it carries goes out.
    pub internet: bool,
    /// The share of bytes that go to another zone and are charged for it.
    pub across: f64,
}

/// What a balancer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Requests: an Application Load Balancer.
    Application,
    /// Connections: a Network Load Balancer.
    Network,
}

/// One hour of a balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HourOfUse {
    /// Seconds of this hour that were played.
    pub seconds: f64,
    /// Requests.
    pub requests: f64,
    /// New connections of clients: one for each request, unless they keep some open.
    pub connections: f64,
    /// Bytes carried.
    pub bytes: f64,
    /// Mean number of requests in progress, and of connections that clients keep open.
    pub in_progress: f64,
}

/// Requests to a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueUsage<'a> {
    /// Its name.
    pub queue: &'a str,
    /// Requests in each hour.
    pub requests: Vec<f64>,
}
