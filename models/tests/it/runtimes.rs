//! Runtimes by the queue that each really has: whole systems of one instance, held against closed forms.

use rayon::prelude::*;
use scalesim::results::Run;
use scalesim::theory::Mmc;
use scalesim::{Experiment, NoFiles, Scenario};

/// One instance with these vCPUs and exponential CPU times of 10 ms.
fn scenario(runtime: &str, vcpus: u32, rate: f64, steps: &str, minutes: u32) -> Scenario {
    let text = format!(
        r#"
        [scenario]
        duration = "{minutes}min"
        warm_up = "1min"
        seed = 7
        [traffic.t]
        to = "b"
        profile = {{ constant = "{rate}/s" }}
        timeout = "none"
        [service.s]
        runtime = {runtime}
        [service.s.endpoint.e]
        steps = [{steps}]
        [machine.m]
        vcpus = {vcpus}
        scheduler = {{ shares = {{ switch = "0s" }} }}
        [group.g]
        service = "s"
        machine = "m"
        min = 1
        [balancer.b]
        targets = "g"
        "#
    );
    Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Plays a scenario with some values set.
fn changed(text: &str, values: &[(&str, &str)]) -> Run {
    let values: Vec<(String, String)> =
        values.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect();
    let scenario = Scenario::read("test.toml", text, &values, &NoFiles);
    Experiment::new(&scenario.unwrap_or_else(|errors| panic!("{errors}"))).run().run
}

const CPU: &str = "{ cpu = { exp = { mean = \"10ms\" } } }";

fn run(runtime: &str, vcpus: u32, rate: f64) -> Run {
    Experiment::new(&scenario(runtime, vcpus, rate, CPU, 120)).run().run
}

/// The mean response time in milliseconds and half of its confidence interval, over replications.
fn mean(runtime: &str, vcpus: u32, rate: f64) -> (f64, f64) {
    let results = Experiment::new(&scenario(runtime, vcpus, rate, CPU, 30)).replications(8).run();
    let figure = results.figures.iter().find(|figure| figure.name == "response time mean").unwrap();
    (1e3 * figure.mean, 1e3 * figure.half_width.unwrap())
}

fn mmc(servers: u32, rate: f64) -> f64 {
    1e3 * Mmc::new(rate, 100.0, servers).unwrap().mean_sojourn()
}

/// An event loop on sixteen cores is as fast as on one: one server, first come, first served.
#[test]
fn one_loop_is_one_server_on_any_machine() {
    let runtime = "{ event-loop = { accept_queue = 1000000, overhead = \"0s\" } }";
    let (one, sixteen) = (run(runtime, 1, 70.0), run(runtime, 16, 70.0));
    assert_eq!(one.response_time, sixteen.response_time);
    let (seen, half) = mean(runtime, 4, 70.0);
    assert!((seen - mmc(1, 70.0)).abs() < 1.5 * half, "{seen} ± {half} for {}", mmc(1, 70.0));
}

/// Asynchronous workers take from one queue: M/M/c.
#[test]
fn async_workers_share_one_queue() {
    let runtime = "{ async = { accept_queue = 1000000, overhead = \"0s\" } }";
    let (seen, half) = mean(runtime, 4, 320.0);
    assert!((seen - mmc(4, 320.0)).abs() < 1.5 * half, "{seen} ± {half} for {}", mmc(4, 320.0));
}

/// Listeners of their own: a hash splits the connections at random, and each worker is a queue for itself.
#[test]
fn reuse_port_is_a_random_split() {
    let runtime = "{ processes = { workers = 4, accept = \"reuse-port\", each = { event-loop = { accept_queue = 1000000, overhead = \"0s\" } } } }";
    let (seen, half) = mean(runtime, 4, 280.0);
    assert!((seen - mmc(1, 70.0)).abs() < 1.5 * half, "{seen} ± {half} for {}", mmc(1, 70.0));
}

/// Connections that are kept stay with their worker: of many a random split again, of one a single worker.
#[test]
fn kept_connections_stay_with_their_worker() {
    let cluster = "{ cluster = { workers = 4, accept_queue = 1000000, overhead = \"0s\" } }";
    let with = |runtime: &str, count: u32, rate: f64| {
        let text = scenario(runtime, 4, rate, CPU, 30);
        // The balancer's come before those of the clients.
        let kept = format!("connections = {{ keep_alive = {count} }}");
        let text = text.resolved().replacen("connections = \"per-request\"", &kept, 1);
        Experiment::new(&Scenario::parse(&text).unwrap()).replications(8).run()
    };
    let mean = |results: &scalesim::results::Results| {
        let figure = results.figures.iter().find(|figure| figure.name == "response time mean").unwrap();
        (1e3 * figure.mean, 1e3 * figure.half_width.unwrap())
    };
    let many = with(cluster, 400, 280.0);
    let (seen, half) = mean(&many);
    assert!((seen - mmc(1, 70.0)).abs() < 1.5 * half, "{seen} ± {half} for {}", mmc(1, 70.0));
    assert!(many.run.groups[0].worker_imbalance.unwrap() < 1.02);
    let one = with(cluster, 1, 70.0);
    let (seen, half) = mean(&one);
    assert!((seen - mmc(1, 70.0)).abs() < 1.5 * half, "{seen} ± {half} for {}", mmc(1, 70.0));
    assert_eq!(one.run.groups[0].worker_imbalance, Some(4.0), "three of four do nothing");
    let hashed = with("{ cluster = { workers = 4, accept = \"reuse-port\" } }", 8, 40.0);
    let shared = with("{ cluster = { workers = 4, accept = \"shared\" } }", 64, 40.0);
    assert!(hashed.run.groups[0].worker_imbalance.unwrap() > 1.2, "a hash of eight connections is uneven");
    assert!(
        (1.6..2.4).contains(&shared.run.groups[0].worker_imbalance.unwrap()),
        "half of them at one of four"
    );
}

/// Where handing over costs nothing, a worker that computes gets nothing: one central queue, but for the one
/// connection that may be on its way to a busy worker.
#[test]
fn a_cluster_without_costs_is_nearly_one_queue() {
    let runtime = "{ cluster = { workers = 4, primary = \"0s\", handover = \"0s\", accept_queue = 1000000, overhead = \"0s\" } }";
    let (seen, half) = mean(runtime, 4, 280.0);
    let (central, split) = (mmc(4, 280.0), mmc(1, 70.0));
    assert!(seen + half > central, "{seen} ± {half} for more than {central}");
    assert!(seen + half < (central + split) / 2.0, "{seen} ± {half} is nearer to one queue than to {split}");
}

/// The primary and the handover are work on the same cores.
#[test]
fn a_clusters_connections_cost_cpu_time() {
    let cluster = |costs: &str| format!("{{ cluster = {{ workers = 2, overhead = \"0s\"{costs} }} }}");
    let free = run(&cluster(", primary = \"0s\", handover = \"0s\""), 2, 100.0);
    let paid = run(&cluster(", primary = \"1ms\", handover = \"2ms\""), 2, 100.0);
    let more = (paid.groups[0].cpu - free.groups[0].cpu) / free.groups[0].cpu;
    assert!((more - 0.3).abs() < 0.01, "3 ms more than 10: {more}");
    assert!(paid.response_time.mean > free.response_time.mean + 0.003);
}

/// A shared listener loses nobody and is work-conserving at its front: M/M/c.
#[test]
fn a_shared_listener_is_one_queue() {
    for each in ["event-loop", "thread-pool"] {
        let threads = if each == "thread-pool" { ", threads = 1" } else { "" };
        let runtime = format!(
            "{{ processes = {{ workers = 4, accept = \"shared\", each = {{ {each} = {{ accept_queue = 1000000, overhead = \"0s\"{threads} }} }} }} }}"
        );
        let (seen, half) = mean(&runtime, 4, 280.0);
        assert!((seen - mmc(4, 280.0)).abs() < 1.5 * half, "{each}: {seen} ± {half} for {}", mmc(4, 280.0));
    }
}

/// Threads with one lock compute one at a time, whatever the cores; their waits overlap.
#[test]
fn a_lock_makes_threads_take_turns() {
    let runtime = |interval: &str| {
        format!(
            "{{ gil = {{ threads = 64, accept_queue = 1000000, switch_interval = \"{interval}\", overhead = \"0s\" }} }}"
        )
    };
    // With short turns that is processor sharing on one core, of exponential times as M/M/1.
    let (seen, half) = mean(&runtime("500us"), 8, 60.0);
    assert!((seen - mmc(1, 60.0)).abs() < 1.5 * half, "{seen} ± {half} for {}", mmc(1, 60.0));
    let waiting = "{ wait = \"100ms\" }, { cpu = \"5ms\" }";
    let results = Experiment::new(&scenario(&runtime("5ms"), 8, 100.0, waiting, 20)).run().run;
    assert!(results.response_time.mean < 0.115, "ten waits overlap: {}", results.response_time.mean);
}

/// The queue structure decides: the order of the means is that of the structures.
#[test]
fn structures_are_ranked_as_they_should_be() {
    let loops = "event-loop = { accept_queue = 1000000, overhead = \"0s\" }";
    let runtimes = [
        "{ async = { accept_queue = 1000000, overhead = \"0s\" } }".to_string(),
        format!("{{ processes = {{ workers = 4, accept = \"reuse-port\", each = {{ {loops} }} }} }}"),
        "{ gil = { threads = 64, accept_queue = 1000000, overhead = \"0s\" } }".to_string(),
    ];
    let means: Vec<f64> = runtimes.par_iter().map(|runtime| mean(runtime, 4, 92.0).0).collect();
    assert!(means.windows(2).all(|pair| pair[0] < pair[1]), "{means:?}");
}

/// Eight equal hashes at once, on two cores and four threads beside the loop: four are done half-way, four at the end; with
/// eight threads all at the end (measured: 243–265 and 473–519 ms; 407–476 ms).
#[test]
fn the_pool_beside_the_loop_has_four_threads() {
    let times = |pool: u32| {
        let runtime = format!("{{ event-loop = {{ pool = {pool}, overhead = \"0s\" }} }}");
        let text = scenario(&runtime, 2, 1.0, "{ pool = \"120ms\" }", 2);
        // Eight requests within a microsecond, once.
        let text = text.resolved().replace(
            "constant = \"1/s\"",
            "points = { at = [[\"0s\", \"0/s\"], [\"90s\", \"0/s\"], [\"90s\", \"8M/s\"], [\"90.000001s\", \"8M/s\"], [\"90.000001s\", \"0/s\"]] }",
        );
        let text =
            text.replace("[traffic.t]", "[traffic.t]\ndispersion = 0.0").replace("dispersion = 1.0", "");
        let run =
            Experiment::new(&Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}")))
                .run()
                .run;
        assert!((7..=8).contains(&run.requests.completed), "{:?}", run.requests);
        (run.response_time.p50, run.response_time.max)
    };
    let (half_way, all) = times(4);
    assert!((half_way - 0.24).abs() < 0.005 && all > 0.41, "{half_way}, {all}");
    let (p50, max) = times(8);
    assert!(p50 > 0.41 && max - p50 < 0.07, "{p50}, {max}");
}

/// What the runtime does for a request beside its steps is CPU time too.
#[test]
fn overhead_is_part_of_the_cpu_time() {
    let with = |overhead: &str| {
        let runtime = format!("{{ event-loop = {{ overhead = \"{overhead}\" }} }}");
        Experiment::new(&scenario(&runtime, 1, 10.0, "{ wait = \"20ms\" }, { cpu = \"5ms\" }", 20))
            .run()
            .run
            .groups[0]
            .cpu
    };
    assert!((with("0s") - 5.0).abs() < 0.2, "{}", with("0s"));
    assert!((with("5ms") - 10.0).abs() < 0.3, "{}", with("5ms"));
}

/// A crash loses a caller and what it called on the same instance, each once.
#[test]
fn a_crash_loses_callers_and_callees_once() {
    let text = r#"
        [scenario]
        duration = "10min"
        [traffic.t]
        to = "b"
        profile = { constant = "50/s" }
        mix = { outer = 1 }
        [service.s]
        runtime = "event-loop"
        endpoint.outer = { steps = [{ cpu = "1ms" }, { call = { to = "b", endpoint = "inner" } }] }
        endpoint.inner = { steps = [{ wait = "100ms" }, { cpu = "1ms" }] }
        [group.g]
        service = "s"
        machine = "c7g.large"
        min = 2
        [balancer.b]
        targets = "g"
        deregistration_delay = "50ms"
        [[incident]]
        crash = { group = "g", at = "5min", count = 2 }
        "#;
    let run = Experiment::new(&Scenario::parse(text).unwrap()).run().run;
    assert!(run.requests.conserved() && run.requests.failed > 0, "{:?}", run.requests);
    assert!((0.0..20.0).contains(&run.groups[0].requests_inside), "{}", run.groups[0].requests_inside);
}

/// Workers of any kind may stand behind any front, and an idle one is never refused to.
#[test]
fn workers_without_a_queue_of_their_own_are_served() {
    for accept in ["round-robin", "shared", "reuse-port"] {
        let runtime = format!(
            "{{ processes = {{ workers = 2, accept = \"{accept}\", each = \"thread-per-request\" }} }}"
        );
        let requests = run(&runtime, 2, 50.0).requests;
        assert_eq!((requests.refused, requests.failed), (0, 0), "{accept}");
    }
}

/// Threads that wait for their lock do not take connections from workers that idle.
#[test]
fn a_locked_worker_is_not_preferred() {
    let runtime = |accept: &str| {
        format!(
            "{{ processes = {{ workers = 4, accept = \"{accept}\", each = {{ gil = {{ threads = 8, overhead = \"0s\" }} }} }} }}"
        )
    };
    let (shared, split) = (mean(&runtime("shared"), 4, 200.0).0, mean(&runtime("reuse-port"), 4, 200.0).0);
    assert!(shared < split, "{shared} and {split}");
}

/// What limits a cluster is its workers, the whole machine, or its primary.
#[test]
fn a_primary_can_be_the_bottleneck() {
    let plan = |costs: &str| {
        let runtime = format!("{{ cluster = {{ workers = 16, overhead = \"0s\", {costs} }} }}");
        scenario(&runtime, 16, 100.0, "{ cpu = \"1ms\" }", 2).plan().clone()
    };
    let capacity = |costs: &str| plan(costs).capacity(std::iter::once(1)).round();
    assert_eq!(capacity("primary = \"300us\", handover = \"0s\""), 3_333.0);
    assert_eq!(capacity("primary = \"1us\", handover = \"0s\""), (16.0f64 / 0.001_001).round());
}

/// A metric of a container is about what it was given.
#[test]
fn a_fraction_of_a_cpu_can_be_full() {
    let text = scenario("\"thread-per-request\"", 1, 24.0, CPU, 20)
        .resolved()
        .replace("vcpus = 1\n", "vcpus = 0.25\n")
        .replace("vcpus = 1.0\n", "vcpus = 0.25\n");
    let cpu = Experiment::new(&Scenario::parse(&text).unwrap()).run().run.groups[0].cpu;
    assert!((90.0..=100.5).contains(&cpu), "{cpu} of a quarter");
}

/// Credits come back while nothing happens.
#[test]
fn idle_hours_earn_credits() {
    let text = scenario("\"thread-per-request\"", 1, 1.0, CPU, 360).resolved().replace(
        "constant = \"1/s\"",
        "points = { at = [[\"0s\", \"90/s\"], [\"1h\", \"90/s\"], [\"1h\", \"0/s\"]] }",
    );
    let text = text.replace("[machine.m]", "[machine.m]\ncredits = { per_hour = 24, unlimited = true }");
    let credits = Experiment::new(&Scenario::parse(&text).unwrap_or_else(|e| panic!("{e}"))).run().run.groups
        [0]
    .credits
    .unwrap();
    // 54 spent and 24 earned in the first hour, 24 in each of five others.
    assert!((credits - (6.0 * 24.0 - 54.4)).abs() < 2.0, "{credits}");
}

/// Threads that pile up need memory: the server is killed, the balancer notices, and the group replaces it; a group that
/// only looks at the machine's status does not.
#[test]
fn requests_that_pile_up_run_out_of_memory() {
    let run = |check: &str| {
        let text = scenario("\"thread-per-request\"", 1, 50.0, CPU, 20).resolved().replace(
            "constant = \"50/s\"",
            "points = { at = [[\"0s\", \"50/s\"], [\"5min\", \"50/s\"], [\"5min\", \"150/s\"], [\"6min\", \"150/s\"], [\"6min\", \"50/s\"]] }",
        );
        let memory = ("service.s.memory", "{ process = \"1 GiB\", request = \"4 MiB\" }");
        changed(&text, &[memory, ("group.g.health_check", check)])
    };
    let told =
        |run: &Run, words: &str| run.activities.iter().any(|activity| activity.description.contains(words));
    let ec2 = run("ec2");
    assert!(told(&ec2, "ran out of its 4 GiB of memory, and its server was killed with 768 requests; EC2"));
    assert!(ec2.requests.availability() < 0.6 && ec2.groups[0].launched == 0, "down until the end");
    let elb = run("{ elb = { grace_period = \"60s\" } }");
    assert!(elb.groups[0].launched >= 1 && elb.requests.availability() > 0.7, "{:?}", elb.requests);
    assert!(ec2.requests.conserved() && elb.requests.conserved());
}

/// A collector stops the loop: who comes meanwhile waits for it.
#[test]
fn collections_stop_the_loop() {
    let with = |gc: &[(&str, &str)]| {
        let text = scenario("{ event-loop = { overhead = \"0s\" } }", 1, 20.0, "{ cpu = \"2ms\" }", 60)
            .resolved()
            .to_string();
        changed(&text, gc)
    };
    let (without, paused) =
        (with(&[]), with(&[("service.s.garbage_collection", "{ every = 50, pause = \"50ms\" }")]));
    assert!(
        (paused.groups[0].cpu - without.groups[0].cpu - 2.0).abs() < 0.1,
        "a fiftieth of 20 × 50 ms: {}",
        paused.groups[0].cpu
    );
    assert!(
        paused.response_time.max >= 0.05 && paused.response_time.p99 > 0.04,
        "{:?}",
        paused.response_time
    );
    assert!(without.response_time.p99 < 0.006);
}

/// A collector that stops the world stops all threads, and is no CPU time; with either scheduler.
#[test]
fn collections_stop_all_threads() {
    for (runtime, scheduler) in [
        ("{ thread-pool = { threads = 8, overhead = \"0s\" } }", "\"shares\""),
        ("{ async = { overhead = \"0s\" } }", "\"shares\""),
        ("{ thread-per-request = { overhead = \"0s\" } }", "\"slices\""),
    ] {
        let text = scenario(runtime, 2, 200.0, "{ cpu = \"1ms\" }", 30).resolved().to_string();
        let on = ("machine.m.scheduler", scheduler);
        let collected = ("service.s.garbage_collection", "{ every = 1000, pause = \"200ms\" }");
        let (without, with) = (changed(&text, &[on]), changed(&text, &[on, collected]));
        assert!(
            (with.groups[0].cpu - without.groups[0].cpu).abs() < 0.2,
            "{runtime}: {}",
            with.groups[0].cpu
        );
        // Every 5 s, 200 ms: 4 % of the requests come meanwhile and wait for 100 ms on average, more for who was first.
        let longer = with.response_time.mean - without.response_time.mean;
        assert!((longer - 0.04 * 0.105).abs() < 0.001, "{runtime}: {longer} s longer on average");
        assert!((0.2..0.26).contains(&with.response_time.max), "{runtime}: {:?}", with.response_time);
    }
}

/// Compilers come in tiers: the curve is followed.
#[test]
fn warming_up_follows_its_curve() {
    let text = scenario("{ event-loop = { overhead = \"0s\" } }", 1, 20.0, "{ cpu = \"2ms\" }", 20)
        .resolved()
        .to_string();
    let crash = ("incident", "[{ crash = { group = \"g\", at = \"5min\" } }]");
    let cold = |curve: &str| changed(&text, &[("service.s.cold_start", curve), crash]).groups[0].cpu;
    let same = cold("{ requests = 4000, slower = 10 }");
    assert_eq!(same, cold("[[0, 10], [4000, 1]]"));
    // Nine times the usual more at first, half of that on average: with a step in place of the slope, twice as much.
    let (warm, step) = (changed(&text, &[crash]).groups[0].cpu, cold("[[0, 10], [3999, 10], [4000, 1]]"));
    assert!(((step - warm) / (same - warm) - 2.0).abs() < 0.05, "{warm} {same} {step}");
}

/// A new instance is slow at first, and one that was there is not.
#[test]
fn new_instances_are_cold() {
    let text = scenario("{ event-loop = { overhead = \"0s\" } }", 1, 20.0, "{ cpu = \"2ms\" }", 20)
        .resolved()
        .to_string();
    let slow = ("service.s.cold_start", "{ requests = 2000, slower = 10 }");
    let warm = changed(&text, &[slow]);
    let cold = changed(&text, &[slow, ("incident", "[{ crash = { group = \"g\", at = \"5min\" } }]")]);
    assert!(warm.response_time.max < 0.02, "{:?}", warm.response_time);
    assert!(
        cold.response_time.max > 0.019 && cold.groups[0].cpu > 1.05 * warm.groups[0].cpu,
        "{:?}",
        cold.response_time
    );
    let late = cold.series.last().unwrap();
    assert!(late.p50.unwrap() < 0.0025, "warm again: {late:?}");
}
