//! Money: the price book and the bill.

mod bill;
mod prices;

pub use bill::{BalancerUsage, HourOfUse, InstanceUsage, Surplus, Usage, bill, total};
pub use prices::{BUILT_IN, CreditTerms, InstanceType, PriceBook};
