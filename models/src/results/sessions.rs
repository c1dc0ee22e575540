//! What became of sessions and rooms.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// The sessions of a source. `open_at_start + opened + reconnected = ended + dropped + open_at_end`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionsResult {
    /// The source's name.
    pub name: String,
    /// Open when measurement began.
    pub open_at_start: u64,
    /// Opened for the first time.
    pub opened: u64,
    /// Opened again after their connection was lost.
    pub reconnected: u64,
    /// Closed by their clients, or with their room.
    pub ended: u64,
    /// Connections that were lost: with an instance, or with a room that moved.
    pub dropped: u64,
    /// Clients who lost their connection and would have left before they were back.
    pub left_meanwhile: u64,
    /// Clients who lost their connection and did not come back: out of attempts, or not reconnecting.
    pub gave_up: u64,
    /// Newcomers whose session never opened.
    pub never_opened: u64,
    /// Attempts of handshakes that an instance refused, as it had as many connections as it takes.
    pub refused: u64,
    /// Open at the end.
    pub open_at_end: u64,
    /// The most that were open.
    pub open_peak: u64,
    /// The time average of those that were open.
    pub open_mean: f64,
    /// The most connections of one instance, seen by the minute.
    pub most_at_an_instance: u64,
    /// How many times an even share the fullest healthy instance had, the mean over the minutes; `None` where no session
    /// was open.
    pub imbalance_mean: Option<f64>,
    /// The highest such value, and when it was seen.
    pub imbalance_worst: f64,
    /// When that was, in seconds since the start.
    pub imbalance_worst_at: f64,
    /// Such a value at the end.
    pub imbalance_at_end: Option<f64>,
    /// Messages from clients.
    pub messages: u64,
    /// Messages to clients.
    pub pushes: u64,
    /// Attempts of handshakes in the busiest second.
    pub handshakes_peak: u64,
    /// When that second began, in seconds since the start.
    pub handshakes_peak_at: f64,
    /// From the loss of a connection until the session was open again.
    pub reconnect_time: Distribution,
    /// Rooms, where the source has them.
    pub rooms: Option<RoomsResult>,
}

/// The rooms of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomsResult {
    /// Seats of a room.
    pub players: u32,
    /// Opened by the matchmaker, those for players of a lost room included.
    pub opened: u64,
    /// Started with all seats taken.
    pub started_full: u64,
    /// Started with seats free, when the wait was over.
    pub started_short: u64,
    /// Lost with their instance, or moved from one that took no more players.
    pub dropped: u64,
    /// Played to their end.
    pub ended: u64,
    /// Seats taken when rooms started, as a share of all.
    pub fill_mean: f64,
    /// From a player's arrival, or the loss of the room before, until the room started.
    pub wait: Distribution,
}
