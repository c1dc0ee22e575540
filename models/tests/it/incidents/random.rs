//! All incidents at random instants, on random systems.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

/// A random system through all incidents at random instants.
fn scenarios() -> impl Strategy<Value = String> {
    let runtime = prop_oneof![
        Just("{ event-loop = { accept_queue = 30 } }".to_string()),
        Just("{ thread-pool = { threads = 5, accept_queue = 30 } }".to_string()),
        Just("{ gil = { threads = 5, accept_queue = 30 } }".to_string()),
        (1u32..5, prop::sample::select(vec!["round-robin", "shared", "reuse-port"])).prop_map(
            |(workers, accept)| format!("{{ cluster = {{ workers = {workers}, accept = \"{accept}\" }} }}")
        ),
        (1u32..4, prop::sample::select(vec!["shared", "reuse-port"])).prop_map(|(workers, accept)| format!(
            "{{ processes = {{ workers = {workers}, accept = \"{accept}\", each = {{ thread-pool = {{ threads = 3, accept_queue = 9 }} }} }} }}"
        )),
    ];
    let machine = prop::sample::select(vec![
        "",
        "scheduler = \"slices\"",
        "scheduler = { slices = { policy = \"cfs\" } }\nquota = { cpus = 0.9, period = \"20ms\" }",
        "background = [{ threads = 1, nice = 5 }]",
    ]);
    let supervisor = prop::sample::select(vec![
        "\"none\"",
        "\"pm2\"",
        "\"systemd\"",
        "{ pm2 = { exp_backoff_restart_delay = \"100ms\" } }",
        "{ restart = { delay = \"1s\", backoff = 2, give_up_after = 5, min_uptime = \"30s\" } }",
    ]);
    let balancer = prop::sample::select(vec![
        "algorithm = \"random\"",
        "algorithm = \"least-outstanding-requests\"\nconnections = { keep_alive = 8 }",
    ]);
    let check = prop::sample::select(vec!["\"ec2\"", "{ elb = { grace_period = \"20s\" } }"]);
    (runtime, machine, supervisor, balancer, check, 1u32..5, 1u64..1_000).prop_map(
        |(runtime, machine, supervisor, balancer, check, min, seed)| {
            format!(
                r#"
                [scenario]
                duration = "10min"
                seed = {seed}
                [traffic.a]
                to = "front"
                profile = {{ constant = "60/s" }}
                mix = {{ "GET /" = 0.7, "POST /" = 0.3 }}
                timeout = "500ms"
                retry = {{ max = 2, backoff = "50ms" }}
                [service.s]
                runtime = {runtime}
                supervisor = {supervisor}
                [service.s.endpoint."GET /"]
                steps = [{{ cpu = {{ exp = {{ mean = "8ms" }} }} }}, {{ wait = {{ exp = {{ mean = "50ms" }} }} }}, {{ call = {{ to = "front", endpoint = "inside" }} }}]
                [service.s.endpoint."POST /"]
                steps = [{{ wait = "5ms" }}, {{ pool = "2ms" }}, {{ call = {{ to = "inner", endpoint = "x" }} }}, {{ cpu = "10ms" }}]
                [service.s.endpoint.inside]
                steps = [{{ cpu = "1ms" }}, {{ wait = "20ms" }}]
                [service.t]
                runtime = {{ cluster = {{ workers = 2 }} }}
                supervisor = "pm2"
                [service.t.endpoint.x]
                steps = [{{ cpu = {{ exp = {{ mean = "5ms" }} }} }}, {{ wait = "10ms" }}]
                [machine.m]
                vcpus = 2
                {machine}
                [group.g]
                service = "s"
                machine = "m"
                zones = ["a", "b"]
                min = {min}
                max = 6
                startup = {{ provision = "5s", boot = "5s", app = {{ uniform = {{ low = "1s", high = "5s" }} }} }}
                health_check = {check}
                monitoring = "detailed"
                [[group.g.scaling]]
                target_tracking = {{ metric = "cpu", target = 40, low_datapoints = 3 }}
                [[group.g.scaling]]
                scheduled = {{ at = "3min", desired = 5 }}
                [group.h]
                service = "t"
                machine = "m"
                zones = ["b", "c"]
                min = 2
                startup = {{ provision = "5s", boot = "5s", app = "2s" }}
                [balancer.front]
                targets = "g"
                {balancer}
                deregistration_delay = "5s"
                health_check = {{ interval = "5s", timeout = "2s", healthy = 2 }}
                [balancer.inner]
                targets = "h"
                [[incident]]
                process_crash = {{ group = "g", every = {{ exp = {{ mean = "10s" }} }}, count = 2 }}
                [[incident]]
                process_crash = {{ group = "h", every = {{ exp = {{ mean = "20s" }} }} }}
                [[incident]]
                crash = {{ group = "g", every = {{ exp = {{ mean = "2min" }} }} }}
                [[incident]]
                crash_loop = {{ group = "g", every = {{ exp = {{ mean = "2min" }} }}, for = {{ exp = {{ mean = "20s" }} }} }}
                [[incident]]
                crash_loop = {{ group = "h", every = {{ exp = {{ mean = "1min" }} }}, for = "10s", count = 1, after = "0s" }}
                [[incident]]
                slow = {{ group = "g", every = {{ exp = {{ mean = "30s" }} }}, for = {{ exp = {{ mean = "20s" }} }}, factor = 3, count = 2 }}
                [[incident]]
                zone_loss = {{ zone = "a", every = {{ exp = {{ mean = "3min" }} }}, for = {{ exp = {{ mean = "1min" }} }} }}
                [[incident]]
                zone_loss = {{ zone = "b", every = {{ exp = {{ mean = "3min" }} }}, for = {{ exp = {{ mean = "1min" }} }} }}
                [[incident]]
                slow_dependency = {{ service = "s", every = {{ exp = {{ mean = "1min" }} }}, for = "20s", factor = 5 }}
                [[incident]]
                dependency_down = {{ service = "s", every = {{ exp = {{ mean = "1min" }} }}, for = "20s", share = 0.5, after = {{ exp = {{ mean = "1s" }} }} }}
                [[sla]]
                objective = "availability >= 99%"
                window = "1min"
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_ledger_balances_through_all_incidents(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = Arc::new(scenario.plan().clone());
        let mut simulation = System::start(plan.clone(), Seed::new(3));
        for second in (3..=300).step_by(3) {
            simulation.run(Time::ZERO + Span::from_secs(second), u64::MAX, &mut ());
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
                prop_assert!(source.ledger().in_flight <= simulation.model.in_flight() as u64);
            }
            for fleet in simulation.model.fleets() {
                prop_assert!(fleet.inside.value() >= 0.0 && fleet.serving.value() >= 0.0);
                prop_assert!(fleet.serving.value() <= fleet.members.len() as f64);
            }
        }
        // A fork in mid-run has the same future.
        let mut fork = simulation.clone();
        let end = Time::ZERO + plan.duration;
        simulation.run(end, u64::MAX, &mut ());
        fork.run(end, u64::MAX, &mut ());
        prop_assert_eq!(simulation.calendar.order_hash(), fork.calendar.order_hash());
        prop_assert_eq!(simulation.events(), fork.events());
        for source in &simulation.model.measure().sources {
            prop_assert!(source.ledger().conserved());
        }
    }

    #[test]
    fn resolved_incidents_are_the_same_incidents(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let again = Scenario::parse(scenario.resolved()).unwrap_or_else(|errors| panic!("{errors}"));
        prop_assert_eq!(scenario.resolved(), again.resolved());
        prop_assert_eq!(format!("{:?}", scenario.plan()), format!("{:?}", again.plan()));
    }

    #[test]
    fn incidents_are_the_same_with_the_same_seed(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let json = || serde_json::to_string(&Experiment::new(&scenario).run()).unwrap();
        prop_assert_eq!(json(), json());
    }
}
