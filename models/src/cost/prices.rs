//! The price book: what things cost, as of a date.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    /// Instance types by name.
    pub instances: BTreeMap<String, InstanceType>,
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
}

impl PriceBook {
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
        assert_eq!(book.instances["c6i.large"], InstanceType { vcpus: 2, memory_gib: 4.0, hourly: 0.085 });
        assert_eq!(PriceBook::built_in("aws-mars-1"), None);
    }
}
