//! Connections of clients: [`Pool`] says which of them carries a request, [`Way`] how long it takes to the balancer.

mod pool;
mod way;

pub use pool::{Carrier, NO_CONNECTION, Pool, PoolTotals, UNKNOWN_WORKER};
pub use way::Way;
