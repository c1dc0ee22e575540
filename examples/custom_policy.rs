//! A policy of one's own, beside two that the house has: a group that follows the clock of a shop, without its control plane.
//!
//! `cargo run --release -p scalesim-examples --example custom_policy`

use std::sync::Arc;

use scalesim::plan::{Metric, Scaling};
use scalesim::scaling::{ActivityState, Datapoint, Decision, Memory, Observation, Policy, Verdict};
use scalesim::{Diagnostics, Experiment, Scenario};
use sim_core::{Span, Time};

/// Ten instances for the load of an hour, whoever asks: an evening that doubles within ten minutes.
const SCENARIO: &str = r#"
[scenario]
name = "A policy of one's own"
duration = "2h"
[traffic.web]
to = "front"
profile = { points = { at = [["0s", "60/s"], ["1h", "60/s"], ["70min", "300/s"], ["2h", "300/s"]] } }
timeout = "5s"
[service.api]
runtime = { thread-pool = { threads = 50 } }
[service.api.endpoint."GET /"]
steps = [{ cpu = { exp = { mean = "10ms" } } }]
[group.web]
service = "api"
machine = "c7g.large"
min = 1
max = 10
monitoring = "detailed"
scaling = [{ target_tracking = { metric = "cpu", target = 50 } }]
[balancer.front]
targets = "web"
[[sla]]
name = "fast"
objective = "p95 <= 100ms"
[cost]
prices = "aws-us-east-1"
"#;

/// Where the load goes: the size for what CPU will be in a few minutes, if it goes on as it did over the last ones.
#[derive(Debug)]
struct Trend {
    /// CPU in percent to hold.
    target: f64,
    /// Minutes that the line is drawn through.
    behind: usize,
    /// Minutes that it is drawn ahead: a launch and a late datapoint.
    ahead: f64,
}

impl Policy for Trend {
    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::Cpu]
    }

    fn lookback(&self) -> usize {
        self.behind
    }

    // Instances that boot do nothing yet; their idle CPU is not to be taken for a falling load.
    fn estimated_instance_warmup(&self) -> Option<Span> {
        Some(Span::from_secs(120))
    }

    fn decide(&self, memory: &mut Memory, seen: &Observation) -> Decision {
        let loads: Vec<f64> = seen.points(0).iter().flatten().map(|point| point.total).collect();
        let (Some(first), Some(last)) = (loads.first(), loads.last()) else {
            return Decision::wait(Verdict::InsufficientData, "No datapoints.");
        };
        let slope = (last - first) / (loads.len() as f64 - 1.0).max(1.0);
        let load = (last + slope * self.ahead).max(0.0);
        let wanted = ((load / self.target).ceil() as u32).clamp(seen.min, seen.max);
        let words =
            format!("CPU of {last:.0} % in all changes by {slope:+.1} % a minute: {wanted} are needed");
        // Down only what was not needed for ten minutes.
        memory.numbers.push(f64::from(wanted));
        memory.numbers.drain(..memory.numbers.len().saturating_sub(10));
        let peak = memory.numbers.iter().copied().fold(0.0, f64::max) as u32;
        if wanted > seen.desired {
            Decision::scale_out(wanted, format!("{words}; from {}.", seen.desired))
        } else if peak < seen.desired && memory.numbers.len() == 10 {
            Decision::scale_in(peak, format!("{words}, and {peak} at most for ten minutes."))
        } else {
            Decision::wait(Verdict::WithinTarget, format!("{words}, and {} are desired.", seen.desired))
        }
    }
}

/// A policy is a function: it can be asked without a simulation.
fn asked_by_itself() {
    let policy = Trend { target: 50.0, behind: 5, ahead: 4.0 };
    let rising = [100.0, 120.0, 140.0, 160.0, 180.0].map(|total| Some(Datapoint::of(total / 2.0, 2)));
    let seen = Observation {
        now: Time::ZERO + Span::from_secs(600),
        datapoints: vec![rising.to_vec()],
        desired: 2,
        min: 1,
        max: 10,
        warming: 0,
        warm_at: None,
        terminating: 0,
        activity: ActivityState::None,
    };
    let decision = policy.decide(&mut Memory::default(), &seen);
    assert_eq!(decision.wanted, Some(6), "180 and four times 20, at 50 each");
    println!("asked by itself:  {}", decision.description);
}

fn main() -> Result<(), Diagnostics> {
    asked_by_itself();
    let scenario = Scenario::parse(SCENARIO)?;
    let mut plan = scenario.plan().clone();
    plan.groups[0].scaling = vec![Scaling::Custom(Arc::new(Trend { target: 50.0, behind: 5, ahead: 4.0 }))];
    let own = Experiment::of(plan, "the scenario, with a trend for its policy");
    for (name, experiment) in [("target tracking", Experiment::new(&scenario)), ("trend", own)] {
        let results = experiment.run();
        let (fast, group) = (&results.run.objectives[0], &results.run.groups[0]);
        println!(
            "{name:<17} {:>4.0} min violated, worst p95 {:>5.0} ms, up to {} instances, ${:.2}",
            fast.violation_minutes,
            fast.worst.map_or(0.0, |window| 1_000.0 * window.value),
            group.serving_max,
            results.run.bill.as_ref().map_or(0.0, |bill| bill.total)
        );
    }
    Ok(())
}
