//! Queues alone: one message sent, received and acknowledged, with few and with many that wait.
//!
//! `cargo run --release -p scalesim-benches --bin queues -- [messages]`

use std::time::Instant;

use scalesim::plan;
use scalesim::queue::{Happened, Message, Queue, Receipt};
use sim_core::{Seed, Span, Time};

/// Consumers that take messages in turn.
const CONSUMERS: u32 = 10;

fn main() {
    let messages = std::env::args().nth(1).and_then(|argument| argument.parse().ok()).unwrap_or(3_000_000);
    println!("{:22}{:>14}{:>14}{:>14}", "ns a message", "1 000 wait", "1 000 000", "bytes each");
    for (name, kind) in kinds() {
        let before = resident();
        let (few, _) = play(&kind, 1_000, messages);
        let (many, held) = play(&kind, 1_000_000, messages);
        let bytes = (held - before) / 1e6;
        println!("{name:22}{few:>14.0}{many:>14.0}{bytes:>14.0}");
    }
}

/// Each kind as it comes, with its defaults.
fn kinds() -> Vec<(&'static str, plan::QueueKind)> {
    let secs = Span::from_secs;
    let sqs = plan::Sqs {
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
    let rabbitmq =
        plan::RabbitMq { priorities: 1, prefetch: 10, consumer_timeout: secs(1800), notices: secs(30) };
    let bullmq = plan::BullMq { lock_duration: secs(30), stalled_interval: secs(30), max_stalled_count: 1 };
    let kafka = plan::Kafka {
        partitions: 10,
        assignor: plan::Assignor::Range,
        session_timeout: secs(45),
        max_poll_interval: secs(300),
        max_poll_records: 500,
        commit: plan::Commit::Auto(secs(5)),
        rebalance: secs(3),
        initial_rebalance_delay: secs(3),
        static_membership: false,
    };
    let stream = plan::RedisStream { min_idle: secs(60), claim_every: secs(30) };
    vec![
        ("SQS", plan::QueueKind::Sqs(sqs)),
        ("SQS, batches of 10", plan::QueueKind::Sqs(plan::Sqs { batch: 10, ..sqs })),
        ("SQS, heartbeats", plan::QueueKind::Sqs(plan::Sqs { heartbeat: Some(secs(10)), ..sqs })),
        ("SQS FIFO, 1000 groups", plan::QueueKind::Sqs(plan::Sqs { fifo: true, ..sqs })),
        ("Kafka, 10 partitions", plan::QueueKind::Kafka(kafka)),
        ("Redis list", plan::QueueKind::RedisList(plan::RedisList { processing: None })),
        ("Redis list, LMOVE", plan::QueueKind::RedisList(plan::RedisList { processing: Some(secs(300)) })),
        ("Redis stream", plan::QueueKind::RedisStream(stream)),
        ("RabbitMQ", plan::QueueKind::RabbitMq(rabbitmq)),
        ("BullMQ", plan::QueueKind::BullMq(bullmq)),
    ]
}

/// Nanoseconds a message, and the bytes that are resident with `waiting` messages in the queue.
fn play(kind: &plan::QueueKind, waiting: u32, messages: u64) -> (f64, f64) {
    let plan = plan::Queue {
        name: "jobs".to_owned(),
        kind: kind.clone(),
        capacity: None,
        when_full: plan::WhenFull::Refuse,
        max_receives: Some(3),
        dead_letter: None,
        retention: Some(Span::from_secs(4 * 24 * 3600)),
        delay: Span::ZERO,
    };
    let mut queue = Queue::new(&plan, Seed::new(1));
    let mut happened = Vec::new();
    let mut now = Time::ZERO;
    let mut number = 0_u64;
    // Kafka holds what was consumed until it is committed: there are job numbers for that as well.
    let mut free: Vec<u32> = (waiting..waiting + 200_000).rev().collect();
    for job in 0..waiting {
        let sent = queue.send(message(job, now), now, &mut happened);
        assert!(sent.is_ok(), "it has no bound");
    }
    let held = resident();
    for consumer in 0..CONSUMERS {
        queue.join(consumer, now, &mut happened);
    }
    // What rebalances must be over before anybody gets anything.
    now += Span::from_secs(60);
    while queue.due() <= now {
        queue.advance(queue.due().max(Time::ZERO), &mut happened);
    }
    happened.clear();
    let mut hands: Vec<Option<Receipt>> = vec![None; CONSUMERS as usize];
    for consumer in 0..CONSUMERS {
        queue.receive(consumer, now, &mut happened);
    }
    let begun = Instant::now();
    let mut done = 0_u64;
    while done < messages {
        for event in happened.drain(..) {
            match event {
                Happened::Delivered { consumer, receipt, .. } => hands[consumer as usize] = Some(receipt),
                Happened::Consumed { job } => free.push(job),
                _ => {}
            }
        }
        now += Span::from_micros(100);
        if queue.due() <= now {
            queue.advance(now, &mut happened);
        }
        if let Some(job) = free.pop() {
            let sent = queue.send(message(job, now), now, &mut happened);
            assert!(sent.is_ok(), "it has no bound");
        }
        let consumer = (number % u64::from(CONSUMERS)) as u32;
        number += 1;
        if let Some(receipt) = hands[consumer as usize].take() {
            queue.acknowledge(receipt, now, &mut happened);
            queue.receive(consumer, now, &mut happened);
            done += 1;
        }
    }
    (begun.elapsed().as_nanos() as f64 / done as f64, held)
}

fn message(job: u32, sent: Time) -> Message {
    Message { job, key: u64::from(job % 1_000), priority: 0, sent }
}

/// Bytes; Linux tells.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()).unwrap_or(0.0)
        * 1024.0
}
