//! Instance refreshes: the state machine against worked examples, and whole simulations against the same.

use proptest::prelude::*;
use scalesim::results::{ActivityKind, CauseKind};
use scalesim::scaling::refresh::{
    Failure, LONGEST, Preferences, RETRY_TIMEOUT, Refresh, Seen, Step, Wait, at_once, refresh_warmup,
};
use serde_json::Value;
use sim_core::{Span, Time};

use crate::asg_vectors::{Vector, vectors};

use super::{minutes, of_kind, play, told};

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn a_batch_is_what_the_minimum_leaves_and_at_least_one() {
    let vectors = vectors("instance_refresh_batch");
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let input = &vector.input;
        let seen = at_once(number(&input["instances"]), number(&input["min_healthy_pct"]));
        assert_eq!(seen, number(&vector.expected["max_concurrent_replacements"]), "{}", vector.id);
    }
    // The minimum is rounded up to whole instances: 90 % of 11 are 10, of 25 are 23.
    assert_eq!([1, 4, 11, 25].map(|desired| at_once(desired, 90)), [1, 1, 1, 2]);
    assert_eq!([0, 1, 3].map(|desired| at_once(desired, 50)), [1, 1, 1]);
}

#[test]
fn a_refreshs_warm_up_falls_back_and_zero_is_set() {
    let vectors = vectors("effective_setting");
    let refresh: Vec<&Vector> =
        vectors.iter().filter(|vector| vector.input["setting"] == "refresh_warmup").collect();
    assert_eq!(refresh.len(), 3);
    for vector in refresh {
        let span = |key: &str| vector.input[key].as_u64().map(Span::from_secs);
        let seen = refresh_warmup(
            span("instance_warmup"),
            span("default_instance_warmup"),
            span("health_check_grace_period").unwrap(),
        );
        let expected = Span::from_secs(vector.expected["seconds"].as_u64().unwrap());
        assert_eq!(seen, expected, "{}", vector.id);
    }
    let seconds = Span::from_secs;
    assert_eq!(refresh_warmup(Some(seconds(0)), Some(seconds(120)), seconds(300)), seconds(0));
    assert_eq!(refresh_warmup(None, Some(seconds(0)), seconds(300)), seconds(0));
}

/// A group in which launches take no time and everybody is healthy.
struct Ideal {
    old: u32,
    new: Vec<Time>,
    warm_up: Span,
    now: Time,
}

impl Ideal {
    fn seen(&self, desired: u32) -> Seen {
        let warm = |since: &&Time| **since + self.warm_up <= self.now;
        let ready = self.new.iter().filter(warm).count() as u32;
        let last = self.new.iter().max().map(|&since| since + self.warm_up);
        Seen {
            now: self.now,
            desired,
            old: self.old,
            warming: self.new.len() as u32 - ready,
            ready,
            warm_at: last.filter(|&at| at > self.now),
            ..Seen::default()
        }
    }

    /// Lets a refresh go on to its end: at which minute how many were replaced, and the end.
    fn play(&mut self, preferences: &Preferences) -> (Vec<(u64, u32)>, u64, u32) {
        let minute = |time: Time| time.as_nanos() / 60_000_000_000;
        let desired = self.old;
        let mut refresh = Refresh::new(self.now);
        let mut batches = Vec::new();
        loop {
            match refresh.decide(preferences, &self.seen(desired)) {
                Step::Replace { terminate, launch } => {
                    self.old -= terminate;
                    self.new.extend(vec![self.now; (terminate + launch) as usize]);
                    batches.push((minute(self.now), terminate + launch));
                }
                Step::Terminate(count) => self.old -= count,
                Step::Wait(wait) => {
                    assert!(wait.until() > self.now, "{wait}");
                    self.now = wait.until();
                }
                Step::Succeeded { percent } => return (batches, minute(self.now), percent),
                Step::Failed(failure) => panic!("{failure}"),
            }
        }
    }
}

#[test]
fn checkpoints_pause_once_what_was_replaced_is_warm() {
    let vectors = vectors("instance_refresh_timeline");
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        let (input, expected) = (&vector.input, &vector.expected);
        let minutes = |key: &str| Span::from_secs(60 * u64::from(number(&input[key])));
        let checkpoints = input["checkpoints_pct"].as_array().unwrap().iter().map(number).collect();
        let preferences = Preferences {
            min_healthy: number(&input["min_healthy_pct"]),
            checkpoints,
            checkpoint_delay: minutes("checkpoint_delay_min"),
            ..Preferences::default()
        };
        let mut group = Ideal {
            old: number(&input["instances"]),
            new: Vec::new(),
            warm_up: minutes("warmup_min"),
            now: Time::ZERO,
        };
        let (batches, over, _) = group.play(&preferences);
        let events = expected["events"].as_array().unwrap().iter();
        let replaced = events.filter(|event| event["replaced"].is_u64());
        let replaced: Vec<(u64, u32)> =
            replaced.map(|event| (event["t_min"].as_u64().unwrap(), number(&event["replaced"]))).collect();
        assert_eq!(batches, replaced, "{}", vector.id);
        assert_eq!(over, expected["complete_at_min"].as_u64().unwrap());
        assert_eq!(batches.iter().map(|batch| batch.1).sum::<u32>(), number(&expected["total_replaced"]));
    }
}

/// Two instances and checkpoints at 10, 40 and 100 %: the first replacement is half of all, and passes two of them.
#[test]
fn of_several_checkpoints_passed_at_once_the_last_one_counts() {
    let preferences = Preferences {
        min_healthy: 100,
        checkpoints: vec![10, 40, 100],
        checkpoint_delay: Span::from_secs(900),
        ..Preferences::default()
    };
    let mut refresh = Refresh::new(Time::ZERO);
    let mut seen = Seen { desired: 2, old: 2, ..Seen::default() };
    assert_eq!(refresh.decide(&preferences, &seen), Step::Replace { terminate: 1, launch: 0 });
    seen = Seen { old: 1, ready: 1, ..seen };
    let until = Time::ZERO + Span::from_secs(900);
    assert_eq!(refresh.decide(&preferences, &seen), Step::Wait(Wait::Checkpoint { percent: 40, until }));
    seen.now = until;
    assert_eq!(refresh.decide(&preferences, &seen), Step::Replace { terminate: 1, launch: 0 });
    seen = Seen { old: 0, ready: 2, ..seen };
    assert_eq!(refresh.decide(&preferences, &seen), Step::Succeeded { percent: 100 }, "no delay at the last");
}

#[test]
fn without_health_it_tries_for_an_hour_and_fails() {
    let preferences = Preferences { min_healthy: 80, ..Preferences::default() };
    let mut refresh = Refresh::new(Time::ZERO);
    let mut seen = Seen { desired: 10, old: 10, ..Seen::default() };
    assert_eq!(refresh.decide(&preferences, &seen), Step::Replace { terminate: 2, launch: 0 });
    seen = Seen { old: 8, starting: 2, ..seen };
    let hour = Time::ZERO + RETRY_TIMEOUT;
    assert_eq!(refresh.decide(&preferences, &seen), Step::Wait(Wait::Health { instances: 2, until: hour }));
    // One comes up: that is progress, and begins another hour. A long warm-up is no failure.
    seen = Seen { now: hour.max(Time::ZERO + Span::from_secs(1_800)), starting: 1, warming: 1, ..seen };
    seen.now = Time::ZERO + Span::from_secs(1_800);
    let later = seen.now + RETRY_TIMEOUT;
    assert_eq!(refresh.decide(&preferences, &seen), Step::Wait(Wait::Health { instances: 1, until: later }));
    seen.now = later;
    assert_eq!(refresh.decide(&preferences, &seen), Step::Failed(Failure::NotHealthy { instances: 1 }));
    let mut old = Refresh::new(Time::ZERO);
    seen.now = Time::ZERO + LONGEST;
    assert_eq!(old.decide(&preferences, &seen), Step::Failed(Failure::TookTooLong));
}

/// Whom nobody would miss may go at once, and for the others the group has to be healthy enough.
#[test]
fn a_group_that_is_short_of_healthy_instances_loses_no_more() {
    let preferences = Preferences::default();
    let decide = |old: u32, old_unhealthy: u32, starting: u32| {
        let desired = old + old_unhealthy + starting;
        let seen = Seen { desired, old, old_unhealthy, starting, ..Seen::default() };
        Refresh::new(Time::ZERO).decide(&preferences, &seen)
    };
    assert_eq!(decide(10, 0, 0), Step::Replace { terminate: 1, launch: 0 });
    let until = Time::ZERO + RETRY_TIMEOUT;
    assert_eq!(decide(8, 0, 2), Step::Wait(Wait::Capacity { healthy: 8, desired: 10, until }));
    assert_eq!(decide(7, 3, 0), Step::Replace { terminate: 1, launch: 0 }, "an unhealthy one");
}

#[test]
fn above_a_hundred_percent_new_instances_come_first() {
    let decide = |min_healthy: u32, max_healthy: u32| {
        let preferences = Preferences { min_healthy, max_healthy, ..Preferences::default() };
        let mut refresh = Refresh::new(Time::ZERO);
        (
            refresh.decide(&preferences, &Seen { desired: 10, old: 10, ..Seen::default() }),
            refresh,
            preferences,
        )
    };
    let (first, mut refresh, preferences) = decide(100, 120);
    assert_eq!(first, Step::Replace { terminate: 0, launch: 2 });
    let seen = Seen { desired: 10, old: 10, ready: 2, ..Seen::default() };
    assert_eq!(refresh.decide(&preferences, &seen), Step::Terminate(2), "once they are ready");
    assert_eq!(decide(100, 104).0, Step::Replace { terminate: 0, launch: 1 }, "at least one");
    assert_eq!(decide(80, 110).0, Step::Replace { terminate: 2, launch: 1 }, "both ways at once");
}

proptest! {
    /// Whatever is asked for, everything is replaced once, and never more at a time than is allowed.
    #[test]
    fn a_refresh_replaces_everybody_once(
        desired in 0u32..60,
        min_healthy in 0u32..=100,
        above in 0u32..=100,
        delay in 0u64..100,
        checkpoints in proptest::collection::btree_set(1u32..=100, 0..5),
    ) {
        let preferences = Preferences {
            min_healthy,
            max_healthy: (100 + above).min(100 + min_healthy),
            checkpoints: checkpoints.iter().copied().collect(),
            checkpoint_delay: Span::from_secs(60 * delay),
            ..Preferences::default()
        };
        let mut group = Ideal { old: desired, new: Vec::new(), warm_up: Span::from_secs(90), now: Time::ZERO };
        let (batches, _, percent) = group.play(&preferences);
        let last = checkpoints.last().copied().unwrap_or(100);
        let all: u32 = batches.iter().map(|batch| batch.1).sum();
        prop_assert_eq!(all, (desired * last).div_ceil(100));
        prop_assert_eq!(group.old, desired - all);
        prop_assert!(percent >= last || desired == 0);
        prop_assert_eq!(group.new.len() as u32, all);
        let first = desired * (preferences.max_healthy - 100) / 100;
        let most = at_once(desired, min_healthy) + if preferences.max_healthy > 100 { first.max(1) } else { 0 };
        prop_assert!(batches.iter().all(|batch| batch.1 <= most), "{:?}", batches);
    }
}

const QUICK: &str = "startup = { provision = \"0s\", boot = \"0s\", app = \"0s\" }";

fn refresh(options: &str) -> String {
    format!("[[release]]\ngroup = \"g\"\nat = \"10min\"\nhow = {{ instance_refresh = {{ {options} }} }}\n")
}

/// The guide's timeline as a whole simulation: instances that run at once and are found healthy by the next check.
#[test]
fn a_whole_simulation_keeps_the_guides_timeline() {
    let group = format!("min = 10\nhealth_check = \"elb\"\n{QUICK}");
    let release = refresh(
        "min_healthy = 80, checkpoints = [20, 50], checkpoint_delay = \"15min\", instance_warmup = \"10min\"",
    );
    let results = play("70min", "100/s", &group, &release);
    assert_eq!(minutes(&results, ActivityKind::Terminate), [10, 10, 35, 35, 45], "two, two and one");
    assert_eq!(minutes(&results, ActivityKind::ReleaseSucceeded), [55]);
    let group = &results.run.groups[0];
    assert_eq!((group.launched, group.terminated, group.serving_min), (5, 5, 8));
    assert_eq!(told(&results, "the delay of the checkpoint at 20 %"), 1);
    assert!(results.run.requests.failed == 0 && results.run.requests.conserved());
}

/// A single instance goes before its replacement is there, whatever share is to stay healthy. Its replacement runs 5 s later
/// and its app is up after 15 more; the check every 5 s finds it at the next.
#[test]
fn a_single_instance_has_an_outage() {
    let serving = |options: &str| -> Vec<u32> {
        let results = play("15min", "20/s", "min = 1\nhealth_check = \"elb\"", &refresh(options));
        assert_eq!(of_kind(&results, ActivityKind::ReleaseSucceeded).len(), 1);
        assert_eq!(results.run.interval, 1.0);
        let rows = results.run.series.iter().filter(|row| (590.0..640.0).contains(&row.at));
        rows.map(|row| row.groups[0].serving).collect()
    };
    let seen = serving("min_healthy = 100, instance_warmup = \"1min\"");
    // Rows end a second after their start: terminated at 600, healthy at 620.
    let expected: Vec<u32> =
        (590..640).map(|second| u32::from(!(600..619).contains(&(second + 1)))).collect();
    let outage = seen.iter().filter(|&&serving| serving == 0).count();
    assert!((19..=21).contains(&outage), "{seen:?}\n{expected:?}");
    assert_eq!(seen[..10], expected[..10]);
    let first = serving("min_healthy = 100, max_healthy = 200, instance_warmup = \"1min\"");
    assert!(first.iter().all(|&serving| serving >= 1), "{first:?}");
}

#[test]
fn its_outage_is_told_as_the_cause() {
    let rest = format!(
        "{}[[sla]]\nobjective = \"availability >= 99%\"\nwindow = \"1min\"\n",
        refresh("min_healthy = 0")
    );
    let results = play("15min", "20/s", "min = 4\nhealth_check = \"elb\"", &rest);
    let violation = &results.run.objectives[0].violations[0];
    assert_eq!(violation.cause, CauseKind::Release, "{}", violation.explanation);
    assert!(
        violation.explanation.contains("instance refresh")
            || violation.explanation.contains("Instance refresh")
    );
}

/// Every batch waits for the warm-up, so that a refresh of four one by one takes four starts and four warm-ups.
#[test]
fn the_next_batch_waits_for_health_and_warm_up() {
    let release = refresh("min_healthy = 100, instance_warmup = \"3min\"");
    let results = play("40min", "20/s", "min = 4\nhealth_check = \"elb\"", &release);
    let at: Vec<f64> =
        of_kind(&results, ActivityKind::Terminate).iter().map(|activity| activity.at).collect();
    assert_eq!(at.len(), 4);
    // It runs 5 s after its launch, and warms up from then on.
    assert!(at.windows(2).all(|pair| (pair[1] - pair[0] - 185.0).abs() < 10.5), "{at:?}");
}

/// With EC2 status checks an instance counts as healthy once it runs. A refresh without a warm-up goes through the group
/// before the first app is up.
#[test]
fn ec2_checks_let_a_refresh_outrun_the_apps() {
    let slow = "startup = { provision = \"5s\", boot = \"1min\", app = \"2min\" }";
    let play = |health: &str| {
        let group = format!("min = 4\nhealth_check = {health}\n{slow}");
        play("40min", "20/s", &group, &refresh("min_healthy = 75")).run.groups[0].serving_min
    };
    assert_eq!(play("\"ec2\""), 0);
    assert_eq!(play("\"elb\""), 3);
}

#[test]
fn a_second_refresh_is_refused() {
    let second = refresh("").replace("10min", "11min");
    let results =
        play("60min", "20/s", "min = 4\nhealth_check = \"elb\"", &format!("{}{second}", refresh("")));
    assert_eq!(minutes(&results, ActivityKind::ReleaseFailed), [11]);
    assert_eq!(told(&results, "InstanceRefreshInProgress"), 1);
    assert_eq!(results.run.groups[0].launched, 4);
}

#[test]
fn the_bake_time_is_watched_at_the_end() {
    let results = play(
        "60min",
        "20/s",
        "min = 1\nhealth_check = \"elb\"",
        &refresh("instance_warmup = \"0s\", bake_time = \"20min\""),
    );
    assert_eq!(minutes(&results, ActivityKind::ReleaseSucceeded), [30]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// What a refresh terminates the group launches, one for one.
    #[test]
    fn replaced_instances_equal_launched_ones(
        size in 1u32..7,
        min_healthy in 0u32..=100,
        above in 0u32..=100,
        elb in any::<bool>(),
    ) {
        let max_healthy = (100 + above).min(100 + min_healthy);
        let health = if elb { "elb" } else { "ec2" };
        let group = format!("min = {size}\nhealth_check = \"{health}\"");
        let options = format!("min_healthy = {min_healthy}, max_healthy = {max_healthy}, instance_warmup = \"40s\"");
        let results = play("40min", "5/s", &group, &refresh(&options));
        let group = &results.run.groups[0];
        prop_assert_eq!(of_kind(&results, ActivityKind::ReleaseSucceeded).len(), 1);
        prop_assert_eq!((group.launched, group.terminated), (u64::from(size), u64::from(size)));
        prop_assert!(results.run.requests.conserved());
        prop_assert_eq!(results.run.series.last().unwrap().groups[0].serving, size);
    }
}
