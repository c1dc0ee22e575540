//! Pods on nodes, and what scales both: by timelines that follow from the rules by hand.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::kubernetes::scale_down::{Occupied, unneeded};
use scalesim::kubernetes::scheduler::place;
use scalesim::kubernetes::{Resources, Room, Scheduling, nodes_at_start, packing};
use scalesim::results::{ActivityKind, Results};
use scalesim::scaling::hpa::behavior::{self, Behavior, Rules};
use scalesim::scaling::hpa::calculator::{Circumstances, Readiness, Tolerance, value_by_pod};
use scalesim::scaling::hpa::legacy::{self, Growth};
use scalesim::system::System;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

/// What a scenario of these tests is made of.
struct World<'a> {
    duration: &'a str,
    /// Evenly spaced requests of 10 ms of CPU each.
    rate: &'a str,
    /// The keys of the group beside its service.
    group: &'a str,
    /// The keys of the pool beside its name.
    nodes: &'a str,
    /// What the service needs beside its runtime.
    service: &'a str,
}

const STEP: &str = r#"{ points = { at = [["0s", "24/s"], ["60s", "24/s"], ["60s", "96/s"], ["180s", "96/s"], ["180s", "24/s"]] } }"#;
/// 25 requests a second are half of what a pod asks for. They are a little less, as switches between threads cost CPU as well.
const PODS: &str = r#"kubernetes = { nodes = "pool", requests = { cpu = "500m", memory = "256Mi" }, limits = { cpu = "2" } }
    startup = { app = "10s" }"#;
const ROOMY: &str = r#"machine = "c6i.2xlarge""#;
const NARROW: &str = r#"machine = "c6i.large""#;

impl World<'_> {
    fn text(&self) -> String {
        format!(
            r#"
            [scenario]
            duration = "{}"
            [traffic.t]
            to = "b"
            profile = {}
            dispersion = 0
            timeout = "5s"
            [service.s]
            runtime = {{ thread-per-request = {{ most = 100 }} }}
            {}
            [service.s.endpoint.e]
            steps = [{{ cpu = "10ms" }}]
            [nodes.pool]
            {}
            [group.g]
            service = "s"
            {}
            [balancer.b]
            targets = "g"
            health_check = {{ interval = "10s", timeout = "5s" }}
            [cost]
            prices = "aws-us-east-1"
            "#,
            self.duration, self.rate, self.service, self.nodes, self.group
        )
    }

    fn play(&self) -> Results {
        let scenario = Scenario::parse(&self.text()).unwrap_or_else(|errors| panic!("{errors}"));
        let results = Experiment::new(&scenario).run();
        let requests = &results.run.requests;
        let ends = requests.completed + requests.refused + requests.timed_out + requests.failed;
        assert_eq!(requests.offered, ends + requests.in_flight, "{requests:?}");
        let again = Scenario::parse(scenario.resolved()).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(Experiment::new(&again).run().run.order_hash, results.run.order_hash, "what is resolved");
        results
    }
}

fn world<'a>(duration: &'a str, rate: &'a str, group: &'a str, nodes: &'a str) -> World<'a> {
    World { duration, rate, group, nodes, service: "" }
}

/// Second and size after each change of `name`.
fn sizes(results: &Results, name: &str) -> Vec<(f64, u32)> {
    let changes = results.run.activities.iter().filter(|activity| {
        activity.group == name && matches!(activity.kind, ActivityKind::ScaleIn | ActivityKind::ScaleOut)
    });
    changes.map(|activity| (activity.at, activity.desired)).collect()
}

/// Seconds of all entries of a kind that have `words`.
fn told(results: &Results, kind: ActivityKind, words: &str) -> Vec<f64> {
    let entries = results.run.activities.iter();
    entries
        .filter(|entry| entry.kind == kind && entry.description.contains(words))
        .map(|entry| entry.at)
        .collect()
}

fn hpa(rest: &str) -> String {
    format!(
        "{PODS}\nmin = 1\nmax = 10\nscaling = [{{ hpa = {{ metrics = [{{ resource = {{ cpu = 50 }} }}] {rest} }} }}]"
    )
}

/// One pod at its target. From 60 s on four times the load: 200 % of the request, so the pass at 75 s wants four (nearly 200 %: 3.9, rounded up). Those that start
/// are not counted, and speak against more. From 180 s on a quarter: one would do, and the last pass that wanted four was at
/// 180 s, so four stay until it is 300 s old.
#[test]
fn replicas_follow_a_step_by_hand() {
    let results = world("12min", STEP, &hpa(""), ROOMY).play();
    let changes = sizes(&results, "g");
    let by_sync = |at: f64| changes.iter().rev().find(|change| change.0 <= at).map_or(1, |change| change.1);
    let by_hand = |at: f64| if (75.0..480.0).contains(&at) { 4 } else { 1 };
    for sync in 1..=48 {
        let at = 15.0 * f64::from(sync);
        assert_eq!(by_sync(at), by_hand(at), "{at} s: {changes:?}");
    }
    assert_eq!(changes, [(75.0, 4), (480.0, 1)]);
    let held = results.run.activities.iter().find(|entry| {
        entry.kind == ActivityKind::NoAction
            && entry.description.contains("a recommendation of 4 in the window holds")
    });
    let held = held.unwrap_or_else(|| panic!("{:#?}", results.run.activities));
    assert_eq!((held.at, held.until, held.times), (195.0, 465.0, 19), "{}", held.description);
}

/// A window of zero shrinks at once, and a rate of one pod a minute one by one.
#[test]
fn behaviour_shrinks_as_fast_as_it_says() {
    let behavior = r#", behavior = { scale_down = { stabilization_window = "0s", policies = [{ pods = 1, period = "60s" }] } }"#;
    let results = world("8min", STEP, &hpa(behavior), ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(75.0, 4), (195.0, 3), (255.0, 2), (315.0, 1)]);
    let told = told(&results, ActivityKind::NoAction, "no further change is allowed in this period");
    assert_eq!(told, [210.0, 270.0], "one entry for each row of passes that wait");
    let disabled = r#", behavior = { scale_down = { select_policy = "Disabled" } }"#;
    let results = world("12min", STEP, &hpa(disabled), ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(75.0, 4)]);
}

/// The controller's first pass remembers the size that it finds.
#[test]
fn nothing_shrinks_in_the_first_window() {
    let group = hpa("").replace("min = 1", "min = 1\ndesired = 6");
    let results = world("8min", r#"{ constant = "25/s" }"#, &group, ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(315.0, 1)]);
}

/// From one pod to as many as there may be: twice as many a pass, at least four, without behaviour; with it four more or twice as
/// many.
#[test]
fn the_first_steps_differ_with_and_without_behaviour() {
    for (current, old, new) in [(1, 4, 5), (3, 6, 7), (5, 10, 10)] {
        let (by_old, _) = legacy::limit(current, 1000, (1, 1000), Growth::CONTROLLER);
        let behavior =
            Behavior { scale_up: Rules::scale_up(), scale_down: Rules::scale_down(Span::from_secs(300)) };
        let (by_new, _) = behavior::limit((current, 1000), (1, 1000), &behavior, (&[], &[]), Time::ZERO);
        assert_eq!((by_old, by_new), (old, new));
    }
    for (behavior, size) in [("", 4), (", behavior = { scale_up = {} }", 5)] {
        let results = world("2min", r#"{ constant = "190/s" }"#, &hpa(behavior), ROOMY).play();
        assert_eq!(sizes(&results, "g").first(), Some(&(15.0, size)));
    }
}

/// Each kind of metric comes to the same four pods.
#[test]
fn every_metric_comes_to_four() {
    for metric in [
        r#"{ resource = { cpu = "250m" } }"#,
        "{ pods = { requests_per_second = 25 } }",
        "{ object = { requests_per_second = { average_value = 25 } } }",
        "{ object = { requests_per_second = { value = 25 } } }",
        // Of evenly spaced requests of 10 ms one is there all the time.
        "{ external = { backlog = { average_value = 0.25 } } }",
    ] {
        let scaling = format!("scaling = [{{ hpa = {{ metrics = [{metric}] }} }}]");
        let group = format!("{PODS}\nmin = 1\nmax = 10\n{scaling}");
        let results = world("3min", r#"{ constant = "100/s" }"#, &group, ROOMY).play();
        let sizes = sizes(&results, "g");
        assert_eq!(sizes.first().map(|size| size.1), Some(4), "{metric}: {sizes:?}");
    }
}

/// Memory that more pods do not make less scales to the maximum.
#[test]
fn memory_that_does_not_fall_scales_to_the_maximum() {
    let group = format!(
        "{PODS}\nmin = 1\nmax = 5\nscaling = [{{ hpa = {{ metrics = [{{ resource = {{ memory = 50 }} }}] }} }}]"
    );
    let service = r#"memory = { process = "200 MiB", request = "1 MiB" }"#;
    let results = World { service, ..world("5min", r#"{ constant = "10/s" }"#, &group, ROOMY) }.play();
    assert_eq!(sizes(&results, "g").last().map(|size| size.1), Some(5));
    assert!(!told(&results, ActivityKind::NoAction, "5 are the maximum").is_empty());
}

/// A pass before the first measurement has no metrics, and does nothing.
#[test]
fn without_metrics_nothing_scales() {
    let results = world("1min", r#"{ constant = "96/s" }"#, &hpa(", sync_period = \"10s\""), ROOMY).play();
    assert_eq!(
        told(&results, ActivityKind::NoAction, "no metrics returned from resource metrics API"),
        [10.0]
    );
    assert_eq!(sizes(&results, "g").first(), Some(&(20.0, 4)));
}

/// A container that ends is started again where it is; nobody makes a new pod for it.
#[test]
fn the_kubelet_starts_containers_again() {
    let group = format!("{PODS}\nmin = 1\n[[incident]]\nprocess_crash = {{ group = \"g\", at = \"1min\" }}");
    let results = world("3min", r#"{ constant = "10/s" }"#, &group, ROOMY).play();
    let again = told(&results, ActivityKind::Restarted, "");
    assert_eq!(again.iter().map(|at| at.floor()).collect::<Vec<_>>(), [80.0], "10 s, and 10 s for the app");
    assert_eq!((results.run.groups[0].launched, results.run.groups[0].terminated), (0, 0));
}

/// Several metrics: the largest proposal counts.
#[test]
fn the_largest_of_several_proposals_counts() {
    let metrics = "{ resource = { cpu = 50 } }, { pods = { requests_per_second = 20 } }";
    let group = format!(
        "{PODS}\nmin = 1\nmax = 10\nscaling = [{{ hpa = {{ metrics = [{metrics}], behavior = {{ scale_up = {{}} }} }} }}]"
    );
    let results = world("3min", r#"{ constant = "100/s" }"#, &group, ROOMY).play();
    assert_eq!(sizes(&results, "g").first(), Some(&(15.0, 5)), "100 % of 500m wants 4, 100 requests want 5");
}

/// Three pods fit on a node of 2 vCPUs. The fourth waits: a scan at 80 s, 30 s until the node runs, 60 s until it is ready, 5 s
/// for the image that it has not, 10 s for the app.
#[test]
fn a_pod_waits_for_a_node_of_cluster_autoscaler() {
    let results = world("25min", STEP, &hpa(""), NARROW).play();
    assert_eq!(sizes(&results, "g"), [(75.0, 4), (480.0, 1)]);
    assert_eq!(told(&results, ActivityKind::Launch, "is Pending"), [75.0]);
    assert_eq!(told(&results, ActivityKind::ScaleOut, "Cluster Autoscaler adds 1"), [80.0]);
    assert_eq!(told(&results, ActivityKind::Healthy, "Node 1 is ready 1.5min"), [170.0]);
    assert_eq!(told(&results, ActivityKind::Launch, "on node 1 after 95s Pending; its image in 5s"), [170.0]);
    let healthy = told(&results, ActivityKind::Healthy, "takes requests");
    // A first check takes 60 µs.
    let healthy: Vec<f64> = healthy.iter().map(|at| at.floor()).collect();
    assert_eq!(healthy, [85.0, 85.0, 185.0], "the image is on node 0 already");
    // The pod on the second node is the one that goes: pods that share a node go first, and of two alone the younger. The node is
    // not needed from 480 s on, and goes ten minutes later.
    assert_eq!(sizes(&results, "pool"), [(80.0, 2), (1080.0, 1)]);
    let pool = &results.run.nodes[0];
    assert_eq!((pool.launched, pool.terminated, pool.evicted, pool.ready_max), (1, 1, 0, 2));
    // Billed from running at 110 s until gone; the other node for all 25 minutes. Pods are not billed.
    let hours = (1500.0 + (1080.0 - 110.0)) / 3600.0;
    assert!((pool.node_hours - hours).abs() < 1e-9, "{pool:?}");
    let bill = results.run.bill.as_ref().unwrap();
    let lines: Vec<_> = bill.lines.iter().filter(|line| line.unit == "instance-hours").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].item.starts_with("pool: c6i.large") && (lines[0].quantity - hours).abs() < 1e-9);
}

/// A node that was added holds all removals up for ten minutes.
#[test]
fn cluster_autoscaler_waits_after_an_addition() {
    let nodes = format!(
        "{NARROW}\nautoscaler = {{ cluster-autoscaler = {{ scale_down_unneeded_time = \"2min\" }} }}"
    );
    let results = world("25min", STEP, &hpa(""), &nodes).play();
    assert_eq!(sizes(&results, "pool"), [(80.0, 2), (680.0, 1)]);
    let words = "none goes within 10m";
    assert_eq!(told(&results, ActivityKind::NoAction, words).first(), Some(&600.0), "unneeded since 480 s");
}

/// A node below half of its use goes although it has a pod, which moves; so requests decide, and not use.
#[test]
fn a_node_below_the_threshold_goes_with_its_pod() {
    let group = format!("{PODS}\nmin = 1\ndesired = 1\nmax = 10");
    let nodes = format!("{NARROW}\nmin = 1\nmax = 3");
    let two = format!("{nodes}\nzones = [\"a\", \"b\"]").replace("min = 1", "min = 2");
    // With a minimum of two both stay.
    let results = world("30min", r#"{ constant = "25/s" }"#, &group, &two).play();
    assert_eq!(sizes(&results, "pool"), []);
    // Four pods need two nodes; three of them are gone at 60 s, and the one that is left is not alone on the first.
    let group = format!(
        "{PODS}\nmin = 1\ndesired = 4\nmax = 10\nscaling = [{{ manual = {{ at = \"60s\", desired = 2 }} }}]"
    );
    let results = world("30min", r#"{ constant = "25/s" }"#, &group, &nodes).play();
    assert_eq!(sizes(&results, "pool"), [(660.0, 1)]);
    assert_eq!(results.run.nodes[0].evicted, 1);
    assert_eq!(results.run.groups[0].serving_max, 4);
    assert_eq!(results.run.requests.refused, 0, "the other pod answers meanwhile");
}

/// Karpenter waits a second for more pods, asks for a node, and takes it away fifteen seconds after nobody needs it.
#[test]
fn karpenter_batches_and_consolidates() {
    let nodes = format!("{NARROW}\nmin = 1\nautoscaler = \"karpenter\"");
    let results = world("12min", STEP, &hpa(""), &nodes).play();
    assert_eq!(told(&results, ActivityKind::ScaleOut, "Karpenter adds 1"), [76.0]);
    assert_eq!(told(&results, ActivityKind::Healthy, "Node 1 is ready 1m"), [136.0]);
    assert_eq!(
        sizes(&results, "pool"),
        [(76.0, 2), (500.0, 1)],
        "at 480 s it is empty, at 490 s not for long enough"
    );
    let stays = nodes.replace("\"karpenter\"", "{ karpenter = { consolidation = false } }");
    let results = world("12min", STEP, &hpa(""), &stays).play();
    assert_eq!(sizes(&results, "pool"), [(76.0, 2)]);
}

/// A pool that is at its maximum leaves pods Pending, and says so once.
#[test]
fn a_pool_at_its_maximum_leaves_pods_pending() {
    let nodes = format!("{NARROW}\nmax = 1");
    let results = world("5min", STEP, &hpa(""), &nodes).play();
    assert_eq!(sizes(&results, "pool"), []);
    let told = told(&results, ActivityKind::NoAction, "1 pods stay Pending");
    assert_eq!(told, [80.0], "one entry for all scans");
    assert_eq!(results.run.groups[0].serving_max, 3);
}

const LULL: &str = r#"{ points = { at = [["0s", "4/s"], ["59s", "4/s"], ["59s", "0/s"], ["599s", "0/s"], ["599s", "4/s"]] } }"#;

fn keda(kubernetes: &str, rest: &str) -> String {
    let pods = PODS.replace("limits", &format!("{kubernetes} limits"));
    let trigger = "{ requests_per_second = { target = 10 } }, { backlog = {} }";
    format!("{pods}\ndesired = 1\nscaling = [{{ keda = {{ triggers = [{trigger}] {rest} }} }}]")
}

/// The last poll that saw requests is that of 60 s; the cooldown ends at 360 s. From 599 s on requests come, the poll of 630 s
/// sees them, and a pod is up 10 s later, its image being there. Until then nobody answers.
#[test]
fn keda_scales_to_zero_and_back() {
    let group = keda("", "");
    let results = world("15min", LULL, &group, ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(360.0, 0), (630.0, 1)]);
    let requests = &results.run.requests;
    // 41 s without a pod.
    assert!(requests.refused.abs_diff(4 * 41) <= 1, "{requests:?}");
    assert_eq!(requests.completed, requests.offered - requests.refused - requests.in_flight);
    assert!(!told(&results, ActivityKind::NoAction, "cooldown are left").is_empty());
    // The HPA that KEDA made leaves a target of none alone.
    assert!(!told(&results, ActivityKind::NoAction, "There are no pods").is_empty());
}

/// An activator holds what comes while there is no pod, and the poll counts what it holds. So only those fail who do not want to
/// wait for so long.
#[test]
fn an_activator_holds_requests_until_a_pod_is_there() {
    let group = keda("activator = 1000,", "");
    let results = world("15min", LULL, &group, ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(360.0, 0), (600.0, 1)], "the first request is there at the poll");
    let requests = &results.run.requests;
    assert_eq!(requests.refused, 0);
    // A pod is up at 610 s, and clients wait for 5 s: those of the first six seconds have given up.
    assert!(requests.timed_out.abs_diff(4 * 6) <= 1, "{requests:?}");
    let full = keda("activator = 8,", "");
    let results = world("15min", LULL, &full, ROOMY).play();
    assert!(results.run.requests.refused > 0, "more than it holds");
}

/// Among some, KEDA leaves the size to its HPA: ten requests a second are for one pod.
#[test]
fn between_one_and_many_the_hpa_of_keda_scales() {
    let results = world("3min", r#"{ constant = "35/s" }"#, &keda("", ""), ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(15.0, 4)]);
    assert!(!told(&results, ActivityKind::NoAction, "the HPA scales it").is_empty());
}

/// Whatever changes the size, what KEDA says after it is news again.
#[test]
fn what_keda_says_after_a_change_of_size_is_news_again() {
    let results = world("5min", STEP, &keda("", ""), ROOMY).play();
    let changes = sizes(&results, "g");
    assert!(changes.len() > 1 && changes[0].0 == 15.0, "{changes:?}");
    let said = told(&results, ActivityKind::NoAction, "the HPA scales it");
    // One entry for each stretch of time between two changes in which it was polled.
    assert_eq!((said[0], said.len()), (30.0, 1 + changes[1..].len()), "{said:?} {changes:?}");
}

/// No poll of KEDA brings pods back while a release holds the group at nothing.
#[test]
fn keda_waits_for_a_release_that_holds_the_group_at_nothing() {
    let group = format!(
        "{}\n[[release]]\ngroup = \"g\"\nat = \"2min\"\nhow = {{ recreate = {{ wait = \"3min\" }} }}",
        keda("", "")
    );
    let results = world("8min", r#"{ constant = "8/s" }"#, &group, ROOMY).play();
    let empty = |row: &&scalesim::results::Row| (130.0..295.0).contains(&row.at) && row.groups[0].serving > 0;
    assert_eq!(results.run.series.iter().filter(empty).count(), 0);
    assert!(!told(&results, ActivityKind::NoAction, "Not done: a release holds the group at 0.").is_empty());
    assert_eq!(told(&results, ActivityKind::ReleaseSucceeded, "").len(), 1);
}

/// With an idle count of zero a minimum of two comes back as two.
#[test]
fn an_idle_count_goes_below_the_minimum() {
    let group = keda("", ", idle_replica_count = 0").replace("desired = 1", "min = 2\nmax = 5");
    let results = world("15min", LULL, &group, ROOMY).play();
    assert_eq!(sizes(&results, "g"), [(360.0, 0), (630.0, 2)]);
    let without = keda("", "").replace("desired = 1", "min = 2\nmax = 5");
    let results = world("15min", LULL, &without, ROOMY).play();
    assert_eq!(sizes(&results, "g"), []);
}

/// A target that was never active has nothing to cool down from.
#[test]
fn what_was_never_active_goes_after_the_initial_cooldown() {
    let nothing = r#"{ points = { at = [["0s", "0/s"], ["7min", "0/s"], ["7min", "1/s"]] } }"#;
    for (rest, at) in [("", 30.0), (", initial_cooldown_period = \"100s\"", 120.0)] {
        let results = world("8min", nothing, &keda("", rest), ROOMY).play();
        assert_eq!(sizes(&results, "g").first(), Some(&(at, 0)));
    }
}

/// An HPA with an external metric goes to none by itself, and knows again that it did.
#[test]
fn an_hpa_with_an_object_metric_scales_to_zero_and_back() {
    let metrics = "{ object = { requests_per_second = { average_value = 10 } } }";
    let group =
        format!("{PODS}\nmin = 0\ndesired = 1\nmax = 5\nscaling = [{{ hpa = {{ metrics = [{metrics}] }} }}]");
    let results = world("15min", LULL, &group, ROOMY).play();
    // 4 requests a second are for one pod; the last pass that saw some is that of 60 s.
    assert_eq!(sizes(&results, "g"), [(360.0, 0), (600.0, 1)]);
}

/// A container's quota stops it in the middle of a period, and its node has idle vCPUs meanwhile.
#[test]
fn a_limit_throttles() {
    let fixed = PODS.replace("cpu = \"2\"", "cpu = \"500m\"");
    let group = format!("{fixed}\nmin = 1");
    let results = world("2min", r#"{ constant = "60/s" }"#, &group, ROOMY).play();
    let group = &results.run.groups[0];
    assert!(group.throttled > 1000, "{group:?}");
    assert!(group.cpu > 95.0, "of half a vCPU: {group:?}");
    assert!(results.run.response_time.p50 > 0.5, "0.6 vCPUs are asked for: {:?}", results.run.response_time);
}

/// Requests decide where pods go.
#[test]
fn pods_go_where_their_requests_fit() {
    let of = |cpu, gib: u64| Resources { cpu, memory: gib << 30 };
    let room = |cpu, gib| Some(Room { allocatable: of(4000, 8), free: of(cpu, gib) });
    let pod = of(1000, 1);
    assert_eq!(place([room(2000, 4), room(3000, 4)], pod, Scheduling::LeastAllocated), Some(1));
    assert_eq!(place([room(2000, 4), room(3000, 4)], pod, Scheduling::MostAllocated), Some(0));
    assert_eq!(place([room(999, 8), room(4000, 0), None], pod, Scheduling::LeastAllocated), None);
    assert_eq!(
        place([room(2000, 4), room(2000, 4)], pod, Scheduling::LeastAllocated),
        Some(0),
        "of equals the first"
    );
    // Two of 3 and two of 1 fit on two nodes, the largest first; as they come they would need three.
    let pods = [of(1000, 1), of(1000, 1), of(3000, 1), of(3000, 1)];
    assert_eq!(packing::missing(&pods, &[], of(4000, 8), 10), (2, 0));
    assert_eq!(packing::missing(&pods, &[of(4000, 8)], of(4000, 8), 10), (1, 0), "one is on its way");
    assert_eq!(packing::missing(&pods, &[], of(4000, 8), 1), (1, 2), "no more than one");
    assert_eq!(packing::missing(&[of(5000, 1)], &[], of(4000, 8), 9), (0, 1), "it fits on none");
    let pods = [(of(3000, 1), Scheduling::LeastAllocated), (of(3000, 1), Scheduling::LeastAllocated)];
    assert_eq!(nodes_at_start(1, &pods, of(4000, 8)), (vec![0, 1], 2));
}

/// A node is not needed where its pods have room elsewhere, and not all that are half empty can go at once.
#[test]
fn nodes_go_only_as_far_as_others_have_room() {
    let all = Resources { cpu: 4000, memory: 8 << 30 };
    let node = |pods: &[u64]| {
        let pods: Vec<Resources> = pods.iter().map(|&cpu| Resources { cpu, memory: 0 }).collect();
        let mut room = Room::empty(all);
        pods.iter().for_each(|&pod| room.free -= pod);
        Occupied { room, pods, candidate: true, takes: true }
    };
    assert_eq!(unneeded(&[node(&[1000]), node(&[1000])], 0.5), [true, false]);
    assert_eq!(unneeded(&[node(&[1900]), node(&[3000])], 0.5), [false, false], "no room for it");
    assert_eq!(unneeded(&[node(&[]), node(&[3000])], 0.5), [true, false]);
    assert_eq!(unneeded(&[node(&[1000]), node(&[])], 0.5), [false, true], "empty ones go first");
    assert_eq!(unneeded(&[node(&[2000]), node(&[1000])], 0.5), [false, true], "half of it is not below half");
    assert_eq!(unneeded(&[node(&[2000]), node(&[2000])], f64::INFINITY), [true, false]);
}

/// Queue scalers give an HPA an external metric by pod: as many pods as the queue takes, rounded up. From none there is no
/// tolerance.
#[test]
fn a_queue_is_for_as_many_pods_as_it_takes() {
    let pods = |messages: f64, target: f64| {
        let of = Circumstances {
            pods: &[],
            replicas: 0,
            status_replicas: 0,
            tolerance: Tolerance::both(0.1),
            readiness: Readiness {
                cpu_initialization_period: Span::ZERO,
                initial_readiness_delay: Span::ZERO,
            },
            pod_level_requests: false,
            now: Time::ZERO,
        };
        let thousandths = |value: f64| (value * 1000.0).round() as i64;
        value_by_pod(&of, &[thousandths(messages)], thousandths(target)).replicas
    };
    for vector in crate::asg_vectors::vectors("keda_queue") {
        let of = |key: &str| vector.input[key].as_f64().unwrap();
        let found = pods(of("messages"), of("queue_length_target"));
        assert_eq!(i64::from(found), vector.expected["pods"].as_i64().unwrap(), "{}", vector.id);
    }
    assert_eq!([pods(0.0, 5.0), pods(5.0, 5.0), pods(6.0, 5.0), pods(51.0, 10.0)], [0, 1, 2, 6]);
}

/// Systems without pods have no cluster, and a pod group is deterministic as all are.
#[test]
fn the_same_seed_gives_the_same_pods() {
    let group = hpa("");
    let text = world("5min", r#"{ constant = "80/s" }"#, &group, NARROW).text().replace("dispersion = 0", "");
    let play = || Experiment::new(&Scenario::parse(&text).unwrap()).run().run;
    assert_eq!(play().order_hash, play().order_hash);
}

/// Random clusters: two groups on one pool of two zones, who scales them, who adds nodes, and what goes wrong meanwhile.
fn clusters() -> impl Strategy<Value = String> {
    let scaling = prop::sample::select(vec![
        "{ hpa = { metrics = [{ resource = { cpu = 50 } }] } }",
        "{ hpa = { behavior = { scale_up = {}, scale_down = { stabilization_window = \"0s\" } } } }",
        "{ hpa = { metrics = [{ external = { backlog = { average_value = 2 } } }, { pods = { requests_per_second = 20 } }] } }",
        "{ manual = { at = \"2min\", desired = 9 } }, { manual = { at = \"4min\", desired = 1 } }",
    ]);
    let autoscaler = prop::sample::select(vec![
        "\"none\"",
        "\"karpenter\"",
        "{ karpenter = { budget = 1.0 } }",
        "{ cluster-autoscaler = { scale_down_unneeded_time = \"40s\", scale_down_delay_after_add = \"60s\" } }",
    ]);
    let keda = prop::sample::select(vec!["", "activator = 40,"]);
    let sizes = (1u32..4, 5u32..200, 0u32..3, 1u32..200);
    (scaling, autoscaler, keda, sizes, prop::bool::ANY).prop_map(
        |(scaling, autoscaler, activator, (min, rate, delay, seed), packed)| {
            let scheduling = if packed { "most-allocated" } else { "least-allocated" };
            format!(
                r#"
                [scenario]
                duration = "10min"
                seed = {seed}
                [traffic.a]
                to = "one"
                profile = {{ points = {{ at = [["0s", "20/s"], ["1min", "20/s"], ["1min", "{rate}/s"], ["4min", "{rate}/s"], ["4min", "5/s"]] }} }}
                timeout = "1s"
                retry = {{ max = 1, backoff = "100ms" }}
                [traffic.b]
                to = "two"
                profile = {{ points = {{ at = [["0s", "3/s"], ["1min", "3/s"], ["1min", "0/s"], ["5min", "0/s"], ["5min", "40/s"]] }} }}
                timeout = "2s"
                [service.s]
                runtime = {{ thread-per-request = {{ most = 50 }} }}
                memory = {{ process = "50 MiB", request = "1 MiB" }}
                [service.s.endpoint.e]
                steps = [{{ cpu = {{ exp = {{ mean = "10ms" }} }} }}]
                [nodes.pool]
                machine = "c6i.large"
                zones = ["a", "b"]
                min = {min}
                max = 5
                autoscaler = {autoscaler}
                startup = {{ provision = "5s", boot = "10s" }}
                [group.one]
                service = "s"
                kubernetes = {{ nodes = "pool", requests = {{ cpu = "400m", memory = "200Mi" }}, limits = {{ cpu = "1", memory = "300Mi" }}, scheduling = "{scheduling}" }}
                startup = {{ app = {{ exp = {{ mean = "4s" }} }} }}
                min = 1
                desired = 2
                max = 12
                scaling = [{scaling}]
                [group.two]
                service = "s"
                kubernetes = {{ nodes = "pool", {activator} requests = {{ cpu = "700m" }} }}
                startup = {{ app = "3s" }}
                desired = 1
                max = 6
                scaling = [{{ keda = {{ triggers = [{{ requests_per_second = {{ target = 10 }} }}, {{ backlog = {{}} }}], cooldown_period = "60s" }} }}]
                [balancer.one]
                targets = "one"
                deregistration_delay = "{delay}s"
                health_check = {{ interval = "5s", timeout = "2s" }}
                [balancer.two]
                targets = "two"
                [[incident]]
                crash = {{ group = "one", at = "90s" }}
                [[incident]]
                process_crash = {{ group = "one", at = "3min" }}
                [[incident]]
                zone_loss = {{ zone = "b", at = "2min", for = "2min" }}
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// At every instant every pod is on a node or waits for one, and nodes have room for what is on them.
    #[test]
    fn every_pod_is_accounted_for(text in clusters()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let mut simulation = System::start(Arc::new(scenario.plan().clone()), Seed::new(3));
        for second in 0..=600u64 {
            simulation.run(Time::from_nanos(second * 1_000_000_000), u64::MAX, &mut ());
            simulation.model.audit_pods().unwrap_or_else(|wrong| panic!("at {second} s: {wrong}\n{text}"));
        }
        let run = Experiment::new(&scenario).run().run;
        let requests = &run.requests;
        let ends = requests.completed + requests.refused + requests.timed_out + requests.failed;
        prop_assert_eq!(requests.offered, ends + requests.in_flight, "{}", text);
    }
}
