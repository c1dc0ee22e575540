//! What a scenario says of an operating system shows in what its machines do.

use scalesim::Scenario;
use scalesim::machine::Machine;

use crate::machine::{jobs, play};

/// A scenario with a service and a machine as stated.
fn scenario(service: &str, machine: &str) -> Scenario {
    let text = format!(
        r#"
        [scenario]
        duration = "1min"
        [traffic.web]
        to = "front"
        profile = {{ constant = "100/s" }}
        [service.api]
        runtime = "thread-per-request"
        {service}
        [service.api.endpoint.x]
        steps = [{{ cpu = "5ms" }}]
        [group.web]
        service = "api"
        machine = "m"
        min = 1
        [balancer.front]
        targets = "web"
        [machine.m]
        {machine}
        "#
    );
    Scenario::parse(&text).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)))
}

/// Two threads that take turns on one vCPU take 1 + (switch + refill) / slice times as long as one after the other.
#[test]
fn cold_caches_cost_what_the_curve_says() {
    let curve = r#"[["1 MiB", "40us"], ["8 MiB", "390us"]]"#;
    for (refill, set, micros) in [
        (curve, "0 B", 0.0),
        (curve, "512 KiB", 20.0),
        (curve, "8 MiB", 390.0),
        (curve, "16 MiB", 790.0),
        ("\"90us\"", "0 B", 90.0),
    ] {
        for scheduler in ["shares", "slices"] {
            // Ticks so short that slices end where they are over.
            let machine = format!(
                "vcpus = 1\nscheduler = {{ {scheduler} = {{ slice = \"4ms\", tick = \"1us\", switch = \"10us\", refill = {refill} }} }}"
            );
            let scenario = scenario(&format!("working_set = \"{set}\""), &machine);
            let processor = &scenario.plan().groups[0].machine.processor;
            let done = play(&mut Machine::new(processor), &jobs(2, 400.0));
            let last = done[0].max(done[1]);
            let expected = 800.0 * (1.0 + (10.0 + micros) / 4_000.0);
            assert!((last - expected).abs() < 1e-3 * expected, "{scheduler}, {set}: {last} for {expected}");
        }
    }
}

#[test]
fn the_resolved_scenario_shows_the_curve() {
    let plain = scenario("", "vcpus = 1");
    let first = "refill = [[\"64 KiB\", \"0s\"], [\"256 KiB\", \"1.1us\"], ";
    assert!(plain.resolved().contains(first), "{}", plain.resolved());
    let own = "refill = [[\"512 KiB\", \"2.2us\"], [\"8 MiB\", \"310us\"]]";
    let curved =
        scenario("working_set = \"2 MiB\"", &format!("vcpus = 1\nscheduler = {{ slices = {{ {own} }} }}"));
    for part in [own, "working_set = \"2 MiB\""] {
        assert!(curved.resolved().contains(part), "{}", curved.resolved());
    }
    let again = Scenario::parse(curved.resolved()).unwrap();
    assert_eq!(again.plan().groups[0].machine, curved.plan().groups[0].machine);
    assert_eq!(again.resolved(), curved.resolved());
}
