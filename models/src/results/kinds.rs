//! Why a window broke its objective, and what happened when.

use serde::{Deserialize, Serialize};

/// Why a window broke its objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// No instance could take requests.
    NoHealthyInstance,
    /// An instance was lost.
    InstanceLost,
    /// An Availability Zone was lost, with all instances in it.
    ZoneLost,
    /// Processes died, and were started again or were not.
    ProcessDied,
    /// CPU work took longer on some instances: a grey failure.
    SlowInstance,
    /// What the service waits for outside the model was slow or failed.
    DependencyFailed,
    /// Clients whose connections had been lost came back together.
    ReconnectStorm,
    /// The fleet was overloaded at its maximum size.
    AtMaximumSize,
    /// Overloaded, and new instances were still starting or warming up.
    StillWarmingUp,
    /// Overloaded, and the alarm had not seen enough datapoints.
    AlarmNotYetInAlarm,
    /// Overloaded, and a cooldown held the policy back.
    InCooldown,
    /// Overloaded, and what the policy watches was not above its target.
    WithinTarget,
    /// Overloaded, and no policy watches the group.
    NoScalingPolicy,
    /// One event loop was at its limit while its machine had idle cores.
    LoopSaturated,
    /// One worker or one instance had far more to do than the others.
    UnevenlySpread,
    /// Health checks took instances out that were up, and left their load to the others.
    TargetsUnhealthy,
    /// A CPU quota ran out and the instance stood still until the next period.
    Throttled,
    /// Instances had no CPU credits left and ran at their baseline.
    OutOfCredits,
    /// The way to a balancer took longer, or lost packets.
    Network,
    /// Other programs of the machine took its vCPUs.
    NoisyNeighbour,
    /// Requests waited at their clients, whose connections were all taken.
    ConnectionsExhausted,
    /// Every thread was taken while cores were idle.
    ThreadsExhausted,
    /// Clients tried again so often that they kept a group overloaded which could have served what they asked for.
    RetryStorm,
    /// A rate limiter, a circuit breaker or a server that sheds load turned requests away, and there was room for them.
    TurnedAway,
    /// User data failed on instances that were launched, which run without their app.
    StartFailed,
    /// A release took instances out that the load needed.
    Release,
    /// The service itself answered with errors.
    ServerErrors,
    /// Fewer instances were in service than before: they were taken out while the load needed them.
    ScaledIn,
    /// Backlog of an earlier overload was still being worked off, or clients retried.
    Backlog,
    /// The CPUs were busy enough to make requests wait, though not overloaded.
    HighUtilisation,
    /// The service itself is slower than the objective, at any load.
    ServiceTime,
    /// Jobs waited in their queue for workers, of which there were too few.
    TooFewWorkers,
    /// Jobs waited in their queue while workers were starting.
    WorkersStarting,
    /// Jobs waited in their queue, and consumers had nothing to do.
    ConsumersIdle,
    /// Workers went away with jobs in their hands, which were delivered again later.
    JobsCut,
    /// Tries of jobs failed, and were repeated.
    TriesFailed,
    /// Jobs failed too often, and are dead letters.
    DeadLetters,
    /// Jobs were lost: with their worker, by the end of their retention period, or by a queue that was full.
    JobsLost,
    /// Jobs were done in time, and their clients knew late.
    AskedLate,
}

/// Kinds of activities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// A policy raised the desired capacity.
    ScaleOut,
    /// A policy lowered it.
    ScaleIn,
    /// A scheduled action ran.
    Scheduled,
    /// Somebody set it by hand, or did something with single instances or processes.
    Manual,
    /// A balancer took an instance that is up out of its rotation.
    Unhealthy,
    /// An instance was launched.
    Launch,
    /// An instance became healthy and takes requests.
    Healthy,
    /// An instance is being taken out of service.
    Terminate,
    /// An instance crashed, or a process of it.
    Crash,
    /// A process that was started again died again.
    FailedStart,
    /// A process that had died is up again.
    Restarted,
    /// A supervisor starts a process no more.
    GaveUp,
    /// The provider said that a Spot instance is at risk.
    RebalanceRecommendation,
    /// The provider said when a Spot instance ends.
    InterruptionNotice,
    /// A Spot instance was taken back.
    Interruption,
    /// An incident began that has an end.
    IncidentBegan,
    /// An incident is over.
    IncidentOver,
    /// An unhealthy instance is being replaced.
    Replace,
    /// A circuit breaker lets nobody through.
    CircuitOpened,
    /// A circuit breaker lets some through, to try.
    CircuitHalfOpen,
    /// A circuit breaker lets everybody through again.
    CircuitClosed,
    /// Something is wrong with the network.
    Network,
    /// An instance waits in a lifecycle hook, or a warm pool changes.
    Lifecycle,
    /// A group evens out its zones.
    Rebalance,
    /// A release began.
    ReleaseStarted,
    /// A release goes on, or waits.
    ReleaseProgress,
    /// A release is through.
    ReleaseSucceeded,
    /// A release was refused, or has failed.
    ReleaseFailed,
    /// An alarm changed state.
    Alarm,
    /// A policy decided not to act.
    NoAction,
}
