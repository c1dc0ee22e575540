//! What is true of queues of every kind, whatever happens to them.

use std::collections::BTreeSet;

use rand::Rng;
use sim_core::chance::below;
use sim_core::{Seed, Span, Stream, Time};

use super::*;
use crate::plan::{self, QueueId, WhenFull};

const CONSUMERS: u32 = 6;
const GROUPS: u32 = 5;
/// More steps than this at one instant are a loop.
const PATIENCE: u32 = 10_000;

/// A plan with a bit of everything, drawn at random.
fn plan(stream: &mut Stream, kind: QueueKind) -> plan::Queue {
    let mut some = |chance: u32| below(stream, 4) < chance;
    plan::Queue {
        name: "jobs".to_owned(),
        kind,
        capacity: some(1).then_some(12),
        when_full: match (some(2), some(2)) {
            (true, _) => WhenFull::DropOldest,
            (_, true) => WhenFull::Refuse,
            _ => WhenFull::Block,
        },
        max_receives: some(2).then_some(3),
        dead_letter: some(2).then_some(QueueId(0)),
        retention: some(1).then_some(Span::from_secs(200)),
        delay: if some(1) { Span::from_secs(7) } else { Span::ZERO },
    }
}

fn sqs(stream: &mut Stream, fifo: bool) -> QueueKind {
    let mut some = |chance: u32| below(stream, 4) < chance;
    QueueKind::Sqs(plan::Sqs {
        fifo,
        visibility_timeout: Span::from_secs(if some(3) { 30 } else { 2 }),
        wait_time: Span::from_secs(if some(2) { 20 } else { 0 }),
        poll_interval: Span::from_secs(if some(2) { 3 } else { 0 }),
        batch: if some(2) { 4 } else { 1 },
        heartbeat: some(2).then_some(Span::from_secs(10)),
        in_flight: if some(1) { 3 } else { 20_000 },
        misses: if some(2) { 0.3 } else { 0.0 },
        duplicates: if some(2) { 0.2 } else { 0.0 },
    })
}

fn rabbitmq(stream: &mut Stream) -> QueueKind {
    QueueKind::RabbitMq(plan::RabbitMq {
        priorities: 1 + below(stream, 4) as u8,
        prefetch: [0, 1, 3, 20][below(stream, 4) as usize],
        consumer_timeout: Span::from_secs(60),
        notices: Span::from_secs(u64::from(below(stream, 2)) * 15),
    })
}

fn bullmq(stream: &mut Stream) -> QueueKind {
    QueueKind::BullMq(plan::BullMq {
        lock_duration: Span::from_secs(30),
        stalled_interval: Span::from_secs(10 + u64::from(below(stream, 3)) * 10),
        max_stalled_count: below(stream, 3),
    })
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Which of all messages.
    number: u64,
    key: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Consumer {
    here: bool,
    asked: bool,
    hand: Option<(Receipt, u32)>,
}

/// A queue, and what its driver knows.
struct Drive {
    queue: Queue,
    fifo: bool,
    now: Time,
    messages: Vec<Option<Sent>>,
    /// Messages of each key that are here, in the order they were sent in.
    keys: Vec<BTreeSet<u64>>,
    consumers: [Consumer; CONSUMERS as usize],
    sent: u64,
    gone: [u64; 3],
    log: Vec<(Time, Happened)>,
}

impl Drive {
    fn new(queue: Queue, fifo: bool) -> Drive {
        Drive {
            queue,
            fifo,
            now: Time::ZERO,
            messages: Vec::new(),
            keys: vec![BTreeSet::new(); GROUPS as usize],
            consumers: Default::default(),
            sent: 0,
            gone: [0; 3],
            log: Vec::new(),
        }
    }

    fn forget(&mut self, job: u32, how: usize) {
        let sent = self.messages[job as usize].take().expect("a message is gone once");
        self.keys[sent.key as usize].remove(&sent.number);
        self.gone[how] += 1;
    }

    fn note(&mut self, happened: Vec<Happened>) {
        for happened in happened {
            self.log.push((self.now, happened));
            match happened {
                Happened::Delivered { consumer, job, receipt, receives } => {
                    let sent = self.messages[job as usize].expect("what is gone is not delivered");
                    let taker = &mut self.consumers[consumer as usize];
                    assert!(taker.here && taker.asked && receives > 0, "{consumer} did not ask");
                    taker.asked = false;
                    taker.hand = Some((receipt, job));
                    let first = self.keys[sent.key as usize].first();
                    assert!(!self.fifo || first == Some(&sent.number), "out of order in its group");
                }
                Happened::Consumed { job } => self.forget(job, 0),
                Happened::DeadLettered { job, .. } => self.forget(job, 1),
                Happened::Lost { job, .. } => self.forget(job, 2),
                Happened::PutOut { consumer } => assert!(self.consumers[consumer as usize].here),
            }
        }
        self.check();
    }

    fn check(&self) {
        let depth = self.queue.depth(self.now);
        let counts = self.queue.counts();
        let here = depth.visible + depth.in_flight + depth.delayed;
        assert_eq!(self.sent, self.gone.iter().sum::<u64>() + here, "{depth:?} {counts:?}");
        assert_eq!([counts.sent, counts.consumed], [self.sent, self.gone[0]]);
        assert_eq!([counts.dead_lettered, counts.lost], [self.gone[1], self.gone[2]]);
        assert_eq!(depth, self.queue.recount(self.now));
    }

    /// Time passes, as the driver lets it.
    fn pass(&mut self, span: Span) {
        let until = self.now + span;
        let mut steps = 0;
        while self.queue.due() <= until {
            let instant = self.queue.due().max(self.now);
            steps = if instant == self.now { steps + 1 } else { 0 };
            assert!(steps < PATIENCE, "nothing comes of it at {instant}");
            self.now = instant;
            let mut happened = Vec::new();
            self.queue.advance(instant, &mut happened);
            self.note(happened);
            assert!(self.queue.due() >= instant, "due in the past");
        }
        self.now = until;
    }

    fn send(&mut self, stream: &mut Stream) {
        let key = u64::from(below(stream, GROUPS));
        let free = self.messages.iter().position(Option::is_none);
        let job = free.unwrap_or(self.messages.len());
        let ago = Span::from_secs(if below(stream, 8) == 0 { 150 } else { 0 });
        let sent = if self.fifo { self.now } else { self.now - ago };
        let priority = below(stream, 6) as u8;
        let message = Message { job: job as u32, key, priority, sent };
        let mut happened = Vec::new();
        // It may be delivered before the call comes back.
        let noted = Some(Sent { number: self.log.len() as u64 + self.sent, key });
        let before = if job == self.messages.len() {
            self.messages.push(noted);
            None
        } else {
            std::mem::replace(&mut self.messages[job], noted)
        };
        match self.queue.send(message, self.now, &mut happened) {
            Ok(()) => {
                self.sent += 1;
                self.keys[key as usize].insert(noted.map_or(0, |noted| noted.number));
            }
            Err(Full) => self.messages[job] = before,
        }
        self.note(happened);
    }

    fn finish(&mut self, consumer: usize, how: u32) {
        let Some((receipt, job)) = self.consumers[consumer].hand.take() else { return };
        let mut happened = Vec::new();
        let secs = Span::from_secs;
        match how {
            0 => self.queue.reject(receipt, self.now, &mut happened),
            1 => self.queue.fail(receipt, None, self.now, &mut happened),
            2 => self.queue.fail(receipt, Some(Span::ZERO), self.now, &mut happened),
            3 => self.queue.fail(receipt, Some(secs(12)), self.now, &mut happened),
            _ => {
                let good = self.queue.acknowledge(receipt, self.now, &mut happened);
                let consumed = happened.contains(&Happened::Consumed { job });
                assert!(consumed || !good || matches!(self.queue.commits_later(), true));
                assert!(good || !consumed, "a stale receipt acknowledges nothing");
            }
        }
        self.note(happened);
    }

    fn step(&mut self, stream: &mut Stream) {
        let consumer = below(stream, CONSUMERS);
        let index = consumer as usize;
        let mut happened = Vec::new();
        match below(stream, 24) {
            0..8 => self.send(stream),
            8..12 => self.pass(Span::from_millis(stream.next_u64() % 9_000)),
            12..14 if self.consumers[index].hand.is_some() => {
                let how = below(stream, 8);
                self.finish(index, how);
            }
            14 if self.consumers[index].here => {
                let leaves = self.consumers[index].hand.is_none();
                self.consumers[index] = Consumer::default();
                if leaves {
                    self.queue.leave(consumer, self.now, &mut happened);
                } else {
                    self.queue.crash(consumer, self.now, &mut happened);
                }
            }
            15 if self.consumers[index].asked => {
                self.consumers[index].asked = false;
                self.queue.stop_receiving(consumer, self.now, &mut happened);
            }
            16 => self.queue.advance(self.now, &mut happened),
            17.. if self.consumers[index].hand.is_none() && !self.consumers[index].asked => {
                if !self.consumers[index].here {
                    self.consumers[index].here = true;
                    self.queue.join(consumer, self.now, &mut happened);
                    self.note(std::mem::take(&mut happened));
                }
                self.consumers[index].asked = true;
                self.queue.receive(consumer, self.now, &mut happened);
            }
            _ => self.pass(Span::from_millis(stream.next_u64() % 500)),
        }
        self.note(happened);
    }
}

/// Plays at random, and lets all that is left be consumed.
fn play(seed: u64, kind: fn(&mut Stream) -> QueueKind) -> Vec<(Time, Happened)> {
    let mut stream = Seed::new(seed).stream("plan");
    let own = kind(&mut stream);
    let plan = plan(&mut stream, own);
    let fifo = matches!(&plan.kind, QueueKind::Sqs(own) if own.fifo);
    let mut drive = Drive::new(Queue::new(&plan, Seed::new(seed)), fifo);
    let mut stream = Seed::new(seed).stream("steps");
    for _ in 0..600 {
        drive.step(&mut stream);
    }
    for _ in 0..2_000 {
        for consumer in 0..CONSUMERS {
            let index = consumer as usize;
            drive.finish(index, 9);
            if !drive.consumers[index].asked {
                drive.consumers[index].asked = true;
                drive.consumers[index].here = true;
                let mut happened = Vec::new();
                drive.queue.receive(consumer, drive.now, &mut happened);
                drive.note(happened);
            }
        }
        drive.pass(Span::from_secs(1));
    }
    assert_eq!(drive.gone.iter().sum::<u64>(), drive.sent, "{plan:?}: {:?}", drive.queue.depth(drive.now));
    drive.log
}

fn holds(kind: fn(&mut Stream) -> QueueKind) {
    for seed in 0..400 {
        let log = play(seed, kind);
        assert!(log == play(seed, kind), "the same operations have the same results");
    }
}

#[test]
fn messages_are_conserved_in_standard_queues_of_sqs() {
    holds(|stream| sqs(stream, false));
}

#[test]
fn messages_are_conserved_in_fifo_queues_of_sqs() {
    holds(|stream| sqs(stream, true));
}

#[test]
fn messages_are_conserved_in_rabbitmq() {
    holds(rabbitmq);
}

#[test]
fn messages_are_conserved_in_bullmq() {
    holds(bullmq);
}
