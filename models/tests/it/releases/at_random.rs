//! Releases of all kinds on random systems: nothing is lost, and nothing is left over.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Time};

/// A group with versions that differ in everything, behind any balancer, with websockets, crashes, a lost zone and scaling.
fn scenarios() -> impl Strategy<Value = String> {
    let balancer = prop::sample::select(vec![
        "algorithm = \"round-robin\"",
        "algorithm = \"round-robin\"\nslow_start = \"30s\"",
        "algorithm = \"least-outstanding-requests\"",
        "algorithm = \"weighted-random\"",
        "algorithm = \"peak-ewma\"",
        "algorithm = \"maglev\"",
        "algorithm = \"ip-hash\"",
        "stickiness = { lb_cookie = \"5min\" }",
        "cross_zone = false",
        "connections = { keep_alive = 8 }",
    ]);
    let how = prop_oneof![
        (0u32..=100, 0u32..=100, prop::bool::ANY).prop_map(|(min, above, rollback)| format!(
            "instance_refresh = {{ min_healthy = {min}, max_healthy = {}, instance_warmup = \"20s\", checkpoints = [30, 100], checkpoint_delay = \"30s\", bake_time = \"1min\", alarms = [\"a\"], auto_rollback = {rollback} }}",
            (100 + above).min(100 + min)
        )),
        (0u32..120).prop_map(|wait| format!("recreate = {{ wait = \"{wait}s\" }}")),
        (0u32..40, prop::bool::ANY, prop::bool::ANY).prop_map(|(drain, looks, rollback)| format!(
            "rolling = {{ drain = \"{drain}s\", wait_for_health = {looks}, timeout = \"2min\", pause = \"5s\", alarms = [\"a\"], auto_rollback = {rollback} }}"
        )),
        prop::bool::ANY.prop_map(|rollback| format!(
            "blue_green = {{ to = \"green\", steps = [20, 100], interval = \"1min\", timeout = \"3min\", terminate_after = \"30s\", alarms = [\"a\"], auto_rollback = {rollback} }}"
        )),
    ];
    let sizes = (1u32..5, 20u32..200, 1u64..1_000);
    let parts = (prop::sample::select(vec!["ec2", "elb"]), 0u32..=10, 0u32..=10);
    (balancer, how, sizes, parts).prop_map(
        |(balancer, how, (min, rate, seed), (health, fails, errors))| {
            let group = |name: &str, min: u32| {
                format!(
                    r#"
                    [group.{name}]
                    service = "s"
                    machine = "m"
                    zones = ["a", "b"]
                    min = {min}
                    max = 8
                    startup = {{ provision = "5s", boot = "5s", app = "5s" }}
                    health_check = "{health}"
                    instance_warmup = "20s"
                    monitoring = "detailed"
                    scaling = [{{ target_tracking = {{ target = 40, low_datapoints = 3 }} }}]
                    [group.{name}.version.v2]
                    service = "s2"
                    machine = "n"
                    [group.{name}.version.v2.startup]
                    user_data = [{{ name = "npm install", takes = {{ exp = {{ mean = "10s" }} }}, fails = 0.{fails:02} }}]
                    "#
                )
            };
            format!(
                r#"
                [scenario]
                duration = "16min"
                seed = {seed}
                [traffic.a]
                to = "front"
                profile = {{ constant = "{rate}/s" }}
                mix = {{ get = 1 }}
                clients = 200
                timeout = "300ms"
                retry = {{ max = 1, backoff = "50ms" }}
                [traffic.players]
                to = "front"
                profile = {{ constant = "1/s" }}
                mix = {{ connect = 1 }}
                clients = 200
                retry = {{ max = 3, backoff = "1s" }}
                sessions = {{ length = {{ exp = {{ mean = "90s" }} }}, messages = {{ move = "0.2/s" }} }}
                [service.s]
                runtime = {{ event-loop = {{ accept_queue = 50 }} }}
                endpoint.get.steps = [{{ cpu = {{ exp = {{ mean = "8ms" }} }} }}, {{ wait = {{ exp = {{ mean = "20ms" }} }} }}]
                endpoint.connect.steps = [{{ cpu = "1ms" }}]
                endpoint.move.steps = [{{ cpu = "1ms" }}]
                [service.s2]
                runtime = {{ processes = {{ workers = 2, each = {{ thread-pool = {{ threads = 3, accept_queue = 9 }} }} }} }}
                supervisor = "systemd"
                memory = {{ process = "100 MiB", request = "2 MiB", connection = "1 MiB" }}
                endpoint.get = {{ steps = [{{ wait = "1ms" }}, {{ cpu = {{ exp = {{ mean = "12ms" }} }} }}], errors = 0.{errors:02} }}
                endpoint.connect.steps = [{{ cpu = "2ms" }}]
                endpoint.move.steps = [{{ cpu = "2ms" }}, {{ wait = "5ms" }}]
                [machine.m]
                vcpus = 1
                [machine.n]
                vcpus = 2
                scheduler = "slices"
                memory = "2 GiB"
                {}
                {}
                [balancer.front]
                targets = {{ g = 1, green = 0 }}
                {balancer}
                deregistration_delay = "10s"
                health_check = {{ interval = "5s", timeout = "2s" }}
                [[incident]]
                crash = {{ group = "g", at = "4min" }}
                [[incident]]
                process_crash = {{ group = "g", at = "5min", count = 2 }}
                [[incident]]
                zone_loss = {{ zone = "b", at = "8min", for = "1min" }}
                [[incident]]
                slow = {{ group = "g", at = "6min", for = "1min", factor = 2, count = 2 }}
                [[incident]]
                slow_dependency = {{ service = "s2", at = "7min", for = "1min", factor = 3 }}
                [[release]]
                group = "g"
                at = "2min"
                version = "v2"
                how = {{ {how} }}
                [[release]]
                group = "g"
                at = "9min"
                how = "instance_refresh"
                [[sla]]
                name = "a"
                objective = "availability >= 80%"
                window = "1min"
                [cost]
                prices = "aws-us-east-1"
                "#,
                group("g", min),
                group("green", 0)
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn nothing_is_lost_in_a_release(text in scenarios()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let mut simulation = System::start(Arc::new(scenario.plan().clone()), Seed::new(3));
        for second in (5..=960).step_by(5) {
            simulation.run(Time::from_nanos(second * 1_000_000_000), u64::MAX, &mut ());
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
            }
            let audit = simulation.model.audit_sessions();
            prop_assert!(audit.is_ok(), "{:?} at {} s", audit, second);
        }
        let results = Experiment::new(&scenario).run();
        let run = &results.run;
        prop_assert!(run.requests.conserved(), "{:?}", run.requests);
        for part in run.traffic.iter().chain(&run.endpoints) {
            prop_assert!(part.requests.conserved(), "{}: {:?}", part.name, part.requests);
        }
        // Instances that are there are those of the start and those launched, less those that are gone.
        let last = run.series.last().unwrap();
        for (index, group) in run.groups.iter().enumerate() {
            let versions = run.versions.iter().filter(|version| version.group == group.name);
            let made: u64 = versions.map(|version| version.launched).sum();
            let there = u64::from(last.groups[index].serving + last.groups[index].starting);
            prop_assert!(made >= group.launched && made - group.terminated >= there);
        }
        let worked: u64 = run.versions.iter().map(|version| version.requests).sum();
        prop_assert!(worked <= run.endpoints.iter().map(|part| part.requests.offered).sum());
        prop_assert!(run.bill.as_ref().unwrap().total.is_finite());
        // The same again is the same.
        prop_assert_eq!(&Experiment::new(&scenario).run().run.order_hash, &run.order_hash);
    }
}
