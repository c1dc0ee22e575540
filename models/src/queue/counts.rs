//! What a queue can be asked, and what it has counted.

use sim_core::{Span, Time};

/// How a queue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that a consumer could receive now (`ApproximateNumberOfMessagesVisible`), or the lag of a consumer group.
    pub visible: u64,
    /// Messages that were received and not yet acknowledged (`ApproximateNumberOfMessagesNotVisible`).
    pub in_flight: u64,
    /// Messages that are not yet to be received (`ApproximateNumberOfMessagesDelayed`): delayed, or waiting for another try.
    pub delayed: u64,
    /// When the oldest message that is not acknowledged was sent; `None` while there is none.
    pub oldest: Option<Time>,
}

/// What a queue has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Messages refused because it was full.
    pub refused: u64,
    /// Deliveries, each time that a message was received.
    pub received: u64,
    /// Deliveries after the first of their message.
    pub received_again: u64,
    /// Messages acknowledged.
    pub consumed: u64,
    /// Acknowledgements that came too late: the receipt was stale.
    pub stale: u64,
    /// Messages that were received too often, or rejected.
    pub dead_lettered: u64,
    /// Messages lost.
    pub lost: u64,
    /// Requests to it, as providers bill them: sends, receives with and without a message, deletes, extensions.
    pub requests: u64,
    /// Receives that brought nothing.
    pub empty_receives: u64,
    /// Receives that it refused because too many messages were in flight (`OverLimit`).
    pub over_limit: u64,
    /// Times that a consumer group was reassigned its partitions.
    pub rebalances: u64,
}

impl Counts {
    /// What was counted after `before` was.
    pub fn since(&self, before: &Counts) -> Counts {
        Counts {
            sent: self.sent - before.sent,
            refused: self.refused - before.refused,
            received: self.received - before.received,
            received_again: self.received_again - before.received_again,
            consumed: self.consumed - before.consumed,
            stale: self.stale - before.stale,
            dead_lettered: self.dead_lettered - before.dead_lettered,
            lost: self.lost - before.lost,
            requests: self.requests - before.requests,
            empty_receives: self.empty_receives - before.empty_receives,
            over_limit: self.over_limit - before.over_limit,
            rebalances: self.rebalances - before.rebalances,
        }
    }
}

impl Depth {
    /// Messages that the queue holds.
    pub fn held(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }

    /// How long ago its oldest message was sent; zero while there is none.
    pub fn age(&self, now: Time) -> Span {
        self.oldest.map_or(Span::ZERO, |oldest| now.since(oldest))
    }
}
