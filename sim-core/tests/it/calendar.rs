//! The three doors keep one order: random programs, played on the calendar and on a sorted map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sim_core::{Calendar, Model, Probe, Simulation, Span, Stop, Time};

#[derive(Clone, Debug)]
enum Step {
    After(u64),
    Fixed(usize),
    Set(usize, u64),
    Clear(usize),
    Next,
    NextUntil(u64),
}

const LANES: [u64; 3] = [0, 7, 100];
const TIMERS: usize = 5;

/// The reference: a sorted map from (time, sequence) to what happens, searched in full to cancel.
#[derive(Default)]
struct Reference {
    now: u64,
    sequence: u64,
    pending: BTreeMap<(u64, u64), (u32, Option<usize>)>,
}

impl Reference {
    fn add(&mut self, delay: u64, event: u32, timer: Option<usize>) {
        self.clear(timer);
        self.sequence += 1;
        self.pending.insert((self.now + delay, self.sequence), (event, timer));
    }
    fn clear(&mut self, timer: Option<usize>) {
        if timer.is_some() {
            self.pending.retain(|_, &mut (_, t)| t != timer);
        }
    }
    fn next(&mut self, until: u64) -> Option<u32> {
        let (&key, &(event, _)) = self.pending.first_key_value()?;
        if key.0 > until {
            return None;
        }
        self.pending.remove(&key);
        self.now = key.0;
        Some(event)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let delay = prop_oneof![Just(0u64), 0..20u64, 0..1_000u64];
    prop_oneof![
        3 => delay.clone().prop_map(Step::After),
        3 => (0..LANES.len()).prop_map(Step::Fixed),
        3 => (0..TIMERS, delay.clone()).prop_map(|(t, d)| Step::Set(t, d)),
        1 => (0..TIMERS).prop_map(Step::Clear),
        6 => Just(Step::Next),
        2 => delay.prop_map(Step::NextUntil),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_order_is_the_reference_order(program in prop::collection::vec(step(), 1..300)) {
        let mut reference = Reference::default();
        let mut calendar = Calendar::new();
        let timers: Vec<_> = (0..TIMERS).map(|_| calendar.timer()).collect();
        let lanes: Vec<_> = LANES.iter().map(|&d| calendar.fixed_delay(Span::from_nanos(d))).collect();
        for (event, step) in (0u32..).zip(program) {
            match step {
                Step::After(delay) => {
                    reference.add(delay, event, None);
                    calendar.after(Span::from_nanos(delay), event);
                }
                Step::Fixed(lane) => {
                    reference.add(LANES[lane], event, None);
                    calendar.after_fixed(lanes[lane], event);
                }
                Step::Set(timer, delay) => {
                    reference.add(delay, event, Some(timer));
                    calendar.set(timers[timer], Span::from_nanos(delay), event);
                    prop_assert!(calendar.is_set(timers[timer]));
                }
                Step::Clear(timer) => {
                    reference.clear(Some(timer));
                    calendar.clear(timers[timer]);
                    prop_assert!(!calendar.is_set(timers[timer]));
                }
                Step::Next => prop_assert_eq!(calendar.next(Time::NEVER), reference.next(u64::MAX)),
                Step::NextUntil(span) => {
                    let until = calendar.now() + Span::from_nanos(span);
                    prop_assert_eq!(calendar.next(until), reference.next(until.as_nanos()));
                }
            }
            prop_assert_eq!(calendar.len(), reference.pending.len());
            prop_assert_eq!(calendar.now().as_nanos(), reference.now);
        }
        while let Some(event) = reference.next(u64::MAX) {
            prop_assert_eq!(calendar.next(Time::NEVER), Some(event));
        }
        prop_assert_eq!(calendar.next(Time::NEVER), None);
    }
}

/// Hundreds of timers and lanes, so that the tournament has many levels and grows in use.
#[test]
fn many_doors_keep_the_order() {
    let mut calendar = Calendar::new();
    let mut reference = Reference::default();
    let mut timers = Vec::new();
    let mut state = 1u64;
    let mut random = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % n
    };
    for event in 0..20_000u32 {
        if timers.len() < 700 && random(10) == 0 {
            timers.push(calendar.timer());
        }
        let delay = random(500);
        match random(4) {
            0 if !timers.is_empty() => {
                let timer = random(timers.len() as u64) as usize;
                reference.add(delay, event, Some(timer));
                calendar.set(timers[timer], Span::from_nanos(delay), event);
            }
            1 => {
                let lane = calendar.fixed_delay(Span::from_nanos(delay / 10));
                reference.add(delay / 10, event, None);
                calendar.after_fixed(lane, event);
            }
            2 => {
                reference.add(delay, event, None);
                calendar.after(Span::from_nanos(delay), event);
            }
            _ => assert_eq!(calendar.next(Time::NEVER), reference.next(u64::MAX)),
        }
    }
}

/// A world that schedules through every door, to fork in mid-run.
#[derive(Clone)]
struct Busy {
    state: u64,
    lane: sim_core::FixedDelay,
    timer: sim_core::Timer,
}

impl Model for Busy {
    type Event = u32;
    fn handle(&mut self, event: u32, calendar: &mut Calendar<u32>) {
        self.state = self.state.rotate_left(7).wrapping_mul(0x9E37_79B9).wrapping_add(u64::from(event));
        match self.state % 3 {
            0 => calendar.after(Span::from_nanos(self.state % 97), event + 1),
            1 => calendar.after_fixed(self.lane, event + 2),
            _ => calendar.after(Span::from_nanos(5), event + 3),
        }
        calendar.set(self.timer, Span::from_nanos(50), event);
    }
}

struct Record(Vec<(Time, u32)>);
impl Probe<u32> for Record {
    fn on_event(&mut self, now: Time, event: &u32) {
        self.0.push((now, *event));
    }
}

fn busy() -> Simulation<Busy> {
    let mut calendar = Calendar::new();
    let (lane, timer) = (calendar.fixed_delay(Span::from_nanos(20)), calendar.timer());
    for event in 0..10 {
        calendar.after(Span::from_nanos(u64::from(event)), event);
    }
    Simulation::new(Busy { state: 1, lane, timer }, calendar)
}

#[test]
fn a_fork_in_mid_run_has_the_same_future() {
    let mut original = busy();
    assert_eq!(original.run(Time::NEVER, 5_000, &mut ()), Stop::Events);
    let mut fork = original.clone();
    let (mut a, mut b) = (Record(Vec::new()), Record(Vec::new()));
    original.run(Time::NEVER, 5_000, &mut a);
    fork.run(Time::NEVER, 5_000, &mut b);
    assert_eq!(a.0, b.0);
    assert_eq!(original.calendar.order_hash(), fork.calendar.order_hash());
    assert_eq!(original.events(), 10_000);
}

#[test]
fn stretches_give_the_same_run_as_one_piece() {
    let until = Time::from_nanos(10_000);
    let (mut whole, mut pieces) = (busy(), busy());
    whole.run(until, u64::MAX, &mut ());
    for step in 1..=10 {
        assert_eq!(pieces.run(Time::from_nanos(step * 1_000), u64::MAX, &mut ()), Stop::Reached);
        assert_eq!(pieces.calendar.now().as_nanos(), step * 1_000);
    }
    assert_eq!(whole.calendar.order_hash(), pieces.calendar.order_hash());
    assert_eq!(whole.model.state, pieces.model.state);
}

#[test]
fn another_order_gives_another_hash() {
    let hash = |delays: [u64; 2]| {
        let mut calendar = Calendar::new();
        for delay in delays {
            calendar.after(Span::from_nanos(delay), ());
        }
        while calendar.next(Time::NEVER).is_some() {}
        calendar.order_hash()
    };
    assert_eq!(hash([1, 2]), hash([1, 2]));
    assert_ne!(hash([1, 2]), hash([2, 1]));
    assert_ne!(hash([1, 2]), hash([1, 3]));
}
