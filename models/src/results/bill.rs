//! The bill.

use serde::{Deserialize, Serialize};

/// The bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// The price book's name.
    pub prices: String,
    /// The date of its prices.
    pub date: String,
    /// Such as `USD`.
    pub currency: String,
    /// Its lines.
    pub lines: Vec<BillLine>,
    /// Their sum.
    pub total: f64,
    /// What it leaves out; empty where that is nothing.
    pub left_out: String,
}

/// One line of the bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BillLine {
    /// What it is for.
    pub kind: BillKind,
    /// Such as `web: c6i.large`.
    pub item: String,
    /// How much of it.
    pub quantity: f64,
    /// Of what: `instance-hours`, `hours`, `LCU-hours`.
    pub unit: String,
    /// The price of one.
    pub price: f64,
    /// Quantity times price: the sum of `hours`.
    pub amount: f64,
    /// What was assumed.
    pub assumption: String,
    /// The amount of each hour of the run, from its start.
    pub hours: Vec<f64>,
}

/// What a line of the bill is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillKind {
    /// Instances at the list price, and their surplus credits.
    OnDemand,
    /// Spot instances.
    Spot,
    /// Reserved instances and Savings Plans.
    Committed,
    /// Load balancers and their capacity units.
    Balancer,
    /// Traffic to the internet and across zones.
    Traffic,
    /// Volumes.
    Storage,
    /// Alarms and detailed monitoring.
    Monitoring,
    /// Requests to queues.
    Queue,
}

impl BillKind {
    /// All kinds, in the order of a bill.
    pub const ALL: [BillKind; 8] = [
        BillKind::OnDemand,
        BillKind::Spot,
        BillKind::Committed,
        BillKind::Balancer,
        BillKind::Traffic,
        BillKind::Storage,
        BillKind::Monitoring,
        BillKind::Queue,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            BillKind::OnDemand => "On-Demand instances",
            BillKind::Spot => "Spot instances",
            BillKind::Committed => "reserved and committed",
            BillKind::Balancer => "load balancers",
            BillKind::Traffic => "traffic",
            BillKind::Storage => "volumes",
            BillKind::Monitoring => "monitoring",
            BillKind::Queue => "queues",
        }
    }

    /// Whether it is about servers: what scaling changes.
    pub fn is_fleet(self) -> bool {
        matches!(self, BillKind::OnDemand | BillKind::Spot | BillKind::Committed)
    }
}

impl Bill {
    /// The amounts of a kind by hour, and nothing where no line is of that kind.
    pub fn by_hour(&self, kind: BillKind) -> Vec<f64> {
        let mut hours = Vec::new();
        for line in self.lines.iter().filter(|line| line.kind == kind) {
            if hours.len() < line.hours.len() {
                hours.resize(line.hours.len(), 0.0);
            }
            for (sum, amount) in hours.iter_mut().zip(&line.hours) {
                *sum += amount;
            }
        }
        hours
    }
}
