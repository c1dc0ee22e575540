//! Who starts a process again that has died.

use sim_core::Span;

/// A supervisor: it looks after each process of an instance by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supervisor {
    /// What the log calls it: `pm2`.
    pub name: &'static str,
    /// The wait before a restart, the first of a row where it grows.
    pub delay: Span,
    /// How much longer each further wait of a row is; 1 or more.
    pub backoff: f64,
    /// The longest wait that growing leads to.
    pub most_delay: Span,
    /// A process that has lived longer than this begins a new row.
    pub stable_after: Span,
    /// When it starts a process no more.
    pub give_up: GiveUp,
}

impl Supervisor {
    /// The kubelet, which starts a container again that ends: after 10 s, twice as long each time, at most 5 min, and from the
    /// beginning once it has run for 10 min (`CrashLoopBackOff`).
    pub const KUBELET: Supervisor = Supervisor {
        name: "the kubelet",
        delay: Span::from_secs(10),
        backoff: 2.0,
        most_delay: Span::from_secs(300),
        stable_after: Span::from_secs(600),
        give_up: GiveUp::Never,
    };
}

/// When a supervisor starts a process no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Never.
    Never,
    /// After so many deaths soon after a start.
    Unstable {
        /// How many.
        exits: u32,
        /// A life that was shorter than this counts. It begins with the start, before the app answers.
        min_uptime: Span,
        /// Lives count only so long after the release: pm2 compares with the time at which somebody started the app, and
        /// not with that of its first death. `None` counts those in a row, whenever that begins.
        within: Option<Span>,
    },
    /// Where one more start would be one too many within a while.
    Starts {
        /// Starts that are allowed.
        burst: u32,
        /// How long a while is.
        within: Span,
    },
}
