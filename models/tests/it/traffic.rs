//! Arrivals against what they promise.

use std::sync::Arc;

use scalesim::traffic::{Arrivals, Counts, Log, Profile, RateArrivals, RateFunction};
use sim_core::dist::Dist;
use sim_core::stats::Tally;
use sim_core::{Seed, Span, Stream, Time};

fn stream(name: &str) -> Stream {
    Seed::new(7).stream(name)
}

fn following(rate: &RateFunction, dispersion: f64) -> Arrivals {
    Arrivals::Rate(RateArrivals::new(Arc::new(rate.clone()), dispersion).unwrap())
}

fn instants(mut arrivals: Arrivals, bits: &mut Stream) -> Vec<Time> {
    std::iter::repeat_with(|| arrivals.next(bits)).take_while(|&at| at < Time::NEVER).collect()
}

fn day(low: f64, peak: f64) -> RateFunction {
    let hours = |h: u64| Span::from_secs(3600 * h);
    Profile::Day { low, peak, low_at: hours(4), peak_at: hours(20) }.rate(hours(24), Span::ZERO, 0)
}

/// The time-rescaling theorem: mapped through the integral of the rate, the gaps are exponential with mean 1.
#[test]
fn poisson_arrivals_follow_the_profile_exactly() {
    let rate = day(0.2, 4.0);
    let seen = instants(following(&rate, 1.0), &mut stream("day"));
    let mut gaps: Vec<f64> = std::iter::once(Time::ZERO)
        .chain(seen.iter().copied())
        .zip(&seen)
        .map(|(a, &b)| rate.integral(a, b))
        .collect();
    gaps.sort_by(f64::total_cmp);
    let exponential = Dist::exponential(1.0).unwrap();
    let n = gaps.len() as f64;
    let gap = |(i, &x): (usize, &f64)| {
        let p = exponential.cdf(x);
        (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs())
    };
    let statistic = gaps.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt();
    assert!(statistic < 2.23, "{statistic} over {n} gaps");
    let expected = rate.integral(Time::ZERO, Time::NEVER);
    assert!((n - expected).abs() < 4.4 * expected.sqrt(), "{n} for {expected}");
}

#[test]
fn dispersion_is_the_variance_of_counts_over_their_mean() {
    let rate = Profile::Constant(100.0).rate(Span::from_secs(200_000), Span::ZERO, 0);
    for dispersion in [0.0, 0.3, 1.0, 4.0] {
        let mut bins = vec![0.0f64; 2_000];
        for at in instants(following(&rate, dispersion), &mut stream("dispersion")) {
            bins[(at.as_secs_f64() / 100.0) as usize] += 1.0;
        }
        let counts: Tally = bins.into_iter().collect();
        let index = counts.variance().unwrap() / counts.mean();
        // The sampling error of a variance over n bins is about sqrt(2/n) of it.
        assert!(
            (index - dispersion).abs() < 4.4 * dispersion * (2.0f64 / 2_000.0).sqrt() + 0.01,
            "{index} for {dispersion}"
        );
        assert!((counts.mean() / 10_000.0 - 1.0).abs() < 0.001 * dispersion.max(0.1), "{}", counts.mean());
    }
}

#[test]
fn jumps_and_silence_are_kept() {
    let at = |s| Time::ZERO + Span::from_secs(s);
    let rate = RateFunction::from_knots(vec![
        (at(0), 0.0),
        (at(50), 0.0),
        (at(50), 40.0),
        (at(60), 40.0),
        (at(60), 0.0),
        (at(99), 0.0),
    ]);
    let seen = instants(following(&rate, 1.0), &mut stream("jump"));
    assert!(seen.iter().all(|&t| at(50) <= t && t <= at(60)));
    assert!((320..480).contains(&seen.len()), "{}", seen.len());
}

#[test]
fn counts_are_replayed_exactly_and_evenly_within_their_bins() {
    let minute = Span::from_secs(60);
    let counts: Vec<f64> = (0..500).map(|i| f64::from(i % 90)).collect();
    let seen = instants(Arrivals::Counts(Counts::new(counts.clone().into(), minute)), &mut stream("counts"));
    assert!(seen.is_sorted());
    let mut bins = vec![0.0; counts.len()];
    let mut shares = Tally::new();
    for at in &seen {
        bins[(at.as_nanos() / minute.as_nanos()) as usize] += 1.0;
        shares.record(at.as_secs_f64() / 60.0 % 1.0);
    }
    assert_eq!(bins, counts);
    assert!((shares.mean() - 0.5).abs() < 0.01 && (shares.variance().unwrap() - 1.0 / 12.0).abs() < 0.003);
    let tenths =
        instants(Arrivals::Counts(Counts::new(vec![0.1; 1_000].into(), minute)), &mut stream("tenths"));
    assert_eq!(tenths.len(), 100);
}

#[test]
fn logs_are_replayed_at_their_own_instants() {
    let rows: Vec<Time> = (0..1_000u64).map(|i| Time::from_nanos(i * i * 1_000)).collect();
    let once = instants(Arrivals::Log(Log::new(rows.clone().into(), 1.0)), &mut stream("log"));
    assert_eq!(once, rows);
    let more = instants(Arrivals::Log(Log::new(rows.clone().into(), 2.5)), &mut stream("log"));
    assert_eq!(more.len(), 2_500);
    assert!(more.is_sorted() && rows.iter().all(|row| more.contains(row)));
    assert_eq!(instants(Arrivals::Log(Log::new(rows.into(), 0.25)), &mut stream("log")).len(), 250);
}

#[test]
fn a_clone_has_the_same_future() {
    let mut bits = stream("clone");
    let mut arrivals = following(&day(1.0, 5.0), 2.0);
    (0..1_000).for_each(|_| assert!(arrivals.next(&mut bits) < Time::NEVER));
    let (mut fork, mut fork_bits) = (arrivals.clone(), bits.clone());
    assert!((0..1_000).all(|_| arrivals.next(&mut bits) == fork.next(&mut fork_bits)));
}
