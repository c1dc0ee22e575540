//! The rules of RabbitMQ, each by its name.

use super::*;
use crate::plan::{QueueId, QueueKind};

fn at(secs: u64) -> Time {
    Time::ZERO + Span::from_secs(secs)
}

struct Test {
    queue: RabbitMq,
    happened: Vec<Happened>,
}

fn test(change: impl FnOnce(&mut plan::Queue, &mut plan::RabbitMq)) -> Test {
    let mut own = plan::RabbitMq {
        priorities: 1,
        prefetch: 1,
        consumer_timeout: Span::from_secs(1800),
        notices: Span::from_secs(30),
    };
    let mut plan = crate::queue::plain(QueueKind::RabbitMq(own));
    change(&mut plan, &mut own);
    Test { queue: RabbitMq::new(&plan, own), happened: Vec::new() }
}

impl Test {
    fn send(&mut self, job: u32, priority: u8, now: u64) {
        let message = Message { job, key: 0, priority, sent: at(now) };
        self.queue.send(message, at(now), &mut self.happened).unwrap();
    }

    fn join(&mut self, consumer: u32, now: u64) {
        self.queue.join(consumer, at(now), &mut self.happened);
    }

    fn ask(&mut self, consumer: u32, now: u64) -> Vec<(u32, u32, u32, Receipt)> {
        self.happened.clear();
        self.queue.receive(consumer, at(now), &mut self.happened);
        self.delivered()
    }

    fn delivered(&mut self) -> Vec<(u32, u32, u32, Receipt)> {
        let delivered = self.happened.iter().filter_map(|happened| match *happened {
            Happened::Delivered { consumer, job, receipt, receives } => {
                Some((consumer, job, receives, receipt))
            }
            _ => None,
        });
        delivered.collect()
    }

    fn advance(&mut self) -> Time {
        self.happened.clear();
        let due = self.queue.due();
        self.queue.advance(due, &mut self.happened);
        due
    }
}

#[test]
fn messages_of_a_more_urgent_priority_come_first() {
    let mut test = test(|_, own| own.priorities = 3);
    for (job, priority) in [(0, 2), (1, 1), (2, 0), (3, 1), (4, 9)] {
        test.send(job, priority, 0);
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let delivered = test.ask(0, 1);
        order.push(delivered[0].1);
        test.queue.acknowledge(delivered[0].3, at(1), &mut test.happened);
    }
    assert_eq!(order, [2, 1, 3, 0, 4], "what is beyond the last priority has the last");
}

#[test]
fn a_consumer_has_prefetch_messages_whether_or_not_it_comes_to_them() {
    let mut test = test(|_, own| own.prefetch = 3);
    test.join(0, 0);
    for job in 0..5 {
        test.send(job, 0, 0);
    }
    assert_eq!(test.queue.depth(at(0)).in_flight, 3);
    assert!(test.ask(1, 1).iter().all(|delivered| delivered.1 == 3), "others get what is left");
    let first = test.ask(0, 1)[0];
    assert_eq!(first.1, 0);
    test.queue.acknowledge(first.3, at(2), &mut test.happened);
    assert_eq!(test.queue.depth(at(2)).in_flight, 4, "an acknowledgement makes room for one");
}

#[test]
fn messages_are_pushed_to_channels_in_turn() {
    let mut test = test(|_, own| own.prefetch = 2);
    for consumer in 0..3 {
        test.join(consumer, 0);
        test.ask(consumer, 0);
    }
    test.happened.clear();
    for job in 0..6 {
        test.send(job, 0, 1);
    }
    let pairs: Vec<(u32, u32)> = test.delivered().iter().map(|taken| (taken.0, taken.1)).collect();
    assert_eq!(pairs, [(0, 0), (1, 1), (2, 2)]);
    assert_eq!(test.queue.depth(at(1)).in_flight, 6);
}

#[test]
fn what_a_dead_consumer_had_goes_back_to_its_place_once_the_broker_notices() {
    let mut test = test(|_, own| own.prefetch = 2);
    test.join(0, 0);
    for job in 0..4 {
        test.send(job, 0, 0);
    }
    test.ask(0, 0);
    test.queue.crash(0, at(10), &mut test.happened);
    assert_eq!(test.queue.depth(at(10)).in_flight, 2, "nobody knows yet");
    assert_eq!(test.advance(), at(40));
    let mut order = Vec::new();
    for _ in 0..4 {
        let delivered = test.ask(1, 41);
        order.push((delivered[0].1, delivered[0].2));
        test.queue.acknowledge(delivered[0].3, at(41), &mut test.happened);
    }
    assert_eq!(order, [(0, 2), (1, 2), (2, 1), (3, 1)]);
}

#[test]
fn the_broker_pushes_to_a_dead_consumer_until_it_notices() {
    let mut test = test(|_, _| {});
    test.join(0, 0);
    test.queue.crash(0, at(10), &mut test.happened);
    test.send(7, 0, 15);
    assert_eq!(test.queue.depth(at(15)).in_flight, 1);
    assert_eq!(test.ask(1, 16), []);
    assert_eq!(test.advance(), at(40));
    assert_eq!(test.delivered()[0].1, 7);
}

#[test]
fn a_consumer_that_leaves_gives_back_at_once_what_it_has_not_begun() {
    let mut test = test(|_, own| own.prefetch = 3);
    test.join(0, 0);
    for job in 0..3 {
        test.send(job, 0, 0);
    }
    let first = test.ask(0, 0)[0];
    test.queue.stop_receiving(0, at(1), &mut test.happened);
    assert!(test.queue.acknowledge(first.3, at(2), &mut test.happened));
    assert_eq!(test.queue.depth(at(2)).in_flight, 2);
    test.queue.leave(0, at(2), &mut test.happened);
    assert_eq!(test.queue.depth(at(2)).visible, 2);
}

#[test]
fn nack_without_requeue_and_reject_lead_to_the_dead_letter_exchange() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    let first = test.ask(0, 0)[0];
    test.queue.reject(first.3, at(1), &mut test.happened);
    assert_eq!(test.happened.last(), Some(&Happened::DeadLettered { job: 1, sent: at(0) }));
}

#[test]
fn nack_with_requeue_puts_it_back_to_its_place() {
    let mut test = test(|plan, _| plan.max_receives = Some(2));
    test.send(1, 0, 0);
    test.send(2, 0, 0);
    let first = test.ask(0, 0)[0];
    test.queue.fail(first.3, Some(Span::ZERO), at(1), &mut test.happened);
    let again = test.ask(0, 1)[0];
    assert_eq!((again.1, again.2), (1, 2));
    // The delivery limit is looked at when it goes back.
    test.queue.fail(again.3, Some(Span::ZERO), at(2), &mut test.happened);
    assert!(test.happened.contains(&Happened::DeadLettered { job: 1, sent: at(0) }));
}

#[test]
fn a_failed_message_that_is_to_wait_is_published_anew_at_the_end() {
    let mut test = test(|_, _| {});
    test.send(1, 0, 0);
    test.send(2, 0, 0);
    let first = test.ask(0, 0)[0];
    test.queue.fail(first.3, Some(Span::from_secs(5)), at(1), &mut test.happened);
    assert_eq!(test.queue.depth(at(1)).delayed, 1);
    test.send(3, 0, 2);
    assert_eq!(test.advance(), at(6));
    let mut order = Vec::new();
    for _ in 0..3 {
        let delivered = test.ask(0, 7)[0];
        order.push(delivered.1);
        test.queue.acknowledge(delivered.3, at(7), &mut test.happened);
    }
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn a_delivery_that_is_not_acknowledged_in_time_closes_the_channel() {
    let mut test = test(|_, own| own.prefetch = 2);
    test.join(0, 0);
    test.send(1, 0, 0);
    test.send(2, 0, 0);
    let first = test.ask(0, 600)[0];
    test.ask(1, 600);
    // From the push, not from when the consumer began.
    assert_eq!(test.advance(), at(1800));
    assert_eq!(test.happened[0], Happened::PutOut { consumer: 0 });
    assert_eq!(test.delivered()[0].1, 1);
    assert!(!test.queue.acknowledge(first.3, at(1801), &mut test.happened));
    assert_eq!(test.ask(0, 1802), [], "its new channel works, and there is nothing for it");
    test.send(3, 0, 1803);
    assert_eq!(test.delivered()[0].1, 3);
}

#[test]
fn messages_expire_only_while_they_wait_and_are_dead_lettered_where_that_is_set() {
    let mut test = test(|plan, _| {
        (plan.retention, plan.dead_letter) = (Some(Span::from_secs(60)), Some(QueueId(0)));
    });
    test.send(1, 0, 0);
    test.send(2, 0, 0);
    let first = test.ask(0, 0)[0];
    assert_eq!(test.advance(), at(60));
    assert_eq!(test.happened, [Happened::DeadLettered { job: 2, sent: at(0) }]);
    assert_eq!(test.queue.depth(at(100)).in_flight, 1);
    test.happened.clear();
    test.queue.fail(first.3, Some(Span::ZERO), at(100), &mut test.happened);
    assert_eq!(test.happened, [Happened::DeadLettered { job: 1, sent: at(0) }]);
}
