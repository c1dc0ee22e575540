//! The bill: what was used, times its price, hour by hour. Instances by the second with a minimum for each start, balancers
//! by the hour and by what they carried; what was committed to whether it is used or not.

use super::charge::{Charge, charges};
use super::{PriceBook, Terms, Usage};
use crate::results::{Bill, BillLine};

/// Multiplies what was used with its prices.
pub fn bill(prices: &PriceBook, terms: &Terms, usage: &Usage<'_>) -> Bill {
    let lines: Vec<BillLine> =
        charges(prices, terms, usage).iter().map(|charge| line(prices, charge)).collect();
    Bill {
        prices: prices.name.clone(),
        date: prices.date.clone(),
        currency: prices.currency.clone(),
        total: lines.iter().map(|line| line.amount).sum(),
        lines,
        left_out: left_out(terms, usage),
    }
}

/// What has been spent, without the text.
pub fn total(prices: &PriceBook, terms: &Terms, usage: &Usage<'_>) -> f64 {
    charges(prices, terms, usage).iter().map(|charge| charge.amounts.iter().sum::<f64>()).sum()
}

fn line(prices: &PriceBook, charge: &Charge<'_>) -> BillLine {
    BillLine {
        kind: charge.what.kind(),
        item: charge.what.item(),
        quantity: charge.quantity,
        unit: charge.what.unit().to_string(),
        price: charge.price,
        amount: charge.amounts.iter().sum(),
        assumption: charge.what.assumption(prices),
        hours: charge.amounts.clone(),
    }
}

/// What was played and is not on the bill.
fn left_out(terms: &Terms, usage: &Usage<'_>) -> String {
    let carried = |of: &dyn Fn(&super::BalancerUsage<'_>) -> bool| -> f64 {
        let own = usage.balancers.iter().filter(|balancer| of(balancer));
        own.flat_map(|balancer| &balancer.hours).map(|hour| hour.bytes).sum::<f64>() / super::charge::GB
    };
    let mut missing = Vec::new();
    if !terms.data_transfer {
        let out = carried(&|balancer| balancer.internet);
        if out >= 0.5 {
            missing.push(format!("traffic out of {out:.0} GB (`data_transfer = true`)"));
        }
    }
    if !terms.cloudwatch {
        missing.push("alarms and monitoring (`cloudwatch = true`)".to_string());
    }
    missing.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{
        BalancerUsage, HourOfUse, InstanceUsage, Layer, QueueUsage, Reserved, RunTime, SavingsPlan,
        SurplusUsage, VolumeUsage,
    };
    use crate::results::BillKind;
    use crate::scaling::Purchase;
    use sim_core::{Span, Time};

    fn prices() -> PriceBook {
        PriceBook::built_in("aws-us-east-1").expect("the price book is there")
    }

    fn ran(seconds: u64) -> RunTime {
        let mut time = RunTime::default();
        time.add(Time::ZERO, Time::ZERO + Span::from_secs(seconds), 60.0);
        time
    }

    fn instances(purchase: Purchase, hourly: f64, seconds: u64) -> InstanceUsage<'static> {
        InstanceUsage {
            group: "web",
            machine: "c6i.large",
            purchase,
            zone: None,
            hourly: Some(hourly),
            time: ran(seconds),
        }
    }

    fn balancer(layer: Layer, hours: Vec<HourOfUse>) -> BalancerUsage<'static> {
        let (balancer, internet) = ("front", true);
        let across = if layer == Layer::Network { 0.5 } else { 0.0 };
        BalancerUsage { balancer, layer, kept: false, rules: 1, hours, internet, across }
    }

    fn all() -> Usage<'static> {
        let hour =
            HourOfUse { seconds: 3600.0, requests: 3.6e5, connections: 3.6e5, bytes: 2e9, in_progress: 9.0 };
        let half = HourOfUse { seconds: 1800.0, ..hour };
        Usage {
            seconds: 5_400.0,
            instances: vec![
                instances(Purchase::OnDemand, 0.085, 5_400),
                instances(Purchase::Spot, 0.0255, 3_000),
            ],
            surplus: vec![SurplusUsage { group: "web", vcpu_hours: vec![2.0, 1.5], price: 0.05 }],
            volumes: vec![VolumeUsage {
                group: "web",
                gib: 20.0,
                price: 0.08,
                stopped: false,
                time: ran(5_400),
            }],
            balancers: vec![
                balancer(Layer::Application, vec![hour, half]),
                balancer(Layer::Network, vec![hour]),
            ],
            alarms: 2,
            monitored: ran(5_400),
            queues: vec![QueueUsage { queue: "jobs", requests: vec![1e6, 5e5] }],
        }
    }

    fn everything() -> Terms {
        Terms {
            savings_plan: Some(SavingsPlan { commitment: 0.02, discount: 0.3 }),
            reserved: vec![Reserved { machine: "m5.large".into(), count: 1, hourly: 0.06 }],
            data_transfer: true,
            cloudwatch: true,
        }
    }

    #[test]
    fn lines_and_the_total_are_the_sums_of_their_hours() {
        let (prices, terms, usage) = (prices(), everything(), all());
        let bill = bill(&prices, &terms, &usage);
        for line in &bill.lines {
            assert!((line.hours.iter().sum::<f64>() - line.amount).abs() < 1e-12, "{}", line.item);
            assert!((line.quantity * line.price - line.amount).abs() < 1e-9, "{line:?}");
            assert!(!line.assumption.is_empty());
        }
        let by_kind: f64 = BillKind::ALL.iter().flat_map(|&kind| bill.by_hour(kind)).sum();
        assert!((by_kind - bill.total).abs() < 1e-9);
        assert!((total(&prices, &terms, &usage) - bill.total).abs() < 1e-12);
        let kinds: Vec<BillKind> = bill.lines.iter().map(|line| line.kind).collect();
        assert!(BillKind::ALL.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        assert_eq!(bill.left_out, "");
    }

    #[test]
    fn amounts_are_what_the_price_list_says() {
        let bill = bill(&prices(), &everything(), &all());
        let amount = |item: &str| {
            let line = bill.lines.iter().find(|line| line.item.contains(item));
            line.unwrap_or_else(|| panic!("{item}: {:?}", bill.lines)).amount
        };
        let near = |item: &str, want: f64| {
            assert!((amount(item) - want).abs() < 1e-9, "{item}: {} and not {want}", amount(item));
        };
        // 0.02 an hour covers 0.02 / (0.085 × 0.7) instance-hours of each hour played.
        near("web: c6i.large", 0.085 * 1.5 - 0.02 * 1.5 / 0.7);
        near("Savings Plan", 0.02 * 1.5);
        near("m5.large reserved", 0.06 * 1.5);
        near("Spot", 0.0255 * 3_000.0 / 3_600.0);
        near("surplus", 0.05 * 1.5);
        near("front: Application Load Balancer", 2.0 * 0.0225);
        // 100 new connections a second are 4 units for an hour, and 200 a second 8 for half of one.
        near("front: capacity units", 0.008 * (4.0 + 4.0));
        near("front: Network Load Balancer", 0.0225);
        // 2 GB in an hour are more units than 100 of 800 new flows.
        near("NLB capacity units", 0.006 * 2.0);
        near("volumes", 20.0 * 0.08 * 1.5 / 730.0);
        near("alarms", 2.0 * 0.1 * 1.5 / 730.0);
        near("detailed monitoring", 2.1 * 1.5 / 730.0);
        near("across zones", 0.02 * 0.5 * 2.0);
        near("jobs", 0.4 * 1.5);
        // Each hour of a month has its part of the 100 GB that are free.
        near("to the internet", 0.09 * (6.0 - 1.5 * 100.0 / 730.0));
    }

    #[test]
    fn rules_beyond_the_free_ones_are_a_dimension() {
        let hour = HourOfUse { seconds: 3600.0, requests: 3.6e6, connections: 3.6e4, ..HourOfUse::default() };
        let many = BalancerUsage { rules: 15, ..balancer(Layer::Application, vec![hour]) };
        let usage = Usage { seconds: 3_600.0, balancers: vec![many], ..Usage::default() };
        let bill = bill(&prices(), &Terms::default(), &usage);
        let units = bill.lines.iter().find(|line| line.unit == "LCU-hours").map(|line| line.quantity);
        // 1,000 requests a second against 5 rules, at 1,000 evaluations a unit.
        assert_eq!(units, Some(5.0));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let bill = bill(&prices(), &Terms::default(), &all());
        assert!(bill.left_out.starts_with("traffic out of 6 GB"), "{}", bill.left_out);
        assert!(bill.lines.iter().all(|line| line.kind != BillKind::Traffic));
    }
}
