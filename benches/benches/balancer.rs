//! Picking a target: each algorithm, by the number of targets. An iteration is a pick, and what a balancer is told when the
//! request begins and when another ends.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scalesim::balancer::{Client, Latency, Member, Rotation, Seen};
use scalesim::plan::{Algorithm, Balancer, GroupId, Hashing, Stickiness, StickyBy, TargetGroup};
use sim_core::{Seed, Span, Time};

/// Requests in progress for each target.
const IN_PROGRESS: usize = 2;

/// What targets weigh, in turn.
const EQUAL: [u32; 3] = [1, 1, 1];
const UNEQUAL: [u32; 3] = [5, 2, 1];

fn balancer(algorithm: Algorithm, stickiness: Option<Stickiness>, weights: [u32; 3]) -> Balancer {
    let target = |(group, weight)| TargetGroup { group: GroupId(group), weight };
    let targets = (0..).zip(weights).map(target).collect();
    Balancer { algorithm, stickiness, targets, ..Balancer::new("front", GroupId(0)) }
}

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    group.throughput(Throughput::Elements(1));
    let cookie = Some(Stickiness { duration: Span::from_secs(3_600), by: StickyBy::LbCookie });
    let random = Algorithm::Random { anomaly_mitigation: false };
    for (name, algorithm, stickiness, weights) in [
        ("round-robin", Algorithm::RoundRobin, None, EQUAL),
        ("random", random, None, EQUAL),
        ("least-outstanding-requests", Algorithm::LeastOutstandingRequests, None, EQUAL),
        ("power-of-two-choices", Algorithm::PowerOfChoices(2), None, EQUAL),
        ("power-of-five-choices", Algorithm::PowerOfChoices(5), None, EQUAL),
        ("peak-ewma", Algorithm::PeakEwma { decay: Span::from_secs(10) }, None, EQUAL),
        ("ip-hash", Algorithm::Hash(Hashing::Modulo), None, EQUAL),
        ("ring-hash", Algorithm::Hash(Hashing::Ring), None, EQUAL),
        ("maglev", Algorithm::Hash(Hashing::Maglev), None, EQUAL),
        ("cookie", Algorithm::RoundRobin, cookie, EQUAL),
        ("round-robin by weight", Algorithm::RoundRobin, None, UNEQUAL),
        ("random by weight", random, None, UNEQUAL),
        ("least-outstanding by weight", Algorithm::LeastOutstandingRequests, None, UNEQUAL),
    ] {
        for targets in [10u32, 100, 1_000, 10_000] {
            let plan = balancer(algorithm, stickiness, weights);
            let mut rotation = Rotation::new(&plan, 1, &[100_000], Seed::new(1));
            for instance in 0..targets {
                let weight = weights[instance as usize % weights.len()];
                rotation.add(Member { instance, weight, zone: 0 }, Time::ZERO);
            }
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
