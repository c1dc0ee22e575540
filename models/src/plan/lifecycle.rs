//! What becomes of a group's instances between their launch and their end.

use sim_core::dist::Dist;
use sim_core::{Span, Time};

use crate::scaling::{HookResult, TerminationPolicy};

/// What a group says of its instances' life. Nothing of it is on unless a scenario says so.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Which instances go first; at least one, `Default` last if at all.
    pub termination_policies: Vec<TerminationPolicy>,
    /// Which instances scale-in spares.
    pub protection: Protection,
    /// Who is waited for at launches and terminations; at most [`Lifecycle::MOST_HOOKS`].
    pub hooks: Vec<LifecycleHook>,
    /// Instances that are prepared beside the group.
    pub warm_pool: Option<WarmPool>,
    /// Processes that are suspended for a while.
    pub suspensions: Vec<Suspension>,
    /// What somebody does with single instances by hand.
    pub actions: Vec<InstanceAction>,
    /// After which an instance is replaced: a day or more.
    pub max_lifetime: Option<Span>,
}

impl Default for Lifecycle {
    /// What a group has that says nothing, and what pods have.
    fn default() -> Self {
        Lifecycle {
            termination_policies: vec![TerminationPolicy::Default],
            protection: Protection::None,
            hooks: Vec::new(),
            warm_pool: None,
            suspensions: Vec::new(),
            actions: Vec::new(),
            max_lifetime: None,
        }
    }
}

impl Lifecycle {
    /// The lifecycle hooks that a group may have (EC2 Auto Scaling, "Quotas").
    pub const MOST_HOOKS: usize = 50;

    /// The hooks of a transition.
    pub fn hooks_on(&self, on: Transition) -> impl Iterator<Item = &LifecycleHook> {
        self.hooks.iter().filter(move |hook| hook.on == on)
    }

    /// True while a process is suspended.
    pub fn suspended(&self, process: Process, now: Time) -> bool {
        let holds = |suspension: &Suspension| {
            suspension.from <= now && suspension.until.is_none_or(|until| now < until)
        };
        self.suspensions.iter().any(|suspension| holds(suspension) && suspension.processes.contains(&process))
    }
}

/// Which instances scale-in spares. Health replacement, terminations by hand and lost zones spare none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Those that somebody protects by hand.
    None,
    /// All that come into service, until somebody says otherwise.
    NewInstances,
    /// Those that have a request or an open session: each protects itself while it works, and lets go when it is done.
    WhileBusy,
}

/// The transition that a hook is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`
    Terminating,
}

/// A lifecycle hook: an instance waits until somebody has done what is to be done, or until that has taken too long.
#[derive(Clone, Debug)]
pub struct LifecycleHook {
    /// Its name, for the log and for the stream of its draws.
    pub name: String,
    /// When it waits.
    pub on: Transition,
    /// How long it waits to hear from who does the work: 30 s to 2 h.
    pub heartbeat_timeout: Span,
    /// What happens when it heard nothing.
    pub default_result: HookResult,
    /// How long the work takes, in nanoseconds; without it nobody does any, and every wait times out.
    pub takes: Option<Dist>,
    /// The share of works that nobody hears the end of, 0 to 1.
    pub fails: f64,
    /// Whether the work records heartbeats while it goes on.
    pub heartbeats: bool,
    /// On its way out: a worker says that it is done once it has no job any more, and not after a time that is drawn.
    pub until_idle: bool,
}

/// A warm pool: instances that are prepared and wait beside the group.
#[derive(Clone, Debug)]
pub struct WarmPool {
    /// The fewest instances in it.
    pub min_size: u32,
    /// How many instances group and pool have together; the group's maximum where it is not said.
    pub max_group_prepared_capacity: Option<u32>,
    /// How they wait.
    pub state: PoolState,
    /// Instances that scale-in takes out go back to the pool.
    pub reuse_on_scale_in: bool,
    /// How long it takes from leaving the pool until the app answers, in nanoseconds. Without it a stopped instance boots
    /// and starts its app again, and others are there at once.
    pub start: Option<Dist>,
    /// The volume of each instance in GiB, which is billed while it is stopped.
    pub volume_gib: f64,
}

/// How the instances of a warm pool wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// Billed for their volumes only.
    Stopped,
    /// Billed for their volumes only; memory is kept on them.
    Hibernated,
    /// Billed as any that runs.
    Running,
}

/// Processes of a group that are suspended for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspension {
    /// Which.
    pub processes: Vec<Process>,
    /// From when.
    pub from: Time,
    /// Until when; `None` until the run is over.
    pub until: Option<Time>,
}

/// A process of EC2 Auto Scaling that can be suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// No instance is launched: the group does not grow, and what is terminated is not replaced.
    Launch,
    /// No instance is terminated: not at scale-in, not when it is unhealthy, not to rebalance.
    Terminate,
    /// Instances that come into service are not registered with balancers, and stay so.
    AddToLoadBalancer,
    /// Alarms invoke no policy.
    AlarmNotification,
    /// Zones are not evened out.
    AzRebalance,
    /// Checks by EC2 and by balancers mark nobody as unhealthy.
    HealthCheck,
    /// No instance refresh goes on.
    InstanceRefresh,
    /// Unhealthy instances stay.
    ReplaceUnhealthy,
    /// Scheduled actions are skipped.
    ScheduledActions,
}

impl Process {
    /// All of them, in the order of their names.
    pub const ALL: [Process; 9] = [
        Process::AddToLoadBalancer,
        Process::AlarmNotification,
        Process::AzRebalance,
        Process::HealthCheck,
        Process::InstanceRefresh,
        Process::Launch,
        Process::ReplaceUnhealthy,
        Process::ScheduledActions,
        Process::Terminate,
    ];

    /// Its name in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Process::AddToLoadBalancer => "add-to-load-balancer",
            Process::AlarmNotification => "alarm-notification",
            Process::AzRebalance => "az-rebalance",
            Process::HealthCheck => "health-check",
            Process::InstanceRefresh => "instance-refresh",
            Process::Launch => "launch",
            Process::ReplaceUnhealthy => "replace-unhealthy",
            Process::ScheduledActions => "scheduled-actions",
            Process::Terminate => "terminate",
        }
    }
}

/// What somebody does with single instances by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceAction {
    /// When.
    pub at: Time,
    /// With how many: those in service longest that it can be done with; of those in standby, the longest there.
    pub count: u32,
    /// What.
    pub kind: InstanceActionKind,
}

/// What somebody does with an instance by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceActionKind {
    /// `SetInstanceProtection`, on.
    Protect,
    /// `SetInstanceProtection`, off.
    Unprotect,
    /// `EnterStandby`: it stays, and is neither in service nor checked.
    EnterStandby {
        /// The desired capacity goes down with it; else another is launched in its place.
        decrement: bool,
    },
    /// `ExitStandby`: it comes into service again, and the desired capacity goes up with it.
    ExitStandby,
    /// `DetachInstances`: it leaves the group, and goes on without it.
    Detach {
        /// The desired capacity goes down with it; else another is launched in its place.
        decrement: bool,
    },
    /// `TerminateInstanceInAutoScalingGroup`: it is terminated, protected or not.
    Terminate {
        /// The desired capacity goes down with it; else another is launched in its place.
        decrement: bool,
    },
    /// EC2's own `StopInstances`, of which the group is not told: it finds an instance that does not run.
    Stop,
    /// `SetInstanceHealth`, to `Unhealthy`.
    SetUnhealthy {
        /// Within the grace period it is ignored.
        respect_grace_period: bool,
    },
}
