//! Random walks: whatever senders and consumers do, no message is forgotten, and none is given out that is gone.

use rand::Rng;
use sim_core::{Seed, Span, Time};

use super::{Happened, Message, Queue, Receipt};
use crate::plan::{self, Assignor, Commit, QueueKind, WhenFull};

const CONSUMERS: u32 = 5;
const STEPS: u32 = 1500;
const WALKS: u64 = 150;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Away,
    Nothing,
    Waiting,
    Work(Receipt),
}

/// A message that is not gone, or the place of one.
#[derive(Clone, Copy, Debug)]
struct Job {
    here: bool,
    sent: Time,
    key: u64,
    sequence: u64,
}

/// What a queue is told, and what is known of it by that.
struct Walk {
    queue: Queue,
    now: Time,
    jobs: Vec<Job>,
    free: Vec<u32>,
    consumers: Vec<Doing>,
    stale: Vec<Receipt>,
    /// What was delivered for the first time last, of each key: nothing sent later may have been.
    first_deliveries: Vec<(Time, u64)>,
    /// Messages sent at one instant keep their order too. What is delayed in a sorted set of Redis does not.
    strict: bool,
    finals: [u64; 3],
    sequence: u64,
    log: u64,
    happened: Vec<Happened>,
}

impl Walk {
    fn new(queue: Queue, strict: bool) -> Self {
        Walk {
            queue,
            strict,
            now: Time::ZERO,
            jobs: Vec::new(),
            free: Vec::new(),
            consumers: vec![Doing::Away; CONSUMERS as usize],
            stale: Vec::new(),
            first_deliveries: vec![(Time::ZERO, 0); 4],
            finals: [0; 3],
            sequence: 0,
            log: 0,
            happened: Vec::new(),
        }
    }

    fn step(&mut self, draw: u64) {
        let consumer = (draw >> 8) as u32 % CONSUMERS;
        let doing = self.consumers[consumer as usize];
        let (queue, now, happened) = (&mut self.queue, self.now, &mut self.happened);
        match (draw % 16, doing) {
            (0..4, _) => self.send(draw >> 16),
            (4, _) => self.pass((draw >> 16) % 20_000),
            (5, _) if draw & 0x700 == 0 => self.pass((draw >> 16) % 200_000),
            (6, _) => {
                if let Some(receipt) = self.stale.pop() {
                    queue.acknowledge(receipt, now, happened);
                }
            }
            (7, Doing::Waiting) => {
                queue.stop_receiving(consumer, now, happened);
                self.consumers[consumer as usize] = Doing::Nothing;
            }
            (8, Doing::Nothing) => {
                queue.leave(consumer, now, happened);
                self.consumers[consumer as usize] = Doing::Away;
            }
            (9, Doing::Nothing | Doing::Waiting | Doing::Work(_)) if draw & 0x10000 == 0 => {
                queue.crash(consumer, now, happened);
                self.consumers[consumer as usize] = Doing::Away;
                if let Doing::Work(receipt) = doing {
                    self.stale.push(receipt);
                }
            }
            (_, Doing::Away) => {
                queue.join(consumer, now, happened);
                self.consumers[consumer as usize] = Doing::Nothing;
            }
            (_, Doing::Nothing) => {
                self.consumers[consumer as usize] = Doing::Waiting;
                queue.receive(consumer, now, happened);
            }
            (_, Doing::Work(receipt)) => {
                match (draw >> 16) % 16 {
                    0 => queue.fail(receipt, None, now, happened),
                    1 => queue.fail(receipt, Some(Span::ZERO), now, happened),
                    2 => queue.fail(receipt, Some(Span::from_millis((draw >> 24) % 30_000)), now, happened),
                    3 => queue.reject(receipt, now, happened),
                    _ => {
                        queue.acknowledge(receipt, now, happened);
                    }
                }
                self.consumers[consumer as usize] = Doing::Nothing;
            }
            _ => {}
        }
        self.settle();
    }

    fn send(&mut self, draw: u64) {
        let job = self.free.pop().unwrap_or(self.jobs.len() as u32);
        self.sequence += 1;
        let new = Job { here: true, sent: self.now, key: draw % 4, sequence: self.sequence };
        let message = Message { job, key: new.key, priority: 0, sent: new.sent };
        if job as usize == self.jobs.len() {
            self.jobs.push(Job { here: false, ..new });
        }
        let before = std::mem::replace(&mut self.jobs[job as usize], new);
        if self.queue.send(message, self.now, &mut self.happened).is_err() {
            self.jobs[job as usize] = before;
            self.free.push(job);
        }
    }

    /// Lets time pass, with looks at the queue when it asks for them, and some too early.
    fn pass(&mut self, millis: u64) {
        let until = self.now + Span::from_millis(millis);
        self.queue.advance(self.now, &mut self.happened);
        self.settle();
        while self.queue.due() <= until {
            assert!(self.queue.due() >= self.now);
            self.now = self.queue.due();
            self.queue.advance(self.now, &mut self.happened);
            assert!(self.queue.due() > self.now, "nothing that is due is left");
            self.settle();
        }
        self.now = until;
    }

    /// Hears what has happened, and compares the queue with a count of all jobs.
    fn settle(&mut self) {
        for happened in std::mem::take(&mut self.happened) {
            for byte in format!("{happened:?} {:?}", self.now).bytes() {
                self.log = (self.log ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
            }
            match happened {
                Happened::Delivered { consumer, job, receipt, receives } => {
                    let known = self.jobs[job as usize];
                    assert!(known.here, "{job} is gone");
                    assert_eq!(self.consumers[consumer as usize], Doing::Waiting);
                    self.consumers[consumer as usize] = Doing::Work(receipt);
                    if receives == 1 {
                        let last = &mut self.first_deliveries[known.key as usize];
                        let in_order = last.1 < known.sequence || !self.strict && last.0 == known.sent;
                        assert!(in_order, "order within a key");
                        *last = (known.sent, known.sequence);
                    }
                }
                Happened::Consumed { job } => self.gone(job, 0),
                Happened::DeadLettered { job, sent } => {
                    assert_eq!(sent, self.jobs[job as usize].sent);
                    self.gone(job, 1);
                }
                Happened::Lost { job, .. } => self.gone(job, 2),
                Happened::PutOut { consumer } => {
                    assert_ne!(self.consumers[consumer as usize], Doing::Waiting)
                }
            }
        }
        let (depth, counts) = (self.queue.depth(self.now), self.queue.counts());
        assert_eq!([counts.consumed, counts.dead_lettered, counts.lost], self.finals);
        let here = self.jobs.iter().filter(|job| job.here);
        assert_eq!(depth.oldest, here.clone().map(|job| job.sent).min());
        assert_eq!(depth.visible + depth.in_flight + depth.delayed, here.count() as u64);
        assert_eq!(
            counts.sent,
            self.finals.iter().sum::<u64>() + depth.visible + depth.in_flight + depth.delayed
        );
    }

    fn gone(&mut self, job: u32, how: usize) {
        assert!(std::mem::take(&mut self.jobs[job as usize].here), "{job} is said to be gone twice");
        self.finals[how] += 1;
        self.free.push(job);
    }
}

/// Walks, twice the same way.
fn walk(name: &str, kind: impl Fn(u64) -> QueueKind) {
    let mut total = [0; 3];
    for seed in 0..WALKS {
        let mut draws = Seed::new(seed).stream(name);
        let options = draws.next_u64();
        let pick = |bit: u32| options >> bit & 1 == 1;
        let plan = plan::Queue {
            name: name.to_owned(),
            kind: kind(options >> 8),
            capacity: pick(0).then_some(20),
            when_full: if pick(1) { WhenFull::DropOldest } else { WhenFull::Block },
            max_receives: pick(2).then_some(3),
            dead_letter: None,
            retention: pick(3).then_some(Span::from_secs(120)),
            delay: Span::from_secs(if pick(4) { 7 } else { 0 }),
        };
        let walks = [(); 2].map(|()| {
            let mut draws = draws.clone();
            let mut walk =
                Walk::new(Queue::new(&plan, Seed::new(seed)), plan.delay.is_zero() || name == "kafka");
            for _ in 0..STEPS {
                walk.step(draws.next_u64());
            }
            (walk.log, walk.finals)
        });
        assert_eq!(walks[0], walks[1], "the same operations have the same results");
        for (sum, count) in total.iter_mut().zip(walks[0].1) {
            *sum += count;
        }
    }
    assert!(total.iter().all(|&count| count > 1000), "{name} shows all ends: {total:?}");
}

#[test]
fn kafka_forgets_no_message() {
    walk("kafka", |options| {
        let commit = match options % 4 {
            0 => Commit::EachRecord,
            1 => Commit::EachPoll,
            2 => Commit::Auto(Span::from_secs(5)),
            _ => Commit::Auto(Span::ZERO),
        };
        let own = plan::Kafka {
            partitions: [1, 2, 3, 8][(options >> 2) as usize % 4],
            assignor: if options & 16 == 0 { Assignor::Range } else { Assignor::CooperativeSticky },
            session_timeout: Span::from_secs(10),
            max_poll_interval: Span::from_secs(30),
            max_poll_records: [1, 3, 500, 500][(options >> 5) as usize % 4],
            commit,
            rebalance: Span::from_millis(if options & 128 == 0 { 0 } else { 500 }),
            initial_rebalance_delay: Span::from_secs(3),
            static_membership: options & 256 == 0,
        };
        QueueKind::Kafka(own)
    });
}

#[test]
fn a_redis_list_forgets_no_message() {
    walk("redis list", |options| {
        let processing = (options & 1 == 0).then_some(Span::from_secs(20));
        QueueKind::RedisList(plan::RedisList { processing })
    });
}

#[test]
fn a_redis_stream_forgets_no_message() {
    walk("redis stream", |options| {
        let claim_every = Span::from_millis(if options & 1 == 0 { 3000 } else { 0 });
        QueueKind::RedisStream(plan::RedisStream { min_idle: Span::from_secs(20), claim_every })
    });
}
