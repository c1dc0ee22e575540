//! How those who submitted a job find out that it is done.

use sim_core::Span;
use sim_core::dist::Dist;

use super::{Backoff, EndpointId, Plan, TrafficId};

/// How the clients of a source learn of their jobs.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// The way.
    pub channel: Channel,
    /// The source that their questions, or what is sent to them, count as.
    pub source: TrafficId,
    /// How long after submitting they lose interest; `None` never.
    pub patience: Option<Span>,
}

/// What a client's waits between two questions are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollClock {
    /// From the answer to the last question: a slow answer makes the next question later.
    Answer,
    /// From when the client learnt that its job was submitted, whether the last question is answered or not.
    Submission,
    /// A clock of the client's own that was running before: the first wait is any part of the interval.
    FreeRunning,
}

/// A way to learn of a job.
#[derive(Clone, Debug)]
pub enum Channel {
    /// They ask again and again.
    Poll {
        /// What they ask for.
        endpoint: EndpointId,
        /// The wait before the first question, from the answer to the submission on; and how it grows.
        every: Backoff,
        /// What the waits are counted from.
        clock: PollClock,
    },
    /// They ask, and the answer is held back until the job is done, or for as long as the endpoint's `await_job` step says.
    LongPoll {
        /// What they ask for.
        endpoint: EndpointId,
        /// The wait between an answer and the next question.
        pause: Span,
    },
    /// They keep a connection open (websocket, server-sent events), over which they are told.
    Push {
        /// The work that telling one makes on the HTTP layer; `None` for none.
        endpoint: Option<EndpointId>,
        /// The way to the client, in nanoseconds.
        takes: Dist,
    },
    /// The client's own server is called.
    Webhook {
        /// A call, in nanoseconds.
        takes: Dist,
        /// The share of calls that fail.
        fails: f64,
        /// The wait before the next call.
        retry: Backoff,
        /// Calls after the first.
        retries: u32,
    },
}

impl Plan {
    /// True of a source that the questions of another's clients count as, and that no scenario states.
    pub fn is_status(&self, source: TrafficId) -> bool {
        self.traffic
            .iter()
            .filter_map(|traffic| traffic.status.as_ref())
            .any(|status| status.source == source)
    }
}
