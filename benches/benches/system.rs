//! The whole product: fifty instances of eight cores, and the day cycle.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scalesim::Scenario;
use scalesim_benches::system;

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("system");
    group.sample_size(10);
    for (name, steps) in [("one burst", system::ONE_BURST), ("two bursts", system::TWO_BURSTS)] {
        let fifty = system::fifty_instances(steps, "shares", 2.0);
        group.throughput(Throughput::Elements(system::requests(&fifty)));
        group.bench_function(format!("50 instances of 8 cores, {name}"), |b| {
            b.iter(|| system::requests(&fifty))
        });
    }
    for scheduler in ["shares", "slices"] {
        let evening = system::evening(scheduler);
        group.throughput(Throughput::Elements(system::requests(&evening)));
        group.bench_function(format!("evening of the day cycle, {scheduler}"), |b| {
            b.iter(|| system::requests(&evening))
        });
    }
    let day = include_str!("../../examples/day-cycle.toml");
    let day = Scenario::parse(day).expect("the example is sound");
    group.throughput(Throughput::Elements(system::requests(&day)));
    group.bench_function("day cycle", |b| b.iter(|| system::requests(&day)));
}

criterion_group!(benches, whole);
criterion_main!(benches);
