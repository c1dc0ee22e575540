//! Whom rotations pick.

use super::*;
use crate::plan::{GroupId, Hashing, Stickiness};
use sim_core::Span;

const CLIENTS: u32 = 1_000;

fn member(instance: u32) -> Member {
    Member { instance, weight: 1, zone: 0 }
}

fn rotation(algorithm: Algorithm, targets: u32) -> Rotation {
    sticking(algorithm, targets, None)
}

fn sticking(algorithm: Algorithm, targets: u32, stickiness: Option<Stickiness>) -> Rotation {
    let plan = Balancer { algorithm, stickiness, ..Balancer::new("front", GroupId(0)) };
    let mut rotation = Rotation::new(&plan, 1, &[CLIENTS], Seed::new(1));
    (0..targets).for_each(|target| rotation.add(member(target), Time::ZERO));
    rotation
}

fn picks(rotation: &mut Rotation, outstanding: &[u32], n: u64) -> Vec<u32> {
    (0..n).filter_map(|key| pick(rotation, key, 0, outstanding)).collect()
}

fn pick(rotation: &mut Rotation, key: u64, client: u32, outstanding: &[u32]) -> Option<u32> {
    at(rotation, Time::ZERO, key, client, outstanding)
}

fn at(rotation: &mut Rotation, now: Time, key: u64, client: u32, outstanding: &[u32]) -> Option<u32> {
    let latencies = vec![Latency::default(); outstanding.len()];
    rotation.pick(
        key,
        Client { source: 0, number: client },
        &Seen { now, outstanding, latencies: &latencies },
    )
}

#[test]
fn round_robin_takes_turns_and_keeps_them_when_a_target_goes() {
    let mut rotation = rotation(Algorithm::RoundRobin, 4);
    assert_eq!(picks(&mut rotation, &[0; 4], 6), [0, 1, 2, 3, 0, 1]);
    assert!(rotation.remove(member(0), Time::ZERO));
    assert!(!rotation.remove(member(0), Time::ZERO));
    assert_eq!(picks(&mut rotation, &[0; 4], 3), [2, 3, 1]);
}

#[test]
fn least_outstanding_requests_shares_ties_in_turn() {
    let mut rotation = rotation(Algorithm::LeastOutstandingRequests, 4);
    assert_eq!(picks(&mut rotation, &[3, 1, 2, 1], 3), [1, 3, 1]);
    assert_eq!(picks(&mut rotation, &[1, 1, 1, 1], 4), [2, 3, 0, 1]);
}

#[test]
fn power_of_two_choices_never_takes_the_busiest() {
    let mut rotation = rotation(Algorithm::PowerOfChoices(2), 3);
    let seen = picks(&mut rotation, &[9, 0, 5], 3_000);
    assert!(!seen.contains(&0));
    let idle = seen.iter().filter(|&&target| target == 1).count();
    assert!((1_850..2_150).contains(&idle), "two of three pairs hold the idle one: {idle}");
}

#[test]
fn random_is_even_and_belongs_to_the_request() {
    let mut rotation = rotation(Algorithm::Random { anomaly_mitigation: false }, 2);
    let seen = picks(&mut rotation, &[0; 2], 10_000);
    assert_eq!(seen, picks(&mut rotation, &[0; 2], 10_000));
    let first = seen.iter().filter(|&&target| target == 0).count();
    assert!((4_800..5_200).contains(&first), "{first}");
}

/// asg-199: of six registered targets none is healthy, and six are used.
#[test]
fn without_a_healthy_target_all_registered_ones_are_used() {
    let mut rotation = rotation(Algorithm::RoundRobin, 6);
    (0..6).for_each(|target| assert!(rotation.remove(member(target), Time::ZERO)));
    let mut used = picks(&mut rotation, &[0; 6], 12);
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 6);
    (1..6).for_each(|target| rotation.deregister(member(target), Time::ZERO));
    assert_eq!(picks(&mut rotation, &[0; 6], 2), [0, 0]);
    rotation.deregister(member(0), Time::ZERO);
    assert_eq!(pick(&mut rotation, 1, 0, &[0; 6]), None);
}

#[test]
fn without_targets_there_is_none() {
    for algorithm in
        [Algorithm::RoundRobin, Algorithm::Random { anomaly_mitigation: false }, Algorithm::PowerOfChoices(2)]
    {
        assert_eq!(pick(&mut rotation(algorithm, 0), 1, 0, &[]), None);
    }
}

#[test]
fn of_more_choices_the_least_busy_is_taken_more_often() {
    let idle = |choices: u32| {
        let mut rotation = rotation(Algorithm::PowerOfChoices(choices), 5);
        let seen = picks(&mut rotation, &[9, 4, 5, 0, 7], 10_000);
        seen.iter().filter(|&&target| target == 3).count() as f64 / 1e4
    };
    for choices in 1..=5 {
        let share = f64::from(choices) / 5.0;
        assert!((idle(choices) - share).abs() < 0.02, "{choices}: {}", idle(choices));
    }
    assert_eq!(idle(9), 1.0, "more than there are");
}

/// Clients stay while their target is healthy and the cookie counts; a new instance in an old place is another.
#[test]
fn clients_stick_to_their_target() {
    let hour = Span::from_secs(3_600);
    let mut rotation =
        sticking(Algorithm::RoundRobin, 3, Some(Stickiness { duration: hour, by: StickyBy::LbCookie }));
    let go = |rotation: &mut Rotation, minutes: u64, client: u32| {
        at(rotation, Time::ZERO + Span::from_secs(60 * minutes), 1, client, &[0; 4])
    };
    assert_eq!([0, 1, 2, 3].map(|client| go(&mut rotation, 0, client)), [0, 1, 2, 0].map(Some));
    assert_eq!([3, 2, 1, 0].map(|client| go(&mut rotation, 50, client)), [0, 2, 1, 0].map(Some));
    assert_eq!(go(&mut rotation, 100, 1), Some(1), "every request renews the cookie");
    assert_eq!(go(&mut rotation, 170, 2), Some(1), "after an hour it is in turn again");
    assert!(rotation.remove(member(0), Time::ZERO));
    assert_eq!(go(&mut rotation, 51, 0), Some(2), "its target is not healthy");
    rotation.deregister(member(0), Time::ZERO);
    rotation.add(member(0), Time::ZERO);
    // The place that client 3 knows is another instance's now: who is in turn gets it, and somebody unknown the next.
    assert_eq!([3, CLIENTS + 5].map(|client| go(&mut rotation, 52, client)), [Some(0), Some(1)]);
}

#[test]
fn a_hash_keeps_clients_and_fails_open() {
    for hashing in [Hashing::Modulo, Hashing::Ring, Hashing::Maglev] {
        let mut rotation = rotation(Algorithm::Hash(hashing), 4);
        let of = |rotation: &mut Rotation, key: u64| -> Vec<u32> {
            (0..100).filter_map(|client| pick(rotation, key, client, &[0; 4])).collect()
        };
        let first = of(&mut rotation, 1);
        assert_eq!(first, of(&mut rotation, 2), "whatever the request");
        (0..4).for_each(|target| assert!(rotation.remove(member(target), Time::ZERO)));
        assert_eq!(of(&mut rotation, 3).len(), 100, "all registered ones are used");
        (1..4).for_each(|target| rotation.deregister(member(target), Time::ZERO));
        assert!(of(&mut rotation, 4).iter().all(|&target| target == 0));
    }
}
