//! How attempts end, and what a client sees of that: a status, or a connection that is refused or reset.
//!
//! Statuses are those that a load balancer of HTTP gives (ALB, "Troubleshoot your Application Load Balancers"); one that
//! passes connections on (NLB) gives none, and its clients see what happens to the connection.

/// How an attempt ended, seen from where it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// Answered.
    Completed,
    /// No target is registered.
    NoTarget,
    /// The accept queue of its target was full.
    QueueFull,
    /// The server answered at once that it has too much to do.
    Shed,
    /// A rate limiter had no token left.
    RateLimited,
    /// A circuit breaker was open, or as many requests as it lets through were in progress.
    CircuitOpen,
    /// The client stopped waiting.
    TimedOut,
    /// Nothing listens at the target: its server is not up, or not at this port.
    NotListening,
    /// No connection came about: packets were dropped, on the way or by a security group.
    NoConnection,
    /// The server or its instance went away under it.
    Lost,
    /// The deregistration delay of its target was over.
    CutOff,
    /// The balancer has seen no answer for as long as its idle timeout.
    NoAnswer,
    /// A call that it made was not answered.
    CallFailed,
    /// The server answered with an error.
    Error,
}

/// What an ending counts as; each request has one in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndingKind {
    /// Answered.
    Completed,
    /// Turned away before anybody worked on it.
    Refused,
    /// Given up on by the client.
    TimedOut,
    /// Lost, or answered with an error.
    Failed,
}

impl Ending {
    /// All of them, in the order of their numbers.
    pub const ALL: [Ending; 14] = [
        Ending::Completed,
        Ending::NoTarget,
        Ending::QueueFull,
        Ending::Shed,
        Ending::RateLimited,
        Ending::CircuitOpen,
        Ending::TimedOut,
        Ending::NotListening,
        Ending::NoConnection,
        Ending::Lost,
        Ending::CutOff,
        Ending::NoAnswer,
        Ending::CallFailed,
        Ending::Error,
    ];

    /// What it counts as.
    #[inline]
    pub fn kind(self) -> EndingKind {
        match self {
            Ending::Completed => EndingKind::Completed,
            Ending::NoTarget
            | Ending::QueueFull
            | Ending::Shed
            | Ending::RateLimited
            | Ending::CircuitOpen => EndingKind::Refused,
            Ending::TimedOut => EndingKind::TimedOut,
            Ending::NotListening
            | Ending::NoConnection
            | Ending::Lost
            | Ending::CutOff
            | Ending::NoAnswer
            | Ending::CallFailed
            | Ending::Error => EndingKind::Failed,
        }
    }

    /// The status that the server itself answers with, where it answers; `usual` is that of its endpoint.
    pub fn answer(self, usual: u16) -> Option<u16> {
        match self {
            Ending::Completed => Some(usual),
            Ending::Shed => Some(503),
            Ending::CallFailed | Ending::Error => Some(500),
            _ => None,
        }
    }

    /// What the client of a balancer of HTTP sees, and why. 460 is what the balancer logs of a client that closed the
    /// connection; the client itself sees nothing.
    pub fn status(self) -> (&'static str, &'static str) {
        match self {
            Ending::Completed => ("200", "answered"),
            Ending::NoTarget => ("503", "no target is registered"),
            Ending::QueueFull => ("502", "the target refused the connection: its accept queue was full"),
            Ending::Shed => ("503", "the server shed load"),
            Ending::RateLimited => ("429", "a rate limiter had no token left"),
            Ending::CircuitOpen => ("503", "a circuit breaker was open"),
            Ending::TimedOut => ("460", "the client stopped waiting"),
            Ending::NotListening => ("502", "the target refused the connection: nothing listens"),
            Ending::NoConnection => ("504", "no connection came about"),
            Ending::Lost => ("502", "the target went away"),
            Ending::CutOff => ("502", "the deregistration delay was over"),
            Ending::NoAnswer => ("504", "no answer within the idle timeout"),
            Ending::CallFailed => ("500", "a call to another service failed"),
            Ending::Error => ("500", "the server answered with an error"),
        }
    }

    /// What the client of a balancer sees that passes connections on.
    pub fn connection(self) -> (&'static str, &'static str) {
        match self {
            Ending::NoTarget => ("refused", "no target is registered"),
            Ending::QueueFull => ("refused", "the accept queue of the target was full"),
            Ending::TimedOut => ("given up", "the client stopped waiting"),
            Ending::NotListening => ("refused", "nothing listens at the target"),
            Ending::NoConnection => ("no connection", "packets were dropped"),
            Ending::Lost => ("reset", "the target went away"),
            Ending::CutOff => ("reset", "the deregistration delay was over"),
            Ending::NoAnswer => ("reset", "nothing was sent within the idle timeout"),
            Ending::Completed
            | Ending::Shed
            | Ending::RateLimited
            | Ending::CircuitOpen
            | Ending::CallFailed
            | Ending::Error => self.status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_endings_are_in_the_order_of_their_numbers() {
        for (number, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, number);
        }
    }
}
