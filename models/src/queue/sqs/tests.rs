//! The rules of SQS, each by its name.

use sim_core::{Seed, Span, Time};

use super::Sqs;
use crate::plan::{self, QueueId, QueueKind, WhenFull};
use crate::queue::{Full, Happened, Loss, Message, Receipt};

fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

fn at(secs: u64) -> Time {
    Time::ZERO + Span::from_secs(secs)
}

/// A queue with the defaults of AWS and long polling, and what came of it so far.
struct Test {
    queue: Sqs,
    happened: Vec<Happened>,
}

fn defaults() -> (plan::Queue, plan::Sqs) {
    let own = plan::Sqs {
        fifo: false,
        visibility_timeout: secs(30),
        wait_time: secs(20),
        poll_interval: Span::ZERO,
        batch: 1,
        heartbeat: None,
        in_flight: 120_000,
        misses: 0.0,
        duplicates: 0.0,
    };
    let plan =
        plan::Queue { retention: Some(secs(4 * 24 * 3600)), ..crate::queue::plain(QueueKind::Sqs(own)) };
    (plan, own)
}

fn test(change: impl FnOnce(&mut plan::Queue, &mut plan::Sqs)) -> Test {
    let (mut plan, mut own) = defaults();
    change(&mut plan, &mut own);
    let queue = Sqs::new(&plan, own, Seed::new(1));
    Test { queue, happened: Vec::new() }
}

impl Test {
    fn send(&mut self, job: u32, now: u64) {
        self.send_to(job, 0, now);
    }

    fn send_to(&mut self, job: u32, key: u64, now: u64) {
        self.pass(now);
        let message = Message { job, key, priority: 0, sent: at(now) };
        self.queue.send(message, at(now), &mut self.happened).unwrap();
    }

    fn pass(&mut self, now: u64) {
        while self.queue.due() <= at(now) {
            self.queue.advance(self.queue.due(), &mut self.happened);
        }
    }

    fn ask(&mut self, consumer: u32, now: u64) {
        self.pass(now);
        self.queue.receive(consumer, at(now), &mut self.happened);
    }

    /// What was delivered since the last look: consumer, job, receives, receipt.
    fn delivered(&mut self) -> Vec<(u32, u32, u32, Receipt)> {
        let delivered = self.happened.iter().filter_map(|happened| match *happened {
            Happened::Delivered { consumer, job, receipt, receives } => {
                Some((consumer, job, receives, receipt))
            }
            _ => None,
        });
        let delivered = delivered.collect();
        self.happened.clear();
        delivered
    }

    fn jobs(&mut self) -> Vec<u32> {
        self.delivered().iter().map(|&(_, job, _, _)| job).collect()
    }

    /// Receives what must be there.
    fn take(&mut self, consumer: u32, now: u64) -> Receipt {
        self.pass(now);
        self.happened.clear();
        self.ask(consumer, now);
        let delivered = self.delivered();
        assert_eq!(delivered.len(), 1);
        delivered[0].3
    }

    fn acknowledge(&mut self, receipt: Receipt, now: u64) -> bool {
        self.pass(now);
        self.queue.acknowledge(receipt, at(now), &mut self.happened)
    }

    /// When something happened to a consumer that waits, by the second.
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
fn the_visibility_timeout_counts_from_the_receive() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    test.take(0, 10);
    test.ask(1, 12);
    assert_eq!(test.wait_until(100), Some(40));
    let delivered = test.delivered();
    assert_eq!((delivered[0].0, delivered[0].1, delivered[0].2), (1, 1, 2));
}

#[test]
fn a_visibility_timeout_of_zero_leaves_messages_visible() {
    let mut test = test(|_, own| own.visibility_timeout = Span::ZERO);
    test.send(1, 0);
    test.take(0, 1);
    test.pass(1);
    assert_eq!(test.queue.depth(at(1)).visible, 1);
    test.take(1, 1);
}

#[test]
fn a_message_in_time_deleted_is_gone() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    let receipt = test.take(0, 0);
    assert!(test.acknowledge(receipt, 29));
    assert_eq!(test.happened, [Happened::Consumed { job: 1 }]);
    test.ask(0, 30);
    test.pass(100);
    assert!(test.jobs().is_empty());
    assert!(!test.acknowledge(receipt, 100));
    assert_eq!(test.queue.counts().stale, 1);
}

#[test]
fn after_max_receive_count_it_moves_to_the_dead_letter_queue_instead_of_being_received_again() {
    let mut test = test(|plan, _| (plan.max_receives, plan.dead_letter) = (Some(2), Some(QueueId(1))));
    test.send(1, 0);
    test.take(0, 0);
    test.take(0, 30);
    // It has been received twice and is visible again: nothing moves it until somebody would receive it.
    test.pass(500);
    assert_eq!(test.queue.depth(at(500)).visible, 1);
    test.happened.clear();
    test.ask(0, 500);
    assert_eq!(test.happened, [Happened::DeadLettered { job: 1, sent: at(0) }]);
    assert_eq!(test.queue.counts().received, 2);
}

#[test]
fn an_old_receipt_deletes_in_a_standard_queue_until_it_is_received_again() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    let old = test.take(0, 0);
    assert!(test.acknowledge(old, 45), "visible again, but nobody has it");
    test.send(2, 50);
    let old = test.take(0, 50);
    let new = test.take(1, 90);
    assert!(!test.acknowledge(old, 95));
    assert!(test.acknowledge(new, 95));
}

#[test]
fn a_receipt_of_a_fifo_queue_expires_with_the_visibility_timeout() {
    let mut test = test(|_, own| own.fifo = true);
    test.send(1, 0);
    let receipt = test.take(0, 0);
    assert!(!test.acknowledge(receipt, 31));
    let again = test.take(0, 32);
    assert!(test.acknowledge(again, 33));
}

#[test]
fn over_limit_is_what_short_polling_gets_when_too_many_are_in_flight() {
    let mut test = test(|_, own| {
        own.in_flight = 2;
        own.wait_time = Span::ZERO;
        own.poll_interval = secs(1);
    });
    for job in 0..3 {
        test.send(job, 0);
    }
    let first = test.take(0, 0);
    test.take(1, 0);
    test.ask(2, 0);
    test.pass(5);
    assert!(test.jobs().is_empty());
    assert_eq!(test.queue.counts().over_limit, 6, "at 0, 1, 2, 3, 4 and 5 s");
    assert_eq!(test.queue.counts().empty_receives, 0);
    test.acknowledge(first, 5);
    assert_eq!(test.wait_until(20), Some(6));
}

#[test]
fn long_polling_and_fifo_queues_get_nothing_instead_of_over_limit() {
    for fifo in [false, true] {
        let mut test = test(|_, own| (own.in_flight, own.fifo) = (1, fifo));
        test.send_to(0, 0, 0);
        test.send_to(1, 1, 0);
        let first = test.take(0, 0);
        test.ask(1, 1);
        test.pass(3);
        assert!(test.jobs().is_empty());
        test.acknowledge(first, 3);
        assert_eq!(test.jobs(), [1], "as soon as there is room");
        assert_eq!(test.queue.counts().over_limit, 0);
    }
}

#[test]
fn long_polling_delivers_at_once_and_counts_empty_receives_by_its_waits() {
    let mut test = test(|_, _| {});
    test.ask(0, 0);
    test.send(1, 70);
    assert_eq!(test.delivered()[0].0, 0);
    // 0 to 20, 20 to 40, 40 to 60 s brought nothing, the fourth brought the message; and one send.
    assert_eq!(test.queue.counts().empty_receives, 3);
    assert_eq!(test.queue.counts().requests, 3 + 1 + 1);
}

#[test]
fn a_message_waits_for_the_next_short_poll_of_some_consumer() {
    let mut test = test(|_, own| (own.wait_time, own.poll_interval) = (Span::ZERO, secs(10)));
    test.ask(0, 0);
    test.ask(1, 4);
    assert_eq!(test.queue.due(), Time::NEVER, "nobody needs to know of polls while there is nothing");
    test.send(1, 31);
    assert_eq!(test.wait_until(100), Some(34));
    assert_eq!(test.delivered()[0].0, 1);
    // Consumer 0 at 0, 10, 20, 30; consumer 1 at 4, 14, 24.
    assert_eq!(test.queue.counts().empty_receives, 7);
}

#[test]
fn short_polling_may_return_nothing_though_there_are_messages() {
    let mut test = test(|_, own| {
        (own.wait_time, own.poll_interval, own.misses) = (Span::ZERO, secs(1), 0.4);
    });
    let mut now = 0;
    for job in 0..2000 {
        test.send(job, now);
        test.ask(0, now);
        now += 50;
        test.pass(now);
        let delivered = test.delivered();
        assert!(test.acknowledge(delivered[0].3, now));
    }
    // A geometric number of misses: 0.4 / 0.6 of them for each message, with a deviation of 1.05 each.
    let misses = test.queue.counts().empty_receives as f64 / 2000.0;
    assert!((misses - 2.0 / 3.0).abs() < 4.0 * 1.054 / 2000_f64.sqrt(), "{misses}");
}

#[test]
fn long_polling_asks_all_servers_and_misses_nothing() {
    let mut test = test(|_, own| own.misses = 1.0);
    test.send(1, 0);
    test.take(0, 0);
}

#[test]
fn the_visibility_of_a_batch_counts_from_its_receive() {
    let mut test = test(|_, own| own.batch = 10);
    for job in 0..12 {
        test.send(job, 0);
    }
    let first = test.take(0, 0);
    assert_eq!(test.queue.depth(at(0)).in_flight, 10);
    assert!(test.acknowledge(first, 25));
    assert_eq!(test.queue.counts().received, 10, "each of them counts a receive");
    // At 30 s the nine it has not come to are visible; it does not know, and begins the next one of its batch.
    let stale = test.take(0, 31);
    assert_eq!(test.queue.depth(at(31)).visible, 11);
    assert!(test.acknowledge(stale, 32), "nobody else has that one yet");
    let late = test.take(0, 33);
    test.take(1, 34);
    assert!(!test.acknowledge(late, 35), "the batch of the other one has it too");
}

#[test]
fn what_of_a_batch_others_have_deleted_is_not_begun() {
    let mut test = test(|_, own| own.batch = 2);
    test.send(0, 0);
    test.send(1, 0);
    test.take(0, 0);
    for consumer in [1, 1] {
        let receipt = test.take(consumer, 40);
        assert!(test.acknowledge(receipt, 41));
    }
    test.ask(0, 42);
    assert!(test.jobs().is_empty());
}

#[test]
fn a_delayed_message_cannot_be_received_before_its_time() {
    let mut test = test(|plan, _| plan.delay = secs(900));
    test.ask(0, 0);
    test.send(1, 10);
    assert_eq!(test.queue.depth(at(10)).delayed, 1);
    assert_eq!(test.wait_until(10_000), Some(910));
    assert_eq!(test.queue.depth(at(910)).in_flight, 1);
}

/// The guide's example: a day in the source and a retention of four days leave three in the dead-letter queue.
#[test]
fn a_dead_letter_keeps_its_original_enqueue_time() {
    let day = 24 * 3600;
    let mut test = test(|_, _| {});
    let message = Message { job: 1, key: 0, priority: 0, sent: at(0) };
    test.queue.send(message, at(day), &mut test.happened).unwrap();
    assert_eq!(test.queue.depth(at(day)).oldest, Some(at(0)));
    assert_eq!(test.wait_until(10 * day), Some(4 * day));
    assert_eq!(test.happened, [Happened::Lost { job: 1, how: Loss::Expired }]);
    let late = test.queue.send(message, at(5 * day), &mut test.happened);
    assert_eq!(late, Ok(()));
    assert_eq!(test.queue.counts().lost, 2, "it came too late to be kept at all");
}

#[test]
fn messages_in_flight_expire_too_and_their_receipts_with_them() {
    let mut test = test(|plan, own| (plan.retention, own.visibility_timeout) = (Some(secs(60)), secs(600)));
    test.send(1, 0);
    let receipt = test.take(0, 10);
    assert_eq!(test.wait_until(1000), Some(60));
    assert!(!test.acknowledge(receipt, 61));
}

#[test]
fn heartbeats_keep_a_message_invisible_while_its_consumer_lives() {
    let mut test = test(|_, own| own.heartbeat = Some(secs(20)));
    test.send(1, 0);
    let receipt = test.take(0, 5);
    assert_eq!(test.wait_until(5000), None);
    assert!(test.acknowledge(receipt, 5005));
    // One send, one receive, 250 extensions in 5000 s, one delete.
    assert_eq!(test.queue.counts().requests, 1 + 1 + 250 + 1);
}

#[test]
fn after_a_crash_it_is_visible_a_timeout_after_the_last_heartbeat() {
    for (crash, visible) in [(10, 35), (26, 55), (44, 55), (46, 75)] {
        let mut test = test(|_, own| own.heartbeat = Some(secs(20)));
        test.send(1, 0);
        test.take(0, 5);
        test.pass(crash);
        test.queue.crash(0, at(crash), &mut test.happened);
        test.ask(1, crash);
        assert_eq!(test.wait_until(1000), Some(visible), "crash at {crash}");
    }
}

#[test]
fn a_heartbeat_after_the_timeout_comes_too_late() {
    let mut test = test(|_, own| own.heartbeat = Some(secs(40)));
    test.send(1, 0);
    test.take(0, 0);
    test.ask(1, 1);
    assert_eq!(test.wait_until(1000), Some(30));
    assert_eq!(test.queue.counts().requests, 4, "a send, two receives, and one that brought nothing");
}

#[test]
fn heartbeats_extend_to_twelve_hours_from_the_receive_at_most() {
    let mut test = test(|_, own| own.heartbeat = Some(secs(20)));
    test.send(1, 0);
    test.take(0, 0);
    test.ask(1, 1);
    // The last extension that ends within 12 h = 43 200 s is the one at 43 160 s.
    assert_eq!(test.wait_until(100_000), Some(43_190));
    assert_eq!(test.delivered()[0].2, 2);
}

#[test]
fn change_message_visibility_says_when_it_can_be_received_again() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    let receipt = test.take(0, 0);
    test.pass(10);
    test.queue.fail(receipt, Some(secs(120)), at(10), &mut test.happened);
    assert_eq!(test.queue.depth(at(10)).in_flight, 1, "it is in flight until then");
    test.ask(1, 10);
    assert_eq!(test.wait_until(1000), Some(130));
}

#[test]
fn change_message_visibility_to_zero_makes_it_visible_at_once() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    let receipt = test.take(0, 0);
    test.ask(1, 5);
    test.queue.fail(receipt, Some(Span::ZERO), at(5), &mut test.happened);
    assert_eq!(test.jobs(), [1]);
    assert_eq!(test.queue.counts().requests, 4, "a send, two receives, a change");
}

#[test]
fn a_visibility_timeout_ends_twelve_hours_after_the_receive_at_the_latest() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    let receipt = test.take(0, 0);
    test.queue.fail(receipt, Some(secs(50_000)), at(20), &mut test.happened);
    test.ask(1, 20);
    assert_eq!(test.wait_until(100_000), Some(43_200));
}

#[test]
fn a_consumer_that_says_nothing_leaves_it_to_the_timeout() {
    let mut test = test(|_, own| own.heartbeat = Some(secs(20)));
    test.send(1, 0);
    let receipt = test.take(0, 0);
    test.pass(45);
    test.queue.fail(receipt, None, at(45), &mut test.happened);
    test.ask(1, 45);
    assert_eq!(test.wait_until(1000), Some(70), "the heartbeat at 40 s was the last");
}

#[test]
fn rejecting_sends_to_the_dead_letter_queue_and_deletes() {
    let mut test = test(|_, _| {});
    test.send(1, 0);
    let receipt = test.take(0, 0);
    test.queue.reject(receipt, at(5), &mut test.happened);
    assert_eq!(test.happened, [Happened::DeadLettered { job: 1, sent: at(0) }]);
    assert_eq!(test.queue.counts().requests, 4);
}

#[test]
fn at_least_once_delivery_gives_some_messages_to_two_consumers() {
    let mut test = test(|_, own| own.duplicates = 0.25);
    let mut twice = 0;
    for job in 0..2000 {
        test.send(job, 0);
        let first = test.take(0, 0);
        test.ask(1, 0);
        let again = test.delivered();
        twice += again.len();
        test.queue.stop_receiving(1, at(0), &mut test.happened);
        assert_eq!(test.acknowledge(first, 0), again.is_empty());
        if let Some(&(_, other, receives, receipt)) = again.first() {
            assert_eq!((other, receives), (job, 2));
            assert!(test.acknowledge(receipt, 0));
        }
    }
    let share = twice as f64 / 2000.0;
    assert!((share - 0.25).abs() < 4.0 * (0.25 * 0.75 / 2000_f64).sqrt(), "{share}");
    assert_eq!(test.queue.counts().consumed, 2000);
}

#[test]
fn later_messages_of_a_group_are_blocked_while_an_earlier_one_is_in_flight() {
    let mut test = test(|_, own| (own.fifo, own.batch) = (true, 10));
    for (job, group) in [(0, 7), (1, 7), (2, 8), (3, 7)] {
        test.send_to(job, group, 0);
    }
    let first = test.take(0, 0);
    assert_eq!(test.queue.depth(at(0)).in_flight, 2, "one of each group");
    test.ask(1, 1);
    assert!(test.jobs().is_empty());
    test.acknowledge(first, 2);
    assert_eq!(test.jobs(), [1]);
}

#[test]
fn what_comes_back_is_first_in_its_group() {
    let mut test = test(|_, own| own.fifo = true);
    test.send_to(0, 7, 0);
    test.send_to(1, 7, 0);
    let first = test.take(0, 0);
    test.queue.fail(first, Some(secs(60)), at(0), &mut test.happened);
    test.ask(1, 1);
    assert_eq!(test.wait_until(1000), Some(60), "its group waits with it");
    assert_eq!(test.jobs(), [0]);
}

#[test]
fn a_dead_letter_lets_its_group_go_on() {
    let mut test = test(|plan, own| (plan.max_receives, own.fifo) = (Some(1), true));
    test.send_to(0, 7, 0);
    test.send_to(1, 7, 0);
    test.take(0, 0);
    test.ask(1, 1);
    assert_eq!(test.wait_until(1000), Some(30));
    assert_eq!(test.happened[0], Happened::DeadLettered { job: 0, sent: at(0) });
    assert_eq!(test.jobs(), [1]);
}

#[test]
fn who_stops_asking_is_given_nothing_and_the_rest_of_a_batch_comes_back_in_time() {
    let mut test = test(|_, own| own.batch = 2);
    test.send(0, 0);
    test.send(1, 0);
    let first = test.take(0, 0);
    assert!(test.acknowledge(first, 3));
    test.queue.leave(0, at(3), &mut test.happened);
    test.ask(1, 4);
    test.ask(2, 4);
    test.queue.stop_receiving(1, at(5), &mut test.happened);
    assert_eq!(test.wait_until(100), Some(30), "the visibility timeout of its receive");
    assert_eq!(test.delivered()[0].0, 2);
}

#[test]
fn a_full_queue_refuses_drops_its_oldest_or_lets_senders_wait() {
    for (when_full, sent, refused) in
        [(WhenFull::Refuse, Err(Full), 1), (WhenFull::Block, Err(Full), 0), (WhenFull::DropOldest, Ok(()), 0)]
    {
        let mut test = test(|plan, _| (plan.capacity, plan.when_full) = (Some(2), when_full));
        test.send(0, 0);
        test.send(1, 0);
        let message = Message { job: 2, key: 0, priority: 0, sent: at(0) };
        assert_eq!(test.queue.send(message, at(1), &mut test.happened), sent);
        assert_eq!(test.queue.counts().refused, refused);
        let dropped = test.happened == [Happened::Lost { job: 0, how: Loss::Dropped }];
        assert_eq!(dropped, when_full == WhenFull::DropOldest);
    }
    // Nothing can be dropped where all were received.
    let mut test = test(|plan, _| (plan.capacity, plan.when_full) = (Some(1), WhenFull::DropOldest));
    test.send(0, 0);
    test.take(0, 0);
    let message = Message { job: 1, key: 0, priority: 0, sent: at(0) };
    assert_eq!(test.queue.send(message, at(1), &mut test.happened), Err(Full));
}
