//! Picking a target: each algorithm, by the number of targets. An iteration is a pick, and what a balancer is told when the
//! request begins and when another ends.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scalesim::balancer::{Client, Latency, Rotation, Seen};
use scalesim::plan::{Algorithm, Balancer, GroupId, Hashing, HealthCheck, Stickiness, StickyBy};
use sim_core::{Seed, Span, Time};

/// Requests in progress for each target.
const IN_PROGRESS: usize = 2;

fn balancer(algorithm: Algorithm, stickiness: Option<Stickiness>) -> Balancer {
    let second = Span::from_secs(1);
    Balancer {
        name: "front".into(),
        targets: GroupId(0),
        algorithm,
        health_check: HealthCheck { interval: second, timeout: second, healthy: 2, unhealthy: 2 },
        deregistration_delay: second,
        keep_alive: None,
        stickiness,
    }
}

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    group.throughput(Throughput::Elements(1));
    let cookie = Some(Stickiness { duration: Span::from_secs(3_600), by: StickyBy::LbCookie });
    for (name, algorithm, stickiness) in [
        ("round-robin", Algorithm::RoundRobin, None),
        ("random", Algorithm::Random, None),
        ("least-outstanding-requests", Algorithm::LeastOutstandingRequests, None),
        ("power-of-two-choices", Algorithm::PowerOfChoices(2), None),
        ("power-of-five-choices", Algorithm::PowerOfChoices(5), None),
        ("peak-ewma", Algorithm::PeakEwma { decay: Span::from_secs(10) }, None),
        ("ip-hash", Algorithm::Hash(Hashing::Modulo), None),
        ("ring-hash", Algorithm::Hash(Hashing::Ring), None),
        ("maglev", Algorithm::Hash(Hashing::Maglev), None),
        ("cookie", Algorithm::RoundRobin, cookie),
    ] {
        for targets in [10u32, 100, 1_000, 10_000] {
            let mut rotation = Rotation::new(&balancer(algorithm, stickiness), &[100_000], Seed::new(1));
            (0..targets).for_each(|target| rotation.add(target));
            let mut outstanding = vec![0u32; targets as usize];
            let latencies = vec![Latency::default(); targets as usize];
            // Requests end in the order in which they began.
            let mut ring = vec![None; IN_PROGRESS * targets as usize];
            let mut key = 0u64;
            group.bench_function(BenchmarkId::new(name, targets), |bencher| {
                bencher.iter(|| {
                    key += 1;
                    let at = (key % ring.len() as u64) as usize;
                    if let Some(ended) = ring[at] {
                        outstanding[ended as usize] -= 1;
                        rotation.loaded(ended, outstanding[ended as usize]);
                    }
                    let client = Client { source: 0, number: (key % 99_991) as u32 };
                    let seen =
                        Seen { now: Time::from_nanos(key), outstanding: &outstanding, latencies: &latencies };
                    let picked = rotation.pick(black_box(key), client, &seen);
                    if let Some(target) = picked {
                        outstanding[target as usize] += 1;
                        rotation.loaded(target, outstanding[target as usize]);
                    }
                    ring[at] = picked;
                    picked
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, picks);
criterion_main!(benches);
