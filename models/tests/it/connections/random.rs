//! Random systems with connections: nothing is lost on the way.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

/// A random system with connections: crashes, scale-in, loss, latency, retries, calls.
fn systems() -> impl Strategy<Value = String> {
    let connections = prop_oneof![
        Just("\"per-request\"".to_string()),
        (1u32..30, 1u32..4, 1u32..3_000).prop_map(|(requests, most, idle)| format!(
            "{{ keep_alive = {{ requests = {requests}, most = {most}, idle = \"{idle}ms\" }} }}"
        )),
        (1u32..5).prop_map(|streams| format!("{{ http2 = {{ streams = {streams}, idle = \"2s\" }} }}")),
    ];
    let network = prop::sample::select(vec![
        "",
        "network = { round_trip = \"0s\" }",
        "network = { round_trip = \"30ms\", tls = \"1.3\" }",
        "network = { round_trip = \"150ms\", tls = \"1.2\" }",
    ]);
    let algorithm = prop::sample::select(vec!["flow-hash", "round-robin", "least-outstanding-requests"]);
    let sticky = prop::sample::select(vec!["", "stickiness = { source_ip = \"10s\" }"]);
    let runtime = prop::sample::select(vec![
        "\"thread-per-request\"",
        "{ cluster = { workers = 3, accept_queue = 9 } }",
        "{ processes = { workers = 3, accept = \"shared\", backlog = 5, each = { thread-pool = { threads = 2, accept_queue = 9 } } } }",
        "{ processes = { workers = 2, accept = \"reuse-port\", each = { gil = { threads = 3, accept_queue = 9 } } } }",
    ]);
    let when = (60u32..400, 60u32..400, 60u32..400, 1u32..60, 0.01f64..1.0);
    ((connections, network, algorithm, sticky, runtime), when, 2u32..60, 1u64..1_000).prop_map(
        |((connections, network, algorithm, sticky, runtime), (crash, shrink, loss, lasts, share), rate, seed)| {
            format!(
                r#"
                scenario = {{ duration = "15min", seed = {seed} }}
                [traffic.a]
                to = "front"
                profile = {{ points = {{ at = [["0s", "{rate}/s"], ["9min", "{rate}/s"], ["9min", "0/s"]] }} }}
                clients = 20
                timeout = "400ms"
                retry = {{ max = 2, backoff = "30ms" }}
                connections = {connections}
                {network}
                [service.s]
                runtime = {runtime}
                endpoint.e.steps = [{{ cpu = {{ exp = {{ mean = "15ms" }} }} }}, {{ wait = {{ exp = {{ mean = "60ms" }} }} }}, {{ call = {{ to = "inner", endpoint = "x" }} }}]
                [service.i]
                runtime = "async"
                endpoint.x.steps = [{{ cpu = {{ exp = {{ mean = "2ms" }} }} }}]
                [machine.m]
                vcpus = 2
                [group.g]
                service = "s"
                machine = "m"
                min = 1
                desired = 3
                max = 3
                startup = {{ provision = "10s", boot = "10s", app = "5s" }}
                health_check = {{ elb = {{ grace_period = "10s" }} }}
                scaling = [{{ manual = {{ at = "{shrink}s", desired = 1 }} }}]
                [group.i]
                service = "i"
                machine = "m"
                min = 1
                [balancer.front]
                targets = "g"
                algorithm = "{algorithm}"
                {sticky}
                deregistration_delay = "3s"
                health_check = {{ interval = "5s", timeout = "2s" }}
                [balancer.inner]
                targets = "i"
                [[incident]]
                crash = {{ group = "g", at = "{crash}s", count = 2 }}
                [[incident]]
                packet_loss = {{ to = "front", at = "{loss}s", for = "{lasts}s", share = {share} }}
                [[incident]]
                network_latency = {{ to = "inner", at = "{loss}s", for = "{lasts}s", add = "20ms" }}
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Every request is accounted for at every instant; when traffic has stopped and connections have idled, nothing is left.
    #[test]
    fn nothing_is_lost_on_the_way(text in systems()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let plan = Arc::new(scenario.plan().clone());
        let mut simulation = System::start(plan.clone(), Seed::new(3));
        for second in (2..=870).step_by(4) {
            simulation.run(Time::from_nanos(second * 1_000_000_000), u64::MAX, &mut ());
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= simulation.model.in_flight() as u64);
            }
        }
        // Between two health checks.
        let end = Time::ZERO + Span::from_millis(871_300);
        simulation.run(end, u64::MAX, &mut ());
        prop_assert_eq!(simulation.model.in_flight(), 0);
        prop_assert_eq!(simulation.model.open_connections(), 0);
        // A fork has the same future.
        let mut original = System::start(plan, Seed::new(3));
        original.run(Time::ZERO + Span::from_secs(200), u64::MAX, &mut ());
        let mut fork = original.clone();
        original.run(end, u64::MAX, &mut ());
        fork.run(end, u64::MAX, &mut ());
        prop_assert_eq!(original.calendar.order_hash(), fork.calendar.order_hash());
        prop_assert_eq!(original.calendar.order_hash(), simulation.calendar.order_hash());
        let results = Experiment::new(&scenario).run();
        prop_assert!(results.run.traffic.iter().chain(&results.run.endpoints).all(|part| part.requests.conserved()));
    }
}
