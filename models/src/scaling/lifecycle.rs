//! The numbers behind an instance's life in its group: zones that are out of balance, lifecycle hooks, warm pools and
//! lifetimes. Pure functions; [`crate::system`] does what they say.

use sim_core::Span;

/// The shortest maximum lifetime of instances: a day.
pub const LEAST_LIFETIME: Span = Span::from_secs(86_400);

/// The shortest heartbeat timeout of a lifecycle hook (EC2 Auto Scaling API).
pub const LEAST_HEARTBEAT: Span = Span::from_secs(30);

/// The longest heartbeat timeout of a lifecycle hook (EC2 Auto Scaling API).
pub const MOST_HEARTBEAT: Span = Span::from_secs(7_200);

/// The longest that an instance stays in a wait state, whatever its heartbeats say.
const MOST_WAIT: Span = Span::from_secs(48 * 3_600);

/// How many instances a group may have for a while, so that rebalancing can launch before it terminates: a tenth above its
/// maximum, rounded down, and at least one (EC2 Auto Scaling, "Benefits": rebalancing activities. That the tenth is
/// rounded down is assumed).
pub fn rebalance_ceiling(max: u32) -> u32 {
    max.saturating_add((max / 10).max(1))
}

/// A zone that takes launches, to see whether zones are in balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneCount {
    /// Its index.
    pub zone: u16,
    /// The instances that count in it.
    pub instances: u32,
    /// Those of them that are not protected from scale-in.
    pub open: u32,
}

/// The zones where a group has to launch an instance each until none has two more than another, once `too_many` have gone
/// from the fullest. Zones whose instances are all protected give none.
pub fn launches_to_balance(zones: &[ZoneCount], too_many: u32) -> Vec<u16> {
    let mut zones = zones.to_vec();
    for _ in 0..too_many {
        if give(&mut zones, 0).is_none() {
            break;
        }
    }
    let mut launches = Vec::new();
    while let Some(fewest) = (0..zones.len()).min_by_key(|&at| (zones[at].instances, zones[at].zone)) {
        let least = zones[fewest].instances + 2;
        if give(&mut zones, least).is_none() {
            break;
        }
        zones[fewest].instances += 1;
        zones[fewest].open += 1;
        launches.push(zones[fewest].zone);
    }
    launches
}

/// The fullest zone with somebody to give, if it has at least so many, has one fewer.
fn give(zones: &mut [ZoneCount], least: u32) -> Option<()> {
    let open = zones.iter_mut().filter(|zone| zone.open > 0);
    let fullest = open.max_by_key(|zone| zone.instances).filter(|zone| zone.instances >= least)?;
    fullest.instances -= 1;
    fullest.open -= 1;
    Some(())
}

/// How long a lifecycle hook can keep an instance waiting however many heartbeats are recorded: a hundred times the heartbeat
/// timeout, and no more than 48 hours (EC2 Auto Scaling, "Lifecycle hooks").
pub fn global_timeout(heartbeat_timeout: Span) -> Span {
    Span::from_nanos(heartbeat_timeout.as_nanos().saturating_mul(100)).min(MOST_WAIT)
}

/// What a lifecycle action ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookResult {
    /// The instance goes on: into service, or to its end.
    Continue,
    /// At a launch the instance is terminated, and replaced; at a termination other hooks are not waited for.
    Abandon,
}

/// How a wait in a lifecycle hook ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookEnd {
    /// How long it took.
    pub after: Span,
    /// What it ended with.
    pub result: HookResult,
    /// Nobody completed the action in time, and the result is the hook's default.
    pub timed_out: bool,
}

/// How a wait in a hook ends: with `CONTINUE` once the work is done, in time; else with the hook's `default` when its timeout
/// is over. `takes` is how long the work takes, `None` where nobody does any; `fails` that nobody hears of its end.
/// With `heartbeats` the work says that it goes on, so that only the global timeout ends it early.
pub fn hook_end(
    heartbeat_timeout: Span,
    default: HookResult,
    takes: Option<Span>,
    fails: bool,
    heartbeats: bool,
) -> HookEnd {
    let global = global_timeout(heartbeat_timeout);
    let silent_from = takes.filter(|_| heartbeats).unwrap_or(Span::ZERO);
    let timeout = match (heartbeats && takes.is_some(), fails) {
        (false, _) => heartbeat_timeout.min(global),
        (true, false) => global,
        (true, true) => (silent_from + heartbeat_timeout).min(global),
    };
    match takes.filter(|&takes| !fails && takes <= timeout) {
        Some(after) => HookEnd { after, result: HookResult::Continue, timed_out: false },
        None => HookEnd { after: timeout, result: default, timed_out: true },
    }
}

/// How the waits in several hooks end together: at launches all must continue, and the first that does not ends them all;
/// at terminations an `ABANDON` ends the others' waits as well.
pub fn hooks_end(ends: &[HookEnd]) -> Option<HookEnd> {
    let abandoned = ends.iter().filter(|end| end.result == HookResult::Abandon).min_by_key(|end| end.after);
    let last = ends.iter().max_by_key(|end| end.after);
    match (abandoned, last) {
        (Some(abandoned), _) => Some(*abandoned),
        (None, last) => last.copied(),
    }
}

/// How many instances a warm pool has: what the group may have prepared beyond its desired capacity, and at least the pool's
/// minimum (EC2 Auto Scaling, "Warm pools"). What may be prepared is the group's maximum unless it is said otherwise.
pub fn warm_pool_size(desired: u32, max: u32, max_prepared: Option<u32>, min_size: u32) -> u32 {
    max_prepared.unwrap_or(max).saturating_sub(desired).max(min_size)
}

/// Whether a maximum lifetime is one that a group may have: none at all, written as zero, or a day and more.
pub fn is_lifetime(lifetime: Span) -> bool {
    lifetime.is_zero() || lifetime >= LEAST_LIFETIME
}

/// How many instances that are past their maximum lifetime a group replaces at once: one; where more than one is past it, so
/// that one at a time takes too long, up to a tenth of its capacity. `under_way` replacements count. When time is
/// short is not documented; that several are overdue is our reading.
pub fn expired_at_once(expired: u32, capacity: u32, under_way: u32) -> u32 {
    let at_once = if expired + under_way > 1 { (capacity / 10).max(1) } else { 1 };
    at_once.saturating_sub(under_way).min(expired)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Span {
        Span::from_secs(seconds)
    }

    #[test]
    fn a_hook_ends_with_its_work_or_with_its_timeout() {
        let end = |takes, fails, heartbeats| hook_end(s(600), HookResult::Abandon, takes, fails, heartbeats);
        let done = |after| HookEnd { after, result: HookResult::Continue, timed_out: false };
        let late = |after| HookEnd { after, result: HookResult::Abandon, timed_out: true };
        assert_eq!(end(Some(s(600)), false, false), done(s(600)));
        assert_eq!(end(Some(s(601)), false, false), late(s(600)));
        assert_eq!(end(Some(s(60)), true, false), late(s(600)));
        assert_eq!(end(None, false, true), late(s(600)), "nobody records heartbeats either");
        assert_eq!(end(Some(s(50_000)), false, true), done(s(50_000)));
        assert_eq!(end(Some(s(60_001)), false, true), late(s(60_000)), "a hundred times ten minutes");
        assert_eq!(end(Some(s(60)), true, true), late(s(660)), "silent after a minute");
    }

    #[test]
    fn one_abandoned_action_is_enough() {
        let end = |after, result| HookEnd { after: s(after), result, timed_out: false };
        let (go, stop) = (HookResult::Continue, HookResult::Abandon);
        assert_eq!(hooks_end(&[end(5, go), end(9, go)]), Some(end(9, go)));
        assert_eq!(hooks_end(&[end(5, go), end(9, stop), end(7, stop)]), Some(end(7, stop)));
        assert_eq!(hooks_end(&[]), None);
    }

    #[test]
    fn zones_are_in_balance_when_none_has_two_more_than_another() {
        let zones = |counts: &[(u32, u32)]| -> Vec<ZoneCount> {
            let zone = |(zone, &(instances, open)): (u16, &(u32, u32))| ZoneCount { zone, instances, open };
            (0u16..).zip(counts).map(zone).collect()
        };
        let launches = |counts: &[(u32, u32)], too_many| launches_to_balance(&zones(counts), too_many);
        assert_eq!(launches(&[(3, 3), (0, 0), (3, 3)], 0), [1, 1]);
        assert_eq!(launches(&[(2, 2), (1, 1), (2, 2)], 0), []);
        assert_eq!(launches(&[(9, 9), (0, 0)], 0), [1, 1, 1, 1]);
        assert_eq!(launches(&[(5, 5), (3, 3), (4, 4)], 3), [], "three are on their way out");
        assert_eq!(launches(&[(4, 0), (0, 0)], 0), [], "all are protected");
        assert_eq!(launches(&[(4, 1), (0, 0)], 0), [1], "one may go");
        assert_eq!(launches(&[], 2), []);
    }

    #[test]
    fn overdue_instances_go_by_tenths() {
        assert_eq!(expired_at_once(1, 50, 0), 1);
        assert_eq!(expired_at_once(50, 50, 0), 5);
        assert_eq!(expired_at_once(45, 50, 5), 0, "the batch before is not there yet");
        assert_eq!(expired_at_once(8, 8, 0), 1);
        assert_eq!(expired_at_once(0, 8, 0), 0);
    }
}
