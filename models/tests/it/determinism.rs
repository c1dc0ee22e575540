//! Same scenario and seed, same bytes: on one thread or many, with tables in any order, forked in mid-run.

use std::sync::Arc;

use scalesim::plan::Plan;
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

const HEAD: &str = "[scenario]\nduration = \"20min\"\nseed = 9\n";

const TABLES: [&str; 8] = [
    "[traffic.web]\nto = \"front\"\nprofile = { constant = \"80/s\" }\nmix = { \"GET /\" = 3, \"GET /b\" = 1 }\ntimeout = \"1s\"\nretry = { max = 1 }\n",
    "[traffic.mobile]\nto = \"front\"\nprofile = { constant = \"40/s\" }\nmix = { \"GET /b\" = 1 }\n",
    "[service.api]\nruntime = \"event-loop\"\n",
    "[service.api.endpoint.\"GET /\"]\nsteps = [{ cpu = { exp = { mean = \"5ms\" } } }]\n",
    "[service.api.endpoint.\"GET /b\"]\nsteps = [{ cpu = { lognormal = { mean = \"9ms\", cv = 1.0 } } }, { wait = { gamma = { mean = \"5ms\", cv = 2.0 } } }]\n",
    "[group.web]\nservice = \"api\"\nmachine = \"c7g.large\"\nmin = 2\nmax = 5\nmonitoring = \"detailed\"\n[[group.web.scaling]]\ntarget_tracking = { target = 30 }\n",
    "[balancer.front]\ntargets = \"web\"\nalgorithm = \"power-of-two-choices\"\n",
    "[[sla]]\nobjective = \"p99 <= 50ms\"\nwindow = \"1min\"\n[[incident]]\ncrash = { group = \"web\", at = \"6min\" }\n",
];

fn scenario(tables: &[&str]) -> Scenario {
    Scenario::parse(&format!("{HEAD}{}", tables.concat())).unwrap()
}

fn json(scenario: &Scenario, replications: u32) -> String {
    serde_json::to_string(&Experiment::new(scenario).replications(replications).run()).unwrap()
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let scenario = scenario(&TABLES);
    assert_eq!(json(&scenario, 1), json(&scenario, 1));
}

#[test]
fn threads_do_not_matter() {
    let scenario = scenario(&TABLES);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| json(&scenario, 6))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

/// Rounds are decided by results, and replications of a round are gathered in their order.
#[test]
fn threads_do_not_matter_to_a_precision() {
    let scenario = scenario(&TABLES);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Experiment::new(&scenario).precision(0.06).run())
    };
    let one = on(1);
    assert!(one.replications.len() > 10, "more than the first round: {}", one.replications.len());
    assert!(one.precision.as_ref().unwrap().reached);
    let text = serde_json::to_string(&one).unwrap();
    for threads in [2, 5] {
        assert_eq!(text, serde_json::to_string(&on(threads)).unwrap(), "{threads} threads");
    }
    let plain = Experiment::new(&scenario).replications(one.replications.len() as u32).run();
    assert_eq!(plain.replications, one.replications, "the same as if their number had been asked for");
}

#[test]
fn the_order_of_tables_does_not_matter() {
    let mut reversed = TABLES;
    reversed.reverse();
    assert_eq!(json(&scenario(&TABLES), 1), json(&scenario(&reversed), 1));
}

#[test]
fn another_seed_gives_another_run_and_so_does_each_replication() {
    let scenario = scenario(&TABLES);
    let results = Experiment::new(&scenario).replications(3).run();
    let hashes: Vec<&String> =
        results.replications.iter().map(|replication| &replication.order_hash).collect();
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
    assert_ne!(Experiment::new(&scenario).seed(10).run().run.order_hash, *hashes[0]);
    assert_eq!(results.run.order_hash, *hashes[0], "the run in full is the first replication");
    assert!(results.figures.iter().all(|figure| figure.half_width.is_some()));
}

#[test]
fn a_fork_in_mid_run_has_the_same_future() {
    let plan: Arc<Plan> = Arc::new(scenario(&TABLES).plan().clone());
    let mut original = System::start(plan.clone(), Seed::new(9));
    original.run(Time::ZERO + Span::from_secs(400), u64::MAX, &mut ());
    let mut fork = original.clone();
    let end = Time::ZERO + plan.duration;
    original.run(end, u64::MAX, &mut ());
    fork.run(end, u64::MAX, &mut ());
    assert_eq!(original.calendar.order_hash(), fork.calendar.order_hash());
    assert_eq!(original.events(), fork.events());
}

/// Common random numbers: another balancer changes neither when requests come nor what they ask for.
#[test]
fn policies_play_the_same_requests() {
    let mut other = TABLES;
    other[6] = "[balancer.front]\ntargets = \"web\"\nalgorithm = \"round-robin\"\n";
    let run = |tables: &[&str]| Experiment::new(&scenario(tables)).run().run;
    let (a, b) = (run(&TABLES), run(&other));
    assert_ne!(a.order_hash, b.order_hash);
    let offered = |run: &scalesim::results::Run| {
        run.traffic.iter().map(|part| part.requests.offered).collect::<Vec<_>>()
    };
    assert_eq!(offered(&a), offered(&b));
}
