//! The rules of Kafka, one a test. Groups of more than one are complete after 4 s: twice the initial delay, and a rebalance.

use sim_core::{Span, Time};

use super::hash::partition_of;
use super::partition::Record;
use super::*;
use crate::plan::{Assignor, QueueKind};

const RECEIVE_FROM: f64 = 4.0;

struct Topic {
    kafka: Kafka,
    now: f64,
    happened: Vec<Happened>,
}

fn secs(secs: f64) -> Time {
    Time::ZERO + Span::from_secs_f64(secs)
}

fn topic(edit: impl Fn(&mut plan::Queue, &mut plan::Kafka)) -> Topic {
    let mut own = plan::Kafka {
        partitions: 2,
        assignor: Assignor::Range,
        session_timeout: Span::from_secs(45),
        max_poll_interval: Span::from_secs(300),
        max_poll_records: 500,
        commit: Commit::EachRecord,
        rebalance: Span::from_secs(1),
        initial_rebalance_delay: Span::from_millis(1500),
        static_membership: false,
    };
    let mut plan = crate::queue::plain(QueueKind::Kafka(own));
    edit(&mut plan, &mut own);
    Topic { kafka: Kafka::new(&plan, own), now: 0.0, happened: Vec::new() }
}

impl Topic {
    fn time(&self) -> Time {
        secs(self.now)
    }

    /// Lets time pass until `at`, in seconds.
    fn until(&mut self, at: f64) -> &mut Topic {
        self.now = at;
        while self.kafka.due() <= secs(at) {
            let due = self.kafka.due();
            self.kafka.advance(due, &mut self.happened);
        }
        self
    }

    fn consumers(&mut self, consumers: impl IntoIterator<Item = u32>) -> &mut Topic {
        for consumer in consumers {
            let now = self.time();
            self.kafka.join(consumer, now, &mut self.happened);
            self.kafka.receive(consumer, now, &mut self.happened);
        }
        self
    }

    /// Sends a record to a partition.
    fn send(&mut self, job: u32, partition: u32) -> &mut Topic {
        let count = self.kafka.log.len() as u32;
        let key = (0..).find(|&key| partition_of(key, count) == partition).unwrap();
        let message = Message { job, key, priority: 0, sent: self.time() };
        self.kafka.send(message, self.time(), &mut self.happened).unwrap();
        self
    }

    fn receive(&mut self, consumer: u32) -> &mut Topic {
        self.kafka.receive(consumer, self.time(), &mut self.happened);
        self
    }

    fn acknowledge(&mut self, receipt: Receipt) -> bool {
        self.kafka.acknowledge(receipt, self.time(), &mut self.happened)
    }

    /// Consumer and job of each delivery since this was asked last, and the last receipt.
    fn deliveries(&mut self) -> (Vec<(u32, u32)>, Receipt) {
        let mut last = Receipt { place: u32::MAX, number: 0 };
        let mut deliveries = Vec::new();
        self.happened.retain(|happened| match *happened {
            Happened::Delivered { consumer, job, receipt, .. } => {
                deliveries.push((consumer, job));
                last = receipt;
                false
            }
            _ => true,
        });
        (deliveries, last)
    }

    fn delivered(&mut self) -> Vec<(u32, u32)> {
        self.deliveries().0
    }

    fn receipt(&mut self) -> Receipt {
        self.deliveries().1
    }

    /// What happened besides since this was asked last.
    fn others(&mut self) -> Vec<Happened> {
        let is_delivery = |happened: &Happened| matches!(happened, Happened::Delivered { .. });
        let (deliveries, others) = std::mem::take(&mut self.happened).into_iter().partition(is_delivery);
        self.happened = deliveries;
        others
    }

    fn consumed(&mut self) -> Vec<u32> {
        let consumed = self.others().into_iter().filter_map(|happened| match happened {
            Happened::Consumed { job } => Some(job),
            _ => None,
        });
        consumed.collect()
    }
}

#[test]
fn a_record_takes_sixteen_bytes() {
    assert_eq!(size_of::<Record>(), 16);
}

#[test]
fn records_of_a_partition_are_worked_on_one_at_a_time_and_in_order() {
    let mut topic = topic(|_, _| {});
    topic.consumers([0, 1]).until(RECEIVE_FROM);
    for job in 0..5 {
        topic.send(job, 1);
    }
    for job in 0..5 {
        let (delivered, receipt) = topic.deliveries();
        assert_eq!(delivered, [(1, job)], "never a second one, though consumer 0 is free");
        assert!(topic.acknowledge(receipt));
        topic.receive(1);
    }
    assert_eq!(topic.consumed(), [0, 1, 2, 3, 4]);
    assert_eq!(topic.kafka.depth(topic.time()), Depth::default());
}

#[test]
fn consumers_beyond_the_partitions_are_idle() {
    let mut topic = topic(|_, own| own.partitions = 3);
    topic.consumers(0..5).until(RECEIVE_FROM);
    assert_eq!(topic.kafka.idle_consumers(), 2);
    for job in 0..6 {
        topic.send(job, job % 3);
    }
    assert_eq!(topic.delivered(), [(0, 0), (1, 1), (2, 2)]);
}

#[test]
fn the_first_rebalance_waits_and_again_while_members_come() {
    let mut topic = topic(|_, own| own.initial_rebalance_delay = Span::from_secs(3));
    topic.send(7, 0).consumers([0]).until(2.0).consumers([1]);
    assert!(topic.until(6.999).delivered().is_empty());
    assert_eq!(topic.until(7.0).delivered(), [(0, 7)], "3 s, and 3 s more for the second, and 1 s");
    assert_eq!(topic.kafka.counts().rebalances, 1);
}

#[test]
fn an_eager_rebalance_stops_all_until_the_slowest_has_joined_again() {
    let mut topic = topic(|_, _| {});
    topic.consumers([0, 1]).until(RECEIVE_FROM).send(1, 0);
    let slow = topic.receipt();
    topic.until(10.0).consumers([2]).send(2, 1);
    assert!(topic.until(59.0).delivered().is_empty(), "consumer 1 had time, but no partition");
    topic.until(60.0);
    assert!(topic.acknowledge(slow), "it kept its partition until it polled");
    topic.receive(0);
    assert!(topic.until(60.9).delivered().is_empty());
    assert_eq!(topic.until(61.0).delivered(), [(1, 2)]);
    assert_eq!((topic.kafka.counts().rebalances, topic.kafka.idle_consumers()), (2, 1));
}

#[test]
fn a_cooperative_rebalance_goes_on_with_what_is_kept() {
    let mut topic = topic(|_, own| own.assignor = Assignor::CooperativeSticky);
    topic.consumers([0, 1]).until(RECEIVE_FROM).send(1, 0);
    let slow = topic.receipt();
    topic.until(10.0).consumers([2]).send(2, 1);
    assert_eq!(topic.delivered(), [(1, 2)], "while the group waits for consumer 0");
    topic.until(60.0);
    assert!(topic.acknowledge(slow));
    assert_eq!(topic.kafka.counts().rebalances, 1);
}

#[test]
fn a_cooperative_rebalance_moves_partitions_in_two_steps() {
    let mut topic = topic(|_, own| own.assignor = Assignor::CooperativeSticky);
    topic.consumers([0]).until(10.0).consumers([1]);
    topic.until(11.5).send(5, 0).send(6, 1);
    assert_eq!(topic.until(11.9).delivered(), [(0, 5)], "partition 1 is nobody's in between");
    assert_eq!(topic.until(12.0).delivered(), [(1, 6)]);
    assert_eq!(topic.kafka.counts().rebalances, 3);
}

#[test]
fn a_busy_consumer_gives_a_partition_up_at_its_next_poll() {
    let mut topic = topic(|_, own| own.assignor = Assignor::CooperativeSticky);
    topic.consumers([0]).until(10.0).consumers([1]).send(5, 0).send(6, 1);
    let receipt = topic.receipt();
    assert!(topic.until(20.0).delivered().is_empty());
    assert!(topic.acknowledge(receipt));
    topic.receive(0);
    assert!(topic.until(20.9).delivered().is_empty(), "it is given out by another rebalance");
    assert_eq!(topic.until(21.0).delivered(), [(1, 6)]);
}

#[test]
fn a_crashed_member_is_missed_after_the_session_timeout() {
    let mut topic = topic(|_, _| {});
    topic.consumers([0, 1]).until(RECEIVE_FROM).send(1, 0);
    assert_eq!(topic.delivered(), [(0, 1)]);
    topic.until(10.0).kafka.crash(0, secs(10.0), &mut Vec::new());
    assert!(topic.until(55.9).delivered().is_empty());
    assert_eq!(topic.until(56.0).delivered(), [(1, 1)], "45 s, and the rebalance");
}

#[test]
fn a_member_that_leaves_is_replaced_at_once() {
    let mut topic = topic(|_, _| {});
    topic.consumers([0, 1]).until(10.0);
    topic.kafka.leave(0, secs(10.0), &mut Vec::new());
    assert_eq!(topic.send(1, 0).until(11.0).delivered(), [(1, 1)]);
}

#[test]
fn a_consumer_that_does_not_poll_in_time_is_put_out_and_its_record_goes_to_another() {
    let mut topic = topic(|_, _| {});
    topic.consumers([0, 1]).until(RECEIVE_FROM).send(1, 0);
    let slow = topic.receipt();
    topic.until(303.9);
    assert!(topic.others().is_empty());
    assert_eq!(topic.until(304.0).others(), [Happened::PutOut { consumer: 0 }]);
    let (delivered, receipt) = topic.until(305.0).deliveries();
    assert_eq!(delivered, [(1, 1)]);
    assert!(!topic.until(310.0).acknowledge(slow));
    assert_eq!((topic.kafka.counts().stale, topic.kafka.counts().received_again), (1, 1));
    assert!(topic.receive(0).acknowledge(receipt));
    topic.receive(1).send(2, 0);
    assert_eq!(topic.until(311.0).delivered(), [(0, 2)], "it has joined again");
}

#[test]
fn all_records_of_a_poll_count_against_the_poll_interval() {
    let mut topic = topic(|_, own| own.max_poll_records = 2);
    topic.send(1, 0).send(2, 0).send(3, 0).consumers([0]).until(RECEIVE_FROM);
    let first = topic.receipt();
    topic.until(200.0);
    assert!(topic.acknowledge(first));
    let second = topic.receive(0).receipt();
    assert_eq!(topic.until(304.0).others().last(), Some(&Happened::PutOut { consumer: 0 }));
    assert!(!topic.acknowledge(second), "that its work began at 200 s does not help");
}

#[test]
fn automatic_commits_are_made_at_polls_once_the_interval_is_over() {
    let mut topic = topic(|_, own| own.commit = Commit::Auto(Span::from_secs(5)));
    topic.consumers([0]).until(RECEIVE_FROM).send(1, 0);
    let receipt = topic.receipt();
    topic.until(6.0);
    assert!(topic.acknowledge(receipt));
    assert!(topic.consumed().is_empty());
    assert_eq!(topic.receive(0).consumed(), [1], "5 s are over, and the next commit is at 11 s");
    let receipt = topic.until(7.0).send(2, 0).receipt();
    assert!(topic.acknowledge(receipt));
    topic.receive(0);
    assert_eq!(topic.kafka.depth(topic.time()).visible, 1, "the lag counts what is not committed");
    assert!(topic.until(10.9).consumed().is_empty());
    assert_eq!(topic.until(11.0).consumed(), [2], "a consumer that waits polls all the time");
}

#[test]
fn after_a_crash_all_since_the_last_commit_is_delivered_again() {
    let mut topic = topic(|_, own| (own.partitions, own.commit) = (1, Commit::Auto(Span::from_secs(5))));
    topic.send(1, 0).send(2, 0).consumers([0, 1]).until(RECEIVE_FROM);
    let receipt = topic.receipt();
    assert!(topic.acknowledge(receipt), "the work of the first is done");
    topic.until(8.0).receive(0).deliveries();
    topic.kafka.crash(0, secs(8.0), &mut Vec::new());
    topic.until(54.0);
    assert_eq!(topic.happened.len(), 1);
    assert!(matches!(topic.happened[0], Happened::Delivered { consumer: 1, job: 1, receives: 2, .. }));
}

#[test]
fn work_that_was_done_once_is_not_a_dead_letter_when_it_is_delivered_again() {
    let mut topic = topic(|plan, own| {
        plan.max_receives = Some(1);
        (own.partitions, own.commit) = (1, Commit::Auto(Span::from_secs(5)));
    });
    topic.send(1, 0).send(2, 0).consumers([0, 1]).until(RECEIVE_FROM);
    let receipt = topic.receipt();
    assert!(topic.acknowledge(receipt));
    topic.receive(0).deliveries();
    topic.kafka.crash(0, secs(4.0), &mut Vec::new());
    let (delivered, receipt) = topic.until(60.0).deliveries();
    assert_eq!(delivered, [(1, 1)]);
    assert!(topic.acknowledge(receipt));
    topic.receive(1);
    let dead = Happened::DeadLettered { job: 2, sent: Time::ZERO };
    assert!(topic.others().contains(&dead), "it has killed a consumer once");
}

#[test]
fn each_poll_commits_after_its_last_record() {
    let mut topic = topic(|_, own| (own.commit, own.max_poll_records) = (Commit::EachPoll, 2));
    topic.send(1, 0).send(2, 0).send(3, 0).consumers([0]).until(RECEIVE_FROM);
    let mut commits = Vec::new();
    for _ in 0..3 {
        let receipt = topic.receipt();
        assert!(topic.acknowledge(receipt));
        commits.push(topic.consumed());
        topic.receive(0);
    }
    assert_eq!(commits, [vec![], vec![1, 2], vec![3]]);
}

#[test]
fn a_consumer_that_leaves_commits_what_it_is_done_with() {
    let mut topic = topic(|_, own| (own.partitions, own.commit) = (1, Commit::Auto(Span::from_secs(50))));
    topic.send(1, 0).send(2, 0).consumers([0, 1]).until(RECEIVE_FROM);
    let receipt = topic.receipt();
    assert!(topic.acknowledge(receipt));
    assert_eq!(topic.receive(0).delivered(), [(0, 2)]);
    let now = topic.time();
    topic.kafka.leave(0, now, &mut topic.happened);
    assert_eq!(topic.consumed(), [1]);
    assert_eq!(topic.until(5.0).delivered(), [(1, 2)], "what it had in hand is not done");
}

#[test]
fn a_static_member_that_comes_back_in_time_keeps_its_partitions_without_a_rebalance() {
    let mut topic = topic(|_, own| own.static_membership = true);
    topic.consumers([0, 1]).until(10.0);
    topic.kafka.leave(0, secs(10.0), &mut Vec::new());
    assert!(topic.until(20.0).send(1, 0).until(40.0).delivered().is_empty());
    assert_eq!(topic.consumers([0]).delivered(), [(0, 1)]);
    assert_eq!(topic.kafka.counts().rebalances, 1);
}

#[test]
fn a_static_member_that_stays_away_is_replaced_after_the_session_timeout() {
    let mut topic = topic(|_, own| own.static_membership = true);
    topic.consumers([0, 1]).until(10.0);
    topic.kafka.leave(0, secs(10.0), &mut Vec::new());
    assert!(topic.send(1, 0).until(55.9).delivered().is_empty());
    assert_eq!(topic.until(56.0).delivered(), [(1, 1)]);
    topic.consumers([0]);
    assert_eq!(topic.kafka.idle_consumers(), 1, "it joins anew, and has to wait for consumer 1");
}

#[test]
fn the_retention_deletes_whether_consumed_or_not() {
    let mut topic = topic(|plan, own| {
        plan.retention = Some(Span::from_secs(100));
        own.commit = Commit::Auto(Span::from_secs(500));
    });
    topic.send(1, 0).send(2, 1).send(3, 1).consumers([0]).until(RECEIVE_FROM);
    let (delivered, receipt) = topic.deliveries();
    assert_eq!(delivered, [(0, 1)]);
    topic.until(50.0);
    assert!(topic.acknowledge(receipt));
    topic.receive(0).until(50.0);
    assert_eq!(
        topic.until(100.0).others(),
        [Happened::Consumed { job: 1 }],
        "nothing to lose; 2 and 3 were polled"
    );
    topic.kafka.crash(0, secs(100.0), &mut topic.happened);
    topic.until(100.0);
    let lost = [2, 3].map(|job| Happened::Lost { job, how: Loss::Expired });
    assert_eq!(topic.others(), lost);
}

#[test]
fn a_failed_record_is_tried_again_in_its_place_while_other_partitions_go_on() {
    let mut topic = topic(|_, _| {});
    topic.send(1, 0).send(2, 0).send(3, 1).consumers([0]).until(RECEIVE_FROM);
    let failed = topic.receipt();
    topic.kafka.fail(failed, Some(Span::from_secs(10)), secs(4.0), &mut topic.happened);
    let (delivered, receipt) = topic.receive(0).deliveries();
    assert_eq!(delivered, [(0, 3)]);
    assert!(topic.acknowledge(receipt));
    assert!(topic.receive(0).until(13.9).delivered().is_empty(), "2 waits behind 1");
    let (delivered, receipt) = topic.until(14.0).deliveries();
    assert_eq!(delivered, [(0, 1)]);
    assert!(topic.acknowledge(receipt));
    assert_eq!(topic.receive(0).delivered(), [(0, 2)]);
}

#[test]
fn a_record_that_failed_too_often_is_a_dead_letter_and_the_offset_moves_on() {
    let mut topic = topic(|plan, _| plan.max_receives = Some(2));
    topic.send(1, 0).send(2, 0).consumers([0]).until(RECEIVE_FROM);
    for _ in 0..2 {
        let receipt = topic.receipt();
        topic.kafka.fail(receipt, Some(Span::ZERO), secs(4.0), &mut topic.happened);
        topic.receive(0);
    }
    assert_eq!(topic.others(), [Happened::DeadLettered { job: 1, sent: Time::ZERO }]);
    let (delivered, receipt) = topic.deliveries();
    assert_eq!(delivered, [(0, 2)]);
    topic.kafka.reject(receipt, secs(4.0), &mut topic.happened);
    assert_eq!(topic.others(), [Happened::DeadLettered { job: 2, sent: Time::ZERO }]);
    assert_eq!(topic.kafka.depth(topic.time()), Depth::default());
}

#[test]
fn a_consumer_that_fails_without_a_word_begins_from_what_is_committed() {
    let mut topic = topic(|_, own| own.commit = Commit::EachPoll);
    topic.send(1, 0).send(2, 0).consumers([0]).until(RECEIVE_FROM);
    let receipt = topic.receipt();
    assert!(topic.acknowledge(receipt));
    let receipt = topic.receive(0).receipt();
    topic.kafka.fail(receipt, None, secs(4.0), &mut topic.happened);
    assert_eq!(topic.receive(0).delivered(), [(0, 1)]);
}

#[test]
fn a_full_topic_refuses_or_drops_the_oldest_that_nobody_has_polled() {
    for (when_full, lost) in [(WhenFull::Refuse, None), (WhenFull::DropOldest, Some(2))] {
        let mut topic = topic(|plan, own| {
            (plan.capacity, plan.when_full) = (Some(3), when_full);
            own.max_poll_records = 1;
        });
        topic.consumers([0]).until(RECEIVE_FROM).send(1, 0).send(2, 0).send(3, 1);
        let message = Message { job: 4, key: 0, priority: 0, sent: secs(4.0) };
        let sent = topic.kafka.send(message, secs(4.0), &mut topic.happened);
        assert_eq!(sent.is_ok(), lost.is_some());
        let expected: Vec<Happened> =
            lost.into_iter().map(|job| Happened::Lost { job, how: Loss::Dropped }).collect();
        assert_eq!(topic.others(), expected);
    }
}

#[test]
fn a_delayed_message_is_sent_once_its_delay_is_over() {
    let mut topic = topic(|plan, _| plan.delay = Span::from_secs(10));
    topic.consumers([0]).until(RECEIVE_FROM).send(1, 0);
    assert_eq!(
        topic.kafka.depth(secs(4.0)),
        Depth { delayed: 1, oldest: Some(secs(4.0)), ..Depth::default() }
    );
    assert!(topic.until(13.9).delivered().is_empty());
    assert_eq!(topic.until(14.0).delivered(), [(0, 1)]);
}

#[test]
fn a_poll_takes_records_of_its_partitions_in_turn() {
    let mut topic = topic(|_, own| own.max_poll_records = 1);
    topic.send(1, 0).send(2, 0).send(3, 1).consumers([0]).until(RECEIVE_FROM);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let (delivered, receipt) = topic.deliveries();
        jobs.extend(delivered.into_iter().map(|(_, job)| job));
        topic.acknowledge(receipt);
        topic.receive(0);
    }
    assert_eq!(jobs, [1, 3, 2]);
}
