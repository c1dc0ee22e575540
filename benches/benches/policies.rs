//! What a scaling policy costs each time that it is asked: target tracking, step and simple scaling, predictive scaling (between
//! two forecasts, and one that is made anew), the autoscaler of a managed instance group, the rules of a scale set, and a pass of
//! a HorizontalPodAutoscaler.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use scalesim::Scenario;
use scalesim::plan::Scaling;
use scalesim::scaling::hpa::pass::{self, Hpa, Seen, Values, pass};
use scalesim::scaling::hpa::pods::{Condition, Container, Phase, Pod, PodMetrics, Requests};
use scalesim::scaling::{ActivityState, Datapoint, Forecaster, Memory, Observation, forecast};
use sim_core::{Span, Time};

/// The policy that a scenario states so. New kinds have their line in [`POLICIES`].
fn policy(stated: &str) -> Scaling {
    let text = format!(
        r#"
        [scenario]
        duration = "1h"
        [traffic.t]
        to = "b"
        profile = {{ constant = "1/s" }}
        [service.s]
        runtime = "thread-per-request"
        [service.s.endpoint.e]
        steps = [{{ cpu = "1ms" }}]
        [group.g]
        service = "s"
        machine = "c6i.large"
        monitoring = "detailed"
        min = 1
        max = 100
        scaling = [{stated}]
        [balancer.b]
        targets = "g"
        "#
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    scenario.plan().groups[0].scaling[0].clone()
}

const POLICIES: [(&str, &str); 6] = [
    ("target tracking", "{ target_tracking = { target = 50 } }"),
    (
        "step scaling",
        r#"{ step = { alarm = { metric = "cpu", comparison = ">=", threshold = 40 }, adjustment_type = "percent-change-in-capacity", steps = [{ lower = 0, upper = 20, adjustment = 10 }, { lower = 20, adjustment = 30 }] } }"#,
    ),
    (
        "simple scaling",
        r#"{ simple = { alarm = { metric = "cpu", comparison = ">=", threshold = 60 }, adjustment_type = "change-in-capacity", adjustment = 1 } }"#,
    ),
    (
        "predictive, between forecasts",
        r#"{ predictive = { target = 50, mode = "forecast-and-scale", history = { profile = { constant = "1/s" } } } }"#,
    ),
    ("managed instance group", "{ mig = {} }"),
    (
        "scale set",
        r#"{ vmss = { rules = [{ direction = "out", threshold = 70, change = { count = 1 } }, { direction = "in", threshold = 30, change = { count = 1 } }] } }"#,
    ),
];

/// Two weeks of days.
fn history() -> Vec<Option<f64>> {
    (0..336u32).map(|hour| Some(400.0 + 300.0 * f64::from((hour % 24).abs_diff(12)))).collect()
}

/// What an HPA sees that keeps CPU at 80 % of what its pods ask for.
fn ten_pods() -> Seen {
    let now = Time::ZERO + Span::from_secs(3_600);
    let name = |number: u32| format!("pod-{number}");
    let container = || Container { name: "app".into(), requests: Requests { cpu: Some(500), memory: None } };
    let pod = |number| Pod {
        name: name(number),
        phase: Phase::Running,
        ready: Some(Condition { ready: true, since: Time::ZERO }),
        started: Some(Time::ZERO),
        deleted: false,
        containers: vec![container()],
        pod_level: None,
    };
    let metrics = |number| PodMetrics {
        pod: name(number),
        at: now,
        window: Span::from_secs(15),
        containers: vec![("app".into(), Some(390))],
    };
    Seen {
        now,
        min: 1,
        max: 100,
        replicas: 10,
        status_replicas: 10,
        pods: (0..10).map(pod).collect(),
        values: vec![Values::Resource((0..10).map(metrics).collect())],
    }
}

fn policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy");
    for (name, stated) in POLICIES {
        let scaling = policy(stated);
        let Some(policy) = scaling.policy() else { continue };
        let datapoints = (0..policy.lookback()).map(|n| Some(Datapoint::of(45.0 + (n % 7) as f64, 10)));
        let mut seen = Observation {
            now: Time::ZERO,
            datapoints: vec![datapoints.collect(); policy.metrics().len()],
            desired: 10,
            min: 1,
            max: 100,
            warming: 0,
            warm_at: None,
            terminating: 0,
            activity: ActivityState::None,
        };
        let minute = Span::from_secs(60);
        let mut memory = Memory::default();
        memory.forecaster = Some(Box::new(Forecaster::new(history(), Span::ZERO, (minute, minute))));
        // The first asks for a forecast; from then on time stands still, as far as forecasts go.
        policy.decide(&mut memory, &seen);
        let mut minutes = 0u64;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                minutes = minutes % 300 + 1;
                seen.now = Time::ZERO + minute.saturating_mul(minutes);
                black_box(policy.decide(&mut memory, black_box(&seen)))
            });
        });
    }
    let (hpa, mut seen) = (Hpa::default(), ten_pods());
    let mut memory = pass::Memory::default();
    group.bench_function("a pass of an HPA over ten pods", |bencher| {
        bencher.iter(|| {
            seen.now += Span::from_secs(15);
            black_box(pass(&hpa, &mut memory, black_box(&seen)))
        });
    });
    let history = history();
    group.bench_function("forecast of 48 h from 14 days", |bencher| {
        bencher.iter(|| black_box(forecast(black_box(&history))));
    });
    group.finish();
}

criterion_group!(benches, policies);
criterion_main!(benches);
