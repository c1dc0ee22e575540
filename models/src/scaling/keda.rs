//! KEDA: from none to some and back, and the HPA in between.
//!
//! A trigger is polled. It is active while its value is above its activation; the first active poll brings a target from
//! nothing to its minimum or to one, and when none has been active for the cooldown period it goes back. Everything else is
//! left to an HPA with an external metric by pod, whose smallest size is the minimum, or one.
//!
//! Source: KEDA 2.19 documentation, "Scaling Deployments" and the queue scalers.

use sim_core::{Span, Time};

/// How often triggers are polled.
pub const POLLING_INTERVAL: Span = Span::from_secs(30);
/// How long after the last active poll a target goes to nothing.
pub const COOLDOWN_PERIOD: Span = Span::from_secs(300);
/// `maxReplicaCount`.
pub const MAX_REPLICA_COUNT: u32 = 100;

/// What KEDA is told of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Keda {
    /// Triggers, at least one.
    pub triggers: Vec<Trigger>,
    /// See [`POLLING_INTERVAL`].
    pub polling_interval: Span,
    /// See [`COOLDOWN_PERIOD`].
    pub cooldown_period: Span,
    /// The target does not go to nothing in this time after it was made.
    pub initial_cooldown_period: Span,
    /// The idle target has no replicas, although the minimum is more (`idleReplicaCount: 0`).
    pub idles_at_zero: bool,
}

/// What a target is scaled by.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// What it is called.
    pub name: String,
    /// How much of it is for one pod.
    pub target: f64,
    /// It is active above this.
    pub activation: f64,
}

/// What KEDA remembers of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// When a trigger was active last.
    pub last_active: Option<Time>,
}

/// What a poll comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// How many replicas there are to be; `None` leaves them to the HPA.
    pub replicas: Option<u32>,
    /// Why.
    pub why: Why,
    /// The same in words and numbers.
    pub description: String,
}

/// Why a poll did what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It became active.
    Activated,
    /// It has been idle for long enough.
    Deactivated,
    /// It is active, and the HPA scales it.
    LeftToHpa,
    /// It is idle, and there is nothing already.
    Idle,
    /// It is idle, and the cooldown period is not over.
    CoolingDown,
    /// It is idle, and never goes to nothing.
    AtMinimum,
}

impl Keda {
    /// Polls the triggers; `values` has one for each.
    pub fn poll(&self, memory: &mut Memory, values: &[f64], (replicas, min): (u32, u32), now: Time) -> Poll {
        let active = self.triggers.iter().zip(values).find(|(trigger, value)| **value > trigger.activation);
        let poll = |replicas, why, description| Poll { replicas, why, description };
        if let Some((trigger, value)) = active {
            memory.last_active = Some(now);
            let seen =
                format!("{} is {value:.1}, above its activation of {}", trigger.name, trigger.activation);
            let from = min.max(1);
            return if replicas == 0 {
                poll(Some(from), Why::Activated, format!("{seen}: from 0 to {from} pods."))
            } else {
                poll(None, Why::LeftToHpa, format!("{seen}: the HPA scales it."))
            };
        }
        if replicas == 0 {
            return poll(None, Why::Idle, "No trigger is active, and there are no pods.".into());
        }
        if min > 0 && !self.idles_at_zero {
            return poll(None, Why::AtMinimum, format!("No trigger is active; {min} pods are the minimum."));
        }
        // What was never active has nothing to cool down from, and goes once the initial period is over.
        let left = match memory.last_active {
            Some(last) => self.cooldown_period.saturating_sub(now.since(last)),
            None => self.initial_cooldown_period.saturating_sub(now.since(Time::ZERO)),
        };
        let idle = match memory.last_active {
            Some(last) => format!("No trigger has been active for {}", now.since(last)),
            None => "No trigger has been active yet".to_string(),
        };
        if !left.is_zero() {
            let words = format!("{idle}; {left} of the cooldown are left.");
            return poll(None, Why::CoolingDown, words);
        }
        let words = format!("{idle}: from {replicas} to 0 pods.");
        poll(Some(0), Why::Deactivated, words)
    }
}
