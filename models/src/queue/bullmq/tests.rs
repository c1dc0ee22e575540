//! The rules of BullMQ, each by its name.

use super::*;
use crate::plan::QueueKind;

fn at(secs: u64) -> Time {
    Time::ZERO + Span::from_secs(secs)
}

struct Test {
    queue: BullMq,
    happened: Vec<Happened>,
}

fn test(change: impl FnOnce(&mut plan::Queue, &mut plan::BullMq)) -> Test {
    let mut own = plan::BullMq {
        lock_duration: Span::from_secs(30),
        stalled_interval: Span::from_secs(30),
        max_stalled_count: 1,
    };
    let mut plan = crate::queue::plain(QueueKind::BullMq(own));
    change(&mut plan, &mut own);
    Test { queue: BullMq::new(&plan, own), happened: Vec::new() }
}

impl Test {
    fn send(&mut self, job: u32, priority: u8, now: u64) {
        let message = Message { job, key: 0, priority, sent: at(now) };
        self.queue.send(message, at(now), &mut self.happened).unwrap();
    }

    fn ask(&mut self, consumer: u32, now: u64) -> Option<(u32, u32, u32, Receipt)> {
        self.happened.clear();
        self.queue.receive(consumer, at(now), &mut self.happened);
        self.delivered()
    }

    fn delivered(&self) -> Option<(u32, u32, u32, Receipt)> {
        self.happened.iter().find_map(|happened| match *happened {
            Happened::Delivered { consumer, job, receipt, receives } => {
                Some((consumer, job, receives, receipt))
            }
            _ => None,
        })
    }

    /// When something happened by itself, by the second.
    fn wait_until(&mut self, limit: u64) -> Option<u64> {
        self.happened.clear();
        while self.queue.due() <= at(limit) {
            let due = self.queue.due();
            self.queue.advance(due, &mut self.happened);
            if !self.happened.is_empty() {
                return Some(due.as_nanos() / 1_000_000_000);
            }
        }
        None
    }
}

#[test]
fn a_lock_is_renewed_while_its_worker_lives() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    let (.., receipt) = test.ask(0, 0).unwrap();
    assert_eq!(test.queue.due(), Time::NEVER);
    assert!(test.queue.acknowledge(receipt, at(7200), &mut test.happened));
    assert_eq!(test.happened.last(), Some(&Happened::Consumed { job: 1 }));
}

/// Checks at 0, 30, 60 … s. Taken at 10 s, renewed at 25, 40, 55 … s, locked for 30 s from then.
#[test]
fn a_job_has_stalled_when_one_check_marked_it_and_a_later_one_finds_no_lock() {
    // Renewed at 10, locked until 40, marked at 30. Renewed at 25, until 55, marked at 30. Renewed at 40: marked at 60.
    for (crash, back) in [(20, 60), (26, 60), (41, 90), (55, 90), (70, 120)] {
        let mut test = test(|_, _| {});
        for consumer in [0, 1] {
            test.queue.join(consumer, at(0), &mut test.happened);
        }
        test.send(1, 0, 10);
        test.ask(0, 10);
        test.queue.crash(0, at(crash), &mut test.happened);
        test.ask(1, crash);
        assert_eq!(test.wait_until(1000), Some(back), "crash at {crash}");
        assert_eq!(test.delivered().unwrap().2, 2);
    }
}

#[test]
fn nobody_checks_while_there_are_no_workers() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    test.ask(0, 0);
    test.queue.crash(0, at(10), &mut test.happened);
    assert_eq!(test.queue.due(), Time::NEVER);
    // A worker that comes checks at once, which marks it, and 30 s later again.
    test.ask(1, 500);
    assert_eq!(test.wait_until(1000), Some(530));
}

#[test]
fn a_job_that_stalls_more_than_max_stalled_count_fails() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    for consumer in [0, 1] {
        test.ask(consumer, 0);
    }
    test.queue.crash(0, at(1), &mut test.happened);
    assert_eq!(test.wait_until(100), Some(60));
    test.queue.join(2, at(61), &mut test.happened);
    test.queue.crash(1, at(62), &mut test.happened);
    assert_eq!(test.wait_until(1000), Some(120));
    assert_eq!(test.happened, [Happened::DeadLettered { job: 1, sent: at(0) }]);
}

#[test]
fn a_stalled_job_goes_to_the_front_whatever_its_priority() {
    let mut test = test(|_, _| {});
    test.send(1, 9, 0);
    test.ask(0, 0);
    test.queue.join(1, at(0), &mut test.happened);
    test.send(2, 0, 1);
    test.queue.crash(0, at(1), &mut test.happened);
    assert_eq!(test.wait_until(100), None);
    assert_eq!(test.ask(1, 100).unwrap().1, 1);
}

#[test]
fn attempts_are_failures_and_the_last_one_fails_the_job() {
    let mut test = test(|plan, _| plan.max_receives = Some(3));
    test.send(1, 0, 0);
    for attempt in 1..=3 {
        let (_, _, receives, receipt) = test.ask(0, attempt).unwrap();
        assert_eq!(u64::from(receives), attempt);
        test.queue.fail(receipt, Some(Span::ZERO), at(attempt), &mut test.happened);
    }
    assert_eq!(test.happened.last(), Some(&Happened::DeadLettered { job: 1, sent: at(0) }));
}

#[test]
fn a_failed_job_waits_for_its_backoff_and_then_behind_all_others() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    let (.., receipt) = test.ask(0, 0).unwrap();
    test.send(2, 0, 0);
    test.queue.fail(receipt, Some(Span::from_secs(8)), at(1), &mut test.happened);
    assert_eq!(test.queue.depth(at(1)).delayed, 1);
    assert_eq!(test.wait_until(100), None);
    assert_eq!(test.queue.depth(at(9)).visible, 2);
    assert_eq!(test.ask(0, 9).unwrap().1, 2);
}

#[test]
fn jobs_without_a_priority_come_before_those_with_one() {
    let mut test = test(|_, _| {});
    for (job, priority) in [(0, 2), (1, 0), (2, 1), (3, 0)] {
        test.send(job, priority, 0);
    }
    let order: Vec<u32> = (0..4).map(|consumer| test.ask(consumer, 0).unwrap().1).collect();
    assert_eq!(order, [1, 3, 2, 0]);
}

#[test]
fn a_stalled_job_is_not_finished_by_the_worker_that_lost_its_lock() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    let (.., receipt) = test.ask(0, 0).unwrap();
    test.queue.fail(receipt, None, at(5), &mut test.happened);
    test.ask(1, 6);
    assert_eq!(test.wait_until(100), Some(60));
    assert!(!test.queue.acknowledge(receipt, at(61), &mut test.happened));
    assert_eq!(test.queue.counts().stale, 1);
}

#[test]
fn an_unrecoverable_error_fails_a_job_whatever_attempts_are_left() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    let (.., receipt) = test.ask(0, 0).unwrap();
    test.queue.reject(receipt, at(1), &mut test.happened);
    assert_eq!(test.happened.last(), Some(&Happened::DeadLettered { job: 1, sent: at(0) }));
}
