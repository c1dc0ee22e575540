//! Connections of clients: [`Pool`] says which of them carries a request, [`Way`] how long it takes to the balancer.

mod counts;
mod pool;
mod way;

pub use counts::{Counts, PoolTotals};
pub use pool::{Carrier, NO_CONNECTION, Pool, UNKNOWN_WORKER};
pub use way::Way;
