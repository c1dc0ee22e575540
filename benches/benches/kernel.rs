//! The kernel: calendar, draws, queues.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::Rng;
use scalesim_benches::{by_hand, kernel};
use sim_core::Seed;
use sim_core::dist::Dist;

fn hold(c: &mut Criterion) {
    let mut group = c.benchmark_group("hold");
    let steps = 200_000;
    group.throughput(Throughput::Elements(steps)).sample_size(10);
    for pending in [10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        group.bench_with_input(BenchmarkId::new("sim-core", pending), &pending, |b, &n| {
            b.iter(|| kernel::hold(n, steps))
        });
        group.bench_with_input(BenchmarkId::new("bare 4-ary heap", pending), &pending, |b, &n| {
            b.iter(|| by_hand::hold(n, steps))
        });
    }
}

fn draws(c: &mut Criterion) {
    let mut group = c.benchmark_group("draws");
    let (mut stream, keyed) = (Seed::new(1).stream("bench"), Seed::new(1).keyed("bench"));
    group.bench_function("stream", |b| b.iter(|| stream.next_u64()));
    let mut number = 0;
    group.bench_function("keyed", |b| {
        b.iter(|| {
            number += 1;
            keyed.at(number).next_u64()
        })
    });
    let dists = [
        ("exponential", Dist::exponential(1.0)),
        ("lognormal", Dist::lognormal(1.0, 1.0)),
        ("gamma", Dist::gamma(1.0, 0.7)),
        ("weibull", Dist::weibull(0.8, 1.0)),
    ];
    for (name, dist) in dists {
        let dist = dist.expect("the parameters are sound");
        group.bench_function(name, |b| b.iter(|| dist.sample(&mut stream)));
    }
}

fn queues(c: &mut Criterion) {
    let mut group = c.benchmark_group("queues");
    let customers = 200_000;
    group.throughput(Throughput::Elements(customers)).sample_size(10);
    for servers in [1, 8] {
        group.bench_with_input(BenchmarkId::new("sim-core M/M/c", servers), &servers, |b, &c| {
            b.iter(|| kernel::fifo(c, customers))
        });
        group.bench_with_input(BenchmarkId::new("by hand M/M/c", servers), &servers, |b, &c| {
            b.iter(|| by_hand::fifo(c, customers))
        });
    }
    group.bench_function("sim-core M/M/1-PS", |b| b.iter(|| kernel::sharing(customers)));
    group.bench_function("by hand M/M/1-PS", |b| b.iter(|| by_hand::sharing(customers)));
}

fn machines(c: &mut Criterion) {
    let mut group = c.benchmark_group("machines, 64 runnable on 8 vCPUs");
    let count = 200_000;
    group.throughput(Throughput::Elements(count)).sample_size(10);
    group.bench_function("shares: bursts", |b| b.iter(|| kernel::bursts(count)));
    group.bench_function("slices: quanta", |b| b.iter(|| kernel::quanta(count)));
}

criterion_group!(benches, hold, draws, queues, machines);
criterion_main!(benches);
