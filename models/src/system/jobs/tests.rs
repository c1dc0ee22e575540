//! What is counted of jobs, with jobs made by hand.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]

use sim_core::{Span, Time};

use super::{Job, JobState, NONE};
use crate::event::Ref;
use crate::measure::JobMeasure;
use crate::plan::{Plan, Queue, QueueId, QueueKind, RedisList, TrafficId, WhenFull};
use crate::queue::Loss;
use crate::results::JobCounts;

const SHOP: TrafficId = TrafficId(0);

fn plan() -> Plan {
    let text = r#"
        [scenario]
        duration = "1h"
        [traffic.shop]
        to = "front"
        profile = { constant = "1/s" }
        [service.api]
        runtime = "event-loop"
        [service.api.endpoint."GET /"]
        steps = [{ cpu = "1ms" }]
        [group.web]
        service = "api"
        machine = "c6i.large"
        min = 1
        [balancer.front]
        targets = "web"
    "#;
    let mut plan = crate::Scenario::parse(text).unwrap().plan().clone();
    plan.queues.push(Queue {
        name: "exports".to_string(),
        kind: QueueKind::RedisList(RedisList { processing: None }),
        capacity: None,
        when_full: WhenFull::Refuse,
        max_receives: None,
        dead_letter: None,
        retention: None,
        delay: Span::ZERO,
    });
    plan
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

fn job(born: u64) -> Job {
    Job {
        number: 1,
        born: at(born),
        queued: at(born + 1),
        started: at(born + 2),
        done: Time::NEVER,
        saved: Span::ZERO,
        source: SHOP,
        queue: QueueId(0),
        state: JobState::InProcess,
        past: false,
        cuts: 0,
        failures: 0,
        watched: false,
        copies: 1,
        hands: 0,
        others: 0,
        first: NONE,
        asking: 0,
        held: Ref::NONE,
        told: Time::NEVER,
        questions: 0,
        first_token: Time::NEVER,
    }
}

/// A job comes to an end at this second.
fn ends(measure: &mut JobMeasure, job: &mut Job, state: JobState, second: u64) {
    let before = std::mem::replace(&mut job.state, state);
    if state == JobState::Done {
        job.done = at(second);
    }
    measure.ended(job, before);
}

fn counts(measure: &JobMeasure) -> JobCounts {
    measure.sources[0].counts
}

#[test]
fn jobs_in_progress_when_measurement_begins_stay_submitted_and_end_once() {
    let mut measure = JobMeasure::new(&plan());
    let (mut before, mut across, mut after) = (job(0), job(5), job(12));
    measure.submitted(SHOP);
    measure.submitted(SHOP);
    ends(&mut measure, &mut before, JobState::DeadLettered, 8);
    measure.begin(at(10));
    before.past = true;
    assert_eq!(counts(&measure).submitted, 1, "one of the two was in progress");
    measure.submitted(SHOP);
    ends(&mut measure, &mut across, JobState::Lost(Loss::Expired), 20);
    ends(&mut measure, &mut after, JobState::DeadLettered, 21);
    // What stood in the dead letters before is worked on after all, and belongs to no count.
    ends(&mut measure, &mut before, JobState::Done, 30);
    // One of those that are counted is done after all as well, and moves from one count to the other.
    ends(&mut measure, &mut after, JobState::Done, 40);
    let seen = counts(&measure);
    assert_eq!((seen.submitted, seen.done, seen.dead_lettered, seen.expired), (2, 1, 0, 1));
    assert_eq!(seen.in_progress(), 0);
}

#[test]
fn worker_time_counts_from_when_measurement_begins() {
    let mut measure = JobMeasure::new(&plan());
    measure.begin(at(100));
    let across = job(0);
    // Of 90 s, 30 are measured; checkpoints have kept all but the last 20.
    measure.tried(&across, at(40), at(130), false);
    measure.cut(&across, at(40), at(130), Span::from_secs(70));
    let seen = counts(&measure);
    assert_eq!((seen.useful_seconds, seen.wasted_seconds), (10.0, 20.0));
    assert_eq!((seen.cut_tries, seen.failed_tries), (1, 0));
    // Checkpoints that are all of the time before: the measured part is in vain.
    measure.tried(&across, at(40), at(130), false);
    measure.cut(&across, at(40), at(130), Span::from_secs(50));
    assert_eq!((counts(&measure).useful_seconds, counts(&measure).wasted_seconds), (10.0, 50.0));
    measure.tried(&across, at(40), at(130), true);
    assert_eq!(counts(&measure).useful_seconds, 40.0);
    let worked = measure.sources.iter().map(|source| {
        let counts = &source.counts;
        counts.useful_seconds + counts.wasted_seconds + counts.duplicated_seconds
    });
    assert_eq!(worked.take(2).collect::<Vec<f64>>(), [90.0, 0.0]);
}

#[test]
fn rows_of_the_series_go_on_while_measurement_begins() {
    let mut measure = JobMeasure::new(&plan());
    measure.submitted(SHOP);
    measure.begin(at(10));
    let mut done = job(0);
    ends(&mut measure, &mut done, JobState::Done, 12);
    measure.known(&done, Span::from_secs(3), Span::from_secs(15));
    let row = measure.close_row().unwrap();
    assert_eq!((row.submitted, row.done), (1, 1));
    let median = row.quantiles[0].unwrap().as_secs_f64();
    assert!((median - 15.0).abs() < 0.2, "{median}");
    let empty = measure.close_row().unwrap();
    assert_eq!((empty.submitted, empty.done, empty.quantiles), (0, 0, [None; 2]));
}

#[test]
fn jobs_of_health_checks_are_nobodys() {
    let mut measure = JobMeasure::new(&plan());
    measure.submitted(TrafficId::CHECKS);
    assert_eq!((counts(&measure).submitted, measure.sources[1].counts.submitted), (0, 1));
}

#[test]
fn a_plan_without_queues_has_no_rows_of_jobs() {
    let mut plan = plan();
    plan.queues.clear();
    assert!(JobMeasure::new(&plan).close_row().is_none());
}
