//! Instance refresh: how a group's instances are replaced in batches, as a state machine without a simulation. It is told
//! sizes, health, warmth and the clock, and says what to replace now, or what it waits for.
//!
//! Sources: EC2 Auto Scaling, "Replace Auto Scaling instances based on an instance refresh" and "Add checkpoints to an
//! instance refresh". What rests on less is marked in `docs/models.md`.

use sim_core::{Span, Time};

/// How long a refresh tries to get a batch healthy, or a group healthy enough for the next, before it fails.
pub const RETRY_TIMEOUT: Span = Span::from_secs(3_600);
/// The longest that a refresh may take.
pub const LONGEST: Span = Span::from_secs(14 * 86_400);

/// What a refresh is asked to do; names and defaults are those of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Percent of the desired capacity that stay in service and healthy, 0 to 100: `MinHealthyPercentage`.
    pub min_healthy: u32,
    /// Percent of the desired capacity that may be there at once, 100 to 200: `MaxHealthyPercentage`. Above 100 new instances
    /// are launched before old ones are terminated.
    pub max_healthy: u32,
    /// How long a new instance is watched before the next batch; `None` is the group's.
    pub instance_warmup: Option<Span>,
    /// Percent replaced at which it pauses, ascending, 1 to 100. A last one below 100 ends it there.
    pub checkpoints: Vec<u32>,
    /// How long it pauses at each.
    pub checkpoint_delay: Span,
    /// How long it watches all once everything is replaced.
    pub bake_time: Span,
    /// Instances that are of the desired version already stay.
    pub skip_matching: bool,
}

impl Default for Preferences {
    /// Those of the API.
    fn default() -> Self {
        Preferences {
            min_healthy: 90,
            max_healthy: 100,
            instance_warmup: None,
            checkpoints: Vec::new(),
            checkpoint_delay: Span::from_secs(3_600),
            bake_time: Span::ZERO,
            skip_matching: false,
        }
    }
}

impl Preferences {
    /// Those of the rollback: at the same pace, and without a pause (AWS: checkpoints and bake time are not honoured).
    pub fn of_rollback(&self) -> Preferences {
        Preferences { checkpoints: Vec::new(), bake_time: Span::ZERO, skip_matching: true, ..self.clone() }
    }
}

/// A refresh in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    started: Time,
    /// Old instances that were taken out so far.
    replaced: u32,
    /// Checkpoints that are behind it.
    passed: usize,
    /// Instances of the batch that were launched first, whose old ones are still there.
    launched_first: u32,
    stage: Stage,
    /// The last time that fewer were awaited, and how many still are.
    progress: (Time, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two batches.
    Ready,
    /// A batch is on its way.
    Batch,
    /// It pauses.
    Checkpoint { percent: u32, until: Time },
    /// All is done, and watched.
    Baking { until: Time },
}

/// What a refresh can see of its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The clock.
    pub now: Time,
    /// The desired capacity.
    pub desired: u32,
    /// Instances that are to be replaced, and are healthy.
    pub old: u32,
    /// Instances that are to be replaced, and are not.
    pub old_unhealthy: u32,
    /// Other instances that are launched and not healthy yet, or no longer.
    pub starting: u32,
    /// Other instances that are healthy, and not warm.
    pub warming: u32,
    /// Other instances that are healthy and warm.
    pub ready: u32,
    /// When the last of those that warm up is warm.
    pub warm_at: Option<Time>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch begins.
    Replace {
        /// Old instances to terminate now, whose replacements are launched meanwhile.
        terminate: u32,
        /// Instances to launch on top of the desired capacity, before more old ones go.
        launch: u32,
    },
    /// What was launched first is ready: so many old instances go.
    Terminate(u32),
    /// Nothing, for this reason.
    Wait(Wait),
    /// It is over: so many percent are replaced.
    Succeeded {
        /// 100, or the last checkpoint reached.
        percent: u32,
    },
    /// It has failed.
    Failed(Failure),
}

/// What a refresh waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// New instances are not healthy yet.
    Health {
        /// How many.
        instances: u32,
        /// When it gives up.
        until: Time,
    },
    /// New instances are healthy and warm up.
    WarmUp {
        /// How many.
        instances: u32,
        /// Until when.
        until: Time,
    },
    /// Too few instances are healthy for another to go.
    Capacity {
        /// Healthy instances.
        healthy: u32,
        /// The desired capacity.
        desired: u32,
        /// When it gives up.
        until: Time,
    },
    /// A checkpoint was reached.
    Checkpoint {
        /// Which: the last of those that were passed at once.
        percent: u32,
        /// Until when.
        until: Time,
    },
    /// Everything is replaced, and watched.
    Bake {
        /// Until when.
        until: Time,
    },
}

/// Why a refresh has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Instances did not become healthy.
    NotHealthy {
        /// How many.
        instances: u32,
    },
    /// The group was not healthy enough to go on.
    TooFewHealthy {
        /// Healthy instances.
        healthy: u32,
        /// The desired capacity.
        desired: u32,
    },
    /// It took two weeks.
    TookTooLong,
}

impl Refresh {
    /// One that begins.
    pub fn new(now: Time) -> Self {
        Refresh {
            started: now,
            replaced: 0,
            passed: 0,
            launched_first: 0,
            stage: Stage::Ready,
            progress: (now, u32::MAX),
        }
    }

    /// Old instances that were taken out so far.
    pub fn replaced(&self) -> u32 {
        self.replaced
    }

    /// Instances above the desired capacity that it wants.
    pub fn surplus(&self) -> u32 {
        self.launched_first
    }

    /// Percent of all that is to be replaced.
    pub fn percent(&self, seen: &Seen) -> u32 {
        let total = u64::from(self.replaced) + u64::from(seen.old + seen.old_unhealthy);
        (100 * u64::from(self.replaced)).checked_div(total).unwrap_or(100) as u32
    }

    /// What is to be done now. Whatever it says is taken as done.
    pub fn decide(&mut self, preferences: &Preferences, seen: &Seen) -> Step {
        if seen.now.since(self.started) >= LONGEST {
            return Step::Failed(Failure::TookTooLong);
        }
        match self.stage {
            Stage::Baking { until } if seen.now < until => return Step::Wait(Wait::Bake { until }),
            Stage::Baking { .. } => return Step::Succeeded { percent: self.percent(seen) },
            Stage::Checkpoint { percent, until } if seen.now < until => {
                return Step::Wait(Wait::Checkpoint { percent, until });
            }
            Stage::Checkpoint { .. } => self.stage = Stage::Ready,
            Stage::Batch => {
                if let Some(step) = self.batch(preferences, seen) {
                    return step;
                }
            }
            Stage::Ready => {}
        }
        self.next_batch(preferences, seen)
    }

    /// A batch that is on its way: what it waits for, or what comes once it is there.
    fn batch(&mut self, preferences: &Preferences, seen: &Seen) -> Option<Step> {
        let there = seen.old + seen.old_unhealthy + seen.starting + seen.warming + seen.ready;
        let missing = (seen.desired + self.launched_first).saturating_sub(there);
        let awaited = seen.starting + missing;
        if awaited > 0 {
            let until = self.retries_until(awaited, seen.now);
            let failed = seen.now >= until;
            return Some(match failed {
                true => Step::Failed(Failure::NotHealthy { instances: awaited }),
                false => Step::Wait(Wait::Health { instances: awaited, until }),
            });
        }
        if let Some(until) = seen.warm_at.filter(|_| seen.warming > 0) {
            return Some(Step::Wait(Wait::WarmUp { instances: seen.warming, until }));
        }
        self.progress = (seen.now, u32::MAX);
        if self.launched_first > 0 {
            let old = seen.old + seen.old_unhealthy;
            let count = std::mem::take(&mut self.launched_first).min(old);
            self.replaced += count;
            return Some(Step::Terminate(count));
        }
        self.stage = Stage::Ready;
        self.checkpoint(preferences, seen)
    }

    /// A batch is done: the checkpoints that it has passed, of which the last one counts.
    fn checkpoint(&mut self, preferences: &Preferences, seen: &Seen) -> Option<Step> {
        let percent = self.percent(seen);
        let rest = &preferences.checkpoints[self.passed.min(preferences.checkpoints.len())..];
        let reached = rest.iter().take_while(|&&threshold| percent >= threshold).count();
        self.passed += reached;
        let last = self.passed >= preferences.checkpoints.len() && !preferences.checkpoints.is_empty();
        if percent >= 100 || last {
            return Some(self.all_replaced(preferences, seen));
        }
        let &percent = reached.checked_sub(1).and_then(|index| rest.get(index))?;
        if preferences.checkpoint_delay.is_zero() {
            return None;
        }
        let until = seen.now + preferences.checkpoint_delay;
        self.stage = Stage::Checkpoint { percent, until };
        Some(Step::Wait(Wait::Checkpoint { percent, until }))
    }

    fn all_replaced(&mut self, preferences: &Preferences, seen: &Seen) -> Step {
        if preferences.bake_time.is_zero() {
            return Step::Succeeded { percent: self.percent(seen) };
        }
        let until = seen.now + preferences.bake_time;
        self.stage = Stage::Baking { until };
        Step::Wait(Wait::Bake { until })
    }

    /// Takes as many as the group can do without, and no more than the next checkpoint asks for.
    fn next_batch(&mut self, preferences: &Preferences, seen: &Seen) -> Step {
        let old = seen.old + seen.old_unhealthy;
        if old == 0 {
            return self.all_replaced(preferences, seen);
        }
        let wanted = old.min(self.until_checkpoint(preferences, old));
        let healthy = seen.old + seen.warming + seen.ready;
        let launch = launched_first(seen.desired, preferences.max_healthy).min(wanted);
        let most = terminated_first(seen.desired, preferences);
        // Those that are unhealthy can go without anybody missing them.
        let down = seen.desired.saturating_sub(healthy);
        let room = (most + seen.old_unhealthy).saturating_sub(down).min(most.max(seen.old_unhealthy));
        let terminate = room.min(wanted - launch);
        if launch + terminate == 0 {
            let until = self.retries_until(down, seen.now);
            let desired = seen.desired;
            return match seen.now >= until {
                true => Step::Failed(Failure::TooFewHealthy { healthy, desired }),
                false => Step::Wait(Wait::Capacity { healthy, desired, until }),
            };
        }
        self.stage = Stage::Batch;
        self.progress = (seen.now, u32::MAX);
        self.replaced += terminate;
        self.launched_first = launch;
        Step::Replace { terminate, launch }
    }

    /// How many more have to be replaced for the next checkpoint.
    fn until_checkpoint(&self, preferences: &Preferences, old: u32) -> u32 {
        let threshold = u64::from(preferences.checkpoints.get(self.passed).copied().unwrap_or(100));
        let total = u64::from(self.replaced) + u64::from(old);
        let target = (total * threshold).div_ceil(100);
        target.saturating_sub(u64::from(self.replaced)).max(1) as u32
    }

    /// When it gives up, given that it still waits for so many. Each one that comes begins a new hour.
    fn retries_until(&mut self, awaited: u32, now: Time) -> Time {
        if awaited < self.progress.1 {
            self.progress = (now, awaited);
        }
        self.progress.0 + RETRY_TIMEOUT
    }
}

/// How many instances a refresh replaces at once: what is above the minimum, which is rounded up to whole instances, and at
/// least one. So 100 % is one at a time, and 0 % all at once.
pub fn at_once(desired: u32, min_healthy: u32) -> u32 {
    let healthy = (u64::from(desired) * u64::from(min_healthy.min(100))).div_ceil(100) as u32;
    (desired - healthy).max(1)
}

/// How many instances come before old ones go: what the maximum is above the desired capacity, rounded down to whole
/// instances, and at least one where it is above at all.
fn launched_first(desired: u32, max_healthy: u32) -> u32 {
    match max_healthy.saturating_sub(100) {
        0 => 0,
        above => ((u64::from(desired) * u64::from(above) / 100) as u32).max(1),
    }
}

/// How many go before their replacements are there. Where new ones come first, a minimum of 100 % lets none go.
fn terminated_first(desired: u32, preferences: &Preferences) -> u32 {
    let most = at_once(desired, preferences.min_healthy);
    let healthy = (u64::from(desired) * u64::from(preferences.min_healthy)).div_ceil(100) as u32;
    if preferences.max_healthy > 100 { most.min(desired.saturating_sub(healthy)) } else { most }
}

/// How long a refresh watches a new instance: its own warm-up, else the group's, else the grace period of the health check.
/// A zero counts as set.
pub fn refresh_warmup(own: Option<Span>, group: Option<Span>, grace_period: Span) -> Span {
    own.or(group).unwrap_or(grace_period)
}

impl Wait {
    /// When it has to be looked at again at the latest.
    pub fn until(&self) -> Time {
        match *self {
            Wait::Health { until, .. }
            | Wait::WarmUp { until, .. }
            | Wait::Capacity { until, .. }
            | Wait::Checkpoint { until, .. }
            | Wait::Bake { until } => until,
        }
    }

    /// True where both wait for the same, whatever the numbers.
    pub fn same(&self, other: &Wait) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = |count: u32| if count == 1 { "instance" } else { "instances" };
        match *self {
            Wait::Health { instances, .. } => {
                write!(f, "{instances} {} to become healthy", one(instances))
            }
            Wait::WarmUp { instances, until } => {
                write!(f, "{instances} {} to warm up until {until}", one(instances))
            }
            Wait::Capacity { healthy, desired, .. } => {
                write!(f, "more healthy instances: {healthy} of {desired} are")
            }
            Wait::Checkpoint { percent, until } => {
                write!(f, "the delay of the checkpoint at {percent} % to be over at {until}")
            }
            Wait::Bake { until } => write!(f, "the bake time to be over at {until}"),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = |count: u32| if count == 1 { "instance" } else { "instances" };
        match *self {
            Failure::NotHealthy { instances } => {
                write!(f, "{instances} new {} did not become healthy within {RETRY_TIMEOUT}", one(instances))
            }
            Failure::TooFewHealthy { healthy, desired } => {
                write!(f, "only {healthy} of {desired} instances were healthy for {RETRY_TIMEOUT}")
            }
            Failure::TookTooLong => write!(f, "it took {LONGEST}"),
        }
    }
}
