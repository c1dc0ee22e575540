//! The price book: what things cost, as of a date.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::machine::{Credits, Kernel, Processor, Refill, SMT_GAIN, Scheduler};
use crate::plan::Machine;

/// The name of the price book that is built in, and whose machines a scenario may always name.
pub const BUILT_IN: &str = "aws-us-east-1";

/// Prices as of a date.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceBook {
    /// Its name.
    pub name: String,
    /// The date of the prices.
    pub date: String,
    /// Such as `USD`.
    pub currency: String,
    /// Where they are from.
    pub source: String,
    /// Seconds that each start of an instance is billed at least.
    pub minimum_seconds: f64,
    /// A GiB of an instance's volume for a month of 730 hours (gp3).
    #[serde(default = "volume_gib_month")]
    pub volume_gib_month: f64,
    /// An hour of a balancer; a part of an hour is a full one.
    pub balancer_hour: f64,
    /// A load balancer capacity unit for an hour.
    pub lcu_hour: f64,
    /// New connections a second that one unit covers.
    pub lcu_new_connections_per_second: f64,
    /// Active connections that one unit covers.
    pub lcu_active_connections: f64,
    /// Bytes an hour that one unit covers.
    pub lcu_bytes_per_hour: f64,
    /// Rule evaluations a second that one unit covers.
    #[serde(default = "thousand")]
    pub lcu_rule_evaluations_per_second: f64,
    /// Rules that each request is held against for nothing.
    #[serde(default = "ten")]
    pub lcu_free_rules: f64,
    /// What balancers cost that pass connections on; where it is left out, what the others cost.
    #[serde(default)]
    pub network_balancer: Option<NetworkBalancer>,
    /// A GB to the internet.
    #[serde(default)]
    pub egress_gb: f64,
    /// GB to the internet that are free each month.
    #[serde(default)]
    pub egress_free_gb_month: f64,
    /// A GB to another zone, each for who sends and for who receives.
    #[serde(default)]
    pub across_zones_gb: f64,
    /// An alarm for a month.
    #[serde(default)]
    pub alarm_month: f64,
    /// Detailed monitoring of an instance for a month.
    #[serde(default)]
    pub detailed_monitoring_month: f64,
    /// A million requests to a queue.
    #[serde(default)]
    pub queue_million: f64,
    /// Instance types by name.
    pub instances: BTreeMap<String, InstanceType>,
}

/// What a balancer costs that passes connections on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkBalancer {
    /// An hour of it; a part of an hour is a full one.
    pub hour: f64,
    /// A capacity unit for an hour.
    pub nlcu_hour: f64,
    /// New connections a second that one unit covers.
    pub new_flows_per_second: f64,
    /// Active connections that one unit covers.
    pub active_flows: f64,
    /// Bytes an hour that one unit covers.
    pub bytes_per_hour: f64,
}

/// An instance type.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceType {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// On demand, Linux, an hour.
    pub hourly: f64,
    /// 2 where a vCPU is a hyper-thread.
    #[serde(default = "one")]
    pub threads_per_core: u32,
    /// Its GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// The terms of a burstable type.
    #[serde(default)]
    pub credits: Option<CreditTerms>,
}

/// The terms of a burstable type (EC2 guide, "Key concepts of burstable performance instances").
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditTerms {
    /// Credits earned an hour, over all vCPUs; a day's earning is the most that can be held.
    pub per_hour: f64,
    /// Whether it goes on without credits, and pays for that, unless it is told otherwise.
    pub unlimited: bool,
    /// A vCPU-hour beyond what was earned.
    pub surplus_price: f64,
}

fn volume_gib_month() -> f64 {
    0.08
}

fn one() -> u32 {
    1
}

fn ten() -> f64 {
    10.0
}

fn thousand() -> f64 {
    1_000.0
}

impl InstanceType {
    /// The machine that a scenario gets who names this type.
    pub fn machine(&self, name: &str) -> Machine {
        let credits = self.credits.map(|terms| Credits {
            baseline: terms.per_hour / 60.0,
            launch: 0.0,
            most: 24.0 * terms.per_hour,
            unlimited: terms.unlimited,
            surplus_price: terms.surplus_price,
        });
        let processor = Processor {
            threads_per_core: self.threads_per_core,
            smt_gain: if self.threads_per_core > 1 { SMT_GAIN } else { 1.0 },
            credits,
            scheduler: Scheduler::Shares(Kernel::LINUX),
            ..Processor::plain(self.vcpus)
        };
        Machine {
            name: name.to_string(),
            processor,
            memory_gib: self.memory_gib,
            gpus: self.gpus,
            hourly: Some(self.hourly),
            refill: Refill::linux(),
            background: Vec::new(),
        }
    }
}

impl PriceBook {
    /// What balancers cost that pass connections on.
    pub fn network_balancer(&self) -> NetworkBalancer {
        self.network_balancer.unwrap_or(NetworkBalancer {
            hour: self.balancer_hour,
            nlcu_hour: self.lcu_hour,
            new_flows_per_second: self.lcu_new_connections_per_second,
            active_flows: self.lcu_active_connections,
            bytes_per_hour: self.lcu_bytes_per_hour,
        })
    }

    /// Reads a price book.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn parse(text: &str) -> Result<PriceBook, toml::de::Error> {
        toml::from_str(text)
    }

    /// A price book that comes with scalesim.
    pub fn built_in(name: &str) -> Option<PriceBook> {
        let book = PriceBook::parse(include_str!("aws-us-east-1.toml")).ok()?;
        (book.name == name).then_some(book)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_book_reads() {
        let book = PriceBook::built_in(BUILT_IN).expect("it is well formed");
        let c6i = book.instances["c6i.large"];
        assert_eq!((c6i.vcpus, c6i.memory_gib, c6i.hourly, c6i.threads_per_core), (2, 4.0, 0.085, 2));
        assert_eq!(book.instances["c7g.large"].threads_per_core, 1, "a vCPU of Graviton is a core");
        let t3 = book.instances["t3.medium"].machine("t3.medium");
        let credits = t3.processor.credits.expect("it is burstable");
        assert_eq!((credits.baseline, credits.most, credits.unlimited), (0.4, 576.0, true));
        assert_eq!(PriceBook::built_in("aws-mars-1"), None);
    }
}
