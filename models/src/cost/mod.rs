//! Money: the price book, what was used, and the bill.

mod bill;
mod charge;
mod hourly;
mod prices;
mod terms;
mod usage;

pub use bill::{bill, total};
pub use hourly::RunTime;
pub use prices::{BUILT_IN, CreditTerms, InstanceType, NetworkBalancer, PriceBook};
pub use terms::{Covered, Reserved, SavingsPlan, Terms};
pub use usage::{
    BalancerUsage, HourOfUse, InstanceUsage, Layer, QueueUsage, SurplusUsage, Usage, VolumeUsage,
};
