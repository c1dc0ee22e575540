//! Statistics against exact answers and against their own promises.

use proptest::prelude::*;
use sim_core::dist::Dist;
use sim_core::stats::{BatchMeans, Histogram, Interval, Precision, Series, Tally, TimeWeighted, mser5};
use sim_core::{Seed, Span, Time};

fn histogram(values: &[u64], precision: Precision) -> Histogram {
    let mut histogram = Histogram::new(precision);
    values.iter().for_each(|&nanos| histogram.record(Span::from_nanos(nanos)));
    histogram
}

proptest! {
    #[test]
    fn quantiles_are_within_the_precision(values in prop::collection::vec(1u64..10_000_000_000, 1..400), q in 0.0..1.0f64) {
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let exact = sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1] as f64;
        for (precision, error) in [(Precision::Coarse, 0.01), (Precision::Fine, 0.001)] {
            let seen = histogram(&values, precision).quantile(q).unwrap().as_nanos() as f64;
            prop_assert!((seen - exact).abs() <= error * exact + 1.0, "{seen} for {exact}");
        }
    }

    #[test]
    fn histograms_merge_in_any_order(a in prop::collection::vec(0u64..u64::MAX, 0..50), b in prop::collection::vec(0u64..1_000_000, 0..50)) {
        let (x, y) = (histogram(&a, Precision::Coarse), histogram(&b, Precision::Coarse));
        let (mut left, mut right) = (x.clone(), y.clone());
        left.merge(&y);
        right.merge(&x);
        for q in [0.0, 0.5, 0.99, 1.0] {
            prop_assert_eq!(left.quantile(q), right.quantile(q));
        }
        prop_assert_eq!(left.count(), (a.len() + b.len()) as u64);
        prop_assert_eq!(left.clamped(), right.clamped());
    }

    #[test]
    fn tallies_merge_as_if_seen_in_one(a in prop::collection::vec(-1e3..1e3f64, 0..50), b in prop::collection::vec(-1e3..1e3f64, 2..50)) {
        let mut merged: Tally = a.iter().copied().collect();
        merged.merge(&b.iter().copied().collect());
        let whole: Tally = a.iter().chain(&b).copied().collect();
        prop_assert!((merged.mean() - whole.mean()).abs() < 1e-9);
        prop_assert!((merged.variance().unwrap() - whole.variance().unwrap()).abs() < 1e-6);
        prop_assert_eq!((merged.min(), merged.max(), merged.count()), (whole.min(), whole.max(), whole.count()));
    }

    #[test]
    fn coarser_series_lose_nothing(values in prop::collection::vec((0u64..1_000_000, -5.0..5.0f64), 1..200), most in 2usize..20) {
        let mut series = Series::new(Span::from_nanos(10), most);
        values.iter().for_each(|&(at, value)| series.record(Time::from_nanos(at), value));
        let all: Tally = values.iter().map(|&(_, value)| value).collect();
        prop_assert!(series.buckets().len() <= most);
        prop_assert_eq!(series.buckets().iter().map(|b| b.count).sum::<u64>(), all.count());
        prop_assert!((series.buckets().iter().map(|b| b.sum).sum::<f64>() - all.mean() * all.count() as f64).abs() < 1e-6);
        prop_assert_eq!(series.buckets().iter().map(|b| b.max).fold(f64::NEG_INFINITY, f64::max), all.max().unwrap());
    }
}

#[test]
fn histogram_moments_are_exact_and_clamping_is_told() {
    let mut times = histogram(&[1_000, 2_000, 6_000], Precision::Coarse);
    assert_eq!(times.mean(), Some(3_000.0));
    assert!((times.std_dev().unwrap() - 2_160.246_899).abs() < 1e-3);
    assert!((times.fraction_above(Span::from_nanos(3_000)) - 1.0 / 3.0).abs() < 1e-12);
    times.record(Span::MAX);
    assert_eq!(times.clamped(), 1);
    times.clear();
    assert_eq!((times.count(), times.quantile(0.5), times.mean(), times.max()), (0, None, None, None));
}

#[test]
fn time_averages_weigh_by_time() {
    let at = |s| Time::ZERO + Span::from_secs(s);
    let mut queue = TimeWeighted::new(at(0), 1.0);
    queue.add(at(2), 3.0);
    queue.add(at(3), -4.0);
    assert_eq!((queue.integral(at(10)), queue.mean(at(10)), queue.max()), (6.0, 0.6, 4.0));
    queue.reset(at(10));
    assert_eq!((queue.mean(at(20)), queue.max()), (0.0, 0.0));
}

#[test]
fn student_intervals_are_those_of_the_tables() {
    let interval = Interval::student_t(&[1.0, 2.0, 3.0, 4.0, 5.0].into_iter().collect(), 0.95).unwrap();
    // t(0.975, 4) = 2.776445, standard error sqrt(2.5 / 5)
    assert!((interval.half_width - 2.776_445 * 0.5f64.sqrt()).abs() < 1e-5, "{interval:?}");
    assert!(interval.contains(3.5) && !interval.contains(5.5));
    assert_eq!(Interval::student_t(&[1.0].into_iter().collect(), 0.95), None);
    assert_eq!(Interval::student_t(&[1.0, 2.0].into_iter().collect(), 1.0), None);
}

/// Of 4 000 intervals, 95 % cover the mean: within 4.4 standard errors of that share.
#[test]
fn intervals_cover_as_often_as_they_say() {
    let dist = Dist::uniform(0.0, 2.0).unwrap();
    let mut stream = Seed::new(3).stream("coverage");
    let covered = (0..4_000)
        .filter(|_| {
            let values: Tally = (0..10).map(|_| dist.sample(&mut stream)).collect();
            Interval::student_t(&values, 0.95).unwrap().contains(1.0)
        })
        .count();
    assert!((covered as f64 / 4_000.0 - 0.95).abs() < 4.4 * (0.95f64 * 0.05 / 4_000.0).sqrt(), "{covered}");
}

/// A first-order autoregression with correlation time of about ten steps.
fn autoregression(stream: &mut sim_core::Stream, start: f64) -> impl FnMut() -> f64 + '_ {
    let noise = Dist::uniform(0.0, 1.0).unwrap();
    let mut state = start;
    move || {
        state = 0.9 * state + noise.sample(stream) - 0.5;
        state
    }
}

#[test]
fn batch_means_cover_a_correlated_mean() {
    let mut stream = Seed::new(4).stream("batches");
    let mut covered = 0;
    for _ in 0..500 {
        let mut next = autoregression(&mut stream, 0.0);
        let mut means = BatchMeans::new(1);
        (0..20_000).for_each(|_| means.record(next()));
        assert!((32..64).contains(&means.batches()));
        assert!(means.lag_one().unwrap().abs() < 0.7);
        covered += u32::from(means.interval(0.95).unwrap().contains(0.0));
    }
    assert!((455..=495).contains(&covered), "{covered} of 500");
}

#[test]
fn short_batches_betray_themselves() {
    let mut stream = Seed::new(5).stream("short");
    let mut next = autoregression(&mut stream, 0.0);
    let mut means = BatchMeans::new(1);
    (0..60).for_each(|_| means.record(next()));
    assert!(means.lag_one().unwrap() > 0.5);
    assert_eq!(BatchMeans::new(100).interval(0.95), None);
}

#[test]
fn mser_cuts_the_transient_and_only_that() {
    let mut stream = Seed::new(6).stream("mser");
    let mut next = autoregression(&mut stream, 0.0);
    let decaying: Vec<f64> = (0..5_000).map(|i| next() + 20.0 * (-f64::from(i) / 200.0).exp()).collect();
    let cut = mser5(&decaying).unwrap();
    assert!((500..2_000).contains(&cut.values), "{cut:?}");
    assert!(cut.mean.abs() < 0.3, "{cut:?}");
    let rising: Vec<f64> = (0..1_000).map(f64::from).collect();
    assert_eq!(mser5(&rising), None, "a trend has no steady state");
    assert_eq!(mser5(&decaying[..40]), None);
}
