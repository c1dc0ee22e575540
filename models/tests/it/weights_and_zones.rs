//! Targets that are not equal: weights, slow start, zones, minima of healthy targets.

use crate::asg_vectors::vectors;
use scalesim::balancer::{Client, Member, Rotation, Seen};
use scalesim::plan::{Algorithm, Balancer, GroupId, Minimum, TargetGroup};
use scalesim::results::Results;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Span, Time};

/// Picks of so many requests, by target.
fn spread(rotation: &mut Rotation, now: Time, targets: usize, requests: u64) -> Vec<u64> {
    let mut counts = vec![0; targets];
    let outstanding = vec![0; targets];
    for key in 0..requests {
        let seen = Seen { now, outstanding: &outstanding, latencies: &[] };
        let target = rotation.pick(key, Client::ANY, &seen).unwrap();
        counts[target as usize] += 1;
    }
    counts
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

/// Zones of registered and healthy targets, as in the example of the guide.
fn zones(plan: &Balancer, zones: &[(u32, u32)]) -> Rotation {
    let mut rotation = Rotation::new(plan, zones.len(), &[], Seed::new(3));
    let mut instance = 0;
    for (zone, &(registered, healthy)) in (0..).zip(zones) {
        for number in 0..registered {
            let member = Member { instance, weight: 1, zone };
            rotation.register(member, Time::ZERO);
            if number < healthy {
                rotation.add(member, Time::ZERO);
            }
            instance += 1;
        }
    }
    rotation
}

/// asg-199: six registered, none healthy.
#[test]
fn without_any_healthy_target_all_are_used() {
    let vectors = vectors("lb_fail_open");
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        let of = |key: &str| vector.input[key].as_u64().unwrap() as u32;
        let plan = Balancer {
            algorithm: Algorithm::Random { anomaly_mitigation: false },
            ..Balancer::new("front", GroupId(0))
        };
        let mut rotation = zones(&plan, &[(of("registered"), of("healthy"))]);
        let counts = spread(&mut rotation, at(100), of("registered") as usize, 20_000);
        let used = counts.iter().filter(|&&count| count > 0).count() as u64;
        assert_eq!(Some(used), vector.expected["targets_used"].as_u64(), "{}", vector.id);
    }
}

/// asg-198 and its counterpart: zone A has 10 of 10 healthy, zone B 4 of 10, and both minima are 50 %.
#[test]
fn routing_failover_is_by_zone_without_cross_zone_and_over_all_with_it() {
    let half = Minimum::Share(0.5);
    let plan = |cross_zone| Balancer {
        cross_zone,
        minimum_healthy: half,
        minimum_in_dns: half,
        algorithm: Algorithm::Random { anomaly_mitigation: false },
        ..Balancer::new("front", GroupId(0))
    };
    let mut seen = 0;
    for vector in vectors("lb_target_group_health") {
        let of = |zone: &str| {
            let zone = &vector.input["zones"][zone];
            (zone["registered"].as_u64().unwrap() as u32, zone["healthy"].as_u64().unwrap() as u32)
        };
        let cross_zone = vector.input["cross_zone"].as_bool().unwrap();
        let mut rotation = zones(&plan(cross_zone), &[of("A"), of("B")]);
        if cross_zone {
            let counts = spread(&mut rotation, at(100), 20, 20_000);
            let used = counts.iter().filter(|&&count| count > 0).count() as u64;
            assert_eq!(Some(used), vector.expected["all"]["targets_used"].as_u64(), "{}", vector.id);
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
    // Without cross-zone: B has left DNS, and would use all of its ten.
    let mut rotation = zones(&plan(false), &[(10, 10), (10, 4)]);
    let counts = spread(&mut rotation, at(100), 20, 20_000);
    assert!(counts[..10].iter().all(|&count| count > 1_700) && counts[10..] == [0; 10], "{counts:?}");
    let kept = Balancer { minimum_in_dns: Minimum::Count(1), ..plan(false) };
    let counts = spread(&mut zones(&kept, &[(10, 10), (10, 4)]), at(100), 20, 20_000);
    assert!(counts.iter().all(|&count| (800..1_200).contains(&count)), "{counts:?}");
}

/// asg-199: of six registered targets none is healthy, and six are used.
#[test]
fn without_a_healthy_target_the_zones_fail_open() {
    for cross_zone in [true, false] {
        let plan = Balancer { cross_zone, ..Balancer::new("front", GroupId(0)) };
        let mut rotation = zones(&plan, &[(3, 0), (3, 0)]);
        let counts = spread(&mut rotation, at(100), 6, 600);
        assert!(counts.iter().all(|&count| count > 60), "{counts:?}");
    }
}

/// DNS gives clients all zones alike: a target of a zone with one gets as much as three of the other together.
#[test]
fn without_cross_zone_targets_of_a_small_zone_get_more() {
    let load = |cross_zone| {
        let plan = Balancer { cross_zone, ..Balancer::new("front", GroupId(0)) };
        spread(&mut zones(&plan, &[(3, 3), (1, 1)]), at(1), 4, 12_000)
    };
    assert_eq!(load(true), [3_000; 4]);
    let counts = load(false);
    assert!((5_800..6_200).contains(&counts[3]), "{counts:?}");
}

/// Clients go on to a zone that has left DNS until they ask again, within 60 s.
#[test]
fn clients_learn_from_dns_within_its_time_to_live() {
    let plan = Balancer { cross_zone: false, ..Balancer::new("front", GroupId(0)) };
    let mut rotation = zones(&plan, &[(1, 1), (1, 1)]);
    rotation.remove(Member { instance: 1, weight: 1, zone: 1 }, at(1_000));
    let share = |rotation: &mut Rotation, now| spread(rotation, at(now), 2, 20_000)[1] as f64 / 20_000.0;
    for (after, expected) in [(0, 0.5), (15, 0.375), (30, 0.25), (60, 0.0), (600, 0.0)] {
        let seen = share(&mut rotation, 1_000 + after);
        assert!((seen - expected).abs() < 0.015, "{after} s later: {seen} for {expected}");
    }
}

/// The share of a new target grows linearly: after half of the ramp it is half of a full one.
#[test]
fn slow_start_is_a_linear_ramp() {
    let plan = Balancer { slow_start: Some(Span::from_secs(60)), ..Balancer::new("front", GroupId(0)) };
    let member = |instance| Member { instance, weight: 1, zone: 0 };
    let mut rotation = Rotation::new(&plan, 1, &[], Seed::new(3));
    // The first targets of a group get no slow start: there is none beside them that is past it.
    (0..3).for_each(|instance| rotation.add(member(instance), Time::ZERO));
    assert_eq!(spread(&mut rotation, at(1), 4, 300), [100, 100, 100, 0]);
    rotation.add(member(3), at(100));
    for (after, weight) in [(6, 0.1), (30, 0.5), (54, 0.9), (60, 1.0), (90, 1.0)] {
        let counts = spread(&mut rotation, at(100 + after), 4, 10_000);
        let expected = 10_000.0 * weight / (3.0 + weight);
        assert!((counts[3] as f64 - expected).abs() < 12.0, "after {after} s: {counts:?} for {expected}");
    }
}

/// Each algorithm that knows weights gives three times as much to three times the weight.
#[test]
fn weights_are_kept_by_all_that_have_them() {
    let targets =
        vec![TargetGroup { group: GroupId(0), weight: 3 }, TargetGroup { group: GroupId(1), weight: 1 }];
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random { anomaly_mitigation: false }] {
        let plan = Balancer { algorithm, targets: targets.clone(), ..Balancer::new("front", GroupId(0)) };
        let mut rotation = Rotation::new(&plan, 1, &[], Seed::new(3));
        for instance in 0..4 {
            rotation.add(Member { instance, weight: if instance < 2 { 3 } else { 1 }, zone: 0 }, Time::ZERO);
        }
        let counts = spread(&mut rotation, at(1), 4, 16_000);
        for (count, expected) in counts.iter().zip([6_000, 6_000, 2_000, 2_000]) {
            assert!(count.abs_diff(expected) < 160, "{algorithm:?}: {counts:?}");
        }
    }
    // In progress by weight: with 5 and 2 in progress, 5/3 is less than 2/1.
    for (outstanding, expected) in [([5, 2], 0), ([7, 2], 1)] {
        let algorithm = Algorithm::LeastOutstandingRequests;
        let plan = Balancer { algorithm, targets: targets.clone(), ..Balancer::new("front", GroupId(0)) };
        let mut rotation = Rotation::new(&plan, 1, &[], Seed::new(3));
        rotation.add(Member { instance: 0, weight: 3, zone: 0 }, Time::ZERO);
        rotation.add(Member { instance: 1, weight: 1, zone: 0 }, Time::ZERO);
        let seen = Seen { now: at(1), outstanding: &outstanding, latencies: &[] };
        assert_eq!(rotation.pick(1, Client::ANY, &seen), Some(expected), "{outstanding:?}");
    }
}

/// Large machines beside small ones. The rest is of the balancer.
fn mixed(rate: u32, targets: &str, balancer: &str) -> Results {
    let text = format!(
        r#"
        scenario.duration = "10min"
        traffic.t = {{ to = "b", profile = {{ constant = "{rate}/s" }} }}
        [service.s]
        runtime = {{ thread-pool = {{ threads = 4, accept_queue = 4, overhead = "0s" }} }}
        endpoint.e.steps = [{{ cpu = {{ exp = {{ mean = "10ms" }} }} }}]
        [machine]
        large = {{ vcpus = 2 }}
        small = {{ vcpus = 1 }}
        [group]
        large = {{ service = "s", machine = "large", min = 2 }}
        small = {{ service = "s", machine = "small", min = 2 }}
        [balancer.b]
        targets = {targets}
        health_check = "none"
        {balancer}
        "#
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    Experiment::new(&scenario).run()
}

/// Turns by weight give each machine what it can do.
#[test]
fn a_mixed_fleet_wants_weights() {
    let lost = |targets| {
        let requests = mixed(240, targets, "").run.requests;
        1.0 - requests.availability()
    };
    let (equal, weighted) = (lost("{ large = 1, small = 1 }"), lost("{ large = 2, small = 1 }"));
    assert!(weighted < 0.5 * equal, "{weighted} of {equal}");
    let cpu = |results: &Results| -> Vec<f64> { results.run.groups.iter().map(|group| group.cpu).collect() };
    let even = cpu(&mixed(240, "{ large = 2, small = 1 }", ""));
    assert!((even[0] - even[1]).abs() < 3.0, "{even:?}");
}

/// A weight of zero takes a group out, as a release does before it switches over.
#[test]
fn a_weight_of_zero_gets_nothing() {
    let results = mixed(240, "{ large = 1, small = 0 }", "");
    assert!(results.run.groups[1].cpu == 0.0 && results.run.groups[0].cpu > 50.0);
}

/// Small machines refuse what they have no room for; anomaly mitigation sends them less of it.
#[test]
fn anomaly_mitigation_sends_less_to_those_that_fail() {
    let lost = |mitigation: bool| {
        let algorithm =
            format!("algorithm = {{ weighted-random = {{ anomaly_mitigation = {mitigation} }} }}");
        1.0 - mixed(480, "{ large = 1, small = 1 }", &algorithm).run.requests.availability()
    };
    let (without, with) = (lost(false), lost(true));
    assert!(with < 0.8 * without, "{with} of {without}");
}
