//! The bill: instances by the second with a minimum for each start, balancers by the hour and by what they carried.

use crate::cost::PriceBook;
use crate::results::{Bill, BillLine};

/// What prices by the month count as one.
const HOURS_A_MONTH: f64 = 730.0;

/// What a run used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// By group.
    pub instances: Vec<InstanceUsage>,
    /// By balancer.
    pub balancers: Vec<BalancerUsage>,
}

/// Instances of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceUsage {
    /// The group's name.
    pub group: String,
    /// The machine's name.
    pub machine: String,
    /// The price of an hour; `None` where it is not known.
    pub hourly: Option<f64>,
    /// Seconds that instances ran.
    pub seconds: f64,
    /// Seconds with the minimum for each start.
    pub billed_seconds: f64,
    /// GiB-hours of the volumes of instances that were stopped in a warm pool. Volumes of those that run are not on the bill.
    pub stopped_gib_hours: f64,
    /// What machines that go on without credits have used beyond them.
    pub surplus: Option<Surplus>,
}

/// CPU time beyond what credits covered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surplus {
    /// vCPU-hours.
    pub vcpu_hours: f64,
    /// The price of one.
    pub price: f64,
}

/// One balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerUsage {
    /// Its name.
    pub balancer: String,
    /// Seconds it existed.
    pub seconds: f64,
    /// Whether clients keep connections to it open.
    pub kept: bool,
    /// Each hour's use, the last one perhaps of a part of an hour.
    pub hours: Vec<HourOfUse>,
}

/// One hour of a balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HourOfUse {
    /// Seconds of this hour that were played.
    pub seconds: f64,
    /// New connections of clients: one for each request, unless they keep some open.
    pub connections: f64,
    /// Bytes carried.
    pub bytes: f64,
    /// Mean number of requests in progress, and of connections that clients keep open.
    pub in_progress: f64,
}

/// Multiplies what was used with its prices.
pub fn bill(prices: &PriceBook, usage: &Usage) -> Bill {
    let mut lines = Vec::new();
    for instances in &usage.instances {
        let hours = instances.billed_seconds / 3600.0;
        let price = instances.hourly.unwrap_or(0.0);
        let minimum = instances.billed_seconds - instances.seconds;
        let assumption = match instances.hourly {
            Some(_) => format!(
                "on demand, by the second from running until gone; the minimum of {} s a start added {:.2} h",
                prices.minimum_seconds,
                minimum / 3600.0
            ),
            None => "no price known for this machine: add `hourly` to its table".to_string(),
        };
        lines.push(line(
            format!("{}: {}", instances.group, instances.machine),
            hours,
            "instance-hours",
            price,
            assumption,
        ));
        if instances.stopped_gib_hours > 0.0 {
            lines.push(line(
                format!("{}: volumes in the warm pool", instances.group),
                instances.stopped_gib_hours / HOURS_A_MONTH,
                "GiB-months",
                prices.volume_gib_month,
                "of instances while they are stopped; a month has 730 hours".to_string(),
            ));
        }
        if let Some(Surplus { vcpu_hours, price }) = instances.surplus {
            let item = format!("{}: surplus CPU credits", instances.group);
            let assumption = "what each instance borrowed and had not earned back when it ended".to_string();
            lines.push(line(item, vcpu_hours, "vCPU-hours", price, assumption));
        }
    }
    for balancer in &usage.balancers {
        let hours = (balancer.seconds / 3600.0).ceil();
        lines.push(line(
            format!("{}: Application Load Balancer", balancer.balancer),
            hours,
            "hours",
            prices.balancer_hour,
            "a part of an hour is a full hour".to_string(),
        ));
        let (units, dimension) = lcu_hours(prices, &balancer.hours);
        let kept = if balancer.kept { " that does not come over one that is open" } else { "" };
        lines.push(line(
            format!("{}: capacity units", balancer.balancer),
            units,
            "LCU-hours",
            prices.lcu_hour,
            format!("each hour's largest dimension, mostly {dimension}; a new connection for each request{kept}, no rules beyond the free ones"),
        ));
    }
    let total = lines.iter().map(|line| line.amount).sum();
    Bill {
        prices: prices.name.clone(),
        date: prices.date.clone(),
        currency: prices.currency.clone(),
        lines,
        total,
    }
}

/// What has been spent, without the text.
pub fn total(prices: &PriceBook, usage: &Usage) -> f64 {
    let instances: f64 =
        usage.instances.iter().map(|i| i.billed_seconds / 3600.0 * i.hourly.unwrap_or(0.0)).sum();
    let volumes: f64 = usage.instances.iter().map(|i| i.stopped_gib_hours).sum();
    let volumes = volumes / HOURS_A_MONTH * prices.volume_gib_month;
    let surplus: f64 = usage.instances.iter().filter_map(|i| i.surplus).map(|s| s.vcpu_hours * s.price).sum();
    let balancers: f64 = usage
        .balancers
        .iter()
        .map(|b| {
            (b.seconds / 3600.0).ceil() * prices.balancer_hour
                + lcu_hours(prices, &b.hours).0 * prices.lcu_hour
        })
        .sum();
    instances + volumes + surplus + balancers
}

/// Load balancer capacity units: in each hour the largest of its dimensions counts. Returns their sum and the name
/// of the dimension that was the largest most often.
fn lcu_hours(prices: &PriceBook, hours: &[HourOfUse]) -> (f64, &'static str) {
    const NAMES: [&str; 3] = ["new connections", "active connections", "bytes"];
    let mut often = [0u32; 3];
    let mut sum = 0.0;
    for hour in hours.iter().filter(|hour| hour.seconds > 0.0) {
        let part = hour.seconds / 3600.0;
        let units = [
            hour.connections / hour.seconds / prices.lcu_new_connections_per_second * part,
            hour.in_progress / prices.lcu_active_connections * part,
            hour.bytes / prices.lcu_bytes_per_hour,
        ];
        let largest = (0..3).max_by(|&a, &b| units[a].total_cmp(&units[b])).unwrap_or(0);
        often[largest] += 1;
        sum += units[largest];
    }
    let most = (0..3).max_by_key(|&i| often[i]).unwrap_or(0);
    (sum, NAMES[most])
}

fn line(item: String, quantity: f64, unit: &str, price: f64, assumption: String) -> BillLine {
    BillLine { item, quantity, unit: unit.to_string(), price, amount: quantity * price, assumption }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> PriceBook {
        PriceBook::built_in("aws-us-east-1").expect("the price book is there")
    }

    #[test]
    fn each_hour_costs_its_largest_dimension() {
        let busy = HourOfUse { seconds: 3600.0, connections: 3600.0 * 100.0, bytes: 2e9, in_progress: 30.0 };
        let heavy = HourOfUse { seconds: 3600.0, connections: 3600.0 * 25.0, bytes: 7e9, in_progress: 30.0 };
        let (units, _) = lcu_hours(&prices(), &[busy, heavy]);
        assert!((units - (4.0 + 7.0)).abs() < 1e-9, "{units}");
        let half = HourOfUse { seconds: 1800.0, connections: 1800.0 * 100.0, ..HourOfUse::default() };
        assert!((lcu_hours(&prices(), &[half]).0 - 2.0).abs() < 1e-9);
    }

    #[test]
    fn lines_add_up_and_say_what_they_assume() {
        let usage = Usage {
            instances: vec![InstanceUsage {
                group: "web".into(),
                machine: "c6i.large".into(),
                hourly: Some(0.085),
                seconds: 7_190.0,
                billed_seconds: 7_200.0,
                stopped_gib_hours: 0.0,
                surplus: Some(Surplus { vcpu_hours: 2.0, price: 0.05 }),
            }],
            balancers: vec![BalancerUsage {
                balancer: "front".into(),
                seconds: 5_000.0,
                kept: false,
                hours: vec![],
            }],
        };
        let bill = bill(&prices(), &usage);
        assert!((bill.total - (0.17 + 0.1 + 2.0 * 0.0225)).abs() < 1e-12, "{}", bill.total);
        assert!((total(&prices(), &usage) - bill.total).abs() < 1e-12);
        assert!(bill.lines.iter().all(|line| !line.assumption.is_empty()));
    }
}
