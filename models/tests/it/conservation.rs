//! Nothing is lost: on random systems every request is accounted for, and Little's law holds.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::results::Outcome;
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Time};

/// A random system: runtime, sizes, balancer, retries, a crash, a schedule, a flash crowd, a call to a second service.
fn scenarios() -> impl Strategy<Value = String> {
    let runtime = prop_oneof![
        (0u32..50).prop_map(|queue| format!("{{ event-loop = {{ accept_queue = {queue} }} }}")),
        (1u32..20, 0u32..50).prop_map(|(threads, queue)| format!(
            "{{ thread-pool = {{ threads = {threads}, accept_queue = {queue} }} }}"
        )),
        Just("\"thread-per-request\"".to_string()),
        (0u32..50).prop_map(|queue| format!("{{ async = {{ accept_queue = {queue} }} }}")),
        (1u32..20, 0u32..50).prop_map(|(threads, queue)| format!(
            "{{ gil = {{ threads = {threads}, accept_queue = {queue} }} }}"
        )),
        (1u32..5, 0u32..50, prop::sample::select(vec!["round-robin", "shared", "reuse-port"])).prop_map(
            |(workers, queue, accept)| format!(
                "{{ cluster = {{ workers = {workers}, accept = \"{accept}\", accept_queue = {queue} }} }}"
            )
        ),
        (1u32..4, 1u32..4, prop::sample::select(vec!["round-robin", "shared", "reuse-port"])).prop_map(
            |(workers, threads, accept)| format!(
                "{{ processes = {{ workers = {workers}, accept = \"{accept}\", each = {{ thread-pool = {{ threads = {threads}, accept_queue = 9 }} }} }} }}"
            )
        ),
    ];
    let machine = prop::sample::select(vec![
        "",
        "scheduler = \"slices\"",
        "quota = { cpus = 0.8 }",
        "threads_per_core = 2\nbackground = [{ threads = 1, nice = 5 }]",
        "scheduler = { slices = { policy = \"cfs\" } }\nquota = { cpus = 0.9, period = \"20ms\" }",
        "credits = { per_hour = 12, launch = 2 }",
    ]);
    let algorithm = prop::sample::select(vec![
        "round-robin",
        "random",
        "least-outstanding-requests",
        "power-of-two-choices",
    ]);
    let sizes = (1u32..6, 1u32..5, 5u32..400, 0u32..4);
    (runtime, algorithm, sizes, machine, prop::bool::ANY, 1u64..1_000).prop_map(
        |(runtime, algorithm, (min, vcpus, rate, retries), machine, calls, seed)| {
            let call = if calls { ", { call = { to = \"inner\", endpoint = \"x\" } }" } else { "" };
            format!(
                r#"
                [scenario]
                duration = "12min"
                seed = {seed}
                [traffic.a]
                to = "front"
                profile = {{ constant = "{rate}/s" }}
                spikes = [{{ at = "4min", hold = "1min", decay = "30s", height = "x4" }}]
                mix = {{ "GET /" = 0.7, "POST /" = 0.3 }}
                timeout = "300ms"
                retry = {{ max = {retries}, backoff = "50ms" }}
                dispersion = 2.0
                [service.s]
                runtime = {runtime}
                [service.s.endpoint."GET /"]
                steps = [{{ cpu = {{ exp = {{ mean = "8ms" }} }} }}, {{ wait = {{ exp = {{ mean = "20ms" }} }} }}, {{ cpu = "1ms" }}{call}]
                [service.s.endpoint."POST /"]
                steps = [{{ wait = "5ms" }}, {{ pool = "2ms" }}, {{ cpu = {{ lognormal = {{ mean = "15ms", cv = 2.0 }} }} }}]
                [service.t]
                runtime = {{ thread-pool = {{ threads = 4, accept_queue = 5 }} }}
                [service.t.endpoint.x]
                steps = [{{ cpu = {{ exp = {{ mean = "5ms" }} }} }}]
                [machine.m]
                vcpus = {vcpus}
                {machine}
                [group.g]
                service = "s"
                machine = "m"
                min = {min}
                max = 8
                startup = {{ provision = "10s", boot = "10s", app = "5s" }}
                instance_warmup = "30s"
                monitoring = "detailed"
                [[group.g.scaling]]
                target_tracking = {{ metric = "cpu", target = 40, low_datapoints = 3 }}
                [[group.g.scaling]]
                scheduled = {{ at = "2min", min = 1, desired = 4 }}
                [[group.g.scaling]]
                scheduled = {{ at = "8min", desired = {min}, min = {min} }}
                [group.h]
                service = "t"
                machine = "m"
                min = 1
                [balancer.front]
                targets = "g"
                algorithm = "{algorithm}"
                deregistration_delay = "1s"
                health_check = {{ interval = "5s", timeout = "2s" }}
                [balancer.inner]
                targets = "h"
                [[incident]]
                crash = {{ group = "g", at = "3min" }}
                [[incident]]
                crash = {{ group = "h", at = "7min" }}
                [[sla]]
                objective = "p95 <= 100ms"
                window = "1min"
                [cost]
                prices = "aws-us-east-1"
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_request_is_accounted_for(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap();
        let results = Experiment::new(&scenario).run();
        let run = &results.run;
        prop_assert!(run.requests.conserved(), "{:?}", run.requests);
        prop_assert!(run.requests.offered > 1_000);
        for part in run.traffic.iter().chain(&run.endpoints) {
            prop_assert!(part.requests.conserved(), "{}: {:?}", part.name, part.requests);
        }
        // What clients sent is what the balancers got: attempts to the first, calls to the second.
        let to_front: u64 = run.endpoints.iter().filter(|part| part.name.starts_with("s:")).map(|part| part.requests.offered).sum();
        prop_assert_eq!(run.requests.attempts, to_front);
        // The last row of a run that reached a limit is shorter than the others.
        let end = match run.outcome {
            Outcome::Complete => results.duration,
            Outcome::Interrupted { at } | Outcome::Limit { at, .. } => at,
        };
        let in_rows: f64 = run.series.iter().map(|row| row.offered * run.interval.min(end - row.at)).sum();
        prop_assert!((in_rows - run.requests.offered as f64).abs() < 0.5, "{} in rows, {} in all", in_rows, run.requests.offered);
        let bill = run.bill.as_ref().unwrap();
        prop_assert!(bill.total > 0.0 && bill.total.is_finite());
        prop_assert!(run.series.iter().flat_map(|row| &row.groups).all(|group| group.desired <= group.max));
    }

    /// The ledger balances at every instant, not only at the end, and nothing is left inside once traffic stops.
    #[test]
    fn the_ledger_balances_at_every_instant(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap();
        let mut simulation = System::start(Arc::new(scenario.plan().clone()), Seed::new(3));
        for second in (5..=720).step_by(5) {
            simulation.run(Time::from_nanos(second * 1_000_000_000), u64::MAX, &mut ());
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= simulation.model.in_flight() as u64);
            }
        }
    }
}

/// L = λW, for what is inside a group, from a run's own figures; the rest is what was inside at either end.
#[test]
fn littles_law_holds() {
    let scenario = Scenario::parse(
        r#"
        [scenario]
        duration = "2h"
        [traffic.a]
        to = "front"
        profile = { constant = "300/s" }
        timeout = "none"
        [service.s]
        runtime = { thread-pool = { threads = 6, accept_queue = 1000000 } }
        [service.s.endpoint.x]
        steps = [{ cpu = { exp = { mean = "8ms" } } }, { wait = { exp = { mean = "10ms" } } }]
        [machine.m]
        vcpus = 2
        [group.g]
        service = "s"
        machine = "m"
        min = 3
        [balancer.front]
        targets = "g"
        algorithm = "random"
        "#,
    )
    .unwrap();
    let run = Experiment::new(&scenario).run().run;
    let rate = run.endpoints[0].requests.completed as f64 / 7_200.0;
    let inside = rate * run.endpoints[0].response_time.mean;
    let off = (inside - run.groups[0].requests_inside).abs();
    let edges = run.endpoints[0].requests.in_flight as f64 * run.endpoints[0].response_time.max / 7_200.0;
    assert!(
        off <= edges + 1e-6 * inside,
        "{inside} for {}: off by {off}, edges {edges}",
        run.groups[0].requests_inside
    );
}
