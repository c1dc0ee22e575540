//! Paired differences, against a data set that every textbook has worked and against their own promises.

use proptest::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use sim_core::Seed;
use sim_core::stats::Paired;

/// Hours of sleep that ten patients gained by one drug and by another (Student 1908, *The probable error of a mean*).
const SLEEP: [(f64, f64); 10] = [
    (0.7, 1.9),
    (-1.6, 0.8),
    (-0.2, 1.1),
    (-1.2, 0.1),
    (-0.1, -0.1),
    (3.4, 4.4),
    (3.7, 5.5),
    (0.8, 1.6),
    (0.0, 4.6),
    (2.0, 3.4),
];

#[test]
fn students_sleep_data_has_its_known_intervals() {
    let sleep: Paired = SLEEP.into_iter().collect();
    let near = |value: f64, known: f64| assert!((value - known).abs() < 1e-6, "{value} for {known}");
    // R: t.test(y, x, paired = TRUE) gives 0.7001142 to 2.4598858.
    let paired = sleep.interval(0.95).unwrap();
    near(paired.mean, 1.58);
    near(paired.half_width, (2.459_885_8 - 0.700_114_2) / 2.0);
    // R: t.test(y, x) gives -0.2054832 to 3.3654832, with 17.776 degrees of freedom.
    let unpaired = sleep.unpaired(0.95).unwrap();
    near(unpaired.mean, 1.58);
    near(unpaired.half_width, (3.365_483_2 + 0.205_483_2) / 2.0);
    near(sleep.correlation().unwrap(), 0.795_170_2);
    near(sleep.times_as_many().unwrap(), 4.765_423_0);
    // t(25) = 2.0595 and t(24) = 2.0639, with a deviation of 1.23.
    assert_eq!(sleep.needed(0.5, 0.95), Some(26));
    assert!(paired.mean > paired.half_width && unpaired.mean < unpaired.half_width);
}

#[test]
fn equal_systems_differ_by_nothing() {
    let same: Paired = SLEEP.iter().map(|pair| (pair.0, pair.0)).collect();
    let interval = same.interval(0.95).unwrap();
    assert_eq!((interval.mean, interval.half_width), (0.0, 0.0));
    assert_eq!(same.times_as_many(), None, "any number of others would be too few");
    assert_eq!(same.needed(0.1, 0.95), Some(2));
    assert!(same.unpaired(0.95).unwrap().half_width > 1.0);
    let still: Paired = [(3.0, 4.0); 5].into_iter().collect();
    assert_eq!(still.unpaired(0.95).unwrap().half_width, 0.0);
    assert_eq!(still.correlation(), None);
}

#[test]
fn one_pair_and_odd_levels_say_nothing() {
    let one: Paired = [(1.0, 2.0)].into_iter().collect();
    assert_eq!((one.interval(0.95), one.unpaired(0.95), one.needed(1.0, 0.95)), (None, None, None));
    assert_eq!((one.correlation(), one.times_as_many()), (None, None));
    let sleep: Paired = SLEEP.into_iter().collect();
    for level in [0.0, 1.0, f64::NAN] {
        assert_eq!(
            (sleep.interval(level), sleep.unpaired(level), sleep.needed(1.0, level)),
            (None, None, None)
        );
    }
    for size in [0.0, -1.0, f64::NAN, 1e-9] {
        assert_eq!(sleep.needed(size, 0.95), None);
    }
}

#[test]
fn both_intervals_cover_as_often_as_they_say() {
    let seed = Seed::new(7);
    let (mut paired, mut unpaired) = (0, 0);
    for round in 0..2_000 {
        let mut draws = seed.keyed("pairs").at(round);
        let mut normal = || -> f64 { StandardNormal.sample(&mut draws) };
        // What both have in common counts three times as much as what is each one's own.
        let pairs: Paired = (0..8)
            .map(|_| {
                let common = 3.0 * normal();
                (common + normal(), 0.5 + common + 2.0 * normal())
            })
            .collect();
        paired += u32::from(pairs.interval(0.95).unwrap().contains(0.5));
        unpaired += u32::from(pairs.unpaired(0.95).unwrap().contains(0.5));
    }
    // 1,900 within four standard deviations of 9.7.
    assert!((1_861..=1_939).contains(&paired), "{paired} of 2000");
    assert!(unpaired > 1_980, "{unpaired}: it does not know what is in common, and is far too wide");
}

proptest! {
    #[test]
    fn the_variance_of_a_difference_is_what_is_not_in_common(
        pairs in prop::collection::vec((-1e3..1e3f64, -1e3..1e3f64), 3..40),
    ) {
        let paired: Paired = pairs.iter().copied().collect();
        let (a, b) = (paired.first().variance().unwrap(), paired.second().variance().unwrap());
        if let Some(correlation) = paired.correlation() {
            let expected = a + b - 2.0 * correlation * (a * b).sqrt();
            let variance = paired.differences().variance().unwrap();
            prop_assert!((variance - expected).abs() <= 1e-9 * (a + b), "{variance} for {expected}");
        }
    }
}
