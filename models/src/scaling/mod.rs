//! Scaling policies as pure functions of what the control plane could have seen: period-aligned, aggregated, late
//! metrics, the group's size, and the clock. Each returns a decision with its reason in words and numbers; one
//! controller, [`crate::system`], carries it out.
//!
//! The semantics are those that AWS documents, and where it documents none, those that were observed: see
//! `docs/models.md`. [`hpa`] and [`keda`] are what scales pods; they have clocks of their own.

mod adjustment;
mod alarm;
mod cooldown;
mod forecast;
pub mod hpa;
pub mod keda;
mod lifecycle;
mod metric;
mod metric_alarm;
mod mig;
mod mixed;
mod policy;
mod predictive;
pub mod refresh;
mod schedule;
mod simple;
mod statistic;
mod step;
mod target_tracking;
mod termination;
mod vmss;

pub use adjustment::{Adjustment, AdjustmentType, capacity_for, clamped, rounded};
pub use alarm::{Alarm, AlarmState, Comparison, MissingData};
pub use cooldown::{ActivityState, Cooldown, Trigger, effective_cooldown};
pub use forecast::{
    Forecast, HORIZON, LEAST_HISTORY, LEVELS, MOST_HISTORY, SEASONS, Smoothing, forecast, mape,
};
pub use lifecycle::{
    HookEnd, HookResult, LEAST_HEARTBEAT, LEAST_LIFETIME, MOST_HEARTBEAT, ZoneCount, expired_at_once,
    global_timeout, hook_end, hooks_end, is_lifetime, launches_to_balance, rebalance_ceiling, warm_pool_size,
};
pub use metric::{Datapoint, Datapoints, MOST_EVALUATED, Sampling};
pub use metric_alarm::{Actions, MetricAlarm};
pub use mig::{
    Held, LONGEST_WINDOW, Mig, MigMemory, MigMode, MigSchedule, MigSignal, MigView, MostRemoved,
    Recommendation, STABILIZATION, ScaleInControl,
};
pub use mixed::{
    MOST_WEIGHT, OnDemandAllocation, Pool, Purchase, SpotAllocation, choose_pool, hard_limit, is_short,
    is_too_much, on_demand_units, price_per_unit,
};
pub use policy::{
    AlarmName, Consent, Decision, Memory, Metric, Observation, Policy, Transition, Verdict, combine,
    effective_warmup,
};
pub use predictive::{
    Forecaster, HourForecast, MaxCapacityBreach, PastLoad, Predictive, PredictiveMode, desired_for,
    effective_max,
};
pub use schedule::{ScheduledAction, Size, apply, set_desired};
pub use simple::SimpleScaling;
pub use statistic::{Samples, Statistic};
pub use step::{Aggregation, MOST_STEPS, Step, StepScaling};
pub use target_tracking::TargetTracking;
pub use termination::{Candidate, LaunchedFrom, TerminationPolicy, choose, equals, surplus, to_next_hour};
pub use vmss::{
    Direction, GrainValue, TimeAggregation, Vmss, VmssChange, VmssMemory, VmssProfile, VmssReason, VmssRule,
    VmssStatistic, VmssView,
};

/// How many instances that fail their target group's checks a group replaces at once: a tenth of its desired capacity, and
/// at least one (EC2 Auto Scaling, "Health checks for instances in an Auto Scaling group").
pub fn replaced_at_once(desired: u32) -> u32 {
    (desired / 10).max(1)
}

/// The documentation's code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-policy.md")]
struct AddingAPolicy;
