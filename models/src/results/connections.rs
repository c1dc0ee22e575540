//! What became of clients' connections.

use serde::{Deserialize, Serialize};

/// The connections of a source's clients, where these are played.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionsResult {
    /// Connections that clients began to open.
    pub opened: u64,
    /// Of these, connections that did not come about, because no packet came through.
    pub failed: u64,
    /// Requests that arrived, for each connection that came about.
    pub requests_each: f64,
    /// The time average of connections: idle, busy or being opened.
    pub open_mean: f64,
    /// Requests that waited at their client because all its connections were taken, or its only one was not up yet.
    pub waited: u64,
}
