//! What a scenario says of an operating system shows in what its machines do.

use scalesim::machine::Machine;
use scalesim::results::{Run, SchedulingCounts};
use scalesim::{Experiment, NoFiles, Scenario};

use crate::machine::{jobs, play};

/// A runtime.
const THREADS: &str = "runtime = \"thread-per-request\"";

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
            let scenario = scenario(&format!("{THREADS}\nworking_set = \"{set}\""), &machine);
            let processor = &scenario.plan().groups[0].machine().processor;
            let done = play(&mut Machine::new(processor), &jobs(2, 400.0));
            let last = done[0].max(done[1]);
            let expected = 800.0 * (1.0 + (10.0 + micros) / 4_000.0);
            assert!((last - expected).abs() < 1e-3 * expected, "{scheduler}, {set}: {last} for {expected}");
        }
    }
}

#[test]
fn the_resolved_scenario_shows_the_curve() {
    let plain = scenario(THREADS, "vcpus = 1");
    let first = "refill = [[\"64 KiB\", \"0s\"], [\"256 KiB\", \"1.1us\"], ";
    assert!(plain.resolved().contains(first), "{}", plain.resolved());
    let own = "refill = [[\"512 KiB\", \"2.2us\"], [\"8 MiB\", \"310us\"]]";
    let curved = scenario(
        &format!("{THREADS}\nworking_set = \"2 MiB\""),
        &format!("vcpus = 1\nscheduler = {{ slices = {{ {own} }} }}"),
    );
    for part in [own, "working_set = \"2 MiB\""] {
        assert!(curved.resolved().contains(part), "{}", curved.resolved());
    }
    let again = Scenario::parse(curved.resolved()).unwrap();
    assert_eq!(again.plan().groups[0].machine(), curved.plan().groups[0].machine());
    assert_eq!(again.resolved(), curved.resolved());
}

/// A minute in which a service always has more to do than it can.
fn overloaded(service: &str, machine: &str) -> Run {
    let scenario = scenario(service, machine).resolved().replace("100/s", "2000/s");
    Experiment::new(&Scenario::parse(&scenario).unwrap()).run().run
}

/// What a scenario's service gets of the machine then, in vCPUs.
fn vcpus_of_service(service: &str, machine: &str) -> f64 {
    overloaded(service, machine).requests.completed as f64 * 0.005 / 60.0
}

/// One thread that always wants a vCPU beside a program that does, too.
#[test]
fn a_step_of_nice_is_a_quarter_more() {
    let light = 1.25f64.powi(-5);
    for scheduler in ["shares", "slices"] {
        for (own, other, expected) in [
            (0, 5, 1.0 / (1.0 + light)),
            (5, 0, light / (1.0 + light)),
            (7, 7, 0.5),
            (-5, 0, 1.0 / (1.0 + light)),
        ] {
            let service =
                format!("nice = {own}\nruntime = {{ thread-pool = {{ threads = 1, overhead = \"0s\" }} }}");
            let machine = format!(
                "vcpus = 1\nscheduler = \"{scheduler}\"\nbackground = [{{ threads = 1, nice = {other} }}]"
            );
            let got = vcpus_of_service(&service, &machine);
            assert!((got - expected).abs() < 0.01, "{scheduler}, {own} and {other}: {got} for {expected}");
        }
    }
}

/// Two event loops and a program on two vCPUs. Where all are pinned, the program halves the loop that it shares a vCPU with,
/// and the other loses nothing; where nobody is, each gets two thirds of a vCPU.
#[test]
fn a_pinned_program_halves_one_worker_alone() {
    let workers = |pin: bool| {
        format!(
            "runtime = {{ processes = {{ workers = 2, accept = \"reuse-port\", pin = {pin}, \
             each = {{ event-loop = {{ overhead = \"0s\" }} }} }} }}"
        )
    };
    let machine =
        |pin: &str| format!("vcpus = 2\nscheduler = \"slices\"\nbackground = [{{ threads = 1{pin} }}]");
    let work = |run: Run| {
        let seen = run.groups[0].scheduling.clone().unwrap();
        let names: Vec<&str> = seen.processes.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["worker 0", "worker 1", "background"]);
        [0, 1, 2].map(|process| seen.processes[process].counts.work / 60.0)
    };
    let near = |seen: [f64; 3], expected: [f64; 3], within: f64| {
        let off = seen.iter().zip(expected).map(|(seen, expected)| (seen - expected).abs());
        assert!(off.fold(0.0, f64::max) < within, "{seen:?} for {expected:?}");
    };
    near(work(overloaded(&workers(true), &machine(", pin = 0"))), [0.5, 1.0, 0.5], 0.02);
    near(work(overloaded(&workers(false), &machine(""))), [2.0 / 3.0; 3], 0.05);
}

/// What is counted by vCPU, and by process, is all that is counted: over instances that come and go, and after a warm-up.
#[test]
fn parts_add_up_to_all() {
    let scenario = scenario(
        r#"runtime = { cluster = { workers = 3 } }"#,
        r#"vcpus = 4
        scheduler = "slices"
        background = [{ threads = 2 }, { threads = 1, nice = 5, pin = 3 }]"#,
    );
    let overrides = [
        ("scenario.warm_up", "10s"),
        ("group.web.max", "3"),
        (
            "group.web.scaling",
            r#"[{ manual = { at = "15s", desired = 3 } }, { manual = { at = "50s", desired = 2 } }]"#,
        ),
        ("group.web.startup", r#"{ provision = "1s", boot = "1s", app = "1s" }"#),
    ];
    let overrides = overrides.map(|(path, value)| (path.to_string(), value.to_string()));
    let scenario = Scenario::read("s.toml", scenario.resolved(), &overrides, &NoFiles).unwrap();
    let run = Experiment::new(&scenario).run().run;
    let seen = run.groups[0].scheduling.clone().unwrap();
    let names: Vec<&str> = seen.processes.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["primary", "worker 0", "worker 1", "worker 2", "background"]);
    assert_eq!((seen.vcpus.len(), seen.vcpus[3].name.as_str()), (4, "vCPU 3"));
    for parts in [&seen.vcpus, &seen.processes] {
        let sum =
            |value: fn(&SchedulingCounts) -> f64| parts.iter().map(|part| value(&part.counts)).sum::<f64>();
        for value in [
            (|counts| counts.voluntary_switches as f64) as fn(&SchedulingCounts) -> f64,
            |counts| counts.involuntary_switches as f64,
            |counts| counts.migrations as f64,
            |counts| counts.run_queue_wait,
            |counts| counts.switching,
            |counts| counts.work,
        ] {
            let all = value(&seen.all);
            assert!(all > 0.0 && (sum(value) - all).abs() < 1e-9 * all, "{} of {all}", sum(value));
        }
    }
}

/// One connection at a time on an idle machine: each request wakes a thread up, which begins late, and the vCPU idles until
/// it does. Where the next request is already there, nobody is woken.
#[test]
fn a_woken_thread_begins_late_and_its_vcpu_idles_until_then() {
    let run = |scheduler: &str, rate: &str| {
        let machine = format!("vcpus = 2\nscheduler = {scheduler}");
        let service = "runtime = { event-loop = { overhead = \"0s\" } }";
        let scenario = scenario(service, &machine).resolved().replace("100/s", rate);
        Experiment::new(&Scenario::parse(&scenario).unwrap()).run().run
    };
    let late = "{ slices = { switch = \"0s\", wakeup = \"400us\" } }";
    let prompt = "{ slices = { switch = \"0s\", wakeup = \"0s\" } }";
    let (slow, fast) = (run(late, "1/s"), run(prompt, "1/s"));
    let delay = slow.response_time.mean - fast.response_time.mean;
    assert!((delay - 400e-6).abs() < 20e-6, "{delay}");
    let [seen, without] = [&slow, &fast].map(|run| run.groups[0].scheduling.clone().unwrap().all);
    assert_eq!((seen.switching, seen.work), (0.0, without.work));
    let waited = seen.run_queue_wait - without.run_queue_wait;
    assert!((waited - 400e-6 * slow.requests.completed as f64).abs() < 0.05 * waited, "{waited}");
    assert!((slow.groups[0].cpu - fast.groups[0].cpu).abs() < 1e-6, "idling is not using");
    let (slow, fast) = (run(late, "400/s"), run(prompt, "400/s"));
    assert!(slow.requests.completed.abs_diff(fast.requests.completed) < 20, "a busy loop is never woken");
}
