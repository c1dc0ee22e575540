//! Statistics against exact answers and against their own promises.

use proptest::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use sim_core::dist::Dist;
use sim_core::stats::{
    BatchMeans, Histogram, Interval, Precision, Proportion, Series, Tally, TimeWeighted, mser5,
};
use sim_core::{Seed, Span, Time};

fn histogram(values: &[u64], precision: Precision) -> Histogram {
    let mut histogram = Histogram::new(precision);
    values.iter().for_each(|&nanos| histogram.record(Span::from_nanos(nanos)));
    histogram
}

fn spans() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>().prop_flat_map(|highest| 0..=highest), 0..50)
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
        prop_assert_eq!(&left, &right, "also their sums and extremes, bit by bit");
        let whole = histogram(&a.iter().chain(&b).copied().collect::<Vec<_>>(), Precision::Coarse);
        prop_assert_eq!(left, whole);
    }

    #[test]
    fn histograms_merge_in_any_grouping(a in spans(), b in spans(), c in spans()) {
        let [a, b, c] = [a, b, c].map(|values| histogram(&values, Precision::Fine));
        let (mut left, mut right, mut tail) = (a.clone(), a, b.clone());
        left.merge(&b);
        left.merge(&c);
        tail.merge(&c);
        right.merge(&tail);
        prop_assert_eq!(left, right);
    }

    #[test]
    fn histogram_extremes_and_moments_are_exact(values in prop::collection::vec(1_000_000_000_000u64..1_000_000_010_000, 1..100)) {
        let times = histogram(&values, Precision::Coarse);
        let n = values.len() as f64;
        // Small numbers, so that plain sums are exact enough to compare with.
        let small: Vec<f64> = values.iter().map(|v| (v - 1_000_000_000_000) as f64).collect();
        let mean = small.iter().sum::<f64>() / n;
        let variance = small.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        prop_assert!((times.mean().unwrap() - 1e12 - mean).abs() < 1e-3);
        prop_assert!((times.std_dev().unwrap() - variance.sqrt()).abs() < 1e-3);
        prop_assert_eq!(times.min().unwrap().as_nanos(), *values.iter().min().unwrap());
        prop_assert_eq!(times.max().unwrap().as_nanos(), *values.iter().max().unwrap());
    }

    #[test]
    fn buckets_are_the_distribution_function(values in prop::collection::vec(0u64..10_000_000_000, 1..200)) {
        let times = histogram(&values, Precision::Coarse);
        let mut seen = 0;
        let mut before = None;
        for (longest, count) in times.buckets() {
            prop_assert!(count > 0 && before < Some(longest));
            before = Some(longest);
            seen += count;
            prop_assert_eq!(seen, values.iter().filter(|&&v| v <= longest.as_nanos()).count() as u64);
        }
        prop_assert_eq!(seen, values.len() as u64);
        prop_assert_eq!(before, times.max());
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
    assert_eq!(times.max(), Some(Span::from_secs(24 * 3_600)), "a day is the longest it tells");
    assert_eq!((times.fraction_above(Span::from_secs(3_600)), times.fraction_above(Span::MAX)), (0.25, 0.25));
    times.clear();
    assert_eq!((times.count(), times.quantile(0.5), times.mean(), times.max()), (0, None, None, None));
}

/// Up to 255 ns every bucket is one nanosecond wide, so that ranks show.
#[test]
fn quantiles_are_of_the_exact_rank() {
    let times = histogram(&(1..=100).collect::<Vec<_>>(), Precision::Coarse);
    for rank in 1..=100 {
        let q = rank as f64 / 100.0;
        assert_eq!(times.quantile(q), Some(Span::from_nanos(rank)), "{q}");
        assert_eq!(times.quantile(q - 0.005), Some(Span::from_nanos(rank)), "a little below {q}");
    }
    assert_eq!(times.quantile(-1.0), times.min());
    assert_eq!(times.quantile(2.0), times.max());
    let alone = histogram(&[1_234_567_891], Precision::Coarse);
    assert_eq!(alone.quantile(0.5), alone.max(), "never outside of what was seen");
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
    queue.set(at(20), 1.0);
    queue.set(at(15), 2.0);
    assert_eq!(queue.integral(at(21)), 2.0, "what was counted once is not counted again");
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

/// Quantiles of Student's distribution from NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2, and the
/// normal ones that they tend to.
#[test]
fn student_quantiles_are_those_of_the_tables() {
    for (degrees, level, quantile) in [
        (1, 0.95, 12.706),
        (2, 0.99, 9.925),
        (5, 0.80, 1.476),
        (10, 0.998, 4.144),
        (30, 0.95, 2.042),
        (100, 0.90, 1.660),
        (9_999, 0.95, 1.960),
        (10_001, 0.95, 1.960),
        (100_000_000, 0.99, 2.576),
        (u64::MAX - 1, 0.998, 3.090),
    ] {
        let seen = student_quantile(degrees, level);
        assert!((seen - quantile).abs() < 6e-4, "{degrees} degrees, {level}: {seen} for {quantile}");
    }
    let jump = student_quantile(9_999, 0.95) - student_quantile(10_000, 0.95);
    assert!((0.0..1e-6).contains(&jump), "{jump} where the method changes");
    assert_eq!(Interval::student_t(&mostly_zeros(10), 1.0 - f64::EPSILON / 2.0), None);
    assert_eq!(Interval::student_t(&[1.0, f64::NAN].into_iter().collect(), 0.95), None);
}

fn student_quantile(degrees: u64, level: f64) -> f64 {
    let tally = mostly_zeros(degrees + 1);
    let interval = Interval::student_t(&tally, level).unwrap();
    interval.half_width / (tally.variance().unwrap() / tally.count() as f64).sqrt()
}

/// A tally of one 1, one −1 and zeros, by doubling.
fn mostly_zeros(count: u64) -> Tally {
    let mut tally: Tally = [1.0, -1.0].into_iter().collect();
    let mut zeros: Tally = [0.0].into_iter().collect();
    let mut rest = count - 2;
    while rest > 0 {
        if rest & 1 == 1 {
            tally.merge(&zeros);
        }
        rest >>= 1;
        let twin = if rest > 0 { zeros } else { Tally::new() };
        zeros.merge(&twin);
    }
    tally
}

fn normal(stream: &mut sim_core::Stream) -> f64 {
    StandardNormal.sample(stream)
}

fn covered(repetitions: usize, values: usize, mean: f64, mut draw: impl FnMut() -> f64) -> f64 {
    let covers = |_: &usize| {
        let tally: Tally = (0..values).map(|_| draw()).collect();
        Interval::student_t(&tally, 0.95).unwrap().contains(mean)
    };
    (0..repetitions).filter(covers).count() as f64 / repetitions as f64
}

/// Within 4.4 standard errors of what they say; for skewed values only where there are many, as documented.
#[test]
fn intervals_cover_as_often_as_they_say() {
    let error = |share: f64| 4.4 * (share * (1.0 - share) / 4_000.0).sqrt();
    let mut stream = Seed::new(3).stream("coverage");
    for values in [2, 3, 10, 40] {
        let share = covered(4_000, values, 7.0, || normal(&mut stream) + 7.0);
        assert!((share - 0.95).abs() < error(0.95), "{share} of {values} normal ones");
    }
    let exponential = Dist::exponential(3.0).unwrap();
    for (values, expected) in [(10, 0.898), (400, 0.95)] {
        let share = covered(4_000, values, 3.0, || exponential.sample(&mut stream));
        assert!((share - expected).abs() < error(expected), "{share} of {values} exponential ones");
    }
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

#[test]
fn mser_leaves_a_stationary_sequence_alone() {
    let mut stream = Seed::new(7).stream("stationary");
    let cuts: Vec<Option<usize>> = (0..200)
        .map(|_| {
            let start = normal(&mut stream);
            // Far from zero, where sums of squares are large and the differences small.
            let mut next = autoregression(&mut stream, start);
            let values: Vec<f64> = (0..5_000).map(|_| 1e9 + next()).collect();
            mser5(&values).map(|cut| cut.values)
        })
        .collect();
    let small = cuts.iter().filter(|cut| cut.is_some_and(|values| values <= 50)).count();
    assert!(small >= 180, "{small} of 200: {cuts:?}");
}

/// Ends that have closed forms, and a published pair.
#[test]
fn proportions_have_the_ends_of_clopper_and_pearson() {
    let ends = |held, of| {
        let interval = Proportion::clopper_pearson(held, of, 0.95).unwrap();
        (interval.low, interval.high)
    };
    for trials in [1u32, 2, 10, 39, 1_000, 100_000] {
        let (low, high) = ends(0, u64::from(trials));
        let exact = 1.0 - 0.025f64.powf(1.0 / f64::from(trials));
        assert!(low == 0.0 && (high - exact).abs() < 1e-9, "none of {trials}: {high} for {exact}");
        let (low, high) = ends(u64::from(trials), u64::from(trials));
        assert!(high == 1.0 && (low - (1.0 - exact)).abs() < 1e-9, "all of {trials}: {low}");
    }
    let (low, high) = ends(5, 10);
    assert!((low - 0.1871).abs() < 1e-4 && (high - 0.8129).abs() < 1e-4, "{low} to {high}");
    let (low, high) = ends(8, 10);
    assert!((low - 0.443_9).abs() < 1e-4 && (high - 0.974_8).abs() < 1e-4, "{low} to {high}");
    let (low, high) = ends(50_000, 100_000);
    assert!((low - 0.4969).abs() < 1e-4 && (high - 0.5031).abs() < 1e-4, "{low} to {high}");
    for (held, of, level) in [(0, 0, 0.95), (3, 2, 0.95), (1, 2, 0.0), (1, 2, 1.0), (1, 2, f64::NAN)] {
        assert_eq!(Proportion::clopper_pearson(held, of, level), None);
    }
}

/// Summed over all that can happen, so that nothing is left to chance.
#[test]
fn proportions_cover_at_least_as_often_as_they_say() {
    for trials in [2u64, 10, 24] {
        for probability in [0.01, 0.3, 0.5, 0.9, 0.99f64] {
            let mut covered = 0.0;
            let mut ways = 1.0;
            for held in 0..=trials {
                let chance =
                    ways * probability.powi(held as i32) * (1.0 - probability).powi((trials - held) as i32);
                if Proportion::clopper_pearson(held, trials, 0.95).unwrap().contains(probability) {
                    covered += chance;
                }
                ways *= (trials - held) as f64 / (held + 1) as f64;
            }
            assert!(covered >= 0.95, "{covered} of {trials} at {probability}");
        }
    }
}
