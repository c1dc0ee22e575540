//! The control plane alone: many groups of many instances through a day, with hardly a request.
//!
//! `cargo run --release -p scalesim-benches --bin control_plane -- [groups] [instances] [hours]`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot start should stop")]

use std::fmt::Write;
use std::time::Instant;

use scalesim::{Experiment, Scenario};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>().unwrap());
    let groups = arguments.next().unwrap_or(1_000);
    let instances = arguments.next().unwrap_or(100);
    let hours = arguments.next().unwrap_or(24);
    let scenario = Scenario::parse(&text(groups, instances, hours)).unwrap();
    let begun = Instant::now();
    let run = Experiment::new(&scenario).run().run;
    let seconds = begun.elapsed().as_secs_f64();
    let minutes = 60 * u64::from(hours);
    let visits = minutes * u64::from(groups) * u64::from(instances);
    println!("{groups} groups of {instances} instances, {hours} h: {seconds:.2} s");
    println!(
        "{:.0} ns a group and minute, {:.1} ns an instance and minute; {} events, hash {}",
        1e9 * seconds / (minutes * u64::from(groups)) as f64,
        1e9 * seconds / visits as f64,
        run.events,
        run.order_hash
    );
}

/// Every policy evaluates each minute: CPU is far below its target, and each group is at its minimum.
fn text(groups: u32, instances: u32, hours: u32) -> String {
    let mut text = format!(
        r#"
        [scenario]
        duration = "{hours}h"
        [traffic.t]
        to = "b"
        profile = {{ constant = "1/s" }}
        [service.s]
        runtime = "thread-per-request"
        [service.s.endpoint.e]
        steps = [{{ cpu = "1ms" }}]
        [balancer.b]
        targets = "g0"
        health_check = "none"
        "#
    );
    for group in 0..groups {
        write!(
            text,
            r#"
            [group.g{group}]
            service = "s"
            machine = "c6i.large"
            zones = ["a", "b", "c"]
            min = {instances}
            max = {}
            monitoring = "detailed"
            scaling = [{{ target_tracking = {{ metric = "cpu", target = 50 }} }}]
            "#,
            2 * instances
        )
        .unwrap();
    }
    text
}
