//! Forks that change nothing, changes that do what they say, and what explanations make of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use sim_core::{Simulation, Span, Time};

use super::counterfactual::{Change, changes};
use super::fork::play_changed;
use super::{Explain, Explanation, Kind, LinkKind};
use crate::experiment::play::{Replication, Watch, play_on, play_until};
use crate::plan::Plan;
use crate::results::{ActivityKind, Outcome, Run};
use crate::system::{System, finish};
use crate::{Draft, NoFiles, Scenario};

fn examples() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "toml") && !path.ends_with("Cargo.toml"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn minutes(minutes: u64) -> Time {
    Time::ZERO + Span::from_secs(60 * minutes)
}

/// Two runs of a plan until an instant: one as it is, one that was forked on the way with the same plan put in place.
fn with_and_without(plan: &Arc<Plan>, fork: Time, end: Time) -> [(Run, u64); 2] {
    let replication = Replication { plan: plan.clone(), seed: plan.seed, number: 0 };
    let mut world = replication.start();
    play_until(&mut world, fork, 0, Watch::default());
    let mut other = world.clone();
    other.model.change(Arc::new(Plan::clone(plan)), &mut other.calendar);
    [world, other].map(|mut world: Simulation<System>| {
        play_until(&mut world, end, 0, Watch::default());
        let hash = world.calendar.order_hash();
        (finish(world, Outcome::Complete), hash)
    })
}

#[test]
fn a_fork_of_an_example_that_changes_nothing_has_the_same_future() {
    let mut forked = 0;
    for (path, text) in examples() {
        let Ok(scenario) = Scenario::read(&path.display().to_string(), &text, &[], &NoFiles) else {
            continue;
        };
        let plan = Arc::new(scenario.plan().clone());
        let end = minutes(13).min(Time::ZERO + plan.duration);
        let [one, other] = with_and_without(&plan, minutes(7), end);
        assert!(one == other, "{}", path.display());
        forked += 1;
    }
    assert!(forked > 20, "{forked} examples could be read");
}

#[test]
fn a_scenario_with_the_options_of_a_change_is_the_changed_plan() {
    let mut seen = std::collections::BTreeSet::new();
    for (path, text) in examples() {
        let draft = Draft::new(path.display().to_string(), text, &NoFiles);
        let Ok(scenario) = draft.read() else { continue };
        for change in changes(scenario.plan()).0.iter().filter(|change| !change.set.is_empty()) {
            let set = change.set.iter().fold(draft.clone(), |draft, set| {
                let (path, value) = set.split_once('=').unwrap();
                draft.with(path, value)
            });
            let read = set.read().unwrap_or_else(|why| panic!("{}: {:?}\n{why}", path.display(), change.set));
            let shown = |plan: &Plan| {
                let Plan { traffic, services, groups, nodes, queues, balancers, incidents, .. } = plan;
                format!(
                    "{traffic:#?}{services:#?}{groups:#?}{nodes:#?}{queues:#?}{balancers:#?}{incidents:#?}"
                )
            };
            let (stated, meant) = (shown(read.plan()), shown(&change.plan));
            let differs = stated.lines().zip(meant.lines()).find(|(a, b)| a != b);
            // What has no place in a scenario, such as another version's start, may differ.
            assert_eq!(differs, None, "{} of {}: {:?}", change.kind.name(), path.display(), change.set);
            seen.insert(change.kind);
        }
    }
    assert!(seen.len() >= 9, "{seen:?}");
}

/// Quiet for 100 minutes, then as `busy` says, until two and a half hours.
fn scenario(rate: &str, rest: &str) -> Scenario {
    let text = format!(
        r#"
        [scenario]
        duration = "150min"
        seed = 5
        [traffic.web]
        to = "front"
        profile = {{ points = {{ at = [["0s", "10/s"], ["100min", "10/s"], ["102min", "{rate}"], ["150min", "{rate}"]] }} }}
        timeout = "1s"
        {rest}
        [machine.one-core]
        vcpus = 1
        [[sla]]
        name = "fast"
        objective = "p95 <= 300ms"
        window = "1min"
        "#
    );
    Scenario::parse(&text).unwrap()
}

const POOL: &str = r#"
    [service.api]
    runtime = { thread-pool = { threads = 50, accept_queue = 20 } }
    [service.api.endpoint."GET /"]
    steps = [{ cpu = { exp = { mean = "12ms" } } }]
    [balancer.front]
    targets = "web"
    [group.web]
    service = "api"
    machine = "one-core"
    monitoring = "detailed"
"#;

fn tell(scenario: &Scenario) -> Explanation {
    let explanation = Explain::new(scenario).run();
    assert!(!explanation.met() && explanation.outcome == Outcome::Complete, "{explanation:#?}");
    let saved: Vec<f64> = explanation.counterfactuals.iter().map(|one| one.saved_minutes).collect();
    assert!(saved.is_sorted_by(|a, b| a >= b), "{saved:?}");
    explanation
}

/// What a change saves, and what is left; its fork is in mid-run unless `at_start`.
fn saved(explanation: &Explanation, kind: Kind, at_start: bool) -> (f64, f64) {
    let one = explanation.counterfactuals.iter().find(|one| one.kind == kind);
    let one = one.unwrap_or_else(|| panic!("{kind:?} was played: {:#?}", explanation.left_out));
    assert_eq!(one.from == 0.0, at_start, "{kind:?} begins at {}", one.from);
    (one.saved_minutes, one.violation_minutes)
}

fn links(explanation: &Explanation, kind: LinkKind) -> Vec<String> {
    let links = explanation.stretches.iter().flat_map(|stretch| &stretch.chain);
    links.filter(|link| link.kind == kind).map(|link| link.text.clone()).collect()
}

#[test]
fn where_a_start_is_slow_an_instant_one_saves_minutes_and_so_does_an_alarm_in_half_the_time() {
    let scaled = "min = 1\nmax = 8\nstartup = { provision = \"60s\", boot = \"120s\", app = \"240s\" }\n[[group.web.scaling]]\ntarget_tracking = { target = 50, high_datapoints = 6 }\n";
    let checked =
        "targets = \"web\"\nhealth_check = { interval = \"10s\", timeout = \"9s\", unhealthy = 10 }";
    let pool = POOL.replace("targets = \"web\"", checked);
    let explanation = tell(&scenario("150/s", &format!("{pool}{scaled}")));
    assert!(explanation.fork > 1_000.0 && explanation.fork <= 100.0 * 60.0 - 3_000.0, "{}", explanation.fork);
    let instant = saved(&explanation, Kind::InstantStart, false);
    let sooner = saved(&explanation, Kind::HalfTheTime, false);
    assert!(instant.0 >= 5.0, "seven minutes of start-up: {instant:?}");
    assert!(sooner.0 >= 2.0 && sooner.0 < instant.0, "three datapoints: {sooner:?}");
    assert!(saved(&explanation, Kind::DoubleMin, false).0 > 0.0);
    let launches = links(&explanation, LinkKind::Launch);
    assert!(launches[0].contains("took 42"), "{launches:?}");
    assert!(links(&explanation, LinkKind::Alarm)[0].contains("needs 6 datapoints"), "{explanation:#?}");
}

#[test]
fn where_the_maximum_is_too_small_twice_as_much_saves_minutes() {
    let scaled = "min = 1\nmax = 2\n[[group.web.scaling]]\ntarget_tracking = { target = 50 }\n";
    let explanation = tell(&scenario("200/s", &format!("{POOL}{scaled}")));
    let (saved, left) = saved(&explanation, Kind::DoubleMax, false);
    assert!(saved > 20.0 && left < 25.0, "{saved} saved, {left} left");
    assert_eq!(explanation.counterfactuals[0].kind, Kind::DoubleMax);
    let reasons = links(&explanation, LinkKind::HeldBack);
    assert!(reasons[0].contains("at its maximum of 2"), "{reasons:?}");
    assert!(links(&explanation, LinkKind::Recovery)[0].contains("not over"), "{explanation:#?}");
}

#[test]
fn without_retries_there_is_no_storm_of_them() {
    let rest = "retry = { max = 3, backoff = \"100ms\" }\nspikes = [{ at = \"110min\", rise = \"10s\", hold = \"1min\", decay = \"10s\", height = \"x3\" }]\n";
    let fixed = "min = 2\nmax = 2\n";
    // Who waits in that queue has given up when his turn comes, and is served in vain.
    let pool = POOL.replace("accept_queue = 20", "accept_queue = 1000");
    let explanation = tell(&scenario("110/s", &format!("{rest}{pool}{fixed}")));
    let (saved, left) = saved(&explanation, Kind::NoRetries, false);
    assert!(saved > 20.0 && left < 10.0, "{saved} saved, {left} left: {explanation:#?}");
    assert!(
        links(&explanation, LinkKind::Retries)[0].contains("attempts for each request"),
        "{explanation:#?}"
    );
}

#[test]
fn a_slow_instance_gets_less_by_outstanding_requests_and_is_none_without_the_incident() {
    let fixed = "min = 3\nmax = 3\n[[incident]]\nslow = { group = \"web\", count = 1, factor = 6, at = \"110min\", for = \"20min\" }\n";
    let explanation = tell(&scenario("100/s", &format!("{POOL}{fixed}")));
    let outstanding = saved(&explanation, Kind::LeastOutstanding, false);
    assert!(outstanding.0 > 10.0, "{outstanding:?}");
    assert_eq!(saved(&explanation, Kind::NoIncidents, false).1, 0.0);
    let why = |kind| explanation.left_out.iter().find(|left| left.kind == kind).unwrap().why.clone();
    assert_eq!(why(Kind::NoRetries), "no client tries again");
    assert_eq!(why(Kind::DoubleMax), "no group that anybody scales");
}

#[test]
fn twice_the_threads_are_there_from_the_fork_on_and_processes_from_the_start() {
    let waits = r#"
        [service.api]
        runtime = { thread-pool = { threads = 3, accept_queue = 20 } }
        [service.api.endpoint."GET /"]
        steps = [{ wait = "50ms" }]
        [balancer.front]
        targets = "web"
        [group.web]
        service = "api"
        machine = "one-core"
        min = 1
    "#;
    let explanation = tell(&scenario("80/s", waits));
    let (threads, left) = saved(&explanation, Kind::DoubleWorkers, false);
    assert!(threads > 30.0 && left == 0.0, "{threads} saved, {left} left");
    let looped = POOL
        .replace("{ thread-pool = { threads = 50, accept_queue = 20 } }", "\"event-loop\"")
        .replace("one-core", "c7g.xlarge");
    let explanation = tell(&scenario("150/s", &format!("{looped}min = 1\n")));
    let (processes, left) = saved(&explanation, Kind::DoubleWorkers, true);
    assert!(processes > 30.0 && left == 0.0, "{processes} saved, {left} left");
}

#[test]
fn cooldowns_are_gone_after_the_fork() {
    let scaled = "min = 1\nmax = 9\ndefault_cooldown = \"600s\"\n[[group.web.scaling]]\nsimple = { alarm = { metric = \"cpu\", comparison = \">=\", threshold = 60 }, adjustment_type = \"change-in-capacity\", adjustment = 1 }\n";
    let explanation = tell(&scenario("200/s", &format!("{POOL}{scaled}")));
    let (saved, left) = saved(&explanation, Kind::NoCooldown, false);
    assert!(saved > 7.0, "{saved} saved, {left} left");
    assert!(links(&explanation, LinkKind::HeldBack)[0].contains("cooldown"), "{explanation:#?}");
}

#[test]
fn health_checks_that_tolerate_more_take_nobody_out() {
    let checked = POOL.replace(
        "targets = \"web\"",
        "targets = \"web\"\nhealth_check = { interval = \"10s\", timeout = \"3s\", unhealthy = 2 }",
    );
    let paused = "min = 3\nmax = 3\n[[incident]]\npause = { group = \"web\", count = 1, at = \"110min\", for = \"25s\" }\n";
    let scenario = scenario("100/s", &format!("{checked}{paused}"));
    let replication = Replication { plan: Arc::new(scenario.plan().clone()), seed: 5, number: 0 };
    let mut world = replication.start();
    play_until(&mut world, minutes(30), 0, Watch::default());
    let mut original = world.clone();
    let outcome = play_on(&mut original, 0, Watch::default());
    let all = changes(scenario.plan()).0;
    let change = all.iter().find(|change| change.kind == Kind::PatientHealthChecks).unwrap();
    let run = play_changed(change, &replication, Some(&world), 0, Watch::default());
    let unhealthy =
        |run: &Run| run.activities.iter().filter(|own| own.kind == ActivityKind::Unhealthy).count();
    assert_eq!((unhealthy(&finish(original, outcome)), unhealthy(&run)), (1, 0));
}

/// Jobs that wait for something outside, of which a worker could do more at once.
const JOBS: &str = r#"
    [scenario]
    duration = "60min"
    [traffic.web]
    to = "front"
    profile = { constant = "3/s" }
    mix = { "POST /" = 1 }
    [service.api]
    runtime = "event-loop"
    [service.api.endpoint."POST /"]
    steps = [{ cpu = "1ms" }, { enqueue = "jobs" }]
    [service.worker]
    runtime = "thread-per-request"
    [service.worker.endpoint.job]
    steps = [{ wait = "2s" }]
    [queue.jobs.sqs]
    visibility_timeout = "30s"
    wait_time = "20s"
    [group.api]
    service = "api"
    machine = "c7g.large"
    min = 1
    [group.workers]
    service = "worker"
    machine = "c7g.large"
    min = 2
    worker = { queue = "jobs", job = "job", concurrency = 2 }
    [balancer.front]
    targets = "api"
    [[sla]]
    name = "done"
    jobs = true
    objective = "p90 <= 10s"
    window = "5min"
"#;

#[test]
fn twice_the_consumers_work_a_queue_off() {
    let explanation = tell(&Scenario::parse(JOBS).unwrap());
    let (saved, left) = saved(&explanation, Kind::DoubleConsumers, true);
    assert!(saved >= 50.0 && left == 0.0, "{saved} saved, {left} left");
    let backlog = links(&explanation, LinkKind::Backlog);
    assert!(backlog[0].contains("the queue of workers grew from"), "{backlog:?}");
    assert_eq!(explanation.course.of, "p95 of jobs");
}

#[test]
fn where_the_sla_holds_there_is_nothing_to_explain() {
    let explanation = Explain::new(&scenario("20/s", &format!("{POOL}min = 1\n"))).run();
    assert!(explanation.met() && explanation.stretches.is_empty() && explanation.counterfactuals.is_empty());
    assert!(explanation.left_out.is_empty());
}

#[test]
fn replications_give_paired_intervals_and_threads_do_not_matter() {
    let scaled = "min = 1\nmax = 2\n[[group.web.scaling]]\ntarget_tracking = { target = 50 }\n";
    let scenario = scenario("170/s", &format!("{POOL}{scaled}"));
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Explain::new(&scenario).replications(3).run())
    };
    let one = on(1);
    assert_eq!(one, on(3));
    assert_eq!(one.violated, 3);
    let best = &one.counterfactuals[0];
    assert!(best.kind == Kind::DoubleMax && best.half_width.is_some(), "{best:?}");
    assert!(best.course.as_ref().is_some_and(|course| !course.points.is_empty()));
    assert!((best.saved_minutes + best.violation_minutes - one.violation_minutes).abs() < 1e-9);
}

#[test]
fn what_goes_on_when_the_fork_begins_cannot_be_averted_then() {
    let fixed = "min = 3\nmax = 3\n[[incident]]\nslow = { group = \"web\", count = 3, factor = 1.2, at = \"1min\", for = \"140min\" }\n";
    let scenario = scenario("300/s", &format!("{POOL}{fixed}"));
    let all = changes(scenario.plan()).0;
    let change: &Change = all.iter().find(|change| change.kind == Kind::NoIncidents).unwrap();
    assert_eq!(change.fork(scenario.plan(), Some(minutes(30))), None);
    assert_eq!(change.fork(scenario.plan(), Some(Time::ZERO)), Some(Time::ZERO));
}

fn random() -> impl Strategy<Value = String> {
    let runtime = prop_oneof![
        Just("\"event-loop\""),
        Just("{ thread-pool = { threads = 4, accept_queue = 10 } }"),
        Just("{ gil = { threads = 3 } }"),
        Just("{ cluster = { workers = 2 } }"),
    ];
    let algorithm = prop_oneof![
        Just("round-robin"),
        Just("random"),
        Just("least-outstanding-requests"),
        Just("power-of-two-choices"),
        Just("peak-ewma"),
    ];
    let scaling = prop_oneof![
        Just(""),
        Just("[[group.web.scaling]]\ntarget_tracking = { target = 40, high_datapoints = 2 }\n"),
        Just("[[group.web.scaling]]\nscheduled = { at = \"5min\", min = 3, max = 7 }\n"),
        Just(
            "[[group.web.scaling]]\nsimple = { alarm = { metric = \"cpu\", comparison = \">=\", threshold = 50 }, adjustment_type = \"change-in-capacity\", adjustment = 2 }\n"
        ),
    ];
    let incident = prop_oneof![
        Just(""),
        Just("[[incident]]\ncrash = { group = \"web\", at = \"6min\" }\n"),
        Just(
            "[[incident]]\nslow = { group = \"web\", count = 1, factor = 4, at = \"4min\", for = \"3min\" }\n"
        ),
    ];
    (runtime, algorithm, scaling, incident, 20u32..250, 0u32..4, any::<bool>()).prop_map(
        |(runtime, algorithm, scaling, incident, rate, retries, checked)| {
            let check = if checked { "health_check = { interval = \"5s\", timeout = \"2s\" }" } else { "" };
            format!(
                r#"
                [scenario]
                duration = "12min"
                [traffic.web]
                to = "front"
                profile = {{ points = {{ at = [["0s", "20/s"], ["3min", "{rate}/s"], ["12min", "30/s"]] }} }}
                timeout = "500ms"
                retry = {{ max = {retries}, backoff = "50ms" }}
                [service.api]
                runtime = {runtime}
                [service.api.endpoint."GET /"]
                steps = [{{ cpu = {{ exp = {{ mean = "10ms" }} }} }}, {{ wait = {{ exp = {{ mean = "10ms" }} }} }}]
                [group.web]
                service = "api"
                machine = "c7g.large"
                min = 2
                max = 5
                monitoring = "detailed"
                startup = {{ provision = "10s", boot = "10s", app = {{ exp = {{ mean = "10s" }} }} }}
                {scaling}
                [balancer.front]
                targets = "web"
                algorithm = "{algorithm}"
                {check}
                {incident}
                [[sla]]
                objective = "p95 <= 60ms"
                window = "1min"
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_fork_of_any_plan_that_changes_nothing_has_the_same_future(text in random(), at in 0u64..720) {
        let plan = Arc::new(Scenario::parse(&text).unwrap().plan().clone());
        let fork = Time::ZERO + Span::from_secs(at);
        let [one, other] = with_and_without(&plan, fork, minutes(12));
        prop_assert!(one == other);
    }

    /// Whatever is changed when, requests are accounted for, and the same are offered.
    #[test]
    fn a_change_keeps_what_is_offered(text in random(), at in 0u64..720) {
        let plan = Arc::new(Scenario::parse(&text).unwrap().plan().clone());
        let replication = Replication { plan: plan.clone(), seed: plan.seed, number: 0 };
        let mut world = replication.start();
        play_until(&mut world, Time::ZERO + Span::from_secs(at), 0, Watch::default());
        let mut original = world.clone();
        let outcome = play_on(&mut original, 0, Watch::default());
        let offered = finish(original, outcome).requests.offered;
        for change in changes(&plan).0 {
            let begins = (!change.from_the_start).then_some(&world);
            let run = play_changed(&change, &replication, begins, 0, Watch::default());
            prop_assert!(run.requests.conserved(), "{:?}", change.kind);
            prop_assert_eq!(run.requests.offered, offered, "{:?}", change.kind);
        }
    }
}
